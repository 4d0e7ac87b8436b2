//! Metric handles, looked up once per set of labels instead of once per request.
//!
//! A look-up in the recorder builds label strings and takes a lock; at a few thousand requests a second
//! that is a tenth of what a request costs. Sets of labels are closed, so these maps are small.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, PoisonError, RwLock};

use foldhash::fast::RandomState;
use metrics::{Counter, Histogram, counter, histogram};

use super::names;

/// Handles by labels.
#[derive(Default)]
pub(super) struct Recorded {
    requests: Cache<RequestLabels, Arc<RequestHandles>>,
    attempts: Cache<(Arc<str>, &'static str), Arc<AttemptHandles>>,
    tokens: Cache<(Arc<str>, Option<Arc<str>>, bool), Arc<[Counter; 6]>>,
}

/// The labels of a request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct RequestLabels {
    pub(super) client: &'static str,
    /// `None`: a model that is no label.
    pub(super) model: Option<Arc<str>>,
    pub(super) outcome: &'static str,
    pub(super) stream: bool,
}

/// The handles of a request.
pub(super) struct RequestHandles {
    pub(super) count: Counter,
    pub(super) duration: Histogram,
    pub(super) first_byte: Histogram,
}

/// The handles of an attempt.
pub(super) struct AttemptHandles {
    pub(super) count: Counter,
    pub(super) duration: Histogram,
}

/// The kinds of tokens, in the order of the counters.
pub(super) const TOKEN_KINDS: [&str; 6] =
    ["input", "cache_read", "cache_write_5m", "cache_write_1h", "output", "reasoning"];

/// How many of them are input.
pub(super) const INPUT_KINDS: usize = 4;

/// Where a count comes from.
pub(super) fn source(is_estimated: bool) -> &'static str {
    if is_estimated { "estimated" } else { "reported" }
}

fn model_label(model: Option<&Arc<str>>) -> String {
    model.map_or_else(|| "other".to_owned(), |model| model.to_string())
}

impl Recorded {
    pub(super) fn request(&self, labels: RequestLabels) -> Arc<RequestHandles> {
        self.requests.get(labels, |labels| {
            let RequestLabels { client, outcome, .. } = *labels;
            let model = model_label(labels.model.as_ref());
            let stream = if labels.stream { "true" } else { "false" };
            let count = counter!(
                names::REQUESTS,
                "client" => client, "model" => model.clone(), "outcome" => outcome, "stream" => stream
            );
            let duration = histogram!(
                names::REQUEST_DURATION, "client" => client, "model" => model.clone(), "stream" => stream
            );
            let first_byte = histogram!(
                names::TIME_TO_FIRST_BYTE, "client" => client, "model" => model, "stream" => stream
            );
            Arc::new(RequestHandles { count, duration, first_byte })
        })
    }

    pub(super) fn attempt(&self, upstream: &Arc<str>, outcome: &'static str) -> Arc<AttemptHandles> {
        self.attempts.get((upstream.clone(), outcome), |(upstream, outcome)| {
            let upstream = upstream.to_string();
            let count = counter!(names::ATTEMPTS, "upstream" => upstream.clone(), "result" => *outcome);
            let duration = histogram!(names::ATTEMPT_DURATION, "upstream" => upstream);
            Arc::new(AttemptHandles { count, duration })
        })
    }

    /// `is_estimated`: counted by the gateway, because the upstream has not told.
    pub(super) fn tokens(
        &self,
        upstream: &Arc<str>,
        model: Option<Arc<str>>,
        is_estimated: bool,
    ) -> Arc<[Counter; 6]> {
        self.tokens.get((upstream.clone(), model, is_estimated), |(upstream, model, is_estimated)| {
            Arc::new(TOKEN_KINDS.map(|kind| {
                counter!(
                    names::TOKENS,
                    "kind" => kind,
                    "source" => source(*is_estimated),
                    "upstream" => upstream.to_string(),
                    "model" => model_label(model.as_ref())
                )
            }))
        })
    }
}

struct Cache<K, V> {
    known: RwLock<HashMap<K, V, RandomState>>,
}

impl<K, V> Default for Cache<K, V> {
    fn default() -> Self {
        Cache { known: RwLock::default() }
    }
}

impl<K: Hash + Eq, V: Clone> Cache<K, V> {
    fn get(&self, key: K, make: impl FnOnce(&K) -> V) -> V {
        if let Some(known) = self.known.read().unwrap_or_else(PoisonError::into_inner).get(&key) {
            return known.clone();
        }
        let value = make(&key);
        self.known.write().unwrap_or_else(PoisonError::into_inner).insert(key, value.clone());
        value
    }
}
