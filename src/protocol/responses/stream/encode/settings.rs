//! What the encoder has to know of the request.

use std::collections::HashMap;

use crate::protocol::Protocol;
use crate::protocol::canonical::{Exchange, NameMap};
use crate::protocol::json::{Error, Reader, Str};
use crate::protocol::responses::native::Native;
use crate::protocol::responses::request::NAMESPACES;

/// What the encoder has to know of the request.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) model: Option<String>,
    pub(super) created: u64,
    pub(super) names: NameMap,
    pub(super) custom_tools: Vec<String>,
    /// The client's tools that are no functions in its protocol.
    natives: Vec<(String, Native)>,
    pub(super) namespaces: HashMap<String, (Str<'static>, Str<'static>)>,
    pub(super) show_reasoning: bool,
    /// State of a call comes with its end and belongs before it: calls wait.
    pub(super) hold_calls: bool,
    /// Reasoning without state is marked as ours, so that it can be replayed as text (1.8).
    pub(super) mark_reasoning: bool,
    /// A failure is told in an `error` event first.
    pub(super) error_event: bool,
}

impl Settings {
    pub(super) fn new(exchange: &Exchange) -> Self {
        let namespaces = exchange.echo.iter().find(|(key, _)| *key == NAMESPACES);
        Settings {
            model: exchange.model.clone(),
            created: exchange.created,
            names: exchange.tool_names.clone(),
            custom_tools: exchange.custom_tools.clone(),
            natives: exchange
                .client_tools
                .iter()
                .filter_map(|(name, tag)| Some((name.clone(), Native::of_tool(tag)?)))
                .collect(),
            namespaces: namespaces.map(|(_, map)| read_namespaces(map)).unwrap_or_default(),
            show_reasoning: exchange.show_reasoning,
            hold_calls: exchange.upstream == Protocol::Gemini,
            mark_reasoning: exchange.upstream == Protocol::OpenAi,
            error_event: exchange.client_dialect.resp_error_event,
        }
    }

    /// The tool of this name, if it is no function in the client's protocol.
    pub(super) fn native(&self, name: &Str<'_>) -> Option<Native> {
        self.natives.iter().find(|(own, _)| *name == own.as_str()).map(|(_, native)| *native)
    }

    /// The client's name of a tool, its namespace, and whether it takes free text.
    pub(super) fn client_name(&self, name: &Str<'_>) -> (Str<'static>, Option<Str<'static>>, bool) {
        let name = self.names.client(name);
        let plain = name.decode();
        let is_free_text = self.custom_tools.iter().any(|tool| *tool == plain);
        match self.namespaces.get(plain.as_ref()) {
            Some((namespace, name)) => (name.clone(), Some(namespace.clone()), is_free_text),
            None => (name.clone().into_owned(), None, is_free_text),
        }
    }
}

/// Reads the note that the request left: flat name to namespace and name (T088).
fn read_namespaces(map: &str) -> HashMap<String, (Str<'static>, Str<'static>)> {
    let mut names = HashMap::new();
    let read = Reader::new(map).object(|flat, value| {
        let mut pair = Vec::new();
        value.array(|word| {
            pair.push(word.string()?.into_owned());
            Ok::<_, Error>(())
        })?;
        if let [namespace, name] = pair.as_slice() {
            names.insert(flat.to_owned(), (namespace.clone(), name.clone()));
        }
        Ok::<_, Error>(())
    });
    if read.is_err() { HashMap::new() } else { names }
}
