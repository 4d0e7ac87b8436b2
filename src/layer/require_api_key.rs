//! Lets known clients in, before a byte of their body is read.
//!
//! Keys are taken where SDKs put them: `x-api-key`, `Authorization: Bearer`, `x-goog-api-key`,
//! `api-key`, `?key=`. They are compared as SHA-256 digests in constant time, and taken off the
//! request: no upstream ever sees them.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response, Uri};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use tower::{Layer, Service};

use crate::error::Error;
use crate::headers::CREDENTIALS;

pub use super::refusal::ResponseFuture;

/// Refuses requests without a known client key with [`Error::Unauthorized`].
///
/// # Example
///
/// ```
/// use aiproxy::Error;
/// use aiproxy::layer::RequireApiKeyLayer;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(RequireApiKeyLayer::new(["team-key"]))
///     .service(service_fn(|request: Request<()>| async move {
///         assert!(!request.headers().contains_key("x-api-key"), "taken off the request");
///         Ok::<_, Error>(Response::new(()))
///     }));
/// let known = Request::post("/v1/messages").header("x-api-key", "team-key").body(()).unwrap();
/// assert!(service.clone().oneshot(known).await.is_ok());
/// let unknown = Request::post("/v1/messages").header("x-api-key", "guess").body(()).unwrap();
/// assert!(matches!(service.oneshot(unknown).await, Err(Error::Unauthorized)));
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct RequireApiKeyLayer {
    keys: Arc<[KeyDigest]>,
}

/// A key as far as the gateway remembers it.
type KeyDigest = [u8; 32];

impl RequireApiKeyLayer {
    /// Knows these keys. Without any, everybody is let in; credentials are still taken off.
    pub fn new<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Self {
        RequireApiKeyLayer { keys: keys.into_iter().map(|key| digest(key.as_ref())).collect() }
    }
}

impl fmt::Debug for RequireApiKeyLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireApiKeyLayer").field("keys", &self.keys.len()).finish()
    }
}

impl<S> Layer<S> for RequireApiKeyLayer {
    type Service = RequireApiKey<S>;

    fn layer(&self, inner: S) -> RequireApiKey<S> {
        RequireApiKey { inner, keys: self.keys.clone() }
    }
}

/// See [`RequireApiKeyLayer`].
#[derive(Clone)]
pub struct RequireApiKey<S> {
    inner: S,
    keys: Arc<[KeyDigest]>,
}

impl<S: fmt::Debug> fmt::Debug for RequireApiKey<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequireApiKey").field("inner", &self.inner).field("keys", &self.keys.len()).finish()
    }
}

/// Which of the configured keys a client showed, by its number. An extension for guests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientKey(pub usize);

fn digest(key: &str) -> KeyDigest {
    Sha256::digest(key.as_bytes()).into()
}

/// The number of the known key that `shown` is. Looks at all of them, whatever matches.
fn find(keys: &[KeyDigest], shown: &str) -> Option<usize> {
    let shown = digest(shown);
    let mut found = None;
    for (number, key) in keys.iter().enumerate() {
        let same: Choice = key.ct_eq(&shown);
        if same.into() {
            found = Some(number);
        }
    }
    found
}

fn take_credentials<B>(request: &mut Request<B>) -> Vec<String> {
    let mut shown = Vec::new();
    for name in &CREDENTIALS {
        let Some(value) = request.headers_mut().remove(name) else { continue };
        let Ok(text) = value.to_str() else { continue };
        let bearer = text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("bearer "));
        let key = if bearer.is_some() { text.get(7..).unwrap_or_default() } else { text };
        shown.push(key.trim().to_owned());
    }
    if let Some(query) = request.uri().query()
        && query.split('&').any(is_key)
    {
        shown.extend(query.split('&').filter_map(|pair| pair.strip_prefix("key=")).map(str::to_owned));
        let kept: Vec<&str> = query.split('&').filter(|pair| !is_key(pair)).collect();
        if let Some(uri) = with_query(request.uri(), &kept.join("&")) {
            *request.uri_mut() = uri;
        }
    }
    shown
}

fn is_key(pair: &str) -> bool {
    pair == "key" || pair.starts_with("key=")
}

fn with_query(uri: &Uri, query: &str) -> Option<Uri> {
    let path = uri.path();
    let path_and_query = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(path_and_query.parse().ok()?);
    Uri::from_parts(parts).ok()
}

impl<S, B, R> Service<Request<B>> for RequireApiKey<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<Error>,
{
    type Response = Response<R>;
    type Error = Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let shown = take_credentials(&mut request);
        if !self.keys.is_empty() {
            // A client may send several (a key of its own and ours): one known key is enough.
            match shown.iter().find_map(|key| find(&self.keys, key)) {
                Some(number) => {
                    request.extensions_mut().insert(ClientKey(number));
                }
                None => return ResponseFuture::refuse(Error::Unauthorized),
            }
        }
        ResponseFuture::pass(self.inner.call(request))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tower::{ServiceExt, service_fn};

    async fn call(keys: &[&str], request: http::request::Builder) -> Result<(Uri, usize), Error> {
        RequireApiKeyLayer::new(keys)
            .layer(service_fn(|request: Request<()>| async move {
                let left = CREDENTIALS.iter().filter(|name| request.headers().contains_key(*name)).count();
                Ok::<_, Error>(Response::new((request.uri().clone(), left)))
            }))
            .oneshot(request.body(()).unwrap())
            .await
            .map(Response::into_body)
    }

    #[tokio::test]
    async fn every_sdk_gets_in_and_leaves_its_key_at_the_door() {
        for request in [
            Request::post("/a").header("x-api-key", "k2"),
            Request::post("/a").header("authorization", "Bearer k2"),
            Request::post("/a").header("authorization", "bearer  k2 "),
            Request::post("/a").header("x-goog-api-key", "k2"),
            Request::post("/a").header("x-api-key", "other").header("authorization", "Bearer k2"),
            Request::post("/a?key=k2"),
        ] {
            assert_eq!(call(&["k1", "k2"], request).await.unwrap(), ("/a".parse().unwrap(), 0));
        }
        let (uri, _) = call(&["k"], Request::post("/a?alt=sse&key=k&b=1")).await.unwrap();
        assert_eq!(uri, "/a?alt=sse&b=1");
    }

    #[tokio::test]
    async fn strangers_stay_out() {
        for request in [
            Request::post("/a"),
            Request::post("/a").header("x-api-key", ""),
            Request::post("/a").header("x-api-key", "k"),
            Request::post("/a").header("authorization", "Basic k1"),
            Request::post("/a?key=k"),
        ] {
            assert!(matches!(call(&["k1"], request).await, Err(Error::Unauthorized)));
        }
    }

    #[tokio::test]
    async fn an_open_gateway_still_takes_credentials_off() {
        let request = Request::post("/a?key=mine").header("x-api-key", "mine");
        assert_eq!(call(&[], request).await.unwrap(), ("/a".parse().unwrap(), 0));
    }
}
