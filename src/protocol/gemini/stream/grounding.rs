//! Citations: Google counts bytes, at the end of the answer; others count characters (T131).

use crate::protocol::canonical::Citation;
use crate::protocol::json::{Error, Reader, Str, Writer};

/// Where the characters of a text stand: runs of characters of equal width in bytes, so that long
/// plain text costs one entry and no copy of the text is kept.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Offsets {
    runs: Vec<(u64, u8)>,
    bytes: u64,
    chars: u64,
}

impl Offsets {
    /// Takes more of the text, still escaped.
    pub(in super::super) fn push(&mut self, text: &Str<'_>) {
        let escaped = text.as_escaped();
        if escaped.is_ascii() && memchr::memchr(b'\\', escaped.as_bytes()).is_none() {
            self.add(escaped.len() as u64, 1);
            return;
        }
        let mut rest = escaped;
        while let Some(c) = rest.chars().next() {
            let (width, used) = match c {
                '\\' => escape_width(rest),
                _ => (c.len_utf8() as u8, c.len_utf8()),
            };
            if width > 0 {
                self.add(1, width);
            }
            rest = rest.get(used..).unwrap_or_default();
        }
    }

    fn add(&mut self, chars: u64, width: u8) {
        self.bytes += chars * u64::from(width);
        self.chars += chars;
        match self.runs.last_mut() {
            Some((count, last)) if *last == width => *count += chars,
            _ => self.runs.push((chars, width)),
        }
    }

    /// The number of characters before a byte offset.
    pub(in super::super) fn char_of_byte(&self, byte: u64) -> u64 {
        let (mut bytes, mut chars) = (0, 0);
        for (count, width) in &self.runs {
            let length = count * u64::from(*width);
            if byte < bytes + length {
                return chars + (byte - bytes) / u64::from(*width);
            }
            bytes += length;
            chars += count;
        }
        chars
    }

    /// The byte offset of a character.
    pub(in super::super) fn byte_of_char(&self, char: u64) -> u64 {
        let (mut bytes, mut chars) = (0, 0);
        for (count, width) in &self.runs {
            if char < chars + count {
                return bytes + (char - chars) * u64::from(*width);
            }
            bytes += count * u64::from(*width);
            chars += count;
        }
        bytes
    }

    /// All characters so far.
    pub(in super::super) fn chars(&self) -> u64 {
        self.chars
    }
}

/// Width in bytes of an escaped character, and how much of the text it takes. The second half of a
/// pair of surrogates has no width of its own.
fn escape_width(text: &str) -> (u8, usize) {
    let Some(hex) = text.strip_prefix("\\u").and_then(|rest| rest.get(..4)) else { return (1, 2) };
    let width = match u32::from_str_radix(hex, 16).unwrap_or(0) {
        0..=0x7f => 1,
        0x80..=0x7ff => 2,
        0xd800..=0xdbff => 4,
        0xdc00..=0xdfff => 0,
        _ => 3,
    };
    (width, 6)
}

/// The sources of a candidate, as `groundingMetadata` gives them.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Metadata {
    chunks: Vec<(Str<'static>, Option<Str<'static>>)>,
    supports: Vec<Support>,
}

#[derive(Clone, Debug, Default)]
struct Support {
    start: u64,
    end: u64,
    text: Option<Str<'static>>,
    chunks: Vec<u64>,
}

impl Metadata {
    /// Reads the object; what is no source on the web is passed over.
    pub(in super::super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut found = Metadata::default();
        reader.lenient_object(|key, value| match key {
            "groundingChunks" | "grounding_chunks" => value.lenient_array(|chunk| found.chunk(chunk)),
            "groundingSupports" | "grounding_supports" => {
                value.lenient_array(|support| found.support(support))
            }
            _ => Ok::<_, Error>(()),
        })?;
        Ok(found)
    }

    fn chunk(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let (mut uri, mut title) = (Str::EMPTY, None);
        reader.lenient_object(|_, source| {
            source.lenient_object(|key, value| {
                match key {
                    "uri" => uri = value.lenient_string()?.unwrap_or_default(),
                    "title" => title = value.lenient_string()?,
                    _ => {}
                }
                Ok::<_, Error>(())
            })
        })?;
        // Supports count chunks, so one without an address keeps its place.
        self.chunks.push((uri.into_owned(), title.map(Str::into_owned)));
        Ok(())
    }

