//! What images, documents and sound cost. Their base64 is never text (T175).

use super::{Family, Sum, picture};
use crate::protocol::canonical::{Media, MediaKind, MediaSource};

/// Adds a medium.
pub(super) fn add(media: &Media<'_>, sum: &mut Sum) {
    if let Some(name) = &media.name {
        sum.text(name);
    }
    if let Some(context) = &media.context {
        sum.text(context);
    }
    let bytes = match &media.source {
        MediaSource::Text(text) => return sum.text(text),
        MediaSource::Inline(base64) => base64.len() as u64 / 4 * 3,
        MediaSource::Url(_) | MediaSource::FileId(..) => 0,
    };
    sum.fixed += match media.kind {
        MediaKind::Image => image(sum.family, media),
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

/// An image by its size; the most that one costs where that is not to be seen.
fn image(family: Family, media: &Media<'_>) -> u64 {
    let size = match &media.source {
        MediaSource::Inline(base64) => picture::size(base64.as_escaped()),
        _ => None,
    };
    match (family, size) {
        (Family::Claude, size) => {
            size.map_or(1600, |(width, height)| (width * height).div_ceil(750).min(1600))
        }
        (Family::OpenAi, _) if media.detail.as_ref().is_some_and(|detail| *detail == "low") => 85,
        (Family::OpenAi, size) => 85 + 170 * size.map_or(8, |(width, height)| tiles(width, height)),
        (Family::Gemini, Some((..=384, ..=384))) => 258,
        (Family::Gemini, size) => {
            258 * size.map_or(4, |(width, height)| width.div_ceil(768) * height.div_ceil(768))
        }
    }
}

/// Scaled into 2048 by 2048, then to a short side of 768, in tiles of 512.
fn tiles(width: u64, height: u64) -> u64 {
    let (short, long) = (width.min(height), width.max(height));
    let (short, long) = if long > 2048 { ((short * 2048).div_ceil(long), 2048) } else { (short, long) };
    let (short, long) = if short > 768 { (768, (long * 768).div_ceil(short)) } else { (short, long) };
    short.div_ceil(512) * long.div_ceil(512)
}
