//! Which failures another upstream is asked about, how long the same one is left alone, and which of several failures
//! a client is told.

use std::time::Duration;

use http::StatusCode;

use super::budget::RetryBudget;
use crate::error::{Error, Fault};
use crate::protocol::canonical::FaultKind;

/// Status codes like `4xx`, `529`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusPattern {
    /// One code.
    Exact(u16),
    /// A hundred of them: `4` stands for 400 to 499.
    Class(u16),
}

impl StatusPattern {
    /// Reads `529` or `5xx`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(class) = text.to_ascii_lowercase().strip_suffix("xx") {
            return match class.parse() {
                Ok(class @ 1..=5) => Some(StatusPattern::Class(class)),
                _ => None,
            };
        }
        match text.parse() {
            Ok(code @ 100..=599) => Some(StatusPattern::Exact(code)),
            _ => None,
        }
    }

    /// Whether `status` is meant.
    #[must_use]
    pub fn matches(self, status: StatusCode) -> bool {
        match self {
            StatusPattern::Exact(code) => status.as_u16() == code,
            StatusPattern::Class(class) => status.as_u16() / 100 == class,
        }
    }
}

/// How long an upstream is left alone before the same request asks it again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The longest wait before the first repetition; each further one may wait twice as long. Default 500 ms.
    pub base: Duration,
    /// The longest wait at all. An upstream that asks for more is not asked again. Default 8 s.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Backoff { base: Duration::from_millis(500), max: Duration::from_secs(8) }
    }
}

impl Backoff {
    /// The wait before the `repetition`-th repetition, from 1: any time up to the longest, as `dice` falls (full
    /// jitter: requests that failed together do not come back together), but not less than the upstream's own `hint`.
    #[must_use]
    pub fn wait(&self, repetition: u32, dice: u64, hint: Duration) -> Duration {
        let doubled = 1u32.checked_shl(repetition.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.base.saturating_mul(doubled).min(self.max);
        longest.mul_f64(dice as f64 / u64::MAX as f64).max(hint.min(self.max))
    }
}

/// When to ask another upstream, or the same again.
#[derive(Clone, Debug)]
pub struct FailoverPolicy {
    /// Most attempts per request, over all upstreams and fallback models. Default 5.
    pub max_attempts: u32,
    /// How often one upstream may be asked. Default 1.
    pub per_upstream: u32,
    /// How long it is left alone in between.
    pub backoff: Backoff,
    /// The further attempts of all requests together; `None`: no limit.
    pub budget: Option<RetryBudget>,
    /// Most time to the beginning of an answer, all attempts together. Default: none.
    pub deadline: Option<Duration>,
    /// Error statuses that move on. Default: every 4xx and 5xx.
    pub statuses: Vec<StatusPattern>,
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        FailoverPolicy {
            max_attempts: 5,
            per_upstream: 1,
            backoff: Backoff::default(),
            budget: Some(RetryBudget::default()),
            deadline: None,
            statuses: vec![StatusPattern::Class(4), StatusPattern::Class(5)],
        }
    }
}

impl FailoverPolicy {
    /// Whether another attempt may follow `attempts` attempts, the last of which failed with `error`.
    #[must_use]
    pub fn moves_on(&self, error: &Error, attempts: u32) -> bool {
        if !error.may_fail_over() || attempts >= self.max_attempts {
            return false;
        }
        match error {
            Error::Upstream(answer) => self.statuses.iter().any(|pattern| pattern.matches(answer.status)),
            _ => true,
        }
    }

    /// Whether the upstream that failed with `error` may do better if it is asked once more: it is its own fault, of a
    /// kind that passes, and it does not ask for more patience than [`Backoff::max`].
    #[must_use]
    pub fn repeats(&self, error: &Error) -> bool {
        let passes = match error {
            Error::Upstream(answer) => !answer.is_credential() && answer.view.kind != FaultKind::Billing,
            _ => true,
        };
        passes
            && error.fault() == Fault::Upstream
            && error.retry_after().is_none_or(|wait| wait <= self.backoff.max)
    }
}

