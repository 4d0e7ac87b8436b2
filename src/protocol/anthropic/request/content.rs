//! Content blocks of messages and tool results to parts.

use std::borrow::Cow;
use std::collections::HashMap;

use super::super::block::Block;
use super::super::state::{self, Returned};
use crate::protocol::Protocol;
use crate::protocol::canonical::{Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, PartKind, media};
use crate::protocol::json::ErrorKind;
use crate::protocol::json::{Error, Kind, Later, Reader, Str};

/// Parts of one turn, and what has to be remembered on the way.
#[derive(Debug)]
pub(super) struct Content<'a> {
    document: &'a str,
    pub(super) parts: Vec<Part<'a>>,
    /// Signatures whose call is still to come.
    pending: HashMap<String, Opaque<'static>>,
    /// Whether reasoning came back altered.
    pub(super) mutated: bool,
    /// Whether a search result has become text.
    pub(super) has_search_result: bool,
}

impl<'a> Content<'a> {
    /// `document` is what the readers given to [`read`](Self::read) read.
    pub(super) fn new(document: &'a str) -> Self {
        Content {
            document,
            parts: Vec::new(),
            pending: HashMap::new(),
            mutated: false,
            has_search_result: false,
        }
    }

    /// Reads a string, a list of blocks, one block, or `null`: all are sent in the wild (T135).
    pub(super) fn read(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.each(reader, Self::block)
    }

