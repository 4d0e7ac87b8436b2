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
fn t065_calls_without_ids_get_lasting_ones() {
    let step = |n: u32| {
        format!(
            r#"{{"role":"model","parts":[{{"functionCall":{{"name":"f","args":{{"n":{n}}}}}}},{{"functionCall":{{"name":"g"}}}},{{"functionCall":{{"name":"f"}}}}]}},{{"role":"function","parts":[{{"functionResponse":{{"name":"f","response":{{"output":"1"}}}}}},{{"functionResponse":{{"name":"f","response":{{"output":"2"}}}}}},{{"functionResponse":{{"name":"g","response":{{"output":"3"}}}}}}]}}"#
        )
    };
    let body = format!(r#"{{"contents":[{{"parts":[{{"text":"a"}}]}},{},{}]}}"#, step(1), step(2));
    let ids = |body: &str| -> Vec<String> {
        let request = read(body);
        let parts = request.turns.iter().flat_map(|turn| &turn.parts);
        parts
            .filter_map(|part| match &part.kind {
                PartKind::ToolCall { id, .. } => Some(id.decode().into_owned()),
                PartKind::ToolResult { call_id, .. } => Some(call_id.decode().into_owned()),
                _ => None,
            })
            .collect()
    };
    let seen = ids(&body);
    assert_eq!(seen, ids(&body));
    // First come, first served among equal names, and never across steps.
    for step in seen.chunks(6) {
        assert_eq!([&step[3], &step[4], &step[5]], [&step[0], &step[2], &step[1]]);
    }
    assert_ne!(seen[0], seen[6]);
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

fn sealed(words: &str) -> String {
    let opaque = Opaque {
        provider: Provider::Anthropic,
        kind: OpaqueKind::Signature,
        item_id: None,
        value: "EqQB".into(),
    };
    envelope::seal(&opaque, &words.into()).as_escaped().to_owned()
}

#[test]
fn state_of_other_providers_comes_home_with_its_text() {
    let signature = sealed("Need both.");
    for parts in [
        json!([{"text": "Need both.", "thought": true, "thoughtSignature": signature}]),
        json!([{"text": "Need ", "thought": true}, {"text": "both.", "thought": true},
               {"text": "", "thought": true, "thoughtSignature": signature}]),
    ] {
        let body = json!({"contents": [{"role": "model", "parts": parts}]}).to_string();
        let request = read(&body);
        let [part] = request.turns[0].parts.as_slice() else { panic!("one part: {:?}", request.turns) };
        assert!(matches!(&part.kind, PartKind::Reasoning { text, .. } if *text == "Need both."));
        let opaque = part.opaque.as_ref().unwrap();
        assert_eq!((opaque.provider, &opaque.value), (Provider::Anthropic, &Str::from("EqQB")));
        assert!(request.extras.is_empty());
    }
}

#[test]
fn altered_reasoning_is_dropped_and_named() {
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [
        {"text": "I changed this.", "thought": true, "thoughtSignature": sealed("Need both.")}, {"text": "b"}]},
        {"role": "user", "parts": [{"text": "a"}]}]})
    .to_string();
    let request = read(&body);
    assert_eq!(request.turns[1].parts.len(), 1);
    let sent = send(&request, Protocol::Gemini, "gemini-3-pro").unwrap();
    assert_eq!(sent.losses, "drop:reasoning.mutated");
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
fn t063_t064_t066_t128_results_stand_alone_in_call_order() {
    let request = ask(vec![
        turn(Role::Assistant, vec![call("1", "f", "{\"x\":1.0}"), call("2", "g", "")]),
        turn(Role::User, vec![text("And?"), result("2", "plain", false)]),
        turn(Role::User, vec![result("1", "[1]", true)]),
    ]);
    let sent = sent(&request, "gemini-3-pro");
    assert_eq!(
        sent.body["contents"],
        json!([
            {"role": "user", "parts": [{"text": "Continue."}]},
            {"role": "model", "parts": [
                {"functionCall": {"id": "1", "name": "f", "args": {"x": 1.0}}},
                {"functionCall": {"id": "2", "name": "g", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "1", "name": "f", "response": {"error": "[1]"}}},
                {"functionResponse": {"id": "2", "name": "g", "response": {"output": "plain"}}}]},
            {"role": "user", "parts": [{"text": "And?"}]},
        ])
    );
    assert!(
        sent.losses.contains("reorder:tool_result") && sent.losses.contains("insert:user"),
        "{}",
        sent.losses
    );
    let orphan = ask(vec![turn(Role::User, vec![result("9", "x", false)])]);
    assert!(send(&orphan, Protocol::OpenAi, "gemini-3-pro").is_err());
}

