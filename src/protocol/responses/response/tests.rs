//! Whole answers in and out. What is written is the end of a stream: see the tests there.

use serde_json::{Value, json};

use super::*;
use crate::protocol::Protocol;
use crate::protocol::canonical::{OpaqueKind, Provider, Request};

fn answer(output: Value) -> Value {
    json!({"id": "resp_1", "object": "response", "created_at": 7, "model": "m", "status": "completed",
        "error": null, "incomplete_details": null, "output": output,
        "usage": {"input_tokens": 3, "output_tokens": 4, "total_tokens": 7}})
}

#[test]
fn every_item_has_its_part() {
    let body = answer(json!([
        {"type": "reasoning", "id": "rs_0", "summary": []},
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "a"}, {"type": "summary_text", "text": "b"}],
         "encrypted_content": "gAAA"},
        {"type": "message", "role": "assistant", "content": [
            {"type": "output_text", "text": "hi", "annotations": [
                {"type": "file_citation", "file_id": "f"},
                {"type": "url_citation", "url": "https://x.test", "title": "T", "start_index": 0, "end_index": 2}]},
            {"type": "output_text", "text": ""}]},
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": ""},
        {"type": "custom_tool_call", "call_id": "call_2", "name": "g", "input": "x y"},
        {"type": "file_search_call", "id": "fs_1"},
        {"type": "web_search_call", "id": "ws_0", "status": "completed", "action": {"type": "open_page", "url": "u"}},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "a",
            "queries": ["a", "b"], "sources": [{"type": "url", "url": "https://x.test"}, {"type": "api", "name": "w"}]}},
        {"type": "web_search_call", "id": "ws_2", "status": "failed", "action": {"type": "search", "query": "c"}}]))
    .to_string();
    let response = decode(&body).unwrap();
    let choice = &response.choices[0];
    let kinds: Vec<_> = choice.parts.iter().map(|part| format!("{:?}", part.kind)).collect();
    assert_eq!(kinds[0], r#"Reasoning { text: "a\n\nb", redacted: false }"#);
    assert_eq!(kinds[1], r#"Text { text: "hi" }"#);
    assert_eq!(kinds[2], r#"ToolCall { id: "call_1", name: "f", arguments: "{}", custom: false }"#);
    assert_eq!(kinds[3], r#"ToolCall { id: "call_2", name: "g", arguments: "x y", custom: true }"#);
    assert!(kinds[4..6].iter().all(|kind| kind.starts_with("Opaque")) && kinds.len() == 8, "{kinds:?}");
    let searches = choice.parts[6..].iter().map(|part| match &part.kind {
        PartKind::WebSearchCall(call) => {
            let urls: Vec<_> = call.results.iter().map(|result| result.url.as_escaped()).collect();
            (call.id.as_escaped(), call.query().as_escaped().to_owned(), urls, call.is_failed)
        }
        other => panic!("{other:?}"),
    });
    let want =
        [("ws_1", "a; b".to_owned(), vec!["https://x.test"], false), ("ws_2", "c".to_owned(), vec![], true)];
    assert_eq!(searches.collect::<Vec<_>>(), want);
    let state = choice.parts[0].opaque.as_ref().unwrap();
    assert_eq!((state.provider, state.kind), (Provider::OpenAi, OpaqueKind::EncryptedContent));
    assert_eq!(state.item_id, Some("rs_1".into()));
    assert_eq!((choice.citations.len(), choice.citations[0].0), (1, 1));
    assert_eq!(choice.finish.reason, FinishReason::ToolCalls);
    assert_eq!((response.created, response.usage.total()), (Some(7), 7));
}

#[test]
fn ends_are_read_by_status_and_content() {
    let reason = |output: Value, changes: Value| {
        let mut body = answer(output);
        for (key, value) in changes.as_object().unwrap() {
            body[key] = value.clone();
        }
        decode(&body.to_string()).map(|r| r.choices[0].finish.reason)
    };
    let refusal = json!([{"type": "message", "content": [{"type": "refusal", "refusal": "no"}]}]);
    assert_eq!(reason(refusal, json!({})), Ok(FinishReason::Refusal));
    assert_eq!(reason(json!([]), json!({})), Ok(FinishReason::Stop));
    let cut = |why: &str| json!({"status": "incomplete", "incomplete_details": {"reason": why}});
    let call = || json!([{"type": "function_call", "call_id": "c", "name": "f", "arguments": "{"}]);
    assert_eq!(reason(call(), cut("max_output_tokens")), Ok(FinishReason::Length));
    assert_eq!(reason(json!([]), cut("content_filter")), Ok(FinishReason::ContentFilter));
    assert_eq!(reason(json!([]), cut("whim")), Ok(FinishReason::Other));
    let failed = json!({"status": "failed", "error": {"code": "server_error", "message": "x"}});
    assert_eq!(reason(json!([]), failed).unwrap_err().kind, FaultKind::Internal);
    assert_eq!(reason(json!([]), json!({"status": "cancelled"})).unwrap_err().kind, FaultKind::Cancelled);
    assert_eq!(reason(json!([]), json!({"status": "in_progress"})).unwrap_err().kind, FaultKind::BadUpstream);
}

#[test]
fn t017_what_is_no_answer_is_an_error() {
    for (body, kind) in [
        (r#"{"error":{"code":"rate_limit_exceeded","message":"x"}}"#, FaultKind::RateLimit),
        (r#"{"error":"broken"}"#, FaultKind::BadUpstream),
        ("{}", FaultKind::BadUpstream),
        ("<html>", FaultKind::BadUpstream),
        (r#"{"output":[]} x"#, FaultKind::BadUpstream),
    ] {
        assert_eq!(decode(body).unwrap_err().kind, kind, "{body}");
    }
}

#[test]
fn an_answer_survives_the_trip_through_the_hub() {
    let body = answer(json!([
        {"id": "x", "type": "message", "status": "completed", "role": "assistant", "content": [
            {"type": "output_text", "text": "h\u{e9} \"q\"", "annotations": [
                {"type": "url_citation", "url": "https://x.test", "title": "T", "start_index": 0, "end_index": 2}],
             "logprobs": []}]},
        {"id": "x", "type": "function_call", "status": "completed", "call_id": "call_1", "name": "f", "arguments": "{\"a\": 1.10}"}]));
    let text = body.to_string();
    let exchange = Exchange::new(&Request::default(), Protocol::Responses, Protocol::Responses);
    let mut out = Vec::new();
    encode(&decode(&text).unwrap(), &exchange, &mut out).unwrap();
    let mut written: Value = serde_json::from_slice(&out).unwrap();
    for item in written["output"].as_array_mut().unwrap() {
        item["id"] = json!("x");
    }
    for key in ["id", "object", "created_at", "model", "status", "error", "incomplete_details", "output"] {
        assert_eq!(written[key], body[key], "{key}");
    }
}

#[test]
fn a_renamed_model_keeps_the_clients_name_and_malformed_calls_are_no_success() {
    let text = answer(json!([])).to_string();
    let mut response = decode(&text).unwrap();
    let mut exchange = Exchange::new(&Request::default(), Protocol::Responses, Protocol::Gemini);
    exchange.model = Some("mine".into());
    let mut out = Vec::new();
    encode(&response, &exchange, &mut out).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&out).unwrap()["model"], "mine");
    response.choices[0].finish.reason = FinishReason::Malformed;
    assert_eq!(encode(&response, &exchange, &mut out).unwrap_err().kind, FaultKind::BadUpstream);
}
