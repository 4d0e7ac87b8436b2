use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderValue, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;

use super::ClassifyLayer;
use super::body::{ResponseBody, stalled};
use super::gather::{Gather, Step};
use crate::error::{BoxError, Clock, Error};
use crate::headers;
use crate::layer::request_id::RequestId;
use crate::layer::tally::{Tally, Told};
use crate::protocol::{Operation, Protocol};
use crate::silence::Silence;
use crate::upstream::Secrets;

/// How long the words of an error answer are waited for.
const WORDS: Duration = Duration::from_secs(2);

pin_project! {
    /// Response future of [`Classify`](super::Classify).
    pub struct ResponseFuture<F, B> {
        #[pin]
        inner: F,
        answer: Option<Answer<B>>,
        asked: Asked,
        settings: ClassifyLayer,
        // Until the first content of a stream.
        silence: Silence,
    }
}

/// What is to be told from the answer.
#[derive(Clone, Debug)]
pub(super) struct Asked {
    pub(super) protocol: Protocol,
    pub(super) operation: Operation,
    pub(super) is_stream: bool,
    pub(super) request_id: Option<RequestId>,
    pub(super) tally: Tally,
}

/// An answer whose head has come.
struct Answer<B> {
    head: Parts,
    // Boxed because it is polled here and then moves into the response: one allocation per answer.
    body: Pin<Box<B>>,
    gather: Gather,
}

impl<F, B> ResponseFuture<F, B> {
    pub(super) fn new(inner: F, asked: Asked, settings: ClassifyLayer) -> Self {
        let silence = Silence::started(settings.first_content.filter(|_| asked.is_stream));
        ResponseFuture { inner, answer: None, asked, settings, silence }
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("classify::ResponseFuture").field("asked", &self.asked).finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<B>>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = match this.answer.take() {
            Some(answer) => answer,
            None => {
                let response = match this.inner.poll(cx) {
                    Poll::Ready(response) => response.map_err(Into::into)?,
                    Poll::Pending => {
                        ready!(this.silence.poll(cx));
                        return Poll::Ready(Err(stalled(Clock::FirstContent)));
                    }
                };
                let (head, body) = response.into_parts();
                let gather = Gather::new(&head, this.asked, this.settings);
                if gather.is_failure() {
                    // The status has said it all; others wait to be asked.
                    *this.silence = Silence::started(Some(WORDS));
                }
                Answer { head, body: Box::pin(body), gather }
            }
        };
        loop {
            let step = match answer.body.as_mut().poll_frame(cx) {
                Poll::Pending => {
                    if this.silence.poll(cx).is_pending() {
                        *this.answer = Some(answer);
                        return Poll::Pending;
                    }
                    let clock = Clock::FirstContent;
                    let is_over = answer.gather.is_failure();
                    answer.gather.broken(if is_over { Error::Timeout(clock) } else { stalled(clock) })
                }
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => answer.gather.push(data),
                    Err(_trailers) => continue,
                },
                Poll::Ready(Some(Err(error))) => answer.gather.broken(Error::of(error)),
                Poll::Ready(None) => answer.gather.finish(),
            };
            match step {
                Step::More => {}
                Step::Failed(error) => return Poll::Ready(Err(error.with_head(&answer.head))),
                Step::Document(bytes, usage) => {
                    *this.asked.tally.lock() =
                        Told { usage, is_whole: true, is_kept: true, ..Told::default() };
                    // SDKs take what is not called JSON for a text.
                    if !headers::is_json(&answer.head.headers) {
                        let json = HeaderValue::from_static("application/json");
                        answer.head.headers.insert(header::CONTENT_TYPE, json);
                    }
                    return Poll::Ready(Ok(Response::from_parts(answer.head, ResponseBody::document(bytes))));
                }
                Step::Stream(mut watch, held) => {
                    watch.end_for(this.asked.request_id.take(), this.settings.client_dialect);
                    // Whatever it was called: everybody outside goes by the header.
                    if !headers::is_event_stream(&answer.head.headers) {
                        let events = HeaderValue::from_static("text/event-stream");
                        answer.head.headers.insert(header::CONTENT_TYPE, events);
                    }
                    let secrets = answer.head.extensions.remove::<Secrets>();
                    let body =
                        ResponseBody::stream(held, answer.body, watch, secrets, this.settings.content_gap);
                    return Poll::Ready(Ok(Response::from_parts(answer.head, body)));
                }
            }
        }
    }
}
