//! What a watcher is told.

use serde_json::json;

use super::*;
use crate::protocol::canonical::{FaultKind, Usage};
use crate::protocol::{Protocol, usage_of};

fn watch(state: &mut Observation, data: &str) -> Signal {
    event(&sse::Event { name: None, data: data.as_bytes().into() }, state)
}

#[test]
fn openings_are_quiet_and_content_is_not() {
    let mut state = Observation::default();
    for (data, signal) in [
        (r#"{"type":"response.created","response":{"id":"resp_1"}}"#, Signal::Quiet),
        (r#"{"type":"response.in_progress","response":{}}"#, Signal::Quiet),
        (r#"{"type":"keepalive","sequence_number":3}"#, Signal::Quiet),
        (r#"{"type":"response.output_item.added","item":{"type":"message"}}"#, Signal::Quiet),
        (r#"{"type":"response.output_item.added","item":{"type":"reasoning"}}"#, Signal::Quiet),
        (r#"{"type":"response.content_part.added","part":{"type":"output_text","text":""}}"#, Signal::Quiet),
        (r#"{"type":"response.output_text.delta","output_index":0,"delta":"","logprobs":[]}"#, Signal::Quiet),
        (
            r#"{"type":"response.output_text.delta","output_index":0,"delta":"a","logprobs":[]}"#,
            Signal::Content,
        ),
        (r#"{"content_index":0,"delta":"a","type":"response.output_text.delta"}"#, Signal::Content),
        (r#"{"type":"response.refusal.delta","delta":"a"}"#, Signal::Content),
        (r#"{"type":"response.output_item.added","item":{"type":"function_call"}}"#, Signal::Content),
        (r#"{"type":"response.brand_new","x":1}"#, Signal::Quiet),
        ("[DONE]", Signal::Quiet),
        ("1.10", Signal::Quiet),
        (r#"{"type":"response.output_text.delta","del"#, Signal::Quiet),
    ] {
        assert_eq!(watch(&mut state, data), signal, "{data}");
    }
    assert_eq!(state.opening.as_deref(), Some(r#"{"id":"resp_1"}"#));
    assert!(!state.may_end);
}

#[test]
fn the_final_event_ends_the_stream_and_tells_its_price() {
    let mut state = Observation::default();
    let usage = json!({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4}, "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 1}});
    let last = json!({"type": "response.incomplete", "response": {"status": "incomplete", "usage": usage}});
    assert_eq!(watch(&mut state, &last.to_string()), Signal::Content);
    assert!(state.may_end);
    let want = Usage {
        input: Some(9),
        cache_read: Some(4),
        output: Some(2),
        reasoning: Some(1),
        ..Usage::default()
    };
    assert_eq!(state.usage, want);
    let whole = json!({"id": "resp_1", "usage": usage}).to_string();
    assert_eq!(usage_of(Protocol::Responses, whole.as_bytes()), want);
}

#[test]
fn errors_are_seen_in_every_shape() {
    for data in [
        r#"{"type":"response.failed","response":{"error":{"code":"rate_limit_exceeded","message":"x"}}}"#,
        r#"{"type":"error","code":"rate_limit_exceeded","message":"x"}"#,
        r#"{"error":{"code":"rate_limit_exceeded","message":"x"}}"#,
    ] {
        let mut state = Observation::default();
        assert!(matches!(watch(&mut state, data), Signal::Error(view) if view.kind == FaultKind::RateLimit));
        assert!(!state.may_end);
    }
}
