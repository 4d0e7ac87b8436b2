//! What the builder wants to know of an upstream.

use std::fmt;
use std::time::Duration;

use http::HeaderMap;
use url::Url;

use crate::layer::BreakerPolicy;
use crate::layer::fetch_media::FetchPolicy;
use crate::protocol::canonical::HostedTools;
use crate::protocol::{Dialect, Overrides};
use crate::upstream::ApiType;

/// One upstream of a [`Gateway`](super::Gateway).
#[derive(Clone)]
pub struct UpstreamSpec {
    pub(super) name: String,
    pub(super) api: ApiType,
    pub(super) base_url: Url,
    pub(super) keys: Vec<String>,
    pub(super) weight: u32,
    pub(super) priority: i32,
    pub(super) must_stream: Option<bool>,
    pub(super) model_map: Vec<(String, String)>,
    pub(super) models: Option<Vec<String>>,
    pub(super) headers: HeaderMap,
    pub(super) default_max_tokens: Option<u64>,
    pub(super) strict: bool,
    pub(super) stop_emulation: bool,
    pub(super) estimate_usage: bool,
    pub(super) auto_cache: bool,
    pub(super) hosted_tools: HostedTools,
    pub(super) connect_timeout: Duration,
    pub(super) http2: bool,
    pub(super) head_timeout: Option<Duration>,
    pub(super) first_content: Option<Duration>,
    pub(super) content_gap: Option<Duration>,
    pub(super) idle_timeout: Option<Duration>,
    pub(super) breaker: Option<BreakerPolicy>,
    pub(super) dialect: Dialect,
    pub(super) capabilities: Vec<(String, Overrides)>,
    pub(super) fetch_media: Option<FetchPolicy>,
}

impl UpstreamSpec {
    /// An upstream that serves every model, with weight 1 and a breaker of three failures and half an
    /// hour.
    #[must_use]
    pub fn new(name: impl Into<String>, api: ApiType, base_url: Url) -> Self {
        UpstreamSpec {
            name: name.into(),
            api,
            base_url,
            keys: Vec::new(),
            weight: 1,
            priority: 0,
            must_stream: None,
            model_map: Vec::new(),
            models: None,
            headers: HeaderMap::new(),
            default_max_tokens: None,
            strict: false,
            stop_emulation: false,
            estimate_usage: false,
            auto_cache: false,
            hosted_tools: HostedTools::default(),
            connect_timeout: Duration::from_secs(10),
            http2: false,
            head_timeout: Some(Duration::from_secs(600)),
            first_content: Some(Duration::from_secs(600)),
            content_gap: Some(Duration::from_secs(600)),
            idle_timeout: Some(Duration::from_secs(300)),
            breaker: Some(BreakerPolicy::default()),
            dialect: Dialect::default(),
            capabilities: Vec::new(),
            fetch_media: None,
        }
    }

