//! What servers that are not the vendor's own take differently.

use super::*;

/// A late instruction, beside the user's words and between results and an answer.
const LATE: &str = r#"{"model":"m","messages":[{"role":"system","content":"a"},{"role":"user","content":"u"},
    {"role":"system","content":"b \"now\""},{"role":"user","content":"v"},
    {"role":"assistant","tool_calls":[{"id":"c","type":"function","function":{"name":"f","arguments":"{}"}}]},
    {"role":"tool","tool_call_id":"c","content":"1"},{"role":"system","content":"d"}]}"#;

#[test]
fn t122_models_whose_templates_take_no_late_system_message_still_get_its_text_in_place() {
    let request = decode(LATE).unwrap();
    for model in ["qwen3.5:35b", "Qwen/Qwen3-32B"] {
        let (sent, losses) = send(&request, Protocol::Anthropic, &Target::new(model)).unwrap();
        assert_eq!(losses, "approx:system.mid");
        let messages = sent["messages"].as_array().unwrap();
        let roles: Vec<_> = messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
        assert_eq!(roles, ["system", "user", "user", "assistant", "tool", "user"], "{model}");
        assert_eq!(
            messages[1]["content"],
            json!([{"type":"text","text":"u"},{"type":"text","text":"<system>\nb \"now\"\n</system>"}])
        );
        assert_eq!(messages[2]["content"], json!("v"));
        assert_eq!(messages[5]["content"], json!("<system>\nd\n</system>"));
    }
    let (sent, losses) = send(&request, Protocol::Anthropic, &Target::new("llama-3.3-70b")).unwrap();
    assert_eq!((&sent["messages"][2]["role"], losses.as_str()), (&json!("system"), ""));
}

#[test]
fn t122_an_instruction_before_the_users_words_joins_them() {
    let request = Request {
        turns: vec![
            user("x"),
            turn(Role::Assistant, vec![Part::text("y")]),
            turn(Role::System, vec![Part::text("s")]),
            user("z"),
        ],
        ..Request::default()
    };
    let dialect = Dialect { no_content_arrays: true, ..Dialect::default() };
    let target = Target { dialect, ..Target::new("qwen3") };
    let (sent, _) = send(&request, Protocol::Gemini, &target).unwrap();
    assert_eq!(sent["messages"][2], json!({"role":"user","content":"<system>\ns\n</system>\n\nz"}));
    assert_eq!(sent["messages"].as_array().unwrap().len(), 3);
}

#[test]
fn t144_the_word_json_stands_in_front_where_a_late_system_message_is_refused() {
    let text = r#"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"u"}],
        "response_format":{"type":"json_object"}}"#;
    let dialect = Dialect { legacy_max_tokens: true, ..Dialect::default() };
    let target = Target { dialect, ..Target::new("qwen3") };
    let (sent, losses) = send(&decode(text).unwrap(), Protocol::Responses, &target).unwrap();
    assert_eq!(losses, "insert:json_hint");
    assert_eq!(
        sent["messages"],
        json!([{"role":"system","content":"Be brief.\n\nRespond with JSON."},{"role":"user","content":"u"}])
    );
}

#[test]
fn strict_servers_are_sent_no_member_of_openais_accounts() {
    let text = r#"{"model":"m","input":"u","safety_identifier":"eve","store":false,"prompt_cache_key":"k",
        "prompt_cache_retention":"24h","metadata":{"a":"b"},"max_output_tokens":99}"#;
    let request = crate::protocol::responses::request::decode(text).unwrap();
    let dialect = Dialect { legacy_max_tokens: true, no_account_fields: true, ..Dialect::default() };
    let target = Target { dialect, ..Target::new("mistral-large") };
    let (sent, losses) = send(&request, Protocol::Responses, &target).unwrap();
    assert_eq!(losses, "");
    assert_eq!(
        sent,
        json!({"model":"mistral-large","messages":[{"role":"user","content":"u"}],"max_tokens":99})
    );
    let stored = decode(r#"{"model":"m","messages":[{"role":"user","content":"u"}],"store":true}"#).unwrap();
    for (request, want) in [(&request, Value::Null), (&stored, json!(true))] {
        let (sent, _) = send(request, Protocol::Responses, &Target::new("gpt-4o")).unwrap();
        assert_eq!(sent["store"], want, "{sent}");
    }
}
