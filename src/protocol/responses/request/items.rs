//! Turns, flattened into items.

use super::content::CONTENT_TAG;
use super::media::write_media;
use crate::protocol::canonical::{
    Action, CacheMark, Exchange, Losses, Media, MediaSource, Opaque, OpaqueKind, Part, PartKind, Provider,
    Request, Role, SystemBlock, Turn, Unsupported, fit_call_id, write_breakpoint,
};
use crate::protocol::json::{Str, Writer, string_from_utf8};
use crate::protocol::{Capabilities, Protocol, RequestError};

/// The input list while it grows.
#[derive(Debug, Default)]
pub(super) struct Items {
    out: Vec<u8>,
    /// Whose message is open.
    open: Option<Role>,
    /// Reasoning that must not be sent unless an item of the same answer follows it (T107).
    pending: Vec<u8>,
}

impl Items {
    pub(super) fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// The list as JSON.
    pub(super) fn into_json(mut self) -> String {
        self.close();
        let mut json = Vec::with_capacity(self.out.len() + 2);
        json.push(b'[');
        json.append(&mut self.out);
        json.push(b']');
        string_from_utf8(json)
    }

    /// A message of one text.
    pub(super) fn text(&mut self, role: Role, text: &Str<'_>) {
        self.close();
        self.content(role)
            .begin_object()
            .key("type")
            .text("input_text")
            .key("text")
            .string(text)
            .end_object();
        self.close();
    }

    /// The system prompt as a message, of which some texts end a cached prefix.
    pub(super) fn system<'s>(
        &mut self,
        blocks: impl Iterator<Item = &'s SystemBlock<'s>>,
        client: Protocol,
        losses: &mut Losses,
    ) {
        for block in blocks {
            let mut w = self.content(Role::Developer);
            w.begin_object().key("type").text("input_text").key("text").string(&block.text).end_object();
            if let Some(mark) = block.cache {
                write_breakpoint(mark, client, losses, &mut w);
            }
        }
        self.close();
    }

    /// The writer inside an open message of `role`.
    fn content(&mut self, role: Role) -> Writer<'_> {
        if self.open != Some(role) {
            let name = match role {
                Role::User => "user",
                Role::Assistant => "assistant",
                Role::System => "system",
                Role::Developer => "developer",
            };
            let mut w = self.item(role);
            w.begin_object();
            w.key("type").text("message");
            w.key("role").text(name);
            w.key("content").begin_array();
            self.open = Some(role);
        }
        Writer::new(&mut self.out)
    }

    /// The writer between items.
    fn item(&mut self, role: Role) -> Writer<'_> {
        self.close();
        if role == Role::Assistant && !self.pending.is_empty() {
            let reasoning = string_from_utf8(std::mem::take(&mut self.pending));
            Writer::new(&mut self.out).json(&reasoning);
        }
        Writer::new(&mut self.out)
    }

    fn close(&mut self) {
        if self.open.take().is_some() {
            Writer::new(&mut self.out).end_array().end_object();
        }
    }

    /// Leaves out reasoning that nothing followed.
    pub(super) fn drop_pending(&mut self, losses: &mut Losses) {
        if !self.pending.is_empty() {
            self.pending.clear();
            losses.drop("reasoning");
        }
    }
}

/// Appends the items of one turn.
pub(super) fn turn(
    items: &mut Items,
    turn: &Turn<'_>,
    exchange: &Exchange,
    capabilities: &Capabilities,
    losses: &mut Losses,
) -> Result<(), RequestError> {
    items.close();
    if turn.role != Role::Assistant {
        items.drop_pending(losses);
    }
    let takes_marks = capabilities.explicit_breakpoints;
    let mut encoder = TurnEncoder { items, role: turn.role, exchange, takes_marks, losses };
    for part in &turn.parts {
        encoder.part(part)?;
    }
    items.close();
    Ok(())
}

struct TurnEncoder<'e> {
    items: &'e mut Items,
    role: Role,
    exchange: &'e Exchange,
    /// Whether cache marks can be carried.
    takes_marks: bool,
    losses: &'e mut Losses,
}

