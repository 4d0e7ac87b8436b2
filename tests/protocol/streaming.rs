//! Streams end as they ended at the upstream: a broken one never looks complete, and its bytes mean the
//! same wherever packets end.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use aiproxy::layer::{ClassifyLayer, CollectLayer, RespondLayer, TranslateLayer};
use aiproxy::protocol::ClientDialect;
use aiproxy::{Body, Error, Gateway, Payload};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame};
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::support::answer::{self, Finish};
use crate::support::client::{Client, Event, events, post, read_rest, read_until, with};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs};

fn talk(protocol: Protocol) -> Talk {
    Talk::new(native::model(protocol), "Hi").tools().stream(true)
}

async fn served(protocol: Protocol, provider: &Upstream) -> (Served, Client) {
    let served = Served::start(gateway([upstream("only", protocol, &provider.url()).breaker(None)])).await;
    let client = Client::new(served.addr);
    (served, client)
}

/// What a client of each protocol must not see in a stream that failed.
fn success_marker(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Anthropic => "message_stop",
        Protocol::OpenAi => "[DONE]",
        Protocol::Responses => "response.completed",
        Protocol::Gemini => "finishReason",
    }
}

#[tokio::test]
async fn a_stream_that_breaks_ends_in_the_clients_own_error_event() {
    for (client, protocol) in pairs() {
        let (_, second_text) = native::text_at(protocol);
        let begun = || Answer::stream().frames(native::stream(protocol).into_iter().take(second_text));
        let torn = native::stream(protocol)[second_text].as_bytes()[..40].to_vec();
        for (how, answer) in [
            ("cut between events", begun().cut()),
            ("cut within an event", begun().frame(&torn).cut()),
            ("a clean end without the terminal event", begun().end()),
            ("a clean end within an event", begun().frame(&torn).end()),
            ("an error event", begun().frame(native::error_event(protocol, second_text, "overloaded")).end()),
            (
                "an error event, then a cut",
                begun().frame(native::error_event(protocol, second_text, "overloaded")).cut(),
            ),
        ] {
            let what = format!("{client} → {protocol}: {how}");
            let provider = Upstream::always(answer).await;
            let (_served, http) = served(protocol, &provider).await;
            let response = http.open(talk(protocol).request(client)).await;
            assert_eq!(response.status(), 200, "{what}");
            let id = response.headers().get("request-id").cloned();
            let mut text = String::new();
            read_rest(response.into_body(), &mut text).await;
            assert!(text.contains("Hello,"), "{what}: {text}");
            assert!(!text.contains(success_marker(client)), "{what}: {text}");
            let events = events(&text);
            assert!(answer::stream_error(client, &events).is_some(), "{what}: {text}");
            assert_eq!(events.iter().filter(|event| is_error(event)).count(), 1, "{what}: {text}");
            // Through a relay, the provider's own event has the provider's own id.
            let relayed = client == protocol && how.starts_with("an error event");
            if client == Protocol::Anthropic && !relayed {
                let told = events.iter().find(|event| is_error(event)).map(Event::json);
                assert_eq!(told.unwrap()["request_id"], id.unwrap().to_str().unwrap(), "{what}: {text}");
            }
        }
    }
}

fn is_error(event: &Event) -> bool {
    let value = event.json();
    value.get("error").is_some_and(|error| !error.is_null()) || value["type"] == "response.failed"
}

