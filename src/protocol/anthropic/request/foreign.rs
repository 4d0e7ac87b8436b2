//! Takes out of a client's own words what the gateway once put in and Anthropic would refuse (T132).
//!
//! An answer of another provider cites its sources as Anthropic would, but for the `encrypted_index`, which only
//! Anthropic can write: it is empty. Clients send their history back as they got it. When a conversation has
//! moved on to Anthropic, such a citation is a 400.

use memchr::memmem;

use crate::protocol::json::{Error, Kind, Raw, Reader, Span};

const INDEX: &[u8] = b"\"encrypted_index\"";

/// The body without citations of other providers; `None` if it has none, which a glance tells.
#[must_use]
pub fn without_foreign_citations(body: &[u8]) -> Option<Vec<u8>> {
    if !memmem::find_iter(body, INDEX).any(|at| is_empty_string(body.get(at + INDEX.len()..))) {
        return None;
    }
    let mut edits = Vec::new();
    // What is not well formed is the upstream's to judge, as it stands.
    let mut reader = Reader::from_bytes(body).ok()?;
    messages(&mut reader, &mut edits).ok()?;
    let mut out = Vec::with_capacity(body.len());
    let mut from = 0;
    for (span, new) in &edits {
        out.extend_from_slice(body.get(from..span.start)?);
        out.extend_from_slice(new.as_bytes());
        from = span.end;
    }
    out.extend_from_slice(body.get(from..)?);
    (!edits.is_empty()).then_some(out)
}

/// Whether `: ""` follows, with any white space.
fn is_empty_string(rest: Option<&[u8]>) -> bool {
    let rest = rest.unwrap_or_default().trim_ascii_start();
    rest.strip_prefix(b":").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"\""))
}

type Edits = Vec<(Span, String)>;

fn messages(reader: &mut Reader<'_>, edits: &mut Edits) -> Result<(), Error> {
    reader.object(|key, value| match key {
        "messages" => value.lenient_array(|message| {
            message.lenient_object(|key, value| match key {
                "content" => value.lenient_array(|block| block_of(block, edits)),
                _ => Ok(()),
            })
        }),
        _ => Ok(()),
    })
}

fn block_of(block: &mut Reader<'_>, edits: &mut Edits) -> Result<(), Error> {
    block.lenient_object(|key, value| {
        if key != "citations" || value.peek()? != Kind::Array {
            return Ok(());
        }
        let start = value.offset();
        let (mut kept, mut dropped) = (Vec::new(), false);
        value.array(|citation| {
            let raw = citation.raw()?;
            if is_foreign(&raw)? {
                dropped = true;
            } else {
                kept.push(raw.into_text());
            }
            Ok::<_, Error>(())
        })?;
        if dropped {
            let left = if kept.is_empty() { "null".to_owned() } else { format!("[{}]", kept.join(",")) };
            edits.push((start..value.offset(), left));
        }
        Ok(())
    })
}

fn is_foreign(citation: &Raw<'_>) -> Result<bool, Error> {
    let mut foreign = false;
    Reader::new(citation.as_str()).lenient_object(|key, value| {
        if key == "encrypted_index" {
            foreign = value.lenient_string()?.is_some_and(|index| index.is_empty());
        }
        Ok::<_, Error>(())
    })?;
    Ok(foreign)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without(body: &str) -> Option<String> {
        without_foreign_citations(body.as_bytes()).map(|body| String::from_utf8(body).unwrap())
    }

    #[test]
    fn t132_foreign_citations_are_taken_out_and_all_else_stays() {
        let foreign = r#"{"type":"web_search_result_location","url":"u","title":"\u00e9","cited_text":"","encrypted_index": ""}"#;
        let own = r#"{"type":"web_search_result_location","encrypted_index":"Eo8B","n":1.10}"#;
        let body = |citations: &str| {
            format!(
                r#" {{"model":"m" ,"n":1.10,"messages":[{{"role":"user","content":"\"encrypted_index\":\"\""}},{{"role":"assistant","content":[{{"type":"text","text":"a","citations":{citations}}},{{"type":"text","text":"b"}}]}}]}}"#
            )
        };
        assert_eq!(without(&body(&format!("[{foreign}]"))), Some(body("null")));
        assert_eq!(without(&body(&format!("[{own} , {foreign}]"))), Some(body(&format!("[{own}]"))));
        for same in [format!("[{own}]"), "null".to_owned(), "[]".to_owned(), "7".to_owned()] {
            assert_eq!(without(&body(&same)), None, "{same}");
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
            assert_eq!(without(&same), None, "{same}");
        }
    }
}
