//! Changes that keep most of a text's sense: in its bytes, its JSON, its events, its lines.

use crate::dice::Dice;
use crate::seeds::Sort;
use crate::tokens::{Token, tokens};

/// No input grows beyond this.
const MOST_BYTES: usize = 64 << 10;

/// Values that somebody may not have thought of.
const VALUES: [&str; 40] = [
    "null",
    "true",
    "false",
    "0",
    "-0",
    "-1",
    "1",
    "0.5",
    "1e400",
    "-1e-400",
    "1E+2",
    "4294967296",
    "9007199254740993",
    "18446744073709551615",
    "18446744073709551616",
    "-9223372036854775809",
    "123456789012345678901234567890",
    "1.10",
    "{}",
    "[]",
    "[[]]",
    "[null]",
    "[{}]",
    "\"\"",
    "\" \"",
    "\"a\"",
    "\"\\ud83d\"",
    "\"\\udd80\\ud83d\"",
    "\"\\u0000\"",
    "\"\\n\\r\\t\"",
    "\"null\"",
    "\"{}\"",
    "\"{\\\"a\\\":1}\"",
    "\"{\\\"a\\\":\"",
    "\"data:image/png;base64,AAAA\"",
    "\"data:,\"",
    "\"https://a.test/b.pdf?c#d\"",
    "\"</think>\"",
    "\"text\"",
    "\"{\\\"$ref\\\":\\\"#\\\"}\"",
];

/// Pieces of strings: escapes, halves of characters, what frames and marks look like.
const PIECES: [&[u8]; 24] = [
    b"\\ud83d",
    b"\\udd80",
    b"\\u00e9",
    b"\\",
    b"\"",
    b"\\\"",
    b"\xff",
    b"\xc3",
    b"\xf0\x9f\xa6\x80",
    b"\x00",
    b"\x1b[31m",
    b"\n",
    b"\r\n\r\n",
    b"\n\ndata: [DONE]\n\n",
    b"event: error\n",
    b"<think>",
    b"</think>",
    b"%2f..",
    b"://",
    b";base64,",
    b"END",
    b"{\\\"a\\\":",
    b"\xef\xbb\xbf",
    b"\xe2\x80\xa8",
];

/// Lines that may stand in a stream.
const EVENTS: [&[u8]; 16] = [
    b"data: [DONE]\n\n", b"data: {}\n\n", b"data:\n\n", b": ping\n\n", b"event: ping\ndata: {\"type\":\"ping\"}\n\n",
    b"event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"x\"}}\n\n",
    b"data: {\"error\":{\"message\":\"x\",\"code\":503,\"status\":\"UNAVAILABLE\"}}\n\n", b"data: null\n\n",
    b"data: {\"type\":\"message_stop\"}\n\n", b"event: novelty\ndata: {\"type\":\"novelty\"}\n\n", b"\r\r", b"\n\n\n",
    b"data: {\"choices\":[]}\n\n", b"data: {\"candidates\":[{}]}\n\n", b"data: <html>\n\n", b"id: 1\nretry: 5\n\n",
];

/// Pieces that make YAML.
const YAML: [&[u8]; 28] = [
    b"\n",
    b"\n  ",
    b"\n    ",
    b"- ",
    b": ",
    b"{",
    b"}",
    b"[",
    b"]",
    b", ",
    b"&a ",
    b"*a",
    b"<<: *a",
    b"!!str ",
    b"? ",
    b"# ",
    b"|\n",
    b">-\n",
    b"---\n",
    b"%YAML 1.2\n",
    b"${A}",
    b"$$",
    b"${",
    b"env.A",
    b"file:/",
    b"\t",
    b"99999999999999999999",
    b"~",
];

/// How deep brackets are put: around what readers allow, and where a stack would end.
const DEPTHS: [usize; 8] = [2, 30, 64, 127, 128, 256, 1_000, 20_000];

/// Changes `text`, a few times as a rule; `others` are of its sort.
pub fn mutate(text: &mut Vec<u8>, sort: Sort, others: &[Vec<u8>], dice: &mut Dice) {
    if dice.once_in(32) {
        return;
    }
    let mut times = 1;
    while dice.once_in(2) && times < 8 {
        times += 1;
    }
    for _ in 0..times {
        match (sort, dice.below(8)) {
            (_, 0) => in_bytes(text, others, dice),
            (Sort::Stream, 1..=3) => in_events(text, others, dice),
            (Sort::Yaml, 1..=6) => in_lines(text, others, dice),
            (Sort::Headers, 1..=5) => in_lines(text, others, dice),
            (Sort::Packed, 1..=6) => in_bytes(text, others, dice),
            _ => in_json(text, others, dice),
        }
        text.truncate(MOST_BYTES);
    }
}

