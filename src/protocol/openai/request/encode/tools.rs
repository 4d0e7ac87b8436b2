//! Tools and tool choice (section 2.8).

use std::collections::HashSet;

use super::{Encoder, is_official, object_or_empty, schema};
use crate::protocol::canonical::{
    Action, Allowed, FREE_TEXT, Request, Tool, ToolChoice, ToolKind, Unsupported, WebSearch,
    describe_free_text,
};
use crate::protocol::json::{Raw, Str, Writer};
use crate::protocol::openai::{WEB_SEARCH, free_text};
use crate::protocol::{Protocol, RequestError};

impl Encoder<'_> {
    pub(super) fn tools(&mut self, w: &mut Writer<'_>) -> Result<(), RequestError> {
        refuse_twins(self.request)?;
        let official = is_official(&self.target.dialect);
        let allowed = filter(self.request, official);
        let request = self.request;
        let sent = |tool: &&Tool<'_>| allowed.is_none_or(|a| a.names.contains(&tool.name));
        let is_web_search =
            |tool: &&Tool<'_>| matches!(tool.kind, ToolKind::Hosted { .. }) && !self.is_listed(tool);
        let search: Vec<_> = request.tools.iter().filter(is_web_search).collect();
        let listed: Vec<_> = request.tools.iter().filter(|t| self.is_listed(t)).filter(sent).collect();
        for tool in search {
            if tool.is_foreign_tool_search(Protocol::OpenAi) {
                self.losses.drop("tools.tool_search");
                continue;
            }
            self.web_search(tool, w)?;
        }
        if !listed.is_empty() {
            w.key("tools").begin_array();
            listed.iter().for_each(|tool| self.tool(tool, official, w));
            w.end_array();
        }
        self.choice(!listed.is_empty(), allowed, w);
        Ok(())
    }

    /// Whether the tool stands in the list; hosted ones only if the client spoke Chat itself.
    fn is_listed(&self, tool: &Tool<'_>) -> bool {
        match &tool.kind {
            ToolKind::Hosted { protocol, tag, .. } => {
                *protocol == Protocol::OpenAi && *tag != WEB_SEARCH && self.is_native()
            }
            _ => true,
        }
    }

    fn tool(&mut self, tool: &Tool<'_>, official: bool, w: &mut Writer<'_>) {
        match &tool.kind {
            ToolKind::Hosted { raw, .. } => {
                w.raw(raw);
            }
            ToolKind::Custom { format } if official => self.custom(tool, format.as_ref(), w),
            ToolKind::Custom { format } => self.emulated(tool, format.as_ref(), w),
            ToolKind::Function => self.function(tool, w),
            ToolKind::Client { tag, .. } => {
                self.losses.emulate_tool(tag);
                self.function(tool, w);
            }
        }
    }

    fn open(&self, kind: &'static str, tool: &Tool<'_>, w: &mut Writer<'_>) {
        w.begin_object();
        w.key("type").text(kind);
        w.key(kind).begin_object();
        w.key("name").string(&self.exchange.tool_names.upstream(&tool.name));
    }

    fn function(&mut self, tool: &Tool<'_>, w: &mut Writer<'_>) {
        self.open("function", tool, w);
        if let Some(description) = &tool.description {
            w.key("description").string(description);
        }
        if let Some(schema) = &tool.schema {
            w.key("parameters").raw(&object_or_empty(schema));
        }
        if write_strict(tool.strict, tool.schema.as_ref(), self.is_native(), w) {
            self.losses.drop("tools.strict");
        }
        w.end_object();
        w.end_object();
    }

    fn custom(&mut self, tool: &Tool<'_>, format: Option<&Raw<'_>>, w: &mut Writer<'_>) {
        self.open("custom", tool, w);
        if let Some(description) = &tool.description {
            w.key("description").string(description);
        }
        if let Some(format) = format {
            w.key("format").raw(&free_text::nested(format));
        }
        w.end_object();
        w.end_object();
    }

    fn emulated(&mut self, tool: &Tool<'_>, format: Option<&Raw<'_>>, w: &mut Writer<'_>) {
        self.losses.add(Action::Emulate, "custom_tool");
        self.open("function", tool, w);
        let description = describe_free_text(tool, format);
        if !description.is_empty() {
            w.key("description").string(&description);
        }
        w.key("parameters").json(FREE_TEXT);
        w.end_object();
        w.end_object();
    }

    /// Searching the web is an option of search models, and nothing else of theirs (section 2.13). To other
    /// models it is not offered; a request that is about nothing else is refused.
    fn web_search(&mut self, tool: &Tool<'_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
        let ToolKind::Hosted { protocol, tag, raw } = &tool.kind else { return Ok(()) };
        if *protocol == Protocol::OpenAi && *tag == WEB_SEARCH {
            w.key("web_search_options").raw(&object_or_empty(raw));
            return Ok(());
        }
        let tag = tag.decode();
        let search = WebSearch::read(&tag, raw);
        let searcher = self.target.model.contains("search");
        if search.is_some() && !searcher && self.request.can_do_without(tool) {
            self.losses.drop("tools.web_search");
            return Ok(());
        }
        let Some(search) = search.filter(|_| searcher) else {
            let tag: String = tag.chars().take(64).collect();
            let message = format!("the hosted tool `{tag}` has no equivalent at this upstream");
            return Err(Unsupported::new("tools", message).into());
        };
        search.name_losses(&["user_location", "search_context_size"], self.losses);
        w.key("web_search_options").begin_object();
        if let Some(size) = &search.context_size {
            w.key("search_context_size").string(size);
        }
        if !search.location.is_empty() {
            w.key("user_location").begin_object().key("type").text("approximate");
            w.key("approximate").begin_object();
            search.write_place(w);
            w.end_object().end_object();
        }
        w.end_object();
        Ok(())
    }

    fn choice(&mut self, any: bool, filtered: Option<&Allowed<'_>>, w: &mut Writer<'_>) {
        if !any {
            // T076: without tools there is nothing to choose from.
            if !matches!(self.request.tool_choice, None | Some(ToolChoice::None | ToolChoice::Auto)) {
                self.losses.drop("tool_choice");
            }
            return;
        }
        match &self.request.tool_choice {
            None => {}
            Some(ToolChoice::Auto) => {
                w.key("tool_choice").text("auto");
            }
            Some(ToolChoice::None) => {
                w.key("tool_choice").text("none");
            }
            Some(ToolChoice::Required) => {
                w.key("tool_choice").text("required");
            }
            Some(ToolChoice::Tool(name)) => {
                w.key("tool_choice");
                self.reference(name, w);
            }
            Some(ToolChoice::Allowed(allowed)) => self.allowed(allowed, filtered.is_some(), w),
        }
        if let Some(parallel) = self.request.parallel_tool_calls {
            w.key("parallel_tool_calls").boolean(parallel);
        }
    }

    /// T078: `auto` among some tools must not become a demand.
    fn allowed(&mut self, allowed: &Allowed<'_>, filtered: bool, w: &mut Writer<'_>) {
        let mode = if allowed.required { "required" } else { "auto" };
        if filtered || !is_official(&self.target.dialect) {
            self.losses.add(Action::Approx, "tool_choice.allowed_tools");
            w.key("tool_choice").text(mode);
            return;
        }
        w.key("tool_choice").begin_object();
        w.key("type").text("allowed_tools");
        w.key("allowed_tools").begin_object();
        w.key("mode").text(mode);
        w.key("tools").begin_array();
        allowed.names.iter().for_each(|name| self.reference(name, w));
        w.end_array();
        w.end_object();
        w.end_object();
    }

    fn reference(&self, name: &Str<'_>, w: &mut Writer<'_>) {
        let is_custom = is_official(&self.target.dialect)
            && self
                .request
                .tools
                .iter()
                .any(|t| t.name == *name && matches!(t.kind, ToolKind::Custom { .. }));
        let kind = if is_custom { "custom" } else { "function" };
        w.begin_object();
        w.key("type").text(kind);
        w.key(kind).begin_object();
        w.key("name").string(&self.exchange.tool_names.upstream(name));
        w.end_object();
        w.end_object();
    }
}

