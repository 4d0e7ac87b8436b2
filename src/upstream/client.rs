//! The leaf service: one HTTP client per upstream.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, Uri, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use metrics::counter;
use tokio::runtime::{self, Handle};
use tokio::time::Instant;
use tower::Service;
use url::Url;

use super::api::{self, ApiType};
use super::connection;
use super::connector::Connector;
use super::secrets::Secrets;
use crate::error::{BoxError, Error, Stage};
use crate::layer::metrics::names;
use crate::payload::Payload;
use crate::protocol::canonical::{ErrorView, FaultKind};

/// Sends requests to one upstream.
///
/// Follows no redirects (T178), decodes no bodies, keeps connections alive, honours `HTTPS_PROXY` and its
/// kin. Of the client's headers only those pass that the [`ApiType`] names; cookies and credentials
/// never do.
///
/// # Errors
///
/// [`Error::Transport`]. An answer of any status is `Ok`: telling success from failure is
/// [`Classify`](crate::layer::Classify)'s.
///
/// # Example
///
/// ```
/// use aiproxy::upstream::{ApiType, HttpClient};
/// let client = HttpClient::builder(ApiType::OpenAi, "https://api.openai.com/v1".parse()?).build()?;
/// # Ok::<_, Box<dyn std::error::Error + Send + Sync>>(())
/// ```
#[derive(Clone)]
pub struct HttpClient {
    shared: Arc<Shared>,
}

struct Shared {
    pools: Pools,
    api: ApiType,
    base: Url,
    /// The URL of the commonest request, so that it is built once.
    generate: Option<Uri>,
    /// Likewise, for HTTP/1.1: HTTP/2 tells it otherwise.
    host: Option<HeaderValue>,
    headers: HeaderMap,
}

/// What upstreams see of clients that do not name themselves, or speak another protocol.
pub(crate) const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("aiproxy/", env!("CARGO_PKG_VERSION")));

/// Builds an [`HttpClient`].
#[derive(Clone)]
pub struct HttpClientBuilder {
    api: ApiType,
    base: Url,
    connect_timeout: Duration,
    http2: bool,
    headers: HeaderMap,
}

impl HttpClientBuilder {
    /// Lets the upstream choose HTTP/2. All its streams then share one connection: as many at a time as it admits (100 are
    /// common, further ones wait), and if that connection ends, all of them end. Default: HTTP/1.1, where each stream
    /// has its own.
    #[must_use]
    pub fn http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// Most time to connect, name resolution and TLS included. Default 10 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, most: Duration) -> Self {
        self.connect_timeout = most;
        self
    }

    /// Headers of every request; they replace what the client or the API type would send.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// Builds the client. Opens no connection.
    ///
    /// # Errors
    ///
    /// If the TLS backend cannot be set up, the base URL cannot hold a path, or the environment names a proxy of a kind
    /// that cannot be used: `http`, `socks4`, `socks4a`, `socks5` and `socks5h` can.
    pub fn build(self) -> Result<HttpClient, BoxError> {
        if self.base.cannot_be_a_base() {
            return Err("the base URL cannot hold a path".into());
        }
        let connector = Connector::new(self.connect_timeout, self.http2)?;
        connector.check(&self.base.as_str().parse()?)?;
        let pools = Pools { connector, by_runtime: RwLock::default() };
        let generate = match self.api {
            ApiType::Gemini => None,
            ApiType::Anthropic | ApiType::OpenAi | ApiType::Responses => {
                let path = match self.api {
                    ApiType::Anthropic => &["messages"][..],
                    ApiType::OpenAi => &["chat", "completions"],
                    _ => &["responses"],
                };
                let url = join(&self.base, "v1", path, None, None)?;
                Some(url.as_str().parse()?)
            }
        };
        let host = if self.http2 { None } else { Some(host_header(&self.base)?) };
        let Self { api, base, headers, .. } = self;
        Ok(HttpClient { shared: Arc::new(Shared { pools, api, base, generate, host, headers }) })
    }
}

impl fmt::Debug for HttpClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Headers may be secrets.
        f.debug_struct("HttpClientBuilder").field("api", &self.api).finish_non_exhaustive()
    }
}

impl HttpClient {
    /// A client for an upstream of this type at `base`, with or without its version (`/v1`).
    #[must_use]
    pub fn builder(api: ApiType, base: Url) -> HttpClientBuilder {
        let connect_timeout = Duration::from_secs(10);
        HttpClientBuilder { api, base, connect_timeout, http2: false, headers: HeaderMap::new() }
    }

