//! The document as a whole and its sections: which keys there are and what they must look like.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use super::address::Address;
use super::admin::Admin;
use super::reader::{Field, Map};
use super::secret::Secret;
use super::sections::{
    CircuitBreaker, Continuation, FetchMedia, KeepAlive, Log, LogFormat, Metrics, Shutdown, StateStore,
    Timeouts,
};
use super::words::{closest, one_of};
use super::{Config, address, failover, server, tree, units, upstream};
use crate::layer::fetch_media::{FetchPolicy, IpNet};
use crate::protocol::{ClientDialect, Reach};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);
const MIB: u64 = 1024 * 1024;
const MAX_SIZE: u64 = 4 * 1024 * MIB;

const CLIENT_FLAGS: [(&str, Flag<ClientDialect>); 2] = [
    ("no_529", |dialect| &mut dialect.no_529),
    ("resp_error_event", |dialect| &mut dialect.resp_error_event),
];

/// Reads the root. What is missing or wrong is reported and left at its default.
pub(super) fn config(map: &Map<'_>) -> Config {
    let mut config = Config::default();
    address_and_keys(map, &mut config);
    config.default_max_tokens = default_max_tokens(map);
    config.strict = boolean(map, "strict", false);
    config.stop_emulation = boolean(map, "stop_emulation", false);
    config.estimate_usage = boolean(map, "estimate_usage", false);
    config.client_dialect = flags(map, "client_dialect", &CLIENT_FLAGS);
    config.timeouts = root_timeouts(map);
    config.keep_alive = map.section("keep_alive", keep_alive);
    config.continuation = map.section("continuation", continuation);
    if let Some(size) = map.get("max_body_size").and_then(|field| size(&field)) {
        config.max_body_size = size;
    }
    if let Some(size) = map.get("max_answer_size").and_then(|field| size(&field)) {
        config.max_answer_size = size;
    }
    if let Some(size) = map.get("max_held_size").and_then(|field| size(&field)) {
        config.max_held_size = size;
    }
    if let Some(count) = count(map, "max_in_flight") {
        config.max_in_flight = count.get() as usize;
    }
    config.log = map.section("log", log);
    config.circuit_breaker =
        map.section("circuit_breaker", |map| circuit_breaker(map, CircuitBreaker::default()));
    config.fetch_media = map.section("fetch_media", |map| fetch_media(map, &FetchMedia::default()));
    config.failover = map.section("failover", failover::read);
    config.state_store = map.section("state_store", state_store);
    config.metrics = map.section("metrics", metrics);
    config.admin = Admin::read(map, &config.api_keys);
    config.shutdown = map.section("shutdown", shutdown);
    config.server = map.section("server", server::read);
    config.model_fallback = failover::models(map);
    upstream::read_all(map, &mut config);
    config
}

fn address_and_keys(map: &Map<'_>, config: &mut Config) {
    let (address, host) = Address::read(map);
    config.allow_public_without_keys = boolean(map, "allow_public_without_keys", false);
    config.allowed_hosts = map.get("allowed_hosts").map(|field| hosts(&field)).unwrap_or_default();
    let keys = map.one_of(&["api-key", "api_key", "api_keys"]);
    config.api_keys = keys
        .as_ref()
        .map(|field| secrets(field, "leave the key out if clients need none"))
        .unwrap_or_default();
    let open = keys.is_none() && !address.is_loopback() && !config.allow_public_without_keys;
    config.address = address;
    if open && let Some(host) = host {
        host.problem(
            "other machines can reach this address, and there is no `api-key`: everybody could spend your \
             keys. Add `api-key`, listen on 127.0.0.1, or say `allow_public_without_keys: true`",
        );
    }
}

// === values ===

/// Names of hosts, without a port; `*` is any.
fn hosts(field: &Field<'_>) -> Vec<String> {
    const HOST: &str = "a host name or IP address without a port, or `*`";
    let parse = |text: &str| match text {
        "*" => Ok(text.to_owned()),
        _ => address::host(text).map_err(|_| format!("must be {HOST}")),
    };
    field.items().iter().filter_map(|item| item.parsed(HOST, parse)).collect()
}

