//! Mistakes are named all at once, each at its place.

use super::{problems, with_root, with_upstream};

#[test]
fn every_problem_is_reported_at_once_with_its_place() {
    let text = r#"listen: nowhere
max_body_size: 8M
max_in_flight: lots
log:
  level: inof
  fromat: json
timeouts:
  idle: 1.5s
  head: 0
upstreams:
  - name: a
    api_type: opena
    base_url: ftp://example.com
    weight: heavy
  - name: A
    bse_url: https://example.com
    tokens: []
    available_models: []
  - weight: 1.5
    must_stream: yes
    token: ${UNSET}
"#;
    let expected = [
        "1:9: listen: must be a port or an address such as 8080, :8080, 127.0.0.1:8080 or [::1]:8080",
        "2:16: max_body_size: must be a size such as 512KiB, 8MiB, 32MB, or bytes",
        "3:16: max_in_flight: must be a whole number, not text",
        "5:10: log.level: must be `trace`, `debug`, `info`, `warn`, `error` or `off`, or directives such as \
         info,aiproxy=debug; did you mean `info`?",
        "6:3: log.fromat: unknown key; did you mean `format`?",
        "8:9: timeouts.idle: must be a duration such as 500ms, 90s, 1m30s, 2h or 28d",
        "9:9: timeouts.head: must be longer than nothing; say `none` for no limit",
        "11:5: upstreams[0].token: is missing",
        "12:15: upstreams[0].api_type: must be `anthropic`, `openai`, `responses`, `gemini`, `codex`, \
         `geminicli`, `antigravity`, `claudecode` or `kiro`; did you mean `openai`?",
        "13:15: upstreams[0].base_url: must be a URL such as https://api.example.com",
        "14:13: upstreams[0].weight: must be a whole number, not text",
        "15:11: upstreams[1].name: is the name of upstreams[0] already; case makes no difference",
        "16:5: upstreams[1].bse_url: unknown key; did you mean `base_url`?",
        "17:13: upstreams[1].tokens: must not be empty; only an upstream on this machine may do without, by \
         leaving it out",
        "18:23: upstreams[1].available_models: must not be empty; leave it out to serve every model",
        "19:5: upstreams[2].name: is missing",
        "19:13: upstreams[2].weight: must be a whole number, not a decimal number",
        "20:18: upstreams[2].must_stream: must be true or false; `yes` is text in YAML 1.2: write true",
        "21:12: upstreams[2].token: the environment variable `UNSET` is not set",
    ];
    assert_eq!(problems(text), expected);
}

#[test]
fn networks_that_are_none_are_named() {
    let text =
        "fetch_media:\n  allow: [10.1.0.0/16, fd00::/8, ::1, localhost, 10.0.0.0/33]\n  max_redirects: 99\n";
    let expected = [
        "2:39: fetch_media.allow[3]: must be a network such as 10.1.0.0/16, or an address",
        "2:50: fetch_media.allow[4]: must be a network such as 10.1.0.0/16, or an address",
        "3:18: fetch_media.max_redirects: must be at most 20",
    ];
    assert_eq!(problems(&with_root(text)), expected);
}

#[test]
fn a_problem_names_the_file_as_it_was_given() {
    let error = super::parse("upstreams: 5").unwrap_err();
    assert_eq!(error.to_string(), "aiproxy.yaml:1:12: upstreams: must be a list, not a number");
}

#[test]
fn misspelt_keys_meet_their_right_spelling() {
    for (wrong, right) in [
        ("baseUrl: https://x.example", "base_url"),
        ("Base-URL: https://x.example", "base_url"),
        ("wieght: 1", "weight"),
        ("model_mapping: {}", "model_mappings"),
        ("availabel_models: [a]", "available_models"),
        ("auth_file: a.json", "auth_files"),
    ] {
        let found = problems(&with_upstream(wrong));
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].ends_with(&format!("unknown key; did you mean `{right}`?")), "{found:?}");
    }
    assert_eq!(problems(&with_upstream("colour: red")), ["4:5: upstreams[0].colour: unknown key"]);
    assert_eq!(problems(&with_root("api_keyz: x")), ["1:1: api_keyz: unknown key; did you mean `api-key`?"]);
}

