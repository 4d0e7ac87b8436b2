//! Client protocol to upstream protocol and back. Identity, byte for byte, when they are equal; but what the
//! gateway itself once wrote for other providers, and this one would refuse, is cut out or replaced (T100, T104, T132).
//!
//! The request is read into the canonical form and written as the upstream takes it; what it cannot
//! carry is named in `x-aiproxy-warnings` and counted, or refused when leaving it out would change the
//! answer unseen. Streams are translated event by event as they come, never buffered. The pure half is
//! [`crate::protocol`].
//!
//! Two things that an upstream may lack the gateway does in its place: it looks for the stop sequences that the
//! upstream does not take (2.4, if [told to](TranslateLayer::stop_emulation)), and it estimates token counts that
//! were not told (2.15).
//!
//! Agents compact by the figures of an overflow: those that the upstream has not told are filled in (5.2).
//!
//! A request that only asks for a count of its tokens goes to the upstream's own counter; where there is none it
//! is answered here, with an estimate that says so in `x-aiproxy-usage` (6.2).

mod body;
mod count;
mod document;
mod future;
mod losses;
mod plan;
mod relay;
mod state_store;
mod whole;

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Extensions, HeaderName, HeaderValue, Request, Response, header};
use http_body::Body;
use tower::{Layer, Service};

use super::model_filter::matches;
use super::request_id::RequestId;
use super::require_api_key::ClientKey;
use crate::body::Body as OutBody;
use crate::clock;
use crate::error::{BoxError, Error};
use crate::headers;
use crate::payload::Payload;
use crate::protocol::canonical::{self, Exchange, FaultKind, HostedTools, Losses, Recorder, take_untaken};
use crate::protocol::{
    Capabilities, ClientDialect, Dialect, Estimator, Operation, Overrides, Protocol, Target, Thinking,
    decode_request, encode_count, encode_request, without_foreign,
};
use crate::seeds::Seeds;

pub use future::ResponseFuture;
pub(super) use losses::WARNINGS;
use losses::name_lost_headers;
use plan::{Plan, Unanswered};
use relay::Asked;
pub use state_store::StateStore;
use state_store::{Recording, Scope};

/// Speaks an upstream's protocol for clients of any.
///
/// Takes every answer for a success: [`ClassifyLayer`](super::ClassifyLayer) stands inside of it and turns
/// the others into errors.
///
/// # Errors
///
/// [`Error::Request`] if the client's request cannot be read, [`Error::Untranslatable`] if it cannot be
/// said in the upstream's protocol, [`Error::Codec`] if the answer cannot be read.
///
/// # Example
///
/// ```
/// use aiproxy::layer::{CollectLayer, TranslateLayer};
/// use aiproxy::protocol::Protocol;
/// use aiproxy::{Body, Error, Payload};
/// use http::{Request, Response};
/// use http_body_util::BodyExt;
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Error> {
/// let service = ServiceBuilder::new()
///     .layer(CollectLayer::default())
///     .layer(TranslateLayer::new(Protocol::OpenAi))
///     .service(service_fn(|request: Request<Payload>| async move {
///         assert_eq!(request.body().protocol(), Protocol::OpenAi);
///         assert_eq!(request.headers()["content-type"], "application/json");
///         let answer = r#"{"id":"c","object":"chat.completion","created":1,"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Hi"},"finish_reason":"stop"}],"usage":{"prompt_tokens":3,"completion_tokens":1,"total_tokens":4}}"#;
///         Ok::<_, Error>(Response::builder().header("content-type", "application/json").body(Body::from(answer.as_bytes().to_vec())).unwrap())
///     }));
/// let request = Request::post("/v1/messages")
///     .body(r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hello"}]}"#.to_owned())
///     .unwrap();
/// let answer = service.oneshot(request).await?.into_body().collect().await?.to_bytes();
/// let answer = String::from_utf8_lossy(&answer);
/// assert!(answer.contains(r#""type":"message""#) && answer.contains(r#""text":"Hi""#));
/// # Ok(()) }
/// ```
#[derive(Clone, Debug)]
pub struct TranslateLayer {
    settings: Arc<Settings>,
}

#[derive(Clone, Debug)]
struct Settings {
    upstream: Protocol,
    dialect: Dialect,
    client_dialect: ClientDialect,
    /// By pattern of the upstream's model names.
    capabilities: Vec<(String, Overrides)>,
    default_max_tokens: Option<u64>,
    auto_cache: bool,
    hosted_tools: HostedTools,
    strict: bool,
    /// With the upstream's name in it.
    states: Option<(StateStore, Arc<str>)>,
    stop_emulation: bool,
    estimate_usage: bool,
}

impl Settings {
    fn capabilities_of(&self, model: &str) -> Capabilities {
        let known = self.capabilities.iter().filter(|(pattern, _)| matches(pattern, model));
        known.fold(Capabilities::of(model), |row, (_, known)| row.with(known))
    }

    fn target<'t>(&self, model: &'t str) -> Target<'t> {
        Target {
            model,
            capabilities: self.capabilities_of(model),
            dialect: self.dialect,
            default_max_tokens: self.default_max_tokens,
            auto_cache: self.auto_cache,
        }
    }
}

