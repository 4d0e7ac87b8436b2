//! The gauges of one upstream's health. Written when something changes, never by a request to who is healthy.

use std::collections::BTreeMap;
use std::sync::Arc;

use metrics::Gauge;
use tokio::time::Instant;

use super::{BreakerReport, BreakerState};
use crate::layer::metrics::names;

/// The label of a key, or of all of them.
pub(super) fn account(key: Option<usize>) -> String {
    key.map_or_else(|| "all".to_owned(), |position| position.to_string())
}

/// Gauges that have been written; what is over is written as 0 from then on.
#[derive(Default)]
pub(super) struct Gauges {
    states: BTreeMap<(Option<usize>, Option<Arc<str>>), Gauge>,
    rests: BTreeMap<(Option<usize>, &'static str), Gauge>,
}

impl Gauges {
    pub(super) fn set(&mut self, upstream: &str, reports: &[BreakerReport], now: Instant) {
        let mut rests: BTreeMap<_, f64> = self.rests.keys().map(|labels| (*labels, 0.0)).collect();
        let mut states: BTreeMap<_, f64> = self.states.keys().map(|labels| (labels.clone(), 0.0)).collect();
        for report in reports {
            let (state, rest) = match report.state {
                BreakerState::Closed { .. } => continue,
                BreakerState::HalfOpen => (1.0, 0.0),
                BreakerState::Open { until } => (2.0, until.saturating_duration_since(now).as_secs_f64()),
            };
            states.insert((report.key, report.model.clone()), state);
            let longest = rests.entry((report.key, report.reason)).or_default();
            *longest = longest.max(rest);
        }
        for ((key, model), state) in states {
            let model_label = model.clone().unwrap_or_else(|| Arc::from("all"));
            let gauge = self.states.entry((key, model)).or_insert_with(|| {
                metrics::gauge!(
                    names::BREAKER_STATE,
                    "upstream" => upstream.to_owned(), "account" => account(key), "model" => model_label.to_string()
                )
            });
            gauge.set(state);
        }
        for ((key, reason), rest) in rests {
            let gauge = self.rests.entry((key, reason)).or_insert_with(|| {
                metrics::gauge!(
                    names::COOLDOWN,
                    "upstream" => upstream.to_owned(), "account" => account(key), "reason" => reason
                )
            });
            gauge.set(rest);
        }
    }
}
