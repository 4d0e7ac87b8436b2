//! `annotations`: sources of the text, by character offsets into the whole `content`.

use crate::protocol::canonical::Citation;
use crate::protocol::json::{Error, Reader, Str, Writer};

/// Reads a list of annotations; those that are no URL citations are passed over.
pub(super) fn read<'a>(value: &mut Reader<'a>) -> Result<Vec<Citation<'a>>, Error> {
    let mut list = Vec::new();
    value.lenient_array(|value| {
        value.lenient_object(|key, value| {
            if key == "url_citation" {
                list.extend(Citation::read(value)?);
            }
            Ok::<_, Error>(())
        })
    })?;
    Ok(list)
}

/// Writes one annotation. `part` is where the cited part begins and ends in the content: the range
/// of a citation counts from there, and one without range covers the part.
pub(super) fn write(citation: &Citation<'_>, part: (u64, u64), w: &mut Writer<'_>) {
    let (start, end) = match citation.range {
        Some((start, end)) => (part.0.saturating_add(start), part.0.saturating_add(end)),
        None => part,
    };
    w.begin_object();
    w.key("type").text("url_citation");
    w.key("url_citation").begin_object();
    w.key("start_index").u64(start);
    w.key("end_index").u64(end);
    w.key("url").string(&citation.url);
    w.key("title").string(citation.title.as_ref().unwrap_or(&Str::EMPTY));
    w.end_object();
    w.end_object();
}

/// Number of characters that the string means. Allocates nothing: the stream counts every delta.
pub(super) fn characters(text: &Str<'_>) -> u64 {
    let escaped = text.as_escaped();
    let mut count = escaped.bytes().filter(|b| b & 0xc0 != 0x80).count();
    let mut rest = escaped;
    while let Some(at) = memchr::memchr(b'\\', rest.as_bytes()) {
        let tail = rest.get(at..).unwrap_or_default();
        let long = match tail.as_bytes() {
            [_, b'u', b'd' | b'D', b'8' | b'9' | b'a' | b'b' | b'A' | b'B', _, _, b'\\', b'u', ..] => 12,
            [_, b'u', ..] => 6,
            _ => 2,
        };
        count = count.saturating_sub(long - 1);
        rest = tail.get(long..).unwrap_or_default();
    }
    count as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t131_offsets_count_characters_not_bytes() {
        for (escaped, count) in
            [("abc", 3), ("ü😀", 2), (r"a\nb", 3), (r"\ud83d\ude00\\", 2), (r"\u00fcx", 2), ("", 0)]
        {
            assert_eq!(characters(&Str::from_escaped(escaped)), count, "{escaped}");
        }
    }
}