    /// The request as the upstream is to see it.
    fn outgoing(&self, request: &Request<Payload>) -> Result<Request<Full<Bytes>>, Error> {
        let Shared { api, base, generate, host, headers, .. } = &*self.shared;
        let payload = request.body();
        if !api::counts_tokens(*api, payload.operation()) {
            let view = ErrorView::new(FaultKind::Endpoint, "this upstream cannot count tokens");
            return Err(Error::Untranslatable(Box::new(view)));
        }
        let url = match (generate, payload.operation()) {
            (Some(url), crate::protocol::Operation::Generate) => url.clone(),
            _ => {
                let path = api.path(payload);
                join(base, path.version, path.segments, path.last.as_deref(), path.query)
                    .ok()
                    .and_then(|url| url.as_str().parse().ok())
                    .ok_or_else(|| Error::request(FaultKind::InvalidRequest, "model: not a usable name"))?
            }
        };
        let mut outgoing = Request::new(Full::new(payload.wire_bytes()));
        *outgoing.method_mut() = http::Method::POST;
        *outgoing.uri_mut() = url;
        let out = outgoing.headers_mut();
        // Room for what is common, so that it need not grow on the way.
        out.reserve(16);
        api.headers(request.headers(), out);
        if let Some(host) = host {
            out.insert(header::HOST, host.clone());
        }
        if let Some(key) = request.headers().get(api.credential_header()) {
            out.insert(api.credential_header(), key.clone());
        }
        out.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let accept = if payload.stream() { "text/event-stream" } else { "application/json" };
        out.insert(header::ACCEPT, HeaderValue::from_static(accept));
        // Relayed as it comes, and read on the way: the plain form is the only one that serves both.
        out.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        out.entry(header::USER_AGENT).or_insert(USER_AGENT);
        for (name, value) in headers {
            out.insert(name.clone(), value.clone());
        }
        Ok(outgoing)
    }
}

impl fmt::Debug for HttpClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpClient")
            .field("api", &self.shared.api)
            .field("host", &self.shared.base.host_str())
            .finish_non_exhaustive()
    }
}

/// The host and, where it is not the scheme's own, the port.
fn host_header(base: &Url) -> Result<HeaderValue, BoxError> {
    let host = base.host_str().ok_or("the base URL names no host")?;
    let host = match base.port() {
        Some(port) => HeaderValue::from_maybe_shared(format!("{host}:{port}"))?,
        None => HeaderValue::from_str(host)?,
    };
    Ok(host)
}

/// Joins by segments, so that a model's name can neither leave its place nor start a query.
fn join(
    base: &Url,
    version: &str,
    segments: &[&str],
    last: Option<&str>,
    query: Option<&str>,
) -> Result<Url, &'static str> {
    let mut url = base.clone();
    url.set_query(query);
    url.set_fragment(None);
    let has_version =
        base.path_segments().and_then(|mut all| all.rfind(|s| !s.is_empty())).is_some_and(is_version);
    {
        let mut path = url.path_segments_mut().map_err(|()| "the base URL cannot hold a path")?;
        path.pop_if_empty();
        if !has_version {
            path.push(version);
        }
        path.extend(segments);
        if let Some(last) = last {
            // A dot segment would climb; the URL type drops it, and the path must not change.
            if matches!(last, "." | "..") {
                return Err("a model cannot have this name");
            }
            path.push(last);
        }
    }
    Ok(url)
}

/// `v1`, `v1beta`, `v4`: base URLs come with their version or without.
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix('v') else { return false };
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
    segment.len() > 1 + rest.len()
        && matches!(rest.trim_end_matches(|c: char| c.is_ascii_digit()), "" | "beta" | "alpha")
}

impl Service<Request<Payload>> for HttpClient {
    type Response = Response<ResponseBody>;
    type Error = Error;
    // The leaf: the client's future is a box already, and the request may fail before it.
    type Future = Pin<Box<dyn Future<Output = Result<Response<ResponseBody>, Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let client = self.clone();
        Box::pin(async move {
            let outgoing = client.outgoing(&request)?;
            let secrets = Secrets::of(outgoing.headers());
            let pools = &client.shared.pools;
            let begun = Instant::now();
            let sent = match pools.send(outgoing)?.await {
                // It had been idle, and was closed as the request was on its way: no failure of the upstream's.
                Err(error) if begun.elapsed() < ROUND_TRIP && connection::was_stale(&error) => {
                    counter!(names::STALE_CONNECTIONS).increment(1);
                    pools.send_anew(client.outgoing(&request)?).await
                }
                sent => sent,
            };
            let mut response = sent.map_err(transport)?;
            connection::note(&mut response);
            if let Some(secrets) = secrets {
                response.extensions_mut().insert(secrets);
            }
            Ok(response.map(|inner| ResponseBody { inner }))
        })
    }
}

/// A connection that was closed while it was idle shows that within a round trip.
const ROUND_TRIP: Duration = Duration::from_secs(2);

/// hyper's pooled client: what reqwest is built on. Measured in this place, reqwest costs a tenth of a
/// relayed request on top (URLs parsed twice, redirect and retry machinery that is switched off).
type Pool = Client<Connector, Full<Bytes>>;

