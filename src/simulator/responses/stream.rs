//! A response as a stream of events.

use std::fmt::Write as _;

use super::reply::{
    Echo, Item, State, annotation, full_part, item, item_id, items, logprobs, part, response, summary,
};
use crate::simulator::openai::error_object;
use crate::simulator::refusal::Refusal;
use crate::simulator::script::{Finish, evenly};
use crate::simulator::stage::Scene;
use crate::simulator::wire::{Frames, list, quote, quoted};

const ARGUMENT_PIECES: usize = 3;

/// An answer as a stream of events.
pub(crate) fn stream(scene: Scene<'_>) -> Frames {
    let echo = Echo::of(scene.body);
    let words = scene.answer.pieces().len();
    let mut events =
        Events(Frames::with_capacity(words + 32, words * 320 + scene.answer.text.len() * 6 + 8192));
    let begun = response(scene, State::Begun, &echo);
    events.send("response.created", false, &format!("\"response\":{begun}"));
    events.send("response.in_progress", false, &format!("\"response\":{begun}"));
    for (index, one) in items(scene).iter().enumerate() {
        let begun = item(scene, one, false);
        events.send(
            "response.output_item.added",
            false,
            &format!("\"output_index\":{index},\"item\":{begun}"),
        );
        let at = format!("\"item_id\":\"{}\",\"output_index\":{index}", item_id(scene, one));
        match one {
            Item::Reasoning => reasoning(&mut events, scene, &at),
            Item::Search => {
                for step in ["in_progress", "searching", "completed"] {
                    events.send(&format!("response.web_search_call.{step}"), false, &at);
                }
            }
            Item::Message => message(&mut events, scene, &at),
            Item::Call(n) => call(&mut events, scene, &at, *n),
        }
        let done = item(scene, one, true);
        events.send("response.output_item.done", false, &format!("\"output_index\":{index},\"item\":{done}"));
    }
    let name = match scene.answer.finish {
        Finish::Length | Finish::Filtered => "response.incomplete",
        _ => "response.completed",
    };
    events.send(name, false, &format!("\"response\":{}", response(scene, State::Over, &echo)));
    events.0
}

fn reasoning(events: &mut Events, scene: Scene<'_>, at: &str) {
    let text = scene.answer.reasoning.as_deref().unwrap_or_default();
    if text.is_empty() {
        return;
    }
    let at = format!("{at},\"summary_index\":0");
    let empty = summary("");
    events.send("response.reasoning_summary_part.added", false, &format!("{at},\"part\":{empty}"));
    for piece in scene.answer.reasoning_pieces() {
        events.delta("response.reasoning_summary_text.delta", &at, piece, "");
    }
    let quoted = quoted(text);
    events.send("response.reasoning_summary_text.done", false, &format!("{at},\"text\":{quoted}"));
    let full = summary(text);
    events.send("response.reasoning_summary_part.done", false, &format!("{at},\"part\":{full}"));
}

fn message(events: &mut Events, scene: Scene<'_>, at: &str) {
    let at = format!("{at},\"content_index\":0");
    let empty = part();
    events.send("response.content_part.added", false, &format!("{at},\"part\":{empty}"));
    for piece in scene.answer.pieces() {
        let rest = format!(",\"logprobs\":{}", logprobs(scene, &[piece]));
        events.delta("response.output_text.delta", &at, piece, &rest);
    }
    if let Some(annotation) = annotation(scene) {
        let members = format!("{at},\"annotation_index\":0,\"annotation\":{annotation}");
        events.send("response.output_text.annotation.added", false, &members);
    }
    let text = quoted(&scene.answer.text);
    let logprobs = logprobs(scene, &scene.answer.pieces());
    let done = format!("{at},\"text\":{text},\"logprobs\":{logprobs}");
    events.send("response.output_text.done", false, &done);
    let full = full_part(scene);
    events.send("response.content_part.done", false, &format!("{at},\"part\":{full}"));
}

fn call(events: &mut Events, scene: Scene<'_>, at: &str, n: usize) {
    let Some(call) = scene.answer.calls.get(n) else { return };
    let (kind, input) = if call.custom {
        ("response.custom_tool_call_input", "input")
    } else {
        ("response.function_call_arguments", "arguments")
    };
    for piece in evenly(&call.arguments, ARGUMENT_PIECES) {
        events.delta(&format!("{kind}.delta"), at, piece, "");
    }
    let arguments = quoted(&call.arguments);
    events.send(&format!("{kind}.done"), false, &format!("{at},\"{input}\":{arguments}"));
}

/// An error in the middle of a stream: an `error` event, then the failed response.
pub(crate) fn break_off(frames: &mut Frames, scene: Scene<'_>, refusal: &Refusal) {
    let complete = frames.buf.matches("event: response.output_item.done\n").count();
    let mut events = Events(std::mem::take(frames));
    let error = error_object(refusal);
    events.send("error", false, &format!("\"error\":{error}"));
    let output = list(items(scene).iter().take(complete).map(|one| item(scene, one, true)));
    let failed = response(scene, State::Failed(refusal, &output), &Echo::of(scene.body));
    events.write("response.failed", &format!("\"response\":{failed}"));
    *frames = events.0;
}

/// Writes events with their sequence number, which is their place in the stream.
struct Events(Frames);

impl Events {
    fn send(&mut self, name: &str, token: bool, members: &str) {
        self.write(name, members);
        self.0.end(token);
    }

    fn write(&mut self, name: &str, members: &str) {
        self.begin(name);
        self.0.buf.push_str(members);
        self.0.buf.push_str("}\n\n");
    }

    fn begin(&mut self, name: &str) {
        let number = self.0.len();
        let _ =
            write!(self.0.buf, "event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{number},");
    }

    fn delta(&mut self, name: &str, at: &str, text: &str, rest: &str) {
        self.begin(name);
        let out = &mut self.0.buf;
        let _ = write!(out, "{at},\"delta\":");
        quote(out, text);
        let _ = write!(out, "{rest}}}\n\n");
        self.0.end(true);
    }
}
