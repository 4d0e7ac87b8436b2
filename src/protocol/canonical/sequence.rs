//! One part after another, whatever the upstream interleaves (3.2: the head-of-line queue).
//!
//! Chat streams the arguments of parallel calls mixed, Responses its items likewise; clients take
//! one open part at a time (T032). The sequencer passes the first open part through and holds what
//! belongs to later ones until their turn. It also numbers parts densely, starts none that stay
//! empty (T035), gives a function without arguments its one `{}` (T059), and joins the two halves of
//! a character that deltas cut (T005), so that no dialect has to.

use std::collections::VecDeque;

use super::error::{ErrorView, FaultKind};
use super::event::{Delta, Event, PartHeader, PartMeta};
use super::response::Finish;
use crate::protocol::json::Str;

/// Bytes held for parts whose turn has not come.
const HELD_LIMIT: usize = 8 << 20;

/// Orders the parts of a stream. `K` is what the upstream's protocol tells parts apart by.
#[derive(Debug)]
pub struct Sequencer<K> {
    choices: Vec<Choice<K>>,
    held_bytes: usize,
}

#[derive(Debug)]
struct Choice<K> {
    index: u32,
    next_part: u32,
    queue: VecDeque<Open<K>>,
    finished: bool,
}

#[derive(Debug)]
struct Open<K> {
    key: K,
    header: PartHeader<'static>,
    /// Its number, once it has been started towards the client.
    number: Option<u32>,
    held: Vec<Delta<'static>>,
    surrogate: Option<Str<'static>>,
    meta: Option<PartMeta<'static>>,
    has_arguments: bool,
    ended: Option<bool>,
}

impl<K> Default for Sequencer<K> {
    fn default() -> Self {
        Sequencer { choices: Vec::new(), held_bytes: 0 }
    }
}

impl<K: PartialEq> Sequencer<K> {
    /// A part begins. Nothing is sent for a text, refusal or reasoning part until it has content.
    pub fn start(&mut self, choice: u32, key: K, header: PartHeader<'_>, sink: &mut impl FnMut(Event<'_>)) {
        let choice = self.choice(choice);
        if choice.finished {
            return;
        }
        choice.queue.push_back(Open {
            key,
            header: header.into_owned(),
            number: None,
            held: Vec::new(),
            surrogate: None,
            meta: None,
            has_arguments: false,
            ended: None,
        });
        if choice.queue.len() == 1 {
            choice.begin_head(sink);
        }
    }

    /// More of a part; ignored if `key` is not open.
    pub fn delta(&mut self, choice: u32, key: &K, delta: Delta<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if delta.is_empty() {
            return;
        }
        let mut held = 0;
        let choice = self.choice(choice);
        let Some(at) = choice.queue.iter().position(|open| open.key == *key && open.ended.is_none()) else {
            return;
        };
        if at == 0 {
            choice.emit(delta, sink);
        } else {
            held = delta.len();
            choice.queue[at].held.push(delta.into_owned());
        }
        self.held_bytes += held;
    }

    /// State of a part; the last one wins (T033) and is sent when the part ends (T034).
    pub fn meta(&mut self, choice: u32, key: &K, meta: PartMeta<'_>) {
        if let Some(open) = self.choice(choice).queue.iter_mut().find(|open| open.key == *key) {
            open.meta = Some(PartMeta { opaque: meta.opaque.into_owned() });
        }
    }

    /// A part ends; ignored if `key` is not open.
    pub fn end(&mut self, choice: u32, key: &K, complete: bool, sink: &mut impl FnMut(Event<'_>)) {
        let choice = self.choice(choice);
        if let Some(open) = choice.queue.iter_mut().find(|open| open.key == *key && open.ended.is_none()) {
            open.ended = Some(complete);
            choice.advance(sink);
        }
        self.recount();
    }

    /// Ends every part of `choice` that is open.
    pub fn end_all(&mut self, choice: u32, complete: bool, sink: &mut impl FnMut(Event<'_>)) {
        let choice = self.choice(choice);
        for open in &mut choice.queue {
            open.ended.get_or_insert(complete);
        }
        choice.advance(sink);
        self.recount();
    }

    /// Ends every part of `choice`, then the choice itself; a second finish is ignored.
    pub fn finish(&mut self, choice: u32, finish: Finish<'_>, sink: &mut impl FnMut(Event<'_>)) {
        self.end_all(choice, !finish.reason.is_cut(), sink);
        let choice = self.choice(choice);
        if !std::mem::replace(&mut choice.finished, true) {
            sink(Event::Finish { choice: choice.index, finish });
        }
    }

    /// Whether a part with this key has begun and not ended.
    #[must_use]
    pub fn is_open(&self, choice: u32, key: &K) -> bool {
        self.get(choice).is_some_and(|c| c.queue.iter().any(|open| open.key == *key && open.ended.is_none()))
    }

    /// Whether any part of `choice` has been started towards the client, or waits to be.
    #[must_use]
    pub fn has_parts(&self, choice: u32) -> bool {
        self.get(choice).is_some_and(|c| c.next_part > 0 || !c.queue.is_empty())
    }

    /// Whether `choice` has had its finish.
    #[must_use]
    pub fn is_finished(&self, choice: u32) -> bool {
        self.get(choice).is_some_and(|c| c.finished)
    }

    /// The choices seen so far.
    pub fn choices(&self) -> impl Iterator<Item = u32> + '_ {
        self.choices.iter().map(|c| c.index)
    }

    /// Checks that no more is held back than allowed.
    ///
    /// # Errors
    ///
    /// If an upstream interleaves more than 8 MiB.
    pub fn check(&self) -> Result<(), ErrorView> {
        if self.held_bytes > HELD_LIMIT {
            return Err(ErrorView::new(FaultKind::BadUpstream, "the upstream interleaves too much"));
        }
        Ok(())
    }

    fn get(&self, index: u32) -> Option<&Choice<K>> {
        self.choices.iter().find(|c| c.index == index)
    }

    fn choice(&mut self, index: u32) -> &mut Choice<K> {
        let at = match self.choices.iter().position(|c| c.index == index) {
            Some(at) => at,
            None => {
                // 128 is OpenAI's own limit of `n`; a hostile upstream shares the last one.
                if self.choices.len() < 128 {
                    self.choices.push(Choice {
                        index,
                        next_part: 0,
                        queue: VecDeque::new(),
                        finished: false,
                    });
                }
                self.choices.len() - 1
            }
        };
        &mut self.choices[at]
    }

    fn recount(&mut self) {
        if self.held_bytes > 0 {
            self.held_bytes =
                self.choices.iter().flat_map(|c| &c.queue).flat_map(|open| &open.held).map(Delta::len).sum();
        }
    }
}

