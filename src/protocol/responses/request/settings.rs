//! Everything of a request that is neither content nor tools.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

use super::encode::Encoder;
use super::strict;
use crate::protocol::canonical::{
    Action, Effort, Exchange, Format, Reasoning, ReasoningMode, Request, Unsupported, Visibility,
};
use crate::protocol::json::{Number, Raw, Reader, Str, Writer};
use crate::protocol::{Protocol, RequestError};

/// Fewer output tokens than this are refused by the API (T139).
const MIN_OUTPUT_TOKENS: u64 = 16;
/// The API's limit on an end user's identifier.
const MAX_IDENTIFIER: usize = 64;

/// Refuses what would change the answer unseen if it were left out (class E of section 2).
pub(super) fn refuse(request: &Request<'_>, exchange: &Exchange) -> Result<(), Unsupported> {
    let refused = |param, message| Err(Unsupported::new(param, message));
    let output = &request.output;
    if output.n.is_some_and(|n| n > 1) {
        return refused("n", "this upstream gives one answer only");
    }
    if output.max_tokens == Some(0) {
        return refused("max_tokens", "must be at least 1; cache warm-up has no equivalent upstream");
    }
    if output.modalities.as_ref().is_some_and(|raw| !is_text_only(raw)) {
        return refused("modalities", "this upstream answers in text only");
    }
    if request.cache.handle.is_some() {
        return refused("cachedContent", "cached content lives at its own provider only");
    }
    in_range("temperature", request.sampling.temperature.as_ref(), 2.0)?;
    in_range("top_p", request.sampling.top_p.as_ref(), 1.0)?;
    in_range("top_logprobs", request.sampling.top_logprobs.as_ref(), 20.0)?;
    request.refuse_foreign_extras(exchange.client, &[])
}

fn is_text_only(modalities: &Raw<'_>) -> bool {
    let mut only = true;
    let read = Reader::new(modalities.as_str()).array(|word| {
        only &= word.string()?.decode().eq_ignore_ascii_case("text");
        Ok::<_, crate::protocol::json::Error>(())
    });
    only && read.is_ok()
}

fn in_range(param: &'static str, number: Option<&Number<'_>>, most: f64) -> Result<(), Unsupported> {
    match number {
        Some(number) if !(0.0..=most).contains(&number.as_f64()) => {
            Err(Unsupported::new(param, format!("must be between 0 and {most}")))
        }
        _ => Ok(()),
    }
}

/// Writes the settings.
pub(super) fn write(e: &mut Encoder<'_, '_, '_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
    text(e, w)?;
    reasoning(e, w);
    include(e, w);
    limits(e, w);
    sampling(e, w);
    dropped(e);
    identity(e, w);
    state(e, w);
    if e.request.stream {
        w.key("stream").boolean(true);
    }
    Ok(())
}

/// The member that stood inside `parent` and has no place in the hub.
fn inner_extras<'e>(
    e: &'e Encoder<'_, '_, '_>,
    parent: &'static str,
) -> impl Iterator<Item = (Str<'static>, &'e Raw<'e>)> {
    let native = e.exchange.client == Protocol::Responses;
    e.request.extras.iter().filter(move |_| native).filter_map(move |(key, raw)| {
        let name = key.decode();
        let inner = name.strip_prefix(parent)?.strip_prefix('.')?;
        (inner != "mutated").then(|| (Str::escape(inner.to_owned()), raw))
    })
}

fn text(e: &mut Encoder<'_, '_, '_>, w: &mut Writer<'_>) -> Result<(), RequestError> {
    let output = &e.request.output;
    let extras: Vec<_> = inner_extras(e, "text").collect();
    if matches!(output.format, Format::Text) && output.verbosity.is_none() && extras.is_empty() {
        return Ok(());
    }
    w.key("text").begin_object();
    let mut loose = false;
    match &output.format {
        Format::Text => {}
        Format::JsonObject => json_mode(w),
        // What is asked for stands in the input.
        format if format.must_be_said(&e.target.capabilities) => json_mode(w),
        Format::JsonSchema { name, description, schema, strict } => {
            w.key("format").begin_object();
            w.key("type").text("json_schema");
            w.key("name").text(&format_name(name.as_ref()));
            if let Some(description) = description {
                w.key("description").string(description);
            }
            w.key("schema").raw(schema);
            if let Some(strict) = strict {
                loose = *strict && !strict::qualifies(Some(schema));
                w.key("strict").boolean(*strict && !loose);
            }
            w.end_object();
        }
    }
    if let Some(verbosity) = &output.verbosity {
        w.key("verbosity").string(verbosity);
    }
    for (key, raw) in extras {
        w.key_str(&key).raw(raw);
    }
    w.end_object();
    if loose {
        e.losses.drop("response_format.strict");
    }
    Ok(())
}

