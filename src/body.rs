//! The boxed response body at the seams of the stack.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full};

use crate::error::{BoxError, Error};

/// A response body of any origin, with the stack's error.
///
/// Wrapping a `Body` in a `Body` costs nothing: it is taken as it is.
#[derive(Debug)]
pub struct Body(UnsyncBoxBody<Bytes, Error>);

impl Body {
    /// Boxes a body.
    pub fn new<B>(body: B) -> Self
    where
        B: HttpBody<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let mut slot = Some(body);
        if let Some(ours) = (&mut slot as &mut dyn std::any::Any).downcast_mut::<Option<Body>>()
            && let Some(body) = ours.take()
        {
            return body;
        }
        match slot {
            Some(body) => Body(UnsyncBoxBody::new(body.map_err(Error::of))),
            None => Body::empty(),
        }
    }

    /// A body without bytes.
    #[must_use]
    pub fn empty() -> Self {
        Body(UnsyncBoxBody::new(Empty::new().map_err(Error::from)))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Body(UnsyncBoxBody::new(Full::new(bytes).map_err(Error::from)))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Body::from(Bytes::from(bytes))
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        Pin::new(&mut self.0).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}
