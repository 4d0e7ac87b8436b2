//! The canonical answer, and its two ways to and from a stream.

use std::borrow::Cow;

use super::error::{ErrorView, FaultKind};
use super::event::{Delta, Event, PartHeader, PartMeta};
use super::logprob::TokenLogprob;
use super::request::{Media, MediaKind, MediaSource, Part, PartKind};
use super::usage::Usage;
use crate::protocol::json::{Error, Reader, Str};

/// A whole answer.
#[derive(Clone, Debug, Default)]
pub struct Response<'a> {
    /// The upstream's id; empty when it gave none.
    pub id: Str<'a>,
    /// The upstream's name of the model; empty when it gave none.
    pub model: Str<'a>,
    /// Seconds since 1970, where the upstream says.
    pub created: Option<u64>,
    /// The choices, by index.
    pub choices: Vec<Choice<'a>>,
    /// Token counts.
    pub usage: Usage,
}

/// One of the alternatives that the client asked for.
#[derive(Clone, Debug, Default)]
pub struct Choice<'a> {
    /// The parts, in order.
    pub parts: Vec<Part<'a>>,
    /// Sources of the text, with the number of the part they belong to.
    pub citations: Vec<(usize, Citation<'a>)>,
    /// Probabilities of the tokens of the text, with the number of the part they belong to.
    pub logprobs: Vec<(usize, TokenLogprob<'a>)>,
    /// Why it ended.
    pub finish: Finish<'a>,
}

/// Why a choice ended.
#[derive(Clone, Debug, Default)]
pub struct Finish<'a> {
    /// The reason.
    pub reason: FinishReason,
    /// Which stop sequence was hit, where it is known.
    pub stop_sequence: Option<Str<'a>>,
    /// Why content was withheld: category.
    pub category: Option<Str<'a>>,
    /// Why content was withheld: words.
    pub explanation: Option<Str<'a>>,
}

impl<'a> Finish<'a> {
    /// A finish without detail.
    #[must_use]
    pub fn new(reason: FinishReason) -> Self {
        Finish { reason, ..Finish::default() }
    }

    /// Detaches the finish from its document.
    #[must_use]
    pub fn into_owned(self) -> Finish<'static> {
        Finish {
            reason: self.reason,
            stop_sequence: self.stop_sequence.map(Str::into_owned),
            category: self.category.map(Str::into_owned),
            explanation: self.explanation.map(Str::into_owned),
        }
    }
}

/// The reasons to end, as in 2.14.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are those of the table in 2.14")]
pub enum FinishReason {
    #[default]
    Stop,
    StopSequence,
    Length,
    ContextWindow,
    ToolCalls,
    Refusal,
    ContentFilter,
    Pause,
    Malformed,
    Other,
}

impl FinishReason {
    /// Whether a limit cut the answer off, so that its last part may be half of one.
    pub(in crate::protocol) fn is_cut(self) -> bool {
        matches!(self, FinishReason::Length | FinishReason::ContextWindow)
    }
}

/// A source that the text rests on.
#[derive(Clone, Debug)]
pub struct Citation<'a> {
    /// Address of the source.
    pub url: Str<'a>,
    /// Its title.
    pub title: Option<Str<'a>>,
    /// The words that rest on it.
    pub cited_text: Option<Str<'a>>,
    /// Where these words stand in their part: first and last-plus-one character (Unicode scalars).
    pub range: Option<(u64, u64)>,
}

