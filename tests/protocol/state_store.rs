//! What a provider wants back with its model's calls reaches it even through clients that drop it; of other clients,
//! for ever, or without measure it does not.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiproxy::layer::{CollectLayer, StateStore, TranslateLayer};
use aiproxy::protocol::{Aggregator, Dialect, sse};
use aiproxy::{Body, Error, Gateway, Payload};
use http::{Request, Response};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::util::BoxCloneService;
use tower::{Service, ServiceBuilder, ServiceExt, service_fn};

use crate::support::Protocol;
use crate::support::client::{Client, post, with};
use crate::support::gateway::{Served, from_yaml, gateway, upstream};
use crate::support::upstream::{Answer, Upstream};

const GEMINI: &str = "gemini-3-pro";
const SENTINEL: &str = "skip_thought_signature_validator";

fn gemini_answer(signature: &str) -> Value {
    json!({"responseId": "r", "modelVersion": GEMINI,
        "usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2},
        "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
            {"text": "Both.", "thought": true},
            {"functionCall": {"name": "f", "args": {"x": 1}}, "thoughtSignature": signature},
            {"functionCall": {"name": "f", "args": {"x": 2}}}]}}]})
}

fn path(client: Protocol) -> &'static str {
    if client == Protocol::Anthropic { "/v1/messages" } else { "/v1/chat/completions" }
}

/// A question of a client that keeps nothing but texts and calls; with `answer` the next turn.
fn ask(client: Protocol, model: &str, said: &str, answer: Option<&Value>) -> Value {
    let schema = json!({"type": "object", "properties": {"x": {"type": "integer"}}});
    let mut messages = vec![json!({"role": "user", "content": said})];
    if client == Protocol::Anthropic {
        if let Some(answer) = answer {
            let mut content = answer["content"].as_array().unwrap().clone();
            content.retain(|block| block["type"] == "text" || block["type"] == "tool_use");
            let calls = content.iter().filter(|block| block["type"] == "tool_use");
            let result =
                |call: &Value| json!({"type": "tool_result", "tool_use_id": call["id"], "content": "1"});
            let results: Vec<_> = calls.map(result).collect();
            messages.push(json!({"role": "assistant", "content": content}));
            messages.push(json!({"role": "user", "content": results}));
        }
        let tools = json!([{"name": "f", "input_schema": schema}]);
        json!({"model": model, "max_tokens": 9000, "messages": messages, "tools": tools})
    } else {
        if let Some(answer) = answer {
            let message = &answer["choices"][0]["message"];
            let mut calls = message["tool_calls"].as_array().unwrap().clone();
            for call in &mut calls {
                call.as_object_mut()
                    .unwrap()
                    .retain(|key, _| ["id", "type", "function"].contains(&key.as_str()));
            }
            messages.push(json!({"role": "assistant", "content": message["content"], "tool_calls": calls}));
            let result = |call: &Value| json!({"role": "tool", "tool_call_id": call["id"], "content": "1"});
            messages.extend(calls.iter().map(result));
        }
        let tools = json!([{"type": "function", "function": {"name": "f", "parameters": schema}}]);
        json!({"model": model, "reasoning_effort": "low", "messages": messages, "tools": tools})
    }
}

