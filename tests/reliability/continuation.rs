//! A text that breaks off in mid-stream is gone on with by another upstream, where somebody wants that.

use aiproxy::Gateway;
use aiproxy::gateway::Builder;
use aiproxy::protocol::Overrides;
use serde_json::Value;

use crate::support::answer::{self, Answer, Finish};
use crate::support::client::{Client, Event};
use crate::support::gateway::{self, Served};
use crate::support::talk::Talk;
use crate::support::upstream::{self, Upstream};
use crate::support::{Protocol, native, pairs};

/// Two upstreams, asked in this order.
fn two(protocol: Protocol, first: &Upstream, second: &Upstream, prefill: bool) -> Builder {
    let spec = |name, provider: &Upstream, priority| {
        let known = Overrides { prefill: Some(prefill), ..Overrides::default() };
        gateway::upstream(name, protocol, &provider.url()).priority(priority).capabilities("*", known)
    };
    Gateway::builder().upstream(spec("first", first, 0)).upstream(spec("second", second, 1))
}

async fn ask(builder: Builder, client: Protocol, protocol: Protocol) -> (String, Vec<Event>) {
    let served = Served::start(builder.build().unwrap()).await;
    let talk = Talk::new(native::model(protocol), "Hi").tools().stream(true);
    let reply = Client::new(served.addr).send(talk.request(client)).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    (reply.text().to_owned(), reply.events())
}

/// A stream that breaks behind its first text, which ends with a space.
async fn broken(protocol: Protocol) -> Upstream {
    let (_, second_text) = native::text_at(protocol);
    let frames =
        native::stream(protocol).into_iter().take(second_text).map(|f| f.replace("Hello,", "Well, "));
    Upstream::always(upstream::Answer::stream().frames(frames).cut()).await
}

async fn sound(protocol: Protocol) -> Upstream {
    Upstream::always(upstream::Answer::events(native::stream(protocol))).await
}

/// The last turn of a request, by its text.
fn last_turn(protocol: Protocol, body: &Value) -> (String, String) {
    let turns = match protocol {
        Protocol::Anthropic | Protocol::OpenAi => &body["messages"],
        Protocol::Responses => &body["input"],
        Protocol::Gemini => &body["contents"],
    };
    let last = turns.as_array().unwrap().last().unwrap();
    let texts = [&last["content"], &last["content"][0]["text"], &last["parts"][0]["text"]];
    let text = texts.into_iter().find_map(Value::as_str).unwrap_or_else(|| panic!("{last}"));
    (last["role"].as_str().unwrap().to_owned(), text.to_owned())
}

#[tokio::test]
async fn the_client_gets_one_answer_of_both_halves() {
    for (client, protocol) in pairs() {
        let (first, second) = (broken(protocol).await, sound(protocol).await);
        let builder = two(protocol, &first, &second, true).continue_texts([native::model(protocol)]);
        let (text, events) = ask(builder, client, protocol).await;
        let what = format!("{client} → {protocol}: {text}");
        let answer = answer::stream(client, &events);
        let said = format!("Well, {}", native::TEXT);
        assert_eq!((answer.text, answer.finish, answer.calls.len()), (said, Finish::Calls, 1), "{what}");
        assert_eq!(answer::stream_error(client, &events), None, "{what}");
        let (role, prefill) = last_turn(protocol, &second.only().json());
        assert!(matches!(&*role, "assistant" | "model"), "{what}");
        assert_eq!(prefill, "Well,", "T127: no space at the end");
        assert_eq!((first.count(), second.count()), (1, 1), "{what}");
        for once in ["message_start\n", "response.created\n"] {
            assert!(text.matches(once).count() <= 1, "{once}: {what}");
        }
    }
}

#[tokio::test]
async fn what_the_beginning_has_cost_is_not_forgotten() {
    let anthropic = Protocol::Anthropic;
    let (first, second) = (broken(anthropic).await, sound(anthropic).await);
    let builder = two(anthropic, &first, &second, true).continue_texts(["claude-*"]);
    let (text, events) = ask(builder, anthropic, anthropic).await;
    let answer = answer::stream(anthropic, &events);
    // 12 in of each; 9 out of the second, and what the first said is counted by the gateway.
    assert_eq!(answer.input_tokens, 24, "{text}");
    assert!(answer.output_tokens > 9, "{text}");
}

#[tokio::test]
async fn nobody_goes_on_with_what_was_not_meant_for_it() {
    for (client, protocol) in pairs() {
        let model = native::model(protocol);
        let (first, second) = (broken(protocol).await, sound(protocol).await);
        for (why, builder) in [
            ("nobody has asked for it", two(protocol, &first, &second, true)),
            ("another model was meant", two(protocol, &first, &second, true).continue_texts(["x"])),
            ("the other would begin anew", two(protocol, &first, &second, false).continue_texts([model])),
        ] {
            let (text, events) = ask(builder, client, protocol).await;
            let what = format!("{client} → {protocol}, {why}: {text}");
            assert!(answer::stream_error(client, &events).is_some(), "{what}");
            assert_eq!(second.count(), 0, "{what}");
        }
        // Gemini's calls come whole: its clients have not seen anything of this one.
        if client == Protocol::Gemini {
            continue;
        }
        // A call has begun: nobody may run half of it, or twice.
        let frames = native::stream(protocol);
        let call = frames.iter().position(|frame| frame.contains("Zür")).unwrap();
        let in_call = Upstream::always(upstream::Answer::stream().frames(&frames[..=call]).cut()).await;
        let builder = two(protocol, &in_call, &second, true).continue_texts([model]);
        let (text, events) = ask(builder, client, protocol).await;
        let what = format!("{client} → {protocol}, a call has begun: {text}");
        assert!(answer::stream_error(client, &events).is_some(), "{what}");
        assert_eq!(second.count(), 0, "{what}");
    }
}

#[tokio::test]
async fn if_the_rest_fails_too_the_client_is_told_once() {
    for (client, protocol) in pairs() {
        let refusal = native::error(protocol, 503, "overloaded").to_string();
        let refusing = Upstream::always(upstream::Answer::whole(503, "application/json", refusal)).await;
        for second in [refusing, broken(protocol).await] {
            let first = broken(protocol).await;
            let builder = two(protocol, &first, &second, true).continue_texts(["*"]);
            let (text, events) = ask(builder, client, protocol).await;
            let what = format!("{client} → {protocol}: {text}");
            assert!(answer::stream_error(client, &events).is_some(), "{what}");
            for success in ["message_stop", "[DONE]", "response.completed", "finishReason"] {
                assert!(!text.contains(success), "{what}");
            }
            assert_eq!((first.count(), second.count()), (1, 1), "{what}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_does_not_break_is_the_same_with_it() {
    for (client, protocol) in pairs() {
        let (first, second) = (sound(protocol).await, sound(protocol).await);
        let with = two(protocol, &first, &second, true).continue_texts(["*"]);
        let (text, with) = ask(with, client, protocol).await;
        let (_, without) = ask(two(protocol, &first, &second, true), client, protocol).await;
        let what = format!("{client} → {protocol}: {text}");
        let (with, without) = (answer::stream(client, &with), answer::stream(client, &without));
        assert_eq!(with.named_calls(), without.named_calls(), "{what}");
        assert_eq!(Answer { calls: Vec::new(), ..with }, Answer { calls: Vec::new(), ..without }, "{what}");
        assert_eq!(second.count(), 0, "{what}");
    }
}
