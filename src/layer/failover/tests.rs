use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use http::{Request, Response};
use tokio::time::{Instant, sleep, timeout};
use tower::{Service, ServiceExt};

use super::{Backoff, Failover, FailoverPolicy, RetryBudget};
use crate::error::{Clock, Error, UpstreamError};
use crate::layer::balance::{Eligibility, Eligible, Pool, Upstream, WeightedBalance};
use crate::payload::Payload;
use crate::protocol::canonical::FaultKind;
use crate::protocol::{Endpoint, Operation, Protocol};

const SECOND: Duration = Duration::from_secs(1);

/// Who was asked, and after how many milliseconds.
type Log = Arc<Mutex<Vec<(&'static str, u128)>>>;

type Outcome = fn() -> Result<(), Error>;

#[derive(Clone)]
struct Scripted {
    name: &'static str,
    result: Outcome,
    takes: Duration,
    ready: bool,
    log: Log,
    start: Instant,
}

impl Eligible<Request<Payload>> for Scripted {
    fn eligibility(&self, _: &Request<Payload>, _: Instant) -> Eligibility {
        Eligibility::Yes
    }
}

impl Service<Request<Payload>> for Scripted {
    type Response = Response<&'static str>;
    type Error = Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<&'static str>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        if self.ready { Poll::Ready(Ok(())) } else { Poll::Pending }
    }

    fn call(&mut self, _: Request<Payload>) -> Self::Future {
        self.log.lock().unwrap().push((self.name, self.start.elapsed().as_millis()));
        let Scripted { name, result, takes, .. } = *self;
        Box::pin(async move {
            if !takes.is_zero() {
                sleep(takes).await;
            }
            result().map(|()| Response::new(name))
        })
    }
}

type Balance = WeightedBalance<Scripted>;

