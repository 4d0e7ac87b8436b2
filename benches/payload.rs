//! JSON: each part of the project's own reader against what serde_json would cost in its place.

mod support {
    pub mod conversation;
}

use std::hint::black_box;
use std::time::Duration;

use aiproxy::Payload;
use aiproxy::protocol::json::{Reader, members};
use aiproxy::protocol::{Endpoint, Operation, Protocol};
use bytes::Bytes;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use support::conversation::request;

/// The envelope as serde_json would find it.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    model: &'a RawValue,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    stream_options: Option<&'a RawValue>,
}

fn payload(c: &mut Criterion) {
    for kilobytes in [1, 100] {
        let body = request(Protocol::OpenAi, kilobytes);
        let mut group = c.benchmark_group(format!("payload/{kilobytes}KB"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        find(&mut group, &body);
        validate(&mut group, &body);
        edit(&mut group, &body);
        group.finish();
    }
}

/// Where are model and stream flag?
fn find(group: &mut BenchmarkGroup<'_, WallTime>, body: &str) {
    group.bench_function("find/members", |b| {
        b.iter(|| members(black_box(body.as_bytes()), ["model", "stream", "stream_options"]))
    });
    group.bench_function("find/serde_json envelope", |b| {
        b.iter(|| {
            serde_json::from_str::<Envelope<'_>>(black_box(body))
                .is_ok_and(|e| black_box((e.model, e.stream, e.stream_options)).0.get().len() > 2)
        })
    });
    group.bench_function("find/serde_json Value", |b| {
        b.iter(|| serde_json::from_str::<Value>(black_box(body)).is_ok())
    });
}

/// Is all of it well-formed?
fn validate(group: &mut BenchmarkGroup<'_, WallTime>, body: &str) {
    group.bench_function("validate/Reader::skip", |b| b.iter(|| Reader::new(black_box(body)).skip()));
    group.bench_function("validate/serde_json IgnoredAny", |b| {
        b.iter(|| serde_json::from_str::<IgnoredAny>(black_box(body)).is_ok())
    });
}

/// What a request costs: look into it, ask for another model, take the bytes to send.
fn edit(group: &mut BenchmarkGroup<'_, WallTime>, body: &str) {
    let bytes = Bytes::from(body.to_owned());
    let look = || Payload::new(Endpoint::new(Protocol::OpenAi, Operation::Generate), bytes.clone());
    group.bench_function("edit/Payload::new", |b| b.iter(look));
    group.bench_function("edit/Payload::set_model", |b| {
        b.iter(|| {
            look().map(|mut payload| {
                payload.set_model("gpt-5.2");
                payload.wire_bytes()
            })
        })
    });
    group.bench_function("edit/serde_json Value", |b| {
        b.iter(|| {
            let mut value: Value = serde_json::from_slice(black_box(&bytes))?;
            value["model"] = Value::from("gpt-5.2");
            serde_json::to_vec(&value)
        })
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20);
    targets = payload
}
criterion_main!(benches);
