//! OpenAI Chat Completions, and the many servers that speak something close to it.
//!
//! Chat keeps one flat `content` beside a list of `tool_calls`, so order between text, reasoning and
//! calls is lost on the wire; in streams each choice is a mapping of deltas that may interleave. What
//! the rest of the field has added to it is read wherever it comes and written only where it is the
//! known carrier: `reasoning_content` and `reasoning_details` for reasoning, `extra_content` for
//! Google's signatures, `images` for pictures.
//!
//! | Hub | towards a Chat upstream | towards a Chat client |
//! |---|---|---|
//! | texts, images, PDFs, sound | exact | exact (pictures: `images` extension) |
//! | order of text and calls | text first, then calls | as it streams; flat when whole |
//! | reasoning text | dropped, unless the server replays it | `reasoning_content` |
//! | reasoning state | foreign state dropped | `reasoning_details`, in an envelope |
//! | media in tool results | moved to a user message after the step | - |
//! | failed tool results | `Error: ` before the text | - |
//! | token budgets for reasoning | as effort, on reasoning models | - |
//! | probabilities of tokens | asked for, unless the model reasons | exact (a refusal's never reach a Responses client, whose refusals have no place for them) |
//! | `top_k`, safety settings | dropped | - |
//! | video, documents by URL, foreign file ids | refused | - |
//! | finish: context window, pause, other | - | `length`, `stop`, `stop` |
//!
//! Lists of one stop text, content lists of one text and the legacy `functions` are normalised; the
//! rest of a Chat request survives decoding and encoding, member by member.

pub(super) mod aggregate;
mod calls;
mod citations;
pub(super) mod error;
mod finish;
mod free_text;
pub(super) mod observe;
mod reasoning;
pub(super) mod request;
pub(super) mod response;
pub(super) mod stream;
mod think_tags;
pub(super) mod usage;

/// The key under which an exchange remembers that the client speaks of `functions`, which Chat
/// answers with `function_call` (section 3.5).
const LEGACY_FUNCTIONS: &str = "functions";

/// The tag of `web_search_options`, which Chat gives beside the tools and not among them.
const WEB_SEARCH: &str = "web_search";

#[cfg(test)]
mod corpus;
