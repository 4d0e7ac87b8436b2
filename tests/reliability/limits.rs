//! What one client or upstream may take is bounded, and who takes more is told so or cut off; the others are served.

use std::time::Duration;

use aiproxy::Gateway;
use aiproxy::server::{Limits, Pages};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::answer::error_kind;
use crate::support::client::{Client, get, read_until};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, soon};

const SHORT: Duration = Duration::from_millis(150);

/// A gateway without upstreams, within these limits.
async fn within(limits: Limits) -> Served {
    Served::within(limits, gateway([]), Pages::default()).await
}

/// Sends these bytes and reads until the gateway ends the connection.
async fn said(served: &Served, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = TcpStream::connect(served.addr).await.unwrap();
    // It may be gone before it has taken all.
    let _ = stream.write_all(bytes.as_ref()).await;
    let mut answer = Vec::new();
    let _ = soon("the end of the connection", stream.read_to_end(&mut answer)).await;
    String::from_utf8(answer).unwrap()
}

fn status(answer: &str) -> &str {
    answer.strip_prefix("HTTP/1.1 ").map_or(answer, |rest| &rest[..3])
}

#[tokio::test]
async fn heads_are_bounded_in_bytes_and_in_lines() {
    let served = within(Limits { max_header_size: 8 << 10, ..Limits::default() }).await;
    let head = |line: &str| format!("GET /healthz HTTP/1.1\r\nhost: h\r\nconnection: close\r\n{line}\r\n");
    assert_eq!(status(&said(&served, head(&format!("x: {}\r\n", "y".repeat(4 << 10)))).await), "200");
    assert_eq!(status(&said(&served, head(&format!("x: {}\r\n", "y".repeat(16 << 10)))).await), "431");
    assert_eq!(status(&said(&served, head(&"x: y\r\n".repeat(90))).await), "200");
    assert_eq!(status(&said(&served, head(&"x: y\r\n".repeat(100))).await), "431");
    let target = format!("GET /{} HTTP/1.1\r\nhost: h\r\n\r\n", "y".repeat(80 << 10));
    assert!(["414", "431"].contains(&status(&said(&served, target).await)));
    assert_eq!(Client::new(served.addr).send(get("/healthz")).await.status, 200);
}

#[tokio::test]
async fn who_does_not_finish_its_head_is_not_waited_for() {
    let served = within(Limits { header_timeout: Some(SHORT), ..Limits::default() }).await;
    for bytes in ["", "P", "PRI * HTTP/2.0\r\n", "POST /v1/messages HTTP/1.1\r\nhost: h\r\nx: "] {
        assert_eq!(said(&served, bytes).await, "", "{bytes:?}");
    }
    // Nor is a connection kept for ever between two requests.
    let answer = said(&served, "GET /healthz HTTP/1.1\r\nhost: h\r\n\r\n").await;
    assert_eq!(status(&answer), "200");
}

