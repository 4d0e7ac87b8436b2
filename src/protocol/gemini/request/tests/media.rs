//! Pictures, documents and sound.

use super::*;

fn media<'a>(kind: MediaKind, mime: &'a str, source: MediaSource<'a>) -> PartKind<'a> {
    PartKind::Media(Media {
        kind,
        mime: mime.into(),
        source,
        name: None,
        context: None,
        detail: None,
        citations: false,
        offset: None,
    })
}

#[test]
fn t118_media_are_mapped_or_refused() {
    let png = || media(MediaKind::Image, "image/png", MediaSource::Inline("AA-_".into()));
    let url = media(MediaKind::Image, "", MediaSource::Url("https://h/a.jpg".into()));
    let words = media(MediaKind::Document, "text/plain", MediaSource::Text("ü".into()));
    let request = ask(vec![turn(Role::User, vec![png(), url, words])]);
    let got = sent(&request, "gemini-3-pro");
    assert_eq!(
        got.body["contents"][0]["parts"],
        json!([{"inlineData": {"mimeType": "image/png", "data": "AA+/"}},
               {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://h/a.jpg"}},
               {"inlineData": {"mimeType": "text/plain", "data": "w7w="}}])
    );
    assert_eq!(got.losses, "approx:media.url");
    let foreign = media(MediaKind::Document, "", MediaSource::FileId(Protocol::OpenAi, "file-1".into()));
    let request = ask(vec![turn(Role::User, vec![foreign])]);
    assert!(matches!(send(&request, Protocol::OpenAi, "gemini-3-pro"), Err(RequestError::Unsupported(_))));
}

#[test]
fn t072_pictures_in_results_go_where_the_model_sees_them() {
    let png = media(MediaKind::Image, "image/png", MediaSource::Inline("AAAA".into()));
    let content = vec![Part::text("see"), Part::new(png)];
    let answer =
        PartKind::ToolResult { call_id: "1".into(), name: None, content, is_error: false, custom: false };
    let request = ask(vec![
        turn(Role::User, vec![text("a")]),
        turn(Role::Assistant, vec![call("1", "f", "{}")]),
        turn(Role::User, vec![answer]),
    ]);
    let new = sent(&request, "gemini-3-pro");
    let inside = &new.body["contents"][2]["parts"][0]["functionResponse"]["parts"];
    assert_eq!(inside, &json!([{"inlineData": {"mimeType": "image/png", "data": "AAAA"}}]));
    let old = sent(&request, "gemini-2.5-pro");
    assert_eq!(old.body["contents"][2]["parts"].as_array().unwrap().len(), 1);
    assert_eq!(old.body["contents"][3]["parts"][0]["inlineData"]["data"], "AAAA");
    assert_eq!(old.losses, "approx:tool_result.media");
}

#[test]
fn documents_by_address_have_a_title_and_a_type() {
    let media = |kind, uri: &'static str| Media {
        kind,
        mime: Str::EMPTY,
        source: MediaSource::Url(uri.into()),
        name: Some("T".into()),
        context: None,
        detail: None,
        citations: false,
        offset: None,
    };
    let request = ask(vec![turn(
        Role::User,
        vec![
            PartKind::Media(media(MediaKind::Document, "https://x.test/get?id=7")),
            PartKind::Media(media(MediaKind::Image, "https://x.test/picture")),
            PartKind::Media(media(MediaKind::Image, "https://x.test/a.png")),
        ],
    )]);
    let file = |uri: &str, mime: &str| json!({"fileData": {"mimeType": mime, "fileUri": uri}});
    assert_eq!(
        sent(&request, "gemini-3-pro").body["contents"][0]["parts"],
        json!([
            {"text": "T"},
            file("https://x.test/get?id=7", "application/pdf"),
            file("https://x.test/picture", "image/jpeg"),
            file("https://x.test/a.png", "image/png"),
        ])
    );
}
