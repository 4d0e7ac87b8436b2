//! Ranges of sampling parameters, checked here rather than found out upstream (section 2.3).

use crate::protocol::RequestError;
use crate::protocol::canonical::Sampling;

/// Refuses what no Chat server takes.
pub(super) fn check(sampling: &Sampling<'_>) -> Result<(), RequestError> {
    let ranges = [
        ("temperature", &sampling.temperature, 0.0..=2.0),
        ("top_p", &sampling.top_p, 0.0..=1.0),
        ("presence_penalty", &sampling.presence_penalty, -2.0..=2.0),
        ("frequency_penalty", &sampling.frequency_penalty, -2.0..=2.0),
        ("top_logprobs", &sampling.top_logprobs, 0.0..=20.0),
    ];
    for (name, value, range) in ranges {
        if value.as_ref().is_some_and(|value| !range.contains(&value.as_f64())) {
            return Err(RequestError::invalid(
                name,
                format!("must be between {} and {}", range.start(), range.end()),
            ));
        }
    }
    Ok(())
}
