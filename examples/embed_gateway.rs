//! The whole gateway in code, called as a tower service: it has no socket of its own.
//!
//! Its upstream is the simulated provider, so nothing leaves this machine.
//! `cargo run --example embed_gateway`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::time::Duration;

use aiproxy::gateway::UpstreamSpec;
use aiproxy::simulator::{Settings, Simulator};
use aiproxy::upstream::ApiType;
use aiproxy::{BoxError, Gateway};
use http::Request;
use http_body_util::BodyExt;
use tower::ServiceExt;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let provider = Simulator::spawn(Settings::default()).await?;
    let url: url::Url = provider.url().parse()?;
    let gateway = Gateway::builder()
        // Goes first, and always fails.
        .upstream(
            UpstreamSpec::new("primary", ApiType::OpenAi, url.clone())
                .map_model("smart", "sim-status-503")
                .models(["smart"]),
        )
        // Has the lower rank, speaks another protocol, and answers.
        .upstream(
            UpstreamSpec::new("secondary", ApiType::Gemini, url)
                .key("AIza-example")
                .map_model("smart", "gemini-2.5-pro")
                .models(["smart"])
                .priority(1)
                .idle_timeout(Duration::from_secs(60)),
        )
        .api_key("team-key")
        .max_in_flight(100)
        .build()?;

    ask(
        &gateway,
        "/v1/messages",
        r#"{"model":"smart","max_tokens":50,"messages":[{"role":"user","content":"Hi"}]}"#,
    )
    .await?;
    ask(
        &gateway,
        "/v1/chat/completions",
        r#"{"model":"smart","stream":true,"messages":[{"role":"user","content":"Hi"}]}"#,
    )
    .await?;
    ask(&gateway, "/v1/responses", r#"{"model":"unknown","input":"Hi"}"#).await?;

    let models = gateway.snapshot().models();
    println!("models: {:?}", models.iter().map(|model| &*model.name).collect::<Vec<_>>());
    for request in provider.requests() {
        println!("the provider saw: {} {}", request.method, request.path);
    }
    Ok(())
}

/// One request; prints its answer, streamed or not.
async fn ask(gateway: &Gateway, path: &str, body: &'static str) -> Result<(), BoxError> {
    let request = Request::post(path).header("authorization", "Bearer team-key").body(body.to_owned())?;
    let response = gateway.clone().oneshot(request).await?;
    println!("{path} → {}", response.status());
    let body = response.into_body().collect().await?.to_bytes();
    println!("{}\n", String::from_utf8_lossy(&body).trim_end());
    Ok(())
}
