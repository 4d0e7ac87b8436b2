//! When to come back, where a provider says it in words only (5.3).

use std::time::Duration;

/// "Please try again in 1.2s", "retry in 6m0s", "Retry after 20 ms", "quota will reset after 8h44m7s" (T167); `None` where
/// nothing is said, or no time that one could wait for.
pub(in crate::protocol) fn retry_hint(message: &str) -> Option<Duration> {
    let message = message.to_ascii_lowercase();
    let words = ["try again in ", "retry in ", "retry after ", "reset after ", "resets in "];
    spoken_duration(words.iter().find_map(|words| message.split_once(words).map(|(_, rest)| rest))?)
}

/// The duration at the beginning of a text: `1m30s`, `6ms`, `161h39m41.3s`, `2 minutes`. `None` if there is none, or no
/// unit, or it is nothing.
pub(crate) fn spoken_duration(text: &str) -> Option<Duration> {
    let mut rest = text;
    let mut seconds = 0.0;
    loop {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let Ok(number) = number.trim_end_matches('.').parse::<f64>() else { break };
        let tail = tail.trim_start();
        let letters = tail.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(tail.len());
        let (unit, after) = tail.split_at(letters);
        seconds += number
            * match unit {
                "ms" | "milliseconds" => 0.001,
                "s" | "sec" | "second" | "seconds" => 1.0,
                "m" | "min" | "minute" | "minutes" => 60.0,
                "h" | "hour" | "hours" => 3600.0,
                _ => break,
            };
        rest = after;
    }
    (seconds > 0.0).then(|| Duration::try_from_secs_f64(seconds).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t167_the_delay_is_read_from_the_words() {
        for (words, delay) in [
            ("Please try again in 1.2s.", Some(1200)),
            ("try again in 20ms. Visit", Some(20)),
            ("try again in 6m0s", Some(360_000)),
            ("try again in 2 minutes", Some(120_000)),
            ("try again in 11.054 seconds", Some(11_054)),
            ("try again in 1h2m", Some(3_720_000)),
            ("Please retry in 48.9s.", Some(48_900)),
            ("Retry after 5 seconds", Some(5_000)),
            ("quota will reset after 8h44m7s.", Some(31_447_000)),
            ("try again in a while", None),
            ("try again in 5", None),
            ("retry in 1e400s", None),
            ("try again in 99999999999999999999999999999999h", None),
            ("", None),
        ] {
            assert_eq!(retry_hint(words), delay.map(Duration::from_millis), "{words}");
        }
    }
}