impl TurnEncoder<'_> {
    fn part(&mut self, part: &Part<'_>) -> Result<(), RequestError> {
        match &part.kind {
            PartKind::Reasoning { text, .. } => {
                self.reasoning(text, part.opaque.as_ref());
                return Ok(());
            }
            PartKind::Text { text } => self.text(text),
            PartKind::Refusal { text } => self.refusal(text),
            PartKind::Media(media) => self.media(media)?,
            PartKind::ToolCall { id, name, arguments, custom } => self.call(id, name, arguments, *custom),
            PartKind::ToolResult { .. } => self.result(part)?,
            PartKind::WebSearchCall(_) => self.losses.drop("web_search_call"),
            PartKind::Opaque { protocol, tag, raw } => {
                let tag = tag.decode();
                if *protocol != Protocol::Responses {
                    return self.foreign(&tag);
                }
                let mut w = if tag.starts_with(CONTENT_TAG) {
                    self.items.content(self.role)
                } else {
                    self.items.item(self.role)
                };
                w.raw(raw);
            }
        }
        let is_content = matches!(part.kind, PartKind::Text { .. } | PartKind::Media(_));
        if let Some(mark) = self.mark(part).filter(|_| is_content) {
            write_breakpoint(mark, self.exchange.client, self.losses, &mut Writer::new(&mut self.items.out));
        }
        // State on anything but reasoning is another provider's: there is no place for it.
        if part.opaque.is_some() {
            self.losses.drop("reasoning.signature");
        }
        Ok(())
    }

    /// Where a cached prefix ends, if it can be said; the model's own words take no mark.
    fn mark(&self, part: &Part<'_>) -> Option<CacheMark> {
        part.cache.filter(|_| self.takes_marks && self.role != Role::Assistant)
    }

    fn text(&mut self, text: &Str<'_>) {
        if text.is_empty() && self.role == Role::Assistant {
            return;
        }
        let is_output = self.role == Role::Assistant;
        let mut w = self.items.content(self.role);
        w.begin_object();
        w.key("type").text(if is_output { "output_text" } else { "input_text" });
        w.key("text").string(text);
        if is_output {
            // The types require it.
            w.key("annotations").begin_array().end_array();
        }
        w.end_object();
    }

    fn refusal(&mut self, text: &Str<'_>) {
        if self.role != Role::Assistant {
            return self.text(text);
        }
        let mut w = self.items.content(self.role);
        w.begin_object().key("type").text("refusal").key("refusal").string(text).end_object();
    }

    /// Only our own provider's state goes back, with the id that it is bound to (T105, T106).
    fn reasoning(&mut self, text: &Str<'_>, opaque: Option<&Opaque<'_>>) {
        let native =
            opaque.filter(|o| o.provider == Provider::OpenAi && o.kind == OpaqueKind::EncryptedContent);
        let Some(opaque) = native else {
            self.losses.drop("reasoning");
            return;
        };
        self.items.close();
        let mut w = Writer::new(&mut self.items.pending);
        w.begin_object();
        w.key("type").text("reasoning");
        if let Some(id) = &opaque.item_id {
            w.key("id").string(id);
        }
        w.key("summary").begin_array();
        if !text.is_empty() {
            w.begin_object().key("type").text("summary_text").key("text").string(text).end_object();
        }
        w.end_array();
        w.key("encrypted_content").string(&opaque.value);
        w.end_object();
    }

    fn media(&mut self, media: &Media<'_>) -> Result<(), RequestError> {
        if self.role == Role::Assistant {
            self.losses.drop("assistant.media");
            return Ok(());
        }
        let native = self.exchange.client == Protocol::Responses;
        let is_named = native || matches!(media.source, MediaSource::Inline(_));
        media.preface(is_named).for_each(|text| self.text(text));
        if media.citations {
            self.losses.drop("citations");
        }
        write_media(media, native, &mut self.items.content(self.role))?;
        Ok(())
    }

    fn call(&mut self, id: &Str<'_>, name: &Str<'_>, arguments: &str, custom: bool) {
        let id = fit_call_id(Protocol::Responses, id);
        let name = self.exchange.tool_names.upstream(name);
        let mut w = self.items.item(self.role);
        w.begin_object();
        // No `id`: a foreign one is refused (T070).
        w.key("type").text(if custom { "custom_tool_call" } else { "function_call" });
        w.key("call_id").string(&id);
        w.key("name").string(&name);
        if custom {
            w.key("input").text(arguments);
        } else {
            let arguments = if arguments.trim().is_empty() { "{}" } else { arguments };
            w.key("arguments").json_as_string(arguments);
        }
        w.end_object();
    }

    fn result(&mut self, part: &Part<'_>) -> Result<(), RequestError> {
        let PartKind::ToolResult { call_id, content, is_error, custom, .. } = &part.kind else {
            return Ok(());
        };
        let (is_error, custom) = (*is_error, *custom);
        let call_id = fit_call_id(Protocol::Responses, call_id);
        let parts = self.sendable(content)?;
        let mark = self.mark(part).or_else(|| content.iter().rev().find_map(|inner| self.mark(inner)));
        let native = self.exchange.client == Protocol::Responses;
        let mut w = self.items.item(self.role);
        w.begin_object();
        w.key("type").text(if custom { "custom_tool_call_output" } else { "function_call_output" });
        w.key("call_id").string(&call_id);
        w.key("output");
        match parts.as_slice() {
            // A string or a list, never null (T073, T074).
            [] => {
                w.text(if is_error { "Error" } else { "" });
            }
            [Part { kind: PartKind::Text { text }, .. }] if mark.is_none() => {
                w.string(&marked(text, is_error));
            }
            parts => {
                w.begin_array();
                result_list(parts, is_error, native, &mut w)?;
                if let Some(mark) = mark {
                    write_breakpoint(mark, self.exchange.client, self.losses, &mut w);
                }
                w.end_array();
            }
        }
        w.end_object();
        Ok(())
    }

    /// The parts of a result that can be sent; what is not understood may go unless it is all there is.
    fn sendable<'c, 'p>(&mut self, content: &'c [Part<'p>]) -> Result<Vec<&'c Part<'p>>, RequestError> {
        let is_known = |part: &&Part<'_>| {
            matches!(part.kind, PartKind::Text { .. } | PartKind::Refusal { .. } | PartKind::Media(_))
                || matches!(part.kind, PartKind::Opaque { protocol: Protocol::Responses, .. })
        };
        let parts: Vec<_> = content.iter().filter(is_known).collect();
        if parts.len() < content.len() {
            if parts.is_empty() {
                return Err(
                    Unsupported::new("tool_result.content", "has only parts that are not supported").into()
                );
            }
            self.losses.drop("tool_result.content");
        }
        Ok(parts)
    }

    /// What only another protocol understands: of the answer it may go, of the user it may not.
    fn foreign(&mut self, tag: &str) -> Result<(), RequestError> {
        if self.role == Role::Assistant {
            self.losses.add_named(Action::Drop, tag);
            return Ok(());
        }
        let message = format!("content of type `{tag}` has no equivalent upstream");
        Err(Unsupported::new("input", message).into())
    }
}

