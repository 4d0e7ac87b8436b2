//! The far end: API types and the HTTP client.

pub mod api;
#[cfg(feature = "client")]
mod client;
#[cfg(feature = "client")]
mod connection;
#[cfg(feature = "client")]
mod connector;
pub(crate) mod secrets;

pub use api::ApiType;
#[cfg(feature = "client")]
pub(crate) use client::USER_AGENT;
#[cfg(feature = "client")]
pub use client::{HttpClient, HttpClientBuilder, ResponseBody};
#[cfg(feature = "client")]
pub(crate) use connector::tls;
pub use secrets::Secrets;
