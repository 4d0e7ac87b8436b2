//! Events to a Chat client's stream (section 3.5).
//!
//! What is the same in every chunk is rendered once, so a text delta is three copies into the
//! buffer.

use crate::protocol::canonical::media::data_url;
use crate::protocol::canonical::{
    Citation, Delta, Event, Exchange, Finish, FinishReason, Opaque, PartHeader, TokenLogprob, Usage,
};
use crate::protocol::json::{Str, Writer};
use crate::protocol::openai::response::{
    answer_id, explanation, is_legacy, unwrap_input, write_image, write_logprobs,
};
use crate::protocol::openai::{citations, error, finish, reasoning, usage};
use crate::protocol::sse;

/// More choices than OpenAI's own limit of `n` are not told.
const MOST_CHOICES: u32 = 128;

/// Encodes a Chat client's stream.
#[derive(Debug)]
pub(crate) struct Encoder {
    exchange: Box<Exchange>,
    legacy: bool,
    /// Everything up to the value of `choices`.
    head: Vec<u8>,
    /// The same, up to the text of a `content` delta of choice 0.
    text_head: Vec<u8>,
    choices: Vec<ChoiceState>,
    usage: Usage,
    over: bool,
}

#[derive(Debug, Default)]
struct ChoiceState {
    open: Open,
    /// Number of the next tool call: dense, whatever parts came between (T044).
    next_call: u64,
    /// Number of the next reasoning part.
    next_reasoning: u64,
    /// Text of the open reasoning part, of a picture, or of a call to be unwrapped.
    held: Str<'static>,
    state: Option<Opaque<'static>>,
    /// Characters of text so far, and before the open part: what citations count in.
    characters: u64,
    part_start: u64,
    citations: Vec<(Citation<'static>, (u64, u64))>,
    signature: Option<Str<'static>>,
    /// Tokens whose text is about to come.
    logprobs: Vec<TokenLogprob<'static>>,
    finished: bool,
}

/// The open part.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
enum Open {
    #[default]
    None,
    Text,
    Refusal,
    Reasoning {
        redacted: bool,
    },
    Call {
        number: u64,
        form: Form,
    },
    Image {
        mime: String,
    },
}

/// How a call reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Function,
    Custom,
    /// A free-text call that travelled as a function: unwrapped when whole.
    Unwrapped,
    Legacy,
    /// A legacy client takes one call.
    Silent,
}

impl Encoder {
    pub(crate) fn new(exchange: &Exchange) -> Self {
        Encoder {
            legacy: is_legacy(exchange),
            exchange: Box::new(exchange.clone()),
            head: Vec::new(),
            text_head: Vec::new(),
            choices: Vec::new(),
            usage: Usage::default(),
            over: false,
        }
    }

