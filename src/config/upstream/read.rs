//! Reading of `upstreams`.

use std::collections::{HashMap, hash_map};
use std::num::NonZeroU32;

use super::{ApiType, Compression, Upstream, base_url, capabilities, headers};
use crate::config::Config;
use crate::config::address;
use crate::config::read::{self, Flag};
use crate::config::reader::{Field, Map};
use crate::protocol::Dialect;
use crate::protocol::canonical::HostedTools;

/// What is the same for all upstreams, or between them.
struct Siblings<'a> {
    /// The root, as far as it is read.
    config: &'a Config,
    /// Names in lower case, with the path of the upstream that has it.
    names: HashMap<String, String>,
}

/// The words of `api_type`; `None` is a type that is planned.
const API_TYPES: [(&str, Option<ApiType>); 9] = [
    ("anthropic", Some(ApiType::Anthropic)),
    ("openai", Some(ApiType::OpenAi)),
    ("responses", Some(ApiType::Responses)),
    ("gemini", Some(ApiType::Gemini)),
    ("codex", None),
    ("geminicli", None),
    ("antigravity", None),
    ("claudecode", None),
    ("kiro", None),
];

const COMPRESSIONS: [(&str, Compression); 7] = [
    ("none", Compression::None),
    ("identity", Compression::None),
    ("gzip", Compression::Gzip),
    ("x-gzip", Compression::Gzip),
    ("br", Compression::Brotli),
    ("zstd", Compression::Zstd),
    ("x-zstd", Compression::Zstd),
];

const HOSTED_TOOLS: [(&str, HostedTools); 2] =
    [("reject", HostedTools::Reject), ("strip", HostedTools::Strip)];

const FLAGS: [(&str, Flag<Dialect>); 12] = [
    ("legacy_max_tokens", |dialect| &mut dialect.legacy_max_tokens),
    ("developer_role", |dialect| &mut dialect.developer_role),
    ("reasoning_replay", |dialect| &mut dialect.reasoning_replay),
    ("no_stream_options", |dialect| &mut dialect.no_stream_options),
    ("no_content_arrays", |dialect| &mut dialect.no_content_arrays),
    ("no_account_fields", |dialect| &mut dialect.no_account_fields),
    ("accepts_top_k", |dialect| &mut dialect.accepts_top_k),
    ("random_seed", |dialect| &mut dialect.random_seed),
    ("think_tags", |dialect| &mut dialect.think_tags),
    ("no_reasoning_summary", |dialect| &mut dialect.no_reasoning_summary),
    ("stub_tools", |dialect| &mut dialect.stub_tools),
    ("vertex", |dialect| &mut dialect.vertex),
];

/// Reads `upstreams` into `config`, whose other sections are read already.
pub(in crate::config) fn read_all(map: &Map<'_>, config: &mut Config) {
    let Some(field) = map.get("upstreams") else { return map.missing("upstreams") };
    let items = field.list();
    let counted = items.is_some();
    let (mut enabled, mut disabled) = (Vec::new(), Vec::new());
    let mut siblings = Siblings { config, names: HashMap::new() };
    for item in items.iter().flatten() {
        match read_one(item, &mut siblings) {
            Some(Entry::Enabled(upstream)) => enabled.push(*upstream),
            Some(Entry::Disabled(name)) => disabled.push(name),
            None => {}
        }
    }
    if counted && enabled.is_empty() {
        field.warning("holds no enabled upstream: every request will be refused");
    }
    (config.upstreams, config.disabled_upstreams) = (enabled, disabled);
}

enum Entry {
    Enabled(Box<Upstream>),
    Disabled(String),
}

fn read_one(item: &Field<'_>, siblings: &mut Siblings<'_>) -> Option<Entry> {
    let map = item.map()?;
    let name = name(&map, item, siblings);
    if !read::boolean(&map, "enabled", true) {
        // Parked: only its name is checked, so that a missing key does not keep the others from work.
        return name.map(Entry::Disabled);
    }
    let upstream = map.read(|map| read_enabled(map, name.unwrap_or_default(), siblings.config));
    Some(Entry::Enabled(Box::new(upstream)))
}

fn name(map: &Map<'_>, item: &Field<'_>, siblings: &mut Siblings<'_>) -> Option<String> {
    let Some(field) = map.get("name") else {
        map.missing("name");
        return None;
    };
    let name = field.text()?.trim().to_owned();
    let letters = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    if name.is_empty() || name.len() > 64 || !name.bytes().all(letters) {
        return field.refuse("must be 1 to 64 of the characters A-Z, a-z, 0-9, `.`, `_` and `-`");
    }
    match siblings.names.entry(name.to_ascii_lowercase()) {
        hash_map::Entry::Vacant(free) => {
            free.insert(item.path.clone());
        }
        hash_map::Entry::Occupied(first) => {
            field.problem(format!("is the name of {} already; case makes no difference", first.get()));
        }
    }
    Some(name)
}

