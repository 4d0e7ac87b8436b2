use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use super::plan::Plan;
use super::state_store::Recording;
use crate::error::{BoxError, Error};
use crate::protocol::canonical::{ErrorView, Event, FaultKind, FinishReason, StopFilter};
use crate::protocol::{Meter, StreamDecoder, StreamEncoder, sse};

pin_project! {
    /// A stream in the client's protocol, made of one in the upstream's, event by event.
    pub struct StreamBody<B> {
        // None: nothing more is wanted of it.
        #[pin]
        inner: Option<B>,
        machine: Machine,
        ended: bool,
    }
}

impl<B> StreamBody<B> {
    pub(super) fn new(inner: B, plan: &mut Plan) -> Self {
        StreamBody { inner: Some(inner), machine: Machine::new(plan), ended: false }
    }
}

impl<B> fmt::Debug for StreamBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("translate::StreamBody").field("ended", &self.ended).finish_non_exhaustive()
    }
}

/// The pure part: frames in, frames out.
struct Machine {
    events: sse::Decoder,
    decoder: StreamDecoder,
    pipe: Pipe,
}

impl Machine {
    fn new(plan: &mut Plan) -> Self {
        let Plan { exchange, dialect, stops, choices, estimator, shows_estimates, recording, .. } = plan;
        Machine {
            events: sse::Decoder::default(),
            decoder: StreamDecoder::with_dialect(exchange.upstream, dialect, exchange.seed),
            pipe: Pipe {
                stops: (!stops.is_empty()).then(|| StopFilter::new(stops, *choices)),
                meter: Meter::new(*estimator, exchange.client, *shows_estimates),
                recording: recording.take(),
                encoder: StreamEncoder::new(exchange),
                failure: None,
            },
        }
    }

    /// Translates what `feed` hands out of the event decoder.
    fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let Machine { events, decoder, pipe } = self;
        let fits = events.push(data, |event| decoder.event(&event, &mut |event| pipe.event(event, out)));
        if let Err(long) = fits {
            pipe.event(Event::Error(ErrorView::new(FaultKind::BadUpstream, long.to_string())), out);
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let Machine { events, decoder, pipe } = self;
        events.finish(|event| decoder.event(&event, &mut |event| pipe.event(event, out)));
        decoder.finish(&mut |event| pipe.event(event, out));
    }

    /// Whether the answer was ended here, and the upstream's is not wanted any more.
    fn is_over(&self) -> bool {
        self.pipe.stops.as_ref().is_some_and(StopFilter::is_over)
    }
}

/// What each event goes through.
struct Pipe {
    stops: Option<StopFilter>,
    meter: Meter,
    recording: Option<Recording>,
    encoder: StreamEncoder,
    failure: Option<ErrorView>,
}

impl Pipe {
    fn event(&mut self, event: Event<'_>, out: &mut Vec<u8>) {
        let Pipe { stops, meter, recording, encoder, failure } = self;
        // Also what is said behind a stop sequence was said, and is billed.
        meter.see(&event);
        let mut rest =
            |event: Event<'_>| meter.pass(event, &mut |event| write(event, recording, encoder, failure, out));
        match stops {
            Some(stops) => stops.event(event, &mut rest),
            None => rest(event),
        }
    }
}

/// Records and encodes an event; after an error nothing more is written.
fn write(
    event: Event<'_>,
    recording: &mut Option<Recording>,
    encoder: &mut StreamEncoder,
    failure: &mut Option<ErrorView>,
    out: &mut Vec<u8>,
) {
    if failure.is_some() {
        return;
    }
    let event = match event {
        // An agent must not take a broken call for a normal end (T162).
        Event::Finish { finish, .. } if finish.reason == FinishReason::Malformed => {
            Event::Error(ErrorView::new(FaultKind::BadUpstream, "the model made a malformed tool call"))
        }
        event => event,
    };
    if let Some(recording) = recording {
        recording.event(&event);
    }
    encoder.event(&event, out);
    if let Event::Error(view) = event {
        *failure = Some(view);
    }
}

impl<B> Body for StreamBody<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let mut this = self.project();
        loop {
            if *this.ended {
                return Poll::Ready(None);
            }
            let mut out = Vec::new();
            let Some(inner) = this.inner.as_mut().as_pin_mut() else {
                *this.ended = true;
                return Poll::Ready(None);
            };
            let error = match ready!(inner.poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    // Other protocols say more around a word of text.
                    out.reserve((data.len() + data.len() / 2).max(512));
                    this.machine.push(&data, &mut out);
                    if this.machine.is_over() {
                        // Dropped, it is cancelled.
                        this.inner.set(None);
                    }
                    None
                }
                Some(Err(error)) => {
                    let error = match Error::of(error) {
                        Error::Stream { error, .. } => *error,
                        error => error,
                    };
                    this.machine.pipe.event(Event::Error(error.view()), &mut out);
                    Some(error)
                }
                None => {
                    *this.ended = true;
                    this.machine.finish(&mut out);
                    None
                }
            };
            // The failure leaves as an error, with the client's own error event in its hands, so that
            // the breaker outside sees it.
            if let Some(view) = this.machine.pipe.failure.take() {
                *this.ended = true;
                let error = error.unwrap_or_else(|| Error::Codec(Box::new(view)));
                return Poll::Ready(Some(Err(Error::Stream { error: Box::new(error), event: out.into() })));
            }
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}
