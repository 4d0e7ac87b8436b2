//! For `parametersJsonSchema` and `responseJsonSchema`: the schema itself, less what Gemini refuses.

use std::borrow::Cow;

use super::{Holds, MAX_DEPTH, holds};
use crate::protocol::json::{Error, Kind, Raw, Reader, Str, Writer};

/// What makes a look at the schema necessary. `true` may be a schema, and few other things.
const TRIGGERS: [&str; 10] = [
    "$schema",
    "$id",
    "$comment",
    "definitions",
    "const",
    "\"x-",
    "defer_loading",
    "strict",
    "true",
    // An escaped key could be any of them.
    "\\u",
];

/// The schema as Gemini's JSON Schema fields take it; borrowed when nothing has to change.
pub(in super::super) fn to_json_schema<'s>(schema: &'s Raw<'_>) -> Raw<'s> {
    let text = schema.as_str();
    let is_touched =
        TRIGGERS.iter().any(|word| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some());
    if !is_touched {
        return schema.borrowed();
    }
    let mut out = Vec::with_capacity(text.len());
    match write_schema(&mut Reader::new(text), &mut Writer::new(&mut out), 0) {
        Ok(()) => Raw::from_json(crate::protocol::json::string_from_utf8(out)),
        // It was well formed when it was read; still, the original is better than half of it.
        Err(_) => schema.borrowed(),
    }
}

fn write_schema(reader: &mut Reader<'_>, w: &mut Writer<'_>, depth: usize) -> Result<(), Error> {
    match reader.peek()? {
        Kind::Object if depth < MAX_DEPTH => {}
        Kind::Bool if depth > 0 && reader.clone().boolean()? => {
            reader.skip()?;
            w.json("{}");
            return Ok(());
        }
        _ => {
            w.raw(&reader.raw()?);
            return Ok(());
        }
    }
    let has_const = has_key(reader, "const")?;
    w.begin_object();
    reader.object(|key, value| match key {
        "$schema" | "$id" | "$comment" | "defer_loading" | "strict" => Ok(()),
        _ if key.starts_with("x-") => Ok(()),
        // A constant says more than the list of values that it is in.
        "enum" if has_const => Ok(()),
        "const" => {
            w.key("enum").begin_array().raw(&value.raw()?).end_array();
            Ok(())
        }
        "$ref" => write_reference(value, w),
        _ => write_keyword(key, value, w, depth),
    })?;
    w.end_object();
    Ok(())
}

fn has_key(reader: &Reader<'_>, wanted: &str) -> Result<bool, Error> {
    let mut found = false;
    reader.clone().object(|key, _| {
        found |= key == wanted;
        Ok::<_, Error>(())
    })?;
    Ok(found)
}

fn write_reference(value: &mut Reader<'_>, w: &mut Writer<'_>) -> Result<(), Error> {
    let raw = value.raw()?;
    w.key("$ref");
    match raw.as_text().as_ref().and_then(|at| at.as_escaped().strip_prefix("#/definitions/")) {
        Some(name) => w.string(&Str::from_escaped(format!("#/$defs/{name}"))),
        None => w.raw(&raw),
    };
    Ok(())
}

fn write_keyword(key: &str, value: &mut Reader<'_>, w: &mut Writer<'_>, depth: usize) -> Result<(), Error> {
    let key: Cow<'_, str> = if key == "definitions" { "$defs".into() } else { key.into() };
    let kind = value.peek()?;
    w.key_str(&Str::escape(&*key));
    match (holds(&key), kind) {
        // `additionalProperties: true` is a setting that everybody knows.
        (Holds::Schema, Kind::Object) | (Holds::Schemas, Kind::Object | Kind::Bool) => {
            write_schema(value, w, depth + 1)
        }
        (Holds::Schemas, Kind::Array) => {
            w.begin_array();
            value.array(|item| write_schema(item, w, depth + 1))?;
            w.end_array();
            Ok(())
        }
        (Holds::Named, Kind::Object) => {
            w.begin_object();
            value.object(|name, schema| {
                w.key_str(&Str::escape(name));
                write_schema(schema, w, depth + 1)
            })?;
            w.end_object();
            Ok(())
        }
        _ => {
            w.raw(&value.raw()?);
            Ok(())
        }
    }
}
