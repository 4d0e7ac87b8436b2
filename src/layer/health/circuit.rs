//! When something rests, and when it may be tried again: pure, told the time.
//!
//! *Closed* is healthy; *open* rests; *half-open* has its one probe under way. [`Circuits`] are those of one upstream, or of
//! one of its keys: one for the whole of it, and one per model. A failure opens the narrower of them if that is all it
//! proves. A rest after failures in a row is a guess, and one probe decides what comes after it; a rest that the
//! upstream itself has asked for ends by itself.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Error, Scope};
use crate::protocol::canonical::FaultKind;

/// Models with failures that are remembered. Only failures make entries and success removes them, but a client may
/// invent model names for an upstream that takes any.
pub(super) const MOST_MODELS: usize = 1024;

/// How long a probe takes nobody knows; this is a fair guess for `Retry-After`.
const PROBE: Duration = Duration::from_secs(1);

/// Longest rest after a rate limit without word of how long.
const LIMITED: Duration = Duration::from_secs(30);

/// Longest rest of a key that was refused once while others serve in its place: to try it again costs one attempt.
const REFUSED: Duration = Duration::from_secs(5 * 60);

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerPolicy {
    /// Consecutive failures that open it. Default 3; 0: it never opens.
    pub failures: u32,
    /// How long it stays open before one probe is let through. Default 30 minutes.
    pub open_for: Duration,
    /// The longest rest that an upstream's own word (`Retry-After` and its kin) can bring about; what asks for more is
    /// probed then. Default 30 minutes.
    pub max_rest: Duration,
}

impl BreakerPolicy {
    /// A breaker that never opens.
    pub const NEVER: BreakerPolicy =
        BreakerPolicy { failures: 0, open_for: Duration::ZERO, max_rest: Duration::ZERO };
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        let half_an_hour = Duration::from_secs(30 * 60);
        BreakerPolicy { failures: 3, open_for: half_an_hour, max_rest: half_an_hour }
    }
}

/// State of one circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Healthy, perhaps with some failures in a row.
    Closed {
        /// Failures in a row.
        failures: u32,
    },
    /// Resting.
    Open {
        /// When it ends, or a probe may pass.
        until: Instant,
    },
    /// One probe is under way; nobody else passes.
    HalfOpen,
}

/// A circuit that is not as if nothing had been.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakerReport {
    /// The position of the key that it is about, from 1 on; `None`: the upstream, whatever the key.
    pub key: Option<usize>,
    /// The model that it is about, as the upstream calls it; `None`: every model.
    pub model: Option<Arc<str>>,
    /// Closed with failures, open, or half-open.
    pub state: BreakerState,
    /// The [`error_type`](crate::Error::error_type) of the last failure.
    pub reason: &'static str,
    /// When this rest began, or the first of the failures was.
    pub since: Instant,
}

impl BreakerReport {
    /// Whether nobody passes at `now` but a probe that is due or under way.
    #[must_use]
    pub fn is_resting(&self) -> bool {
        !matches!(self.state, BreakerState::Closed { .. })
    }

    /// When it is over, or a probe may pass.
    #[must_use]
    pub fn until(&self) -> Option<Instant> {
        match self.state {
            BreakerState::Open { until } => Some(until),
            BreakerState::Closed { .. } | BreakerState::HalfOpen => None,
        }
    }

    /// Of several the one to tell of.
    pub(super) fn badness(&self) -> (u8, Option<Instant>, u32) {
        match self.state {
            BreakerState::Closed { failures } => (0, None, failures),
            BreakerState::HalfOpen => (1, None, 0),
            BreakerState::Open { until } => (2, Some(until), 0),
        }
    }
}

/// A failure, as far as circuits care.
#[derive(Clone, Copy, Debug)]
pub(super) struct Failure {
    pub(super) extent: Extent,
    pub(super) reason: &'static str,
    /// The rest that the upstream has asked for.
    pub(super) asked: Option<Duration>,
    /// The longest rest after failures of this kind, if none was asked for.
    pub(super) most: Duration,
    /// Whether one such failure is enough.
    pub(super) is_enough: bool,
}

/// What of a thing has failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    Whole,
    Model,
}

impl Failure {
    /// What `error` says; `None` if it is nobody's fault but the caller's or the gateway's.
    pub(super) fn of(error: &Error) -> Option<(Scope, Failure)> {
        let scope = error.scope()?;
        let kind = match error {
            Error::Upstream(answer) => Some(answer.view.kind),
            _ => None,
        };
        // A rest is asked for by who is too busy; beside other errors the word is one to clients.
        let is_busy = matches!(kind, Some(FaultKind::RateLimit | FaultKind::Billing | FaultKind::Overloaded));
        let extent = match scope {
            Scope::Upstream | Scope::Key => Extent::Whole,
            Scope::Model | Scope::KeyModel => Extent::Model,
        };
        let failure = Failure {
            extent,
            reason: error.error_type(),
            asked: error.retry_after().filter(|wait| is_busy && !wait.is_zero()),
            most: if kind == Some(FaultKind::RateLimit) { LIMITED } else { Duration::MAX },
            is_enough: false,
        };
        Some((scope, failure))
    }