/// Of two failures of one request, the one to tell: the more useful, the later of equals. Of several
/// rate limits the soonest return counts.
#[must_use]
pub fn worse(earlier: Option<Error>, later: Error) -> Error {
    let Some(earlier) = earlier else { return later };
    let soonest = match (earlier.retry_after(), later.retry_after()) {
        (Some(a), Some(b)) => Some(a.min(b)),
        _ => None,
    };
    let mut told = if earlier.usefulness() > later.usefulness() { earlier } else { later };
    if let (Error::Upstream(answer), Some(soonest)) = (&mut told, soonest) {
        answer.view.retry_after = Some(soonest);
    }
    told
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Stage, UpstreamError};
    use crate::protocol::Protocol;
    use bytes::Bytes;

    fn upstream(status: u16, retry_after: Option<&str>) -> Error {
        let mut headers = http::HeaderMap::new();
        if let Some(seconds) = retry_after {
            headers.insert("retry-after", seconds.parse().unwrap());
        }
        let status = StatusCode::from_u16(status).unwrap();
        Error::Upstream(Box::new(UpstreamError::new(Protocol::OpenAi, status, headers, Bytes::from("{}"))))
    }

    fn transport() -> Error {
        Error::Transport { stage: Stage::Connect, source: "refused".into() }
    }

    fn status_of(error: &Error) -> Option<u16> {
        match error {
            Error::Upstream(answer) => Some(answer.status.as_u16()),
            _ => None,
        }
    }

    #[test]
    fn the_client_is_told_what_it_can_act_on() {
        let told = |first: Error, second: Error| status_of(&worse(Some(first), second));
        assert_eq!(told(upstream(400, None), upstream(503, None)), Some(400));
        assert_eq!(told(upstream(503, None), upstream(400, None)), Some(400));
        assert_eq!(told(upstream(429, None), upstream(500, None)), Some(429));
        assert_eq!(told(upstream(500, None), transport()), Some(500));
        assert_eq!(told(upstream(500, None), upstream(503, None)), Some(503), "the later of equals");
        assert_eq!(told(upstream(500, None), upstream(401, None)), Some(500));
    }

    #[test]
    fn of_several_rate_limits_the_soonest_counts() {
        let told = worse(Some(upstream(429, Some("5"))), upstream(429, Some("60")));
        assert_eq!(told.retry_after().map(|wait| wait.as_secs()), Some(5));
    }

    #[test]
    fn waits_double_up_to_a_limit_and_are_spread_by_chance() {
        let second = Duration::from_secs(1);
        let backoff = Backoff { base: second, max: 5 * second };
        let longest = |repetition| backoff.wait(repetition, u64::MAX, Duration::ZERO);
        assert_eq!([1, 2, 3, 4, 40].map(longest), [1, 2, 4, 5, 5].map(Duration::from_secs));
        assert_eq!(backoff.wait(3, 0, Duration::ZERO), Duration::ZERO, "full jitter");
        let half = backoff.wait(3, u64::MAX / 2, Duration::ZERO);
        assert!((half.as_secs_f64() - 2.0).abs() < 1e-6, "{half:?}");
        assert_eq!(backoff.wait(1, 0, 3 * second), 3 * second, "as the upstream asks");
    }

    #[test]
    fn only_what_passes_is_asked_of_the_same_upstream_again() {
        let policy = FailoverPolicy::default();
        for (error, want) in [
            (upstream(500, None), true),
            (upstream(429, None), true),
            (upstream(429, Some("8")), true),
            (upstream(429, Some("9")), false),
            (transport(), true),
            (Error::codec("cut"), true),
            (upstream(400, None), false),
            (upstream(401, None), false),
            (upstream(402, None), false),
            (upstream(404, None), false),
            (Error::Overloaded, false),
        ] {
            assert_eq!(policy.repeats(&error), want, "{error}");
        }
    }

    #[test]
    fn statuses_are_read_as_people_write_them() {
        assert_eq!(StatusPattern::parse("5xx"), Some(StatusPattern::Class(5)));
        assert_eq!(StatusPattern::parse(" 529"), Some(StatusPattern::Exact(529)));
        for bad in ["", "xx", "9xx", "99", "5x", "600"] {
            assert_eq!(StatusPattern::parse(bad), None, "{bad}");
        }
    }
}
