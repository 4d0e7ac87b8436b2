//! Watches a native stream on its way: has it begun, may it end here.

use crate::error::Error;
use crate::layer::request_id::RequestId;
use crate::layer::tally::Tally;
use crate::protocol::canonical::{ErrorView, FaultKind, Usage};
use crate::protocol::sse::{Decoder, Then};
use crate::protocol::{ClientDialect, Observer, Protocol, Signal};

/// Whether content has begun.
#[derive(Debug)]
pub(super) enum Begun {
    No,
    Yes,
    /// The upstream reports an error, in an event that is the last.
    Error(Box<ErrorView>),
    /// An event that no client can read, or that is beyond the limit: it is held back, with all that follows.
    Spoilt(Box<ErrorView>),
    /// What came after the end of the answer is held back.
    Over,
}

/// Watches one stream. The frames themselves pass untouched.
#[derive(Debug)]
pub(super) struct Watch {
    decoder: Decoder,
    observer: Observer,
    tally: Tally,
    told: Usage,
    request_id: Option<RequestId>,
    client_dialect: ClientDialect,
}

impl Watch {
    /// Notes the stream's token counts in `tally`.
    pub(super) fn new(protocol: Protocol, tally: Tally) -> Self {
        Watch {
            decoder: Decoder::default(),
            observer: Observer::new(protocol),
            tally,
            told: Usage::default(),
            request_id: None,
            client_dialect: ClientDialect::default(),
        }
    }

    /// What the client is to read that the stream breaks for: the id of the request, and in which shape.
    pub(super) fn end_for(&mut self, request_id: Option<RequestId>, dialect: ClientDialect) {
        (self.request_id, self.client_dialect) = (request_id, dialect);
    }

    fn tell(&mut self) {
        let usage = self.observer.seen().usage;
        if usage != self.told {
            self.told = usage;
            self.tally.lock().usage = usage;
        }
    }

    /// What only those need who know that it is over.
    fn tell_end(&self) {
        let seen = self.observer.seen();
        let mut told = self.tally.lock();
        (told.said, told.is_whole) = (seen.said, seen.may_end);
    }

    /// Looks at a frame; an error counts even behind content of the same frame.
    pub(super) fn push(&mut self, data: &[u8]) -> Begun {
        let mut begun = Begun::No;
        let observer = &mut self.observer;
        let fits = self.decoder.push_until(data, |event| note(&mut begun, observer.event(&event)));
        self.tell();
        match fits {
            Ok(()) => begun,
            Err(long) => Begun::Spoilt(Box::new(ErrorView::new(FaultKind::BadUpstream, long.to_string()))),
        }
    }

    /// Looks at a last event that no blank line closed.
    pub(super) fn finish(&mut self) -> Begun {
        let mut begun = Begun::No;
        let observer = &mut self.observer;
        self.decoder.finish(|event| {
            note(&mut begun, observer.event(&event));
        });
        self.tell();
        self.tell_end();
        begun
    }

    /// How many bytes at the end of what came so far are no whole event yet.
    pub(super) fn unfinished(&self) -> usize {
        self.decoder.unfinished()
    }

    /// Whether the stream may end here as a complete answer.
    pub(super) fn may_end(&self) -> bool {
        self.observer.seen().may_end
    }

    /// Whether the answer has ended, and nothing that follows belongs to it.
    pub(super) fn is_over(&self) -> bool {
        self.observer.seen().is_over
    }

    /// Makes `error` the end of the stream: what a client that reads it raw is to see (5.4).
    pub(super) fn end_with(&self, error: Error) -> Error {
        match error {
            Error::Stream { .. } => error,
            error => {
                let mut view = error.view();
                let own = || self.request_id.as_ref().map(RequestId::to_string);
                view.request_id = view.request_id.take().or_else(own);
                let event = self.observer.error_event(&view, self.client_dialect).into();
                Error::Stream { error: Box::new(error), event }
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tell_end();
    }
}

/// The first error is the one that explains the others; nothing behind it is looked at.
fn note(begun: &mut Begun, signal: Signal) -> Then {
    let (found, then) = match signal {
        Signal::Quiet => return Then::GoOn,
        Signal::Content => (Begun::Yes, Then::GoOn),
        Signal::Error(view) => (Begun::Error(Box::new(view)), Then::Stop),
        Signal::Unreadable => {
            let view =
                ErrorView::new(FaultKind::BadUpstream, "the upstream sent an event that cannot be read");
            (Begun::Spoilt(Box::new(view)), Then::PutBack)
        }
        Signal::Over if matches!(begun, Begun::Yes) => return Then::PutBack,
        Signal::Over => (Begun::Over, Then::PutBack),
    };
    *begun = found;
    then
}
