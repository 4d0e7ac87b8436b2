//! Reasoning that a model writes into its text, as `<think>…</think>` before the answer (2.9). Read so only where the
//! upstream's dialect says `think_tags`.
//!
//! What a model says first counts, and nothing later: further on the tags may be what the answer is about. White
//! space around the tags belongs to nobody; an end that never comes leaves all of it reasoning.

use super::citations::characters;
use crate::protocol::canonical::{Citation, TokenLogprob};
use crate::protocol::json::Str;

const OPEN: &str = "<think>";
const CLOSE: &str = "</think>";

/// Most characters of white space before the first tag, which are held back until it is known to be one.
const MOST_BLANK: u64 = 64;

/// A piece of the text as it was told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece {
    /// Of what stood between the tags.
    Reasoning(Str<'static>),
    /// Of the answer.
    Text(Str<'static>),
}

/// Tells the two apart in one choice, however its text is cut into deltas.
#[derive(Debug)]
pub(super) struct ThinkTags {
    text: Splitter,
    /// The same text once more, token by token.
    tokens: Splitter,
    /// Tokens of the beginning, as long as that may be a tag.
    waiting: Vec<TokenLogprob<'static>>,
}

impl ThinkTags {
    /// At the beginning of a choice; without tags all of it is text.
    pub(super) fn new(has_tags: bool) -> Self {
        ThinkTags { text: Splitter::new(has_tags), tokens: Splitter::new(has_tags), waiting: Vec::new() }
    }

    /// Whether all that may still come is text.
    pub(super) fn is_over(&self) -> bool {
        self.text.state == State::Text
    }

    /// Takes more of the text. What may be the beginning of a tag is held back.
    pub(super) fn push(&mut self, text: &Str<'_>) -> Vec<Piece> {
        let mut pieces = Vec::new();
        self.text.push(text, |piece| pieces.push(piece));
        pieces
    }

    /// What is held back was no tag: nothing that goes on with it comes.
    pub(super) fn flush(&mut self) -> Option<Piece> {
        self.tokens.flush();
        self.text.flush()
    }

    /// Whether something is held back.
    pub(super) fn is_holding(&self) -> bool {
        !self.text.held.is_empty()
    }

    /// The tokens among these that make visible text.
    pub(super) fn visible<'t>(&mut self, tokens: Vec<TokenLogprob<'t>>) -> Vec<TokenLogprob<'t>> {
        if self.tokens.state == State::Text {
            return tokens;
        }
        let mut visible = Vec::new();
        for token in tokens {
            self.tokens.push(&token.token, |_| {});
            match self.tokens.state {
                State::Start if (self.waiting.len() as u64) < MOST_BLANK => {
                    self.waiting.push(token.into_owned())
                }
                State::Start | State::Text => {
                    visible.append(&mut self.waiting());
                    visible.push(token);
                }
                State::Opened | State::Inside | State::Closed => self.waiting.clear(),
            }
        }
        visible
    }

    /// The tokens that waited for more, now that none comes.
    pub(super) fn waiting(&mut self) -> Vec<TokenLogprob<'static>> {
        std::mem::take(&mut self.waiting)
    }

    /// Counts a citation's place from where the text begins: the server counted from the first tag.
    pub(super) fn place(&self, citation: &mut Citation<'_>) {
        let hidden = self.text.hidden;
        let is_seen = |(_, end): &(u64, u64)| hidden == 0 || *end > hidden;
        let place = |(start, end): (u64, u64)| (start.saturating_sub(hidden), end.saturating_sub(hidden));
        citation.range = citation.range.filter(is_seen).map(place);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing but white space so far.
    Start,
    /// The first tag has been read.
    Opened,
    /// Within the reasoning.
    Inside,
    /// The second tag has been read.
    Closed,
    /// Within the answer.
    Text,
}

#[derive(Debug)]
struct Splitter {
    state: State,
    /// Escaped, and no longer than a tag after the most white space.
    held: String,
    /// Characters before the visible text.
    hidden: u64,
}

/// How a text compares with a tag.
enum Match {
    /// It begins with the tag, which takes so many bytes.
    Whole(usize),
    /// All of it is the beginning of the tag.
    Begun,
    /// Not at all.
    Not,
}

