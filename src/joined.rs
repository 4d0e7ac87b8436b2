//! Pieces of a body, joined to one buffer; a single piece is kept as it is.

use bytes::{Bytes, BytesMut};

/// Room made at once for a body that announces its length: it may never come.
const MOST_EXPECTED: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    first: Bytes,
    more: BytesMut,
    expected: usize,
}

impl Joined {
    /// For a body that announces `bytes`: room for it is made once, when more than one piece comes.
    pub(crate) fn expecting(bytes: u64) -> Self {
        let expected = usize::try_from(bytes).unwrap_or(usize::MAX).min(MOST_EXPECTED);
        Joined { expected, ..Joined::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.first.len() + self.more.len()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        if self.is_empty() {
            self.first = data;
            return;
        }
        if self.more.is_empty() {
            self.more.reserve(self.expected.max(self.first.len() + data.len()));
            self.more.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.more.extend_from_slice(&data);
    }

    /// All of it; nothing is left.
    pub(crate) fn take(&mut self) -> Bytes {
        if self.more.is_empty() { std::mem::take(&mut self.first) } else { self.more.split().freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_is_not_copied_and_several_are_joined() {
        let piece = Bytes::from_static(b"abc");
        let mut joined = Joined::expecting(u64::MAX);
        joined.push(piece.clone());
        assert_eq!(joined.take().as_ptr(), piece.as_ptr());
        for piece in ["a", "", "bc", "d"] {
            joined.push(Bytes::from(piece));
        }
        assert_eq!(joined.len(), 4);
        assert_eq!(joined.take(), "abcd");
        assert!(joined.is_empty());
    }
}
