//! The far end: API types and the HTTP client.

pub mod api;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod connector;

pub use api::ApiType;
#[cfg(feature = "client")]
pub use client::{HttpClient, HttpClientBuilder, ResponseBody};
