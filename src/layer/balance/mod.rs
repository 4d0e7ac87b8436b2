//! Several upstreams behind one service: who may serve this request, and whose turn it is.
//!
//! A [`Pool`] is a list of upstream stacks without any policy. [`Eligible`] is to it what `Load` is to
//! tower's balancer: a question put to a service without calling it. [`Pick`] is the policy;
//! [`WeightedBalance`] is the one shipped.
//!
//! Why not `tower::balance`: its choice is made in `poll_ready`, before the request is seen; ours
//! depends on the request's model.

mod weighted;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower::Service;

use crate::error::Error;

pub use weighted::{SmoothWeighted, WeightedBalance};

/// Whether a service would take a request now. Asked by the pool, answered without calling.
pub trait Eligible<Req> {
    /// Whether this service would take `request` at `now`.
    fn eligibility(&self, request: &Req, now: Instant) -> Eligibility;
}

/// The answer to [`Eligible`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// It would.
    Yes,
    /// It never serves such requests.
    NotServed,
    /// It does, but rests now.
    Unavailable {
        /// When it returns, if it knows.
        until: Option<Instant>,
    },
}

/// A service without an opinion of its own: always eligible. What stands below the layers that have one.
#[derive(Clone, Debug)]
pub struct Leaf<S> {
    inner: S,
}

impl<S> Leaf<S> {
    /// Wraps a service.
    pub fn new(inner: S) -> Self {
        Leaf { inner }
    }

    /// The service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, Req> Eligible<Req> for Leaf<S> {
    fn eligibility(&self, _: &Req, _: Instant) -> Eligibility {
        Eligibility::Yes
    }
}

impl<S: Service<Req>, Req> Service<Req> for Leaf<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: Req) -> S::Future {
        self.inner.call(request)
    }
}

/// One upstream: a name, a share, and the stack of layers that leads to it.
#[derive(Clone, Debug)]
pub struct Upstream<S> {
    /// Its name in configuration, logs and metrics.
    pub name: Arc<str>,
    /// Its share of the picks, at least 1.
    pub weight: u32,
    /// Upstreams of a lower priority number go first; equals share by weight.
    pub priority: i32,
    /// Its stack.
    pub service: S,
}

/// A list of upstreams. Cloning copies a reference count.
#[derive(Debug)]
pub struct Pool<S> {
    upstreams: Arc<[Upstream<S>]>,
}

impl<S> Clone for Pool<S> {
    fn clone(&self) -> Self {
        Pool { upstreams: self.upstreams.clone() }
    }
}

impl<S> Pool<S> {
    /// Makes a pool.
    pub fn new(upstreams: impl IntoIterator<Item = Upstream<S>>) -> Self {
        Pool { upstreams: upstreams.into_iter().collect() }
    }

    /// Number of upstreams.
    #[must_use]
    pub fn len(&self) -> usize {
        self.upstreams.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.upstreams.is_empty()
    }

    /// The upstreams in the order of configuration.
    pub fn iter(&self) -> impl Iterator<Item = &Upstream<S>> {
        self.upstreams.iter()
    }

    /// The upstream with this number.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<&Upstream<S>> {
        self.upstreams.get(index)
    }
}

/// The upstreams that one request has asked already, each with how often.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    counts: Vec<(usize, u32)>,
    per_upstream: u32,
}

impl Tried {
    /// Nobody asked yet; each upstream may be asked `per_upstream` times.
    #[must_use]
    pub fn new(per_upstream: u32) -> Self {
        Tried { counts: Vec::new(), per_upstream: per_upstream.max(1) }
    }

    /// How often each upstream may be asked.
    #[must_use]
    pub fn per_upstream(&self) -> u32 {
        self.per_upstream
    }

    /// How often an upstream was asked.
    #[must_use]
    pub fn count(&self, index: usize) -> u32 {
        self.counts.iter().find(|(known, _)| *known == index).map_or(0, |(_, count)| *count)
    }

    /// Notes an attempt.
    pub fn add(&mut self, index: usize) {
        match self.counts.iter_mut().find(|(known, _)| *known == index) {
            Some((_, count)) => *count += 1,
            None => self.counts.push((index, 1)),
        }
    }

    /// Notes that this upstream is not to be asked again.
    pub fn exclude(&mut self, index: usize) {
        self.counts.retain(|(known, _)| *known != index);
        self.counts.push((index, u32::MAX));
    }

    /// Whether an upstream may not be asked (again).
    #[must_use]
    pub fn contains(&self, index: usize) -> bool {
        self.counts.iter().any(|(known, count)| *known == index && *count >= self.per_upstream)
    }

    /// Whether nobody was asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }
}

/// An upstream that was picked, with a service of its own to call.
pub struct Picked<S> {
    /// Its number in the pool.
    pub index: usize,
    /// Its name.
    pub name: Arc<str>,
    /// A clone of its service.
    pub service: S,
    /// Whether nobody else serves such requests who was not tried yet, so that this is the last attempt.
    pub is_last: bool,
}

impl<S> fmt::Debug for Picked<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Picked").field("index", &self.index).field("name", &self.name).finish_non_exhaustive()
    }
}

/// A balance policy: picks one of several upstreams for a request.
pub trait Pick<Req>: Clone {
    /// What is picked.
    type Service;

    /// Picks an upstream that would take `request` and is not in `tried`.
    ///
    /// # Errors
    ///
    /// [`Error::ModelNotServed`] if nobody serves such requests, [`Error::Unavailable`] if everyone
    /// who does is resting or was tried.
    fn pick(&self, request: &Req, tried: &Tried) -> Result<Picked<Self::Service>, Error>;
}
