use proptest::prelude::*;

use super::*;
use crate::protocol::canonical::{Citation, ErrorView, FaultKind};
use crate::protocol::json::Number;

fn sequences(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

/// What comes out, in words.
#[derive(Default)]
struct Log {
    words: Vec<String>,
    text: String,
}

impl Log {
    fn take(&mut self, event: &Event<'_>) {
        self.words.push(match event {
            Event::PartStart { choice, part, header } => {
                let kind = if matches!(header, PartHeader::Text) { "text" } else { "other" };
                format!("start {choice}.{part} {kind}")
            }
            Event::Delta { choice, part, delta: Delta::Text(text) } => {
                assert!(!text.is_empty(), "a delta with nothing in it");
                if *choice == 0 {
                    self.text.push_str(&text.decode());
                }
                format!("{choice}.{part} {}", text.decode())
            }
            Event::Delta { delta: Delta::Logprobs(tokens), .. } => {
                let tokens: Vec<_> = tokens.iter().map(|token| token.token.decode()).collect();
                format!("tokens {}", tokens.join("|"))
            }
            Event::Delta { .. } => "delta".to_owned(),
            Event::PartMeta { .. } => "meta".to_owned(),
            Event::PartEnd { choice, part, .. } => format!("end {choice}.{part}"),
            Event::Finish { choice, finish } => {
                let sequence = finish.stop_sequence.as_ref().map(|text| text.decode().into_owned());
                format!("finish {choice} {:?} {sequence:?}", finish.reason)
            }
            Event::Usage(usage) => format!("usage {}", usage.is_output_estimated),
            Event::End => "over".to_owned(),
            Event::Error(_) => "error".to_owned(),
            Event::Start { .. } | Event::Ping => return,
        });
    }
}

fn start(choice: u32, part: u32) -> Event<'static> {
    Event::PartStart { choice, part, header: PartHeader::Text }
}

fn text(choice: u32, part: u32, text: &str) -> Event<'_> {
    Event::Delta { choice, part, delta: Delta::Text(Str::from(text)) }
}

fn end(choice: u32, part: u32) -> Event<'static> {
    Event::PartEnd { choice, part, complete: true }
}

fn finish(choice: u32) -> Event<'static> {
    Event::Finish { choice, finish: Finish::new(FinishReason::Stop) }
}

fn reasoning(part: u32) -> Event<'static> {
    Event::PartStart { choice: 0, part, header: PartHeader::Reasoning }
}

fn citation(part: u32) -> Event<'static> {
    let citation = Citation { url: "u".into(), title: None, cited_text: None, range: None };
    Event::Delta { choice: 0, part, delta: Delta::Citation(citation) }
}

fn run(stops: &[&str], choices: usize, events: Vec<Event<'_>>) -> Vec<String> {
    let mut filter = StopFilter::new(&sequences(stops), choices);
    let mut log = Log::default();
    for event in events {
        filter.event(event, &mut |event| log.take(&event));
    }
    log.words
}

#[test]
fn t141_an_answer_ends_before_the_sequence_and_names_it() {
    let words = run(
        &["END", "other"],
        1,
        vec![
            start(0, 0),
            text(0, 0, "a E"),
            text(0, 0, "N"),
            text(0, 0, "D rest"),
            end(0, 0),
            Event::PartStart {
                choice: 0,
                part: 1,
                header: PartHeader::ToolCall { id: "i".into(), name: "n".into(), custom: false },
            },
            finish(0),
            Event::End,
        ],
    );
    let want =
        ["start 0.0 text", "0.0 a ", "end 0.0", "finish 0 StopSequence Some(\"END\")", "usage true", "over"];
    assert_eq!(words, want);
}

#[test]
fn what_only_looked_like_a_beginning_is_delivered() {
    for close in [vec![end(0, 0), finish(0), Event::End], vec![end(0, 0), reasoning(1)]] {
        let mut events = vec![start(0, 0), text(0, 0, "1 \n"), text(0, 0, "\nHum")];
        events.extend(close);
        let words = run(&["\n\nHuman:"], 1, events);
        assert_eq!(words[..4], ["start 0.0 text", "0.0 1 ", "0.0 \n\nHum", "end 0.0"]);
        assert_ne!(words[4], "finish 0 StopSequence None");
    }
    let broken = Event::Error(ErrorView::new(FaultKind::BadUpstream, "cut"));
    let words = run(&["END"], 1, vec![start(0, 0), text(0, 0, "EN"), broken]);
    assert_eq!(words, ["start 0.0 text", "0.0 EN", "error"], "nothing is closed before an error");
}

