//! Single layers in front of an existing axum handler: no gateway, no configuration.
//!
//! The app answers in OpenAI's protocol. The layers give it client keys, a limit of bodies, and Anthropic,
//! Responses and Gemini clients. `cargo run --example drop_in_axum`

#![expect(clippy::print_stdout, reason = "an example prints")]

use aiproxy::layer::{ClassifyLayer, CollectLayer, RequireApiKeyLayer, RespondLayer, TranslateLayer};
use aiproxy::protocol::Protocol;
use aiproxy::{BoxError, Payload};
use axum::body::Body;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::Request;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

/// The handler that was there before: speaks Chat Completions, and nothing else.
async fn chat(Json(request): Json<Value>) -> Json<Value> {
    let last = request["messages"].as_array().and_then(|messages| messages.last());
    let text = last.and_then(|message| message["content"].as_str()).unwrap_or("nothing");
    Json(json!({
        "id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": request["model"],
        "choices": [{
            "index": 0,
            "message": { "role": "assistant", "content": format!("I heard {text}") },
            "finish_reason": "stop",
        }],
        "usage": { "prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7 },
    }))
}

fn app() -> Router {
    let models = ServiceBuilder::new()
        // Errors of the layers below become answers in the client's own protocol.
        .layer(RespondLayer::new())
        .layer(RequireApiKeyLayer::new(["team-key"]))
        .layer(CollectLayer::new(8 << 20))
        .layer(TranslateLayer::new(Protocol::OpenAi))
        // What the handler refuses becomes an error, too.
        .layer(ClassifyLayer::new())
        .map_request(|request: Request<Payload>| request.map(|payload| Body::from(payload.wire_bytes())))
        .service(post(chat));
    Router::new().route("/about", get(|| async { "an app of its own" })).fallback_service(models)
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let chat = r#"{"model":"m","messages":[{"role":"user","content":"Hello"}]}"#;
    let messages = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}"#;
    let gemini = r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#;
    for (path, key, body) in [
        ("/v1/chat/completions", "team-key", chat),
        ("/v1/messages", "team-key", messages),
        ("/v1beta/models/m:generateContent", "team-key", gemini),
        ("/v1/messages", "guess", messages),
        ("/v1/messages", "team-key", r#"{"model":"m"}"#),
    ] {
        let request = Request::post(path)
            .header("authorization", format!("Bearer {key}"))
            .header("content-type", "application/json")
            .body(body.to_owned())?;
        let response = app().oneshot(request).await?;
        println!("{path} → {}", response.status());
        println!("{}\n", String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()));
    }
    Ok(())
}
