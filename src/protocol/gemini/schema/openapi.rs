//! For `parameters` and `responseSchema`: Google's subset of OpenAPI 3.0, which old models and Vertex
//! take.

use super::MAX_DEPTH;
use crate::protocol::json::{Error, Object, Raw, Reader, Str};

/// How often a reference may stand within itself before it becomes a plain object (T086).
const MAX_RECURSION: usize = 4;
/// A schema that outgrows this by its references is cut off.
const MAX_OUTPUT: usize = 1 << 20;
/// Keywords that pass unchanged.
const PLAIN: [&str; 13] = [
    "title",
    "maxItems",
    "minItems",
    "minProperties",
    "maxProperties",
    "minLength",
    "maxLength",
    "pattern",
    "minimum",
    "maximum",
    "default",
    "nullable",
    "description",
];
/// Formats that Gemini knows.
const FORMATS: [&str; 6] = ["int32", "int64", "float", "double", "enum", "date-time"];

/// The schema in Google's OpenAPI dialect, and whether something of it was lost.
pub(in super::super) fn to_openapi(schema: &Raw<'_>) -> (String, bool) {
    let mut rewriter = Rewriter { root: schema.as_str(), stack: Vec::new(), written: 0, lossy: false };
    let json = rewriter.schema(schema.as_str(), 0);
    (json, rewriter.lossy)
}

struct Rewriter<'s> {
    root: &'s str,
    /// The references being inlined.
    stack: Vec<String>,
    written: usize,
    lossy: bool,
}

