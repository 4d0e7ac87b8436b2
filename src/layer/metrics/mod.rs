//! Counts and times requests through the `metrics` facade.
//!
//! Outside everything, so that refusals count too. A request is under way until the last byte of its
//! answer. Install any recorder; the server installs the Prometheus exporter.

pub mod names;
mod recorded;

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body::Body;
use metrics::{Gauge, counter, gauge};
use tokio::time::Instant;
use tower::{Layer, Service};

use recorded::{INPUT_KINDS, Recorded, RequestLabels, TOKEN_KINDS, source};

use super::inspect::{Inspect, InspectBody, InspectFuture};
use super::trail::{Notes, Trail};
use crate::protocol::canonical::Usage;
use crate::protocol::{Endpoint, Protocol};

/// Counts requests, attempts, tokens and times.
///
/// # Example
///
/// ```
/// use aiproxy::Body;
/// use aiproxy::layer::MetricsLayer;
/// use http::{Request, Response};
/// use std::convert::Infallible;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(MetricsLayer::new(["fast", "claude-sonnet-4-5"]))
///     .service(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Body::empty())) }));
/// service.oneshot(Request::post("/v1/messages").body(()).unwrap()).await.unwrap();
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct MetricsLayer {
    shared: Arc<Shared>,
}

struct Shared {
    /// The names that may become labels.
    models: HashSet<Arc<str>>,
    recorded: Recorded,
    /// One gauge per client protocol.
    in_flight: OnceLock<[Gauge; 4]>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("models", &self.models).finish_non_exhaustive()
    }
}

impl Shared {
    fn in_flight(&self, client: Protocol) -> Gauge {
        let gauges = self.in_flight.get_or_init(|| {
            Protocol::ALL.map(|protocol| gauge!(names::IN_FLIGHT, "client" => protocol.as_str()))
        });
        gauges[client as usize].clone()
    }
}

impl MetricsLayer {
    /// `models` are the names that may become labels; any other model is `other`. Install the recorder
    /// before the first request.
    pub fn new<M: Into<Arc<str>>>(models: impl IntoIterator<Item = M>) -> Self {
        let models = models.into_iter().map(Into::into).collect();
        let shared = Shared { models, recorded: Recorded::default(), in_flight: OnceLock::new() };
        MetricsLayer { shared: Arc::new(shared) }
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Metrics<S>;

    fn layer(&self, inner: S) -> Metrics<S> {
        Metrics { inner, shared: self.shared.clone() }
    }
}

/// See [`MetricsLayer`].
#[derive(Clone, Debug)]
pub struct Metrics<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S, Q, B> Service<Request<Q>> for Metrics<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    B: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let trail = request.extensions_mut().get_or_insert_default::<Trail>().clone();
        let client = Endpoint::protocol_of(request.uri().path());
        let in_flight = self.shared.in_flight(client);
        in_flight.increment(1);
        let meter = Meter {
            client: client.as_str(),
            trail,
            shared: self.shared.clone(),
            start: Instant::now(),
            first_byte: None,
            status: None,
            outcome: None,
            in_flight,
        };
        ResponseFuture::new(self.inner.call(request), meter)
    }
}

/// Response future of [`Metrics`].
pub type ResponseFuture<F> = InspectFuture<F, Meter>;

/// Response body of [`Metrics`].
pub type ResponseBody<B> = InspectBody<B, Meter>;

/// Measures one request; writes everything down when it is dropped, however the request ended.
pub struct Meter {
    client: &'static str,
    trail: Trail,
    shared: Arc<Shared>,
    start: Instant,
    first_byte: Option<Instant>,
    status: Option<u16>,
    /// How the body ended; `None`: not to its end, the client has left.
    outcome: Option<Ended>,
    in_flight: Gauge,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ended {
    Whole,
    Broken,
}

impl Meter {
    fn outcome(&self, notes: &Notes) -> &'static str {
        match (self.outcome, notes.failure) {
            (None, _) => "cancelled",
            (Some(Ended::Broken), None) => "upstream_error",
            (_, Some(kind)) if kind.starts_with("caller") => "client_error",
            (_, Some(kind)) if kind.starts_with("gateway") => "rejected",
            (_, Some(_)) => "upstream_error",
            (Some(Ended::Whole), None) => match self.status {
                Some(400..500) => "client_error",
                Some(500..) => "upstream_error",
                _ => "ok",
            },
        }
    }
}

