//! The upstream's JSON: members in a fixed order, so that the same request gives the same bytes (T187).

use std::collections::HashSet;

use super::items::{self, Items};
use super::{DEFERRED, MUTATED, settings, strict};
use crate::protocol::canonical::{
    Action, Exchange, Format, Losses, PartKind, Request, Role, SystemBlock, Tool, ToolChoice, ToolKind,
    Unsupported, WebSearch, marked_system, said_by_user,
};
use crate::protocol::json::{Raw, Str, Writer};
use crate::protocol::{Protocol, RequestError, Target};

/// Appends the request as a Responses upstream takes it.
pub(crate) fn encode(
    request: &Request<'_>,
    exchange: &Exchange,
    target: &Target<'_>,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    settings::refuse(request, exchange)?;
    refuse_duplicate_tools(request)?;
    let mut encoder = Encoder { request, exchange, target, losses };
    let items = encoder.items()?;
    let mut w = Writer::new(out);
    w.begin_object();
    w.key("model").text(target.model);
    encoder.input(items, &mut w);
    encoder.tools(&mut w)?;
    settings::write(&mut encoder, &mut w)?;
    encoder.extras(&mut w);
    w.end_object();
    Ok(())
}

/// What every step of the encoding looks at.
pub(super) struct Encoder<'e, 'r, 't> {
    pub(super) request: &'e Request<'r>,
    pub(super) exchange: &'e Exchange,
    pub(super) target: &'e Target<'t>,
    pub(super) losses: &'e mut Losses,
}

fn refuse_duplicate_tools(request: &Request<'_>) -> Result<(), Unsupported> {
    let mut seen = HashSet::new();
    for tool in request.tools.iter().filter(|tool| !matches!(tool.kind, ToolKind::Hosted { .. })) {
        let name = tool.name.decode();
        if !seen.insert(name.clone()) {
            return Err(Unsupported::new("tools", format!("two tools are called `{name}`")));
        }
    }
    Ok(())
}

impl<'e, 'r, 't> Encoder<'e, 'r, 't> {
    fn items(&mut self) -> Result<Items, RequestError> {
        let mut items = Items::default();
        let capabilities = &self.target.capabilities;
        if self.has_marked_system() {
            items.system(self.system(), self.exchange.client, self.losses);
        }
        for turn in &self.request.turns {
            let is_system = matches!(turn.role, Role::System | Role::Developer);
            // T122: what the model takes nowhere but in front stays in its place.
            let marked = (is_system && !capabilities.mid_system).then(|| said_by_user(turn));
            if marked.is_some() {
                self.losses.add(Action::Approx, "system.mid");
            }
            items::turn(
                &mut items,
                marked.as_ref().unwrap_or(turn),
                self.exchange,
                capabilities,
                self.losses,
            )?;
        }
        items.drop_pending(self.losses);
        self.hint_at_json(&mut items);
        let state = &self.request.state;
        let is_stored = state.previous_id.is_some() || state.prompt.is_some() || state.conversation.is_some();
        if items.is_empty() && self.request.system.is_empty() && !is_stored {
            return Err(RequestError::invalid("input", "has no content"));
        }
        let ends_in_answer = self.request.turns.last().is_some_and(|turn| {
            turn.role == Role::Assistant && turn.parts.iter().any(|p| matches!(p.kind, PartKind::Text { .. }))
        });
        let continues = matches!(self.exchange.client, Protocol::Anthropic | Protocol::Gemini);
        if ends_in_answer && continues {
            self.losses.add(Action::Approx, "prefill");
        }
        Ok(items)
    }

    /// T144: JSON mode is refused unless an item (not the instructions) speaks of JSON.
    fn hint_at_json(&mut self, items: &mut Items) {
        let format = &self.request.output.format;
        if format.must_be_said(&self.target.capabilities) {
            self.instruct(items, &format.as_instruction());
            self.losses.add(Action::Approx, "response_format");
        } else if matches!(self.request.output.format, Format::JsonObject)
            && !items::mention_json(self.request)
        {
            self.instruct(items, &"Respond with JSON.".into());
            self.losses.add(Action::Insert, "json_hint");
        }
    }

