//! The end of the time that a stopping program leaves its answers.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Tells answers under way that there is no time left for them. Copies are one.
#[derive(Clone, Debug, Default)]
pub struct Closing(CancellationToken);

impl Closing {
    /// Time is not over.
    #[must_use]
    pub fn new() -> Self {
        Closing::default()
    }

    /// Time is over, for ever.
    pub fn close(&self) {
        self.0.cancel();
    }

    /// To wait for it.
    pub(crate) fn watch(&self) -> Watch {
        Watch { closing: self.clone(), waiting: None }
    }
}

/// Waits for the end of the time. What never waits costs nothing.
#[derive(Debug)]
pub(crate) struct Watch {
    closing: Closing,
    waiting: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl Watch {
    /// For somebody else, who has not waited yet.
    pub(crate) fn again(&self) -> Watch {
        self.closing.watch()
    }

    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(self.closing.0.clone().cancelled_owned()));
        Future::poll(waiting.as_mut(), cx)
    }
}
