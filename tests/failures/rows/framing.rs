//! What looks odd and is whole: every answer must arrive as if nothing were.

use super::Row;
use crate::provider::{Scene, begun, document, events};
use crate::rule::Effect::Nothing;
use crate::rule::{Mode, Stage};
use crate::support::Protocol;
use crate::support::upstream::Answer;

pub fn odd() -> Vec<Row> {
    let whole = |fault: &str, play: fn(&Scene) -> Answer| Row::new(fault, Stage::Anywhere, Nothing, play);
    let stream = |fault: &str, play: fn(&Scene) -> Answer| whole(fault, play).in_modes(&Mode::OF_STREAMS);
    vec![
        whole("HTTP/1.0, ended by the connection", |scene| {
            scene.under("HTTP/1.0 200 OK\ncontent-type: TYPE").cut()
        }),
        whole("HTTP/1.1, ended by the connection", |scene| {
            scene.under("HTTP/1.1 200 OK\ncontent-type: TYPE\nconnection: close").cut()
        }),
        whole("a length, also of a stream", |scene| scene.whole(scene.body())),
        whole("chunks of one byte, and trailers", |scene| {
            let bytes = scene.body().into_bytes();
            let chunks: Vec<u8> =
                bytes.iter().flat_map(|byte| [b'1', b'\r', b'\n', *byte, b'\r', b'\n']).collect();
            Answer::raw(scene.head("transfer-encoding: chunked\ntrailer: x-checksum"))
                .bytes(chunks)
                .bytes("0\r\nx-checksum: 7\r\n\r\n")
        }),
        whole("each byte in a packet of its own", |scene| scene.whole(scene.body()).byte_by_byte()),
        whole("packets that end within characters", |scene| {
            packets(scene, |bytes, at| bytes[at] & 0b1100_0000 == 0b1000_0000)
        }),
        stream("packets that end within line ends", |scene| {
            let crlf = scene.body().replace("\r\n", "\n").replace('\n', "\r\n");
            let answer = Answer::raw(scene.head(&format!("content-length: {}", crlf.len())));
            split(answer, crlf.as_bytes(), |bytes, at| bytes[at] == b'\n')
        }),
        whole("100 and 103 before the head", |scene| {
            let early = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n";
            let length = format!("content-length: {}", scene.body().len());
            Answer::raw(early).bytes(scene.head(&length)).bytes(scene.body())
        }),
        whole("header fields twice", |scene| {
            let length = scene.body().len();
            let lines = format!(
                "content-type: TYPE\nx-request-id: a\nx-request-id: b\nset-cookie: a=b\nset-cookie: c=d\n\
                 content-length: {length}\ncontent-length: {length}"
            );
            Answer::raw(scene.head(&lines)).bytes(scene.body())
        }),
        whole("no content type", |scene| {
            scene.under(&format!("HTTP/1.1 200 OK\ncontent-length: {}", scene.body().len()))
        }),
        whole("content type text/plain", |scene| Answer::whole(200, "text/plain", scene.body())),
        stream("a stream called application/json", |scene| {
            Answer::whole(200, "application/json", scene.body())
        }),
        whole("a document where a stream was asked for", |scene| Answer::json(document(scene.protocol)))
            .in_modes(&Mode::OF_STREAMS),
        whole("a stream where a document was asked for", |scene| Answer::events(events(scene.protocol)))
            .in_modes(&[Mode::Document]),
        stream("lines ended by LF", |scene| scene.whole(lines(scene, "\n"))),
        stream("lines ended by CR LF", |scene| scene.whole(lines(scene, "\r\n"))),
        stream("lines ended by CR", |scene| scene.whole(lines(scene, "\r"))),
        stream("byte order mark", |scene| scene.whole(format!("\u{feff}{}", scene.body()))),
        stream("comments, ids, retry fields", |scene| {
            let noise = ": still here\n\nid: 7\nretry: 10\n\n\n";
            scene.whole(
                events(scene.protocol).iter().map(|event| format!("{noise}{event}")).collect::<String>(),
            )
        }),
        stream("no space after the colon", |scene| {
            scene.whole(scene.body().replace("data: ", "data:").replace("event: ", "event:"))
        }),
        stream("data of an event in several lines", |scene| {
            // Between two members; never within a string.
            scene.whole(scene.body().replace("data: {\"", "data: {\ndata: \""))
        }),
        stream("events that nobody knows", |scene| {
            let event = match scene.protocol {
                Protocol::Anthropic => "event: novelty\ndata: {\"type\":\"novelty\",\"text\":\"?\"}\n\n",
                Protocol::OpenAi => "data: {\"object\":\"novelty\",\"choices\":[],\"text\":\"?\"}\n\n",
                _ => "data: {\"novelty\":{\"text\":\"?\"}}\n\n",
            };
            let mut all = events(scene.protocol);
            all.insert(begun(scene.protocol), event.to_owned());
            scene.whole(all.concat())
        })
        // The events of the Responses API are numbered.
        .of([Protocol::Anthropic, Protocol::OpenAi, Protocol::Gemini]),
        stream("the last event without its blank line", |scene| {
            scene.whole(scene.body().trim_end().to_owned())
        }),
        stream("the end twice", |scene| {
            let last = events(scene.protocol).pop().expect("an end");
            scene.whole(scene.body() + &last)
        })
        .of([Protocol::Anthropic, Protocol::OpenAi, Protocol::Responses]),
        stream("another answer after the end", |scene| {
            scene.whole(scene.body() + &scene.body().replace("Hello,", "Again,"))
        })
        .of([Protocol::Anthropic, Protocol::OpenAi, Protocol::Responses]),
        stream("event of 8 MiB", |scene| {
            let padding = format!("data: {{\"padding\":\"{}\",", "x".repeat(8 << 20));
            let mut all = events(scene.protocol);
            let content = &mut all[begun(scene.protocol) - 1];
            *content = content.replacen("data: {", &padding, 1);
            scene.whole(all.concat())
        })
        .costly(),
    ]
}

fn lines(scene: &Scene, end: &str) -> String {
    scene.body().replace("\r\n", "\n").replace('\n', end)
}

/// The answer in packets that end wherever `is_cut` says.
fn packets(scene: &Scene, is_cut: fn(&[u8], usize) -> bool) -> Answer {
    let body = scene.body();
    split(Answer::raw(scene.head(&format!("content-length: {}", body.len()))), body.as_bytes(), is_cut)
}

fn split(mut answer: Answer, bytes: &[u8], is_cut: fn(&[u8], usize) -> bool) -> Answer {
    let mut from = 0;
    for at in (1..bytes.len()).filter(|at| is_cut(bytes, *at)).chain([bytes.len()]) {
        answer = answer.bytes(bytes[from..at].to_vec());
        from = at;
    }
    answer
}
