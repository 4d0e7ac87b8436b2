use proptest::prelude::*;

use super::{Piece, ThinkTags};
use crate::protocol::canonical::{Citation, TokenLogprob};
use crate::protocol::json::Str;

/// The reasoning and the text among deltas whose escaped text is given, and whether they came in this order.
fn split<'s>(deltas: impl IntoIterator<Item = &'s str>) -> (String, String) {
    let mut tags = ThinkTags::new(true);
    let (mut thought, mut text) = (Str::EMPTY, Str::EMPTY);
    let mut take = |piece: Piece| match piece {
        Piece::Reasoning(more) => {
            assert!(text.is_empty(), "reasoning after the answer");
            thought.push(&more);
        }
        Piece::Text(more) => text.push(&more),
    };
    for delta in deltas {
        tags.push(&Str::from_escaped(delta)).into_iter().for_each(&mut take);
        assert!(tags.text.held.len() < 500, "{} bytes held", tags.text.held.len());
    }
    tags.flush().into_iter().for_each(&mut take);
    assert!(!tags.is_holding());
    (thought.decode().into_owned(), text.decode().into_owned())
}

#[test]
fn what_a_model_thinks_before_its_answer_is_not_shown_as_the_answer() {
    for (said, thought, text) in [
        ("<think>a</think>b", "a", "b"),
        (r"\n <think>\n\na <b> </ c\n</think>\n\nd <think>e</think>", "a <b> </ c\n", "d <think>e</think>"),
        // A model that was told not to think.
        (r"<think>\n\n</think>\n\nb", "", "b"),
        // As PHP and Go escape it.
        (r"\u003cthink\u003ea\u003c\/think\u003eb", "a", "b"),
        (r"<think>\ud83d\ude00<</think>>\ud83d\ude00", "😀<", ">😀"),
        // Cut off.
        ("<think>a</thi", "a</thi", ""),
        ("<think>", "", ""),
        ("<thi", "", "<thi"),
    ] {
        assert_eq!(split([said]), (thought.to_owned(), text.to_owned()), "{said}");
    }
}

#[test]
fn an_answer_about_the_tags_stays_whole() {
    let blank = " ".repeat(65);
    for text in ["Write <think>a</think>.", " a", "<thinking>a</thinking>", "< think>a", "</think>a", &blank]
    {
        assert_eq!(split([text]), (String::new(), text.to_owned()));
    }
    let late = format!("{blank}<think>a</think>b");
    assert_eq!(split([late.as_str()]), (String::new(), late.clone()));
    let in_time = late.get(1..).unwrap();
    assert_eq!(split([in_time]), ("a".to_owned(), "b".to_owned()));
}

fn token(text: &str) -> TokenLogprob<'static> {
    TokenLogprob { token: Str::from(text.to_owned()), ..TokenLogprob::default() }
}

/// The tokens of visible text, which come in lists as long as these.
fn visible(tokens: &[&str], long: usize) -> Vec<String> {
    let mut tags = ThinkTags::new(true);
    let mut seen = Vec::new();
    for tokens in tokens.chunks(long) {
        seen.extend(tags.visible(tokens.iter().map(|text| token(text)).collect()));
    }
    seen.extend(tags.waiting());
    seen.iter().map(|token| token.token.decode().into_owned()).collect()
}

#[test]
fn probabilities_are_those_of_the_visible_text() {
    for long in 1..8 {
        let thinking = ["<th", "ink>", "\n", "Hm", ".</", "think>\n", "\n", "", "Yes", "."];
        assert_eq!(visible(&thinking, long), ["Yes", "."]);
        assert_eq!(visible(&["<think>a</think>b", "c"], long), ["<think>a</think>b", "c"]);
        assert_eq!(visible(&["", "\n", "<th", "ree", ">"], long), ["", "\n", "<th", "ree", ">"]);
        assert_eq!(visible(&["<th"], long), ["<th"]);
    }
    assert_eq!(visible(&[""; 300], 7).len(), 300, "tokens that say nothing are not held for ever");
}

#[test]
fn sources_stand_where_their_words_are_without_the_reasoning() {
    let placed = |said: &str, range| {
        let mut tags = ThinkTags::new(true);
        tags.push(&Str::from_escaped(said));
        let mut citation = Citation { url: "u".into(), title: None, cited_text: None, range: Some(range) };
        tags.place(&mut citation);
        citation.range
    };
    let said = r"\n<think>\nä\n</think>\n\nab";
    assert_eq!(placed(said, (21, 23)), Some((0, 2)));
    assert_eq!(placed(said, (3, 22)), Some((0, 1)));
    assert_eq!(placed(said, (3, 9)), None);
    assert_eq!(placed("ab", (0, 0)), Some((0, 0)));
}

proptest! {
    #[test]
    fn where_deltas_end_makes_no_difference(
        said in prop::collection::vec(prop_oneof![
            Just("<think>"), Just("</think>"), Just("<"), Just("</"), Just("think>"), Just(r"\n"), Just(" "),
            Just(r"\u003c"), Just(r"\/"), Just("ä"), Just("🦀"), Just(r"\\"), Just("t"),
        ], 0..12),
        cuts in prop::collection::vec(any::<bool>(), 200),
    ) {
        let whole = said.concat();
        let mut deltas = vec![String::new()];
        let mut rest = whole.as_str();
        let mut cuts = cuts.into_iter();
        while let Some((long, _)) = super::first(rest) {
            let (head, tail) = rest.split_at(long);
            if cuts.next().unwrap_or(false) {
                deltas.push(String::new());
            }
            deltas.last_mut().unwrap().push_str(head);
            rest = tail;
        }
        prop_assert_eq!(split(deltas.iter().map(String::as_str)), split([whole.as_str()]));
    }
}
