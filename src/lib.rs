//! aiproxy: an LLM gateway in which every concern is a tower `Layer`.
#![forbid(unsafe_code)]
// The library serves other people's requests: it neither panics nor prints. Tests, benches and examples
// may, so these are not in Cargo.toml.
#![deny(clippy::expect_used, clippy::panic, clippy::unwrap_used)]
#![deny(clippy::print_stderr, clippy::print_stdout)]
#![warn(unreachable_pub)]

#[cfg(feature = "layers")]
mod body;
#[cfg(feature = "layers")]
mod clock;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "layers")]
mod error;
#[cfg(feature = "client")]
pub mod gateway;
#[cfg(feature = "layers")]
mod headers;
#[cfg(feature = "layers")]
mod joined;
#[cfg(feature = "layers")]
pub mod layer;
#[cfg(feature = "layers")]
mod payload;
pub mod protocol;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "server")]
pub mod simulator;
#[cfg(feature = "layers")]
pub mod upstream;

#[cfg(feature = "layers")]
pub use body::Body;
#[cfg(feature = "layers")]
pub use error::{BoxError, Clock, Error, Fault, Stage, UpstreamError};
#[cfg(feature = "client")]
pub use gateway::Gateway;
#[cfg(feature = "layers")]
pub use payload::Payload;
