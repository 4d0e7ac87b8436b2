//! What a relayed Chat stream means to those who only watch it.
//!
//! This runs on every event of every relayed stream, so a plain delta is recognised by its bytes.
//! That is safe: inside a JSON string every quote is escaped, so `"content":"` can only be a member.

use std::sync::LazyLock;

use memchr::memmem;

use crate::protocol::canonical::{ErrorView, Usage};
use crate::protocol::json::{self, Error, Kind, Reader};
use crate::protocol::openai::{error, reasoning, usage};
use crate::protocol::{Lengths, Observation, Signal, sse};

/// What the event means; updates what has been seen.
pub(crate) fn event(event: &sse::Event<'_>, state: &mut Observation) -> Signal {
    if event.is_done() {
        state.may_end = true;
        return Signal::Quiet;
    }
    if is_plain_delta(&event.data, &mut state.said) {
        // Content after the finish of one choice belongs to another, which has its own to come.
        state.may_end = false;
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
    match seen {
        Seen { failure: Some(failure), .. } => Signal::Error(failure),
        Seen { finish: true, .. } => {
            state.may_end = true;
            Signal::Content
        }
        Seen { content: true, .. } => {
            state.may_end = false;
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
    }
});

/// Whether the bytes hold text or pieces of a call, and nothing else that matters; if so, adds what they say.
fn is_plain_delta(data: &[u8], said: &mut Lengths) -> bool {
    let needles = &*NEEDLES;
    // An empty value ends where it begins.
    let begun = |(key, end): &(memmem::Finder<'static>, u8)| {
        after(data, key).filter(|rest| rest.first() != Some(end)).map(|rest| (rest, *end))
    };
    let Some((rest, end)) = needles.begun.iter().find_map(begun) else { return false };
    let is_plain =
        needles.error.find(data).is_none() && is_null(data, &needles.finish) && is_null(data, &needles.usage);
    match (is_plain, end) {
        (false, _) => {}
        (true, b'"') => said.add_string(rest),
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

#[derive(Default)]
struct Seen {
    said: Lengths,
    content: bool,
    finish: bool,
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
            "choices" => {
                value.lenient_array(|value| value.lenient_object(|key, value| self.choice(key, value)))?
            }
            _ => {}
        }
        Ok(())
    }

    fn choice(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        match key {
            "finish_reason" => {
                self.finish |= value.lenient_string()?.is_some_and(|word| !word.is_empty());
            }
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
