//! Reads a Responses request, and refuses what the API would refuse.

use serde_json::{Value, json};

use super::{ENCRYPTED, SEALED};
use crate::simulator::ask::{Ask, Choice, Reasoning, Tool};
use crate::simulator::openai::{
    flag, media, missing, most_probable, tokens, tool_name, wrong_type, wrong_value,
};
use crate::simulator::refusal::Refusal;
use crate::simulator::stage::Circumstances;

/// Chat parameters, and where they went.
const MOVED: [(&str, &str); 5] = [
    ("messages", "input"),
    ("response_format", "text.format"),
    ("max_tokens", "max_output_tokens"),
    ("max_completion_tokens", "max_output_tokens"),
    ("reasoning_effort", "reasoning.effort"),
];

/// Parameters of other providers, which a translation must not let through.
const FOREIGN: [&str; 12] = [
    "contents",
    "frequency_penalty",
    "generationConfig",
    "n",
    "output_config",
    "presence_penalty",
    "seed",
    "stop",
    "stop_sequences",
    "system",
    "systemInstruction",
    "thinking",
];

const LEAST_TOKENS: i64 = 16;

type Outcome<T = ()> = Result<T, Refusal>;

/// Reads the request.
pub(crate) fn read(body: &Value, circumstances: Circumstances<'_>) -> Outcome<Ask> {
    let Some(fields) = body.as_object() else {
        return Err(Refusal::bad(crate::simulator::openai::UNREADABLE));
    };
    for (old, new) in MOVED {
        if fields.contains_key(old) {
            return Err(Refusal::bad(format!(
                "Unsupported parameter: '{old}'. In the Responses API, this parameter has moved to '{new}'. Try again with the new parameter. See the API documentation for more information: https://platform.openai.com/docs/api-reference/responses/create."
            ))
            .param(old)
            .code("unsupported_parameter"));
        }
    }
    if let Some(foreign) = FOREIGN.iter().find(|name| fields.contains_key(**name)) {
        let message = format!("Unknown parameter: '{foreign}'.");
        return Err(Refusal::bad(message).param(*foreign).code("unknown_parameter"));
    }
    let mut ask = Ask { parallel: flag(body, "parallel_tool_calls", true)?, ..Ask::default() };
    ask.model = match body.get("model") {
        Some(Value::String(model)) if !model.is_empty() => model.clone(),
        Some(other @ (Value::Number(_) | Value::Bool(_) | Value::Array(_) | Value::Object(_))) => {
            return Err(wrong_type("model", "a string", other));
        }
        _ => return Err(missing("model")),
    };
    ask.stream = flag(body, "stream", false)?;
    flag(body, "store", true)?;
    ask.max_tokens = tokens(body, "max_output_tokens", LEAST_TOKENS)?;
    ask.reasoning = reasoning(body)?;
    match body.get("instructions") {
        None | Some(Value::Null) => {}
        Some(Value::String(text)) => ask.system(text),
        Some(other) => return Err(wrong_type("instructions", "a string", other)),
    }
    logprobs(body, &mut ask)?;
    tools(body, &mut ask)?;
    input(body, circumstances, &mut ask)?;
    format(body, &mut ask)?;
    Ok(ask)
}

/// A count asks for them, or the list of what to include.
fn logprobs(body: &Value, ask: &mut Ask) -> Outcome {
    let included = body.get("include").and_then(Value::as_array);
    let included = included.into_iter().flatten().any(|name| name == "message.output_text.logprobs");
    if included || body.get("top_logprobs").and_then(Value::as_u64).is_some_and(|most| most > 0) {
        ask.logprobs = Some(most_probable(body, &ask.model)?);
    }
    Ok(())
}

fn reasoning(body: &Value) -> Outcome<Reasoning> {
    let field = |name: &str| body.get("reasoning")?.get(name).filter(|value| !value.is_null());
    let effort = match field("effort").map(|effort| effort.as_str().unwrap_or("not a string")) {
        None => false,
        Some("none") => return Ok(Reasoning::Off),
        Some("minimal" | "low" | "medium" | "high" | "xhigh" | "max") => true,
        Some(other) => {
            let known = "'none', 'minimal', 'low', 'medium', 'high', 'xhigh', and 'max'";
            return Err(wrong_value("reasoning.effort", other, known));
        }
    };
    Ok(match field("summary") {
        Some(_) => Reasoning::Shown,
        None if effort => Reasoning::Hidden,
        None => Reasoning::Off,
    })
}

