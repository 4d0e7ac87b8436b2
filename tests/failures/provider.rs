//! What an upstream sends: sound answers, and the ways in which they go wrong.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::rule::{Mode, Stage, Who};
use crate::support::upstream::{Answer, Received};
use crate::support::{Protocol, native};

/// The piece of text that tells whose answer it is.
pub fn mark(who: Who) -> &'static str {
    match who {
        Who::First => "Hello,",
        Who::Second => "Other,",
    }
}

/// The text of an answer.
pub fn text(who: Who) -> String {
    native::TEXT.replace(mark(Who::First), mark(who))
}

/// The same answer, made by another: text and ids.
fn made_by(who: Who, text: &str) -> String {
    let ids =
        [("msg_01", "msg_77"), ("chatcmpl-1", "chatcmpl-7"), ("resp_1", "resp_7"), ("\"r1\"", "\"r7\"")];
    match who {
        Who::First => text.to_owned(),
        Who::Second => ids
            .iter()
            .fold(text.replace(mark(Who::First), mark(who)), |text, (own, other)| text.replace(own, other)),
    }
}

/// An answer without a fault, in the form that was asked for.
pub fn sound(protocol: Protocol, who: Who, request: &Received) -> Answer {
    let is_stream = match protocol {
        Protocol::Gemini => request.target.contains(":streamGenerateContent"),
        _ => request.json()["stream"] == true,
    };
    match is_stream {
        true => Answer::events(events(protocol).iter().map(|event| made_by(who, event))),
        false => Answer::json(made_by(who, &native::document(protocol).to_string())),
    }
}

