//! Errors of the OpenAI family: reading an upstream's, writing a client's (section 5).

use std::borrow::Cow;
use std::time::Duration;

use super::{object, usage};
use crate::protocol::canonical::{AccountReset, ErrorView, FaultKind, Overflow, retry_hint};
use crate::protocol::json::{self, Error, Kind, Object, Reader, Writer};
use crate::protocol::{ClientDialect, Observation, sse};

/// The members of an error object, wherever they stood.
#[derive(Debug, Default)]
pub(super) struct Members {
    message: Option<String>,
    kind: Option<String>,
    code: Option<String>,
    param: Option<String>,
    /// Codex, where a window of the subscription is used up: when it begins anew, in seconds, and since 1970.
    resets_in: Option<u64>,
    resets_at: Option<u64>,
}

impl Members {
    /// Reads an error object, or the string that some servers send in its place. The members may
    /// also stand in an `error` object inside (T054).
    pub(super) fn read(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        match reader.peek()? {
            Kind::String => self.message = text(&reader.string()?.into_decoded()),
            Kind::Object => reader.object(|key, value| self.member(key, value))?,
            _ => reader.skip()?,
        }
        Ok(())
    }

    fn member(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        let slot = match key {
            "message" | "detail" => &mut self.message,
            "type" => &mut self.kind,
            "code" => &mut self.code,
            "param" => &mut self.param,
            "resets_in_seconds" => {
                self.resets_in = value.lenient_u64()?;
                return Ok(());
            }
            "resets_at" => {
                self.resets_at = value.lenient_u64()?;
                return Ok(());
            }
            _ => return Ok(()),
        };
        match value.peek()? {
            Kind::String => *slot = text(&value.string()?.into_decoded()),
            // Some servers repeat the status here.
            Kind::Number => *slot = Some(value.number()?.as_str().to_owned()),
            _ => {}
        }
        Ok(())
    }

    /// Whether anything was said at all.
    pub(super) fn is_empty(&self) -> bool {
        self.message.is_none() && self.kind.is_none() && self.code.is_none()
    }

    /// The error that these members mean; `status` is 200 for an error inside a stream.
    pub(super) fn view(self, status: u16) -> ErrorView {
        let message = self.message.unwrap_or_else(|| match self.code.as_deref().or(self.kind.as_deref()) {
            Some(code) => format!("upstream error: {code}"),
            None => unreadable(status, b""),
        });
        let kind = classify(self.code.as_deref(), self.kind.as_deref(), &message, status);
        ErrorView {
            retry_after: retry_hint(&message),
            account_reset: self
                .resets_in
                .map(|seconds| AccountReset::In(Duration::from_secs(seconds)))
                .or(self.resets_at.map(AccountReset::At))
                .map(Box::new),
            code: self.code,
            param: self.param,
            ..ErrorView::new(kind, message)
        }
    }
}

/// Words; blanks are none.
fn text(text: &str) -> Option<String> {
    Some(text).filter(|text| !text.trim().is_empty()).map(str::to_owned)
}

/// Reads an upstream's error body; its words count before its status (section 5.2).
pub(crate) fn parse(status: u16, body: &[u8]) -> ErrorView {
    match read_body(body) {
        Some(members) if !members.is_empty() => members.view(status),
        // T170: HTML, nothing, or JSON that says nothing.
        _ => {
            let kind = classify(None, None, "", status);
            ErrorView::new(kind, unreadable(status, body))
        }
    }
}

fn read_body(body: &[u8]) -> Option<Members> {
    let mut reader = Reader::from_bytes(body).ok()?;
    let mut members = Members::default();
    let read = match reader.peek().ok()? {
        // One error in a list.
        Kind::Array => {
            let mut first = true;
            reader.array(
                |value| if std::mem::take(&mut first) { read_one(value, &mut members) } else { Ok(()) },
            )
        }
        _ => read_one(&mut reader, &mut members),
    };
    read.ok().map(|()| members)
}

fn read_one(reader: &mut Reader<'_>, members: &mut Members) -> Result<(), Error> {
    let mut nested = None;
    if reader.peek()? != Kind::Object {
        return members.read(reader);
    }
    reader.object(|key, value| match key {
        "error" => {
            let mut inner = Members::default();
            inner.read(value)?;
            nested = Some(inner);
            Ok(())
        }
        _ => members.member(key, value),
    })?;
    if let Some(inner) = nested.filter(|inner| !inner.is_empty()) {
        *members = inner;
    }
    Ok(())
}

