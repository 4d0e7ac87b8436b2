//! Makes a streaming-only upstream look like an ordinary one.
//!
//! A request that wants one document is sent as a stream and the stream is folded back, on the
//! upstream's native events, where unknown fields survive. Under Translate, because "streams only" is a
//! property of the upstream. Folding happens before commit, so a stream that dies half way can still
//! fail over. An upstream that streams although nobody asked is folded likewise, and an answer that may take
//! longer than connections stay open in silence can be streamed for that reason (section 4).

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Request, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use crate::body::Body as OutBody;
use crate::error::{BoxError, Error};
use crate::headers;
use crate::payload::Payload;
use crate::protocol::canonical::ErrorView;
use crate::protocol::{Aggregator, Operation, Protocol, sse};

/// Folds streams into documents for clients that want one.
///
/// # Errors
///
/// [`Error::Codec`] if the stream reports an error, ends too early or outgrows the limit.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CollectLayer, MustStreamLayer};
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response};
/// use http_body_util::BodyExt;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(MustStreamLayer::always())
///     .service(service_fn(|request: Request<Payload>| async move {
///         assert!(request.body().stream(), "the upstream is asked for a stream");
///         let chunk = r#"data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[{"index":0,"delta":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}]}"#;
///         let stream = format!("{chunk}\n\ndata: [DONE]\n\n");
///         Ok::<_, Error>(Response::builder().header("content-type", "text/event-stream").body(Body::from(stream.into_bytes())).unwrap())
///     }));
/// let request = Request::post("/v1/chat/completions").body(r#"{"model":"m"}"#.to_owned()).unwrap();
/// let answer = service.oneshot(request).await?.into_body().collect().await?.to_bytes();
/// assert!(String::from_utf8_lossy(&answer).contains(r#""content":"Hi""#));
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct MustStreamLayer {
    streams: Streams,
    limit: usize,
}

/// What is asked for as a stream although the client wants a document.
#[derive(Clone, Copy, Debug)]
enum Streams {
    All,
    /// Translated requests whose answers may have more tokens than this.
    Above(u64),
    None,
}

impl Streams {
    fn takes(self, payload: &Payload) -> bool {
        match self {
            Streams::All => true,
            Streams::Above(limit) => payload.written_max_tokens().is_some_and(|tokens| tokens > limit),
            Streams::None => false,
        }
    }
}

impl MustStreamLayer {
    fn new(streams: Streams) -> Self {
        MustStreamLayer { streams, limit: 64 << 20 }
    }

    /// Most bytes of a stream that is folded. Default: 64 MiB.
    #[must_use]
    pub fn limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Asks the upstream for a stream, always.
    #[must_use]
    pub fn always() -> Self {
        MustStreamLayer::new(Streams::All)
    }

    /// Asks the upstream for a stream where the answer may have more than so many tokens, by the `max_tokens` of
    /// Anthropic and Chat, of requests that were translated: those of the upstream's own protocol arrive as they were
    /// sent.
    #[must_use]
    pub fn above(tokens: u64) -> Self {
        MustStreamLayer::new(Streams::Above(tokens))
    }

    /// Folds only what streams although nobody asked.
    #[must_use]
    pub fn when_it_streams() -> Self {
        MustStreamLayer::new(Streams::None)
    }
}

impl<S> Layer<S> for MustStreamLayer {
    type Service = MustStream<S>;

    fn layer(&self, inner: S) -> MustStream<S> {
        MustStream { inner, settings: *self }
    }
}

/// See [`MustStreamLayer`].
#[derive(Clone, Debug)]
pub struct MustStream<S> {
    inner: S,
    settings: MustStreamLayer,
}

impl<S, B> Service<Request<Payload>> for MustStream<S>
where
    S: Service<Request<Payload>, Response = Response<B>>,
    S::Error: Into<Error>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Response = Response<OutBody>;
    type Error = Error;
    type Future = ResponseFuture<S::Future, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Payload>) -> Self::Future {
        let payload = request.body_mut();
        let protocol = payload.protocol();
        let folds = payload.operation() == Operation::Generate && !payload.stream();
        if folds && self.settings.streams.takes(payload) {
            payload.set_stream(true);
            payload.set_include_usage();
        }
        ResponseFuture {
            inner: self.inner.call(request),
            limit: self.settings.limit,
            protocol: folds.then_some(protocol),
            folding: None,
        }
    }
}

