//! Asks for another model when nobody serves the one that was asked for, or everybody who does has failed.
//!
//! Outside of failover: all upstreams of a model come before the next model. What was set for a request holds for all
//! of its models together: the ceiling of attempts, the deadline, the budget. Each model of a chain is asked for once,
//! and chains do not lead on into other chains, so there are no cycles.
//!
//! The client goes on seeing the name that it asked for; who answered is told in the header `x-aiproxy-model-fallback`,
//! in the log and by a metric.

use std::collections::HashMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderName, HeaderValue, Request, Response};
use pin_project_lite::pin_project;
use tower::{Layer, Service};

use super::failover::worse;
use super::metrics::names;
use super::trail::Trail;
use crate::error::{Error, Fault};
use crate::payload::Payload;
use crate::protocol::canonical::FaultKind;

/// Names the model that has answered in the place of another.
pub(super) const FALLBACK: HeaderName = HeaderName::from_static("x-aiproxy-model-fallback");

/// Asks for the next model of a chain when one cannot be had.
///
/// That is so when no upstream serves it, all are resting, or all that were asked have failed by their own fault or do
/// not know the model. A request that is too long for it goes on to models that take more, where both limits are known
/// (see [`input_limits`](ModelFallbackLayer::input_limits)). Nothing else that is the caller's fault goes on.
///
/// # Errors
///
/// When all models fail, the most useful of their failures.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CollectLayer, ModelFallbackLayer, ModelFilterLayer};
/// use aiproxy::{Error, Payload};
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(ModelFallbackLayer::new([("large", ["medium", "small"])]))
///     .layer(ModelFilterLayer::new(["small"]))
///     .service(service_fn(|request: Request<Payload>| async move {
///         Ok::<_, Error>(Response::new(request.body().model().to_owned()))
///     }));
/// let request = Request::post("/v1/messages").body(r#"{"model":"large"}"#.to_owned()).unwrap();
/// let answer = service.oneshot(request).await?;
/// assert_eq!(answer.headers()["x-aiproxy-model-fallback"], "small");
/// assert_eq!(answer.into_body(), "small");
/// # Ok(()) }
/// ```
#[derive(Clone, Debug, Default)]
pub struct ModelFallbackLayer {
    chains: Arc<HashMap<Arc<str>, Chain>>,
}

type Chain = Arc<[Next]>;

/// A model to ask for in another's place.
#[derive(Clone, Debug)]
struct Next {
    model: Arc<str>,
    /// Whether it is known to take longer requests than the first model of its chain.
    is_larger: bool,
}

impl ModelFallbackLayer {
    /// Pairs of a model, by the clients' name, and those to ask for after it.
    pub fn new<M, N, C>(chains: impl IntoIterator<Item = (M, C)>) -> Self
    where
        M: Into<Arc<str>>,
        N: Into<Arc<str>>,
        C: IntoIterator<Item = N>,
    {
        let chains = chains.into_iter().map(|(first, rest)| {
            let first = first.into();
            let mut chain: Vec<Next> = Vec::new();
            for model in rest.into_iter().map(Into::into) {
                if model != first && chain.iter().all(|known| known.model != model) {
                    chain.push(Next { model, is_larger: false });
                }
            }
            (first, chain.into())
        });
        ModelFallbackLayer { chains: Arc::new(chains.collect()) }
    }

    /// Every model of a chain, the first ones included.
    #[cfg(feature = "client")]
    pub(crate) fn models(&self) -> impl Iterator<Item = Arc<str>> {
        self.chains.iter().flat_map(|(first, chain)| {
            std::iter::once(first.clone()).chain(chain.iter().map(|next| next.model.clone()))
        })
    }

    /// Tells how many tokens a request for a model may have, where that is known. Default: it is not.
    #[must_use]
    pub fn input_limits(self, limit: impl Fn(&str) -> Option<u64>) -> Self {
        let larger = |first: &str, next: &str| Some(limit(next)? > limit(first)?);
        let chains = self.chains.iter().map(|(first, chain)| {
            let next = |next: &Next| Next {
                is_larger: larger(first, &next.model).unwrap_or(false),
                model: next.model.clone(),
            };
            (first.clone(), chain.iter().map(next).collect())
        });
        ModelFallbackLayer { chains: Arc::new(chains.collect()) }
    }
}

impl<S> Layer<S> for ModelFallbackLayer {
    type Service = ModelFallback<S>;

