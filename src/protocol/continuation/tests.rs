use super::*;
use crate::protocol::Operation;

fn request(client: Protocol, body: &str, said: &str) -> Option<String> {
    prefilled(client, body.as_bytes(), said).map(|body| String::from_utf8(body).unwrap())
}

#[test]
fn what_was_said_becomes_the_last_turn_and_every_other_byte_stays() {
    for (client, body, want) in [
        (
            Protocol::OpenAi,
            r#"{"n":1.0, "messages":[{"role":"user","content":"é"} ],"stream":true}"#,
            r#"{"n":1.0, "messages":[{"role":"user","content":"é"} ,{"role":"assistant","content":"a\"b"}],"stream":true}"#,
        ),
        (
            Protocol::Anthropic,
            r#"{"thinking":{"type":"enabled","budget_tokens":9},"messages":[{}]}"#,
            r#"{"thinking":{"type":"disabled"},"messages":[{},{"role":"assistant","content":"a\"b"}]}"#,
        ),
        (
            Protocol::Gemini,
            r#"{"contents":[{}]}"#,
            r#"{"contents":[{},{"role":"model","parts":[{"text":"a\"b"}]}]}"#,
        ),
        (
            Protocol::Responses,
            r#"{"input":"Hi"}"#,
            r#"{"input":[{"role":"user","content":"Hi"},{"type":"message","role":"assistant","content":[{"type":"output_text","text":"a\"b"}]}]}"#,
        ),
    ] {
        assert_eq!(request(client, body, "a\"b").as_deref(), Some(want), "{client}");
    }
    for nowhere in ["{}", r#"{"messages":3}"#, r#"{"messages":[],"messages":[]}"#] {
        assert_eq!(request(Protocol::OpenAi, nowhere, "a"), None, "{nowhere}");
    }
}

/// What is asked for after these chunks of a Chat stream.
fn after(chunks: &[&str]) -> Option<String> {
    let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    let mut continuation = Continuation::new(&endpoint, body, 1).unwrap();
    for chunk in chunks {
        let event = format!("data: {{\"id\":\"c\",\"choices\":[{chunk}]}}\n\n");
        continuation.push(event.as_bytes(), &mut Vec::new());
    }
    continuation.request(body.as_bytes()).map(|body| String::from_utf8(body).unwrap())
}

#[test]
fn only_one_text_that_has_begun_and_not_ended_can_be_gone_on_with() {
    let text = r#"{"index":0,"delta":{"content":"so far"}}"#;
    assert!(after(&[text, text]).unwrap().contains("so farso far"));
    for other in [
        r#"{"index":0,"delta":{"tool_calls":[{"index":0,"id":"c","function":{"name":"f","arguments":"{"}}]}}"#,
        r#"{"index":1,"delta":{"content":"other"}}"#,
        r#"{"index":0,"delta":{"refusal":"no"}}"#,
    ] {
        assert_eq!(after(&[text, other]), None, "{other}");
    }
    assert_eq!(after(&[r#"{"index":0,"delta":{"role":"assistant","content":" "}}"#]), None);
}

#[test]
fn a_space_that_was_said_already_is_not_said_again() {
    let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
    let body = r#"{"model":"m","messages":[{"role":"user","content":"Hi"}]}"#;
    let mut continuation = Continuation::new(&endpoint, body, 1).unwrap();
    let mut out = Vec::new();
    let piece = |text: &str| {
        format!("data: {{\"choices\":[{{\"index\":0,\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    continuation.push(piece("one ").as_bytes(), &mut out);
    continuation.resume(None);
    for text in [" ", " two", " three"] {
        continuation.push(piece(text).as_bytes(), &mut out);
    }
    let out = String::from_utf8(out).unwrap();
    let said: String =
        out.split("\"content\":\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    assert_eq!(said, "one two three");
}
