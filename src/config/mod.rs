//! The configuration: one YAML file, read with every problem reported at once.
//!
//! [`Config`] is plain data with the defaults filled in and the secrets resolved; nothing in it
//! refers back to the text. The keys are described in `config/aiproxy.example.yaml`.

mod address;
mod admin;
mod env;
mod failover;
mod load;
mod problem;
mod provider_keys;
mod read;
mod reader;
mod secret;
mod sections;
mod server;
mod tree;
mod units;
mod upstream;
mod words;

#[cfg(test)]
mod tests;

use std::path::Path;

use crate::protocol::ClientDialect;
use problem::Report;
use reader::{Context, Field};

pub use crate::layer::failover::{Backoff, RetryBudget, StatusPattern};
pub use address::Address;
pub use admin::Admin;
pub use env::Source;
pub use failover::Failover;
pub use problem::{Mark, Problem, Problems};
pub use secret::Secret;
pub use sections::{
    CircuitBreaker, Continuation, FetchMedia, KeepAlive, Log, LogFormat, Metrics, Shutdown, StateStore,
    Timeouts,
};
pub use server::Server;
pub use upstream::{ApiType, Compression, Upstream};

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Default `127.0.0.1:8080`.
    pub address: Address,
    /// Whether other machines may reach a gateway without `api_keys`. Default false.
    pub allow_public_without_keys: bool,
    /// Names under which the gateway may be asked besides those of this machine; `*` is any. Default: none, and any where
    /// other machines can reach the address.
    pub allowed_hosts: Vec<String>,
    /// The keys that clients must show, without duplicates; empty when none is configured.
    pub api_keys: Vec<Secret>,
    /// The output limit where an upstream's protocol demands one and the client gave none.
    /// `None`, the default, leaves the choice to the model's row.
    pub default_max_tokens: Option<u64>,
    /// Whether requests that cannot be translated exactly are refused, instead of naming in
    /// `x-aiproxy-warnings` what was lost. Default false.
    pub strict: bool,
    /// Whether the gateway looks for the stop sequences that an upstream's protocol does not take, instead of
    /// leaving them out. Default false.
    pub stop_emulation: bool,
    /// Whether Chat and Responses clients get estimated token counts where an upstream tells none. Default false.
    pub estimate_usage: bool,
    /// What clients want otherwise than their protocols say. Default: nothing.
    pub client_dialect: ClientDialect,
    /// How long upstreams may take, where they don't say otherwise themselves.
    pub timeouts: Timeouts,
    /// When streaming clients whose answer is long in coming get signs of life.
    pub keep_alive: KeepAlive,
    /// Whose texts another upstream goes on with when they break off.
    pub continuation: Continuation,
    /// Most bytes of a request body. Default 64 MiB.
    pub max_body_size: usize,
    /// Most bytes of an answer that is held whole: a document, or a stream that is to become one. Default 64 MiB.
    pub max_answer_size: usize,
    /// Most bytes of a stream that are held before its content begins. Default 16 MiB.
    pub max_held_size: usize,
    /// Most requests at a time, each counted until its last byte has gone. Default 10000.
    pub max_in_flight: usize,
    /// What is logged, and where to.
    pub log: Log,
    /// When upstreams rest after failures, where they don't say otherwise themselves.
    pub circuit_breaker: CircuitBreaker,
    /// Which media are fetched for upstreams, where they don't say otherwise themselves.
    pub fetch_media: FetchMedia,
    /// When and how often a request goes to another upstream.
    pub failover: Failover,
    /// Where state waits that clients drop and providers want back.
    pub state_store: StateStore,
    /// The Prometheus endpoint.
    pub metrics: Metrics,
    /// The listener for operators; `None`, the default, is none.
    pub admin: Option<Admin>,
    /// How the gateway stops.
    pub shutdown: Shutdown,
    /// The process and its connections.
    pub server: Server,
    /// Model → the models to ask for after it, in the order of the file.
    pub model_fallback: Vec<(String, Vec<String>)>,
    /// The enabled upstreams, in the order of the file.
    pub upstreams: Vec<Upstream>,
    /// The names of the disabled upstreams.
    pub disabled_upstreams: Vec<String>,
    /// What is accepted but deprecated, without effect, or probably not meant; nothing is printed here.
    pub warnings: Vec<Problem>,
}

