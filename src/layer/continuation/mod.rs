//! Goes on with a text that broke off in mid-stream, at another upstream.
//!
//! Outside of failover, whose work ends when the first content has gone out. If the answer is one text so far and its
//! upstream fails, the request goes out again with that text as the assistant's last turn, to an upstream whose model
//! goes on from there instead of beginning anew; the client gets one stream. Only for models that somebody has named:
//! the seam can be heard, and both halves are paid for.

mod prefill_filter;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower::util::Oneshot;
use tower::{Layer, Service, ServiceExt};

use super::metrics::names;
use super::model_filter::matches;
use super::trail::Trail;
use crate::error::{BoxError, Error, Fault};
use crate::headers;
use crate::payload::Payload;
use crate::protocol::canonical::Usage;
use crate::protocol::{self, Operation, Protocol};
use crate::seeds::Seeds;

pub use prefill_filter::{PrefillFilter, PrefillFilterLayer};

/// In a request's extensions: it asks for the rest of an answer.
#[derive(Clone, Debug)]
pub struct Continued {
    /// The upstream that broke, where it is known.
    pub broke: Option<Arc<str>>,
}

/// Has another upstream go on with a text that broke off in mid-stream, once.
///
/// Never after a client was sent the beginning of a call, nor where it wants several answers. Streams of these models are written
/// anew in the client's protocol: what only one provider knows of is left out. Marked in the log (`continued`), in
/// `aiproxy_continuations_total`, and in the token counts, which are those of both halves.
///
/// # Errors
///
/// Those of the inner service. If the rest cannot be had, the stream ends in the error that broke it.
///
/// # Cancel safety
///
/// Dropping the future, or the body, drops the inner calls.
///
/// # Example
///
/// ```
/// use aiproxy::layer::balance::{Leaf, Pool, Upstream, WeightedBalance};
/// use aiproxy::layer::failover::Failover;
/// use aiproxy::layer::{CollectLayer, ContinuationLayer, PrefillFilterLayer};
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let upstream = |name: &'static str, takes_prefill: bool| Upstream {
///     name: name.into(),
///     weight: 1,
///     priority: 0,
///     service: PrefillFilterLayer::new(name, move |_| takes_prefill)
///         .layer(Leaf::new(service_fn(|_: Request<Payload>| async { Ok::<_, Error>(Response::new(Body::empty())) }))),
/// };
/// # use tower::Layer;
/// let pool = Pool::new([upstream("local", true), upstream("openai", false)]);
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(ContinuationLayer::new(["llama-*"]))
///     .service(Failover::new(WeightedBalance::new(pool)));
/// let request = Request::post("/v1/messages").body(r#"{"model":"llama-4","stream":true}"#.to_owned()).unwrap();
/// assert!(service.oneshot(request).await.is_ok());
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct ContinuationLayer {
    models: Arc<[Box<str>]>,
}

impl ContinuationLayer {
    /// For models, as clients call them, that match one of `patterns`; `*` stands for any run of characters.
    pub fn new<P: Into<Box<str>>>(patterns: impl IntoIterator<Item = P>) -> Self {
        ContinuationLayer { models: patterns.into_iter().map(Into::into).collect() }
    }
}

impl<S> Layer<S> for ContinuationLayer {
    type Service = Continuation<S>;

    fn layer(&self, inner: S) -> Continuation<S> {
        Continuation { inner, models: self.models.clone(), seeds: Arc::default() }
    }
}

/// See [`ContinuationLayer`].
#[derive(Clone, Debug)]
pub struct Continuation<S> {
    inner: S,
    models: Arc<[Box<str>]>,
    seeds: Arc<Seeds>,
}

impl<S: Service<Request<Payload>> + Clone> Continuation<S> {
    fn plan(&self, request: &Request<Payload>) -> Option<Plan<S>> {
        let payload = request.body();
        let model = payload.client_model();
        let is_wanted = payload.stream()
            && payload.operation() == Operation::Generate
            && self.models.iter().any(|pattern| matches(pattern, model));
        let body = std::str::from_utf8(payload.original_bytes()).ok().filter(|_| is_wanted)?;
        let machine = protocol::Continuation::new(payload.endpoint(), body, self.seeds.next())?;
        Some(Plan {
            service: self.inner.clone(),
            request: request.clone(),
            machine,
            asked: None,
            before: None,
        })
    }
}

impl<S, B> Service<Request<Payload>> for Continuation<S>
where
    S: Service<Request<Payload>, Response = Response<B>> + Clone,
    S::Error: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<S, B>>;
    type Error = Error;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let plan = self.plan(&request).map(Box::new);
        ResponseFuture { inner: self.inner.call(request), plan }
    }
}

pin_project! {
    /// Response future of [`Continuation`].
    pub struct ResponseFuture<S: Service<Request<Payload>>> {
        #[pin]
        inner: S::Future,
        plan: Option<Box<Plan<S>>>,
    }
}

impl<S: Service<Request<Payload>>> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("continuation::ResponseFuture").finish_non_exhaustive()
    }
}

impl<S, B> Future for ResponseFuture<S>
where
    S: Service<Request<Payload>, Response = Response<B>>,
    S::Error: Into<Error>,
{
    type Output = Result<Response<ResponseBody<S, B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.inner.poll(cx)).map_err(Into::into)?;
        let plan = this.plan.take().filter(|_| headers::is_event_stream(response.headers()));
        Poll::Ready(Ok(response.map(|inner| ResponseBody { inner: Some(inner), plan })))
    }
}

