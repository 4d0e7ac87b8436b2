//! A Chat client's request to the hub. Tolerant of what clients send; strict about what would change
//! the answer unseen.

mod messages;
mod parts;
mod tools;

use super::sampling;
use crate::protocol::RequestError;
use crate::protocol::canonical::{Effort, Format, Reasoning, ReasoningMode, Request};
use crate::protocol::json::{self, Error, Kind, Number, Raw, Reader, Str};

/// Reads a request.
pub(crate) fn decode(body: &str) -> Result<Request<'_>, RequestError> {
    let mut draft = Draft::default();
    json::document(body, |key, value| draft.member(key, value))?;
    draft.finish()
}

/// A request whose members may come in any order.
#[derive(Default)]
struct Draft<'a> {
    request: Request<'a>,
    max_tokens: Option<Number<'a>>,
    max_completion_tokens: Option<Number<'a>>,
    user: Option<Str<'a>>,
    has_messages: bool,
}

impl<'a> Draft<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        match key {
            "model" => self.request.model = value.string()?,
            "messages" => {
                self.has_messages = true;
                messages::read(value, &mut self.request)?;
            }
            "stream" => self.request.stream = value.boolean_or_null()?.unwrap_or(false),
            "stream_options" => self.stream_options(value)?,
            "max_tokens" => self.max_tokens = value.number_or_null()?,
            "max_completion_tokens" => self.max_completion_tokens = value.number_or_null()?,
            _ if self.tool_member(key, value)? => {}
            _ if self.sampling_member(key, value)? => {}
            _ => self.other_member(key, value)?,
        }
        Ok(())
    }

    fn tool_member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<bool, RequestError> {
        match key {
            "tools" => tools::read(value, &mut self.request)?,
            "functions" => tools::read_functions(value, &mut self.request)?,
            "tool_choice" | "function_call" => {
                if let Some(choice) = tools::read_choice(key, value)? {
                    self.request.tool_choice = Some(choice);
                }
            }
            "parallel_tool_calls" => self.request.parallel_tool_calls = value.boolean_or_null()?,
            "web_search_options" if !value.null()? => tools::read_web_search(value, &mut self.request)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn sampling_member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<bool, RequestError> {
        let sampling = &mut self.request.sampling;
        match key {
            "temperature" => sampling.temperature = value.number_or_null()?,
            "top_p" => sampling.top_p = value.number_or_null()?,
            "top_k" => sampling.top_k = value.number_or_null()?,
            "seed" => sampling.seed = value.number_or_null()?,
            "presence_penalty" => sampling.presence_penalty = value.number_or_null()?,
            "frequency_penalty" => sampling.frequency_penalty = value.number_or_null()?,
            "logit_bias" => sampling.logit_bias = raw_or_null(value)?,
            "logprobs" => sampling.logprobs = value.boolean_or_null()?,
            "top_logprobs" => sampling.top_logprobs = value.number_or_null()?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn other_member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        let request = &mut self.request;
        match key {
            "n" => request.output.n = count("n", value.number_or_null()?.as_ref())?,
            "stop" => request.output.stop = stop(value)?,
            "response_format" => self.response_format(value)?,
            "reasoning_effort" => self.reasoning_effort(value)?,
            "verbosity" => request.output.verbosity = value.string_or_null()?,
            "modalities" => request.output.modalities = modalities(value)?,
            "metadata" => request.identity.metadata = raw_or_null(value)?,
            "safety_identifier" => request.identity.end_user = value.string_or_null()?,
            "user" => self.user = value.string_or_null()?,
            "store" => request.state.store = value.boolean_or_null()?,
            "service_tier" => request.service.tier = value.string_or_null()?,
            "prompt_cache_key" => request.cache.key = value.string_or_null()?,
            "prompt_cache_retention" => request.cache.retention = value.string_or_null()?,
            _ => self.keep(key, value)?,
        }
        Ok(())
    }

    /// A member that has no place in the hub; `null` says nothing.
    fn keep(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        let raw = value.raw()?;
        if !raw.is_null() {
            self.request.extras.push((Str::escape(key.to_owned()), raw));
        }
        Ok(())
    }

    fn stream_options(&mut self, value: &mut Reader<'a>) -> Result<(), RequestError> {
        if value.null()? {
            return Ok(());
        }
        // `include_obfuscation` only pads the stream of its own vendor.
        value.object(|key, value| {
            if key == "include_usage" {
                self.request.include_usage = value.boolean_or_null()?.unwrap_or(false);
            }
            Ok(())
        })
    }

    fn reasoning_effort(&mut self, value: &mut Reader<'a>) -> Result<(), RequestError> {
        let ahead = value.clone();
        let Some(word) = value.string_or_null()? else { return Ok(()) };
        match Effort::parse(&word.decode()) {
            Some(effort) => {
                let mode = if effort == Effort::None { ReasoningMode::Off } else { ReasoningMode::On };
                self.request.reasoning = Reasoning { mode, effort: Some(effort), ..Reasoning::default() };
            }
            // `default` and words to come.
            None => self.keep("reasoning_effort", &mut ahead.clone())?,
        }
        Ok(())
    }

    fn response_format(&mut self, value: &mut Reader<'a>) -> Result<(), RequestError> {
        let mut ahead = value.clone();
        if value.null()? {
            return Ok(());
        }
        let (mut kind, mut schema) = (None, None);
        value.object(|key, value| {
            match key {
                "type" => kind = Some(value.string()?),
                "json_schema" if value.peek()? == Kind::Object => schema = Some(json_schema(value)?),
                _ => {}
            }
            Ok::<_, RequestError>(())
        })?;
        let kind = kind.unwrap_or_default();
        self.request.output.format = match (kind.decode().as_ref(), schema) {
            ("text", _) => Format::Text,
            ("json_object", _) => Format::JsonObject,
            ("json_schema", Some(schema)) => schema,
            ("json_schema", None) => {
                return Err(RequestError::invalid("response_format.json_schema", "is required"));
            }
            _ => return Ok(self.keep("response_format", &mut ahead)?),
        };
        Ok(())
    }

    fn finish(self) -> Result<Request<'a>, RequestError> {
        let mut request = self.request;
        if request.model.is_blank() {
            return Err(RequestError::invalid("model", "is required"));
        }
        if !self.has_messages {
            return Err(RequestError::invalid("messages", "is required"));
        }
        sampling::check(&request.sampling)?;
        let limit = count("max_completion_tokens", self.max_completion_tokens.as_ref())?;
        let legacy = count("max_tokens", self.max_tokens.as_ref())?;
        request.output.max_tokens = limit.or(legacy);
        if let (Some(limit), Some(legacy), Some(number)) = (limit, legacy, self.max_tokens)
            && limit != legacy
        {
            // Both given and different: the newer wins, and the loss has a name.
            request.extras.push((Str::from("max_tokens"), Raw::from_json(number.as_str().to_owned())));
        }
        match (self.user, &request.identity.end_user) {
            (Some(user), None) => request.identity.end_user = Some(user),
            (Some(user), Some(known)) if user != *known => {
                let raw = format!("\"{}\"", user.as_escaped());
                request.extras.push((Str::from("user"), Raw::from_json(raw)));
            }
            _ => {}
        }
        Ok(request)
    }
}

fn raw_or_null<'a>(value: &mut Reader<'a>) -> Result<Option<Raw<'a>>, Error> {
    Ok(Some(value.raw()?).filter(|raw| !raw.is_null()))
}

