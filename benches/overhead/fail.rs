//! What ends the bench early: a sentence for the person who started it.
//!
//! Nothing here is recovered from, so there is one type and it holds text. `context` says which step failed; the
//! cause follows after a colon.

use std::fmt;

pub type Outcome<T> = Result<T, Fail>;

pub struct Fail(String);

impl Fail {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Fail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

pub trait Context<T> {
    fn context(self, step: impl fmt::Display) -> Outcome<T>;
}

impl<T, E: fmt::Display> Context<T> for Result<T, E> {
    fn context(self, step: impl fmt::Display) -> Outcome<T> {
        self.map_err(|cause| Fail(format!("{step}: {cause}")))
    }
}
