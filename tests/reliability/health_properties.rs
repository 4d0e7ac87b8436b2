//! No sequence of callers' mistakes changes anything about an upstream's health, and no breaker ever admits two probes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aiproxy::layer::health::{BreakerReport, Health, Watched};
use aiproxy::layer::{CircuitBreakerLayer, CollectLayer, CredentialsLayer};
use aiproxy::protocol::Protocol;
use aiproxy::protocol::canonical::{ErrorView, FaultKind};
use aiproxy::upstream::ApiType;
use aiproxy::{Body, Error, Fault, Payload, Stage, UpstreamError};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use proptest::prelude::*;
use proptest::sample::select;
use tokio::sync::oneshot;
use tower::util::BoxCloneService;
use tower::{ServiceBuilder, ServiceExt, service_fn};

const MODELS: [&str; 3] = ["a", "b", "c"];
const MINUTE: Duration = Duration::from_secs(60);

/// How a call ends.
#[derive(Clone, Debug)]
enum End {
    Fine,
    /// An error answer with this body and `retry-after`.
    Answer(u16, &'static str, Option<u32>),
    /// A failure before any answer.
    Failure(fn() -> Error),
    /// A failure within the answer.
    Broken(fn() -> Error),
    /// The client leaves before the answer.
    Left,
}

type Outcome = Result<Response<Body>, Error>;

/// A breaker and two keys before a service whose outcomes are sent to it.
struct Upstream {
    service: BoxCloneService<
        Request<Full<Bytes>>,
        Response<aiproxy::layer::circuit_breaker::ResponseBody<Body>>,
        Error,
    >,
    health: Health,
    outcomes: Arc<Mutex<VecDeque<oneshot::Receiver<Outcome>>>>,
}

impl Upstream {
    fn new() -> Upstream {
        let outcomes: Arc<Mutex<VecDeque<oneshot::Receiver<Outcome>>>> = Arc::default();
        let script = outcomes.clone();
        let inner = service_fn(move |_: Request<Payload>| {
            // A second key fares as the first.
            let outcome = script.lock().unwrap().pop_front();
            async move {
                match outcome {
                    Some(outcome) => outcome.await.unwrap(),
                    None => Err(answer(401, "{}", None)),
                }
            }
        });
        let health = Health::new(Watched { keys: 2, ..Watched::default() });
        let credentials = CredentialsLayer::new(ApiType::OpenAi, ["one", "two"]).unwrap();
        let service = ServiceBuilder::new()
            .layer(CollectLayer::default())
            .layer(CircuitBreakerLayer::of(health.clone()))
            .layer(credentials.health(health.clone()))
            .service(inner);
        Upstream { service: BoxCloneService::new(service), health, outcomes }
    }

