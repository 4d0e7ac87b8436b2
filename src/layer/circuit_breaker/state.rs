//! The breaker's machine: pure, told the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::layer::balance::Eligibility;

/// Models with failures that one upstream remembers. Only failures make entries and success removes
/// them, but a client may invent model names for an upstream that takes any.
const MOST_MODELS: usize = 1024;

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Consecutive failures that open it. Default 3; 0: it never opens.
    pub failures: u32,
    /// How long it stays open before one probe is let through. Default 30 minutes.
    pub open_for: Duration,
}

impl BreakerPolicy {
    /// A breaker that never opens.
    pub const NEVER: BreakerPolicy = BreakerPolicy { failures: 0, open_for: Duration::ZERO };
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        BreakerPolicy { failures: 3, open_for: Duration::from_secs(30 * 60) }
    }
}

/// State of one upstream for one model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Healthy, perhaps with some failures in a row.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// Resting.
    Open {
        /// When a probe may pass.
        until: Instant,
    },
    /// One probe is under way; nobody else passes.
    HalfOpen,
}

/// The breakers of one upstream, by model.
#[derive(Debug)]
pub(super) struct Breakers {
    policy: BreakerPolicy,
    by_model: HashMap<Arc<str>, Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    state: BreakerState,
    reason: &'static str,
}

/// What a call may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Admission {
    Normal,
    Probe,
}

