//! Puts an upstream's API key on the request: one, or several in rotation.
//!
//! A key that the upstream refuses (401, 402, 403) or limits (429) rests, and the next one is tried in the same attempt: a
//! dead key among five does not cost every fifth request a failure. Which failures are a key's, and of all models or one,
//! [`Error::scope`] says.
//!
//! Around [`Classify`](super::Classify), which reads the refusals, and around the clocks, so that every key has clocks of
//! its own; inside everything else.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tokio::time::Instant;
use tower::{Layer, Service};

use super::failover::worse;
use super::health::{Health, Permit, Watched};
use super::trail::Trail;
use crate::error::{BoxError, Error, Scope};
use crate::headers::CREDENTIALS;
use crate::payload::Payload;
use crate::upstream::ApiType;

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
    keys: Arc<Keys>,
    health: Health,
}

struct Keys {
    api: ApiType,
    /// Ready to send; marked sensitive, so that they print as `Sensitive`.
    values: Vec<HeaderValue>,
}

impl CredentialsLayer {
    /// Uses `keys` in rotation; none is allowed, for upstreams on this machine that need none.
    ///
    /// # Errors
    ///
    /// If a key holds characters that no header can carry. The message does not tell the key.
    pub fn new<K: AsRef<str>>(api: ApiType, keys: impl IntoIterator<Item = K>) -> Result<Self, Error> {
        let values = keys
            .into_iter()
            .map(|key| api.credential(key.as_ref()))
            .collect::<Option<Vec<HeaderValue>>>()
            .ok_or_else(|| {
                Error::Internal("an upstream key holds characters that no header can carry".into())
            })?;
        let health = Health::new(Watched { keys: values.len(), ..Watched::default() });
        Ok(CredentialsLayer { keys: Arc::new(Keys { api, values }), health })
    }

    /// Tells this health how the keys fare, so that whoever shares it knows when all of them rest. Default: one of its own.
    #[must_use]
    pub fn health(mut self, health: Health) -> Self {
        self.health = health;
        self
    }
}

impl fmt::Debug for CredentialsLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CredentialsLayer")
            .field("api", &self.keys.api)
            .field("keys", &self.keys.values.len())
            .finish()
    }
}

impl<S> Layer<S> for CredentialsLayer {
    type Service = Credentials<S>;

    fn layer(&self, inner: S) -> Credentials<S> {
        Credentials { inner, keys: self.keys.clone(), health: self.health.clone() }
    }
}

/// See [`CredentialsLayer`].
#[derive(Clone)]
pub struct Credentials<S> {
    inner: S,
    keys: Arc<Keys>,
    health: Health,
}

