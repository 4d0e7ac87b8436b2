//! YAML itself: anchors, merge keys, duplicates, syntax, and the words that are not booleans.

use super::{config, parse, problems, with_root, with_upstream};

#[test]
fn anchors_and_merge_keys_spare_repetition() {
    let config = config(
        "upstreams:
  - &base
    name: a
    token: sk-1
    weight: 5
    timeouts: &patient { head: 1h, idle: none }
    available_models: &models [claude-*]
  - <<: *base
    name: b
    priority: 2
  - <<: [{ weight: 7 }, *base]
    name: c
    timeouts:
      <<: *patient
      head: 5s
  - { name: d, token: sk-1, available_models: *models }
",
    );
    let weights: Vec<u32> = config.upstreams.iter().map(|upstream| upstream.weight.get()).collect();
    assert_eq!(weights, [5, 5, 7, 1], "own keys win over merged ones, earlier merges over later");
    let names: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    assert_eq!(names, ["a", "b", "c", "d"]);
    assert_eq!(config.upstreams[1].timeouts.head.unwrap().as_secs(), 3600);
    assert_eq!(config.upstreams[2].timeouts.head.unwrap().as_secs(), 5);
    assert_eq!(config.upstreams[2].timeouts.idle, None);
    assert_eq!(config.upstreams[3].available_models.as_deref(), Some(&["claude-*".to_owned()][..]));
}

#[test]
fn a_wrong_alias_is_shown_where_it_is_used() {
    let text = "max_in_flight: &n 5\nupstreams: [{ name: a, token: sk-1, must_stream: *n }]";
    assert_eq!(problems(text), ["2:50: upstreams[0].must_stream: must be true or false, not a number"]);
}

#[test]
fn what_cannot_be_merged_or_found_is_told() {
    assert_eq!(
        problems(&with_upstream("<<: 5\nweight: *gone")),
        [
            "4:9: upstreams[0]: `<<` takes a map or a list of maps",
            "5:13: upstreams[0].weight: no anchor of this name stands above"
        ]
    );
    assert_eq!(problems("a: &a [*a]\n"), ["1:8: an alias stands inside of what it refers to"]);
}

#[test]
fn every_duplicate_key_is_named() {
    let text = "bind: 127.0.0.1\nbind: 127.0.0.2\nupstreams:\n  - name: a\n    token: sk-1\n    weight: 1\n    weight: 2\n    \"name\": b\n";
    assert_eq!(
        problems(text),
        [
            "2:1: bind: stands twice in this map, first at 1:1",
            "7:5: upstreams[0].weight: stands twice in this map, first at 6:5",
            "8:5: upstreams[0].name: stands twice in this map, first at 4:5",
        ]
    );
}

#[test]
fn on_and_no_are_words() {
    let config =
        config("failover: { on: 5xx }\nupstreams: [{ name: no, token: on }, { name: yes, token: off }]");
    assert_eq!(config.upstreams[0].name, "no");
    assert_eq!(config.upstreams[0].tokens[0].expose(), "on");
    assert!(problems("upstreams: [{ name: true, token: a }]")[0].contains("put it in quotes"));
}

#[test]
fn quoting_makes_text_of_anything() {
    let config = config(
        "upstreams:\n  - name: \"007\"\n    token: '0x10'\n    model_mappings: { 4.10: \"4.10\", 5: !!str 6 }\n",
    );
    assert_eq!(config.upstreams[0].name, "007");
    assert_eq!(config.upstreams[0].tokens[0].expose(), "0x10");
    let pair = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(config.upstreams[0].model_mappings, [pair("4.10", "4.10"), pair("5", "6")]);
}

#[test]
fn syntax_errors_have_a_place() {
    for (text, place) in [
        ("upstreams: [", "1:"),
        ("a: b: c\n", "1:5"),
        ("upstreams:\n\t- name: a\n", "2:"),
        ("bind: \"127.0.0.1\nlisten: 1\n", "2:1"),
        ("a: 1\n  b: 2\n", "2:"),
        ("token: @x\n", "1:8"),
    ] {
        let found = problems(text);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains("is not valid YAML: "), "{found:?}");
        assert!(found[0].starts_with(place), "{text:?}: {found:?}");
    }
}

#[test]
fn odd_documents_are_refused() {
    assert_eq!(problems("a: 1\n---\nb: 2\n"), ["2:1: a second document begins here; only one is allowed"]);
    assert_eq!(problems("- a\n"), ["1:1: must be a map, not a list"]);
    assert_eq!(problems("just words"), ["1:1: must be a map, not text"]);
    assert!(
        problems("? [a]\n: 1\nupstreams: [{ name: a, token: b }]")[0]
            .contains("a key must be text, not a list")
    );
    assert!(problems(&with_root("bind: !secret 127.0.0.1"))[0].contains("YAML tag that means nothing here"));
}

#[test]
fn files_from_other_systems_load() {
    assert!(parse(&format!("\u{feff}{}", with_root("").replace('\n', "\r\n"))).is_ok());
    assert!(parse("---\nupstreams: [{ name: a, token: b }]\n...\n").is_ok());
    assert!(parse("{\"upstreams\": [{\"name\": \"a\", \"token\": \"b\"}]}").is_ok(), "JSON is YAML");
}

#[test]
fn empty_sections_are_as_good_as_absent() {
    let config = config(
        "log:\ntimeouts: {}\nmodel_fallback:\nupstreams: [{ name: a, token: b, timeouts: , weight: }]",
    );
    assert_eq!(config.log, crate::config::Log::default());
    assert_eq!(config.upstreams[0].weight.get(), 1);
}
