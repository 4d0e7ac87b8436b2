//! Searches of the web in answers: a call and its result, which are two blocks here and one part in the hub (2.13).

use super::block::Block;
use crate::protocol::Protocol;
use crate::protocol::canonical::{Citation, WebSearchCall, WebSearchResult};
use crate::protocol::crossing::Words;
use crate::protocol::json::{Error, Kind, Later, Raw, Reader, Str, Writer};

/// Calls that wait for their results. A search is told once it is over.
#[derive(Debug, Default)]
pub(super) struct Searches(Vec<Waiting>);

#[derive(Debug)]
struct Waiting {
    id: Str<'static>,
    queries: Vec<Str<'static>>,
    raw: Raw<'static>,
}

/// What a block was to the searches.
pub(super) enum Step<'a> {
    /// Nothing.
    Other,
    /// A call, whose result is yet to come.
    Waits,
    /// A result: this is the search.
    Over(Box<WebSearchCall<'a>>),
}

impl Searches {
    /// Takes a whole block.
    pub(super) fn take<'a>(&mut self, block: &Block<'a>) -> Result<Step<'a>, Error> {
        let tag = block.tag.clone().unwrap_or_default();
        if tag == "server_tool_use" && block.name.as_ref().is_some_and(|name| *name == "web_search") {
            self.0.push(Waiting {
                id: block.id.clone().unwrap_or_default().into_owned(),
                queries: query(block.arguments())?.into_iter().map(Str::into_owned).collect(),
                raw: block.raw().into_owned(),
            });
            return Ok(Step::Waits);
        }
        if tag != "web_search_tool_result" {
            return Ok(Step::Other);
        }
        let id = block.tool_use_id.clone().unwrap_or_default();
        let mut call = WebSearchCall { id, ..WebSearchCall::default() };
        let mut raw = Vec::new();
        // A result that names no call is of the first one. After a pause the call stands in the answer before this.
        let at = self.0.iter().position(|waiting| waiting.id == call.id).unwrap_or(0);
        if at < self.0.len() {
            let waiting = self.0.remove(at);
            call.id = waiting.id;
            call.queries = waiting.queries;
            raw.push(waiting.raw);
        }
        if let Some(Later::Value(mut content)) = block.content.clone() {
            // An error is an object.
            call.is_failed = content.peek()? == Kind::Object;
            content.lenient_array(|item| {
                call.results.extend(WebSearchResult::read(item)?);
                Ok::<_, Error>(())
            })?;
        }
        raw.push(block.raw());
        call.native = Some((Protocol::Anthropic, raw));
        Ok(Step::Over(Box::new(call)))
    }

    /// The calls that get no result any more, now that a block of this type follows: the model goes on only when
    /// its provider's tools have answered.
    pub(super) fn given_up(&mut self, tag: &str) -> Vec<Raw<'static>> {
        if tag == "server_tool_use" || tag.ends_with("_tool_result") {
            return Vec::new();
        }
        self.rest()
    }

    /// The calls without results.
    pub(super) fn rest(&mut self) -> Vec<Raw<'static>> {
        self.0.drain(..).map(|waiting| waiting.raw).collect()
    }
}

fn query(input: &str) -> Result<Option<Str<'_>>, Error> {
    let mut query = None;
    Reader::new(input).lenient_object(|key, value| {
        if key == "query" {
            query = value.lenient_string()?;
        }
        Ok::<_, Error>(())
    })?;
    Ok(query)
}

/// What a block of a search says to other providers' models. The call says nothing that its findings do not say; of
/// those, what Anthropic has encrypted is lost. What the gateway wrote for another provider's search holds nothing
/// else (2.13).
pub(crate) fn in_words(tag: &Str<'_>, raw: &Raw<'_>) -> Option<Words> {
    let block = Block::read(&mut Reader::new(raw.as_str()), raw.as_str()).ok()?;
    if *tag == "server_tool_use" {
        return block.name.is_some_and(|name| name == "web_search").then(Words::default);
    }
    if *tag != "web_search_tool_result" {
        return None;
    }
    let mut words = Words::default();
    let Some(Later::Value(mut content)) = block.content else { return Some(words) };
    let read = content.lenient_array(|found| {
        let mut whole = found.clone();
        if let Some(result) = WebSearchResult::read(found)? {
            let title = result.title.unwrap_or_default();
            words.text.push_str(&format!("\n[{}]({})", title.decode(), result.url.decode()));
        }
        whole.lenient_object(|key, value| {
            let is_secret = key == "encrypted_content"
                && value.lenient_string()?.is_some_and(|secret| !secret.is_empty());
            if is_secret {
                words.loss = Some("web_search_tool_result");
            }
            Ok::<_, Error>(())
        })
    });
    if read.is_ok() && !words.text.is_empty() {
        // Texts of one answer may be joined as they are.
        words.text.push_str("\n\n");
    }
    Some(words)
}

/// Most pages that are told of.
const MOST_PAGES: usize = 64;

/// The search behind cited pages, for a client that looks for its blocks: some servers name only what they cite
/// (Chat, 2.13). What was searched for they do not say.
#[derive(Debug, Default)]
pub(super) struct Cited(Vec<WebSearchResult<'static>>);

impl Cited {
    /// Takes one more page, unless it is known already.
    pub(super) fn add(&mut self, citation: &Citation<'_>) {
        let known = self.0.iter().any(|page| page.url == citation.url);
        if !known && !citation.url.is_empty() && self.0.len() < MOST_PAGES {
            let title = citation.title.clone().filter(|title| !title.is_empty());
            let page = WebSearchResult { url: citation.url.clone(), title };
            self.0.push(page.into_owned());
        }
    }

    /// The search, if a page was cited.
    pub(super) fn search(self) -> Option<WebSearchCall<'static>> {
        let results = self.0;
        (!results.is_empty()).then(|| WebSearchCall { results, ..WebSearchCall::default() })
    }
}

/// Writes the block of the call; without a query if that comes in a delta.
pub(super) fn write_call(id: &Str<'_>, query: Option<&Str<'_>>, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("type").text("server_tool_use");
    w.key("id").string(id);
    w.key("name").text("web_search");
    w.key("input").begin_object();
    if let Some(query) = query {
        w.key("query").string(query);
    }
    w.end_object().end_object();
}

/// Writes the block of the result. What Anthropic encrypts cannot be forged and is left empty (2.13).
pub(super) fn write_result(id: &Str<'_>, call: &WebSearchCall<'_>, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("type").text("web_search_tool_result");
    w.key("tool_use_id").string(id);
    w.key("content");
    if call.is_failed {
        w.begin_object().key("type").text("web_search_tool_result_error");
        w.key("error_code").text("unavailable").end_object();
    } else {
        w.begin_array();
        for result in &call.results {
            w.begin_object().key("type").text("web_search_result");
            w.key("url").string(&result.url);
            // Clients list titles; an address says more than nothing.
            w.key("title").string(result.title.as_ref().unwrap_or(&result.url));
            w.key("encrypted_content").text("");
            w.key("page_age").null().end_object();
        }
        w.end_array();
    }
    w.end_object();
}