/// Servers that do not know `allowed_tools` get only the allowed ones.
fn filter<'r>(request: &'r Request<'r>, official: bool) -> Option<&'r Allowed<'r>> {
    let Some(ToolChoice::Allowed(allowed)) = &request.tool_choice else { return None };
    let any = request.tools.iter().any(|tool| allowed.names.contains(&tool.name));
    (!official && any).then_some(allowed)
}

fn refuse_twins(request: &Request<'_>) -> Result<(), RequestError> {
    let mut names = HashSet::new();
    for tool in request.tools.iter().filter(|t| !matches!(t.kind, ToolKind::Hosted { .. })) {
        if !names.insert(tool.name.decode()) {
            let name: String = tool.name.decode().chars().take(64).collect();
            return Err(Unsupported::new("tools", format!("two tools are named `{name}`")).into());
        }
    }
    Ok(())
}

/// Writes `strict`, and tells whether it was asked for in vain: a schema that does not qualify would be refused. A
/// Chat client meant its own word.
pub(super) fn write_strict(
    strict: Option<bool>,
    schema: Option<&Raw<'_>>,
    native: bool,
    w: &mut Writer<'_>,
) -> bool {
    let Some(asked) = strict else { return false };
    let fits = native || schema.is_some_and(schema::is_strict);
    w.key("strict").boolean(asked && fits);
    asked && !fits
}
