//! The parts of a content: text, media, calls, responses, and whose signature goes on what.

use std::borrow::Cow;

use super::super::super::media::mime_of_uri;
use super::super::super::signature::{self, SENTINEL};
use super::Context;
use super::contents::{Content, Piece, is_media};
use crate::protocol::canonical::media::{encode_base64, normalise_base64};
use crate::protocol::canonical::{
    Action, Losses, Media, MediaKind, MediaSource, Part, PartKind, Unsupported, fit_call_id,
};
use crate::protocol::json::{Raw, Str, Writer, as_object};
use crate::protocol::{Protocol, RequestError};

/// Writes one content. `is_loop`: calls without a signature would be refused (T100).
pub(super) fn write_content(
    context: &Context<'_>,
    content: &Content<'_>,
    is_loop: bool,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    w.begin_object().key("role").text(if content.is_model { "model" } else { "user" });
    w.key("parts").begin_array();
    let start = w.buffer().len();
    if content.is_model {
        ModelWriter { context, is_loop, has_called: false }.write(&content.pieces, losses, w)?;
    } else {
        for piece in &content.pieces {
            write_user_piece(context, piece, losses, w)?;
        }
    }
    if w.buffer().len() == start {
        // All that it held was state of others; the turn must stay for roles to alternate.
        write_text(&Str::EMPTY, None, false, w);
    }
    w.end_array().end_object();
    Ok(())
}

struct ModelWriter<'c> {
    context: &'c Context<'c>,
    is_loop: bool,
    has_called: bool,
}

impl ModelWriter<'_> {
    fn write(
        &mut self,
        pieces: &[Piece<'_>],
        losses: &mut Losses,
        w: &mut Writer<'_>,
    ) -> Result<(), RequestError> {
        let mut carried = None;
        for (at, piece) in pieces.iter().enumerate() {
            let Piece::Part(part) = piece else { continue };
            let own = part.opaque.as_ref().and_then(signature::for_upstream);
            match &part.kind {
                PartKind::Reasoning { text, .. } => {
                    if self.passes_on(part, pieces.get(at + 1)) {
                        carried = own;
                        if text.is_empty() {
                            continue;
                        }
                        write_text(text, None, true, w);
                    } else {
                        self.write_reasoning(part, own, losses, w);
                    }
                }
                PartKind::ToolCall { .. } => {
                    let first = !std::mem::replace(&mut self.has_called, true);
                    let sentinel = (first && self.is_loop).then(|| Str::from_escaped(SENTINEL));
                    let signature = own.or(carried.take()).or(sentinel);
                    self.write_call(part, signature.as_ref(), losses, w);
                }
                PartKind::Text { text } => write_text(text, own.as_ref(), false, w),
                PartKind::Refusal { text } => write_text(text, own.as_ref(), false, w),
                PartKind::Media(media) => write_media(self.context, media, losses, w)?,
                PartKind::Opaque { protocol: Protocol::Gemini, raw, .. } => {
                    w.raw(raw);
                }
                PartKind::Opaque { tag, .. } => {
                    losses.add_named(Action::Drop, &tag.decode());
                }
                PartKind::ToolResult { .. } => losses.drop("tool_result"),
                PartKind::WebSearchCall(_) => losses.drop("web_search_call"),
            }
        }
        Ok(())
    }

    /// Other protocols have no slot on a call: its signature waits in the reasoning before it (1.8).
    fn passes_on(&self, part: &Part<'_>, next: Option<&Piece<'_>>) -> bool {
        let is_call =
            matches!(next, Some(Piece::Part(Part { kind: PartKind::ToolCall { .. }, opaque: None, .. })));
        let is_own = part.opaque.as_ref().is_some_and(|o| signature::for_upstream(o).is_some());
        is_call && is_own && !self.context.is_native()
    }

    fn write_reasoning(
        &self,
        part: &Part<'_>,
        signature: Option<Str<'_>>,
        losses: &mut Losses,
        w: &mut Writer<'_>,
    ) {
        let PartKind::Reasoning { text, .. } = &part.kind else { return };
        let is_unsigned = part.opaque.is_none() && self.context.is_native();
        match signature {
            // Where it was visible text that was signed, other protocols cannot tell.
            Some(signature) if text.is_empty() && !self.context.is_native() => {
                write_text(text, Some(&signature), false, w);
            }
            Some(signature) => write_text(text, Some(&signature), true, w),
            None if is_unsigned => write_text(text, None, true, w),
            None => losses.drop("reasoning"),
        }
    }

    fn write_call(
        &self,
        part: &Part<'_>,
        signature: Option<&Str<'_>>,
        losses: &mut Losses,
        w: &mut Writer<'_>,
    ) {
        let PartKind::ToolCall { id, name, arguments, custom } = &part.kind else { return };
        w.begin_object().key("functionCall").begin_object();
        if self.context.sends_ids() && !id.is_empty() {
            w.key("id").string(&fit_call_id(Protocol::Gemini, id));
        }
        w.key("name").string(&self.context.exchange.tool_names.upstream(name));
        w.key("args");
        if *custom {
            w.begin_object().key("input").text(arguments).end_object();
        } else if !super::super::super::answer::write_arguments(arguments, w) {
            losses.add(Action::Approx, "tool_call.arguments");
        }
        w.end_object();
        if let Some(signature) = signature {
            w.key("thoughtSignature").string(signature);
        }
        w.end_object();
    }
}

