//! The faults: what an upstream does, and what it comes to.

mod answers;
mod framing;
mod offsets;
mod streams;

use std::sync::Arc;

use crate::provider::Scene;
use crate::rule::{Effect, Mode, Stage};
use crate::support::Protocol;
use crate::support::upstream::Answer;

/// One fault at one stage.
#[derive(Clone)]
pub struct Row {
    pub fault: String,
    pub stage: Stage,
    pub effect: Effect,
    pub modes: Vec<Mode>,
    /// The protocols of the upstreams that can have it.
    pub upstreams: Vec<Protocol>,
    /// Whether a quarter of the pairs are enough, because it costs much time.
    pub is_costly: bool,
    /// The status of an error answer that clients of the same protocol get as it is.
    pub own_status: Option<u16>,
    /// Clocks of the upstream, as its configuration has them.
    pub timeouts: &'static str,
    pub play: Arc<dyn Fn(&Scene) -> Play + Send + Sync>,
}

/// What the upstream does to the first request; it serves all others.
pub enum Play {
    Answers(Answer),
    /// Nobody listens.
    Refuses,
    /// There is no upstream but at this address.
    At(String),
    /// It ends connections at once, or resets them.
    HangsUp {
        resets: bool,
    },
}

impl Row {
    fn new(
        fault: impl Into<String>,
        stage: Stage,
        effect: Effect,
        play: impl Fn(&Scene) -> Answer + Send + Sync + 'static,
    ) -> Row {
        Row {
            fault: fault.into(),
            stage,
            effect,
            modes: Mode::ALL.to_vec(),
            upstreams: Protocol::ALL.to_vec(),
            is_costly: false,
            own_status: None,
            timeouts: "",
            play: Arc::new(move |scene| Play::Answers(play(scene))),
        }
    }

    fn in_modes(mut self, modes: &[Mode]) -> Row {
        self.modes = modes.to_vec();
        self
    }

    fn of(mut self, upstreams: impl IntoIterator<Item = Protocol>) -> Row {
        self.upstreams = upstreams.into_iter().collect();
        self
    }

    fn timeouts(mut self, timeouts: &'static str) -> Row {
        self.timeouts = timeouts;
        self
    }

    fn costly(mut self) -> Row {
        self.is_costly = true;
        self
    }

    /// The pairs on which it is tried.
    pub fn pairs(&self, is_deep: bool) -> impl Iterator<Item = (Protocol, Protocol)> {
        let all = crate::support::pairs().enumerate();
        // Each client and each upstream once, and every relay.
        let is_few = self.is_costly && !is_deep;
        all.filter(move |(number, _)| {
            !is_few || number % 4 == number / 4 || number % 4 == (number / 4 + 1) % 4
        })
        .map(|(_, pair)| pair)
        .filter(|(_, upstream)| self.upstreams.contains(upstream))
    }
}

/// Every fault, by the place where it strikes; each table has a title.
pub fn tables(is_deep: bool) -> Vec<(&'static str, Vec<Row>)> {
    vec![
        ("Before an answer", answers::before()),
        ("Answers that are none", answers::none()),
        ("Documents that break", answers::documents()),
        ("Streams that break", streams::breaks()),
        ("Answers that break after so many bytes", offsets::offsets(is_deep)),
        ("Odd, but whole", framing::odd()),
    ]
}
