//! Puts an upstream's API key on the request: one, or several in rotation.
//!
//! Innermost but for the client, so that no other layer ever holds a key. A key that the upstream refuses
//! (401, 402, 403) or limits (429) rests, and the next one is tried in the same attempt: a dead key among
//! five does not cost every fifth request a failure.

mod rotation;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Request, Response, StatusCode};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use crate::error::{BoxError, Error};
use crate::headers::{self, CREDENTIALS};
use crate::payload::Payload;
use crate::upstream::ApiType;

pub use rotation::Rotation;

/// Sets the upstream's key, and takes off whatever credential the request carried.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CollectLayer, CredentialsLayer};
/// use aiproxy::upstream::ApiType;
/// use aiproxy::{Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(CredentialsLayer::new(ApiType::Anthropic, ["upstream-key"])?)
///     .service(service_fn(|request: Request<Payload>| async move {
///         assert_eq!(request.headers()["x-api-key"], "upstream-key");
///         Ok::<_, Error>(Response::new(()))
///     }));
/// let request = Request::post("/v1/messages").header("x-api-key", "the client's").body(r#"{"model":"m"}"#.to_owned()).unwrap();
/// service.oneshot(request).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct CredentialsLayer {
    shared: Arc<Shared>,
}

struct Shared {
    api: ApiType,
    /// Ready to send; marked sensitive, so that they print as `Sensitive`.
    keys: Vec<HeaderValue>,
    rotation: Mutex<Rotation>,
}

impl CredentialsLayer {
    /// Uses `keys` in rotation; none is allowed, for upstreams on this machine that need none.
    ///
    /// # Errors
    ///
    /// If a key holds characters that no header can carry. The message does not tell the key.
    pub fn new<K: AsRef<str>>(api: ApiType, keys: impl IntoIterator<Item = K>) -> Result<Self, Error> {
        let keys = keys
            .into_iter()
            .map(|key| api.credential(key.as_ref()))
            .collect::<Option<Vec<HeaderValue>>>()
            .ok_or_else(|| {
                Error::Internal("an upstream key holds characters that no header can carry".into())
            })?;
        let rotation = Mutex::new(Rotation::new(keys.len()));
        Ok(CredentialsLayer { shared: Arc::new(Shared { api, keys, rotation }) })
    }
}

impl fmt::Debug for CredentialsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsLayer")
            .field("api", &self.shared.api)
            .field("keys", &self.shared.keys.len())
            .finish()
    }
}

impl<S> Layer<S> for CredentialsLayer {
    type Service = Credentials<S>;

    fn layer(&self, inner: S) -> Credentials<S> {
        Credentials { inner, shared: self.shared.clone() }
    }
}

/// See [`CredentialsLayer`].
#[derive(Clone)]
pub struct Credentials<S> {
    inner: S,
    shared: Arc<Shared>,
}

impl<S: fmt::Debug> fmt::Debug for Credentials<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Shared {
    fn pick(&self, tried: &[usize]) -> Option<usize> {
        self.rotation.lock().unwrap_or_else(PoisonError::into_inner).pick(Instant::now(), tried)
    }

    fn sign(&self, request: &mut Request<Payload>, key: Option<usize>) {
        for name in &CREDENTIALS {
            request.headers_mut().remove(name);
        }
        if let Some(value) = key.and_then(|key| self.keys.get(key)) {
            request.headers_mut().insert(self.api.credential_header(), value.clone());
        }
    }

    /// Notes what an answer says about its key; whether another key may do better.
    fn judge<B>(&self, key: Option<usize>, response: &Response<B>) -> bool {
        let Some(key) = key else { return false };
        let mut rotation = self.rotation.lock().unwrap_or_else(PoisonError::into_inner);
        match response.status() {
            StatusCode::UNAUTHORIZED | StatusCode::PAYMENT_REQUIRED | StatusCode::FORBIDDEN => {
                rotation.rest(key, Instant::now(), Rotation::REFUSED);
                true
            }
            StatusCode::TOO_MANY_REQUESTS => {
                let wait = headers::retry_after(response.headers()).unwrap_or(Rotation::LIMITED);
                rotation.rest(key, Instant::now(), wait);
                true
            }
            _ => {
                rotation.works(key);
                false
            }
        }
    }
}

