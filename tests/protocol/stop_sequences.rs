//! Stop sequences end an answer also at an upstream that does not take them, if the gateway is told to look.

use serde_json::{Value, json};

use crate::support::answer::{self, Finish};
use crate::support::client::{Client, Reply, post};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs};

/// Every client that can name stop sequences, at every upstream of another protocol; some sequences, the last of
/// which is in [`native::TEXT`] and not taken by that upstream; and the text before it.
fn cases() -> impl Iterator<Item = (Protocol, Protocol, Vec<&'static str>, &'static str)> {
    let pairs = pairs().filter(|(client, upstream)| client != upstream && *client != Protocol::Responses);
    pairs.map(|(client, upstream)| match upstream {
        Protocol::Anthropic => (client, upstream, vec!["q1", " "], "Hello,"),
        _ => (client, upstream, vec!["q1", "q2", "q3", "q4", "q5", ", wörld"], "Hello"),
    })
}

/// The sequences as they arrive at the upstream.
fn sent(upstream: Protocol, body: &Value) -> Value {
    match upstream {
        Protocol::Anthropic => body["stop_sequences"].clone(),
        Protocol::OpenAi | Protocol::Responses => body["stop"].clone(),
        Protocol::Gemini => body["generationConfig"]["stopSequences"].clone(),
    }
}

fn taken(upstream: Protocol, stops: &[&str]) -> Value {
    match upstream {
        Protocol::Anthropic => json!(stops[..1]),
        Protocol::OpenAi => json!(stops[..4]),
        Protocol::Responses => Value::Null,
        Protocol::Gemini => json!(stops[..5]),
    }
}

fn request(client: Protocol, upstream: Protocol, stops: &[&str], stream: bool) -> (String, Value) {
    let talk = Talk::new(native::model(upstream), "Hi").stream(stream);
    let mut body = talk.body(client);
    match client {
        Protocol::Anthropic => body["stop_sequences"] = json!(stops),
        Protocol::OpenAi => {
            body["stop"] = json!(stops);
            body["stream_options"] = json!({"include_usage": true});
        }
        Protocol::Gemini => body["generationConfig"] = json!({"stopSequences": stops}),
        Protocol::Responses => unreachable!(),
    }
    (talk.path(client), body)
}

fn assert_cut(client: Protocol, what: &str, reply: &Reply, stop: &str, text: &str, is_stream: bool) {
    let what = format!("{what}: {}", reply.text());
    assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, Some("emulate:stop")), "{what}");
    let (answer, last) = if is_stream {
        let events = reply.events();
        let last = events.iter().map(|event| event.json()).rfind(|event| event["delta"].is_object());
        (answer::stream(client, &events), last.map(|event| event["delta"].clone()))
    } else {
        (answer::document(client, &reply.json()), Some(reply.json()))
    };
    assert_eq!((answer.text.as_str(), &answer.calls[..]), (text, &[][..]), "{what}");
    if client == Protocol::Anthropic {
        let last = last.unwrap();
        assert_eq!(
            (&last["stop_reason"], &last["stop_sequence"]),
            (&json!("stop_sequence"), &json!(stop)),
            "{what}"
        );
    } else {
        assert_eq!(answer.finish, Finish::Stop, "{what}");
    }
}

#[tokio::test]
async fn t141_a_stream_ends_before_the_sequence_and_the_upstream_is_cancelled() {
    for (client, protocol, stops, text) in cases() {
        let what = format!("{client} → {protocol}");
        let (_, second_text) = native::text_at(protocol);
        let frames = native::stream(protocol).into_iter().take(second_text + 1);
        let provider = Upstream::always(Answer::stream().frames(frames).stall()).await;
        let spec = upstream("only", protocol, &provider.url()).stop_emulation(true);
        let served = Served::start(gateway([spec])).await;
        let (path, body) = request(client, protocol, &stops, true);
        let reply = Client::new(served.addr).send(post(&path, body)).await;
        provider.departed(1).await;
        assert_eq!(sent(protocol, &provider.only().json()), taken(protocol, &stops), "{what}");
        assert_cut(client, &what, &reply, stops.last().unwrap(), text, true);
        let answer = answer::stream(client, &reply.events());
        let counts = (answer.input_tokens, answer.output_tokens);
        if client == Protocol::OpenAi {
            assert_eq!(counts, (0, 0), "{what}: nobody told, and estimates are not wanted");
        } else {
            assert!(counts.0 > 0 && (1..=20).contains(&counts.1), "{what}: {counts:?}");
        }
    }
}

