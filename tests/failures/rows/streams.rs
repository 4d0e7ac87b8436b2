//! Streams that break, in every way at every stage.

use super::Row;
use crate::provider::{Break, begun, events, events_before, finish};
use crate::rule::Effect::{self, Fails, Nothing};
use crate::rule::{ANY_5XX, Mode, Stage};
use crate::support::Protocol;
use crate::support::upstream::Answer;

const STAGES: [Stage; 7] = [
    Stage::FirstEvent,
    Stage::BeforeContent,
    Stage::MidStream,
    Stage::InACall,
    Stage::AtTheEnd,
    Stage::AfterFinish,
    Stage::AfterTheEnd,
];

pub fn breaks() -> Vec<Row> {
    let mut rows = Vec::new();
    for how in Break::ALL {
        for stage in STAGES {
            let can = |protocol: &Protocol| events_before(*protocol, stage).is_some();
            let upstreams: Vec<Protocol> = Protocol::ALL.into_iter().filter(can).collect();
            // A Chat answer is whole once its finish was told: the mark at the very end says nothing new.
            let (whole, broken): (Vec<_>, Vec<_>) = upstreams.into_iter().partition(|protocol| match stage {
                Stage::AfterTheEnd => true,
                Stage::AfterFinish => *protocol == Protocol::OpenAi && how.is_of_the_connection(),
                _ => false,
            });
            rows.extend([(Nothing, whole), (effect(how), broken)].into_iter().filter_map(
                |(effect, upstreams)| {
                    let row = Row::new(how.title(), stage, effect, move |scene| how.stream(scene, stage));
                    let row = row.in_modes(&Mode::OF_STREAMS).timeouts(clocks(how, stage));
                    (!upstreams.is_empty()).then(|| row.of(upstreams))
                },
            ));
        }
    }
    rows.extend(lengths());
    rows
}

fn effect(how: Break) -> Effect {
    match how {
        Break::Stalls => Fails(504),
        Break::ErrorEvent => Fails(ANY_5XX),
        _ => Fails(502),
    }
}

fn clocks(how: Break, stage: Stage) -> &'static str {
    match (how, stage) {
        (Break::Stalls, Stage::FirstEvent | Stage::BeforeContent) => "first_content: 500ms",
        // Too short a gap would break what is whole.
        (Break::Stalls, Stage::AfterFinish | Stage::AfterTheEnd) => "content_gap: 2s",
        (Break::Stalls, _) => "content_gap: 500ms",
        _ => "",
    }
}

/// Streams whose length was told and is wrong, events that are too long, opened answers without end.
fn lengths() -> Vec<Row> {
    let sized = |by: isize, scene: &crate::provider::Scene| {
        let all = events(scene.protocol).concat();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-length: {}\r\n\r\n",
            all.len().saturating_add_signed(by)
        );
        // Up to the first content, and the rest once the client has read it.
        let (begin, rest) = all.split_at(events(scene.protocol)[..begun(scene.protocol)].concat().len());
        Answer::raw(head + begin).wait(&scene.read).bytes(rest.to_owned()).cut()
    };
    // Of what protocol the upstream is decides how much of the end may be missing.
    let short = |scene: &crate::provider::Scene| {
        let at = events(scene.protocol)[..finish(scene.protocol)].concat().len();
        at as isize - events(scene.protocol).concat().len() as isize
    };
    let long = |size: usize| format!("data: {{\"padding\":\"{}\"}}\n\n", "x".repeat(size));
    let endless = move |count: fn(Protocol) -> usize| {
        move |scene: &crate::provider::Scene| {
            scene.stream_until(count(scene.protocol)).frame(long(17 << 20)).end()
        }
    };
    let of_streams = |row: Row| row.in_modes(&Mode::OF_STREAMS);
    vec![
        of_streams(Row::new("content-length too short", Stage::AtTheEnd, Fails(502), move |scene| {
            sized(short(scene), scene)
        })),
        of_streams(Row::new("content-length too long", Stage::AfterTheEnd, Nothing, move |scene| {
            sized(9, scene)
        })),
        of_streams(Row::new("event of 17 MiB", Stage::BeforeContent, Fails(502), endless(|p| begun(p) - 1)))
            .costly(),
        of_streams(Row::new("event of 17 MiB", Stage::MidStream, Fails(502), endless(begun))).costly(),
    ]
}
