use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Decoder, Encoder};
use crate::protocol::anthropic::{aggregate, error, observe, response};
use crate::protocol::canonical::{
    Citation, Collector, Delta, ErrorView, Event, Exchange, FaultKind, Finish, FinishReason, Opaque,
    OpaqueKind, PartHeader, PartMeta, Provider, Request, Response, Usage, envelope,
};
use crate::protocol::{Observation, Protocol, Signal, sse};

mod blocks;
mod search;

const STREAM: &str = r#"event: message_start
data: {"type":"message_start","message":{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[],"stop_reason":null,"stop_sequence":null,"service_tier":"standard","usage":{"input_tokens":9,"cache_creation_input_tokens":5,"cache_read_input_tokens":30,"cache_creation":{"ephemeral_5m_input_tokens":2,"ephemeral_1h_input_tokens":3},"output_tokens":1}}}

event: content_block_start
data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

event: ping
data: {"type": "ping"}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Need both \ud83d"}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"\ude00."}}

event: content_block_delta
data: {"type":"content_block_delta","index":0,"delta":{"type":"signature_delta","signature":"c2ln"}}

event: content_block_stop
data: {"type":"content_block_stop","index":0}

event: content_block_start
data: {"type":"content_block_start","index":1,"content_block":{"type":"redacted_thinking","data":"eHh4"}}

event: content_block_stop
data: {"type":"content_block_stop","index":1}

event: content_block_start
data: {"type":"content_block_start","index":2,"content_block":{"type":"server_tool_use","id":"srvtoolu_1","name":"web_search","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"{\"query\":"}}

event: content_block_delta
data: {"type":"content_block_delta","index":2,"delta":{"type":"input_json_delta","partial_json":"\"q\"}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":2}

event: content_block_start
data: {"type":"content_block_start","index":3,"content_block":{"type":"text","text":""}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"text_delta","text":"Größe 😀"}}

event: content_block_delta
data: {"type":"content_block_delta","index":3,"delta":{"type":"citations_delta","citation":{"type":"web_search_result_location","url":"https://a.test","title":"A","cited_text":"a","encrypted_index":"x"}}}

event: content_block_stop
data: {"type":"content_block_stop","index":3}

event: content_block_start
data: {"type":"content_block_start","index":4,"content_block":{"type":"tool_use","id":"toolu_1","name":"f","input":{}}}

event: content_block_delta
data: {"type":"content_block_delta","index":4,"delta":{"type":"input_json_delta","partial_json":"{\"x\":1.10}"}}

event: content_block_stop
data: {"type":"content_block_stop","index":4}

event: content_block_start
data: {"type":"content_block_start","index":5,"content_block":{"type":"tool_use","id":"toolu_2","name":"g","input":{}}}

event: content_block_stop
data: {"type":"content_block_stop","index":5}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":31,"output_tokens_details":{"thinking_tokens":7}}}

event: message_delta
data: {"type":"message_delta","delta":{"stop_reason":null},"usage":{"output_tokens":null},"context_management":{"applied_edits":[]}}

event: message_stop
data: {"type":"message_stop"}

"#;

fn exchange(upstream: Protocol) -> Exchange {
    let request = Request::default();
    Exchange { show_reasoning: true, seed: 1, ..Exchange::new(&request, Protocol::Anthropic, upstream) }
}

fn feed(chunks: &[&[u8]], mut each: impl FnMut(&sse::Event<'_>)) {
    let mut decoder = sse::Decoder::default();
    for chunk in chunks {
        decoder.push(chunk, |event| each(&event)).unwrap();
    }
    decoder.finish(|event| each(&event));
}

fn decode(chunks: &[&[u8]]) -> Vec<String> {
    let mut seen = Vec::new();
    let mut decoder = Decoder::default();
    let mut sink = |event: Event<'_>| seen.push(format!("{event:?}"));
    feed(chunks, |event| decoder.event(event, &mut sink));
    decoder.finish(&mut sink);
    seen
}

fn collect(text: &str) -> Result<Response<'static>, ErrorView> {
    let mut decoder = Decoder::default();
    let mut collector = Collector::default();
    feed(&[text.as_bytes()], |event| decoder.event(event, &mut |e| collector.event(e)));
    decoder.finish(&mut |e| collector.event(e));
    collector.finish()
}

fn encode(exchange: &Exchange, events: &[Event<'_>]) -> String {
    let mut encoder = Encoder::new(exchange);
    let mut out = Vec::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    String::from_utf8(out).unwrap()
}

fn fold(text: &str) -> Result<Vec<u8>, ErrorView> {
    let mut aggregator = aggregate::Aggregator::default();
    let mut failed = None;
    feed(&[text.as_bytes()], |event| {
        if let Err(error) = aggregator.event(event) {
            failed.get_or_insert(error);
        }
    });
    match failed {
        Some(error) => Err(error),
        None => aggregator.finish(),
    }
}

fn aggregate(text: &str) -> Result<Value, ErrorView> {
    Ok(serde_json::from_slice(&fold(text)?).unwrap())
}

fn whole(response: &Response<'_>, exchange: &Exchange) -> Value {
    let mut out = Vec::new();
    response::encode(response, exchange, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn content() -> Value {
    json!([
        {"type": "thinking", "thinking": "Need both 😀.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "eHh4"},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "text", "text": "Größe 😀", "citations": [{"type": "web_search_result_location",
            "url": "https://a.test", "title": "A", "cited_text": "a", "encrypted_index": ""}]},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1.10}},
        {"type": "tool_use", "id": "toolu_2", "name": "g", "input": {}}
    ])
}