#[test]
fn t067_ids_go_on_both_sides_or_on_none() {
    let request = ask(vec![
        turn(Role::User, vec![text("a")]),
        turn(Role::Assistant, vec![call("1", "f", "{}")]),
        turn(Role::User, vec![result("1", "", false)]),
    ]);
    for (model, count) in [("gemini-3-pro", 2), ("gemini-2.5-pro", 0)] {
        let body = sent(&request, model).body.to_string();
        assert_eq!(body.matches("\"id\"").count(), count, "{body}");
    }
    // T074: an empty result is a result.
    let response = &sent(&request, "gemini-3-pro").body["contents"][2]["parts"][0]["functionResponse"];
    assert_eq!(response["response"], json!({"output": ""}));
}

#[test]
fn t062_arguments_that_are_no_object_are_wrapped() {
    let request = ask(vec![
        turn(Role::User, vec![text("a")]),
        turn(Role::Assistant, vec![call("1", "f", "[1]"), call("2", "f", "{\"x\":")]),
        turn(Role::User, vec![result("1", "{\"a\":1.10}", false), result("2", "", false)]),
    ]);
    let sent = sent(&request, "gemini-2.5-pro");
    let parts = &sent.body["contents"][1]["parts"];
    assert_eq!(parts[0]["functionCall"]["args"], json!({"_raw_arguments": "[1]"}));
    assert_eq!(parts[1]["functionCall"]["args"], json!({"_raw_arguments": "{\"x\":"}));
    assert_eq!(sent.losses, "approx:tool_call.arguments");
}

fn signed<'a>(kind: PartKind<'a>, provider: Provider, value: &'a str) -> Part<'a> {
    let opaque = Opaque { provider, kind: OpaqueKind::Signature, item_id: None, value: value.into() };
    Part { opaque: Some(opaque), ..Part::new(kind) }
}

fn thought(words: &str) -> PartKind<'_> {
    PartKind::Reasoning { text: words.into(), redacted: false }
}

#[test]
fn t100_t101_the_right_call_is_signed() {
    let mut request = ask(vec![
        turn(Role::User, vec![text("old")]),
        turn(Role::Assistant, vec![call("0", "f", "{}")]),
        turn(Role::User, vec![result("0", "x", false)]),
        turn(Role::User, vec![text("new")]),
    ]);
    // The signature waits in the reasoning before the call; parallel calls have none.
    request.turns.push(Turn {
        role: Role::Assistant,
        parts: vec![
            signed(thought(""), Provider::Gemini, "AA-_"),
            Part::new(call("1", "f", "{}")),
            Part::new(call("2", "f", "{}")),
        ],
    });
    request.turns.push(turn(Role::User, vec![result("1", "x", false), result("2", "x", false)]));
    request.turns.push(turn(Role::Assistant, vec![call("3", "f", "{}"), call("4", "f", "{}")]));
    request.turns.push(turn(Role::User, vec![result("3", "x", false), result("4", "x", false)]));
    let signatures = |body: &Value| -> Vec<String> {
        let contents = body["contents"].as_array().unwrap();
        let parts = contents.iter().flat_map(|c| c["parts"].as_array().unwrap());
        parts
            .filter(|part| part.get("functionCall").is_some())
            .map(|part| part["thoughtSignature"].as_str().unwrap_or("-").to_owned())
            .collect()
    };
    let new = send(&request, Protocol::Anthropic, "gemini-3-pro").unwrap();
    assert_eq!(signatures(&new.body), ["-", "AA+/", "-", "skip_thought_signature_validator", "-"]);
    let old = send(&request, Protocol::Anthropic, "gemini-2.5-pro").unwrap();
    assert_eq!(signatures(&old.body), ["-", "AA+/", "-", "-", "-"]);
}

