//! An LLM gateway in which every concern is a tower [`Layer`](tower::Layer).
//!
//! Clients speak Anthropic Messages, OpenAI Chat Completions, OpenAI Responses or Gemini `generateContent`;
//! upstreams speak any of the four. There are three ways in.
//!
//! # The gateway
//!
//! [`Gateway`] is one service with all layers, built in code or from YAML ([`Gateway::from_config`]). It needs
//! no socket; [`server::router`] puts it in an axum app, and the `aiproxy` program is little more than that.
//!
//! ```
//! use aiproxy::gateway::{Gateway, UpstreamSpec};
//! use aiproxy::simulator::{Settings, Simulator};
//! use aiproxy::upstream::ApiType;
//! use http::Request;
//! use tower::ServiceExt;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), aiproxy::BoxError> {
//! let provider = Simulator::spawn(Settings::default()).await?;
//! let gateway = Gateway::builder()
//!     .upstream(UpstreamSpec::new("main", ApiType::OpenAi, provider.url().parse()?))
//!     .build()?;
//! // An Anthropic request to an OpenAI upstream.
//! let body = r#"{"model":"gpt-5","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#;
//! let response = gateway.oneshot(Request::post("/v1/messages").body(body.to_owned())?).await?;
//! assert_eq!(response.status(), 200);
//! # Ok(()) }
//! ```
//!
//! # One layer
//!
//! Each concern of [`layer`] works alone, in front of any tower service.
//!
//! ```
//! use aiproxy::Error;
//! use aiproxy::layer::{RequireApiKeyLayer, RespondLayer};
//! use http::{Request, Response};
//! use tower::{ServiceBuilder, ServiceExt, service_fn};
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), aiproxy::BoxError> {
//! let service = ServiceBuilder::new()
//!     .layer(RespondLayer::new())
//!     .layer(RequireApiKeyLayer::new(["team-key"]))
//!     .service(service_fn(|_: Request<()>| async { Ok::<_, Error>(Response::new(aiproxy::Body::empty())) }));
//! let response = service.oneshot(Request::post("/v1/messages").body(())?).await?;
//! assert_eq!(response.status(), 401);
//! # Ok(()) }
//! ```
//!
//! # The codec
//!
//! [`protocol`] is pure: bytes in, events out. It needs none of the crate's features.
//!
//! ```
//! use aiproxy::protocol::{Protocol, usage_of};
//!
//! let usage = usage_of(Protocol::OpenAi, br#"{"usage":{"prompt_tokens":7,"completion_tokens":2}}"#);
//! assert_eq!((usage.input, usage.output), (Some(7), Some(2)));
//! ```
//!
//! # Features
//!
//! | feature | brings |
//! |---|---|
//! | none | [`protocol`] |
//! | `layers` | [`layer`], [`Payload`], [`Error`] |
//! | `client` | [`upstream::HttpClient`], [`Gateway`] |
//! | `config` | [`config`], [`Gateway::from_config`] |
//! | `server` (default) | [`server`], [`simulator`], the `aiproxy` program |
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
#[cfg(feature = "layers")]
mod closing;
#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "layers")]
mod content_encoding;
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
#[cfg(feature = "layers")]
mod rate_limit;
#[cfg(feature = "layers")]
mod seeds;
#[cfg(feature = "server")]
pub mod server;
#[cfg(feature = "layers")]
mod silence;
#[cfg(feature = "server")]
pub mod simulator;
#[cfg(feature = "layers")]
pub mod upstream;

#[cfg(feature = "layers")]
pub use body::Body;
#[cfg(feature = "layers")]
pub use closing::Closing;
#[cfg(feature = "layers")]
pub use error::{BoxError, Clock, Error, Fault, Scope, Stage, UpstreamError};
#[cfg(feature = "client")]
pub use gateway::Gateway;
#[cfg(feature = "layers")]
pub use payload::Payload;

/// The README's snippets are tests.
#[cfg(all(doctest, feature = "server"))]
#[doc = include_str!("../README.md")]
pub struct Readme;
