//! Keeps a client that wants a stream from hanging up while its answer is long in coming.
//!
//! Outside of failover, because only there "still choosing" is one future. If that takes longer than a grace, the
//! response head goes out with a body that gives signs of life, and becomes the answer when there is one: failover
//! stays possible all the while. If every upstream fails after that, the stream ends in the error that
//! [`Respond`](super::Respond) writes for its client; before, a failure is a plain HTTP error.
//!
//! Also within an answer no silence lasts longer than the interval. That hides no dead upstream: other clocks count
//! its silence, and end it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, header};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::metrics::names;
use crate::error::{BoxError, Error};
use crate::headers;
use crate::payload::Payload;
use crate::protocol::{self, Operation, Protocol};
use crate::silence::Silence;

/// Sends a head and signs of life to streaming clients whose answer is long in coming.
///
/// What an answer says in its headers is lost to a client that had to be kept alive: its head has gone already. Warnings
/// and the name of a fallback model then come as comments, where the client's protocol bears them.
///
/// # Errors
///
/// Those of the inner service: as the result before the grace is over, as the end of the body after it.
///
/// # Cancel safety
///
/// Dropping the future, or the body, drops the inner call.
///
/// # Example
///
/// ```
/// use std::time::Duration;
/// use aiproxy::layer::{CollectLayer, KeepAliveLayer, RespondLayer};
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response};
/// use http_body_util::BodyExt;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread", start_paused = true)] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(RespondLayer::new())
///     .layer(CollectLayer::default())
///     .layer(KeepAliveLayer::new().grace(Duration::from_secs(5)))
///     .service(service_fn(|_: Request<Payload>| async {
///         tokio::time::sleep(Duration::from_secs(6)).await;
///         let events = Body::from(b"data: [DONE]\n\n".to_vec());
///         Ok::<_, Error>(Response::builder().header("content-type", "text/event-stream").body(events).unwrap())
///     }));
/// let request = Request::post("/v1/chat/completions").body(r#"{"model":"m","stream":true}"#.to_owned()).unwrap();
/// let body = service.oneshot(request).await.unwrap().into_body().collect().await.unwrap().to_bytes();
/// assert_eq!(body, ": ka\n\ndata: [DONE]\n\n");
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeepAliveLayer {
    // None: nobody is kept alive.
    grace: Option<Duration>,
    interval: Duration,
}

impl KeepAliveLayer {
    /// A grace of 10 seconds, and signs of life after 15 seconds of silence.
    #[must_use]
    pub fn new() -> Self {
        KeepAliveLayer { grace: Some(Duration::from_secs(10)), interval: Duration::from_secs(15) }
    }

    /// No signs of life.
    #[must_use]
    pub fn none() -> Self {
        KeepAliveLayer { grace: None, ..KeepAliveLayer::new() }
    }

    /// How long the beginning of an answer is waited for before the head goes out. Default: 10 s.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = Some(grace);
        self
    }

    /// The longest silence. Default: 15 s, which the clients that wait the shortest bear.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }
}

impl Default for KeepAliveLayer {
    fn default() -> Self {
        KeepAliveLayer::new()
    }
}

impl<S> Layer<S> for KeepAliveLayer {
    type Service = KeepAlive<S>;

    fn layer(&self, inner: S) -> KeepAlive<S> {
        KeepAlive { inner, settings: *self }
    }
}

/// See [`KeepAliveLayer`].
#[derive(Clone, Debug)]
pub struct KeepAlive<S> {
    inner: S,
    settings: KeepAliveLayer,
}

impl<S, B> Service<Request<Payload>> for KeepAlive<S>
where
    S: Service<Request<Payload>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S::Future, B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let payload = request.body();
        let is_stream = payload.stream() && payload.operation() == Operation::Generate;
        let Some(grace) = self.settings.grace.filter(|_| is_stream) else {
            return ResponseFuture::Pass { inner: self.inner.call(request) };
        };
        let signs = protocol::KeepAlive::new(payload.protocol());
        let alive = Alive { signs, interval: self.settings.interval, silence: Silence::started(Some(grace)) };
        ResponseFuture::Keep { inner: Some(Box::pin(self.inner.call(request))), alive: Some(Box::new(alive)) }
    }
}

/// How a client is kept alive.
#[doc(hidden)]
#[derive(Debug)]
pub struct Alive {
    signs: protocol::KeepAlive,
    interval: Duration,
    // The grace at first.
    silence: Silence,
}