impl Rewriter<'_> {
    fn schema(&mut self, json: &str, depth: usize) -> String {
        let parsed = Object::parse(json).ok().filter(|_| depth < MAX_DEPTH && self.written < MAX_OUTPUT);
        let Some(own) = parsed else {
            self.lossy |= json.starts_with('{');
            return Self::fallback(json);
        };
        let pushed = self.stack.len();
        let merged = self.resolve(own, depth);
        let rewritten = self.rewrite(&merged, depth);
        self.stack.truncate(pushed);
        self.written += rewritten.len();
        rewritten
    }

    /// For what is no object (`true`), or too deep or large.
    fn fallback(json: &str) -> String {
        let kind = if json.starts_with('{') { "OBJECT" } else { "STRING" };
        format!(r#"{{"type":"{kind}"}}"#)
    }

    /// Inlines `$ref` and `allOf` into one object.
    fn resolve(&mut self, mut schema: Object, depth: usize) -> Object {
        while let Some(reference) = text_of(&schema, "$ref") {
            schema.remove("$ref");
            if self.stack.iter().filter(|open| **open == reference).count() >= MAX_RECURSION {
                self.lossy = true;
                schema.set("type", "\"object\"");
                break;
            }
            let Some(target) = lookup(self.root, &reference) else {
                self.lossy = true;
                schema.set("type", "\"object\"");
                break;
            };
            self.stack.push(reference);
            let mut merged = target;
            merged.merge(&schema);
            schema = merged;
        }
        let members = schema.get("allOf").map(|all| elements(&all)).unwrap_or_default();
        schema.remove("allOf");
        for member in members {
            if depth < MAX_DEPTH
                && self.written < MAX_OUTPUT
                && let Ok(member) = Object::parse(&member)
            {
                let member = self.resolve(member, depth + 1);
                merge_all_of(&mut schema, &member);
            }
        }
        schema
    }

    fn rewrite(&mut self, schema: &Object, depth: usize) -> String {
        let mut out = Object::default();
        let mut notes = Vec::new();
        let mut is_nullable = false;
        self.alternatives(schema, &mut out, &mut is_nullable, depth);
        Self::write_type(schema, &mut out, &mut is_nullable);
        for keyword in PLAIN {
            if let Some(value) = schema.get(keyword).filter(|value| !value.is_null()) {
                out.set(keyword, value.as_str());
            }
        }
        if let Some(format) = text_of(schema, "format").filter(|f| FORMATS.contains(&f.as_str())) {
            out.set("format", format!("\"{format}\""));
        }
        Self::values(schema, &mut out, &mut notes, &mut is_nullable);
        Self::bounds(schema, &mut out, &mut notes);
        self.properties(schema, &mut out, depth);
        self.items(schema, &mut out, depth);
        if is_nullable {
            out.set("nullable", "true");
        }
        if !notes.is_empty() {
            self.lossy = true;
            describe(&mut out, &notes);
        }
        self.lossy |= schema.iter().any(|(key, _)| is_lost(key));
        if out.get("type").is_none() && out.get("anyOf").is_none() {
            // Anything at all cannot be said.
            out.set("type", "\"STRING\"");
        }
        out.to_json()
    }

    /// `anyOf` and `oneOf`; a `null` among them is the `nullable` flag (T085).
    fn alternatives(&mut self, schema: &Object, out: &mut Object, nullable: &mut bool, depth: usize) {
        let Some(list) = schema.get("anyOf").or_else(|| schema.get("oneOf")) else { return };
        let mut rest = Vec::new();
        for member in elements(&list) {
            let parsed = Object::parse(&member).unwrap_or_default();
            match text_of(&parsed, "type").as_deref() {
                Some("null") => *nullable = true,
                _ => rest.push(self.schema(&member, depth + 1)),
            }
        }
        match rest.as_slice() {
            [] => {}
            [only] => {
                if let Ok(only) = Object::parse(only) {
                    out.merge(&only);
                }
            }
            several => out.set("anyOf", format!("[{}]", several.join(","))),
        }
    }

    fn write_type(schema: &Object, out: &mut Object, nullable: &mut bool) {
        let mut kinds: Vec<String> = match schema.get("type") {
            Some(list) if list.is_array() => elements(&list),
            Some(one) => vec![one.into_text().into_owned()],
            None => inferred(schema).map(|kind| vec![format!("\"{kind}\"")]).unwrap_or_default(),
        };
        kinds.retain(|kind| {
            let is_null = kind.eq_ignore_ascii_case("\"null\"");
            *nullable |= is_null;
            !is_null && kind.starts_with('"')
        });
        // Upper case would change an escape.
        for kind in &mut kinds {
            let name = Raw::from_json(kind.as_str()).as_text().map(|text| text.decode().to_ascii_uppercase());
            *kind = quoted(&name.unwrap_or_default());
        }
        match kinds.as_slice() {
            [] => {}
            [one] => out.set("type", one.as_str()),
            several => {
                let list: Vec<String> = several.iter().map(|kind| format!(r#"{{"type":{kind}}}"#)).collect();
                out.set("anyOf", format!("[{}]", list.join(",")));
            }
        }
    }

    /// `enum` and `const`: only texts can be listed, the rest is said in words.
    fn values(schema: &Object, out: &mut Object, notes: &mut Vec<String>, nullable: &mut bool) {
        let values = match (schema.get("const"), schema.get("enum")) {
            (Some(one), _) => vec![one.into_text().into_owned()],
            (None, Some(list)) => elements(&list),
            (None, None) => return,
        };
        *nullable |= values.iter().any(|value| value == "null");
        let values: Vec<String> =
            values.into_iter().filter(|value| value != "null" && value != "\"\"").collect();
        if values.is_empty() {
            return;
        }
        if values.iter().all(|value| value.starts_with('"')) {
            out.set("type", "\"STRING\"");
            out.set("enum", format!("[{}]", values.join(",")));
        } else {
            notes.push(format!("Allowed values: {}.", values.join(", ")));
        }
    }

    /// Exclusive bounds become inclusive ones where the next whole number is the next value.
    fn bounds(schema: &Object, out: &mut Object, notes: &mut Vec<String>) {
        let is_integer = text_of(schema, "type").is_some_and(|kind| kind.eq_ignore_ascii_case("integer"));
        for (exclusive, inclusive, step, words) in
            [("exclusiveMinimum", "minimum", 1, "greater"), ("exclusiveMaximum", "maximum", -1, "less")]
        {
            let Some(bound) = schema.get(exclusive) else { continue };
            // The draft of 2009 has a flag beside the inclusive bound.
            let bound = match bound.as_str() {
                "true" => match schema.get(inclusive) {
                    Some(bound) => bound,
                    None => continue,
                },
                "false" => continue,
                _ => bound,
            };
            match bound.as_str().parse::<i64>().ok().and_then(|n| n.checked_add(step)) {
                Some(next) if is_integer => out.set(inclusive, next.to_string()),
                _ => notes.push(format!("Must be {words} than {}.", bound.as_str())),
            }
        }
    }

    fn properties(&mut self, schema: &Object, out: &mut Object, depth: usize) {
        let properties = schema.get("properties").and_then(|p| Object::parse(p.as_str()).ok());
        let Some(properties) = properties.filter(|p| !p.is_empty()) else { return };
        let mut rewritten = Object::default();
        let mut names = Vec::new();
        for (name, property) in properties.iter() {
            rewritten.set(name, self.schema(property.as_str(), depth + 1));
            names.push(quoted(name));
        }
        out.set("properties", rewritten.to_json());
        let required: Vec<String> = schema
            .get("required")
            .map(|list| elements(&list))
            .unwrap_or_default()
            .into_iter()
            .filter(|name| {
                let raw = Raw::from_json(name.as_str());
                raw.as_text().is_some_and(|name| properties.get(&name.decode()).is_some())
            })
            .collect();
        if !required.is_empty() {
            out.set("required", format!("[{}]", required.join(",")));
        }
        if names.len() > 1 {
            out.set("propertyOrdering", format!("[{}]", names.join(",")));
        }
    }

    fn items(&mut self, schema: &Object, out: &mut Object, depth: usize) {
        let is_array = out.get("type").is_some_and(|kind| kind.as_str() == "\"ARRAY\"");
        let items = schema.get("items").or_else(|| schema.get("prefixItems"));
        match items {
            Some(one) if one.is_object() => out.set("items", self.schema(one.as_str(), depth + 1)),
            Some(tuple) if tuple.is_array() => {
                self.lossy = true;
                let list: Vec<String> =
                    elements(&tuple).iter().map(|item| self.schema(item, depth + 1)).collect();
                match list.as_slice() {
                    [] => {}
                    [one] => out.set("items", one.as_str()),
                    several => out.set("items", format!(r#"{{"anyOf":[{}]}}"#, several.join(","))),
                }
            }
            _ => {}
        }
        if is_array && out.get("items").is_none() {
            out.set("items", r#"{"type":"STRING"}"#);
        }
    }
}

/// Keywords that say something and have no counterpart.
fn is_lost(keyword: &str) -> bool {
    matches!(
        keyword,
        "patternProperties"
            | "uniqueItems"
            | "not"
            | "if"
            | "then"
            | "else"
            | "dependentRequired"
            | "dependentSchemas"
            | "propertyNames"
            | "contains"
            | "multipleOf"
    )
}

fn inferred(schema: &Object) -> Option<&'static str> {
    if schema.get("properties").is_some() || schema.get("additionalProperties").is_some() {
        Some("object")
    } else if schema.get("items").is_some() || schema.get("prefixItems").is_some() {
        Some("array")
    } else {
        None
    }
}

/// Members of an `allOf` add up; what the schema itself says stands.
fn merge_all_of(schema: &mut Object, member: &Object) {
    for (key, value) in member.iter() {
        let merged = match (key, schema.get(key)) {
            ("properties" | "$defs" | "definitions", Some(own)) => {
                let mut both = Object::parse(value.as_str()).unwrap_or_default();
                both.merge(&Object::parse(own.as_str()).unwrap_or_default());
                both.to_json()
            }
            ("required", Some(own)) => {
                let mut both = elements(&own);
                both.extend(
                    elements(&value).into_iter().filter(|name| !both.contains(name)).collect::<Vec<_>>(),
                );
                format!("[{}]", both.join(","))
            }
            (_, Some(_)) => continue,
            (_, None) => value.as_str().to_owned(),
        };
        schema.set(key, merged);
    }
}

/// Follows `#/a/b` through the document.
fn lookup(root: &str, reference: &str) -> Option<Object> {
    let path = reference.strip_prefix('#')?;
    let mut here = Object::parse(root).ok()?;
    for step in path.split('/').skip(1) {
        let step = percent_encoding::percent_decode_str(step).decode_utf8().ok()?;
        let step = step.replace("~1", "/").replace("~0", "~");
        let next = here.get(&step)?.into_text().into_owned();
        here = Object::parse(&next).ok()?;
    }
    Some(here)
}

fn describe(out: &mut Object, notes: &[String]) {
    let mut text = text_of(out, "description").unwrap_or_default();
    for note in notes {
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(note);
    }
    out.set("description", quoted(&text));
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", Str::escape(text).as_escaped())
}

/// The meaning of a member that is a string.
fn text_of(object: &Object, key: &str) -> Option<String> {
    object.get(key)?.as_text().map(|text| text.decode().into_owned())
}

/// The elements of a list, raw.
fn elements(list: &Raw<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let _ = Reader::new(list.as_str()).lenient_array(|item| {
        found.push(item.raw()?.as_str().to_owned());
        Ok::<_, Error>(())
    });
    found
}
