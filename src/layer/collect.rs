//! Reads the request body once and looks into it: `Request<B>` becomes `Request<Payload>`.
//!
//! A body that comes compressed (`content-encoding`: gzip, deflate, br or zstd) is decoded as it arrives; from
//! here inward there are only plain ones.
//!
//! Stands after keys and limits, so that nothing is buffered for a stranger, and outside everything
//! that must know the model or replay the body.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, header};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::prompt_preview;
use super::trail::Trail;
use crate::content_encoding::{Decoder, Refusal};
use crate::error::{BoxError, Error};
use crate::joined::Joined;
use crate::payload::Payload;
use crate::protocol::Endpoint;
use crate::protocol::canonical::FaultKind;
use crate::silence::Silence;

/// Reads request bodies up to a limit, in bytes; of a compressed one, both forms are held to it.
///
/// # Errors
///
/// 404, 405 and 426 for what no endpoint serves, 408 for a body that is too slow in coming, 413 above the limit, 415 for a coding that is not read, 400
/// for a body that cannot be decoded or is no JSON object with a model.
///
/// # Example
///
/// ```
/// use aiproxy::layer::CollectLayer;
/// use aiproxy::{Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::new(8 << 20))
///     .service(service_fn(|request: Request<Payload>| async move {
///         Ok::<_, Error>(Response::new(request.body().model().to_owned()))
///     }));
/// let request = Request::post("/v1/messages").body(r#"{"model":"claude"}"#.to_owned()).unwrap();
/// assert_eq!(service.oneshot(request).await?.into_body(), "claude");
/// # Ok(()) }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct CollectLayer {
    limit: usize,
    timeout: Option<Duration>,
    preview: usize,
}

impl CollectLayer {
    /// Bodies of at most `limit` bytes.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        CollectLayer { limit, timeout: None, preview: 0 }
    }

    /// In each such time some of the body must come: 16 KiB at least, or the rest of it. So large bodies may take their
    /// time, and nobody is served who sends a byte now and then. Default: none.
    #[must_use]
    pub fn timeout(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.timeout = most.into();
        self
    }

    /// Logs at most so many characters of each prompt, at debug. Default 0: none.
    #[must_use]
    pub fn prompt_preview(mut self, characters: usize) -> Self {
        self.preview = characters;
        self
    }
}

impl Default for CollectLayer {
    /// 64 MiB: twice what the largest provider takes, for PDFs and images in base64.
    fn default() -> Self {
        CollectLayer::new(64 << 20)
    }
}

impl<S> Layer<S> for CollectLayer {
    type Service = Collect<S>;

    fn layer(&self, inner: S) -> Collect<S> {
        Collect { inner, settings: *self }
    }
}

/// See [`CollectLayer`].
#[derive(Clone, Debug)]
pub struct Collect<S> {
    inner: S,
    settings: CollectLayer,
}

impl<S, B, R> Service<Request<B>> for Collect<S>
where
    S: Service<Request<Payload>, Response = Response<R>> + Clone,
    S::Error: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Response = Response<R>;
    type Error = Error;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> ResponseFuture<S, B> {
        let (mut parts, body) = request.into_parts();
        let limit = self.settings.limit;
        let too_large = body.size_hint().lower() > limit as u64;
        let start = match endpoint(&parts) {
            Err(error) => Err(error),
            Ok(_) if too_large => Err(too_long(limit)),
            Ok(_) if !is_framed(&parts) => {
                Err(Error::request(FaultKind::InvalidRequest, "transfer-encoding: must be chunked, once"))
            }
            Ok(endpoint) => decoder(&mut parts, limit).map(|decoder| (endpoint, decoder)),
        };
        match start {
            Err(error) => ResponseFuture { state: State::Failed { error: Some(error) } },
            Ok((endpoint, decoder)) => {
                let read = Joined::expecting(body.size_hint().lower());
                // The future takes the ready service; its clone is not ready.
                let clone = self.inner.clone();
                let inner = std::mem::replace(&mut self.inner, clone);
                ResponseFuture {
                    state: State::Reading {
                        body,
                        read,
                        decoder,
                        settings: self.settings,
                        pace: Pace { came: 0, seen: 0 },
                        clock: Silence::new(self.settings.timeout),
                        rest: Some((inner, parts, endpoint)),
                    },
                }
            }
        }
    }
}

fn endpoint(parts: &http::request::Parts) -> Result<Endpoint, Error> {
    let Some(endpoint) = Endpoint::parse(parts.uri.path(), parts.uri.query()) else {
        return Err(Error::request(FaultKind::Endpoint, "no such endpoint"));
    };
    if parts.headers.contains_key(header::UPGRADE) && parts.method == Method::GET {
        // Codex tries a WebSocket first, and takes 426 alone for a reason not to try again and again (T182).
        return Err(Error::request(FaultKind::Upgrade, "WebSockets are not served here; use POST"));
    }
    if parts.method != Method::POST {
        return Err(Error::request(FaultKind::Method, "use POST here"));
    }
    Ok(endpoint)
}

