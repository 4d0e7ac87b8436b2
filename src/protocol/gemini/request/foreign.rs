//! What other providers left in a conversation with Gemini: thoughts whose signature is an envelope.

use crate::protocol::foreign::{Cuts, is_foreign};
use crate::protocol::json::{Error, Reader};

pub(crate) fn cut_foreign(reader: &mut Reader<'_>, cuts: &mut Cuts) -> Result<(), Error> {
    reader.object(|key, value| {
        if key == "contents" {
            cuts.list(value, content)?;
        }
        Ok::<_, Error>(())
    })
}

/// Whether nothing is left of a content.
fn content(content: &mut Reader<'_>, cuts: &mut Cuts) -> Result<bool, Error> {
    let mut emptied = false;
    content.lenient_object(|key, value| {
        if key == "parts" {
            emptied = cuts.list(value, part)?;
        }
        Ok::<_, Error>(())
    })?;
    Ok(emptied)
}

fn part(part: &mut Reader<'_>, cuts: &mut Cuts) -> Result<bool, Error> {
    let mut state = None;
    part.lenient_object(|key, value| {
        if matches!(key, "thoughtSignature" | "thought_signature") {
            state = value.lenient_string()?;
        }
        Ok::<_, Error>(())
    })?;
    // Only thoughts carry envelopes: calls and texts hold Gemini's own signature or none.
    let goes = is_foreign(state.as_ref());
    if goes {
        cuts.losses.drop("reasoning");
    }
    Ok(goes)
}
