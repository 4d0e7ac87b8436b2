//! OpenAI Responses: typed items in, typed items out, and the stream that agents like Codex speak.
//!
//! | | Carried exactly | Approximated, with a warning | Dropped, with a warning | Refused |
//! |---|---|---|---|---|
//! | as client | items, parts, calls, results, state in `encrypted_content`, namespaced and free-text tools, probabilities of tokens | several summary segments become one text | `truncation`, `max_tool_calls`, `reasoning.context` | – |
//! | as upstream | the same, tool names and ids fitted | thinking budget to effort, `max_tokens` below 16, prefill | stop sequences, top_k, seed, penalties, foreign reasoning | n > 1, audio, video, foreign files and hosted tools |
//!
//! What shapes this dialect:
//!
//! * A request is a flat list of items; the hub's turns are cut from it (`request`).
//! * An answer repeats its request, so the client's own values are kept and echoed (T181).
//! * The final event carries the whole answer again, so the stream encoder keeps what it has sent;
//!   a whole answer is the same encoder without its events (`stream`).
//!
//! ```
//! use aiproxy::protocol::{Endpoint, decode_request};
//! let endpoint = Endpoint::parse("/v1/responses", None).unwrap();
//! let request = decode_request(&endpoint, r#"{"model":"gpt-5.2","input":"Hi","store":false}"#).unwrap();
//! assert_eq!(request.model, "gpt-5.2");
//! assert_eq!(request.turns.len(), 1);
//! assert_eq!(request.state.store, Some(false));
//! ```

pub(super) mod aggregate;
pub(super) mod error;
mod item;
mod native;
mod object;
pub(super) mod observe;
pub(super) mod request;
pub(super) mod response;
mod search;
pub(super) mod stream;
pub(super) mod usage;

#[cfg(test)]
mod corpus;
