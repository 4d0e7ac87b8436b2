//! One content block, read in one pass whatever the order of its members.

use std::borrow::Cow;

use crate::protocol::canonical::{CacheMark, Citation};
use crate::protocol::json::{Error, Later, Raw, Reader, Str};

/// The members of a block that mean something here. Strings that are none are as if absent: what
/// needs one says so itself (T135).
#[derive(Clone, Debug, Default)]
pub(super) struct Block<'a> {
    /// Byte offset of the block, for error messages.
    pub(super) offset: usize,
    /// All of it.
    raw: &'a str,
    pub(super) tag: Option<Str<'a>>,
    pub(super) text: Option<Str<'a>>,
    pub(super) thinking: Option<Str<'a>>,
    pub(super) signature: Option<Str<'a>>,
    pub(super) data: Option<Str<'a>>,
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    pub(super) tool_use_id: Option<Str<'a>>,
    pub(super) title: Option<Str<'a>>,
    pub(super) context: Option<Str<'a>>,
    pub(super) input: Option<Raw<'a>>,
    pub(super) is_error: bool,
    pub(super) cache: Option<CacheMark>,
    pub(super) content: Option<Later<'a>>,
    /// Stands at the value of `source`.
    pub(super) source: Option<Reader<'a>>,
    /// Stands at the value of `citations`.
    pub(super) citations: Option<Reader<'a>>,
}

impl<'a> Block<'a> {
    /// Reads the object that `reader` stands at; `document` is what `reader` reads.
    pub(super) fn read(reader: &mut Reader<'a>, document: &'a str) -> Result<Self, Error> {
        reader.peek()?;
        let mut block = Block { offset: reader.offset(), ..Block::default() };
        reader.object(|key, value| block.member(key, value))?;
        block.raw = document.get(block.offset..reader.offset()).unwrap_or("{}");
        Ok(block)
    }

    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "type" => self.tag = value.lenient_string()?,
            "text" => self.text = value.lenient_string()?,
            "thinking" => self.thinking = value.lenient_string()?,
            "signature" => self.signature = value.lenient_string()?,
            "data" => self.data = value.lenient_string()?,
            "id" => self.id = value.lenient_string()?,
            "name" => self.name = value.lenient_string()?,
            "tool_use_id" => self.tool_use_id = value.lenient_string()?,
            "title" => self.title = value.lenient_string()?,
            "context" => self.context = value.lenient_string()?,
            "input" => self.input = Some(value.raw()?).filter(|raw| !raw.is_null()),
            "is_error" => self.is_error = value.raw()?.as_str() == "true",
            "cache_control" => self.cache = cache_mark(value)?,
            "content" => self.content = Some(value.later()?),
            "source" => self.source = Some(value.clone()),
            "citations" => self.citations = Some(value.clone()),
            _ => {}
        }
        Ok(())
    }

    /// All of the block, as it stood.
    pub(super) fn raw(&self) -> Raw<'a> {
        Raw::from_json(self.raw)
    }

    /// A call's arguments: never empty (T059).
    pub(super) fn arguments(&self) -> &'a str {
        match self.input.clone().map(Raw::into_text) {
            // What was read from a document is always borrowed from it.
            Some(Cow::Borrowed(text)) => text,
            _ => "{}",
        }
    }
}

/// Reads `cache_control`; anything but an object is no mark.
pub(super) fn cache_mark(reader: &mut Reader<'_>) -> Result<Option<CacheMark>, Error> {
    let mut mark = None;
    reader.lenient_object(|key, value| {
        let word = value.lenient_string()?;
        match (key, word) {
            ("type", Some(word)) if word == "ephemeral" => {
                mark.get_or_insert(CacheMark::FiveMinutes);
            }
            ("ttl", Some(word)) if word == "1h" => mark = Some(CacheMark::OneHour),
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    Ok(mark)
}

/// Reads one citation; `None` for those that point into the client's own documents.
pub(super) fn citation<'a>(reader: &mut Reader<'a>) -> Result<Option<Citation<'a>>, Error> {
    let (mut url, mut title, mut cited_text) = (None, None, None);
    reader.lenient_object(|key, value| {
        match key {
            // `search_result_location` calls its address `source`.
            "url" | "source" => url = value.lenient_string()?.or(url.take()),
            "title" => title = value.lenient_string()?,
            "cited_text" => cited_text = value.lenient_string()?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    Ok(url.map(|url| Citation { url, title, cited_text, range: None }))
}
