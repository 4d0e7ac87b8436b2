//! `contents`: the conversation.

use std::borrow::Cow;
use std::collections::{HashMap, VecDeque};

use super::super::super::keys::each;
use super::super::super::part::{Body, Call, FunctionResponse, Part as Wire};
use super::super::super::signature::{self, Slot};
use super::{Result, media};
use crate::protocol::canonical::{OpaqueKind, Part, PartKind, Role, Turn, derived_id, envelope};
use crate::protocol::json::{Error, Kind, Raw, Reader, Str};
use crate::protocol::{Protocol, RequestError};

/// The conversation as it is read.
#[derive(Default)]
pub(super) struct History<'a> {
    pub(super) turns: Vec<Turn<'a>>,
    /// Whether reasoning was dropped because its text is not what was signed.
    pub(super) mutated: bool,
    /// How many contents have been read: ids of calls without one are made of it (T065).
    contents: usize,
    /// Calls of the step that responses belong to.
    pending: HashMap<String, VecDeque<Str<'a>>>,
}

struct Pending<'a> {
    name: Str<'a>,
    id: Str<'a>,
}

/// A part, and state that came with it but was made for another text.
struct Fragment<'a> {
    part: Part<'a>,
    loose: Option<envelope::Opened>,
}

impl<'a> History<'a> {
    /// Reads one content, or a bare string of the user's (T135).
    pub(super) fn content(&mut self, reader: &mut Reader<'a>) -> Result<()> {
        let mut role = None;
        let mut fragments = Vec::new();
        let mut calls = Vec::new();
        if reader.peek()? == Kind::String {
            fragments.push(Fragment { part: Part::text(reader.string()?), loose: None });
        } else {
            reader.object(|key, value| match key {
                "role" => {
                    role = value.string_or_null()?;
                    Ok(())
                }
                "parts" => each(value, |part| self.part(part, &mut fragments, &mut calls)),
                _ => Ok::<_, RequestError>(()),
            })?;
        }
        self.contents += 1;
        let role = role_of(role.as_ref(), &fragments)?;
        self.push(role, fragments, calls);
        Ok(())
    }

    fn part(
        &mut self,
        reader: &mut Reader<'a>,
        fragments: &mut Vec<Fragment<'a>>,
        calls: &mut Vec<Pending<'a>>,
    ) -> Result<()> {
        if reader.peek()? == Kind::String {
            fragments.push(Fragment { part: Part::text(reader.string()?), loose: None });
            return Ok(());
        }
        let mut whole = reader.clone();
        let offset = reader.offset();
        let wire = Wire::read(reader)?;
        // Chat helpers replay empty texts of their own making (T180).
        if wire.is_blank() {
            return Ok(());
        }
        let Wire { text, thought, signature, body, resolution } = wire;
        let is_text = matches!(body, Body::Text);
        let text = text.unwrap_or_default();
        let kind = match body {
            Body::Text if thought => PartKind::Reasoning { text, redacted: false },
            Body::Text => PartKind::Text { text },
            Body::Call(call) => self.call(call, calls),
            Body::Response(response) => self.response(response)?,
            Body::Inline { mime, data, name } => {
                PartKind::Media(with_detail(media::inline(&mime, &data, name), resolution))
            }
            Body::File { uri, mime, name } => {
                PartKind::Media(with_detail(media::file(uri, &mime, name), resolution))
            }
            Body::Other(tag) => {
                PartKind::Opaque { protocol: Protocol::Gemini, tag: Str::from(tag), raw: whole.raw()? }
            }
        };
        fragments.push(Fragment::new(kind.at(offset), signature, is_text));
        Ok(())
    }

