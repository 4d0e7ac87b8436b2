//! Token counts that an upstream has not told, or not to the end (2.15).

use super::{Lengths, Measure, Sum};
use crate::protocol::Protocol;
use crate::protocol::canonical::{Delta, Event, Part, PartHeader, PartKind, Request, Response, Usage};

/// What of a request is needed to estimate its exchange's tokens: made for every request, used for few.
#[derive(Clone, Copy, Debug)]
pub struct Estimator(Sum);

impl Estimator {
    /// Measures `request`; `model` is the name at the upstream. One pass over the text, nothing is decoded.
    #[must_use]
    pub fn new(request: &Request<'_>, model: &str) -> Self {
        let mut sum = Sum::new(model, Measure::Lengths(Lengths::default()));
        sum.request(request);
        Estimator(sum)
    }

    fn output(&self, said: &Lengths) -> u64 {
        let text = said.tokens().saturating_mul(self.0.percent).div_ceil(100);
        text + said.calls() * self.0.costs.call
    }

    /// What was told, and estimates in place of what was not. `is_partial`: the answer was cut, and with it
    /// what was told of its output; that only ever grows.
    #[must_use]
    pub fn complete(&self, told: &Usage, said: impl FnOnce() -> Lengths, is_partial: bool) -> Usage {
        let mut usage = *told;
        if usage.input.is_none() {
            usage.input = Some(self.0.total());
            usage.estimated = true;
        }
        if usage.output.is_none() || is_partial {
            usage.output = Some(self.output(&said()).max(usage.output.unwrap_or(0)));
            usage.estimated = true;
        }
        usage
    }
}

impl Lengths {
    /// How much a whole answer says: text, reasoning and calls.
    #[must_use]
    pub fn of(response: &Response<'_>) -> Self {
        let mut said = Lengths::default();
        for part in response.choices.iter().flat_map(|choice| &choice.parts) {
            said.part(part);
        }
        said
    }

    fn part(&mut self, part: &Part<'_>) {
        match &part.kind {
            PartKind::Text { text } | PartKind::Refusal { text } | PartKind::Reasoning { text, .. } => {
                self.add(text.as_escaped().as_bytes());
            }
            PartKind::ToolCall { name, arguments, .. } => {
                self.add_call();
                self.add(name.as_escaped().as_bytes());
                self.add(arguments.as_bytes());
            }
            PartKind::Media(_) | PartKind::ToolResult { .. } | PartKind::Opaque { .. } => {}
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        match event {
            Event::Delta { delta: Delta::Text(text) | Delta::Arguments(text), .. } => {
                self.add(text.as_escaped().as_bytes());
            }
            Event::PartStart { header: PartHeader::ToolCall { name, .. }, .. } => {
                self.add_call();
                self.add(name.as_escaped().as_bytes());
            }
            _ => {}
        }
    }
}

/// Completes the token counts of a stream, and tells them as its client wants them.
#[derive(Debug)]
pub struct Meter {
    estimator: Estimator,
    client: Protocol,
    shows_estimates: bool,
    told: Usage,
    said: Lengths,
}

impl Meter {
    /// A meter at the start of a stream.
    #[must_use]
    pub fn new(estimator: Estimator, client: Protocol, shows_estimates: bool) -> Self {
        Meter { estimator, client, shows_estimates, told: Usage::default(), said: Lengths::default() }
    }

    /// Looks at an event as the upstream sent it.
    pub fn see(&mut self, event: &Event<'_>) {
        self.said.event(event);
    }

    /// Passes on an event as the client is to get it. Before the end, what is missing is completed (T158,
    /// T186). A count that is itself an estimate says that the answer was cut.
    pub fn pass(&mut self, event: Event<'_>, sink: &mut impl FnMut(Event<'_>)) {
        // These take the counts at the end, and had rather none than half of them.
        let waits = matches!(self.client, Protocol::OpenAi | Protocol::Responses);
        match &event {
            Event::Usage(usage) => {
                self.told.merge(usage);
                if waits || usage.estimated {
                    return;
                }
            }
            Event::End => {
                let usage = self.estimator.complete(&self.told, || self.said, self.told.estimated);
                if shows(self.client, &usage, self.shows_estimates) && (waits || usage != self.told) {
                    sink(Event::Usage(usage));
                }
            }
            Event::Error(_) if waits && !self.told.is_empty() => sink(Event::Usage(self.told)),
            _ => {}
        }
        sink(event);
    }
}

/// Whether a client is given these counts. Anthropic's and Gemini's need numbers, whosever; the others can do
/// without, unless they are wanted.
#[must_use]
pub(crate) fn shows(client: Protocol, usage: &Usage, estimates: bool) -> bool {
    !usage.estimated || estimates || matches!(client, Protocol::Anthropic | Protocol::Gemini)
}
