//! What a relayed event means to those who only watch.

use std::sync::LazyLock;

use memchr::memmem;

use super::error;
use super::usage::Counts;
use crate::protocol::json::{self, Error, Reader};
use crate::protocol::{Lengths, Observation, Signal, sse};

/// How Anthropic and everybody after it begins the event that most streams consist of.
const DELTA: &[u8] = br#"{"type":"content_block_delta""#;

pub(crate) fn event(event: &sse::Event<'_>, state: &mut Observation) -> Signal {
    let data: &[u8] = &event.data;
    // Deltas carry neither counts nor the end. Only one with an empty text needs a closer look.
    if let Some(rest) = data.strip_prefix(DELTA)
        && memmem::find(rest, br#":"""#).is_none()
    {
        add(rest, &mut state.said);
        return Signal::Content;
    }
    let Ok(document) = std::str::from_utf8(data) else { return Signal::Quiet };
    look(document, event.name.as_deref(), state).unwrap_or(Signal::Quiet)
}

/// Adds the text of a plain delta: its only member beside the type. A quote within a string is escaped, so
/// what looks like the seam of two members is one.
fn add(rest: &[u8], said: &mut Lengths) {
    static SEAM: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(br#"_delta",""#));
    let Some(member) = SEAM.find(rest).and_then(|at| rest.get(at + SEAM.needle().len()..)) else { return };
    for key in [&br#"text":""#[..], br#"thinking":""#, br#"partial_json":""#] {
        if let Some(text) = member.strip_prefix(key) {
            said.add_string(text);
        }
    }
}

#[derive(Default)]
struct Seen {
    said: Lengths,
    has_text: bool,
    has_block: bool,
    has_stop: bool,
    has_error: bool,
}

fn look(document: &str, name: Option<&[u8]>, state: &mut Observation) -> Result<Signal, Error> {
    let mut tag = None;
    let mut seen = Seen { said: state.said, ..Seen::default() };
    let mut counts = Counts::from(&state.usage);
    json::document(document, |key, value| {
        match key {
            "type" => tag = value.lenient_string()?,
            "usage" => counts.read(value)?,
            "message" => value.lenient_object(|key, value| {
                if key == "usage" {
                    counts.read(value)?;
                }
                Ok::<_, Error>(())
            })?,
            "delta" => delta(value, &mut seen)?,
            "content_block" => block(value, &mut seen)?,
            "error" => seen.has_error = !value.raw()?.is_null(),
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    let tag = match &tag {
        Some(tag) => tag.decode(),
        None => String::from_utf8_lossy(name.unwrap_or_default()),
    };
    if seen.has_error || tag == "error" {
        return Ok(Signal::Error(error::parse(200, document.as_bytes())));
    }
    state.usage = counts.usage();
    state.said = seen.said;
    state.may_end |= tag == "message_stop";
    Ok(match tag.as_ref() {
        "content_block_start" if seen.has_block => Signal::Content,
        "content_block_delta" if seen.has_text => Signal::Content,
        "message_delta" if seen.has_stop => Signal::Content,
        _ => Signal::Quiet,
    })
}

/// A block of text or thinking begins with nothing in it; all others say something by their kind.
fn block(reader: &mut Reader<'_>, seen: &mut Seen) -> Result<(), Error> {
    reader.lenient_object(|key, value| {
        match key {
            "type" => {
                let kind = value.lenient_string()?.unwrap_or_default();
                seen.has_block |= kind != "text" && kind != "thinking";
                if kind == "tool_use" {
                    seen.said.add_call();
                }
            }
            "text" | "thinking" => {
                seen.has_block |= value.lenient_string()?.is_some_and(|text| !text.is_empty());
            }
            _ => {}
        }
        Ok::<_, Error>(())
    })
}

fn delta(reader: &mut Reader<'_>, seen: &mut Seen) -> Result<(), Error> {
    reader.lenient_object(|key, value| {
        match key {
            "type" => {}
            "stop_reason" => seen.has_stop |= value.lenient_string()?.is_some(),
            "text" | "thinking" | "partial_json" | "signature" => {
                let text = value.lenient_string()?.unwrap_or_default();
                seen.has_text |= !text.is_empty();
                if key != "signature" {
                    seen.said.add(text.as_escaped().as_bytes());
                }
            }
            "citation" => seen.has_text = true,
            _ => {}
        }
        Ok::<_, Error>(())
    })
}
