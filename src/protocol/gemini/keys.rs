//! Key spelling and list tolerance of Google's JSON: both `inlineData` and `inline_data` are legal at
//! every level (T121), and a lone value may stand where a list belongs.

use std::borrow::Cow;

use crate::protocol::json::{Error, Kind, Reader};

/// The camelCase spelling of a key; borrows what is spelled so already.
pub(super) fn camel(key: &str) -> Cow<'_, str> {
    if memchr::memchr(b'_', key.as_bytes()).is_none() {
        return Cow::Borrowed(key);
    }
    let mut spelled = String::with_capacity(key.len());
    let mut raise = false;
    for c in key.chars() {
        if c == '_' {
            raise = !spelled.is_empty();
        } else if raise {
            spelled.push(c.to_ascii_uppercase());
            raise = false;
        } else {
            spelled.push(c);
        }
    }
    Cow::Owned(spelled)
}

/// Visits the elements of a list; a lone value counts as a list of one, `null` as none.
pub(super) fn each<'a, E: From<Error>>(
    reader: &mut Reader<'a>,
    mut item: impl FnMut(&mut Reader<'a>) -> Result<(), E>,
) -> Result<(), E> {
    match reader.peek()? {
        Kind::Array => reader.array(item),
        Kind::Null => Ok(reader.skip()?),
        _ => item(reader),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t121_either_spelling_is_one_key() {
        for (key, spelled) in [
            ("inline_data", "inlineData"),
            ("inlineData", "inlineData"),
            ("file_search_store_names", "fileSearchStoreNames"),
            ("_private", "private"),
            ("a__b_", "aB"),
            ("", ""),
        ] {
            assert_eq!(camel(key), spelled, "{key}");
        }
    }
}
