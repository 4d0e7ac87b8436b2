//! A request that does not fit into the model's context: how servers say so, and what figures they give
//! (5.2, T169). Agents act on the wording of their own vendor, so every dialect needs the figures apart.

/// The figures of an overflow, as far as the upstream gave them; the others are left out, or [filled](Overflow::or)
/// with what is known otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Tokens that the request asked for: the prompt, and the room for the answer if that was counted.
    pub asked: Option<u64>,
    /// Tokens that the model takes.
    pub limit: Option<u64>,
    /// The room for the answer within `asked`, where it is told apart.
    pub answer: Option<u64>,
}

/// The wordings of a context that does not fit, across servers, in lower case.
const WORDS: &[&str] = &[
    "context_length_exceeded",
    "prompt is too long",
    "input is too long for requested model",
    "input length and `max_tokens` exceed",
    "exceed context limit",
    "exceeds the context window",
    "exceeds the context length",
    "exceeds the available context size",
    "exceeds the maximum number of tokens",
    "maximum context length",
    "input tokens exceed the configured limit",
    "maximum prompt length is",
    "longer than the model's context length",
    "exceeded context length",
    "exceeded model token limit",
    "but model only supports up to",
    "`inputs` tokens + `max_new_tokens` must be",
];

/// What stands before the limit, most telling first.
const LIMIT_AFTER: &[&str] = &[
    "maximum context length is ",
    "maximum context length of ",
    "maximum prompt length is ",
    "tokens allowed (",
    "supports up to ",
    "configured limit of ",
    "available context size (",
    "model's context length (",
    "token limit: ",
    "exceeds the limit of ",
    "limit is ",
    "must be <= ",
];

/// What stands before the size of the request.
const ASKED_AFTER: &[&str] = &[
    "resulted in ",
    "you requested a total of ",
    "you requested about ",
    "you requested ",
    "(requested: ",
    "token count (",
    "token count is ",
    "token count of ",
    "prompt contains ",
    "request contains ",
    "request (",
    "the input (",
    "current length is ",
];

/// What stands behind the room for the answer.
const ANSWER_BEFORE: &[&str] =
    &[" in the completion", " in the output", " tokens for the completion", " `max_new_tokens`"];

/// What stands behind the size of the prompt, where the whole is not told.
const PROMPT_BEFORE: &[&str] = &[" input tokens", " `inputs` tokens", " tokens from the input"];

/// Messages are read up to here.
const MOST: usize = 4096;

impl Overflow {
    /// Whether an error says that the request does not fit; limits of rates speak of tokens too, and are
    /// known by their status.
    #[must_use]
    pub fn is_told(status: u16, message: &str) -> bool {
        let lower = head(message).to_ascii_lowercase();
        !matches!(status, 401..=404 | 429) && WORDS.iter().any(|words| lower.contains(words))
    }

    /// Reads the figures out of an upstream's words.
    #[must_use]
    pub fn read(message: &str) -> Self {
        let lower = head(message).to_ascii_lowercase();
        if let Some(native) = Self::compared(&lower) {
            return native;
        }
        let limit = first(LIMIT_AFTER, |words| after(&lower, words))
            .or_else(|| before(&lower, " maximum context length"));
        let answer =
            first(ANSWER_BEFORE, |words| before(&lower, words)).or_else(|| after(&lower, "is too large: "));
        let asked = first(ASKED_AFTER, |words| after(&lower, words)).or_else(|| {
            let prompt = first(PROMPT_BEFORE, |words| before(&lower, words))?;
            prompt.checked_add(answer.unwrap_or(0))
        });
        let found = Overflow { asked, limit, answer };
        if asked.is_none() && answer.is_none() { found.or_bare(&lower) } else { found }.checked()
    }

    /// "N tokens > M maximum" and "A + B > C".
    fn compared(lower: &str) -> Option<Self> {
        let (_, figures) =
            lower.split_once("too long: ").or_else(|| lower.split_once("exceed context limit: "))?;
        let (left, right) = figures.split_once('>')?;
        let limit = leading(right.trim_start())?;
        let found = match left.split_once('+') {
            Some((prompt, answer)) => {
                let (prompt, answer) = (leading(prompt.trim_start())?, leading(answer.trim_start())?);
                Overflow { asked: prompt.checked_add(answer), limit: Some(limit), answer: Some(answer) }
            }
            None => Overflow { asked: leading(left.trim_start()), limit: Some(limit), answer: None },
        };
        Some(found.checked())
    }

    /// An unknown wording with two figures: what was asked is more than what may be. Figures of something else
    /// (the characters of a string) are left alone.
    fn or_bare(mut self, lower: &str) -> Self {
        if !lower.contains("token") && !lower.contains("context") {
            return self;
        }
        let mut figures: Vec<u64> = numbers(lower).take(16).collect();
        figures.sort_unstable();
        figures.dedup();
        match (self.limit, figures.as_slice()) {
            (Some(limit), [small, large]) if *small == limit => self.asked = Some(*large),
            (None, [limit, asked]) => (self.asked, self.limit) = (Some(*asked), Some(*limit)),
            _ => {}
        }
        self
    }

