//! Answers as a relay sees them: events found in chunks of any size, watched on their way, and the
//! token counts of whole answers.

mod support {
    pub mod answer;
    pub mod best;
}

use std::hint::black_box;
use std::time::Duration;

use aiproxy::protocol::sse::{Decoder, Event};
use aiproxy::protocol::{Observer, Protocol, Signal, usage_of};
use criterion::{Criterion, Throughput};

use support::{answer, best};

struct Stream {
    protocol: Protocol,
    whole: Vec<u8>,
    events: Vec<Vec<u8>>,
}

impl Stream {
    fn new(protocol: Protocol) -> Self {
        let events = answer::stream(protocol);
        Stream { protocol, whole: events.concat(), events }
    }

    /// The same bytes, cut in three ways.
    fn cuts(&self) -> [(&'static str, Vec<&[u8]>); 3] {
        [
            ("one chunk", vec![&self.whole]),
            ("a chunk per event", self.events.iter().map(Vec::as_slice).collect()),
            ("chunks of 7 bytes", self.whole.chunks(7).collect()),
        ]
    }
}

fn decode(chunks: &[&[u8]], mut sink: impl FnMut(Event<'_>)) {
    let mut decoder = Decoder::default();
    for chunk in chunks {
        if decoder.push(black_box(chunk), &mut sink).is_err() {
            return;
        }
    }
    decoder.finish(sink);
}

fn watch(protocol: Protocol, chunks: &[&[u8]]) -> bool {
    let mut observer = Observer::new(protocol);
    let mut begun = false;
    decode(chunks, |event| begun |= observer.event(&event) == Signal::Content);
    begun && observer.seen().may_end
}

fn benchmarks(c: &mut Criterion) {
    for protocol in Protocol::ALL {
        let stream = Stream::new(protocol);
        let mut group = c.benchmark_group(format!("sse/{protocol}"));
        group.throughput(Throughput::Elements(stream.events.len() as u64));
        for (name, chunks) in stream.cuts() {
            group.bench_function(format!("decode/{name}"), |b| {
                b.iter(|| {
                    decode(&chunks, |event| {
                        black_box(event);
                    })
                })
            });
        }
        group.bench_function("watch/a chunk per event", |b| {
            let [_, (_, chunks), _] = stream.cuts();
            b.iter(|| watch(protocol, &chunks))
        });
        let document = answer::document(protocol);
        group.throughput(Throughput::Bytes(document.len() as u64));
        group.bench_function("usage of a whole answer", |b| {
            b.iter(|| usage_of(protocol, black_box(document.as_bytes())))
        });
        group.finish();
    }
}

/// Nanoseconds per event.
fn table() {
    println!("\nns per event | one chunk | per event | 7 bytes | per event, watched | bytes per event");
    for stream in Protocol::ALL.map(Stream::new) {
        let [_, (_, chunks), _] = stream.cuts();
        assert!(watch(stream.protocol, &chunks), "a {} stream is complete", stream.protocol);
        let count = stream.events.len();
        let per_event = |time: Duration| time.as_nanos() as usize / count;
        let times = stream.cuts().map(|(_, chunks)| {
            per_event(best::time(|| {
                decode(&chunks, |event| {
                    black_box(event);
                })
            }))
        });
        let watched = per_event(best::time(|| {
            black_box(watch(stream.protocol, &chunks));
        }));
        println!(
            "{} | {} | {} | {} | {watched} | {}",
            stream.protocol,
            times[0],
            times[1],
            times[2],
            stream.whole.len() / count
        );
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(500))
        .sample_size(20)
        .configure_from_args();
    benchmarks(&mut criterion);
    criterion.final_summary();
    table();
}
