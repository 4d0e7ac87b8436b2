//! JSON Schema of what clients of the Google SDKs send: Google's subset of OpenAPI 3.0.

use super::super::keys::camel;
use super::{Holds, MAX_DEPTH, holds};
use crate::protocol::json::{Error, Kind, Number, Raw, Reader, Str, Writer};

/// What betrays the OpenAPI dialect.
const TRIGGERS: [&str; 9] =
    ["STRING", "NUMBER", "INTEGER", "BOOLEAN", "ARRAY", "OBJECT", "nullable", "ropertyOrdering", "_"];

/// JSON Schema of a schema in Google's dialect; borrowed when it is one already.
pub(in super::super) fn from_openapi(schema: Raw<'_>) -> Raw<'_> {
    let text = schema.as_str();
    if !TRIGGERS.iter().any(|word| memchr::memmem::find(text.as_bytes(), word.as_bytes()).is_some()) {
        return schema;
    }
    let mut out = Vec::with_capacity(text.len());
    match write_standard(&mut Reader::new(text), &mut Writer::new(&mut out), 0) {
        Ok(()) => Raw::from_json(crate::protocol::json::string_from_utf8(out)),
        Err(_) => schema,
    }
}

fn write_standard(reader: &mut Reader<'_>, w: &mut Writer<'_>, depth: usize) -> Result<(), Error> {
    if reader.peek()? != Kind::Object || depth >= MAX_DEPTH {
        w.raw(&reader.raw()?);
        return Ok(());
    }
    let mut is_nullable = false;
    reader.clone().object(|key, value| {
        if key == "nullable" && value.peek()? == Kind::Bool {
            is_nullable = value.boolean()?;
        }
        Ok::<_, Error>(())
    })?;
    w.begin_object();
    reader.object(|key, value| write_standard_member(&camel(key), value, w, is_nullable, depth))?;
    w.end_object();
    Ok(())
}

fn write_standard_member(
    key: &str,
    value: &mut Reader<'_>,
    w: &mut Writer<'_>,
    is_nullable: bool,
    depth: usize,
) -> Result<(), Error> {
    if matches!(key, "nullable" | "propertyOrdering") {
        return Ok(());
    }
    let kind = value.peek()?;
    w.key_str(&Str::escape(key));
    match (key, holds(key), kind) {
        ("type", _, Kind::String) => {
            let name = Str::from(value.string()?.decode().to_ascii_lowercase());
            if is_nullable {
                w.begin_array().string(&name).text("null").end_array();
            } else {
                w.string(&name);
            }
        }
        ("enum", _, Kind::Array) if is_nullable => {
            w.begin_array();
            value.array(|item| {
                w.raw(&item.raw()?);
                Ok::<_, Error>(())
            })?;
            w.null().end_array();
        }
        // Google writes 64-bit numbers as strings.
        (
            "minItems" | "maxItems" | "minLength" | "maxLength" | "minProperties" | "maxProperties",
            _,
            Kind::String,
        ) => {
            write_count(&value.string()?, w);
        }
        (_, Holds::Schema | Holds::Schemas, Kind::Object) => write_standard(value, w, depth + 1)?,
        (_, Holds::Schemas, Kind::Array) => {
            w.begin_array();
            value.array(|item| write_standard(item, w, depth + 1))?;
            w.end_array();
        }
        (_, Holds::Named, Kind::Object) => {
            w.begin_object();
            value.object(|name, schema| {
                w.key_str(&Str::escape(name));
                write_standard(schema, w, depth + 1)
            })?;
            w.end_object();
        }
        _ => {
            w.raw(&value.raw()?);
        }
    }
    Ok(())
}

fn write_count(text: &Str<'_>, w: &mut Writer<'_>) {
    match text.decode().parse::<u64>() {
        Ok(count) => w.number(&Number::from(count)),
        Err(_) => w.string(text),
    };
}
