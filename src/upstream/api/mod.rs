//! API types: how a vendor wants to be addressed. The wire protocol is the other half.

#[cfg(feature = "client")]
mod anthropic;
#[cfg(feature = "client")]
mod gemini;
#[cfg(feature = "client")]
mod openai;
#[cfg(feature = "client")]
mod request;

use std::fmt;

use http::{HeaderName, HeaderValue, header};

use crate::protocol::Protocol;

#[cfg(feature = "client")]
pub(crate) use request::{Path, counts_tokens};

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
            ApiType::Anthropic => HeaderName::from_static("x-api-key"),
            ApiType::OpenAi | ApiType::Responses => header::AUTHORIZATION,
            ApiType::Gemini => HeaderName::from_static("x-goog-api-key"),
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
}

impl fmt::Display for ApiType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
