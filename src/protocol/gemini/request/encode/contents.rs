//! `contents`: which part goes into which content (2.5).
//!
//! Roles alternate, the user speaks first, and the responses to a step's calls stand alone in one
//! content, in the order of the calls (T064, T128).

use std::collections::HashMap;

use super::Context;
use super::parts;
use crate::protocol::RequestError;
use crate::protocol::canonical::{
    Action, Losses, MediaSource, Part, PartKind, Role, Turn, Unsupported, marked_system,
};
use crate::protocol::json::{Str, Writer};

/// What is said where a turn of the user's is missing.
const FILLER: &str = "Continue.";

/// One content to write.
pub(super) struct Content<'c> {
    pub(super) is_model: bool,
    pub(super) pieces: Vec<Piece<'c>>,
}

/// One part to write.
pub(super) enum Piece<'c> {
    /// A part of the hub.
    Part(&'c Part<'c>),
    /// A result, with the name of the function that gave it.
    Response(&'c Part<'c>, Str<'c>),
    /// Text of the gateway's making.
    Text(Str<'c>),
}

/// Writes `contents`.
pub(super) fn write(
    context: &Context<'_>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    let mut plan = Plan::new(context);
    for turn in &context.request.turns {
        plan.turn(turn, losses)?;
    }
    plan.flush_user(losses)?;
    let mut contents = plan.contents;
    contents.retain(|content| !content.pieces.is_empty());
    fill_ends(context, &mut contents, losses)?;
    // Signatures are enforced from the last thing that the user said on (2.9, replay rule 4).
    let loop_start = contents
        .iter()
        .rposition(|content| {
            !content.is_model && content.pieces.iter().any(|piece| !matches!(piece, Piece::Response(..)))
        })
        .unwrap_or(0);
    w.key("contents").begin_array();
    for (at, content) in contents.iter().enumerate() {
        let is_loop = context.has_levels() && at > loop_start;
        parts::write_content(context, content, is_loop, losses, w)?;
    }
    w.end_array();
    Ok(())
}

/// The user speaks first, and an answer begun by the client is not continued (T126, T128).
fn fill_ends(
    context: &Context<'_>,
    contents: &mut Vec<Content<'_>>,
    losses: &mut Losses,
) -> Result<(), Unsupported> {
    let filler = || Content { is_model: false, pieces: vec![Piece::Text(Str::from_escaped(FILLER))] };
    let (Some(first), Some(last)) = (contents.first(), contents.last()) else {
        return Err(Unsupported::new("messages", "there is nothing to answer"));
    };
    let (first_is_model, last_is_model) = (first.is_model, last.is_model);
    if last_is_model && !context.target.capabilities.prefill {
        losses.add(Action::Insert, "user");
        contents.push(filler());
    } else if last_is_model && !context.is_native() {
        losses.add(Action::Approx, "prefill");
    }
    if first_is_model {
        losses.add(Action::Insert, "user");
        contents.insert(0, filler());
    }
    Ok(())
}

struct Plan<'c> {
    context: &'c Context<'c>,
    contents: Vec<Content<'c>>,
    /// Name and place of every call so far, by id.
    calls: HashMap<String, (Str<'c>, usize)>,
    /// The user's run: results, and everything else.
    results: Vec<&'c Part<'c>>,
    others: Vec<Piece<'c>>,
}

impl<'c> Plan<'c> {
    fn new(context: &'c Context<'c>) -> Self {
        Plan { context, contents: Vec::new(), calls: HashMap::new(), results: Vec::new(), others: Vec::new() }
    }

    fn turn(&mut self, turn: &'c Turn<'c>, losses: &mut Losses) -> Result<(), RequestError> {
        match turn.role {
            Role::Assistant => {
                self.flush_user(losses)?;
                self.model(&turn.parts);
            }
            Role::User => {
                for part in &turn.parts {
                    match &part.kind {
                        PartKind::ToolResult { .. } => {
                            if !self.others.is_empty() && !self.context.is_native() {
                                losses.add(Action::Reorder, "tool_result");
                            }
                            self.results.push(part);
                        }
                        _ => self.others.push(Piece::Part(part)),
                    }
                }
            }
            Role::System | Role::Developer => self.system(turn, losses),
        }
        Ok(())
    }

    /// Instructions in mid-conversation stay where they are, as marked text of the user's (T122).
    fn system(&mut self, turn: &'c Turn<'c>, losses: &mut Losses) {
        for part in &turn.parts {
            match &part.kind {
                PartKind::Text { text } if !text.is_empty() => {
                    losses.add(Action::Approx, "system.mid");
                    self.others.push(Piece::Text(marked_system(text)));
                }
                _ => self.others.push(Piece::Part(part)),
            }
        }
    }

    fn model(&mut self, turn: &'c [Part<'c>]) {
        for part in turn {
            if let PartKind::ToolCall { id, name, .. } = &part.kind {
                let order = self.calls.len();
                self.calls.insert(id.decode().into_owned(), (name.borrowed(), order));
            }
        }
        let pieces = turn.iter().filter(|part| !is_blank(part)).map(Piece::Part);
        match self.contents.last_mut().filter(|last| last.is_model) {
            Some(last) => last.pieces.extend(pieces),
            None => self.contents.push(Content { is_model: true, pieces: pieces.collect() }),
        }
    }

    /// Ends the user's run: responses first, in call order, then everything else.
    fn flush_user(&mut self, losses: &mut Losses) -> Result<(), RequestError> {
        let mut responses = Vec::with_capacity(self.results.len());
        let mut attached = Vec::new();
        for part in std::mem::take(&mut self.results) {
            let PartKind::ToolResult { call_id, name, content, .. } = &part.kind else { continue };
            let known = self.calls.get(&*call_id.decode());
            let order = known.map_or(usize::MAX, |(_, order)| *order);
            let name = known.map(|(name, _)| name.clone()).or_else(|| name.as_ref().map(Str::borrowed));
            let Some(name) = name else {
                // Cutting it out of the id would be guessing (T066).
                return Err(RequestError::invalid("messages", "a tool result answers no known call"));
            };
            responses.push((order, Piece::Response(part, name)));
            if !self.context.target.capabilities.media_in_results {
                attached.extend(content.iter().filter(|p| is_media(p)).map(Piece::Part));
            }
        }
        if !responses.is_sorted_by_key(|(order, _)| *order) {
            losses.add(Action::Reorder, "tool_result");
            responses.sort_by_key(|(order, _)| *order);
        }
        if !attached.is_empty() {
            losses.add(Action::Approx, "tool_result.media");
        }
        let responses: Vec<_> = responses.into_iter().map(|(_, piece)| piece).collect();
        attached.extend(std::mem::take(&mut self.others).into_iter().filter(|piece| match piece {
            Piece::Part(part) => !is_blank(part),
            _ => true,
        }));
        for pieces in [responses, attached] {
            if !pieces.is_empty() {
                self.contents.push(Content { is_model: false, pieces });
            }
        }
        Ok(())
    }
}

/// Empty texts are refused, unless they carry a signature (T103).
fn is_blank(part: &Part<'_>) -> bool {
    match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => text.is_empty() && part.opaque.is_none(),
        _ => false,
    }
}

pub(super) fn is_media(part: &Part<'_>) -> bool {
    matches!(&part.kind, PartKind::Media(media) if !matches!(media.source, MediaSource::Text(_)))
}
