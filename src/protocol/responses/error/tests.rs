//! Errors in and out.

use serde_json::{Value, json};

use super::*;

fn kind_of(status: u16, body: &str) -> FaultKind {
    parse(status, body.as_bytes()).kind
}

#[test]
fn the_body_counts_before_the_status() {
    for (status, body, kind) in [
        (
            400,
            r#"{"error":{"code":"model_not_found","message":"x","type":"invalid_request_error"}}"#,
            FaultKind::NotFound,
        ),
        (
            429,
            r#"{"error":{"code":"insufficient_quota","message":"x","type":"insufficient_quota"}}"#,
            FaultKind::Billing,
        ),
        (429, r#"{"error":{"message":"x","type":"requests","code":null}}"#, FaultKind::RateLimit),
        (
            400,
            r#"{"error":{"message":"x","type":"invalid_request_error","code":"invalid_api_key"}}"#,
            FaultKind::Authentication,
        ),
        (500, r#"{"error":{"message":"x","type":"server_error"}}"#, FaultKind::Internal),
        (503, r#"{"error":{"message":"x","type":"server_error"}}"#, FaultKind::Overloaded),
        (200, r#"{"error":{"message":"x","type":"server_error"}}"#, FaultKind::Internal),
        (200, r#"{"error":{"message":"x"}}"#, FaultKind::BadUpstream),
        (422, r#"{"detail":"x"}"#, FaultKind::Unprocessable),
        (418, r#"{"message":"x"}"#, FaultKind::InvalidRequest),
        (400, r#"[{"error":{"message":"x","code":400}}]"#, FaultKind::InvalidRequest),
        (401, r#"{"error":"x"}"#, FaultKind::Authentication),
        (403, r#""x""#, FaultKind::Permission),
        (
            200,
            r#"{"status":"failed","error":{"code":"server_is_overloaded","message":"x"}}"#,
            FaultKind::Overloaded,
        ),
    ] {
        let view = parse(status, body.as_bytes());
        assert_eq!((view.kind, view.message.as_str()), (kind, "x"), "{status} {body}");
    }
}

#[test]
fn t169_a_full_context_is_recognised_in_any_wording() {
    for message in [
        "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens.",
        "Your input exceeds the context window of this model.",
        "prompt is too long: 9000 tokens > 8192 maximum",
    ] {
        let body = json!({"error": {"message": message, "type": "invalid_request_error"}}).to_string();
        let view = parse(400, body.as_bytes());
        assert_eq!(view.kind, FaultKind::ContextLength, "{message}");
        assert_eq!(view.message, message, "the numbers stay readable");
    }
    assert_eq!(
        kind_of(400, r#"{"error":{"code":"context_length_exceeded","message":"x"}}"#),
        FaultKind::ContextLength
    );
}

#[test]
fn t170_a_body_that_says_nothing_does_not_hide_the_status() {
    for (body, words) in [
        (&b"<html><body>Bad gateway</body></html>"[..], "upstream returned 502 with an HTML page"),
        (b"", "upstream returned 502 with an empty body"),
        (b"\xff\xfe", "upstream returned 502 with an unreadable body"),
        (b"{}", "upstream returned 502 with an unreadable body"),
        (b"[]", "upstream returned 502 with an unreadable body"),
        (b"{\"error\":null}", "upstream returned 502 with an unreadable body"),
    ] {
        let view = parse(502, body);
        assert_eq!((view.kind, view.message.as_str()), (FaultKind::BadUpstream, words));
    }
}

#[test]
fn all_four_keys_are_always_there() {
    let mut view = ErrorView::new(FaultKind::RateLimit, "slow \"down\"");
    let (status, body) = render(&view);
    assert_eq!(status, 429);
    assert_eq!(
        String::from_utf8(body).unwrap(),
        r#"{"error":{"message":"slow \"down\"","type":"rate_limit_error","param":null,"code":"rate_limit_exceeded"}}"#
    );
    view.code = Some("tokens".into());
    view.param = Some("input".into());
    let error = |view: &ErrorView| serde_json::from_slice::<Value>(&render(view).1).unwrap()["error"].clone();
    assert_eq!(error(&view)["code"], "tokens");
    assert_eq!(error(&view)["param"], "input");
    view.code = Some("RESOURCE_EXHAUSTED".into());
    assert_eq!(error(&view)["code"], "rate_limit_exceeded", "other vendors' codes mean nothing here");
    assert_eq!(render(&ErrorView::new(FaultKind::Billing, "x")).0, 429);
    assert_eq!(render(&ErrorView::new(FaultKind::Overloaded, "x")).0, 503);
}

#[test]
fn t055_t056_a_relayed_stream_fails_in_its_own_name_and_number() {
    let mut state = Observation { events: 7, ..Observation::default() };
    let error = ErrorView::new(FaultKind::BadUpstream, "cut off");
    let last = |state: &Observation| {
        let mut out = Vec::new();
        write_event(&error, state, ClientDialect::default(), &mut out);
        let text = String::from_utf8(out).unwrap();
        let data = text.strip_prefix("event: response.failed\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
        serde_json::from_str::<Value>(data).unwrap()
    };
    let bare = last(&state);
    assert_eq!(bare["response"]["status"], "failed");
    state.opening =
        Some(r#"{"id":"resp_1","status":"in_progress","error":null,"usage":null,"new":1.10}"#.into());
    state.usage.input = Some(3);
    let event = last(&state);
    assert_eq!(event["sequence_number"], 7);
    assert_eq!(event["response"]["id"], "resp_1");
    assert_eq!(event["response"]["error"], json!({"code": "server_error", "message": "cut off"}));
    assert_eq!(event["response"]["usage"]["input_tokens"], 3);
}

#[test]
fn t169_a_full_context_is_told_in_the_words_that_clients_look_for() {
    for (words, told) in [
        (
            "prompt is too long: 204000 tokens > 200000 maximum",
            "This model's maximum context length is 200000 tokens. However, your messages resulted in 204000 tokens. Please reduce the length of the messages.",
        ),
        ("too much", "Your input exceeds the context window of this model: too much"),
        (
            "Your input exceeds the context window of this model.",
            "Your input exceeds the context window of this model.",
        ),
    ] {
        let error = ErrorView::new(FaultKind::ContextLength, words);
        let (status, body) = render(&error);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!((status, &body["error"]["message"]), (400, &json!(told)));
        assert_eq!(body["error"]["code"], "context_length_exceeded");
        // And where the answer had begun.
        let mut failure = Vec::new();
        write_failure(&error, &mut Writer::new(&mut failure));
        let failure: Value = serde_json::from_slice(&failure).unwrap();
        assert_eq!(failure, json!({"code": "context_length_exceeded", "message": told}));
    }
}
