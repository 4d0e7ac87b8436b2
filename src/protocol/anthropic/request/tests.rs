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
mod settings;
mod tools;

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
        item_id: Some("rs_1".into()),
        ..Opaque::new(Provider::OpenAi, OpaqueKind::EncryptedContent, "gAAAA".into())
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
    let opaque = Opaque::new(Provider::Gemini, OpaqueKind::Signature, "Q2c=".into());
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
