//! Translation of requests, streams and whole answers, for each pair of protocols, in time and in
//! allocations; the yardstick for a request is reading it into a `serde_json::Value` once.

mod support {
    pub mod allocations;
    pub mod answer;
    pub mod best;
    pub mod conversation;
}

use std::hint::black_box;
use std::time::Duration;

use aiproxy::protocol::canonical::{Exchange, Losses};
use aiproxy::protocol::{
    Endpoint, Operation, Protocol, StreamDecoder, StreamEncoder, Target, decode_request, decode_response,
    encode_request, encode_response, sse,
};
use criterion::{Criterion, Throughput};
use serde_json::Value;

use support::conversation::request;
use support::{allocations, answer, best};

fn pairs() -> impl Iterator<Item = (Protocol, Protocol)> {
    Protocol::ALL
        .into_iter()
        .flat_map(|from| Protocol::ALL.into_iter().map(move |to| (from, to)))
        .filter(|(from, to)| from != to)
}

fn endpoint(client: Protocol) -> Endpoint {
    let mut endpoint = Endpoint::new(client, Operation::Generate);
    if client == Protocol::Gemini {
        endpoint.model = Some("gemini-2.5-flash".into());
        endpoint.stream = Some(true);
    }
    endpoint
}

fn model(upstream: Protocol) -> &'static str {
    match upstream {
        Protocol::Anthropic => "claude-sonnet-4-5",
        Protocol::OpenAi | Protocol::Responses => "gpt-5-mini",
        Protocol::Gemini => "gemini-2.5-flash",
    }
}

/// A client's request as the upstream is to read it.
fn translate_request(client: Protocol, upstream: Protocol, body: &str) -> (Exchange, Vec<u8>) {
    let endpoint = endpoint(client);
    let request = decode_request(&endpoint, black_box(body)).expect("the request is well-formed");
    let exchange = Exchange::new(&request, client, upstream);
    let mut losses = Losses::default();
    let mut out = Vec::with_capacity(body.len() + body.len() / 8 + 256);
    encode_request(upstream, &request, &exchange, &Target::new(model(upstream)), &mut losses, &mut out)
        .expect("the request can be said");
    (exchange, out)
}

/// What an answer from `upstream` to `client` is translated with.
fn exchange(client: Protocol, upstream: Protocol) -> Exchange {
    translate_request(client, upstream, &request(client, 1)).0
}

/// A stream as the client is to read it, a buffer for each event as over a network.
fn translate_stream(exchange: &Exchange, events: &[Vec<u8>]) -> usize {
    let mut sse = sse::Decoder::default();
    let mut decoder = StreamDecoder::new(exchange.upstream, 1);
    let mut encoder = StreamEncoder::new(exchange);
    let mut written = 0;
    for chunk in events {
        let mut out = Vec::with_capacity((chunk.len() + chunk.len() / 2).max(512));
        let fits = sse.push(black_box(chunk), |event| {
            decoder.event(&event, &mut |event| encoder.event(&event, &mut out));
        });
        fits.expect("events are short");
        written += black_box(&out).len();
    }
    let mut out = Vec::new();
    decoder.finish(&mut |event| encoder.event(&event, &mut out));
    written + out.len()
}

fn translate_answer(exchange: &Exchange, document: &str) -> Vec<u8> {
    let response =
        decode_response(exchange.upstream, black_box(document), 1).expect("the answer is well-formed");
    let mut out = Vec::with_capacity(document.len() + document.len() / 4 + 256);
    encode_response(&response, exchange, &mut out).expect("the answer can be given");
    out
}

