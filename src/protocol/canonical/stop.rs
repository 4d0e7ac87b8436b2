//! Stop sequences that an upstream does not take, looked for by the gateway itself (2.4, T141).
//!
//! ```
//! use aiproxy::protocol::canonical::{Event, StopFilter};
//!
//! let mut filter = StopFilter::new(&["END".to_owned()], 1);
//! let mut events = 0;
//! filter.event(Event::Ping, &mut |_| events += 1);
//! assert_eq!((events, filter.has_cut()), (1, false));
//! ```

use memchr::memmem::Finder;

use super::event::{Delta, Event, PartHeader, PartMeta};
use super::logprob::TokenLogprob;
use super::losses::{Action, Losses};
use super::response::{Collector, Finish, FinishReason, Response};
use super::usage::Usage;
use crate::protocol::Protocol;
use crate::protocol::json::Str;

/// Most sequences that are looked for, and most bytes of one: each is compared with all that a model says.
const MOST: usize = 64;
const LONGEST: usize = 256;

/// Most events that wait behind held text.
const MOST_WAITING: usize = 64;

/// How many stop sequences an API takes.
pub(crate) const fn most_stops(upstream: Protocol) -> usize {
    match upstream {
        Protocol::Anthropic => usize::MAX,
        Protocol::OpenAi => 4,
        Protocol::Responses => 0,
        Protocol::Gemini => 5,
    }
}

/// Takes the sequences out of `stop` that `upstream` does not take, for a [`StopFilter`] to look for.
///
/// What is too much for that, too (more than 64, or one of more than 256 bytes), is left to the encoder, which
/// drops it and says so.
pub fn take_untaken(stop: &mut Vec<Str<'_>>, upstream: Protocol, losses: &mut Losses) -> Vec<String> {
    let mut room = most_stops(upstream);
    let mut untaken = Vec::new();
    stop.retain(|text| {
        // Anthropic refuses blank ones.
        let is_taken = room > 0 && !(upstream == Protocol::Anthropic && text.is_blank());
        if is_taken || text.is_empty() {
            room -= usize::from(is_taken && !text.is_empty());
            return true;
        }
        let text = text.decode();
        let fits = untaken.len() < MOST && text.len() <= LONGEST;
        if fits {
            losses.add(Action::Emulate, "stop");
            untaken.push(text.into_owned());
        }
        !fits
    });
    untaken
}

