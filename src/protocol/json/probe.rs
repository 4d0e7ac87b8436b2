//! The depth-1 scanner: finds top-level members of a request without validating the rest.
//!
//! A relay need not judge a body; it must know the model and the stream flag, each once. The
//! scanner jumps through strings with SIMD search and only counts brackets between them, so a
//! 100 KB conversation costs a few microseconds (`benches/payload.rs` holds it against
//! serde_json). What it cannot see is the upstream's to judge.

use std::ops::Range;

use super::error::{Error, ErrorKind};
use super::scan::closing_quote;

/// Where one top-level value stands in the body.
pub type Span = Range<usize>;

/// The top-level members that routing needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Members<const N: usize> {
    /// The value's span for each wanted key.
    pub spans: [Option<Span>; N],
    /// Where a further member can be put in: after the opening brace.
    pub insert_at: usize,
    /// Whether the object has no members at all.
    pub is_empty: bool,
}

/// Finds the top-level values of `keys` in `body`.
///
/// A key counts by what it means: `"mod\u0065l"` is `model`, so nobody smuggles a second model past
/// the filter.
///
/// # Errors
///
/// If the body is no object, its brackets or quotes do not close, something follows it, or a wanted
/// key stands twice (a filter and an upstream must not read two different models).
pub fn members<const N: usize>(body: &[u8], keys: [&'static str; N]) -> Result<Members<N>, Error> {
    let mut scan = Scan { body, at: 0 };
    if body.starts_with(b"\xef\xbb\xbf") {
        scan.at = 3;
    }
    scan.whitespace();
    match scan.byte() {
        Some(b'{') => scan.at += 1,
        Some(_) => return Err(scan.error(ErrorKind::Expected("an object"))),
        None => return Err(scan.error(ErrorKind::UnexpectedEnd)),
    }
    let mut found = Members { spans: [const { None }; N], insert_at: scan.at, is_empty: false };
    scan.whitespace();
    if scan.byte() == Some(b'}') {
        scan.at += 1;
        found.is_empty = true;
        return scan.end().map(|()| found);
    }
    loop {
        scan.whitespace();
        let key_at = scan.at;
        let key = scan.key()?;
        scan.whitespace();
        if scan.byte() != Some(b':') {
            return Err(scan.unexpected());
        }
        scan.at += 1;
        scan.whitespace();
        let start = scan.at;
        scan.value()?;
        // A value ends before the white space that follows it.
        let end = start + body[start..scan.at].trim_ascii_end().len();
        if end == start {
            return Err(scan.unexpected());
        }
        if let Some(index) = position(key, &keys) {
            if found.spans[index].is_some() {
                return Err(Error { kind: ErrorKind::Duplicate(keys[index]), offset: key_at });
            }
            found.spans[index] = Some(start..end);
        }
        match scan.byte() {
            Some(b',') => scan.at += 1,
            Some(b'}') => {
                scan.at += 1;
                return scan.end().map(|()| found);
            }
            _ => return Err(scan.unexpected()),
        }
    }
}

/// Which of `keys` the still-escaped `key` is.
fn position(key: &[u8], keys: &[&'static str]) -> Option<usize> {
    // An escaped letter takes six bytes.
    if key.len() < 6 || !key.contains(&b'\\') {
        return keys.iter().position(|wanted| key == wanted.as_bytes());
    }
    let key = super::text::Str::from_escaped(std::str::from_utf8(key).ok()?);
    keys.iter().position(|wanted| key == *wanted)
}

struct Scan<'a> {
    body: &'a [u8],
    at: usize,
}

impl<'a> Scan<'a> {
    fn byte(&self) -> Option<u8> {
        self.body.get(self.at).copied()
    }

    fn whitespace(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error { kind, offset: self.at }
    }

    fn unexpected(&self) -> Error {
        let end = self.at >= self.body.len();
        self.error(if end { ErrorKind::UnexpectedEnd } else { ErrorKind::UnexpectedByte })
    }

    fn key(&mut self) -> Result<&'a [u8], Error> {
        if self.byte() != Some(b'"') {
            return Err(self.unexpected());
        }
        let start = self.at + 1;
        self.string()?;
        Ok(&self.body[start..self.at - 1])
    }

    /// Stands on a quote; ends after the closing one.
    ///
    /// Looks for quotes only, and at the backslashes before each: program text in a conversation has an
    /// escape every few words, and stopping at each of them costs more than all the rest.
    fn string(&mut self) -> Result<(), Error> {
        self.at += 1;
        match closing_quote(self.body.get(self.at..).unwrap_or_default()) {
            Some(step) => {
                self.at += step + 1;
                Ok(())
            }
            None => {
                self.at = self.body.len();
                Err(self.error(ErrorKind::UnexpectedEnd))
            }
        }
    }

    /// Passes over one value, up to the comma or brace that ends it.
    fn value(&mut self) -> Result<(), Error> {
        let mut depth = 0u32;
        loop {
            match self.byte() {
                Some(b'"') => self.string()?,
                Some(b'{' | b'[') => {
                    depth += 1;
                    self.at += 1;
                }
                Some(b'}' | b']' | b',') if depth == 0 => return Ok(()),
                Some(b'}' | b']') => {
                    depth -= 1;
                    self.at += 1;
                }
                Some(_) => self.at += 1,
                None => return Err(self.error(ErrorKind::UnexpectedEnd)),
            }
        }
    }

    fn end(&mut self) -> Result<(), Error> {
        self.whitespace();
        if self.at < self.body.len() { Err(self.error(ErrorKind::Trailing)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn model(body: &str) -> Result<Option<&str>, ErrorKind> {
        members(body.as_bytes(), ["model"])
            .map(|m| m.spans[0].clone().map(|span| &body[span]))
            .map_err(|e| e.kind)
    }

    #[test]
    fn finds_the_top_level_model_only() {
        assert_eq!(model(r#"{"metadata":{"model":"x"},"model" : "y" }"#), Ok(Some("\"y\"")));
        assert_eq!(model(r#"{"a":"}\"{","b":[1,{"model":1}]}"#), Ok(None));
        assert_eq!(model(r#"{"mod\u0065l":"y"}"#), Ok(Some("\"y\"")));
        assert_eq!(model("{}"), Ok(None));
    }

    #[test]
    fn refuses_what_could_be_read_two_ways() {
        assert_eq!(model(r#"{"model":"a","model":"b"}"#), Err(ErrorKind::Duplicate("model")));
        assert_eq!(model(r#"{"model":"a","mod\u0065l":"b"}"#), Err(ErrorKind::Duplicate("model")));
        assert_eq!(model(r#"["model","a"]"#), Err(ErrorKind::Expected("an object")));
        assert_eq!(model(r#"{"model":"a"} {}"#), Err(ErrorKind::Trailing));
        for bad in ["", "{", r#"{"model":"a"#, r#"{"model":}"#, r#"{"model":"a",}"#, r#"{"model""a"}"#] {
            assert!(model(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(body in proptest::collection::vec(prop::sample::select(b"{}[]\",:\\model 1e".to_vec()), 0..40)) {
            let _ = members(&body, ["model", "stream"]);
        }

        #[test]
        fn spans_are_what_serde_json_reads(model in "[a-z\"\\\\ü]{0,8}", other in "[a-z\"{}\\[\\],\\\\]{0,12}") {
            let body = serde_json::json!({"a": other, "model": model, "z": {"model": [other]}}).to_string();
            let found = members(body.as_bytes(), ["model"]).unwrap();
            let span = found.spans[0].clone().unwrap();
            prop_assert_eq!(serde_json::from_str::<String>(&body[span]).unwrap(), model);
        }
    }
}
