//! Recorded exchanges, where a folder of them is given: nothing real may fail to be read.

use serde_json::Value;

use super::aggregate::Aggregator;
use super::stream::tests::{check as check_events, read_events};
use super::stream::{Decoder, Encoder};
use super::{error, observe, request, response};
use crate::protocol::canonical::{Choice, Collector, Event, Exchange, Losses, PartKind};
use crate::protocol::{Observation, Protocol, RequestError, Signal, Target, sse};

#[derive(Default, Debug)]
struct Counts {
    requests: usize,
    refused: usize,
    answers: usize,
    streams: usize,
    errors: usize,
}

#[test]
fn recorded_exchanges_are_read_and_written() {
    let Ok(folder) = std::env::var("AIPROXY_CORPUS") else {
        println!("AIPROXY_CORPUS is not set: no recorded exchanges to check");
        return;
    };
    let folder = std::path::Path::new(&folder).join("openai_responses");
    let mut counts = Counts::default();
    for entry in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        let exchange: Value = serde_json::from_str(&text).unwrap();
        check(&exchange, &mut counts);
    }
    println!("{counts:?}");
    assert!(counts.requests > 0 && counts.answers > 0 && counts.streams > 0);
}

fn check(exchange: &Value, counts: &mut Counts) {
    let id = exchange["id"].as_str().unwrap_or_default();
    let body = &exchange["request"]["body"];
    if body.is_object() {
        check_request(id, &body.to_string(), counts);
    }
    let answer = &exchange["response"];
    if let Some(stream) = answer["sse"].as_str() {
        check_stream(id, stream.as_bytes());
        counts.streams += 1;
    } else if answer["status"].as_u64().unwrap_or(0) >= 400 {
        let view =
            error::parse(answer["status"].as_u64().unwrap() as u16, answer["body"].to_string().as_bytes());
        assert!(!view.message.is_empty(), "{id}");
        counts.errors += 1;
    } else if exchange["operation"] == "responses" {
        check_answer(id, &answer["body"].to_string(), counts);
    }
}

fn check_request(id: &str, body: &str, counts: &mut Counts) {
    let once = match again(body) {
        Ok(once) => once,
        Err(RequestError::Unsupported(_)) => {
            counts.refused += 1;
            return;
        }
        Err(other) => panic!("{id}: {other}"),
    };
    let twice = again(&once).unwrap();
    assert_eq!(once, twice, "{id}: what was written reads the same");
    counts.requests += 1;
}

fn again(body: &str) -> Result<String, RequestError> {
    let decoded = request::decode(body)?;
    let exchange = Exchange::new(&decoded, Protocol::Responses, Protocol::Responses);
    let mut out = Vec::new();
    let model = decoded.model.decode().into_owned();
    request::encode(&decoded, &exchange, &Target::new(&model), &mut Losses::default(), &mut out)?;
    let text = String::from_utf8(out).unwrap();
    serde_json::from_str::<Value>(&text).unwrap();
    Ok(text)
}

fn plain_exchange() -> Exchange {
    Exchange::new(&Default::default(), Protocol::Responses, Protocol::Responses)
}

fn check_answer(id: &str, body: &str, counts: &mut Counts) {
    let status: Value = serde_json::from_str(body).unwrap();
    let decoded = response::decode(body);
    if status["status"] == "queued" || status["status"] == "in_progress" {
        return;
    }
    let decoded = decoded.unwrap_or_else(|e| panic!("{id}: {e:?}"));
    let mut out = Vec::new();
    response::encode(&decoded, &plain_exchange(), &mut out).unwrap();
    let value: Value = serde_json::from_slice(&out).unwrap();
    // One compatible server says `complete`.
    let said = if status["status"] == "incomplete" { "incomplete" } else { "completed" };
    assert_eq!(value["status"], said, "{id}");
    counts.answers += 1;
}

fn check_stream(id: &str, stream: &[u8]) {
    let mut decoder = Decoder::default();
    let mut encoder = Encoder::new(&plain_exchange());
    let mut collector = Collector::default();
    let mut aggregator = Aggregator::default();
    let mut observation = Observation::default();
    let (mut out, mut failed) = (Vec::new(), false);
    let mut each = |event: sse::Event<'_>| {
        let mut sink = |event: Event<'_>| {
            encoder.event(&event, &mut out);
            collector.event(event);
        };
        decoder.event(&event, &mut sink);
        failed |= aggregator.event(&event).is_err();
        observation.events += 1;
        let signal = observe::event(&event, &mut observation);
        assert!(failed || !matches!(signal, Signal::Error(_)), "{id}: {signal:?}");
    };
    let mut frames = sse::Decoder::default();
    for chunk in stream.chunks(777) {
        frames.push(chunk, &mut each).unwrap();
    }
    frames.finish(&mut each);
    decoder.finish(&mut |_| panic!("{id}: the stream has no end"));
    check_events(&read_events(&out));
    let folded = aggregator.finish().unwrap();
    let direct = response::decode(std::str::from_utf8(&folded).unwrap()).unwrap();
    let collected = collector.finish().unwrap();
    assert!(observation.may_end, "{id}");
    assert_eq!(collected.usage, direct.usage, "{id}");
    assert_eq!(observation.usage, direct.usage, "{id}");
    // Encrypted state is sealed anew for the final event: not compared.
    let shape = |choice: &Choice<'_>| {
        let kinds = choice.parts.iter().map(|part| match &part.kind {
            PartKind::Opaque { .. } => "opaque".to_owned(),
            other => format!("{other:?}"),
        });
        format!("{:?} {:?} {:?}", kinds.collect::<Vec<_>>(), choice.citations, choice.finish)
    };
    assert_eq!(shape(&collected.choices[0]), shape(&direct.choices[0]), "{id}");
}
