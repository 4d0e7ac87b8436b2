//! The one error type that the stack speaks.
//!
//! Inside the stack `Ok` means success and `Err(Error)` means failure, whoever failed. Only
//! [`Respond`](crate::layer::Respond) turns an `Error` into bytes, in the client's own protocol.
//! [`Error::fault`] is the vocabulary that breaker, failover and metrics share.

mod scope;

use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;

use crate::protocol::canonical::{ErrorView, FaultKind};
use crate::protocol::{Protocol, parse_error, without_account};
use crate::rate_limit::RateLimit;

pub use scope::Scope;

/// A boxed error of any kind, as tower spells it.
pub type BoxError = Box<dyn StdError + Send + Sync>;

/// Why a request failed.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The client's request cannot be served as it is: malformed, too large, unknown path.
    Request(Box<ErrorView>),
    /// No known client key.
    Unauthorized,
    /// The gateway has too much to do.
    Overloaded,
    /// The gateway stops, and cannot wait any longer.
    Stopping,
    /// No upstream serves this model.
    ModelNotServed {
        /// The model as the client called it.
        model: Box<str>,
    },
    /// Every upstream that serves the model is resting.
    Unavailable {
        /// When the first of them returns.
        retry_after: Option<Duration>,
    },
    /// An upstream answered with an error.
    Upstream(Box<UpstreamError>),
    /// An upstream could not be reached, or the connection to it broke.
    Transport {
        /// At which stage.
        stage: Stage,
        /// What the client library said.
        source: BoxError,
    },
    /// An upstream, or the whole request, took too long.
    Timeout(Clock),
    /// This request cannot be said in that upstream's protocol; another upstream may do.
    Untranslatable(Box<ErrorView>),
    /// An upstream sent what its protocol does not allow, or stopped in the middle.
    Codec(Box<ErrorView>),
    /// A stream failed after it had begun; `event` is what the client is to read as its end.
    Stream {
        /// What happened.
        error: Box<Error>,
        /// The error event in the stream's protocol.
        event: Bytes,
    },
    /// A bug, or a service inside the stack that speaks another error type.
    Internal(BoxError),
}

/// An upstream's error answer.
#[derive(Clone, Debug)]
pub struct UpstreamError {
    /// What the upstream speaks.
    pub protocol: Protocol,
    /// Its status.
    pub status: http::StatusCode,
    /// Its headers, as far as they may reach a client.
    pub headers: HeaderMap,
    /// Its body, cut at 64 KiB.
    pub body: Bytes,
    /// The body, read.
    pub view: ErrorView,
    /// Whether a window of the whole account is used up, and not the limit of one model.
    pub is_account_limit: bool,
}

impl UpstreamError {
    /// Reads an error answer. What it tells of the gateway's account is crossed out.
    #[must_use]
    pub fn new(protocol: Protocol, status: http::StatusCode, headers: HeaderMap, body: Bytes) -> Self {
        let body = without_account(&body).map_or(body, Bytes::from);
        let view = parse_error(protocol, status.as_u16(), &body);
        UpstreamError::with_view(protocol, status, headers, body, view)
    }

    /// An error whose body is read already.
    pub(crate) fn with_view(
        protocol: Protocol,
        status: http::StatusCode,
        headers: HeaderMap,
        body: Bytes,
        view: ErrorView,
    ) -> Self {
        let RateLimit { wait, is_account } = RateLimit::read(&headers, &view);
        let view = ErrorView { retry_after: wait, ..view };
        UpstreamError { protocol, status, headers, body, view, is_account_limit: is_account }
    }

    /// Whether the upstream refused the gateway's own credential: no fault of the client's (T165).
    #[must_use]
    pub fn is_credential(&self) -> bool {
        matches!(self.view.kind, FaultKind::Authentication | FaultKind::Permission)
            || matches!(self.status.as_u16(), 401 | 403)
    }
}

/// Where a connection broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Before the upstream could be spoken to.
    Connect,
    /// Before it could be spoken to in confidence: nobody vouches for its certificate, or there is no agreement on how to
    /// encrypt. Nothing of the request was sent.
    Tls,
    /// While waiting for the head of the answer.
    Head,
    /// In the body of the answer.
    Body,
}