/// What one answer needs to be gone on with.
struct Plan<S: Service<Request<Payload>>> {
    service: S,
    request: Request<Payload>,
    machine: protocol::Continuation,
    asked: Option<Asked<S>>,
    /// What the first half has cost.
    before: Option<Usage>,
}

/// The rest is under way.
struct Asked<S: Service<Request<Payload>>> {
    call: Pin<Box<Oneshot<S, Request<Payload>>>>,
    /// Why.
    broken: Error,
}

impl<S> Plan<S>
where
    S: Service<Request<Payload>> + Clone,
{
    /// Asks for the rest, if `broken` is an end that somebody could go on from; else gives it back.
    fn ask(&mut self, broken: Error) -> Option<Error> {
        let request = match broken.fault() {
            Fault::Upstream => self.rest(),
            Fault::Caller | Fault::Gateway => None,
        };
        let Some(request) = request else { return Some(broken) };
        tracing::info!(error = %broken, "a text broke off; another upstream is asked for the rest");
        let call = Box::pin(self.service.clone().oneshot(request));
        self.asked = Some(Asked { call, broken });
        None
    }

    fn rest(&self) -> Option<Request<Payload>> {
        let payload = self.request.body();
        let body = self.machine.request(payload.original_bytes())?;
        let mut request = self.request.clone();
        *request.body_mut() = payload.with_bytes(body).ok()?;
        let trail = request.extensions().get::<Trail>();
        if let Some(trail) = trail {
            trail.attempts().restart();
        }
        let last = trail.and_then(|trail| trail.lock().attempts.last().cloned());
        request.extensions_mut().insert(Continued { broke: last.map(|attempt| attempt.upstream) });
        Some(request)
    }

    fn resume(&mut self) {
        if let Some(trail) = self.request.extensions().get::<Trail>() {
            let mut notes = trail.lock();
            notes.is_continued = true;
            self.before = Some(std::mem::take(&mut notes.usage));
        }
        self.machine.resume(self.before);
        self.count("continued");
    }

    fn count(&self, outcome: &'static str) {
        let client: Protocol = self.request.body().protocol();
        metrics::counter!(names::CONTINUATIONS, "client" => client.as_str(), "outcome" => outcome)
            .increment(1);
    }

    /// The end that the client is told of.
    fn fail(&mut self, error: Error) -> Error {
        let error = match error {
            Error::Stream { error, .. } => *error,
            error => error,
        };
        let event = self.machine.fail(error.view()).into();
        Error::Stream { error: Box::new(error), event }
    }
}

impl<S: Service<Request<Payload>>> Drop for Plan<S> {
    fn drop(&mut self) {
        if let (Some(before), Some(trail)) = (self.before, self.request.extensions().get::<Trail>()) {
            let mut notes = trail.lock();
            notes.usage = before.plus(&notes.usage);
        }
    }
}

pin_project! {
    /// Response body of [`Continuation`].
    pub struct ResponseBody<S: Service<Request<Payload>>, B> {
        // Before the plan, so that it is dropped first: it may note what it has cost.
        #[pin]
        inner: Option<B>,
        // None: it passes as it is.
        plan: Option<Box<Plan<S>>>,
    }
}

impl<S: Service<Request<Payload>>, B> fmt::Debug for ResponseBody<S, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("continuation::ResponseBody").finish_non_exhaustive()
    }
}

impl<S, B> Body for ResponseBody<S, B>
where
    S: Service<Request<Payload>, Response = Response<B>> + Clone,
    S::Error: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut this = self.project();
        let Some(plan) = this.plan else {
            let Some(inner) = this.inner.as_pin_mut() else { return Poll::Ready(None) };
            return inner.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Error::of)));
        };
        loop {
            if let Some(asked) = &mut plan.asked {
                let answer = ready!(asked.call.as_mut().poll(cx)).map_err(Into::into);
                let Some(Asked { broken, .. }) = plan.asked.take() else { continue };
                match answer {
                    Ok(response) if headers::is_event_stream(response.headers()) => {
                        plan.resume();
                        this.inner.set(Some(response.into_body()));
                    }
                    other => {
                        let why = other.err().map(tracing::field::display);
                        tracing::info!(error = why, "nobody goes on with the text");
                        plan.count("failed");
                        let error = plan.fail(broken);
                        *this.plan = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
            }
            let Some(inner) = this.inner.as_mut().as_pin_mut() else { return Poll::Ready(None) };
            let mut out = Vec::new();
            match ready!(inner.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    if let Ok(data) = frame.into_data() {
                        plan.machine.push(&data, &mut out);
                    }
                }
                Some(Err(error)) => {
                    this.inner.set(None);
                    if let Some(error) = plan.ask(Error::of(error)) {
                        let error = plan.fail(error);
                        *this.plan = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                }
                None => {
                    plan.machine.finish(&mut out);
                    this.inner.set(None);
                    *this.plan = None;
                    return Poll::Ready((!out.is_empty()).then(|| Ok(Frame::data(out.into()))));
                }
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.plan.is_none() && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Some(inner) if self.plan.is_none() => inner.size_hint(),
            _ => SizeHint::default(),
        }
    }
}
