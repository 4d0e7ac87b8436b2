//! Lets an upstream rest for a model after failures in a row, then lets one probe through.
//!
//! *Closed* is healthy; *open* rests; *half-open* has its one probe under way. State is per upstream ×
//! model. Only the upstream's own faults count (see [`Error::fault`]): no sequence of callers' mistakes
//! ever opens a breaker. A stream that breaks after it began counts; a client that leaves counts
//! nothing.
//!
//! Outside everything that talks to the upstream, so that all its failures pass here; inside the pool,
//! which asks it before calling. No task and no timer: "open" is a comparison.

mod state;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::balance::{Eligibility, Eligible};
use super::metrics::names;
use super::trail::Unasked;
use crate::error::{BoxError, Error, Fault};
use crate::payload::Payload;
use crate::protocol::canonical::FaultKind;

use state::{Admission, Breakers};
pub use state::{BreakerPolicy, BreakerState};

/// Puts a circuit breaker in front of one upstream. Every service made by one `CircuitBreakerLayer`
/// shares its state.
///
/// # Errors
///
/// [`Error::Unavailable`] while it rests.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CircuitBreakerLayer, CollectLayer};
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(CircuitBreakerLayer::default())
///     .service(service_fn(|_: Request<Payload>| async { Err::<Response<Body>, _>(Error::codec("broken")) }));
/// let ask = || Request::post("/v1/messages").body(r#"{"model":"m"}"#.to_owned()).unwrap();
/// for _ in 0..3 {
///     assert!(matches!(service.clone().oneshot(ask()).await, Err(Error::Codec(_))));
/// }
/// assert!(matches!(service.oneshot(ask()).await, Err(Error::Unavailable { .. })));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct CircuitBreakerLayer {
    breaker: BreakerHandle,
}

impl CircuitBreakerLayer {
    /// A closed breaker.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        CircuitBreakerLayer { breaker: BreakerHandle::new("", policy) }
    }

    /// Names the upstream, for metrics and logs.
    #[must_use]
    pub fn named(self, upstream: impl Into<Arc<str>>) -> Self {
        let policy = self.breaker.shared.policy;
        CircuitBreakerLayer { breaker: BreakerHandle::new(upstream, policy) }
    }

    /// To see its state, or to end a rest by hand.
    #[must_use]
    pub fn handle(&self) -> BreakerHandle {
        self.breaker.clone()
    }
}

impl Default for CircuitBreakerLayer {
    /// Three failures in a row, 30 minutes.
    fn default() -> Self {
        CircuitBreakerLayer::new(BreakerPolicy::default())
    }
}

impl<S> Layer<S> for CircuitBreakerLayer {
    type Service = CircuitBreaker<S>;

    fn layer(&self, inner: S) -> CircuitBreaker<S> {
        CircuitBreaker { inner, breaker: self.breaker.clone() }
    }
}

/// A breaker's state, shared by its services and whoever looks at it.
#[derive(Clone)]
pub struct BreakerHandle {
    shared: Arc<Shared>,
}

struct Shared {
    upstream: Arc<str>,
    policy: BreakerPolicy,
    breakers: Mutex<Breakers>,
}

/// One model that has had failures.
#[derive(Clone, Debug)]
pub struct BreakerReport {
    /// The model as clients call it.
    pub model: Arc<str>,
    /// Closed with failures, open, or half-open.
    pub state: BreakerState,
    /// The `error_type` of the last failure.
    pub reason: &'static str,
}

impl BreakerHandle {
    fn new(upstream: impl Into<Arc<str>>, policy: BreakerPolicy) -> Self {
        let shared =
            Shared { upstream: upstream.into(), policy, breakers: Mutex::new(Breakers::new(policy)) };
        BreakerHandle { shared: Arc::new(shared) }
    }

    fn lock(&self) -> MutexGuard<'_, Breakers> {
        self.shared.breakers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The models that have had failures; a healthy one is not listed.
    #[must_use]
    pub fn report(&self) -> Vec<BreakerReport> {
        let mut report: Vec<BreakerReport> = self
            .lock()
            .iter()
            .map(|(model, state, reason)| BreakerReport { model: model.clone(), state, reason })
            .collect();
        report.sort_by(|a, b| a.model.cmp(&b.model));
        report
    }

    /// Ends every rest now, or that of one model.
    pub fn reset(&self, model: Option<&str>) {
        self.lock().reset(model);
        self.publish();
    }

    /// Writes the state gauge: the worst state of any model.
    fn publish(&self) {
        if self.shared.upstream.is_empty() {
            return;
        }
        let worst = self
            .lock()
            .iter()
            .map(|(_, state, _)| match state {
                BreakerState::Closed { .. } => 0u8,
                BreakerState::HalfOpen => 1,
                BreakerState::Open { .. } => 2,
            })
            .max();
        metrics::gauge!(names::BREAKER_STATE, "upstream" => self.shared.upstream.to_string())
            .set(f64::from(worst.unwrap_or(0)));
    }
}

impl fmt::Debug for BreakerHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BreakerHandle").field("upstream", &self.shared.upstream).finish_non_exhaustive()
    }
}

