//! What became of a request on its way: written by the layers below, read by logs and metrics above.
//!
//! A guest in the request's extensions: every layer works when it is absent.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::protocol::canonical::Usage;

/// A shared note of one client request.
#[derive(Clone, Debug, Default)]
pub struct Trail(Arc<Mutex<Notes>>);

/// What is noted.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    /// The model as the client called it.
    pub model: Option<Arc<str>>,
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
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds to the notes, if the request carries a trail.
    pub fn note<B>(request: &http::Request<B>, write: impl FnOnce(&mut Notes)) {
        if let Some(trail) = request.extensions().get::<Trail>() {
            write(&mut trail.lock());
        }
    }
}
