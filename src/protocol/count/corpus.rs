//! How far the estimate is from what was billed, where a folder of recorded exchanges is at hand
//! (`AIPROXY_CORPUS`).

use std::path::Path;

use serde_json::Value;

use super::{Estimator, Lengths, estimate_tokens};
use crate::protocol::canonical::{Collector, Part, PartKind, Request};
use crate::protocol::{
    Endpoint, Observer, Operation, Protocol, StreamDecoder, decode_request, decode_response, sse, usage_of,
};

fn billed(protocol: Protocol, item: &Value) -> Option<u64> {
    let answer = &item["response"];
    if answer["status"] != 200 {
        return None;
    }
    if let Some(text) = answer["sse"].as_str() {
        let mut observer = Observer::new(protocol);
        let mut decoder = sse::Decoder::default();
        decoder.push(text.as_bytes(), |event| drop(observer.event(&event))).ok()?;
        decoder.finish(|event| drop(observer.event(&event)));
        return observer.seen().usage.input;
    }
    let body = &answer["body"];
    let count = ["input_tokens", "totalTokens"].iter().find_map(|key| body[key].as_u64());
    count.or_else(|| usage_of(protocol, body.to_string().as_bytes()).input)
}

/// Whether all that is billed stands in the request, as text: what a provider's own tools fetch, what files
/// hold and what state hides does not.
fn is_plain(request: &Request<'_>, body: &Value) -> bool {
    let unseen =
        ["mcp_servers", "context_management", "container", "web_search_options", "prompt", "conversation"];
    let tools = body["tools"].as_array().into_iter().flatten();
    let own = |tool: &Value| match tool["type"].as_str() {
        Some(kind) => !matches!(kind, "function" | "custom"),
        None => {
            tool["input_schema"].is_null()
                && tool["functionDeclarations"].is_null()
                && tool["function_declarations"].is_null()
        }
    };
    body.is_object()
        && unseen.iter().all(|key| body[key].is_null())
        && request.state.previous_id.is_none()
        && request.cache.handle.is_none()
        && !tools.into_iter().any(own)
        && request.turns.iter().flat_map(|turn| &turn.parts).all(is_text)
}

fn is_text(part: &Part<'_>) -> bool {
    match &part.kind {
        PartKind::Media(_) | PartKind::Opaque { .. } | PartKind::Reasoning { .. } => false,
        PartKind::ToolResult { content, .. } => content.iter().all(is_text),
        _ => part.opaque.is_none(),
    }
}

/// Whether the vendor itself served one of its own models.
fn is_vendors_own(protocol: Protocol, item: &Value) -> bool {
    let provider = item["provider"].as_str().unwrap_or_default();
    match protocol {
        Protocol::Anthropic => provider == "anthropic",
        Protocol::OpenAi | Protocol::Responses => matches!(provider, "openai" | "azure"),
        Protocol::Gemini => matches!(provider, "google" | "vertex"),
    }
}

/// Guess and bill of one recorded exchange.
fn measure(protocol: Protocol, item: &Value) -> Option<(u64, u64)> {
    let body = &item["request"]["body"];
    let billed = billed(protocol, item).filter(|billed| *billed > 0)?;
    let text = body.to_string();
    let endpoint = Endpoint::new(protocol, Operation::Generate);
    let request = decode_request(&endpoint, &text).ok()?;
    let model = body["model"].as_str().or(item["request"]["path"].as_str())?;
    is_plain(&request, body).then(|| (estimate_tokens(&request, model), billed))
}

/// What a recorded answer says, and its bill, where all that is billed is to be seen.
fn said(protocol: Protocol, item: &Value) -> Option<(Lengths, u64)> {
    let answer = &item["response"];
    let whole = answer["body"].to_string();
    let response = match answer["sse"].as_str() {
        Some(text) => {
            let (mut collector, mut decoder) = (Collector::default(), StreamDecoder::new(protocol, 1));
            let mut events = sse::Decoder::default();
            let mut take = |event: &sse::Event<'_>| decoder.event(event, &mut |event| collector.event(event));
            events.push(text.as_bytes(), |event| take(&event)).ok()?;
            events.finish(|event| take(&event));
            decoder.finish(&mut |event| collector.event(event));
            collector.finish().ok()?
        }
        None => decode_response(protocol, &whole, 1).ok()?,
    };
    let mut parts = response.choices.iter().flat_map(|choice| &choice.parts);
    let is_hidden = |part: &Part<'_>| {
        matches!(part.kind, PartKind::Media(_) | PartKind::Opaque { .. } | PartKind::Reasoning { .. })
    };
    let billed = response.usage.output.filter(|billed| *billed >= 15)?;
    let is_plain = response.usage.reasoning.unwrap_or(0) == 0 && !parts.any(is_hidden);
    (is_plain && answer["status"] == 200).then(|| (Lengths::of(&response), billed))
}

/// The recorded exchanges with vendors' own models.
fn exchanges() -> Option<Vec<(Protocol, Value)>> {
    let Some(root) = std::env::var_os("AIPROXY_CORPUS") else {
        println!("AIPROXY_CORPUS is not set: the estimate is not measured");
        return None;
    };
    let mut exchanges = Vec::new();
    for (protocol, folder) in [
        (Protocol::Anthropic, "anthropic_messages"),
        (Protocol::OpenAi, "openai_chat"),
        (Protocol::Responses, "openai_responses"),
        (Protocol::Gemini, "gemini"),
    ] {
        for entry in std::fs::read_dir(Path::new(&root).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let item: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            if is_vendors_own(protocol, &item) {
                exchanges.push((protocol, item));
            }
        }
    }
    Some(exchanges)
}

#[test]
fn t175_the_estimate_is_near_what_was_billed() {
    let Some(exchanges) = exchanges() else { return };
    let mut percents = Vec::new();
    for (protocol, item) in &exchanges {
        let Some((guess, billed)) = measure(*protocol, item) else { continue };
        assert!(guess * 10 >= billed * 9, "guessed {guess}, billed {billed}: {}", item["request"]);
        percents.push(guess * 100 / billed);
    }
    percents.sort_unstable();
    let at = |tenths: usize| percents[percents.len() * tenths / 10];
    println!("{} exchanges, percent of the bill: {percents:?}", percents.len());
    assert!(percents.len() >= 50, "{}", percents.len());
    assert!(at(5) < 120 && at(9) < 175, "half {}, nine of ten {}", at(5), at(9));
}

#[test]
fn the_length_of_an_answer_tells_about_what_was_billed_for_it() {
    let Some(exchanges) = exchanges() else { return };
    let mut percents = Vec::new();
    for (protocol, item) in &exchanges {
        let Some((said, billed)) = said(*protocol, item) else { continue };
        let body = &item["request"]["body"];
        let model = body["model"].as_str().or(item["request"]["path"].as_str()).unwrap_or_default();
        percents.push(Estimator::new(&Request::default(), model).output(&said) * 100 / billed);
    }
    percents.sort_unstable();
    let at = |tenths: usize| percents[percents.len() * tenths / 10];
    println!("{} answers, percent of the bill: {percents:?}", percents.len());
    assert!(percents.len() >= 50, "{}", percents.len());
    let (low, half, high) = (at(1), at(5), at(9));
    assert!(low > 50 && (90..125).contains(&half) && high < 160, "{low} {half} {high}");
}
