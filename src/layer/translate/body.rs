use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body, Frame};
use pin_project_lite::pin_project;

use super::state_store::Recording;
use crate::error::{BoxError, Error};
use crate::protocol::canonical::{ErrorView, Event, Exchange, FaultKind, FinishReason};
use crate::protocol::{StreamDecoder, StreamEncoder, sse};

pin_project! {
    /// A stream in the client's protocol, made of one in the upstream's, event by event.
    pub struct StreamBody<B> {
        #[pin]
        inner: B,
        machine: Machine,
        ended: bool,
    }
}

impl<B> StreamBody<B> {
    pub(super) fn new(inner: B, exchange: &Exchange, recording: Option<Recording>) -> Self {
        StreamBody { inner, machine: Machine::new(exchange, recording), ended: false }
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
    encoder: StreamEncoder,
    recording: Option<Recording>,
    failure: Option<ErrorView>,
}

impl Machine {
    fn new(exchange: &Exchange, recording: Option<Recording>) -> Self {
        Machine {
            events: sse::Decoder::default(),
            decoder: StreamDecoder::new(exchange.upstream, exchange.seed),
            encoder: StreamEncoder::new(exchange),
            recording,
            failure: None,
        }
    }

    /// Translates what `feed` hands out of the event decoder.
    fn push(&mut self, data: &[u8], out: &mut Vec<u8>) {
        let Machine { events, decoder, encoder, recording, failure } = self;
        let mut sink = sink(encoder, recording, failure, out);
        let fits = events.push(data, |event| decoder.event(&event, &mut sink));
        if let Err(long) = fits {
            sink(Event::Error(ErrorView::new(FaultKind::BadUpstream, long.to_string())));
        }
    }

    fn finish(&mut self, out: &mut Vec<u8>) {
        let Machine { events, decoder, encoder, recording, failure } = self;
        let mut sink = sink(encoder, recording, failure, out);
        events.finish(|event| decoder.event(&event, &mut sink));
        decoder.finish(&mut sink);
    }

    fn fail(&mut self, view: ErrorView, out: &mut Vec<u8>) {
        let Machine { encoder, recording, failure, .. } = self;
        sink(encoder, recording, failure, out)(Event::Error(view));
    }
}

/// Records and encodes each event; after an error nothing more is written.
fn sink<'m>(
    encoder: &'m mut StreamEncoder,
    recording: &'m mut Option<Recording>,
    failure: &'m mut Option<ErrorView>,
    out: &'m mut Vec<u8>,
) -> impl FnMut(Event<'_>) + 'm {
    move |event| {
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
            let error = match ready!(this.inner.as_mut().poll_frame(cx)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    // Other protocols say more around a word of text.
                    out.reserve((data.len() + data.len() / 2).max(512));
                    this.machine.push(&data, &mut out);
                    None
                }
                Some(Err(error)) => {
                    let error = match Error::of(error) {
                        Error::Stream { error, .. } => *error,
                        error => error,
                    };
                    this.machine.fail(error.view(), &mut out);
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
            if let Some(view) = this.machine.failure.take() {
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
