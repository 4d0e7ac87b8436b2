//! A Chat server's whole answer to the hub.

use std::borrow::Cow;

use crate::protocol::Dialect;
use crate::protocol::canonical::media::parse_data_url;
use crate::protocol::canonical::{
    Choice, Citation, ErrorView, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, PartKind, Provider,
    Response, TokenLogprob,
};
use crate::protocol::json::{self, Error, Kind, Reader, Str};
use crate::protocol::openai::calls::CallIds;
use crate::protocol::openai::finish::{self, Seen};
use crate::protocol::openai::think_tags::{Piece, ThinkTags};
use crate::protocol::openai::{citations, error, reasoning, usage};

/// Reads an answer; an error in disguise is an error.
pub(crate) fn decode<'a>(body: &'a str, dialect: &Dialect, seed: u64) -> Result<Response<'a>, ErrorView> {
    let mut response = Response::default();
    let mut choices: Vec<(u64, ChoiceFields<'a>)> = Vec::new();
    let mut failure = None;
    json::document(body, |key, value| {
        match key {
            "id" => response.id = value.lenient_string()?.unwrap_or_default(),
            "model" => response.model = value.lenient_string()?.unwrap_or_default(),
            "created" => response.created = value.lenient_u64()?,
            "usage" => response.usage = usage::read(value)?,
            "choices" => value.lenient_array(|value| {
                let mut fields = ChoiceFields::default();
                value.lenient_object(|key, value| fields.member(key, value))?;
                choices.push((fields.index, fields));
                Ok::<_, Error>(())
            })?,
            "error" if value.peek()? != Kind::Null => failure = Some(error::read(value)?),
            _ => {}
        }
        Ok::<_, Error>(())
    })
    .map_err(|e| error::unreadable(&e))?;
    if let Some(failure) = failure {
        return Err(failure);
    }
    if choices.is_empty() {
        return Err(error::bad_upstream("the upstream's answer has no choices"));
    }
    choices.sort_by_key(|(index, _)| *index);
    let mut ids = CallIds::new(seed);
    for (_, fields) in choices {
        response.choices.push(fields.choice(ThinkTags::new(dialect.think_tags), &mut ids)?);
    }
    Ok(response)
}

#[derive(Default)]
struct ChoiceFields<'a> {
    index: u64,
    message: MessageFields<'a>,
    finish: Option<Str<'a>>,
    stop_text: Option<Str<'a>>,
    logprobs: Logprobs<'a>,
    failure: Option<ErrorView>,
}

impl<'a> ChoiceFields<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "index" => self.index = value.lenient_u64()?.unwrap_or(0),
            "message" => value.lenient_object(|key, value| self.message.member(key, value))?,
            "finish_reason" => self.finish = value.lenient_string()?,
            // vLLM and SGLang tell which stop text was hit.
            "stop_reason" | "matched_stop" => self.stop_text = value.lenient_string()?,
            "logprobs" if value.peek()? == Kind::Object => self.logprobs = Logprobs::read(value)?,
            "error" if value.peek()? == Kind::Object => self.failure = Some(error::read(value)?),
            _ => {}
        }
        Ok(())
    }

    fn choice(self, mut think_tags: ThinkTags, ids: &mut CallIds) -> Result<Choice<'a>, ErrorView> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if let Some(failure) = self.finish.as_ref().and_then(finish::failure) {
            return Err(failure);
        }
        let seen = Seen { calls: !self.message.calls.is_empty(), refusal: self.message.refusal.is_some() };
        let word = self.finish.as_ref().map(|word| word.decode());
        let finish = finish::finish(word.as_deref(), seen, self.stop_text);
        let Logprobs { content, mut refusal } = self.logprobs;
        let mut content = think_tags.visible(content);
        let (parts, citations) = self.message.parts(&mut think_tags, ids);
        content.extend(think_tags.waiting());
        let mut logprobs = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let tokens = match part.kind {
                PartKind::Text { .. } => std::mem::take(&mut content),
                PartKind::Refusal { .. } => std::mem::take(&mut refusal),
                _ => continue,
            };
            logprobs.extend(tokens.into_iter().map(|token| (at, token)));
        }
        Ok(Choice { parts, citations, logprobs, finish })
    }
}

