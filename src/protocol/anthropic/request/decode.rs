//! A client's request to the hub.

use super::super::block::cache_mark;
use super::builtin::builtin;
use super::content::Content;
use crate::protocol::canonical::PartKind;
use crate::protocol::canonical::{
    CacheMark, Effort, Format, ReasoningMode, Request, Role, SystemBlock, Tool, ToolChoice, ToolKind, Turn,
    Visibility,
};
use crate::protocol::json::{self, Error, ErrorKind, Kind, Number, Raw, Reader, Str};
use crate::protocol::{Protocol, RequestError};

/// Reads a client's request.
///
/// # Errors
///
/// If it is not well formed, or lacks what no upstream can do without.
pub(crate) fn decode(body: &str) -> Result<Request<'_>, RequestError> {
    let mut decoder = Decoder { body, request: Request::default(), notes: Vec::new(), has_messages: false };
    json::document(body, |key, value| decoder.member(key, value))?;
    if decoder.request.model.is_empty() {
        return Err(RequestError::invalid("model", "is required"));
    }
    if !decoder.has_messages {
        return Err(RequestError::invalid("messages", "is required"));
    }
    for note in std::mem::take(&mut decoder.notes) {
        decoder.extra(note.to_owned(), Raw::from_json("null"));
    }
    Ok(decoder.request)
}

struct Decoder<'a> {
    body: &'a str,
    request: Request<'a>,
    /// Names under which an encoder can report what has no place in the hub.
    notes: Vec<&'static str>,
    has_messages: bool,
}

