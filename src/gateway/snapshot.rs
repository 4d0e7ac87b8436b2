//! Plain data about a running gateway, for health pages, model lists and gauges.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::layer::health::{BreakerReport, Health};
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
    pub models: Vec<ModelSnapshot>,
    /// How many keys it has.
    pub keys: usize,
    /// What of it rests or has failed lately: itself, models, keys; see [`Health::report`].
    pub breaker: Vec<BreakerReport>,
}

impl UpstreamSnapshot {
    /// Whether it serves nobody: it rests as a whole, or each of its keys does.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        let rests = |key: Option<usize>| {
            self.breaker.iter().any(|entry| entry.key == key && entry.model.is_none() && entry.is_resting())
        };
        rests(None) || self.keys > 0 && (1..=self.keys).all(|key| rests(Some(key)))
    }
}

/// A model that clients can ask for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSnapshot {
    /// The clients' name.
    pub name: Arc<str>,
    /// Most input tokens, where known.
    pub max_input: Option<u64>,
    /// Most output tokens, where known.
    pub max_output: Option<u64>,
}

impl Snapshot {
    /// Every model that clients can ask for by a known name, sorted. Of several upstreams the smallest of the known
    /// limits holds: any of them may get the request.
    #[must_use]
    pub fn models(&self) -> Vec<ModelSnapshot> {
        let mut all: BTreeMap<&str, ModelSnapshot> = BTreeMap::new();
        for model in self.upstreams.iter().flat_map(|upstream| &upstream.models) {
            let known = all.entry(&model.name).or_insert_with(|| model.clone());
            known.max_input = smaller(known.max_input, model.max_input);
            known.max_output = smaller(known.max_output, model.max_output);
        }
        all.into_values().collect()
    }
}

fn smaller(one: Option<u64>, other: Option<u64>) -> Option<u64> {
    [one, other].into_iter().flatten().min()
}

/// What a snapshot is taken from.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) upstreams: Vec<(UpstreamSnapshot, Health)>,
}

impl Source {
    /// With what `report` tells of each upstream's health.
    pub(super) fn take(&self, report: impl Fn(&Health) -> Vec<BreakerReport>) -> Snapshot {
        let upstreams = self
            .upstreams
            .iter()
            .map(|(fixed, health)| UpstreamSnapshot { breaker: report(health), ..fixed.clone() })
            .collect();
        Snapshot { upstreams }
    }

    /// The health of an upstream, whose name is known without regard to case.
    pub(super) fn health(&self, upstream: &str) -> Option<&Health> {
        let named = |(fixed, _): &&(UpstreamSnapshot, Health)| fixed.name.eq_ignore_ascii_case(upstream);
        self.upstreams.iter().find(named).map(|(_, health)| health)
    }
}
