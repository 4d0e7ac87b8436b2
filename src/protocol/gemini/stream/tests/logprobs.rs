//! Probabilities of tokens.

use super::*;

fn result(tokens: &[&str]) -> Value {
    let chosen: Vec<_> =
        tokens.iter().map(|token| json!({"token": token, "tokenId": 5, "logProbability": -0.5})).collect();
    json!({"logprobsResult": {"chosenCandidates": chosen}})
}

/// Texts and tokens of a stream, in order.
fn told(chunks: &[Value]) -> Vec<String> {
    let stream = stream(chunks);
    let mut seen = Vec::new();
    let mut sink = |event: Event<'_>| match event {
        Event::Delta { choice, part, delta: Delta::Text(text) } => {
            seen.push(format!("{choice}.{part} {}", text.decode()));
        }
        Event::Delta { choice, part, delta: Delta::Logprobs(tokens) } => {
            let tokens: Vec<_> = tokens.iter().map(|token| token.token.decode()).collect();
            seen.push(format!("{choice}.{part} tokens {}", tokens.join("|")));
        }
        Event::Error(error) => seen.push(error.message),
        _ => {}
    };
    let mut decoder = Decoder::new(7);
    sse::Decoder::default().push(stream.as_bytes(), |event| decoder.event(&event, &mut sink)).unwrap();
    decoder.finish(&mut sink);
    seen
}

#[test]
fn tokens_come_just_before_their_text_wherever_their_list_stands() {
    let mut second = chunk(json!([{"text": "other"}]), result(&["other"]));
    second["candidates"][0]["index"] = json!(1);
    let chunks = [
        chunk(json!([{"text": "Hm", "thought": true}]), result(&["Hm"])),
        chunk(json!([{"text": "so", "thought": true}, {"text": "Hi"}]), result(&["Hi"])),
        second,
        chunk(json!([{"text": " you"}]), json!({})),
        chunk(json!([{"text": ""}]), result(&["<end>"])),
        chunk(json!([{"functionCall": {"name": "f", "args": {}}}]), result(&["f"])),
        chunk(json!([{"text": ""}]), json!({"finishReason": "STOP"})),
    ];
    let mut chunks = chunks.to_vec();
    chunks[2]["candidates"][0]["finishReason"] = json!("STOP");
    assert_eq!(
        told(&chunks),
        [
            "0.0 Hm",
            "0.0 so",
            "0.1 tokens Hi",
            "0.1 Hi",
            "1.0 tokens other",
            "1.0 other",
            "0.1  you",
            "0.1 tokens <end>"
        ]
    );
}

#[test]
fn lists_of_unequal_length_and_words_for_numbers_break_nothing() {
    let odd = r#"{"candidates":[{"logprobs_result":{"chosen_candidates":[{"token":"a","log_probability":"-Infinity"},{"token":"b"},7],"top_candidates":[{"candidates":[{"token":"A","log_probability":-1.10}]},null]},"content":{"parts":[{"text":"ab"}]},"finishReason":"STOP"}]}"#;
    let response = super::super::super::response::decode(odd, 1).unwrap();
    let tokens: Vec<_> = response.choices[0].logprobs.iter().map(|(_, token)| token).collect();
    let numbers: Vec<_> = tokens.iter().map(|token| token.logprob.as_str()).collect();
    assert_eq!(numbers, ["-9999.0", "0", "0"]);
    let tops: Vec<_> = tokens.iter().map(|token| token.top.len()).collect();
    assert_eq!((tops, tokens[0].top[0].logprob.as_str()), (vec![1, 0, 0], "-1.10"));
}

#[test]
fn a_client_gets_two_lists_beside_the_text_and_the_average_at_the_end() {
    let body = json!({"candidates": [{
        "content": {"parts": [{"text": "ab"}], "role": "model"}, "index": 0, "finishReason": "STOP",
        "logprobsResult": {
            "chosenCandidates": [{"token": "a", "logProbability": -0.5}, {"token": "b", "logProbability": -1.0}],
            "topCandidates": [
                {"candidates": [{"token": "a", "logProbability": -0.5}, {"token": "A", "logProbability": -2.5}]},
                {"candidates": []}],
        },
    }]});
    let text = body.to_string();
    let response = super::super::super::response::decode(&text, 1).unwrap();
    let mut out = Vec::new();
    super::super::super::response::encode(&response, &exchange(true), &mut out).unwrap();
    let whole: Value = serde_json::from_slice(&out).unwrap();
    let candidate = &whole["candidates"][0];
    assert_eq!(candidate["logprobsResult"], body["candidates"][0]["logprobsResult"]);
    assert_eq!(candidate["avgLogprobs"], -0.75);

    let mut encoder = Encoder::new(&exchange(true));
    let mut out = Vec::new();
    response.replay(|event| encoder.event(&event, &mut out));
    let mut chunks = Vec::new();
    sse::Decoder::default()
        .push(&out, |event| chunks.push(serde_json::from_slice::<Value>(&event.data).unwrap()))
        .unwrap();
    assert_eq!(chunks.len(), 2);
    assert_eq!(chunks[0]["candidates"][0]["logprobsResult"], body["candidates"][0]["logprobsResult"]);
    assert_eq!(chunks[0]["candidates"][0]["content"]["parts"][0]["text"], "ab");
    let last = &chunks[1]["candidates"][0];
    assert_eq!((&last["avgLogprobs"], last.get("logprobsResult")), (&json!(-0.75), None));
}
