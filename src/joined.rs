//! Pieces of a body, joined to one buffer when it ends; a single piece is kept as it is.

use bytes::{Bytes, BytesMut};

/// What is longer grows by blocks of so many bytes, of which the last alone has unused room: a buffer that is
/// doubled, again and again, leaves as much again behind for the allocator. Also the most room that is made for a
/// body because it announces its length: it may never come.
const BLOCK: usize = 1 << 20;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    first: Bytes,
    blocks: Vec<BytesMut>,
    last: BytesMut,
    len: usize,
    expected: usize,
}

impl Joined {
    /// For a body that announces `bytes`: room for it is made once, when more than one piece comes.
    pub(crate) fn expecting(bytes: u64) -> Self {
        let expected = usize::try_from(bytes).unwrap_or(usize::MAX).min(BLOCK);
        Joined { expected, ..Joined::default() }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn push(&mut self, data: Bytes) {
        if self.is_empty() {
            self.len = data.len();
            self.first = data;
        } else {
            self.copy(&data);
        }
    }

    /// Like [`push`](Self::push) of bytes that stay where they are.
    pub(crate) fn copy(&mut self, data: &[u8]) {
        self.len += data.len();
        if self.last.is_empty() {
            let first = std::mem::take(&mut self.first);
            self.last.reserve(self.expected.max(first.len() + data.len()).min(BLOCK));
            self.append(&first);
        }
        self.append(data);
    }

    fn append(&mut self, mut data: &[u8]) {
        loop {
            let used = self.last.len();
            let room = self.last.capacity().max(BLOCK) - used;
            let (now, later) = data.split_at(room.min(data.len()));
            self.last.extend_from_slice(now);
            if later.is_empty() {
                return;
            }
            self.blocks.push(std::mem::replace(&mut self.last, BytesMut::with_capacity(BLOCK)));
            data = later;
        }
    }

    /// All of it; nothing is left.
    pub(crate) fn take(&mut self) -> Bytes {
        let Joined { first, blocks, last, len, .. } = std::mem::take(self);
        if !first.is_empty() || len == 0 {
            return first;
        }
        if blocks.is_empty() {
            return last.freeze();
        }
        let mut whole = BytesMut::with_capacity(len);
        for block in blocks {
            whole.extend_from_slice(&block);
        }
        whole.extend_from_slice(&last);
        whole.freeze()
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
        assert_eq!(joined.take(), "");
    }

    #[test]
    fn a_long_body_is_joined_in_its_order_and_takes_no_more_room_than_a_block_above_its_length() {
        let whole: Vec<u8> = (0..5 * BLOCK + 7).map(|number| (number % 251) as u8).collect();
        for size in [1000, 16 << 10, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK, whole.len()] {
            for expected in [0, 100, whole.len()] {
                let (mut joined, mut copied) = (Joined::expecting(expected as u64), Joined::default());
                for piece in whole.chunks(size) {
                    joined.push(Bytes::copy_from_slice(piece));
                    copied.copy(piece);
                    let Joined { first, blocks, last, len, .. } = &joined;
                    let room =
                        first.len() + blocks.iter().map(BytesMut::capacity).sum::<usize>() + last.capacity();
                    assert!(room <= len + BLOCK, "{room} for {len}, by {size}");
                }
                assert_eq!((joined.len(), copied.len()), (whole.len(), whole.len()));
                assert!(joined.take() == whole, "by {size}");
                assert!(copied.take() == whole, "copied by {size}");
            }
        }
    }
}
