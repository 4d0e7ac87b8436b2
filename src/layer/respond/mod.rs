//! Where errors become bytes: the outermost typed-error layer, after which nothing can fail.
//!
//! It learns the client's protocol from the path. A failure before the answer has begun is an HTTP error
//! in the client's own shape; if the failing upstream spoke the client's protocol, its body is relayed as
//! it is. A stream that fails after it began ends in the protocol's own error event and never in its
//! success marker (5.4); a document that is cut short aborts the connection, so truncation is never
//! mistaken for success.
//!
//! It also writes out in one go whatever pieces of a stream are at hand, and frames a Gemini stream as a
//! JSON array for clients that did not ask for `alt=sse`.

mod array;
mod body;

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::request_id::RequestId;
use super::trail::Trail;
use crate::content_encoding;
use crate::error::{BoxError, Error};
use crate::headers;
use crate::protocol::canonical::{ErrorView, FaultKind};
use crate::protocol::{ClientDialect, Endpoint, Protocol, render_error};

pub use body::ResponseBody;

/// Renders every error in the client's protocol.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CollectLayer, RespondLayer};
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response, StatusCode};
/// use http_body_util::BodyExt;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(RespondLayer::new())
///     .layer(CollectLayer::default())
///     .service(service_fn(|_: Request<Payload>| async { Err::<Response<Body>, _>(Error::Overloaded) }));
/// let request = Request::post("/v1/messages").body(r#"{"model":"m"}"#.to_owned()).unwrap();
/// let response = service.oneshot(request).await.unwrap();
/// assert_eq!(response.status().as_u16(), 529, "Anthropic's own status for overload");
/// let body = response.into_body().collect().await.unwrap().to_bytes();
/// assert!(body.starts_with(br#"{"type":"error","error":{"type":"overloaded_error""#));
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct RespondLayer {
    client_dialect: ClientDialect,
}

impl RespondLayer {
    /// Renders errors.
    #[must_use]
    pub fn new() -> Self {
        RespondLayer::default()
    }

    /// What clients want otherwise than their protocols say. Default: nothing.
    #[must_use]
    pub fn client_dialect(mut self, dialect: ClientDialect) -> Self {
        self.client_dialect = dialect;
        self
    }
}

impl<S> Layer<S> for RespondLayer {
    type Service = Respond<S>;

    fn layer(&self, inner: S) -> Respond<S> {
        Respond { inner, client_dialect: self.client_dialect, unready: None }
    }
}

/// See [`RespondLayer`].
pub struct Respond<S> {
    inner: S,
    client_dialect: ClientDialect,
    /// An error of the inner `poll_ready`, which the next call answers with.
    unready: Option<Error>,
}

impl<S: Clone> Clone for Respond<S> {
    fn clone(&self) -> Self {
        Respond { inner: self.inner.clone(), client_dialect: self.client_dialect, unready: None }
    }
}

impl<S: fmt::Debug> fmt::Debug for Respond<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Respond").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, Q, B> Service<Request<Q>> for Respond<S>
where
    S: Service<Request<Q>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Infallible;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if self.unready.is_none()
            && let Err(error) = ready!(self.inner.poll_ready(cx))
        {
            self.unready = Some(error.into());
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let path = request.uri().path();
        let protocol = Endpoint::protocol_of(path);
        let client = Client {
            protocol,
            dialect: self.client_dialect,
            json_array: protocol == Protocol::Gemini
                && path.contains(":stream")
                && Endpoint::parse(path, request.uri().query()).is_some_and(|endpoint| endpoint.json_array),
            trail: request.extensions().get::<Trail>().cloned(),
            request_id: request.extensions().get::<RequestId>().cloned(),
        };
        match self.unready.take() {
            Some(error) => ResponseFuture { inner: None, error: Some(error), client: Some(client) },
            None => {
                ResponseFuture { inner: Some(self.inner.call(request)), error: None, client: Some(client) }
            }
        }
    }
}

/// Whom to answer.
#[derive(Clone, Debug)]
struct Client {
    protocol: Protocol,
    dialect: ClientDialect,
    json_array: bool,
    trail: Option<Trail>,
    request_id: Option<RequestId>,
}

impl Client {
    fn note(&self, error: &Error) {
        if let Some(trail) = &self.trail {
            trail.lock().failure = Some(error.error_type());
        }
    }

