//! THE order: the stack, read as a list.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body as HttpBody;
use tower::load_shed::{LoadShed, LoadShedLayer};
use tower::util::{BoxCloneSyncService, option_layer};
use tower::{Layer as _, Service, ServiceBuilder, ServiceExt};

use super::snapshot::{ModelSnapshot, Source, UpstreamSnapshot};
use super::{Builder, Gateway, InnerService, UpstreamSpec, WrapUpstream};
use crate::body::Body;
use crate::closing::Closing;
use crate::error::{BoxError, Error};
use crate::layer::balance::{Leaf, Pool, Upstream, WeightedBalance};
use crate::layer::failover::Failover;
use crate::layer::health::{Health, Watched};
use crate::layer::model_filter::matches;
use crate::layer::{
    AccessLog, AccessLogLayer, BreakerPolicy, CircuitBreaker, CircuitBreakerLayer, ClassifyLayer, Collect,
    CollectLayer, ContinuationLayer, CredentialsLayer, FetchMediaLayer, HostCheck, InFlightLimit,
    InFlightLimitLayer, KeepAlive, Linger, LingerLayer, Metrics, MetricsLayer, ModelFallbackLayer,
    ModelFilter, ModelFilterLayer, ModelMapLayer, MustStreamLayer, PrefillFilter, PrefillFilterLayer,
    RequestIdLayer, RequireApiKey, RequireApiKeyLayer, Respond, RespondLayer, SetRequestId, StateStore,
    StreamTimeoutLayer, TranslateLayer, UsageLayer,
};
use crate::payload::Payload;
use crate::protocol::{Capabilities, ClientDialect, Protocol};
use crate::upstream::HttpClient;

/// The whole stack.
pub(super) type Stack = Metrics<
    SetRequestId<
        AccessLog<
            Linger<
                Respond<HostCheck<RequireApiKey<LoadShed<InFlightLimit<Collect<KeepAlive<InnerService>>>>>>>,
            >,
        >,
    >,
>;

/// One upstream as the pool sees it.
type PooledUpstream = ModelFilter<PrefillFilter<CircuitBreaker<Leaf<InnerService>>>>;

/// The stack from the client down to the choice of an upstream.
pub(super) fn gateway(builder: Builder) -> Result<Gateway, BoxError> {
    let Builder {
        upstreams,
        host_check,
        keys,
        max_body_size,
        body_timeout,
        max_answer_size,
        max_held_size,
        max_in_flight,
        keep_alive,
        continued_models,
        prompt_preview,
        client_dialect,
        failover,
        model_fallback,
        state_store,
        layers,
        upstream_layers,
    } = builder;
    let closing = Closing::new();
    let common = Common {
        client_dialect,
        state_store: state_store.as_ref(),
        max_answer_size,
        max_held_size,
        closing: &closing,
        own_layers: &upstream_layers,
    };
    distinct(&upstreams)?;
    let mut pool = Vec::with_capacity(upstreams.len());
    let mut sources = Vec::with_capacity(upstreams.len());
    for spec in upstreams {
        let (upstream, source) = upstream(spec, &common)?;
        pool.push(upstream);
        sources.push(source);
    }
    let snapshot = Source { upstreams: sources };
    let models = snapshot.take(|_| Vec::new()).models();
    let fallback = fallback(model_fallback, &models);
    let mut labels: Vec<Arc<str>> = models.into_iter().map(|model| model.name).collect();
    labels.extend(fallback.iter().flat_map(ModelFallbackLayer::models));

    let balance = WeightedBalance::new(Pool::new(pool));
    let failover = Failover::new(balance).with_policy(failover);
    let mut inner = match fallback {
        // All upstreams of a model come before the next model.
        Some(fallback) => erase(fallback.layer(failover)),
        None => erase(failover),
    };
    if !continued_models.is_empty() {
        inner = erase(ContinuationLayer::new(continued_models).layer(inner));
    }
    for wrap in layers.into_iter().rev() {
        inner = wrap(inner);
    }
    let stack = ServiceBuilder::new()
        // Outermost, so that refusals count and show.
        .layer(MetricsLayer::new(labels))
        .layer(RequestIdLayer::new())
        .layer(AccessLogLayer::new())
        // Nobody is cut off who still writes his request.
        .layer(LingerLayer::new())
        // Below here errors are typed; above, everything is an answer.
        .layer(RespondLayer::new().client_dialect(client_dialect))
        // Which host is asked, before anything else is asked.
        .layer(host_check)
        // Keys and limits before a byte of the body is buffered for a stranger.
        .layer(RequireApiKeyLayer::new(&keys))
        .layer(LoadShedLayer::new())
        .layer(InFlightLimitLayer::new(max_in_flight))
        // The body, once: `Request<Payload>` from here inward.
        .layer(CollectLayer::new(max_body_size).timeout(body_timeout).prompt_preview(prompt_preview))
        // While an answer is chosen, its client hears that it is.
        .layer(keep_alive)
        .service(inner);
    Ok(Gateway { stack, snapshot: Arc::new(snapshot), closing })
}

