//! The routes: pages of the server's own, and the gateway for everything else.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;

use super::{health, models};
use crate::gateway::Gateway;
use crate::layer::{HostCheckLayer, RequireApiKeyLayer, RespondLayer};
use crate::protocol::canonical::{ErrorView, FaultKind};
use crate::protocol::{Protocol, render_error};

/// What the server's own pages need.
#[derive(Clone)]
pub struct Pages {
    /// Whether new requests are welcome: `/readyz`. Default false.
    pub ready: Arc<AtomicBool>,
    /// Path and source of the Prometheus page, if there is one.
    pub metrics: Option<(String, PrometheusHandle)>,
    /// The client keys that the model lists ask for, too; none: everybody may read them.
    pub keys: Vec<String>,
    /// Under which names all of these may be asked for. Default: any. The gateway's own is
    /// [`Builder::host_check`](crate::gateway::Builder::host_check).
    pub host_check: HostCheckLayer,
}

impl fmt::Debug for Pages {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are secrets.
        f.debug_struct("Pages")
            .field("ready", &self.ready)
            .field("keys", &self.keys.len())
            .finish_non_exhaustive()
    }
}

impl Default for Pages {
    fn default() -> Self {
        Pages { ready: Arc::default(), metrics: None, keys: Vec::new(), host_check: HostCheckLayer::none() }
    }
}

/// What handlers share.
#[derive(Clone)]
pub(super) struct App {
    pub(super) gateway: Gateway,
    pub(super) ready: Arc<AtomicBool>,
    metrics: Option<PrometheusHandle>,
}

/// An axum router with the gateway as its fallback: health pages, metrics, model lists, and all four
/// protocols. Merge it into an app of your own, or serve it as it is.
pub fn router(gateway: Gateway, pages: Pages) -> Router {
    let (metrics_path, metrics) = pages.metrics.unzip();
    let app = App { gateway: gateway.clone(), ready: pages.ready, metrics };
    // The same key opens generation and the list; the shape is read before the key is taken off.
    let listing = ServiceBuilder::new()
        .layer(middleware::from_fn(models::note_shape))
        .layer(RespondLayer::new())
        .layer(pages.host_check.clone())
        .layer(RequireApiKeyLayer::new(&pages.keys));
    // A POST to the same paths is a Gemini request, and keeps its key until the gateway has seen it.
    let list = || get(models::list).layer(listing.clone()).fallback_service(gateway.clone());
    let show = || get(models::show).layer(listing.clone()).fallback_service(gateway.clone());
    let lists = Router::new()
        .route("/models", list())
        .route("/v1/models", list())
        .route("/v1beta/models", list())
        .route("/models/{*id}", show())
        .route("/v1/models/{*id}", show())
        .route("/v1beta/models/{*id}", show());
    let mut own = Router::new()
        .route("/", get(root))
        .route("/api/hello", get(root))
        .route("/health", get(health::health));
    if let Some(path) = metrics_path {
        own = own.route(&path, get(metrics_page));
    }
    let own = own.layer(ServiceBuilder::new().layer(RespondLayer::new()).layer(pages.host_check));
    // Whoever probes asks by address, and is told no names.
    let probes = Router::new().route("/healthz", get(health::alive)).route("/readyz", get(health::ready));
    Router::new()
        .merge(lists)
        .merge(own)
        .merge(probes)
        .with_state(app)
        .fallback_service(gateway)
        // A bug in one request is that request's failure only.
        .layer(CatchPanicLayer::custom(|_: Box<dyn std::any::Any + Send>| panicked()))
}

/// `HEAD /`, and Claude Code's `HEAD /api/hello`: clients ask before anything else, and without a key,
/// whether somebody is there.
async fn root() -> &'static str {
    "aiproxy\n"
}

async fn metrics_page(State(app): State<App>) -> Response {
    match app.metrics {
        Some(handle) => {
            app.gateway.publish_health();
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}

/// The answer to a request that ran into a bug.
pub(super) fn panicked() -> Response {
    let view = ErrorView::new(FaultKind::Internal, "internal error in the gateway");
    let (status, body) = render_error(Protocol::OpenAi, &view);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
