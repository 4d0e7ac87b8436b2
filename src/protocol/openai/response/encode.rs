//! The hub's answer to a Chat client.

use std::borrow::Cow;
use std::iter::Peekable;

use crate::protocol::canonical::media::data_url;
use crate::protocol::canonical::{
    Choice, ErrorView, Exchange, Finish, FinishReason, IdSource, Media, MediaSource, Part, PartKind,
    Response, TokenLogprob,
};
use crate::protocol::json::{Error, Reader, Str, Writer};
use crate::protocol::openai::{LEGACY_FUNCTIONS, citations, error, finish, reasoning, usage};

/// Appends the answer.
pub(crate) fn encode(
    response: &Response<'_>,
    exchange: &Exchange,
    out: &mut Vec<u8>,
) -> Result<(), ErrorView> {
    if response.choices.iter().any(|choice| choice.finish.reason == FinishReason::Malformed) {
        // T162: an agent must see that its call came out broken.
        return Err(error::bad_upstream("the model produced a malformed tool call"));
    }
    let encoder = Encoder { exchange, legacy: is_legacy(exchange) };
    let mut w = Writer::new(out);
    w.begin_object();
    w.key("id").string(&answer_id(&response.id, exchange));
    w.key("object").text("chat.completion");
    w.key("created").u64(response.created.unwrap_or(exchange.created));
    w.key("model").string(&exchange.answer_model(&response.model));
    w.key("choices").begin_array();
    for (index, choice) in (0..).zip(&response.choices) {
        encoder.choice(index, choice, &mut w);
    }
    w.end_array();
    if !response.usage.is_empty() {
        w.key("usage");
        usage::write(&response.usage, &mut w);
    }
    w.end_object();
    Ok(())
}

/// Whether the client speaks of `functions` and knows no `tool_calls`.
pub(in crate::protocol::openai) fn is_legacy(exchange: &Exchange) -> bool {
    exchange.echo.iter().any(|(key, _)| *key == LEGACY_FUNCTIONS)
}

/// The upstream's id of the answer, or one of our own.
pub(in crate::protocol::openai) fn answer_id<'a>(id: &'a Str<'_>, exchange: &Exchange) -> Str<'a> {
    if id.is_empty() { Str::escape(IdSource::new(exchange.seed).short("chatcmpl-")) } else { id.borrowed() }
}

/// The words of a provider that withheld content, if it withheld all of it.
pub(in crate::protocol::openai) fn explanation<'f>(finish: &'f Finish<'_>) -> Option<&'f Str<'f>> {
    finish.explanation.as_ref().filter(|_| finish.reason == FinishReason::ContentFilter)
}

/// The text inside `{"input": …}`: a free-text call that had to travel as a function.
pub(in crate::protocol::openai) fn unwrap_input(arguments: &str) -> Option<Cow<'_, str>> {
    let mut input = None;
    let mut reader = Reader::new(arguments);
    reader
        .object(|key, value| {
            if key == "input" {
                input = value.lenient_string()?;
            }
            Ok::<_, Error>(())
        })
        .ok()?;
    input.map(Str::into_decoded)
}

struct Encoder<'e> {
    exchange: &'e Exchange,
    legacy: bool,
}

impl Encoder<'_> {
    fn choice(&self, index: u64, choice: &Choice<'_>, w: &mut Writer<'_>) {
        w.begin_object();
        w.key("index").u64(index);
        w.key("message").begin_object();
        self.message(choice, w);
        w.end_object();
        let is_refusal =
            |at| matches!(choice.parts.get(at), Some(Part { kind: PartKind::Refusal { .. }, .. }));
        let of = |refused| {
            let tokens = choice.logprobs.iter().filter(move |(at, _)| is_refusal(*at) == refused);
            tokens.map(|(_, token)| token)
        };
        write_logprobs(of(false), of(true), w);
        w.key("finish_reason").text(finish::word(choice.finish.reason, self.legacy));
        w.end_object();
    }

    fn message(&self, choice: &Choice<'_>, w: &mut Writer<'_>) {
        let texts = |pick: fn(&PartKind<'_>) -> bool| {
            let mut all = Str::EMPTY;
            for part in choice.parts.iter().filter(|part| pick(&part.kind)) {
                if let PartKind::Text { text } | PartKind::Refusal { text } = &part.kind {
                    all.push(text);
                }
            }
            Some(all).filter(|text| !text.is_empty())
        };
        let text = texts(|kind| matches!(kind, PartKind::Text { .. }));
        let refusal = texts(|kind| matches!(kind, PartKind::Refusal { .. }));
        let withheld = explanation(&choice.finish).filter(|_| text.is_none());
        w.key("role").text("assistant");
        // T093: null, not an empty text, when only tools were called.
        w.key("content").string_or_null(text.as_ref());
        w.key("refusal").string_or_null(refusal.as_ref().or(withheld));
        Self::annotations(choice, w);
        if self.exchange.show_reasoning {
            reasoning_members(choice, w);
        }
        images(choice, w);
        message_signature(choice, w);
        self.calls(choice, w);
    }

    fn annotations(choice: &Choice<'_>, w: &mut Writer<'_>) {
        if choice.citations.is_empty() {
            return;
        }
        let mut ranges = Vec::new();
        let mut at = 0;
        for part in &choice.parts {
            let long = match &part.kind {
                PartKind::Text { text } => citations::characters(text),
                _ => 0,
            };
            ranges.push((at, at + long));
            at += long;
        }
        w.key("annotations").begin_array();
        for (part, citation) in &choice.citations {
            citations::write(citation, ranges.get(*part).copied().unwrap_or((0, at)), w);
        }
        w.end_array();
    }

    fn calls(&self, choice: &Choice<'_>, w: &mut Writer<'_>) {
        let mut calls =
            choice.parts.iter().filter(|p| matches!(p.kind, PartKind::ToolCall { .. })).peekable();
        if calls.peek().is_none() {
            return;
        }
        if self.legacy {
            if let Some(PartKind::ToolCall { name, arguments, .. }) = calls.next().map(|part| &part.kind) {
                w.key("function_call").begin_object();
                w.key("name").string(&self.exchange.tool_names.client(name));
                w.key("arguments").text(arguments).end_object();
            }
            return;
        }
        w.key("tool_calls").begin_array();
        calls.for_each(|part| self.call(part, w));
        w.end_array();
    }

    fn call(&self, part: &Part<'_>, w: &mut Writer<'_>) {
        let PartKind::ToolCall { id, name, arguments, custom } = &part.kind else { return };
        let name = self.exchange.tool_names.client(name);
        let known = *custom || self.exchange.custom_tools.iter().any(|tool| name == tool.as_str());
        let input = if *custom { Some(Cow::Borrowed(arguments.as_ref())) } else { unwrap_input(arguments) };
        w.begin_object();
        w.key("id").string(id);
        match input.filter(|_| known) {
            Some(input) => {
                w.key("type").text("custom");
                w.key("custom").begin_object();
                w.key("name").string(&name);
                w.key("input").text(&input);
            }
            None => {
                w.key("type").text("function");
                w.key("function").begin_object();
                w.key("name").string(&name);
                w.key("arguments").json_as_string(arguments);
            }
        }
        w.end_object();
        if let Some(opaque) = part.opaque.as_ref().filter(|o| reasoning::is_google(o)) {
            reasoning::write_google_signature(&opaque.value, w);
        }
        w.end_object();
    }
}

