//! Recorded exchanges of real clients and providers, where there is a folder of them: `AIPROXY_CORPUS` names it,
//! else it is `../shared/corpus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aiproxy::protocol::{Endpoint, Operation};
use serde_json::Value;

use super::Protocol;

/// Every exchange about an answer.
pub fn all() -> impl Iterator<Item = Recorded> {
    let named = std::env::var_os("AIPROXY_CORPUS").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| PathBuf::from("../shared/corpus"));
    let protocols = if folder.is_dir() { folders(&folder) } else { Vec::new() };
    let files = protocols.into_iter().filter(|path| path.is_dir()).flat_map(|path| folders(&path));
    files.filter_map(|path| Recorded::read(&path))
}

/// What is in a folder, in order.
pub fn folders(path: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    found.sort();
    found
}

/// The endpoint that an answer is asked of.
pub fn endpoint(protocol: Protocol, model: &str, stream: bool) -> Endpoint {
    let mut endpoint = Endpoint::new(protocol, Operation::Generate);
    if protocol == Protocol::Gemini {
        endpoint.model = Some(Arc::from(model));
        endpoint.stream = Some(stream);
    }
    endpoint
}

/// A recorded exchange.
#[derive(Clone, Debug)]
pub struct Recorded {
    pub id: String,
    pub protocol: Protocol,
    pub status: u16,
    /// Absent where the source kept none.
    pub request: Option<(Endpoint, String)>,
    pub answer: Recording,
    /// It stops in the middle or reports an error: to end in an error is right.
    pub is_broken: bool,
}

/// Its answer.
#[derive(Clone, Debug)]
pub enum Recording {
    Stream(String),
    Document(String),
}

impl Recorded {
    /// `None` for what is no exchange about an answer.
    fn read(path: &Path) -> Option<Recorded> {
        let item: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        let protocol = match item["protocol"].as_str()? {
            "anthropic_messages" => Protocol::Anthropic,
            "openai_chat" => Protocol::OpenAi,
            "openai_responses" => Protocol::Responses,
            "gemini" => Protocol::Gemini,
            _ => return None,
        };
        let operation = item["operation"].as_str()?;
        let generates =
            ["messages", "chat.completions", "responses", "generateContent", "streamGenerateContent"];
        if !generates.contains(&operation) {
            return None;
        }
        // One vendor names the model in its path; no path of the gateway does for that protocol.
        let body = &item["request"]["body"];
        let is_whole = body.is_object() && (body["model"].is_string() || protocol == Protocol::Gemini);
        let request = is_whole.then(|| {
            let path = item["request"]["path"].as_str().unwrap_or_default();
            let model = path.rsplit("/models/").next().unwrap_or_default();
            let model = model.rsplit_once(':').map_or(model, |(model, _)| model);
            (endpoint(protocol, model, operation.starts_with("stream")), body.to_string())
        });
        let response = &item["response"];
        let answer = match response["sse"].as_str() {
            Some(stream) => Recording::Stream(stream.to_owned()),
            None => Recording::Document(match response["text"].as_str() {
                Some(text) => text.to_owned(),
                None => response["body"].to_string(),
            }),
        };
        let has =
            |feature: &str| item["features"].as_array().is_some_and(|all| all.contains(&feature.into()));
        let pending = ["queued", "in_progress", "failed", "cancelled"];
        let is_pending = response["body"]["status"].as_str().is_some_and(|status| pending.contains(&status));
        Some(Recorded {
            id: item["id"].as_str()?.to_owned(),
            protocol,
            status: response["status"].as_u64()? as u16,
            request,
            answer,
            is_broken: has("truncated_stream") || has("stream_error") || is_pending,
        })
    }
}
