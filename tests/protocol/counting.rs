//! Counting tokens before asking: by the upstream where it has a counter, else by estimate.

use aiproxy::layer::health::BreakerState;
use serde_json::{Value, json};

use crate::support::client::{Client, Reply, post};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::{PNG, Talk};
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, answer, native};

const COUNTERS: [(Protocol, &str); 3] = [
    (Protocol::Anthropic, "/v1/messages/count_tokens"),
    (Protocol::Responses, "/v1/responses/input_tokens"),
    (Protocol::Gemini, "/v1beta/models/m:countTokens"),
];

/// A counter's answer: 7.
fn exact(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Gemini => r#"{"totalTokens":7}"#,
        Protocol::Responses => r#"{"object":"response.input_tokens","input_tokens":7}"#,
        _ => r#"{"input_tokens":7}"#,
    }
}

/// A request to count: a text, instructions, a tool and a picture, each left out if empty.
fn question(client: Protocol, text: &str, system: &str, tool: &str, picture: &str) -> Value {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}});
    let mut body = match client {
        Protocol::Anthropic => {
            let mut content = vec![json!({"type": "text", "text": text})];
            if !picture.is_empty() {
                let source = json!({"type": "base64", "media_type": "image/png", "data": picture});
                content.push(json!({"type": "image", "source": source}));
            }
            json!({"model": "m", "messages": [{"role": "user", "content": content}]})
        }
        Protocol::Responses | Protocol::OpenAi => {
            let mut content = vec![json!({"type": "input_text", "text": text})];
            if !picture.is_empty() {
                let url = format!("data:image/png;base64,{picture}");
                content.push(json!({"type": "input_image", "image_url": url}));
            }
            json!({"model": "m", "input": [{"role": "user", "content": content}]})
        }
        Protocol::Gemini => {
            let mut parts = vec![json!({"text": text})];
            if !picture.is_empty() {
                parts.push(json!({"inlineData": {"mimeType": "image/png", "data": picture}}));
            }
            json!({"contents": [{"role": "user", "parts": parts}]})
        }
    };
    if !system.is_empty() {
        match client {
            Protocol::Anthropic => body["system"] = json!(system),
            Protocol::Responses | Protocol::OpenAi => body["instructions"] = json!(system),
            Protocol::Gemini => body["systemInstruction"] = json!({"parts": [{"text": system}]}),
        }
    }
    if !tool.is_empty() {
        body["tools"] = match client {
            Protocol::Anthropic => json!([{"name": "f", "description": tool, "input_schema": schema}]),
            Protocol::Responses | Protocol::OpenAi => {
                json!([{"type": "function", "name": "f", "description": tool, "parameters": schema}])
            }
            Protocol::Gemini => {
                json!([{"functionDeclarations": [{"name": "f", "description": tool, "parameters": schema}]}])
            }
        };
    }
    body
}

/// The count, from an answer that has the client's shape and nothing else.
fn count(client: Protocol, reply: &Reply) -> u64 {
    assert_eq!(reply.status, 200, "{client}: {}", reply.text());
    assert_eq!(reply.header("content-type"), Some("application/json"), "{client}");
    let body = reply.json();
    let count = match client {
        Protocol::Gemini => &body["totalTokens"],
        _ => &body["input_tokens"],
    };
    let members = body.as_object().unwrap().len();
    if client == Protocol::Responses {
        assert_eq!((&body["object"], members), (&json!("response.input_tokens"), 2));
    } else {
        assert_eq!(members, 1, "{client}: {body}");
    }
    count.as_u64().unwrap_or_else(|| panic!("{client}: {body}"))
}

