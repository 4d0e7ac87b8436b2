//! Which failures another upstream is asked about, and which of several failures a client is told.

use std::time::Duration;

use http::StatusCode;

use crate::error::Error;

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

/// When to ask another upstream.
#[derive(Clone, Debug)]
pub struct FailoverPolicy {
    /// Most attempts per request; `None`: as many as there are upstreams to ask.
    pub max_attempts: Option<u32>,
    /// How often one upstream may be asked. Default 1.
    pub per_upstream: u32,
    /// Most time to the beginning of an answer, all attempts together. Default: none.
    pub deadline: Option<Duration>,
    /// Error statuses that move on. Default: every 4xx and 5xx.
    pub statuses: Vec<StatusPattern>,
}

impl Default for FailoverPolicy {
    fn default() -> Self {
        FailoverPolicy {
            max_attempts: None,
            per_upstream: 1,
            deadline: None,
            statuses: vec![StatusPattern::Class(4), StatusPattern::Class(5)],
        }
    }
}

impl FailoverPolicy {
    /// Whether another attempt may follow `attempts` attempts, the last of which failed with `error`.
    #[must_use]
    pub fn moves_on(&self, error: &Error, attempts: u32) -> bool {
        if !error.may_fail_over() || self.max_attempts.is_some_and(|most| attempts >= most) {
            return false;
        }
        match error {
            Error::Upstream(answer) => self.statuses.iter().any(|pattern| pattern.matches(answer.status)),
            _ => true,
        }
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
    fn statuses_are_read_as_people_write_them() {
        assert_eq!(StatusPattern::parse("5xx"), Some(StatusPattern::Class(5)));
        assert_eq!(StatusPattern::parse(" 529"), Some(StatusPattern::Exact(529)));
        for bad in ["", "xx", "9xx", "99", "5x", "600"] {
            assert_eq!(StatusPattern::parse(bad), None, "{bad}");
        }
    }
}
