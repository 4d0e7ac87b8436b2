//! Parts to content blocks.

use super::encode::Context;
use super::plan::{Block, Item};
use crate::protocol::canonical::{
    Action, CacheMark, Losses, Media, MediaKind, MediaSource, OpaqueKind, Part, PartKind, Unsupported,
    fit_call_id, media,
};
use crate::protocol::json::{self, Str, Writer};
use crate::protocol::{Protocol, RequestError};

/// Writes `cache_control`, if there is a mark.
pub(super) fn cache(mark: Option<CacheMark>, w: &mut Writer<'_>) {
    let Some(mark) = mark else { return };
    w.key("cache_control").begin_object();
    w.key("type").text("ephemeral");
    if mark == CacheMark::OneHour {
        w.key("ttl").text("1h");
    }
    w.end_object();
}

/// Writes one text block.
pub(super) fn text(text: &Str<'_>, mark: Option<CacheMark>, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("type").text("text");
    w.key("text").string(text);
    cache(mark, w);
    w.end_object();
}

/// Writes the content of a message: a string where one plain text is all there is.
pub(super) fn message(
    context: &Context<'_>,
    items: &[Item<'_>],
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    if let [Item { cache: None, .. }] = items
        && let Some(text) = items.first().and_then(Item::as_text)
    {
        w.string(text);
        return Ok(());
    }
    w.begin_array();
    for item in items {
        match &item.block {
            Block::Text(made) => text(made, item.cache, w),
            Block::Part(found) => part(context, found, item.cache, losses, w)?,
        }
    }
    w.end_array();
    Ok(())
}

fn part(
    context: &Context<'_>,
    part: &Part<'_>,
    mark: Option<CacheMark>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    match &part.kind {
        PartKind::Text { text: words } | PartKind::Refusal { text: words } => text(words, mark, w),
        PartKind::Reasoning { text, .. } => reasoning(part, text, w),
        PartKind::Media(found) => media(found, mark, w)?,
        PartKind::ToolCall { id, name, arguments, custom } => {
            w.begin_object();
            w.key("type").text("tool_use");
            w.key("id").string(&fit_call_id(Protocol::Anthropic, id));
            w.key("name").string(&context.exchange.tool_names.upstream(name));
            w.key("input");
            input(arguments, *custom, losses, w);
            cache(mark, w);
            w.end_object();
        }
        PartKind::ToolResult { call_id, content, is_error, .. } => {
            w.begin_object();
            w.key("type").text("tool_result");
            w.key("tool_use_id").string(&fit_call_id(Protocol::Anthropic, call_id));
            result(context, content, losses, w)?;
            if *is_error {
                w.key("is_error").boolean(true);
            }
            cache(mark, w);
            w.end_object();
        }
        PartKind::Opaque { raw, .. } => {
            w.raw(raw);
        }
        // Not planned for.
        PartKind::WebSearchCall(_) => {}
    }
    Ok(())
}

fn reasoning(part: &Part<'_>, text: &Str<'_>, w: &mut Writer<'_>) {
    let Some(opaque) = &part.opaque else { return };
    w.begin_object();
    if opaque.kind == OpaqueKind::Redacted {
        w.key("type").text("redacted_thinking");
        w.key("data").string(&opaque.value);
    } else {
        w.key("type").text("thinking");
        w.key("thinking").string(text);
        w.key("signature").string(&opaque.value);
    }
    w.end_object();
}

/// Writes a call's input, which must be an object; what is none is wrapped, never repaired (T062).
pub(in crate::protocol::anthropic) fn input(
    arguments: &str,
    custom: bool,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) {
    let member = if custom {
        "input"
    } else if arguments.trim().is_empty() {
        w.json("{}");
        return;
    } else if let Some(object) = json::as_object(arguments) {
        w.raw(&object);
        return;
    } else {
        losses.add(Action::Approx, "tool_call.arguments");
        "_raw_arguments"
    };
    w.begin_object();
    w.key(member).text(arguments);
    w.end_object();
}

/// Writes a result's content. An empty result has none, and stays: its call needs it (T074).
fn result(
    context: &Context<'_>,
    content: &[Part<'_>],
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    let is_empty = |part: &Part<'_>| matches!(&part.kind, PartKind::Text { text } if text.is_empty());
    let kept: Vec<&Part<'_>> = content.iter().filter(|part| !is_empty(part)).collect();
    if kept.is_empty() {
        return Ok(());
    }
    w.key("content");
    if let [Part { kind: PartKind::Text { text }, cache: None, .. }] = kept.as_slice() {
        w.string(text);
        return Ok(());
    }
    w.begin_array();
    for inner in &kept {
        result_part(context, inner, kept.len() == 1, losses, w)?;
    }
    w.end_array();
    Ok(())
}

fn result_part(
    context: &Context<'_>,
    inner: &Part<'_>,
    is_sole: bool,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    match &inner.kind {
        PartKind::Text { text } if text.is_blank() => Ok(()),
        PartKind::Text { .. } | PartKind::Refusal { .. } | PartKind::Media(_) => {
            part(context, inner, inner.cache, losses, w)
        }
        PartKind::Opaque { protocol: Protocol::Anthropic, raw, .. } => {
            w.raw(raw);
            Ok(())
        }
        _ if is_sole => {
            let message = "this tool result cannot be sent to Anthropic";
            Err(Unsupported::new("messages", message).into())
        }
        _ => {
            losses.drop("tool_result.content");
            Ok(())
        }
    }
}

fn media(found: &Media<'_>, mark: Option<CacheMark>, w: &mut Writer<'_>) -> Result<(), RequestError> {
    if matches!(found.kind, MediaKind::Audio | MediaKind::Video) {
        return Err(unsupported(found));
    }
    let is_image = found.kind == MediaKind::Image;
    w.begin_object();
    w.key("type").text(if is_image { "image" } else { "document" });
    w.key("source").begin_object();
    source(found, w)?;
    w.end_object();
    if !is_image {
        if let Some(title) = &found.name {
            w.key("title").string(title);
        }
        if let Some(text) = &found.context {
            w.key("context").string(text);
        }
        if found.citations {
            w.key("citations").begin_object();
            w.key("enabled").boolean(true);
            w.end_object();
        }
    }
    cache(mark, w);
    w.end_object();
    Ok(())
}

fn source(found: &Media<'_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
    match &found.source {
        MediaSource::Inline(data) => return inline(found, data, w),
        MediaSource::Url(url) => {
            w.key("type").text("url");
            w.key("url").string(url);
        }
        MediaSource::FileId(Protocol::Anthropic, id) => {
            w.key("type").text("file");
            w.key("file_id").string(id);
        }
        MediaSource::FileId(owner, _) => {
            let message = format!("a file uploaded to {owner} is unknown to Anthropic: send its content");
            return Err(Unsupported::new("messages", message).into());
        }
        MediaSource::Text(text) => plain_text(text, w),
    }
    Ok(())
}

fn plain_text(text: &Str<'_>, w: &mut Writer<'_>) {
    w.key("type").text("text");
    w.key("media_type").text("text/plain");
    w.key("data").string(text);
}

fn inline(found: &Media<'_>, data: &Str<'_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
    let mime = media::normalise_mime(&found.mime, data);
    let name = mime.decode();
    let is_image = found.kind == MediaKind::Image;
    let taken = match name.as_ref() {
        "image/png" | "image/jpeg" | "image/gif" | "image/webp" => is_image,
        "application/pdf" => !is_image,
        _ => false,
    };
    if taken {
        w.key("type").text("base64");
        w.key("media_type").string(&mime);
        w.key("data").string(&media::normalise_base64(data));
        return Ok(());
    }
    // Text files go as text: the API takes no base64 of them.
    let is_text =
        name.starts_with("text/") || matches!(name.as_ref(), "application/json" | "application/xml");
    let bytes = if is_text && !is_image { media::decode_base64(&data.decode()) } else { None };
    match bytes.and_then(|bytes| String::from_utf8(bytes).ok()) {
        Some(text) => {
            plain_text(&Str::from(text), w);
            Ok(())
        }
        None => Err(unsupported(found)),
    }
}

fn unsupported(found: &Media<'_>) -> RequestError {
    let message = format!("media of type {:?} cannot be sent to Anthropic", found.mime.decode());
    Unsupported::new("messages", message).into()
}