    fn support(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let mut support = Support::default();
        reader.lenient_object(|key, value| match key {
            "segment" => value.lenient_object(|key, value| {
                match key {
                    "startIndex" | "start_index" => support.start = value.lenient_u64()?.unwrap_or(0),
                    "endIndex" | "end_index" => support.end = value.lenient_u64()?.unwrap_or(0),
                    "text" => support.text = value.lenient_string()?.map(Str::into_owned),
                    _ => {}
                }
                Ok::<_, Error>(())
            }),
            "groundingChunkIndices" | "grounding_chunk_indices" => value.lenient_array(|index| {
                support.chunks.extend(index.lenient_u64()?);
                Ok::<_, Error>(())
            }),
            _ => Ok::<_, Error>(()),
        })?;
        self.supports.push(support);
        Ok(())
    }

    /// The citations for a part that begins at character `base` of the visible text.
    pub(in super::super) fn citations<'m>(
        &'m self,
        offsets: &'m Offsets,
        base: u64,
    ) -> impl Iterator<Item = Citation<'m>> + 'm {
        self.supports.iter().flat_map(move |support| {
            let start = offsets.char_of_byte(support.start).checked_sub(base);
            let end = offsets.char_of_byte(support.end).checked_sub(base);
            support.chunks.iter().filter_map(move |index| {
                let (uri, title) = self.chunks.get(usize::try_from(*index).ok()?)?;
                (!uri.is_empty()).then(|| Citation {
                    url: uri.borrowed(),
                    title: title.as_ref().map(Str::borrowed),
                    cited_text: support.text.as_ref().map(Str::borrowed),
                    range: start.zip(end).filter(|(start, end)| start < end),
                })
            })
        })
    }
}

/// A citation for a Gemini client, its range in bytes of the visible text.
#[derive(Clone, Debug)]
pub(in super::super) struct Cited {
    url: Str<'static>,
    title: Option<Str<'static>>,
    text: Option<Str<'static>>,
    range: Option<(u64, u64)>,
}

impl Cited {
    /// Takes a citation of the part that begins at character `base`.
    pub(in super::super) fn new(citation: &Citation<'_>, offsets: &Offsets, base: u64) -> Self {
        let byte = |char: u64| offsets.byte_of_char(char.saturating_add(base));
        Cited {
            url: citation.url.clone().into_owned(),
            title: citation.title.clone().map(Str::into_owned),
            text: citation.cited_text.clone().map(Str::into_owned),
            range: citation.range.map(|(start, end)| (byte(start), byte(end))),
        }
    }
}

/// Writes `"groundingMetadata":{…}`; nothing without citations.
pub(in super::super) fn write(cited: &[Cited], w: &mut Writer<'_>) {
    if cited.is_empty() {
        return;
    }
    let mut sources: Vec<&Cited> = Vec::new();
    for citation in cited {
        if !sources.iter().any(|source| source.url == citation.url) {
            sources.push(citation);
        }
    }
    w.key("groundingMetadata").begin_object().key("groundingChunks").begin_array();
    for source in &sources {
        w.begin_object().key("web").begin_object().key("uri").string(&source.url);
        if let Some(title) = &source.title {
            w.key("title").string(title);
        }
        w.end_object().end_object();
    }
    w.end_array();
    w.key("groundingSupports").begin_array();
    for citation in cited {
        let index = sources.iter().position(|source| source.url == citation.url).unwrap_or(0);
        w.begin_object().key("segment").begin_object();
        if let Some((start, end)) = citation.range {
            w.key("startIndex").u64(start).key("endIndex").u64(end);
        }
        if let Some(text) = &citation.text {
            w.key("text").string(text);
        }
        w.end_object();
        w.key("groundingChunkIndices").begin_array().u64(index as u64).end_array();
        w.end_object();
    }
    w.end_array().end_object();
}
