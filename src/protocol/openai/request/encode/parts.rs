//! Content of user messages (section 2.6).

use super::Encoder;
use crate::protocol::canonical::media::data_url;
use crate::protocol::canonical::{
    Media, MediaKind, MediaSource, Part, PartKind, Unsupported, write_breakpoint,
};
use crate::protocol::json::{Str, Writer};
use crate::protocol::{Protocol, RequestError};

/// What the API takes as pictures.
const IMAGES: [&str; 4] = ["image/png", "image/jpeg", "image/gif", "image/webp"];

fn refused(message: impl Into<std::borrow::Cow<'static, str>>) -> RequestError {
    Unsupported::new("messages", message).into()
}

impl Encoder<'_> {
    /// Writes the value of `content`: a string for text alone, which every server takes.
    pub(super) fn content(
        &mut self,
        parts: &[&Part<'_>],
        separator: &str,
        w: &mut Writer<'_>,
    ) -> Result<(), RequestError> {
        let is_marked = |part: &Part<'_>| part.cache.is_some() && self.takes_breakpoints();
        if let [part @ Part { kind: PartKind::Text { text }, .. }] = parts
            && !is_marked(part)
        {
            w.string(text);
            return Ok(());
        }
        if self.target.dialect.no_content_arrays {
            w.string(&joined(parts, separator)?);
            return Ok(());
        }
        w.begin_array();
        for part in parts {
            self.part(part, w)?;
            if let Some(mark) = part.cache.filter(|_| self.takes_breakpoints()) {
                write_breakpoint(mark, self.exchange.client, self.losses, w);
            }
        }
        w.end_array();
        Ok(())
    }

    fn part(&mut self, part: &Part<'_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
        match &part.kind {
            PartKind::Text { text } | PartKind::Refusal { text } => write_text(text, w),
            PartKind::Media(media) => self.media(media, w)?,
            PartKind::Opaque { protocol: Protocol::OpenAi, raw, .. } if self.is_native() => {
                w.raw(raw);
            }
            // Dropping what the user sent is how answers go wrong.
            PartKind::Opaque { tag, .. } => {
                let tag: String = tag.decode().chars().take(64).collect();
                return Err(refused(format!("a part of type `{tag}` has no equivalent here")));
            }
            PartKind::Reasoning { .. }
            | PartKind::ToolCall { .. }
            | PartKind::ToolResult { .. }
            | PartKind::WebSearchCall(_) => {
                self.losses.drop("messages.content");
            }
        }
        Ok(())
    }

    fn media(&mut self, media: &Media<'_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
        if media.citations {
            self.losses.drop("citations");
        }
        let is_named = self.is_native() || matches!(media.source, MediaSource::Inline(_));
        media.preface(is_named).for_each(|text| write_text(text, w));
        match media.kind {
            MediaKind::Image => image(media, w),
            MediaKind::Audio => audio(media, w),
            MediaKind::Document => document(media, w),
            MediaKind::Video => match &media.source {
                // The extension by which compatible servers take films, from a client that knows it.
                MediaSource::Url(url) if self.is_native() => {
                    write_located("video_url", url, None, w);
                    Ok(())
                }
                MediaSource::Inline(data) if self.is_native() => {
                    write_located("video_url", &data_url(&media.mime, data), None, w);
                    Ok(())
                }
                _ => Err(refused("video has no equivalent in Chat Completions")),
            },
        }
    }
}

fn write_text(text: &Str<'_>, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("type").text("text");
    w.key("text").string(text);
    w.end_object();
}

fn write_located(kind: &'static str, url: &Str<'_>, detail: Option<&Str<'_>>, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("type").text(kind);
    w.key(kind).begin_object();
    w.key("url").string(url);
    if let Some(detail) = detail {
        w.key("detail").string(detail);
    }
    w.end_object();
    w.end_object();
}

fn image(media: &Media<'_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
    let detail = media.detail.as_ref();
    match &media.source {
        MediaSource::Url(url) => write_located("image_url", url, detail, w),
        MediaSource::Inline(data) => {
            if !IMAGES.iter().any(|known| media.mime == *known) {
                return Err(refused("pictures must be PNG, JPEG, GIF or WebP"));
            }
            write_located("image_url", &data_url(&media.mime, data), detail, w);
        }
        MediaSource::FileId(..) | MediaSource::Text(_) => {
            return Err(refused("uploaded pictures have no equivalent in Chat Completions"));
        }
    }
    Ok(())
}

fn audio(media: &Media<'_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
    let MediaSource::Inline(data) = &media.source else {
        return Err(refused("sound must be inline"));
    };
    let format = match media.mime.decode().as_ref() {
        "audio/wav" => "wav",
        "audio/mpeg" => "mp3",
        _ => return Err(refused("sound must be WAV or MP3")),
    };
    w.begin_object();
    w.key("type").text("input_audio");
    w.key("input_audio").begin_object();
    w.key("data").string(data);
    w.key("format").text(format);
    w.end_object();
    w.end_object();
    Ok(())
}

fn document(media: &Media<'_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
    let default = Str::from("document.pdf");
    match &media.source {
        MediaSource::Text(text) => write_text(text, w),
        MediaSource::Url(_) => return Err(refused("documents must be inline, not given by URL")),
        MediaSource::FileId(Protocol::OpenAi | Protocol::Responses, id) => {
            open_file(w);
            w.key("file_id").string(id);
            w.end_object();
            w.end_object();
        }
        MediaSource::FileId(..) => {
            return Err(refused("the file was uploaded to another provider"));
        }
        MediaSource::Inline(data) => {
            open_file(w);
            w.key("filename").string(media.name.as_ref().unwrap_or(&default));
            w.key("file_data").string(&data_url(&media.mime, data));
            w.end_object();
            w.end_object();
        }
    }
    Ok(())
}

fn open_file(w: &mut Writer<'_>) {
    w.begin_object();
    w.key("type").text("file");
    w.key("file").begin_object();
}

fn text_only() -> RequestError {
    refused("this upstream takes text only")
}

/// All texts as one, for servers that take nothing else.
fn joined(parts: &[&Part<'_>], separator: &str) -> Result<Str<'static>, RequestError> {
    let mut all = Str::EMPTY;
    let mut texts: Vec<&Str<'_>> = Vec::with_capacity(parts.len());
    for part in parts {
        match &part.kind {
            PartKind::Text { text } | PartKind::Refusal { text } => texts.push(text),
            PartKind::Media(media) => {
                let MediaSource::Text(text) = &media.source else { return Err(text_only()) };
                texts.extend(media.preface(false).chain([text]));
            }
            _ => return Err(text_only()),
        }
    }
    for (index, text) in texts.into_iter().enumerate() {
        if index > 0 {
            all.push_text(separator);
        }
        all.push(text);
    }
    Ok(all)
}
