//! Reasoning beside the official protocol: `reasoning_content`, `reasoning`, `reasoning_details`,
//! `thinking_blocks`, and Google's `extra_content` (sections 1.8 and 2.9).

use crate::protocol::canonical::envelope;
use crate::protocol::canonical::{Losses, Opaque, OpaqueKind, Part, PartKind, Provider};
use crate::protocol::json::{Error, Kind, Reader, Str, Writer};

/// One element of `reasoning_details` or `thinking_blocks`.
#[derive(Debug, Default)]
pub(super) struct Entry<'a> {
    /// Visible text or summary.
    pub text: Option<Str<'a>>,
    /// Signature over it.
    pub signature: Option<Str<'a>>,
    /// Reasoning that only its maker can read.
    pub data: Option<Str<'a>>,
}

impl<'a> Entry<'a> {
    fn read(value: &mut Reader<'a>) -> Result<Self, Error> {
        let mut entry = Entry::default();
        value.lenient_object(|key, value| {
            match key {
                "text" | "summary" | "thinking" => entry.text = value.lenient_string()?,
                "signature" => entry.signature = value.lenient_string()?,
                "data" => entry.data = value.lenient_string()?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        entry.signature = entry.signature.filter(|s| !s.is_empty());
        entry.data = entry.data.filter(|s| !s.is_empty());
        Ok(entry)
    }

    /// The state of this entry as an upstream of our own kind gave it.
    pub(super) fn native_state(&self) -> Option<Opaque<'a>> {
        let (value, kind) = match (&self.signature, &self.data) {
            (Some(signature), _) => (signature, OpaqueKind::Signature),
            (None, Some(data)) => (data, OpaqueKind::EncryptedContent),
            (None, None) => return None,
        };
        Some(Opaque::new(Provider::None, kind, value.clone()))
    }
}

/// Reads a list of details; other types count as empty.
pub(super) fn entries<'a>(value: &mut Reader<'a>) -> Result<Vec<Entry<'a>>, Error> {
    let mut list = Vec::new();
    value.lenient_array(|value| {
        list.push(Entry::read(value)?);
        Ok::<_, Error>(())
    })?;
    Ok(list)
}

/// Reasoning of one message, wherever the server or client put it.
#[derive(Debug, Default)]
pub(super) struct Fields<'a> {
    content: Option<Str<'a>>,
    plain: Option<Str<'a>>,
    details: Vec<Entry<'a>>,
    blocks: Vec<Entry<'a>>,
}

impl<'a> Fields<'a> {
    /// Takes a member of a message or delta; `false` if it is none of reasoning.
    pub(super) fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<bool, Error> {
        match key {
            "reasoning_content" => self.content = value.lenient_string()?,
            "reasoning" => self.plain = value.lenient_string()?,
            "reasoning_details" => self.details = entries(value)?,
            "thinking_blocks" => self.blocks = entries(value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether nothing came.
    pub(super) fn is_empty(&self) -> bool {
        let blank = |text: &Option<Str<'_>>| text.as_ref().is_none_or(Str::is_empty);
        blank(&self.content) && blank(&self.plain) && self.details.is_empty() && self.blocks.is_empty()
    }

    /// T113: servers send the same text under several names; the first non-empty counts.
    pub(super) fn text(&self) -> Option<Str<'a>> {
        let plain = [&self.content, &self.plain].into_iter().flatten().find(|t| !t.is_empty());
        if let Some(text) = plain {
            return Some(text.clone());
        }
        [&self.details, &self.blocks].into_iter().find_map(|list| joined(list))
    }

    /// The last state among the details.
    pub(super) fn state(&self) -> Option<Opaque<'a>> {
        self.details.iter().rev().chain(self.blocks.iter().rev()).find_map(Entry::native_state)
    }

    /// The parts of an assistant message in a client's history.
    pub(super) fn into_history(self, losses: &mut Vec<&'static str>) -> Vec<Part<'a>> {
        let text = self.text();
        let entries = if self.details.is_empty() { self.blocks } else { self.details };
        let told = entries.iter().any(|e| e.text.is_some());
        let mut parts = Vec::new();
        if let Some(text) = text.filter(|_| !told) {
            parts.push(Part::new(PartKind::Reasoning { text, redacted: false }));
        }
        parts.extend(entries.into_iter().filter_map(|entry| history_part(entry, losses)));
        parts
    }
}

fn joined<'a>(list: &[Entry<'a>]) -> Option<Str<'a>> {
    let mut texts = list.iter().filter_map(|e| e.text.as_ref()).filter(|t| !t.is_empty());
    let mut text = texts.next()?.clone();
    texts.for_each(|more| text.push(more));
    Some(text)
}

