mod logprobs;
mod search;

use serde_json::{Value, json};

use super::*;
use crate::protocol::canonical::{
    Citation, Collector, Delta, ErrorView, Event, Exchange, FaultKind, Finish, FinishReason, Opaque,
    OpaqueKind, Part, PartHeader, PartKind, PartMeta, Provider, Response, Usage, envelope,
};
use crate::protocol::json::Str;
use crate::protocol::{Protocol, sse};

fn chunk(parts: Value, more: Value) -> Value {
    let mut chunk = json!({
        "candidates": [{"content": {"role": "model", "parts": parts}, "index": 0}],
        "modelVersion": "m", "responseId": "r1",
    });
    for (key, value) in more.as_object().unwrap() {
        match key.as_str() {
            "usageMetadata" => chunk[key] = value.clone(),
            _ => chunk["candidates"][0][key] = value.clone(),
        }
    }
    chunk
}

fn stream(chunks: &[Value]) -> String {
    chunks.iter().map(|chunk| format!("data: {chunk}\r\n\r\n")).collect()
}

fn events(stream: &[u8], cut: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut sink = |event: Event<'_>| seen.push(format!("{event:?}"));
    let mut decoder = Decoder::new(7);
    let mut bytes = sse::Decoder::default();
    for piece in [&stream[..cut], &stream[cut..]] {
        bytes.push(piece, |event| decoder.event(&event, &mut sink)).unwrap();
    }
    bytes.finish(|event| decoder.event(&event, &mut sink));
    decoder.finish(&mut sink);
    seen
}

fn collect(text: &str) -> Result<Response<'static>, ErrorView> {
    let mut collector = Collector::default();
    let mut decoder = Decoder::new(7);
    let mut bytes = sse::Decoder::default();
    bytes.push(text.as_bytes(), |event| decoder.event(&event, &mut |e| collector.event(e))).unwrap();
    decoder.finish(&mut |event| collector.event(event));
    collector.finish()
}

fn parts(chunks: &[Value]) -> Vec<String> {
    let response = collect(&stream(chunks)).unwrap();
    response.choices[0].parts.iter().map(describe).collect()
}

fn describe(part: &Part<'_>) -> String {
    let signature = part.opaque.as_ref().map(|o| format!(" signed {}", o.value.decode())).unwrap_or_default();
    let what = match &part.kind {
        PartKind::Text { text } => format!("text {}", text.decode()),
        PartKind::Reasoning { text, .. } => format!("thought {}", text.decode()),
        PartKind::ToolCall { name, arguments, .. } => format!("call {} {arguments}", name.decode()),
        PartKind::Media(media) => format!("media {}", media.mime.decode()),
        PartKind::Opaque { raw, .. } => format!("opaque {}", raw.as_str()),
        other => format!("{other:?}"),
    };
    what + &signature
}

fn rich() -> Vec<Value> {
    vec![
        chunk(
            json!([{"text": "Need ", "thought": true}]),
            json!({"usageMetadata": {"promptTokenCount": 20}}),
        ),
        chunk(json!([{"text": "both 😀.", "thought": true}, {"text": "Über"}]), json!({})),
        chunk(json!([{"text": "prüfen."}]), json!({})),
        chunk(
            json!([{"functionCall": {"name": "f", "args": {"x": 1}, "id": "a1"}, "thoughtSignature": "c2ln"},
                   {"functionCall": {"name": "g"}}]),
            json!({}),
        ),
        chunk(
            json!([]),
            json!({"finishReason": "STOP", "usageMetadata": {
                "promptTokenCount": 20, "candidatesTokenCount": 21, "thoughtsTokenCount": 10}}),
        ),
    ]
}

