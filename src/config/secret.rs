//! Secrets: text that reaches a header and nothing else.

use std::fmt;
use std::sync::Arc;

use super::env::{self, Source};

/// Keys that stand in examples, ours above all. Whoever copies an example must not get a gateway that
/// all readers of the example can use.
const EXAMPLES: [&str; 9] = [
    "sk-your-key",
    "sk-your-client-key",
    "sk-ant-your-key",
    "your-api-key",
    "your-key",
    "change-me",
    "changeme",
    "sk-xxx",
    "sk-...",
];

/// A key, a token or the value of a header.
///
/// It cannot be displayed, compared or serialised, and `Debug` prints `***`. Clones share one
/// allocation.
///
/// ```
/// use aiproxy::config::Secret;
///
/// let secret = Secret::new("sk-live-0123");
/// assert_eq!(format!("{secret:?}"), "***");
/// assert_eq!(secret.expose(), "sk-live-0123");
/// ```
#[derive(Clone)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps `text`, whatever it is.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Secret(text.into())
    }

    /// The text itself: for building a header or a digest, at the place where it is needed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Reads the spelling of a configuration: `env.NAME`, `file:PATH`, or text with `${NAME}` in it.
    pub(super) fn resolve(text: &str, source: &Source<'_>) -> Result<Self, String> {
        if let Some(name) = text.strip_prefix("env.") {
            return Secret::checked(&source.variable(name)?);
        }
        if let Some(path) = text.strip_prefix("file:") {
            return Secret::checked(&source.file(&source.expand(path)?)?);
        }
        if let Some(name) = text.strip_prefix('$').filter(|name| env::is_name(name)) {
            return Err(format!(
                "`${name}` is not replaced; write `${{{name}}}`, or `$${name}` for a dollar"
            ));
        }
        Secret::checked(&source.expand(text)?)
    }

    /// Refuses what cannot be a header's value, and what everybody knows. Messages never hold the text.
    pub(super) fn checked(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("must not be empty".to_owned());
        }
        if text.trim() != text {
            return Err("has white space at its beginning or end".to_owned());
        }
        if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            return Err("has characters that a header cannot carry: only printable ASCII can".to_owned());
        }
        if EXAMPLES.iter().any(|example| example.eq_ignore_ascii_case(text)) {
            return Err("this is the example's key, which everybody knows; put your own here".to_owned());
        }
        Ok(Secret::new(text))
    }

    /// Drops later ones of the same text.
    pub(super) fn without_duplicates(secrets: Vec<Secret>) -> Vec<Secret> {
        let mut kept: Vec<Secret> = Vec::with_capacity(secrets.len());
        let mut seen = std::collections::HashSet::new();
        for secret in secrets {
            if seen.insert(Arc::clone(&secret.0)) {
                kept.push(secret);
            }
        }
        kept
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Secret, String> {
        let variables = |name: &str| match name {
            "KEY" => Some("sk-live".to_owned()),
            "TRAP" => Some("change-me".to_owned()),
            "LINES" => Some("sk-live\nX-Evil: 1".to_owned()),
            _ => None,
        };
        Secret::resolve(text, &Source::new("aiproxy.yaml", &variables))
    }

    #[test]
    fn all_spellings_lead_to_the_key() {
        for (text, key) in [
            ("sk-literal", "sk-literal"),
            ("${KEY}", "sk-live"),
            ("Bearer ${KEY}", "Bearer sk-live"),
            ("env.KEY", "sk-live"),
            ("pa$$word", "pa$word"),
            ("sk$4", "sk$4"),
        ] {
            assert_eq!(resolve(text).unwrap().expose(), key);
        }
    }

    #[test]
    fn a_reference_that_leads_nowhere_never_becomes_a_key() {
        for text in
            ["${NONE}", "env.NONE", "env.not a name", "$RANDOM_KEY", "file:/does/not/exist", "file:", "env."]
        {
            assert!(resolve(text).is_err(), "{text}");
        }
    }

    #[test]
    fn known_and_impossible_keys_are_refused() {
        for text in
            ["", "  ", " sk-1", "sk-1\n", "${LINES}", "schlüssel", "change-me", "CHANGE-ME", "${TRAP}"]
        {
            assert!(resolve(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn messages_do_not_hold_the_key() {
        for text in [" sk-1 ", "sk-1\t", "sk-1 ${NONE}", "${LINES}"] {
            let message = resolve(text).unwrap_err();
            assert!(!message.contains("sk-"), "{message}");
        }
    }
}
