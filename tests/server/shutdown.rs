//! A gateway that is told to stop finishes what is under way and takes nothing new.

use std::io::ErrorKind;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::support::answer::{self, error_kind};
use crate::support::client::{Client, events, get, read_rest, read_until};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs, soon};

fn paused(protocol: Protocol, go: &Arc<Notify>) -> Answer {
    let frames = native::stream(protocol);
    let (_, second_text) = native::text_at(protocol);
    Answer::stream().frames(&frames[..second_text]).wait(go).frames(&frames[second_text..]).end()
}

#[tokio::test]
async fn a_stream_under_way_is_finished_and_new_connections_are_refused() {
    for (client, protocol) in pairs() {
        let go = Arc::new(Notify::new());
        let provider = Upstream::always(paused(protocol, &go)).await;
        let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
        let http = Client::new(served.addr);
        let talk = Talk::new(native::model(protocol), "Hi").tools().stream(true);
        let mut body = http.open(talk.request(client)).await.into_body();
        let mut text = String::new();
        read_until(&mut body, &mut text, "Hello,").await;
        // An idle connection besides, which must not hold anybody up.
        assert_eq!(http.send(get("/readyz")).await.status, 200);

        served.stop().await;
        soon("the end of listening", served.draining.notified()).await;
        assert!(!served.ready.load(Ordering::Relaxed));
        let refused = TcpStream::connect(served.addr).await.unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused, "{client} → {protocol}");
        assert!(!served.task.is_finished());

        go.notify_one();
        read_rest(body, &mut text).await;
        assert!(text.contains("rld"), "{client} → {protocol}: {text}");
        soon("the end of the server", served.task).await.unwrap();
    }
}

#[tokio::test]
async fn an_idle_gateway_stops_at_once() {
    let served = Served::start(gateway([])).await;
    assert_eq!(Client::new(served.addr).send(get("/")).await.status, 200);
    served.stop().await;
    soon("the end of the server", served.task).await.unwrap();
}

#[tokio::test]
async fn a_second_signal_ends_it_with_requests_under_way() {
    let provider = Upstream::always(paused(Protocol::OpenAi, &Arc::default())).await;
    let served = Served::start(gateway([upstream("only", Protocol::OpenAi, &provider.url())])).await;
    let talk = Talk::new("m", "Hi").stream(true);
    let mut body = Client::new(served.addr).open(talk.request(Protocol::OpenAi)).await.into_body();
    read_until(&mut body, &mut String::new(), "Hello,").await;
    served.stop().await;
    soon("the end of listening", served.draining.notified()).await;
    served.stop().await;
    soon("the end of the server", served.task).await.unwrap();
}

#[tokio::test]
async fn a_stream_that_is_not_done_in_time_is_told_so_and_never_looks_complete() {
    for (client, protocol) in pairs() {
        let provider = Upstream::always(paused(protocol, &Arc::default())).await;
        let gateway = gateway([upstream("only", protocol, &provider.url())]);
        let served = Served::patient_for(Duration::from_millis(50), gateway).await;
        let talk = Talk::new(native::model(protocol), "Hi").tools().stream(true);
        let mut body = Client::new(served.addr).open(talk.request(client)).await.into_body();
        let mut text = String::new();
        read_until(&mut body, &mut text, "Hello,").await;
        served.stop().await;
        // A clean end, as proxies before the gateway see it.
        read_rest(body, &mut text).await;
        let told = events(&text);
        let error =
            answer::stream_error(client, &told).unwrap_or_else(|| panic!("{client} → {protocol}: {text}"));
        assert!(error.to_string().contains("being stopped"), "{client} → {protocol}: {error}");
        soon("the end of the server", served.task).await.unwrap();
    }
}

#[tokio::test]
async fn an_answer_that_has_not_begun_in_time_is_an_error_of_the_clients_protocol() {
    for client in Protocol::ALL {
        let provider = Upstream::always(Answer::after(&Arc::default(), Answer::none())).await;
        let gateway = gateway([upstream("only", Protocol::OpenAi, &provider.url())]);
        let served = Served::patient_for(Duration::from_millis(50), gateway).await;
        let talk = Talk::new("m", "Hi");
        let http = Client::new(served.addr);
        let asking = tokio::spawn(async move { http.send(talk.request(client)).await });
        provider.arrived(1).await;
        served.stop().await;
        let reply = soon("an answer", asking).await.unwrap();
        assert!([503, 529].contains(&reply.status), "{client}: {}", reply.text());
        error_kind(client, &reply.json());
        assert!(reply.header("retry-after").is_some(), "{client}: {:?}", reply.headers);
    }
}
