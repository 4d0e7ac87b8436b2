//! Searches of the web in answers: items of type `web_search_call` (2.13).

use crate::protocol::Protocol;
use crate::protocol::canonical::{WebSearchCall, WebSearchResult};
use crate::protocol::json::{Error, Raw, Reader, Str, Writer};

/// Reads the action of an item; `None` if it is no search: the tool also opens pages, which others do elsewhere.
pub(super) fn read<'a>(
    action: Option<Reader<'a>>,
    id: Str<'a>,
    status: &Str<'_>,
    raw: Raw<'a>,
) -> Result<Option<WebSearchCall<'a>>, Error> {
    let mut call = WebSearchCall {
        id,
        is_failed: *status == "failed",
        native: Some((Protocol::Responses, vec![raw])),
        ..WebSearchCall::default()
    };
    let (mut kind, mut query) = (Str::EMPTY, None);
    if let Some(mut action) = action {
        action.lenient_object(|key, value| {
            match key {
                "type" => kind = value.lenient_string()?.unwrap_or_default(),
                "query" => query = value.lenient_string()?,
                "queries" => value.lenient_array(|one| {
                    call.queries.extend(one.lenient_string()?);
                    Ok::<_, Error>(())
                })?,
                "sources" => value.lenient_array(|source| {
                    call.results.extend(WebSearchResult::read(source)?);
                    Ok::<_, Error>(())
                })?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
    }
    if call.queries.is_empty() {
        call.queries.extend(query.filter(|query| !query.is_empty()));
    }
    Ok((kind.is_empty() || kind == "search").then_some(call))
}

/// Writes the item; the sources come with its end only.
pub(super) fn write(id: &str, call: &WebSearchCall<'_>, is_done: bool, w: &mut Writer<'_>) {
    w.begin_object();
    w.key("id").text(id);
    w.key("type").text("web_search_call");
    w.key("status").text(match (is_done, call.is_failed) {
        (false, _) => "in_progress",
        (true, false) => "completed",
        (true, true) => "failed",
    });
    w.key("action").begin_object().key("type").text("search");
    w.key("query").string(&call.query());
    w.key("queries").begin_array();
    call.queries.iter().for_each(|query| {
        w.string(query);
    });
    w.end_array();
    if is_done && !call.results.is_empty() {
        w.key("sources").begin_array();
        for result in &call.results {
            w.begin_object().key("type").text("url").key("url").string(&result.url).end_object();
        }
        w.end_array();
    }
    w.end_object().end_object();
}
