//! The chunk that streams are made of: one piece of text, and counts.
//!
//! Nine chunks in ten look like this, and always alike. They are read token by token, without a
//! look at keys that cannot be there; whatever deviates is left to the real reader.

use super::usage::Counts;
use crate::protocol::json::{Reader, Str};

/// A chunk of the first choice that holds text and nothing else.
pub(super) struct Plain<'a> {
    pub(super) text: Str<'a>,
    pub(super) thought: bool,
    pub(super) counts: Option<Counts>,
}

const OPENING: [&str; 8] = ["{", "\"candidates\"", ":", "[", "{", "\"content\"", ":", "{"];
const ROLE: [&str; 3] = ["\"role\"", ":", "\"model\""];
const TEXT: [&str; 6] = ["\"parts\"", ":", "[", "{", "\"text\"", ":"];

/// Reads such a chunk, whole and valid; `None` for everything else.
pub(super) fn read(text: &str) -> Option<Plain<'_>> {
    let mut walk = Walk { text, at: 0 };
    walk.all(&OPENING)?;
    let role_first = walk.all(&ROLE).and_then(|()| walk.all(&[","])).is_some();
    walk.all(&TEXT)?;
    let said = walk.string()?;
    let thought = walk.all(&[",", "\"thought\"", ":", "true"]).is_some();
    walk.all(&["}", "]"])?;
    if !role_first && walk.all(&[","]).is_some() {
        walk.all(&ROLE)?;
    }
    walk.all(&["}"])?;
    let _ = walk.all(&[",", "\"index\"", ":", "0"]);
    walk.all(&["}", "]"])?;
    let counts = match walk.all(&[",", "\"usageMetadata\"", ":"]) {
        Some(()) => Some(walk.counts()?),
        None => None,
    };
    while walk.all(&[","]).is_some() {
        let names = ["\"modelVersion\"", "\"responseId\"", "\"createTime\""];
        names.iter().find_map(|name| walk.all(&[*name, ":"]))?;
        walk.string()?;
    }
    walk.all(&["}"])?;
    walk.rest().trim_ascii_start().is_empty().then_some(Plain { text: said, thought, counts })
}

struct Walk<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Walk<'a> {
    fn rest(&self) -> &'a [u8] {
        self.text.as_bytes().get(self.at..).unwrap_or_default()
    }

    /// Passes over these tokens, or over nothing.
    fn all(&mut self, tokens: &[&str]) -> Option<()> {
        let mut rest = self.rest();
        for token in tokens {
            while let [b' ' | b'\n' | b'\r' | b'\t', tail @ ..] = rest {
                rest = tail;
            }
            rest = rest.strip_prefix(token.as_bytes())?;
        }
        self.at = self.text.len() - rest.len();
        Some(())
    }

    fn string(&mut self) -> Option<Str<'a>> {
        let mut reader = Reader::new(self.text.get(self.at..)?);
        let string = reader.string().ok()?;
        self.at += reader.offset();
        Some(string)
    }

    fn counts(&mut self) -> Option<Counts> {
        let mut reader = Reader::new(self.text.get(self.at..)?);
        let counts = Counts::read(&mut reader).ok()?;
        self.at += reader.offset();
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_chunks_are_plain() {
        let tail =
            r#","usageMetadata": {"promptTokenCount": 3, "x": [{}]},"modelVersion": "m","responseId": "r"}"#;
        for (body, thought) in [
            (
                r#"{"candidates": [{"content": {"parts": [{"text": "a\n"}],"role": "model"},"index": 0}]"#,
                false,
            ),
            (r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"a\n","thought":true}]}}]"#, true),
        ] {
            let chunk = format!("{body}{tail}\n");
            let plain = read(&chunk).unwrap();
            assert_eq!((plain.text.as_escaped(), plain.thought), ("a\\n", thought));
            assert!(plain.counts.is_some());
            // Cut anywhere, it is nothing.
            for cut in 0..chunk.len() - 1 {
                assert!(read(&chunk[..cut]).is_none(), "{cut}");
            }
        }
        for other in [
            r#"{"candidates":[{"content":{"parts":[{"text":"a"},{"text":"b"}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"index":10}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]},"finishReason":"STOP"}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}],"error":{}}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a","thoughtSignature":"s"}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"\x"}]}}]}"#,
            r#"{"candidates":[{"content":{"parts":[{"text":"a"}]}}]} x"#,
        ] {
            assert!(read(other).is_none(), "{other}");
        }
    }
}
