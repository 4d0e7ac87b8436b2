use super::*;
use crate::protocol::{Endpoint, Operation, decode_request};
use serde_json::{Value, json};

const PNG: &[u8] = b"\x89PNG\r\n\x1a\n....";
const PDF: &[u8] = b"%PDF-1.7....";

fn found(client: Protocol, upstream: Protocol, reach: Reach, body: &str) -> Vec<(String, String)> {
    let endpoint = Endpoint::new(client, Operation::Generate);
    let request = decode_request(&endpoint, body).unwrap();
    let all = remote_media(&request, upstream, reach);
    all.into_iter().map(|media| (media.param(body), media.url)).collect()
}

/// The request with everything inline, and what was fetched for it.
fn inlined(client: Protocol, body: &str) -> (Value, usize) {
    let endpoint = Endpoint::new(client, Operation::Generate);
    let request = decode_request(&endpoint, body).unwrap();
    let all = remote_media(&request, Protocol::Gemini, Reach::Nothing);
    let files: Vec<InlineMedia> = all
        .iter()
        .map(|media| {
            let bytes = Bytes::from_static(if media.kind == MediaKind::Image { PNG } else { PDF });
            InlineMedia { mime: InlineMedia::mime_of(&bytes).unwrap(), bytes }
        })
        .collect();
    let out = inline_media(client, body, all.iter().zip(&files)).unwrap();
    let text = std::str::from_utf8(&out).unwrap();
    assert!(found(client, Protocol::Gemini, Reach::Nothing, text).is_empty(), "{text}");
    (serde_json::from_slice(&out).unwrap(), all.len())
}

fn data(mime: &str, bytes: &[u8]) -> String {
    format!("data:{mime};base64,{}", media::encode_base64(bytes))
}

fn anthropic() -> Value {
    let image = json!({"type": "image", "source": {"type": "url", "url": "https://h/a"}});
    json!({"model": "m", "max_tokens": 9, "messages": [
        {"role": "user", "content": [
            {"type": "text", "text": "https://h/text"},
            {"title": "T", "type": "document", "source": {"type": "url", "url": "https://h/b"}, "context": "C"},
        ]},
        {"role": "assistant", "content": [{"type": "tool_use", "id": "c", "name": "f", "input": image}]},
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c", "content": [image]}]},
    ]})
}

fn openai() -> Value {
    json!({"model": "m", "messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "https://h/a", "detail": "low"}},
        {"type": "image_url", "image_url": "http://h/b"},
        {"type": "file", "file": {"file_data": "https://h/c.pdf", "filename": null}},
        {"type": "file", "file": {"filename": "n.pdf", "file_data": "https://h/d"}},
        {"type": "video_url", "video_url": {"url": "https://h/e"}},
    ]}]})
}

fn responses() -> Value {
    json!({"model": "m", "input": [
        {"role": "user", "content": [
            {"type": "input_image", "image_url": "https://h/a", "detail": "low", "file_id": null},
            {"type": "input_file", "file_url": "https://h/b", "file_data": null},
            {"type": "input_file", "filename": "n.pdf", "file_url": "https://h/c"},
            {"type": "input_image", "image_url": {"url": "https://h/d", "detail": "high"}},
        ]},
        {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": [
            {"type": "input_image", "image_url": "https://h/e"},
        ]},
    ]})
}

fn gemini() -> Value {
    json!({"contents": [
        {"role": "user", "parts": [
            {"fileData": {"fileUri": "https://h/a.png", "mimeType": "image/png"}},
            {"file_data": {"file_uri": "https://h/b", "mime_type": "application/pdf", "displayName": "n"}},
            {"fileData": {"fileUri": "https://www.youtube.com/watch?v=1"}},
            {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f"}},
            {"fileData": {"fileUri": "gs://bucket/c.png", "mimeType": "image/png"}},
            {"fileData": {"fileUri": "https://h/d.mp4", "mimeType": "video/mp4"}},
        ]},
        {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"fileData": {"fileUri": "https://h/e"}}}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": {"output": "o"}, "parts": [
            {"fileData": {"fileUri": "https://h/f.jpg", "mimeType": "image/jpeg"}},
        ]}}]},
    ]})
}

#[test]
fn t118_addresses_that_an_upstream_does_not_take_are_found_and_no_others() {
    let image = ("messages[2].content[0].content[0]", "https://h/a");
    let document = ("messages[0].content[1]", "https://h/b");
    let body = anthropic().to_string();
    for (upstream, reach, want) in [
        (Protocol::OpenAi, Reach::Protocol, vec![document]),
        (Protocol::Gemini, Reach::Protocol, vec![document, image]),
        (Protocol::Anthropic, Reach::Protocol, vec![]),
        (Protocol::Responses, Reach::Protocol, vec![]),
        (Protocol::Responses, Reach::Nothing, vec![document, image]),
    ] {
        let want: Vec<_> = want.into_iter().map(|(at, url)| (at.to_owned(), url.to_owned())).collect();
        assert_eq!(found(Protocol::Anthropic, upstream, reach, &body), want, "{upstream}");
    }
    let counts = |client, body: Value| {
        Protocol::ALL.map(|upstream| found(client, upstream, Reach::Protocol, &body.to_string()).len())
    };
    assert_eq!(counts(Protocol::OpenAi, openai()), [0, 2, 0, 4]);
    assert_eq!(counts(Protocol::Responses, responses()), [0, 2, 0, 5]);
    assert_eq!(counts(Protocol::Gemini, gemini()), [0, 1, 0, 3]);
}