impl Breakers {
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        Breakers { policy, by_model: HashMap::new() }
    }

    pub(super) fn eligibility(&self, model: &str, now: Instant) -> Eligibility {
        match self.by_model.get(model).map(|entry| entry.state) {
            Some(BreakerState::Open { until }) if now < until => {
                Eligibility::Unavailable { until: Some(until) }
            }
            // How long the probe takes nobody knows; a second is a fair guess for Retry-After.
            Some(BreakerState::HalfOpen) => {
                Eligibility::Unavailable { until: Some(now + Duration::from_secs(1)) }
            }
            _ => Eligibility::Yes,
        }
    }

    /// Lets a call through, or says until when not.
    pub(super) fn admit(&mut self, model: &str, now: Instant) -> Result<Admission, Option<Instant>> {
        match self.eligibility(model, now) {
            Eligibility::Unavailable { until } => Err(until),
            Eligibility::NotServed => Err(None),
            Eligibility::Yes => match self.by_model.get_mut(model) {
                Some(entry) if matches!(entry.state, BreakerState::Open { .. }) => {
                    entry.state = BreakerState::HalfOpen;
                    Ok(Admission::Probe)
                }
                _ => Ok(Admission::Normal),
            },
        }
    }

    /// A call succeeded. Only a probe closes an open breaker: a request from before it opened proves
    /// nothing about now.
    pub(super) fn success(&mut self, model: &str, admission: Admission) {
        match (admission, self.by_model.get(model).map(|entry| entry.state)) {
            (Admission::Probe, _) | (Admission::Normal, Some(BreakerState::Closed { .. })) => {
                self.by_model.remove(model);
            }
            (Admission::Normal, _) => {}
        }
    }

    /// A call failed by the upstream's fault. `rest` is the upstream's own wish, if it told one.
    /// Returns whether the breaker is open now because of it.
    pub(super) fn failure(
        &mut self,
        model: &str,
        admission: Admission,
        now: Instant,
        reason: &'static str,
        rest: Option<Duration>,
    ) -> bool {
        if self.policy.failures == 0 {
            return false;
        }
        let failures = match self.by_model.get(model).map(|entry| entry.state) {
            Some(BreakerState::Closed { failures }) => failures.saturating_add(1),
            None => 1,
            // Failures of requests that began before it opened do not prolong the rest.
            Some(_) if admission == Admission::Normal => return false,
            Some(_) => self.policy.failures,
        };
        let rest = rest.filter(|rest| !rest.is_zero()).map(|rest| rest.min(self.policy.open_for));
        let state = match rest {
            Some(rest) => BreakerState::Open { until: now + rest },
            None if failures >= self.policy.failures => {
                BreakerState::Open { until: now + self.policy.open_for }
            }
            None => BreakerState::Closed { failures },
        };
        self.insert(model, Entry { state, reason });
        matches!(state, BreakerState::Open { .. })
    }

    /// A probe came to nothing (its client left): the next request may probe.
    pub(super) fn release(&mut self, model: &str, admission: Admission, now: Instant) {
        if admission == Admission::Probe
            && let Some(entry) = self.by_model.get_mut(model)
        {
            entry.state = BreakerState::Open { until: now };
        }
    }

    fn insert(&mut self, model: &str, entry: Entry) {
        if self.by_model.len() >= MOST_MODELS && !self.by_model.contains_key(model) {
            self.by_model.retain(|_, entry| !matches!(entry.state, BreakerState::Closed { .. }));
            if self.by_model.len() >= MOST_MODELS {
                return;
            }
        }
        self.by_model.insert(Arc::from(model), entry);
    }

    /// Ends every rest; `model` limits it to one.
    pub(super) fn reset(&mut self, model: Option<&str>) {
        match model {
            Some(model) => {
                self.by_model.remove(model);
            }
            None => self.by_model.clear(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&Arc<str>, BreakerState, &'static str)> {
        self.by_model.iter().map(|(model, entry)| (model, entry.state, entry.reason))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn failed(times: u32, now: Instant) -> Breakers {
        let mut breakers = Breakers::new(BreakerPolicy::default());
        for _ in 0..times {
            breakers.failure("m", Admission::Normal, now, "upstream_5xx", None);
        }
        breakers
    }

    #[tokio::test(start_paused = true)]
    async fn three_failures_open_it_for_half_an_hour_and_one_probe_decides() {
        let now = Instant::now();
        assert_eq!(failed(2, now).admit("m", now), Ok(Admission::Normal));
        let mut breakers = failed(3, now);
        assert_eq!(breakers.admit("m", now + 29 * MINUTE), Err(Some(now + 30 * MINUTE)));
        assert_eq!(breakers.admit("other", now), Ok(Admission::Normal), "another model is not touched");
        let later = now + 30 * MINUTE;
        assert_eq!(breakers.admit("m", later), Ok(Admission::Probe));
        assert!(breakers.admit("m", later).is_err(), "one probe, not two");
        breakers.failure("m", Admission::Probe, later, "upstream_5xx", None);
        assert_eq!(breakers.admit("m", later + MINUTE), Err(Some(later + 30 * MINUTE)));
        let again = later + 30 * MINUTE;
        assert_eq!(breakers.admit("m", again), Ok(Admission::Probe));
        breakers.success("m", Admission::Probe);
        assert_eq!(breakers.admit("m", again), Ok(Admission::Normal));
    }

    #[tokio::test(start_paused = true)]
    async fn a_probe_whose_client_left_counts_nothing() {
        let now = Instant::now();
        let mut breakers = failed(3, now);
        let later = now + 30 * MINUTE;
        assert_eq!(breakers.admit("m", later), Ok(Admission::Probe));
        breakers.release("m", Admission::Probe, later);
        assert_eq!(breakers.admit("m", later), Ok(Admission::Probe));
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstreams_own_wish_is_granted_and_bounded() {
        let now = Instant::now();
        let mut breakers = failed(0, now);
        breakers.failure("m", Admission::Normal, now, "upstream_rate_limit", Some(Duration::from_secs(20)));
        assert_eq!(breakers.admit("m", now), Err(Some(now + Duration::from_secs(20))));
        breakers.reset(None);
        breakers.failure("m", Admission::Normal, now, "upstream_rate_limit", Some(1000 * MINUTE));
        assert_eq!(breakers.admit("m", now), Err(Some(now + 30 * MINUTE)));
    }

    #[tokio::test(start_paused = true)]
    async fn invented_model_names_do_not_fill_the_memory() {
        let now = Instant::now();
        let mut breakers = failed(3, now);
        for n in 0..5_000 {
            breakers.failure(&format!("invented-{n}"), Admission::Normal, now, "upstream_5xx", None);
        }
        assert!(breakers.by_model.len() <= MOST_MODELS);
        assert!(breakers.admit("m", now).is_err(), "what is resting stays known");
    }

    proptest! {
        #[test]
        fn never_two_probes(steps in proptest::collection::vec((0u8..4, 0u64..40), 1..80)) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
            let _guard = runtime.enter();
            let mut now = Instant::now();
            let mut breakers = Breakers::new(BreakerPolicy::default());
            let mut under_way: Vec<Admission> = Vec::new();
            for (step, minutes) in steps {
                now += Duration::from_secs(60 * minutes);
                match (step, under_way.pop()) {
                    (0, last) => {
                        under_way.extend(last);
                        if let Ok(admission) = breakers.admit("m", now) {
                            under_way.push(admission);
                        }
                    }
                    (1, Some(admission)) => drop(breakers.failure("m", admission, now, "x", None)),
                    (2, Some(admission)) => breakers.success("m", admission),
                    (_, Some(admission)) => breakers.release("m", admission, now),
                    (_, None) => {}
                }
                let probes = under_way.iter().filter(|a| **a == Admission::Probe).count();
                prop_assert!(probes <= 1);
            }
        }
    }
}
