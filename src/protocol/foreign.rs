//! What other providers left in a conversation, and its present provider would refuse (T104, T105, T132).
//!
//! A client sends its history back as it got it. When a conversation has moved from one provider to another, there
//! is reasoning in it that only its maker can read, in an envelope of ours (1.8), and sources and findings of searches
//! that only Anthropic could have signed. Where client and upstream speak the same protocol, just these are taken out; every other byte
//! stays the client's.

use super::canonical::{Losses, envelope};
use super::json::{self, Error, Reader, Span, Str};
use super::{Protocol, Target, anthropic, gemini, responses};

/// A body without what other providers left.
#[derive(Debug)]
pub struct Cleaned {
    /// The body.
    pub body: Vec<u8>,
    /// What was taken out of it.
    pub losses: Losses,
}

/// Takes out of a request what other providers left; `None` if there is nothing, which a glance tells. Only if there
/// is something the target is asked for.
#[must_use]
pub fn without_foreign<'t>(
    protocol: Protocol,
    body: &[u8],
    target: impl FnOnce() -> Target<'t>,
) -> Option<Cleaned> {
    let is_suspect = match protocol {
        Protocol::Anthropic => envelope::is_within(body) || anthropic::request::has_unsigned_source(body),
        Protocol::Responses | Protocol::Gemini => envelope::is_within(body),
        // What stands in the extensions of Chat means nothing to servers.
        Protocol::OpenAi => false,
    };
    if !is_suspect {
        return None;
    }
    // What cannot be read is the upstream's to judge.
    let mut reader = Reader::from_bytes(body).ok()?;
    let mut cuts = Cuts::default();
    match protocol {
        Protocol::Anthropic => anthropic::request::cut_foreign(&mut reader, &mut cuts),
        Protocol::Responses => responses::request::cut_foreign(&mut reader, &mut cuts),
        Protocol::Gemini => gemini::request::cut_foreign(&mut reader, &target(), &mut cuts),
        Protocol::OpenAi => Ok(()),
    }
    .ok()?;
    let Cuts { edits, losses } = cuts;
    (!edits.is_empty()).then(|| Cleaned { body: json::splice(body, edits), losses })
}

/// Whether a provider's state is in an envelope: it is not the present provider's own.
pub(super) fn is_foreign(state: Option<&Str<'_>>) -> bool {
    state.is_some_and(|state| envelope::open(state).is_some())
}

/// The edits of one body.
#[derive(Debug, Default)]
pub(super) struct Cuts {
    edits: Vec<(Span, Vec<u8>)>,
    pub(super) losses: Losses,
}

impl Cuts {
    /// Puts `new` in the place of a value.
    pub(super) fn replace(&mut self, span: Span, new: &str) {
        self.edits.push((span, new.as_bytes().to_vec()));
    }

