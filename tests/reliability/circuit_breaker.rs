//! An upstream that fails rests for that model; callers' mistakes never make it rest; a probe ends the rest.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiproxy::layer::circuit_breaker::ResponseBody;
use aiproxy::layer::health::{BreakerState, Health};
use aiproxy::layer::{BreakerPolicy, CircuitBreakerLayer, CollectLayer};
use aiproxy::{Body, Error, Gateway, Payload, UpstreamError};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::support::client::Client;
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Refusing, Upstream};
use crate::support::{Protocol, native};

// Through the whole gateway.

fn is_open(gateway: &Gateway, upstream: &str, model: &str) -> bool {
    let snapshot = gateway.snapshot();
    let upstream = snapshot.upstreams.iter().find(|one| &*one.name == upstream).unwrap();
    let mut about =
        upstream.breaker.iter().filter(|report| report.model.as_deref().is_none_or(|name| name == model));
    about.any(|report| matches!(report.state, BreakerState::Open { .. }))
}

/// What the upstream answers, four times; whether it rests afterwards, and how often it was asked.
async fn after_four(protocol: Protocol, stream: bool, answer: Answer) -> (bool, usize) {
    let provider = Upstream::always(answer).await;
    let gateway = gateway([upstream("only", protocol, &provider.url())]);
    let served = Served::start(gateway.clone()).await;
    let http = Client::new(served.addr);
    for _ in 0..4 {
        http.send(Talk::new("m", "Hi").tools().stream(stream).request(protocol)).await;
    }
    (is_open(&gateway, "only", "m"), provider.count())
}

fn status(protocol: Protocol, status: u16) -> Answer {
    Answer::whole(status, "application/json", native::error(protocol, status, "no").to_string())
}

#[tokio::test]
async fn three_failures_of_an_upstream_make_it_rest() {
    for protocol in Protocol::ALL {
        for code in [401, 403, 429, 500, 502, 503, 529] {
            let (open, asked) = after_four(protocol, false, status(protocol, code)).await;
            // A rate limit without a hint counts as any failure.
            assert_eq!((open, asked), (true, 3), "{protocol} {code}");
        }
        for (what, stream, answer) in [
            ("no head", false, Answer::none()),
            ("error in 200", false, Answer::json(native::error(protocol, 500, "no"))),
            ("empty stream", true, Answer::stream().end()),
            ("error event", true, Answer::events([native::error_event(protocol, 0, "no")])),
        ] {
            assert_eq!(after_four(protocol, stream, answer).await, (true, 3), "{protocol}: {what}");
        }
    }
}

#[tokio::test]
async fn a_refused_connection_counts() {
    let refusing = Refusing::new();
    let gateway = gateway([upstream("only", Protocol::OpenAi, &refusing.url())]);
    let served = Served::start(gateway.clone()).await;
    for _ in 0..3 {
        let request = Talk::new("m", "Hi").request(Protocol::OpenAi);
        assert_eq!(Client::new(served.addr).send(request).await.status, 502);
    }
    assert!(is_open(&gateway, "only", "m"));
}

#[tokio::test]
async fn callers_mistakes_never_make_an_upstream_rest() {
    for protocol in Protocol::ALL {
        for code in [400, 404, 405, 413, 422] {
            let (open, asked) = after_four(protocol, false, status(protocol, code)).await;
            assert_eq!((open, asked), (false, 4), "{protocol} {code}");
        }
    }
}

#[tokio::test]
async fn streams_that_break_after_they_began_count() {
    for protocol in Protocol::ALL {
        let (_, second_text) = native::text_at(protocol);
        let begun = || Answer::stream().frames(native::stream(protocol).into_iter().take(second_text));
        assert_eq!(after_four(protocol, true, begun().cut()).await, (true, 3), "{protocol}: cut");
        assert_eq!(after_four(protocol, true, begun().end()).await, (true, 3), "{protocol}: early end");
        let reported = begun().frame(native::error_event(protocol, second_text, "no")).end();
        assert_eq!(after_four(protocol, true, reported).await, (true, 3), "{protocol}: error event");
    }
}