fn requests(c: &mut Criterion) {
    for kilobytes in [1, 100] {
        let mut group = c.benchmark_group(format!("request/{kilobytes}KB"));
        for client in Protocol::ALL {
            let body = request(client, kilobytes);
            group.throughput(Throughput::Bytes(body.len() as u64));
            group.bench_function(format!("{client} to Value"), |b| {
                b.iter(|| serde_json::from_slice::<Value>(black_box(body.as_bytes())))
            });
            for upstream in Protocol::ALL.into_iter().filter(|upstream| *upstream != client) {
                group.bench_function(format!("{client} to {upstream}"), |b| {
                    b.iter(|| translate_request(client, upstream, &body))
                });
            }
        }
        group.finish();
    }
}

fn streams(c: &mut Criterion) {
    let mut group = c.benchmark_group("stream");
    for (upstream, client) in pairs() {
        let exchange = exchange(client, upstream);
        let events = answer::stream(upstream);
        group.throughput(Throughput::Elements(events.len() as u64));
        group.bench_function(format!("{upstream} to {client}"), |b| {
            b.iter(|| translate_stream(&exchange, &events))
        });
    }
    group.finish();
}

fn answers(c: &mut Criterion) {
    let mut group = c.benchmark_group("answer");
    for (upstream, client) in pairs() {
        let exchange = exchange(client, upstream);
        let document = answer::document(upstream);
        group.throughput(Throughput::Bytes(document.len() as u64));
        group.bench_function(format!("{upstream} to {client}"), |b| {
            b.iter(|| translate_answer(&exchange, &document))
        });
    }
    group.finish();
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

fn in_kilobytes(bytes: u64) -> f64 {
    bytes as f64 / 1024.0
}

fn request_table() {
    println!("\nrequest | KB | us | x reading into Value | allocations | KB allocated");
    for kilobytes in [1, 100] {
        for client in Protocol::ALL {
            let body = request(client, kilobytes);
            let value = best::time(|| {
                black_box(serde_json::from_slice::<Value>(black_box(body.as_bytes())).is_ok());
            });
            println!(
                "{client} to Value | {:.1} | {:.1} | 1 | |",
                in_kilobytes(body.len() as u64),
                micros(value)
            );
            for upstream in Protocol::ALL.into_iter().filter(|upstream| *upstream != client) {
                let work = || {
                    black_box(translate_request(client, upstream, &body));
                };
                let time = best::time(work);
                let asked = allocations::count(work);
                println!(
                    "{client} to {upstream} | {:.1} | {:.1} | {:.2} | {} | {:.1}",
                    in_kilobytes(body.len() as u64),
                    micros(time),
                    time.as_secs_f64() / value.as_secs_f64(),
                    asked.count,
                    in_kilobytes(asked.bytes),
                );
            }
        }
    }
}

fn answer_table() {
    println!(
        "\nanswer | ns per event | allocations per text delta | allocations per stream | whole answer us | allocations"
    );
    for (upstream, client) in pairs() {
        let exchange = exchange(client, upstream);
        let events = answer::stream(upstream);
        let stream = || {
            black_box(translate_stream(&exchange, &events));
        };
        let document = answer::document(upstream);
        let whole = || {
            black_box(translate_answer(&exchange, &document));
        };
        let time = best::time(stream).as_nanos() as usize / events.len();
        let all = allocations::count(stream).count;
        println!(
            "{upstream} to {client} | {time} | {:.2} | {all} | {:.1} | {}",
            steady_allocations(&exchange, &events),
            micros(best::time(whole)),
            allocations::count(whole).count,
        );
    }
}

/// Allocations of one text delta amid a stream.
fn steady_allocations(exchange: &Exchange, events: &[Vec<u8>]) -> f64 {
    let until = |end: usize| {
        allocations::count(|| {
            black_box(translate_stream(exchange, &events[..end]));
        })
        .count as f64
    };
    (until(150) - until(50)) / 100.0
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(150))
        .measurement_time(Duration::from_millis(350))
        .sample_size(10)
        .configure_from_args();
    requests(&mut criterion);
    streams(&mut criterion);
    answers(&mut criterion);
    criterion.final_summary();
    request_table();
    answer_table();
}
