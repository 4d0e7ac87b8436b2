//! The item that is being sent: what came of it so far, and how it looks when it is done.

use crate::protocol::canonical::{Citation, Opaque};
use crate::protocol::json::{Str, Writer};
use crate::protocol::responses::native::Native;

/// The open item, if any.
#[derive(Debug, Default)]
pub(super) enum Open {
    #[default]
    Nothing,
    /// A text or a refusal that has said nothing yet, and its state: without words it is no message (T035).
    Promise(Option<Opaque<'static>>),
    Message(Message),
    Reasoning(Reasoning),
    Call(Call),
    Image(Image),
}

/// A message with its finished parts and perhaps an open one.
#[derive(Debug)]
pub(super) struct Message {
    pub(super) id: String,
    /// Finished parts, separated by commas.
    pub(super) content: Vec<u8>,
    pub(super) parts: u64,
    pub(super) part: Option<TextPart>,
    pub(super) complete: bool,
    /// Text of the last finished part, for the state that belongs to it.
    pub(super) text: Vec<u8>,
    pub(super) opaque: Option<Opaque<'static>>,
}

/// A text or a refusal.
#[derive(Debug)]
pub(super) struct TextPart {
    pub(super) refusal: bool,
    /// Escaped.
    pub(super) text: Vec<u8>,
    /// Where the hub's current part begins in `text`: several of them are one part here (2.16), and
    /// citations count from the beginning of theirs.
    pub(super) base: usize,
    /// Annotations, separated by commas.
    pub(super) annotations: Vec<u8>,
    pub(super) annotated: u64,
    /// Tokens, separated by commas, and how much of it has gone with the text.
    pub(super) logprobs: Vec<u8>,
    pub(super) told: usize,
}

#[derive(Debug)]
pub(super) struct Reasoning {
    pub(super) id: String,
    /// Escaped.
    pub(super) text: Vec<u8>,
    pub(super) opaque: Option<Opaque<'static>>,
    pub(super) has_summary: bool,
}

#[derive(Debug)]
pub(super) struct Call {
    pub(super) id: String,
    pub(super) call_id: String,
    /// Escaped, as the client knows it.
    pub(super) name: Str<'static>,
    pub(super) namespace: Option<Str<'static>>,
    pub(super) custom: bool,
    /// Whether the arguments are an object around the free text that the client's tool takes.
    pub(super) wrapped: bool,
    /// The tool that it goes back to, if that is no function: `arguments` is its action then, once it is closed.
    pub(super) native: Option<Native>,
    /// Whether nothing has been sent of it: its state must go before it, or its shape is known at its end only.
    pub(super) held: bool,
    /// Escaped.
    pub(super) arguments: Vec<u8>,
    pub(super) opaque: Option<Opaque<'static>>,
}

#[derive(Debug)]
pub(super) struct Image {
    pub(super) id: String,
    pub(super) mime: Str<'static>,
    pub(super) data: Vec<u8>,
}

/// Writes a string whose inside is escaped already.
pub(super) fn escaped(w: &mut Writer<'_>, inside: &[u8]) {
    // Opened by hand: an empty text has no comma to offer.
    w.text("");
    let out = w.buffer();
    out.pop();
    out.extend_from_slice(inside);
    out.push(b'"');
}

impl TextPart {
    pub(super) fn new(refusal: bool) -> Self {
        TextPart {
            refusal,
            text: Vec::new(),
            base: 0,
            annotations: Vec::new(),
            annotated: 0,
            logprobs: Vec::new(),
            told: 0,
        }
    }

    /// Writes the part: empty when it begins, whole when it is done.
    pub(super) fn write(&self, done: bool, w: &mut Writer<'_>) {
        let text = if done { &self.text[..] } else { b"" };
        w.begin_object();
        if self.refusal {
            w.key("type").text("refusal");
            w.key("refusal");
            escaped(w, text);
        } else {
            w.key("type").text("output_text");
            w.key("text");
            escaped(w, text);
            w.key("annotations").begin_array();
            if done {
                w.buffer().extend_from_slice(&self.annotations);
            }
            w.end_array();
            self.write_logprobs(done, w);
        }
        w.end_object();
    }

    /// Writes `logprobs`: empty when the part begins, whole when it is done.
    pub(super) fn write_logprobs(&self, done: bool, w: &mut Writer<'_>) {
        w.key("logprobs").begin_array();
        if done {
            w.buffer().extend_from_slice(&self.logprobs);
        }
        w.end_array();
    }

    /// The tokens that have come since the text before.
    pub(super) fn news(&mut self) -> &[u8] {
        let from = std::mem::replace(&mut self.told, self.logprobs.len());
        let news = self.logprobs.get(from..).unwrap_or_default();
        news.strip_prefix(b",").unwrap_or(news)
    }