/// The right to call, and the duty to say how it went. Dropped unused, it counts nothing.
struct Permit {
    breaker: BreakerHandle,
    model: Arc<str>,
    admission: Admission,
    done: bool,
}

impl Permit {
    fn success(&mut self) {
        if !std::mem::replace(&mut self.done, true) {
            self.breaker.lock().success(&self.model, self.admission);
            if self.admission == Admission::Probe {
                tracing::info!(
                    upstream = &*self.breaker.shared.upstream,
                    model = &*self.model,
                    "circuit closed"
                );
                self.breaker.publish();
            }
        }
    }

    /// Only the upstream's own fault counts against it.
    fn failure(&mut self, error: &Error) {
        match error.fault() {
            Fault::Upstream => self.count(error),
            // A probe that was judged was answered: the upstream is there.
            Fault::Caller if self.admission == Admission::Probe && matches!(error, Error::Upstream(_)) => {
                self.success();
            }
            Fault::Caller | Fault::Gateway => {}
        }
    }

    fn count(&mut self, error: &Error) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        let rest = match error {
            Error::Upstream(answer) if answer.view.kind == FaultKind::RateLimit => answer.view.retry_after,
            _ => None,
        };
        let reason = error.error_type();
        let opened = self.breaker.lock().failure(&self.model, self.admission, Instant::now(), reason, rest);
        if opened {
            let upstream = &self.breaker.shared.upstream;
            tracing::warn!(upstream = &**upstream, model = &*self.model, reason, "circuit opened");
            if !upstream.is_empty() {
                metrics::counter!(names::BREAKER_TRANSITIONS, "upstream" => upstream.to_string(), "reason" => reason)
                    .increment(1);
            }
            self.breaker.publish();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.done {
            self.breaker.lock().release(&self.model, self.admission, Instant::now());
        }
    }
}

/// See [`CircuitBreakerLayer`].
#[derive(Clone, Debug)]
pub struct CircuitBreaker<S> {
    inner: S,
    breaker: BreakerHandle,
}

impl<S: Eligible<Request<Payload>>> Eligible<Request<Payload>> for CircuitBreaker<S> {
    fn eligibility(&self, request: &Request<Payload>, now: Instant) -> Eligibility {
        match self.breaker.lock().eligibility(request.body().model(), now) {
            Eligibility::Yes => self.inner.eligibility(request, now),
            resting => resting,
        }
    }
}

impl<S, B> Service<Request<Payload>> for CircuitBreaker<S>
where
    S: Service<Request<Payload>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let model = request.body().model();
        let now = Instant::now();
        let admitted = self.breaker.lock().admit(model, now);
        match admitted {
            Ok(admission) => {
                let permit =
                    Permit { breaker: self.breaker.clone(), model: Arc::from(model), admission, done: false };
                ResponseFuture::Calling { inner: self.inner.call(request), permit: Some(permit) }
            }
            Err(until) => ResponseFuture::Refused {
                error: Some(Error::Unavailable {
                    retry_after: until.map(|until| until.saturating_duration_since(now)),
                }),
            },
        }
    }
}

pin_project! {
    /// Response future of [`CircuitBreaker`].
    #[project = ResponseFutureProj]
    pub enum ResponseFuture<F> {
        #[doc(hidden)]
        Calling { #[pin] inner: F, permit: Option<Permit> },
        #[doc(hidden)]
        Refused { error: Option<Error> },
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("circuit_breaker::ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Error>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<ResponseBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project() {
            ResponseFutureProj::Refused { error } => {
                Poll::Ready(Err(error.take().unwrap_or(Error::Unavailable { retry_after: None })))
            }
            ResponseFutureProj::Calling { inner, permit } => match ready!(inner.poll(cx)) {
                Ok(response) => {
                    // An answer that the upstream did not give tells nothing about it.
                    let permit = permit.take().filter(|_| response.extensions().get::<Unasked>().is_none());
                    Poll::Ready(Ok(response.map(|body| {
                        let mut body = ResponseBody { inner: body, permit };
                        body.settle_if_ended();
                        body
                    })))
                }
                Err(error) => {
                    let error = error.into();
                    if let Some(mut permit) = permit.take() {
                        permit.failure(&error);
                    }
                    Poll::Ready(Err(error))
                }
            },
        }
    }
}

pin_project! {
    /// Response body of [`CircuitBreaker`]: tells the breaker how it ended.
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        permit: Option<Permit>,
    }
}

impl<B: Body> ResponseBody<B> {
    fn settle_if_ended(&mut self) {
        if self.inner.is_end_stream()
            && let Some(mut permit) = self.permit.take()
        {
            permit.success();
        }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("circuit_breaker::ResponseBody").finish_non_exhaustive()
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx)).map(|frame| frame.map_err(Error::of));
        let ended = match &frame {
            Some(Ok(_)) => this.inner.is_end_stream(),
            Some(Err(error)) => {
                if let Some(mut permit) = this.permit.take() {
                    permit.failure(error);
                }
                false
            }
            None => true,
        };
        // The consumer may not poll again after the last frame.
        if ended && let Some(mut permit) = this.permit.take() {
            permit.success();
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
