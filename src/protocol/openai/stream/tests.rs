mod logprobs;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Decoder, Encoder};
use crate::protocol::canonical::{
    Citation, Collector, Delta, ErrorView, Event, Exchange, FaultKind, Finish, FinishReason, Opaque,
    OpaqueKind, PartHeader, PartKind, PartMeta, Provider, Request, Response, Usage,
};
use crate::protocol::json::Str;
use crate::protocol::openai::response;
use crate::protocol::{Dialect, Protocol, sse};

/// The events of a stream, in words.
fn told(stream: &[u8], cut: usize) -> Vec<String> {
    let mut seen = Vec::new();
    run(stream, cut, |event| seen.push(format!("{event:?}")));
    seen
}

fn run(stream: &[u8], cut: usize, mut sink: impl FnMut(Event<'_>)) {
    let mut decoder = Decoder::new(&Dialect::default(), 7);
    let mut reader = sse::Decoder::default();
    let (head, tail) = stream.split_at(cut);
    for chunk in [head, tail] {
        reader.push(chunk, |event| decoder.event(&event, &mut sink)).unwrap();
    }
    reader.finish(|event| decoder.event(&event, &mut sink));
    decoder.finish(&mut sink);
}

fn collect(stream: &str) -> Result<Response<'static>, ErrorView> {
    let mut collector = Collector::default();
    run(stream.as_bytes(), 0, |event| collector.event(event));
    collector.finish()
}

fn stream(deltas: &[&str], finish: &str) -> String {
    let mut text = String::new();
    for delta in deltas {
        text += &format!(
            "data: {{\"id\":\"c\",\"model\":\"m\",\"created\":1,\"choices\":[{{\"index\":0,\"delta\":{delta},\"finish_reason\":null}}]}}\n\n"
        );
    }
    text + &format!(
        "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{{}},\"finish_reason\":{finish}}}]}}\n\ndata: [DONE]\n\n"
    )
}

fn calls(answer: &Response<'_>) -> Vec<(String, String, String)> {
    answer.choices[0]
        .parts
        .iter()
        .filter_map(|part| match &part.kind {
            PartKind::ToolCall { id, name, arguments, .. } => {
                Some((id.decode().into_owned(), name.decode().into_owned(), arguments.to_string()))
            }
            _ => None,
        })
        .collect()
}

fn call(id: &str, name: &str, arguments: &str) -> (String, String, String) {
    (id.to_owned(), name.to_owned(), arguments.to_owned())
}

