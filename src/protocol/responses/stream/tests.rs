//! Streams out, and what holds for both ways.

mod decode;
mod logprobs;
mod native;
mod search;

use proptest::prelude::*;
use serde_json::{Value, json};

use decode::{completed, created, decode, decode_bytes, message, rich_stream, stream_of, trace_of};

use super::super::{request, response};
use super::{Decoder, Encoder};
use crate::protocol::canonical::envelope::open;
use crate::protocol::canonical::{
    Citation, Collector, Delta, ErrorView, Event, Exchange, FaultKind, Finish, FinishReason, Opaque,
    OpaqueKind, PartHeader, PartKind, PartMeta, Provider, Request, Usage,
};
use crate::protocol::json::{Raw, Str};
use crate::protocol::{Protocol, sse};

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
    let opaque = Opaque::new(provider, OpaqueKind::Signature, "sig".into());
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
    assert!(out.is_empty(), "nothing has been said yet");
    encoder.event(&script[2], &mut out);
    let told = String::from_utf8(out).unwrap();
    let id = told.split("\"id\":\"").nth(1).unwrap().split('"').next().unwrap();
    assert!(id.starts_with("msg_") && id.len() == 52);
    let said = told.find("event: response.output_text.delta").unwrap();
    assert_eq!(
        &told[said..],
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

/// An empty message is an answer to those who look at the last one, and refused by some when it comes back.
#[test]
fn t035_t103_a_signature_without_words_is_no_message_and_comes_back() {
    let mut script = vec![start()];
    script.extend(text_part(0, made("call_a", "f"), &["{}"]));
    let mut silent = text_part(1, PartHeader::Text, &[]);
    silent.insert(1, signed(1, Provider::Gemini));
    script.extend(silent);
    script.extend(finish(FinishReason::ToolCalls));
    let events = encode(&exchange(Protocol::Gemini), &script);
    let output = events.last().unwrap()["response"]["output"].clone();
    let types: Vec<_> = output.as_array().unwrap().iter().map(|item| &item["type"]).collect();
    assert_eq!(types, ["function_call", "reasoning"]);
    let body = json!({"model": "m", "input": output}).to_string();
    let request = request::decode(&body).unwrap();
    let last = request.turns.last().and_then(|turn| turn.parts.last()).unwrap();
    assert!(matches!(&last.kind, PartKind::Text { text } if text.is_empty()), "{last:?}");
    let state = last.opaque.as_ref().unwrap();
    assert!(state.value == "sig" && state.item_id.is_none(), "{state:?}");
    // Behind words it is theirs, and a text that says nothing at all is none.
    let mut script = vec![start()];
    script.extend(text_part(0, PartHeader::Text, &["Hi"]));
    script.extend(text_part(1, PartHeader::Refusal, &[]));
    let mut silent = text_part(2, PartHeader::Text, &[]);
    silent.insert(1, signed(2, Provider::Gemini));
    script.extend(silent);
    script.extend(text_part(3, PartHeader::Text, &[]));
    script.extend(finish(FinishReason::Stop));
    let events = encode(&exchange(Protocol::Gemini), &script);
    let output = &events.last().unwrap()["response"]["output"];
    assert_eq!((&output[0]["type"], &output[1]["type"]), (&json!("message"), &json!("reasoning")));
    assert_eq!(output[0]["content"].as_array().unwrap().len(), 1, "{output}");
    assert!(output.get(2).is_none(), "{output}");
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
