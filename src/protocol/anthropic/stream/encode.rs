//! Canonical events to an Anthropic client's stream (section 3.4).
//!
//! One block is open at a time, and its index is this encoder's own count (T031, T044). What does
//! not change from delta to delta is rendered once, when the block opens.

mod search;

use super::super::response::{cite, malformed, message_id, placeholder};
use super::super::search::Cited;
use super::super::state::{self, CallIds};
use super::super::{error, finish, usage};
use crate::protocol::Protocol;
use crate::protocol::canonical::{
    Delta, Event, Exchange, Finish, FinishReason, NameMap, Opaque, PartHeader, Usage,
};
use crate::protocol::json::{Raw, Str, Writer};
use crate::protocol::sse::write_named_event;

/// Writes a native stream.
#[derive(Debug)]
pub(crate) struct Encoder {
    model: Option<String>,
    names: NameMap,
    upstream: Protocol,
    shows_reasoning: bool,
    seed: u64,
    ids: CallIds,
    /// Index of the next block.
    next: u64,
    part: Part,
    /// `event: content_block_delta` of the open block up to its text.
    prefix: Vec<u8>,
    /// Text of the open part, where a signature has to be bound to it.
    text: Str<'static>,
    opaque: Option<Opaque<'static>>,
    usage: Usage,
    /// Searches of the web so far.
    searches: u64,
    /// What is cited, for a client that let the provider search.
    cited: Option<Cited>,
    finish: Option<Finish<'static>>,
    done: bool,
}

/// The open part.
#[derive(Debug)]
enum Part {
    /// None, or one that this client is not shown.
    Hidden,
    /// A block that opens with its first delta (T035).
    Waiting(Sort),
    /// A call that waits for a signature, which has to come before it.
    HeldCall { id: Str<'static>, name: Str<'static>, custom: bool, arguments: Str<'static> },
    /// A redacted block: whole at its end.
    Redacted,
    /// An open block.
    Open(Sort),
}

/// What an open block takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sort {
    Text,
    Thinking,
    Call,
    /// Free text that this protocol wraps into an object.
    Custom,
}

impl Encoder {
    pub(crate) fn new(exchange: &Exchange) -> Self {
        Encoder {
            model: exchange.model.clone(),
            names: exchange.tool_names.clone(),
            upstream: exchange.upstream,
            shows_reasoning: exchange.show_reasoning,
            seed: exchange.seed,
            ids: CallIds::new(exchange.seed),
            next: 0,
            part: Part::Hidden,
            prefix: Vec::new(),
            text: Str::EMPTY,
            opaque: None,
            usage: Usage::default(),
            searches: 0,
            cited: exchange.has_silent_search.then(Cited::default),
            finish: None,
            done: false,
        }
    }