    fn each(
        &mut self,
        reader: &mut Reader<'a>,
        mut block: impl FnMut(&mut Self, Block<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match reader.peek()? {
            Kind::Null => reader.skip(),
            Kind::String => {
                self.parts.push(Part::text(reader.string()?));
                Ok(())
            }
            Kind::Object => {
                let one = Block::read(reader, self.document)?;
                block(self, one)
            }
            _ => reader.array(|item| {
                if item.peek()? == Kind::String {
                    self.parts.push(Part::text(item.string()?));
                    return Ok(());
                }
                let one = Block::read(item, self.document)?;
                block(self, one)
            }),
        }
    }

    /// Reads the `content` of a block.
    fn nested(
        &mut self,
        content: Option<Later<'a>>,
        block: impl FnMut(&mut Self, Block<'a>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        match content {
            None => {}
            Some(Later::Text(text)) => self.parts.push(Part::text(text)),
            Some(Later::Value(mut reader)) => self.each(&mut reader, block)?,
        }
        Ok(())
    }

    fn block(&mut self, block: Block<'a>) -> Result<(), Error> {
        let tag = block.tag.as_ref().map(|tag| tag.decode().into_owned());
        match tag.as_deref() {
            Some("thinking") => self.thinking(block),
            Some("redacted_thinking") => self.redacted(block),
            Some("tool_use") => return self.call(block),
            Some("tool_result") => return self.result(block),
            _ => return self.leaf(block),
        }
        Ok(())
    }

    /// The blocks that may stand anywhere, in results too.
    fn leaf(&mut self, block: Block<'a>) -> Result<(), Error> {
        let tag = block.tag.as_ref().map(Str::decode);
        match tag.as_deref() {
            Some("text") | None => {
                let text = block.text.clone().ok_or_else(|| missing(&block, "a block with `text`"))?;
                self.push(PartKind::Text { text }, &block);
            }
            Some("image") => self.media(&block, MediaKind::Image)?,
            Some("document") => self.media(&block, MediaKind::Document)?,
            Some("search_result") => self.search_result(&block)?,
            Some(_) => {
                let kind = PartKind::Opaque {
                    protocol: Protocol::Anthropic,
                    tag: block.tag.clone().unwrap_or_default(),
                    raw: block.raw(),
                };
                self.push(kind, &block);
            }
        }
        Ok(())
    }

    fn push(&mut self, kind: PartKind<'a>, block: &Block<'a>) {
        self.parts.push(Part { kind, cache: block.cache, opaque: None });
    }

    fn thinking(&mut self, block: Block<'a>) {
        let text = block.thinking.unwrap_or_default();
        let opaque = match block.signature.filter(|value| !value.is_empty()) {
            None => None,
            Some(value) => match state::open(value, OpaqueKind::Signature, &text) {
                Returned::Own(opaque) => Some(opaque),
                Returned::Call(id, opaque) => return self.hold(&id, opaque),
                Returned::Text(opened) => return self.signed_text(opened),
                Returned::Mutated => return self.mutated = true,
            },
        };
        // An empty text with a signature is state, not nothing (T098).
        self.parts.push(Part { kind: PartKind::Reasoning { text, redacted: false }, cache: None, opaque });
    }

    fn redacted(&mut self, block: Block<'a>) {
        match state::open(block.data.unwrap_or_default(), OpaqueKind::Redacted, &Str::EMPTY) {
            Returned::Own(opaque) => self.parts.push(Part {
                kind: PartKind::Reasoning { text: Str::EMPTY, redacted: true },
                cache: None,
                opaque: Some(opaque),
            }),
            Returned::Call(id, opaque) => self.hold(&id, opaque),
            Returned::Text(opened) => self.signed_text(opened),
            Returned::Mutated => self.mutated = true,
        }
    }

    fn hold(&mut self, id: &Str<'_>, opaque: Opaque<'static>) {
        self.pending.insert(id.decode().into_owned(), opaque);
    }

    /// A signature of the text before it, or of an empty text of its own (T103).
    fn signed_text(&mut self, opened: crate::protocol::canonical::envelope::Opened) {
        let opaque = Opaque { item_id: None, ..opened.opaque.clone() };
        if let Some(Part { kind: PartKind::Text { text }, opaque: slot, .. }) = self.parts.last_mut()
            && opened.matches(text)
        {
            *slot = Some(opaque);
        } else if opened.matches(&Str::EMPTY) {
            self.parts.push(Part { opaque: Some(opaque), ..Part::text(Str::EMPTY) });
        } else {
            self.mutated = true;
        }
    }

    fn call(&mut self, block: Block<'a>) -> Result<(), Error> {
        let name = block.name.clone().ok_or_else(|| missing(&block, "a tool_use block with `name`"))?;
        let id = block.id.clone().unwrap_or_default();
        let opaque = self.pending.remove(id.decode().as_ref());
        let arguments = Cow::Borrowed(block.arguments());
        let kind = PartKind::ToolCall { id, name, arguments, custom: false };
        self.parts.push(Part { kind, cache: block.cache, opaque });
        Ok(())
    }

    fn result(&mut self, block: Block<'a>) -> Result<(), Error> {
        let missing_id = || missing(&block, "a tool_result block with `tool_use_id`");
        let call_id = block.tool_use_id.clone().ok_or_else(missing_id)?;
        let mut inner = Content::new(self.document);
        // Results do not nest: what looks like one inside is an unknown block.
        inner.nested(block.content.clone(), Self::leaf)?;
        self.has_search_result |= inner.has_search_result;
        let kind = PartKind::ToolResult {
            call_id,
            name: None,
            content: inner.parts,
            is_error: block.is_error,
            custom: false,
        };
        self.push(kind, &block);
        Ok(())
    }

    /// A search result as text: no other protocol has such a part (section 2.6).
    fn search_result(&mut self, block: &Block<'a>) -> Result<(), Error> {
        let mut source = None;
        if let Some(mut reader) = block.source.clone() {
            source = reader.lenient_string()?;
        }
        let mut text = Str::from_escaped("[");
        text.push(block.title.as_ref().unwrap_or(&Str::EMPTY));
        text.push_text("](");
        text.push(&source.unwrap_or_default());
        text.push_text(")\n");
        let mut inner = Content::new(self.document);
        inner.nested(block.content.clone(), |inner, block| {
            inner.parts.extend(block.text.map(Part::text));
            Ok(())
        })?;
        for part in &inner.parts {
            if let PartKind::Text { text: more } = &part.kind {
                text.push(more);
            }
        }
        self.has_search_result = true;
        self.push(PartKind::Text { text }, block);
        Ok(())
    }

    fn media(&mut self, block: &Block<'a>, kind: MediaKind) -> Result<(), Error> {
        let source = match block.source.clone() {
            Some(mut reader) => Source::read(&mut reader)?,
            None => return Err(missing(block, "a block with `source`")),
        };
        if let Some(mut blocks) = source.content {
            return self.document_of_blocks(block, &mut blocks);
        }
        let Some((mime, bytes)) = source.bytes(kind) else {
            return Err(missing(block, "a `source` of a known type"));
        };
        let mut citations = false;
        if let Some(mut reader) = block.citations.clone() {
            reader.lenient_object(|key, value| {
                citations |= key == "enabled" && value.raw()?.as_str() == "true";
                Ok::<_, Error>(())
            })?;
        }
        let media = Media {
            kind,
            mime,
            source: bytes,
            name: block.title.clone(),
            context: block.context.clone(),
            detail: None,
            citations,
            offset: Some(block.offset),
        };
        self.push(PartKind::Media(media), block);
        Ok(())
    }

    /// A document made of blocks is the blocks (section 2.6).
    fn document_of_blocks(&mut self, block: &Block<'a>, reader: &mut Reader<'a>) -> Result<(), Error> {
        self.parts.extend(block.context.clone().map(Part::text));
        let mut inner = Content::new(self.document);
        // Documents do not nest either.
        inner.each(reader, |inner, block| {
            if block.text.is_some() || block.tag.as_ref().is_some_and(|tag| *tag == "image") {
                inner.leaf(block)?;
            }
            Ok(())
        })?;
        self.parts.append(&mut inner.parts);
        if let Some(last) = self.parts.last_mut() {
            last.cache = block.cache.or(last.cache);
        }
        Ok(())
    }
}

fn missing(block: &Block<'_>, what: &'static str) -> Error {
    Error { kind: ErrorKind::Expected(what), offset: block.offset }
}

/// The members of a `source`.
#[derive(Debug, Default)]
struct Source<'a> {
    tag: Option<Str<'a>>,
    mime: Option<Str<'a>>,
    data: Option<Str<'a>>,
    url: Option<Str<'a>>,
    file_id: Option<Str<'a>>,
    content: Option<Reader<'a>>,
}

