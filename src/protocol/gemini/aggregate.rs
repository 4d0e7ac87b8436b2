//! Folds a native stream into the native whole answer (section 4), unknown fields included.

use super::error::Body as ErrorBody;
use super::keys::{camel, each};
use crate::protocol::canonical::{ErrorView, FaultKind};
use crate::protocol::json::{Error, Lists, Object, Reader, Str, Writer};
use crate::protocol::sse;

/// The fold so far.
#[derive(Debug, Default)]
pub(crate) struct Aggregator {
    /// Every top-level member but the candidates.
    members: Object,
    usage: Object,
    candidates: Vec<Candidate>,
    is_blocked: bool,
}

#[derive(Debug, Default)]
struct Candidate {
    index: u64,
    members: Object,
    /// Members of the content, but its parts.
    content: Object,
    parts: Vec<Part>,
    /// `logprobsResult` comes in pieces, as its text does.
    logprobs: Lists,
    is_finished: bool,
}

#[derive(Debug)]
enum Part {
    /// Nothing but text of one kind: more of it may follow.
    Text {
        text: Str<'static>,
        thought: bool,
    },
    Whole(String),
}

impl Aggregator {
    pub(crate) fn event(&mut self, event: &sse::Event<'_>) -> Result<(), ErrorView> {
        if event.is_done() {
            return Ok(());
        }
        let mut error = None;
        let read = Reader::from_bytes(&event.data).and_then(|mut reader| {
            each(&mut reader, |chunk| self.chunk(chunk, &mut error))?;
            reader.end()
        });
        match (error, read) {
            (Some(error), _) => Err(error),
            (None, Ok(())) => Ok(()),
            (None, Err(_)) => Err(ErrorView::new(
                FaultKind::BadUpstream,
                "the upstream sent a chunk that is no JSON object",
            )),
        }
    }

    fn chunk(&mut self, reader: &mut Reader<'_>, error: &mut Option<ErrorView>) -> Result<(), Error> {
        reader.object(|key, value| {
            match &*camel(key) {
                "error" => *error = Some(ErrorBody::read(value)?.view(200)),
                "candidates" => value.lenient_array(|candidate| self.candidate(candidate))?,
                // A later snapshot may lack what an earlier one had (T157).
                "usageMetadata" => {
                    let raw = value.raw()?;
                    if let Ok(later) = Object::parse(raw.as_str()) {
                        self.usage.merge(&later);
                    }
                    self.members.set("usageMetadata", self.usage.to_json());
                }
                "promptFeedback" => {
                    let raw = value.raw()?;
                    self.is_blocked |= Object::parse(raw.as_str())
                        .is_ok_and(|feedback| feedback.get("blockReason").is_some());
                    if self.members.get(key).is_none() {
                        self.members.set(key, raw.as_str());
                    }
                }
                _ => self.members.set(key, value.raw()?.as_str()),
            }
            Ok(())
        })
    }

    fn candidate(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let mut index = 0;
        reader.clone().lenient_object(|key, value| {
            if key == "index" {
                index = value.lenient_u64()?.unwrap_or(0);
            }
            Ok::<_, Error>(())
        })?;
        let at = self.candidates.iter().position(|c| c.index == index).unwrap_or_else(|| {
            // A hostile upstream shares the last one.
            if self.candidates.len() < 128 {
                self.candidates.push(Candidate { index, ..Candidate::default() });
            }
            self.candidates.len() - 1
        });
        let Some(candidate) = self.candidates.get_mut(at) else { return Ok(()) };
        reader.lenient_object(|key, value| {
            if key == "content" {
                return candidate.content(value);
            }
            if camel(key) == "logprobsResult" {
                return value.lenient_object(|key, value| candidate.logprobs.extend(&camel(key), value));
            }
            let raw = value.raw()?;
            // The last one that says something counts (T048).
            if !raw.is_null() {
                candidate.is_finished |= camel(key) == "finishReason";
                candidate.members.set(key, raw.as_str());
            }
            Ok(())
        })
    }

    pub(crate) fn finish(self) -> Result<Vec<u8>, ErrorView> {
        let is_complete = match self.candidates.as_slice() {
            [] => self.is_blocked,
            candidates => candidates.iter().all(|candidate| candidate.is_finished),
        };
        if !is_complete {
            return Err(ErrorView::new(FaultKind::BadUpstream, "the upstream's stream ended too early"));
        }
        let mut out = Vec::new();
        let mut w = Writer::new(&mut out);
        w.begin_object();
        if !self.candidates.is_empty() {
            w.key("candidates").begin_array();
            self.candidates.iter().for_each(|candidate| candidate.write(&mut w));
            w.end_array();
        }
        for (key, value) in self.members.iter() {
            w.key_str(&Str::escape(key)).raw(&value);
        }
        w.end_object();
        Ok(out)
    }
}

impl Candidate {
    fn content(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.lenient_object(|key, value| {
            if key == "parts" {
                return each(value, |part| self.part(part));
            }
            self.content.set(key, value.raw()?.as_str());
            Ok(())
        })
    }

    fn part(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        let raw = reader.raw()?;
        let (mut text, mut thought, mut is_plain) = (None, false, true);
        Reader::new(raw.as_str()).lenient_object(|key, value| {
            match key {
                "text" => text = value.lenient_string()?,
                "thought" => thought = value.boolean_or_null()?.unwrap_or(false),
                _ => is_plain = false,
            }
            Ok::<_, Error>(())
        })?;
        match (text.filter(|_| is_plain), self.parts.last_mut()) {
            (Some(more), Some(Part::Text { text, thought: kind })) if *kind == thought => text.push(&more),
            (Some(text), _) => self.parts.push(Part::Text { text: text.into_owned(), thought }),
            (None, _) => self.parts.push(Part::Whole(raw.as_str().to_owned())),
        }
        Ok(())
    }

    fn write(&self, w: &mut Writer<'_>) {
        w.begin_object();
        if !self.parts.is_empty() || !self.content.is_empty() {
            w.key("content").begin_object();
            if !self.parts.is_empty() {
                w.key("parts").begin_array();
                self.parts.iter().for_each(|part| part.write(w));
                w.end_array();
            }
            for (key, value) in self.content.iter() {
                w.key_str(&Str::escape(key)).raw(&value);
            }
            w.end_object();
        }
        for (key, value) in self.members.iter() {
            w.key_str(&Str::escape(key)).raw(&value);
        }
        if !self.logprobs.is_empty() {
            let mut logprobs = Object::default();
            self.logprobs.set_in(&mut logprobs);
            w.key("logprobsResult");
            logprobs.write(w);
        }
        w.end_object();
    }
}

impl Part {
    fn write(&self, w: &mut Writer<'_>) {
        match self {
            Part::Text { text, thought } => super::answer::write_text(text, *thought, None, w),
            Part::Whole(json) => {
                w.json(json);
            }
        }
    }
}

#[cfg(test)]
mod tests;
