//! Content parts of a client's items, read with tolerance (T135).

use std::borrow::Cow;

use crate::protocol::canonical::media::{kind_of_mime, normalise_base64, normalise_mime, parse_data_url};
use crate::protocol::canonical::{CacheMark, Media, MediaKind, MediaSource, Part, PartKind};
use crate::protocol::json::{Error, Kind, Reader, Str};
use crate::protocol::{Protocol, RequestError};

/// What an unknown content part is tagged with in the hub, to tell it from an unknown item.
pub(super) const CONTENT_TAG: &str = "content.";

/// Reads a string, a list of parts, or one part alone.
pub(super) fn parts<'a>(value: &mut Reader<'a>) -> Result<Vec<Part<'a>>, RequestError> {
    let mut parts = Vec::new();
    match value.peek()? {
        Kind::Null => value.skip()?,
        Kind::String => {
            let text = value.string()?;
            if !text.is_empty() {
                parts.push(Part::text(text));
            }
        }
        Kind::Array => value.array(|item| {
            parts.push(part(item)?);
            Ok::<_, RequestError>(())
        })?,
        _ => parts.push(part(value)?),
    }
    Ok(parts)
}

/// The texts among the parts.
pub(super) fn texts<'a>(value: &mut Reader<'a>) -> Result<Vec<Str<'a>>, RequestError> {
    let texts = parts(value)?.into_iter().filter_map(|part| match part.kind {
        PartKind::Text { text } if !text.is_empty() => Some(text),
        _ => None,
    });
    Ok(texts.collect())
}

/// The members of a content part, before its type is known.
#[derive(Default)]
struct Members<'a> {
    kind: Option<Str<'a>>,
    text: Option<Str<'a>>,
    refusal: Option<Str<'a>>,
    image_url: Option<Str<'a>>,
    file_id: Option<Str<'a>>,
    file_data: Option<Str<'a>>,
    file_url: Option<Str<'a>>,
    filename: Option<Str<'a>>,
    detail: Option<Str<'a>>,
    audio: Option<(Str<'a>, Str<'a>)>,
    cache: Option<CacheMark>,
}

fn part<'a>(value: &mut Reader<'a>) -> Result<Part<'a>, RequestError> {
    if value.peek()? == Kind::String {
        return Ok(Part::text(value.string()?));
    }
    let mut whole = value.clone();
    let offset = value.offset();
    let mut m = Members::default();
    value.object(|key, value| m.read(key, value))?;
    let cache = m.cache;
    let kind = match m.into_kind()? {
        Ok(kind) => kind,
        Err(tag) => PartKind::Opaque {
            protocol: Protocol::Responses,
            tag: Str::escape(format!("{CONTENT_TAG}{}", tag.decode())),
            raw: whole.raw()?,
        },
    };
    Ok(Part { cache, ..Part::new(kind.at(offset)) })
}

impl<'a> Members<'a> {
    fn read(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        let slot = match key {
            "type" => &mut self.kind,
            "text" => &mut self.text,
            "refusal" => &mut self.refusal,
            "file_id" => &mut self.file_id,
            "file_data" => &mut self.file_data,
            "file_url" => &mut self.file_url,
            "filename" => &mut self.filename,
            "detail" => &mut self.detail,
            "image_url" => return self.image(value),
            "input_audio" => {
                self.audio = Some(audio(value)?);
                return Ok(());
            }
            "prompt_cache_breakpoint" => {
                self.cache = Some(cache_mark(value)?);
                return Ok(());
            }
            _ => return Ok(()),
        };
        *slot = value.string_or_null()?;
        Ok(())
    }

    /// A string here, an object in the sister protocol; clients mix them up.
    fn image(&mut self, value: &mut Reader<'a>) -> Result<(), RequestError> {
        if value.peek()? != Kind::Object {
            self.image_url = value.string_or_null()?;
            return Ok(());
        }
        value.object(|key, value| {
            match key {
                "url" => self.image_url = value.string_or_null()?,
                "detail" => self.detail = value.string_or_null()?,
                _ => {}
            }
            Ok(())
        })
    }

