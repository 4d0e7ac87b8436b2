//! Tools, their schemas, and the choice of them.

use super::*;

#[test]
fn t095_client_tools_become_functions() {
    let body = r#"{"model":"m","messages":[],"tools":[{"type":"bash_20250124","name":"bash"},{"type":"text_editor_20250728","name":"str_replace_based_edit_tool"},{"type":"memory_20250818","name":"memory"},{"type":"computer_20250124","name":"computer","display_width_px":1}]}"#;
    let request = decode(body).unwrap();
    for tool in &request.tools[..3] {
        assert!(matches!(tool.kind, ToolKind::Function));
        let schema: Value = serde_json::from_str(tool.schema.as_ref().unwrap().as_str()).unwrap();
        assert_eq!(schema["type"], "object");
        assert!(schema["properties"]["command"].is_object());
    }
    assert!(matches!(request.tools[3].kind, ToolKind::Hosted { .. }));
}

#[test]
fn t081_t087_tools_of_every_sort_get_an_object_schema() {
    let mut asked = asking();
    asked.tools = vec![
        tool("none", None),
        tool("empty", Some("{}")),
        tool("typeless", Some(r#"{ "properties":{"type":{}}}"#)),
        tool("scalar", Some(r#"{"type":"string"}"#)),
    ];
    asked.tools.push(crate::protocol::canonical::Tool {
        kind: ToolKind::Custom {
            format: Some(Raw::from_json(r#"{"type":"grammar","definition":"start: X"}"#)),
        },
        ..tool("patch", None)
    });
    let (sent, losses) = send(&asked);
    assert_eq!(losses, "approx:tools.schema, emulate:custom_tool");
    let schemas: Vec<_> = sent["tools"].as_array().unwrap().iter().map(|t| &t["input_schema"]).collect();
    assert_eq!(*schemas[0], json!({"type": "object", "properties": {}}));
    assert_eq!(*schemas[1], json!({"type": "object", "properties": {}}));
    assert_eq!(*schemas[2], json!({"type": "object", "properties": {"type": {}}}));
    assert_eq!(schemas[3]["properties"]["value"], json!({"type": "string"}));
    assert_eq!(schemas[4]["required"], json!(["input"]));
    assert!(sent["tools"][4]["description"].as_str().unwrap().ends_with("start: X"));
}

#[test]
fn t076_t077_t078_the_choice_of_tools() {
    use crate::protocol::canonical::{Allowed, ToolChoice};
    let with = |choice, parallel| {
        let mut asked = asking();
        asked.tools = vec![tool("a", None), tool("b", None)];
        asked.tool_choice = choice;
        asked.parallel_tool_calls = parallel;
        send(&asked)
    };
    assert_eq!(with(None, None).0.get("tool_choice"), None);
    assert_eq!(with(None, Some(true)).0.get("tool_choice"), None);
    assert_eq!(
        with(None, Some(false)).0["tool_choice"],
        json!({"type": "auto", "disable_parallel_tool_use": true})
    );
    assert_eq!(with(Some(ToolChoice::None), Some(false)).0["tool_choice"], json!({"type": "none"}));
    assert_eq!(with(Some(ToolChoice::Required), None).0["tool_choice"], json!({"type": "any"}));
    let allowed = |names: Vec<Str<'static>>| ToolChoice::Allowed(Allowed { names, required: false });
    let (sent, losses) = with(Some(allowed(vec!["b".into()])), None);
    assert_eq!(sent["tools"].as_array().unwrap().len(), 1);
    assert_eq!(sent["tool_choice"], json!({"type": "auto"}));
    assert_eq!(losses, "approx:tool_choice.allowed_tools");
    assert_eq!(with(Some(allowed(vec!["x".into()])), None).0["tools"].as_array().unwrap().len(), 2);
    let mut toolless = asking();
    toolless.tool_choice = Some(ToolChoice::Required);
    assert_eq!(send(&toolless).1, "drop:tool_choice");
}

#[test]
fn t080_names_fit_everywhere() {
    let mut asked = request(vec![
        (Role::User, vec![Part::text("go")]),
        (
            Role::Assistant,
            vec![Part::new(PartKind::ToolCall {
                id: "a".into(),
                name: "x.y".into(),
                arguments: "{}".into(),
                custom: false,
            })],
        ),
        (Role::User, vec![result("a", "1")]),
    ]);
    asked.tools = vec![tool("x.y", None)];
    asked.tool_choice = Some(crate::protocol::canonical::ToolChoice::Tool("x.y".into()));
    let (sent, _) = send(&asked);
    assert_eq!(sent["tools"][0]["name"], "x_y");
    assert_eq!(sent["tool_choice"]["name"], "x_y");
    assert_eq!(sent["messages"][1]["content"][0]["name"], "x_y");
}

fn with_schema(model: &str) -> (Value, String) {
    let mut asked = asking();
    asked.output.format = crate::protocol::canonical::Format::JsonSchema {
        name: None,
        description: None,
        schema: Raw::from_json(
            r#"{"type":"object","properties":{"minimum":{"type":"integer","minimum":3,"description":"n"},"o":{"oneOf":[{"type":"null"}]}}}"#,
        ),
        strict: Some(true),
    };
    send_as(Protocol::OpenAi, &asked, model).unwrap()
}

#[test]
fn a_field_that_is_a_map_does_not_come_back_empty_without_a_word() {
    let map = r#"{"type":"object","additionalProperties":false,"properties":{"m":{"type":"object","additionalProperties":{"type":"string"}}}}"#;
    let free = r#"{"type":"object","properties":{"m":{"anyOf":[{"type":"object"},{"type":"null"}]}}}"#;
    let closed = r#"{"type":"object","additionalProperties":false,"properties":{"additionalProperties":{"type":"string"},"none":{"type":"object","properties":{}}}}"#;
    for (schema, is_map) in [(map, true), (free, true), (closed, false)] {
        let mut asked = asking();
        asked.tools = vec![tool("f", Some(schema))];
        asked.tools[0].strict = Some(true);
        let (sent, losses) = send(&asked);
        if is_map {
            // As the client wrote it, without the guarantee.
            let raw: Value = serde_json::from_str(schema).unwrap();
            assert_eq!((&sent["tools"][0]["input_schema"], sent["tools"][0].get("strict")), (&raw, None));
        } else {
            assert_eq!(sent["tools"][0]["strict"], true);
        }
        assert_eq!(losses, if is_map { "drop:tools.strict" } else { "" });
        let mut asked = asking();
        asked.output.format = crate::protocol::canonical::Format::JsonSchema {
            name: None,
            description: None,
            schema: Raw::from_json(schema),
            strict: Some(true),
        };
        assert_eq!(send(&asked).1, if is_map { "approx:response_format.schema" } else { "" });
    }
}

#[test]
fn t084_t146_schemas_of_answers() {
    let (sent, losses) = with_schema(SONNET);
    assert_eq!(losses, "");
    assert_eq!(
        sent["output_config"]["format"]["schema"],
        json!({"type": "object", "properties": {
            "minimum": {"type": "integer", "description": "minimum: 3\nn"},
            "o": {"anyOf": [{"type": "null"}]}
        }, "additionalProperties": false})
    );
    assert_eq!(sent["output_config"]["format"]["type"], "json_schema");
    let (sent, losses) = with_schema("claude-3-5-sonnet");
    assert_eq!(losses, "emulate:response_format");
    assert_eq!(sent["tool_choice"]["name"], sent["tools"][0]["name"]);
}

#[test]
fn examples_of_inputs_reach_other_models_in_words() {
    let body = r#"{"model":"m","max_tokens":9,"messages":[],"tools":[
        {"name":"f","description":"Does it.","input_schema":{"type":"object"},"input_examples":[{"a": "\"b\""}]},
        {"name":"g","input_schema":{"type":"object"},"input_examples":[]}]}"#;
    let request = decode(body).unwrap();
    let described = |at: usize| request.tools[at].description.as_ref().map(|text| text.decode().into_owned());
    let told = "Does it.\n\nExamples of its input, as JSON: [{\"a\": \"\\\"b\\\"\"}]";
    assert_eq!(described(0).as_deref(), Some(told));
    assert_eq!(described(1), None);
    assert!(request.extras.is_empty(), "nothing is lost");
}
