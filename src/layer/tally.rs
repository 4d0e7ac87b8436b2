//! Token counts that a layer further in reads off an answer on its way, for those further out.
//!
//! A guest in the response's extensions: who needs the counts and finds no tally reads the answer himself.

use std::sync::{Arc, Mutex, PoisonError};

use crate::protocol::canonical::Usage;

/// The token counts of one answer so far.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally(Arc<Mutex<Usage>>);

impl Tally {
    /// Replaces what is known.
    pub(super) fn set(&self, usage: Usage) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = usage;
    }

    /// What is known.
    pub(super) fn get(&self) -> Usage {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
