//! What coding agents send, and what they would lose. `tests/agents/run.sh` has the agents themselves try.

use aiproxy::protocol::canonical::{Exchange, Losses};
use aiproxy::protocol::{
    Endpoint, Operation, Protocol, RequestError, Target, decode_request, encode_request,
};
use http::{Method, header};
use serde_json::{Value, json};

use crate::support::client::{Client, get, with};
use crate::support::gateway::{Served, gateway, upstream};

/// The request at the upstream, and the warnings.
fn sent(client: Protocol, upstream: Protocol, body: &Value) -> Result<(Value, String), RequestError> {
    let body = body.to_string();
    let endpoint = Endpoint::new(client, Operation::Generate);
    let request = decode_request(&endpoint, &body)?;
    let exchange = Exchange::new(&request, client, upstream);
    let (mut losses, mut out) = (Losses::default(), Vec::new());
    encode_request(upstream, &request, &exchange, &Target::new("m"), &mut losses, &mut out)?;
    Ok((serde_json::from_slice(&out).unwrap(), losses.header()))
}

/// As Codex asks, which offers to search the web and its own tools with every request.
fn codex(tool_choice: Value) -> Value {
    json!({
        "model": "gpt-5", "stream": true, "store": false, "input": "Hello", "tool_choice": tool_choice,
        "tools": [
            {"type": "function", "name": "exec_command", "strict": false, "parameters": {
                "type": "object", "properties": {"cmd": {"type": "string"}}, "required": ["cmd"],
            }},
            {"type": "tool_search", "execution": "client", "parameters": {"type": "object"}},
            {"type": "web_search", "external_web_access": false},
        ],
    })
}

/// As Claude Code searches the web: with a request about nothing else.
fn search() -> Value {
    json!({
        "model": "claude-sonnet-4-5", "max_tokens": 2000,
        "messages": [{"role": "user", "content": "Perform a web search for the query: rust"}],
        "tools": [{"type": "web_search_20250305", "name": "web_search", "max_uses": 8}],
        "tool_choice": {"type": "tool", "name": "web_search"},
    })
}

#[test]
fn an_agent_that_offers_searches_can_work_where_there_are_none() {
    for (upstream, tools) in
        [(Protocol::OpenAi, "/tools"), (Protocol::Gemini, "/tools/0/functionDeclarations")]
    {
        let (body, warnings) = sent(Protocol::Responses, upstream, &codex(json!("auto"))).unwrap();
        assert_eq!(body.pointer(tools).unwrap().as_array().unwrap().len(), 1, "{upstream:?}: {body}");
        assert!(!body.to_string().to_lowercase().contains("search"), "{upstream:?}: {body}");
        assert!(warnings.contains("drop:tools.web_search"), "{upstream:?}: {warnings}");
        assert!(warnings.contains("drop:tools.tool_search"), "{upstream:?}: {warnings}");
    }
    let (body, warnings) = sent(Protocol::Responses, Protocol::Anthropic, &codex(json!("auto"))).unwrap();
    assert_eq!(body["tools"][1]["name"], "web_search");
    assert!(!warnings.contains("tools.web_search"), "{warnings}");
}

#[test]
fn a_search_that_was_asked_for_is_not_skipped_in_silence() {
    let demanded = codex(json!({"type": "web_search"}));
    let allowed = codex(json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "web_search"}]}));
    for body in [demanded, allowed] {
        let refused = sent(Protocol::Responses, Protocol::OpenAi, &body);
        assert!(matches!(refused, Err(RequestError::Unsupported(_))), "{refused:?}");
    }
    let refused = sent(Protocol::Anthropic, Protocol::OpenAi, &search());
    assert!(matches!(refused, Err(RequestError::Unsupported(_))), "{refused:?}");
    let mut beside = search();
    beside["tools"].as_array_mut().unwrap().push(json!({"name": "f", "input_schema": {"type": "object"}}));
    let refused = sent(Protocol::Anthropic, Protocol::OpenAi, &beside);
    assert!(matches!(refused, Err(RequestError::Unsupported(_))), "{refused:?}");
    let (body, _) = sent(Protocol::Anthropic, Protocol::Gemini, &search()).unwrap();
    assert_eq!(body["tools"], json!([{"googleSearch": {}}]));
    assert_eq!(body.get("toolConfig"), None, "there is no function to call: {body}");
    let (body, _) = sent(Protocol::Anthropic, Protocol::Responses, &search()).unwrap();
    assert_eq!(body["tools"], json!([{"type": "web_search"}]));
    assert_eq!(body["tool_choice"], json!({"type": "web_search"}));
}

#[tokio::test]
async fn codex_is_told_at_once_that_there_are_no_websockets() {
    let served = Served::start(gateway([upstream("a", Protocol::OpenAi, "http://127.0.0.1:9")])).await;
    let client = Client::new(served.addr);
    for path in ["/v1/responses", "/responses"] {
        let mut request = with(get(path), "connection", "Upgrade");
        request.headers_mut().insert(header::UPGRADE, "websocket".parse().unwrap());
        let reply = client.send(request).await;
        assert_eq!(reply.status, 426, "anything else is tried six times more, for seconds");
        assert!(reply.json()["error"]["message"].is_string());
        let mut plain = get(path);
        *plain.method_mut() = Method::PUT;
        assert_eq!(client.send(plain).await.status, 405, "{path}");
    }
}

#[tokio::test]
async fn claude_code_finds_somebody_there_before_it_shows_a_key() {
    let upstreams = "upstreams:\n  - { name: a, base_url: 'http://127.0.0.1:9', token: t }\n";
    let served = Served::yaml(&format!("api-key: secret\n{upstreams}")).await;
    let client = Client::new(served.addr);
    for path in ["/", "/api/hello"] {
        let mut probe = get(path);
        *probe.method_mut() = Method::HEAD;
        assert_eq!(client.send(probe).await.status, 200, "{path}");
    }
    assert_eq!(client.send(get("/api/other")).await.status, 401);
}
