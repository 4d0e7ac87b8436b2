//! Probabilities of tokens reach the client that asked for them, from any upstream that has some.

use aiproxy::protocol::canonical::{Exchange, Losses};
use aiproxy::protocol::{Endpoint, Target, decode_request, encode_request};
use serde_json::{Value, json};

use crate::support::client::{Client, Reply, post};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Received, Upstream};
use crate::support::{Protocol, native};

/// The protocols that know them.
const KNOW: [Protocol; 3] = [Protocol::OpenAi, Protocol::Responses, Protocol::Gemini];
const TEXT: &str = "Hi wörld🦀";
/// Texts of a stream, and the tokens of each: text, number as the provider spells it.
const PIECES: [(&str, &[(&str, &str)]); 2] =
    [("Hi", &[("Hi", "-0.10")]), (" wörld🦀", &[(" wörld", "-3.5760596e-07"), ("🦀", "-1.50")])];
/// What else the first token of each piece might have been.
const OTHER: (&str, &str) = ("Yo", "-12.0196156");

fn tokens() -> impl Iterator<Item = (&'static str, &'static str)> {
    PIECES.into_iter().flat_map(|(_, tokens)| tokens.iter().copied())
}

/// Tokens as OpenAI spells them; the deltas of Responses name no bytes.
fn openai_list(tokens: &[(&str, &str)], bytes: bool) -> String {
    let member = |(token, number): &(&str, &str)| {
        let bytes = if bytes { format!(",\"bytes\":{:?}", token.as_bytes()) } else { String::new() };
        format!("\"token\":{},\"logprob\":{number}{bytes}", json!(token))
    };
    let each = tokens.iter().map(|token| {
        format!("{{{},\"top_logprobs\":[{{{}}},{{{}}}]}}", member(token), member(token), member(&OTHER))
    });
    format!("[{}]", each.collect::<Vec<_>>().join(","))
}

fn gemini_result(tokens: &[(&str, &str)]) -> String {
    let member = |(token, number): &(&str, &str)| {
        format!("{{\"token\": {}, \"tokenId\": 9, \"logProbability\": {number}}}", json!(token))
    };
    let chosen: Vec<_> = tokens.iter().map(member).collect();
    let tops: Vec<_> = tokens
        .iter()
        .map(|token| format!("{{\"candidates\": [{}, {}]}}", member(token), member(&OTHER)))
        .collect();
    format!("{{\"topCandidates\": [{}], \"chosenCandidates\": [{}]}}", tops.join(","), chosen.join(","))
}

/// The provider's whole answer.
fn document(protocol: Protocol) -> String {
    let all: Vec<_> = tokens().collect();
    match protocol {
        Protocol::Gemini => format!(
            r#"{{"candidates": [{{"content": {{"role": "model", "parts": [{{"text": "{TEXT}"}}]}}, "finishReason": "STOP", "index": 0, "avgLogprobs": -0.5, "logprobsResult": {}}}], "responseId": "r"}}"#,
            gemini_result(&all)
        ),
        Protocol::OpenAi => format!(
            r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":"{TEXT}"}},"logprobs":{{"content":{},"refusal":null}},"finish_reason":"stop"}}]}}"#,
            openai_list(&all, true)
        ),
        _ => format!(
            r#"{{"id":"resp_1","object":"response","created_at":1,"status":"completed","model":"m","output":[{}]}}"#,
            responses_item()
        ),
    }
}

fn responses_item() -> String {
    let all: Vec<_> = tokens().collect();
    format!(
        r#"{{"id":"msg_1","type":"message","status":"completed","role":"assistant","content":[{{"type":"output_text","text":"{TEXT}","annotations":[],"logprobs":{}}}]}}"#,
        openai_list(&all, true)
    )
}