/// What all upstreams have in common.
struct Common<'b> {
    client_dialect: ClientDialect,
    state_store: Option<&'b StateStore>,
    max_answer_size: usize,
    max_held_size: usize,
    closing: &'b Closing,
    own_layers: &'b [WrapUpstream],
}

/// The stack of one upstream.
fn upstream(
    spec: UpstreamSpec,
    common: &Common<'_>,
) -> Result<(Upstream<PooledUpstream>, (UpstreamSnapshot, Health)), BoxError> {
    let client = HttpClient::builder(spec.api, spec.base_url.clone())
        .connect_timeout(spec.connect_timeout)
        .http2(spec.http2)
        .headers(spec.headers.clone())
        .build()?;
    let fetch_media = spec
        .fetch_media
        .clone()
        .map(|policy| FetchMediaLayer::new(spec.api.protocol(), policy))
        .transpose()?;
    let translation = translation(&spec, common.state_store).client_dialect(common.client_dialect);
    let models = known_models(&spec, &translation);
    let prefill = PrefillFilterLayer::new(spec.name.as_str(), takes_prefill(&spec, &translation));
    let name: Arc<str> = Arc::from(spec.name.as_str());
    let health = health(&spec, name.clone(), &models);
    let mut inner = erase(
        ServiceBuilder::new()
            // A pending edit; the filter and the breaker outside know the client's names.
            .layer(ModelMapLayer::new(spec.model_map.clone()))
            // In the client's protocol still, which is also the upstream's where it is relayed.
            .layer(option_layer(fetch_media))
            .layer(translation)
            // From here inward everything speaks the upstream's protocol.
            .layer(UsageLayer::new().named(name.clone()))
            .layer(must_stream(&spec).limit(common.max_answer_size))
            // The only room that holds keys; inside of it each has an attempt of its own.
            .layer(CredentialsLayer::new(spec.api, &spec.keys)?.health(health.clone()))
            // Everything outside sees one kind of failure.
            .layer(
                ClassifyLayer::new()
                    .limit(common.max_answer_size)
                    .hold(common.max_held_size)
                    .first_content(spec.first_content)
                    .content_gap(spec.content_gap)
                    .client_dialect(common.client_dialect),
            )
            // Clocks per attempt.
            .layer(
                StreamTimeoutLayer::new()
                    .head(spec.head_timeout)
                    .idle(spec.idle_timeout)
                    .closing(common.closing.clone()),
            )
            .service(client),
    );
    for wrap in common.own_layers.iter().rev() {
        inner = wrap(inner);
    }
    let breaker = CircuitBreakerLayer::of(health.clone());
    let filter = match &spec.models {
        Some(patterns) => ModelFilterLayer::new(patterns.iter().map(String::as_str)),
        None => ModelFilterLayer::any(),
    };
    // Above the erasure the pool can ask them without calling.
    let service = ServiceBuilder::new().layer(filter).layer(prefill).layer(breaker).service(Leaf::new(inner));
    let source = UpstreamSnapshot {
        name: name.clone(),
        api: spec.api,
        weight: spec.weight.max(1),
        priority: spec.priority,
        models,
        keys: spec.keys.len(),
        breaker: Vec::new(),
    };
    let upstream = Upstream { name, weight: source.weight, priority: source.priority, service };
    Ok((upstream, (source, health)))
}

/// One health for the breaker and the credentials: an upstream whose keys all rest is not eligible.
fn health(spec: &UpstreamSpec, upstream: Arc<str>, models: &[ModelSnapshot]) -> Health {
    let own =
        |name: &str| spec.model_map.iter().rev().find(|(alias, _)| alias == name).map(|(_, own)| own.clone());
    Health::new(Watched {
        upstream,
        policy: spec.breaker.unwrap_or(BreakerPolicy::NEVER),
        keys: spec.keys.len(),
        aliases: spec.model_map.clone(),
        models: models
            .iter()
            .map(|model| own(&model.name).unwrap_or_else(|| model.name.to_string()))
            .collect(),
    })
}

