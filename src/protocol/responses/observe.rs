//! Watching a relayed stream: has it begun, may it end, what did it cost.

use memchr::memmem;

use super::error;
use super::response::Members;
use crate::protocol::json::{Error, Raw, Reader, Str};
use crate::protocol::{Lengths, Observation, Signal, sse};

#[cfg(test)]
mod tests;

/// What a native event means for a watcher. Runs on every event of every relayed stream.
pub(crate) fn event(event: &sse::Event<'_>, state: &mut Observation) -> Signal {
    if is_plain_delta(&event.data, &mut state.said) {
        return Signal::Content;
    }
    if event.is_done() {
        return Signal::Quiet;
    }
    // An event that cannot be read is the client's to judge, as it is relayed as it stands.
    read(event, state).unwrap_or(Signal::Quiet)
}

/// Nearly all events are deltas with something in them. Told without reading the JSON: the type comes
/// first as OpenAI writes it, a quote inside a value is escaped, and the members of a delta are flat.
fn is_plain_delta(data: &[u8], said: &mut Lengths) -> bool {
    const KINDS: [&[u8]; 5] = [
        b"output_text.delta\"",
        b"reasoning_summary_text.delta\"",
        b"reasoning_text.delta\"",
        b"function_call_arguments.delta\"",
        b"custom_tool_call_input.delta\"",
    ];
    let Some(kind) = data.strip_prefix(b"{\"type\":\"response.") else { return false };
    if !KINDS.iter().any(|known| kind.starts_with(known)) || !data.ends_with(b"}") {
        return false;
    }
    let Some(delta) = memmem::find(kind, b",\"delta\":\"").and_then(|at| kind.get(at + 10..)) else {
        return false;
    };
    let is_plain = delta.first() != Some(&b'"');
    if is_plain {
        said.add_string(delta);
    }
    is_plain
}

#[derive(Default)]
struct Fields<'e> {
    kind: Str<'e>,
    delta: Str<'e>,
    item_kind: Str<'e>,
    response: Option<Raw<'e>>,
    error: bool,
}

fn read(event: &sse::Event<'_>, state: &mut Observation) -> Result<Signal, Error> {
    let mut f = Fields::default();
    let mut reader = Reader::from_bytes(&event.data)?;
    reader.object(|key, value| {
        match key {
            "type" => f.kind = value.lenient_string()?.unwrap_or_default(),
            "delta" => f.delta = value.lenient_string()?.unwrap_or_default(),
            "item" => f.item_kind = item_kind(value)?,
            "response" => f.response = Some(value.raw()?),
            "error" => f.error = !value.null()?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    let kind = match event.name.as_deref().map(std::str::from_utf8) {
        Some(Ok(name)) if f.kind.is_empty() => name.into(),
        _ => f.kind.decode(),
    };
    Ok(match &*kind {
        "error" => Signal::Error(error::parse(200, &event.data)),
        _ if f.error => Signal::Error(error::parse(200, &event.data)),
        "response.created" => {
            state.opening = f.response.map(|response| response.as_str().into());
            Signal::Quiet
        }
        "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
            return terminal(&kind, f.response, state);
        }
        "response.output_item.added"
            if f.item_kind == "function_call" || f.item_kind == "custom_tool_call" =>
        {
            state.said.add_call();
            Signal::Content
        }
        // An empty message or reasoning item is only an opening.
        "response.output_item.added" if !matches!(&*f.item_kind.decode(), "message" | "reasoning" | "") => {
            Signal::Content
        }
        "response.output_item.done" => Signal::Content,
        // Sound is no text.
        "response.audio.delta" => Signal::Content,
        _ if !f.delta.is_empty() => {
            state.said.add(f.delta.as_escaped().as_bytes());
            Signal::Content
        }
        _ => Signal::Quiet,
    })
}

fn item_kind<'e>(value: &mut Reader<'e>) -> Result<Str<'e>, Error> {
    let mut kind = Str::EMPTY;
    value.lenient_object(|key, value| {
        if key == "type" {
            kind = value.lenient_string()?.unwrap_or_default();
        }
        Ok::<_, Error>(())
    })?;
    Ok(kind)
}

fn terminal(kind: &str, response: Option<Raw<'_>>, state: &mut Observation) -> Result<Signal, Error> {
    let mut members = match &response {
        Some(response) => Members::read(&mut Reader::new(response.as_str()))?,
        None => Members::default(),
    };
    members.settle_status(kind);
    state.usage.merge(&members.usage);
    Ok(match members.failure() {
        Some(failure) => Signal::Error(failure),
        None => {
            state.may_end = true;
            Signal::Content
        }
    })
}
