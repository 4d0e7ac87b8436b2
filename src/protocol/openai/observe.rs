//! What a relayed Chat stream means to those who only watch it.
//!
//! This runs on every event of every relayed stream, so a plain delta is recognised by its bytes.
//! That is safe: inside a JSON string every quote is escaped, so `"content":"` can only be a member.

use std::sync::LazyLock;

use memchr::memmem;

use crate::protocol::canonical::{ErrorView, Usage};
use crate::protocol::json::{self, Error, Kind, Reader};
use crate::protocol::openai::{error, finish, reasoning, usage};
use crate::protocol::{Lengths, Observation, Signal, sse};

/// What the event means; updates what has been seen.
pub(crate) fn event(event: &sse::Event<'_>, state: &mut Observation) -> Signal {
    if event.is_done() {
        state.may_end = true;
        return Signal::Quiet;
    }
    if is_plain_delta(&event.data, &mut state.plain, &mut state.said) {
        state.may_end = false;
        state.begun_choices |= 1;
        return Signal::Content;
    }
    let Ok(text) = std::str::from_utf8(&event.data) else { return Signal::Quiet };
    let mut seen = Seen { said: state.said, ..Seen::default() };
    if json::document(text, |key, value| seen.member(key, value)).is_err() {
        // Half an event or none of JSON: the client's parser will say what it thinks of it.
        return Signal::Quiet;
    }
    state.usage.merge(&seen.usage);
    state.said = seen.said;
    state.begun_choices |= seen.begun;
    state.ended_choices |= seen.ended;
    match seen {
        Seen { failure: Some(failure), .. } => Signal::Error(failure),
        // The end of one choice is not that of the others.
        Seen { ended, content, .. } if ended != 0 || content => {
            state.may_end = ended != 0 && state.begun_choices & !state.ended_choices == 0;
            Signal::Content
        }
        _ => Signal::Quiet,
    }
}

