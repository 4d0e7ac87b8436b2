//! An answer, read as a client of each protocol reads it.

use serde_json::{Value, json};

use super::Protocol;
use super::client::Event;

/// A call of a tool.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Empty where the protocol gives none.
    pub id: String,
    pub name: String,
    pub arguments: Value,
}

/// Why an answer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Finish {
    /// No word about it: the answer is not complete.
    Missing,
    Stop,
    Calls,
    Length,
    /// Anything else.
    Other,
}

/// What a client makes of an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    pub model: String,
    pub text: String,
    pub calls: Vec<Call>,
    pub finish: Finish,
    pub input_tokens: u64,
    pub output_tokens: u64,
}

impl Answer {
    fn empty() -> Answer {
        Answer {
            model: String::new(),
            text: String::new(),
            calls: Vec::new(),
            finish: Finish::Missing,
            input_tokens: 0,
            output_tokens: 0,
        }
    }

    /// Name and arguments of each call.
    pub fn named_calls(&self) -> Vec<(&str, &Value)> {
        self.calls.iter().map(|call| (call.name.as_str(), &call.arguments)).collect()
    }
}

/// Reads a whole answer.
pub fn document(protocol: Protocol, body: &Value) -> Answer {
    match protocol {
        Protocol::Anthropic => anthropic(body),
        Protocol::OpenAi => openai(body),
        Protocol::Responses => responses(body),
        Protocol::Gemini => gemini([body]),
    }
}

/// Folds a stream; an answer without its end has no finish.
pub fn stream(protocol: Protocol, events: &[Event]) -> Answer {
    match protocol {
        Protocol::Anthropic => anthropic_stream(events),
        Protocol::OpenAi => openai_stream(events),
        Protocol::Responses => responses_stream(events),
        Protocol::Gemini => gemini(&events.iter().map(Event::json).collect::<Vec<_>>()),
    }
}

