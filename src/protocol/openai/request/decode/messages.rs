//! Messages to turns (sections 2.5 and 2.7): only the leading run of system messages is the system
//! prompt, tool messages become parts of user turns.

use std::borrow::Cow;
use std::collections::HashSet;

use super::parts;
use crate::protocol::RequestError;
use crate::protocol::canonical::{Opaque, Part, PartKind, Request, Role, SystemBlock, Turn, derived_id};
use crate::protocol::json::{Error, Kind, Raw, Reader, Str};
use crate::protocol::openai::reasoning;

/// Names of message members that are reported lost; a bound for hostile input.
const MOST_UNKNOWN: usize = 20;

/// Reads `messages`.
pub(super) fn read<'a>(value: &mut Reader<'a>, request: &mut Request<'a>) -> Result<(), RequestError> {
    request.system.clear();
    request.turns.clear();
    let mut conversation = Conversation {
        request,
        leading: true,
        position: 0,
        custom: HashSet::new(),
        last_legacy: None,
        in_results: false,
    };
    value.array(|value| {
        let mut message = Message::default();
        value.object(|key, value| message.member(key, value))?;
        conversation.message(message)?;
        conversation.position += 1;
        Ok(())
    })
}

/// A message whose members may come in any order.
#[derive(Default)]
struct Message<'a> {
    role: Option<Str<'a>>,
    content: Vec<Part<'a>>,
    refusal: Option<Str<'a>>,
    reasoning: reasoning::Fields<'a>,
    calls: Vec<CallFields<'a>>,
    function_call: Option<CallFields<'a>>,
    tool_call_id: Option<Str<'a>>,
    name: Option<Str<'a>>,
    audio: Option<Raw<'a>>,
    images: Vec<Part<'a>>,
    signature: Option<Opaque<'a>>,
    unknown: Vec<(String, Raw<'a>)>,
}

impl<'a> Message<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), RequestError> {
        match key {
            "role" => self.role = Some(value.string()?),
            "content" => self.content = parts::read(value)?,
            "refusal" => self.refusal = value.string_or_null()?,
            "tool_calls" => self.calls = calls(value)?,
            "function_call" if value.peek()? == Kind::Object => {
                let mut call = CallFields::default();
                value.object(|key, value| call.member(key, value))?;
                self.function_call = Some(call);
            }
            "tool_call_id" => self.tool_call_id = value.string_or_null()?,
            "name" => self.name = value.string_or_null()?,
            "audio" => self.audio = Some(value.raw()?).filter(Raw::is_object),
            "images" => self.images = parts::images(value)?,
            "extra_content" => self.signature = reasoning::google_signature(value)?,
            // What an answer carried and a history need not: sources, and pads.
            "annotations" | "function_call" | "index" | "finish_reason" | "logprobs" => {}
            _ if self.reasoning.member(key, value)? => {}
            _ => self.keep(key, value)?,
        }
        Ok(())
    }

    fn keep(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        let raw = value.raw()?;
        if !raw.is_null() && self.unknown.len() < MOST_UNKNOWN {
            self.unknown.push((key.to_owned(), raw));
        }
        Ok(())
    }
}

/// One tool call of the history.
#[derive(Default)]
struct CallFields<'a> {
    id: Option<Str<'a>>,
    name: Option<Str<'a>>,
    arguments: Option<Cow<'a, str>>,
    custom: bool,
    signature: Option<Opaque<'a>>,
}

impl<'a> CallFields<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "id" => self.id = value.string_or_null()?,
            "name" => self.name = value.string_or_null()?,
            "type" => self.custom |= value.lenient_string()?.is_some_and(|kind| kind == "custom"),
            // Some clients send the object itself instead of its text.
            "arguments" if value.peek()? == Kind::Object => {
                self.arguments = Some(value.raw()?.into_text());
            }
            "arguments" | "input" => self.arguments = value.string_or_null()?.map(Str::into_decoded),
            "function" => value.lenient_object(|key, value| self.member(key, value))?,
            "custom" => {
                self.custom = true;
                value.lenient_object(|key, value| self.member(key, value))?;
            }
            "extra_content" => self.signature = reasoning::google_signature(value)?,
            _ => {}
        }
        Ok(())
    }

    fn part(self, id: Str<'a>) -> Part<'a> {
        let arguments = match self.arguments {
            Some(text) if self.custom || !text.trim().is_empty() => text,
            None if self.custom => Cow::Borrowed(""),
            // T059: an empty text is no JSON.
            _ => Cow::Borrowed("{}"),
        };
        let name = self.name.unwrap_or_default();
        let kind = PartKind::ToolCall { id, name, arguments, custom: self.custom };
        Part { kind, cache: None, opaque: self.signature }
    }
}

fn calls<'a>(value: &mut Reader<'a>) -> Result<Vec<CallFields<'a>>, Error> {
    let mut list = Vec::new();
    value.lenient_array(|value| {
        let mut call = CallFields::default();
        value.object(|key, value| call.member(key, value))?;
        list.push(call);
        Ok::<_, Error>(())
    })?;
    Ok(list)
}

