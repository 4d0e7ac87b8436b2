//! What a relayed event means to those who only watch.

use super::error;
use super::usage::Counts;
use crate::protocol::json::{self, Error, Reader};
use crate::protocol::{Observation, Signal, sse};

/// How Anthropic and everybody after it begins the event that most streams consist of.
const DELTA: &[u8] = br#"{"type":"content_block_delta""#;

pub(crate) fn event(event: &sse::Event<'_>, state: &mut Observation) -> Signal {
    let data: &[u8] = &event.data;
    // Deltas carry neither counts nor the end. Only one with an empty text needs a closer look.
    if data.starts_with(DELTA) && memchr::memmem::find(data, br#":"""#).is_none() {
        return Signal::Content;
    }
    let Ok(document) = std::str::from_utf8(data) else { return Signal::Quiet };
    look(document, event.name.as_deref(), state).unwrap_or(Signal::Quiet)
}

#[derive(Default)]
struct Seen {
    has_text: bool,
    has_stop: bool,
    has_error: bool,
}

fn look(document: &str, name: Option<&[u8]>, state: &mut Observation) -> Result<Signal, Error> {
    let mut tag = None;
    let mut seen = Seen::default();
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
    state.may_end |= tag == "message_stop";
    Ok(match tag.as_ref() {
        "content_block_start" => Signal::Content,
        "content_block_delta" if seen.has_text => Signal::Content,
        "message_delta" if seen.has_stop => Signal::Content,
        _ => Signal::Quiet,
    })
}

fn delta(reader: &mut Reader<'_>, seen: &mut Seen) -> Result<(), Error> {
    reader.lenient_object(|key, value| {
        match key {
            "type" => {}
            "stop_reason" => seen.has_stop |= value.lenient_string()?.is_some(),
            "text" | "thinking" | "partial_json" | "signature" => {
                seen.has_text |= value.lenient_string()?.is_some_and(|text| !text.is_empty());
            }
            "citation" => seen.has_text = true,
            _ => {}
        }
        Ok::<_, Error>(())
    })
}
