//! Items of an answer: the same objects end a stream's parts and fill a whole answer's `output`.

use std::borrow::Cow;

use super::search;
use crate::protocol::Protocol;
use crate::protocol::canonical::{
    Citation, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, PartKind, Provider, TokenLogprob,
};
use crate::protocol::json::{Error, Kind, Reader, Str};

/// An item of an answer.
#[derive(Debug, Default)]
pub(super) struct Item<'a> {
    /// Its type.
    pub(super) kind: Str<'a>,
    /// Whether a limit cut it off.
    pub(super) incomplete: bool,
    /// Its id, empty when it has none.
    pub(super) id: Str<'a>,
    /// What it holds, in order.
    pub(super) parts: Vec<ItemPart<'a>>,
}

/// A part of an item, with the sources it cites and the probabilities of its tokens.
#[derive(Debug)]
pub(super) struct ItemPart<'a> {
    pub(super) part: Part<'a>,
    pub(super) citations: Vec<Citation<'a>>,
    pub(super) logprobs: Vec<TokenLogprob<'a>>,
}

/// The members of an item that matter, before its type is known.
#[derive(Debug, Default)]
struct Members<'a> {
    kind: Str<'a>,
    id: Str<'a>,
    status: Str<'a>,
    call_id: Str<'a>,
    name: Str<'a>,
    namespace: Str<'a>,
    arguments: Cow<'a, str>,
    input: Cow<'a, str>,
    content: Option<Reader<'a>>,
    summary: Option<Reader<'a>>,
    encrypted: Str<'a>,
    action: Option<Reader<'a>>,
    result: Str<'a>,
    output_format: Str<'a>,
}

/// Reads an item; parts without content are left out, except calls.
pub(super) fn read<'a>(reader: &mut Reader<'a>) -> Result<Item<'a>, Error> {
    let whole = reader.clone();
    let mut m = Members::default();
    reader.lenient_object(|key, value| m.read(key, value))?;
    let incomplete = m.status == "incomplete";
    let (kind, id) = (m.kind.clone(), m.id.clone());
    let parts = m.into_parts(whole)?;
    Ok(Item { kind, incomplete, id, parts })
}

impl<'a> Members<'a> {
    fn read(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        let slot = match key {
            "type" => &mut self.kind,
            "id" => &mut self.id,
            "status" => &mut self.status,
            "call_id" => &mut self.call_id,
            "name" => &mut self.name,
            "namespace" => &mut self.namespace,
            "encrypted_content" => &mut self.encrypted,
            "result" => &mut self.result,
            "output_format" => &mut self.output_format,
            "arguments" => {
                self.arguments = arguments(value)?;
                return Ok(());
            }
            "input" => {
                self.input = value.lenient_string()?.unwrap_or_default().into_decoded();
                return Ok(());
            }
            "content" => {
                self.content = Some(value.clone());
                return Ok(());
            }
            "action" => {
                self.action = Some(value.clone());
                return Ok(());
            }
            "summary" => {
                self.summary = Some(value.clone());
                return Ok(());
            }
            _ => return Ok(()),
        };
        *slot = value.lenient_string()?.unwrap_or_default();
        Ok(())
    }

    fn into_parts(mut self, mut whole: Reader<'a>) -> Result<Vec<ItemPart<'a>>, Error> {
        if self.kind == "web_search_call"
            && let Some(call) =
                search::read(self.action.take(), self.id.clone(), &self.status, whole.clone().raw()?)?
        {
            return Ok(vec![ItemPart::plain(Part::new(PartKind::WebSearchCall(Box::new(call))))]);
        }
        let part = match &*self.kind.decode() {
            "message" => return message(self.content),
            "reasoning" => return Ok(self.reasoning()?.into_iter().map(ItemPart::plain).collect()),
            "function_call" => Part::new(PartKind::ToolCall {
                name: flat_name(&self.namespace, self.name),
                id: if self.call_id.is_empty() { self.id } else { self.call_id },
                arguments: self.arguments,
                custom: false,
            }),
            "custom_tool_call" => Part::new(PartKind::ToolCall {
                id: if self.call_id.is_empty() { self.id } else { self.call_id },
                name: self.name,
                arguments: self.input,
                custom: true,
            }),
            "image_generation_call" if !self.result.is_empty() => self.image(),
            _ => Part::new(PartKind::Opaque {
                protocol: Protocol::Responses,
                tag: self.kind.clone(),
                raw: whole.raw()?,
            }),
        };
        Ok(vec![ItemPart::plain(part)])
    }

    fn reasoning(self) -> Result<Option<Part<'a>>, Error> {
        let mut text = reasoning_text(self.summary)?;
        if text.is_empty() {
            text = reasoning_text(self.content)?;
        }
        if text.is_empty() && self.encrypted.is_empty() {
            return Ok(None);
        }
        let mut part = Part::new(PartKind::Reasoning { text, redacted: false });
        part.opaque = encrypted_state(self.encrypted, self.id);
        Ok(Some(part))
    }