#[test]
fn t153_t156_a_stream_means_what_its_answer_means() {
    let response = collect(STREAM).unwrap();
    assert_eq!(
        response.usage,
        Usage {
            input: Some(44),
            cache_read: Some(30),
            cache_write: Some(2),
            cache_write_1h: Some(3),
            output: Some(31),
            reasoning: Some(7),
            ..Usage::default()
        }
    );
    let mine = whole(&response, &exchange(Protocol::Anthropic));
    assert_eq!(mine["content"], content());
    assert_eq!(mine["stop_reason"], "tool_use");
    assert_eq!(mine["usage"]["input_tokens"], 9);
    assert_eq!(mine["usage"]["cache_creation_input_tokens"], 5);
}

#[test]
fn our_own_stream_folds_to_our_own_answer() {
    let response = collect(STREAM).unwrap();
    for upstream in [Protocol::Anthropic, Protocol::Gemini] {
        let exchange = exchange(upstream);
        let mut events = Vec::new();
        let mut encoder = Encoder::new(&exchange);
        response.replay(|event| encoder.event(&event, &mut events));
        let text = String::from_utf8(events).unwrap();
        let (mine, folded) = (whole(&response, &exchange), aggregate(&text).unwrap());
        assert_eq!(folded, mine);
    }
}

#[test]
fn t001_cuts_anywhere_change_nothing() {
    let whole = decode(&[STREAM.as_bytes()]);
    for at in 0..STREAM.len() {
        let (head, tail) = STREAM.as_bytes().split_at(at);
        assert_eq!(decode(&[head, tail]), whole, "cut at {at}");
    }
}

#[test]
fn t021_t022_a_truncated_stream_is_an_error_and_no_success() {
    let ends: Vec<usize> = STREAM.match_indices("\n\n").map(|(at, _)| at + 2).collect();
    for end in ends.iter().rev().skip(1) {
        let text = &STREAM[..*end];
        assert_eq!(collect(text).unwrap_err().kind, FaultKind::BadUpstream, "cut at {end}");
        assert_eq!(aggregate(text).unwrap_err().kind, FaultKind::BadUpstream);
        let mut out = Vec::new();
        let mut encoder = Encoder::new(&exchange(Protocol::Anthropic));
        let mut decoder = Decoder::default();
        feed(&[text.as_bytes()], |event| decoder.event(event, &mut |e| encoder.event(&e, &mut out)));
        decoder.finish(&mut |e| encoder.event(&e, &mut out));
        let out = String::from_utf8(out).unwrap();
        // Client libraries miss the end that is missing: they have to be told.
        let (_, last) = out.trim_end().rsplit_once("\n\n").unwrap();
        assert!(last.starts_with("event: error\ndata: {\"type\":\"error\""), "cut at {end}: {last}");
        assert!(out.ends_with("\n\n"));
        assert!(!out.contains("event: message_stop") && !out.contains("event: message_delta"));
    }
}

