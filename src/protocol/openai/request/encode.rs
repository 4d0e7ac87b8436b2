//! The hub's request to a Chat server.

mod answers;
mod messages;
mod parts;
mod schema;
mod tools;

use sha2::{Digest, Sha256};

use super::sampling;
use crate::protocol::canonical::{
    Action, Effort, Exchange, Format, Losses, ReasoningMode, Request, Sampling, Unsupported, most_stops,
};
use crate::protocol::json::{Raw, Str, Writer};
use crate::protocol::{Dialect, Protocol, RequestError, Target};

/// Appends the request as a Chat server takes it.
pub(crate) fn encode(
    request: &Request<'_>,
    exchange: &Exchange,
    target: &Target<'_>,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    refuse(request, exchange)?;
    let mut encoder = Encoder { request, exchange, target, losses };
    let mut w = Writer::new(out);
    w.begin_object();
    w.key("model").text(target.model);
    encoder.messages(&mut w)?;
    encoder.tools(&mut w)?;
    encoder.stream(&mut w);
    encoder.output(&mut w)?;
    encoder.reasoning(&mut w);
    encoder.sampling(&mut w)?;
    if !target.dialect.no_account_fields {
        encoder.cache(&mut w);
        encoder.identity(&mut w);
    }
    encoder.service(&mut w);
    encoder.extras(&mut w);
    w.end_object();
    Ok(())
}

/// What Chat cannot say, and the answer would not show missing (loss class E).
fn refuse(request: &Request<'_>, exchange: &Exchange) -> Result<(), RequestError> {
    let state = &request.state;
    let native = exchange.client == Protocol::OpenAi;
    let stateful = "Chat Completions keeps no state; send the whole input";
    let refused = [
        (state.previous_id.is_some(), "previous_response_id", stateful),
        (state.conversation.is_some(), "conversation", stateful),
        (state.prompt.is_some(), "prompt", "stored prompts have no equivalent in Chat Completions"),
        (state.background, "background", "Chat Completions answers in the foreground"),
        (request.cache.handle.is_some(), "cachedContent", "cached content belongs to another provider"),
        (request.output.modalities.is_some() && !native, "modalities", "Chat Completions answers in text"),
        (request.output.max_tokens == Some(0), "max_tokens", "cache warm-up has no equivalent"),
    ];
    match refused.into_iter().find(|(given, ..)| *given) {
        Some((_, param, message)) => Err(Unsupported::new(param, message).into()),
        None if native => Ok(()),
        None => Ok(request.refuse_foreign_extras(exchange.client, &[])?),
    }
}

/// Whether the server is the vendor's own: no quirk is known of it.
fn is_official(dialect: &Dialect) -> bool {
    !(dialect.legacy_max_tokens
        || dialect.reasoning_replay
        || dialect.no_stream_options
        || dialect.no_content_arrays
        || dialect.no_account_fields
        || dialect.accepts_top_k
        || dialect.random_seed)
}

struct Encoder<'e> {
    request: &'e Request<'e>,
    exchange: &'e Exchange,
    target: &'e Target<'e>,
    losses: &'e mut Losses,
}

