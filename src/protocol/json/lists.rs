//! Lists that come in pieces: for folding native streams.

use super::error::Error;
use super::object::Object;
use super::reader::{Kind, Reader};

/// Lists of raw elements by key, in the order of their first pieces.
#[derive(Clone, Debug, Default)]
pub struct Lists {
    lists: Vec<(String, String)>,
}

impl Lists {
    /// Appends the elements of a list to those that came before under the same key; what is no list
    /// is skipped.
    ///
    /// # Errors
    ///
    /// If the value is not well formed.
    pub fn extend(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        if value.peek()? != Kind::Array {
            return value.skip();
        }
        let raw = value.raw()?;
        let inside = raw.as_str().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        let inside = inside.unwrap_or_default().trim();
        match self.lists.iter_mut().find(|(known, _)| known == key) {
            Some((_, list)) if !list.is_empty() && !inside.is_empty() => {
                list.push(',');
                list.push_str(inside);
            }
            Some((_, list)) => list.push_str(inside),
            None => self.lists.push((key.to_owned(), inside.to_owned())),
        }
        Ok(())
    }

    /// Whether there are no lists.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// Sets each list as a member of `object`.
    pub fn set_in(&self, object: &mut Object) {
        for (key, inside) in &self.lists {
            object.set(key, format!("[{inside}]"));
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
            ("b", "null"),
            ("a", "[]"),
            ("a", "[\"]\"]"),
            ("b", "[2]"),
        ] {
            lists.extend(key, &mut Reader::new(piece)).unwrap();
        }
        let mut object = Object::default();
        lists.set_in(&mut object);
        assert_eq!(object.to_json(), r#"{"b":[2],"a":[1.10, {"x":[]},"]"]}"#);
        assert!(lists.extend("a", &mut Reader::new("[1")).is_err());
    }
}
