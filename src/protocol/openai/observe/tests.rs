use super::*;
use crate::protocol::canonical::FaultKind;

fn see(state: &mut Observation, data: &str) -> Signal {
    event(&sse::Event { name: None, data: data.as_bytes().into() }, state)
}

#[test]
fn content_begins_with_what_means_something() {
    for (delta, content) in [
        (r#"{"role":"assistant","content":""}"#, false),
        (r#"{"role":"assistant","content":null,"tool_calls":[]}"#, false),
        ("{}", false),
        ("null", false),
        (r#"{"content":"x"}"#, true),
        (r#"{ "content" : "x" }"#, true),
        (r#"{"content":"\""}"#, true),
        (r#"{"content":"","reasoning_content":"x"}"#, true),
        (r#"{"content":"","reasoning":"x"}"#, true),
        (r#"{"reasoning_details":[{"type":"reasoning.encrypted","data":"x"}]}"#, true),
        (r#"{"refusal":"x"}"#, true),
        (r#"{"tool_calls":[{"index":0}]}"#, true),
        (r#"{"function_call":{"name":"f"}}"#, true),
    ] {
        for finish in [r#","finish_reason":null"#, ""] {
            let data =
                format!(r#"{{"id":"c","choices":[{{"index":0,"delta":{delta}{finish}}}],"usage":null}}"#);
            let signal = see(&mut Observation::default(), &data);
            assert_eq!(signal == Signal::Content, content, "{data}");
        }
    }
}

#[test]
fn t021_a_stream_may_end_after_its_finish_and_not_before() {
    let mut state = Observation::default();
    let delta = r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":null}]}"#;
    see(&mut state, delta);
    assert!(!state.may_end);
    let last = r#"{"choices":[{"index":0,"delta":{"content":"x"},"finish_reason":"stop"}]}"#;
    assert_eq!(see(&mut state, last), Signal::Content);
    assert!(state.may_end);
    see(&mut state, r#"{"choices":[{"index":1,"delta":{"content":"y"},"finish_reason":null}]}"#);
    assert!(!state.may_end, "the other choice has yet to finish");
    // Both under way, and only one of them is over: the first, or the second.
    for (over, open) in [(0, 1), (1, 0)] {
        let mut state = Observation::default();
        for index in [0, 1] {
            see(
                &mut state,
                &format!(
                    r#"{{"choices":[{{"index":{index},"delta":{{"content":"x"}},"finish_reason":null}}]}}"#
                ),
            );
        }
        let end =
            |index| format!(r#"{{"choices":[{{"index":{index},"delta":{{}},"finish_reason":"stop"}}]}}"#);
        see(&mut state, &end(over));
        assert!(!state.may_end, "choice {open} has yet to finish");
        see(&mut state, &end(open));
        assert!(state.may_end);
    }
    see(&mut state, r#"{"choices":[{"index":1,"delta":{},"finish_reason":"stop"}]}"#);
    // Counts may come with what is left of a choice that is over.
    let mut state = Observation::default();
    let of = |index: u8, delta: &str, finish: &str| {
        format!(r#"{{"choices":[{{"index":{index},"delta":{delta},"finish_reason":{finish}}}]}}"#)
    };
    for event in
        [of(0, r#"{"content":"x"}"#, r#""stop""#), of(1, r#"{"content":"x"}"#, "null"), of(0, "{}", "null")]
    {
        see(&mut state, &event);
        assert_eq!(state.may_end, event.contains("stop"), "{event}");
    }
    see(&mut state, &of(1, "{}", r#""stop""#));
    assert!(state.may_end, "both have ended");
    assert_eq!(see(&mut state, "[DONE] "), Signal::Quiet);
    assert!(state.may_end);
}

#[test]
fn t052_usage_is_seen_wherever_it_stands() {
    let mut state = Observation::default();
    see(
        &mut state,
        r#"{"choices":[{"delta":{"content":"x"}}],"usage":{"prompt_tokens":3,"completion_tokens":1}}"#,
    );
    see(&mut state, r#"{"choices":[{"delta":{"content":"x"}}],"usage": {"completion_tokens":2}}"#);
    assert_eq!((state.usage.input, state.usage.output), (Some(3), Some(2)));
    see(&mut state, r#"{"choices":[],"x_groq":{"usage":{"completion_tokens":5}}}"#);
    assert_eq!(state.usage.output, Some(5));
}

#[test]
fn t018_errors_are_seen_even_beside_content() {
    let mut state = Observation::default();
    let data =
        r#"{"error":{"message":"m","code":429},"choices":[{"delta":{"content":"x"},"finish_reason":null}]}"#;
    assert!(matches!(see(&mut state, data), Signal::Error(view) if view.kind == FaultKind::RateLimit));
    let quoted = r#"{"choices":[{"delta":{"content":"say \"error\": \"usage\""},"finish_reason":null}]}"#;
    assert_eq!(see(&mut state, quoted), Signal::Content);
    assert_eq!(see(&mut state, "half {"), Signal::Quiet);
}

#[test]
fn t018_an_answer_that_its_maker_broke_off_is_no_success() {
    for word in ["error", "abort", "insufficient_system_resource", "network_error"] {
        let mut state = Observation::default();
        let data =
            format!(r#"{{"choices":[{{"index":0,"delta":{{"content":"x"}},"finish_reason":"{word}"}}]}}"#);
        let signal = see(&mut state, &data);
        assert!(matches!(&signal, Signal::Error(view) if view.kind == FaultKind::BadUpstream), "{word}");
        assert!(!state.may_end, "{word}");
    }
    // What the upstream says of it is better than what we can.
    let said = r#"{"error":{"message":"m","code":429},"choices":[{"delta":{},"finish_reason":"error"}]}"#;
    for data in [
        said.to_owned(),
        r#"{"choices":[{"finish_reason":"error","error":{"message":"m","code":429}}]}"#.to_owned(),
    ] {
        let signal = see(&mut Observation::default(), &data);
        assert!(matches!(&signal, Signal::Error(view) if view.kind == FaultKind::RateLimit), "{data}");
    }
}

#[test]
fn what_came_before_a_delta_changes_nothing_about_it() {
    let delta = |text: &str| {
        format!(
            r#"{{"id":"c","choices":[{{"index":0,"delta":{{"content":"{text}"}},"finish_reason":null}}],"usage":null}}"#
        )
    };
    let events = [
        delta("x"),
        delta("y"),
        delta(r#"\"error\": \u00fc \\"#),
        delta("error"),
        delta(""),
        delta("z").replace("null", r#""stop""#),
        delta("z").replace(r#""usage":null"#, r#""usage":{"completion_tokens":3}"#),
        delta("z").replace(r#""index":0"#, r#""index":1"#),
        delta("z").replace("}}],", r#","tool_calls":[{"index":0}]}}],"#),
        delta("z").replace(r#""usage":null"#, r#""error":{"message":"m"}"#),
        delta("z").replace("content", "reasoning_content"),
        delta("z")[..40].to_owned(),
        delta("long ").replace("long ", &"long ".repeat(600)),
        delta("z").replace(r#""id":"c""#, &format!(r#""id":"{}""#, "c".repeat(3000))),
    ];
    for before in &events {
        for event in &events {
            let mut state = Observation::default();
            see(&mut state, before);
            let mut forgetful = Observation { plain: Around::default(), ..state.clone() };
            assert_eq!(see(&mut state, event), see(&mut forgetful, event), "{event} after {before}");
            assert_eq!(state.said, forgetful.said, "{event} after {before}");
            assert_eq!(state.may_end, forgetful.may_end, "{event} after {before}");
            let around = &state.plain;
            assert!(around.head.capacity() + around.tail.capacity() <= 2 * Around::MOST, "{event}");
        }
    }
    let mut state = Observation::default();
    see(&mut state, &events[0]);
    assert_eq!(state.plain.text_of(events[2].as_bytes()), Some(br#"\"error\": \u00fc \\"#.as_slice()));
    assert_eq!(state.plain.text_of(events[4].as_bytes()), None);
}
