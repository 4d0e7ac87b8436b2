//! State that only its issuer can read, in the slots of an Anthropic client (section 1.8).
//!
//! Anthropic's own signatures pass as they are; others travel in the envelope. Gemini binds
//! signatures to calls and to visible text as well: those ride in an empty thinking block whose
//! envelope names what it belongs to.

use std::collections::HashSet;

use crate::protocol::Protocol;
use crate::protocol::canonical::envelope::TEXT;
use crate::protocol::canonical::{Opaque, OpaqueKind, Provider, derived_id, envelope};
use crate::protocol::json::Str;

/// The `signature` of a thinking block; `None` if the block has none.
pub(super) fn signature(
    opaque: Option<&Opaque<'_>>,
    text: &Str<'_>,
    upstream: Protocol,
) -> Option<Str<'static>> {
    match opaque {
        Some(opaque) if opaque.provider == Provider::Anthropic => Some(opaque.value.clone().into_owned()),
        Some(opaque) => Some(envelope::seal(opaque, text)),
        None if upstream == Protocol::Anthropic => None,
        // Reasoning without state is marked as ours, so that it can be told from a client's own.
        None => Some(envelope::seal(&Opaque::NOTHING, text)),
    }
}

/// The envelope of a signature that belongs to the call `id`.
pub(super) fn bind_call(opaque: &Opaque<'_>, id: &Str<'_>) -> Str<'static> {
    envelope::seal(&Opaque { item_id: Some(id.clone().into_owned()), ..opaque.clone() }, &Str::EMPTY)
}

/// The envelope of a signature that belongs to the visible `text`.
pub(super) fn bind_text(opaque: &Opaque<'_>, text: &Str<'_>) -> Str<'static> {
    envelope::seal(&Opaque { item_id: Some(Str::from(TEXT)), ..opaque.clone() }, text)
}

/// The ids of one answer's calls: the upstream's, unless clients could not use them (section 1.9).
#[derive(Debug)]
pub(super) struct CallIds {
    seed: u64,
    seen: HashSet<String>,
    count: usize,
}

impl CallIds {
    /// No calls yet.
    pub(super) fn new(seed: u64) -> Self {
        CallIds { seed, seen: HashSet::new(), count: 0 }
    }

    /// The id to show for the next call. Agents merge calls that share one (T092).
    pub(super) fn next(&mut self, id: &Str<'_>) -> Str<'static> {
        let plain = id.decode();
        let usable = |c: char| c.is_ascii_alphanumeric() || "_.:|-".contains(c);
        self.count += 1;
        if !plain.is_empty()
            && plain.len() <= 256
            && plain.chars().all(usable)
            && self.seen.insert(plain.to_string())
        {
            return id.clone().into_owned();
        }
        self.made("call_", &plain)
    }

    /// The id to show for the next search of the web: clients and Anthropic know such ids by their beginning.
    pub(super) fn search(&mut self, id: &Str<'_>) -> Str<'static> {
        let plain = id.decode();
        let usable = |c: char| c.is_ascii_alphanumeric() || c == '_';
        self.count += 1;
        if plain.starts_with("srvtoolu_")
            && plain.len() <= 256
            && plain.chars().all(usable)
            && self.seen.insert(plain.to_string())
        {
            return id.clone().into_owned();
        }
        self.made("srvtoolu_", &plain)
    }

    fn made(&self, prefix: &str, plain: &str) -> Str<'static> {
        Str::from(derived_id(prefix, format!("{}/{}/{plain}", self.seed, self.count).as_bytes()))
    }
}

/// What a client sent back in a `signature` or in `data`.
#[derive(Debug)]
pub(super) enum Returned<'a> {
    /// State of the reasoning part itself.
    Own(Opaque<'a>),
    /// A signature of the call with this id.
    Call(Str<'static>, Opaque<'static>),
    /// A signature of visible text.
    Text(envelope::Opened),
    /// The visible text is not what it was; its state is worthless.
    Mutated,
}

/// Opens what a client sent back beside `text`.
pub(super) fn open<'a>(value: Str<'a>, kind: OpaqueKind, text: &Str<'_>) -> Returned<'a> {
    let Some(opened) = envelope::open(&value) else {
        return Returned::Own(Opaque::new(Provider::Anthropic, kind, value));
    };
    if opened.opaque.provider == Provider::Gemini
        && let Some(owner) = opened.opaque.item_id.clone()
    {
        if owner == TEXT {
            return Returned::Text(opened);
        }
        return Returned::Call(owner, Opaque { item_id: None, ..opened.opaque });
    }
    if opened.matches(text) { Returned::Own(opened.opaque) } else { Returned::Mutated }
}
