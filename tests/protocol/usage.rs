//! What was consumed is known also where the upstream does not tell it, or cannot because it was cut off: it is
//! estimated, and says so.

use std::collections::BTreeMap;

use aiproxy::protocol::{Observer, lengths_of, sse};
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::{Value, json};

use crate::support::answer;
use crate::support::client::{Client, Reply, post, read_until};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::series::{recorder, series};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs};

/// Takes the counts out of a document.
fn silence(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|name, _| !matches!(name.as_str(), "usage" | "usageMetadata"));
            members.values_mut().for_each(silence);
        }
        Value::Array(items) => items.iter_mut().for_each(silence),
        _ => {}
    }
}

fn silent_document(protocol: Protocol) -> Value {
    let mut document = native::document(protocol);
    silence(&mut document);
    document
}

fn silent_stream(protocol: Protocol) -> Vec<String> {
    let silent = |frame: String| {
        let (head, data) = frame.split_once("data: ").unwrap();
        let Ok(mut value) = serde_json::from_str::<Value>(data) else { return frame };
        silence(&mut value);
        format!("{head}data: {value}\n\n")
    };
    native::stream(protocol).into_iter().map(silent).collect()
}

/// A text of about a hundred tokens.
fn question() -> String {
    "How much wood would a woodchuck chuck? ".repeat(10)
}

fn is_near(counts: (u64, u64)) -> bool {
    (80..=180).contains(&counts.0) && (8..=70).contains(&counts.1)
}

async fn ask(client: Protocol, protocol: Protocol, answer: Answer, stream: bool, wanted: bool) -> Reply {
    let provider = Upstream::always(answer).await;
    let spec = upstream("only", protocol, &provider.url()).estimate_usage(wanted);
    let served = Served::start(gateway([spec])).await;
    let talk = Talk::new(native::model(protocol), &question()).stream(stream);
    let mut body = talk.body(client);
    if stream && client == Protocol::OpenAi {
        body["stream_options"] = json!({"include_usage": true});
    }
    Client::new(served.addr).send(post(&talk.path(client), body)).await
}

/// Whether a client gets numbers that are estimates.
fn gets_estimates(client: Protocol, wanted: bool) -> bool {
    wanted || matches!(client, Protocol::Anthropic | Protocol::Gemini)
}

#[tokio::test]
async fn t158_a_whole_answer_without_counts_gets_estimated_ones_that_say_so() {
    for (client, protocol) in pairs().filter(|(client, protocol)| client != protocol) {
        for wanted in [false, true] {
            let what = format!("{client} → {protocol}, wanted: {wanted}");
            let reply = ask(client, protocol, Answer::json(silent_document(protocol)), false, wanted).await;
            let body = reply.json();
            let answer = answer::document(client, &body);
            let counts = (answer.input_tokens, answer.output_tokens);
            if gets_estimates(client, wanted) {
                assert_eq!(reply.header("x-aiproxy-usage"), Some("estimated"), "{what}");
                assert!(is_near(counts), "{what}: {counts:?}");
            } else {
                assert_eq!(reply.header("x-aiproxy-usage"), None, "{what}");
                let usage = body.get("usage");
                let want = (client == Protocol::Responses).then_some(&Value::Null);
                assert_eq!(usage, want, "{what}: none rather than a guess");
            }
            let reply = ask(client, protocol, Answer::json(native::document(protocol)), false, wanted).await;
            let answer = answer::document(client, &reply.json());
            let counts = (answer.input_tokens, answer.output_tokens, reply.header("x-aiproxy-usage"));
            assert_eq!(counts, (12, 9, None), "{what}: the upstream's own counts");
        }
    }
}

#[tokio::test]
async fn t186_a_stream_without_counts_ends_with_estimated_ones() {
    for (client, protocol) in pairs().filter(|(client, protocol)| client != protocol) {
        for wanted in [false, true] {
            let what = format!("{client} → {protocol}, wanted: {wanted}");
            let reply = ask(client, protocol, Answer::events(silent_stream(protocol)), true, wanted).await;
            let answer = answer::stream(client, &reply.events());
            assert_eq!(answer.text, native::TEXT, "{what}");
            let counts = (answer.input_tokens, answer.output_tokens);
            if gets_estimates(client, wanted) {
                assert!(is_near(counts), "{what}: {counts:?}");
            } else {
                assert_eq!(counts, (0, 0), "{what}: none rather than a guess: {}", reply.text());
            }
            let reply = ask(client, protocol, Answer::events(native::stream(protocol)), true, wanted).await;
            let answer = answer::stream(client, &reply.events());
            assert_eq!((answer.input_tokens, answer.output_tokens), (12, 9), "{what}: the upstream's own");
        }
    }
}

