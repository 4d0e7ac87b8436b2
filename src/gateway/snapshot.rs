//! Plain data about a running gateway, for health pages, model lists and gauges.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::layer::circuit_breaker::{BreakerHandle, BreakerReport};
use crate::upstream::ApiType;

/// A gateway at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its upstreams, in the order of configuration.
    pub upstreams: Vec<UpstreamSnapshot>,
}

/// An upstream at one moment.
#[derive(Clone, Debug)]
pub struct UpstreamSnapshot {
    /// Its name.
    pub name: Arc<str>,
    /// Its kind.
    pub api: ApiType,
    /// Its share of the picks.
    pub weight: u32,
    /// Lower goes first.
    pub priority: i32,
    /// The models it is known to serve, by the clients' names; patterns are not listed.
    pub models: Vec<Arc<str>>,
    /// Models with recent failures, resting or not.
    pub breaker: Vec<BreakerReport>,
}

impl Snapshot {
    /// Every model that clients can ask for by a known name, sorted.
    #[must_use]
    pub fn models(&self) -> Vec<Arc<str>> {
        let all: BTreeSet<&Arc<str>> = self.upstreams.iter().flat_map(|upstream| &upstream.models).collect();
        all.into_iter().cloned().collect()
    }
}

/// What a snapshot is taken from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) upstreams: Vec<(UpstreamSnapshot, Option<BreakerHandle>)>,
}

impl Source {
    pub(super) fn take(&self) -> Snapshot {
        let upstreams = self
            .upstreams
            .iter()
            .map(|(fixed, breaker)| UpstreamSnapshot {
                breaker: breaker.as_ref().map(BreakerHandle::report).unwrap_or_default(),
                ..fixed.clone()
            })
            .collect();
        Snapshot { upstreams }
    }
}
