//! The program and its doors: who is let in, what is refused, what operators see, how it starts and stops.

#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

mod auth;
mod compressed_bodies;
mod config;
mod drop_in_axum;
mod errors;
mod metrics;
mod shutdown;
