//! aiproxy: an LLM gateway in which every concern is a tower `Layer`.
#![forbid(unsafe_code)]

pub mod protocol;
#[cfg(feature = "server")]
pub mod simulator;
