//! Content parts of messages (section 2.6).

use crate::protocol::canonical::media::{kind_of_mime, normalise_base64, normalise_mime, parse_data_url};
use crate::protocol::canonical::{CacheMark, Media, MediaKind, MediaSource, Part, PartKind};
use crate::protocol::json::{Error, Kind, Raw, Reader, Str};
use crate::protocol::{Protocol, RequestError};

/// Reads `content`: a text, a list of parts, or nothing (T135).
pub(super) fn read<'a>(value: &mut Reader<'a>) -> Result<Vec<Part<'a>>, RequestError> {
    let mut parts = Vec::new();
    match value.peek()? {
        Kind::Null => value.skip()?,
        Kind::Array => value.array(|value| {
            parts.extend(read_one(value)?);
            Ok::<_, RequestError>(())
        })?,
        Kind::Object => parts.extend(read_one(value)?),
        _ => parts.push(Part::text(value.string()?)),
    }
    Ok(parts)
}

#[derive(Default)]
struct Fields<'a> {
    tag: Option<Str<'a>>,
    text: Option<Str<'a>>,
    refusal: Option<Str<'a>>,
    media: Option<Media<'a>>,
    cache: Option<CacheMark>,
}

fn read_one<'a>(value: &mut Reader<'a>) -> Result<Option<Part<'a>>, RequestError> {
    match value.peek()? {
        Kind::Null => return Ok(value.null().map(|_| None)?),
        Kind::String => return Ok(Some(Part::text(value.string()?))),
        _ => {}
    }
    let mut ahead = value.clone();
    let offset = value.offset();
    let mut fields = Fields::default();
    value.object(|key, value| {
        match key {
            "type" => fields.tag = value.lenient_string()?,
            "text" => fields.text = value.lenient_string()?,
            "refusal" => fields.refusal = value.lenient_string()?,
            "image_url" => fields.media = located(value, MediaKind::Image)?,
            "video_url" => fields.media = located(value, MediaKind::Video)?,
            "input_audio" => fields.media = audio(value)?,
            "file" => fields.media = file(value)?,
            "prompt_cache_breakpoint" | "cache_control" => fields.cache = cache_mark(value)?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    fields.part(offset, &mut ahead)
}

impl<'a> Fields<'a> {
    fn part(self, offset: usize, ahead: &mut Reader<'a>) -> Result<Option<Part<'a>>, RequestError> {
        let tag = self.tag.unwrap_or_default();
        let word = tag.decode();
        let missing = |what: &str| RequestError::invalid("messages", format!("a part has no `{what}`"));
        let kind = match word.as_ref() {
            "text" | "input_text" | "output_text" => {
                PartKind::Text { text: self.text.ok_or_else(|| missing("text"))? }
            }
            "refusal" => PartKind::Refusal { text: self.refusal.ok_or_else(|| missing("refusal"))? },
            "image_url" | "video_url" | "input_audio" | "file" => {
                PartKind::Media(self.media.ok_or_else(|| missing(&word))?)
            }
            "" => match (self.text, self.media) {
                (Some(text), _) => PartKind::Text { text },
                (None, Some(media)) => PartKind::Media(media),
                (None, None) => return Err(missing("type")),
            },
            _ => {
                let raw = ahead.raw()?;
                drop(word);
                PartKind::Opaque { protocol: Protocol::OpenAi, tag, raw }
            }
        };
        Ok(Some(Part { kind: kind.at(offset), cache: self.cache, opaque: None }))
    }
}

/// A prompt-cache mark: OpenAI's breakpoint or, as many clients send to every server, Anthropic's.
pub(super) fn cache_mark(value: &mut Reader<'_>) -> Result<Option<CacheMark>, Error> {
    if value.null()? {
        return Ok(None);
    }
    let mut mark = CacheMark::FiveMinutes;
    value.lenient_object(|key, value| {
        if key == "ttl" {
            let ttl = value.lenient_string()?.unwrap_or_default();
            if ["1h", "30m", "12h", "24h"].iter().any(|long| ttl == **long) {
                mark = CacheMark::OneHour;
            }
        }
        Ok::<_, Error>(())
    })?;
    Ok(Some(mark))
}

fn media<'a>(kind: MediaKind, mime: Str<'a>, source: MediaSource<'a>) -> Media<'a> {
    Media { kind, mime, source, name: None, context: None, detail: None, citations: false, offset: None }
}

/// `{url, detail}`, or the URL alone as some clients send it.
fn located<'a>(value: &mut Reader<'a>, kind: MediaKind) -> Result<Option<Media<'a>>, Error> {
    let (mut url, mut detail) = (None, None);
    if value.peek()? == Kind::String {
        url = Some(value.string()?);
    } else {
        value.lenient_object(|key, value| {
            match key {
                "url" => url = value.lenient_string()?,
                "detail" => detail = value.lenient_string()?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
    }
    Ok(url.map(|url| Media { detail, ..from_url(url, kind) }))
}

/// Media behind a `data:` URL or any other.
pub(super) fn from_url(url: Str<'_>, kind: MediaKind) -> Media<'_> {
    if let Some((mime, data)) = parse_data_url(&url) {
        let (mime, data) = (mime.into_owned(), data.into_owned());
        let kind = if kind == MediaKind::Document { kind_of_mime(&mime) } else { kind };
        return media(kind, mime, MediaSource::Inline(data));
    }
    let mime = Str::from(guess_mime(&url, kind));
    media(kind, mime, MediaSource::Url(url))
}

/// The type that the end of an address suggests.
fn guess_mime(url: &Str<'_>, kind: MediaKind) -> &'static str {
    let text = url.decode().to_ascii_lowercase();
    let path = text.split(['?', '#']).next().unwrap_or_default();
    match (path.rsplit('.').next().unwrap_or_default(), kind) {
        ("png", _) => "image/png",
        ("gif", _) => "image/gif",
        ("webp", _) => "image/webp",
        ("pdf", _) => "application/pdf",
        ("webm", _) => "video/webm",
        (_, MediaKind::Image) => "image/jpeg",
        (_, MediaKind::Video) => "video/mp4",
        (_, MediaKind::Audio) => "audio/mpeg",
        (_, MediaKind::Document) => "application/pdf",
    }
}

fn audio<'a>(value: &mut Reader<'a>) -> Result<Option<Media<'a>>, Error> {
    let (mut data, mut format) = (None, None);
    value.lenient_object(|key, value| {
        match key {
            "data" => data = value.lenient_string()?,
            "format" => format = value.lenient_string()?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    let format = format.unwrap_or_else(|| Str::from("wav"));
    let mime = normalise_mime(&Str::escape(format!("audio/{}", format.decode())), &Str::EMPTY);
    Ok(data
        .map(|data| media(MediaKind::Audio, mime.into_owned(), MediaSource::Inline(normalise_base64(&data)))))
}

fn file<'a>(value: &mut Reader<'a>) -> Result<Option<Media<'a>>, Error> {
    let (mut data, mut id, mut name) = (None, None, None);
    value.lenient_object(|key, value| {
        match key {
            "file_data" => data = value.lenient_string()?,
            "file_id" => id = value.lenient_string()?,
            "filename" => name = value.lenient_string()?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    let found = match (data, id) {
        (Some(data), _) => file_data(data),
        (None, Some(id)) => {
            let source = MediaSource::FileId(Protocol::OpenAi, id);
            media(MediaKind::Document, Str::EMPTY, source)
        }
        (None, None) => return Ok(None),
    };
    Ok(Some(Media { name, ..found }))
}

/// A data URL, an address, or base64 alone.
fn file_data(data: Str<'_>) -> Media<'_> {
    let is_url = ["data:", "http://", "https://"]
        .iter()
        .any(|scheme| data.as_escaped().get(..scheme.len()).is_some_and(|s| s.eq_ignore_ascii_case(scheme)));
    if is_url {
        return from_url(data, MediaKind::Document);
    }
    let data = normalise_base64(&data);
    let mime = normalise_mime(&Str::EMPTY, &data).into_owned();
    media(kind_of_mime(&mime), mime, MediaSource::Inline(data))
}

/// Pictures that a model made, as the `images` extension of assistant messages carries them.
pub(super) fn images<'a>(value: &mut Reader<'a>) -> Result<Vec<Part<'a>>, RequestError> {
    if value.peek()? != Kind::Array {
        return Ok(Vec::new());
    }
    read(value)
}

/// An assistant's sound, which only its own server can resolve.
pub(super) fn audio_reference<'a>(raw: Raw<'a>) -> Part<'a> {
    Part::new(PartKind::Opaque { protocol: Protocol::OpenAi, tag: Str::from("audio"), raw })
}
