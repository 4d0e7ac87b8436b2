//! The hub's events to a client's stream (section 3.6), and to the whole answer that ends it.

use std::collections::{HashMap, HashSet};

use super::super::object::{Frame, State, on_one_line};
use super::super::request::NAMESPACES;
use super::open::{Call, Image, Message, Open, Reasoning, TextPart, escaped};
use crate::protocol::Protocol;
use crate::protocol::canonical::envelope::seal;
use crate::protocol::canonical::{
    Citation, Delta, ErrorView, Event, Exchange, FaultKind, Finish, FinishReason, IdSource, NameMap, Opaque,
    OpaqueKind, PartHeader, Provider, Usage, derived_id,
};
use crate::protocol::json::{Error, Reader, Str, Writer, string_from_utf8};
use crate::protocol::sse;

/// Writes the stream of a Responses client.
///
/// It keeps what it has sent, because the final event repeats all of it (T038). A silent encoder
/// sends nothing and is asked for that final object instead, so a whole answer and a stream cannot
/// differ.
#[derive(Debug)]
pub struct Encoder {
    feed: Feed,
    frame: Frame,
    settings: Settings,
    ids: IdSource,
    /// Finished items, separated by commas.
    output: Vec<u8>,
    /// Number of the open item, or of the next one.
    index: u64,
    open: Open,
    /// Call ids of this answer: two calls must not share one (T092).
    call_ids: HashSet<String>,
    usage: Usage,
    finish: Option<Finish<'static>>,
    spoke: bool,
    ended: bool,
}

/// What the encoder has to know of the request.
#[derive(Debug)]
struct Settings {
    model: Option<String>,
    created: u64,
    names: NameMap,
    custom_tools: Vec<String>,
    namespaces: HashMap<String, (Str<'static>, Str<'static>)>,
    show_reasoning: bool,
    /// State of a call comes with its end and belongs before it: calls wait.
    hold_calls: bool,
    /// Reasoning without state is marked as ours, so that it can be replayed as text (1.8).
    mark_reasoning: bool,
}

/// Where events go, and their one numbering (T056).
#[derive(Debug)]
struct Feed {
    silent: bool,
    sequence: u64,
    /// What stands before and after the text in every delta of the open part.
    before: Vec<u8>,
    after: &'static [u8],
}

impl Feed {
    fn send(&mut self, out: &mut Vec<u8>, name: &'static str, body: impl FnOnce(&mut Writer<'_>)) {
        if self.silent {
            return;
        }
        let sequence = self.next();
        sse::write_named_event(out, name, |out| {
            let mut w = Writer::new(out);
            w.begin_object();
            w.key("type").text(name);
            w.key("sequence_number").u64(sequence);
            body(&mut w);
            w.end_object();
        });
    }

    fn next(&mut self) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        sequence
    }

    /// Renders once what every delta of a part repeats.
    fn prepare(
        &mut self,
        item_id: &str,
        index: u64,
        part: Option<(&'static str, u64)>,
        after: &'static [u8],
    ) {
        self.before.clear();
        // The comma is the writer's own: the sequence number stands before it.
        self.before.push(b'0');
        let mut w = Writer::new(&mut self.before);
        w.key("item_id").text(item_id);
        w.key("output_index").u64(index);
        if let Some((key, number)) = part {
            w.key(key).u64(number);
        }
        w.key("delta");
        self.before.push(b'"');
        self.after = after;
    }

    /// The hot path: copies, and nothing else.
    fn delta(&mut self, out: &mut Vec<u8>, name: &'static str, text: &[u8]) {
        if self.silent {
            return;
        }
        let sequence = self.next();
        sse::write_named_event(out, name, |out| {
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\",\"sequence_number\":");
            push_number(sequence, out);
            out.extend_from_slice(self.before.get(1..).unwrap_or_default());
            out.extend_from_slice(text);
            out.extend_from_slice(self.after);
        });
    }
}

const AFTER_TEXT: &[u8] = b"\",\"logprobs\":[]}";
const AFTER_OTHERS: &[u8] = b"\"}";

