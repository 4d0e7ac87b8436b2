//! Reads a Messages request, and refuses what the API would refuse.

use std::collections::HashSet;

use serde_json::Value;

use super::is_own;
use crate::simulator::ask::{Ask, Choice, Reasoning, Tool};
use crate::simulator::refusal::Refusal;
use crate::simulator::stage::Circumstances;

/// Parameters of other providers, which a translation must not let through.
const FOREIGN: [&str; 18] = [
    "contents",
    "frequency_penalty",
    "functions",
    "generationConfig",
    "input",
    "instructions",
    "logit_bias",
    "max_completion_tokens",
    "max_output_tokens",
    "n",
    "parallel_tool_calls",
    "presence_penalty",
    "reasoning_effort",
    "response_format",
    "seed",
    "stop",
    "stream_options",
    "systemInstruction",
];

const BLOCKS: &str = "'bash_code_execution_tool_result', 'code_execution_tool_result', 'container_upload', 'document', 'image', 'mcp_tool_result', 'mcp_tool_use', 'redacted_thinking', 'search_result', 'server_tool_use', 'text', 'text_editor_code_execution_tool_result', 'thinking', 'tool_result', 'tool_search_tool_result', 'tool_use', 'web_fetch_tool_result', 'web_search_tool_result'";

type Outcome<T = ()> = Result<T, Refusal>;

fn bad<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Refusal::bad(message))
}

/// Reads the request.
pub(crate) fn read(body: &Value, circumstances: Circumstances<'_>) -> Outcome<Ask> {
    let Some(fields) = body.as_object() else { return bad("Input should be an object") };
    if let Some(foreign) = FOREIGN.iter().find(|name| fields.contains_key(**name)) {
        return bad(format!("{foreign}: Extra inputs are not permitted"));
    }
    let mut ask = Ask { parallel: true, ..Ask::default() };
    ask.model = match body.get("model") {
        Some(Value::String(model)) if !model.is_empty() => model.clone(),
        Some(Value::String(_)) => return bad("model: String should have at least 1 character"),
        Some(_) => return bad("model: Input should be a valid string"),
        None => return bad("model: Field required"),
    };
    limits(body, circumstances, &mut ask)?;
    ask.stream = match body.get("stream") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(stream)) => *stream,
        Some(_) => return bad("stream: Input should be a valid boolean"),
    };
    stops(body, &mut ask)?;
    system(body, &mut ask)?;
    tools(body, &mut ask)?;
    thinking(body, &mut ask)?;
    let output = body.get("output_config").and_then(|config| config.get("format"));
    let format = output.or(body.get("output_format"));
    ask.format = format.and_then(|format| format.get("schema")).cloned();
    messages(body, circumstances, &mut ask)?;
    Ok(ask)
}

fn limits(body: &Value, circumstances: Circumstances<'_>, ask: &mut Ask) -> Outcome {
    match body.get("max_tokens") {
        None if circumstances.counting => {}
        None => return bad("max_tokens: Field required"),
        Some(_) if circumstances.counting => return bad("max_tokens: Extra inputs are not permitted"),
        Some(most) => match most.as_i64() {
            Some(most) if most >= 0 => ask.max_tokens = u64::try_from(most).ok(),
            Some(_) => return bad("max_tokens: Input should be greater than or equal to 1"),
            None => return bad("max_tokens: Input should be a valid integer"),
        },
    }
    for name in ["temperature", "top_p"] {
        match body.get(name).filter(|value| !value.is_null()).map(Value::as_f64) {
            Some(Some(value)) if !(0.0..=1.0).contains(&value) => return bad(format!("{name}: range: 0..1")),
            Some(None) => return bad(format!("{name}: Input should be a valid number")),
            _ => {}
        }
    }
    Ok(())
}

fn stops(body: &Value, ask: &mut Ask) -> Outcome {
    let Some(stops) = body.get("stop_sequences").filter(|stops| !stops.is_null()) else { return Ok(()) };
    let Some(stops) = stops.as_array() else { return bad("stop_sequences: Input should be a valid list") };
    for (n, stop) in stops.iter().enumerate() {
        match stop.as_str() {
            Some(stop) if stop.trim().is_empty() => {
                return bad("stop_sequences: each stop sequence must contain non-whitespace");
            }
            Some(stop) => ask.stop.push(stop.to_owned()),
            None => return bad(format!("stop_sequences.{n}: Input should be a valid string")),
        }
    }
    Ok(())
}

fn system(body: &Value, ask: &mut Ask) -> Outcome {
    match body.get("system") {
        None => {}
        Some(Value::String(text)) => ask.system(text),
        Some(Value::Array(blocks)) => {
            for (n, block) in blocks.iter().enumerate() {
                match block.get("text").and_then(Value::as_str) {
                    Some("") => return bad("system: text content blocks must be non-empty"),
                    Some(text) => ask.system(text),
                    None => return bad(format!("system.{n}.text: Field required")),
                }
            }
        }
        Some(_) => return bad("system: Input should be a valid list"),
    }
    Ok(())
}

