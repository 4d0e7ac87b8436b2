use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderValue, Response};
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::StreamBody;
use super::count::Counting;
use super::state_store::Recording;
use super::whole::Whole;
use super::{Plan, WARNINGS, count, rewrite_head};
use crate::body::Body as OutBody;
use crate::error::{BoxError, Error};
use crate::headers;
use crate::payload::Payload;
use crate::protocol::canonical::{Collector, ErrorView, Exchange, FaultKind};
use crate::protocol::{StreamDecoder, StreamEncoder, decode_response, encode_response, sse};

pin_project! {
    /// Response future of [`Translate`](super::Translate).
    #[project = ResponseFutureProj]
    pub enum ResponseFuture<F, B> {
        #[doc(hidden)]
        Relay { #[pin] inner: F, counting: Option<Payload>, warnings: Option<HeaderValue> },
        #[doc(hidden)]
        Translate { #[pin] inner: F, plan: Option<Plan>, reading: Option<Reading<B>> },
        #[doc(hidden)]
        Count { #[pin] counting: Counting<F, B> },
        #[doc(hidden)]
        Ready { outcome: Option<Result<Response<OutBody>, Error>> },
    }
}

/// A document on its way, and what it is for.
#[doc(hidden)]
pub struct Reading<B> {
    head: Parts,
    whole: Whole<B>,
    plan: Plan,
}

impl<B> fmt::Debug for Reading<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("translate::Reading").finish_non_exhaustive()
    }
}

impl<F, B> ResponseFuture<F, B> {
    /// `counting`: the request, if it only asks for a count, which the upstream may not offer.
    pub(super) fn relay(inner: F, counting: Option<Payload>, warnings: Option<HeaderValue>) -> Self {
        ResponseFuture::Relay { inner, counting, warnings }
    }

    pub(super) fn translate(inner: F, plan: Plan) -> Self {
        ResponseFuture::Translate { inner, plan: Some(plan), reading: None }
    }

    /// `payload`: the client's request, for an estimate if the upstream has no counter.
    pub(super) fn count(inner: F, payload: Payload) -> Self {
        ResponseFuture::Count { counting: Counting::new(inner, payload) }
    }

    /// Refused, or answered without the upstream.
    pub(super) fn ready(outcome: Result<Response<OutBody>, Error>) -> Self {
        ResponseFuture::Ready { outcome: Some(outcome) }
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("translate::ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Error>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<OutBody>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let (inner, plan, slot) = match self.project() {
            ResponseFutureProj::Relay { inner, counting, warnings } => {
                let outcome = ready!(inner.poll(cx)).map_err(Into::into);
                return Poll::Ready(match (outcome, counting.take()) {
                    (Err(error), Some(payload)) if count::is_missing(&error, &payload) => {
                        count::estimated(&payload)
                    }
                    (outcome, _) => outcome.map(|mut response| {
                        if let Some(warnings) = warnings.take() {
                            response.headers_mut().insert(WARNINGS, warnings);
                        }
                        response.map(OutBody::new)
                    }),
                });
            }
            ResponseFutureProj::Count { counting } => return counting.poll(cx),
            ResponseFutureProj::Ready { outcome } => {
                return Poll::Ready(
                    outcome.take().unwrap_or_else(|| Err(Error::codec("polled after completion"))),
                );
            }
            ResponseFutureProj::Translate { inner, plan, reading } => (inner, plan, reading),
        };
        let mut reading = match slot.take() {
            Some(reading) => reading,
            None => {
                let (mut head, body) = ready!(inner.poll(cx)).map_err(Into::into)?.into_parts();
                let Some(plan) = plan.take() else { return Poll::Pending };
                if plan.exchange.stream && headers::is_event_stream(&head.headers) {
                    rewrite_head(&mut head, true, plan.warnings);
                    let body = StreamBody::new(body, &plan.exchange, plan.recording);
                    return Poll::Ready(Ok(Response::from_parts(head, OutBody::new(body))));
                }
                Reading { head, whole: Whole::new(body), plan }
            }
        };
        let Poll::Ready(read) = reading.whole.poll(cx) else {
            *slot = Some(reading);
            return Poll::Pending;
        };
        let Reading { mut head, plan, .. } = reading;
        let is_stream = headers::is_event_stream(&head.headers);
        let bytes = document(&read?, is_stream, &plan.exchange, plan.recording)
            .map_err(|view| Error::Codec(Box::new(view)))?;
        rewrite_head(&mut head, plan.exchange.stream, plan.warnings);
        Poll::Ready(Ok(Response::from_parts(head, OutBody::from(bytes))))
    }
}

/// Translates a whole answer: to a document, or replayed as a stream for a client that wants one.
fn document(
    read: &[u8],
    is_stream: bool,
    exchange: &Exchange,
    recording: Option<Recording>,
) -> Result<Vec<u8>, ErrorView> {
    let record = |response: &_| recording.into_iter().for_each(|recording| recording.whole(response));
    let bad = |message: &str| ErrorView::new(FaultKind::BadUpstream, message);
    let mut out = Vec::with_capacity(read.len() + read.len() / 4 + 256);
    if is_stream {
        let response = collect(read, exchange)?;
        record(&response);
        encode_response(&response, exchange, &mut out)?;
        return Ok(out);
    }
    let text = std::str::from_utf8(read).map_err(|_| bad("the upstream's answer is not UTF-8"))?;
    let response = decode_response(exchange.upstream, text, exchange.seed)?;
    record(&response);
    if exchange.stream {
        let mut encoder = StreamEncoder::new(exchange);
        response.replay(|event| encoder.event(&event, &mut out));
    } else {
        encode_response(&response, exchange, &mut out)?;
    }
    Ok(out)
}

/// Folds a stream that nobody asked for.
fn collect(
    read: &[u8],
    exchange: &Exchange,
) -> Result<crate::protocol::canonical::Response<'static>, ErrorView> {
    let mut collector = Collector::default();
    let mut decoder = StreamDecoder::new(exchange.upstream, exchange.seed);
    let mut events = sse::Decoder::default();
    let mut sink = |event: sse::Event<'_>| decoder.event(&event, &mut |event| collector.event(event));
    events.push(read, &mut sink).map_err(|long| ErrorView::new(FaultKind::BadUpstream, long.to_string()))?;
    events.finish(&mut sink);
    decoder.finish(&mut |event| collector.event(event));
    collector.finish()
}
