//! Streams in and out.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::super::{request, response};
use super::{Decoder, Encoder};
use crate::protocol::canonical::envelope::open;
use crate::protocol::canonical::{
    Citation, Collector, Delta, ErrorView, Event, Exchange, FaultKind, Finish, FinishReason, Opaque,
    OpaqueKind, PartHeader, PartMeta, Provider, Request, Usage,
};
use crate::protocol::json::{Raw, Str};
use crate::protocol::{Protocol, sse};

// --- decoding ---------------------------------------------------------------------------------

fn trace_of(event: Event<'_>) -> String {
    match event {
        Event::Start { id, model, created } => {
            format!("start {} {} {created:?}", id.decode(), model.decode())
        }
        Event::PartStart { part, header, .. } => match header {
            PartHeader::ToolCall { id, name, custom } => {
                let kind = if custom { "custom" } else { "call" };
                format!("{part} {kind} {} {}", id.decode(), name.decode())
            }
            PartHeader::Media { mime } => format!("{part} media {}", mime.decode()),
            PartHeader::Opaque { .. } => format!("{part} opaque"),
            other => format!("{part} {other:?}").to_lowercase(),
        },
        Event::Delta { part, delta: Delta::Citation(c), .. } => {
            format!("{part} cites {} {:?}", c.url.decode(), c.range)
        }
        Event::Delta {
            part, delta: Delta::Text(text) | Delta::Arguments(text) | Delta::Media(text), ..
        } => {
            format!("{part}: {}", text.decode())
        }
        Event::PartMeta { part, meta, .. } => {
            format!("{part} state {:?} {}", meta.opaque.item_id, meta.opaque.value.decode())
        }
        Event::PartEnd { part, complete, .. } => format!("{part} end {complete}"),
        Event::Usage(usage) => format!("usage {:?} {:?}", usage.input, usage.output),
        Event::Finish { finish, .. } => format!("finish {:?}", finish.reason),
        Event::Ping => "ping".to_owned(),
        Event::End => "end".to_owned(),
        Event::Error(error) => format!("error {:?} {}", error.kind, error.message),
    }
}

fn decode_bytes(chunks: &[&[u8]]) -> Vec<String> {
    let mut seen = Vec::new();
    let mut decoder = Decoder::default();
    let mut frames = sse::Decoder::default();
    for chunk in chunks {
        frames.push(chunk, |event| decoder.event(&event, &mut |e| seen.push(trace_of(e)))).unwrap();
    }
    frames.finish(|event| decoder.event(&event, &mut |e| seen.push(trace_of(e))));
    decoder.finish(&mut |e| seen.push(trace_of(e)));
    seen.retain(|line| line != "ping");
    seen
}

fn stream_of(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect()
}

fn decode(events: &[Value]) -> Vec<String> {
    decode_bytes(&[stream_of(events).as_bytes()])
}

fn created() -> Value {
    json!({"type": "response.created", "sequence_number": 0, "response":
        {"id": "resp_1", "object": "response", "created_at": 7, "status": "in_progress", "model": "m", "output": []}})
}

fn completed(output: Value) -> Value {
    json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "error": null,
        "incomplete_details": null, "output": output, "usage": {"input_tokens": 9, "output_tokens": 2,
        "input_tokens_details": {"cached_tokens": 4}, "output_tokens_details": {"reasoning_tokens": 1}}}})
}

fn added(index: u64, item: Value) -> Value {
    json!({"type": "response.output_item.added", "output_index": index, "item": item})
}

fn done(index: u64, item: Value) -> Value {
    json!({"type": "response.output_item.done", "output_index": index, "item": item})
}

fn delta(kind: &str, index: u64, text: &str) -> Value {
    json!({"type": format!("response.{kind}.delta"), "output_index": index, "content_index": 0, "delta": text})
}

fn message(text: &str) -> Value {
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": "f", "arguments": arguments})
}

/// Reasoning in two segments, text with a citation, and two interleaved calls.
fn rich_stream() -> Vec<Value> {
    let reasoning = |kind: &str, index: u64, text: &str| {
        json!({"type": format!("response.reasoning_summary_text.{kind}"), "output_index": 0,
               "summary_index": index, (if kind == "delta" { "delta" } else { "text" }): text})
    };
    let citation = json!({"type": "url_citation", "url": "https://x.test", "title": "T", "start_index": 0, "end_index": 2});
    vec![
        created(),
        json!({"type": "response.in_progress", "response": {}}),
        added(0, json!({"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "partial"})),
        reasoning("delta", 0, "Need "),
        reasoning("delta", 0, "both."),
        reasoning("done", 0, "Need both."),
        reasoning("delta", 1, "Sure"),
        reasoning("done", 1, "Surely."),
        done(
            0,
            json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAA", "summary": [
            {"type": "summary_text", "text": "Need both."}, {"type": "summary_text", "text": "Surely."}]}),
        ),
        added(1, json!({"type": "message", "id": "msg_1", "role": "assistant", "content": []})),
        json!({"type": "response.content_part.added", "output_index": 1, "content_index": 0, "part": {"type": "output_text", "text": ""}}),
        delta("output_text", 1, "Hé"),
        delta("output_text", 1, "llo 😀"),
        json!({"type": "response.output_text.annotation.added", "output_index": 1, "content_index": 0, "annotation_index": 0, "annotation": citation}),
        json!({"type": "response.output_text.done", "output_index": 1, "content_index": 0, "text": "Héllo 😀"}),
        json!({"type": "response.content_part.done", "output_index": 1, "content_index": 0, "part":
            {"type": "output_text", "text": "Héllo 😀", "annotations": [citation]}}),
        done(
            1,
            json!({"type": "message", "id": "msg_1", "status": "completed", "content": [
            {"type": "output_text", "text": "Héllo 😀", "annotations": [citation]}]}),
        ),
        added(2, call("a", "")),
        added(3, call("b", "")),
        delta("function_call_arguments", 2, "{\"x\":"),
        delta("function_call_arguments", 3, "{"),
        delta("function_call_arguments", 2, "1}"),
        json!({"type": "response.function_call_arguments.done", "output_index": 2, "arguments": "{\"x\":1}"}),
        done(2, call("a", "{\"x\":1}")),
        delta("function_call_arguments", 3, "}"),
        done(3, call("b", "{}")),
        json!({"type": "response.something_new", "x": 1}),
        completed(json!([])),
    ]
}

