//! What other providers left in a conversation with Gemini: thoughts whose signature is an envelope, and calls that
//! are marked with one.

use super::super::signature::SENTINEL;
use crate::protocol::Target;
use crate::protocol::canonical::envelope;
use crate::protocol::foreign::Cuts;
use crate::protocol::json::{Error, Reader, Span};

pub(crate) fn cut_foreign(
    reader: &mut Reader<'_>,
    target: &Target<'_>,
    cuts: &mut Cuts,
) -> Result<(), Error> {
    let signs_calls = target.capabilities.has_levels();
    reader.object(|key, value| {
        if key == "contents" {
            cuts.list(value, |value, cuts| content(value, signs_calls, cuts))?;
        }
        Ok::<_, Error>(())
    })
}

/// Whether nothing is left of a content.
fn content(content: &mut Reader<'_>, signs_calls: bool, cuts: &mut Cuts) -> Result<bool, Error> {
    let mut emptied = false;
    content.lenient_object(|key, value| {
        if key == "parts" {
            emptied = cuts.list(value, |value, cuts| part(value, signs_calls, cuts))?;
        }
        Ok::<_, Error>(())
    })?;
    Ok(emptied)
}

/// Whether the part goes. Calls stay: their slot gets the word that Google takes for a signature that is lost (2.9,
/// replay rule 4), or goes where the model needs none.
fn part(part: &mut Reader<'_>, signs_calls: bool, cuts: &mut Cuts) -> Result<bool, Error> {
    let (mut state, mut is_call) = (None, false);
    let mut before = None;
    let begin = part.offset() + 1;
    part.lenient_object(|key, value| {
        let start = value.offset();
        match key {
            "thoughtSignature" | "thought_signature" => {
                let text = value.lenient_string()?;
                let slot =
                    Slot { value: start..value.offset(), before, begin, comma: value.rest().find(',') };
                state = text.map(|text| (text, slot));
            }
            "functionCall" | "function_call" => {
                is_call = true;
                value.skip()?;
            }
            _ => value.skip()?,
        }
        before = Some(value.offset());
        Ok::<_, Error>(())
    })?;
    let Some((opened, slot)) = state.and_then(|(text, slot)| Some((envelope::open(&text)?, slot))) else {
        return Ok(false);
    };
    if !is_call {
        // Texts hold Gemini's own signature or none.
        cuts.losses.drop("reasoning");
        return Ok(true);
    }
    if !opened.opaque.is_nothing() {
        cuts.losses.drop("signature");
    }
    if signs_calls {
        cuts.replace(slot.value, &format!("\"{SENTINEL}\""));
    } else {
        cuts.replace(slot.member(), "");
    }
    Ok(false)
}

/// Where the signature of a call stands.
struct Slot {
    value: Span,
    /// The end of the member before it, if there is one.
    before: Option<usize>,
    /// The beginning of the part's members.
    begin: usize,
    /// How far behind the value a comma stands.
    comma: Option<usize>,
}

impl Slot {
    /// The whole member, with the comma before it; the first one with the comma behind it.
    fn member(&self) -> Span {
        match (self.before, self.comma) {
            (Some(before), _) => before..self.value.end,
            (None, Some(comma)) => self.begin..self.value.end + comma + 1,
            (None, None) => self.begin..self.value.end,
        }
    }
}