/// Says that token counts are the gateway's own guess: nobody shall take them for the provider's (T176).
const USAGE: HeaderName = HeaderName::from_static("x-aiproxy-usage");
const ESTIMATED: HeaderValue = HeaderValue::from_static("estimated");

impl TranslateLayer {
    /// The upstream speaks this protocol.
    #[must_use]
    pub fn new(upstream: Protocol) -> Self {
        let settings = Settings {
            upstream,
            dialect: Dialect::default(),
            client_dialect: ClientDialect::default(),
            capabilities: Vec::new(),
            default_max_tokens: None,
            auto_cache: false,
            hosted_tools: HostedTools::default(),
            strict: false,
            states: None,
            stop_emulation: false,
            estimate_usage: false,
        };
        TranslateLayer { settings: Arc::new(settings) }
    }

    /// How the upstream bends its protocol.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        Arc::make_mut(&mut self.settings).dialect = dialect;
        self
    }

    /// What clients want otherwise than their protocols say. Default: nothing.
    #[must_use]
    pub fn client_dialect(mut self, dialect: ClientDialect) -> Self {
        Arc::make_mut(&mut self.settings).client_dialect = dialect;
        self
    }

    /// What is known of the upstream's models beyond the built-in table; of several that match, later ones
    /// win. In a pattern `*` stands for any run of characters.
    #[must_use]
    pub fn capabilities(mut self, models: impl Into<String>, known: Overrides) -> Self {
        Arc::make_mut(&mut self.settings).capabilities.push((models.into(), known));
        self
    }

    /// What a model takes that the upstream calls `model`.
    #[must_use]
    pub fn capabilities_of(&self, model: &str) -> Capabilities {
        self.settings.capabilities_of(model)
    }

    /// The output limit to send where the upstream demands one and the client gave none. Default: the
    /// model's maximum, else 4096.
    #[must_use]
    pub fn default_max_tokens(mut self, tokens: impl Into<Option<u64>>) -> Self {
        Arc::make_mut(&mut self.settings).default_max_tokens = tokens.into();
        self
    }

    /// Lets Anthropic cache prompts of clients whose own protocol has no cache marks: reading a cached prompt costs a
    /// tenth, writing one a quarter more. Default: false.
    #[must_use]
    pub fn auto_cache(mut self, auto_cache: bool) -> Self {
        Arc::make_mut(&mut self.settings).auto_cache = auto_cache;
        self
    }

    /// What becomes of tools that only another provider runs. Default: the request is refused.
    #[must_use]
    pub fn hosted_tools(mut self, policy: HostedTools) -> Self {
        Arc::make_mut(&mut self.settings).hosted_tools = policy;
        self
    }

    /// Refuses whatever cannot be carried exactly, instead of naming it in `x-aiproxy-warnings`. A client asks
    /// for the same with the header `x-aiproxy-strict: 1`. Default: false.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        Arc::make_mut(&mut self.settings).strict = strict;
        self
    }

    /// Keeps what the upstream wants back with its calls in this store, for clients that drop it. Several upstreams
    /// may share a store; `upstream` tells theirs apart. Clients are told apart by the key that
    /// [`RequireApiKeyLayer`](super::RequireApiKeyLayer) knows them by. Default: none.
    #[must_use]
    pub fn state_store(
        mut self,
        store: impl Into<Option<StateStore>>,
        upstream: impl Into<Arc<str>>,
    ) -> Self {
        let upstream = upstream.into();
        Arc::make_mut(&mut self.settings).states = store.into().map(|store| (store, upstream));
        self
    }

    /// Looks for those stop sequences itself that the upstream does not take: the answer ends before the first
    /// of them in its visible text, and a stream is cancelled there, so its token counts are estimates. Text that
    /// may be the beginning of one is held back. Up to 64 sequences of at most 256 bytes. Default: false, they
    /// are left out and named in `x-aiproxy-warnings` (T141).
    #[must_use]
    pub fn stop_emulation(mut self, stop_emulation: bool) -> Self {
        Arc::make_mut(&mut self.settings).stop_emulation = stop_emulation;
        self
    }

    /// Gives Chat and Responses clients estimated token counts where the upstream has told none. Default: false,
    /// they get none; Anthropic and Gemini clients need numbers, and always get them (2.15).
    #[must_use]
    pub fn estimate_usage(mut self, estimate_usage: bool) -> Self {
        Arc::make_mut(&mut self.settings).estimate_usage = estimate_usage;
        self
    }
}

