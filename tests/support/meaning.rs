//! What an answer says, read strictly from its bytes: words, thoughts, calls with their arguments as they are spelt, why
//! it ends, and what it cost. Recorded answers are read so, and what becomes of them in another protocol.

use std::collections::BTreeMap;

use serde_json::Value;
use serde_json::value::RawValue;

use super::Protocol;
use super::answer::Finish;
use super::client::Event;

/// What an answer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meaning {
    pub text: String,
    pub thoughts: String,
    /// Words instead of an answer; where a protocol has no place of their own for them, they are text.
    pub refusal: String,
    /// Names, and arguments without the blanks between their tokens.
    pub calls: Vec<(String, String)>,
    pub finish: Finish,
    /// Tokens of the request, cached ones included.
    pub input: Option<u64>,
    /// Those of it that a cache held.
    pub cached: Option<u64>,
    /// Tokens of the answer, thoughts included.
    pub output: Option<u64>,
}

impl Default for Meaning {
    fn default() -> Self {
        Meaning {
            text: String::new(),
            thoughts: String::new(),
            refusal: String::new(),
            calls: Vec::new(),
            finish: Finish::Missing,
            input: None,
            cached: None,
            output: None,
        }
    }
}

/// A part of a JSON text.
#[derive(Clone, Copy)]
struct Json<'a>(&'a str);

impl<'a> Json<'a> {
    fn get(self, key: &str) -> Json<'a> {
        let members: BTreeMap<String, &'a RawValue> = serde_json::from_str(self.0).unwrap_or_default();
        members.get(key).map_or(Json("null"), |value| Json(value.get()))
    }

    fn has(self, key: &str) -> bool {
        !matches!(self.get(key).0, "null")
    }

    fn items(self) -> Vec<Json<'a>> {
        let items: Vec<&'a RawValue> = serde_json::from_str(self.0).unwrap_or_default();
        items.into_iter().map(|item| Json(item.get())).collect()
    }

    fn string(self) -> String {
        serde_json::from_str(self.0).unwrap_or_default()
    }

    fn number(self) -> Option<u64> {
        serde_json::from_str::<Value>(self.0).ok()?.as_f64().map(|number| number as u64)
    }
}

/// JSON without the blanks between its tokens; what is none stays. No arguments are an empty object.
fn spelt(json: &str) -> String {
    if serde_json::from_str::<&RawValue>(json).is_err() {
        return if json.trim().is_empty() { "{}".to_owned() } else { json.to_owned() };
    }
    let (mut out, mut in_string, mut is_escaped) = (String::new(), false, false);
    for c in json.chars() {
        if in_string || !c.is_ascii_whitespace() {
            out.push(c);
        }
        (in_string, is_escaped) = match c {
            _ if is_escaped => (in_string, false),
            '\\' if in_string => (true, true),
            '"' => (!in_string, false),
            _ => (in_string, false),
        };
    }
    out
}

/// What a document says.
pub fn document(protocol: Protocol, body: &str) -> Meaning {
    let mut meaning = Meaning::default();
    match protocol {
        Protocol::Anthropic => {
            let body = Json(body);
            body.get("content").items().into_iter().for_each(|block| meaning.anthropic_block(block));
            meaning.anthropic_end(body, body.get("usage"));
        }
        Protocol::OpenAi => {
            let body = Json(body);
            if let Some(choice) = body.get("choices").items().first() {
                meaning.openai_choice(choice.get("message"), choice.get("finish_reason"));
                let calls = choice.get("message").get("tool_calls").items();
                calls.into_iter().for_each(|call| meaning.openai_call(call.get("function")));
                if choice.get("message").has("function_call") {
                    meaning.openai_call(choice.get("message").get("function_call"));
                }
            }
            meaning.openai_usage(body.get("usage"));
        }
        Protocol::Responses => meaning.responses_end(Json(body)),
        Protocol::Gemini => meaning.gemini(Json(body)),
    }
    meaning.close(protocol);
    meaning
}

