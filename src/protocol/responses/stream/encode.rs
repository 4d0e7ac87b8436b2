//! The hub's events to a client's stream (section 3.6), and to the whole answer that ends it.

mod call;
mod feed;
mod message;
mod reasoning;
mod search;
mod settings;

use std::collections::HashSet;

use super::super::error::write_error_members;
use super::super::object::{Frame, State, on_one_line};
use super::open::{Message, Open};
use call::call_delta;
use feed::Feed;
use settings::Settings;

use crate::protocol::Protocol;
use crate::protocol::canonical::{
    Delta, ErrorView, Event, Exchange, FaultKind, Finish, FinishReason, IdSource, Opaque, PartHeader, Usage,
};
use crate::protocol::json::{Str, Writer};

/// Writes the stream of a Responses client.
///
/// It keeps what it has sent, because the final event repeats all of it (T038). A silent encoder
/// sends nothing and is asked for that final object instead, so a whole answer and a stream cannot
/// differ.
#[derive(Debug)]
pub(crate) struct Encoder {
    feed: Feed,
    frame: Frame,
    settings: Settings,
    ids: IdSource,
    /// Finished items, separated by commas.
    output: Vec<u8>,
    /// Number of the open item, or of the next one.
    index: u64,
    open: Open,
    /// Whether the text that has begun last is a refusal.
    refuses: bool,
    /// Call ids of this answer: two calls must not share one (T092).
    call_ids: HashSet<String>,
    usage: Usage,
    finish: Option<Finish<'static>>,
    spoke: bool,
    ended: bool,
}

impl Encoder {
    /// An encoder at the start of a stream.
    pub(crate) fn new(exchange: &Exchange) -> Self {
        Self::build(exchange, false)
    }

    /// An encoder that sends nothing: for a whole answer.
    pub(in crate::protocol::responses) fn silent(exchange: &Exchange) -> Self {
        Self::build(exchange, true)
    }

    fn build(exchange: &Exchange, silent: bool) -> Self {
        Encoder {
            feed: Feed::new(silent),
            frame: Frame::new(&exchange.echo),
            settings: Settings::new(exchange),
            ids: IdSource::new(exchange.seed),
            output: Vec::new(),
            index: 0,
            open: Open::Nothing,
            refuses: false,
            call_ids: HashSet::new(),
            usage: Usage::default(),
            finish: None,
            spoke: false,
            ended: false,
        }
    }

