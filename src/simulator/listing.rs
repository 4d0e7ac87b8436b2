//! Model lists, in the shape of each provider.

use super::Protocol;
use super::ids::{CREATED, CREATED_RFC3339};
use super::route::parameter;
use super::wire::{list, pretty, quoted};

/// All models, or the page of them that the query asks for.
pub(crate) fn all(protocol: Protocol, models: &[String], query: &str) -> String {
    match protocol {
        Protocol::Anthropic => anthropic(models, query),
        Protocol::OpenAi | Protocol::Responses => {
            let data = list(models.iter().map(|id| one(protocol, id)));
            format!(r#"{{"object":"list","data":{data}}}"#)
        }
        Protocol::Gemini => gemini(models, query),
    }
}

/// One model.
pub(crate) fn one(protocol: Protocol, id: &str) -> String {
    let name = quoted(id);
    match protocol {
        Protocol::Anthropic => {
            format!(
                r#"{{"type":"model","id":{name},"display_name":{name},"created_at":"{CREATED_RFC3339}","lifecycle":"active","deprecated_at":null,"retires_at":null,"line":null,"max_input_tokens":200000,"max_tokens":64000,"capabilities":null}}"#
            )
        }
        Protocol::OpenAi | Protocol::Responses => {
            format!(r#"{{"id":{name},"object":"model","created":{CREATED},"owned_by":"simulator"}}"#)
        }
        Protocol::Gemini => pretty(&google(id)),
    }
}

fn anthropic(models: &[String], query: &str) -> String {
    let limit = parameter(query, "limit").and_then(|n| n.parse().ok()).unwrap_or(20_usize).clamp(1, 1000);
    let place = |name: &str| {
        let id = parameter(query, name)?;
        models.iter().position(|model| *model == id)
    };
    let (start, end) = match (place("after_id"), place("before_id")) {
        (Some(after), _) => (after + 1, (after + 1 + limit).min(models.len())),
        (None, Some(before)) => (before.saturating_sub(limit), before),
        (None, None) => (0, limit.min(models.len())),
    };
    let page = models.get(start..end).unwrap_or_default();
    let more = if parameter(query, "before_id").is_some() { start > 0 } else { end < models.len() };
    let id = |model: Option<&String>| model.map_or_else(|| String::from("null"), |id| quoted(id));
    format!(
        r#"{{"data":{},"has_more":{more},"first_id":{},"last_id":{}}}"#,
        list(page.iter().map(|model| one(Protocol::Anthropic, model))),
        id(page.first()),
        id(page.last()),
    )
}

fn gemini(models: &[String], query: &str) -> String {
    let number = |name: &str| parameter(query, name).and_then(|n| n.parse::<usize>().ok());
    let size = number("pageSize").unwrap_or(50).clamp(1, 1000);
    let start = number("pageToken").unwrap_or(0).min(models.len());
    let end = (start + size).min(models.len());
    let page = list(models.get(start..end).unwrap_or_default().iter().map(|id| google(id)));
    let next = if end < models.len() { format!(r#","nextPageToken":"{end}""#) } else { String::new() };
    pretty(&format!(r#"{{"models":{page}{next}}}"#))
}

fn google(id: &str) -> String {
    let resource = quoted(&format!("models/{id}"));
    let name = quoted(id);
    format!(
        r#"{{"name":{resource},"version":"001","displayName":{name},"description":"A simulated model","inputTokenLimit":1048576,"outputTokenLimit":65536,"supportedGenerationMethods":["generateContent","streamGenerateContent","countTokens"],"temperature":1,"topP":0.95,"topK":64,"maxTemperature":2,"thinking":true}}"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn list_of(protocol: Protocol, query: &str) -> Value {
        let models = ["a", "b/c", "d"].map(String::from);
        serde_json::from_str(&all(protocol, &models, query)).unwrap()
    }

    #[test]
    fn openai_lists_everything() {
        let list = list_of(Protocol::OpenAi, "");
        assert_eq!(list["object"], "list");
        assert_eq!(
            list["data"][1],
            json!({"id": "b/c", "object": "model", "created": CREATED, "owned_by": "simulator"})
        );
    }

    #[test]
    fn anthropic_pages() {
        let page = list_of(Protocol::Anthropic, "limit=2");
        assert_eq!((&page["has_more"], &page["last_id"]), (&json!(true), &json!("b/c")));
        let page = list_of(Protocol::Anthropic, "limit=2&after_id=b%2Fc");
        assert_eq!((&page["has_more"], &page["first_id"]), (&json!(false), &json!("d")));
        let page = list_of(Protocol::Anthropic, "limit=1&before_id=d");
        assert_eq!((&page["has_more"], &page["first_id"]), (&json!(true), &json!("b/c")));
        let none: Value = serde_json::from_str(&all(Protocol::Anthropic, &[], "")).unwrap();
        assert_eq!(none, json!({"data": [], "has_more": false, "first_id": null, "last_id": null}));
    }

    #[test]
    fn google_pages() {
        let page = list_of(Protocol::Gemini, "pageSize=2");
        assert_eq!(page["models"][1]["name"], "models/b/c");
        assert_eq!(page["nextPageToken"], "2");
        let page = list_of(Protocol::Gemini, "pageSize=2&pageToken=2");
        assert_eq!(page["models"].as_array().map(Vec::len), Some(1));
        assert!(page.get("nextPageToken").is_none());
    }
}
