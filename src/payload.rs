//! The request body inside the stack: read once, looked into once, cheap to clone, replayable.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::error::Error;
use crate::protocol::canonical::{ErrorView, FaultKind};
use crate::protocol::json::{self, Span};
use crate::protocol::{Endpoint, Operation, Protocol, RequestError};

/// A request body with its endpoint and a handful of pending edits.
///
/// Layers do not rewrite bytes: [`set_model`](Payload::set_model) and its kin record an edit, and
/// [`wire_bytes`](Payload::wire_bytes) splices all of them into one new buffer, once, if anything
/// differs. Everything else of the body stays the client's, byte for byte. Cloning copies three
/// reference counts, so failover can replay.
///
/// ```
/// use aiproxy::Payload;
/// use aiproxy::protocol::{Endpoint, Operation, Protocol};
///
/// let endpoint = Endpoint::new(Protocol::OpenAi, Operation::Generate);
/// let mut payload = Payload::new(endpoint, br#"{"seed":12345678901234567890, "model":"fast"}"#.to_vec())?;
/// payload.set_model("gpt-5-mini");
/// assert_eq!(payload.wire_bytes(), &br#"{"seed":12345678901234567890, "model":"gpt-5-mini"}"#[..]);
/// # Ok::<_, aiproxy::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct Payload {
    shared: Arc<Shared>,
    model: Option<Arc<str>>,
    stream: Option<bool>,
    include_usage: bool,
    sent: bool,
}

#[derive(Debug)]
struct Shared {
    endpoint: Endpoint,
    bytes: Bytes,
    model: Arc<str>,
    stream: bool,
    is_ours: bool,
    /// Of a body that the gateway wrote: found when the first edit needs them.
    spans: OnceLock<Spans>,
}

impl Shared {
    fn spans(&self) -> &Spans {
        self.spans.get_or_init(|| Spans::find(&self.bytes).unwrap_or_default())
    }
}

#[derive(Debug, Default)]
struct Spans {
    model: Option<Span>,
    stream: Option<Span>,
    stream_options: Option<Span>,
    insert_at: usize,
    is_empty: bool,
}

impl Spans {
    fn find(bytes: &[u8]) -> Result<Self, json::Error> {
        let found = json::members(bytes, ["model", "stream", "stream_options"])?;
        let json::Members { spans: [model, stream, stream_options], insert_at, is_empty } = found;
        Ok(Spans { model, stream, stream_options, insert_at, is_empty })
    }
}

impl Payload {
    /// Looks into a body: finds model and stream flag at the top level, each at most once.
    ///
    /// # Errors
    ///
    /// [`Error::Request`] if the body is no JSON object, names `model` or `stream` twice or in a
    /// wrong type, or names no model.
    pub fn new(endpoint: Endpoint, bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let bytes = bytes.into();
        let spans = Spans::find(&bytes).map_err(|e| bad_json(&bytes, e))?;
        let model = match &endpoint.model {
            Some(model) => model.clone(),
            None => Arc::from(read_model(&bytes, spans.model.as_ref())?),
        };
        if !is_name(&model) {
            return Err(invalid_model("model: must be a name of at most 256 characters"));
        }
        let stream = match endpoint.stream {
            Some(stream) => stream,
            None => read_flag(&bytes, spans.stream.as_ref())?,
        };
        Ok(Payload {
            shared: Arc::new(Shared { endpoint, bytes, model, stream, is_ours: false, spans: spans.into() }),
            model: None,
            stream: None,
            include_usage: false,
            sent: false,
        })
    }

    /// A body that the gateway has written itself, so that there is nothing to look for.
    ///
    /// Its own edits are limited to what its encoder was told: `model` and `stream` as given here.
    #[must_use]
    pub fn translated(
        protocol: Protocol,
        operation: Operation,
        model: &str,
        stream: bool,
        bytes: Bytes,
    ) -> Self {
        let endpoint = Endpoint {
            protocol,
            operation,
            model: Some(Arc::from(model)),
            stream: Some(stream),
            json_array: false,
        };
        Payload {
            shared: Arc::new(Shared {
                endpoint,
                bytes,
                model: Arc::from(model),
                stream,
                is_ours: true,
                spans: OnceLock::new(),
            }),
            model: None,
            stream: None,
            include_usage: false,
            sent: false,
        }
    }

