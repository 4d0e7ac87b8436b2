//! The response object and its items.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{ENCRYPTED, SEALED};
use crate::simulator::ids::CREATED;
use crate::simulator::openai::tokens_of;
use crate::simulator::refusal::Refusal;
use crate::simulator::script::{Finish, Usage};
use crate::simulator::search;
use crate::simulator::stage::Scene;
use crate::simulator::wire::{list, quoted};

/// One output item.
#[derive(Clone, Debug)]
pub(super) enum Item {
    /// Reasoning, with the summary as it is shown.
    Reasoning,
    /// The search of the web before the text.
    Search,
    /// The text.
    Message,
    /// The call with this number.
    Call(usize),
}

/// The items of an answer, in order.
pub(super) fn items(scene: Scene<'_>) -> Vec<Item> {
    let answer = scene.answer;
    let reasoning = answer.reasoning.is_some().then_some(Item::Reasoning);
    let speaks = answer.calls.is_empty() && !answer.text.is_empty();
    let search = answer.search.is_some().then_some(Item::Search);
    let message = speaks.then_some(Item::Message);
    let calls = (0..answer.calls.len()).map(Item::Call);
    reasoning.into_iter().chain(search).chain(message).chain(calls).collect()
}

/// The identifier of an item.
pub(super) fn item_id(scene: Scene<'_>, item: &Item) -> String {
    let ids = scene.answer.ids;
    match item {
        Item::Reasoning => ids.hex("rs_", 2, 50),
        Item::Search => ids.hex("ws_", 4, 50),
        Item::Message => ids.hex("msg_", 3, 50),
        Item::Call(n) => {
            let custom = scene.answer.calls.get(*n).is_some_and(|call| call.custom);
            ids.hex(if custom { "ctc_" } else { "fc_" }, 200 + *n as u64, 50)
        }
    }
}

