//! Recorded exchanges, if `AIPROXY_CORPUS` names a folder of them: everything that servers and
//! clients really sent must decode, and encode again.

use std::path::PathBuf;

use serde_json::Value;

use super::{aggregate, error, observe, request, response, stream};
use crate::protocol::canonical::{Collector, Event, Exchange, Losses};
use crate::protocol::{Dialect, Observation, Protocol, Signal, Target, sse};

#[derive(Debug, Default)]
struct Counts {
    requests: usize,
    answers: usize,
    streams: usize,
    errors: usize,
}

#[test]
fn recorded_exchanges_decode_and_encode_again() {
    let Some(folder) = std::env::var_os("AIPROXY_CORPUS") else {
        println!("AIPROXY_CORPUS is not set: skipped");
        return;
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(PathBuf::from(folder).join("openai_chat"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let mut counts = Counts::default();
    let mut failures = Vec::new();
    for path in files {
        let item: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        if let Err(failure) = exchange(&item, &mut counts) {
            failures.push(format!("{}: {failure}", item["id"]));
        }
    }
    println!("{counts:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

fn exchange(item: &Value, counts: &mut Counts) -> Result<(), String> {
    let status = item["response"]["status"].as_u64().unwrap() as u16;
    let body = &item["request"]["body"];
    if body["model"].is_string() {
        let text = body.to_string();
        let decoded = request::decode(&text).map_err(|e| e.to_string())?;
        let exchange = Exchange::new(&decoded, Protocol::OpenAi, Protocol::OpenAi);
        let model = decoded.model.decode().into_owned();
        let mut out = Vec::new();
        match request::encode(&decoded, &exchange, &Target::new(&model), &mut Losses::default(), &mut out) {
            Err(e) if status >= 400 => println!("refused as the server did: {e}"),
            Err(e) => return Err(e.to_string()),
            Ok(()) => {
                let text = String::from_utf8_lossy(&out).into_owned();
                serde_json::from_str::<Value>(&text).map_err(|e| format!("{e}: {text}"))?;
            }
        }
        counts.requests += 1;
    }
    if status >= 400 {
        let text = match &item["response"]["body"] {
            Value::Null => item["response"]["text"].as_str().unwrap_or_default().to_owned(),
            body => body.to_string(),
        };
        let view = error::parse(status, text.as_bytes());
        println!("{status} {:?} {}", view.kind, view.message);
        counts.errors += 1;
        return Ok(());
    }
    if let Some(text) = item["response"]["sse"].as_str() {
        counts.streams += 1;
        return check_stream(text);
    }
    counts.answers += 1;
    check_answer(&item["response"]["body"].to_string())
}

fn client() -> Exchange {
    let request = request::decode(r#"{"model":"m","messages":[]}"#).unwrap();
    Exchange { include_usage: true, ..Exchange::new(&request, Protocol::OpenAi, Protocol::OpenAi) }
}

fn check_answer(body: &str) -> Result<(), String> {
    let value: Value = serde_json::from_str(body).map_err(|e| e.to_string())?;
    let decoded = match response::decode(body, &Dialect::default(), 1) {
        Ok(decoded) => decoded,
        Err(view) if value.get("error").is_some() || value["choices"][0].get("error").is_some() => {
            println!("200 {:?} {}", view.kind, view.message);
            return Ok(());
        }
        Err(view) => return Err(view.message),
    };
    let mut out = Vec::new();
    response::encode(&decoded, &client(), &mut out).map_err(|e| e.message)?;
    let again: Value = serde_json::from_slice(&out).map_err(|e| e.to_string())?;
    let (theirs, ours) = (&value["choices"][0]["message"], &again["choices"][0]["message"]);
    if theirs["content"].as_str().is_some_and(|text| !text.is_empty()) && theirs["content"] != ours["content"]
    {
        return Err(format!("content differs: {ours}"));
    }
    let calls = |message: &Value| {
        message["tool_calls"].as_array().map_or(usize::from(message["function_call"].is_object()), Vec::len)
    };
    if calls(theirs) != calls(ours) {
        return Err(format!("calls differ: {ours}"));
    }
    Ok(())
}

fn check_stream(text: &str) -> Result<(), String> {
    let mut decoder = stream::Decoder::new(&Dialect::default(), 1);
    let mut encoder = stream::Encoder::new(&client());
    let mut aggregator = aggregate::Aggregator::default();
    let mut state = Observation::default();
    let mut collector = Collector::default();
    let mut out = Vec::new();
    let mut failed = None;
    let mut sink = |event: Event<'_>| {
        encoder.event(&event, &mut out);
        collector.event(event);
    };
    let mut reader = sse::Decoder::default();
    let mut each = |event: sse::Event<'_>| {
        decoder.event(&event, &mut sink);
        if let Signal::Error(view) = observe::event(&event, &mut state) {
            failed = Some(view);
        }
        let _ = aggregator.event(&event);
    };
    reader.push(text.as_bytes(), &mut each).unwrap();
    reader.finish(&mut each);
    decoder.finish(&mut sink);
    let Some(collected) = (match collector.finish() {
        Ok(collected) => Some(collected),
        Err(view) if failed.is_some() => {
            println!("stream error {:?} {}", view.kind, view.message);
            None
        }
        Err(view) => return Err(view.message),
    }) else {
        return Ok(());
    };
    if !state.may_end {
        return Err("the observer saw no end".to_owned());
    }
    let folded = aggregator.finish().map_err(|e| format!("fold: {}", e.message))?;
    let folded = String::from_utf8(folded).map_err(|e| e.to_string())?;
    let native =
        response::decode(&folded, &Dialect::default(), 1).map_err(|e| format!("fold: {}", e.message))?;
    let whole = |answer: &crate::protocol::canonical::Response<'_>| {
        let mut out = Vec::new();
        response::encode(answer, &client(), &mut out).unwrap();
        let mut value = serde_json::from_slice::<Value>(&out).unwrap();
        // Servers that change these within one stream: the first is told, the last is folded.
        for key in ["id", "created"] {
            value[key].take();
        }
        value
    };
    let (a, b) = (whole(&collected), whole(&native));
    if a != b {
        return Err(format!("the two folds differ:\n{a}\n{b}"));
    }
    Ok(())
}