impl<'a> Citation<'a> {
    /// Reads an annotation in the shape of OpenAI's protocols; only one with an address says something to others.
    pub(in crate::protocol) fn read(reader: &mut Reader<'a>) -> Result<Option<Self>, Error> {
        let (mut url, mut title, mut start, mut end) = (None, None, None, None);
        reader.lenient_object(|key, value| {
            match key {
                "url" => url = value.lenient_string()?,
                "title" => title = value.lenient_string()?,
                "start_index" => start = value.lenient_u64()?,
                "end_index" => end = value.lenient_u64()?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(url.map(|url| Citation { url, title, cited_text: None, range: start.zip(end) }))
    }

    /// Detaches the citation from its document.
    #[must_use]
    pub fn into_owned(self) -> Citation<'static> {
        Citation {
            url: self.url.into_owned(),
            title: self.title.map(Str::into_owned),
            cited_text: self.cited_text.map(Str::into_owned),
            range: self.range,
        }
    }
}

impl<'a> Response<'a> {
    /// Plays a whole answer as a stream, one delta per part (4: `replay`).
    pub fn replay(&self, mut sink: impl FnMut(Event<'_>)) {
        sink(Event::Start { id: self.id.borrowed(), model: self.model.borrowed(), created: self.created });
        for (choice, body) in (0u32..).zip(&self.choices) {
            for (part, item) in (0u32..).zip(&body.parts) {
                let tokens = body.logprobs.iter().filter(|(at, _)| *at == part as usize);
                let logprobs = tokens.map(|(_, token)| token.clone()).collect();
                replay_part(choice, part, item, logprobs, &mut sink);
                for (_, citation) in body.citations.iter().filter(|(at, _)| *at == part as usize) {
                    sink(Event::Delta { choice, part, delta: Delta::Citation(citation.clone()) });
                }
                if let Some(opaque) = &item.opaque {
                    sink(Event::PartMeta { choice, part, meta: PartMeta { opaque: opaque.clone() } });
                }
                let complete = !body.finish.reason.is_cut() || part as usize + 1 < body.parts.len();
                sink(Event::PartEnd { choice, part, complete });
            }
        }
        if !self.usage.is_empty() {
            sink(Event::Usage(self.usage));
        }
        for (choice, body) in (0u32..).zip(&self.choices) {
            sink(Event::Finish { choice, finish: body.finish.clone() });
        }
        sink(Event::End);
    }
}

fn replay_part(
    choice: u32,
    part: u32,
    item: &Part<'_>,
    logprobs: Vec<TokenLogprob<'_>>,
    sink: &mut impl FnMut(Event<'_>),
) {
    let (header, delta) = match &item.kind {
        PartKind::Text { text } => (PartHeader::Text, Delta::Text(text.borrowed())),
        PartKind::Refusal { text } => (PartHeader::Refusal, Delta::Text(text.borrowed())),
        PartKind::Reasoning { redacted: true, .. } => (PartHeader::Redacted, Delta::Text(Str::EMPTY)),
        PartKind::Reasoning { text, .. } => (PartHeader::Reasoning, Delta::Text(text.borrowed())),
        PartKind::ToolCall { id, name, arguments, custom } => (
            PartHeader::ToolCall { id: id.borrowed(), name: name.borrowed(), custom: *custom },
            Delta::Arguments(Str::escape(arguments.as_ref())),
        ),
        PartKind::Media(Media { mime, source: MediaSource::Inline(data), .. }) => {
            (PartHeader::Media { mime: mime.borrowed() }, Delta::Media(data.borrowed()))
        }
        PartKind::WebSearchCall(call) => (PartHeader::WebSearchCall(call.clone()), Delta::Text(Str::EMPTY)),
        PartKind::Opaque { protocol, raw, .. } => {
            (PartHeader::Opaque { protocol: *protocol, raw: raw.borrowed() }, Delta::Text(Str::EMPTY))
        }
        // Answers hold no tool results and no media by reference.
        PartKind::Media(_) | PartKind::ToolResult { .. } => (PartHeader::Text, Delta::Text(Str::EMPTY)),
    };
    sink(Event::PartStart { choice, part, header });
    if !logprobs.is_empty() {
        sink(Event::Delta { choice, part, delta: Delta::Logprobs(logprobs) });
    }
    if !delta.is_empty() {
        sink(Event::Delta { choice, part, delta });
    }
}

/// Folds a stream into a whole answer (4: `collect`). Bounded by the upstream's own answer limit and
/// by the caller's limit on the bytes it feeds.
#[derive(Debug, Default)]
pub struct Collector {
    response: Response<'static>,
    error: Option<ErrorView>,
    ended: bool,
}

impl Collector {
    /// Takes one event.
    pub fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start { id, model, created } => {
                self.response.id = id.into_owned();
                self.response.model = model.into_owned();
                self.response.created = created;
            }
            Event::PartStart { choice, header, .. } => {
                let part = Part::new(part_of(header));
                self.choice(choice).parts.push(part);
            }
            Event::Delta { choice, delta, .. } => {
                let choice = self.choice(choice);
                let last = choice.parts.len().saturating_sub(1);
                match (delta, choice.parts.last_mut().map(|p| &mut p.kind)) {
                    (Delta::Citation(citation), Some(_)) => {
                        choice.citations.push((last, citation.into_owned()));
                    }
                    (Delta::Logprobs(tokens), Some(_)) => {
                        let tokens = tokens.into_iter().map(|token| (last, token.into_owned()));
                        choice.logprobs.extend(tokens);
                    }
                    (
                        Delta::Text(more),
                        Some(
                            PartKind::Text { text }
                            | PartKind::Refusal { text }
                            | PartKind::Reasoning { text, .. },
                        ),
                    ) => text.push(&more),
                    (Delta::Arguments(more), Some(PartKind::ToolCall { arguments, .. })) => {
                        arguments.to_mut().push_str(&more.decode());
                    }
                    (
                        Delta::Media(more),
                        Some(PartKind::Media(Media { source: MediaSource::Inline(data), .. })),
                    ) => {
                        data.push(&more);
                    }
                    _ => {}
                }
            }
            Event::PartMeta { choice, meta, .. } => {
                if let Some(part) = self.choice(choice).parts.last_mut() {
                    part.opaque = Some(meta.opaque.into_owned());
                }
            }
            Event::Usage(usage) => self.response.usage.merge(&usage),
            Event::Finish { choice, finish } => self.choice(choice).finish = finish.into_owned(),
            Event::End => self.ended = true,
            Event::Error(error) => self.error = Some(error),
            Event::PartEnd { .. } | Event::Ping => {}
        }
    }

    fn choice(&mut self, index: u32) -> &mut Choice<'static> {
        // Decoders number choices densely; a cap keeps a hostile index from growing the list.
        let index = (index as usize).min(self.response.choices.len()).min(127);
        if index == self.response.choices.len() {
            self.response.choices.push(Choice::default());
        }
        &mut self.response.choices[index]
    }

    /// The whole answer.
    ///
    /// # Errors
    ///
    /// If the stream reported an error or never ended.
    pub fn finish(self) -> Result<Response<'static>, ErrorView> {
        match self.error {
            Some(error) => Err(error),
            None if self.ended => Ok(self.response),
            None => Err(ErrorView::new(FaultKind::BadUpstream, "the upstream's stream ended too early")),
        }
    }
}

fn part_of(header: PartHeader<'_>) -> PartKind<'static> {
    match header {
        PartHeader::Text => PartKind::Text { text: Str::EMPTY },
        PartHeader::Refusal => PartKind::Refusal { text: Str::EMPTY },
        PartHeader::Reasoning => PartKind::Reasoning { text: Str::EMPTY, redacted: false },
        PartHeader::Redacted => PartKind::Reasoning { text: Str::EMPTY, redacted: true },
        PartHeader::ToolCall { id, name, custom } => PartKind::ToolCall {
            id: id.into_owned(),
            name: name.into_owned(),
            arguments: Cow::Borrowed(""),
            custom,
        },
        PartHeader::Media { mime } => PartKind::Media(Media {
            kind: MediaKind::Image,
            mime: mime.into_owned(),
            source: MediaSource::Inline(Str::EMPTY),
            name: None,
            context: None,
            detail: None,
            citations: false,
            offset: None,
        }),
        PartHeader::WebSearchCall(call) => PartKind::WebSearchCall(Box::new(call.into_owned())),
        PartHeader::Opaque { protocol, raw } => {
            PartKind::Opaque { protocol, tag: Str::EMPTY, raw: raw.into_owned() }
        }
    }
}
