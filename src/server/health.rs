//! Liveness and readiness.

use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde_json::json;
use tokio::time::Instant;

use super::router::App;
use crate::layer::circuit_breaker::BreakerState;

/// `/health`, `/healthz`: the process is alive; how many upstreams are, too. Tells no names.
pub(super) async fn health(State(app): State<App>) -> Response {
    let now = Instant::now();
    let snapshot = app.gateway.snapshot();
    let resting = snapshot
        .upstreams
        .iter()
        .filter(|upstream| {
            upstream
                .breaker
                .iter()
                .any(|entry| matches!(entry.state, BreakerState::Open { until } if until > now))
        })
        .count();
    let status = if resting == 0 { "ok" } else { "degraded" };
    let body = json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "upstreams": { "total": snapshot.upstreams.len(), "with_resting_models": resting },
    });
    axum::Json(body).into_response()
}

/// `/readyz`: 200 while new requests are welcome, 503 once the gateway is stopping.
pub(super) async fn ready(State(app): State<App>) -> Response {
    if app.ready.load(Ordering::Relaxed) {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
    }
}
