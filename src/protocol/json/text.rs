//! JSON strings, numbers and values as the bytes they are on the wire.
//!
//! A string means the same bytes in all four protocols, so translation moves it without ever
//! unescaping it (`performance.md`: that alone is half the price). [`Str`] is such a string.

use std::borrow::Cow;
use std::fmt;

use super::scan::special;

/// The inside of a JSON string literal: still escaped, without its quotes.
///
/// Comparing two `Str`s, or a `Str` with a `&str`, compares what they *mean*: `"\u0041"` equals
/// `"A"`.
///
/// ```
/// use aiproxy::protocol::json::Str;
/// let text = Str::escape("line\nbreak");
/// assert_eq!(text.as_escaped(), r"line\nbreak");
/// assert_eq!(text.decode(), "line\nbreak");
/// ```
#[derive(Clone, Default)]
pub struct Str<'a>(Cow<'a, str>);

impl<'a> Str<'a> {
    /// The empty string.
    pub const EMPTY: Str<'static> = Str(Cow::Borrowed(""));

    /// Wraps text that is already escaped (the caller has read it from a JSON string literal).
    #[must_use]
    pub fn from_escaped(escaped: impl Into<Cow<'a, str>>) -> Self {
        Str(escaped.into())
    }

    /// Escapes `text`; borrows it when there is nothing to escape.
    #[must_use]
    pub fn escape(text: impl Into<Cow<'a, str>>) -> Self {
        let text = text.into();
        match special(text.as_bytes()) {
            None => Str(text),
            Some(first) => {
                let mut out = Vec::with_capacity(text.len() + 16);
                out.extend_from_slice(&text.as_bytes()[..first]);
                escape_into(&text.as_bytes()[first..], &mut out);
                Str(Cow::Owned(string_from_utf8(out)))
            }
        }
    }

    /// The escaped form, as it stands between the quotes.
    #[must_use]
    pub fn as_escaped(&self) -> &str {
        &self.0
    }

    /// What the string means. Borrows unless there is an escape; a lone surrogate becomes U+FFFD.
    #[must_use]
    pub fn decode(&self) -> Cow<'_, str> {
        unescape(&self.0)
    }

    /// Like [`decode`](Self::decode), but keeps the lifetime of the document.
    #[must_use]
    pub fn into_decoded(self) -> Cow<'a, str> {
        match self.0 {
            Cow::Borrowed(text) => unescape(text),
            Cow::Owned(text) => Cow::Owned(unescape(&text).into_owned()),
        }
    }

    /// Whether the string has no characters.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the string has nothing but white space.
    #[must_use]
    pub fn is_blank(&self) -> bool {
        // Most strings differ in their first byte; only an escape needs the slow look.
        match self.0.trim_start().as_bytes().first() {
            None => true,
            Some(b'\\') => self.decode().trim().is_empty(),
            Some(_) => false,
        }
    }

    /// Length of the escaped form in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// A `Str` that borrows from this one.
    #[must_use]
    pub fn borrowed(&self) -> Str<'_> {
        Str(Cow::Borrowed(&self.0))
    }

    /// Detaches the string from the document that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Str<'static> {
        Str(Cow::Owned(self.0.into_owned()))
    }

    /// Appends another string.
    pub fn push(&mut self, other: &Str<'_>) {
        self.0.to_mut().push_str(&other.0);
    }

    /// Appends plain text, escaping it.
    pub fn push_text(&mut self, text: &str) {
        self.push(&Str::escape(text));
    }

    /// Splits off a trailing high surrogate (`\ud83d`) whose other half is still to come (T005).
    #[must_use]
    pub fn split_high_surrogate(&self) -> (Str<'_>, Option<Str<'_>>) {
        let text = self.0.as_ref();
        let Some(at) = text.len().checked_sub(6) else { return (self.borrowed(), None) };
        let Some(tail) = text.get(at..) else { return (self.borrowed(), None) };
        let bytes = tail.as_bytes();
        let is_high = bytes[0] == b'\\'
            && bytes[1] == b'u'
            && matches!(bytes[2], b'd' | b'D')
            && matches!(bytes[3], b'8' | b'9' | b'a' | b'b' | b'A' | b'B');
        // An even number of backslashes before it would make this one an escaped backslash.
        let before = text.as_bytes()[..at].iter().rev().take_while(|b| **b == b'\\').count();
        if is_high && before % 2 == 0 {
            let (ready, held) = text.split_at(at);
            (Str::from_escaped(ready), Some(Str::from_escaped(held)))
        } else {
            (self.borrowed(), None)
        }
    }
}

