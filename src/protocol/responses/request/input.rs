//! The flat list of items, cut into turns.

use std::borrow::Cow;

use super::content;
use super::tools::Toolbox;
use crate::protocol::canonical::envelope::{self, Opened, TEXT};
use crate::protocol::canonical::{Opaque, OpaqueKind, Part, PartKind, Provider, Role, SystemBlock, Turn};
use crate::protocol::json::{Kind, Later, Raw, Reader, Str};
use crate::protocol::responses::item::{arguments, flat_name, reasoning_text};
use crate::protocol::responses::native::Native;
use crate::protocol::{Protocol, RequestError};

/// What `input` holds, in the hub's order.
#[derive(Default)]
pub(super) struct Conversation<'a> {
    pub(super) system: Vec<SystemBlock<'a>>,
    pub(super) turns: Vec<Turn<'a>>,
    /// Tools that came as items (T088).
    pub(super) tools: Toolbox<'a>,
    /// Whether reasoning was left out because its text no longer fits its state.
    pub(super) mutated: bool,
    /// State without text that waits for the call it belongs to (1.8, carriers).
    carried: Option<Opened>,
    /// Ids of native calls and their call ids: some outputs name the former.
    native_ids: Vec<(Str<'a>, Str<'a>)>,
    /// Where native calls stand: turn and part.
    native_calls: Vec<(Native, usize, usize)>,
}

/// The members of an item, before its type is known.
#[derive(Default)]
struct Item<'a> {
    kind: Str<'a>,
    role: Str<'a>,
    id: Str<'a>,
    call_id: Str<'a>,
    name: Str<'a>,
    namespace: Str<'a>,
    encrypted: Str<'a>,
    arguments: Cow<'a, str>,
    input: Cow<'a, str>,
    content: Option<Reader<'a>>,
    /// The content of a message whose type came first.
    parts: Option<Vec<Part<'a>>>,
    output: Option<Later<'a>>,
    /// What a call of a shell or a patch is to do.
    action: Option<Raw<'a>>,
    status: Str<'a>,
    summary: Option<Reader<'a>>,
    tools: Option<Reader<'a>>,
}

impl<'a> Conversation<'a> {
    /// Reads a string, or a list of items.
    pub(super) fn read(value: &mut Reader<'a>) -> Result<Self, RequestError> {
        let mut conversation = Conversation::default();
        if value.peek()? == Kind::String {
            conversation.message(Role::User, vec![Part::text(value.string()?)]);
            return Ok(conversation);
        }
        let mut index = 0;
        value.array(|item| {
            let read = conversation.item(index, item);
            index += 1;
            read
        })?;
        Ok(conversation)
    }

    /// Closes the list.
    pub(super) fn finish(mut self) -> Self {
        self.mutated |= self.carried.take().is_some();
        self
    }

    fn item(&mut self, index: usize, value: &mut Reader<'a>) -> Result<(), RequestError> {
        let mut whole = value.clone();
        if value.peek()? == Kind::String {
            self.message(Role::User, vec![Part::text(value.string()?)]);
            return Ok(());
        }
        let mut item = Item::default();
        value.object(|key, value| item.read(key, value))?;
        let kind = item.kind.clone();
        let kind = kind.decode();
        let native = Native::of_item(&kind);
        if !matches!(&*kind, "function_call" | "custom_tool_call") && !matches!(native, Some((_, false))) {
            self.mutated |= self.carried.take().is_some();
        }
        match native {
            Some((tool, true)) => return self.native_result(tool, item),
            Some((tool, false)) => {
                self.native_call(tool, item);
                return Ok(());
            }
            None => {}
        }
        match &*kind {
            "" | "message" => return self.message_item(index, item),
            "reasoning" => return self.reasoning(item),
            "function_call" | "custom_tool_call" => self.call(item, kind == "custom_tool_call"),
            "function_call_output" | "custom_tool_call_output" => {
                return self.result(item, kind == "custom_tool_call_output");
            }
            "additional_tools" => {
                if let Some(mut tools) = item.tools {
                    self.tools.read(&mut tools)?;
                }
            }
            _ => {
                let raw = whole.raw()?;
                let part = PartKind::Opaque { protocol: Protocol::Responses, tag: item.kind.clone(), raw };
                self.push(foreign_role(&kind, &item.role), Part::new(part));
            }
        }
        Ok(())
    }