pin_project! {
    /// Response future of [`MustStream`].
    pub struct ResponseFuture<F, B> {
        #[pin]
        inner: F,
        limit: usize,
        // None: the client wants the answer as it comes.
        protocol: Option<Protocol>,
        // Boxed because most answers need none, and everybody moves it about.
        folding: Option<Box<Folding<B>>>,
    }
}

struct Folding<B> {
    head: http::response::Parts,
    // Boxed because it is polled here after it came out of the inner future.
    body: Pin<Box<B>>,
    fold: Fold,
}

impl<F, B> fmt::Debug for ResponseFuture<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("must_stream::ResponseFuture")
            .field("protocol", &self.protocol)
            .finish_non_exhaustive()
    }
}

impl<F, B, E> Future for ResponseFuture<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Error>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<OutBody>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut folding = match this.folding.take() {
            Some(folding) => folding,
            None => {
                let response = ready!(this.inner.poll(cx)).map_err(Into::into)?;
                match *this.protocol {
                    Some(protocol) if headers::is_event_stream(response.headers()) => {
                        let (head, body) = response.into_parts();
                        Box::new(Folding {
                            head,
                            body: Box::pin(body),
                            fold: Fold::new(protocol, *this.limit),
                        })
                    }
                    _ => return Poll::Ready(Ok(response.map(OutBody::new))),
                }
            }
        };
        loop {
            match folding.body.as_mut().poll_frame(cx) {
                Poll::Pending => {
                    *this.folding = Some(folding);
                    return Poll::Pending;
                }
                Poll::Ready(Some(Ok(frame))) => {
                    if let Some(data) = frame.data_ref() {
                        folding.fold.push(data)?;
                    }
                }
                // Nothing has gone to the client: it is the plain failure again.
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(before_commit(Error::of(error)))),
                Poll::Ready(None) => {
                    let bytes = folding.fold.finish()?;
                    let mut head = folding.head;
                    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                    return Poll::Ready(Ok(Response::from_parts(head, OutBody::from(bytes))));
                }
            }
        }
    }
}

fn before_commit(error: Error) -> Error {
    match error {
        Error::Stream { error, .. } => *error,
        error => error,
    }
}

/// The pure part: frames in, a document out.
struct Fold {
    decoder: sse::Decoder,
    aggregator: Aggregator,
    failure: Option<ErrorView>,
    room: usize,
}

impl Fold {
    fn new(protocol: Protocol, room: usize) -> Self {
        Fold { decoder: sse::Decoder::default(), aggregator: Aggregator::new(protocol), failure: None, room }
    }

    fn push(&mut self, data: &[u8]) -> Result<(), Error> {
        self.room = self
            .room
            .checked_sub(data.len())
            .ok_or_else(|| Error::codec("the upstream's stream is too large"))?;
        let (aggregator, failure) = (&mut self.aggregator, &mut self.failure);
        self.decoder
            .push(data, |event| take(aggregator, failure, &event))
            .map_err(|long| Error::codec(long.to_string()))?;
        self.failure.take().map_or(Ok(()), |view| Err(Error::Codec(Box::new(view))))
    }

    fn finish(mut self) -> Result<Vec<u8>, Error> {
        let (aggregator, failure) = (&mut self.aggregator, &mut self.failure);
        self.decoder.finish(|event| take(aggregator, failure, &event));
        if let Some(view) = self.failure {
            return Err(Error::Codec(Box::new(view)));
        }
        self.aggregator.finish().map_err(|view| Error::Codec(Box::new(view)))
    }
}

fn take(aggregator: &mut Aggregator, failure: &mut Option<ErrorView>, event: &sse::Event<'_>) {
    if failure.is_none() {
        *failure = aggregator.event(event).err();
    }
}