/// Upstreams in this order of priority, each with whether it is ready, what comes of a request and how long it takes.
fn pool(members: &[(&'static str, bool, Outcome, Duration)]) -> (Balance, Log) {
    let (log, start) = (Log::default(), Instant::now());
    let upstreams = (0..).zip(members).map(|(priority, &(name, ready, result, takes))| {
        let service = Scripted { name, result, takes, ready, log: log.clone(), start };
        Upstream { name: name.into(), weight: 1, priority, service }
    });
    let pool = Pool::new(upstreams);
    (WeightedBalance::new(pool), log)
}

fn request() -> Request<Payload> {
    let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
    Request::new(Payload::new(endpoint, r#"{"model":"m"}"#).unwrap())
}

fn names(log: &Log) -> Vec<&'static str> {
    log.lock().unwrap().iter().map(|(name, _)| *name).collect()
}

async fn run(
    policy: FailoverPolicy,
    members: &[(&'static str, bool, Outcome)],
) -> (Result<&'static str, Error>, Vec<&'static str>) {
    let members: Vec<_> =
        members.iter().map(|(name, ready, result)| (*name, *ready, *result, Duration::ZERO)).collect();
    let (balance, log) = pool(&members);
    let service = Failover::new(balance).with_policy(policy);
    let answer = service.oneshot(request()).await.map(Response::into_body);
    (answer, names(&log))
}

fn broken() -> Result<(), Error> {
    Err(Error::codec("broken"))
}

fn sound() -> Result<(), Error> {
    Ok(())
}

fn limited(wait: Option<u64>) -> Error {
    let status = http::StatusCode::TOO_MANY_REQUESTS;
    let mut error = UpstreamError::new(Protocol::OpenAi, status, http::HeaderMap::new(), "{}".into());
    error.view.retry_after = wait.map(Duration::from_secs);
    Error::Upstream(Box::new(error))
}

#[tokio::test]
async fn each_upstream_is_asked_once_and_the_sound_one_serves() {
    let (answer, log) =
        run(FailoverPolicy::default(), &[("a", true, broken), ("b", true, broken), ("c", true, sound)]).await;
    assert_eq!(answer.unwrap(), "c");
    assert_eq!(log, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_busy_upstream_is_passed_over() {
    let (answer, log) =
        run(FailoverPolicy::default(), &[("busy", false, sound), ("free", true, sound)]).await;
    assert_eq!(answer.unwrap(), "free");
    assert_eq!(log, ["free"]);
    let (answer, _) = run(FailoverPolicy::default(), &[("busy", false, sound)]).await;
    assert!(matches!(answer, Err(Error::Unavailable { .. } | Error::Overloaded)));
}

#[tokio::test]
async fn attempts_have_a_ceiling_and_the_request_itself_is_not_retried() {
    let six: [(&str, bool, Outcome); 6] =
        ["a", "b", "c", "d", "e", "f"].map(|name| (name, true, broken as Outcome));
    assert_eq!(run(FailoverPolicy::default(), &six).await.1.len(), 5, "by default");
    let policy = FailoverPolicy { max_attempts: 2, ..FailoverPolicy::default() };
    assert_eq!(run(policy, &six).await.1.len(), 2);
    let own: Outcome = || Err(Error::request(FaultKind::InvalidRequest, "bad"));
    assert_eq!(run(FailoverPolicy::default(), &[("a", true, own), ("b", true, own)]).await.1.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn the_same_upstream_is_asked_again_only_if_configured_and_after_a_wait() {
    let policy = FailoverPolicy {
        per_upstream: 3,
        backoff: Backoff { base: SECOND, max: 8 * SECOND },
        ..FailoverPolicy::default()
    };
    let (balance, log) = pool(&[("a", true, broken, Duration::ZERO), ("b", true, sound, Duration::ZERO)]);
    // The dice are half way up.
    let service = Failover::new(balance).with_dice(policy.clone(), || u64::MAX / 2);
    assert_eq!(service.oneshot(request()).await.unwrap().into_body(), "b");
    assert_eq!(*log.lock().unwrap(), [("a", 0), ("a", 500), ("a", 1500), ("b", 1500)]);

    // What will not pass is not asked of the same one again, and nobody is asked before the time that he named.
    let refused: Outcome = || Err(limited(Some(9)));
    assert_eq!(run(policy.clone(), &[("a", true, refused), ("b", true, sound)]).await.1, ["a", "b"]);
    let patient: Outcome = || Err(limited(Some(5)));
    let (balance, log) = pool(&[("a", true, patient, Duration::ZERO)]);
    let told = Failover::new(balance).with_dice(policy, || 0).oneshot(request()).await.unwrap_err();
    assert_eq!(told.retry_after(), Some(5 * SECOND));
    assert_eq!(*log.lock().unwrap(), [("a", 0), ("a", 5000), ("a", 10_000)]);
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_attempts_and_waits() {
    let policy = FailoverPolicy {
        per_upstream: 5,
        deadline: Some(3 * SECOND),
        backoff: Backoff { base: 2 * SECOND, max: 8 * SECOND },
        ..FailoverPolicy::default()
    };
    let start = Instant::now();
    let (balance, log) = pool(&[("a", true, broken, Duration::ZERO)]);
    let told =
        Failover::new(balance).with_dice(policy.clone(), || u64::MAX).oneshot(request()).await.unwrap_err();
    assert!(matches!(told, Error::Codec(_)), "the failure itself: {told}");
    assert_eq!(*log.lock().unwrap(), [("a", 0), ("a", 2000)], "the next wait would be over too late");
    assert_eq!(start.elapsed(), 2 * SECOND, "and nobody waits for nothing");

    let (balance, log) = pool(&[("slow", true, broken, 2 * SECOND), ("slower", true, sound, 2 * SECOND)]);
    let policy = FailoverPolicy { per_upstream: 1, ..policy };
    let told = Failover::new(balance).with_policy(policy).oneshot(request()).await.unwrap_err();
    assert!(matches!(told, Error::Timeout(Clock::Request) | Error::Codec(_)), "{told}");
    assert_eq!(names(&log), ["slow", "slower"]);
    assert_eq!(start.elapsed(), 5 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_leaves_ends_the_wait_for_the_next_attempt() {
    let policy = FailoverPolicy {
        per_upstream: 5,
        backoff: Backoff { base: 8 * SECOND, max: 8 * SECOND },
        ..FailoverPolicy::default()
    };
    let (balance, log) = pool(&[("a", true, broken, Duration::ZERO)]);
    let service = Failover::new(balance).with_dice(policy, || u64::MAX);
    assert!(timeout(SECOND, service.oneshot(request())).await.is_err());
    sleep(100 * SECOND).await;
    assert_eq!(*log.lock().unwrap(), [("a", 0)]);
}

#[tokio::test(start_paused = true)]
async fn an_empty_budget_leaves_the_first_failure_as_it_is() {
    let budget = Some(RetryBudget { percent: 20, per_second: 0 });
    let refused: Outcome = || Err(limited(None));
    let (balance, log) = pool(&[("a", true, refused, Duration::ZERO), ("b", true, broken, Duration::ZERO)]);
    let service = Failover::new(balance).with_policy(FailoverPolicy { budget, ..FailoverPolicy::default() });
    let mut hinted = 0;
    for _ in 0..100 {
        let told = service.clone().oneshot(request()).await.unwrap_err();
        assert!(matches!(told, Error::Upstream(_)), "{told}");
        hinted += usize::from(told.retry_after() == Some(10 * SECOND));
    }
    let count = |name| names(&log).into_iter().filter(|asked| *asked == name).count();
    assert_eq!((count("a"), count("b")), (100, 20), "a fifth of the requests");
    assert_eq!(hinted, 80, "the others are told when to come back");
}

#[tokio::test(start_paused = true)]
async fn a_quiet_gateway_with_a_dead_upstream_always_fails_over() {
    let (balance, log) =
        pool(&[("dead", true, broken, Duration::ZERO), ("alive", true, sound, Duration::ZERO)]);
    let service = Failover::new(balance);
    for _ in 0..100 {
        assert_eq!(service.clone().oneshot(request()).await.unwrap().into_body(), "alive");
    }
    assert_eq!(log.lock().unwrap().len(), 200);
}
