//! A part's media in the place of its address.

use crate::protocol::InlineMedia;
use crate::protocol::json::{Error, Raw, Writer, copy_members};

/// Writes the members of a part whose `image_url` or `file_url` is an address.
pub(crate) fn inline(part: &Raw<'_>, media: &InlineMedia, w: &mut Writer<'_>) -> Result<(), Error> {
    let (mut is_file, mut is_named) = (false, false);
    copy_members(part, w, |key, value, w| {
        match key {
            "image_url" => {
                w.key("image_url").string(&media.data_url());
                // The shape of the sister protocol, which clients mix up with this one.
                if value.is_object() {
                    copy_members(value, w, |key, _, _| Ok(key != "detail"))?;
                }
            }
            "file_url" => {
                is_file = true;
                w.key("file_data").string(&media.data_url());
            }
            // The address may stand beside an empty one of its kind.
            "file_data" | "file_id" | "filename" if value.is_null() => {}
            "filename" => {
                is_named = true;
                return Ok(false);
            }
            _ => return Ok(false),
        }
        Ok(true)
    })?;
    if is_file && !is_named {
        w.key("filename").text("document.pdf");
    }
    Ok(())
}
