//! Whole documents.

use std::borrow::Cow;

use super::error::Error;
use super::reader::Reader;
use super::text::Raw;

/// Reads one whole document as an object.
///
/// # Errors
///
/// If it is not well formed, no object, has something after it, or what `field` returns.
pub fn document<'a, E: From<Error>>(
    text: &'a str,
    field: impl FnMut(&str, &mut Reader<'a>) -> Result<(), E>,
) -> Result<(), E> {
    let mut reader = Reader::new(text);
    reader.object(field)?;
    Ok(reader.end()?)
}

/// Whether `text` is one complete JSON value (streams of tool arguments end when theirs are).
#[must_use]
pub fn is_complete(text: &str) -> bool {
    let mut reader = Reader::new(text);
    reader.skip().and_then(|()| reader.end()).is_ok()
}

/// The value, if `text` is exactly one JSON object.
#[must_use]
pub fn as_object<'a>(text: impl Into<Cow<'a, str>>) -> Option<Raw<'a>> {
    let text = text.into();
    let trimmed = text.trim();
    (trimmed.starts_with('{') && is_complete(trimmed)).then(|| match text {
        Cow::Borrowed(text) => Raw::from_json(text.trim()),
        Cow::Owned(ref owned) => Raw::from_json(owned.trim().to_owned()),
    })
}
