//! Anthropic: `x-api-key`, a version header, and open lists of beta flags.

use http::{HeaderMap, HeaderName, HeaderValue};

use super::Path;
use crate::protocol::Operation;

pub(super) fn path(operation: Operation) -> Path {
    match operation {
        Operation::CountTokens => Path::fixed(&["messages", "count_tokens"]),
        Operation::Generate => Path::fixed(&["messages"]),
    }
}

/// `anthropic-beta` is an open list, and Claude Code pairs it with body fields: it passes verbatim.
pub(super) fn passes(name: &str) -> bool {
    name.starts_with("anthropic-") || name.starts_with("x-claude-code-") || name.starts_with("x-stainless-")
}

/// The version is required; clients of other protocols send none.
pub(super) fn complete(headers: &mut HeaderMap) {
    headers
        .entry(HeaderName::from_static("anthropic-version"))
        .or_insert(HeaderValue::from_static("2023-06-01"));
}
