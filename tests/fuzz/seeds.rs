//! Where inputs come from: what clients and providers write, as the other tests hold it, and recorded exchanges where
//! there is a folder of them.

use std::fs;
use std::path::Path;

use aiproxy::protocol::Protocol;

use crate::fields;
use crate::support::compress::{CODINGS, compress};
use crate::support::native;
use crate::support::recorded::{self, Recording, folders};
use crate::support::talk::Talk;

/// What a text is, which decides how it is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sort {
    Json,
    Stream,
    Yaml,
    /// Lines of headers, a blank line, a body.
    Headers,
    /// The number of a coding, and bytes in that coding.
    Packed,
}

/// Longer ones would be changed too seldom in any one place.
const MOST_BYTES: usize = 6 << 10;

/// Texts to begin with, by protocol where they have one.
#[derive(Debug, Default)]
pub struct Seeds {
    pub requests: [Vec<Vec<u8>>; 4],
    pub documents: [Vec<Vec<u8>>; 4],
    pub streams: [Vec<Vec<u8>>; 4],
    pub errors: [Vec<Vec<u8>>; 4],
    pub headers: [Vec<Vec<u8>>; 4],
    pub json: Vec<Vec<u8>>,
    pub events: Vec<Vec<u8>>,
    pub yaml: Vec<Vec<u8>>,
    pub packed: Vec<Vec<u8>>,
    pub heads: Vec<Vec<u8>>,
}

impl Seeds {
    pub fn read() -> Seeds {
        let mut seeds = Seeds::default();
        for protocol in Protocol::ALL {
            seeds.native(protocol);
        }
        seeds.cases();
        for exchange in recorded::all() {
            let at = exchange.protocol as usize;
            if let Some((_, body)) = exchange.request {
                seeds.requests[at].push(body.into_bytes());
            }
            match exchange.answer {
                Recording::Stream(stream) => seeds.streams[at].push(stream.into_bytes()),
                Recording::Document(body) if exchange.status < 300 => {
                    seeds.documents[at].push(body.into_bytes())
                }
                Recording::Document(body) => seeds.errors[at].push(body.into_bytes()),
            }
        }
        for texts in [&mut seeds.requests, &mut seeds.documents, &mut seeds.streams, &mut seeds.errors] {
            texts.iter_mut().for_each(|texts| texts.retain(|text| text.len() <= MOST_BYTES));
        }
        for protocol in Protocol::ALL {
            let at = protocol as usize;
            seeds.headers[at] = headers(&seeds.errors[at]);
            seeds.json.extend([&seeds.requests[at][..], &seeds.documents[at], &seeds.errors[at]].concat());
            seeds.events.extend_from_slice(&seeds.streams[at]);
        }
        seeds.yaml = folders(Path::new("config")).iter().map(|path| fs::read(path).unwrap()).collect();
        let texts: [&[u8]; 3] = [br#"{"model":"m","messages":[]}"#, &[b' '; 4 << 20], &seeds.requests[0][0]];
        for (number, coding) in CODINGS.iter().enumerate() {
            seeds.packed.extend(texts.map(|text| [vec![number as u8], compress(coding, text)].concat()));
        }
        seeds.heads = HEADS.map(|head| head.as_bytes().to_vec()).into();
        seeds
    }

    /// Those that other tests are about.
    fn native(&mut self, protocol: Protocol) {
        let at = protocol as usize;
        let requests =
            fields::of(protocol).into_iter().map(|(_, members)| fields::requests(protocol, &members).1);
        self.requests[at].extend(requests.map(|body| body.to_string().into_bytes()));
        let talk = Talk::new("m", "Hi").system("Be brief.").tools().picture().stream(true).max_tokens(99);
        self.requests[at].push(talk.body(protocol).to_string().into_bytes());
        self.documents[at].push(native::document(protocol).to_string().into_bytes());
        let frames = native::stream(protocol);
        self.streams[at].push(frames.concat().into_bytes());
        self.streams[at].push((frames[..2].concat() + &native::error_event(protocol, 2, "No.")).into_bytes());
        for status in [400, 401, 404, 413, 429, 500, 503, 529] {
            self.errors[at].push(native::error(protocol, status, "No.").to_string().into_bytes());
        }
    }

    /// The project's own cases.
    fn cases(&mut self) {
        let protocol =
            |name: &str| Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == name).unwrap();
        for pair in folders(Path::new("tests/corpus")).into_iter().filter(|path| path.is_dir()) {
            let name = pair.file_name().unwrap().to_str().unwrap();
            let (client, upstream) = name.split_once("-to-").unwrap();
            let (client, upstream) = (protocol(client) as usize, protocol(upstream) as usize);
            for case in folders(&pair) {
                let read = |file: &str| fs::read(case.join(file)).ok();
                self.requests[client].extend(read("request.json"));
                self.requests[upstream].extend(read("expected-upstream-request.json"));
                self.documents[upstream].extend(read("upstream.json"));
                self.documents[client].extend(read("expected.json"));
                self.streams[upstream].extend(read("upstream.sse"));
                self.streams[client].extend(read("expected.sse"));
            }
        }
    }
}

