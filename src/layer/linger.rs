//! An answer that is there before the request has been sent waits for the rest of it, which is thrown away.
//!
//! Clients write their request to its end before they read. Whose connection is closed while he writes sees a broken pipe,
//! tries again, and never learns that his key is wrong or his request too large. Servers know it as lingering: bounded
//! here in bytes, in time, and in silence.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Buf;
use http::{Request, Response, StatusCode, Version, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::silence::Silence;

/// Lets clients finish writing what nobody reads, before they are answered.
///
/// Who asks first whether to send (`expect: 100-continue`) and has not begun is answered at once, and so are HTTP/2, where
/// answers overtake requests, requests that are too large to be waited for, and those that were too slow (408).
///
/// # Cancel safety
///
/// Nothing is kept: what is dropped closes the connection.
///
/// # Example
///
/// ```
/// use aiproxy::layer::LingerLayer;
/// use aiproxy::layer::linger::LingerBody;
/// use http::{Request, Response};
/// use std::convert::Infallible;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(LingerLayer::new())
///     .service(service_fn(|_unread: Request<LingerBody<String>>| async {
///         Ok::<_, Infallible>(Response::builder().status(401).body("no").unwrap())
///     }));
/// let response = service.oneshot(Request::post("/").body("a long request".to_owned()).unwrap()).await.unwrap();
/// assert_eq!(response.status(), 401);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct LingerLayer {
    limit: u64,
    time: Duration,
    silence: Duration,
}

impl LingerLayer {
    /// 256 MiB, 30 seconds, and 2 seconds without a byte.
    #[must_use]
    pub fn new() -> Self {
        LingerLayer { limit: 256 << 20, time: Duration::from_secs(30), silence: Duration::from_secs(2) }
    }

    /// Reads and throws away at most so many bytes.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Answers after this time in any case.
    #[must_use]
    pub fn time(mut self, most: Duration) -> Self {
        self.time = most;
        self
    }

    /// Answers when nothing has come for so long: the client may be waiting, too.
    #[must_use]
    pub fn silence(mut self, most: Duration) -> Self {
        self.silence = most;
        self
    }
}

impl Default for LingerLayer {
    fn default() -> Self {
        LingerLayer::new()
    }
}

impl<S> Layer<S> for LingerLayer {
    type Service = Linger<S>;

    fn layer(&self, inner: S) -> Linger<S> {
        Linger { inner, settings: *self }
    }
}

/// See [`LingerLayer`].
#[derive(Clone, Debug)]
pub struct Linger<S> {
    inner: S,
    settings: LingerLayer,
}

impl<S, Q, B> Service<Request<Q>> for Linger<S>
where
    S: Service<Request<LingerBody<Q>>, Response = Response<B>>,
    Q: Body + Unpin,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future, Q, S::Response, S::Error>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let waits_for_word = request.headers().contains_key(header::EXPECT);
        let is_kept = request.version() < Version::HTTP_2 && !request.body().is_end_stream();
        let unread = is_kept.then(|| Arc::new(Mutex::new(None)));
        let request =
            request.map(|inner| LingerBody { inner: Some(inner), unread: unread.clone(), waits_for_word });
        ResponseFuture { inner: Some(self.inner.call(request)), unread, settings: self.settings, rest: None }
    }
}

/// What a request leaves of its body.
type Unread<Q> = Arc<Mutex<Option<Q>>>;

/// A request body; what is left of it when it is dropped is read by [`Linger`].
pub struct LingerBody<Q: Body + Unpin> {
    /// `None` after its end.
    inner: Option<Q>,
    unread: Option<Unread<Q>>,
    /// The client sends nothing before it is told to, which reading does.
    waits_for_word: bool,
}

impl<Q: Body + Unpin> fmt::Debug for LingerBody<Q> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LingerBody").finish_non_exhaustive()
    }
}

impl<Q: Body + Unpin> Body for LingerBody<Q> {
    type Data = Q::Data;
    type Error = Q::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Q::Data>, Q::Error>>> {
        self.waits_for_word = false;
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(inner).poll_frame(cx));
        if !matches!(frame, Some(Ok(_))) {
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<Q: Body + Unpin> Drop for LingerBody<Q> {
    fn drop(&mut self) {
        if let Some(inner) = self.inner.take().filter(|inner| !inner.is_end_stream())
            && let Some(unread) = self.unread.take()
            && !self.waits_for_word
        {
            *unread.lock().unwrap_or_else(PoisonError::into_inner) = Some(inner);
        }
    }
}

pin_project! {
    /// Response future of [`Linger`].
    pub struct ResponseFuture<F, Q, R, E> {
        // `None` when it has answered: it may hold a body of which it has read a part.
        #[pin]
        inner: Option<F>,
        unread: Option<Unread<Q>>,
        settings: LingerLayer,
        rest: Option<Box<Rest<Q, Result<R, E>>>>,
    }
}

/// The rest of a request, and what is to be answered after it.
struct Rest<Q, T> {
    body: Q,
    /// Bytes that are still read.
    left: u64,
    silence: Silence,
    time: Silence,
    outcome: Option<T>,
}

impl<Q: Body + Unpin, T> Rest<Q, T> {
    /// Ready at the end of the request, or where waiting for it ends.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) {
            self.silence.end();
            let Some(Ok(frame)) = frame else { return Poll::Ready(()) };
            let bytes = frame.data_ref().map_or(0, Buf::remaining) as u64;
            if bytes > self.left {
                return Poll::Ready(());
            }
            self.left -= bytes;
        }
        if self.silence.poll(cx).is_ready() || self.time.poll(cx).is_ready() {
            return Poll::Ready(());
        }
        Poll::Pending
    }
}