fn tools(body: &Value, ask: &mut Ask) -> Outcome {
    let tools: &[Value] = match body.get("tools") {
        None | Some(Value::Null) => &[],
        Some(Value::Array(tools)) => tools,
        Some(_) => return bad("tools: Input should be a valid list"),
    };
    let mut names = HashSet::new();
    for (n, tool) in tools.iter().enumerate() {
        let custom = matches!(tool.get("type").and_then(Value::as_str), None | Some("custom"));
        let place = format!("tools.{n}{}", if custom { ".custom" } else { "" });
        let Some(name) = tool.get("name").and_then(Value::as_str) else {
            return bad(format!("{place}.name: Field required"));
        };
        if custom && !is_name(name, 128) {
            return bad(format!("{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,128}}$'"));
        }
        ask.searches |=
            tool.get("type").and_then(Value::as_str).is_some_and(|tag| tag.starts_with("web_search_"));
        if !names.insert(name) {
            return bad("tools: Tool names must be unique.");
        }
        match tool.get("input_schema") {
            None if custom => return bad(format!("{place}.input_schema: Field required")),
            None => {}
            Some(schema) if schema.get("type").and_then(Value::as_str) == Some("object") => {
                ask.count(name);
                ask.tools.push(Tool {
                    name: name.to_owned(),
                    schema: schema.clone(),
                    custom: false,
                    namespace: None,
                });
            }
            Some(schema) if schema.get("type").is_none() => {
                return bad(format!("{place}.input_schema.type: Field required"));
            }
            Some(_) => return bad(format!("{place}.input_schema.type: Input should be 'object'")),
        }
    }
    choice(body, !tools.is_empty(), ask)
}

fn choice(body: &Value, tools: bool, ask: &mut Ask) -> Outcome {
    let Some(choice) = body.get("tool_choice").filter(|choice| !choice.is_null()) else { return Ok(()) };
    ask.parallel = choice.get("disable_parallel_tool_use") != Some(&Value::Bool(true));
    let kind = choice.get("type").and_then(Value::as_str);
    if !tools && kind != Some("none") {
        return bad("tool_choice: tool_choice may only be specified while providing tools");
    }
    ask.choice = match kind {
        Some("auto" | "any") => Choice::Auto,
        Some("none") => Choice::None,
        Some("tool") => match choice.get("name").and_then(Value::as_str) {
            Some(name) if ask.tools.iter().any(|tool| tool.name == name) => Choice::Named(name.to_owned()),
            Some(name) => return bad(format!("tool_choice: Tool '{name}' not found in provided tools")),
            None => return bad("tool_choice.tool.name: Field required"),
        },
        _ => {
            return bad(
                "tool_choice: Input tag does not match any of the expected tags: 'any', 'auto', 'none', 'tool'",
            );
        }
    };
    Ok(())
}

fn thinking(body: &Value, ask: &mut Ask) -> Outcome {
    let Some(thinking) = body.get("thinking").filter(|thinking| !thinking.is_null()) else { return Ok(()) };
    match thinking.get("type").and_then(Value::as_str) {
        Some("disabled") => return Ok(()),
        Some("enabled") => {
            let Some(budget) = thinking.get("budget_tokens").and_then(Value::as_u64) else {
                return bad("thinking.enabled.budget_tokens: Field required");
            };
            if budget < 1024 {
                return bad("thinking.enabled.budget_tokens: Input should be greater than or equal to 1024");
            }
            if ask.max_tokens.is_some_and(|most| most <= budget) {
                return bad("`max_tokens` must be greater than `thinking.budget_tokens`.");
            }
        }
        Some("adaptive") => {}
        _ => {
            return bad(
                "thinking: Input tag does not match any of the expected tags: 'adaptive', 'disabled', 'enabled'",
            );
        }
    }
    let forced = body.get("tool_choice").and_then(|choice| choice.get("type")).and_then(Value::as_str);
    if matches!(forced, Some("any" | "tool")) {
        return bad("Thinking may not be enabled when tool_choice forces tool use.");
    }
    let omitted = thinking.get("display").and_then(Value::as_str) == Some("omitted");
    ask.reasoning = if omitted { Reasoning::Hidden } else { Reasoning::Shown };
    Ok(())
}

