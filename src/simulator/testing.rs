//! What the tests of all protocols share.

use axum::body::Body;
use axum::http::{HeaderMap, Request};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::{Settings, Simulator};

/// A response as a test looks at it.
pub(crate) struct Got {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    /// The body, as far as it came.
    pub(crate) text: String,
    /// Whether the body broke off.
    pub(crate) cut: bool,
}

impl Got {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The data of a stream's events, and the name each one has on its `event:` line.
    pub(crate) fn events(&self) -> Vec<(Option<&str>, Value)> {
        let blocks = self.text.split_inclusive("\n\n");
        let blocks = blocks.flat_map(|block| block.split_inclusive("\r\n\r\n"));
        blocks
            .map(|block| {
                let name = block.lines().find_map(|line| line.strip_prefix("event: "));
                let data = block.lines().find_map(|line| line.strip_prefix("data: ")).unwrap();
                let data =
                    if data == "[DONE]" { Value::from(data) } else { serde_json::from_str(data).unwrap() };
                (name, data)
            })
            .collect()
    }
}

/// Sends a request with these headers.
pub(crate) async fn send(
    simulator: &Simulator,
    method: &str,
    uri: &str,
    headers: &[(&str, &str)],
    body: String,
) -> Got {
    let mut request = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = simulator.router().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
    let (parts, mut body) = response.into_parts();
    let (mut bytes, mut cut) = (Vec::new(), false);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap()),
            Err(_) => {
                cut = true;
                break;
            }
        }
    }
    let text = String::from_utf8(bytes).unwrap();
    Got { status: parts.status.as_u16(), headers: parts.headers, text, cut }
}

/// Posts a body to a simulator with default settings.
pub(crate) async fn post(uri: &str, body: &Value) -> Got {
    let headers = [("anthropic-version", "2023-06-01")];
    send(&Simulator::new(Settings::default()), "POST", uri, &headers, body.to_string()).await
}

/// A schema with one required string.
pub(crate) fn city() -> Value {
    serde_json::json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
}
