//! OpenAI and whoever speaks its protocols: bearer keys.

use super::Path;
use crate::protocol::Operation;

pub(super) fn chat_path() -> Path {
    Path::fixed(&["chat", "completions"])
}

pub(super) fn responses_path(operation: Operation) -> Path {
    match operation {
        Operation::CountTokens => Path::fixed(&["responses", "input_tokens"]),
        Operation::Generate => Path::fixed(&["responses"]),
    }
}

/// Organisation and project belong to the client's account, not to the gateway's: they stay behind.
pub(super) fn passes(name: &str) -> bool {
    match name {
        "openai-organization" | "openai-project" => false,
        "originator" | "session_id" | "session-id" | "conversation_id" | "idempotency-key" => true,
        _ => name.starts_with("openai-") || name.starts_with("x-stainless-") || name.starts_with("x-codex-"),
    }
}
