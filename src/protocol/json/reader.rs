//! A pull reader: validates everything it passes, copies nothing.

use std::borrow::Cow;
use std::fmt;

use super::scan::special;
use super::text::{Number, Raw, Str};

/// Nesting beyond this is refused (serde_json's own limit is 128; agents' schemas stay below 40).
pub const MAX_DEPTH: u32 = 256;

/// What went wrong in a document, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// What was wrong.
    pub kind: ErrorKind,
    /// Byte offset in the document.
    pub offset: usize,
}

/// The kinds of [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The document ends too early.
    UnexpectedEnd,
    /// A byte that cannot stand there.
    UnexpectedByte,
    /// A value of another type was needed.
    Expected(&'static str),
    /// More than [`MAX_DEPTH`] levels.
    TooDeep,
    /// Something follows the document.
    Trailing,
    /// A key that matters stands twice.
    Duplicate(&'static str),
    /// The bytes are not UTF-8.
    NotUtf8,
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.kind {
            ErrorKind::UnexpectedEnd => write!(f, "JSON ends too early, at byte {}", self.offset),
            ErrorKind::UnexpectedByte => write!(f, "invalid JSON at byte {}", self.offset),
            ErrorKind::Expected(what) => write!(f, "expected {what} at byte {}", self.offset),
            ErrorKind::TooDeep => write!(f, "JSON nested deeper than {MAX_DEPTH} at byte {}", self.offset),
            ErrorKind::Trailing => write!(f, "more data after the JSON document at byte {}", self.offset),
            ErrorKind::Duplicate(key) => write!(f, "`{key}` given twice, at byte {}", self.offset),
            ErrorKind::NotUtf8 => write!(f, "invalid UTF-8 at byte {}", self.offset),
        }
    }
}
impl std::error::Error for Error {}

/// The type of a value, known from its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `1.5`
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

/// Reads one JSON document front to back.
///
/// Whatever the closures given to [`object`](Reader::object) and [`array`](Reader::array) leave
/// unread is skipped, and validated on the way.
///
/// ```
/// use aiproxy::protocol::json::{Error, Reader};
/// let mut model = None;
/// let mut reader = Reader::new(r#"{"model":"m","messages":[{"role":"user"}]}"#);
/// reader.object(|key, value| {
///     if key == "model" {
///         model = Some(value.string()?);
///     }
///     Ok::<_, Error>(())
/// })?;
/// reader.end()?;
/// assert_eq!(model.unwrap(), "m");
/// # Ok::<_, Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    text: &'a str,
    at: usize,
    depth: u32,
}