#[tokio::test]
async fn further_connections_wait_for_their_turn() {
    let served = within(Limits { max_connections: 2, ..Limits::default() }).await;
    let first = TcpStream::connect(served.addr).await.unwrap();
    let _second = TcpStream::connect(served.addr).await.unwrap();
    let client = Client::new(served.addr);
    let third = tokio::spawn(async move { client.send(get("/healthz")).await });
    let mut third = std::pin::pin!(third);
    assert!(timeout(SHORT, third.as_mut()).await.is_err(), "there are two already");
    drop(first);
    assert_eq!(soon("its turn", third).await.unwrap().status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told_so_in_the_clients_protocol() {
    let provider = Upstream::always(Answer::none()).await;
    let gateway = Gateway::builder()
        .upstream(upstream("only", Protocol::OpenAi, &provider.url()))
        .body_timeout(SHORT)
        .build()
        .unwrap();
    let served = Served::start(gateway).await;
    for protocol in Protocol::ALL {
        let path = Talk::new("m", "Hi").path(protocol);
        let request = format!("POST {path} HTTP/1.1\r\nhost: h\r\ncontent-length: 1000\r\n\r\n{{\"model\":");
        let answer = said(&served, request).await;
        assert_eq!(status(&answer), "408", "{protocol}: {answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("retry-after: ") && !head.contains("x-should-retry"), "{protocol}: {head}");
        error_kind(protocol, &serde_json::from_str(body).unwrap());
    }
    assert_eq!(provider.count(), 0);
}

#[tokio::test]
async fn who_writes_more_than_is_read_learns_why() {
    // More than all buffers on the way hold.
    let prompt = "x".repeat(24 << 20);
    let body = |talk: &Talk| format!(r#"{{"model":"{}","messages":[],"x":"{prompt}"}}"#, talk.model);
    let gateway = Gateway::builder()
        .upstream(upstream("only", Protocol::OpenAi, "http://127.0.0.1:9"))
        .api_key("known")
        .max_body_size(16 << 20)
        .build()
        .unwrap();
    let served = Served::start(gateway).await;
    for (protocol, (key, want)) in Protocol::ALL
        .into_iter()
        .flat_map(|protocol| [("unknown", "401"), ("known", "413")].map(|case| (protocol, case)))
    {
        let talk = Talk::new("m", "Hi");
        let (path, body) = (talk.path(protocol), body(&talk));
        for framing in [format!("content-length: {}", body.len()), "transfer-encoding: chunked".to_owned()] {
            let mut stream = TcpStream::connect(served.addr).await.unwrap();
            let head = format!("POST {path} HTTP/1.1\r\nhost: h\r\nx-api-key: {key}\r\n{framing}\r\n\r\n");
            let is_chunked = framing.contains("chunked");
            let size = if is_chunked { format!("{:x}\r\n", body.len()) } else { String::new() };
            let end = if is_chunked { "\r\n0\r\n\r\n" } else { "" };
            // As clients do: all of it, and only then a look at the answer.
            for piece in [&head, &size, &body, end] {
                soon("room to write", stream.write_all(piece.as_bytes())).await.unwrap();
            }
            let mut answer = vec![0; 12];
            soon("the answer", stream.read_exact(&mut answer)).await.unwrap();
            let answer = String::from_utf8(answer).unwrap();
            assert_eq!(status(&answer), want, "{protocol} {framing}");
        }
    }
}

#[tokio::test]
async fn who_does_not_read_its_answer_is_cut_off_and_the_upstream_with_it() {
    for client in [Protocol::OpenAi, Protocol::Anthropic] {
        let protocol = Protocol::OpenAi;
        let (first_text, second_text) = native::text_at(protocol);
        let frames = native::stream(protocol);
        let begun = &frames[..second_text];
        let word = frames[first_text].replace("Hello,", &"Hello,".repeat(20_000));
        // More than all buffers on the way hold.
        let endless = Answer::stream().frames(begun).frames(vec![word; 600]).stall();
        let provider = Upstream::always(endless).await;
        let specs = [upstream("only", protocol, &provider.url())];
        let limits = Limits { write_timeout: Some(SHORT), ..Limits::default() };
        let served = Served::within(limits, gateway(specs), Pages::default()).await;
        let talk = Talk::new(native::model(protocol), "Hi").stream(true);
        let mut body = Client::new(served.addr).open(talk.request(client)).await.into_body();
        read_until(&mut body, &mut String::new(), "Hello,").await;
        provider.departed(1).await;
        drop(body);
    }
}

#[tokio::test]
async fn a_request_too_many_is_refused_in_the_clients_protocol() {
    let provider = Upstream::always(Answer::default().stall()).await;
    let gateway = Gateway::builder()
        .upstream(upstream("only", Protocol::OpenAi, &provider.url()))
        .max_in_flight(1)
        .build()
        .unwrap();
    let served = Served::start(gateway).await;
    let client = Client::new(served.addr);
    let first = tokio::spawn({
        let (client, request) = (client.clone(), Talk::new("m", "Hi").request(Protocol::OpenAi));
        async move { drop(client.open(request).await) }
    });
    provider.arrived(1).await;
    for (protocol, status, kind) in [
        (Protocol::Anthropic, 529, "overloaded_error"),
        (Protocol::OpenAi, 503, "server_error"),
        (Protocol::Responses, 503, "server_error"),
        (Protocol::Gemini, 503, "UNAVAILABLE"),
    ] {
        for stream in [false, true] {
            let reply = client.send(Talk::new("m", "Hi").stream(stream).request(protocol)).await;
            assert_eq!(reply.status, status, "{protocol}: {}", reply.text());
            assert_eq!(error_kind(protocol, &reply.json()), kind);
            assert!(reply.header("retry-after").is_some(), "{protocol}");
        }
    }
    assert_eq!(provider.count(), 1);
    first.abort();
}

/// How a client fares whose first upstream answers so, and whether the second was asked.
async fn fares(answer: Answer, stream: bool, must_stream: bool) -> (u16, bool) {
    let protocol = Protocol::OpenAi;
    let first = Upstream::always(answer).await;
    let sound = if stream || must_stream {
        Answer::events(native::stream(protocol))
    } else {
        Answer::json(native::document(protocol))
    };
    let second = Upstream::always(sound).await;
    let gateway = Gateway::builder()
        .upstream(upstream("first", protocol, &first.url()).must_stream(must_stream))
        .upstream(upstream("second", protocol, &second.url()).must_stream(must_stream).priority(1))
        .max_held_size(32 << 10)
        .max_answer_size(64 << 10)
        .build()
        .unwrap();
    let served = Served::start(gateway).await;
    let talk = Talk::new(native::model(protocol), "Hi").stream(stream);
    let reply = Client::new(served.addr).send(talk.request(protocol)).await;
    (reply.status, second.count() > 0)
}

#[tokio::test]
async fn what_is_held_of_an_answer_is_bounded_and_another_upstream_takes_over() {
    let protocol = Protocol::OpenAi;
    let comments = |kib: usize| vec![format!(": {}\n\n", "x".repeat(1021)); kib];
    let late = |kib: usize| Answer::stream().frames(comments(kib)).frames(native::stream(protocol)).end();
    assert_eq!(fares(late(20), true, false).await, (200, false));
    assert_eq!(fares(late(40), true, false).await, (200, true), "40 KiB before the first content");

    let document = |kib: usize| {
        let mut document = native::document(protocol);
        document["padding"] = "x".repeat(kib << 10).into();
        Answer::json(document)
    };
    assert_eq!(fares(document(40), false, false).await, (200, false));
    assert_eq!(fares(document(70), false, false).await, (200, true));

    // A stream that is made a document may have as much as a document.
    let long = |kib: usize| {
        let mut frames = native::stream(protocol);
        let at = native::text_at(protocol).1;
        frames.splice(at..at, comments(kib));
        Answer::events(frames)
    };
    assert_eq!(fares(long(40), false, true).await, (200, false));
    assert_eq!(fares(long(70), false, true).await, (200, true));
}
