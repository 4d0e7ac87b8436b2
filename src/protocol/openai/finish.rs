//! Finish reasons (section 2.14).

use super::error::bad_upstream;
use crate::protocol::canonical::{ErrorView, Finish, FinishReason};
use crate::protocol::json::Str;

/// What an upstream's answer shows beside its `finish_reason`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    /// A tool was called.
    pub calls: bool,
    /// The model refused in words.
    pub refusal: bool,
}

/// What to say of a generation that broke, if that is what the upstream's word means: it is an error, not an end.
pub(super) fn failure(word: &Str<'_>) -> Option<ErrorView> {
    // The latter two are DeepSeek's and Z.AI's.
    const WORDS: [&str; 4] = ["error", "abort", "insufficient_system_resource", "network_error"];
    WORDS.iter().any(|broken| word == broken).then(|| bad_upstream("the upstream broke off its answer"))
}

/// Reads a `finish_reason` in the light of what was seen; `None` where the server sent none.
pub(super) fn read(word: Option<&str>, seen: Seen) -> FinishReason {
    match word {
        Some("length") => FinishReason::Length,
        // Mistral's word for a full window.
        Some("model_length") => FinishReason::ContextWindow,
        // Z.AI's word beside the official one.
        Some("content_filter" | "sensitive") => FinishReason::ContentFilter,
        // T089: many servers say `stop` although tools were called; T090: or the reverse.
        Some("stop" | "tool_calls" | "function_call") | None if seen.calls => FinishReason::ToolCalls,
        Some("stop" | "tool_calls" | "function_call") | None if seen.refusal => FinishReason::Refusal,
        Some("stop" | "tool_calls" | "function_call") | None => FinishReason::Stop,
        Some(_) if seen.calls => FinishReason::ToolCalls,
        Some(_) => FinishReason::Other,
    }
}

/// The finish of a choice; `stop_text` is the stop text hit, where the server tells (vLLM).
pub(super) fn finish<'a>(word: Option<&str>, seen: Seen, stop_text: Option<Str<'a>>) -> Finish<'a> {
    let mut finish = Finish::new(read(word, seen));
    if finish.reason == FinishReason::Stop && stop_text.is_some() {
        finish.reason = FinishReason::StopSequence;
        finish.stop_sequence = stop_text;
    }
    finish
}

/// The client's word; `legacy` clients speak of one `function_call`.
pub(super) fn word(reason: FinishReason, legacy: bool) -> &'static str {
    match reason {
        FinishReason::Length | FinishReason::ContextWindow => "length",
        FinishReason::ToolCalls if legacy => "function_call",
        FinishReason::ToolCalls => "tool_calls",
        FinishReason::ContentFilter => "content_filter",
        FinishReason::Malformed => "error",
        FinishReason::Stop
        | FinishReason::StopSequence
        | FinishReason::Refusal
        | FinishReason::Pause
        | FinishReason::Other => "stop",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t089_t090_calls_decide_whether_an_agent_goes_on() {
        let calls = Seen { calls: true, refusal: false };
        assert_eq!(read(Some("stop"), calls), FinishReason::ToolCalls);
        assert_eq!(read(Some("eos"), calls), FinishReason::ToolCalls);
        assert_eq!(read(Some("tool_calls"), Seen::default()), FinishReason::Stop);
        assert_eq!(read(Some("length"), calls), FinishReason::Length);
        assert_eq!(read(Some("end_turn"), Seen::default()), FinishReason::Other);
        assert_eq!(read(Some("stop"), Seen { calls: false, refusal: true }), FinishReason::Refusal);
    }

    #[test]
    fn vendors_own_words_for_limits_filters_and_breaks_are_understood() {
        let calls = Seen { calls: true, refusal: false };
        assert_eq!(read(Some("model_length"), calls), FinishReason::ContextWindow);
        assert_eq!(read(Some("sensitive"), calls), FinishReason::ContentFilter);
        for word in ["error", "abort", "insufficient_system_resource", "network_error"] {
            assert!(failure(&word.into()).is_some(), "{word}");
        }
        assert!(failure(&"stop".into()).is_none());
    }
}
