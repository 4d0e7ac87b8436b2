//! Says no to models that an upstream does not serve.
//!
//! Outermost in an upstream's stack, so that the pool can ask it without calling; it also refuses in
//! `call`, so that it is correct alone. Names are the client's, before any mapping.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::{Request, Response};
use tokio::time::Instant;
use tower::{Layer, Service};

use super::balance::{Eligibility, Eligible};
use crate::error::Error;
use crate::payload::Payload;

pub use super::refusal::ResponseFuture;

/// Serves the named models only; `*` stands for any run of characters.
///
/// # Errors
///
/// [`Error::ModelNotServed`] for any other model.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CollectLayer, ModelFilterLayer};
/// use aiproxy::{Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(ModelFilterLayer::new(["claude-*", "fast"]))
///     .service(service_fn(|_: Request<Payload>| async { Ok::<_, Error>(Response::new(())) }));
/// let ask = |model: &str| Request::post("/v1/messages").body(format!(r#"{{"model":"{model}"}}"#)).unwrap();
/// assert!(service.clone().oneshot(ask("claude-opus-4-8")).await.is_ok());
/// assert!(matches!(service.oneshot(ask("gpt-5")).await, Err(Error::ModelNotServed { .. })));
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ModelFilterLayer {
    patterns: Option<Arc<[Box<str>]>>,
}

impl ModelFilterLayer {
    /// Serves what matches one of `patterns`.
    pub fn new<P: Into<Box<str>>>(patterns: impl IntoIterator<Item = P>) -> Self {
        ModelFilterLayer { patterns: Some(patterns.into_iter().map(Into::into).collect()) }
    }

    /// Serves every model.
    #[must_use]
    pub fn any() -> Self {
        ModelFilterLayer { patterns: None }
    }
}

impl<S> Layer<S> for ModelFilterLayer {
    type Service = ModelFilter<S>;

    fn layer(&self, inner: S) -> ModelFilter<S> {
        ModelFilter { inner, patterns: self.patterns.clone() }
    }
}

/// See [`ModelFilterLayer`].
#[derive(Clone, Debug)]
pub struct ModelFilter<S> {
    inner: S,
    patterns: Option<Arc<[Box<str>]>>,
}

impl<S> ModelFilter<S> {
    fn serves(&self, model: &str) -> bool {
        self.patterns.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, model)))
    }
}

/// Whether `text` matches `pattern`, in which `*` stands for any run of characters.
pub(crate) fn matches(pattern: &str, text: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut rest) = text.strip_prefix(head) else { return false };
    let mut pieces = tail.split('*').peekable();
    while let Some(piece) = pieces.next() {
        if pieces.peek().is_none() {
            return rest.ends_with(piece);
        }
        // Taking the earliest place of each piece never spoils a later one.
        match rest.find(piece).and_then(|at| rest.get(at + piece.len()..)) {
            Some(after) => rest = after,
            None => return false,
        }
    }
    true
}

impl<S: Eligible<Request<Payload>>> Eligible<Request<Payload>> for ModelFilter<S> {
    fn eligibility(&self, request: &Request<Payload>, now: Instant) -> Eligibility {
        if self.serves(request.body().model()) {
            self.inner.eligibility(request, now)
        } else {
            Eligibility::NotServed
        }
    }
}

impl<S, R> Service<Request<Payload>> for ModelFilter<S>
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
        if self.serves(request.body().model()) {
            ResponseFuture::pass(self.inner.call(request))
        } else {
            ResponseFuture::refuse(Error::ModelNotServed { model: request.body().model().into() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns_mean_what_people_expect() {
        for (pattern, text, want) in [
            ("gpt-5", "gpt-5", true),
            ("gpt-5", "gpt-5-mini", false),
            ("gpt-*", "gpt-5", true),
            ("*", "", true),
            ("*-mini", "gpt-5-mini", true),
            ("*-mini", "gpt-5-mini-x", false),
            ("a*b*c", "aXbYc", true),
            ("a*b*c", "ac", false),
            ("a*a", "a", false),
            ("**", "x", true),
        ] {
            assert_eq!(matches(pattern, text), want, "{pattern} {text}");
        }
    }
}
