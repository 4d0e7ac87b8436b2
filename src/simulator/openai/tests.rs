use serde_json::{Value, json};

use crate::simulator::testing::{city, post};

const PATH: &str = "/v1/chat/completions";

fn request(more: Value) -> Value {
    let mut body = json!({"model": "m", "messages": [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "parallel city=Oslo city=Rome"},
    ]});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn weather() -> Value {
    json!([{"type": "function", "function": {"name": "weather", "parameters": city()}}])
}

#[tokio::test]
async fn a_completion() {
    let got = post(PATH, &request(json!({}))).await;
    let completion = got.json();
    assert_eq!(completion["object"], "chat.completion");
    assert!(completion["id"].as_str().unwrap().starts_with("chatcmpl-"));
    let text = "You said: parallel city=Oslo city=Rome [system: be brief] This is m speaking. 🦀";
    assert_eq!(
        completion["choices"],
        json!([{"index": 0, "finish_reason": "stop", "logprobs": null, "message": {
            "role": "assistant", "content": text, "refusal": null, "annotations": [],
        }}])
    );
    assert_eq!(completion["usage"]["total_tokens"], 5 + 13);
    assert!(got.header("x-request-id").starts_with("req_"));
}

#[tokio::test]
async fn a_stream_has_usage_only_when_asked() {
    let got = post(PATH, &request(json!({"stream": true}))).await;
    let events = got.events();
    assert!(events.iter().all(|(name, _)| name.is_none()));
    assert_eq!(events.last().unwrap().1, "[DONE]");
    assert_eq!(
        events[0].1["choices"][0]["delta"],
        json!({"role": "assistant", "content": "", "refusal": null})
    );
    assert_eq!(events[events.len() - 2].1["choices"][0]["finish_reason"], "stop");
    assert!(!got.text.contains("usage"));
    let got = post(PATH, &request(json!({"stream": true, "stream_options": {"include_usage": true}}))).await;
    let events = got.events();
    let last = &events[events.len() - 2].1;
    assert_eq!((&last["choices"], &last["usage"]["prompt_tokens"]), (&json!([]), &json!(5)));
    assert_eq!(events[0].1["usage"], Value::Null);
    let text: String =
        events.iter().filter_map(|(_, data)| data["choices"][0]["delta"]["content"].as_str()).collect();
    assert!(text.ends_with("speaking. 🦀"), "{text}");
}

