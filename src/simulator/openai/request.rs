//! Reads a Chat Completions request, and refuses what the API would refuse.

use serde_json::Value;

use super::{flag, media, missing, most_probable, tokens, tool_name, wrong_type, wrong_value};
use crate::simulator::ask::{Ask, Choice, Reasoning, Tool};
use crate::simulator::refusal::Refusal;

/// Parameters of other providers, which a translation must not let through.
const FOREIGN: [&str; 12] = [
    "contents",
    "generationConfig",
    "include",
    "input",
    "instructions",
    "max_output_tokens",
    "output_config",
    "stop_sequences",
    "system",
    "systemInstruction",
    "text",
    "thinking",
];

const ROLES: &str = "'system', 'assistant', 'user', 'function', 'tool', and 'developer'";

type Outcome<T = ()> = Result<T, Refusal>;

/// Reads the request.
pub(crate) fn read(body: &Value) -> Outcome<Ask> {
    let Some(fields) = body.as_object() else { return Err(Refusal::bad(super::UNREADABLE)) };
    if let Some(foreign) = FOREIGN.iter().find(|name| fields.contains_key(**name)) {
        return Err(Refusal::bad(format!("Unrecognized request argument supplied: {foreign}")));
    }
    let mut ask = Ask { parallel: flag(body, "parallel_tool_calls", true)?, ..Ask::default() };
    ask.model = match body.get("model") {
        Some(Value::String(model)) if !model.is_empty() => model.clone(),
        None | Some(Value::Null | Value::String(_)) => {
            return Err(Refusal::bad("you must provide a model parameter"));
        }
        Some(other) => return Err(wrong_type("model", "a string", other)),
    };
    ask.stream = flag(body, "stream", false)?;
    if !ask.stream && body.get("stream_options").is_some_and(|options| !options.is_null()) {
        let message = "The 'stream_options' parameter is only allowed when 'stream' is enabled.";
        return Err(Refusal::bad(message).param("stream_options"));
    }
    limits(body, &mut ask)?;
    ask.reasoning = match body.get("reasoning_effort").and_then(Value::as_str) {
        None | Some("none") => Reasoning::Off,
        Some("minimal" | "low" | "medium" | "high" | "xhigh" | "max") => Reasoning::Shown,
        Some(other) => {
            let known = "'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and 'max'";
            return Err(wrong_value("reasoning_effort", other, known));
        }
    };
    stops(body, &mut ask)?;
    if flag(body, "logprobs", false)? {
        ask.logprobs = Some(most_probable(body, &ask.model)?);
    } else if body.get("top_logprobs").is_some_and(|most| !most.is_null()) {
        let message = "Invalid value for 'top_logprobs': 'logprobs' must be set to true to use this.";
        return Err(Refusal::bad(message).param("top_logprobs"));
    }
    ask.searches = body.get("web_search_options").is_some_and(Value::is_object);
    if ask.searches && !ask.model.contains("search") {
        let message = "Web search options not supported with this model.";
        return Err(Refusal::bad(message).param("web_search_options"));
    }
    tools(body, &mut ask)?;
    let text = messages(body, &mut ask)?;
    format(body, &text, &mut ask)?;
    Ok(ask)
}

fn limits(body: &Value, ask: &mut Ask) -> Outcome {
    let old = tokens(body, "max_tokens", 1)?;
    let new = tokens(body, "max_completion_tokens", 1)?;
    if old.is_some() && new.is_some() {
        let message = "Setting 'max_tokens' and 'max_completion_tokens' at the same time is not supported.";
        return Err(Refusal::bad(message).code("invalid_parameter_combination"));
    }
    ask.max_tokens = new.or(old);
    for (name, least, most) in [("temperature", 0.0, 2.0), ("top_p", 0.0, 1.0)] {
        let Some(value) = body.get(name).filter(|value| !value.is_null()) else { continue };
        let Some(number) = value.as_f64() else { return Err(wrong_type(name, "a decimal", value)) };
        if number > most || number < least {
            let (side, sign, edge) =
                if number > most { ("above maximum", "<=", most) } else { ("below minimum", ">=", least) };
            return Err(Refusal::bad(format!(
                "Invalid '{name}': decimal {side} value. Expected a value {sign} {edge}, but got {number} instead."
            ))
            .param(name)
            .code(if number > most { "decimal_above_max_value" } else { "decimal_below_min_value" }));
        }
    }
    Ok(())
}

