//! Streams: an upstream's chunks to canonical events, canonical events to a client's chunks.

mod candidate;
mod decode;
mod encode;
mod grounding;
mod partial;
#[cfg(test)]
mod tests;

pub(crate) use decode::Decoder;
pub(crate) use encode::Encoder;
pub(super) use encode::{reasoning_state, write_finish};
pub(super) use grounding::{Grounding, Offsets};
