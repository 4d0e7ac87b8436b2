//! What a request loses: counted and named for the client, or refused.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Settings;
use crate::error::Error;
use crate::layer::metrics::names;
use crate::protocol::Protocol;
use crate::protocol::anthropic::name_lost_betas;
use crate::protocol::canonical::{ErrorView, FaultKind, Losses, client_param};

/// Names what a translation could not carry (1.11).
pub(in crate::layer) const WARNINGS: HeaderName = HeaderName::from_static("x-aiproxy-warnings");

/// Asks for a refusal wherever a warning would do: `1` or `true` (0.1).
const STRICT: &str = "x-aiproxy-strict";

/// What clients of Anthropic's switch on (2.1).
const BETAS: &str = "anthropic-beta";

/// Names what a client's headers ask for, and an upstream of another protocol does not do.
pub(super) fn name_lost_headers(client: Protocol, headers: &HeaderMap, losses: &mut Losses) {
    if client == Protocol::Anthropic {
        let betas = headers.get_all(BETAS).into_iter().filter_map(|value| value.to_str().ok());
        betas.for_each(|values| name_lost_betas(values, losses));
    }
}

impl Settings {
    /// Counts what a request loses and names it for the client.
    ///
    /// # Errors
    ///
    /// [`Error::Untranslatable`] where nothing may be lost.
    pub(super) fn settle(
        &self,
        losses: &Losses,
        client: Protocol,
        headers: &HeaderMap,
    ) -> Result<Option<HeaderValue>, Error> {
        if losses.is_empty() {
            return Ok(None);
        }
        if self.strict || asks_strictness(headers) {
            return Err(Error::Untranslatable(Box::new(inexact(losses, client, self.upstream))));
        }
        report(losses, client, self.upstream);
        Ok(HeaderValue::from_str(&losses.header()).ok())
    }
}

fn asks_strictness(headers: &HeaderMap) -> bool {
    headers.get(STRICT).is_some_and(|value| matches!(value.as_bytes(), b"1" | b"true"))
}

/// The refusal of a translation that would lose something.
fn inexact(losses: &Losses, client: Protocol, upstream: Protocol) -> ErrorView {
    let message = format!("strict: towards {upstream} this would not be exact: {}", losses.header());
    ErrorView {
        code: Some("unsupported_parameter".to_owned()),
        param: losses.iter().next().map(|loss| client_param(client, &loss.field).into_owned()),
        ..ErrorView::new(FaultKind::Unsupported, message)
    }
}

fn report(losses: &Losses, from: Protocol, to: Protocol) {
    for loss in losses.iter() {
        let action = loss.action.as_str();
        tracing::debug!(%from, %to, action, field = &*loss.field, "translation loss");
        // Fields that a client named are no metric labels.
        let field = match &loss.field {
            Cow::Borrowed(field) => field,
            Cow::Owned(_) => "other",
        };
        metrics::counter!(
            names::TRANSLATION_LOSSES,
            "from" => from.as_str(), "to" => to.as_str(), "field" => field, "action" => action
        )
        .increment(1);
    }
}
