//! Error bodies: read by what they say before their status, written with all that clients need
//! (section 5).

use std::borrow::Cow;
use std::time::Duration;

use crate::protocol::canonical::{ErrorView, FaultKind, Overflow, retry_hint};
use crate::protocol::json::{Error, Kind, Reader, Str, Writer};
use crate::protocol::sse::write_named_event;

/// The members of an error body, wherever they stand in it.
#[derive(Debug, Default)]
struct Fields {
    tag: Option<String>,
    message: Option<String>,
    code: Option<String>,
    param: Option<String>,
    request_id: Option<String>,
    retry_after: Option<Duration>,
}

impl Fields {
    /// Reads `{"error":{…}}`, `[{"error":{…}}]`, `{"error":"text"}`, `{"message":…}`, `{"detail":…}`.
    fn read(&mut self, reader: &mut Reader<'_>, depth: u8) -> Result<(), Error> {
        if depth > 4 {
            return Ok(());
        }
        match reader.peek()? {
            Kind::Array => {
                let mut first = true;
                reader.array(
                    |item| {
                        if std::mem::take(&mut first) { self.read(item, depth + 1) } else { Ok(()) }
                    },
                )
            }
            Kind::Object => reader.object(|key, value| self.member(key, value, depth)),
            Kind::String if depth > 0 => {
                self.message = text(reader.string()?);
                Ok(())
            }
            _ => reader.skip(),
        }
    }

    fn member(&mut self, key: &str, value: &mut Reader<'_>, depth: u8) -> Result<(), Error> {
        let string = |value: &mut Reader<'_>| Ok::<_, Error>(value.lenient_string()?.and_then(text));
        match key {
            "error" => self.read(value, depth + 1)?,
            "type" => {
                // The outer one only says that this is an error.
                if let Some(tag) = string(value)?.filter(|tag| tag != "error") {
                    self.tag = Some(tag);
                }
            }
            "message" => self.message = string(value)?.or(self.message.take()),
            "detail" if self.message.is_none() => self.message = string(value)?,
            "code" => self.code = string(value)?.or(self.code.take()),
            "param" => self.param = string(value)?.or(self.param.take()),
            "request_id" => self.request_id = string(value)?.or(self.request_id.take()),
            "retry_after" if value.peek()? == Kind::Number => {
                self.retry_after = seconds(value.number()?.as_f64());
            }
            _ => {}
        }
        Ok(())
    }
}

fn text(value: Str<'_>) -> Option<String> {
    Some(value.decode().into_owned()).filter(|text| !text.trim().is_empty())
}

fn seconds(value: f64) -> Option<Duration> {
    (value.is_finite() && (0.0..=1e6).contains(&value)).then(|| Duration::from_secs_f64(value))
}

/// Reads an error body.
pub(crate) fn parse(status: u16, body: &[u8]) -> ErrorView {
    let mut fields = Fields::default();
    let whole = Reader::from_bytes(body).and_then(|mut reader| {
        fields.read(&mut reader, 0)?;
        reader.end()
    });
    if whole.is_err() {
        // Half a document is no better than a page of a CDN (T170).
        fields = Fields::default();
    }
    let kind = classify(status, &fields);
    let message = fields.message.unwrap_or_else(|| format!("upstream returned status {status}"));
    let retry_after = fields.retry_after.or_else(|| retry_hint(&message));
    ErrorView {
        code: fields.code,
        param: fields.param,
        retry_after,
        request_id: fields.request_id,
        ..ErrorView::new(kind, message)
    }
}

/// What kind of error it is: by its words, its type, its status, in this order.
fn classify(status: u16, fields: &Fields) -> FaultKind {
    let message = fields.message.as_deref().unwrap_or_default().to_ascii_lowercase();
    if Overflow::is_told(status, &message) || fields.code.as_deref() == Some("context_length_exceeded") {
        return FaultKind::ContextLength;
    }
    let by_status = match status {
        // An error that came with a success.
        0..=399 => FaultKind::BadUpstream,
        status => FaultKind::from_status(status),
    };
    match fields.tag.as_deref() {
        Some("authentication_error") => FaultKind::Authentication,
        Some("billing_error") => FaultKind::Billing,
        Some("permission_error") => FaultKind::Permission,
        Some("not_found_error") => FaultKind::NotFound,
        Some("conflict_error") => FaultKind::Conflict,
        Some("request_too_large") => FaultKind::TooLarge,
        Some("rate_limit_error") => FaultKind::RateLimit,
        Some("timeout_error") => FaultKind::Timeout,
        // Also inside of a stream that began with 200 (T166).
        Some("overloaded_error") => FaultKind::Overloaded,
        Some("invalid_request_error") if message.contains("credit balance is too low") => FaultKind::Billing,
        Some("invalid_request_error") if !matches!(status, 401..=499) => FaultKind::InvalidRequest,
        _ => by_status,
    }
}

fn type_of(kind: FaultKind) -> &'static str {
    match kind {
        FaultKind::InvalidRequest
        | FaultKind::Unsupported
        | FaultKind::ContextLength
        | FaultKind::Method
        | FaultKind::Upgrade
        | FaultKind::Encoding
        | FaultKind::Unprocessable
        | FaultKind::ContentPolicy => "invalid_request_error",
        FaultKind::Authentication => "authentication_error",
        FaultKind::Billing => "billing_error",
        FaultKind::Permission => "permission_error",
        FaultKind::NotFound | FaultKind::Endpoint => "not_found_error",
        FaultKind::Conflict => "conflict_error",
        FaultKind::TooLarge => "request_too_large",
        FaultKind::RateLimit => "rate_limit_error",
        FaultKind::Timeout | FaultKind::SlowRequest => "timeout_error",
        FaultKind::Overloaded => "overloaded_error",
        FaultKind::BadUpstream | FaultKind::Internal | FaultKind::Cancelled => "api_error",
    }
}

