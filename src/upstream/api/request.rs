//! Where a request goes below the base URL, and which headers go with it.

use http::{HeaderMap, HeaderName};

use super::{ApiType, anthropic, gemini, openai};
use crate::headers::named_by_connection;
use crate::payload::Payload;
use crate::protocol::Operation;

impl ApiType {
    /// The path below the version prefix, by segments, and the query. Segments are percent-encoded by
    /// whoever builds the URL: a model name is one segment, whatever it holds.
    pub(crate) fn path(self, payload: &Payload) -> Path {
        match self {
            ApiType::Anthropic => anthropic::path(payload.operation()),
            ApiType::OpenAi => openai::chat_path(),
            ApiType::Responses => openai::responses_path(payload.operation()),
            ApiType::Gemini => gemini::path(payload),
        }
    }

    /// Copies what may pass of the client's headers, and adds what the API demands.
    pub(crate) fn headers(self, client: &HeaderMap, out: &mut HeaderMap) {
        let passes: fn(&str) -> bool = match self {
            ApiType::Anthropic => anthropic::passes,
            ApiType::OpenAi | ApiType::Responses => openai::passes,
            ApiType::Gemini => gemini::passes,
        };
        for (name, value) in client {
            if passes(name.as_str()) {
                out.append(name.clone(), value.clone());
            }
        }
        for name in named_by_connection(client) {
            out.remove(name);
        }
        // The SDKs' own headers tell nothing about the account, and upstreams ask for them in support.
        for name in ["user-agent", "traceparent"] {
            if let Some(value) = client.get(name) {
                out.insert(HeaderName::from_static(name), value.clone());
            }
        }
        if self == ApiType::Anthropic {
            anthropic::complete(out);
        }
    }
}

/// Where a request goes below the base URL.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Path {
    /// `v1`, unless the base URL has a version of its own.
    pub(crate) version: &'static str,
    /// Segments that are the same for every request.
    pub(crate) segments: &'static [&'static str],
    /// A last segment of this request.
    pub(crate) last: Option<String>,
    /// The query.
    pub(crate) query: Option<&'static str>,
}

impl Path {
    pub(super) const fn fixed(segments: &'static [&'static str]) -> Self {
        Path { version: "v1", segments, last: None, query: None }
    }
}

/// Whether counting tokens is among what the API offers.
pub(crate) fn counts_tokens(api: ApiType, operation: Operation) -> bool {
    operation == Operation::Generate || api != ApiType::OpenAi
}
