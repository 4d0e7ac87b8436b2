//! The only wall clock. Everything that waits uses `tokio::time`, which tests can pause.
#![expect(clippy::disallowed_types, reason = "this is the file that the rule names")]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Seconds since 1970.
#[must_use]
pub(crate) fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Time from now until `date`; zero if it has passed.
#[must_use]
pub(crate) fn until(date: SystemTime) -> Duration {
    date.duration_since(SystemTime::now()).unwrap_or_default()
}

/// Time from now until so many seconds after 1970; zero if that has passed.
#[must_use]
pub(crate) fn until_unix(seconds: u64) -> Duration {
    Duration::from_secs(seconds.saturating_sub(unix_seconds()))
}
