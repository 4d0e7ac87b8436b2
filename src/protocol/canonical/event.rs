//! The canonical stream: the grammar of 1.6.
//!
//! ```text
//! stream = Start ( item | Usage | Ping | Finish )* ( End | Error )
//! item   = PartStart ( Delta | PartMeta )* PartEnd
//! ```
//!
//! `Start` comes once and first; `End` or `Error` once and last. Within a choice one part is open at
//! a time. Parts are numbered densely from 0 per choice; no upstream index ever reaches a client.

use super::Opaque;
use super::error::ErrorView;
use super::logprob::TokenLogprob;
use super::response::{Citation, Finish};
use super::search_call::WebSearchCall;
use super::usage::Usage;
use crate::protocol::Protocol;
use crate::protocol::json::{Raw, Str};

/// One event of the canonical stream.
#[derive(Clone, Debug)]
pub enum Event<'a> {
    /// The answer begins.
    Start {
        /// The upstream's id of the answer; empty when it gave none.
        id: Str<'a>,
        /// The upstream's name of the model; empty when it gave none.
        model: Str<'a>,
        /// Seconds since 1970, where the upstream says.
        created: Option<u64>,
    },
    /// A part begins.
    PartStart {
        /// Which choice.
        choice: u32,
        /// Number of the part in its choice.
        part: u32,
        /// What it is.
        header: PartHeader<'a>,
    },
    /// More of the open part.
    Delta {
        /// Which choice.
        choice: u32,
        /// Number of the part.
        part: u32,
        /// What came.
        delta: Delta<'a>,
    },
    /// State of the open part; at most once, before its end.
    PartMeta {
        /// Which choice.
        choice: u32,
        /// Number of the part.
        part: u32,
        /// The state.
        meta: PartMeta<'a>,
    },
    /// The part has ended.
    PartEnd {
        /// Which choice.
        choice: u32,
        /// Number of the part.
        part: u32,
        /// `false`: cut off by a length limit.
        complete: bool,
    },
    /// Counts so far; later fields override earlier ones.
    Usage(Usage),
    /// A choice has ended; nothing of it follows.
    Finish {
        /// Which choice.
        choice: u32,
        /// Why.
        finish: Finish<'a>,
    },
    /// A sign of life.
    Ping,
    /// The upstream said that it is done.
    End,
    /// It went wrong; nothing follows.
    Error(ErrorView),
}

/// What a part is.
#[derive(Clone, Debug)]
pub enum PartHeader<'a> {
    /// Visible text.
    Text,
    /// A refusal in words.
    Refusal,
    /// Reasoning.
    Reasoning,
    /// Reasoning whose text the provider hid; its data comes as [`PartMeta`].
    Redacted,
    /// A call of a tool.
    ToolCall {
        /// The call's id; decoders make one up where the protocol has none.
        id: Str<'a>,
        /// The tool's name.
        name: Str<'a>,
        /// Whether it takes free text instead of JSON.
        custom: bool,
    },
    /// A picture or sound that the model made.
    Media {
        /// MIME type.
        mime: Str<'a>,
    },
    /// A search of the web that ran at the provider, whole.
    WebSearchCall(Box<WebSearchCall<'a>>),
    /// A part only its own protocol understands (a hosted tool at work); raw.
    Opaque {
        /// Whose.
        protocol: Protocol,
        /// All of it.
        raw: Raw<'a>,
    },
}

/// More of a part.
#[derive(Clone, Debug)]
pub enum Delta<'a> {
    /// Text of a text, refusal or reasoning part.
    Text(Str<'a>),
    /// JSON text of tool arguments, *escaped as the inside of a JSON string*: the way Chat,
    /// Responses and Anthropic stream it. Gemini, which sends objects, escapes them.
    Arguments(Str<'a>),
    /// Base64.
    Media(Str<'a>),
    /// A source of the text so far.
    Citation(Citation<'a>),
    /// How probable the tokens of the text were; as a rule just before that text.
    Logprobs(Vec<TokenLogprob<'a>>),
}

/// State of a part.
#[derive(Clone, Debug)]
pub struct PartMeta<'a> {
    /// The state.
    pub opaque: Opaque<'a>,
}

impl PartHeader<'_> {
    /// Detaches the header from its document.
    #[must_use]
    pub fn into_owned(self) -> PartHeader<'static> {
        match self {
            PartHeader::Text => PartHeader::Text,
            PartHeader::Refusal => PartHeader::Refusal,
            PartHeader::Reasoning => PartHeader::Reasoning,
            PartHeader::Redacted => PartHeader::Redacted,
            PartHeader::ToolCall { id, name, custom } => {
                PartHeader::ToolCall { id: id.into_owned(), name: name.into_owned(), custom }
            }
            PartHeader::Media { mime } => PartHeader::Media { mime: mime.into_owned() },
            PartHeader::WebSearchCall(call) => PartHeader::WebSearchCall(Box::new(call.into_owned())),
            PartHeader::Opaque { protocol, raw } => PartHeader::Opaque { protocol, raw: raw.into_owned() },
        }
    }
}

impl Delta<'_> {
    /// Detaches the delta from its document.
    #[must_use]
    pub fn into_owned(self) -> Delta<'static> {
        match self {
            Delta::Text(text) => Delta::Text(text.into_owned()),
            Delta::Arguments(text) => Delta::Arguments(text.into_owned()),
            Delta::Media(data) => Delta::Media(data.into_owned()),
            Delta::Citation(citation) => Delta::Citation(citation.into_owned()),
            Delta::Logprobs(tokens) => {
                Delta::Logprobs(tokens.into_iter().map(TokenLogprob::into_owned).collect())
            }
        }
    }

    /// Size of what came, for bounds on what is held back.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Delta::Text(text) | Delta::Arguments(text) | Delta::Media(text) => text.len(),
            Delta::Citation(_) => 256,
            Delta::Logprobs(tokens) => tokens.iter().map(TokenLogprob::size).sum(),
        }
    }

    /// Whether nothing came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
