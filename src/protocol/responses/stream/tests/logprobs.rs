//! Probabilities of tokens.

use super::decode::{created, decode};
use super::*;
use crate::protocol::canonical::TokenLogprob;
use crate::protocol::json::Number;

fn member(text: &str) -> Value {
    json!({"token": text, "logprob": -0.5, "bytes": text.as_bytes(), "top_logprobs": []})
}

#[test]
fn tokens_come_before_their_text_and_none_twice() {
    let place = |mut event: Value| {
        event["output_index"] = json!(0);
        event["content_index"] = json!(0);
        event["item_id"] = json!("m");
        event
    };
    // Deltas name no bytes.
    let short = json!({"token": "a", "logprob": -0.5, "top_logprobs": []});
    let part = json!({"type": "output_text", "text": "abc", "annotations": [], "logprobs": [member("a"), member("b"), member("c")]});
    let item =
        json!({"id": "m", "type": "message", "role": "assistant", "status": "completed", "content": [part]});
    let events = [
        created(),
        place(json!({"type": "response.output_text.delta", "delta": "a", "logprobs": [short]})),
        place(json!({"type": "response.output_text.delta", "delta": "b", "logprobs": [member("b")]})),
        place(json!({"type": "response.content_part.done", "part": part})),
        json!({"type": "response.output_item.done", "output_index": 0, "item": item}),
        json!({"type": "response.completed", "response": {"id": "resp_1", "status": "completed", "output": [item]}}),
    ];
    let seen = decode(&events);
    let of_text: Vec<_> =
        seen.iter().filter(|line| line.contains("tokens") || line.starts_with("0: ")).collect();
    assert_eq!(of_text, ["0 tokens a -0.5", "0: a", "0 tokens b -0.5", "0: b", "0 tokens c -0.5", "0: c"]);
}

#[test]
fn a_client_gets_tokens_with_their_text_and_all_of_them_when_it_is_done() {
    let tokens = |text: &'static str| {
        let logprob = Number::from_json("-0.5");
        Delta::Logprobs(vec![TokenLogprob { token: text.into(), logprob, ..TokenLogprob::default() }])
    };
    let delta = |delta| Event::Delta { choice: 0, part: 0, delta };
    let mut script = vec![
        start(),
        Event::PartStart { choice: 0, part: 0, header: PartHeader::Text },
        delta(tokens("a")),
        delta(Delta::Text("a".into())),
        delta(Delta::Text("b".into())),
        delta(tokens("c")),
        delta(tokens("d")),
        delta(Delta::Text("cd".into())),
        delta(tokens("<end>")),
        Event::PartEnd { choice: 0, part: 0, complete: true },
    ];
    script.extend(finish(FinishReason::Stop));
    let events = encode(&exchange(Protocol::Gemini), &script);
    let of = |kind: &str| events.iter().filter(|event| event["type"] == kind).collect::<Vec<_>>();
    let deltas: Vec<_> =
        of("response.output_text.delta").iter().map(|event| event["logprobs"].clone()).collect();
    assert_eq!(deltas, [json!([member("a")]), json!([]), json!([member("c"), member("d")])]);
    let all = json!([member("a"), member("c"), member("d"), member("<end>")]);
    assert_eq!(of("response.content_part.added")[0]["part"]["logprobs"], json!([]));
    assert_eq!(of("response.output_text.done")[0]["logprobs"], all);
    assert_eq!(of("response.content_part.done")[0]["part"]["logprobs"], all);
    assert_eq!(of("response.completed")[0]["response"]["output"][0]["content"][0]["logprobs"], all);
}
