//! Relays, with bodies and streams that are generated: whatever JSON and whatever events pass, they pass byte
//! for byte, through a whole gateway and both its sockets. relay.rs has the same by example.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::BodyExt;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{FileFailurePersistence, TestRunner};
use tokio::runtime::Runtime;
use tokio::sync::Notify;

use crate::support::client::{Client, post};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::upstream::{Answer, Received, Upstream};
use crate::support::{Protocol, native, odd, soon};

/// What `fast` is called upstream, and as JSON.
const LARGE: &str = r#"large/model:2 "é""#;
const LARGE_JSON: &str = r#""large/model:2 \"é\"""#;

/// What a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ask {
    Document,
    Stream,
    Count,
}

/// A client, a gateway that calls the model `fast` something else, and an upstream of its protocol.
struct Relay {
    protocol: Protocol,
    provider: Arc<Mutex<(Answer, Option<Received>)>>,
    client: Client,
    _running: (Upstream, Served),
}

impl Relay {
    async fn start(protocol: Protocol) -> Relay {
        let provider: Arc<Mutex<(Answer, Option<Received>)>> = Arc::default();
        let state = provider.clone();
        let listening = Upstream::start(move |_, received| {
            let mut state = state.lock().unwrap();
            state.1 = Some(received.clone());
            state.0.clone()
        })
        .await;
        let spec = upstream("only", protocol, &listening.url()).map_model("fast", LARGE).breaker(None);
        let served = Served::start(gateway([spec])).await;
        let client = Client::new(served.addr);
        Relay { protocol, provider, client, _running: (listening, served) }
    }

    fn answer(&self, answer: Answer) {
        self.provider.lock().unwrap().0 = answer;
    }

    fn received(&self) -> Received {
        self.provider.lock().unwrap().1.take().expect("no request arrived")
    }

