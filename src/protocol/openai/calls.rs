//! Telling streamed tool calls apart, and knowing when one is whole (section 3.2).
//!
//! Official servers number calls by `index`; others send index 0 for all, none at all, a new id per
//! delta, or the whole call twice.

use std::collections::HashSet;

use crate::protocol::canonical::{IdSource, derived_id};
use crate::protocol::json::{Error, Kind, Reader, Str};

/// One entry of `delta.tool_calls`, as far as it tells calls apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fragment<'f> {
    /// `index`.
    pub index: Option<u64>,
    /// `id`, escaped; empty if absent.
    pub id: &'f str,
    /// The function's name, escaped; empty if absent.
    pub name: &'f str,
    /// The piece of arguments, escaped; empty if absent.
    pub arguments: &'f str,
    /// Where it stands.
    pub place: Place,
}

/// In which list an entry stands, counted from 1, and where in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    list: u64,
    at: usize,
}

impl Place {
    /// A new list has come: what stands for all of it.
    pub(super) fn next_list(&mut self) {
        *self = Place { list: self.list + 1, at: 0 };
    }

    /// The place of the next entry.
    pub(super) fn next(&mut self) -> Place {
        let place = *self;
        self.at += 1;
        place
    }
}

/// What is known of a call that has begun. Strings are kept escaped.
#[derive(Debug, Default)]
pub(super) struct Call {
    /// `index` of its first fragment.
    pub index: Option<u64>,
    /// Its first non-empty id.
    pub id: String,
    /// Its name; may come in pieces while no arguments have come.
    pub name: String,
    /// All arguments so far.
    pub arguments: String,
    /// Where its first fragment stood.
    begun: Place,
    /// The list with its last fragment.
    last_list: u64,
    scan: Scan,
}

impl Call {
    /// A call with this first fragment, which it does not take.
    pub(super) fn new(fragment: &Fragment<'_>) -> Self {
        Call { index: fragment.index, begun: fragment.place, ..Call::default() }
    }

    /// Whether the arguments are one whole JSON object or list.
    pub(super) fn is_complete(&self) -> bool {
        self.scan.complete
    }

    /// Takes over id and name of a fragment. The first id wins; a name grows only until arguments come.
    pub(super) fn identify(&mut self, fragment: &Fragment<'_>) {
        self.last_list = fragment.place.list;
        if self.id.is_empty() {
            self.id.push_str(fragment.id);
        }
        let grows = self.arguments.is_empty() && fragment.id.is_empty() && fragment.name != self.name;
        if self.name.is_empty() || grows {
            self.name.push_str(fragment.name);
        }
    }

    /// Appends arguments; `false` if they repeat the whole (a "done" copy) and are to be ignored.
    pub(super) fn extend(&mut self, arguments: &str) -> bool {
        if self.scan.complete && arguments == self.arguments {
            return false;
        }
        self.scan.feed(arguments);
        self.arguments.push_str(arguments);
        true
    }
}

/// Finds the call that a fragment continues; `None` if it begins a new one (T045, T094).
pub(super) fn locate<'c>(
    calls: impl DoubleEndedIterator<Item = &'c Call> + ExactSizeIterator + Clone,
    fragment: &Fragment<'_>,
) -> Option<usize> {
    let named = !fragment.name.is_empty();
    let calls = calls.enumerate();
    let (at, call) = match fragment.index {
        Some(index) => continued(calls.filter(|(_, call)| call.index == Some(index)), fragment)?,
        None if !fragment.id.is_empty() => calls.rev().find(|(_, call)| call.id == fragment.id)?,
        None => continued(calls, fragment)?,
    };
    // A different id alone is no new call: some servers mint one per delta.
    let other_id = named && !fragment.id.is_empty() && !call.id.is_empty() && fragment.id != call.id;
    let is_other =
        fragment.name != call.name || !fragment.arguments.is_empty() && fragment.arguments != call.arguments;
    let begins_anew = named
        && fragment.id.is_empty()
        && (call.last_list == fragment.place.list || call.is_complete() && is_other);
    (!other_id && !begins_anew).then_some(at)
}

/// Which of the calls that the fragment may belong to has its id or is at its place; the last one if none.
fn continued<'c>(
    mut calls: impl DoubleEndedIterator<Item = (usize, &'c Call)> + Clone,
    fragment: &Fragment<'_>,
) -> Option<(usize, &'c Call)> {
    let last = calls.clone().next_back()?;
    let place = Place { list: last.1.begun.list, ..fragment.place };
    // Arguments alone do not follow a whole.
    let takes = |call: &Call| !call.is_complete() || !fragment.name.is_empty();
    let has_id = |call: &Call| !fragment.id.is_empty() && call.id == fragment.id;
    if let Some(found) = calls.clone().rfind(|(_, call)| has_id(call)) {
        return Some(found);
    }
    calls.find(|(_, call)| call.begun == place && takes(call)).or(Some(last))
}

/// Finds the end of a JSON value in pieces of an escaped JSON string, without unescaping it.
#[derive(Clone, Copy, Debug, Default)]
struct Scan {
    depth: u32,
    in_string: bool,
    after_backslash: bool,
    complete: bool,
}

