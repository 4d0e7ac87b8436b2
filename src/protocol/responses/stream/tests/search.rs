//! Searches of the web.

use super::*;
use crate::protocol::canonical::{WebSearchCall, WebSearchResult};

fn search(is_failed: bool) -> PartHeader<'static> {
    PartHeader::WebSearchCall(Box::new(WebSearchCall {
        id: "srvtoolu_1".into(),
        queries: vec!["a".into(), "b".into()],
        results: vec![WebSearchResult { url: "https://a.test".into(), title: Some("A".into()) }],
        is_failed,
        native: None,
    }))
}

#[test]
fn a_search_of_others_is_an_item_with_its_course() {
    let mut script = vec![start()];
    script.extend(text_part(0, PartHeader::Text, &["I look."]));
    script.extend(text_part(1, search(false), &[]));
    script.extend(text_part(2, search(true), &[]));
    script.extend(text_part(3, PartHeader::Text, &["Done."]));
    script.extend(finish(FinishReason::Stop));
    let events = encode(&exchange(Protocol::Anthropic), &script);
    let course = |at: u64| {
        let of_item = events.iter().filter(move |event| event["output_index"] == at);
        of_item
            .map(|event| event["type"].as_str().unwrap().strip_prefix("response.").unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        course(1),
        [
            "output_item.added",
            "web_search_call.in_progress",
            "web_search_call.searching",
            "web_search_call.completed",
            "output_item.done"
        ]
    );
    assert_eq!(
        course(2),
        ["output_item.added", "web_search_call.in_progress", "web_search_call.searching", "output_item.done"]
    );
    let output = &events.last().unwrap()["response"]["output"];
    let id = output[1]["id"].as_str().unwrap();
    assert!(id.starts_with("ws_") && output[2]["id"] != output[1]["id"], "{output}");
    assert_eq!(
        output[1],
        json!({"id": id, "type": "web_search_call", "status": "completed", "action": {"type": "search",
            "query": "a; b", "queries": ["a", "b"], "sources": [{"type": "url", "url": "https://a.test"}]}})
    );
    assert_eq!((&output[2]["status"], &output[3]["type"]), (&json!("failed"), &json!("message")));
}

#[test]
fn a_client_of_the_same_protocol_gets_the_very_item() {
    let item = json!({"id": "ws_1", "type": "web_search_call", "status": "completed",
        "action": {"type": "search", "query": "q", "sources": [{"type": "api", "name": "weather"}]}});
    let whole =
        json!({"id": "r", "object": "response", "status": "completed", "model": "m", "output": [item]});
    let whole = whole.to_string();
    let mut script = Vec::new();
    let response = response::decode(&whole).unwrap();
    let mut encoder = Encoder::silent(&exchange(Protocol::Responses));
    response.replay(|event| encoder.event(&event, &mut script));
    encoder.write_response(&mut script);
    let written: Value = serde_json::from_slice(&script).unwrap();
    assert_eq!(written["output"], json!([item]));
}
