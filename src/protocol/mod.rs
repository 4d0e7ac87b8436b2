//! The pure core: four wire protocols and the hub between them. Bytes in, events out; no IO, no
//! clock, no async.
//!
//! ```text
//! bytes ─► sse::Decoder ─► native event ─► StreamDecoder ─► canonical::Event ─► StreamEncoder ─► bytes
//!                               └────────► Aggregator ─► native JSON   (must-stream)
//! ```
//!
//! Each protocol is a folder that knows only itself and [`canonical`]; this file holds the one match
//! over protocols. References like T032 are the numbered traps of the translation specification;
//! tests are named after them.

#[cfg(feature = "layers")]
mod account;
pub mod anthropic;
pub mod canonical;
mod client_dialect;
mod continuation;
mod count;
mod crossing;
mod endpoint;
mod foreign;
pub mod gemini;
pub mod json;
mod keep_alive;
pub mod openai;
mod remote;
pub mod responses;
pub mod sse;
mod target;

use std::borrow::Cow;
use std::fmt;

use canonical::restoration::{self, Restorer};
use canonical::{
    Action, ErrorView, Event, Exchange, FaultKind, Losses, Request, Response, Unsupported, Usage,
    client_param,
};

#[cfg(feature = "layers")]
pub(crate) use account::without_account;
pub use client_dialect::ClientDialect;
pub use continuation::Continuation;
pub use count::{Estimator, Lengths, Meter, decode_count, encode_count, estimate_tokens, render_count};
pub use endpoint::{Endpoint, Operation};
pub use foreign::{Cleaned, without_foreign};
pub use keep_alive::KeepAlive;
pub use remote::{InlineMedia, Reach, RemoteMedia, inline_media, remote_media};
pub use target::{Capabilities, Dialect, Overrides, Target, Thinking};

/// A wire protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions.
    OpenAi,
    /// OpenAI Responses.
    Responses,
    /// Gemini generateContent.
    Gemini,
}

impl Protocol {
    /// All of them.
    pub const ALL: [Protocol; 4] =
        [Protocol::Anthropic, Protocol::OpenAi, Protocol::Responses, Protocol::Gemini];

    /// The name used in configuration, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Anthropic => "anthropic",
            Protocol::OpenAi => "openai",
            Protocol::Responses => "responses",
            Protocol::Gemini => "gemini",
        }
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request that cannot be read, or cannot be said in the upstream's protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RequestError {
    /// Not well-formed JSON, or a value of the wrong type.
    Json(json::Error),
    /// Well-formed, but not a request of this protocol.
    Invalid {
        /// The field at fault, as the client spells it (`messages[2].content`).
        param: Cow<'static, str>,
        /// What is wrong with it.
        message: Cow<'static, str>,
    },
    /// Without equivalent in the upstream's protocol.
    Unsupported(Unsupported),
}

impl RequestError {
    /// Names the field and what is wrong with it.
    #[must_use]
    pub fn invalid(param: impl Into<Cow<'static, str>>, message: impl Into<Cow<'static, str>>) -> Self {
        RequestError::Invalid { param: param.into(), message: message.into() }
    }

    /// The same with the client's own name for the parameter (5.1).
    fn named_for(mut self, client: Protocol) -> Self {
        let (RequestError::Invalid { param, .. } | RequestError::Unsupported(Unsupported { param, .. })) =
            &mut self
        else {
            return self;
        };
        *param = Cow::Owned(client_param(client, param).into_owned());
        self
    }