impl Scan {
    fn feed(&mut self, escaped: &str) {
        let mut bytes = escaped.bytes();
        while let Some(byte) = bytes.next() {
            if byte != b'\\' {
                self.byte(byte);
                continue;
            }
            match bytes.next() {
                Some(b'u') => {
                    let code = (0..4).fold(0, |code, _| {
                        let digit = bytes.next().and_then(|b| char::from(b).to_digit(16)).unwrap_or(0);
                        code << 4 | digit
                    });
                    self.byte(u8::try_from(code).unwrap_or(b'?'));
                }
                // White space once unescaped, which means nothing here.
                Some(b'b' | b'f' | b'n' | b'r' | b't') => self.byte(b' '),
                Some(other) => self.byte(other),
                None => {}
            }
        }
    }

    fn byte(&mut self, byte: u8) {
        if self.in_string {
            match byte {
                _ if self.after_backslash => self.after_backslash = false,
                b'\\' => self.after_backslash = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.depth = self.depth.saturating_add(1);
                self.complete = false;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                self.complete = self.depth == 0;
            }
            _ => {}
        }
    }
}

/// Reads the arguments of a call. Some servers send the object itself instead of its text.
pub(super) fn arguments<'a>(value: &mut Reader<'a>) -> Result<Option<Str<'a>>, Error> {
    match value.peek()? {
        Kind::Object => Ok(Some(Str::escape(value.raw()?.into_text()))),
        _ => value.lenient_string(),
    }
}

/// Gives every call of an answer an id that a client can send back (section 1.9).
#[derive(Debug)]
pub(super) struct CallIds {
    source: IdSource,
    taken: HashSet<String>,
}

impl CallIds {
    /// Made-up ids come from `seed`.
    pub(super) fn new(seed: u64) -> Self {
        CallIds { source: IdSource::new(seed), taken: HashSet::new() }
    }

    /// The upstream's id if it is usable and not taken, else another.
    pub(super) fn accept<'a>(&mut self, id: Str<'a>) -> Str<'a> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"_.:|-".contains(&b);
        let text = id.as_escaped();
        if text.is_empty() {
            return Str::escape(self.source.short("call_"));
        }
        let fits = text.len() <= 256 && text.bytes().all(plain);
        if fits && self.taken.insert(text.to_owned()) {
            return id;
        }
        let ordinal = self.taken.len();
        let fresh = derived_id("call_", format!("{}#{ordinal}", id.decode()).as_bytes());
        self.taken.insert(fresh.clone());
        Str::escape(fresh)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment<'f>(index: Option<u64>, id: &'f str, name: &'f str, arguments: &'f str) -> Fragment<'f> {
        Fragment { index, id, name, arguments, place: Place { list: 2, at: 0 } }
    }

    fn begun(index: Option<u64>, id: &str, name: &str, arguments: &str) -> Call {
        let first = Fragment { place: Place { list: 1, at: 0 }, ..fragment(index, id, name, "") };
        let mut call = Call::new(&first);
        call.identify(&first);
        call.extend(arguments);
        call
    }

    #[test]
    fn t045_calls_with_one_index_are_told_apart_by_id_and_name() {
        let calls = [begun(Some(0), "a", "f", r#"{}"#)];
        let find = |f: Fragment<'_>| locate(calls.iter(), &f);
        assert_eq!(find(fragment(Some(0), "b", "f", "")), None);
        assert_eq!(find(fragment(Some(0), "b", "", "x")), Some(0), "an id per delta is no new call");
        assert_eq!(find(fragment(Some(0), "a", "f", "")), Some(0));
        assert_eq!(find(fragment(Some(1), "", "", "")), None);
        assert_eq!(find(fragment(None, "a", "", "")), Some(0));
        assert_eq!(find(fragment(None, "c", "g", "")), None);
        assert_eq!(find(fragment(None, "", "", "")), Some(0));
        assert_eq!(find(fragment(Some(0), "", "g", r#"{\"x\":1}"#)), None, "whole calls without ids");
        let calls = [begun(Some(0), "a", "f", ""), begun(Some(0), "b", "f", "")];
        for (at, id) in ["a", "b"].into_iter().enumerate() {
            let found = locate(calls.iter(), &fragment(Some(0), id, "", "x"));
            assert_eq!(found, Some(at), "an id says more than an index");
        }
    }

    #[test]
    fn the_end_of_arguments_is_found_behind_every_sort_of_escape() {
        for (text, complete) in [
            (r#"{\"a\":\"}\"}"#, true),
            (r#"{\"a\":\"\\\"}"#, false),
            (r#"{\"a\":\"\\\"}\"}"#, true),
            (r#"{\u0022a\u0022:\u0022}\u0022"#, false),
            (r#"[\n]"#, true),
            ("", false),
            (r#"{\"a\":{}"#, false),
        ] {
            let mut whole = Call::default();
            whole.extend(text);
            assert_eq!(whole.is_complete(), complete, "{text}");
        }
    }

    #[test]
    fn a_repeated_full_copy_is_ignored() {
        let mut call = begun(Some(0), "a", "f", r#"{\"x\":1}"#);
        assert!(!call.extend(r#"{\"x\":1}"#));
        assert_eq!(call.arguments, r#"{\"x\":1}"#);
    }

    #[test]
    fn t092_ids_of_one_answer_are_unique_and_otherwise_untouched() {
        let mut ids = CallIds::new(1);
        assert_eq!(ids.accept("call_1".into()), "call_1");
        let second = ids.accept("call_1".into());
        assert_ne!(second, "call_1");
        assert!(second.as_escaped().starts_with("call_"));
        assert!(!ids.accept("".into()).is_empty());
        assert_ne!(ids.accept("with space".into()), "with space");
    }
}
