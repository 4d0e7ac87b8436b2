//! What leaves the simulator: JSON text written by hand, event frames, and the response body that
//! sends them one by one, paced, cut or stalled.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};

use super::departures::Watch;

/// Appends `text` as a JSON string, quotes included.
pub(crate) fn quote(out: &mut String, text: &str) {
    out.push('"');
    let mut from = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 => "",
            _ => continue,
        };
        out.push_str(text.get(from..at).unwrap_or_default());
        if short.is_empty() {
            out.push_str(&format!("\\u{byte:04x}"));
        } else {
            out.push_str(short);
        }
        from = at + 1;
    }
    out.push_str(text.get(from..).unwrap_or_default());
    out.push('"');
}

/// `text` as a JSON string, quotes included.
pub(crate) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    quote(&mut out, text);
    out
}

/// A list of JSON values from their texts.
pub(crate) fn list<I: IntoIterator<Item = String>>(items: I) -> String {
    let mut out = String::from("[");
    for item in items {
        if out.len() > 1 {
            out.push(',');
        }
        out.push_str(&item);
    }
    out.push(']');
    out
}

/// Compact JSON spread over lines with two spaces of indentation, as Google answers.
pub(crate) fn pretty(json: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let (mut depth, mut inside, mut escaped) = (0_usize, false, false);
    let mut chars = json.chars().peekable();
    while let Some(c) = chars.next() {
        if inside {
            out.push(c);
            inside = escaped || c != '"';
            escaped = c == '\\' && !escaped;
            continue;
        }
        match c {
            '"' => {
                inside = true;
                out.push(c);
            }
            '{' | '[' => {
                out.push(c);
                if chars.peek().is_none_or(|next| !matches!(next, '}' | ']')) {
                    depth += 1;
                    line(&mut out, depth);
                }
            }
            '}' | ']' => {
                if !out.ends_with(['{', '[']) {
                    depth = depth.saturating_sub(1);
                    line(&mut out, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c if c.is_ascii_whitespace() => {}
            c => out.push(c),
        }
    }
    out
}

fn line(out: &mut String, depth: usize) {
    out.push('\n');
    for _ in 0..depth {
        out.push_str("  ");
    }
}

/// The events of one stream, in one buffer.
#[derive(Debug, Default)]
pub(crate) struct Frames {
    /// Where events are written; [`Frames::end`] closes one.
    pub(crate) buf: String,
    marks: Vec<Mark>,
}

#[derive(Clone, Copy, Debug)]
struct Mark {
    end: usize,
    token: bool,
}

impl Frames {
    /// Room for `events` events of `bytes` bytes in all.
    pub(crate) fn with_capacity(events: usize, bytes: usize) -> Self {
        Frames { buf: String::with_capacity(bytes), marks: Vec::with_capacity(events) }
    }

    /// Closes the event written so far. `token` says that it carries output, so pacing applies.
    pub(crate) fn end(&mut self, token: bool) {
        self.marks.push(Mark { end: self.buf.len(), token });
    }

    /// How many events there are.
    pub(crate) fn len(&self) -> usize {
        self.marks.len()
    }

    /// Keeps the first `events` events.
    pub(crate) fn truncate(&mut self, events: usize) {
        self.marks.truncate(events);
        self.buf.truncate(self.marks.last().map_or(0, |mark| mark.end));
    }

    /// Cuts the same bytes every `size` bytes instead of at event borders.
    pub(crate) fn chop(&mut self, size: usize) {
        let size = size.max(1);
        let total = self.buf.len();
        self.marks = (1..=total.div_ceil(size))
            .map(|n| Mark { end: total.min(n.saturating_mul(size)), token: false })
            .collect();
    }

    /// The response body that sends these events, `pace` before each one that carries a token.
    pub(crate) fn into_body(self, tail: Tail, pace: Duration) -> EventBody {
        EventBody {
            watch: None,
            bytes: Bytes::from(self.buf),
            marks: self.marks,
            next: 0,
            tail,
            pace,
            sleep: None,
            rested: true,
            flushed: true,
        }
    }
}

/// How a body ends after its last frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tail {
    /// As it should.
    End,
    /// The connection breaks.
    Cut,
    /// Nothing comes any more, and the connection stays open.
    Stall,
}

/// A body that sends every event in a frame of its own, and lets the server flush it before the
/// next one is offered.
#[derive(Debug)]
pub(crate) struct EventBody {
    watch: Option<Watch>,
    bytes: Bytes,
    marks: Vec<Mark>,
    next: usize,
    tail: Tail,
    pace: Duration,
    sleep: Option<Pin<Box<tokio::time::Sleep>>>,
    rested: bool,
    flushed: bool,
}

impl EventBody {
    /// Tells this one if the client leaves before the end.
    pub(crate) fn watched(mut self, watch: Watch) -> Self {
        self.watch = Some(watch);
        self
    }

    fn rest(&mut self, token: bool, cx: &mut Context<'_>) -> Poll<()> {
        if !self.flushed {
            // hyper writes what it has when a body is pending; without this turn it would
            // gather several events into one packet.
            self.flushed = true;
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        if token && !self.pace.is_zero() && !self.rested {
            let pace = self.pace;
            let sleep = self.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(pace)));
            ready!(sleep.as_mut().poll(cx));
            self.sleep = None;
            self.rested = true;
        }
        Poll::Ready(())
    }
}

impl Body for EventBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        let mark = this.marks.get(this.next).copied();
        ready!(this.rest(mark.is_some_and(|mark| mark.token), cx));
        let Some(mark) = mark else {
            return match this.tail {
                Tail::End => Poll::Ready(None),
                Tail::Stall => Poll::Pending,
                Tail::Cut => {
                    this.tail = Tail::End;
                    Poll::Ready(Some(Err(io::Error::from(io::ErrorKind::ConnectionAborted))))
                }
            };
        };
        let start = this.next.checked_sub(1).and_then(|n| this.marks.get(n)).map_or(0, |m| m.end);
        this.next += 1;
        this.flushed = false;
        this.rested = false;
        Poll::Ready(Some(Ok(Frame::data(this.bytes.slice(start..mark.end)))))
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.marks.len() && self.tail == Tail::End
    }
}

