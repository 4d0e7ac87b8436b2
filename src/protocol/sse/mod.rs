//! Server-sent events: bytes to events and back. Rules: `protocols` section 3.1, T001–T004, T009.

mod decode;
mod encode;

pub use decode::{Decoder, Event, Then, TooLong};
pub use encode::{write_event, write_named_event};
