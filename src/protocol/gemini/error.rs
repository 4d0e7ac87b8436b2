//! Errors: Google's `{"error":{code,message,status,details}}` to the hub and back (5.1–5.4).

use std::borrow::Cow;
use std::time::Duration;

use super::keys::each;
use crate::protocol::canonical::{ErrorView, FaultKind, Overflow, retry_hint, spoken_duration};
use crate::protocol::json::{Error, Kind, Reader, Writer};
use crate::protocol::sse;

/// A quota per day is not back in a minute, whatever the hint says (5.2).
const DAILY_QUOTA: Duration = Duration::from_secs(3600);

/// What an error body says.
#[derive(Debug, Default)]
pub(super) struct Body {
    code: Option<u64>,
    message: Option<String>,
    status: Option<String>,
    reasons: Vec<String>,
    retry: Option<Duration>,
    is_daily: bool,
}

impl Body {
    /// Reads the value of an `error` member: an object, or just the words.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Self, Error> {
        let mut body = Body::default();
        if reader.peek()? == Kind::String {
            body.message = Some(reader.string()?.decode().into_owned());
            return Ok(body);
        }
        reader.lenient_object(|key, value| {
            match key {
                "code" => body.code = value.lenient_u64()?,
                "message" => body.message = value.lenient_string()?.map(|t| t.decode().into_owned()),
                "status" => body.status = value.lenient_string()?.map(|t| t.decode().into_owned()),
                "details" => each(value, |detail| body.detail(detail))?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(body)
    }

    fn detail(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.lenient_object(|key, value| {
            match key {
                "reason" => self.reasons.extend(value.lenient_string()?.map(|t| t.decode().into_owned())),
                "retryDelay" => self.delay(value)?,
                "metadata" => value.lenient_object(|key, value| match key {
                    "quotaResetDelay" => self.delay(value),
                    _ => Ok(()),
                })?,
                "violations" => {
                    let raw = value.raw()?;
                    self.is_daily |= raw.as_str().contains("PerDay");
                }
                _ => {}
            }
            Ok::<_, Error>(())
        })
    }

    /// Of several delays the longest: a quota that is used up is not back with the next free second.
    fn delay(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let text = reader.lenient_string()?;
        self.retry = self.retry.max(text.and_then(|text| spoken_duration(&text.decode())));
        Ok(())
    }

    /// What kind of error it is: its own words before the HTTP status (T168).
    pub(super) fn view(self, http_status: u16) -> ErrorView {
        let message = self.message.clone().filter(|message| !message.trim().is_empty());
        let message = message.unwrap_or_else(|| unreadable(http_status, "no message"));
        let kind = self.kind(http_status, &message);
        let mut retry_after = self.retry.or_else(|| retry_hint(&message));
        if kind == FaultKind::RateLimit && self.is_daily {
            retry_after = Some(retry_after.unwrap_or_default().max(DAILY_QUOTA));
        }
        ErrorView { retry_after, ..ErrorView::new(kind, message) }
    }

    fn kind(&self, http_status: u16, message: &str) -> FaultKind {
        if self.reasons.iter().any(|r| matches!(r.as_str(), "API_KEY_INVALID" | "API_KEY_EXPIRED")) {
            return FaultKind::Authentication;
        }
        if Overflow::is_told(http_status, message) {
            return FaultKind::ContextLength;
        }
        // An error inside a 200 has its status in the body.
        let status = match (http_status, self.code.and_then(|code| u16::try_from(code).ok())) {
            (200..=299, Some(code)) => code,
            (200..=299, None) => 502,
            (status, _) => status,
        };
        match self.status.as_deref() {
            Some("UNAUTHENTICATED") => FaultKind::Authentication,
            Some("PERMISSION_DENIED") => FaultKind::Permission,
            Some("NOT_FOUND") => FaultKind::NotFound,
            Some("RESOURCE_EXHAUSTED") => FaultKind::RateLimit,
            Some("UNAVAILABLE") => FaultKind::Overloaded,
            Some("DEADLINE_EXCEEDED") => FaultKind::Timeout,
            Some("ABORTED") => FaultKind::Conflict,
            Some("CANCELLED") => FaultKind::Cancelled,
            Some("INVALID_ARGUMENT") if !matches!(status, 405 | 408 | 413) => FaultKind::InvalidRequest,
            _ => FaultKind::from_status(status),
        }
    }
}

/// Reads an upstream's error body: an object, a list of them, bare words, or no JSON at all (T170).
pub(crate) fn parse(status: u16, body: &[u8]) -> ErrorView {
    let read = || -> Result<Option<Body>, Error> {
        let mut reader = Reader::from_bytes(body)?;
        let found = find(&mut reader)?;
        reader.end()?;
        Ok(found)
    };
    match read() {
        Ok(Some(found)) => found.view(status),
        Ok(None) => Body { message: Some(unreadable(status, "JSON")), ..Body::default() }.view(status),
        Err(_) => {
            let start = body.trim_ascii_start();
            let what = match start.first() {
                None => "no body",
                Some(b'<') => "text/html",
                Some(_) => "a body that is not JSON",
            };
            Body { message: Some(unreadable(status, what)), ..Body::default() }.view(status)
        }
    }
}

fn unreadable(status: u16, what: &str) -> String {
    format!("upstream returned {status} with {what}")
}

/// The error of a document; streams without `alt=sse` wrap it in a list.
fn find(reader: &mut Reader<'_>) -> Result<Option<Body>, Error> {
    let mut found = None;
    each(reader, |document| {
        document.lenient_object(|key, value| {
            match key {
                "error" => found = Some(Body::read(value)?),
                "message" | "detail" if found.is_none() && value.peek()? == Kind::String => {
                    found = Some(Body::read(value)?);
                }
                _ => {}
            }
            Ok::<_, Error>(())
        })
    })?;
    Ok(found)
}

/// Status and body for a client.
pub(crate) fn render(error: &ErrorView) -> (u16, Vec<u8>) {
    let (status, name) = status_of(error.kind);
    let mut out = Vec::with_capacity(256);
    let mut w = Writer::new(&mut out);
    w.begin_object().key("error").begin_object();
    write_head(error, status, name, &mut w);
    write_details(error, &mut w);
    w.end_object().end_object();
    (status, out)
}

/// An error in a stream that has begun: `error` first, `code` a number (T053), and no details.
pub(crate) fn write_event(error: &ErrorView, out: &mut Vec<u8>) {
    let (status, name) = status_of(error.kind);
    sse::write_event(out, |out| {
        let mut w = Writer::new(out);
        w.begin_object().key("error").begin_object();
        write_head(error, status, name, &mut w);
        w.end_object().end_object();
    });
}

fn write_head(error: &ErrorView, status: u16, name: &str, w: &mut Writer<'_>) {
    w.key("code").u64(u64::from(status));
    w.key("message");
    w.text(&message(error));
    w.key("status").text(name);
}

fn write_details(error: &ErrorView, w: &mut Writer<'_>) {
    if error.retry_after.is_none() && error.param.is_none() && error.request_id.is_none() {
        return;
    }
    w.key("details").begin_array();
    if let Some(param) = &error.param {
        w.begin_object().key("@type").text("type.googleapis.com/google.rpc.BadRequest");
        w.key("fieldViolations").begin_array().begin_object();
        w.key("field").text(param).key("description").text(&message(error));
        w.end_object().end_array().end_object();
    }
    if let Some(delay) = error.retry_after {
        w.begin_object().key("@type").text("type.googleapis.com/google.rpc.RetryInfo");
        w.key("retryDelay").text(&format!("{}s", delay.as_secs_f64()));
        w.end_object();
    }
    if let Some(id) = &error.request_id {
        w.begin_object().key("@type").text("type.googleapis.com/google.rpc.RequestInfo");
        w.key("requestId").text(id).end_object();
    }
    w.end_array();
}

/// The table of 5.2.
fn status_of(kind: FaultKind) -> (u16, &'static str) {
    let name = match kind {
        FaultKind::InvalidRequest
        | FaultKind::Unsupported
        | FaultKind::ContextLength
        | FaultKind::ContentPolicy
        | FaultKind::Method
        | FaultKind::Upgrade
        | FaultKind::TooLarge
        | FaultKind::Encoding
        | FaultKind::Unprocessable => "INVALID_ARGUMENT",
        FaultKind::Authentication => "UNAUTHENTICATED",
        FaultKind::Permission => "PERMISSION_DENIED",
        FaultKind::NotFound | FaultKind::Endpoint => "NOT_FOUND",
        FaultKind::Conflict => "ABORTED",
        FaultKind::Billing | FaultKind::RateLimit => "RESOURCE_EXHAUSTED",
        FaultKind::Timeout | FaultKind::SlowRequest => "DEADLINE_EXCEEDED",
        FaultKind::Overloaded => "UNAVAILABLE",
        FaultKind::BadUpstream | FaultKind::Internal => "INTERNAL",
        FaultKind::Cancelled => "CANCELLED",
    };
    let status = match kind {
        FaultKind::Billing => 429,
        FaultKind::Unprocessable => 400,
        other => other.status(),
    };
    (status, name)
}

/// The message; an overflow in Google's own wording, which its clients know (T169).
fn message(error: &ErrorView) -> Cow<'_, str> {
    const TOO_MANY: &str = "exceeds the maximum number of tokens allowed";
    let words = error.message.as_str();
    if error.kind != FaultKind::ContextLength || words.contains(TOO_MANY) {
        return words.into();
    }
    let overflow = error.overflow();
    match (overflow.asked, overflow.limit) {
        (Some(asked), Some(limit)) => format!("The input token count ({asked}) {TOO_MANY} ({limit}).").into(),
        (None, Some(limit)) => format!("The input token count {TOO_MANY} ({limit}).").into(),
        _ => format!("The input token count {TOO_MANY}: {words}").into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn kind(status: u16, body: &str) -> FaultKind {
        parse(status, body.as_bytes()).kind
    }

    #[test]
    fn t168_a_bad_key_is_no_bad_request() {
        let body = r#"{"error":{"code":400,"message":"API key not valid.","status":"INVALID_ARGUMENT",
            "details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"API_KEY_INVALID"}]}}"#;
        assert_eq!(kind(400, body), FaultKind::Authentication);
        assert_eq!(parse(400, body.as_bytes()).message, "API key not valid.");
    }

    #[test]
    fn t169_an_overflow_is_known_by_its_words() {
        let body = r#"{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."}}"#;
        assert_eq!(kind(400, body), FaultKind::ContextLength);
    }

    #[test]
    fn t169_an_overflow_is_told_in_googles_words() {
        for (words, told) in [
            (
                "prompt is too long: 204000 tokens > 200000 maximum",
                "The input token count (204000) exceeds the maximum number of tokens allowed (200000).",
            ),
            (
                "This model's maximum context length is 128,000 tokens.",
                "The input token count exceeds the maximum number of tokens allowed (128000).",
            ),
            ("too long", "The input token count exceeds the maximum number of tokens allowed: too long"),
            (
                "The input token count (9) exceeds the maximum number of tokens allowed (8).",
                "The input token count (9) exceeds the maximum number of tokens allowed (8).",
            ),
        ] {
            let (status, body) = render(&ErrorView::new(FaultKind::ContextLength, words));
            let body: Value = serde_json::from_slice(&body).unwrap();
            assert_eq!((status, &body["error"]["status"]), (400, &json!("INVALID_ARGUMENT")));
            assert_eq!(body["error"]["message"], told);
        }
    }

    #[test]
    fn t167_the_retry_hint_is_kept_in_every_form() {
        let info = r#"{"error":{"code":429,"message":"slow","status":"RESOURCE_EXHAUSTED","details":[{"retryDelay":"34.5s"}]}}"#;
        assert_eq!(parse(429, info.as_bytes()).retry_after, Some(Duration::from_millis(34_500)));
        let words =
            r#"[{"error":{"code":429,"message":"Please retry in 1.25s.","status":"RESOURCE_EXHAUSTED"}}]"#;
        assert_eq!(parse(429, words.as_bytes()).retry_after, Some(Duration::from_millis(1_250)));
        let daily = r#"{"error":{"code":429,"message":"x","status":"RESOURCE_EXHAUSTED","details":[
            {"violations":[{"quotaId":"RequestsPerDayPerProject"}]},{"retryDelay":"3s"}]}}"#;
        assert_eq!(parse(429, daily.as_bytes()).retry_after, Some(DAILY_QUOTA));
        let huge = r#"{"error":{"message":"retry in 1e400s","details":[{"retryDelay":"-5s"},{"retryDelay":"9e99s"}]}}"#;
        assert_eq!(parse(429, huge.as_bytes()).retry_after, None);
    }

    #[test]
    fn t170_bodies_that_are_no_json_keep_their_status() {
        for (body, words) in [("<html>", "text/html"), ("", "no body"), ("oops", "not JSON"), ("{}", "JSON")]
        {
            let view = parse(503, body.as_bytes());
            assert_eq!(view.kind, FaultKind::Overloaded);
            assert!(view.message.contains("503") && view.message.contains(words), "{}", view.message);
        }
        assert_eq!(parse(502, b"\xff\xfe").kind, FaultKind::BadUpstream);
        assert_eq!(parse(400, br#"{"error":"words"}"#).message, "words");
        assert_eq!(parse(422, br#"{"detail":"words"}"#).message, "words");
    }

    #[test]
    fn an_error_with_status_200_takes_its_status_from_the_body() {
        assert_eq!(kind(200, r#"{"error":{"code":503,"message":"x"}}"#), FaultKind::Overloaded);
        assert_eq!(kind(200, r#"{"error":{"message":"x"}}"#), FaultKind::BadUpstream);
    }

    #[test]
    fn t171_what_clients_get_has_a_numeric_code_and_says_when_to_come_back() {
        let error = ErrorView {
            retry_after: Some(Duration::from_millis(1500)),
            param: Some("tools".into()),
            ..ErrorView::new(FaultKind::RateLimit, "slow \"down\"")
        };
        let (status, body) = render(&error);
        assert_eq!(status, 429);
        let body: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(
            body,
            json!({"error": {"code": 429, "message": "slow \"down\"", "status": "RESOURCE_EXHAUSTED", "details": [
                {"@type": "type.googleapis.com/google.rpc.BadRequest",
                 "fieldViolations": [{"field": "tools", "description": "slow \"down\""}]},
                {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "1.5s"},
            ]}})
        );
        assert_eq!(parse(429, &render(&error).1).retry_after, error.retry_after);
    }

    #[test]
    fn t053_an_error_in_a_stream_starts_with_its_error_key() {
        let mut out = Vec::new();
        write_event(&ErrorView::new(FaultKind::Overloaded, "busy"), &mut out);
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "data: {\"error\":{\"code\":503,\"message\":\"busy\",\"status\":\"UNAVAILABLE\"}}\n\n"
        );
    }
}
