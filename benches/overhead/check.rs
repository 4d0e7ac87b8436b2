//! Reads an answer as it comes and says at its end whether it was the right one.
//!
//! A proxy that drops events, cuts a stream short or answers with an error is faster than one that works. Hence every
//! answer is checked: its marks are counted, its last bytes and its length compared. Marks are single bytes, so
//! frames may be cut and joined anywhere.

use super::answers::{MARK, now_ns};
use super::fail::{Fail, Outcome};

/// How many of the last bytes are kept to look for the ending in.
const TAIL: usize = 96;

/// What a right answer is, in the protocol of the client.
#[derive(Clone, Copy)]
pub struct Expected {
    pub marks: usize,
    pub ending: &'static [u8],
    pub min_length: usize,
    /// Marks are followed by the time at which they were written.
    pub stamped: bool,
}

pub struct Check {
    expected: Expected,
    marks: usize,
    length: usize,
    tail: Vec<u8>,
    /// The digits read so far of a stamp, which may be cut between two frames.
    stamp: Option<u64>,
}

impl Check {
    pub fn new(expected: Expected) -> Self {
        Self { expected, marks: 0, length: 0, tail: Vec::with_capacity(2 * TAIL), stamp: None }
    }

    /// Takes one frame; returns the marks in it. `delay` is called with the age, in ns, of each stamped one.
    pub fn read(&mut self, frame: &[u8], delay: impl FnMut(u64)) -> usize {
        self.length += frame.len();
        self.keep_tail(frame);
        let marks = memchr::memchr_iter(MARK, frame).count();
        self.marks += marks;
        if self.expected.stamped {
            self.read_stamps(frame, delay);
        }
        marks
    }

    fn keep_tail(&mut self, frame: &[u8]) {
        if frame.len() >= TAIL {
            self.tail.clear();
        }
        self.tail.extend_from_slice(&frame[frame.len().saturating_sub(TAIL)..]);
        let surplus = self.tail.len().saturating_sub(TAIL);
        self.tail.drain(..surplus);
    }

    fn read_stamps(&mut self, frame: &[u8], mut delay: impl FnMut(u64)) {
        let now = now_ns();
        for &byte in frame {
            match (self.stamp, byte) {
                (_, MARK) => self.stamp = Some(0),
                (Some(stamp), b'0'..=b'9') => {
                    self.stamp = Some(stamp.wrapping_mul(10) + u64::from(byte - b'0'))
                }
                (Some(stamp), _) => {
                    delay(now.saturating_sub(stamp));
                    self.stamp = None;
                }
                (None, _) => {}
            }
        }
    }

    pub fn finish(self) -> Outcome<()> {
        let Expected { marks, ending, min_length, .. } = self.expected;
        let tail = String::from_utf8_lossy(&self.tail);
        if self.marks != marks {
            return Err(Fail::new(format!(
                "{} of {marks} events arrived; the last bytes: {tail}",
                self.marks
            )));
        }
        if memchr::memmem::find(&self.tail, ending).is_none() {
            let ending = String::from_utf8_lossy(ending);
            return Err(Fail::new(format!("the answer lacks its end, {ending}; the last bytes: {tail}")));
        }
        if self.length < min_length {
            return Err(Fail::new(format!("{} bytes arrived; at least {min_length} are due", self.length)));
        }
        Ok(())
    }
}
