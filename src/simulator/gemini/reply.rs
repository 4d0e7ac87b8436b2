//! Writes a generateContent answer, whole or streamed.

use std::fmt::Write as _;

use super::{SIGNATURE, SIGNED};
use crate::simulator::script::{Answer, Call, Finish};
use crate::simulator::search;
use crate::simulator::stage::Scene;
use crate::simulator::wire::{Frames, list, pretty, quoted};

/// An answer that is not streamed.
pub(crate) fn whole(scene: Scene<'_>) -> String {
    let answer = scene.answer;
    let mut parts = Vec::new();
    if let Some(thought) = answer.reasoning.as_deref().filter(|text| !text.is_empty()) {
        parts.push(text_part(thought, true, None));
    }
    if !answer.text.is_empty() {
        let signed = answer.reasoning.is_some().then(|| signature(answer));
        parts.push(text_part(&answer.text, false, signed.as_deref()));
    }
    parts.extend(answer.calls.iter().enumerate().map(|(n, call)| call_part(scene, n, call)));
    pretty(&chunk(scene, &list(parts), &answer.pieces(), true, true)) + "\n"
}

fn text_part(text: &str, thought: bool, signature: Option<&str>) -> String {
    let mut out = format!("{{\"text\": {}", quoted(text));
    if thought {
        out.push_str(",\"thought\": true");
    }
    if let Some(signature) = signature {
        let _ = write!(out, ",\"thoughtSignature\": \"{signature}\"");
    }
    out.push('}');
    out
}

/// Models before the third generation give their calls no id.
fn call_part(scene: Scene<'_>, n: usize, call: &Call) -> String {
    let answer = scene.answer;
    let mut out =
        format!("{{\"functionCall\": {{\"name\": {},\"args\": {}", quoted(&call.name), call.arguments);
    if !["gemini-1", "gemini-2"].iter().any(|old| scene.ask.model.contains(old)) {
        let _ = write!(out, ",\"id\": \"{}\"", answer.ids.base62("", 100 + n as u64, 8).to_lowercase());
    }
    out.push('}');
    if n == 0 {
        let _ = write!(out, ",\"thoughtSignature\": \"{}\"", signature(answer));
    }
    out.push('}');
    out
}

fn signature(answer: &Answer) -> String {
    answer.ids.base62(SIGNATURE, 7, SIGNED) + "A="
}

fn finish(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopSequence(_) | Finish::Calls => "STOP",
        Finish::Length => "MAX_TOKENS",
        Finish::Filtered => "SAFETY",
    }
}

/// The tokens of these pieces, if they are wanted.
fn logprobs(scene: Scene<'_>, pieces: &[&str]) -> Option<String> {
    let most = scene.ask.logprobs.filter(|_| !pieces.is_empty())?;
    let token = |text: &str, rank: usize| {
        format!("{{\"token\": {},\"tokenId\": {},\"logProbability\": -{rank}.125}}", quoted(text), 100 + rank)
    };
    let chosen = list(pieces.iter().map(|piece| token(piece, 0)));
    let top = list(pieces.iter().map(|piece| {
        let others = (1..most).map(|n| token(&format!(" other{n}"), n));
        let candidates = list((most > 0).then(|| token(piece, 0)).into_iter().chain(others));
        format!("{{\"candidates\": {candidates}}}")
    }));
    Some(format!("{{\"topCandidates\": {top},\"chosenCandidates\": {chosen}}}"))
}

/// What was searched for and found.
fn grounding(query: &str) -> String {
    let pages = search::pages(|url, title| format!("{{\"web\": {{\"uri\": {url},\"title\": {title}}}}}"));
    format!(
        "{{\"webSearchQueries\": [{}],\"groundingChunks\": {pages},\"groundingSupports\": [{{\"segment\": {{\"endIndex\": {}}},\"groundingChunkIndices\": [0]}}]}}",
        quoted(query),
        search::CITED
    )
}

/// One response object, with Google's blank after each colon.
fn chunk(scene: Scene<'_>, parts: &str, pieces: &[&str], last: bool, whole: bool) -> String {
    let answer = scene.answer;
    let mut out = String::with_capacity(420 + parts.len());
    let content = if parts == "[]" {
        String::from("{\"role\": \"model\"}")
    } else {
        format!("{{\"parts\": {parts},\"role\": \"model\"}}")
    };
    let _ = write!(out, "{{\"candidates\": [{{\"content\": {content}");
    if last {
        let _ = write!(out, ",\"finishReason\": \"{}\"", finish(&answer.finish));
    }
    out.push_str(",\"index\": 0");
    if last && whole && !answer.calls.is_empty() {
        out.push_str(",\"finishMessage\": \"Model generated function call(s).\"");
    }
    if let Some(logprobs) = logprobs(scene, pieces) {
        let _ = write!(out, ",\"logprobsResult\": {logprobs}");
    }
    if let Some(query) = answer.search.as_ref().filter(|_| last) {
        let _ = write!(out, ",\"groundingMetadata\": {}", grounding(query));
    }
    out.push_str("}],\"usageMetadata\": ");
    usage(&mut out, answer);
    let id = answer.ids.base62("", 0, 23);
    let _ = write!(out, ",\"modelVersion\": {},\"responseId\": \"{id}\"}}", quoted(&scene.ask.model));
    out
}

fn usage(out: &mut String, answer: &Answer) {
    let usage = answer.usage;
    let input = usage.input;
    let _ = write!(
        out,
        "{{\"promptTokenCount\": {input},\"candidatesTokenCount\": {},\"totalTokenCount\": {},\"promptTokensDetails\": [{{\"modality\": \"TEXT\",\"tokenCount\": {input}}}]",
        usage.output - usage.reasoning,
        input + usage.output
    );
    if usage.reasoning > 0 {
        let _ = write!(out, ",\"thoughtsTokenCount\": {}", usage.reasoning);
    }
    out.push('}');
}

/// An answer as a stream: of events, or as one JSON array.
pub(crate) fn stream(scene: Scene<'_>) -> Frames {
    let answer = scene.answer;
    let pieces = answer.pieces();
    let mut chunks = Chunks {
        frames: Frames::with_capacity(pieces.len() + 24, (pieces.len() + 24) * 420 + answer.text.len()),
        scene,
    };
    for piece in answer.reasoning_pieces() {
        chunks.send(&format!("[{}]", text_part(piece, true, None)), &[], false);
    }
    for piece in &pieces {
        chunks.send(&format!("[{}]", text_part(piece, false, None)), &[piece], false);
    }
    if !answer.calls.is_empty() {
        let calls = answer.calls.iter().enumerate().map(|(n, call)| call_part(scene, n, call));
        chunks.send(&list(calls), &[], false);
    }
    let signed = (answer.reasoning.is_some() && answer.calls.is_empty()).then(|| signature(answer));
    chunks.send(&format!("[{}]", text_part("", false, signed.as_deref())), &[], true);
    chunks.frames
}

/// Writes chunks in the frame that was asked for.
struct Chunks<'a> {
    frames: Frames,
    scene: Scene<'a>,
}

impl Chunks<'_> {
    fn send(&mut self, parts: &str, pieces: &[&str], last: bool) {
        let json = chunk(self.scene, parts, pieces, last, false);
        let out = &mut self.frames.buf;
        if self.scene.array {
            out.push_str(if out.is_empty() { "[" } else { ",\r\n" });
            out.push_str(&pretty(&json));
            out.push_str(if last { "\n]\n" } else { "\n" });
        } else {
            out.push_str("data: ");
            out.push_str(&json);
            out.push_str("\r\n\r\n");
        }
        self.frames.end(!last);
    }
}
