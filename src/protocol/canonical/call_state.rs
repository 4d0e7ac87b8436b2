//! State that a provider wants back with a call of a tool, or with a text that it signed (T102), apart from the answer
//! that it came in (1.8: the second line of defence).
//!
//! Some clients cannot carry it and some drop it. [`Recorder`] takes it off an answer, and [`restore`] puts it back
//! into a history that lacks it. Where it waits in between, and for how long, is not decided here.

use std::mem;
use std::sync::Arc;

use super::Opaque;
use super::event::{Delta, Event, PartHeader};
use super::request::{Part, PartKind, Request, Role, Turn};
use super::response::Response;
use super::restoration::Restoration;
use super::signed_text::TextKey;
use crate::protocol::json::Str;
use crate::protocol::{Dialect, Protocol};

/// What belongs to one call: the reasoning since the call before it, and its own signature. Or to one text: its
/// signature alone.
#[derive(Clone, Debug, Default)]
pub struct CallState {
    thoughts: Vec<Thought>,
    /// Whether something was said between the call before it and this one.
    has_text: bool,
    own: Option<Opaque<'static>>,
    /// Whether the signature came after its text, on a part without text (T103).
    is_apart: bool,
}

#[derive(Clone, Debug)]
struct Thought {
    part: Part<'static>,
    /// Whether it came after what was said.
    follows_text: bool,
}

impl CallState {
    /// Bytes that it takes.
    #[must_use]
    pub fn size(&self) -> usize {
        let state = |opaque: &Opaque<'_>| opaque.value.len() + opaque.item_id.as_ref().map_or(0, Str::len);
        let thought = |thought: &Thought| {
            let text = match &thought.part.kind {
                PartKind::Reasoning { text, .. } => text.len(),
                _ => 0,
            };
            size_of::<Thought>() + text + thought.part.opaque.as_ref().map_or(0, state)
        };
        size_of::<Self>()
            + self.thoughts.iter().map(thought).sum::<usize>()
            + self.own.as_ref().map_or(0, state)
    }

    /// Adds the call or text to a turn, and around it what belongs there. The turn's parts from `start` on came since
    /// the call before it.
    fn put<'a>(&self, call: Part<'a>, start: usize, turn: &mut Vec<Part<'a>>) {
        if self.is_apart {
            turn.push(call);
            return turn.push(Part { opaque: self.own.clone(), ..Part::text(Str::EMPTY) });
        }
        let said = turn.get(start..).unwrap_or_default();
        // Reasoning without the words that followed it would be refused (T107).
        if !self.thoughts.is_empty() && said.iter().any(is_said) == self.has_text {
            let said = turn.split_off(start.min(turn.len()));
            let thoughts = |follows_text| {
                let own = self.thoughts.iter().filter(move |thought| thought.follows_text == follows_text);
                own.map(|thought| thought.part.clone())
            };
            turn.extend(thoughts(false));
            turn.extend(said.into_iter().filter(|part| !matches!(part.kind, PartKind::Reasoning { .. })));
            turn.extend(thoughts(true));
        }
        turn.push(Part { opaque: call.opaque.or_else(|| self.own.clone()), ..call });
    }
}

fn is_said(part: &Part<'_>) -> bool {
    match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => !text.is_blank(),
        _ => false,
    }
}

/// Takes the state of calls and of signed texts off one answer. Of several choices only the first counts.
#[derive(Debug)]
pub struct Recorder {
    reasoning: Kept,
    limit: usize,
    open: Open,
    state: CallState,
    /// Bytes of reasoning so far.
    size: usize,
    /// Whether the upstream signs texts.
    signs_text: bool,
    /// The text before.
    last_text: Option<Str<'static>>,
    restoration: Arc<Restoration>,
}

/// Which reasoning an upstream takes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kept {
    Nothing,
    /// What only its provider could have made.
    Signed,
    All,
}

#[derive(Debug, Default)]
enum Open {
    #[default]
    Other,
    Text {
        key: Option<TextKey>,
        opaque: Option<Opaque<'static>>,
    },
    Reasoning {
        text: String,
        redacted: bool,
        opaque: Option<Opaque<'static>>,
    },
    Call {
        id: Str<'static>,
        opaque: Option<Opaque<'static>>,
    },
}

