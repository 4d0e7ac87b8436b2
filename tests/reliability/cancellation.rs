//! A client that leaves takes its request with it: the upstream's connection closes, and nobody is blamed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use aiproxy::Gateway;
use aiproxy::layer::KeepAliveLayer;
use aiproxy::layer::fetch_media::FetchPolicy;
use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio::sync::{Notify, watch};

use crate::support::client::{Client, post, read_rest, read_until};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs, soon};

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

/// Somebody who takes connections and what comes, and never says a word; he notices when he is left.
struct Mute {
    addr: SocketAddr,
    taken: watch::Receiver<usize>,
    left: watch::Receiver<usize>,
}

impl Mute {
    async fn start() -> Mute {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (taken, seen) = watch::channel(0);
        let (left, gone) = watch::channel(0);
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut some = [0; 4096];
                // There is something, so the connection is in use.
                stream.peek(&mut some).await.unwrap();
                taken.send_modify(|count| *count += 1);
                while matches!(stream.read(&mut some).await, Ok(1..)) {}
                left.send_modify(|count| *count += 1);
            }
        });
        Mute { addr, taken: seen, left: gone }
    }

    /// A client's request gets him into the middle of things; then the client leaves.
    async fn is_left_by(&mut self, http: &Client, request: Request<Full<Bytes>>, what: &str) {
        let http = http.clone();
        let waiting = tokio::spawn(async move { drop(http.open(request).await) });
        soon(&format!("a connection: {what}"), self.taken.wait_for(|taken| *taken > 0)).await.unwrap();
        waiting.abort();
        soon(&format!("its end: {what}"), self.left.wait_for(|left| *left > 0)).await.unwrap();
    }
}

#[tokio::test]
async fn t058_a_client_that_leaves_while_the_upstream_is_being_connected_to_ends_that() {
    for (client, protocol) in pairs() {
        for stream in [false, true] {
            let mut mute = Mute::start().await;
            // He does not do his part of TLS.
            let gateway = gateway([upstream("only", protocol, &format!("https://{}", mute.addr))]);
            let served = Served::start(gateway.clone()).await;
            let request = Talk::new(native::model(protocol), "Hi").stream(stream).request(client);
            mute.is_left_by(&Client::new(served.addr), request, &format!("{client} → {protocol}")).await;
            assert!(gateway.snapshot().upstreams[0].breaker.is_empty(), "{client} → {protocol}: no failure");
        }
    }
}

#[tokio::test]
async fn t058_a_client_that_leaves_while_its_media_are_fetched_ends_that() {
    let mut mute = Mute::start().await;
    let policy =
        FetchPolicy { allow: vec![IpAddr::V4(Ipv4Addr::LOCALHOST).into()], ..FetchPolicy::default() };
    let provider = Upstream::always(Answer::none()).await;
    let spec = upstream("only", Protocol::Gemini, &provider.url()).fetch_media(policy);
    let served = Served::start(gateway([spec])).await;
    let picture = json!({"type": "image_url", "image_url": {"url": format!("http://{}/picture", mute.addr)}});
    let body = json!({"model": "m", "messages": [{"role": "user", "content": [picture]}]});
    mute.is_left_by(&Client::new(served.addr), post("/v1/chat/completions", body), "media").await;
    assert_eq!(provider.count(), 0);
}

#[tokio::test]
async fn t058_a_client_that_leaves_while_it_is_kept_alive_ends_the_attempt() {
    for (client, protocol) in pairs() {
        for answer in [Answer::default().stall(), Answer::stream().frames(native::opening(protocol)).stall()]
        {
            let provider = Upstream::always(answer).await;
            let keep_alive =
                KeepAliveLayer::new().grace(Duration::from_millis(1)).interval(Duration::from_millis(1));
            let spec = upstream("only", protocol, &provider.url());
            let gateway = Gateway::builder().upstream(spec).keep_alive(keep_alive).build().unwrap();
            let served = Served::start(gateway.clone()).await;
            let request = Talk::new(native::model(protocol), "Hi").stream(true).request(client);
            let body = Client::new(served.addr).open(request).await.into_body();
            provider.arrived(1).await;
            drop(body);
            provider.departed(1).await;
            assert!(gateway.snapshot().upstreams[0].breaker.is_empty(), "{client} → {protocol}: no failure");
        }
    }
}

#[tokio::test]
async fn t058_a_client_that_leaves_a_later_attempt_ends_that_and_no_other_follows() {
    for (client, protocol) in pairs() {
        for stream in [false, true] {
            let error = native::error(protocol, 500, "no").to_string();
            let first = Upstream::always(Answer::whole(500, "application/json", error)).await;
            let second = Upstream::always(Answer::default().stall()).await;
            let third = Upstream::always(Answer::none()).await;
            let served = Served::start(gateway([
                upstream("first", protocol, &first.url()),
                upstream("second", protocol, &second.url()).priority(1),
                upstream("third", protocol, &third.url()).priority(2),
            ]))
            .await;
            let http = Client::new(served.addr);
            let request = Talk::new(native::model(protocol), "Hi").stream(stream).request(client);
            let waiting = tokio::spawn(async move { drop(http.open(request).await) });
            second.arrived(1).await;
            waiting.abort();
            second.departed(1).await;
            assert_eq!((first.count(), third.count()), (1, 0), "{client} → {protocol}");
        }
    }
}
