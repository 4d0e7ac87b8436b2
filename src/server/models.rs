//! Model lists, in the shape that the asking client expects (6.1). Answered from memory.

use axum::Extension;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::router::App;
use crate::gateway::ModelSnapshot;
use crate::protocol::canonical::{ErrorView, FaultKind};
use crate::protocol::{Protocol, render_error};

/// Whose list a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    Anthropic,
    OpenAi,
    Gemini,
    /// Codex asks with `client_version` for a list of another shape; without one it uses the data it
    /// was built with, which beats a list that it misreads.
    Codex,
}

impl Shape {
    /// One path serves several protocols: headers decide, in the order of 6.1.
    fn of(request: &Request) -> Self {
        let has = |name: &str| request.headers().contains_key(name);
        let asks = |key: &str| {
            let query = request.uri().query().unwrap_or_default();
            query.split('&').any(|pair| pair.split('=').next() == Some(key))
        };
        if has("anthropic-version") {
            Shape::Anthropic
        } else if request.uri().path().starts_with("/v1beta") || has("x-goog-api-key") || asks("key") {
            Shape::Gemini
        } else if has("x-api-key") {
            Shape::Anthropic
        } else if asks("client_version") {
            Shape::Codex
        } else {
            Shape::OpenAi
        }
    }

    fn protocol(self) -> Protocol {
        match self {
            Shape::Anthropic => Protocol::Anthropic,
            Shape::OpenAi => Protocol::OpenAi,
            Shape::Gemini => Protocol::Gemini,
            Shape::Codex => Protocol::Responses,
        }
    }
}

/// Notes the shape while the client's credentials are still on the request.
pub(super) async fn note_shape(mut request: Request, next: Next) -> Response {
    let shape = Shape::of(&request);
    request.extensions_mut().insert(shape);
    next.run(request).await
}

/// `GET /v1/models` and its kin.
pub(super) async fn list(State(app): State<App>, Extension(shape): Extension<Shape>) -> Response {
    let models = app.gateway.snapshot().models();
    let entries: Vec<Value> = models.iter().map(|model| entry(shape, model)).collect();
    let [first, last] = [models.first(), models.last()].map(|end| end.map(|model| &*model.name));
    let body = match shape {
        Shape::Anthropic => json!({
            "data": entries,
            "has_more": false,
            "first_id": first,
            "last_id": last,
        }),
        Shape::OpenAi => json!({ "object": "list", "data": entries }),
        Shape::Gemini => json!({ "models": entries }),
        Shape::Codex => return not_found(shape, "no model list for this client; its built-in one serves"),
    };
    axum::Json(body).into_response()
}

/// `GET /v1/models/{id}` and its kin. Ids may contain slashes.
pub(super) async fn show(
    State(app): State<App>,
    Extension(shape): Extension<Shape>,
    Path(id): Path<String>,
) -> Response {
    let models = app.gateway.snapshot().models();
    match models.iter().find(|model| *model.name == *id) {
        Some(model) => axum::Json(entry(shape, model)).into_response(),
        None => not_found(shape, "no such model"),
    }
}

/// One model. Its birthday is not known: the protocols' own constants for that are used. What it takes is told where
/// the protocol has a place for it and it is known.
fn entry(shape: Shape, model: &ModelSnapshot) -> Value {
    let id = &*model.name;
    let (mut entry, limits) = match shape {
        Shape::Anthropic => (
            json!({
                "type": "model", "id": id, "display_name": id, "created_at": "1970-01-01T00:00:00Z",
            }),
            [("max_input_tokens", model.max_input), ("max_tokens", model.max_output)],
        ),
        Shape::OpenAi | Shape::Codex => {
            return json!({ "id": id, "object": "model", "created": 1, "owned_by": "aiproxy" });
        }
        Shape::Gemini => (
            json!({
                "name": format!("models/{id}"),
                "displayName": id,
                "version": "1",
                "supportedGenerationMethods": ["generateContent", "streamGenerateContent", "countTokens"],
            }),
            [("inputTokenLimit", model.max_input), ("outputTokenLimit", model.max_output)],
        ),
    };
    for (key, limit) in limits {
        if let Some(limit) = limit {
            entry[key] = limit.into();
        }
    }
    entry
}

fn not_found(shape: Shape, message: &str) -> Response {
    let (status, body) = render_error(shape.protocol(), &ErrorView::new(FaultKind::NotFound, message));
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
    (status, [(header::CONTENT_TYPE, "application/json")], body).into_response()
}
