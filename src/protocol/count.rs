//! An estimate of a request's input tokens, for upstreams that cannot be asked in the client's protocol (6.2).
//!
//! No vendor's tokenizer is at hand, and theirs differ: words, digits, marks and scripts are weighed by class,
//! and what a vendor adds unseen by its kind. The sum errs towards too much, because agents decide by it when
//! to compact, and too little is the harmful side.
//!
//! Measured on recorded exchanges of text and tools with the vendors' own models (`count/corpus.rs`): never
//! below 0.9 of what was billed, half of them below 1.2, nine of ten below 1.75. Models of other vendors, whose
//! servers add prompts of their own, and media are not in that measure.

mod family;
mod media;
mod native;
mod picture;
mod text;

#[cfg(test)]
mod corpus;
#[cfg(test)]
mod tests;

use super::Protocol;
use super::canonical::{Format, Part, PartKind, ReasoningMode, Request, Tool, ToolKind};
use super::json::Writer;
use family::{Costs, Family};

pub use native::{decode_count, encode_count};

/// About how many tokens `request` has for `model`, the name at the upstream. Never 0.
#[must_use]
pub fn estimate_tokens(request: &Request<'_>, model: &str) -> u64 {
    let family = Family::of(model);
    let costs = family.costs();
    let mut sum = Sum { family, costs, text: 0, fixed: costs.conversation };
    for block in &request.system {
        sum.fixed += costs.message;
        sum.text(&block.text.decode());
    }
    for turn in &request.turns {
        sum.fixed += costs.message;
        sum.parts(&turn.parts);
    }
    for tool in &request.tools {
        sum.tool(tool);
    }
    if !request.tools.is_empty() {
        sum.fixed += costs.tool_use;
    }
    if let Format::JsonSchema { schema, description, .. } = &request.output.format {
        sum.fixed += costs.schema;
        sum.text(schema.as_str());
        if let Some(description) = description {
            sum.text(&description.decode());
        }
    }
    if matches!(request.reasoning.mode, ReasoningMode::On | ReasoningMode::Auto) {
        sum.fixed += costs.reasoning;
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
    costs: Costs,
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
                self.fixed += self.costs.call;
                self.text(&name.decode());
                self.text(arguments);
            }
            PartKind::ToolResult { content, name, .. } => {
                self.fixed += self.costs.call;
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
        self.fixed += self.costs.tool;
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
            ToolKind::Hosted { .. } => self.fixed += self.costs.hosted_tool,
        }
    }

    fn total(&self, model: &str) -> u64 {
        let text = self.text.saturating_mul(self.family.percent(model)).div_ceil(100);
        text.saturating_add(self.fixed).max(1)
    }
}
