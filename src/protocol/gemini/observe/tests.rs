use super::*;
use crate::protocol::canonical::FaultKind;

fn watch(state: &mut Observation, json: &str) -> Signal {
    event(&sse::Event { name: None, data: json.as_bytes().into() }, state)
}

#[test]
fn only_what_is_content_commits() {
    for (json, signal) in [
        (r#"{"usageMetadata":{"promptTokenCount":1},"responseId":"r"}"#, Signal::Quiet),
        (r#"{"candidates":[{"content":{"role":"model"}}]}"#, Signal::Quiet),
        (r#"{"candidates":[{"content":{"parts":[{"text":""}]}}]}"#, Signal::Quiet),
        (r#"{"candidates":[{"content":{"parts":[{"text":"a","thought":true}]}}]}"#, Signal::Content),
        (r#"{"candidates":[{"content":{"parts":[{"functionCall":{"name":"f"}}]}}]}"#, Signal::Content),
        (r#"{"candidates":[{"finishReason":"STOP"}]}"#, Signal::Content),
        (r#"{"promptFeedback":{"blockReason":"SAFETY"}}"#, Signal::Content),
        ("[DONE]", Signal::Quiet),
        ("{", Signal::Quiet),
    ] {
        assert_eq!(watch(&mut Observation::default(), json), signal, "{json}");
    }
}

#[test]
fn t021_t157_it_knows_when_a_stream_may_end_and_what_it_cost() {
    let mut state = Observation::default();
    watch(
        &mut state,
        r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"usageMetadata":{"promptTokenCount":7,"thoughtsTokenCount":3}}"#,
    );
    assert!(!state.may_end);
    watch(
        &mut state,
        r#"{"candidates":[{"finishReason":"STOP"}],"usageMetadata":{"candidatesTokenCount":2}}"#,
    );
    assert!(state.may_end);
    assert_eq!((state.usage.input, state.usage.output), (Some(7), Some(5)));
}

#[test]
fn t018_an_error_is_seen_and_words_about_errors_are_not() {
    let mut state = Observation::default();
    let busy = r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#;
    let Signal::Error(view) = watch(&mut state, busy) else { panic!("an error") };
    assert_eq!(view.kind, FaultKind::Overloaded);
    let talk = r#"{"candidates":[{"content":{"parts":[{"text":"\"error\":{}"},{"functionCall":{"name":"f","args":{"error":{}}}}]}}]}"#;
    assert_eq!(watch(&mut state, talk), Signal::Content);
}
