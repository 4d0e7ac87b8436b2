//! Answers as providers send them: 200 pieces of text and a tool call, the same in each protocol.

use aiproxy::protocol::Protocol;
use serde_json::{Value, json};

/// Pieces of text in a stream.
pub const DELTAS: usize = 200;

const WORDS: [&str; 12] = [
    "The ",
    "router ",
    "drops ",
    "\"slow\" ",
    "requests",
    ":\n",
    "für ",
    "die ",
    "Prüfung",
    " reicht ",
    "das 🙂",
    ". ",
];
const ARGUMENTS: [&str; 8] = ["{\"pa", "th\":\"", "src/", "server", "/router", ".rs\",\"", "first\":", "1}"];
const CALL: &str = "call_000000000000000000000001";
const TOOL: &str = "read_file_0";

fn words() -> impl Iterator<Item = &'static str> {
    WORDS.into_iter().cycle().take(DELTAS)
}

fn text() -> String {
    words().collect()
}

fn arguments() -> String {
    ARGUMENTS.concat()
}

/// The events of a stream, each as it stands on the wire.
pub fn stream(protocol: Protocol) -> Vec<Vec<u8>> {
    let events = match protocol {
        Protocol::Anthropic => anthropic_stream(),
        Protocol::OpenAi => openai_stream(),
        Protocol::Responses => responses_stream(),
        Protocol::Gemini => gemini_stream(),
    };
    events.into_iter().map(String::into_bytes).collect()
}

/// The whole answer as one document.
pub fn document(protocol: Protocol) -> String {
    match protocol {
        Protocol::Anthropic => format!(
            r#"{{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[{text},{call}],"stop_reason":"tool_use","stop_sequence":null,"usage":{{"input_tokens":1200,"cache_creation_input_tokens":0,"cache_read_input_tokens":1024,"output_tokens":240}}}}"#,
            text = json!({"type": "text", "text": text()}),
            call = format_args!(
                r#"{{"type":"tool_use","id":"{CALL}","name":"{TOOL}","input":{}}}"#,
                arguments()
            ),
        ),
        Protocol::OpenAi => format!(
            r#"{{"id":"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT","object":"chat.completion","created":1763700000,"model":"gpt-5-mini-2025-08-07","choices":[{{"index":0,"message":{{"role":"assistant","content":{text},"tool_calls":[{{"id":"{CALL}","type":"function","function":{{"name":"{TOOL}","arguments":{arguments}}}}}],"refusal":null,"annotations":[]}},"logprobs":null,"finish_reason":"tool_calls"}}],"usage":{OPENAI_USAGE},"service_tier":"default","system_fingerprint":"fp_44709d6fcb"}}"#,
            text = json!(text()),
            arguments = json!(arguments()),
        ),
        Protocol::Responses => responses_object("completed", &responses_output()).to_string(),
        Protocol::Gemini => {
            let parts = json!([{"text": text()}, gemini_call()]);
            gemini_chunk(&parts, Some("STOP")).to_string()
        }
    }
}

const OPENAI_USAGE: &str = r#"{"prompt_tokens":1200,"completion_tokens":240,"total_tokens":1440,"prompt_tokens_details":{"cached_tokens":1024,"audio_tokens":0},"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}}"#;