    fn message_item(&mut self, index: usize, item: Item<'a>) -> Result<(), RequestError> {
        let role = match &*item.role.decode() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            "developer" => Role::Developer,
            "" => return Err(RequestError::invalid(format!("input[{index}].role"), "is missing")),
            _ => {
                return Err(RequestError::invalid(
                    format!("input[{index}].role"),
                    "must be user, assistant, system or developer",
                ));
            }
        };
        let parts = match (item.parts, item.content) {
            (Some(parts), _) => parts,
            (None, Some(mut content)) => content::parts(&mut content)?,
            (None, None) => Vec::new(),
        };
        self.message(role, parts);
        Ok(())
    }

    fn message(&mut self, role: Role, parts: Vec<Part<'a>>) {
        if parts.is_empty() {
            return;
        }
        let is_system = matches!(role, Role::System | Role::Developer);
        // Only the leading run is the system prompt; what comes later stays in place (T122).
        if is_system && self.turns.is_empty() && parts.iter().all(|p| matches!(p.kind, PartKind::Text { .. }))
        {
            self.system.extend(parts.into_iter().filter_map(|part| match part.kind {
                PartKind::Text { text } => {
                    Some(SystemBlock { text, cache: part.cache, developer: role == Role::Developer })
                }
                _ => None,
            }));
            return;
        }
        match self.turns.last_mut() {
            // Reasoning, message and calls of one answer are one turn; two messages in a row are two.
            Some(turn) if role == Role::Assistant && turn.role == role && !ends_in_text(turn) => {
                turn.parts.extend(parts);
            }
            _ => self.turns.push(Turn { role, parts }),
        }
    }

    /// Appends to the turn of `role`, or begins one.
    fn push(&mut self, role: Role, part: Part<'a>) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == role && (role == Role::Assistant || ends_in_result(turn)) => {
                turn.parts.push(part);
            }
            _ => self.turns.push(Turn { role, parts: vec![part] }),
        }
    }

    fn call(&mut self, item: Item<'a>, custom: bool) {
        let id = if item.call_id.is_empty() { item.id } else { item.call_id };
        let opaque = match self.carried.take() {
            Some(opened) if opened.matches(&id) => Some(opened.opaque),
            Some(_) => {
                self.mutated = true;
                None
            }
            None => None,
        };
        let kind = PartKind::ToolCall {
            id,
            name: flat_name(&item.namespace, item.name),
            arguments: if custom { item.input } else { or_empty_object(item.arguments) },
            custom,
        };
        self.push(Role::Assistant, Part { opaque, ..Part::new(kind) });
    }

    fn result(&mut self, item: Item<'a>, custom: bool) -> Result<(), RequestError> {
        let content = match item.output {
            None => Vec::new(),
            Some(Later::Text(text)) if text.is_empty() => Vec::new(),
            Some(Later::Text(text)) => vec![Part::text(text)],
            Some(Later::Value(mut output)) => match output.peek()? {
                Kind::Null | Kind::Array => content::parts(&mut output)?,
                // An object or a number, which other servers take: its text.
                _ => vec![Part::text(Str::escape(output.raw()?.into_text()))],
            },
        };
        let kind =
            PartKind::ToolResult { call_id: item.call_id, name: None, content, is_error: false, custom };
        self.push_result(Part::new(kind));
        Ok(())
    }

    /// A call of a tool that is a function elsewhere. Nothing calls it back to its shape on the way to an upstream:
    /// the same protocol never comes this way.
    fn native_call(&mut self, tool: Native, mut item: Item<'a>) {
        if !item.id.is_empty() && !item.call_id.is_empty() {
            self.native_ids.push((item.id.clone(), item.call_id.clone()));
        }
        item.name = tool.name().into();
        item.arguments = tool.arguments(item.action.take());
        self.call(item, false);
        let parts = self.turns.last().map_or(0, |turn| turn.parts.len());
        self.native_calls.push((tool, self.turns.len().saturating_sub(1), parts.saturating_sub(1)));
    }

    /// Calls tools by the names that they have got.
    pub(super) fn rename_calls(&mut self, renamed: &[(Native, Str<'static>)]) {
        for (native, new) in renamed {
            for (_, turn, part) in self.native_calls.iter().filter(|(tool, ..)| tool == native) {
                let part = self.turns.get_mut(*turn).and_then(|turn| turn.parts.get_mut(*part));
                if let Some(Part { kind: PartKind::ToolCall { name, .. }, .. }) = part {
                    *name = new.clone();
                }
            }
        }
    }

    fn native_result(&mut self, tool: Native, item: Item<'a>) -> Result<(), RequestError> {
        let (content, is_error) = tool.result(item.output, &item.status)?;
        let call_id = if item.call_id.is_empty() {
            let known = self.native_ids.iter().find(|(id, _)| *id == item.id);
            known.map_or(item.id, |(_, call_id)| call_id.clone())
        } else {
            item.call_id
        };
        let kind = PartKind::ToolResult { call_id, name: None, content, is_error, custom: false };
        self.push_result(Part::new(kind));
        Ok(())
    }

    /// Results that follow one another are one turn.
    fn push_result(&mut self, part: Part<'a>) {
        match self.turns.last_mut() {
            Some(turn) if turn.role == Role::User && ends_in_result(turn) => turn.parts.push(part),
            _ => self.turns.push(Turn { role: Role::User, parts: vec![part] }),
        }
    }

    fn reasoning(&mut self, item: Item<'a>) -> Result<(), RequestError> {
        let mut text = reasoning_text(item.summary)?;
        if text.is_empty() {
            text = reasoning_text(item.content)?;
        }
        if item.encrypted.is_empty() {
            self.push(Role::Assistant, reasoning_part(text, None));
            return Ok(());
        }
        match envelope::open(&item.encrypted) {
            // No envelope of ours: native state, bound to its item (T105).
            None => {
                let opaque = Opaque {
                    item_id: (!item.id.is_empty()).then_some(item.id),
                    ..Opaque::new(Provider::OpenAi, OpaqueKind::EncryptedContent, item.encrypted)
                };
                self.push(Role::Assistant, reasoning_part(text, Some(opaque)));
            }
            // A signature of a text without words (T103).
            Some(Opened { opaque, .. })
                if text.is_empty() && opaque.item_id.as_ref().is_some_and(|id| *id == TEXT) =>
            {
                let opaque = Some(Opaque { item_id: None, ..opaque });
                self.push(Role::Assistant, Part { opaque, ..Part::text(Str::EMPTY) });
            }
            Some(opened) if opened.matches(&text) => {
                self.push(Role::Assistant, reasoning_part(text, Some(opened.opaque)));
            }
            Some(opened) if text.is_empty() => self.carry(opened),
            Some(_) => self.mutated = true,
        }
        Ok(())
    }

    /// State without text belongs to the text before it or to the call after it.
    fn carry(&mut self, opened: Opened) {
        let last = self.turns.last_mut().filter(|turn| turn.role == Role::Assistant);
        if let Some(part) = last.and_then(|turn| turn.parts.last_mut())
            && let PartKind::Text { text } = &part.kind
            && opened.matches(text)
        {
            part.opaque = Some(opened.opaque);
        } else {
            self.carried = Some(opened);
        }
    }
}

impl<'a> Item<'a> {
    fn read(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        let slot = match key {
            "type" => &mut self.kind,
            "role" => &mut self.role,
            "id" => &mut self.id,
            "call_id" => &mut self.call_id,
            "name" => &mut self.name,
            "namespace" => &mut self.namespace,
            "encrypted_content" => &mut self.encrypted,
            "status" => &mut self.status,
            "action" | "operation" => {
                self.action = Some(value.raw()?);
                return Ok(());
            }
            "arguments" => {
                self.arguments = arguments(value)?;
                return Ok(());
            }
            "input" => {
                self.input = value.lenient_string()?.unwrap_or_default().into_decoded();
                return Ok(());
            }
            "content" if self.kind == "message" => {
                self.parts = Some(content::parts(value)?);
                return Ok(());
            }
            "content" => return keep(&mut self.content, value),
            "output" => {
                self.output = Some(value.later()?);
                return Ok(());
            }
            "summary" => return keep(&mut self.summary, value),
            "tools" => return keep(&mut self.tools, value),
            _ => return Ok(()),
        };
        *slot = value.lenient_string()?.unwrap_or_default();
        Ok(())
    }
}

/// Remembers where a value stands, to read it when the item's type is known; errors keep their place.
fn keep<'a>(slot: &mut Option<Reader<'a>>, value: &Reader<'a>) -> Result<(), RequestError> {
    *slot = Some(value.clone());
    Ok(())
}