impl<K> Choice<K> {
    /// Starts the head if its kind starts without content.
    fn begin_head(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(open) = self.queue.front()
            && !matches!(open.header, PartHeader::Text | PartHeader::Refusal | PartHeader::Reasoning)
        {
            self.start_head(sink);
        }
    }

    fn start_head(&mut self, sink: &mut impl FnMut(Event<'_>)) -> u32 {
        let Some(open) = self.queue.front_mut() else { return self.next_part };
        if let Some(number) = open.number {
            return number;
        }
        let part = self.next_part;
        self.next_part += 1;
        open.number = Some(part);
        sink(Event::PartStart { choice: self.index, part, header: open.header.clone() });
        part
    }

    fn emit(&mut self, delta: Delta<'_>, sink: &mut impl FnMut(Event<'_>)) {
        let (text, is_arguments) = match delta {
            Delta::Text(text) => (text, false),
            Delta::Arguments(text) => (text, true),
            other => {
                let part = self.start_head(sink);
                sink(Event::Delta { choice: self.index, part, delta: other });
                return;
            }
        };
        let Some(open) = self.queue.front_mut() else { return };
        let text = match open.surrogate.take() {
            Some(mut joined) => {
                joined.push(&text);
                joined
            }
            None => text,
        };
        let (ready, held) = text.split_high_surrogate();
        open.surrogate = held.map(Str::into_owned);
        if ready.is_empty() {
            return;
        }
        if is_arguments && !open.has_arguments {
            open.has_arguments = !ready.is_blank();
        }
        let part = self.start_head(sink);
        let delta = if is_arguments { Delta::Arguments(ready) } else { Delta::Text(ready) };
        sink(Event::Delta { choice: self.index, part, delta });
    }