    fn path(&self, ask: Ask) -> &'static str {
        match (self.protocol, ask) {
            (Protocol::Anthropic, Ask::Count) => "/v1/messages/count_tokens",
            (Protocol::Anthropic, _) => "/v1/messages",
            (Protocol::OpenAi, _) => "/v1/chat/completions",
            (Protocol::Responses, Ask::Count) => "/v1/responses/input_tokens",
            (Protocol::Responses, _) => "/v1/responses",
            (Protocol::Gemini, Ask::Document) => "/v1beta/models/m:generateContent",
            (Protocol::Gemini, Ask::Stream) => "/v1beta/models/m:streamGenerateContent?alt=sse",
            (Protocol::Gemini, Ask::Count) => "/v1beta/models/m:countTokens",
        }
    }

    /// Any request of this kind.
    fn plain(&self, ask: Ask) -> http::Request<http_body_util::Full<Bytes>> {
        post(self.path(ask), format!(r#"{{"model":"m","stream":{}}}"#, ask == Ask::Stream))
    }
}

/// Runs `test` with generated input, for each protocol, on one gateway.
fn for_each_protocol<S: Strategy>(
    cases: u32,
    input: impl Fn(Protocol) -> S,
    test: impl AsyncFn(&Relay, S::Value) -> Result<(), TestCaseError>,
) {
    let runtime = Runtime::new().unwrap();
    for protocol in Protocol::ALL {
        let relay = runtime.block_on(Relay::start(protocol));
        let file = FileFailurePersistence::Direct("proptest-regressions/relay_generated.txt");
        let failure_persistence = Some(Box::new(file) as _);
        let mut runner =
            TestRunner::new(ProptestConfig { cases, failure_persistence, ..ProptestConfig::default() });
        runner
            .run(&input(protocol), |input| runtime.block_on(test(&relay, input)))
            .unwrap_or_else(|failure| panic!("{protocol}: {failure}"));
    }
}

/// A request body in three pieces, of which the second is its model.
#[derive(Clone, Debug)]
struct Body {
    ask: Ask,
    before: String,
    model: &'static str,
    after: String,
}

fn body(protocol: Protocol) -> impl Strategy<Value = Body> {
    let ask = match protocol {
        Protocol::OpenAi => vec![Ask::Document, Ask::Stream],
        _ => vec![Ask::Document, Ask::Stream, Ask::Count],
    };
    let model =
        select(vec![r#""fast""#, r#""f\u0061st""#, r#""plain""#, r#""p\u006cain/\u00e9 \ud83e\udd80:7b""#]);
    (
        select(ask),
        select(vec!["", "", "\u{feff}"]),
        odd::members(),
        model,
        vec(odd::space(), 8),
        any::<[Index; 2]>(),
    )
        .prop_map(move |(ask, bom, mut members, model, space, at)| {
            if protocol != Protocol::Gemini {
                if ask == Ask::Stream {
                    let at = at[0].index(members.len() + 1);
                    members.insert(
                        at,
                        format!("{}\"stream\"{}:{}true{}", space[0], space[1], space[2], space[3]),
                    );
                }
                let at = at[1].index(members.len() + 1);
                members.insert(at, format!("{}\"model\"{}:{}\0{}", space[4], space[5], space[6], space[7]));
            }
            let text = format!("{bom}{}{{{}}}{}", space[0], members.join(","), space[1]);
            let (before, after) = text.split_once('\0').unwrap_or((&text, ""));
            let model = if protocol == Protocol::Gemini { "" } else { model };
            Body { ask, before: before.to_owned(), model, after: after.to_owned() }
        })
}

impl Body {
    fn with(&self, model: &str) -> String {
        format!("{}{model}{}", self.before, self.after)
    }
}

#[test]
fn any_request_arrives_as_it_was_sent_but_for_a_mapped_model() {
    for_each_protocol(150, body, async |relay, body| {
        relay.answer(match body.ask {
            Ask::Document => Answer::json(native::document(relay.protocol)),
            Ask::Stream => Answer::events(native::stream(relay.protocol)),
            Ask::Count => Answer::json(r#"{"input_tokens":7,"totalTokens":7}"#),
        });
        let path = relay.path(body.ask);
        let reply = relay.client.send(post(path, body.with(body.model))).await;
        prop_assert_eq!(reply.status, 200, "{}", reply.text());
        let arrived = relay.received();
        let is_mapped = [r#""fast""#, r#""f\u0061st""#].contains(&body.model);
        let want = body.with(if is_mapped { LARGE_JSON } else { body.model });
        prop_assert_eq!(String::from_utf8(arrived.body.to_vec()).unwrap(), want);
        prop_assert_eq!(arrived.target, format!("POST {path}"));
        Ok(())
    });
}

#[test]
fn any_document_comes_back_as_it_was_sent() {
    let document = |_| (odd::members(), odd::members(), odd::space(), select(vec![200, 201, 400, 404, 529]));
    for_each_protocol(100, document, async |relay, (before, after, space, status)| {
        let core = match status {
            200..300 => native::document(relay.protocol),
            status => native::error(relay.protocol, status, "No."),
        };
        let core = core.to_string();
        let members = [before, vec![core[1..core.len() - 1].to_owned()], after].concat();
        let document = format!("{space}{{{}}}{space}", members.join(","));
        relay.answer(Answer::whole(status, "application/json", document.clone()));
        let reply = relay.client.send(relay.plain(Ask::Document)).await;
        prop_assert_eq!((reply.status, reply.text()), (status, document.as_str()));
        Ok(())
    });
}

/// A stream with generated events before and between a provider's own; nothing belongs to it after the last.
fn stream(protocol: Protocol) -> impl Strategy<Value = Vec<String>> {
    (select(vec!["", "", "\u{feff}"]), vec((any::<Index>(), odd::event()), 0..6)).prop_map(
        move |(mark, odd)| {
            let mut frames = native::stream(protocol);
            for (at, event) in odd {
                frames.insert(at.index(frames.len()), event);
            }
            frames[0].insert_str(0, mark);
            frames
        },
    )
}

#[test]
fn any_stream_comes_back_as_it_was_sent_wherever_packets_end() {
    let cut = |protocol| (stream(protocol), vec(any::<Index>(), 0..8));
    for_each_protocol(60, cut, async |relay, (frames, cuts)| {
        let stream = frames.concat();
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        cuts.dedup();
        relay.answer(Answer::events(cuts.windows(2).map(|cut| &stream.as_bytes()[cut[0]..cut[1]])));
        let reply = relay.client.send(relay.plain(Ask::Stream)).await;
        prop_assert_eq!((reply.status, reply.text()), (200, stream.as_str()));
        Ok(())
    });
}

#[test]
fn any_event_comes_back_before_the_next_is_sent() {
    for_each_protocol(30, stream, async |relay, frames| {
        // Until its text comes a stream may still turn out to be a failure, and is held.
        let begun = 1 + frames.iter().position(|frame| frame.contains("Hello,")).unwrap();
        let read = Arc::new(Notify::new());
        let (opening, rest) = frames.split_at(begun);
        let script = rest
            .iter()
            .fold(Answer::stream().frames(opening), |answer, frame| answer.wait(&read).frame(frame));
        relay.answer(script.end());
        let mut body = relay.client.open(relay.plain(Ask::Stream)).await.into_body();
        let mut got = Vec::new();
        for sent in begun..=frames.len() {
            let want = frames[..sent].concat();
            while got.len() < want.len() {
                let frame = soon(&format!("{:?}", frames[sent - 1]), body.frame()).await;
                got.extend_from_slice(frame.expect("more of the stream").unwrap().data_ref().unwrap());
            }
            prop_assert_eq!(std::str::from_utf8(&got).unwrap(), want);
            read.notify_one();
        }
        prop_assert!(soon("the end", body.frame()).await.is_none());
        Ok(())
    });
}
