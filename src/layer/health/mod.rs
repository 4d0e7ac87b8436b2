//! Who rests of an upstream, why, since when and until when.
//!
//! Shared by the two layers that know: [`CircuitBreaker`](super::CircuitBreaker) asks and tells about the upstream,
//! [`Credentials`](super::Credentials) about its keys. A failure lets the narrowest thing rest that it proves broken
//! (see [`Scope`]): the upstream, one model of it, a key, or one model of a key. As long as nothing has failed, nobody
//! takes a lock here.

mod circuit;
mod gauges;
mod permit;

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::Instant;

use crate::error::Scope;
use circuit::{Admission, Circuits, Failure};
use gauges::Gauges;

pub use circuit::{BreakerPolicy, BreakerReport, BreakerState};
pub(super) use permit::Permit;

/// The health of one upstream. Clones share it.
///
/// ```
/// use aiproxy::layer::{CircuitBreakerLayer, CredentialsLayer};
/// use aiproxy::layer::health::{Health, Watched};
/// use aiproxy::upstream::ApiType;
///
/// let health = Health::new(Watched { upstream: "main".into(), keys: 2, ..Watched::default() });
/// let breaker = CircuitBreakerLayer::of(health.clone());
/// let credentials = CredentialsLayer::new(ApiType::OpenAi, ["sk-1", "sk-2"])?.health(health.clone());
/// assert!(health.report().is_empty(), "nothing has failed yet");
/// # Ok::<_, aiproxy::Error>(())
/// ```
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

/// What a [`Health`] is about.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    /// The upstream's name, for logs and metrics; an empty one is in no metric.
    pub upstream: Arc<str>,
    /// When something rests, and for how long.
    pub policy: BreakerPolicy,
    /// How many keys it has, each of which may rest by itself. With 0, the upstream rests in their place.
    pub keys: usize,
    /// The clients' names of models and the upstream's own, where they differ.
    pub aliases: Vec<(String, String)>,
    /// The models that may be named by metrics and public pages, by the upstream's own names. Others may be invented.
    pub models: Vec<String>,
}

struct Shared {
    upstream: Arc<str>,
    aliases: HashMap<Box<str>, Arc<str>>,
    models: HashSet<Arc<str>>,
    /// Whether anything is not as if nothing had been. Written under the lock; a reader that comes too early is a
    /// request that came a moment earlier.
    is_troubled: AtomicBool,
    state: Mutex<State>,
    /// Whose turn it is among the keys.
    turn: AtomicUsize,
    gauges: Mutex<Gauges>,
}

struct State {
    upstream: Circuits,
    keys: Vec<Circuits>,
}

impl State {
    fn of(&mut self, key: Option<usize>) -> Option<&mut Circuits> {
        match key {
            None => Some(&mut self.upstream),
            Some(key) => self.keys.get_mut(key),
        }
    }

    fn is_quiet(&self) -> bool {
        self.upstream.is_quiet() && self.keys.iter().all(Circuits::is_quiet)
    }

    /// Until when no key serves `model`; `None`: one does, or there are none.
    fn keys_rest_until(&self, model: &str, now: Instant) -> Option<Instant> {
        let rests: Option<Vec<Instant>> = self.keys.iter().map(|key| key.rests_until(model, now)).collect();
        rests?.into_iter().min()
    }

    /// A call with one of the keys failed, by the key's fault. Returns whether something rests now because of it.
    fn key_failed(
        &mut self,
        key: usize,
        model: &str,
        admission: Admission,
        now: Instant,
        failure: Failure,
    ) -> bool {
        let mut others = self.keys.iter().enumerate().filter(|(other, _)| *other != key);
        let is_replaced = others.any(|(_, other)| other.rests_until(model, now).is_none());
        let failure = if is_replaced { failure.at_once() } else { failure };
        self.keys.get_mut(key).is_some_and(|key| key.failure(model, admission, now, &failure))
    }

    fn rests_until(&self, model: &str, now: Instant) -> Option<Instant> {
        self.upstream.rests_until(model, now).max(self.keys_rest_until(model, now))
    }
}

impl Health {
    /// Nothing has failed yet.
    #[must_use]
    pub fn new(watched: Watched) -> Self {
        let Watched { upstream, policy, keys, aliases, models } = watched;
        let state = State {
            upstream: Circuits::new(policy),
            keys: (0..keys).map(|_| Circuits::new(policy)).collect(),
        };
        let aliases = aliases.into_iter().map(|(alias, own)| (alias.into(), own.into())).collect();
        let shared = Shared {
            upstream,
            aliases,
            models: models.into_iter().map(Arc::from).collect(),
            is_troubled: AtomicBool::new(false),
            state: Mutex::new(state),
            turn: AtomicUsize::new(0),
            gauges: Mutex::default(),
        };
        Health { shared: Arc::new(shared) }
    }

