//! Traps between two protocols: what one writes and the other reads.

use serde_json::{Value, json};

use super::canonical::{Exchange, Losses};
use super::*;

const TALK: &str = r#"{"model":"m","contents":[{"parts":[{"text":"Hi"}]}]}"#;

fn exchange(client: Protocol, upstream: Protocol, stream: bool) -> Exchange {
    let request = gemini::request::decode(TALK, "m", stream).unwrap();
    Exchange { include_usage: true, ..Exchange::new(&request, client, upstream) }
}

/// A stream of these data, as an upstream sends it.
fn sse_of(upstream: Protocol, events: &[Value]) -> String {
    let named = matches!(upstream, Protocol::Anthropic | Protocol::Responses);
    let line = |event: &Value| match event["type"].as_str() {
        Some(name) if named => format!("event: {name}\ndata: {event}\n\n"),
        _ => format!("data: {event}\n\n"),
    };
    events.iter().map(line).collect()
}

/// The data of each event that the client gets; `[DONE]` is null.
fn stream(client: Protocol, upstream: Protocol, native: &str) -> Vec<Value> {
    let exchange = exchange(client, upstream, true);
    let mut decoder = StreamDecoder::new(upstream, 1);
    let mut encoder = StreamEncoder::new(&exchange);
    let mut out = Vec::new();
    let mut sink = |event: Event<'_>| encoder.event(&event, &mut out);
    let mut reader = sse::Decoder::default();
    reader.push(native.as_bytes(), |event| decoder.event(&event, &mut sink)).unwrap();
    reader.finish(|event| decoder.event(&event, &mut sink));
    decoder.finish(&mut sink);
    let mut events = Vec::new();
    let mut collect =
        |event: sse::Event<'_>| events.push(serde_json::from_slice(event.data.as_ref()).unwrap_or_default());
    let mut reader = sse::Decoder::default();
    reader.push(&out, &mut collect).unwrap();
    reader.finish(&mut collect);
    events
}

fn document(client: Protocol, upstream: Protocol, native: &Value) -> Value {
    let text = native.to_string();
    let response = decode_response(upstream, &text, 1).unwrap();
    let mut out = Vec::new();
    encode_response(&response, &exchange(client, upstream, false), &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn chat_chunks(deltas: &[Value], finish: &str, usage: &Value) -> String {
    let chunk = |delta: &Value, finish: Value| json!({"id": "c", "model": "m", "created": 1, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}]});
    let mut events: Vec<Value> = deltas.iter().map(|delta| chunk(delta, Value::Null)).collect();
    events.push(chunk(&json!({}), json!(finish)));
    if !usage.is_null() {
        events.push(json!({"id": "c", "model": "m", "created": 1, "choices": [], "usage": usage}));
    }
    sse_of(Protocol::OpenAi, &events) + "data: [DONE]\n\n"
}

fn chat_document(message: &Value, finish: &str, usage: &Value) -> Value {
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m", "usage": usage,
        "choices": [{"index": 0, "message": message, "finish_reason": finish}]})
}

/// The last `message_delta` of an Anthropic stream.
fn message_delta(events: &[Value]) -> &Value {
    events.iter().rfind(|event| event["type"] == "message_delta").unwrap_or_else(|| panic!("{events:?}"))
}

#[test]
fn t133_a_refusal_in_words_reaches_every_client() {
    let words = "I cannot help with that.";
    let chunks = chat_chunks(
        &[json!({"role": "assistant", "refusal": "I cannot "}), json!({"refusal": "help with that."})],
        "stop",
        &Value::Null,
    );
    let whole =
        chat_document(&json!({"role": "assistant", "content": null, "refusal": words}), "stop", &Value::Null);
    for client in Protocol::ALL {
        let streamed = json!(stream(client, Protocol::OpenAi, &chunks)).to_string();
        assert!(
            streamed.contains("I cannot ") && streamed.contains("help with that."),
            "{client}: {streamed}"
        );
        let answer = document(client, Protocol::OpenAi, &whole);
        let (said, finish) = match client {
            Protocol::Anthropic => (&answer["content"][0]["text"], &answer["stop_reason"]),
            Protocol::OpenAi => {
                (&answer["choices"][0]["message"]["refusal"], &answer["choices"][0]["finish_reason"])
            }
            Protocol::Responses => (&answer["output"][0]["content"][0]["refusal"], &answer["status"]),
            Protocol::Gemini => {
                let candidate = &answer["candidates"][0];
                (&candidate["content"]["parts"][0]["text"], &candidate["finishReason"])
            }
        };
        assert_eq!(said, words, "{client}: {answer}");
        let want = match client {
            Protocol::Anthropic => "refusal",
            Protocol::OpenAi => "stop",
            Protocol::Responses => "completed",
            Protocol::Gemini => "SAFETY",
        };
        assert_eq!(finish, want, "{client}: {answer}");
    }
}

