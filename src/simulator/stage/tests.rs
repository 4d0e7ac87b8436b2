use std::time::Duration;

use serde_json::{Value, json};

use crate::simulator::testing::{Got, post, send};
use crate::simulator::{Protocol, Running, Settings, Simulator};

/// A path, the headers, the status.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], u16);

fn chat(model: &str, stream: bool) -> Value {
    json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": "one two three"}]})
}

async fn ask(model: &str, stream: bool) -> Got {
    post("/v1/chat/completions", &chat(model, stream)).await
}

#[tokio::test]
async fn a_status_takes_the_shape_of_each_provider() {
    let message = json!({"model": "sim-status-529"});
    let got = post("/v1/messages", &message).await;
    assert_eq!((got.status, &got.json()["error"]["type"]), (529, &json!("overloaded_error")));
    let got = ask("sim-status-429-sim-retry-after-7", true).await;
    assert_eq!((got.status, got.header("retry-after")), (429, "7"));
    assert_eq!(got.json()["error"]["code"], "rate_limit_exceeded");
    let got = post("/v1/responses", &json!({"model": "sim-status-503"})).await;
    assert_eq!((got.status, &got.json()["error"]["type"]), (503, &json!("server_error")));
    let got = post("/v1beta/models/sim-status-429:generateContent", &json!({})).await;
    let error = &got.json()["error"];
    assert_eq!((got.status, &error["status"]), (429, &json!("RESOURCE_EXHAUSTED")));
    assert_eq!(error["details"][0]["retryDelay"], "1s");
}

#[tokio::test]
async fn streams_break_where_they_are_told() {
    let complete = ask("m", true).await;
    assert!(!complete.cut && complete.text.ends_with("data: [DONE]\n\n"));
    let got = ask("sim-cut-at-3", true).await;
    assert_eq!((got.events().len(), got.cut), (3, true));
    let got = ask("sim-end-at-3", true).await;
    assert_eq!((got.events().len(), got.cut), (3, false));
    let got = ask("sim-error-event-at-3", true).await;
    assert_eq!((got.events().len(), got.cut), (4, false));
    assert_eq!(got.events()[3].1["error"]["type"], "server_error");
    let got = ask("sim-error-event-at-0", true).await;
    assert_eq!((got.status, got.events().len()), (200, 1));
    assert_eq!(ask("sim-chop-3", true).await.events().len(), complete.events().len());
}

#[tokio::test]
async fn whole_answers_break_too() {
    let got = ask("sim-cut-at-1", false).await;
    assert!(got.status == 200 && got.cut && got.text.starts_with("{\"id\""));
    let got = ask("sim-end-at-1", false).await;
    assert!(!got.cut && serde_json::from_str::<Value>(&got.text).is_err());
    assert_eq!(ask("sim-error-event-at-1", false).await.status, 500);
}

#[tokio::test(start_paused = true)]
async fn a_stalled_stream_stays_open() {
    let stalled = tokio::time::timeout(Duration::from_secs(3600), ask("sim-stall-at-3", true)).await;
    assert!(stalled.is_err());
}

#[tokio::test]
async fn odd_answers() {
    let got = ask("sim-error-in-200", true).await;
    assert_eq!((got.status, got.header("content-type")), (200, "application/json"));
    assert!(got.json()["error"]["message"].is_string());
    let got = ask("sim-empty", true).await;
    assert_eq!((got.status, got.text.as_str()), (200, ""));
    let got = ask("sim-html", false).await;
    assert_eq!((got.status, got.header("content-type")), (502, "text/html"));
    assert_eq!(ask("sim-blank", false).await.json()["choices"][0]["message"]["content"], "");
    assert_eq!(ask("sim-filter", false).await.json()["choices"][0]["finish_reason"], "content_filter");
    assert_eq!(ask("sim-must-stream", false).await.status, 400);
    assert_eq!(ask("sim-must-stream", true).await.status, 200);
}

#[tokio::test]
async fn a_flaky_model_recovers() {
    let simulator = Simulator::new(Settings::default());
    let body = chat("sim-flaky-2", false).to_string();
    let mut statuses = Vec::new();
    for _ in 0..4 {
        statuses.push(send(&simulator, "POST", "/v1/chat/completions", &[], body.clone()).await.status);
    }
    assert_eq!(statuses, [503, 503, 200, 200]);
}