    /// Everything that is not as if nothing had been: what rests, and what has failed lately. By the upstream's own
    /// names of models, which may be whatever a client has asked for; at most some 1000 of them, for each key.
    #[must_use]
    pub fn report(&self) -> Vec<BreakerReport> {
        let now = Instant::now();
        self.look(|state| {
            let keys = state.keys.iter().zip(1..).flat_map(|(key, position)| key.report(Some(position), now));
            state.upstream.report(None, now).into_iter().chain(keys).collect()
        })
    }

    /// The same for everybody to see: of the models that are not configured only the worst of each key, as `other`.
    #[must_use]
    pub fn summary(&self) -> Vec<BreakerReport> {
        let mut worst: BTreeMap<(Option<usize>, Option<Arc<str>>), BreakerReport> = BTreeMap::new();
        for mut report in self.report() {
            if report.model.as_ref().is_some_and(|model| !self.shared.models.contains(model)) {
                report.model = Some(Arc::from("other"));
            }
            let known = worst.entry((report.key, report.model.clone())).or_insert_with(|| report.clone());
            if report.badness() > known.badness() {
                *known = report;
            }
        }
        worst.into_values().collect()
    }

    /// Ends every rest and forgets every failure, or those of one model, by the clients' name or the upstream's own.
    pub fn reset(&self, model: Option<&str>) {
        self.change(|state| {
            let all = std::iter::once(&mut state.upstream).chain(&mut state.keys);
            all.for_each(|circuits| match model {
                None => circuits.reset(None),
                Some(model) => {
                    [model, self.own_name(model)].iter().for_each(|name| circuits.reset(Some(name)))
                }
            });
        });
        self.publish();
    }

    /// Writes the gauges as they are now: how long a rest still lasts changes without an event.
    pub fn publish(&self) {
        if !self.shared.upstream.is_empty() {
            let reports = self.summary();
            let mut gauges = self.shared.gauges.lock().unwrap_or_else(PoisonError::into_inner);
            gauges.set(&self.shared.upstream, &reports, Instant::now());
        }
    }

    /// Until when it serves nobody who asks for `model`, which is the clients' name; `None`: it does.
    pub(super) fn rests_until(&self, model: &str, now: Instant) -> Option<Instant> {
        if !self.is_troubled() {
            return None;
        }
        let own = self.own_name(model);
        self.look(|state| state.rests_until(own, now))
    }

    /// Lets a call to the upstream through, or says until when not. `model` is the clients' name.
    pub(super) fn admit(&self, model: Arc<str>, now: Instant) -> Result<Permit, Instant> {
        let mut admission = Admission::default();
        if self.is_troubled() {
            let own = self.own_name(&model);
            admission = self.look(|state| match state.keys_rest_until(own, now) {
                Some(until) => Err(until),
                None => state.upstream.admit(own, now),
            })?;
        }
        Ok(Permit::new(self.clone(), None, model, admission))
    }

    /// The next of `keys` in turn that serves `model` (the upstream's own name) and is not among `tried`; or when one of
    /// the others will.
    pub(super) fn next_key(
        &self,
        keys: usize,
        model: &Arc<str>,
        now: Instant,
        tried: &[usize],
    ) -> Result<Permit, Option<Instant>> {
        let turn = if keys > 1 { self.shared.turn.fetch_add(1, Ordering::Relaxed) } else { 0 };
        let order = (0..keys).map(|step| turn.wrapping_add(step) % keys).filter(|key| !tried.contains(key));
        let permit = |key, admission| Permit::new(self.clone(), Some(key), model.clone(), admission);
        if !self.is_troubled() {
            return order.map(|key| permit(key, Admission::default())).next().ok_or(None);
        }
        self.look(|state| {
            let mut soonest = None;
            for key in order {
                let admitted =
                    state.of(Some(key)).map_or(Ok(Admission::default()), |key| key.admit(model, now));
                match admitted {
                    Ok(admission) => {
                        // Who steps in for a resting key has had its turn.
                        self.shared.turn.store(key + 1, Ordering::Relaxed);
                        return Ok(permit(key, admission));
                    }
                    Err(until) => soonest = soonest.into_iter().chain([until]).min(),
                }
            }
            Err(soonest)
        })
    }

    fn is_troubled(&self) -> bool {
        self.shared.is_troubled.load(Ordering::Acquire)
    }

    fn own_name<'a>(&'a self, model: &'a str) -> &'a str {
        self.shared.aliases.get(model).map_or(model, |own| own)
    }

    fn look<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        // A poisoned lock only means that somebody panicked elsewhere; circuits are always valid.
        look(&mut self.shared.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        self.look(|state| {
            let result = change(state);
            self.shared.is_troubled.store(!state.is_quiet(), Ordering::Release);
            result
        })
    }
}

impl fmt::Debug for Health {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Health").field("upstream", &self.shared.upstream).finish_non_exhaustive()
    }
}
