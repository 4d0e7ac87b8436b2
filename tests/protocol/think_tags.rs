//! What a model thinks between `<think>` tags is not shown as its answer, where the upstream is known to write it so.

use serde_json::{Value, json};

use crate::support::client::{Client, Reply, post};
use crate::support::gateway::Served;
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, answer, native};

const THOUGHT: &str = "Is 1 < 2? Yes.\n";
const TEXT: &str = "Yes: `</think>` too.";
const SAID: &str = "<think>\nIs 1 < 2? Yes.\n</think>\n\nYes: `</think>` too.";

/// A server's stream in which each delta has so many characters.
fn stream(long: usize) -> Vec<String> {
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!("data: {}\n\n", json!({"id": "c", "created": 1, "model": "m", "choices": [choice]}))
    };
    let said: Vec<char> = SAID.chars().collect();
    let mut events = vec![chunk(json!({"role": "assistant", "content": ""}), Value::Null)];
    for piece in said.chunks(long) {
        events.push(chunk(json!({"content": piece.iter().collect::<String>()}), Value::Null));
    }
    events.push(chunk(json!({}), json!("stop")));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn document() -> Value {
    let message = json!({"role": "assistant", "content": SAID});
    json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]})
}

async fn served(provider: &Upstream, more: &str) -> Served {
    let url = provider.url();
    Served::yaml(&format!(
        "upstreams: [{{name: only, api_type: openai, base_url: \"{url}\", token: k, available_models: [\"*\"]{more}}}]"
    ))
    .await
}

/// A request of a client that asks to see reasoning.
fn asking(client: Protocol, talk: &Talk) -> Value {
    let mut body = talk.body(client);
    match client {
        Protocol::Anthropic => body["thinking"] = json!({"type": "enabled", "budget_tokens": 1024}),
        Protocol::Gemini => {
            body["generationConfig"]["thinkingConfig"] = json!({"includeThoughts": true});
        }
        _ => {}
    }
    body
}

async fn ask(client: Protocol, served: &Served, streamed: bool) -> Reply {
    let talk = Talk::new(native::model(Protocol::OpenAi), "Hi").stream(streamed).max_tokens(9000);
    Client::new(served.addr).send(post(&talk.path(client), asking(client, &talk))).await
}

/// The reasoning and the text that a client reads.
fn read(client: Protocol, streamed: bool, reply: &Reply) -> (String, String) {
    assert_eq!(reply.status, 200, "{}", reply.text());
    let documents = match streamed {
        true => reply.events().iter().map(|event| event.json()).collect(),
        false => vec![reply.json()],
    };
    let mut thought = String::new();
    let mut take = |value: &Value| thought += value.as_str().unwrap_or_default();
    for document in &documents {
        match client {
            Protocol::Anthropic => {
                take(&document["delta"]["thinking"]);
                let blocks = document["content"].as_array().into_iter().flatten();
                blocks.for_each(|block| take(&block["thinking"]));
            }
            Protocol::Responses if document["type"] == "response.reasoning_summary_text.delta" => {
                take(&document["delta"]);
            }
            Protocol::Responses => {
                let items = document["output"].as_array().into_iter().flatten();
                items.for_each(|item| take(&item["summary"][0]["text"]));
            }
            _ => {
                let parts = document["candidates"][0]["content"]["parts"].as_array().into_iter().flatten();
                parts.filter(|part| part["thought"] == true).for_each(|part| take(&part["text"]));
            }
        }
    }
    let answer = match streamed {
        true => answer::stream(client, &reply.events()),
        false => answer::document(client, &documents[0]),
    };
    (thought, answer.text)
}

const OTHERS: [Protocol; 3] = [Protocol::Anthropic, Protocol::Responses, Protocol::Gemini];

#[tokio::test]
async fn thinking_between_tags_streams_as_reasoning_wherever_the_deltas_are_cut() {
    for long in [1, 2, 3, 5, 7, 8, 11, 1000] {
        let provider = Upstream::always(Answer::events(stream(long))).await;
        let served = served(&provider, ", dialect: [think_tags]").await;
        for client in OTHERS {
            let seen = read(client, true, &ask(client, &served, true).await);
            assert_eq!(seen, (THOUGHT.to_owned(), TEXT.to_owned()), "{client}, {long}");
        }
    }
}

#[tokio::test]
async fn a_whole_answer_is_split_as_its_stream_is() {
    for (answer, more) in [
        (Answer::json(document()), ""),
        (Answer::events(stream(3)), ", must_stream: true"),
        // A server that streams although nobody asked.
        (Answer::events(stream(3)), ""),
    ] {
        let provider = Upstream::always(answer).await;
        let served = served(&provider, &format!(", dialect: [think_tags]{more}")).await;
        for client in OTHERS {
            let seen = read(client, false, &ask(client, &served, false).await);
            assert_eq!(seen, (THOUGHT.to_owned(), TEXT.to_owned()), "{client}{more}");
        }
    }
}

#[tokio::test]
async fn a_server_that_is_not_known_to_write_tags_is_taken_at_its_word() {
    for streamed in [false, true] {
        let answer = if streamed { Answer::events(stream(3)) } else { Answer::json(document()) };
        let provider = Upstream::always(answer).await;
        let served = served(&provider, "").await;
        for client in OTHERS {
            let seen = read(client, streamed, &ask(client, &served, streamed).await);
            assert_eq!(seen, (String::new(), SAID.to_owned()), "{client}, {streamed}");
        }
    }
}

#[tokio::test]
async fn t117_a_client_that_did_not_ask_sees_the_answer_alone() {
    let provider = Upstream::always(Answer::events(stream(4))).await;
    let served = served(&provider, ", dialect: [think_tags]").await;
    for client in [Protocol::Anthropic, Protocol::Gemini] {
        let talk = Talk::new(native::model(Protocol::OpenAi), "Hi").stream(true);
        let reply = Client::new(served.addr).send(talk.request(client)).await;
        assert_eq!(read(client, true, &reply), (String::new(), TEXT.to_owned()), "{client}");
    }
}
