//! Searches of the web.

use super::*;
use crate::protocol::canonical::{PartKind, WebSearchCall, WebSearchResult};
use crate::protocol::json::Str;

fn call(id: &str) -> Value {
    json!({"type": "server_tool_use", "id": id, "name": "web_search", "input": {"query": format!("q {id}")}})
}

fn found(id: &str, content: Value) -> Value {
    json!({"type": "web_search_tool_result", "tool_use_id": id, "content": content})
}

fn page(url: &str) -> Value {
    json!({"type": "web_search_result", "url": url, "title": "T", "encrypted_content": "Eq", "page_age": null})
}

/// The answer that has these blocks: as a stream whose blocks come whole, and at once.
fn answers(content: &Value) -> [Response<'static>; 2] {
    let mut stream = String::from("data: {\"type\":\"message_start\",\"message\":{}}\n\n");
    for (index, block) in content.as_array().unwrap().iter().enumerate() {
        let start = json!({"type": "content_block_start", "index": index, "content_block": block});
        let stop = json!({"type": "content_block_stop", "index": index});
        stream.push_str(&format!("data: {start}\n\ndata: {stop}\n\n"));
    }
    stream.push_str("data: {\"type\":\"message_stop\"}\n\n");
    let document = json!({"type": "message", "content": content, "stop_reason": "end_turn"}).to_string();
    let mut collector = Collector::default();
    response::decode(&document).unwrap().replay(|event| collector.event(event));
    [collect(&stream).unwrap(), collector.finish().unwrap()]
}

/// The searches and texts of an answer.
fn told(response: &Response<'_>) -> Vec<String> {
    let parts = response.choices[0].parts.iter().map(|part| match &part.kind {
        PartKind::WebSearchCall(call) => {
            let urls: Vec<_> = call.results.iter().map(|result| result.url.as_escaped()).collect();
            let failed = if call.is_failed { " failed" } else { "" };
            format!("{} {:?} {urls:?}{failed}", call.id.as_escaped(), call.query())
        }
        PartKind::Text { text } => text.as_escaped().to_owned(),
        PartKind::Opaque { raw, .. } if raw.as_str().contains("server_tool_use") => "a call".to_owned(),
        PartKind::Opaque { .. } => "another".to_owned(),
        other => format!("{other:?}"),
    });
    parts.collect()
}

#[test]
fn a_search_is_told_with_its_result_wherever_that_stands() {
    let error = json!({"type": "web_search_tool_result_error", "error_code": "max_uses_exceeded"});
    let text = json!({"type": "text", "text": "hi"});
    let fetch = json!({"type": "server_tool_use", "id": "f", "name": "web_fetch", "input": {}});
    for (content, want) in [
        (
            json!([
                call("a"),
                call("b"),
                found("b", json!([page("u"), page("v")])),
                found("a", json!([])),
                text
            ]),
            vec![r#"b "q b" ["u", "v"]"#, r#"a "q a" []"#, "hi"],
        ),
        (json!([call("a"), found("a", error)]), vec![r#"a "q a" [] failed"#]),
        // The call was in the answer before, which paused.
        (json!([found("a", json!([page("u")])), text]), vec![r#"a "" ["u"]"#, "hi"]),
        // A server that mixes ids up.
        (json!([call("a"), found("x", json!([page("u")]))]), vec![r#"a "q a" ["u"]"#]),
        (json!([call("a"), fetch, found("a", json!([]))]), vec!["a call", r#"a "q a" []"#]),
        (json!([call("a"), text, call("b")]), vec!["a call", "hi", "a call"]),
    ] {
        for response in answers(&content) {
            assert_eq!(told(&response), want, "{content}");
        }
    }
}

#[test]
fn a_client_of_the_same_protocol_gets_the_very_blocks() {
    let content =
        json!([call("srvtoolu_1"), found("srvtoolu_1", json!([page("u")])), {"type": "text", "text": "hi"}]);
    for response in answers(&content) {
        let written = whole(&response, &exchange(Protocol::Anthropic));
        assert_eq!(written["content"], content);
        assert_eq!(written["usage"]["server_tool_use"]["web_search_requests"], 1);
    }
}

#[test]
fn searches_of_others_are_pairs_of_blocks_with_ids_of_their_own() {
    let search = |id: &'static str, queries: &[&'static str], is_failed| {
        PartHeader::WebSearchCall(Box::new(WebSearchCall {
            id: id.into(),
            queries: queries.iter().map(|query| Str::escape(*query)).collect(),
            results: vec![WebSearchResult { url: "https://a.test".into(), title: None }],
            is_failed,
            native: Some((Protocol::Responses, Vec::new())),
        }))
    };
    let mut events = vec![opening()];
    let calls = [("ws_1", &["\"a\"\n", "b"][..], false), ("", &["c"], true), ("srvtoolu_7", &[], false)];
    for (part, (id, queries, is_failed)) in (0..).zip(calls) {
        events.extend([start(part, search(id, queries, is_failed)), end(part)]);
    }
    events.extend([finish(FinishReason::Stop), Event::End]);
    let exchange = exchange(Protocol::Responses);
    let streamed = aggregate(&encode(&exchange, &events)).unwrap();
    let at_once = whole(&collector(&events), &exchange);
    assert_eq!(streamed["content"], at_once["content"]);
    let blocks = at_once["content"].as_array().unwrap();
    let results = json!([{"type": "web_search_result", "url": "https://a.test", "title": "https://a.test",
        "encrypted_content": "", "page_age": null}]);
    let error = json!({"type": "web_search_tool_result_error", "error_code": "unavailable"});
    let mut ids = std::collections::HashSet::new();
    for (pair, (query, content)) in
        blocks.chunks(2).zip([("\"a\"\n; b", &results), ("c", &error), ("", &results)])
    {
        let id = pair[0]["id"].as_str().unwrap();
        let plain = |c: char| c.is_ascii_alphanumeric();
        assert!(id.strip_prefix("srvtoolu_").is_some_and(|rest| rest.chars().all(plain)), "{id}");
        assert!(ids.insert(id.to_owned()), "{id} twice");
        assert_eq!(
            pair[0],
            json!({"type": "server_tool_use", "id": id, "name": "web_search", "input": {"query": query}})
        );
        assert_eq!(pair[1], json!({"type": "web_search_tool_result", "tool_use_id": id, "content": content}));
    }
    assert!(ids.contains("srvtoolu_7") && ids.len() == 3);
    let counted = json!({"web_search_requests": 4, "web_fetch_requests": 0});
    assert_eq!(
        (&streamed["usage"]["server_tool_use"], &at_once["usage"]["server_tool_use"]),
        (&counted, &counted)
    );
}
