//! Media that a request names by address, for upstreams that do not fetch it (2.6): which they are, and how they are
//! put into the request itself. Every byte of it outside of these parts stays the client's.

use bytes::Bytes;

use super::canonical::media::data_url;
use super::canonical::{Media, MediaKind, MediaSource, PartKind, Request, media};
use super::json::{self, Error, Reader, Str, Writer};
use super::{Protocol, anthropic, gemini, openai, responses};

/// A picture or PDF that a request names by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteMedia {
    /// Its address, as the client gave it.
    pub url: String,
    /// What the client says it is.
    pub kind: MediaKind,
    /// Where its part stands in the request, in bytes.
    pub offset: usize,
}

impl RemoteMedia {
    /// The part, as the client spells it: `messages[3].content[1]`.
    #[must_use]
    pub fn param(&self, body: &str) -> String {
        json::path_at(body, self.offset)
    }

    /// Whether a file of this type is what the client says it is. In Gemini's protocol often nothing says so.
    #[must_use]
    pub fn may_be(&self, client: Protocol, mime: &str) -> bool {
        let is_picture = mime.starts_with("image/");
        match self.kind {
            MediaKind::Image => is_picture,
            _ => !is_picture || client == Protocol::Gemini,
        }
    }
}

/// Which addresses are not for the upstream to fetch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Reach {
    /// Those that its protocol does not take.
    #[default]
    Protocol,
    /// All: this server fetches nothing.
    Nothing,
}

/// The pictures and PDFs that a request names by address and its upstream does not fetch, in order.
#[must_use]
pub fn remote_media(request: &Request<'_>, upstream: Protocol, reach: Reach) -> Vec<RemoteMedia> {
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let all = parts.flat_map(|part| match &part.kind {
        PartKind::ToolResult { content, .. } => content.as_slice(),
        _ => std::slice::from_ref(part),
    });
    all.filter_map(|part| match &part.kind {
        PartKind::Media(media) if reach == Reach::Nothing || !fetches(upstream, media.kind) => remote(media),
        _ => None,
    })
    .collect()
}

/// Whether servers of this protocol fetch media of this kind (the table of 2.6).
fn fetches(upstream: Protocol, kind: MediaKind) -> bool {
    match upstream {
        Protocol::Anthropic | Protocol::Responses => true,
        Protocol::OpenAi => kind == MediaKind::Image,
        // Only some of its models do, on some of its surfaces.
        Protocol::Gemini => false,
    }
}

fn remote(media: &Media<'_>) -> Option<RemoteMedia> {
    let MediaSource::Url(url) = &media.source else { return None };
    let is_meant = match media.kind {
        MediaKind::Image => true,
        MediaKind::Document => {
            let mime = media.mime.decode();
            mime.is_empty() || mime == "application/pdf"
        }
        MediaKind::Audio | MediaKind::Video => false,
    };
    let offset = media.offset.filter(|_| is_meant)?;
    Some(RemoteMedia { url: url.decode().into_owned(), kind: media.kind, offset })
}

/// A picture or PDF.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InlineMedia {
    /// What it is, by its first bytes.
    pub mime: &'static str,
    /// All of it.
    pub bytes: Bytes,
}

impl InlineMedia {
    /// How many bytes tell the type.
    pub const TELLING: usize = 12;

    /// The type that the first bytes of a file tell; `None` for what is no picture or PDF.
    #[must_use]
    pub fn mime_of(start: &[u8]) -> Option<&'static str> {
        Some(match start {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => "image/png",
            [0xff, 0xd8, 0xff, ..] => "image/jpeg",
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => "image/gif",
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => "image/webp",
            [b'%', b'P', b'D', b'F', b'-', ..] => "application/pdf",
            [_, _, _, _, b'f', b't', b'y', b'p', b'h', b'e', b'i' | b'v', ..] => "image/heic",
            [_, _, _, _, b'f', b't', b'y', b'p', b'm', b'i' | b's', b'f', b'1', ..] => "image/heif",
            _ => return None,
        })
    }

    /// Whether the upstream takes this type inline (the table of 2.6).
    #[must_use]
    pub fn is_taken_by(&self, upstream: Protocol) -> bool {
        match self.mime {
            "image/png" | "image/jpeg" | "image/webp" | "application/pdf" => true,
            "image/gif" => upstream != Protocol::Gemini,
            "image/heic" | "image/heif" => upstream == Protocol::Gemini,
            _ => false,
        }
    }

    pub(super) fn base64(&self) -> Str<'static> {
        Str::from_escaped(media::encode_base64(&self.bytes))
    }

    pub(super) fn data_url(&self) -> Str<'static> {
        data_url(&Str::from_escaped(self.mime), &self.base64())
    }
}

/// Puts media into a client's request, in the place of their addresses.
///
/// # Errors
///
/// If one of them does not stand where its offset says.
pub fn inline_media<'m>(
    client: Protocol,
    body: &str,
    found: impl IntoIterator<Item = (&'m RemoteMedia, &'m InlineMedia)>,
) -> Result<Vec<u8>, Error> {
    let mut edits = Vec::new();
    for (remote, media) in found {
        let mut reader = Reader::new(body.get(remote.offset..).unwrap_or_default());
        let part = reader.raw()?;
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.begin_object();
        match client {
            Protocol::Anthropic => anthropic::request::inline(&part, media, &mut w)?,
            Protocol::OpenAi => openai::request::inline(&part, media, &mut w)?,
            Protocol::Responses => responses::request::inline(&part, media, &mut w)?,
            Protocol::Gemini => gemini::request::inline(&part, media, &mut w)?,
        }
        w.end_object();
        edits.push((remote.offset..remote.offset + reader.offset(), out));
    }
    Ok(json::splice(body.as_bytes(), edits))
}

#[cfg(test)]
mod tests;
