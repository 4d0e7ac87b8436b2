//! Searches of the web.

use super::*;
use crate::protocol::canonical::{WebSearchCall, WebSearchResult};
use crate::protocol::gemini::response;

/// What an answer is made of, in order.
fn told(response: &Response<'_>) -> Vec<String> {
    let parts = response.choices[0].parts.iter().map(|part| match &part.kind {
        PartKind::WebSearchCall(call) => {
            let urls: Vec<_> = call.results.iter().map(|result| result.url.as_escaped()).collect();
            format!("search {} {urls:?}", call.query().as_escaped())
        }
        _ => describe(part),
    });
    parts.collect()
}

fn grounding(more: Value) -> Value {
    json!({"groundingMetadata": more})
}

fn sources() -> Value {
    json!([{"web": {"uri": "https://a", "title": "A"}}, {"web": {}}, {"web": {"uri": "https://b"}}])
}

#[test]
fn a_search_goes_before_the_text_if_it_is_known_in_time_and_else_after() {
    let all = grounding(json!({"webSearchQueries": ["a", "b"], "groundingChunks": sources()}));
    let queries = grounding(json!({"web_search_queries": ["a", "b"]}));
    let chunks = grounding(json!({"groundingChunks": sources()}));
    let (text, search) = ("text hi.", r#"search a; b ["https://a", "https://b"]"#);
    for (first, second, want) in [
        (all.clone(), json!({}), vec![search, text]),
        (all.clone(), grounding(json!({})), vec![search, text]),
        (json!({}), all.clone(), vec![text, search]),
        // Neither half alone says what there is to tell.
        (queries.clone(), chunks.clone(), vec![text, search]),
        (chunks.clone(), queries.clone(), vec![text, search]),
        (json!({}), queries, vec![text, "search a; b []"]),
        (json!({}), chunks, vec![text]),
    ] {
        let mut last = second.clone();
        last["finishReason"] = json!("STOP");
        let chunks = [chunk(json!([{"text": "hi"}]), first.clone()), chunk(json!([{"text": "."}]), last)];
        assert_eq!(told(&collect(&stream(&chunks)).unwrap()), want, "{first} {second}");
    }
    let mut whole = all;
    whole["finishReason"] = json!("STOP");
    let thought = json!([{"text": "hm", "thought": true}, {"text": "hi."}]);
    let whole = chunk(thought, whole).to_string();
    assert_eq!(told(&response::decode(&whole, 7).unwrap()), [search, "thought hm", text]);
}

#[test]
fn a_late_search_does_not_make_a_cut_text_whole() {
    let last = json!({"finishReason": "MAX_TOKENS", "groundingMetadata": {"webSearchQueries": ["a"]}});
    let chunks = [chunk(json!([{"text": "hi"}]), json!({})), chunk(json!([{"text": "."}]), last)];
    let seen = events(stream(&chunks).as_bytes(), 0);
    let ends: Vec<_> = seen.iter().filter(|event| event.starts_with("PartEnd")).collect();
    assert!(ends.len() == 2 && ends[0].contains("complete: false"), "{ends:?}");
}

#[test]
fn searches_and_their_links_stand_in_the_grounding_once() {
    let result = |url: &'static str, title: Option<&'static str>| WebSearchResult {
        url: url.into(),
        title: title.map(Str::from),
    };
    let search = |query: &'static str, results| {
        PartHeader::WebSearchCall(Box::new(WebSearchCall {
            queries: vec![query.into()],
            results,
            ..WebSearchCall::default()
        }))
    };
    let cited =
        Citation { url: "https://b".into(), title: Some("B".into()), cited_text: None, range: Some((0, 2)) };
    let [done, over] = finish(FinishReason::Stop);
    let script = [
        start(),
        begin(0, search("p", vec![result("https://a", Some("A")), result("https://b", None)])),
        end(0),
        begin(1, search("q", vec![result("https://a", None)])),
        end(1),
        begin(2, PartHeader::Text),
        text(2, "öh"),
        Event::Delta { choice: 0, part: 2, delta: Delta::Citation(cited) },
        end(2),
        done,
        over,
    ];
    let want = json!({
        "webSearchQueries": ["p", "q"],
        "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b", "title": "B"}}],
        "groundingSupports": [{"segment": {"startIndex": 0, "endIndex": 3}, "groundingChunkIndices": [1]}],
    });
    let exchange = exchange(true);
    let chunks = payloads(&encode(&exchange, &script));
    assert_eq!(chunks.last().unwrap()["candidates"][0]["groundingMetadata"], want);
    let mut collector = Collector::default();
    script.iter().for_each(|event| collector.event(event.clone()));
    let mut out = Vec::new();
    response::encode(&collector.finish().unwrap(), &exchange, &mut out).unwrap();
    let whole: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(whole["candidates"][0]["groundingMetadata"], want);
    assert_eq!(whole["candidates"][0]["content"]["parts"], json!([{"text": "öh"}]));
}
