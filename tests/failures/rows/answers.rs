//! Faults of the connection, of the head, and of whole answers.

use std::sync::Arc;

use super::{Play, Row};
use crate::provider::{Scene, document};
use crate::rule::Effect::{Fails, Nothing, Refuses};
use crate::rule::{ANY_5XX, Mode, Stage};
use crate::support::compress::compress;
use crate::support::native;
use crate::support::upstream::Answer;

/// No head comes, or none that is one.
pub fn before() -> Vec<Row> {
    let played = |fault, play: fn(&Scene) -> Play| Row {
        play: Arc::new(play),
        ..Row::new(fault, Stage::Connect, Fails(502), |_| Answer::none())
    };
    let raw = |fault, head: &'static str| {
        Row::new(fault, Stage::Head, Fails(502), move |_| Answer::raw(head).cut())
    };
    let flood: String = (0..2000).map(|n| format!("x-flood-{n}: {}\r\n", "x".repeat(100))).collect();
    vec![
        // Longer than a label of a name may be: no server of names needs to be asked.
        played("name that nobody has", |_| Play::At(format!("http://{}.invalid", "x".repeat(64)))),
        played("connection refused", |_| Play::Refuses),
        played("connection closed at once", |_| Play::HangsUp { resets: false }),
        played("connection reset at once", |_| Play::HangsUp { resets: true }),
        played("certificate that nobody vouches for", |scene| Play::At(scene.others.stranger.clone())),
        played("TLS with a server that has none", |scene| {
            Play::At(scene.others.elsewhere.replacen("http", "https", 1))
        })
        .costly()
        .timeouts("connect: 500ms"),
        Row::new("connection closed after the request", Stage::Head, Fails(502), |_| Answer::none()),
        Row::new("connection reset after the request", Stage::Head, Fails(502), |_| {
            Answer::default().reset()
        }),
        raw("head cut in half", "HTTP/1.1 200 OK\r\ncontent-ty"),
        raw("no HTTP", "SSH-2.0-OpenSSH_9.6\r\n"),
        raw(
            "two lengths that differ",
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        ),
        Row::new("2,000 header fields", Stage::Head, Fails(502), move |scene| {
            scene.under(&format!("HTTP/1.1 200 OK\ncontent-type: TYPE\n{}", flood.trim_end())).cut()
        }),
        Row::new("silence", Stage::Head, Fails(504), |_| Answer::default().stall()).timeouts("head: 500ms"),
    ]
}

