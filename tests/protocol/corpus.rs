//! Conformance by example, on the pure codecs.
//!
//! `tests/corpus/<from>-to-<to>/<case>/` is one exchange: a client that speaks `<from>` sends
//! `request.json`, which must reach an upstream that speaks `<to>` as `expected-upstream-request.json`,
//! with the losses of `expected-warnings.txt`; `upstream.json` or `upstream.sse` comes back and must reach the client as `expected.json` or
//! `expected.sse`. Streams are fed whole, byte by byte, and split in two at every byte. JSON is compared
//! token by token: order, number formats and escapes count, white space does not.
//!
//! A new case needs `request.json` and the upstream's answer. `AIPROXY_BLESS=1 cargo test --test protocol corpus`
//! writes what is expected, or rewrites it after a change; read the difference before you commit it.
//!
//! If `AIPROXY_CORPUS` names a folder of recorded exchanges (else `../shared/corpus`, where there is
//! one), these are replayed, too: every request into every other protocol, every answer to clients of
//! every protocol. `cargo test --test protocol corpus -- --nocapture` shows a table.
//!
//! Everything that is translated here can be judged by the types of the official SDKs: tests/sdk/types.sh.

use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::thread;

use aiproxy::protocol::canonical::{Exchange, Losses, Request};
use aiproxy::protocol::{
    RequestError, Target, decode_request, decode_response, encode_request, encode_response, parse_error,
    render_error,
};
use serde_json::Value;

use crate::support::answer::{self, Finish};
use crate::support::client::events;
use crate::support::meaning::{self, Meaning};
use crate::support::recorded::{self, Recorded, Recording, endpoint, folders};
use crate::support::streams;
use crate::support::translations::{keep_recorded, keep_translated};
use crate::support::{Protocol, native, pairs};

/// What would come from the clock and from chance.
const CREATED: u64 = 1_700_000_000;
const SEED: u64 = 7;

fn exchange(request: &Request<'_>, client: Protocol, upstream: Protocol) -> Exchange {
    Exchange { created: CREATED, seed: SEED, ..Exchange::new(request, client, upstream) }
}

/// The client's stream for the upstream's, which comes in these pieces.
fn translate_stream<'p>(exchange: &Exchange, pieces: impl IntoIterator<Item = &'p [u8]>) -> String {
    String::from_utf8(streams::translated(exchange, pieces)).unwrap()
}

/// The client's document for the upstream's stream.
fn fold(exchange: &Exchange, stream: &[u8]) -> Value {
    serde_json::from_slice(&streams::folded(exchange, stream).unwrap()).unwrap()
}

// Cases of the project's own.

struct Case {
    folder: PathBuf,
    client: Protocol,
    upstream: Protocol,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.folder.display())
    }
}

fn cases() -> Vec<Case> {
    let protocol = |name: &str| Protocol::ALL.into_iter().find(|protocol| protocol.as_str() == name).unwrap();
    let mut cases = Vec::new();
    for pair in folders(Path::new("tests/corpus")).into_iter().filter(|path| path.is_dir()) {
        let name = pair.file_name().unwrap().to_str().unwrap();
        let (client, upstream) = name.split_once("-to-").unwrap();
        let (client, upstream) = (protocol(client), protocol(upstream));
        cases.extend(folders(&pair).into_iter().map(|folder| Case { folder, client, upstream }));
    }
    cases
}

impl Case {
    fn read(&self, name: &str) -> Option<String> {
        fs::read_to_string(self.folder.join(name)).ok()
    }

    /// Compares with the file, or rewrites the file.
    fn expect(&self, name: &str, got: &str) {
        if std::env::var_os("AIPROXY_BLESS").is_some() {
            fs::write(self.folder.join(name), got).unwrap();
        }
        let want = self.read(name).unwrap_or_else(|| panic!("{self}: {name} is missing; see AIPROXY_BLESS"));
        assert_eq!(got, want, "{self}: {name}");
    }

    /// Keeps both sides of what was translated.
    fn keep(&self, (from, to): (Protocol, Protocol), what: &str, before: &str, after: &str) {
        let case = self.folder.file_name().unwrap().to_str().unwrap();
        let name = format!("case-{case}-{}-to-{}.{what}", self.client, self.upstream);
        keep_recorded(from, &name, before);
        keep_translated(from, to, &name, after);
    }

