//! What the upstream says: canned answers and streams in the shapes of the three protocols the workloads use.
//!
//! Every text that a model would have written contains one `~` (the **mark**), and nothing else does. The load
//! generator counts marks, in whatever protocol and framing they reach it: an answer that lost, doubled or cut an
//! event is not counted as fast. In a paced stream the mark is followed by the time at which the event was written.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;

pub const MARK: u8 = b'~';

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Protocol {
    Chat,
    Anthropic,
    Gemini,
}

impl Protocol {
    /// The protocol that an upstream of this path speaks.
    pub fn of_path(path: &str) -> Option<Self> {
        match path {
            "/v1/chat/completions" => Some(Self::Chat),
            "/v1/messages" => Some(Self::Anthropic),
            _ if path.starts_with("/v1beta/models/") => Some(Self::Gemini),
            _ => None,
        }
    }

    /// How its streams, respectively its answers, end on the wire.
    pub fn ending(self, streamed: bool) -> &'static [u8] {
        match self {
            Self::Chat if streamed => b"data: [DONE]",
            Self::Anthropic if streamed => b"\"message_stop\"",
            _ => b"}",
        }
    }
}

/// Nanoseconds since 1970, which two processes of one machine agree on.
pub fn now_ns() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970");
    u64::try_from(now.as_nanos()).expect("the clock is before the year 2554")
}

/// A complete answer of about 1 KB.
pub fn answer(protocol: Protocol) -> Bytes {
    let text = "~ The gateway keeps a pool of connections for each upstream and picks one by weight. "
        .to_owned()
        + &"It never reads more of a body than it needs, \\\"quotes\\\" and line ends\\nincluded. ".repeat(5);
    let wire = match protocol {
        Protocol::Chat => CHAT_ANSWER,
        Protocol::Anthropic => ANTHROPIC_ANSWER,
        Protocol::Gemini => GEMINI_ANSWER,
    };
    Bytes::from(wire.replacen("TEXT", text.trim_end(), 1))
}

/// A stream in three parts: what opens it, `events` pieces of text, what ends it.
pub struct Script {
    pub opening: Vec<Bytes>,
    pub pieces: Vec<Bytes>,
    pub closing: Vec<Bytes>,
    before_text: &'static str,
    after_text: &'static str,
}

impl Script {
    /// The script of `events` pieces. `None`: this protocol is only asked for complete answers.
    pub fn new(protocol: Protocol, events: usize) -> Option<Self> {
        let (opening, piece, closing) = match protocol {
            Protocol::Chat => (CHAT_OPENING, CHAT_PIECE, CHAT_CLOSING),
            Protocol::Anthropic => (ANTHROPIC_OPENING, ANTHROPIC_PIECE, ANTHROPIC_CLOSING),
            Protocol::Gemini => return None,
        };
        let (before_text, after_text) = piece.split_once("TEXT").expect("a piece holds a text");
        let texts = WORDS.iter().map(|words| Bytes::from(format!("{before_text}~ {words}{after_text}")));
        Some(Self {
            opening: frames(opening),
            pieces: texts.cycle().take(events).collect(),
            closing: frames(closing),
            before_text,
            after_text,
        })
    }

    /// Piece `index`, stamped with the time.
    pub fn stamped(&self, index: usize) -> Bytes {
        let words = WORDS[index % WORDS.len()];
        Bytes::from(format!("{}~{} {words}{}", self.before_text, now_ns(), self.after_text))
    }
}

/// Cuts a constant into its events, each with the blank line that ends it.
fn frames(wire: &'static str) -> Vec<Bytes> {
    wire.split_inclusive("\n\n").map(|frame| Bytes::from_static(frame.as_bytes())).collect()
}

/// What the pieces say: escapes and text beyond ASCII are as frequent as in an answer about code.
const WORDS: [&str; 8] = [
    "the pool keeps ",
    "one \\\"idle\\\" socket ",
    "for each upstream, ",
    "wie man müßte,\\n",
    "\\tlet n = buf.len();",
    " and returns it ",
    "接続を再利用する ",
    "when it is done. ",
];

