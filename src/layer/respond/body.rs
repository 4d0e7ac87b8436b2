use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::time::Instant;

use super::Client;
use super::array::ArrayFraming;
use crate::error::{BoxError, Error};
use crate::joined::Joined;
use crate::protocol::Observer;

/// Pieces of a stream that are at hand are joined up to this many bytes.
const JOIN: usize = 64 << 10;

/// How often a piece may wait for the client's task to run again.
const MOST_STEPS: u32 = 64;

/// hyper's connection task needs two runs to hand over a piece: one to learn that the last one was taken,
/// one to send the next.
const BARREN_STEPS: u32 = 2;

/// A stream that was silent for longer is in no burst: what it says next leaves at once.
const BURST: Duration = Duration::from_millis(2);

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
        Stream { #[pin] inner: B, stream: Box<Stream> },
    }
}

/// State of a stream's body.
#[doc(hidden)]
#[derive(Debug)]
pub struct Stream {
    client: Client,
    array: Option<ArrayFraming>,
    /// What comes after the frame under way: an error's event.
    last: Option<Bytes>,
    joined: Joined,
    /// How often it has stepped back for more of this piece.
    steps: u32,
    /// How many of these steps in a row brought nothing.
    barren: u32,
    /// When the last piece left.
    left: Option<Instant>,
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
        ResponseBody::Stream {
            inner,
            stream: Box::new(Stream {
                client,
                array,
                last: None,
                joined: Joined::default(),
                steps: 0,
                barren: 0,
                left: None,
                ended: false,
            }),
        }
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
            error => Observer::new(self.client.protocol)
                .error_event(&self.client.view(error), self.client.dialect)
                .into(),
        }
    }

    /// Whether more of this piece may be had by stepping back.
    fn may_step(&self) -> bool {
        if self.steps == 0 {
            return self.left.is_some_and(|left| left.elapsed() < BURST);
        }
        self.barren < BARREN_STEPS && self.steps < MOST_STEPS
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

/// Everything that is at hand, as one piece; `None` at the end.
///
/// An HTTP client hands out one piece at a time, although it has read many: the next one comes only when
/// its task has run again. So, having got something, this steps back once to let that task run, and again
/// for as long as more comes of it; then all of it leaves in one write. That is the one place that wakes
/// itself: a write for each of the pieces would cost more than everything else the gateway does to them
/// (`benches/overhead.rs`, W1s and W4). It never waits for what has not been read yet, and it does not step
/// back at all where that has no prospect: at the first piece, and when the model thinks between two words
/// (W4p and W6).
fn gather<B>(mut inner: Pin<&mut B>, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<Option<Bytes>>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    while stream.last.is_none() && stream.joined.len() < JOIN {
        match inner.as_mut().poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    stream.barren = 0;
                    stream.joined.push(data);
                }
            }
            Poll::Ready(Some(Err(error))) => stream.last = Some(stream.last_words(&Error::of(error))),
            Poll::Ready(None) => stream.last = Some(Bytes::new()),
            Poll::Pending if stream.joined.is_empty() => return Poll::Pending,
            Poll::Pending if stream.may_step() => {
                stream.barren += 1;
                stream.steps += 1;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Poll::Pending => break,
        }
    }
    (stream.steps, stream.barren) = (0, 0);
    stream.left = Some(Instant::now());
    let all = stream.joined.take();
    Poll::Ready((!all.is_empty()).then_some(all))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{ClientDialect, Protocol};
    use http_body_util::{BodyExt as _, StreamBody};

    #[tokio::test(start_paused = true)]
    async fn what_the_upstreams_task_has_at_hand_leaves_in_one_piece() {
        let pieces = pieces(Duration::ZERO).await;
        assert_eq!(pieces, ["0", "123456789"], "the first piece waits for nobody");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_stream_is_never_held_back() {
        let pieces = pieces(Duration::from_millis(20)).await;
        assert_eq!(pieces.len(), 10);
    }

    async fn pieces(pause: Duration) -> Vec<Bytes> {
        let (mut sender, receiver) = futures_util_channel();
        tokio::spawn(async move {
            for number in 0..10u8 {
                sender.send(vec![b'0' + number]).await;
                if !pause.is_zero() {
                    tokio::time::sleep(pause).await;
                }
            }
        });
        let body = StreamBody::new(futures_util::stream::unfold(receiver, |mut receiver| async move {
            let data = receiver.recv().await?;
            Some((Ok::<_, Error>(Frame::data(Bytes::from(data))), receiver))
        }));
        let client = Client {
            protocol: Protocol::OpenAi,
            dialect: ClientDialect::default(),
            json_array: false,
            trail: None,
            request_id: None,
        };
        let mut body = Box::pin(ResponseBody::stream(Box::pin(body), client));
        let mut pieces = Vec::new();
        while let Some(frame) = body.frame().await {
            pieces.push(frame.unwrap().into_data().unwrap());
        }
        pieces
    }

    /// A channel of one piece, as HTTP clients have between their connection and its bodies.
    fn futures_util_channel() -> (Sender, tokio::sync::mpsc::Receiver<Vec<u8>>) {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        (Sender(sender), receiver)
    }

    struct Sender(tokio::sync::mpsc::Sender<Vec<u8>>);

    impl Sender {
        async fn send(&mut self, piece: Vec<u8>) {
            self.0.send(piece).await.unwrap();
        }
    }
}
