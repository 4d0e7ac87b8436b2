//! Reads a generateContent request, and refuses what the API would refuse.
//!
//! Google's JSON accepts both spellings of every name, `functionCall` and `function_call`.

use serde_json::{Map, Value, json};

use super::is_own;
use crate::simulator::ask::{Ask, Choice, Reasoning, Tool};
use crate::simulator::refusal::Refusal;
use crate::simulator::stage::Circumstances;

/// What the API accepts at the top; everything else is an unknown name.
const KNOWN: [&str; 12] = [
    "cachedContent",
    "contents",
    "generateContentRequest",
    "generationConfig",
    "labels",
    "model",
    "safetySettings",
    "serviceTier",
    "store",
    "systemInstruction",
    "toolConfig",
    "tools",
];

/// What the OpenAPI form of a schema does not know.
const NOT_OPENAPI: [&str; 12] = [
    "$defs",
    "$id",
    "$schema",
    "const",
    "definitions",
    "dependentRequired",
    "else",
    "if",
    "not",
    "patternProperties",
    "propertyNames",
    "then",
];

const SKIP_SIGNATURE: [&str; 2] =
    ["skip_thought_signature_validator", "context_engineering_is_the_way_to_go"];

type Outcome<T = ()> = Result<T, Refusal>;

fn bad<T>(message: impl Into<String>) -> Outcome<T> {
    Err(Refusal::bad(message))
}

/// A member by its camel case name or the same in snake case.
fn get<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let found = value.get(name).or_else(|| value.get(snake(name)));
    found.filter(|value| !value.is_null())
}

fn snake(name: &str) -> String {
    let mut out = String::with_capacity(name.len() + 4);
    for c in name.chars() {
        if c.is_ascii_uppercase() {
            out.push('_');
        }
        out.push(c.to_ascii_lowercase());
    }
    out
}

/// Reads the request.
pub(crate) fn read(body: &Value, circumstances: Circumstances<'_>) -> Outcome<Ask> {
    if !body.is_object() {
        return bad("Invalid JSON payload received. Root element must be a message.");
    }
    known(body)?;
    let wrapped = get(body, "generateContentRequest").filter(|_| circumstances.counting);
    let body = wrapped.unwrap_or(body);
    let (model, stream) = circumstances.path.unwrap_or_default();
    let mut ask = Ask { model: model.to_owned(), stream, parallel: true, ..Ask::default() };
    if let Some(system) = get(body, "systemInstruction") {
        for part in parts(system, "system_instruction")? {
            if let Some(text) = part.get("text").and_then(Value::as_str) {
                ask.system(text);
            }
        }
    }
    if let Some(config) = get(body, "generationConfig") {
        generation(config, &mut ask)?;
    }
    tools(body, &mut ask)?;
    contents(body, circumstances.strict, &mut ask)?;
    Ok(ask)
}

fn known(body: &Value) -> Outcome {
    for name in body.as_object().into_iter().flat_map(Map::keys) {
        if !KNOWN.iter().any(|known| known == name || snake(known) == *name) {
            return bad(format!(
                "Invalid JSON payload received. Unknown name \"{name}\": Cannot find field."
            ));
        }
    }
    Ok(())
}

/// The parts of a content.
fn parts<'a>(content: &'a Value, place: &str) -> Outcome<&'a [Value]> {
    match content.get("parts") {
        Some(Value::Array(parts)) => Ok(parts),
        Some(part @ Value::Object(_)) => Ok(std::slice::from_ref(part)),
        None | Some(Value::Null) => Ok(&[]),
        Some(other) => bad(format!(
            "Invalid value at '{place}.parts' (type.googleapis.com/google.ai.generativelanguage.v1beta.Part), {other}"
        )),
    }
}

