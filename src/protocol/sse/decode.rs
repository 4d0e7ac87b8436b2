//! Bytes to events. An event within one chunk is a slice of it; a chunk is copied only when it
//! ends an event that an earlier one began.

use std::borrow::Cow;
use std::fmt;

/// One server-sent event that has data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event<'a> {
    /// The `event:` line, if there was one.
    pub name: Option<Cow<'a, [u8]>>,
    /// The `data:` lines, joined with `\n`.
    pub data: Cow<'a, [u8]>,
}

impl Event<'_> {
    /// Whether this is the end mark of a chat stream (some servers pad it with spaces).
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.data.trim_ascii() == b"[DONE]"
    }
}

/// What a decoder is to do after an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Then {
    /// Hand out the next.
    GoOn,
    /// Hand out no more: what follows counts as [unfinished](Decoder::unfinished).
    Stop,
    /// Likewise, and this one counts as unfinished too.
    PutBack,
}

/// An event grew beyond the decoder's limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// The limit in bytes.
    pub limit: usize,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a stream event is longer than {} bytes", self.limit)
    }
}
impl std::error::Error for TooLong {}

/// Splits a byte stream into events. Where chunks begin and end makes no difference to them.
///
/// ```
/// use aiproxy::protocol::sse::Decoder;
/// let mut seen = Vec::new();
/// let mut decoder = Decoder::default();
/// for chunk in [&b"event: ping\r\nda"[..], b"ta: {}\r\n\r", b"\n: comment\n\ndata:x\n\n"] {
///     decoder.push(chunk, |event| seen.push(String::from_utf8(event.data.to_vec()).unwrap()))?;
/// }
/// assert_eq!(seen, ["{}", "x"]);
/// # Ok::<_, aiproxy::protocol::sse::TooLong>(())
/// ```
#[derive(Debug)]
pub struct Decoder {
    /// The start of an event whose end has not come yet.
    held: Vec<u8>,
    /// How far `held` is known to hold no end of an event.
    scanned: usize,
    started: bool,
    /// The last event ended with a CR, whose LF may follow.
    ended_with_cr: bool,
    limit: usize,
}

impl Default for Decoder {
    /// A decoder that takes events of up to 16 MiB: Gemini sends whole images in one.
    fn default() -> Self {
        Decoder::with_limit(16 << 20)
    }
}

impl Decoder {
    /// A decoder with a limit on the size of one event, in bytes.
    #[must_use]
    pub fn with_limit(limit: usize) -> Self {
        Decoder { held: Vec::new(), scanned: 0, started: false, ended_with_cr: false, limit }
    }