/// Servers read chunks, and pass on what any other coding has left of the body.
fn is_framed(parts: &http::request::Parts) -> bool {
    let mut codings = parts.headers.get_all(header::TRANSFER_ENCODING).iter();
    codings.next().is_none_or(|coding| coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
        && codings.next().is_none()
}

/// What is to undo the body's coding, of which no layer inward is told.
fn decoder(parts: &mut http::request::Parts, limit: usize) -> Result<Option<Box<Decoder>>, Error> {
    let decoder = Decoder::of(&parts.headers, limit).map_err(|refusal| undecodable(refusal, limit))?;
    Ok(decoder.map(|decoder| {
        parts.headers.remove(header::CONTENT_ENCODING);
        parts.headers.remove(header::CONTENT_LENGTH);
        Box::new(decoder)
    }))
}

fn undecodable(refusal: Refusal, limit: usize) -> Error {
    match refusal {
        Refusal::TooLarge => too_long(limit),
        Refusal::Unknown => {
            Error::request(FaultKind::Encoding, "content-encoding: must be one that accept-encoding names")
        }
        Refusal::Corrupt => {
            Error::request(FaultKind::InvalidRequest, "the request body is not what content-encoding says")
        }
    }
}

fn too_slow() -> Error {
    Error::request(FaultKind::SlowRequest, "the request body is too slow in coming")
}

fn too_long(limit: usize) -> Error {
    Error::request(FaultKind::TooLarge, format!("the request body is larger than {limit} bytes"))
}

pin_project! {
    /// Response future of [`Collect`].
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<Payload>>,
    {
        #[pin]
        state: State<S, B, S::Future>,
    }
}

pin_project! {
    #[project = StateProj]
    enum State<S, B, F> {
        Reading {
            #[pin]
            body: B,
            read: Joined,
            decoder: Option<Box<Decoder>>,
            settings: CollectLayer,
            pace: Pace,
            clock: Silence,
            rest: Option<(S, http::request::Parts, Endpoint)>,
        },
        Calling { #[pin] future: F },
        Failed { error: Option<Error> },
    }
}

/// In each time of the clock at least so many bytes must come.
const LEAST_PROGRESS: usize = 16 << 10;

/// How many bytes have come, and how many had when the clock was last looked at.
struct Pace {
    came: usize,
    seen: usize,
}

impl Pace {
    /// Whether enough has come since the last time.
    fn is_kept(&mut self) -> bool {
        let seen = std::mem::replace(&mut self.seen, self.came);
        self.came - seen >= LEAST_PROGRESS
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<Payload>, Response = Response<R>>,
    S::Error: Into<Error>,
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<R>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            match this.state.as_mut().project() {
                StateProj::Calling { future } => return future.poll(cx).map_err(Into::into),
                StateProj::Failed { error } => {
                    let error = error.take().unwrap_or(Error::Overloaded);
                    return Poll::Ready(Err(error));
                }
                StateProj::Reading { body, read, decoder, settings, pace, clock, rest } => {
                    let Poll::Ready(frame) = body.poll_frame(cx) else {
                        ready!(clock.poll(cx));
                        if !pace.is_kept() {
                            return Poll::Ready(Err(too_slow()));
                        }
                        continue;
                    };
                    match frame {
                        Some(Ok(frame)) => {
                            let Ok(data) = frame.into_data() else { continue };
                            pace.came += data.len();
                            let limit = settings.limit;
                            if let Some(decoder) = decoder {
                                decoder.push(&data).map_err(|refusal| undecodable(refusal, limit))?;
                            } else if read.len() + data.len() > limit {
                                return Poll::Ready(Err(too_long(limit)));
                            } else {
                                read.push(data);
                            }
                        }
                        Some(Err(error)) => return Poll::Ready(Err(broken(error.into()))),
                        None => {
                            let bytes = match decoder {
                                None => read.take(),
                                Some(decoder) => decoder
                                    .finish()
                                    .map_err(|refusal| undecodable(refusal, settings.limit))?,
                            };
                            let Some((mut inner, parts, endpoint)) = rest.take() else {
                                return Poll::Pending;
                            };
                            let request = Request::from_parts(parts, Payload::new(endpoint, bytes)?);
                            prompt_preview::log(request.body(), settings.preview);
                            Trail::note(&request, |notes| {
                                notes.model = Some(request.body().client_model().clone());
                                notes.stream = request.body().stream();
                            });
                            let future = inner.call(request);
                            this.state.set(State::Calling { future });
                        }
                    }
                }
            }
        }
    }
}

/// The client's body broke off, or a body limit of the embedding program was hit.
fn broken(error: BoxError) -> Error {
    match Error::from(error) {
        Error::Internal(_) => Error::request(FaultKind::InvalidRequest, "the request body could not be read"),
        ours => ours,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};
    use tower::{ServiceExt, service_fn};

    fn service(
        limit: usize,
    ) -> impl Service<Request<Full<Bytes>>, Response = Response<Bytes>, Error = Error> {
        CollectLayer::new(limit).layer(echo())
    }

    fn echo()
    -> impl Service<Request<Payload>, Response = Response<Bytes>, Error = Error, Future: Send> + Clone {
        service_fn(|request: Request<Payload>| async move {
            Ok::<_, Error>(Response::new(request.body().wire_bytes()))
        })
    }

    fn kind(error: Error) -> FaultKind {
        error.view().kind
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_refused_by_its_length_alone() {
        let request = Request::post("/v1/messages").body(Full::from(r#"{"model":"m"}"#)).unwrap();
        assert_eq!(kind(service(5).oneshot(request).await.unwrap_err()), FaultKind::TooLarge);
    }

    #[tokio::test]
    async fn a_body_in_pieces_arrives_whole_and_is_bounded_too() {
        let pieces = |n: usize| {
            let frames = [r#"{"mod"#, r#"el":"m"#, r#""}"#].into_iter().take(n);
            StreamBody::new(futures_util::stream::iter(
                frames.map(|p| Ok::<_, Error>(http_body::Frame::data(Bytes::from(p)))),
            ))
        };
        let whole = Request::post("/v1/messages").body(pieces(3)).unwrap();
        let answer = CollectLayer::new(100).layer(echo()).oneshot(whole).await.unwrap();
        assert_eq!(answer.into_body(), r#"{"model":"m"}"#);
        let long = Request::post("/v1/messages").body(pieces(3)).unwrap();
        let error = CollectLayer::new(8).layer(echo()).oneshot(long).await.unwrap_err();
        assert_eq!(kind(error), FaultKind::TooLarge);
        let cut = Request::post("/v1/messages").body(pieces(2)).unwrap();
        let error = CollectLayer::new(100).layer(echo()).oneshot(cut).await.unwrap_err();
        assert_eq!(kind(error), FaultKind::InvalidRequest);
    }

    #[tokio::test]
    async fn unknown_paths_and_methods_are_told_apart() {
        for (method, path, want) in
            [("POST", "/nothing", FaultKind::Endpoint), ("GET", "/v1/messages", FaultKind::Method)]
        {
            let request = Request::builder().method(method).uri(path).body(Full::default()).unwrap();
            assert_eq!(kind(service(100).oneshot(request).await.unwrap_err()), want, "{path}");
        }
    }

    /// How a body ends of which such pieces come, after so many seconds each, and when.
    async fn paced(pieces: &[(u64, usize)]) -> (Result<usize, FaultKind>, u64) {
        let start = tokio::time::Instant::now();
        let pieces = pieces.iter().copied();
        let frames = futures_util::stream::unfold((0, pieces), |(number, mut pieces)| async move {
            let (pause, size) = pieces.next()?;
            tokio::time::sleep(Duration::from_secs(pause)).await;
            let mut data = vec![b' '; size];
            if number == 0 {
                data[..13].copy_from_slice(br#"{"model":"m"}"#);
            }
            Some((Ok::<_, Error>(http_body::Frame::data(Bytes::from(data))), (number + 1, pieces)))
        });
        let request = Request::post("/v1/messages").body(StreamBody::new(Box::pin(frames))).unwrap();
        let layer = CollectLayer::default().timeout(Duration::from_secs(30));
        let read = layer.layer(echo()).oneshot(request).await.map(|answer| answer.into_body().len());
        (read.map_err(kind), start.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_body_may_take_its_time_and_a_dripping_one_may_not() {
        assert_eq!(paced(&[(0, 100), (40, 100)]).await, (Err(FaultKind::SlowRequest), 30));
        assert_eq!(paced(&[(1, 100); 1000]).await, (Err(FaultKind::SlowRequest), 30));
        assert_eq!(paced(&[(1, 4 << 10); 100]).await, (Ok(100 * (4 << 10)), 100));
        assert_eq!(paced(&[(25, 100)]).await, (Ok(100), 25));
        assert_eq!(
            paced(&[(1, 100 << 10), (40, 1)]).await,
            (Ok((100 << 10) + 1), 41),
            "one quiet time, then the rest"
        );
    }
}
