//! Streams: a Chat server's chunks to events, events to a Chat client's chunks.

mod choice;
mod decode;
mod delta;
mod encode;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;

#[cfg(test)]
pub(super) mod tests;
