//! A native stream folded into the native answer, with everything in it that nobody here knows
//! (section 4).

use super::error;
use super::finish::reason;
use crate::protocol::canonical::{ErrorView, FaultKind};
use crate::protocol::json::{self, Error, Object, Raw, Reader, Str, Writer};
use crate::protocol::sse;

/// Blocks beyond this are an attack, not an answer.
const MOST_BLOCKS: usize = 4096;

/// Folds a native stream.
#[derive(Debug, Default)]
pub(crate) struct Aggregator {
    message: Option<Object>,
    usage: Object,
    blocks: Vec<(u64, BlockFold)>,
    stopped: bool,
}

impl Aggregator {
    pub(crate) fn event(&mut self, event: &sse::Event<'_>) -> Result<(), ErrorView> {
        // What follows the end is ignored (section 4, rule 5).
        if self.stopped || event.is_done() {
            return Ok(());
        }
        let document = std::str::from_utf8(&event.data).map_err(|_| unreadable("it is not UTF-8"))?;
        let members = Object::parse(document).map_err(|error| unreadable(&error.to_string()))?;
        let tag = members.get("type").and_then(|raw| raw.as_text().map(Str::into_owned));
        let tag = match &tag {
            Some(tag) => tag.decode(),
            None => String::from_utf8_lossy(event.name.as_deref().unwrap_or_default()),
        };
        if tag == "error" || members.get("error").is_some_and(|raw| !raw.is_null()) {
            return Err(error::parse(200, document.as_bytes()));
        }
        self.fold(&tag, &members).map_err(|error| unreadable(&error.to_string()))
    }

    fn fold(&mut self, tag: &str, members: &Object) -> Result<(), Error> {
        match tag {
            "message_start" if self.message.is_none() => {
                let message = object(members, "message")?.unwrap_or_default();
                if let Some(usage) = object(&message, "usage")? {
                    self.usage.merge(&usage);
                }
                self.message = Some(message);
            }
            "content_block_start" => {
                let block = members.get("content_block");
                let block = BlockFold::new(block.as_ref().map_or("{}", Raw::as_str))?;
                let index = index(members);
                if let Some((_, slot)) = self.blocks.iter_mut().find(|(at, _)| *at == index) {
                    *slot = block;
                } else if self.blocks.len() < MOST_BLOCKS {
                    self.blocks.push((index, block));
                }
            }
            "content_block_delta" => {
                let index = index(members);
                // The open block is the last one.
                let block = self.blocks.iter_mut().rev().find(|(at, _)| *at == index);
                if let (Some((_, block)), Some(delta)) = (block, members.get("delta")) {
                    block.delta(&mut Reader::new(delta.as_str()))?;
                }
            }
            "message_delta" => self.message_delta(members)?,
            "message_stop" => self.stopped = true,
            _ => {}
        }
        Ok(())
    }

