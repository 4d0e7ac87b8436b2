//! A model's reasoning comes back to it through any client: block by block, signatures to the letter. What is
//! lost or altered makes its provider refuse the next turn.

use std::sync::Arc;

use aiproxy::protocol::canonical::{Exchange, Losses, Request};
use aiproxy::protocol::{
    Aggregator, Endpoint, Operation, StreamDecoder, StreamEncoder, Target, decode_request, decode_response,
    encode_request, encode_response, sse,
};
use serde_json::{Value, json};

use crate::support::client::{Client, post, with};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native};

const MODEL: &str = "claude-sonnet-4-5";

/// What the model said: reasoning whose text is not shown, reasoning, hidden reasoning, text and a call.
fn content() -> Value {
    json!([
        {"type": "thinking", "thinking": "", "signature": "ZW1wdHk+/w=="},
        {"type": "thinking", "thinking": "Need both.\n ", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "aGlkZGVu"},
        {"type": "text", "text": "Checking."},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}},
    ])
}

fn document(content: &Value) -> String {
    json!({"id": "msg_1", "type": "message", "role": "assistant", "model": MODEL, "content": content,
        "stop_reason": "tool_use", "stop_sequence": null, "usage": {"input_tokens": 1, "output_tokens": 2}})
    .to_string()
}

/// The same as a stream.
fn stream(content: &Value) -> String {
    let mut events = vec![json!({"type": "message_start", "message": {"id": "msg_1", "type": "message",
        "role": "assistant", "model": MODEL, "content": [], "usage": {"input_tokens": 1, "output_tokens": 1}}})];
    for (index, block) in content.as_array().unwrap().iter().enumerate() {
        let mut start = block.clone();
        let mut deltas = Vec::new();
        match block["type"].as_str().unwrap() {
            "thinking" => {
                start = json!({"type": "thinking", "thinking": "", "signature": ""});
                deltas.push(json!({"type": "thinking_delta", "thinking": block["thinking"]}));
                deltas.push(json!({"type": "signature_delta", "signature": block["signature"]}));
            }
            "text" => {
                start["text"] = json!("");
                deltas.push(json!({"type": "text_delta", "text": block["text"]}));
            }
            "tool_use" => {
                start["input"] = json!({});
                let text = block["input"].to_string();
                deltas.push(json!({"type": "input_json_delta", "partial_json": text}));
            }
            _ => {}
        }
        // Where the text is not shown no delta comes for it.
        deltas.retain(|delta| delta["thinking"] != "");
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start}));
        let delta = |delta| json!({"type": "content_block_delta", "index": index, "delta": delta});
        events.extend(deltas.into_iter().map(delta));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    events.push(
        json!({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": {"output_tokens": 2}}),
    );
    events.push(json!({"type": "message_stop"}));
    let frame = |event: &Value| format!("event: {}\ndata: {event}\n\n", event["type"].as_str().unwrap());
    events.iter().map(frame).collect()
}

/// A request that asks to see the reasoning; `answer` and the result of its call follow in the next turn.
fn request(client: Protocol, answer: Option<&Value>) -> String {
    let schema = json!({"type": "object", "properties": {"x": {"type": "integer"}}});
    let turns = |user: Value, answers: Vec<Value>, result: Value| {
        let mut turns = vec![user];
        if !answers.is_empty() {
            turns.extend(answers);
            turns.push(result);
        }
        turns
    };
    let body = match client {
        Protocol::Anthropic => json!({"model": MODEL, "max_tokens": 9000,
        "thinking": {"type": "enabled", "budget_tokens": 2000},
        "tools": [{"name": "f", "input_schema": schema}],
        "messages": turns(
            json!({"role": "user", "content": "go"}),
            answer.iter().map(|a| json!({"role": "assistant", "content": a["content"]})).collect(),
            json!({"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": "toolu_1", "content": "1"}]}),
        )}),
        Protocol::OpenAi => json!({"model": MODEL, "reasoning_effort": "low",
        "tools": [{"type": "function", "function": {"name": "f", "parameters": schema}}],
        "messages": turns(
            json!({"role": "user", "content": "go"}),
            answer.iter().map(|a| a["choices"][0]["message"].clone()).collect(),
            json!({"role": "tool", "tool_call_id": "toolu_1", "content": "1"}),
        )}),
        Protocol::Responses => json!({"model": MODEL, "reasoning": {"effort": "low", "summary": "auto"},
        "tools": [{"type": "function", "name": "f", "parameters": schema}],
        "input": turns(
            json!({"role": "user", "content": "go"}),
            answer.iter().flat_map(|a| a["output"].as_array().unwrap().clone()).collect(),
            json!({"type": "function_call_output", "call_id": "toolu_1", "output": "1"}),
        )}),
        Protocol::Gemini => json!({
        "generationConfig": {"thinkingConfig": {"includeThoughts": true, "thinkingBudget": 2000}},
        "tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema}]}],
        "contents": turns(
            json!({"role": "user", "parts": [{"text": "go"}]}),
            answer.iter().map(|a| a["candidates"][0]["content"].clone()).collect(),
            json!({"role": "user", "parts": [
                {"functionResponse": {"id": "toolu_1", "name": "f", "response": {"output": "1"}}}]}),
        )}),
    };
    body.to_string()
}