#[derive(Default)]
struct MessageFields<'a> {
    reasoning: reasoning::Fields<'a>,
    text: Vec<Str<'a>>,
    thinking: Vec<Str<'a>>,
    refusal: Option<Str<'a>>,
    calls: Vec<CallFields<'a>>,
    citations: Vec<Citation<'a>>,
    images: Vec<Media<'a>>,
    signature: Option<Opaque<'a>>,
}

impl<'a> MessageFields<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "content" => self.content(value)?,
            "refusal" => self.refusal = value.lenient_string()?.filter(|text| !text.is_empty()),
            "tool_calls" => value.lenient_array(|value| {
                let mut call = CallFields::default();
                value.lenient_object(|key, value| call.member(key, value))?;
                self.calls.push(call);
                Ok::<_, Error>(())
            })?,
            "function_call" if value.peek()? == Kind::Object => {
                let mut call = CallFields::default();
                value.object(|key, value| call.member(key, value))?;
                self.calls.push(call);
            }
            "annotations" => self.citations = citations::read(value)?,
            "images" => self.images = images(value)?,
            "extra_content" => self.signature = reasoning::google_signature(value)?,
            _ => {
                self.reasoning.member(key, value)?;
            }
        }
        Ok(())
    }

    fn content(&mut self, value: &mut Reader<'a>) -> Result<(), Error> {
        if !reasoning::is_list(value)? {
            self.text = value.lenient_string()?.into_iter().collect();
            return Ok(());
        }
        let (text, thinking) = listed_content(value)?;
        (self.text, self.thinking) = (text, thinking);
        Ok(())
    }

    fn parts(
        self,
        think_tags: &mut ThinkTags,
        ids: &mut CallIds,
    ) -> (Vec<Part<'a>>, Vec<(usize, Citation<'a>)>) {
        let mut parts = Vec::new();
        let thinking = concat(self.thinking);
        let state = self.reasoning.state();
        let mut thought = self.reasoning.text().unwrap_or(thinking);
        let text = split(concat(self.text), think_tags, &mut thought);
        if !thought.is_empty() || state.is_some() {
            let kind = PartKind::Reasoning { text: thought, redacted: false };
            parts.push(Part { kind, cache: None, opaque: Some(state.unwrap_or(OURS)) });
        }
        let at = parts.len();
        let mut cited = Vec::new();
        if !text.is_empty() {
            parts.push(Part { opaque: self.signature, ..Part::text(text) });
            cited.extend(self.citations.into_iter().map(|mut citation| {
                think_tags.place(&mut citation);
                (at, citation)
            }));
        }
        parts.extend(self.refusal.map(|text| Part::new(PartKind::Refusal { text })));
        parts.extend(self.images.into_iter().map(|media| Part::new(PartKind::Media(media))));
        parts.extend(self.calls.into_iter().map(|call| call.part(ids)));
        (parts, cited)
    }
}

/// Marks reasoning without state as made by a Chat server: it may go back to one, and nowhere else
/// (section 1.8, provider 0).
pub(in crate::protocol::openai) const OURS: Opaque<'static> =
    Opaque::new(Provider::None, OpaqueKind::Signature, Str::EMPTY);

fn concat<'a>(texts: Vec<Str<'a>>) -> Str<'a> {
    let mut texts = texts.into_iter();
    let mut all = texts.next().unwrap_or_default();
    texts.for_each(|text| all.push(&text));
    all
}

/// Content as a list: texts, and the thinking that Mistral puts between them.
pub(in crate::protocol::openai) fn listed_content<'a>(
    value: &mut Reader<'a>,
) -> Result<(Vec<Str<'a>>, Vec<Str<'a>>), Error> {
    let (mut texts, mut thinking) = (Vec::new(), Vec::new());
    value.lenient_array(|value| {
        value.lenient_object(|key, value| {
            match key {
                "text" => texts.extend(value.lenient_string()?),
                "thinking" if reasoning::is_list(value)? => {
                    thinking.extend(reasoning::entries(value)?.into_iter().filter_map(|entry| entry.text));
                }
                "thinking" => thinking.extend(value.lenient_string()?),
                _ => {}
            }
            Ok::<_, Error>(())
        })
    })?;
    Ok((texts, thinking))
}

