//! System prompts: where they stand, and where a cached prefix ends.

use super::*;
use crate::protocol::Capabilities;

fn sent(request: &Request<'_>, client: Protocol, target: &Target<'_>) -> (Value, String) {
    let (out, losses) = bytes_at(request, client, target).unwrap();
    (serde_json::from_slice(&out).unwrap(), losses)
}

#[test]
fn t122_models_whose_templates_take_no_late_system_message_still_get_its_text_in_place() {
    let request = Request {
        turns: vec![user("u"), Turn { role: Role::System, parts: vec![Part::text("b \"now\"")] }, user("v")],
        output: crate::protocol::canonical::Output { format: Format::JsonObject, ..Default::default() },
        ..Request::default()
    };
    let (qwen, losses) = sent(&request, Protocol::Anthropic, &Target::new("Qwen/Qwen3-32B"));
    let roles: Vec<_> = qwen["input"].as_array().unwrap().iter().map(|item| item["role"].clone()).collect();
    assert_eq!(roles, ["user", "user", "user", "user"]);
    assert_eq!(qwen["input"][1]["content"][0]["text"], "<system>\nb \"now\"\n</system>");
    assert_eq!(qwen["input"][3]["content"][0]["text"], "<system>\nRespond with JSON.\n</system>");
    assert_eq!(losses, "approx:system.mid, insert:json_hint");
    let (gpt, losses) = sent(&request, Protocol::Anthropic, &Target::new("gpt-5.2"));
    assert_eq!((&gpt["input"][1]["role"], &gpt["input"][3]["role"]), (&json!("system"), &json!("developer")));
    assert_eq!(losses, "insert:json_hint");
}

#[test]
fn a_prefix_that_a_client_marks_for_the_cache_is_cached_by_models_that_take_marks() {
    let marked = |part: Part<'static>, mark| Part { cache: Some(mark), ..part };
    let (short, long) = (CacheMark::FiveMinutes, CacheMark::OneHour);
    let block = |text: &'static str, cache| SystemBlock { text: text.into(), cache, developer: false };
    let request = Request {
        system: vec![block("a", None), block("b", Some(long))],
        turns: vec![
            Turn {
                role: Role::User,
                parts: vec![Part::text("u"), marked(image(MediaSource::Url("p".into())), short)],
            },
            Turn { role: Role::Assistant, parts: vec![marked(Part::text("x"), short), call("1")] },
            Turn { role: Role::User, parts: vec![marked(result("1", vec![Part::text("r")], false), short)] },
        ],
        ..Request::default()
    };
    let capabilities = Capabilities { explicit_breakpoints: true, ..Capabilities::of("gpt-5.6") };
    let target = Target { capabilities, ..Target::new("gpt-5.6") };
    let (written, losses) = sent(&request, Protocol::Anthropic, &target);
    let until = |ttl: &str| json!({"mode": "explicit", "ttl": ttl});
    assert_eq!(written.get("instructions"), None);
    let input = &written["input"];
    assert_eq!(
        input[0],
        json!({"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "a"},
            {"type": "input_text", "text": "b", "prompt_cache_breakpoint": until("12h")}]})
    );
    assert_eq!(input[1]["content"][0], json!({"type": "input_text", "text": "u"}));
    assert_eq!(input[1]["content"][1]["prompt_cache_breakpoint"], until("30m"));
    assert_eq!(input[2]["content"][0].get("prompt_cache_breakpoint"), None, "the model's words take none");
    assert_eq!(
        input[4]["output"],
        json!([{"type": "input_text", "text": "r", "prompt_cache_breakpoint": until("30m")}])
    );
    assert_eq!(losses, "approx:cache_control.ttl");
    // A client of OpenAI's has its own word for the lifetime.
    let (written, _) = sent(&request, Protocol::OpenAi, &target);
    assert_eq!(written["input"][1]["content"][1]["prompt_cache_breakpoint"], json!({"mode": "explicit"}));
    // To others marks would be a fault, and they cache by themselves.
    let (written, losses) = sent(&request, Protocol::Anthropic, &Target::new("gpt-5.6"));
    assert!(!written.to_string().contains("breakpoint"));
    assert_eq!((&written["instructions"], losses.as_str()), (&json!("a\n\nb"), ""));
}
