mod media;
mod state;
mod tools;

use serde_json::{Value, json};

use super::*;
use crate::protocol::canonical::{
    Action, Effort, Exchange, Format, Losses, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part,
    PartKind, Provider, ReasoningMode, Request, Role, SystemBlock, Tool, ToolChoice, ToolKind, Turn,
    Visibility, envelope,
};
use crate::protocol::json::{Raw, Str};
use crate::protocol::{Protocol, RequestError, Target};

fn read(body: &str) -> Request<'_> {
    decode(body, "gemini-3-pro", false).unwrap()
}

struct Sent {
    body: Value,
    losses: String,
}

fn send(request: &Request<'_>, client: Protocol, model: &str) -> Result<Sent, RequestError> {
    let exchange = Exchange::new(request, client, Protocol::Gemini);
    let mut losses = Losses::default();
    let mut out = Vec::new();
    encode(request, &exchange, &Target::new(model), &mut losses, &mut out)?;
    Ok(Sent { body: serde_json::from_slice(&out).unwrap(), losses: losses.header() })
}

fn sent(request: &Request<'_>, model: &str) -> Sent {
    send(request, Protocol::OpenAi, model).unwrap()
}

/// Through the hub and back to Gemini.
fn round(body: &Value, model: &str) -> Value {
    let text = body.to_string();
    send(&read(&text), Protocol::Gemini, model).unwrap().body
}

fn turn<'a>(role: Role, kinds: Vec<PartKind<'a>>) -> Turn<'a> {
    Turn { role, parts: kinds.into_iter().map(Part::new).collect() }
}

fn text(text: &str) -> PartKind<'_> {
    PartKind::Text { text: text.into() }
}

fn call<'a>(id: &'a str, name: &'a str, arguments: &'a str) -> PartKind<'a> {
    PartKind::ToolCall { id: id.into(), name: name.into(), arguments: arguments.into(), custom: false }
}

fn result<'a>(id: &'a str, words: &'a str, is_error: bool) -> PartKind<'a> {
    let content = if words.is_empty() { vec![] } else { vec![Part::text(words)] };
    PartKind::ToolResult { call_id: id.into(), name: None, content, is_error, custom: false }
}

fn ask<'a>(turns: Vec<Turn<'a>>) -> Request<'a> {
    Request { turns, ..Request::default() }
}

fn hi<'a>() -> Request<'a> {
    ask(vec![turn(Role::User, vec![text("Hi")])])
}

fn function<'a>(name: &'a str, schema: &'a str) -> Tool<'a> {
    Tool {
        name: name.into(),
        description: Some("d".into()),
        schema: Some(Raw::from_json(schema)),
        strict: None,
        kind: ToolKind::Function,
        cache: None,
    }
}

const SCHEMA: &str = r#"{"type":"object","properties":{"x":{"type":"number"}}}"#;

// --- the law of 1.10 ------------------------------------------------------------------------------

fn rich() -> Value {
    json!({
        "systemInstruction": {"parts": [{"text": "Be brief."}, {"text": "  Be kind. "}]},
        "contents": [
            {"role": "user", "parts": [{"text": "Look"}, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
                {"fileData": {"mimeType": "application/pdf", "fileUri": "gs://b/x.pdf"}},
                {"inlineData": {"mimeType": "text/csv", "data": "YSxi"}}]},
            {"role": "model", "parts": [{"text": "Hm.", "thought": true}, {"text": "Sure", "thoughtSignature": "c2ln"},
                {"functionCall": {"id": "a", "name": "f", "args": {"z": 1.5, "a": [1, {"b": null}]}}, "thoughtSignature": "AAAA"},
                {"functionCall": {"id": "b", "name": "g", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "a", "name": "f", "response": {"output": "ok"}}},
                {"functionResponse": {"id": "b", "name": "g", "response": {"rows": [1, 2]}}}]},
            {"role": "model", "parts": [{"executableCode": {"code": "1", "language": "PYTHON"}, "thoughtSignature": "BBBB"}]},
            {"role": "user", "parts": [{"text": "Go on"},
                {"fileData": {"fileUri": "https://youtu.be/x"}, "videoMetadata": {"fps": 1}}]},
        ],
        "tools": [
            {"functionDeclarations": [
                {"name": "f", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {"z": {"type": "number"}}}},
                {"name": "g"}]},
            {"googleSearch": {}}, {"codeExecution": {}}],
        "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}, "includeServerSideToolInvocations": true},
        "safetySettings": [{"category": "C", "threshold": "OFF"}],
        "generationConfig": {
            "maxOutputTokens": 100, "stopSequences": ["a", "b"], "candidateCount": 1, "temperature": 1.0, "topP": 0.5,
            "topK": 40, "presencePenalty": -1, "frequencyPenalty": 1, "seed": 7, "responseLogprobs": true, "logprobs": 2,
            "thinkingConfig": {"includeThoughts": true, "thinkingLevel": "MINIMAL"},
            "responseMimeType": "application/json", "responseJsonSchema": {"type": "array"},
            "responseModalities": ["TEXT", "IMAGE"], "speechConfig": {"a": 1}},
        "serviceTier": "flex",
        "labels": {"a": "b"},
        "novel": [1.10],
    })
}

