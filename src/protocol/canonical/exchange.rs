//! What an answer has to know of its request.

use std::collections::HashMap;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::ModelFamily;
use super::request::{Request, ToolKind};
use super::restoration::Restoration;
use crate::protocol::json::Str;
use crate::protocol::{ClientDialect, Protocol};

/// The facts of a request that shape its answer. Owned, so that it outlives the request's bytes.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// What the client speaks.
    pub client: Protocol,
    /// What the upstream speaks.
    pub upstream: Protocol,
    /// Who reads the state that comes with the answer, and made what may go back; [`Target::family`] knows.
    ///
    /// [`Target::family`]: crate::protocol::Target::family
    pub family: ModelFamily,
    /// The model name for the answer, when routing renamed the model; else the upstream's is used.
    pub model: Option<String>,
    /// Whether the client asked for a stream.
    pub stream: bool,
    /// Whether a Chat client wants the usage chunk.
    pub include_usage: bool,
    /// Whether the client is to see reasoning (2.9: Anthropic and Gemini clients only if they asked).
    pub show_reasoning: bool,
    /// Whether the provider may have searched the web without telling of more than what it cites (Chat).
    pub has_silent_search: bool,
    /// Tool names as sent upstream, back to the client's.
    pub tool_names: NameMap,
    /// The client's names of free-text tools: their calls go back as custom calls.
    pub custom_tools: Vec<String>,
    /// Names and types of the client's own tools that went as functions: their calls go back in the native shape.
    pub client_tools: Vec<(String, String)>,
    /// Members that a Responses answer repeats of its request, with raw JSON values.
    pub echo: Vec<(&'static str, String)>,
    /// Seconds since 1970, for answers that carry a date of their own.
    pub created: u64,
    /// Seed of made-up ids.
    pub seed: u64,
    /// What the client wants otherwise than its protocol says.
    pub client_dialect: ClientDialect,
    /// The id of the request, for an error within the stream.
    pub request_id: Option<String>,
    /// By what its calls are given back.
    pub restoration: Arc<Restoration>,
}

impl Exchange {
    /// Gathers what the answer to `request` will need.
    #[must_use]
    pub fn new(request: &Request<'_>, client: Protocol, upstream: Protocol) -> Self {
        use super::request::Visibility;
        let show_reasoning = match client {
            Protocol::OpenAi | Protocol::Responses => true,
            Protocol::Anthropic | Protocol::Gemini => request.reasoning.visibility == Visibility::Shown,
        };
        let callable = request.tools.iter().filter(|t| !matches!(t.kind, ToolKind::Hosted { .. }));
        // Anthropic's own search has a name among the tools, which is a name that functions may have elsewhere.
        let has_search = upstream == Protocol::Anthropic && client != upstream && request.searches_web();
        let reserved = has_search.then_some("web_search");
        let names = callable.map(|t| &t.name).chain(request.called_names());
        let tool_names = NameMap::new(upstream, names, reserved);
        Exchange {
            client,
            upstream,
            family: ModelFamily::UNKNOWN,
            model: None,
            stream: request.stream,
            include_usage: request.include_usage,
            show_reasoning,
            has_silent_search: upstream == Protocol::OpenAi && request.searches_web(),
            custom_tools: request
                .tools
                .iter()
                .filter(|t| matches!(t.kind, ToolKind::Custom { .. }))
                .map(|t| t.name.decode().into_owned())
                .collect(),
            client_tools: request
                .tools
                .iter()
                .filter_map(|t| match &t.kind {
                    ToolKind::Client { tag, .. } => {
                        Some((t.name.decode().into_owned(), tag.decode().into_owned()))
                    }
                    _ => None,
                })
                .collect(),
            echo: request.echo.iter().map(|(k, v)| (*k, v.as_str().to_owned())).collect(),
            created: 0,
            seed: 0,
            client_dialect: ClientDialect::default(),
            request_id: None,
            restoration: Arc::new(Restoration::new(request, upstream, &tool_names)),
            tool_names,
        }
    }

