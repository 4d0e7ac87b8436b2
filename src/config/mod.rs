//! The configuration: one YAML file, read with every problem reported at once.
//!
//! [`Config`] is plain data with the defaults filled in and the secrets resolved; nothing in it
//! refers back to the text. The keys are described in `config/aiproxy.example.yaml`.

mod env;
mod problem;
mod secret;
mod sections;
mod upstream;

use std::path::Path;

pub use env::Source;
pub use problem::{Mark, Problem, Problems};
pub use secret::Secret;
pub use sections::{
    Address, CircuitBreaker, Failover, Log, LogFormat, Metrics, Server, Shutdown, StatusPattern, Timeouts,
};
pub use upstream::{ApiType, Compression, Upstream};

/// A whole configuration, checked.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where to listen. Default `127.0.0.1:8080`.
    pub address: Address,
    /// Whether other machines may reach a gateway without `api_keys`. Default false.
    pub allow_public_without_keys: bool,
    /// The keys that clients must show, without duplicates; empty when none is configured.
    pub api_keys: Vec<Secret>,
    /// The output limit where an upstream's protocol demands one and the client gave none.
    /// `None`, the default, leaves the choice to the model's row.
    pub default_max_tokens: Option<u64>,
    /// How long upstreams may take, where they don't say otherwise themselves.
    pub timeouts: Timeouts,
    /// Most bytes of a request body. Default 64 MiB.
    pub max_body_size: usize,
    /// Most requests at a time, each counted until its last byte has gone. Default 10000.
    pub max_in_flight: usize,
    /// What is logged, and where to.
    pub log: Log,
    /// When upstreams rest after failures, where they don't say otherwise themselves.
    pub circuit_breaker: CircuitBreaker,
    /// When and how often a request goes to another upstream.
    pub failover: Failover,
    /// The Prometheus endpoint.
    pub metrics: Metrics,
    /// How the gateway stops.
    pub shutdown: Shutdown,
    /// The process.
    pub server: Server,
    /// Model → the models to try after it, in the order of the file; not in force yet.
    pub model_fallback: Vec<(String, Vec<String>)>,
    /// The enabled upstreams, in the order of the file.
    pub upstreams: Vec<Upstream>,
    /// The names of the disabled upstreams.
    pub disabled_upstreams: Vec<String>,
    /// What is accepted but deprecated, without effect, or probably not meant; nothing is printed here.
    pub warnings: Vec<Problem>,
}

impl Config {
    /// Reads the file at `path`, with the environment of this process.
    ///
    /// # Errors
    ///
    /// Every problem of the file, each with its line and column.
    pub fn load(path: impl AsRef<Path>) -> Result<Config, Problems> {
        let _ = path;
        Err(Problems(Vec::new()))
    }

    /// Reads a configuration from `text`.
    ///
    /// # Errors
    ///
    /// Every problem of the text, each with its line and column.
    pub fn parse(text: &str, source: &Source<'_>) -> Result<Config, Problems> {
        let _ = (text, source);
        Err(Problems(Vec::new()))
    }

    /// Builds a configuration from the vendors' usual environment variables, `None` when none is set.
    ///
    /// # Errors
    ///
    /// Every variable that is set to something impossible.
    pub fn from_environment(variables: &dyn Fn(&str) -> Option<String>) -> Result<Option<Config>, Problems> {
        let _ = variables;
        Ok(None)
    }
}