/// The members that a plain delta may have, and those that must be looked at closely. Searchers are
/// made once: making one costs more than the search.
struct Needles {
    begun: [(memmem::Finder<'static>, u8); 3],
    name: memmem::Finder<'static>,
    arguments: memmem::Finder<'static>,
    error: memmem::Finder<'static>,
    finish: memmem::Finder<'static>,
    usage: memmem::Finder<'static>,
    index: memmem::Finder<'static>,
}

static NEEDLES: LazyLock<Needles> = LazyLock::new(|| {
    let needle = |key: &'static str| memmem::Finder::new(key.as_bytes());
    Needles {
        begun: [
            (needle(r#""content":""#), b'"'),
            (needle(r#""tool_calls":["#), b']'),
            (needle(r#""reasoning_content":""#), b'"'),
        ],
        name: needle(r#""name":""#),
        arguments: needle(r#""arguments":""#),
        error: needle(r#""error""#),
        finish: needle(r#""finish_reason""#),
        usage: needle(r#""usage""#),
        index: needle(r#""index":"#),
    }
});

/// What stands around the text of the last plain delta. As a rule the next one differs in its text alone, and is plain
/// because that one was: comparing costs a tenth of searching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Around {
    head: Vec<u8>,
    tail: Vec<u8>,
}

impl Around {
    /// More than this is not kept.
    const MOST: usize = 2 << 10;

    /// The text that `data` has in this place, if it has one, and the same around it.
    fn text_of<'d>(&self, data: &'d [u8]) -> Option<&'d [u8]> {
        if self.head.is_empty() {
            return None;
        }
        let rest = data.strip_prefix(self.head.as_slice())?;
        let text = json::rest_of_string(rest);
        (!text.is_empty() && rest.get(text.len()..)? == self.tail).then_some(text)
    }

    fn keep(&mut self, head: &[u8], tail: &[u8]) {
        self.head.clear();
        self.tail.clear();
        if head.len() + tail.len() <= Self::MOST {
            self.head.extend_from_slice(head);
            self.tail.extend_from_slice(tail);
        }
    }
}

/// Whether the bytes hold text or pieces of a call, and nothing else that matters; if so, adds what they say.
fn is_plain_delta(data: &[u8], around: &mut Around, said: &mut Lengths) -> bool {
    if let Some(text) = around.text_of(data) {
        said.add(text);
        return true;
    }
    let needles = &*NEEDLES;
    // An empty value ends where it begins.
    let begun = |(key, end): &(memmem::Finder<'static>, u8)| {
        after(data, key).filter(|rest| rest.first() != Some(end)).map(|rest| (rest, *end))
    };
    let Some((rest, end)) = needles.begun.iter().find_map(begun) else { return false };
    let is_plain = needles.error.find(data).is_none()
        && is_null(data, &needles.finish)
        && is_null(data, &needles.usage)
        && is_of_the_first(data);
    match (is_plain, end) {
        (false, _) => {}
        (true, b'"') => {
            let text = json::rest_of_string(rest);
            let (until, tail) = (data.len() - rest.len(), &rest[text.len()..]);
            around.keep(&data[..until], tail);
            said.add(text);
        }
        (true, _) => add_calls(rest, said),
    }
    is_plain
}

fn add_calls(data: &[u8], said: &mut Lengths) {
    if NEEDLES.name.find(data).is_some() {
        said.add_call();
    }
    let mut rest = data;
    while let Some(arguments) = after(rest, &NEEDLES.arguments) {
        said.add_string(arguments);
        rest = arguments;
    }
}

fn after<'d>(data: &'d [u8], key: &memmem::Finder<'_>) -> Option<&'d [u8]> {
    data.get(key.find(data)? + key.needle().len()..)
}

/// Whether every member of this name is null, or there is none.
fn is_null(data: &[u8], key: &memmem::Finder<'_>) -> bool {
    let mut rest = data;
    while let Some(value) = after(rest, key) {
        if !value.starts_with(b":null") {
            return false;
        }
        rest = value;
    }
    true
}

/// Whether nothing in it has a place but the first: another choice must be known by its number, and so must a call be told
/// from one.
fn is_of_the_first(data: &[u8]) -> bool {
    let mut rest = data;
    while let Some(value) = after(rest, &NEEDLES.index) {
        if !matches!(value.trim_ascii_start(), [b'0', b',' | b'}' | b' ' | b'\n', ..]) {
            return false;
        }
        rest = value;
    }
    true
}

#[derive(Default)]
struct Seen {
    said: Lengths,
    content: bool,
    /// The choices that are there, and those that end here, one bit for each.
    begun: u128,
    ended: u128,
    usage: Usage,
    failure: Option<ErrorView>,
}

impl Seen {
    fn member(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        match key {
            "usage" if value.peek()? == Kind::Object => self.usage = usage::read(value)?,
            "x_groq" => value.lenient_object(|key, value| match key {
                "usage" => self.member(key, value),
                _ => Ok(()),
            })?,
            "error" if value.peek()? != Kind::Null => self.failure = Some(error::read(value)?),
            "choices" => value.lenient_array(|value| {
                let (mut index, mut ends) = (0, false);
                value.lenient_object(|key, value| match key {
                    "index" => {
                        index = value.lenient_u64()?.unwrap_or(0);
                        Ok(())
                    }
                    "finish_reason" => {
                        let word = value.lenient_string()?.filter(|word| !word.is_empty());
                        let failure = word.as_ref().and_then(finish::failure);
                        ends |= word.is_some() && failure.is_none();
                        // What the upstream says of it itself says more.
                        self.failure = self.failure.take().or(failure);
                        Ok(())
                    }
                    _ => self.choice(key, value),
                })?;
                // OpenAI makes no more of them.
                let bit = 1 << index.min(127);
                self.begun |= bit;
                self.ended |= if ends { bit } else { 0 };
                Ok::<_, Error>(())
            })?,
            _ => {}
        }
        Ok(())
    }

    fn choice(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        match key {
            "error" if value.peek()? == Kind::Object => self.failure = Some(error::read(value)?),
            "delta" | "message" => {
                let mut fields = reasoning::Fields::default();
                value.lenient_object(|key, value| {
                    if !fields.member(key, value)? {
                        self.delta(key, value)?;
                    }
                    Ok::<_, Error>(())
                })?;
                let text = fields.text();
                self.content |= text.is_some() || fields.state().is_some();
                self.said.add(text.unwrap_or_default().as_escaped().as_bytes());
            }
            _ => {}
        }
        Ok(())
    }

    fn delta(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        self.content |= match (key, value.peek()?) {
            ("content" | "refusal", Kind::String) => {
                let text = value.string()?;
                self.said.add(text.as_escaped().as_bytes());
                !text.is_empty()
            }
            ("tool_calls", Kind::Array) => {
                let calls = value.raw()?;
                add_calls(calls.as_str().as_bytes(), &mut self.said);
                calls.as_str().contains('{')
            }
            ("content" | "images", Kind::Array) => {
                let mut any = false;
                value.array(|_| {
                    any = true;
                    Ok::<_, Error>(())
                })?;
                any
            }
            ("function_call", Kind::Object) => true,
            _ => false,
        };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
