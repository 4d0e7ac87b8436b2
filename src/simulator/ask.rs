//! What was asked, in no protocol.

use serde_json::Value;

use base64::Engine as _;
use base64::alphabet::URL_SAFE;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use sha2::{Digest, Sha256};

use super::agent::Task;
use super::script::words;

const KEPT_BYTES: usize = 4000;
const ECHO_CHARS: usize = 400;

/// The beginning of a text that may be long.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snippet(String);

impl Snippet {
    /// Appends a part, a space before it if there was one already.
    pub(crate) fn push(&mut self, text: &str) {
        let room = KEPT_BYTES.saturating_sub(self.0.len());
        if room == 0 || text.is_empty() {
            return;
        }
        if !self.0.is_empty() {
            self.0.push(' ');
        }
        let end = (0..=text.len().min(room)).rev().find(|at| text.is_char_boundary(*at));
        self.0.push_str(text.get(..end.unwrap_or_default()).unwrap_or_default());
    }

    /// What was kept.
    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether nothing was pushed.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends the text, shortened if it is long.
    pub(crate) fn echo(&self, out: &mut String) {
        match self.0.char_indices().nth(ECHO_CHARS) {
            Some((end, _)) => {
                out.push_str(self.0.get(..end).unwrap_or_default());
                out.push('…');
            }
            None => out.push_str(&self.0),
        }
    }
}

/// A tool the client offers and runs itself.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    /// Its name.
    pub(crate) name: String,
    /// The JSON schema of its arguments.
    pub(crate) schema: Value,
    /// Takes free text instead of JSON.
    pub(crate) custom: bool,
    /// The namespace it is declared in, where there are any.
    pub(crate) namespace: Option<String>,
}

/// Whether a tool may or must be called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The model decides; this one always calls.
    #[default]
    Auto,
    /// No call.
    None,
    /// This tool.
    Named(String),
}

/// Whether and how reasoning is shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Reasoning {
    /// The model does not reason.
    #[default]
    Off,
    /// It reasons, and shows only a signature and the count.
    Hidden,
    /// It shows what it thinks.
    Shown,
}

/// What the client asked, in no protocol.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ask {
    /// The model's name.
    pub(crate) model: String,
    /// System prompt, instructions, developer messages.
    pub(crate) system: Snippet,
    /// The user's last turn.
    pub(crate) user: Snippet,
    /// What the tools said in the last turn.
    pub(crate) results: Vec<Snippet>,
    /// What the user wants done, for a model that plays an agent's.
    pub(crate) task: Task,
    /// Pictures in the whole request.
    pub(crate) images: usize,
    /// Documents and other files in the whole request.
    pub(crate) documents: usize,
    /// Media that came within the request: type, size and the beginning of its SHA-256, so that a
    /// client can see whether its bytes arrived.
    pub(crate) inline: Vec<String>,
    /// Reasoning state of this simulator's making that came back whole, in the whole request.
    pub(crate) reasonings: usize,
    /// Tools on offer.
    pub(crate) tools: Vec<Tool>,
    /// Which of them.
    pub(crate) choice: Choice,
    /// Whether several calls at once are allowed.
    pub(crate) parallel: bool,
    /// Whether to reason.
    pub(crate) reasoning: Reasoning,
    /// Whether the provider may search the web.
    pub(crate) searches: bool,
    /// Whether probabilities of tokens are wanted, and how many of the most probable ones.
    pub(crate) logprobs: Option<usize>,
    /// The schema the answer must fit.
    pub(crate) format: Option<Value>,
    /// Texts that end the answer.
    pub(crate) stop: Vec<String>,
    /// The most words the answer may have.
    pub(crate) max_tokens: Option<u64>,
    /// Whether the answer is a stream.
    pub(crate) stream: bool,
    /// Words in the request.
    pub(crate) input_tokens: usize,
    /// The last message was the assistant's.
    pub(crate) answered: bool,
}

impl Ask {
    /// Counts a text of the request.
    pub(crate) fn count(&mut self, text: &str) {
        self.input_tokens += words(text);
    }

    /// An assistant message went by: what the user says next is a new turn.
    pub(crate) fn assistant(&mut self, text: &str) {
        self.count(text);
        self.answered = true;
    }

    /// A text of the user.
    pub(crate) fn user(&mut self, text: &str) {
        self.count(text);
        self.turn();
        self.user.push(text);
        self.task.user(text);
    }

    /// The result of a tool, with all its texts.
    pub(crate) fn result(&mut self, texts: &[&str]) {
        self.turn();
        let mut result = Snippet::default();
        for text in texts {
            self.count(text);
            result.push(text);
        }
        self.task.result(&result);
        self.results.push(result);
    }

    /// A text of the system prompt.
    pub(crate) fn system(&mut self, text: &str) {
        self.count(text);
        self.system.push(text);
    }

    /// Media within the request, in either alphabet of base64. False if it is not base64.
    pub(crate) fn inline(&mut self, kind: &str, data: &str) -> bool {
        let Some(bytes) = decode(data) else { return false };
        let digest: String =
            Sha256::digest(&bytes).iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        self.inline.push(format!("{kind} {} bytes {digest}", bytes.len()));
        true
    }

    fn turn(&mut self) {
        if std::mem::take(&mut self.answered) {
            self.user = Snippet::default();
            self.results.clear();
        }
    }
}

fn decode(data: &str) -> Option<Vec<u8>> {
    const EITHER: GeneralPurposeConfig =
        general_purpose::PAD.with_decode_padding_mode(DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&base64::alphabet::STANDARD, EITHER)
        .decode(data)
        .or_else(|_| GeneralPurpose::new(&URL_SAFE, EITHER).decode(data))
        .ok()
}

/// The type and the base64 text of a data URL.
pub(crate) fn data_url(url: &str) -> Option<(&str, &str)> {
    url.strip_prefix("data:")?.split_once(";base64,")
}
