//! How much text there is, by classes of characters: all that a stream keeps of what has passed.

use std::sync::LazyLock;

use memchr::{memchr, memchr3, memmem};

use crate::protocol::json;

/// In so many bytes of text there is a blank or a quote; in base64 there is none.
const WINDOW: usize = 1 << 10;

/// Made once: making it costs more than a search in what a stream says at a time.
static UNICODE: LazyLock<memmem::Finder<'static>> = LazyLock::new(|| memmem::Finder::new(b"\\u"));

/// An amount of text. Where it is cut makes no difference, and adding to it costs next to nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lengths {
    ascii: u64,
    /// Letters of other alphabets.
    foreign: u64,
    /// Characters that are a word or a syllable.
    wide: u64,
    /// Emoji and other signs.
    signs: u64,
    calls: u64,
}

impl Lengths {
    /// Adds UTF-8 text, with or without the escapes of JSON.
    pub fn add(&mut self, text: &[u8]) {
        let mut ascii = text.len();
        if memchr(b'\\', text).is_some() {
            // Six letters that mean one.
            let escapes = UNICODE.find_iter(text).count();
            self.foreign += escapes as u64;
            ascii = ascii.saturating_sub(6 * escapes);
        }
        if !text.is_ascii() {
            ascii = ascii.saturating_sub(self.others(text));
        }
        self.ascii += ascii as u64;
    }

    /// A request as it stands, with all that is around its texts; media do not count.
    #[must_use]
    pub fn of_body(body: &[u8]) -> Self {
        let mut lengths = Lengths::default();
        for window in body.chunks(WINDOW) {
            let is_base64 =
                window.len() == WINDOW && memchr3(b' ', b'"', b'\\', window).is_none() && window.is_ascii();
            if !is_base64 {
                lengths.add(window);
            }
        }
        lengths
    }

    /// Adds the string of a JSON document whose inside begins with `bytes`.
    pub(in crate::protocol) fn add_string(&mut self, bytes: &[u8]) {
        self.add(json::rest_of_string(bytes));
    }

    /// Adds what is not ASCII, told by the first byte of each character; how many bytes that is.
    fn others(&mut self, text: &[u8]) -> usize {
        let mut bytes = 0;
        // In a chunk no count outgrows a byte, so that the compiler compares and counts many at a time.
        for chunk in text.chunks(255) {
            let [mut beyond_ascii, mut foreign, mut wide, mut signs] = [0u8; 4];
            for byte in chunk {
                beyond_ascii += u8::from(*byte >= 0x80);
                foreign += u8::from(*byte >= 0xc0);
                wide += u8::from(*byte >= 0xe2);
                signs += u8::from(*byte >= 0xf0);
            }
            bytes += usize::from(beyond_ascii);
            self.foreign += u64::from(foreign - wide);
            self.wide += u64::from(wide - signs);
            self.signs += u64::from(signs);
        }
        bytes
    }

    /// Adds a call of a tool; its arguments are text beside it.
    pub fn add_call(&mut self) {
        self.calls += 1;
    }

    /// The calls.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// About how many tokens of OpenAI's tokenizer.
    pub(super) fn tokens(&self) -> u64 {
        // Between prose, of which a token takes more letters, and code, of which it takes fewer.
        let ascii = self.ascii.saturating_mul(2).div_ceil(7);
        ascii + self.foreign.div_ceil(3) + self.wide + self.signs * 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Lengths {
        let mut lengths = Lengths::default();
        lengths.add(text.as_bytes());
        lengths
    }

    #[test]
    fn a_character_weighs_the_same_escaped_or_not() {
        assert_eq!(of("wörld"), of(r"w\u00f6rld"));
        assert_eq!(of("Привет").tokens(), of(r"\u041f\u0440\u0438\u0432\u0435\u0442").tokens());
        let mut inside = Lengths::default();
        inside.add_string(br#"say \"h\u00e9\\" to","next":"#);
        assert_eq!(inside, of(r#"say \"h\u00e9\\"#));
    }

    #[test]
    fn where_text_is_cut_makes_no_difference() {
        let text = "Straße, 東京 and 🦀: one two three";
        let mut pieces = Lengths::default();
        for c in text.chars() {
            pieces.add(c.to_string().as_bytes());
        }
        assert_eq!(pieces, of(text));
        assert!((10..=16).contains(&pieces.tokens()), "{}", pieces.tokens());
    }

    #[test]
    fn t175_base64_in_a_body_is_no_text() {
        let body = |data: &str| format!(r#"{{"messages":[{{"content":"Hello, you"}},{{"data":"{data}"}}]}}"#);
        let (small, large) = (body("QUJD"), body(&"QUJD".repeat(250_000)));
        let more = Lengths::of_body(large.as_bytes()).tokens() - Lengths::of_body(small.as_bytes()).tokens();
        assert!(more < 1000, "{more}");
        let prose = body(&"one two ".repeat(1000));
        assert!(Lengths::of_body(prose.as_bytes()).tokens() > 2000);
        let chinese = body(&"东京".repeat(1000));
        assert!(Lengths::of_body(chinese.as_bytes()).tokens() > 2000);
    }
}