    /// The error as a client is to see it; `body` is the request, for the path of a bad value.
    #[must_use]
    pub fn view(&self, body: &str) -> ErrorView {
        match self {
            RequestError::Json(error) => {
                let path = json::path_at(body, error.offset);
                let message = if path.is_empty() { error.to_string() } else { format!("{path}: {error}") };
                ErrorView {
                    param: (!path.is_empty()).then_some(path),
                    ..ErrorView::new(FaultKind::InvalidRequest, message)
                }
            }
            RequestError::Invalid { param, message } => ErrorView {
                param: Some(param.clone().into_owned()),
                ..ErrorView::new(FaultKind::InvalidRequest, format!("{param}: {message}"))
            },
            RequestError::Unsupported(error) => ErrorView {
                code: Some("unsupported_parameter".to_owned()),
                param: Some(error.param.clone().into_owned()),
                ..ErrorView::new(FaultKind::Unsupported, error.to_string())
            },
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RequestError::Json(error) => error.fmt(f),
            RequestError::Invalid { param, message } => write!(f, "{param}: {message}"),
            RequestError::Unsupported(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            RequestError::Json(error) => Some(error),
            RequestError::Unsupported(error) => Some(error),
            RequestError::Invalid { .. } => None,
        }
    }
}

impl From<json::Error> for RequestError {
    fn from(error: json::Error) -> Self {
        RequestError::Json(error)
    }
}

impl From<Unsupported> for RequestError {
    fn from(error: Unsupported) -> Self {
        RequestError::Unsupported(error)
    }
}

/// Reads a client's request.
///
/// # Errors
///
/// If the body is not well-formed JSON or no request of the endpoint's protocol.
pub fn decode_request<'a>(endpoint: &'a Endpoint, body: &'a str) -> Result<Request<'a>, RequestError> {
    match endpoint.protocol {
        Protocol::Anthropic => anthropic::request::decode(body),
        Protocol::OpenAi => openai::request::decode(body),
        Protocol::Responses => responses::request::decode(body),
        Protocol::Gemini => gemini::request::decode(
            body,
            endpoint.model.as_deref().unwrap_or_default(),
            endpoint.stream.unwrap_or(false),
        ),
    }
}

/// Appends the request as `upstream` takes it; what cannot be carried goes to `losses`.
///
/// # Errors
///
/// If leaving something out would change the answer unseen.
pub fn encode_request(
    upstream: Protocol,
    request: &Request<'_>,
    exchange: &Exchange,
    target: &Target<'_>,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let crossed = crossing::crossed(request, exchange, losses);
    let request = crossed.as_ref().unwrap_or(request);
    if !exchange.tool_names.is_empty() {
        losses.add(Action::Rename, "tools.name");
    }
    for field in &request.approximations {
        losses.add(Action::Approx, field);
    }
    let written = match upstream {
        Protocol::Anthropic => anthropic::request::encode(request, exchange, target, losses, out),
        Protocol::OpenAi => openai::request::encode(request, exchange, target, losses, out),
        Protocol::Responses => responses::request::encode(request, exchange, target, losses, out),
        Protocol::Gemini => gemini::request::encode(request, exchange, target, losses, out),
    };
    written.map_err(|error| error.named_for(exchange.client))
}

/// Reads an upstream's whole answer. `seed` is for ids that the protocol lacks (Gemini calls).
///
/// # Errors
///
/// If it is no answer of that protocol, or an error in disguise.
pub fn decode_response(upstream: Protocol, body: &str, seed: u64) -> Result<Response<'_>, ErrorView> {
    decode_response_with(upstream, &Dialect::default(), body, seed)
}

/// As [`decode_response`], from an upstream that bends its protocol.
///
/// # Errors
///
/// If it is no answer of that protocol, or an error in disguise.
pub fn decode_response_with<'a>(
    upstream: Protocol,
    dialect: &Dialect,
    body: &'a str,
    seed: u64,
) -> Result<Response<'a>, ErrorView> {
    match upstream {
        Protocol::Anthropic => anthropic::response::decode(body),
        Protocol::OpenAi => openai::response::decode(body, dialect, seed),
        Protocol::Responses => responses::response::decode(body),
        Protocol::Gemini => gemini::response::decode(body, seed),
    }
}

/// Appends the answer as the client takes it.
///
/// # Errors
///
/// If the answer cannot be given as a success (a malformed call, 2.14).
pub fn encode_response(
    response: &Response<'_>,
    exchange: &Exchange,
    out: &mut Vec<u8>,
) -> Result<(), ErrorView> {
    let restored = restoration::response(response, exchange);
    let response = restored.as_ref().unwrap_or(response);
    match exchange.client {
        Protocol::Anthropic => anthropic::response::encode(response, exchange, out),
        Protocol::OpenAi => openai::response::encode(response, exchange, out),
        Protocol::Responses => responses::response::encode(response, exchange, out),
        Protocol::Gemini => gemini::response::encode(response, exchange, out),
    }
}

