//! `logprobsResult`: two lists side by side, of the chosen tokens and of the most probable ones.

use super::keys::camel;
use crate::protocol::canonical::{TokenLogprob, read_logprob};
use crate::protocol::json::{Error, Number, Reader, Writer};

/// Reads the result of a candidate. Google's numbers of tokens mean nothing to others.
pub(super) fn read<'a>(reader: &mut Reader<'a>) -> Result<Vec<TokenLogprob<'a>>, Error> {
    let (mut tokens, mut tops) = (Vec::new(), Vec::new());
    reader.lenient_object(|key, value| match &*camel(key) {
        "chosenCandidates" => value.lenient_array(|chosen| push(&mut tokens, chosen)),
        "topCandidates" => value.lenient_array(|place| {
            let mut top = Vec::new();
            place.lenient_object(|key, value| match key {
                "candidates" => value.lenient_array(|candidate| push(&mut top, candidate)),
                _ => Ok(()),
            })?;
            tops.push(top);
            Ok(())
        }),
        _ => Ok(()),
    })?;
    for (token, top) in tokens.iter_mut().zip(tops) {
        token.top = top;
    }
    Ok(tokens)
}

fn push<'a>(tokens: &mut Vec<TokenLogprob<'a>>, reader: &mut Reader<'a>) -> Result<(), Error> {
    let mut read = TokenLogprob::default();
    reader.lenient_object(|key, value| {
        match &*camel(key) {
            "token" => read.token = value.lenient_string()?.unwrap_or_default(),
            "logProbability" => read.logprob = read_logprob(value)?,
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    tokens.push(read);
    Ok(())
}

/// Writes `logprobsResult`, if there is any.
pub(super) fn write<'t>(tokens: impl Iterator<Item = &'t TokenLogprob<'t>> + Clone, w: &mut Writer<'_>) {
    if tokens.clone().next().is_none() {
        return;
    }
    w.key("logprobsResult").begin_object();
    w.key("chosenCandidates").begin_array();
    tokens.clone().for_each(|token| candidate(token, w));
    w.end_array();
    if tokens.clone().any(|token| !token.top.is_empty()) {
        w.key("topCandidates").begin_array();
        for token in tokens {
            w.begin_object().key("candidates").begin_array();
            token.top.iter().for_each(|top| candidate(top, w));
            w.end_array().end_object();
        }
        w.end_array();
    }
    w.end_object();
}

fn candidate(token: &TokenLogprob<'_>, w: &mut Writer<'_>) {
    w.begin_object().key("token").string(&token.token);
    w.key("logProbability").number(&token.logprob).end_object();
}

/// The sum and the number of the tokens so far, for `avgLogprobs`.
#[derive(Debug, Default)]
pub(super) struct Average {
    sum: f64,
    count: u32,
}

impl Average {
    pub(super) fn add<'t>(&mut self, tokens: impl Iterator<Item = &'t TokenLogprob<'t>>) {
        for token in tokens {
            self.sum += token.logprob.as_f64();
            self.count = self.count.saturating_add(1);
        }
    }

    /// Writes the average, if there is one.
    pub(super) fn write(&self, w: &mut Writer<'_>) {
        let average = self.sum / f64::from(self.count);
        if average.is_finite() {
            w.key("avgLogprobs").number(&Number::from_json(average.to_string()));
        }
    }
}