#[tokio::test]
async fn t175_tokens_are_counted_where_no_upstream_can_be_asked() {
    let words = "one two three four five six seven eight nine ten";
    for (client, path) in COUNTERS {
        for protocol in Protocol::ALL.into_iter().filter(|protocol| *protocol != client) {
            let what = format!("{client} → {protocol}");
            let none = native::error(protocol, 405, "Method Not Allowed").to_string();
            let provider = Upstream::always(Answer::whole(405, "application/json", none)).await;
            let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
            let http = Client::new(served.addr);
            let ask = async |system: &str, tool: &str, picture: &str| {
                count(client, &http.send(post(path, question(client, "Hi", system, tool, picture))).await)
            };
            let plain = ask("", "", "").await;
            assert!((1..=20).contains(&plain), "{what}: {plain}");
            let system = ask(words, "", "").await;
            assert!(
                (plain + 10..=plain + 25).contains(&system),
                "{what}: {plain}, with a system text {system}"
            );
            let tool = ask("", words, "").await;
            assert!(tool >= plain + 20, "{what}: {plain}, with a tool {tool}");
            let small = ask("", "", PNG).await;
            let large = ask("", "", &PNG.trim_end_matches('=').repeat(1000)).await;
            assert_eq!(small, large, "{what}: base64 is no text");
            assert!((plain + 85..=plain + 2000).contains(&small), "{what}: a picture is {small}");
            let asked = if protocol == Protocol::OpenAi { 0 } else { 5 };
            assert_eq!(provider.count(), asked, "{what}: Chat has no counter");
        }
    }
}

#[tokio::test]
async fn t175_a_count_is_the_providers_own_whatever_the_client_speaks() {
    for (client, path) in COUNTERS {
        for (protocol, counter) in COUNTERS.into_iter().filter(|(protocol, _)| *protocol != client) {
            let what = format!("{client} → {protocol}");
            let provider = Upstream::always(Answer::json(exact(protocol))).await;
            let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
            let mut body = question(client, "Hi", "Be brief.", "Finds.", "");
            // What a request for an answer has besides; counters refuse it.
            match client {
                Protocol::Gemini => body["generationConfig"] = json!({"maxOutputTokens": 9}),
                _ => body["metadata"] = json!({"user_id": "u"}),
            }
            let reply = Client::new(served.addr).send(post(path, body)).await;
            assert_eq!((count(client, &reply), reply.header("x-aiproxy-usage")), (7, None), "{what}");
            let received = provider.only();
            assert_eq!(received.target, format!("POST {counter}"), "{what}");
            let mut asked = received.json();
            if protocol == Protocol::Gemini {
                asked = asked["generateContentRequest"].take();
                assert_eq!(asked["model"], "models/m", "{what}");
            }
            let mut members: Vec<_> = asked.as_object().unwrap().keys().map(String::as_str).collect();
            members.sort_unstable();
            let want: &[&str] = match protocol {
                Protocol::Anthropic => &["messages", "model", "system", "tools"],
                Protocol::Gemini => &["contents", "model", "systemInstruction", "tools"],
                _ => &["input", "instructions", "model", "tools"],
            };
            assert_eq!(members, want, "{what}: {asked}");
            let text = asked.to_string();
            assert!(text.contains("Be brief.") && text.contains("Finds.") && text.contains("Hi"), "{what}");
        }
    }
}

#[tokio::test]
async fn t175_what_a_provider_could_not_answer_is_estimated_without_asking_it() {
    let provider = Upstream::always(Answer::json(exact(Protocol::Responses))).await;
    let served = Served::start(gateway([upstream("only", Protocol::Responses, &provider.url())])).await;
    let mut body = question(Protocol::Anthropic, "Hi", "", "", "");
    body["tools"] = json!([{"type": "code_execution_20250825", "name": "code_execution"}]);
    let reply = Client::new(served.addr).send(post("/v1/messages/count_tokens", body)).await;
    assert!(count(Protocol::Anthropic, &reply) > 0);
    assert_eq!((reply.header("x-aiproxy-usage"), provider.count()), (Some("estimated"), 0));
}