    /// Closes every ended part at the head, and lets the next one speak.
    fn advance(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        while let Some(complete) = self.queue.front().and_then(|open| open.ended) {
            self.close_head(complete, sink);
            self.queue.pop_front();
            self.begin_head(sink);
            let held = self.queue.front_mut().map(|open| std::mem::take(&mut open.held)).unwrap_or_default();
            for delta in held {
                self.emit(delta, sink);
            }
        }
    }

    fn close_head(&mut self, complete: bool, sink: &mut impl FnMut(Event<'_>)) {
        let Some(open) = self.queue.front_mut() else { return };
        let is_function = matches!(open.header, PartHeader::ToolCall { custom: false, .. });
        let needs_object = is_function && !open.has_arguments && complete;
        let meta = open.meta.take();
        if let Some(half) = open.surrogate.take() {
            // Its other half never came.
            let delta = Str::escape(half.decode().into_owned());
            let delta = if is_function { Delta::Arguments(delta) } else { Delta::Text(delta) };
            let part = self.start_head(sink);
            sink(Event::Delta { choice: self.index, part, delta });
        }
        if needs_object {
            let part = self.start_head(sink);
            let delta = Delta::Arguments(Str::from_escaped("{}"));
            sink(Event::Delta { choice: self.index, part, delta });
        }
        if let Some(meta) = meta {
            let part = self.start_head(sink);
            sink(Event::PartMeta { choice: self.index, part, meta });
        }
        if let Some(part) = self.queue.front().and_then(|open| open.number) {
            sink(Event::PartEnd { choice: self.index, part, complete });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::canonical::FinishReason;

    fn run(script: impl FnOnce(&mut Sequencer<u32>, &mut dyn FnMut(Event<'_>))) -> Vec<String> {
        let mut seen = Vec::new();
        let mut sink = |event: Event<'_>| {
            seen.push(match event {
                Event::PartStart { part, .. } => format!("start {part}"),
                Event::Delta { part, delta: Delta::Text(t) | Delta::Arguments(t), .. } => {
                    format!("{part}: {}", t.decode())
                }
                Event::PartEnd { part, complete, .. } => format!("end {part} {complete}"),
                Event::PartMeta { part, .. } => format!("meta {part}"),
                Event::Finish { .. } => "finish".to_owned(),
                other => format!("{other:?}"),
            });
        };
        script(&mut Sequencer::default(), &mut sink);
        seen
    }

    fn call(id: &'static str) -> PartHeader<'static> {
        PartHeader::ToolCall { id: id.into(), name: "f".into(), custom: false }
    }

    #[test]
    fn t032_interleaved_calls_come_one_after_another() {
        let seen = run(|s, mut sink| {
            s.start(0, 1, call("a"), &mut sink);
            s.start(0, 2, call("b"), &mut sink);
            for (key, text) in [(1, "{"), (2, "["), (1, "}"), (2, "]")] {
                s.delta(0, &key, Delta::Arguments(text.into()), &mut sink);
            }
            s.end(0, &2, true, &mut sink);
            s.finish(0, Finish::new(FinishReason::ToolCalls), &mut sink);
        });
        assert_eq!(
            seen,
            ["start 0", "0: {", "0: }", "end 0 true", "start 1", "1: [", "1: ]", "end 1 true", "finish"]
        );
    }

    #[test]
    fn t035_t059_empty_text_is_no_part_and_an_empty_call_has_an_object() {
        let seen = run(|s, mut sink| {
            s.start(0, 0, PartHeader::Text, &mut sink);
            s.delta(0, &0, Delta::Text("".into()), &mut sink);
            s.end(0, &0, true, &mut sink);
            s.start(0, 1, call("a"), &mut sink);
            s.finish(0, Finish::default(), &mut sink);
        });
        assert_eq!(seen, ["start 0", "0: {}", "end 0 true", "finish"]);
    }

    #[test]
    fn t005_a_cut_emoji_is_joined() {
        let seen = run(|s, mut sink| {
            s.start(0, 0, PartHeader::Text, &mut sink);
            for half in [r"a\ud83d", r"\ude00b", r"\ud83d"] {
                s.delta(0, &0, Delta::Text(Str::from_escaped(half)), &mut sink);
            }
            s.finish(0, Finish::default(), &mut sink);
        });
        assert_eq!(seen, ["start 0", "0: a", "0: 😀b", "0: \u{fffd}", "end 0 true", "finish"]);
    }
}