fn read_enabled(map: &Map<'_>, name: String, config: &Config) -> Upstream {
    for field in ["heartbeat", "heartbeat_interval"].iter().filter_map(|key| map.get(key)) {
        field.warning("has no effect any more");
    }
    let chosen = api_type(map);
    let api_type = chosen.flatten().unwrap_or(ApiType::Anthropic);
    let url = base_url::read(map, api_type, &config.address);
    let local = url.host_str().is_some_and(|host| address::is_loopback(host.trim_matches(['[', ']'])));
    Upstream {
        name,
        tokens: tokens(map, chosen == Some(None) || local),
        api_type,
        base_url: url,
        weight: weight(map),
        priority: priority(map),
        must_stream: map.get("must_stream").and_then(|field| field.boolean()),
        model_mappings: model_mappings(map),
        available_models: available_models(map),
        http_headers: headers::read(map),
        request_compression: compression(map),
        default_max_tokens: read::default_max_tokens(map).or(config.default_max_tokens),
        strict: read::boolean(map, "strict", config.strict),
        stop_emulation: read::boolean(map, "stop_emulation", config.stop_emulation),
        estimate_usage: read::boolean(map, "estimate_usage", config.estimate_usage),
        auto_cache: read::boolean(map, "auto_cache", false),
        http2: read::boolean(map, "http2", false),
        hosted_tools: map
            .get("hosted_tools")
            .and_then(|field| field.choice(&HOSTED_TOOLS))
            .unwrap_or_default(),
        timeouts: map.section("timeouts", |map| read::timeouts(map, config.timeouts)),
        circuit_breaker: map
            .section("circuit_breaker", |map| read::circuit_breaker(map, config.circuit_breaker)),
        fetch_media: map.section("fetch_media", |map| read::fetch_media(map, &config.fetch_media)),
        dialect: read::flags(map, "dialect", &FLAGS),
        capabilities: capabilities::read(map),
    }
}

/// The type; `None` when it is unknown and `Some(None)` when it is planned, which have been reported.
#[expect(clippy::option_option, reason = "unknown and planned are two complaints")]
fn api_type(map: &Map<'_>) -> Option<Option<ApiType>> {
    let (field, files) = (map.get("api_type"), map.get("auth_files"));
    let chosen = match &field {
        Some(field) => field.choice(&API_TYPES),
        None => Some(Some(ApiType::Anthropic)),
    };
    if let (Some(None), Some(field)) = (chosen, &field) {
        field.problem("is not supported yet; say `enabled: false` to keep the entry for later");
    }
    if let Some(files) = files {
        for file in files.items() {
            file.words();
        }
        if let Some(Some(_)) = chosen {
            files.warning("has no effect with this `api_type`, which works with `token`");
        }
    }
    chosen
}

fn tokens(map: &Map<'_>, may_be_absent: bool) -> Vec<crate::config::Secret> {
    match map.one_of(&["token", "tokens"]) {
        Some(field) => {
            read::secrets(&field, "only an upstream on this machine may do without, by leaving it out")
        }
        None => {
            if !may_be_absent {
                map.missing("token");
            }
            Vec::new()
        }
    }
}

fn weight(map: &Map<'_>) -> NonZeroU32 {
    let Some(field) = map.get("weight") else { return NonZeroU32::MIN };
    match field.integer() {
        Some(value) if value <= 0 => {
            field.warning("is below 1, which means 1; say `enabled: false` to switch it off")
        }
        Some(_) => {
            let value = field.whole(1..=1_000_000).and_then(|value| u32::try_from(value).ok());
            return value.and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN);
        }
        None => {}
    }
    NonZeroU32::MIN
}

fn priority(map: &Map<'_>) -> i32 {
    let value = map.get("priority").and_then(|field| field.whole(-1_000_000..=1_000_000));
    value.and_then(|value| i32::try_from(value).ok()).unwrap_or_default()
}

fn model_mappings(map: &Map<'_>) -> Vec<(String, String)> {
    let pairs = map.get("model_mappings").and_then(|field| field.pairs()).unwrap_or_default();
    pairs.iter().filter_map(|(key, value)| key.words().zip(value.words())).collect()
}

fn available_models(map: &Map<'_>) -> Option<Vec<String>> {
    let field = map.get("available_models")?;
    let items = field.items();
    if items.is_empty() {
        return field.refuse("must not be empty; leave it out to serve every model");
    }
    Some(items.iter().filter_map(read::model_pattern).collect())
}

fn compression(map: &Map<'_>) -> Compression {
    let Some(field) = map.get("request_compression") else { return Compression::None };
    let chosen = field.choice(&COMPRESSIONS).unwrap_or_default();
    if chosen != Compression::None {
        field.warning("is not in force yet: bodies are sent as they are");
    }
    chosen
}