fn generation(config: &Value, ask: &mut Ask) -> Outcome {
    let most = get(config, "logprobs").and_then(Value::as_u64);
    if get(config, "responseLogprobs").and_then(Value::as_bool).unwrap_or(false) {
        let most = most.unwrap_or(0);
        if most > 20 {
            return bad(
                "Invalid value at 'generation_config.logprobs': logprobs must be in the range [0, 20].",
            );
        }
        ask.logprobs = usize::try_from(most).ok();
    } else if most.is_some() {
        return bad("Logprobs is not null, but response_logprobs is not true.");
    }
    if let Some(most) = get(config, "maxOutputTokens") {
        match most.as_i64() {
            Some(most) if most > 0 => ask.max_tokens = u64::try_from(most).ok(),
            Some(_) => {
                return bad(
                    "* GenerateContentRequest.generation_config.max_output_tokens: max_output_tokens must be positive.\n",
                );
            }
            None => {
                return bad(format!(
                    "Invalid value at 'generation_config.max_output_tokens' (TYPE_INT32), {most}"
                ));
            }
        }
    }
    if let Some(temperature) = get(config, "temperature") {
        match temperature.as_f64() {
            Some(number) if (0.0..=2.0).contains(&number) => {}
            Some(_) => {
                return bad(
                    "* GenerateContentRequest.generation_config.temperature: temperature must be in the range [0.0, 2.0].\n",
                );
            }
            None => {
                return bad(format!(
                    "Invalid value at 'generation_config.temperature' (TYPE_FLOAT), {temperature}"
                ));
            }
        }
    }
    if let Some(stops) = get(config, "stopSequences") {
        let Some(stops) = stops.as_array() else {
            return bad(format!(
                "Invalid value at 'generation_config.stop_sequences' (TYPE_STRING), {stops}"
            ));
        };
        ask.stop = stops.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    }
    let schema = get(config, "responseJsonSchema").or(get(config, "responseSchema"));
    let json = get(config, "responseMimeType").and_then(Value::as_str) == Some("application/json");
    match schema {
        Some(_) if !json => {
            return bad(
                "* GenerateContentRequest.generation_config.response_schema: response_schema is only supported with response_mime_type: 'application/json'.\n",
            );
        }
        Some(schema) => ask.format = Some(schema.clone()),
        None if json => ask.format = Some(json!({"type": "object", "required": ["answer"]})),
        None => {}
    }
    if let Some(thinking) = get(config, "thinkingConfig") {
        ask.reasoning = reasoning(thinking)?;
    }
    Ok(())
}

fn reasoning(thinking: &Value) -> Outcome<Reasoning> {
    let budget = get(thinking, "thinkingBudget").and_then(Value::as_i64);
    let level = get(thinking, "thinkingLevel");
    if budget.is_some() && level.is_some() {
        return bad("You can only set one of thinking budget or thinking level.");
    }
    let shown = get(thinking, "includeThoughts").and_then(Value::as_bool).unwrap_or(false);
    Ok(match (budget, shown) {
        (Some(0), _) => Reasoning::Off,
        (_, true) => Reasoning::Shown,
        _ if budget.is_some() || level.is_some() => Reasoning::Hidden,
        _ => Reasoning::Off,
    })
}

fn tools(body: &Value, ask: &mut Ask) -> Outcome {
    let tools: &[Value] = match get(body, "tools") {
        None => &[],
        Some(Value::Array(tools)) => tools,
        Some(other) => return bad(format!("Invalid value at 'tools', {other}")),
    };
    for (n, tool) in tools.iter().enumerate() {
        ask.searches |= get(tool, "googleSearch").is_some();
        let functions = get(tool, "functionDeclarations").and_then(Value::as_array);
        for (at, function) in functions.into_iter().flatten().enumerate() {
            let place = format!("tools[{n}].function_declarations[{at}]");
            ask.tools.push(declaration(&place, function)?);
        }
    }
    for tool in &ask.tools {
        ask.input_tokens += usize::from(!tool.name.is_empty());
    }
    let Some(config) = get(body, "toolConfig").and_then(|config| get(config, "functionCallingConfig")) else {
        return Ok(());
    };
    if ask.tools.is_empty() {
        return bad("Function calling config is set without function_declarations.");
    }
    let names = get(config, "allowedFunctionNames").and_then(Value::as_array);
    let named = names.and_then(|names| names.first()).and_then(Value::as_str);
    ask.choice = match (get(config, "mode").and_then(Value::as_str), named) {
        (Some("NONE"), _) => Choice::None,
        (Some("ANY" | "VALIDATED"), Some(name)) if ask.tools.iter().any(|tool| tool.name == name) => {
            Choice::Named(name.to_owned())
        }
        (Some("ANY" | "VALIDATED"), Some(_)) => {
            return bad("Allowed function names must be a subset of the declared functions.");
        }
        (_, Some(_)) => {
            return bad("Allowed function names should only be set when mode is ANY or VALIDATED.");
        }
        (None | Some("AUTO" | "ANY" | "VALIDATED" | "MODE_UNSPECIFIED"), None) => Choice::Auto,
        (Some(other), None) => {
            return bad(format!(
                "Invalid value at 'tool_config.function_calling_config.mode' (type.googleapis.com/google.ai.generativelanguage.v1beta.FunctionCallingConfig.Mode), \"{other}\""
            ));
        }
    };
    Ok(())
}

