//! Fetches the pictures and PDFs that a request names by address, where its upstream does not, and puts them into
//! the request itself (2.6). Off unless an operator asks for it.
//!
//! Stands outside of [`Translate`](super::Translate), which takes what is inline to every protocol, and changes the
//! client's own request: so it serves relays, too. Inside of the breaker and of failover: a file that cannot be had
//! is no fault of the upstream's, and another upstream may fetch it itself.
//!
//! A client names the addresses, so this is a way into the operator's network, and is kept shut: http and https
//! alone, only public addresses ([`FetchPolicy::allow`] adds to them) on every hop, and connections to no other
//! address than the one that was checked. Nothing of the client's or of the upstream's is sent, no proxy is used,
//! and size, number and time are bounded.

mod address;
mod fetcher;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::future::try_join_all;
use http::Request;
use pin_project_lite::pin_project;
use tokio::time::{Instant, timeout_at};
use tower::{Layer, Service};

use self::fetcher::{Failure, Fetcher};
use super::metrics::names;
use crate::error::{BoxError, Error};
use crate::payload::Payload;
use crate::protocol::canonical::{ErrorView, FaultKind};
use crate::protocol::{Operation, Protocol, Reach, RemoteMedia, decode_request, inline_media, remote_media};

/// A network, such as `10.1.0.0/16`.
pub use ipnet::IpNet;

/// What may be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchPolicy {
    /// Which addresses are not for the upstream itself to fetch. Default: those that its protocol does not take.
    pub reach: Reach,
    /// Most bytes of one file. Default 10 MiB.
    pub max_file_size: usize,
    /// Most files of one request, each time that one is named counted. Default 10.
    pub max_files: usize,
    /// Most time for all files of one request, from names to last bytes. Default 15 seconds.
    pub timeout: Duration,
    /// Most redirects on the way to one file. Default 3.
    pub max_redirects: u32,
    /// Networks that may be reached although they are not public. Default: none.
    pub allow: Vec<IpNet>,
}

impl Default for FetchPolicy {
    fn default() -> Self {
        FetchPolicy {
            reach: Reach::Protocol,
            max_file_size: 10 << 20,
            max_files: 10,
            timeout: Duration::from_secs(15),
            max_redirects: 3,
            allow: Vec::new(),
        }
    }
}