/// One variant per protocol, behind a public name.
macro_rules! per_protocol {
    ($(#[$doc:meta])* $name:ident, $variants:ident, $part:ident :: $inner:ident) => {
        $(#[$doc])*
        #[derive(Debug)]
        pub struct $name($variants);

        #[derive(Debug)]
        enum $variants {
            Anthropic(anthropic::$part::$inner),
            OpenAi(openai::$part::$inner),
            Responses(responses::$part::$inner),
            Gemini(gemini::$part::$inner),
        }
    };
}

macro_rules! delegate {
    ($variants:ident, $self:expr, $inner:ident => $call:expr) => {
        match $self {
            $variants::Anthropic($inner) => $call,
            $variants::OpenAi($inner) => $call,
            $variants::Responses($inner) => $call,
            $variants::Gemini($inner) => $call,
        }
    };
}

per_protocol! {
    /// An upstream's stream to canonical events.
    StreamDecoder, Decoders, stream::Decoder
}

impl StreamDecoder {
    /// A decoder at the start of a stream. `seed` is for ids that the protocol lacks.
    #[must_use]
    pub fn new(upstream: Protocol, seed: u64) -> Self {
        Self::with_dialect(upstream, &Dialect::default(), seed)
    }

    /// A decoder at the start of a stream of an upstream that bends its protocol.
    #[must_use]
    pub fn with_dialect(upstream: Protocol, dialect: &Dialect, seed: u64) -> Self {
        Self(match upstream {
            Protocol::Anthropic => Decoders::Anthropic(anthropic::stream::Decoder::default()),
            Protocol::OpenAi => Decoders::OpenAi(openai::stream::Decoder::new(dialect, seed)),
            Protocol::Responses => Decoders::Responses(responses::stream::Decoder::default()),
            Protocol::Gemini => Decoders::Gemini(gemini::stream::Decoder::new(seed)),
        })
    }

    /// Takes one event. After `End` or `Error` nothing more comes out.
    pub fn event(&mut self, event: &sse::Event<'_>, sink: &mut impl FnMut(Event<'_>)) {
        delegate!(Decoders, &mut self.0, inner => inner.event(event, sink));
    }

    /// The stream has ended: emits `End` if the protocol allows it to end here, else `Error` (T021).
    pub fn finish(&mut self, sink: &mut impl FnMut(Event<'_>)) {
        delegate!(Decoders, &mut self.0, inner => inner.finish(sink));
    }
}

/// Canonical events to a client's stream.
#[derive(Debug)]
pub struct StreamEncoder {
    restorer: Restorer,
    encoders: Encoders,
    request_id: Option<String>,
}

#[derive(Debug)]
enum Encoders {
    Anthropic(anthropic::stream::Encoder),
    OpenAi(openai::stream::Encoder),
    Responses(responses::stream::Encoder),
    Gemini(gemini::stream::Encoder),
}

impl StreamEncoder {
    /// An encoder at the start of a stream.
    #[must_use]
    pub fn new(exchange: &Exchange) -> Self {
        let encoders = match exchange.client {
            Protocol::Anthropic => Encoders::Anthropic(anthropic::stream::Encoder::new(exchange)),
            Protocol::OpenAi => Encoders::OpenAi(openai::stream::Encoder::new(exchange)),
            Protocol::Responses => Encoders::Responses(responses::stream::Encoder::new(exchange)),
            Protocol::Gemini => Encoders::Gemini(gemini::stream::Encoder::new(exchange)),
        };
        StreamEncoder { restorer: Restorer::new(exchange), encoders, request_id: exchange.request_id.clone() }
    }

    /// Appends what the client is to read for this event.
    pub fn event(&mut self, event: &Event<'_>, out: &mut Vec<u8>) {
        let encoders = &mut self.encoders;
        if let Event::Error(view) = event
            && view.request_id.is_none()
        {
            let event = Event::Error(ErrorView { request_id: self.request_id.take(), ..view.clone() });
            return delegate!(Encoders, encoders, inner => inner.event(&event, out));
        }
        self.restorer.event(event, |event| {
            delegate!(Encoders, encoders, inner => inner.event(event, out));
        });
    }
}

per_protocol! {
    /// Folds a native stream into a native answer, unknown fields included (4: must-stream).
    Aggregator, Aggregators, aggregate::Aggregator
}

impl Aggregator {
    /// An aggregator at the start of a stream.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Self(match protocol {
            Protocol::Anthropic => Aggregators::Anthropic(anthropic::aggregate::Aggregator::default()),
            Protocol::OpenAi => Aggregators::OpenAi(openai::aggregate::Aggregator::default()),
            Protocol::Responses => Aggregators::Responses(responses::aggregate::Aggregator::default()),
            Protocol::Gemini => Aggregators::Gemini(gemini::aggregate::Aggregator::default()),
        })
    }

    /// Takes one event.
    ///
    /// # Errors
    ///
    /// If it reports an error or cannot be read.
    pub fn event(&mut self, event: &sse::Event<'_>) -> Result<(), ErrorView> {
        delegate!(Aggregators, &mut self.0, inner => inner.event(event))
    }

    /// The whole answer.
    ///
    /// # Errors
    ///
    /// If the stream ended without its terminal event.
    pub fn finish(self) -> Result<Vec<u8>, ErrorView> {
        delegate!(Aggregators, self.0, inner => inner.finish())
    }
}