    /// The model name for the answer: the client's if routing renamed it, else the upstream's.
    #[must_use]
    pub fn answer_model<'s>(&'s self, upstream: &'s Str<'_>) -> Str<'s> {
        match &self.model {
            Some(model) => Str::escape(model.as_str()),
            None => upstream.borrowed(),
        }
    }
}

/// Tool names fitted to what an upstream accepts, and back (1.9, T080).
#[derive(Clone, Debug, Default)]
pub struct NameMap {
    /// Only names that had to change.
    to_upstream: HashMap<String, String>,
    to_client: HashMap<String, String>,
}

impl NameMap {
    /// Fits `names` to the rules of `upstream`; one that is `reserved` there becomes another.
    pub fn new<'n, 'a: 'n>(
        upstream: Protocol,
        names: impl Iterator<Item = &'n Str<'a>>,
        reserved: Option<&str>,
    ) -> Self {
        let mut map = NameMap::default();
        // By name at the upstream: the client's. What is reserved is nobody's.
        let mut taken: HashMap<String, String> = HashMap::new();
        taken.extend(reserved.map(|name| (name.to_owned(), String::new())));
        for name in names {
            let name = name.decode();
            // A history says the same few names over and over.
            let is_known = taken.get(&*name).is_some_and(|owner| *owner == name);
            if is_known || map.to_upstream.contains_key(&*name) {
                continue;
            }
            let mut fitted = fit_name(upstream, &name);
            if taken.get(&fitted).is_some_and(|owner| *owner != name) {
                fitted = hashed_name(&fitted, &name);
            }
            taken.insert(fitted.clone(), name.clone().into_owned());
            if fitted != name {
                map.to_client.insert(fitted.clone(), name.clone().into_owned());
                map.to_upstream.insert(name.into_owned(), fitted);
            }
        }
        map
    }

    /// The name to send upstream.
    #[must_use]
    pub fn upstream<'n>(&'n self, name: &'n Str<'_>) -> Str<'n> {
        if self.to_upstream.is_empty() {
            return name.borrowed();
        }
        match self.to_upstream.get(name.decode().as_ref()) {
            Some(fitted) => Str::escape(fitted.as_str()),
            None => name.borrowed(),
        }
    }

    /// The name that the client knows.
    #[must_use]
    pub fn client<'n>(&'n self, name: &'n Str<'_>) -> Str<'n> {
        if self.to_client.is_empty() {
            return name.borrowed();
        }
        match self.to_client.get(name.decode().as_ref()) {
            Some(original) => Str::escape(original.as_str()),
            None => name.borrowed(),
        }
    }

    /// Whether any name had to change.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.to_upstream.is_empty()
    }
}

fn fit_name(upstream: Protocol, name: &str) -> String {
    let gemini = upstream == Protocol::Gemini;
    let mut fitted: String = name
        .chars()
        .map(|c| {
            let ok = c.is_ascii_alphanumeric() || c == '_' || c == '-' || gemini && (c == '.' || c == ':');
            if ok { c } else { '_' }
        })
        .collect();
    if gemini && !fitted.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') {
        fitted.insert(0, '_');
    }
    if fitted.is_empty() {
        fitted.push('_');
    }
    if fitted.len() > 64 { hashed_name(&fitted, name) } else { fitted }
}

