//! Says no to the rest of an answer where it cannot be had.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::Continued;
use crate::error::Error;
use crate::layer::balance::{Eligibility, Eligible};
use crate::layer::refusal::ResponseFuture;
use crate::payload::Payload;

type TakesPrefill = dyn Fn(&str) -> bool + Send + Sync;

/// Keeps the rest of a broken answer from the upstream that broke, and from models that would begin anew.
///
/// Above everything that maps models, so that the pool can ask it without calling; other requests pass.
///
/// # Errors
///
/// [`Error::ModelNotServed`] for the rest of an answer that cannot be had here.
///
/// # Example
///
/// See [`ContinuationLayer`](super::ContinuationLayer).
#[derive(Clone)]
pub struct PrefillFilterLayer {
    upstream: Arc<str>,
    takes_prefill: Arc<TakesPrefill>,
}

impl PrefillFilterLayer {
    /// For the named upstream; `takes_prefill` knows which models, by the clients' names, go on with the assistant's
    /// last turn.
    pub fn new(
        upstream: impl Into<Arc<str>>,
        takes_prefill: impl Fn(&str) -> bool + Send + Sync + 'static,
    ) -> Self {
        PrefillFilterLayer { upstream: upstream.into(), takes_prefill: Arc::new(takes_prefill) }
    }
}

impl fmt::Debug for PrefillFilterLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PrefillFilterLayer").field("upstream", &self.upstream).finish_non_exhaustive()
    }
}

impl<S> Layer<S> for PrefillFilterLayer {
    type Service = PrefillFilter<S>;

    fn layer(&self, inner: S) -> PrefillFilter<S> {
        PrefillFilter { inner, layer: self.clone() }
    }
}

/// See [`PrefillFilterLayer`].
#[derive(Clone, Debug)]
pub struct PrefillFilter<S> {
    inner: S,
    layer: PrefillFilterLayer,
}

impl<S> PrefillFilter<S> {
    fn serves(&self, request: &Request<Payload>) -> bool {
        let Some(Continued { broke }) = request.extensions().get() else { return true };
        broke.as_ref() != Some(&self.layer.upstream) && (self.layer.takes_prefill)(request.body().model())
    }
}

impl<S: Eligible<Request<Payload>>> Eligible<Request<Payload>> for PrefillFilter<S> {
    fn eligibility(&self, request: &Request<Payload>, now: Instant) -> Eligibility {
        if self.serves(request) { self.inner.eligibility(request, now) } else { Eligibility::NotServed }
    }
}

impl<S, R> Service<Request<Payload>> for PrefillFilter<S>
where
    S: Service<Request<Payload>, Response = Response<R>>,
    S::Error: Into<Error>,
{
    type Response = Response<R>;
    type Error = Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<Payload>) -> Self::Future {
        if self.serves(&request) {
            ResponseFuture::pass(self.inner.call(request))
        } else {
            ResponseFuture::refuse(Error::ModelNotServed { model: request.body().model().into() })
        }
    }
}
