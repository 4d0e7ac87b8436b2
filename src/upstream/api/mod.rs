//! API types: how a vendor wants to be addressed. The wire protocol is the other half.

mod anthropic;
mod gemini;
mod openai;

use std::fmt;

use http::{HeaderMap, HeaderName, HeaderValue};

use crate::payload::Payload;
use crate::protocol::{Operation, Protocol};

/// The kind of an upstream: which protocol it speaks, where its paths are, how it takes its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ApiType {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions, and everything that speaks it.
    OpenAi,
    /// OpenAI Responses.
    Responses,
    /// Gemini generateContent, by API key.
    Gemini,
}

impl ApiType {
    /// All of them.
    pub const ALL: [ApiType; 4] = [ApiType::Anthropic, ApiType::OpenAi, ApiType::Gemini, ApiType::Responses];

    /// The word in configuration files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.protocol().as_str()
    }

    /// What it speaks.
    #[must_use]
    pub fn protocol(self) -> Protocol {
        match self {
            ApiType::Anthropic => Protocol::Anthropic,
            ApiType::OpenAi => Protocol::OpenAi,
            ApiType::Responses => Protocol::Responses,
            ApiType::Gemini => Protocol::Gemini,
        }
    }

    /// The header that carries the key. Never the query: URLs end up in logs.
    #[must_use]
    pub fn credential_header(self) -> HeaderName {
        match self {
            ApiType::Anthropic => anthropic::CREDENTIAL,
            ApiType::OpenAi | ApiType::Responses => openai::CREDENTIAL,
            ApiType::Gemini => gemini::CREDENTIAL,
        }
    }

    /// The value of that header for a key; `None` if no header can carry it.
    #[must_use]
    pub fn credential(self, key: &str) -> Option<HeaderValue> {
        let mut value = match self {
            ApiType::Anthropic | ApiType::Gemini => HeaderValue::from_str(key),
            ApiType::OpenAi | ApiType::Responses => HeaderValue::from_str(&format!("Bearer {key}")),
        }
        .ok()?;
        value.set_sensitive(true);
        Some(value)
    }

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

impl fmt::Display for ApiType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
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
    const fn fixed(segments: &'static [&'static str]) -> Self {
        Path { version: "v1", segments, last: None, query: None }
    }
}

/// Whether counting tokens is among what the API offers.
pub(crate) fn counts_tokens(api: ApiType, operation: Operation) -> bool {
    operation == Operation::Generate || api != ApiType::OpenAi
}
