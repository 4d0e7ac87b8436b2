//! The `format` of a tool that takes free text. A grammar is one level deeper in Chat than in Responses,
//! whose shape is the hub's.

use crate::protocol::json::{Error, Raw, Reader, Str, Writer, string_from_utf8};

/// The hub's format for Chat's.
pub(super) fn flat(format: Raw<'_>) -> Raw<'_> {
    let mut grammar = None;
    let read = Reader::new(format.as_str()).lenient_object(|key, value| {
        if key == "grammar" {
            grammar = Some(value.raw()?);
        }
        Ok::<_, Error>(())
    });
    let Some(grammar) = read.ok().and(grammar).filter(Raw::is_object) else { return format };
    object(|w| {
        w.key("type").text("grammar");
        members(&grammar, w)
    })
    .unwrap_or(format)
}

/// Chat's format for the hub's.
pub(super) fn nested<'f>(format: &'f Raw<'_>) -> Raw<'f> {
    let mut kind = None;
    let read = Reader::new(format.as_str()).lenient_object(|key, value| {
        if key == "type" {
            kind = value.lenient_string()?;
        }
        Ok::<_, Error>(())
    });
    let is_grammar = read.ok().and(kind).is_some_and(|kind| kind == "grammar");
    let nested = || {
        object(|w| {
            w.key("type").text("grammar");
            w.key("grammar").begin_object();
            members(format, w)?;
            w.end_object();
            Ok(())
        })
    };
    is_grammar.then(nested).and_then(Result::ok).unwrap_or_else(|| format.borrowed())
}

fn object(write: impl FnOnce(&mut Writer<'_>) -> Result<(), Error>) -> Result<Raw<'static>, Error> {
    let mut out = Vec::new();
    let mut w = Writer::new(&mut out);
    w.begin_object();
    write(&mut w)?;
    w.end_object();
    Ok(Raw::from_json(string_from_utf8(out)))
}

/// Copies the members of a format, its `type` excepted.
fn members(format: &Raw<'_>, w: &mut Writer<'_>) -> Result<(), Error> {
    Reader::new(format.as_str()).object(|key, value| {
        if key != "type" {
            w.key_str(&Str::escape(key)).raw(&value.raw()?);
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t087_a_grammar_is_nested_in_chat_alone() {
        let chat =
            r#"{"type":"grammar","grammar":{"syntax":"lark","definition":"start: \"\u00e9\"","new":1.10}}"#;
        let hub = r#"{"type":"grammar","syntax":"lark","definition":"start: \"\u00e9\"","new":1.10}"#;
        assert_eq!(flat(Raw::from_json(chat)).as_str(), hub);
        assert_eq!(nested(&Raw::from_json(hub)).as_str(), chat);
        assert_eq!(flat(Raw::from_json(hub)).as_str(), hub);
        for other in [r#"{"type":"text"}"#, r#"{"type":"novelty","a":[ ]}"#, "5", r#"{"grammar":null}"#] {
            assert_eq!(flat(Raw::from_json(other)).as_str(), other);
            assert_eq!(nested(&Raw::from_json(other)).as_str(), other);
        }
    }
}