/// One secret or several, without duplicates; an empty list is a problem, not "none".
pub(super) fn secrets(field: &Field<'_>, advice: &str) -> Vec<Secret> {
    let items = field.items();
    if items.is_empty() {
        field.problem(format!("must not be empty; {advice}"));
    }
    Secret::without_duplicates(items.iter().filter_map(Field::secret).collect())
}

pub(super) fn boolean(map: &Map<'_>, key: &'static str, default: bool) -> bool {
    map.get(key).and_then(|field| field.boolean()).unwrap_or(default)
}

/// The place of a flag in what holds it.
pub(super) type Flag<T> = fn(&mut T) -> &mut bool;

/// A list of words, each of which sets a flag.
pub(super) fn flags<T: Default>(map: &Map<'_>, key: &'static str, words: &[(&'static str, Flag<T>)]) -> T {
    let mut all = T::default();
    for item in map.get(key).iter().flat_map(Field::items) {
        if let Some(flag) = item.choice(words) {
            *flag(&mut all) = true;
        }
    }
    all
}

/// A whole number of at least one.
pub(super) fn count(map: &Map<'_>, key: &'static str) -> Option<NonZeroU32> {
    map.get(key).and_then(|field| positive(&field))
}

fn positive(field: &Field<'_>) -> Option<NonZeroU32> {
    let value = field.whole(1..=i64::from(u32::MAX))?;
    u32::try_from(value).ok().and_then(NonZeroU32::new)
}

/// A model's name, or the beginning of several with a `*` after it.
pub(super) fn model_pattern(field: &Field<'_>) -> Option<String> {
    let pattern = field.words()?;
    let inner = pattern.strip_suffix('*').unwrap_or(&pattern);
    if inner.contains('*') { field.refuse("may have a `*` only at its end") } else { Some(pattern) }
}

pub(super) fn default_max_tokens(map: &Map<'_>) -> Option<u64> {
    let value = map.get("default_max_tokens")?.whole(1..=i64::from(u32::MAX))?;
    u64::try_from(value).ok()
}

/// A size that the memory holds.
pub(super) fn size(field: &Field<'_>) -> Option<usize> {
    let size = field.size()?;
    match usize::try_from(size) {
        Ok(bytes) if (1..=MAX_SIZE).contains(&size) => Some(bytes),
        _ => field.refuse("must be between 1 byte and 4GiB"),
    }
}

// === sections ===

fn root_timeouts(map: &Map<'_>) -> Timeouts {
    let old = map.get("upstream_request_timeout");
    let timeouts = map.section("timeouts", |section| {
        if let (Some(old), true) = (&old, section.get("head").is_some()) {
            old.problem("means the same as `timeouts.head`; give only one of them");
        }
        timeouts(section, Timeouts::default())
    });
    match old.and_then(|field| old_head(&field)) {
        Some(head) => Timeouts { head: Some(head), ..timeouts },
        None => timeouts,
    }
}

/// The old name of `timeouts.head`, whose zero always meant "the default".
fn old_head(field: &Field<'_>) -> Option<Duration> {
    let head = field.parsed("a duration such as 90s", |text| match tree::integer(text) {
        Some(seconds) if seconds <= 0 => Ok(None),
        _ => units::duration(text).map(Some),
    })??;
    field.warning("is the old name of `timeouts.head`");
    Some(head)
}

/// Reads `timeouts` over what is in force already.
pub(super) fn timeouts(map: &Map<'_>, base: Timeouts) -> Timeouts {
    let limit = |key, base| map.get(key).and_then(|field| limit(&field)).unwrap_or(base);
    let timeouts = Timeouts {
        connect: limit("connect", base.connect),
        head: limit("head", base.head),
        first_content: limit("first_content", base.first_content),
        content_gap: limit("content_gap", base.content_gap),
        idle: limit("idle", base.idle),
        request: limit("request", base.request),
    };
    let longest = timeouts.head.max(timeouts.first_content);
    if let (Some(field), Some(request)) = (map.get("request"), timeouts.request)
        && longest.is_none_or(|longest| longest >= request)
    {
        field.warning(
            "should be longer than `head` and `first_content`: it ends a request without asking the next upstream, and an \
             upstream that hangs is never found out",
        );
    }
    timeouts
}

#[expect(clippy::option_option, reason = "the outer one is a key that is absent, the inner one `none`")]
pub(super) fn limit(field: &Field<'_>) -> Option<Option<Duration>> {
    field.parsed("a duration such as 90s, or `none`", |text| {
        if ["none", "off"].iter().any(|word| word.eq_ignore_ascii_case(text)) {
            return Ok(None);
        }
        match units::duration(text)? {
            Duration::ZERO => Err("must be longer than nothing; say `none` for no limit".to_owned()),
            limit => Ok(Some(limit)),
        }
    })
}

/// Reads `circuit_breaker` over what is in force already.
pub(super) fn circuit_breaker(map: &Map<'_>, base: CircuitBreaker) -> CircuitBreaker {
    let time = |key, base| map.get(key).and_then(|field| longer_than_nothing(&field)).unwrap_or(base);
    CircuitBreaker {
        enabled: boolean(map, "enabled", base.enabled),
        failures: count(map, "failures").unwrap_or(base.failures),
        open_for: time("open_for", base.open_for),
        max_rest: time("max_rest", base.max_rest),
    }
}

pub(super) fn longer_than_nothing(field: &Field<'_>) -> Option<Duration> {
    let duration = field.duration()?;
    if duration.is_zero() { field.refuse("must be longer than nothing") } else { Some(duration) }
}

/// Reads `fetch_media` over what is in force already.
pub(super) fn fetch_media(map: &Map<'_>, base: &FetchMedia) -> FetchMedia {
    let policy = &base.policy;
    let is_all = map.get("all").and_then(|field| field.boolean());
    FetchMedia {
        enabled: boolean(map, "enabled", base.enabled),
        policy: FetchPolicy {
            reach: is_all.map_or(policy.reach, |all| if all { Reach::Nothing } else { Reach::Protocol }),
            max_file_size: map
                .get("max_file_size")
                .and_then(|field| size(&field))
                .unwrap_or(policy.max_file_size),
            max_files: count(map, "max_files").map_or(policy.max_files, |count| count.get() as usize),
            timeout: map
                .get("timeout")
                .and_then(|field| longer_than_nothing(&field))
                .unwrap_or(policy.timeout),
            max_redirects: map
                .get("max_redirects")
                .and_then(|field| field.whole(0..=20))
                .and_then(|count| u32::try_from(count).ok())
                .unwrap_or(policy.max_redirects),
            allow: map.get("allow").map_or_else(|| policy.allow.clone(), |field| networks(&field)),
        },
    }
}

/// Networks, or single addresses.
fn networks(field: &Field<'_>) -> Vec<IpNet> {
    const NETWORK: &str = "a network such as 10.1.0.0/16, or an address";
    let parse = |text: &str| {
        let alone = || text.parse::<IpAddr>().map(IpNet::from).ok();
        text.parse().ok().or_else(alone).ok_or_else(|| format!("must be {NETWORK}"))
    };
    field.items().iter().filter_map(|item| item.parsed(NETWORK, parse)).collect()
}

fn log(map: &Map<'_>) -> Log {
    let default = Log::default();
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let whole = |key| map.get(key).and_then(|field| at_least_one(&field));
    let preview = map.get("prompt_preview").and_then(|field| field.whole(0..=1_000_000));
    Log {
        level: map.get("level").and_then(|field| field.parsed(LEVEL, level)).unwrap_or(default.level),
        format: map.get("format").and_then(|field| field.choice(&formats)).unwrap_or(default.format),
        file: map
            .get("file")
            .and_then(|field| field.text())
            .filter(|file| !file.is_empty())
            .map(PathBuf::from),
        max_size: whole("max_size").map_or(default.max_size, |count| u64::from(count.get()) * MIB),
        max_backups: whole("max_backups").map_or(default.max_backups, |count| count.get() as usize),
        max_age: whole("max_age").map_or(default.max_age, |count| DAY * count.get()),
        compress: boolean(map, "compress", default.compress),
        prompt_preview: preview
            .and_then(|count| usize::try_from(count).ok())
            .unwrap_or(default.prompt_preview),
    }
}

/// A whole number; one below 1 has always meant the default, which deserves a warning.
fn at_least_one(field: &Field<'_>) -> Option<NonZeroU32> {
    if field.integer()? <= 0 {
        field.warning("is below 1, which means the default");
        return None;
    }
    NonZeroU32::new(u32::try_from(field.whole(1..=100_000)?).ok()?)
}

const LEVEL: &str = "a level such as info, or directives such as info,aiproxy=debug";
const LEVELS: [&str; 6] = ["trace", "debug", "info", "warn", "error", "off"];

/// A level, or tracing's directives, of which those are checked that are no more than `target=level`.
fn level(text: &str) -> Result<String, String> {
    for directive in text.split(',') {
        let (target, level) = directive.rsplit_once('=').unwrap_or(("", directive));
        let known = LEVELS.iter().any(|known| known.eq_ignore_ascii_case(level.trim()));
        let span = directive.contains(['[', ']', '{', '}']);
        let module = target.is_empty() && directive.contains("::");
        if !(known || span || module) {
            let near = closest(level, &LEVELS);
            let hint = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
            return Err(format!(
                "must be {}, or directives such as info,aiproxy=debug{hint}",
                one_of(&LEVELS)
            ));
        }
    }
    Ok(text.to_owned())
}

fn continuation(map: &Map<'_>) -> Continuation {
    let models = map.get("models");
    let patterns = models.iter().flat_map(Field::items).filter_map(|field| model_pattern(&field));
    Continuation { models: patterns.collect() }
}

fn keep_alive(map: &Map<'_>) -> KeepAlive {
    let default = KeepAlive::default();
    let time = |key, base| map.get(key).and_then(|field| longer_than_nothing(&field)).unwrap_or(base);
    KeepAlive {
        enabled: boolean(map, "enabled", default.enabled),
        grace: time("grace", default.grace),
        interval: time("interval", default.interval),
    }
}

fn state_store(map: &Map<'_>) -> StateStore {
    let default = StateStore::default();
    StateStore {
        enabled: boolean(map, "enabled", default.enabled),
        max_size: map.get("max_size").and_then(|field| size(&field)).unwrap_or(default.max_size),
        ttl: map.get("ttl").and_then(|field| longer_than_nothing(&field)).unwrap_or(default.ttl),
    }
}

fn metrics(map: &Map<'_>) -> Metrics {
    let default = Metrics::default();
    Metrics {
        enabled: boolean(map, "enabled", default.enabled),
        path: map
            .get("path")
            .and_then(|field| field.parsed("a path such as /metrics", path))
            .unwrap_or(default.path),
    }
}

fn path(text: &str) -> Result<String, String> {
    let segment = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '_' | '.' | '~');
    if !text.starts_with('/') || text.len() < 2 || !text.chars().all(segment) {
        return Err("must be a path such as /metrics".to_owned());
    }
    if text == "/v1" || text.starts_with("/v1/") || text.starts_with("/v1beta") {
        return Err("must not be within the paths of the APIs (/v1, /v1beta)".to_owned());
    }
    Ok(text.to_owned())
}

fn shutdown(map: &Map<'_>) -> Shutdown {
    let drain = map.get("drain").and_then(|field| field.duration());
    Shutdown { drain: drain.unwrap_or(Shutdown::default().drain) }
}
