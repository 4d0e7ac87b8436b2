//! How long nothing has come: the one clock of everybody who waits for more.

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep, sleep_until};

/// Runs while somebody waits. A timer is made on the first wait and looked at when it rings, not set anew for
/// every piece that comes: most answers never need it, and the others need it once in a while.
#[derive(Debug)]
pub(crate) struct Silence {
    most: Option<Duration>,
    since: Option<Instant>,
    // Boxed: who never waits moves no timer about.
    alarm: Option<Pin<Box<Alarm>>>,
}

pin_project! {
    #[derive(Debug)]
    struct Alarm {
        #[pin]
        sleep: Sleep,
        // Whom it will wake.
        waiting: Option<Waker>,
    }
}

impl Silence {
    /// Rings after so much silence; `None`: never.
    pub(crate) fn new(most: Option<Duration>) -> Self {
        Silence { most, since: None, alarm: None }
    }

    /// Counts from now on, also while nobody waits.
    pub(crate) fn started(most: Option<Duration>) -> Self {
        Silence { since: most.map(|_| Instant::now()), ..Silence::new(most) }
    }

    /// Something has come: the next silence counts from when somebody waits again.
    pub(crate) fn end(&mut self) {
        self.since = None;
    }

    /// Ready when it has lasted too long; then it counts anew.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(most) = self.most else { return Poll::Pending };
        let rings_at = *self.since.get_or_insert_with(Instant::now) + most;
        let alarm = self
            .alarm
            .get_or_insert_with(|| Box::pin(Alarm { sleep: sleep_until(rings_at), waiting: None }))
            .as_mut()
            .project();
        let mut sleep = alarm.sleep;
        // Every piece of every stream comes by here: an alarm that has not rung, and knows whom to wake, is left alone.
        let is_set = alarm.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker()));
        if is_set && !sleep.is_elapsed() {
            return Poll::Pending;
        }
        // Without a budget, which when spent would say "not yet" and leave the alarm without a waker.
        while pin!(unconstrained(sleep.as_mut())).poll(cx).is_ready() {
            *alarm.waiting = None;
            if Instant::now() >= rings_at {
                self.since = None;
                return Poll::Ready(());
            }
            // Something came since it was set.
            sleep.as_mut().reset(rings_at);
        }
        *alarm.waiting = Some(cx.waker().clone());
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_the_last_that_came() {
        let second = Duration::from_secs(1);
        let mut silence = Silence::new(Some(10 * second));
        let start = Instant::now();
        for _ in 0..5 {
            let waited = tokio::time::timeout(9 * second, poll_fn(|cx| silence.poll(cx))).await;
            assert!(waited.is_err());
            silence.end();
        }
        poll_fn(|cx| silence.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 55);
        poll_fn(|cx| silence.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 65);
    }

    #[tokio::test(start_paused = true)]
    async fn it_rings_for_a_task_that_has_spent_its_budget() {
        let mut silence = Silence::new(Some(Duration::from_secs(10)));
        let mut is_first = true;
        let rings = poll_fn(|cx| {
            if std::mem::take(&mut is_first) {
                // Whatever else the task does, until it is told to let others run.
                while let Poll::Ready(budget) = tokio::task::coop::poll_proceed(cx) {
                    budget.made_progress();
                }
            }
            silence.poll(cx)
        });
        tokio::time::timeout(Duration::from_secs(60), rings).await.expect("somebody to wake it");
    }

    #[tokio::test(start_paused = true)]
    async fn it_wakes_whoever_asked_last() {
        use futures_util::FutureExt as _;
        let mut silence = Silence::new(Some(Duration::from_secs(10)));
        // Somebody else, who is never woken.
        assert!(poll_fn(|cx| silence.poll(cx)).now_or_never().is_none());
        let start = Instant::now();
        poll_fn(|cx| silence.poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 10);
    }
}