impl fmt::Debug for Str<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0)
    }
}

impl PartialEq for Str<'_> {
    fn eq(&self, other: &Str<'_>) -> bool {
        self.0 == other.0 || (self.has_escape() || other.has_escape()) && self.decode() == other.decode()
    }
}
impl Eq for Str<'_> {}

impl PartialEq<str> for Str<'_> {
    fn eq(&self, other: &str) -> bool {
        if self.has_escape() { self.decode() == other } else { self.0 == other }
    }
}
impl PartialEq<&str> for Str<'_> {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}

impl Str<'_> {
    fn has_escape(&self) -> bool {
        memchr::memchr(b'\\', self.0.as_bytes()).is_some()
    }
}

impl<'a> From<&'a str> for Str<'a> {
    fn from(text: &'a str) -> Self {
        Str::escape(text)
    }
}
impl From<String> for Str<'static> {
    fn from(text: String) -> Self {
        Str::escape(text)
    }
}

/// One JSON value as it stood in the document, checked to be well formed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raw<'a>(Cow<'a, str>);

impl<'a> Raw<'a> {
    /// Wraps one well-formed JSON value.
    #[must_use]
    pub fn from_json(json: impl Into<Cow<'a, str>>) -> Self {
        Raw(json.into())
    }

    /// The text of the value.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text with the lifetime of the document.
    #[must_use]
    pub fn into_text(self) -> Cow<'a, str> {
        self.0
    }

    /// Whether the value is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.0 == "null"
    }

    /// Whether the value is an object.
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.0.starts_with('{')
    }

    /// Whether the value is a list.
    #[must_use]
    pub fn is_array(&self) -> bool {
        self.0.starts_with('[')
    }

    /// The string, if the value is one.
    #[must_use]
    pub fn as_text(&self) -> Option<Str<'_>> {
        Some(Str::from_escaped(self.0.strip_prefix('"')?.strip_suffix('"')?))
    }

    /// A `Raw` that borrows from this one.
    #[must_use]
    pub fn borrowed(&self) -> Raw<'_> {
        Raw(Cow::Borrowed(&self.0))
    }

    /// Detaches the value from the document that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Raw<'static> {
        Raw(Cow::Owned(self.0.into_owned()))
    }
}

/// A JSON number with its exact text: `1.10` stays `1.10`, thirty digits stay thirty digits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Number<'a>(Cow<'a, str>);

impl<'a> Number<'a> {
    /// Wraps the text of a well-formed JSON number.
    #[must_use]
    pub fn from_json(text: impl Into<Cow<'a, str>>) -> Self {
        Number(text.into())
    }

    /// The text of the number.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The value, if it is a whole number from 0 up (`4096`, also `4096.0`).
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        // Hardly any has a point.
        self.0.parse().ok().or_else(|| {
            let (whole, fraction) = self.0.split_once('.')?;
            if fraction.bytes().all(|digit| digit == b'0') { whole.parse().ok() } else { None }
        })
    }

    /// The value as a float.
    #[must_use]
    pub fn as_f64(&self) -> f64 {
        // A JSON number is always a Rust float literal; huge exponents give infinity.
        self.0.parse().unwrap_or(f64::NAN)
    }

    /// Detaches the number from the document that it was read from.
    #[must_use]
    pub fn into_owned(self) -> Number<'static> {
        Number(Cow::Owned(self.0.into_owned()))
    }
}

impl From<u64> for Number<'static> {
    fn from(value: u64) -> Self {
        Number(Cow::Owned(value.to_string()))
    }
}

