//! Writes a Messages answer, whole or streamed.

use std::fmt::Write as _;

use super::{SIGNATURE, SIGNED};
use crate::simulator::ids::Ids;
use crate::simulator::script::{Answer, Finish, evenly};
use crate::simulator::search;
use crate::simulator::stage::Scene;
use crate::simulator::wire::{Frames, quote, quoted};

/// What only the provider can read of a page.
const SEALED: &str = "EqgfCioIARgBIiQ";

/// An answer that is not streamed.
pub(crate) fn whole(scene: Scene<'_>) -> String {
    let answer = scene.answer;
    let mut out = String::with_capacity(640 + answer.text.len() * 2);
    head(&mut out, scene);
    let mut separator = "";
    if let Some(reasoning) = &answer.reasoning {
        let _ = write!(
            out,
            r#"{{"type":"thinking","thinking":{},"signature":"{}"}}"#,
            quoted(reasoning),
            signature(answer.ids)
        );
        separator = ",";
    }
    if let Some(query) = &answer.search {
        let input = format!(r#"{{"query":{}}}"#, quoted(query));
        let _ = write!(out, "{separator}{},{}", search_use(answer.ids, &input), search_result(answer.ids));
        separator = ",";
    }
    if !answer.text.is_empty() {
        out.push_str(separator);
        out.push_str(r#"{"type":"text","text":"#);
        quote(&mut out, &answer.text);
        if answer.search.is_some() {
            let _ = write!(out, r#","citations":[{}]"#, citation());
        }
        out.push('}');
        separator = ",";
    }
    for (n, call) in answer.calls.iter().enumerate() {
        let _ = write!(out, "{separator}{}", tool_use(answer.ids, n, &call.name, &call.arguments));
        separator = ",";
    }
    out.push_str("],");
    ending(&mut out, answer);
    out.push_str(",\"usage\":{");
    counts(&mut out, answer.usage.input, answer.usage.output);
    let _ = write!(
        out,
        r#","output_tokens_details":{{"thinking_tokens":{}}}{},"service_tier":"standard"}}}}"#,
        answer.usage.reasoning,
        searches(answer)
    );
    out
}

fn head(out: &mut String, scene: Scene<'_>) {
    out.push_str("{\"model\":");
    quote(out, &scene.ask.model);
    let id = scene.answer.ids.base62("msg_01", 0, 22);
    let _ = write!(out, r#","id":"{id}","type":"message","role":"assistant","content":["#);
}

fn ending(out: &mut String, answer: &Answer) {
    let (reason, sequence) = match &answer.finish {
        Finish::Stop => ("end_turn", None),
        Finish::StopSequence(sequence) => ("stop_sequence", Some(sequence)),
        Finish::Length => ("max_tokens", None),
        Finish::Calls => ("tool_use", None),
        Finish::Filtered => ("refusal", None),
    };
    let sequence = sequence.map_or_else(|| String::from("null"), |sequence| quoted(sequence));
    let details = if answer.finish == Finish::Filtered {
        r#"{"type":"refusal","category":null,"explanation":"The request was declined."}"#
    } else {
        "null"
    };
    let _ = write!(out, r#""stop_reason":"{reason}","stop_sequence":{sequence},"stop_details":{details}"#);
}

fn counts(out: &mut String, input: usize, output: usize) {
    let _ = write!(
        out,
        r#""input_tokens":{input},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"cache_creation":{{"ephemeral_5m_input_tokens":0,"ephemeral_1h_input_tokens":0}},"output_tokens":{output}"#
    );
}

fn tool_use(ids: Ids, n: usize, name: &str, input: &str) -> String {
    let id = ids.base62("toolu_01", 100 + n as u64, 22);
    let name = quoted(name);
    format!(r#"{{"type":"tool_use","id":"{id}","name":{name},"input":{input},"caller":{{"type":"direct"}}}}"#)
}

/// The block of the call of a search.
fn search_use(ids: Ids, input: &str) -> String {
    let id = search_id(ids);
    format!(r#"{{"type":"server_tool_use","id":"{id}","name":"web_search","input":{input}}}"#)
}

/// The block of its result.
fn search_result(ids: Ids) -> String {
    let id = search_id(ids);
    let pages = search::pages(|url, title| {
        format!(
            r#"{{"type":"web_search_result","title":{title},"url":{url},"encrypted_content":"{SEALED}","page_age":null}}"#
        )
    });
    format!(r#"{{"type":"web_search_tool_result","tool_use_id":"{id}","content":{pages}}}"#)
}

fn search_id(ids: Ids) -> String {
    ids.base62("srvtoolu_01", 5, 22)
}

fn citation() -> String {
    search::cited(|url, title| {
        format!(
            r#"{{"type":"web_search_result_location","cited_text":"a page","url":{url},"title":{title},"encrypted_index":"{SEALED}"}}"#
        )
    })
}

/// How often was searched, if at all.
fn searches(answer: &Answer) -> &'static str {
    match answer.search {
        Some(_) => r#","server_tool_use":{"web_search_requests":1,"web_fetch_requests":0}"#,
        None => "",
    }
}

fn signature(ids: Ids) -> String {
    ids.base62(SIGNATURE, 7, SIGNED)
}

/// An answer as a stream of events.
pub(crate) fn stream(scene: Scene<'_>) -> Frames {
    let answer = scene.answer;
    let pieces = answer.pieces();
    let mut script = Script::new(pieces.len() + 24, pieces.len() * 140 + answer.text.len() + 4096);
    script.start(scene);
    if answer.reasoning.is_some() {
        script.open(r#"{"type":"thinking","thinking":"","signature":""}"#);
        for piece in answer.reasoning_pieces() {
            script.delta("thinking_delta", "thinking", piece);
        }
        script.delta("signature_delta", "signature", &signature(answer.ids));
        script.close();
    }
    if let Some(query) = &answer.search {
        script.open(&search_use(answer.ids, "{}"));
        for piece in evenly(&format!(r#"{{"query":{}}}"#, quoted(query)), 2) {
            script.delta("input_json_delta", "partial_json", piece);
        }
        script.close();
        script.open(&search_result(answer.ids));
        script.close();
    }
    if !pieces.is_empty() {
        script.open(r#"{"type":"text","text":""}"#);
        for piece in pieces {
            script.delta("text_delta", "text", piece);
        }
        if answer.search.is_some() {
            script.raw_delta("citations_delta", "citation", &citation());
        }
        script.close();
    }
    for (n, call) in answer.calls.iter().enumerate() {
        script.open(&tool_use(answer.ids, n, &call.name, "{}"));
        script.delta("input_json_delta", "partial_json", "");
        for piece in evenly(&call.arguments, 3) {
            script.delta("input_json_delta", "partial_json", piece);
        }
        script.close();
    }
    script.finish(answer);
    script.frames
}

/// Writes events with their block index, and pads them as the API does.
struct Script {
    frames: Frames,
    index: usize,
    pinged: bool,
}

impl Script {
    fn new(events: usize, bytes: usize) -> Self {
        Script { frames: Frames::with_capacity(events, bytes), index: 0, pinged: false }
    }

    fn start(&mut self, scene: Scene<'_>) {
        let out = &mut self.frames.buf;
        out.push_str("event: message_start\ndata: {\"type\":\"message_start\",\"message\":");
        head(out, scene);
        out.push_str(r#"],"stop_reason":null,"stop_sequence":null,"stop_details":null,"usage":{"#);
        counts(out, scene.answer.usage.input, 1);
        out.push_str(r#","service_tier":"standard"}}"#);
        self.end(false);
    }

    fn open(&mut self, block: &str) {
        let _ = write!(
            self.frames.buf,
            "event: content_block_start\ndata: {{\"type\":\"content_block_start\",\"index\":{},\"content_block\":{block}",
            self.index
        );
        self.end(false);
        if !std::mem::replace(&mut self.pinged, true) {
            self.frames.buf.push_str("event: ping\ndata: {\"type\": \"ping\"}\n\n");
            self.frames.end(false);
        }
    }

    fn delta(&mut self, kind: &str, field: &str, text: &str) {
        self.raw_delta(kind, field, &quoted(text));
    }

    fn raw_delta(&mut self, kind: &str, field: &str, json: &str) {
        let out = &mut self.frames.buf;
        let _ = write!(
            out,
            "event: content_block_delta\ndata: {{\"type\":\"content_block_delta\",\"index\":{},\"delta\":{{\"type\":\"{kind}\",\"{field}\":",
            self.index
        );
        out.push_str(json);
        out.push('}');
        self.end(true);
    }

    fn close(&mut self) {
        let _ = write!(
            self.frames.buf,
            "event: content_block_stop\ndata: {{\"type\":\"content_block_stop\",\"index\":{}",
            self.index
        );
        self.end(false);
        self.index += 1;
    }

    fn finish(&mut self, answer: &Answer) {
        let out = &mut self.frames.buf;
        out.push_str("event: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{");
        ending(out, answer);
        let _ = write!(
            out,
            r#"}},"usage":{{"input_tokens":{},"cache_creation_input_tokens":0,"cache_read_input_tokens":0,"output_tokens":{},"output_tokens_details":{{"thinking_tokens":{}}}{}}}"#,
            answer.usage.input,
            answer.usage.output,
            answer.usage.reasoning,
            searches(answer)
        );
        self.end(false);
        self.frames.buf.push_str("event: message_stop\ndata: {\"type\":\"message_stop\"");
        self.end(false);
    }

    /// The last brace, some blanks before it, and the empty line.
    fn end(&mut self, token: bool) {
        let blanks = self.frames.len() * 7 % 13;
        self.frames.buf.push_str("            ".get(..blanks).unwrap_or_default());
        self.frames.buf.push_str("}\n\n");
        self.frames.end(token);
    }
}