fn stops(body: &Value, ask: &mut Ask) -> Outcome {
    match body.get("stop") {
        None | Some(Value::Null) => {}
        Some(Value::String(stop)) => ask.stop.push(stop.clone()),
        Some(Value::Array(stops)) if stops.len() > 4 => {
            return Err(Refusal::bad(format!(
                "Invalid 'stop': array too long. Expected an array with maximum length 4, but got an array with length {} instead.",
                stops.len()
            ))
            .param("stop")
            .code("array_above_max_length"));
        }
        Some(Value::Array(stops)) => {
            ask.stop.extend(stops.iter().filter_map(Value::as_str).map(str::to_owned));
        }
        Some(other) => return Err(wrong_type("stop", "one of an array of strings or string", other)),
    }
    Ok(())
}

fn tools(body: &Value, ask: &mut Ask) -> Outcome {
    let tools: &[Value] = match body.get("tools") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(tools)) if tools.is_empty() => {
            let message = "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array instead.";
            return Err(Refusal::bad(message).param("tools").code("empty_array"));
        }
        Some(Value::Array(tools)) => tools,
        Some(other) => return Err(wrong_type("tools", "an array of objects", other)),
    };
    for (n, tool) in tools.iter().enumerate() {
        let kind = match tool.get("type").and_then(Value::as_str) {
            Some(kind @ ("function" | "custom")) => kind,
            Some(other) => {
                return Err(wrong_value(format!("tools[{n}].type"), other, "'function' and 'custom'"));
            }
            None => return Err(missing(format!("tools[{n}].type"))),
        };
        let place = format!("tools[{n}].{kind}");
        let Some(function) = tool.get(kind) else { return Err(missing(place)) };
        let name = tool_name(function, &place)?;
        let schema = function.get("parameters").cloned().unwrap_or(Value::Null);
        if !matches!(schema, Value::Null | Value::Object(_)) {
            return Err(wrong_type(format!("{place}.parameters"), "an object", &schema));
        }
        ask.count(&name);
        ask.tools.push(Tool { name, schema, custom: kind == "custom", namespace: None });
    }
    choice(body, ask)
}

fn choice(body: &Value, ask: &mut Ask) -> Outcome {
    let Some(choice) = body.get("tool_choice").filter(|choice| !choice.is_null()) else { return Ok(()) };
    if ask.tools.is_empty() && choice.as_str() != Some("none") {
        let message =
            "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified.";
        return Err(Refusal::bad(message).param("tool_choice"));
    }
    ask.choice = match choice {
        Value::String(mode) => match mode.as_str() {
            "auto" | "required" => Choice::Auto,
            "none" => Choice::None,
            other => return Err(wrong_value("tool_choice", other, "'none', 'auto', and 'required'")),
        },
        Value::Object(_) => {
            let kind = choice.get("type").and_then(Value::as_str).unwrap_or_default();
            let named = choice.get(kind).and_then(|tool| tool.get("name")).and_then(Value::as_str);
            let allowed = choice.pointer("/allowed_tools/tools/0/function/name").and_then(Value::as_str);
            match named.or(allowed) {
                Some(name) if ask.tools.iter().any(|tool| tool.name == name) => {
                    Choice::Named(name.to_owned())
                }
                Some(name) => {
                    let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
                    return Err(Refusal::bad(message).param("tool_choice"));
                }
                None => return Err(missing("tool_choice.function.name")),
            }
        }
        other => return Err(wrong_type("tool_choice", "one of a string or object", other)),
    };
    Ok(())
}

/// Whether "json" stands in the messages, as the plain JSON mode demands.
struct Text {
    says_json: bool,
}

