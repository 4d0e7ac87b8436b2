//! What other providers left in a conversation with OpenAI: reasoning items that hold an envelope (T105).

use crate::protocol::foreign::{Cuts, is_foreign};
use crate::protocol::json::{Error, Reader, Str};

pub(crate) fn cut_foreign(reader: &mut Reader<'_>, cuts: &mut Cuts) -> Result<(), Error> {
    reader.object(|key, value| {
        if key == "input" {
            cuts.list(value, item)?;
        }
        Ok::<_, Error>(())
    })
}

fn item(item: &mut Reader<'_>, cuts: &mut Cuts) -> Result<bool, Error> {
    let (mut kind, mut state) = (Str::EMPTY, None);
    item.lenient_object(|key, value| {
        match key {
            "type" => kind = value.lenient_string()?.unwrap_or_default(),
            "encrypted_content" => state = value.lenient_string()?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    let goes = kind == "reasoning" && is_foreign(state.as_ref());
    if goes {
        cuts.losses.drop("reasoning");
    }
    Ok(goes)
}