/// What a stream says.
pub fn stream(protocol: Protocol, events: &[Event]) -> Meaning {
    let mut meaning = Meaning::default();
    let mut arguments: BTreeMap<u64, (String, String)> = BTreeMap::new();
    for event in events {
        let event = Json(&event.data);
        match protocol {
            Protocol::Anthropic => meaning.anthropic_event(event, &mut arguments),
            Protocol::OpenAi => {
                let choices = event.get("choices").items();
                if let Some(choice) = choices.iter().find(|choice| choice.get("index").number() == Some(0)) {
                    let delta = choice.get("delta");
                    meaning.openai_choice(delta, choice.get("finish_reason"));
                    let calls = delta.get("tool_calls").items();
                    let calls = calls.iter().map(|call| (call.get("index").number(), call.get("function")));
                    // What calls were called before there could be several.
                    let old = delta.has("function_call").then(|| (None, delta.get("function_call")));
                    for (index, function) in calls.chain(old) {
                        let (name, text) = arguments.entry(index.unwrap_or(0)).or_default();
                        name.push_str(&function.get("name").string());
                        text.push_str(&function.get("arguments").string());
                    }
                }
                meaning.openai_usage(event.get("usage"));
            }
            Protocol::Responses => {
                let kind = event.get("type").string();
                if ["response.completed", "response.incomplete"].contains(&kind.as_str()) {
                    meaning.responses_end(event.get("response"));
                }
            }
            Protocol::Gemini => meaning.gemini(event),
        }
    }
    if protocol == Protocol::OpenAi {
        meaning.calls.extend(arguments.into_values().map(|(name, text)| (name, spelt(&text))));
    }
    meaning.close(protocol);
    meaning
}

/// Most bytes that translation adds to what is said.
const MOST_NOTES: usize = 400;

/// What a request says: instructions, turns, calls and their results, tools.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    pub instructions: String,
    /// The words of each side, in order, without blanks.
    pub words: String,
    pub calls: Vec<(String, String)>,
    pub results: String,
    /// In the order of their names.
    pub tools: Vec<String>,
}

/// What a request says.
pub fn asked(protocol: Protocol, body: &str) -> Asked {
    let (body, mut asked) = (Json(body), Asked::default());
    match protocol {
        Protocol::Anthropic => {
            // Claude Code's invoice, which is no instruction.
            let is_invoice =
                |block: &Json<'_>| block.words_of("text").starts_with("x-anthropic-billing-header");
            let system = body.get("system");
            asked.instructions += &system.string();
            for block in system.items().into_iter().filter(|block| !is_invoice(block)) {
                asked.instructions += &block.words_of("text");
            }
            for message in body.get("messages").items() {
                match message.get("role").string() == "system" {
                    true => asked.instructions += &message.get("content").words(),
                    false => asked.anthropic(message.get("content")),
                }
            }
            // Others are the provider's own.
            let is_own = |tool: &Json<'_>| ["", "custom"].contains(&tool.words_of("type").as_str());
            let tools = body.get("tools").items().into_iter().filter(is_own);
            asked.tools = tools.map(|tool| tool.words_of("name")).collect();
        }
        Protocol::OpenAi => {
            for message in body.get("messages").items() {
                let content = message.get("content").words();
                match message.get("role").string().as_str() {
                    "system" | "developer" => asked.instructions += &content,
                    "tool" | "function" => asked.results += &content,
                    _ => asked.words += &(content + &message.get("refusal").string()),
                }
                let calls = message.get("tool_calls").items();
                let calls = calls.iter().map(|call| call.get("function"));
                for call in calls.chain(message.has("function_call").then(|| message.get("function_call"))) {
                    asked.calls.push((call.get("name").string(), spelt(&call.get("arguments").string())));
                }
            }
            let tools = body.get("tools").items();
            let tools = tools.iter().map(|tool| tool.get("function")).chain(body.get("functions").items());
            asked.tools = tools.map(|tool| tool.words_of("name")).collect();
        }
        Protocol::Responses => {
            asked.instructions += &body.get("instructions").string();
            let input = body.get("input");
            asked.words += &input.string();
            input.items().into_iter().for_each(|item| asked.responses(item));
            for tool in body.get("tools").items() {
                let name = tool.words_of("name");
                match tool.has("tools") {
                    true => {
                        let names = tool.get("tools").items().into_iter().map(|one| one.words_of("name"));
                        asked.tools.extend(names.map(|own| format!("{name}__{own}")));
                    }
                    false => asked.tools.push(name),
                }
            }
        }
        Protocol::Gemini => {
            let system = [body.get("systemInstruction"), body.get("system_instruction")];
            asked.instructions += &system.map(|one| one.get("parts").words()).concat();
            for content in body.get("contents").items() {
                for part in content.get("parts").items() {
                    asked.gemini(part);
                }
            }
            for tool in body.get("tools").items() {
                let sets = ["functionDeclarations", "function_declarations"].map(|key| tool.get(key).items());
                asked.tools.extend(sets.concat().iter().map(|one| one.get("name").string()));
            }
        }
    }
    asked.close()
}

