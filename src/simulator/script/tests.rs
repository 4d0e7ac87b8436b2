use super::*;
use serde_json::json;

fn cues() -> Cues<'static> {
    Cues { ids: Ids::new(0, b""), filler: None, blank: false, filtered: false, agent: false, search: false }
}

fn ask(user: &str) -> Ask {
    let mut ask = Ask { model: "m".into(), parallel: true, ..Ask::default() };
    ask.user(user);
    ask
}

fn weather() -> Tool {
    let schema = json!({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]});
    Tool { name: "weather".into(), schema, custom: false, namespace: None }
}

#[test]
fn the_answer_echoes_what_arrived() {
    let mut ask = ask("hello there");
    ask.system("be brief");
    ask.images = 2;
    let answer = answer(&ask, cues());
    assert_eq!(answer.text, "You said: hello there [system: be brief] [images: 2] This is m speaking. 🦀");
    assert_eq!(answer.usage, Usage { input: 4, output: 14, reasoning: 0 });
    assert_eq!(answer.pieces().concat(), answer.text);
    assert_eq!(answer.pieces().len(), 14);
}

#[test]
fn a_new_turn_replaces_the_old_one() {
    let mut ask = ask("first");
    ask.assistant("yes");
    ask.result(&["sunny"]);
    ask.assistant("sunny it is");
    ask.user("second");
    assert!(answer(&ask, cues()).text.starts_with("You said: second This"));
}

#[test]
fn tools_are_called_then_quoted() {
    let mut ask = ask("weather city=Paris");
    ask.tools = vec![weather()];
    let first = answer(&ask, cues());
    assert_eq!(first.calls.len(), 1);
    assert_eq!(first.calls[0].arguments, r#"{"city":"Paris"}"#);
    assert_eq!(first.finish, Finish::Calls);
    ask.assistant("");
    ask.result(&["sunny", "warm"]);
    let second = answer(&ask, cues());
    assert!(second.text.starts_with("The tool said: sunny warm This is"), "{}", second.text);
    assert!(second.calls.is_empty());
}

#[test]
fn parallel_calls_take_two_tools_or_one_twice() {
    let mut ask = ask("Parallel city=Paris city=Rome");
    ask.tools = vec![weather()];
    let both = answer(&ask, cues()).calls;
    assert_eq!(both[1].arguments, r#"{"city":"Rome"}"#);
    ask.tools.push(Tool { name: "time".into(), ..weather() });
    let both = answer(&ask, cues()).calls;
    assert_eq!((both[0].name.as_str(), both[1].name.as_str()), ("weather", "time"));
    assert_eq!(both[1].arguments, r#"{"city":"Paris"}"#);
    ask.parallel = false;
    assert_eq!(answer(&ask, cues()).calls.len(), 1);
    ask.choice = Choice::Named("time".into());
    assert_eq!(answer(&ask, cues()).calls[0].name, "time");
    ask.choice = Choice::None;
    assert!(answer(&ask, cues()).calls.is_empty());
}

#[test]
fn stop_sequences_and_lengths_cut() {
    let mut ask = ask("one two three");
    ask.stop = vec!["three".into(), "two".into()];
    let cut = answer(&ask, cues());
    assert_eq!((cut.text.as_str(), &cut.finish), ("You said: one ", &Finish::StopSequence("two".into())));
    ask.max_tokens = Some(2);
    let cut = answer(&ask, cues());
    assert_eq!((cut.text.as_str(), &cut.finish), ("You said:", &Finish::Length));
    assert_eq!(cut.usage.output, 2);
    ask.reasoning = Reasoning::Shown;
    let cut = answer(&ask, cues());
    assert_eq!((cut.reasoning.as_deref(), cut.text.as_str()), (Some("The user"), ""));
    assert_eq!(cut.finish, Finish::Length);
}

#[test]
fn exactly_enough_tokens_is_a_stop() {
    let mut ask = ask("hi");
    let whole = answer(&ask, cues());
    ask.max_tokens = Some(whole.usage.output as u64);
    assert_eq!(answer(&ask, cues()).finish, Finish::Stop);
}

#[test]
fn a_format_is_filled_in() {
    let mut ask = ask("name=Ada");
    ask.format = Some(weather().schema);
    assert_eq!(answer(&ask, cues()).text, r#"{"city":"sample"}"#);
}

#[test]
fn filler_has_the_size_and_pieces_asked_for() {
    let filler = Filler::new(Some(1000), Some(10)).unwrap();
    let long = answer(&ask("hi"), Cues { filler: Some(&filler), ..cues() });
    assert_eq!((long.text.len(), long.pieces().len()), (1000, 10));
    let filler = Filler::new(None, Some(100)).unwrap();
    let long = answer(&ask("hi"), Cues { filler: Some(&filler), ..cues() });
    assert_eq!(long.pieces().len(), 100);
    assert!(Filler::new(None, None).is_none());
}

#[test]
fn a_long_text_is_bounded_in_the_echo() {
    let long = answer(&ask(&"é".repeat(10_000)), cues());
    assert!(long.text.chars().count() < 500, "{}", long.text.len());
    assert!(long.text.contains('…'));
}