/// Ends a stream of events before the first stop sequence in its visible text.
///
/// Text that may be the beginning of a sequence is held back, and nothing else is; at most one byte less than
/// the longest sequence. Of several sequences the one counts that is complete first, as it would have for the
/// upstream, and of those the longest. A sequence may begin in one text part and end in the next one if nothing
/// stands between.
#[derive(Debug)]
pub struct StopFilter {
    sequences: Vec<Finder<'static>>,
    expected: usize,
    choices: Vec<Choice>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Choice {
    index: u32,
    is_in_text: bool,
    /// The part that is open for whoever comes after.
    open: Option<u32>,
    held: String,
    /// What stands within the held text or behind it, and after how many bytes.
    waiting: Vec<(usize, Waiting)>,
    is_cut: bool,
    has_ended: bool,
}

/// An event of a text part.
#[derive(Debug)]
enum Waiting {
    Start(u32),
    Delta(u32, Delta<'static>),
    Meta(u32, PartMeta<'static>),
    End(u32, bool),
}

impl StopFilter {
    /// Looks for `sequences`, none of which is empty, in each of so many choices.
    #[must_use]
    pub fn new(sequences: &[String], choices: usize) -> Self {
        let sequences = sequences.iter().map(|text| Finder::new(text.as_bytes()).into_owned()).collect();
        StopFilter { sequences, expected: choices, choices: Vec::new(), is_over: false }
    }

    /// Whether a sequence was found.
    #[must_use]
    pub fn has_cut(&self) -> bool {
        self.choices.iter().any(|choice| choice.is_cut)
    }

    /// Whether the last choice was cut: nothing that the upstream may still say is wanted.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.is_over
    }

    /// Takes one event. When the last choice is cut, its `Finish` is followed by a mark that the counts so far
    /// are not the last word, and by `End`.
    pub fn event(&mut self, event: Event<'_>, sink: &mut impl FnMut(Event<'_>)) {
        if self.is_over {
            return;
        }
        let index = match &event {
            Event::PartStart { choice, .. }
            | Event::Delta { choice, .. }
            | Event::PartMeta { choice, .. }
            | Event::PartEnd { choice, .. }
            | Event::Finish { choice, .. } => *choice,
            Event::End | Event::Error(_) => {
                self.choices.iter_mut().for_each(|choice| choice.flush(sink));
                return sink(event);
            }
            Event::Start { .. } | Event::Usage(_) | Event::Ping => return sink(event),
        };
        let at = self.choices.iter().position(|choice| choice.index == index).unwrap_or_else(|| {
            self.choices.push(Choice { index, ..Choice::default() });
            self.choices.len() - 1
        });
        if let Some(choice) = self.choices.get_mut(at).filter(|choice| !choice.is_cut) {
            choice.event(event, &self.sequences, sink);
            let ended = self.choices.iter().filter(|choice| choice.has_ended).count();
            if ended >= self.expected && self.has_cut() {
                self.is_over = true;
                sink(Event::Usage(Usage { is_output_estimated: true, ..Usage::default() }));
                sink(Event::End);
            }
        }
    }
}

impl Choice {
    fn event(&mut self, event: Event<'_>, sequences: &[Finder<'_>], sink: &mut impl FnMut(Event<'_>)) {
        let waiting = match event {
            Event::Delta { part, delta: Delta::Text(text), .. } if self.is_in_text => {
                return self.text(part, text, sequences, sink);
            }
            Event::PartStart { part, header: PartHeader::Text, .. } => {
                self.is_in_text = true;
                // It starts with its first text that is wanted (T035).
                Waiting::Start(part)
            }
            Event::Delta { part, delta, .. } if self.is_waiting() => Waiting::Delta(part, delta.into_owned()),
            // They come before their text, of which perhaps not all is wanted.
            Event::Delta { part, delta: Delta::Logprobs(tokens), .. } if self.is_in_text => {
                Waiting::Delta(part, Delta::Logprobs(tokens).into_owned())
            }
            Event::PartMeta { part, meta, .. } if self.is_waiting() => {
                Waiting::Meta(part, PartMeta { opaque: meta.opaque.into_owned() })
            }
            Event::PartEnd { part, complete, .. } if self.is_in_text => {
                self.is_in_text = false;
                Waiting::End(part, complete)
            }
            event => {
                self.flush(sink);
                self.is_in_text &= !matches!(event, Event::PartStart { .. });
                self.has_ended |= matches!(event, Event::Finish { .. });
                return sink(event);
            }
        };
        self.waiting.push((self.held.len(), waiting));
        // Whatever a hostile upstream puts there: so much and no more.
        if self.waiting.len() > MOST_WAITING {
            self.flush(sink);
        }
    }

    fn is_waiting(&self) -> bool {
        self.is_in_text && !(self.held.is_empty() && self.waiting.is_empty())
    }

    fn text(&mut self, part: u32, text: Str<'_>, sequences: &[Finder<'_>], sink: &mut impl FnMut(Event<'_>)) {
        let choice = self.index;
        let decoded = text.decode();
        if self.held.is_empty() && find(sequences, &decoded).is_none() && tail(sequences, &decoded) == 0 {
            self.flush(sink);
            return sink(Event::Delta { choice, part, delta: Delta::Text(text) });
        }
        self.held.push_str(&decoded);
        match find(sequences, &self.held) {
            Some((at, sequence)) => self.cut(at, sequence, sink),
            None => self.release(self.held.len() - tail(sequences, &self.held), sink),
        }
    }

    /// Ends the answer with the first `at` bytes of the held text.
    fn cut(&mut self, at: usize, sequence: &Finder<'_>, sink: &mut impl FnMut(Event<'_>)) {
        self.trim_logprobs(at);
        self.release(at, sink);
        // What belongs to the part that ends here; a part that would begin here does not.
        for (_, event) in std::mem::take(&mut self.waiting).into_iter().take_while(|(at, _)| *at == 0) {
            if matches!(event, Waiting::Start(_)) {
                break;
            }
            self.send(event, sink);
        }
        if let Some(part) = self.open {
            self.send(Waiting::End(part, true), sink);
        }
        (self.is_cut, self.has_ended) = (true, true);
        self.held = String::new();
        let stop_sequence = Some(Str::escape(String::from_utf8_lossy(sequence.needle())));
        let finish = Finish { stop_sequence, ..Finish::new(FinishReason::StopSequence) };
        sink(Event::Finish { choice: self.index, finish });
    }