/// The visible text; what the model thought before it, within tags, goes to `thought`.
fn split<'a>(text: Str<'a>, think_tags: &mut ThinkTags, thought: &mut Str<'a>) -> Str<'a> {
    if think_tags.is_over() {
        return text;
    }
    let mut visible = Str::EMPTY;
    let mut pieces = think_tags.push(&text);
    pieces.extend(think_tags.flush());
    for piece in pieces {
        match piece {
            Piece::Reasoning(more) => thought.push(&more),
            Piece::Text(more) => visible.push(&more),
        }
    }
    visible
}

/// `logprobs` of a choice.
#[derive(Debug, Default)]
pub(in crate::protocol::openai) struct Logprobs<'a> {
    /// The tokens of its content.
    pub(in crate::protocol::openai) content: Vec<TokenLogprob<'a>>,
    /// The tokens of its refusal.
    pub(in crate::protocol::openai) refusal: Vec<TokenLogprob<'a>>,
}

impl<'a> Logprobs<'a> {
    pub(in crate::protocol::openai) fn read(value: &mut Reader<'a>) -> Result<Self, Error> {
        let mut logprobs = Logprobs::default();
        value.lenient_object(|key, value| {
            match key {
                "content" => logprobs.content = TokenLogprob::read_list(value)?,
                "refusal" => logprobs.refusal = TokenLogprob::read_list(value)?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(logprobs)
    }

    pub(in crate::protocol::openai) fn is_empty(&self) -> bool {
        self.content.is_empty() && self.refusal.is_empty()
    }

    pub(in crate::protocol::openai) fn into_owned(self) -> Logprobs<'static> {
        let own = |tokens: Vec<TokenLogprob<'_>>| tokens.into_iter().map(TokenLogprob::into_owned).collect();
        Logprobs { content: own(self.content), refusal: own(self.refusal) }
    }
}

/// The `images` extension: pictures as data URLs.
pub(in crate::protocol::openai) fn images<'a>(value: &mut Reader<'a>) -> Result<Vec<Media<'a>>, Error> {
    let mut urls = Vec::new();
    value.lenient_array(|value| {
        value.lenient_object(|key, value| {
            if key == "image_url" {
                value.lenient_object(|key, value| {
                    if key == "url" {
                        urls.extend(value.lenient_string()?);
                    }
                    Ok::<_, Error>(())
                })?;
            }
            Ok::<_, Error>(())
        })
    })?;
    let inline = urls.iter().filter_map(parse_data_url).map(|(mime, data)| Media {
        kind: MediaKind::Image,
        mime: mime.into_owned(),
        source: MediaSource::Inline(data.into_owned()),
        name: None,
        context: None,
        detail: None,
        citations: false,
        offset: None,
    });
    Ok(inline.collect())
}

#[derive(Default)]
struct CallFields<'a> {
    id: Option<Str<'a>>,
    name: Option<Str<'a>>,
    arguments: Option<Cow<'a, str>>,
    custom: bool,
    signature: Option<Opaque<'a>>,
}

impl<'a> CallFields<'a> {
    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "id" => self.id = value.lenient_string()?,
            "name" => self.name = value.lenient_string()?,
            // Some servers send the object itself instead of its text.
            "arguments" if value.peek()? == Kind::Object => {
                self.arguments = Some(value.raw()?.into_text());
            }
            "arguments" | "input" => self.arguments = value.lenient_string()?.map(Str::into_decoded),
            "function" => value.lenient_object(|key, value| self.member(key, value))?,
            "custom" => {
                self.custom = true;
                value.lenient_object(|key, value| self.member(key, value))?;
            }
            "extra_content" => self.signature = reasoning::google_signature(value)?,
            _ => {}
        }
        Ok(())
    }

    fn part(self, ids: &mut CallIds) -> Part<'a> {
        let arguments = match self.arguments {
            Some(text) if self.custom || !text.trim().is_empty() => text,
            None if self.custom => Cow::Borrowed(""),
            // T059
            _ => Cow::Borrowed("{}"),
        };
        let kind = PartKind::ToolCall {
            id: ids.accept(self.id.unwrap_or_default()),
            name: self.name.unwrap_or_default(),
            arguments,
            custom: self.custom,
        };
        Part { kind, cache: None, opaque: self.signature }
    }
}
