//! Makes up a JSON document that fits a JSON schema.
//!
//! Strings, numbers and booleans are taken from the user's text when it says `name=value` (or
//! `name="two words"`), else they are samples. The n-th document takes the n-th mention.

use serde_json::{Map, Value};

use super::wire::quote;

const MAX_DEPTH: usize = 8;
const MAX_BYTES: usize = 64 * 1024;

/// What a document is made from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampler<'a> {
    /// The schema that `$ref`s point into.
    pub(crate) root: &'a Value,
    /// The user's text.
    pub(crate) text: &'a str,
    /// Which of several documents this is, from 0.
    pub(crate) index: usize,
}

impl<'a> Sampler<'a> {
    /// A document for the whole schema, as compact JSON.
    pub(crate) fn document(&self) -> String {
        let mut out = String::new();
        self.value(self.root, "", MAX_DEPTH, &mut out);
        out
    }

    fn value(&self, schema: &'a Value, name: &str, depth: usize, out: &mut String) {
        let schema = self.resolve(schema, depth);
        if out.len() > MAX_BYTES {
            out.push_str("null");
        } else if let Some(fixed) = schema.get("const") {
            out.push_str(&fixed.to_string());
        } else if let Some(Value::Array(choices)) = schema.get("enum") {
            self.choice(choices, name, out);
        } else {
            self.typed(schema, name, depth, out);
        }
    }

    fn typed(&self, schema: &'a Value, name: &str, depth: usize, out: &mut String) {
        match type_of(schema) {
            "object" if depth > 0 => self.object(schema, depth - 1, out),
            "object" => out.push_str("{}"),
            "array" => self.array(schema, name, depth, out),
            "integer" => self.number(schema, name, true, out),
            "number" => self.number(schema, name, false, out),
            "boolean" => match self.mention(name) {
                Some("false") => out.push_str("false"),
                _ => out.push_str("true"),
            },
            "null" => out.push_str("null"),
            _ => self.string(schema, name, out),
        }
    }

    /// Follows `$ref`, and takes the first usable branch of a choice.
    fn resolve(&self, schema: &'a Value, depth: usize) -> &'a Value {
        let mut schema = schema;
        for _ in 0..depth {
            let next = if let Some(path) = schema.get("$ref").and_then(Value::as_str) {
                path.strip_prefix('#').and_then(|path| self.root.pointer(path))
            } else {
                ["anyOf", "oneOf", "allOf"].iter().find_map(|key| {
                    let branches = schema.get(key)?.as_array()?;
                    let real = branches.iter().find(|branch| type_of(branch) != "null");
                    real.or(branches.first())
                })
            };
            match next {
                Some(next) => schema = next,
                None => break,
            }
        }
        schema
    }

    fn object(&self, schema: &'a Value, depth: usize, out: &mut String) {
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array);
        let required: Vec<&str> = required.into_iter().flatten().filter_map(Value::as_str).collect();
        let optional = properties
            .into_iter()
            .flat_map(Map::keys)
            .map(String::as_str)
            .filter(|name| !required.contains(name) && self.mention(name).is_some());
        out.push('{');
        let mut first = true;
        for name in required.iter().copied().chain(optional) {
            if !std::mem::take(&mut first) {
                out.push(',');
            }
            quote(out, name);
            out.push(':');
            let property = properties.and_then(|properties| properties.get(name));
            self.value(property.unwrap_or(&Value::Null), name, depth, out);
        }
        out.push('}');
    }

    fn array(&self, schema: &'a Value, name: &str, depth: usize, out: &mut String) {
        let least = schema.get("minItems").and_then(Value::as_u64).unwrap_or(1);
        let most = schema.get("maxItems").and_then(Value::as_u64).unwrap_or(16);
        let count = if depth == 0 { 0 } else { least.clamp(1, 16).min(most) };
        out.push('[');
        for n in 0..count {
            if n > 0 {
                out.push(',');
            }
            let item = schema.get("items").unwrap_or(&Value::Null);
            self.value(item, name, depth.saturating_sub(1), out);
        }
        out.push(']');
    }

    fn number(&self, schema: &Value, name: &str, whole: bool, out: &mut String) {
        if let Some(said) = self.mention(name) {
            let fits = if whole {
                said.parse::<i64>().is_ok()
            } else {
                serde_json::from_str::<serde_json::Number>(said).is_ok()
            };
            if fits {
                return out.push_str(said);
            }
        }
        let sample = 1 + i64::try_from(self.index).unwrap_or_default();
        let bound = |key: &str| schema.get(key).and_then(Value::as_f64);
        let fits = bound("minimum").is_none_or(|least| least <= sample as f64)
            && bound("maximum").is_none_or(|most| most >= sample as f64);
        let edge = schema.get("minimum").or(schema.get("maximum"));
        match edge {
            Some(edge) if !fits => out.push_str(&edge.to_string()),
            _ => out.push_str(&sample.to_string()),
        }
    }

