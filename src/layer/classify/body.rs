use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::watch::{Begun, Watch};
use crate::error::{BoxError, Error, Stage};

/// Response body of [`Classify`](super::Classify): what was held, then the rest, watched.
pub struct ResponseBody<B> {
    held: VecDeque<Bytes>,
    rest: Option<Rest<B>>,
    /// An error that stands behind content already passed on.
    failure: Option<Error>,
}

struct Rest<B> {
    body: Pin<Box<B>>,
    watch: Box<Watch>,
}

impl<B> ResponseBody<B> {
    pub(super) fn document(bytes: Bytes) -> Self {
        ResponseBody { held: VecDeque::from([bytes]), rest: None, failure: None }
    }

    pub(super) fn stream(held: VecDeque<Bytes>, body: Pin<Box<B>>, watch: Box<Watch>) -> Self {
        ResponseBody { held, rest: Some(Rest { body, watch }), failure: None }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("classify::ResponseBody").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let this = &mut *self;
        if let Some(data) = this.held.pop_front() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(error) = this.failure.take() {
            this.rest = None;
            return Poll::Ready(Some(Err(error)));
        }
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        match ready!(rest.body.as_mut().poll_frame(cx)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref()
                    && let Begun::Error(view) = rest.watch.push(data)
                {
                    // The upstream's own error event reaches a relayed client as it is; the stream is
                    // a failure all the same, and ends here.
                    let event = Bytes::new();
                    this.failure = Some(Error::Stream { error: Box::new(reported(*view)), event });
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let error = match Error::of(error) {
                    Error::Internal(source) => Error::Transport { stage: Stage::Body, source },
                    error => error,
                };
                let error = rest.watch.end_with(error);
                this.rest = None;
                Poll::Ready(Some(Err(error)))
            }
            None => {
                let last = rest.watch.finish();
                let error = match last {
                    Begun::Error(view) => Some(reported(*view)),
                    _ if rest.watch.may_end() => None,
                    _ => Some(Error::codec("the upstream's stream ended before its answer did")),
                };
                let error = error.map(|error| rest.watch.end_with(error));
                this.rest = None;
                Poll::Ready(error.map(Err))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty() && self.rest.is_none() && self.failure.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.rest, self.held.len()) {
            // A whole document is one frame.
            (None, _) => SizeHint::with_exact(self.held.iter().map(Bytes::len).sum::<usize>() as u64),
            _ => SizeHint::default(),
        }
    }
}

fn reported(view: crate::protocol::canonical::ErrorView) -> Error {
    Error::Codec(Box::new(view))
}
