//! Whether a JSON schema qualifies for strict mode: every object closed, every property required
//! (section 2.8).

use std::collections::HashSet;

use crate::protocol::json::{Error, Kind, Raw, Reader};

/// Whether OpenAI takes the schema with `strict: true`.
pub(super) fn is_strict(schema: &Raw<'_>) -> bool {
    walk(&mut Reader::new(schema.as_str())).unwrap_or(false)
}

/// One schema. Depth is bounded by the reader's own limit.
fn walk(value: &mut Reader<'_>) -> Result<bool, Error> {
    if value.peek()? != Kind::Object {
        value.skip()?;
        return Ok(true);
    }
    let (mut fits, mut closed, mut is_object) = (true, false, false);
    let mut properties = HashSet::new();
    let mut required = HashSet::new();
    value.object(|key, value| {
        match key {
            "type" => is_object |= value.lenient_string()?.is_some_and(|kind| kind == "object"),
            "additionalProperties" => {
                closed = value.peek()? == Kind::Bool && !value.boolean()?;
            }
            "required" => value.lenient_array(|value| {
                required.extend(value.lenient_string()?.map(|name| name.decode().into_owned()));
                Ok::<_, Error>(())
            })?,
            // T084: names of properties are no keywords.
            "properties" => value.lenient_object(|name, value| {
                properties.insert(name.to_owned());
                fits &= walk(value)?;
                Ok::<_, Error>(())
            })?,
            "$defs" | "definitions" => value.lenient_object(|_, value| {
                fits &= walk(value)?;
                Ok::<_, Error>(())
            })?,
            "items" => fits &= walk(value)?,
            "anyOf" => value.lenient_array(|value| {
                fits &= walk(value)?;
                Ok::<_, Error>(())
            })?,
            "oneOf" | "allOf" | "not" | "if" | "patternProperties" => fits = false,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    let is_object = is_object || !properties.is_empty();
    Ok(fits && (!is_object || closed && properties.is_subset(&required)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_needs_closed_objects_and_required_properties() {
        for (schema, strict) in [
            (
                r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}"#,
                true,
            ),
            (
                r#"{"type":"object","properties":{"a":{"type":"string"}},"required":[],"additionalProperties":false}"#,
                false,
            ),
            (r#"{"type":"object","properties":{"a":{"type":"string"}},"required":["a"]}"#, false),
            (
                r#"{"type":"object","properties":{"a":{"type":"array","items":{"type":"object"}}},"required":["a"],"additionalProperties":false}"#,
                false,
            ),
            (
                r#"{"type":"object","properties":{"type":{"type":"string"}},"required":["type"],"additionalProperties":false}"#,
                true,
            ),
            ("{}", true),
        ] {
            assert_eq!(is_strict(&Raw::from_json(schema)), strict, "{schema}");
        }
    }
}
