//! The gateway: all layers, stacked.
//!
//! [`Gateway`] is one `tower::Service` that takes any HTTP request and never fails. The order of its
//! layers is one list, in `build.rs`. [`Gateway::builder`] makes it in code, [`Gateway::from_config`] from
//! a configuration; both have room for layers of your own.

mod build;
#[cfg(feature = "config")]
mod from_config;
mod snapshot;
mod upstream;

use std::convert::Infallible;
use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower::util::BoxCloneSyncService;
use tower::{Layer, Service};

use crate::body::Body;
use crate::closing::Closing;
use crate::error::{BoxError, Error};
use crate::layer::failover::FailoverPolicy;
use crate::layer::health::Health;
use crate::layer::{HostCheckLayer, KeepAliveLayer, StateStore, metrics};
use crate::payload::Payload;
use crate::protocol::ClientDialect;

pub use snapshot::{ModelSnapshot, Snapshot, UpstreamSnapshot};
pub use upstream::UpstreamSpec;

/// The inside of the stack with its type erased: what a layer of your own is put around.
pub type InnerService = BoxCloneSyncService<Request<Payload>, Response<Body>, Error>;

/// An LLM gateway: any of four protocols in, any out.
///
/// Cloning copies reference counts. Use it as a service in axum (`fallback_service`), hyper or a test.
///
/// ```
/// use aiproxy::gateway::{Gateway, UpstreamSpec};
/// use aiproxy::upstream::ApiType;
/// use http::Request;
/// use tower::ServiceExt;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
/// let gateway = Gateway::builder()
///     .upstream(UpstreamSpec::new("main", ApiType::OpenAi, "http://127.0.0.1:9".parse()?).key("sk-…").models(["gpt-*"]))
///     .build()?;
/// let request = Request::post("/v1/messages").body(r#"{"model":"unknown","max_tokens":1,"messages":[]}"#.to_owned())?;
/// assert_eq!(gateway.oneshot(request).await?.status(), 404);
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Gateway {
    stack: build::Stack,
    snapshot: Arc<snapshot::Source>,
    closing: Closing,
}

/// The body of a gateway's response.
pub type ResponseBody = <build::Stack as BodyOf>::Body;

/// The response body type of a service.
#[doc(hidden)]
pub trait BodyOf {
    /// It.
    type Body;
}

impl<S, B> BodyOf for S
where
    S: Service<Request<Body>, Response = Response<B>>,
{
    type Body = B;
}

impl Gateway {
    /// Starts to build one.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// What the gateway is made of and how it fares.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.snapshot.take(Health::report)
    }

    /// The same for everybody to see: models that no configuration names, which clients may have invented, are `other`.
    #[must_use]
    pub fn public_snapshot(&self) -> Snapshot {
        self.snapshot.take(Health::summary)
    }

    /// Ends every rest of an upstream and of its keys now, or those of one model, by the clients' name or the upstream's
    /// own. Returns whether there is such an upstream.
    pub fn reset(&self, upstream: &str, model: Option<&str>) -> bool {
        let health = self.snapshot.health(upstream);
        if let Some(health) = health {
            health.reset(model);
        }
        health.is_some()
    }

    /// Ends answers under way now, and new ones: in an error in their client's protocol, which says that the gateway is
    /// being stopped. For programs that have waited long enough for them.
    pub fn close(&self) {
        self.closing.close();
    }

    /// Writes the gauges of health as they are now; the server does so before it shows them.
    pub fn publish_health(&self) {
        self.snapshot.upstreams.iter().for_each(|(_, health)| health.publish());
    }
}

impl fmt::Debug for Gateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gateway").field("upstreams", &self.snapshot().upstreams.len()).finish_non_exhaustive()
    }
}

impl<B> Service<Request<B>> for Gateway
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = <build::Stack as Service<Request<B>>>::Response;
    type Error = Infallible;
    type Future = <build::Stack as Service<Request<B>>>::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        <build::Stack as Service<Request<B>>>::poll_ready(&mut self.stack, cx)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        self.stack.call(request)
    }
}

type Wrap = Box<dyn FnOnce(InnerService) -> InnerService + Send>;
type WrapUpstream = Box<dyn Fn(InnerService) -> InnerService + Send>;

/// Builds a [`Gateway`].
pub struct Builder {
    upstreams: Vec<UpstreamSpec>,
    host_check: HostCheckLayer,
    keys: Vec<String>,
    max_body_size: usize,
    body_timeout: Option<Duration>,
    max_answer_size: usize,
    max_held_size: usize,
    max_in_flight: usize,
    keep_alive: KeepAliveLayer,
    continued_models: Vec<String>,
    prompt_preview: usize,
    client_dialect: ClientDialect,
    failover: FailoverPolicy,
    model_fallback: Vec<(String, Vec<String>)>,
    state_store: Option<StateStore>,
    layers: Vec<Wrap>,
    upstream_layers: Vec<WrapUpstream>,
}

impl Default for Builder {
    fn default() -> Self {
        Builder {
            upstreams: Vec::new(),
            host_check: HostCheckLayer::none(),
            keys: Vec::new(),
            max_body_size: 64 << 20,
            body_timeout: Some(Duration::from_secs(30)),
            max_answer_size: 64 << 20,
            max_held_size: 16 << 20,
            max_in_flight: 10_000,
            keep_alive: KeepAliveLayer::new(),
            continued_models: Vec::new(),
            prompt_preview: 0,
            client_dialect: ClientDialect::default(),
            failover: FailoverPolicy::default(),
            model_fallback: Vec::new(),
            state_store: Some(StateStore::default()),
            layers: Vec::new(),
            upstream_layers: Vec::new(),
        }
    }
}