fn push_number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut rest = value;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
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
            feed: Feed { silent, sequence: 0, before: Vec::new(), after: b"" },
            frame: Frame::new(&exchange.echo),
            settings: Settings::new(exchange),
            ids: IdSource::new(exchange.seed),
            output: Vec::new(),
            index: 0,
            open: Open::Nothing,
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
            PartHeader::Text => self.open_text(false, out),
            PartHeader::Refusal => self.open_text(true, out),
            PartHeader::Reasoning | PartHeader::Redacted => self.open_reasoning(None, out),
            PartHeader::ToolCall { id, name, custom } => self.open_call(id, name, *custom, out),
            PartHeader::Media { mime } => self.open_image(mime, out),
            PartHeader::Opaque { protocol, raw } => {
                self.close(out);
                if *protocol == Protocol::Responses {
                    self.whole_item(raw.as_str(), out);
                }
            }
        }
    }

    fn delta(&mut self, delta: &Delta<'_>, out: &mut Vec<u8>) {
        match (delta, &mut self.open) {
            (Delta::Text(text), Open::Message(Message { part: Some(part), .. })) => {
                let text = text.as_escaped().as_bytes();
                part.text.extend_from_slice(text);
                self.spoke = true;
                let name = if part.refusal { "response.refusal.delta" } else { "response.output_text.delta" };
                self.feed.delta(out, name, text);
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

// --- messages ---------------------------------------------------------------------------------

impl Encoder {
    fn open_text(&mut self, refusal: bool, out: &mut Vec<u8>) {
        if let Open::Message(Message { part: Some(part), .. }) = &mut self.open
            && part.refusal == refusal
        {
            part.base = part.text.len();
            return;
        }
        if matches!(self.open, Open::Message(_)) {
            self.close_text(out);
        } else {
            self.close(out);
            let message = Message::new(self.ids.hex("msg_"));
            self.added(out, |w| message.write(false, w));
            self.open = Open::Message(message);
        }
        let Open::Message(message) = &mut self.open else { return };
        let part = TextPart::new(refusal);
        self.feed.send(out, "response.content_part.added", |w| {
            message.write_place(self.index, w);
            w.key("part");
            part.write(false, w);
        });
        let after = if refusal { AFTER_OTHERS } else { AFTER_TEXT };
        self.feed.prepare(&message.id, self.index, Some(("content_index", message.parts)), after);
        message.part = Some(part);
    }

    /// Ends the open part of the open message.
    fn close_text(&mut self, out: &mut Vec<u8>) {
        let Open::Message(message) = &mut self.open else { return };
        let Some(part) = message.part.take() else { return };
        let name = if part.refusal { "response.refusal.done" } else { "response.output_text.done" };
        self.feed.send(out, name, |w| {
            message.write_place(self.index, w);
            w.key(if part.refusal { "refusal" } else { "text" });
            escaped(w, &part.text);
            if !part.refusal {
                w.key("logprobs").begin_array().end_array();
            }
        });
        self.feed.send(out, "response.content_part.done", |w| {
            message.write_place(self.index, w);
            w.key("part");
            part.write(true, w);
        });
        part.write(true, &mut Writer::new(&mut message.content));
        message.parts += 1;
        message.text = part.text;
    }

    fn close_message(&mut self, out: &mut Vec<u8>) {
        self.close_text(out);
        if let Open::Message(message) = std::mem::take(&mut self.open) {
            self.done(out, |w| message.write(true, w));
            if let Some(opaque) = message.opaque {
                self.carrier(&opaque, &Str::from_escaped(string_from_utf8(message.text)), out);
            }
        }
    }

    fn citation(&mut self, citation: &Citation<'_>, out: &mut Vec<u8>) {
        let Open::Message(message) = &mut self.open else { return };
        let Some(mut part) = message.part.take_if(|part| !part.refusal) else { return };
        self.feed.send(out, "response.output_text.annotation.added", |w| {
            message.write_place(self.index, w);
            w.key("annotation_index").u64(part.annotated);
            w.key("annotation");
            part.write_annotation(citation, w);
        });
        let mut annotations = std::mem::take(&mut part.annotations);
        part.write_annotation(citation, &mut Writer::new(&mut annotations));
        part.annotations = annotations;
        part.annotated += 1;
        message.part = Some(part);
    }
}

// --- reasoning --------------------------------------------------------------------------------

impl Encoder {
    fn open_reasoning(&mut self, opaque: Option<Opaque<'static>>, out: &mut Vec<u8>) {
        self.close(out);
        let reasoning = Reasoning { id: self.ids.hex("rs_"), text: Vec::new(), opaque, has_summary: false };
        self.added(out, |w| reasoning.write(None, false, w));
        self.open = Open::Reasoning(reasoning);
    }

    fn reasoning_delta(&mut self, text: &Str<'_>, out: &mut Vec<u8>) {
        if !self.settings.show_reasoning {
            return;
        }
        let Open::Reasoning(reasoning) = &mut self.open else { return };
        if !reasoning.has_summary {
            reasoning.has_summary = true;
            self.feed.send(out, "response.reasoning_summary_part.added", |w| {
                reasoning.write_place(self.index, w);
                w.key("part").begin_object();
                w.key("type").text("summary_text").key("text").text("").end_object();
            });
            self.feed.prepare(&reasoning.id, self.index, Some(("summary_index", 0)), AFTER_OTHERS);
        }
        let text = text.as_escaped().as_bytes();
        reasoning.text.extend_from_slice(text);
        self.feed.delta(out, "response.reasoning_summary_text.delta", text);
    }

    fn close_reasoning(&mut self, out: &mut Vec<u8>) {
        let Open::Reasoning(reasoning) = std::mem::take(&mut self.open) else { return };
        if reasoning.has_summary {
            self.feed.send(out, "response.reasoning_summary_text.done", |w| {
                reasoning.write_place(self.index, w);
                w.key("text");
                escaped(w, &reasoning.text);
            });
            self.feed.send(out, "response.reasoning_summary_part.done", |w| {
                reasoning.write_place(self.index, w);
                w.key("part");
                reasoning.write_part(w);
            });
        }
        let sealed = self.sealed(&reasoning);
        self.done(out, |w| reasoning.write(sealed.as_ref(), true, w));
    }

    /// State goes out in an envelope that says whose it is, so that it comes back to its issuer only.
    fn sealed(&self, reasoning: &Reasoning) -> Option<Str<'static>> {
        let text = Str::from_escaped(String::from_utf8_lossy(&reasoning.text));
        match &reasoning.opaque {
            Some(opaque) => Some(seal(opaque, &text)),
            None if self.settings.mark_reasoning && reasoning.has_summary => {
                let nobody = Opaque {
                    provider: Provider::None,
                    kind: OpaqueKind::Signature,
                    item_id: None,
                    value: Str::EMPTY,
                };
                Some(seal(&nobody, &text))
            }
            None => None,
        }
    }

    /// An empty reasoning item that carries the state of the text before it or the call after it,
    /// recognised by the hash of what it belongs to.
    fn carrier(&mut self, opaque: &Opaque<'_>, owner: &Str<'_>, out: &mut Vec<u8>) {
        let sealed = seal(opaque, owner);
        let reasoning =
            Reasoning { id: self.ids.hex("rs_"), text: Vec::new(), opaque: None, has_summary: false };
        self.added(out, |w| reasoning.write(None, false, w));
        self.done(out, |w| reasoning.write(Some(&sealed), true, w));
    }
}

// --- calls and images -------------------------------------------------------------------------

fn call_delta(custom: bool) -> &'static str {
    if custom { "response.custom_tool_call_input.delta" } else { "response.function_call_arguments.delta" }
}

impl Encoder {
    fn open_call(&mut self, id: &Str<'_>, name: &Str<'_>, custom: bool, out: &mut Vec<u8>) {
        self.close(out);
        let (name, namespace, is_free_text) = self.settings.client_name(name);
        let is_custom = custom || is_free_text;
        let mut call = Call {
            id: String::new(),
            call_id: self.call_id(id),
            name,
            namespace,
            custom: is_custom,
            wrapped: is_free_text && !custom,
            held: self.settings.hold_calls,
            arguments: Vec::new(),
            opaque: None,
        };
        if !call.held {
            self.announce_call(&mut call, out);
        }
        self.open = Open::Call(call);
    }

    fn announce_call(&mut self, call: &mut Call, out: &mut Vec<u8>) {
        call.id = self.ids.hex(if call.custom { "ctc_" } else { "fc_" });
        self.added(out, |w| call.write(false, true, w));
        self.feed.prepare(&call.id, self.index, None, AFTER_OTHERS);
    }

    /// The upstream's id, unless it cannot be used or names another call already (1.9, T092).
    fn call_id(&mut self, id: &Str<'_>) -> String {
        let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.:|-".contains(&b);
        let id = id.decode();
        let fits = !id.is_empty() && id.len() <= 256 && id.bytes().all(legal);
        let mut unique = if fits { id.clone().into_owned() } else { derived_id("call_", id.as_bytes()) };
        let mut ordinal = self.call_ids.len();
        while !self.call_ids.insert(unique.clone()) {
            unique = derived_id("call_", format!("{id}{ordinal}").as_bytes());
            ordinal += 1;
        }
        unique
    }

    fn close_call(&mut self, complete: bool, out: &mut Vec<u8>) {
        let Open::Call(mut call) = std::mem::take(&mut self.open) else { return };
        if let Some(opaque) = call.opaque.take() {
            // Known too late for a call that has been sent already.
            if call.held {
                self.carrier(&opaque, &Str::escape(call.call_id.as_str()), out);
            }
        }
        if call.wrapped {
            call.arguments = unwrap_input(&call.arguments);
        }
        if call.held {
            self.announce_call(&mut call, out);
        }
        if (call.held || call.wrapped) && !call.arguments.is_empty() {
            self.feed.delta(out, call_delta(call.custom), &call.arguments);
        }
        let name = if call.custom {
            "response.custom_tool_call_input.done"
        } else {
            "response.function_call_arguments.done"
        };
        self.feed.send(out, name, |w| {
            w.key("item_id").text(&call.id);
            w.key("output_index").u64(self.index);
            if !call.custom {
                w.key("name").string(&call.name);
            }
            w.key(if call.custom { "input" } else { "arguments" });
            escaped(w, &call.arguments);
        });
        self.done(out, |w| call.write(true, complete, w));
    }

    fn open_image(&mut self, mime: &Str<'_>, out: &mut Vec<u8>) {
        self.close(out);
        let image = Image { id: self.ids.hex("ig_"), mime: mime.clone().into_owned(), data: Vec::new() };
        self.added(out, |w| image.write(false, w));
        self.open = Open::Image(image);
    }

    fn close_image(&mut self, out: &mut Vec<u8>) {
        if let Open::Image(image) = std::mem::take(&mut self.open) {
            self.done(out, |w| image.write(true, w));
        }
    }
}

/// The free text in `{"input":"…"}`, escaped; anything else goes on as it came (T087).
fn unwrap_input(arguments: &[u8]) -> Vec<u8> {
    let json = Str::from_escaped(String::from_utf8_lossy(arguments));
    let json = json.decode();
    let mut input = None;
    let mut reader = Reader::new(&json);
    let read = reader.object(|key, value| {
        if key == "input" {
            input = value.lenient_string()?;
        }
        Ok::<_, Error>(())
    });
    match input {
        Some(input) if read.is_ok() => input.as_escaped().as_bytes().to_vec(),
        _ => arguments.to_vec(),
    }
}

impl Settings {
    fn new(exchange: &Exchange) -> Self {
        let namespaces = exchange.echo.iter().find(|(key, _)| *key == NAMESPACES);
        Settings {
            model: exchange.model.clone(),
            created: exchange.created,
            names: exchange.tool_names.clone(),
            custom_tools: exchange.custom_tools.clone(),
            namespaces: namespaces.map(|(_, map)| read_namespaces(map)).unwrap_or_default(),
            show_reasoning: exchange.show_reasoning,
            hold_calls: exchange.upstream == Protocol::Gemini,
            mark_reasoning: exchange.upstream == Protocol::OpenAi,
        }
    }

    /// The client's name of a tool, its namespace, and whether it takes free text.
    fn client_name(&self, name: &Str<'_>) -> (Str<'static>, Option<Str<'static>>, bool) {
        let name = self.names.client(name);
        let plain = name.decode();
        let is_free_text = self.custom_tools.iter().any(|tool| *tool == plain);
        match self.namespaces.get(plain.as_ref()) {
            Some((namespace, name)) => (name.clone(), Some(namespace.clone()), is_free_text),
            None => (name.clone().into_owned(), None, is_free_text),
        }
    }
}

/// Reads the note that the request left: flat name to namespace and name (T088).
fn read_namespaces(map: &str) -> HashMap<String, (Str<'static>, Str<'static>)> {
    let mut names = HashMap::new();
    let read = Reader::new(map).object(|flat, value| {
        let mut pair = Vec::new();
        value.array(|word| {
            pair.push(word.string()?.into_owned());
            Ok::<_, Error>(())
        })?;
        if let [namespace, name] = pair.as_slice() {
            names.insert(flat.to_owned(), (namespace.clone(), name.clone()));
        }
        Ok::<_, Error>(())
    });
    if read.is_err() { HashMap::new() } else { names }
}

// --- the end ----------------------------------------------------------------------------------

impl Encoder {
    fn finish(&mut self, finish: &Finish<'_>, out: &mut Vec<u8>) {
        // Words for withheld content, where the model said none itself (2.14).
        if finish.reason == FinishReason::ContentFilter
            && !self.spoke
            && let Some(words) = finish.explanation.as_ref().filter(|words| !words.is_empty())
        {
            self.open_text(true, out);
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
        let state = final_state(self.finish.as_ref(), &self.output, &self.usage);
        let name = if state.incomplete.is_some() { "response.incomplete" } else { "response.completed" };
        self.feed.send(out, name, |w| {
            w.key("response");
            self.frame.write(&state, w.buffer());
        });
    }

    /// T055: clients wait for `response.failed`, with all that was finished before. What is open stays
    /// open: nothing of it may look whole.
    fn fail(&mut self, error: &ErrorView, out: &mut Vec<u8>) {
        self.ended = true;
        if self.frame.is_blank() {
            let id = self.ids.hex("resp_");
            let model = self.settings.model.as_deref().map(Str::escape).unwrap_or_default();
            self.frame.open(&id, &model, self.settings.created);
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
