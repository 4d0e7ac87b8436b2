//! Identifiers that depend on the request alone, so that equal requests get equal answers.

use std::hash::Hasher;

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const HEX: &[u8] = b"0123456789abcdef";

/// The time every answer claims to be made at: 2025-06-15T15:06:40Z.
pub(crate) const CREATED: u64 = 1_750_000_000;

/// [`CREATED`] as the Anthropic and Google APIs write times.
pub(crate) const CREATED_RFC3339: &str = "2025-06-15T15:06:40Z";

/// One step of splitmix64: spreads a number over all 64 bits.
pub(crate) fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

/// The identifiers of one answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids(u64);

impl Ids {
    /// Identifiers for this request body.
    pub(crate) fn new(seed: u64, body: &[u8]) -> Self {
        // The default hasher has fixed keys when it is made this way.
        let mut hasher = std::collections::hash_map::DefaultHasher::new();
        hasher.write_u64(seed);
        hasher.write(body);
        Ids(hasher.finish())
    }

    /// Letters and digits, as in `msg_…`, `chatcmpl-…` and `call_…`.
    pub(crate) fn base62(self, prefix: &str, salt: u64, len: usize) -> String {
        self.draw(prefix, salt, len, BASE62)
    }

    /// Hexadecimal digits, as in `resp_…`, `rs_…` and `fc_…`.
    pub(crate) fn hex(self, prefix: &str, salt: u64, len: usize) -> String {
        self.draw(prefix, salt, len, HEX)
    }

    fn draw(self, prefix: &str, salt: u64, len: usize, alphabet: &[u8]) -> String {
        let mut out = String::with_capacity(prefix.len() + len);
        out.push_str(prefix);
        let mut state = mix(self.0 ^ mix(salt));
        for _ in 0..len {
            state = mix(state);
            let at = usize::try_from(state % alphabet.len() as u64).unwrap_or_default();
            out.push(alphabet.get(at).map_or('0', |byte| char::from(*byte)));
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_requests_get_equal_ids() {
        let one = Ids::new(1, b"body");
        assert_eq!(one.base62("msg_01", 0, 22), Ids::new(1, b"body").base62("msg_01", 0, 22));
        assert_ne!(one.base62("", 0, 22), one.base62("", 1, 22));
        assert_ne!(one.base62("", 0, 22), Ids::new(1, b"other").base62("", 0, 22));
        assert_ne!(one.base62("", 0, 22), Ids::new(2, b"body").base62("", 0, 22));
        assert_eq!(one.hex("resp_", 0, 50).len(), 55);
    }
}