    /// The hub's part, or the unknown type.
    fn into_kind(self) -> Result<Result<PartKind<'a>, Str<'a>>, RequestError> {
        let kind = self.kind.clone().unwrap_or_default();
        let part = match &*kind.decode() {
            "input_text" | "output_text" | "text" | "summary_text" | "reasoning_text" => {
                PartKind::Text { text: self.text.unwrap_or_default() }
            }
            "refusal" => PartKind::Refusal { text: self.refusal.or(self.text).unwrap_or_default() },
            "input_image" | "image_url" => self.into_image()?,
            "input_file" | "file" => self.into_file()?,
            "input_audio" => self.into_audio()?,
            // No type: what it holds says what it is.
            "" if self.text.is_some() => PartKind::Text { text: self.text.unwrap_or_default() },
            "" if self.image_url.is_some() => self.into_image()?,
            _ => return Ok(Err(kind)),
        };
        Ok(Ok(part))
    }

    fn into_image(self) -> Result<PartKind<'a>, RequestError> {
        let (mime, source) = match (self.image_url, self.file_id) {
            (Some(url), _) => inline_or_url(url),
            (None, Some(id)) => (Str::EMPTY, MediaSource::FileId(Protocol::Responses, id)),
            (None, None) => return Err(RequestError::invalid("input_image", "has no image_url or file_id")),
        };
        Ok(PartKind::Media(Media { detail: self.detail, ..media(MediaKind::Image, mime, source, None) }))
    }

    fn into_file(self) -> Result<PartKind<'a>, RequestError> {
        let name = self.filename;
        let (mime, source) = match (self.file_data, self.file_url, self.file_id) {
            (Some(data), ..) => match inline_or_url(data) {
                // Bare base64, as some clients send it.
                (_, MediaSource::Url(data)) => {
                    let data = normalise_base64(&data);
                    (normalise_mime(&Str::EMPTY, &data), MediaSource::Inline(data))
                }
                inline => inline,
            },
            (None, Some(url), _) => (Str::EMPTY, MediaSource::Url(url)),
            (None, None, Some(id)) => (Str::EMPTY, MediaSource::FileId(Protocol::Responses, id)),
            (None, None, None) => {
                return Err(RequestError::invalid("input_file", "has no file_data, file_url or file_id"));
            }
        };
        let kind = match kind_of_mime(&mime) {
            MediaKind::Image => MediaKind::Image,
            _ => MediaKind::Document,
        };
        Ok(PartKind::Media(media(kind, mime, source, name)))
    }

    fn into_audio(self) -> Result<PartKind<'a>, RequestError> {
        let Some((data, format)) = self.audio else {
            return Err(RequestError::invalid("input_audio", "has no data"));
        };
        let mime = match &*format.decode() {
            "wav" => Cow::Borrowed("audio/wav"),
            "mp3" => Cow::Borrowed("audio/mpeg"),
            other => Cow::Owned(format!("audio/{other}")),
        };
        let source = MediaSource::Inline(normalise_base64(&data));
        Ok(PartKind::Media(media(MediaKind::Audio, Str::escape(mime), source, None)))
    }
}

fn media<'a>(kind: MediaKind, mime: Str<'a>, source: MediaSource<'a>, name: Option<Str<'a>>) -> Media<'a> {
    Media { kind, mime, source, name, context: None, detail: None, citations: false, offset: None }
}

fn inline_or_url<'a>(url: Str<'a>) -> (Str<'a>, MediaSource<'a>) {
    match parse_data_url(&url) {
        Some((mime, data)) => (mime.into_owned(), MediaSource::Inline(data.into_owned())),
        None => (Str::EMPTY, MediaSource::Url(url)),
    }
}

fn audio<'a>(value: &mut Reader<'a>) -> Result<(Str<'a>, Str<'a>), RequestError> {
    let (mut data, mut format) = (Str::EMPTY, Str::EMPTY);
    value.object(|key, value| {
        match key {
            "data" => data = value.string()?,
            "format" => format = value.string()?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    Ok((data, format))
}

/// An explicit cache breakpoint: the lifetimes on both sides are not the same, the order is (2.11).
fn cache_mark(value: &mut Reader<'_>) -> Result<CacheMark, RequestError> {
    let mut mark = CacheMark::FiveMinutes;
    value.lenient_object(|key, value| {
        if key == "ttl" && value.lenient_string()?.is_some_and(|ttl| ttl != "5m") {
            mark = CacheMark::OneHour;
        }
        Ok::<_, Error>(())
    })?;
    Ok(mark)
}
