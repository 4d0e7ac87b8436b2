//! `generationConfig`: limits, sampling, reasoning, format.

use super::Context;
use crate::protocol::canonical::{
    Action, Effort, Format, Losses, Reasoning, ReasoningMode, Unsupported, Visibility, most_stops,
};
use crate::protocol::json::{Error, Number, Reader, Str, Writer};
use crate::protocol::{Protocol, RequestError, Thinking};

/// Writes `generationConfig`, if there is anything to say.
pub(super) fn write(
    context: &Context<'_>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    let start = w.buffer().len();
    w.key("generationConfig").begin_object();
    let empty = w.buffer().len();
    write_limits(context, losses, w)?;
    write_sampling(context, losses, w)?;
    write_thinking(context, losses, w);
    write_format(context, losses, w);
    write_modalities(context, w);
    for (name, raw) in context.nested_extras("generationConfig") {
        w.key_str(&Str::from(name)).raw(raw);
    }
    if w.buffer().len() == empty {
        w.buffer().truncate(start);
    } else {
        w.end_object();
    }
    Ok(())
}

fn write_limits(context: &Context<'_>, losses: &mut Losses, w: &mut Writer<'_>) -> Result<(), RequestError> {
    let output = &context.request.output;
    if let Some(tokens) = output.max_tokens {
        if tokens == 0 {
            // Anthropic's cache warm-up.
            return Err(Unsupported::new("max_tokens", "0 has no equivalent; give at least 1").into());
        }
        let most = context.target.capabilities.max_output.unwrap_or(u64::MAX);
        if tokens > most {
            losses.add(Action::Clamp, "max_tokens");
        }
        w.key("maxOutputTokens").u64(tokens.min(most));
    }
    let stops: Vec<&Str<'_>> = output.stop.iter().filter(|stop| !stop.is_empty()).collect();
    if !stops.is_empty() {
        let most = most_stops(Protocol::Gemini);
        if stops.len() > most {
            losses.drop("stop");
        }
        w.key("stopSequences").begin_array();
        for stop in stops.into_iter().take(most) {
            w.string(stop);
        }
        w.end_array();
    }
    if let Some(n) = output.n.filter(|n| *n != 1 || context.is_native()) {
        w.key("candidateCount").u64(n);
    }
    if output.verbosity.is_some() {
        losses.drop("verbosity");
    }
    Ok(())
}

fn write_sampling(
    context: &Context<'_>,
    losses: &mut Losses,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    let sampling = &context.request.sampling;
    write_in_range("temperature", "temperature", &sampling.temperature, 0.0..=2.0, w)?;
    write_in_range("topP", "top_p", &sampling.top_p, 0.0..=1.0, w)?;
    write_in_range("topK", "top_k", &sampling.top_k, 0.0..=f64::MAX, w)?;
    write_in_range("presencePenalty", "presence_penalty", &sampling.presence_penalty, -2.0..=2.0, w)?;
    write_in_range("frequencyPenalty", "frequency_penalty", &sampling.frequency_penalty, -2.0..=2.0, w)?;
    if let Some(seed) = &sampling.seed {
        // Google's seed is a 32-bit number; others take 64 bits.
        if seed.as_str().parse::<i32>().is_ok() {
            w.key("seed").number(seed);
        } else {
            losses.drop("seed");
        }
    }
    let wanted = sampling.wants_logprobs();
    if wanted || sampling.logprobs.is_some() {
        w.key("responseLogprobs").boolean(wanted);
    }
    // The count is refused without the switch.
    if wanted {
        write_in_range("logprobs", "top_logprobs", &sampling.top_logprobs, 0.0..=20.0, w)?;
    }
    if sampling.logit_bias.as_ref().is_some_and(|raw| !raw.is_null()) {
        losses.drop("logit_bias");
    }
    Ok(())
}

fn write_in_range(
    key: &'static str,
    param: &'static str,
    value: &Option<Number<'_>>,
    range: std::ops::RangeInclusive<f64>,
    w: &mut Writer<'_>,
) -> Result<(), RequestError> {
    let Some(value) = value else { return Ok(()) };
    if !range.contains(&value.as_f64()) {
        let message = format!("must be from {} to {}", range.start(), range.end());
        return Err(RequestError::invalid(param, message));
    }
    w.key(key).number(value);
    Ok(())
}