/// A question with a medium, as each client sends it.
fn with_media(client: Protocol, mime: &str, data: &str) -> Value {
    let mut body = question(client, "What is this?", "", "", "");
    match client {
        Protocol::Anthropic => {
            let kind = if mime == "application/pdf" { "document" } else { "image" };
            let source = json!({"type": "base64", "media_type": mime, "data": data});
            body["messages"][0]["content"]
                .as_array_mut()
                .unwrap()
                .push(json!({"type": kind, "source": source}));
        }
        Protocol::Gemini => {
            let part = json!({"inlineData": {"mimeType": mime, "data": data}});
            body["contents"][0]["parts"].as_array_mut().unwrap().push(part);
        }
        _ => {
            let url = format!("data:{mime};base64,{data}");
            let part = match mime {
                "application/pdf" => json!({"type": "input_file", "filename": "a.pdf", "file_data": url}),
                _ => json!({"type": "input_image", "image_url": url}),
            };
            body["input"][0]["content"].as_array_mut().unwrap().push(part);
        }
    }
    body
}

const PDF: &str = "JVBERi0xLjcK";

#[tokio::test]
async fn t175_pictures_and_documents_are_counted_by_the_provider_that_will_see_them() {
    for (client, path) in COUNTERS {
        for (protocol, _) in COUNTERS.into_iter().filter(|(protocol, _)| *protocol != client) {
            for (mime, data) in [("image/png", PNG), ("application/pdf", PDF)] {
                let what = format!("{client} → {protocol}, {mime}");
                let provider = Upstream::always(Answer::json(exact(protocol))).await;
                let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
                let reply = Client::new(served.addr).send(post(path, with_media(client, mime, data))).await;
                assert_eq!((count(client, &reply), reply.header("x-aiproxy-usage")), (7, None), "{what}");
                let asked = provider.only().json().to_string();
                assert!(asked.contains(data) && asked.contains(mime), "{what}: {asked}");
            }
        }
    }
}

#[tokio::test]
async fn t175_media_that_a_counter_will_not_take_are_estimated() {
    for (client, path) in COUNTERS {
        for (protocol, _) in COUNTERS.into_iter().filter(|(protocol, _)| *protocol != client) {
            for status in [400, 413, 415, 422] {
                let what = format!("{client} → {protocol}, {status}");
                let error = native::error(protocol, status, "cannot count this").to_string();
                let provider = Upstream::always(Answer::whole(status, "application/json", error)).await;
                let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
                let http = Client::new(served.addr);
                let reply = http.send(post(path, with_media(client, "application/pdf", PDF))).await;
                // A page.
                assert!((1500..1600).contains(&count(client, &reply)), "{what}: {}", reply.text());
                assert_eq!(reply.header("x-aiproxy-usage"), Some("estimated"), "{what}");
                // Of text alone, that is the client's fault.
                let reply = http.send(post(path, question(client, "Hi", "", "", ""))).await;
                assert!((400..500).contains(&reply.status), "{what}: {}", reply.text());
            }
        }
    }
}

#[tokio::test]
async fn t175_sound_that_no_other_provider_takes_is_estimated_without_asking() {
    for protocol in [Protocol::Anthropic, Protocol::Responses] {
        let provider = Upstream::always(Answer::json(exact(protocol))).await;
        let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
        let http = Client::new(served.addr);
        let path = "/v1beta/models/m:countTokens";
        let mut seconds = Vec::new();
        for length in [1, 40_000] {
            let body = with_media(Protocol::Gemini, "audio/mp3", &"SUQz".repeat(length));
            let reply = http.send(post(path, body)).await;
            assert_eq!(reply.header("x-aiproxy-usage"), Some("estimated"), "{protocol}");
            seconds.push(count(Protocol::Gemini, &reply));
        }
        // 120 kB are seven seconds and a half, at 32 tokens each.
        assert_eq!(seconds[1] - seconds[0], 7 * 32, "{protocol}: {seconds:?}");
        assert_eq!(provider.count(), 0, "{protocol}");
    }
}

