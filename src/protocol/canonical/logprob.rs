//! Probabilities of tokens (2.16), and the shape in which both of OpenAI's protocols carry them.

use crate::protocol::json::{Error, Kind, Number, Raw, Reader, Str, Writer};

/// OpenAI's word for a token that cannot come: JSON has no infinity.
const IMPOSSIBLE: &str = "-9999.0";

/// A token, and how probable it was.
#[derive(Clone, Debug)]
pub struct TokenLogprob<'a> {
    /// Its text.
    pub token: Str<'a>,
    /// Natural logarithm of its probability, with its exact text.
    pub logprob: Number<'a>,
    /// Its bytes, as a JSON list or `null`; `None` where the protocol has none: they are those of the text.
    pub bytes: Option<Raw<'a>>,
    /// The most probable tokens in its place; theirs is empty.
    pub top: Vec<TokenLogprob<'a>>,
}

impl<'a> TokenLogprob<'a> {
    /// Detaches the token from its document.
    #[must_use]
    pub fn into_owned(self) -> TokenLogprob<'static> {
        TokenLogprob {
            token: self.token.into_owned(),
            logprob: self.logprob.into_owned(),
            bytes: self.bytes.map(Raw::into_owned),
            top: self.top.into_iter().map(TokenLogprob::into_owned).collect(),
        }
    }

    /// Size, for bounds on what is held back.
    #[must_use]
    pub fn size(&self) -> usize {
        let bytes = self.bytes.as_ref().map_or(0, |bytes| bytes.as_str().len());
        size_of::<Self>() + self.token.len() + bytes + self.top.iter().map(Self::size).sum::<usize>()
    }

    /// Reads a list in OpenAI's shape; what bends it is left out.
    ///
    /// # Errors
    ///
    /// If the document is not well formed.
    pub fn read_list(reader: &mut Reader<'a>) -> Result<Vec<Self>, Error> {
        let mut tokens = Vec::new();
        reader.lenient_array(|item| {
            if item.peek()? == Kind::Object {
                tokens.push(Self::read(item)?);
            }
            Ok::<_, Error>(())
        })?;
        Ok(tokens)
    }

    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut read = TokenLogprob::default();
        reader.object(|key, value| {
            match key {
                "token" => read.token = value.lenient_string()?.unwrap_or_default(),
                "logprob" => read.logprob = read_logprob(value)?,
                "bytes" => read.bytes = Some(value.raw()?).filter(|raw| raw.is_array() || raw.is_null()),
                "top_logprobs" => read.top = Self::read_list(value)?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(read)
    }

    /// Writes the token in OpenAI's shape.
    pub fn write(&self, w: &mut Writer<'_>) {
        w.begin_object();
        self.write_members(w);
        w.key("top_logprobs").begin_array();
        for top in &self.top {
            w.begin_object();
            top.write_members(w);
            w.end_object();
        }
        w.end_array().end_object();
    }

    fn write_members(&self, w: &mut Writer<'_>) {
        w.key("token").string(&self.token);
        w.key("logprob").number(&self.logprob);
        w.key("bytes");
        match &self.bytes {
            Some(bytes) => {
                w.raw(bytes);
            }
            None => {
                w.begin_array();
                self.token.decode().bytes().for_each(|byte| {
                    w.u64(u64::from(byte));
                });
                w.end_array();
            }
        }
    }
}

impl Default for TokenLogprob<'_> {
    fn default() -> Self {
        // Google leaves out members that are zero.
        let logprob = Number::from_json("0");
        TokenLogprob { token: Str::EMPTY, logprob, bytes: None, top: Vec::new() }
    }
}

/// Reads a probability; some servers have words for what is no number (`"-Infinity"`, `null`).
pub(in crate::protocol) fn read_logprob<'a>(reader: &mut Reader<'a>) -> Result<Number<'a>, Error> {
    if reader.peek()? == Kind::Number {
        return reader.number();
    }
    reader.skip()?;
    Ok(Number::from_json(IMPOSSIBLE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn again(json: &str) -> String {
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.begin_array();
        TokenLogprob::read_list(&mut Reader::new(json)).unwrap().iter().for_each(|token| token.write(&mut w));
        w.end_array();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_and_bytes_of_tokens_keep_their_text() {
        let exact = r#"[{"token":"\\xf0\\x9f","logprob":-3.5760596e-07,"bytes":[240,159],"top_logprobs":[{"token":" w\u00f6","logprob":-0.10,"bytes":null}]}]"#;
        assert_eq!(again(exact), exact);
    }

    #[test]
    fn bytes_that_a_server_leaves_out_are_those_of_the_text() {
        assert_eq!(
            again(r#"[{"token":"\u00fc🦀\n","logprob":-0.5,"x":[1]}]"#),
            r#"[{"token":"\u00fc🦀\n","logprob":-0.5,"bytes":[195,188,240,159,166,128,10],"top_logprobs":[]}]"#
        );
    }

    #[test]
    fn what_bends_the_shape_breaks_nothing() {
        assert_eq!(again(r#"{"token":"a"}"#), "[]");
        assert_eq!(
            again(r#"[1,null,{"token":7,"logprob":"-Infinity","bytes":"x","top_logprobs":3}]"#),
            r#"[{"token":"","logprob":-9999.0,"bytes":[],"top_logprobs":[]}]"#
        );
    }
}
