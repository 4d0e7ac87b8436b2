//! The future of layers that either ask further in or say no.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use http::Response;
use pin_project_lite::pin_project;

use crate::error::{BoxError, Error};

pin_project! {
    /// Response future of a layer that lets a request pass or refuses it.
    #[derive(Debug)]
    pub struct ResponseFuture<F> {
        #[pin]
        inner: Option<F>,
        refusal: Option<Error>,
    }
}

impl<F> ResponseFuture<F> {
    pub(super) fn pass(inner: F) -> Self {
        ResponseFuture { inner: Some(inner), refusal: None }
    }

    pub(super) fn refuse(refusal: Error) -> Self {
        ResponseFuture { inner: None, refusal: Some(refusal) }
    }
}

impl<F, R, E> Future for ResponseFuture<F>
where
    F: Future<Output = Result<Response<R>, E>>,
    E: Into<Error>,
{
    type Output = Result<Response<R>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        match this.inner.as_pin_mut() {
            Some(inner) => inner.poll(cx).map_err(Into::into),
            None => {
                let twice = || Error::Internal(BoxError::from("polled after its end"));
                Poll::Ready(Err(this.refusal.take().unwrap_or_else(twice)))
            }
        }
    }
}