    fn call(&mut self, call: Call<'a>, calls: &mut Vec<Pending<'a>>) -> PartKind<'a> {
        let Call { id, name, args, .. } = call;
        let id = id.unwrap_or_else(|| {
            // The same history gives the same ids, however often it is sent (T187).
            let seed = format!("{}:{}:{}", self.contents, calls.len(), name.decode());
            Str::from(derived_id("call_", seed.as_bytes()))
        });
        calls.push(Pending { name: name.clone(), id: id.clone() });
        let arguments = args.map_or(Cow::Borrowed("{}"), Raw::into_text);
        PartKind::ToolCall { id, name, arguments, custom: false }
    }

    fn response(&mut self, response: FunctionResponse<'a>) -> Result<PartKind<'a>> {
        let FunctionResponse { id, name, response, parts } = response;
        let call_id = self.answered(id, name.as_ref());
        let (text, is_error) = match response {
            Some(raw) => outcome(raw)?,
            None => (Str::EMPTY, false),
        };
        let mut content = Vec::new();
        if !text.is_empty() {
            content.push(Part::text(text));
        }
        if let Some(mut list) = parts {
            each(&mut list, |part| {
                part.peek()?;
                let offset = part.offset();
                if let Some(kind) = result_media(Wire::read(part)?) {
                    content.push(Part::new(kind.at(offset)));
                }
                Ok::<_, Error>(())
            })?;
        }
        Ok(PartKind::ToolResult { call_id, name, content, is_error, custom: false })
    }

    /// The id of the call that a response answers: first come, first served among equal names.
    fn answered(&mut self, id: Option<Str<'a>>, name: Option<&Str<'a>>) -> Str<'a> {
        let word = name.map(|name| name.decode().into_owned()).unwrap_or_default();
        let waiting = self.pending.get_mut(&word);
        if let Some(id) = id {
            if let Some(calls) = waiting.filter(|calls| calls.front() == Some(&id)) {
                calls.pop_front();
            }
            return id;
        }
        waiting.and_then(VecDeque::pop_front).unwrap_or_else(|| {
            Str::from(derived_id("call_", format!("{}::{word}", self.contents).as_bytes()))
        })
    }

    /// Adds a content; runs of model contents become one turn (T180).
    fn push(&mut self, role: Role, fragments: Vec<Fragment<'a>>, calls: Vec<Pending<'a>>) {
        let continues =
            role == Role::Assistant && self.turns.last().is_some_and(|turn| turn.role == Role::Assistant);
        if role == Role::Assistant && !continues {
            self.pending.clear();
        }
        for Pending { name, id } in calls {
            self.pending.entry(name.decode().into_owned()).or_default().push_back(id);
        }
        if fragments.is_empty() {
            return;
        }
        if !continues {
            self.turns.push(Turn { role, parts: Vec::new() });
        }
        let Some(turn) = self.turns.last_mut() else { return };
        for (at, fragment) in fragments.into_iter().enumerate() {
            // Only where a streamed answer was cut into contents do texts belong together.
            let joins = continues && at == 0;
            self.mutated |= append(&mut turn.parts, fragment, joins);
        }
        if turn.parts.is_empty() {
            self.turns.pop();
        }
    }
}

impl<'a> Fragment<'a> {
    fn new(kind: PartKind<'a>, signature: Option<Str<'a>>, is_text: bool) -> Self {
        let mut fragment = Fragment { part: Part::new(kind), loose: None };
        let Some(value) = signature else { return fragment };
        let text = match &fragment.part.kind {
            PartKind::Text { text } | PartKind::Reasoning { text, .. } if is_text => Some(text.borrowed()),
            // An opaque part carries its signature inside.
            PartKind::Opaque { .. } => return fragment,
            _ => None,
        };
        match signature::open(value, text.as_ref()) {
            Slot::Bound(opaque) if opaque.is_nothing() => {}
            Slot::Bound(opaque) => {
                if let PartKind::Reasoning { redacted, .. } = &mut fragment.part.kind {
                    *redacted = opaque.kind == OpaqueKind::Redacted;
                }
                fragment.part.opaque = Some(opaque);
            }
            Slot::Loose(opened) => fragment.loose = Some(opened),
        }
        fragment
    }
}