const RICH_TRACE: [&str; 26] = [
    "start resp_1 m Some(7)",
    "0 reasoning",
    "0: Need ",
    "0: both.",
    "0: \n\n",
    "0: Sure",
    "0: ly.",
    "0 state Some(\"rs_1\") gAAA",
    "0 end true",
    "1 text",
    "1: Hé",
    "1: llo 😀",
    "1 cites https://x.test Some((0, 2))",
    "1 end true",
    "2 call a f",
    "2: {\"x\":",
    "2: 1}",
    "2 end true",
    "3 call b f",
    "3: {",
    "3: }",
    "3 end true",
    "usage Some(9) Some(2)",
    "finish ToolCalls",
    "end",
    "",
];

fn rich_trace() -> Vec<&'static str> {
    RICH_TRACE.into_iter().filter(|line| !line.is_empty()).collect()
}

#[test]
fn t029_t032_t057_a_stream_is_read_once_and_in_order() {
    assert_eq!(decode(&rich_stream()), rich_trace());
}

#[test]
fn t001_wherever_the_stream_is_cut_the_events_are_the_same() {
    let stream = stream_of(&rich_stream());
    let bytes = stream.as_bytes();
    for at in 0..bytes.len() {
        let (head, tail) = bytes.split_at(at);
        assert_eq!(decode_bytes(&[head, tail]), rich_trace(), "cut at {at}");
    }
}

#[test]
fn t021_a_stream_without_its_final_event_is_an_error() {
    let events = rich_stream();
    for keep in 0..events.len() - 1 {
        let seen = decode(&events[..keep]);
        let last = seen.last().unwrap();
        assert!(last.starts_with("error BadUpstream"), "{keep}: {last}");
        assert!(!seen.iter().any(|line| line == "end" || line.starts_with("finish")), "{keep}");
    }
}

#[test]
fn nothing_follows_the_end() {
    let mut events = rich_stream();
    events.push(delta("output_text", 9, "late"));
    events.push(json!({"type": "error", "message": "late"}));
    assert_eq!(decode(&events), rich_trace());
    let mut stream = stream_of(&rich_stream());
    stream.push_str("data: [DONE]\n\n");
    assert_eq!(decode_bytes(&[stream.as_bytes()]), rich_trace());
}

#[test]
fn t054_errors_are_understood_flat_nested_and_failed() {
    for event in [
        json!({"type": "error", "code": "rate_limit_exceeded", "message": "slow", "param": null}),
        json!({"type": "error", "error": {"code": "rate_limit_exceeded", "message": "slow"}}),
        json!({"type": "x", "error": {"type": "rate_limit_error", "message": "slow"}}),
        json!({"type": "response.failed", "response": {"id": "resp_1", "status": "failed",
            "error": {"code": "rate_limit_exceeded", "message": "slow"}}}),
    ] {
        assert_eq!(decode(&[created(), event]), ["start resp_1 m Some(7)", "error RateLimit slow"]);
    }
    let cancelled = json!({"type": "response.cancelled", "response": {"status": "cancelled"}});
    assert!(decode(&[created(), cancelled])[1].starts_with("error Cancelled"));
    assert!(decode_bytes(&[b"data: {\"type\":\n\n"])[0].starts_with("error BadUpstream"));
    assert!(decode_bytes(&[b"data: {\"type\":\"\xff\"}\n\n"])[0].starts_with("error BadUpstream"));
}

#[test]
fn items_that_only_the_final_event_has_are_delivered() {
    let seen = decode(&[created(), completed(json!([message("hi"), call("a", "")]))]);
    assert_eq!(
        seen[1..],
        [
            "0 text",
            "0: hi",
            "0 end true",
            "1 call a f",
            "1: {}",
            "1 end true",
            "usage Some(9) Some(2)",
            "finish ToolCalls",
            "end"
        ]
    );
    let seen = decode(&[created(), delta("output_text", 0, "hi"), completed(json!([message("hi")]))]);
    assert_eq!(seen.iter().filter(|line| line.contains(": hi")).count(), 1);
}

#[test]
fn terse_streams_without_openings_are_read() {
    let seen = decode(&[done(0, message("hi")), done(1, call("a", "{\"x\":1}")), completed(Value::Null)]);
    assert_eq!(
        seen[..7],
        ["start   None", "0 text", "0: hi", "0 end true", "1 call a f", "1: {\"x\":1}", "1 end true"]
    );
}

