//! The pure core, piece by piece.

use std::rc::Rc;

use aiproxy::config::{Config, Source};
use aiproxy::protocol::canonical::{ErrorView, Exchange, Losses};
use aiproxy::protocol::{
    Aggregator, ClientDialect, KeepAlive, Observer, Protocol, Target as Asked, decode_request,
    decode_response, encode_request, encode_response, json, lengths_of, parse_error, render_error, sse,
    usage_of,
};
use aiproxy::{Payload, protocol::Endpoint};
use bytes::Bytes;
use serde::de::IgnoredAny;

use crate::dice::Dice;
use crate::seeds::{Seeds, Sort};
use crate::support::pairs;
use crate::support::recorded::endpoint;
use crate::support::streams::{folded, translated};
use crate::{Check, Target};

/// Most bytes of an error's words, whatever the input quotes.
const MOST_MESSAGE: usize = 70 << 10;

type Outcome = Result<usize, String>;

pub fn targets(seeds: &Seeds) -> Vec<Target> {
    let target = |name: String, sort, seeds: &[Vec<u8>], check: Check| Target {
        name,
        sort,
        seeds: seeds.to_vec(),
        check,
    };
    let mut all = vec![
        target("sse".into(), Sort::Stream, &seeds.events, Box::new(events)),
        target("json".into(), Sort::Json, &seeds.json, Box::new(reader)),
        target("config".into(), Sort::Yaml, &seeds.yaml, Box::new(config)),
    ];
    for protocol in Protocol::ALL {
        let at = protocol as usize;
        let target = |name: &str, sort, seeds: &[Vec<u8>], check: Check| {
            target(format!("{name} {protocol}"), sort, seeds, check)
        };
        all.extend([
            target(
                "splice",
                Sort::Json,
                &seeds.requests[at],
                Box::new(move |text, dice| spliced(protocol, text, dice)),
            ),
            target(
                "relay",
                Sort::Stream,
                &seeds.streams[at],
                Box::new(move |text, dice| watched(protocol, text, dice)),
            ),
            target(
                "keep-alive",
                Sort::Stream,
                &seeds.streams[at],
                Box::new(move |text, dice| kept_alive(protocol, text, dice)),
            ),
            target(
                "error",
                Sort::Json,
                &seeds.errors[at],
                Box::new(move |text, dice| refused(protocol, text, dice)),
            ),
        ]);
    }
    for (client, upstream) in pairs() {
        let exchanges = Rc::new(exchanges(client, upstream, &seeds.requests[client as usize]));
        let (asked, told, streamed) = (client as usize, upstream as usize, exchanges.clone());
        let pair = |from: Protocol, to: Protocol| format!("{from}-to-{to}");
        all.extend([
            target(
                format!("request {}", pair(client, upstream)),
                Sort::Json,
                &seeds.requests[asked],
                Box::new(move |text, dice| request(client, upstream, text, dice)),
            ),
            target(
                format!("answer {}", pair(upstream, client)),
                Sort::Json,
                &seeds.documents[told],
                Box::new(move |text, dice| answer(dice.pick(&exchanges), text)),
            ),
            target(
                format!("stream {}", pair(upstream, client)),
                Sort::Stream,
                &seeds.streams[told],
                Box::new(move |text, dice| stream(&streamed[dice.below(streamed.len())], text, dice)),
            ),
        ]);
    }
    all
}

/// What shapes answers: by a sample of a client's requests.
fn exchanges(client: Protocol, upstream: Protocol, requests: &[Vec<u8>]) -> Vec<Exchange> {
    let endpoint = endpoint(client, "m", true);
    let exchange = |body: &Vec<u8>| {
        let body = std::str::from_utf8(body).ok()?;
        let request = decode_request(&endpoint, body).ok()?;
        Some(Exchange { created: 1, seed: 7, ..Exchange::new(&request, client, upstream) })
    };
    let all: Vec<Exchange> = requests.iter().filter(|body| body.len() < 4096).filter_map(exchange).collect();
    let step = all.len().div_ceil(40);
    all.into_iter().step_by(step).collect()
}

/// Fails unless `text` is JSON.
pub fn must_be_json(what: &str, text: &[u8]) -> Result<(), String> {
    serde_json::from_slice::<IgnoredAny>(text)
        .map(drop)
        .map_err(|error| format!("{what} is no JSON: {error}: {}", String::from_utf8_lossy(text)))
}

