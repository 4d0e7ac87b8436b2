//! What one protocol says and another is told: translated between any two, relayed byte by byte within one; what cannot be
//! carried is named.

#[path = "../fields/mod.rs"]
mod fields;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

mod agents;
mod context_limits;
mod corpus;
mod counting;
mod fetch_media;
mod hostile;
mod logprobs;
mod loss_table;
mod losses;
mod models;
mod must_stream;
mod reasoning;
mod relay;
mod relay_generated;
mod state_store;
mod stop_sequences;
mod streaming;
mod think_tags;
mod translation;
mod traps;
mod usage;
mod web_search;

use aiproxy::protocol::Protocol;

/// A model of each protocol, to translate to; each takes the sampling parameters.
const MODELS: [(Protocol, &str); 4] = [
    (Protocol::Anthropic, "claude-sonnet-4-5"),
    (Protocol::OpenAi, "gpt-4.1"),
    (Protocol::Responses, "gpt-4.1"),
    (Protocol::Gemini, "gemini-2.5-pro"),
];