/// Walks over the messages with the calls that still need a result.
struct Walk<'a, 'b> {
    ask: &'b mut Ask,
    strict: bool,
    assistant: bool,
    open: Vec<&'a str>,
    called: Vec<&'a str>,
    /// The first block of the last assistant turn, when thinking must come first.
    opening: Option<(String, &'a str)>,
}

fn messages(body: &Value, circumstances: Circumstances<'_>, ask: &mut Ask) -> Outcome {
    let messages = match body.get("messages") {
        Some(Value::Array(messages)) if messages.is_empty() => {
            return bad("messages: at least one message is required");
        }
        Some(Value::Array(messages)) => messages,
        Some(_) => return bad("messages: Input should be a valid list"),
        None => return bad("messages: Field required"),
    };
    let must_think =
        body.get("thinking").and_then(|t| t.get("type")).and_then(Value::as_str) == Some("enabled");
    let mut walk = Walk {
        ask,
        strict: circumstances.strict,
        assistant: false,
        open: Vec::new(),
        called: Vec::new(),
        opening: None,
    };
    for (n, message) in messages.iter().enumerate() {
        walk.message(n, message)?;
    }
    walk.settle(messages.len() - 1)?;
    let loops = !walk.ask.results.is_empty() && !walk.assistant;
    if let (true, true, Some((place, kind))) = (must_think, loops, &walk.opening)
        && !matches!(*kind, "thinking" | "redacted_thinking")
    {
        return bad(format!(
            "{place}.type: Expected `thinking` or `redacted_thinking`, but found `{kind}`. When `thinking` is enabled, a final `assistant` message must start with a thinking block (preceeding the lastmost set of `tool_use` and `tool_result` blocks)."
        ));
    }
    Ok(())
}

impl<'a> Walk<'a, '_> {
    fn message(&mut self, n: usize, message: &'a Value) -> Outcome {
        match message.get("role").and_then(Value::as_str) {
            Some("user") => {
                if self.assistant {
                    self.called = std::mem::take(&mut self.open);
                    self.open.clone_from(&self.called);
                }
                self.assistant = false;
            }
            Some("assistant") => {
                self.settle(n.saturating_sub(1))?;
                if !self.assistant {
                    self.ask.assistant("");
                    self.opening = None;
                }
                self.assistant = true;
            }
            Some("system") if n > 0 => {
                if let Some(text) = message.get("content").and_then(Value::as_str) {
                    self.ask.system(text);
                }
                return Ok(());
            }
            Some("system") => {
                return bad(
                    "messages: Unexpected role \"system\". The Messages API accepts a top-level `system` parameter, not \"system\" as an input message role.",
                );
            }
            Some(_) => return bad(format!("messages.{n}.role: Input should be 'user' or 'assistant'")),
            None => return bad(format!("messages.{n}.role: Field required")),
        }
        match message.get("content") {
            Some(Value::String(text)) => self.text(text),
            Some(Value::Array(blocks)) => {
                for (at, block) in blocks.iter().enumerate() {
                    self.block(&format!("messages.{n}.content.{at}"), block)?;
                }
                Ok(())
            }
            Some(_) => bad(format!("messages.{n}.content: Input should be a valid list")),
            None => bad(format!("messages.{n}.content: Field required")),
        }
    }

    /// After a turn of the user no call may be left without a result.
    fn settle(&mut self, n: usize) -> Outcome {
        if self.assistant || self.open.is_empty() {
            return Ok(());
        }
        bad(format!(
            "messages.{n}: `tool_use` ids were found without `tool_result` blocks immediately after: {}. Each `tool_use` block must have a corresponding `tool_result` block in the next message.",
            self.open.join(", ")
        ))
    }

    fn text(&mut self, text: &str) -> Outcome {
        if self.assistant {
            self.ask.assistant(text);
        } else {
            self.ask.user(text);
        }
        Ok(())
    }

    fn block(&mut self, place: &str, block: &'a Value) -> Outcome {
        let Some(kind) = block.get("type").and_then(Value::as_str) else {
            return bad(format!("{place}.type: Field required"));
        };
        if self.assistant && self.opening.is_none() {
            self.opening = Some((place.to_owned(), kind));
        }
        let field = |name: &str| block.get(name).and_then(Value::as_str);
        match kind {
            "text" => match field("text") {
                None => bad(format!("{place}.text.text: Field required")),
                Some("") => bad("messages: text content blocks must be non-empty"),
                Some(text) if text.trim().is_empty() => {
                    bad("messages: text content blocks must contain non-whitespace text")
                }
                Some(text) => self.text(text),
            },
            "image" => self.media(place, block, true),
            "document" => self.media(place, block, false),
            "thinking" => match field("signature") {
                None => bad(format!("{place}.thinking.signature: Field required")),
                Some(signature) if self.strict && !is_own(signature) => {
                    bad(format!("{place}: Invalid `signature` in `thinking` block"))
                }
                Some(_) if field("thinking").is_none() => {
                    bad(format!("{place}.thinking.thinking: Field required"))
                }
                Some(signature) => {
                    self.ask.reasonings += usize::from(is_own(signature));
                    Ok(())
                }
            },
            "redacted_thinking" if field("data").is_none() => {
                bad(format!("{place}.redacted_thinking.data: Field required"))
            }
            "tool_use" => self.call(place, block),
            "tool_result" => self.result(place, block),
            "redacted_thinking" | "search_result" | "server_tool_use" | "container_upload" | "compaction"
            | "mcp_tool_use" => Ok(()),
            other if other.ends_with("_tool_result") => Ok(()),
            other => bad(format!(
                "{place}: Input tag '{other}' found using 'type' does not match any of the expected tags: {BLOCKS}"
            )),
        }
    }