    /// Drops what contradicts itself: a wrong figure sends an agent the wrong way.
    fn checked(mut self) -> Self {
        if let (Some(asked), Some(limit)) = (self.asked, self.limit)
            && asked <= limit
        {
            (self.asked, self.answer) = (None, None);
        }
        if self.answer.is_some_and(|answer| self.asked.is_none_or(|asked| answer >= asked)) {
            self.answer = None;
        }
        self
    }

    /// These figures, and what is `known` in place of those that were not told. What was told is believed: what
    /// contradicts it is left out, and so is a known size that fits into the limit.
    #[must_use]
    pub fn or(self, known: Overflow) -> Self {
        let limit = self.limit.or(known.limit.filter(|limit| self.asked.is_none_or(|asked| asked > *limit)));
        let asked = self.asked.or(known.asked.filter(|asked| limit.is_none_or(|limit| *asked > limit)));
        Overflow { asked, limit, answer: self.answer }
    }

    /// What was asked and what may be, if both are known.
    #[must_use]
    pub fn sizes(self) -> Option<(u64, u64)> {
        self.asked.zip(self.limit)
    }

    /// Prompt, room for the answer and limit, if the prompt alone would fit: a smaller answer helps then.
    #[must_use]
    pub fn answer_too_large(self) -> Option<(u64, u64, u64)> {
        let ((asked, limit), answer) = self.sizes().zip(self.answer)?;
        let prompt = asked.checked_sub(answer)?;
        (prompt < limit).then_some((prompt, answer, limit))
    }

    /// OpenAI's words for it, if there is a figure to tell.
    #[must_use]
    pub fn in_openai_words(self) -> Option<String> {
        let limit = self.limit?;
        let start = format!("This model's maximum context length is {limit} tokens.");
        Some(match (self.asked, self.answer) {
            (Some(asked), Some(answer)) => format!(
                "{start} However, you requested {asked} tokens ({} in the messages, {answer} in the completion). \
                 Please reduce the length of the messages or completion.",
                asked.saturating_sub(answer)
            ),
            (Some(asked), None) => format!(
                "{start} However, your messages resulted in {asked} tokens. Please reduce the length of the messages."
            ),
            (None, _) => format!("{start} Please reduce the length of the messages."),
        })
    }
}

fn head(message: &str) -> &str {
    message.get(..message.floor_char_boundary(MOST)).unwrap_or(message)
}

fn first(words: &[&str], read: impl Fn(&str) -> Option<u64>) -> Option<u64> {
    words.iter().find_map(|words| read(words))
}

/// The number that follows these words.
fn after(text: &str, words: &str) -> Option<u64> {
    text.split_once(words).and_then(|(_, rest)| leading(rest))
}

/// The number that these words follow, at any of their places.
fn before(text: &str, words: &str) -> Option<u64> {
    text.match_indices(words).take(4).find_map(|(at, _)| {
        let head = text.get(..at)?;
        let digits = head.trim_end_matches(is_figure);
        number(head.get(digits.len()..)?)
    })
}

fn leading(text: &str) -> Option<u64> {
    let text = text.trim_start_matches('~');
    number(text.get(..text.find(|c| !is_figure(c)).unwrap_or(text.len()))?)
}

fn is_figure(c: char) -> bool {
    c.is_ascii_digit() || c == ','
}

/// A number with or without separators of thousands.
fn number(text: &str) -> Option<u64> {
    text.trim_matches(',').replace(',', "").parse().ok()
}