pin_project! {
    /// Response future of [`KeepAlive`].
    #[project = ResponseFutureProj]
    pub enum ResponseFuture<F> {
        /// The client wants no stream.
        #[doc(hidden)]
        Pass { #[pin] inner: F },
        // Boxed because it moves into the body when the grace is over.
        #[doc(hidden)]
        Keep { inner: Option<Pin<Box<F>>>, alive: Option<Box<Alive>> },
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("keep_alive::ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<F, B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (inner, alive) = match self.project() {
            ResponseFutureProj::Pass { inner } => {
                let response = ready!(inner.poll(cx)).map_err(Into::into)?;
                return Poll::Ready(Ok(response.map(|inner| ResponseBody::answer(inner, None))));
            }
            ResponseFutureProj::Keep { inner, alive } => (inner, alive),
        };
        let (Some(choosing), Some(waiting)) = (&mut *inner, &mut *alive) else { return Poll::Pending };
        if let Poll::Ready(outcome) = choosing.as_mut().poll(cx) {
            *inner = None;
            let response = outcome.map_err(Into::into)?;
            let alive = alive.take().filter(|_| headers::is_event_stream(response.headers()));
            return Poll::Ready(Ok(response.map(|inner| ResponseBody::answer(inner, alive))));
        }
        ready!(waiting.silence.poll(cx));
        let mut response = Response::new(ResponseBody::choosing(inner.take(), alive.take()));
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
        Poll::Ready(Ok(response))
    }
}

pin_project! {
    /// Response body of [`KeepAlive`].
    pub struct ResponseBody<F, B> {
        // While nobody has begun to answer.
        choosing: Option<Pin<Box<F>>>,
        #[pin]
        inner: Option<B>,
        // None: it passes as it is. Boxed because documents have none, and everybody moves it about.
        alive: Option<Box<Alive>>,
    }
}

impl<F, B> ResponseBody<F, B> {
    fn answer(inner: B, mut alive: Option<Box<Alive>>) -> Self {
        if let Some(alive) = &mut alive {
            alive.silence = Silence::new(Some(alive.interval));
        }
        ResponseBody { choosing: None, inner: Some(inner), alive }
    }

    fn choosing(future: Option<Pin<Box<F>>>, mut alive: Option<Box<Alive>>) -> Self {
        if let Some(alive) = &mut alive {
            // The first sign of life is due already.
            alive.silence = Silence::new(Some(Duration::ZERO));
        }
        ResponseBody { choosing: future, inner: None, alive }
    }
}

impl<F, B> fmt::Debug for ResponseBody<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("keep_alive::ResponseBody")
            .field("is_choosing", &self.choosing.is_some())
            .finish_non_exhaustive()
    }
}

impl<F, B, E> Body for ResponseBody<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut this = self.project();
        if let Some(choosing) = this.choosing
            && let Poll::Ready(outcome) = choosing.as_mut().poll(cx)
        {
            *this.choosing = None;
            let response = match outcome.map_err(Into::into) {
                Ok(response) if headers::is_event_stream(response.headers()) => response,
                // Translate makes a stream of every answer that is wanted as one.
                Ok(_) => return Poll::Ready(Some(Err(Error::codec("the answer is no stream")))),
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            let (head, inner) = response.into_parts();
            this.inner.set(Some(inner));
            if let Some(comment) = warnings(&head.headers, this.alive.as_deref()) {
                return Poll::Ready(Some(Ok(Frame::data(comment))));
            }
        }
        if let Some(inner) = this.inner.as_mut().as_pin_mut()
            && let Poll::Ready(frame) = inner.poll_frame(cx)
        {
            let mut alive = this.alive.as_mut();
            if let Some(alive) = &mut alive {
                alive.silence.end();
            }
            return Poll::Ready(frame.map(|frame| match (frame, alive) {
                (Ok(frame), Some(alive)) => Ok(frame.map_data(|data| alive.signs.pass(data))),
                (frame, _) => frame.map_err(Error::of),
            }));
        }
        let Some(alive) = this.alive else {
            return if this.inner.is_none() { Poll::Ready(None) } else { Poll::Pending };
        };
        if this.choosing.is_none() && this.inner.is_none() {
            return Poll::Ready(None);
        }
        while alive.silence.poll(cx).is_ready() {
            alive.silence = Silence::new(Some(alive.interval));
            if let Some(sign) = alive.signs.sign() {
                let client = alive.signs.client().as_str();
                metrics::counter!(names::KEEP_ALIVES, "client" => client).increment(1);
                return Poll::Ready(Some(Ok(Frame::data(sign))));
            }
        }
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.choosing.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) if self.alive.is_none() => inner.size_hint(),
            _ => SizeHint::default(),
        }
    }
}

/// What a header cannot tell any more.
fn warnings(headers: &HeaderMap, alive: Option<&Alive>) -> Option<Bytes> {
    // T007: no comments for Gemini's clients.
    alive.filter(|alive| alive.signs.client() != Protocol::Gemini)?;
    let told = [super::translate::WARNINGS, super::model_fallback::FALLBACK].into_iter().filter_map(|name| {
        let value = headers.get(&name)?.to_str().ok()?;
        Some(format!(": {name}: {value}\n"))
    });
    let comments: String = told.collect();
    (!comments.is_empty()).then(|| format!("{comments}\n").into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::body::Body as OutBody;
    use crate::protocol::Endpoint;
    use http_body_util::BodyExt as _;
    use tokio::time::Instant;
    use tower::{ServiceExt, service_fn};

    /// What a client of an upstream that fails after so many seconds gets, and when.
    async fn fails_after(seconds: u64, stream: bool) -> (Vec<u64>, Error) {
        let start = Instant::now();
        let service = KeepAliveLayer::new().layer(service_fn(move |_: Request<Payload>| async move {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            Err::<Response<OutBody>, _>(Error::Overloaded)
        }));
        let endpoint = Endpoint::new(Protocol::Anthropic, Operation::Generate);
        let body = format!(r#"{{"model":"m","stream":{stream}}}"#);
        let request = Request::new(Payload::new(endpoint, body).unwrap());
        let mut body = match service.oneshot(request).await {
            Ok(response) => Box::pin(response.into_body()),
            Err(error) => return (Vec::new(), error),
        };
        let mut signs = Vec::new();
        loop {
            match body.frame().await.expect("an end that is told") {
                Ok(_) => signs.push(start.elapsed().as_secs()),
                Err(error) => return (signs, error),
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_come_often_enough_and_not_before_their_time() {
        let (signs, error) = fails_after(60, true).await;
        assert_eq!(signs, [10, 25, 40, 55]);
        assert!(matches!(error, Error::Overloaded));
        assert!(fails_after(9, true).await.0.is_empty(), "a plain HTTP error");
        assert!(fails_after(60, false).await.0.is_empty(), "a document has one head");
    }
}
