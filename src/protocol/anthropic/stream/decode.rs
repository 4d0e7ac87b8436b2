//! Native events to canonical ones (section 3.2).

use super::super::aggregate::BlockFold;
use super::super::block::{Block, citation};
use super::super::finish::Stop;
use super::super::response::{redacted, signature};
use super::super::search::{Searches, Step};
use super::super::usage::Counts;
use super::super::{ANSWER_TOOL, WRAPPED_ANSWER_TOOL, error};
use super::fields::{DeltaFields, Native};
use crate::protocol::canonical::{
    Delta, ErrorView, Event, FaultKind, Opaque, PartHeader, PartMeta, Sequencer, restoration,
};
use crate::protocol::json::{Error, Raw, Reader, Str};
use crate::protocol::{Protocol, sse};

/// More blocks than this at once are an attack, not an answer.
const MOST_OPEN: usize = 1024;

/// What is held of an answer in a wrapper.
const MOST_HELD: usize = 16 << 20;

/// Reads a native stream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    sequencer: Sequencer<u64>,
    /// The blocks that have begun and not ended; in truth at most one.
    open: Vec<Open>,
    /// The block that has ended last, until it is known whether the limit ended it (T060).
    waiting: Option<u64>,
    searches: Searches,
    stop: Stop<'static>,
    counts: Counts,
    has_calls: bool,
    started: bool,
    ended: bool,
}

#[derive(Debug)]
struct Open {
    index: u64,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Text,
    Reasoning,
    /// A call, and the arguments that came with its beginning.
    Call {
        begun_with: Option<String>,
        has_arguments: bool,
    },
    /// A call of the tool that stands for a guaranteed format.
    Answer {
        begun_with: Option<String>,
        has_arguments: bool,
    },
    /// The same in a wrapper: told when it is whole.
    WrappedAnswer {
        begun_with: Option<String>,
        held: String,
    },
    /// A block that only this protocol knows: whole at its end.
    Opaque(Box<BlockFold>),
}

impl Decoder {
    pub(crate) fn event(&mut self, event: &sse::Event<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if self.ended || event.is_done() {
            return;
        }
        let read = match std::str::from_utf8(&event.data) {
            Ok(document) => self.read(document, event, sink),
            Err(_) => Err(unreadable(&"it is not UTF-8")),
        };
        if let Err(error) = read.and_then(|()| self.sequencer.check()) {
            self.ended = true;
            sink(Event::Error(error));
        }
    }

