//! Errors: read from any Chat server, written as OpenAI's own (sections 5.1, 5.2, 5.4).

use std::borrow::Cow;

use crate::protocol::canonical::{ErrorView, FaultKind, Overflow, retry_hint};
use crate::protocol::json::{self, Error, Kind, Reader, Str, Writer};
use crate::protocol::sse;

/// Most of an upstream's message that a client gets to read.
const MESSAGE_LIMIT: usize = 4000;

/// The members of an error body that any server uses.
#[derive(Debug, Default)]
struct Fields<'a> {
    message: Option<Str<'a>>,
    code: Option<Str<'a>>,
    kind: Option<Str<'a>>,
    param: Option<Str<'a>>,
    /// OpenRouter: the words of the provider behind it.
    inner: Option<Str<'a>>,
    /// llama.cpp: the size of the prompt, and of the context.
    prompt: Option<u64>,
    context: Option<u64>,
}

impl<'a> Fields<'a> {
    fn object(&mut self, value: &mut Reader<'a>) -> Result<(), Error> {
        value.lenient_object(|key, value| {
            match key {
                "message" | "detail" | "msg" => self.message = text(value)?.or(self.message.take()),
                "code" => self.code = text(value)?.or(self.code.take()),
                "type" => self.kind = text(value)?,
                "param" => self.param = value.lenient_string()?,
                "n_prompt_tokens" => self.prompt = value.lenient_u64()?,
                "n_ctx" => self.context = value.lenient_u64()?,
                "metadata" => value.lenient_object(|key, value| {
                    if key == "raw" {
                        self.inner = value.lenient_string()?;
                    }
                    Ok::<_, Error>(())
                })?,
                "error" => match value.peek()? {
                    Kind::String => self.message = value.lenient_string()?,
                    _ => self.object(value)?,
                },
                _ => {}
            }
            Ok::<_, Error>(())
        })
    }
}

/// A string, or a number as its text: servers give codes as either.
fn text<'a>(value: &mut Reader<'a>) -> Result<Option<Str<'a>>, Error> {
    match value.peek()? {
        Kind::Number => Ok(Some(Str::from_escaped(value.number()?.as_str().to_owned()))),
        _ => value.lenient_string(),
    }
}

/// Reads an error body of any shape; HTML and nothing at all included (T170).
pub(crate) fn parse(status: u16, body: &[u8]) -> ErrorView {
    let fields = Reader::from_bytes(body.trim_ascii()).ok().and_then(|mut reader| {
        let mut fields = Fields::default();
        match reader.peek().ok()? {
            Kind::Object => fields.object(&mut reader).ok()?,
            // Google's compatible surface wraps its errors in a list.
            Kind::Array => reader.array(|value| fields.object(value)).ok()?,
            Kind::String => fields.message = reader.string().ok(),
            _ => return None,
        }
        Some(fields)
    });
    view(status, &fields.unwrap_or_default())
}

/// The error object of a stream event or of an answer with status 200: its status is in its code.
pub(super) fn read(value: &mut Reader<'_>) -> Result<ErrorView, Error> {
    let mut fields = Fields::default();
    match value.peek()? {
        Kind::String => fields.message = value.lenient_string()?,
        _ => fields.object(value)?,
    }
    let status = fields.code.as_ref().and_then(|c| c.as_escaped().parse().ok());
    Ok(view(status.filter(|s| (400..600).contains(s)).unwrap_or(502), &fields))
}

fn view(status: u16, fields: &Fields<'_>) -> ErrorView {
    let mut message = fields.message.as_ref().map(|m| m.decode().into_owned()).unwrap_or_default();
    if let Some(inner) = fields.inner.as_ref().filter(|inner| !inner.is_blank()) {
        message = format!("{message}: {}", inner.decode());
    }
    if message.trim().is_empty() {
        message = format!("upstream returned status {status}");
    }
    if let Some((cut, _)) = message.char_indices().nth(MESSAGE_LIMIT) {
        message.truncate(cut);
    }
    let word = |s: &Option<Str<'_>>| s.as_ref().map(|s| s.decode().into_owned()).unwrap_or_default();
    let (code, kind) = (word(&fields.code), word(&fields.kind));
    // A code that repeats the status says nothing.
    let says_more = !code.is_empty() && code.parse::<u16>().is_err();
    let fault = classify(status, &code, &kind, &message);
    if let (FaultKind::ContextLength, Some(asked), Some(limit)) = (fault, fields.prompt, fields.context)
        && Overflow::read(&message).sizes().is_none()
    {
        message = format!("request ({asked} tokens) exceeds the available context size ({limit} tokens)");
    }
    ErrorView {
        code: says_more.then(|| code.clone()),
        param: fields.param.as_ref().map(|p| p.decode().into_owned()),
        retry_after: retry_hint(&message),
        ..ErrorView::new(fault, message)
    }
}

/// The kind of an error, by its words before its status (section 5.2).
fn classify(status: u16, code: &str, kind: &str, message: &str) -> FaultKind {
    let by_code = matches!(
        code,
        "context_length_exceeded" | "string_above_max_length" | "model_max_prompt_tokens_exceeded"
    ) || kind == "exceed_context_size_error";
    if (by_code || Overflow::is_told(status, message)) && matches!(status, 400 | 413 | 422 | 500..=599) {
        return FaultKind::ContextLength;
    }
    by_word(code, status).or_else(|| by_word(kind, status)).unwrap_or_else(|| by_status(status))
}

