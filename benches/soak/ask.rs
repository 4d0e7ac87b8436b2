//! What the soak's clients ask, and what became of it.

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::header::CONTENT_TYPE;
use hyper::{Request, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};

pub type Http = Client<HttpConnector, Full<Bytes>>;

/// What a client speaks.
#[derive(Clone, Copy, Debug)]
pub enum Protocol {
    Anthropic,
    Chat,
    Responses,
    Gemini,
}

pub const ALL: [Protocol; 4] = [Protocol::Anthropic, Protocol::Chat, Protocol::Responses, Protocol::Gemini];

/// One request, recognised by its number: the simulated provider repeats what it was told.
#[derive(Clone, Debug)]
pub struct Ask {
    pub protocol: Protocol,
    pub model: String,
    pub number: u64,
    pub stream: bool,
    /// Leaves after the first piece of the answer.
    pub leaves: bool,
    /// Whether one of the upstreams answers without a word.
    pub may_be_blank: bool,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The whole answer to this request.
    Whole,
    /// An error, as an HTTP status or as the end of the stream.
    Told,
    /// The client left.
    Left,
    /// None of these: a broken connection, half an answer, somebody else's words.
    Lost,
}

impl Ask {
    pub async fn send(&self, http: &Http, origin: &str) -> (End, String) {
        let response = match http.request(self.request(origin)).await {
            Ok(response) => response,
            Err(error) => return (End::Lost, format!("no answer: {error}")),
        };
        let status = response.status();
        let mut body = response.into_body();
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            match frame {
                Ok(frame) => text.extend_from_slice(frame.data_ref().map_or(&[], |data| data)),
                Err(error) => return (End::Lost, format!("the answer broke off: {error}")),
            }
            if self.leaves {
                return (End::Left, String::new());
            }
        }
        let text = String::from_utf8_lossy(&text).into_owned();
        let end = match (status.is_success(), self.stream) {
            (false, _) if is_error(&text) => End::Told,
            (true, false) if self.is_mine(&document_text(self.protocol, &text)) => End::Whole,
            (true, true) => self.stream_end(&text),
            _ => End::Lost,
        };
        (end, text)
    }

    fn request(&self, origin: &str) -> Request<Full<Bytes>> {
        let Ask { protocol, model, stream, .. } = self;
        let words = self.words();
        let (path, body) = match protocol {
            Protocol::Anthropic => (
                "/v1/messages".to_owned(),
                json!({"model": model, "max_tokens": 100, "stream": stream,
                    "messages": [{"role": "user", "content": words}]}),
            ),
            Protocol::Chat => (
                "/v1/chat/completions".to_owned(),
                json!({"model": model, "stream": stream, "messages": [{"role": "user", "content": words}]}),
            ),
            Protocol::Responses => {
                ("/v1/responses".to_owned(), json!({"model": model, "stream": stream, "input": words}))
            }
            Protocol::Gemini => {
                let how = if *stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                (
                    format!("/v1beta/models/{model}:{how}"),
                    json!({"contents": [{"role": "user", "parts": [{"text": words}]}]}),
                )
            }
        };
        let uri: Uri = format!("{origin}{path}").parse().expect("a path of plain characters");
        let request = Request::post(uri).header(CONTENT_TYPE, "application/json");
        request.body(Full::from(body.to_string())).expect("a request of constants")
    }

    fn words(&self) -> String {
        format!("number {} here", self.number)
    }

    /// A model may also have nothing to say.
    fn is_mine(&self, said: &str) -> bool {
        said.contains(&self.words()) || self.may_be_blank && said.is_empty()
    }

    fn stream_end(&self, text: &str) -> End {
        let is_ended = match self.protocol {
            Protocol::Anthropic => text.contains("event: message_stop"),
            Protocol::Chat => text.contains("data: [DONE]"),
            Protocol::Responses => text.contains("event: response.completed"),
            Protocol::Gemini => text.contains("\"finishReason\""),
        };
        let is_told = text.lines().filter_map(data).any(|event| {
            event.get("error").is_some_and(Value::is_object) || event["type"] == "response.failed"
        });
        match (is_ended, is_told) {
            (true, false) if self.is_mine(&stream_text(self.protocol, text)) => End::Whole,
            (false, true) => End::Told,
            _ => End::Lost,
        }
    }
}

fn is_error(text: &str) -> bool {
    serde_json::from_str::<Value>(text).is_ok_and(|body| body.get("error").is_some_and(Value::is_object))
}

fn data(line: &str) -> Option<Value> {
    serde_json::from_str(line.strip_prefix("data:")?).ok()
}

fn document_text(protocol: Protocol, text: &str) -> String {
    let body: Value = serde_json::from_str(text).unwrap_or_default();
    let text = match protocol {
        Protocol::Anthropic => &body["content"][0]["text"],
        Protocol::Chat => &body["choices"][0]["message"]["content"],
        Protocol::Responses => &body["output"][0]["content"][0]["text"],
        Protocol::Gemini => &body["candidates"][0]["content"]["parts"][0]["text"],
    };
    text.as_str().unwrap_or_default().to_owned()
}

fn stream_text(protocol: Protocol, text: &str) -> String {
    let pieces = text.lines().filter_map(data).filter_map(|event| {
        let piece = match protocol {
            Protocol::Anthropic => &event["delta"]["text"],
            Protocol::Chat => &event["choices"][0]["delta"]["content"],
            Protocol::Responses => &event["delta"],
            Protocol::Gemini => &event["candidates"][0]["content"]["parts"][0]["text"],
        };
        piece.as_str().map(str::to_owned)
    });
    pieces.collect()
}
