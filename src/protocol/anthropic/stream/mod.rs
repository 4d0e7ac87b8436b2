//! Streams: native events to the hub's, and back.

mod decode;
mod encode;
mod fields;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;

#[cfg(test)]
mod tests;