#[test]
fn t154_cached_tokens_are_not_counted_twice() {
    let usage = json!({"prompt_tokens": 100, "completion_tokens": 5, "total_tokens": 105,
        "prompt_tokens_details": {"cached_tokens": 80}});
    let whole = document(
        Protocol::Anthropic,
        Protocol::OpenAi,
        &chat_document(&json!({"role": "assistant", "content": "Hi"}), "stop", &usage),
    );
    let chunks = chat_chunks(&[json!({"role": "assistant", "content": "Hi"})], "stop", &usage);
    let streamed = stream(Protocol::Anthropic, Protocol::OpenAi, &chunks);
    for counts in [&whole["usage"], &message_delta(&streamed)["usage"]] {
        assert_eq!(
            (&counts["input_tokens"], &counts["cache_read_input_tokens"]),
            (&json!(20), &json!(80)),
            "{counts}"
        );
        assert_eq!(counts["output_tokens"], 5);
    }
    // More cached than read would be a negative count.
    let odd =
        json!({"prompt_tokens": 10, "completion_tokens": 5, "prompt_tokens_details": {"cached_tokens": 80}});
    let answer = chat_document(&json!({"role": "assistant", "content": "Hi"}), "stop", &odd);
    assert_eq!(document(Protocol::Anthropic, Protocol::OpenAi, &answer)["usage"]["input_tokens"], 0);
}

/// An Anthropic stream with a text that ends for this reason.
fn anthropic_stream(stop: &Value) -> String {
    sse_of(
        Protocol::Anthropic,
        &[
            json!({"type": "message_start", "message": {"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
                "content": [], "stop_reason": null, "stop_sequence": null, "usage": {"input_tokens": 9, "output_tokens": 1}}}),
            json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}}),
            json!({"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": "Hi"}}),
            json!({"type": "content_block_stop", "index": 0}),
            json!({"type": "message_delta", "delta": {"stop_reason": stop, "stop_sequence": null}, "usage": {"output_tokens": 2}}),
            json!({"type": "message_stop"}),
        ],
    )
}

#[test]
fn t160_new_reasons_to_stop_are_no_error() {
    for (reason, chat, responses, gemini) in [
        ("model_context_window_exceeded", "length", "incomplete", "MAX_TOKENS"),
        ("pause_turn", "stop", "completed", "STOP"),
        ("compaction", "stop", "completed", "OTHER"),
        ("a_reason_of_next_year", "stop", "completed", "OTHER"),
    ] {
        let whole = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
            "content": [{"type": "text", "text": "Hi"}], "stop_reason": reason, "stop_sequence": null,
            "usage": {"input_tokens": 9, "output_tokens": 2}});
        let native = anthropic_stream(&json!(reason));
        let reasons = |client| {
            let whole = document(client, Protocol::Anthropic, &whole);
            let events = stream(client, Protocol::Anthropic, &native);
            let last = |path: &str| {
                let found = events
                    .iter()
                    .rev()
                    .find_map(|event| event.pointer(path).filter(|value| !value.is_null()));
                found.cloned().unwrap_or_default()
            };
            match client {
                Protocol::OpenAi => {
                    (whole["choices"][0]["finish_reason"].clone(), last("/choices/0/finish_reason"))
                }
                Protocol::Responses => (whole["status"].clone(), last("/response/status")),
                _ => (whole["candidates"][0]["finishReason"].clone(), last("/candidates/0/finishReason")),
            }
        };
        for (client, want) in
            [(Protocol::OpenAi, chat), (Protocol::Responses, responses), (Protocol::Gemini, gemini)]
        {
            assert_eq!(reasons(client), (json!(want), json!(want)), "{client}: {reason}");
        }
    }
}