impl<S: fmt::Debug> fmt::Debug for Credentials<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl Keys {
    fn sign(&self, request: &mut Request<Payload>, key: Option<usize>) {
        for name in &CREDENTIALS {
            request.headers_mut().remove(name);
        }
        if let Some(value) = key.and_then(|key| self.values.get(key)) {
            request.headers_mut().insert(self.api.credential_header(), value.clone());
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
        let clone = self.inner.clone();
        let mut inner = std::mem::replace(&mut self.inner, clone);
        let model = request.body().shared_model();
        let (mut permit, mut failure, mut call, mut again) = (None, None, None, None);
        match self.keys.values.len() {
            0 => {
                self.keys.sign(&mut request, None);
                call = Some(inner.call(request));
            }
            keys => match self.health.next_key(keys, &model, Instant::now(), &[]) {
                Ok(next) => {
                    // With one key there is no second try, and no copy of the request.
                    let spare = (keys > 1).then(|| request.clone());
                    self.keys.sign(&mut request, next.key());
                    call = Some(inner.call(request));
                    permit = Some(next);
                    again = spare.map(|request| Box::new(Again { request, inner, tried: Vec::new() }));
                }
                Err(until) => failure = Some(resting(until)),
            },
        }
        let (keys, health) = (self.keys.clone(), self.health.clone());
        ResponseFuture { call, keys, health, model, permit, again, failure }
    }
}

fn resting(until: Option<Instant>) -> Error {
    Error::Unavailable { retry_after: until.map(|until| until.saturating_duration_since(Instant::now())) }
}

pin_project! {
    /// Response future of [`Credentials`].
    pub struct ResponseFuture<S>
    where
        S: Service<Request<Payload>>,
    {
        // None before the next key is tried.
        #[pin]
        call: Option<S::Future>,
        keys: Arc<Keys>,
        health: Health,
        model: Arc<str>,
        permit: Option<Permit>,
        again: Option<Box<Again<S>>>,
        failure: Option<Error>,
    }
}

/// What it takes to ask with another key.
struct Again<S> {
    request: Request<Payload>,
    inner: S,
    tried: Vec<usize>,
}

impl<S: Service<Request<Payload>>> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tried = self.again.as_ref().map(|again| &again.tried);
        f.debug_struct("credentials::ResponseFuture").field("tried", &tried).finish_non_exhaustive()
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
            if let Some(call) = this.call.as_mut().as_pin_mut() {
                let outcome = ready!(call.poll(cx)).map_err(Into::into);
                let permit = this.permit.take();
                let error = match outcome {
                    Ok(response) => {
                        permit.into_iter().for_each(Permit::success);
                        return Poll::Ready(Ok(response));
                    }
                    Err(error) => error,
                };
                this.call.set(None);
                let key = permit.as_ref().and_then(Permit::key);
                if let Some(permit) = permit {
                    permit.failure(&error);
                }
                let is_keys = matches!(error.scope(), Some(Scope::Key | Scope::KeyModel));
                let (position, outcome) = (key.map(|key| key + 1), error.error_type());
                *this.failure = Some(worse(this.failure.take(), error));
                if !is_keys {
                    *this.again = None;
                } else if let Some(again) = this.again {
                    tracing::debug!(key = position, outcome, "a key was refused or limited");
                    again.tried.extend(key);
                }
            }
            // Another key may do better.
            let Some(again) = this.again else {
                let error = this.failure.take();
                return Poll::Ready(Err(
                    error.unwrap_or_else(|| Error::Internal(BoxError::from("polled after its end")))
                ));
            };
            if this.permit.is_none() {
                let keys = this.keys.values.len();
                match this.health.next_key(keys, this.model, Instant::now(), &again.tried) {
                    Ok(next) => *this.permit = Some(next),
                    Err(until) => return Poll::Ready(Err(worse(this.failure.take(), resting(until)))),
                }
                // Keys and upstreams have one ceiling.
                let attempts = again.request.extensions().get::<Trail>().map(Trail::attempts);
                if attempts.is_some_and(|attempts| !attempts.add()) {
                    return Poll::Ready(Err(this.failure.take().unwrap_or(Error::Overloaded)));
                }
            }
            ready!(again.inner.poll_ready(cx)).map_err(Into::into)?;
            let mut request = again.request.clone();
            this.keys.sign(&mut request, this.permit.as_ref().and_then(Permit::key));
            this.call.set(Some(again.inner.call(request)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UpstreamError;
    use crate::protocol::{Endpoint, Operation, Protocol};
    use bytes::Bytes;
    use http::{HeaderMap, StatusCode};
    use std::collections::HashMap;
    use std::sync::Mutex;
    use std::time::Duration;
    use tower::{ServiceExt, service_fn};

    type Asked = Arc<Mutex<Vec<String>>>;

    /// A service that answers each key with its own status and `retry-after`; 0 is a stall.
    fn upstream<const N: usize>(
        answers: [(&'static str, u16, Option<u64>); N],
    ) -> (
        Credentials<
            impl Service<Request<Payload>, Response = Response<()>, Error = Error, Future: Send>
            + Clone
            + Send
            + 'static,
        >,
        Asked,
    ) {
        let asked = Asked::default();
        let log = asked.clone();
        let statuses: HashMap<String, (u16, Option<u64>)> =
            answers.iter().map(|(key, status, wait)| (format!("Bearer {key}"), (*status, *wait))).collect();
        let service = service_fn(move |request: Request<Payload>| {
            let key = request.headers()["authorization"].to_str().unwrap().to_owned();
            let (status, wait) = statuses[&key];
            log.lock().unwrap().push(key.replace("Bearer ", ""));
            async move {
                match status {
                    0 => std::future::pending().await,
                    200 => Ok(Response::new(())),
                    _ => Err(refusal(status, wait)),
                }
            }
        });
        let layer = CredentialsLayer::new(ApiType::OpenAi, answers.map(|(key, ..)| key)).unwrap();
        (layer.layer(service), asked)
    }

    fn refusal(status: u16, wait: Option<u64>) -> Error {
        let headers = wait.map(|wait| (http::header::RETRY_AFTER, HeaderValue::from(wait)));
        let (headers, status) = (HeaderMap::from_iter(headers), StatusCode::from_u16(status).unwrap());
        Error::Upstream(Box::new(UpstreamError::new(Protocol::OpenAi, status, headers, Bytes::from("{}"))))
    }

    fn request(model: &str) -> Request<Payload> {
        let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
        Request::new(Payload::new(endpoint, format!(r#"{{"model":"{model}"}}"#)).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn a_dead_key_costs_one_attempt_and_no_request() {
        for status in [401, 402, 403, 429] {
            let (service, asked) = upstream([("dead", status, None), ("alive", 200, None)]);
            for _ in 0..3 {
                service.clone().oneshot(request("m")).await.unwrap();
            }
            assert_eq!(*asked.lock().unwrap(), ["dead", "alive", "alive", "alive"], "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_that_one_model_is_refused_to_serves_the_others() {
        for (status, serves_others) in [(401, false), (402, false), (403, true), (429, true)] {
            let (service, asked) = upstream([("first", status, Some(60)), ("second", 200, None)]);
            service.clone().oneshot(request("m")).await.unwrap();
            asked.lock().unwrap().clear();
            for _ in 0..2 {
                service.clone().oneshot(request("other")).await.unwrap();
            }
            assert_eq!(asked.lock().unwrap().contains(&"first".to_owned()), serves_others, "{status}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_upstreams_own_failure_is_no_keys() {
        let (service, asked) = upstream([("first", 500, None), ("second", 500, None)]);
        for _ in 0..4 {
            assert!(matches!(service.clone().oneshot(request("m")).await, Err(Error::Upstream(_))));
        }
        assert_eq!(*asked.lock().unwrap(), ["first", "second", "first", "second"]);
        assert!(service.health.report().is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn when_every_key_is_limited_the_soonest_return_is_told() {
        let (service, asked) = upstream([("first", 429, Some(5)), ("second", 429, Some(60))]);
        let error = service.clone().oneshot(request("m")).await.unwrap_err();
        assert_eq!(
            (error.error_type(), error.retry_after()),
            ("upstream_rate_limit", Some(Duration::from_secs(5)))
        );
        let error = service.clone().oneshot(request("m")).await.unwrap_err();
        assert_eq!(
            (error.error_type(), error.retry_after()),
            ("gateway_no_upstream", Some(Duration::from_secs(5)))
        );
        assert_eq!(asked.lock().unwrap().len(), 2, "nobody is asked while all rest");
        tokio::time::advance(Duration::from_secs(5)).await;
        let error = service.clone().oneshot(request("m")).await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(5)));
        assert_eq!(asked.lock().unwrap().last().unwrap(), "first");
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_key_rests_only_after_failures_in_a_row() {
        let (service, asked) = upstream([("only", 401, None)]);
        for _ in 0..5 {
            service.clone().oneshot(request("m")).await.unwrap_err();
        }
        assert_eq!(asked.lock().unwrap().len(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_leaves_returns_the_probe_of_a_key() {
        let (service, asked) = upstream([("slow", 0, None)]);
        let permit = |now| service.health.next_key(1, &Arc::from("m"), now, &[]).ok().unwrap();
        for _ in 0..3 {
            permit(Instant::now()).failure(&refusal(401, None));
        }
        assert!(service.clone().oneshot(request("m")).await.is_err(), "it rests");
        tokio::time::advance(Duration::from_secs(30 * 60)).await;
        for probes in 1..3 {
            let probe = tokio::spawn(service.clone().oneshot(request("m")));
            tokio::task::yield_now().await;
            assert!(service.clone().oneshot(request("m")).await.is_err(), "one probe, not two");
            probe.abort();
            assert!(probe.await.is_err());
            assert_eq!(asked.lock().unwrap().len(), probes);
        }
    }

    #[test]
    fn keys_do_not_print() {
        let layer = CredentialsLayer::new(ApiType::Anthropic, ["sk-secret"]).unwrap();
        assert!(!format!("{layer:?} {:?}", layer.keys.values).contains("secret"));
        let error = CredentialsLayer::new(ApiType::Anthropic, ["sk-\nsecret"]).unwrap_err();
        assert!(!format!("{error:?} {error}").contains("secret"));
    }
}