fn endpoint(client: Protocol) -> Endpoint {
    let mut endpoint = Endpoint::new(client, Operation::Generate);
    if client == Protocol::Gemini {
        endpoint.model = Some(Arc::from(MODEL));
        endpoint.stream = Some(false);
    }
    endpoint
}

fn exchange(request: &Request<'_>, client: Protocol) -> Exchange {
    Exchange { created: 1, seed: 7, ..Exchange::new(request, client, Protocol::Anthropic) }
}

fn told_whole(exchange: &Exchange, content: &Value) -> Value {
    let document = document(content);
    let mut out = Vec::new();
    let response = decode_response(Protocol::Anthropic, &document, 7).unwrap();
    encode_response(&response, exchange, &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

/// What a client's library makes of the stream.
fn told_as_a_stream(exchange: &Exchange, content: &Value) -> Value {
    let mut decoder = StreamDecoder::new(Protocol::Anthropic, 7);
    let mut encoder = StreamEncoder::new(exchange);
    let mut out = Vec::new();
    let each = |event: sse::Event<'_>| decoder.event(&event, &mut |event| encoder.event(&event, &mut out));
    sse::Decoder::default().push(stream(content).as_bytes(), each).unwrap();
    let mut aggregator = Aggregator::new(exchange.client);
    sse::Decoder::default().push(&out, |event| aggregator.event(&event).unwrap()).unwrap();
    serde_json::from_slice(&aggregator.finish().unwrap()).unwrap()
}

#[test]
fn t098_t115_state_without_text_comes_back_through_every_client() {
    let content = content();
    for client in Protocol::ALL {
        let endpoint = endpoint(client);
        let first = request(client, None);
        let exchange = exchange(&decode_request(&endpoint, &first).unwrap(), client);
        for (how, answer) in
            [("whole", told_whole(&exchange, &content)), ("streamed", told_as_a_stream(&exchange, &content))]
        {
            let what = format!("{client}, {how}: {answer}");
            if client != Protocol::Anthropic {
                assert!(!answer.to_string().contains("aGlkZGVu"), "hidden reasoning shown as text: {what}");
            }
            let next = request(client, Some(&answer));
            let request = decode_request(&endpoint, &next).unwrap();
            let exchange = Exchange::new(&request, client, Protocol::Anthropic);
            let (mut losses, mut out) = (Losses::default(), Vec::new());
            let target = Target::new(MODEL);
            encode_request(Protocol::Anthropic, &request, &exchange, &target, &mut losses, &mut out).unwrap();
            let sent: Value = serde_json::from_slice(&out).unwrap();
            assert_eq!(sent["messages"][1]["content"], content, "{what}");
            assert_eq!(sent["messages"][2]["content"][0]["tool_use_id"], "toolu_1", "{what}");
            assert_eq!(sent["thinking"]["type"], "enabled", "{what}");
        }
    }
}

/// What an Anthropic client holds after a turn that a Chat upstream answered, reasoning included.
async fn turn_of_another_provider(client: &Client) -> Value {
    let first = json!({"model": "chat", "max_tokens": 3000, "thinking": {"type": "enabled", "budget_tokens": 2000},
        "messages": [{"role": "user", "content": "Hello"}]});
    let reply = client.send(post("/v1/messages", &first)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let content = reply.json()["content"].clone();
    assert_eq!(content[0]["type"], "thinking", "{content}");
    content
}

#[tokio::test]
async fn t104_a_conversation_that_comes_back_to_anthropic_is_not_refused_for_foreign_reasoning() {
    let chat = Upstream::always(Answer::json(json!({"id": "c", "object": "chat.completion", "created": 1,
        "model": "chat", "choices": [{"index": 0, "finish_reason": "stop",
            "message": {"role": "assistant", "content": "Hi.", "reasoning_content": "Greet back."}}]})))
    .await;
    let native = Upstream::always(Answer::json(native::document(Protocol::Anthropic))).await;
    let served = Served::start(gateway([
        upstream("chat", Protocol::OpenAi, &chat.url()).models(["chat"]),
        upstream("native", Protocol::Anthropic, &native.url()).models([MODEL]),
    ]))
    .await;
    let client = Client::new(served.addr);
    let content = turn_of_another_provider(&client).await;

    let ask = |content: &Value| {
        json!({"model": MODEL, "max_tokens": 3000, "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": content},
            {"role": "user", "content": "And now?"},
        ]})
        .to_string()
    };
    let reply = client.send(post("/v1/messages", ask(&content))).await;
    assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, Some("drop:reasoning")));
    let received = native.only().json();
    assert_eq!(received["model"], MODEL);
    assert_eq!(received["messages"][1]["content"], json!([content[1]]), "{received}");
    assert_eq!(received["messages"][2]["content"], "And now?");

    // Whoever wants all or nothing gets nothing.
    let strict = with(post("/v1/messages", ask(&content)), "x-aiproxy-strict", "1");
    let reply = client.send(strict).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    assert_eq!(native.requests().len(), 1);

    // Its own state passes as it is, byte for byte.
    let own = ask(
        &json!([{"type": "thinking", "thinking": "Hm.", "signature": "oZ4Bo+own"}, {"type": "text", "text": "Hi."}]),
    );
    let reply = client.send(post("/v1/messages", &own)).await;
    assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, None));
    assert_eq!(native.requests()[1].body, own.as_bytes());
}