fn format(body: &Value, text: &Text, ask: &mut Ask) -> Outcome {
    let Some(format) = body.get("response_format").filter(|format| !format.is_null()) else { return Ok(()) };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => {}
        Some("json_object") if !text.says_json => {
            let message = "'messages' must contain the word 'json' in some form, to use 'response_format' of type 'json_object'.";
            return Err(Refusal::bad(message).param("messages"));
        }
        Some("json_object") => {
            ask.format = Some(serde_json::json!({"type": "object", "required": ["answer"]}))
        }
        Some("json_schema") => {
            let Some(schema) = format.get("json_schema") else {
                return Err(missing("response_format.json_schema"));
            };
            tool_name(schema, "response_format.json_schema")?;
            ask.format = Some(schema.get("schema").cloned().unwrap_or_default());
        }
        Some(other) => {
            let known = "'json_object', 'json_schema', and 'text'";
            return Err(wrong_value("response_format.type", other, known));
        }
        None => return Err(missing("response_format.type")),
    }
    Ok(())
}

fn messages(body: &Value, ask: &mut Ask) -> Outcome<Text> {
    let messages = match body.get("messages") {
        None | Some(Value::Null) => return Err(missing("messages")),
        Some(Value::Array(messages)) if messages.is_empty() => {
            let message = "Invalid 'messages': empty array. Expected an array with minimum length 1, but got an empty array instead.";
            return Err(Refusal::bad(message).param("messages").code("empty_array"));
        }
        Some(Value::Array(messages)) => messages,
        Some(other) => return Err(wrong_type("messages", "an array of objects", other)),
    };
    let mut walk = Walk { ask, open: Vec::new(), caller: 0, text: Text { says_json: false } };
    for (n, message) in messages.iter().enumerate() {
        walk.message(n, message)?;
    }
    walk.settle()?;
    Ok(walk.text)
}

/// Walks over the messages with the calls that still need a result.
struct Walk<'a, 'b> {
    ask: &'b mut Ask,
    open: Vec<&'a str>,
    caller: usize,
    text: Text,
}

