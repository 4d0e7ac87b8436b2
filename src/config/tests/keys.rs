//! What the keys mean once they are read.

use std::time::Duration;

use super::{config, problems, warnings, with_root, with_upstream};
use crate::config::{ApiType, Backoff, Compression, LogFormat, RetryBudget, StatusPattern};
use crate::protocol::canonical::HostedTools;
use crate::protocol::{ClientDialect, Thinking};

/// The shape of the older program's documented example.
const SEED: &str = r#"
bind: "127.0.0.1"
listen: ":8080"
default_max_tokens: 4096
upstream_request_timeout: 60
api-key:
  - "client-key-1"
  - "client-key-2"
  - "client-key-1"
log:
  file: "logs/aiproxy.log"
  max_size: 100
  max_backups: 3
  max_age: 28
  compress: true
upstreams:
  - name: "anthropic-primary"
    enabled: true
    base_url: "https://api.anthropic.com"
    token: "sk-ant-1"
    weight: 10
    model_mappings:
      "claude-3-5-sonnet-20241022": "claude-3-5-sonnet-20241022"
      "gpt-4": "claude-3-opus-20240229"
    available_models:
      - "claude-3-5-sonnet-20241022"
      - "gpt-4"
    must_stream: false
  - name: openai
    base_url: https://api.openai.com/
    token: [sk-1, sk-2]
    weight: 0
    api_type: openai
    available_models: gpt-4o
    request_compression: zstd
    http_headers:
      X-Team: blue
  - name: codex
    enabled: false
    api_type: codex
    auth_files: ["auth/codex.json"]
model_fallback:
  claude-a: claude-b
"#;

#[test]
fn the_older_programs_files_load_as_they_are() {
    let config = config(SEED);
    assert_eq!(config.address.to_string(), "127.0.0.1:8080");
    assert_eq!(config.default_max_tokens, Some(4096));
    assert_eq!(config.timeouts.head, Some(Duration::from_secs(60)));
    let keys: Vec<&str> = config.api_keys.iter().map(|key| key.expose()).collect();
    assert_eq!(keys, ["client-key-1", "client-key-2"]);
    assert!(config.log.compress && config.log.file.as_deref() == Some("logs/aiproxy.log".as_ref()));
    assert_eq!(config.disabled_upstreams, ["codex"]);
    assert_eq!(config.model_fallback, [("claude-a".to_owned(), vec!["claude-b".to_owned()])]);
    let [anthropic, openai] = &config.upstreams[..] else { panic!("two upstreams are enabled") };
    assert_eq!((anthropic.weight.get(), anthropic.model_mappings.len()), (10, 2));
    assert_eq!(anthropic.api_type, ApiType::Anthropic);
    assert_eq!(anthropic.default_max_tokens, Some(4096));
    assert_eq!(anthropic.timeouts.head, Some(Duration::from_secs(60)));
    assert_eq!((openai.weight.get(), openai.tokens.len()), (1, 2));
    assert_eq!(openai.available_models.as_deref(), Some(&["gpt-4o".to_owned()][..]));
    assert_eq!(openai.request_compression, Compression::Zstd);
    assert_eq!(openai.http_headers[0].0, "x-team");
    assert_eq!(
        warnings(SEED),
        [
            "5:27: upstream_request_timeout: is the old name of `timeouts.head`",
            "32:13: upstreams[1].weight: is below 1, which means 1; say `enabled: false` to switch it off",
            "35:26: upstreams[1].request_compression: is not in force yet: bodies are sent as they are",
        ]
    );
}

#[test]
fn a_file_with_upstreams_alone_has_the_documented_defaults() {
    let config = config(&with_root(""));
    assert_eq!(config.address.to_string(), "127.0.0.1:8080");
    assert_eq!((config.max_body_size, config.max_in_flight), (64 << 20, 10_000));
    assert_eq!((config.default_max_tokens, config.server.worker_threads), (None, None));
    assert_eq!((config.circuit_breaker.failures.get(), config.circuit_breaker.open_for.as_secs()), (3, 1800));
    assert_eq!(config.circuit_breaker.max_rest.as_secs(), 1800);
    assert!(config.admin.is_none(), "nobody listens for operators unless told to");
    assert_eq!(config.timeouts.first_content, Some(Duration::from_secs(600)));
    assert_eq!(config.shutdown.drain.as_secs(), 600);
    assert!(config.api_keys.is_empty() && config.warnings.is_empty());
    let upstream = &config.upstreams[0];
    assert_eq!((upstream.weight.get(), upstream.priority, upstream.must_stream), (1, 0, None));
    assert_eq!(upstream.base_url.as_str(), "https://api.anthropic.com/");
    assert_eq!(upstream.available_models, None);
}

