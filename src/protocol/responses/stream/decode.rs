//! An upstream's events to the hub's (section 3.2).

use std::collections::{HashMap, HashSet};

use super::super::error;
use super::super::item::{self, Item, ItemPart, SEGMENT_BREAK, content_part};
use super::super::response::{Members, Seen, unreadable};
use super::fields::{Fields, Key, Open, Segment, Slot, suffix};
use crate::protocol::canonical::{
    Citation, Delta, ErrorView, Event, FaultKind, MediaSource, PartHeader, PartKind, PartMeta, Sequencer,
};
use crate::protocol::json::{self, Reader, Str};
use crate::protocol::sse;

/// Reads the stream of a Responses upstream.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    started: bool,
    done: bool,
    sequencer: Sequencer<Key>,
    open: Vec<Open>,
    /// Parts that ended before their item did, by item.
    closed: HashMap<u64, HashSet<Key>>,
    /// Items that have been streamed, by number and by id: the final event repeats them.
    numbers: HashSet<u64>,
    ids: HashSet<String>,
    seen: Seen,
}

impl Decoder {
    /// Takes one event.
    pub(crate) fn event(&mut self, event: &sse::Event<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if self.done || event.is_done() {
            return;
        }
        let read = self.read(event, sink).and_then(|()| self.sequencer.check());
        if let Err(error) = read {
            self.fail(error, sink);
        }
    }

