//! Smooth weighted round robin among the upstreams that would take the request.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use http::Request;
use tokio::time::Instant;
use tower::Service;

use super::{Eligibility, Eligible, Pick, Picked, Pool, Tried};
use crate::error::Error;
use crate::payload::Payload;

/// Distinct candidate sets whose turns are remembered. There are as many as combinations of resting
/// upstreams actually met; beyond this the oldest notes are dropped and their sets start afresh.
const MOST_SETS: usize = 1024;

/// Smooth weighted round robin, pure: exact over any window of as many picks as the weights add up
/// to, and never in bursts.
///
/// ```
/// use aiproxy::layer::balance::SmoothWeighted;
/// let mut turns = SmoothWeighted::default();
/// let picks: String = (0..7).filter_map(|_| turns.next([('a', 5), ('b', 1), ('c', 1)])).collect();
/// assert_eq!(picks, "aabacaa");
/// ```
#[derive(Clone, Debug, Default)]
pub struct SmoothWeighted {
    current: Vec<i64>,
}

impl SmoothWeighted {
    /// Whose turn it is. Call it with the same items in the same order each time.
    pub fn next<T>(&mut self, items: impl IntoIterator<Item = (T, u32)>) -> Option<T> {
        let mut total = 0;
        let mut best: Option<(usize, i64, T)> = None;
        for (at, (item, weight)) in items.into_iter().enumerate() {
            let weight = i64::from(weight.max(1));
            if self.current.len() <= at {
                self.current.push(0);
            }
            let current = &mut self.current[at];
            *current += weight;
            total += weight;
            if best.as_ref().is_none_or(|(_, most, _)| *current > *most) {
                best = Some((at, *current, item));
            }
        }
        let (at, _, item) = best?;
        self.current[at] -= total;
        Some(item)
    }
}

/// Picks by smooth weighted round robin, in the best priority group that has a candidate.
///
/// Candidates are the upstreams that are [`Eligible`] and untried. Each distinct set of candidates has
/// turns of its own, so neither another model's traffic nor a failover moves anybody's place in line.
///
/// Also a [`Service`] by itself, which asks one upstream and no second: put
/// [`Failover`](crate::layer::failover::Failover) around the policy to ask further ones.
///
/// # Example
///
/// ```
/// use aiproxy::layer::balance::{Leaf, Pool, Upstream, WeightedBalance};
/// use aiproxy::layer::{CollectLayer, ModelFilterLayer};
/// use aiproxy::{Error, Payload};
/// use http::{Request, Response};
/// use tower::{Layer, ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let upstream = |name: &'static str, weight| Upstream {
///     name: name.into(),
///     weight,
///     priority: 0,
///     service: ModelFilterLayer::new(["fast"])
///         .layer(Leaf::new(service_fn(move |_: Request<Payload>| async move { Ok::<_, Error>(Response::new(name)) }))),
/// };
/// let balance = WeightedBalance::new(Pool::new([upstream("a", 2), upstream("b", 1)]));
/// let service = ServiceBuilder::new().layer(CollectLayer::default()).service(balance);
/// let mut served = String::new();
/// for _ in 0..6 {
///     let request = Request::post("/v1/messages").body(r#"{"model":"fast"}"#.to_owned()).unwrap();
///     served += service.clone().oneshot(request).await?.into_body();
/// }
/// assert_eq!(served, "abaaba");
/// # Ok(()) }
/// ```
pub struct WeightedBalance<S> {
    pool: Pool<S>,
    turns: Arc<Mutex<Turns>>,
}

/// Turns per candidate set.
#[derive(Debug, Default)]
struct Turns {
    sets: HashMap<Box<[u16]>, SmoothWeighted>,
}

impl<S> WeightedBalance<S> {
    /// Balances over `pool`.
    #[must_use]
    pub fn new(pool: Pool<S>) -> Self {
        WeightedBalance { pool, turns: Arc::default() }
    }