#[test]
fn operators_have_an_address_and_a_key_of_their_own() {
    for (listen, address) in
        [("9090", "127.0.0.1:9090"), ("localhost:1", "localhost:1"), ("\"[::1]:2\"", "[::1]:2")]
    {
        let config =
            config(&with_root(&format!("api-key: sk-1\nadmin: {{ listen: {listen}, key: env.ADMIN }}")));
        let admin = config.admin.as_ref().unwrap();
        assert_eq!((admin.listen.to_string().as_str(), admin.key.expose()), (address, "secret-of-ADMIN"));
        assert!(!format!("{config:?}").contains("secret-of"), "{config:?}");
    }
}

#[test]
fn upstreams_override_what_is_said_for_all() {
    let config = config(
        "default_max_tokens: 100
strict: true
stop_emulation: true
timeouts: { head: 10s, idle: off, request: 1h }
circuit_breaker: { failures: 9, enabled: false }
upstreams:
  - { name: a, token: b }
  - name: c
    token: d
    default_max_tokens: 200
    strict: false
    stop_emulation: false
    estimate_usage: true
    auto_cache: true
    http2: true
    hosted_tools: strip
    timeouts: { idle: 5, request: none }
    circuit_breaker: { open_for: 1m, enabled: true }
",
    );
    let [plain, own] = &config.upstreams[..] else { panic!("two upstreams") };
    assert_eq!((plain.timeouts, plain.circuit_breaker), (config.timeouts, config.circuit_breaker));
    assert_eq!((plain.default_max_tokens, own.default_max_tokens), (Some(100), Some(200)));
    assert_eq!((plain.strict, own.strict), (true, false));
    assert_eq!((plain.stop_emulation, own.stop_emulation), (true, false));
    assert_eq!((plain.estimate_usage, own.estimate_usage), (false, true));
    assert_eq!((plain.auto_cache, own.auto_cache), (false, true));
    assert_eq!((plain.http2, own.http2), (false, true));
    assert_eq!((plain.hosted_tools, own.hosted_tools), (HostedTools::Reject, HostedTools::Strip));
    assert_eq!(own.timeouts.head, Some(Duration::from_secs(10)));
    assert_eq!((own.timeouts.idle, own.timeouts.request), (Some(Duration::from_secs(5)), None));
    assert_eq!(config.timeouts.idle, None);
    assert!(own.circuit_breaker.enabled && !config.circuit_breaker.enabled);
    assert_eq!((own.circuit_breaker.failures.get(), own.circuit_breaker.open_for.as_secs()), (9, 60));
}

#[test]
fn the_old_timeout_of_zero_is_the_default() {
    let text = with_root("upstream_request_timeout: 0");
    assert_eq!(config(&text).timeouts.head, Some(Duration::from_secs(600)));
    assert!(warnings(&text).is_empty());
    assert_eq!(
        config(&with_root("upstream_request_timeout: 90s")).timeouts.head,
        Some(Duration::from_secs(90))
    );
}

#[test]
fn sections_say_what_they_mean() {
    let config = config(&with_root(
        "log: { level: \"warn,aiproxy=debug\", format: JSON, max_size: 5, max_age: 2, prompt_preview: 80 }
failover: { max_attempts: 2, attempts_per_upstream: 3, on: [429, 5xx], backoff: { base: 1s, max: 3s }, budget: { percent: 5 } }
metrics: { enabled: false, path: /internal/metrics }
shutdown: { drain: 0 }
server: { worker_threads: 2, max_connections: 9, max_header_size: 8KiB, header_timeout: 5, write_timeout: none }
max_answer_size: 1MiB
max_held_size: 2MiB
keep_alive: { enabled: false, grace: 3s, interval: 5s }
continuation: { models: [local, claude-*] }
state_store: { enabled: false, max_size: 1MiB, ttl: 5m }
max_body_size: 32MB",
    ));
    assert_eq!((config.log.level.as_str(), config.log.format), ("warn,aiproxy=debug", LogFormat::Json));
    assert_eq!((config.log.max_size, config.log.max_age.as_secs()), (5 << 20, 2 * 86_400));
    assert_eq!(config.log.prompt_preview, 80);
    assert_eq!(config.failover.max_attempts.get(), 2);
    let second = Duration::from_secs(1);
    assert_eq!(config.failover.backoff, Backoff { base: second, max: 3 * second });
    assert_eq!(config.failover.budget, Some(RetryBudget { percent: 5, per_second: 10 }));
    assert_eq!((config.max_answer_size, config.max_held_size), (1 << 20, 2 << 20));
    assert_eq!((config.server.max_connections, config.server.max_header_size), (9, 8192));
    assert_eq!((config.server.header_timeout, config.server.write_timeout), (Some(5 * second), None));
    assert_eq!(config.failover.on, [StatusPattern::Exact(429), StatusPattern::Class(5)]);
    assert!(
        config.failover.on.iter().any(|pattern| pattern.matches(http::StatusCode::from_u16(503).unwrap()))
    );
    assert!(
        !config.failover.on.iter().any(|pattern| pattern.matches(http::StatusCode::from_u16(404).unwrap()))
    );
    assert_eq!(config.metrics.path, "/internal/metrics");
    assert!(!config.metrics.enabled && config.shutdown.drain.is_zero());
    assert_eq!(config.server.worker_threads.map(|count| count.get()), Some(2));
    assert_eq!(config.continuation.models, ["local", "claude-*"]);
    let signs = config.keep_alive;
    assert_eq!((signs.enabled, signs.grace.as_secs(), signs.interval.as_secs()), (false, 3, 5));
    let store = config.state_store;
    assert_eq!((store.enabled, store.max_size, store.ttl.as_secs()), (false, 1 << 20, 300));
    assert_eq!(config.max_body_size, 32_000_000);
}