impl<'a> Walk<'a, '_> {
    fn message(&mut self, n: usize, message: &'a Value) -> Outcome {
        let role = match message.get("role") {
            Some(Value::String(role)) => role.as_str(),
            Some(other) => return Err(wrong_type(format!("messages[{n}].role"), "a string", other)),
            None => return Err(missing(format!("messages[{n}].role"))),
        };
        if role != "tool" {
            self.settle()?;
        }
        match role {
            "system" | "developer" => {
                let texts = self.content(n, message)?;
                texts.iter().for_each(|text| self.ask.system(text));
            }
            "user" => {
                for text in self.content(n, message)? {
                    self.ask.user(text);
                }
            }
            "assistant" => self.assistant(n, message)?,
            "tool" => self.tool(n, message)?,
            "function" => {}
            other => return Err(wrong_value(format!("messages[{n}].role"), other, ROLES)),
        }
        Ok(())
    }

    /// After the tool messages no call may be left without a result.
    fn settle(&mut self) -> Outcome {
        if self.open.is_empty() {
            return Ok(());
        }
        Err(Refusal::bad(format!(
            "An assistant message with 'tool_calls' must be followed by tool messages responding to each 'tool_call_id'. The following tool_call_ids did not have response messages: {}",
            self.open.join(", ")
        ))
        .param(format!("messages.[{}].role", self.caller)))
    }

    fn content(&mut self, n: usize, message: &'a Value) -> Outcome<Vec<&'a str>> {
        let texts = match message.get("content") {
            Some(Value::String(text)) => vec![text.as_str()],
            Some(Value::Array(parts)) => {
                let mut texts = Vec::new();
                for (at, part) in parts.iter().enumerate() {
                    texts.extend(self.part(&format!("messages[{n}].content[{at}]"), part)?);
                }
                texts
            }
            None | Some(Value::Null) => {
                let message = "Invalid value for 'content': expected a string, got null.";
                return Err(Refusal::bad(message).param(format!("messages.[{n}].content")));
            }
            Some(other) => {
                let expected = "one of a string or array of objects";
                return Err(wrong_type(format!("messages[{n}].content"), expected, other));
            }
        };
        self.text.says_json |= texts.iter().any(|text| text.to_ascii_lowercase().contains("json"));
        Ok(texts)
    }

    fn part(&mut self, place: &str, part: &'a Value) -> Outcome<Option<&'a str>> {
        match part.get("type").and_then(Value::as_str) {
            Some("text") => match part.get("text") {
                Some(Value::String(text)) => return Ok(Some(text)),
                Some(other) => return Err(wrong_type(format!("{place}.text"), "a string", other)),
                None => return Err(missing(format!("{place}.text"))),
            },
            Some("refusal") => {}
            Some("image_url") => {
                if part.pointer("/image_url/url").and_then(Value::as_str).is_none() {
                    return Err(missing(format!("{place}.image_url.url")));
                }
                media(self.ask, &format!("{place}.image_url"), &part["image_url"], "url", "an image")?;
                self.ask.images += 1;
            }
            Some("file") => {
                let Some(file) = part.get("file") else { return Err(missing(format!("{place}.file"))) };
                media(self.ask, &format!("{place}.file"), file, "file_data", "an application/pdf")?;
                self.ask.documents += 1;
            }
            Some("input_audio") => {
                let field = |name: &str| part.pointer(&format!("/input_audio/{name}"))?.as_str();
                let format = field("format").unwrap_or_default();
                if !field("data").is_some_and(|data| self.ask.inline(&format!("audio/{format}"), data)) {
                    let message =
                        format!("Invalid '{place}.input_audio.data'. Expected base64-encoded audio.");
                    return Err(Refusal::bad(message).param(place).code("invalid_value"));
                }
                self.ask.documents += 1;
            }
            Some(other) => {
                let known = "'text', 'image_url', 'input_audio', 'refusal', 'audio', and 'file'";
                return Err(wrong_value(place, other, known));
            }
            None => return Err(missing(format!("{place}.type"))),
        }
        Ok(None)
    }

    fn assistant(&mut self, n: usize, message: &'a Value) -> Outcome {
        self.ask.assistant("");
        self.caller = n;
        let calls: &[Value] = match message.get("tool_calls") {
            None | Some(Value::Null) => &[],
            Some(Value::Array(calls)) if calls.is_empty() => {
                let place = format!("messages[{n}].tool_calls");
                let message = format!(
                    "Invalid '{place}': empty array. Expected an array with minimum length 1, but got an empty array instead."
                );
                return Err(Refusal::bad(message).param(place).code("empty_array"));
            }
            Some(Value::Array(calls)) => calls,
            Some(other) => {
                return Err(wrong_type(format!("messages[{n}].tool_calls"), "an array of objects", other));
            }
        };
        let spoke = message.get("content").is_some_and(|content| !content.is_null());
        let excused = !calls.is_empty()
            || ["refusal", "function_call", "audio"].iter().any(|name| message.get(name).is_some());
        if spoke || !excused {
            for text in self.content(n, message)? {
                self.ask.assistant(text);
            }
        }
        for (at, call) in calls.iter().enumerate() {
            self.call(&format!("messages[{n}].tool_calls[{at}]"), call)?;
        }
        Ok(())
    }

    fn call(&mut self, place: &str, call: &'a Value) -> Outcome {
        let Some(id) = call.get("id").and_then(Value::as_str) else {
            return Err(missing(format!("{place}.id")));
        };
        let (kind, input) = match call.get("type").and_then(Value::as_str) {
            Some("function") => ("function", "arguments"),
            Some("custom") => ("custom", "input"),
            Some(other) => {
                return Err(wrong_value(format!("{place}.type"), other, "'function' and 'custom'"));
            }
            None => return Err(missing(format!("{place}.type"))),
        };
        let place = format!("{place}.{kind}");
        let Some(function) = call.get(kind) else { return Err(missing(place)) };
        tool_name(function, &place)?;
        match function.get(input) {
            Some(Value::String(arguments)) => self.ask.count(arguments),
            Some(other) => return Err(wrong_type(format!("{place}.{input}"), "a string", other)),
            None => return Err(missing(format!("{place}.{input}"))),
        }
        self.open.push(id);
        Ok(())
    }

    fn tool(&mut self, n: usize, message: &'a Value) -> Outcome {
        let Some(id) = message.get("tool_call_id").and_then(Value::as_str) else {
            return Err(missing(format!("messages[{n}].tool_call_id")));
        };
        let Some(at) = self.open.iter().position(|open| *open == id) else {
            let message = "Invalid parameter: messages with role 'tool' must be a response to a preceeding message with 'tool_calls'.";
            return Err(Refusal::bad(message).param(format!("messages.[{n}].role")));
        };
        self.open.remove(at);
        let texts = self.content(n, message)?;
        self.ask.result(&texts);
        Ok(())
    }
}