impl Recorder {
    /// For an answer of this upstream; reasoning of more than `limit` bytes before one call is passed over.
    #[must_use]
    pub fn new(upstream: Protocol, dialect: &Dialect, limit: usize) -> Self {
        let reasoning = match upstream {
            Protocol::Anthropic | Protocol::Responses => Kept::Signed,
            Protocol::OpenAi if dialect.reasoning_replay => Kept::All,
            // Gemini's signatures stand on calls and on texts.
            Protocol::OpenAi | Protocol::Gemini => Kept::Nothing,
        };
        Recorder {
            reasoning,
            limit,
            open: Open::Other,
            state: CallState::default(),
            size: 0,
            signs_text: upstream == Protocol::Gemini,
            last_text: None,
            restoration: Arc::default(),
        }
    }

    /// Calls are known by the ids that clients get.
    #[must_use]
    pub fn restored_by(mut self, restoration: &Arc<Restoration>) -> Self {
        self.restoration = restoration.clone();
        self
    }

    /// Takes one event. When a call has ended: its id and its state, if it has any. A signed text is known by a key
    /// in the place of an id.
    pub fn event(&mut self, event: &Event<'_>) -> Option<(Str<'static>, CallState)> {
        match event {
            Event::Delta { choice: 0, delta: Delta::Text(more), .. } => match &mut self.open {
                Open::Text { key, .. } => {
                    self.state.has_text |= !more.is_blank();
                    if let Some(key) = key {
                        key.push(more);
                    }
                }
                Open::Reasoning { text, .. }
                    if self.size.saturating_add(text.len() + more.len()) <= self.limit =>
                {
                    text.push_str(more.as_escaped());
                }
                Open::Reasoning { .. } => self.size = usize::MAX,
                _ => {}
            },
            Event::PartStart { choice: 0, header, .. } => self.open = self.opened(header),
            Event::PartMeta { choice: 0, meta, .. } => {
                if let Open::Reasoning { opaque, .. }
                | Open::Call { opaque, .. }
                | Open::Text { opaque, .. } = &mut self.open
                {
                    *opaque = Some(exact(&meta.opaque));
                }
            }
            Event::PartEnd { choice: 0, complete, .. } => match mem::take(&mut self.open) {
                Open::Reasoning { text, redacted, opaque } => self.reasoned(text, redacted, opaque),
                Open::Call { id, opaque } if *complete => {
                    return Some(self.restoration.client_id(id)).zip(self.called(opaque));
                }
                Open::Text { key: Some(key), opaque } => return self.said(key, opaque),
                _ => {}
            },
            _ => {}
        }
        None
    }

    /// Takes a whole answer: the ids of its calls and the keys of its texts, with their state.
    pub fn whole(&mut self, response: &Response<'_>, mut sink: impl FnMut(Str<'static>, CallState)) {
        for part in response.choices.first().map(|choice| choice.parts.as_slice()).unwrap_or_default() {
            let opaque = part.opaque.as_ref();
            match &part.kind {
                PartKind::Reasoning { text, redacted } if self.reasoning != Kept::Nothing => {
                    self.reasoned(text.as_escaped().to_owned(), *redacted, opaque.map(exact));
                }
                PartKind::ToolCall { id, .. } => {
                    if let Some(state) = self.called(opaque.map(exact)) {
                        sink(self.restoration.client_id(id.clone().into_owned()), state);
                    }
                }
                _ => {
                    self.state.has_text |= is_said(part);
                    if let PartKind::Text { text } | PartKind::Refusal { text } = &part.kind
                        && self.signs_text
                        && let Some((key, state)) = self.said(TextKey::of(text), opaque.map(exact))
                    {
                        sink(key, state);
                    }
                }
            }
        }
    }

    fn opened(&mut self, header: &PartHeader<'_>) -> Open {
        match header {
            PartHeader::Text | PartHeader::Refusal => {
                Open::Text { key: self.signs_text.then(TextKey::default), opaque: None }
            }
            // Where reasoning is signed, calls are not.
            PartHeader::ToolCall { .. }
                if self.reasoning == Kept::Signed && self.state.thoughts.is_empty() =>
            {
                self.called(None);
                Open::Other
            }
            PartHeader::ToolCall { id, .. } => Open::Call { id: id.clone().into_owned(), opaque: None },
            PartHeader::Reasoning | PartHeader::Redacted if self.reasoning != Kept::Nothing => {
                let redacted = matches!(header, PartHeader::Redacted);
                Open::Reasoning { text: String::new(), redacted, opaque: None }
            }
            _ => Open::Other,
        }
    }

    fn reasoned(&mut self, mut text: String, redacted: bool, opaque: Option<Opaque<'static>>) {
        if self.reasoning == Kept::Signed && opaque.is_none() {
            return;
        }
        let state = opaque.as_ref().map_or(0, |opaque| opaque.value.len());
        self.size = self.size.saturating_add(text.len()).saturating_add(state);
        if self.size > self.limit {
            // Half of it is worth nothing.
            self.state.thoughts.clear();
            return;
        }
        text.shrink_to_fit();
        let kind = PartKind::Reasoning { text: Str::from_escaped(text), redacted };
        let part = Part { kind, cache: None, opaque };
        self.state.thoughts.push(Thought { part, follows_text: self.state.has_text });
    }

    /// A text is over. One that is only a signature belongs to the text before it.
    fn said(&mut self, key: TextKey, own: Option<Opaque<'static>>) -> Option<(Str<'static>, CallState)> {
        let key = key.finish();
        let is_apart = key.is_none();
        if !is_apart {
            self.last_text = key;
        }
        let state = CallState { own, is_apart, ..CallState::default() };
        self.last_text.clone().zip(state.own.is_some().then_some(state))
    }

    fn called(&mut self, own: Option<Opaque<'static>>) -> Option<CallState> {
        let mut state = mem::take(&mut self.state);
        self.last_text = None;
        if mem::take(&mut self.size) > self.limit {
            state.thoughts.clear();
        }
        state.thoughts.shrink_to_fit();
        state.own = own;
        (!state.thoughts.is_empty() || state.own.is_some()).then_some(state)
    }
}