impl Default for Config {
    /// All defaults, and no upstreams.
    fn default() -> Self {
        Config {
            address: Address::default(),
            allow_public_without_keys: false,
            allowed_hosts: Vec::new(),
            api_keys: Vec::new(),
            default_max_tokens: None,
            strict: false,
            stop_emulation: false,
            estimate_usage: false,
            client_dialect: ClientDialect::default(),
            timeouts: Timeouts::default(),
            keep_alive: KeepAlive::default(),
            continuation: Continuation::default(),
            max_body_size: 64 * 1024 * 1024,
            max_answer_size: 64 * 1024 * 1024,
            max_held_size: 16 * 1024 * 1024,
            max_in_flight: 10_000,
            log: Log::default(),
            circuit_breaker: CircuitBreaker::default(),
            fetch_media: FetchMedia::default(),
            failover: Failover::default(),
            state_store: StateStore::default(),
            metrics: Metrics::default(),
            admin: None,
            shutdown: Shutdown::default(),
            server: Server::default(),
            model_fallback: Vec::new(),
            upstreams: Vec::new(),
            disabled_upstreams: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

/// Most bytes of a configuration file.
const MAX_FILE: u64 = 4 * 1024 * 1024;

impl Config {
    /// Reads the file at `path`, with the environment of this process.
    ///
    /// # Errors
    ///
    /// Every problem of the file, each with its line and column; or why it cannot be read. A file of
    /// more than 4 MiB is refused.
    pub fn load(path: impl AsRef<Path>) -> Result<Config, Problems> {
        let variables = |name: &str| std::env::var(name).ok();
        let source = Source::new(path.as_ref(), &variables);
        match env::read_limited(path.as_ref(), MAX_FILE) {
            Ok(text) => Config::parse(&text, &source),
            Err(message) => Err(Problems::one(&source.name, message)),
        }
    }

    /// Reads a configuration from `text`.
    ///
    /// ```
    /// use aiproxy::config::{Config, Source};
    ///
    /// let source = Source::new("aiproxy.yaml", &|_| None);
    /// let config = Config::parse("upstreams: [{ name: a, token: sk-1 }]", &source)?;
    /// assert_eq!(config.upstreams[0].base_url.as_str(), "https://api.anthropic.com/");
    ///
    /// let problems = Config::parse("upstreams: [{ name: a, tokn: sk-1 }]", &source).unwrap_err();
    /// assert_eq!(
    ///     problems.to_string(),
    ///     "aiproxy.yaml:1:13: upstreams[0].token: is missing\n\
    ///      aiproxy.yaml:1:24: upstreams[0].tokn: unknown key; did you mean `token`?",
    /// );
    /// # Ok::<(), aiproxy::config::Problems>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Every problem of the text, each with its line and column.
    pub fn parse(text: &str, source: &Source<'_>) -> Result<Config, Problems> {
        let report = Report::new(&source.name);
        if text.len() as u64 > MAX_FILE {
            return Err(Problems::one(&source.name, format!("is larger than {} KiB", MAX_FILE / 1024)));
        }
        let tree = load::tree(text, &report);
        let context = Context::new(&report, source);
        let root = tree.as_ref().and_then(|tree| Field::root(&context, tree).map());
        let config = root.map(|map| map.read(read::config)).unwrap_or_default();
        report.finish().map(|warnings| Config { warnings, ..config })
    }

    /// Builds a configuration from the variables in which vendors' keys usually stand; `None` when
    /// none of them is set. Everything else is at its default.
    ///
    /// | variable | upstream | serves |
    /// |---|---|---|
    /// | `ANTHROPIC_API_KEY` (`ANTHROPIC_BASE_URL`) | `anthropic` | `claude-*` |
    /// | `OPENAI_API_KEY` (`OPENAI_BASE_URL`) | `openai` and `responses` | `gpt-*`, `o1*`, `o3*`, `o4*`, `chatgpt-*`, `codex-*` |
    /// | `GEMINI_API_KEY`, else `GOOGLE_API_KEY` | `gemini` | `gemini-*`, `gemma-*` |
    /// | `DEEPSEEK_API_KEY` | `deepseek` | `deepseek-*` |
    /// | `MISTRAL_API_KEY` | `mistral` | every model |
    /// | `GROQ_API_KEY` | `groq` | every model |
    /// | `XAI_API_KEY` | `xai` | every model |
    /// | `OPENROUTER_API_KEY` | `openrouter` | every model |
    ///
    /// Those that serve every model, because their models' names have nothing in common, stand at
    /// priority 1: they get what none of the others serves.
    ///
    /// # Errors
    ///
    /// Every variable that is set to something impossible.
    pub fn from_environment(variables: &dyn Fn(&str) -> Option<String>) -> Result<Option<Config>, Problems> {
        provider_keys::config(variables)
    }
}
