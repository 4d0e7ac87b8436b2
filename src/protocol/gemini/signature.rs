//! `thoughtSignature`: the slot for opaque state (1.8, 2.9).
//!
//! Google's own signatures go through bare; state of other providers travels in the envelope.

use crate::protocol::canonical::{Opaque, OpaqueKind, Provider, envelope, media};
use crate::protocol::json::Str;

/// Google's documented escape for calls whose signature is lost (2.9, replay rule 4).
pub(super) const SENTINEL: &str = "skip_thought_signature_validator";

/// A native signature.
pub(super) fn native(value: Str<'_>) -> Opaque<'_> {
    Opaque::new(Provider::Gemini, OpaqueKind::Signature, value)
}

/// What a client's history holds in a signature slot.
#[derive(Debug)]
pub(super) enum Slot<'a> {
    /// State that belongs to its part.
    Bound(Opaque<'a>),
    /// State in an envelope made for another text than the part's.
    Loose(envelope::Opened),
}

/// Reads a signature slot beside `text`; calls have no text to be bound to.
pub(super) fn open<'a>(value: Str<'a>, text: Option<&Str<'_>>) -> Slot<'a> {
    match envelope::open(&value) {
        None => Slot::Bound(native(value)),
        Some(opened) if text.is_none_or(|text| opened.matches(text)) => Slot::Bound(opened.opaque),
        Some(opened) => Slot::Loose(opened),
    }
}

/// The value for a client's signature slot.
pub(super) fn for_client(opaque: &Opaque<'_>, text: &Str<'_>) -> Str<'static> {
    match opaque.provider {
        Provider::Gemini => opaque.value.clone().into_owned(),
        _ => envelope::seal(opaque, text),
    }
}

/// The value for a client's slot on a call. The first call of an answer that another provider gave is marked: should
/// it ever be sent to a model of Google's, that demands a signature there (T100).
pub(super) fn for_call(opaque: Option<&Opaque<'_>>, is_marked: bool) -> Option<Str<'static>> {
    let nothing = Opaque::NOTHING;
    opaque.or(is_marked.then_some(&nothing)).map(|opaque| for_client(opaque, &Str::EMPTY))
}

/// The value for the upstream: only what Google made, in the standard alphabet (T099: the Python SDK
/// sends it back URL-safe).
pub(super) fn for_upstream<'o>(opaque: &'o Opaque<'_>) -> Option<Str<'o>> {
    if opaque.provider != Provider::Gemini {
        return None;
    }
    let value = opaque.value.borrowed();
    Some(if value == SENTINEL { value } else { media::normalise_base64(&value) })
}

/// Whether the state is of use to its issuer without the visible text.
pub(super) fn stands_alone(opaque: &Opaque<'_>) -> bool {
    opaque.provider == Provider::Gemini || opaque.kind != OpaqueKind::Signature
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t099_a_signature_comes_back_whatever_alphabet_the_client_uses() {
        let opaque = native(Str::from("-_8"));
        assert_eq!(for_upstream(&opaque).unwrap(), "+/8=");
        let sentinel = native(Str::from(SENTINEL));
        assert_eq!(for_upstream(&sentinel).unwrap(), SENTINEL);
    }

    #[test]
    fn t100_t101_only_an_unsigned_call_is_marked() {
        let own = native(Str::from("EqQB"));
        assert_eq!(for_call(Some(&own), true).unwrap(), "EqQB");
        assert!(for_call(None, false).is_none());
        let Slot::Bound(mark) = open(for_call(None, true).unwrap(), None) else { panic!("must be bound") };
        assert!(mark.is_nothing());
    }

    #[test]
    fn t104_foreign_state_never_goes_to_google() {
        let foreign = Opaque { provider: Provider::Anthropic, ..native(Str::from("EqQB")) };
        assert!(for_upstream(&foreign).is_none());
        let text = Str::from("because");
        let sealed = for_client(&foreign, &text);
        let Slot::Bound(back) = open(sealed.borrowed(), Some(&text)) else { panic!("must be bound") };
        assert_eq!((back.provider, back.value), (Provider::Anthropic, "EqQB".into()));
        assert!(matches!(open(sealed, Some(&"altered".into())), Slot::Loose(_)));
    }
}