/// So many tokens take Anthropic's models ten minutes, which is as long as its SDKs wait for a document, and longer than
/// many networks let a connection be silent.
const LONG_ANSWER: u64 = 21_333;

fn must_stream(spec: &UpstreamSpec) -> MustStreamLayer {
    match (spec.must_stream, spec.api.protocol()) {
        (Some(true), _) => MustStreamLayer::always(),
        (None, Protocol::Anthropic) => MustStreamLayer::above(LONG_ANSWER),
        _ => MustStreamLayer::when_it_streams(),
    }
}

fn translation(spec: &UpstreamSpec, state_store: Option<&StateStore>) -> TranslateLayer {
    let plain = TranslateLayer::new(spec.api.protocol())
        .dialect(spec.dialect)
        .default_max_tokens(spec.default_max_tokens)
        .strict(spec.strict)
        .auto_cache(spec.auto_cache)
        .hosted_tools(spec.hosted_tools)
        .state_store(state_store.cloned(), spec.name.as_str())
        .stop_emulation(spec.stop_emulation)
        .estimate_usage(spec.estimate_usage);
    spec.capabilities.iter().fold(plain, |layer, (models, known)| layer.capabilities(models.as_str(), *known))
}

/// Erases a service's type: one box per seam, which buys per-upstream layers and readable errors.
pub(super) fn erase<S, B>(service: S) -> InnerService
where
    S: Service<Request<Payload>, Response = Response<B>> + Clone + Send + Sync + 'static,
    S::Error: Into<Error>,
    S::Future: Send,
    B: HttpBody<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    BoxCloneSyncService::new(
        service.map_response(|response: Response<B>| response.map(Body::new)).map_err(Into::into),
    )
}

/// Which models go on with the assistant's last turn: Anthropic's older ones. Others begin a new answer, unless somebody
/// has said of them that they go on.
fn takes_prefill(spec: &UpstreamSpec, translation: &TranslateLayer) -> impl Fn(&str) -> bool + use<> {
    let protocol = spec.api.protocol();
    let (map, overrides, translation) =
        (spec.model_map.clone(), spec.capabilities.clone(), translation.clone());
    move |model| {
        let model = upstream_model(&map, model);
        match protocol {
            Protocol::Anthropic => translation.capabilities_of(model).prefill,
            Protocol::OpenAi | Protocol::Responses | Protocol::Gemini => overrides
                .iter()
                .any(|(pattern, known)| known.prefill == Some(true) && matches(pattern, model)),
        }
    }
}

/// The upstream's name of a model. Of several mappings of one name the last holds, as in the layer.
fn upstream_model<'m>(map: &'m [(String, String)], model: &'m str) -> &'m str {
    map.iter().rev().find(|(alias, _)| alias == model).map_or(model, |(_, own)| own)
}

/// The models that an upstream is known to serve: listed ones and aliases that its filter lets through.
fn known_models(spec: &UpstreamSpec, translation: &TranslateLayer) -> Vec<ModelSnapshot> {
    let listed = spec.models.iter().flatten().filter(|pattern| !pattern.contains('*'));
    let aliases = spec.model_map.iter().map(|(alias, _)| alias).filter(|alias| {
        spec.models
            .as_ref()
            .is_none_or(|patterns| patterns.iter().any(|pattern| pattern == *alias || pattern.contains('*')))
    });
    let names: BTreeSet<&String> = listed.chain(aliases).collect();
    let known = names.into_iter().map(|name| {
        let capabilities = translation.capabilities_of(upstream_model(&spec.model_map, name));
        ModelSnapshot {
            name: Arc::from(name.as_str()),
            max_input: capabilities.input_limit(),
            max_output: capabilities.max_output,
        }
    });
    known.collect()
}

/// Other models for those that cannot be had; `None`: there are none.
fn fallback(chains: Vec<(String, Vec<String>)>, known: &[ModelSnapshot]) -> Option<ModelFallbackLayer> {
    let limit = |model: &str| {
        let known = known.iter().find(|known| &*known.name == model);
        known.map_or_else(|| Capabilities::of(model).input_limit(), |known| known.max_input)
    };
    (!chains.is_empty()).then(|| ModelFallbackLayer::new(chains).input_limits(limit))
}

fn distinct(upstreams: &[UpstreamSpec]) -> Result<(), BoxError> {
    let mut names = HashSet::new();
    match upstreams.iter().find(|spec| !names.insert(spec.name.to_lowercase())) {
        Some(twice) => Err(format!("two upstreams are called `{}`", twice.name).into()),
        None => Ok(()),
    }
}
