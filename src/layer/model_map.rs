//! Renames models on the way to an upstream: the client's alias becomes the upstream's name.
//!
//! Records an edit in the [`Payload`]; no byte is touched until someone sends it. Below the filter and
//! the breaker, which know the client's names. Names without a mapping pass through.

use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Request;
use tower::{Layer, Service};

use super::trail::{Attempt, Trail};
use crate::payload::Payload;

/// Renames models.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CollectLayer, ModelMapLayer};
/// use aiproxy::{Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(ModelMapLayer::new([("fast", "gpt-5-mini")]))
///     .service(service_fn(|request: Request<Payload>| async move {
///         Ok::<_, Error>(Response::new(request.into_body().wire_bytes()))
///     }));
/// let request = Request::post("/v1/chat/completions").body(r#"{"n":1.0,"model":"fast"}"#.to_owned()).unwrap();
/// assert_eq!(service.oneshot(request).await?.into_body(), r#"{"n":1.0,"model":"gpt-5-mini"}"#);
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ModelMapLayer {
    names: Arc<HashMap<Box<str>, Arc<str>>>,
}

impl ModelMapLayer {
    /// Pairs of the client's name and the upstream's.
    pub fn new<A: Into<Box<str>>, B: Into<Arc<str>>>(names: impl IntoIterator<Item = (A, B)>) -> Self {
        let names = names.into_iter().map(|(alias, name)| (alias.into(), name.into())).collect();
        ModelMapLayer { names: Arc::new(names) }
    }
}

impl<S> Layer<S> for ModelMapLayer {
    type Service = ModelMap<S>;

    fn layer(&self, inner: S) -> ModelMap<S> {
        ModelMap { inner, names: self.names.clone() }
    }
}

/// See [`ModelMapLayer`].
#[derive(Clone, Debug)]
pub struct ModelMap<S> {
    inner: S,
    names: Arc<HashMap<Box<str>, Arc<str>>>,
}

impl<S> Service<Request<Payload>> for ModelMap<S>
where
    S: Service<Request<Payload>>,
{
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Payload>) -> S::Future {
        if let Some(name) = self.names.get(request.body().model()) {
            Trail::note(&request, |notes| {
                notes.attempts.push(Attempt {
                    upstream: Arc::from(""),
                    upstream_model: Some(name.clone()),
                    outcome: "",
                    duration: Duration::ZERO,
                });
            });
            request.body_mut().set_model(name.clone());
        }
        self.inner.call(request)
    }
}