fn unreadable(status: u16, body: &[u8]) -> String {
    let what = match body.trim_ascii().first() {
        None => "an empty body",
        Some(b'<') => "an HTML page",
        Some(_) => "an unreadable body",
    };
    format!("upstream returned {status} with {what}")
}

fn classify(code: Option<&str>, kind: Option<&str>, message: &str, status: u16) -> FaultKind {
    code.and_then(known_code)
        .or_else(|| kind.and_then(known_code))
        .or_else(|| Overflow::is_told(status, message).then_some(FaultKind::ContextLength))
        .unwrap_or_else(|| by_status([code, kind], status))
}

/// Inside a stream the status says nothing; the general words are all there is.
fn by_status(words: [Option<&str>; 2], status: u16) -> FaultKind {
    if status >= 400 {
        return FaultKind::from_status(status);
    }
    let says = |word: &str| words.contains(&Some(word));
    if says("invalid_request_error") {
        FaultKind::InvalidRequest
    } else if says("server_error") || says("internal_error") || says("internal_server_error") {
        FaultKind::Internal
    } else {
        FaultKind::BadUpstream
    }
}

fn known_code(code: &str) -> Option<FaultKind> {
    Some(match code {
        "context_length_exceeded" => FaultKind::ContextLength,
        "insufficient_quota" | "billing_hard_limit_reached" | "billing_error" | "usage_not_included" => {
            FaultKind::Billing
        }
        "rate_limit_exceeded"
        | "rate_limit_error"
        | "requests"
        | "tokens"
        | "too_many_requests"
        | "usage_limit_reached" => FaultKind::RateLimit,
        "invalid_api_key" | "authentication_error" | "invalid_authentication" => FaultKind::Authentication,
        "permission_error" | "permission_denied" => FaultKind::Permission,
        "model_not_found" | "not_found" | "not_found_error" | "DeploymentNotFound" => FaultKind::NotFound,
        "content_policy_violation" | "content_filter" | "moderation_blocked" | "invalid_prompt" => {
            FaultKind::ContentPolicy
        }
        "server_overloaded" | "server_is_overloaded" | "overloaded_error" | "slow_down" => {
            FaultKind::Overloaded
        }
        "timeout" | "timeout_error" => FaultKind::Timeout,
        "request_too_large" => FaultKind::TooLarge,
        _ => return None,
    })
}

/// The HTTP status and body of an error for a client (sections 5.1 and 5.2).
pub(crate) fn render(error: &ErrorView) -> (u16, Vec<u8>) {
    let mut out = Vec::new();
    let (kind, code) = words(error.kind);
    let mut w = Writer::new(&mut out);
    w.begin_object();
    w.key("error").begin_object();
    w.key("message").text(&message(error));
    w.key("type").text(kind);
    w.key("param");
    optional(error.param.as_deref(), &mut w);
    w.key("code");
    optional(error.code.as_deref().filter(|code| is_our_code(code)).or(code), &mut w);
    w.end_object().end_object();
    // An account without credit is told with 429 here (section 5.2).
    let status = if error.kind == FaultKind::Billing { 429 } else { error.kind.status() };
    (status, out)
}

/// The message; an overflow in OpenAI's words, which clients look for beside the code (T169).
fn message(error: &ErrorView) -> Cow<'_, str> {
    const WINDOW: &str = "exceeds the context window of this model";
    let words = error.message.as_str();
    let native = words.contains("maximum context length is ") || words.contains(WINDOW);
    if error.kind != FaultKind::ContextLength || native {
        return words.into();
    }
    match error.overflow().in_openai_words() {
        Some(told) => told.into(),
        None => format!("Your input {WINDOW}: {words}").into(),
    }
}

fn optional(value: Option<&str>, w: &mut Writer<'_>) {
    match value {
        Some(value) => w.text(value),
        None => w.null(),
    };
}

/// Codes of this family are words in lower case; other vendors' statuses and numbers are not shown.
fn is_our_code(code: &str) -> bool {
    code.starts_with(|c: char| c.is_ascii_lowercase())
        && code.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'.')
}

