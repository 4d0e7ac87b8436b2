//! What an upstream's answer says of its limits: when to come back, and whether one model is limited or the account.
//!
//! Providers tell of several windows at once, and of those that have room left, too: the one that is used up counts.

use std::time::Duration;

use http::HeaderMap;

use crate::clock;
use crate::headers;
use crate::protocol::canonical::{AccountReset, ErrorView, FaultKind, spoken_duration};

/// A retry hint beyond this is not believed: no provider has a window of more than a week.
const LONGEST: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What is known of a limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RateLimit {
    /// When to come back.
    pub(crate) wait: Option<Duration>,
    /// Whether a window of the whole account is used up.
    pub(crate) is_account: bool,
}

/// A window that is used up; what its beginning anew is not known of, or is past, waits for nothing.
#[derive(Clone, Copy, Debug)]
struct UsedUp {
    wait: Duration,
    is_account: bool,
}

impl RateLimit {
    /// Of an error answer. `Retry-After` is meant for machines, and the body's hint may be a sentence; but only the windows
    /// of an account say how long the account is of no use.
    pub(crate) fn read(headers: &HeaderMap, view: &ErrorView) -> RateLimit {
        let told = headers::retry_after(headers);
        if !matches!(view.kind, FaultKind::RateLimit | FaultKind::Billing) {
            let wait = told.or(view.retry_after).map(|wait| wait.min(LONGEST));
            return RateLimit { wait, is_account: false };
        }
        let window = body(view).or_else(|| unified(headers)).or_else(|| codex(headers));
        let known = window.map(|window| window.wait).filter(|wait| !wait.is_zero());
        let wait = known.or(told).or(view.retry_after).or_else(|| plain(headers));
        RateLimit {
            wait: wait.map(|wait| wait.min(LONGEST)),
            is_account: window.is_some_and(|window| window.is_account),
        }
    }
}

fn body(view: &ErrorView) -> Option<UsedUp> {
    let wait = match **view.account_reset.as_ref()? {
        AccountReset::In(wait) => wait,
        AccountReset::At(seconds) => clock::until_unix(seconds),
    };
    Some(UsedUp { wait, is_account: true })
}

/// Anthropic's windows of a subscription: of five hours, of seven days, and of single families of models (`7d_oi`). The
/// latest reset among those that have rejected the request.
fn unified(headers: &HeaderMap) -> Option<UsedUp> {
    const PREFIX: &str = "anthropic-ratelimit-unified";
    let reset = |name: &str| {
        let seconds = text(headers, &format!("{name}-reset")).and_then(|seconds| seconds.parse().ok());
        seconds.map_or(Duration::ZERO, clock::until_unix)
    };
    let rejected = names(headers, PREFIX).filter_map(|(name, status)| {
        let name = name.strip_suffix("-status").filter(|_| status == "rejected")?;
        let window = name.strip_prefix(PREFIX)?.trim_start_matches('-');
        // Beside the windows: what may be bought on top of them, and the sum of all.
        window.starts_with(|c: char| c.is_ascii_digit()).then_some((name, window))
    });
    let windows = rejected
        .map(|(name, window)| UsedUp { wait: reset(name), is_account: matches!(window, "5h" | "7d") });
    let worst = windows.max_by_key(|window| (window.is_account, window.wait));
    let sum = || text(headers, &format!("{PREFIX}-status")).is_some_and(|status| status == "rejected");
    worst.or_else(|| sum().then(|| UsedUp { wait: reset(PREFIX), is_account: true }))
}

/// The two windows of a Codex subscription. The latest reset among those that are used up.
fn codex(headers: &HeaderMap) -> Option<UsedUp> {
    let number = |name: String| text(headers, &name)?.parse::<f64>().ok();
    let used_up = ["primary", "secondary"].into_iter().filter_map(|window| {
        let name = |what: &str| format!("x-codex-{window}-{what}");
        number(name("used-percent")).filter(|used| *used >= 100.0)?;
        let after = number(name("reset-after-seconds")).and_then(|s| Duration::try_from_secs_f64(s).ok());
        let at = || text(headers, &name("reset-at"))?.parse().ok().map(clock::until_unix);
        Some(after.or_else(at).unwrap_or_default())
    });
    used_up.max().map(|wait| UsedUp { wait, is_account: true })
}