impl<S> Layer<S> for TranslateLayer {
    type Service = Translate<S>;

    fn layer(&self, inner: S) -> Translate<S> {
        Translate { inner, settings: self.settings.clone(), seeds: Arc::default() }
    }
}

/// See [`TranslateLayer`].
#[derive(Clone, Debug)]
pub struct Translate<S> {
    inner: S,
    settings: Arc<Settings>,
    seeds: Arc<Seeds>,
}

impl<S> Translate<S> {
    /// Takes out what other providers left in a conversation that now goes to a provider in its own protocol.
    fn clean(&self, request: &mut Request<Payload>) -> Result<Option<HeaderValue>, Error> {
        let payload = request.body();
        let protocol = payload.protocol();
        let target = || self.settings.target(payload.model());
        let Some(cleaned) = without_foreign(protocol, payload.original_bytes(), target) else {
            return Ok(None);
        };
        let clean = payload.with_bytes(cleaned.body)?;
        let warnings = self.settings.settle(&cleaned.losses, protocol, request.headers())?;
        *request.body_mut() = clean;
        Ok(warnings)
    }

    /// The question for the upstream's own counter, if that can answer it.
    fn ask_counter(&self, request: Request<Payload>) -> Result<Option<Request<Payload>>, Error> {
        let upstream = self.settings.upstream;
        let (parts, payload) = request.into_parts();
        let (_, mut canonical) = read(&payload)?;
        canonical.settle_hosted_tools(upstream, self.settings.hosted_tools, &mut Losses::default());
        let mut exchange = Exchange::new(&canonical, payload.protocol(), upstream);
        let target = self.settings.target(payload.model());
        exchange.family = target.family();
        Ok(encode_count(&canonical, &exchange, &target).map(|body| {
            let asked =
                Payload::translated(upstream, Operation::CountTokens, payload.model(), false, body.into());
            as_json(parts, asked)
        }))
    }

    /// What is remembered of this client at this model, if anything is.
    fn scope(&self, guests: &Extensions, model: &str) -> Option<Scope> {
        let (store, upstream) = self.settings.states.as_ref()?;
        Some(store.scope(guests.get().map(|ClientKey(number)| *number), upstream, model))
    }

    /// Rewrites the request in the upstream's protocol.
    fn translate(&self, request: Request<Payload>) -> Result<(Request<Payload>, Box<Plan>), Error> {
        let settings = &*self.settings;
        let (parts, payload) = request.into_parts();
        let (body, mut canonical) = read(&payload)?;
        canonical.stream = payload.stream();
        let mut losses = Losses::default();
        name_lost_headers(payload.protocol(), &parts.headers, &mut losses);
        canonical.settle_hosted_tools(settings.upstream, settings.hosted_tools, &mut losses);
        let mut exchange = exchange(&canonical, &payload, settings.upstream, self.seeds.next());
        exchange.client_dialect = settings.client_dialect;
        if canonical.stream {
            exchange.request_id = parts.extensions.get::<RequestId>().map(RequestId::to_string);
        }
        let target = settings.target(payload.model());
        exchange.family = target.family();
        let has_calls = !canonical.tools.is_empty() || canonical.called_names().next().is_some();
        let may_have_state = has_calls || signs_text(&exchange, &target);
        let scope = may_have_state.then(|| self.scope(&parts.extensions, payload.model())).flatten();
        let recording = scope.and_then(|scope| recording(scope, &mut canonical, &exchange, &target));
        let stops = if settings.stop_emulation {
            take_untaken(&mut canonical.output.stop, settings.upstream, &mut losses)
        } else {
            Vec::new()
        };
        let choices = match settings.upstream {
            Protocol::OpenAi | Protocol::Gemini => canonical.output.n.unwrap_or(1),
            // These have no choices.
            Protocol::Anthropic | Protocol::Responses => 1,
        };
        let mut out = Vec::with_capacity(body.len() + body.len() / 8 + 256);
        encode_request(settings.upstream, &canonical, &exchange, &target, &mut losses, &mut out)
            .map_err(|error| Error::Untranslatable(Box::new(error.view(body))))?;
        let warnings = settings.settle(&losses, payload.protocol(), &parts.headers)?;
        let stream = canonical.stream;
        let translated = Payload::translated(
            settings.upstream,
            Operation::Generate,
            payload.model(),
            stream,
            Bytes::from(out),
        );
        let plan = Plan {
            exchange,
            dialect: settings.dialect,
            warnings,
            recording,
            stops,
            choices: usize::try_from(choices).unwrap_or(usize::MAX),
            estimator: Estimator::new(&canonical, payload.model()),
            shows_estimates: settings.estimate_usage,
            unanswered: Some(Unanswered { limit: target.capabilities.input_limit(), payload }),
        };
        // It outlives several moves, on the way to where it is needed.
        Ok((as_json(parts, translated), Box::new(plan)))
    }
}

