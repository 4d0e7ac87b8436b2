//! Writes JSON by appending to a buffer; commas look after themselves.

use super::text::{Number, Raw, Str, escape_into};

/// Appends JSON to a byte buffer.
///
/// A comma is due exactly when the last byte written ends a value, so there is no state to keep
/// and a `Writer` can be made anew at any point of a document.
///
/// ```
/// use aiproxy::protocol::json::Writer;
/// let mut out = Vec::new();
/// let mut w = Writer::new(&mut out);
/// w.begin_object();
/// w.key("model").text("m");
/// w.key("stop").begin_array().text("a").text("b").end_array();
/// w.end_object();
/// assert_eq!(out, br#"{"model":"m","stop":["a","b"]}"#);
/// ```
#[derive(Debug)]
pub struct Writer<'b> {
    out: &'b mut Vec<u8>,
}

impl<'b> Writer<'b> {
    /// Writes to the end of `out`.
    pub fn new(out: &'b mut Vec<u8>) -> Self {
        Writer { out }
    }

    /// The buffer, for what is not JSON (`data: `, line ends).
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        self.out
    }

    fn comma(&mut self) {
        if let Some(b'}' | b']' | b'"' | b'0'..=b'9' | b'a'..=b'z') = self.out.last() {
            self.out.push(b',');
        }
    }

    /// Writes `{`.
    pub fn begin_object(&mut self) -> &mut Self {
        self.comma();
        self.out.push(b'{');
        self
    }

    /// Writes `}`.
    pub fn end_object(&mut self) -> &mut Self {
        self.out.push(b'}');
        self
    }

    /// Writes `[`.
    pub fn begin_array(&mut self) -> &mut Self {
        self.comma();
        self.out.push(b'[');
        self
    }

    /// Writes `]`.
    pub fn end_array(&mut self) -> &mut Self {
        self.out.push(b']');
        self
    }

    /// Writes a key that needs no escape.
    pub fn key(&mut self, key: &'static str) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_bytes());
        self.out.extend_from_slice(b"\":");
        self
    }

    /// Writes a key that came from outside.
    pub fn key_str(&mut self, key: &Str<'_>) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(key.as_escaped().as_bytes());
        self.out.extend_from_slice(b"\":");
        self
    }

    /// Writes a string that is already escaped.
    pub fn string(&mut self, value: &Str<'_>) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_escaped().as_bytes());
        self.out.push(b'"');
        self
    }

    /// Writes a string, escaping it.
    pub fn text(&mut self, value: &str) -> &mut Self {
        self.comma();
        self.out.push(b'"');
        escape_into(value.as_bytes(), self.out);
        self.out.push(b'"');
        self
    }

    /// Writes a string made of JSON text: how Chat and Responses carry tool arguments.
    pub fn json_as_string(&mut self, json: &str) -> &mut Self {
        self.text(json)
    }

    /// Writes a value as it stands.
    pub fn raw(&mut self, value: &Raw<'_>) -> &mut Self {
        self.json(value.as_str())
    }

    /// Writes JSON text as it stands; it must be one well-formed value.
    ///
    /// Only line breaks between its tokens become spaces: it may stand in a `data:` line, which one
    /// would end (models and servers like to indent arguments).
    pub fn json(&mut self, json: &str) -> &mut Self {
        self.comma();
        let mut rest = json.as_bytes();
        while let Some(at) = memchr::memchr2(b'\n', b'\r', rest) {
            let (line, tail) = rest.split_at(at);
            self.out.extend_from_slice(line);
            self.out.push(b' ');
            rest = tail.get(1..).unwrap_or_default();
        }
        self.out.extend_from_slice(rest);
        self
    }

    /// Writes a number with its exact text.
    pub fn number(&mut self, value: &Number<'_>) -> &mut Self {
        self.json(value.as_str())
    }

    /// Writes a whole number.
    pub fn u64(&mut self, value: u64) -> &mut Self {
        self.comma();
        if value < 10 {
            // Indexes and small counts are most of the numbers in a stream.
            self.out.push(b'0' + value as u8);
        } else {
            use std::io::Write as _;
            let _ = write!(self.out, "{value}");
        }
        self
    }

    /// Writes `true` or `false`.
    pub fn boolean(&mut self, value: bool) -> &mut Self {
        self.json(if value { "true" } else { "false" })
    }

    /// Writes `null`.
    pub fn null(&mut self) -> &mut Self {
        self.json("null")
    }

    /// Writes a string or `null`.
    pub fn string_or_null(&mut self, value: Option<&Str<'_>>) -> &mut Self {
        match value {
            Some(value) => self.string(value),
            None => self.null(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_indented_value_does_not_break_its_line() {
        let mut out = Vec::new();
        Writer::new(&mut out).json("{\r\n  \"a\": 1.10\n}");
        assert_eq!(String::from_utf8(out).unwrap(), "{    \"a\": 1.10 }");
    }

    #[test]
    fn commas_stand_between_values_only() {
        let mut out = b"data: ".to_vec();
        let mut w = Writer::new(&mut out);
        w.begin_object();
        w.key("a").u64(1);
        w.key("b").begin_array().end_array();
        w.key("c").begin_array().begin_object().end_object().null().boolean(true).end_array();
        w.key("d").string(&Str::from_escaped(r"\n"));
        w.end_object();
        assert_eq!(String::from_utf8(out).unwrap(), r#"data: {"a":1,"b":[],"c":[{},null,true],"d":"\n"}"#);
    }
}
