//! Counts and times requests through the `metrics` facade.
//!
//! Outside everything, so that refusals count too. A request is under way until the last byte of its
//! answer. Install any recorder; the server installs the Prometheus exporter.

pub mod names;

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use metrics::{Gauge, counter, gauge, histogram};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::trail::{Notes, Trail};
use crate::protocol::Endpoint;

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
    models: Arc<HashSet<Box<str>>>,
}

impl MetricsLayer {
    /// `models` are the names that may become labels; any other model is `other`.
    pub fn new<M: Into<Box<str>>>(models: impl IntoIterator<Item = M>) -> Self {
        MetricsLayer { models: Arc::new(models.into_iter().map(Into::into).collect()) }
    }
}

impl<S> Layer<S> for MetricsLayer {
    type Service = Metrics<S>;

    fn layer(&self, inner: S) -> Metrics<S> {
        Metrics { inner, models: self.models.clone() }
    }
}

/// See [`MetricsLayer`].
#[derive(Clone, Debug)]
pub struct Metrics<S> {
    inner: S,
    models: Arc<HashSet<Box<str>>>,
}

impl<S, Q, B> Service<Request<Q>> for Metrics<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let trail = request.extensions_mut().get_or_insert_default::<Trail>().clone();
        let client = Endpoint::protocol_of(request.uri().path()).as_str();
        let in_flight = gauge!(names::IN_FLIGHT, "client" => client);
        in_flight.increment(1);
        let meter = Meter {
            client,
            trail,
            models: self.models.clone(),
            start: Instant::now(),
            first_byte: None,
            status: None,
            outcome: None,
            in_flight,
        };
        ResponseFuture { inner: self.inner.call(request), meter: Some(meter) }
    }
}

/// Measures one request; writes everything down when it is dropped, however the request ended.
struct Meter {
    client: &'static str,
    trail: Trail,
    models: Arc<HashSet<Box<str>>>,
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

impl Drop for Meter {
    fn drop(&mut self) {
        self.in_flight.decrement(1);
        let notes = self.trail.lock();
        // Only configured names become labels.
        let model = match &notes.model {
            Some(model) if self.models.contains(&**model) => model.to_string(),
            _ => "other".to_owned(),
        };
        let (client, outcome) = (self.client, self.outcome(&notes));
        let stream = if notes.stream { "true" } else { "false" };
        counter!(names::REQUESTS, "client" => client, "model" => model.clone(), "outcome" => outcome, "stream" => stream)
            .increment(1);
        let elapsed = self.start.elapsed().as_secs_f64();
        histogram!(names::REQUEST_DURATION, "client" => client, "model" => model.clone(), "stream" => stream)
            .record(elapsed);
        if let Some(first) = self.first_byte {
            histogram!(names::TIME_TO_FIRST_BYTE, "client" => client, "model" => model.clone(), "stream" => stream)
                .record(first.duration_since(self.start).as_secs_f64());
        }
        if notes.stream && outcome != "ok" && self.status == Some(200) {
            let side = if self.outcome.is_none() { "client" } else { "upstream" };
            counter!(names::STREAM_ABORTS, "side" => side).increment(1);
        }
        for (attempt, next) in
            notes.attempts.iter().zip(notes.attempts.iter().skip(1).map(Some).chain([None]))
        {
            let upstream = attempt.upstream.to_string();
            counter!(names::ATTEMPTS, "upstream" => upstream.clone(), "result" => attempt.outcome)
                .increment(1);
            histogram!(names::ATTEMPT_DURATION, "upstream" => upstream.clone())
                .record(attempt.duration.as_secs_f64());
            if let Some(next) = next {
                let to = next.upstream.to_string();
                counter!(names::FAILOVERS, "from" => upstream, "to" => to, "error_type" => attempt.outcome)
                    .increment(1);
            }
        }
        tokens(&notes, &model);
    }
}

fn tokens(notes: &Notes, model: &str) {
    let Some(served) = notes.attempts.last() else { return };
    let usage = &notes.usage;
    let kinds = [
        ("input", usage.input.map(|_| usage.fresh_input())),
        ("cache_read", usage.cache_read),
        ("cache_write_5m", usage.cache_write),
        ("cache_write_1h", usage.cache_write_1h),
        ("output", usage.output.map(|output| output.saturating_sub(usage.reasoning.unwrap_or(0)))),
        ("reasoning", usage.reasoning),
    ];
    for (kind, count) in kinds {
        if let Some(count @ 1..) = count {
            let (upstream, model) = (served.upstream.to_string(), model.to_owned());
            counter!(names::TOKENS, "kind" => kind, "source" => "reported", "upstream" => upstream, "model" => model)
                .increment(count);
        }
    }
}

pin_project! {
    /// Response future of [`Metrics`].
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        meter: Option<Meter>,
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("metrics::ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<ResponseBody<B>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let mut meter = this.meter.take();
        Poll::Ready(match result {
            Ok(response) => {
                if let Some(meter) = &mut meter {
                    meter.status = Some(response.status().as_u16());
                }
                Ok(response.map(|inner| ResponseBody { inner, meter }))
            }
            Err(error) => {
                if let Some(meter) = &mut meter {
                    meter.outcome = Some(Ended::Broken);
                }
                Err(error)
            }
        })
    }
}

pin_project! {
    /// Response body of [`Metrics`].
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        meter: Option<Meter>,
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("metrics::ResponseBody").finish_non_exhaustive()
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        if let Some(meter) = this.meter.as_mut() {
            let ended = match &frame {
                Some(Ok(_)) => {
                    meter.first_byte.get_or_insert_with(Instant::now);
                    this.inner.is_end_stream().then_some(Ended::Whole)
                }
                Some(Err(_)) => Some(Ended::Broken),
                None => Some(Ended::Whole),
            };
            if let Some(ended) = ended {
                meter.outcome = Some(ended);
                *this.meter = None;
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
