//! The connection is reset after so many bytes of an answer: after each of them, or after some.

use super::Row;
use crate::provider::{Scene, begun, document, events, finish};
use crate::rule::Effect::{Fails, Nothing};
use crate::rule::{Mode, Stage};
use crate::support::Protocol;
use crate::support::upstream::Answer;

pub fn offsets(is_deep: bool) -> Vec<Row> {
    let mut rows = Vec::new();
    for protocol in Protocol::ALL {
        let ends = ends(protocol);
        let (content, whole) = (ends[begun(protocol) - 1], ends[last(protocol)]);
        let length = events(protocol).concat().len();
        for bytes in sample(length, &[content, whole], is_deep) {
            let (stage, effect) = match bytes {
                _ if bytes < content => (Stage::BeforeContent, Fails(502)),
                _ if bytes < whole => (Stage::MidStream, Fails(502)),
                _ => (Stage::AfterTheEnd, Nothing),
            };
            let row = Row::new(STREAM, stage, effect, move |scene| stream(scene, bytes));
            rows.push(row.in_modes(&Mode::OF_STREAMS).of([protocol]));
        }
        let length = document(protocol).len();
        for bytes in sample(length, &[length], is_deep) {
            let (stage, effect) = match bytes < length {
                true => (Stage::InTheDocument, Fails(502)),
                false => (Stage::AfterTheEnd, Nothing),
            };
            let row = Row::new(DOCUMENT, stage, effect, move |scene| {
                let head = scene.head(&format!("content-length: {length}"));
                Answer::raw(head).bytes(document(scene.protocol).into_bytes()[..bytes].to_vec()).reset()
            });
            rows.push(row.in_modes(&[Mode::Document]).of([protocol]));
        }
    }
    rows
}

const STREAM: &str = "reset after N bytes of a stream";
const DOCUMENT: &str = "reset after N bytes of a document";

/// Every number of bytes, or some and those beside each border.
fn sample(length: usize, borders: &[usize], is_deep: bool) -> Vec<usize> {
    let mut all: Vec<usize> = match is_deep {
        true => (0..=length).collect(),
        false => (0..=8).map(|part| part * length / 8).collect(),
    };
    all.extend(borders.iter().flat_map(|at| [at - 1, *at]));
    all.sort_unstable();
    all.dedup();
    all
}

/// The event with which the answer is whole.
fn last(protocol: Protocol) -> usize {
    match protocol {
        Protocol::Anthropic => events(protocol).len() - 1,
        _ => finish(protocol),
    }
}

/// How many bytes it takes until each event is closed: a blank line ends with its CR.
fn ends(protocol: Protocol) -> Vec<usize> {
    let mut sum = 0;
    let ends = events(protocol).into_iter().map(|event| {
        sum += event.len();
        sum - usize::from(event.ends_with("\r\n"))
    });
    ends.collect()
}

fn stream(scene: &Scene, bytes: usize) -> Answer {
    let mut answer = Answer::stream();
    let mut left = bytes;
    let content = begun(scene.protocol) - 1;
    for (number, event) in events(scene.protocol).into_iter().enumerate() {
        if left < event.len() {
            let part = &event.as_bytes()[..left];
            return answer.bytes([format!("{:x}\r\n", event.len()).as_bytes(), part].concat()).reset();
        }
        left -= event.len();
        answer = answer.frame(&event);
        if number == content {
            answer = answer.wait(&scene.read);
        }
    }
    answer.reset()
}
