//! JSON: each part of the project's own reader against what serde_json would cost in its place.

mod support {
    pub mod best;
    pub mod conversation;
}

use std::hint::black_box;
use std::time::Duration;

use aiproxy::Payload;
use aiproxy::protocol::json::{Reader, members};
use aiproxy::protocol::{Endpoint, Operation, Protocol};
use bytes::Bytes;
use criterion::{Criterion, Throughput};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use serde_json::value::RawValue;

use support::best;
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

/// One thing to measure.
struct Case {
    name: &'static str,
    work: Box<dyn Fn()>,
}

fn case<T>(name: &'static str, work: impl Fn() -> T + 'static) -> Case {
    let work = move || {
        black_box(work());
    };
    Case { name, work: Box::new(work) }
}

fn cases(body: &'static str) -> Vec<Case> {
    let bytes = Bytes::from_static(body.as_bytes());
    let look = {
        let bytes = bytes.clone();
        move || Payload::new(Endpoint::new(Protocol::OpenAi, Operation::Generate), bytes.clone())
    };
    vec![
        // Where are model and stream flag?
        case("find: members", || members(black_box(body.as_bytes()), ["model", "stream", "stream_options"])),
        case("find: serde_json, borrowed envelope", || {
            serde_json::from_str::<Envelope<'_>>(black_box(body))
                .is_ok_and(|e| black_box((e.model, e.stream, e.stream_options)).0.get().len() > 2)
        }),
        case("find: serde_json, Value", || serde_json::from_str::<Value>(black_box(body)).is_ok()),
        // Is all of it well-formed?
        case("validate: Reader", || Reader::new(black_box(body)).skip()),
        case("validate: serde_json, IgnoredAny", || {
            serde_json::from_str::<IgnoredAny>(black_box(body)).is_ok()
        }),
        // What a request costs: look into it, ask for another model, take the bytes to send.
        case("edit: Payload, unchanged", {
            let look = look.clone();
            move || look().map(|payload| payload.wire_bytes())
        }),
        case("edit: Payload, another model", move || {
            look().map(|mut payload| {
                payload.set_model("gpt-5.2");
                payload.wire_bytes()
            })
        }),
        case("edit: serde_json, Value and back", move || {
            let mut value: Value = serde_json::from_slice(black_box(&bytes))?;
            value["model"] = Value::from("gpt-5.2");
            serde_json::to_vec(&value)
        }),
    ]
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    let bodies = [1, 100].map(|kilobytes| (kilobytes, &*request(Protocol::OpenAi, kilobytes).leak()));
    for (kilobytes, body) in bodies {
        let mut group = criterion.benchmark_group(format!("payload/{kilobytes}KB"));
        group.throughput(Throughput::Bytes(body.len() as u64));
        for Case { name, work } in cases(body) {
            group.bench_function(name, |b| b.iter(&work));
        }
        group.finish();
    }
    criterion.final_summary();

    println!("\nbody | 1 KB: us | 100 KB: us | 100 KB: MB/s");
    let [(_, small), (_, large)] = bodies;
    for (Case { name, work }, in_large) in cases(small).into_iter().zip(cases(large)) {
        let (small, time) = (best::time(work), best::time(in_large.work));
        println!(
            "{name} | {:.2} | {:.1} | {:.0}",
            small.as_secs_f64() * 1e6,
            time.as_secs_f64() * 1e6,
            large.len() as f64 / time.as_secs_f64() / 1e6
        );
    }
}
