use serde_json::{Value, json};

use super::*;
use crate::protocol::openai::stream::tests::UNNUMBERED_CALLS;

fn fold(events: &[&str]) -> Result<Value, ErrorView> {
    let mut aggregator = Aggregator::default();
    for data in events {
        aggregator.event(&sse::Event { name: None, data: data.as_bytes().into() })?;
    }
    aggregator.finish().map(|out| serde_json::from_slice(&out).unwrap())
}

#[test]
fn a_stream_folds_into_the_answer_it_stands_for() {
    let folded = fold(&[
        r#"{"id":"","model":"","choices":[],"prompt_filter_results":[{"x":1}]}"#,
        r#"{"id":"c","object":"chat.completion.chunk","created":5,"model":"m","system_fingerprint":"fp","choices":[{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"logprobs":null,"finish_reason":null}],"usage":null}"#,
        r#"{"id":"c","created":5,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","reasoning_content":"h"}},{"index":1,"delta":{"content":"second"},"finish_reason":"length"}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"a\n","reasoning_content":"m","channel":"final"},"logprobs":{"content":[{"token":"a"}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"content":"b"},"logprobs":{"content":[{"token":"b"}],"refusal":null},"content_filter_results":{"x":1.10}}],"usage":{"prompt_tokens":1}}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#,
        "[DONE]",
    ])
    .unwrap();
    assert_eq!(
        folded,
        json!({"id":"c","object":"chat.completion","created":5,"model":"m","system_fingerprint":"fp",
            "prompt_filter_results":[{"x":1}],"usage":{"prompt_tokens":1},
            "choices":[
                {"index":0,"message":{"role":"assistant","content":"a\nb","refusal":null,"reasoning_content":"hm","channel":"final"},
                 "logprobs":{"content":[{"token":"a"},{"token":"b"}],"refusal":null},"content_filter_results":{"x":1.10},"finish_reason":"stop"},
                {"index":1,"message":{"content":"second","role":"assistant"},"finish_reason":"length"}]})
    );
}

#[test]
fn calls_fold_by_their_number_and_lose_it() {
    let folded = fold(&[
        r#"{"id":"c","choices":[{"index":0,"delta":{"role":"assistant","content":null,"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":""},"extra_content":{"google":{"thought_signature":"s"}}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":1,"id":"b","type":"custom","custom":{"name":"g","input":"l"}},{"index":0,"function":{"arguments":"{\"x\":"}}]}}]}"#,
        r#"{"id":"c","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"1}"}},{"index":1,"custom":{"input":"s"}}]},"finish_reason":"tool_calls"}]}"#,
    ])
    .unwrap();
    assert_eq!(
        folded["choices"][0]["message"],
        json!({"role":"assistant","content":null,"tool_calls":[
            {"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"},"extra_content":{"google":{"thought_signature":"s"}}},
            {"id":"b","type":"custom","custom":{"name":"g","input":"ls"}}]})
    );
}

#[test]
fn t045_t094_parallel_calls_without_ids_fold_apart() {
    for (deltas, meant) in UNNUMBERED_CALLS {
        let chunk = |delta: &&str| format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{delta}}}]}}"#);
        let mut chunks: Vec<String> = deltas.iter().map(chunk).collect();
        chunks.push(r#"{"id":"c","choices":[{"index":0,"finish_reason":"tool_calls"}]}"#.to_owned());
        let folded = fold(&chunks.iter().map(String::as_str).collect::<Vec<_>>()).unwrap();
        let calls = folded["choices"][0]["message"]["tool_calls"].as_array().unwrap();
        let told: Vec<_> = calls
            .iter()
            .map(|call| {
                let function = &call["function"];
                (function["name"].as_str().unwrap(), function["arguments"].as_str().unwrap())
            })
            .collect();
        assert_eq!(told, meant, "{deltas:?}");
    }
}

/// Some servers send the object itself instead of its text.
#[test]
fn t061_arguments_that_are_no_text_fold_into_it() {
    let folded = fold(&[
        r#"{"id":"c","choices":[{"delta":{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":{"x": 1.10}}}]}}]}"#,
        r#"{"id":"c","choices":[{"delta":{"function_call":{"name":"g","arguments":{"y": "\u00e9\n"}}},"finish_reason":"tool_calls"}]}"#,
    ])
    .unwrap();
    let message = &folded["choices"][0]["message"];
    assert_eq!(message["tool_calls"][0]["function"], json!({"name":"f","arguments":r#"{"x": 1.10}"#}));
    assert_eq!(message["function_call"], json!({"name":"g","arguments":r#"{"y": "\u00e9\n"}"#}));
}

#[test]
fn reasoning_details_grow_by_index() {
    let folded = fold(&[
        r#"{"id":"c","choices":[{"delta":{"reasoning_details":[{"type":"reasoning.text","text":"a","index":0,"format":"x"}]}}]}"#,
        r#"{"id":"c","choices":[{"delta":{"content":"t","reasoning_details":[{"type":"reasoning.text","text":"b","index":0,"signature":"s"}]},"finish_reason":"stop"}]}"#,
    ])
    .unwrap();
    assert_eq!(
        folded["choices"][0]["message"]["reasoning_details"],
        json!([{"type":"reasoning.text","text":"ab","index":0,"format":"x","signature":"s"}])
    );
}

#[test]
fn t021_a_cut_stream_does_not_fold() {
    let delta = r#"{"id":"c","choices":[{"index":0,"delta":{"content":"a"}}]}"#;
    assert!(fold(&[delta]).is_err());
    assert!(fold(&[]).is_err());
    assert!(fold(&["[DONE]"]).is_err());
    assert!(fold(&[delta, r#"{"error":{"message":"m"}}"#]).is_err());
    assert!(fold(&[delta, "{\"id\":"]).is_err());
    assert_eq!(fold(&[delta, "[DONE]"]).unwrap()["choices"][0]["finish_reason"], "stop");
}