fn anthropic_stream() -> Vec<String> {
    let event = |name: &str, data: String| format!("event: {name}\ndata: {data}\n\n");
    let delta = |index: usize, delta: Value| {
        let data = format!(r#"{{"type":"content_block_delta","index":{index},"delta":{delta}}}"#);
        event("content_block_delta", data)
    };
    let start = |index: usize, block: Value| {
        let data = format!(r#"{{"type":"content_block_start","index":{index},"content_block":{block}}}"#);
        event("content_block_start", data)
    };
    let stop = |index: usize| {
        event("content_block_stop", format!(r#"{{"type":"content_block_stop","index":{index}}}"#))
    };
    let mut events = vec![
        event(
            "message_start",
            r#"{"type":"message_start","message":{"id":"msg_01XFDUDYJgAACzvnptvVoYEL","type":"message","role":"assistant","model":"claude-sonnet-4-5-20250929","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":1200,"cache_creation_input_tokens":0,"cache_read_input_tokens":1024,"output_tokens":1}}}"#.to_owned(),
        ),
        start(0, json!({"type": "text", "text": ""})),
        event("ping", r#"{"type": "ping"}"#.to_owned()),
    ];
    events.extend(words().map(|word| delta(0, json!({"type": "text_delta", "text": word}))));
    events.push(stop(0));
    events.push(start(1, json!({"type": "tool_use", "id": CALL, "name": TOOL, "input": {}})));
    events.extend(
        ARGUMENTS.iter().map(|piece| delta(1, json!({"type": "input_json_delta", "partial_json": piece}))),
    );
    events.push(stop(1));
    events.push(event(
        "message_delta",
        r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":240}}"#.to_owned(),
    ));
    events.push(event("message_stop", r#"{"type":"message_stop"}"#.to_owned()));
    events
}

fn openai_stream() -> Vec<String> {
    let chunk = |choices: String, usage: &str| {
        format!(
            "data: {{\"id\":\"chatcmpl-B9MBs8CjcvOU2jLn4n570S5qMJKcT\",\"object\":\"chat.completion.chunk\",\"created\":1763700000,\"model\":\"gpt-5-mini-2025-08-07\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_44709d6fcb\",\"choices\":{choices},\"usage\":{usage}}}\n\n"
        )
    };
    let delta = |delta: Value| {
        chunk(format!(r#"[{{"index":0,"delta":{delta},"logprobs":null,"finish_reason":null}}]"#), "null")
    };
    let mut events = vec![delta(json!({"role": "assistant", "content": "", "refusal": null}))];
    events.extend(words().map(|word| delta(json!({"content": word}))));
    let function = json!({"name": TOOL, "arguments": ""});
    events.push(delta(
        json!({"tool_calls": [{"index": 0, "id": CALL, "type": "function", "function": function}]}),
    ));
    events.extend(
        ARGUMENTS
            .iter()
            .map(|piece| delta(json!({"tool_calls": [{"index": 0, "function": {"arguments": piece}}]}))),
    );
    events.push(chunk(
        r#"[{"index":0,"delta":{},"logprobs":null,"finish_reason":"tool_calls"}]"#.to_owned(),
        "null",
    ));
    events.push(chunk("[]".to_owned(), OPENAI_USAGE));
    events.push("data: [DONE]\n\n".to_owned());
    events
}

fn responses_object(status: &str, output: &Value) -> Value {
    json!({
        "id": "resp_67ccd2bed1ec8190b14f964abc0542670bb6a6b452d3795b",
        "object": "response", "created_at": 1763700000, "status": status, "error": null,
        "incomplete_details": null, "instructions": null, "max_output_tokens": null,
        "model": "gpt-5-mini-2025-08-07", "output": output, "parallel_tool_calls": true,
        "previous_response_id": null, "reasoning": {"effort": "medium", "summary": null}, "store": false,
        "temperature": 1.0, "text": {"format": {"type": "text"}}, "tool_choice": "auto", "tools": [],
        "top_p": 1.0, "truncation": "disabled",
        "usage": {"input_tokens": 1200, "input_tokens_details": {"cached_tokens": 1024}, "output_tokens": 240,
            "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 1440},
        "user": null, "metadata": {},
    })
}

const MESSAGE: &str = "msg_67ccd2bf17f0819081ff3bb2cf6508e60bb6a6b452d3795b";
const FUNCTION: &str = "fc_67ccd2bf17f0819081ff3bb2cf6508e60bb6a6b452d3795c";

fn responses_output() -> Value {
    let part = json!({"type": "output_text", "text": text(), "annotations": [], "logprobs": []});
    json!([
        {"id": MESSAGE, "type": "message", "status": "completed", "role": "assistant", "content": [part]},
        {"id": FUNCTION, "type": "function_call", "status": "completed", "call_id": CALL, "name": TOOL, "arguments": arguments()},
    ])
}

fn responses_stream() -> Vec<String> {
    let mut sequence = 0;
    let mut event = |name: &str, fields: Value| {
        let fields = fields.to_string();
        let fields = fields.trim_start_matches('{');
        let event =
            format!("event: {name}\ndata: {{\"type\":\"{name}\",\"sequence_number\":{sequence},{fields}\n\n");
        sequence += 1;
        event
    };
    let open = responses_object("in_progress", &json!([]));
    let output = responses_output();
    let message = json!({"id": MESSAGE, "type": "message", "status": "in_progress", "role": "assistant", "content": []});
    let call = json!({"id": FUNCTION, "type": "function_call", "status": "in_progress", "call_id": CALL, "name": TOOL, "arguments": ""});
    let part = json!({"type": "output_text", "text": "", "annotations": [], "logprobs": []});
    let mut events = vec![
        event("response.created", json!({"response": open})),
        event("response.in_progress", json!({"response": open})),
        event("response.output_item.added", json!({"output_index": 0, "item": message})),
        event(
            "response.content_part.added",
            json!({"item_id": MESSAGE, "output_index": 0, "content_index": 0, "part": part}),
        ),
    ];
    events.extend(words().map(|word| {
        event(
            "response.output_text.delta",
            json!({"item_id": MESSAGE, "output_index": 0, "content_index": 0, "delta": word, "logprobs": [], "obfuscation": "k3fd9aPq0w"}),
        )
    }));
    events.extend([
        event(
            "response.output_text.done",
            json!({"item_id": MESSAGE, "output_index": 0, "content_index": 0, "text": text(), "logprobs": []}),
        ),
        event(
            "response.content_part.done",
            json!({"item_id": MESSAGE, "output_index": 0, "content_index": 0, "part": output[0]["content"][0]}),
        ),
        event("response.output_item.done", json!({"output_index": 0, "item": output[0]})),
        event("response.output_item.added", json!({"output_index": 1, "item": call})),
    ]);
    events.extend(ARGUMENTS.iter().map(|piece| {
        event(
            "response.function_call_arguments.delta",
            json!({"item_id": FUNCTION, "output_index": 1, "delta": piece, "obfuscation": "x8Zt"}),
        )
    }));
    events.extend([
        event(
            "response.function_call_arguments.done",
            json!({"item_id": FUNCTION, "output_index": 1, "arguments": arguments()}),
        ),
        event("response.output_item.done", json!({"output_index": 1, "item": output[1]})),
        event("response.completed", json!({"response": responses_object("completed", &output)})),
    ]);
    events
}

fn gemini_call() -> Value {
    json!({"functionCall": {"name": TOOL, "args": {"path": "src/server/router.rs", "first": 1}}})
}

fn gemini_chunk(parts: &Value, finish: Option<&str>) -> Value {
    let mut candidate = json!({"content": {"parts": parts, "role": "model"}, "index": 0});
    if let Some(finish) = finish {
        candidate["finishReason"] = json!(finish);
    }
    json!({
        "candidates": [candidate],
        "usageMetadata": {"promptTokenCount": 1200, "candidatesTokenCount": 240, "totalTokenCount": 1440,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 1200}]},
        "modelVersion": "gemini-2.5-flash", "responseId": "p9UeaYuiD8mhnsEP6tWJqQM",
    })
}

fn gemini_stream() -> Vec<String> {
    let event = |chunk: Value| format!("data: {chunk}\r\n\r\n");
    words()
        .map(|word| event(gemini_chunk(&json!([{"text": word}]), None)))
        .chain([event(gemini_chunk(&json!([gemini_call()]), Some("STOP")))])
        .collect()
}