#[test]
fn a_stream_that_is_only_watched_says_as_much_as_its_document() {
    for protocol in Protocol::ALL {
        let mut observer = Observer::new(protocol);
        let mut decoder = sse::Decoder::default();
        for frame in native::stream(protocol) {
            decoder.push(frame.as_bytes(), |event| drop(observer.event(&event))).unwrap();
        }
        let watched = format!("{:?}", observer.seen().said);
        let whole = lengths_of(protocol, native::document(protocol).to_string().as_bytes());
        let field = |text: &str, name: &str| -> i64 {
            let (_, rest) = text.split_once(&format!("{name}: ")).unwrap();
            rest.split([',', ' ']).next().unwrap().parse().unwrap()
        };
        for name in ["foreign", "wide", "signs", "calls"] {
            let (a, b) = (field(&watched, name), field(&format!("{whole:?}"), name));
            assert_eq!(a, b, "{protocol}: {name} of {watched} and {whole:?}");
        }
        // Quotes may be escaped, and Gemini's calls stand there with their braces.
        let more = field(&watched, "ascii") - field(&format!("{whole:?}"), "ascii");
        assert!((0..40).contains(&more), "{protocol}: {watched} and {whole:?}");
    }
}

/// Tokens by kind and source.
type Tokens = BTreeMap<(String, String), f64>;

fn tokens(handle: &PrometheusHandle) -> Tokens {
    let mut tokens = Tokens::new();
    for (name, value) in series(&handle.render()) {
        let Some(labels) = name.strip_prefix("aiproxy_tokens_total{").filter(|_| value > 0.0) else {
            continue;
        };
        let label = |wanted: &str| {
            let labels = labels.trim_end_matches('}').split(',');
            let value = labels.filter_map(|label| label.split_once('=')).find(|(name, _)| *name == wanted);
            value.unwrap().1.trim_matches('"').to_owned()
        };
        tokens.insert((label("kind"), label("source")), value);
    }
    tokens
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ends {
    Whole,
    WholeButSilent,
    /// The upstream's connection breaks.
    Broken,
    /// The client leaves.
    Left,
}

async fn recorded(client: Protocol, protocol: Protocol, ends: Ends) -> Tokens {
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (_, second_text) = native::text_at(protocol);
    let begun = || Answer::stream().frames(native::stream(protocol).into_iter().take(second_text + 1));
    let answer = match ends {
        Ends::Whole => Answer::events(native::stream(protocol)),
        Ends::WholeButSilent => Answer::events(silent_stream(protocol)),
        Ends::Broken => begun().cut(),
        Ends::Left => begun().stall(),
    };
    let provider = Upstream::always(answer).await;
    let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
    let http = Client::new(served.addr);
    let request = Talk::new(native::model(protocol), &question()).stream(true).request(client);
    if ends == Ends::Left {
        let mut body = http.open(request).await.into_body();
        read_until(&mut body, &mut String::new(), "rld").await;
        drop(body);
        provider.departed(1).await;
    } else {
        http.send(request).await;
    }
    // The request is over when nothing is under way any more.
    crate::support::soon("the end of the request", async {
        while !handle.render().contains(r#"aiproxy_requests_total{"#) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    tokens(&handle)
}

#[tokio::test]
async fn t021_what_a_cut_stream_has_consumed_is_recorded_and_marked() {
    for (client, protocol) in pairs() {
        for ends in [Ends::Broken, Ends::Left] {
            let what = format!("{client} → {protocol}, {ends:?}");
            let tokens = recorded(client, protocol, ends).await;
            let is = |kind: &str, source: &str| tokens.get(&(kind.to_owned(), source.to_owned())).copied();
            // These tell their input first; that stays what they told.
            if matches!(protocol, Protocol::Anthropic | Protocol::Gemini) {
                assert_eq!((is("input", "reported"), is("input", "estimated")), (Some(12.0), None), "{what}");
            } else {
                let input = is("input", "estimated").unwrap_or_default();
                assert!(
                    (80.0..=180.0).contains(&input) && is("input", "reported").is_none(),
                    "{what}: {input}"
                );
            }
            let output = is("output", "estimated").unwrap_or_default();
            assert!((4.0..=12.0).contains(&output), "{what}: {output}");
            assert_eq!(is("output", "reported"), None, "{what}: what came first is no last word");
        }
    }
}

#[tokio::test]
async fn an_answer_without_counts_is_recorded_and_marked_and_one_with_counts_is_not() {
    for (client, protocol) in pairs() {
        let what = format!("{client} → {protocol}");
        let key = |kind: &str, source: &str| (kind.to_owned(), source.to_owned());
        let exact = recorded(client, protocol, Ends::Whole).await;
        let want = [(key("input", "reported"), 12.0), (key("output", "reported"), 9.0)];
        assert_eq!(exact, want.into(), "{what}");
        let guess = recorded(client, protocol, Ends::WholeButSilent).await;
        let kinds: Vec<_> = guess.keys().cloned().collect();
        assert_eq!(kinds, [key("input", "estimated"), key("output", "estimated")], "{what}");
        let [input, output] = [&kinds[0], &kinds[1]].map(|kind| guess[kind] as u64);
        assert!(is_near((input, output)), "{what}: {input} {output}");
    }
}
