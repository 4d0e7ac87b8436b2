//! Streams in.

use super::*;

pub(super) fn trace_of(event: Event<'_>) -> String {
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
        Event::Delta { part, delta: Delta::Logprobs(tokens), .. } => {
            let tokens: Vec<_> = tokens
                .iter()
                .map(|token| format!("{} {}", token.token.decode(), token.logprob.as_str()))
                .collect();
            format!("{part} tokens {}", tokens.join(", "))
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

pub(super) fn decode_bytes(chunks: &[&[u8]]) -> Vec<String> {
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

pub(super) fn stream_of(events: &[Value]) -> String {
    events
        .iter()
        .map(|event| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap()))
        .collect()
}

pub(super) fn decode(events: &[Value]) -> Vec<String> {
    decode_bytes(&[stream_of(events).as_bytes()])
}

pub(super) fn created() -> Value {
    json!({"type": "response.created", "sequence_number": 0, "response":
        {"id": "resp_1", "object": "response", "created_at": 7, "status": "in_progress", "model": "m", "output": []}})
}

pub(super) fn completed(output: Value) -> Value {
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

pub(super) fn message(text: &str) -> Value {
    json!({"type": "message", "id": "msg_1", "status": "completed", "role": "assistant",
        "content": [{"type": "output_text", "text": text, "annotations": []}]})
}

fn call(id: &str, arguments: &str) -> Value {
    json!({"type": "function_call", "id": format!("fc_{id}"), "call_id": id, "name": "f", "arguments": arguments})
}

/// Reasoning in two segments, text with a citation, and two interleaved calls.
pub(super) fn rich_stream() -> Vec<Value> {
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
        added(0, json!({"type": "file_search_call", "id": "fs_1"})),
        json!({"type": "response.file_search_call.searching", "output_index": 0}),
        done(0, json!({"type": "file_search_call", "id": "fs_1", "status": "completed"})),
        done(
            1,
            json!({"type": "image_generation_call", "id": "ig_1", "result": "AAAA", "output_format": "webp"}),
        ),
        completed(json!([])),
    ]);
    assert_eq!(seen[1..6], ["0 opaque", "0 end true", "1 media image/webp", "1: AAAA", "1 end true"]);
}
