//! The provenance envelope (1.8): opaque state that travels in a foreign protocol's opaque slot.
//!
//! A signature means something only to its issuer. Wrapped, it says who that is, so that it goes
//! back there bit for bit and to nobody else (T097–T107). The whole is valid standard base64 with
//! padding, because some clients decode and re-encode it (T099).
//!
//! ```text
//! base64( 0xA1 0x9E | version | provider | kind | family length u8, bytes | item id length u16, bytes
//!       | text hash 8 B | value | check 4 B )
//! ```
//!
//! Version 1, which is still written where the family of models is not known, has none.

use memchr::memmem;
use sha2::{Digest, Sha256};

use super::media::{decode_base64, encode_base64};
use super::{ModelFamily, Opaque, OpaqueKind, Provider};
use crate::protocol::json::Str;

const MAGIC: [u8; 2] = [0xa1, 0x9e];

/// The item that the envelope of a signature on visible text names; no call has such an id.
pub(in crate::protocol) const TEXT: &str = "text:";

/// Versions without and with a family of models.
const WITHOUT_FAMILY: u8 = 1;
const WITH_FAMILY: u8 = 2;

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
    let family = opaque.family.as_str();
    let mut bytes = MAGIC.to_vec();
    bytes.push(if family.is_empty() { WITHOUT_FAMILY } else { WITH_FAMILY });
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
    if !family.is_empty() {
        bytes.push(family.len() as u8);
        bytes.extend_from_slice(family.as_bytes());
    }
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

/// How envelopes start, whichever alphabet they come back in: [`MAGIC`] and the version in base64.
const BEGINNINGS: [&str; 2] = ["oZ4B", "oZ4C"];

/// Whether some string in a JSON document is an envelope of ours.
#[must_use]
pub fn is_within(document: &[u8]) -> bool {
    memmem::find_iter(document, b"\"oZ4").any(|at| {
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
    if !BEGINNINGS.iter().any(|beginning| text.starts_with(beginning)) {
        return None;
    }
    let bytes = decode_base64(&text)?;
    let (body, check) = bytes.split_last_chunk::<4>()?;
    if Sha256::digest(body)[..4] != check[..] {
        return None;
    }
    let rest = body.strip_prefix(&MAGIC)?;
    let (&version, rest) = rest.split_first()?;
    let (&provider, rest) = rest.split_first()?;
    let (&kind, rest) = rest.split_first()?;
    let (family, rest) = match version {
        WITHOUT_FAMILY => (ModelFamily::UNKNOWN, rest),
        WITH_FAMILY => {
            let (&length, rest) = rest.split_first()?;
            let (tag, rest) = rest.split_at_checked(usize::from(length))?;
            (ModelFamily::of_tag(tag), rest)
        }
        _ => return None,
    };
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
        family,
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
        let state = Opaque::new(Provider::OpenAi, OpaqueKind::EncryptedContent, "gAAAA?>~-_".into());
        let opaque = Opaque { item_id: Some("rs_1".into()), ..state };
        for family in
            [ModelFamily::UNKNOWN, ModelFamily::of("gpt-5.2", false), ModelFamily::of("glm-5", false)]
        {
            let sealed = seal(&Opaque { family, ..opaque.clone() }, &text);
            assert!(is_within(format!(r#"{{"signature":"{}"}}"#, sealed.as_escaped()).as_bytes()));
            let url_safe = sealed.as_escaped().replace('+', "-").replace('/', "_").replace('=', "");
            for form in [sealed.as_escaped(), &url_safe] {
                let opened = open(&Str::from(form)).unwrap();
                assert_eq!(opened.opaque.value, "gAAAA?>~-_");
                assert_eq!(opened.opaque.item_id.as_ref().unwrap(), &"rs_1");
                assert_eq!(opened.opaque.family, family);
                assert!(opened.matches(&text));
                assert!(!opened.matches(&"altered".into()));
            }
        }
    }

    #[test]
    fn t104_envelopes_written_before_models_had_families_still_open() {
        // Of "gAAAA", for the text "why".
        let opened = open(&Str::from("oZ4BAgMABHJzXzEr4jxYXxXl/WdBQUFBPK9MKA==")).unwrap();
        assert!(opened.matches(&"why".into()));
        assert_eq!((opened.opaque.value, opened.opaque.family), ("gAAAA".into(), ModelFamily::UNKNOWN));
    }

    #[test]
    fn t104_foreign_values_are_not_ours() {
        let state = Opaque::new(Provider::Anthropic, OpaqueKind::Signature, "EqQB".into());
        let family = ModelFamily::of("claude-opus-5", false);
        let whole = seal(&Opaque { family, ..state }, &"a".into());
        for length in 0..whole.len() {
            assert!(open(&Str::from(&whole.as_escaped()[..length])).is_none(), "{length}");
        }
        let later = decode_base64(whole.as_escaped()).unwrap();
        let mut later = later[..later.len() - 4].to_vec();
        later[2] = 3;
        later.extend_from_slice(&Sha256::digest(&later)[..4]);
        assert!(open(&Str::from(encode_base64(&later))).is_none(), "of a version that nobody has written");
        for foreign in ["", "EqQBCgIYAhIM", "oZ4B", "oZ4C", "oZ4BAAAAAAAAAAAAAAAAAAAAAAAA"] {
            assert!(open(&Str::from(foreign)).is_none());
        }
    }
}