#[test]
fn t005_a_cut_emoji_is_joined_before_it_reaches_anyone() {
    let stream = concat!(
        "data: {\"type\":\"response.output_text.delta\",\"delta\":\"a\\ud83d\"}\n\n",
        "data: {\"type\":\"response.output_text.delta\",\"delta\":\"\\ude00b\"}\n\n",
        "data: {\"type\":\"response.output_text.done\",\"text\":\"a😀b!\"}\n\n",
    );
    assert_eq!(decode_bytes(&[stream.as_bytes()])[2..5], ["0: a", "0: 😀b", "0: !"]);
}

#[test]
fn ends_are_told_as_they_are() {
    let cut = |reason: &str| {
        json!({"type": "response.incomplete", "response": {"status": "incomplete",
            "incomplete_details": {"reason": reason}, "output": []}})
    };
    let half = json!({"type": "message", "status": "incomplete", "content": [{"type": "output_text", "text": "ha"}]});
    let seen = decode(&[created(), done(0, half), cut("max_output_tokens")]);
    assert_eq!(seen[1..], ["0 text", "0: ha", "0 end false", "finish Length", "end"]);
    assert_eq!(decode(&[created(), cut("content_filter")])[1], "finish ContentFilter");
    let refusal =
        json!({"type": "response.refusal.delta", "output_index": 0, "content_index": 0, "delta": "No"});
    let seen = decode(&[created(), refusal, completed(json!([]))]);
    assert_eq!(seen[1..3], ["0 refusal", "0: No"]);
    assert_eq!(seen[4..6], ["0 end true", "finish Refusal"]);
}

#[test]
fn several_parts_of_a_message_are_each_told_once() {
    let part = |index: u64, text: &str| {
        let place = json!({"output_index": 0, "content_index": index});
        let part = json!({"type": "output_text", "text": text});
        let mut events = [
            json!({"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}}),
            json!({"type": "response.output_text.delta", "delta": text}),
            json!({"type": "response.output_text.done", "text": text}),
            json!({"type": "response.content_part.done", "part": part}),
        ];
        for event in &mut events {
            event.as_object_mut().unwrap().extend(place.as_object().unwrap().clone());
        }
        events
    };
    let item = json!({"type": "message", "id": "msg_1", "content": [
        {"type": "output_text", "text": "a"}, {"type": "output_text", "text": "b"}]});
    let mut events = vec![created(), added(0, json!({"type": "message", "id": "msg_1", "content": []}))];
    events.extend(part(0, "a"));
    events.extend(part(1, "b"));
    events.extend([done(0, item.clone()), completed(json!([item]))]);
    let seen = decode(&events);
    assert_eq!(seen[1..7], ["0 text", "0: a", "0 end true", "1 text", "1: b", "1 end true"]);
    assert_eq!(seen[8..], ["finish Stop", "end"]);
}

#[test]
fn hosted_tools_and_pictures_come_as_parts() {
    let seen = decode(&[
        created(),
        added(0, json!({"type": "web_search_call", "id": "ws_1"})),
        json!({"type": "response.web_search_call.searching", "output_index": 0}),
        done(0, json!({"type": "web_search_call", "id": "ws_1", "status": "completed"})),
        done(
            1,
            json!({"type": "image_generation_call", "id": "ig_1", "result": "AAAA", "output_format": "webp"}),
        ),
        completed(json!([])),
    ]);
    assert_eq!(seen[1..6], ["0 opaque", "0 end true", "1 media image/webp", "1: AAAA", "1 end true"]);
}

// --- encoding ---------------------------------------------------------------------------------

fn exchange(upstream: Protocol) -> Exchange {
    let body = r#"{"model":"m","input":"x","instructions":"i","tools":[{"type":"custom","name":"patch"},
        {"type":"namespace","name":"crm","tools":[{"type":"function","name":"find"}]}]}"#;
    let request = request::decode(body).unwrap();
    Exchange { created: 5, seed: 1, ..Exchange::new(&request, Protocol::Responses, upstream) }
}

fn text_part<'a>(part: u32, header: PartHeader<'a>, texts: &[&'a str]) -> Vec<Event<'a>> {
    let is_call = matches!(header, PartHeader::ToolCall { .. });
    let mut events = vec![Event::PartStart { choice: 0, part, header }];
    for text in texts {
        let text = Str::from(*text);
        let delta = if is_call { Delta::Arguments(text) } else { Delta::Text(text) };
        events.push(Event::Delta { choice: 0, part, delta });
    }
    events.push(Event::PartEnd { choice: 0, part, complete: true });
    events
}

fn made<'a>(id: &'a str, name: &'a str) -> PartHeader<'a> {
    PartHeader::ToolCall { id: id.into(), name: name.into(), custom: false }
}

fn start() -> Event<'static> {
    Event::Start { id: "msg_x".into(), model: "up".into(), created: None }
}

fn signed(part: u32, provider: Provider) -> Event<'static> {
    let opaque = Opaque { provider, kind: OpaqueKind::Signature, item_id: None, value: "sig".into() };
    Event::PartMeta { choice: 0, part, meta: PartMeta { opaque } }
}

fn finish(reason: FinishReason) -> Vec<Event<'static>> {
    let usage = Usage { input: Some(9), output: Some(2), ..Usage::default() };
    vec![Event::Usage(usage), Event::Finish { choice: 0, finish: Finish::new(reason) }, Event::End]
}

