use super::*;

fn kind(status: u16, body: &str) -> FaultKind {
    parse(status, body.as_bytes()).kind
}

#[test]
fn t169_a_full_context_is_known_by_words_and_code() {
    let official = r#"{"error":{"message":"This model's maximum context length is 8192 tokens. However, your messages resulted in 9001 tokens.","type":"invalid_request_error","param":"messages","code":"context_length_exceeded"}}"#;
    let view = parse(400, official.as_bytes());
    assert_eq!(view.kind, FaultKind::ContextLength);
    assert_eq!(view.param.as_deref(), Some("messages"));
    assert!(view.message.contains("8192") && view.message.contains("9001"));
    assert_eq!(
        kind(413, r#"{"error":"prompt is too long: 9 tokens > 8 maximum"}"#),
        FaultKind::ContextLength
    );
}

#[test]
fn the_body_is_believed_before_the_status() {
    let with = |code: &str| format!(r#"{{"error":{{"message":"m","type":"t","code":"{code}"}}}}"#);
    assert_eq!(kind(429, &with("insufficient_quota")), FaultKind::Billing);
    assert_eq!(kind(429, &with("rate_limit_exceeded")), FaultKind::RateLimit);
    assert_eq!(kind(400, &with("invalid_api_key")), FaultKind::Authentication);
    assert_eq!(kind(400, &with("content_policy_violation")), FaultKind::ContentPolicy);
    assert_eq!(kind(503, &with("503")), FaultKind::Overloaded);
}

#[test]
fn t170_every_shape_of_body_has_a_message() {
    for (body, message) in [
        ("<html>Bad Gateway</html>", "upstream returned status 502"),
        ("", "upstream returned status 502"),
        (r#"{"error":"text"}"#, "text"),
        (r#"{"message":"m"}"#, "m"),
        (r#"{"detail":"d"}"#, "d"),
        (r#"[{"error":{"message":"g","code":502}}]"#, "g"),
        (r#""words""#, "words"),
        (
            r#"{"error":{"message":"Provider returned error","metadata":{"raw":"why"}}}"#,
            "Provider returned error: why",
        ),
        (r#"{"error":{"message":null}}"#, "upstream returned status 502"),
    ] {
        let view = parse(502, body.as_bytes());
        assert_eq!(view.message, message, "{body}");
        assert_eq!(view.kind, FaultKind::BadUpstream, "{body}");
    }
}

#[test]
fn an_error_has_all_four_keys() {
    let (status, body) = render(&ErrorView::new(FaultKind::Billing, "no \"money\""));
    assert_eq!(status, 429);
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"error":{"message":"no \"money\"","type":"insufficient_quota","param":null,"code":"insufficient_quota"}}"#
    );
}

#[test]
fn t047_an_error_in_mid_stream_is_one_event_and_no_done() {
    let mut out = Vec::new();
    write_event(&ErrorView::new(FaultKind::Overloaded, "busy"), &mut out);
    assert_eq!(
        String::from_utf8(out).unwrap(),
        "data: {\"error\":{\"message\":\"busy\",\"type\":\"server_error\",\"param\":null,\"code\":\"server_overloaded\"}}\n\n"
    );
}

#[test]
fn t169_a_full_context_is_told_in_the_words_that_clients_look_for() {
    for (words, told) in [
        (
            "prompt is too long: 204000 tokens > 200000 maximum",
            "This model's maximum context length is 200000 tokens. However, your messages resulted in 204000 tokens. Please reduce the length of the messages.",
        ),
        (
            "input length and `max_tokens` exceed context limit: 198000 + 8000 > 200000",
            "This model's maximum context length is 200000 tokens. However, you requested 206000 tokens (198000 in the messages, 8000 in the completion). Please reduce the length of the messages or completion.",
        ),
        (
            "The input token count exceeds the maximum number of tokens allowed (1048576).",
            "This model's maximum context length is 1048576 tokens. Please reduce the length of the messages.",
        ),
        ("too much", "The request exceeds this model's maximum context length: too much"),
    ] {
        let (status, body) = render(&ErrorView::new(FaultKind::ContextLength, words));
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(status, 400);
        assert_eq!(body["error"]["message"], told);
        assert_eq!(body["error"]["code"], "context_length_exceeded");
        assert_eq!(body["error"]["type"], "invalid_request_error");
    }
}

#[test]
fn t169_llama_cpp_gives_its_figures_as_members() {
    let body = br#"{"error":{"code":400,"message":"the request exceeds the available context size","type":"exceed_context_size_error","n_prompt_tokens":8320,"n_ctx":4096}}"#;
    let view = parse(400, body);
    assert_eq!((view.kind, view.overflow().sizes()), (FaultKind::ContextLength, Some((8320, 4096))));
}
