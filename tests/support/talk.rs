//! A conversation, written as a client of each protocol writes it.

use serde_json::{Value, json};

use super::Protocol;
use super::answer::Call;
use super::client;

/// One black pixel.
pub const PNG: &str =
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJRU5ErkJggg==";

/// A turn of a conversation.
#[derive(Clone, Debug)]
pub enum Turn {
    User(String),
    /// A text, then a picture.
    Picture(String),
    Calls(Vec<Call>),
    /// What each call gave.
    Results(Vec<(Call, String)>),
}

/// What a client asks.
#[derive(Clone, Debug)]
pub struct Talk {
    pub model: String,
    pub system: Option<String>,
    pub turns: Vec<Turn>,
    pub tools: bool,
    pub stream: bool,
    pub max_tokens: Option<u64>,
}

impl Talk {
    pub fn new(model: &str, user: &str) -> Talk {
        Talk {
            model: model.to_owned(),
            system: None,
            turns: vec![Turn::User(user.to_owned())],
            tools: false,
            stream: false,
            max_tokens: None,
        }
    }

    #[must_use]
    pub fn stream(mut self, stream: bool) -> Talk {
        self.stream = stream;
        self
    }

    /// Offers `weather(city, days)` and `clock(zone)`.
    #[must_use]
    pub fn tools(mut self) -> Talk {
        self.tools = true;
        self
    }

    #[must_use]
    pub fn system(mut self, text: &str) -> Talk {
        self.system = Some(text.to_owned());
        self
    }

    #[must_use]
    pub fn picture(mut self) -> Talk {
        for turn in &mut self.turns {
            if let Turn::User(text) = turn {
                *turn = Turn::Picture(std::mem::take(text));
            }
        }
        self
    }

    #[must_use]
    pub fn max_tokens(mut self, tokens: u64) -> Talk {
        self.max_tokens = Some(tokens);
        self
    }

    /// The next request: the calls, and what they gave.
    #[must_use]
    pub fn results(mut self, calls: &[Call], results: &[&str]) -> Talk {
        assert_eq!(calls.len(), results.len());
        let results = calls.iter().cloned().zip(results.iter().map(|result| (*result).to_owned()));
        self.turns.push(Turn::Calls(calls.to_vec()));
        self.turns.push(Turn::Results(results.collect()));
        self
    }

    /// Where it goes.
    pub fn path(&self, protocol: Protocol) -> String {
        match protocol {
            Protocol::Anthropic => "/v1/messages".to_owned(),
            Protocol::OpenAi => "/v1/chat/completions".to_owned(),
            Protocol::Responses => "/v1/responses".to_owned(),
            Protocol::Gemini if self.stream => {
                format!("/v1beta/models/{}:streamGenerateContent?alt=sse", self.model)
            }
            Protocol::Gemini => format!("/v1beta/models/{}:generateContent", self.model),
        }
    }

    pub fn body(&self, protocol: Protocol) -> Value {
        match protocol {
            Protocol::Anthropic => self.anthropic(),
            Protocol::OpenAi => self.openai(),
            Protocol::Responses => self.responses(),
            Protocol::Gemini => self.gemini(),
        }
    }

    pub fn request(&self, protocol: Protocol) -> http::Request<http_body_util::Full<bytes::Bytes>> {
        client::post(&self.path(protocol), self.body(protocol))
    }

