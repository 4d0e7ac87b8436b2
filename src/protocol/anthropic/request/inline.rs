//! A block's media in the place of its address.

use crate::protocol::InlineMedia;
use crate::protocol::json::{Error, Raw, Str, Writer, copy_members};

/// Writes the members of a block whose `source` is an address.
pub(crate) fn inline(block: &Raw<'_>, media: &InlineMedia, w: &mut Writer<'_>) -> Result<(), Error> {
    copy_members(block, w, |key, _, w| {
        if key != "source" {
            return Ok(false);
        }
        w.key("source").begin_object();
        w.key("type").text("base64");
        w.key("media_type").string(&Str::from_escaped(media.mime));
        w.key("data").string(&media.base64());
        w.end_object();
        Ok(true)
    })
}
