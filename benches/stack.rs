//! The layers alone: the stack over an upstream that answers at once, inside the process.
//!
//! Streams come event by event, with a pause after each, as from a network. Metrics are recorded as
//! the server records them.

mod support {
    pub mod allocations;
    pub mod answer;
    pub mod best;
    pub mod conversation;
    pub mod poll;
}

use std::future::ready;
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use aiproxy::gateway::{Gateway, InnerService, UpstreamSpec};
use aiproxy::layer::balance::{Leaf, Pool, Upstream, WeightedBalance};
use aiproxy::layer::failover::Failover;
use aiproxy::layer::health::{Health, Watched};
use aiproxy::layer::{
    CircuitBreakerLayer, ClassifyLayer, CredentialsLayer, ModelFilterLayer, ModelMapLayer, MustStreamLayer,
    StateStore, StreamTimeoutLayer, TranslateLayer, UsageLayer,
};
use aiproxy::protocol::{Endpoint, Operation, Protocol};
use aiproxy::upstream::ApiType;
use aiproxy::{BoxError, Error, Payload};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::util::BoxCloneSyncService;
use tower::{ServiceBuilder, ServiceExt as _, layer::layer_fn, service_fn};

use support::conversation::request;
use support::{allocations, answer, best, poll};

/// An upstream's stream: after each event there is nothing to read for a moment.
struct Paced {
    events: Arc<[Bytes]>,
    next: usize,
    resting: bool,
}

impl http_body::Body for Paced {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.resting = !self.resting;
        if self.resting {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let event = self.events.get(self.next).cloned();
        self.next += 1;
        Poll::Ready(event.map(|event| Ok(Frame::data(event))))
    }
}

/// An upstream that answers at once.
fn instant(protocol: Protocol) -> InnerService {
    let document = Bytes::from(answer::document(protocol));
    let events: Arc<[Bytes]> = answer::stream(protocol).into_iter().map(Bytes::from).collect();
    BoxCloneSyncService::new(service_fn(move |request: Request<Payload>| {
        let (content_type, body) = if request.body().stream() {
            let paced = Paced { events: events.clone(), next: 0, resting: false };
            ("text/event-stream", aiproxy::Body::new(paced))
        } else {
            ("application/json", aiproxy::Body::from(document.clone()))
        };
        black_box(request.into_body().wire_bytes());
        ready(
            Response::builder()
                .header("content-type", content_type)
                .body(body)
                .map_err(|_| Error::Unauthorized),
        )
    }))
}

/// What clients ask for.
const MODELS: [&str; 3] = ["claude-sonnet-4-5", "gpt-5-mini", "gemini-2.5-flash"];

fn model(upstream: Protocol) -> &'static str {
    match upstream {
        Protocol::Anthropic => MODELS[0],
        Protocol::OpenAi | Protocol::Responses => MODELS[1],
        Protocol::Gemini => MODELS[2],
    }
}

/// One upstream's stack, as the gateway builds it.
fn upstream(api: ApiType) -> Result<InnerService, Error> {
    let service = ServiceBuilder::new()
        .layer(ModelMapLayer::new(MODELS.map(|name| (name, model(api.protocol())))))
        .layer(TranslateLayer::new(api.protocol()).state_store(StateStore::default(), "upstream"))
        .layer(UsageLayer::new())
        .layer(MustStreamLayer::when_it_streams())
        .layer(CredentialsLayer::new(api, ["sk-upstream"])?)
        .layer(ClassifyLayer::new())
        .layer(StreamTimeoutLayer::new().head(Duration::from_secs(600)).idle(Duration::from_secs(300)))
        .service(instant(api.protocol()));
    Ok(BoxCloneSyncService::new(service.map_response(|response| response.map(aiproxy::Body::new))))
}

/// The choice among `size` upstreams.
fn pool(size: usize, inner: &InnerService) -> InnerService {
    let upstreams = (0..size).map(|index| {
        let name: Arc<str> = format!("upstream-{index}").into();
        let service = ServiceBuilder::new()
            .layer(ModelFilterLayer::new(["gpt-*", "claude-*", "gemini-*"]))
            .layer(CircuitBreakerLayer::of(Health::new(Watched {
                upstream: name.clone(),
                ..Watched::default()
            })))
            .service(Leaf::new(inner.clone()));
        Upstream { name, weight: 1, priority: 0, service }
    });
    let service = Failover::new(WeightedBalance::new(Pool::new(upstreams)));
    BoxCloneSyncService::new(service.map_response(|response| response.map(aiproxy::Body::new)))
}

/// The whole gateway in front of `size` upstreams; only the HTTP clients are replaced.
fn gateway(api: ApiType, size: usize) -> Result<Gateway, BoxError> {
    let inner = upstream(api)?;
    let mut builder =
        Gateway::builder().api_key("sk-client").upstream_layer(layer_fn(move |_| inner.clone()));
    for index in 0..size {
        let spec = UpstreamSpec::new(format!("upstream-{index}"), api, "http://127.0.0.1:9".parse()?);
        builder = builder.upstream(spec.models(["gpt-*", "claude-*", "gemini-*"]));
    }
    builder.build()
}

/// A request that has come in, its body read.
fn collected(protocol: Protocol) -> Result<Payload, Error> {
    let mut payload = Payload::new(Endpoint::new(protocol, Operation::Generate), request(protocol, 1))?;
    payload.set_stream(false);
    Ok(payload)
}