    fn choice(&self, choices: &[Value], name: &str, out: &mut String) {
        let said = self.mention(name);
        let chosen = choices.iter().find(|choice| choice.as_str().is_some() && choice.as_str() == said);
        out.push_str(&chosen.or(choices.first()).unwrap_or(&Value::Null).to_string());
    }

    fn string(&self, schema: &Value, name: &str, out: &mut String) {
        if let Some(said) = self.mention(name) {
            return quote(out, said);
        }
        let sample = match schema.get("format").and_then(Value::as_str) {
            Some("date") => "2025-06-15",
            Some("date-time") => "2025-06-15T15:06:40Z",
            Some("time") => "15:06:40Z",
            Some("uuid") => "6f1c2f5e-0c1d-4b7a-9a53-2f4b8f6f0a11",
            Some("email") => "sample@example.com",
            Some("uri" | "url") => "https://example.com/sample",
            _ if self.index > 0 => return quote(out, &format!("sample-{}", self.index + 1)),
            _ => "sample",
        };
        quote(out, sample);
    }

    /// The value of the `index`-th `name=value` in the text, or of the last one.
    fn mention(&self, name: &str) -> Option<&'a str> {
        let mut last = None;
        let mut seen = 0;
        if name.is_empty() {
            return None;
        }
        for (at, _) in self.text.match_indices(name) {
            let boundary = self.text.get(..at)?.chars().next_back().is_none_or(|c| !is_word(c));
            let rest = self.text.get(at + name.len()..)?.strip_prefix('=');
            let (true, Some(rest)) = (boundary, rest) else { continue };
            last = Some(said(rest));
            if seen == self.index {
                break;
            }
            seen += 1;
        }
        last
    }
}

fn said(rest: &str) -> &str {
    match rest.strip_prefix('"') {
        Some(rest) => rest.split('"').next().unwrap_or_default(),
        None => {
            let word = rest.split_whitespace().next().unwrap_or_default();
            word.trim_end_matches(['.', ',', ';', '!', '?', ')'])
        }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_' || c == '-'
}

/// The schema's type in lower case (Google writes `STRING`), the first one that is not null.
fn type_of(schema: &Value) -> &'static str {
    let named = match schema.get("type") {
        Some(Value::String(name)) => name.as_str(),
        Some(Value::Array(names)) => {
            names.iter().filter_map(Value::as_str).find(|name| *name != "null").unwrap_or("null")
        }
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "",
    };
    ["object", "array", "integer", "number", "boolean", "null", "string"]
        .into_iter()
        .find(|known| named.eq_ignore_ascii_case(known))
        .unwrap_or("any")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(schema: &Value, text: &str, index: usize) -> Value {
        let document = Sampler { root: schema, text, index }.document();
        serde_json::from_str(&document).unwrap()
    }

    #[test]
    fn required_properties_only_unless_mentioned() {
        let schema = json!({"type": "object", "properties": {
            "city": {"type": "string"}, "unit": {"enum": ["c", "f"]}, "days": {"type": "integer"},
        }, "required": ["city"]});
        assert_eq!(sample(&schema, "weather city=Paris.", 0), json!({"city": "Paris"}));
        assert_eq!(sample(&schema, "hello", 0), json!({"city": "sample"}));
        assert_eq!(
            sample(&schema, "city=\"New York\" unit=f days=3", 0),
            json!({"city": "New York", "unit": "f", "days": 3})
        );
    }

    #[test]
    fn the_second_document_takes_the_second_mention() {
        let schema =
            json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
        assert_eq!(sample(&schema, "city=Paris city=Rome", 1), json!({"city": "Rome"}));
        assert_eq!(sample(&schema, "city=Paris", 1), json!({"city": "Paris"}));
        assert_eq!(sample(&schema, "capacity=Paris", 1), json!({"city": "sample-2"}));
    }

    #[test]
    fn nested_shapes_and_references() {
        let schema = json!({
            "type": "object",
            "required": ["list", "node", "maybe", "flag", "level", "when", "fixed"],
            "properties": {
                "list": {"type": "array", "items": {"type": "number"}, "minItems": 2},
                "node": {"$ref": "#/$defs/node"},
                "maybe": {"anyOf": [{"type": "null"}, {"type": "string"}]},
                "flag": {"type": "BOOLEAN"},
                "level": {"type": ["null", "integer"], "minimum": 5},
                "when": {"type": "string", "format": "date"},
                "fixed": {"const": {"a": 1}},
            },
            "$defs": {"node": {"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#/$defs/node"}}}},
        });
        let value = sample(&schema, "", 0);
        assert_eq!(value["list"], json!([1, 1]));
        assert_eq!(value["maybe"], json!("sample"));
        assert_eq!(value["flag"], json!(true));
        assert_eq!(value["level"], json!(5));
        assert_eq!(value["when"], json!("2025-06-15"));
        assert_eq!(value["fixed"], json!({"a": 1}));
        assert!(value["node"]["next"].is_object());
    }

    #[test]
    fn a_schema_that_says_nothing_gives_an_object_for_tools() {
        assert_eq!(sample(&json!({"type": "object"}), "x", 0), json!({}));
    }
}