/// One pool of connections for each runtime that sends requests.
///
/// A connection lives in the runtime that opened it. Sharing it with another one costs a wake-up across
/// threads for every piece of every answer, and it dies with its runtime.
struct Pools {
    connector: Connector,
    by_runtime: RwLock<Vec<(runtime::Id, Pool)>>,
}

/// What an upstream may send of one HTTP/2 stream before its client has taken it, and of all streams of a connection: so
/// much that clients who do not read hold up nobody but themselves.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 1 << 30;

/// How often an HTTP/2 upstream is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(20));

/// Runtimes that are remembered; a program with more of them opens its connections anew.
const MOST_RUNTIMES: usize = 256;

impl Pools {
    /// Sends a request through the pool of this runtime.
    fn send(&self, request: Request<Full<Bytes>>) -> Result<legacy::ResponseFuture, Error> {
        let runtime = Handle::try_current().map_err(|error| Error::Internal(error.into()))?.id();
        let known = self.by_runtime.read().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, pool)) = known.iter().find(|(id, _)| *id == runtime) {
            return Ok(pool.request(request));
        }
        drop(known);
        let pool = Self::builder().build(self.connector.clone());
        let mut pools = self.by_runtime.write().unwrap_or_else(PoisonError::into_inner);
        if pools.len() >= MOST_RUNTIMES {
            pools.remove(0);
        }
        let sent = pool.request(request);
        pools.push((runtime, pool));
        Ok(sent)
    }

    /// Sends a request on a connection of its own. Where one idle connection is dead, the others may be.
    fn send_anew(&self, request: Request<Full<Bytes>>) -> legacy::ResponseFuture {
        let pool: Pool = Self::builder().pool_max_idle_per_host(0).build(self.connector.clone());
        pool.request(request)
    }

    fn builder() -> legacy::Builder {
        let mut builder = Client::builder(TokioExecutor::new());
        builder
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(60))
            .http2_initial_stream_window_size(STREAM_WINDOW)
            .http2_initial_connection_window_size(CONNECTION_WINDOW)
            .http2_keep_alive_interval(PING.0)
            .http2_keep_alive_timeout(PING.1)
            .http2_keep_alive_while_idle(true);
        builder
    }
}

/// What went wrong; hyper's errors hold no URL.
fn transport(error: legacy::Error) -> Error {
    let stage = match error.is_connect() {
        true if is_of_tls(&error) => Stage::Tls,
        true => Stage::Connect,
        false => Stage::Head,
    };
    Error::Transport { stage, source: error.into() }
}

/// Whether it was the agreement on encryption that failed.
fn is_of_tls(error: &legacy::Error) -> bool {
    let mut next = std::error::Error::source(error);
    while let Some(error) = next {
        if error.is::<rustls::Error>() {
            return true;
        }
        // What an IO error holds is not its source.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(held) => Some(held),
            None => error.source(),
        };
    }
    false
}

/// Response body of [`HttpClient`].
#[derive(Debug)]
pub struct ResponseBody {
    inner: Incoming,
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.inner)
            .poll_frame(cx)
            .map_err(|error| Error::Transport { stage: Stage::Body, source: error.into() })
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn joined(base: &str, last: Option<&str>) -> String {
        let segments: &[&str] = if last.is_some() { &["models"] } else { &["messages"] };
        join(&base.parse().unwrap(), "v1", segments, last, None).unwrap().into()
    }

    #[test]
    fn base_urls_come_with_their_version_or_without() {
        for (base, want) in [
            ("https://h", "https://h/v1/messages"),
            ("https://h/", "https://h/v1/messages"),
            ("https://h/v1", "https://h/v1/messages"),
            ("https://h/api/v1/", "https://h/api/v1/messages"),
            ("https://h/paas/v4", "https://h/paas/v4/messages"),
            ("https://h/v1beta", "https://h/v1beta/messages"),
            ("https://h/vault", "https://h/vault/v1/messages"),
        ] {
            assert_eq!(joined(base, None), want);
        }
    }

    #[test]
    fn the_host_header_names_the_port_only_where_it_is_not_the_usual_one() {
        for (base, want) in [
            ("https://api.example.com/v1", "api.example.com"),
            ("https://api.example.com:443/v1", "api.example.com"),
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("https://[::1]:8443/", "[::1]:8443"),
            ("http://bücher.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(host_header(&base.parse().unwrap()).unwrap(), want, "{base}");
        }
    }

    #[test]
    fn a_model_name_cannot_leave_its_place_in_the_path() {
        for (model, want) in [
            ("m:generateContent", "https://h/v1/models/m:generateContent"),
            ("../../admin", "https://h/v1/models/..%2F..%2Fadmin"),
            ("a?key=b#c", "https://h/v1/models/a%3Fkey=b%23c"),
            ("a%2e", "https://h/v1/models/a%252e"),
        ] {
            assert_eq!(joined("https://h", Some(model)), want);
        }
        let base: Url = "https://h".parse().unwrap();
        assert!(join(&base, "v1", &["models"], Some(".."), None).is_err());
    }
}
