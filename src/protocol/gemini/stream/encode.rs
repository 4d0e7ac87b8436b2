//! Canonical events to a client's chunks (3.7).
//!
//! Each line is `data: {json}` and nothing else may be on the wire (T006–T008); every chunk holds a
//! content with at least one part, or chat helpers drop the whole turn (T050).

use super::super::answer::{self, Call};
use super::super::logprobs::{self, Average};
use super::super::{error, finish, signature, usage};
use super::grounding::{Grounding, Offsets};
use crate::protocol::Protocol;
use crate::protocol::canonical::{
    Delta, ErrorView, Event, Exchange, Finish, FinishReason, IdSource, NameMap, Opaque, PartHeader,
    TokenLogprob, Usage,
};
use crate::protocol::json::{Str, Writer};

/// What stands before the first part of every chunk.
const HEAD: &[u8] = br#"data: {"candidates":[{"content":{"role":"model","parts":["#;

/// Encodes one stream.
#[derive(Debug)]
pub(crate) struct Encoder {
    model: Option<String>,
    names: NameMap,
    show_reasoning: bool,
    /// Whether the calls are another provider's.
    is_foreign: bool,
    seed: u64,
    /// Model and id, and the end of the line: the same for every chunk.
    tail: Vec<u8>,
    choices: Vec<Choice>,
    usage: Usage,
    closed: bool,
}

#[derive(Debug, Default)]
struct Choice {
    part: Open,
    /// State of the open part.
    opaque: Option<Opaque<'static>>,
    has_called: bool,
    finish: Option<Finish<'static>>,
    grounding: Grounding,
    offsets: Offsets,
    /// Tokens whose text is about to come.
    logprobs: Vec<TokenLogprob<'static>>,
    average: Average,
    /// Characters of visible text before the open part.
    base: u64,
}

/// What the open part is, and what of it cannot be sent yet.
#[derive(Debug, Default)]
enum Open {
    #[default]
    Nothing,
    Text,
    /// The text that a signature is bound to.
    Reasoning(Str<'static>),
    /// Google sends calls whole.
    Call {
        id: Str<'static>,
        name: Str<'static>,
        custom: bool,
        arguments: Str<'static>,
    },
    Media {
        mime: Str<'static>,
        data: Str<'static>,
    },
}

impl Encoder {
    pub(crate) fn new(exchange: &Exchange) -> Self {
        Encoder {
            model: exchange.model.clone(),
            names: exchange.tool_names.clone(),
            show_reasoning: exchange.show_reasoning,
            is_foreign: exchange.upstream != Protocol::Gemini,
            seed: exchange.seed,
            tail: b"}]}\n\n".to_vec(),
            choices: Vec::new(),
            usage: Usage::default(),
            closed: false,
        }
    }

    pub(crate) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.closed {
            return;
        }
        match event {
            Event::Delta { choice, delta: Delta::Text(text), .. } => self.text(*choice, text, out),
            Event::Delta { choice, delta, .. } => self.delta(*choice, delta),
            Event::Start { id, model, .. } => self.start(id, model),
            Event::PartStart { choice, header, .. } => self.part_start(*choice, header, out),
            Event::PartMeta { choice, meta, .. } => {
                let opaque = meta.opaque.clone().into_owned();
                self.choice(*choice).opaque = Some(opaque);
            }
            Event::PartEnd { choice, complete, .. } => self.part_end(*choice, *complete, out),
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish { choice, finish } => {
                self.choice(*choice).finish = Some(finish.clone().into_owned());
            }
            // A comment would break clients; an empty line is harmless (T007).
            Event::Ping => out.push(b'\n'),
            Event::End => self.end(out),
            Event::Error(error) => self.fail(error, out),
        }
    }

