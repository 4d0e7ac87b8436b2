//! Recorded exchanges, where a folder of them is at hand (`AIPROXY_CORPUS`).

use serde_json::{Value, json};

use super::{aggregate, error, observe, request, response, stream};
use crate::protocol::canonical::{Collector, Event, Exchange, Losses, Response};
use crate::protocol::{Observation, Protocol, Target, sse, usage_of};

fn exchange(body: &Value) -> Exchange {
    let body = body.to_string();
    let request = request::decode(&body).unwrap_or_else(|e| panic!("{e} in {body}"));
    let mut exchange = Exchange::new(&request, Protocol::Anthropic, Protocol::Anthropic);
    exchange.show_reasoning = true;
    exchange
}

fn events(text: &str, mut each: impl FnMut(&sse::Event<'_>)) {
    let mut decoder = sse::Decoder::default();
    decoder.push(text.as_bytes(), |event| each(&event)).unwrap();
    decoder.finish(|event| each(&event));
}

fn collect(text: &str) -> Response<'static> {
    let mut decoder = stream::Decoder::default();
    let mut collector = Collector::default();
    events(text, |event| decoder.event(event, &mut |e| collector.event(e)));
    decoder.finish(&mut |e| collector.event(e));
    collector.finish().unwrap()
}

fn re_encode(text: &str, exchange: &Exchange) -> String {
    let mut decoder = stream::Decoder::default();
    let mut encoder = stream::Encoder::new(exchange);
    let mut out = Vec::new();
    let mut sink = |event: Event<'_>| encoder.event(&event, &mut out);
    events(text, |event| decoder.event(event, &mut sink));
    decoder.finish(&mut sink);
    String::from_utf8(out).unwrap()
}

fn aggregate(text: &str) -> Value {
    let mut aggregator = aggregate::Aggregator::default();
    events(text, |event| aggregator.event(event).unwrap());
    serde_json::from_slice(&aggregator.finish().unwrap()).unwrap()
}

