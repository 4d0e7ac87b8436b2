use super::*;
use crate::protocol::canonical::{Choice, OpaqueKind, Provider};

fn state(provider: Provider, value: &'static str) -> Option<Opaque<'static>> {
    Some(Opaque::new(provider, OpaqueKind::Signature, value.into()))
}

fn thought(text: &'static str, opaque: Option<Opaque<'static>>) -> Part<'static> {
    let kind = PartKind::Reasoning { text: text.into(), redacted: false };
    Part { kind, cache: None, opaque }
}

fn call(id: &'static str) -> Part<'static> {
    let kind = PartKind::ToolCall { id: id.into(), name: "f".into(), arguments: "{}".into(), custom: false };
    Part::new(kind)
}

fn signed(text: &'static str) -> Part<'static> {
    thought(text, state(Provider::Anthropic, "sig"))
}

/// What of an answer is recorded, whole and as a stream alike.
fn record(parts: Vec<Part<'static>>, limit: usize) -> Vec<(String, Arc<CallState>)> {
    let response = Response { choices: vec![Choice { parts, ..Choice::default() }], ..Response::default() };
    let recorder = || Recorder::new(Protocol::Anthropic, &Dialect::default(), limit);
    let (mut whole, mut streamed) = (Vec::new(), Vec::new());
    recorder().whole(&response, |id, state| whole.push((id.decode().into_owned(), Arc::new(state))));
    let mut recorder = recorder();
    response.replay(|event| {
        let ended = recorder.event(&event);
        streamed.extend(ended.map(|(id, state)| (id.decode().into_owned(), Arc::new(state))));
    });
    assert_eq!(format!("{whole:?}"), format!("{streamed:?}"));
    whole
}

/// What a client's turn becomes.
fn give_back(known: &[(String, Arc<CallState>)], parts: Vec<Part<'static>>) -> String {
    let turns = vec![Turn { role: Role::Assistant, parts }];
    let mut request = Request { turns, ..Request::default() };
    restore(&mut request, Protocol::Anthropic, |_, id| {
        known.iter().find(|(known, _)| *id == known.as_str()).map(|(_, state)| state.clone())
    });
    let word = |part: &Part<'_>| match &part.kind {
        PartKind::Reasoning { text, .. } => format!("<{}>", text.decode()),
        PartKind::Text { text } => text.decode().into_owned(),
        PartKind::ToolCall { id, .. } => id.decode().into_owned(),
        _ => "?".to_owned(),
    };
    request.turns.first().unwrap().parts.iter().map(word).collect::<Vec<_>>().join(" ")
}

#[test]
fn t097_every_part_returns_to_its_place() {
    let known = record(
        vec![
            signed("1"),
            signed("2"),
            Part::text("A"),
            signed("3"),
            call("a"),
            call("b"),
            signed("4"),
            call("c"),
        ],
        1000,
    );
    assert_eq!(known.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["a", "c"]);
    let bare = || vec![Part::text("A"), call("a"), call("b"), call("c")];
    assert_eq!(give_back(&known, bare()), "<1> <2> A <3> a b <4> c");
    // Text without state is of no use, and would stand there twice.
    let mut half = vec![thought("12", None)];
    half.extend(bare());
    assert_eq!(give_back(&known, half), "<1> <2> A <3> a b <4> c");
    // A client that carries state is left alone.
    let mut carried = vec![signed("1")];
    carried.extend(bare());
    assert_eq!(give_back(&known, carried), "<1> A a b c");
    assert_eq!(give_back(&known, vec![Part::text("A"), call("x")]), "A x");
}

#[test]
fn t107_reasoning_does_not_come_back_without_the_words_that_followed_it() {
    let known = record(vec![signed("1"), Part::text("A"), call("a")], 1000);
    assert_eq!(give_back(&known, vec![call("a")]), "a");
    let known = record(vec![signed("1"), call("a")], 1000);
    assert_eq!(give_back(&known, vec![Part::text(" "), call("a")]), "<1>   a");
}

#[test]
fn reasoning_beyond_the_limit_is_not_held() {
    let long = || signed("a very long thought");
    for parts in [
        vec![long(), call("a"), signed("2"), call("b")],
        vec![signed("1"), long(), call("a"), signed("2"), call("b")],
        vec![signed("1"), long(), signed("1"), call("a"), signed("2"), call("b")],
    ] {
        let known = record(parts, 15);
        assert_eq!(known.iter().map(|(id, _)| id.as_str()).collect::<Vec<_>>(), ["b"]);
    }
}

#[test]
fn what_no_upstream_wants_back_is_not_recorded() {
    assert!(record(vec![thought("1", None), Part::text("A"), call("a")], 1000).is_empty());
}

#[test]
fn t092_state_of_a_call_whose_id_was_taken_is_known_by_the_id_that_the_client_got() {
    let turns = vec![Turn { role: Role::Assistant, parts: vec![call("a")] }];
    let request = Request { turns, ..Request::default() };
    let exchange = crate::protocol::canonical::Exchange::new(&request, Protocol::OpenAi, Protocol::Anthropic);
    let recorder =
        || Recorder::new(Protocol::Anthropic, &Dialect::default(), 1000).restored_by(&exchange.restoration);
    let parts = vec![signed("1"), call("a")];
    let response = Response { choices: vec![Choice { parts, ..Choice::default() }], ..Response::default() };
    let got = exchange.restoration.client_id("a".into());
    assert_ne!(got, "a");
    let mut ids = Vec::new();
    recorder().whole(&response, |id, _| ids.push(id));
    let mut recorder = recorder();
    response.replay(|event| ids.extend(recorder.event(&event).map(|(id, _)| id)));
    assert_eq!(ids, [got.clone(), got]);
}
