//! `tools` and `toolConfig` (2.8, 2.13).

use std::collections::HashSet;

use super::super::super::schema;
use super::Context;
use crate::protocol::canonical::{
    Action, Allowed, FREE_TEXT, Losses, Tool, ToolChoice, ToolKind, Unsupported, WebSearch,
    describe_free_text,
};
use crate::protocol::json::{Raw, Str, Writer};
use crate::protocol::{Protocol, RequestError};

/// Writes both, as far as there are any.
pub(super) fn write(
    context: &Context<'_>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    let declared = declared(context, losses)?;
    let hosted = hosted(context, losses)?;
    if !declared.is_empty() || !hosted.is_empty() {
        w.key("tools").begin_array();
        if !declared.is_empty() {
            // One entry for all of them (2.8).
            w.begin_object().key("functionDeclarations").begin_array();
            for tool in &declared {
                write_declaration(context, tool, losses, w);
            }
            w.end_array().end_object();
        }
        for (key, raw) in &hosted {
            w.begin_object().key_str(key).raw(raw).end_object();
        }
        w.end_array();
    }
    write_config(context, &declared, losses, w);
    if context.request.parallel_tool_calls == Some(false) && !declared.is_empty() {
        losses.drop("parallel_tool_calls");
    }
    Ok(())
}

/// The functions to declare: all, or those that the choice allows.
fn declared<'c>(context: &'c Context<'_>, losses: &mut Losses) -> Result<Vec<&'c Tool<'c>>, Unsupported> {
    let is_function = |tool: &&Tool<'_>| !matches!(tool.kind, ToolKind::Hosted { .. });
    let all: Vec<&Tool<'_>> = context.request.tools.iter().filter(is_function).collect();
    let mut seen = HashSet::new();
    for tool in &all {
        if !seen.insert(tool.name.decode()) {
            let param = format!("tools: {}", tool.name.decode());
            return Err(Unsupported::new(param, "two tools have the same name"));
        }
    }
    // AUTO takes no list of names, so the others are left out (T078).
    if let Some(ToolChoice::Allowed(Allowed { names, required: false })) = &context.request.tool_choice {
        let some: Vec<&Tool<'_>> = all.iter().copied().filter(|tool| names.contains(&tool.name)).collect();
        if !some.is_empty() && some.len() < all.len() {
            losses.add(Action::Emulate, "tool_choice.allowed_tools");
            return Ok(some);
        }
    }
    Ok(all)
}

/// Hosted tools under Google's names. Web search is mapped, all others of foreign vendors refused. Google
/// takes either search or functions in a request: beside functions, search is not offered.
fn hosted<'c>(context: &'c Context<'_>, losses: &mut Losses) -> Result<Vec<(Str<'c>, Raw<'c>)>, Unsupported> {
    let mut found = Vec::new();
    let mut search = false;
    for tool in &context.request.tools {
        match &tool.kind {
            ToolKind::Hosted { protocol: Protocol::Gemini, tag, raw } => {
                found.push((tag.borrowed(), raw.borrowed()));
            }
            _ if tool.is_foreign_tool_search(Protocol::Gemini) => losses.drop("tools.tool_search"),
            ToolKind::Hosted { tag, raw, .. } => {
                let Some(found) = WebSearch::read(&tag.decode(), raw) else {
                    return Err(Unsupported::new(
                        format!("tools: {}", tag.decode()),
                        "this upstream cannot run the tool",
                    ));
                };
                if context.request.can_do_without(tool) {
                    losses.drop("tools.web_search");
                    continue;
                }
                search = true;
                // Google's search has no settings.
                found.name_losses(&[], losses);
            }
            ToolKind::Function | ToolKind::Custom { .. } | ToolKind::Client { .. } => {}
        }
    }
    if search {
        found.push((Str::from("googleSearch"), Raw::from_json("{}")));
    }
    Ok(found)
}

