//! An estimate of a request's input tokens, for upstreams that cannot be asked in the client's protocol (6.2).
//!
//! No vendor's tokenizer is at hand, and theirs differ: words, digits, marks and scripts are weighed by class,
//! and what a vendor adds unseen by its kind. The sum errs towards too much, because agents decide by it when
//! to compact, and too little is the harmful side.
//!
//! Measured on recorded exchanges of text and tools with the vendors' own models (`count/corpus.rs`): never
//! below 0.9 of what was billed, half of them below 1.2, nine of ten below 1.75. Models of other vendors, whose
//! servers add prompts of their own, and media are not in that measure.

mod estimator;
mod family;
mod lengths;
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
use super::crossing::in_words;
use super::json::{Str, Writer};
use family::{Costs, Family};

pub use estimator::{Estimator, Meter};
pub use lengths::Lengths;
pub use native::{decode_count, encode_count};

/// About how many tokens `request` has for `model`, the name at the upstream. Never 0.
#[must_use]
pub fn estimate_tokens(request: &Request<'_>, model: &str) -> u64 {
    let mut sum = Sum::new(model, Measure::Words(0));
    sum.request(request);
    sum.total()
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

#[derive(Clone, Copy, Debug)]
struct Sum {
    family: Family,
    costs: &'static Costs,
    /// Tokens of this model for a hundred of OpenAI's.
    percent: u64,
    text: Measure,
    /// Tokens that do not depend on the tokenizer.
    fixed: u64,
}

/// How text is measured.
#[derive(Clone, Copy, Debug)]
enum Measure {
    /// Word by word: tokens of OpenAI's tokenizer.
    Words(u64),
    /// By its length alone.
    Lengths(Lengths),
}

impl Sum {
    fn new(model: &str, text: Measure) -> Self {
        let family = Family::of(model);
        Sum { family, costs: family.costs(), percent: family.percent(model), text, fixed: 0 }
    }

    fn request(&mut self, request: &Request<'_>) {
        let costs = self.costs;
        self.fixed += costs.conversation;
        for block in &request.system {
            self.fixed += costs.message;
            self.text(&block.text);
        }
        for turn in &request.turns {
            self.fixed += costs.message;
            self.parts(&turn.parts);
        }
        for tool in &request.tools {
            self.tool(tool);
        }
        if !request.tools.is_empty() {
            self.fixed += costs.tool_use;
        }
        if let Format::JsonSchema { schema, description, .. } = &request.output.format {
            self.fixed += costs.schema;
            self.plain(schema.as_str());
            if let Some(description) = description {
                self.text(description);
            }
        }
        if matches!(request.reasoning.mode, ReasoningMode::On | ReasoningMode::Auto) {
            self.fixed += costs.reasoning;
        }
    }

    fn text(&mut self, text: &Str<'_>) {
        match &mut self.text {
            Measure::Words(_) => self.plain(&text.decode()),
            Measure::Lengths(lengths) => lengths.add(text.as_escaped().as_bytes()),
        }
    }

    /// Text without escapes.
    fn plain(&mut self, text: &str) {
        match &mut self.text {
            Measure::Words(tokens) => *tokens += text::tokens(text),
            Measure::Lengths(lengths) => lengths.add(text.as_bytes()),
        }
    }

    fn parts(&mut self, parts: &[Part<'_>]) {
        for part in parts {
            self.part(part);
        }
    }

    fn part(&mut self, part: &Part<'_>) {
        match &part.kind {
            PartKind::Text { text } | PartKind::Refusal { text } | PartKind::Reasoning { text, .. } => {
                self.text(text);
            }
            PartKind::Media(media) => media::add(media, self),
            PartKind::ToolCall { name, arguments, .. } => {
                self.fixed += self.costs.call;
                self.text(name);
                self.plain(arguments);
            }
            PartKind::ToolResult { content, name, .. } => {
                self.fixed += self.costs.call;
                if let Some(name) = name {
                    self.text(name);
                }
                self.parts(content);
            }
            // Only its own protocol reads it: other upstreams get no more of it than its words.
            PartKind::Opaque { protocol, tag, raw } => {
                if let Some(words) = in_words(*protocol, tag, raw) {
                    self.plain(&words.text);
                }
            }
            PartKind::WebSearchCall(_) => {}
        }
    }

    fn tool(&mut self, tool: &Tool<'_>) {
        self.fixed += self.costs.tool;
        self.text(&tool.name);
        if let Some(description) = &tool.description {
            self.text(description);
        }
        if let Some(schema) = &tool.schema {
            self.plain(schema.as_str());
        }
        match &tool.kind {
            ToolKind::Function | ToolKind::Client { .. } => {}
            ToolKind::Custom { format } => {
                if let Some(format) = format {
                    self.plain(format.as_str());
                }
            }
            ToolKind::Hosted { .. } => self.fixed += self.costs.hosted_tool,
        }
    }

    fn total(&self) -> u64 {
        let text = match &self.text {
            Measure::Words(tokens) => *tokens,
            Measure::Lengths(lengths) => lengths.tokens(),
        };
        text.saturating_mul(self.percent).div_ceil(100).saturating_add(self.fixed).max(1)
    }
}
