//! One upstream fails: another serves, and the client notices nothing. All fail: the client is told the
//! most useful of their failures, in its own protocol's words.

use std::time::Duration;

use aiproxy::layer::BreakerPolicy;

use crate::support::answer::{self, Finish};
use crate::support::client::{Client, Event, Reply};
use crate::support::gateway::{Served, api, from_yaml, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Refusing, Upstream};
use crate::support::{Protocol, native, pairs};

/// How an upstream can fail before its answer has begun.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Failure {
    /// An error answer.
    Status(u16),
    /// A web page, as load balancers send them.
    Page,
    /// The connection ends before a head.
    NoHead,
    /// Status 200 with an error as its document.
    ErrorIn200,
    /// Status 200 with a document that is no JSON.
    Nonsense,
    /// Half a document.
    HalfDocument,
    /// A stream whose first event is an error.
    ErrorEvent,
    /// An error after the opening events, before content.
    ErrorAfterOpening,
    /// A stream without an event.
    EmptyStream,
    /// A connection that breaks after the opening events.
    CutAfterOpening,
    /// A clean end after the opening events.
    EndAfterOpening,
}

impl Failure {
    const ANY: [Failure; 8] = [
        // First, on a new connection: on one that has served, the request would be sent once more.
        Failure::NoHead,
        Failure::Status(500),
        Failure::Status(429),
        Failure::Status(400),
        Failure::Status(404),
        Failure::Status(401),
        Failure::Status(529),
        Failure::Page,
    ];
    const OF_DOCUMENTS: [Failure; 3] = [Failure::ErrorIn200, Failure::Nonsense, Failure::HalfDocument];
    const OF_STREAMS: [Failure; 6] = [
        Failure::ErrorIn200,
        Failure::ErrorEvent,
        Failure::ErrorAfterOpening,
        Failure::EmptyStream,
        Failure::CutAfterOpening,
        Failure::EndAfterOpening,
    ];

    fn all(stream: bool) -> impl Iterator<Item = Failure> {
        let more = if stream { &Failure::OF_STREAMS[..] } else { &Failure::OF_DOCUMENTS };
        Failure::ANY.iter().chain(more).copied()
    }

    fn answer(self, protocol: Protocol) -> Answer {
        let opening = native::opening(protocol);
        match self {
            Failure::Status(status) => {
                Answer::whole(status, "application/json", native::error(protocol, status, "no").to_string())
            }
            Failure::Page => Answer::whole(502, "text/html", "<html>502</html>"),
            Failure::NoHead => Answer::none(),
            Failure::ErrorIn200 => Answer::json(native::error(protocol, 500, "no")),
            Failure::Nonsense => Answer::json("hello, world"),
            Failure::HalfDocument => {
                let document = native::document(protocol).to_string();
                Answer::with_headers(200, &[("content-type", "application/json")], document).shorten(20).cut()
            }
            Failure::ErrorEvent => Answer::events([native::error_event(protocol, 0, "no")]),
            Failure::ErrorAfterOpening => {
                let error = native::error_event(protocol, opening.len(), "no");
                Answer::stream().frames(opening).frame(error).end()
            }
            Failure::EmptyStream => Answer::stream().end(),
            Failure::CutAfterOpening => Answer::stream().frames(opening).cut(),
            Failure::EndAfterOpening => Answer::stream().frames(opening).end(),
        }
    }
}

fn sound(protocol: Protocol, stream: bool) -> Answer {
    if stream { Answer::events(native::stream(protocol)) } else { Answer::json(native::document(protocol)) }
}

async fn say(url_first: &str, url_second: &str, client: Protocol, protocol: Protocol, stream: bool) -> Reply {
    let specs =
        [upstream("first", protocol, url_first), upstream("second", protocol, url_second).priority(1)];
    let served = Served::start(gateway(specs)).await;
    let talk = Talk::new(native::model(protocol), "Hi").tools().stream(stream);
    Client::new(served.addr).send(talk.request(client)).await
}

/// How often a stream says that an answer begins. Gemini's has no word for it, but an id per answer.
fn starts(client: Protocol, reply: &Reply) -> usize {
    let is_start = |value: &serde_json::Value| match client {
        Protocol::Anthropic => value["type"] == "message_start",
        Protocol::OpenAi => value["choices"][0]["delta"]["role"] == "assistant",
        Protocol::Responses => value["type"] == "response.created",
        Protocol::Gemini => false,
    };
    let values: Vec<_> = reply.events().iter().map(Event::json).collect();
    if client == Protocol::Gemini {
        let ids = values.iter().filter_map(|value| value["responseId"].as_str());
        return ids.collect::<std::collections::HashSet<_>>().len();
    }
    values.iter().filter(|value| is_start(value)).count()
}