/// The windows of an API key: the latest reset among those that have nothing remaining.
fn plain(headers: &HeaderMap) -> Option<Duration> {
    let resets = |prefix: &'static str, name: fn(&str) -> Option<String>| {
        names(headers, prefix).filter_map(move |(reset, value)| {
            let remaining = text(headers, &name(reset)?)?.parse::<f64>().ok()?;
            (remaining <= 0.0).then(|| reset_in(value)).flatten()
        })
    };
    let openai = resets("x-ratelimit-reset", |reset| Some(reset.replacen("reset", "remaining", 1)));
    let anthropic =
        resets("anthropic-ratelimit-", |reset| Some(format!("{}-remaining", reset.strip_suffix("-reset")?)));
    openai.chain(anthropic).max()
}

/// `1m30s`, `6ms`; seconds, or a time in seconds or milliseconds since 1970; a date of RFC 3339.
fn reset_in(value: &str) -> Option<Duration> {
    if let Ok(date) = chrono::DateTime::parse_from_rfc3339(value) {
        return Some(clock::until_unix(u64::try_from(date.timestamp()).ok()?));
    }
    match value.parse::<f64>() {
        Ok(milliseconds @ 1e11..) => Some(clock::until_unix((milliseconds / 1000.0) as u64)),
        Ok(seconds @ 1e9..) => Some(clock::until_unix(seconds as u64)),
        Ok(seconds) => Duration::try_from_secs_f64(seconds).ok(),
        Err(_) => spoken_duration(value),
    }
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok().map(str::trim)
}