#[tokio::test]
async fn t141_a_whole_answer_ends_before_the_sequence_whether_it_was_streamed_or_not() {
    for (client, protocol, stops, text) in cases() {
        for must_stream in [false, true] {
            let what = format!("{client} → {protocol}, streamed: {must_stream}");
            let answer = if must_stream {
                Answer::events(native::stream(protocol))
            } else {
                Answer::json(native::document(protocol))
            };
            let provider = Upstream::always(answer).await;
            let spec = upstream("only", protocol, &provider.url());
            let served = Served::start(gateway([spec.stop_emulation(true).must_stream(must_stream)])).await;
            let (path, body) = request(client, protocol, &stops, false);
            let reply = Client::new(served.addr).send(post(&path, body)).await;
            assert_cut(client, &what, &reply, stops.last().unwrap(), text, false);
            let answer = answer::document(client, &reply.json());
            assert_eq!((answer.input_tokens, answer.output_tokens), (12, 9), "{what}: what was billed");
        }
    }
}

#[tokio::test]
async fn what_only_begins_like_a_sequence_arrives() {
    for (client, protocol, ..) in cases() {
        let provider = Upstream::always(Answer::events(native::stream(protocol))).await;
        let spec = upstream("only", protocol, &provider.url()).stop_emulation(true);
        let served = Served::start(gateway([spec])).await;
        // As long as the text, so that all of it is held back.
        let stops = ["q1", "q2", "q3", "q4", "q5", "Hello, wörld 🦀!"];
        let (path, body) = request(client, protocol, &stops, true);
        let reply = Client::new(served.addr).send(post(&path, body)).await;
        let answer = answer::stream(client, &reply.events());
        let got = (answer.text.as_str(), answer.finish, answer.calls.len());
        assert_eq!(got, (native::TEXT, Finish::Calls, 1), "{client} → {protocol}: {}", reply.text());
        assert_eq!((answer.input_tokens, answer.output_tokens), (12, 9), "{client} → {protocol}: exact");
    }
}

#[tokio::test]
async fn t141_without_the_option_the_loss_is_named_and_nothing_is_cut() {
    for (client, protocol, stops, _) in cases() {
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
        let (path, body) = request(client, protocol, &stops, false);
        let reply = Client::new(served.addr).send(post(&path, body)).await;
        let warnings = reply.header("x-aiproxy-warnings").unwrap_or_default();
        assert!(matches!(warnings, "drop:stop" | "drop:stop_sequences"), "{client} → {protocol}: {warnings}");
        assert_eq!(answer::document(client, &reply.json()).text, native::TEXT, "{client} → {protocol}");
    }
}

#[tokio::test]
async fn a_relayed_answer_is_never_touched() {
    let provider = Upstream::always(Answer::json(native::document(Protocol::OpenAi))).await;
    let served = Served::yaml(&format!(
        "stop_emulation: true
upstreams:
  - {{ name: only, api_type: openai, base_url: {}, token: k }}
",
        provider.url()
    ))
    .await;
    let (path, body) = request(Protocol::OpenAi, Protocol::OpenAi, &["1", "2", "3", "4", ", wörld"], false);
    let reply = Client::new(served.addr).send(post(&path, body.clone())).await;
    assert_eq!((provider.only().json(), reply.json()), (body, native::document(Protocol::OpenAi)));
}