#[test]
fn listen_wins_over_bind() {
    for (lines, address) in [
        ("listen: 9000", "127.0.0.1:9000"),
        ("listen: \"9000\"", "127.0.0.1:9000"),
        ("listen: :${PORT}", "127.0.0.1:9000"),
        ("bind: localhost\nlisten: :0", "localhost:0"),
        ("bind: \"::1\"\nlisten: 80", "[::1]:80"),
        ("bind: 0.0.0.0\nlisten: 127.0.0.1:80", "127.0.0.1:80"),
        ("listen: \"[::1]:8080\"", "[::1]:8080"),
    ] {
        assert_eq!(config(&with_root(lines)).address.to_string(), address);
    }
}

#[test]
fn a_gateway_open_to_all_takes_two_deliberate_settings() {
    for line in ["bind: 0.0.0.0", "bind: \"::\"", "listen: 0.0.0.0:80", "bind: gateway.example"] {
        let found = problems(&with_root(line));
        assert!(found.len() == 1 && found[0].contains("there is no `api-key`"), "{found:?}");
        assert!(found[0].starts_with("1:"), "{found:?}");
        config(&with_root(&format!("{line}\nallow_public_without_keys: true")));
        config(&with_root(&format!("{line}\napi-key: sk-2")));
    }
}

#[test]
fn upstreams_on_this_machine_need_no_token() {
    for url in ["http://127.0.0.1:9", "http://localhost:9/v1", "http://[::1]:9"] {
        let config = config(&format!("upstreams: [{{ name: a, base_url: \"{url}\" }}]"));
        assert!(config.upstreams[0].tokens.is_empty());
    }
    let found = problems("upstreams: [{ name: a, base_url: \"http://10.0.0.1\" }]");
    assert_eq!(found, ["1:13: upstreams[0].token: is missing"]);
}

#[test]
fn numbers_and_flags_may_come_from_the_environment() {
    let config = config(&with_root("max_in_flight: ${PORT}\nallow_public_without_keys: ${FLAG}"));
    assert_eq!((config.max_in_flight, config.allow_public_without_keys), (9000, true));
}

#[test]
fn a_models_capabilities_can_be_told() {
    let config = config(&with_upstream(
        "capabilities: [{ models: [mine, yours*], thinking: budget, context: 300, max_input: 200, max_output: 100, sampling: false }, { models: yours-2, sampling: true }]",
    ));
    let known = &config.upstreams[0].capabilities;
    let names: Vec<&str> = known.iter().map(|(models, _)| models.as_str()).collect();
    assert_eq!(names, ["mine", "yours*", "yours-2"]);
    assert_eq!((known[1].1.max_output, known[1].1.thinking), (Some(100), Some(Thinking::Budget)));
    assert_eq!((known[0].1.context, known[0].1.max_input), (Some(300), Some(200)));
    assert_eq!(
        (known[0].1.sampling, known[2].1.sampling, known[2].1.effort),
        (Some(false), Some(true), None)
    );
}

#[test]
fn dialects_are_flags() {
    let config = config(&with_upstream("dialect: [vertex, no_stream_options]"));
    let dialect = config.upstreams[0].dialect;
    assert!(dialect.vertex && dialect.no_stream_options && !dialect.developer_role);
    let known = |line: &str| super::config(&with_root(line)).client_dialect;
    assert_eq!(known("max_in_flight: 9"), ClientDialect::default());
    assert_eq!(known("client_dialect: no_529"), ClientDialect { no_529: true, resp_error_event: false });
    assert!(known("client_dialect: [no_529, resp_error_event]").resp_error_event);
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let circle = "upstreams: [{ name: a, base_url: \"http://localhost:8080\" }]";
    assert!(warnings(circle)[0].ends_with("is the address of aiproxy itself: requests would go in circles"));
    assert!(warnings("upstreams: []")[0].contains("no enabled upstream"));
    assert!(warnings(&with_upstream("auth_files: x.json"))[0].contains("has no effect"));
    assert!(warnings(&with_upstream("heartbeat: true"))[0].contains("no effect any more"));
    assert!(warnings(&with_root("timeouts: { request: 2m }"))[0].contains("should be longer than `head`"));
    assert!(warnings(&with_root("timeouts: { request: 2h }")).is_empty());
    assert!(warnings(&with_root("log: { max_age: 0 }"))[0].contains("means the default"));
}
