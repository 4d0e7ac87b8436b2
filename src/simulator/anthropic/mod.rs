//! Anthropic Messages.

mod reply;
mod request;
#[cfg(test)]
mod tests;

use axum::http::{HeaderMap, HeaderValue};

use super::ids::{CREATED_RFC3339, Ids};
use super::refusal::Refusal;
use super::stage::{bearer, is_key};
use super::wire::{Frames, quoted};

pub(crate) use reply::{stream, whole};
pub(crate) use request::read;

/// How signatures of this simulator begin, in base64.
const SIGNATURE: &str = "EsimulatorAnthropic";

/// How many letters follow: 19 + 105 letters are valid base64 of 93 bytes.
const SIGNED: usize = 105;

/// Whether this is a signature of this simulator, and whole.
fn is_own(signature: &str) -> bool {
    signature.strip_prefix(SIGNATURE).is_some_and(|rest| rest.len() == SIGNED)
}

/// Checks the key and the version header.
pub(crate) fn admit(keys: &[String], headers: &HeaderMap) -> Result<(), Refusal> {
    if !keys.is_empty() {
        let key = headers.get("x-api-key").and_then(|key| key.to_str().ok());
        match (key, bearer(headers)) {
            (Some(key), _) if is_key(keys, key) => {}
            (_, Some(token)) if is_key(keys, token) => {}
            (Some(_), _) => return Err(Refusal::new(401, "invalid x-api-key")),
            (None, Some(_)) => return Err(Refusal::new(401, "Invalid bearer token")),
            (None, None) => return Err(Refusal::new(401, "x-api-key header is required")),
        }
    }
    match headers.get("anthropic-version").map(HeaderValue::as_bytes) {
        // Clients name different days by their age; the shapes are the same.
        Some(day) if is_day(day) => Ok(()),
        Some(other) => {
            let other = String::from_utf8_lossy(other);
            Err(Refusal::bad(format!("anthropic-version: \"{other}\" is not a valid version")))
        }
        None => Err(Refusal::bad("anthropic-version: header is required")),
    }
}

fn is_day(text: &[u8]) -> bool {
    text.len() == 10
        && text.iter().enumerate().all(|(n, byte)| match n {
            4 | 7 => *byte == b'-',
            _ => byte.is_ascii_digit(),
        })
}

/// What the API says with a status.
pub(crate) fn failure(status: u16) -> Refusal {
    let message = match status {
        400 => "Error",
        401 => "invalid x-api-key",
        402 => "Your credit balance is too low to access the Anthropic API.",
        403 => "Your API key does not have permission to use the specified resource.",
        404 => "model: not found",
        413 => "Request exceeds the maximum size",
        429 => "This request would exceed your organization's rate limit.",
        504 => "Request timed out",
        529 => "Overloaded",
        _ => "Internal server error",
    };
    Refusal { retry_after: (status == 429).then_some(1), ..Refusal::new(status, message) }
}

fn error_type(status: u16) -> &'static str {
    match status {
        401 => "authentication_error",
        402 => "billing_error",
        403 => "permission_error",
        404 => "not_found_error",
        413 => "request_too_large",
        429 => "rate_limit_error",
        504 => "timeout_error",
        529 => "overloaded_error",
        500.. => "api_error",
        _ => "invalid_request_error",
    }
}

fn request_id(ids: Ids) -> String {
    ids.base62("req_011C", 1, 20)
}

/// An error body.
pub(crate) fn error(refusal: &Refusal, ids: Ids) -> String {
    format!(
        r#"{{"type":"error","error":{{"type":"{}","message":{}}},"request_id":"{}"}}"#,
        error_type(refusal.status),
        quoted(&refusal.message),
        request_id(ids)
    )
}

/// An error in the middle of a stream.
pub(crate) fn break_off(frames: &mut Frames, refusal: &Refusal) {
    frames.buf.push_str(&format!(
        "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"details\":null,\"type\":\"{}\",\"message\":{}}}}}\n\n",
        error_type(refusal.status),
        quoted(&refusal.message)
    ));
}

/// The headers of every response.
pub(crate) fn headers(headers: &mut HeaderMap, ids: Ids) {
    if let Ok(id) = HeaderValue::try_from(request_id(ids)) {
        headers.insert("request-id", id);
    }
    for (name, value) in [
        ("anthropic-ratelimit-requests-limit", "4000"),
        ("anthropic-ratelimit-requests-remaining", "3999"),
        ("anthropic-ratelimit-requests-reset", CREATED_RFC3339),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}
