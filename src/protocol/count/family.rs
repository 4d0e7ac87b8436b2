//! What tokenizers and vendors' unseen words cost: figures measured on recorded exchanges, a little above the
//! middle.

use crate::protocol::Capabilities;

/// Whose tokenizer it is. Models of other vendors are close to OpenAI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Claude,
    OpenAi,
    Gemini,
}

/// Tokens beyond those of a request's own texts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Costs {
    /// Every conversation.
    pub(super) conversation: u64,
    /// A message: role and separators.
    pub(super) message: u64,
    /// What the model is told about tools in general.
    pub(super) tool_use: u64,
    /// A tool's definition.
    pub(super) tool: u64,
    /// A call, or a result.
    pub(super) call: u64,
    /// What a tool of the vendor's own is described with.
    pub(super) hosted_tool: u64,
    /// What the model is told about a schema for its answer.
    pub(super) schema: u64,
    /// What the model is told about reasoning.
    pub(super) reasoning: u64,
}

const CLAUDE: Costs = Costs {
    conversation: 4,
    message: 4,
    tool_use: 480,
    tool: 40,
    call: 40,
    hosted_tool: 1300,
    schema: 120,
    reasoning: 28,
};

const OPENAI: Costs = Costs {
    conversation: 4,
    message: 4,
    tool_use: 0,
    tool: 10,
    call: 12,
    hosted_tool: 100,
    schema: 0,
    reasoning: 0,
};

const GEMINI: Costs = Costs { conversation: 0, message: 1, ..OPENAI };

impl Family {
    pub(super) fn of(model: &str) -> Self {
        if model.contains("claude") {
            Family::Claude
        } else if model.contains("gemini") {
            Family::Gemini
        } else {
            Family::OpenAi
        }
    }

    pub(super) fn costs(self) -> &'static Costs {
        match self {
            Family::Claude => &CLAUDE,
            Family::OpenAi => &OPENAI,
            Family::Gemini => &GEMINI,
        }
    }

    /// Tokens for a hundred of OpenAI's: theirs with a margin, Claude's tokenizer cuts finer, its newest more so.
    pub(super) fn percent(self, model: &str) -> u64 {
        match self {
            Family::Claude if Capabilities::of(model).sampling => 120,
            Family::Claude => 140,
            Family::OpenAi | Family::Gemini => 110,
        }
    }
}
