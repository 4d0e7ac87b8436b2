//! Anthropic Messages: typed blocks in order, usage without its cached part, named stream events.
//!
//! | What | Towards the hub | Towards Anthropic |
//! |---|---|---|
//! | Text, images, documents, calls, results | exact | exact; blank text is dropped (T125) |
//! | Reasoning with its state | exact; an [envelope](super::canonical::envelope) is opened | only Anthropic's own state, else the part is dropped (T104) |
//! | Server tools, containers, unknown blocks | kept raw, for this protocol alone | exact |
//! | Search results, documents made of blocks | become text | not made |
//! | bash, text editor and memory tools | functions with their documented schema (T095) | stay functions |
//! | Citations | web and search results; others are lost | never replayed (T132) |
//! | The billing block in front of `system` | removed (T184) | not made |
//! | Sampling, effort, budget, prefill | exact | what the model takes (section 8.2) |
//! | Free-text tools | none | a function with one `input` string |
//! | n > 1, audio, stored state, foreign files | none | refused |
//!
//! ```
//! use aiproxy::protocol::{Endpoint, Operation, Protocol, decode_request};
//! let endpoint = Endpoint::new(Protocol::Anthropic, Operation::Generate);
//! let body = r#"{"model":"m","max_tokens":9,"messages":[{"role":"user","content":"Hi"}]}"#;
//! let request = decode_request(&endpoint, body)?;
//! assert_eq!(request.output.max_tokens, Some(9));
//! # Ok::<_, aiproxy::protocol::RequestError>(())
//! ```
//!
//! A signature that Gemini put on a call or on visible text reaches an Anthropic client as an empty
//! thinking block: in front of the call, or behind the text (section 1.8).

pub(super) mod aggregate;
mod betas;
mod block;
pub(super) mod error;
mod finish;
pub(super) mod observe;
pub(super) mod request;
pub(super) mod response;
pub(super) mod search;
mod state;
pub(super) mod stream;
pub(super) mod usage;

pub use betas::name_lost_betas;

/// The tool that a JSON schema is asked for with, where the model knows no structured output. Its
/// calls come back as text.
const ANSWER_TOOL: &str = "aiproxy_answer";

/// The same for an answer that is no object, whose arguments are a wrapper.
const WRAPPED_ANSWER_TOOL: &str = "aiproxy_answer_value";

#[cfg(test)]
mod corpus;