#[test]
fn t150_what_nobody_knows_survives_the_fold() {
    let folded = aggregate(STREAM).unwrap();
    assert_eq!(folded["service_tier"], "standard");
    assert_eq!(folded["context_management"], json!({"applied_edits": []}));
    assert_eq!(folded["stop_reason"], "tool_use");
    assert_eq!(folded["usage"]["output_tokens"], 31);
    assert_eq!(folded["usage"]["cache_read_input_tokens"], 30);
    assert_eq!(folded["content"][3]["citations"][0]["encrypted_index"], "x");
    assert_eq!(folded["content"][2]["input"], json!({"query": "q"}));
}

#[test]
fn t166_an_error_in_the_stream_is_the_error() {
    let start = &STREAM[..STREAM.find("\n\n").unwrap() + 2];
    for event in [
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
        "data: {\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n",
    ] {
        let text = format!("{start}{event}{STREAM}");
        let error = collect(&text).unwrap_err();
        assert_eq!((error.kind, error.message.as_str()), (FaultKind::Overloaded, "Overloaded"));
        assert_eq!(aggregate(&text).unwrap_err().kind, FaultKind::Overloaded);
        let seen = decode(&[text.as_bytes()]);
        assert!(seen.last().unwrap().starts_with("Error"), "nothing follows an error");
        let mut state = Observation::default();
        let mut signals = Vec::new();
        feed(&[start.as_bytes(), event.as_bytes()], |event| signals.push(observe::event(event, &mut state)));
        assert_eq!(signals[0], Signal::Quiet);
        assert!(matches!(&signals[1], Signal::Error(view) if view.kind == FaultKind::Overloaded));
    }
}

#[test]
fn a_watcher_sees_content_counts_and_the_end() {
    let mut state = Observation::default();
    let mut signals = Vec::new();
    feed(&[STREAM.as_bytes()], |event| {
        assert!(!state.may_end);
        signals.push(observe::event(event, &mut state));
    });
    assert_eq!(signals[..2], [Signal::Quiet, Signal::Quiet], "an empty block says nothing");
    assert!(signals.contains(&Signal::Content));
    assert!(state.may_end);
    assert_eq!(state.usage, collect(STREAM).unwrap().usage);
    let empty = sse::Event {
        name: None,
        data: br#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":""}}"#.into(),
    };
    assert_eq!(observe::event(&empty, &mut state), Signal::Quiet);
}

#[test]
fn t059_a_call_whose_input_comes_with_its_beginning() {
    let text = STREAM.replace(
        r#""id":"toolu_2","name":"g","input":{}"#,
        r#""id":"toolu_2","name":"g","input":{"early":[1.0]}"#,
    );
    let mine = whole(&collect(&text).unwrap(), &exchange(Protocol::Anthropic));
    assert_eq!(mine["content"][5]["input"], json!({"early": [1.0]}));
    assert_eq!(aggregate(&text).unwrap()["content"][5]["input"], json!({"early": [1.0]}));
}

fn delta<'a>(part: u32, delta: Delta<'a>) -> Event<'a> {
    Event::Delta { choice: 0, part, delta }
}

fn start<'a>(part: u32, header: PartHeader<'a>) -> Event<'a> {
    Event::PartStart { choice: 0, part, header }
}

fn end<'a>(part: u32) -> Event<'a> {
    Event::PartEnd { choice: 0, part, complete: true }
}

fn meta<'a>(part: u32, provider: Provider, value: &'a str) -> Event<'a> {
    let opaque = Opaque::new(provider, OpaqueKind::Signature, value.into());
    Event::PartMeta { choice: 0, part, meta: PartMeta { opaque } }
}

