//! A document on its way.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::Body;

use crate::error::{BoxError, Error};
use crate::joined::Joined;

/// Joins a body. Its size is bounded by Classify, which has all of it already.
pub(super) struct Whole<B> {
    // Boxed because it is polled here after it came out of the inner future.
    body: Pin<Box<B>>,
    read: Joined,
}

impl<B> Whole<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    pub(super) fn new(body: B) -> Self {
        Whole { body: Box::pin(body), read: Joined::default() }
    }

    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Bytes, Error>> {
        while let Some(frame) = ready!(self.body.as_mut().poll_frame(cx)) {
            match frame {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.read.push(data);
                    }
                }
                Err(error) => return Poll::Ready(Err(Error::of(error))),
            }
        }
        Poll::Ready(Ok(self.read.take()))
    }
}
