//! One part as it stands on the wire, in requests, answers and streams alike.

use super::keys::camel;
use crate::protocol::json::{Error, Raw, Reader, Str};

/// A part. The text of the hub's parts stays here; what else it may be is in [`Body`].
#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    pub(super) text: Option<Str<'a>>,
    pub(super) thought: bool,
    pub(super) signature: Option<Str<'a>>,
    pub(super) body: Body<'a>,
    /// `mediaResolution.level`.
    pub(super) resolution: Option<Str<'a>>,
}

/// The data of a part.
#[derive(Debug, Default)]
pub(super) enum Body<'a> {
    /// Text, or nothing.
    #[default]
    Text,
    /// `functionCall`.
    Call(Call<'a>),
    /// `functionResponse`.
    Response(FunctionResponse<'a>),
    /// `inlineData`.
    Inline { mime: Str<'a>, data: Str<'a>, name: Option<Str<'a>> },
    /// `fileData`.
    File { uri: Str<'a>, mime: Str<'a>, name: Option<Str<'a>> },
    /// Something only Gemini understands; its key.
    Other(String),
}

/// `functionCall`.
#[derive(Debug, Default)]
pub(super) struct Call<'a> {
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Str<'a>,
    pub(super) args: Option<Raw<'a>>,
    /// Vertex streams arguments in pieces.
    pub(super) partial: Option<Raw<'a>>,
    pub(super) will_continue: bool,
}

/// `functionResponse`.
#[derive(Debug, Default)]
pub(super) struct FunctionResponse<'a> {
    pub(super) id: Option<Str<'a>>,
    pub(super) name: Option<Str<'a>>,
    pub(super) response: Option<Raw<'a>>,
    /// Stands at the list of media parts.
    pub(super) parts: Option<Reader<'a>>,
}

impl<'a> Part<'a> {
    /// Reads one part object.
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut part = Part::default();
        reader.object(|key, value| {
            match key {
                "text" => part.text = value.string_or_null()?,
                "thought" => part.thought = value.boolean_or_null()?.unwrap_or(false),
                "thoughtSignature" => part.signature = value.string_or_null()?,
                _ => part.rare(&camel(key), value)?,
            }
            Ok::<_, Error>(())
        })?;
        Ok(part)
    }

    fn rare(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        if value.null()? {
            return Ok(());
        }
        match key {
            "thoughtSignature" => self.signature = Some(value.string()?),
            "functionCall" => self.body = Body::Call(Call::read(value)?),
            "functionResponse" => self.body = Body::Response(FunctionResponse::read(value)?),
            "inlineData" => {
                let Blob { mime, data, name, .. } = Blob::read(value)?;
                self.set_media(Body::Inline { mime, data, name });
            }
            "fileData" => {
                let Blob { mime, uri, name, .. } = Blob::read(value)?;
                self.set_media(Body::File { uri, mime, name });
            }
            "mediaResolution" => {
                value.lenient_object(|key, value| {
                    if key == "level" {
                        self.resolution = value.lenient_string()?;
                    }
                    Ok::<_, Error>(())
                })?;
            }
            "partMetadata" => {}
            // A clip of a film has no place in the hub: the whole part stays as it is.
            _ => self.body = Body::Other(key.to_owned()),
        }
        Ok(())
    }

    fn set_media(&mut self, media: Body<'a>) {
        if !matches!(self.body, Body::Other(_)) {
            self.body = media;
        }
    }

    /// Whether the part says and signs nothing.
    pub(super) fn is_blank(&self) -> bool {
        matches!(self.body, Body::Text)
            && self.signature.is_none()
            && self.text.as_ref().is_none_or(Str::is_empty)
    }
}

impl<'a> Call<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut call = Call::default();
        reader.object(|key, value| {
            match &*camel(key) {
                "id" => call.id = value.string_or_null()?.filter(|id| !id.is_empty()),
                "name" => call.name = value.string_or_null()?.unwrap_or_default(),
                "args" => call.args = Some(value.raw()?).filter(|args| !args.is_null()),
                "partialArgs" => call.partial = Some(value.raw()?).filter(|args| !args.is_null()),
                "willContinue" => call.will_continue = value.boolean_or_null()?.unwrap_or(false),
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(call)
    }
}

impl<'a> FunctionResponse<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut response = FunctionResponse::default();
        reader.object(|key, value| {
            match key {
                "id" => response.id = value.string_or_null()?.filter(|id| !id.is_empty()),
                "name" => response.name = value.string_or_null()?.filter(|name| !name.is_empty()),
                "response" => response.response = Some(value.raw()?).filter(|raw| !raw.is_null()),
                "parts" => response.parts = Some(value.clone()),
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(response)
    }
}

/// The members of `inlineData` and `fileData`.
#[derive(Default)]
struct Blob<'a> {
    mime: Str<'a>,
    data: Str<'a>,
    uri: Str<'a>,
    name: Option<Str<'a>>,
}

impl<'a> Blob<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, Error> {
        let mut blob = Blob::default();
        reader.object(|key, value| {
            match &*camel(key) {
                "mimeType" => blob.mime = value.string_or_null()?.unwrap_or_default(),
                "data" => blob.data = value.string_or_null()?.unwrap_or_default(),
                "fileUri" => blob.uri = value.string_or_null()?.unwrap_or_default(),
                "displayName" => blob.name = value.string_or_null()?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        Ok(blob)
    }
}