struct Conversation<'r, 'a> {
    request: &'r mut Request<'a>,
    /// No other message than system messages has come.
    leading: bool,
    position: usize,
    /// Ids of calls of free-text tools: their results say nothing of it.
    custom: HashSet<String>,
    /// The id made for the last legacy `function_call`.
    last_legacy: Option<Str<'a>>,
    /// The last turn holds tool results, and takes more.
    in_results: bool,
}

impl<'a> Conversation<'_, 'a> {
    fn message(&mut self, mut message: Message<'a>) -> Result<(), RequestError> {
        let role = message.role.take().unwrap_or_default();
        self.report(&mut message, &role);
        let word = role.decode();
        let was_results = std::mem::take(&mut self.in_results);
        match word.as_ref() {
            "system" | "developer" => return self.system(message, word == "developer"),
            "user" => self.request.turns.push(Turn { role: Role::User, parts: message.content }),
            "assistant" => self.assistant(message),
            "tool" | "function" => self.result(message, word == "function", was_results),
            _ => {
                let param = format!("messages[{}].role", self.position);
                return Err(RequestError::invalid(param, "is not a role of Chat Completions"));
            }
        }
        self.leading = false;
        Ok(())
    }

    /// What has no place in a turn is an extra of the request, so that it is reported lost.
    fn report(&mut self, message: &mut Message<'a>, role: &Str<'_>) {
        let mut unknown = std::mem::take(&mut message.unknown);
        if let Some(name) = message.name.as_ref().filter(|_| *role != "function" && *role != "tool") {
            unknown.push(("name".to_owned(), Raw::from_json(format!("\"{}\"", name.as_escaped()))));
        }
        for (key, raw) in unknown {
            let key = Str::escape(format!("messages.{key}"));
            let extras = &mut self.request.extras;
            let listed = extras.iter().filter(|(k, _)| k.as_escaped().starts_with("messages.")).count();
            if listed < MOST_UNKNOWN && !extras.iter().any(|(k, _)| *k == key) {
                extras.push((key, raw));
            }
        }
    }

    fn system(&mut self, message: Message<'a>, developer: bool) -> Result<(), RequestError> {
        if !self.leading {
            let role = if developer { Role::Developer } else { Role::System };
            self.request.turns.push(Turn { role, parts: message.content });
            return Ok(());
        }
        for part in message.content {
            let PartKind::Text { text } = part.kind else {
                let param = format!("messages[{}].content", self.position);
                return Err(RequestError::invalid(param, "a system message holds text only"));
            };
            self.request.system.push(SystemBlock { text, cache: part.cache, developer });
        }
        Ok(())
    }

    fn assistant(&mut self, message: Message<'a>) {
        let mut lost = Vec::new();
        let mut parts = message.reasoning.into_history(&mut lost);
        for field in lost {
            self.request.extras.push((Str::from(field), Raw::from_json("null")));
        }
        parts.extend(message.content);
        if let Some(text) = message.refusal.filter(|text| !text.is_empty()) {
            parts.push(Part::new(PartKind::Refusal { text }));
        }
        if let Some(signature) = message.signature
            && let Some(text) = parts.iter_mut().rev().find(|p| matches!(p.kind, PartKind::Text { .. }))
        {
            text.opaque = Some(signature);
        }
        parts.extend(message.images);
        parts.extend(message.audio.map(parts::audio_reference));
        for (ordinal, call) in message.calls.into_iter().enumerate() {
            let id = call.id.clone().filter(|id| !id.is_empty()).unwrap_or_else(|| self.made_id(ordinal));
            if call.custom {
                self.custom.insert(id.decode().into_owned());
            }
            parts.push(call.part(id));
        }
        if let Some(call) = message.function_call {
            let id = self.made_id(0);
            self.last_legacy = Some(id.clone());
            parts.push(call.part(id));
        }
        self.request.turns.push(Turn { role: Role::Assistant, parts });
    }

    /// The same place in the same conversation gives the same id (T187).
    fn made_id(&self, ordinal: usize) -> Str<'static> {
        Str::escape(derived_id("call_", format!("chat {} {ordinal}", self.position).as_bytes()))
    }

    fn result(&mut self, message: Message<'a>, legacy: bool, was_results: bool) {
        let call_id = match message.tool_call_id {
            Some(id) => id,
            None if legacy => self.last_legacy.take().unwrap_or_default(),
            None => Str::EMPTY,
        };
        let custom = !self.custom.is_empty() && self.custom.contains(call_id.decode().as_ref());
        let part = Part::new(PartKind::ToolResult {
            call_id,
            name: message.name,
            content: message.content,
            is_error: false,
            custom,
        });
        // The results of one step are one turn.
        match self.request.turns.last_mut() {
            Some(turn) if was_results => turn.parts.push(part),
            _ => self.request.turns.push(Turn { role: Role::User, parts: vec![part] }),
        }
        self.in_results = true;
    }
}