#[test]
fn t118_the_file_stands_in_the_place_of_its_address() {
    let (png, pdf) = (data("image/png", PNG), data("application/pdf", PDF));
    let base64 = media::encode_base64;

    let mut want = anthropic();
    let source = |mime, bytes| json!({"type": "base64", "media_type": mime, "data": base64(bytes)});
    want["messages"][0]["content"][1]["source"] = source("application/pdf", PDF);
    want["messages"][2]["content"][0]["content"][0]["source"] = source("image/png", PNG);
    assert_eq!(inlined(Protocol::Anthropic, &anthropic().to_string()), (want, 2));

    let mut want = openai();
    let content = &mut want["messages"][0]["content"];
    content[0]["image_url"]["url"] = json!(png);
    content[1]["image_url"] = json!(png);
    content[2]["file"] = json!({"file_data": pdf, "filename": "document.pdf"});
    content[3]["file"]["file_data"] = json!(pdf);
    assert_eq!(inlined(Protocol::OpenAi, &openai().to_string()), (want, 4));

    let mut want = responses();
    let content = &mut want["input"][0]["content"];
    content[0] = json!({"type": "input_image", "image_url": png, "detail": "low"});
    content[1] = json!({"type": "input_file", "file_data": pdf, "filename": "document.pdf"});
    content[2] = json!({"type": "input_file", "file_data": pdf, "filename": "n.pdf"});
    content[3] = json!({"type": "input_image", "image_url": png, "detail": "high"});
    want["input"][2]["output"][0]["image_url"] = json!(png);
    assert_eq!(inlined(Protocol::Responses, &responses().to_string()), (want, 5));

    let mut want = gemini();
    let inline = |mime, bytes| json!({"mimeType": mime, "data": base64(bytes)});
    let parts = &mut want["contents"][0]["parts"];
    parts[0] = json!({"inlineData": inline("image/png", PNG)});
    parts[1] = json!({"inlineData": inline("application/pdf", PDF)});
    parts[1]["inlineData"]["displayName"] = json!("n");
    want["contents"][2]["parts"][0]["functionResponse"]["parts"][0] =
        json!({"inlineData": inline("image/png", PNG)});
    assert_eq!(inlined(Protocol::Gemini, &gemini().to_string()), (want, 3));
}

#[test]
fn bytes_around_a_part_stay_the_clients() {
    let body = r#" {"temperature":1.10, "model":"m","messages":[{"content":[ {"image_url":{"url":"https:\/\/h\/\u0061"},"x":[ 1.0 ],"type":"image_url"} ,{"type":"text","text":"\u00e9"}],"role":"user"}] }"#;
    let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
    let request = decode_request(&endpoint, body).unwrap();
    let all = remote_media(&request, Protocol::Gemini, Reach::Protocol);
    assert_eq!(all[0].url, "https://h/a");
    let file = InlineMedia { mime: "image/png", bytes: Bytes::from_static(PNG) };
    let out = inline_media(Protocol::OpenAi, body, [(&all[0], &file)]).unwrap();
    let part =
        format!(r#"{{"image_url":{{"url":"{}"}},"x":[ 1.0 ],"type":"image_url"}}"#, data("image/png", PNG));
    let (start, end) = (body.find(r#"{"image_url""#).unwrap(), body.find(" ,{").unwrap());
    assert_eq!(String::from_utf8(out).unwrap(), format!("{}{part}{}", &body[..start], &body[end..]));
}

#[test]
fn the_first_bytes_tell_the_type() {
    for (start, mime) in [
        (PNG, Some("image/png")),
        (PDF, Some("application/pdf")),
        (b"\xff\xd8\xff\xe0", Some("image/jpeg")),
        (b"GIF89a", Some("image/gif")),
        (b"RIFF\x00\x00\x00\x00WEBPVP8 ", Some("image/webp")),
        (b"RIFF\x00\x00\x00\x00WAVEfmt ", None),
        (b"\x00\x00\x00\x18ftypheic", Some("image/heic")),
        (b"\x00\x00\x00\x18ftypmif1", Some("image/heif")),
        (b"\x00\x00\x00\x18ftypmp42", None),
        (b"<!doctype html>", None),
        (b"<svg xmlns=", None),
        (b"", None),
    ] {
        assert_eq!(InlineMedia::mime_of(start), mime, "{start:?}");
    }
}

#[test]
fn a_type_that_the_upstream_or_the_client_does_not_mean_is_told() {
    let file = |mime| InlineMedia { mime, bytes: Bytes::new() };
    assert!(file("image/gif").is_taken_by(Protocol::OpenAi));
    assert!(!file("image/gif").is_taken_by(Protocol::Gemini));
    assert!(!file("image/heic").is_taken_by(Protocol::Anthropic));
    let of = |kind| RemoteMedia { url: String::new(), kind, offset: 0 };
    assert!(!of(MediaKind::Image).may_be(Protocol::Gemini, "application/pdf"));
    assert!(!of(MediaKind::Document).may_be(Protocol::Anthropic, "image/png"));
    assert!(of(MediaKind::Document).may_be(Protocol::Gemini, "image/png"));
}