    fn run(&self) {
        let body = self.read("request.json").unwrap();
        let stream = self.read("upstream.sse");
        let model = native::model(self.upstream);
        let endpoint = endpoint(self.client, model, stream.is_some());
        let request = decode_request(&endpoint, &body).unwrap_or_else(|error| panic!("{self}: {error}"));
        assert_eq!(request.stream, stream.is_some(), "{self}: the answer is of the other kind");
        let exchange = exchange(&request, self.client, self.upstream);
        let (mut losses, mut out) = (Losses::default(), Vec::new());
        encode_request(self.upstream, &request, &exchange, &Target::new(model), &mut losses, &mut out)
            .unwrap_or_else(|error| panic!("{self}: {error}"));
        let out = String::from_utf8(out).unwrap();
        self.keep((self.client, self.upstream), "request.json", &body, &out);
        self.expect("expected-upstream-request.json", &indented(&out));
        let warnings =
            if losses.is_empty() { "none".to_owned() } else { losses.header().replace(", ", "\n") };
        self.expect("expected-warnings.txt", &(warnings + "\n"));
        match stream {
            Some(stream) => self.run_stream(&exchange, stream.as_bytes()),
            None => {
                let answer = self.read("upstream.json").unwrap();
                let mut out = Vec::new();
                let response = decode_response(self.upstream, &answer, SEED).unwrap();
                encode_response(&response, &exchange, &mut out).unwrap();
                let out = String::from_utf8(out).unwrap();
                self.keep((self.upstream, self.client), "answer.json", &answer, &out);
                self.expect("expected.json", &indented(&out));
            }
        }
    }

    fn run_stream(&self, exchange: &Exchange, stream: &[u8]) {
        let got = translate_stream(exchange, [stream]);
        let upstream = str::from_utf8(stream).unwrap();
        self.keep((self.upstream, self.client), "answer.sse", upstream, &got);
        self.expect("expected.sse", &got);
        assert_eq!(translate_stream(exchange, stream.chunks(1)), got, "{self}, byte by byte");
        for cut in 1..stream.len() {
            let (head, tail) = stream.split_at(cut);
            assert_eq!(translate_stream(exchange, [head, tail]), got, "{self}, cut at {cut}");
        }
        // What a client makes of the stream is what it would have been told at once.
        let streamed = answer::stream(self.client, &events(&got));
        assert_eq!(streamed, answer::document(self.client, &fold(exchange, stream)), "{self}");
        assert_eq!(streamed.finish, Finish::Calls, "{self}");
    }
}

#[test]
fn every_case_comes_out_as_expected() {
    let cases = cases();
    thread::scope(|scope| {
        for case in &cases {
            scope.spawn(|| case.run());
        }
    });
    for (client, upstream) in pairs().filter(|(client, upstream)| client != upstream) {
        let of_pair = cases.iter().filter(|case| (case.client, case.upstream) == (client, upstream));
        assert!(of_pair.count() >= 2, "{client} → {upstream}");
    }
}