/// A detail that a client sends back: our own envelope, or what a Chat server made.
fn history_part<'a>(entry: Entry<'a>, losses: &mut Vec<&'static str>) -> Option<Part<'a>> {
    let state = entry.native_state();
    let text = entry.text.unwrap_or_default();
    let Some(mut state) = state else {
        let part = Part::new(PartKind::Reasoning { text, redacted: false });
        return Some(part)
            .filter(|p| !matches!(&p.kind, PartKind::Reasoning { text, .. } if text.is_empty()));
    };
    if let Some(opened) = envelope::open(&state.value) {
        // Anthropic refuses altered thinking, and an altered text is worthless to anyone else.
        if !opened.matches(&text) {
            losses.push("reasoning.mutated");
            return None;
        }
        state = opened.opaque;
    }
    let redacted = state.kind == OpaqueKind::Redacted;
    let opaque = Some(state).filter(|state| !state.is_nothing());
    Some(Part { kind: PartKind::Reasoning { text, redacted }, cache: None, opaque })
}

/// The state as it stands in `reasoning_details`: what a Chat server made goes as it is, the rest in
/// an envelope. `None` if there is nothing to say.
pub(super) fn carried(opaque: &Opaque<'_>, text: &Str<'_>) -> Option<Str<'static>> {
    match opaque.provider {
        _ if opaque.is_nothing() => None,
        Provider::None => Some(opaque.value.clone().into_owned()),
        _ => Some(envelope::seal(opaque, text)),
    }
}

/// Writes one entry of `reasoning_details`.
pub(super) fn write_detail(
    index: u64,
    text: &Str<'_>,
    redacted: bool,
    opaque: &Opaque<'_>,
    w: &mut Writer<'_>,
) {
    let Some(value) = carried(opaque, text) else { return };
    let hidden = redacted || opaque.provider == Provider::None && opaque.kind != OpaqueKind::Signature;
    w.begin_object();
    w.key("index").u64(index);
    if hidden {
        w.key("type").text("reasoning.encrypted");
        w.key("data").string(&value);
    } else {
        w.key("type").text("reasoning.text");
        w.key("text").string(text);
        w.key("signature").string(&value);
    }
    w.end_object();
}

/// Reads `extra_content.google.thought_signature`.
pub(super) fn google_signature<'a>(value: &mut Reader<'a>) -> Result<Option<Opaque<'a>>, Error> {
    let mut found = None;
    value.lenient_object(|key, value| {
        if key == "google" {
            value.lenient_object(|key, value| {
                if key == "thought_signature" {
                    found = value.lenient_string()?.filter(|s| !s.is_empty());
                }
                Ok::<_, Error>(())
            })?;
        }
        Ok::<_, Error>(())
    })?;
    Ok(found.map(|value| match envelope::open(&value) {
        Some(opened) => opened.opaque,
        None => Opaque::new(Provider::Gemini, OpaqueKind::Signature, value),
    }))
}

/// Writes the `extra_content` member, for state that Google's own compatible surface spells so.
pub(super) fn write_google_signature(value: &Str<'_>, w: &mut Writer<'_>) {
    w.key("extra_content").begin_object();
    w.key("google").begin_object();
    w.key("thought_signature").string(value);
    w.end_object();
    w.end_object();
}

/// Whether the state is a Gemini signature.
pub(super) fn is_google(opaque: &Opaque<'_>) -> bool {
    opaque.provider == Provider::Gemini
}

/// What goes back in place of reasoning that is not there: Kimi takes an empty text for none.
pub(super) fn stand_in(model: &str) -> &'static str {
    let model = model.to_ascii_lowercase();
    if model.contains("kimi") || model.contains("moonshot") { " " } else { "" }
}

/// Writes reasoning into an assistant message of a request, for servers that want it back. They refuse calls without
/// any: there `replay` stands in for it.
pub(super) fn write_replay(
    parts: &[&Part<'_>],
    replay: Option<&str>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) {
    let mut text = Str::EMPTY;
    let mut details = Vec::new();
    for part in parts {
        let PartKind::Reasoning { text: more, redacted } = &part.kind else { continue };
        let own = part.opaque.as_ref().is_none_or(|o| o.provider == Provider::None);
        if replay.is_none() || !own || *redacted {
            losses.drop(if replay.is_some() { "reasoning.foreign" } else { "reasoning" });
            continue;
        }
        text.push(more);
        if let Some(opaque) = &part.opaque {
            details.push((more, opaque));
        }
    }
    if !text.is_empty() {
        w.key("reasoning_content").string(&text);
    } else if let Some(stand_in) = replay
        && parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall { .. }))
    {
        w.key("reasoning_content").text(stand_in);
    }
    if details.iter().any(|(text, opaque)| carried(opaque, text).is_some()) {
        w.key("reasoning_details").begin_array();
        for (index, (text, opaque)) in (0..).zip(details) {
            write_detail(index, text, false, opaque, w);
        }
        w.end_array();
    }
}

/// Whether a list comes next: Mistral streams thinking as content parts.
pub(super) fn is_list(value: &mut Reader<'_>) -> Result<bool, Error> {
    Ok(value.peek()? == Kind::Array)
}