fn tools(body: &Value, ask: &mut Ask) -> Outcome {
    let tools: &[Value] = match body.get("tools") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(tools)) => tools,
        Some(other) => return Err(wrong_type("tools", "an array of objects", other)),
    };
    declare(tools, "tools", None, ask)?;
    choice(body, !tools.is_empty(), ask)
}

/// Takes tools from a list of them, in a namespace or not.
fn declare(tools: &[Value], list: &str, namespace: Option<&str>, ask: &mut Ask) -> Outcome {
    for (n, tool) in tools.iter().enumerate() {
        let place = format!("{list}[{n}]");
        let namespace = namespace.map(str::to_owned);
        match tool.get("type").and_then(Value::as_str) {
            None => return Err(missing(format!("{place}.type"))),
            Some("function") => {
                let name = tool_name(tool, &place)?;
                let schema = tool.get("parameters").cloned().unwrap_or_default();
                if !matches!(schema, Value::Null | Value::Object(_)) {
                    return Err(wrong_type(format!("{place}.parameters"), "an object", &schema));
                }
                strict(tool, &schema, &name, &place)?;
                ask.count(&name);
                ask.tools.push(Tool { name, schema, custom: false, namespace });
            }
            Some("custom") => {
                let name = tool_name(tool, &place)?;
                ask.tools.push(Tool { name, schema: Value::Null, custom: true, namespace });
            }
            Some("namespace") if namespace.is_none() => {
                let name = tool_name(tool, &place)?;
                if let Some(Value::Array(tools)) = tool.get("tools") {
                    declare(tools, &format!("{place}.tools"), Some(&name), ask)?;
                }
            }
            Some(hosted) if hosted.starts_with("web_search") => ask.searches = true,
            // Other tools that the provider runs itself are accepted and never run.
            Some(_) => {}
        }
    }
    Ok(())
}

/// A function that says `strict` must close its schema.
fn strict(tool: &Value, schema: &Value, name: &str, place: &str) -> Outcome {
    let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
    if tool.get("strict") != Some(&Value::Bool(true)) || closed {
        return Ok(());
    }
    Err(Refusal::bad(format!(
        "Invalid schema for function '{name}': In context=(), 'additionalProperties' is required to be supplied and to be false."
    ))
    .param(format!("{place}.parameters"))
    .code("invalid_function_parameters"))
}

fn choice(body: &Value, tools: bool, ask: &mut Ask) -> Outcome {
    let Some(choice) = body.get("tool_choice").filter(|choice| !choice.is_null()) else { return Ok(()) };
    if !tools && matches!(choice.as_str(), Some("required")) {
        let message = "Tool choice 'required' must be specified with 'tools' parameter.";
        return Err(Refusal::bad(message).param("tool_choice"));
    }
    ask.choice = match choice {
        Value::String(mode) => match mode.as_str() {
            "auto" | "required" => Choice::Auto,
            "none" => Choice::None,
            other => return Err(wrong_value("tool_choice", other, "'none', 'auto', and 'required'")),
        },
        Value::Object(_) => {
            let allowed = choice.pointer("/tools/0/name");
            match choice.get("name").or(allowed).and_then(Value::as_str) {
                Some(name) if ask.tools.iter().any(|tool| tool.name == name) => {
                    Choice::Named(name.to_owned())
                }
                Some(name) => {
                    let message = format!("Tool choice '{name}' not found in 'tools' parameter.");
                    return Err(Refusal::bad(message).param("tool_choice"));
                }
                None => Choice::Auto,
            }
        }
        other => return Err(wrong_type("tool_choice", "one of a string or object", other)),
    };
    Ok(())
}

fn format(body: &Value, ask: &mut Ask) -> Outcome {
    let Some(format) = body.pointer("/text/format").filter(|format| !format.is_null()) else { return Ok(()) };
    match format.get("type").and_then(Value::as_str) {
        Some("text") => {}
        Some("json_object") => {
            let says_json = body.get("input").is_some_and(|input| {
                let text = input.to_string().to_ascii_lowercase();
                text.contains("json")
            });
            if !says_json {
                let message = "Response input messages must contain the word 'json' in some form to use 'text.format' of type 'json_object'.";
                return Err(Refusal::bad(message).param("input"));
            }
            ask.format = Some(json!({"type": "object", "required": ["answer"]}));
        }
        Some("json_schema") => {
            tool_name(format, "text.format")?;
            let Some(schema) = format.get("schema") else { return Err(missing("text.format.schema")) };
            ask.format = Some(schema.clone());
        }
        Some(other) => {
            let known = "'json_object', 'json_schema', and 'text'";
            return Err(wrong_value("text.format.type", other, known));
        }
        None => return Err(missing("text.format.type")),
    }
    Ok(())
}