/// A stream with every sort of opening before its content.
pub fn events(protocol: Protocol) -> Vec<String> {
    let mut events = native::stream(protocol);
    match protocol {
        Protocol::Anthropic => events.insert(1, "event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned()),
        Protocol::OpenAi => events.insert(1, ": OPENROUTER PROCESSING\n\n".to_owned()),
        Protocol::Responses => {}
        Protocol::Gemini => events.insert(0, events[3].replace(r#","finishReason": "STOP""#, "")),
    }
    events
}

pub fn document(protocol: Protocol) -> String {
    native::document(protocol).to_string()
}

/// How many events come before the first that has content, that one included.
pub fn begun(protocol: Protocol) -> usize {
    1 + position(protocol, "Hello,").expect("content")
}

fn position(protocol: Protocol, part: &str) -> Option<usize> {
    events(protocol).iter().position(|event| event.contains(part))
}

/// The event that tells why the answer ends.
pub fn finish(protocol: Protocol) -> usize {
    let part = match protocol {
        Protocol::Anthropic => r#""type":"message_delta""#,
        Protocol::OpenAi => r#""finish_reason":"tool_calls""#,
        Protocol::Responses => r#""type":"response.completed""#,
        Protocol::Gemini => r#""finishReason""#,
    };
    position(protocol, part).expect("a finish")
}

/// How many events have come at a stage; none where a protocol has no such stage.
pub fn events_before(protocol: Protocol, stage: Stage) -> Option<usize> {
    match stage {
        Stage::FirstEvent => Some(0),
        Stage::BeforeContent => Some(begun(protocol) - 1),
        Stage::MidStream => Some(begun(protocol)),
        Stage::InACall => position(protocol, r#"ich\""#),
        Stage::AtTheEnd => Some(finish(protocol)),
        Stage::AfterFinish => {
            matches!(protocol, Protocol::Anthropic | Protocol::OpenAi).then(|| finish(protocol) + 1)
        }
        Stage::AfterTheEnd => Some(events(protocol).len()),
        Stage::Connect | Stage::Head | Stage::InTheDocument | Stage::Anywhere => None,
    }
}

/// Who asks whom, and when the client has read the first content.
#[derive(Clone, Debug)]
pub struct Scene {
    pub protocol: Protocol,
    pub mode: Mode,
    pub read: Arc<Notify>,
    pub others: Others,
}

/// Where listeners are that nobody may be sent to.
#[derive(Clone, Debug)]
pub struct Others {
    /// What redirects name.
    pub elsewhere: String,
    /// Who has a certificate that nobody vouches for.
    pub stranger: String,
}

impl Scene {
    /// The first events of a stream. What follows the first content waits until the client has read it, so that where
    /// packets end decides nothing.
    pub fn stream_until(&self, count: usize) -> Answer {
        self.begin(Answer::stream(), &events(self.protocol)[..count])
    }

    /// The same of other events.
    pub fn begin(&self, head: Answer, events: &[String]) -> Answer {
        match events.iter().position(|event| event.contains("Hello,")) {
            None => head.frames(events),
            Some(at) => head.frames(&events[..=at]).wait(&self.read).frames(&events[at + 1..]),
        }
    }

    /// The answer, in the form that is asked for.
    pub fn body(&self) -> String {
        match self.mode.is_stream_upstream() {
            true => events(self.protocol).concat(),
            false => document(self.protocol),
        }
    }

    pub fn content_type(&self) -> &'static str {
        match self.mode.is_stream_upstream() {
            true => "text/event-stream",
            false => "application/json",
        }
    }

    /// A head of success with these lines besides its content type.
    pub fn head(&self, lines: &str) -> String {
        self.lines(&format!("HTTP/1.1 200 OK\ncontent-type: TYPE\n{lines}"))
    }

    /// The whole answer under a head of these lines.
    pub fn under(&self, head: &str) -> Answer {
        Answer::raw(self.lines(head)).bytes(self.body())
    }

    fn lines(&self, head: &str) -> String {
        head.replace('\n', "\r\n").replace("TYPE", self.content_type()) + "\r\n\r\n"
    }

    /// The whole answer in other bytes.
    pub fn whole(&self, body: impl Into<Vec<u8>>) -> Answer {
        Answer::whole(200, self.content_type(), body.into())
    }
}

/// How a stream breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Break {
    /// The connection is closed, without the end of the body.
    Closed,
    /// The connection is reset.
    Reset,
    /// The body ends properly.
    Ended,
    /// Nothing more comes.
    Stalls,
    /// The provider reports an error.
    ErrorEvent,
    /// An event that is no JSON; the rest of the answer follows.
    Garbage,
    /// An event that is half of its JSON; the rest follows.
    HalfAnEvent,
    /// An event with a byte that is no UTF-8; the rest follows.
    NoUtf8,
}

impl Break {
    pub const ALL: [Break; 8] = [
        Break::Closed,
        Break::Reset,
        Break::Ended,
        Break::Stalls,
        Break::ErrorEvent,
        Break::Garbage,
        Break::HalfAnEvent,
        Break::NoUtf8,
    ];

    pub fn title(self) -> &'static str {
        match self {
            Break::Closed => "connection closed",
            Break::Reset => "connection reset",
            Break::Ended => "clean end of the body",
            Break::Stalls => "silence",
            Break::ErrorEvent => "error event",
            Break::Garbage => "event that is no JSON",
            Break::HalfAnEvent => "event that is half its JSON",
            Break::NoUtf8 => "event that is not UTF-8",
        }
    }

    /// Whether the events that came are sound, and only no more come.
    pub fn is_of_the_connection(self) -> bool {
        matches!(self, Break::Closed | Break::Reset | Break::Ended | Break::Stalls)
    }

    pub fn stream(self, scene: &Scene, stage: Stage) -> Answer {
        let count = events_before(scene.protocol, stage).expect("a stage of streams");
        let all = events(scene.protocol);
        let begun = || scene.stream_until(count);
        // What comes next, or at the very end once more what came last.
        let next = &all[count.min(all.len() - 1)];
        let rest = all.get(count + 1..).unwrap_or_default();
        match self {
            Break::Closed => begun().cut(),
            Break::Reset => begun().reset(),
            Break::Ended => begun().end(),
            // Its clock starts at the last content: nobody must be waited for.
            Break::Stalls if count == 0 => Answer::stream().stall(),
            Break::Stalls => Answer::stream().frame(all[..count].concat()).stall(),
            Break::ErrorEvent => {
                begun().frame(native::error_event(scene.protocol, count, "overloaded")).end()
            }
            Break::Garbage => begun().frame("data: hello, world\n\n").frame(next).frames(rest).end(),
            Break::HalfAnEvent => {
                let half = next.trim_end().len() * 2 / 3;
                begun().frame([&next.as_bytes()[..half], b"\n\n"].concat()).frames(rest).end()
            }
            Break::NoUtf8 => begun().frame(spoilt(next)).frames(rest).end(),
        }
    }
}

/// An event with a byte in its last string that is no UTF-8.
fn spoilt(event: &str) -> Vec<u8> {
    let string = event.rfind("\":\"").map(|at| at + 3).or_else(|| event.rfind("\": \"").map(|at| at + 4));
    let (before, after) = event.split_at(string.unwrap_or(event.trim_end().len()));
    [before.as_bytes(), b"\xff", after.as_bytes()].concat()
}
