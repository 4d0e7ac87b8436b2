//! Upstreams that only stream serve clients that want one document.

use serde_json::{Value, json};

use crate::support::answer::{self, Finish};
use crate::support::client::{Client, Reply};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Received, Upstream};
use crate::support::{Protocol, native, pairs};

async fn say(client: Protocol, protocol: Protocol, providers: &[&Upstream]) -> Reply {
    let specs = (0..).zip(providers).map(|(number, provider)| {
        upstream(&format!("u{number}"), protocol, &provider.url()).priority(number).must_stream(true)
    });
    let served = Served::start(gateway(specs)).await;
    Client::new(served.addr).send(Talk::new(native::model(protocol), "Hi").tools().request(client)).await
}

fn asks_for_a_stream(protocol: Protocol, request: &Received) -> bool {
    match protocol {
        Protocol::Gemini => request.target.ends_with(":streamGenerateContent?alt=sse"),
        _ => request.json()["stream"] == true,
    }
}

fn assert_whole(client: Protocol, protocol: Protocol, reply: &Reply) {
    let what = format!("{client} → {protocol}: {}", reply.text());
    assert_eq!(reply.status, 200, "{what}");
    assert!(reply.header("content-type").unwrap().starts_with("application/json"), "{what}");
    let answer = answer::document(client, &reply.json());
    assert_eq!((answer.text.as_str(), answer.finish), (native::TEXT, Finish::Calls), "{what}");
    assert_eq!(answer.named_calls(), [("weather", &json!({"city": "Zürich", "days": 3}))], "{what}");
    assert_eq!((answer.input_tokens, answer.output_tokens), (12, 9), "{what}");
}

#[tokio::test]
async fn a_stream_is_folded_into_the_document_that_the_client_wants() {
    for (client, protocol) in pairs() {
        let provider = Upstream::always(Answer::events(native::stream(protocol))).await;
        let reply = say(client, protocol, &[&provider]).await;
        assert_whole(client, protocol, &reply);
        assert!(
            asks_for_a_stream(protocol, &provider.only()),
            "{client} → {protocol}: {:?}",
            provider.only()
        );
    }
}

#[tokio::test]
async fn the_folded_document_of_the_same_protocol_is_the_providers_own() {
    for protocol in Protocol::ALL {
        let provider = Upstream::always(Answer::events(native::stream(protocol))).await;
        let mut got = say(protocol, protocol, &[&provider]).await.json();
        let mut want = native::document(protocol);
        if protocol == Protocol::Gemini {
            // Where its pieces of text meet is nobody's business.
            for document in [&mut got, &mut want] {
                let parts = document["candidates"][0]["content"]["parts"].as_array_mut().unwrap();
                parts.retain(|part| part["text"] != "");
            }
        }
        assert_eq!(got, want, "{protocol}");
    }
}