#[test]
fn t163_an_anthropic_client_is_always_told_why_it_ended() {
    let mut native: Vec<(Protocol, String, String)> = Vec::new();
    for reason in ["stop", "length", "content_filter", "tool_calls", "function_call", "eos", "end_turn", ""] {
        let chunks = chat_chunks(&[json!({"role": "assistant", "content": "Hi"})], reason, &Value::Null);
        native.push((Protocol::OpenAi, reason.to_owned(), chunks));
    }
    for reason in ["STOP", "MAX_TOKENS", "SAFETY", "RECITATION", "OTHER", "LANGUAGE", "NEXT_YEAR"] {
        let event = json!({"candidates": [{"index": 0, "finishReason": reason,
            "content": {"role": "model", "parts": [{"text": "Hi"}]}}]});
        native.push((Protocol::Gemini, reason.to_owned(), sse_of(Protocol::Gemini, &[event])));
    }
    for (status, details) in [
        ("completed", Value::Null),
        ("incomplete", json!({"reason": "max_output_tokens"})),
        ("incomplete", json!({"reason": "content_filter"})),
        ("incomplete", json!({"reason": "next_year"})),
        ("incomplete", Value::Null),
    ] {
        let part = json!({"type": "output_text", "text": "Hi", "annotations": []});
        let item = json!({"id": "msg_1", "type": "message", "status": status, "role": "assistant", "content": [part]});
        let response = |status: &str, output: Value| {
            json!({"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": status, "output": output,
                "incomplete_details": details})
        };
        let events = [
            json!({"type": "response.created", "sequence_number": 0, "response": response("in_progress", json!([]))}),
            json!({"type": "response.output_item.added", "sequence_number": 1, "output_index": 0,
                "item": {"id": "msg_1", "type": "message", "status": "in_progress", "role": "assistant", "content": []}}),
            json!({"type": "response.output_text.delta", "sequence_number": 2, "item_id": "msg_1", "output_index": 0,
                "content_index": 0, "delta": "Hi"}),
            json!({"type": "response.output_item.done", "sequence_number": 3, "output_index": 0, "item": item}),
            json!({"type": format!("response.{status}"), "sequence_number": 4, "response": response(status, json!([item]))}),
        ];
        native.push((
            Protocol::Responses,
            format!("{status} {details}"),
            sse_of(Protocol::Responses, &events),
        ));
    }
    let known = [
        "end_turn",
        "max_tokens",
        "stop_sequence",
        "tool_use",
        "refusal",
        "pause_turn",
        "model_context_window_exceeded",
    ];
    for (upstream, reason, native) in native {
        let events = stream(Protocol::Anthropic, upstream, &native);
        let told = message_delta(&events)["delta"]["stop_reason"].as_str().unwrap_or("null");
        assert!(known.contains(&told), "{upstream} {reason}: {told}");
        assert_eq!(events.last().unwrap()["type"], "message_stop", "{upstream} {reason}");
    }
}

#[test]
fn t186_an_agent_reads_how_full_its_context_is() {
    let chat = json!({"prompt_tokens": 1000, "completion_tokens": 7, "prompt_tokens_details": {"cached_tokens": 600}});
    let gemini = json!({"candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [{"text": "Hi"}]}}],
        "usageMetadata": {"promptTokenCount": 1000, "cachedContentTokenCount": 600, "candidatesTokenCount": 7}});
    let responses = json!({"type": "response.completed", "sequence_number": 0, "response": {"id": "r", "object": "response",
        "created_at": 1, "model": "m", "status": "completed", "output": [{"id": "msg_1", "type": "message", "status": "completed",
            "role": "assistant", "content": [{"type": "output_text", "text": "Hi", "annotations": []}]}],
        "usage": {"input_tokens": 1000, "input_tokens_details": {"cached_tokens": 600}, "output_tokens": 7}}});
    for (upstream, native) in [
        (Protocol::OpenAi, chat_chunks(&[json!({"role": "assistant", "content": "Hi"})], "stop", &chat)),
        (Protocol::Gemini, sse_of(Protocol::Gemini, &[gemini])),
        (Protocol::Responses, sse_of(Protocol::Responses, &[responses])),
    ] {
        let events = stream(Protocol::Anthropic, upstream, &native);
        let usage = &message_delta(&events)["usage"];
        let want = json!({"input_tokens": 400, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 600, "output_tokens": 7});
        for (key, count) in want.as_object().unwrap() {
            assert_eq!(&usage[key], count, "{upstream} {key}: {usage}");
        }
    }
}

