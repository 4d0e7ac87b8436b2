//! The fields of a Chat Completions request.

use serde_json::{Value, json};

use super::{Field, beside};

const PNG: &str = "data:image/png;base64,iVBORw0KGgo=";
const PDF: &str = "data:application/pdf;base64,JVBERi0=";

fn user(part: Value) -> Value {
    json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Look."}, part]}]})
}

fn function() -> Value {
    json!({"type": "function", "function": {"name": "f", "description": "d", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}})
}

fn choice(choice: Value) -> Value {
    beside(json!({"tools": [function()]}), json!({"tools": [function()], "tool_choice": choice}))
}

fn said(message: Value) -> Value {
    json!({"messages": [{"role": "user", "content": "Hello"}, message, {"role": "user", "content": "And now?"}]})
}

fn step(result: Value) -> Value {
    json!({
        "tools": [function()],
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": null, "tool_calls": [{"id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{\"a\":\"b\"}"}}]},
            result,
        ],
    })
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false})
}

pub fn all() -> Vec<Field> {
    vec![
        ("`max_completion_tokens`", json!({"max_completion_tokens": 300})),
        ("`max_tokens`", json!({"max_tokens": 300})),
        ("`temperature`", json!({"temperature": 0.5})),
        ("`temperature: 1.5`", json!({"temperature": 1.5})),
        ("`top_p`", json!({"top_p": 0.5})),
        ("`seed`", json!({"seed": 7})),
        ("`presence_penalty`", json!({"presence_penalty": 0.5})),
        ("`frequency_penalty`", json!({"frequency_penalty": 0.5})),
        ("`logit_bias`", json!({"logit_bias": {"50256": -100}})),
        ("`logprobs`, `top_logprobs`", json!({"logprobs": true, "top_logprobs": 2})),
        ("`stop`", json!({"stop": "END"})),
        ("`n: 2`", json!({"n": 2})),
        ("`stream`", json!({"stream": true})),
        (
            "`stream_options.include_usage`",
            json!({"stream": true, "stream_options": {"include_usage": true}}),
        ),
        (
            "`system` first",
            json!({"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"}]}),
        ),
        (
            "`developer` first",
            json!({"messages": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]}),
        ),
        ("`system` within the conversation", said(json!({"role": "system", "content": "Be brief."}))),
        ("`messages[].name`", json!({"messages": [{"role": "user", "name": "Ann", "content": "Hello"}]})),
        (
            "the assistant's turn last",
            json!({"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "It is"}]}),
        ),
        ("`image_url`, data", user(json!({"type": "image_url", "image_url": {"url": PNG}}))),
        (
            "`image_url`, URL",
            user(json!({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}})),
        ),
        (
            "`image_url.detail`",
            beside(
                user(json!({"type": "image_url", "image_url": {"url": PNG}})),
                user(json!({"type": "image_url", "image_url": {"url": PNG, "detail": "low"}})),
            ),
        ),
        (
            "`input_audio`",
            user(json!({"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}})),
        ),
        ("`file`, PDF", user(json!({"type": "file", "file": {"filename": "a.pdf", "file_data": PDF}}))),
        ("`file.file_id`", user(json!({"type": "file", "file": {"file_id": "file-1"}}))),
        ("a part of an unknown type", user(json!({"type": "hologram", "data": "x"}))),
        ("`refusal` in the history", said(json!({"role": "assistant", "content": null, "refusal": "No."}))),
        (
            "`reasoning_content` in the history",
            said(json!({"role": "assistant", "content": "Yes.", "reasoning_content": "Hm."})),
        ),
        (
            "`tool_calls` and `tool`",
            step(json!({"role": "tool", "tool_call_id": "call_1", "content": "sunny"})),
        ),
        ("`tool`, empty", step(json!({"role": "tool", "tool_call_id": "call_1", "content": ""}))),
        ("`tools`", json!({"tools": [function()]})),
        (
            "`tools[].function.strict`",
            json!({"tools": [{"type": "function", "function": {"name": "f", "strict": true, "parameters": schema()}}]}),
        ),
        (
            "`tools[].function` without parameters",
            json!({"tools": [{"type": "function", "function": {"name": "f"}}]}),
        ),
        ("`tools`: custom", json!({"tools": [{"type": "custom", "custom": {"name": "sql"}}]})),
        (
            "`tools`: custom, grammar",
            json!({"tools": [{"type": "custom", "custom": {"name": "sql", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "start: \"x\""}}}}]}),
        ),
        (
            "`functions`, `function_call`",
            json!({"functions": [{"name": "f", "parameters": schema()}], "function_call": "auto"}),
        ),
        ("`tool_choice: auto`", choice(json!("auto"))),
        ("`tool_choice: required`", choice(json!("required"))),
        ("`tool_choice: none`", choice(json!("none"))),
        ("`tool_choice`, one function", choice(json!({"type": "function", "function": {"name": "f"}}))),
        (
            "`tool_choice: allowed_tools`",
            choice(
                json!({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "f"}}]}}),
            ),
        ),
        (
            "`parallel_tool_calls: false`",
            beside(
                json!({"tools": [function()]}),
                json!({"tools": [function()], "parallel_tool_calls": false}),
            ),
        ),
        ("`reasoning_effort`", json!({"reasoning_effort": "high"})),
        ("`reasoning_effort: none`", json!({"reasoning_effort": "none"})),
        ("`verbosity`", json!({"verbosity": "low"})),
        (
            "`response_format: json_object`",
            json!({"response_format": {"type": "json_object"}, "messages": [{"role": "user", "content": "Answer in JSON."}]}),
        ),
        (
            "`response_format: json_schema`",
            json!({"response_format": {"type": "json_schema", "json_schema": {"name": "n", "strict": true, "schema": schema()}}}),
        ),
        (
            "`modalities: audio`, `audio`",
            json!({"modalities": ["text", "audio"], "audio": {"voice": "alloy", "format": "mp3"}}),
        ),
        ("`prediction`", json!({"prediction": {"type": "content", "content": "x"}})),
        ("`web_search_options`", json!({"web_search_options": {}})),
        (
            "`web_search_options.search_context_size`",
            json!({"web_search_options": {"search_context_size": "low"}}),
        ),
        (
            "`web_search_options.user_location`",
            json!({"web_search_options": {"user_location": {"type": "approximate", "approximate": {"country": "DE"}}}}),
        ),
        ("`user`", json!({"user": "u"})),
        ("`safety_identifier`", json!({"safety_identifier": "u"})),
        ("`metadata`", json!({"metadata": {"a": "b"}})),
        ("`store`", json!({"store": true})),
        ("`service_tier: flex`", json!({"service_tier": "flex"})),
        ("`service_tier: priority`", json!({"service_tier": "priority"})),
        ("`prompt_cache_key`", json!({"prompt_cache_key": "k"})),
        ("`prompt_cache_retention`", json!({"prompt_cache_retention": "24h"})),
        ("`moderation`", json!({"moderation": {"mode": "x"}})),
        ("an unknown field", json!({"hologram": true})),
    ]
}
