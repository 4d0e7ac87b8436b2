//! The members of a delta, read where they stand: nothing is copied, lists that are rare keep their reader.

use crate::protocol::canonical::Opaque;
use crate::protocol::json::{Error, Kind, Reader, Str};
use crate::protocol::openai::{calls, reasoning};

/// What a chunk brings of one choice.
#[derive(Debug, Default)]
pub(super) struct Delta<'a> {
    pub(super) content: Option<Str<'a>>,
    pub(super) list: Option<Reader<'a>>,
    pub(super) refusal: Option<Str<'a>>,
    pub(super) reasoning: reasoning::Fields<'a>,
    pub(super) calls: Option<Reader<'a>>,
    pub(super) function: Option<Reader<'a>>,
    pub(super) annotations: Option<Reader<'a>>,
    pub(super) images: Option<Reader<'a>>,
    pub(super) signature: Option<Opaque<'a>>,
}

impl<'a> Delta<'a> {
    pub(super) fn read(value: &mut Reader<'a>) -> Result<Self, Error> {
        let mut delta = Delta::default();
        value.object(|key, value| delta.member(key, value))?;
        Ok(delta)
    }

    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        let kind = value.peek()?;
        match (key, kind) {
            ("content", Kind::String) => self.content = Some(value.string()?),
            ("content", Kind::Array) => self.list = Some(value.clone()),
            ("refusal", Kind::String) => self.refusal = Some(value.string()?),
            ("tool_calls", Kind::Array) => self.calls = Some(value.clone()),
            ("function_call", Kind::Object) => self.function = Some(value.clone()),
            ("annotations", Kind::Array) => self.annotations = Some(value.clone()),
            ("images", Kind::Array) => self.images = Some(value.clone()),
            ("extra_content", Kind::Object) => self.signature = reasoning::google_signature(value)?,
            _ => {
                self.reasoning.member(key, value)?;
            }
        }
        Ok(())
    }

    /// Whether the tokens of this delta are, as far as can be told, those of visible text.
    pub(super) fn is_text(&self) -> bool {
        let says_otherwise = self.reasoning.text().is_some_and(|text| !text.is_empty())
            || self.refusal.as_ref().is_some_and(|text| !text.is_empty())
            || self.calls.is_some()
            || self.function.is_some();
        !says_otherwise || self.content.as_ref().is_some_and(|text| !text.is_empty())
    }
}

/// One entry of `delta.tool_calls`.
#[derive(Default)]
pub(super) struct CallDelta<'a> {
    pub(super) index: Option<u64>,
    pub(super) id: Str<'a>,
    pub(super) name: Str<'a>,
    pub(super) arguments: Str<'a>,
    pub(super) custom: bool,
    pub(super) signature: Option<Opaque<'a>>,
}

impl<'a> CallDelta<'a> {
    pub(super) fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "index" => self.index = value.lenient_u64()?,
            "id" => self.id = value.lenient_string()?.unwrap_or_default(),
            "name" => self.name = value.lenient_string()?.unwrap_or_default(),
            "arguments" | "input" => self.arguments = calls::arguments(value)?.unwrap_or_default(),
            "function" => value.lenient_object(|key, value| self.member(key, value))?,
            "custom" => {
                self.custom = true;
                value.lenient_object(|key, value| self.member(key, value))?;
            }
            "extra_content" => self.signature = reasoning::google_signature(value)?,
            _ => {}
        }
        Ok(())
    }
}