impl<'a> Source<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut source = Source::default();
        reader.lenient_object(|key, value| {
            match key {
                "type" => source.tag = value.lenient_string()?,
                "media_type" => source.mime = value.lenient_string()?,
                "data" => source.data = value.lenient_string()?,
                "url" => source.url = value.lenient_string()?,
                "file_id" => source.file_id = value.lenient_string()?,
                "content" => source.content = Some(value.clone()),
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(source)
    }

    fn bytes(self, kind: MediaKind) -> Option<(Str<'a>, MediaSource<'a>)> {
        let mime = self.mime.unwrap_or_default();
        let tag = self.tag.as_ref().map(Str::decode);
        match tag.as_deref() {
            Some("base64") => {
                let data = self.data?;
                // Some clients put a whole data URL here (T120).
                if let Some((mime, data)) = media::parse_data_url(&data) {
                    return Some((mime.into_owned(), MediaSource::Inline(data.into_owned())));
                }
                let data = media::normalise_base64(&data);
                Some((media::normalise_mime(&mime, &data), MediaSource::Inline(data)))
            }
            Some("text") => Some((Str::from("text/plain"), MediaSource::Text(self.data?))),
            Some("url") => Some((guess(kind), MediaSource::Url(self.url?))),
            Some("file") => Some((guess(kind), MediaSource::FileId(Protocol::Anthropic, self.file_id?))),
            _ => None,
        }
    }
}

/// A type for bytes that nobody has seen: documents by reference are PDFs in this protocol.
fn guess(kind: MediaKind) -> Str<'static> {
    match kind {
        MediaKind::Document => Str::from("application/pdf"),
        _ => Str::EMPTY,
    }
}