fn assert_whole(client: Protocol, stream: bool, reply: &Reply, what: &str) {
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    let answer = if stream {
        answer::stream(client, &reply.events())
    } else {
        answer::document(client, &reply.json())
    };
    assert_eq!((answer.text.as_str(), answer.finish), (native::TEXT, Finish::Calls), "{what}");
}

#[tokio::test]
async fn t024_whatever_fails_before_content_moves_on() {
    for (client, protocol) in pairs() {
        for stream in [false, true] {
            let failures: Vec<Failure> = Failure::all(stream).collect();
            let script = failures.clone();
            let first = Upstream::start(move |number, _| script[number].answer(protocol)).await;
            let second = Upstream::always(sound(protocol, stream)).await;
            let specs = [
                upstream("first", protocol, &first.url()).breaker(None),
                upstream("second", protocol, &second.url()).priority(1),
            ];
            let served = Served::start(gateway(specs)).await;
            let http = Client::new(served.addr);
            let talk = Talk::new(native::model(protocol), "Hi").tools().stream(stream);
            for (number, failure) in failures.iter().enumerate() {
                let what = format!("{client} → {protocol}, stream: {stream}, {failure:?}");
                let reply = http.send(talk.request(client)).await;
                assert_whole(client, stream, &reply, &what);
                assert_eq!(starts(client, &reply), usize::from(stream), "{what}: {}", reply.text());
                let (first, second) = (first.requests(), second.requests());
                assert_eq!((first.len(), second.len()), (number + 1, number + 1), "{what}");
                assert_eq!(first[number].body, second[number].body, "{what}: the same request again");
            }
        }
    }
}

#[tokio::test]
async fn a_refused_connection_moves_on() {
    for protocol in Protocol::ALL {
        let refusing = Refusing::new();
        let second = Upstream::always(sound(protocol, true)).await;
        let reply = say(&refusing.url(), &second.url(), protocol, protocol, true).await;
        assert_whole(protocol, true, &reply, protocol.as_str());
    }
}

#[tokio::test]
async fn another_protocol_can_take_over() {
    for (protocol, other) in pairs().filter(|(a, b)| a != b) {
        let first = Upstream::always(Failure::ErrorAfterOpening.answer(protocol)).await;
        let second = Upstream::always(sound(other, true)).await;
        let specs =
            [upstream("first", protocol, &first.url()), upstream("second", other, &second.url()).priority(1)];
        let served = Served::start(gateway(specs)).await;
        let talk = Talk::new("claude-sonnet-4-5", "Hi").tools().stream(true);
        let reply = Client::new(served.addr).send(talk.request(protocol)).await;
        assert_whole(protocol, true, &reply, &format!("{protocol}, then {other}"));
    }
}

#[tokio::test]
async fn each_upstream_is_asked_once() {
    let mut providers = Vec::new();
    for status in [500, 503, 500] {
        providers.push(Upstream::always(Failure::Status(status).answer(Protocol::OpenAi)).await);
    }
    let specs =
        providers.iter().zip(["a", "b", "c"]).map(|(one, name)| upstream(name, Protocol::OpenAi, &one.url()));
    let served = Served::start(gateway(specs)).await;
    let client = Client::new(served.addr);
    let reply = client.send(Talk::new("m", "Hi").request(Protocol::OpenAi)).await;
    assert!(reply.status >= 500);
    assert_eq!(providers.iter().map(Upstream::count).collect::<Vec<_>>(), [1, 1, 1]);
}

#[tokio::test]
async fn t024_nothing_is_retried_once_content_has_begun() {
    for (client, protocol) in pairs() {
        let (_, second_text) = native::text_at(protocol);
        let begun = native::stream(protocol).into_iter().take(second_text);
        let first = Upstream::always(Answer::stream().frames(begun).cut()).await;
        let second = Upstream::always(sound(protocol, true)).await;
        let reply = say(&first.url(), &second.url(), client, protocol, true).await;
        assert_eq!(reply.status, 200, "{client} → {protocol}");
        assert!(reply.text().contains("Hello,"), "{client} → {protocol}: {}", reply.text());
        assert_eq!((first.count(), second.count()), (1, 0), "{client} → {protocol}");
        assert_eq!(starts(client, &reply), 1, "{client} → {protocol}: {}", reply.text());
    }
}

