//! The hub: what at least two protocols share, shaped like ordered typed parts.
//!
//! Every value borrows from the document it was read from and keeps its wire text: strings stay
//! escaped ([`Str`](super::json::Str)), numbers and schemas keep every digit. A dialect decodes its
//! own JSON into these types and encodes them into its own JSON; it knows no other dialect.
//!
//! The order of fields and the vocabulary are those of the specification: request, parts, tools,
//! answer, stream events, usage, finish reasons, errors, losses.

mod breakpoint;
mod cache_key;
mod call_state;
mod client_param;
pub mod envelope;
mod error;
mod event;
mod exchange;
mod free_text;
mod hosted;
mod logprob;
mod losses;
pub mod media;
mod model_family;
mod opaque;
mod overflow;
mod request;
mod response;
pub(in crate::protocol) mod restoration;
mod retry_hint;
mod search;
mod search_call;
mod sequence;
mod signed_text;
mod stop;
mod usage;
mod wording;

pub(in crate::protocol) use breakpoint::write_breakpoint;
pub use call_state::{CallState, Recorder, last_said, restore};
pub(crate) use client_param::client_param;
pub use error::{AccountReset, ErrorView, FaultKind, Unsupported};
pub use event::{Delta, Event, PartHeader, PartMeta};
pub use exchange::{Exchange, IdSource, NameMap};
pub(crate) use exchange::{derived_id, fit_call_id};
pub(crate) use free_text::{FREE_TEXT, describe_free_text};
pub use hosted::HostedTools;
pub use logprob::TokenLogprob;
pub(in crate::protocol) use logprob::read_logprob;
pub use losses::{Action, Loss, Losses};
pub use model_family::ModelFamily;
pub use opaque::{Opaque, OpaqueKind, Provider};
pub use overflow::Overflow;
pub use request::{
    Allowed, Cache, CacheMark, Effort, Format, Identity, Media, MediaKind, MediaSource, Output, Part,
    PartKind, Reasoning, ReasoningMode, Request, Role, Sampling, Service, State, SystemBlock, Tool,
    ToolChoice, ToolKind, Turn, Visibility,
};
pub use response::{Choice, Citation, Collector, Finish, FinishReason, Response};
pub use restoration::Restoration;
pub(in crate::protocol) use retry_hint::retry_hint;
pub(crate) use retry_hint::spoken_duration;
pub use search::WebSearch;
pub use search_call::{WebSearchCall, WebSearchResult};
pub use sequence::Sequencer;
pub(crate) use stop::most_stops;
pub use stop::{StopFilter, take_untaken};
pub use usage::Usage;
pub(in crate::protocol) use wording::{marked_system, said_by_user};
