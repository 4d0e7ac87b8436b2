//! aiproxy: an LLM gateway in which every concern is a tower `Layer`.
#![forbid(unsafe_code)]

#[cfg(feature = "config")]
pub mod config;
pub mod protocol;