fn opening() -> Event<'static> {
    Event::Start { id: "msg_9".into(), model: "up".into(), created: None }
}

fn finish(reason: FinishReason) -> Event<'static> {
    Event::Finish { choice: 0, finish: Finish::new(reason) }
}

#[test]
fn t015_t031_a_text_stream_to_the_byte() {
    let exchange = Exchange { model: Some("alias".to_owned()), ..exchange(Protocol::OpenAi) };
    let text = encode(
        &exchange,
        &[
            opening(),
            start(0, PartHeader::Text),
            delta(0, Delta::Text("H\"i".into())),
            end(0),
            Event::Usage(Usage { input: Some(12), cache_read: Some(3), output: Some(2), ..Usage::default() }),
            finish(FinishReason::Stop),
            Event::End,
            Event::Ping,
        ],
    );
    assert_eq!(
        text,
        concat!(
            "event: message_start\n",
            r#"data: {"type":"message_start","message":{"id":"msg_9","type":"message","role":"assistant","model":"alias","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":0,"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":0}}}"#,
            "\n\nevent: ping\ndata: {\"type\":\"ping\"}\n\n",
            "event: content_block_start\n",
            r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            "\n\nevent: content_block_delta\n",
            r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"H\"i"}}"#,
            "\n\nevent: content_block_stop\n",
            r#"data: {"type":"content_block_stop","index":0}"#,
            "\n\nevent: message_delta\n",
            r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"input_tokens":9,"cache_creation_input_tokens":0,"cache_read_input_tokens":3,"output_tokens":2}}"#,
            "\n\nevent: message_stop\n",
            r#"data: {"type":"message_stop"}"#,
            "\n\n",
        )
    );
}

#[test]
fn t033_t117_reasoning_of_others_carries_its_envelope_if_asked_for() {
    let events = [
        opening(),
        start(0, PartHeader::Reasoning),
        delta(0, Delta::Text("wh".into())),
        delta(0, Delta::Text("y".into())),
        meta(0, Provider::OpenAi, "state"),
        end(0),
        finish(FinishReason::Stop),
        Event::End,
    ];
    let shown = aggregate(&encode(&exchange(Protocol::Responses), &events)).unwrap();
    let signature = shown["content"][0]["signature"].as_str().unwrap();
    let opened = envelope::open(&signature.into()).unwrap();
    assert!(opened.matches(&"why".into()));
    assert_eq!(opened.opaque.value, "state");
    let hidden = Exchange { show_reasoning: false, ..exchange(Protocol::Responses) };
    assert_eq!(aggregate(&encode(&hidden, &events)).unwrap()["content"], json!([]));
}

#[test]
fn t100_t102_signatures_of_gemini_ride_in_front_of_calls_and_behind_text() {
    let events = [
        opening(),
        start(0, PartHeader::Text),
        delta(0, Delta::Text("seen".into())),
        meta(0, Provider::Gemini, "dGV4dA=="),
        end(0),
        start(1, PartHeader::ToolCall { id: "call_1".into(), name: "f".into(), custom: false }),
        delta(1, Delta::Arguments("{}".into())),
        meta(1, Provider::Gemini, "Y2FsbA=="),
        end(1),
        finish(FinishReason::ToolCalls),
        Event::End,
    ];
    let answer = aggregate(&encode(&exchange(Protocol::Gemini), &events)).unwrap();
    let tags: Vec<_> = answer["content"].as_array().unwrap().iter().map(|block| &block["type"]).collect();
    assert_eq!(tags, ["text", "thinking", "thinking", "tool_use"]);
    // And they find their way home.
    let body = json!({"model": "m", "messages": [{"role": "assistant", "content": answer["content"]}]});
    let body = body.to_string();
    let request = crate::protocol::anthropic::request::decode(&body).unwrap();
    let signatures: Vec<_> = request.turns[0]
        .parts
        .iter()
        .map(|part| part.opaque.as_ref().unwrap().value.decode().into_owned())
        .collect();
    assert_eq!(signatures, ["dGV4dA==", "Y2FsbA=="]);
    let whole = whole(&collector(&events), &exchange(Protocol::Gemini));
    assert_eq!(whole["content"], answer["content"]);
}

