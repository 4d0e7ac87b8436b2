//! A Chat stream folded into the whole answer that the same server would have given (section 4).
//! What we do not know survives: the last value of an unknown member counts.

use crate::protocol::canonical::ErrorView;
use crate::protocol::json::{self, Error, Kind, Lists, Object, Raw, Reader, Str, Writer, string_from_utf8};
use crate::protocol::openai::calls::{Call, Fragment, Place, locate};
use crate::protocol::openai::{calls, error};
use crate::protocol::sse;

/// More choices than OpenAI's own limit of `n` are not folded.
const MOST_CHOICES: u64 = 128;

/// Folds a stream.
#[derive(Debug, Default)]
pub(crate) struct Aggregator {
    top: Object,
    choices: Vec<ChoiceFold>,
    usage: Option<Raw<'static>>,
    marked: bool,
}

/// An object whose named members grow by concatenation; of all others the last value counts.
#[derive(Debug, Default)]
struct Fold {
    members: Object,
    grown: Vec<(&'static str, String)>,
}

impl Fold {
    /// Takes a member; `growing` names those that come in pieces.
    fn member(&mut self, key: &str, value: &mut Reader<'_>, growing: &[&'static str]) -> Result<(), Error> {
        let grows = growing.iter().find(|name| **name == key);
        match (grows, value.peek()?) {
            (_, Kind::Null) => {
                if self.members.get(key).is_none() {
                    self.members.set(key, "null");
                }
                value.skip()?;
            }
            (Some(name), Kind::String) => self.grow(name, &value.string()?),
            _ => self.members.set(key, value.raw()?.as_str()),
        }
        Ok(())
    }

    fn grow(&mut self, name: &'static str, piece: &Str<'_>) {
        self.members.set(name, "\"\"");
        match self.grown.iter_mut().find(|(known, _)| *known == name) {
            Some((_, text)) => text.push_str(piece.as_escaped()),
            None => self.grown.push((name, piece.as_escaped().to_owned())),
        }
    }

    /// The object, whole.
    fn finish(mut self) -> Object {
        for (name, text) in self.grown {
            self.members.set_string(name, &Str::from_escaped(text));
        }
        self.members
    }
}

#[derive(Debug, Default)]
struct ChoiceFold {
    index: u64,
    members: Object,
    message: Fold,
    calls: Vec<CallFold>,
    place: Place,
    function: Option<Fold>,
    details: Vec<(u64, String, Fold)>,
    lists: Lists,
    logprobs: Lists,
    finish: Option<String>,
}

#[derive(Debug, Default)]
struct CallFold {
    call: Call,
    members: Object,
    /// `function` or `custom`, and what it holds.
    body: Option<(&'static str, Fold)>,
}

impl Aggregator {
    /// Takes one event.
    pub(crate) fn event(&mut self, event: &sse::Event<'_>) -> Result<(), ErrorView> {
        if self.marked {
            return Ok(());
        }
        if event.is_done() {
            self.marked = true;
            return Ok(());
        }
        let text = std::str::from_utf8(&event.data)
            .map_err(|_| error::bad_upstream("a stream event is not UTF-8"))?;
        let mut failure = None;
        json::document(text, |key, value| self.member(key, value, &mut failure))
            .map_err(|e| error::unreadable(&e))?;
        failure.map_or(Ok(()), Err)
    }

    fn member(
        &mut self,
        key: &str,
        value: &mut Reader<'_>,
        failure: &mut Option<ErrorView>,
    ) -> Result<(), Error> {
        match (key, value.peek()?) {
            ("error", Kind::Null) | ("object" | "obfuscation", _) => value.skip()?,
            ("error", _) => *failure = Some(error::read(value)?),
            ("choices", Kind::Array) => value.array(|value| self.choice(value))?,
            ("choices", _) => value.skip()?,
            ("usage", Kind::Object) => self.usage = Some(value.raw()?.into_owned()),
            ("usage", _) => value.skip()?,
            (_, Kind::Null) if self.top.get(key).is_some() => value.skip()?,
            // An empty id or model is a prelude's; it must not hide the real one.
            (_, Kind::String) if key == "id" || key == "model" => {
                let text = value.string()?;
                if !text.is_empty() {
                    self.top.set_string(key, &text);
                }
            }
            _ => self.top.set(key, value.raw()?.as_str()),
        }
        Ok(())
    }