/// A value that cannot be read before its neighbours are known.
#[derive(Clone, Debug)]
pub enum Later<'a> {
    /// A string is read at once, so that nobody looks at its bytes twice.
    Text(Str<'a>),
    /// Anything else is read where it stands.
    Value(Reader<'a>),
}

type Result<T, E = Error> = std::result::Result<T, E>;

impl<'a> Reader<'a> {
    /// Starts at the front of `text`.
    #[must_use]
    pub fn new(text: &'a str) -> Self {
        Reader { text, at: 0, depth: 0 }
    }

    /// Starts at the front of `bytes`.
    ///
    /// # Errors
    ///
    /// If they are not UTF-8.
    pub fn from_bytes(bytes: &'a [u8]) -> Result<Self> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Ok(Reader::new(text)),
            Err(e) => Err(Error { kind: ErrorKind::NotUtf8, offset: e.valid_up_to() }),
        }
    }

    /// Byte offset of what comes next.
    #[must_use]
    pub fn offset(&self) -> usize {
        self.at
    }

    /// The type of the value that comes next.
    ///
    /// # Errors
    ///
    /// If no value can start there.
    pub fn peek(&mut self) -> Result<Kind> {
        self.whitespace();
        match self.byte() {
            Some(b'{') => Ok(Kind::Object),
            Some(b'[') => Ok(Kind::Array),
            Some(b'"') => Ok(Kind::String),
            Some(b'-' | b'0'..=b'9') => Ok(Kind::Number),
            Some(b't' | b'f') => Ok(Kind::Bool),
            Some(b'n') => Ok(Kind::Null),
            Some(_) => Err(self.error(ErrorKind::UnexpectedByte)),
            None => Err(self.error(ErrorKind::UnexpectedEnd)),
        }
    }

    /// Reads an object; `field` gets each decoded key and the reader, standing at its value.
    ///
    /// # Errors
    ///
    /// If the next value is no well-formed object, or what `field` returns.
    pub fn object<E: From<Error>>(
        &mut self,
        mut field: impl FnMut(&str, &mut Reader<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.peek()? != Kind::Object {
            return Err(self.error(ErrorKind::Expected("an object")).into());
        }
        self.enter()?;
        self.whitespace();
        if self.byte() == Some(b'}') {
            self.leave();
            return Ok(());
        }
        loop {
            self.whitespace();
            let key = self.string()?;
            self.whitespace();
            self.expect(b':')?;
            self.whitespace();
            let start = self.at;
            let depth = self.depth;
            field(&key.decode(), self)?;
            if self.at == start {
                self.skip()?;
            }
            debug_assert_eq!(self.depth, depth);
            self.whitespace();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b'}') => {
                    self.leave();
                    return Ok(());
                }
                Some(_) => return Err(self.error(ErrorKind::UnexpectedByte).into()),
                None => return Err(self.error(ErrorKind::UnexpectedEnd).into()),
            }
        }
    }

    /// Reads a list; `item` gets the reader, standing at each element.
    ///
    /// # Errors
    ///
    /// If the next value is no well-formed list, or what `item` returns.
    pub fn array<E: From<Error>>(
        &mut self,
        mut item: impl FnMut(&mut Reader<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.peek()? != Kind::Array {
            return Err(self.error(ErrorKind::Expected("a list")).into());
        }
        self.enter()?;
        self.whitespace();
        if self.byte() == Some(b']') {
            self.leave();
            return Ok(());
        }
        loop {
            self.whitespace();
            let start = self.at;
            item(self)?;
            if self.at == start {
                self.skip()?;
            }
            self.whitespace();
            match self.byte() {
                Some(b',') => self.at += 1,
                Some(b']') => {
                    self.leave();
                    return Ok(());
                }
                Some(_) => return Err(self.error(ErrorKind::UnexpectedByte).into()),
                None => return Err(self.error(ErrorKind::UnexpectedEnd).into()),
            }
        }
    }

    /// Reads a string.
    ///
    /// # Errors
    ///
    /// If the next value is no well-formed string.
    pub fn string(&mut self) -> Result<Str<'a>> {
        self.whitespace();
        match self.byte() {
            Some(b'"') => {}
            Some(_) => return Err(self.error(ErrorKind::Expected("a string"))),
            None => return Err(self.error(ErrorKind::UnexpectedEnd)),
        }
        let start = self.at + 1;
        self.skip_string()?;
        Ok(Str::from_escaped(self.slice(start, self.at - 1)))
    }

    /// Keeps a value for later.
    ///
    /// # Errors
    ///
    /// If no value can start there, or it is no well-formed string.
    pub fn later(&mut self) -> Result<Later<'a>> {
        Ok(if self.peek()? == Kind::String {
            Later::Text(self.string()?)
        } else {
            Later::Value(self.clone())
        })
    }

    /// Reads a number.
    ///
    /// # Errors
    ///
    /// If the next value is no well-formed number.
    pub fn number(&mut self) -> Result<Number<'a>> {
        if self.peek()? != Kind::Number {
            return Err(self.error(ErrorKind::Expected("a number")));
        }
        let start = self.at;
        self.skip_number()?;
        Ok(Number::from_json(self.slice(start, self.at)))
    }

    /// Reads a boolean.
    ///
    /// # Errors
    ///
    /// If the next value is none.
    pub fn boolean(&mut self) -> Result<bool> {
        if self.peek()? != Kind::Bool {
            return Err(self.error(ErrorKind::Expected("a boolean")));
        }
        let value = self.byte() == Some(b't');
        self.literal(if value { "true" } else { "false" })?;
        Ok(value)
    }

    /// Reads any value and returns it as it stands.
    ///
    /// # Errors
    ///
    /// If it is not well formed.
    pub fn raw(&mut self) -> Result<Raw<'a>> {
        self.whitespace();
        let start = self.at;
        self.skip()?;
        Ok(Raw::from_json(self.slice(start, self.at)))
    }

    /// Reads a `null` if one comes next.
    ///
    /// # Errors
    ///
    /// If the next bytes start like `null` and are not.
    pub fn null(&mut self) -> Result<bool> {
        if self.peek()? != Kind::Null {
            return Ok(false);
        }
        self.literal("null")?;
        Ok(true)
    }

    /// A string; `None` for `null`.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn string_or_null(&mut self) -> Result<Option<Str<'a>>> {
        if self.null()? { Ok(None) } else { self.string().map(Some) }
    }

    /// A number; `None` for `null`.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn number_or_null(&mut self) -> Result<Option<Number<'a>>> {
        if self.null()? { Ok(None) } else { self.number().map(Some) }
    }

    /// A boolean; `None` for `null`.
    ///
    /// # Errors
    ///
    /// If it is neither.
    pub fn boolean_or_null(&mut self) -> Result<Option<bool>> {
        if self.null()? { Ok(None) } else { self.boolean().map(Some) }
    }

    /// For upstream data, which may bend its schema: a string if there is one, else `None`; what
    /// stands there is skipped.
    ///
    /// # Errors
    ///
    /// Only if the document is not well formed.
    pub fn lenient_string(&mut self) -> Result<Option<Str<'a>>> {
        if self.peek()? == Kind::String { self.string().map(Some) } else { self.skip().map(|()| None) }
    }

    /// Like [`lenient_string`](Self::lenient_string), for whole numbers from 0 up.
    ///
    /// # Errors
    ///
    /// Only if the document is not well formed.
    pub fn lenient_u64(&mut self) -> Result<Option<u64>> {
        if self.peek()? == Kind::Number { Ok(self.number()?.as_u64()) } else { self.skip().map(|()| None) }
    }

    /// Like [`object`](Self::object), but anything that is no object is skipped.
    ///
    /// # Errors
    ///
    /// If the document is not well formed, or what `field` returns.
    pub fn lenient_object<E: From<Error>>(
        &mut self,
        field: impl FnMut(&str, &mut Reader<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.peek()? == Kind::Object { self.object(field) } else { Ok(self.skip()?) }
    }

    /// Like [`array`](Self::array), but anything that is no list is skipped.
    ///
    /// # Errors
    ///
    /// If the document is not well formed, or what `item` returns.
    pub fn lenient_array<E: From<Error>>(
        &mut self,
        item: impl FnMut(&mut Reader<'a>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.peek()? == Kind::Array { self.array(item) } else { Ok(self.skip()?) }
    }

    /// Checks that nothing but white space is left.
    ///
    /// # Errors
    ///
    /// If there is more.
    pub fn end(&mut self) -> Result<()> {
        self.whitespace();
        if self.byte().is_some() { Err(self.error(ErrorKind::Trailing)) } else { Ok(()) }
    }

    /// Passes over one value, validating it. Does not recurse.
    ///
    /// # Errors
    ///
    /// If it is not well formed.
    pub fn skip(&mut self) -> Result<()> {
        let floor = self.depth;
        // One bit per open level: is it an object? Levels are capped, so a fixed array does.
        let mut objects = [0u64; (MAX_DEPTH as usize).div_ceil(64) + 1];
        loop {
            // A value starts here.
            match self.peek()? {
                Kind::String => self.skip_string()?,
                Kind::Number => self.skip_number()?,
                Kind::Null => self.literal("null")?,
                Kind::Bool => {
                    let word = if self.byte() == Some(b't') { "true" } else { "false" };
                    self.literal(word)?;
                }
                kind => {
                    self.enter()?;
                    let level = self.depth as usize;
                    let bit = 1u64 << (level % 64);
                    let is_object = kind == Kind::Object;
                    if is_object {
                        objects[level / 64] |= bit
                    } else {
                        objects[level / 64] &= !bit
                    }
                    self.whitespace();
                    if self.byte() == Some(if is_object { b'}' } else { b']' }) {
                        self.leave();
                    } else {
                        if is_object {
                            self.skip_key()?;
                        }
                        continue;
                    }
                }
            }
            // A value has ended: close levels, or go on to the next value of this one.
            loop {
                if self.depth == floor {
                    return Ok(());
                }
                let level = self.depth as usize;
                let is_object = objects[level / 64] >> (level % 64) & 1 == 1;
                self.whitespace();
                match self.byte() {
                    Some(b',') => {
                        self.at += 1;
                        if is_object {
                            self.whitespace();
                            self.skip_key()?;
                        }
                        break;
                    }
                    Some(b'}') if is_object => self.leave(),
                    Some(b']') if !is_object => self.leave(),
                    Some(_) => return Err(self.error(ErrorKind::UnexpectedByte)),
                    None => return Err(self.error(ErrorKind::UnexpectedEnd)),
                }
            }
        }
    }

    fn skip_key(&mut self) -> Result<()> {
        match self.byte() {
            Some(b'"') => self.skip_string()?,
            Some(_) => return Err(self.error(ErrorKind::Expected("a key"))),
            None => return Err(self.error(ErrorKind::UnexpectedEnd)),
        }
        self.whitespace();
        self.expect(b':')
    }

    /// Stands on the opening quote; ends after the closing one.
    fn skip_string(&mut self) -> Result<()> {
        let bytes = self.text.as_bytes();
        self.at += 1;
        loop {
            let rest = bytes.get(self.at..).unwrap_or_default();
            let Some(step) = special(rest) else {
                return Err(Error { kind: ErrorKind::UnexpectedEnd, offset: self.text.len() });
            };
            self.at += step;
            match bytes[self.at] {
                b'"' => {
                    self.at += 1;
                    return Ok(());
                }
                b'\\' => {}
                _ => return Err(self.error(ErrorKind::UnexpectedByte)),
            }
            let long = match bytes.get(self.at + 1) {
                Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                Some(b'u') => {
                    let digits = bytes.get(self.at + 2..self.at + 6).unwrap_or_default();
                    if digits.len() < 4 || !digits.iter().all(u8::is_ascii_hexdigit) {
                        return Err(self.error(ErrorKind::UnexpectedByte));
                    }
                    6
                }
                Some(_) => return Err(self.error(ErrorKind::UnexpectedByte)),
                None => return Err(Error { kind: ErrorKind::UnexpectedEnd, offset: self.text.len() }),
            };
            self.at += long;
        }
    }

    fn skip_number(&mut self) -> Result<()> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        match self.byte() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits(),
            _ => return Err(self.error(ErrorKind::Expected("a digit"))),
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.some_digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.some_digits()?;
        }
        Ok(())
    }

    fn some_digits(&mut self) -> Result<()> {
        if !matches!(self.byte(), Some(b'0'..=b'9')) {
            return Err(self.error(ErrorKind::Expected("a digit")));
        }
        self.digits();
        Ok(())
    }

    fn digits(&mut self) {
        while matches!(self.byte(), Some(b'0'..=b'9')) {
            self.at += 1;
        }
    }

    fn literal(&mut self, word: &str) -> Result<()> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.error(ErrorKind::UnexpectedByte))
        }
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        match self.byte() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.error(ErrorKind::UnexpectedByte)),
            None => Err(self.error(ErrorKind::UnexpectedEnd)),
        }
    }

    fn whitespace(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn enter(&mut self) -> Result<()> {
        if self.depth >= MAX_DEPTH {
            return Err(self.error(ErrorKind::TooDeep));
        }
        self.depth += 1;
        self.at += 1;
        Ok(())
    }

    fn leave(&mut self) {
        self.depth -= 1;
        self.at += 1;
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn slice(&self, from: usize, to: usize) -> &'a str {
        // Both ends stand beside an ASCII byte, so this is always a character boundary.
        self.text.get(from..to).unwrap_or_default()
    }

    fn error(&self, kind: ErrorKind) -> Error {
        Error { kind, offset: self.at }
    }
}

