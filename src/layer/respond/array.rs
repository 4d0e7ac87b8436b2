//! A Gemini stream as one JSON array: `[{…},\n{…}]` (3.7).

use bytes::Bytes;

use crate::protocol::sse;

/// Turns server-sent events into elements of one JSON array.
#[derive(Debug, Default)]
pub(super) struct ArrayFraming {
    events: sse::Decoder,
    begun: bool,
}

impl ArrayFraming {
    /// The array text for a piece of the event stream; may be empty.
    pub(super) fn push(&mut self, data: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(data.len());
        let begun = &mut self.begun;
        // The limit was enforced where the stream came in.
        let _ = self.events.push(data, |event| element(begun, &event.data, &mut out));
        if out.is_empty() && data == b"\n" {
            // A sign of life, which is white space here.
            out.push(b'\n');
        }
        out.into()
    }

    /// What is left, and the closing bracket.
    pub(super) fn finish(&mut self) -> Bytes {
        let mut out = Vec::new();
        let begun = &mut self.begun;
        self.events.finish(|event| element(begun, &event.data, &mut out));
        out.extend_from_slice(if self.begun { b"]" } else { b"[]" });
        out.into()
    }
}

fn element(begun: &mut bool, json: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(if std::mem::replace(begun, true) { b",\n" } else { b"[" });
    out.extend_from_slice(json);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_one_valid_array_wherever_it_is_cut() {
        let stream = b"data: {\"a\":1}\r\n\r\ndata: {\"b\":2}\n\n";
        for cut in 0..stream.len() {
            let mut framing = ArrayFraming::default();
            let mut out = framing.push(&stream[..cut]).to_vec();
            out.extend_from_slice(&framing.push(&stream[cut..]));
            out.extend_from_slice(&framing.finish());
            assert_eq!(out, b"[{\"a\":1},\n{\"b\":2}]", "{cut}");
        }
        assert_eq!(ArrayFraming::default().finish(), "[]");
    }
}
