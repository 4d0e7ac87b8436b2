//! A pull reader: validates everything it passes, copies nothing.

mod skip;

use std::borrow::Cow;

use super::error::{Error, ErrorKind};
use super::text::{Number, Raw, Str};

/// Nesting beyond this is refused (serde_json's own limit is 128; agents' schemas stay below 40).
pub const MAX_DEPTH: u32 = 256;

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

    /// All that comes next.
    #[must_use]
    pub fn rest(&self) -> &'a str {
        self.slice(self.at, self.text.len())
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
            let key = self.key()?;
            self.whitespace();
            self.expect(b':')?;
            self.whitespace();
            let start = self.at;
            let depth = self.depth;
            field(&key, self)?;
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
        self.escaped().map(|(escaped, _)| Str::from_escaped(escaped))
    }

    /// A key, decoded. Hardly any has an escape: nobody looks for one twice.
    fn key(&mut self) -> Result<Cow<'a, str>> {
        Ok(match self.escaped()? {
            (key, false) => Cow::Borrowed(key),
            (key, true) => Str::from_escaped(key).into_decoded(),
        })
    }

    /// The inside of a string, and whether there are escapes in it.
    fn escaped(&mut self) -> Result<(&'a str, bool)> {
        match self.byte() {
            Some(b'"') => {}
            Some(_) => return Err(self.error(ErrorKind::Expected("a string"))),
            None => return Err(self.error(ErrorKind::UnexpectedEnd)),
        }
        let start = self.at + 1;
        let has_escape = self.skip_string()?;
        Ok((self.slice(start, self.at - 1), has_escape))
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