    /// What the body speaks.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.shared.endpoint.protocol
    }

    /// What to do.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.shared.endpoint.operation
    }

    /// Path and query, read.
    #[must_use]
    pub fn endpoint(&self) -> &Endpoint {
        &self.shared.endpoint
    }

    /// The model that is to be asked: the last edit, or the client's own.
    #[must_use]
    pub fn model(&self) -> &str {
        self.model.as_deref().unwrap_or(&self.shared.model)
    }

    /// The same, to keep.
    pub(crate) fn shared_model(&self) -> Arc<str> {
        self.model.as_ref().unwrap_or(&self.shared.model).clone()
    }

    /// The model as the client called it.
    #[must_use]
    pub fn client_model(&self) -> &Arc<str> {
        &self.shared.model
    }

    /// Whether the answer is to be a stream: the last edit, or the client's own wish.
    #[must_use]
    pub fn stream(&self) -> bool {
        self.stream.unwrap_or(self.shared.stream)
    }

    /// Of a body that the gateway wrote: how many tokens the answer may have, by the `max_tokens` of Anthropic and Chat.
    pub(crate) fn written_max_tokens(&self) -> Option<u64> {
        let body = self.shared.is_ours.then_some(&self.shared.bytes)?;
        let [span] = json::members(body, ["max_tokens"]).ok()?.spans;
        std::str::from_utf8(body.get(span?)?).ok()?.parse().ok()
    }

    /// The client's bytes, without edits.
    #[must_use]
    pub fn original_bytes(&self) -> &Bytes {
        &self.shared.bytes
    }

    /// The same request with another body, and the same edits.
    ///
    /// # Errors
    ///
    /// As [`Payload::new`].
    pub(crate) fn with_bytes(&self, bytes: impl Into<Bytes>) -> Result<Self, Error> {
        let fresh = Payload::new(self.endpoint().clone(), bytes)?;
        Ok(Payload {
            model: self.model.clone(),
            stream: self.stream,
            include_usage: self.include_usage,
            ..fresh
        })
    }

    /// Asks for another model.
    pub fn set_model(&mut self, model: impl Into<Arc<str>>) {
        let model = model.into();
        self.model = (model != self.shared.model).then_some(model);
    }

    /// Asks for a stream, or for none.
    pub fn set_stream(&mut self, stream: bool) {
        self.stream = (stream != self.shared.stream).then_some(stream);
    }

    /// Asks a Chat upstream to count tokens in a stream, unless the body has `stream_options`.
    pub fn set_include_usage(&mut self) {
        self.include_usage =
            self.protocol() == Protocol::OpenAi && self.shared.spans().stream_options.is_none();
    }

    /// The bytes to send: the client's own if nothing was edited, else one spliced copy.
    #[must_use]
    pub fn wire_bytes(&self) -> Bytes {
        let shared = &*self.shared;
        if shared.endpoint.protocol == Protocol::Gemini
            || (self.model.is_none() && self.stream.is_none() && !self.include_usage)
        {
            return shared.bytes.clone();
        }
        let spans = shared.spans();
        let mut edits: Vec<(Span, Vec<u8>)> = Vec::new();
        let mut inserts: Vec<u8> = Vec::new();
        let mut edit = |span: &Option<Span>, key: &'static str, value: Vec<u8>| match span {
            Some(span) => edits.push((span.clone(), value)),
            None => {
                json::Writer::new(&mut inserts).key(key);
                inserts.extend_from_slice(&value);
            }
        };
        if let Some(model) = &self.model {
            let mut value = Vec::with_capacity(model.len() + 2);
            json::Writer::new(&mut value).text(model);
            edit(&spans.model, "model", value);
        }
        if let Some(stream) = self.stream {
            edit(&spans.stream, "stream", stream.to_string().into_bytes());
        }
        if self.include_usage {
            edit(&None, "stream_options", br#"{"include_usage":true}"#.to_vec());
        }
        if !inserts.is_empty() {
            if !spans.is_empty {
                inserts.push(b',');
            }
            let at = spans.insert_at;
            edits.push((at..at, inserts));
        }
        json::splice(&shared.bytes, edits).into()
    }
}

fn bad_json(bytes: &[u8], error: json::Error) -> Error {
    let text = String::from_utf8_lossy(bytes.get(..bytes.len().min(1 << 20)).unwrap_or_default());
    let mut view = RequestError::Json(error.clone()).view(&text);
    if let json::ErrorKind::Duplicate(key) = error.kind {
        view.param = Some(key.to_owned());
    }
    Error::Request(Box::new(view))
}

fn invalid_model(message: &str) -> Error {
    Error::Request(Box::new(ErrorView {
        param: Some("model".to_owned()),
        ..ErrorView::new(FaultKind::InvalidRequest, message)
    }))
}

fn read_model<'b>(bytes: &'b [u8], span: Option<&Span>) -> Result<std::borrow::Cow<'b, str>, Error> {
    let Some(raw) = span.and_then(|span| bytes.get(span.clone())) else {
        return Err(invalid_model("model: field required"));
    };
    let mut reader = json::Reader::from_bytes(raw).map_err(|_| invalid_model("model: invalid UTF-8"))?;
    let model = reader.string().map_err(|_| invalid_model("model: must be a string"))?;
    reader.end().map_err(|_| invalid_model("model: must be a string"))?;
    Ok(model.into_decoded())
}