#[tokio::test]
async fn failures_come_in_turn_and_the_same_ones_again() {
    let run = || async {
        let simulator = Simulator::new(Settings { failure_rate: 0.5, seed: 7, ..Settings::default() });
        let mut statuses = Vec::new();
        for _ in 0..60 {
            let body = chat("m", false).to_string();
            statuses.push(send(&simulator, "POST", "/v1/chat/completions", &[], body).await.status);
        }
        statuses
    };
    let statuses = run().await;
    assert_eq!(statuses, run().await);
    let failed: Vec<_> = statuses.into_iter().filter(|status| *status != 200).collect();
    assert!((15..45).contains(&failed.len()), "{failed:?}");
    assert_eq!(failed[..3], [500, 503, 429]);
}

#[tokio::test(start_paused = true)]
async fn latency_and_pace() {
    let settings = Settings {
        latency: Duration::from_millis(50),
        tokens_per_second: 10,
        events: Some(20),
        ..Settings::default()
    };
    let simulator = Simulator::new(settings);
    let start = tokio::time::Instant::now();
    let body = chat("sim-slow-100", true).to_string();
    let got = send(&simulator, "POST", "/v1/chat/completions", &[], body).await;
    assert_eq!(got.events().len(), 20 + 3);
    assert_eq!(start.elapsed().as_millis(), 150 + 20 * 100);
}

#[tokio::test]
async fn keys_are_asked_for_in_the_way_of_each_provider() {
    let simulator = Simulator::new(Settings { keys: vec!["good".into()], ..Settings::default() });
    let version = ("anthropic-version", "2023-06-01");
    let gemini = "/v1beta/models/m:generateContent";
    let gemini_key = "/v1beta/models/m:generateContent?key=good";
    let cases: &[Case<'_>] = &[
        ("/v1/messages", &[version, ("x-api-key", "bad")], 401),
        ("/v1/messages", &[version], 401),
        ("/v1/messages", &[version, ("x-api-key", "good")], 400),
        ("/v1/messages", &[version, ("authorization", "Bearer good")], 400),
        ("/v1/chat/completions", &[("authorization", "Bearer bad")], 401),
        ("/v1/chat/completions", &[("authorization", "Bearer good")], 400),
        ("/v1/responses", &[("x-api-key", "good")], 401),
        (gemini, &[("x-goog-api-key", "good")], 400),
        (gemini, &[], 403),
        (gemini, &[("authorization", "Bearer bad")], 401),
        (gemini_key, &[], 400),
    ];
    for (uri, headers, status) in cases {
        let got = send(&simulator, "POST", uri, headers, String::from("{}")).await;
        assert_eq!(got.status, *status, "{uri} {headers:?} {}", got.text);
    }
    let got = send(&simulator, "POST", gemini, &[("x-goog-api-key", "bad")], String::from("{}")).await;
    assert_eq!((got.status, &got.json()["error"]["details"][0]["reason"]), (400, &json!("API_KEY_INVALID")));
    let got = send(&simulator, "GET", "/v1/models", &[("authorization", "Bearer good")], String::new()).await;
    assert_eq!(got.json()["data"][0]["id"], "sim-anthropic");
}

#[tokio::test]
async fn a_version_is_required_of_anthropic_clients() {
    let simulator = Simulator::new(Settings::default());
    let got = send(&simulator, "POST", "/v1/messages", &[], String::from("{}")).await;
    assert_eq!(
        (got.status, &got.json()["error"]["message"]),
        (400, &json!("anthropic-version: header is required"))
    );
}

#[tokio::test]
async fn text_that_is_not_json_is_refused() {
    let simulator = Simulator::new(Settings::default());
    let headers = [("anthropic-version", "2023-06-01")];
    for uri in ["/v1/messages", "/v1/chat/completions", "/v1/responses", "/v1beta/models/m:generateContent"] {
        for body in ["{", "", "[]", "7"] {
            let got = send(&simulator, "POST", uri, &headers, body.into()).await;
            assert_eq!(got.status, 400, "{uri} {body}");
            assert!(got.json()["error"]["message"].is_string());
        }
    }
}

