//! One request, from its arrival to its answer.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use serde_json::Value;

use super::ask::Ask;
use super::departures::{self, Departures};
use super::faults::{Break, Faults};
use super::ids::{Ids, mix};
use super::record::{Received, Record};
use super::refusal::Refusal;
use super::route::{self, Operation, Route};
use super::script::{self, Answer, Cues, Filler};
use super::wire::{Frames, Tail};
use super::{Protocol, Settings, anthropic, gemini, listing, openai, responses};

#[cfg(test)]
mod tests;

const MAX_BODY: usize = 256 * 1024 * 1024;
const MAX_FLAKY: usize = 10_000;

/// What a protocol's reader needs besides the body.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Circumstances<'a> {
    /// The model and stream flag of the path.
    pub(crate) path: Option<(&'a str, bool)>,
    /// A token count is asked for, not an answer.
    pub(crate) counting: bool,
    /// Reasoning state must be of this simulator's making.
    pub(crate) strict: bool,
}

/// An answer and all that its protocol wants to repeat of the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scene<'a> {
    /// What was asked.
    pub(crate) ask: &'a Ask,
    /// What to say.
    pub(crate) answer: &'a Answer,
    /// The request as it came.
    pub(crate) body: &'a Value,
    /// A stream is a JSON array.
    pub(crate) array: bool,
    /// Argument deltas of parallel calls are mixed.
    pub(crate) interleave: bool,
}

/// The state behind a simulator.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) settings: Settings,
    pub(crate) record: Record,
    filler: Option<Filler>,
    requests: AtomicU64,
    failures: AtomicU64,
    flaky: Mutex<HashMap<String, u64>>,
    departures: Departures,
}

impl Stage {
    pub(crate) fn new(settings: Settings) -> Self {
        Stage {
            filler: Filler::new(settings.response_bytes, settings.events),
            settings,
            record: Record::default(),
            requests: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            flaky: Mutex::default(),
            departures: Departures::default(),
        }
    }

    /// Answers a request.
    pub(crate) async fn handle(&self, request: Request) -> Response {
        let (parts, body) = request.into_parts();
        if parts.uri.path() == departures::PATH {
            let told = self.departures.told(parts.uri.query().unwrap_or_default()).await;
            return ([(header::CONTENT_TYPE, "application/json")], told).into_response();
        }
        let body = to_bytes(body, MAX_BODY).await;
        let found = route::find(&parts);
        let protocol = found.as_ref().map_or_else(|(protocol, _)| *protocol, |route| route.protocol);
        let Ok(body) = body else {
            return protocol.refuse(&Refusal::new(413, "Request too large"), Ids::new(0, b""), None);
        };
        if self.settings.record {
            self.record.push(received(&parts, protocol, body.clone()));
        }
        let ids = Ids::new(self.settings.seed, &body);
        let route = match found {
            Ok(route) => route,
            Err((_, refusal)) => return protocol.refuse(&refusal, ids, None),
        };
        let outcome = self.perform(&parts, &route, &body, ids).await;
        outcome.unwrap_or_else(|refusal| protocol.refuse(&refusal, ids, Some(&route)))
    }

    async fn perform(
        &self,
        parts: &Parts,
        route: &Route,
        body: &[u8],
        ids: Ids,
    ) -> Result<Response, Refusal> {
        let protocol = route.protocol;
        protocol.admit(&self.settings.keys, parts)?;
        let query = parts.uri.query().unwrap_or_default();
        match &route.operation {
            Operation::Models => {
                let list = listing::all(protocol, &self.settings.models, query);
                return Ok(protocol.respond(list, ids));
            }
            Operation::Model(id) => return Ok(protocol.respond(listing::one(protocol, id), ids)),
            Operation::Generate | Operation::Count => {}
        }
        let body: Value = serde_json::from_slice(body).map_err(|error| protocol.unreadable(&error))?;
        let model = route.model.as_deref().or(body.get("model").and_then(Value::as_str));
        let model = model.unwrap_or_default();
        let faults = Faults::of(model);
        let circumstances = Circumstances {
            path: route.model.as_deref().map(|model| (model, route.stream)),
            counting: route.operation == Operation::Count,
            strict: faults.strict,
        };
        let wait = self.settings.latency + Duration::from_millis(faults.slow);
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        if let Some(response) = self.misbehave(protocol, model, &faults, ids)? {
            return Ok(response);
        }
        let ask = protocol.read(&body, circumstances)?;
        if circumstances.counting {
            return Ok(protocol.respond(protocol.count(ask.input_tokens.max(1)), ids));
        }
        if (self.settings.must_stream || faults.must_stream) && !ask.stream {
            return Err(Refusal::bad("Stream must be set to true").param("stream"));
        }
        let filler = faults.events.and_then(|events| Filler::new(None, Some(events)));
        let filler = filler.as_ref().or(self.filler.as_ref());
        let cues = Cues {
            ids,
            filler,
            blank: faults.blank,
            filtered: faults.filtered,
            agent: faults.agent,
            search: faults.search,
        };
        let answer = script::answer(&ask, cues);
        let scene = Scene {
            ask: &ask,
            answer: &answer,
            body: &body,
            array: route.array,
            interleave: faults.interleave,
        };
        Ok(if ask.stream { self.stream(protocol, scene, &faults) } else { whole(protocol, scene, &faults) })
    }