/// Writes a stream, checks all that client libraries rely on, and returns its events.
fn encode(exchange: &Exchange, script: &[Event<'_>]) -> Vec<Value> {
    let mut encoder = Encoder::new(exchange);
    let mut out = Vec::new();
    for event in script {
        encoder.event(event, &mut out);
    }
    assert!(out.ends_with(b"\n\n"), "T009");
    let events = read_events(&out);
    check(&events);
    check_law_10(exchange, script, &events);
    events
}

/// The events of a stream, each under its own name.
pub(in crate::protocol::responses) fn read_events(stream: &[u8]) -> Vec<Value> {
    let mut events = Vec::new();
    let each = |event: sse::Event<'_>| {
        let value: Value = serde_json::from_slice(&event.data).unwrap();
        assert_eq!(event.name.as_deref(), Some(value["type"].as_str().unwrap().as_bytes()));
        events.push(value);
    };
    sse::Decoder::default().push(stream, each).unwrap();
    events
}

/// What the accumulators of the official libraries need.
pub(in crate::protocol::responses) fn check(events: &[Value]) {
    let mut items: Vec<Value> = Vec::new();
    let mut texts: Vec<String> = Vec::new();
    for (number, event) in events.iter().enumerate() {
        let kind = event["type"].as_str().unwrap();
        assert_eq!(event["sequence_number"], number, "T056: {kind}");
        let at = event["output_index"].as_u64().map(|at| at as usize);
        if event.get("response").is_some() {
            assert_eq!(event["response"]["id"], events[0]["response"]["id"], "T037: {kind}");
        }
        if let Some(id) = event.get("item_id") {
            assert_eq!(*id, items[at.unwrap()]["id"], "T037: {kind}");
        }
        match kind {
            "response.output_item.added" => {
                assert_eq!(at, Some(items.len()), "T036");
                items.push(event["item"].clone());
                texts.push(String::new());
            }
            "response.output_item.done" => {
                assert_eq!(items[at.unwrap()]["id"], event["item"]["id"], "T037");
                items[at.unwrap()] = event["item"].clone();
            }
            "response.content_part.added" => texts[at.unwrap()].clear(),
            "response.output_text.done" => assert_eq!(event["text"], texts[at.unwrap()]),
            "response.function_call_arguments.done" => assert_eq!(event["arguments"], texts[at.unwrap()]),
            "response.reasoning_summary_text.done" => assert_eq!(event["text"], texts[at.unwrap()]),
            kind if kind.ends_with(".delta") => {
                let at = at.expect("T040: an item before its deltas");
                assert_eq!(event["item_id"], items[at]["id"], "T040");
                texts[at].push_str(event["delta"].as_str().unwrap());
            }
            "response.completed" | "response.incomplete" => {
                assert_eq!(event["response"]["output"], json!(items), "T038");
                let done = events.iter().filter(|event| event["type"] == "response.output_item.done");
                assert_eq!(done.count(), items.len(), "T039");
                assert_eq!(number, events.len() - 1);
            }
            _ => {}
        }
    }
}

/// Law 10: the stream's last word is the whole answer.
fn check_law_10(exchange: &Exchange, script: &[Event<'_>], events: &[Value]) {
    let mut collector = Collector::default();
    for event in script {
        collector.event(event.clone());
    }
    let Ok(collected) = collector.finish() else { return };
    let mut whole = Vec::new();
    if response::encode(&collected, exchange, &mut whole).is_ok() {
        let whole: Value = serde_json::from_slice(&whole).unwrap();
        assert_eq!(whole, events.last().unwrap()["response"]);
    }
}

fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap().trim_start_matches("response.")).collect()
}

fn rich_script() -> Vec<Event<'static>> {
    let mut script = vec![start()];
    script.extend(text_part(0, PartHeader::Reasoning, &["Need ", "both."]));
    script.insert(4, signed(0, Provider::Anthropic));
    script.extend(text_part(1, PartHeader::Text, &["Check", "ing \"it\"."]));
    script.extend(text_part(2, made("call_a", "f"), &["{\"x\":", "1}"]));
    script.extend(text_part(3, made("call_b", "f"), &["{}"]));
    script.extend(finish(FinishReason::ToolCalls));
    script
}

#[test]
fn t036_t037_t038_t039_t040_every_item_is_opened_filled_and_closed() {
    let events = encode(&exchange(Protocol::Anthropic), &rich_script());
    assert_eq!(
        kinds(&events),
        [
            "created",
            "in_progress",
            "output_item.added",
            "reasoning_summary_part.added",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.delta",
            "reasoning_summary_text.done",
            "reasoning_summary_part.done",
            "output_item.done",
            "output_item.added",
            "content_part.added",
            "output_text.delta",
            "output_text.delta",
            "output_text.done",
            "content_part.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "output_item.added",
            "function_call_arguments.delta",
            "function_call_arguments.done",
            "output_item.done",
            "completed",
        ]
    );
    let answer = &events.last().unwrap()["response"];
    assert_eq!(answer["output"][1]["content"][0]["text"], "Checking \"it\".");
    assert_eq!(answer["output"][2]["arguments"], "{\"x\":1}");
    assert_eq!(answer["usage"]["total_tokens"], 11);
    assert_eq!(answer["usage"]["input_tokens_details"], json!({"cached_tokens": 0, "cache_write_tokens": 0}));
    assert_eq!(answer["model"], "up");
    assert_eq!(answer["created_at"], 5);
    assert!(answer["id"].as_str().unwrap().starts_with("resp_"));
}

