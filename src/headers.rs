//! Which headers cross the gateway, and what retry hints mean.

use std::time::Duration;

use http::header::{self, HeaderMap, HeaderName, HeaderValue};

use crate::clock;

/// Headers that speak of one connection only (RFC 9110, 7.6.1).
fn is_hop_by_hop(name: &str) -> bool {
    matches!(
        name,
        "connection"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade"
    )
}

/// Headers of an upstream's answer that may reach a client. Others belong to the connection, to the account, or to a
/// body that the gateway may have rewritten; and which web pages may read an answer is not the upstream's to say, for
/// this server is another.
fn is_for_clients(name: &str) -> bool {
    let is_private = matches!(
        name,
        "alt-svc"
            | "anthropic-organization-id"
            | "content-length"
            | "openai-organization"
            | "openai-project"
            | "server"
            | "set-cookie"
            | "strict-transport-security"
            | "x-sendfile"
    );
    // A proxy before the gateway obeys `x-accel-*`: it would serve files of its own.
    let is_order = name.starts_with("access-control-") || name.starts_with("x-accel-");
    !is_private && !is_order && !is_hop_by_hop(name)
}

/// Headers that are of this connection only because it says so.
pub(crate) fn named_by_connection(headers: &HeaderMap) -> impl Iterator<Item = HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok())
}

/// Removes from an upstream's answer what must not reach a client.
pub(crate) fn strip_response(headers: &mut HeaderMap) {
    // An answer has few headers: looking through them is cheaper than asking for each of a list.
    let unwanted: Vec<HeaderName> = headers
        .keys()
        .filter(|name| !is_for_clients(name.as_str()))
        .cloned()
        .chain(named_by_connection(headers))
        .collect();
    for name in unwanted {
        headers.remove(name);
    }
}

/// What the OpenAI SDKs and most others call a request's id.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// What Anthropic's SDKs call it.
pub(crate) const ANTHROPIC_REQUEST_ID: HeaderName = HeaderName::from_static("request-id");
/// The upstream's, where the answer is no longer the upstream's own (5.3).
pub(crate) const UPSTREAM_REQUEST_ID: HeaderName = HeaderName::from_static("x-aiproxy-upstream-request-id");

/// The id that an answer has.
pub(crate) fn request_id(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(ANTHROPIC_REQUEST_ID).or_else(|| headers.get(REQUEST_ID))
}

/// Of an upstream's error answer, the headers that may accompany the gateway's own body.
pub(crate) fn error_headers(headers: &HeaderMap) -> HeaderMap {
    headers
        .iter()
        .filter(|(name, _)| {
            let name = name.as_str();
            name.starts_with("retry-after")
                || name.starts_with("anthropic-ratelimit")
                || name.starts_with("x-ratelimit")
                || name.starts_with("x-codex-")
                || matches!(name, "request-id" | "x-request-id" | "x-should-retry")
        })
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

/// The client credentials that a request may carry, in the order in which SDKs use them.
pub(crate) const CREDENTIALS: [HeaderName; 4] = [
    HeaderName::from_static("x-api-key"),
    header::AUTHORIZATION,
    HeaderName::from_static("x-goog-api-key"),
    HeaderName::from_static("api-key"),
];

/// When to come back: `retry-after-ms`, or `retry-after` in seconds (whole or decimal) or as a date.
#[must_use]
pub(crate) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok().map(str::trim);
    if let Some(wait) = text("retry-after-ms").and_then(|ms| seconds(ms, 1e-3)) {
        return Some(wait);
    }
    let value = text("retry-after")?;
    match seconds(value, 1.0) {
        Some(wait) => Some(wait),
        None => Some(clock::until(httpdate::parse_http_date(value).ok()?)),
    }
}

fn seconds(text: &str, unit: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse::<f64>().ok()? * unit).ok()
}

/// Whether an answer is a stream of server-sent events.
#[must_use]
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    content_type(headers).is_some_and(|t| t.eq_ignore_ascii_case(b"text/event-stream"))
}

/// Whether an answer is called JSON.
#[must_use]
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let end = content_type(headers).and_then(|t| t.last_chunk::<4>());
    end.is_some_and(|end| end.eq_ignore_ascii_case(b"json"))
}

/// The media type without its parameters.
fn content_type(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::CONTENT_TYPE)?.as_bytes();
    let end = memchr::memchr(b';', value).unwrap_or(value.len());
    value.get(..end).map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(k, v)| (HeaderName::from_static(k), v.parse().unwrap())).collect()
    }

    #[test]
    fn retry_hints_of_every_sort_are_understood() {
        for (name, value, want) in [
            ("retry-after", "7", Some(7.0)),
            ("retry-after", "0.5", Some(0.5)),
            ("retry-after-ms", "1500", Some(1.5)),
            ("retry-after", "1e400", None),
            ("retry-after", "-1", None),
            ("retry-after", "soon", None),
            ("retry-after", "Wed, 21 Oct 2015 07:28:00 GMT", Some(0.0)),
        ] {
            let got = retry_after(&headers(&[(name, value)])).map(|d| d.as_secs_f64());
            assert_eq!(got, want, "{name}: {value}");
        }
    }

    #[test]
    fn cookies_connection_headers_and_leave_for_web_pages_stay_behind() {
        let mut map = headers(&[
            ("connection", "close, x-private"),
            ("x-private", "1"),
            ("set-cookie", "a=b"),
            ("transfer-encoding", "chunked"),
            ("access-control-allow-origin", "*"),
            ("request-id", "req_1"),
        ]);
        strip_response(&mut map);
        assert_eq!(map.len(), 1);
        assert!(map.contains_key("request-id"));
    }
}
