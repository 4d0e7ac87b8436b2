//! The shipped server inside an axum app of one's own: the gateway's pages and protocols, and a route that
//! is only this app's.
//!
//! `cargo run --example server -- config.yaml` reads a configuration; without one a simulated provider answers.
//! `--once` takes a free port, asks itself one question, and ends.

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aiproxy::config::{ApiType, Config, Upstream};
use aiproxy::server::{Drain, Pages, router, serve};
use aiproxy::simulator::{Running, Settings, Simulator};
use aiproxy::{BoxError, Gateway};
use axum::routing::get;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let once = arguments.iter().any(|argument| argument == "--once");
    let (mut config, _simulator) = match arguments.iter().find(|argument| !argument.starts_with('-')) {
        Some(path) => (Config::load(path)?, None),
        None => simulated().await?,
    };
    if once {
        config.address.port = 0;
    }

    let listener = TcpListener::bind((config.address.host.as_str(), config.address.port)).await?;
    let url = format!("http://{}", listener.local_addr()?);
    let ready = Arc::new(AtomicBool::new(true));
    let keys = config.api_keys.iter().map(|key| key.expose().to_owned()).collect();
    let pages = Pages { ready: ready.clone(), keys, ..Pages::default() };
    let gateway = Gateway::from_config(&config)?;
    let app = axum::Router::new()
        .route("/hello", get(|| async { "a route of this app\n" }))
        .merge(router(gateway.clone(), pages));

    let (stop, stopped) = mpsc::channel(1);
    let most = if once { Duration::from_secs(5) } else { config.shutdown.drain };
    let drain =
        Drain::new(most).begun(move || ready.store(false, Ordering::Relaxed)).over(move || gateway.close());
    let server = tokio::spawn(serve(listener, app, stopped, drain));
    println!("listening on {url}");
    if once {
        println!("{}", text(&format!("{url}/hello"), None).await?);
        let question = r#"{"model":"sim","max_tokens":50,"messages":[{"role":"user","content":"Hello"}]}"#;
        println!("{}", text(&format!("{url}/v1/messages"), Some(question)).await?);
    } else {
        tokio::signal::ctrl_c().await?;
    }
    stop.send(()).await?;
    server.await?;
    println!("stopped");
    Ok(())
}

/// One upstream that speaks OpenAI's protocol, played by a simulator for as long as that is kept.
async fn simulated() -> Result<(Config, Option<Running>), BoxError> {
    let simulator = Simulator::spawn(Settings::default()).await?;
    let upstream = Upstream::new("simulated", ApiType::OpenAi, simulator.url().parse()?);
    Ok((Config { upstreams: vec![upstream], ..Config::default() }, Some(simulator)))
}

/// Asks, with GET or POST, and reads the whole answer.
async fn text(url: &str, body: Option<&'static str>) -> Result<String, BoxError> {
    let method = if body.is_some() { "POST" } else { "GET" };
    let request = http::Request::builder().method(method).uri(url);
    let request = request.body(Full::<bytes::Bytes>::from(body.unwrap_or_default()))?;
    let response = Client::builder(TokioExecutor::new()).build_http().request(request).await?;
    Ok(String::from_utf8_lossy(&response.into_body().collect().await?.to_bytes()).into_owned())
}