/// What one native event means to those who only watch (3.3, T021, T052).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Nothing that means content: openings, roles, pings, usage, the end.
    Quiet,
    /// Text, reasoning, a tool call, or a finish: the answer has begun.
    Content,
    /// The upstream reports an error.
    Error(ErrorView),
    /// No JSON, half of it, or not UTF-8: no client can read it.
    Unreadable,
    /// It comes after the end, and belongs to no answer.
    Over,
}

/// Watches a native stream without translating it: has it begun, may it end here, what did it cost.
#[derive(Clone, Debug)]
pub struct Observer {
    protocol: Protocol,
    state: Observation,
}

/// What an [`Observer`] has seen.
#[derive(Clone, Debug, Default)]
pub struct Observation {
    /// Token counts so far.
    pub usage: Usage,
    /// How much has been said so far, for estimates where the counts are not told to the end.
    pub said: Lengths,
    /// Whether the stream may end here as a complete answer.
    pub may_end: bool,
    /// Chat: the choices that have begun, and those that have ended, one bit for each.
    pub(crate) begun_choices: u128,
    pub(crate) ended_choices: u128,
    /// Chat: what is the same in every plain delta.
    pub(crate) plain: openai::observe::Around,
    /// Whether the answer has ended: nothing that follows belongs to it. A Gemini stream has no mark of that; there it is
    /// an error after the finish that tells.
    pub is_over: bool,
    /// Number of events seen.
    pub events: u64,
    /// Responses: the response object of the opening event, for an error event of our own.
    pub opening: Option<Box<str>>,
}

impl Observer {
    /// An observer at the start of a stream.
    #[must_use]
    pub fn new(protocol: Protocol) -> Self {
        Observer { protocol, state: Observation::default() }
    }

    /// Takes one event.
    pub fn event(&mut self, event: &sse::Event<'_>) -> Signal {
        if self.state.is_over {
            // Some servers set Chat's mark behind streams of other protocols.
            let is_mark = event.is_done() && self.protocol != Protocol::OpenAi;
            return if is_mark { Signal::Quiet } else { Signal::Over };
        }
        let was_whole = self.state.may_end;
        let signal = match self.protocol {
            Protocol::Anthropic => anthropic::observe::event(event, &mut self.state),
            Protocol::OpenAi => openai::observe::event(event, &mut self.state),
            Protocol::Responses => responses::observe::event(event, &mut self.state),
            Protocol::Gemini => gemini::observe::event(event, &mut self.state),
        };
        let signal = if is_readable(event, &signal) { signal } else { Signal::Unreadable };
        let is_failure = matches!(signal, Signal::Error(_) | Signal::Unreadable);
        self.state.is_over = match self.protocol {
            Protocol::Anthropic | Protocol::Responses => self.state.may_end,
            Protocol::OpenAi => event.is_done(),
            Protocol::Gemini => was_whole && is_failure,
        };
        match signal {
            _ if self.protocol == Protocol::Gemini && self.state.is_over => Signal::Over,
            // It never reaches a client.
            Signal::Unreadable => signal,
            signal => {
                self.state.events += 1;
                signal
            }
        }
    }

    /// What has been seen so far.
    #[must_use]
    pub fn seen(&self) -> &Observation {
        &self.state
    }

