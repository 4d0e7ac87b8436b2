//! Clocks on one attempt at one upstream: time to the head of its answer, time between two pieces.
//!
//! Innermost, so that every attempt and every key has clocks of its own and a slow upstream fails over.
//! Silence counts from when somebody waits for more: a client that reads slowly is no fault of the upstream.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::{Layer, Service};

use crate::closing::{Closing, Watch};
use crate::error::{BoxError, Clock, Error};
use crate::headers;
use crate::layer::metrics::names;
use crate::silence::Silence;

/// Bounds the time to the response head and the silence in a body.
///
/// # Errors
///
/// [`Error::Timeout`] as the result, or as the end of the body.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use aiproxy::{Body, Error};
/// use aiproxy::layer::StreamTimeoutLayer;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(StreamTimeoutLayer::new().head(Duration::from_secs(5)))
///     .service(service_fn(|_: Request<()>| std::future::pending::<Result<Response<Body>, Error>>()));
/// assert!(matches!(service.oneshot(Request::new(())).await, Err(Error::Timeout(_))));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct StreamTimeoutLayer {
    head: Option<Duration>,
    idle: Option<Duration>,
    closing: Closing,
}

impl StreamTimeoutLayer {
    /// No bounds.
    #[must_use]
    pub fn new() -> Self {
        StreamTimeoutLayer::default()
    }

    /// Most time to the response head. For an answer that is not streamed that is the whole
    /// generation.
    #[must_use]
    pub fn head(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.head = most.into();
        self
    }

    /// Longest silence in a body.
    #[must_use]
    pub fn idle(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.idle = most.into();
        self
    }

    /// The end of all time: answers that are waited for end in [`Error::Stopping`] then. Default: none.
    #[must_use]
    pub fn closing(mut self, closing: Closing) -> Self {
        self.closing = closing;
        self
    }
}

impl<S> Layer<S> for StreamTimeoutLayer {
    type Service = StreamTimeout<S>;

    fn layer(&self, inner: S) -> StreamTimeout<S> {
        StreamTimeout { inner, clocks: self.clone() }
    }
}

/// See [`StreamTimeoutLayer`].
#[derive(Clone, Debug)]
pub struct StreamTimeout<S> {
    inner: S,
    clocks: StreamTimeoutLayer,
}

impl<S, Q, B> Service<Request<Q>> for StreamTimeout<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<Error>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let StreamTimeoutLayer { head, idle, ref closing } = self.clocks;
        let begun = Instant::now();
        ResponseFuture {
            inner: self.inner.call(request),
            alarm: sleep_until(begun + head.map_or(SOON, |head| head.min(SOON))),
            head: head.map(|head| begun + head),
            idle,
            closing: closing.watch(),
            is_soon: true,
        }
    }
}

/// Most answers have begun by then, and need not be told of the end of all time.
const SOON: Duration = Duration::from_millis(50);

/// In practice never.
const LATE: Duration = Duration::from_secs(365 * 24 * 60 * 60);

pin_project! {
    /// Response future of [`StreamTimeout`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        #[pin]
        alarm: Sleep,
        head: Option<Instant>,
        idle: Option<Duration>,
        closing: Watch,
        is_soon: bool,
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Error>,
{
    type Output = Result<Response<ResponseBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Poll::Ready(result) = this.inner.poll(cx) {
            return Poll::Ready(result.map_err(Into::into).map(|response| {
                // A document that has begun is soon whole.
                let is_stream = headers::is_event_stream(response.headers());
                let closing = is_stream.then(|| this.closing.again());
                let silence = Silence::new(*this.idle);
                response.map(|inner| ResponseBody { inner, silence, closing })
            }));
        }
        loop {
            if !*this.is_soon && this.closing.poll(cx).is_ready() {
                return Poll::Ready(Err(Error::Stopping));
            }
            ready!(this.alarm.as_mut().poll(cx));
            if !std::mem::take(this.is_soon) {
                return Poll::Ready(Err(Error::Timeout(Clock::Head)));
            }
            let head = this.head.unwrap_or_else(|| Instant::now() + LATE);
            this.alarm.as_mut().reset(head);
        }
    }
}

pin_project! {
    /// Response body of [`StreamTimeout`].
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        silence: Silence,
        closing: Option<Watch>,
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
        let this = self.project();
        if let Poll::Ready(frame) = this.inner.poll_frame(cx) {
            this.silence.end();
            return Poll::Ready(frame.map(|frame| frame.map_err(Error::of)));
        }
        if this.closing.as_mut().is_some_and(|closing| closing.poll(cx).is_ready()) {
            return Poll::Ready(Some(Err(Error::Stopping)));
        }
        ready!(this.silence.poll(cx));
        metrics::counter!(names::STREAM_STALLS, "stage" => "idle").increment(1);
        Poll::Ready(Some(Err(Error::Timeout(Clock::Idle))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, StreamBody};
    use tower::{ServiceExt, service_fn};

    #[tokio::test(start_paused = true)]
    async fn a_silent_stream_ends_in_an_error_and_a_slow_one_does_not() {
        let frames = futures_util::stream::unfold(0u64, |n| async move {
            // The third gap is too long.
            tokio::time::sleep(Duration::from_secs(if n == 2 { 60 } else { 9 })).await;
            Some((Ok::<_, Error>(Frame::data(Bytes::from_static(b"x"))), n + 1))
        });
        let mut frames = Some(StreamBody::new(Box::pin(frames)));
        let service = StreamTimeoutLayer::new().idle(Duration::from_secs(10)).layer(service_fn(
            move |_: Request<()>| std::future::ready(Ok::<_, Error>(Response::new(frames.take().unwrap()))),
        ));
        let mut body = Box::pin(service.oneshot(Request::new(())).await.unwrap().into_body());
        assert!(body.frame().await.unwrap().is_ok());
        assert!(body.frame().await.unwrap().is_ok());
        assert!(matches!(body.frame().await, Some(Err(Error::Timeout(Clock::Idle)))));
    }
}