fn declaration(place: &str, function: &Value) -> Outcome<Tool> {
    let name = function.get("name").and_then(Value::as_str).unwrap_or_default();
    let begins = name.bytes().next().is_some_and(|byte| byte.is_ascii_alphabetic() || byte == b'_');
    let rest = name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b':' | b'-'));
    if !begins || !rest || name.len() > 128 {
        return bad(format!(
            "* GenerateContentRequest.{place}.name: Invalid function name. Must start with a letter or an underscore. Must be alphameric (a-z, A-Z, 0-9), underscores (_), dots (.), colons (:), or dashes (-), with a maximum length of 128.\n"
        ));
    }
    let open = get(function, "parameters");
    let json = get(function, "parametersJsonSchema");
    if open.is_some() && json.is_some() {
        return bad(format!("{place}: only one of parameters and parameters_json_schema may be set."));
    }
    if let Some(schema) = open {
        openapi(schema, &format!("{place}.parameters"))?;
        let kind = schema.get("type").and_then(Value::as_str).unwrap_or_default();
        let empty = schema.get("properties").and_then(Value::as_object).is_none_or(Map::is_empty);
        if kind.eq_ignore_ascii_case("object") && empty {
            return bad(format!(
                "* GenerateContentRequest.{place}.parameters.properties: should be non-empty for OBJECT type\n"
            ));
        }
    }
    let schema = open.or(json).cloned().unwrap_or_default();
    Ok(Tool { name: name.to_owned(), schema, custom: false, namespace: None })
}

/// Refuses keywords that the OpenAPI form does not know, where keywords stand.
fn openapi(schema: &Value, place: &str) -> Outcome {
    let Some(fields) = schema.as_object() else { return Ok(()) };
    if let Some(name) = NOT_OPENAPI.iter().find(|name| fields.contains_key(**name)) {
        return bad(format!(
            "Invalid JSON payload received. Unknown name \"{name}\" at '{place}': Cannot find field."
        ));
    }
    for (name, property) in fields.get("properties").and_then(Value::as_object).into_iter().flatten() {
        openapi(property, &format!("{place}.properties[{name}].value"))?;
    }
    for (n, branch) in fields.get("anyOf").and_then(Value::as_array).into_iter().flatten().enumerate() {
        openapi(branch, &format!("{place}.any_of[{n}]"))?;
    }
    fields.get("items").map_or(Ok(()), |items| openapi(items, &format!("{place}.items")))
}

fn contents(body: &Value, strict: bool, ask: &mut Ask) -> Outcome {
    let contents = match get(body, "contents") {
        Some(Value::Array(contents)) if !contents.is_empty() => contents.as_slice(),
        Some(content @ Value::Object(_)) => std::slice::from_ref(content),
        None | Some(Value::Array(_)) => {
            return bad("* GenerateContentRequest.contents: contents is not specified\n");
        }
        Some(other) => {
            return bad(format!(
                "Invalid value at 'contents' (type.googleapis.com/google.ai.generativelanguage.v1beta.Content), {other}"
            ));
        }
    };
    let mut walk = Walk { ask, strict, calls: Vec::new(), answered: 0 };
    let mut model = false;
    for (n, content) in contents.iter().enumerate() {
        let was = model;
        model = match content.get("role") {
            None | Some(Value::Null) => false,
            Some(Value::String(role)) if role == "model" => true,
            Some(Value::String(role)) if matches!(role.as_str(), "user" | "function" | "") => false,
            Some(_) => return bad("Please use a valid role: user, model."),
        };
        if model && !was {
            walk.settle()?;
            walk.calls.clear();
            walk.answered = 0;
            walk.ask.assistant("");
        }
        let parts = parts(content, &format!("contents[{n}]"))?;
        if parts.is_empty() {
            return bad(format!(
                "* GenerateContentRequest.contents[{n}].parts: contents.parts must not be empty.\n"
            ));
        }
        for (at, part) in parts.iter().enumerate() {
            walk.part(&format!("contents[{n}].parts[{at}]"), part, model)?;
        }
    }
    if model { Ok(()) } else { walk.settle() }
}

/// Walks over the parts with the calls of the last turn of the model.
struct Walk<'a, 'b> {
    ask: &'b mut Ask,
    strict: bool,
    calls: Vec<(&'a str, Option<&'a str>)>,
    answered: usize,
}