#[test]
fn the_minimal_stream_is_byte_for_byte_as_specified() {
    let mut script = vec![Event::Start { id: "resp_1".into(), model: "m".into(), created: Some(1) }];
    script.extend(text_part(0, PartHeader::Text, &["Hi"]));
    let mut encoder =
        Encoder::new(&Exchange::new(&Request::default(), Protocol::Responses, Protocol::OpenAi));
    let mut out = Vec::new();
    for event in &script[..1] {
        encoder.event(event, &mut out);
    }
    out.clear();
    encoder.event(&script[1], &mut out);
    let opened = String::from_utf8(out.clone()).unwrap();
    let id = opened.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(id.starts_with("msg_") && id.len() == 52);
    out.clear();
    encoder.event(&script[2], &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        format!(
            "event: response.output_text.delta\ndata: {{\"type\":\"response.output_text.delta\",\"sequence_number\":4,\
             \"item_id\":\"{id}\",\"output_index\":0,\"content_index\":0,\"delta\":\"Hi\",\"logprobs\":[]}}\n\n"
        )
    );
}

#[test]
fn t181_the_answer_repeats_the_clients_own_request() {
    let events = encode(&exchange(Protocol::OpenAi), &rich_script());
    for event in [&events[0], events.last().unwrap()] {
        let answer = &event["response"];
        assert_eq!(answer["instructions"], "i");
        assert_eq!(answer["tools"][0]["name"], "patch");
        assert_eq!(answer["tools"][1]["type"], "namespace");
        assert_eq!(answer["parallel_tool_calls"], true);
        assert_eq!(answer["tool_choice"], "auto");
        assert_eq!(answer["store"], false);
        assert!(answer.get("namespaces").is_none());
    }
}

#[test]
fn a_request_with_line_breaks_does_not_break_the_stream() {
    // The tools of `exchange` are written over two lines; so is this item.
    let raw = Raw::from_json("{\"id\":\"ws_1\",\r\n\"type\":\"web_search_call\"}");
    let mut script = vec![start()];
    script.extend(text_part(0, PartHeader::Opaque { protocol: Protocol::Responses, raw }, &[]));
    script.extend(finish(FinishReason::Stop));
    let events = encode(&exchange(Protocol::OpenAi), &script);
    assert_eq!(events.last().unwrap()["response"]["output"][0]["id"], "ws_1");
}

#[test]
fn t087_a_free_text_tool_gets_free_text_from_any_upstream() {
    let mut script = vec![start()];
    script.extend(text_part(0, made("call_a", "patch"), &["{\"input\":\"*** Be", "gin\\n\\\"x\\\"\"}"]));
    script.extend(finish(FinishReason::ToolCalls));
    let mut native = vec![start()];
    let header = PartHeader::ToolCall { id: "call_a".into(), name: "patch".into(), custom: true };
    native.extend(text_part(0, header, &["*** Be", "gin\n\"x\""]));
    native.extend(finish(FinishReason::ToolCalls));
    for (script, deltas) in [(script, 1), (native, 2)] {
        let events = encode(&exchange(Protocol::Anthropic), &script);
        let item = &events.last().unwrap()["response"]["output"][0];
        assert_eq!(item["type"], "custom_tool_call");
        assert_eq!(item["input"], "*** Begin\n\"x\"");
        assert!(item["id"].as_str().unwrap().starts_with("ctc_"));
        assert_eq!(kinds(&events).iter().filter(|k| **k == "custom_tool_call_input.delta").count(), deltas);
    }
}

#[test]
fn t088_a_namespace_is_given_back() {
    let mut script = vec![start()];
    script.extend(text_part(0, made("call_a", "crm__find"), &["{}"]));
    script.extend(finish(FinishReason::ToolCalls));
    let events = encode(&exchange(Protocol::OpenAi), &script);
    let item = &events.last().unwrap()["response"]["output"][0];
    assert_eq!((&item["namespace"], &item["name"]), (&json!("crm"), &json!("find")));
}

