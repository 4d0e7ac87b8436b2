//! Tools, calls and their results.

use super::*;

#[test]
fn t069_t070_long_call_ids_fit_and_items_have_no_foreign_id() {
    let long: &'static str = Box::leak("c".repeat(80).into_boxed_str());
    let mut request = asking("q");
    request.turns.push(Turn { role: Role::Assistant, parts: vec![call(long)] });
    request.turns.push(Turn { role: Role::User, parts: vec![result(long, vec![Part::text("r")], false)] });
    let (written, _) = write(&request);
    let (made, answered) = (&written["input"][1], &written["input"][2]);
    assert_eq!(made["call_id"], answered["call_id"]);
    assert!(made["call_id"].as_str().unwrap().len() <= 64);
    assert!(made.get("id").is_none());
    assert_eq!(made["arguments"], r#"{"x":1.10}"#);
}

#[test]
fn t071_t073_t074_results_are_strings_or_lists_and_tell_of_failure() {
    let mut request = asking("q");
    let url = || image(MediaSource::Url("https://x.test/a.png".into()));
    request.turns.push(Turn {
        role: Role::User,
        parts: vec![
            result("a", vec![Part::text("boom")], true),
            result("b", vec![Part::text("Error: boom")], true),
            result("c", vec![], false),
            result("d", vec![Part::text("see"), url()], true),
        ],
    });
    let (written, losses) = write(&request);
    let outputs: Vec<_> = (1..5).map(|at| written["input"][at]["output"].clone()).collect();
    assert_eq!(outputs[..3], [json!("Error: boom"), json!("Error: boom"), json!("")]);
    assert_eq!(
        outputs[3],
        json!([{"type": "input_text", "text": "Error: see"},
               {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"}])
    );
    assert_eq!(losses, "");
}

#[test]
fn t075_t076_tool_choice_goes_with_tools_only() {
    let mut request = asking("q");
    request.tool_choice = Some(ToolChoice::Required);
    let (written, losses) = write(&request);
    assert!(written.get("tool_choice").is_none() && written.get("tools").is_none());
    assert_eq!(losses, "drop:tool_choice");
    request.tools = vec![function("look", "{}")];
    request.tool_choice = Some(ToolChoice::None);
    assert_eq!(write(&request).0["tool_choice"], "none");
}

#[test]
fn t079_strict_is_always_said() {
    let mut request = asking("q");
    let mut strict = function("b", r#"{"type":"object","properties":{"a":{}}}"#);
    strict.strict = Some(true);
    request.tools = vec![function("a", "null"), strict];
    let (written, losses) = write(&request);
    assert_eq!(written["tools"][0]["strict"], false);
    assert_eq!(written["tools"][0]["parameters"], json!({"type": "object", "properties": {}}));
    assert_eq!(written["tools"][1]["strict"], false);
    assert_eq!(losses, "drop:tools.strict");
    let body = r#"{"input":"x","tools":[{"type":"function","name":"f","parameters":{"type":"object","properties":{},"additionalProperties":false}},
        {"type":"function","name":"g","parameters":{"type":"object","properties":{}}}]}"#;
    let read: Vec<_> = decode(body).unwrap().tools.iter().map(|tool| tool.strict).collect();
    assert_eq!(read, [Some(true), Some(false)], "left out, it means strict where that can be");
}

#[test]
fn t080_names_are_fitted_everywhere() {
    let mut request = asking("q");
    request.tools = vec![function("a.b", "{}")];
    request.tool_choice = Some(ToolChoice::Tool("a.b".into()));
    let made = PartKind::ToolCall { id: "1".into(), name: "a.b".into(), arguments: "".into(), custom: false };
    request.turns.push(Turn { role: Role::Assistant, parts: vec![Part::new(made)] });
    let (written, _) = write(&request);
    for name in [&written["tools"][0]["name"], &written["tool_choice"]["name"], &written["input"][1]["name"]]
    {
        assert_eq!(name, "a_b");
    }
    assert_eq!(written["input"][1]["arguments"], "{}");
}

#[test]
fn t088_namespaces_are_flattened_and_remembered() {
    let body = r#"{"input":[{"type":"additional_tools","role":"developer","tools":[{"type":"function","name":"late"},{"type":"function","name":"f"}]},
        {"role":"user","content":"x"},
        {"type":"function_call","call_id":"1","namespace":"crm","name":"find","arguments":""}],
        "tools":[{"type":"function","name":"f","description":"mine"},{"type":"namespace","name":"crm","tools":[{"type":"function","name":"find"}]}]}"#;
    let request = decode(body).unwrap();
    let names: Vec<_> = request.tools.iter().map(|tool| tool.name.decode()).collect();
    assert_eq!(names, ["f", "crm__find", "late"]);
    assert!(matches!(&request.turns[1].parts[0].kind,
        PartKind::ToolCall { name, arguments, .. } if *name == "crm__find" && arguments == "{}"));
    let note = request.echo.iter().find(|(key, _)| *key == NAMESPACES).unwrap();
    assert_eq!(note.1.as_str(), r#"{"crm__find":["crm","find"]}"#);
}

#[test]
fn a_tool_to_be_loaded_late_is_loaded_at_once() {
    let body = r#"{"input":"x","tools":[{"type":"function","name":"f","defer_loading":true}]}"#;
    let (written, losses) = write_for(&decode(body).unwrap(), Protocol::Responses, "gpt-4o").unwrap();
    assert!(written["tools"][0].get("defer_loading").is_none());
    assert_eq!(losses, "drop:tools.defer_loading");
}

#[test]
fn two_tools_of_one_name_are_refused() {
    let mut request = asking("q");
    request.tools = vec![function("a", "{}"), function("a", "{}")];
    assert_eq!(refused(&request), "tools");
}
