//! The end of the time that a stopping program leaves its answers.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Tells answers under way that there is no time left for them. Copies are one.
#[derive(Clone, Debug, Default)]
pub struct Closing(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    /// Looked at for every piece of every stream; the token takes a lock for that.
    is_over: AtomicBool,
    token: CancellationToken,
}

impl Closing {
    /// Time is not over.
    #[must_use]
    pub fn new() -> Self {
        Closing::default()
    }

    /// Time is over, for ever.
    pub fn close(&self) {
        self.0.is_over.store(true, Ordering::Release);
        self.0.token.cancel();
    }

    /// To wait for it.
    pub(crate) fn watch(&self) -> Watch {
        Watch { closing: self.clone(), waiting: None, waker: None }
    }
}

/// Waits for the end of the time. What never waits costs nothing.
#[derive(Debug)]
pub(crate) struct Watch {
    closing: Closing,
    waiting: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
    // Whom it will wake.
    waker: Option<Waker>,
}

impl Watch {
    /// For somebody else, who has not waited yet.
    pub(crate) fn again(&self) -> Watch {
        self.closing.watch()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let shared = &self.closing.0;
        if shared.is_over.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        if self.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            return Poll::Pending;
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(shared.token.clone().cancelled_owned()));
        let waited = Future::poll(waiting.as_mut(), cx);
        if waited.is_pending() {
            self.waker = Some(cx.waker().clone());
        }
        waited
    }
}