/// The text in pieces: whole, or cut in a few places.
fn pieces<'t>(text: &'t [u8], dice: &mut Dice) -> Vec<&'t [u8]> {
    let mut cuts: Vec<usize> = (0..dice.below(6)).map(|_| dice.below(text.len() + 1)).collect();
    cuts.extend([0, text.len()]);
    cuts.sort_unstable();
    cuts.windows(2).map(|cut| &text[cut[0]..cut[1]]).collect()
}

/// The name and data of an event.
type Seen = (Option<Vec<u8>>, Vec<u8>);

fn split(pieces: &[&[u8]], limit: usize) -> (Vec<Seen>, bool) {
    let mut decoder = sse::Decoder::with_limit(limit);
    let mut seen = Vec::new();
    let mut sink =
        |event: sse::Event<'_>| seen.push((event.name.map(|name| name.to_vec()), event.data.to_vec()));
    let fits = pieces.iter().all(|piece| decoder.push(piece, &mut sink).is_ok());
    if fits {
        decoder.finish(&mut sink);
    }
    (seen, fits)
}

fn events(text: &[u8], dice: &mut Dice) -> Outcome {
    let (whole, _) = split(&[text], usize::MAX);
    let (cut, _) = split(&pieces(text, dice), usize::MAX);
    if whole != cut {
        return Err(format!("{whole:?} became {cut:?}"));
    }
    let (bounded, fits) = split(&pieces(text, dice), 64);
    if fits && bounded != whole {
        return Err(format!("{whole:?} became {bounded:?} with a limit"));
    }
    Ok(whole.iter().map(|(_, data)| data.len()).sum())
}

fn reader(text: &[u8], dice: &mut Dice) -> Outcome {
    let members = json::members(text, ["model", "stream", "a"]);
    for span in members.iter().flat_map(|members| members.spans.iter().flatten()) {
        if text.get(span.clone()).is_none_or(<[u8]>::is_empty) {
            return Err(format!("a member at {span:?} of {}", text.len()));
        }
    }
    let Ok(text) = std::str::from_utf8(text) else { return Ok(0) };
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    let is_shallow = text.matches(['[', '{']).count() < json::MAX_DEPTH as usize;
    match json::is_complete(text) {
        true if !is_json => return Err("what is no JSON was read".into()),
        false if is_json && is_shallow => return Err("JSON was not read".into()),
        _ => {}
    }
    let path = json::path_at(text, dice.below(text.len() + 1));
    let Ok(object) = json::Object::parse(text) else { return Ok(path.len()) };
    for (key, value) in object.iter() {
        let text = value.as_text().map(|text| text.decode().len());
        if text > Some(value.as_str().len()) {
            return Err(format!("{key} has grown"));
        }
        let mut lists = json::Lists::default();
        let _ = lists.extend("a", &mut json::Reader::new(value.as_str()));
    }
    let written = object.to_json();
    must_be_json("an object", written.as_bytes())?;
    Ok(written.len())
}

fn config(text: &[u8], _: &mut Dice) -> Outcome {
    let variables = |name: &str| (name == "A").then(|| "value".to_owned());
    let source = Source::new("fuzz.yaml", &variables);
    match Config::parse(&String::from_utf8_lossy(text), &source) {
        Ok(config) => Ok(format!("{config:?}").len()),
        Err(problems) if problems.iter().count() == 0 => Err("refused without a reason".into()),
        Err(problems) => Ok(problems.to_string().len()),
    }
}

fn spliced(protocol: Protocol, text: &[u8], dice: &mut Dice) -> Outcome {
    let endpoint: Endpoint = endpoint(protocol, "m", dice.once_in(2));
    let Ok(mut payload) = Payload::new(endpoint.clone(), Bytes::copy_from_slice(text)) else { return Ok(0) };
    let before = serde_json::from_slice::<IgnoredAny>(text).is_ok();
    payload.set_model("large/\"é\"\\");
    payload.set_stream(dice.once_in(2));
    if dice.once_in(2) {
        payload.set_include_usage();
    }
    let (model, stream, wire) = (payload.model().to_owned(), payload.stream(), payload.wire_bytes());
    if before {
        must_be_json("an edited body", &wire)?;
    }
    let again =
        Payload::new(endpoint, wire.clone()).map_err(|error| format!("cannot be read again: {error:?}"))?;
    if protocol != Protocol::Gemini && (again.model(), again.stream()) != (&model, stream) {
        return Err(format!("asked for {model} {stream}, got {} {}", again.model(), again.stream()));
    }
    Ok(wire.len())
}

