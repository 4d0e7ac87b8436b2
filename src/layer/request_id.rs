//! A name for each request, by which a client and the log of the gateway speak of the same one.
//!
//! The client's own `x-request-id` is kept. An answer that has the upstream's id keeps that under its usual name:
//! it is what the provider's support asks for.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::headers::{ANTHROPIC_REQUEST_ID, REQUEST_ID, request_id};
use crate::protocol::{Endpoint, Protocol};
use crate::seeds::Seeds;

/// Longer ids of clients are replaced.
const LONGEST: usize = 64;

/// Names each request, and its answer in the header that the client's SDK looks at: `request-id` for Anthropic's,
/// else `x-request-id` (5.3).
///
/// # Example
///
/// ```
/// use aiproxy::layer::RequestIdLayer;
/// use http::{Request, Response};
/// use std::convert::Infallible;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(RequestIdLayer::new())
///     .service(service_fn(|_: Request<()>| async { Ok::<_, Infallible>(Response::new(())) }));
/// let response = service.oneshot(Request::post("/v1/messages").body(()).unwrap()).await.unwrap();
/// assert!(response.headers()["request-id"].to_str().unwrap().starts_with("req_"));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct RequestIdLayer {
    seeds: Arc<Seeds>,
}

impl RequestIdLayer {
    /// Names requests.
    #[must_use]
    pub fn new() -> Self {
        RequestIdLayer::default()
    }
}

impl<S> Layer<S> for RequestIdLayer {
    type Service = SetRequestId<S>;

    fn layer(&self, inner: S) -> SetRequestId<S> {
        SetRequestId { inner, seeds: self.seeds.clone() }
    }
}

/// See [`RequestIdLayer`].
#[derive(Clone, Debug)]
pub struct SetRequestId<S> {
    inner: S,
    seeds: Arc<Seeds>,
}

/// In the extensions of a request: its name. One of the gateway's own is written out only where it is shown.
#[derive(Clone, Debug)]
pub(super) enum RequestId {
    Given(HeaderValue),
    Made(u64),
}

impl RequestId {
    /// The client's own, if it is one that a log line can show.
    fn given(headers: &HeaderMap) -> Option<Self> {
        let id = headers.get(REQUEST_ID)?;
        let is_fit = (1..=LONGEST).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic);
        is_fit.then(|| RequestId::Given(id.clone()))
    }

    fn into_header(self) -> HeaderValue {
        match self {
            RequestId::Given(id) => id,
            made @ RequestId::Made(_) => {
                HeaderValue::try_from(made.to_string()).unwrap_or(HeaderValue::from_static("req"))
            }
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestId::Given(id) => f.write_str(id.to_str().unwrap_or_default()),
            RequestId::Made(seed) => write!(f, "req_{seed:016x}"),
        }
    }
}

impl<S, Q, B> Service<Request<Q>> for SetRequestId<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
{
    type Response = Response<B>;
    type Error = S::Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<Q>) -> Self::Future {
        let id = RequestId::given(request.headers()).unwrap_or_else(|| RequestId::Made(self.seeds.next()));
        let name = match Endpoint::protocol_of(request.uri().path()) {
            Protocol::Anthropic => ANTHROPIC_REQUEST_ID,
            Protocol::OpenAi | Protocol::Responses | Protocol::Gemini => REQUEST_ID,
        };
        request.extensions_mut().insert(id.clone());
        ResponseFuture { inner: self.inner.call(request), id: Some((name, id)) }
    }
}

pin_project! {
    /// Response future of [`SetRequestId`].
    pub struct ResponseFuture<F> {
        #[pin]
        inner: F,
        id: Option<(HeaderName, RequestId)>,
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("request_id::ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
{
    type Output = Result<Response<B>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut response = ready!(this.inner.poll(cx))?;
        let headers = response.headers_mut();
        if let Some((name, id)) = this.id.take()
            && request_id(headers).is_none()
        {
            headers.insert(name, id.into_header());
        }
        Poll::Ready(Ok(response))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use tower::{ServiceExt, service_fn};

    /// The ids of an answer, and the one that the inside has seen.
    async fn ids(path: &str, given: Option<&str>, upstreams: Option<&'static str>) -> (HeaderMap, String) {
        let service = RequestIdLayer::new().layer(service_fn(|request: Request<()>| async move {
            let seen = request.extensions().get::<RequestId>().unwrap().to_string();
            let mut response = Response::new(seen);
            if let Some(id) = upstreams {
                response.headers_mut().insert("request-id", HeaderValue::from_static(id));
            }
            Ok::<_, Infallible>(response)
        }));
        let mut request = Request::post(path).body(()).unwrap();
        if let Some(given) = given {
            request.headers_mut().insert("x-request-id", given.parse().unwrap());
        }
        let response = service.oneshot(request).await.unwrap();
        (response.headers().clone(), response.into_body())
    }

    #[tokio::test]
    async fn an_answer_has_an_id_where_the_sdk_looks() {
        for (path, name) in [
            ("/v1/messages", "request-id"),
            ("/v1/chat/completions", "x-request-id"),
            ("/v1beta/models/m:generateContent", "x-request-id"),
        ] {
            let (headers, seen) = ids(path, None, None).await;
            assert_eq!((headers.len(), headers[name].to_str().unwrap()), (1, &*seen), "{path}");
            let (headers, seen) = ids(path, Some("mine-7"), None).await;
            assert_eq!((headers[name].to_str().unwrap(), &*seen), ("mine-7", "mine-7"), "{path}");
            // The provider's own stays the only one.
            let (headers, _) = ids(path, Some("mine-7"), Some("req_up")).await;
            assert_eq!((headers.len(), &headers["request-id"]), (1, &HeaderValue::from_static("req_up")));
        }
    }

    #[tokio::test]
    async fn an_id_that_a_log_line_could_not_bear_is_replaced() {
        for given in ["", "a b", "a\tb", &"x".repeat(65)] {
            let (_, seen) = ids("/v1/messages", Some(given), None).await;
            assert!(seen.starts_with("req_"), "{given:?}: {seen}");
        }
        let service = RequestIdLayer::new();
        assert_ne!(service.seeds.next(), service.seeds.next());
    }
}
