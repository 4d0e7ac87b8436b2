use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderValue, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;

use super::body::StreamBody;
use super::count::Counting;
use super::document::document;
use super::losses::WARNINGS;
use super::plan::Plan;
use super::relay::Asked;
use super::whole::Whole;
use super::{ESTIMATED, USAGE, count, rewrite_head};
use crate::body::Body as OutBody;
use crate::error::{BoxError, Error};
use crate::headers;
use crate::payload::Payload;

pin_project! {
    /// Response future of [`Translate`](super::Translate).
    #[project = ResponseFutureProj]
    pub enum ResponseFuture<F, B> {
        #[doc(hidden)]
        Relay { #[pin] inner: F, asked: Option<Asked>, warnings: Option<HeaderValue> },
        #[doc(hidden)]
        Translate { #[pin] inner: F, plan: Option<Box<Plan>> },
        #[doc(hidden)]
        Read { reading: Option<Reading<B>> },
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
    plan: Box<Plan>,
}

impl<B> fmt::Debug for Reading<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("translate::Reading").finish_non_exhaustive()
    }
}

impl<F, B> ResponseFuture<F, B> {
    pub(super) fn relay(inner: F, asked: Option<Asked>, warnings: Option<HeaderValue>) -> Self {
        ResponseFuture::Relay { inner, asked, warnings }
    }

    pub(super) fn translate(inner: F, plan: Box<Plan>) -> Self {
        ResponseFuture::Translate { inner, plan: Some(plan) }
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

/// An answer has come: what to do with it.
enum Next<B> {
    Done(Result<Response<OutBody>, Error>),
    Read(Reading<B>),
}

impl<B> Next<B> {
    fn read(response: Response<B>, plan: Box<Plan>) -> Self
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let (head, body) = response.into_parts();
        Next::Read(Reading { head, whole: Whole::new(body), plan })
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

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        loop {
            let next = match self.as_mut().project() {
                ResponseFutureProj::Relay { inner, asked, warnings } => {
                    let outcome = ready!(inner.poll(cx)).map_err(Into::into);
                    relayed(outcome, asked.take(), warnings.take())
                }
                ResponseFutureProj::Translate { inner, plan } => {
                    let outcome = ready!(inner.poll(cx));
                    let Some(mut plan) = plan.take() else { return Poll::Pending };
                    match (outcome.map_err(Into::into), plan.unanswered.take()) {
                        (Ok(response), _) => translated(response, plan),
                        (Err(error), Some(asked)) => Next::Done(Err(asked.explain(error))),
                        (Err(error), None) => Next::Done(Err(error)),
                    }
                }
                ResponseFutureProj::Read { reading } => {
                    let Some(read) = reading else { return Poll::Pending };
                    let bytes = ready!(read.whole.poll(cx));
                    let Some(Reading { head, plan, .. }) = reading.take() else { return Poll::Pending };
                    Next::Done(bytes.and_then(|bytes| rendered(head, &bytes, plan)))
                }
                ResponseFutureProj::Count { counting } => return counting.poll(cx),
                ResponseFutureProj::Ready { outcome } => {
                    Next::Done(outcome.take().unwrap_or_else(|| Err(Error::codec("polled after completion"))))
                }
            };
            match next {
                Next::Done(outcome) => return Poll::Ready(outcome),
                Next::Read(reading) => self.set(ResponseFuture::Read { reading: Some(reading) }),
            }
        }
    }
}

/// An answer in the client's own protocol passes, unless it is whole and the client wants a stream.
fn relayed<B>(
    outcome: Result<Response<B>, Error>,
    asked: Option<Asked>,
    warnings: Option<HeaderValue>,
) -> Next<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut response = match outcome {
        Ok(response) => response,
        Err(error) => {
            let counted =
                asked.as_ref().and_then(Asked::count).filter(|asked| count::is_missing(&error, asked));
            return Next::Done(counted.map_or(Err(error), count::estimated));
        }
    };
    let is_whole = !headers::is_event_stream(response.headers());
    if let Some(asked) = asked.filter(|asked| is_whole && asked.count().is_none()) {
        return match asked.replay() {
            Ok(plan) => Next::read(response, Box::new(Plan { warnings, ..plan })),
            Err(error) => Next::Done(Err(error)),
        };
    }
    if let Some(warnings) = warnings {
        response.headers_mut().insert(WARNINGS, warnings);
    }
    Next::Done(Ok(response.map(OutBody::new)))
}

fn translated<B>(response: Response<B>, mut plan: Box<Plan>) -> Next<B>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    if !plan.exchange.stream || !headers::is_event_stream(response.headers()) {
        return Next::read(response, plan);
    }
    let (mut head, body) = response.into_parts();
    let body = StreamBody::new(body, &mut plan);
    rewrite_head(&mut head, true, plan.warnings);
    Next::Done(Ok(Response::from_parts(head, OutBody::new(body))))
}

fn rendered(mut head: Parts, bytes: &[u8], mut plan: Box<Plan>) -> Result<Response<OutBody>, Error> {
    let is_stream = headers::is_event_stream(&head.headers);
    let (bytes, has_estimates) =
        document(bytes, is_stream, &mut plan).map_err(|view| Error::Codec(Box::new(view)))?;
    if plan.exchange.client == plan.exchange.upstream {
        // The upstream's own headers pass on a relay.
        head.headers.remove(header::CONTENT_LENGTH);
        head.headers
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream; charset=utf-8"));
    } else {
        rewrite_head(&mut head, plan.exchange.stream, plan.warnings);
    }
    if has_estimates {
        head.headers.insert(USAGE, ESTIMATED);
    }
    Ok(Response::from_parts(head, OutBody::from(bytes)))
}
