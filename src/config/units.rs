//! Durations and sizes as people write them.

use std::time::Duration;

/// The longest duration that is accepted: beyond it, sums with the clock might overflow.
const LONGEST: u64 = 365 * 24 * 60 * 60 * 1000;

/// Reads `500ms`, `90s`, `1m30s`, `2h`, `28d`, or whole seconds without a unit; at most 365 days.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    let millis = match whole(text) {
        Some(seconds) => seconds.checked_mul(1000),
        None => parts(text).ok_or("must be a duration such as 500ms, 90s, 1m30s, 2h or 28d")?,
    };
    match millis {
        Some(millis) if millis <= LONGEST => Ok(Duration::from_millis(millis)),
        _ => Err("must be at most 365d".to_owned()),
    }
}

/// The milliseconds of `1m30s`, within `Some(None)` when they are too many to count.
#[expect(clippy::option_option, reason = "not a duration, and one beyond counting, are two complaints")]
fn parts(text: &str) -> Option<Option<u64>> {
    let mut rest = text;
    let mut sum = Some(0_u64);
    while !rest.is_empty() {
        let (count, unit, after) = part(rest)?;
        let scale = match unit {
            "ms" => 1,
            "s" => 1000,
            "m" => 60 * 1000,
            "h" => 60 * 60 * 1000,
            "d" => 24 * 60 * 60 * 1000,
            _ => return None,
        };
        sum = sum.and_then(|sum| sum.checked_add(count.checked_mul(scale)?));
        rest = after;
    }
    (!text.is_empty()).then_some(sum)
}

/// The number and the unit at the beginning of `text`, and what follows them.
fn part(text: &str) -> Option<(u64, &str, &str)> {
    let (digits, rest) = split(text, |c| c.is_ascii_digit())?;
    let (unit, rest) = split(rest, |c| c.is_ascii_alphabetic())?;
    Some((whole(digits)?, unit, rest))
}

fn split(text: &str, belongs: impl Fn(char) -> bool) -> Option<(&str, &str)> {
    text.split_at_checked(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

/// A number of digits alone; the largest there is when it has too many.
fn whole(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

/// Reads `8MiB`, `32MB`, or whole bytes without a unit.
pub(super) fn size(text: &str) -> Result<u64, String> {
    const WRONG: &str = "must be a size such as 512KiB, 8MiB, 32MB, or bytes";
    let text = text.trim();
    let (digits, unit) = split(text, |c| c.is_ascii_digit()).ok_or(WRONG)?;
    let count = whole(digits).ok_or(WRONG)?;
    let scale: u64 = match unit.trim_start().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000 * 1000,
        "gb" => 1000 * 1000 * 1000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return Err(WRONG.to_owned()),
    };
    count.checked_mul(scale).ok_or_else(|| "is too large".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_they_are_spoken() {
        for (text, millis) in [
            ("0", 0),
            ("60", 60_000),
            ("500ms", 500),
            ("90s", 90_000),
            ("1m30s", 90_000),
            ("2h", 7_200_000),
            ("1d", 86_400_000),
            ("365d", LONGEST),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn half_durations_are_refused() {
        for text in ["", "s", "-1s", "1.5s", "10 s", "1m30", "1y", "soon", "１s", "s1", "10ss"] {
            assert!(duration(text).unwrap_err().contains("must be a duration"), "{text}");
        }
        for text in ["366d", "99999999999999999999s", "99999999999999999999", "18446744073709551615"] {
            assert_eq!(duration(text), Err("must be at most 365d".to_owned()), "{text}");
        }
    }

    #[test]
    fn sizes_are_decimal_or_binary_as_written() {
        for (text, bytes) in [
            ("0", 0),
            ("1048576", 1 << 20),
            ("8MiB", 8 << 20),
            ("32MB", 32_000_000),
            ("1 GiB", 1 << 30),
            ("64kib", 64 << 10),
        ] {
            assert_eq!(size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn sizes_that_say_nothing_are_refused() {
        for text in ["", "MiB", "8M", "-1", "1.5MiB", "8 Mi B", "much", "8MiB8"] {
            assert!(size(text).unwrap_err().contains("must be a size"), "{text}");
        }
        assert_eq!(size("99999999999999GiB"), Err("is too large".to_owned()));
    }
}
