//! What a model and its server can take: data, not code (8.2).
//!
//! An unknown model gets its vendor's newest row, but no figures that nobody has told; an upstream's configuration
//! may override rows.

mod limits;

use limits::Limits;

use super::canonical::ModelFamily;

/// Where a request is going.
#[derive(Clone, Debug)]
pub struct Target<'t> {
    /// The model's name at the upstream.
    pub model: &'t str,
    /// What the model takes.
    pub capabilities: Capabilities,
    /// How this server bends its protocol.
    pub dialect: Dialect,
    /// The output limit to send where the protocol demands one and the client gave none.
    pub default_max_tokens: Option<u64>,
    /// Anthropic: whether a request without cache marks, from a client that knows none, asks for the automatic
    /// one (2.11).
    pub auto_cache: bool,
}

impl<'t> Target<'t> {
    /// A target with the built-in capabilities of `model` and no quirks.
    #[must_use]
    pub fn new(model: &'t str) -> Self {
        Target {
            model,
            capabilities: Capabilities::of(model),
            dialect: Dialect::default(),
            default_max_tokens: None,
            auto_cache: false,
        }
    }

    /// The family of its model.
    #[must_use]
    pub fn family(&self) -> ModelFamily {
        ModelFamily::of(self.model, self.dialect.vertex)
    }
}

/// How a model reasons.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thinking {
    /// Not at all.
    None,
    /// With a token budget.
    Budget,
    /// With a token budget or adaptively.
    Both,
    /// Adaptively; a budget is refused.
    Adaptive,
    /// With a level in words (Gemini 3).
    Level,
}

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Tokens of its context window, where known.
    pub context: Option<u64>,
    /// Most input tokens, where they are known to be fewer than the context has: the rest of it is kept for the answer.
    pub max_input: Option<u64>,
    /// Most output tokens, where known.
    pub max_output: Option<u64>,
    /// Whether temperature, top_p and top_k are accepted.
    pub sampling: bool,
    /// Whether temperature and top_p together are refused.
    pub sampling_exclusive: bool,
    /// How it reasons.
    pub thinking: Thinking,
    /// Whether effort can be given in words.
    pub effort: bool,
    /// Whether `xhigh` and `max` are among the words.
    pub effort_xhigh: bool,
    /// Whether the last turn may be the assistant's.
    pub prefill: bool,
    /// Whether system messages may stand in mid-conversation.
    pub mid_system: bool,
    /// Whether answers can be held to a JSON schema.
    pub structured_output: bool,
    /// OpenAI: a reasoning model (no sampling, `max_completion_tokens`, effort).
    pub reasoning_model: bool,
    /// OpenAI: content parts take `prompt_cache_breakpoint` (2.11).
    pub explicit_breakpoints: bool,
    /// Gemini: call ids are understood.
    pub call_ids: bool,
    /// Gemini: media inside function responses.
    pub media_in_results: bool,
}

impl Capabilities {
    /// Gemini 3 and later: reasoning has levels, and calls must be signed (T100).
    pub(crate) fn has_levels(&self) -> bool {
        matches!(self.thinking, Thinking::Level | Thinking::Adaptive)
    }

    /// Most tokens that a request may have, where known: the figure that its vendor compares it with.
    #[must_use]
    pub fn input_limit(&self) -> Option<u64> {
        [self.context, self.max_input].into_iter().flatten().min()
    }

