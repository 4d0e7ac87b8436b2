//! The plain structs of the sections, with their defaults.
//!
//! They hold meaning, not spelling: durations are [`Duration`]s, sizes are bytes, `none` is `None`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::layer::fetch_media::FetchPolicy;

const MINUTE: Duration = Duration::from_secs(60);
const MIB: u64 = 1024 * 1024;

/// How long an upstream may take (`timeouts`). `None` is "no limit", spelled `none` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To open the connection, TLS included. Default 10 s.
    pub connect: Option<Duration>,
    /// From sending the request to the response's head. Default 600 s.
    /// `upstream_request_timeout` is its old name.
    pub head: Option<Duration>,
    /// From sending the request to the first content of a stream; pings are no content. Default 600 s.
    pub first_content: Option<Duration>,
    /// Between two pieces of content in a stream. Default 600 s.
    pub content_gap: Option<Duration>,
    /// The longest silence within an answer that has begun; pings break it. Default 300 s.
    pub idle: Option<Duration>,
    /// From the request to the beginning of its answer, all attempts together. Default none.
    pub request: Option<Duration>,
}

impl Default for Timeouts {
    fn default() -> Self {
        Timeouts {
            connect: Some(Duration::from_secs(10)),
            head: Some(10 * MINUTE),
            first_content: Some(10 * MINUTE),
            content_gap: Some(10 * MINUTE),
            idle: Some(5 * MINUTE),
            request: None,
        }
    }
}

/// Signs of life for streaming clients (`keep_alive`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeepAlive {
    /// Whether there are any. Default true.
    pub enabled: bool,
    /// How long the beginning of an answer is waited for before the response head goes out. Default 10 s.
    pub grace: Duration,
    /// The longest silence after that. Default 15 s.
    pub interval: Duration,
}

impl Default for KeepAlive {
    fn default() -> Self {
        KeepAlive { enabled: true, grace: Duration::from_secs(10), interval: Duration::from_secs(15) }
    }
}

/// Whose texts another upstream goes on with when they break off in mid-stream (`continuation`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Continuation {
    /// Models by the clients' names; `*` at the end stands for any rest. Default: none.
    pub models: Vec<String>,
}

/// When an upstream rests after failures (`circuit_breaker`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CircuitBreaker {
    /// Whether there is a breaker at all. Default true.
    pub enabled: bool,
    /// Failures in a row that open it. Default 3.
    pub failures: NonZeroU32,
    /// How long it stays open before one request may probe. Default 30 minutes.
    pub open_for: Duration,
    /// The longest rest that an upstream's own word (`Retry-After` and its kin) can bring about. Default 30 minutes.
    pub max_rest: Duration,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        CircuitBreaker {
            enabled: true,
            failures: NonZeroU32::MIN.saturating_add(2),
            open_for: 30 * MINUTE,
            max_rest: 30 * MINUTE,
        }
    }
}

/// Whether pictures and PDFs that an upstream does not fetch are fetched for it (`fetch_media`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FetchMedia {
    /// Default false.
    pub enabled: bool,
    /// What may be fetched.
    pub policy: FetchPolicy,
}

/// What is logged, and where to (`log`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// `trace`, `debug`, `info`, `warn`, `error`, `off`, or directives such as `info,aiproxy=debug`.
    /// Default `info`.
    pub level: String,
    /// Lines for people or JSON for machines. Default text.
    pub format: LogFormat,
    /// The file to write to, as written in the configuration; `None`, the default, is standard error.
    pub file: Option<std::path::PathBuf>,
    /// Bytes after which the file is rotated. Default 100 MiB.
    pub max_size: u64,
    /// Rotated files that are kept. Default 3.
    pub max_backups: usize,
    /// How long rotated files are kept. Default 28 days.
    pub max_age: Duration,
    /// Whether rotated files are compressed with gzip. Default false.
    pub compress: bool,
    /// Characters of the prompt that may appear in the log. Default 0: none.
    pub prompt_preview: usize,
}

impl Default for Log {
    fn default() -> Self {
        Log {
            level: "info".to_owned(),
            format: LogFormat::Text,
            file: None,
            max_size: 100 * MIB,
            max_backups: 3,
            max_age: Duration::from_secs(28 * 24 * 60 * 60),
            compress: false,
            prompt_preview: 0,
        }
    }
}

/// How log lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// The memory for what clients drop and providers want back with their calls (`state_store`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateStore {
    /// Whether there is one. Default true.
    pub enabled: bool,
    /// Most bytes of it. Default 16 MiB.
    pub max_size: usize,
    /// How long an entry stays unused. Default an hour.
    pub ttl: Duration,
}

impl Default for StateStore {
    fn default() -> Self {
        StateStore { enabled: true, max_size: 16 << 20, ttl: 60 * MINUTE }
    }
}

/// The Prometheus endpoint (`metrics`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metrics {
    /// Whether it is served. Default true.
    pub enabled: bool,
    /// Its path. Default `/metrics`.
    pub path: String,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics { enabled: true, path: "/metrics".to_owned() }
    }
}

/// How the gateway stops (`shutdown`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shutdown {
    /// How long requests in flight may go on after the signal to stop. Default 600 s.
    pub drain: Duration,
}

impl Default for Shutdown {
    fn default() -> Self {
        Shutdown { drain: 10 * MINUTE }
    }
}