#[tokio::test]
async fn t175_a_request_that_cannot_be_counted_is_refused_in_the_clients_shape() {
    for (client, path) in COUNTERS {
        let other = if client == Protocol::Gemini { Protocol::Anthropic } else { Protocol::Gemini };
        let served = Served::start(gateway([upstream("only", other, "http://127.0.0.1:9")])).await;
        let wrong = json!({"model": "m", "messages": 7, "input": 7, "contents": 7});
        let reply = Client::new(served.addr).send(post(path, wrong)).await;
        assert_eq!(reply.status, 400, "{client}: {}", reply.text());
        answer::error_kind(client, &reply.json());
    }
}

#[tokio::test]
async fn t176_an_estimate_says_that_it_is_one() {
    for (client, path) in COUNTERS {
        for protocol in Protocol::ALL {
            let provider = Upstream::always(Answer::json(exact(protocol))).await;
            let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
            let body = question(client, "Hi", "", "", "");
            let reply = Client::new(served.addr).send(post(path, body)).await;
            let native = protocol != Protocol::OpenAi;
            let mark = if native { None } else { Some("estimated") };
            assert_eq!(reply.header("x-aiproxy-usage"), mark, "{client} → {protocol}");
            assert_eq!(provider.count(), usize::from(native), "{client} → {protocol}");
            if native {
                assert_eq!(count(client, &reply), 7, "{client}: the upstream's own number");
            }
        }
    }
}

#[tokio::test]
async fn t175_an_upstream_without_a_counter_is_no_dead_end() {
    for (client, path) in COUNTERS {
        let error = |status, message: &str| {
            Answer::whole(status, "application/json", native::error(client, status, message).to_string())
        };
        for (what, answer, want) in [
            ("no such path", error(404, "Not Found"), 200),
            ("a page", Answer::whole(404, "text/html", "<h1>Not Found</h1>"), 200),
            ("no such method", error(405, "Method Not Allowed"), 200),
            ("not built", error(501, "Not Implemented"), 200),
            ("no such model", error(404, "model: large-9 does not exist"), 404),
            ("a bad request", error(400, "messages: required"), 400),
        ] {
            let provider = Upstream::always(answer).await;
            let spec = upstream("only", client, &provider.url()).map_model("m", "large-9");
            let served = Served::start(gateway([spec])).await;
            let body = question(client, "Hi", "", "", "");
            let reply = Client::new(served.addr).send(post(path, body)).await;
            assert_eq!(reply.status, want, "{client}, {what}: {}", reply.text());
            let mark = if want == 200 { Some("estimated") } else { None };
            assert_eq!(reply.header("x-aiproxy-usage"), mark, "{client}, {what}");
            assert_eq!(provider.count(), 1, "{client}, {what}");
            if want == 200 {
                count(client, &reply);
            } else {
                answer::error_kind(client, &reply.json());
            }
        }
    }
}

#[tokio::test]
async fn an_estimate_says_nothing_about_the_upstreams_health() {
    let error = native::error(Protocol::OpenAi, 500, "no").to_string();
    let provider = Upstream::always(Answer::whole(500, "application/json", error)).await;
    let gateway = gateway([upstream("only", Protocol::OpenAi, &provider.url())]);
    let served = Served::start(gateway.clone()).await;
    let http = Client::new(served.addr);
    for _ in 0..3 {
        http.send(Talk::new("m", "Hi").request(Protocol::Anthropic)).await;
        let body = question(Protocol::Anthropic, "Hi", "", "", "");
        http.send(post("/v1/messages/count_tokens", body)).await;
    }
    let snapshot = gateway.snapshot();
    let states: Vec<_> = snapshot.upstreams[0].breaker.iter().map(|report| report.state).collect();
    assert!(matches!(states[..], [BreakerState::Open { .. }]), "{states:?}");
}
