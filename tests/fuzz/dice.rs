//! Chance that comes again: the same target and number give the same input on every machine.

use std::hash::{DefaultHasher, Hash, Hasher};

use proptest::prelude::RngExt;
use proptest::test_runner::{RngAlgorithm, TestRng};

/// What decides.
#[derive(Debug)]
pub struct Dice(TestRng);

impl Dice {
    /// The dice of one input.
    pub fn of(target: &str, number: u64) -> Dice {
        let half = |tag: u8| {
            let mut hasher = DefaultHasher::new();
            (tag, target, number).hash(&mut hasher);
            hasher.finish().to_le_bytes()
        };
        Dice(TestRng::from_seed(RngAlgorithm::XorShift, &[half(1), half(2)].concat()))
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.random_range(0..end)
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    /// One of these; there is at least one.
    pub fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }
}
