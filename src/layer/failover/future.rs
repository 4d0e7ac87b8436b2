use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use http::Request;
use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};
use tower::Service;

use super::Rules;
use super::budget::WINDOW;
use super::policy::worse;
use crate::error::{Clock, Error};
use crate::layer::balance::{Pick, Picked, Tried};
use crate::layer::metrics::names;
use crate::layer::trail::{Attempt, Attempts, Trail};
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
        // None: one attempt and no second.
        rules: Option<Arc<Rules>>,
        // None once the last permitted attempt has taken it.
        request: Option<Request<Payload>>,
        tried: Tried,
        // Of a request without a trail.
        own: Attempts,
        failure: Option<Error>,
        under_way: Option<UnderWay>,
        trail: Option<Trail>,
        deadline: Option<Instant>,
        // How long the upstream that failed last wants to be left alone.
        hint: Duration,
        // Whom to ask again when the alarm rings.
        waiting: Option<Picked<ServiceOf<P>>>,
        // Made when somebody waits: for the deadline, or until an upstream is asked again.
        #[pin]
        alarm: Option<Sleep>,
        #[pin]
        call: Option<FutureOf<P>>,
    }
}

/// An attempt that has begun.
struct UnderWay {
    index: usize,
    upstream: Arc<str>,
    start: Instant,
}

impl<P> ResponseFuture<P>
where
    P: Pick<Request<Payload>>,
    P::Service: Service<Request<Payload>>,
{
    pub(super) fn new(pick: P, rules: Arc<Rules>, request: Request<Payload>) -> Self {
        let tried = Tried::new(rules.policy.per_upstream);
        Self::start(pick, Some(rules), request, tried)
    }

    /// One attempt and no second.
    pub(in crate::layer) fn once(pick: P, request: Request<Payload>) -> Self {
        Self::start(pick, None, request, Tried::new(1))
    }

    fn start(pick: P, rules: Option<Arc<Rules>>, request: Request<Payload>, tried: Tried) -> Self {
        let trail = request.extensions().get::<Trail>().cloned();
        let own = Attempts::default();
        let mut deadline = None;
        if let Some(Rules { policy, .. }) = rules.as_deref() {
            let attempts = of_all(trail.as_ref(), &own);
            attempts.limit(policy.max_attempts);
            deadline = policy.deadline.map(|most| attempts.start() + most);
        }
        ResponseFuture {
            pick,
            rules,
            deadline,
            alarm: None,
            trail,
            request: Some(request),
            tried,
            own,
            failure: None,
            under_way: None,
            hint: Duration::ZERO,
            waiting: None,
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
            let attempts = of_all(this.trail.as_ref(), this.own);
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
                        Err(Error::Timeout(Clock::Request))
                    }
                };
                this.call.set(None);
                let under_way = this.under_way.take();
                note(this.trail.as_ref(), under_way.as_ref(), outcome.as_ref().err());
                let error = match outcome {
                    Ok(response) => return Poll::Ready(Ok(response)),
                    Err(error) => error,
                };
                let policy = this.rules.as_ref().map(|rules| &rules.policy);
                let moves_on = policy.is_some_and(|policy| policy.moves_on(&error, attempts.made()));
                *this.hint = error.retry_after().unwrap_or_default();
                if let (Some(ended), false) = (under_way, policy.is_some_and(|policy| policy.repeats(&error)))
                {
                    this.tried.exclude(ended.index);
                    *this.hint = Duration::ZERO;
                }
                let told = worse(this.failure.take(), error);
                if !moves_on {
                    // For another model neither.
                    attempts.end();
                }
                if !moves_on || this.request.is_none() {
                    return Poll::Ready(Err(told));
                }
                *this.failure = Some(told);
            }
            let Some(request) = this.request.as_ref() else {
                return Poll::Ready(Err(this.failure.take().unwrap_or(Error::Overloaded)));
            };
            let picked = match this.waiting.take() {
                Some(picked) => {
                    if let Some(alarm) = this.alarm.as_mut().as_pin_mut()
                        && alarm.poll(cx).is_pending()
                    {
                        *this.waiting = Some(picked);
                        return Poll::Pending;
                    }
                    this.alarm.set(None);
                    picked
                }
                None => {
                    let picked = match this.pick.pick(request, this.tried) {
                        Ok(picked) => picked,
                        // Nobody is left: what an upstream said is worth more than that.
                        Err(nobody) => return Poll::Ready(Err(worse(this.failure.take(), nobody))),
                    };
                    let repetition = this.tried.count(picked.index);
                    if let (Some(rules), 1..) = (&this.rules, repetition) {
                        let wait = rules.policy.backoff.wait(repetition, (rules.dice)(), *this.hint);
                        let until = Instant::now() + wait;
                        if this.deadline.is_some_and(|deadline| until >= deadline) {
                            this.tried.exclude(picked.index);
                        } else {
                            this.alarm.set(Some(sleep_until(until)));
                            *this.waiting = Some(picked);
                        }
                        continue;
                    }
                    picked
                }
            };
            let Picked { index, name, mut service, is_last } = picked;
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
            if let Some(account) = this.rules.as_ref().and_then(|rules| rules.account.as_ref()) {
                if attempts.made() == 0 {
                    account.deposit();
                } else if !account.withdraw() {
                    metrics::counter!(names::RETRY_BUDGET_EXHAUSTED).increment(1);
                    attempts.end();
                    let told = this.failure.take().unwrap_or(Error::Overloaded);
                    return Poll::Ready(Err(told.come_back_after(WINDOW)));
                }
            }
            if !attempts.add() {
                attempts.end();
                let nobody = Error::Unavailable { retry_after: None };
                return Poll::Ready(Err(this.failure.take().unwrap_or(nobody)));
            }
            if this.tried.count(index) > 0 {
                metrics::counter!(names::RETRIES, "upstream" => name.to_string()).increment(1);
            }
            this.tried.add(index);
            let most = this.rules.as_ref().map_or(1, |rules| rules.policy.max_attempts);
            // The last permitted attempt moves the request instead of cloning it.
            let attempt =
                if is_last || attempts.made() >= most { this.request.take() } else { Some(request.clone()) };
            let Some(attempt) = attempt else { continue };
            *this.under_way = Some(UnderWay { index, upstream: name, start: Instant::now() });
            this.call.set(Some(service.call(attempt)));
        }
    }
}

/// The one count of all that make attempts for this request.
fn of_all<'a>(trail: Option<&'a Trail>, own: &'a Attempts) -> &'a Attempts {
    trail.map_or(own, Trail::attempts)
}

fn note(trail: Option<&Trail>, under_way: Option<&UnderWay>, error: Option<&Error>) {
    let Some(UnderWay { upstream, start, .. }) = under_way else { return };
    let upstream = upstream.clone();
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
        f.debug_struct("failover::ResponseFuture").field("attempts", &self.own).finish_non_exhaustive()
    }
}
