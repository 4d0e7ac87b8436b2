//! Any client protocol to any upstream protocol: every pair, whole and streamed, with upstreams that
//! stream only when asked and upstreams that must stream.

use std::sync::Arc;

use aiproxy::simulator::{Running, Settings, Simulator};
use serde_json::json;
use tokio::sync::Notify;

use crate::support::answer::{self, Finish};
use crate::support::client::{Client, events, read_rest, read_until};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs};

/// One way through the gateway.
struct Cell<'a> {
    client: Protocol,
    upstream: Protocol,
    stream: bool,
    must_stream: bool,
    http: &'a Client,
}

impl Cell<'_> {
    fn talk(&self, user: &str) -> Talk {
        Talk::new(native::model(self.upstream), user).stream(self.stream)
    }

    async fn say(&self, talk: &Talk) -> answer::Answer {
        let reply = self.http.send(talk.request(self.client)).await;
        assert_eq!(reply.status, 200, "{self}: {}", reply.text());
        if self.stream {
            answer::stream(self.client, &reply.events())
        } else {
            answer::document(self.client, &reply.json())
        }
    }
}

impl std::fmt::Display for Cell<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Cell { client, upstream, stream, must_stream, .. } = self;
        write!(f, "{client} → {upstream}, stream: {stream}, must stream: {must_stream}")
    }
}

/// A gateway before one simulated provider in all four protocols, and a client of it.
async fn provider(must_stream: bool) -> (Running, Served, Client) {
    let simulator = Simulator::spawn(Settings { must_stream, ..Settings::default() }).await.unwrap();
    let upstreams = Protocol::ALL.map(|protocol| {
        upstream(protocol.as_str(), protocol, &simulator.url())
            .models([native::model(protocol)])
            .must_stream(must_stream)
    });
    let served = Served::start(gateway(upstreams)).await;
    let client = Client::new(served.addr);
    (simulator, served, client)
}

/// Runs `check` in all 64 cells.
async fn in_every_cell(check: impl AsyncFn(&Cell<'_>)) {
    for must_stream in [false, true] {
        let (_simulator, _served, http) = provider(must_stream).await;
        for (client, upstream) in pairs() {
            for stream in [false, true] {
                check(&Cell { client, upstream, stream, must_stream, http: &http }).await;
            }
        }
    }
}

#[tokio::test]
async fn system_prompt_text_and_picture_arrive_and_the_answer_comes_back() {
    in_every_cell(async |cell| {
        let answer = cell.say(&cell.talk("Hello there").system("Be brief.").picture()).await;
        for part in ["You said: Hello there", "[system: Be brief.]", "[images: 1]", "🦀"] {
            assert!(answer.text.contains(part), "{cell}: `{part}` is not in `{}`", answer.text);
        }
        assert_eq!(answer.finish, Finish::Stop, "{cell}");
        assert_eq!(answer.model, native::model(cell.upstream), "{cell}");
    })
    .await;
}

#[tokio::test]
async fn tokens_are_counted() {
    in_every_cell(async |cell| {
        let answer = cell.say(&cell.talk("one two three").system("four five")).await;
        // A word is a token at the simulated provider.
        assert_eq!(answer.input_tokens, 5, "{cell}");
        assert_eq!(answer.output_tokens, answer.text.split_whitespace().count() as u64, "{cell}");
    })
    .await;
}

#[tokio::test]
async fn a_tool_is_called_and_its_result_arrives() {
    in_every_cell(async |cell| {
        let talk = cell.talk("city=Paris days=3").tools();
        let called = cell.say(&talk).await;
        assert_eq!(called.finish, Finish::Calls, "{cell}");
        assert_eq!(called.named_calls(), [("weather", &json!({"city": "Paris", "days": 3}))], "{cell}");
        let answer = cell.say(&talk.results(&called.calls, &["sunny, 22 degrees"])).await;
        assert!(answer.text.contains("The tool said: "), "{cell}: {}", answer.text);
        assert!(answer.text.contains("sunny, 22 degrees"), "{cell}: {}", answer.text);
        assert_eq!(answer.finish, Finish::Stop, "{cell}");
    })
    .await;
}

#[tokio::test]
async fn tools_are_called_in_parallel_and_every_result_arrives() {
    in_every_cell(async |cell| {
        let talk = cell.talk("parallel please: city=Rome days=1 zone=CET").tools();
        let called = cell.say(&talk).await;
        let want = [("weather", &json!({"city": "Rome", "days": 1})), ("clock", &json!({"zone": "CET"}))];
        assert_eq!(called.named_calls(), want, "{cell}");
        if cell.client != Protocol::Gemini {
            assert_ne!(called.calls[0].id, called.calls[1].id, "{cell}");
        }
        let answer = cell.say(&talk.results(&called.calls, &["rain", "noon"])).await;
        let place = |text: &str| answer.text.find(text).unwrap_or_else(|| panic!("{cell}: {}", answer.text));
        assert!(place("rain") < place("noon"), "{cell}: {}", answer.text);
    })
    .await;
}

#[tokio::test]
async fn an_answer_that_is_too_long_says_so() {
    in_every_cell(async |cell| {
        // Responses takes no smaller limit than 16.
        let long = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen";
        let answer = cell.say(&cell.talk(long).max_tokens(16)).await;
        assert_eq!(answer.finish, Finish::Length, "{cell}");
        assert_eq!(answer.output_tokens, 16, "{cell}");
    })
    .await;
}

#[tokio::test]
async fn streams_arrive_live() {
    for (client, protocol) in pairs() {
        let go = Arc::new(Notify::new());
        let frames = native::stream(protocol);
        let (first, second) = native::text_at(protocol);
        assert!(first < second);
        let answer = Answer::stream().frames(&frames[..second]).wait(&go).frames(&frames[second..]).end();
        let upstream_side = Upstream::always(answer).await;
        let served = Served::start(gateway([upstream("only", protocol, &upstream_side.url())])).await;
        let talk = Talk::new(native::model(protocol), "Hi").tools().stream(true);
        let response = Client::new(served.addr).open(talk.request(client)).await;
        let mut body = response.into_body();
        let mut text = String::new();
        read_until(&mut body, &mut text, "Hello,").await;
        assert!(!text.contains("rld"), "{client} → {protocol}: the upstream has not said it yet");
        go.notify_one();
        read_rest(body, &mut text).await;
        let answer = answer::stream(client, &events(&text));
        assert_eq!(
            (answer.text.as_str(), answer.finish),
            (native::TEXT, Finish::Calls),
            "{client} → {protocol}"
        );
        assert_eq!(answer.calls[0].arguments, json!({"city": "Zürich", "days": 3}), "{client} → {protocol}");
    }
}
