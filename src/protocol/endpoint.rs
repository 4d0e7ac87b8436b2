//! Method and path to endpoint: the one place where a request line is read.

use std::borrow::Cow;
use std::sync::Arc;

use super::Protocol;

/// What a client asked for, read from path and query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// The protocol that the path belongs to.
    pub protocol: Protocol,
    /// What to do.
    pub operation: Operation,
    /// The model, where the path names it (Gemini).
    pub model: Option<Arc<str>>,
    /// Whether the answer is a stream, where the path says so (Gemini).
    pub stream: Option<bool>,
    /// Whether a Gemini stream is to be one JSON array (no `alt=sse`).
    pub json_array: bool,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Operation {
    /// Generate an answer.
    Generate,
    /// Count the tokens of a request.
    CountTokens,
}

impl Endpoint {
    /// An endpoint whose model and stream flag are in the body.
    #[must_use]
    pub fn new(protocol: Protocol, operation: Operation) -> Self {
        Endpoint { protocol, operation, model: None, stream: None, json_array: false }
    }

    /// Reads a path (and query) that POST requests for generation or counting go to.
    ///
    /// Paths are served with and without their version prefix: SDKs disagree on which side adds it.
    ///
    /// ```
    /// use aiproxy::protocol::{Endpoint, Protocol};
    /// let endpoint = Endpoint::parse("/v1beta/models/gemini-2.5-pro:streamGenerateContent", Some("alt=sse")).unwrap();
    /// assert_eq!(endpoint.protocol, Protocol::Gemini);
    /// assert_eq!(endpoint.model.as_deref(), Some("gemini-2.5-pro"));
    /// assert_eq!(endpoint.stream, Some(true));
    /// assert!(!endpoint.json_array);
    /// ```
    #[must_use]
    pub fn parse(path: &str, query: Option<&str>) -> Option<Self> {
        let bare = strip_version(path);
        Some(match bare {
            "/messages" => Endpoint::new(Protocol::Anthropic, Operation::Generate),
            "/messages/count_tokens" => Endpoint::new(Protocol::Anthropic, Operation::CountTokens),
            "/chat/completions" => Endpoint::new(Protocol::OpenAi, Operation::Generate),
            "/responses" => Endpoint::new(Protocol::Responses, Operation::Generate),
            "/responses/input_tokens" => Endpoint::new(Protocol::Responses, Operation::CountTokens),
            _ => return gemini(bare.strip_prefix("/models/")?, query),
        })
    }

    /// The protocol whose error shape a path should get, also where nothing is served (T164).
    #[must_use]
    pub fn protocol_of(path: &str) -> Protocol {
        let bare = strip_version(path);
        if path.starts_with("/v1beta")
            || path.starts_with("/v1alpha")
            || bare.starts_with("/models/") && bare.contains(':')
        {
            Protocol::Gemini
        } else if bare.starts_with("/messages") {
            Protocol::Anthropic
        } else if bare.starts_with("/responses") {
            Protocol::Responses
        } else {
            Protocol::OpenAi
        }
    }
}

fn strip_version(path: &str) -> &str {
    for version in ["/v1beta", "/v1alpha", "/v1"] {
        if let Some(rest) = path.strip_prefix(version)
            && rest.starts_with('/')
        {
            return rest;
        }
    }
    path
}

fn gemini(rest: &str, query: Option<&str>) -> Option<Endpoint> {
    let decoded: Cow<'_, str> = percent_encoding::percent_decode_str(rest).decode_utf8().ok()?;
    // Tuned models have colons in their names: the action follows the last one.
    let (model, action) = decoded.rsplit_once(':')?;
    let model = model.strip_prefix("models/").unwrap_or(model);
    if model.is_empty() {
        return None;
    }
    let (operation, stream) = match action {
        "generateContent" => (Operation::Generate, false),
        "streamGenerateContent" => (Operation::Generate, true),
        "countTokens" => (Operation::CountTokens, false),
        _ => return None,
    };
    let is_sse = query.is_some_and(|q| q.split('&').any(|pair| pair == "alt=sse"));
    Some(Endpoint {
        protocol: Protocol::Gemini,
        operation,
        model: Some(Arc::from(model)),
        stream: Some(stream),
        json_array: stream && !is_sse,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_a_path_is_served() {
        for (path, protocol) in [
            ("/v1/messages", Protocol::Anthropic),
            ("/messages", Protocol::Anthropic),
            ("/v1/chat/completions", Protocol::OpenAi),
            ("/chat/completions", Protocol::OpenAi),
            ("/v1/responses", Protocol::Responses),
            ("/v1/models/m:generateContent", Protocol::Gemini),
            ("/v1beta/models/models%2Fm:generateContent", Protocol::Gemini),
            ("/models/tuned:x:generateContent", Protocol::Gemini),
        ] {
            assert_eq!(Endpoint::parse(path, None).map(|e| e.protocol), Some(protocol), "{path}");
        }
        for path in
            ["/", "/v1", "/v1/v1/messages", "/v1/models", "/v1/models/m", "/v1/models/:generateContent"]
        {
            assert_eq!(Endpoint::parse(path, None), None, "{path}");
        }
        let tuned = Endpoint::parse("/v1beta/models/tuned:x:streamGenerateContent", None);
        assert_eq!(tuned.as_ref().and_then(|e| e.model.as_deref()), Some("tuned:x"));
        assert!(tuned.is_some_and(|e| e.json_array));
    }
}
