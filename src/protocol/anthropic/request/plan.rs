//! The conversation in the order and shape that Anthropic takes (section 2.5): user and assistant in
//! turn, results before all else, nothing blank, nothing that another provider signed.

use std::collections::HashMap;

use super::encode::Context;
use crate::protocol::canonical::{
    Action, CacheMark, Losses, Opaque, Part, PartKind, Provider, Role, Turn, Unsupported, marked_system,
};
use crate::protocol::json::Str;
use crate::protocol::{Protocol, RequestError};

/// What stands in for a user who has to speak.
const CONTINUE: &str = "Continue.";

/// One message to send.
#[derive(Debug)]
pub(super) struct Message<'p> {
    /// User, assistant, or system in mid-conversation.
    pub(super) role: Role,
    pub(super) items: Vec<Item<'p>>,
}

/// One block to send.
#[derive(Debug)]
pub(super) struct Item<'p> {
    pub(super) block: Block<'p>,
    pub(super) cache: Option<CacheMark>,
}

/// What a block is made of.
#[derive(Debug)]
pub(super) enum Block<'p> {
    /// A part of the request.
    Part(&'p Part<'p>),
    /// Text that had to be made.
    Text(Str<'p>),
}

impl<'p> Item<'p> {
    fn text(text: impl Into<Str<'p>>) -> Self {
        Item { block: Block::Text(text.into()), cache: None }
    }

    /// The text, if it is a text block.
    pub(super) fn as_text(&self) -> Option<&Str<'p>> {
        match &self.block {
            Block::Text(text)
            | Block::Part(Part { kind: PartKind::Text { text } | PartKind::Refusal { text }, .. }) => {
                Some(text)
            }
            Block::Part(_) => None,
        }
    }

    /// The part, if it is one of the request.
    pub(super) fn part(&self) -> Option<&'p Part<'p>> {
        match self.block {
            Block::Part(part) => Some(part),
            Block::Text(_) => None,
        }
    }

    fn is_result(&self) -> bool {
        matches!(self.part(), Some(Part { kind: PartKind::ToolResult { .. }, .. }))
    }
}

/// Plans the messages of `context`'s request.
pub(super) fn plan<'p>(context: &Context<'p>, losses: &mut Losses) -> Result<Vec<Message<'p>>, RequestError> {
    let mut messages = Vec::new();
    for turn in &context.request.turns {
        let items = items(context, turn, losses)?;
        let role = match turn.role {
            Role::Developer => Role::System,
            role => role,
        };
        push(&mut messages, role, items);
    }
    let mut messages = settle_system(context, messages, losses);
    results_first(&mut messages, losses);
    close(context, &mut messages, losses);
    if messages.is_empty() {
        return Err(RequestError::invalid("messages", "nothing is left to send"));
    }
    if messages.first().is_some_and(|first| first.role != Role::User) {
        losses.add(Action::Insert, "user");
        messages.insert(0, Message { role: Role::User, items: vec![Item::text(CONTINUE)] });
    }
    Ok(messages)
}

/// Adjacent turns of one role are one message; the API would join them itself, but then cache marks
/// would count differently than planned.
fn push<'p>(messages: &mut Vec<Message<'p>>, role: Role, items: Vec<Item<'p>>) {
    if items.is_empty() {
        return;
    }
    match messages.last_mut() {
        Some(last) if last.role == role => last.items.extend(items),
        _ => messages.push(Message { role, items }),
    }
}

fn items<'p>(
    context: &Context<'p>,
    turn: &'p Turn<'p>,
    losses: &mut Losses,
) -> Result<Vec<Item<'p>>, RequestError> {
    let mut items: Vec<Item<'p>> = Vec::with_capacity(turn.parts.len());
    let mut had_blank = false;
    for part in &turn.parts {
        let is_blank = is_blank(context, part);
        had_blank |= is_blank;
        if is_sendable(turn.role, part, losses)? && !is_blank {
            // Thinking blocks take no mark (T130).
            let cache = part.cache.filter(|_| !matches!(part.kind, PartKind::Reasoning { .. }));
            items.push(Item { block: Block::Part(part), cache });
        } else if let (Some(mark), Some(last)) = (part.cache, items.last_mut()) {
            // The prefix up to here is still worth caching.
            last.cache.get_or_insert(mark);
        }
    }
    if had_blank && items.is_empty() && turn.role == Role::User {
        let message = "text must hold more than white space";
        return Err(RequestError::invalid("messages", message));
    }
    Ok(items)
}

/// The API refuses text of nothing but white space. Beside other content it says nothing; alone it
/// would be an empty question (T125). Anthropic's own clients replay what its own models wrote, and
/// that it takes.
fn is_blank(context: &Context<'_>, part: &Part<'_>) -> bool {
    match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => {
            !context.is_native() && !text.is_empty() && text.is_blank()
        }
        _ => false,
    }
}