    /// Errors that come instead of an answer.
    fn misbehave(
        &self,
        protocol: Protocol,
        model: &str,
        faults: &Faults,
        ids: Ids,
    ) -> Result<Option<Response>, Refusal> {
        let failing = match faults.flaky {
            Some(times) => self.is_flaky(model, times).then_some(faults.status.unwrap_or(503)),
            None => faults.status,
        };
        if faults.html {
            return Ok(Some(page(failing.unwrap_or(502))));
        }
        if faults.error_in_200 {
            let refusal = protocol.failure(failing.unwrap_or(500));
            return Ok(Some(protocol.respond(protocol.error(&refusal, ids), ids)));
        }
        if let Some(status) = failing {
            let refusal = protocol.failure(status);
            let retry_after = faults.retry_after.or(refusal.retry_after);
            return Err(Refusal { retry_after, ..refusal });
        }
        if let Some(status) = self.failure(protocol) {
            return Err(protocol.failure(status));
        }
        Ok(faults.empty.then(|| protocol.respond(String::new(), ids)))
    }

    fn is_flaky(&self, model: &str, times: u64) -> bool {
        let mut seen = self.flaky.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= MAX_FLAKY && !seen.contains_key(model) {
            seen.clear();
        }
        let count = seen.entry(model.to_owned()).or_default();
        *count += 1;
        *count <= times
    }

    /// The status this request fails with, if it is one of those that fail.
    fn failure(&self, protocol: Protocol) -> Option<u16> {
        if self.settings.failure_rate <= 0.0 {
            return None;
        }
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let drawn = mix(self.settings.seed ^ mix(number)) as f64 / u64::MAX as f64;
        if drawn >= self.settings.failure_rate {
            return None;
        }
        let overload = if protocol == Protocol::Anthropic { 529 } else { 503 };
        match self.failures.fetch_add(1, Ordering::Relaxed) % 3 {
            0 => Some(500),
            1 => Some(overload),
            _ => Some(429),
        }
    }

    fn stream(&self, protocol: Protocol, scene: Scene<'_>, faults: &Faults) -> Response {
        let mut frames = protocol.stream(scene);
        let mut tail = Tail::End;
        if let Some((kind, events)) = faults.at {
            frames.truncate(events);
            match kind {
                Break::Error => protocol.break_off(&mut frames, scene, &protocol.failure(500)),
                Break::Cut => tail = Tail::Cut,
                Break::Stall => tail = Tail::Stall,
                Break::End => {}
            }
        }
        if let Some(size) = faults.chop {
            frames.chop(size);
        }
        let rate = self.settings.tokens_per_second;
        let pace = if rate == 0 { Duration::ZERO } else { Duration::from_secs(1) / rate };
        let watch = self.departures.watch(&scene.ask.model);
        let body = Body::new(frames.into_body(tail, pace).watched(watch));
        let kind = protocol.stream_type(scene.array);
        let mut response = protocol.dressed(200, body, kind, scene.answer.ids);
        response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        response
    }
}

/// An answer that is not streamed, or what a fault makes of it.
fn whole(protocol: Protocol, scene: Scene<'_>, faults: &Faults) -> Response {
    let ids = scene.answer.ids;
    let text = protocol.whole(scene);
    let tail = match faults.at {
        None => return protocol.respond(text, ids),
        Some((Break::Error, _)) => return protocol.refuse(&protocol.failure(500), ids, None),
        Some((Break::Cut, _)) => Tail::Cut,
        Some((Break::End, _)) => Tail::End,
        Some((Break::Stall, _)) => Tail::Stall,
    };
    let mut half = Frames::default();
    half.buf.push_str(script::evenly(&text, 2).first().copied().unwrap_or_default());
    half.end(false);
    let body = Body::new(half.into_body(tail, Duration::ZERO));
    protocol.dressed(200, body, protocol.json_type(), ids)
}