    fn anthropic(&self) -> Value {
        let turns = self.turns.iter().map(|turn| match turn {
            Turn::User(text) => json!({"role": "user", "content": text}),
            Turn::Picture(text) => json!({"role": "user", "content": [
                {"type": "text", "text": text},
                {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": PNG}},
            ]}),
            Turn::Calls(calls) => json!({"role": "assistant", "content": calls.iter().map(|call| json!({
                "type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments,
            })).collect::<Vec<_>>()}),
            Turn::Results(results) => {
                json!({"role": "user", "content": results.iter().map(|(call, result)| json!({
                "type": "tool_result", "tool_use_id": call.id, "content": result,
            })).collect::<Vec<_>>()})
            }
        });
        let mut body = json!({
            "model": self.model,
            "max_tokens": self.max_tokens.unwrap_or(1000),
            "messages": turns.collect::<Vec<_>>(),
            "stream": self.stream,
        });
        if let Some(system) = &self.system {
            body["system"] = json!(system);
        }
        if self.tools {
            body["tools"] = tools(|name, schema| json!({"name": name, "input_schema": schema}));
        }
        body
    }

    fn openai(&self) -> Value {
        let mut messages: Vec<Value> = Vec::new();
        messages.extend(self.system.iter().map(|text| json!({"role": "system", "content": text})));
        for turn in &self.turns {
            match turn {
                Turn::User(text) => messages.push(json!({"role": "user", "content": text})),
                Turn::Picture(text) => messages.push(json!({"role": "user", "content": [
                    {"type": "text", "text": text},
                    {"type": "image_url", "image_url": {"url": format!("data:image/png;base64,{PNG}")}},
                ]})),
                Turn::Calls(calls) => messages.push(json!({
                    "role": "assistant", "content": null, "tool_calls": calls.iter().map(|call| json!({
                        "id": call.id, "type": "function",
                        "function": {"name": call.name, "arguments": call.arguments.to_string()},
                    })).collect::<Vec<_>>(),
                })),
                Turn::Results(results) => messages.extend(results.iter().map(
                    |(call, result)| json!({"role": "tool", "tool_call_id": call.id, "content": result}),
                )),
            }
        }
        let mut body = json!({"model": self.model, "messages": messages});
        if self.stream {
            body["stream"] = json!(true);
            body["stream_options"] = json!({"include_usage": true});
        }
        if let Some(tokens) = self.max_tokens {
            body["max_completion_tokens"] = json!(tokens);
        }
        if self.tools {
            body["tools"] = tools(
                |name, schema| json!({"type": "function", "function": {"name": name, "parameters": schema}}),
            );
        }
        body
    }

    fn responses(&self) -> Value {
        let mut input: Vec<Value> = Vec::new();
        for turn in &self.turns {
            match turn {
                Turn::User(text) => input.push(json!({"role": "user", "content": text})),
                Turn::Picture(text) => input.push(json!({"role": "user", "content": [
                    {"type": "input_text", "text": text},
                    {"type": "input_image", "image_url": format!("data:image/png;base64,{PNG}")},
                ]})),
                Turn::Calls(calls) => input.extend(calls.iter().map(|call| json!({
                    "type": "function_call", "call_id": call.id, "name": call.name,
                    "arguments": call.arguments.to_string(),
                }))),
                Turn::Results(results) => input.extend(results.iter().map(|(call, result)| {
                    json!({"type": "function_call_output", "call_id": call.id, "output": result})
                })),
            }
        }
        let mut body = json!({"model": self.model, "input": input, "stream": self.stream});
        if let Some(system) = &self.system {
            body["instructions"] = json!(system);
        }
        if let Some(tokens) = self.max_tokens {
            body["max_output_tokens"] = json!(tokens);
        }
        if self.tools {
            body["tools"] = tools(
                |name, schema| json!({"type": "function", "name": name, "parameters": schema, "strict": false}),
            );
        }
        body
    }

    fn gemini(&self) -> Value {
        let contents = self.turns.iter().map(|turn| match turn {
            Turn::User(text) => json!({"role": "user", "parts": [{"text": text}]}),
            Turn::Picture(text) => json!({"role": "user", "parts": [
                {"text": text},
                {"inlineData": {"mimeType": "image/png", "data": PNG}},
            ]}),
            Turn::Calls(calls) => json!({"role": "model", "parts": calls.iter().map(|call| json!({
                "functionCall": with_id(call, json!({"name": call.name, "args": call.arguments})),
            })).collect::<Vec<_>>()}),
            Turn::Results(results) => {
                json!({"role": "user", "parts": results.iter().map(|(call, result)| json!({
                "functionResponse": with_id(call, json!({"name": call.name, "response": {"result": result}})),
            })).collect::<Vec<_>>()})
            }
        });
        let mut body = json!({"contents": contents.collect::<Vec<_>>()});
        if let Some(system) = &self.system {
            body["systemInstruction"] = json!({"parts": [{"text": system}]});
        }
        if let Some(tokens) = self.max_tokens {
            body["generationConfig"] = json!({"maxOutputTokens": tokens});
        }
        if self.tools {
            let declarations = tools(|name, schema| json!({"name": name, "parameters": schema}));
            body["tools"] = json!([{"functionDeclarations": declarations}]);
        }
        body
    }
}

/// Gemini's older models give calls no id, and want none back.
fn with_id(call: &Call, mut value: Value) -> Value {
    if !call.id.is_empty() {
        value["id"] = json!(call.id);
    }
    value
}

fn tools(write: impl Fn(&str, Value) -> Value) -> Value {
    let weather = json!({
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city", "days"],
    });
    let clock = json!({
        "type": "object",
        "properties": {"zone": {"type": "string"}},
        "required": ["zone"],
    });
    json!([write("weather", weather), write("clock", clock)])
}