    fn image(self) -> Part<'a> {
        let mime = match &*self.output_format.decode() {
            "jpeg" | "jpg" => "image/jpeg",
            "webp" => "image/webp",
            _ => "image/png",
        };
        Part::new(PartKind::Media(Media {
            kind: MediaKind::Image,
            mime: mime.into(),
            source: MediaSource::Inline(self.result),
            name: None,
            context: None,
            detail: None,
            citations: false,
            offset: None,
        }))
    }
}

impl<'a> ItemPart<'a> {
    fn plain(part: Part<'a>) -> Self {
        ItemPart { part, citations: Vec::new(), logprobs: Vec::new() }
    }
}

/// The encrypted reasoning of an item, bound to its id (T105).
fn encrypted_state<'a>(value: Str<'a>, id: Str<'a>) -> Option<Opaque<'a>> {
    (!value.is_empty()).then(|| Opaque {
        item_id: (!id.is_empty()).then_some(id),
        ..Opaque::new(Provider::OpenAi, OpaqueKind::EncryptedContent, value)
    })
}

/// One name for a tool in a namespace; the hub has none (T088).
pub(super) fn flat_name<'a>(namespace: &Str<'_>, name: Str<'a>) -> Str<'a> {
    if namespace.is_empty() {
        return name;
    }
    let mut flat = namespace.borrowed().into_owned();
    flat.push(&Str::from_escaped("__"));
    flat.push(&name);
    flat
}

/// Arguments as JSON text: the string's content, or the object that some servers send in its place.
/// Nothing is an empty object (T059).
pub(super) fn arguments<'a>(value: &mut Reader<'a>) -> Result<Cow<'a, str>, Error> {
    let text = match value.peek()? {
        Kind::String => value.string()?.into_decoded(),
        Kind::Object => value.raw()?.into_text(),
        _ => Cow::Borrowed(""),
    };
    Ok(if text.trim().is_empty() { Cow::Borrowed("{}") } else { text })
}

/// The texts of summary or content segments, as paragraphs of one text.
pub(super) fn reasoning_text<'a>(segments: Option<Reader<'a>>) -> Result<Str<'a>, Error> {
    let mut text = Str::EMPTY;
    let Some(mut segments) = segments else { return Ok(text) };
    segments.lenient_array(|segment| {
        segment.lenient_object(|key, value| {
            if key == "text"
                && let Some(more) = value.lenient_string()?
                && !more.is_empty()
            {
                append_segment(&mut text, more);
            }
            Ok::<_, Error>(())
        })
    })?;
    Ok(text)
}

/// What stands between two segments of reasoning.
pub(super) const SEGMENT_BREAK: &str = "\\n\\n";

fn append_segment<'a>(text: &mut Str<'a>, more: Str<'a>) {
    if text.is_empty() {
        *text = more;
    } else {
        text.push(&Str::from_escaped(SEGMENT_BREAK));
        text.push(&more);
    }
}

fn message<'a>(content: Option<Reader<'a>>) -> Result<Vec<ItemPart<'a>>, Error> {
    let mut parts = Vec::new();
    let Some(mut content) = content else { return Ok(parts) };
    if content.peek()? == Kind::String {
        parts.push(ItemPart::plain(Part::text(content.string()?)));
        return Ok(parts);
    }
    content.lenient_array(|part| {
        // Parts of unknown types keep their place: it is their number in the stream.
        parts.push(content_part(part)?.unwrap_or_else(|| ItemPart::plain(Part::text(Str::EMPTY))));
        Ok::<_, Error>(())
    })?;
    Ok(parts)
}

/// Reads one content part; `None` if it is none of a message (reasoning has content parts too).
pub(super) fn content_part<'a>(reader: &mut Reader<'a>) -> Result<Option<ItemPart<'a>>, Error> {
    let (mut kind, mut text, mut refusal) = (Str::EMPTY, Str::EMPTY, None);
    let (mut citations, mut logprobs) = (Vec::new(), Vec::new());
    reader.lenient_object(|key, value| {
        match key {
            "type" => kind = value.lenient_string()?.unwrap_or_default(),
            "text" => text = value.lenient_string()?.unwrap_or_default(),
            "refusal" => refusal = value.lenient_string()?,
            "annotations" => value.lenient_array(|annotation| {
                citations.extend(Citation::read(annotation)?);
                Ok::<_, Error>(())
            })?,
            "logprobs" => logprobs = TokenLogprob::read_list(value)?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    let part = match &*kind.decode() {
        "refusal" => Part::new(PartKind::Refusal { text: refusal.unwrap_or(text) }),
        "output_text" | "text" | "" => Part::text(text),
        _ => return Ok(None),
    };
    Ok(Some(ItemPart { part, citations, logprobs }))
}

/// Whether an item of this type waits for the client to do something.
pub(super) fn is_client_call(kind: &str) -> bool {
    matches!(
        kind,
        "function_call"
            | "custom_tool_call"
            | "local_shell_call"
            | "shell_call"
            | "apply_patch_call"
            | "computer_call"
    )
}
