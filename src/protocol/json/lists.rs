//! Lists that come in pieces: for folding native streams.

use super::error::Error;
use super::object::Object;
use super::reader::{Kind, Reader};

/// Members whose lists grow piece by piece, in the order of their first pieces; of what is no list
/// the last value counts, unless that is `null`.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    /// JSON by key; a list is still without its closing bracket.
    members: Vec<(String, String)>,
}

impl Lists {
    /// Takes the next value of `key`.
    ///
    /// # Errors
    ///
    /// If it is not well formed.
    pub fn extend(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        let kind = value.peek()?;
        let raw = value.raw()?;
        let piece = match kind {
            Kind::Array => raw.as_str().strip_suffix(']').unwrap_or_default().trim_end(),
            _ => raw.as_str(),
        };
        let Some((_, whole)) = self.members.iter_mut().find(|(known, _)| known == key) else {
            self.members.push((key.to_owned(), piece.to_owned()));
            return Ok(());
        };
        if whole.starts_with('[') && kind == Kind::Array {
            let inside = piece.strip_prefix('[').unwrap_or_default().trim_start();
            if whole.len() > 1 && !inside.is_empty() {
                whole.push(',');
            }
            whole.push_str(inside);
        } else if kind != Kind::Null {
            *whole = piece.to_owned();
        }
        Ok(())
    }

    /// Whether nothing came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Sets each as a member of `object`.
    pub fn set_in(&self, object: &mut Object) {
        for (key, value) in &self.members {
            let end = if value.starts_with('[') { "]" } else { "" };
            object.set(key, format!("{value}{end}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_one_list_with_every_byte() {
        let mut lists = Lists::default();
        for (key, piece) in [
            ("b", "[ ]"),
            ("a", "[1.10, {\"x\":[]} ]"),
            ("n", "null"),
            ("b", "null"),
            ("a", "[]"),
            ("a", "[\"]\"]"),
            ("b", "[ 2]"),
            ("s", "-0.10"),
            ("s", "-0.20"),
        ] {
            lists.extend(key, &mut Reader::new(piece)).unwrap();
        }
        let mut object = Object::default();
        lists.set_in(&mut object);
        assert_eq!(object.to_json(), r#"{"b":[2],"a":[1.10, {"x":[]},"]"],"n":null,"s":-0.20}"#);
        assert!(lists.extend("a", &mut Reader::new("[1")).is_err());
    }
}