/// Appends `text` with everything escaped that JSON demands.
pub(super) fn escape_into(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = special(rest) {
        out.extend_from_slice(&rest[..at]);
        match rest[at] {
            b'"' => out.extend_from_slice(b"\\\""),
            b'\\' => out.extend_from_slice(b"\\\\"),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            other => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(b"\\u00");
                out.push(HEX[usize::from(other >> 4)]);
                out.push(HEX[usize::from(other & 15)]);
            }
        }
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
}

fn unescape(escaped: &str) -> Cow<'_, str> {
    let Some(first) = memchr::memchr(b'\\', escaped.as_bytes()) else {
        return Cow::Borrowed(escaped);
    };
    let (head, mut rest) = escaped.split_at(first);
    let mut out = String::with_capacity(escaped.len());
    out.push_str(head);
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let (plain, tail) = rest.split_at(at);
        out.push_str(plain);
        let mut chars = tail.chars();
        chars.next();
        match chars.next() {
            Some('n') => out.push('\n'),
            Some('r') => out.push('\r'),
            Some('t') => out.push('\t'),
            Some('b') => out.push('\u{8}'),
            Some('f') => out.push('\u{c}'),
            Some('u') => {
                let (c, after) = unescape_unicode(chars.as_str());
                out.push(c);
                rest = after;
                continue;
            }
            Some(other) => out.push(other),
            None => {}
        }
        rest = chars.as_str();
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// Reads what follows `\u`; a pair of surrogates is one character, a lone one is U+FFFD.
fn unescape_unicode(text: &str) -> (char, &str) {
    fn unit(text: &str) -> Option<(u32, &str)> {
        let digits = text.get(..4)?;
        Some((u32::from_str_radix(digits, 16).ok()?, text.get(4..)?))
    }
    let Some((high, rest)) = unit(text) else { return (char::REPLACEMENT_CHARACTER, text) };
    if let Some(c) = char::from_u32(high) {
        return (c, rest);
    }
    if high < 0xdc00
        && let Some((low, after)) = rest.strip_prefix("\\u").and_then(unit)
        && (0xdc00..0xe000).contains(&low)
        && let Some(c) = char::from_u32(0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00))
    {
        return (c, after);
    }
    (char::REPLACEMENT_CHARACTER, rest)
}

/// `Vec<u8>` → `String` for bytes that are UTF-8 by construction.
pub(crate) fn string_from_utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_mean_what_they_say() {
        for (escaped, plain) in [
            (r"a\nb\t\\\/\u0041", "a\nb\t\\/A"),
            (r"\ud83d\ude00!", "😀!"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ude00\ud83d", "\u{fffd}\u{fffd}"),
        ] {
            assert_eq!(Str::from_escaped(escaped).decode(), plain, "{escaped}");
        }
        let text = "quote \" slash \\ bell \u{7} ü 😀";
        assert_eq!(Str::escape(text).decode(), text);
        assert_eq!(Str::from_escaped(r"\u0041"), Str::from_escaped("A"));
    }

    #[test]
    fn half_an_emoji_waits_for_its_other_half() {
        let text = Str::from_escaped(r"hi \ud83d");
        let (ready, held) = text.split_high_surrogate();
        assert_eq!(ready.as_escaped(), "hi ");
        assert_eq!(held.map(|h| h.as_escaped().to_owned()).as_deref(), Some(r"\ud83d"));
        let whole = Str::from_escaped(r"hi \ud83d\ude00");
        assert!(whole.split_high_surrogate().1.is_none());
        let literal = Str::from_escaped(r"hi \\ud83d");
        assert!(literal.split_high_surrogate().1.is_none(), "an escaped backslash is no escape");
    }

    #[test]
    fn numbers_keep_their_text() {
        assert_eq!(Number::from_json("4096.0").as_u64(), Some(4096));
        assert_eq!(Number::from_json("-1").as_u64(), None);
        assert_eq!(Number::from_json("1.10").as_str(), "1.10");
        assert!(Number::from_json("1e999").as_f64().is_infinite());
    }
}
