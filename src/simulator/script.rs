//! What to say: from what was asked, in any protocol, to an answer in none. Pure.

use serde_json::Value;

use super::agent;
use super::ask::{Ask, Choice, Reasoning, Tool};
use super::ids::Ids;
use super::schema::Sampler;

const REASONING: &str = "The user said something, so I repeat it word by word.";
const ECHO_MEDIA: usize = 8;
const FILLER: &str = "the quick brown fox jumps over the lazy dog while seven wise owls look on ";

/// One call of a tool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    /// The tool.
    pub(crate) name: String,
    /// Arguments as compact JSON, or the input of a custom tool.
    pub(crate) arguments: String,
    /// Whether it is a custom tool.
    pub(crate) custom: bool,
    /// The namespace of the tool.
    pub(crate) namespace: Option<String>,
}

/// Why the answer ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Finish {
    /// It is complete.
    Stop,
    /// It ran into this stop sequence.
    StopSequence(String),
    /// It is as long as allowed.
    Length,
    /// Tools are called.
    Calls,
    /// The provider's filter ended it.
    Filtered,
}

/// Words in and out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Usage {
    /// Of the request.
    pub(crate) input: usize,
    /// Of the answer, reasoning included.
    pub(crate) output: usize,
    /// Of the reasoning alone.
    pub(crate) reasoning: usize,
}

/// What to say, in no protocol.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// Its identifiers.
    pub(crate) ids: Ids,
    /// The reasoning; `Some("")` when it is hidden.
    pub(crate) reasoning: Option<String>,
    /// The text, empty when tools are called.
    pub(crate) text: String,
    /// The calls.
    pub(crate) calls: Vec<Call>,
    /// The end.
    pub(crate) finish: Finish,
    /// The count.
    pub(crate) usage: Usage,
    /// What was searched for before the text.
    pub(crate) search: Option<String>,
    pieces: Option<usize>,
}

impl Answer {
    /// The text as it is streamed: word by word, or in the fixed number of pieces.
    pub(crate) fn pieces(&self) -> Vec<&str> {
        match self.pieces {
            Some(count) => evenly(&self.text, count),
            None => by_word(&self.text),
        }
    }

    /// The reasoning as it is streamed.
    pub(crate) fn reasoning_pieces(&self) -> Vec<&str> {
        by_word(self.reasoning.as_deref().unwrap_or_default())
    }
}

/// A text of a given size, said instead of an echo.
#[derive(Clone, Debug)]
pub(crate) struct Filler {
    text: String,
    pieces: Option<usize>,
}

impl Filler {
    /// A text of `bytes` bytes (or one word per piece), streamed in `pieces` pieces if given.
    pub(crate) fn new(bytes: Option<usize>, pieces: Option<usize>) -> Option<Self> {
        let text: String = match (bytes, pieces) {
            (None, None) => return None,
            (Some(bytes), _) => FILLER.chars().cycle().take(bytes).collect(),
            (None, Some(pieces)) => FILLER.split_inclusive(' ').cycle().take(pieces).collect(),
        };
        Some(Filler { text, pieces })
    }
}

/// What the script needs to know besides the request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cues<'a> {
    /// Identifiers.
    pub(crate) ids: Ids,
    /// A text to say instead of an echo.
    pub(crate) filler: Option<&'a Filler>,
    /// Say nothing at all.
    pub(crate) blank: bool,
    /// End like a provider's filter would.
    pub(crate) filtered: bool,
    /// Play the model of a coding agent.
    pub(crate) agent: bool,
    /// Search the web, if that is allowed.
    pub(crate) search: bool,
}

/// Decides what to say.
pub(crate) fn answer(ask: &Ask, cues: Cues<'_>) -> Answer {
    let input = ask.input_tokens.max(1);
    let mut answer = Answer {
        ids: cues.ids,
        reasoning: None,
        text: String::new(),
        calls: Vec::new(),
        finish: Finish::Stop,
        usage: Usage { input, output: 0, reasoning: 0 },
        search: None,
        pieces: None,
    };
    if let Some(filler) = cues.filler {
        answer.text.clone_from(&filler.text);
        answer.pieces = filler.pieces;
        answer.usage.output = words(&answer.text);
    } else if !cues.blank {
        perform(ask, cues.agent, &mut answer);
        let searches = cues.search && ask.searches && !answer.text.is_empty();
        answer.search = searches.then(|| ask.user.as_str().to_owned());
    }
    if cues.filtered {
        answer.finish = Finish::Filtered;
    }
    answer
}

fn perform(ask: &Ask, agent: bool, answer: &mut Answer) {
    let budget = ask.max_tokens.and_then(|most| usize::try_from(most).ok());
    let mut left = budget.unwrap_or(usize::MAX);
    if ask.reasoning != Reasoning::Off {
        let text = first_words(REASONING, left);
        answer.usage.reasoning = words(text);
        left -= answer.usage.reasoning;
        let shown = if ask.reasoning == Reasoning::Shown { text } else { "" };
        answer.reasoning = Some(shown.to_owned());
    }
    answer.usage.output = answer.usage.reasoning;
    let calls = match agent {
        true => agent::next_call(ask).into_iter().collect(),
        false if calls_tools(ask) => calls(ask),
        false => Vec::new(),
    };
    if !calls.is_empty() {
        let cost: usize = calls.iter().map(|call| 1 + words(&call.arguments)).sum();
        if cost <= left {
            answer.usage.output += cost;
            answer.calls = calls;
            answer.finish = Finish::Calls;
        } else {
            answer.finish = Finish::Length;
        }
        return;
    }
    let report = if agent { ask.task.report() } else { String::new() };
    speak(ask, report, left, answer);
}