    /// The upstreams.
    #[must_use]
    pub fn pool(&self) -> &Pool<S> {
        &self.pool
    }
}

impl<S> Clone for WeightedBalance<S> {
    fn clone(&self) -> Self {
        WeightedBalance { pool: self.pool.clone(), turns: self.turns.clone() }
    }
}

impl<S> fmt::Debug for WeightedBalance<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WeightedBalance").field("upstreams", &self.pool.len()).finish_non_exhaustive()
    }
}

impl<S> Pick<Request<Payload>> for WeightedBalance<S>
where
    S: Eligible<Request<Payload>> + Clone,
{
    type Service = S;

    fn pick(&self, request: &Request<Payload>, tried: &Tried) -> Result<Picked<S>, Error> {
        let Candidates { best: candidates, untried } = self.candidates(request, tried)?;
        let weight = |index: u16| self.pool.get(usize::from(index)).map_or(1, |upstream| upstream.weight);
        let index = match candidates[..] {
            [only] => only,
            _ => {
                // A poisoned lock only means that somebody panicked elsewhere; turns are always valid.
                let mut turns = self.turns.lock().unwrap_or_else(PoisonError::into_inner);
                turns
                    .of(&candidates)
                    .next(candidates.iter().map(|index| (*index, weight(*index))))
                    .unwrap_or(0)
            }
        };
        let upstream = self.pool.get(usize::from(index)).ok_or(Error::Unavailable { retry_after: None })?;
        Ok(Picked {
            index: usize::from(index),
            name: upstream.name.clone(),
            service: upstream.service.clone(),
            is_last: untried == 1 && tried.per_upstream() == 1,
        })
    }
}

/// Who may be picked.
struct Candidates {
    /// The numbers of the candidates in the best priority group; never empty.
    best: Vec<u16>,
    /// How many of those who serve the model were not tried yet, resting ones included: they may be back by
    /// the time that another attempt needs them.
    untried: usize,
}

impl<S> WeightedBalance<S>
where
    S: Eligible<Request<Payload>>,
{
    fn candidates(&self, request: &Request<Payload>, tried: &Tried) -> Result<Candidates, Error> {
        let now = Instant::now();
        let mut candidates: Vec<u16> = Vec::new();
        let mut untried = 0;
        let mut best = i32::MAX;
        let mut is_served = false;
        let mut soonest: Option<Instant> = None;
        for (index, upstream) in (0u16..).zip(self.pool.iter()) {
            let eligibility = upstream.service.eligibility(request, now);
            let is_tried = tried.contains(usize::from(index));
            if eligibility != Eligibility::NotServed && !is_tried {
                untried += 1;
            }
            match eligibility {
                Eligibility::NotServed => {}
                Eligibility::Unavailable { until } => {
                    is_served = true;
                    soonest = [soonest, until].into_iter().flatten().min();
                }
                Eligibility::Yes => {
                    is_served = true;
                    if is_tried || upstream.priority > best {
                        continue;
                    }
                    if upstream.priority < best {
                        best = upstream.priority;
                        candidates.clear();
                    }
                    candidates.push(index);
                }
            }
        }
        if !candidates.is_empty() {
            return Ok(Candidates { best: candidates, untried });
        }
        if is_served {
            let retry_after = soonest.map(|until| until.saturating_duration_since(now));
            return Err(Error::Unavailable { retry_after });
        }
        Err(Error::ModelNotServed { model: request.body().model().into() })
    }
}

impl Turns {
    fn of(&mut self, candidates: &[u16]) -> &mut SmoothWeighted {
        if !self.sets.contains_key(candidates) {
            if self.sets.len() >= MOST_SETS {
                self.sets.clear();
            }
            self.sets.insert(candidates.into(), SmoothWeighted::default());
        }
        self.sets.entry(candidates.into()).or_default()
    }
}