/// A whole number from 1 up.
fn count(name: &'static str, number: Option<&Number<'_>>) -> Result<Option<u64>, RequestError> {
    let Some(number) = number else { return Ok(None) };
    match number.as_u64() {
        Some(value) if value > 0 => Ok(Some(value)),
        _ => Err(RequestError::invalid(name, "must be a whole number from 1 up")),
    }
}

/// One text or a list; empty texts stop nothing.
fn stop<'a>(value: &mut Reader<'a>) -> Result<Vec<Str<'a>>, Error> {
    let mut list = Vec::new();
    match value.peek()? {
        Kind::Array => value.array(|value| {
            list.extend(value.string_or_null()?);
            Ok::<_, Error>(())
        })?,
        _ => list.extend(value.string_or_null()?),
    }
    list.retain(|text| !text.is_empty());
    Ok(list)
}

/// `["text"]` asks for nothing beyond text.
fn modalities<'a>(value: &mut Reader<'a>) -> Result<Option<Raw<'a>>, Error> {
    let raw = raw_or_null(&mut value.clone())?;
    let mut beyond_text = false;
    value.lenient_array(|value| {
        beyond_text |= value.lenient_string()?.is_none_or(|word| word != "text");
        Ok::<_, Error>(())
    })?;
    Ok(raw.filter(|_| beyond_text))
}

fn json_schema<'a>(value: &mut Reader<'a>) -> Result<Format<'a>, RequestError> {
    let (mut name, mut description, mut schema, mut strict) = (None, None, None, None);
    value.object(|key, value| {
        match key {
            "name" => name = value.string_or_null()?,
            "description" => description = value.string_or_null()?,
            "schema" => schema = raw_or_null(value)?,
            "strict" => strict = value.boolean_or_null()?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    let schema = schema.unwrap_or_else(|| Raw::from_json("{}"));
    Ok(Format::JsonSchema { name, description, schema, strict })
}
