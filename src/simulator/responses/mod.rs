//! OpenAI Responses. Keys, errors and headers are those of [`super::openai`].

mod reply;
mod request;
mod stream;
#[cfg(test)]
mod tests;

pub(crate) use reply::whole;
pub(crate) use request::read;
pub(crate) use stream::{break_off, stream};

/// How encrypted reasoning of this simulator begins.
const ENCRYPTED: &str = "gAAAAABsimulator";

/// How many letters follow.
const SEALED: usize = 120;
