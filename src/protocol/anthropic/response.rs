//! Whole answers.

use std::borrow::Cow;

use super::block::{Block, citation};
use super::finish::{self, Stop};
use super::request::input;
use super::search::{self, Cited, Searches, Step};
use super::state::{self, CallIds};
use super::usage::{self, Counts};
use super::{ANSWER_TOOL, WRAPPED_ANSWER_TOOL, error};
use crate::protocol::Protocol;
use crate::protocol::canonical::{
    Choice, Citation, ErrorView, Exchange, FaultKind, FinishReason, IdSource, Losses, Media, Opaque,
    OpaqueKind, Part, PartKind, Provider, Response, WebSearchCall, restoration,
};
use crate::protocol::json::{self, Error, Raw, Reader, Str, Writer};

/// Reads an upstream's whole answer.
///
/// # Errors
///
/// If it is none, or an error in disguise.
pub(crate) fn decode(body: &str) -> Result<Response<'_>, ErrorView> {
    let mut decoder = Decoder::default();
    let read = json::document(body, |key, value| decoder.member(body, key, value));
    if decoder.is_error {
        return Err(error::parse(200, body.as_bytes()));
    }
    let unreadable = |why: &dyn std::fmt::Display| {
        ErrorView::new(FaultKind::BadUpstream, format!("the upstream's answer cannot be read: {why}"))
    };
    read.map_err(|error| unreadable(&error))?;
    let unanswered = decoder.searches.rest();
    decoder.give_up(unanswered);
    if !decoder.has_content {
        return Err(unreadable(&"it has no content"));
    }
    let finish = decoder.stop.finish(decoder.has_calls);
    let choice = Choice { parts: decoder.parts, citations: decoder.citations, finish, ..Choice::default() };
    Ok(Response {
        id: decoder.id,
        model: decoder.model,
        created: None,
        choices: vec![choice],
        usage: decoder.counts.usage(),
    })
}

#[derive(Debug, Default)]
struct Decoder<'a> {
    id: Str<'a>,
    model: Str<'a>,
    parts: Vec<Part<'a>>,
    citations: Vec<(usize, Citation<'a>)>,
    searches: Searches,
    stop: Stop<'a>,
    counts: Counts,
    has_content: bool,
    has_calls: bool,
    is_error: bool,
}

impl<'a> Decoder<'a> {
    fn member(&mut self, body: &'a str, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "type" => self.is_error |= value.lenient_string()?.is_some_and(|tag| tag == "error"),
            "error" => self.is_error |= !value.raw()?.is_null(),
            "id" => self.id = value.lenient_string()?.unwrap_or_default(),
            "model" => self.model = value.lenient_string()?.unwrap_or_default(),
            "content" => {
                self.has_content = true;
                value.lenient_array(|item| self.block(Block::read(item, body)?))?;
            }
            "usage" => self.counts.read(value)?,
            _ => self.stop.member(key, value)?,
        }
        Ok(())
    }

    fn block(&mut self, block: Block<'a>) -> Result<(), Error> {
        match self.searches.take(&block)? {
            Step::Other => {}
            Step::Waits => return Ok(()),
            Step::Over(call) => {
                self.parts.push(Part::new(PartKind::WebSearchCall(call)));
                return Ok(());
            }
        }
        let unanswered = self.searches.given_up(&block.tag.as_ref().map(Str::decode).unwrap_or_default());
        self.give_up(unanswered);
        if let Some(mut reader) = block.citations.clone() {
            let at = self.parts.len();
            reader.lenient_array(|item| {
                self.citations.extend(citation(item)?.map(|citation| (at, citation)));
                Ok::<_, Error>(())
            })?;
        }
        let part = part(block);
        self.has_calls |= matches!(part.kind, PartKind::ToolCall { .. });
        self.parts.push(part);
        Ok(())
    }

    fn give_up(&mut self, searches: Vec<Raw<'static>>) {
        let tag = Str::from_escaped("server_tool_use");
        self.parts.extend(
            searches.into_iter().map(|raw| {
                Part::new(PartKind::Opaque { protocol: Protocol::Anthropic, tag: tag.clone(), raw })
            }),
        );
    }
}

