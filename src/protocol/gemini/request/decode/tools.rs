//! `tools` and `toolConfig` (2.8, 2.13).

use super::super::super::keys::{camel, each};
use super::super::super::schema;
use super::{Result, extra, strings};
use crate::protocol::Protocol;
use crate::protocol::canonical::{Allowed, Request, Tool, ToolChoice, ToolKind};
use crate::protocol::json::{Raw, Reader, Str};

/// Extra that marks `mode: VALIDATED` until all tools have been read.
const VALIDATED: &str = "toolConfig.functionCallingConfig.validated";

/// Each entry holds declarations, hosted tools by their key, or both.
pub(super) fn tools<'a>(reader: &mut Reader<'a>, request: &mut Request<'a>) -> Result<()> {
    each(reader, |entry| {
        entry.object(|key, value| {
            if value.null()? {
                return Ok(());
            }
            match &*camel(key) {
                "functionDeclarations" => each(value, |tool| declaration(tool, request)),
                hosted => {
                    request.tools.push(self::hosted(hosted, value.raw()?));
                    Ok(())
                }
            }
        })
    })
}

fn hosted<'a>(key: &str, raw: Raw<'a>) -> Tool<'a> {
    let tag = Str::from(key.to_owned());
    Tool {
        name: tag.clone(),
        description: None,
        schema: None,
        strict: None,
        kind: ToolKind::Hosted { protocol: Protocol::Gemini, tag, raw },
        cache: None,
    }
}

fn declaration<'a>(reader: &mut Reader<'a>, request: &mut Request<'a>) -> Result<()> {
    let mut tool = Tool {
        name: Str::EMPTY,
        description: None,
        schema: None,
        strict: None,
        kind: ToolKind::Function,
        cache: None,
    };
    reader.object(|key, value| {
        if value.null()? {
            return Ok(());
        }
        match &*camel(key) {
            "name" => tool.name = value.string()?,
            "description" => tool.description = Some(value.string()?),
            "parameters" => tool.schema = Some(schema::from_openapi(value.raw()?)),
            "parametersJsonSchema" => tool.schema = Some(value.raw()?),
            other => extra(request, format!("tools.functionDeclarations.{other}"), value.raw()?),
        }
        Ok::<_, crate::protocol::RequestError>(())
    })?;
    if tool.name.is_empty() {
        return Err(crate::protocol::RequestError::invalid(
            "tools.functionDeclarations.name",
            "a function needs a name",
        ));
    }
    request.tools.push(tool);
    Ok(())
}

pub(super) fn tool_config<'a>(reader: &mut Reader<'a>, request: &mut Request<'a>) -> Result<()> {
    reader.object(|key, value| {
        if value.null()? {
            return Ok(());
        }
        match &*camel(key) {
            "functionCallingConfig" => calling(value, request)?,
            other => extra(request, format!("toolConfig.{other}"), value.raw()?),
        }
        Ok(())
    })
}

fn calling<'a>(reader: &mut Reader<'a>, request: &mut Request<'a>) -> Result<()> {
    let mut mode = String::new();
    let mut names = Vec::new();
    reader.object(|key, value| {
        if value.null()? {
            return Ok(());
        }
        match &*camel(key) {
            "mode" => mode = value.string()?.decode().to_ascii_uppercase(),
            "allowedFunctionNames" => names = strings(value)?,
            other => extra(request, format!("toolConfig.functionCallingConfig.{other}"), value.raw()?),
        }
        Ok::<_, crate::protocol::RequestError>(())
    })?;
    if mode == "VALIDATED" {
        extra(request, VALIDATED.to_owned(), Raw::from_json("true"));
    }
    request.tool_choice = choice(&mode, names);
    Ok(())
}

fn choice<'a>(mode: &str, mut names: Vec<Str<'a>>) -> Option<ToolChoice<'a>> {
    Some(match mode {
        "NONE" => ToolChoice::None,
        "ANY" if names.len() == 1 => ToolChoice::Tool(names.pop()?),
        "ANY" if names.is_empty() => ToolChoice::Required,
        "ANY" => ToolChoice::Allowed(Allowed { names, required: true }),
        "AUTO" | "VALIDATED" if names.is_empty() => ToolChoice::Auto,
        "AUTO" | "VALIDATED" => ToolChoice::Allowed(Allowed { names, required: false }),
        _ => return None,
    })
}

/// VALIDATED holds arguments to their schemas: other protocols say so per tool (`strict`).
pub(super) fn mark_validated(request: &mut Request<'_>) {
    let before = request.extras.len();
    request.extras.retain(|(key, _)| *key != VALIDATED);
    if request.extras.len() < before {
        for tool in request.tools.iter_mut().filter(|tool| matches!(tool.kind, ToolKind::Function)) {
            tool.strict.get_or_insert(true);
        }
    }
}
