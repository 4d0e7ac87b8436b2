//! An estimate of a request's input tokens, for upstreams that cannot be asked in the client's protocol (6.2).
//!
//! No vendor's tokenizer is at hand, and theirs differ: words, digits, marks and scripts are weighed by class,
//! and what a vendor adds unseen by its kind. The sum errs towards too much, because agents decide by it when
//! to compact, and too little is the harmful side.
//!
//! Measured on recorded exchanges of text and tools with the vendors' own models (`count/corpus.rs`): never
//! below 0.9 of what was billed, half of them below 1.2, nine of ten below 1.75. Models of other vendors, whose
//! servers add prompts of their own, and media are not in that measure.

mod media;
mod picture;
mod text;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;

use super::canonical::{Format, Part, PartKind, ReasoningMode, Request, Tool, ToolKind};
use super::json::Writer;
use super::{Capabilities, Protocol};

/// Whose tokenizer it is. Models of other vendors are close to OpenAI's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Family {
    Claude,
    OpenAi,
    Gemini,
}

impl Family {
    fn of(model: &str) -> Self {
        if model.contains("claude") {
            Family::Claude
        } else if model.contains("gemini") {
            Family::Gemini
        } else {
            Family::OpenAi
        }
    }
}

/// About how many tokens `request` has for `model`, the name at the upstream. Never 0.
#[must_use]
pub fn estimate_tokens(request: &Request<'_>, model: &str) -> u64 {
    let family = Family::of(model);
    let mut sum = Sum { family, text: 0, fixed: family.conversation() };
    for block in &request.system {
        sum.fixed += family.message();
        sum.text(&block.text.decode());
    }
    for turn in &request.turns {
        sum.fixed += family.message();
        sum.parts(&turn.parts);
    }
    for tool in &request.tools {
        sum.tool(tool);
    }
    if !request.tools.is_empty() {
        sum.fixed += family.tool_use();
    }
    if let Format::JsonSchema { schema, description, .. } = &request.output.format {
        sum.fixed += family.schema();
        sum.text(schema.as_str());
        if let Some(description) = description {
            sum.text(&description.decode());
        }
    }
    if matches!(request.reasoning.mode, ReasoningMode::On | ReasoningMode::Auto) {
        sum.fixed += family.reasoning();
    }
    sum.total(model)
}

/// The answer to a counting request, in the client's shape.
#[must_use]
pub fn render_count(client: Protocol, tokens: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(64);
    let mut w = Writer::new(&mut out);
    w.begin_object();
    match client {
        Protocol::Gemini => w.key("totalTokens").u64(tokens),
        Protocol::Responses => {
            w.key("object").text("response.input_tokens");
            w.key("input_tokens").u64(tokens)
        }
        Protocol::Anthropic | Protocol::OpenAi => w.key("input_tokens").u64(tokens),
    };
    w.end_object();
    out
}

struct Sum {
    family: Family,
    /// Tokens of OpenAI's tokenizer.
    text: u64,
    /// Tokens that do not depend on the tokenizer.
    fixed: u64,
}

impl Sum {
    fn text(&mut self, text: &str) {
        self.text += text::tokens(text);
    }

    fn parts(&mut self, parts: &[Part<'_>]) {
        for part in parts {
            self.part(part);
        }
    }

    fn part(&mut self, part: &Part<'_>) {
        match &part.kind {
            PartKind::Text { text } | PartKind::Refusal { text } | PartKind::Reasoning { text, .. } => {
                self.text(&text.decode());
            }
            PartKind::Media(media) => media::add(media, self),
            PartKind::ToolCall { name, arguments, .. } => {
                self.fixed += self.family.call();
                self.text(&name.decode());
                self.text(arguments);
            }
            PartKind::ToolResult { content, name, .. } => {
                self.fixed += self.family.call();
                if let Some(name) = name {
                    self.text(&name.decode());
                }
                self.parts(content);
            }
            // Only its own protocol reads it: this upstream will not get it.
            PartKind::Opaque { .. } => {}
        }
    }

    fn tool(&mut self, tool: &Tool<'_>) {
        self.fixed += self.family.tool();
        self.text(&tool.name.decode());
        if let Some(description) = &tool.description {
            self.text(&description.decode());
        }
        if let Some(schema) = &tool.schema {
            self.text(schema.as_str());
        }
        match &tool.kind {
            ToolKind::Function | ToolKind::Client { .. } => {}
            ToolKind::Custom { format } => {
                if let Some(format) = format {
                    self.text(format.as_str());
                }
            }
            ToolKind::Hosted { .. } => self.fixed += self.family.hosted_tool(),
        }
    }

    fn total(&self, model: &str) -> u64 {
        let text = self.text.saturating_mul(self.family.percent(model)).div_ceil(100);
        text.saturating_add(self.fixed).max(1)
    }
}

/// What was measured on recorded exchanges, a little above the middle.
impl Family {
    /// Tokens for a hundred of OpenAI's: theirs with a margin, Claude's tokenizer cuts finer, its newest more so.
    fn percent(self, model: &str) -> u64 {
        match self {
            Family::Claude if Capabilities::of(model).sampling => 120,
            Family::Claude => 140,
            Family::OpenAi | Family::Gemini => 110,
        }
    }

    /// What every conversation costs.
    fn conversation(self) -> u64 {
        match self {
            Family::Claude | Family::OpenAi => 4,
            Family::Gemini => 0,
        }
    }

    /// What a message costs beyond its texts: role and separators.
    fn message(self) -> u64 {
        match self {
            Family::Claude | Family::OpenAi => 4,
            Family::Gemini => 1,
        }
    }

    /// What the model is told about tools in general, unseen.
    fn tool_use(self) -> u64 {
        match self {
            Family::Claude => 480,
            Family::OpenAi | Family::Gemini => 0,
        }
    }

    /// What a tool's definition costs beyond its texts.
    fn tool(self) -> u64 {
        match self {
            Family::Claude => 40,
            Family::OpenAi | Family::Gemini => 10,
        }
    }

    /// What a call, or a result, costs beyond its texts.
    fn call(self) -> u64 {
        match self {
            Family::Claude => 40,
            Family::OpenAi | Family::Gemini => 12,
        }
    }

    /// What a tool of the vendor's own is described with, unseen.
    fn hosted_tool(self) -> u64 {
        match self {
            Family::Claude => 1300,
            Family::OpenAi | Family::Gemini => 100,
        }
    }

    /// What the model is told about a schema for its answer, unseen.
    fn schema(self) -> u64 {
        match self {
            Family::Claude => 120,
            Family::OpenAi | Family::Gemini => 0,
        }
    }

    /// What the model is told about reasoning, unseen.
    fn reasoning(self) -> u64 {
        match self {
            Family::Claude => 28,
            Family::OpenAi | Family::Gemini => 0,
        }
    }
}