    /// Takes out the tokens that reach beyond the first `end` bytes of the held text.
    fn trim_logprobs(&mut self, end: usize) {
        for (from, event) in &mut self.waiting {
            let Waiting::Delta(_, Delta::Logprobs(tokens)) = event else { continue };
            let mut room = end.saturating_sub(*from);
            let fits = |token: &&TokenLogprob<'_>| {
                let rest = room.checked_sub(token.token.decode().len());
                room = rest.unwrap_or(0);
                rest.is_some()
            };
            let kept = tokens.iter().take_while(fits).count();
            tokens.truncate(kept);
        }
        self.waiting.retain(|(_, event)| !matches!(event, Waiting::Delta(_, delta) if delta.is_empty()));
    }

    /// Passes on all that waits.
    fn flush(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        self.release(self.held.len(), sink);
        for (_, event) in std::mem::take(&mut self.waiting) {
            self.send(event, sink);
        }
    }

    /// Passes on the first bytes of the held text, and what stands before the last of them.
    fn release(&mut self, bytes: usize, sink: &mut impl FnMut(Event<'_>)) {
        if bytes == 0 {
            return;
        }
        let rest = self.held.split_off(bytes);
        let ready = std::mem::replace(&mut self.held, rest);
        let mut from = 0;
        let still = self.waiting.iter().position(|(at, _)| *at >= bytes).unwrap_or(self.waiting.len());
        let still = self.waiting.split_off(still);
        for (at, event) in std::mem::replace(&mut self.waiting, still) {
            self.send_text(ready.get(from..at).unwrap_or_default(), sink);
            from = at;
            self.send(event, sink);
        }
        self.send_text(ready.get(from..).unwrap_or_default(), sink);
        for (at, _) in &mut self.waiting {
            *at -= bytes;
        }
    }

    fn send_text(&self, text: &str, sink: &mut impl FnMut(Event<'_>)) {
        if let Some(part) = self.open.filter(|_| !text.is_empty()) {
            let delta = Delta::Text(Str::escape(text));
            sink(Event::Delta { choice: self.index, part, delta });
        }
    }

    fn send(&mut self, event: Waiting, sink: &mut impl FnMut(Event<'_>)) {
        let choice = self.index;
        sink(match event {
            Waiting::Start(part) => {
                self.open = Some(part);
                Event::PartStart { choice, part, header: PartHeader::Text }
            }
            Waiting::Delta(part, delta) => Event::Delta { choice, part, delta },
            Waiting::Meta(part, meta) => Event::PartMeta { choice, part, meta },
            Waiting::End(part, complete) => {
                self.open = None;
                Event::PartEnd { choice, part, complete }
            }
        });
    }
}

/// The sequence that is complete first, and where it begins.
fn find<'s, 'n>(sequences: &'s [Finder<'n>], text: &str) -> Option<(usize, &'s Finder<'n>)> {
    let found = sequences.iter().filter_map(|sequence| Some((sequence.find(text.as_bytes())?, sequence)));
    found.min_by_key(|(at, sequence)| (at + sequence.needle().len(), *at))
}

/// How many bytes at the end of `text` may be the beginning of a sequence.
fn tail(sequences: &[Finder<'_>], text: &str) -> usize {
    let text = text.as_bytes();
    let longest = sequences.iter().map(|sequence| sequence.needle().len()).max().unwrap_or(0);
    let from = text.len().saturating_sub(longest.saturating_sub(1));
    let ends = (from..text.len()).filter_map(|at| text.get(at..));
    ends.map(|end| (end.len(), end))
        .find(|(_, end)| sequences.iter().any(|sequence| sequence.needle().starts_with(end)))
        .map_or(0, |(length, _)| length)
}

impl Response<'_> {
    /// The answer up to the first of these stop sequences, as [`StopFilter`] ends a stream; `None` if none of
    /// them is in it. Counts stay: the upstream has said all of it.
    #[must_use]
    pub fn cut_at(&self, sequences: &[String]) -> Option<Response<'static>> {
        let mut filter = StopFilter::new(sequences, usize::MAX);
        let mut collector = Collector::default();
        self.replay(|event| filter.event(event, &mut |event| collector.event(event)));
        collector.finish().ok().filter(|_| filter.has_cut())
    }
}

#[cfg(test)]
mod tests;
