//! Gemini: `generateContent`, `streamGenerateContent?alt=sse` and `countTokens`.
//!
//! Model and stream flag live in the path, calls may have no ids, and opaque state (`thoughtSignature`)
//! sits on any part. Every key is understood in camelCase and snake_case (T121).
//!
//! | Subject | Carried | What hurts |
//! |---|---|---|
//! | text, thoughts, calls, responses, media | exactly; arguments and unknown parts byte for byte | a `response` object with only `result` comes back as `output` |
//! | function schemas | as JSON Schema; in Google's OpenAPI dialect for Vertex and old models | keywords that the target refuses |
//! | calls without ids | get ids made from their place in the conversation | - |
//! | system messages in mid-conversation | user text in `<system>` tags | authority |
//! | reasoning of other providers | for clients: in an envelope in `thoughtSignature`; for the upstream: dropped | visible thoughts of others |
//! | effort and budget | like for like, else by the table of section 2.9 | precision |
//! | probabilities of tokens | those of visible text, digit for digit | numbers of tokens, and what calls were made of |
//! | stop sequences | five | the rest |
//! | stored state, files of other providers, foreign hosted tools but web search | refused | - |
//!
//! ```
//! use aiproxy::protocol::{Endpoint, decode_request};
//! let endpoint = Endpoint::parse("/v1beta/models/gemini-2.5-pro:generateContent", None).unwrap();
//! let request = decode_request(&endpoint, r#"{"contents":[{"parts":[{"text":"Hi"}]}]}"#)?;
//! assert_eq!(request.model, "gemini-2.5-pro");
//! assert_eq!(request.turns.len(), 1);
//! # Ok::<_, aiproxy::protocol::RequestError>(())
//! ```

mod answer;
mod finish;
mod keys;
mod logprobs;
mod media;
mod part;
mod plain;
mod schema;
mod signature;
pub(super) mod usage;

pub(super) mod aggregate;
pub(super) mod error;
pub(super) mod observe;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;

#[cfg(test)]
mod tests;
