//! Text to tokens, by classes of characters.

/// About how many tokens `text` has in OpenAI's current tokenizer.
pub(super) fn tokens(text: &str) -> u64 {
    let mut rest = text;
    let mut sum = 0;
    while let Some(first) = rest.chars().next() {
        let class = Class::of(first);
        let end = rest.find(|c| Class::of(c) != class).unwrap_or(rest.len());
        let (run, after) = rest.split_at(end);
        sum += class.tokens(run);
        // A number takes no blank with it, as words do.
        sum += u64::from(run == " " && after.starts_with(|c: char| c.is_ascii_digit()));
        rest = after;
    }
    sum
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Space,
    Letter,
    Digit,
    Mark,
    /// Letters of other alphabets.
    Foreign,
    /// A character that is a word or a syllable.
    Wide,
    /// Emoji and other signs.
    Sign,
}

impl Class {
    fn of(c: char) -> Self {
        match c {
            _ if c.is_ascii_alphabetic() => Class::Letter,
            _ if c.is_ascii_digit() => Class::Digit,
            _ if c.is_whitespace() => Class::Space,
            _ if c.is_ascii() => Class::Mark,
            '\u{1100}'..='\u{11ff}'
            | '\u{2e80}'..='\u{a4cf}'
            | '\u{ac00}'..='\u{d7ff}'
            | '\u{f900}'..='\u{faff}'
            | '\u{ff00}'..='\u{ffef}'
            | '\u{20000}'..='\u{3ffff}' => Class::Wide,
            _ if c.is_alphanumeric() => Class::Foreign,
            _ => Class::Sign,
        }
    }

    /// Tokens of a run of one class.
    fn tokens(self, run: &str) -> u64 {
        let length = run.len() as u64;
        let chars = || run.chars().count() as u64;
        match self {
            // One blank belongs to the word after it; an indentation is one token, a line end another.
            Class::Space => match run {
                " " => 0,
                _ => 1 + u64::from(run.contains('\n') && run.ends_with("  ")),
            },
            Class::Letter => words(run),
            Class::Digit => length.div_ceil(3),
            Class::Mark => length.div_ceil(2),
            Class::Foreign => chars().div_ceil(3),
            Class::Wide => chars(),
            Class::Sign => chars() * 2,
        }
    }
}

/// `camelCase` is two words.
fn words(run: &str) -> u64 {
    let bytes = run.as_bytes();
    let mut sum = 0;
    let mut from = 0;
    for at in 1..=bytes.len() {
        let ends =
            bytes.get(at).is_none_or(|next| next.is_ascii_uppercase() && bytes[at - 1].is_ascii_lowercase());
        if ends {
            sum += word(&bytes[from..at]);
            from = at;
        }
    }
    sum
}

/// Most words of up to nine letters are one token; longer ones, and capitals, fall into pieces.
fn word(letters: &[u8]) -> u64 {
    let length = letters.len() as u64;
    if letters.len() > 1 && letters.iter().all(u8::is_ascii_uppercase) {
        return length.div_ceil(3);
    }
    1 + length.saturating_sub(9).div_ceil(4)
}