impl<'a> Walk<'a, '_> {
    /// As many responses as calls, or none of a turn that had none.
    fn settle(&self) -> Outcome {
        if self.answered == self.calls.len() {
            return Ok(());
        }
        bad(
            "Please ensure that the number of function response parts is equal to the number of function call parts of the function call turn.",
        )
    }

    fn part(&mut self, place: &str, part: &'a Value, model: bool) -> Outcome {
        let signature = get(part, "thoughtSignature");
        if let Some(signature) = signature {
            let text = signature.as_str().unwrap_or_default();
            if !is_bytes(text) {
                return bad(format!(
                    "Invalid value at '{place}.thought_signature' (TYPE_BYTES), Base64 decoding failed for {signature}"
                ));
            }
            self.ask.reasonings += usize::from(is_own(text));
        }
        if let Some(text) = part.get("text") {
            let Some(text) = text.as_str() else {
                return bad(format!("Invalid value at '{place}.text' (TYPE_STRING), {text}"));
            };
            if part.get("thought") == Some(&Value::Bool(true)) {
            } else if model {
                self.ask.assistant(text);
            } else {
                self.ask.user(text);
            }
        } else if let Some(call) = get(part, "functionCall") {
            self.call(place, call, signature)?;
        } else if let Some(response) = get(part, "functionResponse") {
            self.response(place, response)?;
        } else if let Some(media) = get(part, "inlineData").or(get(part, "fileData")) {
            self.media(place, media)?;
        } else if get(part, "executableCode").or(get(part, "codeExecutionResult")).is_none() {
            return bad(format!(
                "* GenerateContentRequest.{place}.data: required oneof field 'data' must have one initialized field\n"
            ));
        }
        Ok(())
    }

    fn media(&mut self, place: &str, media: &Value) -> Outcome {
        let kind = get(media, "mimeType").and_then(Value::as_str).unwrap_or_default();
        if let Some(data) = media.get("data") {
            let text = data.as_str().filter(|text| is_bytes(text));
            if !text.is_some_and(|text| self.ask.inline(kind, text)) {
                return bad(format!(
                    "Invalid value at '{place}.inline_data.data' (TYPE_BYTES), Base64 decoding failed for {}",
                    data.to_string().chars().take(60).collect::<String>()
                ));
            }
        }
        if kind.starts_with("image/") {
            self.ask.images += 1;
        } else {
            self.ask.documents += 1;
        }
        Ok(())
    }

    fn call(&mut self, place: &str, call: &'a Value, signature: Option<&Value>) -> Outcome {
        let name = call.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            return bad(format!(
                "* GenerateContentRequest.{place}.function_call.name: Name cannot be empty.\n"
            ));
        }
        match call.get("args") {
            None | Some(Value::Null) => {}
            Some(args @ Value::Object(_)) => self.ask.count(&args.to_string()),
            Some(other) => {
                return bad(format!(
                    "Invalid value at '{place}.function_call.args' (type.googleapis.com/google.protobuf.Struct), {other}"
                ));
            }
        }
        let own = signature
            .and_then(Value::as_str)
            .is_some_and(|signature| is_own(signature) || SKIP_SIGNATURE.contains(&signature));
        if self.strict && self.calls.is_empty() && !own {
            return bad(format!(
                "Function call is missing a thought_signature in functionCall parts: `{name}`."
            ));
        }
        self.calls.push((name, call.get("id").and_then(Value::as_str)));
        Ok(())
    }

    fn response(&mut self, place: &str, response: &'a Value) -> Outcome {
        let name = response.get("name").and_then(Value::as_str).unwrap_or_default();
        if name.is_empty() {
            return bad(format!(
                "* GenerateContentRequest.{place}.function_response.name: Name cannot be empty.\n"
            ));
        }
        let Some(value) = response.get("response").filter(|value| value.is_object()) else {
            return bad(format!(
                "Invalid value at '{place}.function_response.response' (type.googleapis.com/google.protobuf.Struct), {}",
                response.get("response").unwrap_or(&Value::Null)
            ));
        };
        if self.calls.is_empty() {
            return bad(
                "Please ensure that function response turn comes immediately after a function call turn.",
            );
        }
        let id = response.get("id").and_then(Value::as_str);
        // Google's own client leaves the id out where it runs the functions by itself.
        let is_answer = |with: &Option<&str>| id.is_none() || *with == id;
        if !self.calls.iter().any(|(called, with)| *called == name && is_answer(with)) {
            let id = id.unwrap_or_default();
            return bad(format!(
                "Function response `{name}` with id `{id}` does not match any function call of the preceding turn."
            ));
        }
        self.answered += 1;
        let only = value.as_object().filter(|fields| fields.len() == 1);
        let only =
            only.and_then(|fields| ["output", "result", "error"].iter().find_map(|key| fields.get(*key)));
        match only.and_then(Value::as_str) {
            Some(text) => self.ask.result(&[text]),
            None => self.ask.result(&[&value.to_string()]),
        }
        for part in response.get("parts").and_then(Value::as_array).into_iter().flatten() {
            if let Some(media) = get(part, "inlineData").or(get(part, "fileData")) {
                self.media(place, media)?;
            }
        }
        Ok(())
    }
}

/// Bytes in JSON: either alphabet of base64, padded or not; the two words that switch the check of
/// signatures off happen to be some as well.
fn is_bytes(text: &str) -> bool {
    let text = text.trim_end_matches('=');
    text.len() % 4 != 1
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/' | b'-' | b'_'))
}
