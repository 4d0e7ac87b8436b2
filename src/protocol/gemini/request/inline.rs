//! A part's media in the place of its address.

use super::super::keys::camel;
use crate::protocol::InlineMedia;
use crate::protocol::json::{Error, Raw, Str, Writer, copy_members};

/// Writes the members of a part whose `fileData` is an address.
pub(crate) fn inline(part: &Raw<'_>, media: &InlineMedia, w: &mut Writer<'_>) -> Result<(), Error> {
    copy_members(part, w, |key, value, w| {
        if camel(key) != "fileData" {
            return Ok(false);
        }
        w.key("inlineData").begin_object();
        copy_members(value, w, |key, _, _| Ok(matches!(&*camel(key), "fileUri" | "mimeType")))?;
        w.key("mimeType").string(&Str::from_escaped(media.mime));
        w.key("data").string(&media.base64());
        w.end_object();
        Ok(true)
    })
}
