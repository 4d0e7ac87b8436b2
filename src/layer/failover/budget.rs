//! How many further attempts the whole process may make, whatever its single requests would like.
//!
//! One request with two attempts costs little. When every provider is down, a second attempt of every request doubles
//! the load of those who try to come back: so further attempts are a share of the requests, and a floor that lets a
//! quiet gateway fail over whenever it wants.

use std::time::Duration;

use tower::retry::budget::{Budget as _, TpsBudget};

/// How long a request counts. Also when a client that was told of an empty budget should come back.
pub(super) const WINDOW: Duration = Duration::from_secs(10);

/// The further attempts of the whole process, first ones not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryBudget {
    /// How many of them, for a hundred requests of the last ten seconds: 0 to 1000. Default 20.
    pub percent: u32,
    /// How many a second besides, of which ten seconds' worth may be made at once. Default 10.
    pub per_second: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        RetryBudget { percent: 20, per_second: 10 }
    }
}

/// What is left of a [`RetryBudget`].
#[derive(Debug)]
pub(super) struct Account(TpsBudget);

impl Account {
    pub(super) fn new(budget: RetryBudget) -> Self {
        // Beyond these bounds tower panics.
        let percent = u16::try_from(budget.percent).unwrap_or(u16::MAX).min(1000);
        let per_second = budget.per_second.min(1_000_000);
        Account(TpsBudget::new(WINDOW, per_second, f32::from(percent) / 100.0))
    }

    /// A request has come.
    pub(super) fn deposit(&self) {
        self.0.deposit();
    }

    /// Whether one more attempt may be made.
    pub(super) fn withdraw(&self) -> bool {
        self.0.withdraw()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many further attempts are made.
    fn made(account: &Account, wanted: u32) -> u32 {
        (0..wanted).filter(|_| account.withdraw()).count() as u32
    }

    #[tokio::test(start_paused = true)]
    async fn further_attempts_are_a_share_of_the_requests() {
        let account = Account::new(RetryBudget { percent: 20, per_second: 0 });
        assert_eq!(made(&account, 1), 0, "without requests there is nothing to repeat");
        for _ in 0..1000 {
            account.deposit();
        }
        assert_eq!(made(&account, 1000), 200);
        for _ in 0..1000 {
            account.deposit();
        }
        tokio::time::advance(2 * WINDOW).await;
        assert_eq!(made(&account, 1), 0, "old requests do not count");
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_gateway_has_a_floor_that_comes_back() {
        let account = Account::new(RetryBudget::default());
        assert_eq!(made(&account, 1000), 100);
        tokio::time::advance(2 * WINDOW).await;
        assert_eq!(made(&account, 1000), 100);
    }

    #[test]
    fn no_figure_is_a_panic() {
        for figure in [0, 1, 1000, u32::MAX] {
            Account::new(RetryBudget { percent: figure, per_second: figure }).withdraw();
        }
    }
}