/// Asks once, and once more with the answer in the history; the last answer's warnings.
async fn two_turns(http: &Client, client: Protocol, model: &str, stream: bool) -> String {
    let mut first = ask(client, model, "go", None);
    first["stream"] = json!(stream);
    let reply = http.send(post(path(client), &first)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let answer: Value = if stream {
        let mut aggregator = Aggregator::new(client);
        sse::Decoder::default().push(&reply.body, |event| aggregator.event(&event).unwrap()).unwrap();
        serde_json::from_slice(&aggregator.finish().unwrap()).unwrap()
    } else {
        reply.json()
    };
    let reply = http.send(post(path(client), ask(client, model, "go", Some(&answer)))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.header("x-aiproxy-warnings").unwrap_or_default().to_owned()
}

/// Answers whole or as a stream, as it is asked.
async fn provider(
    is_stream: impl Fn(&str) -> bool + Send + Sync + 'static,
    whole: Value,
    stream: String,
) -> Upstream {
    Upstream::start(move |_, request| match is_stream(&request.everything()) {
        true => Answer::events([&stream]),
        false => Answer::json(&whole),
    })
    .await
}

#[tokio::test]
async fn t100_t101_gemini_gets_its_own_signature_back_through_clients_that_do_not_carry_it() {
    let answer = gemini_answer("c2lnbmVk");
    let stream = format!("data: {answer}\n\n");
    let gemini = provider(|request| request.contains("streamGenerateContent"), answer, stream).await;
    let served = Served::start(gateway([upstream("gemini", Protocol::Gemini, &gemini.url())])).await;
    let http = Client::new(served.addr);
    for client in [Protocol::Anthropic, Protocol::OpenAi] {
        for stream in [false, true] {
            let warnings = two_turns(&http, client, GEMINI, stream).await;
            let received = gemini.requests().pop().unwrap().json();
            let parts = &received["contents"][1]["parts"];
            assert_eq!(parts[0]["thoughtSignature"], "c2lnbmVk", "{client} {stream}: {received}");
            assert_eq!(parts[1]["thoughtSignature"], Value::Null, "{client} {stream}: {received}");
            assert!(!warnings.contains("drop"), "{warnings}");
        }
    }
}

/// Gemini signs also what it says: on the text, or on an empty one behind it.
#[tokio::test]
async fn t102_t103_a_signed_text_has_its_signature_again_though_the_client_kept_only_the_text() {
    let text = "One \"and\" two <🦀>.";
    for (behind, parts) in [
        (false, json!([{"text": text, "thoughtSignature": "c2lnbmVk"}])),
        (true, json!([{"text": text}, {"text": "", "thoughtSignature": "c2lnbmVk"}])),
    ] {
        let answer = |parts: &[Value], more: Value| {
            let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": parts}});
            candidate.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            json!({"responseId": "r", "modelVersion": GEMINI, "candidates": [candidate]})
        };
        let end = json!({"finishReason": "STOP"});
        let listed = parts.as_array().unwrap();
        let chunks = listed.iter().map(|part| answer(std::slice::from_ref(part), json!({})));
        let chunks = chunks.chain([answer(&[], end.clone())]).map(|chunk| format!("data: {chunk}\n\n"));
        let stream = chunks.collect::<String>().replace("<", "\\u003c");
        let gemini =
            provider(|request| request.contains("streamGenerateContent"), answer(listed, end), stream).await;
        let served = Served::start(gateway([upstream("gemini", Protocol::Gemini, &gemini.url())])).await;
        let http = Client::new(served.addr);
        for (client, streamed) in
            [Protocol::Anthropic, Protocol::OpenAi].into_iter().flat_map(|c| [(c, false), (c, true)])
        {
            let turn = |role: &str, text: &str| json!({"role": role, "content": text});
            let send = |said: &str, more: &[Value], streamed: bool| {
                let messages: Vec<_> = [turn("user", said)].iter().chain(more).cloned().collect();
                let body =
                    json!({"model": GEMINI, "max_tokens": 9000, "stream": streamed, "messages": messages});
                http.send(post(path(client), body))
            };
            let reply = send(&format!("go {client} {streamed}"), &[], streamed).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let next = [turn("assistant", text), turn("user", "And?")];
            let others = [turn("assistant", &format!("{text} ")), turn("user", "And?")];
            for (said, next, is_back) in [
                (format!("go {client} {streamed}"), &next, true),
                (format!("go {client} {streamed}"), &others, false),
                // Another conversation.
                ("stop".to_owned(), &next, false),
            ] {
                send(&said, next, false).await;
                let received = gemini.requests().pop().unwrap().json();
                let expected = match is_back {
                    true => parts.clone(),
                    false => json!([{"text": next[0]["content"]}]),
                };
                assert_eq!(
                    received["contents"][1]["parts"], expected,
                    "{client}, stream: {streamed}, behind: {behind}"
                );
            }
        }
    }
}

#[tokio::test]
async fn t104_thinking_stays_on_over_calls_for_a_chat_client_that_keeps_none_of_it() {
    let content = json!([
        {"type": "thinking", "thinking": "", "signature": "ZW1wdHk+/w=="},
        {"type": "thinking", "thinking": "Need \u{1f9ed} both.\n ", "signature": "c2lnbmVk"},
        {"type": "redacted_thinking", "data": "aGlkZGVu"},
        {"type": "text", "text": "Checking."},
        {"type": "thinking", "thinking": "Now.", "signature": "bm93"},
        {"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"x": 1}},
    ]);
    let model = "claude-sonnet-4-5";
    let claude =
        Upstream::always(Answer::json(json!({"id": "msg_1", "type": "message", "role": "assistant",
        "model": model, "content": content, "stop_reason": "tool_use", "stop_sequence": null,
        "usage": {"input_tokens": 1, "output_tokens": 2}})))
        .await;
    let claude_url = claude.url();
    let spec = || upstream("claude", Protocol::Anthropic, &claude_url);
    let with_store = Served::start(gateway([spec()])).await;
    let without = Gateway::builder().upstream(spec()).state_store(None).build().unwrap();
    let without = Served::start(without).await;
    for (served, mode, history) in
        [(with_store, "enabled", content.clone()), (without, "disabled", json!([content[3], content[5]]))]
    {
        let warnings = two_turns(&Client::new(served.addr), Protocol::OpenAi, model, false).await;
        let received = claude.requests().pop().unwrap().json();
        assert_eq!(received["messages"][1]["content"], history);
        assert_eq!(received["thinking"]["type"], mode, "{received}");
        assert_eq!(warnings.contains("drop:reasoning"), mode == "disabled", "{warnings}");
    }
}

#[tokio::test]
async fn t105_encrypted_reasoning_comes_back_with_its_id() {
    let reasoning = json!({"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAAB",
        "summary": [{"type": "summary_text", "text": "Look it up."}]});
    let call = json!({"type": "function_call", "id": "fc_1", "call_id": "call_1", "name": "f",
        "arguments": "{\"x\":1}", "status": "completed"});
    let answer = json!({"id": "resp_1", "object": "response", "created_at": 1, "status": "completed",
        "model": "gpt-5", "output": [reasoning, call],
        "usage": {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}});
    let openai = Upstream::always(Answer::json(answer)).await;
    let served = Served::start(gateway([upstream("openai", Protocol::Responses, &openai.url())])).await;
    for client in [Protocol::Anthropic, Protocol::OpenAi] {
        two_turns(&Client::new(served.addr), client, "gpt-5", false).await;
        let received = openai.requests().pop().unwrap().json();
        let item = &received["input"][1];
        assert_eq!(
            (&item["id"], &item["encrypted_content"]),
            (&json!("rs_1"), &json!("gAAAAB")),
            "{received}"
        );
        assert_eq!(item["summary"], reasoning["summary"], "{received}");
        assert_eq!(received["input"][2]["call_id"], "call_1", "{received}");
    }
}

#[tokio::test]
async fn servers_that_want_reasoning_back_get_that_of_the_same_conversation() {
    // Some servers count their ids anew in every conversation.
    let answer = |reasoning: &str| {
        json!({"id": "c", "object": "chat.completion", "created": 1, "model": "kimi", "choices": [{"index": 0,
            "finish_reason": "tool_calls", "message": {"role": "assistant", "content": null,
                "reasoning_content": reasoning, "tool_calls": [{"id": "functions.f:0", "type": "function",
                    "function": {"name": "f", "arguments": "{\"x\": 1}"}}]}}]})
    };
    let (one, two) = (Answer::json(answer("Of the one.")), Answer::json(answer("Of the other.")));
    let kimi = Upstream::start(move |turn, _| if turn == 0 { one.clone() } else { two.clone() }).await;
    let dialect = Dialect { reasoning_replay: true, ..Dialect::default() };
    let spec = upstream("kimi", Protocol::OpenAi, &kimi.url()).dialect(dialect);
    let served = Served::start(gateway([spec])).await;
    let http = Client::new(served.addr);
    let mut answers = Vec::new();
    for said in ["one", "other"] {
        let reply = http.send(post("/v1/messages", ask(Protocol::Anthropic, "kimi", said, None))).await;
        answers.push((said, reply.json()));
    }
    for (said, answer) in &answers {
        http.send(post("/v1/messages", ask(Protocol::Anthropic, "kimi", said, Some(answer)))).await;
        let received = kimi.requests().pop().unwrap().json();
        assert_eq!(received["messages"][1]["reasoning_content"], format!("Of the {said}."), "{received}");
    }
    http.send(post("/v1/messages", ask(Protocol::Anthropic, "kimi", "a third", Some(&answers[0].1)))).await;
    let received = kimi.requests().pop().unwrap().json();
    // Kimi refuses calls without any: this stands for it.
    assert_eq!(received["messages"][1]["reasoning_content"], " ", "{received}");
}

/// The signature on the call in the last request that Gemini got.
fn signature(gemini: &Upstream) -> Value {
    gemini.requests().pop().unwrap().json()["contents"][1]["parts"][0]["thoughtSignature"].clone()
}

#[tokio::test]
async fn nothing_is_given_to_another_client_key() {
    let gemini = Upstream::always(Answer::json(gemini_answer("c2lnbmVk"))).await;
    let builder = Gateway::builder().api_key("one").api_key("two");
    let builder = builder.upstream(upstream("gemini", Protocol::Gemini, &gemini.url()));
    let served = Served::start(builder.build().unwrap()).await;
    let http = Client::new(served.addr);
    let send = |key: &str, body: Value| http.send(with(post("/v1/messages", body), "x-api-key", key));
    let answer = send("one", ask(Protocol::Anthropic, GEMINI, "go", None)).await.json();
    let next = ask(Protocol::Anthropic, GEMINI, "go", Some(&answer));
    send("two", next.clone()).await;
    assert_eq!(signature(&gemini), SENTINEL);
    send("one", next).await;
    assert_eq!(signature(&gemini), "c2lnbmVk");
}

#[tokio::test]
async fn it_can_be_switched_off() {
    let gemini = Upstream::always(Answer::json(gemini_answer("c2lnbmVk"))).await;
    for (setting, expected) in [("enabled: true", "c2lnbmVk"), ("enabled: false", SENTINEL)] {
        let text = format!(
            "state_store: {{ {setting} }}\nupstreams: [{{ name: g, token: t, api_type: gemini, base_url: {:?} }}]",
            gemini.url()
        );
        let served = Served::start(from_yaml(&text)).await;
        two_turns(&Client::new(served.addr), Protocol::Anthropic, GEMINI, false).await;
        assert_eq!(signature(&gemini), expected, "{setting}");
    }
}

/// The translation alone, before a model that signs its calls so; and what it was asked last.
fn layer(
    store: &StateStore,
    signature: String,
) -> (BoxCloneService<Request<String>, Response<Body>, Error>, Arc<Mutex<Value>>) {
    let asked: Arc<Mutex<Value>> = Arc::default();
    let seen = asked.clone();
    let model = service_fn(move |request: Request<Payload>| {
        *seen.lock().unwrap() = serde_json::from_slice(request.body().original_bytes()).unwrap();
        let answer = Body::from(gemini_answer(&signature).to_string().into_bytes());
        async move { Ok::<_, Error>(Response::new(answer)) }
    });
    let translate = TranslateLayer::new(Protocol::Gemini).state_store(store.clone(), "gemini");
    let service = ServiceBuilder::new().layer(CollectLayer::default()).layer(translate).service(model);
    (service.boxed_clone(), asked)
}

/// The signature of the second turn, which comes `later`.
async fn signature_after(store: &StateStore, signature: &str, later: Duration) -> Value {
    let (mut service, asked) = layer(store, signature.to_owned());
    let mut answer = None;
    for wait in [Duration::ZERO, later] {
        tokio::time::advance(wait).await;
        let body = ask(Protocol::Anthropic, GEMINI, "go", answer.as_ref()).to_string();
        let request = Request::post("/v1/messages").body(body).unwrap();
        let reply = service.ready().await.unwrap().call(request).await.unwrap();
        let bytes = reply.into_body().collect().await.unwrap().to_bytes();
        answer = Some(serde_json::from_slice::<Value>(&bytes).unwrap());
    }
    let asked = asked.lock().unwrap();
    asked["contents"][1]["parts"][0]["thoughtSignature"].clone()
}

#[tokio::test(start_paused = true)]
async fn it_is_forgotten_after_an_hour_without_use_or_if_it_is_too_large() {
    let hour = Duration::from_secs(60 * 60);
    let store = StateStore::default();
    assert_eq!(signature_after(&store, "c2lnbmVk", hour - Duration::from_secs(1)).await, "c2lnbmVk");
    assert_eq!(signature_after(&store, "c2lnbmVk", hour).await, SENTINEL);
    let large = "c2lnbmVk".repeat(150_000);
    assert_eq!(signature_after(&store, &large, Duration::ZERO).await, SENTINEL);
    assert!(store.size() < 16 << 20);
    let small = StateStore::new(64 << 10, hour);
    let fits = "c2lnbmVk".repeat(400);
    assert_eq!(signature_after(&small, &fits, Duration::ZERO).await, fits.as_str());
    assert_eq!(signature_after(&small, &fits.repeat(2), Duration::ZERO).await, SENTINEL);
}