#[tokio::test]
async fn openais_sdks_raise_at_a_broken_stream_of_responses_where_they_are_to() {
    for protocol in Protocol::ALL {
        let (_, second_text) = native::text_at(protocol);
        let begun = Answer::stream().frames(native::stream(protocol).into_iter().take(second_text));
        let provider = Upstream::always(begun.cut()).await;
        let spec = upstream("only", protocol, &provider.url());
        let dialect = ClientDialect { resp_error_event: true, ..ClientDialect::default() };
        let gateway = Gateway::builder().upstream(spec).client_dialect(dialect).build().unwrap();
        let served = Served::start(gateway).await;
        let reply = Client::new(served.addr).send(talk(protocol).request(Protocol::Responses)).await;
        let events: Vec<Value> = reply.events().iter().map(Event::json).collect();
        let [.., before, error, failed] = &events[..] else { panic!("{protocol}: {}", reply.text()) };
        let numbers = [before, error, failed].map(|event| event["sequence_number"].as_u64().unwrap());
        assert_eq!(
            [numbers[1], numbers[2]],
            [numbers[0] + 1, numbers[0] + 2],
            "{protocol}: {}",
            reply.text()
        );
        assert_eq!(
            (&error["type"], &failed["type"]),
            (&json!("error"), &json!("response.failed")),
            "{protocol}"
        );
        let failure = &failed["response"]["error"];
        for object in [error, &error["error"]] {
            assert_eq!(
                (&object["code"], &object["message"]),
                (&failure["code"], &failure["message"]),
                "{error}"
            );
            assert_eq!(object.get("param"), Some(&Value::Null), "{error}");
        }
        assert!(reply.text().contains("event: error\ndata: "), "{protocol}");
    }
}

#[tokio::test]
async fn every_early_end_is_an_error() {
    for (client, protocol) in pairs() {
        let frames = native::stream(protocol);
        let (first_text, _) = native::text_at(protocol);
        // Chat and Responses have said all with their last but one event or two; then an end is no loss.
        let complete = match protocol {
            Protocol::OpenAi => frames.len() - 2,
            _ => frames.len(),
        };
        let cuts = first_text + 1..complete;
        let script: Vec<usize> = cuts.clone().collect();
        let all = frames.clone();
        let provider = Upstream::start(move |number, _| Answer::events(&all[..script[number]])).await;
        let (_served, http) = served(protocol, &provider).await;
        for cut in cuts {
            let reply = http.send(talk(protocol).request(client)).await;
            let what = format!("{client} → {protocol}, after {cut} events: {}", reply.text());
            assert!(answer::stream_error(client, &reply.events()).is_some(), "{what}");
            assert!(!reply.text().contains(success_marker(client)), "{what}");
        }
    }
}

/// An upstream's body in pieces.
#[derive(Clone)]
struct Pieces(VecDeque<Bytes>);

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }
}

/// The stream that a client reads when the upstream's comes in these pieces. Without a socket: there
/// would be thousands.
async fn through_layers(
    client: Protocol,
    protocol: Protocol,
    pieces: impl IntoIterator<Item = Bytes>,
) -> Vec<Event> {
    events(&bytes_through_layers(client, protocol, pieces).await)
}

async fn bytes_through_layers(
    client: Protocol,
    protocol: Protocol,
    pieces: impl IntoIterator<Item = Bytes>,
) -> String {
    let pieces = Pieces(pieces.into_iter().collect());
    let service = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(CollectLayer::default())
        .layer(TranslateLayer::new(protocol))
        .layer(ClassifyLayer::new())
        .service(service_fn(move |_: Request<Payload>| {
            let body = Body::new(pieces.clone());
            let response = Response::builder().header("content-type", "text/event-stream").body(body);
            std::future::ready(Ok::<_, Error>(response.unwrap()))
        }));
    let response = service.oneshot(talk(protocol).request(client)).await.unwrap();
    let text = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(text.to_vec()).unwrap()
}

/// A stream with a sign of life after every event, as this protocol has it; some before the first.
fn lively(protocol: Protocol) -> String {
    let beat = match protocol {
        Protocol::Anthropic => "event: ping\ndata: {\"type\": \"ping\"}\n\n",
        Protocol::OpenAi => "id: 7\n: OPENROUTER PROCESSING\n\n",
        Protocol::Responses => "event: keepalive\ndata: {\"type\":\"keepalive\",\"sequence_number\":9}\n\n",
        Protocol::Gemini => "\n: still here\n\n",
    };
    let frames = native::stream(protocol);
    std::iter::once(String::new()).chain(frames).map(|frame| frame + beat).collect()
}

