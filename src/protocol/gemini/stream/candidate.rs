//! What one candidate of a stream has said so far.

use super::super::{finish, logprobs, signature};
use super::grounding::{Metadata, Offsets};
use super::partial::PartialArgs;
use crate::protocol::canonical::{Delta, Event, Finish, PartHeader, PartMeta, Sequencer, TokenLogprob};
use crate::protocol::json::{Error, Reader, Str};

/// What one candidate has said so far.
#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) index: u32,
    pub(super) next_key: u32,
    pub(super) open: Option<Open>,
    pub(super) called: bool,
    pub(super) reason: Option<Str<'static>>,
    pub(super) message: Option<Str<'static>>,
    pub(super) partial: Option<Partial>,
    pub(super) grounding: Metadata,
    /// Whether the searches have been told.
    pub(super) searched: bool,
    pub(super) offsets: Offsets,
}

/// The text part that further text may belong to.
#[derive(Clone, Copy, Debug)]
pub(super) struct Open {
    pub(super) key: u32,
    pub(super) thought: bool,
    /// Signed text takes no more.
    pub(super) sealed: bool,
    /// Characters of visible text before it.
    pub(super) base: u64,
}

/// A call whose arguments come in pieces.
#[derive(Debug)]
pub(super) struct Partial {
    pub(super) id: Option<Str<'static>>,
    pub(super) name: Str<'static>,
    pub(super) signature: Option<Str<'static>>,
    pub(super) args: PartialArgs,
}

impl Candidate {
    pub(super) fn new(index: u32) -> Self {
        Candidate {
            index,
            next_key: 0,
            open: None,
            called: false,
            reason: None,
            message: None,
            partial: None,
            grounding: Metadata::default(),
            searched: false,
            offsets: Offsets::default(),
        }
    }

    pub(super) fn key(&mut self) -> u32 {
        self.next_key += 1;
        self.next_key
    }
}

/// Whether every `"index"` in the document is 0, so that none has to be looked up. The word in a text
/// has its quotes escaped and is not met here.
pub(super) fn has_one_choice(text: &str) -> bool {
    memchr::memmem::find_iter(text.as_bytes(), b"\"index\"").all(|at| {
        let rest = text.as_bytes().get(at + 7..).unwrap_or_default().trim_ascii_start();
        let value = rest.strip_prefix(b":").unwrap_or_default().trim_ascii_start();
        matches!(value, [b'0', b',' | b'}' | b' ' | b'\n' | b'\r' | b'\t', ..])
    })
}

/// Members of a candidate that may stand after its content.
#[derive(Default)]
pub(super) struct Ahead<'a> {
    pub(super) index: u32,
    pub(super) logprobs: Vec<TokenLogprob<'a>>,
    pub(super) grounding: Metadata,
}

impl<'a> Ahead<'a> {
    pub(super) fn look(reader: &Reader<'a>) -> Result<Self, Error> {
        let mut ahead = Ahead::default();
        reader.clone().lenient_object(|key, value| {
            match key {
                "index" => {
                    let index = value.lenient_u64()?.and_then(|index| u32::try_from(index).ok());
                    ahead.index = index.unwrap_or(0);
                }
                "logprobsResult" | "logprobs_result" => ahead.logprobs = logprobs::read(value)?,
                "groundingMetadata" | "grounding_metadata" => ahead.grounding = Metadata::read(value)?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(ahead)
    }
}

/// Whether the document holds probabilities of tokens. A text that speaks of them does no harm.
pub(super) fn has_logprobs(text: &str) -> bool {
    memchr::memmem::find_iter(text.as_bytes(), b"ogprobs").any(|at| {
        let rest = text.as_bytes().get(at + 7..).unwrap_or_default();
        // Not `avgLogprobs`, which comes unasked.
        matches!(rest, [b'R' | b'_', ..])
    })
}

/// Whether the document tells of searches. A text that speaks of them does no harm.
pub(super) fn has_searches(text: &str) -> bool {
    let find = |key: &str| memchr::memmem::find(text.as_bytes(), key.as_bytes()).is_some();
    find("webSearchQueries") || find("web_search_queries")
}

pub(super) fn finish_of(candidate: &mut Candidate) -> Finish<'static> {
    let stop = Str::from_escaped("STOP");
    let reason = candidate.reason.as_ref().unwrap_or(&stop);
    finish::decode(reason, candidate.message.take(), candidate.called)
}

/// State of a part.
pub(super) fn sign(sequencer: &mut Sequencer<u32>, choice: u32, key: u32, signature: Option<Str<'_>>) {
    if let Some(value) = signature {
        sequencer.meta(choice, &key, PartMeta { opaque: signature::native(value) });
    }
}

/// Ends the open text part.
pub(super) fn close(
    sequencer: &mut Sequencer<u32>,
    candidate: &mut Candidate,
    sink: &mut impl FnMut(Event<'_>),
) {
    if let Some(open) = candidate.open.take() {
        sequencer.end(candidate.index, &open.key, true, sink);
    }
}

/// Names the sources on the last text part.
pub(super) fn cite(sequencer: &mut Sequencer<u32>, candidate: &Candidate, sink: &mut impl FnMut(Event<'_>)) {
    let Some(open) = candidate.open.filter(|open| !open.thought) else { return };
    for citation in candidate.grounding.citations(&candidate.offsets, open.base) {
        sequencer.delta(candidate.index, &open.key, Delta::Citation(citation), sink);
    }
}

/// Tells the searches, as a part of its own after what is open; once.
pub(super) fn search(
    sequencer: &mut Sequencer<u32>,
    candidate: &mut Candidate,
    complete: bool,
    sink: &mut impl FnMut(Event<'_>),
) {
    let Some(call) = candidate.grounding.search().filter(|_| !candidate.searched) else { return };
    candidate.searched = true;
    if let Some(open) = candidate.open.take() {
        sequencer.end(candidate.index, &open.key, complete, sink);
    }
    let key = candidate.key();
    sequencer.start(candidate.index, key, PartHeader::WebSearchCall(Box::new(call)), sink);
    sequencer.end(candidate.index, &key, true, sink);
}
