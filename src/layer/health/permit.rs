//! The right to call, and the duty to say how it went.

use std::sync::Arc;

use tokio::time::Instant;

use super::circuit::{Admission, Failure};
use super::{Health, Scope};
use crate::error::Error;
use crate::layer::metrics::names;

/// One call to an upstream, or with one of its keys. Dropped without a word it counts nothing, and a probe's slot returns:
/// its client has left, or was itself at fault.
pub(in crate::layer) struct Permit {
    health: Health,
    /// From 0 on; `None`: the call is the upstream's.
    key: Option<usize>,
    /// The clients' name for the upstream, its own for a key.
    model: Arc<str>,
    admission: Admission,
}

impl Permit {
    pub(super) fn new(health: Health, key: Option<usize>, model: Arc<str>, admission: Admission) -> Self {
        Permit { health, key, model, admission }
    }

    /// The key, from 0 on.
    pub(in crate::layer) fn key(&self) -> Option<usize> {
        self.key
    }

    /// The answer has begun. A probe has done its work then, but for the case that the answer breaks off.
    pub(in crate::layer) fn begun(&mut self) {
        let admission = std::mem::take(&mut self.admission);
        if admission.is_probe() {
            self.settle(|circuits, model| circuits.begun(model, admission));
            self.closed();
        }
    }

    /// The call succeeded.
    pub(in crate::layer) fn success(mut self) {
        let admission = std::mem::take(&mut self.admission);
        if admission.is_probe() || self.health.is_troubled() {
            self.settle(|circuits, model| circuits.success(model, admission, Instant::now()));
        }
        if admission.is_probe() {
            self.closed();
        }
    }

    /// The call failed. What proves nothing about who the permit is for counts nothing.
    pub(in crate::layer) fn failure(mut self, error: &Error) {
        let Some((scope, failure)) = Failure::of(error) else { return };
        let admission = std::mem::take(&mut self.admission);
        let now = Instant::now();
        let is_of_key = matches!(scope, Scope::Key | Scope::KeyModel);
        let model = self.model();
        let has_opened = self.health.change(|state| {
            let has_keys = !state.keys.is_empty();
            let Some(circuits) = state.of(self.key) else { return false };
            match self.key {
                None if is_of_key && has_keys => circuits.reached(model, admission, now),
                None => return circuits.failure(model, admission, now, &failure),
                Some(_) if !is_of_key => circuits.give_back(model, admission),
                Some(key) => return state.key_failed(key, model, admission, now, failure),
            }
            false
        });
        if has_opened {
            let upstream = &*self.health.shared.upstream;
            let key = self.key.map(|key| key + 1);
            tracing::warn!(upstream, key, model, reason = failure.reason, "circuit opened");
            if !upstream.is_empty() {
                metrics::counter!(
                    names::BREAKER_TRANSITIONS,
                    "upstream" => upstream.to_owned(), "account" => super::gauges::account(key),
                    "reason" => failure.reason
                )
                .increment(1);
            }
            self.health.publish();
        }
    }

    fn closed(&self) {
        let key = self.key.map(|key| key + 1);
        tracing::info!(upstream = &*self.health.shared.upstream, key, model = self.model(), "circuit closed");
        self.health.publish();
    }

    fn model(&self) -> &str {
        match self.key {
            None => self.health.own_name(&self.model),
            Some(_) => &self.model,
        }
    }

    fn settle(&self, settle: impl FnOnce(&mut super::Circuits, &str)) {
        let model = self.model();
        self.health.change(|state| {
            if let Some(circuits) = state.of(self.key) {
                settle(circuits, model);
            }
        });
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let admission = std::mem::take(&mut self.admission);
        if admission.is_probe() {
            self.settle(|circuits, model| circuits.give_back(model, admission));
        }
    }
}
