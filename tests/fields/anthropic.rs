//! The fields of an Anthropic Messages request.

use serde_json::{Value, json};

use super::{Field, beside};

const PNG: &str = "iVBORw0KGgo=";

fn user(part: Value) -> Value {
    json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "Look."}, part]}]})
}

fn image(source: Value) -> Value {
    user(json!({"type": "image", "source": source}))
}

fn document(source: Value) -> Value {
    user(json!({"type": "document", "source": source}))
}

fn tool(tool: Value) -> Value {
    json!({"tools": [tool]})
}

fn function() -> Value {
    json!({"name": "f", "description": "d", "input_schema": {"type": "object", "properties": {"a": {"type": "string"}}}})
}

fn function_with(key: &str, value: Value) -> Value {
    let mut function = function();
    function[key] = value;
    beside(tool(self::function()), tool(function))
}

fn choice(choice: Value) -> Value {
    beside(tool(function()), json!({"tools": [function()], "tool_choice": choice}))
}

/// A document, plain and with what stands beside its source.
fn described(more: Value) -> Value {
    let plain = json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": PNG}});
    let mut document = plain.clone();
    for (key, value) in more.as_object().unwrap() {
        document[key] = value.clone();
    }
    beside(user(plain), user(document))
}

fn search(key: &str, value: Value) -> Value {
    let mut search = json!({"type": "web_search_20250305", "name": "web_search"});
    search[key] = value;
    tool(search)
}

/// A call and its result.
fn step(call: Value, result: Value) -> Value {
    json!({
        "tools": [function()],
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [call]},
            {"role": "user", "content": [result]},
        ],
    })
}

fn call() -> Value {
    json!({"type": "tool_use", "id": "toolu_1", "name": "f", "input": {"a": "b"}})
}

fn result(key: &str, value: Value) -> Value {
    let mut result = json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"});
    let plain = step(call(), result.clone());
    result[key] = value;
    beside(plain, step(call(), result))
}

fn history(part: Value) -> Value {
    json!({
        "messages": [
            {"role": "user", "content": "Hello"},
            {"role": "assistant", "content": [part, {"type": "text", "text": "Yes."}]},
            {"role": "user", "content": "And now?"},
        ],
    })
}