fn whole(response: &Response<'_>, exchange: &Exchange) -> Value {
    let mut out = Vec::new();
    response::encode(response, exchange, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// One spelling for what may be spelled in several ways.
fn normal(mut request: Value) -> Value {
    let text = |content: &mut Value| {
        if let Some(words) = content.as_str() {
            *content = json!([{"type": "text", "text": words}]);
        }
    };
    if let Some(system) = request.get_mut("system") {
        text(system);
    }
    for message in request["messages"].as_array_mut().into_iter().flatten() {
        text(&mut message["content"]);
        for block in message["content"].as_array_mut().into_iter().flatten() {
            if block["type"] == "tool_result" {
                text(&mut block["content"]);
            }
        }
    }
    without_defaults(&mut request);
    request
}

/// Members that say what holds without them.
fn without_defaults(value: &mut Value) {
    if let Some(list) = value.as_array_mut() {
        list.iter_mut().for_each(without_defaults);
    }
    let Some(members) = value.as_object_mut() else { return };
    members.values_mut().for_each(without_defaults);
    members.retain(|key, value| match key.as_str() {
        "is_error" | "strict" | "stream" => *value != false,
        "ttl" => value != "5m",
        "tools" | "citations" => value.as_array().is_none_or(|list| !list.is_empty()),
        _ => !value.is_null(),
    });
}

#[derive(Debug, Default)]
struct Counts {
    requests: usize,
    same: usize,
    answers: usize,
    streams: usize,
    errors: usize,
}

#[test]
fn recorded_exchanges_are_understood() {
    let Some(root) = std::env::var_os("AIPROXY_CORPUS") else {
        println!("AIPROXY_CORPUS is not set: nothing recorded to read");
        return;
    };
    let mut counts = Counts::default();
    let folder = std::path::Path::new(&root).join("anthropic_messages");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let item: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        if item["operation"] == "messages" {
            check(&name, &item, &mut counts);
        }
    }
    println!("{counts:?}");
    assert!(counts.requests > 0);
}

fn check(name: &str, item: &Value, counts: &mut Counts) {
    let body = &item["request"]["body"];
    let exchange = if body.is_object() {
        counts.requests += 1;
        counts.same += usize::from(round_trip(name, body));
        exchange(body)
    } else {
        exchange(&json!({"model": "m", "messages": []}))
    };
    let answer = &item["response"];
    if answer["status"] != 200 {
        counts.errors += 1;
        let status = u16::try_from(answer["status"].as_u64().unwrap()).unwrap();
        let view = error::parse(status, answer["body"].to_string().as_bytes());
        assert_eq!(error::render(&view).0, status, "{name}");
        let mine: Value = serde_json::from_slice(&error::render(&view).1).unwrap();
        assert_eq!(mine["error"], answer["body"]["error"], "{name}");
    } else if let Some(text) = answer["sse"].as_str() {
        counts.streams += 1;
        check_stream(name, text, &exchange);
    } else if answer["body"].is_object() {
        counts.answers += 1;
        let text = answer["body"].to_string();
        let response = response::decode(&text).unwrap_or_else(|e| panic!("{name}: {e:?}"));
        same_answer(name, &whole(&response, &exchange), &answer["body"]);
        assert_eq!(usage_of(Protocol::Anthropic, text.as_bytes()), response.usage, "{name}");
    }
}

fn round_trip(name: &str, body: &Value) -> bool {
    let text = body.to_string();
    let request = request::decode(&text).unwrap();
    let exchange = Exchange::new(&request, Protocol::Anthropic, Protocol::Anthropic);
    let model = body["model"].as_str().unwrap();
    let mut out = Vec::new();
    let mut losses = Losses::default();
    if let Err(error) = request::encode(&request, &exchange, &Target::new(model), &mut losses, &mut out) {
        println!("{name}: {error}");
        return false;
    }
    let again: Value = serde_json::from_slice(&out).unwrap();
    let (mine, theirs) = (normal(again), normal(body.clone()));
    for (key, value) in theirs.as_object().unwrap() {
        if mine.get(key) != Some(value) {
            println!("{name}: {key} differs, losses {:?}", losses.header());
            if std::env::var_os("AIPROXY_CORPUS_VERBOSE").is_some() {
                println!("  theirs {value}\n  mine   {}", mine.get(key).unwrap_or(&Value::Null));
            }
        }
    }
    mine == theirs
}

fn check_stream(name: &str, text: &str, exchange: &Exchange) {
    let folded = aggregate(text);
    let collected = collect(text);
    let mine = whole(&collected, exchange);
    same_answer(name, &mine, &folded);
    // A second trip through our own stream changes nothing (law 10).
    let again = aggregate(&re_encode(text, exchange));
    same_answer(name, &again, &mine);
    let mut seen = Observation::default();
    let mut begun = false;
    events(text, |event| begun |= observe::event(event, &mut seen) == crate::protocol::Signal::Content);
    assert!(begun && seen.may_end, "{name}");
    assert_eq!(seen.usage, collected.usage, "{name}");
}

fn same_answer(name: &str, mine: &Value, theirs: &Value) {
    for key in ["id", "model", "role", "stop_reason", "stop_sequence"] {
        assert_eq!(mine[key], theirs[key], "{name} {key}");
    }
    let strip = |content: &Value| {
        let mut content = content.clone();
        for block in content.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
            if matches!(block["type"].as_str(), Some("text" | "tool_use")) {
                block.retain(|key, _| !matches!(key.as_str(), "citations" | "caller"));
            }
        }
        content
    };
    assert_eq!(strip(&mine["content"]), strip(&theirs["content"]), "{name}");
    for key in ["input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens"] {
        let count = |answer: &Value| answer["usage"][key].as_u64().unwrap_or(0);
        assert_eq!(count(mine), count(theirs), "{name} {key}");
    }
}