/// The contents that a Gemini client sends in the next turn, after `answer`.
fn answered(answer: &Value) -> String {
    let result = |id: &str| json!({"functionResponse": {"id": id, "name": "f", "response": {"output": "1"}}});
    let contents = json!([
        {"role": "user", "parts": [{"text": "go"}]},
        answer["candidates"][0]["content"],
        {"role": "user", "parts": [result("toolu_1"), result("toolu_2")]},
    ]);
    format!(r#"{{ "contents": {contents}, "generationConfig": {{"temperature": 1.0}} }}"#)
}

#[tokio::test]
async fn t100_t101_calls_that_another_provider_made_are_taken_by_gemini() {
    let mut content = json!([{"type": "text", "text": "Both."}]);
    for id in ["toolu_1", "toolu_2"] {
        let call = json!({"type": "tool_use", "id": id, "name": "f", "input": {"x": 1}});
        content.as_array_mut().unwrap().push(call);
    }
    let (whole, streamed) = (Answer::json(document(&content)), Answer::events([stream(&content)]));
    let claude =
        Upstream::start(move |turn, _| if turn == 1 { streamed.clone() } else { whole.clone() }).await;
    let gemini = Upstream::always(Answer::json(native::document(Protocol::Gemini))).await;
    let served = Served::start(gateway([
        upstream("claude", Protocol::Anthropic, &claude.url()).models([MODEL]),
        upstream("gemini", Protocol::Gemini, &gemini.url()).models(["gemini-*"]),
    ]))
    .await;
    let client = Client::new(served.addr);
    let path = |model: &str, verb: &str| format!("/v1beta/models/{model}:{verb}");

    let first = json!({"contents": [{"role": "user", "parts": [{"text": "go"}]}]});
    let reply = client.send(post(&path(MODEL, "generateContent"), &first)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let whole = reply.json();
    let reply = client.send(post(&path(MODEL, "streamGenerateContent?alt=sse"), &first)).await;
    let mut aggregator = Aggregator::new(Protocol::Gemini);
    sse::Decoder::default().push(&reply.body, |event| aggregator.event(&event).unwrap()).unwrap();
    let streamed: Value = serde_json::from_slice(&aggregator.finish().unwrap()).unwrap();

    for answer in [whole, streamed] {
        let parts = &answer["candidates"][0]["content"]["parts"];
        let mark = parts[1]["thoughtSignature"].as_str().unwrap_or_else(|| panic!("not marked: {answer}"));
        assert_eq!(parts[2]["thoughtSignature"], Value::Null, "only the first of parallel calls");
        let next = answered(&answer);
        for (model, expected) in [
            ("gemini-3-pro", next.replace(mark, "skip_thought_signature_validator")),
            ("gemini-2.5-pro", next.replace(&format!(r#","thoughtSignature":"{mark}""#), "")),
        ] {
            let strict = with(post(&path(model, "generateContent"), &next), "x-aiproxy-strict", "1");
            let reply = client.send(strict).await;
            assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, None), "{}", reply.text());
            let received = gemini.requests().pop().unwrap();
            assert_ne!(expected, next);
            assert_eq!(std::str::from_utf8(&received.body).unwrap(), expected, "{model}");
        }
        // Where it came from, nothing is known of the mark.
        let strict = with(post(&path(MODEL, "generateContent"), &next), "x-aiproxy-strict", "1");
        let reply = client.send(strict).await;
        assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, None), "{}", reply.text());
    }
}