#[test]
fn a_gemini_request_comes_back_as_it_was() {
    assert_eq!(round(&rich(), "gemini-3-pro"), rich());
}

#[test]
fn t121_snake_case_means_the_same() {
    fn snake(value: &Value) -> Value {
        match value {
            Value::Array(list) => list.iter().map(snake).collect(),
            Value::Object(members) => members
                .iter()
                .map(|(key, member)| {
                    let mut spelled = String::new();
                    for c in key.chars() {
                        if c.is_ascii_uppercase() {
                            spelled.push('_');
                        }
                        spelled.push(c.to_ascii_lowercase());
                    }
                    (spelled, snake(member))
                })
                .collect::<serde_json::Map<_, _>>()
                .into(),
            other => other.clone(),
        }
    }
    let mut want = rich();
    // Parts that only Gemini understands stay as they were written.
    want["contents"][3]["parts"][0] = snake(&want["contents"][3]["parts"][0]);
    want["contents"][4]["parts"][1] = snake(&want["contents"][4]["parts"][1]);
    assert_eq!(round(&snake(&rich()), "gemini-3-pro"), want);
}

#[test]
fn t187_the_same_request_gives_the_same_bytes() {
    let body = rich().to_string();
    let bytes = || {
        let request = read(&body);
        let exchange = Exchange::new(&request, Protocol::Anthropic, Protocol::Gemini);
        let mut out = Vec::new();
        encode(&request, &exchange, &Target::new("gemini-2.5-pro"), &mut Losses::default(), &mut out)
            .unwrap();
        out
    };
    assert_eq!(bytes(), bytes());
}

#[test]
fn t061_numbers_and_order_of_arguments_are_kept() {
    let body = r#"{"contents":[{"role":"user","parts":[{"text":"a"}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"z":1.0,"a":123456789012345678901234567890,"p":"a\/b"}}}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"z":1.10,"a":"\ud83d"}}}]}]}"#;
    let request = read(body);
    let exchange = Exchange::new(&request, Protocol::Gemini, Protocol::Gemini);
    let mut out = Vec::new();
    encode(&request, &exchange, &Target::new("gemini-2.5-pro"), &mut Losses::default(), &mut out).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), body);
}

// --- decoding -------------------------------------------------------------------------------------

