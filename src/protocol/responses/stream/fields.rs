//! What an upstream's event says, and how the parts it speaks of are told apart.

use crate::protocol::canonical::{PartHeader, PartKind, TokenLogprob};
use crate::protocol::json::{self, Reader, Str};

/// What tells parts apart. Servers that number everything 0 still differ in kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) item: u64,
    pub(super) part: u64,
    pub(super) slot: Slot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Slot {
    Text,
    Refusal,
    Reasoning,
    Call,
    Whole,
}

impl Slot {
    pub(super) fn of(kind: &PartKind<'_>) -> Self {
        match kind {
            PartKind::Text { .. } => Slot::Text,
            PartKind::Refusal { .. } => Slot::Refusal,
            PartKind::Reasoning { .. } => Slot::Reasoning,
            PartKind::ToolCall { .. } => Slot::Call,
            _ => Slot::Whole,
        }
    }

    pub(super) fn header(self) -> Option<PartHeader<'static>> {
        match self {
            Slot::Text => Some(PartHeader::Text),
            Slot::Refusal => Some(PartHeader::Refusal),
            Slot::Reasoning => Some(PartHeader::Reasoning),
            // A call without its opening event has no id and no name.
            Slot::Call | Slot::Whole => None,
        }
    }
}

/// A part that has begun.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) key: Key,
    /// What came of it, escaped; of reasoning, the current segment.
    pub(super) sent: String,
    /// Which segment of reasoning.
    pub(super) segment: Option<Segment>,
    pub(super) citations: usize,
    pub(super) logprobs: usize,
}

/// A segment of reasoning: of its summary, or of its text. What comes first is what is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Segment {
    pub(super) summary: bool,
    pub(super) index: u64,
}

/// The members of an event that matter, before its type is known.
#[derive(Debug, Default)]
pub(super) struct Fields<'e> {
    pub(super) kind: Str<'e>,
    pub(super) item_index: u64,
    pub(super) content_index: u64,
    pub(super) summary_index: u64,
    pub(super) delta: Option<Str<'e>>,
    pub(super) text: Option<Str<'e>>,
    pub(super) item: Option<Reader<'e>>,
    pub(super) part: Option<Reader<'e>>,
    pub(super) annotation: Option<Reader<'e>>,
    pub(super) logprobs: Vec<TokenLogprob<'e>>,
    pub(super) response: Option<Reader<'e>>,
    pub(super) error: bool,
}

impl<'e> Fields<'e> {
    pub(super) fn read(data: &'e str) -> Result<Self, json::Error> {
        let mut f = Fields::default();
        let mut reader = Reader::new(data);
        reader.object(|key, value| f.member(key, value))?;
        reader.end()?;
        Ok(f)
    }

    fn member(&mut self, key: &str, value: &mut Reader<'e>) -> Result<(), json::Error> {
        match key {
            "type" => self.kind = value.lenient_string()?.unwrap_or_default(),
            "delta" => self.delta = value.lenient_string()?,
            "output_index" => self.item_index = value.lenient_u64()?.unwrap_or(0),
            "content_index" => self.content_index = value.lenient_u64()?.unwrap_or(0),
            "summary_index" => self.summary_index = value.lenient_u64()?.unwrap_or(0),
            "text" | "refusal" | "arguments" | "input" => self.text = value.lenient_string()?,
            "item" => self.item = Some(value.clone()),
            "part" => self.part = Some(value.clone()),
            "annotation" => self.annotation = Some(value.clone()),
            "logprobs" => self.logprobs = TokenLogprob::read_list(value)?,
            "response" => self.response = Some(value.clone()),
            "error" => self.error = !value.null()?,
            _ => {}
        }
        Ok(())
    }

    pub(super) fn key(&self, slot: Slot) -> Key {
        let part = if matches!(slot, Slot::Text | Slot::Refusal) { self.content_index } else { 0 };
        Key { item: self.item_index, part, slot }
    }
}

/// What `whole` has beyond `sent`; `None` if it is another text. Both are escaped, perhaps differently.
pub(super) fn suffix<'a>(sent: &str, whole: &'a Str<'_>) -> Option<Str<'a>> {
    if let Some(rest) = whole.as_escaped().strip_prefix(sent) {
        return Some(Str::from_escaped(rest));
    }
    let sent = Str::from_escaped(sent);
    let rest = whole.decode().strip_prefix(sent.decode().as_ref())?.to_owned();
    Some(Str::escape(rest))
}
