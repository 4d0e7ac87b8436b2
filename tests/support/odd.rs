//! JSON and event streams that no library would write, and any may be sent: generated.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

/// A JSON value.
pub fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        4 => number(),
        4 => string(),
        1 => select(vec!["null", "true", "false"]).prop_map(str::to_owned),
        1 => deep(),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        let array = (space(), vec((space(), inner.clone(), space()), 0..5)).prop_map(|(empty, items)| {
            let items: Vec<String> = items.into_iter().map(|(a, item, b)| a + &item + &b).collect();
            format!("[{}]", if items.is_empty() { empty } else { items.join(",") })
        });
        let object = (space(), vec(member(key(), inner), 0..5)).prop_map(|(empty, members)| {
            format!("{{{}}}", if members.is_empty() { empty } else { members.join(",") })
        });
        prop_oneof![array, object]
    })
}

/// Members for the top of a body, with keys that come twice and keys that look like those that matter.
pub fn members() -> impl Strategy<Value = Vec<String>> {
    let top = prop_oneof![
        key().prop_filter("each at most once", |key| !["\"model\"", "\"stream\""].contains(&key.as_str())),
        select(vec!["messages", "contents", "input", "Model", "model ", "a", "a"])
            .prop_map(|key| format!("{key:?}")),
    ];
    vec(member(top, value()), 0..5)
}

fn member(
    key: impl Strategy<Value = String>,
    value: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    (space(), key, space(), space(), value, space())
        .prop_map(|(a, key, b, c, value, d)| format!("{a}{key}{b}:{c}{value}{d}"))
}

/// Few keys, so that some come twice in an object.
fn key() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => select(vec![r#""a""#, r#""\u0061""#, r#""model""#, r#""stream""#, r#""""#, r#""type""#]).prop_map(str::to_owned),
        1 => string(),
    ]
}

/// White space between tokens.
pub fn space() -> impl Strategy<Value = String> {
    select(vec!["", "", "", " ", "\n", "\r\n\t", "  \t \n"]).prop_map(str::to_owned)
}

fn number() -> impl Strategy<Value = String> {
    prop_oneof![
        select(vec!["1.10", "1e400", "-0", "-0.0", "1E+2", "0e-0", "123456789012345678901234567890"])
            .prop_map(str::to_owned),
        "-?(0|[1-9][0-9]{0,40})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
    ]
}

/// A string in quotes: escapes of every sort, halves of surrogate pairs, and characters as they are.
pub fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        2 => "[a-z{}\\[\\]:,' ]{1,6}",
        2 => any::<char>().prop_filter("must be escaped", |c| !c.is_control() && !['"', '\\'].contains(c)).prop_map(String::from),
        2 => any::<u16>().prop_map(|unit| format!("\\u{unit:04x}")),
        1 => (0xd800_u16..0xe000).prop_map(|half| format!("\\u{half:04X}")),
        1 => select(vec!["\\\"", "\\\\", "\\/", "\\b", "\\f", "\\n", "\\r", "\\t", "\u{2028}", "\u{feff}", "\u{7f}", "🦀"])
            .prop_map(str::to_owned),
    ];
    vec(piece, 0..6).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

/// Brackets within brackets, as deep as the gateway reads.
fn deep() -> impl Strategy<Value = String> {
    (1..240_usize, select(vec![("[", "]"), ("{\"a\":", "}"), ("[ {\"\":", "\n}]")])).prop_map(
        |(depth, (open, close))| {
            let depth = depth / open.matches(['[', '{']).count();
            format!("{}0{}", open.repeat(depth), close.repeat(depth))
        },
    )
}

/// One event of a stream, or what stands in the place of one, up to the blank line that ends it. Its data, if it has any,
/// is one JSON value: nothing else is an event that a client could read.
pub fn event() -> impl Strategy<Value = String> {
    let noise = prop_oneof![
        2 => "[ -~é🦀]{0,12}".prop_map(|comment| format!(":{comment}")),
        2 => select(vec!["event: novelty", "event:", "event:message", "event: é: x", "id: 7", "id", "retry: 10", "data", "data:", "Data: x", " data: x", "novelty: x"])
            .prop_map(str::to_owned),
    ];
    let data = prop_oneof![
        1 => Just(None),
        2 => value().prop_map(|value| Some(in_lines("data: ", &value))),
        1 => value().prop_map(|value| Some(in_lines("data:", &value))),
    ];
    let end = select(vec!["\n", "\r\n", "\r"]);
    (vec(noise, 0..4), data, any::<Index>(), end).prop_map(|(mut fields, data, at, end)| {
        if let Some(data) = data {
            fields.insert(at.index(fields.len() + 1), data);
        }
        let lines: Vec<String> =
            fields.iter().flat_map(|field| field.split('\n')).map(|line| format!("{line}{end}")).collect();
        lines.concat() + end
    })
}

/// A value in as many lines as its white space makes of it.
fn in_lines(field: &str, value: &str) -> String {
    let lines: Vec<String> = value.split(['\n', '\r']).map(|line| format!("{field}{line}")).collect();
    lines.join("\n")
}
