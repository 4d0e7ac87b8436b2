//! Web search.

use super::*;

#[test]
fn hosted_tools_of_others_are_refused_but_search_is_shared() {
    let hosted = |tag: &'static str| Tool {
        kind: ToolKind::Hosted { protocol: Protocol::Anthropic, tag: tag.into(), raw: Raw::from_json("{}") },
        ..function("x", "{}")
    };
    let mut request = asking("q");
    request.tools = vec![hosted("web_search_20250305")];
    let (written, losses) = write(&request);
    assert_eq!(written["tools"], json!([{"type": "web_search"}]));
    assert_eq!(losses, "");
    request.tools = vec![hosted("code_execution_20250522")];
    assert_eq!(refused(&request), "tools");
}

/// What `upstream` gets of the client's tool, and what is lost.
fn search_at(client: Protocol, tag: &'static str, raw: &'static str, upstream: Protocol) -> (Value, String) {
    let mut request = asking("q");
    request.tools = vec![Tool {
        kind: ToolKind::Hosted { protocol: client, tag: tag.into(), raw: Raw::from_json(raw) },
        ..function("web_search", "{}")
    }];
    let exchange = Exchange::new(&request, client, upstream);
    let (mut out, mut losses) = (Vec::new(), Losses::default());
    let model = if upstream == Protocol::OpenAi { "gpt-4o-search-preview" } else { "gpt-4o" };
    let target = Target::new(model);
    crate::protocol::encode_request(upstream, &request, &exchange, &target, &mut losses, &mut out).unwrap();
    let out: Value = serde_json::from_slice(&out).unwrap();
    let tool = if upstream == Protocol::OpenAi { &out["web_search_options"] } else { &out["tools"][0] };
    (tool.clone(), losses.header())
}

#[test]
fn each_setting_of_a_web_search_arrives_or_is_named() {
    use Protocol::{Anthropic, Gemini, OpenAi, Responses};
    const TAG: &str = "web_search_20250305";
    const ANTHROPIC: &str = r#"{"type":"web_search_20250305","name":"web_search","max_uses":3,"allowed_domains":["a.test"],
        "blocked_domains":null,"user_location":{"type":"approximate","city":"Bonn","country":"DE"},"cache_control":null}"#;
    const BLOCKED: &str = r#"{"type":"web_search_20250305","name":"web_search","blocked_domains":["a.test"],"unheard_of":["x"],"defer_loading":true}"#;
    const RESPONSES: &str = r#"{"type":"web_search","filters":{"allowed_domains":["a.test"]},"search_context_size":"low",
        "user_location":{"type":"approximate","city":"Bonn","region":null},"external_web_access":true}"#;
    const CHAT: &str = r#"{"search_context_size":"medium","user_location":{"type":"approximate","approximate":{"city":"Bonn"}}}"#;
    let bonn = json!({"type": "approximate", "city": "Bonn"});
    for (client, tag, raw, upstream, tool, lost) in [
        (
            Anthropic,
            TAG,
            ANTHROPIC,
            Responses,
            json!({"type": "web_search", "filters": {"allowed_domains": ["a.test"]},
                "user_location": {"type": "approximate", "city": "Bonn", "country": "DE"}}),
            "drop:web_search.max_uses",
        ),
        (
            Anthropic,
            TAG,
            ANTHROPIC,
            Gemini,
            json!({"googleSearch": {}}),
            "drop:web_search.allowed_domains, drop:web_search.max_uses, drop:web_search.user_location",
        ),
        (
            Anthropic,
            TAG,
            ANTHROPIC,
            OpenAi,
            json!({"user_location": {"type": "approximate", "approximate": {"city": "Bonn", "country": "DE"}}}),
            "drop:web_search.allowed_domains, drop:web_search.max_uses",
        ),
        (
            Anthropic,
            TAG,
            BLOCKED,
            Responses,
            json!({"type": "web_search"}),
            "drop:web_search.blocked_domains, drop:web_search.unheard_of",
        ),
        (
            Responses,
            "web_search",
            RESPONSES,
            Anthropic,
            json!({"type": TAG, "name": "web_search", "allowed_domains": ["a.test"], "user_location": bonn}),
            "drop:web_search.search_context_size",
        ),
        (
            OpenAi,
            "web_search",
            CHAT,
            Anthropic,
            json!({"type": TAG, "name": "web_search", "user_location": bonn}),
            "",
        ),
        (
            OpenAi,
            "web_search",
            CHAT,
            Responses,
            json!({"type": "web_search", "user_location": bonn, "search_context_size": "medium"}),
            "",
        ),
        (Gemini, "googleSearch", "{}", Responses, json!({"type": "web_search"}), ""),
        (
            Gemini,
            "googleSearch",
            r#"{"timeRangeFilter":{"startTime":"x"}}"#,
            Anthropic,
            json!({"type": TAG, "name": "web_search"}),
            "drop:web_search.timeRangeFilter",
        ),
    ] {
        let (got, losses) = search_at(client, tag, raw, upstream);
        // Anthropic's upstream wants a limit on tokens, which no one set.
        let losses = losses.replace("insert:max_tokens", "");
        assert_eq!((got, losses.trim_matches([',', ' '])), (tool, lost), "{client} to {upstream}");
    }
}