/// An item as JSON: as it begins, or complete.
pub(super) fn item(scene: Scene<'_>, item: &Item, done: bool) -> String {
    let answer = scene.answer;
    let id = item_id(scene, item);
    let status = match (done, &answer.finish) {
        (false, _) => "in_progress",
        (true, Finish::Length | Finish::Filtered) => "incomplete",
        (true, _) => "completed",
    };
    match item {
        Item::Reasoning => reasoning(scene, &id, done),
        Item::Search => search(scene, &id, done),
        Item::Message => {
            let content = if done { format!("[{}]", full_part(scene)) } else { String::from("[]") };
            format!(
                r#"{{"id":"{id}","type":"message","status":"{status}","content":{content},"role":"assistant"}}"#
            )
        }
        Item::Call(n) => {
            let Some(call) = answer.calls.get(*n) else { return String::from("null") };
            let (kind, input) =
                if call.custom { ("custom_tool_call", "input") } else { ("function_call", "arguments") };
            let arguments = quoted(if done { &call.arguments } else { "" });
            let call_id = answer.ids.base62("call_", 100 + *n as u64, 24);
            let name = quoted(&call.name);
            let namespace = match &call.namespace {
                Some(namespace) => format!(r#","namespace":{}"#, quoted(namespace)),
                None => String::new(),
            };
            format!(
                r#"{{"id":"{id}","type":"{kind}","status":"{status}","{input}":{arguments},"call_id":"{call_id}","name":{name}{namespace}}}"#
            )
        }
    }
}

fn reasoning(scene: Scene<'_>, id: &str, done: bool) -> String {
    let sealed = is_included(scene, "reasoning.encrypted_content");
    // What the first event carries is not what counts in the end.
    let salt = if done { 8 } else { 9 };
    let sealed = if sealed {
        format!(r#""encrypted_content":"{}","#, scene.answer.ids.base62(ENCRYPTED, salt, SEALED))
    } else {
        String::new()
    };
    let text = scene.answer.reasoning.as_deref().unwrap_or_default();
    let summary = if done && !text.is_empty() { format!("[{}]", summary(text)) } else { String::from("[]") };
    format!(r#"{{"id":"{id}","type":"reasoning",{sealed}"summary":{summary}}}"#)
}

/// A summary part.
pub(super) fn summary(text: &str) -> String {
    format!(r#"{{"type":"summary_text","text":{}}}"#, quoted(text))
}

fn search(scene: Scene<'_>, id: &str, done: bool) -> String {
    if !done {
        return format!(r#"{{"id":"{id}","type":"web_search_call","status":"in_progress"}}"#);
    }
    let query = quoted(scene.answer.search.as_deref().unwrap_or_default());
    let sources = if is_included(scene, "web_search_call.action.sources") {
        format!(r#","sources":{}"#, search::pages(|url, _| format!(r#"{{"type":"url","url":{url}}}"#)))
    } else {
        String::new()
    };
    format!(
        r#"{{"id":"{id}","type":"web_search_call","status":"completed","action":{{"type":"search","queries":[{query}],"query":{query}{sources}}}}}"#
    )
}

fn is_included(scene: Scene<'_>, name: &str) -> bool {
    let included = scene.body.get("include").and_then(Value::as_array);
    included.into_iter().flatten().any(|one| one == name)
}

/// An empty text part.
pub(super) fn part() -> String {
    String::from(r#"{"type":"output_text","annotations":[],"logprobs":[],"text":""}"#)
}

/// The text part of the answer.
pub(super) fn full_part(scene: Scene<'_>) -> String {
    let answer = scene.answer;
    format!(
        r#"{{"type":"output_text","annotations":[{}],"logprobs":{},"text":{}}}"#,
        annotation(scene).unwrap_or_default(),
        logprobs(scene, &answer.pieces()),
        quoted(&answer.text)
    )
}

/// The source of the text, if it was searched for.
pub(super) fn annotation(scene: Scene<'_>) -> Option<String> {
    scene.answer.search.as_ref()?;
    Some(search::cited(|url, title| {
        let end = search::CITED;
        format!(r#"{{"type":"url_citation","end_index":{end},"start_index":0,"title":{title},"url":{url}}}"#)
    }))
}

/// The tokens of these pieces, as a list that is empty if nobody asked.
pub(super) fn logprobs(scene: Scene<'_>, pieces: &[&str]) -> String {
    scene.ask.logprobs.map_or_else(|| String::from("[]"), |most| tokens_of(pieces, most))
}

/// How far a response is.
#[derive(Clone, Copy, Debug)]
pub(super) enum State<'a> {
    /// Nothing is said yet.
    Begun,
    /// All is said.
    Over,
    /// It broke; with the items that were complete.
    Failed(&'a Refusal, &'a str),
}

/// An answer that is not streamed.
pub(crate) fn whole(scene: Scene<'_>) -> String {
    response(scene, State::Over, &Echo::of(scene.body))
}

/// The response object.
pub(super) fn response(scene: Scene<'_>, state: State<'_>, echo: &Echo) -> String {
    let answer = scene.answer;
    let (status, incomplete) = match (state, &answer.finish) {
        (State::Begun, _) => ("in_progress", None),
        (State::Failed(..), _) => ("failed", None),
        (State::Over, Finish::Length) => ("incomplete", Some("max_output_tokens")),
        (State::Over, Finish::Filtered) => ("incomplete", Some("content_filter")),
        (State::Over, _) => ("completed", None),
    };
    let incomplete =
        incomplete.map_or_else(|| String::from("null"), |reason| format!(r#"{{"reason":"{reason}"}}"#));
    let (output, error) = match state {
        State::Begun => (String::from("[]"), String::from("null")),
        State::Over => (list(items(scene).iter().map(|one| item(scene, one, true))), String::from("null")),
        State::Failed(refusal, output) => (output.to_owned(), failure(refusal)),
    };
    let completed = if status == "completed" { CREATED.to_string() } else { String::from("null") };
    let usage = match state {
        State::Begun | State::Failed(..) => String::from("null"),
        State::Over => usage(answer.usage),
    };
    let mut out = String::with_capacity(1200 + output.len());
    let id = answer.ids.hex("resp_", 0, 50);
    let _ = write!(
        out,
        r#"{{"id":"{id}","object":"response","created_at":{CREATED},"status":"{status}","completed_at":{completed},"error":{error},"incomplete_details":{incomplete},{},"model":{},"output":{output},{},"usage":{usage},{}}}"#,
        echo.first,
        quoted(&scene.ask.model),
        echo.second,
        echo.third,
    );
    out
}

fn failure(refusal: &Refusal) -> String {
    let code = refusal.code.unwrap_or("server_error");
    format!(r#"{{"code":"{code}","message":{}}}"#, quoted(&refusal.message))
}

fn usage(usage: Usage) -> String {
    format!(
        r#"{{"input_tokens":{},"input_tokens_details":{{"cached_tokens":0,"cache_write_tokens":0}},"output_tokens":{},"output_tokens_details":{{"reasoning_tokens":{}}},"total_tokens":{}}}"#,
        usage.input,
        usage.output,
        usage.reasoning,
        usage.input + usage.output
    )
}

/// What the response repeats of the request, in three runs of members.
pub(super) struct Echo {
    first: String,
    second: String,
    third: String,
}

impl Echo {
    /// Reads it from the request, with the API's defaults.
    pub(super) fn of(body: &Value) -> Self {
        let members = |list: &[(&str, Value)]| {
            let mut out = String::new();
            for (name, default) in list {
                let value = body.get(name).filter(|value| !value.is_null()).unwrap_or(default);
                let separator = if out.is_empty() { "" } else { "," };
                let _ = write!(out, "{separator}\"{name}\":{value}");
            }
            out
        };
        let mut second = members(&[
            ("parallel_tool_calls", json!(true)),
            ("previous_response_id", Value::Null),
            ("prompt_cache_key", Value::Null),
        ]);
        let _ = write!(second, ",\"reasoning\":{}", reasoning_echo(body));
        let rest = members(&[
            ("safety_identifier", Value::Null),
            ("service_tier", json!("default")),
            ("store", json!(true)),
            ("temperature", json!(1.0)),
        ]);
        let _ = write!(second, ",{rest},\"text\":{},", text_echo(body));
        second.push_str(&members(&[("tool_choice", json!("auto"))]));
        let _ = write!(second, ",\"tools\":{},", tools_echo(body));
        second.push_str(&members(&[
            ("top_logprobs", json!(0)),
            ("top_p", json!(1.0)),
            ("truncation", json!("disabled")),
        ]));
        Echo {
            first: members(&[
                ("background", json!(false)),
                ("instructions", Value::Null),
                ("max_output_tokens", Value::Null),
                ("max_tool_calls", Value::Null),
            ]),
            second,
            third: members(&[("user", Value::Null), ("metadata", json!({}))]),
        }
    }
}

fn reasoning_echo(body: &Value) -> Value {
    let field = |name: &str| body.pointer(&format!("/reasoning/{name}")).cloned().unwrap_or_default();
    json!({"effort": field("effort"), "summary": field("summary")})
}

fn text_echo(body: &Value) -> Value {
    let field = |name: &str| body.pointer(&format!("/text/{name}")).filter(|value| !value.is_null());
    let format = field("format").cloned().unwrap_or_else(|| json!({"type": "text"}));
    json!({"format": format, "verbosity": field("verbosity").cloned().unwrap_or_else(|| json!("medium"))})
}

/// Functions are repeated with all their members; `strict` is on when it was not said.
fn tools_echo(body: &Value) -> String {
    let tools = body.get("tools").and_then(Value::as_array);
    list(tools.into_iter().flatten().map(|tool| {
        let mut tool = tool.clone();
        if let (Some("function"), Some(fields)) =
            (tool.get("type").and_then(Value::as_str).map(str::to_owned).as_deref(), tool.as_object_mut())
        {
            fields.entry("description").or_insert(Value::Null);
            fields.entry("parameters").or_insert(Value::Null);
            let strict = fields.entry("strict").or_insert(Value::Null);
            if strict.is_null() {
                *strict = Value::Bool(true);
            }
        }
        tool.to_string()
    }))
}
