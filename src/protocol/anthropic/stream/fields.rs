//! What an upstream's event says.

use crate::protocol::json::{Error, Reader, Str};

/// The members of an event.
#[derive(Default)]
pub(super) struct Native<'a> {
    pub(super) tag: Option<Str<'a>>,
    pub(super) index: u64,
    pub(super) delta: Option<Reader<'a>>,
    pub(super) block: Option<Reader<'a>>,
    pub(super) message: Option<Reader<'a>>,
    pub(super) usage: Option<Reader<'a>>,
    pub(super) has_error: bool,
}

impl<'a> Native<'a> {
    pub(super) fn read(document: &'a str) -> Result<Self, Error> {
        let mut native = Native::default();
        crate::protocol::json::document(document, |key, value| {
            match key {
                "type" => native.tag = value.lenient_string()?,
                "index" => native.index = value.lenient_u64()?.unwrap_or(0),
                "delta" => native.delta = Some(value.clone()),
                "content_block" => native.block = Some(value.clone()),
                "message" => native.message = Some(value.clone()),
                "usage" => native.usage = Some(value.clone()),
                "error" => native.has_error = !value.raw()?.is_null(),
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(native)
    }
}

/// The members of a `delta`.
#[derive(Default)]
pub(super) struct DeltaFields<'a> {
    pub(super) text: Option<Str<'a>>,
    pub(super) thinking: Option<Str<'a>>,
    pub(super) partial_json: Option<Str<'a>>,
    pub(super) signature: Option<Str<'a>>,
    pub(super) citation: Option<Reader<'a>>,
}

impl<'a> DeltaFields<'a> {
    pub(super) fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "text" => self.text = value.lenient_string()?,
            "thinking" => self.thinking = value.lenient_string()?,
            "partial_json" => self.partial_json = value.lenient_string()?,
            "signature" => self.signature = value.lenient_string()?,
            "citation" => self.citation = Some(value.clone()),
            _ => {}
        }
        Ok(())
    }
}
