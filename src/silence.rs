//! How long nothing has come: the one clock of everybody who waits for more.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::time::{Instant, Sleep, sleep_until};

pin_project! {
    /// Runs while somebody waits. A timer is made on the first wait and looked at when it rings, not set anew for
    /// every piece that comes: most answers never need it, and the others need it once in a while.
    #[derive(Debug)]
    pub(crate) struct Silence {
        most: Option<Duration>,
        since: Option<Instant>,
        #[pin]
        alarm: Option<Sleep>,
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
    pub(crate) fn end(self: Pin<&mut Self>) {
        *self.project().since = None;
    }

    /// Ready when it has lasted too long; then it counts anew.
    pub(crate) fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut this = self.project();
        let Some(most) = *this.most else { return Poll::Pending };
        let rings_at = *this.since.get_or_insert_with(Instant::now) + most;
        if this.alarm.is_none() {
            this.alarm.set(Some(sleep_until(rings_at)));
        }
        while let Some(alarm) = this.alarm.as_mut().as_pin_mut() {
            ready!(alarm.poll(cx));
            if Instant::now() >= rings_at {
                *this.since = None;
                return Poll::Ready(());
            }
            // Something came since it was set.
            if let Some(alarm) = this.alarm.as_mut().as_pin_mut() {
                alarm.reset(rings_at);
            }
        }
        Poll::Pending
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::poll_fn;
    use std::pin::pin;

    #[tokio::test(start_paused = true)]
    async fn it_counts_from_the_last_that_came() {
        let second = Duration::from_secs(1);
        let mut silence = pin!(Silence::new(Some(10 * second)));
        let start = Instant::now();
        for _ in 0..5 {
            let waited = tokio::time::timeout(9 * second, poll_fn(|cx| silence.as_mut().poll(cx))).await;
            assert!(waited.is_err());
            silence.as_mut().end();
        }
        poll_fn(|cx| silence.as_mut().poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 55);
        poll_fn(|cx| silence.as_mut().poll(cx)).await;
        assert_eq!(start.elapsed().as_secs(), 65);
    }
}