pub fn all() -> Vec<Field> {
    let base64 = |kind: &str| json!({"type": "base64", "media_type": kind, "data": PNG});
    vec![
        ("`max_tokens`", json!({"max_tokens": 300})),
        ("`max_tokens: 1`", json!({"max_tokens": 1})),
        ("`max_tokens: 0`", json!({"max_tokens": 0})),
        ("`temperature`", json!({"temperature": 0.5})),
        ("`top_p`", json!({"top_p": 0.5})),
        ("`top_k`", json!({"top_k": 5})),
        ("`stop_sequences`", json!({"stop_sequences": ["END"]})),
        ("`stop_sequences`, six", json!({"stop_sequences": ["1", "2", "3", "4", "5", "6"]})),
        ("`stream`", json!({"stream": true})),
        ("`system`", json!({"system": "Be brief."})),
        (
            "`system` in blocks",
            json!({"system": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}),
        ),
        (
            "`system[].cache_control`",
            beside(
                json!({"system": [{"type": "text", "text": "A"}]}),
                json!({"system": [{"type": "text", "text": "A", "cache_control": {"type": "ephemeral"}}]}),
            ),
        ),
        (
            "`system` within the conversation",
            json!({"messages": [
                {"role": "user", "content": "Hello"},
                {"role": "system", "content": "Be brief."},
                {"role": "assistant", "content": "Hi."},
                {"role": "user", "content": "And now?"},
            ]}),
        ),
        (
            "the assistant's turn last",
            json!({"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "It is"}]}),
        ),
        ("`image`, base64", image(base64("image/png"))),
        ("`image`, URL", image(json!({"type": "url", "url": "https://example.com/a.png"}))),
        ("`image`, file", image(json!({"type": "file", "file_id": "file_1"}))),
        ("`document`, PDF in base64", document(base64("application/pdf"))),
        ("`document`, URL", document(json!({"type": "url", "url": "https://example.com/a.pdf"}))),
        ("`document`, text", document(json!({"type": "text", "media_type": "text/plain", "data": "words"}))),
        (
            "`document`, parts",
            document(json!({"type": "content", "content": [{"type": "text", "text": "words"}]})),
        ),
        ("`document`, file", document(json!({"type": "file", "file_id": "file_1"}))),
        ("`document.title` and `.context`", described(json!({"title": "T", "context": "C"}))),
        ("`document.citations`", described(json!({"citations": {"enabled": true}}))),
        (
            "`search_result`",
            user(
                json!({"type": "search_result", "source": "https://example.com", "title": "T", "content": [{"type": "text", "text": "words"}]}),
            ),
        ),
        (
            "`cache_control` of a part",
            beside(
                user(json!({"type": "text", "text": "A"})),
                user(
                    json!({"type": "text", "text": "A", "cache_control": {"type": "ephemeral", "ttl": "1h"}}),
                ),
            ),
        ),
        ("`container_upload`", user(json!({"type": "container_upload", "file_id": "file_1"}))),
        ("a part of an unknown type", user(json!({"type": "hologram", "data": "x"}))),
        (
            "`thinking`, signed by Anthropic",
            history(json!({"type": "thinking", "thinking": "Hm.", "signature": "EqQB"})),
        ),
        ("`redacted_thinking`", history(json!({"type": "redacted_thinking", "data": "EqQB"}))),
        (
            "`server_tool_use` and its result",
            json!({"messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": [
                    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
                        {"type": "web_search_result", "url": "https://example.com", "title": "T", "encrypted_content": "x", "page_age": null},
                    ]},
                    {"type": "text", "text": "Found."},
                ]},
                {"role": "user", "content": "And now?"},
            ]}),
        ),
        (
            "`server_tool_use` and its result, from another provider",
            json!({"messages": [
                {"role": "user", "content": "Hello"},
                {"role": "assistant", "content": [
                    {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
                    {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1", "content": [
                        {"type": "web_search_result", "url": "https://example.com", "title": "T", "encrypted_content": "", "page_age": null},
                    ]},
                    {"type": "text", "text": "Found."},
                ]},
                {"role": "user", "content": "And now?"},
            ]}),
        ),
        (
            "`tool_use` and `tool_result`",
            step(call(), json!({"type": "tool_result", "tool_use_id": "toolu_1", "content": "sunny"})),
        ),
        ("`tool_result`, empty", step(call(), json!({"type": "tool_result", "tool_use_id": "toolu_1"}))),
        ("`tool_result.is_error`", result("is_error", json!(true))),
        (
            "`tool_result` with an image",
            result(
                "content",
                json!([{"type": "text", "text": "see"}, {"type": "image", "source": base64("image/png")}]),
            ),
        ),
        (
            "`tool_result` with a PDF",
            result("content", json!([{"type": "document", "source": base64("application/pdf")}])),
        ),
        ("`tool_result.cache_control`", result("cache_control", json!({"type": "ephemeral"}))),
        ("`tools`", tool(function())),
        ("`tools[].name` of 70 characters", function_with("name", json!("f".repeat(70)))),
        (
            "`tools[].input_schema` without properties",
            tool(json!({"name": "f", "input_schema": {"type": "object"}})),
        ),
        ("`tools[].strict`", function_with("strict", json!(true))),
        ("`tools[].cache_control`", function_with("cache_control", json!({"type": "ephemeral"}))),
        ("`tools[].defer_loading`", function_with("defer_loading", json!(true))),
        ("`tools[].input_examples`", function_with("input_examples", json!([{"a": "b"}]))),
        ("`tools[].allowed_callers`", function_with("allowed_callers", json!(["code_execution_20250825"]))),
        ("`tools`: bash", tool(json!({"type": "bash_20250124", "name": "bash"}))),
        (
            "`tools`: text editor",
            tool(json!({"type": "text_editor_20250728", "name": "str_replace_based_edit_tool"})),
        ),
        ("`tools`: memory", tool(json!({"type": "memory_20250818", "name": "memory"}))),
        (
            "`tools`: computer",
            tool(
                json!({"type": "computer_20250124", "name": "computer", "display_width_px": 800, "display_height_px": 600}),
            ),
        ),
        (
            "`tools`: tool search",
            tool(json!({"type": "tool_search_tool_regex_20251119", "name": "tool_search_tool_regex"})),
        ),
        ("`tools`: web search", tool(json!({"type": "web_search_20250305", "name": "web_search"}))),
        (
            "`tools`: web search, beside functions",
            beside(
                tool(function()),
                json!({"tools": [function(), {"type": "web_search_20250305", "name": "web_search"}]}),
            ),
        ),
        ("`tools`: web search, `max_uses`", search("max_uses", json!(3))),
        ("`tools`: web search, `allowed_domains`", search("allowed_domains", json!(["example.com"]))),
        (
            "`tools`: web search, `user_location`",
            search("user_location", json!({"type": "approximate", "country": "DE"})),
        ),
        (
            "`tools`: web search, `blocked_domains`",
            tool(
                json!({"type": "web_search_20250305", "name": "web_search", "blocked_domains": ["example.com"]}),
            ),
        ),
        ("`tools`: web fetch", tool(json!({"type": "web_fetch_20250910", "name": "web_fetch"}))),
        (
            "`tools`: code execution",
            tool(json!({"type": "code_execution_20250825", "name": "code_execution"})),
        ),
        ("`tool_choice: auto`", choice(json!({"type": "auto"}))),
        ("`tool_choice: any`", choice(json!({"type": "any"}))),
        ("`tool_choice: tool`", choice(json!({"type": "tool", "name": "f"}))),
        ("`tool_choice: none`", choice(json!({"type": "none"}))),
        (
            "`tool_choice.disable_parallel_tool_use`",
            choice(json!({"type": "auto", "disable_parallel_tool_use": true})),
        ),
        ("`tool_choice` without tools", json!({"tool_choice": {"type": "any"}})),
        (
            "`thinking: enabled`",
            json!({"max_tokens": 9000, "thinking": {"type": "enabled", "budget_tokens": 2048}}),
        ),
        ("`thinking: adaptive`", json!({"thinking": {"type": "adaptive"}})),
        ("`thinking: disabled`", json!({"thinking": {"type": "disabled"}})),
        ("`output_config.effort`", json!({"output_config": {"effort": "high"}})),
        (
            "`output_config.format`",
            json!({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"], "additionalProperties": false}}}}),
        ),
        ("`metadata.user_id`", json!({"metadata": {"user_id": "u"}})),
        ("`service_tier: standard_only`", json!({"service_tier": "standard_only"})),
        ("`speed: fast`", json!({"speed": "fast"})),
        ("`cache_control`", json!({"cache_control": {"type": "ephemeral"}})),
        (
            "`context_management`",
            json!({"context_management": {"edits": [{"type": "clear_tool_uses_20250919"}]}}),
        ),
        ("`inference_geo`", json!({"inference_geo": "eu"})),
        ("`container`", json!({"container": "container_1"})),
        (
            "`mcp_servers`",
            json!({"mcp_servers": [{"type": "url", "url": "https://example.com", "name": "n"}]}),
        ),
        ("`thread`", json!({"thread": "thread_1"})),
        ("an unknown field", json!({"hologram": true})),
    ]
}
