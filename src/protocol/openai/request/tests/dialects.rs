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

/// A model that is not held to schemas, and the request of one.
fn shaped(dialect: Dialect) -> (Request<'static>, Target<'static>) {
    let text = r#"{"model":"m","max_tokens":9,"system":"Be brief.","messages":[{"role":"user","content":"u"}],
        "output_config":{"format":{"type":"json_schema","schema":{"type":"object","z":1.10}}}}"#;
    let mut target = Target { dialect, ..Target::new("m") };
    target.capabilities.structured_output = false;
    (crate::protocol::anthropic::request::decode(text).unwrap(), target)
}

#[test]
fn models_that_are_not_held_to_a_schema_are_told_of_it() {
    let (request, target) = shaped(Dialect { no_stream_options: true, ..Dialect::default() });
    let (sent, losses) = send(&request, Protocol::Anthropic, &target).unwrap();
    assert_eq!(losses, "approx:response_format");
    assert_eq!(sent["response_format"], json!({"type":"json_object"}));
    let system = sent["messages"][0]["content"].as_str().unwrap();
    assert!(system.starts_with("Be brief.\n\nRespond only with one JSON object."), "{system}");
    assert!(system.ends_with(r#"{"type":"object","z":1.10}"#), "{system}");
    assert_eq!(sent["messages"].as_array().unwrap().len(), 2);
}

#[test]
fn t185_an_agents_session_keys_the_cache_at_openai_alone() {
    let text = r#"{"model":"m","max_tokens":9,"metadata":{"user_id":"user_ab_session_12-ef"},
        "messages":[{"role":"user","content":"u"}]}"#;
    let request = crate::protocol::anthropic::request::decode(text).unwrap();
    let key = |model, dialect, client| {
        send(&request, client, &Target { dialect, ..Target::new(model) }).unwrap().0["prompt_cache_key"]
            .clone()
    };
    let official = Dialect::default();
    for model in ["gpt-4.1", "gpt-5.2", "o3"] {
        assert_eq!(key(model, official, Protocol::Anthropic), json!("12-ef"), "{model}");
        assert_eq!(key(model, official, Protocol::Gemini), Value::Null);
    }
    for model in ["llama-3.3-70b", "openai/gpt-oss-120b"] {
        assert_eq!(key(model, official, Protocol::Anthropic), Value::Null, "{model}");
    }
    let old = Dialect { legacy_max_tokens: true, ..official };
    assert_eq!(key("gpt-4.1", old, Protocol::Anthropic), Value::Null);
}

#[test]
fn top_k_reaches_servers_that_take_it() {
    let text = r#"{"model":"m","max_tokens":9,"top_k":40,"messages":[{"role":"user","content":"u"}]}"#;
    let request = crate::protocol::anthropic::request::decode(text).unwrap();
    let dialect = Dialect { accepts_top_k: true, ..Dialect::default() };
    for (dialect, want, named) in [(dialect, json!(40), ""), (Dialect::default(), Value::Null, "drop:top_k")]
    {
        let target = Target { dialect, ..Target::new("llama-3.3-70b") };
        let (sent, losses) = send(&request, Protocol::Anthropic, &target).unwrap();
        assert_eq!((&sent["top_k"], losses.as_str()), (&want, named));
    }
}

#[test]
fn a_seed_and_a_stream_reach_a_server_that_has_its_own_word_for_the_one_and_none_for_the_others_options() {
    let text = r#"{"generationConfig":{"seed":7},"contents":[{"role":"user","parts":[{"text":"u"}]}]}"#;
    let request = crate::protocol::gemini::request::decode(text, "m", true).unwrap();
    let mistral = Dialect { random_seed: true, no_stream_options: true, ..Dialect::default() };
    for (dialect, seed, other) in
        [(mistral, "random_seed", "seed"), (Dialect::default(), "seed", "random_seed")]
    {
        let target = Target { dialect, ..Target::new("mistral-large") };
        let (sent, losses) = send(&request, Protocol::Gemini, &target).unwrap();
        assert_eq!((&sent[seed], &sent[other], losses.as_str()), (&json!(7), &Value::Null, ""));
        assert_eq!(sent["stream"], json!(true));
        assert_eq!(sent["stream_options"].is_null(), dialect.no_stream_options, "{sent}");
    }
}

#[test]
fn a_prefix_that_a_client_marks_for_the_cache_is_cached_by_models_that_take_marks() {
    let text = r#"{"model":"m","max_tokens":9,"system":[{"type":"text","text":"a"},
        {"type":"text","text":"b","cache_control":{"type":"ephemeral","ttl":"1h"}}],"messages":[
        {"role":"user","content":[{"type":"text","text":"u","cache_control":{"type":"ephemeral"}}]},
        {"role":"assistant","content":[{"type":"tool_use","id":"c","name":"f","input":{}}]},
        {"role":"user","content":[{"type":"tool_result","tool_use_id":"c","content":"1","cache_control":{"type":"ephemeral"}},
            {"type":"text","text":"v"}]}]}"#;
    let request = crate::protocol::anthropic::request::decode(text).unwrap();
    let mut target = Target::new("gpt-5.6");
    target.capabilities.explicit_breakpoints = true;
    let (sent, losses) = send(&request, Protocol::Anthropic, &target).unwrap();
    let part = |text: &str, ttl: &str| json!({"type":"text","text":text,"prompt_cache_breakpoint":{"mode":"explicit","ttl":ttl}});
    let messages = &sent["messages"];
    assert_eq!(messages[0]["content"], json!([{"type":"text","text":"a"}, part("b", "12h")]));
    assert_eq!(messages[1]["content"], json!([part("u", "30m")]));
    assert_eq!((&messages[3]["role"], &messages[3]["content"]), (&json!("tool"), &json!([part("1", "30m")])));
    assert_eq!((&messages[4]["content"], losses.as_str()), (&json!("v"), "approx:cache_control.ttl"));
    // Servers that take strings only get strings, and nobody else gets marks unasked.
    let strings = Dialect { no_content_arrays: true, ..Dialect::default() };
    for target in [Target { dialect: strings, ..target }, Target::new("gpt-5.6")] {
        let (sent, losses) = send(&request, Protocol::Anthropic, &target).unwrap();
        assert!(!sent.to_string().contains("breakpoint"), "{sent}");
        assert_eq!((&sent["messages"][1]["content"], losses.as_str()), (&json!("u"), ""));
    }
}