    fn choice(&mut self, value: &mut Reader<'_>) -> Result<(), Error> {
        let (mut index, mut has_delta) = (0, false);
        value.clone().lenient_object(|key, value| {
            match key {
                "index" => index = value.lenient_u64()?.unwrap_or(0),
                "delta" => has_delta = value.peek()? == Kind::Object,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        if index >= MOST_CHOICES {
            return value.skip();
        }
        let at = match self.choices.iter().position(|choice| choice.index == index) {
            Some(at) => at,
            None => {
                self.choices.push(ChoiceFold { index, ..ChoiceFold::default() });
                self.choices.len() - 1
            }
        };
        let Some(choice) = self.choices.get_mut(at) else { return value.skip() };
        value.lenient_object(|key, value| match key {
            // Perplexity repeats the whole message beside each delta.
            "message" if has_delta => value.skip(),
            _ => choice.member(key, value),
        })
    }

    /// The whole answer.
    pub(crate) fn finish(mut self) -> Result<Vec<u8>, ErrorView> {
        let whole = !self.choices.is_empty() && self.choices.iter().all(|choice| choice.finish.is_some());
        let said = self.choices.iter().any(ChoiceFold::said_something);
        if !(whole || self.marked && said) {
            return Err(error::bad_upstream("the upstream's stream ended too early"));
        }
        self.top.set("object", "\"chat.completion\"");
        self.choices.sort_by_key(|choice| choice.index);
        let mut list = Vec::new();
        let mut w = Writer::new(&mut list);
        w.begin_array();
        self.choices.into_iter().for_each(|choice| choice.write(&mut w));
        w.end_array();
        self.top.set("choices", string_from_utf8(list));
        if let Some(usage) = self.usage {
            self.top.set("usage", usage.as_str());
        }
        Ok(self.top.to_json().into_bytes())
    }
}

impl ChoiceFold {
    fn said_something(&self) -> bool {
        self.finish.is_some()
            || !self.calls.is_empty()
            || self.function.is_some()
            || self.message.grown.iter().any(|(_, text)| !text.is_empty())
    }

    fn member(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        match (key, value.peek()?) {
            ("index", _) => value.skip()?,
            ("delta", Kind::Object) => value.object(|key, value| self.delta(key, value))?,
            ("message", Kind::Object) => value.object(|key, value| self.delta(key, value))?,
            ("delta" | "message", _) => value.skip()?,
            ("finish_reason", Kind::String) => {
                self.finish = Some(value.string()?.as_escaped().to_owned()).filter(|word| !word.is_empty());
            }
            ("finish_reason", _) => value.skip()?,
            ("logprobs", Kind::Object) => {
                value.object(|key, value| self.logprobs.extend(key, value))?;
            }
            (_, Kind::Null) if self.members.get(key).is_some() => value.skip()?,
            _ => self.members.set(key, value.raw()?.as_str()),
        }
        Ok(())
    }

    fn delta(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        const GROWING: [&str; 4] = ["content", "refusal", "reasoning_content", "reasoning"];
        match (key, value.peek()?) {
            // The role is repeated by some servers.
            ("role", _) if self.message.members.get("role").is_some() => value.skip(),
            ("tool_calls", Kind::Array) => {
                self.place.next_list();
                value.array(|value| self.call(value))
            }
            ("tool_calls" | "function_call", Kind::Null) => value.skip(),
            ("function_call", Kind::Object) => {
                let function = self.function.get_or_insert_default();
                value.object(|key, value| match (key, value.peek()?) {
                    ("arguments", Kind::Object) => {
                        function.grow("arguments", &calls::arguments(value)?.unwrap_or_default());
                        Ok(())
                    }
                    _ => function.member(key, value, &["arguments"]),
                })
            }
            ("reasoning_details", Kind::Array) => value.array(|value| self.detail(value)),
            ("annotations" | "images" | "content", Kind::Array) => self.lists.extend(key, value),
            _ => self.message.member(key, value, &GROWING),
        }
    }

    /// Details grow by index and type, as their text does.
    fn detail(&mut self, value: &mut Reader<'_>) -> Result<(), Error> {
        let (mut index, mut kind) = (None, String::new());
        value.clone().lenient_object(|key, value| {
            match key {
                "index" => index = value.lenient_u64()?,
                "type" => {
                    kind = value.lenient_string()?.map(|t| t.as_escaped().to_owned()).unwrap_or_default();
                }
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        let index = index.unwrap_or(self.details.len() as u64);
        let at = match self.details.iter().rposition(|(at, of, _)| *at == index && *of == kind) {
            Some(at) => at,
            None => {
                self.details.push((index, kind, Fold::default()));
                self.details.len() - 1
            }
        };
        let Some((_, _, fold)) = self.details.get_mut(at) else { return value.skip() };
        value.lenient_object(|key, value| fold.member(key, value, &["text", "summary", "data"]))
    }

    fn call(&mut self, value: &mut Reader<'_>) -> Result<(), Error> {
        let (mut index, mut id) = (None, Str::EMPTY);
        let (mut name, mut arguments) = (Str::EMPTY, Str::EMPTY);
        value.clone().lenient_object(|key, value| {
            match key {
                "index" => index = value.lenient_u64()?,
                "id" => id = value.lenient_string()?.unwrap_or_default(),
                "function" | "custom" => value.lenient_object(|key, value| {
                    match key {
                        "name" => name = value.lenient_string()?.unwrap_or_default(),
                        "arguments" | "input" => arguments = calls::arguments(value)?.unwrap_or_default(),
                        _ => {}
                    }
                    Ok::<_, Error>(())
                })?,
                _ => {}
            }
            Ok::<_, Error>(())
        })?;
        let fragment = Fragment {
            index,
            id: id.as_escaped(),
            name: name.as_escaped(),
            arguments: arguments.as_escaped(),
            place: self.place.next(),
        };
        let at = match locate(self.calls.iter().map(|fold| &fold.call), &fragment) {
            Some(at) => at,
            None => {
                self.calls.push(CallFold { call: Call::new(&fragment), ..CallFold::default() });
                self.calls.len() - 1
            }
        };
        let Some(fold) = self.calls.get_mut(at) else { return value.skip() };
        fold.call.identify(&fragment);
        fold.call.extend(fragment.arguments);
        value.lenient_object(|key, value| fold.member(key, value))
    }

    fn write(self, w: &mut Writer<'_>) {
        let has_calls = !self.calls.is_empty() || self.function.is_some();
        w.begin_object();
        w.key("index").u64(self.index);
        w.key("message");
        let finish = self.finish;
        let mut message = self.message.finish();
        let list = |items: &[String]| format!("[{}]", items.join(","));
        self.lists.set_in(&mut message);
        if message.get("role").is_none() {
            message.set("role", "\"assistant\"");
        }
        if message.get("content").is_none()
            || has_calls && message.get("content").is_some_and(|c| c.as_str() == "\"\"")
        {
            message.set("content", "null");
        }
        if let Some(function) = self.function {
            message.set("function_call", function.finish().to_json());
        }
        let calls: Vec<String> = self.calls.into_iter().map(CallFold::finish).collect();
        if !calls.is_empty() {
            message.set("tool_calls", list(&calls));
        }
        let details: Vec<String> =
            self.details.into_iter().map(|(_, _, fold)| fold.finish().to_json()).collect();
        if !details.is_empty() {
            message.set("reasoning_details", list(&details));
        }
        message.write(w);
        let mut members = self.members;
        if !self.logprobs.is_empty() {
            let mut logprobs = Object::default();
            self.logprobs.set_in(&mut logprobs);
            members.set("logprobs", logprobs.to_json());
        }
        for (key, value) in members.iter() {
            w.key_str(&Str::escape(key)).raw(&value);
        }
        let inferred = if has_calls { "tool_calls" } else { "stop" };
        w.key("finish_reason").string(&Str::from_escaped(finish.unwrap_or_else(|| inferred.to_owned())));
        w.end_object();
    }
}

impl CallFold {
    fn member(&mut self, key: &str, value: &mut Reader<'_>) -> Result<(), Error> {
        match key {
            // The whole answer has no `index`; id and arguments are kept apart.
            "index" | "id" => value.skip(),
            "function" | "custom" => {
                let kind = if key == "custom" { "custom" } else { "function" };
                let (_, body) = self.body.get_or_insert_with(|| (kind, Fold::default()));
                value.lenient_object(|key, value| match key {
                    "name" | "arguments" | "input" => value.skip(),
                    _ => body.member(key, value, &[]),
                })
            }
            _ if value.peek()? == Kind::Null => value.skip(),
            _ => {
                self.members.set(key, value.raw()?.as_str());
                Ok(())
            }
        }
    }

    fn finish(self) -> String {
        let (kind, body) = self.body.unwrap_or(("function", Fold::default()));
        let mut whole = Object::default();
        whole.set_string("id", &Str::from_escaped(self.call.id));
        whole.set_string("type", &Str::from_escaped(kind));
        let mut object = Object::default();
        object.set_string("name", &Str::from_escaped(self.call.name));
        let text = if kind == "custom" { "input" } else { "arguments" };
        object.set_string(text, &Str::from_escaped(self.call.arguments));
        object.merge(&body.finish());
        whole.set(kind, object.to_json());
        whole.merge(&self.members);
        whole.to_json()
    }
}

#[cfg(test)]
mod tests;