#[tokio::test]
async fn t007_t008_t010_t011_t014_signs_of_life_come_as_each_client_takes_them() {
    for (client, protocol) in pairs().filter(|(client, protocol)| client != protocol) {
        let what = format!("{client} → {protocol}");
        let text = bytes_through_layers(client, protocol, [Bytes::from(lively(protocol))]).await;
        let read = events(&text);
        let answer = answer::stream(client, &read);
        assert_eq!((answer.text.as_str(), answer.finish), (native::TEXT, Finish::Calls), "{what}: {text}");
        for line in text.lines().filter(|line| !line.is_empty()) {
            let is_known = match client {
                Protocol::Anthropic | Protocol::Responses => {
                    line.starts_with("event: ") || line.starts_with("data: {")
                }
                Protocol::OpenAi => {
                    line.starts_with("data: {") || line == "data: [DONE]" || line.starts_with(": ")
                }
                Protocol::Gemini => line.starts_with("data: {"),
            };
            assert!(is_known, "{what}: {line}");
        }
        // Providers whose signs of life are events: they are passed on as what counts for the client.
        let alive = match client {
            Protocol::Anthropic => text.matches("event: ping\n").count() - 1,
            Protocol::OpenAi => text.matches(": ka\n").count(),
            Protocol::Responses => text.matches("event: keepalive\n").count(),
            Protocol::Gemini => text.matches("\n\n\n").count(),
        };
        if matches!(protocol, Protocol::Anthropic | Protocol::Responses) {
            assert!(alive > 3, "{what}: {text}");
        }
        let first = match client {
            Protocol::Anthropic => "event: message_start\n",
            Protocol::Responses => "event: response.created\n",
            Protocol::OpenAi | Protocol::Gemini => "data: {",
        };
        // An empty line means nothing, wherever it stands.
        assert!(text.trim_start_matches('\n').starts_with(first), "{what}: {text}");
    }
}

