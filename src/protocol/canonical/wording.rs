//! What the gateway says in a conversation in its own words, where a protocol or a model has no member for it.

use super::{Format, Part, PartKind, Role, Turn};
use crate::protocol::Capabilities;
use crate::protocol::json::Str;

/// An instruction in mid-conversation as text of the user's, for whoever takes none there (T122).
pub(in crate::protocol) fn marked_system(text: &Str<'_>) -> Str<'static> {
    let mut marked = Str::from_escaped(r"<system>\n");
    marked.push(text);
    marked.push(&Str::from_escaped(r"\n</system>"));
    marked
}

/// A system turn in mid-conversation as one of the user's, where it stands.
pub(in crate::protocol) fn said_by_user<'t>(turn: &'t Turn<'_>) -> Turn<'t> {
    let marked = |part: &'t Part<'_>| match &part.kind {
        PartKind::Text { text } if text.is_empty() => None,
        PartKind::Text { text } => Some(Part { cache: part.cache, ..Part::text(marked_system(text)) }),
        _ => Some(part.clone()),
    };
    Turn { role: Role::User, parts: turn.parts.iter().filter_map(marked).collect() }
}

impl Format<'_> {
    /// Whether the shape can only be asked for in words: a schema, of a model that is not held to any (8.2).
    pub(in crate::protocol) fn must_be_said(&self, capabilities: &Capabilities) -> bool {
        matches!(self, Format::JsonSchema { .. }) && !capabilities.structured_output
    }

    /// The shape of the answer as an instruction, for models that are not held to it (section 2.10).
    pub(in crate::protocol) fn as_instruction(&self) -> Str<'static> {
        let mut text = String::from("Respond only with one JSON object.");
        if let Format::JsonSchema { schema, .. } = self {
            text.push_str(" It must match this JSON schema:\n");
            text.push_str(schema.as_str());
        }
        Str::from(text)
    }
}
