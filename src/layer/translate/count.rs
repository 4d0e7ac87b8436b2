//! Counts of tokens (6.2): by the upstream's own counter, whatever protocol that speaks, else by estimate.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body as HttpBody;
use memchr::memmem;
use pin_project_lite::pin_project;

use super::whole::Whole;
use super::{ESTIMATED, USAGE, read};
use crate::body::Body;
use crate::error::{BoxError, Error};
use crate::layer::trail::Unasked;
use crate::payload::Payload;
use crate::protocol::{Protocol, decode_count, estimate_tokens, render_count};

pin_project! {
    /// An answer of another protocol's counter.
    #[doc(hidden)]
    pub struct Counting<F, B> {
        #[pin]
        inner: F,
        payload: Payload,
        answer: Option<Whole<B>>,
    }
}

impl<F, B> Counting<F, B> {
    pub(super) fn new(inner: F, payload: Payload) -> Self {
        Counting { inner, payload, answer: None }
    }
}

impl<F, B> fmt::Debug for Counting<F, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("translate::Counting").finish_non_exhaustive()
    }
}

impl<F, B, E> Future for Counting<F, B>
where
    F: Future<Output = Result<Response<B>, E>>,
    E: Into<Error>,
    B: HttpBody<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let whole = match this.answer {
            Some(whole) => whole,
            slot => match ready!(this.inner.poll(cx)).map_err(Into::into) {
                Ok(response) => slot.insert(Whole::new(response.into_body())),
                Err(error) if is_missing(&error, this.payload) || refuses_media(&error, this.payload) => {
                    return Poll::Ready(estimated(this.payload));
                }
                Err(error) => return Poll::Ready(Err(error)),
            },
        };
        let body = ready!(whole.poll(cx))?;
        let Some(tokens) = decode_count(&body) else {
            return Poll::Ready(Err(Error::codec("the upstream's count is no number")));
        };
        Poll::Ready(Ok(answer(this.payload.protocol(), tokens)))
    }
}

/// An answer by estimate, without asking anybody (T175).
pub(super) fn estimated(payload: &Payload) -> Result<Response<Body>, Error> {
    let (_, request) = read(payload)?;
    let tokens = estimate_tokens(&request, payload.model());
    let mut response = answer(payload.protocol(), tokens);
    response.headers_mut().insert(USAGE, ESTIMATED);
    response.extensions_mut().insert(Unasked);
    Ok(response)
}

fn answer(client: Protocol, tokens: u64) -> Response<Body> {
    let mut response = Response::new(Body::from(render_count(client, tokens)));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Whether an upstream has no counter: many that speak Anthropic's have none. That a
/// model is not known is another answer with the same status; it names the model.
pub(super) fn is_missing(error: &Error, payload: &Payload) -> bool {
    let Error::Upstream(answer) = error else { return false };
    match answer.status {
        StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED => true,
        StatusCode::NOT_FOUND => memmem::find(&answer.body, payload.model().as_bytes()).is_none(),
        _ => false,
    }
}

/// Whether another protocol's counter will not count media: not each of them takes all that its models do, and the
/// client has asked for a number.
fn refuses_media(error: &Error, payload: &Payload) -> bool {
    let Error::Upstream(answer) = error else { return false };
    let is_refusal = matches!(
        answer.status,
        StatusCode::BAD_REQUEST
            | StatusCode::PAYLOAD_TOO_LARGE
            | StatusCode::UNSUPPORTED_MEDIA_TYPE
            | StatusCode::UNPROCESSABLE_ENTITY
    );
    is_refusal && read(payload).is_ok_and(|(_, request)| request.has_media())
}
