//! The fields of requests, as clients of each protocol spell them.

mod anthropic;
mod gemini;
mod openai;
mod responses;

use aiproxy::protocol::Protocol;
use serde_json::{Value, json};

/// A field as the client spells it, and members that hold it. They replace those of the plain request.
pub type Field = (&'static str, Value);

/// Where the field stands inside of something: the members without it and with it.
#[must_use]
fn beside(without: Value, mut with: Value) -> Value {
    with["without"] = without;
    with
}

/// Every field of a protocol.
#[must_use]
pub fn of(client: Protocol) -> Vec<Field> {
    match client {
        Protocol::Anthropic => anthropic::all(),
        Protocol::OpenAi => openai::all(),
        Protocol::Responses => responses::all(),
        Protocol::Gemini => gemini::all(),
    }
}

/// The plain request with these members, and without and with what `beside` tells apart.
#[must_use]
pub fn requests(client: Protocol, members: &Value) -> (Value, Value) {
    let mut with = members.clone();
    let without = with.as_object_mut().unwrap().remove("without").unwrap_or_else(|| json!({}));
    let request = |members: Value| {
        let mut request = plain(client);
        for (key, value) in members.as_object().unwrap() {
            request[key] = value.clone();
        }
        request
    };
    (request(without), request(with))
}

fn plain(client: Protocol) -> Value {
    match client {
        Protocol::Anthropic => {
            json!({"model": "m", "max_tokens": 2000, "messages": [{"role": "user", "content": "Hello"}]})
        }
        Protocol::OpenAi => json!({"model": "m", "messages": [{"role": "user", "content": "Hello"}]}),
        Protocol::Responses => json!({"model": "m", "input": "Hello"}),
        Protocol::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": "Hello"}]}]}),
    }
}
