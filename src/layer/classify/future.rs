use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::response::Parts;
use http::{HeaderValue, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;

use super::ClassifyLayer;
use super::body::ResponseBody;
use super::gather::{Gather, Step};
use crate::error::{BoxError, Error};
use crate::headers;
use crate::layer::request_id::RequestId;
use crate::layer::tally::{Tally, Told};
use crate::protocol::{Operation, Protocol};

pin_project! {
    /// Response future of [`Classify`](super::Classify).
    pub struct ResponseFuture<F, B> {
        #[pin]
        inner: F,
        answer: Option<Answer<B>>,
        protocol: Protocol,
        operation: Operation,
        settings: ClassifyLayer,
        request_id: Option<RequestId>,
    }
}

/// An answer whose head has come.
struct Answer<B> {
    head: Parts,
    // Boxed because it is polled here and then moves into the response: one allocation per answer.
    body: Pin<Box<B>>,
    gather: Gather,
}

impl<F, B> ResponseFuture<F, B> {
    pub(super) fn new(
        inner: F,
        protocol: Protocol,
        operation: Operation,
        settings: ClassifyLayer,
        request_id: Option<RequestId>,
    ) -> Self {
        ResponseFuture { inner, answer: None, protocol, operation, settings, request_id }
    }
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("classify::ResponseFuture").field("protocol", &self.protocol).finish_non_exhaustive()
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
                let (head, body) = ready!(this.inner.poll(cx)).map_err(Into::into)?.into_parts();
                let gather = Gather::new(&head, *this.protocol, *this.operation, this.settings.limit);
                Answer { head, body: Box::pin(body), gather }
            }
        };
        loop {
            let frame = match answer.body.as_mut().poll_frame(cx) {
                Poll::Pending => {
                    *this.answer = Some(answer);
                    return Poll::Pending;
                }
                Poll::Ready(frame) => frame,
            };
            let step = match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => answer.gather.push(data),
                    Err(_trailers) => continue,
                },
                Some(Err(error)) => answer.gather.broken(Error::of(error)),
                None => answer.gather.finish(),
            };
            match step {
                Step::More => {}
                Step::Failed(error) => return Poll::Ready(Err(error.with_head(&answer.head))),
                Step::Document(bytes, usage) => {
                    let tally = Tally::default();
                    *tally.lock() = Told { usage, is_whole: true, ..Told::default() };
                    answer.head.extensions.insert(tally);
                    return Poll::Ready(Ok(Response::from_parts(answer.head, ResponseBody::document(bytes))));
                }
                Step::Stream(mut watch, held) => {
                    watch.end_for(this.request_id.take(), this.settings.client_dialect);
                    answer.head.extensions.insert(watch.tally());
                    // Whatever it was called: everybody outside goes by the header.
                    if !headers::is_event_stream(&answer.head.headers) {
                        let events = HeaderValue::from_static("text/event-stream");
                        answer.head.headers.insert(header::CONTENT_TYPE, events);
                    }
                    let body = ResponseBody::stream(held, answer.body, watch);
                    return Poll::Ready(Ok(Response::from_parts(answer.head, body)));
                }
            }
        }
    }
}
