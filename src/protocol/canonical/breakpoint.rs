//! Prompt-cache marks as OpenAI's newer models take them (2.11).

use super::{Action, CacheMark, Losses};
use crate::protocol::Protocol;
use crate::protocol::json::Writer;

/// Ends the cached prefix with the content part that was just written. The lifetimes of Anthropic's marks are others;
/// a client of OpenAI's has its own word for the whole request.
pub(in crate::protocol) fn write_breakpoint(
    mark: CacheMark,
    client: Protocol,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) {
    // The part is opened again.
    if w.buffer().pop_if(|last| *last == b'}').is_none() {
        return;
    }
    w.key("prompt_cache_breakpoint").begin_object().key("mode").text("explicit");
    let is_openais = matches!(client, Protocol::OpenAi | Protocol::Responses);
    if !is_openais {
        w.key("ttl").text(if mark == CacheMark::OneHour { "12h" } else { "30m" });
    }
    w.end_object().end_object();
    if !is_openais || mark == CacheMark::OneHour {
        losses.add(Action::Approx, "cache_control.ttl");
    }
}
