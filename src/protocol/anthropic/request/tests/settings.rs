//! Sampling, limits and reasoning.

use super::*;

#[test]
fn t136_t137_sampling_that_the_model_takes() {
    let mut asked = asking();
    asked.sampling.temperature = Some(Number::from_json("1.5"));
    asked.sampling.top_p = Some(Number::from_json("0.90"));
    asked.sampling.top_k = Some(Number::from(40));
    asked.sampling.seed = Some(Number::from(7));
    let (sent, losses) = send(&asked);
    assert_eq!((&sent["temperature"], &sent["top_k"]), (&json!(1), &json!(40)));
    assert_eq!(losses, "drop:top_p, clamp:temperature, drop:seed");
    let (sent, losses) = send_as(Protocol::OpenAi, &asked, "claude-opus-5").unwrap();
    assert_eq!(sent.get("temperature"), None);
    assert_eq!(losses, "drop:temperature, drop:top_p, drop:top_k, drop:seed");
    asked.sampling.temperature = Some(Number::from_json("-1"));
    assert!(send_as(Protocol::OpenAi, &asked, SONNET).is_err());
}

#[test]
fn t138_the_default_limit_is_the_models_own() {
    assert_eq!(send(&asking()).0["max_tokens"], 64_000);
    assert_eq!(send_as(Protocol::OpenAi, &asking(), "claude-3-5-haiku").unwrap().0["max_tokens"], 8_192);
    let mut asked = asking();
    asked.output.max_tokens = Some(1 << 40);
    let (sent, losses) = send(&asked);
    assert_eq!((&sent["max_tokens"], losses.as_str()), (&json!(64_000), "clamp:max_tokens"));
}

fn reasoning(model: &str, max_tokens: Option<u64>, reasoning: Reasoning) -> (Value, Value, String) {
    let mut asked = asking();
    asked.output.max_tokens = max_tokens;
    asked.reasoning = reasoning;
    let (sent, losses) = send_as(Protocol::OpenAi, &asked, model).unwrap();
    let part = |key: &str| sent.get(key).cloned().unwrap_or(Value::Null);
    (part("thinking"), part("output_config"), losses)
}

#[test]
fn t109_t111_effort_and_budget_in_the_models_words() {
    let effort = |effort| Reasoning { mode: ReasoningMode::On, effort: Some(effort), ..Reasoning::default() };
    let budget = |tokens| Reasoning { mode: ReasoningMode::On, budget: Some(tokens), ..Reasoning::default() };
    let enabled = |tokens: u64| json!({"type": "enabled", "budget_tokens": tokens});
    assert_eq!(
        reasoning(SONNET, None, effort(Effort::Minimal)),
        (enabled(1024), Value::Null, "approx:reasoning.effort".to_owned())
    );
    assert_eq!(reasoning(SONNET, Some(4000), effort(Effort::High)).0, enabled(3999));
    assert_eq!(
        reasoning(SONNET, Some(1000), budget(2000)),
        (Value::Null, Value::Null, "drop:reasoning".to_owned())
    );
    assert_eq!(
        reasoning("claude-opus-5", None, effort(Effort::XHigh)),
        (json!({"type": "adaptive"}), json!({"effort": "xhigh"}), String::new())
    );
    assert_eq!(reasoning("claude-opus-4-6", None, effort(Effort::XHigh)).1, json!({"effort": "high"}));
    assert_eq!(
        reasoning("claude-opus-5", None, budget(9000)),
        (json!({"type": "adaptive"}), json!({"effort": "high"}), "approx:reasoning.budget".to_owned())
    );
    assert_eq!(reasoning("claude-3-5-sonnet", None, effort(Effort::Low)).2, "drop:reasoning");
    assert_eq!(reasoning("claude-opus-5", None, effort(Effort::None)).0, json!({"type": "disabled"}));
    let shown = Reasoning { visibility: Visibility::Shown, ..effort(Effort::Low) };
    assert_eq!(
        reasoning("claude-opus-5", None, shown).0,
        json!({"type": "adaptive", "display": "summarized"})
    );
    assert_eq!(reasoning("claude-opus-5", None, Reasoning::default()).0, Value::Null);
}

#[test]
fn t104_t110_reasoning_gives_way_where_the_api_would_refuse_it() {
    let asks = Reasoning { mode: ReasoningMode::On, effort: Some(Effort::Low), ..Reasoning::default() };
    let mut forced = asking();
    forced.reasoning = asks;
    forced.tools = vec![tool("f", None)];
    forced.tool_choice = Some(crate::protocol::canonical::ToolChoice::Required);
    let (sent, losses) = send(&forced);
    assert_eq!(sent["thinking"], json!({"type": "disabled"}));
    assert!(losses.contains("drop:reasoning"));
    let looping = |opaque: Option<Opaque<'static>>| {
        let kind = PartKind::Reasoning { text: "hm".into(), redacted: false };
        let mut asked = request(vec![
            (Role::User, vec![Part::text("go")]),
            (Role::Assistant, vec![Part { opaque, ..Part::new(kind) }, call("a", "{}")]),
            (Role::User, vec![result("a", "1")]),
        ]);
        asked.reasoning = Reasoning { budget: Some(2000), ..asks };
        send(&asked).0
    };
    assert_eq!(looping(None)["thinking"], json!({"type": "disabled"}));
    let own = crate::protocol::anthropic::response::signature("sig".into());
    let sent = looping(Some(own));
    assert_eq!(sent["thinking"]["type"], "enabled");
    assert_eq!(sent["messages"][1]["content"][0]["signature"], "sig");
}
