//! What a layer further in reads off an answer on its way, for those further out.
//!
//! A guest in the response's extensions: who needs the counts and finds no tally reads the answer himself.

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
}

impl Tally {
    /// What is known.
    pub(super) fn lock(&self) -> MutexGuard<'_, Told> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
