//! Keys: found wherever they may stand, refused when everybody knows them, shown to nobody.

use super::{config, parse, problems, with_root, with_upstream};
use crate::config::{Config, Source};

#[test]
fn debug_of_a_whole_configuration_shows_no_secret() {
    let config = config(
        "api-key: [client-geheim, \"${CLIENT}\"]
upstreams:
  - name: a
    tokens: [token-geheim, env.TOKEN]
    http_headers: { X-Key: header-geheim }
",
    );
    let shown = format!("{config:?} {config:#?}");
    assert!(shown.contains("***"));
    assert!(!shown.contains("geheim") && !shown.contains("secret-of"), "{shown}");
    assert_eq!(config.upstreams[0].tokens[1].expose(), "secret-of-TOKEN");
}

#[test]
fn problems_do_not_repeat_secrets() {
    for text in [
        with_root("api-key: [\"geheim \", \"geheim\\n\"]"),
        with_root("api-key: { geheim1: geheim }"),
        with_root("api-key: [[geheim]]"),
        with_root("api-key: *geheim"),
        with_root("api-key: !geheim x"),
        with_root("api-key: \"${UNSET}geheim\""),
        with_upstream("base_url: https://me:geheim@example.com"),
        with_upstream("base_url: \"geheim://${SECRET}\""),
        with_upstream("http_headers: { Host: geheim, X: \"geheim\\t\" }"),
        with_upstream("request_compression: geheim"),
        with_upstream("weight: geheim"),
        with_upstream("token: geheim"),
    ] {
        let problems = parse(&text).unwrap_err();
        for shown in [problems.to_string(), format!("{problems:?}")] {
            assert!(!shown.contains("geheim") && !shown.contains("secret-of"), "{shown}");
        }
    }
}

#[test]
fn no_key_is_ever_empty() {
    for line in [
        "api-key: []",
        "api-key:",
        "api-key: \"\"",
        "api-key: [\"\"]",
        "api-key: [~]",
        "api-key: \"  \"",
        "api-key: ${EMPTY}",
    ] {
        let found = problems(&with_root(line));
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert!(found[0].contains("empty"), "{line}: {found:?}");
        let token = line.replace("api-key", "token");
        let found =
            problems(&format!("upstreams:\n  - name: a\n    base_url: http://127.0.0.1:9\n    {token}\n"));
        assert!(found.len() == 1 && found[0].contains("empty"), "{token}: {found:?}");
    }
}

#[test]
fn the_examples_keys_are_refused() {
    for key in ["sk-your-key", "change-me", "Change-Me"] {
        let found = problems(&with_root(&format!("api-key: [sk-2, {key}]")));
        assert_eq!(
            found,
            ["1:17: api-key[1]: this is the example's key, which everybody knows; put your own here"]
        );
    }
}

#[test]
fn references_that_lead_nowhere_are_named() {
    assert_eq!(
        problems(&with_root(
            "api-key:\n  - ${UNSET}\n  - env.UNSET\n  - env.no-name\n  - $RANDOM_KEY\n  - file:nowhere/key"
        )),
        [
            "2:5: api-key[0]: the environment variable `UNSET` is not set",
            "3:5: api-key[1]: the environment variable `UNSET` is not set",
            "4:5: api-key[2]: `${…}` and `env.…` must name a variable: letters, digits and `_`, not beginning with a digit",
            "5:5: api-key[3]: `$RANDOM_KEY` is not replaced; write `${RANDOM_KEY}`, or `$$RANDOM_KEY` for a dollar",
            "6:5: api-key[4]: `nowhere/key`: cannot be read: there is no such file",
        ]
    );
}

#[test]
fn env_and_file_mean_something_in_secrets_alone() {
    let config =
        config(&with_upstream("model_mappings: { a: env.MODEL, b: \"file:model\", c: \"${MODEL}\" }"));
    let models: Vec<&str> =
        config.upstreams[0].model_mappings.iter().map(|(_, model)| model.as_str()).collect();
    assert_eq!(models, ["env.MODEL", "file:model", "secret-of-MODEL"]);
}

#[test]
fn duplicates_count_once() {
    let config = config(&with_root("api-key: [a, \"${X}\", a, env.X]"));
    assert_eq!(config.api_keys.len(), 2);
}

/// A folder of its own for one test.
struct Folder(std::path::PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("aiproxy-config-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&path).unwrap();
        Folder(path)
    }

    fn write(&self, name: &str, contents: impl AsRef<[u8]>) -> std::path::PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, contents).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn secret_files_are_found_beside_the_configuration() {
    let folder = Folder::new("secret-files");
    folder.write("key", "sk-from-file\r\n");
    folder.write("empty", "\n");
    let absolute = folder.write("other", "sk-other");
    let text = with_root(&format!("api-key: [file:key, \"file:{}\"]", absolute.display()));
    let config = Config::load(folder.write("aiproxy.yaml", text)).unwrap();
    let keys: Vec<&str> = config.api_keys.iter().map(|key| key.expose()).collect();
    assert_eq!(keys, ["sk-from-file", "sk-other"]);

    let source = Source::new(folder.0.join("aiproxy.yaml"), &|_| None);
    let problems = Config::parse(&with_root("api-key: file:empty"), &source).unwrap_err();
    assert!(problems.to_string().ends_with("is empty"), "{problems}");
}

#[test]
fn unreadable_files_are_named() {
    let folder = Folder::new("unreadable");
    let message = |path: &std::path::Path| Config::load(path).unwrap_err().to_string();
    let missing = folder.0.join("missing.yaml");
    assert_eq!(message(&missing), format!("{}: cannot be read: there is no such file", missing.display()));
    assert!(message(&folder.0).contains("cannot be read"));
    assert!(
        message(&folder.write("latin1.yaml", b"bind: 127.0.0.1\napi-key: \xfc"))
            .contains("is not UTF-8 text (line 2)")
    );
    assert!(message(&folder.write("huge.yaml", "#".repeat(5 << 20))).contains("is larger than 4096 KiB"));
}
