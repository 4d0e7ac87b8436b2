//! Reasoning that comes back to its maker, and to nobody else.

use super::*;

#[test]
fn t104_t105_t106_only_our_own_state_goes_back_with_its_id() {
    let mut request = asking("q");
    let parts = vec![
        reasoning("foreign", Some(state(Provider::Anthropic))),
        reasoning("bare", None),
        reasoning("mine", Some(state(Provider::OpenAi))),
        call("c"),
    ];
    request.turns.push(Turn { role: Role::Assistant, parts });
    let (written, losses) = write(&request);
    assert_eq!(
        written["input"][1],
        json!({"type": "reasoning", "id": "rs_7", "summary": [{"type": "summary_text", "text": "mine"}],
               "encrypted_content": "gAAAAB+/="})
    );
    assert_eq!(written["input"].as_array().unwrap().len(), 3);
    assert_eq!(losses, "drop:reasoning");
}

#[test]
fn t107_reasoning_that_nothing_follows_is_left_out() {
    let mut request = asking("q");
    let media = image(MediaSource::Url("https://x.test".into()));
    let parts = vec![reasoning("mine", Some(state(Provider::OpenAi))), media];
    request.turns.push(Turn { role: Role::Assistant, parts });
    request.turns.push(user("next"));
    request.turns.push(Turn { role: Role::Assistant, parts: vec![Part::text("later")] });
    request.turns.push(user("and"));
    let (written, losses) = write(&request);
    let types: Vec<_> = written["input"].as_array().unwrap().iter().map(|i| i["type"].as_str()).collect();
    assert_eq!(types, [Some("message"); 4]);
    assert_eq!(losses, "drop:assistant.media, drop:reasoning");
}

/// What a client sends back of an answer of ours.
pub(super) fn replayed(items: Value) -> (Vec<String>, Request<'static>) {
    let body: &'static str = Box::leak(json!({"model": "m", "input": items}).to_string().into_boxed_str());
    let request = decode(body).unwrap();
    let parts = request.turns.iter().flat_map(|turn| &turn.parts);
    let seen = parts
        .map(|part| {
            let kind = match &part.kind {
                PartKind::Text { .. } => "text",
                PartKind::Reasoning { redacted: true, .. } => "redacted",
                PartKind::Reasoning { .. } => "reasoning",
                PartKind::ToolCall { .. } => "call",
                _ => "other",
            };
            match &part.opaque {
                Some(opaque) => format!("{kind} {:?} {}", opaque.provider, opaque.value.decode()),
                None => kind.to_owned(),
            }
        })
        .collect();
    (seen, request)
}

fn sealed(provider: Provider, kind: OpaqueKind, owner: &'static str) -> String {
    let opaque = Opaque::new(provider, kind, "sig".into());
    seal(&opaque, &owner.into()).as_escaped().to_owned()
}

#[test]
fn t099_state_comes_back_out_of_its_envelope() {
    let summary = json!([{"type": "summary_text", "text": "thought"}]);
    let (seen, _) = replayed(json!([
        {"type": "reasoning", "id": "rs_1", "summary": summary,
         "encrypted_content": sealed(Provider::Anthropic, OpaqueKind::Signature, "thought")},
        {"type": "reasoning", "id": "rs_2", "summary": [],
         "encrypted_content": sealed(Provider::Anthropic, OpaqueKind::Redacted, "")},
        {"type": "reasoning", "id": "rs_3", "summary": [], "encrypted_content": "gAAAA"},
    ]));
    assert_eq!(seen, ["reasoning Anthropic sig", "redacted Anthropic sig", "reasoning OpenAi gAAAA"]);
}

#[test]
fn altered_reasoning_is_dropped_and_reported() {
    let (seen, request) = replayed(json!([
        {"role": "user", "content": "q"},
        {"type": "reasoning", "summary": [{"type": "summary_text", "text": "altered"}],
         "encrypted_content": sealed(Provider::Anthropic, OpaqueKind::Signature, "thought")},
    ]));
    assert_eq!(seen, ["text"]);
    let (_, losses) = write_for(&request, Protocol::Responses, "gpt-5.2").unwrap();
    assert_eq!(losses, "drop:reasoning.mutated");
}

#[test]
fn t100_t101_a_signature_returns_to_the_call_or_text_it_came_with() {
    let carrier = |owner| {
        json!({"type": "reasoning", "id": "rs_1", "summary": [],
               "encrypted_content": sealed(Provider::Gemini, OpaqueKind::Signature, owner)})
    };
    let made = |id: &str| json!({"type": "function_call", "call_id": id, "name": "f", "arguments": "{}"});
    let said = json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "hello"}]});
    let (seen, _) =
        replayed(json!([said, carrier("hello"), carrier("call_1"), made("call_1"), made("call_2")]));
    assert_eq!(seen, ["text Gemini sig", "call Gemini sig", "call"]);
    let (seen, request) = replayed(json!([carrier("call_1"), made("call_2")]));
    assert_eq!(seen, ["call"]);
    assert!(request.extras.iter().any(|(key, _)| *key == MUTATED));
}