impl Json<'_> {
    fn words_of(self, key: &str) -> String {
        self.get(key).string()
    }

    /// A text, or those of its parts.
    fn words(self) -> String {
        let parts = self.items();
        self.string() + &parts.iter().map(|part| part.get("text").string()).collect::<String>()
    }
}

impl Asked {
    fn anthropic(&mut self, content: Json<'_>) {
        self.words += &content.string();
        for block in content.items() {
            match block.get("type").string().as_str() {
                "text" => self.words += &block.get("text").string(),
                "tool_use" => self.calls.push((block.get("name").string(), spelt(block.get("input").0))),
                "tool_result" => self.results += &block.get("content").words(),
                _ => {}
            }
        }
    }

    fn responses(&mut self, item: Json<'_>) {
        match item.get("type").string().as_str() {
            "function_call" => {
                let (space, name) = (item.get("namespace").string(), item.get("name").string());
                let name = if space.is_empty() { name } else { format!("{space}__{name}") };
                self.calls.push((name, spelt(&item.get("arguments").string())));
            }
            "function_call_output" => self.results += &item.get("output").words(),
            "" | "message" => {
                let refusals =
                    item.get("content").items().into_iter().map(|part| part.get("refusal").string());
                let content = item.get("content").words() + &refusals.collect::<String>();
                match item.get("role").string().as_str() {
                    "system" | "developer" => self.instructions += &content,
                    _ => self.words += &content,
                }
            }
            _ => {}
        }
    }

    fn gemini(&mut self, part: Json<'_>) {
        if part.get("thought").0 != "true" {
            self.words += &part.get("text").string();
        }
        for key in ["functionCall", "function_call"] {
            let call = part.get(key);
            if part.has(key) {
                let arguments = if call.has("args") { call.get("args").0 } else { "" };
                self.calls.push((call.get("name").string(), spelt(arguments)));
            }
        }
        for key in ["functionResponse", "function_response"] {
            let response = part.get(key).get("response");
            let words = ["result", "output", "error", "content"].map(|key| response.get(key));
            match words.into_iter().find(|value| value.0 != "null") {
                Some(value) if value.0.starts_with('"') => self.results += &value.string(),
                _ if part.has(key) => self.results += &spelt(response.0),
                _ => {}
            }
        }
    }

    /// Whether an upstream of another protocol, which heard this, was told `self`: the same calls; the same words, and at
    /// most some that stand for what its protocol has no place for (failures, files, a wish for JSON).
    pub fn is_heard_as(&self, heard: &Asked) -> bool {
        let texts = |asked: &Asked| [&asked.instructions, &asked.words, &asked.results].map(Clone::clone);
        self.calls == heard.calls
            && self.tools.iter().all(|tool| heard.tools.contains(tool))
            && texts(self).iter().zip(texts(heard)).all(|(said, heard)| {
                let mut rest = heard.chars();
                let is_there = said.chars().all(|c| rest.any(|other| other == c));
                is_there && heard.len() <= said.len() + MOST_NOTES
            })
    }