    /// Takes those elements out of a list that `goes` names; whether none is left of several. What `goes` edits
    /// within an element that stays is kept. Anything but a list is passed over.
    pub(super) fn list(
        &mut self,
        list: &mut Reader<'_>,
        mut goes: impl FnMut(&mut Reader<'_>, &mut Self) -> Result<bool, Error>,
    ) -> Result<bool, Error> {
        let mut elements: Vec<(Span, bool)> = Vec::new();
        let outer = self.edits.len();
        list.lenient_array(|element| {
            let (start, inner) = (element.offset(), self.edits.len());
            let gone = goes(&mut element.clone(), self)?;
            element.skip()?;
            if gone {
                self.edits.truncate(inner);
            }
            elements.push((start..element.offset(), gone));
            Ok::<_, Error>(())
        })?;
        let Some(last) = elements.iter().rposition(|(_, gone)| !gone) else {
            self.edits.truncate(outer);
            return Ok(!elements.is_empty());
        };
        // Each goes with the comma behind it, and those at the end with the comma before them.
        for pair in elements.get(..=last).unwrap_or_default().windows(2) {
            if let [(here, true), (next, _)] = pair {
                self.replace(here.start..next.start, "");
            }
        }
        if let (Some((kept, _)), Some((end, true))) = (elements.get(last), elements.last()) {
            self.replace(kept.end..end.end, "");
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::canonical::{Opaque, OpaqueKind, Provider};

    /// An envelope as another provider's answer leaves it with the client.
    fn sealed() -> String {
        let state = Opaque::new(Provider::OpenAi, OpaqueKind::EncryptedContent, Str::from("gAAAAB"));
        envelope::seal(&state, &Str::EMPTY).as_escaped().to_owned()
    }

    /// What is left of a body in which `~` stands for an envelope, and what was lost.
    fn cut(protocol: Protocol, body: &str) -> Option<(String, String)> {
        cut_for("gemini-3-pro", protocol, body)
    }

    fn cut_for(model: &str, protocol: Protocol, body: &str) -> Option<(String, String)> {
        let envelope = sealed();
        let body = body.replace('~', &envelope);
        let cleaned = without_foreign(protocol, body.as_bytes(), || Target::new(model))?;
        let left = String::from_utf8(cleaned.body).unwrap().replace(&envelope, "~");
        Some((left, cleaned.losses.header()))
    }

    fn reasoning_is_lost(protocol: Protocol, body: &str, left: &str) {
        assert_eq!(cut(protocol, body), Some((left.to_owned(), "drop:reasoning".to_owned())), "{body}");
    }

    #[test]
    fn t104_only_foreign_reasoning_goes_and_every_other_byte_stays() {
        let body = |list: &str| {
            format!(
                r#" {{"n":1.10, "messages":[{{"role":"user","content":"\u0068i"}},{{"content" : [{list}] ,"role":"assistant"}}, {{"role":"user","content":"~"}}],"x":[ ]}}"#
            )
        };
        let ours = r#"{"type":"thinking","thinking":"Hm.","signature":"~"}"#;
        let hidden = r#"{"data":"~","type":"redacted_thinking"}"#;
        let own = r#"{"type":"thinking","thinking":"Hm.","signature":"EqQB"}"#;
        let text = r#"{"type":"text","text":"~","citations":[{"encrypted_index":"Eo8B"}]}"#;
        for (list, left) in [
            (format!("{ours} , {text}"), text.to_owned()),
            (format!(" {text},{ours} "), format!(" {text} ")),
            (format!("{text}, {ours},{own}"), format!("{text}, {own}")),
            (format!("{ours},{hidden},{text},{hidden},{ours}"), text.to_owned()),
            (format!("{own},{hidden},\n{hidden},{text}"), format!("{own},{text}")),
        ] {
            reasoning_is_lost(Protocol::Anthropic, &body(&list), &body(&left));
        }
        for same in [
            own,
            text,
            r#"{"type":"thinking","thinking":"~"}"#,
            r#"{"type":"tool_use","input":{"data":"~"}}"#,
        ] {
            assert_eq!(cut(Protocol::Anthropic, &body(same)), None, "{same}");
        }
    }

    #[test]
    fn t104_a_turn_of_foreign_reasoning_alone_is_no_turn() {
        let body = r#"{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":[{"type":"thinking","thinking":"","signature":"~"}]},{"role":"user","content":"b"}]}"#;
        let left = r#"{"messages":[{"role":"user","content":"a"},{"role":"user","content":"b"}]}"#;
        reasoning_is_lost(Protocol::Anthropic, body, left);
        let body = r#"{"contents":[{"parts":[{"text":"a"}]},{"role":"model","parts":[{"text":"b","thought":true,"thoughtSignature":"~"}]}]}"#;
        let left = r#"{"contents":[{"parts":[{"text":"a"}]}]}"#;
        reasoning_is_lost(Protocol::Gemini, body, left);
    }

    #[test]
    fn t104_a_run_of_calls_that_lost_its_reasoning_is_sent_without_thinking() {
        let body = |thinking: &str, turns: &str| {
            format!(r#"{{"messages":[{{"role":"user","content":"go"}},{turns}],"thinking":{thinking} }}"#)
        };
        let call = r#"{"type":"tool_use","id":"t","name":"f","input":{}}"#;
        let turn = |blocks: &str| format!(r#"{{"role":"assistant","content":[{blocks}]}}"#);
        let result = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"1"}]}"#;
        let spoken = r#"{"role":"user","content":[{"type":"tool_result","tool_use_id":"t","content":"1"},{"type":"text","text":"And?"}]}"#;
        let foreign = turn(&format!(r#"{{"type":"thinking","thinking":"","signature":"~"}},{call}"#));
        let own = turn(&format!(r#"{{"type":"thinking","thinking":"","signature":"EqQB"}},{call}"#));
        let (enabled, disabled) = (r#"{"budget_tokens":2000,"type":"enabled"}"#, r#"{"type":"disabled"}"#);
        let adaptive = r#"{"type":"adaptive"}"#;
        let bare = turn(call);
        for (turns, left, thinking, thinking_left) in [
            (format!("{foreign},{result}"), format!("{bare},{result}"), enabled, disabled),
            (
                format!("{foreign},{result},{own},{result}"),
                format!("{bare},{result},{own},{result}"),
                enabled,
                disabled,
            ),
            // A run that starts with its own reasoning is whole, and so is a new one after the user has spoken.
            (
                format!("{own},{result},{foreign},{result}"),
                format!("{own},{result},{bare},{result}"),
                enabled,
                enabled,
            ),
            (format!("{foreign},{spoken}"), format!("{bare},{spoken}"), enabled, enabled),
            (format!("{foreign},{result}"), format!("{bare},{result}"), adaptive, adaptive),
        ] {
            reasoning_is_lost(Protocol::Anthropic, &body(thinking, &turns), &body(thinking_left, &left));
        }
    }

    #[test]
    fn t100_calls_of_other_providers_are_signed_for_models_that_demand_it() {
        let mark = envelope::seal(&Opaque::NOTHING, &Str::EMPTY);
        let mark = mark.as_escaped();
        let body =
            |parts: &str| format!(r#"{{"n":1.10,"contents":[{{"role":"model","parts":[{parts}] }}]}}"#);
        let call = r#""functionCall" : {"name":"f","args":{"thoughtSignature":"~","n":1.10}}"#;
        let sentinel = r#""skip_thought_signature_validator""#;
        let own = format!(r#"{{{call},"thoughtSignature":"EqQB"}}"#);
        for (written, signed, bare) in [
            (
                format!(r#"{{ {call} , "thoughtSignature" : MARK }}"#),
                format!(r#"{{ {call} , "thoughtSignature" : {sentinel} }}"#),
                format!("{{ {call} }}"),
            ),
            (
                format!(r#"{{ "thought_signature": MARK , {call}}}"#),
                format!(r#"{{ "thought_signature": {sentinel} , {call}}}"#),
                format!("{{ {call}}}"),
            ),
            (
                format!(r#"{{"x":null,"thoughtSignature":MARK,{call}}},{{{call}}},{own}"#),
                format!(r#"{{"x":null,"thoughtSignature":{sentinel},{call}}},{{{call}}},{own}"#),
                format!(r#"{{"x":null,{call}}},{{{call}}},{own}"#),
            ),
        ] {
            let written = body(&written.replace("MARK", &format!("\"{mark}\"")));
            // Nothing is lost: what stood there was never anybody's.
            let left = |parts: &str| Some((body(parts), String::new()));
            assert_eq!(cut_for("gemini-3-pro", Protocol::Gemini, &written), left(&signed));
            assert_eq!(cut_for("gemini-2.5-pro", Protocol::Gemini, &written), left(&bare));
        }
        let held = body(&format!(r#"{{{call},"thoughtSignature":"~"}}"#));
        let bare = body(&format!("{{{call}}}"));
        let lost = Some((bare, "drop:signature".to_owned()));
        assert_eq!(cut_for("gemini-2.5-pro", Protocol::Gemini, &held), lost, "state of somebody's");
        for same in [body(&own), body(&format!("{{{call}}}"))] {
            assert_eq!(cut(Protocol::Gemini, &same), None, "{same}");
        }
    }

    #[test]
    fn t105_reasoning_items_of_others_do_not_reach_openai() {
        let body = r#"{"input":[{"role":"user","content":"~"},{"type":"reasoning","summary":[],"encrypted_content":"~"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"reasoning","id":"rs_1","encrypted_content":"gAAAAA","summary":[]}]}"#;
        let left = r#"{"input":[{"role":"user","content":"~"},{"type":"function_call","call_id":"c","name":"f","arguments":"{}"},{"type":"reasoning","id":"rs_1","encrypted_content":"gAAAAA","summary":[]}]}"#;
        reasoning_is_lost(Protocol::Responses, body, left);
        for same in [
            r#"{"input":"~"}"#,
            r#"{"input":[{"type":"reasoning","summary":"~"}]}"#,
            r#"{"metadata":{"encrypted_content":"~"}}"#,
        ] {
            assert_eq!(cut(Protocol::Responses, same), None, "{same}");
        }
    }

    #[test]
    fn t132_sources_that_anthropic_never_signed_go() {
        let foreign = r#"{"type":"web_search_result_location","url":"u","title":"\u00e9","cited_text":"","encrypted_index": ""}"#;
        let own = r#"{"type":"web_search_result_location","encrypted_index":"Eo8B","n":1.10}"#;
        let body = |citations: &str| {
            format!(
                r#" {{"model":"m" ,"n":1.10,"messages":[{{"role":"user","content":"\"encrypted_index\":\"\""}},{{"role":"assistant","content":[{{"type":"text","text":"a","citations":{citations}}},{{"type":"text","text":"b"}}]}}]}}"#
            )
        };
        // They were the gateway's own words: nothing of the client's is lost.
        let gone = |citations: &str| Some((body(citations), String::new()));
        assert_eq!(cut(Protocol::Anthropic, &body(&format!("[{foreign}]"))), gone("null"));
        assert_eq!(
            cut(Protocol::Anthropic, &body(&format!("[{own} , {foreign}]"))),
            gone(&format!("[{own}]"))
        );
        assert_eq!(cut(Protocol::Anthropic, &body(&format!("[{foreign},{own}]"))), gone(&format!("[{own}]")));
        for same in [format!("[{own}]"), "null".to_owned(), "[]".to_owned(), "7".to_owned()] {
            assert_eq!(cut(Protocol::Anthropic, &body(&same)), None, "{same}");
        }
        // The same words elsewhere are the client's own.
        for same in [
            format!(
                r#"{{"messages":[{{"content":[{{"type":"tool_use","input":{{"citations":[{foreign}]}}}}]}}]}}"#
            ),
            format!(r#"{{"tools":[{{"citations":[{foreign}]}}]}}"#),
            format!(r#"{{"messages":[{{"content":[{{"citations":[{foreign}]"#),
            format!("[{foreign}]"),
        ] {
            assert_eq!(cut(Protocol::Anthropic, &same), None, "{same}");
        }
    }

    #[test]
    fn t132_searches_that_anthropic_never_ran_go_with_their_findings() {
        let body = |list: &str| {
            format!(
                r#"{{"thinking":{{"type":"enabled","budget_tokens":2000}},"messages":[{{"role":"user","content":"q"}},{{"role":"assistant","content":[{list}]}},{{"role":"user","content":"and?"}}]}}"#
            )
        };
        let call = |id: &str| {
            format!(r#"{{"type":"server_tool_use","id":"{id}","name":"web_search","input":{{"query":"q"}}}}"#)
        };
        let found = |id: &str, signed: &str| {
            let finding = format!(
                r#"{{"type":"web_search_result","url":"u","title":"t","encrypted_content":{signed},"page_age":null}}"#
            );
            format!(
                r#"{{"type":"web_search_tool_result","tool_use_id":"{id}","content":[{finding},{finding}]}}"#
            )
        };
        let ours = format!("{},{}", call("srvtoolu_1"), found("srvtoolu_1", r#" """#));
        let own = format!("{},{}", call("srvtoolu_2"), found("srvtoolu_2", r#""EqgfCio""#));
        let text = r#"{"type":"text","text":"a"}"#;
        // They were the gateway's own words: nothing of the client's is lost.
        for (list, left) in [
            (format!("{ours},{text}"), text.to_owned()),
            (format!("{text},{ours}"), text.to_owned()),
            (format!("{ours},{own},{text}"), format!("{own},{text}")),
        ] {
            assert_eq!(cut(Protocol::Anthropic, &body(&list)), Some((body(&left), String::new())), "{list}");
        }
        let emptied = r#"{"thinking":{"type":"enabled","budget_tokens":2000},"messages":[{"role":"user","content":"q"},{"role":"user","content":"and?"}]}"#;
        assert_eq!(cut(Protocol::Anthropic, &body(&ours)), Some((emptied.to_owned(), String::new())));
        let elsewhere = found("srvtoolu_1", r#""""#).replace("web_search_tool_result", "tool_result");
        for same in [own, format!("{},{elsewhere}", call("srvtoolu_1"))] {
            assert_eq!(cut(Protocol::Anthropic, &body(&same)), None, "{same}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_the_upstreams_to_judge() {
        for protocol in Protocol::ALL {
            for body in [
                "[]",
                "7",
                r#""~""#,
                r#"{"messages":"~","input":{"a":"~"},"contents":[7,"~",{"parts":"~"}]}"#,
                r#"{"messages":[{"content":["~",7,{}]},"~"]"#,
            ] {
                assert_eq!(cut(protocol, body), None, "{protocol} {body}");
            }
        }
    }
}