    fn layer(&self, inner: S) -> ModelFallback<S> {
        ModelFallback { inner, chains: self.chains.clone() }
    }
}

/// See [`ModelFallbackLayer`].
#[derive(Clone, Debug)]
pub struct ModelFallback<S> {
    inner: S,
    chains: Arc<HashMap<Arc<str>, Chain>>,
}

impl<S, B> Service<Request<Payload>> for ModelFallback<S>
where
    S: Service<Request<Payload>, Response = Response<B>> + Clone,
    S::Error: Into<Error>,
{
    type Response = Response<B>;
    type Error = Error;
    type Future = ResponseFuture<S>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, mut request: Request<Payload>) -> ResponseFuture<S> {
        let rest = self.chains.get(request.body().model()).map(|chain| {
            // One count of attempts for all models.
            let trail = request.extensions_mut().get_or_insert_default::<Trail>().clone();
            Box::new(Rest {
                // Not ready yet; the one that is takes the first call.
                service: self.inner.clone(),
                request: request.clone(),
                chain: chain.clone(),
                asked: 0,
                model: None,
                trail,
                failure: None,
            })
        });
        ResponseFuture { call: Some(self.inner.call(request)), rest }
    }
}

/// What is left to do if the model cannot be had.
struct Rest<S> {
    service: S,
    request: Request<Payload>,
    chain: Chain,
    asked: usize,
    /// The model of the chain that is asked for now.
    model: Option<Arc<str>>,
    trail: Trail,
    failure: Option<Error>,
}

impl<S> Rest<S> {
    /// The request for the next model; without one, the failure to tell.
    fn next(&mut self, error: Error) -> Result<(), Error> {
        let told = match (self.failure.take(), error) {
            // That the next model is not served is no news to who asked for another.
            (Some(earlier), Error::ModelNotServed { .. }) => earlier,
            (earlier, error) => worse(earlier, error),
        };
        let Some(want) = wanted(&told).filter(|_| !self.trail.attempts().is_over()) else { return Err(told) };
        let next = loop {
            let Some(next) = self.chain.get(self.asked) else { return Err(told) };
            self.asked += 1;
            if next.is_larger || want == Wanted::Any {
                break next.model.clone();
            }
        };
        let payload = self.request.body_mut();
        let (from, to) = (payload.client_model().to_string(), next.to_string());
        tracing::debug!(from, to, error = %told, "model fallback");
        metrics::counter!(names::MODEL_FALLBACKS, "from" => from, "to" => to).increment(1);
        payload.set_model(next.clone());
        self.trail.lock().model_fallback = Some(next.clone());
        self.model = Some(next);
        self.failure = Some(told);
        Ok(())
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    Larger,
}

/// Which other models may do better; `None`: no other.
fn wanted(error: &Error) -> Option<Wanted> {
    match error {
        Error::Upstream(answer) if error.fault() == Fault::Caller => match answer.view.kind {
            FaultKind::ContextLength => Some(Wanted::Larger),
            // Nobody else's model is of this name.
            FaultKind::NotFound => Some(Wanted::Any),
            _ => None,
        },
        Error::Untranslatable(_) => None,
        error => error.may_fail_over().then_some(Wanted::Any),
    }
}

pin_project! {
    /// Response future of [`ModelFallback`].
    pub struct ResponseFuture<S>
    where
        S: Service<Request<Payload>>,
    {
        #[pin]
        call: Option<S::Future>,
        // None: the model has no chain.
        rest: Option<Box<Rest<S>>>,
    }
}

impl<S: Service<Request<Payload>>> fmt::Debug for ResponseFuture<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("model_fallback::ResponseFuture").finish_non_exhaustive()
    }
}