impl Encoder<'_> {
    /// Whether the client speaks Chat too: its own extensions may go on.
    fn is_native(&self) -> bool {
        self.exchange.client == Protocol::OpenAi
    }

    /// Whether cache marks can be carried.
    fn takes_breakpoints(&self) -> bool {
        self.target.capabilities.explicit_breakpoints && !self.target.dialect.no_content_arrays
    }

    fn stream(&self, w: &mut Writer<'_>) {
        if !self.request.stream {
            return;
        }
        w.key("stream").boolean(true);
        if !self.target.dialect.no_stream_options {
            w.key("stream_options").begin_object().key("include_usage").boolean(true).end_object();
        }
    }

    fn output(&mut self, w: &mut Writer<'_>) -> Result<(), RequestError> {
        let output = &self.request.output;
        if let Some(asked) = output.max_tokens {
            let limit = self.target.capabilities.max_output.map_or(asked, |most| asked.min(most));
            if limit < asked {
                self.losses.add(Action::Clamp, "max_tokens");
            }
            // T140: reasoning models refuse the old key, old servers do not know the new one.
            let legacy = self.target.dialect.legacy_max_tokens;
            w.key(if legacy { "max_tokens" } else { "max_completion_tokens" }).u64(limit);
        }
        if let Some(n) = output.n {
            w.key("n").u64(n);
        }
        self.stop(w);
        self.format(w);
        if let Some(verbosity) = &output.verbosity {
            w.key("verbosity").string(verbosity);
        }
        if let Some(modalities) = &output.modalities {
            w.key("modalities").raw(modalities);
        }
        Ok(())
    }

    fn stop(&mut self, w: &mut Writer<'_>) {
        let most = most_stops(Protocol::OpenAi);
        let texts = || self.request.output.stop.iter().filter(|text| !text.is_empty());
        if texts().next().is_none() {
            return;
        }
        w.key("stop").begin_array();
        texts().take(most).for_each(|text| {
            w.string(text);
        });
        w.end_array();
        if texts().count() > most {
            self.losses.drop("stop");
        }
    }

    fn format(&mut self, w: &mut Writer<'_>) {
        match &self.request.output.format {
            Format::Text => {}
            Format::JsonObject => json_mode(w),
            // What is asked for stands in the system message.
            format if format.must_be_said(&self.target.capabilities) => {
                self.losses.add(Action::Approx, "response_format");
                json_mode(w);
            }
            Format::JsonSchema { name, description, schema, strict } => {
                w.key("response_format").begin_object();
                w.key("type").text("json_schema");
                w.key("json_schema").begin_object();
                w.key("name").string(&schema_name(name.as_ref()));
                if let Some(description) = description {
                    w.key("description").string(description);
                }
                w.key("schema").raw(schema);
                if tools::write_strict(*strict, Some(schema), self.is_native(), w) {
                    self.losses.drop("response_format.strict");
                }
                w.end_object();
                w.end_object();
            }
        }
    }

    /// Effort in words (section 2.9). Nothing is switched on that the client did not ask for.
    fn reasoning(&mut self, w: &mut Writer<'_>) {
        let reasoning = self.request.reasoning;
        let capabilities = &self.target.capabilities;
        let word = match (reasoning.mode, reasoning.effort, reasoning.budget) {
            (ReasoningMode::Off, ..) if !capabilities.reasoning_model && !self.is_native() => return,
            (ReasoningMode::Off, ..) => Effort::None,
            (_, Some(effort), _) => effort,
            (_, None, Some(budget)) => {
                if !capabilities.reasoning_model {
                    return self.losses.drop("reasoning.budget");
                }
                self.losses.add(Action::Approx, "reasoning.budget");
                Effort::from_budget(budget)
            }
            (_, None, None) => return,
        };
        if !self.is_native() && !takes_effort(self.target) {
            return self.losses.drop("reasoning.effort");
        }
        let word = match word {
            Effort::XHigh | Effort::Max if !capabilities.effort_xhigh => {
                self.losses.add(Action::Approx, "reasoning.effort");
                Effort::High
            }
            word => word,
        };
        w.key("reasoning_effort").text(word.as_str());
    }

    fn sampling(&mut self, w: &mut Writer<'_>) -> Result<(), RequestError> {
        let sampling = &self.request.sampling;
        sampling::check(sampling)?;
        // Reasoning models refuse all of these; what they would have tuned is named as lost.
        let takes = self.target.capabilities.sampling;
        let tuned = [
            ("temperature", &sampling.temperature),
            ("top_p", &sampling.top_p),
            ("presence_penalty", &sampling.presence_penalty),
            ("frequency_penalty", &sampling.frequency_penalty),
        ];
        for (key, value) in tuned {
            match value {
                Some(value) if takes => {
                    w.key(key).number(value);
                }
                Some(_) => self.losses.drop(key),
                None => {}
            }
        }
        if takes {
            logprobs(sampling, w);
        } else {
            sampling.drop_logprobs(self.losses);
        }
        match &sampling.logit_bias {
            // Token ids mean something to one family of models only.
            Some(bias) if takes && self.is_native() => {
                w.key("logit_bias").raw(bias);
            }
            Some(_) => self.losses.drop("logit_bias"),
            None => {}
        }
        if let Some(seed) = &sampling.seed {
            w.key(if self.target.dialect.random_seed { "random_seed" } else { "seed" }).number(seed);
        }
        match &sampling.top_k {
            Some(top_k) if takes && self.target.dialect.accepts_top_k => {
                w.key("top_k").number(top_k);
            }
            Some(_) => self.losses.drop("top_k"),
            None => {}
        }
        Ok(())
    }

    fn cache(&self, w: &mut Writer<'_>) {
        let given = self.request.cache.key.as_ref().map(Str::borrowed);
        // Servers that do not know the key refuse it, or have no use for it.
        let derived =
            || self.request.session_key(self.exchange.client).filter(|_| is_openais_own(self.target));
        if let Some(key) = given.or_else(derived) {
            w.key("prompt_cache_key").string(&key);
        }
        if let Some(retention) = &self.request.cache.retention {
            w.key("prompt_cache_retention").string(retention);
        }
    }

    fn identity(&mut self, w: &mut Writer<'_>) {
        let request = self.request;
        if let Some(user) = &request.identity.end_user {
            let key = if self.target.dialect.legacy_max_tokens { "user" } else { "safety_identifier" };
            w.key(key).string(&fit_user(user));
        }
        // Not to store is what is done anyway, and servers that store nothing may not know the word.
        if let Some(store) = request.state.store.filter(|store| *store || self.is_native()) {
            w.key("store").boolean(store);
        }
        match &request.identity.metadata {
            // The API takes metadata for stored answers only.
            Some(metadata) if self.is_native() || request.state.store == Some(true) => {
                w.key("metadata").raw(metadata);
            }
            Some(_) => self.losses.drop("metadata"),
            None => {}
        }
    }

    fn service(&mut self, w: &mut Writer<'_>) {
        if self.request.safety.is_some() {
            self.losses.drop("safetySettings");
        }
        let Some(tier) = &self.request.service.tier else { return };
        if self.is_native() {
            w.key("service_tier").string(tier);
            return;
        }
        match tier.decode().to_ascii_lowercase().as_str() {
            known @ ("auto" | "default" | "flex" | "priority" | "scale" | "fast") => {
                w.key("service_tier").text(known);
            }
            "standard" | "standard_only" => {
                w.key("service_tier").text("default");
            }
            _ => self.losses.drop("service_tier"),
        }
    }

    /// T149: what only its own vendor knows goes nowhere else.
    fn extras(&mut self, w: &mut Writer<'_>) {
        for (key, raw) in &self.request.extras {
            let is_member = !key.as_escaped().contains('.');
            if self.is_native() && is_member {
                w.key_str(key).raw(raw);
            } else {
                Request::drop_extra(self.exchange.client, &key.decode(), self.losses);
            }
        }
    }
}

