//! `failover` and `model_fallback`: who is asked after a failure, and how often.

use std::num::NonZeroU32;

use super::read::{boolean, count, longer_than_nothing};
use super::reader::{Field, Map};
use crate::layer::failover::{Backoff, RetryBudget, StatusPattern};

/// When and how often a request goes to another upstream (`failover`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failover {
    /// Most attempts of one request, all upstreams and fallback models together. Default 5.
    pub max_attempts: NonZeroU32,
    /// Attempts at one upstream before the next one is tried. Default 1.
    pub attempts_per_upstream: NonZeroU32,
    /// How long an upstream is left alone before the same request asks it again.
    pub backoff: Backoff,
    /// The further attempts of all requests together; `None` is no limit. Default 20 for a hundred requests, and 10 a
    /// second.
    pub budget: Option<RetryBudget>,
    /// The statuses of an upstream that make another one be tried. Default any 4xx and 5xx.
    pub on: Vec<StatusPattern>,
}

impl Default for Failover {
    fn default() -> Self {
        Failover {
            max_attempts: NonZeroU32::MIN.saturating_add(4),
            attempts_per_upstream: NonZeroU32::MIN,
            backoff: Backoff::default(),
            budget: Some(RetryBudget::default()),
            on: vec![StatusPattern::Class(4), StatusPattern::Class(5)],
        }
    }
}

pub(super) fn read(map: &Map<'_>) -> Failover {
    let default = Failover::default();
    Failover {
        max_attempts: count(map, "max_attempts").unwrap_or(default.max_attempts),
        attempts_per_upstream: count(map, "attempts_per_upstream").unwrap_or(default.attempts_per_upstream),
        backoff: map.section("backoff", backoff),
        budget: map.section("budget", budget),
        on: map.get("on").map(|field| statuses(&field)).unwrap_or(default.on),
    }
}

fn backoff(map: &Map<'_>) -> Backoff {
    let default = Backoff::default();
    let time = |key, base| map.get(key).and_then(|field| longer_than_nothing(&field)).unwrap_or(base);
    Backoff { base: time("base", default.base), max: time("max", default.max) }
}

fn budget(map: &Map<'_>) -> Option<RetryBudget> {
    let default = RetryBudget::default();
    let figure = |key, most, base| {
        let figure = map.get(key).and_then(|field| field.whole(0..=most));
        figure.and_then(|figure| u32::try_from(figure).ok()).unwrap_or(base)
    };
    let budget = RetryBudget {
        percent: figure("percent", 1000, default.percent),
        per_second: figure("per_second", 1_000_000, default.per_second),
    };
    boolean(map, "enabled", true).then_some(budget)
}

fn statuses(field: &Field<'_>) -> Vec<StatusPattern> {
    let items = field.items();
    if items.is_empty() {
        field.problem("must not be empty; leave it out for any 4xx and 5xx");
    }
    items.iter().filter_map(|item| item.parsed(STATUS, status)).collect()
}

const STATUS: &str = "a status such as 4xx, 5xx or 529";

fn status(text: &str) -> Result<StatusPattern, String> {
    match StatusPattern::parse(text) {
        Some(pattern @ (StatusPattern::Class(4 | 5) | StatusPattern::Exact(400..))) => Ok(pattern),
        _ => Err(format!("must be {STATUS}, between 400 and 599")),
    }
}

/// Pairs of a model and those to ask for after it.
pub(super) fn models(map: &Map<'_>) -> Vec<(String, Vec<String>)> {
    let Some(field) = map.get("model_fallback") else { return Vec::new() };
    let pairs = field.pairs().unwrap_or_default();
    let mut chains = Vec::with_capacity(pairs.len());
    for (key, value) in pairs {
        let items = value.items();
        let models: Vec<String> = items.iter().filter_map(Field::words).collect();
        if items.is_empty() {
            value.problem("must be one model or several");
        } else if models.iter().any(|model| model == key.text) {
            value.problem("must not lead from a model to itself");
        }
        chains.extend(key.words().map(|model| (model, models)));
    }
    chains
}
