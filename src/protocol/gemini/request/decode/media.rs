//! `inlineData` and `fileData` (2.6).

use crate::protocol::Protocol;
use crate::protocol::canonical::media::{decode_base64, kind_of_mime, normalise_base64, normalise_mime};
use crate::protocol::canonical::{Media, MediaKind, MediaSource};
use crate::protocol::json::Str;

use super::super::super::media::mime_of_uri;

/// Bytes in the request. Plain text becomes a text document, which more upstreams take.
pub(super) fn inline<'a>(mime: &Str<'a>, data: &Str<'a>, name: Option<Str<'a>>) -> Media<'a> {
    let data = normalise_base64(data);
    let mime = normalise_mime(mime, &data).into_owned();
    let text = mime
        .as_escaped()
        .starts_with("text/")
        .then(|| decode_base64(data.as_escaped()).and_then(|bytes| String::from_utf8(bytes).ok()))
        .flatten();
    let source = match text {
        Some(text) => MediaSource::Text(Str::from(text)),
        None => MediaSource::Inline(data),
    };
    with_source(mime, source, name)
}

/// A reference: to Google's own storage, or to the open web.
pub(super) fn file<'a>(uri: Str<'a>, mime: &Str<'a>, name: Option<Str<'a>>) -> Media<'a> {
    let text = uri.decode();
    let is_web = text.starts_with("http://") || text.starts_with("https://");
    let is_upload = !is_web || text.starts_with("https://generativelanguage.googleapis.com/");
    let is_film = ["https://www.youtube.com/", "https://youtube.com/", "https://youtu.be/"]
        .iter()
        .any(|site| text.starts_with(site));
    let mime = if mime.is_empty() { Str::EMPTY } else { normalise_mime(mime, &Str::EMPTY) };
    let mut media_kind = match mime.is_empty() {
        true => mime_of_uri(&text).map_or(MediaKind::Document, |mime| kind_of_mime(&Str::from(mime))),
        false => kind_of_mime(&mime),
    };
    if is_film {
        media_kind = MediaKind::Video;
    }
    let source = match is_upload {
        true => MediaSource::FileId(Protocol::Gemini, Str::escape(text.into_owned())),
        false => MediaSource::Url(Str::escape(text.into_owned())),
    };
    Media { kind: media_kind, ..with_source(mime, source, name) }
}

fn with_source<'a>(mime: Str<'a>, source: MediaSource<'a>, name: Option<Str<'a>>) -> Media<'a> {
    Media {
        kind: kind_of_mime(&mime),
        mime,
        source,
        name,
        context: None,
        detail: None,
        citations: false,
        offset: None,
    }
}
