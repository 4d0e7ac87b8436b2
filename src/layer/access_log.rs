//! One line per request, at info, when its last byte has gone.
//!
//! Upstream, attempts, model mapping, tokens, latency. Never a prompt: a preview, cut, exists at debug
//! and only if it is switched on.

use std::fmt;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::inspect::{Inspect, InspectBody, InspectFuture};
use super::request_id::RequestId;
use super::trail::{Notes, Trail};
use crate::protocol::canonical::Usage;

/// Logs one line per request through `tracing`, target `aiproxy::access`.
///
/// # Example
///
/// ```
/// use aiproxy::Body;
/// use aiproxy::layer::AccessLogLayer;
/// use http::{Request, Response};
/// use std::convert::Infallible;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(AccessLogLayer::new())
///     .service(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(Body::empty())) }));
/// service.oneshot(Request::post("/v1/messages").body(()).unwrap()).await.unwrap();
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct AccessLogLayer {
    _private: (),
}

impl AccessLogLayer {
    /// Logs.
    #[must_use]
    pub fn new() -> Self {
        AccessLogLayer::default()
    }
}

impl<S> Layer<S> for AccessLogLayer {
    type Service = AccessLog<S>;

    fn layer(&self, inner: S) -> AccessLog<S> {
        AccessLog { inner }
    }
}

/// See [`AccessLogLayer`].
#[derive(Clone, Debug)]
pub struct AccessLog<S> {
    inner: S,
}

impl<S, Q, B> Service<Request<Q>> for AccessLog<S>
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
        if !tracing::enabled!(target: "aiproxy::access", tracing::Level::INFO) {
            return ResponseFuture::new(self.inner.call(request), None);
        }
        let trail = request.extensions_mut().get_or_insert_default::<Trail>().clone();
        let request_id = request.extensions().get::<RequestId>().cloned();
        let line = Line {
            method: request.method().clone(),
            path: request.uri().path().chars().take(120).collect(),
            request_id,
            trail,
            start: Instant::now(),
            status: 0,
            bytes: 0,
            end: "client left",
        };
        ResponseFuture::new(self.inner.call(request), Some(Box::new(line)))
    }
}

/// Response future of [`AccessLog`].
pub type ResponseFuture<F> = InspectFuture<F, Box<Line>>;

/// Response body of [`AccessLog`].
pub type ResponseBody<B> = InspectBody<B, Box<Line>>;

/// What the line will say; written when it is dropped, however the request ended.
pub struct Line {
    method: Method,
    path: String,
    request_id: Option<RequestId>,
    trail: Trail,
    start: Instant,
    status: u16,
    bytes: u64,
    end: &'static str,
}

impl fmt::Debug for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Line").finish_non_exhaustive()
    }
}

impl<E> Inspect<E> for Box<Line> {
    fn head(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    fn data(&mut self, data: &Bytes) {
        self.bytes += data.len() as u64;
    }

    fn end(mut self, outcome: Result<(), &E>) {
        self.end = if outcome.is_ok() { "whole" } else { "broken" };
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let notes = self.trail.lock();
        let served = notes.attempts.last();
        tracing::info!(
            target: "aiproxy::access",
            request_id = self.request_id.as_ref().map(tracing::field::display),
            method = %self.method,
            path = %Printable(&self.path),
            status = self.status,
            end = self.end,
            model = notes.model.as_deref().map(|model| tracing::field::display(Printable(model))),
            model_fallback = notes.model_fallback.as_deref(),
            upstream = served.map(|attempt| &*attempt.upstream),
            upstream_model = served.and_then(|attempt| attempt.upstream_model.as_deref()),
            attempts = %Attempts(&notes),
            error = notes.failure,
            stream = notes.stream,
            continued = notes.is_continued.then_some(true),
            tokens_in = notes.usage.input,
            tokens_cached = notes.usage.cache_read,
            tokens_out = notes.usage.output,
            tokens_estimated = estimated(&notes.usage),
            bytes = self.bytes,
            ms = self.start.elapsed().as_millis() as u64,
            "request"
        );
    }
}

/// Which of the counts no upstream has told.
fn estimated(usage: &Usage) -> Option<&'static str> {
    match (usage.is_input_estimated, usage.is_output_estimated) {
        (false, false) => None,
        (true, false) => Some("in"),
        (false, true) => Some("out"),
        (true, true) => Some("both"),
    }
}

/// A client's text without control characters: it must not move the cursor of whoever reads the log.
struct Printable<'a>(&'a str);

impl fmt::Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        self.0.chars().try_for_each(|c| f.write_char(if c.is_control() { '?' } else { c }))
    }
}

/// `a:upstream_5xx b:ok`
struct Attempts<'a>(&'a Notes);

impl fmt::Display for Attempts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, attempt) in self.0.attempts.iter().enumerate() {
            let space = if at > 0 { " " } else { "" };
            write!(f, "{space}{}:{}", attempt.upstream, attempt.outcome)?;
        }
        Ok(())
    }
}
