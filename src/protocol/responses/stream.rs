//! Streams of typed events.

mod decode;
mod encode;
mod fields;
mod open;

#[cfg(test)]
pub(super) mod tests;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;
