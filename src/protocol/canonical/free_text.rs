//! Tools that take free text, told to upstreams that have functions only (section 2.8, T087).

use super::Tool;
use crate::protocol::json::{Error, Raw, Reader, Str};

/// The parameters of the function: the text is its `input`.
pub(crate) const FREE_TEXT: &str = concat!(
    r#"{"type":"object","properties":{"input":{"type":"string"}},"#,
    r#""required":["input"],"additionalProperties":false}"#
);

/// What the tool is for, and the grammar in words.
pub(crate) fn describe_free_text<'t>(tool: &'t Tool<'_>, format: Option<&Raw<'_>>) -> Str<'t> {
    let mut description = tool.description.as_ref().map(Str::borrowed).unwrap_or_default();
    if let Some(grammar) = format.and_then(definition) {
        if !description.is_empty() {
            description.push_text("\n\n");
        }
        description.push_text("The input must match this grammar:\n");
        description.push(&grammar);
    }
    description
}

fn definition<'f>(format: &'f Raw<'_>) -> Option<Str<'f>> {
    let mut definition = None;
    let read = Reader::new(format.as_str()).lenient_object(|key, value| {
        if key == "definition" {
            definition = value.lenient_string()?;
        }
        Ok::<_, Error>(())
    });
    read.ok().and(definition)
}