impl Splitter {
    fn new(has_tags: bool) -> Self {
        let state = if has_tags { State::Start } else { State::Text };
        Splitter { state, held: String::new(), hidden: 0 }
    }

    fn push(&mut self, text: &Str<'_>, mut sink: impl FnMut(Piece)) {
        let mut all = std::mem::take(&mut self.held);
        all.push_str(text.as_escaped());
        let mut rest = all.as_str();
        while !rest.is_empty()
            && let Some(end) = self.step(rest, &mut sink)
        {
            rest = rest.get(end..).unwrap_or_default();
        }
        self.held = rest.to_owned();
    }

    /// Takes what stands at the beginning of `text`: so many bytes, or `None` if all of it has to wait.
    fn step(&mut self, text: &str, sink: &mut impl FnMut(Piece)) -> Option<usize> {
        let piece = |end| Str::from_escaped(text.get(..end).unwrap_or(text).to_owned());
        let blank = blank(text);
        let is_blank = blank == text.len();
        let (end, next) = match self.state {
            State::Start => match compare(text.get(blank..).unwrap_or_default(), OPEN) {
                _ if characters(&piece(blank)) > MOST_BLANK => (0, State::Text),
                Match::Whole(long) => (blank + long, State::Opened),
                Match::Begun => return None,
                Match::Not => (0, State::Text),
            },
            State::Opened => (blank, if is_blank { State::Opened } else { State::Inside }),
            State::Closed => (blank, if is_blank { State::Closed } else { State::Text }),
            State::Inside => {
                let (end, found) = find(text, CLOSE);
                if end > 0 {
                    sink(Piece::Reasoning(piece(end)));
                }
                match found {
                    Match::Whole(long) => (end + long, State::Closed),
                    Match::Begun if end == 0 => return None,
                    Match::Begun | Match::Not => (end, State::Inside),
                }
            }
            State::Text => {
                sink(Piece::Text(piece(text.len())));
                return Some(text.len());
            }
        };
        self.hidden += characters(&piece(end));
        self.state = next;
        Some(end)
    }

    fn flush(&mut self) -> Option<Piece> {
        let held = Str::from_escaped(std::mem::take(&mut self.held));
        if held.is_empty() {
            return None;
        }
        if self.state == State::Start {
            self.state = State::Text;
            return Some(Piece::Text(held));
        }
        self.hidden += characters(&held);
        Some(Piece::Reasoning(held))
    }
}

/// The first character of an escaped text, and how many bytes it takes. Servers escape even the signs of a tag.
fn first(text: &str) -> Option<(usize, char)> {
    let long = match text.as_bytes() {
        [b'\\', b'u', ..] => 6,
        [b'\\', ..] => 2,
        _ => return text.chars().next().map(|c| (c.len_utf8(), c)),
    };
    let spelled = text.get(..long).unwrap_or(text);
    let meant = Str::from_escaped(spelled).decode().chars().next();
    Some((spelled.len(), meant.unwrap_or(char::REPLACEMENT_CHARACTER)))
}

/// How many bytes of white space it begins with.
fn blank(text: &str) -> usize {
    let mut end = 0;
    while let Some((long, _)) = text.get(end..).and_then(first).filter(|(_, c)| c.is_whitespace()) {
        end += long;
    }
    end
}

fn compare(text: &str, tag: &str) -> Match {
    let mut end = 0;
    for expected in tag.chars() {
        match text.get(end..).and_then(first) {
            None => return Match::Begun,
            Some((long, c)) if c == expected => end += long,
            Some(_) => return Match::Not,
        }
    }
    Match::Whole(end)
}

/// Where the tag begins, or may begin; the end of the text if nowhere.
fn find(text: &str, tag: &str) -> (usize, Match) {
    let mut at = 0;
    while let Some(rest) = text.get(at..)
        && let Some(next) = memchr::memchr2(b'<', b'\\', rest.as_bytes())
    {
        at += next;
        let rest = text.get(at..).unwrap_or_default();
        match compare(rest, tag) {
            Match::Not => at += first(rest).map_or(1, |(long, _)| long),
            found => return (at, found),
        }
    }
    (text.len(), Match::Not)
}

#[cfg(test)]
mod tests;
