use serde_json::{Value, json};

use super::*;

fn fold(chunks: &[Value]) -> Result<Value, ErrorView> {
    let mut aggregator = Aggregator::default();
    for chunk in chunks {
        let text = chunk.to_string();
        aggregator.event(&sse::Event { name: None, data: text.as_bytes().into() })?;
    }
    Ok(serde_json::from_slice(&aggregator.finish()?).unwrap())
}

#[test]
fn texts_join_and_unknown_fields_survive() {
    let folded = fold(&[
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "a", "thought": true}]}, "index": 0, "novel": 1}],
               "usageMetadata": {"promptTokenCount": 5, "cachedContentTokenCount": 3}, "responseId": "r", "fresh": {"x": 1}}),
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "b", "thought": true}, {"text": "c"}]}}]}),
        json!({"candidates": [{"content": {"role": "model", "parts": [{"text": "d"}, {"text": "", "thoughtSignature": "s"},
               {"functionCall": {"name": "f", "args": {}}}]}, "finishReason": "STOP", "index": 0}],
               "usageMetadata": {"promptTokenCount": 5, "candidatesTokenCount": 2}}),
    ])
    .unwrap();
    assert_eq!(
        folded,
        json!({
            "candidates": [{
                "content": {"role": "model", "parts": [{"text": "ab", "thought": true}, {"text": "cd"},
                    {"text": "", "thoughtSignature": "s"}, {"functionCall": {"name": "f", "args": {}}}]},
                "index": 0, "novel": 1, "finishReason": "STOP",
            }],
            "usageMetadata": {"promptTokenCount": 5, "cachedContentTokenCount": 3, "candidatesTokenCount": 2},
            "responseId": "r", "fresh": {"x": 1},
        })
    );
}

#[test]
fn probabilities_of_tokens_join_as_their_text_does() {
    let piece = |text: &str, number: u64, more: Value| {
        let mut candidate = json!({"index": 0, "content": {"role": "model", "parts": [{"text": text}]},
            "logprobsResult": {"chosenCandidates": [{"token": text, "tokenId": number}], "logProbabilitySum": -0.5,
                "topCandidates": [{"candidates": [{"token": text}]}]}});
        candidate.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({"candidates": [candidate]})
    };
    let end = json!({"finishReason": "STOP", "avgLogprobs": -0.25});
    let folded = fold(&[piece("a", 1, json!({})), piece("b", 2, end)]).unwrap();
    let candidate = &folded["candidates"][0];
    assert_eq!(
        candidate["logprobsResult"],
        json!({
            "chosenCandidates": [{"token": "a", "tokenId": 1}, {"token": "b", "tokenId": 2}],
            "logProbabilitySum": -0.5,
            "topCandidates": [{"candidates": [{"token": "a"}]}, {"candidates": [{"token": "b"}]}],
        })
    );
    assert_eq!(
        (&candidate["avgLogprobs"], &candidate["content"]["parts"][0]["text"]),
        (&json!(-0.25), &json!("ab"))
    );
}

#[test]
fn a_fold_without_its_end_or_with_an_error_is_no_answer() {
    let open = json!({"candidates": [{"content": {"parts": [{"text": "a"}]}}]});
    assert_eq!(fold(std::slice::from_ref(&open)).unwrap_err().kind, FaultKind::BadUpstream);
    assert!(fold(&[]).is_err());
    let error = json!({"error": {"code": 429, "message": "slow", "status": "RESOURCE_EXHAUSTED"}});
    assert_eq!(fold(&[open, error]).unwrap_err().kind, FaultKind::RateLimit);
    let blocked = json!({"promptFeedback": {"blockReason": "SAFETY"}});
    assert_eq!(fold(std::slice::from_ref(&blocked)).unwrap(), blocked);
}