    /// The error as this client is to see it.
    fn view(&self, error: &Error) -> ErrorView {
        let mut view = error.view();
        if view.request_id.is_none() {
            view.request_id = self.request_id.as_ref().map(RequestId::to_string);
        }
        view
    }
}

pin_project! {
    /// Response future of [`Respond`].
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Option<F>,
        error: Option<Error>,
        client: Option<Client>,
    }
}

impl<F> fmt::Debug for ResponseFuture<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("respond::ResponseFuture").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<ResponseBody<B>>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = match this.inner.as_pin_mut() {
            Some(inner) => ready!(inner.poll(cx)).map_err(Into::into),
            None => Err(this.error.take().unwrap_or(Error::Overloaded)),
        };
        let Some(client) = this.client.take() else { return Poll::Pending };
        Poll::Ready(Ok(match result {
            Ok(response) => answer(response, client),
            Err(error) => failure(&error, &client).map(ResponseBody::full),
        }))
    }
}

fn answer<B>(response: Response<B>, client: Client) -> Response<ResponseBody<B>> {
    let (mut head, body) = response.into_parts();
    headers::strip_response(&mut head.headers);
    // The upstream's version is its own connection's.
    head.version = Version::HTTP_11;
    if !headers::is_event_stream(&head.headers) {
        return Response::from_parts(head, ResponseBody::document(body));
    }
    // Nothing between here and the client may hold a stream back (T020).
    let content_type = if client.json_array {
        "application/json; charset=utf-8"
    } else {
        "text/event-stream; charset=utf-8"
    };
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    head.headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    head.headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Response::from_parts(head, ResponseBody::stream(body, client))
}

/// When a client may come back if nobody knows better: its own first retries would come too soon to be of use. What an
/// upstream has said about that, or has not, is left as it is.
const SOON: Duration = Duration::from_secs(5);

/// The HTTP error for a failure before the answer began.
fn failure(error: &Error, client: &Client) -> Response<Bytes> {
    client.note(error);
    if let Error::Internal(source) = error {
        tracing::error!(%source, "internal error");
    }
    let mut view = client.view(error);
    if !error.is_hopeless() && !matches!(error, Error::Upstream(_)) {
        view.retry_after.get_or_insert(SOON);
    }
    let (status, body) = match error {
        // The upstream's own words, if the client speaks its language.
        Error::Upstream(answer)
            if answer.protocol == client.protocol
                && !answer.is_credential()
                && is_error_body(&answer.body) =>
        {
            (answer.status.as_u16(), answer.body.clone())
        }
        _ => {
            let (status, body) = render_error(client.protocol, &view);
            (status, Bytes::from(body))
        }
    };
    let status = if status == 529 && client.dialect.no_529 { 503 } else { status };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    if let Error::Upstream(answer) = error {
        if answer.protocol == client.protocol && !answer.is_credential() {
            headers.extend(answer.headers.iter().map(|(name, value)| (name.clone(), value.clone())));
        } else if let Some(id) = headers::request_id(&answer.headers) {
            headers.insert(headers::UPSTREAM_REQUEST_ID, id.clone());
        }
    }
    if error.is_hopeless() {
        // An upstream that has said something else knows better.
        headers.entry("x-should-retry").or_insert(HeaderValue::from_static("false"));
    }
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // What RFC 9110 demands beside these.
    let beside = match status {
        401 => Some((header::WWW_AUTHENTICATE, "Bearer")),
        405 => Some((header::ALLOW, "POST")),
        // An upstream's 415 is of another matter.
        415 if view.kind == FaultKind::Encoding => Some((header::ACCEPT_ENCODING, content_encoding::TAKEN)),
        426 => Some((header::UPGRADE, "HTTP/1.1")),
        _ => None,
    };
    if let Some((name, value)) = beside {
        headers.insert(name, HeaderValue::from_static(value));
    }
    retry_hints(headers, &view, client.protocol);
    response
}

fn retry_hints(headers: &mut HeaderMap, view: &ErrorView, protocol: Protocol) {
    let Some(wait) = view.retry_after else { return };
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    if matches!(protocol, Protocol::OpenAi | Protocol::Responses) {
        headers.insert("retry-after-ms", HeaderValue::from(wait.as_millis() as u64));
    }
}

/// Whether an upstream's error body is JSON; a CDN's HTML page never reaches a client (T170).
fn is_error_body(body: &[u8]) -> bool {
    crate::protocol::json::members(body, ["error"]).is_ok_and(|members| members.spans[0].is_some())
}