#[tokio::test]
async fn t025_an_error_right_after_the_opening_is_an_error_answer() {
    for (client, protocol) in pairs() {
        let what = format!("{client} → {protocol}");
        let opening = native::opening(protocol);
        let limited = match protocol {
            Protocol::Responses => native::error_event(protocol, opening.len(), "slow down")
                .replace(r#""code":"server_error""#, r#""code":"rate_limit_exceeded""#),
            Protocol::Anthropic => {
                format!("event: error\ndata: {}\n\n", native::error(protocol, 429, "slow down"))
            }
            Protocol::OpenAi | Protocol::Gemini => {
                format!("data: {}\n\n", native::error(protocol, 429, "slow down"))
            }
        };
        let answer = Answer::stream().frames(opening).frame(limited).end();
        let provider = Upstream::always(answer).await;
        let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
        let talk = Talk::new(native::model(protocol), "Hi").stream(true);
        let reply = Client::new(served.addr).send(talk.request(client)).await;
        assert_eq!(reply.status, 429, "{what}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
        let kind = answer::error_kind(client, &reply.json());
        assert!(["rate_limit_error", "RESOURCE_EXHAUSTED"].contains(&kind.as_str()), "{what}: {kind}");
        assert!(reply.text().contains("slow down"), "{what}: {}", reply.text());
    }
}

/// Asks through upstreams that all fail, each as told.
async fn all_fail(client: Protocol, protocol: Protocol, answers: &[Answer]) -> Reply {
    let mut providers = Vec::new();
    for answer in answers {
        providers.push(Upstream::always(answer.clone()).await);
    }
    let specs = (0..).zip(&providers).map(|(number, provider)| {
        upstream(&format!("u{number}"), protocol, &provider.url()).priority(number)
    });
    let served = Served::start(gateway(specs)).await;
    let reply = Client::new(served.addr).send(Talk::new("m", "Hi").request(client)).await;
    assert!(providers.iter().all(|provider| provider.count() == 1));
    reply
}

#[tokio::test]
async fn the_most_useful_failure_is_told_with_its_retry_hint() {
    for (client, protocol) in pairs() {
        let what = format!("{client} → {protocol}");
        let error = |status, message| native::error(protocol, status, message).to_string();
        let limited = Answer::with_headers(
            429,
            &[("content-type", "application/json"), ("retry-after", "7")],
            error(429, "slow down"),
        );
        let broken = Answer::whole(500, "application/json", error(500, "oops"));
        let invalid = Answer::whole(400, "application/json", error(400, "too hot"));

        let reply = all_fail(client, protocol, &[limited.clone(), broken.clone()]).await;
        assert_eq!((reply.status, reply.header("retry-after")), (429, Some("7")), "{what}");
        let kind = answer::error_kind(client, &reply.json());
        assert!(["rate_limit_error", "RESOURCE_EXHAUSTED"].contains(&kind.as_str()), "{what}: {kind}");
        assert!(reply.text().contains("slow down"), "{what}");

        let reply = all_fail(client, protocol, &[invalid.clone(), limited, broken]).await;
        assert_eq!(reply.status, 400, "{what}: what the client can mend comes first");
        let kind = answer::error_kind(client, &reply.json());
        assert!(["invalid_request_error", "INVALID_ARGUMENT"].contains(&kind.as_str()), "{what}: {kind}");
        assert!(reply.text().contains("too hot"), "{what}");
    }
}

#[tokio::test]
async fn t165_a_client_never_hears_of_the_gateways_own_credential() {
    for (client, protocol) in pairs() {
        for status in [401, 403] {
            let error = native::error(protocol, status, "Incorrect API key provided: upstream-key");
            let answer = Answer::whole(status, "application/json", error.to_string());
            let reply = all_fail(client, protocol, &[answer]).await;
            assert_eq!(reply.status, 502, "{client} → {protocol}: a 401 would log the user out");
            answer::error_kind(client, &reply.json());
            assert!(!reply.text().contains("upstream-key"), "{client} → {protocol}: {}", reply.text());
        }
    }
}

#[tokio::test]
async fn a_web_page_never_reaches_a_client() {
    for protocol in Protocol::ALL {
        let reply = all_fail(protocol, protocol, &[Failure::Page.answer(protocol)]).await;
        assert_eq!((reply.status, reply.header("content-type")), (502, Some("application/json")));
        answer::error_kind(protocol, &reply.json());
    }
}

#[tokio::test]
async fn t179_an_error_status_with_half_a_stream_is_an_error() {
    for (client, protocol) in pairs() {
        for stream in [false, true] {
            let begun: String = native::stream(protocol)[..native::text_at(protocol).1].concat();
            let head = "HTTP/1.1 503 Scripted\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
            let comment = format!(": {}\n\n", "x".repeat(1000));
            for (how, answer) in [
                ("ended", Answer::raw(head).frame(&begun).end()),
                ("cut", Answer::raw(head).frame(&begun).cut()),
                // It goes on for ever; nobody reads that far.
                ("endless", Answer::raw(head).frame(&begun).frames(vec![comment; 70]).stall()),
            ] {
                let what = format!("{client} → {protocol}, stream: {stream}, {how}");
                let provider = Upstream::always(answer).await;
                let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
                let request = Talk::new("m", "Hi").stream(stream).request(client);
                let reply = Client::new(served.addr).send(request).await;
                let want = if client == Protocol::Anthropic { 529 } else { 503 };
                assert_eq!(reply.status, want, "{what}: {}", reply.text());
                assert_eq!(reply.header("content-type"), Some("application/json"), "{what}");
                answer::error_kind(client, &reply.json());
                assert!(!reply.text().contains("Hello"), "{what}: {}", reply.text());
                if how == "endless" {
                    provider.departed(1).await;
                }
            }
        }
    }
}

#[tokio::test]
async fn when_all_are_resting_the_client_is_told_until_when() {
    for (client, protocol) in pairs() {
        let provider = Upstream::always(Failure::Status(500).answer(protocol)).await;
        let policy =
            BreakerPolicy { failures: 1, open_for: Duration::from_secs(90), ..BreakerPolicy::default() };
        let spec = upstream("only", protocol, &provider.url()).breaker(policy);
        let served = Served::start(gateway([spec])).await;
        let http = Client::new(served.addr);
        let talk = Talk::new("m", "Hi");
        http.send(talk.request(client)).await;
        let reply = http.send(talk.request(client)).await;
        let want = if client == Protocol::Anthropic { 529 } else { 503 };
        assert_eq!(reply.status, want, "{client}");
        let wait: u64 = reply.header("retry-after").expect("retry-after").parse().unwrap();
        assert!((1..=90).contains(&wait), "{client}: {wait}");
        let kind = answer::error_kind(client, &reply.json());
        assert!(["overloaded_error", "server_error", "UNAVAILABLE"].contains(&kind.as_str()), "{kind}");
        assert_eq!(provider.count(), 1, "{client}");
    }
}

#[tokio::test]
async fn a_model_that_nobody_serves_is_not_found() {
    let provider = Upstream::always(sound(Protocol::OpenAi, false)).await;
    let spec = upstream("only", Protocol::OpenAi, &provider.url()).models(["gpt-*"]);
    let served = Served::start(gateway([spec])).await;
    let http = Client::new(served.addr);
    for client in Protocol::ALL {
        let reply = http.send(Talk::new("claude", "Hi").request(client)).await;
        assert_eq!(reply.status, 404, "{client}");
        let kind = answer::error_kind(client, &reply.json());
        assert!(["not_found_error", "invalid_request_error", "NOT_FOUND"].contains(&kind.as_str()), "{kind}");
    }
    assert_eq!(provider.count(), 0);
}

#[tokio::test]
async fn statuses_and_attempts_are_configurable() {
    let first = Upstream::always(Failure::Status(400).answer(Protocol::OpenAi)).await;
    let second = Upstream::always(Failure::Status(500).answer(Protocol::OpenAi)).await;
    let third = Upstream::always(sound(Protocol::OpenAi, false)).await;
    let upstreams: String = [(0, &first), (1, &second), (2, &third)]
        .iter()
        .map(|(n, one)| {
            let (api, url) = (api(Protocol::OpenAi), one.url());
            format!("  - {{name: u{n}, api_type: {api}, base_url: '{url}', priority: {n}}}\n")
        })
        .collect();
    for (failover, want, counts) in [
        ("{on: [5xx]}", 400, [1, 0, 0]),
        ("{on: [4xx]}", 400, [2, 1, 0]),
        ("{max_attempts: 1}", 400, [3, 1, 0]),
        // A request that one upstream finds wrong is not better the next time.
        ("{attempts_per_upstream: 2, backoff: {base: 1ms}}", 200, [4, 3, 1]),
    ] {
        let served =
            Served::start(from_yaml(&format!("failover: {failover}\nupstreams:\n{upstreams}"))).await;
        let reply = Client::new(served.addr).send(Talk::new("m", "Hi").request(Protocol::OpenAi)).await;
        assert_eq!(reply.status, want, "{failover}: {}", reply.text());
        assert_eq!([first.count(), second.count(), third.count()], counts, "{failover}");
    }
}