fn json_mode(w: &mut Writer<'_>) {
    w.key("format").begin_object().key("type").text("json_object").end_object();
}

/// A schema needs a name of harmless characters.
fn format_name(name: Option<&Str<'_>>) -> String {
    let name: String = name
        .map(|name| name.decode().into_owned())
        .unwrap_or_default()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '_' | '-') { c } else { '_' })
        .take(64)
        .collect();
    if name.is_empty() { "output".to_owned() } else { name }
}

fn reasoning(e: &mut Encoder<'_, '_, '_>, w: &mut Writer<'_>) {
    let wanted = e.request.reasoning;
    if !e.target.capabilities.reasoning_model {
        // T108: refused by models that do not reason. Off is what they are anyway.
        if wanted.mode != ReasoningMode::Off && wanted != Reasoning::default() {
            e.losses.drop("reasoning");
        }
        return;
    }
    let (is_shown, takes_summary) =
        (wanted.visibility == Visibility::Shown, !e.target.dialect.no_reasoning_summary);
    if is_shown && !takes_summary {
        e.losses.drop("reasoning.summary");
    }
    let effort = effort(e, wanted);
    let extras: Vec<_> = inner_extras(e, "reasoning").collect();
    let has_summary = extras.iter().any(|(key, _)| *key == "summary");
    let summary = is_shown && takes_summary && !has_summary;
    if effort.is_none() && !summary && extras.is_empty() {
        return;
    }
    w.key("reasoning").begin_object();
    if let Some(effort) = effort {
        w.key("effort").text(effort.as_str());
    }
    if summary {
        w.key("summary").text("auto");
    }
    for (key, raw) in extras {
        w.key_str(&key).raw(raw);
    }
    w.end_object();
    if effort.is_some() && wanted.effort.is_none() && wanted.budget.is_some() {
        e.losses.add(Action::Approx, "reasoning.budget");
    }
}

fn effort(e: &Encoder<'_, '_, '_>, wanted: Reasoning) -> Option<Effort> {
    if wanted.mode == ReasoningMode::Off {
        return Some(Effort::None);
    }
    let effort = wanted.effort.or_else(|| wanted.budget.map(Effort::from_budget))?;
    let most = if e.target.capabilities.effort_xhigh { Effort::Max } else { Effort::High };
    Some(effort.min(most))
}

/// What the answer is to hold beyond its default. Encrypted reasoning is asked for whenever there
/// can be some: without it nothing of the reasoning can be replayed (section 2.9).
fn include(e: &Encoder<'_, '_, '_>, w: &mut Writer<'_>) {
    let native = e.exchange.client == Protocol::Responses;
    let reasons = e.target.capabilities.reasoning_model;
    let logprobs = e.target.capabilities.sampling && e.request.sampling.wants_logprobs();
    // Without them a search has no results to show; Chat has no place for any.
    let sources = !native && e.exchange.client != Protocol::OpenAi && e.request.searches_web();
    let others = e.request.extras.iter().any(|(key, _)| *key == "include");
    // The client's own list is written with the extras.
    if native && others || !reasons && !logprobs && !sources {
        return;
    }
    w.key("include").begin_array();
    if reasons {
        w.text("reasoning.encrypted_content");
    }
    if logprobs {
        w.text("message.output_text.logprobs");
    }
    if sources {
        w.text("web_search_call.action.sources");
    }
    w.end_array();
}

fn limits(e: &mut Encoder<'_, '_, '_>, w: &mut Writer<'_>) {
    let Some(wanted) = e.request.output.max_tokens else { return };
    let most = e.target.capabilities.max_output.unwrap_or(u64::MAX).max(MIN_OUTPUT_TOKENS);
    let sent = wanted.clamp(MIN_OUTPUT_TOKENS, most);
    if sent != wanted {
        e.losses.add(Action::Clamp, "max_tokens");
    }
    w.key("max_output_tokens").u64(sent);
}

