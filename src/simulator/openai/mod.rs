//! OpenAI Chat Completions, and what it shares with Responses: keys, errors, headers.

mod logprobs;
mod reply;
mod request;
#[cfg(test)]
mod tests;

use axum::http::{HeaderMap, HeaderValue};
use serde_json::Value;

use super::ask::{Ask, data_url};
use super::ids::Ids;
use super::refusal::{Refusal, kind};
use super::stage::{bearer, is_key};
use super::wire::{Frames, quoted};

pub(crate) use logprobs::{most_probable, tokens_of};
pub(crate) use reply::{stream, whole};
pub(crate) use request::read;

/// What the API says to a body that is not JSON.
pub(crate) const UNREADABLE: &str = "We could not parse the JSON body of your request. (HINT: This likely means you aren't using your HTTP library correctly. The OpenAI API expects a JSON payload, but what was sent was not valid JSON. If you have trouble figuring out how to fix this, please contact us through our help center at help.openai.com.)";

/// Checks the key.
pub(crate) fn admit(keys: &[String], headers: &HeaderMap) -> Result<(), Refusal> {
    if keys.is_empty() {
        return Ok(());
    }
    match bearer(headers) {
        Some(token) if is_key(keys, token) => Ok(()),
        Some(token) => Err(Refusal::new(401, wrong_key(token)).code("invalid_api_key")),
        None => Err(Refusal::new(
            401,
            "You didn't provide an API key. You need to provide your API key in an Authorization header using Bearer auth (i.e. Authorization: Bearer YOUR_KEY).",
        )),
    }
}

fn wrong_key(key: &str) -> String {
    let shown = match (key.get(..8), key.len().checked_sub(4).and_then(|at| key.get(at..))) {
        (Some(start), Some(end)) if key.len() > 12 => format!("{start}{}{end}", "*".repeat(key.len() - 12)),
        _ => "*".repeat(key.len().min(12)),
    };
    format!(
        "Incorrect API key provided: {shown}. You can find your API key at https://platform.openai.com/account/api-keys."
    )
}

/// What the API says with a status.
pub(crate) fn failure(status: u16) -> Refusal {
    let (message, code) = match status {
        400 => ("Invalid request.", None),
        401 => ("Incorrect API key provided.", Some("invalid_api_key")),
        402 => (
            "You exceeded your current quota, please check your plan and billing details.",
            Some("insufficient_quota"),
        ),
        403 => ("You are not allowed to sample from this model", None),
        404 => ("The model does not exist or you do not have access to it.", Some("model_not_found")),
        429 => ("Rate limit reached for requests. Please try again in 1s.", Some("rate_limit_exceeded")),
        503 => ("The engine is currently overloaded, please try again later", None),
        500.. => ("The server had an error while processing your request. Sorry about that!", None),
        _ => ("The request was refused.", None),
    };
    Refusal { retry_after: (status == 429).then_some(1), code, ..Refusal::new(status, message) }
}

fn error_type(refusal: &Refusal) -> &'static str {
    match (refusal.status, refusal.code) {
        (_, Some("insufficient_quota")) => "insufficient_quota",
        (429, _) => "requests",
        (500.., _) => "server_error",
        _ => "invalid_request_error",
    }
}

/// An error body.
pub(crate) fn error(refusal: &Refusal) -> String {
    let nullable = |text: Option<&str>| text.map_or_else(|| String::from("null"), quoted);
    // The indentation is the API's own.
    format!(
        "{{\n  \"error\": {{\n    \"message\": {},\n    \"type\": \"{}\",\n    \"param\": {},\n    \"code\": {}\n  }}\n}}",
        quoted(&refusal.message),
        error_type(refusal),
        nullable(refusal.param.as_deref()),
        nullable(refusal.code)
    )
}

/// The error object on one line, as events carry it.
pub(crate) fn error_object(refusal: &Refusal) -> String {
    format!(
        r#"{{"type":"{kind}","code":{code},"message":{message},"param":null}}"#,
        kind = error_type(refusal),
        code = quoted(refusal.code.unwrap_or(error_type(refusal))),
        message = quoted(&refusal.message),
    )
}

