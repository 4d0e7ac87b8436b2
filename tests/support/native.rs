//! Answers as providers write them, by hand: whole, as streams, and errors.

use serde_json::{Value, json};

use super::Protocol;

/// The text of [`stream`] and [`document`].
pub const TEXT: &str = "Hello, wörld 🦀";
/// The arguments of the call in [`stream`] and [`document`], as the provider spells them.
pub const ARGUMENTS: &str = r#"{"city":"Zürich","days":3}"#;
/// A model that providers of each protocol might serve.
pub fn model(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Anthropic => "claude-sonnet-4-5",
        Protocol::OpenAi => "gpt-4o",
        Protocol::Responses => "gpt-4.1",
        Protocol::Gemini => "gemini-2.5-flash",
    }
}

fn named(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

fn typed(data: &str) -> String {
    let value: Value = serde_json::from_str(data).unwrap_or_else(|error| panic!("{error}: {data}"));
    named(value["type"].as_str().unwrap(), data)
}

fn data(json: &str) -> String {
    format!("data: {json}\n\n")
}

/// A stream: [`TEXT`] in two pieces, then a call of `weather` with [`ARGUMENTS`] in two.
pub fn stream(protocol: Protocol) -> Vec<String> {
    match protocol {
        Protocol::Anthropic => [
            r#"{"type":"message_start","message":{"id":"msg_01","type":"message","role":"assistant","model":"claude-sonnet-4-5","content":[],"stop_reason":null,"stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":1}}}"#,
            r#"{"type":"content_block_start","index":0,"content_block":{"type":"text","text":""}}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"Hello,"}}"#,
            r#"{"type":"ping"}"#,
            r#"{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":" w\u00f6rld 🦀"}}"#,
            r#"{"type":"content_block_stop","index":0}"#,
            r#"{"type":"content_block_start","index":1,"content_block":{"type":"tool_use","id":"toolu_01","name":"weather","input":{}}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"{\"city\":\"Zür"}}"#,
            r#"{"type":"content_block_delta","index":1,"delta":{"type":"input_json_delta","partial_json":"ich\",\"days\":3}"}}"#,
            r#"{"type":"content_block_stop","index":1}"#,
            r#"{"type":"message_delta","delta":{"stop_reason":"tool_use","stop_sequence":null},"usage":{"output_tokens":9}}"#,
            r#"{"type":"message_stop"}"#,
        ]
        .map(typed)
        .to_vec(),
        Protocol::OpenAi => {
            let chunk = |delta: &str, finish: &str| {
                data(&format!(
                    r#"{{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[{{"index":0,"delta":{delta},"finish_reason":{finish}}}]}}"#
                ))
            };
            vec![
                chunk(r#"{"role":"assistant","content":""}"#, "null"),
                chunk(r#"{"content":"Hello,"}"#, "null"),
                chunk(r#"{"content":" w\u00f6rld 🦀"}"#, "null"),
                chunk(r#"{"tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":""}}]}"#, "null"),
                chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"{\"city\":\"Zür"}}]}"#, "null"),
                chunk(r#"{"tool_calls":[{"index":0,"function":{"arguments":"ich\",\"days\":3}"}}]}"#, "null"),
                chunk("{}", r#""tool_calls""#),
                data(r#"{"id":"chatcmpl-1","object":"chat.completion.chunk","created":1700000000,"model":"gpt-4o","choices":[],"usage":{"prompt_tokens":12,"completion_tokens":9,"total_tokens":21}}"#),
                data("[DONE]"),
            ]
        }
        Protocol::Responses => responses_stream(),
        Protocol::Gemini => {
            let chunk = |parts: &str, rest: &str| {
                format!(
                    "data: {{\"candidates\": [{{\"content\": {{\"parts\": [{parts}],\"role\": \"model\"}},\"index\": 0{rest}}}],\"usageMetadata\": {{\"promptTokenCount\": 12,\"candidatesTokenCount\": 9,\"totalTokenCount\": 21}},\"modelVersion\": \"gemini-2.5-flash\",\"responseId\": \"r1\"}}\r\n\r\n"
                )
            };
            vec![
                chunk(r#"{"text": "Hello,"}"#, ""),
                chunk(r#"{"text": " w\u00f6rld 🦀"}"#, ""),
                chunk(r#"{"functionCall": {"name": "weather","args": {"city":"Zürich","days":3}}}"#, ""),
                chunk(r#"{"text": ""}"#, r#","finishReason": "STOP""#),
            ]
        }
    }
}

fn responses_stream() -> Vec<String> {
    let begun = r#"{"id":"resp_1","object":"response","created_at":1700000000,"status":"in_progress","model":"gpt-4.1","output":[],"parallel_tool_calls":true,"tool_choice":"auto","tools":[],"usage":null,"error":null,"incomplete_details":null}"#;
    let events = [
        format!(r#""response.created","response":{begun}"#),
        format!(r#""response.in_progress","response":{begun}"#),
        r#""response.output_item.added","output_index":0,"item":{"id":"msg_1","type":"message","status":"in_progress","role":"assistant","content":[]}"#.to_owned(),
        r#""response.content_part.added","item_id":"msg_1","output_index":0,"content_index":0,"part":{"type":"output_text","text":"","annotations":[],"logprobs":[]}"#.to_owned(),
        r#""response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":"Hello,","logprobs":[]"#.to_owned(),
        r#""response.output_text.delta","item_id":"msg_1","output_index":0,"content_index":0,"delta":" w\u00f6rld 🦀","logprobs":[]"#.to_owned(),
        format!(r#""response.output_text.done","item_id":"msg_1","output_index":0,"content_index":0,"text":"{TEXT}","logprobs":[]"#),
        format!(r#""response.content_part.done","item_id":"msg_1","output_index":0,"content_index":0,"part":{{"type":"output_text","text":"{TEXT}","annotations":[],"logprobs":[]}}"#),
        format!(r#""response.output_item.done","output_index":0,"item":{}"#, responses_items()[0]),
        r#""response.output_item.added","output_index":1,"item":{"id":"fc_1","type":"function_call","status":"in_progress","call_id":"call_1","name":"weather","arguments":""}"#.to_owned(),
        r#""response.function_call_arguments.delta","item_id":"fc_1","output_index":1,"delta":"{\"city\":\"Zür""#.to_owned(),
        r#""response.function_call_arguments.delta","item_id":"fc_1","output_index":1,"delta":"ich\",\"days\":3}""#.to_owned(),
        format!(r#""response.function_call_arguments.done","item_id":"fc_1","output_index":1,"arguments":{}"#, json!(ARGUMENTS)),
        format!(r#""response.output_item.done","output_index":1,"item":{}"#, responses_items()[1]),
        format!(r#""response.completed","response":{}"#, document(Protocol::Responses)),
    ];
    let numbered = events.iter().enumerate().map(|(number, event)| {
        let (name, rest) = event.split_once(',').unwrap();
        typed(&format!(r#"{{"type":{name},"sequence_number":{number},{rest}}}"#))
    });
    numbered.collect()
}

fn responses_items() -> [Value; 2] {
    [
        json!({"id": "msg_1", "type": "message", "status": "completed", "role": "assistant", "content": [
            {"type": "output_text", "text": TEXT, "annotations": [], "logprobs": []},
        ]}),
        json!({"id": "fc_1", "type": "function_call", "status": "completed", "call_id": "call_1",
            "name": "weather", "arguments": ARGUMENTS}),
    ]
}

/// The events of [`stream`] before its content: what providers send before they fail.
pub fn opening(protocol: Protocol) -> Vec<String> {
    let events = match protocol {
        Protocol::Anthropic | Protocol::OpenAi => 1,
        Protocol::Responses => 2,
        Protocol::Gemini => 0,
    };
    stream(protocol).into_iter().take(events).collect()
}

/// How many events of [`stream`] precede the first that carries text, and where the second text is.
pub fn text_at(protocol: Protocol) -> (usize, usize) {
    let frames = stream(protocol);
    let at = |text: &str| frames.iter().position(|frame| frame.contains(text)).unwrap();
    (at("Hello,"), at("rld"))
}

/// The same answer whole.
pub fn document(protocol: Protocol) -> Value {
    let arguments: Value = serde_json::from_str(ARGUMENTS).unwrap();
    match protocol {
        Protocol::Anthropic => json!({
            "id": "msg_01", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5",
            "content": [
                {"type": "text", "text": TEXT},
                {"type": "tool_use", "id": "toolu_01", "name": "weather", "input": arguments},
            ],
            "stop_reason": "tool_use", "stop_sequence": null,
            "usage": {"input_tokens": 12, "output_tokens": 9},
        }),
        Protocol::OpenAi => json!({
            "id": "chatcmpl-1", "object": "chat.completion", "created": 1_700_000_000, "model": "gpt-4o",
            "choices": [{"index": 0, "finish_reason": "tool_calls", "message": {
                "role": "assistant", "content": TEXT, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "weather", "arguments": ARGUMENTS}},
                ],
            }}],
            "usage": {"prompt_tokens": 12, "completion_tokens": 9, "total_tokens": 21},
        }),
        Protocol::Responses => json!({
            "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": "completed",
            "model": "gpt-4.1", "output": responses_items(), "parallel_tool_calls": true,
            "tool_choice": "auto", "tools": [], "error": null, "incomplete_details": null,
            "usage": {"input_tokens": 12, "output_tokens": 9, "total_tokens": 21},
        }),
        Protocol::Gemini => json!({
            "candidates": [{"index": 0, "finishReason": "STOP", "content": {"role": "model", "parts": [
                {"text": TEXT}, {"functionCall": {"name": "weather", "args": arguments}},
            ]}}],
            "usageMetadata": {"promptTokenCount": 12, "candidatesTokenCount": 9, "totalTokenCount": 21},
            "modelVersion": "gemini-2.5-flash", "responseId": "r1",
        }),
    }
}

/// An error as the provider words it.
pub fn error(protocol: Protocol, status: u16, message: &str) -> Value {
    match protocol {
        Protocol::Anthropic => {
            let kind = match status {
                401 => "authentication_error",
                403 => "permission_error",
                404 => "not_found_error",
                413 => "request_too_large",
                400..429 => "invalid_request_error",
                429 => "rate_limit_error",
                529 => "overloaded_error",
                _ => "api_error",
            };
            json!({"type": "error", "error": {"type": kind, "message": message}})
        }
        Protocol::OpenAi | Protocol::Responses => {
            let kind = match status {
                429 => "rate_limit_error",
                500.. => "server_error",
                _ => "invalid_request_error",
            };
            json!({"error": {"message": message, "type": kind, "param": null, "code": null}})
        }
        Protocol::Gemini => {
            let kind = match status {
                401 => "UNAUTHENTICATED",
                403 => "PERMISSION_DENIED",
                404 => "NOT_FOUND",
                429 => "RESOURCE_EXHAUSTED",
                503 => "UNAVAILABLE",
                500.. => "INTERNAL",
                _ => "INVALID_ARGUMENT",
            };
            json!({"error": {"code": status, "message": message, "status": kind}})
        }
    }
}

/// An error in a stream, after so many events.
pub fn error_event(protocol: Protocol, after: usize, message: &str) -> String {
    match protocol {
        Protocol::Anthropic => typed(&error(protocol, 529, message).to_string()),
        Protocol::OpenAi | Protocol::Gemini => data(&error(protocol, 503, message).to_string()),
        Protocol::Responses => typed(
            &json!({"type": "response.failed", "sequence_number": after, "response": {
                "id": "resp_1", "object": "response", "created_at": 1_700_000_000, "status": "failed",
                "model": "gpt-4.1", "output": [], "error": {"code": "server_error", "message": message},
            }})
            .to_string(),
        ),
    }
}
