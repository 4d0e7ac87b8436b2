use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

use super::pieces::Pieces;
use super::watch::{Begun, Watch};
use crate::error::{BoxError, Clock, Error, Stage};
use crate::layer::metrics::names;
use crate::protocol::canonical::ErrorView;
use crate::silence::Silence;
use crate::upstream::secrets::{self, Secrets};

/// How long the end of a body is waited for whose answer has ended: its connection can be used again, but an upstream
/// that holds it open must not hold up the client.
const LINGER: Duration = Duration::from_secs(1);

/// The longest that may follow the end of an answer, in pieces.
const LAST_MARK: &[u8] = b"data: [DONE]\r\n\r\n";

pin_project! {
    /// Response body of [`Classify`](super::Classify): what was held, then the rest, watched.
    pub struct ResponseBody<B> {
        passing: Passing,
        rest: Option<Rest<B>>,
        // An error that stands behind content already passed on.
        failure: Option<Error>,
        // Since the last content, or since the end of the answer.
        silence: Silence,
        lingers: bool,
    }
}

struct Rest<B> {
    body: Pin<Box<B>>,
    watch: Box<Watch>,
    secrets: Option<Secrets>,
}

impl<B> Rest<B> {
    /// What the upstream told of a failure.
    fn reported(&self, mut view: Box<ErrorView>) -> Error {
        secrets::cross_out_of(self.secrets.as_ref(), &mut view);
        Error::Codec(view)
    }
}

/// Bytes on their way to the client, untouched and in order. The start of an event waits for its end:
/// should the stream break within it, what ends the stream in its place must not land in the middle.
#[derive(Default)]
struct Passing {
    whole: VecDeque<Bytes>,
    torn: Pieces,
}

impl Passing {
    /// Takes the next bytes; of all that came, the last `unfinished` are no whole event yet.
    fn push(&mut self, data: Bytes, unfinished: usize) {
        self.torn.push(data);
        self.torn.move_to(&mut self.whole, self.torn.len().saturating_sub(unfinished));
    }

    /// What came is complete. Many clients lose a last event that no blank line closes (T009).
    fn close(&mut self) {
        if self.torn.len() > 0 {
            self.torn.move_to(&mut self.whole, usize::MAX);
            self.whole.push_back(Bytes::from_static(b"\n\n"));
        }
    }

    /// Crosses secrets out of what stands here: an upstream's words on a failure, as a rule.
    fn cross_out(&mut self, secrets: Option<&Secrets>) {
        let all: Vec<u8> = self.whole.iter().flatten().copied().collect();
        if let Some(less) = secrets::cross_out(secrets, &all) {
            self.whole = VecDeque::from([Bytes::from(less)]);
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        self.whole.pop_front()
    }
}

impl<B> ResponseBody<B> {
    pub(super) fn document(bytes: Bytes) -> Self {
        let passing = Passing { whole: VecDeque::from([bytes]), ..Passing::default() };
        ResponseBody { passing, rest: None, failure: None, silence: Silence::new(None), lingers: false }
    }

    pub(super) fn stream(
        held: Pieces,
        body: Pin<Box<B>>,
        watch: Box<Watch>,
        secrets: Option<Secrets>,
        content_gap: Option<Duration>,
    ) -> Self {
        let mut passing = Passing { torn: held, ..Passing::default() };
        passing.push(Bytes::new(), watch.unfinished());
        let silence = Silence::new(content_gap);
        let rest = Some(Rest { body, watch, secrets });
        ResponseBody { passing, rest, failure: None, silence, lingers: false }
    }
}

impl<B> fmt::Debug for ResponseBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("classify::ResponseBody")
            .field("held", &self.passing.torn.len())
            .finish_non_exhaustive()
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
        let this = self.project();
        loop {
            if let Some(data) = this.passing.pop() {
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if let Some(error) = this.failure.take() {
                *this.rest = None;
                return Poll::Ready(Some(Err(error)));
            }
            let Some(rest) = this.rest else { return Poll::Ready(None) };
            if rest.watch.is_over() && rest.watch.unfinished() > LAST_MARK.len() {
                // More than an answer: neither that nor the connection is of use.
                *this.rest = None;
                continue;
            }
            let frame = match rest.body.as_mut().poll_frame(cx) {
                Poll::Ready(frame) => frame.map(|frame| frame.map_err(broken)),
                Poll::Pending => {
                    if rest.watch.is_over() && !std::mem::replace(this.lingers, true) {
                        *this.silence = Silence::started(Some(LINGER));
                    }
                    ready!(this.silence.poll(cx));
                    Some(Err(match rest.watch.may_end() {
                        true => Error::Timeout(Clock::Content),
                        false => stalled(Clock::Content),
                    }))
                }
            };
            match frame {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let begun = rest.watch.push(&data);
                    this.passing.push(data, rest.watch.unfinished());
                    *this.failure = match begun {
                        Begun::No | Begun::Over => None,
                        Begun::Yes => {
                            this.silence.end();
                            None
                        }
                        // The upstream's own error event reaches a relayed client as it is; the stream is
                        // a failure all the same, and ends here.
                        Begun::Error(view) => {
                            this.passing.cross_out(rest.secrets.as_ref());
                            let error = Box::new(rest.reported(view));
                            Some(Error::Stream { error, event: Bytes::new() })
                        }
                        Begun::Spoilt(view) => Some(rest.watch.end_with(rest.reported(view))),
                    };
                }
                // All was said: how the connection ends is no concern of the client's.
                Some(Err(_)) if rest.watch.may_end() => {
                    *this.rest = None;
                }
                Some(Err(error)) => *this.failure = Some(rest.watch.end_with(error)),
                None => {
                    *this.failure = match rest.watch.finish() {
                        Begun::Error(view) | Begun::Spoilt(view) => Some(rest.reported(view)),
                        begun if rest.watch.may_end() => {
                            if !matches!(begun, Begun::Over) {
                                this.passing.close();
                            }
                            None
                        }
                        _ => Some(Error::codec("the upstream's stream ended before its answer did")),
                    }
                    .map(|error| rest.watch.end_with(error));
                    *this.rest = None;
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.passing.whole.is_empty() && self.rest.is_none() && self.failure.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.rest, &self.failure) {
            (None, None) => {
                SizeHint::with_exact(self.passing.whole.iter().map(Bytes::len).sum::<usize>() as u64)
            }
            _ => SizeHint::default(),
        }
    }
}

fn broken(error: impl Into<BoxError>) -> Error {
    match Error::of(error) {
        Error::Internal(source) => Error::Transport { stage: Stage::Body, source },
        error => error,
    }
}

/// Nothing came that means content.
pub(super) fn stalled(clock: Clock) -> Error {
    let stage = if clock == Clock::FirstContent { "first_content" } else { "content" };
    metrics::counter!(names::STREAM_STALLS, "stage" => stage).increment(1);
    Error::Timeout(clock)
}
