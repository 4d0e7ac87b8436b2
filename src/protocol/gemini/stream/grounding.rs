//! Searches and citations: Google counts bytes, at the end of the answer; others count characters (T131).

use std::collections::HashMap;

use crate::protocol::canonical::{Citation, WebSearchCall, WebSearchResult};
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
    queries: Vec<Str<'static>>,
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
            "webSearchQueries" | "web_search_queries" => value.lenient_array(|query| {
                found.queries.extend(query.lenient_string()?.map(Str::into_owned));
                Ok(())
            }),
            _ => Ok::<_, Error>(()),
        })?;
        Ok(found)
    }

    /// Takes over what `later` knows: chunks of a stream may repeat the object with less in it.
    pub(in super::super) fn merge(&mut self, later: Metadata) {
        if !later.queries.is_empty() {
            self.queries = later.queries;
        }
        if !later.chunks.is_empty() {
            self.chunks = later.chunks;
        }
        if !later.supports.is_empty() {
            self.supports = later.supports;
        }
    }

    /// The searches, which Google tells as one.
    pub(in super::super) fn search(&self) -> Option<WebSearchCall<'static>> {
        let found = self.chunks.iter().filter(|(uri, _)| !uri.is_empty());
        (!self.queries.is_empty()).then(|| WebSearchCall {
            queries: self.queries.clone(),
            results: found
                .map(|(uri, title)| WebSearchResult { url: uri.clone(), title: title.clone() })
                .collect(),
            ..WebSearchCall::default()
        })
    }

    /// Whether it says both what was searched for and what was found.
    pub(in super::super) fn has_results(&self) -> bool {
        !self.queries.is_empty() && self.chunks.iter().any(|(uri, _)| !uri.is_empty())
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

/// What an answer rests on, for a Gemini client.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Grounding {
    queries: Vec<Str<'static>>,
    found: Vec<WebSearchResult<'static>>,
    cited: Vec<Cited>,
}

/// A citation, its range in bytes of the visible text.
#[derive(Clone, Debug)]
struct Cited {
    source: WebSearchResult<'static>,
    text: Option<Str<'static>>,
    range: Option<(u64, u64)>,
}

impl Grounding {
    /// Takes a citation of the part that begins at character `base`.
    pub(in super::super) fn cite(&mut self, citation: &Citation<'_>, offsets: &Offsets, base: u64) {
        let byte = |char: u64| offsets.byte_of_char(char.saturating_add(base));
        let source = WebSearchResult { url: citation.url.clone(), title: citation.title.clone() };
        self.cited.push(Cited {
            source: source.into_owned(),
            text: citation.cited_text.clone().map(Str::into_owned),
            range: citation.range.map(|(start, end)| (byte(start), byte(end))),
        });
    }

    /// Takes a search.
    pub(in super::super) fn search(&mut self, call: &WebSearchCall<'_>) {
        let call = call.clone().into_owned();
        self.queries.extend(call.queries);
        self.found.extend(call.results);
    }

    /// Writes `"groundingMetadata":{…}`; nothing without searches and citations.
    pub(in super::super) fn write(&self, w: &mut Writer<'_>) {
        if self.queries.is_empty() && self.found.is_empty() && self.cited.is_empty() {
            return;
        }
        w.key("groundingMetadata").begin_object();
        if !self.queries.is_empty() {
            w.key("webSearchQueries").begin_array();
            self.queries.iter().for_each(|query| {
                w.string(query);
            });
            w.end_array();
        }
        let places = self.write_sources(w);
        w.key("groundingSupports").begin_array();
        for citation in &self.cited {
            let place = places.get(citation.source.url.as_escaped()).copied().unwrap_or(0);
            w.begin_object().key("segment").begin_object();
            if let Some((start, end)) = citation.range {
                w.key("startIndex").u64(start).key("endIndex").u64(end);
            }
            if let Some(text) = &citation.text {
                w.key("text").string(text);
            }
            w.end_object();
            w.key("groundingChunkIndices").begin_array().u64(place).end_array();
            w.end_object();
        }
        w.end_array().end_object();
    }

    /// Writes each source once, and says where each address stands.
    fn write_sources(&self, w: &mut Writer<'_>) -> HashMap<&str, u64> {
        let all = || self.found.iter().chain(self.cited.iter().map(|citation| &citation.source));
        let mut titles: HashMap<&str, &Str<'_>> = HashMap::new();
        for source in all() {
            if let Some(title) = &source.title {
                titles.entry(source.url.as_escaped()).or_insert(title);
            }
        }
        let mut places = HashMap::new();
        w.key("groundingChunks").begin_array();
        for source in all() {
            let url = source.url.as_escaped();
            if places.contains_key(url) {
                continue;
            }
            places.insert(url, places.len() as u64);
            w.begin_object().key("web").begin_object().key("uri").string(&source.url);
            if let Some(title) = titles.get(url) {
                w.key("title").string(title);
            }
            w.end_object().end_object();
        }
        w.end_array();
        places
    }
}
