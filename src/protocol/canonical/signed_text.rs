//! What tells a signed text from others, without keeping it (T102).

use sha2::{Digest, Sha256};

use crate::protocol::json::Str;

/// The key of a text, whose pieces come one by one. However it is escaped and wherever it is cut, it is the same.
#[derive(Clone, Debug, Default)]
pub(super) struct TextKey {
    hash: Sha256,
    has_text: bool,
}

impl TextKey {
    /// The key of a whole text.
    pub(super) fn of(text: &Str<'_>) -> Self {
        let mut key = TextKey::default();
        key.push(text);
        key
    }

    /// More of the text.
    pub(super) fn push(&mut self, more: &Str<'_>) {
        self.has_text |= !more.is_empty();
        self.hash.update(more.decode().as_bytes());
    }

    /// The key, in a shape that no id of a call has; `None` for no text.
    pub(super) fn finish(self) -> Option<Str<'static>> {
        use std::fmt::Write as _;
        let mut key = String::from("text:");
        for byte in self.hash.finalize() {
            let _ = write!(key, "{byte:02x}");
        }
        self.has_text.then(|| Str::from_escaped(key))
    }
}
