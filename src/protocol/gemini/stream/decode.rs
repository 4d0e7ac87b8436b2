//! An upstream's chunks to canonical events (3.2).

use std::collections::HashSet;

use super::super::error::Body as ErrorBody;
use super::super::finish;
use super::super::keys::{camel, each};
use super::super::part::{Body, Call, Part};
use super::super::plain::{self, Plain};
use super::super::usage::Counts;
use super::candidate::{
    Ahead, Candidate, Open, Partial, cite, close, finish_of, has_logprobs, has_one_choice, has_searches,
    search, sign,
};
use super::grounding::Metadata;
use super::partial::PartialArgs;
use crate::protocol::canonical::{
    Delta, ErrorView, Event, FaultKind, Finish, FinishReason, IdSource, PartHeader, Sequencer, TokenLogprob,
    Usage,
};
use crate::protocol::json::{Error, Reader, Str};
use crate::protocol::{Protocol, sse};

/// Decodes one stream.
#[derive(Debug)]
pub(crate) struct Decoder {
    sequencer: Sequencer<u32>,
    candidates: Vec<Candidate>,
    ids: IdSource,
    /// Ids of the calls so far: agents merge calls that share one (T065).
    seen_ids: HashSet<String>,
    usage: Usage,
    blocked: Option<Finish<'static>>,
    started: bool,
    ended: bool,
    /// Whether the chunk at hand speaks of the first choice only.
    one_choice: bool,
    /// Whether it holds what must be known before its content: probabilities of tokens, searches.
    looks_ahead: bool,
    /// Those of the candidate at hand, until the text that they belong to.
    logprobs: Vec<TokenLogprob<'static>>,
}

impl Decoder {
    pub(crate) fn new(seed: u64) -> Self {
        Decoder {
            sequencer: Sequencer::default(),
            candidates: Vec::new(),
            ids: IdSource::new(seed),
            seen_ids: HashSet::new(),
            usage: Usage::default(),
            blocked: None,
            started: false,
            ended: false,
            one_choice: false,
            looks_ahead: false,
            logprobs: Vec::new(),
        }
    }

    pub(crate) fn event(&mut self, event: &sse::Event<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if self.ended || event.is_done() {
            return;
        }
        match std::str::from_utf8(&event.data) {
            Ok(text) => match plain::read(text).filter(|_| self.started) {
                Some(chunk) => self.plain(chunk, sink),
                None => self.document(text, sink),
            },
            Err(_) => self.fail(unreadable(), sink),
        }
    }

