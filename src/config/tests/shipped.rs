//! The files that are shipped say the truth.

use super::{config, variables, with_upstream};
use crate::config::problem::Report;
use crate::config::reader::{Context, Field};
use crate::config::{Config, Source, load, read};

const EXAMPLE: &str = include_str!("../../../config/aiproxy.example.yaml");
const MINIMAL: &str = include_str!("../../../config/minimal.yaml");

#[test]
fn the_shipped_files_load_without_a_warning() {
    for text in [EXAMPLE, MINIMAL] {
        let config = config(text);
        assert!(!config.upstreams.is_empty());
        assert!(config.warnings.is_empty(), "{:?}", config.warnings);
    }
}

/// Every key that the reader asks for, read off a text with one upstream.
fn known() -> Vec<String> {
    let source = Source::new("aiproxy.yaml", &variables);
    let report = Report::new(&source.name);
    let tree = load::tree(&with_upstream(""), &report).unwrap();
    let context = Context::new(&report, &source);
    Field::root(&context, &tree).map().unwrap().read(read::config);
    context.known.take().into_iter().collect()
}

/// The paths of all keys of the example, those in comments included, by their indentation.
fn documented() -> Vec<String> {
    let mut open: Vec<(usize, String)> = Vec::new();
    let mut paths = Vec::new();
    for line in EXAMPLE.lines() {
        let live = line.replacen("# ", "", 1).replacen("- ", "  ", 1);
        let Some((key, _)) = live.trim_start().split_once(':') else { continue };
        if key.is_empty()
            || !key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-'))
        {
            continue;
        }
        let indent = live.len() - live.trim_start().len();
        open.retain(|(outer, _)| *outer < indent);
        open.push((indent, key.to_owned()));
        let path: Vec<&str> = open.iter().map(|(_, key)| key.as_str()).collect();
        paths.push(path.join(".").replacen("upstreams.", "upstreams[].", 1));
    }
    paths
}

#[test]
fn every_key_is_described_in_the_example() {
    let documented = documented();
    let same_as_above = ["upstreams[].timeouts.", "upstreams[].circuit_breaker.", "upstreams[].fetch_media."];
    let known = known();
    assert!(known.len() > 50, "{known:?}");
    for key in known {
        let spelling = format!("`{}`", key.rsplit('.').next().unwrap_or_default());
        let inherited = same_as_above.iter().any(|section| key.starts_with(section));
        assert!(
            inherited || documented.contains(&key) || EXAMPLE.contains(&spelling),
            "{key} is not described; described are {documented:#?}"
        );
    }
}

#[test]
fn the_values_of_the_example_are_the_defaults() {
    let (example, default) = (config(EXAMPLE), Config::default());
    assert_eq!(example.address, default.address);
    assert_eq!(example.allow_public_without_keys, default.allow_public_without_keys);
    assert_eq!(example.allowed_hosts, default.allowed_hosts);
    assert_eq!(example.default_max_tokens, default.default_max_tokens);
    assert_eq!(example.strict, default.strict);
    assert_eq!(
        (example.stop_emulation, example.estimate_usage),
        (default.stop_emulation, default.estimate_usage)
    );
    assert_eq!(example.timeouts, default.timeouts);
    assert_eq!(
        (example.max_body_size, example.max_answer_size, example.max_held_size, example.max_in_flight),
        (default.max_body_size, default.max_answer_size, default.max_held_size, default.max_in_flight)
    );
    assert_eq!(example.log, default.log);
    assert_eq!(example.circuit_breaker, default.circuit_breaker);
    assert_eq!(example.failover, default.failover);
    assert_eq!(example.fetch_media, default.fetch_media);
    assert_eq!(example.state_store, default.state_store);
    assert_eq!(example.keep_alive, default.keep_alive);
    assert_eq!(example.continuation, default.continuation);
    assert_eq!(example.metrics, default.metrics);
    assert_eq!(example.shutdown, default.shutdown);
    assert_eq!(example.server, default.server);
}

#[test]
fn the_shipped_files_hold_no_key() {
    for text in [EXAMPLE, MINIMAL] {
        let config = config(text);
        let tokens = config.upstreams.iter().flat_map(|upstream| &upstream.tokens);
        for secret in config.api_keys.iter().chain(tokens) {
            assert!(secret.expose().starts_with("secret-of-"), "a key stands in the file itself");
        }
    }
}
