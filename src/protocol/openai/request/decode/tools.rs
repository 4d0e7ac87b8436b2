//! Tools, legacy functions, and which of them may be called.

use super::raw_or_null;
use crate::protocol::canonical::{Allowed, CacheMark, Request, Tool, ToolChoice, ToolKind};
use crate::protocol::json::{Error, Kind, Raw, Reader, Str};
use crate::protocol::openai::{LEGACY_FUNCTIONS, WEB_SEARCH, free_text};
use crate::protocol::{Protocol, RequestError};

#[derive(Default)]
struct Fields<'a> {
    kind: Option<Str<'a>>,
    name: Option<Str<'a>>,
    description: Option<Str<'a>>,
    schema: Option<Raw<'a>>,
    strict: Option<bool>,
    format: Option<Raw<'a>>,
    cache: Option<CacheMark>,
}

impl<'a> Fields<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "type" => self.kind = value.string_or_null()?,
            "name" => self.name = value.string_or_null()?,
            "description" => self.description = value.string_or_null()?,
            "parameters" => self.schema = raw_or_null(value)?,
            "strict" => self.strict = value.boolean_or_null()?,
            "format" => self.format = raw_or_null(value)?,
            "cache_control" => self.cache = super::parts::cache_mark(value)?,
            // The flat spelling of Responses is read as well.
            "function" | "custom" => value.lenient_object(|key, value| match key {
                "type" => Ok(()),
                _ => self.member(key, value),
            })?,
            _ => {}
        }
        Ok(())
    }

    fn tool(self, raw: Raw<'a>) -> Result<Tool<'a>, RequestError> {
        let kind = match self.kind.as_ref().map(|k| k.decode()).as_deref() {
            None | Some("function") => ToolKind::Function,
            Some("custom") => ToolKind::Custom { format: self.format.map(free_text::flat) },
            Some(_) => ToolKind::Hosted {
                protocol: Protocol::OpenAi,
                tag: self.kind.clone().unwrap_or_default(),
                raw,
            },
        };
        let name = match (&kind, self.name) {
            (_, Some(name)) if !name.is_empty() => name,
            (ToolKind::Hosted { tag, .. }, _) => tag.clone(),
            _ => return Err(RequestError::invalid("tools", "a tool has no name")),
        };
        Ok(Tool {
            name,
            description: self.description,
            schema: self.schema,
            strict: self.strict,
            kind,
            cache: self.cache,
        })
    }
}

/// Reads `tools`.
pub(super) fn read<'a>(value: &mut Reader<'a>, request: &mut Request<'a>) -> Result<(), RequestError> {
    if value.null()? {
        return Ok(());
    }
    value.array(|value| {
        let mut ahead = value.clone();
        let mut fields = Fields::default();
        value.object(|key, value| fields.member(key, value))?;
        request.tools.push(fields.tool(ahead.raw()?)?);
        Ok(())
    })
}

/// Reads the legacy `functions`.
pub(super) fn read_functions<'a>(
    value: &mut Reader<'a>,
    request: &mut Request<'a>,
) -> Result<(), RequestError> {
    if value.null()? {
        return Ok(());
    }
    request.echo.push((LEGACY_FUNCTIONS, Raw::from_json("true")));
    read(value, request)
}

/// Reads `web_search_options`: a hosted tool in all but spelling (section 2.13).
pub(super) fn read_web_search<'a>(
    value: &mut Reader<'a>,
    request: &mut Request<'a>,
) -> Result<(), RequestError> {
    request.tools.push(Tool {
        name: Str::from(WEB_SEARCH),
        description: None,
        schema: None,
        strict: None,
        kind: ToolKind::Hosted { protocol: Protocol::OpenAi, tag: Str::from(WEB_SEARCH), raw: value.raw()? },
        cache: None,
    });
    Ok(())
}

/// Reads `tool_choice`, and `function_call`, which is the same in older words.
pub(super) fn read_choice<'a>(
    key: &str,
    value: &mut Reader<'a>,
) -> Result<Option<ToolChoice<'a>>, RequestError> {
    let unknown = || RequestError::invalid(key.to_owned(), "is neither a mode nor a tool");
    match value.peek()? {
        Kind::Null => Ok(value.null().map(|_| None)?),
        Kind::String => match value.string()?.decode().as_ref() {
            "auto" => Ok(Some(ToolChoice::Auto)),
            "none" => Ok(Some(ToolChoice::None)),
            "required" | "any" => Ok(Some(ToolChoice::Required)),
            _ => Err(unknown()),
        },
        _ => {
            let mut choice = Choice::default();
            value.object(|key, value| choice.member(key, value))?;
            match (choice.names, choice.name) {
                (Some(names), _) => {
                    Ok(Some(ToolChoice::Allowed(Allowed { names, required: choice.required })))
                }
                (None, Some(name)) => Ok(Some(ToolChoice::Tool(name))),
                (None, None) => Err(unknown()),
            }
        }
    }
}

#[derive(Default)]
struct Choice<'a> {
    name: Option<Str<'a>>,
    names: Option<Vec<Str<'a>>>,
    required: bool,
}

impl<'a> Choice<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "name" => self.name = value.lenient_string()?,
            "mode" => self.required = value.lenient_string()?.is_some_and(|mode| mode == "required"),
            "tools" => {
                let mut names = Vec::new();
                value.lenient_array(|value| {
                    let mut tool = Choice::default();
                    value.lenient_object(|key, value| tool.named(key, value))?;
                    names.extend(tool.name);
                    Ok::<_, Error>(())
                })?;
                self.names = Some(names);
            }
            "function" | "custom" | "allowed_tools" => {
                value.lenient_object(|key, value| self.member(key, value))?;
            }
            _ => {}
        }
        Ok(())
    }

    /// A tool among the allowed ones.
    fn named(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "name" => self.name = value.lenient_string()?,
            "function" | "custom" => value.lenient_object(|key, value| self.named(key, value))?,
            _ => {}
        }
        Ok(())
    }
}