fn by_word(word: &str, status: u16) -> Option<FaultKind> {
    Some(match word {
        "insufficient_quota" | "billing_hard_limit_reached" | "billing_not_active" => FaultKind::Billing,
        "invalid_api_key" | "authentication_error" | "invalid_authentication" => FaultKind::Authentication,
        "permission_error" | "permission_denied" => FaultKind::Permission,
        "model_not_found" | "not_found_error" => FaultKind::NotFound,
        "rate_limit_exceeded" | "rate_limit_error" | "rate_limit_reached" => FaultKind::RateLimit,
        "content_policy_violation" | "content_filter" | "ResponsibleAIPolicyViolation" => {
            FaultKind::ContentPolicy
        }
        "server_overloaded" | "overloaded_error" | "engine_overloaded" | "server_is_overloaded" => {
            FaultKind::Overloaded
        }
        "timeout" | "timeout_error" => FaultKind::Timeout,
        // In streams and bodies with status 200 the words are all there is.
        "invalid_request_error" if status == 502 => FaultKind::InvalidRequest,
        "server_error" if matches!(status, 500 | 502) => by_status(status),
        _ => return None,
    })
}

fn by_status(status: u16) -> FaultKind {
    FaultKind::from_status(status)
}

/// OpenAI's `type` and `code` of a kind of error.
fn words(kind: FaultKind) -> (&'static str, Option<&'static str>) {
    match kind {
        FaultKind::InvalidRequest
        | FaultKind::Endpoint
        | FaultKind::Method
        | FaultKind::Upgrade
        | FaultKind::Encoding
        | FaultKind::Unprocessable => ("invalid_request_error", None),
        FaultKind::Unsupported => ("invalid_request_error", Some("unsupported_parameter")),
        FaultKind::ContextLength => ("invalid_request_error", Some("context_length_exceeded")),
        FaultKind::Authentication => ("invalid_request_error", Some("invalid_api_key")),
        FaultKind::Billing => ("insufficient_quota", Some("insufficient_quota")),
        FaultKind::Permission => ("permission_error", None),
        FaultKind::NotFound => ("invalid_request_error", Some("model_not_found")),
        FaultKind::Conflict => ("invalid_request_error", Some("conflict")),
        FaultKind::TooLarge => ("invalid_request_error", Some("request_too_large")),
        FaultKind::RateLimit => ("rate_limit_error", Some("rate_limit_exceeded")),
        FaultKind::ContentPolicy => ("invalid_request_error", Some("content_policy_violation")),
        FaultKind::Timeout | FaultKind::SlowRequest => ("server_error", Some("timeout")),
        FaultKind::Overloaded => ("server_error", Some("server_overloaded")),
        FaultKind::BadUpstream => ("server_error", Some("bad_gateway")),
        FaultKind::Internal | FaultKind::Cancelled => ("server_error", None),
    }
}

/// The message; an overflow in OpenAI's words, which clients look for beside the code (T169).
fn message(error: &ErrorView) -> Cow<'_, str> {
    let words = error.message.as_str();
    if error.kind != FaultKind::ContextLength || words.contains("maximum context length is ") {
        return words.into();
    }
    match error.overflow().in_openai_words() {
        Some(told) => told.into(),
        None => format!("The request exceeds this model's maximum context length: {words}").into(),
    }
}

/// All four keys are required by the official types.
fn write(error: &ErrorView, out: &mut Vec<u8>) {
    let (kind, code) = words(error.kind);
    // Clients test these codes; where the table has none, the upstream's own says more than null.
    let code = code.or(error.code.as_deref());
    let mut w = Writer::new(out);
    w.begin_object();
    w.key("error").begin_object();
    w.key("message").text(&message(error));
    w.key("type").text(kind);
    match &error.param {
        Some(param) => w.key("param").text(param),
        None => w.key("param").null(),
    };
    match code {
        Some(code) => w.key("code").text(code),
        None => w.key("code").null(),
    };
    w.end_object();
    w.end_object();
}

/// Status and body for a client.
pub(crate) fn render(error: &ErrorView) -> (u16, Vec<u8>) {
    let status = match error.kind {
        // OpenAI has no 402; its clients know an empty account by 429 and the code.
        FaultKind::Billing => 429,
        kind => kind.status(),
    };
    let mut body = Vec::new();
    write(error, &mut body);
    (status, body)
}

/// An error in mid-stream. No `[DONE]` may follow (T047).
pub(crate) fn write_event(error: &ErrorView, out: &mut Vec<u8>) {
    sse::write_event(out, |out| write(error, out));
}

/// An upstream's answer that cannot be read.
pub(super) fn unreadable(error: &json::Error) -> ErrorView {
    bad_upstream(format!("the upstream's answer cannot be read: {error}"))
}

/// An upstream's answer that is none.
pub(super) fn bad_upstream(message: impl Into<String>) -> ErrorView {
    ErrorView::new(FaultKind::BadUpstream, message)
}

#[cfg(test)]
mod tests;