fn write_user_piece(
    context: &Context<'_>,
    piece: &Piece<'_>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    let part = match piece {
        Piece::Text(text) => {
            write_text(text, None, false, w);
            return Ok(());
        }
        Piece::Response(part, name) => return write_response(context, part, name, losses, w),
        Piece::Part(part) => part,
    };
    match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => {
            let signature = part.opaque.as_ref().and_then(signature::for_upstream);
            write_text(text, signature.as_ref(), false, w);
        }
        PartKind::Media(media) => write_media(context, media, losses, w)?,
        PartKind::Opaque { protocol: Protocol::Gemini, raw, .. } => {
            w.raw(raw);
        }
        // Dropping what the user said would change the answer unseen (1.3).
        PartKind::Opaque { tag, .. } => {
            return Err(Unsupported::new(
                format!("content: {}", tag.decode()),
                "this kind of content has no equivalent at this upstream",
            )
            .into());
        }
        PartKind::Reasoning { .. } => losses.drop("reasoning"),
        PartKind::WebSearchCall(_) => losses.drop("web_search_call"),
        PartKind::ToolCall { .. } | PartKind::ToolResult { .. } => losses.drop("tool_call"),
    }
    Ok(())
}

fn write_text(text: &Str<'_>, signature: Option<&Str<'_>>, thought: bool, w: &mut Writer<'_>) {
    super::super::super::answer::write_text(text, thought, signature, w);
}

/// `functionResponse`: texts joined to one object, media beside it where the model takes them.
fn write_response(
    context: &Context<'_>,
    part: &Part<'_>,
    name: &Str<'_>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    let PartKind::ToolResult { call_id, content, is_error, .. } = &part.kind else { return Ok(()) };
    refuse_opaque(content, losses)?;
    w.begin_object().key("functionResponse").begin_object();
    if context.sends_ids() && !call_id.is_empty() {
        w.key("id").string(&fit_call_id(Protocol::Gemini, call_id));
    }
    w.key("name").string(&context.exchange.tool_names.upstream(name));
    w.key("response");
    let text = joined(content);
    match object(&text).filter(|_| !is_error) {
        Some(object) => {
            w.raw(&object);
        }
        None => {
            let key = if *is_error { "error" } else { "output" };
            w.begin_object().key(key).string(&text).end_object();
        }
    }
    let media = context.target.capabilities.media_in_results;
    if media && content.iter().any(is_media) {
        w.key("parts").begin_array();
        for part in content.iter().filter(|part| is_media(part)) {
            if let PartKind::Media(media) = &part.kind {
                write_media(context, media, losses, w)?;
            }
        }
        w.end_array();
    }
    w.end_object().end_object();
    Ok(())
}

/// The object that a result is the text of. Most are prose, which shows without unescaping it.
fn object<'p>(text: &'p Str<'_>) -> Option<Raw<'p>> {
    let may_be = matches!(text.as_escaped().trim_start().as_bytes().first(), Some(b'{' | b'\\'));
    if may_be { as_object(text.decode()) } else { None }
}

