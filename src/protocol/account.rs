//! What a provider's error tells of the gateway's account: not for clients (5.1).

/// How keys, and the ids of organisations and projects, begin.
const BEGINNINGS: [&[u8]; 5] = [b"sk-", b"org-", b"proj_", b"AIza", b"gsk_"];

/// Shorter words are no keys (`sk-learn`, `org-mode`).
const SHORTEST: usize = 16;

/// The text with keys and ids of accounts crossed out; `None` if it has none. Of JSON only the inside of strings
/// changes.
pub(crate) fn without_account(text: &[u8]) -> Option<Vec<u8>> {
    let mut out: Option<Vec<u8>> = None;
    let mut at = 0;
    while at < text.len() {
        let word = text.get(at..).unwrap_or_default();
        let length = word.iter().position(|byte| !is_of_word(*byte)).unwrap_or(word.len());
        let (word, rest) = word.split_at(length.max(1));
        let known = BEGINNINGS.iter().find(|beginning| word.starts_with(beginning));
        match (known, &mut out) {
            (Some(beginning), _) if word.len() >= SHORTEST => {
                let out = out.get_or_insert_with(|| text.get(..at).unwrap_or_default().to_vec());
                out.extend_from_slice(beginning);
                out.extend_from_slice(b"***");
            }
            (_, Some(out)) => out.extend_from_slice(word),
            (_, None) => {}
        }
        at = text.len() - rest.len();
    }
    out
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_accounts_are_crossed_out_and_nothing_else() {
        let secret = r#"{"message":"Limit for org-AbC123dEf456GhI7 (key=sk-proj-1234567890abcdef), in proj_0123456789abcdef. \u00e9 1.10"}"#;
        let told = r#"{"message":"Limit for org-*** (key=sk-***), in proj_***. \u00e9 1.10"}"#;
        assert_eq!(without_account(secret.as_bytes()).as_deref(), Some(told.as_bytes()));
        for same in
            ["", "sk-learn and org-mode", "task-0123456789abcdef", "\"risk-adjusted-and-more\"", "日本 🦀"]
        {
            assert_eq!(without_account(same.as_bytes()), None, "{same}");
        }
    }
}