#[tokio::test]
async fn t020_each_event_arrives_while_the_upstream_stalls() {
    for (client, protocol) in pairs() {
        let what = format!("{client} → {protocol}");
        let frames = native::stream(protocol);
        let (first_text, second_text) = native::text_at(protocol);
        let go = Arc::new(Notify::new());
        let script = Answer::stream()
            .frames(&frames[..=first_text])
            .wait(&go)
            .frames(&frames[first_text + 1..=second_text])
            .stall();
        let provider = Upstream::always(script).await;
        let (_served, http) = served(protocol, &provider).await;
        // A layer that compresses would wait for more.
        let request = with(talk(protocol).request(client), "accept-encoding", "gzip, br, zstd, deflate");
        let response = http.open(request).await;
        assert_eq!(response.headers().get("content-encoding"), None, "{what}");
        assert_eq!(response.headers().get("content-length"), None, "{what}");
        assert_eq!(response.headers()["cache-control"], "no-cache", "{what}");
        assert_eq!(response.headers()["x-accel-buffering"], "no", "{what}");
        let mut body = response.into_body();
        let mut text = String::new();
        read_until(&mut body, &mut text, "Hello,").await;
        go.notify_one();
        read_until(&mut body, &mut text, "rld").await;
        assert!(
            events(&text).iter().any(|event| event.data.contains("rld")),
            "{what}: half an event: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_means_the_same_wherever_packets_end() {
    let mut tasks = JoinSet::new();
    for (number, (client, protocol)) in pairs().enumerate() {
        // Relays, and one translation of each; `corpus.rs` splits every translation.
        let is_split = number % 4 == number / 4 || number % 4 == (number / 4 + 1) % 4;
        tasks.spawn(async move {
            let stream = Bytes::from(native::stream(protocol).concat());
            let whole = through_layers(client, protocol, [stream.clone()]).await;
            let answer = answer::stream(client, &whole);
            let got = (answer.text.as_str(), answer.finish);
            assert_eq!(got, (native::TEXT, Finish::Calls), "{client} → {protocol}");
            let bytes = (0..stream.len()).map(|at| stream.slice(at..=at));
            let by_byte = through_layers(client, protocol, bytes).await;
            assert_same(&by_byte, &whole, || format!("{client} → {protocol}, byte by byte"));
            for cut in (1..stream.len()).filter(|_| is_split) {
                let got = through_layers(client, protocol, [stream.slice(..cut), stream.slice(cut..)]).await;
                assert_same(&got, &whole, || format!("{client} → {protocol}, cut at {cut}"));
            }
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended.unwrap();
    }
}

fn assert_same(got: &[Event], want: &[Event], what: impl FnOnce() -> String) {
    if got != want {
        let stable = |events: &[Event]| events.iter().map(|event| stable(event.json())).collect::<Vec<_>>();
        assert_eq!(stable(got), stable(want), "{}", what());
    }
}

/// Without what is new in every answer: times, and ids where the upstream gives none.
fn stable(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                if ["id", "item_id", "call_id", "created", "created_at", "responseId"].contains(&key.as_str())
                {
                    *member = Value::Null;
                } else {
                    *member = stable(member.take());
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = stable(item.take())),
        _ => {}
    }
    value
}

/// A Gemini client that did not ask for `alt=sse`.
async fn array(protocol: Protocol, answer: Answer) -> (String, String) {
    let provider = Upstream::always(answer).await;
    let (_served, http) = served(protocol, &provider).await;
    let model = native::model(protocol);
    let path = format!("/v1beta/models/{model}:streamGenerateContent");
    let response = http.open(post(&path, talk(protocol).body(Protocol::Gemini))).await;
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    let mut text = String::new();
    read_rest(response.into_body(), &mut text).await;
    (content_type, text)
}

#[tokio::test]
async fn a_gemini_stream_without_sse_is_one_valid_array() {
    for protocol in Protocol::ALL {
        let stream = native::stream(protocol).concat();
        for size in [1, 13, stream.len()] {
            let (content_type, text) = array(protocol, Answer::events(stream.as_bytes().chunks(size))).await;
            assert!(content_type.starts_with("application/json"), "{protocol}: {content_type}");
            let chunks: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
            let events: Vec<Event> =
                chunks.iter().map(|chunk| Event { name: None, data: chunk.to_string() }).collect();
            let answer = answer::stream(Protocol::Gemini, &events);
            assert_eq!((answer.text.as_str(), answer.finish), (native::TEXT, Finish::Calls), "{protocol}");
        }
    }
}

#[tokio::test]
async fn a_gemini_array_that_breaks_is_still_an_array_and_says_so() {
    for protocol in Protocol::ALL {
        let (_, second_text) = native::text_at(protocol);
        let begun = Answer::stream().frames(native::stream(protocol).into_iter().take(second_text)).cut();
        let (_, text) = array(protocol, begun).await;
        let chunks: Vec<Value> = serde_json::from_str(&text).unwrap_or_else(|e| panic!("{e}: {text}"));
        assert!(chunks.last().unwrap()["error"]["code"].is_u64(), "{protocol}: {text}");
        assert!(!text.contains("finishReason"), "{protocol}: {text}");
    }
}

#[tokio::test]
async fn a_relayed_stream_arrives_event_by_event() {
    for protocol in Protocol::ALL {
        let go = Arc::new(Notify::new());
        let frames = native::stream(protocol);
        let (first_text, _) = native::text_at(protocol);
        // One pause before each event: the client must have seen all before it.
        let script = frames
            .iter()
            .skip(first_text)
            .fold(Answer::stream().frames(&frames[..first_text]), |answer, frame| {
                answer.frame(frame).wait(&go)
            });
        let provider = Upstream::always(script.end()).await;
        let (_served, http) = served(protocol, &provider).await;
        let response = http.open(talk(protocol).request(protocol)).await;
        assert_eq!(response.headers()["x-accel-buffering"], "no", "{protocol}");
        assert_eq!(response.headers()["cache-control"], "no-cache", "{protocol}");
        let mut body = response.into_body();
        let mut text = String::new();
        for end in first_text + 1..=frames.len() {
            read_until(&mut body, &mut text, &frames[..end].concat()).await;
            go.notify_one();
        }
        read_rest(body, &mut text).await;
        assert_eq!(text, frames.concat(), "{protocol}");
    }
}

#[tokio::test]
async fn an_upstream_that_answers_whole_still_serves_a_stream() {
    for (client, protocol) in pairs() {
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        let (_served, http) = served(protocol, &provider).await;
        let reply = http.send(talk(protocol).request(client)).await;
        let answer = answer::stream(client, &reply.events());
        let got = (answer.text.as_str(), answer.finish, answer.calls.len());
        assert_eq!(got, (native::TEXT, Finish::Calls, 1), "{client} → {protocol}: {}", reply.text());
    }
}