    /// An error event that continues the stream watched so far and ends it (5.4).
    #[must_use]
    pub fn error_event(&self, error: &ErrorView, dialect: ClientDialect) -> Vec<u8> {
        let mut out = Vec::new();
        match self.protocol {
            Protocol::Anthropic => anthropic::error::write_event(error, &mut out),
            Protocol::OpenAi => openai::error::write_event(error, &mut out),
            Protocol::Responses => responses::error::write_event(error, &self.state, dialect, &mut out),
            Protocol::Gemini => gemini::error::write_event(error, &mut out),
        }
        out
    }
}

/// Whether clients can read an event: nothing else is relayed. Content is told by its bytes, and only its ends are
/// looked at: what cuts an event cuts its end.
fn is_readable(event: &sse::Event<'_>, signal: &Signal) -> bool {
    let data = &*event.data;
    match signal {
        Signal::Content => matches!(data.trim_ascii_end(), [.., b'}' | b']']) && is_utf8(data),
        Signal::Quiet => std::str::from_utf8(data)
            .is_ok_and(|text| event.is_done() || text.trim_ascii().is_empty() || json::is_complete(text)),
        Signal::Error(_) | Signal::Unreadable | Signal::Over => is_utf8(data),
    }
}

/// Most of what passes is ASCII, which is told much faster.
pub(crate) fn is_utf8(data: &[u8]) -> bool {
    data.is_ascii() || std::str::from_utf8(data).is_ok()
}

/// How much a whole native answer says; nothing if it cannot be read.
#[must_use]
pub fn lengths_of(protocol: Protocol, body: &[u8]) -> Lengths {
    let response = std::str::from_utf8(body).ok().and_then(|body| decode_response(protocol, body, 0).ok());
    response.map_or_else(Lengths::default, |response| Lengths::of(&response))
}

/// Token counts of a whole native answer. Only the member that holds them is parsed.
#[must_use]
pub fn usage_of(protocol: Protocol, body: &[u8]) -> Usage {
    let Ok(members) = json::members(body, usage_keys(protocol)) else { return Usage::default() };
    members
        .spans
        .into_iter()
        .flatten()
        .next()
        .map_or_else(Usage::default, |span| read_usage(protocol, &body[span]))
}

/// The top-level members of an answer that may hold its token counts.
pub(crate) const fn usage_keys(protocol: Protocol) -> [&'static str; 2] {
    match protocol {
        Protocol::Anthropic | Protocol::OpenAi | Protocol::Responses => ["usage"; 2],
        Protocol::Gemini => ["usageMetadata", "usage_metadata"],
    }
}

/// Token counts from the value of one of [`usage_keys`]; nothing if they cannot be read.
pub(crate) fn read_usage(protocol: Protocol, value: &[u8]) -> Usage {
    let read = |reader: &mut json::Reader<'_>| match protocol {
        Protocol::Anthropic => anthropic::usage::read(reader),
        Protocol::OpenAi => openai::usage::read(reader),
        Protocol::Responses => responses::usage::read(reader),
        Protocol::Gemini => gemini::usage::read(reader),
    };
    json::Reader::from_bytes(value).and_then(|mut reader| read(&mut reader)).unwrap_or_default()
}

/// Reads an upstream's error body: its words, and what kind of error they mean (5.2). Classifies by
/// body before status.
#[must_use]
pub fn parse_error(upstream: Protocol, status: u16, body: &[u8]) -> ErrorView {
    match upstream {
        Protocol::Anthropic => anthropic::error::parse(status, body),
        Protocol::OpenAi => openai::error::parse(status, body),
        Protocol::Responses => responses::error::parse(status, body),
        Protocol::Gemini => gemini::error::parse(status, body),
    }
}

/// The HTTP status and JSON body of an error in the client's protocol (5.1, 5.2).
#[must_use]
pub fn render_error(client: Protocol, error: &ErrorView) -> (u16, Vec<u8>) {
    match client {
        Protocol::Anthropic => anthropic::error::render(error),
        Protocol::OpenAi => openai::error::render(error),
        Protocol::Responses => responses::error::render(error),
        Protocol::Gemini => gemini::error::render(error),
    }
}

#[cfg(test)]
mod tests;
