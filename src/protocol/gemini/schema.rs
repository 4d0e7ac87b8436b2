//! Schema rewriting (2.8): JSON Schema to what Gemini takes, and its OpenAPI dialect back.
//!
//! Only keywords are touched, never a *property named* like one (T084). A schema without anything
//! to change is passed on as the very bytes it came in.

mod json_schema;
mod openapi;
mod standard;
#[cfg(test)]
mod tests;

pub(super) use json_schema::to_json_schema;
pub(super) use openapi::to_openapi;
pub(super) use standard::from_openapi;

use crate::protocol::json::{Error, Kind, Raw, Reader};

/// Schemas nested deeper than this are passed on as they stand.
const MAX_DEPTH: usize = 64;

/// What the value of a keyword is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Holds {
    /// One schema.
    Schema,
    /// One schema or a list of them.
    Schemas,
    /// Schemas by name: the names are no keywords.
    Named,
    /// Anything else.
    Data,
}

fn holds(keyword: &str) -> Holds {
    match keyword {
        "additionalProperties"
        | "additionalItems"
        | "unevaluatedProperties"
        | "unevaluatedItems"
        | "not"
        | "if"
        | "then"
        | "else"
        | "contains"
        | "propertyNames" => Holds::Schema,
        "items" | "prefixItems" | "anyOf" | "oneOf" | "allOf" => Holds::Schemas,
        "properties" | "patternProperties" | "$defs" | "definitions" | "dependentSchemas" => Holds::Named,
        _ => Holds::Data,
    }
}

/// Whether a tool's schema describes no parameters at all: such a one is refused (T082).
pub(super) fn is_empty_object(schema: &Raw<'_>) -> bool {
    let mut empty = true;
    let read = Reader::new(schema.as_str()).object(|key, value| {
        match key {
            "type" => empty &= value.lenient_string()?.is_some_and(|t| t == "object"),
            "properties" => value.lenient_object(|_, _| {
                empty = false;
                Ok::<_, Error>(())
            })?,
            "additionalProperties" => empty &= value.peek()? == Kind::Bool && !value.boolean()?,
            "required" | "title" | "description" | "$schema" | "$id" | "$comment" | "strict" => {}
            _ => empty = false,
        }
        Ok::<_, Error>(())
    });
    // `null` and `true` describe nothing either.
    read.is_err() || empty
}