#[test]
fn t159_a_chat_client_finds_its_counts_on_the_last_chunk() {
    let gemini = |text: &str, finish: Value| {
        json!({"candidates": [{"index": 0, "finishReason": finish, "content": {"role": "model", "parts": [{"text": text}]}}],
            "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 2}})
    };
    for (upstream, native) in [
        // Counts come early: in the first chunk, with the finish, before it.
        (Protocol::Anthropic, anthropic_stream(&json!("end_turn"))),
        (Protocol::Gemini, sse_of(Protocol::Gemini, &[gemini("H", Value::Null), gemini("i", json!("STOP"))])),
    ] {
        let events = stream(Protocol::OpenAi, upstream, &native);
        let (done, chunks) = events.split_last().unwrap();
        assert!(done.is_null(), "{upstream}: [DONE] ends it");
        let (last, earlier) = chunks.split_last().unwrap();
        let counts = (&last["usage"]["prompt_tokens"], &last["usage"]["completion_tokens"]);
        assert_eq!(counts, (&json!(9), &json!(2)), "{upstream}: {last}");
        assert_eq!(last["choices"], json!([]), "{upstream}");
        assert!(earlier.iter().all(|chunk| chunk["usage"].is_null()), "{upstream}: {earlier:?}");
    }
}

#[test]
fn t132_citations_of_other_providers_do_not_come_back_as_anthropics() {
    let words = "Rain is likely.";
    let chat = json!({"model": "m", "messages": [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": words, "annotations": [{"type": "url_citation",
            "url_citation": {"start_index": 0, "end_index": 4, "url": "https://a.test", "title": "A"}}]},
        {"role": "user", "content": "Sure?"}]});
    let responses = json!({"model": "m", "input": [
        {"role": "user", "content": "Weather?"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "q"}},
        {"type": "message", "id": "msg_1", "status": "completed", "role": "assistant", "content": [{"type": "output_text",
            "text": words, "annotations": [{"type": "url_citation", "start_index": 0, "end_index": 4,
            "url": "https://a.test", "title": "A"}]}]},
        {"role": "user", "content": "Sure?"}]});
    for (client, body) in [(Protocol::OpenAi, chat), (Protocol::Responses, responses)] {
        let body = body.to_string();
        let endpoint = Endpoint::new(client, Operation::Generate);
        let request = decode_request(&endpoint, &body).unwrap();
        let exchange = Exchange::new(&request, client, Protocol::Anthropic);
        let mut out = Vec::new();
        let target = Target::new("claude-sonnet-4-5");
        encode_request(Protocol::Anthropic, &request, &exchange, &target, &mut Losses::default(), &mut out)
            .unwrap();
        let sent: Value = serde_json::from_slice(&out).unwrap();
        let blocks = &sent["messages"][1]["content"];
        let said = blocks.as_str().or(blocks[0]["text"].as_str());
        assert_eq!(said, Some(words), "{client}: {sent}");
        let text = sent.to_string();
        for foreign in ["encrypted_index", "encrypted_content", "web_search", "citations"] {
            assert!(!text.contains(foreign), "{client}: {foreign} in {text}");
        }
    }
}

