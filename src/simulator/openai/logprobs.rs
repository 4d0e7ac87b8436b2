//! Probabilities of tokens, which Chat and Responses spell alike. A piece of text is a token.

use serde_json::Value;

use super::tokens;
use crate::simulator::refusal::Refusal;
use crate::simulator::wire::{list, quoted};

/// How many of the most probable tokens are wanted: `top_logprobs`.
pub(crate) fn most_probable(body: &Value, model: &str) -> Result<usize, Refusal> {
    if ["gpt-5", "gpt-6", "o1", "o3", "o4"].iter().any(|name| model.starts_with(name)) {
        let message = "Unsupported parameter: 'logprobs' is not supported with this model.";
        return Err(Refusal::bad(message).param("logprobs").code("unsupported_parameter"));
    }
    let most = tokens(body, "top_logprobs", 0)?.unwrap_or(0);
    if most > 20 {
        let message = format!(
            "Invalid 'top_logprobs': integer above maximum value. Expected a value <= 20, but got {most} instead."
        );
        return Err(Refusal::bad(message).param("top_logprobs").code("integer_above_max_value"));
    }
    Ok(usize::try_from(most).unwrap_or(20))
}

/// The tokens of a text as a JSON list, each with so many of the most probable ones.
pub(crate) fn tokens_of(pieces: &[&str], most: usize) -> String {
    list(pieces.iter().map(|piece| {
        let others = (1..most).map(|n| token(&format!(" other{n}"), n));
        let top = list((most > 0).then(|| token(piece, 0)).into_iter().chain(others).map(|one| one + "}"));
        format!("{},\"top_logprobs\":{top}}}", token(piece, 0))
    }))
}

fn token(text: &str, rank: usize) -> String {
    format!("{{\"token\":{},\"logprob\":-{rank}.125,\"bytes\":{:?}", quoted(text), text.as_bytes())
}