/// The provider's stream: one event for each piece of text, and one that ends it.
fn stream(protocol: Protocol) -> Vec<String> {
    let piece = |(text, tokens): (&str, &[(&str, &str)])| match protocol {
        Protocol::Gemini => format!(
            r#"{{"candidates": [{{"content": {{"parts": [{{"text": "{text}"}}],"role": "model"}},"index": 0,"logprobsResult": {}}}],"responseId": "r"}}"#,
            gemini_result(tokens)
        ),
        Protocol::OpenAi => format!(
            r#"{{"id":"c","created":1,"model":"m","choices":[{{"index":0,"delta":{{"content":"{text}"}},"logprobs":{{"content":{},"refusal":null}},"finish_reason":null}}]}}"#,
            openai_list(tokens, true)
        ),
        _ => format!(
            r#"{{"type":"response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"{text}","logprobs":{}}}"#,
            openai_list(tokens, false)
        ),
    };
    let mut events: Vec<String> = PIECES.into_iter().map(piece).collect();
    match protocol {
        Protocol::Gemini => events.push(
            r#"{"candidates": [{"content": {"parts": [{"text": ""}],"role": "model"},"index": 0,"finishReason": "STOP","avgLogprobs": -0.5}],"responseId": "r"}"#
                .to_owned(),
        ),
        Protocol::OpenAi => {
            let end = r#"{"id":"c","created":1,"model":"m","choices":[{"index":0,"delta":{},"logprobs":null,"finish_reason":"stop"}]}"#;
            events.extend([end.to_owned(), "[DONE]".to_owned()]);
        }
        _ => {
            events.push(format!(
                r#"{{"type":"response.output_item.done","output_index":0,"item":{}}}"#,
                responses_item()
            ));
            events.push(format!(r#"{{"type":"response.completed","response":{}}}"#, document(protocol)));
        }
    }
    events.into_iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// A request for the two most probable tokens.
fn ask(protocol: Protocol, stream: bool) -> Talk {
    Talk::new(native::model(protocol), "Hi").stream(stream)
}

fn body(client: Protocol, talk: &Talk) -> Value {
    let mut body = talk.body(client);
    match client {
        Protocol::OpenAi => {
            body["logprobs"] = json!(true);
            body["top_logprobs"] = json!(2);
        }
        Protocol::Responses => {
            body["include"] = json!(["message.output_text.logprobs"]);
            body["top_logprobs"] = json!(2);
        }
        _ => body["generationConfig"] = json!({"responseLogprobs": true, "logprobs": 2}),
    }
    body
}

/// Asserts what the upstream was asked.
fn assert_asked(protocol: Protocol, received: &Received, what: &str) {
    let body = received.json();
    match protocol {
        Protocol::OpenAi => {
            assert_eq!(
                (&body["logprobs"], &body["top_logprobs"]),
                (&json!(true), &json!(2)),
                "{what}: {body}"
            );
        }
        Protocol::Responses => {
            assert_eq!(body["include"], json!(["message.output_text.logprobs"]), "{what}: {body}");
            assert_eq!(body["top_logprobs"], json!(2), "{what}: {body}");
        }
        _ => assert_eq!(
            body["generationConfig"],
            json!({"responseLogprobs": true, "logprobs": 2}),
            "{what}: {body}"
        ),
    }
}

/// One token as a client reads it: its text, and the texts of the most probable ones.
type Token = (String, Vec<String>);

fn read_openai(list: &Value, what: &str) -> Vec<Token> {
    let text = |token: &Value| {
        let text = token["token"].as_str().unwrap_or_else(|| panic!("{what}: {token}"));
        assert_eq!(token["bytes"], json!(text.as_bytes()), "{what}: {token}");
        assert!(token["logprob"].is_f64(), "{what}: {token}");
        text.to_owned()
    };
    let list = list.as_array().unwrap_or_else(|| panic!("{what}: {list}"));
    list.iter()
        .map(|token| (text(token), token["top_logprobs"].as_array().unwrap().iter().map(text).collect()))
        .collect()
}

fn read_gemini(result: &Value, what: &str) -> Vec<Token> {
    let text = |token: &Value| {
        assert!(token["logProbability"].is_f64(), "{what}: {token}");
        token["token"].as_str().unwrap_or_else(|| panic!("{what}: {token}")).to_owned()
    };
    let chosen = result["chosenCandidates"].as_array().unwrap_or_else(|| panic!("{what}: {result}"));
    let tops = result["topCandidates"].as_array().unwrap_or_else(|| panic!("{what}: {result}"));
    assert_eq!(chosen.len(), tops.len(), "{what}");
    chosen
        .iter()
        .zip(tops)
        .map(|(token, top)| (text(token), top["candidates"].as_array().unwrap().iter().map(text).collect()))
        .collect()
}

/// Each piece of text of a stream with its tokens.
fn read_stream(client: Protocol, reply: &Reply, what: &str) -> Vec<(String, Vec<Token>)> {
    let events = reply.events();
    let events = events.iter().filter(|event| event.data != "[DONE]").map(|event| event.json());
    let pieces = events.filter_map(|event| match client {
        Protocol::OpenAi => {
            let choice = &event["choices"][0];
            let text = choice["delta"]["content"].as_str().filter(|text| !text.is_empty())?;
            Some((text.to_owned(), read_openai(&choice["logprobs"]["content"], what)))
        }
        Protocol::Responses => {
            if event["type"] == "response.output_text.done" {
                assert_eq!(read_openai(&event["logprobs"], what).len(), 3, "{what}");
            }
            let text = event["delta"].as_str()?;
            Some((text.to_owned(), read_openai(&event["logprobs"], what)))
        }
        _ => {
            let candidate = &event["candidates"][0];
            let text = candidate["content"]["parts"][0]["text"].as_str().filter(|text| !text.is_empty())?;
            Some((text.to_owned(), read_gemini(&candidate["logprobsResult"], what)))
        }
    });
    pieces.collect()
}

fn read_document(client: Protocol, reply: &Reply, what: &str) -> (String, Vec<Token>) {
    let document = reply.json();
    let (text, tokens) = match client {
        Protocol::OpenAi => {
            let choice = &document["choices"][0];
            (&choice["message"]["content"], read_openai(&choice["logprobs"]["content"], what))
        }
        Protocol::Responses => {
            let part = &document["output"][0]["content"][0];
            (&part["text"], read_openai(&part["logprobs"], what))
        }
        _ => {
            let candidate = &document["candidates"][0];
            assert!(candidate["avgLogprobs"].as_f64().is_some_and(|average| average < 0.0), "{what}");
            (&candidate["content"]["parts"][0]["text"], read_gemini(&candidate["logprobsResult"], what))
        }
    };
    (text.as_str().unwrap_or_else(|| panic!("{what}: {document}")).to_owned(), tokens)
}

fn expected(tokens: &[(&str, &str)]) -> Vec<Token> {
    let each = tokens.iter().map(|(token, _)| {
        let top = vec![(*token).to_owned(), OTHER.0.to_owned()];
        ((*token).to_owned(), top)
    });
    each.collect()
}

async fn say(client: Protocol, protocol: Protocol, stream_it: bool, must_stream: bool) -> (Reply, String) {
    let what = format!("{client} → {protocol}, stream: {stream_it}, must stream: {must_stream}");
    let answer = match stream_it || must_stream {
        true => Answer::events(stream(protocol)),
        false => Answer::json(document(protocol)),
    };
    let provider = Upstream::always(answer).await;
    let spec = upstream("only", protocol, &provider.url()).must_stream(must_stream);
    let served = Served::start(gateway([spec])).await;
    let talk = ask(protocol, stream_it);
    let reply = Client::new(served.addr).send(post(&talk.path(client), body(client, &talk))).await;
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    assert_eq!(reply.header("x-aiproxy-warnings"), None, "{what}");
    assert_asked(protocol, &provider.only(), &what);
    for (_, number) in tokens().chain([OTHER]) {
        assert!(reply.text().contains(number), "{what}: {number} is not in {}", reply.text());
    }
    (reply, what)
}

#[tokio::test]
async fn tokens_stream_beside_their_text() {
    for client in KNOW {
        for protocol in KNOW.into_iter().filter(|protocol| *protocol != client) {
            let (reply, what) = say(client, protocol, true, false).await;
            let want = PIECES.map(|(text, tokens)| (text.to_owned(), expected(tokens)));
            assert_eq!(read_stream(client, &reply, &what), want, "{what}");
        }
    }
}

#[tokio::test]
async fn tokens_come_with_a_whole_answer_also_from_an_upstream_that_only_streams() {
    for client in KNOW {
        for protocol in KNOW {
            for must_stream in [false, true] {
                let (reply, what) = say(client, protocol, false, must_stream).await;
                let want = (TEXT.to_owned(), expected(&tokens().collect::<Vec<_>>()));
                assert_eq!(read_document(client, &reply, &what), want, "{what}");
            }
        }
    }
}

/// OpenAI keeps those of a refusal apart. Gemini has one list for all that was said, Responses none for a refusal.
#[tokio::test]
async fn a_refusal_comes_with_its_tokens_where_they_have_a_place() {
    let list = openai_list(PIECES[0].1, true);
    let chunk = |delta: Value, finish: &str| {
        format!(
            "data: {{\"id\":\"c\",\"created\":1,\"model\":\"m\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":{{\"content\":null,\"refusal\":{list}}},\"finish_reason\":{finish}}}]}}\n\n"
        )
    };
    let events = [chunk(json!({"refusal": "Hi"}), "null"), chunk(json!({}), "\"stop\"").replace(&list, "[]")];
    let whole = format!(
        r#"{{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{{"index":0,"message":{{"role":"assistant","content":null,"refusal":"Hi"}},"logprobs":{{"content":null,"refusal":{list}}},"finish_reason":"stop"}}]}}"#
    );
    for (client, streamed) in [Protocol::Gemini, Protocol::Responses]
        .into_iter()
        .flat_map(|client| [(client, false), (client, true)])
    {
        let what = format!("{client}, stream: {streamed}");
        let end = "data: [DONE]\n\n".to_owned();
        let answer = match streamed {
            true => Answer::events(events.iter().cloned().chain([end])),
            false => Answer::json(&whole),
        };
        let provider = Upstream::always(answer).await;
        let served = Served::start(gateway([upstream("only", Protocol::OpenAi, &provider.url())])).await;
        let talk = ask(Protocol::OpenAi, streamed);
        let reply = Client::new(served.addr).send(post(&talk.path(client), body(client, &talk))).await;
        assert_eq!(reply.status, 200, "{what}: {}", reply.text());
        match (client, streamed) {
            (Protocol::Gemini, true) => {
                let want = vec![("Hi".to_owned(), expected(PIECES[0].1))];
                assert_eq!(read_stream(client, &reply, &what), want, "{what}");
            }
            (Protocol::Gemini, false) => {
                let want = ("Hi".to_owned(), expected(PIECES[0].1));
                assert_eq!(read_document(client, &reply, &what), want, "{what}");
            }
            _ => {
                assert!(reply.text().contains(r#""refusal":"Hi""#), "{what}: {}", reply.text());
                assert!(!reply.text().contains("logprob\""), "{what}: {}", reply.text());
            }
        }
    }
}

/// What the upstream of `protocol` is asked for, and the losses.
fn translated(
    client: Protocol,
    protocol: Protocol,
    model: &str,
    asked: &Value,
) -> Result<(Value, String), String> {
    let talk = Talk::new(model, "Hi");
    let mut body = talk.body(client);
    let place = if client == Protocol::Gemini { &mut body["generationConfig"] } else { &mut body };
    if place.is_null() {
        *place = json!({});
    }
    place.as_object_mut().unwrap().extend(asked.as_object().unwrap().clone());
    let (endpoint, body) = (Endpoint::parse(&talk.path(client), None).unwrap(), body.to_string());
    let request = decode_request(&endpoint, &body).map_err(|error| error.to_string())?;
    let exchange = Exchange::new(&request, client, protocol);
    let (mut losses, mut out) = (Losses::default(), Vec::new());
    encode_request(protocol, &request, &exchange, &Target::new(model), &mut losses, &mut out)
        .map_err(|error| error.to_string())?;
    let sent: Value = serde_json::from_slice(&out).unwrap();
    let sent = if protocol == Protocol::Gemini { &sent["generationConfig"] } else { &sent };
    let keys = ["logprobs", "top_logprobs", "include", "responseLogprobs"];
    let found = keys.iter().filter_map(|key| Some(((*key).to_owned(), sent.get(key)?.clone())));
    Ok((Value::Object(found.collect()), losses.header()))
}

#[test]
fn what_is_asked_for_is_said_in_the_upstreams_words_and_nothing_unasked() {
    use Protocol::{Gemini, OpenAi, Responses};
    let include = json!(["message.output_text.logprobs"]);
    for (client, asked, protocol, sent) in [
        (OpenAi, json!({"logprobs": true}), Responses, json!({"include": include})),
        (OpenAi, json!({"logprobs": true}), Gemini, json!({"responseLogprobs": true})),
        (Gemini, json!({"responseLogprobs": true}), OpenAi, json!({"logprobs": true})),
        (Responses, json!({"include": include}), Gemini, json!({"responseLogprobs": true})),
        (
            Responses,
            json!({"include": include, "top_logprobs": 20}),
            OpenAi,
            json!({"logprobs": true, "top_logprobs": 20}),
        ),
        // In Responses a count alone asks.
        (Responses, json!({"top_logprobs": 3}), OpenAi, json!({"logprobs": true, "top_logprobs": 3})),
        (Responses, json!({"top_logprobs": 3}), Gemini, json!({"responseLogprobs": true, "logprobs": 3})),
        // Its default does not.
        (Responses, json!({"top_logprobs": 0}), OpenAi, json!({})),
        (OpenAi, json!({"logprobs": false, "top_logprobs": 3}), Responses, json!({})),
        (OpenAi, json!({"logprobs": null, "top_logprobs": null}), Gemini, json!({})),
        (OpenAi, json!({}), Gemini, json!({})),
        (Gemini, json!({}), Responses, json!({})),
    ] {
        let got = translated(client, protocol, "gpt-4.1", &asked);
        assert_eq!(got, Ok((sent, String::new())), "{client} → {protocol}: {asked}");
    }
}

#[test]
fn an_upstream_that_has_none_is_asked_for_none_and_the_client_is_told() {
    let asked = json!({"logprobs": true, "top_logprobs": 2});
    for (protocol, model) in [
        (Protocol::Anthropic, "claude-sonnet-4-5"),
        (Protocol::Responses, "gpt-5.2"),
        (Protocol::OpenAi, "o3"),
    ] {
        let client = if protocol == Protocol::OpenAi { Protocol::Responses } else { Protocol::OpenAi };
        let asked = if client == Protocol::Responses {
            json!({"include": ["message.output_text.logprobs"], "top_logprobs": 2})
        } else {
            asked.clone()
        };
        let (sent, losses) = translated(client, protocol, model, &asked).unwrap();
        assert_eq!(losses, "drop:logprobs, drop:top_logprobs", "{protocol}");
        let entries = sent["include"].as_array().into_iter().flatten();
        assert_eq!(entries.filter(|entry| **entry != "reasoning.encrypted_content").count(), 0, "{sent}");
        assert_eq!((sent.get("logprobs"), sent.get("top_logprobs")), (None, None), "{protocol}");
    }
}

#[test]
fn a_count_beyond_what_any_upstream_takes_is_refused_here() {
    for protocol in KNOW {
        for client in KNOW.into_iter().filter(|client| *client != protocol) {
            let (param, asked) = match client {
                Protocol::Gemini => ("logprobs", json!({"responseLogprobs": true, "logprobs": 21})),
                _ => ("top_logprobs", json!({"logprobs": true, "top_logprobs": 21})),
            };
            let refused = translated(client, protocol, "gpt-4.1", &asked).unwrap_err();
            assert!(refused.starts_with(&format!("{param}: must be ")), "{client} → {protocol}: {refused}");
        }
    }
}
