//! Tools that are no functions here.

use super::*;

/// The stream and the whole answer to calls of these tools, given as name, arguments and completeness.
fn native_calls(calls: &[(&'static str, &'static str, bool)]) -> (Vec<Value>, Value) {
    let body = r#"{"model":"m","input":"x","tools":[{"type":"local_shell"},{"type":"shell"},{"type":"apply_patch"}]}"#;
    let request = request::decode(body).unwrap();
    let exchange = Exchange::new(&request, Protocol::Responses, Protocol::Anthropic);
    let mut events = vec![Event::Start { id: "x".into(), model: "m".into(), created: None }];
    for (part, (name, arguments, complete)) in (0u32..).zip(calls) {
        let id = Str::escape(format!("call_{part}"));
        let header = PartHeader::ToolCall { id, name: (*name).into(), custom: false };
        events.push(Event::PartStart { choice: 0, part, header });
        let (head, tail) = arguments.split_at(arguments.len() / 2);
        for text in [head, tail] {
            events.push(Event::Delta { choice: 0, part, delta: Delta::Arguments(Str::escape(text)) });
        }
        events.push(Event::PartEnd { choice: 0, part, complete: *complete });
    }
    events.push(Event::Finish { choice: 0, finish: Finish::new(FinishReason::ToolCalls) });
    events.push(Event::End);
    let (mut encoder, mut collector, mut out) = (Encoder::new(&exchange), Collector::default(), Vec::new());
    for event in &events {
        encoder.event(event, &mut out);
        collector.event(event.clone());
    }
    let mut sent = Vec::new();
    let mut frames = sse::Decoder::default();
    frames.push(&out, |event| sent.push(serde_json::from_slice(&event.data).unwrap())).unwrap();
    let mut whole = Vec::new();
    response::encode(&collector.finish().unwrap(), &exchange, &mut whole).unwrap();
    (sent, serde_json::from_slice(&whole).unwrap())
}

#[test]
fn calls_of_native_tools_come_back_as_the_items_that_the_client_runs() {
    let (sent, whole) = native_calls(&[
        ("local_shell", r#"{"command":["ls"],"working_directory":"/x"}"#, true),
        ("shell", r#"{"commands":["a \"b\""],"timeout_ms":5}"#, true),
        ("apply_patch", r#"{"type":"update_file","path":"a","diff":"@@\n-x\n+y"}"#, true),
        ("other", "{}", true),
    ]);
    let told: Vec<(&str, &str)> = sent
        .iter()
        .map(|event| (event["type"].as_str().unwrap(), event["item"]["type"].as_str().unwrap_or_default()))
        .collect();
    assert_eq!(
        told[2..],
        [
            ("response.output_item.added", "local_shell_call"),
            ("response.output_item.done", "local_shell_call"),
            ("response.output_item.added", "shell_call"),
            ("response.output_item.done", "shell_call"),
            ("response.output_item.added", "apply_patch_call"),
            ("response.output_item.done", "apply_patch_call"),
            ("response.output_item.added", "function_call"),
            ("response.function_call_arguments.delta", ""),
            ("response.function_call_arguments.delta", ""),
            ("response.function_call_arguments.done", ""),
            ("response.output_item.done", "function_call"),
            ("response.completed", ""),
        ]
    );
    for (at, prefix, member, action) in [
        (
            0,
            "lsh_",
            "action",
            json!({"type": "exec", "command": ["ls"], "env": {}, "working_directory": "/x"}),
        ),
        (1, "sh_", "action", json!({"commands": ["a \"b\""], "timeout_ms": 5, "max_output_length": null})),
        (2, "apc_", "operation", json!({"type": "update_file", "path": "a", "diff": "@@\n-x\n+y"})),
    ] {
        let (added, done) = (&sent[2 + 2 * at]["item"], &sent[3 + 2 * at]["item"]);
        assert_eq!((&added["status"], &done["status"]), (&json!("in_progress"), &json!("completed")));
        assert_eq!(added["id"], done["id"]);
        assert!(done["id"].as_str().unwrap().starts_with(prefix));
        assert_eq!(done["call_id"], format!("call_{at}"));
        assert_eq!(done[member], action);
        assert_eq!(sent[3 + 2 * at]["output_index"], at);
        assert_eq!(*done, sent.last().unwrap()["response"]["output"][at]);
        assert_eq!(*done, whole["output"][at]);
    }
}

#[test]
fn a_call_that_does_not_say_what_to_do_is_not_run_as_something_else() {
    let (sent, whole) = native_calls(&[
        ("shell", r#"{"cmd":"ls"}"#, true),
        ("apply_patch", r#"{"type":"delete_file","path":"a"}"#, false),
    ]);
    let output = &sent.last().unwrap()["response"]["output"];
    assert_eq!(output[0]["type"], "function_call");
    assert_eq!((&output[0]["name"], &output[0]["arguments"]), (&json!("shell"), &json!(r#"{"cmd":"ls"}"#)));
    assert_eq!((&output[1]["type"], &output[1]["status"]), (&json!("function_call"), &json!("incomplete")));
    assert_eq!(output[0], whole["output"][0]);
}
