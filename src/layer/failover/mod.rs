//! Asks another upstream when one fails, for as long as nothing has gone to the client.
//!
//! The loop is `pick → ready? → call → pick again`, with the tried ones excluded. `Ok` from below is
//! the commit point: [`Classify`](crate::layer::Classify) answers `Ok` only once content has begun,
//! so a stream that starts with 200 and then fails can still move on; after it nothing is retried.
//!
//! Attempts are bounded thrice: by a ceiling for each request, by its deadline, and by a budget for all requests
//! together ([`RetryBudget`]), so that a general outage is not made worse.
//!
//! Note that a request which failed after it was sent may have been billed by the upstream that
//! failed.

mod budget;
mod future;
mod policy;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Request;
use tower::Service;

use super::balance::Pick;
use crate::error::Error;
use crate::payload::Payload;
use crate::seeds::Seeds;

use budget::Account;

pub use budget::RetryBudget;
pub use future::ResponseFuture;
pub use policy::{Backoff, FailoverPolicy, StatusPattern, worse};

/// Re-issues a request to another upstream when one has failed.
///
/// `P` is the balance policy that says whose turn it is. Always ready: which upstream must be ready is
/// known only with the request, and a busy one is passed over, not waited for.
///
/// # Errors
///
/// When all fail, the most useful of their failures (see [`worse`]); when there was nobody to ask,
/// [`Error::ModelNotServed`] or [`Error::Unavailable`].
///
/// # Cancel safety
///
/// Dropping the future drops the attempt under way, or the wait for the next; nothing goes on in the background.
///
/// # Example
///
/// ```
/// use aiproxy::layer::balance::{Leaf, Pool, Upstream, WeightedBalance};
/// use aiproxy::layer::failover::Failover;
/// use aiproxy::layer::CollectLayer;
/// use aiproxy::{Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let upstream = |name: &'static str, works: bool| Upstream {
///     name: name.into(),
///     weight: 1,
///     priority: 0,
///     service: Leaf::new(service_fn(move |_: Request<Payload>| async move {
///         if works { Ok(Response::new(name)) } else { Err(Error::codec("broken")) }
///     })),
/// };
/// let balance = WeightedBalance::new(Pool::new([upstream("broken", false), upstream("sound", true)]));
/// let service = ServiceBuilder::new().layer(CollectLayer::default()).service(Failover::new(balance));
/// let request = Request::post("/v1/messages").body(r#"{"model":"m"}"#.to_owned()).unwrap();
/// assert_eq!(service.oneshot(request).await?.into_body(), "sound");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct Failover<P> {
    pick: P,
    rules: Arc<Rules>,
}

/// What all requests have in common.
struct Rules {
    policy: FailoverPolicy,
    account: Option<Account>,
    dice: Box<Dice>,
}

type Dice = dyn Fn() -> u64 + Send + Sync;

impl Rules {
    fn new(policy: FailoverPolicy, dice: impl Fn() -> u64 + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Rules { account: policy.budget.map(Account::new), policy, dice: Box::new(dice) })
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("policy", &self.policy).finish_non_exhaustive()
    }
}

impl<P> Failover<P> {
    /// Asks each upstream once, on any failure that another may do better with.
    #[must_use]
    pub fn new(pick: P) -> Self {
        let seeds = Seeds::default();
        Failover { pick, rules: Rules::new(FailoverPolicy::default(), move || seeds.next()) }
    }

    /// Sets when to move on. The budget begins anew.
    #[must_use]
    pub fn with_policy(self, policy: FailoverPolicy) -> Self {
        let seeds = Seeds::default();
        self.with_dice(policy, move || seeds.next())
    }

    /// As [`with_policy`](Failover::with_policy), with random numbers of the caller's own for the waits between
    /// attempts.
    #[must_use]
    pub fn with_dice(
        mut self,
        policy: FailoverPolicy,
        dice: impl Fn() -> u64 + Send + Sync + 'static,
    ) -> Self {
        self.rules = Rules::new(policy, dice);
        self
    }

    /// The balance policy.
    #[must_use]
    pub fn get_ref(&self) -> &P {
        &self.pick
    }
}

impl<P> Service<Request<Payload>> for Failover<P>
where
    P: Pick<Request<Payload>>,
    P::Service: Service<Request<Payload>>,
    <P::Service as Service<Request<Payload>>>::Error: Into<Error>,
{
    type Response = <P::Service as Service<Request<Payload>>>::Response;
    type Error = Error;
    type Future = ResponseFuture<P>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> ResponseFuture<P> {
        ResponseFuture::new(self.pick.clone(), self.rules.clone(), request)
    }
}