    /// Appends what the client is to read for this event.
    pub(crate) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.ended {
            return;
        }
        match event {
            Event::Delta { choice: 0, delta, .. } => self.delta(delta, out),
            Event::Start { id, model, created } => self.start(id, model, *created, out),
            Event::PartStart { choice: 0, header, .. } => self.part_start(header, out),
            Event::PartMeta { choice: 0, meta, .. } => self.part_meta(&meta.opaque),
            Event::PartEnd { choice: 0, complete, .. } => self.part_end(*complete, out),
            Event::Finish { choice: 0, finish } => self.finish(finish, out),
            Event::Usage(usage) => self.usage.merge(usage),
            // Comments and repeated lifecycle events break clients (T012, T013, T014).
            Event::Ping => self.feed.send(out, "keepalive", |_| {}),
            Event::End => self.end(out),
            Event::Error(error) => self.fail(error, out),
            // There is one choice.
            Event::Delta { .. }
            | Event::PartStart { .. }
            | Event::PartMeta { .. }
            | Event::PartEnd { .. }
            | Event::Finish { .. } => {}
        }
    }

    fn start(&mut self, id: &Str<'_>, model: &Str<'_>, created: Option<u64>, out: &mut Vec<u8>) {
        let own_id = self.ids.hex("resp_");
        let id = id.decode();
        let id = if id.starts_with("resp_") { id.as_ref() } else { own_id.as_str() };
        let renamed = self.settings.model.as_deref().map(Str::escape);
        let created = created.unwrap_or(self.settings.created);
        self.frame.open(id, renamed.as_ref().unwrap_or(model), created);
        for name in ["response.created", "response.in_progress"] {
            let frame = &self.frame;
            self.feed.send(out, name, |w| {
                w.key("response");
                frame.write(&State::at("in_progress"), w.buffer());
            });
        }
    }

    fn part_start(&mut self, header: &PartHeader<'_>, out: &mut Vec<u8>) {
        match header {
            PartHeader::Text => self.promise_text(false, out),
            PartHeader::Refusal => self.promise_text(true, out),
            PartHeader::Reasoning | PartHeader::Redacted => self.open_reasoning(None, out),
            PartHeader::ToolCall { id, name, custom } => self.open_call(id, name, *custom, out),
            PartHeader::Media { mime } => self.open_image(mime, out),
            PartHeader::WebSearchCall(call) => self.search(call, out),
            PartHeader::Opaque { protocol, raw } => {
                self.close(out);
                if *protocol == Protocol::Responses {
                    self.whole_item(raw.as_str(), out);
                }
            }
        }
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut Vec<u8>) {
        let is_promised = matches!(self.open, Open::Promise(_) | Open::Message(Message { part: None, .. }));
        if is_promised && !delta.is_empty() {
            self.open_text(out);
        }
        match (delta, &mut self.open) {
            (Delta::Text(text), Open::Message(Message { part: Some(part), .. })) => {
                let text = text.as_escaped().as_bytes();
                part.text.extend_from_slice(text);
                self.spoke = true;
                if part.refusal {
                    self.feed.delta(out, "response.refusal.delta", text);
                } else {
                    self.feed.text(out, text, part.news());
                }
            }
            (Delta::Text(text), Open::Reasoning(_)) => self.reasoning_delta(text, out),
            (Delta::Arguments(text), Open::Call(call)) => {
                let text = text.as_escaped().as_bytes();
                call.arguments.extend_from_slice(text);
                if !call.held && !call.wrapped {
                    self.feed.delta(out, call_delta(call.custom), text);
                }
            }
            (Delta::Media(data), Open::Image(image)) => {
                image.data.extend_from_slice(data.as_escaped().as_bytes());
            }
            (Delta::Logprobs(tokens), Open::Message(Message { part: Some(part), .. })) => {
                let mut w = Writer::new(&mut part.logprobs);
                tokens.iter().for_each(|token| token.write(&mut w));
            }
            (Delta::Citation(citation), _) => self.citation(citation, out),
            _ => {}
        }
    }

    fn part_meta(&mut self, opaque: &Opaque<'_>) {
        let opaque = opaque.clone().into_owned();
        match &mut self.open {
            Open::Reasoning(reasoning) => reasoning.opaque = Some(opaque),
            Open::Call(call) => call.opaque = Some(opaque),
            // State on visible text travels in an empty reasoning item after it (1.8, carriers).
            Open::Message(message) => message.opaque = Some(opaque),
            Open::Promise(promised) => *promised = Some(opaque),
            Open::Image(_) | Open::Nothing => {}
        }
    }

    fn part_end(&mut self, complete: bool, out: &mut Vec<u8>) {
        match &mut self.open {
            // A text stays open: what follows may be more of it (2.16).
            Open::Message(message) => {
                message.complete &= complete;
                if message.opaque.is_some() || !complete {
                    self.close(out);
                }
            }
            Open::Call(_) => self.close_call(complete, out),
            _ => self.close(out),
        }
    }

    /// Ends the open item, whatever it is.
    fn close(&mut self, out: &mut Vec<u8>) {
        match &self.open {
            Open::Nothing => {}
            Open::Promise(_) => self.close_promise(out),
            Open::Message(_) => self.close_message(out),
            Open::Reasoning(_) => self.close_reasoning(out),
            Open::Call(_) => self.close_call(true, out),
            Open::Image(_) => self.close_image(out),
        }
    }

    /// Announces an item.
    fn added(&mut self, out: &mut Vec<u8>, item: impl FnOnce(&mut Writer<'_>)) {
        let index = self.index;
        self.feed.send(out, "response.output_item.added", |w| {
            w.key("output_index").u64(index);
            w.key("item");
            item(w);
        });
    }

    /// Keeps a finished item for the final event, and says that it is done (T039).
    fn done(&mut self, out: &mut Vec<u8>, item: impl FnOnce(&mut Writer<'_>)) {
        let from = self.output.len();
        item(&mut Writer::new(&mut self.output));
        let (index, output) = (self.index, &self.output);
        self.feed.send(out, "response.output_item.done", |w| {
            w.key("output_index").u64(index);
            w.key("item");
            let item = output.get(from..).unwrap_or_default();
            w.buffer().extend_from_slice(item.strip_prefix(b",").unwrap_or(item));
        });
        self.index += 1;
    }

    /// An item of this protocol, passed on as it is.
    fn whole_item(&mut self, raw: &str, out: &mut Vec<u8>) {
        let raw = on_one_line(raw);
        self.added(out, |w| {
            w.json(&raw);
        });
        self.done(out, |w| {
            w.json(&raw);
        });
    }
}

impl Encoder {
    fn finish(&mut self, finish: &Finish<'_>, out: &mut Vec<u8>) {
        // Words for withheld content, where the model said none itself (2.14).
        if finish.reason == FinishReason::ContentFilter
            && !self.spoke
            && let Some(words) = finish.explanation.as_ref().filter(|words| !words.is_empty())
        {
            self.promise_text(true, out);
            self.delta(&Delta::Text(words.borrowed()), out);
        }
        self.close(out);
        self.finish = Some(finish.clone().into_owned());
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.finish.as_ref().is_some_and(|finish| finish.reason == FinishReason::Malformed) {
            let error = ErrorView::new(FaultKind::BadUpstream, "the model made a malformed tool call");
            return self.fail(&error, out);
        }
        self.close(out);
        self.ended = true;
        self.name();
        let state = final_state(self.finish.as_ref(), &self.output, &self.usage);
        let name = if state.incomplete.is_some() { "response.incomplete" } else { "response.completed" };
        self.feed.send(out, name, |w| {
            w.key("response");
            self.frame.write(&state, w.buffer());
        });
    }

    /// An answer that fails before it begins has no name yet, and clients need one.
    fn name(&mut self) {
        if self.frame.is_blank() {
            let id = self.ids.hex("resp_");
            let model = self.settings.model.as_deref().map(Str::escape).unwrap_or_default();
            self.frame.open(&id, &model, self.settings.created);
        }
    }

    /// T055: clients wait for `response.failed`, with all that was finished before. What is open stays
    /// open: nothing of it may look whole.
    fn fail(&mut self, error: &ErrorView, out: &mut Vec<u8>) {
        self.ended = true;
        self.name();
        if self.settings.error_event {
            self.feed.send(out, "error", |w| write_error_members(error, w));
        }
        self.feed.send(out, "response.failed", |w| {
            w.key("response");
            let state = State {
                status: "failed",
                incomplete: None,
                error: Some(error),
                output: &self.output,
                usage: Some(&self.usage),
            };
            self.frame.write(&state, w.buffer());
        });
    }

    /// Appends the whole answer.
    pub(in crate::protocol::responses) fn write_response(&self, out: &mut Vec<u8>) {
        self.frame.write(&final_state(self.finish.as_ref(), &self.output, &self.usage), out);
    }
}

/// How an answer ended that did not fail (2.14).
fn final_state<'s>(finish: Option<&Finish<'_>>, output: &'s [u8], usage: &'s Usage) -> State<'s> {
    let incomplete = match finish.map(|finish| finish.reason) {
        Some(FinishReason::Length | FinishReason::ContextWindow) => Some("max_output_tokens"),
        Some(FinishReason::ContentFilter) => Some("content_filter"),
        _ => None,
    };
    let status = if incomplete.is_some() { "incomplete" } else { "completed" };
    State { status, incomplete, error: None, output, usage: Some(usage) }
}