/// Adds a fragment to a turn; says whether it had to be dropped as mutated.
fn append<'a>(parts: &mut Vec<Part<'a>>, fragment: Fragment<'a>, joins: bool) -> bool {
    let Fragment { part, loose } = fragment;
    let last = parts.last_mut().filter(|last| last.opaque.is_none());
    if let Some(opened) = loose {
        return match (last, part.kind) {
            // A stream signs reasoning with an empty part after it: the texts before it are one.
            (
                Some(Part { kind: PartKind::Reasoning { text, .. }, opaque, .. }),
                PartKind::Reasoning { text: own, .. },
            ) if own.is_empty() && opened.matches(text) => {
                *opaque = Some(opened.opaque);
                false
            }
            _ => true,
        };
    }
    if part.opaque.is_none()
        && let Some(last) = last
    {
        match (&mut last.kind, &part.kind) {
            (PartKind::Reasoning { text, .. }, PartKind::Reasoning { text: more, .. }) => {
                text.push(more);
                return false;
            }
            (PartKind::Text { text }, PartKind::Text { text: more }) if joins => {
                text.push(more);
                return false;
            }
            _ => {}
        }
    }
    parts.push(part);
    false
}

fn role_of(role: Option<&Str<'_>>, fragments: &[Fragment<'_>]) -> Result<Role> {
    let called = |f: &Fragment<'_>| matches!(f.part.kind, PartKind::ToolCall { .. });
    let word = role.map(Str::decode).unwrap_or_default();
    match &*word {
        "model" | "assistant" => Ok(Role::Assistant),
        "" if fragments.iter().any(called) => Ok(Role::Assistant),
        // Responses had a role of their own once.
        "" | "user" | "function" | "tool" => Ok(Role::User),
        "system" => Ok(Role::System),
        _ => Err(RequestError::invalid("contents.role", "must be user or model")),
    }
}

/// Text and error flag of a response object (2.7, gem→others).
fn outcome(raw: Raw<'_>) -> Result<(Str<'_>, bool), Error> {
    let Cow::Borrowed(text) = raw.into_text() else { return Ok((Str::EMPTY, false)) };
    if !text.starts_with('{') {
        return Ok((Str::escape(text), false));
    }
    let mut members = 0;
    let mut only = None;
    Reader::new(text).object(|key, value| {
        members += 1;
        let is_error = match key {
            "output" | "result" => false,
            "error" => true,
            _ => return Ok(()),
        };
        if value.peek()? == Kind::String {
            only = Some((value.string()?, is_error));
        }
        Ok::<_, Error>(())
    })?;
    Ok(match only {
        Some(only) if members == 1 => only,
        _ => (Str::escape(text), false),
    })
}

fn result_media(wire: Wire<'_>) -> Option<PartKind<'_>> {
    match wire.body {
        Body::Inline { mime, data, name } => Some(PartKind::Media(media::inline(&mime, &data, name))),
        Body::File { uri, mime, name } => Some(PartKind::Media(media::file(uri, &mime, name))),
        _ => wire.text.filter(|text| !text.is_empty()).map(|text| PartKind::Text { text }),
    }
}

fn with_detail<'a>(
    mut media: crate::protocol::canonical::Media<'a>,
    resolution: Option<Str<'a>>,
) -> crate::protocol::canonical::Media<'a> {
    media.detail = resolution.and_then(|level| match &*level.decode() {
        "MEDIA_RESOLUTION_LOW" => Some(Str::from("low")),
        "MEDIA_RESOLUTION_MEDIUM" => Some(Str::from("auto")),
        "MEDIA_RESOLUTION_HIGH" | "MEDIA_RESOLUTION_ULTRA_HIGH" => Some(Str::from("high")),
        _ => None,
    });
    media
}
