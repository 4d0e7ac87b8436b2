//! Why an answer ended (section 2.14).

use crate::protocol::canonical::{Finish, FinishReason};
use crate::protocol::json::{Error, Reader, Str, Writer};

/// The reason behind a `stop_reason`. New words come without notice: they are `Other` (T160).
pub(super) fn reason(word: &str) -> FinishReason {
    match word {
        "end_turn" => FinishReason::Stop,
        "stop_sequence" => FinishReason::StopSequence,
        "max_tokens" => FinishReason::Length,
        "model_context_window_exceeded" => FinishReason::ContextWindow,
        "tool_use" => FinishReason::ToolCalls,
        "refusal" => FinishReason::ContentFilter,
        "pause_turn" => FinishReason::Pause,
        _ => FinishReason::Other,
    }
}

fn word(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::StopSequence => "stop_sequence",
        FinishReason::Length => "max_tokens",
        FinishReason::ContextWindow => "model_context_window_exceeded",
        FinishReason::ToolCalls => "tool_use",
        FinishReason::Refusal | FinishReason::ContentFilter => "refusal",
        FinishReason::Pause => "pause_turn",
        FinishReason::Stop | FinishReason::Other | FinishReason::Malformed => "end_turn",
    }
}

/// The stop fields of a message or a `message_delta`, as they come.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop<'a> {
    reason: Option<FinishReason>,
    sequence: Option<Str<'a>>,
    category: Option<Str<'a>>,
    explanation: Option<Str<'a>>,
}

impl<'a> Stop<'a> {
    /// Takes a member if it is one of the stop fields; a `null` never erases what came (T052).
    pub(super) fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "stop_reason" => {
                if let Some(word) = value.lenient_string()? {
                    self.reason = Some(reason(&word.decode()));
                }
            }
            "stop_sequence" => self.sequence = value.lenient_string()?.or(self.sequence.take()),
            "stop_details" => value.lenient_object(|key, value| {
                match key {
                    "category" => self.category = value.lenient_string()?,
                    "explanation" => self.explanation = value.lenient_string()?,
                    _ => {}
                }
                Ok::<_, Error>(())
            })?,
            _ => {}
        }
        Ok(())
    }

    /// Whether a limit cut the answer off, once the reason is known.
    pub(super) fn is_cut(&self) -> Option<bool> {
        self.reason.map(FinishReason::is_cut)
    }

    /// Detaches the fields from their document.
    pub(super) fn into_owned(self) -> Stop<'static> {
        Stop {
            reason: self.reason,
            sequence: self.sequence.map(Str::into_owned),
            category: self.category.map(Str::into_owned),
            explanation: self.explanation.map(Str::into_owned),
        }
    }

    /// Takes over what `later` knows.
    pub(super) fn merge(&mut self, later: Stop<'a>) {
        self.reason = later.reason.or(self.reason);
        self.sequence = later.sequence.or(self.sequence.take());
        self.category = later.category.or(self.category.take());
        self.explanation = later.explanation.or(self.explanation.take());
    }

    /// The finish. Servers that only speak this protocol may mark calls with the wrong reason, and
    /// an agent would stop in front of them, or loop without any (T089, T090).
    pub(super) fn finish(self, has_calls: bool) -> Finish<'a> {
        let reason = match self.reason.unwrap_or_default() {
            FinishReason::Stop if has_calls => FinishReason::ToolCalls,
            FinishReason::ToolCalls if !has_calls => FinishReason::Stop,
            other => other,
        };
        Finish {
            reason,
            stop_sequence: self.sequence.filter(|_| reason == FinishReason::StopSequence),
            category: self.category,
            explanation: self.explanation,
        }
    }
}

/// Writes `stop_reason`, `stop_sequence` and, for withheld content, `stop_details` into an object.
pub(super) fn write(finish: &Finish<'_>, w: &mut Writer<'_>) {
    // A stop sequence that nobody can name is an ordinary end for this protocol (section 2.4).
    let unnamed = finish.reason == FinishReason::StopSequence && finish.stop_sequence.is_none();
    w.key("stop_reason").text(if unnamed { "end_turn" } else { word(finish.reason) });
    let sequence = finish.stop_sequence.as_ref().filter(|_| finish.reason == FinishReason::StopSequence);
    w.key("stop_sequence").string_or_null(sequence);
    if finish.reason == FinishReason::ContentFilter {
        w.key("stop_details").begin_object();
        w.key("type").text("refusal");
        w.key("category").string_or_null(finish.category.as_ref().filter(|word| is_known(word)));
        w.key("explanation").string_or_null(finish.explanation.as_ref());
        w.end_object();
    }
}

/// The categories of Anthropic's own types; other vendors' words would fail strict clients.
fn is_known(category: &Str<'_>) -> bool {
    ["cyber", "bio", "frontier_llm", "reasoning_extraction"].iter().any(|known| category == known)
}
