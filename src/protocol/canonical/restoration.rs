//! Calls on their way back: ids that the conversation does not have yet (T092), arguments without the object
//! that the upstream demanded around them (T081). And state is named after the models that read it (1.8).

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use super::{
    Delta, Event, Exchange, ModelFamily, NameMap, Opaque, PartHeader, PartKind, PartMeta, Request, Response,
    Tool, ToolKind, derived_id,
};
use crate::protocol::Protocol;
use crate::protocol::json::{Error, Raw, Reader, Str};

/// Longer arguments go out as they come.
const MOST_HELD: usize = 4 << 20;

/// What of a request its calls are restored by. Most requests have none of it.
#[derive(Clone, Debug, Default)]
pub struct Restoration {
    /// Ids of the calls in the conversation so far.
    used_ids: HashSet<String>,
    /// The upstream's names of tools whose schema was wrapped in an object.
    wrapped: Vec<String>,
}

impl Restoration {
    /// What `request` has called, and which of its tools `upstream` takes in a wrapper only.
    pub(super) fn new(request: &Request<'_>, upstream: Protocol, names: &NameMap) -> Self {
        let parts = request.turns.iter().flat_map(|turn| &turn.parts);
        let used_ids = parts.filter_map(|part| match &part.kind {
            PartKind::ToolCall { id, .. } => Some(id.decode().into_owned()),
            _ => None,
        });
        let needs_wrapper = |tool: &&Tool<'_>| {
            upstream == Protocol::Anthropic
                && matches!(tool.kind, ToolKind::Function | ToolKind::Client { .. })
                && tool.schema.as_ref().is_some_and(|schema| !is_object_schema(schema))
        };
        let wrapped = request.tools.iter().filter(needs_wrapper);
        Restoration {
            used_ids: used_ids.collect(),
            wrapped: wrapped.map(|tool| names.upstream(&tool.name).decode().into_owned()).collect(),
        }
    }

    /// Another id for a call whose own is taken: servers that count from `call_0` in each turn would have agents
    /// answer the wrong call. A pure function of the id and the conversation.
    fn fresh_id(&self, id: &Str<'_>) -> Option<Str<'static>> {
        if self.used_ids.is_empty() {
            return None;
        }
        let id = id.decode();
        let mut fresh = Cow::Borrowed(&*id);
        let mut ordinal = self.used_ids.len();
        while self.used_ids.contains(&*fresh) {
            fresh = Cow::Owned(derived_id("call_", format!("{id}#{ordinal}").as_bytes()));
            ordinal += 1;
        }
        match fresh {
            Cow::Borrowed(_) => None,
            Cow::Owned(fresh) => Some(Str::escape(fresh)),
        }
    }

    /// The id that the client knows a call by.
    pub(crate) fn client_id(&self, id: Str<'static>) -> Str<'static> {
        self.fresh_id(&id).unwrap_or(id)
    }

    fn is_wrapped(&self, name: &Str<'_>) -> bool {
        !self.wrapped.is_empty() && self.wrapped.iter().any(|wrapped| *name == wrapped.as_str())
    }

    fn is_empty(&self) -> bool {
        self.used_ids.is_empty() && self.wrapped.is_empty()
    }
}

/// The answer with its calls restored; `None` if it is right as it is.
pub(crate) fn response<'a>(response: &Response<'a>, exchange: &Exchange) -> Option<Response<'a>> {
    let known = &exchange.restoration;
    let mut parts = response.choices.iter().flat_map(|choice| &choice.parts);
    let has_family = exchange.family != ModelFamily::UNKNOWN;
    let is_other = parts.any(|part| match &part.kind {
        _ if has_family && part.opaque.is_some() => true,
        PartKind::ToolCall { id, name, .. } => known.is_wrapped(name) || known.fresh_id(id).is_some(),
        _ => false,
    });
    if !is_other {
        return None;
    }
    let mut restored = response.clone();
    for part in restored.choices.iter_mut().flat_map(|choice| &mut choice.parts) {
        if let Some(opaque) = &mut part.opaque {
            opaque.family = exchange.family;
        }
        let PartKind::ToolCall { id, name, arguments, .. } = &mut part.kind else { continue };
        if let Some(fresh) = known.fresh_id(id) {
            *id = fresh;
        }
        if known.is_wrapped(name)
            && let Some(inner) = unwrap(arguments).map(|raw| raw.as_str().to_owned())
        {
            *arguments = inner.into();
        }
    }
    Some(restored)
}

