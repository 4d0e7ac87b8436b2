//! Signs of life for a client whose answer is long in coming (3.8).

use bytes::Bytes;
use memchr::memmem;

use super::Protocol;
use super::json::{self, Members, Writer};
use super::sse::write_named_event;

/// What tells a streaming client that its answer is still on the way: nothing that means content, and nothing that its
/// own SDK stumbles over, not even before the opening event.
///
/// ```
/// use aiproxy::protocol::{KeepAlive, Protocol};
///
/// let mut keep_alive = KeepAlive::new(Protocol::OpenAi);
/// assert_eq!(keep_alive.sign().unwrap(), ": ka\n\n");
/// let piece = keep_alive.pass("data: {".into());
/// assert_eq!(piece, "data: {");
/// assert_eq!(keep_alive.sign(), None);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct KeepAlive {
    client: Protocol,
    is_within: bool,
    /// Responses: of the last event, as the client knows it.
    number: Option<u64>,
    /// Responses: events of our own so far.
    added: u64,
}

impl KeepAlive {
    /// For a client that was sent nothing yet.
    #[must_use]
    pub fn new(client: Protocol) -> Self {
        KeepAlive { client, is_within: false, number: None, added: 0 }
    }

    /// What the client speaks.
    #[must_use]
    pub fn client(&self) -> Protocol {
        self.client
    }

    /// Notes what the client is sent. It passes untouched, unless events of our own stand before it that are counted:
    /// then the numbers go on from there.
    pub fn pass(&mut self, data: Bytes) -> Bytes {
        self.is_within = ![&b"\n\n"[..], b"\r\n\r\n", b"\r\r"].iter().any(|end| data.ends_with(end));
        if self.client != Protocol::Responses {
            return data;
        }
        let data = if self.added > 0 { renumbered(&data, self.added) } else { data };
        self.number = last_number(&data).or(self.number);
        data
    }

    /// A sign of life. `None` if what the client was sent does not end an event: whatever came now would be taken for a
    /// part of it.
    #[must_use]
    pub fn sign(&mut self) -> Option<Bytes> {
        if self.is_within {
            return None;
        }
        Some(match (self.client, self.number) {
            (Protocol::Anthropic, _) => Bytes::from_static(b"event: ping\ndata: {\"type\":\"ping\"}\n\n"),
            // T007: comments are fatal to some of its clients.
            (Protocol::Gemini, _) => Bytes::from_static(b"\n"),
            // T014: only events count with agents; but before the first there is no number to give one.
            (Protocol::Responses, Some(number)) => {
                let number = number.saturating_add(1);
                self.added += 1;
                self.number = Some(number);
                keepalive_event(number).into()
            }
            (Protocol::Responses | Protocol::OpenAi, _) => Bytes::from_static(b": ka\n\n"),
        })
    }
}

/// Whole events, each with a number higher by `added`.
fn renumbered(events: &[u8], added: u64) -> Bytes {
    let mut edits = Vec::new();
    let mut at = 0;
    for line in events.split_inclusive(|byte| *byte == b'\n') {
        if let Some(json) = line.strip_prefix(b"data:")
            && let Ok(Members { spans: [Some(span)], .. }) = json::members(json, ["sequence_number"])
            && let Some(number) = json.get(span.clone()).and_then(number)
        {
            let start = at + (line.len() - json.len());
            edits.push((
                start + span.start..start + span.end,
                number.saturating_add(added).to_string().into_bytes(),
            ));
        }
        at += line.len();
    }
    json::splice(events, edits).into()
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// The number of the last of these events.
fn last_number(events: &[u8]) -> Option<u64> {
    const KEY: &[u8] = b"\"sequence_number\":";
    let at = memmem::rfind(events, KEY)? + KEY.len();
    let digits = events.get(at..)?.trim_ascii_start();
    let long = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    number(digits.get(..long)?)
}

fn keepalive_event(number: u64) -> Vec<u8> {
    let mut out = Vec::with_capacity(80);
    write_named_event(&mut out, "keepalive", |out| {
        let mut w = Writer::new(out);
        w.begin_object();
        w.key("type").text("keepalive");
        w.key("sequence_number").u64(number);
        w.end_object();
    });
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t007_t010_t012_each_client_gets_the_sign_that_it_bears() {
        for (client, sign) in [
            (Protocol::Anthropic, "event: ping\ndata: {\"type\":\"ping\"}\n\n"),
            (Protocol::OpenAi, ": ka\n\n"),
            (Protocol::Responses, ": ka\n\n"),
            (Protocol::Gemini, "\n"),
        ] {
            let mut keep_alive = KeepAlive::new(client);
            assert_eq!(keep_alive.sign().unwrap(), sign);
            for (sent, is_between) in
                [("data: {\"a\":", false), ("1}\n", false), ("data: {\"a\":1}\r\n\r\n", true)]
            {
                assert_eq!(keep_alive.pass(sent.into()), sent);
                assert_eq!(keep_alive.sign().is_some(), is_between, "{client}: {sent:?}");
            }
            assert_eq!(keep_alive.sign().unwrap(), sign);
        }
    }

    #[test]
    fn t014_agents_on_responses_get_events_and_the_count_goes_on() {
        let mut keep_alive = KeepAlive::new(Protocol::Responses);
        let event = |number: u64| {
            format!(
                "event: x\ndata: {{\"x\":{{\"sequence_number\":2}},\"sequence_number\": {number} ,\"delta\":\"\\\"sequence_number\\\":5\"}}\n\n"
            )
        };
        let two = [event(6), event(7)].concat();
        assert_eq!(keep_alive.pass(two.clone().into()), two);
        for number in [8, 9] {
            let sign = format!(
                "event: keepalive\ndata: {{\"type\":\"keepalive\",\"sequence_number\":{number}}}\n\n"
            );
            assert_eq!(keep_alive.sign().unwrap(), sign);
        }
        assert_eq!(keep_alive.pass([event(8), event(9)].concat().into()), [event(10), event(11)].concat());
    }

    #[test]
    fn a_count_that_has_reached_its_end_stays_there() {
        let mut keep_alive = KeepAlive::new(Protocol::Responses);
        let last = format!("data: {{\"sequence_number\":{}}}\n\n", u64::MAX);
        assert_eq!(keep_alive.pass(last.clone().into()), last);
        assert!(keep_alive.sign().is_some());
        assert_eq!(keep_alive.pass(last.clone().into()), last);
    }
}