fn names<'h>(headers: &'h HeaderMap, prefix: &'static str) -> impl Iterator<Item = (&'h str, &'h str)> {
    let named = headers.iter().filter(move |(name, _)| name.as_str().starts_with(prefix));
    named.filter_map(|(name, value)| Some((name.as_str(), value.to_str().ok()?.trim())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderName;

    fn read(kind: FaultKind, pairs: &[(&'static str, String)]) -> (Option<u64>, bool) {
        let headers =
            pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        let limit = RateLimit::read(&headers.collect(), &ErrorView::new(kind, "too much"));
        (limit.wait.map(|wait| wait.as_millis() as u64), limit.is_account)
    }

    fn limited(pairs: &[(&'static str, &str)]) -> (Option<u64>, bool) {
        let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        read(FaultKind::RateLimit, &pairs)
    }

    /// So many seconds from now, as the clock on the wall has it; the test may take a second of its own.
    fn unix(seconds: u64) -> String {
        (clock::unix_seconds() + seconds).to_string()
    }

    fn is_about((wait, is_account): (Option<u64>, bool), seconds: u64, account: bool) {
        let wait = wait.unwrap_or_default();
        assert!((seconds * 1000 - 5000..=seconds * 1000).contains(&wait), "{wait} ms, not {seconds} s");
        assert_eq!(is_account, account);
    }

    #[test]
    fn the_window_that_is_used_up_counts() {
        for (pairs, want) in [
            (
                &[
                    ("x-ratelimit-remaining-requests", "17"),
                    ("x-ratelimit-reset-requests", "1h"),
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "1m30s"),
                ][..],
                Some(90_000),
            ),
            (&[("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "6ms")], Some(6)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "11.5")], Some(11_500)),
            (&[("x-ratelimit-remaining-tokens", "5"), ("x-ratelimit-reset-tokens", "9h")], None),
            (&[("x-ratelimit-reset-tokens", "9h")], None),
            (
                &[
                    ("retry-after", "7"),
                    ("x-ratelimit-remaining-tokens", "0"),
                    ("x-ratelimit-reset-tokens", "1m30s"),
                ],
                Some(7000),
            ),
            (
                &[
                    ("anthropic-ratelimit-tokens-remaining", "0"),
                    ("anthropic-ratelimit-tokens-reset", "soon"),
                ],
                None,
            ),
            (&[], None),
        ] {
            assert_eq!(limited(pairs), (want, false), "{pairs:?}");
        }
    }

    #[test]
    fn dates_of_every_sort_are_understood() {
        let in_an_hour = chrono::DateTime::from_timestamp(clock::unix_seconds() as i64 + 3600, 0).unwrap();
        for reset in [in_an_hour.to_rfc3339(), unix(3600), format!("{}000", unix(3600))] {
            let pairs = [
                ("anthropic-ratelimit-input-tokens-remaining", "0".to_owned()),
                ("anthropic-ratelimit-input-tokens-reset", reset),
                ("anthropic-ratelimit-requests-remaining", "49".to_owned()),
                ("anthropic-ratelimit-requests-reset", unix(99_999)),
            ];
            is_about(read(FaultKind::RateLimit, &pairs), 3600, false);
        }
    }

    #[test]
    fn a_used_up_subscription_is_told_from_a_limited_model() {
        let windows = |five_hours: &str, seven_days: &str, family: &str| {
            let status = |status: &str| status.to_owned();
            [
                ("retry-after", "5".to_owned()),
                ("anthropic-ratelimit-unified-status", status("rejected")),
                ("anthropic-ratelimit-unified-5h-status", status(five_hours)),
                ("anthropic-ratelimit-unified-5h-reset", unix(600)),
                ("anthropic-ratelimit-unified-7d-status", status(seven_days)),
                ("anthropic-ratelimit-unified-7d-reset", unix(90_000)),
                ("anthropic-ratelimit-unified-7d_oi-status", status(family)),
                ("anthropic-ratelimit-unified-7d_oi-reset", unix(7000)),
                ("anthropic-ratelimit-unified-overage-status", status("rejected")),
                ("anthropic-ratelimit-unified-overage-reset", unix(80_000)),
            ]
        };
        let read = |five_hours, seven_days, family| {
            read(FaultKind::RateLimit, &windows(five_hours, seven_days, family))
        };
        is_about(read("rejected", "allowed", "allowed"), 600, true);
        is_about(read("rejected", "rejected", "rejected"), 90_000, true);
        is_about(read("allowed", "allowed_warning", "rejected"), 7000, false);
    }

    #[test]
    fn a_codex_subscription_rests_until_its_window_begins_anew() {
        let window = |used: &str| {
            limited(&[
                ("x-codex-primary-used-percent", used),
                ("x-codex-primary-reset-after-seconds", "1800"),
                ("x-codex-secondary-used-percent", "40"),
                ("x-codex-secondary-reset-after-seconds", "400000"),
            ])
        };
        assert_eq!(window("100"), (Some(1_800_000), true));
        assert_eq!(window("99.5"), (None, false), "limited, and not by its windows");
        let at = unix(1200);
        is_about(
            limited(&[
                ("x-codex-secondary-used-percent", "100.0"),
                ("x-codex-secondary-reset-after-seconds", ""),
                ("x-codex-secondary-reset-at", &at),
            ]),
            1200,
            true,
        );
        let unknown = [("x-codex-primary-used-percent", "100"), ("x-codex-primary-reset-at", "")];
        assert_eq!(limited(&unknown), (None, true));
    }

    #[test]
    fn absurd_hints_are_not_believed() {
        let week = Some(LONGEST.as_millis() as u64);
        for (name, value) in [("retry-after", "999999999"), ("retry-after-ms", "1e15")] {
            assert_eq!(limited(&[(name, value)]), (week, false));
        }
        let far = "9999999999999999999".to_owned();
        let pairs = [("anthropic-ratelimit-unified-status", "rejected".to_owned())];
        let pairs = pairs.into_iter().chain([("anthropic-ratelimit-unified-reset", far.clone())]);
        assert_eq!(read(FaultKind::RateLimit, &pairs.collect::<Vec<_>>()), (week, true));
        for absurd in ["-5", "NaN", "inf", "1e400", "99999999999999999999999h", &far] {
            let pairs = [("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", absurd)];
            assert!(limited(&pairs).0.is_none_or(|wait| Some(wait) <= week), "{absurd}");
        }
    }

    #[test]
    fn windows_say_nothing_where_no_limit_was_hit() {
        let pairs = [("x-ratelimit-remaining", "0".to_owned()), ("x-ratelimit-reset", "60".to_owned())];
        assert_eq!(read(FaultKind::Internal, &pairs), (None, false));
    }
}