#[tokio::test]
async fn a_success_between_failures_starts_the_count_again() {
    let provider = Upstream::start(|number, _| match number % 3 {
        2 => Answer::json(native::document(Protocol::OpenAi)),
        _ => status(Protocol::OpenAi, 500),
    })
    .await;
    let gateway = gateway([upstream("only", Protocol::OpenAi, &provider.url())]);
    let served = Served::start(gateway.clone()).await;
    for _ in 0..9 {
        Client::new(served.addr).send(Talk::new("m", "Hi").request(Protocol::OpenAi)).await;
    }
    assert_eq!(provider.count(), 9);
    assert!(!is_open(&gateway, "only", "m"));
}

#[tokio::test]
async fn it_rests_for_one_model_at_one_upstream() {
    let failing = |bad: &'static str| {
        move |_: usize, request: &crate::support::upstream::Received| {
            if request.json()["model"] == bad {
                status(Protocol::OpenAi, 500)
            } else {
                Answer::json(native::document(Protocol::OpenAi))
            }
        }
    };
    let first = Upstream::start(failing("bad")).await;
    let second = Upstream::start(failing("none")).await;
    let gateway = gateway([
        upstream("first", Protocol::OpenAi, &first.url()),
        upstream("second", Protocol::OpenAi, &second.url()).priority(1),
    ]);
    let served = Served::start(gateway.clone()).await;
    let http = Client::new(served.addr);
    let ask = async |model: &str| http.send(Talk::new(model, "Hi").request(Protocol::OpenAi)).await.status;
    for _ in 0..5 {
        assert_eq!(ask("bad").await, 200, "the second serves");
    }
    assert_eq!((first.count(), second.count()), (3, 5));
    assert!(is_open(&gateway, "first", "bad") && !is_open(&gateway, "second", "bad"));
    assert_eq!(ask("good").await, 200);
    assert_eq!(first.count(), 4, "the first still serves other models");
}

#[tokio::test]
async fn a_rate_limit_that_says_how_long_rests_that_long_at_once() {
    let headers = [("content-type", "application/json"), ("retry-after", "20")];
    let error = native::error(Protocol::OpenAi, 429, "slow down").to_string();
    let provider = Upstream::always(Answer::with_headers(429, &headers, error)).await;
    let served = Served::start(gateway([upstream("only", Protocol::OpenAi, &provider.url())])).await;
    let http = Client::new(served.addr);
    let ask = async || http.send(Talk::new("m", "Hi").request(Protocol::OpenAi)).await;
    assert_eq!(ask().await.status, 429);
    let reply = ask().await;
    assert_eq!((reply.status, provider.count()), (503, 1));
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=20).contains(&wait), "{wait}");
}

// The layer alone, on paused time.

type Outcome = Result<Response<Body>, Error>;

/// A service whose every outcome is sent to it, behind a breaker.
struct Alone {
    service: BoxCloneService<Request<Full<Bytes>>, Response<ResponseBody<Body>>, Error>,
    breaker: Health,
    outcomes: Arc<Mutex<VecDeque<oneshot::Receiver<Outcome>>>>,
}

const POLICY: BreakerPolicy =
    BreakerPolicy { failures: 3, open_for: Duration::from_secs(60), max_rest: Duration::from_secs(60) };

impl Alone {
    fn new() -> Alone {
        let outcomes: Arc<Mutex<VecDeque<oneshot::Receiver<Outcome>>>> = Arc::default();
        let layer = CircuitBreakerLayer::new(POLICY);
        let breaker = layer.health();
        let script = outcomes.clone();
        let inner = service_fn(move |_: Request<Payload>| {
            let outcome = script.lock().unwrap().pop_front().expect("a call that the breaker should refuse");
            async move { outcome.await.unwrap() }
        });
        let service = ServiceBuilder::new().layer(CollectLayer::default()).layer(layer).service(inner);
        Alone { service: BoxCloneService::new(service), breaker, outcomes }
    }

    /// It has failed, and its rest is over.
    async fn rested() -> Alone {
        let alone = Alone::new();
        alone.open().await;
        tokio::time::advance(POLICY.open_for).await;
        alone
    }

    /// A call under way, and what ends it.
    fn call(&self) -> (oneshot::Sender<Outcome>, JoinHandle<Result<(), Error>>) {
        let (end, outcome) = oneshot::channel();
        self.outcomes.lock().unwrap().push_back(outcome);
        let answer = self.service.clone().oneshot(request());
        (end, tokio::spawn(async move { answer.await?.into_body().collect().await.map(drop) }))
    }

    async fn ask(&self, outcome: Outcome) -> Result<(), Error> {
        let (end, call) = self.call();
        assert!(end.send(outcome).is_ok());
        call.await.unwrap()
    }

