//! Errors in the hub: what kind, whose words. Bodies and statuses per protocol are in 5.1 and 5.2.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::Overflow;

/// The kinds of failure that protocols tell apart (5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names are those of the table in 5.2")]
pub enum FaultKind {
    InvalidRequest,
    Unsupported,
    ContextLength,
    Authentication,
    Billing,
    Permission,
    NotFound,
    Endpoint,
    Method,
    Upgrade,
    Conflict,
    TooLarge,
    Encoding,
    SlowRequest,
    Unprocessable,
    RateLimit,
    ContentPolicy,
    Timeout,
    Overloaded,
    BadUpstream,
    Internal,
    Cancelled,
}

impl FaultKind {
    /// The kind that an HTTP status stands for when the body says nothing.
    #[must_use]
    pub fn from_status(status: u16) -> Self {
        match status {
            401 => FaultKind::Authentication,
            402 => FaultKind::Billing,
            403 => FaultKind::Permission,
            404 => FaultKind::NotFound,
            405 => FaultKind::Method,
            408 | 504 => FaultKind::Timeout,
            409 => FaultKind::Conflict,
            413 => FaultKind::TooLarge,
            422 => FaultKind::Unprocessable,
            426 => FaultKind::Upgrade,
            429 => FaultKind::RateLimit,
            499 => FaultKind::Cancelled,
            500 => FaultKind::Internal,
            503 | 529 => FaultKind::Overloaded,
            status if status / 100 == 4 => FaultKind::InvalidRequest,
            _ => FaultKind::BadUpstream,
        }
    }

    /// The HTTP status where the protocols agree; a dialect overrides its own exceptions.
    #[must_use]
    pub fn status(self) -> u16 {
        match self {
            FaultKind::InvalidRequest
            | FaultKind::Unsupported
            | FaultKind::ContextLength
            | FaultKind::ContentPolicy => 400,
            FaultKind::Authentication => 401,
            FaultKind::Billing => 402,
            FaultKind::Permission => 403,
            FaultKind::NotFound | FaultKind::Endpoint => 404,
            FaultKind::Method => 405,
            FaultKind::SlowRequest => 408,
            FaultKind::Conflict => 409,
            FaultKind::TooLarge => 413,
            FaultKind::Encoding => 415,
            FaultKind::Unprocessable => 422,
            FaultKind::Upgrade => 426,
            FaultKind::RateLimit => 429,
            FaultKind::Timeout => 504,
            FaultKind::Overloaded => 503,
            FaultKind::BadUpstream => 502,
            FaultKind::Internal => 500,
            FaultKind::Cancelled => 499,
        }
    }
}

/// An error as a client is to see it, in no protocol's shape yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorView {
    /// What kind.
    pub kind: FaultKind,
    /// In words; the upstream's own where it spoke.
    pub message: String,
    /// The upstream's code, if it gave one.
    pub code: Option<String>,
    /// The parameter at fault, in the client's own name for it.
    pub param: Option<String>,
    /// When to come back.
    pub retry_after: Option<Duration>,
    /// A window of the whole account is used up, until then.
    pub account_reset: Option<Box<AccountReset>>,
    /// The id of the request, for support.
    pub request_id: Option<String>,
}

/// When a window of an account begins anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccountReset {
    /// In so long a time.
    In(Duration),
    /// So many seconds after 1970: who has a clock knows how long that is.
    At(u64),
}

impl ErrorView {
    /// An error without code, parameter or hint.
    #[must_use]
    pub fn new(kind: FaultKind, message: impl Into<String>) -> Self {
        ErrorView {
            kind,
            message: message.into(),
            code: None,
            param: None,
            retry_after: None,
            account_reset: None,
            request_id: None,
        }
    }

    /// How much was asked and how much fits, as far as the words say so.
    #[must_use]
    pub fn overflow(&self) -> Overflow {
        Overflow::read(&self.message)
    }

    /// Puts what is `known` of an overflow before the words, where those do not say it themselves (T169).
    pub fn tell(&mut self, known: Overflow) {
        let told = self.overflow();
        let all = told.or(known);
        if all != told
            && let Some(figures) = all.in_openai_words()
        {
            self.message = format!("{figures} {}", self.message);
        }
    }
}

/// The request cannot be said in the upstream's protocol, and dropping the part would change the
/// answer unseen (loss class E).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unsupported {
    /// The field, in the client's own name for it.
    pub param: Cow<'static, str>,
    /// Why, and what to do instead.
    pub message: Cow<'static, str>,
}

impl Unsupported {
    /// Names the field and the reason.
    #[must_use]
    pub fn new(param: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        Unsupported { param: param.into(), message: message.into() }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.param, self.message)
    }
}
impl std::error::Error for Unsupported {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t169_an_overflow_without_figures_is_told_with_those_that_are_known() {
        let told = |words: &str, asked, limit| {
            let mut view = ErrorView::new(FaultKind::ContextLength, words);
            view.tell(Overflow { asked, limit, answer: None });
            let overflow = view.overflow();
            assert!(view.message.ends_with(words), "{}", view.message);
            (overflow.asked, overflow.limit)
        };
        for bare in ["Your input exceeds the context window", "prompt is too long", &"x".repeat(9999)] {
            assert_eq!(told(bare, Some(9), Some(8)), (Some(9), Some(8)), "{bare}");
            assert_eq!(told(bare, None, Some(8)), (None, Some(8)), "{bare}");
            // What fits would be no overflow.
            assert_eq!(told(bare, Some(8), Some(8)), (None, Some(8)), "{bare}");
            // Without a limit, the size tells nobody what to do.
            assert_eq!(told(bare, Some(9), None), (None, None), "{bare}");
        }
        assert_eq!(told("prompt is too long: 7 tokens > 6 maximum", Some(9), Some(8)), (Some(7), Some(6)));
        assert_eq!(told("the maximum context length is 6 tokens", Some(9), Some(8)), (Some(9), Some(6)));
    }
}