impl<S> Service<Request<Payload>> for WeightedBalance<S>
where
    S: Service<Request<Payload>> + Eligible<Request<Payload>> + Clone,
    S::Error: Into<Error>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = super::super::failover::ResponseFuture<Self>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        // Which upstream must be ready is known only with the request; a busy one is passed over.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        super::super::failover::ResponseFuture::once(self.clone(), request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Endpoint, Operation, Protocol};
    use proptest::prelude::*;

    #[derive(Clone)]
    struct Fixed(Eligibility);
    impl Eligible<Request<Payload>> for Fixed {
        fn eligibility(&self, _: &Request<Payload>, _: Instant) -> Eligibility {
            self.0
        }
    }

    fn pool(members: &[(&str, u32, i32, Eligibility)]) -> WeightedBalance<Fixed> {
        WeightedBalance::new(Pool::new(members.iter().map(|(name, weight, priority, eligibility)| {
            super::super::Upstream {
                name: (*name).into(),
                weight: *weight,
                priority: *priority,
                service: Fixed(*eligibility),
            }
        })))
    }

    fn request() -> Request<Payload> {
        let endpoint = Endpoint::new(Protocol::Anthropic, Operation::Generate);
        Request::new(Payload::new(endpoint, r#"{"model":"m"}"#).unwrap())
    }

    fn picks(balance: &WeightedBalance<Fixed>, tried: &Tried, n: usize) -> String {
        (0..n).map(|_| balance.pick(&request(), tried).unwrap().name.to_string()).collect()
    }

    #[test]
    fn a_failover_does_not_cost_anyone_a_turn() {
        let yes = Eligibility::Yes;
        let balance = pool(&[("a", 2, 0, yes), ("b", 1, 0, yes), ("c", 1, 0, yes)]);
        let undisturbed = picks(&balance, &Tried::new(1), 8);
        let mut tried = Tried::new(1);
        tried.add(0);
        let mut disturbed = String::new();
        for _ in 0..8 {
            disturbed += &picks(&balance, &Tried::new(1), 1);
            picks(&balance, &tried, 1);
        }
        assert_eq!(disturbed, undisturbed);
        assert_eq!(picks(&balance, &tried, 4), "bcbc");
    }

    #[test]
    fn the_reason_of_an_empty_pick_is_told() {
        let until = Instant::now() + std::time::Duration::from_secs(60);
        let resting = Eligibility::Unavailable { until: Some(until) };
        let error =
            pool(&[("a", 1, 0, Eligibility::NotServed)]).pick(&request(), &Tried::new(1)).unwrap_err();
        assert!(matches!(error, Error::ModelNotServed { .. }));
        let error = pool(&[("a", 1, 0, resting), ("b", 1, 0, Eligibility::NotServed)])
            .pick(&request(), &Tried::new(1))
            .unwrap_err();
        assert!(matches!(error, Error::Unavailable { retry_after: Some(wait) } if wait.as_secs() >= 59));
    }

    #[test]
    fn a_lower_priority_number_goes_first_and_the_rest_wait() {
        let yes = Eligibility::Yes;
        let balance = pool(&[("spare", 9, 1, yes), ("main", 1, 0, yes)]);
        assert_eq!(picks(&balance, &Tried::new(1), 3), "mainmainmain");
        let mut tried = Tried::new(1);
        tried.add(1);
        assert_eq!(picks(&balance, &tried, 1), "spare");
    }

    proptest! {
        #[test]
        fn shares_are_exact_over_any_window(weights in proptest::collection::vec(1u32..9, 1..6), skip in 0usize..50) {
            let mut turns = SmoothWeighted::default();
            let total: u32 = weights.iter().sum();
            let mut next = || turns.next(weights.iter().copied().enumerate()).unwrap();
            for _ in 0..skip {
                next();
            }
            let mut counts = vec![0; weights.len()];
            for _ in 0..total {
                counts[next()] += 1;
            }
            prop_assert_eq!(counts, weights);
        }
    }
}
