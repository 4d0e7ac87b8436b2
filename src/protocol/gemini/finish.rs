//! `finishReason` and `blockReason` to and from the hub (2.14).

use crate::protocol::canonical::{ErrorView, FaultKind, Finish, FinishReason};
use crate::protocol::json::Str;

/// What a native reason means. `called` says whether the candidate has called a function anywhere in
/// its stream: Gemini finishes calls with STOP, sometimes chunks later (T091).
pub(super) fn decode(native: &Str<'_>, message: Option<Str<'static>>, called: bool) -> Finish<'static> {
    let word = native.decode();
    let reason = match &*word {
        "MAX_TOKENS" => FinishReason::Length,
        "MALFORMED_FUNCTION_CALL"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE"
        | "MALFORMED_RESPONSE" => FinishReason::Malformed,
        "SAFETY" | "RECITATION" | "BLOCKLIST" | "PROHIBITED_CONTENT" | "SPII" | "LANGUAGE"
        | "MODEL_ARMOR" => FinishReason::ContentFilter,
        other if other.starts_with("IMAGE_") => FinishReason::ContentFilter,
        _ if called => FinishReason::ToolCalls,
        "STOP" => FinishReason::Stop,
        _ => FinishReason::Other,
    };
    if reason == FinishReason::ContentFilter {
        return blocked(native, message);
    }
    let explanation = message.filter(|_| reason == FinishReason::Malformed);
    Finish { explanation, ..Finish::new(reason) }
}

/// Content withheld: the category is the native reason in lower case.
pub(super) fn blocked(native: &Str<'_>, message: Option<Str<'static>>) -> Finish<'static> {
    Finish {
        category: Some(Str::from(native.decode().to_ascii_lowercase())),
        explanation: message,
        ..Finish::new(FinishReason::ContentFilter)
    }
}

/// The native word for a reason; `None` if the answer must not end as a success.
pub(super) fn encode(reason: FinishReason) -> Option<&'static str> {
    Some(match reason {
        FinishReason::Stop | FinishReason::StopSequence | FinishReason::ToolCalls | FinishReason::Pause => {
            "STOP"
        }
        FinishReason::Length | FinishReason::ContextWindow => "MAX_TOKENS",
        FinishReason::Refusal | FinishReason::ContentFilter => "SAFETY",
        FinishReason::Other => "OTHER",
        FinishReason::Malformed => return None,
    })
}

/// The error that a malformed call is (T162): agents stop without a word at anything milder.
pub(super) fn malformed(finish: &Finish<'_>) -> ErrorView {
    let mut message = "the model produced a malformed tool call".to_owned();
    if let Some(words) = &finish.explanation {
        message.push_str(": ");
        message.push_str(&words.decode());
    }
    ErrorView::new(FaultKind::BadUpstream, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_of_the_table() {
        use FinishReason::*;
        for (native, called, reason) in [
            ("STOP", false, Stop),
            ("STOP", true, ToolCalls),
            ("MAX_TOKENS", false, Length),
            ("MAX_TOKENS", true, Length),
            ("SAFETY", true, ContentFilter),
            ("IMAGE_PROHIBITED_CONTENT", false, ContentFilter),
            ("MALFORMED_FUNCTION_CALL", true, Malformed),
            ("OTHER", false, Other),
            ("SOMETHING_NEW", true, ToolCalls),
            ("SOMETHING_NEW", false, Other),
        ] {
            assert_eq!(decode(&native.into(), None, called).reason, reason, "{native} {called}");
        }
        let finish = decode(&"PROHIBITED_CONTENT".into(), Some("why".into()), false);
        assert_eq!(finish.category, Some("prohibited_content".into()));
        assert_eq!(finish.explanation, Some("why".into()));
    }
}
