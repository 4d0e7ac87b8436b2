//! The inner loops: where does a string stop being plain?
//!
//! Strings in conversations are short, or broken by an escape every few dozen bytes. There the start
//! of a SIMD search costs more than the search: eight bytes at a time in a register are faster. What
//! stays plain for long (base64) goes on in blocks, which the compiler vectorises.

const ONES: u64 = u64::MAX / 0xff;
const HIGHS: u64 = ONES << 7;
/// Words looked at one by one before blocks are.
const SHORT: usize = 64;

/// Position of the first byte that does not stand for itself in a JSON string: quote, backslash,
/// control character.
#[inline]
pub(super) fn special(bytes: &[u8]) -> Option<usize> {
    let head = bytes.get(..SHORT).unwrap_or(bytes);
    special_in_words(head).or_else(|| if bytes.len() > SHORT { special_in_blocks(bytes) } else { None })
}

/// The string that `bytes` begin within, up to the quote that ends it.
pub(in crate::protocol) fn rest_of_string(bytes: &[u8]) -> &[u8] {
    let mut at = 0;
    while let Some(next) = bytes.get(at..).and_then(special) {
        at += next;
        match bytes.get(at) {
            Some(b'"') => return bytes.get(..at).unwrap_or(bytes),
            Some(b'\\') => at += 2,
            _ => at += 1,
        }
    }
    bytes
}

fn is_special(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[inline]
fn special_in_words(bytes: &[u8]) -> Option<usize> {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let hits =
            below_space(word) | zeros(word ^ (ONES * b'"' as u64)) | zeros(word ^ (ONES * b'\\' as u64));
        if hits != 0 {
            return Some(index * 8 + first(hits));
        }
    }
    let at = tail.iter().position(|byte| is_special(*byte))?;
    Some(words.len() * 8 + at)
}

/// The first `SHORT` bytes are known to be plain.
#[inline(never)]
fn special_in_blocks(bytes: &[u8]) -> Option<usize> {
    let (blocks, tail) = bytes.as_chunks::<SHORT>();
    let plain = |block: &[u8; SHORT]| !block.iter().fold(false, |any, byte| any | is_special(*byte));
    match blocks.iter().skip(1).position(|block| !plain(block)) {
        Some(index) => {
            let from = (index + 1) * SHORT;
            special_in_words(&bytes[from..]).map(|at| from + at)
        }
        None => special_in_words(tail).map(|at| blocks.len() * SHORT + at),
    }
}

/// The high bit of each byte below a space; bits above the first may be wrong.
fn below_space(word: u64) -> u64 {
    word.wrapping_sub(ONES * b' ' as u64) & !word & HIGHS
}

/// The high bit of each byte that is zero; bits above the first may be wrong.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHS
}

fn first(hits: u64) -> usize {
    hits.trailing_zeros() as usize / 8
}

/// Position of the quote that ends a string which begins with `bytes`. Looks at nothing else.
#[inline]
pub(super) fn closing_quote(bytes: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + quote(bytes.get(from..)?)?;
        // A quote is escaped if an odd number of backslashes stands before it.
        let slashes = bytes[from..at].iter().rev().take_while(|byte| **byte == b'\\').count();
        if slashes % 2 == 0 {
            return Some(at);
        }
        from = at + 1;
    }
}

#[inline]
fn quote(bytes: &[u8]) -> Option<usize> {
    const NEAR: usize = 4;
    let (words, _) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().take(NEAR).enumerate() {
        let hits = zeros(u64::from_le_bytes(*word) ^ (ONES * b'"' as u64));
        if hits != 0 {
            return Some(index * 8 + first(hits));
        }
    }
    let from = words.len().min(NEAR) * 8;
    memchr::memchr(b'"', &bytes[from..]).map(|at| from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_each_special_byte_at_each_place() {
        for length in [0, 1, 7, 8, 9, 63, 64, 65, 127, 128, 129, 300] {
            let plain = vec![0xc3; length];
            assert_eq!(special(&plain), None);
            assert_eq!(closing_quote(&plain), None);
            for at in 0..length {
                for byte in [0, 0x1f, b'"', b'\\'] {
                    let mut text = plain.clone();
                    text[at] = byte;
                    assert_eq!(special(&text), Some(at), "{byte} at {at} of {length}");
                }
                let mut text = plain.clone();
                text[at] = b'"';
                assert_eq!(closing_quote(&text), Some(at));
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_plain_loop(text in proptest::collection::vec(prop::sample::select(b" !#[]a~\x7f\x80\xa2\xdc\xff\"\\\n\0".to_vec()), 0..200)) {
            prop_assert_eq!(special(&text), text.iter().position(|b| is_special(*b)));
        }

        #[test]
        fn a_string_ends_at_its_first_quote_without_escape(text in proptest::collection::vec(prop::sample::select(b"aaaaaaaaaaaa\"\\".to_vec()), 0..200)) {
            let mut escaped = false;
            let end = text.iter().position(|byte| {
                let ends = *byte == b'"' && !escaped;
                escaped = *byte == b'\\' && !escaped;
                ends
            });
            prop_assert_eq!(closing_quote(&text), end);
        }
    }
}