    /// Characters before the hub's current part.
    fn offset(&self) -> u64 {
        let before = self.text.get(..self.base).unwrap_or_default();
        let before = Str::from_escaped(String::from_utf8_lossy(before));
        before.decode().chars().count() as u64
    }

    /// Writes an annotation; a citation without a place rests on all that the part said so far.
    pub(super) fn write_annotation(&self, citation: &Citation<'_>, w: &mut Writer<'_>) {
        let offset = self.offset();
        let (start, end) = citation.range.unwrap_or_else(|| {
            let said = self.text.get(self.base..).unwrap_or_default();
            let said = Str::from_escaped(String::from_utf8_lossy(said));
            (0, said.decode().chars().count() as u64)
        });
        w.begin_object();
        w.key("type").text("url_citation");
        w.key("url").string(&citation.url);
        w.key("title").string(citation.title.as_ref().unwrap_or(&Str::EMPTY));
        w.key("start_index").u64(start.saturating_add(offset));
        w.key("end_index").u64(end.saturating_add(offset));
        w.end_object();
    }
}

impl Message {
    pub(super) fn new(id: String) -> Self {
        Message {
            id,
            content: Vec::new(),
            parts: 0,
            part: None,
            complete: true,
            text: Vec::new(),
            opaque: None,
        }
    }

    /// Writes where the open part stands.
    pub(super) fn write_place(&self, index: u64, w: &mut Writer<'_>) {
        w.key("item_id").text(&self.id);
        w.key("output_index").u64(index);
        w.key("content_index").u64(self.parts);
    }

    /// Writes the item: empty when it begins, whole when it is done.
    pub(super) fn write(&self, done: bool, w: &mut Writer<'_>) {
        w.begin_object();
        w.key("id").text(&self.id);
        w.key("type").text("message");
        w.key("status").text(match (done, self.complete) {
            (false, _) => "in_progress",
            (true, true) => "completed",
            (true, false) => "incomplete",
        });
        w.key("role").text("assistant");
        w.key("content").begin_array();
        if done {
            w.buffer().extend_from_slice(&self.content);
        }
        w.end_array().end_object();
    }
}

impl Reasoning {
    /// Writes where the summary stands.
    pub(super) fn write_place(&self, index: u64, w: &mut Writer<'_>) {
        w.key("item_id").text(&self.id);
        w.key("output_index").u64(index);
        w.key("summary_index").u64(0);
    }

    /// Writes the item; its state comes with its end only.
    pub(super) fn write(&self, sealed: Option<&Str<'_>>, done: bool, w: &mut Writer<'_>) {
        w.begin_object();
        w.key("id").text(&self.id);
        w.key("type").text("reasoning");
        w.key("summary").begin_array();
        if done && self.has_summary {
            self.write_part(w);
        }
        w.end_array();
        if let Some(sealed) = sealed {
            w.key("encrypted_content").string(sealed);
        }
        w.end_object();
    }

    pub(super) fn write_part(&self, w: &mut Writer<'_>) {
        w.begin_object().key("type").text("summary_text").key("text");
        escaped(w, &self.text);
        w.end_object();
    }
}

impl Call {
    /// Writes the item: without arguments when it begins, with all of them when it is done.
    pub(super) fn write(&self, done: bool, complete: bool, w: &mut Writer<'_>) {
        w.begin_object();
        w.key("id").text(&self.id);
        w.key("type").text(match self.native {
            Some(native) => native.call_type(),
            None if self.custom => "custom_tool_call",
            None => "function_call",
        });
        w.key("status").text(match (done, complete) {
            (false, _) => "in_progress",
            (true, true) => "completed",
            (true, false) => "incomplete",
        });
        w.key("call_id").text(&self.call_id);
        if let Some(native) = self.native {
            w.key(native.member()).json(&String::from_utf8_lossy(&self.arguments));
            w.end_object();
            return;
        }
        w.key("name").string(&self.name);
        if let Some(namespace) = &self.namespace {
            w.key("namespace").string(namespace);
        }
        w.key(if self.custom { "input" } else { "arguments" });
        escaped(w, if done { &self.arguments } else { b"" });
        w.end_object();
    }
}

impl Image {
    /// Writes the item: without the picture when it begins, with it when it is done.
    pub(super) fn write(&self, done: bool, w: &mut Writer<'_>) {
        w.begin_object();
        w.key("id").text(&self.id);
        w.key("type").text("image_generation_call");
        w.key("status").text(if done { "completed" } else { "in_progress" });
        let mime = self.mime.decode();
        w.key("output_format").text(mime.strip_prefix("image/").unwrap_or("png"));
        w.key("result");
        if done {
            escaped(w, &self.data);
        } else {
            w.null();
        }
        w.end_object();
    }
}