    fn close(mut self) -> Asked {
        for text in [&mut self.instructions, &mut self.words, &mut self.results] {
            text.retain(|c| !c.is_whitespace());
        }
        self.tools.retain(|name| !name.is_empty());
        self.tools.sort_unstable();
        self
    }
}

impl Meaning {
    fn anthropic_block(&mut self, block: Json<'_>) {
        match block.get("type").string().as_str() {
            "text" => self.text.push_str(&block.get("text").string()),
            "thinking" => self.thoughts.push_str(&block.get("thinking").string()),
            "tool_use" => self.calls.push((block.get("name").string(), spelt(block.get("input").0))),
            _ => {}
        }
    }

    fn anthropic_event(&mut self, event: Json<'_>, arguments: &mut BTreeMap<u64, (String, String)>) {
        let index = event.get("index").number().unwrap_or(0);
        match event.get("type").string().as_str() {
            "message_start" => {
                let message = event.get("message");
                self.anthropic_end(message, message.get("usage"));
            }
            "content_block_start" => {
                let block = event.get("content_block");
                match block.get("type").string() == "tool_use" {
                    true => drop(arguments.insert(index, (block.get("name").string(), String::new()))),
                    false => self.anthropic_block(block),
                }
            }
            "content_block_delta" => {
                let delta = event.get("delta");
                self.text.push_str(&delta.get("text").string());
                self.thoughts.push_str(&delta.get("thinking").string());
                if let Some((_, text)) = arguments.get_mut(&index) {
                    text.push_str(&delta.get("partial_json").string());
                }
            }
            "content_block_stop" => {
                if let Some((name, text)) = arguments.remove(&index) {
                    self.calls.push((name, spelt(&text)));
                }
            }
            "message_delta" => self.anthropic_end(event.get("delta"), event.get("usage")),
            _ => {}
        }
    }

    fn anthropic_end(&mut self, end: Json<'_>, usage: Json<'_>) {
        self.finish = match end.get("stop_reason").string().as_str() {
            "" => self.finish,
            "end_turn" | "stop_sequence" => Finish::Stop,
            "tool_use" => Finish::Calls,
            "max_tokens" => Finish::Length,
            _ => Finish::Other,
        };
        let cached = usage.get("cache_read_input_tokens").number();
        if let Some(fresh) = usage.get("input_tokens").number() {
            let written = usage.get("cache_creation_input_tokens").number();
            self.input = Some(fresh + cached.unwrap_or(0) + written.unwrap_or(0));
        }
        self.cached = cached.or(self.cached);
        self.output = usage.get("output_tokens").number().or(self.output);
    }

    fn openai_choice(&mut self, message: Json<'_>, finish: Json<'_>) {
        self.text.push_str(&message.get("content").string());
        self.refusal.push_str(&message.get("refusal").string());
        let thoughts = ["reasoning_content", "reasoning"].map(|key| message.get(key).string());
        self.thoughts.push_str(thoughts.iter().find(|text| !text.is_empty()).map_or("", |text| text));
        self.finish = match finish.string().as_str() {
            "" => self.finish,
            "stop" => Finish::Stop,
            "tool_calls" | "function_call" => Finish::Calls,
            "length" => Finish::Length,
            _ => Finish::Other,
        };
    }

    fn openai_call(&mut self, function: Json<'_>) {
        self.calls.push((function.get("name").string(), spelt(&function.get("arguments").string())));
    }

    fn openai_usage(&mut self, usage: Json<'_>) {
        self.input = usage.get("prompt_tokens").number().or(self.input);
        self.output = usage.get("completion_tokens").number().or(self.output);
        self.cached = usage.get("prompt_tokens_details").get("cached_tokens").number().or(self.cached);
    }

