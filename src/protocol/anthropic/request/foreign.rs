//! What other providers left in a conversation with Anthropic: reasoning in envelopes, and sources and findings of
//! searches without the signature that only Anthropic can write.

use memchr::memmem;

use crate::protocol::foreign::{Cuts, is_foreign};
use crate::protocol::json::{Error, Kind, Reader, Span, Str};

/// How the signatures of what Anthropic has searched begin: one search of the body finds both.
const SIGNED: &[u8] = b"\"encrypted_";

/// Whether a source or a finding may stand in the body without its signature (T132); a glance.
pub(crate) fn has_unsigned_source(body: &[u8]) -> bool {
    memmem::find_iter(body, SIGNED).any(|at| {
        let key = body.get(at + SIGNED.len()..).unwrap_or_default();
        let rest = key.strip_prefix(b"index\"").or_else(|| key.strip_prefix(b"content\""));
        is_empty_string(rest)
    })
}

/// Whether `: ""` follows, with any white space.
fn is_empty_string(rest: Option<&[u8]>) -> bool {
    let rest = rest.unwrap_or_default().trim_ascii_start();
    rest.strip_prefix(b":").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"\"\""))
}

/// Takes it all out. A run of tool calls that now starts without reasoning is refused as long as thinking is
/// demanded: then it is switched off (2.9).
pub(crate) fn cut_foreign(reader: &mut Reader<'_>, cuts: &mut Cuts) -> Result<(), Error> {
    let mut demanded: Option<Span> = None;
    let mut run = Run::default();
    reader.object(|key, value| {
        match key {
            "thinking" if value.peek()? == Kind::Object => {
                let start = value.offset();
                let mut kind = Str::EMPTY;
                value.object(|key, value| {
                    if key == "type" {
                        kind = value.lenient_string()?.unwrap_or_default();
                    }
                    Ok::<_, Error>(())
                })?;
                demanded = (kind == "enabled").then_some(start..value.offset());
            }
            "messages" => {
                cuts.list(value, |message, cuts| {
                    let message = Message::cut(message, cuts)?;
                    run.follow(&message);
                    Ok(message.is_emptied)
                })?;
            }
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    if let Some(thinking) = demanded.filter(|_| run.lost_its_reasoning) {
        cuts.replace(thinking, r#"{"type":"disabled"}"#);
        cuts.losses.drop("reasoning");
    }
    Ok(())
}

/// The assistant's turns since the user last spoke.
#[derive(Default)]
struct Run {
    has_begun: bool,
    lost_its_reasoning: bool,
}

impl Run {
    fn follow(&mut self, message: &Message) {
        if message.is_from_user && !message.is_results_only {
            *self = Run::default();
        } else if !message.is_from_user && !message.is_emptied && !self.has_begun {
            self.has_begun = true;
            self.lost_its_reasoning = message.has_lost_reasoning && !message.starts_with_reasoning;
        }
    }
}

/// What is left of a message.
#[derive(Default)]
struct Message {
    is_from_user: bool,
    is_results_only: bool,
    is_emptied: bool,
    has_lost_reasoning: bool,
    starts_with_reasoning: bool,
}

impl Message {
    fn cut(reader: &mut Reader<'_>, cuts: &mut Cuts) -> Result<Self, Error> {
        let mut message = Message::default();
        let mut left: Vec<Sort> = Vec::new();
        reader.lenient_object(|key, value| {
            match key {
                "role" => message.is_from_user = value.lenient_string()?.is_some_and(|role| role == "user"),
                "content" => {
                    let foreign = unsigned_searches(&mut value.clone())?;
                    message.is_emptied = cuts.list(value, |block, cuts| {
                        let (sort, goes) = block_of(block, &foreign, cuts)?;
                        if goes {
                            message.has_lost_reasoning |= sort == Sort::Reasoning;
                        } else {
                            left.push(sort);
                        }
                        Ok(goes)
                    })?;
                }
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        message.is_results_only = !left.is_empty() && left.iter().all(|sort| *sort == Sort::Result);
        message.starts_with_reasoning = left.first() == Some(&Sort::Reasoning);
        Ok(message)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Reasoning,
    Result,
    Other,
}

/// The searches among these blocks whose findings nobody has signed: the gateway's words for another's search.
fn unsigned_searches<'a>(content: &mut Reader<'a>) -> Result<Vec<Str<'a>>, Error> {
    let mut found = Vec::new();
    content.lenient_array(|block| {
        let (mut kind, mut id, mut unsigned) = (Str::EMPTY, Str::EMPTY, false);
        block.lenient_object(|key, value| {
            match key {
                "type" => kind = value.lenient_string()?.unwrap_or_default(),
                "tool_use_id" => id = value.lenient_string()?.unwrap_or_default(),
                "content" => value.lenient_array(|finding| {
                    unsigned |= is_unsigned(finding)?;
                    Ok::<_, Error>(())
                })?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        if unsigned && kind == "web_search_tool_result" {
            found.push(id);
        }
        Ok::<_, Error>(())
    })?;
    Ok(found)
}

/// What a block is, and whether it goes. Its foreign sources go in any case, and with findings goes their call.
fn block_of(block: &mut Reader<'_>, foreign: &[Str<'_>], cuts: &mut Cuts) -> Result<(Sort, bool), Error> {
    let (mut kind, mut state, mut id) = (Str::EMPTY, None, Str::EMPTY);
    block.lenient_object(|key, value| {
        match key {
            "type" => kind = value.lenient_string()?.unwrap_or_default(),
            "id" | "tool_use_id" => id = value.lenient_string()?.unwrap_or_default(),
            "signature" | "data" => state = value.lenient_string()?,
            "citations" if value.peek()? == Kind::Array => {
                let mut list = value.clone();
                let none_left = cuts.list(&mut list, |source, _| is_unsigned(source))?;
                if none_left {
                    cuts.replace(value.offset()..list.offset(), "null");
                }
            }
            _ => {}
        }
        Ok::<_, Error>(())
    })?;
    let sort = if kind == "thinking" || kind == "redacted_thinking" {
        Sort::Reasoning
    } else if kind == "tool_result" {
        Sort::Result
    } else {
        Sort::Other
    };
    if sort == Sort::Reasoning && is_foreign(state.as_ref()) {
        cuts.losses.drop("reasoning");
        return Ok((sort, true));
    }
    let of_search = kind == "server_tool_use" || kind == "web_search_tool_result";
    Ok((sort, of_search && foreign.contains(&id)))
}

fn is_unsigned(source: &mut Reader<'_>) -> Result<bool, Error> {
    let mut unsigned = false;
    source.lenient_object(|key, value| {
        if key == "encrypted_index" || key == "encrypted_content" {
            unsigned = value.lenient_string()?.is_some_and(|index| index.is_empty());
        }
        Ok::<_, Error>(())
    })?;
    Ok(unsigned)
}