#[test]
fn text_goes_on_in_the_next_part_but_not_behind_anything_else() {
    let split = vec![start(0, 0), text(0, 0, "a E"), end(0, 0), start(0, 1), text(0, 1, "ND"), end(0, 1)];
    let words = run(&["END"], 1, split);
    assert_eq!(words[..4], ["start 0.0 text", "0.0 a ", "end 0.0", "finish 0 StopSequence Some(\"END\")"]);
    let whole = vec![start(0, 0), text(0, 0, "a"), end(0, 0), start(0, 1), text(0, 1, "END"), end(0, 1)];
    let words = run(&["END"], 1, whole);
    assert_eq!(
        words[..4],
        ["start 0.0 text", "0.0 a", "end 0.0", "finish 0 StopSequence Some(\"END\")"],
        "no empty part"
    );
    let apart = vec![
        start(0, 0),
        text(0, 0, "E"),
        end(0, 0),
        reasoning(1),
        text(0, 1, "END"),
        end(0, 1),
        start(0, 2),
        text(0, 2, "ND"),
        end(0, 2),
        finish(0),
    ];
    let words = run(&["END"], 1, apart);
    let want = [
        "start 0.0 text",
        "0.0 E",
        "end 0.0",
        "start 0.1 other",
        "0.1 END",
        "end 0.1",
        "start 0.2 text",
        "0.2 ND",
        "end 0.2",
        "finish 0 Stop None",
    ];
    assert_eq!(words, want, "reasoning is not visible text");
}

#[test]
fn sources_stay_behind_the_words_that_rest_on_them() {
    let events = vec![
        start(0, 0),
        citation(0),
        text(0, 0, "so E"),
        citation(0),
        text(0, 0, "x"),
        citation(0),
        text(0, 0, "END"),
    ];
    let words = run(&["END"], 1, events);
    assert_eq!(words[..6], ["start 0.0 text", "delta", "0.0 so ", "0.0 E", "delta", "0.0 x"]);
    assert_eq!(words[6..8], ["delta", "end 0.0"]);
}

#[test]
fn tokens_beyond_the_end_are_not_told_either() {
    let tokens = |part: u32, texts: &[&str]| {
        let tokens = texts.iter().map(|text| TokenLogprob {
            token: Str::from((*text).to_owned()),
            logprob: Number::from_json("-0.5"),
            bytes: None,
            top: Vec::new(),
        });
        Event::Delta { choice: 0, part, delta: Delta::Logprobs(tokens.collect()) }
    };
    let events = vec![
        start(0, 0),
        tokens(0, &["so", " E"]),
        text(0, 0, "so E"),
        tokens(0, &["N"]),
        text(0, 0, "N"),
        tokens(0, &["D", " more"]),
        text(0, 0, "D more"),
    ];
    let words = run(&["END"], 1, events);
    // What was passed on with its text cannot be taken back.
    assert_eq!(words[..4], ["start 0.0 text", "tokens so| E", "0.0 so ", "end 0.0"]);
    let words = run(&["END"], 1, vec![start(0, 0), tokens(0, &["a", "E", "ND"]), text(0, 0, "aEND")]);
    assert_eq!(words[..4], ["start 0.0 text", "tokens a", "0.0 a", "end 0.0"]);
    let words = run(&["END"], 1, vec![start(0, 0), text(0, 0, "a"), tokens(0, &["END"]), text(0, 0, "END")]);
    assert_eq!(words[..3], ["start 0.0 text", "0.0 a", "end 0.0"]);
}

#[test]
fn each_choice_has_its_own_end_and_the_last_one_ends_the_answer() {
    let events = vec![
        start(0, 0),
        text(0, 0, "aEND"),
        start(1, 0),
        text(1, 0, "b"),
        text(0, 0, "unwanted"),
        text(1, 0, "c"),
        end(1, 0),
        finish(1),
        text(0, 0, "unwanted"),
    ];
    let words = run(&["END"], 2, events);
    assert_eq!(words[3], "finish 0 StopSequence Some(\"END\")");
    let rest = ["start 1.0 text", "1.0 b", "1.0 c", "end 1.0", "finish 1 Stop None", "usage true", "over"];
    assert_eq!(words[4..], rest);
}

#[test]
fn a_stream_of_beginnings_is_not_kept() {
    let mut filter = StopFilter::new(&sequences(&["END"]), 1);
    filter.event(start(0, 0), &mut |_| {});
    filter.event(text(0, 0, "E"), &mut |_| {});
    for _ in 0..10_000 {
        filter.event(citation(0), &mut |_| {});
        assert!(filter.choices[0].waiting.len() <= MOST_WAITING);
    }
}