const FULL: &str = concat!(
    "data: {\"id\":\"\",\"model\":\"\",\"choices\":[],\"prompt_filter_results\":[]}\n\n",
    "data: {\"id\":\"c1\",\"created\":9,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},\"finish_reason\":null}],\"usage\":null}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"reasoning_content\":\"Hm \u{1f600}.\"}}]}\r\n\r\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi \\ud83d\"}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\\ude00\"}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"type\":\"function\",\"function\":{\"name\":\"f\",\"arguments\":\"\"}},{\"index\":1,\"id\":\"b\",\"function\":{\"name\":\"g\",\"arguments\":\"{\\\"y\\\"\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"{\\\"x\\\":1\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":1,\"function\":{\"arguments\":\":2}\"}},{\"index\":0,\"function\":{\"arguments\":\"}\"}}]}}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n",
    "data: {\"id\":\"c1\",\"choices\":[],\"usage\":{\"prompt_tokens\":3,\"completion_tokens\":4}}\n\n",
    "data: [DONE] \n\n",
);

#[test]
fn t001_t002_events_do_not_depend_on_where_chunks_are_cut() {
    let whole = told(FULL.as_bytes(), 0);
    for cut in 0..=FULL.len() {
        assert_eq!(told(FULL.as_bytes(), cut), whole, "cut at {cut}");
    }
}

#[test]
fn t005_t027_t032_t089_a_full_stream_is_one_answer() {
    let answer = collect(FULL).unwrap();
    assert_eq!((answer.id.as_escaped(), answer.model.as_escaped(), answer.created), ("c1", "m", Some(9)));
    let parts = &answer.choices[0].parts;
    assert!(matches!(&parts[0].kind, PartKind::Reasoning { text, .. } if *text == "Hm 😀."));
    assert_eq!(parts[0].opaque.as_ref().unwrap().provider, Provider::None);
    assert!(matches!(&parts[1].kind, PartKind::Text { text } if *text == "Hi 😀"), "T005");
    assert_eq!(calls(&answer), [call("a", "f", r#"{"x":1}"#), call("b", "g", r#"{"y":2}"#)], "T032");
    assert_eq!(answer.choices[0].finish.reason, FinishReason::ToolCalls, "T089");
    assert_eq!((answer.usage.input, answer.usage.output), (Some(3), Some(4)), "T027");
    let seen = told(FULL.as_bytes(), 0);
    let at = |what: &str| seen.iter().position(|event| event.starts_with(what)).unwrap();
    assert!(at("Usage") < at("Finish"), "T027: {seen:?}");
}

#[test]
fn t021_a_cut_stream_is_an_error_and_never_a_success() {
    let finish = FULL.find("\"finish_reason\":\"stop\"").unwrap();
    let end_of_finish = finish + FULL[finish..].find("\n\n").unwrap();
    for cut in 0..FULL.len() {
        let stream = &FULL.as_bytes()[..cut];
        let seen = told(stream, 0);
        let ended = seen.iter().any(|event| event == "End");
        let errors = seen.iter().filter(|event| event.starts_with("Error")).count();
        if cut < end_of_finish {
            assert!(!ended && errors == 1, "cut at {cut}: {seen:?}");
        } else {
            assert_eq!(usize::from(ended) + errors, 1, "cut at {cut}: {seen:?}");
        }
        assert!(!ended || !seen.iter().any(|event| event.starts_with("Error")));
    }
}

#[test]
fn t018_an_error_event_ends_the_stream() {
    let text = "data: {\"error\":{\"message\":\"slow down\",\"type\":\"rate_limit_error\",\"code\":429}}\n\ndata: [DONE]\n\n";
    let seen = told(text.as_bytes(), 0);
    assert_eq!(seen.len(), 1);
    assert_eq!(collect(text).unwrap_err().kind, FaultKind::RateLimit);
    assert_eq!(collect("data: {\"error\":\"x\"}\n\n").unwrap_err().kind, FaultKind::BadUpstream);
}

#[test]
fn t019_t026_t023_odd_chunks_are_no_trouble() {
    let text = concat!(
        "data: {\"choices\":null}\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":null}]}\n\n",
        "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"all\"}}]}\n\n",
        "data: [DONE]\n\n",
    );
    let answer = collect(text).unwrap();
    assert!(matches!(&answer.choices[0].parts[0].kind, PartKind::Text { text } if *text == "all"));
    assert_eq!(answer.choices[0].finish.reason, FinishReason::Stop);
    let shared =
        "data: {\"id\":\"c\",\"choices\":[{\"delta\":{\"content\":\"x\"},\"finish_reason\":\"length\"}]}\n\n";
    assert_eq!(collect(shared).unwrap().choices[0].finish.reason, FinishReason::Length);
    assert!(collect("data: [DONE]\n\n").is_err(), "nothing is no answer");
    assert!(collect("").is_err());
}

#[test]
fn t045_t094_calls_of_every_server_are_told_apart() {
    let same_index = stream(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"b","function":{"name":"f","arguments":"{\"x\":1}"}}]}"#,
        ],
        r#""tool_calls""#,
    );
    assert_eq!(calls(&collect(&same_index).unwrap()), [call("a", "f", "{}"), call("b", "f", r#"{"x":1}"#)]);
    let no_index = stream(
        &[
            r#"{"tool_calls":[{"id":"a","function":{"name":"f","arguments":"{}"}},{"id":"b","function":{"name":"g","arguments":null}}]}"#,
        ],
        r#""stop""#,
    );
    assert_eq!(calls(&collect(&no_index).unwrap()), [call("a", "f", "{}"), call("b", "g", "{}")]);
    let late_name = stream(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"arguments":"{\"x\":"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"1}"}}]}"#,
            r#"{"tool_calls":[{"index":0,"id":"other","function":{"arguments":"{\"x\":1}"}}]}"#,
        ],
        r#""tool_calls""#,
    );
    assert_eq!(calls(&collect(&late_name).unwrap()), [call("a", "f", r#"{"x":1}"#)]);
    let pieces = stream(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"read_"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"name":"file"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"{}"}}]}"#,
        ],
        r#""tool_calls""#,
    );
    assert_eq!(calls(&collect(&pieces).unwrap()), [call("a", "read_file", "{}")]);
}

