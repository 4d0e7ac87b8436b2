//! Tools and the choice among them (section 2.8).

use std::borrow::Cow;
use std::collections::HashSet;

use super::encode::Context;
use super::schema;
use super::write::cache;
use crate::protocol::canonical::{
    Action, CacheMark, FREE_TEXT, Losses, PartKind, Tool, ToolChoice, ToolKind, Unsupported, WebSearch,
    describe_free_text,
};
use crate::protocol::json::{Raw, Str, Writer};
use crate::protocol::{Protocol, RequestError};

/// The tools to send, with their marks: all, or those that the client allows (T078).
pub(super) fn chosen<'p>(
    context: &Context<'p>,
    marks: &[Option<CacheMark>],
    losses: &mut Losses,
) -> Result<Vec<(&'p Tool<'p>, Option<CacheMark>)>, RequestError> {
    let request = context.request;
    let mut names = HashSet::new();
    for tool in &request.tools {
        let name = tool.name.decode();
        if !name.is_empty() && !names.insert(name.clone()) {
            return Err(RequestError::invalid("tools", format!("the name {name:?} stands twice")));
        }
    }
    let is_sent = |tool: &Tool<'_>| !tool.is_foreign_tool_search(Protocol::Anthropic);
    if !request.tools.iter().all(is_sent) {
        losses.drop("tools.tool_search");
    }
    let all = request.tools.iter().zip(marks.iter().copied()).filter(|(tool, _)| is_sent(tool));
    let Some(ToolChoice::Allowed(allowed)) = &request.tool_choice else { return Ok(all.collect()) };
    losses.add(Action::Approx, "tool_choice.allowed_tools");
    let allowed: HashSet<_> = allowed.names.iter().map(Str::decode).collect();
    let some: Vec<_> = all.clone().filter(|(tool, _)| allowed.contains(&tool.name.decode())).collect();
    Ok(if some.is_empty() { all.collect() } else { some })
}

/// Writes the `tools` member, if there are any.
pub(super) fn tools(
    context: &Context<'_>,
    tools: &[(&Tool<'_>, Option<CacheMark>)],
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    if tools.is_empty() {
        if context.target.dialect.stub_tools {
            stubs(context, losses, w);
        }
        return Ok(());
    }
    w.key("tools").begin_array();
    for (tool, mark) in tools {
        match &tool.kind {
            ToolKind::Function => function(context, tool, *mark, losses, w),
            ToolKind::Client { tag, .. } => {
                losses.emulate_tool(tag);
                function(context, tool, *mark, losses, w);
            }
            ToolKind::Custom { format } => custom(context, tool, format.as_ref(), *mark, losses, w),
            ToolKind::Hosted { protocol: Protocol::Anthropic, raw, .. } => {
                w.raw(raw);
            }
            ToolKind::Hosted { tag, raw, .. } => hosted(&tag.decode(), raw, losses, w)?,
        }
    }
    w.end_array();
    Ok(())
}

/// Declarations of what the history called, for servers that refuse calls of undeclared tools (T096).
fn stubs(context: &Context<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
    let mut names = HashSet::new();
    for part in context.request.turns.iter().flat_map(|turn| &turn.parts) {
        let PartKind::ToolCall { name, .. } = &part.kind else { continue };
        if !names.insert(name.decode()) {
            continue;
        }
        if names.len() == 1 {
            losses.add(Action::Insert, "tools");
            w.key("tools").begin_array();
        }
        w.begin_object();
        w.key("name").string(&context.exchange.tool_names.upstream(name));
        w.key("description").text("No longer available: do not call it.");
        w.key("input_schema").json(schema::EMPTY);
        w.end_object();
    }
    if !names.is_empty() {
        w.end_array();
    }
}

fn function(
    context: &Context<'_>,
    tool: &Tool<'_>,
    mark: Option<CacheMark>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) {
    let schema = tool.schema.as_ref().map(|raw| schema::object(raw, losses));
    let mut schema = schema.unwrap_or(Cow::Borrowed(schema::EMPTY));
    let wants_strict = tool.strict == Some(true);
    let mut strict = wants_strict && context.target.capabilities.structured_output;
    if strict && !context.is_native() {
        // A map that must stay empty is worse than one that nobody guarantees.
        let guaranteed = schema::strict(&schema);
        if guaranteed.is_narrower {
            strict = false;
        } else {
            schema = Cow::Owned(guaranteed.schema);
        }
    }
    if wants_strict && !strict {
        losses.drop("tools.strict");
    }
    w.begin_object();
    w.key("name").string(&context.exchange.tool_names.upstream(&tool.name));
    if let Some(description) = &tool.description {
        w.key("description").string(description);
    }
    w.key("input_schema").json(&schema);
    if strict {
        w.key("strict").boolean(true);
    }
    cache(mark, w);
    w.end_object();
}

fn custom(
    context: &Context<'_>,
    tool: &Tool<'_>,
    format: Option<&Raw<'_>>,
    mark: Option<CacheMark>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) {
    losses.add(Action::Emulate, "custom_tool");
    let description = describe_free_text(tool, format);
    w.begin_object();
    w.key("name").string(&context.exchange.tool_names.upstream(&tool.name));
    if !description.is_empty() {
        w.key("description").string(&description);
    }
    w.key("input_schema").json(FREE_TEXT);
    cache(mark, w);
    w.end_object();
}

/// Web search exists everywhere; no other hosted tool has an equivalent (section 2.13).
fn hosted(tag: &str, raw: &Raw<'_>, losses: &mut Losses, w: &mut Writer<'_>) -> Result<(), RequestError> {
    let Some(search) = WebSearch::read(tag, raw) else {
        let message = format!("the hosted tool {tag:?} has no equivalent at Anthropic");
        return Err(Unsupported::new("tools", message).into());
    };
    search.name_losses(&["allowed_domains", "blocked_domains", "max_uses", "user_location"], losses);
    w.begin_object();
    w.key("type").text("web_search_20250305");
    w.key("name").text("web_search");
    for (key, value) in [
        ("allowed_domains", &search.allowed_domains),
        ("blocked_domains", &search.blocked_domains),
        ("max_uses", &search.max_uses),
    ] {
        if let Some(value) = value {
            w.key(key).raw(value);
        }
    }
    if !search.location.is_empty() {
        w.key("user_location").begin_object();
        w.key("type").text("approximate");
        search.write_place(w);
        w.end_object();
    }
    w.end_object();
    Ok(())
}

/// Writes `tool_choice`, if one has to be sent (T075, T076, T077).
pub(super) fn choice(context: &Context<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
    let request = context.request;
    let serial = request.parallel_tool_calls == Some(false);
    if request.tools.is_empty() {
        if !matches!(request.tool_choice, None | Some(ToolChoice::None)) {
            losses.drop("tool_choice");
        }
        return;
    }
    let (word, name) = match &request.tool_choice {
        None if !serial => return,
        None | Some(ToolChoice::Auto) => ("auto", None),
        Some(ToolChoice::None) => ("none", None),
        Some(ToolChoice::Required) => ("any", None),
        Some(ToolChoice::Tool(name)) => ("tool", Some(name)),
        Some(ToolChoice::Allowed(allowed)) => (if allowed.required { "any" } else { "auto" }, None),
    };
    w.key("tool_choice").begin_object();
    w.key("type").text(word);
    if let Some(name) = name {
        w.key("name").string(&context.exchange.tool_names.upstream(name));
    }
    if serial && word != "none" {
        w.key("disable_parallel_tool_use").boolean(true);
    }
    w.end_object();
}