/// Which clock ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clock {
    /// Time to the head of the answer.
    Head,
    /// Time to the first content of a stream.
    FirstContent,
    /// Time between two pieces of content in a stream.
    Content,
    /// Time between two pieces of a body, whatever they are.
    Idle,
    /// Time of the whole request, up to the begin of its answer.
    Request,
}

/// Who is at fault, as far as routing cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The caller: another upstream may be asked, no upstream's health is touched.
    Caller,
    /// The gateway itself.
    Gateway,
    /// The upstream: it counts against its health.
    Upstream,
}

impl Error {
    /// A request error without parameter or code.
    #[must_use]
    pub fn request(kind: FaultKind, message: impl Into<String>) -> Self {
        Error::Request(Box::new(ErrorView::new(kind, message)))
    }

    /// The error of a body or service of any origin: our own where it is ours.
    pub(crate) fn of(error: impl Into<BoxError>) -> Self {
        Error::from(error.into())
    }

    /// Bad data from an upstream.
    #[must_use]
    pub fn codec(message: impl Into<String>) -> Self {
        Error::Codec(Box::new(ErrorView::new(FaultKind::BadUpstream, message)))
    }

    /// Who is at fault.
    #[must_use]
    pub fn fault(&self) -> Fault {
        match self {
            Error::Request(_) | Error::Unauthorized | Error::Untranslatable(_) => Fault::Caller,
            Error::Overloaded
            | Error::Stopping
            | Error::ModelNotServed { .. }
            | Error::Unavailable { .. }
            | Error::Timeout(Clock::Request)
            | Error::Internal(_) => Fault::Gateway,
            // The gateway's own key was refused, whatever the body calls it.
            Error::Upstream(error) if error.is_credential() => Fault::Upstream,
            Error::Upstream(error) => fault_of(error.view.kind),
            Error::Codec(view) => fault_of(view.kind),
            Error::Transport { .. } | Error::Timeout(_) => Fault::Upstream,
            Error::Stream { error, .. } => error.fault(),
        }
    }

    /// Whether another upstream may do better with the same request.
    #[must_use]
    pub fn may_fail_over(&self) -> bool {
        match self {
            Error::Upstream(_)
            | Error::Transport { .. }
            | Error::Timeout(Clock::Head | Clock::FirstContent | Clock::Content | Clock::Idle)
            | Error::Untranslatable(_)
            | Error::Codec(_)
            | Error::Overloaded
            | Error::ModelNotServed { .. }
            | Error::Unavailable { .. } => true,
            Error::Request(_)
            | Error::Unauthorized
            | Error::Stopping
            | Error::Timeout(Clock::Request)
            | Error::Stream { .. }
            | Error::Internal(_) => false,
        }
    }

    /// How useful the error is to the client, when several upstreams failed in several ways:
    /// its own fault first, then quota, overload, the network, and what the gateway itself refused.
    #[must_use]
    pub fn usefulness(&self) -> u8 {
        match self {
            Error::Upstream(error) if error.is_credential() => 2,
            Error::Upstream(error) => match (self.fault(), error.view.kind) {
                (_, FaultKind::NotFound) => 4,
                (Fault::Caller, _) => 6,
                (_, FaultKind::RateLimit | FaultKind::Billing) => 5,
                _ => 3,
            },
            Error::Untranslatable(_) => 4,
            Error::Timeout(_) | Error::Codec(_) | Error::Stream { .. } => 2,
            Error::Transport { .. } => 1,
            _ => 0,
        }
    }

    /// Whether the same request would fail again, however long the client waits.
    #[must_use]
    pub fn is_hopeless(&self) -> bool {
        match self {
            Error::Upstream(error) => {
                // An account that is used up without a word about its return stays so.
                let is_used_up = error.view.kind == FaultKind::Billing && error.view.retry_after.is_none();
                error.is_credential() || is_used_up || self.fault() == Fault::Caller
            }
            Error::ModelNotServed { .. } => true,
            // The next time the network may be quicker.
            Error::Request(view) => view.kind != FaultKind::SlowRequest,
            _ => self.fault() == Fault::Caller,
        }
    }

