//! The size of a picture, from the first bytes of its file. What cannot be read has none.

use crate::protocol::canonical::media::decode_base64;

/// So much of a file is looked at; in a photograph a preview may come before the size.
const LOOK: usize = 96 << 10;

/// Width and height of a PNG, JPEG, GIF or WebP in standard base64.
pub(super) fn size(base64: &str) -> Option<(u64, u64)> {
    let head = base64.get(..base64.len().min(LOOK))?;
    let bytes = decode_base64(head)?;
    let (width, height) =
        png(&bytes).or_else(|| gif(&bytes)).or_else(|| webp(&bytes)).or_else(|| jpeg(&bytes))?;
    // Nothing of another size can be sent: it is no picture, or a broken one.
    let sane = 1..=30_000;
    (sane.contains(&width) && sane.contains(&height)).then_some((width, height))
}

fn big(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(bytes.get(at..at + length)?.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn little(bytes: &[u8], at: usize, length: usize) -> Option<u64> {
    Some(bytes.get(at..at + length)?.iter().rev().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
}

fn png(bytes: &[u8]) -> Option<(u64, u64)> {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n").then_some(())?;
    Some((big(bytes, 16, 4)?, big(bytes, 20, 4)?))
}

fn gif(bytes: &[u8]) -> Option<(u64, u64)> {
    bytes.starts_with(b"GIF8").then_some(())?;
    Some((little(bytes, 6, 2)?, little(bytes, 8, 2)?))
}

fn webp(bytes: &[u8]) -> Option<(u64, u64)> {
    (bytes.starts_with(b"RIFF") && bytes.get(8..12)? == b"WEBP").then_some(())?;
    match bytes.get(12..16)? {
        b"VP8X" => Some((little(bytes, 24, 3)? + 1, little(bytes, 27, 3)? + 1)),
        b"VP8 " => Some((little(bytes, 26, 2)? & 0x3fff, little(bytes, 28, 2)? & 0x3fff)),
        b"VP8L" => {
            let bits = little(bytes, 21, 4)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => None,
    }
}

/// Walks from segment to segment until one that begins a frame.
fn jpeg(bytes: &[u8]) -> Option<(u64, u64)> {
    bytes.starts_with(b"\xff\xd8").then_some(())?;
    let mut at = 2;
    loop {
        let &[0xff, marker] = bytes.get(at..at + 2)? else { return None };
        match marker {
            // C4, C8 and CC are tables.
            0xc0..=0xcf if !matches!(marker, 0xc4 | 0xc8 | 0xcc) => {
                return Some((big(bytes, at + 7, 2)?, big(bytes, at + 5, 2)?));
            }
            0xff => at += 1,
            _ => at += 2 + big(bytes, at + 2, 2)? as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::protocol::canonical::media::encode_base64;

    fn size_of(parts: &[&[u8]]) -> Option<(u64, u64)> {
        size(&encode_base64(&parts.concat()))
    }

    #[test]
    fn every_format_tells_its_size() {
        let png: [&[u8]; 3] = [b"\x89PNG\r\n\x1a\n", b"\0\0\0\x0dIHDR", b"\0\0\x05\0\0\0\x02\xd0\x08\x06"];
        assert_eq!(size_of(&png), Some((1280, 720)));
        assert_eq!(size_of(&[b"GIF89a", b"\0\x05\xd0\x02"]), Some((1280, 720)));
        let exif: [&[u8]; 4] =
            [b"\xff\xd8", b"\xff\xe1\0\x06abcd", b"\xff\xff\xc4\0\x02", b"\xff\xc2\0\x11\x08\x02\xd0\x05\0"];
        assert_eq!(size_of(&exif), Some((1280, 720)));
        let extended: [&[u8]; 3] = [b"RIFF\0\0\0\0WEBP", b"VP8X\x0a\0\0\0\0\0\0\0", b"\xff\x04\0\xcf\x02\0"];
        assert_eq!(size_of(&extended), Some((1280, 720)));
        let lossy: [&[u8]; 3] = [b"RIFF\0\0\0\0WEBP", b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a", b"\0\x05\xd0\x02"];
        assert_eq!(size_of(&lossy), Some((1280, 720)));
        for none in [&b""[..], b"GIF89a", b"\xff\xd8\xff\xe1\0", b"\xff\xd8\xff\xe1\0\0\xff", b"%PDF-1.7"] {
            assert_eq!(size_of(&[none]), None, "{none:?}");
        }
        assert_eq!(size_of(&[png[0], png[1], &[0; 10]]), None, "no width");
    }

    proptest! {
        #[test]
        fn nothing_makes_it_stumble(start in 0usize..5, rest in proptest::collection::vec(any::<u8>(), 0..200)) {
            let start: &[u8] = [&b""[..], b"\x89PNG\r\n\x1a\n", b"GIF8", b"\xff\xd8", b"RIFF\0\0\0\0WEBP"][start];
            size_of(&[start, &rest]);
        }
    }
}