/// Restores the calls of a stream.
#[derive(Debug)]
pub(crate) struct Restorer {
    known: Arc<Restoration>,
    family: ModelFamily,
    /// The arguments so far of the open call, if they come in a wrapper: they are told when they are whole.
    held: Option<Str<'static>>,
}

impl Restorer {
    /// For the answer of this exchange.
    pub(crate) fn new(exchange: &Exchange) -> Self {
        Restorer { known: exchange.restoration.clone(), family: exchange.family, held: None }
    }

    /// Hands on `event`, restored.
    pub(crate) fn event(&mut self, event: &Event<'_>, mut sink: impl FnMut(&Event<'_>)) {
        if let Event::PartMeta { choice, part, meta } = event
            && self.family != ModelFamily::UNKNOWN
        {
            let opaque = Opaque { family: self.family, ..meta.opaque.clone() };
            return sink(&Event::PartMeta { choice: *choice, part: *part, meta: PartMeta { opaque } });
        }
        if self.known.is_empty() {
            return sink(event);
        }
        match event {
            Event::PartStart { choice, part, header: PartHeader::ToolCall { id, name, custom } } => {
                self.held = self.known.is_wrapped(name).then_some(Str::EMPTY);
                let id = self.known.fresh_id(id).unwrap_or_else(|| id.borrowed());
                let header = PartHeader::ToolCall { id, name: name.borrowed(), custom: *custom };
                return sink(&Event::PartStart { choice: *choice, part: *part, header });
            }
            Event::Delta { delta: Delta::Arguments(more), .. } => {
                if let Some(held) = self.held.as_mut().filter(|held| held.len() + more.len() <= MOST_HELD) {
                    return held.push(more);
                }
                self.let_go(event, &mut sink);
            }
            Event::PartEnd { .. } => self.let_go(event, &mut sink),
            _ => {}
        }
        sink(event);
    }

    /// Tells what was held of the part that `event` is about.
    fn let_go(&mut self, event: &Event<'_>, sink: &mut impl FnMut(&Event<'_>)) {
        let (Event::PartEnd { choice, part, .. } | Event::Delta { choice, part, .. }) = event else { return };
        let Some(held) = self.held.take() else { return };
        let inner = unwrap(&held.decode()).map(|raw| Str::escape(raw.as_str().to_owned()));
        let delta = Delta::Arguments(inner.unwrap_or(held));
        sink(&Event::Delta { choice: *choice, part: *part, delta });
    }
}

/// The value of `type` of a schema that is an object; `Err` if it is none.
pub(crate) fn type_of<'a>(schema: &'a Raw<'_>) -> Result<Option<Raw<'a>>, Error> {
    let mut tag = None;
    Reader::new(schema.as_str()).lenient_object(|key, value| {
        if key == "type" {
            tag = Some(value.raw()?);
        }
        Ok::<_, Error>(())
    })?;
    Ok(tag)
}

