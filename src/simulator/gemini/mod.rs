//! Gemini generateContent.

mod reply;
mod request;
#[cfg(test)]
mod tests;

use axum::http::{HeaderMap, HeaderValue};

use super::refusal::Refusal;
use super::route::parameter;
use super::stage::{bearer, is_key};
use super::wire::{Frames, pretty, quoted};

pub(crate) use reply::{stream, whole};
pub(crate) use request::read;

/// How signatures of this simulator begin, in base64.
const SIGNATURE: &str = "CsimulatorGemini";

/// How many letters follow: 16 + 106 letters, one more and one sign are valid base64 of 92 bytes.
const SIGNED: usize = 106;

/// Whether this is a signature of this simulator, and whole.
fn is_own(signature: &str) -> bool {
    let rest = signature.trim_end_matches('=').strip_prefix(SIGNATURE);
    rest.is_some_and(|rest| rest.len() == SIGNED + 1)
}

const BAD_KEY: &str = "API key not valid. Please pass a valid API key.";

/// Checks the key.
pub(crate) fn admit(keys: &[String], headers: &HeaderMap, query: &str) -> Result<(), Refusal> {
    if keys.is_empty() {
        return Ok(());
    }
    let header = headers.get("x-goog-api-key").and_then(|key| key.to_str().ok()).map(str::to_owned);
    let key = header.or_else(|| parameter(query, "key"));
    match (key, bearer(headers)) {
        (Some(key), _) if is_key(keys, &key) => Ok(()),
        (Some(_), _) => Err(Refusal::bad(BAD_KEY).code("API_KEY_INVALID")),
        (None, Some(token)) if is_key(keys, token) => Ok(()),
        (None, Some(_)) => Err(Refusal::new(
            401,
            "Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.",
        )),
        (None, None) => Err(Refusal::new(
            403,
            "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
        )),
    }
}

/// What the API says with a status.
pub(crate) fn failure(status: u16) -> Refusal {
    let message = match status {
        400 => "Request contains an invalid argument.",
        401 => "Request had invalid authentication credentials.",
        403 => "The caller does not have permission",
        404 => {
            "models/unknown is not found for API version v1beta, or is not supported for generateContent. Call ModelService.ListModels to see the list of available models and their supported methods."
        }
        429 => "You exceeded your current quota, please check your plan and billing details.",
        503 => "The model is overloaded. Please try again later.",
        504 => "Deadline expired before operation could complete.",
        500.. => {
            "An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting"
        }
        _ => "The request was refused.",
    };
    Refusal { retry_after: (status == 429).then_some(1), ..Refusal::new(status, message) }
}

fn status_name(status: u16) -> &'static str {
    match status {
        401 => "UNAUTHENTICATED",
        403 => "PERMISSION_DENIED",
        404 => "NOT_FOUND",
        409 => "ABORTED",
        429 => "RESOURCE_EXHAUSTED",
        499 => "CANCELLED",
        501 => "UNIMPLEMENTED",
        503 => "UNAVAILABLE",
        504 => "DEADLINE_EXCEEDED",
        500.. => "INTERNAL",
        _ => "INVALID_ARGUMENT",
    }
}

fn error_json(refusal: &Refusal) -> String {
    let details = if refusal.code == Some("API_KEY_INVALID") {
        format!(
            r#","details":[{{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID","domain":"googleapis.com","metadata":{{"service":"generativelanguage.googleapis.com"}}}},{{"@type":"type.googleapis.com/google.rpc.LocalizedMessage","locale":"en-US","message":"{BAD_KEY}"}}]"#
        )
    } else if let Some(seconds) = refusal.retry_after {
        format!(
            r#","details":[{{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"{seconds}s"}}]"#
        )
    } else {
        String::new()
    };
    format!(
        r#"{{"error":{{"code":{},"message":{},"status":"{}"{details}}}}}"#,
        refusal.status,
        quoted(&refusal.message),
        status_name(refusal.status)
    )
}

/// An error body.
pub(crate) fn error(refusal: &Refusal) -> String {
    pretty(&error_json(refusal)) + "\n"
}

/// An error in the middle of a stream.
pub(crate) fn break_off(frames: &mut Frames, array: bool, refusal: &Refusal) {
    let error = error_json(refusal);
    if array {
        let before = if frames.buf.is_empty() { "[" } else { ",\r\n" };
        frames.buf.push_str(before);
        frames.buf.push_str(&pretty(&error));
        frames.buf.push_str("\n]\n");
    } else {
        frames.buf.push_str("data: ");
        frames.buf.push_str(&error);
        frames.buf.push_str("\r\n\r\n");
    }
}

/// A token count.
pub(crate) fn count(tokens: usize) -> String {
    pretty(&format!(
        r#"{{"totalTokens":{tokens},"promptTokensDetails":[{{"modality":"TEXT","tokenCount":{tokens}}}]}}"#
    )) + "\n"
}

/// The headers of every response.
pub(crate) fn headers(headers: &mut HeaderMap) {
    headers.insert("vary", HeaderValue::from_static("Origin, X-Origin, Referer"));
    headers.insert("server", HeaderValue::from_static("scaffolding on HTTPServer2"));
    headers.insert("server-timing", HeaderValue::from_static("gfet4t7; dur=1"));
}