#[tokio::test]
async fn requests_are_recorded() {
    let simulator = Simulator::new(Settings::default());
    let body = chat("m", false).to_string();
    send(&simulator, "POST", "/v1/chat/completions?a=b", &[("x-test", "1")], body.clone()).await;
    let requests = simulator.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!((requests[0].protocol, requests[0].path.as_str()), (Protocol::OpenAi, "/v1/chat/completions"));
    assert_eq!((requests[0].query.as_deref(), requests[0].header("x-test")), (Some("a=b"), Some("1")));
    assert_eq!((&requests[0].body[..], &requests[0].json()["model"]), (body.as_bytes(), &json!("m")));
    simulator.forget();
    assert!(simulator.requests().is_empty());
}

#[tokio::test]
async fn a_running_simulator_listens_until_it_is_dropped() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let running: Running = Simulator::spawn(Settings::default()).await.unwrap();
    let mut socket = tokio::net::TcpStream::connect(running.addr).await.unwrap();
    let body = chat("sim-stall-at-2", true).to_string();
    let head =
        format!("POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n", body.len());
    socket.write_all((head + &body).as_bytes()).await.unwrap();
    let mut seen = String::new();
    while seen.matches("data: ").count() < 2 {
        let mut buffer = [0; 4096];
        let read = socket.read(&mut buffer).await.unwrap();
        seen.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
    }
    assert_eq!(running.requests().len(), 1);
    drop(running);
    let mut rest = Vec::new();
    // Either a clean end or a reset: the connection is gone.
    let _ = socket.read_to_end(&mut rest).await;
    assert!(rest.is_empty());
}

#[tokio::test]
async fn a_model_can_be_asked_for_a_long_answer() {
    let got = ask("gpt-5-sim-events-300", true).await;
    // The role first; the reason and the end last.
    assert_eq!(got.events().len(), 300 + 3);
    assert!(got.text.contains("the") && !got.text.contains("You said"));
}

#[tokio::test(start_paused = true)]
async fn only_streams_that_were_left_are_departures() {
    use axum::body::Body;
    use http_body_util::BodyExt;
    use tower::ServiceExt;
    let simulator = Simulator::new(Settings::default());
    let open = async |model: &str| {
        let request =
            axum::http::Request::post("/v1/chat/completions").body(Body::from(chat(model, true).to_string()));
        simulator.router().oneshot(request.unwrap()).await.unwrap().into_body()
    };
    let departures = async |model: &str| {
        let path = format!("/simulator/departures?model={model}");
        send(&simulator, "GET", &path, &[], String::new()).await.json()["departures"].clone()
    };
    let mut left = open("left").await;
    left.frame().await.unwrap().unwrap();
    drop(left);
    assert_eq!(departures("left").await, 1);
    let mut stalled = open("sim-stall-at-1").await;
    stalled.frame().await.unwrap().unwrap();
    drop(stalled);
    assert_eq!(departures("sim-stall-at-1").await, 1);
    open("read").await.collect().await.unwrap();
    // Whether a client that read all asks for the end of the body is its own business.
    let mut all = open("sim-end-at-1").await;
    all.frame().await.unwrap().unwrap();
    drop(all);
    for model in ["read", "sim-end-at-1"] {
        assert_eq!(departures(model).await, 0, "{model}");
    }
}

/// A picture and a document as each provider takes them, and what comes back of them.
#[tokio::test]
async fn media_within_the_request_are_told_back() {
    let cases = [
        (
            "/v1/messages",
            json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": [
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AP8="}},
                {"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERg=="}},
            ]}]}),
        ),
        (
            "/v1/chat/completions",
            json!({"model": "m", "messages": [{"role": "user", "content": [
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,AP8="}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg=="}},
            ]}]}),
        ),
        (
            "/v1/responses",
            json!({"model": "m", "input": [{"role": "user", "content": [
                {"type": "input_image", "image_url": "data:image/png;base64,AP8="},
                {"type": "input_file", "file_data": "data:application/pdf;base64,JVBERg=="},
            ]}]}),
        ),
        (
            "/v1beta/models/m:generateContent",
            json!({"contents": [{"parts": [
                {"inlineData": {"mimeType": "image/png", "data": "AP8"}},
                {"inline_data": {"mime_type": "application/pdf", "data": "JVBERg=="}},
            ]}]}),
        ),
    ];
    for (path, body) in cases {
        let got = post(path, &body).await;
        for part in [
            "[images: 1] [documents: 1] ",
            "[inline: image/png 2 bytes 06eb7d6a] [inline: application/pdf 4 bytes 315d429b] ",
        ] {
            assert!(got.text.contains(part), "{path}: {}", got.text);
        }
    }
}

