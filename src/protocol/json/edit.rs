//! Edits of a document whose other bytes stay.

use super::{Error, Raw, Reader, Span, Str, Writer};

/// Puts new text in the place of each span; spans do not overlap. An empty span inserts.
#[must_use]
pub fn splice(bytes: &[u8], mut edits: Vec<(Span, Vec<u8>)>) -> Vec<u8> {
    edits.sort_by_key(|(span, _)| span.start);
    let added: usize = edits.iter().map(|(_, new)| new.len()).sum();
    let mut out = Vec::with_capacity(bytes.len() + added);
    let mut from = 0;
    for (span, new) in edits {
        out.extend_from_slice(bytes.get(from..span.start).unwrap_or_default());
        out.extend_from_slice(&new);
        from = span.end;
    }
    out.extend_from_slice(bytes.get(from..).unwrap_or_default());
    out
}

/// Writes the members of an object as they stand, but those that `rewrite` says it has dealt with.
///
/// # Errors
///
/// If it is no well-formed object, or what `rewrite` returns.
pub fn copy_members(
    object: &Raw<'_>,
    w: &mut Writer<'_>,
    mut rewrite: impl FnMut(&str, &Raw<'_>, &mut Writer<'_>) -> Result<bool, Error>,
) -> Result<(), Error> {
    Reader::new(object.as_str()).object(|key, value| {
        let value = value.raw()?;
        if !rewrite(key, &value, w)? {
            w.key_str(&Str::escape(key)).raw(&value);
        }
        Ok(())
    })
}
