//! Tools that only this protocol knows.

use super::*;

/// A whole step with each of the three tools.
fn native_steps() -> Value {
    json!({"model": "m", "input": [
        {"type": "message", "role": "user", "content": "Go."},
        {"type": "local_shell_call", "id": "lsh_1", "call_id": "call_1", "status": "completed",
            "action": {"type": "exec", "command": ["ls", "-l"], "env": {}, "timeout_ms": null}},
        {"type": "local_shell_call_output", "id": "lsh_1", "output": "{\"stdout\":\"a\"}"},
        {"type": "shell_call", "id": "sh_1", "call_id": "call_2", "status": "completed",
            "action": {"commands": ["ls"], "timeout_ms": 1.0e3, "max_output_length": null}},
        {"type": "shell_call_output", "call_id": "call_2", "max_output_length": null, "output": [
            {"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]},
        {"type": "apply_patch_call", "id": "apc_1", "call_id": "call_3", "status": "completed",
            "operation": {"type": "update_file", "path": "a", "diff": "@@\n-x\n+y"}},
        {"type": "apply_patch_call_output", "call_id": "call_3", "status": "failed", "output": "no such line"},
        {"type": "apply_patch_call", "call_id": "call_4", "status": "completed",
            "operation": {"type": "delete_file", "path": "a"}},
        {"type": "apply_patch_call_output", "call_id": "call_4", "status": "completed"}],
        "tools": [{"type": "local_shell"}, {"type": "shell", "environment": {"type": "local", "skills": [
            {"name": "s", "description": "d", "path": "/s"}]}}, {"type": "apply_patch"}],
        "tool_choice": {"type": "apply_patch"}})
}

#[test]
fn native_tools_are_functions_and_their_items_calls_and_results() {
    let body = native_steps().to_string();
    let request = decode(&body).unwrap();
    let mut seen = Vec::new();
    for part in request.turns.iter().flat_map(|turn| &turn.parts) {
        match &part.kind {
            PartKind::ToolCall { id, name, arguments, custom: false } => {
                seen.push(format!("{} {} {arguments}", id.decode(), name.decode()));
            }
            PartKind::ToolResult { call_id, content, is_error, .. } => {
                let texts: Vec<_> = content
                    .iter()
                    .map(|part| match &part.kind {
                        PartKind::Text { text } => text.decode().into_owned(),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                seen.push(format!("{} {is_error} {}", call_id.decode(), texts.join("|")));
            }
            _ => {}
        }
    }
    assert_eq!(
        seen,
        [
            r#"call_1 local_shell {"command":["ls","-l"],"env":{},"timeout_ms":null}"#,
            r#"call_1 false {"stdout":"a"}"#,
            r#"call_2 shell {"commands":["ls"],"max_output_length":null,"timeout_ms":1000.0}"#,
            r#"call_2 false [{"outcome":{"exit_code":0,"type":"exit"},"stderr":"","stdout":"a"}]"#,
            "call_3 apply_patch {\"diff\":\"@@\\n-x\\n+y\",\"path\":\"a\",\"type\":\"update_file\"}",
            "call_3 true no such line",
            r#"call_4 apply_patch {"path":"a","type":"delete_file"}"#,
            "call_4 false completed",
        ]
    );
    assert!(matches!(&request.tool_choice, Some(ToolChoice::Tool(name)) if *name == "apply_patch"));
    let shell = &request.tools[1];
    assert!(shell.description.as_ref().unwrap().decode().contains(r#""path":"/s""#));
    let exchange = Exchange::new(&request, Protocol::Responses, Protocol::Anthropic);
    let tools = ["local_shell", "shell", "apply_patch"].map(|name| (name.to_owned(), name.to_owned()));
    assert_eq!(exchange.client_tools, tools);
    // Towards their own protocol the tools stay what they are.
    let (out, losses) = write_for(&request, Protocol::Responses, "gpt-5.2").unwrap();
    assert_eq!((&out["tools"], losses.as_str()), (&native_steps()["tools"], ""));
    assert_eq!(out["tool_choice"], json!({"type": "apply_patch"}));
}

#[test]
fn every_upstream_gets_native_tools_as_functions() {
    let body = native_steps().to_string();
    let request = decode(&body).unwrap();
    for (upstream, model) in [
        (Protocol::Anthropic, "claude-sonnet-4-5"),
        (Protocol::OpenAi, "gpt-4.1"),
        (Protocol::Gemini, "gemini-3-pro"),
    ] {
        let exchange = Exchange::new(&request, Protocol::Responses, upstream);
        let (mut out, mut losses) = (Vec::new(), Losses::default());
        let target = Target::new(model);
        crate::protocol::encode_request(upstream, &request, &exchange, &target, &mut losses, &mut out)
            .unwrap();
        let out: Value = serde_json::from_slice(&out).unwrap();
        let (names, schema) = match upstream {
            Protocol::Gemini => {
                let declared = &out["tools"][0]["functionDeclarations"];
                (declared.clone(), declared[2]["parametersJsonSchema"].clone())
            }
            Protocol::OpenAi => {
                let all: Vec<Value> =
                    out["tools"].as_array().unwrap().iter().map(|tool| tool["function"].clone()).collect();
                (json!(all), all[2]["parameters"].clone())
            }
            _ => (out["tools"].clone(), out["tools"][2]["input_schema"].clone()),
        };
        let names: Vec<_> = names.as_array().unwrap().iter().map(|tool| tool["name"].clone()).collect();
        assert_eq!(names, ["local_shell", "shell", "apply_patch"], "{upstream}");
        assert_eq!(schema["required"], json!(["type", "path"]), "{upstream}");
        let told = losses.header();
        for loss in ["emulate:tools.local_shell", "emulate:tools.shell", "emulate:tools.apply_patch"] {
            assert!(told.contains(loss), "{upstream}: {told}");
        }
    }
}

#[test]
fn a_shell_in_a_container_of_the_providers_is_no_tool_of_the_client() {
    let body =
        r#"{"model":"m","input":"x","tools":[{"type":"shell","environment":{"type":"container_auto"}}]}"#;
    let request = decode(body).unwrap();
    assert!(matches!(&request.tools[0].kind, ToolKind::Hosted { .. }));
}
