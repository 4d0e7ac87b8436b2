//! Whether a schema may be strict: every object closed, every property required (section 2.8).

use std::borrow::Cow;

use crate::protocol::json::{Error, Kind, Raw, Reader};

/// Whether a schema qualifies; a tool without one does not.
pub(super) fn qualifies(schema: Option<&Raw<'_>>) -> bool {
    schema.is_some_and(|schema| object_schema(&mut Reader::new(schema.as_str())).unwrap_or(false))
}

#[derive(Default)]
struct Facts<'a> {
    is_object: bool,
    closed: bool,
    properties: Vec<Cow<'a, str>>,
    required: Vec<Cow<'a, str>>,
    inner: bool,
}

/// The top level must be an object.
fn object_schema(reader: &mut Reader<'_>) -> Result<bool, Error> {
    if reader.peek()? != Kind::Object {
        return Ok(false);
    }
    let facts = facts(reader)?;
    Ok(facts.is_object && facts.qualify())
}

/// Recursion ends with the reader's own limit on nesting.
fn schema(reader: &mut Reader<'_>) -> Result<bool, Error> {
    if reader.peek()? != Kind::Object {
        reader.skip()?;
        return Ok(true);
    }
    Ok(facts(reader)?.qualify())
}

fn facts<'a>(reader: &mut Reader<'a>) -> Result<Facts<'a>, Error> {
    let mut facts = Facts { inner: true, ..Facts::default() };
    reader.object(|key, value| {
        match key {
            "type" => facts.is_object |= value.raw()?.as_str().contains("\"object\""),
            "additionalProperties" => facts.closed = value.raw()?.as_str() == "false",
            "properties" => {
                facts.is_object = true;
                let mut names = Vec::new();
                facts.inner &= each(value, &mut names)?;
                facts.properties = names;
            }
            "$defs" | "definitions" => facts.inner &= each(value, &mut Vec::new())?,
            "items" => facts.inner &= schema(value)?,
            "anyOf" | "oneOf" | "allOf" => value.lenient_array(|value| {
                facts.inner &= schema(value)?;
                Ok::<_, Error>(())
            })?,
            "required" => value.lenient_array(|value| {
                facts.required.extend(value.lenient_string()?.map(|name| name.into_decoded()));
                Ok::<_, Error>(())
            })?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    Ok(facts)
}

/// Schemas by name.
fn each<'a>(value: &mut Reader<'a>, names: &mut Vec<Cow<'a, str>>) -> Result<bool, Error> {
    let mut all = true;
    value.lenient_object(|name, value| {
        names.push(Cow::Owned(name.to_owned()));
        all &= schema(value)?;
        Ok::<_, Error>(())
    })?;
    Ok(all)
}

impl Facts<'_> {
    fn qualify(mut self) -> bool {
        self.required.sort_unstable();
        let required = |name: &Cow<'_, str>| self.required.binary_search(name).is_ok();
        self.inner && (!self.is_object || self.closed && self.properties.iter().all(required))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t079_only_closed_and_complete_schemas_are_strict() {
        for (schema, strict) in [
            (r#"{"type":"object","properties":{},"additionalProperties":false}"#, true),
            (
                r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
                true,
            ),
            (r#"{"type":"object","properties":{"a":{"type":"string"}},"additionalProperties":false}"#, false),
            (r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#, false),
            (
                r#"{"type":"object","properties":{"a":{"type":"object"}},"required":["a"],"additionalProperties":false}"#,
                false,
            ),
            (
                r#"{"type":"object","properties":{"additionalProperties":{"type":"array","items":{"type":"object"}}},"required":["additionalProperties"],"additionalProperties":false}"#,
                false,
            ),
            (r#"{"type":"string"}"#, false),
            ("{}", false),
            ("null", false),
        ] {
            assert_eq!(qualifies(Some(&Raw::from_json(schema))), strict, "{schema}");
        }
        assert!(!qualifies(None));
    }

    #[test]
    fn a_schema_of_any_depth_is_no_danger() {
        let deep = format!("{}{}", r#"{"items":"#.repeat(10_000), "}".repeat(10_000));
        assert!(!qualifies(Some(&Raw::from_json(deep))));
    }
}
