//! One choice of a stream: which part is open, and when it ends.

use super::delta::{CallDelta, Delta};
use crate::protocol::canonical::{
    self, Citation, Event, Media, MediaSource, Opaque, PartHeader, PartMeta, Sequencer,
};
use crate::protocol::json::{Error, Reader, Str};
use crate::protocol::openai::calls::{Call, CallIds, Fragment, Place, locate};
use crate::protocol::openai::finish::{self, Seen};
use crate::protocol::openai::response::{Logprobs, OURS, images, listed_content};
use crate::protocol::openai::think_tags::{Piece, ThinkTags};
use crate::protocol::openai::{citations, reasoning};

/// What the choices of one stream share.
#[derive(Debug)]
pub(super) struct Shared {
    pub sequencer: Sequencer<u32>,
    ids: CallIds,
    next_key: u32,
}

impl Shared {
    pub(super) fn new(seed: u64) -> Self {
        Shared { sequencer: Sequencer::default(), ids: CallIds::new(seed), next_key: 0 }
    }

    fn key(&mut self) -> u32 {
        self.next_key = self.next_key.wrapping_add(1);
        self.next_key
    }
}

/// The kinds of parts that run on until another kind comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Running {
    Reasoning,
    Text,
    Refusal,
}

#[derive(Debug)]
struct OpenCall {
    call: Call,
    key: u32,
    custom: bool,
    started: bool,
    ended: bool,
    /// State that came before its start.
    signature: Option<Opaque<'static>>,
}

/// One choice.
#[derive(Debug)]
pub(super) struct ChoiceState {
    pub index: u32,
    /// The last `finish_reason`.
    pub finish: Option<String>,
    /// The stop text hit, where the server tells.
    pub stop_text: Option<Str<'static>>,
    running: Option<(Running, u32)>,
    /// Key of the part begun last.
    last_key: u32,
    calls: Vec<OpenCall>,
    /// Where the next entry of calls stands.
    place: Place,
    /// Sources wait for the end of the text: some servers send them before it.
    citations: Vec<Citation<'static>>,
    /// Tokens wait for the text that they make: one may be a piece of a character (T005).
    logprobs: Logprobs<'static>,
    think_tags: ThinkTags,
    refused: bool,
}

impl ChoiceState {
    pub(super) fn new(index: u32, has_think_tags: bool) -> Self {
        ChoiceState {
            index,
            finish: None,
            stop_text: None,
            running: None,
            last_key: 0,
            calls: Vec::new(),
            place: Place::default(),
            citations: Vec::new(),
            logprobs: Logprobs::default(),
            think_tags: ThinkTags::new(has_think_tags),
            refused: false,
        }
    }

    /// Whether anything but roles came.
    pub(super) fn has_parts(&self) -> bool {
        self.last_key > 0 || self.think_tags.is_holding()
    }

    /// Whether a call never got its name.
    pub(super) fn has_nameless_call(&self) -> bool {
        self.calls.iter().any(|open| open.call.name.is_empty())
    }

    /// Takes a delta. Where several kinds share one, reasoning comes before what it led to.
    pub(super) fn delta(
        &mut self,
        delta: Delta<'_>,
        logprobs: Logprobs<'_>,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Error> {
        if !logprobs.is_empty() {
            self.take_logprobs(logprobs, delta.is_text());
        }
        if !delta.reasoning.is_empty() {
            self.flush(shared, sink);
            self.reasoning(&delta.reasoning, shared, sink);
        }
        if let Some(mut list) = delta.list {
            let (texts, thinking) = listed_content(&mut list)?;
            thinking.into_iter().for_each(|text| self.text(Running::Reasoning, text, shared, sink));
            texts.into_iter().for_each(|text| self.content(text, shared, sink));
        }
        if let Some(text) = delta.content {
            self.content(text, shared, sink);
        }
        if let Some(text) = delta.refusal.filter(|text| !text.is_empty()) {
            self.refused = true;
            self.flush(shared, sink);
            self.text(Running::Refusal, text, shared, sink);
        }
        if let (Some(signature), Some((Running::Text, key))) = (delta.signature, self.running) {
            shared.sequencer.meta(self.index, &key, PartMeta { opaque: signature });
        }
        if let Some(mut list) = delta.annotations {
            self.citations.extend(citations::read(&mut list)?.into_iter().map(Citation::into_owned));
        }
        if let Some(mut list) = delta.images {
            images(&mut list)?.iter().for_each(|image| self.image(image, shared, sink));
        }
        if let Some(mut list) = delta.calls {
            self.place.next_list();
            list.lenient_array(|value| self.call_entry(value, shared, sink))?;
        }
        if let Some(mut function) = delta.function {
            self.place.next_list();
            self.call_entry(&mut function, shared, sink)?;
        }
        Ok(())
    }

