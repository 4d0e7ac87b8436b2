//! Streams: a Chat server's chunks to events, events to a Chat client's chunks.

mod choice;
mod decode;
mod encode;

pub use decode::Decoder;
pub use encode::Encoder;

#[cfg(test)]
mod tests;
