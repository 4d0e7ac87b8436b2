//! Sampling, stop sequences, identity, service level; and what Anthropic cannot do at all.

use super::encode::Context;
use crate::protocol::RequestError;
use crate::protocol::canonical::{Action, Losses, Request, Unsupported, derived_id};
use crate::protocol::json::{Number, Reader, Str, Writer};

/// Refuses what would change the answer unseen if it were left out (section 2.12).
pub(super) fn check(context: &Context<'_>) -> Result<(), RequestError> {
    let request = context.request;
    let state = &request.state;
    let refuse = |param: &'static str, message: &'static str| Err(Unsupported::new(param, message).into());
    if request.output.n.is_some_and(|n| n > 1) {
        return refuse("n", "Anthropic gives one answer per request");
    }
    if request.output.max_tokens == Some(0) && !context.is_native() {
        return Err(RequestError::invalid("max_tokens", "must be at least 1"));
    }
    if request.output.modalities.as_ref().is_some_and(|raw| !is_text_only(raw.as_str())) {
        return refuse("modalities", "Anthropic answers with text only");
    }
    if state.previous_id.is_some() {
        return refuse("previous_response_id", "no stored state upstream: send the whole input");
    }
    if state.conversation.as_ref().is_some_and(|raw| !raw.is_null()) {
        return refuse("conversation", "no stored state upstream: send the whole input");
    }
    if state.prompt.as_ref().is_some_and(|raw| !raw.is_null()) {
        return refuse("prompt", "no stored prompts upstream: send the text");
    }
    if state.background {
        return refuse("background", "the upstream cannot work in the background");
    }
    if request.cache.handle.is_some() {
        return refuse("cachedContent", "a cache of Gemini means nothing to Anthropic");
    }
    check_sampling(request)
}

fn is_text_only(raw: &str) -> bool {
    let mut text_only = true;
    let read = Reader::new(raw).lenient_array(|item| {
        let word = item.lenient_string()?;
        text_only &= word.is_none_or(|word| word.decode().eq_ignore_ascii_case("text"));
        Ok::<_, crate::protocol::json::Error>(())
    });
    read.is_err() || text_only
}

fn check_sampling(request: &Request<'_>) -> Result<(), RequestError> {
    let outside = |number: &Option<Number<'_>>, most: f64| {
        number.as_ref().is_some_and(|n| !(0.0..=most).contains(&n.as_f64()))
    };
    if outside(&request.sampling.temperature, 2.0) {
        return Err(RequestError::invalid("temperature", "must be between 0 and 2"));
    }
    if outside(&request.sampling.top_p, 1.0) {
        return Err(RequestError::invalid("top_p", "must be between 0 and 1"));
    }
    Ok(())
}

/// Writes what the model accepts of the sampling parameters (T110, T136, T137).
pub(super) fn sampling(context: &Context<'_>, thinks: bool, losses: &mut Losses, w: &mut Writer<'_>) {
    let sampling = &context.request.sampling;
    let capabilities = &context.target.capabilities;
    let temperature = sampling.temperature.as_ref().filter(|value| {
        let fits = capabilities.sampling && !(thinks && value.as_f64() != 1.0);
        keep(fits, "temperature", losses)
    });
    let top_p = sampling.top_p.as_ref().filter(|value| {
        let beside = capabilities.sampling_exclusive && temperature.is_some();
        let fits = capabilities.sampling && !beside && !(thinks && value.as_f64() < 0.95);
        keep(fits, "top_p", losses)
    });
    let top_k = sampling.top_k.as_ref().filter(|_| keep(capabilities.sampling && !thinks, "top_k", losses));
    match temperature {
        // 0.7 must stay 0.7: clamped, never scaled (T136).
        Some(value) if value.as_f64() > 1.0 => {
            losses.add(Action::Clamp, "temperature");
            w.key("temperature").u64(1);
        }
        Some(value) => {
            w.key("temperature").number(value);
        }
        None => {}
    }
    if let Some(value) = top_p {
        w.key("top_p").number(value);
    }
    if let Some(value) = top_k {
        w.key("top_k").number(value);
    }
    for (lost, name) in [
        (sampling.seed.is_some(), "seed"),
        (sampling.presence_penalty.is_some(), "presence_penalty"),
        (sampling.frequency_penalty.is_some(), "frequency_penalty"),
        (sampling.logit_bias.is_some(), "logit_bias"),
    ] {
        keep(!lost, name, losses);
    }
    sampling.drop_logprobs(losses);
}

fn keep(fits: bool, name: &'static str, losses: &mut Losses) -> bool {
    if !fits {
        losses.drop(name);
    }
    fits
}

/// Writes the stop sequences that the API takes.
pub(super) fn stop(stop: &[Str<'_>], losses: &mut Losses, w: &mut Writer<'_>) {
    let mut texts = stop
        .iter()
        .filter(|text| !text.is_empty())
        .filter(|text| keep(!text.is_blank(), "stop_sequences", losses));
    let Some(first) = texts.next() else { return };
    w.key("stop_sequences").begin_array().string(first);
    for text in texts {
        w.string(text);
    }
    w.end_array();
}

/// Writes the end user's name, hashed when it is too long for this API.
pub(super) fn identity(context: &Context<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
    let Some(user) = &context.request.identity.end_user else { return };
    w.key("metadata").begin_object();
    let plain = user.decode();
    if plain.chars().count() > 256 && !context.is_native() {
        losses.add(Action::Approx, "user");
        w.key("user_id").text(&derived_id("user_", plain.as_bytes()));
    } else {
        w.key("user_id").string(user);
    }
    w.end_object();
}

/// Writes the service level that comes nearest.
pub(super) fn service(context: &Context<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
    let Some(tier) = &context.request.service.tier else { return };
    if context.is_native() {
        w.key("service_tier").string(tier);
        return;
    }
    let word = tier.decode().to_ascii_lowercase();
    let nearest = match word.as_str() {
        "auto" => "auto",
        "default" | "standard" | "standard_only" => "standard_only",
        "priority" => {
            losses.add(Action::Approx, "service_tier");
            "auto"
        }
        _ => return losses.drop("service_tier"),
    };
    w.key("service_tier").text(nearest);
}