    /// An instruction behind the conversation.
    fn instruct(&self, items: &mut Items, text: &Str<'_>) {
        if self.target.capabilities.mid_system {
            items.text(Role::Developer, text);
        } else {
            items.text(Role::User, &marked_system(text));
        }
    }

    /// The system prompt, as far as it is to be sent.
    fn system(&self) -> impl Iterator<Item = &'e SystemBlock<'r>> + use<'e, 'r, 't> {
        let exchange = self.exchange;
        let request = self.request;
        request.system.iter().filter(|block| !block.text.is_empty() && !is_telemetry(&block.text, exchange))
    }

    /// `instructions` take no cache marks, items do (2.5).
    fn has_marked_system(&self) -> bool {
        self.target.capabilities.explicit_breakpoints && self.system().any(|block| block.cache.is_some())
    }

    fn input(&mut self, mut items: Items, w: &mut Writer<'_>) {
        let texts: Vec<&Str<'_>> = match self.has_marked_system() {
            true => Vec::new(),
            false => self.system().map(|block| &block.text).collect(),
        };
        if items.is_empty() {
            // Instructions alone are no request.
            for text in texts {
                items.text(Role::Developer, text);
            }
        } else if let Some((first, rest)) = texts.split_first() {
            let mut joined = first.borrowed();
            for text in rest {
                joined.push(&Str::from_escaped("\\n\\n"));
                joined.push(text);
            }
            w.key("instructions").string(&joined);
        }
        w.key("input").json(&items.into_json());
    }

    fn tools(&mut self, w: &mut Writer<'_>) -> Result<(), RequestError> {
        let is_sent = |tool: &&Tool<'_>| !tool.is_foreign_tool_search(Protocol::Responses);
        let tools: Vec<_> = self.request.tools.iter().filter(is_sent).collect();
        if tools.len() < self.request.tools.len() {
            self.losses.drop("tools.tool_search");
        }
        if tools.is_empty() {
            if !matches!(self.request.tool_choice, None | Some(ToolChoice::None)) {
                self.losses.drop("tool_choice");
            }
            return Ok(());
        }
        w.key("tools").begin_array();
        for tool in tools {
            self.tool(tool, w)?;
        }
        w.end_array();
        if let Some(choice) = &self.request.tool_choice {
            w.key("tool_choice");
            self.tool_choice(choice, w);
        }
        if let Some(parallel) = self.request.parallel_tool_calls {
            w.key("parallel_tool_calls").boolean(parallel);
        }
        Ok(())
    }

    fn tool(&mut self, tool: &Tool<'_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
        match &tool.kind {
            ToolKind::Hosted { protocol, tag, raw } => return self.hosted(*protocol, tag, raw, w),
            ToolKind::Function => self.function(tool, w),
            ToolKind::Client { raw, .. } => {
                w.raw(raw);
            }
            ToolKind::Custom { format } => {
                w.begin_object();
                w.key("type").text("custom");
                self.name_and_description(tool, w);
                if let Some(format) = format {
                    w.key("format").raw(format);
                }
                w.end_object();
            }
        }
        Ok(())
    }

    fn function(&mut self, tool: &Tool<'_>, w: &mut Writer<'_>) {
        w.begin_object();
        w.key("type").text("function");
        self.name_and_description(tool, w);
        w.key("parameters");
        match &tool.schema {
            Some(schema) if schema.is_object() => w.raw(schema),
            _ => w.json(r#"{"type":"object","properties":{}}"#),
        };
        // T079: left out, it would mean true here.
        let wanted = tool.strict == Some(true);
        let strict = wanted && strict::qualifies(tool.schema.as_ref());
        if wanted && !strict {
            self.losses.drop("tools.strict");
        }
        w.key("strict").boolean(strict);
        w.end_object();
    }

    fn name_and_description(&mut self, tool: &Tool<'_>, w: &mut Writer<'_>) {
        w.key("name").string(&self.exchange.tool_names.upstream(&tool.name));
        if let Some(description) = &tool.description {
            w.key("description").string(description);
        }
    }

    /// Search is the one hosted tool that protocols share; its parameters differ (section 2.13).
    fn hosted(
        &mut self,
        protocol: Protocol,
        tag: &Str<'_>,
        raw: &Raw<'_>,
        w: &mut Writer<'_>,
    ) -> Result<(), RequestError> {
        let name = tag.decode();
        if protocol == Protocol::Responses {
            w.raw(raw);
        } else if let Some(search) = WebSearch::read(&name, raw) {
            self.search(&search, w);
        } else {
            let message = format!("the tool `{name}` runs at its own provider only");
            return Err(Unsupported::new("tools", message).into());
        }
        Ok(())
    }

    fn search(&mut self, search: &WebSearch<'_>, w: &mut Writer<'_>) {
        search.name_losses(&["allowed_domains", "user_location", "search_context_size"], self.losses);
        w.begin_object().key("type").text("web_search");
        if let Some(domains) = &search.allowed_domains {
            w.key("filters").begin_object().key("allowed_domains").raw(domains).end_object();
        }
        if !search.location.is_empty() {
            w.key("user_location").begin_object().key("type").text("approximate");
            search.write_place(w);
            w.end_object();
        }
        if let Some(size) = &search.context_size {
            w.key("search_context_size").string(size);
        }
        w.end_object();
    }

    fn tool_choice(&mut self, choice: &ToolChoice<'_>, w: &mut Writer<'_>) {
        match choice {
            ToolChoice::Auto => {
                w.text("auto");
            }
            ToolChoice::None => {
                w.text("none");
            }
            ToolChoice::Required => {
                w.text("required");
            }
            ToolChoice::Tool(name) => self.named_tool(name, w),
            ToolChoice::Allowed(allowed) => {
                w.begin_object();
                w.key("type").text("allowed_tools");
                w.key("mode").text(if allowed.required { "required" } else { "auto" });
                w.key("tools").begin_array();
                for name in &allowed.names {
                    self.named_tool(name, w);
                }
                w.end_array().end_object();
            }
        }
    }

    fn named_tool(&self, name: &Str<'_>, w: &mut Writer<'_>) {
        let tool = self.request.tools.iter().find(|tool| tool.name == *name);
        let custom = tool.is_some_and(|tool| matches!(tool.kind, ToolKind::Custom { .. }));
        w.begin_object();
        if let Some(ToolKind::Client { tag, .. }) = tool.map(|tool| &tool.kind) {
            w.key("type").string(tag).end_object();
            return;
        }
        // The one hosted tool of others that has been sent.
        if tool.is_some_and(|tool| matches!(tool.kind, ToolKind::Hosted { .. })) {
            w.key("type").text("web_search").end_object();
            return;
        }
        w.key("type").text(if custom { "custom" } else { "function" });
        w.key("name").string(&self.exchange.tool_names.upstream(name));
        w.end_object();
    }

    /// Unknown members go on to the same protocol only (T149). Those with a dot stood inside another
    /// member and are written there.
    fn extras(&mut self, w: &mut Writer<'_>) {
        let native = self.exchange.client == Protocol::Responses;
        for (key, raw) in &self.request.extras {
            let name = key.decode();
            if !native || name == MUTATED || name == DEFERRED {
                self.losses.add_named(Action::Drop, &name);
            } else if !name.contains('.') {
                w.key_str(key).raw(raw);
            }
        }
    }
}

/// T184: a client's own telemetry among the system texts, different in every request.
fn is_telemetry(text: &Str<'_>, exchange: &Exchange) -> bool {
    exchange.client == Protocol::Anthropic && text.as_escaped().starts_with("x-anthropic-billing-header:")
}