    /// Feeds a chunk and hands each complete event to `sink`.
    ///
    /// # Errors
    ///
    /// If an event outgrows the limit; the decoder is of no use afterwards.
    pub fn push(&mut self, chunk: &[u8], mut sink: impl FnMut(Event<'_>)) -> Result<(), TooLong> {
        self.push_until(chunk, |event| {
            sink(event);
            Then::GoOn
        })
    }

    /// Feeds a chunk and hands each complete event to `sink`, until that has had enough; then the decoder is done.
    ///
    /// # Errors
    ///
    /// As [`push`](Decoder::push).
    pub fn push_until(
        &mut self,
        chunk: &[u8],
        mut sink: impl FnMut(Event<'_>) -> Then,
    ) -> Result<(), TooLong> {
        let mut rest = chunk;
        if !chunk.is_empty() && std::mem::take(&mut self.ended_with_cr) {
            rest = chunk.strip_prefix(b"\n").unwrap_or(chunk);
        }
        if !self.held.is_empty() || !self.started {
            // The chunk that ends the held event; the rest is then read where it lies.
            if !self.held.is_empty() {
                self.held.extend_from_slice(rest);
                rest = &[];
            }
            if !self.started {
                // A byte order mark may come, in pieces.
                const MARK: &[u8] = b"\xef\xbb\xbf";
                let head = if self.held.is_empty() { rest } else { &self.held };
                if head.len() < MARK.len() && MARK.starts_with(head) {
                    if self.held.is_empty() {
                        self.held.extend_from_slice(rest);
                    }
                    return Ok(());
                }
                let skip = if head.starts_with(MARK) { MARK.len() } else { 0 };
                self.started = true;
                if self.held.is_empty() {
                    rest = &rest[skip..];
                } else {
                    self.held.drain(..skip);
                }
            }
            if !self.held.is_empty() {
                return self.push_held(sink);
            }
        }
        let (rest, then) = hand_out(rest, 0, &mut sink);
        if then != Then::GoOn {
            self.held.extend_from_slice(rest);
            return Ok(());
        }
        self.ended_with_cr |= rest.is_empty() && chunk.ends_with(b"\r");
        self.hold(rest)
    }

    fn push_held(&mut self, mut sink: impl FnMut(Event<'_>) -> Then) -> Result<(), TooLong> {
        let held = std::mem::take(&mut self.held);
        let (rest, then) = hand_out(&held, self.scanned, &mut sink);
        if then != Then::GoOn {
            self.held.extend_from_slice(rest);
            return Ok(());
        }
        self.ended_with_cr = rest.is_empty() && held.ends_with(b"\r");
        if rest.len() == held.len() {
            self.held = held;
            self.note_scanned()
        } else {
            self.hold(rest)
        }
    }

    fn hold(&mut self, rest: &[u8]) -> Result<(), TooLong> {
        self.held.clear();
        self.held.extend_from_slice(rest);
        self.note_scanned()
    }

    fn note_scanned(&mut self) -> Result<(), TooLong> {
        // A line end may be cut in two: the last three bytes are looked at again.
        self.scanned = self.held.len().saturating_sub(3);
        if self.held.len() > self.limit { Err(TooLong { limit: self.limit }) } else { Ok(()) }
    }

    /// The stream has ended: hands out a last event that no blank line closed (T004).
    ///
    /// Whether it is whole is for its reader to say; half a JSON document is a truncation.
    pub fn finish(&mut self, mut sink: impl FnMut(Event<'_>)) {
        let held = std::mem::take(&mut self.held);
        self.scanned = 0;
        let text = held.strip_prefix(b"\xef\xbb\xbf").filter(|_| !self.started).unwrap_or(&held);
        parse(text, &mut sink);
    }

    /// How many bytes at the end of what came so far belong to an event that has not ended.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.held.len()
    }
}

/// Hands out events up to the last that is whole, or that the sink wants; what is left.
fn hand_out<'t>(
    text: &'t [u8],
    mut from: usize,
    sink: &mut impl FnMut(Event<'_>) -> Then,
) -> (&'t [u8], Then) {
    let mut rest = text;
    while let Some((end, next)) = find_blank_line(rest, from) {
        let mut then = Then::GoOn;
        parse(&rest[..end], &mut |event| then = sink(event));
        let after = &rest[next..];
        match then {
            Then::GoOn => rest = after,
            Then::Stop => return (after, then),
            Then::PutBack => return (rest, then),
        }
        from = 0;
    }
    (rest, Then::GoOn)
}

/// Finds the first empty line from `from` on: where the event before it ends, where the next begins.
///
/// Lines end with LF, CRLF or CR, mixed at will (T002). An empty line ends with its CR: the LF that may follow
/// is the decoder's to skip, for it may come late or never.
fn find_blank_line(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    // An event that begins with an empty line is empty.
    if from == 0 {
        match text {
            [b'\n', ..] => return Some((0, 1)),
            [b'\r', b'\n', ..] => return Some((0, 2)),
            [b'\r', ..] => return Some((0, 1)),
            _ => {}
        }
    }
    loop {
        let end = at + memchr::memchr2(b'\n', b'\r', text.get(at..)?)?;
        let next = end + line_end(&text[end..])?;
        match text.get(next)? {
            b'\n' => return Some((end, next + 1)),
            b'\r' => return Some((end, next + line_end(&text[next..]).unwrap_or(1))),
            _ => at = next,
        }
    }
}

/// Length of the line end that `text` starts with; `None` while a CR may still get its LF.
fn line_end(text: &[u8]) -> Option<usize> {
    match text {
        [b'\n', ..] => Some(1),
        [b'\r', b'\n', ..] => Some(2),
        [b'\r', _, ..] => Some(1),
        _ => None,
    }
}

fn parse(text: &[u8], sink: &mut impl FnMut(Event<'_>)) {
    let mut name = None;
    let mut data: Option<Cow<'_, [u8]>> = None;
    let mut rest = text;
    while !rest.is_empty() {
        let end = memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
        let line = &rest[..end];
        rest = match &rest[end..] {
            [b'\r', b'\n', tail @ ..] | [_, tail @ ..] => tail,
            [] => &[],
        };
        if let Some(value) = field(line, b"data") {
            match &mut data {
                None => data = Some(Cow::Borrowed(value)),
                Some(lines) => {
                    let lines = lines.to_mut();
                    lines.push(b'\n');
                    lines.extend_from_slice(value);
                }
            }
        } else if let Some(value) = field(line, b"event") {
            name = Some(Cow::Borrowed(value));
        }
    }
    if let Some(data) = data
        && !data.is_empty()
    {
        sink(Event { name, data });
    }
}

fn field<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let value = line.strip_prefix(name)?.strip_prefix(b":")?;
    Some(value.strip_prefix(b" ").unwrap_or(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode(chunks: &[&[u8]]) -> Vec<(String, String)> {
        let mut seen = Vec::new();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let mut decoder = Decoder::default();
        for chunk in chunks {
            decoder
                .push(chunk, |e| seen.push((e.name.as_deref().map(text).unwrap_or_default(), text(&e.data))))
                .unwrap();
        }
        decoder.finish(|e| seen.push((e.name.as_deref().map(text).unwrap_or_default(), text(&e.data))));
        seen
    }

    #[test]
    fn t002_line_ends_may_be_mixed() {
        let want = vec![(String::new(), "1".to_owned()), ("n".to_owned(), "2\n3".to_owned())];
        for stream in [
            "data: 1\n\nevent: n\ndata: 2\ndata: 3\n\n",
            "data: 1\r\n\r\nevent: n\r\ndata: 2\r\ndata: 3\r\n\r\n",
            "data: 1\r\revent: n\rdata: 2\rdata: 3\r\r",
            "data: 1\n\r\nevent: n\r\ndata: 2\rdata: 3\r\n\n",
        ] {
            assert_eq!(decode(&[stream.as_bytes()]), want, "{stream:?}");
        }
    }

    #[test]
    fn t002_an_event_that_ends_with_a_cr_does_not_wait_for_the_next() {
        let mut decoder = Decoder::default();
        let mut seen = Vec::new();
        for chunk in ["data: 1\r\r", "\ndata: 2\n", "\r", "", "\n", "\r", "data: 3\r\n\r", "data: 4\r\r"] {
            decoder.push(chunk.as_bytes(), |event| seen.push(event.data.to_vec())).unwrap();
            let is_within = chunk == "\ndata: 2\n";
            assert_eq!(decoder.unfinished() > 0, is_within, "{chunk:?}");
        }
        assert_eq!(seen, [b"1", b"2", b"3", b"4"]);
    }

    #[test]
    fn t003_joined_lines_no_space_and_byte_order_mark() {
        assert_eq!(decode(&[b"\xef\xbb\xbfdata:{\"a\":\ndata: 1}\n\n"])[0].1, "{\"a\":\n1}");
        assert_eq!(decode(&[b"\xef", b"\xbb\xbf", b"data:1\n\n"])[0].1, "1");
    }

    #[test]
    fn t004_last_event_without_blank_line() {
        assert_eq!(decode(&[b"data: 1\n\ndata: 2"]).len(), 2);
        assert_eq!(decode(&[b"data: 1\n\n\n\n: c\nid: 4\nretry: 1\n\n"]).len(), 1);
    }

    #[test]
    fn what_follows_the_last_wanted_event_is_held_back() {
        let stream = b"data: 1\n\ndata: last\n\ndata: 3\n\n: x\n";
        for (then, rest) in
            [(Then::Stop, "data: 3\n\n: x\n"), (Then::PutBack, "data: last\n\ndata: 3\n\n: x\n")]
        {
            // Within one chunk, and in one that ends what another began.
            for cut in [0, 12] {
                let (mut decoder, mut seen) = (Decoder::default(), 0);
                for chunk in [&stream[..cut], &stream[cut..]] {
                    let sink = |event: Event<'_>| {
                        seen += 1;
                        if *event.data == *b"last" { then } else { Then::GoOn }
                    };
                    decoder.push_until(chunk, sink).unwrap();
                }
                assert_eq!((seen, decoder.unfinished()), (2, rest.len()), "{then:?}, {cut}");
            }
        }
    }

    #[test]
    fn an_endless_event_is_refused() {
        let mut decoder = Decoder::with_limit(10);
        assert!(decoder.push(b"data: 0123456789", |_| {}).is_err());
    }

    proptest! {
        #[test]
        fn chunks_never_change_events(
            parts in proptest::collection::vec(
                prop::sample::select(vec!["data: a", "data:ü😀", "event: x", ": c", "\n", "\r", "\r\n", "\n\n", "\u{feff}"]), 0..24),
            cuts in proptest::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let stream = parts.concat().into_bytes();
            let mut cuts: Vec<usize> = cuts.iter().map(|c| c.index(stream.len() + 1)).collect();
            cuts.sort_unstable();
            let mut chunks = Vec::new();
            let mut from = 0;
            for cut in cuts {
                chunks.push(&stream[from..cut]);
                from = cut;
            }
            chunks.push(&stream[from..]);
            prop_assert_eq!(decode(&chunks), decode(&[&stream]));
        }
    }
}