#[test]
fn parts_come_in_order_and_calls_are_whole() {
    assert_eq!(
        parts(&rich()),
        ["thought Need both 😀.", "text Überprüfen.", r#"call f {"x":1} signed c2ln"#, "call g {}"]
    );
    let response = collect(&stream(&rich())).unwrap();
    assert_eq!(response.choices[0].finish.reason, FinishReason::ToolCalls);
    assert_eq!((response.usage.output, response.usage.reasoning), (Some(31), Some(10)));
    let PartKind::ToolCall { id, .. } = &response.choices[0].parts[2].kind else { panic!() };
    assert_eq!(*id, "a1");
    let PartKind::ToolCall { id, .. } = &response.choices[0].parts[3].kind else { panic!() };
    assert!(id.as_escaped().starts_with("call_") && id.len() == 29, "{id:?}");
}

#[test]
fn t001_where_bytes_are_cut_makes_no_difference() {
    let bytes = stream(&rich()).into_bytes();
    let whole = events(&bytes, 0);
    for cut in 1..=bytes.len() {
        assert_eq!(events(&bytes, cut), whole, "cut at {cut}");
    }
}

#[test]
fn t021_a_stream_cut_short_is_an_error_and_never_a_success() {
    let chunks = rich();
    for length in 0..chunks.len() {
        let text = stream(&chunks[..length]);
        let seen = events(text.as_bytes(), 0);
        assert!(seen.last().unwrap().starts_with("Error"), "{seen:?}");
        assert!(!seen.iter().any(|e| e.starts_with("End") || e.starts_with("Finish")), "{seen:?}");
    }
    let text = stream(&chunks);
    let half = &text[..text.len() - 30];
    assert!(collect(half).is_err());
}

#[test]
fn t048_the_last_reason_counts_and_text_after_the_first_is_kept() {
    let response = collect(&stream(&[
        chunk(json!([{"text": "a"}]), json!({"finishReason": "STOP"})),
        chunk(json!([{"executableCode": {"code": "1.10"}}]), json!({})),
        chunk(json!([{"text": "b"}]), json!({"finishReason": "MAX_TOKENS"})),
    ]))
    .unwrap();
    let parts: Vec<_> = response.choices[0].parts.iter().map(describe).collect();
    assert_eq!(parts, ["text a", r#"opaque {"executableCode":{"code":"1.10"}}"#, "text b"]);
    assert_eq!(response.choices[0].finish.reason, FinishReason::Length);
}

#[test]
fn t049_t091_a_reason_without_content_still_ends_a_call() {
    let call = chunk(json!([{"functionCall": {"name": "f", "args": {}}}]), json!({}));
    let end = json!({"candidates": [{"finishReason": "STOP"}]});
    let response = collect(&stream(&[call, end])).unwrap();
    assert_eq!(response.choices[0].finish.reason, FinishReason::ToolCalls);
}

#[test]
fn t051_a_refused_prompt_is_a_whole_answer() {
    let blocked = json!({"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "responseId": "r"});
    let response = collect(&stream(&[blocked])).unwrap();
    let finish = &response.choices[0].finish;
    assert_eq!(finish.reason, FinishReason::ContentFilter);
    assert_eq!(finish.category, Some("prohibited_content".into()));
}

#[test]
fn t101_t102_t103_signatures_stay_on_their_part() {
    let seen = parts(&[
        chunk(json!([{"text": "Hi"}]), json!({})),
        chunk(json!([{"text": " signed", "thoughtSignature": "s1"}]), json!({})),
        chunk(json!([{"text": " more"}]), json!({})),
        chunk(json!([{"text": "", "thoughtSignature": "s2"}]), json!({"finishReason": "STOP"})),
    ]);
    assert_eq!(seen, ["text Hi", "text  signed signed s1", "text  more", "text  signed s2"]);
}

#[test]
fn t065_repeated_ids_are_made_unique() {
    let response = collect(&stream(&[chunk(
        json!([{"functionCall": {"name": "f", "id": "x"}}, {"functionCall": {"name": "f", "id": "x"}},
               {"functionCall": {"name": "f", "id": "bad id"}}]),
        json!({"finishReason": "STOP"}),
    )]))
    .unwrap();
    let mut ids: Vec<String> = response.choices[0]
        .parts
        .iter()
        .map(|part| match &part.kind {
            PartKind::ToolCall { id, .. } => id.decode().into_owned(),
            _ => panic!("only calls"),
        })
        .collect();
    assert_eq!(ids[0], "x");
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), 3);
}

#[test]
fn t131_offsets_are_bytes() {
    let text = "Größe: 5 m. Ende 😀";
    let start = text.find("Ende").unwrap();
    let response = collect(&stream(&[
        chunk(json!([{"text": &text[..9]}]), json!({})),
        chunk(json!([{"text": &text[9..]}]), json!({"finishReason": "STOP", "groundingMetadata": {
            "groundingChunks": [{"retrievedContext": {}}, {"web": {"uri": "https://s", "title": "S"}}],
            "groundingSupports": [{"segment": {"startIndex": start, "endIndex": text.len(), "text": "Ende 😀"},
                "groundingChunkIndices": [0, 1]}],
        }})),
    ]))
    .unwrap();
    let [(0, citation)] = response.choices[0].citations.as_slice() else { panic!("one citation") };
    assert_eq!(citation.range, Some((12, 18)));
    assert_eq!((citation.url.clone(), citation.title.clone()), ("https://s".into(), Some("S".into())));
}

#[test]
fn t157_counts_of_an_earlier_chunk_stay() {
    let response = collect(&stream(&[
        chunk(
            json!([{"text": "a"}]),
            json!({"usageMetadata": {"promptTokenCount": 9, "cachedContentTokenCount": 4}}),
        ),
        chunk(json!([]), json!({"finishReason": "STOP", "usageMetadata": {"candidatesTokenCount": 2}})),
    ]))
    .unwrap();
    let want = Usage { input: Some(9), cache_read: Some(4), output: Some(2), ..Usage::default() };
    assert_eq!(response.usage, want);
}

#[test]
fn t162_a_malformed_call_is_an_error() {
    let error = collect(&stream(&[chunk(
        json!([]),
        json!({"finishReason": "MALFORMED_FUNCTION_CALL", "finishMessage": "print(x"}),
    )]))
    .unwrap_err();
    assert_eq!(error.kind, FaultKind::BadUpstream);
    assert!(error.message.contains("print(x"), "{}", error.message);
}

#[test]
fn t017_an_error_is_an_error_wherever_it_stands() {
    let error = json!({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}});
    for chunks in [vec![error.clone()], vec![rich()[0].clone(), error.clone()], vec![json!([error])]] {
        let seen = events(stream(&chunks).as_bytes(), 0);
        assert!(seen.last().unwrap().contains("Overloaded"), "{seen:?}");
    }
    assert_eq!(events(stream(&[error]).as_bytes(), 0).len(), 1, "no start before it");
}

#[test]
fn t016_a_list_of_chunks_is_read() {
    let list = Value::Array(rich()).to_string();
    let response = super::super::response::decode(&list, 7).unwrap();
    assert_eq!(response.choices[0].parts.len(), 4);
}

#[test]
fn vertex_sends_arguments_in_pieces() {
    let seen = parts(&[
        chunk(
            json!([{"functionCall": {"name": "f", "willContinue": true}, "thoughtSignature": "s"}]),
            json!({}),
        ),
        chunk(
            json!([{"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "x"}], "willContinue": true}}]),
            json!({}),
        ),
        chunk(
            json!([{"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "y"}], "willContinue": true}}]),
            json!({}),
        ),
        chunk(json!([{"functionCall": {}}]), json!({})),
        chunk(json!([{"text": "done"}]), json!({"finishReason": "STOP"})),
    ]);
    assert_eq!(seen, [r#"call f {"a":"xy"} signed s"#, "text done"]);
}

// --- towards clients ------------------------------------------------------------------------------

fn exchange(show_reasoning: bool) -> Exchange {
    let mut exchange = Exchange::new(&Default::default(), Protocol::Gemini, Protocol::Anthropic);
    exchange.show_reasoning = show_reasoning;
    exchange
}

fn encode(exchange: &Exchange, events: &[Event<'_>]) -> String {
    let mut encoder = Encoder::new(exchange);
    let mut out = Vec::new();
    for event in events {
        encoder.event(event, &mut out);
    }
    String::from_utf8(out).unwrap()
}

fn payloads(stream: &str) -> Vec<Value> {
    stream
        .split("\n\n")
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap())
        .collect()
}

fn start() -> Event<'static> {
    Event::Start { id: "r1".into(), model: "m".into(), created: None }
}

fn begin(part: u32, header: PartHeader<'static>) -> Event<'static> {
    Event::PartStart { choice: 0, part, header }
}

fn text(part: u32, text: &'static str) -> Event<'static> {
    Event::Delta { choice: 0, part, delta: Delta::Text(text.into()) }
}

fn end(part: u32) -> Event<'static> {
    Event::PartEnd { choice: 0, part, complete: true }
}

fn finish(reason: FinishReason) -> [Event<'static>; 2] {
    [Event::Finish { choice: 0, finish: Finish::new(reason) }, Event::End]
}

#[test]
fn t006_t008_t009_the_bytes_of_a_text_stream() {
    let usage = Usage { input: Some(9), output: Some(2), ..Usage::default() };
    let [done, over] = finish(FinishReason::Stop);
    let got = encode(
        &exchange(false),
        &[
            start(),
            begin(0, PartHeader::Text),
            text(0, "Hi"),
            Event::Ping,
            end(0),
            Event::Usage(usage),
            done,
            over,
        ],
    );
    assert_eq!(
        got,
        concat!(
            r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":"Hi"}]},"index":0}],"modelVersion":"m","responseId":"r1"}"#,
            "\n\n\n",
            r#"data: {"candidates":[{"content":{"role":"model","parts":[{"text":""}]},"finishReason":"STOP","index":0}],"usageMetadata":{"promptTokenCount":9,"candidatesTokenCount":2,"totalTokenCount":11},"modelVersion":"m","responseId":"r1"}"#,
            "\n\n",
        )
    );
}

fn reasoning_and_call() -> Vec<Event<'static>> {
    let opaque = Opaque::new(Provider::Anthropic, OpaqueKind::Signature, "EqQB".into());
    let mut events = vec![
        start(),
        begin(0, PartHeader::Reasoning),
        text(0, "Need "),
        text(0, "both."),
        Event::PartMeta { choice: 0, part: 0, meta: PartMeta { opaque } },
        end(0),
        begin(1, PartHeader::ToolCall { id: "call_a".into(), name: "f".into(), custom: false }),
    ];
    for piece in ["{\"x\":", "1.0}"] {
        events.push(Event::Delta { choice: 0, part: 1, delta: Delta::Arguments(piece.into()) });
    }
    events.push(end(1));
    events.extend(finish(FinishReason::ToolCalls));
    events
}

#[test]
fn thoughts_are_signed_by_an_empty_part_and_calls_come_whole() {
    let got = payloads(&encode(&exchange(true), &reasoning_and_call()));
    let parts: Vec<&Value> = got.iter().map(|chunk| &chunk["candidates"][0]["content"]["parts"][0]).collect();
    assert_eq!(parts[0], &json!({"text": "Need ", "thought": true}));
    assert_eq!(parts[1], &json!({"text": "both.", "thought": true}));
    let sealed = Str::from(parts[2]["thoughtSignature"].as_str().unwrap());
    assert!(envelope::open(&sealed).unwrap().matches(&"Need both.".into()));
    assert_eq!(parts[3]["functionCall"], json!({"id": "call_a", "name": "f", "args": {"x": 1.0}}));
    assert_eq!(got[4]["candidates"][0]["finishReason"], "STOP");
}

#[test]
fn t114_thoughts_that_were_not_asked_for_stay_here() {
    let got = encode(&exchange(false), &reasoning_and_call());
    assert!(!got.contains("Need") && !got.contains("\"thought\""), "{got}");
    // Encrypted reasoning is of use without its text.
    let opaque = Opaque {
        item_id: Some("rs_1".into()),
        ..Opaque::new(Provider::OpenAi, OpaqueKind::EncryptedContent, "gAAAA".into())
    };
    let [done, over] = finish(FinishReason::Stop);
    let meta = Event::PartMeta { choice: 0, part: 0, meta: PartMeta { opaque } };
    let events = [start(), begin(0, PartHeader::Reasoning), text(0, "secret"), meta, end(0), done, over];
    let got = payloads(&encode(&exchange(false), &events));
    let part = &got[0]["candidates"][0]["content"]["parts"][0];
    let opened = envelope::open(&Str::from(part["thoughtSignature"].as_str().unwrap())).unwrap();
    assert!(opened.matches(&Str::EMPTY));
    assert_eq!(opened.opaque.value, "gAAAA");
    assert_eq!(part["text"], "");
}

#[test]
fn t060_half_a_call_is_not_handed_on() {
    let call = PartHeader::ToolCall { id: "a".into(), name: "f".into(), custom: false };
    let arguments = Event::Delta { choice: 0, part: 0, delta: Delta::Arguments("{\"x\":".into()) };
    let cut = Event::PartEnd { choice: 0, part: 0, complete: false };
    let [done, over] = finish(FinishReason::Length);
    let got = payloads(&encode(
        &exchange(true),
        &[start(), begin(0, call.clone()), arguments.clone(), cut, done, over],
    ));
    assert_eq!(got.len(), 1);
    assert_eq!(got[0]["candidates"][0]["finishReason"], "MAX_TOKENS");
    // What is broken for another reason is wrapped, not repaired.
    let [done, over] = finish(FinishReason::ToolCalls);
    let got = payloads(&encode(&exchange(true), &[start(), begin(0, call), arguments, end(0), done, over]));
    let part = &got[0]["candidates"][0]["content"]["parts"][0];
    assert_eq!(part["functionCall"]["args"], json!({"_raw_arguments": "{\"x\":"}));
}

#[test]
fn t172_after_an_error_nothing_follows() {
    let error = Event::Error(ErrorView::new(FaultKind::Overloaded, "busy"));
    let [done, over] = finish(FinishReason::Stop);
    let got = payloads(&encode(
        &exchange(true),
        &[start(), begin(0, PartHeader::Text), text(0, "a"), error, done, over],
    ));
    assert_eq!(got.len(), 2);
    assert_eq!(got[1], json!({"error": {"code": 503, "message": "busy", "status": "UNAVAILABLE"}}));
}

#[test]
fn t046_every_choice_has_its_finish() {
    let mut events = vec![start()];
    for choice in 0..2 {
        events.push(Event::PartStart { choice, part: 0, header: PartHeader::Text });
        events.push(Event::Delta { choice, part: 0, delta: Delta::Text("a".into()) });
        events.push(Event::PartEnd { choice, part: 0, complete: true });
        events.push(Event::Finish { choice, finish: Finish::new(FinishReason::Stop) });
    }
    events.push(Event::End);
    let got = payloads(&encode(&exchange(true), &events));
    assert_eq!(got[1]["candidates"][0]["index"], 1);
    assert_eq!(got[2]["candidates"].as_array().unwrap().len(), 2);
}

#[test]
fn t131_citations_reach_the_client_in_bytes() {
    let citation = Citation {
        url: "https://s".into(),
        title: None,
        cited_text: Some("Ende".into()),
        range: Some((6, 10)),
    };
    let [done, over] = finish(FinishReason::Stop);
    let delta = Event::Delta { choice: 0, part: 0, delta: Delta::Citation(citation) };
    let events = [start(), begin(0, PartHeader::Text), text(0, "Größe Ende"), delta, end(0), done, over];
    let got = payloads(&encode(&exchange(true), &events));
    assert_eq!(
        got[1]["candidates"][0]["groundingMetadata"],
        json!({"groundingChunks": [{"web": {"uri": "https://s"}}], "groundingSupports": [
            {"segment": {"startIndex": 8, "endIndex": 12, "text": "Ende"}, "groundingChunkIndices": [0]}]})
    );
}

#[test]
fn whole_answer_and_stream_say_the_same() {
    let response = collect(&stream(&rich())).unwrap();
    let exchange = exchange(true);
    let mut whole = Vec::new();
    super::super::response::encode(&response, &exchange, &mut whole).unwrap();
    let mut encoder = Encoder::new(&exchange);
    let mut out = Vec::new();
    response.replay(|event| encoder.event(&event, &mut out));
    let mut aggregator = super::super::aggregate::Aggregator::default();
    sse::Decoder::default().push(&out, |event| aggregator.event(&event).unwrap()).unwrap();
    let mut folded: Value = serde_json::from_slice(&aggregator.finish().unwrap()).unwrap();
    // The last chunk holds an empty text, which a whole answer does not need.
    let parts = folded["candidates"][0]["content"]["parts"].as_array_mut().unwrap();
    parts.retain(|part| *part != json!({"text": ""}));
    assert_eq!(folded, serde_json::from_slice::<Value>(&whole).unwrap());
}

#[test]
fn t050_an_answer_without_content_has_a_part() {
    let mut out = Vec::new();
    super::super::response::encode(&Response::default(), &exchange(true), &mut out).unwrap();
    let body: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(body["candidates"][0]["content"], json!({"role": "model", "parts": [{"text": ""}]}));
    assert_eq!(body["candidates"][0]["finishReason"], "STOP");
}

#[test]
fn t007_t008_a_ping_is_an_empty_line() {
    let mut events = reasoning_and_call();
    let plain = encode(&exchange(true), &events);
    for at in 0..events.len() {
        events.insert(at, Event::Ping);
        let text = encode(&exchange(true), &events);
        events.remove(at);
        assert!(text.lines().all(|line| line.is_empty() || line.starts_with("data: {")), "{text}");
        assert_eq!(text.len(), plain.len() + 1);
        let lines =
            |text: &str| text.lines().filter(|l| !l.is_empty()).map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(lines(&text), lines(&plain), "between events, never within one");
    }
}