fn received(parts: &Parts, protocol: Protocol, body: Bytes) -> Received {
    Received {
        protocol,
        method: parts.method.clone(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().map(str::to_owned),
        headers: parts.headers.clone(),
        body,
    }
}

fn page(status: u16) -> Response {
    let page =
        format!("<html>\r\n<head><title>{status}</title></head>\r\n<body>simulated</body>\r\n</html>\r\n");
    let mut response = Response::new(Body::from(page));
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html"));
    response
}

/// The one match over protocols.
impl Protocol {
    fn admit(self, keys: &[String], parts: &Parts) -> Result<(), Refusal> {
        match self {
            Protocol::Anthropic => anthropic::admit(keys, &parts.headers),
            Protocol::OpenAi | Protocol::Responses => openai::admit(keys, &parts.headers),
            Protocol::Gemini => gemini::admit(keys, &parts.headers, parts.uri.query().unwrap_or_default()),
        }
    }

    fn unreadable(self, error: &serde_json::Error) -> Refusal {
        match self {
            Protocol::Anthropic => Refusal::bad(format!("The request body is not valid JSON: {error}")),
            Protocol::Gemini => Refusal::bad(format!("Invalid JSON payload received. {error}")),
            Protocol::OpenAi | Protocol::Responses => Refusal::bad(openai::UNREADABLE),
        }
    }

    fn read(self, body: &Value, circumstances: Circumstances<'_>) -> Result<Ask, Refusal> {
        match self {
            Protocol::Anthropic => anthropic::read(body, circumstances),
            Protocol::OpenAi => openai::read(body),
            Protocol::Responses => responses::read(body, circumstances),
            Protocol::Gemini => gemini::read(body, circumstances),
        }
    }

    fn whole(self, scene: Scene<'_>) -> String {
        match self {
            Protocol::Anthropic => anthropic::whole(scene),
            Protocol::OpenAi => openai::whole(scene),
            Protocol::Responses => responses::whole(scene),
            Protocol::Gemini => gemini::whole(scene),
        }
    }

    fn stream(self, scene: Scene<'_>) -> Frames {
        match self {
            Protocol::Anthropic => anthropic::stream(scene),
            Protocol::OpenAi => openai::stream(scene),
            Protocol::Responses => responses::stream(scene),
            Protocol::Gemini => gemini::stream(scene),
        }
    }

    fn count(self, tokens: usize) -> String {
        match self {
            Protocol::Gemini => gemini::count(tokens),
            Protocol::Responses => format!(r#"{{"object":"response.input_tokens","input_tokens":{tokens}}}"#),
            Protocol::Anthropic | Protocol::OpenAi => format!(r#"{{"input_tokens":{tokens}}}"#),
        }
    }

    /// What the provider says with a status.
    fn failure(self, status: u16) -> Refusal {
        match self {
            Protocol::Anthropic => anthropic::failure(status),
            Protocol::OpenAi | Protocol::Responses => openai::failure(status),
            Protocol::Gemini => gemini::failure(status),
        }
    }

    fn error(self, refusal: &Refusal, ids: Ids) -> String {
        match self {
            Protocol::Anthropic => anthropic::error(refusal, ids),
            Protocol::OpenAi | Protocol::Responses => openai::error(refusal),
            Protocol::Gemini => gemini::error(refusal),
        }
    }

    /// Appends an error event to a stream that was cut short.
    fn break_off(self, frames: &mut Frames, scene: Scene<'_>, refusal: &Refusal) {
        match self {
            Protocol::Anthropic => anthropic::break_off(frames, refusal),
            Protocol::OpenAi => openai::break_off(frames, refusal),
            Protocol::Responses => responses::break_off(frames, scene, refusal),
            Protocol::Gemini => gemini::break_off(frames, scene.array, refusal),
        }
        frames.end(false);
    }

    fn json_type(self) -> &'static str {
        match self {
            Protocol::Gemini => "application/json; charset=UTF-8",
            _ => "application/json",
        }
    }

    fn stream_type(self, array: bool) -> &'static str {
        match self {
            Protocol::Gemini if array => self.json_type(),
            Protocol::Gemini => "text/event-stream",
            _ => "text/event-stream; charset=utf-8",
        }
    }

    fn respond(self, text: String, ids: Ids) -> Response {
        self.dressed(200, Body::from(text), self.json_type(), ids)
    }

    fn refuse(self, refusal: &Refusal, ids: Ids, route: Option<&Route>) -> Response {
        let mut text = self.error(refusal, ids);
        let mut kind = self.json_type();
        if let (Protocol::Gemini, Some(route)) = (self, route) {
            // Google answers errors in the frame of the stream that was asked for.
            if route.array {
                text = format!("[{}\n]\n", text.trim_end());
            } else if route.stream {
                kind = "text/event-stream";
            }
        }
        let mut response = self.dressed(refusal.status, Body::from(text), kind, ids);
        let headers = response.headers_mut();
        if self != Protocol::Gemini {
            let retry = matches!(refusal.status, 408 | 409 | 429 | 500..);
            headers.insert("x-should-retry", HeaderValue::from_static(if retry { "true" } else { "false" }));
            if let Some(seconds) = refusal.retry_after {
                headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
            }
        }
        response
    }

    /// A response with the provider's own headers.
    fn dressed(self, status: u16, body: Body, kind: &'static str, ids: Ids) -> Response {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        match self {
            Protocol::Anthropic => anthropic::headers(headers, ids),
            Protocol::OpenAi | Protocol::Responses => openai::headers(headers, ids),
            Protocol::Gemini => gemini::headers(headers),
        }
        response
    }
}

/// A bearer token.
pub(crate) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Whether this is one of the accepted keys.
pub(crate) fn is_key(keys: &[String], key: &str) -> bool {
    keys.iter().any(|known| known == key)
}
