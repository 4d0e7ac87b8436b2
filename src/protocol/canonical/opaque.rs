//! State that only its maker can read: signatures, encrypted reasoning (1.8).

use super::ModelFamily;
use crate::protocol::Protocol;
use crate::protocol::json::Str;

/// Who made an opaque value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Nobody: reasoning text without state.
    None,
    /// Anthropic.
    Anthropic,
    /// OpenAI.
    OpenAi,
    /// Google.
    Gemini,
}

impl Provider {
    /// Whether an upstream that speaks this protocol takes back what the provider made.
    pub(crate) fn is_behind(self, upstream: Protocol) -> bool {
        match upstream {
            Protocol::Anthropic => self == Provider::Anthropic,
            Protocol::Responses => self == Provider::OpenAi,
            Protocol::Gemini => self == Provider::Gemini,
            Protocol::OpenAi => matches!(self, Provider::None | Provider::Gemini),
        }
    }
}

/// What an opaque value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpaqueKind {
    /// A signature over visible reasoning.
    Signature,
    /// The data of a redacted block.
    Redacted,
    /// Encrypted reasoning.
    EncryptedContent,
}

/// State that goes back to its issuer bit for bit, or not at all.
#[derive(Clone, Debug)]
pub struct Opaque<'a> {
    /// Who made it.
    pub provider: Provider,
    /// What it is.
    pub kind: OpaqueKind,
    /// The models that read it, as far as they are known.
    pub family: ModelFamily,
    /// The item id that it is bound to (Responses).
    pub item_id: Option<Str<'a>>,
    /// The value as it stood on the wire.
    pub value: Str<'a>,
}

impl<'a> Opaque<'a> {
    /// State as it came from its maker, bound to no item.
    #[must_use]
    pub const fn new(provider: Provider, kind: OpaqueKind, value: Str<'a>) -> Self {
        Opaque { provider, kind, family: ModelFamily::UNKNOWN, item_id: None, value }
    }
}

impl Opaque<'_> {
    /// No state: in an envelope it says that the gateway wrote what it stands on.
    pub(crate) const NOTHING: Opaque<'static> =
        Opaque::new(Provider::None, OpaqueKind::Signature, Str::EMPTY);

    /// Whether there is no state.
    #[must_use]
    pub(crate) fn is_nothing(&self) -> bool {
        self.provider == Provider::None && self.value.is_empty()
    }

    /// Detaches the value from its document.
    #[must_use]
    pub fn into_owned(self) -> Opaque<'static> {
        Opaque {
            provider: self.provider,
            kind: self.kind,
            family: self.family,
            item_id: self.item_id.map(Str::into_owned),
            value: self.value.into_owned(),
        }
    }
}