fn splice(text: &mut Vec<u8>, span: std::ops::Range<usize>, new: impl AsRef<[u8]>) {
    text.splice(span, new.as_ref().iter().copied());
}

/// A place between two bytes, or at an end.
fn place(text: &[u8], dice: &mut Dice) -> usize {
    dice.below(text.len() + 1)
}

/// A piece of at most so many bytes.
fn piece(text: &[u8], most: usize, dice: &mut Dice) -> std::ops::Range<usize> {
    let start = place(text, dice);
    let end = (start + dice.below(most) + 1).min(text.len());
    start..end
}

fn in_bytes(text: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
    match dice.below(8) {
        0 => {
            if let Some(at) = text.len().checked_sub(1) {
                text[dice.below(at + 1)] ^= 1 << dice.below(8);
            }
        }
        1 => {
            let at = place(text, dice);
            text.insert(at, dice.below(256) as u8);
        }
        2 => {
            let span = piece(text, 16, dice);
            splice(text, span, []);
        }
        3 => {
            let copy = text[piece(text, 64, dice)].to_vec();
            let at = place(text, dice);
            splice(text, at..at, copy);
        }
        4 => text.truncate(dice.below(text.len() + 1)),
        5 => {
            let at = place(text, dice);
            splice(text, at..at, dice.pick(&PIECES));
        }
        6 => {
            let other = dice.pick(others);
            let end = place(other, dice);
            let at = place(text, dice);
            text.truncate(at);
            text.extend_from_slice(&other[end..]);
        }
        _ => {
            let other = dice.pick(others);
            let new = &other[piece(other, 32, dice)];
            let span = piece(text, 32, dice);
            splice(text, span, new);
        }
    }
}

fn in_json(text: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
    let all = tokens(text);
    if all.is_empty() {
        return in_bytes(text, others, dice);
    }
    let Token { span, is_key, is_string } = dice.pick(&all).clone();
    match dice.below(12) {
        0 | 1 if !is_key => splice(text, span, dice.pick(&VALUES)),
        2 | 3 if is_string && span.len() >= 2 => within_string(text, span, dice),
        // What another text says in the place of this.
        0..=4 => {
            let other = dice.pick(others);
            let found = tokens(other);
            let alike: Vec<&Token> = found.iter().filter(|token| token.is_key == is_key).collect();
            if !alike.is_empty() {
                splice(text, span, &other[dice.pick(&alike).span.clone()]);
            }
        }
        5 => {
            let other = dice.pick(&all).span.clone();
            if other.start >= span.end {
                let (first, second) = (text[span.clone()].to_vec(), text[other.clone()].to_vec());
                splice(text, other, first);
                splice(text, span, second);
            }
        }
        // Without it, and the comma after it.
        6 => {
            let end = if text.get(span.end) == Some(&b',') { span.end + 1 } else { span.end };
            splice(text, span.start..end, []);
        }
        // Again: a list's item, or a member with another's value.
        7 | 8 => {
            let mut copy = text[span.clone()].to_vec();
            if is_key {
                copy.push(b':');
                if dice.once_in(2) {
                    copy.extend_from_slice(dice.pick(&VALUES).as_bytes());
                } else {
                    copy.extend_from_slice(&text[dice.pick(&all).span.clone()]);
                }
            }
            copy.push(b',');
            let times = if dice.once_in(50) { 1 + dice.below(200) } else { 1 };
            splice(text, span.start..span.start, copy.repeat(times));
        }
        9 if !is_key => {
            let limit = if dice.once_in(40) { DEPTHS.len() } else { 4 };
            let depth = DEPTHS[dice.below(limit)];
            let (open, close) =
                *dice.pick(&[("[", "]"), ("{\"a\":", "}"), ("{\"items\":", "}"), ("[[", "]]")]);
            splice(text, span.end..span.end, close.repeat(depth));
            splice(text, span.start..span.start, open.repeat(depth));
        }
        10 if is_string && !is_key => {
            let inner = text[span.clone()].to_vec();
            let written = String::from_utf8_lossy(&inner).replace('\\', "\\\\").replace('"', "\\\"");
            splice(text, span, format!("\"{written}\""));
        }
        11 if is_string => {
            let long = *dice.pick(&["x", "é", "\\u00e9", "🦀", "a b ", "\\\\"]);
            let at = span.end - 1;
            splice(text, at..at, long.repeat(1 + dice.below(400)));
        }
        _ => splice(text, span, dice.pick(&VALUES)),
    }
}