/// The error that a stream ends with, checked for its shape: the last event, and no success beside it.
pub fn stream_error(protocol: Protocol, events: &[Event]) -> Option<Value> {
    let last = events.last()?;
    let value = last.json();
    let error = match protocol {
        Protocol::Anthropic => (last.name.as_deref() == Some("error") && value["type"] == "error")
            .then(|| value["error"].clone()),
        Protocol::OpenAi | Protocol::Gemini => value.get("error").cloned(),
        Protocol::Responses => (value["type"] == "response.failed"
            && value["response"]["status"] == "failed")
            .then(|| value["response"]["error"].clone()),
    }?;
    let text = |key: &str| error[key].as_str().is_some_and(|text| !text.is_empty());
    let shaped = match protocol {
        Protocol::Anthropic | Protocol::OpenAi => text("type") && text("message"),
        Protocol::Responses => text("code") && text("message"),
        // SDKs find the error only where it is the first key.
        Protocol::Gemini => {
            error["code"].is_u64()
                && text("status")
                && text("message")
                && last.data.starts_with(r#"{"error""#)
        }
    };
    assert!(shaped, "{protocol}: {last:?}");
    assert_eq!(
        stream(protocol, events).finish,
        Finish::Missing,
        "{protocol}: success before an error: {events:?}"
    );
    Some(error)
}

/// Checks that an error answer has the protocol's shape; its kind, in the protocol's own word.
pub fn error_kind(protocol: Protocol, body: &Value) -> String {
    let error = &body["error"];
    assert!(error["message"].as_str().is_some_and(|text| !text.is_empty()), "{protocol}: {body}");
    let (shaped, kind) = match protocol {
        Protocol::Anthropic => (body["type"] == "error", &error["type"]),
        Protocol::OpenAi | Protocol::Responses => {
            let keys = ["message", "type", "param", "code"];
            (keys.iter().all(|key| error.get(key).is_some()), &error["type"])
        }
        Protocol::Gemini => (error["code"].is_u64(), &error["status"]),
    };
    assert!(shaped, "{protocol}: {body}");
    kind.as_str().unwrap_or_else(|| panic!("{protocol}: {body}")).to_owned()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Arguments that are no JSON stay the text that they are.
fn parsed(arguments: &Value) -> Value {
    serde_json::from_str(text(arguments)).unwrap_or_else(|_| arguments.clone())
}

fn anthropic(body: &Value) -> Answer {
    let mut answer = Answer { model: text(&body["model"]).to_owned(), ..Answer::empty() };
    for block in body["content"].as_array().unwrap_or_else(|| panic!("no content: {body}")) {
        match text(&block["type"]) {
            "text" => answer.text.push_str(text(&block["text"])),
            "tool_use" => answer.calls.push(Call {
                id: text(&block["id"]).to_owned(),
                name: text(&block["name"]).to_owned(),
                arguments: block["input"].clone(),
            }),
            _ => {}
        }
    }
    answer.finish = match body["stop_reason"].as_str() {
        None => Finish::Missing,
        Some("end_turn") => Finish::Stop,
        Some("tool_use") => Finish::Calls,
        Some("max_tokens") => Finish::Length,
        Some(_) => Finish::Other,
    };
    let count = |key: &str| body["usage"][key].as_u64().unwrap_or(0);
    answer.input_tokens = count("input_tokens");
    answer.output_tokens = count("output_tokens");
    answer
}

fn anthropic_stream(events: &[Event]) -> Answer {
    let mut message = json!({"content": []});
    let mut arguments = String::new();
    let mut is_over = false;
    for event in events {
        let value = event.json();
        assert_eq!(event.name.as_deref(), value["type"].as_str(), "{event:?}");
        let blocks = message["content"].as_array().map_or(0, Vec::len);
        match text(&value["type"]) {
            "message_start" => message = value["message"].clone(),
            "content_block_start" => {
                assert_eq!(value["index"], blocks, "{events:?}");
                arguments.clear();
                message["content"].as_array_mut().unwrap().push(value["content_block"].clone());
            }
            "content_block_delta" => {
                assert_eq!(value["index"], blocks - 1, "{events:?}");
                let block = &mut message["content"][blocks - 1];
                match text(&value["delta"]["type"]) {
                    "text_delta" => {
                        block["text"] =
                            json!(format!("{}{}", text(&block["text"]), text(&value["delta"]["text"])));
                    }
                    "input_json_delta" => arguments.push_str(text(&value["delta"]["partial_json"])),
                    _ => {}
                }
            }
            "content_block_stop" if !arguments.is_empty() => {
                message["content"][blocks - 1]["input"] = parsed(&json!(arguments));
            }
            "message_delta" => {
                message["stop_reason"] = value["delta"]["stop_reason"].clone();
                for (key, count) in value["usage"].as_object().into_iter().flatten() {
                    message["usage"][key] = count.clone();
                }
            }
            "message_stop" => is_over = true,
            _ => {}
        }
    }
    let answer = anthropic(&message);
    Answer { finish: if is_over { answer.finish } else { Finish::Missing }, ..answer }
}

fn openai_finish(reason: &Value) -> Finish {
    match reason.as_str() {
        None => Finish::Missing,
        Some("stop") => Finish::Stop,
        Some("tool_calls") => Finish::Calls,
        Some("length") => Finish::Length,
        Some(_) => Finish::Other,
    }
}

fn openai(body: &Value) -> Answer {
    let choice = &body["choices"][0];
    let calls = choice["message"]["tool_calls"].as_array().cloned().unwrap_or_default();
    let calls = calls.iter().map(|call| Call {
        id: text(&call["id"]).to_owned(),
        name: text(&call["function"]["name"]).to_owned(),
        arguments: parsed(&call["function"]["arguments"]),
    });
    Answer {
        model: text(&body["model"]).to_owned(),
        text: text(&choice["message"]["content"]).to_owned(),
        calls: calls.collect(),
        finish: openai_finish(&choice["finish_reason"]),
        input_tokens: body["usage"]["prompt_tokens"].as_u64().unwrap_or(0),
        output_tokens: body["usage"]["completion_tokens"].as_u64().unwrap_or(0),
    }
}

fn openai_stream(events: &[Event]) -> Answer {
    let mut answer = Answer::empty();
    let mut arguments: Vec<String> = Vec::new();
    let mut finish = Finish::Missing;
    for event in events {
        if event.data == "[DONE]" {
            answer.finish = finish;
            continue;
        }
        let value = event.json();
        let choices = value["choices"].as_array();
        let first = choices.and_then(|all| all.iter().find(|choice| choice["index"] == 0));
        let choice = first.unwrap_or(&Value::Null);
        answer.model.clear();
        answer.model.push_str(text(&value["model"]));
        answer.text.push_str(text(&choice["delta"]["content"]));
        for call in choice["delta"]["tool_calls"].as_array().into_iter().flatten() {
            let index = call["index"].as_u64().unwrap() as usize;
            if index == arguments.len() {
                arguments.push(String::new());
                answer.calls.push(Call {
                    id: text(&call["id"]).to_owned(),
                    name: text(&call["function"]["name"]).to_owned(),
                    arguments: Value::Null,
                });
            }
            arguments[index].push_str(text(&call["function"]["arguments"]));
        }
        if choice["finish_reason"].is_string() {
            finish = openai_finish(&choice["finish_reason"]);
        }
        if value["usage"].is_object() {
            answer.input_tokens = value["usage"]["prompt_tokens"].as_u64().unwrap_or(0);
            answer.output_tokens = value["usage"]["completion_tokens"].as_u64().unwrap_or(0);
        }
    }
    if answer.finish != Finish::Missing {
        for (call, arguments) in answer.calls.iter_mut().zip(arguments) {
            call.arguments = parsed(&json!(arguments));
        }
    }
    answer
}

fn responses(body: &Value) -> Answer {
    let mut answer = Answer { model: text(&body["model"]).to_owned(), ..Answer::empty() };
    for item in body["output"].as_array().unwrap_or_else(|| panic!("no output: {body}")) {
        match text(&item["type"]) {
            "message" => {
                for part in item["content"].as_array().into_iter().flatten() {
                    answer.text.push_str(text(&part["text"]));
                }
            }
            "function_call" => answer.calls.push(Call {
                id: text(&item["call_id"]).to_owned(),
                name: text(&item["name"]).to_owned(),
                arguments: parsed(&item["arguments"]),
            }),
            _ => {}
        }
    }
    answer.finish = match (text(&body["status"]), text(&body["incomplete_details"]["reason"])) {
        ("completed", _) if !answer.calls.is_empty() => Finish::Calls,
        ("completed", _) => Finish::Stop,
        ("incomplete", "max_output_tokens") => Finish::Length,
        ("incomplete", _) => Finish::Other,
        _ => Finish::Missing,
    };
    answer.input_tokens = body["usage"]["input_tokens"].as_u64().unwrap_or(0);
    answer.output_tokens = body["usage"]["output_tokens"].as_u64().unwrap_or(0);
    answer
}

/// What the terminal event says; the deltas must say the same.
fn responses_stream(events: &[Event]) -> Answer {
    let mut deltas = Answer::empty();
    let mut terminal = None;
    for (number, event) in events.iter().enumerate() {
        let value = event.json();
        assert_eq!(event.name.as_deref(), value["type"].as_str(), "{event:?}");
        assert_eq!(value["sequence_number"], number, "{events:#?}");
        match text(&value["type"]) {
            "response.output_text.delta" => deltas.text.push_str(text(&value["delta"])),
            "response.completed" | "response.incomplete" => terminal = Some(value["response"].clone()),
            _ => {}
        }
    }
    let Some(response) = terminal else { return deltas };
    let answer = responses(&response);
    assert_eq!(answer.text, deltas.text, "{events:#?}");
    answer
}

fn gemini<'a>(chunks: impl IntoIterator<Item = &'a Value>) -> Answer {
    let mut answer = Answer::empty();
    for chunk in chunks {
        let candidate = &chunk["candidates"][0];
        if chunk["modelVersion"].is_string() {
            answer.model = text(&chunk["modelVersion"]).to_owned();
        }
        for part in candidate["content"]["parts"].as_array().into_iter().flatten() {
            if part["thought"] != true {
                answer.text.push_str(text(&part["text"]));
            }
            if let Some(call) = part.get("functionCall") {
                answer.calls.push(Call {
                    id: text(&call["id"]).to_owned(),
                    name: text(&call["name"]).to_owned(),
                    arguments: call["args"].clone(),
                });
            }
        }
        answer.finish = match candidate["finishReason"].as_str() {
            None => answer.finish,
            Some("STOP") => Finish::Stop,
            Some("MAX_TOKENS") => Finish::Length,
            Some(_) => Finish::Other,
        };
        let usage = &chunk["usageMetadata"];
        answer.input_tokens = usage["promptTokenCount"].as_u64().unwrap_or(answer.input_tokens);
        answer.output_tokens = usage["candidatesTokenCount"].as_u64().unwrap_or(answer.output_tokens);
    }
    if answer.finish == Finish::Stop && !answer.calls.is_empty() {
        answer.finish = Finish::Calls;
    }
    answer
}