fn write_declaration(context: &Context<'_>, tool: &Tool<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("name").string(&context.exchange.tool_names.upstream(&tool.name));
    let custom = match &tool.kind {
        ToolKind::Custom { format } => Some(format.as_ref()),
        _ => None,
    };
    if let Some(format) = custom {
        losses.add(Action::Emulate, "custom_tool");
        write_custom(context, tool, format, losses, w);
    } else {
        if let ToolKind::Client { tag, .. } = &tool.kind {
            losses.emulate_tool(tag);
        }
        if let Some(description) = tool.description.as_ref().filter(|text| !text.is_empty()) {
            w.key("description").string(description);
        }
        // An object without properties is refused; no schema at all says the same (T082).
        if let Some(schema) = tool.schema.as_ref().filter(|schema| !schema::is_empty_object(schema)) {
            context.write_schema(["parametersJsonSchema", "parameters"], schema, losses, w);
        }
    }
    w.end_object();
}

/// A tool that takes free text is a function of one string; its grammar is told in words.
fn write_custom(
    context: &Context<'_>,
    tool: &Tool<'_>,
    format: Option<&Raw<'_>>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) {
    let description = describe_free_text(tool, format);
    if !description.is_empty() {
        w.key("description").string(&description);
    }
    let schema = Raw::from_json(FREE_TEXT);
    context.write_schema(["parametersJsonSchema", "parameters"], &schema, losses, w);
}

/// What `functionCallingConfig` is to say: a mode, and the names that it is about.
struct Calling<'c> {
    mode: &'static str,
    names: Vec<Str<'c>>,
}

fn write_config(context: &Context<'_>, declared: &[&Tool<'_>], losses: &mut Losses, w: &mut Writer<'_>) {
    let calling = calling(context, declared, losses);
    let mut extras = context.nested_extras("toolConfig").peekable();
    if calling.is_none() && extras.peek().is_none() {
        return;
    }
    w.key("toolConfig").begin_object();
    if let Some(Calling { mode, names }) = calling {
        w.key("functionCallingConfig").begin_object().key("mode").text(mode);
        if !names.is_empty() {
            w.key("allowedFunctionNames").begin_array();
            for name in &names {
                w.string(name);
            }
            w.end_array();
        }
        for (name, raw) in context.nested_extras("toolConfig.functionCallingConfig") {
            w.key_str(&Str::from(name)).raw(raw);
        }
        w.end_object();
    }
    for (name, raw) in extras {
        w.key_str(&Str::from(name)).raw(raw);
    }
    w.end_object();
}

fn calling<'c>(context: &'c Context<'_>, declared: &[&Tool<'_>], losses: &mut Losses) -> Option<Calling<'c>> {
    let choice = context.request.tool_choice.as_ref();
    if declared.is_empty() {
        // A choice without functions is refused (T076).
        if choice.is_some_and(|choice| !matches!(choice, ToolChoice::None)) {
            losses.drop("tool_choice");
        }
        return None;
    }
    let known: HashSet<_> = declared.iter().map(|tool| tool.name.decode()).collect();
    let is_declared = |name: &&Str<'_>| known.contains(&name.decode());
    let sent = |names: &'c [Str<'_>]| -> Vec<Str<'c>> {
        names.iter().filter(is_declared).map(|name| context.exchange.tool_names.upstream(name)).collect()
    };
    let without_names = |mode| Calling { mode, names: Vec::new() };
    let free = if is_validated(context, declared) { "VALIDATED" } else { "AUTO" };
    Some(match choice {
        None if free == "AUTO" => return None,
        None | Some(ToolChoice::Auto | ToolChoice::Allowed(Allowed { required: false, .. })) => {
            without_names(free)
        }
        Some(ToolChoice::None) => without_names("NONE"),
        Some(ToolChoice::Required) => without_names("ANY"),
        Some(ToolChoice::Allowed(Allowed { names, required: true })) => {
            Calling { mode: "ANY", names: sent(names) }
        }
        Some(ToolChoice::Tool(name)) => {
            let names = sent(std::slice::from_ref(name));
            if names.is_empty() {
                losses.drop("tool_choice");
                return None;
            }
            Calling { mode: "ANY", names }
        }
    })
}

/// Strict tools: the mode that holds arguments to their schemas, where it is known.
fn is_validated(context: &Context<'_>, declared: &[&Tool<'_>]) -> bool {
    context.has_levels() && declared.iter().any(|tool| tool.strict == Some(true))
}