    /// When to come back.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::Upstream(error) => error.view.retry_after,
            Error::Unavailable { retry_after } => *retry_after,
            Error::Overloaded | Error::Stopping => Some(Duration::from_secs(1)),
            Error::Stream { error, .. } => error.retry_after(),
            _ => None,
        }
    }

    /// The same error of an upstream with a hint, if it has none: come back after `wait`.
    pub(crate) fn come_back_after(mut self, wait: Duration) -> Self {
        if let Error::Upstream(answer) = &mut self {
            answer.view.retry_after.get_or_insert(wait);
        }
        self
    }

    /// The closed vocabulary of logs and metrics: `caller_*`, `gateway_*`, `upstream_*`.
    #[must_use]
    pub fn error_type(&self) -> &'static str {
        match self {
            Error::Request(_) | Error::Untranslatable(_) => "caller_invalid",
            Error::Unauthorized => "caller_auth",
            Error::Overloaded => "gateway_overloaded",
            Error::Stopping => "gateway_stopping",
            Error::ModelNotServed { .. } | Error::Unavailable { .. } => "gateway_no_upstream",
            Error::Upstream(error) if error.is_credential() => "upstream_auth",
            Error::Upstream(error) => type_of(error.view.kind),
            Error::Transport { stage: Stage::Connect, .. } => "upstream_connect",
            Error::Transport { stage: Stage::Tls, .. } => "upstream_tls",
            Error::Transport { stage: Stage::Head, .. } => "upstream_transport",
            Error::Transport { stage: Stage::Body, .. } => "upstream_truncated",
            Error::Timeout(Clock::Head) => "upstream_timeout_headers",
            Error::Timeout(Clock::FirstContent) => "upstream_timeout_first",
            Error::Timeout(Clock::Content | Clock::Idle) => "upstream_timeout_idle",
            Error::Timeout(Clock::Request) => "gateway_timeout",
            Error::Codec(view) if view.kind == FaultKind::BadUpstream => "upstream_protocol",
            Error::Codec(view) => type_of(view.kind),
            Error::Stream { error, .. } => error.error_type(),
            Error::Internal(_) => "gateway_internal",
        }
    }

    /// The error as a client is to see it. Holds no key, address or prompt.
    #[must_use]
    pub fn view(&self) -> ErrorView {
        let mut view = match self {
            Error::Request(view) | Error::Untranslatable(view) | Error::Codec(view) => (**view).clone(),
            Error::Unauthorized => {
                ErrorView::new(FaultKind::Authentication, "missing or unknown API key for this gateway")
            }
            Error::Overloaded => {
                ErrorView::new(FaultKind::Overloaded, "the gateway is at its limit of concurrent requests")
            }
            Error::Stopping => {
                ErrorView::new(FaultKind::Overloaded, "the gateway is being stopped; try again")
            }
            Error::ModelNotServed { model } => ErrorView {
                code: Some("model_not_found".to_owned()),
                param: Some("model".to_owned()),
                ..ErrorView::new(FaultKind::NotFound, format!("no upstream serves the model `{model}`"))
            },
            Error::Unavailable { .. } => ErrorView::new(
                FaultKind::Overloaded,
                "every upstream that serves this model is resting after failures",
            ),
            Error::Upstream(error) if error.is_credential() => {
                ErrorView::new(FaultKind::BadUpstream, "the upstream rejected the gateway's credential")
            }
            Error::Upstream(error) => error.view.clone(),
            Error::Transport { stage: Stage::Connect | Stage::Tls, .. } => {
                ErrorView::new(FaultKind::BadUpstream, "the upstream could not be reached")
            }
            Error::Transport { .. } => {
                ErrorView::new(FaultKind::BadUpstream, "the connection to the upstream broke")
            }
            Error::Timeout(Clock::Request) => {
                ErrorView::new(FaultKind::Timeout, "the request took longer than the gateway allows")
            }
            Error::Timeout(_) => ErrorView::new(FaultKind::Timeout, "the upstream took too long to answer"),
            Error::Stream { error, .. } => error.view(),
            Error::Internal(_) => ErrorView::new(FaultKind::Internal, "internal error in the gateway"),
        };
        if view.retry_after.is_none() {
            view.retry_after = self.retry_after();
        }
        view
    }
}

