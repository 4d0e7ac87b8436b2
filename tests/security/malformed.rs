//! Requests that break HTTP's grammar, or say two things at once: none of them reaches an upstream, and none keeps others
//! from being served.

use std::net::SocketAddr;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::TestRunner;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Runtime;

use super::{KEY, loopback};
use crate::support::client::{Client, with};
use crate::support::gateway::upstream;
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, soon};

/// A request, as bytes, that would be served as it is.
#[derive(Clone, Debug)]
struct Raw {
    method: Vec<u8>,
    target: Vec<u8>,
    version: Vec<u8>,
    headers: Vec<Vec<u8>>,
    body: Vec<u8>,
}

impl Raw {
    fn new(protocol: Protocol) -> Raw {
        let talk = Talk::new("m", "Hi").max_tokens(9);
        let body = talk.body(protocol).to_string().into_bytes();
        let headers = [
            "Host: localhost".to_owned(),
            "Content-Type: application/json".to_owned(),
            format!("x-api-key: {KEY}"),
            // So that every answer is the last one.
            "Connection: close".to_owned(),
            format!("Content-Length: {}", body.len()),
        ];
        Raw {
            method: b"POST".to_vec(),
            target: talk.path(protocol).into_bytes(),
            version: b"HTTP/1.1".to_vec(),
            headers: headers.map(String::into_bytes).into(),
            body,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let line = [&self.method[..], &self.target, &self.version].join(&b' ');
        let mut bytes = [&line[..], b"\r\n"].concat();
        for header in &self.headers {
            bytes.extend_from_slice(header);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"\r\n");
        bytes.extend_from_slice(&self.body);
        bytes
    }

    /// Without the header that begins so.
    fn without(mut self, name: &str) -> Raw {
        self.headers.retain(|header| !header.starts_with(name.as_bytes()));
        self
    }

    fn with(mut self, header: &[u8]) -> Raw {
        self.headers.push(header.to_vec());
        self
    }

    /// In chunks; the header that says so is left to say.
    fn chunked(mut self) -> Raw {
        let size = format!("{:x}\r\n", self.body.len()).into_bytes();
        self.body = [&size[..], &self.body, b"\r\n0\r\n\r\n"].concat();
        self.without("Content-Length")
    }
}

/// Breaks a request.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    Method(&'static str),
    /// In the place of the path.
    Target(&'static str),
    /// Before the path, and after it.
    Around(&'static str, &'static str),
    Version(&'static str),
    /// Beside the others.
    Header(&'static [u8]),
    /// In the place of the one of this name.
    Instead(&'static str, &'static [u8]),
    /// In the place of the length, with a body in chunks.
    Coding(&'static [&'static [u8]]),
    /// A body in chunks, with this in the place of the chunks.
    Chunks(&'static [u8]),
    Body(&'static [u8]),
    Headers(usize),
    LongHeader(usize),
}

const FLAWS: &[Flaw] = &[
    Flaw::Method("GET"),
    Flaw::Method("PUT"),
    Flaw::Method("DELETE"),
    Flaw::Method("OPTIONS"),
    Flaw::Method("TRACE"),
    Flaw::Method("post"),
    Flaw::Method("POST\t"),
    Flaw::Method(" POST"),
    Flaw::Method("P(ST"),
    Flaw::Method(""),
    Flaw::Target("*"),
    Flaw::Target(""),
    Flaw::Target("/"),
    Flaw::Target("localhost:80"),
    Flaw::Target("/v1/nothing"),
    Flaw::Around("/x/..", ""),
    Flaw::Around("/.", ""),
    Flaw::Around("/", ""),
    Flaw::Around("//evil.example", ""),
    Flaw::Around("http://evil.example", ""),
    Flaw::Around("http://localhost@evil.example", ""),
    Flaw::Around("file://", ""),
    Flaw::Around("\\", ""),
    Flaw::Around("\x01", ""),
    Flaw::Around("", "/"),
    Flaw::Around("", "/.."),
    Flaw::Around("", " x"),
    Flaw::Around("", "\x7f"),
    Flaw::Around("", "%00"),
    Flaw::Around("", ";a=b"),
    Flaw::Version("HTTP/2.0"),
    Flaw::Version("HTTP/1.2"),
    Flaw::Version("HTTP/0.9"),
    Flaw::Version("http/1.1"),
    Flaw::Version("HTTP/1.1 "),
    Flaw::Version("HTTP/1.1\r"),
    Flaw::Version("ICAP/1.0"),
    Flaw::Version(""),
    Flaw::Header(b"Host: localhost"),
    Flaw::Header(b"Host: evil.example"),
    Flaw::Header(b"no colon"),
    Flaw::Header(b": no name"),
    Flaw::Header(b" x-folded: yes"),
    Flaw::Header(b"\tx-folded: yes"),
    Flaw::Header(b"x-a: 1\r\n folded"),
    Flaw::Header(b"x-a : 1"),
    Flaw::Header(b"x a: 1"),
    Flaw::Header(b"x-\xc3\xa9: 1"),
    Flaw::Header(b"x-a: 1\r2"),
    Flaw::Header(b"x-a: 1\rx-b: 2"),
    Flaw::Header(b"x-a: \x00"),
    Flaw::Header(b"x-a: \x7f"),
    Flaw::Header(b"x-a: \x1b[2J"),
    Flaw::Header(b"\r"),
    Flaw::Header(b"Content-Length: 1"),
    Flaw::Header(b"Content-Length: 99999"),
    Flaw::Header(b"Content-Encoding: snappy"),
    Flaw::Header(b"Content-Encoding: gzip"),
    Flaw::Instead("Host", b"x-no: host"),
    Flaw::Instead("Host", b"Host: "),
    Flaw::Instead("Host", b"Host: evil.example"),
    Flaw::Instead("Host", b"Host: localhost/v1"),
    Flaw::Instead("Host", b"Host: a b"),
    Flaw::Instead("Host", b"Host: evil.example@localhost"),
    Flaw::Instead("x-api-key", b"x-no: key"),
    Flaw::Instead("x-api-key", b"x-api-key: "),
    Flaw::Instead("x-api-key", b"x-api-key: guess"),
    Flaw::Instead("x-api-key", b"X-API-KEY: client-key-of-this-tes"),
    Flaw::Instead("x-api-key", b"x-api-key: client-key-of-this-test2"),
    Flaw::Instead("Content-Length", b"Content-Length: -1"),
    Flaw::Instead("Content-Length", b"Content-Length: +9"),
    Flaw::Instead("Content-Length", b"Content-Length: 0x10"),
    Flaw::Instead("Content-Length", b"Content-Length: 9 9"),
    Flaw::Instead("Content-Length", b"Content-Length: 9,10"),
    Flaw::Instead("Content-Length", b"Content-Length: 9;q=1"),
    Flaw::Instead("Content-Length", b"Content-Length: "),
    Flaw::Instead("Content-Length", b"Content-Length: 18446744073709551616"),
    Flaw::Instead("Content-Length", b"Content-Length: 99999999999"),
    Flaw::Instead("Content-Length", b"Content-Length: 0"),
    Flaw::Instead("Content-Length", b"Content-Length: 7"),
    Flaw::Instead("Content-Length", b"x-no: length"),
    Flaw::Coding(&[b"Transfer-Encoding: xchunked"]),
    Flaw::Coding(&[b"Transfer-Encoding: chunkedx"]),
    Flaw::Coding(&[b"Transfer-Encoding: \"chunked\""]),
    Flaw::Coding(&[b"Transfer-Encoding: identity"]),
    Flaw::Coding(&[b"Transfer-Encoding: gzip, chunked"]),
    Flaw::Coding(&[b"Transfer-Encoding: chunked, chunked"]),
    Flaw::Coding(&[b"Transfer-Encoding: chunked, identity"]),
    Flaw::Coding(&[b"Transfer-Encoding: identity, chunked"]),
    Flaw::Coding(&[b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked"]),
    Flaw::Coding(&[b"Transfer-Encoding: identity", b"Transfer-Encoding: chunked"]),
    Flaw::Coding(&[b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"]),
    Flaw::Coding(&[b"Transfer-Encoding: "]),
    Flaw::Coding(&[b"Transfer-Encoding : chunked"]),
    Flaw::Coding(&[b"Transfer-Encoding:\x0bchunked"]),
    Flaw::Coding(&[b"Transfer-Encoding: chun\rked"]),
    Flaw::Coding(&[b"Transfer-Encoding: \r\n chunked"]),
    Flaw::Coding(&[b"x: y\rTransfer-Encoding: chunked"]),
    Flaw::Chunks(b"zz\r\n{}\r\n0\r\n\r\n"),
    Flaw::Chunks(b"-2\r\n{}\r\n0\r\n\r\n"),
    Flaw::Chunks(b"0x2\r\n{}\r\n0\r\n\r\n"),
    Flaw::Chunks(b"2 2\r\n{}\r\n0\r\n\r\n"),
    Flaw::Chunks(b"10000000000000002\r\n{}\r\n0\r\n\r\n"),
    Flaw::Chunks(b"2\r\n{}0\r\n\r\n"),
    Flaw::Chunks(b"2\r{}\r\n0\r\n\r\n"),
    Flaw::Chunks(b"\r\n{}\r\n0\r\n\r\n"),
    Flaw::Chunks(b"0\r\n\r\n"),
    Flaw::Body(b""),
    Flaw::Body(b"{"),
    Flaw::Body(b"[]"),
    Flaw::Body(b"\x00\x01\x02"),
    Flaw::Body(b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--\r\n"),
    Flaw::Headers(200),
    Flaw::LongHeader(1 << 20),
];

fn flawed(protocol: Protocol, flaw: Flaw) -> Raw {
    let mut raw = Raw::new(protocol);
    match flaw {
        Flaw::Method(method) => raw.method = method.into(),
        Flaw::Target(target) => raw.target = target.into(),
        Flaw::Around(before, after) => {
            raw.target = [before.as_bytes(), &raw.target, after.as_bytes()].concat()
        }
        Flaw::Version(version) => raw.version = version.into(),
        Flaw::Header(header) => raw = raw.with(header),
        Flaw::Instead(name, header) => raw = raw.without(name).with(header),
        Flaw::Coding(headers) => raw = headers.iter().fold(raw.chunked(), |raw, header| raw.with(header)),
        Flaw::Chunks(chunks) => {
            raw = raw.chunked().with(b"Transfer-Encoding: chunked");
            raw.body = chunks.to_vec();
        }
        Flaw::Body(body) => {
            raw.body = body.to_vec();
            raw = raw.without("Content-Length").with(format!("Content-Length: {}", body.len()).as_bytes());
        }
        Flaw::Headers(count) => {
            raw = (0..count).fold(raw, |raw, n| raw.with(format!("x-{n}: {n}").as_bytes()))
        }
        Flaw::LongHeader(bytes) => raw = raw.with(&[b"x-long: ", &vec![b'a'; bytes][..]].concat()),
    }
    raw
}

/// What makes no difference to what a request means.
fn disguised(mut raw: Raw, choice: u8, turn: usize) -> Raw {
    if choice & 1 != 0 {
        let at = turn % raw.headers.len().max(1);
        // A folded line belongs to the one before it.
        if raw.headers.iter().all(|header| !header.starts_with(b" ") && !header.starts_with(b"\t")) {
            raw.headers.rotate_left(at);
        }
    }
    if choice & 2 != 0 {
        raw.headers.insert(0, b"x-more: \xe2\x98\x83".to_vec());
    }
    if choice & 4 != 0 {
        for header in &mut raw.headers {
            if let Some(colon) = header.iter().position(|byte| *byte == b':') {
                header[..colon].make_ascii_uppercase();
            }
        }
    }
    raw
}

/// Sends the bytes and nothing more; all that comes until the other side has closed.
async fn send(addr: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    // It may be refused, and the connection closed, before all of it was read.
    let _ = stream.write_all(bytes).await;
    let _ = stream.shutdown().await;
    let mut answer = Vec::new();
    let _ = soon(&format!("an end of {:?}", String::from_utf8_lossy(bytes)), stream.read_to_end(&mut answer))
        .await;
    answer
}

/// An upstream of this protocol, and a gateway before it that asks for a key.
async fn guarded(protocol: Protocol) -> (Upstream, crate::support::gateway::Served) {
    let provider = Upstream::always(Answer::json(native::document(protocol))).await;
    let served = loopback([upstream("only", protocol, &provider.url())], &[KEY]).await;
    (provider, served)
}

#[test]
fn no_malformed_request_reaches_an_upstream() {
    let runtime = Runtime::new().unwrap();
    for protocol in Protocol::ALL {
        let (provider, served) = runtime.block_on(guarded(protocol));
        let whole = runtime.block_on(send_whole(served.addr, &Raw::new(protocol)));
        assert!(whole.starts_with("HTTP/1.1 200 "), "{protocol}: {whole}");
        assert_eq!(provider.count(), 1, "{protocol}: it is served without a flaw");
        let send = |raw: &Raw| {
            let answer = runtime.block_on(send(served.addr, &raw.bytes()));
            let answer = String::from_utf8_lossy(&answer);
            let status =
                answer.strip_prefix("HTTP/1.1 ").or(answer.strip_prefix("HTTP/1.0 ")).map(|rest| &rest[..1]);
            (provider.count() == 1 && matches!(status, None | Some("4" | "5")), answer.into_owned())
        };
        for flaw in FLAWS {
            let (is_refused, answer) = send(&flawed(protocol, *flaw));
            assert!(is_refused, "{protocol}: {flaw:?} was served: {answer}");
        }
        let mut runner = TestRunner::new(ProptestConfig {
            cases: 2500,
            failure_persistence: None,
            ..ProptestConfig::default()
        });
        let outcome = runner.run(&(select(FLAWS), any::<u8>(), 0..8_usize), |(flaw, choice, turn)| {
            let raw = disguised(flawed(protocol, flaw), choice, turn);
            let (is_refused, answer) = send(&raw);
            prop_assert!(is_refused, "{} was served: {answer}", String::from_utf8_lossy(&raw.bytes()));
            Ok(())
        });
        outcome.unwrap_or_else(|failure| panic!("{protocol}: {failure}"));
        // Others are served as before.
        let request = with(Talk::new("m", "Hi").request(protocol), "x-api-key", KEY);
        let reply = runtime.block_on(Client::new(served.addr).send(request));
        assert_eq!((reply.status, provider.count()), (200, 2), "{protocol}");
    }
}

/// As [`send`], with an end of ours only after the answer: what may be served is not broken off.
async fn send_whole(addr: SocketAddr, raw: &Raw) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(&raw.bytes()).await.unwrap();
    let mut answer = Vec::new();
    soon("an answer and its end", stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn two_lengths_of_one_request_smuggle_nothing_in() {
    for protocol in Protocol::ALL {
        let (provider, served) = guarded(protocol).await;
        let hidden = Raw::new(protocol).without("Connection").bytes();
        for (what, headers, body) in [
            // Whoever goes by the length sees one request; whoever goes by the chunks, two.
            (
                "length, chunks",
                &["Content-Length", "Transfer-Encoding"][..],
                [b"0\r\n\r\n", &hidden[..]].concat(),
            ),
            (
                "chunks, length",
                &["Transfer-Encoding", "Content-Length"],
                [b"0\r\n\r\n", &hidden[..]].concat(),
            ),
            ("two lengths", &["Content-Length", "x", "Content-Length"], [b"{}", &hidden[..]].concat()),
        ] {
            let mut raw = Raw::new(protocol).without("Content-Length").without("Connection");
            for (at, name) in headers.iter().enumerate() {
                raw = match *name {
                    "Content-Length" if at == 2 => raw.with(b"Content-Length: 2"),
                    "Content-Length" => raw.with(format!("Content-Length: {}", body.len()).as_bytes()),
                    "Transfer-Encoding" => raw.with(b"Transfer-Encoding: chunked"),
                    name => raw.with(format!("{name}: y").as_bytes()),
                };
            }
            raw.body = body;
            let answer = send_whole(served.addr, &raw).await;
            assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{protocol}, {what}: {answer}");
            assert!(answer.starts_with("HTTP/1.1 400 "), "{protocol}, {what}: {answer}");
            assert_eq!(provider.count(), 0, "{protocol}, {what}: {answer}");
        }
        // What is read by its chunks alone is the last that is read on its connection.
        let mut raw = Raw::new(protocol).chunked().without("Connection");
        raw = raw.with(b"Content-Length: 3").with(b"Transfer-Encoding: chunked");
        raw.body.extend_from_slice(&hidden);
        let answer = send_whole(served.addr, &raw).await;
        assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{protocol}: {answer}");
        assert!(provider.count() <= 1, "{protocol}: {answer}");
    }
}

#[tokio::test]
async fn a_line_that_ends_in_a_bare_line_feed_is_a_line_for_everybody() {
    // RFC 9112 (2.2) lets servers take it for a line's end. Then it is one in every line, framing included.
    let (provider, served) = guarded(Protocol::OpenAi).await;
    let hidden = Raw::new(Protocol::OpenAi).bytes();
    let mut raw = Raw::new(Protocol::OpenAi).without("Content-Length").without("Connection");
    raw = raw
        .with(b"x-a: b\nTransfer-Encoding: chunked")
        .with(format!("Content-Length: {}", hidden.len() + 5).as_bytes());
    raw.body = [b"0\r\n\r\n", &hidden[..]].concat();
    let answer = send_whole(served.addr, &raw).await;
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    assert_eq!(provider.count(), 0, "{answer}");
}