#[test]
fn t148_nothing_is_put_beside_cached_content() {
    let body =
        r#"{"cachedContent":"cachedContents/1","contents":[{"role":"user","parts":[{"text":"Go on."}]}]}"#;
    let endpoint = Endpoint::parse("/v1beta/models/gemini-2.5-pro:generateContent", None).unwrap();
    let request = decode_request(&endpoint, body).unwrap();
    let exchange = Exchange::new(&request, Protocol::Gemini, Protocol::Gemini);
    let mut out = Vec::new();
    let target = Target { default_max_tokens: Some(100), ..Target::new("gemini-2.5-pro") };
    encode_request(Protocol::Gemini, &request, &exchange, &target, &mut Losses::default(), &mut out).unwrap();
    let sent: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(sent["cachedContent"], "cachedContents/1");
    for key in ["systemInstruction", "tools", "toolConfig"] {
        assert_eq!(sent.get(key), None, "{sent}");
    }
}

/// The client's stream, and the document that stands for it, as an upstream of Anthropic's protocol sends them.
fn both_of_anthropic(client: Protocol, events: &[Value]) -> (Vec<Value>, Value) {
    let native = sse_of(Protocol::Anthropic, events);
    let mut aggregator = Aggregator::new(Protocol::Anthropic);
    let mut reader = sse::Decoder::default();
    reader.push(native.as_bytes(), |event| aggregator.event(&event).unwrap()).unwrap();
    let folded = serde_json::from_slice(&aggregator.finish().unwrap()).unwrap();
    (stream(client, Protocol::Anthropic, &native), document(client, Protocol::Anthropic, &folded))
}

fn anthropic_call(index: u64, json: &str) -> [Value; 3] {
    [
        json!({"type": "content_block_start", "index": index,
            "content_block": {"type": "tool_use", "id": format!("toolu_{index}"), "name": "rm", "input": {}}}),
        json!({"type": "content_block_delta", "index": index,
            "delta": {"type": "input_json_delta", "partial_json": json}}),
        json!({"type": "content_block_stop", "index": index}),
    ]
}

