//! The fields of a Responses request.

use serde_json::{Value, json};

use super::{Field, beside};

const PNG: &str = "data:image/png;base64,iVBORw0KGgo=";
const PDF: &str = "data:application/pdf;base64,JVBERi0=";

fn user(part: Value) -> Value {
    json!({"input": [{"role": "user", "content": [{"type": "input_text", "text": "Look."}, part]}]})
}

fn function() -> Value {
    json!({"type": "function", "name": "f", "description": "d", "strict": false, "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}})
}

fn tool(tool: Value) -> Value {
    json!({"tools": [tool]})
}

fn choice(choice: Value) -> Value {
    beside(tool(function()), json!({"tools": [function()], "tool_choice": choice}))
}

fn items(items: Value) -> Value {
    let mut input = vec![json!({"role": "user", "content": "Hello"})];
    input.extend(items.as_array().unwrap().iter().cloned());
    json!({"tools": [function()], "input": input})
}

fn step(output: Value) -> Value {
    items(json!([
        {"type": "function_call", "call_id": "call_1", "name": "f", "arguments": "{\"a\":\"b\"}"},
        {"type": "function_call_output", "call_id": "call_1", "output": output},
    ]))
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false})
}

pub fn all() -> Vec<Field> {
    vec![
        ("`instructions`", json!({"instructions": "Be brief."})),
        ("`max_output_tokens`", json!({"max_output_tokens": 300})),
        ("`temperature`", json!({"temperature": 0.5})),
        ("`temperature: 1.5`", json!({"temperature": 1.5})),
        ("`top_p`", json!({"top_p": 0.5})),
        ("`top_logprobs`", json!({"top_logprobs": 2})),
        ("`stream`", json!({"stream": true})),
        (
            "`stream_options.include_obfuscation`",
            beside(
                json!({"stream": true}),
                json!({"stream": true, "stream_options": {"include_obfuscation": false}}),
            ),
        ),
        (
            "a `developer` message first",
            json!({"input": [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hello"}]}),
        ),
        (
            "a `developer` message within the conversation",
            items(
                json!([{"role": "assistant", "content": "Hi."}, {"role": "developer", "content": "Be brief."}, {"role": "user", "content": "And now?"}]),
            ),
        ),
        ("the assistant's message last", items(json!([{"role": "assistant", "content": "It is"}]))),
        ("`input_image`, data", user(json!({"type": "input_image", "detail": "auto", "image_url": PNG}))),
        (
            "`input_image`, URL",
            user(json!({"type": "input_image", "detail": "auto", "image_url": "https://example.com/a.png"})),
        ),
        (
            "`input_image.file_id`",
            user(json!({"type": "input_image", "detail": "auto", "file_id": "file-1"})),
        ),
        ("`input_file`, PDF", user(json!({"type": "input_file", "filename": "a.pdf", "file_data": PDF}))),
        (
            "`input_file.file_url`",
            user(json!({"type": "input_file", "file_url": "https://example.com/a.pdf"})),
        ),
        ("`input_file.file_id`", user(json!({"type": "input_file", "file_id": "file-1"}))),
        ("a part of an unknown type", user(json!({"type": "hologram", "data": "x"}))),
        (
            "`refusal` in the history",
            items(
                json!([{"type": "message", "role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]}, {"role": "user", "content": "And now?"}]),
            ),
        ),
        (
            "`phase` of a message",
            items(
                json!([{"type": "message", "role": "assistant", "phase": "commentary", "content": [{"type": "output_text", "text": "Hi."}]}, {"role": "user", "content": "And now?"}]),
            ),
        ),
        (
            "`reasoning`, encrypted by OpenAI",
            items(
                json!([{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "gAAAAB"}, {"role": "assistant", "content": "Hi."}, {"role": "user", "content": "And now?"}]),
            ),
        ),
        ("`function_call` and its output", step(json!("sunny"))),
        (
            "`function_call_output` with an image",
            step(
                json!([{"type": "input_text", "text": "see"}, {"type": "input_image", "detail": "auto", "image_url": PNG}]),
            ),
        ),
        (
            "`custom_tool_call` and its output",
            json!({"tools": [{"type": "custom", "name": "sql"}], "input": [
                {"role": "user", "content": "Hello"},
                {"type": "custom_tool_call", "call_id": "call_1", "name": "sql", "input": "select 1"},
                {"type": "custom_tool_call_output", "call_id": "call_1", "output": "1"},
            ]}),
        ),
        (
            "`local_shell_call` and its output",
            items(json!([
                {"type": "local_shell_call", "call_id": "call_1", "action": {"type": "exec", "command": ["ls"], "env": {}}},
                {"type": "local_shell_call_output", "call_id": "call_1", "output": "a"},
            ])),
        ),
        (
            "`shell_call` and its output",
            items(json!([
                {"type": "shell_call", "call_id": "call_1", "action": {"commands": ["ls"]}},
                {"type": "shell_call_output", "call_id": "call_1", "output": [{"stdout": "a", "stderr": "", "outcome": {"type": "exit", "exit_code": 0}}]},
            ])),
        ),
        (
            "`apply_patch_call` and its output",
            items(json!([
                {"type": "apply_patch_call", "call_id": "call_1", "operation": {"type": "delete_file", "path": "a"}},
                {"type": "apply_patch_call_output", "call_id": "call_1", "status": "completed"},
            ])),
        ),
        ("`item_reference`", items(json!([{"type": "item_reference", "id": "msg_1"}]))),
        ("`tools`", tool(function())),
        (
            "`tools[].strict`",
            tool(json!({"type": "function", "name": "f", "strict": true, "parameters": schema()})),
        ),
        ("`tools`: custom", tool(json!({"type": "custom", "name": "sql"}))),
        (
            "`tools`: custom, grammar",
            tool(
                json!({"type": "custom", "name": "sql", "format": {"type": "grammar", "syntax": "lark", "definition": "start: \"x\""}}),
            ),
        ),
        (
            "`tools`: namespace",
            tool(json!({"type": "namespace", "name": "ns", "description": "d", "tools": [function()]})),
        ),
        ("`tools`: apply_patch", tool(json!({"type": "apply_patch"}))),
        ("`tools`: shell", tool(json!({"type": "shell"}))),
        (
            "`tools`: shell, beside a function of that name",
            json!({"tools": [{"type": "shell"}, {"type": "function", "name": "shell", "strict": false, "parameters": schema()}]}),
        ),
        (
            "`tools`: shell in a container",
            tool(json!({"type": "shell", "environment": {"type": "container_auto"}})),
        ),
        ("`tools`: local_shell", tool(json!({"type": "local_shell"}))),
        ("`tools`: tool_search", tool(json!({"type": "tool_search", "execution": "client"}))),
        ("`tools`: web_search", tool(json!({"type": "web_search"}))),
        (
            "`tools`: web_search, beside functions",
            beside(tool(function()), json!({"tools": [function(), {"type": "web_search"}]})),
        ),
        (
            "`tools`: web_search, `filters.allowed_domains`",
            tool(json!({"type": "web_search", "filters": {"allowed_domains": ["example.com"]}})),
        ),
        (
            "`tools`: web_search, `search_context_size`",
            tool(json!({"type": "web_search", "search_context_size": "low"})),
        ),
        ("`tools`: file_search", tool(json!({"type": "file_search", "vector_store_ids": ["vs_1"]}))),
        (
            "`tools`: code_interpreter",
            tool(json!({"type": "code_interpreter", "container": {"type": "auto"}})),
        ),
        (
            "`tools`: mcp",
            tool(json!({"type": "mcp", "server_label": "s", "server_url": "https://example.com"})),
        ),
        ("`tools`: image_generation", tool(json!({"type": "image_generation"}))),
        ("`tool_choice: auto`", choice(json!("auto"))),
        ("`tool_choice: required`", choice(json!("required"))),
        ("`tool_choice: none`", choice(json!("none"))),
        ("`tool_choice`, one function", choice(json!({"type": "function", "name": "f"}))),
        (
            "`tool_choice: shell`",
            beside(
                tool(json!({"type": "shell"})),
                json!({"tools": [{"type": "shell"}], "tool_choice": {"type": "shell"}}),
            ),
        ),
        (
            "`tool_choice: allowed_tools`",
            choice(
                json!({"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]}),
            ),
        ),
        (
            "`parallel_tool_calls: false`",
            beside(tool(function()), json!({"tools": [function()], "parallel_tool_calls": false})),
        ),
        ("`max_tool_calls`", beside(tool(function()), json!({"tools": [function()], "max_tool_calls": 3}))),
        ("`reasoning.effort`", json!({"reasoning": {"effort": "high"}})),
        (
            "`reasoning.summary`",
            beside(
                json!({"reasoning": {"effort": "high"}}),
                json!({"reasoning": {"effort": "high", "summary": "auto"}}),
            ),
        ),
        ("`text.verbosity`", json!({"text": {"verbosity": "low"}})),
        (
            "`text.format: json_object`",
            json!({"text": {"format": {"type": "json_object"}}, "input": "Answer in JSON."}),
        ),
        (
            "`text.format: json_schema`",
            json!({"text": {"format": {"type": "json_schema", "name": "n", "strict": true, "schema": schema()}}}),
        ),
        ("`previous_response_id`", json!({"previous_response_id": "resp_1"})),
        ("`conversation`", json!({"conversation": "conv_1"})),
        ("`prompt`", json!({"prompt": {"id": "pmpt_1"}})),
        ("`background: true`", json!({"background": true})),
        ("`truncation: auto`", json!({"truncation": "auto"})),
        ("`context_management`", json!({"context_management": [{"type": "compaction"}]})),
        ("`include: reasoning.encrypted_content`", json!({"include": ["reasoning.encrypted_content"]})),
        ("`include`, other entries", json!({"include": ["web_search_call.action.sources"]})),
        ("`store`", json!({"store": true})),
        ("`metadata`", json!({"metadata": {"a": "b"}})),
        ("`user`", json!({"user": "u"})),
        ("`safety_identifier`", json!({"safety_identifier": "u"})),
        ("`service_tier: flex`", json!({"service_tier": "flex"})),
        ("`service_tier: priority`", json!({"service_tier": "priority"})),
        ("`prompt_cache_key`", json!({"prompt_cache_key": "k"})),
        ("an unknown field", json!({"hologram": true})),
    ]
}
