//! Writes a Chat Completions answer, whole or streamed.

use std::fmt::Write as _;

use serde_json::Value;

use super::tokens_of;
use crate::simulator::ids::{CREATED, Ids};
use crate::simulator::script::{Answer, Call, Finish, Usage, evenly};
use crate::simulator::search;
use crate::simulator::stage::Scene;
use crate::simulator::wire::{Frames, list, quote, quoted};

const FINGERPRINT: &str = "fp_51m0000001";
const ARGUMENT_PIECES: usize = 3;

/// An answer that is not streamed.
pub(crate) fn whole(scene: Scene<'_>) -> String {
    let answer = scene.answer;
    let mut out = String::with_capacity(900 + answer.text.len() * 2);
    head(&mut out, "chat.completion", scene);
    out.push_str(",\"choices\":[");
    for index in 0..choices(scene.body) {
        if index > 0 {
            out.push(',');
        }
        let _ = write!(out, r#"{{"index":{index},"message":"#);
        message(&mut out, answer);
        let _ = write!(
            out,
            r#","logprobs":{},"finish_reason":"{}"}}"#,
            logprobs(scene, &answer.pieces()),
            finish(&answer.finish)
        );
    }
    out.push_str("],\"usage\":");
    usage(&mut out, answer.usage);
    let _ = write!(out, r#","service_tier":"default","system_fingerprint":"{FINGERPRINT}"}}"#);
    out
}

fn head(out: &mut String, object: &str, scene: Scene<'_>) {
    let id = scene.answer.ids.base62("chatcmpl-", 0, 29);
    let _ = write!(out, r#"{{"id":"{id}","object":"{object}","created":{CREATED},"model":"#);
    quote(out, &scene.ask.model);
}

/// How many answers are wanted.
fn choices(body: &Value) -> u64 {
    body.get("n").and_then(Value::as_u64).unwrap_or(1).clamp(1, 8)
}

fn message(out: &mut String, answer: &Answer) {
    out.push_str(r#"{"role":"assistant","content":"#);
    if answer.calls.is_empty() {
        quote(out, &answer.text);
    } else {
        out.push_str("null");
    }
    if let Some(reasoning) = answer.reasoning.as_deref().filter(|text| !text.is_empty()) {
        out.push_str(",\"reasoning_content\":");
        quote(out, reasoning);
    }
    if !answer.calls.is_empty() {
        let calls = answer
            .calls
            .iter()
            .enumerate()
            .map(|(n, call)| format!("{{{}}}", call_fields(answer.ids, n, call, &call.arguments)));
        let _ = write!(out, ",\"tool_calls\":{}", list(calls));
    }
    let _ = write!(out, r#","refusal":null,"annotations":[{}]}}"#, annotation(answer).unwrap_or_default());
}

/// The source of the text, if it was searched for.
fn annotation(answer: &Answer) -> Option<String> {
    answer.search.as_ref()?;
    Some(search::cited(|url, title| {
        let end = search::CITED;
        format!(
            r#"{{"type":"url_citation","url_citation":{{"end_index":{end},"start_index":0,"title":{title},"url":{url}}}}}"#
        )
    }))
}

fn logprobs(scene: Scene<'_>, pieces: &[&str]) -> String {
    match scene.ask.logprobs {
        Some(most) if !pieces.is_empty() => {
            format!(r#"{{"content":{},"refusal":null}}"#, tokens_of(pieces, most))
        }
        _ => String::from("null"),
    }
}

fn call_fields(ids: Ids, n: usize, call: &Call, arguments: &str) -> String {
    let id = ids.base62("call_", 100 + n as u64, 24);
    let (kind, input) = if call.custom { ("custom", "input") } else { ("function", "arguments") };
    format!(
        r#""id":"{id}","type":"{kind}","{kind}":{{"name":{},"{input}":{}}}"#,
        quoted(&call.name),
        quoted(arguments)
    )
}

fn finish(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) => "stop",
        Finish::Length => "length",
        Finish::Calls => "tool_calls",
        Finish::Filtered => "content_filter",
    }
}

fn usage(out: &mut String, usage: Usage) {
    let _ = write!(
        out,
        r#"{{"prompt_tokens":{},"completion_tokens":{},"total_tokens":{},"prompt_tokens_details":{{"cached_tokens":0,"audio_tokens":0}},"completion_tokens_details":{{"reasoning_tokens":{},"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}}}"#,
        usage.input,
        usage.output,
        usage.input + usage.output,
        usage.reasoning
    );
}

/// An answer as a stream of chunks.
pub(crate) fn stream(scene: Scene<'_>) -> Frames {
    let answer = scene.answer;
    let pieces = answer.pieces();
    let mut chunks = Chunks::new(scene, pieces.len());
    let count = choices(scene.body);
    for choice in 0..count {
        let content = if answer.calls.is_empty() { "\"\"" } else { "null" };
        chunks.delta(choice, false, |out| {
            let _ = write!(out, r#""role":"assistant","content":{content},"refusal":null"#);
        });
    }
    for piece in answer.reasoning_pieces() {
        for choice in 0..count {
            chunks.delta(choice, true, |out| {
                out.push_str("\"reasoning_content\":");
                quote(out, piece);
            });
        }
    }
    for piece in pieces {
        let logprobs = logprobs(scene, &[piece]);
        for choice in 0..count {
            chunks.delta_with(choice, true, &logprobs, |out| {
                out.push_str("\"content\":");
                quote(out, piece);
            });
        }
    }
    if let Some(annotation) = annotation(answer) {
        for choice in 0..count {
            chunks.delta(choice, false, |out| {
                let _ = write!(out, "\"annotations\":[{annotation}]");
            });
        }
    }
    for choice in 0..count {
        calls(&mut chunks, choice, answer, scene.interleave);
    }
    for choice in 0..count {
        chunks.finish(choice, finish(&answer.finish));
    }
    chunks.end(answer.usage)
}

/// Call after call, each with its arguments in pieces; or all calls first, then a piece of each in
/// turn, which some compatible servers do.
fn calls(chunks: &mut Chunks, choice: u64, answer: &Answer, interleave: bool) {
    let pieces: Vec<_> = answer.calls.iter().map(|call| evenly(&call.arguments, ARGUMENT_PIECES)).collect();
    for (n, (call, pieces)) in answer.calls.iter().zip(&pieces).enumerate() {
        chunks.delta(choice, true, |out| {
            let _ = write!(out, r#""tool_calls":[{{"index":{n},{}}}]"#, call_fields(answer.ids, n, call, ""));
        });
        if !interleave {
            pieces.iter().for_each(|piece| arguments(chunks, choice, n, call, piece));
        }
    }
    if interleave {
        for turn in 0..ARGUMENT_PIECES {
            for (n, (call, pieces)) in answer.calls.iter().zip(&pieces).enumerate() {
                pieces.get(turn).into_iter().for_each(|piece| arguments(chunks, choice, n, call, piece));
            }
        }
    }
}

fn arguments(chunks: &mut Chunks, choice: u64, n: usize, call: &Call, piece: &str) {
    let (kind, input) = if call.custom { ("custom", "input") } else { ("function", "arguments") };
    chunks.delta(choice, true, |out| {
        let _ = write!(out, r#""tool_calls":[{{"index":{n},"{kind}":{{"{input}":"#);
        quote(out, piece);
        out.push_str("}}]");
    });
}

/// Writes chunks with what they all share.
struct Chunks {
    frames: Frames,
    head: String,
    tail: &'static str,
    with_usage: bool,
}

impl Chunks {
    fn new(scene: Scene<'_>, pieces: usize) -> Self {
        let mut head_text = String::from("data: ");
        head(&mut head_text, "chat.completion.chunk", scene);
        let _ = write!(
            head_text,
            r#","service_tier":"default","system_fingerprint":"{FINGERPRINT}","choices":["#
        );
        let with_usage =
            scene.body.pointer("/stream_options/include_usage").and_then(Value::as_bool).unwrap_or(false);
        let tail = if with_usage { "],\"usage\":null}\n\n" } else { "]}\n\n" };
        let bytes = (pieces + 24) * (head_text.len() + 110) + scene.answer.text.len();
        Chunks { frames: Frames::with_capacity(pieces + 24, bytes), head: head_text, tail, with_usage }
    }

    fn delta(&mut self, choice: u64, token: bool, write: impl FnOnce(&mut String)) {
        self.delta_with(choice, token, "null", write);
    }

    fn delta_with(&mut self, choice: u64, token: bool, logprobs: &str, write: impl FnOnce(&mut String)) {
        let out = &mut self.frames.buf;
        out.push_str(&self.head);
        let _ = write!(out, r#"{{"index":{choice},"delta":{{"#);
        write(out);
        let _ = write!(out, r#"}},"logprobs":{logprobs},"finish_reason":null}}"#);
        out.push_str(self.tail);
        self.frames.end(token);
    }

    fn finish(&mut self, choice: u64, reason: &str) {
        let out = &mut self.frames.buf;
        out.push_str(&self.head);
        let _ =
            write!(out, r#"{{"index":{choice},"delta":{{}},"logprobs":null,"finish_reason":"{reason}"}}"#);
        out.push_str(self.tail);
        self.frames.end(false);
    }

    fn end(mut self, counted: Usage) -> Frames {
        let out = &mut self.frames.buf;
        if self.with_usage {
            out.push_str(&self.head);
            out.push_str("],\"usage\":");
            usage(out, counted);
            out.push_str("}\n\n");
            self.frames.end(false);
        }
        self.frames.buf.push_str("data: [DONE]\n\n");
        self.frames.end(false);
        self.frames
    }
}
