//! How much models take and give, as their vendors' model pages say (2026). What no page names stays unknown: a
//! wrong figure tells an agent to compact too late, or for nothing.

/// Parts of the names of Claude models with a context of a million tokens, of the generation that has no rows of its
/// own; those before it have 200,000.
pub(super) const CLAUDE_MILLION: [&str; 7] =
    ["opus-5", "sonnet-5", "haiku-5", "fable-5", "mythos-5", "opus-4-7", "opus-4-8"];

/// Tokens; the names are those of [`Capabilities`](super::Capabilities).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limits {
    pub(super) context: Option<u64>,
    pub(super) max_input: Option<u64>,
    pub(super) max_output: Option<u64>,
}

/// By the name's beginning, up to its end or a `-`; the first that fits counts.
type Row = (&'static str, Limits);

const OPENAI: [Row; 27] = [
    ("gpt-5-pro", shared(400_000, 272_000)),
    ("gpt-5-chat", shared(128_000, 16_384)),
    ("gpt-5.1-chat", shared(128_000, 16_384)),
    ("gpt-5.2-chat", shared(128_000, 16_384)),
    ("gpt-5", divided(400_000, 128_000)),
    ("gpt-5.1", divided(400_000, 128_000)),
    ("gpt-5.2", divided(400_000, 128_000)),
    ("gpt-5.4-mini", divided(400_000, 128_000)),
    ("gpt-5.4-nano", divided(400_000, 128_000)),
    ("gpt-5.4", divided(1_050_000, 128_000)),
    ("gpt-5.5", divided(1_050_000, 128_000)),
    ("gpt-5.6", divided(1_050_000, 128_000)),
    ("gpt-4.1", shared(1_047_576, 32_768)),
    ("gpt-4o-2024-05-13", shared(128_000, 4_096)),
    ("gpt-4o-transcribe", UNKNOWN),
    ("gpt-4o-mini-transcribe", UNKNOWN),
    ("gpt-4o-mini-tts", UNKNOWN),
    ("gpt-4o-realtime", UNKNOWN),
    ("gpt-4o-mini-realtime", UNKNOWN),
    ("gpt-4o", shared(128_000, 16_384)),
    ("chatgpt-4o", shared(128_000, 16_384)),
    ("gpt-4-turbo", shared(128_000, 4_096)),
    ("o1-mini", shared(128_000, 65_536)),
    ("o1-preview", shared(128_000, 32_768)),
    ("o1", shared(200_000, 100_000)),
    ("o3", shared(200_000, 100_000)),
    ("o4-mini", shared(200_000, 100_000)),
];

const GEMINI: [Row; 10] = [
    ("gemini-2.0-flash", shared(1_048_576, 8_192)),
    ("gemini-2.5-pro", shared(1_048_576, 65_536)),
    ("gemini-2.5-flash", shared(1_048_576, 65_536)),
    ("gemini-3-pro", shared(1_048_576, 65_536)),
    ("gemini-3-flash", shared(1_048_576, 65_536)),
    ("gemini-3.1-pro", shared(1_048_576, 65_536)),
    ("gemini-3.1-flash", shared(1_048_576, 65_536)),
    ("gemini-3.5-flash", shared(1_048_576, 65_536)),
    ("gemini-3.7-flash", shared(1_048_576, 65_536)),
    ("gemini-3.8-flash", shared(1_048_576, 65_536)),
];

/// Variants that draw, speak or listen have limits of their own.
const GEMINI_OTHERS: [&str; 5] = ["image", "tts", "audio", "live", "computer-use"];

const UNKNOWN: Limits = Limits { context: None, max_input: None, max_output: None };

/// Input may fill the context.
const fn shared(context: u64, output: u64) -> Limits {
    Limits { context: Some(context), max_input: None, max_output: Some(output) }
}

/// Of the context as much is kept for the answer as that may have.
const fn divided(context: u64, output: u64) -> Limits {
    Limits { context: Some(context), max_input: Some(context - output), max_output: Some(output) }
}

impl Limits {
    pub(super) fn openai(name: &str) -> Self {
        find(&OPENAI, name)
    }

    pub(super) fn gemini(name: &str) -> Self {
        if GEMINI_OTHERS.iter().any(|part| name.contains(part)) { UNKNOWN } else { find(&GEMINI, name) }
    }
}

fn find(rows: &[Row], name: &str) -> Limits {
    let fits = |beginning: &str| {
        name.strip_prefix(beginning).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    rows.iter().find(|(beginning, _)| fits(beginning)).map_or(UNKNOWN, |(_, limits)| *limits)
}

#[cfg(test)]
mod tests {
    use crate::protocol::{Capabilities, Overrides};

    #[test]
    fn a_model_is_known_by_the_figures_of_its_vendors_page_or_not_at_all() {
        for (model, context, input, output) in [
            ("claude-opus-5-5", Some(1_000_000), Some(1_000_000), Some(128_000)),
            ("anthropic/claude-sonnet-4-6", Some(1_000_000), Some(1_000_000), Some(128_000)),
            ("claude-sonnet-4-5-20250929", Some(200_000), Some(200_000), Some(64_000)),
            ("claude-opus-4-1", Some(200_000), Some(200_000), Some(32_000)),
            ("claude-3-haiku-20240307", Some(200_000), Some(200_000), Some(4_096)),
            // The newest row says what it takes, but not how much.
            ("claude-instant-9", None, None, Some(4_096)),
            ("my-claude", None, None, Some(128_000)),
            ("gpt-5", Some(400_000), Some(272_000), Some(128_000)),
            ("gpt-5-2025-08-07", Some(400_000), Some(272_000), Some(128_000)),
            ("gpt-5.4-mini", Some(400_000), Some(272_000), Some(128_000)),
            ("openai/gpt-5.4", Some(1_050_000), Some(922_000), Some(128_000)),
            ("gpt-5-chat-latest", Some(128_000), Some(128_000), Some(16_384)),
            ("gpt-4.1-nano", Some(1_047_576), Some(1_047_576), Some(32_768)),
            ("gpt-4o-mini", Some(128_000), Some(128_000), Some(16_384)),
            ("o3-pro", Some(200_000), Some(200_000), Some(100_000)),
            ("gpt-5.99", None, None, None),
            ("gpt-4o-mini-tts", None, None, None),
            ("gpt-oss-120b", None, None, None),
            ("llama-3.3-70b", None, None, None),
            ("gemini-2.5-flash-lite", Some(1_048_576), Some(1_048_576), Some(65_536)),
            ("models/gemini-3-pro-preview", Some(1_048_576), Some(1_048_576), Some(65_536)),
            ("gemini-2.5-flash-image", None, None, None),
            ("gemini-99-pro", None, None, None),
        ] {
            let row = Capabilities::of(model);
            assert_eq!((row.context, row.input_limit(), row.max_output), (context, input, output), "{model}");
        }
    }

    #[test]
    fn a_server_with_a_smaller_context_is_believed() {
        let known = Overrides { context: Some(32_768), ..Overrides::default() };
        for model in ["gpt-5", "claude-opus-5", "llama-3.3-70b"] {
            assert_eq!(Capabilities::of(model).with(&known).input_limit(), Some(32_768), "{model}");
        }
        let known = Overrides { max_input: Some(100_000), ..Overrides::default() };
        assert_eq!(Capabilities::of("gpt-5").with(&known).input_limit(), Some(100_000));
    }
}
