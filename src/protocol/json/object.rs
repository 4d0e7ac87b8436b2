//! A JSON object as an ordered list of raw members: for folding native streams without losing
//! what we do not know.

use super::error::Error;
use super::reader::Reader;
use super::text::{Raw, Str};
use super::writer::Writer;

/// An object whose members keep their order, their text and their unknown neighbours.
#[derive(Clone, Debug, Default)]
pub struct Object {
    members: Vec<(String, String)>,
}

impl Object {
    /// Reads one object.
    ///
    /// # Errors
    ///
    /// If `json` is none.
    pub fn parse(json: &str) -> Result<Self, Error> {
        let mut object = Object::default();
        Reader::new(json).object(|key, value| {
            let raw = value.raw()?;
            object.set(key, raw.as_str());
            Ok::<_, Error>(())
        })?;
        Ok(object)
    }

    /// The raw value of `key`.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<Raw<'_>> {
        self.members.iter().find(|(k, _)| k == key).map(|(_, v)| Raw::from_json(v.as_str()))
    }

    /// Sets `key` to a raw JSON value, in place if it is there, else at the end.
    pub fn set(&mut self, key: &str, json: impl Into<String>) {
        let json = json.into();
        match self.members.iter_mut().find(|(k, _)| k == key) {
            Some((_, value)) => *value = json,
            None => self.members.push((key.to_owned(), json)),
        }
    }

    /// Sets `key` to a string.
    pub fn set_string(&mut self, key: &str, value: &Str<'_>) {
        self.set(key, format!("\"{}\"", value.as_escaped()));
    }

    /// Removes `key`.
    pub fn remove(&mut self, key: &str) {
        self.members.retain(|(k, _)| k != key);
    }

    /// Takes over every member of `other`, later values winning.
    pub fn merge(&mut self, other: &Object) {
        for (key, value) in &other.members {
            self.set(key, value.as_str());
        }
    }

    /// Whether there are no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Raw<'_>)> {
        self.members.iter().map(|(k, v)| (k.as_str(), Raw::from_json(v.as_str())))
    }

    /// Writes the object.
    pub fn write(&self, w: &mut Writer<'_>) {
        w.begin_object();
        for (key, value) in &self.members {
            w.key_str(&Str::escape(key.as_str())).json(value);
        }
        w.end_object();
    }

    /// The object as text.
    #[must_use]
    pub fn to_json(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut Writer::new(&mut out));
        super::text::string_from_utf8(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_order_and_text() {
        let mut object = Object::parse(r#"{"b":1.10,"a":{"x":[1]},"b":2.0}"#).unwrap();
        object.set("c", "null");
        assert_eq!(object.to_json(), r#"{"b":2.0,"a":{"x":[1]},"c":null}"#);
    }
}
