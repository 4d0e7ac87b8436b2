//! Files and sounds on their way to other protocols.

use super::*;

/// A model for each upstream that Chat's files and sounds may go to.
const ELSEWHERE: [(Protocol, &str); 3] = [
    (Protocol::Anthropic, "claude-opus-4-6"),
    (Protocol::Responses, "gpt-4.1"),
    (Protocol::Gemini, "gemini-3-pro"),
];

/// What one content part becomes at another upstream; `None` if it is refused.
fn elsewhere(part: &str, upstream: Protocol, model: &str) -> Option<String> {
    let body = format!(
        r#"{{"model":"m","messages":[{{"role":"user","content":[{part},{{"type":"text","text":"?"}}]}}]}}"#
    );
    let request = match decode(&body) {
        Ok(request) => request,
        Err(refused) => {
            assert!(refused.view(&body).param.is_some(), "{part}");
            return None;
        }
    };
    let exchange = Exchange::new(&request, Protocol::OpenAi, upstream);
    let (mut losses, mut out) = (Losses::default(), Vec::new());
    let target = Target::new(model);
    match crate::protocol::encode_request(upstream, &request, &exchange, &target, &mut losses, &mut out) {
        Ok(()) => Some(String::from_utf8(out).unwrap()),
        Err(RequestError::Unsupported(_) | RequestError::Invalid { .. }) => None,
        Err(error) => panic!("{part}: {error}"),
    }
}

#[test]
fn t119_files_and_sounds_arrive_or_are_refused() {
    let pdf =
        r#"{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="}}"#;
    let bare = r#"{"type":"file","file":{"file_data":"JVBERi0="}}"#;
    let notes =
        r#"{"type":"file","file":{"filename":"a.txt","file_data":"data:text/plain;base64,aGVsbG8="}}"#;
    let sound = r#"{"type":"input_audio","input_audio":{"data":"UklGRg==","format":"wav"}}"#;
    let stored = r#"{"type":"file","file":{"file_id":"file_1"}}"#;
    for (part, want) in [
        (pdf, [Some("JVBERi0="), Some("data:application/pdf;base64,JVBERi0="), Some("JVBERi0=")]),
        (bare, [Some("JVBERi0="), Some("data:application/pdf;base64,JVBERi0="), Some("JVBERi0=")]),
        (notes, [Some("hello"), Some("data:text/plain;base64,aGVsbG8="), Some("aGVsbG8=")]),
        (sound, [None, None, Some("UklGRg==")]),
        (stored, [None, Some("file_1"), None]),
    ] {
        for ((upstream, model), want) in ELSEWHERE.into_iter().zip(want) {
            match (want, elsewhere(part, upstream, model)) {
                (Some(want), Some(sent)) => assert!(sent.contains(want), "{upstream}, {part}: {sent}"),
                (want, sent) => assert_eq!(want.is_some(), sent.is_some(), "{upstream}, {part}: {sent:?}"),
            }
        }
    }
}

#[test]
fn t119_files_and_sounds_without_their_bytes_are_refused_and_crash_nothing() {
    let odd = ["null", "7", "[]", "{}", "\"x\"", r#"{"file_data":null}"#, r#"{"data":null,"format":7}"#];
    for (upstream, model) in ELSEWHERE {
        for kind in ["file", "input_audio"] {
            for body in odd {
                let part = format!(r#"{{"type":"{kind}","{kind}":{body}}}"#);
                assert_eq!(elsewhere(&part, upstream, model), None, "{upstream}: {part}");
            }
            let part = format!(r#"{{"type":"{kind}"}}"#);
            assert_eq!(elsewhere(&part, upstream, model), None, "{upstream}: {part}");
        }
    }
}

#[test]
fn a_documents_title_stands_before_it_where_nothing_else_names_it() {
    let document = |source: MediaSource<'static>| {
        Part::new(PartKind::Media(Media {
            kind: MediaKind::Document,
            mime: "text/plain".into(),
            source,
            name: Some("T".into()),
            context: Some("C".into()),
            detail: None,
            citations: false,
            offset: None,
        }))
    };
    let parts =
        |source| Request { turns: vec![turn(Role::User, vec![document(source)])], ..Request::default() };
    let texts = |sent: &Value| -> Vec<Value> {
        let content = sent["messages"][0]["content"].as_array().unwrap();
        content.iter().filter_map(|part| part.get("text").cloned()).collect()
    };
    let written = parts(MediaSource::Text("words".into()));
    assert_eq!(texts(&from_anthropic(&written).0), ["T", "C", "words"]);
    let named = from_anthropic(&parts(MediaSource::Inline("AAAA".into()))).0;
    assert_eq!(texts(&named), ["C"]);
    assert_eq!(named["messages"][0]["content"][1]["file"]["filename"], "T");
    let dialect = Dialect { no_content_arrays: true, ..Dialect::default() };
    let (plain, _) = send(&written, Protocol::Anthropic, &Target { dialect, ..Target::new("m") }).unwrap();
    assert_eq!(plain["messages"][0]["content"], "T\n\nC\n\nwords");
}