/// It becomes part of a URL, where two dots are a folder, of a log line and of an error message.
fn is_name(model: &str) -> bool {
    let is_empty = model.trim().is_empty() || matches!(model, "." | "..");
    !is_empty && model.len() <= 256 && !model.chars().any(char::is_control)
}

fn read_flag(bytes: &[u8], span: Option<&Span>) -> Result<bool, Error> {
    match span.and_then(|span| bytes.get(span.clone())) {
        None | Some(b"false" | b"null") => Ok(false),
        Some(b"true") => Ok(true),
        Some(_) => Err(Error::Request(Box::new(ErrorView {
            param: Some("stream".to_owned()),
            ..ErrorView::new(FaultKind::InvalidRequest, "stream: must be true or false")
        }))),
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    /// Yields the wire bytes as one frame.
    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.sent, true) {
            return Poll::Ready(None);
        }
        Poll::Ready(Some(Ok(Frame::data(self.wire_bytes()))))
    }

    fn is_end_stream(&self) -> bool {
        self.sent
    }

    fn size_hint(&self) -> SizeHint {
        let edited = self.model.is_some() || self.stream.is_some() || self.include_usage;
        match (self.sent, edited) {
            (true, _) => SizeHint::with_exact(0),
            (false, false) => SizeHint::with_exact(self.shared.bytes.len() as u64),
            (false, true) => SizeHint::with_exact(self.wire_bytes().len() as u64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(body: &str) -> Result<Payload, Error> {
        Payload::new(Endpoint::new(Protocol::OpenAi, Operation::Generate), body.as_bytes().to_vec())
    }

    fn text(payload: &Payload) -> String {
        String::from_utf8(payload.wire_bytes().to_vec()).unwrap()
    }

    #[test]
    fn a_relayed_body_differs_in_the_model_only() {
        let body = r#"{ "n":1.10, "big":123456789012345678901234567890 ,"model": "a" ,"x":"<\/é\ud83d"}"#;
        let mut p = payload(body).unwrap();
        assert_eq!(text(&p), body);
        p.set_model("b\"c");
        assert_eq!(text(&p), body.replace(r#""a""#, r#""b\"c""#));
        p.set_model("a");
        assert_eq!(p.wire_bytes().as_ptr(), p.original_bytes().as_ptr(), "no copy when nothing differs");
    }

    #[test]
    fn t151_the_models_own_bytes_are_replaced_and_no_others() {
        for (body, want) in [
            (r#"{"metadata":{"model":"x"},"model":"y"}"#, r#"{"metadata":{"model":"x"},"model":"new"}"#),
            (r#"{"model":"y","a":[{"model":"y"}]}"#, r#"{"model":"new","a":[{"model":"y"}]}"#),
            (r#"{"s":"\"model\":\"y\"","model":"y"}"#, r#"{"s":"\"model\":\"y\"","model":"new"}"#),
            (r#"{"s":"\\","model" : "y\u0022\\"}"#, r#"{"s":"\\","model" : "new"}"#),
            (r#"{"mod\u0065l":"y"}"#, r#"{"mod\u0065l":"new"}"#),
            (r#"{"Model":"x","model ":"x","model":"y"}"#, r#"{"Model":"x","model ":"x","model":"new"}"#),
        ] {
            let mut p = payload(body).unwrap();
            p.set_model("new");
            assert_eq!(text(&p), want);
        }
        // Two at the top level are read differently by different parsers: refused, however they are spelled.
        for body in [r#"{"model":"a","model":"b"}"#, r#"{"model":"a","mod\u0065l":"a"}"#] {
            assert!(matches!(payload(body), Err(Error::Request(_))), "{body}");
        }
    }

    #[test]
    fn stream_can_be_added_changed_and_taken_back() {
        let mut p = payload(r#"{"model":"a"}"#).unwrap();
        p.set_stream(true);
        p.set_include_usage();
        assert_eq!(text(&p), r#"{"stream":true,"stream_options":{"include_usage":true},"model":"a"}"#);
        let mut p = payload(r#"{"stream":false,"model":"a","stream_options":null}"#).unwrap();
        p.set_stream(true);
        p.set_include_usage();
        assert_eq!(text(&p), r#"{"stream":true,"model":"a","stream_options":null}"#);
    }

    #[test]
    fn what_could_be_read_two_ways_is_refused() {
        for bad in [
            "",
            "[]",
            "{",
            "nul",
            r#"{"model":"a","model":"b"}"#,
            r#"{"model":1}"#,
            r#"{"model":""}"#,
            "{}",
            r#"{"model":"a","stream":"yes"}"#,
            r#"{"model":"a"}x"#,
            r#"{"model":"a\nb"}"#,
        ] {
            assert!(matches!(payload(bad), Err(Error::Request(_))), "{bad}");
        }
        let broken = Payload::new(
            Endpoint::new(Protocol::OpenAi, Operation::Generate),
            b"{\"model\":\"\xff\"}".to_vec(),
        );
        assert!(matches!(broken, Err(Error::Request(_))));
    }
}