/// The path (`messages[2].content`) of what stands at `offset`, for error messages.
///
/// Computed when an error is rendered, so reading pays nothing for it.
#[must_use]
pub fn path_at(text: &str, offset: usize) -> String {
    fn walk(reader: &mut Reader<'_>, offset: usize, path: &mut String) -> Result<(), Found> {
        let here = path.len();
        match reader.peek().map_err(|_| Found)? {
            Kind::Object => reader.object(|key, value| {
                path.truncate(here);
                if here > 0 {
                    path.push('.');
                }
                // A client's key of any length and content must not become the message.
                path.extend(key.chars().filter(|c| !c.is_control()).take(60));
                step(value, offset, path)
            }),
            Kind::Array => {
                let mut index = 0usize;
                reader.array(|value| {
                    path.truncate(here);
                    path.push_str(&format!("[{index}]"));
                    index += 1;
                    step(value, offset, path)
                })
            }
            _ => Err(Found),
        }
    }
    fn step(value: &mut Reader<'_>, offset: usize, path: &mut String) -> Result<(), Found> {
        let mut ahead = value.clone();
        ahead.whitespace();
        match ahead.skip() {
            Ok(()) if ahead.offset() <= offset => {
                *value = ahead;
                Ok(())
            }
            _ => {
                if ahead.offset() >= offset && value.offset() < offset {
                    walk(value, offset, path)?;
                }
                Err(Found)
            }
        }
    }
    struct Found;
    impl From<Error> for Found {
        fn from(_: Error) -> Self {
            Found
        }
    }
    let mut path = String::new();
    let _ = walk(&mut Reader::new(text), offset, &mut path);
    path
}

