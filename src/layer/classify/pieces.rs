//! Bytes of a stream that wait, in the pieces in which they came.

use std::collections::VecDeque;

use bytes::Bytes;

/// A shorter piece is small: what it takes to hold it, and the read buffer that it keeps, may be more than itself.
const SMALL: usize = 256;

/// So many small pieces in a row become one, which makes each byte of them be copied once at most.
const MOST_SMALL: usize = 256;

/// See the module. Takes little more memory than its bytes, however small the pieces are.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    pieces: VecDeque<Bytes>,
    len: usize,
    // How many at the end are small and not joined yet.
    small: usize,
}

impl Pieces {
    /// How many bytes wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        self.len += data.len();
        self.small = if data.len() < SMALL { self.small + 1 } else { 0 };
        self.pieces.push_back(data);
        if self.small == MOST_SMALL {
            self.small = 0;
            let small: Vec<Bytes> = self.pieces.drain(self.pieces.len() - MOST_SMALL..).collect();
            self.pieces.push_back(small.concat().into());
        }
    }

    /// Moves the first `bytes` on, or all if there are no more.
    pub(super) fn move_to(&mut self, to: &mut VecDeque<Bytes>, bytes: usize) {
        let left = self.len.saturating_sub(bytes);
        while self.len > left
            && let Some(mut first) = self.pieces.pop_front()
        {
            let piece = first.split_to(first.len().min(self.len - left));
            self.len -= piece.len();
            if !first.is_empty() {
                self.pieces.push_front(first);
            }
            to.push_back(piece);
        }
        self.small = self.small.min(self.pieces.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_leave_in_their_order_wherever_they_were_cut() {
        let whole: Vec<u8> = (0..5000_usize).map(|number| (number % 251) as u8).collect();
        for (size, taken) in [(1, 7), (1, 300), (3, 1000), (255, 256), (256, 100), (5000, 1), (7, 5000)] {
            let (mut pieces, mut moved) = (Pieces::default(), VecDeque::new());
            for (number, piece) in whole.chunks(size).enumerate() {
                pieces.push(Bytes::copy_from_slice(piece));
                if number % 400 == 399 {
                    pieces.move_to(&mut moved, taken);
                }
            }
            let came: usize = moved.iter().map(Bytes::len).sum();
            assert_eq!(came + pieces.len(), whole.len(), "{size}, {taken}");
            pieces.move_to(&mut moved, usize::MAX);
            assert_eq!(pieces.len(), 0);
            assert_eq!(moved.iter().flatten().copied().collect::<Vec<u8>>(), whole, "{size}, {taken}");
        }
    }

    #[test]
    fn a_piece_for_each_byte_takes_no_memory_for_each_piece() {
        let (mut pieces, mut moved) = (Pieces::default(), VecDeque::new());
        for _ in 0..100_000 {
            pieces.push(Bytes::from_static(b"x"));
        }
        assert!(pieces.pieces.len() < 100_000 / MOST_SMALL + MOST_SMALL, "{}", pieces.pieces.len());
        pieces.move_to(&mut moved, usize::MAX);
        assert_eq!(moved.iter().map(Bytes::len).sum::<usize>(), 100_000);
    }

    #[test]
    fn pieces_of_a_usual_size_are_not_copied() {
        let piece = Bytes::from(vec![b'x'; SMALL]);
        let (mut pieces, mut moved) = (Pieces::default(), VecDeque::new());
        for _ in 0..2 * MOST_SMALL {
            pieces.push(piece.clone());
        }
        pieces.move_to(&mut moved, usize::MAX);
        assert!(moved.iter().all(|moved| moved.as_ptr() == piece.as_ptr()));
    }
}