    async fn call(&self, model: &str, end: &End) {
        self.outcomes.lock().unwrap().clear();
        let (send, outcome) = oneshot::channel();
        self.outcomes.lock().unwrap().push_back(outcome);
        let request =
            Request::post("/v1/chat/completions").body(Full::from(format!(r#"{{"model":"{model}"}}"#)));
        let called = self.service.clone().oneshot(request.unwrap());
        let call = tokio::spawn(async move { called.await?.into_body().collect().await.map(drop) });
        tokio::task::yield_now().await;
        let outcome = match end {
            End::Left => return call.abort(),
            End::Fine => Ok(Response::new(Body::from(Bytes::from_static(b"{}")))),
            End::Answer(status, body, wait) => Err(answer(*status, body, *wait)),
            End::Failure(error) => Err(error()),
            End::Broken(error) => {
                let frames = [Ok(http_body::Frame::data(Bytes::from_static(b"data"))), Err(error())];
                let body = http_body_util::StreamBody::new(futures_util::stream::iter(frames));
                Ok(Response::new(Body::new(body)))
            }
        };
        // It may rest: then nobody waits for the outcome.
        let _ = send.send(outcome);
        let _ = call.await.unwrap();
    }

    fn report(&self) -> Vec<BreakerReport> {
        self.health.report()
    }
}

fn answer(status: u16, body: &'static str, wait: Option<u32>) -> Error {
    let headers = wait.map(|wait| (http::header::RETRY_AFTER, HeaderValue::from(wait)));
    let (headers, status) = (HeaderMap::from_iter(headers), StatusCode::from_u16(status).unwrap());
    Error::Upstream(Box::new(UpstreamError::new(Protocol::OpenAi, status, headers, Bytes::from(body))))
}

fn reported(kind: FaultKind) -> Error {
    Error::Codec(Box::new(ErrorView::new(kind, "no")))
}

/// What an upstream may do wrong.
fn upstreams_fault() -> impl Strategy<Value = End> {
    let wait = proptest::option::of(0u32..4000);
    prop_oneof![
        (select(vec![401u16, 402, 403, 408, 429, 500, 502, 503, 529]), wait)
            .prop_map(|(s, w)| End::Answer(s, "{}", w)),
        select(vec![
            End::Failure(|| Error::Transport { stage: Stage::Connect, source: "refused".into() }),
            End::Failure(|| Error::Transport { stage: Stage::Head, source: "reset".into() }),
            End::Failure(|| Error::Timeout(aiproxy::Clock::Head)),
            End::Broken(|| Error::codec("half")),
            End::Broken(|| Error::Transport { stage: Stage::Body, source: "reset".into() }),
        ]),
    ]
}

/// What a caller may do wrong, or the gateway refuse.
fn callers_fault() -> impl Strategy<Value = End> {
    const OVERFLOW: &str = r#"{"error":{"message":"This model's maximum context length is 8 tokens.","code":"context_length_exceeded"}}"#;
    const POLICY: &str = r#"{"error":{"message":"no","code":"content_policy_violation"}}"#;
    const NO_MODEL: &str = r#"{"error":{"message":"no such model","code":"model_not_found"}}"#;
    let wait = proptest::option::of(0u32..4000);
    let bodies = select(vec!["", "{}", "<html>", OVERFLOW, POLICY, NO_MODEL]);
    prop_oneof![
        (select(vec![400u16, 404, 405, 409, 413, 415, 418, 422, 426, 499]), bodies, wait)
            .prop_map(|(status, body, wait)| End::Answer(status, body, wait)),
        Just(End::Answer(500, OVERFLOW, None)),
        select(vec![
            End::Left,
            End::Failure(|| Error::Unauthorized),
            End::Failure(|| Error::Overloaded),
            End::Failure(|| Error::request(FaultKind::InvalidRequest, "bad")),
            End::Failure(|| Error::Untranslatable(Box::new(ErrorView::new(FaultKind::Unsupported, "no")))),
            End::Failure(|| Error::ModelNotServed { model: "m".into() }),
            End::Failure(|| Error::Unavailable { retry_after: None }),
            End::Failure(|| Error::Timeout(aiproxy::Clock::Request)),
            End::Failure(|| reported(FaultKind::ContextLength)),
        ]),
    ]
}

fn model() -> impl Strategy<Value = &'static str> {
    select(MODELS.to_vec())
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap()
        .block_on(future)
}

proptest! {
    #[test]
    fn no_sequence_of_callers_mistakes_changes_any_health(
        before in proptest::collection::vec((model(), prop_oneof![3 => upstreams_fault(), 1 => Just(End::Fine)], 0u32..40), 0..20),
        mistakes in proptest::collection::vec((model(), callers_fault()), 1..30),
    ) {
        run(async {
            let upstream = Upstream::new();
            for (model, end, minutes) in &before {
                upstream.call(model, end).await;
                tokio::time::advance(MINUTE * *minutes).await;
            }
            let health = upstream.report();
            for (model, mistake) in &mistakes {
                upstream.call(model, mistake).await;
                tokio::task::yield_now().await;
                prop_assert_eq!(upstream.report(), health.clone(), "after {:?}", mistake);
            }
            Ok(())
        })?;
    }
}

#[test]
fn the_words_and_the_faults_agree() {
    let errors =
        [400, 401, 402, 403, 404, 405, 408, 409, 413, 415, 422, 426, 429, 499, 500, 502, 503, 504, 529]
            .map(|status| answer(status, "{}", None));
    let reports =
        [FaultKind::ContentPolicy, FaultKind::Encoding, FaultKind::RateLimit, FaultKind::BadUpstream]
            .map(reported);
    for error in errors.into_iter().chain(reports) {
        let prefix = match error.fault() {
            Fault::Caller => "caller_",
            Fault::Gateway => "gateway_",
            Fault::Upstream => "upstream_",
        };
        assert!(error.error_type().starts_with(prefix), "{error:?}");
        assert_eq!(error.scope().is_some(), error.fault() == Fault::Upstream, "{error:?}");
    }
}
