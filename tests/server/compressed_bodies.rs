//! Clients that compress their requests, as Codex does: understood, and no way around the limit on bodies.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aiproxy::layer::CollectLayer;
use aiproxy::{Error, Payload};
use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::StreamBody;
use hyper::body::Frame;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::support::client::{Client, request, with};
use crate::support::compress::{CODINGS, compress, zstd_with_window};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{native, pairs};

#[tokio::test]
async fn a_compressed_request_is_the_request_that_was_compressed() {
    for (client, provider) in pairs() {
        let talk = Talk::new(native::model(client), "Grüße 🦀").system("Be brief.");
        let plain = talk.body(client).to_string();
        let mut arrived = Vec::new();
        for coding in ["identity", "x-gzip"].into_iter().chain(CODINGS) {
            let scripted = Upstream::always(Answer::json(native::document(provider))).await;
            let served = Served::start(gateway([upstream("only", provider, &scripted.url())])).await;
            let body = match coding {
                "identity" => plain.clone().into_bytes(),
                coding => compress(coding.trim_start_matches("x-"), plain.as_bytes()),
            };
            let asked = with(request(Method::POST, &talk.path(client), body), "content-encoding", coding);
            let reply = Client::new(served.addr).send(asked).await;
            assert_eq!(reply.status, 200, "{client} to {provider}, {coding}: {}", reply.text());
            let one = scripted.only();
            assert_eq!(one.header("content-encoding"), None, "{client} to {provider}, {coding}");
            assert_eq!(one.header("content-length"), Some(one.body.len().to_string().as_str()));
            arrived.push(one.body);
        }
        assert!(arrived.iter().all(|body| *body == arrived[0]), "{client} to {provider}");
        assert!(client != provider || *arrived[0] == *plain.as_bytes(), "{client}: relayed as it was");
    }
}

/// The body that arrives behind `Collect`, sent in these pieces; and how many of them were taken.
async fn collected(
    coding: &str,
    limit: usize,
    pieces: impl Iterator<Item = Bytes>,
) -> (Result<Bytes, Error>, usize) {
    let taken = Arc::new(AtomicUsize::new(0));
    let count = taken.clone();
    let pieces = pieces.map(move |piece| {
        count.fetch_add(1, Ordering::Relaxed);
        Ok::<_, Error>(Frame::data(piece))
    });
    let request = Request::post("/v1/messages").header("content-encoding", coding);
    let request = request.body(StreamBody::new(futures_util::stream::iter(pieces))).unwrap();
    let service = ServiceBuilder::new().layer(CollectLayer::new(limit)).service(service_fn(
        |request: Request<Payload>| async move {
            assert!(request.headers().is_empty());
            Ok::<_, Error>(Response::new(request.body().wire_bytes()))
        },
    ));
    let outcome = service.oneshot(request).await.map(Response::into_body);
    (outcome, taken.load(Ordering::Relaxed))
}

fn pieces(body: &[u8], size: usize) -> impl Iterator<Item = Bytes> {
    body.chunks(size).map(Bytes::copy_from_slice)
}

fn status(outcome: Result<Bytes, Error>) -> u16 {
    outcome.map_or_else(|error| error.view().kind.status(), |_| 200)
}

#[tokio::test]
async fn however_it_is_cut_on_the_way() {
    // Long enough to be decoded in several steps.
    let plain =
        format!(r#"{{"model":"m","text":"{}"}}"#, (0..20_000).map(|n| n.to_string()).collect::<String>());
    for coding in CODINGS {
        let body = compress(coding, plain.as_bytes());
        for size in [1, 7, 1000, body.len()] {
            let (outcome, _) = collected(coding, plain.len(), pieces(&body, size)).await;
            assert_eq!(outcome.unwrap(), plain.as_bytes(), "{coding} in pieces of {size}");
        }
        // As long as it may be, and one byte less than it is.
        let (outcome, _) = collected(coding, plain.len() - 1, pieces(&body, 1000)).await;
        assert_eq!(status(outcome), 413, "{coding}");
    }
}

#[tokio::test]
async fn also_when_it_was_compressed_part_by_part() {
    let (head, tail) = (br#"{"model":"#, br#""m"}"#);
    for coding in ["gzip", "zstd"] {
        let body = [compress(coding, head), compress(coding, tail)].concat();
        for size in [1, body.len()] {
            let (outcome, _) = collected(coding, 100, pieces(&body, size)).await;
            assert_eq!(outcome.unwrap(), &br#"{"model":"m"}"#[..], "{coding} in pieces of {size}");
        }
    }
}

#[tokio::test]
async fn a_body_that_would_fill_the_memory_is_refused_before_it_does() {
    const LIMIT: usize = 1 << 20;
    let zeros = vec![0; 1 << 20];
    for coding in CODINGS {
        // Every piece makes more of itself.
        let bomb = Bytes::from(compress(coding, &zeros));
        let (outcome, taken) = collected(coding, LIMIT, std::iter::repeat_n(bomb, 4)).await;
        assert_eq!((status(outcome), taken), (413, 2), "{coding}");
        let (outcome, _) = collected(coding, LIMIT - 1, pieces(&compress(coding, &zeros), 4096)).await;
        assert_eq!(status(outcome), 413, "{coding}");
    }
    // Nor do pieces that make nothing.
    for coding in ["gzip", "zstd"] {
        let nothing = Bytes::from(compress(coding, b""));
        let most = LIMIT / nothing.len() + 1;
        let (outcome, taken) = collected(coding, LIMIT, std::iter::repeat_n(nothing, 2 * most)).await;
        assert_eq!((status(outcome), taken), (413, most), "{coding}");
    }
}

#[tokio::test]
async fn a_small_body_cannot_ask_for_a_large_window() {
    let plain = br#"{"model":"m"}"#;
    let (outcome, _) = collected("zstd", 100, pieces(&zstd_with_window(23, plain), 8)).await;
    assert_eq!(outcome.unwrap(), &plain[..]);
    let (outcome, _) = collected("zstd", 100, pieces(&zstd_with_window(24, plain), 8)).await;
    assert_eq!(status(outcome), 400, "16 MiB are more than RFC 9659 allows");
}
