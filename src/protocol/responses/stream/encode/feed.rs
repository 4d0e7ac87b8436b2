//! Where events go: framing, numbering, and the hot path.

use crate::protocol::json::Writer;
use crate::protocol::sse;

/// Where events go, and their one numbering (T056).
#[derive(Debug)]
pub(super) struct Feed {
    silent: bool,
    sequence: u64,
    /// What stands before and after the text in every delta of the open part.
    before: Vec<u8>,
    after: &'static [u8],
}

impl Feed {
    pub(super) fn new(silent: bool) -> Self {
        Feed { silent, sequence: 0, before: Vec::new(), after: b"" }
    }

    pub(super) fn send(&mut self, out: &mut Vec<u8>, name: &'static str, body: impl FnOnce(&mut Writer<'_>)) {
        if self.silent {
            return;
        }
        let sequence = self.next();
        sse::write_named_event(out, name, |out| {
            let mut w = Writer::new(out);
            w.begin_object();
            w.key("type").text(name);
            w.key("sequence_number").u64(sequence);
            body(&mut w);
            w.end_object();
        });
    }

    fn next(&mut self) -> u64 {
        let sequence = self.sequence;
        self.sequence += 1;
        sequence
    }

    /// Renders once what every delta of a part repeats.
    pub(super) fn prepare(
        &mut self,
        item_id: &str,
        index: u64,
        part: Option<(&'static str, u64)>,
        after: &'static [u8],
    ) {
        self.before.clear();
        // The comma is the writer's own: the sequence number stands before it.
        self.before.push(b'0');
        let mut w = Writer::new(&mut self.before);
        w.key("item_id").text(item_id);
        w.key("output_index").u64(index);
        if let Some((key, number)) = part {
            w.key(key).u64(number);
        }
        w.key("delta");
        self.before.push(b'"');
        self.after = after;
    }

    /// Text of an answer; `logprobs` is the inside of the list of its tokens.
    pub(super) fn text(&mut self, out: &mut Vec<u8>, text: &[u8], logprobs: &[u8]) {
        const NAME: &str = "response.output_text.delta";
        if logprobs.is_empty() {
            return self.delta(out, NAME, text);
        }
        self.delta_with(out, NAME, text, &[b"\",\"logprobs\":[", logprobs, b"]}"]);
    }

    pub(super) fn delta(&mut self, out: &mut Vec<u8>, name: &'static str, text: &[u8]) {
        self.delta_with(out, name, text, &[self.after]);
    }

    /// The hot path: copies, and nothing else.
    fn delta_with(&mut self, out: &mut Vec<u8>, name: &'static str, text: &[u8], after: &[&[u8]]) {
        if self.silent {
            return;
        }
        let sequence = self.next();
        sse::write_named_event(out, name, |out| {
            out.extend_from_slice(b"{\"type\":\"");
            out.extend_from_slice(name.as_bytes());
            out.extend_from_slice(b"\",\"sequence_number\":");
            push_number(sequence, out);
            out.extend_from_slice(self.before.get(1..).unwrap_or_default());
            out.extend_from_slice(text);
            after.iter().for_each(|bytes| out.extend_from_slice(bytes));
        });
    }
}

pub(super) const AFTER_TEXT: &[u8] = b"\",\"logprobs\":[]}";
pub(super) const AFTER_OTHERS: &[u8] = b"\"}";

fn push_number(value: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut rest = value;
    let mut used = 0;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
        used += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - used..).unwrap_or_default());
}
