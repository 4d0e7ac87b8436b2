//! The provenance envelope (1.8): opaque state that travels in a foreign protocol's opaque slot.
//!
//! A signature means something only to its issuer. Wrapped, it says who that is, so that it goes
//! back there bit for bit and to nobody else (T097–T107). The whole is valid standard base64 with
//! padding, because some clients decode and re-encode it (T099).
//!
//! ```text
//! base64( 0xA1 0x9E | version 1 | provider | kind | item id length u16, bytes | text hash 8 B | value | check 4 B )
//! ```

use memchr::memmem;
use sha2::{Digest, Sha256};

use super::media::{decode_base64, encode_base64};
use super::request::{Opaque, OpaqueKind, Provider};
use crate::protocol::json::Str;

const MAGIC: [u8; 3] = [0xa1, 0x9e, 1];

/// What an envelope held.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The state.
    pub opaque: Opaque<'static>,
    /// Hash of the visible text that it belongs to.
    text_hash: [u8; 8],
}

impl Opened {
    /// Whether the visible text is still what it was. If not, the state is worthless.
    #[must_use]
    pub fn matches(&self, text: &Str<'_>) -> bool {
        self.text_hash == hash(text)
    }
}

fn hash(text: &Str<'_>) -> [u8; 8] {
    let digest = Sha256::digest(text.decode().as_bytes());
    let mut short = [0; 8];
    short.copy_from_slice(&digest[..8]);
    short
}

/// Wraps state that belongs to `text`.
#[must_use]
pub fn seal(opaque: &Opaque<'_>, text: &Str<'_>) -> Str<'static> {
    let mut bytes = MAGIC.to_vec();
    bytes.push(match opaque.provider {
        Provider::None => 0,
        Provider::Anthropic => 1,
        Provider::OpenAi => 2,
        Provider::Gemini => 3,
    });
    bytes.push(match opaque.kind {
        OpaqueKind::Signature => 1,
        OpaqueKind::Redacted => 2,
        OpaqueKind::EncryptedContent => 3,
    });
    let item = opaque.item_id.as_ref().map(|id| id.decode().into_owned()).unwrap_or_default();
    let item = item.as_bytes().get(..item.len().min(usize::from(u16::MAX))).unwrap_or_default();
    bytes.extend_from_slice(&(item.len() as u16).to_be_bytes());
    bytes.extend_from_slice(item);
    bytes.extend_from_slice(&hash(text));
    bytes.extend_from_slice(opaque.value.decode().as_bytes());
    let check = Sha256::digest(&bytes);
    bytes.extend_from_slice(&check[..4]);
    Str::from_escaped(encode_base64(&bytes))
}

/// How every envelope starts, whichever alphabet it comes back in: [`MAGIC`] in base64.
const BEGINNING: &str = "oZ4B";

/// Whether some string in a JSON document is an envelope of ours.
#[must_use]
pub fn is_within(document: &[u8]) -> bool {
    memmem::find_iter(document, b"\"oZ4B").any(|at| {
        let text = document.get(at + 1..).unwrap_or_default();
        let end = memchr::memchr(b'"', text).unwrap_or(text.len());
        let text = std::str::from_utf8(text.get(..end).unwrap_or_default());
        text.is_ok_and(|text| open(&Str::from_escaped(text)).is_some())
    })
}

/// Unwraps an envelope; `None` for anything that is not one of ours, whole.
#[must_use]
pub fn open(value: &Str<'_>) -> Option<Opened> {
    let text = value.decode();
    if !text.starts_with(BEGINNING) {
        return None;
    }
    let bytes = decode_base64(&text)?;
    let (body, check) = bytes.split_last_chunk::<4>()?;
    if Sha256::digest(body)[..4] != check[..] {
        return None;
    }
    let rest = body.strip_prefix(&MAGIC)?;
    let (&provider, rest) = rest.split_first()?;
    let (&kind, rest) = rest.split_first()?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (item, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let (text_hash, raw) = rest.split_first_chunk::<8>()?;
    let opaque = Opaque {
        provider: match provider {
            0 => Provider::None,
            1 => Provider::Anthropic,
            2 => Provider::OpenAi,
            3 => Provider::Gemini,
            _ => return None,
        },
        kind: match kind {
            1 => OpaqueKind::Signature,
            2 => OpaqueKind::Redacted,
            3 => OpaqueKind::EncryptedContent,
            _ => return None,
        },
        item_id: (!item.is_empty()).then(|| Str::from(String::from_utf8_lossy(item).into_owned())),
        value: Str::from(String::from_utf8(raw.to_vec()).ok()?),
    };
    Some(Opened { opaque, text_hash: *text_hash })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t099_state_survives_the_trip_in_either_alphabet() {
        let text = Str::from("thinking ü");
        let opaque = Opaque {
            provider: Provider::OpenAi,
            kind: OpaqueKind::EncryptedContent,
            item_id: Some("rs_1".into()),
            value: "gAAAA?>~-_".into(),
        };
        let sealed = seal(&opaque, &text);
        let url_safe = sealed.as_escaped().replace('+', "-").replace('/', "_").replace('=', "");
        for form in [sealed.as_escaped(), &url_safe] {
            let opened = open(&Str::from(form)).unwrap();
            assert_eq!(opened.opaque.value, "gAAAA?>~-_");
            assert_eq!(opened.opaque.item_id.as_ref().unwrap(), &"rs_1");
            assert!(opened.matches(&text));
            assert!(!opened.matches(&"altered".into()));
        }
    }

    #[test]
    fn t104_foreign_values_are_not_ours() {
        for foreign in ["", "EqQBCgIYAhIM", "oZ4B", "oZ4BAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(open(&Str::from(foreign)).is_none());
        }
    }
}