    /// The hot path: more text of the first choice.
    fn plain(&mut self, chunk: Plain<'_>, sink: &mut impl FnMut(Event<'_>)) {
        let at = self.slot(0);
        self.text(at, chunk.text, chunk.thought, None, sink);
        if let Some(counts) = chunk.counts {
            self.count(&counts, sink);
        }
    }

    /// Counts are running totals: only news is passed on.
    fn count(&mut self, counts: &Counts, sink: &mut impl FnMut(Event<'_>)) {
        let before = self.usage;
        counts.absorb(&mut self.usage);
        if self.usage != before {
            sink(Event::Usage(self.usage));
        }
    }

    /// Takes one JSON document: a chunk, or a list of chunks (T016).
    pub(in super::super) fn document(&mut self, text: &str, sink: &mut impl FnMut(Event<'_>)) {
        let mut reader = Reader::new(text);
        self.one_choice = has_one_choice(text);
        self.looks_ahead = has_logprobs(text) || has_searches(text);
        let mut error = None;
        let read = each(&mut reader, |chunk| {
            if error.is_none() {
                error = self.chunk(chunk, sink)?;
            }
            Ok::<_, Error>(())
        });
        match (read.and_then(|()| reader.end()), error) {
            (_, Some(error)) => self.fail(error, sink),
            (Err(_), None) => self.fail(unreadable(), sink),
            (Ok(()), None) => {}
        }
    }

    /// Reads one chunk. Its members come in any order, and `Start` needs the last of them: id and
    /// model are found before the rest is read.
    fn chunk(
        &mut self,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Option<ErrorView>, Error> {
        if !self.started
            && let Some(error) = self.start(reader, sink)?
        {
            return Ok(Some(error));
        }
        let mut error = None;
        let mut counts = None;
        reader.object(|key, value| {
            match key {
                "candidates" => value.lenient_array(|candidate| self.candidate(candidate, sink))?,
                "usageMetadata" | "usage_metadata" => counts = Some(Counts::read(value)?),
                "promptFeedback" | "prompt_feedback" => self.feedback(value)?,
                "error" => error = Some(ErrorBody::read(value)?.view(200)),
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        if let Some(counts) = counts {
            self.count(&counts, sink);
        }
        Ok(error)
    }

    /// Emits `Start` for the first chunk, unless that is an error.
    fn start(
        &mut self,
        reader: &Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<Option<ErrorView>, Error> {
        let (mut id, mut model) = (Str::EMPTY, Str::EMPTY);
        let mut error = None;
        reader.clone().object(|key, value| {
            match &*camel(key) {
                "responseId" => id = value.lenient_string()?.unwrap_or_default(),
                "modelVersion" => model = value.lenient_string()?.unwrap_or_default(),
                "error" => error = Some(ErrorBody::read(value)?.view(200)),
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        if error.is_none() {
            self.started = true;
            sink(Event::Start { id, model, created: None });
        }
        Ok(error)
    }

    fn candidate(&mut self, reader: &mut Reader<'_>, sink: &mut impl FnMut(Event<'_>)) -> Result<(), Error> {
        let ahead = match self.one_choice && !self.looks_ahead {
            true => Ahead::default(),
            false => Ahead::look(reader)?,
        };
        let at = self.slot(ahead.index);
        self.logprobs = ahead.logprobs.into_iter().map(TokenLogprob::into_owned).collect();
        if let Some(candidate) = self.candidates.get_mut(at) {
            candidate.grounding.merge(ahead.grounding);
            // A search goes before what rests on it, if it is known in time: in whole answers.
            if candidate.grounding.has_results() && !self.sequencer.has_parts(candidate.index) {
                search(&mut self.sequencer, candidate, true, sink);
            }
        }
        reader.lenient_object(|key, value| {
            match key {
                "content" => self.content(at, value, sink)?,
                "finishReason" | "finish_reason" => {
                    // The last one counts: hosted code runs on after the first (T048).
                    if let Some(reason) = value.lenient_string()?
                        && let Some(candidate) = self.candidates.get_mut(at)
                    {
                        candidate.reason = Some(reason.into_owned());
                    }
                }
                "finishMessage" | "finish_message" => {
                    if let Some(message) = value.lenient_string()?
                        && let Some(candidate) = self.candidates.get_mut(at)
                    {
                        candidate.message = Some(message.into_owned());
                    }
                }
                "groundingMetadata" | "grounding_metadata" => {
                    let metadata = Metadata::read(value)?;
                    if let Some(candidate) = self.candidates.get_mut(at) {
                        candidate.grounding.merge(metadata);
                    }
                }
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        // Without a text in their chunk they are those of the text before it, or of no text.
        let tokens = std::mem::take(&mut self.logprobs);
        if let Some(candidate) = self.candidates.get(at)
            && let Some(open) = candidate.open.filter(|open| !open.thought)
        {
            self.sequencer.delta(candidate.index, &open.key, Delta::Logprobs(tokens), sink);
        }
        Ok(())
    }

    fn slot(&mut self, index: u32) -> usize {
        let found = self.candidates.iter().position(|candidate| candidate.index == index);
        found.unwrap_or_else(|| {
            // A hostile upstream shares the last one.
            if self.candidates.len() < 128 {
                self.candidates.push(Candidate::new(index));
            }
            self.candidates.len() - 1
        })
    }

    fn content(
        &mut self,
        at: usize,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Error> {
        reader.lenient_object(|key, value| {
            if key != "parts" {
                return Ok(());
            }
            value.lenient_array(|part| {
                let mut whole = part.clone();
                let read = Part::read(part)?;
                if let Body::Other(_) | Body::File { .. } | Body::Response(_) = read.body {
                    let header = PartHeader::Opaque { protocol: Protocol::Gemini, raw: whole.raw()? };
                    self.whole(at, header, None, read.signature, sink);
                    return Ok(());
                }
                self.part(at, read, sink)
            })
        })
    }

    fn part(&mut self, at: usize, part: Part<'_>, sink: &mut impl FnMut(Event<'_>)) -> Result<(), Error> {
        let Part { text, thought, signature, body, .. } = part;
        match body {
            Body::Call(call) => return self.call(at, call, signature, sink),
            Body::Inline { mime, data, .. } => {
                self.whole(at, PartHeader::Media { mime }, Some(Delta::Media(data)), signature, sink);
            }
            _ => self.text(at, text.unwrap_or_default(), thought, signature, sink),
        }
        Ok(())
    }

    /// Text goes on with the open part of its kind. Signed and unsigned text are never merged, and a
    /// signature without text is a part of its own (T103).
    fn text(
        &mut self,
        at: usize,
        text: Str<'_>,
        thought: bool,
        signature: Option<Str<'_>>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let Decoder { sequencer, candidates, logprobs, .. } = self;
        let Some(candidate) = candidates.get_mut(at) else { return };
        if text.is_empty() && signature.is_none() {
            return;
        }
        let choice = candidate.index;
        let header = if thought { PartHeader::Reasoning } else { PartHeader::Text };
        if text.is_empty() {
            // The text before it stays open: sources are named at the end, and belong to it.
            let key = candidate.key();
            if let Some(open) = &mut candidate.open {
                open.sealed = true;
            }
            sequencer.start(choice, key, header, sink);
            sign(sequencer, choice, key, signature);
            sequencer.end(choice, &key, true, sink);
            return;
        }
        let goes_on = |open: &Open| open.thought == thought && !open.sealed && signature.is_none();
        let open = match candidate.open.filter(goes_on) {
            Some(open) => open,
            None => {
                close(sequencer, candidate, sink);
                let key = candidate.key();
                sequencer.start(choice, key, header, sink);
                let base = candidate.offsets.chars();
                Open { key, thought, sealed: signature.is_some(), base }
            }
        };
        candidate.open = Some(open);
        if !thought {
            candidate.offsets.push(&text);
            let tokens = std::mem::take(logprobs);
            sequencer.delta(choice, &open.key, Delta::Logprobs(tokens), sink);
        }
        sequencer.delta(choice, &open.key, Delta::Text(text), sink);
        sign(sequencer, choice, open.key, signature);
    }

    /// A part that comes whole.
    fn whole(
        &mut self,
        at: usize,
        header: PartHeader<'_>,
        delta: Option<Delta<'_>>,
        signature: Option<Str<'_>>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let Decoder { sequencer, candidates, .. } = self;
        let Some(candidate) = candidates.get_mut(at) else { return };
        close(sequencer, candidate, sink);
        let (choice, key) = (candidate.index, candidate.key());
        // An opaque part has its signature inside.
        let signature = signature.filter(|_| !matches!(header, PartHeader::Opaque { .. }));
        sequencer.start(choice, key, header, sink);
        if let Some(delta) = delta {
            sequencer.delta(choice, &key, delta, sink);
        }
        sign(sequencer, choice, key, signature);
        sequencer.end(choice, &key, true, sink);
    }

    fn call(
        &mut self,
        at: usize,
        call: Call<'_>,
        signature: Option<Str<'_>>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let Some(candidate) = self.candidates.get_mut(at) else { return Ok(()) };
        if call.name.is_empty() && candidate.partial.is_none() {
            // The closing piece of a call that is complete already.
            return Ok(());
        }
        candidate.called = true;
        let is_piece = call.partial.is_some() || call.will_continue || candidate.partial.is_some();
        if !is_piece || !call.name.is_empty() && call.args.is_some() {
            self.end_partial(at, sink);
            let args = call.args.map_or(Str::EMPTY, |raw| Str::from(raw.as_str().to_owned()));
            self.whole_call(at, call.id, call.name, args, signature, sink);
            return Ok(());
        }
        if !call.name.is_empty() && candidate.partial.is_some() {
            self.end_partial(at, sink);
        }
        let Some(candidate) = self.candidates.get_mut(at) else { return Ok(()) };
        let partial = candidate.partial.get_or_insert_with(|| Partial {
            id: call.id.map(Str::into_owned),
            name: call.name.into_owned(),
            signature: None,
            args: PartialArgs::default(),
        });
        if let Some(signature) = signature {
            partial.signature = Some(signature.into_owned());
        }
        if let Some(pieces) = &call.partial {
            partial.args.push(pieces)?;
        }
        if !call.will_continue {
            self.end_partial(at, sink);
        }
        Ok(())
    }

    fn end_partial(&mut self, at: usize, sink: &mut impl FnMut(Event<'_>)) {
        let taken = self.candidates.get_mut(at).and_then(|candidate| candidate.partial.take());
        if let Some(Partial { id, name, signature, args }) = taken {
            let args = Str::from(args.to_json());
            self.whole_call(at, id, name, args, signature, sink);
        }
    }

    fn whole_call(
        &mut self,
        at: usize,
        id: Option<Str<'_>>,
        name: Str<'_>,
        args: Str<'_>,
        signature: Option<Str<'_>>,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let id = self.call_id(id);
        let header = PartHeader::ToolCall { id: id.borrowed(), name, custom: false };
        self.whole(at, header, Some(Delta::Arguments(args)), signature, sink);
    }

    /// The call's own id where it can be used, else one that nobody has (1.9).
    fn call_id(&mut self, id: Option<Str<'_>>) -> Str<'static> {
        let fits = |id: &Str<'_>| {
            let legal = |b: u8| b.is_ascii_alphanumeric() || b"_.:|-".contains(&b);
            (1..=256).contains(&id.len()) && id.as_escaped().bytes().all(legal)
        };
        let own = id.filter(fits).filter(|id| !self.seen_ids.contains(id.as_escaped()));
        let id = match own {
            Some(id) => id.into_owned(),
            None => Str::from(self.ids.short("call_")),
        };
        self.seen_ids.insert(id.as_escaped().to_owned());
        id
    }

    /// A refused prompt has no candidates (T051).
    fn feedback(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let (mut reason, mut message) = (None, None);
        reader.lenient_object(|key, value| {
            match &*camel(key) {
                "blockReason" => reason = value.lenient_string()?,
                "blockReasonMessage" => message = value.lenient_string()?.map(Str::into_owned),
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        if let Some(reason) = reason {
            self.blocked = Some(finish::blocked(&reason, message));
        }
        Ok(())
    }

    pub(crate) fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        let is_whole = self.candidates.iter().all(|candidate| candidate.reason.is_some());
        let may_end = is_whole && self.started && self.has_end();
        if !self.ended && !may_end {
            let error = ErrorView::new(FaultKind::BadUpstream, "the upstream's stream ended too early");
            self.fail(error, sink);
        }
        self.complete(sink);
    }

    fn has_end(&self) -> bool {
        self.blocked.is_some() || !self.candidates.is_empty()
    }

    /// A whole answer cannot have been cut off: a candidate without a reason has simply stopped.
    pub(in super::super) fn finish_whole(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        if self.started && self.has_end() {
            self.complete(sink);
        } else {
            self.finish(sink);
        }
    }

    fn complete(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        if let Some(blocked) = self.blocked.take()
            && self.candidates.is_empty()
        {
            sink(Event::Finish { choice: 0, finish: blocked });
        }
        for at in 0..self.candidates.len() {
            self.end_partial(at, sink);
        }
        let finishes: Vec<Finish<'static>> = self.candidates.iter_mut().map(finish_of).collect();
        if let Some(malformed) = finishes.iter().find(|f| f.reason == FinishReason::Malformed) {
            // Half a call is no answer: nothing may follow that looks like success (T162).
            sink(Event::Error(finish::malformed(malformed)));
            return;
        }
        for (candidate, finish) in self.candidates.iter_mut().zip(finishes) {
            cite(&mut self.sequencer, candidate, sink);
            let is_cut = finish.reason.is_cut();
            search(&mut self.sequencer, candidate, !is_cut, sink);
            self.sequencer.finish(candidate.index, finish, sink);
        }
        sink(Event::End);
    }

    fn fail(&mut self, error: ErrorView, sink: &mut impl FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.ended, true) {
            sink(Event::Error(error));
        }
    }
}

fn unreadable() -> ErrorView {
    ErrorView::new(FaultKind::BadUpstream, "the upstream sent a chunk that is no JSON object")
}