/// Targets and headers of requests, of whom some are let in.
const HEADS: [&str; 8] = [
    "/v1/messages\nhost: localhost:8080\nx-api-key: client-key\nanthropic-version: 2023-06-01\n",
    "/v1/chat/completions?a=b\nhost: 127.0.0.1\nauthorization: Bearer client-key\norigin: http://localhost:3000\n",
    "/v1/responses\nhost: [::1]:8080\nauthorization: bearer  client-key\ntransfer-encoding: chunked\n",
    "/v1beta/models/m:streamGenerateContent?alt=sse&key=client-key&x\nhost: gateway.internal\n",
    "/v1beta/models/models%2F..%2Fa%3Ab:generateContent?key=guess\nhost: localhost\nx-goog-api-key: client-key\n",
    "http://localhost/v1/messages?key=client-key\nhost: localhost\napi-key: client-key\nx-api-key: guess\n",
    "/v1/messages\nhost: evil.example\norigin: https://evil.example\nx-api-key: client-key\n",
    "/nothing\nhost: localhost\norigin: null\nupgrade: websocket\nconnection: upgrade\nx-api-key: client-key\n",
];

/// Hints when to come back, of every sort, before error bodies.
fn headers(bodies: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let heads = [
        "retry-after: 7\n\n",
        "retry-after: 0.5\nretry-after-ms: 1500\n\n",
        "retry-after: Wed, 21 Oct 2026 07:28:00 GMT\nx-should-retry: true\n\n",
        "retry-after: 99999999999999999999\n\n",
        "anthropic-ratelimit-unified-reset: 1800000000\nanthropic-ratelimit-unified-status: rejected\n\n",
        "anthropic-ratelimit-requests-reset: 2026-11-21T16:00:00Z\nanthropic-ratelimit-requests-remaining: 0\n\n",
        "x-ratelimit-reset-requests: 6m0s\nx-ratelimit-reset-tokens: 17ms\nx-ratelimit-remaining-tokens: 0\n\n",
        "x-codex-primary-used-percent: 100\nx-codex-primary-reset-after-seconds: 3600\n\n",
    ];
    let retry = br#"{"error":{"code":429,"message":"No.","status":"RESOURCE_EXHAUSTED","details":[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.07s"}]}}"#;
    let codex = br#"{"error":{"type":"usage_limit_reached","message":"No.","plan_type":"plus","resets_in_seconds":5000,"resets_at":1800000000}}"#;
    let bodies = bodies.iter().map(Vec::as_slice).take(8).chain([&retry[..], codex]);
    bodies.flat_map(|body| heads.map(|head| [head.as_bytes(), body].concat())).collect()
}