    /// The row of `model`; vendors' names are recognised with and without a prefix (`anthropic/…`).
    #[must_use]
    pub fn of(model: &str) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        if name.contains("claude") {
            Self::claude(name)
        } else if name.contains("gemini") {
            Self::gemini(name)
        } else {
            Self::openai(name)
        }
    }

    const BASE: Capabilities = Capabilities {
        context: None,
        max_input: None,
        max_output: None,
        sampling: true,
        sampling_exclusive: false,
        thinking: Thinking::None,
        effort: false,
        effort_xhigh: false,
        prefill: true,
        mid_system: false,
        structured_output: true,
        reasoning_model: false,
        explicit_breakpoints: false,
        call_ids: true,
        media_in_results: true,
    };

    fn claude(name: &str) -> Self {
        let has = |part: &str| name.contains(part);
        // Asked for last, and then only: this is looked up for every request.
        let newest = || Capabilities {
            context: limits::CLAUDE_MILLION.iter().any(|part| has(part)).then_some(1_000_000),
            max_output: Some(128_000),
            sampling: false,
            thinking: Thinking::Adaptive,
            effort: true,
            effort_xhigh: true,
            prefill: false,
            mid_system: true,
            ..Self::BASE
        };
        if has("claude-3-7") {
            Capabilities {
                context: Some(200_000),
                max_output: Some(64_000),
                thinking: Thinking::Budget,
                structured_output: false,
                ..Self::BASE
            }
        } else if has("claude-3") || has("claude-2") || has("claude-instant") {
            let max_output = if has("claude-3-5") { 8_192 } else { 4_096 };
            Capabilities {
                context: has("claude-3").then_some(200_000),
                max_output: Some(max_output),
                structured_output: false,
                ..Self::BASE
            }
        } else if has("opus-4-6") || has("sonnet-4-6") {
            Capabilities {
                context: Some(1_000_000),
                max_output: Some(128_000),
                sampling_exclusive: true,
                thinking: Thinking::Both,
                effort: true,
                prefill: false,
                ..Self::BASE
            }
        } else if has("-4-5") {
            Capabilities {
                context: Some(200_000),
                max_output: Some(64_000),
                sampling_exclusive: true,
                thinking: Thinking::Budget,
                effort: has("opus"),
                ..Self::BASE
            }
        } else if has("opus-4-1") {
            Capabilities {
                context: Some(200_000),
                max_output: Some(32_000),
                sampling_exclusive: true,
                thinking: Thinking::Budget,
                ..Self::BASE
            }
        } else if has("opus-4-7") || has("opus-4-8") {
            newest()
        } else if has("opus-4") || has("sonnet-4") {
            Capabilities {
                context: Some(200_000),
                max_output: Some(if has("opus") { 32_000 } else { 64_000 }),
                thinking: Thinking::Budget,
                structured_output: false,
                ..Self::BASE
            }
        } else {
            newest()
        }
    }

    fn openai(name: &str) -> Self {
        let mut chars = name.chars();
        let o_series = chars.next() == Some('o') && chars.next().is_some_and(|c| c.is_ascii_digit());
        let reasoning = (o_series || ["gpt-5", "gpt-6", "codex"].iter().any(|p| name.starts_with(p)))
            && !name.ends_with("-chat")
            && !name.contains("-chat-");
        let Limits { context, max_input, max_output } = Limits::openai(name);
        Capabilities {
            context,
            max_input,
            max_output,
            sampling: !reasoning,
            effort: true,
            effort_xhigh: true,
            reasoning_model: reasoning,
            // Their chat templates refuse system messages after the first (T122).
            mid_system: !name.to_ascii_lowercase().contains("qwen"),
            ..Self::BASE
        }
    }

    fn gemini(name: &str) -> Self {
        let old = ["gemini-1", "gemini-2"].iter().any(|p| name.contains(p));
        let Limits { context, max_input, max_output } = Limits::gemini(name);
        Capabilities {
            context,
            max_input,
            max_output,
            thinking: match name {
                _ if name.contains("gemini-2.5") => Thinking::Budget,
                _ if old => Thinking::None,
                _ => Thinking::Level,
            },
            effort: !old,
            call_ids: !old,
            media_in_results: !old,
            ..Self::BASE
        }
    }
}

/// What is known better of some models than their built-in row says; what is `None` stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are those of `Capabilities`")]
pub struct Overrides {
    pub context: Option<u64>,
    pub max_input: Option<u64>,
    pub max_output: Option<u64>,
    pub sampling: Option<bool>,
    pub sampling_exclusive: Option<bool>,
    pub thinking: Option<Thinking>,
    pub effort: Option<bool>,
    pub effort_xhigh: Option<bool>,
    pub prefill: Option<bool>,
    pub mid_system: Option<bool>,
    pub structured_output: Option<bool>,
    pub reasoning_model: Option<bool>,
    pub explicit_breakpoints: Option<bool>,
    pub call_ids: Option<bool>,
    pub media_in_results: Option<bool>,
}