    pub(crate) fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.ended, true) {
            let message = "the upstream's stream ended before message_stop";
            sink(Event::Error(ErrorView::new(FaultKind::BadUpstream, message)));
        }
    }

    fn read(
        &mut self,
        document: &str,
        event: &sse::Event<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ErrorView> {
        let mut native = Native::read(document).map_err(|error| unreadable(&error))?;
        let tag = native.tag.take();
        let tag = match &tag {
            Some(tag) => tag.decode(),
            None => String::from_utf8_lossy(event.name.as_deref().unwrap_or_default()),
        };
        if native.has_error || tag == "error" {
            return Err(error::parse(200, document.as_bytes()));
        }
        self.dispatch(&tag, native, document, sink).map_err(|error| unreadable(&error))
    }

    fn dispatch<'a>(
        &mut self,
        tag: &str,
        native: Native<'a>,
        document: &'a str,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Error> {
        match tag {
            "content_block_delta" => match native.delta {
                Some(delta) => self.delta(native.index, delta, sink),
                None => Ok(()),
            },
            "content_block_start" => match native.block {
                Some(mut block) => self.block(native.index, Block::read(&mut block, document)?, sink),
                None => Ok(()),
            },
            "content_block_stop" => {
                self.close(native.index, sink);
                Ok(())
            }
            "message_start" => self.start(native.message, sink),
            "message_delta" => self.message_delta(native, sink),
            "message_stop" => {
                self.stop(sink);
                Ok(())
            }
            // Before the start a ping is none of the answer: it would take its id and model away.
            _ if !self.started => Ok(()),
            _ => {
                sink(Event::Ping);
                Ok(())
            }
        }
    }

    /// Every stream begins with `Start`, whatever the server left out.
    fn begin(&mut self, id: Str<'_>, model: Str<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.started, true) {
            sink(Event::Start { id, model, created: None });
        }
    }

    fn start(&mut self, message: Option<Reader<'_>>, sink: &mut impl FnMut(Event<'_>)) -> Result<(), Error> {
        let (mut id, mut model) = (Str::EMPTY, Str::EMPTY);
        if let Some(mut message) = message {
            message.lenient_object(|key, value| {
                match key {
                    "id" => id = value.lenient_string()?.unwrap_or_default(),
                    "model" => model = value.lenient_string()?.unwrap_or_default(),
                    "usage" => self.counts.read(value)?,
                    _ => {}
                }
                Ok::<_, Error>(())
            })?;
        }
        self.begin(id, model, sink);
        self.tell_usage(sink);
        Ok(())
    }

    fn tell_usage(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        let usage = self.counts.usage();
        if !usage.is_empty() {
            sink(Event::Usage(usage));
        }
    }

    fn message_delta(&mut self, native: Native<'_>, sink: &mut impl FnMut(Event<'_>)) -> Result<(), Error> {
        self.begin(Str::EMPTY, Str::EMPTY, sink);
        if let Some(mut delta) = native.delta {
            let mut stop = Stop::default();
            delta.lenient_object(|key, value| stop.member(key, value))?;
            self.stop.merge(stop.into_owned());
            if let Some(is_cut) = self.stop.is_cut() {
                self.settle(!is_cut, sink);
            }
        }
        if let Some(mut usage) = native.usage {
            self.counts.read(&mut usage)?;
            self.tell_usage(sink);
        }
        Ok(())
    }

    fn stop(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        self.begin(Str::EMPTY, Str::EMPTY, sink);
        while let Some(index) = self.open.first().map(|open| open.index) {
            self.close(index, sink);
        }
        let unanswered = self.searches.rest();
        self.give_up(unanswered, sink);
        let finish = std::mem::take(&mut self.stop).finish(self.has_calls);
        self.sequencer.finish(0, finish, sink);
        self.ended = true;
        sink(Event::End);
    }

    fn block(&mut self, index: u64, block: Block<'_>, sink: &mut impl FnMut(Event<'_>)) -> Result<(), Error> {
        self.begin(Str::EMPTY, Str::EMPTY, sink);
        // A server that forgets to end a block begins the next all the same.
        self.close(index, sink);
        if self.open.len() >= MOST_OPEN {
            self.close(self.open.first().map_or(0, |open| open.index), sink);
        }
        self.settle(true, sink);
        let tag = block.tag.as_ref().map(|tag| tag.decode().into_owned());
        let unanswered = self.searches.given_up(tag.as_deref().unwrap_or("text"));
        self.give_up(unanswered, sink);
        match tag.as_deref() {
            Some("text") | None => {
                self.open(index, Kind::Text, PartHeader::Text, sink);
                self.text(index, block.text.unwrap_or_default(), sink);
                if let Some(mut citations) = block.citations {
                    citations.lenient_array(|item| self.cite(index, item, sink))?;
                }
            }
            Some("thinking") => {
                self.open(index, Kind::Reasoning, PartHeader::Reasoning, sink);
                self.text(index, block.thinking.unwrap_or_default(), sink);
                self.state(index, signature(block.signature.unwrap_or_default()));
            }
            Some("redacted_thinking") => {
                self.open(index, Kind::Reasoning, PartHeader::Redacted, sink);
                self.state(index, redacted(block.data.unwrap_or_default()));
            }
            Some("tool_use") => self.call(index, block, sink),
            Some(_) => {
                // Told whole when it ends: no other protocol has a use for its beginning.
                let fold = BlockFold::new(block.raw().as_str())?;
                self.open.push(Open { index, kind: Kind::Opaque(Box::new(fold)) });
            }
        }
        Ok(())
    }

    fn open(&mut self, index: u64, kind: Kind, header: PartHeader<'_>, sink: &mut impl FnMut(Event<'_>)) {
        self.open.push(Open { index, kind });
        self.sequencer.start(0, index, header, sink);
    }

    fn call(&mut self, index: u64, block: Block<'_>, sink: &mut impl FnMut(Event<'_>)) {
        // Some servers send the whole input with the beginning.
        let begun_with = block.input.as_ref().map(Raw::as_str);
        let begun_with = begun_with.filter(|raw| !matches!(*raw, "{}" | "\"\"")).map(str::to_owned);
        let name = block.name.unwrap_or_default();
        if name == ANSWER_TOOL {
            let kind = Kind::Answer { begun_with, has_arguments: false };
            return self.open(index, kind, PartHeader::Text, sink);
        }
        if name == WRAPPED_ANSWER_TOOL {
            let kind = Kind::WrappedAnswer { begun_with, held: String::new() };
            return self.open(index, kind, PartHeader::Text, sink);
        }
        self.has_calls = true;
        let header = PartHeader::ToolCall { id: block.id.unwrap_or_default(), name, custom: false };
        self.open(index, Kind::Call { begun_with, has_arguments: false }, header, sink);
    }

    fn text(&mut self, index: u64, text: Str<'_>, sink: &mut impl FnMut(Event<'_>)) {
        self.sequencer.delta(0, &index, Delta::Text(text), sink);
    }

    fn state(&mut self, index: u64, opaque: Opaque<'_>) {
        if !opaque.value.is_empty() {
            self.sequencer.meta(0, &index, PartMeta { opaque });
        }
    }

    fn cite(
        &mut self,
        index: u64,
        reader: &mut Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Error> {
        if let Some(citation) = citation(reader)? {
            self.sequencer.delta(0, &index, Delta::Citation(citation), sink);
        }
        Ok(())
    }

    fn delta(
        &mut self,
        index: u64,
        mut reader: Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), Error> {
        if let Some(Open { kind: Kind::Opaque(fold), .. }) =
            self.open.iter_mut().find(|open| open.index == index)
        {
            return fold.delta(&mut reader);
        }
        let mut delta = DeltaFields::default();
        reader.lenient_object(|key, value| delta.member(key, value))?;
        if let Some(text) = delta.text {
            self.imply(index, Kind::Text, PartHeader::Text, sink);
            self.text(index, text, sink);
        }
        if let Some(text) = delta.thinking {
            self.imply(index, Kind::Reasoning, PartHeader::Reasoning, sink);
            self.text(index, text, sink);
        }
        if let Some(json) = delta.partial_json {
            self.arguments(index, json, sink);
        }
        if let Some(value) = delta.signature {
            self.state(index, signature(value));
        }
        if let Some(mut reader) = delta.citation {
            self.cite(index, &mut reader, sink)?;
        }
        Ok(())
    }

    /// A server that left out the beginning of a block.
    fn imply(&mut self, index: u64, kind: Kind, header: PartHeader<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if self.open.iter().all(|open| open.index != index) && self.open.len() < MOST_OPEN {
            self.begin(Str::EMPTY, Str::EMPTY, sink);
            self.settle(true, sink);
            self.open(index, kind, header, sink);
        }
    }

    fn arguments(&mut self, index: u64, json: Str<'_>, sink: &mut impl FnMut(Event<'_>)) {
        let Some(open) = self.open.iter_mut().find(|open| open.index == index) else { return };
        let delta = match &mut open.kind {
            Kind::Call { has_arguments, .. } => {
                *has_arguments |= !json.is_empty();
                Delta::Arguments(json)
            }
            Kind::Answer { has_arguments, .. } => {
                *has_arguments |= !json.is_empty();
                Delta::Text(json)
            }
            Kind::WrappedAnswer { held, .. } => {
                held.push_str(&json.decode());
                if held.len() <= MOST_HELD {
                    return;
                }
                let text = Str::escape(std::mem::take(held));
                open.kind = Kind::Answer { begun_with: None, has_arguments: true };
                Delta::Text(text)
            }
            _ => return,
        };
        self.sequencer.delta(0, &index, delta, sink);
    }

    fn close(&mut self, index: u64, sink: &mut impl FnMut(Event<'_>)) {
        let Some(at) = self.open.iter().position(|open| open.index == index) else { return };
        self.settle(true, sink);
        let kind = self.open.remove(at).kind;
        let may_be_cut = !matches!(kind, Kind::Reasoning | Kind::Opaque(_));
        match kind {
            Kind::Text | Kind::Reasoning => {}
            Kind::Call { begun_with: Some(json), has_arguments: false } => {
                self.sequencer.delta(0, &index, Delta::Arguments(Str::from(json)), sink);
            }
            Kind::Answer { begun_with, has_arguments: false } => {
                let json = begun_with.unwrap_or_else(|| "{}".to_owned());
                self.text(index, Str::from(json), sink);
            }
            Kind::Call { .. } | Kind::Answer { .. } => {}
            Kind::WrappedAnswer { begun_with, mut held } => {
                if held.is_empty() {
                    held = begun_with.unwrap_or_default();
                }
                let answer = restoration::unwrap(&held).map_or(held.as_str().into(), Raw::into_text);
                self.text(index, Str::escape(answer), sink);
            }
            Kind::Opaque(fold) => {
                let raw = fold.finish().to_json();
                match self.search(&raw) {
                    Some(Step::Waits) => return,
                    Some(Step::Over(call)) => {
                        self.sequencer.start(0, index, PartHeader::WebSearchCall(call), sink);
                    }
                    _ => self.sequencer.start(0, index, opaque(Raw::from_json(raw)), sink),
                }
            }
        }
        if may_be_cut {
            self.waiting = Some(index);
        } else {
            self.sequencer.end(0, &index, true, sink);
        }
    }

    /// Ends the block that has waited: the answer goes on, or its reason to end is known.
    fn settle(&mut self, complete: bool, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(index) = self.waiting.take() {
            self.sequencer.end(0, &index, complete, sink);
        }
    }

    /// What a whole block means to the searches; one that cannot be read means nothing to them.
    fn search<'a>(&mut self, raw: &'a str) -> Option<Step<'a>> {
        let block = Block::read(&mut Reader::new(raw), raw).ok()?;
        self.searches.take(&block).ok()
    }

    fn give_up(&mut self, searches: Vec<Raw<'static>>, sink: &mut impl FnMut(Event<'_>)) {
        // Of no index: nothing else of them will come.
        const KEY: u64 = u64::MAX;
        for raw in searches {
            self.sequencer.start(0, KEY, opaque(raw), sink);
            self.sequencer.end(0, &KEY, true, sink);
        }
    }
}

fn opaque(raw: Raw<'_>) -> PartHeader<'_> {
    PartHeader::Opaque { protocol: Protocol::Anthropic, raw }
}

fn unreadable(why: &dyn std::fmt::Display) -> ErrorView {
    ErrorView::new(FaultKind::BadUpstream, format!("an event of the upstream cannot be read: {why}"))
}
