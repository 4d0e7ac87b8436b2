//! How far the estimate is from what was billed, where a folder of recorded exchanges is at hand
//! (`AIPROXY_CORPUS`).

use std::path::Path;

use serde_json::Value;

use super::estimate_tokens;
use crate::protocol::canonical::{Part, PartKind, Request};
use crate::protocol::{Endpoint, Observer, Operation, Protocol, decode_request, sse, usage_of};

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

#[test]
fn t175_the_estimate_is_near_what_was_billed() {
    let Some(root) = std::env::var_os("AIPROXY_CORPUS") else {
        println!("AIPROXY_CORPUS is not set: the estimate is not measured");
        return;
    };
    let mut percents = Vec::new();
    for (protocol, folder) in [
        (Protocol::Anthropic, "anthropic_messages"),
        (Protocol::OpenAi, "openai_chat"),
        (Protocol::Responses, "openai_responses"),
        (Protocol::Gemini, "gemini"),
    ] {
        for entry in std::fs::read_dir(Path::new(&root).join(folder)).unwrap() {
            let path = entry.unwrap().path();
            let item: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
            if !is_vendors_own(protocol, &item) {
                continue;
            }
            let Some((guess, billed)) = measure(protocol, &item) else { continue };
            println!("{}: guessed {guess}, billed {billed}", path.display());
            assert!(guess * 10 >= billed * 9, "{}: guessed {guess}, billed {billed}", path.display());
            percents.push(guess * 100 / billed);
        }
    }
    percents.sort_unstable();
    let at = |tenths: usize| percents[percents.len() * tenths / 10];
    println!("{} exchanges, percent of the bill: {percents:?}", percents.len());
    assert!(percents.len() >= 50, "{}", percents.len());
    assert!(at(5) < 120 && at(9) < 175, "half {}, nine of ten {}", at(5), at(9));
}