fn is_sendable(role: Role, part: &Part<'_>, losses: &mut Losses) -> Result<bool, RequestError> {
    match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => {
            note_foreign(part.opaque.as_ref(), losses);
            Ok(!text.is_empty())
        }
        PartKind::Reasoning { .. } => {
            let native = is_native(part.opaque.as_ref());
            if !native {
                losses.drop("reasoning");
            }
            Ok(native)
        }
        PartKind::Media(_) if role == Role::Assistant => {
            losses.drop("media");
            Ok(false)
        }
        PartKind::Opaque { protocol: Protocol::Anthropic, .. } => Ok(true),
        PartKind::Opaque { tag, .. } if role == Role::User => {
            let message = format!("a part of type {:?} cannot be sent to Anthropic", tag.decode());
            Err(Unsupported::new("messages", message).into())
        }
        PartKind::Opaque { tag, .. } => {
            losses.add_named(Action::Drop, &tag.decode());
            Ok(false)
        }
        PartKind::WebSearchCall(_) => {
            losses.drop("web_search_call");
            Ok(false)
        }
        PartKind::ToolCall { .. } => {
            note_foreign(part.opaque.as_ref(), losses);
            Ok(true)
        }
        PartKind::Media(_) | PartKind::ToolResult { .. } => Ok(true),
    }
}

/// Whether the state is Anthropic's own: only that goes back to it (T104).
pub(super) fn is_native(opaque: Option<&Opaque<'_>>) -> bool {
    opaque.is_some_and(|opaque| opaque.provider == Provider::Anthropic && !opaque.value.is_empty())
}

fn note_foreign(opaque: Option<&Opaque<'_>>, losses: &mut Losses) {
    if opaque.is_some() {
        losses.drop("signature");
    }
}

/// A system message in mid-conversation stays where it is: as such where model and position allow,
/// else as marked user text. Never in front, where it would mean something else (T122).
fn settle_system<'p>(
    context: &Context<'p>,
    messages: Vec<Message<'p>>,
    losses: &mut Losses,
) -> Vec<Message<'p>> {
    let mut settled: Vec<Message<'p>> = Vec::with_capacity(messages.len());
    let mut rest = messages.into_iter().peekable();
    while let Some(message) = rest.next() {
        if message.role != Role::System {
            push(&mut settled, message.role, message.items);
            continue;
        }
        let follows = settled.last().is_some_and(may_precede_system);
        let leads = rest.peek().is_none_or(|next| next.role == Role::Assistant);
        if context.target.capabilities.mid_system && follows && leads {
            push(&mut settled, Role::System, message.items);
        } else {
            losses.add(Action::Approx, "system.mid");
            push(&mut settled, Role::User, as_user(message.items, losses));
        }
    }
    settled
}

fn may_precede_system(message: &Message<'_>) -> bool {
    let ends_in_server_tool =
        matches!(message.items.last().and_then(Item::part), Some(Part { kind: PartKind::Opaque { .. }, .. }));
    message.role == Role::User || ends_in_server_tool
}

fn as_user<'p>(items: Vec<Item<'p>>, losses: &mut Losses) -> Vec<Item<'p>> {
    let mut wrapped = Vec::with_capacity(items.len());
    for item in items {
        let Some(text) = item.as_text() else {
            losses.drop("system.parts");
            continue;
        };
        wrapped.push(Item { block: Block::Text(marked_system(text)), cache: item.cache });
    }
    wrapped
}

/// Results come first in their message, in the order of the calls they answer (T063).
fn results_first(messages: &mut [Message<'_>], losses: &mut Losses) {
    let mut calls = HashMap::new();
    for message in messages {
        if message.role == Role::Assistant {
            calls = call_order(message);
        } else if message.role == Role::User && message.items.iter().any(Item::is_result) {
            let rank = |item: &Item<'_>| match item.part().map(|part| &part.kind) {
                Some(PartKind::ToolResult { call_id, .. }) => {
                    calls.get(call_id.decode().as_ref()).copied().unwrap_or(usize::MAX - 1)
                }
                _ => usize::MAX,
            };
            if !message.items.is_sorted_by_key(rank) {
                losses.add(Action::Reorder, "tool_result");
                message.items.sort_by_cached_key(rank);
            }
        }
    }
}

fn call_order(message: &Message<'_>) -> HashMap<String, usize> {
    let calls = message.items.iter().filter_map(|item| match item.part().map(|part| &part.kind) {
        Some(PartKind::ToolCall { id, .. }) => Some(id.decode().into_owned()),
        _ => None,
    });
    calls.zip(0..).collect()
}

/// What the last message may be: a half-begun answer only where the model continues it (T126), and
/// then without white space at its end (T127). Anthropic's own clients know what they do.
fn close(context: &Context<'_>, messages: &mut Vec<Message<'_>>, losses: &mut Losses) {
    let Some(last) = messages.last_mut().filter(|last| last.role == Role::Assistant) else { return };
    if context.is_native() {
        return;
    }
    if !context.target.capabilities.prefill {
        losses.add(Action::Insert, "user");
        messages.push(Message { role: Role::User, items: vec![Item::text(CONTINUE)] });
        return;
    }
    if let Some(item) = last.items.last_mut()
        && let Some(text) = item.as_text()
    {
        let text = text.decode();
        let trimmed = text.trim_end();
        if trimmed.len() < text.len() {
            item.block = Block::Text(Str::from(trimmed.to_owned()));
        }
    }
}
