//! What native events mean to those who only watch (3.3, T021).

use super::error::Body as ErrorBody;
use super::keys::{camel, each};
use super::plain;
use super::usage::Counts;
use crate::protocol::canonical::ErrorView;
use crate::protocol::json::{Error, Kind, Reader};
use crate::protocol::{Lengths, Observation, Signal, sse};

/// What one event means.
pub(crate) fn event(event: &sse::Event<'_>, state: &mut Observation) -> Signal {
    if event.is_done() {
        return Signal::Quiet;
    }
    let Ok(text) = std::str::from_utf8(&event.data) else { return Signal::Quiet };
    if let Some(chunk) = plain::read(text) {
        if let Some(counts) = chunk.counts {
            counts.absorb(&mut state.usage);
        }
        state.said.add(chunk.text.as_escaped().as_bytes());
        return if chunk.text.is_empty() { Signal::Quiet } else { Signal::Content };
    }
    let mut seen = Seen { said: state.said, ..Seen::default() };
    let read = each(&mut Reader::new(text), |chunk| seen.chunk(chunk));
    if let Some(error) = seen.error {
        return Signal::Error(error);
    }
    seen.counts.absorb(&mut state.usage);
    state.may_end |= seen.is_finished;
    state.said = seen.said;
    // A chunk that cannot be read is the client's to judge, as it is relayed as it stands.
    match read.is_ok() && (seen.has_content || seen.is_finished) {
        true => Signal::Content,
        false => Signal::Quiet,
    }
}

#[derive(Default)]
struct Seen {
    said: Lengths,
    counts: Counts,
    has_content: bool,
    is_finished: bool,
    error: Option<ErrorView>,
}

impl Seen {
    fn chunk(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.object(|key, value| {
            match &*camel(key) {
                "candidates" => value.lenient_array(|candidate| self.candidate(candidate))?,
                "usageMetadata" => self.counts = Counts::read(value)?,
                "promptFeedback" => value.lenient_object(|key, value| {
                    if camel(key) == "blockReason" && value.peek()? == Kind::String {
                        self.is_finished = true;
                    }
                    Ok::<_, Error>(())
                })?,
                "error" => self.error = Some(ErrorBody::read(value)?.view(200)),
                _ => {}
            }
            Ok(())
        })
    }

    fn candidate(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.lenient_object(|key, value| {
            match &*camel(key) {
                "content" => value.lenient_object(|key, value| match key {
                    "parts" => value.lenient_array(|part| self.part(part)),
                    _ => Ok::<_, Error>(()),
                })?,
                "finishReason" => self.is_finished |= value.peek()? == Kind::String,
                _ => {}
            }
            Ok(())
        })
    }

    /// Anything but empty text is content.
    fn part(&mut self, reader: &mut Reader<'_>) -> Result<(), Error> {
        reader.lenient_object(|key, value| {
            self.has_content |= match key {
                "text" => {
                    let text = value.lenient_string()?.unwrap_or_default();
                    self.said.add(text.as_escaped().as_bytes());
                    !text.is_empty()
                }
                "thought" => false,
                "functionCall" | "function_call" => {
                    self.said.add_call();
                    self.said.add(value.raw()?.as_str().as_bytes());
                    true
                }
                _ => true,
            };
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests;
