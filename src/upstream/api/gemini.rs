//! Gemini: model and action in the path, streams always as server-sent events (T016).

use super::Path;
use crate::payload::Payload;
use crate::protocol::Operation;

pub(super) fn path(payload: &Payload) -> Path {
    let stream = payload.stream();
    let action = match payload.operation() {
        Operation::CountTokens => "countTokens",
        Operation::Generate if stream => "streamGenerateContent",
        Operation::Generate => "generateContent",
    };
    let query = (stream && payload.operation() == Operation::Generate).then_some("alt=sse");
    Path {
        version: "v1beta",
        segments: &["models"],
        last: Some(format!("{}:{action}", payload.model())),
        query,
    }
}

/// `x-goog-user-project` would choose who is billed: it stays behind.
pub(super) fn passes(name: &str) -> bool {
    name == "x-goog-api-client"
}