#[test]
fn t104_reasoning_of_others_is_not_shown_to_google() {
    let request = ask(vec![
        turn(Role::User, vec![text("a")]),
        Turn {
            role: Role::Assistant,
            parts: vec![
                signed(thought("secret"), Provider::Anthropic, "EqQB"),
                Part::new(thought("unsigned")),
                Part::text("b"),
            ],
        },
        turn(Role::User, vec![text("c")]),
    ]);
    let sent = send(&request, Protocol::Anthropic, "gemini-3-pro").unwrap();
    assert_eq!(sent.body["contents"][1], json!({"role": "model", "parts": [{"text": "b"}]}));
    assert_eq!(sent.losses, "drop:reasoning");
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
fn t082_t076_t078_t080_tools_and_choice() {
    let mut request = hi();
    request.tools = vec![function("a/b", SCHEMA), function("c", r#"{"type":"object","properties":{}}"#)];
    request.tool_choice = Some(ToolChoice::Tool("a/b".into()));
    request.parallel_tool_calls = Some(false);
    let got = sent(&request, "gemini-3-pro");
    assert_eq!(
        got.body["tools"],
        json!([{"functionDeclarations": [
            {"name": "a_b", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {"x": {"type": "number"}}}},
            {"name": "c", "description": "d"}]}])
    );
    assert_eq!(
        got.body["toolConfig"],
        json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a_b"]}})
    );
    assert_eq!(got.losses, "drop:parallel_tool_calls");
    let old = sent(&request, "gemini-2.0-flash");
    assert_eq!(old.body["tools"][0]["functionDeclarations"][0]["parameters"]["type"], "OBJECT");

    let allowed = |required| {
        ToolChoice::Allowed(crate::protocol::canonical::Allowed {
            names: vec!["c".into(), "x".into()],
            required,
        })
    };
    request.parallel_tool_calls = None;
    request.tool_choice = Some(allowed(false));
    let got = sent(&request, "gemini-2.5-pro");
    assert_eq!(got.body["tools"][0]["functionDeclarations"].as_array().unwrap().len(), 1);
    assert_eq!(got.body["toolConfig"]["functionCallingConfig"], json!({"mode": "AUTO"}));
    request.tool_choice = Some(allowed(true));
    let got = sent(&request, "gemini-2.5-pro");
    assert_eq!(got.body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"], json!(["c"]));
    request.tools.clear();
    let got = sent(&request, "gemini-2.5-pro");
    assert!(got.body.get("toolConfig").is_none() && got.losses == "drop:tool_choice");
}

#[test]
fn duplicate_names_and_foreign_hosted_tools_are_refused_and_search_is_mapped() {
    let mut request = hi();
    request.tools = vec![function("f", SCHEMA), function("f", SCHEMA)];
    assert!(send(&request, Protocol::OpenAi, "gemini-3-pro").is_err());
    let hosted = |tag: &'static str| Tool {
        kind: ToolKind::Hosted {
            protocol: Protocol::Anthropic,
            tag: tag.into(),
            raw: Raw::from_json(r#"{"type":"t","name":"n","max_uses":3}"#),
        },
        schema: None,
        ..function("n", "{}")
    };
    request.tools = vec![hosted("web_search_20250305")];
    let got = send(&request, Protocol::Anthropic, "gemini-3-pro").unwrap();
    assert_eq!(got.body["tools"], json!([{"googleSearch": {}}]));
    assert_eq!(got.losses, "drop:web_search.max_uses");
    request.tools = vec![function("f", SCHEMA), hosted("web_search_20250305")];
    let got = send(&request, Protocol::Anthropic, "gemini-3-pro").unwrap();
    assert_eq!(got.body["tools"].as_array().unwrap().len(), 1, "Google refuses both in one request");
    assert_eq!(got.body["tools"][0]["functionDeclarations"][0]["name"], "f");
    assert_eq!(got.losses, "drop:tools.web_search");
    request.tools = vec![hosted("computer_20250124")];
    assert!(matches!(send(&request, Protocol::Anthropic, "gemini-3-pro"), Err(RequestError::Unsupported(_))));
}

#[test]
fn t087_free_text_tools_are_functions_of_one_string() {
    let mut request = hi();
    let format = Raw::from_json(r#"{"type":"grammar","syntax":"lark","definition":"start: \"x\""}"#);
    request.tools =
        vec![Tool { kind: ToolKind::Custom { format: Some(format) }, schema: None, ..function("p", "{}") }];
    let kind =
        PartKind::ToolCall { id: "1".into(), name: "p".into(), arguments: "*** \"go\"".into(), custom: true };
    request.turns.push(turn(Role::Assistant, vec![kind]));
    request.turns.push(turn(Role::User, vec![result("1", "x", false)]));
    let got = sent(&request, "gemini-3-pro");
    let tool = &got.body["tools"][0]["functionDeclarations"][0];
    assert_eq!(tool["description"], "d\n\nThe input must match this grammar:\nstart: \"x\"");
    assert_eq!(tool["parametersJsonSchema"]["required"], json!(["input"]));
    let args = &got.body["contents"][1]["parts"][0]["functionCall"]["args"];
    assert_eq!(args, &json!({"input": "*** \"go\""}));
}

fn media<'a>(kind: MediaKind, mime: &'a str, source: MediaSource<'a>) -> PartKind<'a> {
    PartKind::Media(Media {
        kind,
        mime: mime.into(),
        source,
        name: None,
        context: None,
        detail: None,
        citations: false,
        offset: None,
    })
}

#[test]
fn t118_media_are_mapped_or_refused() {
    let png = || media(MediaKind::Image, "image/png", MediaSource::Inline("AA-_".into()));
    let url = media(MediaKind::Image, "", MediaSource::Url("https://h/a.jpg".into()));
    let words = media(MediaKind::Document, "text/plain", MediaSource::Text("ü".into()));
    let request = ask(vec![turn(Role::User, vec![png(), url, words])]);
    let got = sent(&request, "gemini-3-pro");
    assert_eq!(
        got.body["contents"][0]["parts"],
        json!([{"inlineData": {"mimeType": "image/png", "data": "AA+/"}},
               {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h/a.jpg"}},
               {"inlineData": {"mimeType": "text/plain", "data": "w7w="}}])
    );
    assert_eq!(got.losses, "approx:media.url");
    let foreign = media(MediaKind::Document, "", MediaSource::FileId(Protocol::OpenAi, "file-1".into()));
    let request = ask(vec![turn(Role::User, vec![foreign])]);
    assert!(matches!(send(&request, Protocol::OpenAi, "gemini-3-pro"), Err(RequestError::Unsupported(_))));
}

#[test]
fn t072_pictures_in_results_go_where_the_model_sees_them() {
    let png = media(MediaKind::Image, "image/png", MediaSource::Inline("AAAA".into()));
    let content = vec![Part::text("see"), Part::new(png)];
    let answer =
        PartKind::ToolResult { call_id: "1".into(), name: None, content, is_error: false, custom: false };
    let request = ask(vec![
        turn(Role::User, vec![text("a")]),
        turn(Role::Assistant, vec![call("1", "f", "{}")]),
        turn(Role::User, vec![answer]),
    ]);
    let new = sent(&request, "gemini-3-pro");
    let inside = &new.body["contents"][2]["parts"][0]["functionResponse"]["parts"];
    assert_eq!(inside, &json!([{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]));
    let old = sent(&request, "gemini-2.5-pro");
    assert_eq!(old.body["contents"][2]["parts"].as_array().unwrap().len(), 1);
    assert_eq!(old.body["contents"][3]["parts"][0]["inlineData"]["data"], "AAAA");
    assert_eq!(old.losses, "approx:tool_result.media");
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

#[test]
fn documents_by_address_have_a_title_and_a_type() {
    let media = |kind, uri: &'static str| Media {
        kind,
        mime: Str::EMPTY,
        source: MediaSource::Url(uri.into()),
        name: Some("T".into()),
        context: None,
        detail: None,
        citations: false,
        offset: None,
    };
    let request = ask(vec![turn(
        Role::User,
        vec![
            PartKind::Media(media(MediaKind::Document, "https://x.test/get?id=7")),
            PartKind::Media(media(MediaKind::Image, "https://x.test/picture")),
            PartKind::Media(media(MediaKind::Image, "https://x.test/a.png")),
        ],
    )]);
    let file = |uri: &str, mime: &str| json!({"fileData": {"mimeType": mime, "fileUri": uri}});
    assert_eq!(
        sent(&request, "gemini-3-pro").body["contents"][0]["parts"],
        json!([
            {"text": "T"},
            file("https://x.test/get?id=7", "application/pdf"),
            file("https://x.test/picture", "image/jpeg"),
            file("https://x.test/a.png", "image/png"),
        ])
    );
}