/// What a block of an answer means.
fn part(block: Block<'_>) -> Part<'_> {
    let tag = block.tag.as_ref().map(|tag| tag.decode().into_owned());
    match tag.as_deref() {
        Some("text") | None => Part::text(block.text.unwrap_or_default()),
        Some("thinking") => Part {
            opaque: block.signature.filter(|value| !value.is_empty()).map(signature),
            ..Part::new(PartKind::Reasoning { text: block.thinking.unwrap_or_default(), redacted: false })
        },
        Some("redacted_thinking") => Part {
            opaque: block.data.map(redacted),
            ..Part::new(PartKind::Reasoning { text: Str::EMPTY, redacted: true })
        },
        Some("tool_use") => {
            let whole = block.arguments();
            let arguments = Cow::Borrowed(whole);
            let name = block.name.unwrap_or_default();
            if name == ANSWER_TOOL {
                return Part::text(Str::escape(arguments));
            }
            if name == WRAPPED_ANSWER_TOOL {
                let answer = restoration::unwrap(whole).map_or(arguments, Raw::into_text);
                return Part::text(Str::escape(answer));
            }
            Part::new(PartKind::ToolCall { id: block.id.unwrap_or_default(), name, arguments, custom: false })
        }
        Some(_) => {
            let raw = block.raw();
            let tag = block.tag.unwrap_or_default();
            Part::new(PartKind::Opaque { protocol: Protocol::Anthropic, tag, raw })
        }
    }
}

/// Anthropic's signature over visible reasoning.
pub(super) fn signature(value: Str<'_>) -> Opaque<'_> {
    Opaque::new(Provider::Anthropic, OpaqueKind::Signature, value)
}

/// The data of a redacted block.
pub(super) fn redacted(value: Str<'_>) -> Opaque<'_> {
    Opaque::new(Provider::Anthropic, OpaqueKind::Redacted, value)
}

/// The id of the answer: the upstream's if it is one of this protocol, else made up.
pub(super) fn message_id<'s>(upstream: &'s Str<'_>, seed: u64) -> Str<'s> {
    if upstream.as_escaped().starts_with("msg_") {
        upstream.borrowed()
    } else {
        Str::from(IdSource::new(seed).short("msg_"))
    }
}

/// What a malformed call becomes: an agent must not take it for a finished answer (T162).
pub(super) fn malformed() -> ErrorView {
    ErrorView::new(FaultKind::BadUpstream, "the model made a malformed tool call")
}

/// What stands for a picture or sound that the model made: this protocol has no such block.
pub(super) fn placeholder(mime: &Str<'_>) -> Str<'static> {
    Str::from(format!("[{} not shown]", mime.decode()))
}

/// Appends the answer as an Anthropic client takes it.
///
/// # Errors
///
/// If the model made a call that nobody can read.
pub(crate) fn encode(
    response: &Response<'_>,
    exchange: &Exchange,
    out: &mut Vec<u8>,
) -> Result<(), ErrorView> {
    let nothing = Choice::default();
    let choice = response.choices.first().unwrap_or(&nothing);
    if choice.finish.reason == FinishReason::Malformed {
        return Err(malformed());
    }
    let mut w = Writer::new(out);
    w.begin_object();
    w.key("id").string(&message_id(&response.id, exchange.seed));
    w.key("type").text("message");
    w.key("role").text("assistant");
    w.key("model").string(&exchange.answer_model(&response.model));
    w.key("content").begin_array();
    let mut ids = CallIds::new(exchange.seed);
    let last = choice.parts.len().saturating_sub(1);
    let told = choice.parts.iter().map(|part| match &part.kind {
        PartKind::WebSearchCall(call) => call.count(),
        _ => 0,
    });
    let mut searches = told.sum();
    if searches == 0
        && exchange.has_silent_search
        && let Some(call) = cited(choice)
    {
        searches = call.count();
        search(&call, &mut ids, &mut w);
    }
    for (at, part) in choice.parts.iter().enumerate() {
        let cut = at == last && choice.finish.reason.is_cut();
        let citations = choice.citations.iter().filter(|(of, _)| *of == at).map(|(_, citation)| citation);
        content(part, citations, cut, exchange, &mut ids, &mut w);
    }
    w.end_array();
    finish::write(&choice.finish, &mut w);
    w.key("usage");
    usage::write(&response.usage, searches, &mut w);
    w.end_object();
    Ok(())
}

fn content<'c>(
    part: &Part<'_>,
    citations: impl Iterator<Item = &'c Citation<'c>>,
    cut: bool,
    exchange: &Exchange,
    ids: &mut CallIds,
    w: &mut Writer<'_>,
) {
    match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => {
            visible(text, citations, w);
            if let Some(opaque) = &part.opaque {
                carry(&state::bind_text(opaque, text), exchange, w);
            }
        }
        PartKind::Reasoning { text, redacted } => reasoning(part, text, *redacted, exchange, w),
        PartKind::ToolCall { id, name, arguments, custom } => {
            // A call that was cut off must not be executed (T060).
            if cut && !custom && json::as_object(arguments.as_ref()).is_none() {
                return;
            }
            let id = ids.next(id);
            if let Some(opaque) = &part.opaque {
                carry(&state::bind_call(opaque, &id), exchange, w);
            }
            w.begin_object();
            w.key("type").text("tool_use");
            w.key("id").string(&id);
            w.key("name").string(&exchange.tool_names.client(name));
            w.key("input");
            input(arguments, *custom, &mut Losses::default(), w);
            w.end_object();
        }
        PartKind::Media(Media { mime, .. }) => visible(&placeholder(mime), citations, w),
        PartKind::WebSearchCall(call) => search(call, ids, w),
        PartKind::Opaque { protocol: Protocol::Anthropic, raw, .. } => {
            w.raw(raw);
        }
        PartKind::Opaque { .. } | PartKind::ToolResult { .. } => {}
    }
}

fn cited(choice: &Choice<'_>) -> Option<WebSearchCall<'static>> {
    let mut cited = Cited::default();
    choice.citations.iter().for_each(|(_, citation)| cited.add(citation));
    cited.search()
}

fn search(call: &WebSearchCall<'_>, ids: &mut CallIds, w: &mut Writer<'_>) {
    if let Some(blocks) = call.told_in(Protocol::Anthropic) {
        blocks.iter().for_each(|block| {
            w.raw(block);
        });
        return;
    }
    let id = ids.search(&call.id);
    search::write_call(&id, Some(&call.query()), w);
    search::write_result(&id, call, w);
}

/// A visible text block; never an empty one, which the API would refuse on return (T035).
fn visible<'c>(text: &Str<'_>, citations: impl Iterator<Item = &'c Citation<'c>>, w: &mut Writer<'_>) {
    if text.is_empty() {
        return;
    }
    w.begin_object();
    w.key("type").text("text");
    w.key("text").string(text);
    let mut citations = citations.peekable();
    if citations.peek().is_some() {
        w.key("citations").begin_array();
        for citation in citations {
            cite(citation, w);
        }
        w.end_array();
    }
    w.end_object();
}

/// A source in the shape of web search. Its index cannot be forged and is left empty (section 2.13).
pub(super) fn cite(citation: &Citation<'_>, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("type").text("web_search_result_location");
    w.key("url").string(&citation.url);
    w.key("title").string_or_null(citation.title.as_ref());
    w.key("cited_text").string(citation.cited_text.as_ref().unwrap_or(&Str::EMPTY));
    w.key("encrypted_index").text("");
    w.end_object();
}

fn reasoning(part: &Part<'_>, text: &Str<'_>, redacted: bool, exchange: &Exchange, w: &mut Writer<'_>) {
    // Only clients that asked for reasoning know the block (T117).
    if !exchange.show_reasoning {
        return;
    }
    let signature = state::signature(part.opaque.as_ref(), text, exchange.upstream);
    if redacted {
        if let Some(data) = signature {
            w.begin_object();
            w.key("type").text("redacted_thinking");
            w.key("data").string(&data);
            w.end_object();
        }
        return;
    }
    if text.is_empty() && part.opaque.is_none() {
        return;
    }
    thinking(text, &signature.unwrap_or_default(), w);
}

fn thinking(text: &Str<'_>, signature: &Str<'_>, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("type").text("thinking");
    w.key("thinking").string(text);
    w.key("signature").string(signature);
    w.end_object();
}

/// An empty thinking block that carries a signature of its neighbour (section 1.8).
fn carry(envelope: &Str<'_>, exchange: &Exchange, w: &mut Writer<'_>) {
    if exchange.show_reasoning {
        thinking(&Str::EMPTY, envelope, w);
    }
}