#[test]
fn t092_two_calls_never_share_an_id() {
    let mut script = vec![start()];
    for part in 0..3 {
        script.extend(text_part(part, made(if part == 2 { "" } else { "call_0" }, "f"), &["{}"]));
    }
    script.extend(finish(FinishReason::ToolCalls));
    let events = encode(&exchange(Protocol::OpenAi), &script);
    let output = events.last().unwrap()["response"]["output"].clone();
    let ids: Vec<_> = (0..3).map(|at| output[at]["call_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids[0], "call_0");
    assert!(ids[1] != ids[0] && ids[2] != ids[1] && ids[2].len() == 29, "{ids:?}");
}

#[test]
fn consecutive_texts_are_one_part_and_refusals_another() {
    let mut script = vec![start()];
    script.extend(text_part(0, PartHeader::Text, &["ä1 "]));
    script.push(Event::PartStart { choice: 0, part: 1, header: PartHeader::Text });
    script.push(Event::Delta { choice: 0, part: 1, delta: Delta::Text("two".into()) });
    let citation =
        Citation { url: "https://x.test".into(), title: None, cited_text: None, range: Some((0, 3)) };
    script.push(Event::Delta { choice: 0, part: 1, delta: Delta::Citation(citation) });
    script.push(Event::PartEnd { choice: 0, part: 1, complete: true });
    script.extend(text_part(2, PartHeader::Refusal, &["no"]));
    script.extend(finish(FinishReason::Refusal));
    let events = encode(&exchange(Protocol::Anthropic), &script);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output.as_array().unwrap().len(), 1);
    let content = &output[0]["content"];
    assert_eq!(content[0]["text"], "ä1 two");
    let at = (&content[0]["annotations"][0]["start_index"], &content[0]["annotations"][0]["end_index"]);
    assert_eq!(at, (&json!(3), &json!(6)), "characters of the joined text");
    assert_eq!(content[1], json!({"type": "refusal", "refusal": "no"}));
}

#[test]
fn t099_state_of_others_is_sealed_with_its_text() {
    let events = encode(&exchange(Protocol::Anthropic), &rich_script());
    let item = &events.last().unwrap()["response"]["output"][0];
    let opened = open(&Str::from(item["encrypted_content"].as_str().unwrap())).unwrap();
    assert_eq!(opened.opaque.value, "sig");
    assert!(opened.matches(&"Need both.".into()));
    assert!(events[2]["item"].get("encrypted_content").is_none());
}

#[test]
fn t100_a_signed_call_goes_out_after_its_state_and_comes_back_with_it() {
    let mut script = vec![start()];
    let mut call = text_part(0, made("call_a", "f"), &["{}"]);
    call.insert(2, signed(0, Provider::Gemini));
    script.extend(call);
    let mut said = text_part(1, PartHeader::Text, &["done"]);
    said.insert(2, signed(1, Provider::Gemini));
    script.extend(said);
    script.extend(finish(FinishReason::ToolCalls));
    let events = encode(&exchange(Protocol::Gemini), &script);
    let output = events.last().unwrap()["response"]["output"].clone();
    let types: Vec<_> =
        output.as_array().unwrap().iter().map(|item| item["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["reasoning", "function_call", "message", "reasoning"]);
    let body = json!({"model": "m", "input": output}).to_string();
    let request = request::decode(&body).unwrap();
    let parts: Vec<_> = request.turns.iter().flat_map(|turn| &turn.parts).collect();
    assert_eq!(parts.len(), 2);
    assert!(parts.iter().all(|part| part.opaque.as_ref().is_some_and(|o| o.value == "sig")));
}

#[test]
fn t012_t013_t014_t056_a_ping_is_a_numbered_keepalive() {
    let plain = encode(&exchange(Protocol::Anthropic), &rich_script());
    for at in 1..rich_script().len() {
        let mut script = rich_script();
        script.insert(at, Event::Ping);
        let mut events = encode(&exchange(Protocol::Anthropic), &script);
        let ping = kinds(&events).iter().position(|kind| *kind == "keepalive").expect("an event of its own");
        let ping = events.remove(ping);
        assert_eq!(ping, json!({"type": "keepalive", "sequence_number": ping["sequence_number"]}));
        assert_eq!(kinds(&events), kinds(&plain), "nothing else is different, ping at {at}");
    }
}

/// A comment would keep the connection open, but agents count events.
#[test]
fn t014_a_ping_has_data() {
    let mut encoder = Encoder::new(&exchange(Protocol::Anthropic));
    let mut out = Vec::new();
    encoder.event(&start(), &mut out);
    out.clear();
    encoder.event(&Event::Ping, &mut out);
    assert_eq!(out, b"event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":2}\n\n");
}

#[test]
fn t014_signs_of_life_before_the_answer_are_not_told_before_its_start() {
    let alive = || json!({"type": "keepalive"});
    let early = json!({"type": "response.in_progress"});
    let stream = stream_of(&[alive(), early, created(), alive(), completed(json!([message("Hi")]))]);
    let mut decoder = Decoder::default();
    let mut seen = Vec::new();
    let each = |event: sse::Event<'_>| decoder.event(&event, &mut |e| seen.push(trace_of(e)));
    sse::Decoder::default().push(stream.as_bytes(), each).unwrap();
    assert_eq!(seen[..2], ["start resp_1 m Some(7)", "ping"], "{seen:?}");
}

#[test]
fn t055_t172_an_error_ends_in_response_failed_with_what_was_done() {
    let mut script = rich_script();
    script.truncate(9);
    let error = ErrorView {
        retry_after: Some(std::time::Duration::from_millis(1500)),
        ..ErrorView::new(FaultKind::RateLimit, "Slow down.")
    };
    script.push(Event::Error(error));
    script.push(Event::End);
    let events = encode(&exchange(Protocol::Anthropic), &script);
    let last = events.last().unwrap();
    assert_eq!(last["type"], "response.failed");
    let answer = &last["response"];
    assert_eq!(answer["status"], "failed");
    assert_eq!(
        answer["error"],
        json!({"code": "rate_limit_exceeded", "message": "Slow down. Please try again in 1.500s."})
    );
    assert_eq!(answer["output"].as_array().unwrap().len(), 1, "only what was finished");
    assert_eq!(answer["id"], events[0]["response"]["id"]);
    assert!(!kinds(&events).contains(&"output_text.done"));
}

#[test]
fn an_error_before_the_start_is_a_whole_event() {
    let error = ErrorView::new(FaultKind::Overloaded, "busy");
    let events = encode(&exchange(Protocol::Anthropic), &[Event::Error(error)]);
    assert_eq!(events[0]["type"], "response.failed");
    assert_eq!(events[0]["response"]["error"]["code"], "server_is_overloaded");
    assert!(events[0]["response"]["id"].as_str().unwrap().starts_with("resp_"));
}

#[test]
fn ends_are_written_as_they_were() {
    let with = |finish: Finish<'static>| {
        let script = [start(), Event::Finish { choice: 0, finish }, Event::End];
        encode(&exchange(Protocol::Anthropic), &script).pop().unwrap()
    };
    let last = with(Finish::new(FinishReason::Length));
    assert_eq!(last["type"], "response.incomplete");
    assert_eq!(last["response"]["incomplete_details"], json!({"reason": "max_output_tokens"}));
    assert_eq!(last["response"]["usage"], Value::Null);
    let blocked = Finish { explanation: Some("Unsafe.".into()), ..Finish::new(FinishReason::ContentFilter) };
    let last = with(blocked);
    assert_eq!(last["response"]["incomplete_details"], json!({"reason": "content_filter"}));
    assert_eq!(last["response"]["output"][0]["content"][0], json!({"type": "refusal", "refusal": "Unsafe."}));
    let last = with(Finish::new(FinishReason::Malformed));
    assert_eq!(last["type"], "response.failed");
}

#[test]
fn pictures_and_own_items_are_passed_on() {
    let raw = Raw::from_json(r#"{"id":"ws_1","type":"web_search_call","status":"completed"}"#);
    let mut script = vec![start()];
    script.extend(text_part(0, PartHeader::Opaque { protocol: Protocol::Responses, raw: raw.clone() }, &[]));
    script.extend(text_part(1, PartHeader::Opaque { protocol: Protocol::Anthropic, raw }, &[]));
    script.push(Event::PartStart {
        choice: 0,
        part: 2,
        header: PartHeader::Media { mime: "image/png".into() },
    });
    script.push(Event::Delta { choice: 0, part: 2, delta: Delta::Media("AAAA".into()) });
    script.push(Event::PartEnd { choice: 0, part: 2, complete: true });
    script.extend(finish(FinishReason::Stop));
    let events = encode(&exchange(Protocol::Gemini), &script);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["id"], "ws_1");
    assert_eq!(output[1]["result"], "AAAA");
    assert_eq!(output.as_array().unwrap().len(), 2);
}

#[test]
fn other_choices_do_not_disturb_the_first() {
    let mut script = rich_script();
    script.insert(6, Event::Delta { choice: 1, part: 0, delta: Delta::Text("other".into()) });
    let events = encode(&exchange(Protocol::OpenAi), &script);
    assert!(!events.iter().any(|event| event["delta"] == "other"));
}

#[test]
fn a_stream_of_ours_is_read_back_the_same() {
    let mut encoder = Encoder::new(&exchange(Protocol::Anthropic));
    let mut out = Vec::new();
    for event in rich_script() {
        encoder.event(&event, &mut out);
    }
    let seen = decode_bytes(&[&out]);
    let texts: Vec<_> = seen.iter().filter(|line| line.contains(": ")).map(String::as_str).collect();
    assert_eq!(texts, ["0: Need ", "0: both.", "1: Check", "1: ing \"it\".", "2: {\"x\":", "2: 1}", "3: {}"]);
    assert_eq!(seen.last().unwrap(), "end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// Broken streams give an error or an end, exactly one, and never a panic.
    #[test]
    fn hostile_streams_are_survived(
        from in any::<prop::sample::Index>(),
        length in 0usize..60,
        junk in prop::sample::select(vec!["", "{", "}", "[]", "\"", "null", "9", "\\ud83d", "\n\n", "data: {}\n\n", "reasoning", "message"]),
    ) {
        let stream = stream_of(&rich_stream());
        let at = from.index(stream.len());
        let Some((head, rest)) = stream.split_at_checked(at) else { return Ok(()) };
        let Some((_, tail)) = rest.split_at_checked(length.min(rest.len())) else { return Ok(()) };
        let mut encoder = Encoder::new(&exchange(Protocol::Anthropic));
        let (mut out, mut ends) = (Vec::new(), 0);
        let mut sink = |event: Event<'_>| {
            ends += usize::from(matches!(event, Event::End | Event::Error(_)));
            encoder.event(&event, &mut out);
        };
        let mut decoder = Decoder::default();
        let mut frames = sse::Decoder::default();
        let text = format!("{head}{junk}{tail}");
        frames.push(text.as_bytes(), |event| decoder.event(&event, &mut sink)).unwrap();
        frames.finish(|event| decoder.event(&event, &mut sink));
        decoder.finish(&mut sink);
        prop_assert_eq!(ends, 1);
        prop_assert!(out.ends_with(b"\n\n"));
    }

    /// Events of any type with any members.
    #[test]
    fn odd_events_are_survived(
        kinds in proptest::collection::vec(prop::sample::select(vec![
            "response.created", "response.output_item.added", "response.output_item.done", "response.content_part.added",
            "response.content_part.done", "response.output_text.delta", "response.output_text.done",
            "response.function_call_arguments.delta", "response.reasoning_text.delta",
            "response.reasoning_summary_text.delta", "response.reasoning_summary_text.done",
            "response.output_text.annotation.added", "response.completed"]), 1..12),
        members in prop::sample::select(vec![
            json!({}), json!({"item": 5, "part": [], "response": "x"}), json!({"delta": "x", "text": "y"}),
            json!({"item": {"type": "function_call"}, "part": {"type": "refusal"}, "delta": "z"}),
            json!({"item": {"type": "reasoning", "summary": [5]}, "output_index": -1, "summary_index": 1e99}),
            json!({"item": {"type": "message", "content": [5, {"type": "output_text", "text": "xy"}]}, "delta": "x", "text": "xy", "annotation": {"url": "u"}})]),
    ) {
        let events: Vec<Value> = kinds
            .iter()
            .map(|kind| {
                let mut event = members.clone();
                event["type"] = json!(kind);
                event
            })
            .collect();
        let seen = decode(&events);
        let ends = seen.iter().filter(|line| *line == "end" || line.starts_with("error")).count();
        prop_assert_eq!(ends, 1);
    }
}

// --- tools that are no functions here -----------------------------------------------------------

/// The stream and the whole answer to calls of these tools, given as name, arguments and completeness.
fn native_calls(calls: &[(&'static str, &'static str, bool)]) -> (Vec<Value>, Value) {
    let body = r#"{"model":"m","input":"x","tools":[{"type":"local_shell"},{"type":"shell"},{"type":"apply_patch"}]}"#;
    let request = request::decode(body).unwrap();
    let exchange = Exchange::new(&request, Protocol::Responses, Protocol::Anthropic);
    let mut events = vec![Event::Start { id: "x".into(), model: "m".into(), created: None }];
    for (part, (name, arguments, complete)) in (0u32..).zip(calls) {
        let id = Str::escape(format!("call_{part}"));
        let header = PartHeader::ToolCall { id, name: (*name).into(), custom: false };
        events.push(Event::PartStart { choice: 0, part, header });
        let (head, tail) = arguments.split_at(arguments.len() / 2);
        for text in [head, tail] {
            events.push(Event::Delta { choice: 0, part, delta: Delta::Arguments(Str::escape(text)) });
        }
        events.push(Event::PartEnd { choice: 0, part, complete: *complete });
    }
    events.push(Event::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls) });
    events.push(Event::End);
    let (mut encoder, mut collector, mut out) = (Encoder::new(&exchange), Collector::default(), Vec::new());
    for event in &events {
        encoder.event(event, &mut out);
        collector.event(event.clone());
    }
    let mut sent = Vec::new();
    let mut frames = sse::Decoder::default();
    frames.push(&out, |event| sent.push(serde_json::from_slice(&event.data).unwrap())).unwrap();
    let mut whole = Vec::new();
    response::encode(&collector.finish().unwrap(), &exchange, &mut whole).unwrap();
    (sent, serde_json::from_slice(&whole).unwrap())
}

