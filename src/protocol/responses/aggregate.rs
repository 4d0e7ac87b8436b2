//! Folds a native stream into its own final answer (section 4): the final event carries all of it.

use std::collections::BTreeMap;

use super::error;
use super::response::unreadable;
use crate::protocol::canonical::{ErrorView, FaultKind};
use crate::protocol::json::{Error, Object, Raw, Reader, Str};
use crate::protocol::sse;

/// Keeps the items of a stream until its final event.
#[derive(Debug, Default)]
pub(crate) struct Aggregator {
    /// Finished items by number, for backends whose final event lists none (T038).
    items: BTreeMap<u64, String>,
    response: Option<Object>,
}

#[derive(Default)]
struct Fields<'e> {
    kind: Str<'e>,
    number: Option<u64>,
    item: Option<Raw<'e>>,
    response: Option<Raw<'e>>,
    error: bool,
}

impl<'e> Fields<'e> {
    fn read(data: &'e [u8]) -> Result<Self, Error> {
        let mut f = Fields::default();
        let mut reader = Reader::from_bytes(data)?;
        reader.object(|key, value| {
            match key {
                "type" => f.kind = value.lenient_string()?.unwrap_or_default(),
                "output_index" => f.number = value.lenient_u64()?,
                "item" => f.item = Some(value.raw()?),
                "response" => f.response = Some(value.raw()?),
                "error" => f.error = !value.null()?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        reader.end()?;
        Ok(f)
    }
}

impl Aggregator {
    /// Takes one event; what follows the final one does not count.
    pub(crate) fn event(&mut self, event: &sse::Event<'_>) -> Result<(), ErrorView> {
        if self.response.is_some() || event.is_done() {
            return Ok(());
        }
        let fields = Fields::read(&event.data).map_err(unreadable)?;
        let kind = match event.name.as_deref().map(std::str::from_utf8) {
            Some(Ok(name)) if fields.kind.is_empty() => name.into(),
            _ => fields.kind.decode(),
        };
        match &*kind {
            "response.output_item.done" => {
                if let Some(item) = fields.item {
                    let next = self.items.last_key_value().map_or(0, |(last, _)| last.saturating_add(1));
                    self.items.insert(fields.number.unwrap_or(next), item.as_str().to_owned());
                }
            }
            "response.completed" | "response.incomplete" => {
                let Some(response) = fields.response else {
                    return Err(ErrorView::new(FaultKind::BadUpstream, "the final event has no response"));
                };
                self.response = Some(Object::parse(response.as_str()).map_err(unreadable)?);
            }
            "response.failed" => {
                let body = fields.response.as_ref().map_or("", Raw::as_str);
                return Err(error::parse(200, body.as_bytes()));
            }
            "response.cancelled" => {
                return Err(ErrorView::new(FaultKind::Cancelled, "the response was cancelled"));
            }
            "error" => return Err(error::parse(200, &event.data)),
            _ if fields.error => return Err(error::parse(200, &event.data)),
            _ => {}
        }
        Ok(())
    }

    /// The whole answer.
    pub(crate) fn finish(self) -> Result<Vec<u8>, ErrorView> {
        let Some(mut response) = self.response else {
            let message = "the upstream's stream ended before its final event";
            return Err(ErrorView::new(FaultKind::BadUpstream, message));
        };
        let has_output = response.get("output").is_some_and(|output| !is_empty_list(&output));
        if !has_output {
            let items: Vec<String> = self.items.into_values().collect();
            response.set("output", format!("[{}]", items.join(",")));
        }
        Ok(response.to_json().into_bytes())
    }
}

fn is_empty_list(raw: &Raw<'_>) -> bool {
    let inside = raw.as_str().strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inside.is_none_or(|inside| inside.trim().is_empty())
}

#[cfg(test)]
mod tests;