impl<'a> Decoder<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        if value.peek()? == Kind::Null {
            return Ok(());
        }
        let request = &mut self.request;
        match key {
            "model" => request.model = value.string()?,
            "messages" => {
                self.has_messages = true;
                value.array(|message| self.message(message))?;
            }
            "system" => self.system(value)?,
            "tools" => value.array(|tool| self.tool(tool))?,
            "tool_choice" => self.tool_choice(value)?,
            "stream" => request.stream = value.boolean()?,
            "max_tokens" => request.output.max_tokens = Some(whole("max_tokens", &value.number()?)?),
            "stop_sequences" if value.peek()? == Kind::String => request.output.stop.push(value.string()?),
            "stop_sequences" => value.array(|text| {
                request.output.stop.push(text.string()?);
                Ok::<_, Error>(())
            })?,
            "temperature" => request.sampling.temperature = Some(value.number()?),
            "top_p" => request.sampling.top_p = Some(value.number()?),
            "top_k" => request.sampling.top_k = Some(value.number()?),
            "thinking" => self.thinking(value)?,
            "output_config" => self.output_config(value)?,
            "output_format" => self.format(value, "output_format")?,
            "cache_control" => request.cache.auto = cache_mark(value)?,
            "metadata" => value.lenient_object(|key, value| {
                if key == "user_id" {
                    request.identity.end_user = value.lenient_string()?;
                }
                Ok::<_, Error>(())
            })?,
            "service_tier" => request.service.tier = Some(value.string()?),
            _ => {
                let raw = value.raw()?;
                self.extra(key.to_owned(), raw);
            }
        }
        Ok(())
    }

    fn extra(&mut self, key: String, raw: Raw<'a>) {
        self.request.extras.push((Str::from(key), raw));
    }

    fn note(&mut self, name: &'static str) {
        if !self.notes.contains(&name) {
            self.notes.push(name);
        }
    }

    fn message(&mut self, reader: &mut Reader<'a>) -> Result<(), RequestError> {
        reader.peek()?;
        let offset = reader.offset();
        let mut role = None;
        let mut parts = Content::new(self.body);
        reader.object(|key, value| {
            match key {
                "role" => role = Some((value.offset(), value.string()?)),
                "content" => {
                    parts = Content::new(self.body);
                    parts.read(value)?;
                }
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        let Some((at, role)) = role else {
            return Err(Error { kind: ErrorKind::Expected("a message with `role`"), offset }.into());
        };
        let role = match role.decode().as_ref() {
            "user" => Role::User,
            "assistant" => Role::Assistant,
            "system" => Role::System,
            "developer" => Role::Developer,
            _ => return Err(Error { kind: ErrorKind::Expected("`user` or `assistant`"), offset: at }.into()),
        };
        if parts.mutated {
            self.note("reasoning.mutated");
        }
        if parts.has_search_result && self.request.approximations.is_empty() {
            self.request.approximations.push("search_result");
        }
        self.turn(role, parts);
        Ok(())
    }

    fn turn(&mut self, role: Role, content: Content<'a>) {
        let leads = self.request.turns.is_empty() && matches!(role, Role::System | Role::Developer);
        if !leads || content.parts.iter().any(|part| !matches!(part.kind, PartKind::Text { .. })) {
            self.request.turns.push(Turn { role, parts: content.parts });
            return;
        }
        for part in content.parts {
            if let PartKind::Text { text } = part.kind {
                let developer = role == Role::Developer;
                self.request.system.push(SystemBlock { text, cache: part.cache, developer });
            }
        }
    }

    fn system(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        let mut content = Content::new(self.body);
        content.read(reader)?;
        for part in content.parts {
            let PartKind::Text { text } = part.kind else { continue };
            // Telemetry with a hash per request: it would defeat every prompt cache (T184).
            if !text.as_escaped().starts_with("x-anthropic-billing-header:") {
                self.request.system.push(SystemBlock { text, cache: part.cache, developer: false });
            }
        }
        Ok(())
    }

    fn tool(&mut self, reader: &mut Reader<'a>) -> Result<(), Error> {
        reader.peek()?;
        let offset = reader.offset();
        let mut fields = ToolFields::default();
        reader.object(|key, value| fields.member(key, value))?;
        let raw = Raw::from_json(self.body.get(offset..reader.offset()).unwrap_or("{}"));
        for name in &fields.unknown {
            self.note(name);
        }
        let tool =
            fields.tool(raw).ok_or(Error { kind: ErrorKind::Expected("a tool with `name`"), offset })?;
        self.request.tools.push(tool);
        Ok(())
    }

    fn tool_choice(&mut self, reader: &mut Reader<'a>) -> Result<(), RequestError> {
        reader.peek()?;
        let offset = reader.offset();
        let (mut tag, mut name, mut serial) = (None, None, None);
        reader.object(|key, value| {
            match key {
                "type" => tag = Some(value.string()?),
                "name" => name = value.lenient_string()?,
                "disable_parallel_tool_use" => serial = value.boolean_or_null()?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        let word = tag.as_ref().map(Str::decode).unwrap_or_default();
        let unknown = Error { kind: ErrorKind::Expected("a known tool choice"), offset };
        self.request.tool_choice = Some(match (word.as_ref(), name) {
            ("auto", _) => ToolChoice::Auto,
            ("any", _) => ToolChoice::Required,
            ("none", _) => ToolChoice::None,
            ("tool", Some(name)) => ToolChoice::Tool(name),
            _ => return Err(unknown.into()),
        });
        self.request.parallel_tool_calls = serial.map(|serial| !serial);
        Ok(())
    }

    fn thinking(&mut self, reader: &mut Reader<'a>) -> Result<(), RequestError> {
        let (mut tag, mut budget, mut display) = (None, None, None);
        reader.object(|key, value| {
            match key {
                "type" => tag = Some(value.string()?),
                "budget_tokens" => budget = value.number_or_null()?,
                "display" => display = value.lenient_string()?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        let reasoning = &mut self.request.reasoning;
        reasoning.budget = budget.map(|n| whole("thinking.budget_tokens", &n)).transpose()?;
        let tag = tag.unwrap_or_default();
        reasoning.mode = if tag == "disabled" {
            ReasoningMode::Off
        } else if tag == "enabled" {
            ReasoningMode::On
        } else {
            ReasoningMode::Auto
        };
        let omitted = display.is_some_and(|word| word == "omitted");
        reasoning.visibility = match reasoning.mode {
            ReasoningMode::Off => Visibility::Unset,
            _ if omitted => Visibility::Hidden,
            _ => Visibility::Shown,
        };
        Ok(())
    }

    fn output_config(&mut self, reader: &mut Reader<'a>) -> Result<(), RequestError> {
        reader.object(|key, value| match key {
            "format" => self.format(value, "output_config.format"),
            _ => {
                let raw = value.raw()?;
                let effort =
                    (key == "effort").then(|| raw.as_text().and_then(|w| Effort::parse(&w.decode())));
                match effort.flatten() {
                    Some(effort) => self.request.reasoning.effort = Some(effort),
                    None if raw.is_null() => {}
                    None => self.extra(format!("output_config.{key}"), raw),
                }
                Ok(())
            }
        })
    }

    fn format(&mut self, reader: &mut Reader<'a>, name: &str) -> Result<(), RequestError> {
        let whole = reader.clone().raw()?;
        let (mut tag, mut title, mut schema) = (None, None, None);
        reader.lenient_object(|key, value| {
            match key {
                "type" => tag = value.lenient_string()?,
                "name" => title = value.lenient_string()?,
                "schema" => schema = Some(value.raw()?),
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        match (tag, schema) {
            (Some(tag), Some(schema)) if tag == "json_schema" => {
                let strict = Some(true);
                self.request.output.format =
                    Format::JsonSchema { name: title, description: None, schema, strict };
            }
            (Some(tag), _) if tag == "text" => {}
            _ if whole.is_null() => {}
            _ => self.extra(name.to_owned(), whole),
        }
        Ok(())
    }
}

fn whole(param: &'static str, number: &Number<'_>) -> Result<u64, RequestError> {
    number.as_u64().ok_or_else(|| RequestError::invalid(param, "must be a whole number, 0 or more"))
}

#[derive(Debug, Default)]
struct ToolFields<'a> {
    tag: Option<Str<'a>>,
    name: Option<Str<'a>>,
    description: Option<Str<'a>>,
    schema: Option<Raw<'a>>,
    strict: Option<bool>,
    cache: Option<CacheMark>,
    /// Inputs that fit the schema.
    examples: Option<Raw<'a>>,
    /// Members that no other protocol has, by the name under which they are lost.
    unknown: Vec<&'static str>,
}

impl<'a> ToolFields<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "type" => self.tag = value.lenient_string()?,
            "name" => self.name = value.lenient_string()?,
            "description" => self.description = value.lenient_string()?,
            "input_schema" => self.schema = Some(value.raw()?).filter(|raw| !raw.is_null()),
            "strict" => self.strict = value.boolean_or_null()?,
            "cache_control" => self.cache = cache_mark(value)?,
            "defer_loading" => self.unknown.push("tools.defer_loading"),
            "allowed_callers" => self.unknown.push("tools.allowed_callers"),
            "input_examples" => self.examples = Some(value.raw()?).filter(|raw| raw.is_array()),
            "eager_input_streaming" => self.unknown.push("tools.eager_input_streaming"),
            _ => {}
        }
        Ok(())
    }

    fn tool(self, raw: Raw<'a>) -> Option<Tool<'a>> {
        let Some(tag) = self.tag.filter(|tag| *tag != "custom") else {
            return Some(Tool {
                name: self.name?,
                description: with_examples(self.description, self.examples.as_ref()),
                schema: self.schema,
                strict: self.strict,
                kind: ToolKind::Function,
                cache: self.cache,
            });
        };
        if let Some(builtin) = builtin(&tag.decode()) {
            return Some(Tool {
                name: self.name?,
                description: with_examples(Some(builtin.description.into()), self.examples.as_ref()),
                schema: Some(Raw::from_json(builtin.schema)),
                strict: None,
                kind: ToolKind::Function,
                cache: self.cache,
            });
        }
        Some(Tool {
            // A toolset of an MCP server has no name.
            name: self.name.unwrap_or_default(),
            description: self.description,
            schema: self.schema,
            strict: None,
            kind: ToolKind::Hosted { protocol: Protocol::Anthropic, tag, raw },
            cache: self.cache,
        })
    }
}

/// Examples of inputs, which only Anthropic has a member for, in words behind the description (2.8).
fn with_examples<'a>(description: Option<Str<'a>>, examples: Option<&Raw<'a>>) -> Option<Str<'a>> {
    let Some(examples) = examples.filter(|raw| raw.as_str() != "[]") else { return description };
    let mut text = description.unwrap_or_default();
    text.push_text(if text.is_empty() { "" } else { "\n\n" });
    text.push_text("Examples of its input, as JSON: ");
    text.push_text(examples.as_str());
    Some(text)
}