impl Builder {
    /// Adds an upstream.
    #[must_use]
    pub fn upstream(mut self, upstream: UpstreamSpec) -> Self {
        self.upstreams.push(upstream);
        self
    }

    /// Under which names the gateway may be asked. Default: any, and no matter by whose page.
    #[must_use]
    pub fn host_check(mut self, check: HostCheckLayer) -> Self {
        self.host_check = check;
        self
    }

    /// Lets only clients with this key in. May be given several times; never: everybody may come.
    #[must_use]
    pub fn api_key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Most bytes of a request body. Default 64 MiB.
    #[must_use]
    pub fn max_body_size(mut self, bytes: usize) -> Self {
        self.max_body_size = bytes;
        self
    }

    /// In each such time some of a request's body must come, or the client is told that it was too slow; see
    /// [`CollectLayer::timeout`](crate::layer::CollectLayer::timeout). Default 30 seconds.
    #[must_use]
    pub fn body_timeout(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.body_timeout = most.into();
        self
    }

    /// Most bytes of an answer that is held whole: a document, or a stream that is to become one. Default 64 MiB.
    #[must_use]
    pub fn max_answer_size(mut self, bytes: usize) -> Self {
        self.max_answer_size = bytes;
        self
    }

    /// Most bytes of a stream that are held before its content begins. Default 16 MiB.
    #[must_use]
    pub fn max_held_size(mut self, bytes: usize) -> Self {
        self.max_held_size = bytes;
        self
    }

    /// Most requests at once, each until its last byte. Default 10,000.
    #[must_use]
    pub fn max_in_flight(mut self, requests: usize) -> Self {
        self.max_in_flight = requests;
        self
    }

    /// When streaming clients get signs of life. Default: as [`KeepAliveLayer::new`] says.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: KeepAliveLayer) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Models, `*` for any run of characters, whose texts another upstream goes on with when they break off in
    /// mid-stream (see [`ContinuationLayer`](crate::layer::ContinuationLayer)). Default: none.
    #[must_use]
    pub fn continue_texts<P: Into<String>>(mut self, models: impl IntoIterator<Item = P>) -> Self {
        self.continued_models = models.into_iter().map(Into::into).collect();
        self
    }

    /// Logs at most so many characters of each prompt, at debug. Default 0: none.
    #[must_use]
    pub fn prompt_preview(mut self, characters: usize) -> Self {
        self.prompt_preview = characters;
        self
    }

    /// What clients want otherwise than their protocols say. Default: nothing.
    #[must_use]
    pub fn client_dialect(mut self, dialect: ClientDialect) -> Self {
        self.client_dialect = dialect;
        self
    }

    /// When to ask another upstream.
    #[must_use]
    pub fn failover(mut self, policy: FailoverPolicy) -> Self {
        self.failover = policy;
        self
    }

    /// The models to ask for when `model` cannot be had, all by the clients' names; see
    /// [`ModelFallbackLayer`](crate::layer::ModelFallbackLayer).
    #[must_use]
    pub fn model_fallback<M: Into<String>>(
        mut self,
        model: impl Into<String>,
        next: impl IntoIterator<Item = M>,
    ) -> Self {
        self.model_fallback.push((model.into(), next.into_iter().map(Into::into).collect()));
        self
    }

    /// Where state waits that clients drop and providers want back; `None`: nowhere. Default: a store of 16 MiB.
    #[must_use]
    pub fn state_store(mut self, store: impl Into<Option<StateStore>>) -> Self {
        self.state_store = store.into();
        self
    }

    /// Puts a layer of your own around the choice of upstreams. It sees every request once, after its
    /// body was read. The first one given is the outermost.
    #[must_use]
    pub fn layer<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<InnerService> + Send + 'static,
        L::Service: Service<Request<Payload>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Payload>>>::Error: Into<Error>,
        <L::Service as Service<Request<Payload>>>::Future: Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.layers.push(Box::new(move |inner| build::erase(layer.layer(inner))));
        self
    }

    /// Puts a layer of your own around each upstream, outside of model mapping and translation. It sees
    /// every attempt. The first one given is the outermost.
    #[must_use]
    pub fn upstream_layer<L, B>(mut self, layer: L) -> Self
    where
        L: Layer<InnerService> + Send + 'static,
        L::Service: Service<Request<Payload>, Response = Response<B>> + Clone + Send + Sync + 'static,
        <L::Service as Service<Request<Payload>>>::Error: Into<Error>,
        <L::Service as Service<Request<Payload>>>::Future: Send,
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.upstream_layers.push(Box::new(move |inner| build::erase(layer.layer(inner))));
        self
    }

    /// Stacks everything. Opens no socket.
    ///
    /// # Errors
    ///
    /// If an upstream's key or base URL cannot be used, or two upstreams have one name.
    pub fn build(self) -> Result<Gateway, BoxError> {
        metrics::names::describe();
        build::gateway(self)
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys are secrets.
        f.debug_struct("Builder").field("upstreams", &self.upstreams).finish_non_exhaustive()
    }
}