fn collector(events: &[Event<'_>]) -> Response<'static> {
    let mut collector = Collector::default();
    events.iter().for_each(|event| collector.event(event.clone()));
    collector.finish().unwrap()
}

#[test]
fn t035_t158_t161_empty_text_unknown_counts_and_withheld_content() {
    let text = encode(
        &exchange(Protocol::Gemini),
        &[
            opening(),
            start(0, PartHeader::Text),
            end(0),
            Event::Finish {
                choice: 0,
                finish: Finish {
                    category: Some("safety".into()),
                    explanation: Some("no".into()),
                    ..Finish::new(FinishReason::ContentFilter)
                },
            },
            Event::End,
        ],
    );
    let answer = aggregate(&text).unwrap();
    assert_eq!(answer["content"], json!([]));
    assert_eq!(answer["stop_reason"], "refusal");
    assert_eq!(answer["stop_details"], json!({"type": "refusal", "category": null, "explanation": "no"}));
    assert_eq!(answer["usage"]["input_tokens"], 0);
}

#[test]
fn free_text_calls_are_objects_to_this_client() {
    let events = [
        opening(),
        start(0, PartHeader::ToolCall { id: "c".into(), name: "patch".into(), custom: true }),
        delta(0, Delta::Arguments("a\"\n".into())),
        delta(0, Delta::Arguments("b".into())),
        end(0),
        finish(FinishReason::ToolCalls),
        Event::End,
    ];
    let answer = aggregate(&encode(&exchange(Protocol::Responses), &events)).unwrap();
    assert_eq!(answer["content"][0]["input"], json!({"input": "a\"\nb"}));
}

#[test]
fn t060_a_call_that_was_cut_off_is_not_folded_into_one_that_an_agent_runs() {
    let stream = |json: &str, reason: &str| {
        let events = [
            json!({"type": "message_start", "message": {"id": "m", "content": []}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "On it."}}),
            json!({"type": "content_block_start", "index": 1,
                "content_block": {"type": "tool_use", "id": "t", "name": "f", "input": {}}}),
            json!({"type": "content_block_delta", "index": 1,
                "delta": {"type": "input_json_delta", "partial_json": json}}),
            json!({"type": "message_delta", "delta": {"stop_reason": reason}}),
            json!({"type": "message_stop"}),
        ];
        events.map(|event| format!("data: {event}\n\n")).concat()
    };
    let cut = aggregate(&stream(r#"{"path": "/et"#, "max_tokens")).unwrap();
    assert_eq!(cut["content"], json!([{"type": "text", "text": "On it."}]));
    assert_eq!(cut["stop_reason"], "max_tokens");
    let whole = aggregate(&stream(r#"{"path": "/etc"}"#, "max_tokens")).unwrap();
    assert_eq!(whole["content"][1]["input"], json!({"path": "/etc"}));
    // Nothing was cut: the agent is told what the model wrote.
    let odd = aggregate(&stream(r#"{"path": "/et"#, "tool_use")).unwrap();
    assert_eq!(odd["content"][1]["input"], json!({"_raw_arguments": r#"{"path": "/et"#}));
}

#[test]
fn t060_t162_calls_that_must_not_run() {
    let events = |reason| {
        [
            opening(),
            start(0, PartHeader::ToolCall { id: "c".into(), name: "f".into(), custom: false }),
            delta(0, Delta::Arguments("{\"a\":".into())),
            end(0),
            finish(reason),
            Event::End,
        ]
    };
    let cut = whole(&collector(&events(FinishReason::Length)), &exchange(Protocol::OpenAi));
    assert_eq!((&cut["content"], &cut["stop_reason"]), (&json!([]), &json!("max_tokens")));
    let odd = whole(&collector(&events(FinishReason::ToolCalls)), &exchange(Protocol::OpenAi));
    assert_eq!(odd["content"][0]["input"], json!({"_raw_arguments": "{\"a\":"}));
    let text = encode(&exchange(Protocol::Gemini), &events(FinishReason::Malformed));
    assert!(text.contains("event: error") && !text.contains("message_stop"));
}

#[test]
fn citations_of_others_have_every_member() {
    let citation = Citation { url: "https://a.test".into(), title: None, cited_text: None, range: None };
    let events = [
        opening(),
        start(0, PartHeader::Text),
        delta(0, Delta::Text("x".into())),
        delta(0, Delta::Citation(citation)),
        end(0),
        Event::End,
    ];
    let answer = aggregate(&encode(&exchange(Protocol::OpenAi), &events)).unwrap();
    assert_eq!(
        answer["content"][0]["citations"],
        json!([{"type": "web_search_result_location", "url": "https://a.test", "title": null,
            "cited_text": "", "encrypted_index": ""}])
    );
    assert_eq!(answer["stop_reason"], "end_turn");
}

#[test]
fn t164_error_events_have_all_keys() {
    let mut out = Vec::new();
    error::write_event(&ErrorView::new(FaultKind::Overloaded, "busy"), &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"busy\"},\"request_id\":null}\n\n"
    );
}

#[test]
fn the_answer_tool_comes_back_as_text() {
    let text = STREAM
        .replace(r#""name":"f""#, r#""name":"aiproxy_answer""#)
        .replace(r#""id":"toolu_2","name":"g""#, r#""id":"toolu_2","name":"aiproxy_answer""#);
    let mine = whole(&collect(&text).unwrap(), &exchange(Protocol::Anthropic));
    assert_eq!(mine["content"][4], json!({"type": "text", "text": "{\"x\":1.10}"}));
    assert_eq!(mine["content"][5], json!({"type": "text", "text": "{}"}));
    assert_eq!(mine["stop_reason"], "end_turn");
    let folded = aggregate(&text).unwrap().to_string();
    assert_eq!(response::decode(&folded).unwrap().choices[0].finish.reason, FinishReason::Stop);
}

proptest! {
    #[test]
    fn hostile_streams_never_crash_and_always_end(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(
            vec!["", "null", "{}", "[]", "9", "{", "\"", "\\ud800", "\n\n", "content_block_start", "tool_use"])), 1..8),
    ) {
        let mut text = STREAM.to_owned();
        for (at, with) in edits {
            let at = at.index(text.len());
            if text.is_char_boundary(at) && text.is_char_boundary(at + 1) {
                text.replace_range(at..=at, with);
            }
        }
        let seen = decode(&[text.as_bytes()]);
        let is_last = |event: &String| event.starts_with("Error") || event == "End";
        prop_assert_eq!(seen.iter().filter(|event| is_last(event)).count(), 1);
        prop_assert!(seen.last().is_some_and(is_last));
        let _ = fold(&text);
        let mut state = Observation::default();
        feed(&[text.as_bytes()], |event| { observe::event(event, &mut state); });
    }
}

#[test]
fn t092_call_ids_are_usable_and_never_twice() {
    let calling = |part, id: &'static str| {
        [start(part, PartHeader::ToolCall { id: id.into(), name: "f".into(), custom: false }), end(part)]
    };
    let mut events = vec![opening()];
    for (part, id) in (0..).zip(["call_0", "call_0", "", "a b"]) {
        events.extend(calling(part, id));
    }
    events.extend([finish(FinishReason::ToolCalls), Event::End]);
    let exchange = exchange(Protocol::OpenAi);
    let streamed = aggregate(&encode(&exchange, &events)).unwrap();
    assert_eq!(streamed["content"], whole(&collector(&events), &exchange)["content"]);
    let ids: std::collections::HashSet<_> =
        streamed["content"].as_array().unwrap().iter().map(|block| block["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), 4);
    assert!(ids.contains("call_0") && ids.iter().all(|id| id.starts_with("call_")));
}

#[test]
fn t014_a_ping_before_the_start_does_not_take_its_id_away() {
    let early = "event: ping\ndata: {\"type\":\"ping\"}\n\n".to_owned() + STREAM;
    assert_eq!(decode(&[early.as_bytes()]), decode(&[STREAM.as_bytes()]));
}
