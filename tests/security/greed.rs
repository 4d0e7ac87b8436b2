//! Requests and answers that would fill the memory: each is refused at its limit, and the process stays small.
#![cfg(target_os = "linux")]

use std::fmt::Write as _;

use bytes::Bytes;
use http::Method;

use crate::support::client::{Client, get, post, request, with};
use crate::support::compress::compress;
use crate::support::program::{file, start};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs};

/// Most memory of the process over all of it. Each body may come to 64 MiB before it is refused; none is held twice, and
/// what the one before it left behind is used again.
const MOST_MIB: u64 = 192;

/// The most memory that a process ever had.
fn peak(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() >> 10
}

/// An answer that begins so and goes on with `piece` for longer than anybody reads.
fn endless(status: u16, content_type: &str, start: &str, piece: &str) -> Answer {
    let head = format!(
        "HTTP/1.1 {status} Endless\r\ncontent-type: {content_type}\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let piece = Bytes::from(format!("{:x}\r\n{piece}\r\n", piece.len()));
    (0..300).fold(Answer::raw(head).frame(start), |answer, _| answer.bytes(piece.clone()))
}

fn answer(model: &str, protocol: Protocol) -> Answer {
    let mib = "x".repeat(1 << 20);
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    match model {
        "endless-document" => endless(200, "application/json", "{\"a\":\"", &mib),
        "endless-error" => endless(500, "application/json", "{\"error\":{\"message\":\"", &mib),
        "endless-event" => endless(200, "text/event-stream", "data: ", &mib),
        "endless-name" => endless(200, "text/event-stream", "event: ", &mib),
        "endless-comments" => endless(200, "text/event-stream", ": hello\n\n", &format!(": {mib}\n\n")),
        "deep-document" => Answer::json(format!("{{\"id\":{deep}}}")),
        "deep-answer" => {
            let document = native::document(protocol).to_string();
            Answer::json(format!("{{\"novelty\":{deep},{}", &document[1..]))
        }
        "deep-event" => Answer::events([format!("data: {deep}\n\n")]),
        "bomb" => {
            let packed = compress("gzip", &vec![b' '; 64 << 20]);
            let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
            Answer::with_headers(200, &headers, packed)
        }
        _ => Answer::json(native::document(protocol)),
    }
}

const MODELS: [&str; 9] = [
    "endless-document",
    "endless-error",
    "endless-event",
    "endless-name",
    "endless-comments",
    "deep-document",
    "deep-answer",
    "deep-event",
    "bomb",
];

/// The model by which upstreams of this protocol, and they alone, are asked to misbehave.
fn at(protocol: Protocol, model: &str) -> String {
    format!("at-{protocol}-{model}")
}

#[tokio::test]
async fn memory_is_bounded_whatever_clients_and_upstreams_send() {
    let mut text = "listen: 127.0.0.1:0\nupstreams:\n".to_owned();
    let mut providers = Vec::new();
    for protocol in Protocol::ALL {
        let provider = Upstream::start(move |_, received| {
            let asked = received.everything();
            let model = MODELS.into_iter().find(|model| asked.contains(&at(protocol, model)));
            answer(model.unwrap_or("fine"), protocol)
        })
        .await;
        let url = provider.url();
        writeln!(text, "  - {{ name: {protocol}, api_type: {protocol}, base_url: '{url}', token: k, available_models: ['at-{protocol}-*'], circuit_breaker: {{ enabled: false }} }}").unwrap();
        providers.push(provider);
    }
    let (running, address, log) = start(&["--config", file("greed.yaml", &text).to_str().unwrap()]);
    std::thread::spawn(move || std::io::BufRead::lines(log).for_each(drop));
    let client = Client::new(address);
    let check = |what: &str| {
        let peak = peak(running.0.id());
        assert!(peak < MOST_MIB, "{peak} MiB after {what}");
    };

    // The others are decoded by the same loop, and packed too slowly.
    let long = vec![b' '; 200 << 20];
    for coding in ["gzip", "zstd"] {
        let bomb = compress(coding, &long);
        for protocol in Protocol::ALL {
            let asked = request(Method::POST, &Talk::new("m", "Hi").path(protocol), bomb.clone());
            // Refused before all of it is read: who is still sending may see the end before the answer.
            if let Some(reply) = client.try_send(with(asked, "content-encoding", coding)).await {
                assert_eq!(reply.status, 413, "{protocol}, {coding}: {}", reply.text());
            }
        }
        check(coding);
    }
    let deep = format!("{}{}", "[".repeat(200_000), "]".repeat(200_000));
    for (protocol, other) in pairs() {
        for member in ["messages", "contents", "input", "tools", "system", "metadata", "novelty"] {
            let talk = Talk::new(&at(other, "fine"), "Hi").max_tokens(9);
            let mut body = talk.body(protocol);
            body[member] = "PLACE".into();
            let body = body.to_string().replacen("\"PLACE\"", &deep, 1);
            let reply = client.send(post(&talk.path(protocol), body)).await;
            assert!(matches!(reply.status, 200 | 400), "{protocol} → {other}, {member}: {}", reply.text());
        }
    }
    check("deep requests");
    for (number, protocol) in Protocol::ALL.into_iter().enumerate() {
        // A relay and a translation of each.
        for client_protocol in [protocol, Protocol::ALL[(number + 1) % 4]] {
            for model in MODELS {
                let talk =
                    Talk::new(&at(protocol, model), "Hi").max_tokens(9).stream(model.contains("event"));
                let reply = client.send(talk.request(client_protocol)).await;
                let told = String::from_utf8_lossy(&reply.body[..reply.body.len().min(300)]);
                let what = format!("{client_protocol} → {protocol}, {model}");
                assert!(reply.status >= 400 || model == "deep-answer", "{what}: {} {told}", reply.status);
                check(&what);
            }
        }
    }
    assert_eq!(client.send(get("/readyz")).await.status, 200);
    assert!(providers.iter().all(|provider| provider.count() > 20));
}