    /// Appends what the client is to read for this event.
    pub(crate) fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        if self.over {
            return;
        }
        match event {
            Event::Delta { choice, delta, .. } => self.delta(*choice, delta, out),
            Event::Start { id, model, created } => {
                self.start(id, model, *created);
                self.reach(0, out);
            }
            Event::PartStart { choice, header, .. } => self.part_start(*choice, header, out),
            Event::PartMeta { choice, meta, .. } => self.part_meta(*choice, &meta.opaque, out),
            Event::PartEnd { choice, .. } => self.part_end(*choice, out),
            Event::Usage(usage) => self.usage.merge(usage),
            Event::Finish { choice, finish } => self.finish(*choice, finish, out),
            // T010, T011: a comment; an event without choices would break clients.
            Event::Ping => out.extend_from_slice(b": ka\n\n"),
            Event::End => self.end(out),
            Event::Error(failure) => {
                self.over = true;
                error::write_event(failure, out);
            }
        }
    }

    /// One id, one date, one model for all chunks (T041).
    fn start(&mut self, id: &Str<'_>, model: &Str<'_>, created: Option<u64>) {
        self.head.clear();
        let mut w = Writer::new(&mut self.head);
        w.begin_object();
        w.key("id").string(&answer_id(id, &self.exchange));
        w.key("object").text("chat.completion.chunk");
        w.key("created").u64(created.unwrap_or(self.exchange.created));
        w.key("model").string(&self.exchange.answer_model(model));
        w.key("choices");
        self.text_head.clear();
        self.text_head.extend_from_slice(b"data: ");
        self.text_head.extend_from_slice(&self.head);
        self.text_head.extend_from_slice(br#"[{"index":0,"delta":{"content":""#);
    }

    /// Opens every choice up to `choice`: clients need the first chunk to be of choice 0, and the
    /// role exactly once (T042, T046).
    fn reach(&mut self, choice: u32, out: &mut Vec<u8>) -> Option<&mut ChoiceState> {
        if choice >= MOST_CHOICES {
            return None;
        }
        if self.head.is_empty() {
            self.start(&Str::EMPTY, &Str::EMPTY, None);
        }
        while self.choices.len() <= choice as usize {
            let index = self.choices.len() as u32;
            self.choices.push(ChoiceState::default());
            self.chunk(index, None, out, |w| {
                w.key("role").text("assistant");
                w.key("content").text("");
                w.key("refusal").null();
            });
        }
        self.choices.get_mut(choice as usize)
    }

    /// Writes one chunk.
    fn chunk(
        &self,
        choice: u32,
        reason: Option<&'static str>,
        out: &mut Vec<u8>,
        delta: impl FnOnce(&mut Writer<'_>),
    ) {
        self.chunk_with(choice, reason, (&[], &[]), out, delta);
    }

    fn chunk_with(
        &self,
        choice: u32,
        reason: Option<&'static str>,
        (content, refusal): (&[TokenLogprob<'_>], &[TokenLogprob<'_>]),
        out: &mut Vec<u8>,
        delta: impl FnOnce(&mut Writer<'_>),
    ) {
        sse::write_event(out, |out| {
            out.extend_from_slice(&self.head);
            let mut w = Writer::new(out);
            w.begin_array().begin_object();
            w.key("index").u64(u64::from(choice));
            w.key("delta").begin_object();
            delta(&mut w);
            w.end_object();
            if !(content.is_empty() && refusal.is_empty()) {
                write_logprobs(content.iter(), refusal.iter(), &mut w);
            }
            match reason {
                Some(reason) => w.key("finish_reason").text(reason),
                None => w.key("finish_reason").null(),
            };
            w.end_object().end_array();
            out.extend_from_slice(self.tail());
        });
    }

    /// What ends a chunk; a client that asked for usage sees the key in every one.
    fn tail(&self) -> &'static [u8] {
        if self.exchange.include_usage { br#","usage":null}"# } else { b"}" }
    }

    fn delta(&mut self, choice: u32, delta: &Delta<'_>, out: &mut Vec<u8>) {
        let Some(state) = self.choices.get_mut(choice as usize) else { return };
        match (delta, &state.open) {
            (Delta::Text(text), Open::Text) => {
                state.characters += citations::characters(text);
                if state.logprobs.is_empty() {
                    return self.text(choice, text, out);
                }
                let tokens = std::mem::take(&mut state.logprobs);
                self.chunk_with(choice, None, (&tokens, &[]), out, |w| {
                    w.key("content").string(text);
                });
            }
            (Delta::Text(text), Open::Refusal) => {
                let tokens = std::mem::take(&mut state.logprobs);
                self.chunk_with(choice, None, (&[], &tokens), out, |w| {
                    w.key("refusal").string(text);
                });
            }
            (Delta::Text(text), Open::Reasoning { .. }) if self.exchange.show_reasoning => {
                state.held.push(text);
                self.chunk(choice, None, out, |w| {
                    w.key("reasoning_content").string(text);
                });
            }
            (Delta::Arguments(text), Open::Call { form: Form::Unwrapped, .. })
            | (Delta::Media(text), Open::Image { .. }) => state.held.push(text),
            (Delta::Arguments(text), &Open::Call { number, form }) => {
                self.arguments(choice, number, form, text, out);
            }
            (Delta::Citation(citation), Open::Text) => {
                let part = (state.part_start, state.characters);
                state.citations.push((citation.clone().into_owned(), part));
            }
            (Delta::Logprobs(tokens), Open::Text | Open::Refusal) => {
                state.logprobs.extend(tokens.iter().cloned().map(TokenLogprob::into_owned));
            }
            _ => {}
        }
    }

    /// The hot path.
    fn text(&self, choice: u32, text: &Str<'_>, out: &mut Vec<u8>) {
        if choice != 0 {
            return self.chunk(choice, None, out, |w| {
                w.key("content").string(text);
            });
        }
        out.extend_from_slice(&self.text_head);
        out.extend_from_slice(text.as_escaped().as_bytes());
        out.extend_from_slice(br#""},"finish_reason":null}]"#);
        out.extend_from_slice(self.tail());
        out.extend_from_slice(b"\n\n");
    }

    fn part_start(&mut self, choice: u32, header: &PartHeader<'_>, out: &mut Vec<u8>) {
        if self.reach(choice, out).is_none() {
            return;
        }
        let legacy = self.legacy;
        let Self { choices, exchange, .. } = self;
        let Some(state) = choices.get_mut(choice as usize) else { return };
        state.held = Str::EMPTY;
        state.state = None;
        state.part_start = state.characters;
        state.open = match header {
            PartHeader::Text => Open::Text,
            PartHeader::Refusal => Open::Refusal,
            PartHeader::Reasoning => Open::Reasoning { redacted: false },
            PartHeader::Redacted => Open::Reasoning { redacted: true },
            PartHeader::Media { mime } => Open::Image { mime: mime.decode().into_owned() },
            // Its sources are named in annotations, and that is all that Chat has.
            PartHeader::WebSearchCall(_) | PartHeader::Opaque { .. } => Open::None,
            PartHeader::ToolCall { name, custom, .. } => {
                let number = state.next_call;
                state.next_call += 1;
                let form = form(exchange, legacy, number, name, *custom);
                Open::Call { number, form }
            }
        };
        if let (PartHeader::ToolCall { id, name, .. }, &Open::Call { number, form }) = (header, &state.open) {
            self.call_start(choice, number, form, id, name, out);
        }
    }

    fn call_start(
        &self,
        choice: u32,
        number: u64,
        form: Form,
        id: &Str<'_>,
        name: &Str<'_>,
        out: &mut Vec<u8>,
    ) {
        let name = self.exchange.tool_names.client(name);
        match form {
            Form::Silent => {}
            Form::Legacy => self.chunk(choice, None, out, |w| {
                w.key("function_call").begin_object();
                w.key("name").string(&name);
                w.key("arguments").text("").end_object();
            }),
            Form::Function | Form::Custom | Form::Unwrapped => {
                let (kind, body) =
                    if form == Form::Function { ("function", "arguments") } else { ("custom", "input") };
                self.chunk(choice, None, out, |w| {
                    w.key("tool_calls").begin_array().begin_object();
                    w.key("index").u64(number);
                    w.key("id").string(id);
                    w.key("type").text(kind);
                    w.key(kind).begin_object();
                    w.key("name").string(&name);
                    w.key(body).text("").end_object();
                    w.end_object().end_array();
                });
            }
        }
    }

    /// T043: later deltas carry the index and the piece, nothing that clients would concatenate.
    fn arguments(&self, choice: u32, number: u64, form: Form, text: &Str<'_>, out: &mut Vec<u8>) {
        let (kind, body) = match form {
            Form::Silent => return,
            Form::Legacy => {
                return self.chunk(choice, None, out, |w| {
                    w.key("function_call").begin_object().key("arguments").string(text).end_object();
                });
            }
            Form::Function => ("function", "arguments"),
            Form::Custom | Form::Unwrapped => ("custom", "input"),
        };
        self.chunk(choice, None, out, |w| {
            w.key("tool_calls").begin_array().begin_object();
            w.key("index").u64(number);
            w.key(kind).begin_object();
            w.key(body).string(text).end_object();
            w.end_object().end_array();
        });
    }

    fn part_meta(&mut self, choice: u32, opaque: &Opaque<'_>, out: &mut Vec<u8>) {
        let Some(state) = self.choices.get_mut(choice as usize) else { return };
        match state.open {
            Open::Reasoning { .. } => state.state = Some(opaque.clone().into_owned()),
            Open::Text if reasoning::is_google(opaque) => {
                state.signature = Some(opaque.value.clone().into_owned());
            }
            Open::Call { number, form: form @ (Form::Function | Form::Custom | Form::Unwrapped) }
                if reasoning::is_google(opaque) =>
            {
                // Clients' helpers look into the body of every call delta, also of one without news.
                let (kind, body) =
                    if form == Form::Function { ("function", "arguments") } else { ("custom", "input") };
                self.chunk(choice, None, out, |w| {
                    w.key("tool_calls").begin_array().begin_object();
                    w.key("index").u64(number);
                    w.key(kind).begin_object().key(body).text("").end_object();
                    reasoning::write_google_signature(&opaque.value, w);
                    w.end_object().end_array();
                });
            }
            _ => {}
        }
    }

    fn part_end(&mut self, choice: u32, out: &mut Vec<u8>) {
        let Some(state) = self.choices.get_mut(choice as usize) else { return };
        let held = std::mem::take(&mut state.held);
        match std::mem::take(&mut state.open) {
            // The last tokens said nothing more.
            Open::Text if !state.logprobs.is_empty() => {
                let tokens = std::mem::take(&mut state.logprobs);
                self.chunk_with(choice, None, (&tokens, &[]), out, |w| {
                    w.key("content").text("");
                });
            }
            Open::Refusal if !state.logprobs.is_empty() => {
                let tokens = std::mem::take(&mut state.logprobs);
                self.chunk_with(choice, None, (&[], &tokens), out, |w| {
                    w.key("refusal").text("");
                });
            }
            Open::Reasoning { redacted } => {
                let number = state.next_reasoning;
                state.next_reasoning += 1;
                if let Some(opaque) = state.state.take() {
                    self.detail(choice, number, redacted, &opaque, &held, out);
                }
            }
            Open::Call { number, form: Form::Unwrapped } => {
                let arguments = held.decode();
                let input = unwrap_input(&arguments).unwrap_or_else(|| arguments.clone());
                self.arguments(choice, number, Form::Custom, &Str::escape(input.as_ref()), out);
            }
            Open::Image { mime } if !held.is_empty() => {
                let url = data_url(&Str::escape(mime), &held);
                self.chunk(choice, None, out, |w| {
                    w.key("images").begin_array();
                    write_image(&url, w);
                    w.end_array();
                });
            }
            _ => {}
        }
    }

    /// The state of a reasoning part, with the text that it belongs to.
    fn detail(
        &self,
        choice: u32,
        number: u64,
        redacted: bool,
        opaque: &Opaque<'_>,
        text: &Str<'_>,
        out: &mut Vec<u8>,
    ) {
        if !self.exchange.show_reasoning || reasoning::carried(opaque, text).is_none() {
            return;
        }
        self.chunk(choice, None, out, |w| {
            w.key("reasoning_details").begin_array();
            reasoning::write_detail(number, text, redacted, opaque, w);
            w.end_array();
        });
    }

    fn finish(&mut self, choice: u32, finish: &Finish<'_>, out: &mut Vec<u8>) {
        if finish.reason == FinishReason::Malformed {
            // T162: an agent must see that its call came out broken.
            self.over = true;
            let failure = error::bad_upstream("the model produced a malformed tool call");
            return error::write_event(&failure, out);
        }
        let Some(state) = self.reach(choice, out) else { return };
        if std::mem::replace(&mut state.finished, true) {
            return;
        }
        let cited = std::mem::take(&mut state.citations);
        let signature = state.signature.take();
        let withheld = explanation(finish).filter(|_| state.characters == 0);
        if !cited.is_empty() {
            self.chunk(choice, None, out, |w| {
                w.key("annotations").begin_array();
                cited.iter().for_each(|(citation, part)| citations::write(citation, *part, w));
                w.end_array();
            });
        }
        if let Some(text) = withheld {
            self.chunk(choice, None, out, |w| {
                w.key("refusal").string(text);
            });
        }
        if let Some(signature) = signature {
            self.chunk(choice, None, out, |w| reasoning::write_google_signature(&signature, w));
        }
        self.chunk(choice, Some(finish::word(finish.reason, self.legacy)), out, |_| {});
    }

    /// T159: usage stands on the very last chunk.
    fn end(&mut self, out: &mut Vec<u8>) {
        self.over = true;
        if self.exchange.include_usage && !self.usage.is_empty() {
            sse::write_event(out, |out| {
                out.extend_from_slice(&self.head);
                out.extend_from_slice(br#"[],"usage":"#);
                usage::write(&self.usage, &mut Writer::new(out));
                out.push(b'}');
            });
        }
        sse::write_event(out, |out| out.extend_from_slice(b"[DONE]"));
    }
}

fn form(exchange: &Exchange, legacy: bool, number: u64, name: &Str<'_>, custom: bool) -> Form {
    let known = |name: &Str<'_>| exchange.custom_tools.iter().any(|tool| *name == tool.as_str());
    match (legacy, number) {
        (true, 0) => Form::Legacy,
        (true, _) => Form::Silent,
        _ if custom => Form::Custom,
        _ if known(&exchange.tool_names.client(name)) => Form::Unwrapped,
        _ => Form::Function,
    }
}
