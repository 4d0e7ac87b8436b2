//! What stood in earlier turns goes back as it was: calls, reasoning, cache marks.

use super::*;
use crate::protocol::Dialect;

#[test]
fn t096_calls_in_the_history_of_a_request_without_tools() {
    let asked = request(vec![
        (Role::User, vec![Part::text("go")]),
        (Role::Assistant, vec![call("a", "{}"), call("b", "{}")]),
        (Role::User, vec![result("a", "1"), result("b", "2")]),
    ]);
    let (sent, losses) = send(&asked);
    assert_eq!(sent["messages"][1]["content"][0]["type"], "tool_use");
    assert_eq!(sent["messages"][2]["content"][1]["type"], "tool_result");
    assert_eq!((sent.get("tools"), losses.as_str()), (None, ""));
    let strict = |request: &Request<'_>| {
        let exchange = Exchange::new(request, Protocol::OpenAi, Protocol::Anthropic);
        let dialect = Dialect { stub_tools: true, ..Dialect::default() };
        let (mut out, mut losses) = (Vec::new(), Losses::default());
        encode(request, &exchange, &Target { dialect, ..Target::new(SONNET) }, &mut losses, &mut out)
            .unwrap();
        (serde_json::from_slice::<Value>(&out).unwrap(), losses.header())
    };
    let (stubbed, losses) = strict(&asked);
    assert_eq!(losses, "insert:tools");
    assert_eq!(stubbed["messages"], sent["messages"]);
    let [stub] = stubbed["tools"].as_array().unwrap().as_slice() else { panic!("{stubbed}") };
    assert_eq!((&stub["name"], &stub["input_schema"]["type"]), (&json!("f"), &json!("object")));
    // Where nothing was called, or tools are declared, nothing is made up.
    assert_eq!(strict(&asking()).0.get("tools"), None);
    let declared = Request { tools: vec![tool("g", None)], ..asked };
    assert_eq!(strict(&declared).0["tools"].as_array().unwrap().len(), 1);
}

#[test]
fn t097_t098_t115_thinking_goes_back_block_by_block_as_it_came() {
    let thinking =
        |text: &str, signature: &str| json!({"type": "thinking", "thinking": text, "signature": signature});
    let redacted = |data: &str| json!({"type": "redacted_thinking", "data": data});
    let used = |id: &str| json!({"type": "tool_use", "id": id, "name": "f", "input": {}});
    let found = |id: &str| json!({"type": "tool_result", "tool_use_id": id, "content": "1"});
    let messages = json!([
        {"role": "user", "content": "go"},
        {"role": "assistant", "content": [
            thinking("First.\n ", "c2ln+/=="), thinking("First.\n ", "c2ln+/=="), thinking("", "ZW1wdHk="),
            redacted("b25l"), redacted("dHdv"),
            {"type": "text", "text": " Let me see.\n"},
            thinking("Second.", "c2lnMg=="),
            used("a"), thinking("Third 😀.", "c2lnMw=="), used("b"),
        ]},
        {"role": "user", "content": [found("a"), found("b")]},
        {"role": "assistant", "content": [redacted("dGhyZWU="), thinking("", "c2lnNA=="), used("c")]},
        {"role": "user", "content": [found("c")]},
    ]);
    for model in [SONNET, "claude-opus-5"] {
        let body = json!({"model": model, "max_tokens": 9000, "messages": messages,
            "tools": [{"name": "f", "input_schema": {"type": "object"}}]});
        let (sent, losses) = round_trip(&body);
        assert_eq!((&sent["messages"], losses.as_str()), (&messages, ""), "{model}");
    }
}

#[test]
fn t129_cache_marks_stay_where_they_are_with_their_lifetime() {
    let mark = json!({"type": "ephemeral", "ttl": "1h"});
    let plain = json!({
        "model": "claude-opus-4-6", "max_tokens": 9,
        "system": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}],
        "tools": [
            {"name": "f", "input_schema": {"type": "object"}},
            {"type": "web_search_20250305", "name": "web_search"},
        ],
        "messages": [
            {"role": "user", "content": [
                {"type": "text", "text": "look"},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                {"type": "container_upload", "file_id": "file_1"},
            ]},
            {"role": "assistant", "content": [
                {"type": "text", "text": "ok"},
                {"type": "tool_use", "id": "t", "name": "f", "input": {}},
            ]},
            {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "t", "is_error": true, "content": [
                    {"type": "text", "text": "r"},
                    {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
                ]},
                {"type": "text", "text": "so?"},
            ]},
        ],
    });
    let result = "/messages/2/content/0";
    let places = [
        "",
        "/system/0",
        "/system/1",
        "/tools/0",
        "/tools/1",
        "/messages/0/content/0",
        "/messages/0/content/1",
        "/messages/0/content/2",
        "/messages/0/content/3",
        "/messages/1/content/0",
        "/messages/1/content/1",
        result,
        "/messages/2/content/0/content/0",
        "/messages/2/content/0/content/1",
        "/messages/2/content/1",
    ];
    for place in places {
        let mut body = plain.clone();
        body.pointer_mut(place).unwrap()["cache_control"] = mark.clone();
        let (sent, losses) = round_trip(&body);
        assert_eq!((&sent, losses.as_str()), (&body, ""), "a mark at {place:?}");
    }
    // As many as are allowed, of both lifetimes.
    let mut body = plain;
    for (place, long) in
        [("/tools/0", true), ("/system/1", true), (result, false), ("/messages/2/content/1", false)]
    {
        let mark = if long { mark.clone() } else { json!({"type": "ephemeral"}) };
        body.pointer_mut(place).unwrap()["cache_control"] = mark;
    }
    assert_eq!(round_trip(&body), (body, String::new()));
}