/// Servers that give their calls neither ids nor numbers of their own: the deltas, and the calls that are meant.
pub(in super::super) const UNNUMBERED_CALLS: [(&[&str], &[(&str, &str)]); 8] = [
    (
        &[
            r#"{"tool_calls":[{"function":{"name":"f","arguments":""}},{"function":{"name":"g","arguments":""}}]}"#,
        ],
        &[("f", ""), ("g", "")],
    ),
    (
        &[r#"{"tool_calls":[{"index":0,"function":{"name":"f"}},{"index":0,"function":{"name":"f"}}]}"#],
        &[("f", ""), ("f", "")],
    ),
    (
        &[
            r#"{"tool_calls":[{"function":{"name":"f","arguments":"{\"x\":1}"}},{"function":{"name":"f","arguments":"{\"x\":1}"}}]}"#,
        ],
        &[("f", r#"{"x":1}"#), ("f", r#"{"x":1}"#)],
    ),
    (
        &[
            r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}},{"index":0,"function":{"name":"g","arguments":"{}"}}]}"#,
        ],
        &[("f", "{}"), ("g", "{}")],
    ),
    // Their arguments follow at their places.
    (
        &[
            r#"{"tool_calls":[{"function":{"name":"f"}},{"function":{"name":"g"}}]}"#,
            r#"{"tool_calls":[{"function":{"arguments":"{\"x\""}},{"function":{"arguments":"{\"y\""}}]}"#,
            r#"{"tool_calls":[{"function":{"arguments":":1}"}},{"function":{"arguments":":2}"}}]}"#,
        ],
        &[("f", r#"{"x":1}"#), ("g", r#"{"y":2}"#)],
    ),
    // A copy of it all at the end is no more than that.
    (
        &[
            r#"{"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"function":{"name":"f","arguments":"{}"}},{"function":{"name":"g","arguments":"{}"}}]}"#,
        ],
        &[("f", "{}"), ("g", "{}")],
    ),
    // One after another, with the same arguments, or with a name first.
    (
        &[
            r#"{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"function":{"name":"g","arguments":"{}"}}]}"#,
        ],
        &[("f", "{}"), ("g", "{}")],
    ),
    (
        &[
            r#"{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"name":"g","arguments":""}}]}"#,
            r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"y\":2}"}}]}"#,
        ],
        &[("f", "{}"), ("g", r#"{"y":2}"#)],
    ),
];