impl<F, Q, R, E> fmt::Debug for ResponseFuture<F, Q, R, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("linger::ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, Q, B, E> Future for ResponseFuture<F, Q, Response<B>, E>
where
    F: Future<Output = Result<Response<B>, E>>,
    Q: Body + Unpin,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        if let Some(inner) = this.inner.as_mut().as_pin_mut() {
            let outcome = ready!(inner.poll(cx));
            this.inner.set(None);
            let settings = *this.settings;
            let is_slow =
                matches!(&outcome, Ok(response) if response.status() == StatusCode::REQUEST_TIMEOUT);
            let body = this.unread.take().and_then(taken).filter(|body| {
                // There is no end of it to wait for.
                !is_slow && body.size_hint().lower() <= settings.limit
            });
            let Some(body) = body else { return Poll::Ready(outcome) };
            *this.rest = Some(Box::new(Rest {
                body,
                left: settings.limit,
                silence: Silence::new(Some(settings.silence)),
                time: Silence::started(Some(settings.time)),
                outcome: Some(outcome),
            }));
        }
        let Some(rest) = this.rest else { return Poll::Pending };
        ready!(rest.poll(cx));
        rest.outcome.take().map_or(Poll::Pending, Poll::Ready)
    }
}

fn taken<Q>(unread: Unread<Q>) -> Option<Q> {
    unread.lock().unwrap_or_else(PoisonError::into_inner).take()
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use http_body_util::{BodyExt as _, Channel, Empty};
    use tokio::time::Instant;
    use tower::{ServiceExt as _, service_fn};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    type Sender = http_body_util::channel::Sender<Bytes>;

    /// A request whose body its sender is still writing.
    fn unfinished() -> (Sender, Request<Channel<Bytes>>) {
        let (sender, body) = Channel::new(1);
        (sender, Request::post("/").body(body).unwrap())
    }

    /// Answers with this status, and reads so many pieces before.
    async fn answered(
        layer: LingerLayer,
        status: u16,
        reads: usize,
        request: Request<Channel<Bytes>>,
    ) -> Duration {
        let start = Instant::now();
        let service =
            layer.layer(service_fn(move |request: Request<LingerBody<Channel<Bytes>>>| async move {
                let mut body = request.into_body();
                for _ in 0..reads {
                    body.frame().await;
                }
                Ok::<_, Infallible>(Response::builder().status(status).body(Empty::<Bytes>::new()).unwrap())
            }));
        let response = service.oneshot(request).await.unwrap();
        assert_eq!(response.status(), status);
        start.elapsed()
    }

    /// Writes a piece a second, so many, and then ends.
    async fn write(mut sender: Sender, pieces: usize) -> usize {
        for sent in 0..pieces {
            tokio::time::sleep(SECOND).await;
            if sender.send_data(Bytes::from_static(&[b'x'; 1000])).await.is_err() {
                return sent;
            }
        }
        pieces
    }

    #[tokio::test(start_paused = true)]
    async fn who_still_writes_may_finish_before_he_is_answered() {
        for reads in [0, 3] {
            let (sender, request) = unfinished();
            let (took, sent) =
                tokio::join!(answered(LingerLayer::new(), 401, reads, request), write(sender, 10));
            assert_eq!((took, sent), (10 * SECOND, 10), "{reads} read");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn it_waits_for_what_is_in_bounds_only() {
        let bounds = [
            (LingerLayer::new().limit(4_500), 5, "bytes"),
            (LingerLayer::new().time(7 * SECOND + SECOND / 2), 7, "time"),
        ];
        for (layer, seconds, what) in bounds {
            let (sender, request) = unfinished();
            let (took, sent) = tokio::join!(answered(layer, 413, 0, request), write(sender, 100));
            assert_eq!(took.as_secs(), seconds, "{what}");
            assert!(sent < 10, "{what}: {sent} sent");
        }
        // Who has stopped writing may be waiting himself.
        let (_sender, request) = unfinished();
        assert_eq!(answered(LingerLayer::new(), 503, 0, request).await, 2 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_not_writing_is_answered_at_once() {
        // Whose body was too slow in coming.
        let (_sender, request) = unfinished();
        assert_eq!(answered(LingerLayer::new(), 408, 0, request).await, Duration::ZERO);
        // Who asks first, and was not told to go on.
        let (_sender, mut request) = unfinished();
        request.headers_mut().insert(header::EXPECT, "100-continue".parse().unwrap());
        assert_eq!(answered(LingerLayer::new(), 401, 0, request).await, Duration::ZERO);
        // HTTP/2 tells him to stop.
        let (_sender, mut request) = unfinished();
        *request.version_mut() = Version::HTTP_2;
        assert_eq!(answered(LingerLayer::new(), 401, 0, request).await, Duration::ZERO);
        // Who was told to go on is writing.
        let (sender, mut request) = unfinished();
        request.headers_mut().insert(header::EXPECT, "100-continue".parse().unwrap());
        let (took, _) = tokio::join!(answered(LingerLayer::new(), 413, 1, request), write(sender, 5));
        assert_eq!(took, 5 * SECOND);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_read_to_its_end_costs_no_time() {
        let (sender, request) = unfinished();
        let (took, _) = tokio::join!(answered(LingerLayer::new(), 200, 6, request), write(sender, 5));
        assert_eq!(took, 5 * SECOND);
        // A client that leaves is not waited for.
        let (sender, request) = unfinished();
        drop(sender);
        assert_eq!(answered(LingerLayer::new(), 401, 0, request).await, Duration::ZERO);
    }
}
