//! Clients whose answer is long in coming are kept alive, and lose nothing by it.

use std::sync::Arc;
use std::time::Duration;

use aiproxy::Gateway;
use aiproxy::layer::KeepAliveLayer;
use http::Request;
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::sync::Notify;

use crate::support::answer::{self, Finish};
use crate::support::client::{Client, events, read_rest, read_until};
use crate::support::gateway::{Served, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs};

/// Without patience: whoever waits at all hears that it waits.
async fn served(protocol: Protocol, providers: &[&Upstream]) -> (Served, Client) {
    let alive = KeepAliveLayer::new().grace(Duration::from_millis(1)).interval(Duration::from_millis(1));
    let builder =
        (0..).zip(providers).fold(Gateway::builder().keep_alive(alive), |builder, (number, provider)| {
            builder.upstream(upstream(&format!("u{number}"), protocol, &provider.url()).priority(number))
        });
    let served = Served::start(builder.build().unwrap()).await;
    let client = Client::new(served.addr);
    (served, client)
}

fn talk(client: Protocol, protocol: Protocol) -> Request<Full<bytes::Bytes>> {
    Talk::new(native::model(protocol), "Hi").tools().stream(true).request(client)
}

fn sign(client: Protocol) -> &'static str {
    match client {
        Protocol::Anthropic => "event: ping\ndata: {\"type\":\"ping\"}\n\n",
        Protocol::OpenAi | Protocol::Responses => ": ka\n\n",
        Protocol::Gemini => "\n",
    }
}

/// The head and the first sign of life; nothing else has come by then.
async fn first_sign(
    http: &Client,
    request: Request<Full<bytes::Bytes>>,
    client: Protocol,
) -> (Incoming, String) {
    let response = http.open(request).await;
    assert_eq!(response.status(), 200);
    assert!(response.headers()["content-type"].to_str().unwrap().starts_with("text/event-stream"));
    let (mut body, mut text) = (response.into_body(), String::new());
    read_until(&mut body, &mut text, sign(client)).await;
    assert_eq!(text.replace(sign(client), ""), "", "{client}");
    (body, text)
}

#[tokio::test]
async fn failover_goes_on_while_the_client_is_kept_alive() {
    for (client, protocol) in pairs() {
        let opening = native::opening(protocol);
        let go = Arc::new(Notify::new());
        for (how, slow) in [
            ("it never begins to answer", Answer::after(&go, Answer::none())),
            ("it never comes to the content", Answer::stream().frames(opening).wait(&go).cut()),
        ] {
            let slow = Upstream::always(slow).await;
            let sound = Upstream::always(Answer::events(native::stream(protocol))).await;
            let (_served, http) = served(protocol, &[&slow, &sound]).await;
            let (body, mut text) = first_sign(&http, talk(client, protocol), client).await;
            go.notify_one();
            read_rest(body, &mut text).await;
            let answer = answer::stream(client, &events(&text));
            let got = (answer.text.as_str(), answer.finish, answer.calls.len());
            assert_eq!(got, (native::TEXT, Finish::Calls, 1), "{client} → {protocol}, {how}: {text}");
            assert_eq!((slow.count(), sound.count()), (1, 1));
        }
    }
}

#[tokio::test]
async fn if_all_fail_after_the_head_the_client_is_told_in_its_own_protocol() {
    for (client, protocol) in pairs() {
        let go = Arc::new(Notify::new());
        let error = native::error(protocol, 503, "overloaded");
        let refusal = Answer::whole(503, "application/json", error.to_string());
        let provider = Upstream::always(Answer::after(&go, refusal)).await;
        let (_served, http) = served(protocol, &[&provider]).await;
        let (body, mut text) = first_sign(&http, talk(client, protocol), client).await;
        go.notify_one();
        read_rest(body, &mut text).await;
        let what = format!("{client} → {protocol}: {text}");
        assert!(answer::stream_error(client, &events(&text)).is_some(), "{what}");
        for success in ["message_stop", "[DONE]", "response.completed", "finishReason"] {
            assert!(!text.contains(success), "{what}");
        }
    }
}

#[tokio::test]
async fn silence_within_an_answer_is_filled_and_every_byte_of_the_answer_comes() {
    for (client, protocol) in pairs() {
        let go = Arc::new(Notify::new());
        let (_, second_text) = native::text_at(protocol);
        let frames = native::stream(protocol);
        let (begun, rest) = frames.split_at(second_text);
        let provider = Upstream::always(Answer::stream().frames(begun).wait(&go).frames(rest).end()).await;
        let (_served, http) = served(protocol, &[&provider]).await;
        let mut body = http.open(talk(client, protocol)).await.into_body();
        let mut text = String::new();
        read_until(&mut body, &mut text, "Hello,").await;
        let mut silence = String::new();
        // Agents on Responses count events only (T014).
        let sign = if client == Protocol::Responses { "event: keepalive\n" } else { sign(client) };
        read_until(&mut body, &mut silence, sign).await;
        text.push_str(&silence);
        go.notify_one();
        read_rest(body, &mut text).await;
        let answer = answer::stream(client, &events(&text));
        let got = (answer.text.as_str(), answer.finish, answer.calls.len());
        assert_eq!(got, (native::TEXT, Finish::Calls, 1), "{client} → {protocol}: {text}");
        if client == protocol && client == Protocol::OpenAi {
            assert_eq!(text.replace(sign, ""), frames.concat(), "{client}");
        }
    }
}

#[tokio::test]
async fn a_gemini_client_that_takes_an_array_gets_a_valid_one() {
    let gemini = Protocol::Gemini;
    let go = Arc::new(Notify::new());
    let frames = native::stream(gemini);
    let provider = Upstream::always(Answer::stream().wait(&go).frames(frames).end()).await;
    let (_served, http) = served(gemini, &[&provider]).await;
    let mut request = talk(gemini, gemini);
    *request.uri_mut() = request.uri().path().parse().unwrap();
    let mut body = http.open(request).await.into_body();
    let mut text = String::new();
    read_until(&mut body, &mut text, "\n").await;
    go.notify_one();
    read_rest(body, &mut text).await;
    let array: Vec<Value> = serde_json::from_str(&text).unwrap();
    assert_eq!(array.len(), native::stream(gemini).len(), "{text}");
}
