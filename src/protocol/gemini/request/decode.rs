//! A client's request to the hub. Model and stream flag come from the path.

mod config;
mod contents;
mod media;
mod tools;

use contents::History;

use super::super::keys::camel;
use super::super::part::Part as WirePart;
use crate::protocol::RequestError;
use crate::protocol::canonical::{Request, SystemBlock};
use crate::protocol::json::{Error, Kind, Raw, Reader, Str};

type Result<T, E = RequestError> = std::result::Result<T, E>;

/// Extra under which a decoder says that reasoning was dropped because the client had changed its
/// text: encoders name it like every extra that they drop.
pub(super) const MUTATED: &str = "reasoning.mutated";

/// Reads a generation request, or a token-count request of either shape (6.2).
pub(crate) fn decode<'a>(body: &'a str, model: &'a str, stream: bool) -> Result<Request<'a>> {
    let mut decoder = Decoder {
        request: Request { model: Str::from(model), stream, ..Request::default() },
        history: History::default(),
    };
    let mut reader = Reader::new(body);
    reader.object(|key, value| decoder.field(key, value))?;
    reader.end()?;
    Ok(decoder.finish())
}

struct Decoder<'a> {
    request: Request<'a>,
    history: History<'a>,
}

impl<'a> Decoder<'a> {
    fn field(&mut self, key: &str, value: &mut Reader<'a>) -> Result<()> {
        if value.null()? {
            return Ok(());
        }
        let request = &mut self.request;
        match &*camel(key) {
            "contents" => each_content(value, &mut self.history)?,
            "systemInstruction" => system(value, request)?,
            "tools" => tools::tools(value, request)?,
            "toolConfig" => tools::tool_config(value, request)?,
            "generationConfig" => config::generation_config(value, request)?,
            "safetySettings" => request.safety = Some(value.raw()?),
            "cachedContent" => request.cache.handle = Some(value.string()?),
            "serviceTier" => request.service.tier = Some(value.string()?),
            // Token counting wraps the request; its model is the one of the path.
            "generateContentRequest" => value.object(|key, value| self.field(key, value))?,
            "model" => value.skip()?,
            _ => extra(request, key.to_owned(), value.raw()?),
        }
        Ok(())
    }

    fn finish(self) -> Request<'a> {
        let Decoder { mut request, history } = self;
        if history.mutated {
            extra(&mut request, MUTATED.to_owned(), Raw::from_json("true"));
        }
        request.turns = history.turns;
        tools::mark_validated(&mut request);
        request
    }
}

/// Keeps what the hub has no place for; a nested member goes by its path.
fn extra<'a>(request: &mut Request<'a>, name: String, raw: Raw<'a>) {
    request.extras.push((Str::from(name), raw));
}

fn each_content<'a>(reader: &mut Reader<'a>, history: &mut History<'a>) -> Result<()> {
    super::super::keys::each(reader, |content| history.content(content))
}

/// `systemInstruction`: a content, whose role means nothing, or a bare string.
fn system<'a>(reader: &mut Reader<'a>, request: &mut Request<'a>) -> Result<()> {
    if reader.peek()? == Kind::String {
        push_system(request, reader.string()?);
        return Ok(());
    }
    reader.object(|key, value| {
        if key != "parts" {
            return Ok(());
        }
        super::super::keys::each(value, |part| {
            if let Some(text) = WirePart::read(part)?.text {
                push_system(request, text);
            }
            Ok(())
        })
    })
}

fn push_system<'a>(request: &mut Request<'a>, text: Str<'a>) {
    request.system.push(SystemBlock { text, cache: None, developer: false });
}

/// A number; Google's JSON parser takes it as a string too.
fn number<'a>(reader: &mut Reader<'a>) -> Result<Option<crate::protocol::json::Number<'a>>> {
    use crate::protocol::json::Number;
    if reader.peek()? != Kind::String {
        return Ok(reader.number_or_null()?);
    }
    let mut rest = reader.clone();
    let text = reader.string()?.decode().trim().to_owned();
    let mut inner = Reader::new(&text);
    match inner.number().and_then(|_| inner.end()) {
        Ok(()) => Ok(Some(Number::from_json(text))),
        // Reads the string as a number once more, for the error and its place.
        Err(_) => Ok(rest.number().map(Some)?),
    }
}

/// A whole number from 0 up.
fn whole(reader: &mut Reader<'_>, param: &'static str) -> Result<Option<u64>> {
    let Some(number) = number(reader)? else { return Ok(None) };
    match number.as_u64() {
        Some(value) => Ok(Some(value)),
        None => Err(RequestError::invalid(param, "must be a whole number from 0 up")),
    }
}

/// Reads a list of strings.
fn strings<'a>(reader: &mut Reader<'a>) -> Result<Vec<Str<'a>>, Error> {
    let mut list = Vec::new();
    super::super::keys::each(reader, |item| {
        list.push(item.string()?);
        Ok::<_, Error>(())
    })?;
    Ok(list)
}
