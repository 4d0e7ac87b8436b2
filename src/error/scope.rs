//! How much of an upstream a failure speaks of.

use super::{Error, Fault, Stage, UpstreamError};
use crate::protocol::canonical::FaultKind;

/// What a failure proves broken: the narrowest thing, so that everything else stays in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The upstream: it cannot be reached.
    Upstream,
    /// One model at the upstream.
    Model,
    /// The key that was used: unknown, without money, or used up.
    Key,
    /// The key that was used, for one model.
    KeyModel,
}

impl Error {
    /// What is to rest because of it; `None` for what is no fault of an upstream's.
    #[must_use]
    pub fn scope(&self) -> Option<Scope> {
        match self {
            Error::Stream { error, .. } => error.scope(),
            other if other.fault() != Fault::Upstream => None,
            Error::Transport { stage: Stage::Connect | Stage::Tls, .. } => Some(Scope::Upstream),
            Error::Upstream(answer) => Some(answer.scope()),
            _ => Some(Scope::Model),
        }
    }
}

impl UpstreamError {
    fn scope(&self) -> Scope {
        match (self.view.kind, self.status.as_u16()) {
            // Providers limit each model by itself, but for the windows of an account.
            (FaultKind::RateLimit, _) if self.is_account_limit => Scope::Key,
            (FaultKind::RateLimit, _) => Scope::KeyModel,
            // A key may be refused one model and serve the others.
            (FaultKind::Permission, _) | (_, 403) => Scope::KeyModel,
            (FaultKind::Authentication | FaultKind::Billing, _) | (_, 401 | 402) => Scope::Key,
            _ => Scope::Model,
        }
    }
}
