//! What a response will need of its request.

use http::HeaderValue;

use super::read;
use super::state_store::Recording;
use crate::error::Error;
use crate::payload::Payload;
use crate::protocol::canonical::{Exchange, FaultKind, Overflow};
use crate::protocol::{Dialect, Estimator, estimate_tokens};

#[derive(Debug)]
pub(super) struct Plan {
    pub(super) exchange: Exchange,
    pub(super) dialect: Dialect,
    pub(super) warnings: Option<HeaderValue>,
    pub(super) recording: Option<Recording>,
    /// Stop sequences that the upstream does not know of, and in how many choices to look for them.
    pub(super) stops: Vec<String>,
    pub(super) choices: usize,
    pub(super) estimator: Estimator,
    pub(super) shows_estimates: bool,
    /// Until an answer begins.
    pub(super) unanswered: Option<Unanswered>,
}

/// A request that may yet turn out to be too long.
#[derive(Debug)]
pub(super) struct Unanswered {
    /// As the client sent it.
    pub(super) payload: Payload,
    /// Most tokens that the model takes, where known.
    pub(super) limit: Option<u64>,
}

impl Unanswered {
    /// A failure as the client is to read it: an overflow with what is known of its figures (T169). The size is
    /// estimated only now, and with more care than for every request: agents cut as much as it is above the limit.
    pub(super) fn explain(&self, mut error: Error) -> Error {
        if let Error::Upstream(answer) = &mut error
            && answer.view.kind == FaultKind::ContextLength
            && answer.view.overflow().sizes().is_none()
        {
            let size =
                read(&self.payload).map(|(_, request)| estimate_tokens(&request, self.payload.model()));
            answer.view.tell(Overflow { asked: size.ok(), limit: self.limit, answer: None });
        }
        error
    }
}