fn is_brief(error: &ErrorView) -> Result<usize, String> {
    match error.message.len() {
        length @ 1..=MOST_MESSAGE => Ok(length),
        length => Err(format!("an error of {length} bytes")),
    }
}

/// A native stream, watched as it is relayed, and folded for a client that wants a document.
fn watched(protocol: Protocol, text: &[u8], dice: &mut Dice) -> Outcome {
    let mut observer = Observer::new(protocol);
    let mut aggregator = Aggregator::new(protocol);
    let mut outcome = Ok(());
    let mut decoder = sse::Decoder::default();
    let mut sink = |event: sse::Event<'_>| {
        observer.event(&event);
        if outcome.is_ok() {
            outcome = aggregator.event(&event);
        }
    };
    for piece in pieces(text, dice) {
        decoder.push(piece, &mut sink).map_err(|error| error.to_string())?;
    }
    decoder.finish(&mut sink);
    let view = ErrorView::new(aiproxy::protocol::canonical::FaultKind::BadUpstream, "it broke");
    let event = observer.error_event(&view, ClientDialect::default());
    frames(&event)?;
    match outcome.and_then(|()| aggregator.finish()) {
        Ok(document) => {
            must_be_json("a folded stream", &document)?;
            let _ = usage_of(protocol, &document);
            Ok(document.len() + event.len())
        }
        Err(error) => is_brief(&error),
    }
}

/// A stream on its way to a client that gets signs of life in between.
fn kept_alive(client: Protocol, text: &[u8], dice: &mut Dice) -> Outcome {
    let mut keep_alive = KeepAlive::new(client);
    let (mut written, mut signs) = (0, 0);
    for piece in pieces(text, dice) {
        if dice.once_in(2)
            && let Some(sign) = keep_alive.sign()
        {
            frames(&[&sign[..], b"\n"].concat())?;
            (written, signs) = (written + sign.len(), signs + 1);
        }
        let passed = keep_alive.pass(Bytes::copy_from_slice(piece));
        if passed != piece && (client != Protocol::Responses || signs == 0) {
            return Err(format!("{:?} became {passed:?}", String::from_utf8_lossy(piece)));
        }
        written += passed.len();
    }
    Ok(written)
}

/// A provider's error, for clients of every protocol.
fn refused(protocol: Protocol, text: &[u8], dice: &mut Dice) -> Outcome {
    let status = *dice.pick(&[200, 400, 401, 403, 404, 408, 413, 422, 429, 500, 503, 529]);
    let view = parse_error(protocol, status, text);
    let mut written = 0;
    for client in Protocol::ALL {
        let (status, body) = render_error(client, &view);
        must_be_json("an error", &body)?;
        if !(400..600).contains(&status) {
            return Err(format!("an error of status {status}"));
        }
        written = written.max(body.len());
    }
    Ok(written)
}

/// Names by which the encoders tell families of models apart.
fn models(upstream: Protocol) -> &'static [&'static str] {
    match upstream {
        Protocol::Anthropic => {
            &["claude-sonnet-4-5", "claude-opus-4-1", "claude-3-5-haiku", "claude-opus-5", "m"]
        }
        Protocol::OpenAi | Protocol::Responses => {
            &["gpt-4.1", "gpt-5-mini", "o3", "gpt-5.2", "deepseek-chat", "m"]
        }
        Protocol::Gemini => &["gemini-2.5-pro", "gemini-2.0-flash", "gemini-3-pro", "gemma-3", "m"],
    }
}

fn request(client: Protocol, upstream: Protocol, text: &[u8], dice: &mut Dice) -> Outcome {
    let endpoint = endpoint(client, "m", dice.once_in(2));
    let text = String::from_utf8_lossy(text);
    let model: &&str = dice.pick(models(upstream));
    let target = Asked::new(model);
    let translate = || {
        let request = decode_request(&endpoint, &text)?;
        let mut exchange = Exchange::new(&request, client, upstream);
        exchange.family = target.family();
        let (mut losses, mut out) = (Losses::default(), Vec::new());
        encode_request(upstream, &request, &exchange, &target, &mut losses, &mut out)?;
        Ok((out, losses.header()))
    };
    match translate() {
        Ok((out, losses)) => {
            must_be_json("a request", &out)?;
            if losses.len() > 2048 || losses.bytes().any(|byte| !(b' '..=b'~').contains(&byte)) {
                return Err(format!("losses no header can hold: {losses:?}"));
            }
            Ok(out.len())
        }
        Err(error) => {
            let error: aiproxy::protocol::RequestError = error;
            is_brief(&error.view(&text))
        }
    }
}