fn input(body: &Value, circumstances: Circumstances<'_>, ask: &mut Ask) -> Outcome {
    let continues = ["previous_response_id", "conversation", "prompt"]
        .iter()
        .any(|name| body.get(name).is_some_and(|value| !value.is_null()));
    let items = match body.get("input") {
        Some(Value::String(text)) => {
            ask.user(text);
            return Ok(());
        }
        Some(Value::Array(items)) => items,
        None | Some(Value::Null) if continues => return Ok(()),
        None | Some(Value::Null) => {
            let message = "One of \"input\" or \"previous_response_id\" or 'prompt' or 'conversation_id' must be provided.";
            return Err(Refusal::bad(message).param("input").code("missing_required_parameter"));
        }
        Some(other) => return Err(wrong_type("input", "one of a string or array of input items", other)),
    };
    let mut walk = Walk { ask, strict: circumstances.strict, continues, open: Vec::new(), alone: None };
    for (n, item) in items.iter().enumerate() {
        walk.item(n, item)?;
    }
    if let Some(id) = walk.alone {
        return Err(Refusal::bad(format!(
            "Item '{id}' of type 'reasoning' was provided without its required following item."
        ))
        .param("input"));
    }
    match walk.open.first() {
        None => Ok(()),
        Some(id) => Err(Refusal::bad(format!("No tool output found for function call {id}.")).param("input")),
    }
}

/// Walks over the input items.
struct Walk<'a, 'b> {
    ask: &'b mut Ask,
    strict: bool,
    continues: bool,
    /// Calls that still need an output.
    open: Vec<&'a str>,
    /// A reasoning item that nothing has followed yet.
    alone: Option<&'a str>,
}

