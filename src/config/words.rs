//! How keys and choices are shown, and which one was probably meant.

use std::fmt::Display;

/// `` `a`, `b` or `c` ``
pub(super) fn one_of(words: &[impl Display]) -> String {
    match words {
        [] => String::new(),
        [only] => format!("`{only}`"),
        [first @ .., last] => {
            let first: Vec<String> = first.iter().map(|word| format!("`{word}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

/// What other programs of this kind call a key, folded, and what it is called here.
const ELSEWHERE: [(&str, &str); 16] = [
    ("aliases", "model_mappings"),
    ("apibase", "base_url"),
    ("apikey", "token"),
    ("apikeys", "token"),
    ("endpoint", "base_url"),
    ("host", "bind"),
    ("key", "token"),
    ("keys", "token"),
    ("modelmap", "model_mappings"),
    ("models", "available_models"),
    ("port", "listen"),
    ("provider", "api_type"),
    ("providers", "upstreams"),
    ("secret", "token"),
    ("type", "api_type"),
    ("url", "base_url"),
];

/// The candidate that `word` most likely means: it is called so elsewhere, or is misspelt.
pub(super) fn closest<'w>(word: &str, candidates: &[&'w str]) -> Option<&'w str> {
    let folded = fold(word);
    if folded.len() > 64 {
        return None;
    }
    let here = ELSEWHERE.iter().find(|(elsewhere, _)| *elsewhere == folded).map(|(_, here)| here);
    if let Some(meant) = candidates.iter().find(|candidate| Some(*candidate) == here) {
        return Some(meant);
    }
    candidates
        .iter()
        .map(|candidate| (strsim::damerau_levenshtein(&folded, &fold(candidate)), *candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().min(folded.len()) / 3)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Spelling without case, hyphens and underscores: `baseUrl` is `base_url` in another's habit.
fn fold(word: &str) -> String {
    word.chars().filter(|c| !matches!(c, '-' | '_')).flat_map(char::to_lowercase).collect()
}

/// `path` with `key` at its end.
pub(super) fn join(path: &str, key: &str) -> String {
    let key = quoted(key);
    if path.is_empty() {
        key
    } else if key.starts_with('[') {
        format!("{path}{key}")
    } else {
        format!("{path}.{key}")
    }
}

/// A key as part of a path: `weight`, `["gpt-4.1"]`. Control characters are escaped, and an overlong
/// key is cut.
fn quoted(key: &str) -> String {
    let simple = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    if !key.is_empty() && key.len() <= 64 && key.chars().all(simple) {
        return key.to_owned();
    }
    let shown: String = key.chars().take(64).collect();
    let cut = if shown.len() < key.len() { "…" } else { "" };
    format!("[\"{}{cut}\"]", shown.escape_debug())
}

/// `upstreams[3].weight` as `upstreams[].weight`.
#[cfg(test)]
pub(super) fn without_positions(path: &str) -> String {
    let mut depth = 0;
    path.chars()
        .filter(|c| {
            depth -= i32::from(*c == ']');
            let keep = depth == 0 || !c.is_ascii_digit();
            depth += i32::from(*c == '[');
            keep
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_word_is_meant() {
        let words = ["base_url", "api_type", "weight", "token"];
        assert_eq!(closest("baseURL", &words), Some("base_url"));
        assert_eq!(closest("wieght", &words), Some("weight"));
        assert_eq!(closest("tokn", &words), Some("token"));
        assert_eq!(closest("retries", &words), None);
        assert_eq!(closest("", &words), None);
    }

    #[test]
    fn words_of_other_programs_are_understood_where_their_key_is() {
        let words = ["base_url", "api_type", "token", "available_models"];
        let said = ["api-key", "type", "models", "apiBase"];
        assert_eq!(
            said.map(|word| closest(word, &words)),
            ["token", "api_type", "available_models", "base_url"].map(Some)
        );
        assert_eq!(closest("models", &["weight"]), None);
    }

    #[test]
    fn paths_stay_readable_and_harmless() {
        assert_eq!(join("", "log"), "log");
        assert_eq!(join("upstreams[0]", "weight"), "upstreams[0].weight");
        assert_eq!(join("model_mappings", "gpt-4.1"), "model_mappings[\"gpt-4.1\"]");
        assert_eq!(join("log", "a\u{1b}\"b"), "log[\"a\\u{1b}\\\"b\"]");
        assert!(join("log", &"ä".repeat(5000)).len() < 200);
    }

    #[test]
    fn choices_read_like_a_sentence() {
        assert_eq!(one_of(&["a"]), "`a`");
        assert_eq!(one_of(&["a", "b", "c"]), "`a`, `b` or `c`");
    }
}