    fn message_delta(&mut self, members: &Object) -> Result<(), Error> {
        let message = self.message.get_or_insert_with(Object::default);
        if let Some(usage) = object(members, "usage")? {
            // A `null` says that nothing is known, not that nothing was counted (T052).
            for (key, value) in usage.iter().filter(|(_, value)| !value.is_null()) {
                self.usage.set(key, value.as_str());
            }
        }
        if let Some(delta) = object(members, "delta")? {
            for (key, value) in delta.iter() {
                if !value.is_null() || message.get(key).is_none() {
                    message.set(key, value.as_str());
                }
            }
        }
        for (key, value) in members.iter().filter(|(key, _)| !matches!(*key, "type" | "delta" | "usage")) {
            message.set(key, value.as_str());
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, ErrorView> {
        let Some(mut message) = self.message.filter(|_| self.stopped) else {
            let message = "the upstream's stream ended before message_stop";
            return Err(ErrorView::new(FaultKind::BadUpstream, message));
        };
        let mut blocks = self.blocks;
        blocks.sort_by_key(|(index, _)| *index);
        // A call that was cut off must not be executed (section 4, rule 1).
        let why = message.get("stop_reason").and_then(|raw| raw.as_text().map(Str::into_owned));
        if why.is_some_and(|why| reason(&why.decode()).is_cut())
            && blocks.last().is_some_and(|(_, block)| block.is_cut_off())
        {
            blocks.pop();
        }
        let mut content = Vec::new();
        let mut w = Writer::new(&mut content);
        w.begin_array();
        for (_, block) in blocks {
            block.finish().write(&mut w);
        }
        w.end_array();
        message.set("content", json::string_from_utf8(content));
        if !self.usage.is_empty() {
            message.set("usage", self.usage.to_json());
        }
        let mut out = Vec::new();
        message.write(&mut Writer::new(&mut out));
        Ok(out)
    }
}

fn object(members: &Object, key: &str) -> Result<Option<Object>, Error> {
    match members.get(key) {
        Some(raw) if raw.is_object() => Object::parse(raw.as_str()).map(Some),
        _ => Ok(None),
    }
}

fn index(members: &Object) -> u64 {
    let raw = members.get("index");
    raw.and_then(|raw| raw.as_str().parse().ok()).unwrap_or(0)
}

fn unreadable(why: &str) -> ErrorView {
    ErrorView::new(FaultKind::BadUpstream, format!("an event of the upstream cannot be read: {why}"))
}

/// One block, growing with its deltas.
#[derive(Debug, Default)]
pub(super) struct BlockFold {
    members: Object,
    text: Grown,
    thinking: Grown,
    content: Grown,
    partial_json: Str<'static>,
    citations: Vec<String>,
}

/// A string member that deltas lengthen; set once at the end, so that long texts cost no copies.
#[derive(Debug, Default)]
struct Grown(Option<Str<'static>>);

impl Grown {
    fn push(&mut self, members: &Object, key: &str, more: &Str<'_>) {
        let begun =
            || members.get(key).and_then(|raw| raw.as_text().map(Str::into_owned)).unwrap_or_default();
        self.0.get_or_insert_with(begun).push(more);
    }

    fn settle(self, members: &mut Object, key: &str) {
        if let Some(text) = self.0 {
            members.set_string(key, &text);
        }
    }
}

impl BlockFold {
    /// A block as `content_block_start` gives it.
    pub(super) fn new(json: &str) -> Result<Self, Error> {
        Ok(BlockFold { members: Object::parse(json)?, ..BlockFold::default() })
    }

    /// Takes the delta that `reader` stands at.
    pub(super) fn delta(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.lenient_object(|key, value| {
            match key {
                "text" => self.text.push(&self.members, key, &value.lenient_string()?.unwrap_or_default()),
                "thinking" => {
                    self.thinking.push(&self.members, key, &value.lenient_string()?.unwrap_or_default());
                }
                "partial_json" => self.partial_json.push(&value.lenient_string()?.unwrap_or_default()),
                "signature" => self.members.set(key, value.raw()?.as_str()),
                "citation" => self.citations.push(value.raw()?.as_str().to_owned()),
                // A summary of what was compacted comes as a string.
                "content" => {
                    if let Some(more) = value.lenient_string()? {
                        self.content.push(&self.members, key, &more);
                    }
                }
                // Belong to the delta, not to the block.
                "type" | "estimated_tokens" => {}
                _ => {
                    let raw = value.raw()?;
                    if !raw.is_null() {
                        self.members.set(key, raw.as_str());
                    }
                }
            }
            Ok::<_, Error>(())
        })
    }

    /// Whether it is a call whose arguments have no end, or not even a beginning.
    fn is_cut_off(&self) -> bool {
        let begun_with = self.members.get("input");
        let has_none = begun_with.is_none_or(|raw| matches!(raw.as_str(), "{}" | "\"\""));
        is_call(&self.members)
            && (has_none || !self.partial_json.is_blank())
            && json::as_object(self.partial_json.decode().as_ref()).is_none()
    }

    /// The whole block.
    pub(super) fn finish(self) -> Object {
        let mut members = self.members;
        self.text.settle(&mut members, "text");
        self.thinking.settle(&mut members, "thinking");
        self.content.settle(&mut members, "content");
        if !self.citations.is_empty() {
            let begun = members.get("citations").filter(Raw::is_array);
            let begun = begun.as_ref().and_then(|raw| raw.as_str().strip_prefix('[')?.strip_suffix(']'));
            let begun = begun.map(str::trim).filter(|list| !list.is_empty()).map(str::to_owned);
            let all: Vec<String> = begun.into_iter().chain(self.citations).collect();
            members.set("citations", format!("[{}]", all.join(",")));
        }
        if !self.partial_json.is_blank() {
            let text = self.partial_json.decode();
            // Arguments that were cut off are kept as they are, not repaired (T060).
            let input = json::as_object(text.as_ref()).map(|raw| raw.as_str().to_owned());
            members.set("input", input.unwrap_or_else(|| wrapped(&self.partial_json)));
        } else if members.get("partial_json").is_none() && is_call(&members) && members.get("input").is_none()
        {
            members.set("input", "{}");
        }
        members
    }
}

fn wrapped(text: &Str<'_>) -> String {
    format!(r#"{{"_raw_arguments":"{}"}}"#, text.as_escaped())
}

fn is_call(members: &Object) -> bool {
    members.get("type").and_then(|raw| raw.as_text().map(|tag| tag == "tool_use")).unwrap_or(false)
}