    fn reasoning(
        &mut self,
        fields: &reasoning::Fields<'_>,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        self.text(Running::Reasoning, fields.text().unwrap_or_default(), shared, sink);
        if let Some(opaque) = fields.state() {
            let key = self.run(Running::Reasoning, shared, sink);
            shared.sequencer.meta(self.index, &key, PartMeta { opaque });
        }
    }

    fn take_logprobs(&mut self, logprobs: Logprobs<'_>, is_text: bool) {
        let Logprobs { content, refusal } = logprobs.into_owned();
        self.logprobs.refusal.extend(refusal);
        if is_text {
            self.logprobs.content.extend(self.think_tags.visible(content));
        }
    }

    /// Text of the answer, which may have reasoning before it.
    fn content(&mut self, text: Str<'_>, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) {
        if self.think_tags.is_over() {
            return self.text(Running::Text, text, shared, sink);
        }
        for piece in self.think_tags.push(&text) {
            self.piece(piece, shared, sink);
        }
    }

    fn piece(&mut self, piece: Piece, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) {
        match piece {
            Piece::Reasoning(text) => self.text(Running::Reasoning, text, shared, sink),
            Piece::Text(text) => self.text(Running::Text, text, shared, sink),
        }
    }

    /// Something else comes: what might have become a tag is none.
    fn flush(&mut self, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(piece) = self.think_tags.flush() {
            self.logprobs.content.extend(self.think_tags.waiting());
            self.piece(piece, shared, sink);
        }
    }

    fn text(&mut self, kind: Running, text: Str<'_>, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) {
        if text.is_empty() {
            return;
        }
        let key = self.run(kind, shared, sink);
        self.tell_logprobs(kind, key, shared, sink);
        shared.sequencer.delta(self.index, &key, canonical::Delta::Text(text), sink);
    }

    /// The key of the running part of this kind; another kind ends the one before (T183).
    fn run(&mut self, kind: Running, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) -> u32 {
        if let Some((running, key)) = self.running
            && running == kind
        {
            return key;
        }
        let key = self.begin(shared, sink);
        let header = match kind {
            Running::Reasoning => PartHeader::Reasoning,
            Running::Text => PartHeader::Text,
            Running::Refusal => PartHeader::Refusal,
        };
        shared.sequencer.start(self.index, key, header, sink);
        if kind == Running::Reasoning {
            shared.sequencer.meta(self.index, &key, PartMeta { opaque: OURS });
        }
        self.running = Some((kind, key));
        key
    }

    /// A part is about to begin: ends what ends by that, and gives the new one its key.
    fn begin(&mut self, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) -> u32 {
        self.settle(shared, sink);
        if let Some((_, key)) = self.running.take() {
            shared.sequencer.end(self.index, &key, true, sink);
        }
        for open in &mut self.calls {
            open.start(self.index, shared, sink);
            open.end_if_complete(self.index, shared, sink);
        }
        self.last_key = shared.key();
        self.last_key
    }

    fn tell_logprobs(
        &mut self,
        kind: Running,
        key: u32,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        let tokens = match kind {
            Running::Text => &mut self.logprobs.content,
            Running::Refusal => &mut self.logprobs.refusal,
            Running::Reasoning => return,
        };
        if !tokens.is_empty() {
            let tokens = std::mem::take(tokens);
            shared.sequencer.delta(self.index, &key, canonical::Delta::Logprobs(tokens), sink);
        }
    }

    /// Tells the last tokens and the sources of the text that is about to end.
    fn settle(&mut self, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) {
        let Some((kind, key)) = self.running else { return };
        self.tell_logprobs(kind, key, shared, sink);
        if kind == Running::Text {
            for mut citation in self.citations.drain(..) {
                self.think_tags.place(&mut citation);
                shared.sequencer.delta(self.index, &key, canonical::Delta::Citation(citation), sink);
            }
        }
    }