fn or_empty_object(arguments: Cow<'_, str>) -> Cow<'_, str> {
    if arguments.is_empty() { Cow::Borrowed("{}") } else { arguments }
}

fn reasoning_part<'a>(text: Str<'a>, opaque: Option<Opaque<'a>>) -> Part<'a> {
    let redacted = opaque.as_ref().is_some_and(|o| o.kind == OpaqueKind::Redacted);
    Part { opaque, ..Part::new(PartKind::Reasoning { text, redacted }) }
}

fn ends_in_text(turn: &Turn<'_>) -> bool {
    turn.parts.last().is_some_and(|p| matches!(p.kind, PartKind::Text { .. } | PartKind::Refusal { .. }))
}

fn ends_in_result(turn: &Turn<'_>) -> bool {
    turn.parts.last().is_some_and(|p| matches!(p.kind, PartKind::ToolResult { .. }))
}

/// Whose turn an item of another type belongs to. What a client supplies, or what stands for more
/// than it shows, counts as the user's: no dialect may leave that out silently.
fn foreign_role(kind: &str, role: &Str<'_>) -> Role {
    let supplied = kind.ends_with("_output") && kind != "tool_search_output"
        || matches!(kind, "item_reference" | "compaction" | "mcp_approval_response");
    if supplied || *role == "user" { Role::User } else { Role::Assistant }
}
