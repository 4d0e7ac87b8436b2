//! Recorded exchanges, and input that means harm.

use proptest::prelude::*;
use serde_json::Value;

use crate::protocol::canonical::{Event, Exchange, Losses};
use crate::protocol::{
    Aggregator, Endpoint, Observer, Protocol, Signal, StreamDecoder, StreamEncoder, Target, decode_request,
    decode_response, encode_request, encode_response, parse_error, sse, usage_of,
};

const GEMINI: Protocol = Protocol::Gemini;

fn exchange() -> Exchange {
    let mut exchange = Exchange::new(&Default::default(), GEMINI, GEMINI);
    exchange.show_reasoning = true;
    exchange
}

/// Decodes a stream, encodes it for a client, and says how many parts began.
fn through(stream: &str) -> (Result<usize, String>, Vec<u8>) {
    let mut decoder = StreamDecoder::new(GEMINI, 1);
    let mut encoder = StreamEncoder::new(&exchange());
    let (mut out, mut parts, mut result) = (Vec::new(), 0, Err("no end".to_owned()));
    let mut sink = |event: Event<'_>| {
        match &event {
            Event::PartStart { .. } => parts += 1,
            Event::End => result = Ok(parts),
            Event::Error(error) => result = Err(error.message.clone()),
            _ => {}
        }
        encoder.event(&event, &mut out);
    };
    let mut bytes = sse::Decoder::default();
    bytes.push(stream.as_bytes(), |event| decoder.event(&event, &mut sink)).unwrap();
    bytes.finish(|event| decoder.event(&event, &mut sink));
    decoder.finish(&mut sink);
    (result, out)
}

/// What a client would put together from a stream.
fn visible_text(chunks: &[Value], thought: bool) -> String {
    chunks
        .iter()
        .flat_map(|chunk| chunk["candidates"].as_array().cloned().unwrap_or_default())
        .filter(|candidate| candidate["index"].as_u64().unwrap_or(0) == 0)
        .flat_map(|candidate| candidate["content"]["parts"].as_array().cloned().unwrap_or_default())
        .filter(|part| part["thought"].as_bool().unwrap_or(false) == thought)
        .filter_map(|part| part["text"].as_str().map(str::to_owned))
        .collect()
}

fn chunks(stream: &[u8]) -> Vec<Value> {
    let mut found = Vec::new();
    let mut decoder = sse::Decoder::default();
    decoder.push(stream, |event| found.push(serde_json::from_slice(&event.data).unwrap())).unwrap();
    decoder.finish(|event| found.push(serde_json::from_slice(&event.data).unwrap()));
    found
}

#[test]
fn recorded_exchanges_pass() {
    let Some(corpus) = std::env::var_os("AIPROXY_CORPUS") else {
        println!("AIPROXY_CORPUS is not set: recorded exchanges are not checked");
        return;
    };
    let (mut requests, mut answers, mut streams, mut errors) = (0, 0, 0, 0);
    let folder = std::path::Path::new(&corpus).join("gemini");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let item: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        requests += usize::from(check_request(&item, &name));
        let response = &item["response"];
        let status = response["status"].as_u64().unwrap_or(200) as u16;
        if status >= 400 {
            let body = response["body"].to_string();
            let view = parse_error(GEMINI, status, body.as_bytes());
            assert!(!view.message.starts_with("upstream returned"), "{name}: {view:?}");
            errors += 1;
        } else if let Some(stream) = response["sse"].as_str() {
            check_stream(stream, &name);
            streams += 1;
        } else if item["operation"] != "countTokens" {
            check_answer(&response["body"], &name);
            answers += 1;
        }
    }
    println!("{requests} requests, {answers} answers, {streams} streams, {errors} errors");
    assert!(requests > 0 && answers > 0 && streams > 0 && errors > 0);
}

fn check_request(item: &Value, name: &str) -> bool {
    let body = &item["request"]["body"];
    if !body.is_object() {
        return false;
    }
    let body = body.to_string();
    let endpoint = Endpoint::parse("/v1beta/models/gemini-3-pro:generateContent", None).unwrap();
    let request = decode_request(&endpoint, &body).unwrap_or_else(|e| panic!("{name}: {e}"));
    let exchange = Exchange::new(&request, GEMINI, GEMINI);
    for model in ["gemini-3-pro", "gemini-2.5-flash", "gemini-2.0-flash"] {
        let mut out = Vec::new();
        let target = Target::new(model);
        encode_request(GEMINI, &request, &exchange, &target, &mut Losses::default(), &mut out)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        let sent: Value = serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert!(sent["contents"].as_array().is_some_and(|c| !c.is_empty()), "{name}");
        // What was sent can be read again, and then says the same.
        let text = String::from_utf8(out.clone()).unwrap();
        let again = decode_request(&endpoint, &text).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut second = Vec::new();
        encode_request(GEMINI, &again, &exchange, &target, &mut Losses::default(), &mut second).unwrap();
        assert_eq!(String::from_utf8(second).unwrap(), text, "{name} {model}");
    }
    true
}