    pub(crate) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.done {
            return;
        }
        match event {
            Event::Delta { choice: 0, delta, .. } => self.delta(delta, out),
            Event::PartStart { choice: 0, header, .. } => self.part_start(header, out),
            Event::PartMeta { choice: 0, meta, .. } => self.opaque = Some(meta.opaque.clone().into_owned()),
            Event::PartEnd { choice: 0, .. } => self.part_end(out),
            Event::Start { id, model, .. } => self.start(id, model, out),
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish { choice: 0, finish } => self.finish = Some(finish.clone().into_owned()),
            Event::Ping => ping(out),
            Event::End => self.end(out),
            Event::Error(view) => {
                self.done = true;
                error::write_event(view, out);
            }
            // This protocol has one choice.
            Event::Delta { .. }
            | Event::PartStart { .. }
            | Event::PartMeta { .. }
            | Event::PartEnd { .. }
            | Event::Finish { .. } => {}
        }
    }

    fn start(&self, id: &Str<'_>, model: &Str<'_>, out: &mut Vec<u8>) {
        write_named_event(out, "message_start", |out| {
            let mut w = Writer::new(out);
            w.begin_object();
            w.key("type").text("message_start");
            w.key("message").begin_object();
            w.key("id").string(&message_id(id, self.seed));
            w.key("type").text("message");
            w.key("role").text("assistant");
            match &self.model {
                Some(model) => w.key("model").text(model),
                None => w.key("model").string(model),
            };
            w.key("content").begin_array().end_array();
            w.key("stop_reason").null();
            w.key("stop_sequence").null();
            w.key("usage");
            usage::write(&self.usage, self.searches, &mut w);
            w.end_object().end_object();
        });
        ping(out);
    }

    fn part_start(&mut self, header: &PartHeader<'_>, out: &mut Vec<u8>) {
        self.text = Str::EMPTY;
        self.opaque = None;
        self.part = match header {
            PartHeader::Text | PartHeader::Refusal => Part::Waiting(Sort::Text),
            // Only clients that asked for reasoning know the blocks (T117).
            PartHeader::Reasoning | PartHeader::Redacted if !self.shows_reasoning => Part::Hidden,
            PartHeader::Reasoning => Part::Waiting(Sort::Thinking),
            PartHeader::Redacted => Part::Redacted,
            PartHeader::ToolCall { id, name, custom } => {
                let id = self.ids.next(id);
                // Gemini signs calls; its calls come in one piece, so holding them costs no time.
                if self.upstream == Protocol::Gemini && self.shows_reasoning {
                    Part::HeldCall {
                        id,
                        name: name.clone().into_owned(),
                        custom: *custom,
                        arguments: Str::EMPTY,
                    }
                } else {
                    self.open_call(&id, name, *custom, out)
                }
            }
            PartHeader::Media { mime } => {
                self.open(Sort::Text, out);
                self.write(&placeholder(mime), out);
                Part::Open(Sort::Text)
            }
            PartHeader::WebSearchCall(call) => {
                self.search(call, out);
                Part::Hidden
            }
            PartHeader::Opaque { protocol: Protocol::Anthropic, raw } => {
                self.whole(raw, out);
                Part::Hidden
            }
            PartHeader::Opaque { .. } => Part::Hidden,
        };
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut Vec<u8>) {
        if let Part::Waiting(sort) = self.part
            && !matches!(delta, Delta::Citation(_))
        {
            self.open(sort, out);
            self.part = Part::Open(sort);
        }
        match (&mut self.part, delta) {
            (Part::Open(Sort::Text | Sort::Thinking), Delta::Text(text)) => {
                if self.binds_text() {
                    self.text.push(text);
                }
                self.write(text, out);
            }
            (Part::Open(Sort::Call), Delta::Arguments(text)) => self.write(text, out),
            (Part::Open(Sort::Custom), Delta::Arguments(text)) => {
                // Escaped once more: a JSON string inside of JSON text.
                self.write(&Str::escape(text.as_escaped()), out);
            }
            (Part::HeldCall { arguments, .. }, Delta::Arguments(text)) => arguments.push(text),
            (Part::Open(Sort::Text), Delta::Citation(citation)) => {
                if let Some(cited) = &mut self.cited {
                    cited.add(citation);
                }
                let index = self.next;
                write_named_event(out, "content_block_delta", |out| {
                    let mut w = Writer::new(out);
                    w.begin_object();
                    w.key("type").text("content_block_delta");
                    w.key("index").u64(index);
                    w.key("delta").begin_object();
                    w.key("type").text("citations_delta");
                    w.key("citation");
                    cite(citation, &mut w);
                    w.end_object().end_object();
                });
            }
            _ => {}
        }
    }

    /// Whether an envelope may have to be bound to the open part's text.
    fn binds_text(&self) -> bool {
        match self.part {
            Part::Open(Sort::Thinking) => self.upstream != Protocol::Anthropic,
            _ => self.upstream == Protocol::Gemini && self.shows_reasoning,
        }
    }

    fn part_end(&mut self, out: &mut Vec<u8>) {
        match std::mem::replace(&mut self.part, Part::Hidden) {
            Part::Hidden => {}
            Part::Open(Sort::Thinking) => self.end_thinking(out),
            // State without text is state all the same (T098).
            Part::Waiting(Sort::Thinking) if self.opaque.is_some() => {
                self.open(Sort::Thinking, out);
                self.end_thinking(out);
            }
            Part::Open(Sort::Text) => {
                self.close(out);
                self.carry_text(out);
            }
            Part::Waiting(_) => self.carry_text(out),
            Part::Open(Sort::Call) => self.close(out),
            Part::Open(Sort::Custom) => {
                self.write(&Str::from_escaped(r#"\"}"#), out);
                self.close(out);
            }
            Part::Redacted => self.redacted(out),
            Part::HeldCall { id, name, custom, arguments } => {
                if let Some(opaque) = self.opaque.take() {
                    self.carry(&state::bind_call(&opaque, &id), out);
                }
                self.part = self.open_call(&id, &name, custom, out);
                if !arguments.is_empty() {
                    self.delta(&Delta::Arguments(arguments), out);
                }
                self.part_end(out);
            }
        }
    }

    /// The signature comes once, last (T033, T034).
    fn end_thinking(&mut self, out: &mut Vec<u8>) {
        if let Some(value) = state::signature(self.opaque.take().as_ref(), &self.text, self.upstream) {
            self.sign(&value, out);
        }
        self.close(out);
    }

    fn sign(&self, value: &Str<'_>, out: &mut Vec<u8>) {
        let index = self.next;
        write_named_event(out, "content_block_delta", |out| {
            let mut w = Writer::new(out);
            w.begin_object();
            w.key("type").text("content_block_delta");
            w.key("index").u64(index);
            w.key("delta").begin_object();
            w.key("type").text("signature_delta");
            w.key("signature").string(value);
            w.end_object().end_object();
        });
    }

    /// A signature on visible text follows it in a thinking block of its own (section 1.8).
    fn carry_text(&mut self, out: &mut Vec<u8>) {
        if let Some(opaque) = self.opaque.take() {
            let text = std::mem::take(&mut self.text);
            self.carry(&state::bind_text(&opaque, &text), out);
        }
    }

    fn carry(&mut self, envelope: &Str<'_>, out: &mut Vec<u8>) {
        if self.shows_reasoning {
            self.open(Sort::Thinking, out);
            self.sign(envelope, out);
            self.close(out);
        }
    }

    fn redacted(&mut self, out: &mut Vec<u8>) {
        let Some(data) = state::signature(self.opaque.take().as_ref(), &Str::EMPTY, self.upstream) else {
            return;
        };
        self.opening(out, |w| {
            w.begin_object();
            w.key("type").text("redacted_thinking");
            w.key("data").string(&data);
            w.end_object();
        });
        self.close(out);
    }

    fn whole(&mut self, raw: &Raw<'_>, out: &mut Vec<u8>) {
        self.opening(out, |w| {
            w.raw(raw);
        });
        self.close(out);
    }

    fn open_call(&mut self, id: &Str<'_>, name: &Str<'_>, custom: bool, out: &mut Vec<u8>) -> Part {
        let name = self.names.client(name).into_owned();
        self.opening(out, |w| {
            w.begin_object();
            w.key("type").text("tool_use");
            w.key("id").string(id);
            w.key("name").string(&name);
            w.key("input").begin_object().end_object();
            w.end_object();
        });
        let sort = if custom { Sort::Custom } else { Sort::Call };
        self.render_prefix(sort);
        if custom {
            self.write(&Str::from_escaped(r#"{\"input\":\""#), out);
        }
        Part::Open(sort)
    }

    fn open(&mut self, sort: Sort, out: &mut Vec<u8>) {
        self.opening(out, |w| {
            w.begin_object();
            if sort == Sort::Thinking {
                w.key("type").text("thinking");
                w.key("thinking").text("");
                w.key("signature").text("");
            } else {
                w.key("type").text("text");
                w.key("text").text("");
            }
            w.end_object();
        });
        self.render_prefix(sort);
    }

    fn opening(&self, out: &mut Vec<u8>, block: impl FnOnce(&mut Writer<'_>)) {
        write_named_event(out, "content_block_start", |out| {
            let mut w = Writer::new(out);
            w.begin_object();
            w.key("type").text("content_block_start");
            w.key("index").u64(self.next);
            w.key("content_block");
            block(&mut w);
            w.end_object();
        });
    }

    fn render_prefix(&mut self, sort: Sort) {
        let (tag, key) = match sort {
            Sort::Text => ("text_delta", "text"),
            Sort::Thinking => ("thinking_delta", "thinking"),
            Sort::Call | Sort::Custom => ("input_json_delta", "partial_json"),
        };
        self.prefix.clear();
        self.prefix.extend_from_slice(b"event: content_block_delta\ndata: ");
        let mut w = Writer::new(&mut self.prefix);
        w.begin_object();
        w.key("type").text("content_block_delta");
        w.key("index").u64(self.next);
        w.key("delta").begin_object();
        w.key("type").text(tag);
        w.key(key);
        self.prefix.push(b'"');
    }

    /// A delta: the rendered front, the text as it came, the end.
    fn write(&self, text: &Str<'_>, out: &mut Vec<u8>) {
        let text = text.as_escaped().as_bytes();
        out.reserve(self.prefix.len() + text.len() + DELTA_END.len());
        out.extend_from_slice(&self.prefix);
        out.extend_from_slice(text);
        out.extend_from_slice(DELTA_END);
    }

    fn close(&mut self, out: &mut Vec<u8>) {
        let index = self.next;
        self.next += 1;
        write_named_event(out, "content_block_stop", |out| {
            let mut w = Writer::new(out);
            w.begin_object();
            w.key("type").text("content_block_stop");
            w.key("index").u64(index);
            w.end_object();
        });
    }

    /// A reason always comes (T163), with exact counts beside it: agents compact by them (T186).
    fn end(&mut self, out: &mut Vec<u8>) {
        self.done = true;
        let finish = self.finish.take().unwrap_or_default();
        if finish.reason == FinishReason::Malformed {
            return error::write_event(&malformed(), out);
        }
        if let Some(call) = self.cited.take().filter(|_| self.searches == 0).and_then(Cited::search) {
            self.search(&call, out);
        }
        write_named_event(out, "message_delta", |out| {
            let mut w = Writer::new(out);
            w.begin_object();
            w.key("type").text("message_delta");
            w.key("delta").begin_object();
            finish::write(&finish, &mut w);
            w.end_object();
            w.key("usage");
            usage::write(&self.usage, self.searches, &mut w);
            w.end_object();
        });
        write_named_event(out, "message_stop", |out| {
            out.extend_from_slice(br#"{"type":"message_stop"}"#);
        });
    }
}

const DELTA_END: &[u8] = b"\"}}\n\n";

fn ping(out: &mut Vec<u8>) {
    write_named_event(out, "ping", |out| out.extend_from_slice(br#"{"type":"ping"}"#));
}
