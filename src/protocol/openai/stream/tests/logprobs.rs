//! Probabilities of tokens.

use super::*;
use crate::protocol::canonical::TokenLogprob;

fn token(text: &'static str, logprob: &'static str) -> TokenLogprob<'static> {
    TokenLogprob {
        token: text.into(),
        logprob: crate::protocol::json::Number::from_json(logprob),
        ..TokenLogprob::default()
    }
}

fn chunk(delta: &str, tokens: &str) -> String {
    format!(
        "data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{delta},\"logprobs\":{{\"content\":[{tokens}],\"refusal\":null}},\"finish_reason\":null}}]}}\n\n"
    )
}

fn one(text: &str) -> String {
    format!(r#"{{"token":"{text}","logprob":-0.10,"bytes":[1],"top_logprobs":[]}}"#)
}

/// Texts and tokens of a stream, in order.
fn told_text(stream: &str) -> Vec<String> {
    let mut seen = Vec::new();
    run(stream.as_bytes(), 0, |event| match event {
        Event::Delta { part, delta: Delta::Text(text), .. } => seen.push(format!("{part} {}", text.decode())),
        Event::Delta { part, delta: Delta::Logprobs(tokens), .. } => {
            let tokens: Vec<_> = tokens.iter().map(|token| token.token.decode()).collect();
            seen.push(format!("{part} tokens {}", tokens.join("|")));
        }
        Event::Error(error) => seen.push(error.message),
        _ => {}
    });
    seen
}

const END: &str = "data: {\"id\":\"c\",\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";

#[test]
fn tokens_come_just_before_the_text_that_they_make() {
    let stream = [
        chunk(r#"{"role":"assistant","content":"","refusal":null}"#, ""),
        chunk(r#"{"reasoning_content":"Hm."}"#, &one("Hm.")),
        chunk(r#"{"content":"Hi"}"#, &one("Hi")),
        // The first of two tokens of one character says nothing yet.
        chunk(r#"{"content":""}"#, &one("\\\\xf0\\\\x9f")),
        chunk(r#"{"content":"🦀"}"#, &one("\\\\xa6\\\\x80")),
        chunk(r#"{"content":""}"#, &one("<end>")),
        chunk(
            r#"{"tool_calls":[{"index":0,"id":"a","type":"function","function":{"name":"f","arguments":"{}"}}]}"#,
            &one("{}"),
        ),
        END.to_owned(),
    ]
    .concat();
    assert_eq!(
        told_text(&stream),
        ["0 Hm.", "1 tokens Hi", "1 Hi", r"1 tokens \xf0\x9f|\xa6\x80", "1 🦀", "1 tokens <end>"]
    );
}

#[test]
fn tokens_of_a_refusal_stay_apart_from_those_of_the_text() {
    let refusal = |delta: &str, tokens: &str| {
        chunk(delta, "").replace(r#""refusal":null},"finish"#, &format!(r#""refusal":[{tokens}]}},"finish"#))
    };
    let stream = [
        chunk(r#"{"content":"Well"}"#, &one("Well")),
        refusal(r#"{"refusal":"No"}"#, &one("No")),
        refusal(r#"{"refusal":""}"#, &one("<end>")),
        END.to_owned(),
    ]
    .concat();
    assert_eq!(told_text(&stream), ["0 tokens Well", "0 Well", "1 tokens No", "1 No", "1 tokens <end>"]);
    let mut encoder = Encoder::new(&exchange(|_| {}));
    let mut out = Vec::new();
    run(stream.as_bytes(), 0, |event| encoder.event(&event, &mut out));
    let written = String::from_utf8(out).unwrap();
    // What was written says the same again, and in the same lists.
    assert_eq!(told_text(&written), told_text(&stream));
    assert_eq!(written.matches(r#""content":null,"refusal":[{"token"#).count(), 2, "{written}");
}

#[test]
fn tokens_without_text_begin_no_part() {
    let stream = [chunk(r#"{"role":"assistant","content":""}"#, &one("<end>")), END.to_owned()].concat();
    assert_eq!(told_text(&stream), [""; 0]);
}

#[test]
fn a_client_gets_tokens_beside_their_text_and_the_same_ones_whole() {
    let delta = |delta| Event::Delta { choice: 0, part: 0, delta };
    let mut script = vec![
        start(),
        Event::PartStart { choice: 0, part: 0, header: PartHeader::Text },
        delta(Delta::Text("un".into())),
        delta(Delta::Logprobs(vec![token("H", "-0.10")])),
        delta(Delta::Logprobs(vec![token("i", "-3.5760596e-07")])),
        delta(Delta::Text("Hi".into())),
        delta(Delta::Logprobs(vec![token("<end>", "-9999.0")])),
        Event::PartEnd { choice: 0, part: 0, complete: true },
    ];
    script.push(finish(0, FinishReason::Stop));
    script.push(Event::End);
    let written = write(&exchange(|_| {}), &script);
    assert!(written.contains(r#""logprob":-3.5760596e-07"#), "{written}");
    let mut deltas = Vec::new();
    for line in written.lines().filter_map(|line| line.strip_prefix("data: {")) {
        let chunk: Value = serde_json::from_str(&format!("{{{line}")).unwrap();
        let choice = &chunk["choices"][0];
        let tokens: Vec<_> = choice["logprobs"]["content"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|token| token["token"].as_str().unwrap().to_owned())
            .collect();
        deltas.push((choice["delta"]["content"].as_str().unwrap_or("-").to_owned(), tokens.join("|")));
    }
    let want = [("", ""), ("un", ""), ("Hi", "H|i"), ("", "<end>"), ("-", "")];
    assert_eq!(deltas, want.map(|(text, tokens)| (text.to_owned(), tokens.to_owned())));

    let mut collector = Collector::default();
    script.into_iter().for_each(|event| collector.event(event));
    let mut out = Vec::new();
    response::encode(&collector.finish().unwrap(), &exchange(|_| {}), &mut out).unwrap();
    let whole: Value = serde_json::from_slice(&out).unwrap();
    let member = |text: &str, logprob: f64| json!({"token": text, "logprob": logprob, "bytes": text.as_bytes(), "top_logprobs": []});
    assert_eq!(
        whole["choices"][0]["logprobs"],
        json!({"content": [member("H", -0.1), member("i", -3.5760596e-7), member("<end>", -9999.0)], "refusal": null})
    );
}