    fn media(&mut self, place: &str, block: &Value, image: bool) -> Outcome {
        let kind = if image { "image" } else { "document" };
        let Some(source) = block.get("source") else {
            return bad(format!("{place}.{kind}.source: Field required"));
        };
        let field = |name: &str| source.get(name).and_then(Value::as_str);
        if field("type") == Some("base64") {
            let place = format!("{place}.{kind}.source.base64");
            let types: &[&str] = if image {
                &["image/jpeg", "image/png", "image/gif", "image/webp"]
            } else {
                &["application/pdf"]
            };
            match field("media_type") {
                Some(media) if types.contains(&media) => {
                    if !field("data").is_some_and(|data| is_base64(data) && self.ask.inline(media, data)) {
                        return bad(format!("{place}: invalid base64 data"));
                    }
                }
                Some(_) => {
                    let types: Vec<_> = types.iter().map(|name| format!("'{name}'")).collect();
                    return bad(format!("{place}.media_type: Input should be {}", types.join(" or ")));
                }
                None => return bad(format!("{place}.media_type: Field required")),
            }
        }
        if image {
            self.ask.images += 1;
        } else {
            self.ask.documents += 1;
        }
        Ok(())
    }

    fn call(&mut self, place: &str, block: &'a Value) -> Outcome {
        let place = format!("{place}.tool_use");
        if !self.assistant {
            return bad(format!("{place}: `tool_use` blocks can only be in `assistant` messages"));
        }
        let Some(id) = block.get("id").and_then(Value::as_str) else {
            return bad(format!("{place}.id: Field required"));
        };
        if !is_name(id, usize::MAX) {
            return bad(format!("{place}.id: String should match pattern '^[a-zA-Z0-9_-]+$'"));
        }
        match block.get("name").and_then(Value::as_str) {
            Some(name) if is_name(name, 200) => {}
            Some(_) => {
                return bad(format!("{place}.name: String should match pattern '^[a-zA-Z0-9_-]{{1,200}}$'"));
            }
            None => return bad(format!("{place}.name: Field required")),
        }
        match block.get("input") {
            Some(Value::Object(_)) => {}
            Some(_) => return bad(format!("{place}.input: Input should be a valid dictionary")),
            None => return bad(format!("{place}.input: Field required")),
        }
        if self.open.contains(&id) {
            return bad("messages: `tool_use` ids must be unique");
        }
        self.open.push(id);
        Ok(())
    }

    fn result(&mut self, place: &str, block: &'a Value) -> Outcome {
        let Some(id) = block.get("tool_use_id").and_then(Value::as_str) else {
            return bad(format!("{place}.tool_result.tool_use_id: Field required"));
        };
        if self.assistant || !self.called.contains(&id) {
            return bad(format!(
                "{place}: unexpected `tool_use_id` found in `tool_result` blocks: {id}. Each `tool_result` block must have a corresponding `tool_use` block in the previous message."
            ));
        }
        let Some(at) = self.open.iter().position(|open| *open == id) else {
            return bad(format!(
                "{place}: each tool_use must have a single result. Found multiple `tool_result` blocks with id: {id}"
            ));
        };
        self.open.remove(at);
        match block.get("content") {
            None => self.ask.result(&[]),
            Some(Value::String(text)) => self.ask.result(&[text]),
            Some(Value::Array(parts)) => {
                let texts = parts.iter().filter_map(|part| part.get("text")?.as_str());
                self.ask.result(&texts.collect::<Vec<_>>());
                for (n, part) in parts.iter().enumerate() {
                    let place = format!("{place}.tool_result.content.{n}");
                    match part.get("type").and_then(Value::as_str) {
                        Some("image") => self.media(&place, part, true)?,
                        Some("document") => self.media(&place, part, false)?,
                        Some(_) => {}
                        None => return bad(format!("{place}.type: Field required")),
                    }
                }
            }
            Some(_) => return bad(format!("{place}.tool_result.content: Input should be a valid list")),
        }
        Ok(())
    }
}

fn is_name(name: &str, most: usize) -> bool {
    !name.is_empty()
        && name.len() <= most
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

fn is_base64(data: &str) -> bool {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(data).is_ok()
}
