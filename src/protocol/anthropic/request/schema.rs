//! JSON schemas within what Anthropic takes: objects at the top (T081), and for guaranteed formats
//! a subset of keywords (section 2.8). Only keywords are touched, never properties that are named
//! like one (T084).

use std::borrow::Cow;

use crate::protocol::canonical::{Action, Losses, restoration};
use crate::protocol::json::{Error, Kind, Raw, Reader, Str, Writer, string_from_utf8};

/// The schema of a tool without parameters.
pub(super) const EMPTY: &str = r#"{"type":"object","properties":{}}"#;

/// A tool's schema with an object at its top: the answer's arguments are taken out of a wrapper again.
pub(super) fn object<'a>(raw: &'a Raw<'_>, losses: &mut Losses) -> Cow<'a, str> {
    let text = raw.as_str();
    let Ok(tag) = restoration::type_of(raw) else { return Cow::Borrowed(EMPTY) };
    match tag {
        Some(tag) if tag.as_str() == r#""object""# => Cow::Borrowed(text),
        Some(_) if restoration::is_object_schema(raw) => Cow::Owned(with_plain_type(text)),
        Some(_) => {
            losses.add(Action::Approx, "tools.schema");
            let key = restoration::WRAPPED;
            Cow::Owned(format!(r#"{{"type":"object","properties":{{"{key}":{text}}},"required":["{key}"]}}"#))
        }
        None => match text.get(1..).unwrap_or("}").trim_start() {
            "}" => Cow::Borrowed(EMPTY),
            rest if raw.is_object() => Cow::Owned(format!(r#"{{"type":"object",{rest}"#)),
            _ => Cow::Borrowed(EMPTY),
        },
    }
}

/// The schema with the one type that the API takes, where it stands in a list of types.
fn with_plain_type(schema: &str) -> String {
    let mut out = Vec::with_capacity(schema.len());
    let mut w = Writer::new(&mut out);
    w.begin_object();
    let read = Reader::new(schema).object(|key, value| {
        let raw = value.raw()?;
        name(key, &mut w);
        if key == "type" {
            w.text("object")
        } else {
            w.raw(&raw)
        };
        Ok::<_, Error>(())
    });
    w.end_object();
    if read.is_ok() { string_from_utf8(out) } else { schema.to_owned() }
}

/// A schema within what a guaranteed format takes.
#[derive(Debug)]
pub(super) struct Strict {
    pub(super) schema: String,
    /// Whether it allowed properties that it does not name, as a map does: such an object can only come back
    /// without them.
    pub(super) is_narrower: bool,
}

/// The schema with only those keywords that a guaranteed format takes; the others become words in
/// the description.
pub(super) fn strict(schema: &str) -> Strict {
    let mut out = Vec::with_capacity(schema.len() + 64);
    let mut is_narrower = false;
    match rewrite(&mut Reader::new(schema), &mut is_narrower, &mut Writer::new(&mut out)) {
        Ok(()) => Strict { schema: string_from_utf8(out), is_narrower },
        Err(_) => Strict { schema: schema.to_owned(), is_narrower: false },
    }
}

/// Rewrites one schema. Recursion ends with the reader's own limit of depth.
fn rewrite(reader: &mut Reader<'_>, narrower: &mut bool, w: &mut Writer<'_>) -> Result<(), Error> {
    if reader.peek()? != Kind::Object {
        w.raw(&reader.raw()?);
        return Ok(());
    }
    let mut notes = Notes::default();
    w.begin_object();
    reader.object(|key, value| member(key, value, &mut notes, narrower, w))?;
    *narrower |= notes.is_open || notes.is_object && !notes.has_properties;
    if notes.is_object {
        w.key("additionalProperties").boolean(false);
    }
    if !notes.description.is_empty() {
        w.key("description").string(&notes.description);
    }
    w.end_object();
    Ok(())
}

/// What was found in one schema object.
#[derive(Debug, Default)]
struct Notes {
    is_object: bool,
    has_properties: bool,
    is_open: bool,
    has_any_of: bool,
    description: Str<'static>,
}

impl Notes {
    fn describe(&mut self, text: &Str<'_>) {
        if !self.description.is_empty() {
            self.description.push_text("\n");
        }
        self.description.push(text);
    }
}

fn member(
    key: &str,
    value: &mut Reader<'_>,
    notes: &mut Notes,
    narrower: &mut bool,
    w: &mut Writer<'_>,
) -> Result<(), Error> {
    match key {
        "description" => {
            if let Some(text) = value.lenient_string()? {
                notes.describe(&text);
            }
        }
        "type" => {
            let raw = value.raw()?;
            notes.is_object |= raw.as_str().contains(r#""object""#);
            w.key("type").raw(&raw);
        }
        "properties" | "$defs" | "definitions" => {
            notes.is_object |= key == "properties";
            notes.has_properties |= key == "properties";
            name(key, w);
            map(value, narrower, w)?;
        }
        "anyOf" | "oneOf" if notes.has_any_of => {}
        "anyOf" | "oneOf" => {
            notes.has_any_of = true;
            w.key("anyOf");
            list(value, narrower, w)?;
        }
        "allOf" => {
            w.key("allOf");
            list(value, narrower, w)?;
        }
        "items" => {
            w.key("items");
            if value.peek()? == Kind::Array {
                list(value, narrower, w)?
            } else {
                rewrite(value, narrower, w)?
            }
        }
        "additionalProperties" => notes.is_open |= value.raw()?.as_str() != "false",
        "format" if !is_known_format(value)? => limit(key, value, notes)?,
        _ if LIMITS.contains(&key) => limit(key, value, notes)?,
        _ => {
            name(key, w);
            w.raw(&value.raw()?);
        }
    }
    Ok(())
}

/// Keywords that bound a value, which the API refuses in a guaranteed format.
const LIMITS: [&str; 13] = [
    "minimum",
    "maximum",
    "exclusiveMinimum",
    "exclusiveMaximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "pattern",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
];

fn is_known_format(value: &Reader<'_>) -> Result<bool, Error> {
    const KNOWN: [&str; 10] =
        ["date-time", "time", "date", "duration", "email", "hostname", "uri", "ipv4", "ipv6", "uuid"];
    let word = value.clone().lenient_string()?;
    Ok(word.is_some_and(|word| KNOWN.iter().any(|known| word == *known)))
}

fn limit(key: &str, value: &mut Reader<'_>, notes: &mut Notes) -> Result<(), Error> {
    let raw = value.raw()?;
    let mut text = Str::from(format!("{key}: "));
    match raw.as_text() {
        Some(word) => text.push(&word),
        None => text.push_text(raw.as_str()),
    }
    notes.describe(&text);
    Ok(())
}

fn name(key: &str, w: &mut Writer<'_>) {
    w.key_str(&Str::from(key));
}

fn map(reader: &mut Reader<'_>, narrower: &mut bool, w: &mut Writer<'_>) -> Result<(), Error> {
    w.begin_object();
    reader.lenient_object(|key, value| {
        name(key, w);
        rewrite(value, narrower, w)
    })?;
    w.end_object();
    Ok(())
}

fn list(reader: &mut Reader<'_>, narrower: &mut bool, w: &mut Writer<'_>) -> Result<(), Error> {
    w.begin_array();
    reader.lenient_array(|value| rewrite(value, narrower, w))?;
    w.end_array();
    Ok(())
}