fn speak(ask: &Ask, report: String, left: usize, answer: &mut Answer) {
    let mut text = match &ask.format {
        Some(schema) => Sampler { root: schema, text: ask.user.as_str(), index: 0 }.document(),
        None if !report.is_empty() => report,
        None => echo(ask),
    };
    let stop = ask.stop.iter().filter(|stop| !stop.is_empty());
    let stop = stop.filter_map(|stop| Some((text.find(stop.as_str())?, stop))).min_by_key(|(at, _)| *at);
    if let Some((at, stop)) = stop {
        text.truncate(at);
        answer.finish = Finish::StopSequence(stop.clone());
    }
    let kept = first_words(&text, left).len();
    if kept < text.trim_end().len() {
        text.truncate(kept);
        answer.finish = Finish::Length;
    }
    answer.usage.output += words(&text);
    answer.text = text;
}

fn echo(ask: &Ask) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(96 + ask.user.as_str().len());
    for result in &ask.results {
        text.push_str("The tool said: ");
        result.echo(&mut text);
        text.push(' ');
    }
    if ask.results.is_empty() || !ask.user.is_empty() {
        text.push_str("You said: ");
        ask.user.echo(&mut text);
        text.push(' ');
    }
    if !ask.system.is_empty() {
        text.push_str("[system: ");
        ask.system.echo(&mut text);
        text.push_str("] ");
    }
    if ask.images > 0 {
        let _ = write!(text, "[images: {}] ", ask.images);
    }
    if ask.documents > 0 {
        let _ = write!(text, "[documents: {}] ", ask.documents);
    }
    for media in ask.inline.iter().take(ECHO_MEDIA) {
        let _ = write!(text, "[inline: {media}] ");
    }
    if ask.reasonings > 0 {
        let _ = write!(text, "[reasoning: {}] ", ask.reasonings);
    }
    let _ = write!(text, "This is {} speaking. 🦀", ask.model);
    text
}

fn calls_tools(ask: &Ask) -> bool {
    !ask.tools.is_empty() && ask.choice != Choice::None && ask.results.is_empty() && !ask.user.is_empty()
}

fn calls(ask: &Ask) -> Vec<Call> {
    let user = ask.user.as_str();
    let named = match &ask.choice {
        Choice::Named(name) => ask.tools.iter().find(|tool| tool.name == *name),
        _ => None,
    };
    let first = named.or(ask.tools.first());
    let twice = ask.parallel && user.to_lowercase().contains("parallel");
    let second = if twice { named.or(ask.tools.get(1)).or(first) } else { None };
    let tools = first.into_iter().chain(second);
    let same = first.map(|tool| &tool.name) == second.map(|tool| &tool.name);
    tools.enumerate().map(|(n, tool)| call(tool, user, if same { n } else { 0 })).collect()
}

fn call(tool: &Tool, text: &str, index: usize) -> Call {
    let arguments = if tool.custom {
        let schema = serde_json::json!({"type": "object", "required": ["input"]});
        let document = Sampler { root: &schema, text, index }.document();
        let document: Value = serde_json::from_str(&document).unwrap_or_default();
        document.get("input").and_then(Value::as_str).unwrap_or_default().to_owned()
    } else {
        let document = Sampler { root: &tool.schema, text, index }.document();
        if document.starts_with('{') { document } else { String::from("{}") }
    };
    Call { name: tool.name.clone(), arguments, custom: tool.custom, namespace: tool.namespace.clone() }
}

/// How many words there are; a word is a token here.
pub(crate) fn words(text: &str) -> usize {
    text.split_ascii_whitespace().count()
}

/// The text up to the end of its `count`-th word.
fn first_words(text: &str, count: usize) -> &str {
    let mut left = count;
    let mut inside = false;
    for (at, byte) in text.bytes().enumerate() {
        let space = byte.is_ascii_whitespace();
        if !space && !inside {
            if left == 0 {
                return text.get(..at).unwrap_or_default().trim_end();
            }
            left -= 1;
        }
        inside = !space;
    }
    text
}

/// Words, each with the white space before it.
fn by_word(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let (mut start, mut inside) = (0, false);
    for (at, byte) in text.bytes().enumerate() {
        let space = byte.is_ascii_whitespace();
        if space && inside {
            pieces.push(text.get(start..at).unwrap_or_default());
            start = at;
        }
        inside = !space;
    }
    if start < text.len() {
        pieces.push(text.get(start..).unwrap_or_default());
    }
    pieces
}

/// Exactly `count` pieces of about equal size (fewer only if there are fewer characters).
pub(crate) fn evenly(text: &str, count: usize) -> Vec<&str> {
    let mut pieces = Vec::with_capacity(count);
    let mut start = 0;
    for n in 1..=count {
        let aim = text.len() * n / count;
        let end = (aim..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
        if end > start {
            pieces.push(text.get(start..end).unwrap_or_default());
            start = end;
        }
    }
    pieces
}

#[cfg(test)]
mod tests;
