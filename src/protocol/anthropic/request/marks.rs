//! Prompt-cache marks within Anthropic's limits: at most four, one-hour marks first (T130).

use super::encode::Context;
use super::plan::{Block, Message};
use crate::protocol::canonical::{Action, CacheMark, Losses, Part, PartKind};

const MOST: usize = 4;

/// The marks of the whole request, of tools and of system blocks; those of messages stay on their items.
#[derive(Debug)]
pub(super) struct Marks {
    pub(super) auto: Option<CacheMark>,
    pub(super) tools: Vec<Option<CacheMark>>,
    pub(super) system: Vec<Option<CacheMark>>,
}

/// Keeps the last four marks in cache order: tools, system, messages. Later ones cover more.
pub(super) fn settle(context: &Context<'_>, messages: &mut [Message<'_>], losses: &mut Losses) -> Marks {
    let mut marks = Marks {
        auto: context.request.cache.auto,
        tools: context.request.tools.iter().map(|tool| tool.cache).collect(),
        system: context
            .request
            .system
            .iter()
            .map(|block| block.cache.filter(|_| !block.text.is_blank()))
            .collect(),
    };
    let nested = nested(messages);
    let fixed = usize::from(marks.auto.is_some()) + nested;
    let budget = MOST.saturating_sub(fixed);
    let items = messages.iter_mut().flat_map(|message| &mut message.items).map(|item| &mut item.cache);
    let slots = marks.tools.iter_mut().chain(&mut marks.system).chain(items);
    let mut slots: Vec<&mut Option<CacheMark>> = slots.filter(|slot| slot.is_some()).collect();
    // Other APIs cache by themselves; here nothing is cached without a mark.
    if context.target.auto_cache && !context.is_native() && slots.is_empty() && nested == 0 {
        marks.auto = marks.auto.or(Some(CacheMark::FiveMinutes));
    }
    let surplus = slots.len().saturating_sub(budget);
    for slot in slots.iter_mut().take(surplus) {
        losses.drop("cache_control");
        **slot = None;
    }
    let mut short_seen = false;
    for slot in slots.into_iter().skip(surplus) {
        if short_seen && *slot == Some(CacheMark::OneHour) {
            losses.add(Action::Approx, "cache_control.ttl");
            *slot = Some(CacheMark::FiveMinutes);
        }
        short_seen |= *slot == Some(CacheMark::FiveMinutes);
    }
    marks
}

/// Marks inside tool results, which stay as the client set them.
fn nested(messages: &[Message<'_>]) -> usize {
    let results = messages.iter().flat_map(|message| &message.items).filter_map(|item| match item.block {
        Block::Part(Part { kind: PartKind::ToolResult { content, .. }, .. }) => Some(content),
        _ => None,
    });
    results.flatten().filter(|part| part.cache.is_some()).count()
}
