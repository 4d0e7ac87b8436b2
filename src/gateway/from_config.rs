//! Configuration to builder: YAML is the builder's first client.

use http::{HeaderMap, HeaderValue};

use super::{Builder, Gateway, UpstreamSpec};
use crate::config::{self, Config};
use crate::error::BoxError;
use crate::layer::failover::FailoverPolicy;
use crate::layer::{BreakerPolicy, KeepAliveLayer, StateStore};

impl Gateway {
    /// Builds the gateway that a configuration describes.
    ///
    /// # Errors
    ///
    /// What [`Builder::build`] refuses; a checked configuration holds nothing of it but keys with
    /// characters that no header can carry.
    pub fn from_config(config: &Config) -> Result<Gateway, BoxError> {
        Builder::from_config(config)?.build()
    }
}

impl Builder {
    /// A builder with everything that a configuration says; add layers of your own and build it.
    ///
    /// # Errors
    ///
    /// If a configured header value holds characters that no header can carry.
    pub fn from_config(config: &Config) -> Result<Builder, BoxError> {
        let mut builder = Gateway::builder()
            .max_body_size(config.max_body_size)
            .body_timeout(config.server.body_timeout)
            .max_answer_size(config.max_answer_size)
            .max_held_size(config.max_held_size)
            .max_in_flight(config.max_in_flight)
            .keep_alive(keep_alive(config.keep_alive))
            .continue_texts(&config.continuation.models)
            .prompt_preview(config.log.prompt_preview)
            .client_dialect(config.client_dialect)
            .state_store(state_store(config.state_store))
            .failover(FailoverPolicy {
                max_attempts: config.failover.max_attempts.get(),
                per_upstream: config.failover.attempts_per_upstream.get(),
                backoff: config.failover.backoff,
                budget: config.failover.budget,
                deadline: config.timeouts.request,
                statuses: config.failover.on.clone(),
            });
        for key in &config.api_keys {
            builder = builder.api_key(key.expose());
        }
        for (model, next) in &config.model_fallback {
            builder = builder.model_fallback(model, next);
        }
        for upstream in &config.upstreams {
            builder = builder.upstream(spec(upstream, config)?);
        }
        Ok(builder)
    }
}

fn keep_alive(signs: config::KeepAlive) -> KeepAliveLayer {
    match signs.enabled {
        true => KeepAliveLayer::new().grace(signs.grace).interval(signs.interval),
        false => KeepAliveLayer::none(),
    }
}

fn state_store(store: config::StateStore) -> Option<StateStore> {
    store.enabled.then(|| StateStore::new(store.max_size, store.ttl))
}

fn spec(upstream: &config::Upstream, config: &Config) -> Result<UpstreamSpec, BoxError> {
    let timeouts = &upstream.timeouts;
    let breaker = &upstream.circuit_breaker;
    let policy = BreakerPolicy {
        failures: breaker.failures.get(),
        open_for: breaker.open_for,
        max_rest: breaker.max_rest,
    };
    let mut spec = UpstreamSpec::new(&upstream.name, upstream.api_type, upstream.base_url.clone())
        .weight(upstream.weight.get())
        .priority(upstream.priority)
        .must_stream(upstream.must_stream)
        .default_max_tokens(upstream.default_max_tokens.or(config.default_max_tokens))
        .strict(upstream.strict)
        .stop_emulation(upstream.stop_emulation)
        .estimate_usage(upstream.estimate_usage)
        .auto_cache(upstream.auto_cache)
        .http2(upstream.http2)
        .hosted_tools(upstream.hosted_tools)
        .head_timeout(timeouts.head)
        .first_content_timeout(timeouts.first_content)
        .content_gap_timeout(timeouts.content_gap)
        .idle_timeout(timeouts.idle)
        .breaker(breaker.enabled.then_some(policy))
        .dialect(upstream.dialect)
        .fetch_media(upstream.fetch_media.enabled.then(|| upstream.fetch_media.policy.clone()))
        .headers(headers(upstream)?);
    if let Some(connect) = timeouts.connect {
        spec = spec.connect_timeout(connect);
    }
    if let Some(models) = &upstream.available_models {
        spec = spec.models(models);
    }
    for key in &upstream.tokens {
        spec = spec.key(key.expose());
    }
    for (models, known) in &upstream.capabilities {
        spec = spec.capabilities(models, *known);
    }
    for (alias, name) in &upstream.model_mappings {
        spec = spec.map_model(alias, name);
    }
    Ok(spec)
}

fn headers(upstream: &config::Upstream) -> Result<HeaderMap, BoxError> {
    let mut headers = HeaderMap::new();
    for (name, value) in &upstream.http_headers {
        let Ok(mut value) = HeaderValue::from_str(value.expose()) else {
            return Err(
                format!("upstream `{}`: the value of `{name}` is no header value", upstream.name).into()
            );
        };
        value.set_sensitive(true);
        headers.insert(name.clone(), value);
    }
    Ok(headers)
}
