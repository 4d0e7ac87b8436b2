//! `http_headers`: what is added to every request of an upstream.

use std::collections::HashMap;

use http::HeaderName;

use crate::config::Secret;
use crate::config::reader::Map;

/// Headers of one connection, and those that frame the message: set by the HTTP client alone.
const NOT_OURS: [&str; 11] = [
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

pub(super) fn read(map: &Map<'_>) -> Vec<(HeaderName, Secret)> {
    let mut headers = Vec::new();
    let mut seen: HashMap<HeaderName, usize> = HashMap::new();
    for (key, value) in map.get("http_headers").and_then(|field| field.pairs()).unwrap_or_default() {
        let secret = value.secret();
        match name(key.text) {
            Ok(name) => {
                if let Some(line) = seen.insert(name.clone(), key.mark.line) {
                    key.problem(format!("is the same header as in line {line}; case makes no difference"));
                }
                headers.extend(secret.map(|secret| (name, secret)));
            }
            Err(message) => key.problem(message),
        }
    }
    headers
}

fn name(text: &str) -> Result<HeaderName, String> {
    let Ok(name) = text.trim().parse::<HeaderName>() else {
        return Err("is not a header name: letters, digits and `-`".to_owned());
    };
    if NOT_OURS.contains(&name.as_str()) {
        return Err("belongs to the connection and cannot be set".to_owned());
    }
    Ok(name)
}
