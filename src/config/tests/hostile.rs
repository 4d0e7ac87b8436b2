//! Texts that want to do harm: no panic, no hang, no memory.

use std::time::Duration;

use proptest::prelude::*;
use tokio::time::Instant;

use super::{parse, problems};

/// Refuses to take long.
fn quick<T>(work: impl FnOnce() -> T) -> T {
    let start = Instant::now();
    let result = work();
    assert!(start.elapsed() < Duration::from_secs(20), "took {:?}", start.elapsed());
    result
}

#[test]
fn alias_bombs_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..30 {
        let refs = vec![format!("*a{}", level - 1); 9].join(", ");
        bomb += &format!("a{level}: &a{level} [{refs}]\n");
    }
    let found = quick(|| problems(&bomb));
    assert_eq!(found.len(), 1);
    assert!(found[0].contains("more than 200000 keys and values"), "{found:?}");
}

#[test]
fn merge_bombs_are_refused() {
    let keys: String = (0..2000).map(|at| format!("k{at}: 1, ")).collect();
    let merges = "*m, ".repeat(1000);
    let found = quick(|| problems(&format!("m: &m {{ {keys} }}\nn: {{ <<: [{merges}] }}\n")));
    assert!(found[0].contains("more than 200000 keys and values"), "{found:?}");
}

#[test]
fn deep_nesting_is_refused_also_through_aliases() {
    for text in ["[".repeat(100_000), "- ".repeat(100_000), "{a: ".repeat(100_000), "? ".repeat(100_000)] {
        quick(|| parse(&text).unwrap_err());
    }
    let mut chain = "a0: &a0 [x]\n".to_owned();
    for level in 1..20_000 {
        chain += &format!("a{level}: &a{level} [*a{}]\n", level - 1);
    }
    let found = quick(|| problems(&chain));
    assert!(found.iter().any(|problem| problem.contains("nested more than 64 deep")), "{found:?}");
}

#[test]
fn a_flood_of_problems_is_cut() {
    let flood = "- 1\n".repeat(150_000);
    let found = quick(|| problems(&format!("upstreams:\n{flood}")));
    assert_eq!(found.len(), 1001);
    assert!(found[1000].ends_with("and 149000 more"), "{}", found[1000]);
}

#[test]
fn a_flood_of_unknown_keys_is_cut() {
    let flood: String =
        (0..90_000).map(|at| format!("unknown_key_with_a_rather_long_name_{at}: 1\n")).collect();
    assert_eq!(quick(|| problems(&flood)).len(), 1001);
}

#[test]
fn no_piece_of_yaml_is_slow_in_great_numbers() {
    for piece in PIECES {
        quick(|| parse(&piece.repeat((256 << 10) / piece.len())).is_ok());
    }
}

#[test]
fn texts_larger_than_the_limit_are_refused() {
    let found = quick(|| problems(&"a".repeat((4 << 20) + 1)));
    assert!(found[0].contains("is larger than 4096 KiB"), "{found:?}");
}

/// Pieces that make YAML, and what it is made of here.
const PIECES: [&str; 42] = [
    "upstreams:",
    "\n",
    "\n  ",
    "\n    ",
    "- ",
    "name: ",
    "token: ",
    "base_url: ",
    "api-key: ",
    "listen: ",
    ":",
    "timeouts: ",
    "idle: ",
    "http_headers: ",
    "model_mappings: ",
    "<<: ",
    "&a ",
    "*a",
    "{",
    "}",
    "[",
    "]",
    ", ",
    "\"",
    "'",
    "|\n",
    ">-\n",
    "!!str ",
    "!x ",
    "? ",
    "# ",
    "---\n",
    "%YAML 1.2\n",
    "${A}",
    "$$",
    "${",
    "env.A",
    "file:/",
    "\t",
    "\u{feff}",
    "é",
    "99999999999999999999",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn no_yaml_panics(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..60)) {
        let text = pieces.concat();
        if let Err(problems) = parse(&text) {
            let lines = text.lines().count() + 1;
            prop_assert!(problems.iter().count() > 0);
            prop_assert!(problems.iter().all(|problem| problem.mark.is_none_or(|mark| mark.line <= lines)));
        }
    }

    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = parse(&text);
    }

    #[test]
    fn no_value_of_any_key_panics(
        key in prop::sample::select(vec![
            "bind", "listen", "api-key", "max_body_size", "max_in_flight", "upstream_request_timeout", "timeouts",
            "log", "failover", "server", "metrics", "model_fallback", "upstreams", "shutdown",
            "state_store", "keep_alive", "continuation",
        ]),
        value in "[\\[\\]{}:, a-z0-9$\"*&!-]{0,40}",
    ) {
        let _ = parse(&format!("{key}: {value}\nupstreams: [{{ name: a, token: b, {key}: {value} }}]"));
    }

    #[test]
    fn a_good_file_with_one_byte_changed_never_panics(at in 0..6000usize, to in any::<char>()) {
        let text = include_str!("../../../config/aiproxy.example.yaml");
        let changed: String = text.char_indices().map(|(i, c)| if i == at { to } else { c }).collect();
        let _ = parse(&changed);
    }
}