/// A copy that takes no more room than it needs.
fn exact(opaque: &Opaque<'_>) -> Opaque<'static> {
    let copy = |text: &Str<'_>| Str::from_escaped(text.as_escaped().to_owned());
    Opaque {
        provider: opaque.provider,
        kind: opaque.kind,
        family: opaque.family,
        item_id: opaque.item_id.as_ref().map(copy),
        value: copy(&opaque.value),
    }
}

/// What the user said last, before an answer: it tells apart calls of servers that count their ids anew in every
/// conversation.
#[must_use]
pub fn last_said<'r, 'a>(turns: &'r [Turn<'a>]) -> Option<&'r Str<'a>> {
    turns.iter().rev().filter(|turn| turn.role == Role::User).find_map(|turn| {
        turn.parts.iter().rev().find_map(|part| match &part.kind {
            PartKind::Text { text } => Some(text),
            _ => None,
        })
    })
}

/// Gives calls and texts in the history what `find` knows of them, where the client left it out; `find` gets what the
/// user said before, and the id of a call or the key of a text. Says how many were given something.
pub fn restore(
    request: &mut Request<'_>,
    upstream: Protocol,
    mut find: impl FnMut(Option<&Str<'_>>, &Str<'_>) -> Option<Arc<CallState>>,
) -> usize {
    let mut restored = 0;
    for at in 0..request.turns.len() {
        let (before, rest) = request.turns.split_at_mut(at);
        let Some(turn) = rest.first_mut().filter(|turn| lacks_state(turn, upstream)) else { continue };
        let said = last_said(before);
        let mut found = Vec::new();
        for (at, part) in turn.parts.iter().enumerate() {
            let state = match &part.kind {
                PartKind::ToolCall { id, .. } => find(said, id),
                PartKind::Text { text } if upstream == Protocol::Gemini => {
                    TextKey::of(text).finish().and_then(|key| find(said, &key))
                }
                _ => None,
            };
            found.extend(state.map(|state| (at, state)));
        }
        if !found.is_empty() {
            restored += found.len();
            rebuild(&mut turn.parts, found);
        }
    }
    restored
}

/// Whether the model called or said something, and nothing is there that its provider made for itself.
fn lacks_state(turn: &Turn<'_>, upstream: Protocol) -> bool {
    let has_state = |part: &Part<'_>| match (&part.opaque, upstream) {
        (None, Protocol::OpenAi) => matches!(part.kind, PartKind::Reasoning { .. }),
        (None, _) => false,
        (Some(opaque), upstream) => opaque.provider.is_behind(upstream),
    };
    turn.role == Role::Assistant
        && (upstream == Protocol::Gemini
            || turn.parts.iter().any(|part| matches!(part.kind, PartKind::ToolCall { .. })))
        && !turn.parts.iter().any(has_state)
}

fn rebuild<'a>(parts: &mut Vec<Part<'a>>, found: Vec<(usize, Arc<CallState>)>) {
    let mut found = found.into_iter().peekable();
    let old = mem::take(parts);
    let mut start = 0;
    for (at, part) in old.into_iter().enumerate() {
        let is_call = matches!(part.kind, PartKind::ToolCall { .. });
        match found.next_if(|(owner, _)| *owner == at) {
            Some((_, state)) => state.put(part, start, parts),
            None => parts.push(part),
        }
        if is_call {
            start = parts.len();
        }
    }
}

#[cfg(test)]
mod tests;
