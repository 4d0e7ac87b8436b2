//! The hub to an upstream's request. The model goes into the path.

mod config;
mod contents;
mod parts;
mod tools;

use super::super::schema;
use super::decode::MUTATED;
use crate::protocol::canonical::{Exchange, Losses, Request, Unsupported};
use crate::protocol::json::{Raw, Writer};
use crate::protocol::{Protocol, RequestError, Target, Thinking};

/// What every part of the encoder needs to know.
struct Context<'c> {
    request: &'c Request<'c>,
    exchange: &'c Exchange,
    target: &'c Target<'c>,
}

impl Context<'_> {
    /// Whether the client speaks Gemini too: what it said is meant as it stands.
    fn is_native(&self) -> bool {
        self.exchange.client == Protocol::Gemini
    }

    /// Gemini 3 and later.
    fn has_levels(&self) -> bool {
        self.target.capabilities.has_levels()
    }

    /// Ids go on calls and responses alike, or on neither (T067).
    fn sends_ids(&self) -> bool {
        self.target.capabilities.call_ids && !self.target.dialect.vertex
    }

    /// Old models and Vertex take the OpenAPI dialect of schemas only (2.8).
    fn openapi_schemas(&self) -> bool {
        self.target.dialect.vertex || self.target.capabilities.thinking == Thinking::None
    }

    /// Writes a schema under the key of the dialect that the target takes.
    fn write_schema(&self, keys: [&'static str; 2], raw: &Raw<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
        let [json_schema, openapi] = keys;
        if self.openapi_schemas() {
            let (json, is_lossy) = schema::to_openapi(raw);
            if is_lossy {
                losses.add(crate::protocol::canonical::Action::Approx, "schema");
            }
            w.key(openapi).json(&json);
        } else {
            w.key(json_schema).raw(&schema::to_json_schema(raw));
        }
    }
}

/// Writes the request.
///
/// # Errors
///
/// If leaving something out would change the answer unseen.
pub(crate) fn encode(
    request: &Request<'_>,
    exchange: &Exchange,
    target: &Target<'_>,
    losses: &mut Losses,
    out: &mut Vec<u8>,
) -> Result<(), RequestError> {
    let context = Context { request, exchange, target };
    refuse_state(request)?;
    let mut w = Writer::new(out);
    w.begin_object();
    context.write_cached(&mut w)?;
    context.write_system(&mut w);
    contents::write(&context, losses, &mut w)?;
    tools::write(&context, losses, &mut w)?;
    if let Some(safety) = &request.safety {
        w.key("safetySettings").raw(safety);
    }
    config::write(&context, losses, &mut w)?;
    context.write_tier(losses, &mut w);
    context.write_extras(losses, &mut w)?;
    w.end_object();
    Ok(())
}

/// Stored state lives at OpenAI only; without it the model has amnesia (T147).
fn refuse_state(request: &Request<'_>) -> Result<(), Unsupported> {
    let state = &request.state;
    let refused = [
        ("previous_response_id", state.previous_id.is_some()),
        ("conversation", state.conversation.as_ref().is_some_and(|raw| !raw.is_null())),
        ("prompt", state.prompt.as_ref().is_some_and(|raw| !raw.is_null())),
        ("background", state.background),
    ];
    match refused.into_iter().find(|(_, is_set)| *is_set) {
        Some((param, _)) => Err(Unsupported::new(
            param,
            "stored state has no equivalent at this upstream; send the full input",
        )),
        None => Ok(()),
    }
}

impl Context<'_> {
    fn write_cached(&self, w: &mut Writer<'_>) -> Result<(), Unsupported> {
        if let Some(handle) = &self.request.cache.handle {
            w.key("cachedContent").string(handle);
        }
        Ok(())
    }

    /// One part per block, texts untouched (T124).
    fn write_system(&self, w: &mut Writer<'_>) {
        let blocks = self.request.system.iter().filter(|block| {
            // Claude Code's telemetry has a hash per request, which defeats prefix caching (T184).
            let is_telemetry =
                !self.is_native() && { block.text.decode().starts_with("x-anthropic-billing-header:") };
            !block.text.is_empty() && !is_telemetry
        });
        let format = &self.request.output.format;
        let shape = format.must_be_said(&self.target.capabilities).then(|| format.as_instruction());
        let mut texts = blocks.map(|block| &block.text).chain(&shape).peekable();
        if texts.peek().is_none() {
            return;
        }
        w.key("systemInstruction").begin_object().key("parts").begin_array();
        for text in texts {
            w.begin_object().key("text").string(text).end_object();
        }
        w.end_array().end_object();
    }

    fn write_tier(&self, losses: &mut Losses, w: &mut Writer<'_>) {
        let Some(tier) = &self.request.service.tier else { return };
        if self.is_native() {
            w.key("serviceTier").string(tier);
            return;
        }
        match &*tier.decode() {
            "auto" => {}
            "default" | "standard" | "standard_only" => {
                w.key("serviceTier").text("standard");
            }
            word @ ("flex" | "priority") => {
                w.key("serviceTier").text(word);
            }
            _ => losses.drop("service_tier"),
        }
    }

    /// What the hub has no place for: back to Gemini if it came from there, else dropped by name
    /// (T149).
    fn write_extras(&self, losses: &mut Losses, w: &mut Writer<'_>) -> Result<(), Unsupported> {
        if !self.is_native() {
            // The voice of an OpenAI model is no part of the answer that Gemini is asked for.
            self.request.refuse_foreign_extras(self.exchange.client, &["audio"])?;
        }
        for (key, raw) in &self.request.extras {
            let name = key.decode();
            if self.is_native() && !name.contains('.') {
                w.key_str(key).raw(raw);
            } else if *name == *MUTATED || !is_rewritten(self, &name) {
                Request::drop_extra(self.exchange.client, &name, losses);
            }
        }
        Ok(())
    }

    /// Members that a Gemini client gave below `prefix`, for the writer of that object.
    fn nested_extras<'s>(&'s self, prefix: &'s str) -> impl Iterator<Item = (String, &'s Raw<'s>)> + 's {
        let extras = if self.is_native() { self.request.extras.as_slice() } else { &[] };
        extras.iter().filter_map(move |(key, raw)| {
            let name = key.decode();
            let member = name.strip_prefix(prefix)?.strip_prefix('.')?;
            (!member.contains('.')).then(|| (member.to_owned(), raw))
        })
    }
}

/// Whether another writer puts this nested extra back in its place.
fn is_rewritten(context: &Context<'_>, name: &str) -> bool {
    let returns = ["generationConfig.", "toolConfig."].iter().any(|prefix| name.starts_with(prefix));
    context.is_native() && returns
}
