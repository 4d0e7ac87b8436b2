//! Streams of typed events.

mod decode;
mod encode;
mod fields;
mod open;

#[cfg(test)]
pub(super) mod tests;

pub use decode::Decoder;
pub use encode::Encoder;
