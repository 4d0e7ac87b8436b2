use serde_json::{Value, json};

use crate::simulator::testing::{Got, city, post};

const PATH: &str = "/v1/responses";

fn request(more: Value) -> Value {
    let mut body = json!({"model": "m", "input": "parallel city=Oslo city=Rome"});
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn tools() -> Value {
    json!([
        {"type": "function", "name": "weather", "parameters": city()},
        {"type": "custom", "name": "patch"},
    ])
}

fn names(got: &Got) -> Vec<String> {
    got.events().iter().map(|(_, data)| data["type"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_response() {
    let response = post(PATH, &request(json!({"instructions": "be brief", "store": false}))).await.json();
    assert_eq!((&response["object"], &response["status"]), (&json!("response"), &json!("completed")));
    assert_eq!((&response["store"], &response["instructions"]), (&json!(false), &json!("be brief")));
    for name in
        ["parallel_tool_calls", "tool_choice", "tools", "error", "incomplete_details", "metadata", "text"]
    {
        assert!(response.get(name).is_some(), "{name}");
    }
    let item = &response["output"][0];
    assert_eq!(
        (&item["type"], &item["status"], &item["role"]),
        (&json!("message"), &json!("completed"), &json!("assistant"))
    );
    let text = item["content"][0]["text"].as_str().unwrap();
    assert!(text.contains("[system: be brief]"), "{text}");
    assert_eq!(response["usage"]["total_tokens"], 5 + 13);
}

#[tokio::test]
async fn a_stream_is_numbered_and_complete() {
    let got = post(PATH, &request(json!({"stream": true}))).await;
    let events = got.events();
    for (n, (name, data)) in events.iter().enumerate() {
        assert_eq!((*name, data["sequence_number"].as_u64()), (data["type"].as_str(), Some(n as u64)));
    }
    let mut names = names(&got);
    names.dedup();
    assert_eq!(
        names,
        [
            "response.created",
            "response.in_progress",
            "response.output_item.added",
            "response.content_part.added",
            "response.output_text.delta",
            "response.output_text.done",
            "response.content_part.done",
            "response.output_item.done",
            "response.completed",
        ]
    );
    let text: String = events.iter().filter_map(|(_, data)| data["delta"].as_str()).collect();
    let last = &events.last().unwrap().1["response"];
    assert_eq!(last["output"][0]["content"][0]["text"], text);
    assert_eq!(last["id"], events[0].1["response"]["id"]);
    assert_eq!(last["output"][0]["id"], events[2].1["item"]["id"]);
    assert!(!got.text.contains("[DONE]"));
}

#[tokio::test]
async fn reasoning_and_both_kinds_of_calls() {
    let more = json!({
        "stream": true, "tools": tools(), "include": ["reasoning.encrypted_content"],
        "reasoning": {"effort": "low", "summary": "auto"},
    });
    let got = post(PATH, &request(more)).await;
    let events = got.events();
    let output = &events.last().unwrap().1["response"]["output"];
    let kinds: Vec<_> =
        output.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["reasoning", "function_call", "custom_tool_call"]);
    assert!(output[0]["encrypted_content"].as_str().unwrap().starts_with(super::ENCRYPTED));
    assert!(output[0]["summary"][0]["text"].is_string());
    assert_eq!(output[1]["arguments"], r#"{"city":"Oslo"}"#);
    assert_eq!(output[2]["input"], "sample");
    for name in [
        "response.reasoning_summary_text.done",
        "response.function_call_arguments.done",
        "response.custom_tool_call_input.done",
    ] {
        assert_eq!(names(&got).iter().filter(|other| *other == name).count(), 1, "{name}");
    }
    let indexes: Vec<_> = events
        .iter()
        .filter(|(name, _)| *name == Some("response.output_item.done"))
        .map(|(_, data)| data["output_index"].as_u64().unwrap())
        .collect();
    assert_eq!(indexes, [0, 1, 2]);
}

#[tokio::test]
async fn effort_alone_shows_no_summary() {
    let response = post(PATH, &request(json!({"reasoning": {"effort": "low"}}))).await.json();
    assert_eq!(
        (&response["output"][0]["type"], &response["output"][0]["summary"]),
        (&json!("reasoning"), &json!([]))
    );
    assert!(response["output"][0].get("encrypted_content").is_none());
    assert_eq!(response["usage"]["output_tokens_details"]["reasoning_tokens"], 11);
}

#[tokio::test]
async fn a_long_answer_is_incomplete() {
    let input = "a b c d e f g h i j k l m n o p q r s t";
    for stream in [false, true] {
        let got =
            post(PATH, &request(json!({"input": input, "max_output_tokens": 16, "stream": stream}))).await;
        let response = if stream {
            assert_eq!(names(&got).last().unwrap(), "response.incomplete");
            got.events().last().unwrap().1["response"].clone()
        } else {
            got.json()
        };
        assert_eq!(response["incomplete_details"], json!({"reason": "max_output_tokens"}));
        assert_eq!(
            (&response["status"], &response["output"][0]["status"]),
            (&json!("incomplete"), &json!("incomplete"))
        );
    }
}

#[tokio::test]
async fn a_broken_stream_fails_with_what_was_complete() {
    let got = post(PATH, &request(json!({"model": "sim-error-event-at-5", "stream": true}))).await;
    let events = got.events();
    assert_eq!(events.len(), 7);
    assert_eq!((events[5].0, &events[5].1["error"]["type"]), (Some("error"), &json!("server_error")));
    let (name, data) = &events[6];
    assert_eq!((*name, &data["sequence_number"]), (Some("response.failed"), &json!(6)));
    assert_eq!((&data["response"]["status"], &data["response"]["output"]), (&json!("failed"), &json!([])));
    assert_eq!(data["response"]["error"]["code"], "server_error");
}

#[tokio::test]
async fn results_are_quoted_and_counted() {
    let input = json!([
        {"role": "user", "content": "weather"},
        {"type": "function_call", "call_id": "a", "name": "weather", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "a", "output": "sunny"},
    ]);
    let response = post(PATH, &request(json!({"input": input, "tools": tools()}))).await.json();
    let text = response["output"][0]["content"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("The tool said: sunny"), "{text}");
    let counted = post("/v1/responses/input_tokens", &json!({"model": "m", "input": "a b c"})).await.json();
    assert_eq!(counted, json!({"object": "response.input_tokens", "input_tokens": 3}));
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_words_of_the_api() {
    let call = json!({"type": "function_call", "call_id": "a", "name": "f", "arguments": "{}"});
    let output = json!({"type": "function_call_output", "call_id": "a", "output": "x"});
    let thought = json!({"type": "reasoning", "id": "rs_1", "summary": []});
    let cases = [
        (json!({"model": null}), "Missing required parameter: 'model'."),
        (json!({"input": null}), "must be provided"),
        (json!({"input": [{"type": "telepathy"}]}), "Invalid value: 'telepathy'"),
        (json!({"input": [output]}), "No tool call found for function call output with call_id a."),
        (json!({"input": [call]}), "No tool output found for function call a."),
        (json!({"input": [thought]}), "without its required following item"),
        (json!({"max_output_tokens": 1}), "Expected a value >= 16"),
        (json!({"messages": []}), "this parameter has moved to 'input'"),
        (
            json!({"input": [{"role": "assistant", "content": [{"type": "input_text", "text": "x"}]}]}),
            "Supported values are: 'output_text' and 'refusal'",
        ),
    ];
    for (more, message) in cases {
        let got = post(PATH, &request(more)).await;
        let error = &got.json()["error"];
        assert_eq!((got.status, &error["type"]), (400, &json!("invalid_request_error")), "{message}");
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_search_and_probabilities() {
    let body = |stream: bool| {
        json!({"model": "sim-search", "input": "hi", "stream": stream, "tools": [{"type": "web_search"}],
            "include": ["web_search_call.action.sources", "message.output_text.logprobs"]})
    };
    let whole = post("/v1/responses", &body(false)).await.json();
    let [search, message] = whole["output"].as_array().unwrap().as_slice() else { panic!("{whole}") };
    assert_eq!((&search["action"]["query"], &search["status"]), (&json!("hi"), &json!("completed")));
    assert_eq!(search["action"]["sources"].as_array().unwrap().len(), 2);
    let part = &message["content"][0];
    assert_eq!(part["annotations"][0]["title"], "One");
    assert_eq!(part["logprobs"][0]["token"], "You");
    let got = post("/v1/responses", &body(true)).await;
    let events = got.events();
    assert_eq!(events.last().unwrap().1["response"]["output"][1]["content"], message["content"]);
    assert!(events.iter().any(|(name, _)| *name == Some("response.output_text.annotation.added")));
    let lists = events.iter().filter(|(name, _)| *name == Some("response.output_text.delta"));
    let tokens: Vec<_> = lists.flat_map(|(_, data)| data["logprobs"].as_array().unwrap().clone()).collect();
    assert_eq!(json!(tokens), part["logprobs"]);
}
