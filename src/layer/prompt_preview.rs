//! The first characters of the last thing a user said, for whoever switches it on.
//!
//! Off unless configured, and then at debug only: what people write is nobody's business by default.

use crate::payload::Payload;
use crate::protocol::canonical::{PartKind, Role};
use crate::protocol::{Operation, decode_request};

/// Logs at most `most` characters of the last user text, at debug, target `aiproxy::prompt`.
pub(super) fn log(payload: &Payload, most: usize) {
    if most == 0 || !tracing::enabled!(target: "aiproxy::prompt", tracing::Level::DEBUG) {
        return;
    }
    if let Some(preview) = preview(payload, most) {
        tracing::debug!(target: "aiproxy::prompt", model = payload.model(), preview, "prompt");
    }
}

fn preview(payload: &Payload, most: usize) -> Option<String> {
    if payload.operation() != Operation::Generate {
        return None;
    }
    let body = std::str::from_utf8(payload.original_bytes()).ok()?;
    let request = decode_request(payload.endpoint(), body).ok()?;
    let said = request.turns.iter().rev().filter(|turn| turn.role == Role::User);
    let text = said.flat_map(|turn| turn.parts.iter().rev()).find_map(|part| match &part.kind {
        PartKind::Text { text } => Some(text.decode()),
        _ => None,
    })?;
    // Control characters could rewrite what a terminal shows.
    Some(text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(most).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Endpoint, Protocol};

    #[test]
    fn it_is_cut_between_characters_and_cannot_move_the_cursor() {
        let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
        let body = r#"{"model":"m","messages":[{"role":"system","content":"no"},{"role":"user","content":"grün\u001b[2J😀 und mehr"},{"role":"assistant","content":"no"}]}"#;
        let payload = Payload::new(endpoint, body).unwrap();
        assert_eq!(preview(&payload, 9).as_deref(), Some("grün [2J😀"));
    }
}
