//! The client's top-level members.

use super::content;
use super::input::Conversation;
use super::tools::{self, Toolbox};
use super::{DEFERRED, MUTATED, NAMESPACES};
use crate::protocol::RequestError;
use crate::protocol::canonical::{
    Effort, Format, ReasoningMode, Request, SystemBlock, ToolChoice, Visibility,
};
use crate::protocol::json::{Error, Kind, Number, Raw, Reader, Str};
use crate::protocol::responses::native::Native;
use crate::protocol::responses::object;

/// Reads a client's request. `null` is the same as absent; unknown members are kept as extras.
pub(crate) fn decode<'a>(body: &'a str) -> Result<Request<'a>, RequestError> {
    let mut reader = Reader::new(body);
    let mut draft = Draft::default();
    reader.object(|key, value| draft.member(key, value))?;
    reader.end()?;
    draft.finish()
}

#[derive(Default)]
struct Draft<'a> {
    request: Request<'a>,
    instructions: Vec<SystemBlock<'a>>,
    conversation: Conversation<'a>,
    toolbox: Toolbox<'a>,
    /// This protocol's own tools among those that `tool_choice` names.
    chosen: Vec<Native>,
    user: Option<Str<'a>>,
}

impl<'a> Draft<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        if value.clone().null()? {
            return Ok(());
        }
        if let Some(key) = object::echoed(key) {
            self.request.echo.push((key, value.clone().raw()?));
        }
        match key {
            "model" => self.request.model = value.string()?,
            "instructions" => self.instructions = instructions(value)?,
            "input" => self.conversation = Conversation::read(value)?,
            "stream" => self.request.stream = value.boolean()?,
            "tools" => self.toolbox.read(value)?,
            "tool_choice" => match tools::choice(value)? {
                tools::Choice::Known(choice, natives) => {
                    self.request.tool_choice = Some(choice);
                    self.chosen = natives;
                }
                tools::Choice::Native(native) => self.chosen = vec![native],
                tools::Choice::Foreign(raw) => self.extra("tool_choice", raw),
            },
            "parallel_tool_calls" => self.request.parallel_tool_calls = Some(value.boolean()?),
            "text" => self.text(value)?,
            "reasoning" => self.reasoning(value)?,
            "max_output_tokens" => self.request.output.max_tokens = Some(whole("max_output_tokens", value)?),
            "include" => self.include(value)?,
            "temperature" | "top_p" | "top_logprobs" => self.sampling(key, value.number()?),
            // Only how the bytes look (`include_obfuscation`).
            "stream_options" => {}
            _ => return self.state(key, value),
        }
        Ok(())
    }

    /// Caching, identity, service and stored state; the rest is unknown.
    fn state(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        let r = &mut self.request;
        match key {
            "prompt_cache_key" => r.cache.key = Some(value.string()?),
            "prompt_cache_retention" => r.cache.retention = Some(value.string()?),
            "safety_identifier" => r.identity.end_user = Some(value.string()?),
            "user" => self.user = Some(value.string()?),
            "metadata" => r.identity.metadata = Some(value.raw()?),
            "service_tier" => r.service.tier = Some(value.string()?),
            "store" => r.state.store = Some(value.boolean()?),
            "previous_response_id" => r.state.previous_id = Some(value.string()?),
            "conversation" => r.state.conversation = Some(value.raw()?),
            "prompt" => r.state.prompt = Some(value.raw()?),
            "background" => r.state.background = value.boolean()?,
            // The default, which says nothing.
            "truncation" if value.clone().lenient_string()?.is_some_and(|word| word == "disabled") => {}
            _ => {
                let raw = value.raw()?;
                self.extra(key, raw);
            }
        }
        Ok(())
    }

    fn extra(&mut self, key: &str, raw: Raw<'a>) {
        self.request.extras.push((Str::escape(key.to_owned()), raw));
    }

    fn sampling(&mut self, key: &str, number: Number<'a>) {
        let sampling = &mut self.request.sampling;
        let slot = match key {
            "temperature" => &mut sampling.temperature,
            "top_p" => &mut sampling.top_p,
            _ => &mut sampling.top_logprobs,
        };
        *slot = Some(number);
    }

    fn text(&mut self, value: &mut Reader<'a>) -> Result<(), RequestError> {
        value.object(|key, value| match key {
            "verbosity" => {
                self.request.output.verbosity = value.string_or_null()?;
                Ok(())
            }
            "format" => self.format(value),
            _ => {
                let raw = value.raw()?;
                self.extra(&format!("text.{key}"), raw);
                Ok(())
            }
        })
    }

    fn format(&mut self, value: &mut Reader<'a>) -> Result<(), RequestError> {
        let mut whole = value.clone();
        let (mut kind, mut name, mut description) = (Str::EMPTY, None, None);
        let (mut schema, mut strict) = (None, None);
        value.lenient_object(|key, value| {
            match key {
                "type" => kind = value.string()?,
                "name" => name = value.string_or_null()?,
                "description" => description = value.string_or_null()?,
                "schema" => schema = Some(value.raw()?),
                "strict" => strict = value.boolean_or_null()?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        self.request.output.format = match &*kind.decode() {
            "" | "text" => Format::Text,
            "json_object" => Format::JsonObject,
            "json_schema" => match schema {
                Some(schema) => Format::JsonSchema { name, description, schema, strict },
                None => return Err(RequestError::invalid("text.format.schema", "is missing")),
            },
            _ => {
                let raw = whole.raw()?;
                self.extra("text.format", raw);
                return Ok(());
            }
        };
        Ok(())
    }

    fn reasoning(&mut self, value: &mut Reader<'a>) -> Result<(), RequestError> {
        self.request.reasoning.visibility = Visibility::Hidden;
        value.object(|key, value| {
            if value.null()? {
                return Ok(());
            }
            let raw = value.raw()?;
            let word = raw.as_text().map(|word| word.decode().into_owned()).unwrap_or_default();
            let known = match key {
                "effort" => self.effort(&word),
                "summary" | "generate_summary" => {
                    self.request.reasoning.visibility = Visibility::Shown;
                    // How long it is to be is a matter between this client and its own provider.
                    word == "auto"
                }
                _ => false,
            };
            if !known {
                self.extra(&format!("reasoning.{key}"), raw);
            }
            Ok(())
        })
    }

    fn effort(&mut self, word: &str) -> bool {
        let reasoning = &mut self.request.reasoning;
        reasoning.effort = Effort::parse(word);
        reasoning.mode = match reasoning.effort {
            Some(Effort::None) => ReasoningMode::Off,
            Some(_) => ReasoningMode::On,
            None => return false,
        };
        true
    }

    /// Encrypted reasoning is always asked for and log probabilities have a place; the other entries
    /// matter to hosted tools only.
    fn include(&mut self, value: &mut Reader<'a>) -> Result<(), RequestError> {
        let mut whole = value.clone();
        let mut others = false;
        value.array(|entry| {
            let entry = entry.string()?;
            if entry == "message.output_text.logprobs" {
                self.request.sampling.logprobs = Some(true);
            } else if entry != "reasoning.encrypted_content" {
                others = true;
            }
            Ok::<_, Error>(())
        })?;
        if others {
            let raw = whole.raw()?;
            self.extra("include", raw);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Request<'a>, RequestError> {
        let mut conversation = std::mem::take(&mut self.conversation).finish();
        self.toolbox.join(std::mem::take(&mut conversation.tools));
        let renamed = self.toolbox.make_way();
        conversation.rename_calls(&renamed);
        let name = |native: Native| {
            let new = renamed.iter().find(|(own, _)| *own == native).map(|(_, name)| name.clone());
            new.unwrap_or_else(|| native.name().into())
        };
        match (&mut self.request.tool_choice, self.chosen.as_slice()) {
            (Some(ToolChoice::Allowed(allowed)), natives) => {
                allowed.names.extend(natives.iter().map(|native| name(*native)));
            }
            (choice, [native]) => *choice = Some(ToolChoice::Tool(name(*native))),
            _ => {}
        }
        if let Some(map) = self.toolbox.namespaces() {
            self.request.echo.push((NAMESPACES, map));
        }
        if self.toolbox.deferred {
            self.extra(DEFERRED, Raw::from_json("true"));
        }
        if conversation.mutated {
            self.extra(MUTATED, Raw::from_json("null"));
        }
        let mut request = self.request;
        request.system = self.instructions;
        request.system.extend(conversation.system);
        request.turns = conversation.turns;
        request.tools = self.toolbox.tools;
        if request.identity.end_user.is_none() {
            request.identity.end_user = self.user;
        }
        Ok(request)
    }
}

/// A string, or (as some clients do) items of which the texts count.
fn instructions<'a>(value: &mut Reader<'a>) -> Result<Vec<SystemBlock<'a>>, RequestError> {
    let block = |text| SystemBlock { text, cache: None, developer: false };
    if value.peek()? == Kind::String {
        let text = value.string()?;
        return Ok(if text.is_empty() { Vec::new() } else { vec![block(text)] });
    }
    let mut blocks = Vec::new();
    value.array(|item| {
        item.object(|key, value| {
            if key == "content" {
                blocks.extend(content::texts(value)?.into_iter().map(block));
            }
            Ok::<_, RequestError>(())
        })
    })?;
    Ok(blocks)
}

fn whole(param: &'static str, value: &mut Reader<'_>) -> Result<u64, RequestError> {
    value.number()?.as_u64().ok_or_else(|| RequestError::invalid(param, "must be a whole number from 0 up"))
}
