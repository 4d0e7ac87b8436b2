//! What changes in a request before a provider reads it that did not give all the answers in its history.
//!
//! State goes back to the models that made it only, not to others of the same provider (2.9, replay rule 8). And
//! what only another protocol understands is told in words where it can be (2.13, T132).

use std::mem;

use super::canonical::{Action, Exchange, Losses, Part, PartKind, Provider, Request};
use super::json::{Raw, Str};
use super::{Protocol, anthropic};

/// What something says to those who do not know its type.
#[derive(Debug, Default)]
pub(super) struct Words {
    /// The words; none if nobody misses it.
    pub(super) text: String,
    /// What of it they do not say.
    pub(super) loss: Option<&'static str>,
}

/// What a part that only `protocol` understands says in words, if it can be said.
pub(super) fn in_words(protocol: Protocol, tag: &Str<'_>, raw: &Raw<'_>) -> Option<Words> {
    match protocol {
        Protocol::Anthropic => anthropic::search::in_words(tag, raw),
        Protocol::OpenAi | Protocol::Responses | Protocol::Gemini => None,
    }
}

/// The request as the upstream may read it; `None` if it is right as it is, as most are.
pub(super) fn crossed<'a>(
    request: &Request<'a>,
    exchange: &Exchange,
    losses: &mut Losses,
) -> Option<Request<'a>> {
    let parts = || request.turns.iter().flat_map(|turn| &turn.parts);
    if !parts().any(|part| is_foreign(part, exchange) || is_strange(part, exchange)) {
        return None;
    }
    let mut crossed = request.clone();
    for turn in &mut crossed.turns {
        for mut part in mem::take(&mut turn.parts) {
            if is_strange(&part, exchange) {
                part.opaque = None;
                // Reasoning without state is named by those who leave it out.
                if !matches!(part.kind, PartKind::Reasoning { .. }) {
                    losses.drop("signature");
                }
            }
            if let PartKind::Opaque { protocol, tag, raw } = &part.kind
                && is_foreign(&part, exchange)
                && let Some(words) = in_words(*protocol, tag, raw)
            {
                if let Some(loss) = words.loss {
                    losses.add(Action::Approx, loss);
                }
                if words.text.is_empty() {
                    continue;
                }
                part.kind = PartKind::Text { text: Str::escape(words.text) };
            }
            turn.parts.push(part);
        }
    }
    Some(crossed)
}

fn is_foreign(part: &Part<'_>, exchange: &Exchange) -> bool {
    matches!(&part.kind, PartKind::Opaque { protocol, .. } if *protocol != exchange.upstream)
}

/// Whether there is state of the upstream's provider that its model does not read.
fn is_strange(part: &Part<'_>, exchange: &Exchange) -> bool {
    let Some(opaque) = part.opaque.as_ref().filter(|opaque| !exchange.family.reads(opaque.family)) else {
        return false;
    };
    match (&part.kind, exchange.upstream) {
        // Without another provider's state, its words would pass for those of a Chat server.
        (PartKind::Reasoning { .. }, Protocol::OpenAi) => opaque.provider == Provider::None,
        (_, upstream) => opaque.provider.is_behind(upstream),
    }
}

#[cfg(test)]
mod tests;