/// Type and code that clients know for each kind.
fn words(kind: FaultKind) -> (&'static str, Option<&'static str>) {
    const INVALID: &str = "invalid_request_error";
    match kind {
        FaultKind::InvalidRequest
        | FaultKind::Endpoint
        | FaultKind::Method
        | FaultKind::Upgrade
        | FaultKind::Encoding
        | FaultKind::Unprocessable => (INVALID, None),
        FaultKind::Unsupported => (INVALID, Some("unsupported_parameter")),
        FaultKind::ContextLength => (INVALID, Some("context_length_exceeded")),
        FaultKind::Authentication => (INVALID, Some("invalid_api_key")),
        FaultKind::Billing => ("insufficient_quota", Some("insufficient_quota")),
        FaultKind::Permission => ("permission_error", None),
        FaultKind::NotFound => (INVALID, Some("model_not_found")),
        FaultKind::Conflict => (INVALID, Some("conflict")),
        FaultKind::TooLarge => (INVALID, Some("request_too_large")),
        FaultKind::RateLimit => ("rate_limit_error", Some("rate_limit_exceeded")),
        FaultKind::ContentPolicy => (INVALID, Some("content_policy_violation")),
        FaultKind::Timeout | FaultKind::SlowRequest => ("server_error", Some("timeout")),
        FaultKind::Overloaded => ("server_error", Some("server_overloaded")),
        FaultKind::BadUpstream => ("server_error", Some("bad_gateway")),
        FaultKind::Internal | FaultKind::Cancelled => ("server_error", None),
    }
}

/// Code and message of a failed response. The codes are those that Codex acts on (section 5.4).
fn failure(error: &ErrorView) -> (&'static str, Cow<'_, str>) {
    let code = match error.kind {
        FaultKind::RateLimit => "rate_limit_exceeded",
        FaultKind::ContextLength => "context_length_exceeded",
        FaultKind::Billing => "insufficient_quota",
        FaultKind::Overloaded => "server_is_overloaded",
        FaultKind::InvalidRequest | FaultKind::Unsupported | FaultKind::ContentPolicy => "invalid_prompt",
        _ => "server_error",
    };
    let message = match error.retry_after {
        // Codex reads the delay from the words.
        Some(delay) if error.kind == FaultKind::RateLimit && !error.message.contains("try again in ") => {
            format!("{} Please try again in {:.3}s.", error.message, delay.as_secs_f64()).into()
        }
        _ => message(error),
    };
    (code, message)
}

/// The `error` member of a failed response.
pub(super) fn write_failure(error: &ErrorView, w: &mut Writer<'_>) {
    let (code, message) = failure(error);
    w.begin_object();
    w.key("code").text(code);
    w.key("message").text(&message);
    w.end_object();
}

/// The members of an `error` event: as the protocol has them, and in an object, at which OpenAI's SDKs raise.
pub(super) fn write_error_members(error: &ErrorView, w: &mut Writer<'_>) {
    let (code, message) = failure(error);
    let members = |w: &mut Writer<'_>| {
        w.key("code").text(code);
        w.key("message").text(&message);
        w.key("param");
        optional(error.param.as_deref(), w);
    };
    members(w);
    w.key("error").begin_object();
    w.key("type").text(words(error.kind).0);
    members(w);
    w.end_object();
}

/// Ends a relayed stream with `response.failed`, in the numbering and identity that it began with.
pub(crate) fn write_event(error: &ErrorView, state: &Observation, dialect: ClientDialect, out: &mut Vec<u8>) {
    let mut sequence = state.events;
    if dialect.resp_error_event {
        write_numbered("error", sequence, |w| write_error_members(error, w), out);
        sequence += 1;
    }
    let response = failed_response(error, state);
    let members = |w: &mut Writer<'_>| {
        w.key("response");
        response.write(w);
    };
    write_numbered("response.failed", sequence, members, out);
}

fn write_numbered(
    name: &'static str,
    sequence: u64,
    members: impl FnOnce(&mut Writer<'_>),
    out: &mut Vec<u8>,
) {
    sse::write_named_event(out, name, |out| {
        let mut w = Writer::new(out);
        w.begin_object();
        w.key("type").text(name);
        w.key("sequence_number").u64(sequence);
        members(&mut w);
        w.end_object();
    });
}

fn failed_response(error: &ErrorView, state: &Observation) -> Object {
    let mut response = state
        .opening
        .as_deref()
        .and_then(|opening| Object::parse(&object::on_one_line(opening)).ok())
        .unwrap_or_else(object::minimal);
    let mut failure = Vec::new();
    write_failure(error, &mut Writer::new(&mut failure));
    response.set("status", "\"failed\"");
    response.set("error", json::string_from_utf8(failure));
    if !state.usage.is_empty() {
        let mut counts = Vec::new();
        usage::write(&state.usage, &mut Writer::new(&mut counts));
        response.set("usage", json::string_from_utf8(counts));
    }
    response
}

#[cfg(test)]
mod tests;
