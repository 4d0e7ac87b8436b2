//! The response object: what an answer says of itself, and what it repeats of its request (2.16).

use std::borrow::Cow;

use super::{error, usage};
use crate::protocol::canonical::{ErrorView, Usage};
use crate::protocol::json::{Object, Str, Writer};

/// Members of a request that its answer repeats, and what they say when the client left them out.
const ECHOED: [(&str, &str); 18] = [
    ("instructions", "null"),
    ("max_output_tokens", "null"),
    ("max_tool_calls", "null"),
    ("metadata", "{}"),
    ("parallel_tool_calls", "true"),
    ("previous_response_id", "null"),
    ("prompt_cache_key", "null"),
    ("reasoning", r#"{"effort":null,"summary":null}"#),
    ("safety_identifier", "null"),
    ("service_tier", "null"),
    ("temperature", "null"),
    ("text", r#"{"format":{"type":"text"}}"#),
    ("tool_choice", "\"auto\""),
    ("tools", "[]"),
    ("top_logprobs", "0"),
    ("top_p", "null"),
    ("truncation", "\"disabled\""),
    ("user", "null"),
];

/// The one spelling of `key` that lives as long as the program, if an answer repeats that member.
pub(super) fn echoed(key: &str) -> Option<&'static str> {
    ECHOED.iter().map(|(known, _)| *known).find(|known| *known == key)
}

/// JSON of a client that breaks its lines, fit for an event's one data line. Inside strings a line
/// break is always escaped, so every one that is found stands between values.
pub(super) fn on_one_line(json: &str) -> Cow<'_, str> {
    match memchr::memchr2(b'\n', b'\r', json.as_bytes()) {
        None => Cow::Borrowed(json),
        Some(_) => Cow::Owned(json.replace(['\n', '\r'], " ")),
    }
}

/// A response object of which nothing is known.
pub(super) fn minimal() -> Object {
    let mut object = Object::default();
    object.set("id", "\"\"");
    object.set("object", "\"response\"");
    object.set("created_at", "0");
    object.set("status", "\"failed\"");
    object.set("model", "\"\"");
    object.set("output", "[]");
    for key in ["parallel_tool_calls", "tool_choice", "tools"] {
        if let Some((_, value)) = ECHOED.iter().find(|(known, _)| *known == key) {
            object.set(key, *value);
        }
    }
    object.set("usage", "null");
    object.set("incomplete_details", "null");
    object
}

/// What stays the same in every response object of one answer, rendered once.
#[derive(Debug)]
pub(super) struct Frame {
    /// `{"id":…,"object":"response","created_at":…,"model":…`
    head: Vec<u8>,
    /// The echo of the request.
    echo: Vec<u8>,
}

impl Frame {
    /// Renders the echo; the members that name the answer follow with [`open`](Self::open).
    pub(super) fn new(echo: &[(&'static str, String)]) -> Self {
        let mut out = Vec::new();
        for (key, default) in ECHOED {
            let value = echo.iter().find(|(known, _)| *known == key).map_or(default, |(_, v)| v.as_str());
            Writer::new(&mut out).key(key).json(&on_one_line(value));
        }
        // Nothing is stored and nothing runs in the background here, whatever was asked.
        Writer::new(&mut out).key("background").boolean(false).key("store").boolean(false);
        Frame { head: Vec::new(), echo: out }
    }

    /// Names the answer.
    pub(super) fn open(&mut self, id: &str, model: &Str<'_>, created: u64) {
        self.head.clear();
        let mut w = Writer::new(&mut self.head);
        w.begin_object();
        w.key("id").text(id);
        w.key("object").text("response");
        w.key("created_at").u64(created);
        w.key("model").string(model);
    }

    /// Whether the answer has no name yet.
    pub(super) fn is_blank(&self) -> bool {
        self.head.is_empty()
    }

    /// Writes one response object.
    pub(super) fn write(&self, state: &State<'_>, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.head);
        let mut w = Writer::new(out);
        w.key("status").text(state.status);
        w.key("error");
        match state.error {
            Some(view) => error::write_failure(view, &mut w),
            None => {
                w.null();
            }
        }
        w.key("incomplete_details");
        match state.incomplete {
            Some(reason) => w.begin_object().key("reason").text(reason).end_object(),
            None => w.null(),
        };
        w.key("output").begin_array();
        w.buffer().extend_from_slice(state.output);
        w.end_array();
        w.key("usage");
        match state.usage {
            Some(counts) => usage::write(counts, &mut w),
            None => {
                w.null();
            }
        }
        w.buffer().push(b',');
        w.buffer().extend_from_slice(&self.echo);
        w.end_object();
    }
}

/// What changes from one response object of an answer to the next.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<'s> {
    pub(super) status: &'static str,
    pub(super) incomplete: Option<&'static str>,
    pub(super) error: Option<&'s ErrorView>,
    /// Finished items, separated by commas.
    pub(super) output: &'s [u8],
    pub(super) usage: Option<&'s Usage>,
}

impl State<'_> {
    /// A state without anything to tell.
    pub(super) fn at(status: &'static str) -> Self {
        State { status, incomplete: None, error: None, output: &[], usage: None }
    }
}
