//! A client that leaves takes its request with it: the upstream's connection closes, and nobody is blamed.

#[expect(dead_code, reason = "each test file uses a part of it")]
mod support;

use std::sync::Arc;

use aiproxy::Gateway;
use tokio::sync::Notify;

use support::client::{Client, read_rest, read_until};
use support::gateway::{Served, gateway, upstream};
use support::talk::Talk;
use support::upstream::{Answer, Upstream};
use support::{Protocol, native, pairs};

async fn before(
    protocol: Protocol,
    answer: Answer,
    must_stream: bool,
) -> (Upstream, Gateway, Served, Client) {
    let provider = Upstream::always(answer).await;
    let gateway = gateway([upstream("only", protocol, &provider.url()).must_stream(must_stream)]);
    let served = Served::start(gateway.clone()).await;
    let client = Client::new(served.addr);
    (provider, gateway, served, client)
}

fn begun(protocol: Protocol) -> Answer {
    let (_, second_text) = native::text_at(protocol);
    Answer::stream().frames(native::stream(protocol).into_iter().take(second_text))
}

#[tokio::test]
async fn t058_a_client_that_leaves_before_the_answer_closes_the_upstreams_connection() {
    for (client, protocol) in pairs() {
        for (stream, must_stream, answer) in [
            (false, false, Answer::default().stall()),
            (true, false, Answer::default().stall()),
            (true, false, Answer::stream().frames(native::opening(protocol)).stall()),
            (false, true, begun(protocol).stall()),
        ] {
            let (provider, gateway, _served, http) = before(protocol, answer, must_stream).await;
            for times in 1..=4 {
                let request = Talk::new(native::model(protocol), "Hi").stream(stream).request(client);
                let waiting = tokio::spawn({
                    let http = http.clone();
                    async move { drop(http.open(request).await) }
                });
                provider.arrived(times).await;
                waiting.abort();
                provider.departed(times).await;
            }
            assert!(gateway.snapshot().upstreams[0].breaker.is_empty(), "{client} → {protocol}: no failure");
        }
    }
}

#[tokio::test]
async fn t058_a_client_that_leaves_a_stream_closes_the_upstreams_connection() {
    for (client, protocol) in pairs() {
        let (provider, gateway, _served, http) = before(protocol, begun(protocol).stall(), false).await;
        for times in 1..=4 {
            let request = Talk::new(native::model(protocol), "Hi").stream(true).request(client);
            let mut body = http.open(request).await.into_body();
            read_until(&mut body, &mut String::new(), "Hello,").await;
            drop(body);
            provider.departed(times).await;
        }
        assert!(gateway.snapshot().upstreams[0].breaker.is_empty(), "{client} → {protocol}: no failure");
    }
}

#[tokio::test]
async fn others_go_on() {
    let go = Arc::new(Notify::new());
    let frames = native::stream(Protocol::OpenAi);
    let (_, second_text) = native::text_at(Protocol::OpenAi);
    let rest = frames[second_text..].to_vec();
    let paused = begun(Protocol::OpenAi).wait(&go).frames(rest).end();
    let (provider, _gateway, _served, http) = before(Protocol::OpenAi, paused, false).await;
    let request = || Talk::new("m", "Hi").stream(true).request(Protocol::OpenAi);
    let mut text = String::new();
    let mut stays = http.open(request()).await.into_body();
    read_until(&mut stays, &mut text, "Hello,").await;
    let mut leaves = http.open(request()).await.into_body();
    read_until(&mut leaves, &mut String::new(), "Hello,").await;
    drop(leaves);
    provider.departed(1).await;
    go.notify_one();
    read_rest(stays, &mut text).await;
    assert_eq!(text, frames.concat());
}
