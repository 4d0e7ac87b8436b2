//! What was paid for and not used.
//!
//! Counted is what an upstream has told, or else an estimate from the length of the request and of what was said.
//! Nothing is counted for an attempt of which no upstream is known to have done any work: connections that were
//! refused or broke before an answer, error answers, pages that are no answer. Should a provider bill such an attempt
//! all the same, nobody but its invoice knows. An attempt that is abandoned counts from its beginning, whether or not
//! the upstream had got the request by then.

use metrics::counter;

use crate::error::{Clock, Error, Stage};
use crate::layer::metrics::{names, tokens_by_kind};
use crate::layer::tally::Told;
use crate::protocol::Lengths;
use crate::protocol::canonical::Usage;

/// Why it was not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    /// The upstream failed.
    Failed,
    /// The client left, or the time of the whole request was over.
    Abandoned,
}

/// Whether an attempt that failed so before its answer began has cost anything.
pub(super) fn is_worked_on(told: &Told, error: &Error) -> bool {
    let has_begun = !told.usage.is_empty() || told.said != Lengths::default();
    has_begun
        || matches!(
            error,
            Error::Timeout(Clock::Head | Clock::FirstContent | Clock::Content | Clock::Idle)
                | Error::Transport { stage: Stage::Body, .. }
        )
}

/// Counts what `upstream` did for nothing.
pub(super) fn count(upstream: &str, usage: &Usage, reason: Reason) {
    // A layer that was given no name stands alone.
    if upstream.is_empty() {
        return;
    }
    let reason = match reason {
        Reason::Failed => "failed",
        Reason::Abandoned => "abandoned",
    };
    for (kind, source, tokens) in tokens_by_kind(usage) {
        counter!(
            names::WASTED_TOKENS,
            "upstream" => upstream.to_owned(), "kind" => kind, "reason" => reason, "source" => source
        )
        .increment(tokens);
    }
}