    /// The same failure of a key in whose place others serve: it rests at once, and not for long.
    pub(super) fn at_once(self) -> Self {
        Failure { most: self.most.min(REFUSED), is_enough: true, ..self }
    }
}

/// Which circuits a call probes, by the numbers of the probes; by default none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Admission {
    pub(super) whole: Option<u64>,
    pub(super) model: Option<u64>,
}

impl Admission {
    pub(super) fn is_probe(self) -> bool {
        self.whole.is_some() || self.model.is_some()
    }
}

#[derive(Clone, Copy, Debug)]
struct Circuit {
    phase: Phase,
    failures: u32,
    reason: &'static str,
    since: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Phase {
    Closed,
    /// Resting after failures: a probe decides what comes after it.
    Open {
        until: Instant,
    },
    /// Resting as asked: over when it is over.
    Asked {
        until: Instant,
    },
    /// A probe is under way, since some time after `until`. Its number tells it from one that was under way when
    /// somebody ended an earlier rest by hand.
    Probing {
        until: Instant,
        probe: u64,
    },
}

impl Circuit {
    fn rests_until(&self, now: Instant) -> Option<Instant> {
        match self.phase {
            Phase::Open { until } | Phase::Asked { until } => (now < until).then_some(until),
            Phase::Probing { .. } => Some(now + PROBE),
            Phase::Closed => None,
        }
    }

    fn state(&self, now: Instant) -> BreakerState {
        match self.phase {
            Phase::Open { until } => BreakerState::Open { until },
            Phase::Asked { until } if now < until => BreakerState::Open { until },
            Phase::Asked { .. } | Phase::Closed => BreakerState::Closed { failures: self.failures },
            Phase::Probing { .. } => BreakerState::HalfOpen,
        }
    }

    /// Makes the call a probe of this number if one is due.
    fn admit(&mut self, probe: u64) -> Option<u64> {
        let Phase::Open { until } = self.phase else { return None };
        self.phase = Phase::Probing { until, probe };
        Some(probe)
    }

    fn give_back(&mut self) {
        if let Phase::Probing { until, .. } = self.phase {
            self.phase = Phase::Open { until };
        }
    }

    /// Whether it waits for this probe.
    fn waits_for(&self, number: Option<u64>) -> bool {
        matches!(self.phase, Phase::Probing { probe, .. } if number == Some(probe))
    }

    /// Whether a success of a call that was no probe ends it.
    fn is_over(&self, now: Instant) -> bool {
        match self.phase {
            Phase::Closed => true,
            Phase::Asked { until } => until <= now,
            Phase::Open { .. } | Phase::Probing { .. } => false,
        }
    }

    /// The circuit after one more failure; `None` if that changes nothing.
    fn failed(
        old: Option<Circuit>,
        is_probe: bool,
        policy: BreakerPolicy,
        now: Instant,
        failure: &Failure,
    ) -> Option<Circuit> {
        let failures = match old {
            None => 1,
            Some(old) if old.is_over(now) => old.failures.saturating_add(1),
            Some(_) if is_probe => policy.failures,
            // Failures of requests that began before it opened do not prolong the rest.
            Some(_) => return None,
        };
        let phase = match failure.asked {
            Some(wait) if wait <= policy.max_rest => Phase::Asked { until: now + wait },
            Some(_) => Phase::Open { until: now + policy.max_rest },
            None if failure.is_enough || failures >= policy.failures => {
                Phase::Open { until: now + policy.open_for.min(failure.most) }
            }
            None => Phase::Closed,
        };
        let is_same = |old: &Circuit| matches!((old.phase, phase), (Phase::Closed, Phase::Closed));
        let since = old.filter(is_same).map_or(now, |old| old.since);
        Some(Circuit { phase, failures, reason: failure.reason, since })
    }
}

/// The circuits of one upstream, or of one key.
#[derive(Debug)]
pub(super) struct Circuits {
    policy: BreakerPolicy,
    whole: Option<Circuit>,
    by_model: HashMap<Arc<str>, Circuit>,
    /// Probes so far.
    probes: u64,
}

impl Circuits {
    pub(super) fn new(policy: BreakerPolicy) -> Self {
        Circuits { policy, whole: None, by_model: HashMap::new(), probes: 0 }
    }

    /// Until when it serves nobody who asks for `model`; `None`: it does.
    pub(super) fn rests_until(&self, model: &str, now: Instant) -> Option<Instant> {
        let both = [self.whole.as_ref(), self.by_model.get(model)];
        both.into_iter().flatten().filter_map(|circuit| circuit.rests_until(now)).max()
    }

