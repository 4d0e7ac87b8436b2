//! Upstreams that fail, rest and come back, clients that leave, and what each of them may take.

#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

mod balancing;
mod cancellation;
mod circuit_breaker;
mod connections;
mod continuation;
mod failover;
mod health;
mod health_properties;
mod keep_alive;
mod limits;
mod model_fallback;
mod retries;
mod wasted_tokens;
