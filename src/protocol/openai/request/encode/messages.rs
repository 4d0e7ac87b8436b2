//! Turns to messages (section 2.5): what the system and the assistant say.

use std::borrow::Borrow;

use super::{Encoder, is_official};
use crate::protocol::canonical::{
    Action, CacheMark, Format, Part, PartKind, Role, SystemBlock, Turn, Unsupported, fit_call_id,
    write_breakpoint,
};
use crate::protocol::json::{Str, Writer};
use crate::protocol::openai::reasoning;
use crate::protocol::{Protocol, RequestError};

/// A prompt-cache killer that Claude Code puts first (T184): telemetry, no instruction.
const BILLING_HEADER: &str = "x-anthropic-billing-header:";

impl Encoder<'_> {
    pub(super) fn messages(&mut self, w: &mut Writer<'_>) -> Result<(), RequestError> {
        w.key("messages").begin_array();
        let format = &self.request.output.format;
        let must_be_said = format.must_be_said(&self.target.capabilities);
        let may_be_last = self.target.capabilities.mid_system && !must_be_said;
        let hint = if must_be_said { Some(format.as_instruction()) } else { self.json_hint() };
        let mut written = self.system(hint.as_ref().filter(|_| !may_be_last), w);
        let request = self.request;
        let mut turns = request.turns.as_slice();
        while !turns.is_empty() {
            let is_assistant = |turn: &Turn<'_>| turn.role == Role::Assistant;
            let length = turns.iter().position(|t| !is_assistant(t)).unwrap_or(turns.len());
            let (spoken, rest) = turns.split_at(length);
            let length = rest.iter().position(is_assistant).unwrap_or(rest.len());
            let (heard, rest) = rest.split_at(length);
            written |= self.assistant(spoken, w);
            written |= self.answers(spoken, heard, w)?;
            turns = rest;
        }
        if !written {
            return Err(Unsupported::new("messages", "there is no message left to send").into());
        }
        if let Some(hint) = hint.filter(|_| may_be_last) {
            w.begin_object();
            w.key("role").text(self.system_role());
            w.key("content").string(&hint);
            w.end_object();
        }
        w.end_array();
        if request.turns.last().is_some_and(|turn| turn.role == Role::Assistant) {
            // Chat starts a new answer where Anthropic would continue this one.
            self.losses.add(Action::Approx, "prefill");
        }
        Ok(())
    }

    /// T123: only servers known to take it get the `developer` role.
    pub(super) fn system_role(&self) -> &'static str {
        if self.target.dialect.developer_role { "developer" } else { "system" }
    }

    /// Several texts as one content: listed where the server takes lists, else joined by `between`.
    pub(super) fn texts<'t>(&self, texts: &[impl Borrow<Str<'t>>], between: &str, w: &mut Writer<'_>) {
        match texts {
            [] => {
                w.text("");
            }
            [text] => {
                w.string(text.borrow());
            }
            texts if is_official(&self.target.dialect) => {
                w.begin_array();
                for text in texts {
                    w.begin_object().key("type").text("text");
                    w.key("text").string(text.borrow()).end_object();
                }
                w.end_array();
            }
            [first, rest @ ..] => {
                let mut text = first.borrow().clone().into_owned();
                for more in rest {
                    text.push_text(between);
                    text.push(more.borrow());
                }
                w.string(&text);
            }
        }
    }

    /// Several texts as one list, in which some end a cached prefix.
    pub(super) fn marked_texts<'t>(
        &mut self,
        texts: impl Iterator<Item = (&'t Str<'t>, Option<CacheMark>)>,
        w: &mut Writer<'_>,
    ) {
        w.begin_array();
        for (text, mark) in texts {
            w.begin_object().key("type").text("text");
            w.key("text").string(text).end_object();
            if let Some(mark) = mark {
                write_breakpoint(mark, self.exchange.client, self.losses, w);
            }
        }
        w.end_array();
    }

    /// The leading system message, with `more` at its end; whether the client wrote any of it.
    fn system(&mut self, more: Option<&Str<'_>>, w: &mut Writer<'_>) -> bool {
        let keep = |block: &&SystemBlock<'_>| {
            !block.text.is_empty() && !block.text.as_escaped().starts_with(BILLING_HEADER)
        };
        let blocks = self.request.system.iter().filter(keep);
        let is_marked = self.takes_breakpoints() && blocks.clone().any(|block| block.cache.is_some());
        let mut texts: Vec<_> = blocks.clone().map(|block| &block.text).collect();
        let is_given = !texts.is_empty();
        texts.extend(more);
        if texts.is_empty() {
            return false;
        }
        w.begin_object();
        w.key("role").text(self.system_role());
        w.key("content");
        if is_marked {
            let marks = blocks.map(|block| block.cache).chain([None]);
            self.marked_texts(texts.into_iter().zip(marks), w);
        } else {
            self.texts(&texts, "\n\n", w);
        }
        w.end_object();
        is_given
    }

    /// Consecutive assistant turns: one message each, but calls without results between join up.
    fn assistant(&mut self, turns: &[Turn<'_>], w: &mut Writer<'_>) -> bool {
        let mut written = false;
        let mut parts: Vec<&Part<'_>> = Vec::new();
        for turn in turns {
            let has_calls = parts.iter().any(|p| matches!(p.kind, PartKind::ToolCall { .. }));
            if !has_calls && !parts.is_empty() {
                written |= self.assistant_message(&parts, w);
                parts.clear();
            }
            parts.extend(&turn.parts);
        }
        written | self.assistant_message(&parts, w)
    }

    fn assistant_message(&mut self, parts: &[&Part<'_>], w: &mut Writer<'_>) -> bool {
        let texts: Vec<_> = parts.iter().copied().filter(|p| is_text(p)).collect();
        let calls: Vec<_> =
            parts.iter().copied().filter(|p| matches!(p.kind, PartKind::ToolCall { .. })).collect();
        let refusals = parts.iter().filter_map(|p| match &p.kind {
            PartKind::Refusal { text } if !text.is_empty() => Some(text),
            _ => None,
        });
        let mut refusal = Str::EMPTY;
        refusals.for_each(|text| refusal.push(text));
        let audio = self.own_audio(parts);
        if texts.is_empty() && calls.is_empty() && refusal.is_empty() && audio.is_none() {
            // T116: a message must say something; reasoning alone does not.
            if parts.iter().any(|p| matches!(p.kind, PartKind::Reasoning { .. })) {
                self.losses.drop("reasoning");
            }
            return false;
        }
        w.begin_object();
        w.key("role").text("assistant");
        w.key("content");
        self.spoken(&texts, w);
        if !refusal.is_empty() {
            w.key("refusal").string(&refusal);
        }
        let dialect = &self.target.dialect;
        let replay = dialect.reasoning_replay.then(|| reasoning::stand_in(self.target.model));
        reasoning::write_replay(parts, replay, self.losses, w);
        self.message_signature(&texts, w);
        if let Some(audio) = audio {
            w.key("audio").raw(audio);
        }
        if !calls.is_empty() {
            w.key("tool_calls").begin_array();
            calls.iter().for_each(|call| self.call(call, w));
            w.end_array();
        }
        w.end_object();
        true
    }

    /// Texts of an answer were split at citations, not at words: nothing goes between them.
    fn spoken(&self, texts: &[&Part<'_>], w: &mut Writer<'_>) {
        let mut said = texts.iter().filter_map(|part| match &part.kind {
            PartKind::Text { text } => Some(text),
            _ => None,
        });
        match (texts.len(), said.next()) {
            (_, None) => {
                w.null();
            }
            (1, Some(text)) => {
                w.string(text);
            }
            (_, Some(first)) if is_official(&self.target.dialect) => {
                w.begin_array();
                for text in std::iter::once(first).chain(said) {
                    w.begin_object().key("type").text("text");
                    w.key("text").string(text).end_object();
                }
                w.end_array();
            }
            (_, Some(first)) => {
                let mut text = first.clone().into_owned();
                said.for_each(|more| text.push(more));
                w.string(&text);
            }
        }
    }

    fn own_audio<'p>(&mut self, parts: &[&'p Part<'_>]) -> Option<&'p crate::protocol::json::Raw<'p>> {
        let mut audio = None;
        for part in parts {
            match &part.kind {
                PartKind::Opaque { protocol: Protocol::OpenAi, tag, raw }
                    if self.is_native() && *tag == "audio" =>
                {
                    audio = Some(raw);
                }
                PartKind::Opaque { tag, .. } => self.losses.add_named(Action::Drop, &tag.decode()),
                PartKind::Media(_) => self.losses.drop("assistant.media"),
                _ => {}
            }
        }
        audio
    }

    /// Google's compatible surface wants its signatures back; other servers do not know the key.
    fn takes_google_signatures(&self) -> bool {
        self.target.model.contains("gemini")
    }

    fn message_signature(&mut self, texts: &[&Part<'_>], w: &mut Writer<'_>) {
        let Some(opaque) = texts.iter().rev().find_map(|part| part.opaque.as_ref()) else { return };
        if reasoning::is_google(opaque) && self.takes_google_signatures() {
            reasoning::write_google_signature(&opaque.value, w);
        } else {
            self.losses.drop("signature");
        }
    }

    fn call(&mut self, part: &Part<'_>, w: &mut Writer<'_>) {
        let PartKind::ToolCall { id, name, arguments, custom } = &part.kind else { return };
        let official = is_official(&self.target.dialect);
        let name = self.exchange.tool_names.upstream(name);
        w.begin_object();
        w.key("id").string(&fit_call_id(Protocol::OpenAi, id));
        if *custom && official {
            w.key("type").text("custom");
            w.key("custom").begin_object();
            w.key("name").string(&name);
            w.key("input").text(arguments);
        } else {
            w.key("type").text("function");
            w.key("function").begin_object();
            w.key("name").string(&name);
            w.key("arguments");
            match arguments.as_ref() {
                text if *custom => {
                    let mut wrapped = Vec::new();
                    Writer::new(&mut wrapped).begin_object().key("input").text(text).end_object();
                    w.json_as_string(&crate::protocol::json::string_from_utf8(wrapped));
                }
                text if text.trim().is_empty() => {
                    w.text("{}");
                }
                text => {
                    w.json_as_string(text);
                }
            }
        }
        w.end_object();
        match &part.opaque {
            Some(opaque) if reasoning::is_google(opaque) && self.takes_google_signatures() => {
                reasoning::write_google_signature(&opaque.value, w);
            }
            Some(_) => self.losses.drop("signature"),
            None => {}
        }
        w.end_object();
    }

    /// T144: the API refuses `json_object` when no message speaks of JSON.
    fn json_hint(&mut self) -> Option<Str<'static>> {
        if !matches!(self.request.output.format, Format::JsonObject) || self.speaks_of_json() {
            return None;
        }
        self.losses.add(Action::Insert, "json_hint");
        Some(Str::from_escaped("Respond with JSON."))
    }

    fn speaks_of_json(&self) -> bool {
        let says = |text: &Str<'_>| {
            text.as_escaped().as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"json"))
        };
        let part_says = |part: &Part<'_>| matches!(&part.kind, PartKind::Text { text } if says(text));
        self.request.system.iter().any(|block| says(&block.text))
            || self.request.turns.iter().flat_map(|turn| &turn.parts).any(|part| match &part.kind {
                PartKind::ToolResult { content, .. } => content.iter().any(part_says),
                _ => part_says(part),
            })
    }
}

fn is_text(part: &Part<'_>) -> bool {
    matches!(&part.kind, PartKind::Text { text } if !text.is_empty())
}