/// JSON spread over lines, every token as it was.
fn indented(json: &str) -> String {
    let (mut out, mut depth) = (String::new(), 0);
    let mut chars = json.chars().peekable();
    let line = |out: &mut String, depth: usize| {
        out.push('\n');
        out.push_str(&"  ".repeat(depth));
    };
    while let Some(c) = chars.next() {
        match c {
            '"' => {
                out.push(c);
                while let Some(c) = chars.next() {
                    out.push(c);
                    match c {
                        '\\' => out.extend(chars.next()),
                        '"' => break,
                        _ => {}
                    }
                }
            }
            c if c.is_whitespace() => {}
            '{' | '[' => {
                out.push(c);
                while chars.next_if(|c| c.is_whitespace()).is_some() {}
                match chars.next_if(|c| matches!(c, '}' | ']')) {
                    Some(end) => out.push(end),
                    None => {
                        depth += 1;
                        line(&mut out, depth);
                    }
                }
            }
            '}' | ']' => {
                depth -= 1;
                line(&mut out, depth);
                out.push(c);
            }
            ',' => {
                out.push(c);
                line(&mut out, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
    }
    out + "\n"
}

// Recorded exchanges.

/// How the replays from one protocol to another went.
#[derive(Clone, Copy, Debug, Default)]
struct Tally {
    replayed: usize,
    /// Cannot be said in the other protocol, or was refused by the server, too.
    refused: usize,
    failed: usize,
}

#[derive(Default)]
struct Replay {
    requests: BTreeMap<(&'static str, &'static str), Tally>,
    answers: BTreeMap<(&'static str, &'static str), Tally>,
    /// Why some were refused.
    reasons: BTreeMap<String, usize>,
    failures: Vec<String>,
}

impl Recorded {
    /// What a part of the exchange is kept as.
    fn name(&self, part: &str) -> String {
        format!("{}.{part}", self.id)
    }

    /// Keeps both sides as they were recorded.
    fn keep(&self) {
        if let Some((_, body)) = &self.request {
            keep_recorded(self.protocol, &self.name("request.json"), body);
        }
        let (part, answer) = match &self.answer {
            Recording::Document(error) if self.status >= 400 => ("error.json", error),
            Recording::Document(document) => ("answer.json", document),
            Recording::Stream(stream) => ("answer.sse", stream),
        };
        keep_recorded(self.protocol, &self.name(part), answer);
    }

    /// Keeps a translated answer; to its own protocol no gateway translates.
    fn keep_answer(&self, client: Protocol, part: &str, answer: impl AsRef<[u8]>) {
        if client != self.protocol {
            keep_translated(self.protocol, client, &self.name(part), answer);
        }
    }

    /// The request in another protocol.
    fn request_for(&self, upstream: Protocol) -> Option<Outcome> {
        let (endpoint, body) = self.request.as_ref()?;
        let written = decode_request(endpoint, body).and_then(|request| {
            let model = request.model.decode().into_owned();
            let exchange = exchange(&request, self.protocol, upstream);
            let mut out = Vec::new();
            encode_request(
                upstream,
                &request,
                &exchange,
                &Target::new(&model),
                &mut Losses::default(),
                &mut out,
            )?;
            Ok(out)
        });
        Some(match written {
            Ok(out) => {
                keep_translated(self.protocol, upstream, &self.name("request.json"), &out);
                let text = std::str::from_utf8(&out).unwrap();
                let (said, heard) = (meaning::asked(self.protocol, body), meaning::asked(upstream, text));
                match said.is_heard_as(&heard) {
                    true => Outcome::Replayed,
                    false => Outcome::Failed(format!("{said:?} became {heard:?}")),
                }
            }
            Err(RequestError::Unsupported(what)) => Outcome::Refused(what.to_string()),
            // A request of nothing but instructions (2.5).
            Err(RequestError::Invalid { message, .. }) if message == "nothing is left to send" => {
                Outcome::Refused(message.into_owned())
            }
            Err(_) if self.status >= 400 => Outcome::Refused("its own provider refused it".to_owned()),
            Err(error) => Outcome::Failed(error.to_string()),
        })
    }

    /// The answer for a client of a protocol.
    fn answer_for(&self, client: Protocol) -> Outcome {
        if self.status >= 400 {
            let (Recording::Stream(body) | Recording::Document(body)) = &self.answer;
            let view = parse_error(self.protocol, self.status, body.as_bytes());
            let (_, body) = render_error(client, &view);
            self.keep_answer(client, "error.json", &body);
            answer::error_kind(client, &serde_json::from_slice(&body).unwrap());
            return Outcome::Replayed;
        }
        let request = self.request.as_ref();
        let request = request.and_then(|(endpoint, body)| decode_request(endpoint, body).ok());
        let mut exchange = exchange(&request.unwrap_or_default(), client, self.protocol);
        (exchange.include_usage, exchange.show_reasoning) = (true, true);
        match &self.answer {
            Recording::Stream(stream) => self.stream_for(&exchange, stream.as_bytes()),
            Recording::Document(_) if self.is_broken => Outcome::Refused("it has not ended".to_owned()),
            // A Gemini stream that was asked for without `alt=sse`; upstreams are never asked so.
            Recording::Document(body) if body.starts_with('[') => {
                Outcome::Refused("a stream of a form that is not asked for".to_owned())
            }
            Recording::Document(body) => {
                let mut out = Vec::new();
                let written = decode_response(self.protocol, body, SEED)
                    .and_then(|response| encode_response(&response, &exchange, &mut out));
                if let Err(error) = written {
                    return Outcome::Failed(error.message);
                }
                self.keep_answer(client, "answer.json", &out);
                let answer = answer::document(client, &serde_json::from_slice(&out).unwrap());
                if answer.finish == Finish::Missing {
                    return "it has no end".into();
                }
                let said = meaning::document(self.protocol, body);
                same(client, &said, &meaning::document(client, std::str::from_utf8(&out).unwrap()))
            }
        }
    }

    fn stream_for(&self, exchange: &Exchange, stream: &[u8]) -> Outcome {
        let whole = translate_stream(exchange, [stream]);
        self.keep_answer(exchange.client, "answer.sse", &whole);
        if !self.is_broken {
            self.keep_answer(exchange.client, "folded.answer.json", fold(exchange, stream).to_string());
        }
        // Byte by byte only where that is a matter of moments.
        let smallest = if stream.len() > 20_000 { 61 } else { 1 };
        for size in [smallest, 4096] {
            if translate_stream(exchange, stream.chunks(size)) != whole {
                return format!("in pieces of {size} bytes it means something else").as_str().into();
            }
        }
        let heard = events(&whole);
        match answer::stream_error(exchange.client, &heard) {
            Some(_) if self.is_broken => Outcome::Replayed,
            Some(error) => Outcome::Failed(error.to_string()),
            None if answer::stream(exchange.client, &heard).finish == Finish::Missing => {
                "it has no end".into()
            }
            None => {
                let said = meaning::stream(self.protocol, &events(stream_text(stream)));
                same(exchange.client, &said, &meaning::stream(exchange.client, &heard))
            }
        }
    }
}

fn stream_text(stream: &[u8]) -> &str {
    std::str::from_utf8(stream).unwrap()
}

fn same(client: Protocol, said: &Meaning, heard: &Meaning) -> Outcome {
    match said.is_heard_as(client, heard) {
        true => Outcome::Replayed,
        false => Outcome::Failed(format!("{said:?} became {heard:?}")),
    }
}

enum Outcome {
    Replayed,
    /// Why.
    Refused(String),
    Failed(String),
}

impl From<&str> for Outcome {
    fn from(failure: &str) -> Self {
        Outcome::Failed(failure.to_owned())
    }
}

impl Tally {
    fn count(
        &mut self,
        what: String,
        reasons: &mut BTreeMap<String, usize>,
        failures: &mut Vec<String>,
        outcome: impl FnOnce() -> Option<Outcome>,
    ) {
        let outcome = catch_unwind(AssertUnwindSafe(outcome)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            Some(Outcome::Failed(format!("panic: {}", text.unwrap_or_default())))
        });
        match outcome {
            None => {}
            Some(Outcome::Replayed) => self.replayed += 1,
            Some(Outcome::Refused(why)) => {
                self.refused += 1;
                *reasons.entry(why).or_default() += 1;
            }
            Some(Outcome::Failed(why)) => {
                self.failed += 1;
                failures.push(format!("{what}: {why}"));
            }
        }
    }
}

impl Replay {
    fn run(&mut self, recorded: &Recorded) {
        let (own, id) = (recorded.protocol.as_str(), &recorded.id);
        recorded.keep();
        for other in Protocol::ALL {
            let pair = (own, other.as_str());
            if other != recorded.protocol {
                let tally = self.requests.entry(pair).or_default();
                let what = format!("{id}: request to {other}");
                tally.count(what, &mut self.reasons, &mut self.failures, || recorded.request_for(other));
            }
            let tally = self.answers.entry(pair).or_default();
            let what = format!("{id}: answer to {other}");
            tally.count(what, &mut self.reasons, &mut self.failures, || Some(recorded.answer_for(other)));
        }
    }
}

impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, tallies) in [("request", &self.requests), ("answer", &self.answers)] {
            writeln!(f, "{what:<8} {:<24} replayed  refused  failed", "from → to")?;
            for ((from, to), tally) in tallies {
                let Tally { replayed, refused, failed } = tally;
                writeln!(
                    f,
                    "{:<8} {:<24} {replayed:>8} {refused:>8} {failed:>7}",
                    "",
                    format!("{from} → {to}")
                )?;
            }
        }
        writeln!(f, "\n refused  because")?;
        for (why, count) in &self.reasons {
            writeln!(f, "{count:>8}  {why}")?;
        }
        Ok(())
    }
}

#[test]
fn recorded_exchanges_are_replayed() {
    let mut replay = Replay::default();
    let mut count = 0;
    for recorded in recorded::all() {
        replay.run(&recorded);
        count += 1;
    }
    if count == 0 {
        println!("no recorded exchanges found");
    } else {
        println!("{count} recorded exchanges\n{replay}");
    }
    assert!(
        replay.failures.is_empty(),
        "{} failures:\n{}",
        replay.failures.len(),
        replay.failures.join("\n")
    );
}