impl Capabilities {
    /// The row with what is known better.
    #[must_use]
    pub fn with(self, known: &Overrides) -> Self {
        Capabilities {
            context: known.context.or(self.context),
            max_input: known.max_input.or(self.max_input),
            max_output: known.max_output.or(self.max_output),
            sampling: known.sampling.unwrap_or(self.sampling),
            sampling_exclusive: known.sampling_exclusive.unwrap_or(self.sampling_exclusive),
            thinking: known.thinking.unwrap_or(self.thinking),
            effort: known.effort.unwrap_or(self.effort),
            effort_xhigh: known.effort_xhigh.unwrap_or(self.effort_xhigh),
            prefill: known.prefill.unwrap_or(self.prefill),
            mid_system: known.mid_system.unwrap_or(self.mid_system),
            structured_output: known.structured_output.unwrap_or(self.structured_output),
            reasoning_model: known.reasoning_model.unwrap_or(self.reasoning_model),
            explicit_breakpoints: known.explicit_breakpoints.unwrap_or(self.explicit_breakpoints),
            call_ids: known.call_ids.unwrap_or(self.call_ids),
            media_in_results: known.media_in_results.unwrap_or(self.media_in_results),
        }
    }
}

/// How a server bends its protocol. All off is the vendor's own API.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dialect {
    /// Chat: takes `max_tokens`, does not know `max_completion_tokens`.
    pub legacy_max_tokens: bool,
    /// Chat: knows the `developer` role.
    pub developer_role: bool,
    /// Chat: reasoning text goes back on assistant messages as `reasoning_content`.
    pub reasoning_replay: bool,
    /// Chat: does not know `stream_options`.
    pub no_stream_options: bool,
    /// Chat: content must be a string.
    pub no_content_arrays: bool,
    /// Chat: refuses OpenAI's members about its accounts: end user, storage, keys of the prompt cache.
    pub no_account_fields: bool,
    /// Chat: takes `top_k`.
    pub accepts_top_k: bool,
    /// Chat: calls the seed `random_seed`, as Mistral does, and refuses `seed`.
    pub random_seed: bool,
    /// Chat: models write their reasoning into the text, as `<think>…</think>` before the answer.
    pub think_tags: bool,
    /// Responses: refuses `reasoning.summary`, as OpenAI does for organisations that are not verified.
    pub no_reasoning_summary: bool,
    /// Anthropic: refuses calls in the history of a request without tools.
    pub stub_tools: bool,
    /// Gemini: Vertex, which takes no call ids.
    pub vertex: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn models_get_their_row() {
        assert!(Capabilities::of("gpt-5.2").reasoning_model);
        assert!(Capabilities::of("o3-mini").reasoning_model);
        assert!(!Capabilities::of("gpt-5-chat-latest").reasoning_model);
        assert!(!Capabilities::of("gpt-4o").reasoning_model);
        assert_eq!(Capabilities::of("claude-sonnet-4-5-20250929").max_output, Some(64_000));
        assert_eq!(Capabilities::of("anthropic/claude-opus-5").thinking, Thinking::Adaptive);
        assert_eq!(Capabilities::of("claude-3-5-sonnet").max_output, Some(8_192));
        assert_eq!(Capabilities::of("gemini-2.5-flash").thinking, Thinking::Budget);
        assert_eq!(Capabilities::of("gemini-3-pro").thinking, Thinking::Level);
        assert!(!Capabilities::of("llama-3.3-70b").reasoning_model);
        assert!(Capabilities::of("llama-3.3-70b").mid_system);
        assert!(!Capabilities::of("Qwen/Qwen3-32B").mid_system);
    }
}
