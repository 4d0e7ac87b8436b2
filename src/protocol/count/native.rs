//! Counting by a provider whose counter speaks another protocol than the client (6.2).

use crate::protocol::canonical::{Exchange, Losses, Request};
use crate::protocol::json::{self, Error, Reader, Writer};
use crate::protocol::{Protocol, Target, encode_request};

/// What a provider's counter takes of a request: it refuses the rest, above all `max_tokens` and `stream`.
/// `None` for a protocol without a counter.
fn countable(upstream: Protocol) -> Option<&'static [&'static str]> {
    match upstream {
        Protocol::Anthropic => {
            Some(&["model", "messages", "system", "tools", "tool_choice", "thinking", "output_config"])
        }
        Protocol::Responses => Some(&[
            "model",
            "input",
            "instructions",
            "tools",
            "tool_choice",
            "parallel_tool_calls",
            "reasoning",
            "text",
            "truncation",
        ]),
        Protocol::Gemini => {
            Some(&["contents", "systemInstruction", "tools", "toolConfig", "generationConfig"])
        }
        Protocol::OpenAi => None,
    }
}

/// The request as the upstream's own counter takes it; `None` if it has none, or could not answer such a request.
#[must_use]
pub fn encode_count(request: &Request<'_>, exchange: &Exchange, target: &Target<'_>) -> Option<Vec<u8>> {
    let upstream = exchange.upstream;
    let members = countable(upstream)?;
    let mut whole = Vec::new();
    encode_request(upstream, request, exchange, target, &mut Losses::default(), &mut whole).ok()?;
    let mut out = Vec::with_capacity(whole.len() + 128);
    let mut w = Writer::new(&mut out);
    w.begin_object();
    if upstream == Protocol::Gemini {
        // Its short form knows contents only.
        w.key("generateContentRequest").begin_object();
        w.key("model").text(&format!("models/{}", target.model));
    }
    Reader::from_bytes(&whole)
        .ok()?
        .object(|key, value| {
            if let Some(key) = members.iter().find(|member| **member == key) {
                w.key(key).raw(&value.raw()?);
            }
            Ok::<_, Error>(())
        })
        .ok()?;
    if upstream == Protocol::Gemini {
        w.end_object();
    }
    w.end_object();
    Some(out)
}

/// The count in a provider's answer.
#[must_use]
pub fn decode_count(body: &[u8]) -> Option<u64> {
    let json::Members { spans: [anthropic, gemini], .. } =
        json::members(body, ["input_tokens", "totalTokens"]).ok()?;
    std::str::from_utf8(body.get(anthropic.or(gemini)?)?).ok()?.parse().ok()
}