/// All numbers of a text that can be counts of tokens; small ones are parts of names.
fn numbers(text: &str) -> impl Iterator<Item = u64> + '_ {
    text.split(|c| !is_figure(c)).filter_map(number).filter(|number| *number >= 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t169_the_figures_of_every_server_are_read_where_they_stand() {
        for (words, asked, limit, answer) in [
            ("prompt is too long: 204000 tokens > 200000 maximum", Some(204_000), Some(200_000), None),
            (
                "input length and `max_tokens` exceed context limit: 198000 + 8000 > 200000, decrease input length",
                Some(206_000),
                Some(200_000),
                Some(8000),
            ),
            (
                "This model's maximum context length is 128000 tokens. However, your messages resulted in 130,123 tokens (130000 in the messages, 123 in the functions).",
                Some(130_123),
                Some(128_000),
                None,
            ),
            (
                "This model's maximum context length is 4097 tokens. However, you requested 4500 tokens (400 in the messages, 100 in the functions, and 4000 in the completion).",
                Some(4500),
                Some(4097),
                Some(4000),
            ),
            (
                "This endpoint's maximum context length is 65536 tokens. However, you requested about 70000 tokens (60000 of text input, 10000 in the output).",
                Some(70_000),
                Some(65_536),
                Some(10_000),
            ),
            (
                "'max_tokens' or 'max_completion_tokens' is too large: 32000. This model's maximum context length is 32768 tokens and your request has 2000 input tokens (32000 > 32768 - 2000).",
                Some(34_000),
                Some(32_768),
                Some(32_000),
            ),
            (
                "Requested token count exceeds the model's maximum context length of 32768 tokens. You requested a total of 40000 tokens: 8000 tokens from the input messages and 32000 tokens for the completion.",
                Some(40_000),
                Some(32_768),
                Some(32_000),
            ),
            (
                "`inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 `inputs` tokens and 1000 `max_new_tokens`",
                Some(5000),
                Some(4096),
                Some(1000),
            ),
            (
                "The input token count (1100000) exceeds the maximum number of tokens allowed (1048576).",
                Some(1_100_000),
                Some(1_048_576),
                None,
            ),
            (
                "The input token count exceeds the maximum number of tokens allowed (1048576).",
                None,
                Some(1_048_576),
                None,
            ),
            (
                "Unable to submit request because the input token count is 33000 but model only supports up to 32768.",
                Some(33_000),
                Some(32_768),
                None,
            ),
            (
                "request (8320 tokens) exceeds the available context size (4096 tokens), try increasing it",
                Some(8320),
                Some(4096),
                None,
            ),
            (
                "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
                Some(40_000),
                Some(32_768),
                None,
            ),
            (
                "This model's maximum prompt length is 131072 but the request contains 137000 tokens.",
                Some(137_000),
                Some(131_072),
                None,
            ),
            (
                "Your request exceeded model token limit: 131072 (requested: 140000)",
                Some(140_000),
                Some(131_072),
                None,
            ),
            (
                "The input (9000 tokens) is longer than the model's context length (8192 tokens).",
                Some(9000),
                Some(8192),
                None,
            ),
            (
                "Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 290026 tokens. Please reduce the length of the messages.",
                Some(290_026),
                Some(272_000),
                None,
            ),
            ("Your input exceeds the context window of this model.", None, None, None),
            ("exceeds the context window: 5000 of 4000", Some(5000), Some(4000), None),
        ] {
            assert!(Overflow::is_told(400, words), "{words}");
            assert_eq!(Overflow::read(words), Overflow { asked, limit, answer }, "{words}");
        }
    }

    #[test]
    fn figures_that_contradict_themselves_are_not_repeated() {
        for words in [
            "This model's maximum context length is 8192 tokens. However, your messages resulted in 8000 tokens.",
            "prompt is too long: 7 tokens > 8192 maximum",
            "maximum context length is 8192 tokens; 99999999999999999999999999 in the completion",
        ] {
            let found = Overflow::read(words);
            assert_eq!((found.asked, found.limit, found.answer), (None, Some(8192), None), "{words}");
        }
        assert_eq!(Overflow::read("three figures of tokens: 1000, 2000, 3000"), Overflow::default());
        let characters = "string too long. Expected a string with maximum length 10485760, but got 12000000";
        assert_eq!(Overflow::read(characters), Overflow::default());
        assert_eq!(Overflow::read(&"é".repeat(5000)), Overflow::default());
    }

    #[test]
    fn t169_figures_that_were_not_told_are_filled_with_what_is_known() {
        let figures = |asked, limit| Overflow { asked, limit, answer: None };
        for (told, known, both) in [
            ((None, None), (Some(9), Some(8)), (Some(9), Some(8))),
            ((None, Some(7)), (Some(9), Some(8)), (Some(9), Some(7))),
            ((Some(12), None), (Some(9), Some(8)), (Some(12), Some(8))),
            ((Some(12), Some(11)), (Some(9), Some(8)), (Some(12), Some(11))),
            // What was told is believed.
            ((None, Some(10)), (Some(9), Some(8)), (None, Some(10))),
            ((Some(8), None), (Some(9), Some(8)), (Some(8), None)),
            // An estimate that would fit is wrong.
            ((None, None), (Some(8), Some(8)), (None, Some(8))),
            ((None, None), (Some(9), None), (Some(9), None)),
            ((None, None), (None, None), (None, None)),
        ] {
            let filled = figures(told.0, told.1).or(figures(known.0, known.1));
            assert_eq!(filled, figures(both.0, both.1), "{told:?} {known:?}");
        }
    }

    #[test]
    fn limits_of_rates_are_no_overflow() {
        assert!(!Overflow::is_told(429, "Limit 30000, Requested 35000; maximum context length"));
        assert!(!Overflow::is_told(400, "max_tokens: 4096 is too large"));
    }
}