/// What the answer has to know of the request.
fn exchange(
    canonical: &canonical::Request<'_>,
    payload: &Payload,
    upstream: Protocol,
    seed: u64,
) -> Exchange {
    let is_renamed = payload.model() != &**payload.client_model();
    Exchange {
        model: is_renamed.then(|| payload.client_model().to_string()),
        created: clock::unix_seconds(),
        seed,
        ..Exchange::new(canonical, payload.protocol(), upstream)
    }
}

/// Whether the model may sign also what it says (T102), not calls alone.
fn signs_text(exchange: &Exchange, target: &Target<'_>) -> bool {
    exchange.upstream == Protocol::Gemini && target.capabilities.thinking != Thinking::None
}

/// Gives a history back what its client dropped; and what is to become of the answer's state.
fn recording(
    scope: Scope,
    request: &mut canonical::Request<'_>,
    exchange: &Exchange,
    target: &Target<'_>,
) -> Option<Recording> {
    let restored = canonical::restore(request, exchange.upstream, |said, id| scope.find(said, id));
    if restored > 0 {
        tracing::debug!(parts = restored, "state that the client dropped was restored");
    }
    // Clients of Anthropic's that are shown reasoning have to send it back.
    let is_carried = exchange.client == Protocol::Anthropic && exchange.show_reasoning;
    if is_carried || request.tools.is_empty() && !signs_text(exchange, target) {
        return None;
    }
    let recorder =
        |limit| Recorder::new(exchange.upstream, &target.dialect, limit).restored_by(&exchange.restoration);
    Some(scope.recording(canonical::last_said(&request.turns), recorder))
}

/// The client's headers speak its own protocol (section 2.1); whoever reads the new body may ask what it is.
fn as_json(mut parts: http::request::Parts, body: Payload) -> Request<Payload> {
    parts.headers.clear();
    parts.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Request::from_parts(parts, body)
}

/// Reads the client's request.
fn read(payload: &Payload) -> Result<(&str, canonical::Request<'_>), Error> {
    let Ok(body) = std::str::from_utf8(payload.original_bytes()) else {
        return Err(Error::request(FaultKind::InvalidRequest, "the request body is not UTF-8"));
    };
    let request = decode_request(payload.endpoint(), body);
    request.map(|request| (body, request)).map_err(|error| Error::Request(Box::new(error.view(body))))
}

impl<S, B> Service<Request<Payload>> for Translate<S>
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
        if request.body().protocol() == self.settings.upstream {
            let warnings = match self.clean(&mut request) {
                Ok(warnings) => warnings,
                Err(error) => return ResponseFuture::ready(Err(error)),
            };
            let asked = Asked::new(request.body(), &self.seeds, &self.settings);
            return ResponseFuture::relay(self.inner.call(request), asked, warnings);
        }
        if request.body().operation() == Operation::CountTokens {
            let payload = request.body().clone();
            return match self.ask_counter(request) {
                Ok(Some(request)) => ResponseFuture::count(self.inner.call(request), payload),
                Ok(None) => ResponseFuture::ready(count::estimated(&payload)),
                Err(error) => ResponseFuture::ready(Err(error)),
            };
        }
        match self.translate(request) {
            Ok((request, plan)) => ResponseFuture::translate(self.inner.call(request), plan),
            Err(error) => ResponseFuture::ready(Err(error)),
        }
    }
}

/// The head of a translated answer.
fn rewrite_head(head: &mut http::response::Parts, is_stream: bool, warnings: Option<HeaderValue>) {
    let content_type = if is_stream { "text/event-stream; charset=utf-8" } else { "application/json" };
    let request_id = headers::request_id(&head.headers).cloned();
    // The upstream's headers describe the gateway's account in a foreign protocol (5.3).
    head.headers.clear();
    if let Some(id) = request_id {
        head.headers.insert(headers::UPSTREAM_REQUEST_ID, id);
    }
    head.headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    if let Some(warnings) = warnings {
        head.headers.insert(WARNINGS, warnings);
    }
}