fn reasoning_members(choice: &Choice<'_>, w: &mut Writer<'_>) {
    let parts = || {
        choice.parts.iter().filter_map(|part| match &part.kind {
            PartKind::Reasoning { text, redacted } => Some((text, *redacted, part.opaque.as_ref())),
            _ => None,
        })
    };
    let mut all = Str::EMPTY;
    parts().for_each(|(text, ..)| all.push(text));
    if !all.is_empty() {
        w.key("reasoning_content").string(&all);
    }
    let carries = |(text, _, opaque): &(&Str<'_>, bool, Option<&crate::protocol::canonical::Opaque<'_>>)| {
        opaque.is_some_and(|opaque| reasoning::carried(opaque, text).is_some())
    };
    if !parts().any(|part| carries(&part)) {
        return;
    }
    w.key("reasoning_details").begin_array();
    for (index, (text, redacted, opaque)) in (0..).zip(parts()) {
        if let Some(opaque) = opaque {
            reasoning::write_detail(index, text, redacted, opaque, w);
        }
    }
    w.end_array();
}

fn message_signature(choice: &Choice<'_>, w: &mut Writer<'_>) {
    let texts = choice.parts.iter().rev().filter(|part| matches!(part.kind, PartKind::Text { .. }));
    if let Some(opaque) = texts.filter_map(|part| part.opaque.as_ref()).find(|o| reasoning::is_google(o)) {
        reasoning::write_google_signature(&opaque.value, w);
    }
}

fn images(choice: &Choice<'_>, w: &mut Writer<'_>) {
    let mut pictures = choice.parts.iter().filter_map(|part| match &part.kind {
        PartKind::Media(Media { mime, source: MediaSource::Inline(data), .. }) => Some((mime, data)),
        _ => None,
    });
    let Some(first) = pictures.next() else { return };
    w.key("images").begin_array();
    for (mime, data) in std::iter::once(first).chain(pictures) {
        write_image(&data_url(mime, data), w);
    }
    w.end_array();
}

/// Writes `logprobs` of a choice.
pub(in crate::protocol::openai) fn write_logprobs<'t>(
    content: impl Iterator<Item = &'t TokenLogprob<'t>>,
    refusal: impl Iterator<Item = &'t TokenLogprob<'t>>,
    w: &mut Writer<'_>,
) {
    let (mut content, mut refusal) = (content.peekable(), refusal.peekable());
    w.key("logprobs");
    if content.peek().is_none() && refusal.peek().is_none() {
        w.null();
        return;
    }
    w.begin_object();
    write_tokens("content", content, w);
    write_tokens("refusal", refusal, w);
    w.end_object();
}

fn write_tokens<'t>(
    key: &'static str,
    mut tokens: Peekable<impl Iterator<Item = &'t TokenLogprob<'t>>>,
    w: &mut Writer<'_>,
) {
    w.key(key);
    if tokens.peek().is_none() {
        w.null();
        return;
    }
    w.begin_array();
    tokens.for_each(|token| token.write(w));
    w.end_array();
}

/// Writes one entry of the `images` extension.
pub(in crate::protocol::openai) fn write_image(url: &Str<'_>, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("type").text("image_url");
    w.key("image_url").begin_object();
    w.key("url").string(url);
    w.end_object();
    w.end_object();
}
