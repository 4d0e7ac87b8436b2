//! A Chat server's stream to events (section 3.2).
//!
//! A chunk is validated as a whole before anything of it is told, so a cut one says nothing. The
//! finish is told at `[DONE]` or the end of the stream: usage may come after `finish_reason` (T027).

use super::choice::{ChoiceState, Shared};
use super::delta::Delta;
use crate::protocol::canonical::{ErrorView, Event, Usage};
use crate::protocol::json::{self, Error, Kind, Reader, Str};
use crate::protocol::openai::response::Logprobs;
use crate::protocol::openai::{error, finish, usage};
use crate::protocol::{Dialect, sse};

/// More choices than OpenAI's own limit of `n` are not listened to.
const MOST_CHOICES: u64 = 128;

/// Decodes the stream of a Chat server.
#[derive(Debug)]
pub(crate) struct Decoder {
    shared: Shared,
    choices: Vec<ChoiceState>,
    has_think_tags: bool,
    started: bool,
    over: bool,
}

/// The members of a chunk. `choices` is read once the whole chunk is known to be well formed.
#[derive(Default)]
struct Chunk<'a> {
    id: Option<Str<'a>>,
    model: Option<Str<'a>>,
    created: Option<u64>,
    usage: Usage,
    choices: Option<Reader<'a>>,
    failure: Option<ErrorView>,
}

impl<'a> Chunk<'a> {
    fn read(text: &'a str) -> Result<Self, Error> {
        let mut chunk = Chunk::default();
        json::document(text, |key, value| chunk.member(key, value))?;
        Ok(chunk)
    }

    /// Whether the chunk is more than a prelude.
    fn begins(&self) -> bool {
        let mut any = self.id.as_ref().is_some_and(|id| !id.is_empty());
        if let Some(mut list) = self.choices.clone() {
            // The list is well formed: the whole chunk has been read.
            let _ = list.array(|_| {
                any = true;
                Ok::<_, Error>(())
            });
        }
        any
    }

    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "choices" if value.peek()? == Kind::Array => self.choices = Some(value.clone()),
            "id" => self.id = value.lenient_string()?,
            "model" => self.model = value.lenient_string()?,
            "created" => self.created = value.lenient_u64()?,
            "usage" if value.peek()? == Kind::Object => self.usage = usage::read(value)?,
            // Groq gives its counts here, and only here.
            "x_groq" => value.lenient_object(|key, value| {
                if key == "usage" && value.peek()? == Kind::Object {
                    self.usage = usage::read(value)?;
                }
                Ok::<_, Error>(())
            })?,
            "error" if value.peek()? != Kind::Null => self.failure = Some(error::read(value)?),
            _ => {}
        }
        Ok(())
    }
}

/// The members of one element of `choices`.
#[derive(Default)]
struct ChoiceChunk<'a> {
    index: u64,
    delta: Option<Delta<'a>>,
    message: Option<Delta<'a>>,
    finish: Option<Str<'a>>,
    stop_text: Option<Str<'a>>,
    logprobs: Logprobs<'a>,
    failure: Option<ErrorView>,
}

impl<'a> ChoiceChunk<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "index" => self.index = value.lenient_u64()?.unwrap_or(0),
            "delta" if value.peek()? == Kind::Object => self.delta = Some(Delta::read(value)?),
            // Some servers answer a stream request with one whole answer as its only event.
            "message" if value.peek()? == Kind::Object => self.message = Some(Delta::read(value)?),
            "finish_reason" => self.finish = value.lenient_string()?,
            "stop_reason" | "matched_stop" => self.stop_text = value.lenient_string()?,
            "logprobs" if value.peek()? == Kind::Object => self.logprobs = Logprobs::read(value)?,
            "error" if value.peek()? == Kind::Object => self.failure = Some(error::read(value)?),
            _ => {}
        }
        Ok(())
    }
}

impl Decoder {
    pub(crate) fn new(dialect: &Dialect, seed: u64) -> Self {
        Decoder {
            shared: Shared::new(seed),
            choices: Vec::new(),
            has_think_tags: dialect.think_tags,
            started: false,
            over: false,
        }
    }

