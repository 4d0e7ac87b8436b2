//! Whole answers.
//!
//! Decoding goes through the stream decoder, so that a whole answer and a stream of one chunk can
//! never mean two things.

use std::borrow::Cow;

use super::answer::{self, Call};
use super::logprobs::{self, Average};
use super::stream::{self, Grounding, Offsets};
use super::{finish, signature, usage};
use crate::protocol::Protocol;
use crate::protocol::canonical::{
    Choice, Collector, ErrorView, Exchange, FinishReason, IdSource, Media, MediaSource, Part, PartKind,
    Response,
};
use crate::protocol::json::{Str, Writer};

/// Reads a whole answer, or the list of chunks that a stream without `alt=sse` is (T016).
pub(crate) fn decode(body: &str, seed: u64) -> Result<Response<'_>, ErrorView> {
    let mut decoder = stream::Decoder::new(seed);
    let mut collector = Collector::default();
    decoder.document(body, &mut |event| collector.event(event));
    decoder.finish_whole(&mut |event| collector.event(event));
    collector.finish()
}

/// Writes a whole answer.
pub(crate) fn encode(
    response: &Response<'_>,
    exchange: &Exchange,
    out: &mut Vec<u8>,
) -> Result<(), ErrorView> {
    let malformed = response.choices.iter().find(|c| c.finish.reason == FinishReason::Malformed);
    if let Some(choice) = malformed {
        return Err(finish::malformed(&choice.finish));
    }
    let mut w = Writer::new(out);
    w.begin_object().key("candidates").begin_array();
    let nothing = [Choice::default()];
    let choices = if response.choices.is_empty() { &nothing } else { response.choices.as_slice() };
    for (index, choice) in (0u64..).zip(choices) {
        write_candidate(index, choice, exchange, &mut w);
    }
    w.end_array();
    usage::write(&response.usage, &mut w);
    w.key("modelVersion").string(&exchange.answer_model(&response.model));
    w.key("responseId");
    if response.id.is_empty() {
        w.text(&IdSource::new(exchange.seed).short(""));
    } else {
        w.string(&response.id);
    }
    w.end_object();
    Ok(())
}

fn write_candidate(index: u64, choice: &Choice<'_>, exchange: &Exchange, w: &mut Writer<'_>) {
    w.begin_object().key("content").begin_object().key("role").text("model");
    w.key("parts").begin_array();
    let start = w.buffer().len();
    let mut offsets = Offsets::default();
    let mut grounding = Grounding::default();
    let mut is_marked = exchange.upstream != Protocol::Gemini;
    for (at, part) in choice.parts.iter().enumerate() {
        let base = offsets.chars();
        if let PartKind::Text { text } | PartKind::Refusal { text } = &part.kind {
            offsets.push(text);
        }
        if let PartKind::WebSearchCall(call) = &part.kind {
            grounding.search(call);
        }
        for (_, citation) in choice.citations.iter().filter(|(owner, _)| *owner == at) {
            grounding.cite(citation, &offsets, base);
        }
        let is_cut = choice.finish.reason.is_cut() && at + 1 == choice.parts.len();
        write_part(part, !is_cut, &mut is_marked, exchange, w);
    }
    if w.buffer().len() == start {
        // A content without parts is dropped from the history of chats (T050).
        answer::write_text(&Str::EMPTY, false, None, w);
    }
    w.end_array().end_object();
    stream::write_finish(&choice.finish, w);
    let tokens = choice.logprobs.iter().map(|(_, token)| token);
    let mut average = Average::default();
    average.add(tokens.clone());
    average.write(w);
    logprobs::write(tokens, w);
    grounding.write(w);
    w.key("index").u64(index).end_object();
}

/// `is_marked`: whether the first call is still to come, and another provider's.
fn write_part(
    part: &Part<'_>,
    complete: bool,
    is_marked: &mut bool,
    exchange: &Exchange,
    w: &mut Writer<'_>,
) {
    let opaque = part.opaque.as_ref();
    match &part.kind {
        PartKind::Text { text } | PartKind::Refusal { text } => {
            let value = opaque.map(|opaque| signature::for_client(opaque, text));
            if !text.is_empty() || value.is_some() {
                answer::write_text(text, false, value.as_ref(), w);
            }
        }
        PartKind::Reasoning { text, .. } => {
            let shown = exchange.show_reasoning;
            let value = opaque.and_then(|opaque| stream::reasoning_state(opaque, text, shown));
            let text = if shown { text.borrowed() } else { Str::EMPTY };
            if !text.is_empty() || value.is_some() {
                answer::write_text(&text, true, value.as_ref(), w);
            }
        }
        PartKind::ToolCall { id, name, arguments, custom } => {
            let name = exchange.tool_names.client(name);
            let arguments: &Cow<'_, str> = arguments;
            let call = Call { id, name: &name, arguments, custom: *custom, complete };
            if call.is_usable() {
                let value = signature::for_call(opaque, std::mem::take(is_marked));
                call.write(value.as_ref(), w);
            }
        }
        PartKind::Media(Media { mime, source: MediaSource::Inline(data), .. }) => {
            answer::write_inline(mime, data, w);
        }
        PartKind::Opaque { protocol: Protocol::Gemini, raw, .. } => answer::write_native(raw, w),
        // Other vendors' hosted tools at work; answers hold no results and no references. A search is told beside
        // the content.
        PartKind::Opaque { .. }
        | PartKind::Media(_)
        | PartKind::ToolResult { .. }
        | PartKind::WebSearchCall(_) => {}
    }
}