fn check_stream(stream: &str, name: &str) {
    let native = chunks(stream.as_bytes());
    let mut observer = Observer::new(GEMINI);
    let mut aggregator = Aggregator::new(GEMINI);
    let mut begun = false;
    let mut decoder = sse::Decoder::default();
    let mut watch = |event: sse::Event<'_>| {
        begun |= observer.event(&event) == Signal::Content;
        aggregator.event(&event).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    };
    decoder.push(stream.as_bytes(), &mut watch).unwrap();
    decoder.finish(&mut watch);
    assert!(begun && observer.seen().may_end, "{name}");
    let folded = aggregator.finish().unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let folded = String::from_utf8(folded).unwrap();
    assert_eq!(usage_of(GEMINI, folded.as_bytes()).output, observer.seen().usage.output, "{name}");
    let (result, out) = through(stream);
    result.unwrap_or_else(|e| panic!("{name}: {e}"));
    for thought in [false, true] {
        let want = visible_text(&native, thought);
        assert_eq!(visible_text(&chunks(&out), thought), want, "{name}");
        assert_eq!(visible_text(&[serde_json::from_str(&folded).unwrap()], thought), want, "{name}");
    }
}

fn check_answer(body: &Value, name: &str) {
    let text = body.to_string();
    let response = match decode_response(GEMINI, &text, 1) {
        Ok(response) => response,
        // Some answers are errors in disguise: a call that the model could not spell.
        Err(error) => {
            assert!(text.contains("MALFORMED_FUNCTION_CALL"), "{name}: {error:?}");
            return;
        }
    };
    let mut out = Vec::new();
    encode_response(&response, &exchange(), &mut out).unwrap_or_else(|e| panic!("{name}: {e:?}"));
    let sent: Value = serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{name}: {e}"));
    let native: Vec<Value> = body.as_array().cloned().unwrap_or_else(|| vec![body.clone()]);
    for thought in [false, true] {
        assert_eq!(
            visible_text(std::slice::from_ref(&sent), thought),
            visible_text(&native, thought),
            "{name}"
        );
    }
}

/// Requests and chunks to break.
const SEEDS: [&str; 4] = [
    r#"{"contents":[{"role":"user","parts":[{"text":"a"},{"inline_data":{"mime_type":"image/png","data":"AA-_"}}]},{"role":"model","parts":[{"functionCall":{"name":"f","args":{"x":1.10}},"thoughtSignature":"oZ4BAA=="}]},{"role":"user","parts":[{"functionResponse":{"name":"f","response":{"output":"\ud83d"},"parts":[{"text":"x"}]}}]}],"tools":[{"functionDeclarations":[{"name":"f","parameters":{"type":"OBJECT","properties":{"a":{"type":"STRING","nullable":true}}}}]},{"googleSearch":{}}],"toolConfig":{"functionCallingConfig":{"mode":"ANY"}},"generationConfig":{"temperature":1,"thinkingConfig":{"thinkingBudget":-1}}}"#,
    r##"{"contents":[{"parts":[{"text":"a"}]}],"tools":[{"functionDeclarations":[{"name":"f","parametersJsonSchema":{"type":["object","null"],"properties":{"a":{"$ref":"#/$defs/a"},"b":{"allOf":[{"const":1}]}},"$defs":{"a":{"anyOf":[{"$ref":"#/$defs/a"},{"type":"null"}]}}}}]}]}"##,
    r#"{"candidates":[{"content":{"parts":[{"text":"ü\n","thought":true},{"text":"b","thoughtSignature":"s"},{"functionCall":{"name":"f","partialArgs":[{"jsonPath":"$.a[0]","stringValue":"x"}],"willContinue":true}}],"role":"model"},"finishReason":"STOP","index":0,"groundingMetadata":{"groundingChunks":[{"web":{"uri":"u"}}],"groundingSupports":[{"segment":{"endIndex":3},"groundingChunkIndices":[0]}]}}],"usageMetadata":{"promptTokenCount":1},"responseId":"r"}"#,
    r#"[{"error":{"code":429,"message":"retry in 1.5s","details":[{"retryDelay":"1s","violations":[{}]}]}}]"#,
];