#[test]
fn t060_a_call_that_ran_into_the_limit_is_run_by_nobody() {
    for reason in ["max_tokens", "model_context_window_exceeded"] {
        for half in [r#"{"path": "/et"#, ""] {
            let mut events =
                vec![json!({"type": "message_start", "message": {"id": "msg_1", "content": []}})];
            events.extend(anthropic_call(0, r#"{"path": "/tmp"}"#));
            events.extend(anthropic_call(1, half));
            events.push(json!({"type": "message_delta", "delta": {"stop_reason": reason}}));
            events.push(json!({"type": "message_stop"}));
            let (streamed, whole) = both_of_anthropic(Protocol::Gemini, &events);
            for answer in [json!(streamed).to_string(), whole.to_string()] {
                let calls = answer.matches("functionCall").count();
                assert_eq!(calls, 1, "{reason}: {answer}");
            }
            let (streamed, whole) = both_of_anthropic(Protocol::Responses, &events);
            let last = streamed.last().unwrap();
            assert_eq!(last["type"], "response.incomplete", "{reason}");
            let done = streamed.iter().filter(|event| event["type"] == "response.output_item.done");
            let told: Vec<_> = done.map(|event| &event["item"]["status"]).collect();
            assert_eq!(told, ["completed", "incomplete"], "{reason}: {streamed:?}");
            assert_eq!(last["response"]["output"][1]["status"], "incomplete", "{reason}");
            assert_eq!(whole["output"].as_array().unwrap().len(), 1, "{reason}: {whole}");
        }
    }
}

#[test]
fn t060_a_text_that_ran_into_the_limit_says_so_in_its_stream_too() {
    let events = [
        json!({"type": "message_start", "message": {"id": "msg_1", "content": []}}),
        json!({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": "Once"}}),
        json!({"type": "content_block_stop", "index": 0}),
        json!({"type": "message_delta", "delta": {"stop_reason": "max_tokens"}}),
        json!({"type": "message_stop"}),
    ];
    let (streamed, whole) = both_of_anthropic(Protocol::Responses, &events);
    assert_eq!(whole["output"][0]["status"], "incomplete");
    assert_eq!(streamed.last().unwrap()["response"]["output"][0]["status"], "incomplete");
}

/// Whoever runs a call as soon as it is whole does not wait for what follows it.
#[test]
fn calls_of_anthropic_are_told_as_soon_as_the_answer_goes_on() {
    let mut events = vec![json!({"type": "message_start", "message": {"id": "msg_1", "content": []}})];
    events.extend(anthropic_call(0, "{}"));
    events.push(json!({"type": "content_block_start", "index": 1,
        "content_block": {"type": "text", "text": ""}}));
    let told = |events: &[Value]| {
        json!(stream(Protocol::Gemini, Protocol::Anthropic, &sse_of(Protocol::Anthropic, events))).to_string()
    };
    assert!(told(&events).contains("functionCall"), "another block has begun");
    events.pop();
    assert!(!told(&events).contains("functionCall"), "what broke off here may have been cut off");
    events.push(json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}}));
    assert!(told(&events).contains("functionCall"), "the reason is known");
}

#[test]
fn t060_a_call_that_mistrals_window_cut_off_is_run_by_nobody() {
    let call = json!([{"index": 0, "id": "a", "function": {"name": "rm", "arguments": r#"{"path": "/et"#}}]);
    let chunks = chat_chunks(&[json!({"tool_calls": call})], "model_length", &Value::Null);
    let streamed = stream(Protocol::Gemini, Protocol::OpenAi, &chunks);
    assert!(!json!(streamed).to_string().contains("functionCall"), "{streamed:?}");
    let message = json!({"role": "assistant", "content": null, "tool_calls": call});
    let whole =
        document(Protocol::Gemini, Protocol::OpenAi, &chat_document(&message, "model_length", &Value::Null));
    assert!(!whole.to_string().contains("functionCall"), "{whole}");
    assert_eq!(whole["candidates"][0]["finishReason"], "MAX_TOKENS");
}

/// Gemini refuses the next turn without them (T100).
#[test]
fn t103_signatures_that_follow_their_calls_are_kept() {
    let signed = |name: &str, state: &str| json!({"functionCall": {"name": name, "args": {"x": 1}}, "thoughtSignature": state});
    let parts = [signed("f", "Zmlyc3Q="), signed("g", "c2Vjb25k")];
    let native = json!({"responseId": "r", "modelVersion": "m",
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]});
    let chunks = stream(Protocol::OpenAi, Protocol::Gemini, &sse_of(Protocol::Gemini, &[native]));
    let own = sse_of(Protocol::OpenAi, &chunks).replace("data: null", "data: [DONE]");
    let state = |value: &str| json!({"google": {"thought_signature": value}});
    let call = |index: u8, id: &str, name: &str| json!({"tool_calls": [{"index": index, "id": id, "function": {"name": name, "arguments": r#"{"x":1}"#}}]});
    let late =
        |index: u8, value: &str| json!({"tool_calls": [{"index": index, "extra_content": state(value)}]});
    let googles = chat_chunks(
        &[call(0, "a", "f"), late(0, "Zmlyc3Q="), call(1, "b", "g"), late(1, "c2Vjb25k")],
        "tool_calls",
        &Value::Null,
    );
    for chunks in [own, googles] {
        let events = stream(Protocol::Gemini, Protocol::OpenAi, &chunks);
        let parts = events.iter().filter_map(|event| event["candidates"][0]["content"]["parts"].as_array());
        let calls: Vec<_> = parts.flatten().filter(|part| part["functionCall"].is_object()).collect();
        let told: Vec<_> = calls.iter().map(|part| &part["thoughtSignature"]).collect();
        assert_eq!(told, ["Zmlyc3Q=", "c2Vjb25k"], "{chunks}");
    }
}

#[test]
fn t035_t103_a_signature_of_geminis_without_words_makes_no_empty_message() {
    let parts =
        json!([{"functionCall": {"name": "f", "args": {}}}, {"text": "", "thoughtSignature": "c2ln"}]);
    let native = json!({"responseId": "r", "modelVersion": "m",
        "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}, "finishReason": "STOP"}]});
    let events = stream(
        Protocol::Responses,
        Protocol::Gemini,
        &sse_of(Protocol::Gemini, std::slice::from_ref(&native)),
    );
    let streamed = &events.last().unwrap()["response"]["output"];
    let whole = &document(Protocol::Responses, Protocol::Gemini, &native)["output"];
    for output in [streamed, whole] {
        let types: Vec<_> = output.as_array().unwrap().iter().map(|item| &item["type"]).collect();
        assert_eq!(types, ["function_call", "reasoning"], "{output}");
    }
}