impl<S, B> Service<Request<Payload>> for Credentials<S>
where
    S: Service<Request<Payload>, Response = Response<B>> + Clone,
    S::Error: Into<Error>,
{
    type Response = Response<B>;
    type Error = Error;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Payload>) -> ResponseFuture<S> {
        let key = self.shared.pick(&[]);
        // With one key there is no second try, and no copy of the request.
        let spare = (self.shared.keys.len() > 1).then(|| request.clone());
        self.shared.sign(&mut request, key);
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        ResponseFuture {
            call: inner.call(request),
            inner,
            shared: self.shared.clone(),
            key,
            tried: Vec::new(),
            spare,
            waiting: false,
        }
    }
}

pin_project! {
    /// Response future of [`Credentials`].
    pub struct ResponseFuture<S>
    where
        S: Service<Request<Payload>>,
    {
        #[pin]
        call: S::Future,
        inner: S,
        shared: Arc<Shared>,
        key: Option<usize>,
        tried: Vec<usize>,
        spare: Option<Request<Payload>>,
        // For the inner service, before it is called again.
        waiting: bool,
    }
}

impl<S: Service<Request<Payload>>> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("credentials::ResponseFuture").field("tried", &self.tried).finish_non_exhaustive()
    }
}

impl<S, B> Future for ResponseFuture<S>
where
    S: Service<Request<Payload>, Response = Response<B>>,
    S::Error: Into<Error>,
{
    type Output = Result<Response<B>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if *this.waiting {
                ready!(this.inner.poll_ready(cx)).map_err(Into::into)?;
                let Some(mut request) = this.spare.clone() else {
                    return Poll::Ready(Err(Error::Internal(BoxError::from("no request left to send"))));
                };
                this.shared.sign(&mut request, *this.key);
                this.call.set(this.inner.call(request));
                *this.waiting = false;
            }
            let response = ready!(this.call.as_mut().poll(cx)).map_err(Into::into)?;
            let another = this.shared.judge(*this.key, &response);
            if !another || this.spare.is_none() {
                return Poll::Ready(Ok(response));
            }
            this.tried.extend(*this.key);
            match this.shared.pick(this.tried) {
                Some(next) => {
                    *this.key = Some(next);
                    *this.waiting = true;
                }
                None => return Poll::Ready(Ok(response)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{Endpoint, Operation, Protocol};
    use tower::{ServiceExt, service_fn};

    fn request() -> Request<Payload> {
        let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
        Request::new(Payload::new(endpoint, r#"{"model":"m"}"#).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_key_costs_one_attempt_and_no_request() {
        let seen: Arc<Mutex<Vec<String>>> = Arc::default();
        let log = seen.clone();
        let service = CredentialsLayer::new(ApiType::OpenAi, ["dead", "alive"]).unwrap().layer(service_fn(
            move |request: Request<Payload>| {
                let key = request.headers()["authorization"].to_str().unwrap().to_owned();
                let status = if key.ends_with("dead") { 401 } else { 200 };
                log.lock().unwrap().push(key);
                std::future::ready(Ok::<_, Error>(Response::builder().status(status).body(()).unwrap()))
            },
        ));
        for _ in 0..3 {
            assert_eq!(service.clone().oneshot(request()).await.unwrap().status(), 200);
        }
        assert_eq!(*seen.lock().unwrap(), ["Bearer dead", "Bearer alive", "Bearer alive", "Bearer alive"]);
    }

    #[test]
    fn keys_do_not_print() {
        let layer = CredentialsLayer::new(ApiType::Anthropic, ["sk-secret"]).unwrap();
        assert!(!format!("{layer:?} {:?}", layer.shared.keys).contains("secret"));
        let error = CredentialsLayer::new(ApiType::Anthropic, ["sk-\nsecret"]).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret"));
    }
}
