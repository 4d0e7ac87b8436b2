//! What a layer further in reads off an answer on its way, for those further out.
//!
//! A guest in the request's extensions, put there by who needs the counts; if nobody keeps it, he reads the answer
//! himself. So it is known what a request has cost also if no answer comes of it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::protocol::Lengths;
use crate::protocol::canonical::Usage;

/// What is known of one answer so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Told>>);

/// What has been told, and what has been said.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Told {
    /// The upstream's own counts, as they come.
    pub(super) usage: Usage,
    /// Of a stream that is over, how much it said.
    pub(super) said: Lengths,
    /// Of a stream that is over, whether it came to its end: else the counts are not the last word.
    pub(super) is_whole: bool,
    /// Whether somebody writes here what he reads.
    pub(super) is_kept: bool,
}

impl Tally {
    /// What is known.
    pub(super) fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