/// An error in the middle of a stream.
pub(crate) fn break_off(frames: &mut Frames, refusal: &Refusal) {
    frames.buf.push_str(&format!("data: {{\"error\":{}}}\n\n", error_object(refusal)));
}

/// The headers of every response.
pub(crate) fn headers(headers: &mut HeaderMap, ids: Ids) {
    if let Ok(id) = HeaderValue::try_from(ids.hex("req_", 1, 32)) {
        headers.insert("x-request-id", id);
    }
    for (name, value) in [
        ("openai-processing-ms", "1"),
        ("openai-version", "2020-10-01"),
        ("x-ratelimit-limit-requests", "10000"),
        ("x-ratelimit-remaining-requests", "9999"),
        ("x-ratelimit-reset-requests", "6ms"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// 400: a parameter that must be there is not.
pub(crate) fn missing(param: impl Into<String>) -> Refusal {
    let param = param.into();
    Refusal::bad(format!("Missing required parameter: '{param}'."))
        .param(param)
        .code("missing_required_parameter")
}

/// 400: a parameter has the wrong type.
pub(crate) fn wrong_type(param: impl Into<String>, expected: &str, got: &Value) -> Refusal {
    let param = param.into();
    Refusal::bad(format!("Invalid type for '{param}': expected {expected}, but got {} instead.", kind(got)))
        .param(param)
        .code("invalid_type")
}

/// 400: a parameter has a value that is not one of those known.
pub(crate) fn wrong_value(param: impl Into<String>, got: &str, supported: &str) -> Refusal {
    Refusal::bad(format!("Invalid value: '{got}'. Supported values are: {supported}."))
        .param(param)
        .code("invalid_value")
}

/// A boolean parameter.
pub(crate) fn flag(body: &Value, name: &str, default: bool) -> Result<bool, Refusal> {
    match body.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(other) => Err(wrong_type(name, "a boolean", other)),
    }
}

/// A number of tokens.
pub(crate) fn tokens(body: &Value, name: &str, least: i64) -> Result<Option<u64>, Refusal> {
    let Some(value) = body.get(name).filter(|value| !value.is_null()) else { return Ok(None) };
    let Some(number) = value.as_i64() else { return Err(wrong_type(name, "an integer", value)) };
    if number < least {
        return Err(Refusal::bad(format!(
            "Invalid '{name}': integer below minimum value. Expected a value >= {least}, but got {number} instead."
        ))
        .param(name)
        .code("integer_below_min_value"));
    }
    Ok(u64::try_from(number).ok())
}

/// Media in a data URL; an image may also be somewhere on the web.
pub(crate) fn media(
    ask: &mut Ask,
    place: &str,
    holder: &Value,
    name: &str,
    expected: &str,
) -> Result<(), Refusal> {
    let Some(url) = holder.get(name).and_then(Value::as_str) else { return Ok(()) };
    let web = name != "file_data" && (url.starts_with("https://") || url.starts_with("http://"));
    if web || data_url(url).is_some_and(|(kind, data)| ask.inline(kind, data)) {
        return Ok(());
    }
    let fault =
        if url.starts_with("data:") { "an invalid one" } else { "a value without the 'data:' prefix" };
    let place = format!("{place}.{name}");
    Err(Refusal::bad(format!(
        "Invalid '{place}'. Expected a base64-encoded data URL with {expected} MIME type, but got {fault}."
    ))
    .param(place)
    .code("invalid_value"))
}

/// The name of a function tool.
pub(crate) fn tool_name(tool: &Value, place: &str) -> Result<String, Refusal> {
    let name = match tool.get("name") {
        None | Some(Value::Null) => return Err(missing(format!("{place}.name"))),
        Some(Value::String(name)) => name,
        Some(other) => return Err(wrong_type(format!("{place}.name"), "a string", other)),
    };
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(good) {
        return Err(Refusal::bad(format!(
            "Invalid '{place}.name': string does not match pattern. Expected a string that matches the pattern '^[a-zA-Z0-9_-]+$'."
        ))
        .param(format!("{place}.name"))
        .code("invalid_value"));
    }
    Ok(name.clone())
}