/// The HTTP status and body for an Anthropic client.
pub(crate) fn render(error: &ErrorView) -> (u16, Vec<u8>) {
    let status = match error.kind {
        FaultKind::Overloaded => 529,
        FaultKind::Unprocessable => 400,
        kind => kind.status(),
    };
    let mut body = Vec::new();
    write(error, &mut body);
    (status, body)
}

fn write(error: &ErrorView, out: &mut Vec<u8>) {
    let mut w = Writer::new(out);
    w.begin_object();
    w.key("type").text("error");
    w.key("error").begin_object();
    w.key("type").text(type_of(error.kind));
    w.key("message").text(&message(error));
    w.end_object();
    match &error.request_id {
        Some(id) => w.key("request_id").text(id),
        None => w.key("request_id").null(),
    };
    w.end_object();
}

/// The message; an overflow in the words that agents compact on, or ask for a shorter answer (T169).
fn message(error: &ErrorView) -> Cow<'_, str> {
    let words = error.message.as_str();
    if error.kind != FaultKind::ContextLength || words.starts_with("input length and `max_tokens`") {
        return words.into();
    }
    let overflow = error.overflow();
    if let Some((prompt, answer, limit)) = overflow.answer_too_large() {
        return format!(
            "input length and `max_tokens` exceed context limit: {prompt} + {answer} > {limit}, \
             decrease input length or `max_tokens` and try again"
        )
        .into();
    }
    match overflow.sizes() {
        _ if words.starts_with(TOO_LONG) => words.into(),
        Some((asked, limit)) => format!("{TOO_LONG}: {asked} tokens > {limit} maximum").into(),
        None => format!("{TOO_LONG}: {words}").into(),
    }
}

/// What agents look for.
const TOO_LONG: &str = "prompt is too long";

/// Appends an error event; nothing may follow it (section 5.4).
pub(crate) fn write_event(error: &ErrorView, out: &mut Vec<u8>) {
    write_named_event(out, "error", |out| write(error, out));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t169_overflows_are_told_in_the_words_that_agents_compact_on() {
        for (words, told) in [
            (
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 130,123 tokens.",
                "prompt is too long: 130123 tokens > 128000 maximum",
            ),
            (
                "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
                "prompt is too long: 1100000 tokens > 1048576 maximum",
            ),
            (
                "Your input exceeds the context window",
                "prompt is too long: Your input exceeds the context window",
            ),
            ("prompt is too long: 9 tokens > 8 maximum", "prompt is too long: 9 tokens > 8 maximum"),
            (
                "input length and `max_tokens` exceed context limit: 1 + 2 > 2",
                "input length and `max_tokens` exceed context limit: 1 + 2 > 2",
            ),
            // The prompt fits: to compact it would not help, to ask for less does.
            (
                "This model's maximum context length is 32768 tokens. However, you requested 34000 tokens (2000 in the messages, 32000 in the completion).",
                "input length and `max_tokens` exceed context limit: 2000 + 32000 > 32768, decrease input length or `max_tokens` and try again",
            ),
            (
                "Input is too long for requested model.",
                "prompt is too long: Input is too long for requested model.",
            ),
        ] {
            let body = format!(
                r#"{{"type":"error","error":{{"type":"invalid_request_error","message":"{words}"}}}}"#
            );
            let view = parse(400, body.as_bytes());
            assert_eq!(view.kind, FaultKind::ContextLength, "{words}");
            assert_eq!(message(&view), told);
            assert_eq!(render(&view).0, 400);
        }
    }

    #[test]
    fn t166_t170_bodies_of_every_sort() {
        let overloaded = br#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"},"request_id":"req_1"}"#;
        for (status, body, kind, words) in [
            (529, &overloaded[..], FaultKind::Overloaded, "Overloaded"),
            (200, overloaded, FaultKind::Overloaded, "Overloaded"),
            (502, b"<html>Bad gateway</html>", FaultKind::BadUpstream, "upstream returned status 502"),
            (429, b"", FaultKind::RateLimit, "upstream returned status 429"),
            (404, br#"[{"error":{"message":"gone"}}]"#, FaultKind::NotFound, "gone"),
            (401, br#"{"error":"no key"}"#, FaultKind::Authentication, "no key"),
            (403, br#"{"detail":"not you"}"#, FaultKind::Permission, "not you"),
            (
                400,
                br#"{"error":{"type":"invalid_request_error","message":"Your credit balance is too low"}}"#,
                FaultKind::Billing,
                "Your credit balance is too low",
            ),
            (418, br#"{"message":"teapot"}"#, FaultKind::InvalidRequest, "teapot"),
        ] {
            let view = parse(status, body);
            assert_eq!((view.kind, view.message.as_str()), (kind, words), "{status}");
        }
        assert_eq!(parse(529, overloaded).request_id.as_deref(), Some("req_1"));
        assert_eq!(render(&parse(503, b"")).0, 529);
    }
}