impl Drop for EventBody {
    fn drop(&mut self) {
        let over = self.next >= self.marks.len() && self.tail != Tail::Stall;
        if let Some(watch) = self.watch.take().filter(|_| !over) {
            watch.left();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    fn frames(events: &[&str]) -> Frames {
        let mut frames = Frames::default();
        for event in events {
            frames.buf.push_str(event);
            frames.end(true);
        }
        frames
    }

    async fn collect(mut body: EventBody) -> (Vec<String>, bool) {
        let mut got = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => {
                    let data = frame.into_data().unwrap_or_default();
                    got.push(String::from_utf8_lossy(&data).into_owned());
                }
                Err(_) => return (got, true),
            }
        }
        (got, false)
    }

    #[test]
    fn strings_are_escaped() {
        assert_eq!(quoted("a\"b\\c\n\u{1}é🦀"), "\"a\\\"b\\\\c\\n\\u0001é🦀\"");
        let back: String = serde_json::from_str(&quoted("a\"b\\c\n\r\t\u{1f}é🦀")).unwrap();
        assert_eq!(back, "a\"b\\c\n\r\t\u{1f}é🦀");
    }

    #[test]
    fn pretty_keeps_the_value() {
        let json = r#"{"a":[],"b":{"c":"x\"{,:\\","d":[1,{"e":null}]},"f":{}}"#;
        let out = pretty(json);
        let same: serde_json::Value = serde_json::from_str(&out).unwrap();
        assert_eq!(same, serde_json::from_str::<serde_json::Value>(json).unwrap());
        assert!(out.starts_with("{\n  \"a\": [],\n  \"b\": {\n    \"c\": "), "{out}");
    }

    #[tokio::test]
    async fn each_event_is_a_frame() {
        let body = frames(&["one", "two", "three"]).into_body(Tail::End, Duration::ZERO);
        assert_eq!(collect(body).await, (vec!["one".into(), "two".into(), "three".into()], false));
    }

    #[tokio::test]
    async fn a_cut_body_ends_in_an_error() {
        let mut cut = frames(&["one", "two", "three"]);
        cut.truncate(2);
        let got = collect(cut.into_body(Tail::Cut, Duration::ZERO)).await;
        assert_eq!(got, (vec!["one".into(), "two".into()], true));
    }

    #[tokio::test]
    async fn chopped_frames_hold_the_same_bytes() {
        let mut chopped = frames(&["one", "two🦀"]);
        chopped.chop(4);
        let body = chopped.into_body(Tail::End, Duration::ZERO);
        let all = body.collect().await.unwrap().to_bytes();
        assert_eq!(all, "onetwo🦀".as_bytes());
    }

    #[tokio::test(start_paused = true)]
    async fn tokens_are_paced() {
        let start = tokio::time::Instant::now();
        let body = frames(&["one", "two", "three"]).into_body(Tail::End, Duration::from_secs(1));
        collect(body).await;
        assert_eq!(start.elapsed(), Duration::from_secs(2));
    }
}
