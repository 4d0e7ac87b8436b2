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

/// A client with functions of its own that are named as this protocol's tools are, a step with each.
fn namesakes() -> Value {
    json!({"model": "m", "input": [
        {"type": "message", "role": "user", "content": "Go."},
        {"type": "shell_call", "id": "sh_1", "call_id": "call_1", "status": "completed",
            "action": {"commands": ["ls"], "timeout_ms": null, "max_output_length": null}},
        {"type": "function_call", "call_id": "call_2", "name": "shell", "arguments": "{\"mine\":1}"},
        {"type": "shell_call_output", "call_id": "call_1", "output": []},
        {"type": "function_call_output", "call_id": "call_2", "output": "1"}],
        "tools": [{"type": "shell"}, {"type": "apply_patch"},
            {"type": "function", "name": "shell", "strict": false, "parameters": {"type": "object",
                "properties": {"mine": {"type": "integer"}}}},
            {"type": "function", "name": "shell_tool", "strict": false, "parameters": {"type": "object",
                "properties": {}}}],
        "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "shell"},
            {"type": "function", "name": "shell_tool"}]}})
}

#[test]
fn a_clients_own_function_keeps_its_name_beside_the_tool_that_is_called_the_same() {
    let body = namesakes().to_string();
    let request = decode(&body).unwrap();
    let names: Vec<_> = request.tools.iter().map(|tool| tool.name.decode().into_owned()).collect();
    assert_eq!(names, ["shell_tool_", "apply_patch", "shell", "shell_tool"]);
    let called: Vec<_> = request.called_names().map(|name| name.decode().into_owned()).collect();
    assert_eq!(called, ["shell_tool_", "shell"]);
    let Some(ToolChoice::Allowed(allowed)) = &request.tool_choice else { panic!() };
    let allowed: Vec<_> = allowed.names.iter().map(|name| name.decode().into_owned()).collect();
    assert_eq!(allowed, ["shell_tool", "shell_tool_"]);
    for (upstream, model) in [
        (Protocol::Anthropic, "claude-sonnet-4-5"),
        (Protocol::OpenAi, "gpt-4.1"),
        (Protocol::Gemini, "gemini-3-pro"),
    ] {
        let mut exchange = Exchange::new(&request, Protocol::Responses, upstream);
        let (mut out, mut losses) = (Vec::new(), Losses::default());
        let target = Target::new(model);
        crate::protocol::encode_request(upstream, &request, &exchange, &target, &mut losses, &mut out)
            .unwrap();
        // The model calls both; each comes back as what the client waits for.
        exchange.created = 1;
        let part = |id: &'static str, name: &'static str, arguments: &'static str| {
            Part::new(PartKind::ToolCall {
                id: id.into(),
                name: name.into(),
                arguments: arguments.into(),
                custom: false,
            })
        };
        let parts = vec![
            part("c1", "shell_tool_", r#"{"commands":["ls"]}"#),
            part("c2", "shell", r#"{"mine":1}"#),
            part("c3", "apply_patch", r#"{"type":"delete_file","path":"a"}"#),
        ];
        let choices = vec![crate::protocol::canonical::Choice { parts, ..Default::default() }];
        let answer = crate::protocol::canonical::Response { choices, ..Default::default() };
        out.clear();
        crate::protocol::encode_response(&answer, &exchange, &mut out).unwrap();
        let whole: Value = serde_json::from_slice(&out).unwrap();
        let seen: Vec<_> =
            whole["output"].as_array().unwrap().iter().map(|item| item["type"].clone()).collect();
        assert_eq!(seen, ["shell_call", "function_call", "apply_patch_call"], "{upstream}");
        assert_eq!(
            (&whole["output"][1]["name"], &whole["output"][0]["name"]),
            (&json!("shell"), &Value::Null)
        );
        out.clear();
        let mut encoder = crate::protocol::StreamEncoder::new(&exchange);
        answer.replay(|event| encoder.event(&event, &mut out));
        let stream = String::from_utf8(out).unwrap();
        assert!(
            stream.contains(r#""type":"shell_call""#) && stream.contains(r#""name":"shell""#),
            "{stream}"
        );
        assert!(!stream.contains(r#""shell_tool_""#), "{stream}");
    }
    let mut demanded = namesakes();
    demanded["tool_choice"] = json!({"type": "shell"});
    let demanded = demanded.to_string();
    let request = decode(&demanded).unwrap();
    assert!(matches!(&request.tool_choice, Some(ToolChoice::Tool(name)) if *name == "shell_tool_"));
    let mut demanded = namesakes();
    demanded["tool_choice"] = json!({"type": "function", "name": "shell"});
    let demanded = demanded.to_string();
    let request = decode(&demanded).unwrap();
    assert!(matches!(&request.tool_choice, Some(ToolChoice::Tool(name)) if *name == "shell"));
}

#[test]
fn a_clients_own_web_search_is_not_taken_for_anthropics() {
    let body = json!({"model": "m", "input": [{"type": "message", "role": "user", "content": "Go."},
        {"type": "function_call", "call_id": "c", "name": "web_search", "arguments": "{}"},
        {"type": "function_call_output", "call_id": "c", "output": "1"}],
        "tools": [{"type": "web_search"}, {"type": "function", "name": "web_search", "strict": false,
            "parameters": {"type": "object", "properties": {}}}]})
    .to_string();
    let request = decode(&body).unwrap();
    let exchange = Exchange::new(&request, Protocol::Responses, Protocol::Anthropic);
    let (mut out, mut losses) = (Vec::new(), Losses::default());
    let target = Target::new("claude-sonnet-4-5");
    crate::protocol::encode_request(Protocol::Anthropic, &request, &exchange, &target, &mut losses, &mut out)
        .unwrap();
    let sent: Value = serde_json::from_slice(&out).unwrap();
    let own = sent["tools"][1]["name"].as_str().unwrap();
    assert_eq!(
        (&sent["tools"][0]["name"], losses.header().as_str()),
        (&json!("web_search"), "rename:tools.name")
    );
    assert!(own.starts_with("web_search_") && sent["messages"][1]["content"][0]["name"] == own, "{sent}");
    let answer = json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m",
        "stop_reason": "tool_use", "content": [{"type": "tool_use", "id": "t", "name": own, "input": {}}],
        "usage": {"input_tokens": 1, "output_tokens": 1}})
    .to_string();
    let answer = crate::protocol::decode_response(Protocol::Anthropic, &answer, 1).unwrap();
    out.clear();
    crate::protocol::encode_response(&answer, &exchange, &mut out).unwrap();
    let told: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        (&told["output"][0]["type"], &told["output"][0]["name"]),
        (&json!("function_call"), &json!("web_search"))
    );
}