#[test]
fn t141_only_what_an_upstream_does_not_take_is_taken_over() {
    let many: Vec<String> = (0..70).map(|n| format!("stop{n}")).collect();
    let long = "x".repeat(LONGEST + 1);
    for (upstream, given, sent, taken) in [
        (Protocol::Responses, vec!["a", "", "b"], vec![""], vec!["a", "b"]),
        (Protocol::OpenAi, vec!["a", "b", "c", "d", "\n"], vec!["a", "b", "c", "d"], vec!["\n"]),
        (Protocol::Gemini, vec!["1", "2", "3", "4", "5", "6"], vec!["1", "2", "3", "4", "5"], vec!["6"]),
        (Protocol::Anthropic, vec!["a", "\n\n", "b"], vec!["a", "b"], vec!["\n\n"]),
        (Protocol::Responses, vec![&long, "a"], vec![&long], vec!["a"]),
        (
            Protocol::Responses,
            many.iter().map(String::as_str).collect(),
            many[64..].iter().map(String::as_str).collect(),
            many[..64].iter().map(String::as_str).collect(),
        ),
    ] {
        let mut stop: Vec<Str<'_>> = given.into_iter().map(Str::from).collect();
        let mut losses = Losses::default();
        assert_eq!(take_untaken(&mut stop, upstream, &mut losses), taken);
        assert_eq!(stop, sent);
        assert_eq!(losses.header(), "emulate:stop");
    }
    let mut few = vec![Str::from("a")];
    let mut losses = Losses::default();
    assert!(take_untaken(&mut few, Protocol::OpenAi, &mut losses).is_empty() && losses.is_empty());
}

/// Up to the first sequence that is complete, by trying every place.
fn expected(stops: &[String], text: &str) -> (String, Option<String>) {
    for end in 0..=text.len() {
        let Some(head) = text.get(..end) else { continue };
        if let Some(stop) = stops.iter().filter(|stop| head.ends_with(*stop)).max_by_key(|stop| stop.len()) {
            return (head[..end - stop.len()].to_owned(), Some(stop.clone()));
        }
    }
    (text.to_owned(), None)
}

proptest! {
    #[test]
    fn wherever_text_is_cut_the_answer_is_the_same_and_little_is_held(
        stops in prop::collection::vec("[ab\u{e9}\n]{1,6}", 1..4),
        deltas in prop::collection::vec(("[ab\u{e9}\n\"\u{1f600}]{1,5}", any::<bool>()), 0..12),
    ) {
        let whole: String = deltas.iter().map(|(text, _)| text.as_str()).collect();
        let longest = stops.iter().map(String::len).max().unwrap();
        let mut filter = StopFilter::new(&stops, 1);
        let mut log = Log::default();
        let (mut part, mut given) = (0, 0);
        let mut take = |filter: &mut StopFilter, event: Event<'_>, given: usize| {
            filter.event(event, &mut |event| log.take(&event));
            let held: usize = filter.choices.iter().map(|choice| choice.held.len()).sum();
            assert!(held < longest);
            if !filter.has_cut() {
                assert_eq!(log.text.len() + held, given);
            }
        };
        take(&mut filter, start(0, 0), 0);
        for (delta, is_last_of_part) in &deltas {
            given += delta.len();
            take(&mut filter, text(0, part, delta), given);
            if *is_last_of_part {
                take(&mut filter, end(0, part), given);
                part += 1;
                take(&mut filter, start(0, part), given);
            }
        }
        take(&mut filter, end(0, part), given);
        take(&mut filter, finish(0), given);
        take(&mut filter, Event::End, given);
        let (before, stop) = expected(&stops, &whole);
        prop_assert_eq!(&log.text, &before);
        let reason = if stop.is_some() { "StopSequence" } else { "Stop" };
        let want = format!("finish 0 {reason} {stop:?}");
        let finishes = log.words.iter().filter(|word| word.starts_with("finish"));
        prop_assert_eq!(finishes.collect::<Vec<_>>(), [&want]);
        prop_assert_eq!(log.words.last().map(String::as_str), Some("over"));
        prop_assert_eq!(filter.is_over(), stop.is_some());
        // Parts open and close in turn, and none is empty but the last, which the upstream itself left empty.
        let mut open = None;
        for word in &log.words {
            if let Some(part) = word.strip_prefix("start ") {
                prop_assert!(open.replace(part.trim_end_matches(" text").to_owned()).is_none());
            } else if let Some(part) = word.strip_prefix("end ") {
                prop_assert_eq!(open.take(), Some(part.to_owned()));
            }
        }
        prop_assert!(open.is_none());
    }
}