    fn image(&mut self, image: &Media<'_>, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) {
        let MediaSource::Inline(data) = &image.source else { return };
        self.flush(shared, sink);
        let key = self.begin(shared, sink);
        let header = PartHeader::Media { mime: image.mime.borrowed() };
        shared.sequencer.start(self.index, key, header, sink);
        shared.sequencer.delta(self.index, &key, canonical::Delta::Media(data.borrowed()), sink);
        shared.sequencer.end(self.index, &key, true, sink);
    }

    fn call_entry(
        &mut self,
        value: &mut Reader<'_>,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Error> {
        let mut delta = CallDelta::default();
        value.lenient_object(|key, value| delta.member(key, value))?;
        let fragment = Fragment {
            index: delta.index,
            id: delta.id.as_escaped(),
            name: delta.name.as_escaped(),
            arguments: delta.arguments.as_escaped(),
            place: self.place.next(),
        };
        let at = match locate(self.calls.iter().map(|open| &open.call), &fragment) {
            Some(at) => at,
            None => {
                self.flush(shared, sink);
                let key = self.begin(shared, sink);
                let call = Call::new(&fragment);
                let (custom, signature) = (delta.custom, None);
                self.calls.push(OpenCall { call, key, custom, started: false, ended: false, signature });
                self.calls.len() - 1
            }
        };
        let Some(open) = self.calls.get_mut(at) else { return Ok(()) };
        if let Some(signature) = delta.signature {
            open.sign(signature, self.index, shared);
        }
        open.call.identify(&fragment);
        open.extend(&delta.arguments, self.index, shared, sink);
        if open.key != self.last_key {
            open.end_if_complete(self.index, shared, sink);
        }
        Ok(())
    }

    /// Tells the end of everything, and why.
    pub(super) fn conclude(&mut self, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) {
        self.flush(shared, sink);
        self.settle(shared, sink);
        for open in &mut self.calls {
            open.start(self.index, shared, sink);
        }
        let seen = Seen { calls: !self.calls.is_empty(), refusal: self.refused };
        let finish = finish::finish(self.finish.as_deref(), seen, self.stop_text.take());
        shared.sequencer.finish(self.index, finish, sink);
    }
}

impl OpenCall {
    /// Starts the call once its name is known to be whole. Its arguments so far follow.
    fn start(&mut self, choice: u32, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) {
        if self.started || self.call.name.is_empty() {
            return;
        }
        self.started = true;
        let header = PartHeader::ToolCall {
            id: shared.ids.accept(Str::from_escaped(self.call.id.as_str())),
            name: Str::from_escaped(self.call.name.as_str()),
            custom: self.custom,
        };
        shared.sequencer.start(choice, self.key, header, sink);
        if let Some(opaque) = self.signature.take() {
            shared.sequencer.meta(choice, &self.key, PartMeta { opaque });
        }
        let arguments = Str::from_escaped(self.call.arguments.as_str());
        shared.sequencer.delta(choice, &self.key, canonical::Delta::Arguments(arguments), sink);
    }

    fn extend(
        &mut self,
        arguments: &Str<'_>,
        choice: u32,
        shared: &mut Shared,
        sink: &mut impl FnMut(Event<'_>),
    ) {
        if arguments.is_empty() || self.ended || !self.call.extend(arguments.as_escaped()) {
            return;
        }
        if !self.started {
            // T094: arguments may come before the name.
            return self.start(choice, shared, sink);
        }
        let delta = canonical::Delta::Arguments(arguments.borrowed());
        shared.sequencer.delta(choice, &self.key, delta, sink);
    }

    /// Takes state, which may come in any delta of the call (T103).
    fn sign(&mut self, opaque: Opaque<'_>, choice: u32, shared: &mut Shared) {
        if self.started {
            shared.sequencer.meta(choice, &self.key, PartMeta { opaque });
        } else {
            self.signature = Some(opaque.into_owned());
        }
    }

    fn end_if_complete(&mut self, choice: u32, shared: &mut Shared, sink: &mut impl FnMut(Event<'_>)) {
        if self.started && !self.ended && !self.custom && self.call.is_complete() {
            self.ended = true;
            shared.sequencer.end(choice, &self.key, true, sink);
        }
    }
}