fn result_list(
    parts: &[&Part<'_>],
    mut is_error: bool,
    native: bool,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    for part in parts {
        match &part.kind {
            PartKind::Text { text } | PartKind::Refusal { text } => {
                // The mark is for the first text; one is enough.
                let text = marked(text, std::mem::take(&mut is_error));
                w.begin_object().key("type").text("input_text").key("text").string(&text).end_object();
            }
            PartKind::Media(media) => {
                for text in media.preface(native || matches!(media.source, MediaSource::Inline(_))) {
                    w.begin_object().key("type").text("input_text").key("text").string(text).end_object();
                }
                write_media(media, native, w)?;
            }
            PartKind::Opaque { raw, .. } => {
                w.raw(raw);
            }
            _ => {}
        }
    }
    Ok(())
}

/// T071: the model must see that a call failed, and there is no flag for it.
fn marked<'a>(text: &'a Str<'_>, is_error: bool) -> Str<'a> {
    let says_so = text.as_escaped().get(..5).is_some_and(|head| head.eq_ignore_ascii_case("error"));
    if !is_error || says_so {
        return text.borrowed();
    }
    let mut marked = Str::from("Error: ").into_owned();
    marked.push(text);
    marked
}

/// Whether a message says "json" in any spelling.
pub(super) fn mention_json(request: &Request<'_>) -> bool {
    request.turns.iter().flat_map(|turn| &turn.parts).any(|part| match &part.kind {
        PartKind::Text { text } => text.decode().to_ascii_lowercase().contains("json"),
        _ => false,
    })
}