#[test]
fn t135_what_clients_send_in_the_wild_is_understood() {
    for contents in [
        r#"[{"parts":[{"text":"a"}]}]"#,
        r#"{"role":"user","parts":{"text":"a"}}"#,
        r#"["a"]"#,
        r#"[{"parts":["a"]}]"#,
        r#"[{"role":null,"parts":[{"text":"a","thought":null}]}]"#,
    ] {
        let body = format!(r#"{{"contents":{contents},"tools":null,"systemInstruction":"s"}}"#);
        let request = read(&body);
        assert_eq!(request.turns.len(), 1, "{contents}");
        assert!(matches!(&request.turns[0].parts[0].kind, PartKind::Text { text } if *text == "a"));
        assert_eq!(request.system[0].text, "s");
    }
    assert!(decode(r#"{"contents":[{"role":"robot","parts":[{"text":"a"}]}]}"#, "m", false).is_err());
    assert!(decode(r#"{"contents":[{"parts":[{"text":5}]}]}"#, "m", false).is_err());
}

#[test]
fn t175_token_counting_is_a_request_too() {
    let body = r#"{"generateContentRequest":{"model":"models/x","contents":[{"parts":[{"text":"a"}]}],"systemInstruction":{"parts":{"text":"s"}},"tools":[{"functionDeclarations":[{"name":"f"}]}]}}"#;
    let request = read(body);
    assert_eq!((request.turns.len(), request.system.len(), request.tools.len()), (1, 1, 1));
    assert_eq!(request.model, "gemini-3-pro");
}

#[test]
fn t180_what_chat_helpers_replay_is_one_turn() {
    let body = r#"{"contents":[{"parts":[{"text":"a"}]},
        {"role":"model","parts":[{"text":"Let me "}]},{"role":"model","parts":[{"text":"see."}]},
        {"role":"model","parts":[{"functionCall":{"name":"f"}}]},{"role":"model","parts":[{"text":""}]},
        {"role":"user","parts":[{"functionResponse":{"name":"f","response":{}}}]}]}"#;
    let request = read(body);
    assert_eq!(request.turns.len(), 3);
    let parts = &request.turns[1].parts;
    assert!(matches!(&parts[0].kind, PartKind::Text { text } if *text == "Let me see."));
    assert!(matches!(&parts[1].kind, PartKind::ToolCall { .. }) && parts.len() == 2);
}

#[test]
fn settings_are_read() {
    let body = r#"{"contents":[],"generationConfig":{"maxOutputTokens":"50","temperature":1.50,"responseSchema":{"type":"OBJECT"},
        "thinkingConfig":{"thinkingBudget":-1,"includeThoughts":false},"mediaResolution":"X"},"toolConfig":{"functionCallingConfig":{"mode":"VALIDATED"}},
        "tools":{"functionDeclarations":{"name":"f"}},"cachedContent":"cachedContents/1"}"#;
    let request = read(body);
    assert_eq!(request.output.max_tokens, Some(50));
    assert_eq!(request.sampling.temperature.as_ref().unwrap().as_str(), "1.50");
    assert_eq!(
        (request.reasoning.mode, request.reasoning.visibility),
        (ReasoningMode::Auto, Visibility::Hidden)
    );
    assert!(
        matches!(&request.output.format, Format::JsonSchema { schema, .. } if schema.as_str() == r#"{"type":"object"}"#)
    );
    assert!(matches!(request.tool_choice, Some(ToolChoice::Auto)));
    assert_eq!(request.tools[0].strict, Some(true));
    assert_eq!(request.cache.handle.as_ref().unwrap(), &"cachedContents/1");
    let names: Vec<_> = request.extras.iter().map(|(key, _)| key.decode()).collect();
    assert_eq!(names, ["generationConfig.mediaResolution"]);
    for bad in
        [r#"{"maxOutputTokens":-1}"#, r#"{"temperature":"warm"}"#, r#"{"responseMimeType":"text/x.enum"}"#]
    {
        let body = format!(r#"{{"contents":[],"generationConfig":{bad}}}"#);
        assert!(decode(&body, "m", false).is_err(), "{bad}");
    }
}

// --- encoding -------------------------------------------------------------------------------------

#[test]
fn t122_t124_t184_system_texts() {
    let mut request = hi();
    for text in ["x-anthropic-billing-header: a=1", " keep  me ", ""] {
        request.system.push(SystemBlock { text: text.into(), cache: None, developer: false });
    }
    request.turns.push(turn(Role::Assistant, vec![text("Hello")]));
    request.turns.push(turn(Role::System, vec![text("New rule.\n")]));
    let sent = sent(&request, "gemini-3-pro");
    assert_eq!(sent.body["systemInstruction"], json!({"parts": [{"text": " keep  me "}]}));
    assert_eq!(
        sent.body["contents"][2],
        json!({"role": "user", "parts": [{"text": "<system>\nNew rule.\n\n</system>"}]})
    );
    assert_eq!(sent.losses, "approx:system.mid");
}

#[test]
fn t112_reasoning_settings_fit_the_model() {
    type Case = (&'static str, ReasoningMode, Option<Effort>, Option<u64>, Value);
    let cases: [Case; 10] = [
        ("gemini-2.5-flash", ReasoningMode::Off, None, None, json!({"thinkingBudget": 0})),
        ("gemini-2.5-pro", ReasoningMode::Off, None, None, json!({"thinkingBudget": 128})),
        ("gemini-2.5-flash", ReasoningMode::On, Some(Effort::Medium), None, json!({"thinkingBudget": 8192})),
        ("gemini-2.5-flash", ReasoningMode::Auto, None, None, json!({"thinkingBudget": -1})),
        ("gemini-2.5-flash", ReasoningMode::On, None, Some(99_999), json!({"thinkingBudget": 24576})),
        ("gemini-3-flash", ReasoningMode::Off, None, None, json!({"thinkingLevel": "MINIMAL"})),
        ("gemini-3-pro", ReasoningMode::On, None, Some(4_000), json!({"thinkingLevel": "MEDIUM"})),
        ("gemini-3-pro", ReasoningMode::On, Some(Effort::Max), Some(1), json!({"thinkingLevel": "HIGH"})),
        ("gemini-2.0-flash", ReasoningMode::On, Some(Effort::High), None, Value::Null),
        ("gemini-3-pro", ReasoningMode::Unset, None, None, Value::Null),
    ];
    for (model, mode, effort, budget, want) in cases {
        let mut request = hi();
        request.reasoning.mode = mode;
        request.reasoning.effort = effort;
        request.reasoning.budget = budget;
        let sent = sent(&request, model);
        assert_eq!(
            sent.body["generationConfig"]["thinkingConfig"], want,
            "{model} {mode:?} {effort:?} {budget:?}"
        );
    }
    // Thoughts must leave room for the answer.
    let mut request = hi();
    request.reasoning.budget = Some(8_000);
    request.output.max_tokens = Some(2_000);
    let sent = sent(&request, "gemini-2.5-flash");
    assert_eq!(sent.body["generationConfig"]["thinkingConfig"]["thinkingBudget"], 1_999);
    assert_eq!(sent.losses, "clamp:reasoning.budget");
}

#[test]
fn t147_t149_state_is_refused_and_unknown_fields_are_named() {
    let mut request = hi();
    request.extras = vec![("truncation".into(), Raw::from_json("\"auto\""))];
    request.sampling.logit_bias = Some(Raw::from_json("{}"));
    request.output.verbosity = Some("low".into());
    let got = sent(&request, "gemini-3-pro");
    assert_eq!(got.losses, "drop:verbosity, drop:logit_bias, drop:truncation");
    assert_eq!(got.body, json!({"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}));
    request.extras = vec![("container".into(), Raw::from_json("\"c\""))];
    assert!(send(&request, Protocol::Anthropic, "gemini-3-pro").is_err());
    let mut request = hi();
    request.state.previous_id = Some("resp_1".into());
    assert!(matches!(send(&request, Protocol::Responses, "gemini-3-pro"), Err(RequestError::Unsupported(_))));
}

#[test]
fn limits_that_cannot_be_are_refused_here() {
    use crate::protocol::json::Number;
    let mut request = hi();
    request.sampling.temperature = Some(Number::from_json("2.5"));
    assert!(matches!(send(&request, Protocol::OpenAi, "gemini-3-pro"), Err(RequestError::Invalid { .. })));
    let mut request = hi();
    request.output.max_tokens = Some(0);
    assert!(send(&request, Protocol::Anthropic, "gemini-3-pro").is_err());
    let mut request = hi();
    request.output.stop = ["a", "", "b", "c", "d", "e", "f"].map(Str::from).to_vec();
    let got = sent(&request, "gemini-3-pro");
    assert_eq!(got.body["generationConfig"]["stopSequences"], json!(["a", "b", "c", "d", "e"]));
    assert_eq!(got.losses, "drop:stop");
    assert!(send(&ask(vec![]), Protocol::OpenAi, "gemini-3-pro").is_err());
}

#[test]
fn t126_the_clients_own_last_words_are_kept() {
    let mut request = hi();
    request.turns.push(turn(Role::Assistant, vec![text("Once upon ")]));
    let got = sent(&request, "gemini-3-pro");
    assert_eq!(got.body["contents"][1]["parts"][0]["text"], "Once upon ");
    assert_eq!(got.losses, format!("{}:prefill", Action::Approx.as_str()));
}

#[test]
fn models_that_are_not_held_to_a_schema_are_told_of_it() {
    let mut request = hi();
    let schema = Raw::from_json(r#"{"type":"object","z":1}"#);
    request.output.format = Format::JsonSchema { name: None, description: None, schema, strict: None };
    let mut target = Target::new("gemini-2.5-pro");
    target.capabilities.structured_output = false;
    let exchange = Exchange::new(&request, Protocol::OpenAi, Protocol::Gemini);
    let (mut losses, mut out) = (Losses::default(), Vec::new());
    encode(&request, &exchange, &target, &mut losses, &mut out).unwrap();
    let body: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(body["generationConfig"], json!({"responseMimeType": "application/json"}));
    let told = body["systemInstruction"]["parts"][0]["text"].as_str().unwrap();
    assert!(told.ends_with(r#"{"type":"object","z":1}"#), "{body}");
    assert_eq!(losses.header(), "approx:response_format");
}
