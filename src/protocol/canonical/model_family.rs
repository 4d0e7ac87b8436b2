//! Which models read each other's state (1.8; 2.9, replay rule 8).

/// Models that read each other's signatures and encrypted reasoning, as far as a name tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ModelFamily(&'static str);

/// How the names of a family's models begin, and the family.
const BEGINNINGS: [(&str, ModelFamily); 13] = [
    // Open weights, which run anywhere and sign nothing.
    ("gpt-oss", ModelFamily::UNKNOWN),
    ("gpt-", ModelFamily("openai")),
    ("chatgpt", ModelFamily("openai")),
    ("codex", ModelFamily("openai")),
    ("o1", ModelFamily("openai")),
    ("o3", ModelFamily("openai")),
    ("o4", ModelFamily("openai")),
    // These sign in the slots of Anthropic and OpenAI.
    ("deepseek", ModelFamily("deepseek")),
    ("glm", ModelFamily("glm")),
    ("grok", ModelFamily("grok")),
    ("kimi", ModelFamily("kimi")),
    ("minimax", ModelFamily("minimax")),
    ("qwen", ModelFamily("qwen")),
];

/// Google's generations: part of a name, the family at the Developer API, the family on Vertex.
const GENERATIONS: [(&str, ModelFamily, ModelFamily); 2] = [
    ("gemini-2", ModelFamily("gemini-2"), ModelFamily("gemini-2@vertex")),
    ("gemini-3", ModelFamily("gemini-3"), ModelFamily("gemini-3@vertex")),
];

const CLAUDE: ModelFamily = ModelFamily("claude");

/// One that a later release may know.
const OTHER: ModelFamily = ModelFamily("other");

impl ModelFamily {
    /// Nothing is known: its state is taken for that of any model of the same provider.
    pub const UNKNOWN: ModelFamily = ModelFamily("");

    /// The family of an upstream's `model`; Google's two surfaces do not read each other's signatures.
    #[must_use]
    pub fn of(model: &str, is_on_vertex: bool) -> Self {
        let name = model.rsplit('/').next().unwrap_or(model);
        // Other clouds put words before it, and sign the same.
        if name.contains("claude") {
            return CLAUDE;
        }
        if let Some((_, developer, vertex)) = GENERATIONS.iter().find(|(part, ..)| name.contains(part)) {
            return if is_on_vertex { *vertex } else { *developer };
        }
        let begins = |with: &str| name.get(..with.len()).is_some_and(|head| head.eq_ignore_ascii_case(with));
        let known = BEGINNINGS.iter().find(|(beginning, _)| begins(beginning));
        known.map_or(Self::UNKNOWN, |(_, family)| *family)
    }

    /// The tag in an envelope; empty if nothing is known.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        self.0
    }

    /// Reads the tag of an envelope.
    pub(super) fn of_tag(tag: &[u8]) -> Self {
        let families = BEGINNINGS.iter().map(|(_, family)| family);
        let families =
            families.chain(GENERATIONS.iter().flat_map(|(_, developer, vertex)| [developer, vertex]));
        families.chain([&CLAUDE]).find(|family| family.0.as_bytes() == tag).copied().unwrap_or(OTHER)
    }

    /// Whether these models read what those have made, or nothing says that they do not.
    #[must_use]
    pub fn reads(self, made_by: Self) -> bool {
        self == made_by || self == Self::UNKNOWN || made_by == Self::UNKNOWN
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t104_models_are_told_apart_by_who_reads_their_state() {
        let of = |model: &str| ModelFamily::of(model, false).as_str();
        for (model, family) in [
            ("claude-opus-5", "claude"),
            ("us.anthropic.claude-sonnet-4-5-v1:0", "claude"),
            ("openai/gpt-5.2", "openai"),
            ("o3-mini", "openai"),
            ("openai/gpt-oss-120b", ""),
            ("gemini-2.5-pro", "gemini-2"),
            ("models/gemini-3-pro-preview", "gemini-3"),
            ("moonshotai/Kimi-K2", "kimi"),
            ("MiniMax-M2", "minimax"),
            ("my-deployment", ""),
            ("ö", ""),
        ] {
            assert_eq!(of(model), family, "{model}");
            assert_eq!(ModelFamily::of_tag(family.as_bytes()), ModelFamily::of(model, false));
        }
        let (developer, vertex) =
            (ModelFamily::of("gemini-3-pro", false), ModelFamily::of("gemini-3-pro", true));
        assert!(!developer.reads(vertex) && developer.reads(developer));
        assert_eq!(ModelFamily::of_tag(vertex.as_str().as_bytes()), vertex);
        let later = ModelFamily::of_tag(b"claude-next");
        assert!(
            !CLAUDE.reads(later) && ModelFamily::UNKNOWN.reads(later) && CLAUDE.reads(ModelFamily::UNKNOWN)
        );
    }
}