/// Reads one whole document as an object.
///
/// # Errors
///
/// If it is not well formed, no object, has something after it, or what `field` returns.
pub fn document<'a, E: From<Error>>(
    text: &'a str,
    field: impl FnMut(&str, &mut Reader<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(text);
    reader.object(field)?;
    Ok(reader.end()?)
}

/// Whether `text` is one complete JSON value (streams of tool arguments end when theirs are).
#[must_use]
pub fn is_complete(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.skip().and_then(|()| reader.end()).is_ok()
}

/// The value, if `text` is exactly one JSON object.
#[must_use]
pub fn as_object<'a>(text: impl Into<Cow<'a, str>>) -> Option<Raw<'a>> {
    let text = text.into();
    let trimmed = text.trim();
    (trimmed.starts_with('{') && is_complete(trimmed)).then(|| match text {
        Cow::Borrowed(text) => Raw::from_json(text.trim()),
        Cow::Owned(ref owned) => Raw::from_json(owned.trim().to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn valid(text: &str) -> Result<()> {
        let mut reader = Reader::new(text);
        reader.skip()?;
        reader.end()
    }

    #[test]
    fn refuses_what_json_refuses() {
        for bad in [
            "",
            "{",
            "[1,]",
            "{\"a\":1,}",
            "{\"a\" 1}",
            "{a:1}",
            "01",
            "1.",
            "1e",
            "-",
            "tru",
            "nulll",
            "\"\\x\"",
            "\"\\u12\"",
            "\"tab\tinside\"",
            "[1 2]",
            "{}}",
            "\"open",
            "{\"a\":}",
            "[}",
            "{]",
        ] {
            assert!(valid(bad).is_err(), "{bad}");
        }
        for good in ["{}", "[]", " [ ] ", "{\"a\":{}}", "-0.5e+10", "\"\\ud83d\"", "[[],{\"\":null}]"] {
            assert!(valid(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn ten_thousand_levels_are_an_error_and_no_crash() {
        for open in ["[", "{\"a\":"] {
            let deep = open.repeat(10_000);
            assert_eq!(valid(&deep).unwrap_err().kind, ErrorKind::TooDeep);
        }
    }

    #[test]
    fn errors_name_the_path() {
        let text = r#"{"model":"m","messages":[{"role":"user"},{"role":7}]}"#;
        let offset = text.find('7').unwrap();
        assert_eq!(path_at(text, offset), "messages[1].role");
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in r#"[\[\]{}",:0-9eE+\-. a\\nutrlfs\n]{0,24}"#) {
            let theirs = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
            // serde's IgnoredAny does not look into escapes; a real string type does.
            let theirs = theirs && serde_json::from_str::<&serde_json::value::RawValue>(&text).is_ok();
            prop_assert_eq!(valid(&text).is_ok(), theirs, "{}", text);
        }
    }
}
