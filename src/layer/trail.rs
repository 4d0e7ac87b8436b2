//! What became of a request on its way: written by the layers below, read by logs and metrics above; and how many
//! attempts were made for it, of which all that make some keep one count.
//!
//! A guest in the request's extensions: every layer works when it is absent.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::protocol::canonical::Usage;

/// A shared note of one client request.
#[derive(Clone, Debug, Default)]
pub struct Trail(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    notes: Mutex<Notes>,
    attempts: Attempts,
}

/// What is noted.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// The model as the client called it.
    pub model: Option<Arc<str>>,
    /// The model of its chain that was asked for last, if its own could not be had.
    pub model_fallback: Option<Arc<str>>,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// The attempts, in order.
    pub attempts: Vec<Attempt>,
    /// Token counts of the answer, estimated where its upstream has told none.
    pub usage: Usage,
    /// The [`error_type`](crate::Error::error_type) that the client was told, as an HTTP error or at
    /// the end of a stream.
    pub failure: Option<&'static str>,
    /// Whether the answer broke off, and another upstream went on with it.
    pub is_continued: bool,
}

/// One attempt at one upstream.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The upstream's name.
    pub upstream: Arc<str>,
    /// The model that it was asked for, if a mapping changed the name.
    pub upstream_model: Option<Arc<str>>,
    /// `ok`, or the [`error_type`](crate::Error::error_type).
    pub outcome: &'static str,
    /// Time to the commit point or to the failure.
    pub duration: Duration,
}

/// In a response's extensions: a layer has answered in the upstream's place, without asking it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unasked;

impl Trail {
    /// The notes.
    pub fn lock(&self) -> MutexGuard<'_, Notes> {
        self.0.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The count of its attempts.
    pub(super) fn attempts(&self) -> &Attempts {
        &self.0.attempts
    }

    /// Adds to the notes, if the request carries a trail.
    pub fn note<B>(request: &http::Request<B>, write: impl FnOnce(&mut Notes)) {
        if let Some(trail) = request.extensions().get::<Trail>() {
            write(&mut trail.lock());
        }
    }
}

/// The attempts of one client request, over upstreams, their keys and fallback models.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    made: AtomicU32,
    // 0: nobody has set a ceiling.
    most: AtomicU32,
    is_over: AtomicBool,
    start: Mutex<Option<Instant>>,
}

impl Attempts {
    /// Sets the ceiling.
    pub(super) fn limit(&self, most: u32) {
        self.most.store(most, Ordering::Relaxed);
    }

    /// How many were made.
    pub(super) fn made(&self) -> u32 {
        self.made.load(Ordering::Relaxed)
    }

    /// Notes one more, unless there are as many as there may be.
    pub(super) fn add(&self) -> bool {
        let most = self.most.load(Ordering::Relaxed);
        let may = most == 0 || self.made() < most;
        self.made.fetch_add(u32::from(may), Ordering::Relaxed);
        may
    }

    /// Notes that no other may follow.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    /// Whether no other may follow.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// When they began: when this was first asked for.
    pub(super) fn start(&self) -> Instant {
        *self.start.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(Instant::now)
    }

    /// An answer had begun; what is to go on with it has the whole time again, but no more attempts.
    pub(super) fn restart(&self) {
        *self.start.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}
