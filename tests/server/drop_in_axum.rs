//! Single layers in front of somebody else's axum handler.

use aiproxy::Payload;
use aiproxy::layer::require_api_key::ClientKey;
use aiproxy::layer::{
    AccessLogLayer, CollectLayer, InFlightLimitLayer, MetricsLayer, ModelFilterLayer, ModelMapLayer,
    RequireApiKeyLayer, RespondLayer, TranslateLayer,
};
use aiproxy::protocol::Protocol;
use axum::body::{Body, Bytes};
use axum::extract::{Json, Request};
use axum::routing::post;
use axum::{Extension, Router};
use http::StatusCode;
use http_body_util::BodyExt;
use serde_json::{Value, json};
use tower::{ServiceBuilder, ServiceExt};

/// Says which model it was asked for.
async fn echo(body: Bytes) -> Bytes {
    body
}

async fn send(app: &Router, path: &str, key: Option<&str>, body: &str) -> (StatusCode, Value) {
    let mut request = Request::post(path).header("content-type", "application/json");
    if let Some(key) = key {
        request = request.header("x-api-key", key);
    }
    let request = request.body(Body::from(body.to_owned())).unwrap();
    let response = app.clone().oneshot(request).await.unwrap();
    let status = response.status();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (status, serde_json::from_slice(&bytes).unwrap_or_else(|_| panic!("{bytes:?}")))
}

#[tokio::test]
async fn filter_and_mapping_before_a_handler_of_ones_own() {
    let app = Router::new().route("/v1/messages", post(echo)).layer(
        ServiceBuilder::new()
            .layer(RespondLayer::new())
            .layer(CollectLayer::new(1 << 10))
            .layer(ModelFilterLayer::new(["claude-*"]))
            .layer(ModelMapLayer::new([("claude-sonnet", "claude-sonnet-4-5")])),
    );
    let (status, seen) = send(&app, "/v1/messages", None, r#"{"n":1.0,"model":"claude-sonnet"}"#).await;
    assert_eq!((status.as_u16(), seen), (200, json!({"n": 1.0, "model": "claude-sonnet-4-5"})));
    let (status, error) = send(&app, "/v1/messages", None, r#"{"model":"gpt-5"}"#).await;
    assert_eq!((status.as_u16(), &error["error"]["type"]), (404, &json!("not_found_error")));
    let long = format!(r#"{{"model":"claude-x","pad":"{}"}}"#, "x".repeat(1 << 10));
    let (status, error) = send(&app, "/v1/messages", None, &long).await;
    assert_eq!((status.as_u16(), &error["error"]["type"]), (413, &json!("request_too_large")));
}

#[tokio::test]
async fn keys_alone_before_a_handler_that_reads_the_body_itself() {
    let named = async |Extension(ClientKey(number)): Extension<ClientKey>, Json(mut body): Json<Value>| {
        body["key"] = json!(number);
        Json(body)
    };
    let app = Router::new().route("/anything", post(named)).layer(
        ServiceBuilder::new().layer(RespondLayer::new()).layer(RequireApiKeyLayer::new(["first", "second"])),
    );
    let (status, seen) = send(&app, "/anything", Some("second"), r#"{"a":1}"#).await;
    assert_eq!((status.as_u16(), seen), (200, json!({"a": 1, "key": 1})));
    let (status, error) = send(&app, "/anything", Some("third"), "{}").await;
    assert_eq!((status.as_u16(), &error["error"]["code"]), (401, &json!("invalid_api_key")));
}

#[tokio::test]
async fn a_handler_takes_the_payload_as_it_is() {
    async fn model(request: http::Request<Payload>) -> String {
        request.body().model().to_owned()
    }
    let service = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(CollectLayer::default())
        .layer(ModelMapLayer::new([("fast", "gpt-5-mini")]))
        .service(tower::service_fn(async |request: http::Request<Payload>| {
            Ok::<_, aiproxy::Error>(http::Response::new(Body::from(model(request).await)))
        }));
    let app = Router::new().route_service("/v1/chat/completions", service);
    let request = Request::post("/v1/chat/completions").body(Body::from(r#"{"model":"fast"}"#)).unwrap();
    let response = app.oneshot(request).await.unwrap();
    assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), "gpt-5-mini");
}

#[tokio::test]
async fn a_handler_that_speaks_chat_serves_clients_of_every_protocol() {
    async fn chat(Json(body): Json<Value>) -> Json<Value> {
        let asked = body["messages"][0]["content"].as_str().unwrap().to_owned();
        Json(json!({
            "id": "c", "object": "chat.completion", "created": 1, "model": body["model"],
            "choices": [{"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": asked}}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }))
    }
    let app = Router::new().fallback(post(chat)).layer(
        ServiceBuilder::new()
            .layer(RespondLayer::new())
            .layer(CollectLayer::default())
            .layer(TranslateLayer::new(Protocol::OpenAi)),
    );
    let (status, answer) = send(
        &app,
        "/v1/messages",
        None,
        r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}"#,
    )
    .await;
    assert_eq!((status.as_u16(), &answer["content"][0]["text"]), (200, &json!("Hello")));
    let (status, answer) = send(
        &app,
        "/v1beta/models/m:generateContent",
        None,
        r#"{"contents":[{"role":"user","parts":[{"text":"Hello"}]}]}"#,
    )
    .await;
    assert_eq!(
        (status.as_u16(), &answer["candidates"][0]["content"]["parts"][0]["text"]),
        (200, &json!("Hello"))
    );
}

#[tokio::test]
async fn what_only_watches_and_limits_needs_no_other_layer() {
    let app = Router::new()
        .route("/anything", post(echo))
        .layer(InFlightLimitLayer::new(1))
        .layer(AccessLogLayer::new())
        .layer(MetricsLayer::new(["m"]));
    let (status, seen) = send(&app, "/anything", None, r#"{"model":"m"}"#).await;
    assert_eq!((status.as_u16(), seen), (200, json!({"model": "m"})));
}