/// Everything that reads foreign bytes.
fn feed_everything(text: &str) {
    let endpoint = Endpoint::parse("/v1beta/models/gemini-3-pro:generateContent", None).unwrap();
    if let Ok(request) = decode_request(&endpoint, text) {
        for client in Protocol::ALL {
            let exchange = Exchange::new(&request, client, GEMINI);
            for model in ["gemini-3-pro", "gemini-2.0-flash", "gemini-2.5-pro"] {
                let mut out = Vec::new();
                let target = Target::new(model);
                let losses = &mut Losses::default();
                if encode_request(GEMINI, &request, &exchange, &target, losses, &mut out).is_ok() {
                    serde_json::from_slice::<serde::de::IgnoredAny>(&out).unwrap();
                }
            }
        }
    }
    if let Ok(response) = decode_response(GEMINI, text, 1) {
        let mut out = Vec::new();
        encode_response(&response, &exchange(), &mut out).unwrap();
        serde_json::from_slice::<serde::de::IgnoredAny>(&out).unwrap();
    }
    let _ = usage_of(GEMINI, text.as_bytes());
    let _ = parse_error(GEMINI, 500, text.as_bytes());
    let line = format!("data: {}\n\n", text.replace(['\n', '\r'], " "));
    let (result, out) = through(&line);
    assert_eq!(result.is_ok(), String::from_utf8_lossy(&out).contains("\"finishReason\":\""), "{line}");
    let mut aggregator = Aggregator::new(GEMINI);
    let mut observer = Observer::new(GEMINI);
    let event = sse::Event { name: None, data: text.as_bytes().into() };
    let _ = observer.event(&event);
    if aggregator.event(&event).is_ok()
        && let Ok(folded) = aggregator.finish()
    {
        serde_json::from_slice::<serde::de::IgnoredAny>(&folded).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn hostile_input_never_panics(
        seed in prop::sample::select(SEEDS.to_vec()),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), prop::sample::select(vec![
            "", "{", "}", "[", "]", "\"", "\\", "null", "-1", "1e999", ",", ":", "true", "\\ud83d", "[[", "0",
        ])), 1..4),
    ) {
        let mut text: Vec<char> = seed.chars().collect();
        for (at, with) in edits {
            let at = at.index(text.len());
            text.splice(at..=at, with.chars());
            if text.is_empty() {
                break;
            }
        }
        feed_everything(&text.into_iter().collect::<String>());
    }

    #[test]
    fn values_of_the_wrong_type_never_panic(
        seed in prop::sample::select(SEEDS.to_vec()),
        at in any::<prop::sample::Index>(),
        with in prop::sample::select(vec!["null", "7", "\"x\"", "[]", "{}", "true", "[null,{}]", "-1.5"]),
    ) {
        // serde_json refuses the half of a character that a seed holds.
        let mut value: Value = serde_json::from_str(&seed.replace(r"\ud83d", "x")).unwrap();
        let mut paths = Vec::new();
        collect(&value, String::new(), &mut paths);
        let path = paths[at.index(paths.len())].clone();
        *value.pointer_mut(&path).unwrap() = serde_json::from_str(with).unwrap();
        feed_everything(&value.to_string());
    }
}

fn collect(value: &Value, path: String, paths: &mut Vec<String>) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            let key = key.replace('~', "~0").replace('/', "~1");
            collect(member, format!("{path}/{key}"), paths);
        }),
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(at, item)| collect(item, format!("{path}/{at}"), paths));
        }
        _ => {}
    }
    paths.push(path);
}

#[test]
fn deep_and_long_input_is_survived() {
    let deep = format!(
        r#"{{"contents":[{{"parts":[{{"text":"a"}}]}}],"tools":[{{"functionDeclarations":[{{"name":"f","parametersJsonSchema":{}{{"const":1}}{}}}]}}]}}"#,
        r#"{"type":"object","properties":{"a":"#.repeat(100),
        "}}".repeat(100),
    );
    feed_everything(&deep);
    let wide = format!(
        r##"{{"$defs":{{"a":{{"type":"object","properties":{{{}}}}}}},"$ref":"#/$defs/a"}}"##,
        (0..40).map(|n| format!(r##""p{n}":{{"$ref":"#/$defs/a"}}"##)).collect::<Vec<_>>().join(",")
    );
    let request = format!(
        r#"{{"contents":[{{"parts":[{{"text":"a"}}]}}],"tools":[{{"functionDeclarations":[{{"name":"f","parametersJsonSchema":{wide}}}]}}]}}"#
    );
    feed_everything(&request);
}
