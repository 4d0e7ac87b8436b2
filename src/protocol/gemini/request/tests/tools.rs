//! Tools, calls and their results.

use super::*;

#[test]
fn t065_calls_without_ids_get_lasting_ones() {
    let step = |n: u32| {
        format!(
            r#"{{"role":"model","parts":[{{"functionCall":{{"name":"f","args":{{"n":{n}}}}}}},{{"functionCall":{{"name":"g"}}}},{{"functionCall":{{"name":"f"}}}}]}},{{"role":"function","parts":[{{"functionResponse":{{"name":"f","response":{{"output":"1"}}}}}},{{"functionResponse":{{"name":"f","response":{{"output":"2"}}}}}},{{"functionResponse":{{"name":"g","response":{{"output":"3"}}}}}}]}}"#
        )
    };
    let body = format!(r#"{{"contents":[{{"parts":[{{"text":"a"}}]}},{},{}]}}"#, step(1), step(2));
    let ids = |body: &str| -> Vec<String> {
        let request = read(body);
        let parts = request.turns.iter().flat_map(|turn| &turn.parts);
        parts
            .filter_map(|part| match &part.kind {
                PartKind::ToolCall { id, .. } => Some(id.decode().into_owned()),
                PartKind::ToolResult { call_id, .. } => Some(call_id.decode().into_owned()),
                _ => None,
            })
            .collect()
    };
    let seen = ids(&body);
    assert_eq!(seen, ids(&body));
    // First come, first served among equal names, and never across steps.
    for step in seen.chunks(6) {
        assert_eq!([&step[3], &step[4], &step[5]], [&step[0], &step[2], &step[1]]);
    }
    assert_ne!(seen[0], seen[6]);
}

#[test]
fn t063_t064_t066_t128_results_stand_alone_in_call_order() {
    let request = ask(vec![
        turn(Role::Assistant, vec![call("1", "f", "{\"x\":1.0}"), call("2", "g", "")]),
        turn(Role::User, vec![text("And?"), result("2", "plain", false)]),
        turn(Role::User, vec![result("1", "[1]", true)]),
    ]);
    let sent = sent(&request, "gemini-3-pro");
    assert_eq!(
        sent.body["contents"],
        json!([
            {"role": "user", "parts": [{"text": "Continue."}]},
            {"role": "model", "parts": [
                {"functionCall": {"id": "1", "name": "f", "args": {"x": 1.0}}},
                {"functionCall": {"id": "2", "name": "g", "args": {}}}]},
            {"role": "user", "parts": [
                {"functionResponse": {"id": "1", "name": "f", "response": {"error": "[1]"}}},
                {"functionResponse": {"id": "2", "name": "g", "response": {"output": "plain"}}}]},
            {"role": "user", "parts": [{"text": "And?"}]},
        ])
    );
    assert!(
        sent.losses.contains("reorder:tool_result") && sent.losses.contains("insert:user"),
        "{}",
        sent.losses
    );
    let orphan = ask(vec![turn(Role::User, vec![result("9", "x", false)])]);
    assert!(send(&orphan, Protocol::OpenAi, "gemini-3-pro").is_err());
}

#[test]
fn t067_ids_go_on_both_sides_or_on_none() {
    let request = ask(vec![
        turn(Role::User, vec![text("a")]),
        turn(Role::Assistant, vec![call("1", "f", "{}")]),
        turn(Role::User, vec![result("1", "", false)]),
    ]);
    for (model, count) in [("gemini-3-pro", 2), ("gemini-2.5-pro", 0)] {
        let body = sent(&request, model).body.to_string();
        assert_eq!(body.matches("\"id\"").count(), count, "{body}");
    }
    // T074: an empty result is a result.
    let response = &sent(&request, "gemini-3-pro").body["contents"][2]["parts"][0]["functionResponse"];
    assert_eq!(response["response"], json!({"output": ""}));
}

#[test]
fn t062_arguments_that_are_no_object_are_wrapped() {
    let request = ask(vec![
        turn(Role::User, vec![text("a")]),
        turn(Role::Assistant, vec![call("1", "f", "[1]"), call("2", "f", "{\"x\":")]),
        turn(Role::User, vec![result("1", "{\"a\":1.10}", false), result("2", "", false)]),
    ]);
    let sent = sent(&request, "gemini-2.5-pro");
    let parts = &sent.body["contents"][1]["parts"];
    assert_eq!(parts[0]["functionCall"]["args"], json!({"_raw_arguments": "[1]"}));
    assert_eq!(parts[1]["functionCall"]["args"], json!({"_raw_arguments": "{\"x\":"}));
    assert_eq!(sent.losses, "approx:tool_call.arguments");
}

#[test]
fn t082_t076_t078_t080_tools_and_choice() {
    let mut request = hi();
    request.tools = vec![function("a/b", SCHEMA), function("c", r#"{"type":"object","properties":{}}"#)];
    request.tool_choice = Some(ToolChoice::Tool("a/b".into()));
    request.parallel_tool_calls = Some(false);
    let got = sent(&request, "gemini-3-pro");
    assert_eq!(
        got.body["tools"],
        json!([{"functionDeclarations": [
            {"name": "a_b", "description": "d", "parametersJsonSchema": {"type": "object", "properties": {"x": {"type": "number"}}}},
            {"name": "c", "description": "d"}]}])
    );
    assert_eq!(
        got.body["toolConfig"],
        json!({"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["a_b"]}})
    );
    assert_eq!(got.losses, "drop:parallel_tool_calls");
    let old = sent(&request, "gemini-2.0-flash");
    assert_eq!(old.body["tools"][0]["functionDeclarations"][0]["parameters"]["type"], "OBJECT");

    let allowed = |required| {
        ToolChoice::Allowed(crate::protocol::canonical::Allowed {
            names: vec!["c".into(), "x".into()],
            required,
        })
    };
    request.parallel_tool_calls = None;
    request.tool_choice = Some(allowed(false));
    let got = sent(&request, "gemini-2.5-pro");
    assert_eq!(got.body["tools"][0]["functionDeclarations"].as_array().unwrap().len(), 1);
    assert_eq!(got.body["toolConfig"]["functionCallingConfig"], json!({"mode": "AUTO"}));
    request.tool_choice = Some(allowed(true));
    let got = sent(&request, "gemini-2.5-pro");
    assert_eq!(got.body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"], json!(["c"]));
    request.tools.clear();
    let got = sent(&request, "gemini-2.5-pro");
    assert!(got.body.get("toolConfig").is_none() && got.losses == "drop:tool_choice");
}

#[test]
fn duplicate_names_and_foreign_hosted_tools_are_refused_and_search_is_mapped() {
    let mut request = hi();
    request.tools = vec![function("f", SCHEMA), function("f", SCHEMA)];
    assert!(send(&request, Protocol::OpenAi, "gemini-3-pro").is_err());
    let hosted = |tag: &'static str| Tool {
        kind: ToolKind::Hosted {
            protocol: Protocol::Anthropic,
            tag: tag.into(),
            raw: Raw::from_json(r#"{"type":"t","name":"n","max_uses":3}"#),
        },
        schema: None,
        ..function("n", "{}")
    };
    request.tools = vec![hosted("web_search_20250305")];
    let got = send(&request, Protocol::Anthropic, "gemini-3-pro").unwrap();
    assert_eq!(got.body["tools"], json!([{"googleSearch": {}}]));
    assert_eq!(got.losses, "drop:web_search.max_uses");
    request.tools = vec![function("f", SCHEMA), hosted("web_search_20250305")];
    let got = send(&request, Protocol::Anthropic, "gemini-3-pro").unwrap();
    assert_eq!(got.body["tools"].as_array().unwrap().len(), 1, "Google refuses both in one request");
    assert_eq!(got.body["tools"][0]["functionDeclarations"][0]["name"], "f");
    assert_eq!(got.losses, "drop:tools.web_search");
    request.tools = vec![hosted("computer_20250124")];
    assert!(matches!(send(&request, Protocol::Anthropic, "gemini-3-pro"), Err(RequestError::Unsupported(_))));
}

#[test]
fn t087_free_text_tools_are_functions_of_one_string() {
    let mut request = hi();
    let format = Raw::from_json(r#"{"type":"grammar","syntax":"lark","definition":"start: \"x\""}"#);
    request.tools =
        vec![Tool { kind: ToolKind::Custom { format: Some(format) }, schema: None, ..function("p", "{}") }];
    let kind =
        PartKind::ToolCall { id: "1".into(), name: "p".into(), arguments: "*** \"go\"".into(), custom: true };
    request.turns.push(turn(Role::Assistant, vec![kind]));
    request.turns.push(turn(Role::User, vec![result("1", "x", false)]));
    let got = sent(&request, "gemini-3-pro");
    let tool = &got.body["tools"][0]["functionDeclarations"][0];
    assert_eq!(tool["description"], "d\n\nThe input must match this grammar:\nstart: \"x\"");
    assert_eq!(tool["parametersJsonSchema"]["required"], json!(["input"]));
    let args = &got.body["contents"][1]["parts"][0]["functionCall"]["args"];
    assert_eq!(args, &json!({"input": "*** \"go\""}));
}