#[test]
fn t045_t094_parallel_calls_without_ids_stay_apart() {
    for (deltas, meant) in UNNUMBERED_CALLS {
        let told = calls(&collect(&stream(deltas, r#""tool_calls""#)).unwrap());
        let told: Vec<_> = told.iter().map(|(_, name, json)| (name.as_str(), json.as_str())).collect();
        let meant: Vec<_> =
            meant.iter().map(|(name, json)| (*name, if json.is_empty() { "{}" } else { *json })).collect();
        assert_eq!(told, meant, "{deltas:?}");
    }
}

#[test]
fn a_call_told_in_both_spellings_of_the_protocol_is_one() {
    let both = r#"{"tool_calls":[{"function":{"name":"f","arguments":"{}"}}],"function_call":{"name":"f","arguments":"{}"}}"#;
    assert_eq!(calls(&collect(&stream(&[both], r#""tool_calls""#)).unwrap()).len(), 1);
}

#[test]
fn a_whole_call_ends_when_the_next_begins_and_not_with_the_stream() {
    let mut decoder = Decoder::new(&Dialect::default(), 7);
    let mut seen = Vec::new();
    let text = stream(
        &[
            r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}}]}"#,
            r#"{"tool_calls":[{"index":1,"id":"b","function":{"name":"g","arguments":"{\"y\""}}]}"#,
        ],
        "null",
    );
    let mut reader = sse::Decoder::default();
    let before_the_end = text.split("data: [DONE]").next().unwrap();
    let mut sink = |event: Event<'_>| seen.push(format!("{event:?}"));
    reader.push(before_the_end.as_bytes(), |event| decoder.event(&event, &mut sink)).unwrap();
    assert!(seen.iter().any(|event| event.starts_with("Delta") && event.contains("y")), "{seen:?}");
}

#[test]
fn t060_cut_arguments_are_not_repaired() {
    let cut = stream(
        &[r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":"}}]}"#],
        r#""length""#,
    );
    let answer = collect(&cut).unwrap();
    assert_eq!(calls(&answer), [call("a", "f", r#"{"x":"#)]);
    assert_eq!(answer.choices[0].finish.reason, FinishReason::Length);
}

#[test]
fn t183_t113_thinking_stays_in_order_and_is_told_once() {
    let text = stream(
        &[
            r#"{"reasoning":"a","reasoning_content":"a","reasoning_details":[{"type":"reasoning.text","text":"a"}]}"#,
            r#"{"content":"b","reasoning":null,"reasoning_details":[]}"#,
            r#"{"reasoning_details":[{"type":"reasoning.text","text":"c","signature":"sig"}]}"#,
            r#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"d"}]},{"type":"text","text":"e"}]}"#,
            r#"{"refusal":"f"}"#,
        ],
        r#""stop""#,
    );
    let answer = collect(&text).unwrap();
    let parts: Vec<_> = answer.choices[0]
        .parts
        .iter()
        .map(|part| match &part.kind {
            PartKind::Reasoning { text, .. } => format!("think {}", text.decode()),
            PartKind::Text { text } => format!("say {}", text.decode()),
            PartKind::Refusal { text } => format!("refuse {}", text.decode()),
            other => format!("{other:?}"),
        })
        .collect();
    assert_eq!(parts, ["think a", "say b", "think cd", "say e", "refuse f"]);
    assert_eq!(answer.choices[0].parts[2].opaque.as_ref().unwrap().value, "sig");
    assert_eq!(answer.choices[0].finish.reason, FinishReason::Refusal, "T133");
}

// --- towards the client -------------------------------------------------------------------------

fn exchange(change: impl FnOnce(&mut Exchange)) -> Exchange {
    let mut exchange = Exchange::new(&Request::default(), Protocol::OpenAi, Protocol::Anthropic);
    change(&mut exchange);
    exchange
}

fn write(exchange: &Exchange, events: &[Event<'_>]) -> String {
    let mut encoder = Encoder::new(exchange);
    let mut out = Vec::new();
    events.iter().for_each(|event| encoder.event(event, &mut out));
    String::from_utf8(out).unwrap()
}

fn start() -> Event<'static> {
    Event::Start { id: "c1".into(), model: "m".into(), created: Some(5) }
}

fn part(choice: u32, part: u32, header: PartHeader<'static>, delta: Delta<'static>) -> [Event<'static>; 3] {
    [
        Event::PartStart { choice, part, header },
        Event::Delta { choice, part, delta },
        Event::PartEnd { choice, part, complete: true },
    ]
}

fn tool(id: &'static str) -> PartHeader<'static> {
    PartHeader::ToolCall { id: id.into(), name: "f".into(), custom: false }
}

fn finish(choice: u32, reason: FinishReason) -> Event<'static> {
    Event::Finish { choice, finish: Finish::new(reason) }
}

/// The stream as the official accumulators read it: strings add up, lists merge by index.
fn accumulate(text: &str) -> Vec<Value> {
    fn merge(into: &mut Value, from: &Value) {
        match (into, from) {
            (Value::Object(into), Value::Object(from)) => {
                for (key, value) in from {
                    match into.get_mut(key) {
                        Some(known) if key != "index" && key != "type" => merge(known, value),
                        Some(_) => {}
                        None => {
                            into.insert(key.clone(), Value::Null);
                            merge(into.get_mut(key).unwrap(), value);
                        }
                    }
                }
            }
            (Value::Array(into), Value::Array(from)) => {
                for item in from {
                    match item["index"].as_u64() {
                        Some(index) if (index as usize) < into.len() => {
                            merge(&mut into[index as usize], item)
                        }
                        _ => into.push(item.clone()),
                    }
                }
            }
            (Value::String(into), Value::String(from)) => into.push_str(from),
            (into, from) if !from.is_null() => *into = from.clone(),
            _ => {}
        }
    }
    let mut choices: Vec<Value> = Vec::new();
    let mut heads = Vec::new();
    for line in text.lines().filter_map(|line| line.strip_prefix("data: ")).filter(|line| *line != "[DONE]") {
        let chunk: Value = serde_json::from_str(line).unwrap();
        assert_eq!(chunk["object"], "chat.completion.chunk");
        heads.push(["id", "created", "model"].map(|key| chunk[key].clone()));
        for choice in chunk["choices"].as_array().unwrap() {
            let index = choice["index"].as_u64().unwrap() as usize;
            assert!(index <= choices.len(), "choices open in order");
            if index == choices.len() {
                assert!(choice["delta"]["role"] == "assistant", "T042");
                choices.push(json!({"message": {}}));
            }
            merge(&mut choices[index]["message"], &choice["delta"]);
            if !choice["finish_reason"].is_null() {
                choices[index]["finish_reason"] = choice["finish_reason"].clone();
            }
        }
    }
    heads.dedup();
    assert_eq!(heads.len(), 1, "T041: {heads:?}");
    assert!(heads[0].iter().all(|value| !value.is_null() && *value != ""), "T041: {heads:?}");
    for choice in &choices {
        assert_eq!(choice["message"]["role"], "assistant", "T042");
    }
    choices
}

#[test]
fn a_text_stream_is_byte_for_byte_what_clients_know() {
    let mut events = vec![start()];
    events.extend(part(0, 0, PartHeader::Text, Delta::Text("Hi".into())));
    events.push(Event::Usage(Usage { input: Some(9), output: Some(2), ..Usage::default() }));
    events.push(Event::Ping);
    events.push(finish(0, FinishReason::Stop));
    events.push(Event::End);
    let head = r#"data: {"id":"c1","object":"chat.completion.chunk","created":5,"model":"m","choices":["#;
    let want = [
        format!(
            r#"{head}{{"index":0,"delta":{{"role":"assistant","content":"","refusal":null}},"finish_reason":null}}],"usage":null}}"#
        ),
        format!(r#"{head}{{"index":0,"delta":{{"content":"Hi"}},"finish_reason":null}}],"usage":null}}"#),
        ": ka".to_owned(),
        format!(r#"{head}{{"index":0,"delta":{{}},"finish_reason":"stop"}}],"usage":null}}"#),
        format!(r#"{head}],"usage":{{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11}}}}"#),
        "data: [DONE]".to_owned(),
    ];
    let got = write(&exchange(|e| e.include_usage = true), &events);
    assert_eq!(got, want.join("\n\n") + "\n\n");
    let without = write(&exchange(|_| {}), &events);
    assert!(!without.contains("usage"), "T152");
}

#[test]
fn t043_t044_calls_are_numbered_densely_and_named_once() {
    let mut events = vec![start()];
    events.extend(part(0, 0, PartHeader::Text, Delta::Text("x".into())));
    events.extend(part(0, 1, tool("a"), Delta::Arguments(Str::from_escaped(r#"{\"x\":1}"#))));
    events.extend(part(0, 2, tool("b"), Delta::Arguments(Str::from_escaped("{}"))));
    events.extend([finish(0, FinishReason::ToolCalls), Event::End]);
    let message = &accumulate(&write(&exchange(|_| {}), &events))[0]["message"];
    assert_eq!(
        message["tool_calls"],
        json!([
            {"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1}"}},
            {"index":1,"id":"b","type":"function","function":{"name":"f","arguments":"{}"}},
        ])
    );
    assert_eq!(message["role"], "assistant");
}

#[test]
fn t046_choices_keep_their_index_and_open_in_order() {
    let mut events = vec![start()];
    events.extend(part(2, 0, PartHeader::Text, Delta::Text("c".into())));
    events.extend(part(1, 0, PartHeader::Text, Delta::Text("b".into())));
    events.extend([0, 1, 2].map(|choice| finish(choice, FinishReason::Stop)));
    events.push(Event::End);
    let choices = accumulate(&write(&exchange(|_| {}), &events));
    let texts: Vec<_> = choices.iter().map(|c| c["message"]["content"].as_str().unwrap()).collect();
    assert_eq!(texts, ["", "b", "c"]);
}

#[test]
fn t047_t172_nothing_follows_an_error() {
    let events = [
        start(),
        Event::Error(ErrorView::new(FaultKind::BadUpstream, "cut")),
        finish(0, FinishReason::Stop),
        Event::Ping,
        Event::End,
    ];
    let text = write(&exchange(|_| {}), &events);
    assert!(text.ends_with("\"code\":\"bad_gateway\"}}\n\n"));
    let malformed = write(&exchange(|_| {}), &[start(), finish(0, FinishReason::Malformed), Event::End]);
    assert!(malformed.contains("\"error\"") && !malformed.contains("[DONE]"), "T162");
}

fn rich() -> Vec<Event<'static>> {
    let opaque = |provider, kind| Opaque::new(provider, kind, "sig".into());
    let meta = |part, opaque| Event::PartMeta { choice: 0, part, meta: PartMeta { opaque } };
    let citation =
        Citation { url: "https://x.test".into(), title: None, cited_text: None, range: Some((0, 1)) };
    vec![
        start(),
        Event::PartStart { choice: 0, part: 0, header: PartHeader::Reasoning },
        Event::Delta { choice: 0, part: 0, delta: Delta::Text("Need ".into()) },
        Event::Delta { choice: 0, part: 0, delta: Delta::Text("both.".into()) },
        meta(0, opaque(Provider::Anthropic, OpaqueKind::Signature)),
        Event::PartEnd { choice: 0, part: 0, complete: true },
        Event::PartStart { choice: 0, part: 1, header: PartHeader::Redacted },
        meta(1, opaque(Provider::Anthropic, OpaqueKind::Redacted)),
        Event::PartEnd { choice: 0, part: 1, complete: true },
        Event::PartStart { choice: 0, part: 2, header: PartHeader::Text },
        Event::Delta { choice: 0, part: 2, delta: Delta::Text("ü\n".into()) },
        Event::PartEnd { choice: 0, part: 2, complete: true },
        Event::PartStart { choice: 0, part: 3, header: PartHeader::Text },
        Event::Delta { choice: 0, part: 3, delta: Delta::Text("cited".into()) },
        Event::Delta { choice: 0, part: 3, delta: Delta::Citation(citation) },
        Event::PartEnd { choice: 0, part: 3, complete: true },
        Event::PartStart { choice: 0, part: 4, header: tool("a") },
        Event::Delta {
            choice: 0,
            part: 4,
            delta: Delta::Arguments(Str::from_escaped(r#"{\"input\":\"l\\ns\"}"#)),
        },
        meta(4, opaque(Provider::Gemini, OpaqueKind::Signature)),
        Event::PartEnd { choice: 0, part: 4, complete: true },
        Event::PartStart { choice: 0, part: 5, header: PartHeader::Media { mime: "image/png".into() } },
        Event::Delta { choice: 0, part: 5, delta: Delta::Media("AAAA".into()) },
        Event::PartEnd { choice: 0, part: 5, complete: true },
        finish(0, FinishReason::ToolCalls),
        Event::End,
    ]
}

#[test]
fn what_a_client_gathers_from_the_stream_is_the_whole_answer() {
    for custom in [false, true] {
        let exchange = exchange(|e| {
            if custom {
                e.custom_tools = vec!["f".to_owned()];
            }
        });
        let mut collector = Collector::default();
        rich().into_iter().for_each(|event| collector.event(event));
        let mut out = Vec::new();
        response::encode(&collector.finish().unwrap(), &exchange, &mut out).unwrap();
        let mut whole: Value = serde_json::from_slice::<Value>(&out).unwrap()["choices"][0].take();
        let mut streamed = accumulate(&write(&exchange, &rich())).remove(0);
        for call in streamed["message"]["tool_calls"].as_array_mut().unwrap() {
            call.as_object_mut().unwrap().remove("index");
        }
        for key in ["index", "logprobs"] {
            whole.as_object_mut().unwrap().remove(key);
        }
        assert_eq!(streamed, whole);
        assert_eq!(whole["message"]["annotations"][0]["url_citation"]["start_index"], 2, "T131");
        if custom {
            assert_eq!(whole["message"]["tool_calls"][0]["custom"]["input"], "l\ns", "T087");
        }
    }
}

#[test]
fn legacy_clients_get_the_one_call_that_they_know() {
    let exchange = exchange(|e| e.echo = vec![("functions", "true".to_owned())]);
    let mut events = vec![start()];
    events.extend(part(0, 0, tool("a"), Delta::Arguments("{}".into())));
    events.extend(part(0, 1, tool("b"), Delta::Arguments("[]".into())));
    events.extend([finish(0, FinishReason::ToolCalls), Event::End]);
    let choice = &accumulate(&write(&exchange, &events))[0];
    assert_eq!(choice["message"]["function_call"], json!({"name":"f","arguments":"{}"}));
    assert_eq!(choice["finish_reason"], "function_call");
    assert!(choice["message"].get("tool_calls").is_none());
}

#[test]
fn withheld_content_is_explained() {
    let mut finish = Finish::new(FinishReason::ContentFilter);
    finish.explanation = Some("policy".into());
    let events = [start(), Event::Finish { choice: 0, finish }, Event::End];
    let choice = &accumulate(&write(&exchange(|_| {}), &events))[0];
    assert_eq!(
        (&choice["message"]["refusal"], &choice["finish_reason"]),
        (&json!("policy"), &json!("content_filter"))
    );
}

proptest! {
    #[test]
    fn hostile_streams_never_panic_and_end_once(at in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:0-9a-z\\\\é\n]{0,4}", long in 0usize..5) {
        let at = at.index(FULL.len());
        let text = match (FULL.get(..at), FULL.get(at + long..)) {
            (Some(head), Some(tail)) => format!("{head}{with}{tail}"),
            _ => return Ok(()),
        };
        let mut encoder = Encoder::new(&exchange(|_| {}));
        let (mut out, mut ends) = (Vec::new(), 0);
        run(text.as_bytes(), 0, |event| {
            assert_eq!(ends, 0, "nothing follows the end");
            ends += usize::from(matches!(event, Event::End | Event::Error(_)));
            encoder.event(&event, &mut out);
        });
        prop_assert_eq!(ends, 1);
    }
}

#[test]
fn t041_t042_one_id_one_date_and_each_role_once() {
    for id in ["c1", ""] {
        let mut events = vec![Event::Start { id: id.into(), model: "m".into(), created: None }];
        for choice in 0..3 {
            events.extend(part(choice, 0, PartHeader::Text, Delta::Text("x".into())));
            events.extend(part(choice, 1, tool("a"), Delta::Arguments("{}".into())));
            events.push(finish(choice, FinishReason::ToolCalls));
        }
        events.push(Event::Usage(Usage { input: Some(9), output: Some(2), ..Usage::default() }));
        events.push(Event::End);
        let text = write(&exchange(|e| e.include_usage = true), &events);
        // The accumulator checks the rest, the chunk of usage included.
        assert_eq!(accumulate(&text).len(), 3);
        assert_eq!(text.matches("\"role\"").count(), 3, "{text}");
    }
}

#[test]
fn t010_t011_a_ping_is_a_comment_and_nothing_has_an_id_line() {
    let mut events = rich();
    let plain = write(&exchange(|_| {}), &events);
    for at in 1..events.len() {
        events.insert(at, Event::Ping);
        let text = write(&exchange(|_| {}), &events);
        events.remove(at);
        for line in text.lines() {
            // With an `id:` line anywhere before it, libraries take a comment for an empty event.
            assert!(line.is_empty() || line == ": ka" || line.starts_with("data: "), "{line}");
        }
        assert_eq!(text.replacen(": ka\n\n", "", 1), plain, "between events, never within one");
    }
}
