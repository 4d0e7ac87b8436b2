use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::Client;
use super::array::ArrayFraming;
use crate::error::{BoxError, Error};
use crate::protocol::Observer;

/// Pieces of a stream that are at hand are joined up to this many bytes.
const JOIN: usize = 64 << 10;

pin_project! {
    /// Response body of [`Respond`](super::Respond).
    #[project = ResponseBodyProj]
    pub enum ResponseBody<B> {
        /// All of it at once.
        #[doc(hidden)]
        Full { bytes: Option<Bytes> },
        /// A document passes as it is.
        #[doc(hidden)]
        Document { #[pin] inner: B },
        /// A stream is joined, framed, and ended properly.
        #[doc(hidden)]
        Stream { #[pin] inner: B, stream: Stream },
    }
}

/// State of a stream's body.
#[doc(hidden)]
pub struct Stream {
    client: Client,
    array: Option<ArrayFraming>,
    /// What comes after the frame under way: an error's event.
    last: Option<Bytes>,
    ended: bool,
}

impl<B> ResponseBody<B> {
    pub(super) fn full(bytes: Bytes) -> Self {
        ResponseBody::Full { bytes: Some(bytes) }
    }

    pub(super) fn document(inner: B) -> Self {
        ResponseBody::Document { inner }
    }

    pub(super) fn stream(inner: B, client: Client) -> Self {
        let array = client.json_array.then(ArrayFraming::default);
        ResponseBody::Stream { inner, stream: Stream { client, array, last: None, ended: false } }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("respond::ResponseBody").finish_non_exhaustive()
    }
}

impl Stream {
    /// The bytes that end a failed stream in the client's protocol.
    fn last_words(&self, error: &Error) -> Bytes {
        self.client.note(error);
        match error {
            // Whoever read or wrote the stream knows its ids and numbers.
            Error::Stream { event, .. } => event.clone(),
            error => Observer::new(self.client.protocol).error_event(&error.view()).into(),
        }
    }

    fn frame(&mut self, bytes: Bytes) -> Bytes {
        match &mut self.array {
            Some(array) => array.push(&bytes),
            None => bytes,
        }
    }

    /// The end: what is left to say, once.
    fn end(&mut self) -> Option<Bytes> {
        self.ended = true;
        let mut rest = self.last.take().map(|bytes| self.frame(bytes)).unwrap_or_default();
        if let Some(mut array) = self.array.take() {
            rest = [rest, array.finish()].concat().into();
        }
        (!rest.is_empty()).then_some(rest)
    }
}

impl<B> Body for ResponseBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        match self.project() {
            ResponseBodyProj::Full { bytes } => {
                let bytes = bytes.take().filter(|bytes| !bytes.is_empty());
                Poll::Ready(bytes.map(|bytes| Ok(Frame::data(bytes))))
            }
            ResponseBodyProj::Document { inner } => {
                inner.poll_frame(cx).map(|frame| frame.map(|frame| frame.map_err(Error::of)))
            }
            ResponseBodyProj::Stream { mut inner, stream } => loop {
                if stream.ended {
                    return Poll::Ready(None);
                }
                match ready!(gather(inner.as_mut(), stream, cx)) {
                    Some(bytes) => {
                        let bytes = stream.frame(bytes);
                        if !bytes.is_empty() {
                            return Poll::Ready(Some(Ok(Frame::data(bytes))));
                        }
                    }
                    None => return Poll::Ready(stream.end().map(|bytes| Ok(Frame::data(bytes)))),
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            ResponseBody::Full { bytes } => bytes.as_ref().is_none_or(Bytes::is_empty),
            ResponseBody::Document { inner } => inner.is_end_stream(),
            ResponseBody::Stream { stream, .. } => stream.ended,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            ResponseBody::Full { bytes } => SizeHint::with_exact(bytes.as_ref().map_or(0, Bytes::len) as u64),
            ResponseBody::Document { inner } => inner.size_hint(),
            ResponseBody::Stream { .. } => SizeHint::default(),
        }
    }
}

/// Everything that is at hand, as one piece; `None` at the end. Never waits for more once it has some.
fn gather<B>(mut inner: Pin<&mut B>, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Option<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while stream.last.is_none() {
        match inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                let Ok(data) = frame.into_data() else { continue };
                if first.is_empty() {
                    first = data;
                } else {
                    if joined.is_empty() {
                        joined.extend_from_slice(&first);
                    }
                    joined.extend_from_slice(&data);
                }
                if first.len().max(joined.len()) >= JOIN {
                    break;
                }
            }
            Poll::Ready(Some(Err(error))) => stream.last = Some(stream.last_words(&Error::of(error))),
            Poll::Ready(None) => stream.last = Some(Bytes::new()),
            Poll::Pending if first.is_empty() => return Poll::Pending,
            Poll::Pending => break,
        }
    }
    if first.is_empty() {
        return Poll::Ready(None);
    }
    Poll::Ready(Some(if joined.is_empty() { first } else { joined.freeze() }))
}
