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
use super::document::document;
use super::losses::WARNINGS;
use super::whole::Whole;
use super::{ESTIMATED, Plan, USAGE, count, rewrite_head};
use crate::body::Body as OutBody;
use crate::error::{BoxError, Error};
use crate::headers;
use crate::payload::Payload;

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
                let Some(mut plan) = plan.take() else { return Poll::Pending };
                if plan.exchange.stream && headers::is_event_stream(&head.headers) {
                    let body = StreamBody::new(body, &mut plan);
                    rewrite_head(&mut head, true, plan.warnings);
                    return Poll::Ready(Ok(Response::from_parts(head, OutBody::new(body))));
                }
                Reading { head, whole: Whole::new(body), plan }
            }
        };
        let Poll::Ready(read) = reading.whole.poll(cx) else {
            *slot = Some(reading);
            return Poll::Pending;
        };
        let Reading { mut head, mut plan, .. } = reading;
        let is_stream = headers::is_event_stream(&head.headers);
        let (bytes, has_estimates) =
            document(&read?, is_stream, &mut plan).map_err(|view| Error::Codec(Box::new(view)))?;
        rewrite_head(&mut head, plan.exchange.stream, plan.warnings);
        if has_estimates {
            head.headers.insert(USAGE, ESTIMATED);
        }
        Poll::Ready(Ok(Response::from_parts(head, OutBody::from(bytes))))
    }
}
