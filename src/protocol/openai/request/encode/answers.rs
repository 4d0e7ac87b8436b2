//! What stands between two turns of the assistant (sections 2.5 and 2.7): the results of a step directly after its
//! calls, in their order, and everything else that came between behind them.

use super::Encoder;
use crate::protocol::canonical::{
    Action, Media, MediaKind, MediaSource, Part, PartKind, Role, Turn, Unsupported, fit_call_id, said_by_user,
};
use crate::protocol::json::{Str, Writer};
use crate::protocol::{Protocol, RequestError};

impl Encoder<'_> {
    /// All that stands between two assistant turns: results first, in call order (T072, T074).
    pub(super) fn answers(
        &mut self,
        spoken: &[Turn<'_>],
        heard: &[Turn<'_>],
        w: &mut Writer<'_>,
    ) -> Result<bool, RequestError> {
        let mut results: Vec<&Part<'_>> =
            heard.iter().flat_map(|turn| &turn.parts).filter(|p| is_result(p)).collect();
        self.note_order(heard);
        if results.len() > 1 {
            let order = call_order(spoken);
            results.sort_by_key(|part| order.get(&result_id(part)).copied().unwrap_or(usize::MAX));
        }
        let mut media = Vec::new();
        for part in &results {
            self.result(part, &mut media, w)?;
        }
        if !media.is_empty() {
            self.losses.add(Action::Approx, "tool_result.media");
            w.begin_object();
            w.key("role").text("user");
            w.key("content");
            self.content(&media, "\n", w)?;
            w.end_object();
        }
        Ok(self.others(heard, w)? || !results.is_empty())
    }

    fn note_order(&mut self, heard: &[Turn<'_>]) {
        let mut others = false;
        for part in heard.iter().flat_map(|turn| &turn.parts) {
            if !is_result(part) {
                others = true;
            } else if others {
                return self.losses.add(Action::Reorder, "tool_result");
            }
        }
    }

    /// What user and system turns say beside tool results.
    fn others(&mut self, heard: &[Turn<'_>], w: &mut Writer<'_>) -> Result<bool, RequestError> {
        let mut written = false;
        if self.target.capabilities.mid_system || heard.iter().all(|turn| turn.role == Role::User) {
            for turn in heard {
                let role = if turn.role == Role::User { "user" } else { self.system_role() };
                written |= self.turn(role, &said(turn), w)?;
            }
            return Ok(written);
        }
        // T122: instructions stay where they are, as marked text of the user's message beside them.
        self.losses.add(Action::Approx, "system.mid");
        let (marked, mut has_user) = (marked_instructions(heard), false);
        let mut message: Vec<&Part<'_>> = Vec::new();
        for (turn, marked) in heard.iter().zip(&marked) {
            let is_user = turn.role == Role::User;
            let parts = if is_user { said(turn) } else { marked.iter().collect() };
            if is_user && has_user && !parts.is_empty() {
                written |= self.turn("user", &message, w)?;
                message.clear();
            }
            has_user |= is_user && !parts.is_empty();
            message.extend(parts);
        }
        Ok(self.turn("user", &message, w)? || written)
    }

    fn turn(
        &mut self,
        role: &'static str,
        parts: &[&Part<'_>],
        w: &mut Writer<'_>,
    ) -> Result<bool, RequestError> {
        if parts.is_empty() {
            return Ok(false);
        }
        w.begin_object();
        w.key("role").text(role);
        w.key("content");
        self.content(parts, "\n\n", w)?;
        w.end_object();
        Ok(true)
    }

    fn result<'p>(
        &mut self,
        part: &'p Part<'_>,
        media: &mut Vec<&'p Part<'p>>,
        w: &mut Writer<'_>,
    ) -> Result<(), RequestError> {
        let PartKind::ToolResult { call_id, content, is_error, .. } = &part.kind else { return Ok(()) };
        let mut texts: Vec<Str<'_>> = Vec::new();
        let mark = part.cache.or_else(|| content.iter().rev().find_map(|item| item.cache));
        for item in content {
            match &item.kind {
                PartKind::Text { text } => texts.push(text.borrowed()),
                PartKind::Media(media @ Media { source: MediaSource::Text(text), .. }) => {
                    texts.extend(media.preface(false).chain([text]).map(Str::borrowed));
                }
                PartKind::Media(found) => {
                    media.push(item);
                    let what = if found.kind == MediaKind::Image { "image" } else { "file" };
                    texts.push(Str::escape(format!("[{what} {} attached below]", media.len())));
                }
                PartKind::Opaque { .. } if content.len() > 1 => self.losses.drop("tool_result.content"),
                PartKind::Opaque { tag, .. } => {
                    let tag: String = tag.decode().chars().take(64).collect();
                    let message = format!("a tool result of type `{tag}` has no equivalent here");
                    return Err(Unsupported::new("messages", message).into());
                }
                _ => {}
            }
        }
        if *is_error && !texts.first().is_some_and(says_error) {
            // T071: nothing else in Chat says that a tool failed.
            match texts.first_mut() {
                Some(first) => *first = Str::escape(format!("Error: {}", first.decode())),
                None => texts.push(Str::from("Error: ")),
            }
        }
        w.begin_object();
        w.key("role").text("tool");
        w.key("tool_call_id").string(&fit_call_id(Protocol::OpenAi, call_id));
        w.key("content");
        // T074: an orphaned call is refused; an empty result is none.
        match mark.filter(|_| self.takes_breakpoints()).zip(texts.split_last()) {
            None => self.texts(&texts, "\n", w),
            Some((mark, (last, others))) => {
                let others = others.iter().map(|text| (text, None));
                self.marked_texts(others.chain([(last, Some(mark))]), w);
            }
        }
        w.end_object();
        Ok(())
    }
}

/// What a turn says beside tool results; an empty text only if it is all there is.
fn said<'t, 'a>(turn: &'t Turn<'a>) -> Vec<&'t Part<'a>> {
    let is_empty = |part: &Part<'_>| matches!(&part.kind, PartKind::Text { text } if text.is_empty());
    let mut parts: Vec<_> = turn.parts.iter().filter(|p| !is_result(p)).collect();
    if parts.len() > 1 {
        parts.retain(|part| !is_empty(part));
    }
    parts
}

/// The parts of system turns as a user may say them; nothing for the user's own turns.
fn marked_instructions<'t>(heard: &'t [Turn<'_>]) -> Vec<Vec<Part<'t>>> {
    let parts = |turn: &'t Turn<'_>| match turn.role {
        Role::System | Role::Developer => said_by_user(turn).parts,
        Role::User | Role::Assistant => Vec::new(),
    };
    heard.iter().map(parts).collect()
}

/// Whether a result calls itself an error.
fn says_error(text: &Str<'_>) -> bool {
    let text = text.decode();
    text.trim_start().get(..5).is_some_and(|word| word.eq_ignore_ascii_case("error"))
}

fn is_result(part: &Part<'_>) -> bool {
    matches!(part.kind, PartKind::ToolResult { .. })
}

fn result_id(part: &Part<'_>) -> String {
    match &part.kind {
        PartKind::ToolResult { call_id, .. } => call_id.decode().into_owned(),
        _ => String::new(),
    }
}

/// Which call came when.
fn call_order(spoken: &[Turn<'_>]) -> std::collections::HashMap<String, usize> {
    let ids = spoken.iter().flat_map(|turn| &turn.parts).filter_map(|part| match &part.kind {
        PartKind::ToolCall { id, .. } => Some(id.decode().into_owned()),
        _ => None,
    });
    ids.zip(0..).collect()
}