/// All texts of a result, one per line.
fn joined<'p>(content: &'p [Part<'_>]) -> Str<'p> {
    let mut texts = content.iter().filter_map(|part| match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => Some(text),
        PartKind::Media(Media { source: MediaSource::Text(text), .. }) => Some(text),
        _ => None,
    });
    let Some(first) = texts.next() else { return Str::EMPTY };
    let mut all = first.borrowed();
    for text in texts {
        all.push(&Str::from_escaped(r"\n"));
        all.push(text);
    }
    all
}

/// Foreign blocks in a result: refused if there is nothing else, else dropped by name (2.7).
fn refuse_opaque(content: &[Part<'_>], losses: &mut Losses) -> Result<(), Unsupported> {
    for part in content {
        let PartKind::Opaque { tag, .. } = &part.kind else { continue };
        if content.len() == 1 {
            return Err(Unsupported::new(
                format!("tool_result: {}", tag.decode()),
                "this kind of result has no equivalent at this upstream",
            ));
        }
        losses.add_named(Action::Drop, &format!("tool_result.{}", tag.decode()));
    }
    Ok(())
}

fn write_media(
    context: &Context<'_>,
    media: &Media<'_>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    if media.citations {
        losses.drop("citations");
    }
    for words in media.preface(context.is_native()) {
        write_text(words, None, false, w);
    }
    match &media.source {
        MediaSource::Inline(data) => write_inline(context, media, &normalise_base64(data), w),
        MediaSource::Text(text) => {
            let data = Str::from_escaped(encode_base64(text.decode().as_bytes()));
            write_inline(context, media, &data, w);
        }
        MediaSource::Url(uri) => {
            if !context.is_native() {
                // Not every model fetches from the open web.
                losses.add(Action::Approx, "media.url");
            }
            write_file(context, media, uri, w);
        }
        MediaSource::FileId(Protocol::Gemini, uri) => write_file(context, media, uri, w),
        MediaSource::FileId(..) => {
            return Err(Unsupported::new(
                "file_id",
                "a file uploaded to another provider cannot be read here; send its content",
            )
            .into());
        }
    }
    Ok(())
}

fn write_inline(context: &Context<'_>, media: &Media<'_>, data: &Str<'_>, w: &mut Writer<'_>) {
    let mime = if media.mime.is_empty() { Str::from_escaped("text/plain") } else { media.mime.borrowed() };
    w.begin_object().key("inlineData").begin_object();
    w.key("mimeType").string(&mime);
    w.key("data").string(data);
    // Only Vertex knows names; a client that gives one knows where it is.
    if let Some(name) = media.name.as_ref().filter(|_| context.is_native()) {
        w.key("displayName").string(name);
    }
    w.end_object();
    write_resolution(context, media, w);
    w.end_object();
}

fn write_file(context: &Context<'_>, media: &Media<'_>, uri: &Str<'_>, w: &mut Writer<'_>) {
    let mime: Option<Cow<'_, str>> = match media.mime.is_empty() {
        false => Some(media.mime.decode()),
        true => mime_of_uri(&uri.decode())
            .or_else(|| usual_mime(media.kind).filter(|_| !context.is_native()))
            .map(Cow::Borrowed),
    };
    w.begin_object().key("fileData").begin_object();
    if let Some(mime) = mime {
        w.key("mimeType").text(&mime);
    }
    w.key("fileUri").string(uri);
    w.end_object();
    write_resolution(context, media, w);
    w.end_object();
}

/// The type of most files of a kind: without any, the API refuses the file.
fn usual_mime(kind: MediaKind) -> Option<&'static str> {
    match kind {
        MediaKind::Image => Some("image/jpeg"),
        MediaKind::Document => Some("application/pdf"),
        MediaKind::Audio | MediaKind::Video => None,
    }
}

/// How closely to look at a picture; only new models take it per part.
fn write_resolution(context: &Context<'_>, media: &Media<'_>, w: &mut Writer<'_>) {
    let may = context.has_levels()
        && matches!(media.kind, MediaKind::Image | MediaKind::Video | MediaKind::Document);
    let Some(detail) = media.detail.as_ref().filter(|_| may) else { return };
    let level = match &*detail.decode() {
        "low" => "MEDIA_RESOLUTION_LOW",
        "high" | "original" => "MEDIA_RESOLUTION_HIGH",
        "auto" if context.is_native() => "MEDIA_RESOLUTION_MEDIUM",
        _ => return,
    };
    w.key("mediaResolution").begin_object().key("level").text(level).end_object();
}
