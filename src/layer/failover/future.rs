use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::Request;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::policy::{FailoverPolicy, worse};
use crate::error::{Clock, Error};
use crate::layer::balance::{Pick, Picked, Tried};
use crate::layer::trail::{Attempt, Trail};
use crate::payload::Payload;

type ServiceOf<P> = <P as Pick<Request<Payload>>>::Service;
type FutureOf<P> = <ServiceOf<P> as Service<Request<Payload>>>::Future;

pin_project! {
    /// Response future of [`Failover`](super::Failover).
    pub struct ResponseFuture<P>
    where
        P: Pick<Request<Payload>>,
        P::Service: Service<Request<Payload>>,
    {
        pick: P,
        policy: Option<Arc<FailoverPolicy>>,
        // None once the last permitted attempt has taken it.
        request: Option<Request<Payload>>,
        tried: Tried,
        attempts: u32,
        failure: Option<Error>,
        under_way: Option<(Arc<str>, Instant)>,
        trail: Option<Trail>,
        deadline: Option<Instant>,
        // Made when somebody waits.
        #[pin]
        alarm: Option<Sleep>,
        #[pin]
        call: Option<FutureOf<P>>,
    }
}

impl<P> ResponseFuture<P>
where
    P: Pick<Request<Payload>>,
    P::Service: Service<Request<Payload>>,
{
    pub(super) fn new(pick: P, policy: Arc<FailoverPolicy>, request: Request<Payload>) -> Self {
        let tried = Tried::new(policy.per_upstream);
        Self::start(pick, Some(policy), request, tried)
    }

    /// One attempt and no second.
    pub(in crate::layer) fn once(pick: P, request: Request<Payload>) -> Self {
        Self::start(pick, None, request, Tried::new(1))
    }

    fn start(pick: P, policy: Option<Arc<FailoverPolicy>>, request: Request<Payload>, tried: Tried) -> Self {
        let deadline = policy.as_ref().and_then(|policy| policy.deadline).map(|most| Instant::now() + most);
        ResponseFuture {
            pick,
            policy,
            deadline,
            alarm: None,
            trail: request.extensions().get::<Trail>().cloned(),
            request: Some(request),
            tried,
            attempts: 0,
            failure: None,
            under_way: None,
            call: None,
        }
    }
}

impl<P> Future for ResponseFuture<P>
where
    P: Pick<Request<Payload>>,
    P::Service: Service<Request<Payload>>,
    <P::Service as Service<Request<Payload>>>::Error: Into<Error>,
{
    type Output = Result<<P::Service as Service<Request<Payload>>>::Response, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(call) = this.call.as_mut().as_pin_mut() {
                let outcome = match call.poll(cx) {
                    Poll::Ready(outcome) => outcome.map_err(Into::into),
                    Poll::Pending => {
                        let Some(deadline) = *this.deadline else { return Poll::Pending };
                        if this.alarm.is_none() {
                            this.alarm.set(Some(sleep_until(deadline)));
                        }
                        let Some(alarm) = this.alarm.as_mut().as_pin_mut() else { return Poll::Pending };
                        ready!(alarm.poll(cx));
                        // No attempt could follow.
                        *this.request = None;
                        Err(Error::Timeout(Clock::Request))
                    }
                };
                this.call.set(None);
                note(this.trail.as_ref(), this.under_way.take(), outcome.as_ref().err());
                let error = match outcome {
                    Ok(response) => return Poll::Ready(Ok(response)),
                    Err(error) => error,
                };
                let moves_on =
                    this.policy.as_ref().is_some_and(|policy| policy.moves_on(&error, *this.attempts));
                let told = worse(this.failure.take(), error);
                if !moves_on || this.request.is_none() {
                    return Poll::Ready(Err(told));
                }
                *this.failure = Some(told);
            }
            let Some(request) = this.request.as_ref() else {
                return Poll::Ready(Err(this.failure.take().unwrap_or(Error::Overloaded)));
            };
            let Picked { index, name, mut service, is_last } = match this.pick.pick(request, this.tried) {
                Ok(picked) => picked,
                // Nobody is left: what an upstream said is worth more than that.
                Err(nobody) => return Poll::Ready(Err(worse(this.failure.take(), nobody))),
            };
            this.tried.add(index);
            match service.poll_ready(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(error)) => {
                    *this.failure = Some(worse(this.failure.take(), error.into()));
                    this.tried.exclude(index);
                    continue;
                }
                Poll::Pending => {
                    // Busy: passed over, not waited for.
                    *this.failure = Some(worse(this.failure.take(), Error::Overloaded));
                    this.tried.exclude(index);
                    continue;
                }
            }
            *this.attempts += 1;
            let is_last = is_last
                || match this.policy {
                    None => true,
                    Some(policy) => policy.max_attempts.is_some_and(|most| *this.attempts >= most),
                };
            // The last permitted attempt moves the request instead of cloning it.
            let attempt = if is_last { this.request.take() } else { Some(request.clone()) };
            let Some(attempt) = attempt else { continue };
            *this.under_way = Some((name, Instant::now()));
            this.call.set(Some(service.call(attempt)));
        }
    }
}