    /// Takes one event.
    pub(crate) fn event(&mut self, event: &sse::Event<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if self.over {
            return;
        }
        if event.is_done() {
            return self.conclude(true, sink);
        }
        if let Err(failure) = self.chunk(&event.data, sink) {
            self.fail(failure, sink);
        }
    }

    /// The bytes have ended.
    pub(crate) fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        if !self.over {
            self.conclude(false, sink);
        }
    }

    fn chunk(&mut self, data: &[u8], sink: &mut impl FnMut(Event<'_>)) -> Result<(), ErrorView> {
        let text =
            std::str::from_utf8(data).map_err(|_| error::bad_upstream("a stream event is not UTF-8"))?;
        let chunk = Chunk::read(text).map_err(|e| error::unreadable(&e))?;
        if let Some(failure) = chunk.failure {
            return Err(failure);
        }
        self.start(&chunk, sink);
        if !chunk.usage.is_empty() {
            sink(Event::Usage(chunk.usage));
        }
        let Some(mut choices) = chunk.choices else { return Ok(()) };
        let mut failure = None;
        choices
            .array(|value| {
                let mut fields = ChoiceChunk::default();
                value.lenient_object(|key, value| fields.member(key, value))?;
                if failure.is_none() {
                    failure = self.choice(fields, sink)?;
                }
                Ok::<_, Error>(())
            })
            .map_err(|e| error::unreadable(&e))?;
        match failure {
            Some(failure) => Err(failure),
            None => self.shared.sequencer.check(),
        }
    }

    /// Tells the start once. The prelude of Azure has neither id nor choices and begins nothing (T019).
    fn start(&mut self, chunk: &Chunk<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if self.started || !chunk.begins() {
            return;
        }
        self.started = true;
        let word = |text: &Option<Str<'_>>| text.as_ref().map(|t| t.clone().into_owned()).unwrap_or_default();
        sink(Event::Start { id: word(&chunk.id), model: word(&chunk.model), created: chunk.created });
    }

    /// One element of `choices`; an error of its own is the stream's.
    fn choice(
        &mut self,
        fields: ChoiceChunk<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Option<ErrorView>, Error> {
        if fields.index >= MOST_CHOICES {
            return Ok(None);
        }
        if fields.failure.is_some() {
            return Ok(fields.failure);
        }
        let index = fields.index as u32;
        let at = match self.choices.iter().position(|choice| choice.index == index) {
            Some(at) => at,
            None => {
                self.choices.push(ChoiceState::new(index, self.has_think_tags));
                self.choices.len() - 1
            }
        };
        let Some(choice) = self.choices.get_mut(at) else { return Ok(None) };
        // T026: content may share a chunk with role or finish.
        if let Some(delta) = fields.delta.or(fields.message) {
            choice.delta(delta, fields.logprobs, &mut self.shared, sink)?;
        }
        if let Some(word) = fields.finish.filter(|word| !word.is_empty()) {
            if let Some(failure) = finish::failure(&word) {
                return Ok(Some(failure));
            }
            choice.finish = Some(word.decode().into_owned());
        }
        if let Some(text) = fields.stop_text {
            choice.stop_text = Some(text.into_owned());
        }
        Ok(None)
    }

    /// T021, T023: without `[DONE]` every choice must have had its finish; with it, what came counts.
    fn conclude(&mut self, marked: bool, sink: &mut impl FnMut(Event<'_>)) {
        let finished = |choice: &ChoiceState| choice.finish.is_some();
        let whole = !self.choices.is_empty() && self.choices.iter().all(finished);
        let said = self.choices.iter().any(|choice| finished(choice) || choice.has_parts());
        if !(whole || marked && said) {
            return self.fail(error::bad_upstream("the upstream's stream ended too early"), sink);
        }
        if self.choices.iter().any(ChoiceState::has_nameless_call) {
            return self.fail(error::bad_upstream("the upstream called a tool without a name"), sink);
        }
        self.over = true;
        let mut choices = std::mem::take(&mut self.choices);
        choices.sort_by_key(|choice| choice.index);
        for mut choice in choices {
            choice.conclude(&mut self.shared, sink);
        }
        sink(Event::End);
    }

    fn fail(&mut self, failure: ErrorView, sink: &mut impl FnMut(Event<'_>)) {
        self.over = true;
        sink(Event::Error(failure));
    }
}