fn answer(exchange: &Exchange, text: &[u8]) -> Outcome {
    let _ = lengths_of(exchange.upstream, text);
    let _ = usage_of(exchange.upstream, text);
    let text = String::from_utf8_lossy(text);
    let mut out = Vec::new();
    let written = decode_response(exchange.upstream, &text, exchange.seed)
        .and_then(|response| encode_response(&response, exchange, &mut out));
    match written {
        Ok(()) => must_be_json("an answer", &out).map(|()| out.len()),
        Err(error) => is_brief(&error),
    }
}

/// Fails unless these are events, each with JSON.
fn frames(out: &[u8]) -> Result<(), String> {
    let text = std::str::from_utf8(out).map_err(|error| error.to_string())?;
    if !text.is_empty() && !text.ends_with("\n\n") {
        return Err(format!("an event is not closed: {text}"));
    }
    for line in text.lines() {
        match line.strip_prefix("data: ") {
            Some("[DONE]") => {}
            Some(data) => must_be_json("an event", data.as_bytes())?,
            None if line.is_empty() || line.starts_with("event: ") || line.starts_with(':') => {}
            None => return Err(format!("a stray line: {line}")),
        }
    }
    Ok(())
}

/// Words without one of which no stream of an upstream has ended well.
fn end_marks(upstream: Protocol) -> &'static [&'static str] {
    match upstream {
        Protocol::Anthropic => &["message_stop"],
        Protocol::OpenAi => &["finish_reason", "[DONE]"],
        Protocol::Responses => &["response.completed", "response.incomplete"],
        Protocol::Gemini => &["finishReason", "blockReason"],
    }
}

/// How often a client's stream says that it has ended well, and whether it says that it has failed.
fn ends(client: Protocol, out: &str) -> (usize, bool) {
    let lines = |is_it: &dyn Fn(&str) -> bool| out.lines().filter(|line| is_it(line)).count();
    let (ended, failed) = match client {
        Protocol::Anthropic => {
            (lines(&|line| line == "event: message_stop"), lines(&|line| line == "event: error"))
        }
        Protocol::OpenAi => {
            (lines(&|line| line == "data: [DONE]"), lines(&|line| line.starts_with("data: {\"error\"")))
        }
        Protocol::Responses => (
            lines(&|line| ["event: response.completed", "event: response.incomplete"].contains(&line)),
            lines(&|line| line == "event: response.failed"),
        ),
        // Every candidate has an end of its own.
        Protocol::Gemini => (
            lines(&|line| line.contains("\"finishReason\":\"") || line.contains("\"blockReason\":\"")).min(1),
            lines(&|line| line.starts_with("data: {\"error\"")),
        ),
    };
    (ended, failed > 0)
}

fn stream(exchange: &Exchange, text: &[u8], dice: &mut Dice) -> Outcome {
    let out = translated(exchange, [text]);
    frames(&out)?;
    let cut = translated(exchange, pieces(text, dice));
    if out != cut {
        let [out, cut] = [out, cut].map(|out| String::from_utf8_lossy(&out).into_owned());
        return Err(format!("chunks make a difference:\n{out}\n---\n{cut}"));
    }
    let told = String::from_utf8_lossy(&out);
    let input = String::from_utf8_lossy(text);
    let (ended, failed) = ends(exchange.client, &told);
    if ended > 1 {
        return Err(format!("ended {ended} times:\n{told}"));
    }
    if ended == 0 && !failed {
        return Err(format!("ended in silence:\n{told}"));
    }
    let may_end =
        input.contains("\\u00") || end_marks(exchange.upstream).iter().any(|mark| input.contains(mark));
    if ended > 0 && !may_end {
        return Err(format!("ended well all by itself:\n{told}"));
    }
    // The same stream for a client that wants a document.
    match folded(exchange, text) {
        Ok(document) => must_be_json("a folded answer", &document)?,
        Err(error) => drop(is_brief(&error)?),
    }
    Ok(out.len())
}