impl fmt::Debug for Meter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meter").finish_non_exhaustive()
    }
}

impl<E> Inspect<E> for Meter {
    fn head(&mut self, status: StatusCode) {
        self.status = Some(status.as_u16());
    }

    fn data(&mut self, _: &Bytes) {
        self.first_byte.get_or_insert_with(Instant::now);
    }

    fn end(mut self, outcome: Result<(), &E>) {
        self.outcome = Some(if outcome.is_ok() { Ended::Whole } else { Ended::Broken });
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
        let recorded = &self.shared.recorded;
        let notes = self.trail.lock();
        // Only configured names become labels.
        let model = notes.model.clone().filter(|model| self.shared.models.contains(model));
        let outcome = self.outcome(&notes);
        let labels =
            RequestLabels { client: self.client, model: model.clone(), outcome, stream: notes.stream };
        let handles = recorded.request(labels);
        handles.count.increment(1);
        handles.duration.record(self.start.elapsed().as_secs_f64());
        if let Some(first) = self.first_byte {
            handles.first_byte.record(first.duration_since(self.start).as_secs_f64());
        }
        if notes.stream && outcome != "ok" && self.status == Some(200) {
            let side = if self.outcome.is_none() { "client" } else { "upstream" };
            counter!(names::STREAM_ABORTS, "side" => side).increment(1);
        }
        for attempt in &notes.attempts {
            let handles = recorded.attempt(&attempt.upstream, attempt.outcome);
            handles.count.increment(1);
            handles.duration.record(attempt.duration.as_secs_f64());
        }
        for pair in notes.attempts.windows(2) {
            let [from, to] = pair else { continue };
            // The same one again is a retry, or asked for another model.
            if from.upstream == to.upstream {
                continue;
            }
            let (left, next, why) = (from.upstream.to_string(), to.upstream.to_string(), from.outcome);
            counter!(names::FAILOVERS, "from" => left, "to" => next, "error_type" => why).increment(1);
        }
        let answered = notes.model_fallback.clone().filter(|model| self.shared.models.contains(model));
        tokens(&notes, answered.or(model), recorded);
    }
}

/// The counts, in the order of the kinds.
fn counts(usage: &Usage) -> [Option<u64>; 6] {
    [
        usage.input.map(|_| usage.fresh_input()),
        usage.cache_read,
        usage.cache_write,
        usage.cache_write_1h,
        usage.output.map(|output| output.saturating_sub(usage.reasoning.unwrap_or(0))),
        usage.reasoning,
    ]
}

/// The kind of tokens, where the count comes from, and how many, for each kind that there are any of.
pub(super) fn tokens_by_kind(usage: &Usage) -> impl Iterator<Item = (&'static str, &'static str, u64)> {
    let (input, output) = (usage.is_input_estimated, usage.is_output_estimated);
    TOKEN_KINDS.into_iter().zip(counts(usage)).enumerate().filter_map(move |(at, (kind, count))| {
        let is_estimated = if at < INPUT_KINDS { input } else { output };
        count.filter(|count| *count > 0).map(|count| (kind, source(is_estimated), count))
    })
}

fn tokens(notes: &Notes, model: Option<Arc<str>>, recorded: &Recorded) {
    let usage = &notes.usage;
    let Some(served) = notes.attempts.last().filter(|_| !usage.is_empty()) else { return };
    let (input, output) = (usage.is_input_estimated, usage.is_output_estimated);
    let of_input = recorded.tokens(&served.upstream, model.clone(), input);
    let of_output =
        if output == input { of_input.clone() } else { recorded.tokens(&served.upstream, model, output) };
    let counters = of_input.iter().take(INPUT_KINDS).chain(of_output.iter().skip(INPUT_KINDS));
    for (counter, count) in counters.zip(counts(usage)) {
        if let Some(count @ 1..) = count {
            counter.increment(count);
        }
    }
}