/// Whether arguments of this schema are an object, or nothing says otherwise.
pub(crate) fn is_object_schema(schema: &Raw<'_>) -> bool {
    // A list of types may have it among others.
    type_of(schema).ok().flatten().is_none_or(|tag| tag.as_str().contains(r#""object""#))
}

/// The name of the only property of a wrapper.
pub(crate) const WRAPPED: &str = "value";

/// What stands in a wrapper; `None` if this is none, or not whole.
pub(crate) fn unwrap(json: &str) -> Option<Raw<'_>> {
    let (mut inner, mut others) = (None, false);
    let mut reader = Reader::new(json);
    let read = reader.object(|key, value| {
        let raw = value.raw()?;
        if key == WRAPPED {
            inner = Some(raw)
        } else {
            others = true
        }
        Ok::<_, Error>(())
    });
    inner.filter(|_| read.is_ok() && !others)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::canonical::Losses;
    use crate::protocol::{
        Endpoint, StreamDecoder, StreamEncoder, Target, decode_request, decode_response, encode_request,
        encode_response, sse,
    };
    use serde_json::{Value, json};

    /// What a client of Chat gets, whole and streamed, and what the upstream was sent.
    fn talk(upstream: Protocol, model: &str, asked: &Value, answer: &Value) -> (Value, String, Value) {
        let endpoint = Endpoint::parse("/v1/chat/completions", None).unwrap();
        let asked = asked.to_string();
        let request = decode_request(&endpoint, &asked).unwrap();
        let exchange = Exchange::new(&request, Protocol::OpenAi, upstream);
        let (mut out, mut losses) = (Vec::new(), Losses::default());
        encode_request(upstream, &request, &exchange, &Target::new(model), &mut losses, &mut out).unwrap();
        let sent = serde_json::from_slice(&out).unwrap();
        let answer = answer.to_string();
        let read = decode_response(upstream, &answer, 1).unwrap();
        out.clear();
        encode_response(&read, &exchange, &mut out).unwrap();
        let whole = serde_json::from_slice(&out).unwrap();
        out.clear();
        let mut encoder = StreamEncoder::new(&exchange);
        read.replay(|event| encoder.event(&event, &mut out));
        (whole, String::from_utf8(out).unwrap(), sent)
    }

    fn called(id: &str) -> Value {
        json!({"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}})
    }

    fn answer(ids: &[&str]) -> Value {
        let calls: Vec<Value> = ids.iter().map(|id| called(id)).collect();
        json!({"id": "c", "model": "m", "choices": [{"index": 0, "finish_reason": "tool_calls",
            "message": {"role": "assistant", "content": null, "tool_calls": calls}}]})
    }

    #[test]
    fn t092_servers_that_count_calls_anew_each_turn_do_not_give_an_agent_two_of_one_id() {
        let mut messages = vec![json!({"role": "user", "content": "go"})];
        let mut seen = HashSet::new();
        for turn in 0..3 {
            let asked = json!({"model": "m", "messages": messages});
            let (whole, stream, _) =
                talk(Protocol::OpenAi, "m", &asked, &answer(&["call_0", "call_0", "call_1"]));
            let message = &whole["choices"][0]["message"];
            for call in message["tool_calls"].as_array().unwrap() {
                let id = call["id"].as_str().unwrap();
                assert!(seen.insert(id.to_owned()), "{id} in turn {turn}");
                assert!(stream.contains(&format!(r#""id":"{id}""#)), "{stream}");
                messages.push(json!({"role": "tool", "tool_call_id": id, "content": "1"}));
            }
            let results = messages.split_off(messages.len() - 3);
            messages.push(message.clone());
            messages.extend(results);
        }
        assert!(seen.contains("call_0") && seen.contains("call_1"), "the first of a name keeps it: {seen:?}");
    }

    fn used(name: &Value, input: &Value) -> Value {
        json!({"id": "msg_1", "type": "message", "role": "assistant", "model": "m", "stop_reason": "tool_use",
            "content": [{"type": "tool_use", "id": "toolu_1", "name": name, "input": input}],
            "usage": {"input_tokens": 1, "output_tokens": 1}})
    }

    #[test]
    fn t081_arguments_of_a_tool_that_takes_a_list_are_that_list() {
        let tool =
            |schema: Value| json!({"type": "function", "function": {"name": "f", "parameters": schema}});
        let asked = |schema| json!({"model": "m", "messages": [{"role": "user", "content": "go"}], "tools": [tool(schema)]});
        let list = asked(json!({"type": "array", "items": {"type": "string"}}));
        let (whole, stream, sent) =
            talk(Protocol::Anthropic, "claude-opus-5", &list, &used(&json!("f"), &json!({"value": ["a\n"]})));
        assert_eq!(sent["tools"][0]["input_schema"]["required"], json!(["value"]));
        let arguments = &whole["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
        assert_eq!(arguments, r#"["a\n"]"#);
        assert!(stream.contains(r#""arguments":"[\"a\\n\"]""#), "{stream}");
        // What the model put in no wrapper is told as it is.
        let (whole, ..) =
            talk(Protocol::Anthropic, "claude-opus-5", &list, &used(&json!("f"), &json!({"items": 1})));
        let arguments = &whole["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
        assert_eq!(arguments, r#"{"items":1}"#);
        // An object that may be null is an object, and a property named like the wrapper is the tool's own.
        let object = asked(json!({"type": ["object", "null"], "properties": {"value": {"type": "string"}}}));
        let (whole, _, sent) =
            talk(Protocol::Anthropic, "claude-opus-5", &object, &used(&json!("f"), &json!({"value": "a"})));
        let schema = json!({"type": "object", "properties": {"value": {"type": "string"}}});
        assert_eq!(sent["tools"][0]["input_schema"], schema);
        let arguments = &whole["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"];
        assert_eq!(arguments, r#"{"value":"a"}"#);
    }

    #[test]
    fn t146_a_client_that_asked_for_a_list_gets_a_list() {
        let asked = json!({"model": "m", "messages": [{"role": "user", "content": "go"}],
            "response_format": {"type": "json_schema", "json_schema": {"name": "n",
                "schema": {"type": "array", "items": {"type": "integer"}}}}});
        let old = "claude-3-5-sonnet";
        let (_, _, sent) = talk(Protocol::Anthropic, old, &asked, &used(&json!("x"), &json!({})));
        let name = &sent["tools"][0]["name"];
        let (whole, ..) = talk(Protocol::Anthropic, old, &asked, &used(name, &json!({"value": [1, 2]})));
        assert_eq!(whole["choices"][0]["message"]["content"], "[1,2]");
        let begun = |input: &str| format!(r#"{{"type":"tool_use","id":"t","name":{name},"input":{input}}}"#);
        let delta = |json: &str| {
            let delta = json!({"type": "input_json_delta", "partial_json": json});
            json!({"type": "content_block_delta", "index": 0, "delta": delta}).to_string()
        };
        let pieces = vec![delta(r#"{"val"#), delta(r#"ue": [1,"#), delta("2]}")];
        for (start, deltas) in [(begun("{}"), pieces), (begun(r#"{"value":[1,2]}"#), vec![])] {
            let start = format!(r#"{{"type":"content_block_start","index":0,"content_block":{start}}}"#);
            let events = std::iter::once(start).chain(deltas);
            let events = events.chain(
                ["content_block_stop", "message_stop"]
                    .map(|tag| json!({"type": tag, "index": 0}).to_string()),
            );
            let stream: String = events.map(|event| format!("data: {event}\n\n")).collect();
            let mut text = String::new();
            let mut decoder = StreamDecoder::new(Protocol::Anthropic, 1);
            sse::Decoder::default()
                .push(stream.as_bytes(), |event| {
                    decoder.event(&event, &mut |event| match event {
                        Event::Delta { delta: Delta::Text(more), .. } => text.push_str(&more.decode()),
                        Event::Error(error) => panic!("{error:?}"),
                        _ => {}
                    });
                })
                .unwrap();
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), json!([1, 2]));
        }
    }
}
