//! Token counts in one normal form (2.15).

use crate::protocol::json::{Error, Reader};

/// Token counts. `input` includes cached and cache-written tokens; `output` includes reasoning.
///
/// Every field is what the upstream said, or nothing: a missing count is not zero. What the gateway has put in
/// its place is marked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// All input tokens.
    pub input: Option<u64>,
    /// Of these, read from a prompt cache.
    pub cache_read: Option<u64>,
    /// Of these, written to a cache, lifetime five minutes or not told.
    pub cache_write: Option<u64>,
    /// Of these, written to a cache for one hour.
    pub cache_write_1h: Option<u64>,
    /// All output tokens.
    pub output: Option<u64>,
    /// Of these, reasoning.
    pub reasoning: Option<u64>,
    /// Whether `input` is the gateway's own guess.
    pub is_input_estimated: bool,
    /// Whether `output` is.
    pub is_output_estimated: bool,
}

impl Usage {
    /// Takes over what `later` knows; what it does not know stays (T052, T156, T157).
    pub fn merge(&mut self, later: &Usage) {
        let take = |mine: &mut Option<u64>, theirs: Option<u64>| {
            if theirs.is_some() {
                *mine = theirs;
            }
        };
        take(&mut self.input, later.input);
        take(&mut self.cache_read, later.cache_read);
        take(&mut self.cache_write, later.cache_write);
        take(&mut self.cache_write_1h, later.cache_write_1h);
        take(&mut self.output, later.output);
        take(&mut self.reasoning, later.reasoning);
        self.is_input_estimated |= later.is_input_estimated;
        self.is_output_estimated |= later.is_output_estimated;
    }

    /// What two answers have cost together.
    #[must_use]
    pub fn plus(&self, other: &Usage) -> Usage {
        let add = |one: Option<u64>, other: Option<u64>| match (one, other) {
            (Some(one), Some(other)) => Some(one.saturating_add(other)),
            (one, other) => one.or(other),
        };
        Usage {
            input: add(self.input, other.input),
            cache_read: add(self.cache_read, other.cache_read),
            cache_write: add(self.cache_write, other.cache_write),
            cache_write_1h: add(self.cache_write_1h, other.cache_write_1h),
            output: add(self.output, other.output),
            reasoning: add(self.reasoning, other.reasoning),
            is_input_estimated: self.is_input_estimated || other.is_input_estimated,
            is_output_estimated: self.is_output_estimated || other.is_output_estimated,
        }
    }

    /// Whether any of it is the gateway's own guess.
    #[must_use]
    pub fn is_estimated(&self) -> bool {
        self.is_input_estimated || self.is_output_estimated
    }

    /// Reads one of the two objects in which OpenAI's protocols tell what the counts are made of.
    pub(in crate::protocol) fn read_details(&mut self, value: &mut Reader<'_>) -> Result<(), Error> {
        value.lenient_object(|key, value| {
            match key {
                "cached_tokens" => self.cache_read = value.lenient_u64()?,
                "cache_write_tokens" => self.cache_write = value.lenient_u64()?,
                "reasoning_tokens" => self.reasoning = value.lenient_u64()?,
                _ => {}
            }
            Ok(())
        })
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Usage::default()
    }

    /// Input tokens that were neither read from a cache nor written to one.
    #[must_use]
    pub fn fresh_input(&self) -> u64 {
        let written = self.cache_write.unwrap_or(0).saturating_add(self.cache_write_1h.unwrap_or(0));
        self.input.unwrap_or(0).saturating_sub(self.cache_read.unwrap_or(0)).saturating_sub(written)
    }

    /// Input plus output.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.input.unwrap_or(0).saturating_add(self.output.unwrap_or(0))
    }
}
