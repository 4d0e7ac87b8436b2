//! Layers of your own at both seams of the gateway: around all upstreams, and around each one.
//!
//! `Builder::layer` sees every request once, `Builder::upstream_layer` every attempt. Both see the client's
//! bytes as [`Payload`], and both take any tower layer. `cargo run --example custom_layer`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use aiproxy::gateway::{InnerService, UpstreamSpec};
use aiproxy::simulator::{Settings, Simulator};
use aiproxy::upstream::ApiType;
use aiproxy::{BoxError, Gateway, Payload};
use http::Request;
use tower::layer::layer_fn;
use tower::{Service, ServiceBuilder, ServiceExt};

/// A tower service as everybody writes them: long prompts go to another model.
#[derive(Clone, Debug)]
struct LongPrompts<S> {
    inner: S,
    from_bytes: usize,
    model: &'static str,
}

impl<S: Service<Request<Payload>>> Service<Request<Payload>> for LongPrompts<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Payload>) -> S::Future {
        let payload = request.body_mut();
        if payload.original_bytes().len() >= self.from_bytes {
            payload.set_model(self.model);
        }
        self.inner.call(request)
    }
}

#[tokio::main]
async fn main() -> Result<(), BoxError> {
    let provider = Simulator::spawn(Settings::default()).await?;
    let upstream = |name: &str| -> Result<UpstreamSpec, BoxError> {
        Ok(UpstreamSpec::new(name, ApiType::OpenAi, provider.url().parse()?))
    };
    let attempts = Arc::new(AtomicU32::new(0));
    let counter = attempts.clone();
    let gateway = Gateway::builder()
        .upstream(upstream("a")?)
        .upstream(upstream("b")?)
        // Once per request. A layer may be a closure.
        .layer(layer_fn(|inner: InnerService| LongPrompts {
            inner,
            from_bytes: 200,
            model: "sim-status-503",
        }))
        // Once per attempt, here with tower's own combinators.
        .upstream_layer(ServiceBuilder::new().map_request(move |request: Request<Payload>| {
            counter.fetch_add(1, Ordering::Relaxed);
            println!("an attempt at {}", request.body().model());
            request
        }))
        .build()?;

    for prompt in ["Hello".to_owned(), "Hello ".repeat(50)] {
        let body = format!(r#"{{"model":"gpt-5","messages":[{{"role":"user","content":"{prompt}"}}]}}"#);
        let request = Request::post("/v1/chat/completions").body(body)?;
        let status = gateway.clone().oneshot(request).await?.status();
        println!("{} bytes: {status} after {} attempts", prompt.len(), attempts.swap(0, Ordering::Relaxed));
    }
    Ok(())
}
