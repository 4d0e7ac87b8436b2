//! The few rules from which every expectation of the table follows.

use crate::support::Protocol;

/// What the client asks for, and what the upstream is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A stream, of a stream.
    Streaming,
    /// A document, of a document.
    Document,
    /// A document, of an upstream that is always asked for a stream.
    MustStream,
}

impl Mode {
    pub const ALL: [Mode; 3] = [Mode::Streaming, Mode::Document, Mode::MustStream];
    /// Those in which the upstream is asked for a stream.
    pub const OF_STREAMS: [Mode; 2] = [Mode::Streaming, Mode::MustStream];

    pub fn is_stream_upstream(self) -> bool {
        self != Mode::Document
    }
}

/// How far the answer had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    Connect,
    Head,
    /// Nothing of the body has come.
    FirstEvent,
    /// What opens an answer has come: roles, pings, empty pieces.
    BeforeContent,
    /// In the midst of a document, no part of which is an answer.
    InTheDocument,
    /// Some of the text has come.
    MidStream,
    /// Half of a call's arguments has come.
    InACall,
    /// All was said, but not that it was all.
    AtTheEnd,
    /// The reason of the end was told, the terminator not (Anthropic and Chat have one).
    AfterFinish,
    /// The answer is whole.
    AfterTheEnd,
    /// Wherever it is.
    Anywhere,
}

impl Stage {
    pub fn title(self) -> &'static str {
        match self {
            Stage::Connect => "connect",
            Stage::Head => "head",
            Stage::FirstEvent => "first event",
            Stage::BeforeContent => "before content",
            Stage::InTheDocument => "in the document",
            Stage::MidStream => "mid-stream",
            Stage::InACall => "within a call",
            Stage::AtTheEnd => "at the end",
            Stage::AfterFinish => "after the finish",
            Stage::AfterTheEnd => "after the end",
            Stage::Anywhere => "anywhere",
        }
    }

    /// Whether a client that streams has read content by then.
    pub fn is_after_content(self) -> bool {
        matches!(
            self,
            Stage::MidStream | Stage::InACall | Stage::AtTheEnd | Stage::AfterFinish | Stage::AfterTheEnd
        )
    }
}

/// What a fault comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None: the answer is as whole as any.
    Nothing,
    /// The upstream has failed. While nothing has gone to the client, the next one is asked; without one the client is
    /// told with this status. It counts against the upstream.
    Fails(u16),
    /// The upstream refuses the request. Likewise, but it counts against nobody.
    Refuses(u16),
}

/// Any status of a server's failure: what the provider said tells no more.
pub const ANY_5XX: u16 = 5;

/// Who made an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    First,
    Second,
}

/// What a client gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All of one upstream's answer.
    Whole(Who),
    /// An error answer with this status, or [`ANY_5XX`].
    Error(u16),
    /// The text so far, then an error event.
    Told,
}

/// What must be seen of one fault in one mode.
#[derive(Clone, Copy, Debug)]
pub struct Expected {
    /// With no other upstream.
    pub alone: Outcome,
    /// With another, healthy one.
    pub beside: Outcome,
    /// Whether the upstream rests, after a policy of one failure.
    pub rests: bool,
}

pub fn expected(effect: Effect, stage: Stage, mode: Mode) -> Expected {
    let is_committed = mode == Mode::Streaming && stage.is_after_content();
    let (alone, beside) = match effect {
        Effect::Nothing => (Outcome::Whole(Who::First), Outcome::Whole(Who::First)),
        Effect::Fails(_) if is_committed => (Outcome::Told, Outcome::Told),
        Effect::Fails(status) | Effect::Refuses(status) => {
            (Outcome::Error(status), Outcome::Whole(Who::Second))
        }
    };
    Expected { alone, beside, rests: matches!(effect, Effect::Fails(_)) }
}

/// The status as this client is told it: Anthropic has its own for overload.
pub fn status_for(client: Protocol, status: u16) -> u16 {
    match status {
        503 if client == Protocol::Anthropic => 529,
        status => status,
    }
}

/// What clients of this protocol call an error of this status.
pub fn kind(client: Protocol, status: u16) -> &'static str {
    let [anthropic, openai, gemini] = match status {
        400 | 422 => ["invalid_request_error", "invalid_request_error", "INVALID_ARGUMENT"],
        404 => ["not_found_error", "invalid_request_error", "NOT_FOUND"],
        413 => ["request_too_large", "invalid_request_error", "INVALID_ARGUMENT"],
        429 => ["rate_limit_error", "rate_limit_error", "RESOURCE_EXHAUSTED"],
        503 | 529 => ["overloaded_error", "server_error", "UNAVAILABLE"],
        504 => ["timeout_error", "server_error", "DEADLINE_EXCEEDED"],
        _ => ["api_error", "server_error", "INTERNAL"],
    };
    match client {
        Protocol::Anthropic => anthropic,
        Protocol::OpenAi | Protocol::Responses => openai,
        Protocol::Gemini => gemini,
    }
}