/// Changes something between the quotes.
fn within_string(text: &mut Vec<u8>, span: std::ops::Range<usize>, dice: &mut Dice) {
    let inner = span.start + 1..span.end - 1;
    let at = inner.start + dice.below(inner.len() + 1);
    match dice.below(3) {
        0 => splice(text, at..inner.end, []),
        1 => splice(text, at..at, dice.pick(&PIECES)),
        _ => splice(text, inner, dice.pick(&PIECES)),
    }
}

/// Where each event of a stream stands, its blank line included.
fn events(text: &[u8]) -> Vec<std::ops::Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for at in 1..text.len() {
        if text[at] == b'\n' && (text[at - 1] == b'\n' || text[..at].ends_with(b"\n\r")) {
            found.push(start..at + 1);
            start = at + 1;
        }
    }
    if start < text.len() {
        found.push(start..text.len());
    }
    found
}

fn in_events(text: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
    let all = events(text);
    if all.is_empty() {
        return in_bytes(text, others, dice);
    }
    let one = dice.pick(&all).clone();
    let here = dice.pick(&all).start;
    match dice.below(9) {
        0 => splice(text, one, []),
        1 => {
            let copy = text[one].to_vec();
            splice(text, here..here, copy);
        }
        2 => {
            let copy = text[one.clone()].to_vec();
            splice(text, one.clone(), []);
            let here = if here > one.start { here - one.len() } else { here };
            splice(text, here..here, copy);
        }
        3 => {
            let other = dice.pick(others);
            let found = events(other);
            if !found.is_empty() {
                splice(text, here..here, &other[dice.pick(&found).clone()]);
            }
        }
        4 => splice(text, here..here, dice.pick(&EVENTS)),
        5 => text.truncate(here),
        6 => {
            let end = *dice.pick(&["\r\n", "\r", "\n\n", "\n"]);
            let changed = String::from_utf8_lossy(text).replace("\r\n", "\n").replace('\n', end);
            *text = changed.into_bytes();
        }
        7 => {
            let at = one.start + dice.below(one.len() + 1);
            splice(text, at..at, dice.pick(&[&b"\ndata: "[..], b"\n", b"\r", b"\n:\n", b"\ndata:"]));
        }
        _ => {
            let event =
                String::from_utf8_lossy(&text[one.clone()]).replace("event: ", "").replace("data: ", "data:");
            splice(text, one, event);
        }
    }
}

fn in_lines(text: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
    let lines = |text: &[u8]| -> Vec<Vec<u8>> {
        text.split_inclusive(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect()
    };
    let mut all = lines(text);
    if all.is_empty() {
        return in_bytes(text, others, dice);
    }
    let one = dice.below(all.len());
    let here = dice.below(all.len());
    match dice.below(9) {
        0 => drop(all.remove(one)),
        1 => all.insert(here, all[one].clone()),
        2 => all.swap(one, here),
        3 => {
            let other: &Vec<u8> = dice.pick(others);
            let other = lines(other);
            if !other.is_empty() {
                all.insert(here, dice.pick(&other).clone());
            }
        }
        4 => all[one].splice(0..0, *b"  ").for_each(drop),
        5 => {
            let spaces = all[one].iter().take_while(|byte| **byte == b' ').count();
            drop(all[one].drain(..spaces / 2));
        }
        6 | 7 => {
            let value = all[one].windows(2).position(|two| two == b": ").map_or(0, |at| at + 2);
            let value = value..all[one].len().saturating_sub(1).max(value);
            let new = if dice.once_in(2) { dice.pick(&VALUES).as_bytes() } else { *dice.pick(&YAML) };
            splice(&mut all[one], value, new);
        }
        _ => {
            let at = place(&all[one], dice);
            splice(&mut all[one], at..at, dice.pick(&YAML));
        }
    }
    *text = all.concat();
}