/// Whose fault it is what an upstream reports.
fn fault_of(kind: FaultKind) -> Fault {
    match kind {
        FaultKind::InvalidRequest
        | FaultKind::Unsupported
        | FaultKind::ContextLength
        | FaultKind::NotFound
        | FaultKind::Endpoint
        | FaultKind::Method
        | FaultKind::Upgrade
        | FaultKind::Conflict
        | FaultKind::TooLarge
        | FaultKind::Encoding
        | FaultKind::SlowRequest
        | FaultKind::Unprocessable
        | FaultKind::ContentPolicy
        | FaultKind::Cancelled => Fault::Caller,
        FaultKind::Authentication
        | FaultKind::Billing
        | FaultKind::Permission
        | FaultKind::RateLimit
        | FaultKind::Timeout
        | FaultKind::Overloaded
        | FaultKind::BadUpstream
        | FaultKind::Internal => Fault::Upstream,
    }
}

/// The word for what an upstream reports.
fn type_of(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::Authentication | FaultKind::Permission => "upstream_auth",
        FaultKind::Billing => "upstream_quota",
        FaultKind::RateLimit => "upstream_rate_limit",
        FaultKind::Overloaded => "upstream_overloaded",
        FaultKind::ContextLength => "caller_context_overflow",
        FaultKind::ContentPolicy => "caller_policy",
        FaultKind::Timeout | FaultKind::BadUpstream | FaultKind::Internal => "upstream_5xx",
        _ => "caller_invalid",
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Upstream(error) => write!(f, "upstream answered {}", error.status.as_u16()),
            Error::Stream { error, .. } => write!(f, "stream failed: {error}"),
            other => f.write_str(&other.view().message),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match self {
            Error::Transport { source, .. } | Error::Internal(source) => Some(source.as_ref()),
            Error::Stream { error, .. } => Some(error.as_ref()),
            _ => None,
        }
    }
}

impl From<Infallible> for Error {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl From<BoxError> for Error {
    /// Recovers what tower's middleware boxed: our own errors, `Elapsed`, `Overloaded`.
    fn from(error: BoxError) -> Self {
        match error.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(other) if other.is::<tower::timeout::error::Elapsed>() => Error::Timeout(Clock::Request),
            Err(other) if other.is::<tower::load_shed::error::Overloaded>() => Error::Overloaded,
            Err(other) => Error::Internal(other),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_stays_small() {
        // It is in every Result of the stack.
        assert!(std::mem::size_of::<Error>() <= 48, "{}", std::mem::size_of::<Error>());
    }

    #[test]
    fn a_refused_key_is_never_the_callers_fault() {
        let body = r#"{"error":{"code":401,"message":"no","status":"INVALID_ARGUMENT"}}"#;
        let status = http::StatusCode::UNAUTHORIZED;
        let refused = UpstreamError::new(Protocol::Gemini, status, HeaderMap::new(), Bytes::from(body));
        assert_eq!(Error::Upstream(Box::new(refused)).fault(), Fault::Upstream);
    }

    #[test]
    fn the_header_says_when_to_come_back_and_the_sentence_only_without_it() {
        let body = r#"{"error":{"message":"Rate limit reached. Please try again in 1s.","type":"requests","param":null,"code":"rate_limit_exceeded"}}"#;
        let wait = |headers: HeaderMap| {
            let status = http::StatusCode::TOO_MANY_REQUESTS;
            let error = UpstreamError::new(Protocol::OpenAi, status, headers, Bytes::from(body));
            error.view.retry_after.map(|wait| wait.as_secs())
        };
        assert_eq!(wait(HeaderMap::new()), Some(1));
        let seven = [(http::header::RETRY_AFTER, http::HeaderValue::from_static("7"))];
        assert_eq!(wait(HeaderMap::from_iter(seven)), Some(7));
    }

    #[test]
    fn tower_errors_keep_their_meaning() {
        let elapsed: BoxError = Box::new(tower::timeout::error::Elapsed::new());
        assert!(matches!(Error::from(elapsed), Error::Timeout(Clock::Request)));
        let ours: BoxError = Box::new(Error::Unauthorized);
        assert!(matches!(Error::from(ours), Error::Unauthorized));
    }
}