impl<'a> Walk<'a, '_> {
    fn item(&mut self, n: usize, item: &'a Value) -> Outcome {
        let place = format!("input[{n}]");
        let kind = match item.get("type") {
            Some(Value::String(kind)) => kind.as_str(),
            Some(other) => return Err(wrong_type(format!("{place}.type"), "a string", other)),
            None if item.get("role").is_some() => "message",
            None => return Err(missing(format!("{place}.type"))),
        };
        if kind != "reasoning" {
            self.alone = None;
        }
        match kind {
            "message" => self.message(&place, item),
            "function_call" => self.call(&place, item, "arguments"),
            "custom_tool_call" => self.call(&place, item, "input"),
            "function_call_output" | "custom_tool_call_output" => self.output(&place, item),
            "reasoning" => self.reasoning(&place, item),
            "item_reference" | "compaction" => Ok(()),
            "additional_tools" => match item.get("tools") {
                Some(Value::Array(tools)) => declare(tools, &format!("{place}.tools"), None, self.ask),
                _ => Err(missing(format!("{place}.tools"))),
            },
            other if other.ends_with("_call") || other.ends_with("_output") || other.starts_with("mcp_") => {
                self.ask.assistant("");
                Ok(())
            }
            other => Err(wrong_value(
                format!("{place}.type"),
                other,
                "'message', 'function_call', 'function_call_output', 'custom_tool_call', 'custom_tool_call_output', 'item_reference', 'reasoning', and hosted tool calls",
            )),
        }
    }

    fn message(&mut self, place: &str, item: &'a Value) -> Outcome {
        let role = item.get("role").and_then(Value::as_str).unwrap_or_default();
        let assistant = match role {
            "assistant" => true,
            "user" | "system" | "developer" => false,
            other => {
                let known = "'assistant', 'system', 'developer', and 'user'";
                return Err(wrong_value(format!("{place}.role"), other, known));
            }
        };
        let mut texts = Vec::new();
        match item.get("content") {
            Some(Value::String(text)) => texts.push(text.as_str()),
            Some(Value::Array(parts)) => {
                for (at, part) in parts.iter().enumerate() {
                    texts.extend(self.part(&format!("{place}.content[{at}]"), part, assistant)?);
                }
            }
            None | Some(Value::Null) => return Err(missing(format!("{place}.content"))),
            Some(other) => {
                let expected = "one of a string or array of objects";
                return Err(wrong_type(format!("{place}.content"), expected, other));
            }
        }
        if assistant {
            self.ask.assistant("");
        }
        for text in texts {
            match role {
                "assistant" => self.ask.assistant(text),
                "user" => self.ask.user(text),
                _ => self.ask.system(text),
            }
        }
        Ok(())
    }

    fn part(&mut self, place: &str, part: &'a Value, assistant: bool) -> Outcome<Option<&'a str>> {
        let Some(kind) = part.get("type").and_then(Value::as_str) else {
            return Err(missing(format!("{place}.type")));
        };
        match (kind, assistant) {
            ("output_text", true) | ("input_text", false) => match part.get("text") {
                Some(Value::String(text)) => Ok(Some(text)),
                Some(other) => Err(wrong_type(format!("{place}.text"), "a string", other)),
                None => Err(missing(format!("{place}.text"))),
            },
            ("refusal", true) => Ok(None),
            ("input_image", false) => {
                if part.get("image_url").or(part.get("file_id")).is_none() {
                    return Err(missing(format!("{place}.image_url")));
                }
                media(self.ask, place, part, "image_url", "an image")?;
                self.ask.images += 1;
                Ok(None)
            }
            ("input_file", false) => {
                media(self.ask, place, part, "file_data", "an application/pdf")?;
                self.ask.documents += 1;
                Ok(None)
            }
            (other, true) => Err(wrong_value(place, other, "'output_text' and 'refusal'")),
            (other, false) => Err(wrong_value(place, other, "'input_text', 'input_image', and 'input_file'")),
        }
    }

    fn call(&mut self, place: &str, item: &'a Value, input: &str) -> Outcome {
        let Some(id) = item.get("call_id").and_then(Value::as_str) else {
            return Err(missing(format!("{place}.call_id")));
        };
        tool_name(item, place)?;
        if let Some(own) = item.get("id").and_then(Value::as_str) {
            let prefix = if input == "input" { "ctc" } else { "fc" };
            if !own.starts_with(prefix) {
                return Err(Refusal::bad(format!(
                    "Invalid '{place}.id': '{own}'. Expected an ID that begins with '{prefix}'."
                ))
                .param(format!("{place}.id"))
                .code("invalid_value"));
            }
        }
        match item.get(input) {
            Some(Value::String(arguments)) => self.ask.count(arguments),
            Some(other) => return Err(wrong_type(format!("{place}.{input}"), "a string", other)),
            None => return Err(missing(format!("{place}.{input}"))),
        }
        self.ask.assistant("");
        self.open.push(id);
        Ok(())
    }

    fn output(&mut self, place: &str, item: &'a Value) -> Outcome {
        let Some(id) = item.get("call_id").and_then(Value::as_str) else {
            return Err(missing(format!("{place}.call_id")));
        };
        match self.open.iter().position(|open| *open == id) {
            Some(at) => {
                self.open.remove(at);
            }
            None if self.continues => {}
            None => {
                let message = format!("No tool call found for function call output with call_id {id}.");
                return Err(Refusal::bad(message).param("input"));
            }
        }
        match item.get("output") {
            Some(Value::String(text)) => self.ask.result(&[text]),
            Some(Value::Array(parts)) => {
                let mut texts = Vec::new();
                for (at, part) in parts.iter().enumerate() {
                    texts.extend(self.part(&format!("{place}.output[{at}]"), part, false)?);
                }
                self.ask.result(&texts);
            }
            None | Some(Value::Null) => return Err(missing(format!("{place}.output"))),
            Some(other) => {
                return Err(wrong_type(
                    format!("{place}.output"),
                    "one of a string or array of objects",
                    other,
                ));
            }
        }
        Ok(())
    }

    fn reasoning(&mut self, place: &str, item: &'a Value) -> Outcome {
        let Some(id) = item.get("id").and_then(Value::as_str) else {
            return Err(missing(format!("{place}.id")));
        };
        if !item.get("summary").is_some_and(Value::is_array) {
            return Err(missing(format!("{place}.summary")));
        }
        self.alone = Some(id);
        let sealed = item.get("encrypted_content").and_then(Value::as_str);
        let rest = sealed.and_then(|sealed| sealed.strip_prefix(ENCRYPTED));
        let own = rest.is_some_and(|rest| rest.len() == SEALED);
        self.ask.reasonings += usize::from(own);
        if self.strict && !own {
            return Err(Refusal::bad(format!(
                "The encrypted content for item {id} could not be verified. Reason: Encrypted content could not be decrypted or parsed."
            ))
            .code("invalid_encrypted_content"));
        }
        Ok(())
    }
}
