//! Liveness, readiness, and what rests.

use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::router::App;
use crate::clock;
use crate::gateway::{Snapshot, UpstreamSnapshot};
use crate::layer::health::{BreakerReport, BreakerState};

/// `/healthz`: the process is alive; how many upstreams are, too. Tells no names.
pub(super) async fn alive(State(app): State<App>) -> Response {
    axum::Json(summary(&app.gateway.public_snapshot())).into_response()
}

/// `/health`: the same, and with `?verbose` the names of upstreams and configured models: what rests, why, since when and
/// until when.
pub(super) async fn health(State(app): State<App>, RawQuery(query): RawQuery) -> Response {
    let snapshot = app.gateway.public_snapshot();
    let mut body = summary(&snapshot);
    let is_verbose = |pair: &str| matches!(pair, "verbose" | "verbose=" | "verbose=1" | "verbose=true");
    if query.is_some_and(|query| query.split('&').any(is_verbose)) {
        body["details"] = details(&snapshot);
    }
    axum::Json(body).into_response()
}

fn summary(snapshot: &Snapshot) -> Value {
    let now = Instant::now();
    let rests = |entry: &BreakerReport| entry.until().is_some_and(|until| until > now);
    let resting = snapshot.upstreams.iter().filter(|upstream| upstream.breaker.iter().any(rests)).count();
    let status = if resting == 0 { "ok" } else { "degraded" };
    json!({
        "status": status,
        "version": env!("CARGO_PKG_VERSION"),
        "upstreams": { "total": snapshot.upstreams.len(), "with_resting_models": resting },
    })
}

/// Every upstream and what of it rests or has failed lately.
pub(super) fn details(snapshot: &Snapshot) -> Value {
    snapshot.upstreams.iter().map(upstream).collect()
}

pub(super) fn upstream(upstream: &UpstreamSnapshot) -> Value {
    let (now, today) = (Instant::now(), clock::unix_seconds());
    let state = match &upstream.breaker {
        _ if upstream.is_resting() => "resting",
        entries if entries.iter().any(BreakerReport::is_resting) => "degraded",
        _ => "ok",
    };
    json!({
        "name": &*upstream.name,
        "api_type": upstream.api.as_str(),
        "keys": upstream.keys,
        "state": state,
        "circuits": upstream.breaker.iter().map(|entry| circuit(entry, now, today)).collect::<Value>(),
    })
}

/// `key` and `model` are null where all of them are meant.
fn circuit(entry: &BreakerReport, now: Instant, today: u64) -> Value {
    let since = today.saturating_sub(now.saturating_duration_since(entry.since).as_secs());
    let mut told = json!({
        "key": entry.key,
        "model": entry.model.as_deref(),
        "reason": entry.reason,
        "since": date(since),
    });
    match entry.state {
        BreakerState::Closed { failures } => {
            told["state"] = "closed".into();
            told["failures"] = failures.into();
        }
        BreakerState::HalfOpen => told["state"] = "half-open".into(),
        BreakerState::Open { until } => {
            let rest = rounded_up(until.saturating_duration_since(now));
            told["state"] = "open".into();
            told["until"] = date(today.saturating_add(rest));
            told["remaining_seconds"] = rest.into();
        }
    }
    told
}

fn rounded_up(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// By the clock on the wall, which is asked for people only: what rests goes by another.
fn date(unix: u64) -> Value {
    let date = i64::try_from(unix).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0));
    date.map(|date| date.to_rfc3339_opts(SecondsFormat::Secs, true)).into()
}

/// `/readyz`: 200 while new requests are welcome, 503 once the gateway is stopping.
pub(super) async fn ready(State(app): State<App>) -> Response {
    if app.ready.load(Ordering::Relaxed) {
        "ready\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping\n").into_response()
    }
}
