//! Web search, the one hosted tool that protocols share: its settings in no vendor's spelling (2.13).

use super::{Action, Losses};
use crate::protocol::json::{Error, Raw, Reader, Str, Writer};

/// The settings of a web search, as far as two protocols know them.
#[derive(Debug, Default)]
pub struct WebSearch<'a> {
    /// Search these domains only.
    pub allowed_domains: Option<Raw<'a>>,
    /// Never search these.
    pub blocked_domains: Option<Raw<'a>>,
    /// How often.
    pub max_uses: Option<Raw<'a>>,
    /// How much of the context the findings may take: `low`, `medium`, `high`.
    pub context_size: Option<Str<'a>>,
    /// Where the user is: names and values.
    pub location: Vec<(&'static str, Str<'a>)>,
    /// Members that no other protocol knows.
    others: Vec<String>,
}

impl<'a> WebSearch<'a> {
    /// Reads a hosted tool of any protocol, or `None` if it is another one.
    #[must_use]
    pub fn read(tag: &str, raw: &'a Raw<'_>) -> Option<Self> {
        let is_search = tag.starts_with("web_search")
            || matches!(
                tag,
                "googleSearch" | "google_search" | "googleSearchRetrieval" | "google_search_retrieval"
            );
        if !is_search {
            return None;
        }
        let mut search = WebSearch::default();
        // What is no object says nothing.
        let read = Reader::new(raw.as_str()).lenient_object(|key, value| search.member(key, value));
        Some(if read.is_ok() { search } else { WebSearch::default() })
    }

    fn member(&mut self, key: &str, value: &mut Reader<'a>) -> Result<(), Error> {
        match key {
            "type" | "name" | "cache_control" => return Ok(()),
            // Of every tool, and named by the decoder.
            "defer_loading" | "allowed_callers" => return Ok(()),
            "filters" => return value.lenient_object(|key, value| self.member(key, value)),
            "user_location" => return self.place(value),
            "search_context_size" => {
                self.context_size = value.lenient_string()?;
                return Ok(());
            }
            _ => {}
        }
        let raw = value.raw()?;
        // Nothing was asked for.
        if matches!(raw.as_str(), "null" | "[]" | "{}") {
            return Ok(());
        }
        match key {
            "allowed_domains" => self.allowed_domains = Some(raw),
            "blocked_domains" => self.blocked_domains = Some(raw),
            "max_uses" => self.max_uses = Some(raw),
            // The default of the one who knows it.
            "external_web_access" if raw.as_str() == "true" => {}
            _ => self.others.push(key.to_owned()),
        }
        Ok(())
    }

    /// The members of a location, which Chat nests one level deeper.
    fn place(&mut self, value: &mut Reader<'a>) -> Result<(), Error> {
        value.lenient_object(|key, value| {
            let name = match key {
                "approximate" => return self.place(value),
                "city" => "city",
                "region" => "region",
                "country" => "country",
                "timezone" => "timezone",
                _ => return Ok(()),
            };
            if let Some(text) = value.lenient_string()? {
                self.location.push((name, text));
            }
            Ok(())
        })
    }

    /// Writes the members of the location.
    pub(crate) fn write_place(&self, w: &mut Writer<'_>) {
        for (name, text) in &self.location {
            w.key(name).string(text);
        }
    }

    /// Names each setting that was given and is not among those that this upstream `takes`.
    pub(crate) fn name_losses(&self, takes: &[&'static str], losses: &mut Losses) {
        let known = [
            ("allowed_domains", self.allowed_domains.is_some()),
            ("blocked_domains", self.blocked_domains.is_some()),
            ("max_uses", self.max_uses.is_some()),
            // The middle one is what is done without a word.
            ("search_context_size", self.context_size.as_ref().is_some_and(|size| *size != "medium")),
            ("user_location", !self.location.is_empty()),
        ];
        let known = known.into_iter().filter(|(name, given)| *given && !takes.contains(name));
        for name in known.map(|(name, _)| name).chain(self.others.iter().map(String::as_str)) {
            losses.add_named(Action::Drop, &format!("web_search.{name}"));
        }
    }
}
