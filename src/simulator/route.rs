//! From a path to what it asks for.

use axum::http::request::Parts;
use axum::http::{HeaderMap, Method};

use super::Protocol;
use super::refusal::Refusal;

/// What a request asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// An answer.
    Generate,
    /// A token count.
    Count,
    /// The list of models.
    Models,
    /// One model.
    Model(String),
}

/// A request's protocol and purpose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    /// The protocol to answer in.
    pub(crate) protocol: Protocol,
    /// The purpose.
    pub(crate) operation: Operation,
    /// The model, where the path names it.
    pub(crate) model: Option<String>,
    /// Whether the path asks for a stream.
    pub(crate) stream: bool,
    /// Whether that stream is a JSON array.
    pub(crate) array: bool,
}

/// Finds the route, or the error and the protocol to say it in.
pub(crate) fn find(parts: &Parts) -> Result<Route, (Protocol, Refusal)> {
    let path = parts.uri.path();
    let query = parts.uri.query().unwrap_or_default();
    let (version, rest) = split_version(path);
    let plain = |protocol, operation| {
        if parts.method == Method::POST {
            Ok(Route { protocol, operation, model: None, stream: false, array: false })
        } else {
            Err((protocol, not_allowed(protocol, &parts.method, path)))
        }
    };
    match rest.trim_end_matches('/') {
        "/messages" => plain(Protocol::Anthropic, Operation::Generate),
        "/messages/count_tokens" => plain(Protocol::Anthropic, Operation::Count),
        "/chat/completions" => plain(Protocol::OpenAi, Operation::Generate),
        "/responses" => plain(Protocol::Responses, Operation::Generate),
        "/responses/input_tokens" => plain(Protocol::Responses, Operation::Count),
        rest if parts.method == Method::GET => {
            let protocol = lister(version, query, &parts.headers);
            let operation = match rest.strip_prefix("/models") {
                Some("") => Operation::Models,
                Some(id) if id.starts_with('/') => Operation::Model(decode(id.trim_start_matches('/'))),
                _ => return Err((protocol, unknown(protocol, &parts.method, path))),
            };
            Ok(Route { protocol, operation, model: None, stream: false, array: false })
        }
        rest => gemini(rest, query).ok_or_else(|| {
            let protocol =
                if version == "/v1" || version.is_empty() { Protocol::OpenAi } else { Protocol::Gemini };
            (protocol, unknown(protocol, &parts.method, path))
        }),
    }
}

/// `…/models/{model}:{verb}`; the model may hold colons and slashes, escaped or not.
fn gemini(rest: &str, query: &str) -> Option<Route> {
    let name = rest.strip_prefix("/models/").or_else(|| Some(rest.rsplit_once("/models/")?.1))?;
    let (model, verb) = name.rsplit_once(':')?;
    let (operation, stream) = match verb {
        "generateContent" => (Operation::Generate, false),
        "streamGenerateContent" => (Operation::Generate, true),
        "countTokens" => (Operation::Count, false),
        _ => return None,
    };
    let model = decode(model);
    let model = model.strip_prefix("models/").unwrap_or(&model).to_owned();
    let array = stream && parameter(query, "alt").as_deref() != Some("sse");
    Some(Route { protocol: Protocol::Gemini, operation, model: Some(model), stream, array })
}

fn split_version(path: &str) -> (&str, &str) {
    for version in ["/v1beta", "/v1alpha", "/v1"] {
        if let Some(rest) = path.strip_prefix(version).filter(|rest| rest.starts_with('/')) {
            return (version, rest);
        }
    }
    ("", path)
}

/// Whose list of models to show: three providers share the path.
fn lister(version: &str, query: &str, headers: &HeaderMap) -> Protocol {
    let google = headers.contains_key("x-goog-api-key") || parameter(query, "key").is_some();
    if headers.contains_key("anthropic-version") {
        Protocol::Anthropic
    } else if google || matches!(version, "/v1beta" | "/v1alpha") {
        Protocol::Gemini
    } else if headers.contains_key("x-api-key") {
        Protocol::Anthropic
    } else {
        Protocol::OpenAi
    }
}

