//! How much text there is, by classes of characters: all that a stream keeps of what has passed.

use memchr::{memchr, memmem};

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
            let escapes = memmem::find_iter(text, b"\\u").count();
            self.foreign += escapes as u64;
            ascii = ascii.saturating_sub(6 * escapes);
        }
        if !text.is_ascii() {
            ascii = ascii.saturating_sub(self.others(text));
        }
        self.ascii += ascii as u64;
    }

    /// Adds what is not ASCII, told by the first byte of each character; how many bytes that is.
    fn others(&mut self, text: &[u8]) -> usize {
        let mut bytes = 0;
        for byte in text {
            bytes += usize::from(!byte.is_ascii());
            match byte {
                0xc0..=0xe1 => self.foreign += 1,
                0xe2..=0xef => self.wide += 1,
                0xf0.. => self.signs += 1,
                _ => {}
            }
        }
        bytes
    }

    /// Adds a call of a tool, whose name and arguments are text beside it.
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