/// A status that is no success, or a success without an answer.
pub fn none() -> Vec<Row> {
    let error = |status: u16, fault: &str, headers: &'static [(&'static str, &'static str)], effect| {
        let row = Row::new(format!("{status}{fault}"), Stage::Head, effect, move |scene| {
            let headers = [&[("content-type", "application/json")][..], headers].concat();
            let body = native::error(scene.protocol, status, "not this time");
            Answer::with_headers(status, &headers, body.to_string())
        });
        // Of the gateway's own key no client hears.
        Row { own_status: Some(status).filter(|status| ![401, 403].contains(status)), ..row }
    };
    let body = |status: u16, fault: &str, content_type: &'static str, body: &'static str, effect| {
        Row::new(format!("{status} {fault}"), Stage::Head, effect, move |_| {
            Answer::whole(status, content_type, body)
        })
    };
    let encoded = |coding: &'static str| {
        Row::new(format!("200, {coding} unasked"), Stage::Head, Fails(502), move |scene| {
            let headers = [("content-type", scene.content_type()), ("content-encoding", coding)];
            Answer::with_headers(200, &headers, compress(coding, scene.body().as_bytes()))
        })
    };
    const PAGE: &str = "<html><body>Bad gateway at 10.0.0.7</body></html>";
    let mut rows: Vec<Row> = [400, 404, 413].map(|status| error(status, "", &[], Refuses(status))).to_vec();
    rows.extend([
        error(401, "", &[], Fails(502)),
        error(403, "", &[], Fails(502)),
        error(408, "", &[], Fails(504)),
        error(429, "", &[], Fails(429)),
        error(429, " with Retry-After", &[("retry-after", "60")], Fails(429)),
        error(500, "", &[], Fails(500)),
        error(502, "", &[], Fails(502)),
        error(503, "", &[], Fails(503)),
        error(529, "", &[], Fails(503)),
        body(502, "with a web page", "text/html", PAGE, Fails(502)),
        body(500, "without a body", "text/plain", "", Fails(500)),
        body(503, "with broken JSON", "application/json", r#"{"error":{"message":"#, Fails(503)),
        Row::new("429, body cut", Stage::Head, Fails(429), |_| {
            let head = "HTTP/1.1 429 Slow\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n";
            Answer::raw(head).bytes(r#"{"error":{"mess"#).cut()
        }),
        Row::new("503, the rest of its body stays away", Stage::Head, Fails(503), |_| {
            let head = "HTTP/1.1 503 Busy\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n";
            Answer::raw(head).bytes(r#"{"error":{"mess"#).stall()
        }),
        Row::new("503, gzip unasked", Stage::Head, Fails(503), |scene| {
            let headers = [("content-type", "application/json"), ("content-encoding", "gzip")];
            let body = native::error(scene.protocol, 503, "busy").to_string();
            Answer::with_headers(503, &headers, compress("gzip", body.as_bytes()))
        }),
        Row::new("503 with half a stream", Stage::Head, Fails(503), |scene| {
            let head =
                "HTTP/1.1 503 Busy\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let half = crate::provider::events(scene.protocol);
            Answer::raw(head).frames(&half[..crate::provider::begun(scene.protocol)]).cut()
        }),
        Row::new("redirect to another host", Stage::Head, Fails(502), |scene| {
            Answer::with_headers(307, &[("location", &format!("{}/v1/messages", scene.others.elsewhere))], "")
        }),
        Row::new("204", Stage::Head, Fails(502), |_| Answer::raw("HTTP/1.1 204 Nothing\r\n\r\n")),
        Row::new("error in a 200", Stage::Head, Fails(ANY_5XX), |scene| {
            Answer::json(native::error(scene.protocol, 503, "busy"))
        }),
        body(200, "with a web page", "text/html", PAGE, Fails(502)),
        body(200, "without a body", "application/json", "", Fails(502)),
        body(200, "with `{}`", "application/json", "{}", Fails(502)),
        body(200, "with JSON 100,000 deep", "application/json", DEEP.as_str(), Fails(502)),
        Row::new("200 with half its JSON", Stage::Head, Fails(502), |scene| {
            let document = document(scene.protocol);
            Answer::json(&document[..document.len() / 2])
        }),
        Row::new("200, gzip that grows a thousandfold", Stage::Head, Fails(502), |scene| {
            let headers = [("content-type", scene.content_type()), ("content-encoding", "gzip")];
            Answer::with_headers(200, &headers, BOMB.clone())
        }),
    ]);
    rows.extend(["gzip", "br", "zstd"].map(encoded));
    rows
}

static DEEP: std::sync::LazyLock<String> = std::sync::LazyLock::new(|| {
    format!("{}{}{}", r#"{"content":"#.repeat(100_000), "1", "}".repeat(100_000))
});

static BOMB: std::sync::LazyLock<Vec<u8>> =
    std::sync::LazyLock::new(|| compress("gzip", &vec![b' '; 16 << 20]));

/// Documents: nothing of them goes to a client before all is there.
pub fn documents() -> Vec<Row> {
    let document_row = |fault: &str, effect, play: fn(&str) -> Answer| {
        Row::new(fault, Stage::InTheDocument, effect, move |scene| play(&document(scene.protocol)))
            .in_modes(&[Mode::Document])
    };
    fn sized(length: usize) -> Answer {
        Answer::raw(format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n"
        ))
    }
    fn half(document: &str) -> Vec<u8> {
        document.as_bytes()[..document.len() / 2].to_vec()
    }
    vec![
        document_row("connection closed", Fails(502), |all| sized(all.len()).bytes(half(all)).cut()),
        document_row("connection reset", Fails(502), |all| sized(all.len()).bytes(half(all)).reset()),
        document_row("silence", Fails(504), |all| sized(all.len()).bytes(half(all)).stall())
            .timeouts("idle: 500ms"),
        document_row("length too short", Fails(502), |all| sized(all.len() - 9).bytes(all.to_owned()).cut()),
        document_row("length too long", Fails(502), |all| sized(all.len() + 9).bytes(all.to_owned()).cut()),
        document_row("chunked, without its last chunk", Fails(502), |all| {
            Answer::raw(
                "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n",
            )
            .frame(half(all))
            .cut()
        }),
        document_row("HTTP/1.0, cut", Fails(502), |all| {
            Answer::raw("HTTP/1.0 200 OK\r\ncontent-type: application/json\r\n\r\n").bytes(half(all)).cut()
        }),
        document_row("not UTF-8", Fails(502), |all| {
            let (before, after) = all.split_at(all.find("Hello,").expect("the text"));
            let spoilt = [before.as_bytes(), b"\xff", after.as_bytes()].concat();
            sized(spoilt.len()).bytes(spoilt)
        }),
        document_row("bytes beyond it", Nothing, |all| {
            sized(all.len()).bytes(format!("{all}HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{{}}"))
        }),
    ]
}
