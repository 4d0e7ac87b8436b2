//! Tells success from failure: `Ok` only once an answer has really begun.
//!
//! An upstream may say 200 and then fail: an error object as the body, an error as the first event, an
//! empty stream. For a stream, `Ok` comes after the first event that means something to the client
//! (a part begins, or a finish; openings, roles and pings do not count, section 3.3); for a JSON document,
//! after all of it has arrived. What was read up to there is held, within bounds, and sent first.
//! Afterwards it goes on watching: a stream that ends without its terminal event ends in an error
//! (T021), never in silence.
//!
//! Only who reads the events can tell content from signs of life, so the clocks on content are here: pings, comments and
//! empty deltas stop none of them, text, reasoning and calls do.
//!
//! Innermost but for the clocks, so that credentials, breaker, failover and metrics all see one kind of
//! failure.

mod body;
mod future;
mod gather;
mod pieces;
mod watch;

#[cfg(test)]
mod clock_tests;

use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use tower::{Layer, Service};

use crate::error::{BoxError, Error};
use crate::layer::request_id::RequestId;
use crate::layer::tally::Tally;
use crate::payload::Payload;
use crate::protocol::ClientDialect;

use future::Asked;

pub use body::ResponseBody;
pub use future::ResponseFuture;

/// Turns error answers, errors in disguise and broken streams into `Err`.
///
/// # Errors
///
/// [`Error::Upstream`] for an error answer, [`Error::Codec`] for what is no answer at all, and as the
/// end of a body that breaks off; [`Error::Timeout`] where content is long in coming.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{ClassifyLayer, CollectLayer};
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(ClassifyLayer::new())
///     .service(service_fn(|_: Request<Payload>| async {
///         let disguised = br#"{"error":{"message":"overloaded","type":"server_error"}}"#.to_vec();
///         let response = Response::builder().header("content-type", "application/json").body(Body::from(disguised));
///         Ok::<_, Error>(response.unwrap())
///     }));
/// let request = Request::post("/v1/chat/completions").body(r#"{"model":"m"}"#.to_owned()).unwrap();
/// assert!(matches!(service.oneshot(request).await, Err(Error::Upstream(_))));
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct ClassifyLayer {
    limit: usize,
    hold: usize,
    first_content: Option<Duration>,
    content_gap: Option<Duration>,
    client_dialect: ClientDialect,
}

impl ClassifyLayer {
    /// Holds JSON answers of up to 64 MiB, and 16 MiB of what comes before a stream's first content, for any time.
    #[must_use]
    pub fn new() -> Self {
        ClassifyLayer {
            limit: 64 << 20,
            hold: 16 << 20,
            first_content: None,
            content_gap: None,
            client_dialect: ClientDialect::default(),
        }
    }

    /// Most bytes of a JSON answer. Default: 64 MiB.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Most bytes of a stream to hold before its content begins. Default: 16 MiB.
    #[must_use]
    pub fn hold(mut self, bytes: usize) -> Self {
        self.hold = bytes;
        self
    }

    /// Most time from the request to the first content of a stream. Default: none.
    #[must_use]
    pub fn first_content(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.first_content = most.into();
        self
    }

    /// Most time between two pieces of content in a stream. Default: none.
    #[must_use]
    pub fn content_gap(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.content_gap = most.into();
        self
    }

    /// What clients of the upstream's own protocol want at the end of a broken stream. Default: nothing special.
    #[must_use]
    pub fn client_dialect(mut self, dialect: ClientDialect) -> Self {
        self.client_dialect = dialect;
        self
    }
}

impl Default for ClassifyLayer {
    fn default() -> Self {
        ClassifyLayer::new()
    }
}

impl<S> Layer<S> for ClassifyLayer {
    type Service = Classify<S>;

    fn layer(&self, inner: S) -> Classify<S> {
        Classify { inner, settings: *self }
    }
}

/// See [`ClassifyLayer`].
#[derive(Clone, Debug)]
pub struct Classify<S> {
    inner: S,
    settings: ClassifyLayer,
}

impl<S, B> Service<Request<Payload>> for Classify<S>
where
    S: Service<Request<Payload>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<ResponseBody<B>>;
    type Error = Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        let asked = Asked {
            protocol: request.body().protocol(),
            operation: request.body().operation(),
            is_stream: request.body().stream(),
            request_id: request.extensions().get::<RequestId>().cloned(),
            tally: request.extensions().get::<Tally>().cloned().unwrap_or_default(),
        };
        asked.tally.lock().is_kept = true;
        ResponseFuture::new(self.inner.call(request), asked, self.settings)
    }
}
