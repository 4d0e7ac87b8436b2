//! One entry of `upstreams`.

pub(super) mod base_url;
mod capabilities;
mod headers;
mod read;

use std::num::NonZeroU32;

use http::HeaderName;
use url::Url;

pub(super) use read::read_all;

use super::secret::Secret;
use super::sections::{CircuitBreaker, FetchMedia, Timeouts};
use crate::protocol::canonical::HostedTools;
use crate::protocol::{Dialect, Overrides};
pub use crate::upstream::ApiType;

/// An enabled upstream. Global `timeouts`, `circuit_breaker`, `fetch_media` and `default_max_tokens` are
/// merged in already: what stands here is in force.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// Unique, without regard to case; `[A-Za-z0-9._-]`, at most 64 characters. It is a metric label.
    pub name: String,
    /// What it speaks and how it is authenticated. Default `anthropic`.
    pub api_type: ApiType,
    /// http or https, without user, query, fragment and trailing slash. Defaults to the vendor's own.
    pub base_url: Url,
    /// The keys, without duplicates; empty only where `base_url` is on this machine.
    pub tokens: Vec<Secret>,
    /// Its share among upstreams of the same priority. Default 1.
    pub weight: NonZeroU32,
    /// Lower numbers are tried first; higher ones only when none of the lower is left. Default 0.
    pub priority: i32,
    /// Whether it is asked for a stream whatever the client asked for. Default: only where it is translated to
    /// Anthropic's protocol and the answer may take longer than ten minutes.
    pub must_stream: Option<bool>,
    /// Client model name → upstream model name, in the order of the file.
    pub model_mappings: Vec<(String, String)>,
    /// The client model names it serves, `*` at the end standing for any rest; `None` is all.
    pub available_models: Option<Vec<String>>,
    /// Headers added to every request, over those that aiproxy would send.
    pub http_headers: Vec<(HeaderName, Secret)>,
    /// How request bodies are to be compressed; not in force yet.
    pub request_compression: Compression,
    /// The output limit where the protocol demands one and the client gave none; `None` leaves the
    /// choice to the model's row.
    pub default_max_tokens: Option<u64>,
    /// Whether what cannot be translated exactly is refused instead of named in a header. Default false.
    pub strict: bool,
    /// Whether the gateway looks for the stop sequences that its protocol does not take. Default false.
    pub stop_emulation: bool,
    /// Whether clients that can do without token counts get estimated ones where it tells none. Default false.
    pub estimate_usage: bool,
    /// Whether Anthropic is to cache prompts of clients without cache marks. Default false.
    pub auto_cache: bool,
    /// Whether the upstream may choose HTTP/2. Default false.
    pub http2: bool,
    /// What becomes of tools that only another provider runs. Default: the request is refused.
    pub hosted_tools: HostedTools,
    /// How long it may take.
    pub timeouts: Timeouts,
    /// When it rests.
    pub circuit_breaker: CircuitBreaker,
    /// Which media are fetched for it. Default: none.
    pub fetch_media: FetchMedia,
    /// How it bends its protocol. Default: not at all.
    pub dialect: Dialect,
    /// What is known of its models beyond the built-in table: a pattern of names, and what holds for them.
    /// Of several that match, later ones win.
    pub capabilities: Vec<(String, Overrides)>,
}

impl Upstream {
    /// An upstream without keys that serves every model, everything else at its default.
    #[must_use]
    pub fn new(name: impl Into<String>, api_type: ApiType, base_url: Url) -> Self {
        Upstream {
            name: name.into(),
            api_type,
            base_url,
            tokens: Vec::new(),
            weight: NonZeroU32::MIN,
            priority: 0,
            must_stream: None,
            model_mappings: Vec::new(),
            available_models: None,
            http_headers: Vec::new(),
            request_compression: Compression::None,
            default_max_tokens: None,
            strict: false,
            stop_emulation: false,
            estimate_usage: false,
            auto_cache: false,
            http2: false,
            hosted_tools: HostedTools::default(),
            timeouts: Timeouts::default(),
            circuit_breaker: CircuitBreaker::default(),
            fetch_media: FetchMedia::default(),
            dialect: Dialect::default(),
            capabilities: Vec::new(),
        }
    }
}

/// How a request body is compressed on its way to the upstream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    #[default]
    None,
    /// gzip.
    Gzip,
    /// Brotli.
    Brotli,
    /// Zstandard.
    Zstd,
}
