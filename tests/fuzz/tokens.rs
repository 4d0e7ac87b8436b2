//! Where JSON stands in a text, well-formed or not: strings, other values, brackets with what they hold.

use std::ops::Range;

/// A piece of JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// Its bytes, an object's or a list's up to its end.
    pub span: Range<usize>,
    pub is_key: bool,
    pub is_string: bool,
}

/// Every value and every key; brackets that do not close end with the text.
pub fn tokens(text: &[u8]) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        let start = at;
        at += 1;
        match byte {
            b'"' => {
                while let Some(byte) = text.get(at) {
                    at += 1;
                    match byte {
                        b'"' => break,
                        b'\\' => at = (at + 1).min(text.len()),
                        _ => {}
                    }
                }
                let is_key = text[at..].trim_ascii_start().starts_with(b":");
                found.push(Token { span: start..at, is_key, is_string: true });
            }
            b'{' | b'[' => {
                open.push(found.len());
                found.push(Token { span: start..text.len(), is_key: false, is_string: false });
            }
            b'}' | b']' => {
                if let Some(opened) = open.pop() {
                    found[opened].span.end = at;
                }
            }
            b'-' | b'0'..=b'9' | b'a'..=b'z' => {
                while matches!(text.get(at), Some(b'-' | b'+' | b'.' | b'0'..=b'9' | b'a'..=b'z' | b'E')) {
                    at += 1;
                }
                found.push(Token { span: start..at, is_key: false, is_string: false });
            }
            _ => {}
        }
    }
    found
}