fn json_mode(w: &mut Writer<'_>) {
    w.key("response_format").begin_object().key("type").text("json_object").end_object();
}

/// The count is refused without the switch.
fn logprobs(sampling: &Sampling<'_>, w: &mut Writer<'_>) {
    let wanted = sampling.wants_logprobs();
    if wanted || sampling.logprobs.is_some() {
        w.key("logprobs").boolean(wanted);
    }
    if let Some(count) = sampling.top_logprobs.as_ref().filter(|_| wanted) {
        w.key("top_logprobs").number(count);
    }
}

/// Whether effort in words can be sent: official models that do not reason refuse it; of other
/// servers' models nothing is known, and the client's word goes on.
fn takes_effort(target: &Target<'_>) -> bool {
    target.capabilities.effort && (target.capabilities.reasoning_model || !has_openais_name(target))
}

fn has_openais_name(target: &Target<'_>) -> bool {
    let name = target.model.rsplit('/').next().unwrap_or(target.model);
    name.starts_with("gpt-") || name.starts_with("chatgpt")
}

/// Whether server and model are OpenAI's, as far as can be told: its open models run elsewhere.
fn is_openais_own(target: &Target<'_>) -> bool {
    let is_named = target.capabilities.reasoning_model || has_openais_name(target);
    is_official(&target.dialect) && is_named && !target.model.contains("gpt-oss")
}

/// The name that the API demands, of the letters that it takes.
fn schema_name(name: Option<&Str<'_>>) -> Str<'static> {
    let name = name.map(|name| name.decode()).unwrap_or_default();
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' || c == '-' { c } else { '_' };
    let fitted: String = name.chars().take(64).map(plain).collect();
    Str::escape(if fitted.is_empty() { "output".to_owned() } else { fitted })
}

/// T143: servers take 64 characters; longer names become their hash.
fn fit_user<'a>(user: &'a Str<'_>) -> Str<'a> {
    if user.len() <= 64 {
        return user.borrowed();
    }
    let digest = Sha256::digest(user.decode().as_bytes());
    Str::escape(digest.iter().map(|byte| format!("{byte:02x}")).collect::<String>())
}

/// A raw value that must be an object to be sent.
fn object_or_empty<'a>(raw: &'a Raw<'_>) -> Raw<'a> {
    if raw.is_object() { raw.borrowed() } else { Raw::from_json("{}") }
}
