//! Time of a piece of work as the best of many short batches: what it costs when nobody disturbs it.
//! The tables are made of this; criterion's own figures carry the machine's noise.

#![expect(clippy::disallowed_types, reason = "measures real time")]

use std::time::{Duration, Instant};

const BATCHES: u32 = 40;
const BATCH: Duration = Duration::from_millis(2);

/// The least time that one run of `work` took.
pub fn time(mut work: impl FnMut()) -> Duration {
    let started = Instant::now();
    work();
    let once = started.elapsed().max(Duration::from_nanos(50));
    let runs = (BATCH.as_nanos() / once.as_nanos()).clamp(1, 100_000) as u32;
    (0..BATCHES)
        .map(|_| {
            let started = Instant::now();
            for _ in 0..runs {
                work();
            }
            started.elapsed() / runs
        })
        .min()
        .unwrap_or_default()
}
