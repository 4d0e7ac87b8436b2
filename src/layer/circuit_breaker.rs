//! Asks whether an upstream may be called, and tells its health how that went.
//!
//! *Closed* is healthy; *open* rests; *half-open* has its one probe under way. Only the upstream's own faults count (see
//! [`Error::scope`]): no sequence of callers' mistakes opens or closes anything. A stream that breaks after it began counts;
//! a client that leaves counts nothing. An upstream whose keys all rest is not called either.
//!
//! Outside everything that talks to the upstream, so that all its failures pass here; inside the pool,
//! which asks it before calling. No task and no timer: "open" is a comparison.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt as _;
use http_body_util::combinators::MapErr;
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::balance::{Eligibility, Eligible};
use super::health::{BreakerPolicy, Health, Permit, Watched};
use super::inspect::{Inspect, InspectBody};
use super::trail::Unasked;
use crate::error::{BoxError, Error};
use crate::payload::Payload;

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
    health: Health,
}

impl CircuitBreakerLayer {
    /// For an upstream without keys that rest by themselves.
    #[must_use]
    pub fn new(policy: BreakerPolicy) -> Self {
        CircuitBreakerLayer::of(Health::new(Watched { policy, ..Watched::default() }))
    }

    /// For an upstream with this health.
    #[must_use]
    pub fn of(health: Health) -> Self {
        CircuitBreakerLayer { health }
    }

    /// To see its state, or to end a rest by hand.
    #[must_use]
    pub fn health(&self) -> Health {
        self.health.clone()
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
        CircuitBreaker { inner, health: self.health.clone() }
    }
}

/// See [`CircuitBreakerLayer`].
#[derive(Clone, Debug)]
pub struct CircuitBreaker<S> {
    inner: S,
    health: Health,
}

impl<S: Eligible<Request<Payload>>> Eligible<Request<Payload>> for CircuitBreaker<S> {
    fn eligibility(&self, request: &Request<Payload>, now: Instant) -> Eligibility {
        match self.health.rests_until(request.body().model(), now) {
            None => self.inner.eligibility(request, now),
            until => Eligibility::Unavailable { until },
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
        let now = Instant::now();
        match self.health.admit(request.body().shared_model(), now) {
            Ok(permit) => ResponseFuture::Calling { inner: self.inner.call(request), permit: Some(permit) },
            Err(until) => {
                let retry_after = Some(until.saturating_duration_since(now));
                ResponseFuture::Refused { error: Some(Error::Unavailable { retry_after }) }
            }
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
    B::Error: Into<BoxError>,
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
                    let mut permit =
                        permit.take().filter(|_| response.extensions().get::<Unasked>().is_none());
                    // Others need not wait for the end of a probe's answer.
                    if let Some(permit) = &mut permit {
                        permit.begun();
                    }
                    Poll::Ready(Ok(response.map(|body| {
                        let to_error: fn(B::Error) -> Error = Error::of;
                        InspectBody::new(body.map_err(to_error), permit.map(Judge))
                    })))
                }
                Err(error) => {
                    let error = error.into();
                    if let Some(permit) = permit.take() {
                        permit.failure(&error);
                    }
                    Poll::Ready(Err(error))
                }
            },
        }
    }
}

/// Response body of [`CircuitBreaker`]: tells the breaker how it ended.
pub type ResponseBody<B> = InspectBody<MapErr<B, fn(<B as Body>::Error) -> Error>, Judge>;

/// Tells the breaker how an answer ended.
pub struct Judge(Permit);

impl fmt::Debug for Judge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Judge").finish_non_exhaustive()
    }
}

impl Inspect<Error> for Judge {
    fn end(self, outcome: Result<(), &Error>) {
        match outcome {
            Ok(()) => self.0.success(),
            Err(error) => self.0.failure(error),
        }
    }
}