#[test]
fn wrong_types_are_told_apart() {
    for (line, message) in [
        ("listen: [1]", "must be a port or an address"),
        ("bind: 80", "must be an IP address or host name"),
        ("bind: true", "must be an IP address or host name, not true or false"),
        ("log: verbose", "must be a map, not text"),
        ("timeouts: 10s", "must be a map, not text"),
        ("max_in_flight: 0", "must be at least 1"),
        ("max_in_flight: -3", "must be at least 1"),
        ("max_in_flight: 99999999999999999999", "must be at most 4294967295"),
        ("max_in_flight: \"10\"", "must be a whole number, without quotes"),
        ("max_in_flight: [1]", "must be a whole number, not a list"),
        ("max_body_size: 0", "must be between 1 byte and 4GiB"),
        ("max_body_size: 5GiB", "must be between 1 byte and 4GiB"),
        ("default_max_tokens: 0", "must be at least 1"),
        ("allow_public_without_keys: \"true\"", "must be true or false, without quotes"),
        ("allow_public_without_keys: off", "`off` is text in YAML 1.2: write false"),
        ("allow_public_without_keys: 1", "must be true or false, not a number"),
        ("log: { format: xml }", "must be `text` or `json`"),
        ("log: { format: jsn }", "did you mean `json`?"),
        ("log: { file: 7 }", "must be text, not a number: put it in quotes"),
        ("log: { prompt_preview: -1 }", "must be at least 0"),
        ("circuit_breaker: { failures: 0 }", "must be at least 1"),
        ("circuit_breaker: { open_for: 0s }", "must be longer than nothing"),
        ("circuit_breaker: { max_rest: 0s }", "must be longer than nothing"),
        ("admin: 9090", "must be a map"),
        ("admin: { listen: 9090 }", "admin.key: is missing"),
        ("admin: { listen: 9090, key: \"\" }", "must not be empty"),
        ("admin: { listen: 9090, key: change-me }", "which everybody knows"),
        ("admin: { key: sk-9 }", "admin.listen: is missing"),
        ("admin: { key: sk-9, listen: 0.0.0.0:9090 }", "must be an address of this machine alone"),
        ("admin: { key: sk-9, listen: \"[::]:9090\" }", "must be an address of this machine alone"),
        ("admin: { key: sk-9, listen: gateway.internal:9090 }", "must be an address of this machine alone"),
        ("api-key: sk-9\nadmin: { key: sk-9, listen: 9090 }", "must not be a key of clients"),
        ("keep_alive: { grace: 0 }", "must be longer than nothing"),
        ("state_store: { max_size: 0 }", "must be between 1 byte and 4GiB"),
        ("state_store: { ttl: 0 }", "must be longer than nothing"),
        ("failover: { on: [] }", "must not be empty"),
        ("failover: { max_attempts: 0 }", "must be at least 1"),
        ("failover: { backoff: { base: 0 } }", "must be longer than nothing"),
        ("failover: { budget: { percent: 1001 } }", "must be at most 1000"),
        ("server: { max_header_size: 1KiB }", "must be at least 8KiB"),
        ("server: { max_connections: 0 }", "must be at least 1"),
        ("server: { write_timeout: 0 }", "say `none` for no limit"),
        ("failover: { on: [2xx] }", "must be a status"),
        ("failover: { on: 200 }", "between 400 and 599"),
        ("metrics: { path: metrics }", "must be a path"),
        ("metrics: { path: /v1/messages }", "must not be within the paths of the APIs"),
        ("shutdown: { drain: none }", "must be a duration"),
        ("server: { worker_threads: 0 }", "must be `auto` or between 1 and 1024"),
        ("timeouts: { idle: false }", "must be a duration such as 90s, or `none`, not true or false"),
        ("upstream_request_timeout: soon", "must be a duration"),
        ("client_dialect: [no_592]", "did you mean `no_529`?"),
        ("model_fallback: { a: a }", "must not lead from a model to itself"),
    ] {
        let found = problems(&with_root(line));
        assert!(found.len() == 1 && found[0].contains(message), "{line}: {found:#?}");
    }
}