fn note(trail: Option<&Trail>, under_way: Option<(Arc<str>, Instant)>, error: Option<&Error>) {
    let Some((upstream, start)) = under_way else { return };
    let outcome = error.map_or("ok", Error::error_type);
    let duration = start.elapsed();
    if let Some(error) = error {
        tracing::debug!(upstream = &*upstream, outcome, ?duration, %error, "attempt failed");
    }
    let Some(trail) = trail else { return };
    let mut notes = trail.lock();
    // A layer further in may have noted the model that it asked for.
    let mapped = notes.attempts.last_mut().filter(|last| last.outcome.is_empty());
    match mapped {
        Some(last) => {
            last.upstream = upstream;
            last.outcome = outcome;
            last.duration = duration;
        }
        None => notes.attempts.push(Attempt { upstream, upstream_model: None, outcome, duration }),
    }
}

impl<P> fmt::Debug for ResponseFuture<P>
where
    P: Pick<Request<Payload>>,
    P::Service: Service<Request<Payload>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("failover::ResponseFuture").field("attempts", &self.attempts).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use http::Response;
    use tower::ServiceExt;

    use super::*;
    use crate::layer::balance::{Eligibility, Eligible, Pool, Upstream, WeightedBalance};
    use crate::layer::failover::Failover;
    use crate::protocol::canonical::FaultKind;
    use crate::protocol::{Endpoint, Operation, Protocol};

    type Log = Arc<Mutex<Vec<&'static str>>>;

    #[derive(Clone)]
    struct Scripted {
        name: &'static str,
        result: fn() -> Result<(), Error>,
        ready: bool,
        log: Log,
    }

    impl Eligible<Request<Payload>> for Scripted {
        fn eligibility(&self, _: &Request<Payload>, _: Instant) -> Eligibility {
            Eligibility::Yes
        }
    }

    impl Service<Request<Payload>> for Scripted {
        type Response = Response<&'static str>;
        type Error = Error;
        type Future = std::future::Ready<Result<Response<&'static str>, Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
            if self.ready { Poll::Ready(Ok(())) } else { Poll::Pending }
        }

        fn call(&mut self, _: Request<Payload>) -> Self::Future {
            self.log.lock().unwrap().push(self.name);
            std::future::ready((self.result)().map(|()| Response::new(self.name)))
        }
    }

    async fn run(
        policy: FailoverPolicy,
        members: &[(&'static str, bool, fn() -> Result<(), Error>)],
    ) -> (Result<&'static str, Error>, Vec<&'static str>) {
        let log = Log::default();
        let pool = Pool::new(members.iter().map(|(name, ready, result)| Upstream {
            name: (*name).into(),
            weight: 1,
            priority: 0,
            service: Scripted { name, ready: *ready, result: *result, log: log.clone() },
        }));
        let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
        let request = Request::new(Payload::new(endpoint, r#"{"model":"m"}"#).unwrap());
        let service = Failover::new(WeightedBalance::new(pool)).with_policy(policy);
        let answer = service.oneshot(request).await.map(Response::into_body);
        let log = log.lock().unwrap().clone();
        (answer, log)
    }

    fn broken() -> Result<(), Error> {
        Err(Error::codec("broken"))
    }

    #[tokio::test]
    async fn each_upstream_is_asked_once_and_the_sound_one_serves() {
        let (answer, log) = run(
            FailoverPolicy::default(),
            &[("a", true, broken), ("b", true, broken), ("c", true, || Ok(()))],
        )
        .await;
        assert_eq!(answer.unwrap(), "c");
        assert_eq!(log, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn a_busy_upstream_is_passed_over() {
        let (answer, log) =
            run(FailoverPolicy::default(), &[("busy", false, || Ok(())), ("free", true, || Ok(()))]).await;
        assert_eq!(answer.unwrap(), "free");
        assert_eq!(log, ["free"]);
        let (answer, _) = run(FailoverPolicy::default(), &[("busy", false, || Ok(()))]).await;
        assert!(matches!(answer, Err(Error::Unavailable { .. } | Error::Overloaded)));
    }

    #[tokio::test]
    async fn attempts_have_a_ceiling_and_the_request_itself_is_not_retried() {
        let policy = FailoverPolicy { max_attempts: Some(2), ..FailoverPolicy::default() };
        let three: [(&str, bool, fn() -> Result<(), Error>); 3] =
            [("a", true, broken), ("b", true, broken), ("c", true, broken)];
        assert_eq!(run(policy, &three).await.1.len(), 2);
        let own: fn() -> Result<(), Error> = || Err(Error::request(FaultKind::InvalidRequest, "bad"));
        assert_eq!(run(FailoverPolicy::default(), &[("a", true, own), ("b", true, own)]).await.1.len(), 1);
    }

    #[tokio::test]
    async fn the_same_upstream_is_asked_again_only_if_configured() {
        let policy = FailoverPolicy { per_upstream: 3, ..FailoverPolicy::default() };
        assert_eq!(run(policy, &[("a", true, broken)]).await.1, ["a", "a", "a"]);
    }
}