#[tokio::test]
async fn parallel_calls() {
    let message = post(PATH, &request(json!({"tools": weather()}))).await.json();
    let choice = &message["choices"][0];
    assert_eq!(
        (&choice["finish_reason"], &choice["message"]["content"]),
        (&json!("tool_calls"), &Value::Null)
    );
    let calls = choice["message"]["tool_calls"].as_array().unwrap();
    assert_eq!(calls[1]["function"], json!({"name": "weather", "arguments": r#"{"city":"Rome"}"#}));
    assert!(calls[0]["id"].as_str().unwrap().starts_with("call_") && calls[0]["id"] != calls[1]["id"]);
}

#[tokio::test]
async fn argument_deltas_are_mixed_on_request() {
    for (model, order) in [("m", [0, 0, 0, 0, 1, 1, 1, 1]), ("sim-interleave", [0, 1, 0, 1, 0, 1, 0, 1])] {
        let got = post(PATH, &request(json!({"stream": true, "tools": weather(), "model": model}))).await;
        let mut seen = Vec::new();
        let mut arguments = [String::new(), String::new()];
        for (_, data) in got.events() {
            let call = &data["choices"][0]["delta"]["tool_calls"][0];
            if let Some(index) = call["index"].as_u64() {
                assert_eq!(call.get("id").is_some(), !seen.contains(&index), "the id comes once");
                seen.push(index);
                arguments[usize::try_from(index).unwrap()]
                    .push_str(call["function"]["arguments"].as_str().unwrap());
            }
        }
        assert_eq!(seen, order);
        assert_eq!(arguments, [r#"{"city":"Oslo"}"#, r#"{"city":"Rome"}"#]);
    }
}

#[tokio::test]
async fn reasoning_and_several_choices() {
    let message = post(PATH, &request(json!({"reasoning_effort": "low"}))).await.json();
    assert!(message["choices"][0]["message"]["reasoning_content"].is_string());
    assert_eq!(message["usage"]["completion_tokens_details"]["reasoning_tokens"], 11);
    let got = post(PATH, &request(json!({"n": 2, "stream": true, "reasoning_effort": "low"}))).await;
    let roles: Vec<_> = got
        .events()
        .iter()
        .filter(|(_, data)| data["choices"][0]["delta"]["role"].is_string())
        .map(|(_, data)| data["choices"][0]["index"].as_u64())
        .collect();
    assert_eq!(roles, [Some(0), Some(1)]);
}

#[tokio::test]
async fn a_document_that_fits_the_schema() {
    let format = json!({"type": "json_schema", "json_schema": {"name": "x", "schema": city()}});
    let message = post(PATH, &request(json!({"response_format": format}))).await.json();
    assert_eq!(message["choices"][0]["message"]["content"], r#"{"city":"Oslo"}"#);
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_words_of_the_api() {
    let call = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}});
    let object = json!({"id": "a", "type": "function", "function": {"name": "f", "arguments": {}}});
    let cases = [
        (json!({"model": null}), json!(null), json!(null), "you must provide a model parameter"),
        (
            json!({"messages": null}),
            json!("messages"),
            json!("missing_required_parameter"),
            "Missing required",
        ),
        (
            json!({"messages": "x"}),
            json!("messages"),
            json!("invalid_type"),
            "expected an array of objects, but got a string",
        ),
        (
            json!({"messages": [{"role": "robot", "content": "x"}]}),
            json!("messages[0].role"),
            json!("invalid_value"),
            "Invalid value: 'robot'",
        ),
        (
            json!({"messages": [{"role": "tool", "tool_call_id": "a", "content": "x"}]}),
            json!("messages.[0].role"),
            json!(null),
            "must be a response to a preceeding message",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [call]}]}),
            json!("messages.[0].role"),
            json!(null),
            "did not have response messages: a",
        ),
        (
            json!({"messages": [{"role": "assistant", "tool_calls": [object]}]}),
            json!("messages[0].tool_calls[0].function.arguments"),
            json!("invalid_type"),
            "expected a string, but got an object",
        ),
        (json!({"system": "x"}), json!(null), json!(null), "Unrecognized request argument supplied: system"),
    ];
    for (more, param, code, message) in cases {
        let got = post(PATH, &request(more)).await;
        let error = &got.json()["error"];
        assert_eq!((got.status, &error["type"]), (400, &json!("invalid_request_error")), "{message}");
        assert_eq!((&error["param"], &error["code"]), (&param, &code), "{error}");
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
    }
}

#[tokio::test]
async fn probabilities_of_tokens_when_asked() {
    let asked = json!({"logprobs": true, "top_logprobs": 2});
    let whole = post(PATH, &request(asked.clone())).await.json();
    let tokens = whole["choices"][0]["logprobs"]["content"].as_array().unwrap().clone();
    assert_eq!(
        tokens[1],
        json!({"token": " said:", "logprob": -0.125, "bytes": " said:".as_bytes(), "top_logprobs": [
            {"token": " said:", "logprob": -0.125, "bytes": " said:".as_bytes()},
            {"token": " other1", "logprob": -1.125, "bytes": " other1".as_bytes()}]})
    );
    let mut streamed = request(asked);
    streamed["stream"] = json!(true);
    let got = post(PATH, &streamed).await;
    let events = got.events();
    let lists = events.iter().filter_map(|(_, data)| data["choices"][0]["logprobs"]["content"].as_array());
    assert_eq!(lists.flatten().cloned().collect::<Vec<_>>(), tokens);
    for refused in [
        json!({"logprobs": true, "top_logprobs": 21}),
        json!({"top_logprobs": 1}),
        json!({"model": "gpt-5", "logprobs": true}),
    ] {
        assert_eq!(post(PATH, &request(refused.clone())).await.status, 400, "{refused}");
    }
}

#[tokio::test]
async fn a_search_model_names_its_source() {
    let asked = |more: Value| {
        let mut body = request(json!({"model": "gpt-search-sim-search", "web_search_options": {}}));
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let whole = post(PATH, &asked(json!({}))).await.json();
    let annotations = &whole["choices"][0]["message"]["annotations"];
    assert_eq!(annotations[0]["url_citation"]["url"], "https://example.com/one");
    let got = post(PATH, &asked(json!({"stream": true}))).await;
    assert!(got.events().iter().any(|(_, data)| data["choices"][0]["delta"]["annotations"] == *annotations));
    assert_eq!(post(PATH, &asked(json!({"model": "gpt-4o"}))).await.status, 400);
}
