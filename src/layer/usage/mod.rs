//! Reads token counts off the passing answer, without touching a byte of it.
//!
//! Under Translate, so that it reads the upstream's own spelling; counts are merged as they come and
//! written to the request's [`Trail`] when the answer ends, however it ends. What the upstream has not told then,
//! because it never does or because the answer was cut, is estimated and marked (2.15, T021): from the length of
//! the request and of what was said.
//!
//! Also counts what attempts cost that failed, and answers that nobody read to their end (`waste.rs`).

mod waste;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use waste::Reason;

use super::inspect::{Inspect, InspectBody};
use super::tally::{Tally, Told};
use super::trail::Trail;
use crate::error::Error;
use crate::headers;
use crate::payload::Payload;
use crate::protocol::canonical::Usage as Counts;
use crate::protocol::{Estimator, Lengths, Observer, Operation, Protocol, lengths_of, sse, usage_of};

/// Notes the token counts of answers in the request's [`Trail`], estimated where the upstream tells none.
///
/// # Example
///
/// ```
/// use aiproxy::layer::trail::Trail;
/// use aiproxy::layer::{CollectLayer, UsageLayer};
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response};
/// use http_body_util::BodyExt;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(UsageLayer::new())
///     .service(service_fn(|_: Request<Payload>| async {
///         let answer = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#;
///         let response = Response::builder().header("content-type", "application/json");
///         Ok::<_, Error>(response.body(Body::from(answer.as_bytes().to_vec())).unwrap())
///     }));
/// let trail = Trail::default();
/// let request = Request::post("/v1/chat/completions").extension(trail.clone()).body(r#"{"model":"m"}"#.to_owned()).unwrap();
/// service.oneshot(request).await?.into_body().collect().await?;
/// assert_eq!(trail.lock().usage.input, Some(7));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct UsageLayer {
    upstream: Arc<str>,
}

impl UsageLayer {
    /// Reads usage.
    #[must_use]
    pub fn new() -> Self {
        UsageLayer::default()
    }

    /// The upstream's name in the metric of wasted tokens. Default: none, and no metric.
    #[must_use]
    pub fn named(mut self, upstream: impl Into<Arc<str>>) -> Self {
        self.upstream = upstream.into();
        self
    }
}

impl<S> Layer<S> for UsageLayer {
    type Service = Usage<S>;

    fn layer(&self, inner: S) -> Usage<S> {
        Usage { inner, upstream: self.upstream.clone() }
    }
}

/// See [`UsageLayer`].
#[derive(Clone, Debug)]
pub struct Usage<S> {
    inner: S,
    upstream: Arc<str>,
}

impl<S, B> Service<Request<Payload>> for Usage<S>
where
    S: Service<Request<Payload>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body<Data = Bytes>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Payload>) -> Self::Future {
        let payload = request.body();
        let protocol = payload.protocol();
        // Nobody to tell, or no answer: nothing to read.
        let is_read = payload.operation() == Operation::Generate;
        let trail = request.extensions().get::<Trail>().filter(|_| is_read).cloned();
        let asked = trail.map(|trail| Asked {
            trail,
            model: payload.model().into(),
            body: payload.original_bytes().clone(),
            tally: Tally::default(),
            upstream: self.upstream.clone(),
        });
        if let Some(asked) = &asked {
            request.extensions_mut().insert(asked.tally.clone());
        }
        ResponseFuture { inner: self.inner.call(request), protocol, asked: Abandon(asked) }
    }
}

pin_project! {
    /// Response future of [`Usage`].
    pub struct ResponseFuture<F> {
        // Dropped before `asked`, which then knows all that has come.
        #[pin]
        inner: F,
        protocol: Protocol,
        asked: Abandon,
    }
}

/// The request, until its answer begins.
struct Asked {
    trail: Trail,
    model: Box<str>,
    body: Bytes,
    tally: Tally,
    upstream: Arc<str>,
}

impl Asked {
    /// No answer will come of it.
    fn end(&self, told: &Told, reason: Reason) {
        let estimator = Estimator::of_lengths(&self.model, Lengths::of_body(&self.body));
        let usage = estimator.complete(&told.usage, || told.said, true);
        waste::count(&self.upstream, &usage, reason);
    }
}

/// A request whose answer nobody waits for any more, when it is dropped with one.
struct Abandon(Option<Asked>);

