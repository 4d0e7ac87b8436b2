use proptest::prelude::*;
use serde_json::{Value, json};

use super::{decode, encode};
use crate::protocol::canonical::{
    Effort, Exchange, Losses, MediaKind, MediaSource, Opaque, OpaqueKind, Part, PartKind, Provider,
    Reasoning, ReasoningMode, Request, Role, ToolKind, Turn, Visibility, envelope,
};
use crate::protocol::json::{Number, Raw, Str};
use crate::protocol::{Protocol, RequestError, Target};

mod cache;
mod replay;

const SONNET: &str = "claude-sonnet-4-5";

fn send_as(client: Protocol, request: &Request<'_>, model: &str) -> Result<(Value, String), RequestError> {
    let exchange = Exchange::new(request, client, Protocol::Anthropic);
    let (mut out, mut losses) = (Vec::new(), Losses::default());
    encode(request, &exchange, &Target::new(model), &mut losses, &mut out)?;
    Ok((serde_json::from_slice(&out).unwrap(), losses.header()))
}

/// What a Chat client's request becomes for a model that takes budgets.
fn send(request: &Request<'_>) -> (Value, String) {
    send_as(Protocol::OpenAi, request, SONNET).unwrap()
}

fn round_trip(body: &Value) -> (Value, String) {
    let text = body.to_string();
    let request = decode(&text).unwrap();
    send_as(Protocol::Anthropic, &request, body["model"].as_str().unwrap()).unwrap()
}

fn request<'a>(turns: Vec<(Role, Vec<Part<'a>>)>) -> Request<'a> {
    let turns = turns.into_iter().map(|(role, parts)| Turn { role, parts }).collect();
    Request { model: "m".into(), turns, ..Request::default() }
}

fn asking<'a>() -> Request<'a> {
    request(vec![(Role::User, vec![Part::text("hi")])])
}

fn call<'a>(id: &'a str, arguments: &'a str) -> Part<'a> {
    let kind =
        PartKind::ToolCall { id: id.into(), name: "f".into(), arguments: arguments.into(), custom: false };
    Part::new(kind)
}

fn result<'a>(id: &'a str, text: &'a str) -> Part<'a> {
    Part::new(PartKind::ToolResult {
        call_id: id.into(),
        name: None,
        content: vec![Part::text(text)],
        is_error: false,
        custom: false,
    })
}

fn tool(name: &'static str, schema: Option<&'static str>) -> crate::protocol::canonical::Tool<'static> {
    crate::protocol::canonical::Tool {
        name: name.into(),
        description: None,
        schema: schema.map(Raw::from_json),
        strict: None,
        kind: ToolKind::Function,
        cache: None,
    }
}

#[test]
fn a_rich_request_survives_both_ways() {
    let body = json!({
        "model": "claude-opus-4-6",
        "max_tokens": 9000,
        "stream": true,
        "system": [
            {"type": "text", "text": "Be brief.\n", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "text", "text": "  Indented. "}
        ],
        "messages": [
            {"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "image", "source": {"type": "url", "url": "https://pictures.test/a.png"}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBE"},
                 "title": "T", "context": "C", "citations": {"enabled": true}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "plain"}},
                {"type": "document", "source": {"type": "file", "file_id": "file_1"}},
                {"type": "container_upload", "file_id": "file_2"},
                {"type": "text", "text": "What is this?", "cache_control": {"type": "ephemeral"}}
            ]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Hm 😀", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "ZGF0YQ=="},
                {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                {"type": "text", "text": "Let me see."},
                {"type": "tool_use", "id": "toolu_1", "name": "look", "input": {"b": 1, "a": [1.5]}}
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "is_error": true, "content": [
                    {"type": "text", "text": "broken"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/"}}
                ]},
                {"type": "text", "text": "Go on."}
            ]}
        ],
        "tools": [
            {"name": "look", "description": "Looks.", "input_schema": {"type": "object", "properties": {}},
             "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "web_search_20250305", "name": "web_search", "max_uses": 2}
        ],
        "tool_choice": {"type": "auto", "disable_parallel_tool_use": true},
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "output_config": {"effort": "high", "format": {"type": "json_schema", "schema": {"type": "object"}},
            "task_budget": {"type": "tokens", "total": 9}},
        "stop_sequences": ["END"],
        "metadata": {"user_id": "u"},
        "service_tier": "auto",
        "context_management": {"edits": []},
        "container": "c"
    });
    let (again, losses) = round_trip(&body);
    assert_eq!(losses, "");
    assert_eq!(again, body);
}