    /// The stream has ended; without its final event it is not whole (T021).
    pub(crate) fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        if !self.done {
            let message = "the upstream's stream ended before its final event";
            self.fail(ErrorView::new(FaultKind::BadUpstream, message), sink);
        }
    }

    fn fail(&mut self, error: ErrorView, sink: &mut impl FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.done, true) {
            sink(Event::Error(error));
        }
    }

    fn read(&mut self, event: &sse::Event<'_>, sink: &mut impl FnMut(Event<'_>)) -> Result<(), ErrorView> {
        let data = std::str::from_utf8(&event.data)
            .map_err(|_| ErrorView::new(FaultKind::BadUpstream, "the upstream's stream is not UTF-8"))?;
        let fields = Fields::read(data).map_err(unreadable)?;
        let kind = match event.name.as_deref().map(std::str::from_utf8) {
            Some(Ok(name)) if fields.kind.is_empty() => name.into(),
            _ => fields.kind.decode(),
        };
        match &*kind {
            "response.output_text.delta" => self.delta(&fields, Slot::Text, sink),
            "response.refusal.delta" => self.delta(&fields, Slot::Refusal, sink),
            "response.function_call_arguments.delta" | "response.custom_tool_call_input.delta" => {
                self.delta(&fields, Slot::Call, sink);
            }
            "response.reasoning_summary_text.delta" => self.reasoning(&fields, true, sink),
            "response.reasoning_text.delta" => self.reasoning(&fields, false, sink),
            "response.completed" | "response.incomplete" | "response.failed" | "response.cancelled" => {
                return self.terminal(&kind, &fields, sink);
            }
            // T054: flat or nested, named or not.
            "error" => return Err(error::parse(200, data.as_bytes())),
            _ if fields.error => return Err(error::parse(200, data.as_bytes())),
            kind => return self.framing(kind, &fields, sink).map_err(unreadable),
        }
        Ok(())
    }

    /// Events that begin and end things.
    fn framing(
        &mut self,
        kind: &str,
        fields: &Fields<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), json::Error> {
        match kind {
            "response.created" | "response.in_progress" | "response.queued" => {
                if let Some(mut response) = fields.response.clone()
                    && !self.started
                {
                    self.start(&Members::read(&mut response)?, sink);
                } else {
                    self.beat(sink);
                }
            }
            "response.output_item.added" => self.item_added(fields, sink)?,
            "response.output_item.done" => self.item_done(fields, sink)?,
            "response.content_part.added" => self.part_added(fields, sink)?,
            "response.content_part.done" => self.part_done(fields, sink)?,
            "response.output_text.done" => self.reconcile(fields.key(Slot::Text), fields, sink),
            "response.refusal.done" => self.reconcile(fields.key(Slot::Refusal), fields, sink),
            "response.function_call_arguments.done" | "response.custom_tool_call_input.done" => {
                self.reconcile(fields.key(Slot::Call), fields, sink);
            }
            "response.reasoning_summary_text.done" => self.reasoning_done(fields, true, sink),
            "response.reasoning_text.done" => self.reasoning_done(fields, false, sink),
            "response.output_text.annotation.added" => self.annotation(fields, sink)?,
            // A hosted tool at work, or an event that is newer than this program.
            _ => self.beat(sink),
        }
        Ok(())
    }

    /// A sign of life; before the start it is none of the answer, and clients could not take it.
    fn beat(&self, sink: &mut impl FnMut(Event<'_>)) {
        if self.started {
            sink(Event::Ping);
        }
    }

    fn start(&mut self, members: &Members<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if !std::mem::replace(&mut self.started, true) {
            sink(Event::Start {
                id: members.id.borrowed(),
                model: members.model.borrowed(),
                created: members.created,
            });
        }
    }

    fn position(&self, key: Key) -> Option<usize> {
        self.open.iter().position(|open| open.key == key)
    }

    /// The open part of `key`; begins it if its opening event never came (Codex backends are terse).
    fn open(
        &mut self,
        key: Key,
        header: Option<PartHeader<'_>>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Option<&mut Open> {
        let at = match self.position(key) {
            Some(at) => at,
            None => {
                let header = header?;
                self.start(&Members::default(), sink);
                self.numbers.insert(key.item);
                self.sequencer.start(0, key, header, sink);
                self.open.push(Open { key, sent: String::new(), segment: None, citations: 0, logprobs: 0 });
                self.open.len() - 1
            }
        };
        self.open.get_mut(at)
    }

    fn delta(&mut self, fields: &Fields<'_>, slot: Slot, sink: &mut impl FnMut(Event<'_>)) {
        let Some(delta) = &fields.delta else { return };
        let key = fields.key(slot);
        self.seen.refusal |= slot == Slot::Refusal;
        if let Some(open) = self.open(key, slot.header(), sink) {
            open.sent.push_str(delta.as_escaped());
            open.logprobs += fields.logprobs.len();
            if !fields.logprobs.is_empty() {
                self.sequencer.delta(0, &key, Delta::Logprobs(fields.logprobs.clone()), sink);
            }
            let delta = match slot {
                Slot::Call => Delta::Arguments(delta.borrowed()),
                _ => Delta::Text(delta.borrowed()),
            };
            self.sequencer.delta(0, &key, delta, sink);
        }
    }

    fn reasoning(&mut self, fields: &Fields<'_>, summary: bool, sink: &mut impl FnMut(Event<'_>)) {
        let Some(delta) = fields.delta.as_ref().filter(|delta| !delta.is_empty()) else { return };
        let Some(key) = self.segment(fields, summary, sink) else { return };
        if let Some(open) = self.open(key, None, sink) {
            open.sent.push_str(delta.as_escaped());
            self.sequencer.delta(0, &key, Delta::Text(delta.borrowed()), sink);
        }
    }

    /// Turns to the segment that an event speaks of; `None` if it belongs to the kind not shown.
    fn segment(
        &mut self,
        fields: &Fields<'_>,
        summary: bool,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Option<Key> {
        let key = fields.key(Slot::Reasoning);
        let index = if summary { fields.summary_index } else { fields.content_index };
        let segment = Segment { summary, index };
        let open = self.open(key, Some(PartHeader::Reasoning), sink)?;
        match open.segment.replace(segment) {
            Some(current) if current.summary != summary => {
                open.segment = Some(current);
                return None;
            }
            Some(current) if current != segment => {
                open.sent.clear();
                let gap = Delta::Text(Str::from_escaped(SEGMENT_BREAK));
                self.sequencer.delta(0, &key, gap, sink);
            }
            _ => {}
        }
        Some(key)
    }

    fn reasoning_done(&mut self, fields: &Fields<'_>, summary: bool, sink: &mut impl FnMut(Event<'_>)) {
        if fields.text.as_ref().is_some_and(|text| !text.is_empty())
            && let Some(key) = self.segment(fields, summary, sink)
        {
            self.reconcile(key, fields, sink);
        }
    }

    fn reconcile(&mut self, key: Key, fields: &Fields<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(text) = &fields.text {
            self.complete(key, text, sink);
        }
    }

    /// Sends what `whole` has beyond what came in deltas, and nothing twice (T029).
    fn complete(&mut self, key: Key, whole: &Str<'_>, sink: &mut impl FnMut(Event<'_>)) {
        let Some(open) = self.open.iter_mut().find(|open| open.key == key) else { return };
        let Some(rest) = suffix(&open.sent, whole) else { return };
        if rest.is_empty() {
            return;
        }
        open.sent.push_str(rest.as_escaped());
        let rest = if key.slot == Slot::Call { Delta::Arguments(rest) } else { Delta::Text(rest) };
        self.sequencer.delta(0, &key, rest, sink);
    }

    fn item_added(
        &mut self,
        fields: &Fields<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), json::Error> {
        let number = fields.item_index;
        let Some(mut reader) = fields.item.clone() else { return Ok(()) };
        let item = item::read(&mut reader)?;
        self.start(&Members::default(), sink);
        self.note(number, &item);
        let key = |slot| Key { item: number, part: 0, slot };
        match item.parts.into_iter().next().map(|p| p.part.kind) {
            Some(PartKind::ToolCall { id, name, custom, .. }) => {
                self.open(key(Slot::Call), Some(PartHeader::ToolCall { id, name, custom }), sink);
            }
            _ if item.kind == "reasoning" => {
                self.open(key(Slot::Reasoning), Some(PartHeader::Reasoning), sink);
            }
            // A message begins with its first content, a hosted tool's item is told when it is done.
            _ => sink(Event::Ping),
        }
        Ok(())
    }

    fn note(&mut self, number: u64, item: &Item<'_>) {
        self.numbers.insert(number);
        if !item.id.is_empty() {
            self.ids.insert(item.id.decode().into_owned());
        }
        self.seen.item(item);
    }

    fn part_added(
        &mut self,
        fields: &Fields<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), json::Error> {
        let Some(part) = fields.part.clone().map(|mut part| content_part(&mut part)).transpose()?.flatten()
        else {
            return Ok(());
        };
        let key = fields.key(Slot::of(&part.part.kind));
        // The part before it is over; its item may still turn out to be cut off.
        let before: Vec<Key> =
            self.open.iter().map(|open| open.key).filter(|k| k.item == key.item && *k != key).collect();
        for key in before {
            self.end(key, true, sink);
            self.closed.entry(key.item).or_default().insert(key);
        }
        self.open(key, key.slot.header(), sink);
        Ok(())
    }

    fn part_done(
        &mut self,
        fields: &Fields<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), json::Error> {
        if let Some(mut reader) = fields.part.clone()
            && let Some(part) = content_part(&mut reader)?
        {
            let key = fields.key(Slot::of(&part.part.kind));
            if self.position(key).is_some() {
                self.settle(key, part, sink);
            }
        }
        Ok(())
    }

    /// Brings an open part up to what its final form says.
    fn settle(&mut self, key: Key, done: ItemPart<'_>, sink: &mut impl FnMut(Event<'_>)) {
        let ItemPart { part, citations, logprobs } = done;
        if let Some(open) = self.open.iter_mut().find(|open| open.key == key) {
            let untold: Vec<_> = logprobs.into_iter().skip(open.logprobs).collect();
            open.logprobs += untold.len();
            self.sequencer.delta(0, &key, Delta::Logprobs(untold), sink);
        }
        match &part.kind {
            PartKind::Text { text } | PartKind::Refusal { text } => self.complete(key, text, sink),
            PartKind::ToolCall { arguments, .. } => {
                self.complete(key, &Str::escape(arguments.as_ref()), sink);
            }
            // Its segments have been settled one by one, if there were any.
            PartKind::Reasoning { text, .. } if !self.has_segments(key) => self.complete(key, text, sink),
            _ => {}
        }
        if let Some(open) = self.open.iter_mut().find(|open| open.key == key) {
            let told = open.citations;
            open.citations = told.max(citations.len());
            for citation in citations.into_iter().skip(told) {
                self.sequencer.delta(0, &key, Delta::Citation(citation), sink);
            }
        }
        // Only now: what came with the opening may be partial (T057).
        if let Some(opaque) = part.opaque {
            self.sequencer.meta(0, &key, PartMeta { opaque });
        }
    }

    fn has_segments(&self, key: Key) -> bool {
        self.open.iter().any(|open| open.key == key && open.segment.is_some())
    }

    fn annotation(
        &mut self,
        fields: &Fields<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), json::Error> {
        let key = fields.key(Slot::Text);
        let Some(mut reader) = fields.annotation.clone() else { return Ok(()) };
        let citation = Citation::read(&mut reader)?;
        if let Some(open) = self.open(key, key.slot.header(), sink)
            && let Some(citation) = citation
        {
            open.citations += 1;
            self.sequencer.delta(0, &key, Delta::Citation(citation), sink);
        }
        Ok(())
    }

    fn item_done(
        &mut self,
        fields: &Fields<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), json::Error> {
        if let Some(mut reader) = fields.item.clone() {
            let item = item::read(&mut reader)?;
            self.note(fields.item_index, &item);
            self.deliver(fields.item_index, item, sink);
        }
        Ok(())
    }

    /// Ends the parts of an item, and tells those of which nothing has come.
    fn deliver(&mut self, number: u64, item: Item<'_>, sink: &mut impl FnMut(Event<'_>)) {
        self.start(&Members::default(), sink);
        let complete = !item.incomplete;
        let closed = self.closed.remove(&number).unwrap_or_default();
        for (index, part) in (0..).zip(item.parts) {
            let slot = Slot::of(&part.part.kind);
            let index = if matches!(slot, Slot::Text | Slot::Refusal) { index } else { 0 };
            let key = Key { item: number, part: index, slot };
            if closed.contains(&key) {
                continue;
            }
            if self.position(key).is_none() {
                let Some(header) = header_of(&part.part.kind) else { continue };
                self.open(key, Some(header), sink);
                if let PartKind::Media(media) = &part.part.kind
                    && let MediaSource::Inline(data) = &media.source
                {
                    self.sequencer.delta(0, &key, Delta::Media(data.borrowed()), sink);
                }
            }
            self.settle(key, part, sink);
            self.end(key, complete, sink);
        }
        let rest: Vec<Key> = self.open.iter().map(|open| open.key).filter(|k| k.item == number).collect();
        for key in rest {
            self.end(key, complete, sink);
        }
    }

    fn end(&mut self, key: Key, complete: bool, sink: &mut impl FnMut(Event<'_>)) {
        self.open.retain(|open| open.key != key);
        self.sequencer.end(0, &key, complete, sink);
    }

    fn terminal(
        &mut self,
        kind: &str,
        fields: &Fields<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), ErrorView> {
        let mut members = match fields.response.clone() {
            Some(mut response) => Members::read(&mut response).map_err(unreadable)?,
            None => Members::default(),
        };
        members.settle_status(kind);
        if let Some(failure) = members.failure() {
            return Err(failure);
        }
        self.start(&members, sink);
        if let Some(output) = members.output.take() {
            self.missing(output, sink).map_err(unreadable)?;
        }
        self.done = true;
        if !members.usage.is_empty() {
            sink(Event::Usage(members.usage));
        }
        let finish = members.finish(self.seen);
        self.sequencer.finish(0, finish, sink);
        sink(Event::End);
        Ok(())
    }

    /// Tells the items that only the final event has; as many as were streamed are no news.
    fn missing(
        &mut self,
        mut output: Reader<'_>,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<(), json::Error> {
        let mut number = 0;
        output.lenient_array(|value| {
            let item = item::read(value)?;
            let is_known = self.numbers.contains(&number) || self.ids.contains(item.id.decode().as_ref());
            if !is_known {
                self.note(number, &item);
                self.deliver(number, item, sink);
            }
            number += 1;
            Ok::<_, json::Error>(())
        })
    }
}

fn header_of<'a>(kind: &PartKind<'a>) -> Option<PartHeader<'a>> {
    Some(match kind {
        PartKind::Text { .. } => PartHeader::Text,
        PartKind::Refusal { .. } => PartHeader::Refusal,
        PartKind::Reasoning { .. } => PartHeader::Reasoning,
        PartKind::ToolCall { id, name, custom, .. } => {
            PartHeader::ToolCall { id: id.clone(), name: name.clone(), custom: *custom }
        }
        PartKind::Media(media) => PartHeader::Media { mime: media.mime.clone() },
        PartKind::WebSearchCall(call) => PartHeader::WebSearchCall(call.clone()),
        PartKind::Opaque { protocol, raw, .. } => {
            PartHeader::Opaque { protocol: *protocol, raw: raw.clone() }
        }
        PartKind::ToolResult { .. } => return None,
    })
}