    async fn is_refused(&self) -> bool {
        matches!(self.service.clone().oneshot(request()).await, Err(Error::Unavailable { .. }))
    }

    fn state(&self) -> Option<BreakerState> {
        self.breaker.report().first().map(|report| report.state)
    }

    async fn open(&self) {
        for _ in 0..3 {
            self.ask(broken()).await.unwrap_err();
        }
        assert!(self.is_refused().await);
    }
}

fn request() -> Request<Full<Bytes>> {
    Request::post("/v1/messages").body(Full::from(r#"{"model":"m"}"#)).unwrap()
}

fn broken() -> Outcome {
    Err(Error::codec("broken"))
}

fn fine() -> Outcome {
    Ok(Response::new(Body::empty()))
}

fn answered(status: u16, headers: HeaderMap) -> Outcome {
    let status = StatusCode::from_u16(status).unwrap();
    let error = UpstreamError::new(aiproxy::protocol::Protocol::OpenAi, status, headers, Bytes::from("{}"));
    Err(Error::Upstream(Box::new(error)))
}

#[tokio::test(start_paused = true)]
async fn it_rests_as_long_as_configured_and_a_successful_probe_ends_the_rest() {
    let alone = Alone::new();
    alone.open().await;
    tokio::time::advance(Duration::from_secs(59)).await;
    assert!(alone.is_refused().await);
    tokio::time::advance(Duration::from_secs(1)).await;
    alone.ask(fine()).await.unwrap();
    assert_eq!(alone.state(), None, "as if nothing had been");
    alone.ask(broken()).await.unwrap_err();
    assert!(matches!(alone.state(), Some(BreakerState::Closed { failures: 1 })));
}

#[tokio::test(start_paused = true)]
async fn a_failed_probe_begins_the_rest_anew() {
    let alone = Alone::rested().await;
    alone.ask(broken()).await.unwrap_err();
    assert!(alone.is_refused().await);
    tokio::time::advance(POLICY.open_for - Duration::from_secs(1)).await;
    assert!(alone.is_refused().await);
    tokio::time::advance(Duration::from_secs(1)).await;
    alone.ask(fine()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_was_the_callers_mistake_decides_nothing() {
    let alone = Alone::rested().await;
    let before = alone.breaker.report();
    alone.ask(answered(400, HeaderMap::new())).await.unwrap_err();
    assert_eq!(alone.breaker.report(), before);
    alone.ask(fine()).await.expect("the next one is the probe");
    assert_eq!(alone.state(), None);
}

#[tokio::test(start_paused = true)]
async fn one_probe_at_a_time_and_one_that_is_given_up_decides_nothing() {
    let alone = Alone::rested().await;
    let (_end, probe) = alone.call();
    tokio::task::yield_now().await;
    assert_eq!(alone.state(), Some(BreakerState::HalfOpen));
    assert!(alone.is_refused().await, "a second one while the probe is under way");
    probe.abort();
    assert!(probe.await.unwrap_err().is_cancelled());
    alone.ask(fine()).await.expect("the next one is the probe");
    assert_eq!(alone.state(), None);
}

#[tokio::test(start_paused = true)]
async fn of_a_stampede_after_the_rest_one_request_probes() {
    let alone = Alone::rested().await;
    let (end, probe) = alone.call();
    tokio::task::yield_now().await;
    for _ in 0..50 {
        let Err(Error::Unavailable { retry_after }) = alone.service.clone().oneshot(request()).await else {
            panic!("a second probe");
        };
        assert_eq!(retry_after, Some(Duration::from_secs(1)));
    }
    assert!(end.send(fine()).is_ok());
    probe.await.unwrap().unwrap();
    for _ in 0..50 {
        alone.ask(fine()).await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_retry_hint_shortens_the_rest_and_an_absurd_one_does_not_prolong_it() {
    for (seconds, rests) in [(5, 5), (9_999, 60)] {
        let alone = Alone::new();
        let headers = HeaderMap::from_iter([(http::header::RETRY_AFTER, HeaderValue::from(seconds))]);
        alone.ask(answered(429, headers)).await.unwrap_err();
        tokio::time::advance(Duration::from_secs(rests) - Duration::from_millis(1)).await;
        assert!(alone.is_refused().await, "{seconds}");
        tokio::time::advance(Duration::from_millis(1)).await;
        alone.ask(fine()).await.unwrap();
    }
}