#[tokio::test]
async fn openai_takes_media_in_data_urls_only() {
    let image = |url: &str| json!({"type": "image_url", "image_url": {"url": url}});
    let file = |data: &str| json!({"type": "file", "file": {"file_data": data}});
    for (part, status) in [
        (image("https://example.com/a.png"), 200),
        (image("AP8="), 400),
        (image("data:image/png;base64,?"), 400),
        (file("JVBERg=="), 400),
        (file("https://example.com/a.pdf"), 400),
    ] {
        let body = json!({"model": "m", "messages": [{"role": "user", "content": [part]}]});
        let got = post("/v1/chat/completions", &body).await;
        assert_eq!(got.status, status, "{part} {}", got.text);
        assert!(status == 200 || got.json()["error"]["code"] == "invalid_value");
    }
}

/// The second request of a tool loop, with what the first answer said about its reasoning.
#[tokio::test]
async fn reasoning_state_that_came_back_is_told() {
    let schema = json!({"type": "object"});
    let tools = json!([{"name": "f", "input_schema": schema}]);
    let mut body = json!({"model": "m-sim-strict", "max_tokens": 4096, "tools": tools,
        "thinking": {"type": "enabled", "budget_tokens": 1024}, "messages": [{"role": "user", "content": "go"}]});
    let mut first = post("/v1/messages", &body).await.json()["content"].clone();
    let result = json!({"role": "user", "content": [{"type": "tool_result", "tool_use_id": first[1]["id"]}]});
    let second =
        |first: &Value| json!([body["messages"][0], {"role": "assistant", "content": first}, result]);
    let whole = second(&first);
    let signature = first[0]["signature"].as_str().unwrap()[1..].to_owned();
    first[0]["signature"] = Value::from(signature);
    let cut = second(&first);
    body["messages"] = whole;
    let got = post("/v1/messages", &body).await;
    assert!(got.text.contains("[reasoning: 1]"), "{}", got.text);
    body["messages"] = cut;
    let got = post("/v1/messages", &body).await;
    assert!(got.status == 400 && got.text.contains("Invalid `signature`"), "{}", got.text);

    let tools = json!([{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}]);
    let user = json!({"role": "user", "parts": [{"text": "go"}]});
    let path = "/v1beta/models/m-sim-strict:generateContent";
    let answer = post(path, &json!({"contents": [user], "tools": tools})).await.json();
    let call = &answer["candidates"][0]["content"];
    let id = &call["parts"][0]["functionCall"]["id"];
    let result = json!({"functionResponse": {"name": "f", "id": id, "response": {}}});
    let contents = json!([user, call, {"role": "user", "parts": [result]}]);
    let got = post(path, &json!({"contents": contents, "tools": tools})).await;
    assert!(got.text.contains("[reasoning: 1]"), "{}", got.text);

    let mut body = json!({"model": "m-sim-strict", "input": [{"role": "user", "content": "go"}],
        "tools": [{"type": "function", "name": "f", "parameters": schema}],
        "reasoning": {"effort": "low"}, "include": ["reasoning.encrypted_content"]});
    let answer = post("/v1/responses", &body).await.json();
    let (reasoning, call) = (&answer["output"][0], &answer["output"][1]);
    let output = json!({"type": "function_call_output", "call_id": call["call_id"], "output": ""});
    body["input"] = json!([body["input"][0], reasoning, call, output]);
    let got = post("/v1/responses", &body).await;
    assert!(got.text.contains("[reasoning: 1]"), "{}", got.text);
}