    fn responses_end(&mut self, response: Json<'_>) {
        for item in response.get("output").items() {
            match item.get("type").string().as_str() {
                "message" => {
                    for part in item.get("content").items() {
                        self.text.push_str(&part.get("text").string());
                        self.refusal.push_str(&part.get("refusal").string());
                    }
                }
                "reasoning" => {
                    for part in [item.get("summary").items(), item.get("content").items()].concat() {
                        self.thoughts.push_str(&part.get("text").string());
                    }
                }
                "function_call" => {
                    // Other protocols have no name spaces.
                    let space = item.get("namespace").string();
                    let name = item.get("name").string();
                    let name = if space.is_empty() { name } else { format!("{space}__{name}") };
                    self.calls.push((name, spelt(&item.get("arguments").string())));
                }
                _ => {}
            }
        }
        let reason = response.get("incomplete_details").get("reason").string();
        self.finish = match (response.get("status").string().as_str(), reason.as_str()) {
            ("completed" | "complete", _) => Finish::Stop,
            ("incomplete", "max_output_tokens") => Finish::Length,
            ("incomplete", _) => Finish::Other,
            _ => Finish::Missing,
        };
        let usage = response.get("usage");
        self.input = usage.get("input_tokens").number();
        self.output = usage.get("output_tokens").number();
        self.cached = usage.get("input_tokens_details").get("cached_tokens").number();
    }

    fn gemini(&mut self, chunk: Json<'_>) {
        let first = |candidate: &Json<'_>| candidate.get("index").number().unwrap_or(0) == 0;
        if let Some(candidate) = chunk.get("candidates").items().into_iter().find(first) {
            for part in candidate.get("content").get("parts").items() {
                let is_thought = part.get("thought").0 == "true";
                let to = if is_thought { &mut self.thoughts } else { &mut self.text };
                to.push_str(&part.get("text").string());
                if part.has("functionCall") {
                    let call = part.get("functionCall");
                    let arguments = if call.has("args") { call.get("args").0 } else { "" };
                    self.calls.push((call.get("name").string(), spelt(arguments)));
                }
            }
            self.finish = match candidate.get("finishReason").string().as_str() {
                "" => self.finish,
                "STOP" => Finish::Stop,
                "MAX_TOKENS" => Finish::Length,
                _ => Finish::Other,
            };
        }
        let usage = chunk.get("usageMetadata");
        let prompt = usage.get("promptTokenCount").number();
        let prompt = prompt.map(|n| n + usage.get("toolUsePromptTokenCount").number().unwrap_or(0));
        // Some later counts are lower; what has been counted is not given back.
        self.input = prompt.max(self.input);
        self.cached = usage.get("cachedContentTokenCount").number().or(self.cached);
        let said = [usage.get("candidatesTokenCount").number(), usage.get("thoughtsTokenCount").number()];
        if said.iter().any(Option::is_some) {
            self.output = Some(said.into_iter().flatten().sum());
        }
    }

    /// Makes one thing of what protocols say in several ways.
    fn close(&mut self, protocol: Protocol) {
        let ends_alike = matches!(protocol, Protocol::Responses | Protocol::Gemini);
        if ends_alike && self.finish == Finish::Stop && !self.calls.is_empty() {
            self.finish = Finish::Calls;
        }
        if !self.refusal.is_empty() {
            self.finish = Finish::Other;
        }
        // Where counts must be told, those that nobody knows are zero.
        for count in [&mut self.input, &mut self.cached, &mut self.output] {
            *count = count.filter(|count| *count > 0);
        }
    }

    /// Whether a client of another protocol, who heard this, was told `self`.
    pub fn is_heard_as(&self, client: Protocol, heard: &Meaning) -> bool {
        let plain = |meaning: &Meaning| Meaning {
            text: format!("{}{}", meaning.text, meaning.refusal),
            refusal: String::new(),
            ..meaning.clone()
        };
        let (mut said, heard) = (plain(self), plain(heard));
        // An upstream that blocks an answer says so beside it.
        if said.finish == Finish::Other && said.text.is_empty() {
            said.text.clone_from(&heard.text);
        }
        // Arguments that break off cannot be said where they are no text.
        if client == Protocol::Gemini && said.finish == Finish::Length {
            said.calls.retain(|(_, arguments)| serde_json::from_str::<&RawValue>(arguments).is_ok());
        }
        said == heard
    }
}