    fn start(&mut self, id: &Str<'_>, model: &Str<'_>) {
        let made_up;
        let id = match id.is_empty() {
            false => id,
            true => {
                made_up = Str::from(IdSource::new(self.seed).short(""));
                &made_up
            }
        };
        self.tail.clear();
        self.tail.extend_from_slice(b"}]");
        let mut w = Writer::new(&mut self.tail);
        match &self.model {
            Some(renamed) => w.key("modelVersion").text(renamed),
            None => w.key("modelVersion").string(model),
        };
        w.key("responseId").string(id);
        w.end_object();
        self.tail.extend_from_slice(b"\n\n");
    }

    fn choice(&mut self, index: u32) -> &mut Choice {
        let index = (index as usize).min(127);
        if index >= self.choices.len() {
            self.choices.resize_with(index + 1, Choice::default);
        }
        &mut self.choices[index]
    }

    /// The hot path: a chunk of text.
    fn text(&mut self, index: u32, text: &Str<'_>, out: &mut Vec<u8>) {
        let show = self.show_reasoning;
        let choice = self.choice(index);
        let thought = match &mut choice.part {
            Open::Reasoning(_) if !show => return,
            Open::Reasoning(said) => {
                said.push(text);
                true
            }
            _ => {
                choice.offsets.push(text);
                false
            }
        };
        let tokens = match thought {
            true => Vec::new(),
            false => std::mem::take(&mut choice.logprobs),
        };
        self.chunk_with(index, &tokens, out, |w| answer::write_text(text, thought, None, w));
    }

