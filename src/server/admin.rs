//! The pages for operators, on a listener of their own: what rests and why, and how to end it by hand.

use std::time::Duration;

use axum::Router;
use axum::extract::{Path, RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tower::ServiceBuilder;
use url::form_urlencoded;

use super::health;
use super::limits::Limits;
use super::listen::{Drain, End, Source, serve_from};
use crate::config::Admin;
use crate::error::BoxError;
use crate::gateway::Gateway;
use crate::layer::{RequireApiKeyLayer, RespondLayer};

/// An axum router for operators who show `key`. Serve it where clients cannot reach it.
///
/// | | |
/// |---|---|
/// | `GET /admin/upstreams` | every upstream, and what of it rests or has failed lately, by all names of models |
/// | `POST /admin/upstreams/{name}/reset` | ends its rests, those of its models and keys; with `?model=` those of one model |
pub fn admin_router(gateway: Gateway, key: &str) -> Router {
    Router::new()
        .route("/admin/upstreams", get(list))
        .route("/admin/upstreams/{name}/reset", post(reset))
        .fallback(|| async { not_found("there is no such page") })
        .with_state(gateway)
        // The key is compared as those of clients are.
        .layer(ServiceBuilder::new().layer(RespondLayer::new()).layer(RequireApiKeyLayer::new([key])))
}

async fn list(State(gateway): State<Gateway>) -> Response {
    axum::Json(json!({ "upstreams": health::details(&gateway.snapshot()) })).into_response()
}

async fn reset(
    State(gateway): State<Gateway>,
    Path(name): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let mut pairs = form_urlencoded::parse(query.as_deref().unwrap_or_default().as_bytes());
    let model = pairs.find(|(key, _)| key == "model").map(|(_, model)| model);
    if !gateway.reset(&name, model.as_deref()) {
        return not_found("there is no such upstream");
    }
    tracing::info!(upstream = name, model = model.as_deref(), "rests were ended by hand");
    let snapshot = gateway.snapshot();
    let upstream = snapshot.upstreams.iter().find(|upstream| upstream.name.eq_ignore_ascii_case(&name));
    axum::Json(upstream.map_or(Value::Null, health::upstream)).into_response()
}

fn not_found(message: &str) -> Response {
    (StatusCode::NOT_FOUND, axum::Json(json!({ "error": { "message": message } }))).into_response()
}

/// The listener for operators, as it runs.
pub(super) struct Listening {
    /// Tells it to stop.
    pub(super) stop: mpsc::Sender<()>,
    pub(super) end: JoinHandle<End>,
}

/// Listens for operators, and lets their requests finish for at most `drain` once it is told to stop.
pub(super) async fn listen(admin: &Admin, gateway: Gateway, drain: Duration) -> Result<Listening, BoxError> {
    let address = &admin.listen;
    let listener = TcpListener::bind((address.host.as_str(), address.port))
        .await
        .map_err(|error| format!("cannot listen on {address} for operators: {error}"))?;
    let local = listener.local_addr()?;
    // A name may lead elsewhere than it says.
    if !local.ip().to_canonical().is_loopback() {
        return Err(format!("{address} is not an address of this machine alone").into());
    }
    tracing::info!(address = %local, "listening for operators");
    let (stop, stopped) = mpsc::channel(2);
    let limits = Limits::default();
    let source = Source::listener(listener, &limits, Vec::new());
    let drain = Drain::new(drain);
    let router = admin_router(gateway, admin.key.expose());
    let end = tokio::spawn(async move { serve_from(source, &limits, router, stopped, drain).await });
    Ok(Listening { stop, end })
}
