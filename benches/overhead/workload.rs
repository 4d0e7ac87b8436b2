//! The workloads and the targets they are held against: `docs/performance.md` as data.

use std::time::Duration;

use super::answers::Protocol::{self, Anthropic, Chat, Gemini};
use super::bodies::Size::{self, Long, Short};

pub const CONNECTIONS: usize = 16;
const EVENTS: usize = 200;
/// Where the proxy sleeps between two events, a second holds little CPU time, and how much depends on what else runs:
/// such loads are measured this many times as long.
pub const PAUSING: u32 = 3;

pub struct Workload {
    pub id: &'static str,
    pub client: Protocol,
    /// What the gateway's upstream speaks. `limit` and `direct` always meet the client's own protocol.
    pub upstream: Protocol,
    pub size: Size,
    pub load: Load,
    /// Leaves `log.level` at the gateway's default instead of `warn`.
    pub default_log: bool,
    /// Also asks the upstream without any proxy, to have something to take latencies against.
    pub direct: bool,
    pub targets: Option<Targets>,
}

/// The ratio to `limit`, CPU per unit.
#[derive(Clone, Copy, serde::Serialize)]
pub struct Targets {
    pub acceptable: f64,
    pub ambitious: f64,
}

#[derive(Clone, Copy)]
pub enum Load {
    /// Each connection asks again as soon as it has its answer.
    Closed { events: usize },
    /// Requests come at fixed times, whether or not the earlier ones are answered.
    Rate { per_second: u32 },
    /// Streams stay open for the whole measurement, an event in each every so often.
    Paced { streams: usize, every: Duration },
}

impl Load {
    pub fn streamed(self) -> bool {
        !matches!(self, Self::Closed { events: 0 } | Self::Rate { .. })
    }

    /// How many times as long as asked for it is measured.
    pub fn stretch(self) -> u32 {
        if matches!(self, Self::Closed { .. }) { 1 } else { PAUSING }
    }

    pub fn unit(self) -> &'static str {
        if self.streamed() { "event" } else { "request" }
    }
}

const ANSWERS: Load = Load::Closed { events: 0 };
const STREAMS: Load = Load::Closed { events: EVENTS };

impl Workload {
    const fn new(id: &'static str, client: Protocol, upstream: Protocol, size: Size, load: Load) -> Self {
        Self { id, client, upstream, size, load, default_log: false, direct: false, targets: None }
    }

    const fn targets(mut self, acceptable: f64, ambitious: f64) -> Self {
        self.targets = Some(Targets { acceptable, ambitious });
        self
    }

    const fn with_direct(mut self) -> Self {
        self.direct = true;
        self
    }

    const fn with_default_log(mut self) -> Self {
        self.default_log = true;
        self
    }

    /// In words, for the report.
    pub fn describe(&self) -> String {
        let size = if self.size == Long { "100 KB" } else { "1 KB" };
        let load = match self.load {
            Load::Closed { events: 0 } => size.to_owned(),
            Load::Closed { events } => format!("stream of {events}"),
            Load::Rate { per_second } => format!("{size}, {per_second}/s"),
            Load::Paced { streams, every } => format!("{streams} streams, 1 per {} ms", every.as_millis()),
        };
        let log = if self.default_log { ", default log" } else { "" };
        format!("{} > {}, {load}{log}", name(self.client), name(self.upstream))
    }
}

/// The name that the gateway's configuration has for it.
pub fn name(protocol: Protocol) -> &'static str {
    match protocol {
        Chat => "openai",
        Anthropic => "anthropic",
        Gemini => "gemini",
    }
}

pub static ALL: [Workload; 14] = [
    Workload::new("W1", Chat, Chat, Short, ANSWERS).targets(1.6, 1.3),
    Workload::new("W1log", Chat, Chat, Short, ANSWERS).with_default_log(),
    Workload::new("W1r", Chat, Chat, Short, Load::Rate { per_second: 500 }).with_direct(),
    Workload::new("W1L", Chat, Chat, Long, ANSWERS).targets(2.0, 1.25),
    Workload::new("W1s", Chat, Chat, Short, STREAMS).targets(1.3, 1.0),
    Workload::new("W2", Anthropic, Anthropic, Long, ANSWERS).targets(2.0, 1.25),
    Workload::new("W3", Anthropic, Chat, Short, ANSWERS).targets(2.2, 1.6),
    Workload::new("W3L", Anthropic, Chat, Long, ANSWERS).targets(5.0, 3.5),
    Workload::new("W4", Anthropic, Chat, Short, STREAMS).targets(1.6, 1.1),
    Workload::new("W4p", Anthropic, Chat, Short, paced(50, 20)).targets(1.3, 1.15).with_direct(),
    Workload::new("W5", Chat, Anthropic, Short, STREAMS).targets(1.6, 1.1),
    Workload::new("W6", Chat, Chat, Short, paced(1000, 500)).targets(1.5, 1.15),
    // As near to 10,000 as a proxy comes that may have 20,000 descriptors.
    Workload::new("W6x", Chat, Chat, Short, paced(9_900, 5_000)),
    Workload::new("W7", Gemini, Chat, Short, ANSWERS).targets(2.2, 1.6),
];

const fn paced(streams: usize, every_ms: u64) -> Load {
    Load::Paced { streams, every: Duration::from_millis(every_ms) }
}

/// Targets that are not ratios: acceptable, ambitious.
pub mod absolute {
    pub const START_UP_MS: (f64, f64) = (100.0, 30.0);
    pub const IDLE_MB: (f64, f64) = (25.0, 12.0);
    pub const STREAM_KB: (f64, f64) = (60.0, 35.0);
    /// Above what `limit` adds, W4p.
    pub const EVENT_DELAY_US: (f64, f64) = (50.0, 15.0);
}
