//! Clients that leave before a stream's end, for tests of cancellation to ask about.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::route::parameter;

/// Where to ask: `GET /simulator/departures?model=…`. No provider has such a path.
pub(crate) const PATH: &str = "/simulator/departures";

const MAX_MODELS: usize = 10_000;
const PATIENCE: Duration = Duration::from_secs(10);

/// How many streams of each model were left by their client.
#[derive(Clone, Debug, Default)]
pub(crate) struct Departures(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    counts: Mutex<HashMap<String, u64>>,
    more: Notify,
}

impl Departures {
    /// Counts one departure when it is dropped, unless the stream was over by then.
    pub(crate) fn watch(&self, model: &str) -> Watch {
        Watch { departures: self.clone(), model: model.to_owned() }
    }

    fn count(&self, model: &str) -> u64 {
        let counts = self.0.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.get(model).copied().unwrap_or_default()
    }

    /// The answer to a question: as soon as there is a departure to tell of, or after a while.
    pub(crate) async fn told(&self, query: &str) -> String {
        let model = parameter(query, "model").unwrap_or_default();
        let seen = async {
            loop {
                let more = self.0.more.notified();
                tokio::pin!(more);
                // Before the count, so that nothing between the two is missed.
                more.as_mut().enable();
                if self.count(&model) > 0 {
                    return;
                }
                more.await;
            }
        };
        // When the time is over the count is zero, which is the answer then.
        let _ = tokio::time::timeout(PATIENCE, seen).await;
        format!(r#"{{"departures":{}}}"#, self.count(&model))
    }
}

/// One stream's part in the count.
#[derive(Debug)]
pub(crate) struct Watch {
    departures: Departures,
    model: String,
}

impl Watch {
    /// The client left.
    pub(crate) fn left(self) {
        let shared = &self.departures.0;
        let mut counts = shared.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() >= MAX_MODELS && !counts.contains_key(&self.model) {
            counts.clear();
        }
        *counts.entry(self.model).or_default() += 1;
        drop(counts);
        shared.more.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_question_waits_for_the_departure_it_asks_about() {
        let departures = Departures::default();
        let (first, other) = (departures.watch("a/b"), departures.watch("c"));
        let asked = tokio::spawn({
            let departures = departures.clone();
            async move { departures.told("model=a%2Fb").await }
        });
        tokio::task::yield_now().await;
        other.left();
        tokio::task::yield_now().await;
        assert!(!asked.is_finished());
        first.left();
        assert_eq!(asked.await.unwrap(), r#"{"departures":1}"#);
        assert_eq!(departures.told("model=c").await, r#"{"departures":1}"#);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_left_is_an_answer_too() {
        let departures = Departures::default();
        drop(departures.watch("a"));
        assert_eq!(departures.told("model=a").await, r#"{"departures":0}"#);
    }
}
