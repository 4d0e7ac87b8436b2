//! Reasoning and signatures that come back.

use super::*;

fn sealed(words: &str) -> String {
    let opaque = Opaque::new(Provider::Anthropic, OpaqueKind::Signature, "EqQB".into());
    envelope::seal(&opaque, &words.into()).as_escaped().to_owned()
}

#[test]
fn state_of_other_providers_comes_home_with_its_text() {
    let signature = sealed("Need both.");
    for parts in [
        json!([{"text": "Need both.", "thought": true, "thoughtSignature": signature}]),
        json!([{"text": "Need ", "thought": true}, {"text": "both.", "thought": true},
               {"text": "", "thought": true, "thoughtSignature": signature}]),
    ] {
        let body = json!({"contents": [{"role": "model", "parts": parts}]}).to_string();
        let request = read(&body);
        let [part] = request.turns[0].parts.as_slice() else { panic!("one part: {:?}", request.turns) };
        assert!(matches!(&part.kind, PartKind::Reasoning { text, .. } if *text == "Need both."));
        let opaque = part.opaque.as_ref().unwrap();
        assert_eq!((opaque.provider, &opaque.value), (Provider::Anthropic, &Str::from("EqQB")));
        assert!(request.extras.is_empty());
    }
}

#[test]
fn altered_reasoning_is_dropped_and_named() {
    let body = json!({"contents": [{"role": "user", "parts": [{"text": "a"}]}, {"role": "model", "parts": [
        {"text": "I changed this.", "thought": true, "thoughtSignature": sealed("Need both.")}, {"text": "b"}]},
        {"role": "user", "parts": [{"text": "a"}]}]})
    .to_string();
    let request = read(&body);
    assert_eq!(request.turns[1].parts.len(), 1);
    let sent = send(&request, Protocol::Gemini, "gemini-3-pro").unwrap();
    assert_eq!(sent.losses, "drop:reasoning.mutated");
}

fn signed<'a>(kind: PartKind<'a>, provider: Provider, value: &'a str) -> Part<'a> {
    let opaque = Opaque::new(provider, OpaqueKind::Signature, value.into());
    Part { opaque: Some(opaque), ..Part::new(kind) }
}

fn thought(words: &str) -> PartKind<'_> {
    PartKind::Reasoning { text: words.into(), redacted: false }
}

#[test]
fn t100_t101_the_right_call_is_signed() {
    let mut request = ask(vec![
        turn(Role::User, vec![text("old")]),
        turn(Role::Assistant, vec![call("0", "f", "{}")]),
        turn(Role::User, vec![result("0", "x", false)]),
        turn(Role::User, vec![text("new")]),
    ]);
    // The signature waits in the reasoning before the call; parallel calls have none.
    request.turns.push(Turn {
        role: Role::Assistant,
        parts: vec![
            signed(thought(""), Provider::Gemini, "AA-_"),
            Part::new(call("1", "f", "{}")),
            Part::new(call("2", "f", "{}")),
        ],
    });
    request.turns.push(turn(Role::User, vec![result("1", "x", false), result("2", "x", false)]));
    request.turns.push(turn(Role::Assistant, vec![call("3", "f", "{}"), call("4", "f", "{}")]));
    request.turns.push(turn(Role::User, vec![result("3", "x", false), result("4", "x", false)]));
    let signatures = |body: &Value| -> Vec<String> {
        let contents = body["contents"].as_array().unwrap();
        let parts = contents.iter().flat_map(|c| c["parts"].as_array().unwrap());
        parts
            .filter(|part| part.get("functionCall").is_some())
            .map(|part| part["thoughtSignature"].as_str().unwrap_or("-").to_owned())
            .collect()
    };
    let new = send(&request, Protocol::Anthropic, "gemini-3-pro").unwrap();
    assert_eq!(signatures(&new.body), ["-", "AA+/", "-", "skip_thought_signature_validator", "-"]);
    let old = send(&request, Protocol::Anthropic, "gemini-2.5-pro").unwrap();
    assert_eq!(signatures(&old.body), ["-", "AA+/", "-", "-", "-"]);
}

#[test]
fn t104_reasoning_of_others_is_not_shown_to_google() {
    let request = ask(vec![
        turn(Role::User, vec![text("a")]),
        Turn {
            role: Role::Assistant,
            parts: vec![
                signed(thought("secret"), Provider::Anthropic, "EqQB"),
                Part::new(thought("unsigned")),
                Part::text("b"),
            ],
        },
        turn(Role::User, vec![text("c")]),
    ]);
    let sent = send(&request, Protocol::Anthropic, "gemini-3-pro").unwrap();
    assert_eq!(sent.body["contents"][1], json!({"role": "model", "parts": [{"text": "b"}]}));
    assert_eq!(sent.losses, "drop:reasoning");
}