impl<S, B> Future for ResponseFuture<S>
where
    S: Service<Request<Payload>, Response = Response<B>>,
    S::Error: Into<Error>,
{
    type Output = Result<Response<B>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(call) = this.call.as_mut().as_pin_mut() {
                let outcome = ready!(call.poll(cx)).map_err(Into::into);
                let Some(rest) = this.rest else { return Poll::Ready(outcome) };
                match outcome {
                    Ok(mut response) => {
                        let name = rest.model.as_deref().and_then(|model| HeaderValue::from_str(model).ok());
                        if let Some(name) = name {
                            response.headers_mut().insert(FALLBACK, name);
                        }
                        return Poll::Ready(Ok(response));
                    }
                    Err(error) => rest.next(error)?,
                }
                this.call.set(None);
            }
            let Some(rest) = this.rest else { return Poll::Pending };
            ready!(rest.service.poll_ready(cx)).map_err(Into::into)?;
            let call = rest.service.call(rest.request.clone());
            this.call.set(Some(call));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::UpstreamError;
    use crate::protocol::{Endpoint, Operation, Protocol};
    use bytes::Bytes;
    use http::StatusCode;
    use std::sync::Mutex;
    use tower::{ServiceExt, service_fn};

    type Script = fn(&str) -> Result<(), Error>;

    async fn ask(layer: ModelFallbackLayer, script: Script) -> (Result<Response<()>, Error>, Vec<String>) {
        let asked = Arc::new(Mutex::new(Vec::new()));
        let log = asked.clone();
        let service = layer.layer(service_fn(move |request: Request<Payload>| {
            let model = request.body().model().to_owned();
            let outcome = script(&model).map(Response::new);
            log.lock().unwrap().push(model);
            std::future::ready(outcome)
        }));
        let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
        let request = Request::new(Payload::new(endpoint, r#"{"model":"a"}"#).unwrap());
        let answer = service.oneshot(request).await;
        let asked = asked.lock().unwrap().clone();
        (answer, asked)
    }

    fn answered(status: u16, code: &str) -> Error {
        let body = Bytes::from(format!(r#"{{"error":{{"message":"no","type":"x","code":"{code}"}}}}"#));
        let status = StatusCode::from_u16(status).unwrap();
        Error::Upstream(Box::new(UpstreamError::new(Protocol::OpenAi, status, Default::default(), body)))
    }

    fn chain() -> ModelFallbackLayer {
        ModelFallbackLayer::new([("a", ["b", "a", "b", "c"]), ("b", ["a", "a", "a", "a"])])
    }

    #[tokio::test]
    async fn each_model_is_asked_for_once_and_chains_are_not_joined() {
        let (answer, asked) = ask(chain(), |_| Err(answered(500, "x"))).await;
        assert!(matches!(answer, Err(Error::Upstream(_))));
        assert_eq!(asked, ["a", "b", "c"]);
    }

    #[tokio::test]
    async fn the_model_that_answers_is_named() {
        let one = |model: &str| if model == "c" { Ok(()) } else { Err(Error::codec("broken")) };
        let (answer, asked) = ask(chain(), one).await;
        assert_eq!(answer.unwrap().headers()[FALLBACK], "c");
        assert_eq!(asked, ["a", "b", "c"]);
        let (answer, asked) = ask(chain(), |_| Ok(())).await;
        assert!(answer.unwrap().headers().is_empty());
        assert_eq!(asked, ["a"]);
    }

    #[tokio::test]
    async fn a_callers_fault_asks_for_no_other_model() {
        let faults: [Script; 6] = [
            |_| Err(Error::request(FaultKind::InvalidRequest, "bad")),
            |_| Err(answered(400, "x")),
            |_| Err(answered(413, "x")),
            |_| Err(answered(400, "content_policy_violation")),
            |_| Err(answered(400, "context_length_exceeded")),
            |_| Err(Error::Timeout(crate::error::Clock::Request)),
        ];
        for fault in faults {
            let (answer, asked) = ask(chain(), fault).await;
            assert_eq!(asked, ["a"], "{:?}", answer.unwrap_err());
        }
    }

    #[tokio::test]
    async fn what_is_too_long_for_one_model_goes_to_one_that_takes_more() {
        let layer = chain().input_limits(|model| match model {
            "a" => Some(100),
            "b" => Some(100),
            "c" => Some(1000),
            _ => None,
        });
        let script: Script =
            |model| if model == "c" { Ok(()) } else { Err(answered(400, "context_length_exceeded")) };
        assert_eq!(ask(layer, script).await.1, ["a", "c"]);
    }

    #[tokio::test]
    async fn of_several_failures_the_first_models_own_is_told() {
        let script: Script = |model| match model {
            "a" => Err(Error::Unavailable { retry_after: None }),
            model => Err(Error::ModelNotServed { model: model.into() }),
        };
        let (answer, asked) = ask(chain(), script).await;
        assert!(matches!(answer, Err(Error::Unavailable { .. })));
        assert_eq!(asked, ["a", "b", "c"]);
        let (answer, _) = ask(chain(), |model| Err(Error::ModelNotServed { model: model.into() })).await;
        assert!(matches!(answer, Err(Error::ModelNotServed { model }) if &*model == "a"));
    }
}
