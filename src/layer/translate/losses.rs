//! What becomes of what a translation cannot carry: named, counted, or refused.

use std::borrow::Cow;

use http::HeaderMap;

use crate::layer::metrics::names;
use crate::protocol::Protocol;
use crate::protocol::canonical::{ErrorView, FaultKind, Losses};

/// Asks for a refusal wherever a warning would do: `1` or `true` (0.1).
const STRICT: &str = "x-aiproxy-strict";

pub(super) fn asks_strictness(headers: &HeaderMap) -> bool {
    headers.get(STRICT).is_some_and(|value| matches!(value.as_bytes(), b"1" | b"true"))
}

/// The refusal of a translation that would lose something.
pub(super) fn inexact(losses: &Losses, upstream: Protocol) -> ErrorView {
    let message = format!("strict: towards {upstream} this would not be exact: {}", losses.header());
    ErrorView {
        code: Some("unsupported_parameter".to_owned()),
        param: losses.iter().next().map(|loss| loss.field.clone().into_owned()),
        ..ErrorView::new(FaultKind::Unsupported, message)
    }
}

/// Counts what is lost.
pub(super) fn report(losses: &Losses, from: Protocol, to: Protocol) {
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
