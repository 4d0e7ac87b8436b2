//! A part's media in the place of its address.

use crate::protocol::InlineMedia;
use crate::protocol::json::{Error, Raw, Writer, copy_members};

/// Writes the members of a part whose `image_url` or `file` is an address.
pub(crate) fn inline(part: &Raw<'_>, media: &InlineMedia, w: &mut Writer<'_>) -> Result<(), Error> {
    copy_members(part, w, |key, value, w| {
        match key {
            // Some clients send the address alone.
            "image_url" if !value.is_object() => {
                w.key("image_url").string(&media.data_url());
            }
            "image_url" => {
                w.key("image_url").begin_object();
                replace(value, "url", media, w)?;
                w.end_object();
            }
            "file" => {
                w.key("file").begin_object();
                if !replace(value, "file_data", media, w)? {
                    w.key("filename").text("document.pdf");
                }
                w.end_object();
            }
            _ => return Ok(false),
        }
        Ok(true)
    })
}

/// Writes the members of `object`, with the media as `member`; whether there is a file name among them.
fn replace(
    object: &Raw<'_>,
    member: &'static str,
    media: &InlineMedia,
    w: &mut Writer<'_>,
) -> Result<bool, Error> {
    let mut is_named = false;
    copy_members(object, w, |key, value, w| {
        is_named |= key == "filename" && !value.is_null();
        if key == member {
            w.key(member).string(&media.data_url());
        }
        Ok(key == member || key == "filename" && value.is_null())
    })?;
    Ok(is_named)
}