#[test]
fn calls_of_native_tools_come_back_as_the_items_that_the_client_runs() {
    let (sent, whole) = native_calls(&[
        ("local_shell", r#"{"command":["ls"],"working_directory":"/x"}"#, true),
        ("shell", r#"{"commands":["a \"b\""],"timeout_ms":5}"#, true),
        ("apply_patch", r#"{"type":"update_file","path":"a","diff":"@@\n-x\n+y"}"#, true),
        ("other", "{}", true),
    ]);
    let told: Vec<(&str, &str)> = sent
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["item"]["type"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(
        told[2..],
        [
            ("response.output_item.added", "local_shell_call"),
            ("response.output_item.done", "local_shell_call"),
            ("response.output_item.added", "shell_call"),
            ("response.output_item.done", "shell_call"),
            ("response.output_item.added", "apply_patch_call"),
            ("response.output_item.done", "apply_patch_call"),
            ("response.output_item.added", "function_call"),
            ("response.function_call_arguments.delta", ""),
            ("response.function_call_arguments.delta", ""),
            ("response.function_call_arguments.done", ""),
            ("response.output_item.done", "function_call"),
            ("response.completed", ""),
        ]
    );
    for (at, prefix, member, action) in [
        (
            0,
            "lsh_",
            "action",
            json!({"type": "exec", "command": ["ls"], "env": {}, "working_directory": "/x"}),
        ),
        (1, "sh_", "action", json!({"commands": ["a \"b\""], "timeout_ms": 5, "max_output_length": null})),
        (2, "apc_", "operation", json!({"type": "update_file", "path": "a", "diff": "@@\n-x\n+y"})),
    ] {
        let (added, done) = (&sent[2 + 2 * at]["item"], &sent[3 + 2 * at]["item"]);
        assert_eq!((&added["status"], &done["status"]), (&json!("in_progress"), &json!("completed")));
        assert_eq!(added["id"], done["id"]);
        assert!(done["id"].as_str().unwrap().starts_with(prefix));
        assert_eq!(done["call_id"], format!("call_{at}"));
        assert_eq!(done[member], action);
        assert_eq!(sent[3 + 2 * at]["output_index"], at);
        assert_eq!(*done, sent.last().unwrap()["response"]["output"][at]);
        assert_eq!(*done, whole["output"][at]);
    }
}

#[test]
fn a_call_that_does_not_say_what_to_do_is_not_run_as_something_else() {
    let (sent, whole) = native_calls(&[
        ("shell", r#"{"cmd":"ls"}"#, true),
        ("apply_patch", r#"{"type":"delete_file","path":"a"}"#, false),
    ]);
    let output = &sent.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["type"], "function_call");
    assert_eq!((&output[0]["name"], &output[0]["arguments"]), (&json!("shell"), &json!(r#"{"cmd":"ls"}"#)));
    assert_eq!((&output[1]["type"], &output[1]["status"]), (&json!("function_call"), &json!("incomplete")));
    assert_eq!(output[0], whole["output"][0]);
}