#[test]
fn t061_numbers_and_key_order_of_arguments_and_schemas_stay_as_they_are() {
    let input = r#"{"z":1.10,"a":123456789012345678901234567890,"u":"\u00e9\/"}"#;
    let schema = r#"{"type":"object","properties":{"z":{"const":1.0},"a":{}}}"#;
    let body = format!(
        r#"{{"model":"m","max_tokens":1,"tools":[{{"name":"f","input_schema":{schema}}}],"messages":[{{"role":"user","content":"x"}},{{"role":"assistant","content":[{{"type":"tool_use","id":"t","name":"f","input":{input}}}]}}]}}"#
    );
    let request = decode(&body).unwrap();
    let exchange = Exchange::new(&request, Protocol::Anthropic, Protocol::Anthropic);
    let mut out = Vec::new();
    encode(&request, &exchange, &Target::new("m"), &mut Losses::default(), &mut out).unwrap();
    let sent = String::from_utf8(out).unwrap();
    assert!(sent.contains(input) && sent.contains(schema), "{sent}");
}

#[test]
fn t135_tolerates_what_clients_send() {
    let body = json!({"model": "m", "max_tokens": 1, "system": null, "messages": [
        {"role": "user", "content": ["plain", {"text": "typeless"}]},
        {"role": "assistant", "content": null},
        {"role": "user", "content": {"type": "text", "text": "alone"}}
    ]});
    let text = body.to_string();
    let request = decode(&text).unwrap();
    assert_eq!(request.turns.len(), 3);
    assert_eq!(request.turns[0].parts.len(), 2);
    let (sent, _) = send_as(Protocol::Anthropic, &request, "m").unwrap();
    // Empty turns go, and what they stood between is one message.
    assert_eq!(sent["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn errors_name_the_field() {
    for (body, param) in [
        (r#"{"max_tokens":1,"messages":[]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":[{"role":"robot","content":"x"}]}"#, "messages[0].role"),
        (r#"{"model":"m","messages":[{"role":"user","content":[{"type":"text"}]}]}"#, "messages[0].content"),
        (r#"{"model":"m","messages":[],"max_tokens":1.5}"#, "max_tokens"),
        (r#"{"model":"m","messages":[],"tools":[{"description":"d"}]}"#, "tools"),
    ] {
        let view = decode(body).unwrap_err().view(body);
        assert!(view.param.as_deref().unwrap_or_default().starts_with(param), "{body}: {view:?}");
    }
}

#[test]
fn t184_the_billing_block_does_not_defeat_the_cache() {
    let body = r#"{"model":"m","messages":[],"system":[{"type":"text","text":"x-anthropic-billing-header: a=1"},{"type":"text","text":"Be kind."}]}"#;
    let request = decode(body).unwrap();
    assert_eq!(request.system.len(), 1);
    assert_eq!(request.system[0].text, "Be kind.");
}

#[test]
fn t095_client_tools_become_functions() {
    let body = r#"{"model":"m","messages":[],"tools":[{"type":"bash_20250124","name":"bash"},{"type":"text_editor_20250728","name":"str_replace_based_edit_tool"},{"type":"memory_20250818","name":"memory"},{"type":"computer_20250124","name":"computer","display_width_px":1}]}"#;
    let request = decode(body).unwrap();
    for tool in &request.tools[..3] {
        assert!(matches!(tool.kind, ToolKind::Function));
        let schema: Value = serde_json::from_str(tool.schema.as_ref().unwrap().as_str()).unwrap();
        assert_eq!(schema["type"], "object");
        assert!(schema["properties"]["command"].is_object());
    }
    assert!(matches!(request.tools[3].kind, ToolKind::Hosted { .. }));
}

#[test]
fn t118_documents_of_blocks_and_search_results_reach_other_models_as_text() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "document", "context": "C", "source": {"type": "content", "content": [
            {"type": "text", "text": "one"}, {"type": "text", "text": "two"}]}},
        {"type": "search_result", "source": "https://s.test", "title": "S", "content": [{"type": "text", "text": "found"}]}
    ]}]})
    .to_string();
    let request = decode(&body).unwrap();
    let texts: Vec<_> = request.turns[0]
        .parts
        .iter()
        .map(|part| match &part.kind {
            PartKind::Text { text } => text.decode().into_owned(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(texts, ["C", "one", "two", "[S](https://s.test)\nfound"]);
}

#[test]
fn t120_pictures_in_every_spelling() {
    for (source, mime, data) in [
        (r#"{"type":"base64","media_type":"image/jpg","data":"_-8"}"#, "image/jpeg", "/+8="),
        (r#"{"type":"base64","data":"iVBORw0KGgo="}"#, "image/png", "iVBORw0KGgo="),
        (
            r#"{"type":"base64","media_type":"image/png","data":"data:image/gif;x=1;base64,AAAA"}"#,
            "image/gif",
            "AAAA",
        ),
    ] {
        let body = format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":[{{"type":"image","source":{source}}}]}}]}}"#
        );
        let request = decode(&body).unwrap();
        let PartKind::Media(media) = &request.turns[0].parts[0].kind else { panic!() };
        assert_eq!(media.kind, MediaKind::Image);
        assert_eq!(media.mime, mime);
        assert!(matches!(&media.source, MediaSource::Inline(found) if *found == data));
    }
}

fn history(signature: &Str<'_>, thinking: &str) -> String {
    json!({"model": "m", "messages": [{"role": "assistant", "content": [
        {"type": "thinking", "thinking": thinking, "signature": signature.decode()},
        {"type": "tool_use", "id": "call_1", "name": "f", "input": {}}
    ]}]})
    .to_string()
}

#[test]
fn t099_foreign_state_comes_back_to_its_issuer() {
    let opaque = Opaque {
        provider: Provider::OpenAi,
        kind: OpaqueKind::EncryptedContent,
        item_id: Some("rs_1".into()),
        value: "gAAAA".into(),
    };
    let sealed = envelope::seal(&opaque, &"why".into());
    let body = history(&sealed, "why");
    let request = decode(&body).unwrap();
    let found = request.turns[0].parts[0].opaque.as_ref().unwrap();
    assert_eq!((found.provider, found.kind), (Provider::OpenAi, OpaqueKind::EncryptedContent));
    assert_eq!(found.value, "gAAAA");
    assert_eq!(found.item_id.as_ref().unwrap(), &"rs_1");
    // Towards Anthropic it is worthless, and said to be (T104).
    let (sent, losses) = send_as(Protocol::Anthropic, &request, SONNET).unwrap();
    assert!(!sent.to_string().contains("thinking"));
    assert_eq!(losses, "drop:reasoning, insert:user");
    // Altered text makes it worthless everywhere.
    let body = history(&sealed, "why not");
    let request = decode(&body).unwrap();
    assert_eq!(request.turns[0].parts.len(), 1);
    assert!(request.extras.iter().any(|(key, _)| *key == "reasoning.mutated"));
}

#[test]
fn t101_a_signature_of_gemini_finds_its_call() {
    let opaque = Opaque {
        provider: Provider::Gemini,
        kind: OpaqueKind::Signature,
        item_id: None,
        value: "Q2c=".into(),
    };
    let sealed = super::super::state::bind_call(&opaque, &"call_1".into());
    let body = history(&sealed, "");
    let request = decode(&body).unwrap();
    let [part] = request.turns[0].parts.as_slice() else { panic!() };
    assert!(matches!(part.kind, PartKind::ToolCall { .. }));
    assert_eq!(part.opaque.as_ref().unwrap().value, "Q2c=");
    assert!(part.opaque.as_ref().unwrap().item_id.is_none());
}

#[test]
fn t063_results_come_first_in_call_order() {
    let (sent, losses) = send(&request(vec![
        (Role::User, vec![Part::text("go")]),
        (Role::Assistant, vec![call("a", "{}"), call("b", "")]),
        (Role::User, vec![result("b", "2")]),
        (Role::User, vec![Part::text("and?")]),
        (Role::User, vec![result("a", "1")]),
    ]));
    assert_eq!(losses, "reorder:tool_result");
    assert_eq!(
        sent["messages"][2]["content"],
        json!([
            {"type": "tool_result", "tool_use_id": "a", "content": "1"},
            {"type": "tool_result", "tool_use_id": "b", "content": "2"},
            {"type": "text", "text": "and?"}
        ])
    );
    assert_eq!(sent["messages"][1]["content"][1]["input"], json!({}));
}

#[test]
fn t062_t068_t074_calls_that_others_take() {
    let empty = Part::new(PartKind::ToolResult {
        call_id: "c:1".into(),
        name: None,
        content: vec![],
        is_error: true,
        custom: false,
    });
    let (sent, losses) = send(&request(vec![
        (Role::User, vec![Part::text("go")]),
        (Role::Assistant, vec![call("c:1", "[1]")]),
        (Role::User, vec![empty]),
    ]));
    assert_eq!(losses, "approx:tool_call.arguments");
    let used = &sent["messages"][1]["content"][0];
    assert_eq!(used["input"], json!({"_raw_arguments": "[1]"}));
    let result = &sent["messages"][2]["content"][0];
    assert_eq!(used["id"], result["tool_use_id"]);
    assert!(used["id"].as_str().unwrap().starts_with("call_"));
    assert_eq!(result.get("content"), None);
    assert_eq!(result["is_error"], true);
}

#[test]
fn t122_system_messages_in_mid_conversation_stay_in_place() {
    let turns = || {
        request(vec![
            (Role::User, vec![Part::text("a")]),
            (Role::System, vec![Part::text("be quick")]),
            (Role::Assistant, vec![Part::text("b")]),
            (Role::User, vec![Part::text("c")]),
        ])
    };
    let (sent, losses) = send(&turns());
    assert_eq!(losses, "approx:system.mid");
    assert_eq!(sent["messages"][0]["content"][1]["text"], "<system>\nbe quick\n</system>");
    let (sent, losses) = send_as(Protocol::OpenAi, &turns(), "claude-opus-5").unwrap();
    assert_eq!(losses, "");
    assert_eq!(sent["messages"][1], json!({"role": "system", "content": "be quick"}));
}

#[test]
fn t125_t126_t127_blank_text_and_half_begun_answers() {
    let (sent, _) = send(&request(vec![
        (Role::User, vec![Part::text(" \n"), Part::text("hi"), Part::text("")]),
        (Role::Assistant, vec![Part::text("Well, \n")]),
    ]));
    assert_eq!(sent["messages"][0]["content"], "hi");
    assert_eq!(sent["messages"][1]["content"], "Well,");
    let begun =
        request(vec![(Role::User, vec![Part::text("hi")]), (Role::Assistant, vec![Part::text("x ")])]);
    let (sent, losses) = send_as(Protocol::OpenAi, &begun, "claude-opus-5").unwrap();
    assert_eq!(losses, "insert:user");
    assert_eq!(sent["messages"][1]["content"], "x ");
    assert_eq!(sent["messages"][2], json!({"role": "user", "content": "Continue."}));
    let blank = request(vec![(Role::User, vec![Part::text(" ")])]);
    assert!(send_as(Protocol::OpenAi, &blank, SONNET).is_err());
    let (sent, losses) = send(&request(vec![(Role::Assistant, vec![Part::text("I")])]));
    assert_eq!(losses, "insert:user");
    assert_eq!(sent["messages"][0]["role"], "user");
}

#[test]
fn t130_no_more_than_four_marks_and_long_ones_first() {
    use crate::protocol::canonical::CacheMark::{FiveMinutes, OneHour};
    let marked = |mark| Part { cache: Some(mark), ..Part::text("x") };
    let marks = [OneHour, OneHour, FiveMinutes, OneHour, FiveMinutes];
    let (sent, losses) = send(&request(vec![(Role::User, marks.map(marked).to_vec())]));
    assert_eq!(losses, "drop:cache_control, approx:cache_control.ttl");
    let sent: Vec<_> = sent["messages"][0]["content"]
        .as_array()
        .unwrap()
        .iter()
        .map(|block| block.get("cache_control").cloned())
        .collect();
    let short = Some(json!({"type": "ephemeral"}));
    let long = Some(json!({"type": "ephemeral", "ttl": "1h"}));
    assert_eq!(sent, [None, long, short.clone(), short.clone(), short]);
}

#[test]
fn t081_t087_tools_of_every_sort_get_an_object_schema() {
    let mut asked = asking();
    asked.tools = vec![
        tool("none", None),
        tool("empty", Some("{}")),
        tool("typeless", Some(r#"{ "properties":{"type":{}}}"#)),
        tool("scalar", Some(r#"{"type":"string"}"#)),
    ];
    asked.tools.push(crate::protocol::canonical::Tool {
        kind: ToolKind::Custom {
            format: Some(Raw::from_json(r#"{"type":"grammar","definition":"start: X"}"#)),
        },
        ..tool("patch", None)
    });
    let (sent, losses) = send(&asked);
    assert_eq!(losses, "approx:tools.schema, emulate:custom_tool");
    let schemas: Vec<_> = sent["tools"].as_array().unwrap().iter().map(|t| &t["input_schema"]).collect();
    assert_eq!(*schemas[0], json!({"type": "object", "properties": {}}));
    assert_eq!(*schemas[1], json!({"type": "object", "properties": {}}));
    assert_eq!(*schemas[2], json!({"type": "object", "properties": {"type": {}}}));
    assert_eq!(schemas[3]["properties"]["value"], json!({"type": "string"}));
    assert_eq!(schemas[4]["required"], json!(["input"]));
    assert!(sent["tools"][4]["description"].as_str().unwrap().ends_with("start: X"));
}

#[test]
fn t076_t077_t078_the_choice_of_tools() {
    use crate::protocol::canonical::{Allowed, ToolChoice};
    let with = |choice, parallel| {
        let mut asked = asking();
        asked.tools = vec![tool("a", None), tool("b", None)];
        asked.tool_choice = choice;
        asked.parallel_tool_calls = parallel;
        send(&asked)
    };
    assert_eq!(with(None, None).0.get("tool_choice"), None);
    assert_eq!(with(None, Some(true)).0.get("tool_choice"), None);
    assert_eq!(
        with(None, Some(false)).0["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert_eq!(with(Some(ToolChoice::None), Some(false)).0["tool_choice"], json!({"type": "none"}));
    assert_eq!(with(Some(ToolChoice::Required), None).0["tool_choice"], json!({"type": "any"}));
    let allowed = |names: Vec<Str<'static>>| ToolChoice::Allowed(Allowed { names, required: false });
    let (sent, losses) = with(Some(allowed(vec!["b".into()])), None);
    assert_eq!(sent["tools"].as_array().unwrap().len(), 1);
    assert_eq!(sent["tool_choice"], json!({"type": "auto"}));
    assert_eq!(losses, "approx:tool_choice.allowed_tools");
    assert_eq!(with(Some(allowed(vec!["x".into()])), None).0["tools"].as_array().unwrap().len(), 2);
    let mut toolless = asking();
    toolless.tool_choice = Some(ToolChoice::Required);
    assert_eq!(send(&toolless).1, "drop:tool_choice");
}

#[test]
fn t080_names_fit_everywhere() {
    let mut asked = request(vec![
        (Role::User, vec![Part::text("go")]),
        (
            Role::Assistant,
            vec![Part::new(PartKind::ToolCall {
                id: "a".into(),
                name: "x.y".into(),
                arguments: "{}".into(),
                custom: false,
            })],
        ),
        (Role::User, vec![result("a", "1")]),
    ]);
    asked.tools = vec![tool("x.y", None)];
    asked.tool_choice = Some(crate::protocol::canonical::ToolChoice::Tool("x.y".into()));
    let (sent, _) = send(&asked);
    assert_eq!(sent["tools"][0]["name"], "x_y");
    assert_eq!(sent["tool_choice"]["name"], "x_y");
    assert_eq!(sent["messages"][1]["content"][0]["name"], "x_y");
}

#[test]
fn t136_t137_sampling_that_the_model_takes() {
    let mut asked = asking();
    asked.sampling.temperature = Some(Number::from_json("1.5"));
    asked.sampling.top_p = Some(Number::from_json("0.90"));
    asked.sampling.top_k = Some(Number::from(40));
    asked.sampling.seed = Some(Number::from(7));
    let (sent, losses) = send(&asked);
    assert_eq!((&sent["temperature"], &sent["top_k"]), (&json!(1), &json!(40)));
    assert_eq!(losses, "drop:top_p, clamp:temperature, drop:seed");
    let (sent, losses) = send_as(Protocol::OpenAi, &asked, "claude-opus-5").unwrap();
    assert_eq!(sent.get("temperature"), None);
    assert_eq!(losses, "drop:temperature, drop:top_p, drop:top_k, drop:seed");
    asked.sampling.temperature = Some(Number::from_json("-1"));
    assert!(send_as(Protocol::OpenAi, &asked, SONNET).is_err());
}

#[test]
fn t138_the_default_limit_is_the_models_own() {
    assert_eq!(send(&asking()).0["max_tokens"], 64_000);
    assert_eq!(send_as(Protocol::OpenAi, &asking(), "claude-3-5-haiku").unwrap().0["max_tokens"], 8_192);
    let mut asked = asking();
    asked.output.max_tokens = Some(1 << 40);
    let (sent, losses) = send(&asked);
    assert_eq!((&sent["max_tokens"], losses.as_str()), (&json!(64_000), "clamp:max_tokens"));
}

fn reasoning(model: &str, max_tokens: Option<u64>, reasoning: Reasoning) -> (Value, Value, String) {
    let mut asked = asking();
    asked.output.max_tokens = max_tokens;
    asked.reasoning = reasoning;
    let (sent, losses) = send_as(Protocol::OpenAi, &asked, model).unwrap();
    let part = |key: &str| sent.get(key).cloned().unwrap_or(Value::Null);
    (part("thinking"), part("output_config"), losses)
}

#[test]
fn t109_t111_effort_and_budget_in_the_models_words() {
    let effort = |effort| Reasoning { mode: ReasoningMode::On, effort: Some(effort), ..Reasoning::default() };
    let budget = |tokens| Reasoning { mode: ReasoningMode::On, budget: Some(tokens), ..Reasoning::default() };
    let enabled = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    assert_eq!(
        reasoning(SONNET, None, effort(Effort::Minimal)),
        (enabled(1024), Value::Null, "approx:reasoning.effort".to_owned())
    );
    assert_eq!(reasoning(SONNET, Some(4000), effort(Effort::High)).0, enabled(3999));
    assert_eq!(
        reasoning(SONNET, Some(1000), budget(2000)),
        (Value::Null, Value::Null, "drop:reasoning".to_owned())
    );
    assert_eq!(
        reasoning("claude-opus-5", None, effort(Effort::XHigh)),
        (json!({"type": "adaptive"}), json!({"effort": "xhigh"}), String::new())
    );
    assert_eq!(reasoning("claude-opus-4-6", None, effort(Effort::XHigh)).1, json!({"effort": "high"}));
    assert_eq!(
        reasoning("claude-opus-5", None, budget(9000)),
        (json!({"type": "adaptive"}), json!({"effort": "high"}), "approx:reasoning.budget".to_owned())
    );
    assert_eq!(reasoning("claude-3-5-sonnet", None, effort(Effort::Low)).2, "drop:reasoning");
    assert_eq!(reasoning("claude-opus-5", None, effort(Effort::None)).0, json!({"type": "disabled"}));
    let shown = Reasoning { visibility: Visibility::Shown, ..effort(Effort::Low) };
    assert_eq!(
        reasoning("claude-opus-5", None, shown).0,
        json!({"type": "adaptive", "display": "summarized"})
    );
    assert_eq!(reasoning("claude-opus-5", None, Reasoning::default()).0, Value::Null);
}

#[test]
fn t104_t110_reasoning_gives_way_where_the_api_would_refuse_it() {
    let asks = Reasoning { mode: ReasoningMode::On, effort: Some(Effort::Low), ..Reasoning::default() };
    let mut forced = asking();
    forced.reasoning = asks;
    forced.tools = vec![tool("f", None)];
    forced.tool_choice = Some(crate::protocol::canonical::ToolChoice::Required);
    let (sent, losses) = send(&forced);
    assert_eq!(sent["thinking"], json!({"type": "disabled"}));
    assert!(losses.contains("drop:reasoning"));
    let looping = |opaque: Option<Opaque<'static>>| {
        let kind = PartKind::Reasoning { text: "hm".into(), redacted: false };
        let mut asked = request(vec![
            (Role::User, vec![Part::text("go")]),
            (Role::Assistant, vec![Part { opaque, ..Part::new(kind) }, call("a", "{}")]),
            (Role::User, vec![result("a", "1")]),
        ]);
        asked.reasoning = Reasoning { budget: Some(2000), ..asks };
        send(&asked).0
    };
    assert_eq!(looping(None)["thinking"], json!({"type": "disabled"}));
    let own = super::super::response::signature("sig".into());
    let sent = looping(Some(own));
    assert_eq!(sent["thinking"]["type"], "enabled");
    assert_eq!(sent["messages"][1]["content"][0]["signature"], "sig");
}

#[test]
fn what_would_change_the_answer_unseen_is_refused() {
    let refused = |change: &dyn Fn(&mut Request<'_>)| {
        let mut asked = asking();
        change(&mut asked);
        match send_as(Protocol::OpenAi, &asked, SONNET) {
            Err(error) => error.view("").param.unwrap_or_default(),
            Ok(sent) => panic!("sent {sent:?}"),
        }
    };
    assert_eq!(refused(&|r| r.output.n = Some(2)), "n");
    assert_eq!(refused(&|r| r.output.modalities = Some(Raw::from_json(r#"["text","audio"]"#))), "modalities");
    assert_eq!(refused(&|r| r.state.previous_id = Some("resp_1".into())), "previous_response_id");
    assert_eq!(refused(&|r| r.cache.handle = Some("c".into())), "cachedContent");
    assert_eq!(refused(&|r| r.turns.clear()), "messages");
    assert_eq!(
        refused(&|r| {
            r.turns[0].parts.push(Part::new(PartKind::Opaque {
                protocol: Protocol::Gemini,
                tag: "odd".into(),
                raw: Raw::from_json("{}"),
            }));
        }),
        "messages"
    );
    assert_eq!(refused(&|r| r.tools = vec![tool("a", None), tool("a", None)]), "tools");
    assert_eq!(
        refused(&|r| {
            r.tools = vec![tool("a", None)];
            r.tools[0].kind = ToolKind::Hosted {
                protocol: Protocol::Responses,
                tag: "file_search".into(),
                raw: Raw::from_json("{}"),
            };
        }),
        "tools"
    );
}

#[test]
fn t149_foreign_members_are_named_not_sent() {
    let mut asked = asking();
    asked.extras.push(("frobnicate".into(), Raw::from_json("1")));
    let (sent, losses) = send(&asked);
    assert_eq!(sent.get("frobnicate"), None);
    assert_eq!(losses, "drop:frobnicate");
}

fn with_schema(model: &str) -> (Value, String) {
    let mut asked = asking();
    asked.output.format = crate::protocol::canonical::Format::JsonSchema {
        name: None,
        description: None,
        schema: Raw::from_json(
            r#"{"type":"object","properties":{"minimum":{"type":"integer","minimum":3,"description":"n"},"o":{"oneOf":[{"type":"null"}]}}}"#,
        ),
        strict: Some(true),
    };
    send_as(Protocol::OpenAi, &asked, model).unwrap()
}

#[test]
fn a_field_that_is_a_map_does_not_come_back_empty_without_a_word() {
    let map = r#"{"type":"object","additionalProperties":false,"properties":{"m":{"type":"object","additionalProperties":{"type":"string"}}}}"#;
    let free = r#"{"type":"object","properties":{"m":{"anyOf":[{"type":"object"},{"type":"null"}]}}}"#;
    let closed = r#"{"type":"object","additionalProperties":false,"properties":{"additionalProperties":{"type":"string"},"none":{"type":"object","properties":{}}}}"#;
    for (schema, is_map) in [(map, true), (free, true), (closed, false)] {
        let mut asked = asking();
        asked.tools = vec![tool("f", Some(schema))];
        asked.tools[0].strict = Some(true);
        let (sent, losses) = send(&asked);
        if is_map {
            // As the client wrote it, without the guarantee.
            let raw: Value = serde_json::from_str(schema).unwrap();
            assert_eq!((&sent["tools"][0]["input_schema"], sent["tools"][0].get("strict")), (&raw, None));
        } else {
            assert_eq!(sent["tools"][0]["strict"], true);
        }
        assert_eq!(losses, if is_map { "drop:tools.strict" } else { "" });
        let mut asked = asking();
        asked.output.format = crate::protocol::canonical::Format::JsonSchema {
            name: None,
            description: None,
            schema: Raw::from_json(schema),
            strict: Some(true),
        };
        assert_eq!(send(&asked).1, if is_map { "approx:response_format.schema" } else { "" });
    }
}

#[test]
fn t084_t146_schemas_of_answers() {
    let (sent, losses) = with_schema(SONNET);
    assert_eq!(losses, "");
    assert_eq!(
        sent["output_config"]["format"]["schema"],
        json!({"type": "object", "properties": {
            "minimum": {"type": "integer", "description": "minimum: 3\nn"},
            "o": {"anyOf": [{"type": "null"}]}
        }, "additionalProperties": false})
    );
    assert_eq!(sent["output_config"]["format"]["type"], "json_schema");
    let (sent, losses) = with_schema("claude-3-5-sonnet");
    assert_eq!(losses, "emulate:response_format");
    assert_eq!(sent["tool_choice"]["name"], sent["tools"][0]["name"]);
}

#[test]
fn t187_the_same_request_gives_the_same_bytes() {
    let mut asked = asking();
    asked.tools = vec![tool("a.b", None), tool("a/b", None)];
    assert_eq!(send(&asked).0.to_string(), send(&asked).0.to_string());
}

const HOSTILE: &str = r#"{"model":"m","max_tokens":9,"system":[{"type":"text","text":"s"}],"messages":[{"role":"user","content":[{"type":"image","source":{"type":"base64","media_type":"image/png","data":"AAAA"}},{"type":"tool_result","tool_use_id":"t","content":[{"type":"text","text":"\ud83d"}]}]},{"role":"assistant","content":[{"type":"thinking","thinking":"x","signature":"oZ4BAA"},{"type":"tool_use","id":"t","name":"f","input":{"a":1}}]}],"tools":[{"name":"f","input_schema":{"type":"object"}}],"thinking":{"type":"enabled","budget_tokens":2000},"tool_choice":{"type":"tool","name":"f"}}"#;

proptest! {
    #[test]
    fn hostile_requests_are_answered_not_crashed_on(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(
            vec!["", "null", "{}", "[]", "\"\"", "1e999", "{", "]", "\"", "\\ud800", ",", "\u{fffd}"])), 1..6),
    ) {
        let mut body = HOSTILE.to_owned();
        for (at, text) in edits {
            let at = at.index(body.len());
            if body.is_char_boundary(at) && body.is_char_boundary(at + 1) {
                body.replace_range(at..=at, text);
            }
        }
        if let Ok(request) = decode(&body) {
            for client in Protocol::ALL {
                let exchange = Exchange::new(&request, client, Protocol::Anthropic);
                let mut out = Vec::new();
                let sent = encode(&request, &exchange, &Target::new("claude-opus-4-6"), &mut Losses::default(), &mut out);
                if sent.is_ok() {
                    prop_assert!(serde_json::from_slice::<Value>(&out).is_ok() || body.contains("ud8"),
                        "{}", String::from_utf8_lossy(&out));
                }
            }
        }
    }
}

#[test]
fn examples_of_inputs_reach_other_models_in_words() {
    let body = r#"{"model":"m","max_tokens":9,"messages":[],"tools":[
        {"name":"f","description":"Does it.","input_schema":{"type":"object"},"input_examples":[{"a": "\"b\""}]},
        {"name":"g","input_schema":{"type":"object"},"input_examples":[]}]}"#;
    let request = decode(body).unwrap();
    let described = |at: usize| request.tools[at].description.as_ref().map(|text| text.decode().into_owned());
    let told = "Does it.\n\nExamples of its input, as JSON: [{\"a\": \"\\\"b\\\"\"}]";
    assert_eq!(described(0).as_deref(), Some(told));
    assert_eq!(described(1), None);
    assert!(request.extras.is_empty(), "nothing is lost");
}
