//! `generationConfig`.

use super::super::super::keys::camel;
use super::super::super::schema;
use super::{Result, extra, number, strings, whole};
use crate::protocol::canonical::{Effort, Format, ReasoningMode, Request, Unsupported, Visibility};
use crate::protocol::json::{Raw, Reader, Str};

/// What only together says which format the answer is to have.
#[derive(Default)]
struct Shape<'a> {
    mime: Option<Str<'a>>,
    schema: Option<Raw<'a>>,
}

pub(super) fn generation_config<'a>(reader: &mut Reader<'a>, request: &mut Request<'a>) -> Result<()> {
    let mut shape = Shape::default();
    reader.object(|key, value| {
        if value.null()? {
            return Ok(());
        }
        let key = camel(key);
        match &*key {
            "responseMimeType" => shape.mime = Some(value.string()?),
            "responseSchema" => shape.schema = Some(schema::from_openapi(value.raw()?)),
            "responseJsonSchema" => shape.schema = Some(value.raw()?),
            "thinkingConfig" => thinking(value, request)?,
            "responseModalities" => modalities(value.raw()?, request),
            _ => setting(&key, value, request)?,
        }
        Ok::<_, crate::protocol::RequestError>(())
    })?;
    request.output.format = format(shape, request)?;
    Ok(())
}

fn setting<'a>(key: &str, value: &mut Reader<'a>, request: &mut Request<'a>) -> Result<()> {
    let Request { sampling, output, .. } = request;
    match key {
        "maxOutputTokens" => output.max_tokens = whole(value, "generationConfig.maxOutputTokens")?,
        "candidateCount" => output.n = whole(value, "generationConfig.candidateCount")?,
        "stopSequences" => output.stop = strings(value)?,
        "temperature" => sampling.temperature = number(value)?,
        "topP" => sampling.top_p = number(value)?,
        "topK" => sampling.top_k = number(value)?,
        "seed" => sampling.seed = number(value)?,
        "presencePenalty" => sampling.presence_penalty = number(value)?,
        "frequencyPenalty" => sampling.frequency_penalty = number(value)?,
        "responseLogprobs" => sampling.logprobs = Some(value.boolean()?),
        "logprobs" => sampling.top_logprobs = number(value)?,
        _ => extra(request, format!("generationConfig.{key}"), value.raw()?),
    }
    Ok(())
}

fn thinking<'a>(reader: &mut Reader<'a>, request: &mut Request<'a>) -> Result<()> {
    reader.object(|key, value| {
        if value.null()? {
            return Ok(());
        }
        let reasoning = &mut request.reasoning;
        match &*camel(key) {
            "includeThoughts" => {
                reasoning.visibility = if value.boolean()? { Visibility::Shown } else { Visibility::Hidden };
            }
            "thinkingBudget" => budget(value, request)?,
            "thinkingLevel" => {
                let level = value.string()?.decode().to_ascii_lowercase();
                reasoning.effort = Effort::parse(&level);
                if reasoning.effort.is_some() {
                    reasoning.mode = ReasoningMode::On;
                }
            }
            other => extra(request, format!("generationConfig.thinkingConfig.{other}"), value.raw()?),
        }
        Ok(())
    })
}

/// 0 is off, -1 is as the model likes.
fn budget(value: &mut Reader<'_>, request: &mut Request<'_>) -> Result<()> {
    let Some(number) = number(value)? else { return Ok(()) };
    let reasoning = &mut request.reasoning;
    match number.as_u64() {
        Some(0) => reasoning.mode = ReasoningMode::Off,
        Some(tokens) => {
            reasoning.mode = ReasoningMode::On;
            reasoning.budget = Some(tokens);
        }
        None if number.as_f64() == -1.0 => reasoning.mode = ReasoningMode::Auto,
        None => {
            return Err(crate::protocol::RequestError::invalid(
                "generationConfig.thinkingConfig.thinkingBudget",
                "must be a whole number from -1 up",
            ));
        }
    }
    Ok(())
}

/// Text alone is the default and not worth a word to other upstreams.
fn modalities<'a>(raw: Raw<'a>, request: &mut Request<'a>) {
    let mut beyond_text = false;
    let _ = Reader::new(raw.as_str()).lenient_array(|item| {
        let text = item.lenient_string()?;
        beyond_text |= text.is_none_or(|t| !t.decode().eq_ignore_ascii_case("text"));
        Ok::<_, crate::protocol::json::Error>(())
    });
    if beyond_text {
        request.output.modalities = Some(raw);
    }
}

fn format<'a>(shape: Shape<'a>, request: &mut Request<'a>) -> Result<Format<'a>> {
    let mime = shape.mime.as_ref().map(|m| m.decode().to_ascii_lowercase()).unwrap_or_default();
    match (mime.as_str(), shape.schema) {
        // A bare word is another shape of answer than a JSON string (2.10).
        ("text/x.enum", _) => Err(Unsupported::new(
            "generationConfig.responseMimeType",
            "text/x.enum has no equivalent; ask for application/json with an enum schema",
        )
        .into()),
        (_, Some(schema)) => Ok(Format::JsonSchema { name: None, description: None, schema, strict: None }),
        ("application/json", None) => Ok(Format::JsonObject),
        ("" | "text/plain", None) => Ok(Format::Text),
        (other, None) => {
            let raw = Raw::from_json(format!("\"{}\"", Str::from(other).as_escaped()));
            extra(request, "generationConfig.responseMimeType".to_owned(), raw);
            Ok(Format::Text)
        }
    }
}