    /// Lets a call through, or says until when not.
    pub(super) fn admit(&mut self, model: &str, now: Instant) -> Result<Admission, Instant> {
        match self.rests_until(model, now) {
            Some(until) => Err(until),
            None => {
                let number = self.probes + 1;
                let admission = Admission {
                    whole: self.whole.as_mut().and_then(|circuit| circuit.admit(number)),
                    model: self.by_model.get_mut(model).and_then(|circuit| circuit.admit(number)),
                };
                self.probes += u64::from(admission.is_probe());
                Ok(admission)
            }
        }
    }

    /// Whether everything is as if nothing had been.
    pub(super) fn is_quiet(&self) -> bool {
        self.whole.is_none() && self.by_model.is_empty()
    }

    /// A call succeeded. Only a probe closes what opened after failures: a request from before that proves nothing
    /// about now.
    pub(super) fn success(&mut self, model: &str, admission: Admission, now: Instant) {
        self.whole_works(admission, now);
        let works = |circuit: &Circuit| circuit.waits_for(admission.model) || circuit.is_over(now);
        if self.by_model.get(model).is_some_and(works) {
            self.by_model.remove(model);
        }
    }

    /// It was reached and has let the call in; nothing is known about the model.
    pub(super) fn reached(&mut self, model: &str, admission: Admission, now: Instant) {
        self.whole_works(admission, now);
        self.give_back(model, Admission { whole: None, ..admission });
    }

    fn whole_works(&mut self, admission: Admission, now: Instant) {
        self.whole =
            self.whole.filter(|circuit| !circuit.waits_for(admission.whole) && !circuit.is_over(now));
    }

    /// The answer to a probe has begun: nobody needs to wait for its end. One more failure opens the circuit again.
    pub(super) fn begun(&mut self, model: &str, admission: Admission) {
        let failures = self.policy.failures.saturating_sub(1);
        for circuit in self.probed(model, admission) {
            *circuit = Circuit { phase: Phase::Closed, failures, ..*circuit };
        }
    }

    /// A call failed. Returns whether something rests now because of it.
    pub(super) fn failure(
        &mut self,
        model: &str,
        admission: Admission,
        now: Instant,
        failure: &Failure,
    ) -> bool {
        let (old, is_probe) = match failure.extent {
            Extent::Whole => {
                self.give_back(model, Admission { whole: None, ..admission });
                (self.whole, self.whole.is_some_and(|circuit| circuit.waits_for(admission.whole)))
            }
            Extent::Model => {
                // It was reached and has let the call in.
                self.whole_works(admission, now);
                let old = self.by_model.get(model).copied();
                (old, old.is_some_and(|circuit| circuit.waits_for(admission.model)))
            }
        };
        if self.policy.failures == 0 {
            return false;
        }
        let Some(circuit) = Circuit::failed(old, is_probe, self.policy, now, failure) else { return false };
        match failure.extent {
            Extent::Whole => self.whole = Some(circuit),
            Extent::Model => self.insert(model, circuit),
        }
        !matches!(circuit.phase, Phase::Closed)
    }

    /// A probe came to nothing (its client left, or was itself at fault): the next request may probe, and all else is
    /// as before.
    pub(super) fn give_back(&mut self, model: &str, admission: Admission) {
        self.probed(model, admission).for_each(Circuit::give_back);
    }

    fn probed(&mut self, model: &str, admission: Admission) -> impl Iterator<Item = &mut Circuit> {
        let whole = self.whole.as_mut().filter(|circuit| circuit.waits_for(admission.whole));
        let model = self.by_model.get_mut(model).filter(|circuit| circuit.waits_for(admission.model));
        whole.into_iter().chain(model)
    }

    fn insert(&mut self, model: &str, circuit: Circuit) {
        if self.by_model.len() >= MOST_MODELS && !self.by_model.contains_key(model) {
            let now = circuit.since;
            self.by_model.retain(|_, circuit| !circuit.is_over(now));
            if self.by_model.len() >= MOST_MODELS {
                return;
            }
        }
        self.by_model.insert(Arc::from(model), circuit);
    }

    /// Ends every rest; `model` limits it to one.
    pub(super) fn reset(&mut self, model: Option<&str>) {
        match model {
            Some(model) => {
                self.by_model.remove(model);
            }
            // The numbers go on: a probe that is still under way must not be taken for a later one.
            None => *self = Circuits { probes: self.probes, ..Circuits::new(self.policy) },
        }
    }

    /// Everything that is not as if nothing had been, in the order of the models' names.
    pub(super) fn report(&self, key: Option<usize>, now: Instant) -> Vec<BreakerReport> {
        let models = self.by_model.iter().map(|(model, circuit)| (Some(model.clone()), circuit));
        let mut all: Vec<BreakerReport> = models
            .chain(self.whole.as_ref().map(|circuit| (None, circuit)))
            .map(|(model, circuit)| BreakerReport {
                key,
                model,
                state: circuit.state(now),
                reason: circuit.reason,
                since: circuit.since,
            })
            .collect();
        all.sort_by(|a, b| a.model.cmp(&b.model));
        all
    }
}