/// What `thinkingConfig` is to say.
enum Thought {
    Nothing,
    Budget(i64),
    Level(&'static str),
}

fn write_thinking(context: &Context<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
    let reasoning = &context.request.reasoning;
    let thought = match context.target.capabilities.thinking {
        Thinking::None => {
            let asked = !matches!(reasoning.mode, ReasoningMode::Unset | ReasoningMode::Off)
                || reasoning.effort.is_some_and(|effort| effort != Effort::None);
            if asked {
                losses.drop("reasoning");
            }
            return;
        }
        Thinking::Budget | Thinking::Both => budget(context, reasoning, losses),
        Thinking::Level | Thinking::Adaptive => level(context, reasoning, losses),
    };
    let shown = match reasoning.visibility {
        Visibility::Unset => None,
        Visibility::Hidden => Some(false),
        Visibility::Shown => Some(true),
    };
    let mut extras = context.nested_extras("generationConfig.thinkingConfig").peekable();
    if matches!(thought, Thought::Nothing) && shown.is_none() && extras.peek().is_none() {
        return;
    }
    w.key("thinkingConfig").begin_object();
    if let Some(shown) = shown {
        w.key("includeThoughts").boolean(shown);
    }
    match thought {
        Thought::Nothing => {}
        Thought::Budget(tokens) => {
            w.key("thinkingBudget").json(&tokens.to_string());
        }
        Thought::Level(level) => {
            w.key("thinkingLevel").text(level);
        }
    }
    for (name, raw) in extras {
        w.key_str(&Str::from(name)).raw(raw);
    }
    w.end_object();
}

/// Gemini 2.5: tokens (2.9).
fn budget(context: &Context<'_>, reasoning: &Reasoning, losses: &mut Losses) -> Thought {
    let (least, most, may_be_off) = budget_range(context.target.model);
    let wanted = match (reasoning.mode, reasoning.budget, reasoning.effort) {
        (ReasoningMode::Off, ..) => 0,
        (_, Some(tokens), _) => tokens,
        (_, None, Some(effort)) => {
            if effort != Effort::None {
                losses.add(Action::Approx, "reasoning.effort");
            }
            budget_of(effort)
        }
        (ReasoningMode::Auto | ReasoningMode::On, None, None) => return Thought::Budget(-1),
        (ReasoningMode::Unset, None, None) => return Thought::Nothing,
    };
    if context.is_native() {
        return Thought::Budget(i64::try_from(wanted).unwrap_or(i64::MAX));
    }
    if wanted == 0 && may_be_off {
        return Thought::Budget(0);
    }
    let mut tokens = wanted.clamp(least, most);
    // Thoughts count as output: something must be left for the answer.
    if let Some(cap) = context.request.output.max_tokens {
        tokens = tokens.min(cap.saturating_sub(1).max(least));
    }
    if tokens != wanted {
        losses.add(Action::Clamp, "reasoning.budget");
    }
    Thought::Budget(i64::try_from(tokens).unwrap_or(i64::MAX))
}

/// Least and most tokens, and whether 0 is allowed (T112).
fn budget_range(model: &str) -> (u64, u64, bool) {
    if model.contains("pro") {
        (128, 32_768, false)
    } else if model.contains("lite") {
        (512, 24_576, true)
    } else {
        (1, 24_576, true)
    }
}

fn budget_of(effort: Effort) -> u64 {
    match effort {
        Effort::None => 0,
        Effort::Minimal => 512,
        Effort::Low => 1_024,
        Effort::Medium => 8_192,
        Effort::High | Effort::XHigh | Effort::Max => 24_576,
    }
}

/// Gemini 3: words.
fn level(context: &Context<'_>, reasoning: &Reasoning, losses: &mut Losses) -> Thought {
    let effort = match (reasoning.mode, reasoning.effort, reasoning.budget) {
        (ReasoningMode::Off, ..) => Effort::None,
        (_, Some(effort), _) => effort,
        (_, None, Some(tokens)) => {
            losses.add(Action::Approx, "reasoning.budget");
            Effort::from_budget(tokens)
        }
        (_, None, None) => return Thought::Nothing,
    };
    let has_xhigh = context.target.capabilities.effort_xhigh || context.is_native();
    // The Pro models start at low.
    let lowest = if context.target.model.contains("pro") { "LOW" } else { "MINIMAL" };
    let (level, is_exact) = match effort {
        Effort::None => (lowest, false),
        Effort::Minimal if context.is_native() => ("MINIMAL", true),
        Effort::Minimal => (lowest, lowest == "MINIMAL"),
        Effort::Low => ("LOW", true),
        Effort::Medium => ("MEDIUM", true),
        Effort::High => ("HIGH", true),
        Effort::XHigh if has_xhigh => ("XHIGH", true),
        Effort::Max if has_xhigh => ("XHIGH", false),
        Effort::XHigh | Effort::Max => ("HIGH", false),
    };
    if !is_exact {
        losses.add(Action::Approx, "reasoning.effort");
    }
    Thought::Level(level)
}

fn write_format(context: &Context<'_>, losses: &mut Losses, w: &mut Writer<'_>) {
    match &context.request.output.format {
        Format::Text => {}
        // What is asked for stands in the system instruction.
        format if format.must_be_said(&context.target.capabilities) => {
            losses.add(Action::Approx, "response_format");
            w.key("responseMimeType").text("application/json");
        }
        Format::JsonObject => {
            w.key("responseMimeType").text("application/json");
        }
        Format::JsonSchema { schema, .. } => {
            w.key("responseMimeType").text("application/json");
            context.write_schema(["responseJsonSchema", "responseSchema"], schema, losses, w);
        }
    }
}

/// Google's words are upper-case.
fn write_modalities(context: &Context<'_>, w: &mut Writer<'_>) {
    let Some(modalities) = &context.request.output.modalities else { return };
    w.key("responseModalities").begin_array();
    let _ = Reader::new(modalities.as_str()).lenient_array(|item| {
        if let Some(word) = item.lenient_string()? {
            w.text(&word.decode().to_ascii_uppercase());
        }
        Ok::<_, Error>(())
    });
    w.end_array();
}