/// The first 55 characters, `_`, and 8 hex digits of the full name's hash.
fn hashed_name(fitted: &str, name: &str) -> String {
    let head = fitted.get(..fitted.len().min(55)).unwrap_or(fitted);
    let digest = Sha256::digest(name.as_bytes());
    format!("{head}_{:02x}{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2], digest[3])
}

/// Made-up ids: random enough to be unique, and a pure function of the seed.
#[derive(Clone, Debug)]
pub struct IdSource(u64);

impl IdSource {
    /// Starts from a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        IdSource(seed)
    }

    fn next(&mut self) -> u64 {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// `prefix` and 48 hex digits: the ids of Responses.
    pub fn hex(&mut self, prefix: &str) -> String {
        format!("{prefix}{:016x}{:016x}{:016x}", self.next(), self.next(), self.next())
    }

    /// `prefix` and 24 letters and digits: ids of calls, messages, completions.
    pub fn short(&mut self, prefix: &str) -> String {
        let mut id = String::with_capacity(prefix.len() + 24);
        id.push_str(prefix);
        for _ in 0..3 {
            base62(self.next(), 8, &mut id);
        }
        id
    }
}

fn base62(mut bits: u64, digits: usize, out: &mut String) {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    for _ in 0..digits {
        out.push(char::from(ALPHABET[(bits % 62) as usize]));
        bits /= 62;
    }
}

/// An id derived from what it names: the same request gives the same bytes (T187).
#[must_use]
pub(crate) fn derived_id(prefix: &str, seed: &[u8]) -> String {
    let digest = Sha256::digest(seed);
    let mut id = prefix.to_owned();
    for eight in digest.as_chunks::<8>().0.iter().take(3) {
        base62(u64::from_be_bytes(*eight), 8, &mut id);
    }
    id
}

/// A call id that `upstream` accepts: unchanged if it fits, else derived from it (T068, T069). Apply
/// it to call and result alike.
#[must_use]
pub(crate) fn fit_call_id<'a>(upstream: Protocol, id: &'a Str<'_>) -> Str<'a> {
    let plain = |c: u8| c.is_ascii_alphanumeric() || c == b'_' || c == b'-';
    let text = id.as_escaped();
    let fits = match upstream {
        Protocol::Anthropic => text.bytes().all(plain),
        Protocol::Responses | Protocol::OpenAi => text.len() <= 64,
        Protocol::Gemini => true,
    };
    if fits { id.borrowed() } else { Str::escape(derived_id("call_", id.decode().as_bytes())) }
}

#[cfg(test)]
mod tests {
    use super::super::{Part, PartKind, Role, Turn};
    use super::*;

    #[test]
    fn t080_names_fit_and_come_back() {
        let long = "x".repeat(70);
        let names: Vec<Str<'_>> = ["ok", "a.b", "a/b", &long].map(Str::from).to_vec();
        let map = NameMap::new(Protocol::OpenAi, names.iter(), None);
        let mut seen = Vec::new();
        for name in &names {
            let sent = map.upstream(name);
            assert!(sent.len() <= 64);
            assert!(sent.as_escaped().bytes().all(|c| c.is_ascii_alphanumeric() || b"_-".contains(&c)));
            assert_eq!(map.client(&sent), *name);
            seen.push(sent.as_escaped().to_owned());
        }
        seen.sort();
        seen.dedup();
        assert_eq!(seen.len(), 4, "two names must not become one");
    }

    #[test]
    fn t080_names_that_only_the_history_knows_fit_too() {
        let call = |name: &'static str| {
            Part::new(PartKind::ToolCall {
                id: "c".into(),
                name: name.into(),
                arguments: "{}".into(),
                custom: false,
            })
        };
        let turn = Turn {
            role: Role::Assistant,
            parts: ["mcp:find", "ok", "mcp.find", "mcp:find"].map(call).into(),
        };
        let request = Request { turns: vec![turn], ..Request::default() };
        let names = Exchange::new(&request, Protocol::Gemini, Protocol::Anthropic).tool_names;
        assert_eq!(names.upstream(&"mcp:find".into()), "mcp_find");
        assert_eq!(names.upstream(&"ok".into()), "ok");
        let other = names.upstream(&"mcp.find".into()).decode().into_owned();
        assert!(other.starts_with("mcp_find_"), "{other}: two tools must not become one");
    }

    #[test]
    fn t068_t069_call_ids_fit_call_and_result_alike() {
        let id = Str::from("call:1|x");
        let fitted = fit_call_id(Protocol::Anthropic, &id);
        assert_eq!(fitted, fit_call_id(Protocol::Anthropic, &id));
        assert!(fitted.as_escaped().starts_with("call_"));
        assert_eq!(fit_call_id(Protocol::Responses, &id), id);
        let long = Str::from("x".repeat(65));
        assert!(fit_call_id(Protocol::Responses, &long).len() <= 64);
    }
}
