//! Limits how many requests are under way, each until the last byte of its answer.
//!
//! tower's `ConcurrencyLimit` gives its permit back with the response head; a stream is under way for
//! minutes after that. Waits when full: put tower's `LoadShed` around it to refuse instead.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::PollSemaphore;
use tower::{Layer, Service};

/// Lets at most so many requests through at once.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CollectLayer, InFlightLimitLayer};
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response};
/// use tower::load_shed::LoadShedLayer;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(LoadShedLayer::new())
///     .layer(InFlightLimitLayer::new(1))
///     .layer(CollectLayer::default())
///     .service(service_fn(|_: Request<Payload>| async { Ok::<_, Error>(Response::new(Body::from(b"hi".to_vec()))) }));
/// let ask = || Request::post("/v1/messages").body(r#"{"model":"m"}"#.to_owned()).unwrap();
/// let first = service.clone().oneshot(ask()).await.unwrap();
/// let refused = service.clone().oneshot(ask()).await.map_err(Error::from);
/// assert!(matches!(refused, Err(Error::Overloaded)), "the first answer has not been read yet");
/// drop(first);
/// assert!(service.oneshot(ask()).await.is_ok());
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct InFlightLimitLayer {
    semaphore: Arc<Semaphore>,
}

impl InFlightLimitLayer {
    /// At most `most` requests at once, over all services that this layer makes.
    #[must_use]
    pub fn new(most: usize) -> Self {
        InFlightLimitLayer { semaphore: Arc::new(Semaphore::new(most.min(Semaphore::MAX_PERMITS))) }
    }
}

impl<S> Layer<S> for InFlightLimitLayer {
    type Service = InFlightLimit<S>;

    fn layer(&self, inner: S) -> InFlightLimit<S> {
        InFlightLimit { inner, semaphore: PollSemaphore::new(self.semaphore.clone()), permit: None }
    }
}

/// See [`InFlightLimitLayer`].
pub struct InFlightLimit<S> {
    inner: S,
    semaphore: PollSemaphore,
    /// Taken by `poll_ready`, used by `call`.
    permit: Option<OwnedSemaphorePermit>,
}

impl<S: Clone> Clone for InFlightLimit<S> {
    /// The clone holds no permit.
    fn clone(&self) -> Self {
        InFlightLimit { inner: self.inner.clone(), semaphore: self.semaphore.clone(), permit: None }
    }
}

impl<S: fmt::Debug> fmt::Debug for InFlightLimit<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlightLimit").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for InFlightLimit<S>
where
    S: Service<Request<B>, Response = Response<R>>,
{
    type Response = Response<ResponseBody<R>>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if self.permit.is_none() {
            // The semaphore is never closed, so there is always a permit in the end.
            self.permit = ready!(self.semaphore.poll_acquire(cx));
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        ResponseFuture { inner: self.inner.call(request), permit: self.permit.take() }
    }
}

pin_project! {
    /// Response future of [`InFlightLimit`].
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        permit: Option<OwnedSemaphorePermit>,
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
{
    type Output = Result<Response<ResponseBody<R>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx))?;
        let permit = this.permit.take();
        Poll::Ready(Ok(response.map(|inner| ResponseBody { inner, permit })))
    }
}

pin_project! {
    /// Response body of [`InFlightLimit`]: gives the permit back when it is dropped.
    #[derive(Debug)]
    pub struct ResponseBody<B> {
        #[pin]
        inner: B,
        permit: Option<OwnedSemaphorePermit>,
    }
}

impl<B: Body> Body for ResponseBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        self.project().inner.poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
