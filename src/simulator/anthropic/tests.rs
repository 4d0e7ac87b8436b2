use serde_json::{Value, json};

use crate::simulator::testing::{city, post};

fn request(more: Value) -> Value {
    let mut body = json!({
        "model": "m", "max_tokens": 100, "messages": [{"role": "user", "content": "hi city=Oslo"}],
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn weather() -> Value {
    json!([{"name": "weather", "input_schema": city()}])
}

#[tokio::test]
async fn a_message() {
    let got = post("/v1/messages", &request(json!({"system": "be brief"}))).await;
    assert_eq!((got.status, got.header("content-type")), (200, "application/json"));
    assert!(got.header("request-id").starts_with("req_011C"));
    let message = got.json();
    assert!(message["id"].as_str().unwrap().starts_with("msg_01"));
    assert_eq!(
        message["content"],
        json!([{"type": "text", "text": "You said: hi city=Oslo [system: be brief] This is m speaking. 🦀"}])
    );
    assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!("end_turn"), &Value::Null));
    assert_eq!(message["usage"]["input_tokens"], 4);
    assert_eq!(message["usage"]["output_tokens"], 12);
    assert_eq!(got.text, post("/messages", &request(json!({"system": "be brief"}))).await.text);
}

#[tokio::test]
async fn a_stream() {
    let got = post("/v1/messages", &request(json!({"stream": true}))).await;
    assert_eq!(got.header("content-type"), "text/event-stream; charset=utf-8");
    let events = got.events();
    assert!(events.iter().all(|(name, data)| *name == data["type"].as_str()), "{}", got.text);
    let names: Vec<_> = events.iter().map(|(name, _)| name.unwrap()).collect();
    assert_eq!(names[..3], ["message_start", "content_block_start", "ping"]);
    assert_eq!(names[names.len() - 3..], ["content_block_stop", "message_delta", "message_stop"]);
    assert!(names[3..names.len() - 3].iter().all(|name| *name == "content_block_delta"));
    let start = &events[0].1["message"];
    assert_eq!((&start["content"], &start["stop_reason"]), (&json!([]), &Value::Null));
    assert_eq!(start["usage"]["input_tokens"], 2);
    let text: String = events.iter().filter_map(|(_, data)| data["delta"]["text"].as_str()).collect();
    assert_eq!(text, "You said: hi city=Oslo This is m speaking. 🦀");
    let delta = &events[events.len() - 2].1;
    assert_eq!(
        (&delta["delta"]["stop_reason"], &delta["usage"]["output_tokens"]),
        (&json!("end_turn"), &json!(9))
    );
}

#[tokio::test]
async fn parallel_calls_stream_block_after_block() {
    let messages = json!([{"role": "user", "content": "parallel city=Oslo city=Rome"}]);
    let body = request(json!({"stream": true, "tools": weather(), "messages": messages}));
    let got = post("/v1/messages", &body).await;
    let mut inputs = [String::new(), String::new()];
    for (_, data) in got.events() {
        if let Some(piece) = data["delta"]["partial_json"].as_str() {
            inputs[usize::try_from(data["index"].as_u64().unwrap()).unwrap()].push_str(piece);
        }
    }
    assert_eq!(inputs, [r#"{"city":"Oslo"}"#, r#"{"city":"Rome"}"#]);
    let ids: Vec<_> = got
        .events()
        .iter()
        .filter(|(name, _)| *name == Some("content_block_start"))
        .map(|(_, data)| data["content_block"]["id"].as_str().unwrap().to_owned())
        .collect();
    assert!(ids.len() == 2 && ids[0] != ids[1] && ids[0].starts_with("toolu_01"));
    assert!(got.text.contains(r#""stop_reason":"tool_use""#));
}

#[tokio::test]
async fn thinking_is_signed_and_comes_first() {
    let thinking = json!({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000});
    let message = post("/v1/messages", &request(thinking.clone())).await.json();
    assert_eq!(message["content"][0]["type"], "thinking");
    assert!(message["content"][0]["signature"].as_str().unwrap().starts_with(super::SIGNATURE));
    assert_eq!(message["usage"]["output_tokens_details"]["thinking_tokens"], 11);
    let mut streamed = request(thinking);
    streamed["stream"] = json!(true);
    let got = post("/v1/messages", &streamed).await;
    let signatures =
        got.events().iter().filter(|(_, data)| data["delta"]["type"] == "signature_delta").count();
    assert_eq!(signatures, 1);
}

#[tokio::test]
async fn stops_are_reported() {
    let stop = post("/v1/messages", &request(json!({"stop_sequences": ["city"]}))).await.json();
    assert_eq!((&stop["stop_reason"], &stop["stop_sequence"]), (&json!("stop_sequence"), &json!("city")));
    let length = post("/v1/messages", &request(json!({"max_tokens": 2}))).await.json();
    assert_eq!(
        (&length["stop_reason"], &length["content"][0]["text"]),
        (&json!("max_tokens"), &json!("You said:"))
    );
}

#[tokio::test]
async fn a_tool_result_is_quoted() {
    let messages = json!([
        {"role": "user", "content": "weather"},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "a", "name": "weather", "input": {}}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "a", "content": [{"type": "text", "text": "sunny"}]}]},
    ]);
    let got = post("/v1/messages", &request(json!({"messages": messages, "tools": weather()}))).await;
    assert_eq!(got.json()["content"][0]["text"], "The tool said: sunny This is m speaking. 🦀");
}

#[tokio::test]
async fn tokens_are_counted() {
    let body = json!({"model": "m", "messages": [{"role": "user", "content": "one two three"}]});
    assert_eq!(post("/v1/messages/count_tokens", &body).await.json(), json!({"input_tokens": 3}));
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_words_of_the_api() {
    let result = json!({"type": "tool_result", "tool_use_id": "a", "content": "x"});
    let call = json!({"type": "tool_use", "id": "a", "name": "weather", "input": {}});
    let cases = [
        (json!({"max_tokens": null, "model": 1}), "model: Input should be a valid string"),
        (json!({"max_tokens": "x"}), "max_tokens: Input should be a valid integer"),
        (json!({"messages": []}), "messages: at least one message is required"),
        (
            json!({"messages": [{"role": "robot", "content": "x"}]}),
            "messages.0.role: Input should be 'user' or 'assistant'",
        ),
        (json!({"messages": [{"role": "user", "content": [result]}]}), "unexpected `tool_use_id` found"),
        (
            json!({"messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": [call]}, {"role": "user", "content": "y"}]}),
            "messages.2: `tool_use` ids were found without `tool_result` blocks immediately after: a.",
        ),
        (
            json!({"messages": [{"role": "user", "content": [{"type": "text", "text": ""}]}]}),
            "must be non-empty",
        ),
        (json!({"stop": ["x"]}), "stop: Extra inputs are not permitted"),
        (
            json!({"tools": [{"name": "a", "input_schema": {"type": "string"}}]}),
            "tools.0.custom.input_schema.type: Input should be 'object'",
        ),
    ];
    for (more, message) in cases {
        let got = post("/v1/messages", &request(more)).await;
        let error = got.json();
        assert_eq!((got.status, &error["type"]), (400, &json!("error")), "{message}");
        assert_eq!(error["error"]["type"], "invalid_request_error");
        assert!(error["error"]["message"].as_str().unwrap().contains(message), "{error}");
        assert_eq!(error["request_id"].as_str(), Some(got.header("request-id")));
    }
    let got = post("/v1/messages", &json!({"model": "m", "messages": []})).await;
    assert_eq!(got.json()["error"]["message"], "max_tokens: Field required");
}

#[tokio::test]
async fn a_search_of_the_web() {
    let body = |stream: bool| {
        json!({"model": "sim-search", "max_tokens": 99, "stream": stream,
            "messages": [{"role": "user", "content": "hi"}],
            "tools": [{"type": "web_search_20250305", "name": "web_search"}]})
    };
    let message = post("/v1/messages", &body(false)).await.json();
    let [call, result, text] = message["content"].as_array().unwrap().as_slice() else { panic!("{message}") };
    assert_eq!((&call["input"], &call["id"]), (&json!({"query": "hi"}), &result["tool_use_id"]));
    assert_eq!(result["content"][1]["url"], "https://example.com/two");
    assert_eq!(text["citations"][0]["url"], "https://example.com/one");
    assert_eq!(message["usage"]["server_tool_use"]["web_search_requests"], 1);
    let got = post("/v1/messages", &body(true)).await;
    let events = got.events();
    let started = events.iter().filter_map(|(_, data)| data["content_block"]["type"].as_str());
    assert_eq!(started.collect::<Vec<_>>(), ["server_tool_use", "web_search_tool_result", "text"]);
    assert!(events.iter().any(|(_, data)| data["delta"]["citation"] == text["citations"][0]));
}