/// One request through the services inside, to the last byte of its answer.
fn ask(service: &InnerService, payload: &Payload) -> usize {
    poll::run(async {
        let answer = service.clone().oneshot(Request::new(payload.clone())).await.expect("an answer");
        drain(answer.into_body()).await
    })
}

/// One request as a client of the gateway sends it.
struct Client {
    path: &'static str,
    body: Bytes,
}

impl Client {
    fn new(protocol: Protocol, stream: bool) -> Self {
        let path = match protocol {
            Protocol::Anthropic => "/v1/messages",
            Protocol::OpenAi => "/v1/chat/completions",
            Protocol::Responses => "/v1/responses",
            Protocol::Gemini => "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
        };
        let mut body = request(protocol, 1);
        if !stream {
            body = body.replace(r#""stream":true"#, r#""stream":false"#);
        }
        Client { path, body: Bytes::from(body) }
    }

    /// To the last byte of the answer.
    fn ask(&self, gateway: &Gateway) -> usize {
        let request = Request::post(self.path)
            .header("authorization", "Bearer sk-client")
            .header("content-type", "application/json")
            .header("user-agent", "openai-python/2.8.0")
            .body(Full::new(self.body.clone()))
            .expect("a request");
        poll::run(async {
            let Ok(answer) = gateway.clone().oneshot(request).await;
            assert_eq!(answer.status(), 200);
            drain(answer.into_body()).await
        })
    }
}

async fn drain(body: impl http_body::Body<Data = Bytes, Error: std::fmt::Debug>) -> usize {
    let mut body = pin!(body);
    let mut read = 0;
    while let Some(frame) = body.frame().await {
        read += frame.expect("no error").into_data().map_or(0, |data| black_box(data).len());
    }
    read
}

/// One thing to measure: its name, how many events it passes, and the work.
struct Case {
    name: String,
    events: usize,
    work: Box<dyn Fn()>,
}

impl Case {
    fn new(name: impl Into<String>, events: usize, work: impl Fn() -> usize + 'static) -> Self {
        let work = move || assert!(black_box(work()) > 500, "an answer came");
        Case { name: name.into(), events, work: Box::new(work) }
    }
}

fn cases() -> Result<Vec<Case>, BoxError> {
    let payload = collected(Protocol::OpenAi)?;
    let inside = |name: &str, service: InnerService| {
        let payload = payload.clone();
        Case::new(name, 1, move || ask(&service, &payload))
    };
    let bare = instant(Protocol::OpenAi);
    let mut cases = vec![
        inside("the upstream alone", bare.clone()),
        inside("one more boxed seam", BoxCloneSyncService::new(bare.clone())),
        inside("filter, breaker, balance, failover: 1 upstream", pool(1, &bare)),
        inside("filter, breaker, balance, failover: 8 upstreams", pool(8, &bare)),
        inside("one upstream's layers", upstream(ApiType::OpenAi)?),
    ];
    for size in [1, 8] {
        let (gateway, client) = (gateway(ApiType::OpenAi, size)?, Client::new(Protocol::OpenAi, false));
        let name = format!("gateway, openai to openai, {size} upstreams");
        cases.push(Case::new(name, 1, move || client.ask(&gateway)));
    }
    for (client, api) in [
        (Protocol::Anthropic, ApiType::OpenAi),
        (Protocol::OpenAi, ApiType::Anthropic),
        (Protocol::Responses, ApiType::Gemini),
    ] {
        let name = format!("gateway, {client} to {}", api.protocol());
        let (gateway, client) = (gateway(api, 1)?, Client::new(client, false));
        cases.push(Case::new(name, 1, move || client.ask(&gateway)));
    }
    for (client, api) in [
        (Protocol::OpenAi, ApiType::OpenAi),
        (Protocol::Anthropic, ApiType::OpenAi),
        (Protocol::OpenAi, ApiType::Anthropic),
    ] {
        let events = answer::stream(api.protocol()).len();
        let name = format!("gateway, {client} to {}, stream", api.protocol());
        let (gateway, client) = (gateway(api, 1)?, Client::new(client, true));
        cases.push(Case::new(name, events, move || client.ask(&gateway)));
    }
    Ok(cases)
}

fn table(cases: &[Case]) {
    println!("\nstack | ns per request (stream: event) | allocations | bytes allocated");
    for Case { name, events, work } in cases {
        work();
        let time = best::time(work).as_nanos() as usize / events;
        let asked = allocations::count(work);
        let per_event = |total: u64| total as f64 / *events as f64;
        println!("{name} | {time} | {:.2} | {:.0}", per_event(asked.count), per_event(asked.bytes));
    }
}

fn main() -> Result<(), BoxError> {
    let metrics = PrometheusBuilder::new().install_recorder()?;
    // The layers' clocks register with a runtime; nothing ever waits for them.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
    let _entered = runtime.enter();
    let cases = cases()?;
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    let mut group = criterion.benchmark_group("stack");
    for case in &cases {
        group.throughput(Throughput::Elements(case.events as u64));
        group.bench_function(&case.name, |b| b.iter(&case.work));
        metrics.run_upkeep();
    }
    group.finish();
    criterion.final_summary();
    table(&cases);
    Ok(())
}