/// A stream whose arguments a JSON library would rewrite, and that has members that nobody knows.
fn peculiar(protocol: Protocol) -> (Vec<String>, &'static str) {
    let odd = r#"{"zeta":1.10,"big":123456789012345678901234567890,"esc":"\u00e9\/","alpha":[ ]}"#;
    let mut frames = native::stream(protocol);
    let escaped = json!(odd).to_string();
    let escaped = escaped.trim_matches('"');
    match protocol {
        Protocol::Anthropic => {
            let delta = format!(
                r#"{{"type":"content_block_delta","index":1,"delta":{{"type":"input_json_delta","partial_json":"{escaped}"}}}}"#
            );
            frames[7] = format!("event: content_block_delta\ndata: {delta}\n\n");
            frames.remove(8);
        }
        Protocol::OpenAi => {
            frames[4] = frames[4].replace(r#"{\"city\":\"Zür"#, escaped);
            frames.remove(5);
        }
        Protocol::Responses => {
            let known = json!(native::ARGUMENTS).to_string();
            frames =
                frames.into_iter().map(|frame| frame.replace(known.trim_matches('"'), escaped)).collect();
            frames[10] = frames[10].replace(r#"{\"city\":\"Zür"#, escaped);
            frames[11] = frames[11].replace(r#"ich\",\"days\":3}"#, "");
        }
        Protocol::Gemini => frames[2] = frames[2].replace(native::ARGUMENTS, odd),
    }
    (frames, odd)
}

#[tokio::test]
async fn arguments_of_calls_are_not_rewritten() {
    for (client, protocol) in pairs() {
        let (frames, odd) = peculiar(protocol);
        let provider = Upstream::always(Answer::events(frames)).await;
        let reply = say(client, protocol, &[&provider]).await;
        // As text inside a string, or as it stands.
        let quoted = json!(odd).to_string();
        let found = reply.text().contains(odd) || reply.text().contains(&quoted);
        assert!(found, "{client} → {protocol}: {}", reply.text());
    }
}

#[tokio::test]
async fn a_stream_that_dies_half_way_moves_on() {
    for (client, protocol) in pairs() {
        let (_, second_text) = native::text_at(protocol);
        let begun = || Answer::stream().frames(native::stream(protocol).into_iter().take(second_text));
        for (how, answer) in [
            ("cut", begun().cut()),
            ("early end", begun().end()),
            ("error event", begun().frame(native::error_event(protocol, second_text, "no")).end()),
        ] {
            let first = Upstream::always(answer).await;
            let second = Upstream::always(Answer::events(native::stream(protocol))).await;
            let reply = say(client, protocol, &[&first, &second]).await;
            assert_whole(client, protocol, &reply);
            assert_eq!((first.count(), second.count()), (1, 1), "{client} → {protocol}: {how}");
        }
    }
}

#[tokio::test]
async fn a_stream_that_dies_everywhere_is_an_error_and_no_half_document() {
    for (client, protocol) in pairs() {
        let (_, second_text) = native::text_at(protocol);
        let begun = native::stream(protocol).into_iter().take(second_text);
        let provider = Upstream::always(Answer::stream().frames(begun).cut()).await;
        let reply = say(client, protocol, &[&provider]).await;
        assert_eq!(reply.status, 502, "{client} → {protocol}");
        answer::error_kind(client, &reply.json());
    }
}

#[tokio::test]
async fn an_upstream_that_streams_unasked_is_folded_too() {
    for (client, protocol) in pairs() {
        let provider = Upstream::always(Answer::events(native::stream(protocol))).await;
        let served =
            Served::start(gateway([upstream("only", protocol, &provider.url()).must_stream(false)])).await;
        let talk = Talk::new(native::model(protocol), "Hi").tools();
        let reply = Client::new(served.addr).send(talk.request(client)).await;
        assert!(!asks_for_a_stream(protocol, &provider.only()));
        assert_whole(client, protocol, &reply);
    }
}

#[tokio::test]
async fn chat_upstreams_are_asked_to_count_and_nothing_else_changes() {
    let body = r#"{ "n":1.10 , "model":"gpt-4o","messages":[ {"role":"user","content":"\u00e9"} ] }"#;
    let provider = Upstream::always(Answer::events(native::stream(Protocol::OpenAi))).await;
    let spec = upstream("only", Protocol::OpenAi, &provider.url()).must_stream(true);
    let served = Served::start(gateway([spec])).await;
    let reply =
        Client::new(served.addr).send(crate::support::client::post("/v1/chat/completions", body)).await;
    assert_eq!(reply.status, 200);
    let sent = provider.only();
    let text = std::str::from_utf8(&sent.body).unwrap();
    for kept in [r#""n":1.10 , "model":"gpt-4o""#, r#""content":"\u00e9"} ] }"#] {
        assert!(text.contains(kept), "{text}");
    }
    let Value::Object(mut sent) = sent.json() else { panic!("{text}") };
    assert_eq!(sent.remove("stream_options"), Some(json!({"include_usage": true})));
    assert_eq!(sent.remove("stream"), Some(json!(true)));
    assert_eq!(Value::Object(sent), serde_json::from_str::<Value>(body).unwrap());
}

#[tokio::test]
async fn a_whole_answer_that_may_take_ten_minutes_is_not_waited_for_in_silence() {
    let anthropic = Protocol::Anthropic;
    let spec = |url: &str| upstream("a", anthropic, url);
    for (client, tokens, wanted, streams) in [
        (Protocol::OpenAi, 21_334, None, true),
        (Protocol::OpenAi, 21_333, None, false),
        (Protocol::OpenAi, 64_000, Some(false), false),
        // A relayed request arrives as it was sent.
        (anthropic, 64_000, None, false),
    ] {
        let what = format!("{client}, {tokens}, {wanted:?}");
        let answer = move |_, request: &Received| match asks_for_a_stream(anthropic, request) {
            true => Answer::events(native::stream(anthropic)),
            false => Answer::json(native::document(anthropic)),
        };
        let provider = Upstream::start(answer).await;
        let served = Served::start(gateway([spec(&provider.url()).must_stream(wanted)])).await;
        let talk = Talk::new(native::model(anthropic), "Hi").tools().max_tokens(tokens);
        let reply = Client::new(served.addr).send(talk.request(client)).await;
        assert_whole(client, anthropic, &reply);
        assert_eq!(asks_for_a_stream(anthropic, &provider.only()), streams, "{what}");
    }
}
