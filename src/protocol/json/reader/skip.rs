//! Passing over values, and judging every byte of them.

use super::{Kind, MAX_DEPTH, Reader, Result};
use crate::protocol::json::error::{Error, ErrorKind};
use crate::protocol::json::scan::special;

impl Reader<'_> {
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
                Kind::String => _ = self.skip_string()?,
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

    pub(super) fn skip_key(&mut self) -> Result<()> {
        match self.byte() {
            Some(b'"') => _ = self.skip_string()?,
            Some(_) => return Err(self.error(ErrorKind::Expected("a key"))),
            None => return Err(self.error(ErrorKind::UnexpectedEnd)),
        }
        self.whitespace();
        self.expect(b':')
    }

    /// Stands on the opening quote; ends after the closing one. Whether there were escapes.
    pub(super) fn skip_string(&mut self) -> Result<bool> {
        let bytes = self.text.as_bytes();
        let mut has_escape = false;
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
                    return Ok(has_escape);
                }
                b'\\' => has_escape = true,
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

    pub(super) fn skip_number(&mut self) -> Result<()> {
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

    pub(super) fn literal(&mut self, word: &str) -> Result<()> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.error(ErrorKind::UnexpectedByte))
        }
    }

    pub(super) fn expect(&mut self, byte: u8) -> Result<()> {
        match self.byte() {
            Some(found) if found == byte => {
                self.at += 1;
                Ok(())
            }
            Some(_) => Err(self.error(ErrorKind::UnexpectedByte)),
            None => Err(self.error(ErrorKind::UnexpectedEnd)),
        }
    }

    pub(super) fn whitespace(&mut self) {
        while matches!(self.byte(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }
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
