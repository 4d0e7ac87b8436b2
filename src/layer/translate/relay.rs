//! Answers in the client's own protocol that are not what it asked for.

use super::plan::Plan;
use super::{Settings, exchange, read};
use crate::error::Error;
use crate::payload::Payload;
use crate::protocol::{Dialect, Estimator, Operation};
use crate::seeds::Seeds;

/// A relayed request whose answer may be wanted in another form than it comes in.
#[doc(hidden)]
#[derive(Debug)]
pub struct Asked {
    payload: Payload,
    seed: u64,
    shows_estimates: bool,
}

impl Asked {
    /// None: whatever comes is passed on.
    pub(super) fn new(payload: &Payload, seeds: &Seeds, settings: &Settings) -> Option<Self> {
        let is_wanted = payload.operation() == Operation::CountTokens || payload.stream();
        is_wanted.then(|| Asked {
            payload: payload.clone(),
            seed: seeds.next(),
            shows_estimates: settings.estimate_usage,
        })
    }

    /// The request, if it only asks for a count, which the upstream may not offer.
    pub(super) fn count(&self) -> Option<&Payload> {
        (self.payload.operation() == Operation::CountTokens).then_some(&self.payload)
    }

    /// What it takes to make a stream of a whole answer, of an upstream that takes no notice of `stream` (section 4).
    pub(super) fn replay(&self) -> Result<Plan, Error> {
        let (_, mut canonical) = read(&self.payload)?;
        canonical.stream = true;
        let protocol = self.payload.protocol();
        Ok(Plan {
            exchange: exchange(&canonical, &self.payload, protocol, self.seed),
            // A client of the same protocol gets what the server wrote.
            dialect: Dialect::default(),
            warnings: None,
            recording: None,
            stops: Vec::new(),
            choices: 1,
            estimator: Estimator::new(&canonical, self.payload.model()),
            shows_estimates: self.shows_estimates,
            unanswered: None,
        })
    }
}