    fn chunk(&self, index: u32, out: &mut Vec<u8>, part: impl FnOnce(&mut Writer<'_>)) {
        self.chunk_with(index, &[], out, part);
    }

    fn chunk_with(
        &self,
        index: u32,
        tokens: &[TokenLogprob<'_>],
        out: &mut Vec<u8>,
        part: impl FnOnce(&mut Writer<'_>),
    ) {
        out.extend_from_slice(HEAD);
        let mut w = Writer::new(out);
        part(&mut w);
        out.extend_from_slice(br#"]},"index":"#);
        let mut w = Writer::new(out);
        w.u64(u64::from(index));
        logprobs::write(tokens.iter(), &mut w);
        out.extend_from_slice(&self.tail);
    }

    fn delta(&mut self, index: u32, delta: &Delta<'_>) {
        let choice = self.choice(index);
        match (delta, &mut choice.part) {
            (Delta::Arguments(more), Open::Call { arguments, .. }) => arguments.push(more),
            (Delta::Media(more), Open::Media { data, .. }) => data.push(more),
            (Delta::Citation(citation), _) => {
                choice.grounding.cite(citation, &choice.offsets, choice.base);
            }
            (Delta::Logprobs(tokens), Open::Text) => {
                choice.average.add(tokens.iter());
                choice.logprobs.extend(tokens.iter().cloned().map(TokenLogprob::into_owned));
            }
            _ => {}
        }
    }

    fn part_start(&mut self, index: u32, header: &PartHeader<'_>, out: &mut Vec<u8>) {
        let choice = self.choice(index);
        choice.opaque = None;
        choice.base = choice.offsets.chars();
        choice.part = match header {
            PartHeader::Text | PartHeader::Refusal => Open::Text,
            PartHeader::Reasoning | PartHeader::Redacted => Open::Reasoning(Str::EMPTY),
            PartHeader::ToolCall { id, name, custom } => Open::Call {
                id: id.clone().into_owned(),
                name: name.clone().into_owned(),
                custom: *custom,
                arguments: Str::EMPTY,
            },
            PartHeader::Media { mime } => Open::Media { mime: mime.clone().into_owned(), data: Str::EMPTY },
            PartHeader::WebSearchCall(call) => {
                choice.grounding.search(call);
                Open::Nothing
            }
            PartHeader::Opaque { protocol, raw } => {
                choice.part = Open::Nothing;
                if *protocol == Protocol::Gemini {
                    self.chunk(index, out, |w| answer::write_native(raw, w));
                }
                return;
            }
        };
    }

    fn part_end(&mut self, index: u32, complete: bool, out: &mut Vec<u8>) {
        let is_foreign = self.is_foreign;
        let choice = self.choice(index);
        let part = std::mem::take(&mut choice.part);
        let opaque = choice.opaque.take();
        match part {
            Open::Nothing => {}
            Open::Text => {
                if let Some(opaque) = opaque {
                    let value = signature::for_client(&opaque, &Str::EMPTY);
                    self.chunk(index, out, |w| answer::write_text(&Str::EMPTY, false, Some(&value), w));
                }
            }
            Open::Reasoning(said) => {
                let value = opaque.and_then(|opaque| reasoning_state(&opaque, &said, self.show_reasoning));
                if let Some(value) = value {
                    self.chunk(index, out, |w| answer::write_text(&Str::EMPTY, true, Some(&value), w));
                }
            }
            Open::Call { id, name, custom, arguments } => {
                let arguments = arguments.into_decoded();
                let mut call = Call { id: &id, name: &name, arguments: &arguments, custom, complete };
                if call.is_usable() {
                    let is_first = !std::mem::replace(&mut choice.has_called, true);
                    let value = signature::for_call(opaque.as_ref(), is_first && is_foreign);
                    let name = self.names.client(&name);
                    call.name = &name;
                    self.chunk(index, out, |w| call.write(value.as_ref(), w));
                }
            }
            Open::Media { mime, data } => {
                self.chunk(index, out, |w| answer::write_inline(&mime, &data, w));
            }
        }
    }

    fn end(&mut self, out: &mut Vec<u8>) {
        if self.choices.is_empty() {
            self.choices.push(Choice::default());
        }
        let malformed = self.choices.iter().filter_map(|choice| choice.finish.as_ref());
        if let Some(finish) = malformed.into_iter().find(|f| f.reason == FinishReason::Malformed) {
            let error = finish::malformed(finish);
            self.fail(&error, out);
            return;
        }
        self.closed = true;
        out.extend_from_slice(b"data: {");
        let mut w = Writer::new(out);
        w.key("candidates").begin_array();
        for (index, choice) in (0u64..).zip(&self.choices) {
            w.begin_object().key("content").begin_object().key("role").text("model");
            w.key("parts").begin_array();
            answer::write_text(&Str::EMPTY, false, None, &mut w);
            w.end_array().end_object();
            let stop = Finish::default();
            write_finish(choice.finish.as_ref().unwrap_or(&stop), &mut w);
            choice.average.write(&mut w);
            logprobs::write(choice.logprobs.iter(), &mut w);
            choice.grounding.write(&mut w);
            w.key("index").u64(index).end_object();
        }
        w.end_array();
        usage::write(&self.usage, &mut w);
        // The tail opens with the end of a candidate and of their list.
        out.extend_from_slice(self.tail.strip_prefix(b"}]").unwrap_or(&self.tail));
    }

    fn fail(&mut self, error: &ErrorView, out: &mut Vec<u8>) {
        self.closed = true;
        error::write_event(error, out);
    }
}

/// The signature for reasoning that a client has seen in pieces, or not at all (T114). State that is
/// bound to a text which the client does not have would be worthless.
pub(in super::super) fn reasoning_state(
    opaque: &Opaque<'_>,
    said: &Str<'_>,
    shown: bool,
) -> Option<Str<'static>> {
    if shown {
        return Some(signature::for_client(opaque, said));
    }
    signature::stands_alone(opaque).then(|| signature::for_client(opaque, &Str::EMPTY))
}

/// `finishReason` and `finishMessage`.
pub(in super::super) fn write_finish(finish: &Finish<'_>, w: &mut Writer<'_>) {
    w.key("finishReason").text(finish::encode(finish.reason).unwrap_or("OTHER"));
    if let Some(message) = &finish.explanation {
        w.key("finishMessage").string(message);
    }
}
