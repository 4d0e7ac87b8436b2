//! Whole answers.

use super::item::{self, Item};
use super::stream::Encoder;
use super::{error, usage};
use crate::protocol::canonical::{
    Choice, ErrorView, Exchange, FaultKind, Finish, FinishReason, PartKind, Response, Usage,
};
use crate::protocol::json::{Error, Reader, Str};

#[cfg(test)]
mod tests;

/// The members of a response object that matter to others.
#[derive(Debug, Default)]
pub(super) struct Members<'a> {
    pub(super) id: Str<'a>,
    pub(super) model: Str<'a>,
    pub(super) created: Option<u64>,
    pub(super) status: Str<'a>,
    pub(super) usage: Usage,
    pub(super) output: Option<Reader<'a>>,
    incomplete: Str<'a>,
    error: error::Members,
}

impl<'a> Members<'a> {
    /// Reads a response object.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut m = Members::default();
        reader.lenient_object(|key, value| m.member(key, value))?;
        Ok(m)
    }

    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "id" => self.id = value.lenient_string()?.unwrap_or_default(),
            "model" => self.model = value.lenient_string()?.unwrap_or_default(),
            "created_at" => self.created = value.lenient_u64()?,
            "status" => self.status = value.lenient_string()?.unwrap_or_default(),
            "usage" => self.usage = usage::read(value)?,
            "output" => self.output = Some(value.clone()),
            "error" => self.error.read(value)?,
            "incomplete_details" => value.lenient_object(|key, value| {
                if key == "reason" {
                    self.incomplete = value.lenient_string()?.unwrap_or_default();
                }
                Ok::<_, Error>(())
            })?,
            _ => {}
        }
        Ok(())
    }

    /// The name of a final event says how it ended, also where the object does not.
    pub(super) fn settle_status(&mut self, event: &str) {
        if let Some(status) = event.strip_prefix("response.") {
            self.status = Str::escape(status.to_owned());
        }
    }

    /// The error that the object reports, if it does. A finished answer carries `error: null`.
    pub(super) fn failure(&mut self) -> Option<ErrorView> {
        let status = self.status.decode();
        let said = std::mem::take(&mut self.error);
        match &*status {
            "cancelled" => Some(ErrorView::new(FaultKind::Cancelled, "the response was cancelled")),
            "queued" | "in_progress" => {
                Some(ErrorView::new(FaultKind::BadUpstream, "the upstream answered before it was done"))
            }
            "failed" if said.is_empty() => {
                Some(ErrorView::new(FaultKind::BadUpstream, "the upstream's response failed"))
            }
            _ if said.is_empty() => None,
            _ => Some(said.view(200)),
        }
    }

    /// Why the answer ended (section 2.14).
    pub(super) fn finish(&self, seen: Seen) -> Finish<'static> {
        Finish::new(match &*self.incomplete.decode() {
            _ if self.status != "incomplete" => seen.reason(),
            "max_output_tokens" => FinishReason::Length,
            "content_filter" => FinishReason::ContentFilter,
            _ => FinishReason::Other,
        })
    }
}

/// What an answer held, as far as its finish depends on it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Seen {
    pub(super) call: bool,
    pub(super) refusal: bool,
}

impl Seen {
    /// Notes an item.
    pub(super) fn item(&mut self, item: &Item<'_>) {
        self.call |= item::is_client_call(&item.kind.decode());
        self.refusal |=
            item.parts.iter().any(|p| matches!(&p.part.kind, PartKind::Refusal { text } if !text.is_empty()));
    }

    fn reason(self) -> FinishReason {
        match self {
            Seen { call: true, .. } => FinishReason::ToolCalls,
            Seen { refusal: true, .. } => FinishReason::Refusal,
            _ => FinishReason::Stop,
        }
    }
}

/// What to say of an answer that cannot be read.
pub(super) fn unreadable(error: Error) -> ErrorView {
    ErrorView::new(FaultKind::BadUpstream, format!("the upstream's answer cannot be read: {error}"))
}

/// Reads an upstream's whole answer.
pub(crate) fn decode(body: &str) -> Result<Response<'_>, ErrorView> {
    let mut reader = Reader::new(body);
    let mut members = Members::read(&mut reader).map_err(unreadable)?;
    reader.end().map_err(unreadable)?;
    if let Some(failure) = members.failure() {
        return Err(failure);
    }
    let Some(output) = members.output.take() else {
        return Err(ErrorView::new(FaultKind::BadUpstream, "the upstream's answer has no output"));
    };
    let (mut choice, seen) = read_output(output).map_err(unreadable)?;
    choice.finish = members.finish(seen);
    Ok(Response {
        id: members.id,
        model: members.model,
        created: members.created,
        choices: vec![choice],
        usage: members.usage,
    })
}

fn read_output<'a>(mut output: Reader<'a>) -> Result<(Choice<'a>, Seen), Error> {
    let mut choice = Choice::default();
    let mut seen = Seen::default();
    output.lenient_array(|value| {
        let item = item::read(value)?;
        seen.item(&item);
        for part in item.parts {
            let is_empty = matches!(
                &part.part.kind,
                PartKind::Text { text } | PartKind::Refusal { text } if text.is_empty()
            );
            if !is_empty {
                let at = choice.parts.len();
                choice.citations.extend(part.citations.into_iter().map(|citation| (at, citation)));
                choice.logprobs.extend(part.logprobs.into_iter().map(|token| (at, token)));
                choice.parts.push(part.part);
            }
        }
        Ok::<_, Error>(())
    })?;
    Ok((choice, seen))
}

/// Appends a whole answer for a client: what its stream would have ended with.
pub(crate) fn encode(
    response: &Response<'_>,
    exchange: &Exchange,
    out: &mut Vec<u8>,
) -> Result<(), ErrorView> {
    if response.choices.first().is_some_and(|choice| choice.finish.reason == FinishReason::Malformed) {
        return Err(ErrorView::new(FaultKind::BadUpstream, "the model made a malformed tool call"));
    }
    let mut encoder = Encoder::silent(exchange);
    let mut events = Vec::new();
    response.replay(|event| encoder.event(&event, &mut events));
    encoder.write_response(out);
    Ok(())
}