#[test]
fn an_upstream_that_could_not_work_is_refused() {
    for (line, message) in [
        ("api_type: codex", "is not supported yet"),
        ("base_url: https://x.example?key=1", "must not hold a query"),
        ("weight: 9999999", "must be at most 1000000"),
        ("priority: high", "must be a whole number, not text"),
        ("available_models: [\"\"]", "must not be empty"),
        ("available_models: [\"*-mini\"]", "only at its end"),
        ("model_mappings: { a: 5 }", "must be text, not a number: put it in quotes"),
        ("model_mappings: { \"\": a }", "has no name before the colon"),
        ("http_headers: { Host: x }", "belongs to the connection"),
        ("http_headers: { Transfer-Encoding: chunked }", "belongs to the connection"),
        ("http_headers: { \"a b\": x }", "is not a header name"),
        ("http_headers: { X-A: \"1\", x-a: \"2\" }", "is the same header as in line 4"),
        ("request_compression: lzma", "must be `none`"),
        ("dialect: [vertx]", "did you mean `vertex`?"),
        ("capabilities: [{ sampling: true }]", "models"),
        ("capabilities: [{ models: m, samplin: true }]", "did you mean `sampling`?"),
        ("capabilities: [{ models: m, thinking: much }]", "must be"),
        ("capabilities: [{ models: m, context: 0 }]", "must be at least 1"),
        ("capabilities: { models: m }", "must be a list"),
        ("default_max_tokens: 0", "must be at least 1"),
        ("timeouts: { hed: 1s }", "did you mean `head`?"),
        ("circuit_breaker: { failures: 0 }", "must be at least 1"),
    ] {
        let found = problems(&with_upstream(line));
        assert!(found.len() == 1 && found[0].contains(message), "{line}: {found:#?}");
    }
}

#[test]
fn names_must_fit_a_metric_label() {
    for name in ["\"\"", "a b", "ä", "a/b", &"x".repeat(65)] {
        let found = problems(&format!("upstreams: [{{ name: {name}, token: sk-1 }}]"));
        assert!(found[0].starts_with("1:21: upstreams[0].name: must be 1 to 64"), "{found:?}");
    }
}

#[test]
fn disabled_upstreams_still_own_their_names() {
    let text = "upstreams:\n  - { name: a, enabled: false }\n  - { name: A, token: sk-1 }\n";
    assert_eq!(
        problems(text),
        ["3:13: upstreams[1].name: is the name of upstreams[0] already; case makes no difference"]
    );
}

#[test]
fn two_spellings_of_one_key_are_not_guessed_between() {
    assert_eq!(
        problems(&with_root("api-key: sk-2\napi_keys: [sk-3]")),
        ["2:11: api_keys: means the same as `api-key`; give only one of them"]
    );
    assert_eq!(
        problems(&with_root("upstream_request_timeout: 5\ntimeouts: { head: 5s }")),
        ["1:27: upstream_request_timeout: means the same as `timeouts.head`; give only one of them"]
    );
}

#[test]
fn an_empty_file_changes_nothing_in_force() {
    for text in ["", "\n\n", "# nothing\n", "---\n", "~", "upstreams:\n"] {
        let found = problems(text);
        assert!(found.len() == 1 && found[0].ends_with(": upstreams: is missing"), "{text:?}: {found:?}");
    }
}

#[test]
fn control_characters_in_keys_stay_out_of_the_terminal() {
    let found = problems(&with_root("\"\\e[2J\": 1"));
    assert!(found[0].contains(r#"["\u{1b}[2J"]"#), "{found:?}");
}
