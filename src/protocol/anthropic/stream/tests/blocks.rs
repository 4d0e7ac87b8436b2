//! Blocks as clients' accumulators need them.

use super::*;

/// The blocks of a stream, checked as clients' accumulators need them: dense indexes, one block at a
/// time, deltas of the block's own kind, signatures once and last. Kind, text and signature of each.
fn blocks(stream: &str) -> Vec<(String, String, String)> {
    let mut blocks: Vec<(String, String, String)> = Vec::new();
    let mut is_open = false;
    feed(&[stream.as_bytes()], |event| {
        let event: Value = serde_json::from_slice(&event.data).unwrap();
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert!(!is_open && event["index"] == blocks.len(), "{stream}");
                is_open = true;
                let kind = event["content_block"]["type"].as_str().unwrap().to_owned();
                blocks.push((kind, String::new(), String::new()));
            }
            "content_block_delta" => {
                assert!(is_open && event["index"] == blocks.len() - 1, "{stream}");
                let (kind, text, signature) = blocks.last_mut().unwrap();
                let delta = &event["delta"];
                let (into, key, of) = match delta["type"].as_str().unwrap() {
                    "text_delta" => (text, "text", "text"),
                    "thinking_delta" => (text, "thinking", "thinking"),
                    "input_json_delta" => (text, "partial_json", "tool_use"),
                    "signature_delta" => {
                        assert!(signature.is_empty(), "T033: {stream}");
                        (signature, "signature", "thinking")
                    }
                    other => panic!("{other}: {stream}"),
                };
                assert_eq!(kind, of, "a delta of another kind: {stream}");
                into.push_str(delta[key].as_str().unwrap());
            }
            "content_block_stop" => {
                assert!(std::mem::take(&mut is_open) && event["index"] == blocks.len() - 1, "{stream}");
            }
            _ => {}
        }
    });
    assert!(!is_open, "{stream}");
    blocks
}

/// What an Anthropic client sees of another server's stream.
fn through(upstream: Protocol, stream: &str) -> Vec<(String, String, String)> {
    let mut decoder = crate::protocol::StreamDecoder::new(upstream, 1);
    let mut encoder = Encoder::new(&exchange(upstream));
    let mut out = Vec::new();
    feed(&[stream.as_bytes()], |event| decoder.event(event, &mut |e| encoder.event(&e, &mut out)));
    decoder.finish(&mut |e| encoder.event(&e, &mut out));
    let out = std::str::from_utf8(&out).unwrap();
    assert!(out.ends_with("event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n"), "{out}");
    blocks(out)
}

fn from_chat(deltas: &[&str]) -> Vec<(String, String, String)> {
    let chunk = |delta| format!("data: {{\"id\":\"c\",\"choices\":[{{\"index\":0,\"delta\":{delta}}}]}}\n\n");
    let chunks: String = deltas.iter().map(chunk).collect();
    let end = "data: {\"choices\":[{\"index\":0,\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    through(Protocol::OpenAi, &(chunks + end))
}

fn kinds_and_texts(blocks: &[(String, String, String)]) -> Vec<(&str, &str)> {
    blocks.iter().map(|(kind, text, _)| (kind.as_str(), text.as_str())).collect()
}

#[test]
fn t028_the_first_words_after_thinking_are_not_lost() {
    for deltas in [
        &[r#"{"reasoning_content":"Hm"}"#, r#"{"content":"Hel"}"#, r#"{"content":"lo"}"#][..],
        &[
            r#"{"reasoning_content":"H"}"#,
            r#"{"reasoning_content":"m","content":"Hel"}"#,
            r#"{"content":"lo"}"#,
        ],
        &[r#"{"reasoning_content":"Hm","content":"Hello"}"#],
    ] {
        assert_eq!(
            kinds_and_texts(&from_chat(deltas)),
            [("thinking", "Hm"), ("text", "Hello")],
            "{deltas:?}"
        );
    }
}

#[test]
fn t030_text_after_a_call_is_a_block_of_its_own() {
    let call = r#"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]}"#;
    let both = r#"{"content":"More","tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}]}"#;
    let called = ("tool_use", r#"{"x":1}"#);
    assert_eq!(kinds_and_texts(&from_chat(&[call, r#"{"content":"More"}"#])), [called, ("text", "More")]);
    assert_eq!(
        kinds_and_texts(&from_chat(&[r#"{"content":"Hi"}"#, call, r#"{"content":"More"}"#])),
        [("text", "Hi"), called, ("text", "More")]
    );
    assert_eq!(kinds_and_texts(&from_chat(&[both])), [("text", "More"), called]);
    let thought = r#"{"reasoning_content":"Hm"}"#;
    assert_eq!(
        kinds_and_texts(&from_chat(&[call, thought, r#"{"content":"More"}"#])),
        [called, ("thinking", "Hm"), ("text", "More")]
    );
}

#[test]
fn t034_a_thinking_block_is_signed_before_it_is_closed() {
    let (first, second) = (Provider::Anthropic, Provider::Gemini);
    for (upstream, provider) in [(Protocol::Anthropic, first), (Protocol::Gemini, second)] {
        let events = [
            opening(),
            start(0, PartHeader::Reasoning),
            delta(0, Delta::Text("why".into())),
            meta(0, provider, "c2ln"),
            end(0),
            start(1, PartHeader::Text),
            delta(1, Delta::Text("so".into())),
            end(1),
            finish(FinishReason::Stop),
            Event::End,
        ];
        let blocks = blocks(&encode(&exchange(upstream), &events));
        assert_eq!(kinds_and_texts(&blocks), [("thinking", "why"), ("text", "so")]);
        assert!(!blocks[0].2.is_empty(), "{upstream}: replayed without it, the block is refused");
    }
}

/// Responses tells the state of reasoning when its item is done, perhaps after the answer has begun.
#[test]
fn t034_a_signature_that_comes_late_still_finds_its_block_open() {
    let stream = concat!(
        r#"data: {"type":"response.created","response":{"id":"resp_1","model":"m"}}"#,
        "\n\n",
        r#"data: {"type":"response.output_item.added","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[]}}"#,
        "\n\n",
        r#"data: {"type":"response.reasoning_summary_text.delta","output_index":0,"summary_index":0,"item_id":"rs_1","delta":"why"}"#,
        "\n\n",
        r#"data: {"type":"response.reasoning_summary_text.done","output_index":0,"summary_index":0,"item_id":"rs_1","text":"why"}"#,
        "\n\n",
        r#"data: {"type":"response.output_item.added","output_index":1,"item":{"type":"message","id":"msg_1","content":[]}}"#,
        "\n\n",
        r#"data: {"type":"response.output_text.delta","output_index":1,"content_index":0,"item_id":"msg_1","delta":"so"}"#,
        "\n\n",
        r#"data: {"type":"response.output_item.done","output_index":0,"item":{"type":"reasoning","id":"rs_1","summary":[{"type":"summary_text","text":"why"}],"encrypted_content":"gAAAA"}}"#,
        "\n\n",
        r#"data: {"type":"response.completed","response":{"id":"resp_1","status":"completed"}}"#,
        "\n\n",
    );
    let blocks = through(Protocol::Responses, stream);
    assert_eq!(kinds_and_texts(&blocks), [("thinking", "why"), ("text", "so")]);
    let opened = envelope::open(&blocks[0].2.as_str().into()).unwrap();
    assert!(opened.matches(&"why".into()) && opened.opaque.value == "gAAAA");
}
