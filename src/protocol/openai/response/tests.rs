use serde_json::{Value, json};

use super::encode;
use crate::protocol::canonical::{
    Choice, ErrorView, Exchange, FaultKind, Finish, FinishReason, Part, PartKind, Provider, Request, Response,
};
use crate::protocol::{Dialect, Protocol, openai::request};

fn decode(text: &str, seed: u64) -> Result<Response<'_>, ErrorView> {
    super::decode(text, &Dialect::default(), seed)
}

fn exchange() -> Exchange {
    Exchange { created: 77, ..Exchange::new(&Request::default(), Protocol::OpenAi, Protocol::Anthropic) }
}

fn write(response: &Response<'_>) -> Value {
    let mut out = Vec::new();
    encode(response, &exchange(), &mut out).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn an_answer_survives_its_own_protocol() {
    let text = r#"{"id":"c1","object":"chat.completion","created":5,"model":"m","choices":[
        {"index":0,"message":{"role":"assistant","content":null,"refusal":null,"tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{\"x\":1.10}"}},{"id":"b","type":"custom","custom":{"name":"sh","input":"ls"}}]},"logprobs":null,"finish_reason":"tool_calls"},
        {"index":1,"message":{"role":"assistant","content":"tëxt","refusal":null,"annotations":[{"type":"url_citation","url_citation":{"start_index":1,"end_index":3,"url":"https://x.test","title":"t"}}],"reasoning_content":"hm","images":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]},"logprobs":null,"finish_reason":"length"},
        {"index":2,"message":{"role":"assistant","content":null,"refusal":"No."},"logprobs":{"content":null,"refusal":[{"token":"No.","logprob":-0.10,"bytes":[78,111,46],"top_logprobs":[]}]},"finish_reason":"stop"}],
        "usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}}"#;
    let value: Value = serde_json::from_str(text).unwrap();
    assert_eq!(write(&decode(text, 1).unwrap()), value);
}

#[test]
fn t017_an_error_in_disguise_is_an_error() {
    for (text, kind) in [
        (r#"{"error":{"message":"m","code":"rate_limit_exceeded"}}"#, FaultKind::RateLimit),
        (r#"{"id":"x","choices":[]}"#, FaultKind::BadUpstream),
        (r#"{"choices":[{"message":{"content":"x"},"finish_reason":"error"}]}"#, FaultKind::BadUpstream),
        ("<html>", FaultKind::BadUpstream),
        ("{\"choices\":[{\"message\":{\"content\":\"half", FaultKind::BadUpstream),
    ] {
        assert_eq!(decode(text, 1).unwrap_err().kind, kind, "{text}");
    }
}

#[test]
fn answers_of_compatible_servers_are_read() {
    let text = r#"{"choices":[{"message":{"content":[{"type":"thinking","thinking":[{"type":"text","text":"a"}]},{"type":"text","text":"b"}],"tool_calls":[{"function":{"name":"f","arguments":{"x":1.10}}}]},"finish_reason":"stop","matched_stop":"END"}]}"#;
    let answer = decode(text, 1).unwrap();
    let parts = &answer.choices[0].parts;
    assert!(matches!(&parts[0].kind, PartKind::Reasoning { text, .. } if *text == "a"));
    assert_eq!(parts[0].opaque.as_ref().unwrap().provider, Provider::None);
    assert!(matches!(&parts[1].kind, PartKind::Text { text } if *text == "b"));
    let PartKind::ToolCall { id, arguments, .. } = &parts[2].kind else { panic!("no call") };
    assert!(id.as_escaped().starts_with("call_"));
    assert_eq!(arguments, r#"{"x":1.10}"#);
    assert_eq!(answer.choices[0].finish.reason, FinishReason::ToolCalls);
    let stopped =
        decode(r#"{"choices":[{"message":{"content":"b"},"finish_reason":"stop","stop_reason":"END"}]}"#, 1);
    assert_eq!(stopped.unwrap().choices[0].finish.stop_sequence.clone().unwrap(), "END");
}

#[test]
fn t093_a_bare_answer_has_every_key_that_clients_read() {
    let response = Response { choices: vec![Choice::default()], ..Response::default() };
    let mut value = write(&response);
    assert!(value["id"].take().as_str().unwrap().starts_with("chatcmpl-"));
    assert_eq!(
        value,
        json!({"id":null,"object":"chat.completion","created":77,"model":"","choices":[{"index":0,
            "message":{"role":"assistant","content":null,"refusal":null},"logprobs":null,"finish_reason":"stop"}]})
    );
}

#[test]
fn t162_a_malformed_call_is_no_success() {
    let choice = Choice { finish: Finish::new(FinishReason::Malformed), ..Choice::default() };
    let response = Response { choices: vec![choice], ..Response::default() };
    assert_eq!(encode(&response, &exchange(), &mut Vec::new()).unwrap_err().kind, FaultKind::BadUpstream);
}

#[test]
fn names_go_back_to_what_the_client_called_them() {
    let text = r#"{"model":"m","messages":[],"tools":[{"type":"function","function":{"name":"a.b"}}]}"#;
    let request = request::decode(text).unwrap();
    let exchange = Exchange::new(&request, Protocol::OpenAi, Protocol::Responses);
    let call =
        PartKind::ToolCall { id: "a".into(), name: "a_b".into(), arguments: "{}".into(), custom: false };
    let choice = Choice { parts: vec![Part::new(call)], ..Choice::default() };
    let mut out = Vec::new();
    encode(&Response { choices: vec![choice], ..Response::default() }, &exchange, &mut out).unwrap();
    let value: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(value["choices"][0]["message"]["tool_calls"][0]["function"]["name"], "a.b");
}