/// A parameter of a query, decoded.
pub(crate) fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.find(|(key, _)| *key == name).map(|(_, value)| decode(value))
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn unknown(protocol: Protocol, method: &Method, path: &str) -> Refusal {
    match protocol {
        Protocol::Anthropic => Refusal::new(404, "Not Found"),
        Protocol::Gemini => Refusal::new(404, "Requested entity was not found."),
        _ => Refusal::new(404, format!("Invalid URL ({method} {path})")),
    }
}

fn not_allowed(protocol: Protocol, method: &Method, path: &str) -> Refusal {
    match protocol {
        Protocol::Anthropic => Refusal::new(405, "Method Not Allowed"),
        _ => {
            let message = format!(
                "Not allowed to {method} on {path}. (HINT: Perhaps you meant to make your HTTP request using a different method? Check our docs for more help: https://platform.openai.com/docs)"
            );
            Refusal::new(405, message).code("method_not_supported")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Request;

    fn route(method: &str, uri: &str, header: Option<&str>) -> Result<Route, (Protocol, Refusal)> {
        let mut request = Request::builder().method(method).uri(uri);
        if let Some(name) = header {
            request = request.header(name, "x");
        }
        find(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn generating_paths() {
        for (path, protocol) in [
            ("/v1/messages?beta=true", Protocol::Anthropic),
            ("/messages", Protocol::Anthropic),
            ("/v1/chat/completions", Protocol::OpenAi),
            ("/chat/completions", Protocol::OpenAi),
            ("/v1/responses", Protocol::Responses),
            ("/responses", Protocol::Responses),
            ("/v1beta/models/m:generateContent", Protocol::Gemini),
            ("/models/m:generateContent", Protocol::Gemini),
        ] {
            let found = route("POST", path, None).unwrap();
            assert_eq!((found.protocol, found.operation), (protocol, Operation::Generate), "{path}");
        }
    }

    #[test]
    fn gemini_models_are_decoded() {
        let found = route("POST", "/v1/models/models%2Fa%2Fb:c:streamGenerateContent?alt=sse", None).unwrap();
        assert_eq!(found.model.as_deref(), Some("a/b:c"));
        assert!(found.stream && !found.array);
        let found = route("POST", "/v1beta/models/m:streamGenerateContent?key=k", None).unwrap();
        assert!(found.stream && found.array);
        assert_eq!(route("POST", "/v1beta/models/m:fly", None).unwrap_err().0, Protocol::Gemini);
    }

    #[test]
    fn the_model_list_has_three_shapes() {
        let shape = |uri, header| route("GET", uri, header).unwrap().protocol;
        assert_eq!(shape("/v1/models", None), Protocol::OpenAi);
        assert_eq!(shape("/v1/models", Some("anthropic-version")), Protocol::Anthropic);
        assert_eq!(shape("/v1/models", Some("x-goog-api-key")), Protocol::Gemini);
        assert_eq!(shape("/v1beta/models?pageSize=2", None), Protocol::Gemini);
        assert_eq!(shape("/v1/models?key=k", None), Protocol::Gemini);
        let one = route("GET", "/v1/models/a%2Fb", None).unwrap();
        assert_eq!(one.operation, Operation::Model("a/b".into()));
    }

    #[test]
    fn wrong_paths_and_methods() {
        assert_eq!(route("GET", "/v1/messages", None).unwrap_err().1.status, 405);
        let (protocol, refusal) = route("POST", "/v1/nowhere", None).unwrap_err();
        assert_eq!((protocol, refusal.status), (Protocol::OpenAi, 404));
        assert_eq!(refusal.message, "Invalid URL (POST /v1/nowhere)");
    }
}