/// Fetches media for an upstream that does not.
///
/// # Errors
///
/// [`Error::Untranslatable`], with the part that it is about, if a file cannot be had or sent.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CollectLayer, FetchMediaLayer, TranslateLayer};
/// use aiproxy::layer::fetch_media::FetchPolicy;
/// use aiproxy::protocol::Protocol;
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), aiproxy::BoxError> {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(FetchMediaLayer::new(Protocol::Gemini, FetchPolicy::default())?)
///     .layer(TranslateLayer::new(Protocol::Gemini))
///     .service(service_fn(|_: Request<Payload>| async { Ok::<_, Error>(Response::new(Body::empty())) }));
/// let image = r#"{"type":"image_url","image_url":{"url":"http://169.254.169.254/latest"}}"#;
/// let body = format!(r#"{{"model":"m","messages":[{{"role":"user","content":[{image}]}}]}}"#);
/// let refused = service.oneshot(Request::post("/v1/chat/completions").body(body)?).await.unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "messages[0].content[0]: the file could not be fetched: its host has no public address"
/// );
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct FetchMediaLayer {
    shared: Arc<Shared>,
}

impl FetchMediaLayer {
    /// For an upstream that speaks this protocol. Opens no connection.
    ///
    /// # Errors
    ///
    /// If the TLS backend cannot be set up.
    pub fn new(upstream: Protocol, policy: FetchPolicy) -> Result<Self, BoxError> {
        let fetcher = Fetcher::new(&policy)?;
        Ok(FetchMediaLayer { shared: Arc::new(Shared { upstream, policy, fetcher }) })
    }
}

impl<S> Layer<S> for FetchMediaLayer {
    type Service = FetchMedia<S>;

    fn layer(&self, inner: S) -> FetchMedia<S> {
        FetchMedia { inner, shared: self.shared.clone() }
    }
}

/// See [`FetchMediaLayer`].
#[derive(Clone, Debug)]
pub struct FetchMedia<S> {
    inner: S,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    upstream: Protocol,
    policy: FetchPolicy,
    fetcher: Fetcher,
}

impl Shared {
    /// What of a request is to be fetched. What cannot be read is for the layers inside to judge.
    fn wanted(&self, payload: &Payload) -> Vec<RemoteMedia> {
        if payload.operation() != Operation::Generate {
            return Vec::new();
        }
        std::str::from_utf8(payload.original_bytes())
            .ok()
            .and_then(|body| decode_request(payload.endpoint(), body).ok())
            .map(|request| remote_media(&request, self.upstream, self.policy.reach))
            .unwrap_or_default()
    }

    /// The same request with these files inline.
    async fn fill(
        self: Arc<Self>,
        mut request: Request<Payload>,
        wanted: Vec<RemoteMedia>,
    ) -> Result<Request<Payload>, Error> {
        let payload = request.body();
        let client = payload.protocol();
        let body =
            std::str::from_utf8(payload.original_bytes()).map_err(|error| Error::Internal(error.into()))?;
        let FetchPolicy { max_files, timeout, .. } = self.policy;
        if let Some(beyond) = wanted.get(max_files) {
            return Err(refused(beyond.param(body), &format!("more than {max_files} files are not fetched")));
        }
        let mut distinct: Vec<&RemoteMedia> = Vec::new();
        for media in &wanted {
            if !distinct.iter().any(|known| known.url == media.url) {
                distinct.push(media);
            }
        }
        let deadline = Instant::now() + timeout;
        let failed = |media: &RemoteMedia, failure: Failure| {
            refused(media.param(body), &format!("the file could not be fetched: {failure}"))
        };
        let files = try_join_all(distinct.iter().map(async |media| {
            let fetched = timeout_at(deadline, self.fetcher.fetch(&media.url)).await;
            let fetched = fetched.unwrap_or(Err(Failure::Timeout(timeout)));
            let outcome = fetched.as_ref().map_or_else(|failure| failure.as_str(), |_| "ok");
            metrics::counter!(names::MEDIA_FETCHES, "outcome" => outcome).increment(1);
            fetched.map(|file| (&media.url, file)).map_err(|failure| failed(media, failure))
        }))
        .await?;
        let mut found = Vec::with_capacity(wanted.len());
        for media in &wanted {
            let Some((_, file)) = files.iter().find(|(url, _)| **url == media.url) else { continue };
            if !file.is_taken_by(self.upstream) || !media.may_be(client, file.mime) {
                return Err(failed(media, Failure::Type(Some(file.mime))));
            }
            found.push((media, file));
        }
        let filled = inline_media(client, body, found).map_err(|error| Error::Internal(error.into()))?;
        tracing::debug!(files = files.len(), bytes = filled.len(), "media fetched");
        *request.body_mut() = payload.with_bytes(filled)?;
        Ok(request)
    }
}

/// The caller's fault; but another upstream may fetch for itself.
fn refused(param: String, why: &str) -> Error {
    let view = ErrorView::new(FaultKind::InvalidRequest, format!("{param}: {why}"));
    Error::Untranslatable(Box::new(ErrorView { param: Some(param), ..view }))
}

impl<S> Service<Request<Payload>> for FetchMedia<S>
where
    S: Service<Request<Payload>> + Clone,
    S::Error: Into<Error>,
{
    type Response = S::Response;
    type Error = Error;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Payload>) -> ResponseFuture<S> {
        let wanted = self.shared.wanted(request.body());
        if wanted.is_empty() {
            return ResponseFuture { state: State::Calling { future: self.inner.call(request) } };
        }
        // The future takes the ready service; its clone is not ready.
        let clone = self.inner.clone();
        let inner = std::mem::replace(&mut self.inner, clone);
        let filling = Box::pin(self.shared.clone().fill(request, wanted));
        ResponseFuture { state: State::Fetching { filling, inner } }
    }
}

/// Connections to other servers: the slow path, boxed.
type Filling = Pin<Box<dyn Future<Output = Result<Request<Payload>, Error>> + Send>>;

pin_project! {
    /// Response future of [`FetchMedia`].
    pub struct ResponseFuture<S>
    where
        S: Service<Request<Payload>>,
    {
        #[pin]
        state: State<S, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, F> {
        Fetching { filling: Filling, inner: S },
        Calling { #[pin] future: F },
    }
}

impl<S> fmt::Debug for ResponseFuture<S>
where
    S: Service<Request<Payload>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("fetch_media::ResponseFuture").finish_non_exhaustive()
    }
}

impl<S> Future for ResponseFuture<S>
where
    S: Service<Request<Payload>>,
    S::Error: Into<Error>,
{
    type Output = Result<S::Response, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            match state.as_mut().project() {
                StateProj::Calling { future } => return future.poll(cx).map_err(Into::into),
                StateProj::Fetching { filling, inner } => {
                    let request = ready!(filling.as_mut().poll(cx))?;
                    let future = inner.call(request);
                    state.set(State::Calling { future });
                }
            }
        }
    }
}
