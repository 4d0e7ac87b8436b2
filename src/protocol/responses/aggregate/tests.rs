//! Native streams, folded.

use serde_json::{Value, json};

use super::*;

fn fold(events: &[Value]) -> Result<Value, ErrorView> {
    let mut aggregator = Aggregator::default();
    for event in events {
        let data = event.to_string();
        aggregator.event(&sse::Event { name: None, data: data.as_bytes().into() })?;
    }
    aggregator.finish().map(|body| serde_json::from_slice(&body).unwrap())
}

#[test]
fn the_final_response_is_the_answer_with_all_that_is_unknown() {
    let response =
        json!({"id": "resp_1", "status": "completed", "output": [{"type": "new"}], "future": {"a": 1}});
    let last = json!({"type": "response.completed", "response": response});
    let late = json!({"type": "response.failed", "response": {}});
    assert_eq!(fold(&[last, late]).unwrap(), response);
    let cut = json!({"type": "response.incomplete", "response": {"status": "incomplete", "output": [1]}});
    assert_eq!(fold(&[cut]).unwrap()["status"], "incomplete");
}

#[test]
fn t038_an_empty_output_is_filled_from_the_items() {
    let item = |at: u64| json!({"type": "response.output_item.done", "output_index": at, "item": {"id": at}});
    for response in [json!({"id": "r", "output": []}), json!({"id": "r"}), json!({"id": "r", "output": null})]
    {
        let last = json!({"type": "response.completed", "response": response});
        let folded = fold(&[item(1), item(0), last]).unwrap();
        assert_eq!(folded["output"], json!([{"id": 0}, {"id": 1}]));
    }
}

#[test]
fn probabilities_of_tokens_stay_with_their_item() {
    let token = |text: &str| json!({"token": text, "logprob": -0.5, "bytes": [97], "top_logprobs": []});
    let item = json!({"type": "message", "content": [{"type": "output_text", "text": "ab", "logprobs": [token("a"), token("b")]}]});
    let delta =
        |text: &str| json!({"type": "response.output_text.delta", "delta": text, "logprobs": [token(text)]});
    let done = json!({"type": "response.output_item.done", "output_index": 0, "item": item});
    let last = json!({"type": "response.completed", "response": {"id": "r", "output": []}});
    let folded = fold(&[delta("a"), delta("b"), done, last]).unwrap();
    assert_eq!(folded["output"], json!([item]));
}

#[test]
fn t021_failures_and_cut_streams_are_errors() {
    let failed = json!({"type": "response.failed", "response": {"error": {"code": "rate_limit_exceeded", "message": "slow"}}});
    assert_eq!(fold(&[failed]).unwrap_err().kind, FaultKind::RateLimit);
    let error = json!({"type": "error", "error": {"code": "server_is_overloaded", "message": "x"}});
    assert_eq!(fold(&[error]).unwrap_err().kind, FaultKind::Overloaded);
    let cancelled = json!({"type": "response.cancelled", "response": {}});
    assert_eq!(fold(&[cancelled]).unwrap_err().kind, FaultKind::Cancelled);
    assert_eq!(fold(&[json!({"type": "response.created"})]).unwrap_err().kind, FaultKind::BadUpstream);
    let mut aggregator = Aggregator::default();
    assert!(aggregator.event(&sse::Event { name: None, data: b"{".into() }).is_err());
}
