//! Misbehaviour that a request asks for by the name of its model.
//!
//! Directives stand anywhere in the name, start with `sim-` and may be combined:
//! `claude-sim-slow-100-sim-cut-at-3`. The list is in the documentation of [`super`].

/// What a model name asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Faults {
    /// Answer this status instead.
    pub(crate) status: Option<u16>,
    /// Seconds to wait, told with an error.
    pub(crate) retry_after: Option<u64>,
    /// Fail the first so many requests that name this model.
    pub(crate) flaky: Option<u64>,
    /// Answer a web page instead of JSON.
    pub(crate) html: bool,
    /// Answer 200 with an error in the body.
    pub(crate) error_in_200: bool,
    /// Break off after so many events.
    pub(crate) at: Option<(Break, usize)>,
    /// Answer 200 with no body at all.
    pub(crate) empty: bool,
    /// Answer well, and say nothing.
    pub(crate) blank: bool,
    /// End like a provider's filter would.
    pub(crate) filtered: bool,
    /// Milliseconds to the head.
    pub(crate) slow: u64,
    /// Refuse requests that do not stream.
    pub(crate) must_stream: bool,
    /// Send a stream in frames of so many bytes.
    pub(crate) chop: Option<usize>,
    /// Mix the argument deltas of parallel calls (Chat Completions).
    pub(crate) interleave: bool,
    /// Accept only reasoning state made by this simulator.
    pub(crate) strict: bool,
    /// Say this many text deltas instead of an echo, at most [`MAX_EVENTS`].
    pub(crate) events: Option<usize>,
    /// Play the model of a coding agent.
    pub(crate) agent: bool,
    /// Search the web where the request allows it.
    pub(crate) search: bool,
}

/// Anybody may ask for these.
const MAX_EVENTS: usize = 100_000;

/// How a stream breaks off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// An error event, then a clean end.
    Error,
    /// The connection is dropped.
    Cut,
    /// A clean end without a terminal event.
    End,
    /// Nothing more comes.
    Stall,
}

impl Faults {
    /// Reads the directives in a model name.
    pub(crate) fn of(model: &str) -> Self {
        let mut faults = Faults::default();
        for (at, found) in model.match_indices("sim-") {
            faults.read(model.get(at + found.len()..).unwrap_or_default());
        }
        faults
    }

    fn read(&mut self, rest: &str) {
        let number = |name: &str| -> Option<u64> {
            let digits = rest.strip_prefix(name)?;
            let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
            digits.get(..end)?.parse().ok()
        };
        let count = |name: &str| number(name).and_then(|n| usize::try_from(n).ok());
        if let Some(status) = number("status-") {
            self.status = u16::try_from(status).ok().filter(|status| (200..=599).contains(status));
        } else if let Some(seconds) = number("retry-after-") {
            self.retry_after = Some(seconds);
        } else if let Some(times) = number("flaky-") {
            self.flaky = Some(times);
        } else if let Some(milliseconds) = number("slow-") {
            self.slow = milliseconds;
        } else if let Some(size) = count("chop-") {
            self.chop = Some(size);
        } else if let Some(events) = count("events-") {
            self.events = Some(events.clamp(1, MAX_EVENTS));
        } else if let Some(events) = count("error-event-at-") {
            self.at = Some((Break::Error, events));
        } else if let Some(events) = count("cut-at-") {
            self.at = Some((Break::Cut, events));
        } else if let Some(events) = count("end-at-") {
            self.at = Some((Break::End, events));
        } else if let Some(events) = count("stall-at-") {
            self.at = Some((Break::Stall, events));
        } else {
            self.read_flag(rest);
        }
    }

    fn read_flag(&mut self, rest: &str) {
        let flags = [
            ("html", &mut self.html),
            ("error-in-200", &mut self.error_in_200),
            ("empty", &mut self.empty),
            ("blank", &mut self.blank),
            ("filter", &mut self.filtered),
            ("must-stream", &mut self.must_stream),
            ("interleave", &mut self.interleave),
            ("strict", &mut self.strict),
            ("agent", &mut self.agent),
            ("search", &mut self.search),
        ];
        for (name, flag) in flags {
            *flag |= rest.starts_with(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_ask_for_nothing() {
        for name in ["gpt-5", "sim-openai", "sim-anthropic", "sim-responses", "sim-gemini", ""] {
            assert_eq!(Faults::of(name), Faults::default(), "{name}");
        }
    }

    #[test]
    fn directives_are_found_anywhere_and_combine() {
        let faults = Faults::of("claude-sim-status-503-x-sim-slow-100sim-cut-at-3");
        assert_eq!(faults.status, Some(503));
        assert_eq!(faults.slow, 100);
        assert_eq!(faults.at, Some((Break::Cut, 3)));
        assert_eq!(Faults::of("sim-error-event-at-0").at, Some((Break::Error, 0)));
        assert!(Faults::of("a/sim-error-in-200").error_in_200);
        assert!(Faults::of("sim-must-stream").must_stream);
        assert_eq!(Faults::of("gpt-5-sim-events-4000").events, Some(4000));
        assert_eq!(Faults::of("sim-events-99999999").events, Some(MAX_EVENTS));
        assert_eq!(Faults::of("sim-status-99999").status, None);
        assert_eq!(Faults::of("sim-status-").status, None);
    }
}