impl Drop for Abandon {
    fn drop(&mut self) {
        if let Some(asked) = self.0.take() {
            let told = *asked.tally.lock();
            asked.end(&told, Reason::Abandoned);
        }
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("usage::ResponseFuture").finish_non_exhaustive()
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
        let this = self.project();
        let outcome = ready!(this.inner.poll(cx)).map_err(Into::into);
        let asked = this.asked.0.take();
        let response = match outcome {
            Ok(response) => response,
            Err(error) => {
                if let Some(asked) = asked {
                    let told = *asked.tally.lock();
                    if waste::is_worked_on(&told, &error) {
                        asked.end(&told, Reason::Failed);
                    }
                }
                return Poll::Ready(Err(error));
            }
        };
        let protocol = *this.protocol;
        let reader = asked.map(|Asked { trail, model, body, tally, upstream }| {
            let tally = Some(tally).filter(|tally| tally.lock().is_kept);
            let is_stream = headers::is_event_stream(response.headers());
            // Bodies are not kept for as long as streams may last: what they weigh is looked at now, and only
            // where the upstream has not told it first.
            let is_told = tally.as_ref().is_some_and(|tally| tally.lock().usage.input.is_some());
            let request = if is_told { Lengths::default() } else { Lengths::of_body(&body) };
            let source = match tally {
                Some(tally) => Source::Tally(tally),
                None if is_stream => {
                    Source::Stream(Box::new((sse::Decoder::default(), Observer::new(protocol))))
                }
                None => Source::Document(Box::new(Told { is_whole: true, ..Told::default() })),
            };
            Reader { trail, upstream, model, request, protocol, is_stream, source, reason: Reason::Abandoned }
        });
        Poll::Ready(Ok(response.map(|inner| ResponseBody::new(inner, reader))))
    }
}

/// Response body of [`Usage`].
pub type ResponseBody<B> = InspectBody<B, Reader>;

/// Reads one answer; notes what it has when it is dropped.
pub struct Reader {
    trail: Trail,
    upstream: Arc<str>,
    model: Box<str>,
    /// Nothing if the upstream has told its count already.
    request: Lengths,
    protocol: Protocol,
    is_stream: bool,
    source: Source,
    /// Why there is no more to read, should the answer not be whole.
    reason: Reason,
}

enum Source {
    /// Somebody further in reads it already.
    Tally(Tally),
    Stream(Box<(sse::Decoder, Observer)>),
    /// One frame holds it all: Classify has joined it.
    Document(Box<Told>),
}

impl fmt::Debug for Reader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reader").finish_non_exhaustive()
    }
}

impl Reader {
    fn note(&self, counts: &Counts) {
        if !counts.is_empty() {
            self.trail.lock().usage.merge(counts);
        }
    }
}

impl<E> Inspect<E> for Reader {
    fn data(&mut self, data: &Bytes) {
        match &mut self.source {
            // Now, not at the end: who counts outside may know the end before this does.
            Source::Tally(tally) => {
                let mut told = tally.lock();
                if !self.is_stream && told.usage.output.is_none() && told.said == Lengths::default() {
                    told.said = lengths_of(self.protocol, data);
                }
                let counts = told.usage;
                drop(told);
                self.note(&counts);
            }
            Source::Stream(both) => {
                let (decoder, observer) = &mut **both;
                // An event beyond the limit is Classify's to refuse.
                let _ = decoder.push(data, |event| drop(observer.event(&event)));
            }
            Source::Document(told) => {
                told.usage = usage_of(self.protocol, data);
                if told.usage.output.is_none() {
                    told.said = lengths_of(self.protocol, data);
                }
            }
        }
    }

    fn end(mut self, outcome: Result<(), &E>) {
        if outcome.is_err() {
            self.reason = Reason::Failed;
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let Told { usage, said, is_whole, .. } = match &self.source {
            Source::Tally(tally) => *tally.lock(),
            Source::Stream(both) => {
                let seen = both.1.seen();
                Told { usage: seen.usage, said: seen.said, is_whole: seen.may_end, is_kept: true }
            }
            Source::Document(told) => **told,
        };
        if usage.input.is_some() && usage.output.is_some() && is_whole {
            return self.note(&usage);
        }
        let estimator = Estimator::of_lengths(&self.model, self.request);
        let usage = estimator.complete(&usage, || said, !is_whole);
        self.note(&usage);
        if !is_whole {
            waste::count(&self.upstream, &usage, self.reason);
        }
    }
}
