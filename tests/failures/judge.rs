//! What a client makes of the bytes that it got: whole, told, refused, or none of these, which is the fault of the
//! gateway.

use http::HeaderMap;
use serde_json::{Value, json};

use crate::provider::{mark, text};
use crate::rule::{Mode, Outcome, Who, kind};
use crate::support::Protocol;
use crate::support::answer::{self, Answer, Finish};
use crate::support::client::{Event, events};

/// An answer as it came.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// Whether the body broke off.
    pub is_cut: bool,
}

/// What the client got, or what is wrong with it. Panics likewise where a protocol's shape is violated.
pub fn judge(
    client: Protocol,
    upstream: Protocol,
    mode: Mode,
    reply: &Reply,
    own_status: Option<u16>,
) -> Result<Outcome, String> {
    let text = std::str::from_utf8(&reply.body).map_err(|error| format!("noise: {error}"))?;
    if reply.is_cut {
        return Err("the connection broke off".to_owned());
    }
    if reply.headers.contains_key("content-encoding") {
        return Err("a content-encoding of nobody's".to_owned());
    }
    if text.contains(mark(Who::First)) && text.contains(mark(Who::Second)) {
        return Err("two upstreams in one answer".to_owned());
    }
    let content_type =
        reply.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if reply.status == 200 && mode == Mode::Streaming {
        if !content_type.starts_with("text/event-stream") {
            return Err(format!("a stream called {content_type}"));
        }
        return stream(client, client == upstream, text);
    }
    if !content_type.starts_with("application/json") {
        return Err(format!("a document called {content_type}"));
    }
    let document: Value = serde_json::from_str(text).map_err(|error| format!("half a document: {error}"))?;
    match reply.status {
        200 => whole(&answer::document(client, &document)),
        status => error(client, status, own_status == Some(status), &document, text),
    }
}

fn error(
    client: Protocol,
    status: u16,
    is_relayed: bool,
    document: &Value,
    text: &str,
) -> Result<Outcome, String> {
    for content in [mark(Who::First), mark(Who::Second), "<html", "10.0.0.7"] {
        if text.contains(content) {
            return Err(format!("`{content}` in an error"));
        }
    }
    match answer::error_kind(client, document) {
        // A provider's own words stay what they are.
        got if is_relayed || got == kind(client, status) => Ok(Outcome::Error(status)),
        got => Err(format!("{status} called {got}")),
    }
}

fn whole(answer: &Answer) -> Result<Outcome, String> {
    let who = [Who::First, Who::Second].into_iter().find(|who| answer.text == text(*who));
    let arguments = json!({"city": "Zürich", "days": 3});
    let calls = [("weather", &arguments)];
    match who {
        Some(who) if answer.finish == Finish::Calls && answer.named_calls() == calls => {
            Ok(Outcome::Whole(who))
        }
        _ => Err(format!("not all of an answer: {answer:?}")),
    }
}

fn stream(client: Protocol, is_relayed: bool, text: &str) -> Result<Outcome, String> {
    let events = read(client, is_relayed, text)?;
    let errors = events.iter().filter(|event| is_error(event)).count();
    let Some(error) = answer::stream_error(client, &events) else {
        let last = events.last().ok_or("an empty stream")?;
        return match (errors, is_end(client, last)) {
            (0, true) => whole(&answer::stream(client, &events)),
            // Some servers leave the mark out, and their bytes stay theirs: SDKs read to the end of the body.
            (0, false) if is_relayed && client == Protocol::OpenAi => {
                let mark = Event { name: None, data: "[DONE]".to_owned() };
                whole(&answer::stream(client, &[&events[..], &[mark]].concat()))
            }
            (0, false) => Err("it ends, and was neither ended nor broken".to_owned()),
            _ => Err("an error that is not the end".to_owned()),
        };
    };
    let ends = events.iter().filter(|event| is_end(client, event)).count();
    if (errors, ends) != (1, 0) {
        return Err(format!("{errors} errors and {ends} ends"));
    }
    let kind =
        [&error["type"], &error["code"], &error["status"]].map(|kind| kind.as_str().unwrap_or_default());
    if kind.iter().any(|kind| ["invalid_request_error", "INVALID_ARGUMENT"].contains(kind)) {
        return Err(format!("the client is blamed: {error}"));
    }
    let said = answer::stream(client, &events);
    match self::text(Who::First).starts_with(&said.text) && said.text.starts_with(mark(Who::First)) {
        true => Ok(Outcome::Told),
        false => Err(format!("`{}` was said before the error", said.text)),
    }
}

/// The events, of bytes that the protocol allows: the strictest form where the gateway wrote them, whatever the upstream
/// wrote where they are relayed.
fn read(client: Protocol, is_relayed: bool, text: &str) -> Result<Vec<Event>, String> {
    let plain = text.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    if !is_relayed {
        let known: &[&str] = match client {
            Protocol::Anthropic | Protocol::Responses => &["event: ", "data: {"],
            Protocol::OpenAi => &["data: {", "data: [DONE]", ": "],
            Protocol::Gemini => &["data: {"],
        };
        let odd =
            text.split('\n').find(|line| !line.is_empty() && !known.iter().any(|k| line.starts_with(k)));
        if let Some(odd) = odd.or(text.contains('\r').then_some("CR")) {
            return Err(format!("a line that not all clients can read: {odd}"));
        }
    }
    if !plain.ends_with("\n\n") {
        return Err("the last event is not closed".to_owned());
    }
    let events = events(&plain);
    let garbage = events.iter().find(|event| {
        let is_mark = client == Protocol::OpenAi && event.data == "[DONE]";
        !is_mark && serde_json::from_str::<Value>(&event.data).is_err()
    });
    match garbage {
        Some(garbage) => Err(format!("an event that is no JSON: {garbage:?}")),
        None => Ok(events),
    }
}

fn is_error(event: &Event) -> bool {
    let value = event.json();
    value.get("error").is_some_and(|error| !error.is_null()) || value["type"] == "response.failed"
}

/// Whether it says that the answer is over, and went well.
fn is_end(client: Protocol, event: &Event) -> bool {
    match client {
        Protocol::Anthropic => event.json()["type"] == "message_stop",
        Protocol::OpenAi => event.data == "[DONE]",
        Protocol::Responses => event.json()["type"] == "response.completed",
        Protocol::Gemini => event.json()["candidates"][0]["finishReason"].is_string(),
    }
}