fn sampling(e: &mut Encoder<'_, '_, '_>, w: &mut Writer<'_>) {
    let sampling = &e.request.sampling;
    let taken = e.target.capabilities.sampling;
    let numbers: [(&'static str, &Option<Number<'_>>); 2] =
        [("temperature", &sampling.temperature), ("top_p", &sampling.top_p)];
    for (key, number) in numbers {
        match number {
            Some(number) if taken => {
                w.key(key).number(number);
            }
            Some(_) => e.losses.drop(key),
            None => {}
        }
    }
    match &sampling.top_logprobs {
        _ if !taken => sampling.drop_logprobs(e.losses),
        // Without the entry of `include` beside it, it counts for nothing.
        Some(count) if sampling.wants_logprobs() => {
            w.key("top_logprobs").number(count);
        }
        _ => {}
    }
}

/// Settings without equivalent here, each of which only tunes.
fn dropped(e: &mut Encoder<'_, '_, '_>) {
    let r = e.request;
    let dropped = [
        ("top_k", r.sampling.top_k.is_some()),
        ("seed", r.sampling.seed.is_some()),
        ("presence_penalty", r.sampling.presence_penalty.is_some()),
        ("frequency_penalty", r.sampling.frequency_penalty.is_some()),
        ("logit_bias", r.sampling.logit_bias.is_some()),
        // T141
        ("stop", r.output.stop.iter().any(|stop| !stop.is_empty())),
        ("safetySettings", r.safety.is_some()),
    ];
    for (field, given) in dropped {
        if given {
            e.losses.drop(field);
        }
    }
}

fn identity(e: &mut Encoder<'_, '_, '_>, w: &mut Writer<'_>) {
    let r = e.request;
    let given = r.cache.key.as_ref().map(Str::borrowed);
    if let Some(key) = given.or_else(|| r.session_key(e.exchange.client)) {
        w.key("prompt_cache_key").string(&key);
    }
    if let Some(retention) = &r.cache.retention {
        w.key("prompt_cache_retention").string(retention);
    }
    if let Some(user) = &r.identity.end_user {
        // T143: longer ones are refused; a hash is as good for telling users apart.
        let text = user.decode();
        if text.len() > MAX_IDENTIFIER {
            w.key("safety_identifier").text(&hex_digest(&text));
        } else {
            w.key("safety_identifier").string(user);
        }
    }
    if let Some(metadata) = &r.identity.metadata {
        w.key("metadata").raw(metadata);
    }
    if let Some(tier) = &r.service.tier {
        match service_tier(e.exchange.client, &tier.decode()) {
            Some(tier) => {
                w.key("service_tier").text(tier);
            }
            None if matches!(e.exchange.client, Protocol::Responses | Protocol::OpenAi) => {
                w.key("service_tier").string(tier);
            }
            None => e.losses.drop("service_tier"),
        }
    }
}

fn hex_digest(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The tier in this family's words, where the client's differ (section 2.12).
fn service_tier(client: Protocol, tier: &str) -> Option<&'static str> {
    match (client, tier.to_ascii_lowercase().as_str()) {
        (Protocol::Anthropic, "auto") => Some("auto"),
        (Protocol::Anthropic, "standard_only") => Some("default"),
        (Protocol::Gemini, "standard") => Some("default"),
        (Protocol::Gemini, "flex") => Some("flex"),
        (Protocol::Gemini, "priority") => Some("priority"),
        _ => None,
    }
}

fn state(e: &Encoder<'_, '_, '_>, w: &mut Writer<'_>) {
    let state = &e.request.state;
    if let Some(id) = &state.previous_id {
        w.key("previous_response_id").string(id);
    }
    if let Some(conversation) = &state.conversation {
        w.key("conversation").raw(conversation);
    }
    if let Some(prompt) = &state.prompt {
        w.key("prompt").raw(prompt);
    }
    if state.background {
        w.key("background").boolean(true);
    }
    match state.store {
        Some(store) => {
            w.key("store").boolean(store);
        }
        // Other protocols store nothing, and the default here is to store.
        None if e.exchange.client != Protocol::Responses => {
            w.key("store").boolean(false);
        }
        None => {}
    }
}