    /// Adds a key; several are used in rotation.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.keys.push(key.into());
        self
    }

    /// Its share of the picks. Default 1.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Upstreams of a lower number go first. Default 0.
    #[must_use]
    pub fn priority(mut self, priority: i32) -> Self {
        self.priority = priority;
        self
    }

    /// Whether it is asked for a stream also where the client wants a document. Default: if the request is
    /// translated to Anthropic's protocol and the answer may take longer than ten minutes.
    #[must_use]
    pub fn must_stream(mut self, must_stream: impl Into<Option<bool>>) -> Self {
        self.must_stream = must_stream.into();
        self
    }

    /// Its name for a model that clients call `alias`.
    #[must_use]
    pub fn map_model(mut self, alias: impl Into<String>, name: impl Into<String>) -> Self {
        self.model_map.push((alias.into(), name.into()));
        self
    }

    /// The models it serves, by the clients' names; `*` stands for any run of characters. Default: all.
    #[must_use]
    pub fn models<M: Into<String>>(mut self, patterns: impl IntoIterator<Item = M>) -> Self {
        self.models = Some(patterns.into_iter().map(Into::into).collect());
        self
    }

    /// Headers of every request to it.
    #[must_use]
    pub fn headers(mut self, headers: HeaderMap) -> Self {
        self.headers = headers;
        self
    }

    /// The output limit to send where its protocol demands one and the client gave none.
    #[must_use]
    pub fn default_max_tokens(mut self, tokens: impl Into<Option<u64>>) -> Self {
        self.default_max_tokens = tokens.into();
        self
    }

    /// Refuses what cannot be translated exactly; see [`TranslateLayer::strict`](crate::layer::TranslateLayer::strict).
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// Looks for the stop sequences that it does not take; see
    /// [`TranslateLayer::stop_emulation`](crate::layer::TranslateLayer::stop_emulation).
    #[must_use]
    pub fn stop_emulation(mut self, stop_emulation: bool) -> Self {
        self.stop_emulation = stop_emulation;
        self
    }

    /// Gives every client token counts; see
    /// [`TranslateLayer::estimate_usage`](crate::layer::TranslateLayer::estimate_usage).
    #[must_use]
    pub fn estimate_usage(mut self, estimate_usage: bool) -> Self {
        self.estimate_usage = estimate_usage;
        self
    }

    /// Caches prompts of clients without cache marks; see
    /// [`TranslateLayer::auto_cache`](crate::layer::TranslateLayer::auto_cache).
    #[must_use]
    pub fn auto_cache(mut self, auto_cache: bool) -> Self {
        self.auto_cache = auto_cache;
        self
    }

    /// What becomes of tools that only another provider runs. Default: the request is refused.
    #[must_use]
    pub fn hosted_tools(mut self, policy: HostedTools) -> Self {
        self.hosted_tools = policy;
        self
    }

    /// [`HttpClientBuilder::http2`](crate::upstream::HttpClientBuilder::http2). Default false.
    #[must_use]
    pub fn http2(mut self, http2: bool) -> Self {
        self.http2 = http2;
        self
    }

    /// Most time to connect. Default 10 seconds.
    #[must_use]
    pub fn connect_timeout(mut self, most: Duration) -> Self {
        self.connect_timeout = most;
        self
    }

    /// Most time to the head of an answer. Default 10 minutes.
    #[must_use]
    pub fn head_timeout(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.head_timeout = most.into();
        self
    }

    /// Most time from the request to the first content of a stream: text, reasoning or a call. Default 10 minutes.
    #[must_use]
    pub fn first_content_timeout(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.first_content = most.into();
        self
    }

    /// Most time between two pieces of content in a stream. Default 10 minutes.
    #[must_use]
    pub fn content_gap_timeout(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.content_gap = most.into();
        self
    }

    /// Longest silence in an answer. Default 5 minutes.
    #[must_use]
    pub fn idle_timeout(mut self, most: impl Into<Option<Duration>>) -> Self {
        self.idle_timeout = most.into();
        self
    }

    /// When it rests; `None`: never.
    #[must_use]
    pub fn breaker(mut self, policy: impl Into<Option<BreakerPolicy>>) -> Self {
        self.breaker = policy.into();
        self
    }

    /// How it bends its protocol.
    #[must_use]
    pub fn dialect(mut self, dialect: Dialect) -> Self {
        self.dialect = dialect;
        self
    }

    /// What is known of some models; see
    /// [`TranslateLayer::capabilities`](crate::layer::TranslateLayer::capabilities).
    #[must_use]
    pub fn capabilities(mut self, models: impl Into<String>, known: Overrides) -> Self {
        self.capabilities.push((models.into(), known));
        self
    }

    /// Fetches the pictures and PDFs that it does not fetch itself; see
    /// [`FetchMediaLayer`](crate::layer::FetchMediaLayer). Default: `None`, they are not fetched.
    #[must_use]
    pub fn fetch_media(mut self, policy: impl Into<Option<FetchPolicy>>) -> Self {
        self.fetch_media = policy.into();
        self
    }
}

impl fmt::Debug for UpstreamSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Keys and headers are secrets.
        f.debug_struct("UpstreamSpec")
            .field("name", &self.name)
            .field("api", &self.api)
            .field("weight", &self.weight)
            .finish_non_exhaustive()
    }
}