macro_rules! chunk {
    ($rest:literal) => {
        concat!(
            r#"data: {"id":"chatcmpl-CfQm2v0Jx8yTzN4bKd7R","object":"chat.completion.chunk","#,
            r#""created":1763700000,"model":"gpt-4o-mini-2024-07-18","#,
            r#""system_fingerprint":"fp_0f5a1c2b3d","choices":["#,
            $rest,
            "}\n\n"
        )
    };
}

const CHAT_OPENING: &str = chunk!(
    r#"{"index":0,"delta":{"role":"assistant","content":"","refusal":null},"finish_reason":null}],"usage":null"#
);
const CHAT_PIECE: &str =
    chunk!(r#"{"index":0,"delta":{"content":"TEXT"},"finish_reason":null}],"usage":null"#);
const CHAT_CLOSING: &str = concat!(
    chunk!(r#"{"index":0,"delta":{},"finish_reason":"stop"}],"usage":null"#),
    chunk!(
        r#"],"usage":{"prompt_tokens":215,"completion_tokens":200,"total_tokens":415,"prompt_tokens_details":{"cached_tokens":0}}"#
    ),
    "data: [DONE]\n\n"
);
const CHAT_ANSWER: &str = concat!(
    r#"{"id":"chatcmpl-CfQm2v0Jx8yTzN4bKd7RwLsPqHu1E","object":"chat.completion","created":1763700000,"#,
    r#""model":"gpt-4o-mini-2024-07-18","choices":[{"index":0,"message":{"role":"assistant","content":"TEXT","#,
    r#""refusal":null,"annotations":[]},"logprobs":null,"finish_reason":"stop"}],"usage":{"prompt_tokens":215,"#,
    r#""completion_tokens":120,"total_tokens":335,"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},"#,
    r#""completion_tokens_details":{"reasoning_tokens":0}},"service_tier":"default","system_fingerprint":"fp_0f5a1c2b3d"}"#,
);

const ANTHROPIC_OPENING: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","#,
    r#""model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":215,"#,
    r#""cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":1}}}"#,
    "\n\nevent: content_block_start\n",
    r#"data: {"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
    "\n\nevent: ping\n",
    r#"data: {"type":"ping"}"#,
    "\n\n"
);
const ANTHROPIC_PIECE: &str = concat!(
    "event: content_block_delta\n",
    r#"data: {"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"TEXT"}}"#,
    "\n\n"
);
const ANTHROPIC_CLOSING: &str = concat!(
    "event: content_block_stop\n",
    r#"data: {"type":"content_block_stop","index":0}"#,
    "\n\nevent: message_delta\n",
    r#"data: {"type":"message_delta","delta":{"stop_reason":"end_turn","stop_sequence":null},"usage":{"output_tokens":200}}"#,
    "\n\nevent: message_stop\n",
    r#"data: {"type":"message_stop"}"#,
    "\n\n"
);
const ANTHROPIC_ANSWER: &str = concat!(
    r#"{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","#,
    r#""content":[{"type":"text","text":"TEXT"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":215,"#,
    r#""cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":120,"service_tier":"standard"}}"#,
);

const GEMINI_ANSWER: &str = concat!(
    r#"{"candidates":[{"content":{"parts":[{"text":"TEXT"}],"role":"model"},"finishReason":"STOP","index":0,"#,
    r#""avgLogprobs":-0.12}],"usageMetadata":{"promptTokenCount":215,"candidatesTokenCount":120,"totalTokenCount":335,"#,
    r#""promptTokensDetails":[{"modality":"TEXT","tokenCount":215}]},"modelVersion":"gemini-2.0-flash","#,
    r#""responseId":"q1x0aMWbJp2kkdUP5a7p0Qw"}"#,
);
