use serde_json::{Value, json};

use super::*;

fn standard(schema: Value) -> Value {
    let text = schema.to_string();
    serde_json::from_str(to_json_schema(&Raw::from_json(text)).as_str()).unwrap()
}

fn openapi(schema: Value) -> (Value, bool) {
    let (text, is_lossy) = to_openapi(&Raw::from_json(schema.to_string()));
    (serde_json::from_str(&text).unwrap(), is_lossy)
}

fn back(schema: Value) -> Value {
    let text = schema.to_string();
    serde_json::from_str(from_openapi(Raw::from_json(text)).as_str()).unwrap()
}

#[test]
fn a_schema_without_trouble_keeps_its_bytes() {
    let text = "{ \"type\": \"object\",\n \"properties\": {\"a\": {\"minimum\": 1.10}} }";
    assert_eq!(to_json_schema(&Raw::from_json(text)).as_str(), text);
    assert_eq!(from_openapi(Raw::from_json(text)).as_str(), text);
}

#[test]
fn t083_refused_keywords_are_gone_and_constants_are_lists() {
    let schema = json!({
        "$schema": "x", "$id": "y", "$comment": "z", "x-order": 1, "strict": true, "defer_loading": true,
        "type": "object",
        "properties": {"mode": {"const": "a", "enum": ["a", "b"]}, "any": true, "ref": {"$ref": "#/definitions/d"}},
        "definitions": {"d": {"const": 1.5}},
        "additionalProperties": true,
    });
    let want = json!({
        "type": "object",
        "properties": {"mode": {"enum": ["a"]}, "any": {}, "ref": {"$ref": "#/$defs/d"}},
        "$defs": {"d": {"enum": [1.5]}},
        "additionalProperties": true,
    });
    assert_eq!(standard(schema), want);
}

#[test]
fn t084_properties_named_like_keywords_stay() {
    let names =
        ["default", "format", "title", "type", "const", "$ref", "$schema", "strict", "x-y", "nullable"];
    let properties: serde_json::Map<String, Value> =
        names.iter().map(|name| ((*name).to_owned(), json!({"type": "string"}))).collect();
    let schema = json!({"type": "object", "properties": properties, "required": names});
    assert_eq!(standard(schema.clone()), schema);
    assert_eq!(back(schema.clone()), schema);
    let (rewritten, _) = openapi(schema);
    assert_eq!(rewritten["properties"].as_object().unwrap().len(), names.len());
    assert_eq!(rewritten["required"].as_array().unwrap().len(), names.len());
}

#[test]
fn t085_null_and_numbers_among_types_and_values() {
    let (rewritten, is_lossy) = openapi(json!({"type": "object", "properties": {
        "a": {"type": ["string", "null"]},
        "b": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "c": {"type": "integer", "enum": [1, 2], "description": "How many."},
        "d": {"enum": ["x", "", null]},
        "e": {"type": ["string", "integer"]},
    }}));
    assert_eq!(
        rewritten["properties"],
        json!({
            "a": {"type": "STRING", "nullable": true},
            "b": {"type": "INTEGER", "nullable": true},
            "c": {"type": "INTEGER", "description": "How many. Allowed values: 1, 2."},
            "d": {"type": "STRING", "enum": ["x"], "nullable": true},
            "e": {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
        })
    );
    assert_eq!(rewritten["propertyOrdering"], json!(["a", "b", "c", "d", "e"]));
    assert!(is_lossy);
}

#[test]
fn t083_bounds_required_arrays_and_unknown_formats() {
    let (rewritten, _) = openapi(json!({
        "type": "object", "additionalProperties": false, "uniqueItems": true, "required": ["a", "gone"],
        "properties": {
            "a": {"type": "integer", "exclusiveMinimum": 0, "exclusiveMaximum": 10},
            "b": {"type": "number", "exclusiveMinimum": 0},
            "c": {"type": "array"},
            "d": {"type": "string", "format": "uri"},
            "e": {"type": "string", "format": "date-time"},
            "f": {"allOf": [{"properties": {"x": {"type": "string"}}, "required": ["x"]}, {"properties": {"y": {"type": "string"}}, "required": ["y"]}]},
        },
    }));
    assert_eq!(rewritten["required"], json!(["a"]));
    let properties = &rewritten["properties"];
    assert_eq!(properties["a"], json!({"type": "INTEGER", "minimum": 1, "maximum": 9}));
    assert_eq!(properties["b"], json!({"type": "NUMBER", "description": "Must be greater than 0."}));
    assert_eq!(properties["c"], json!({"type": "ARRAY", "items": {"type": "STRING"}}));
    assert_eq!(properties["d"], json!({"type": "STRING"}));
    assert_eq!(properties["e"], json!({"type": "STRING", "format": "date-time"}));
    assert_eq!(properties["f"]["required"], json!(["x", "y"]));
    assert!(rewritten.get("additionalProperties").is_none() && rewritten.get("uniqueItems").is_none());
}

#[test]
fn t086_recursion_ends() {
    let (rewritten, is_lossy) = openapi(json!({
        "$defs": {"node": {"type": "object", "properties": {
            "name": {"type": "string"}, "next": {"$ref": "#/$defs/node"}}}},
        "$ref": "#/$defs/node",
    }));
    assert!(is_lossy);
    let mut here = &rewritten;
    let mut depth = 0;
    while let Some(next) = here.pointer("/properties/next") {
        here = next;
        depth += 1;
    }
    assert_eq!((depth, here), (4, &json!({"type": "OBJECT"})));
    let (myself, _) = openapi(json!({"$ref": "#"}));
    assert_eq!(myself["type"], "OBJECT");
}

#[test]
fn googles_dialect_becomes_json_schema() {
    let want = json!({
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "a": {"type": ["string", "null"], "enum": ["STRING", null]},
            "b": {"type": "array", "items": {"type": "integer"}, "minItems": 1},
            "c": {"anyOf": [{"type": "number"}, {"type": "boolean"}]},
        },
        "required": ["a"],
    });
    let got = back(json!({
        "type": "OBJECT",
        "properties": {
            "type": {"type": "STRING"},
            "a": {"type": "STRING", "nullable": true, "enum": ["STRING"]},
            "b": {"type": "ARRAY", "items": {"type": "INTEGER"}, "min_items": "1"},
            "c": {"any_of": [{"type": "NUMBER"}, {"type": "BOOLEAN"}]},
        },
        "required": ["a"],
        "property_ordering": ["a", "b"],
    }));
    assert_eq!(got, want);
}

#[test]
fn t082_what_describes_nothing_is_known() {
    for nothing in [
        "{}",
        "null",
        "true",
        r#"{"type":"object"}"#,
        r#"{"type":"object","properties":{},"additionalProperties":false,"required":[]}"#,
    ] {
        assert!(is_empty_object(&Raw::from_json(nothing)), "{nothing}");
    }
    for something in [
        r#"{"type":"string"}"#,
        r#"{"type":"object","properties":{"a":{}}}"#,
        r#"{"type":"object","additionalProperties":{"type":"string"}}"#,
        r##"{"$ref":"#/$defs/a"}"##,
    ] {
        assert!(!is_empty_object(&Raw::from_json(something)), "{something}");
    }
}
