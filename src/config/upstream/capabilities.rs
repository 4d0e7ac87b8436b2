//! `capabilities`: what is known of an upstream's models beyond the built-in table.

use crate::config::read::model_pattern;
use crate::config::reader::{Field, Map};
use crate::protocol::{Overrides, Thinking};

const THINKING: [(&str, Thinking); 5] = [
    ("none", Thinking::None),
    ("budget", Thinking::Budget),
    ("both", Thinking::Both),
    ("adaptive", Thinking::Adaptive),
    ("level", Thinking::Level),
];

pub(super) fn read(map: &Map<'_>) -> Vec<(String, Overrides)> {
    let Some(field) = map.get("capabilities") else { return Vec::new() };
    let entries = field.list().unwrap_or_default();
    entries.iter().filter_map(Field::map).flat_map(|entry| entry.read(entry_of)).collect()
}

/// One entry: the same for each of its `models`.
fn entry_of(map: &Map<'_>) -> Vec<(String, Overrides)> {
    let models = map.get("models");
    if models.is_none() {
        map.missing("models");
    }
    let flag = |key: &'static str| map.get(key).and_then(|field| field.boolean());
    let tokens = |key: &'static str| {
        let tokens = map.get(key).and_then(|field| field.whole(1..=i64::from(u32::MAX)));
        tokens.and_then(|tokens| u64::try_from(tokens).ok())
    };
    let known = Overrides {
        context: tokens("context"),
        max_input: tokens("max_input"),
        max_output: tokens("max_output"),
        thinking: map.get("thinking").and_then(|field| field.choice(&THINKING)),
        sampling: flag("sampling"),
        sampling_exclusive: flag("sampling_exclusive"),
        effort: flag("effort"),
        effort_xhigh: flag("effort_xhigh"),
        prefill: flag("prefill"),
        mid_system: flag("mid_system"),
        structured_output: flag("structured_output"),
        reasoning_model: flag("reasoning_model"),
        explicit_breakpoints: flag("explicit_breakpoints"),
        call_ids: flag("call_ids"),
        media_in_results: flag("media_in_results"),
    };
    let patterns = models.iter().flat_map(Field::items).collect::<Vec<_>>();
    patterns.iter().filter_map(model_pattern).map(|pattern| (pattern, known)).collect()
}
