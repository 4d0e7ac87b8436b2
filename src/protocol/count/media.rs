//! What images, documents and sound cost. Their base64 is never text (T175).

use super::{Family, Sum};
use crate::protocol::canonical::{Media, MediaKind, MediaSource};

/// Adds a medium.
pub(super) fn add(media: &Media<'_>, sum: &mut Sum) {
    if let Some(name) = &media.name {
        sum.text(&name.decode());
    }
    if let Some(context) = &media.context {
        sum.text(&context.decode());
    }
    let bytes = match &media.source {
        MediaSource::Text(text) => return sum.text(&text.decode()),
        MediaSource::Inline(base64) => base64.len() as u64 / 4 * 3,
        MediaSource::Url(_) | MediaSource::FileId(..) => 0,
    };
    sum.fixed += match media.kind {
        MediaKind::Image => image(sum.family, media.detail.as_ref().is_some_and(|detail| *detail == "low")),
        MediaKind::Document => PAGE * bytes.div_ceil(PAGE_BYTES).max(1),
        MediaKind::Audio => SECOND * bytes.div_ceil(SECOND_BYTES).max(1),
        MediaKind::Video => FILM_SECOND * bytes.div_ceil(FILM_SECOND_BYTES).max(1),
    };
}

/// A page of a PDF, and about how many bytes it takes: nobody unpacks it for a count.
const PAGE: u64 = 1500;
const PAGE_BYTES: u64 = 64 << 10;

/// A second of sound, and its bytes at 128 kbit/s.
const SECOND: u64 = 32;
const SECOND_BYTES: u64 = 16_000;

/// A second of film with its sound, and its bytes at 1 Mbit/s.
const FILM_SECOND: u64 = 300;
const FILM_SECOND_BYTES: u64 = 125_000;

/// The most that an image costs. Its size stands in the coded bytes, which are not read for a count.
fn image(family: Family, low: bool) -> u64 {
    match family {
        Family::Claude => 1600,
        Family::OpenAi if low => 85,
        // The short side is scaled to 768: at most eight tiles of 512.
        Family::OpenAi => 85 + 8 * 170,
        // Four tiles of 768.
        Family::Gemini => 4 * 258,
    }
}
