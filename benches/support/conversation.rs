//! Requests as agents send them: a conversation with tools, the same in each protocol.
//!
//! Most bytes are prose and source code inside strings, with quotes, line ends and other scripts.

use aiproxy::protocol::Protocol;
use serde_json::{Value, json};

/// A request of about this size that asks for a stream. One of a kilobyte is a question with one tool,
/// a large one has many rounds of tool calls.
pub fn request(protocol: Protocol, kilobytes: usize) -> String {
    let write = match protocol {
        Protocol::Anthropic => anthropic,
        Protocol::OpenAi => openai,
        Protocol::Responses => responses,
        Protocol::Gemini => gemini,
    };
    let tools = kilobytes.min(8);
    let mut rounds = 0;
    loop {
        let body = write(&rounds_of(rounds), tools);
        if body.len() >= (kilobytes << 10) * 9 / 10 {
            // Some clients escape what others send as UTF-8.
            return body.replace('é', "\\u00e9");
        }
        rounds += 1;
    }
}

enum Turn {
    User(String),
    Say(String),
    Call { id: String, path: String },
    Result { id: String, output: String },
}

const SYSTEM: &str = "You are a careful programmer. Use the tools to read files before you answer; \
    say \"I don't know\" rather than guess.\nAnswer in the user's language (Deutsch, français, 日本語).";

const PROSE: [&str; 4] = [
    "Bitte prüfe, warum der Test in src/server/router.rs fehlschlägt: er meldet \"connection reset\" — aber nur unter Last.",
    "Let's look at the retry policy first. The caller's budget isn't respected when the first attempt times out,\n\
     so two requests end up in flight at once. Two options:\n\n1. Share one deadline.\n2. Cancel the first attempt.\n",
    "Voilà l'extrait demandé ; la réponse précédente n'était pas complète. 日本語のコメントも残しておいてください 🙂",
    "The table in the docs says `max_tokens` defaults to 4096, yet the code path through \"legacy\" mode never sets it.",
];

const CODE: &str = "use std::collections::HashMap;\n\n/// Routes a request to the handler of its path.\n\
    pub fn route(table: &HashMap<String, Handler>, path: &str) -> Result<Response, Error> {\n\
    \tlet Some(handler) = table.get(path) else {\n\
    \t\treturn Err(Error::NotFound { path: path.to_owned(), hint: \"see GET /routes\" });\n\
    \t};\n\tlet started = Instant::now();\n\tlet response = handler.call(path)?; // may block: \"slow\" handlers\n\
    \ttracing::info!(elapsed = ?started.elapsed(), \"handled {path}\");\n\tOk(response)\n}\n\n";

fn rounds_of(rounds: usize) -> Vec<Turn> {
    let mut turns = vec![Turn::User(PROSE[..2].join("\n\n"))];
    for round in 0..rounds {
        let id = format!("call_{round:024}");
        turns.push(Turn::Say(PROSE[(round + 1) % PROSE.len()].repeat(1 + round % 3)));
        turns.push(Turn::Call { id: id.clone(), path: format!("src/server/part-{round}.rs") });
        turns.push(Turn::Result { id, output: CODE.repeat(1 + round % 5) });
        turns.push(Turn::Say(PROSE[(round + 2) % PROSE.len()].to_owned()));
        turns.push(Turn::User(PROSE[(round + 3) % PROSE.len()].to_owned()));
    }
    turns
}

fn schema() -> Value {
    json!({
        "type": "object",
        "properties": {
            "path": {"type": "string", "description": "Path of the file, relative to the \"root\""},
            "first": {"type": "integer", "description": "First line"},
            "encoding": {"type": "string", "enum": ["utf-8", "latin-1"]},
        },
        "required": ["path"],
    })
}

fn tool_name(index: usize) -> String {
    format!("read_file_{index}")
}

const TOOL: &str = "Reads a file of the project and returns its lines.\nFails if it isn't text.";

fn tools(count: usize, tool: impl Fn(String) -> Value) -> Value {
    (0..count).map(|index| tool(tool_name(index))).collect()
}

fn anthropic(turns: &[Turn], tool_count: usize) -> String {
    let message = |role: &str, content: Value| json!({"role": role, "content": content});
    let mut messages: Vec<Value> = Vec::new();
    for turn in turns {
        let (role, block) = match turn {
            Turn::User(text) => ("user", json!({"type": "text", "text": text})),
            Turn::Say(text) => ("assistant", json!({"type": "text", "text": text})),
            Turn::Call { id, path } => (
                "assistant",
                json!({"type": "tool_use", "id": id, "name": tool_name(0), "input": {"path": path, "first": 1}}),
            ),
            Turn::Result { id, output } => {
                ("user", json!({"type": "tool_result", "tool_use_id": id, "content": output}))
            }
        };
        match messages.last_mut() {
            Some(last) if last["role"] == role => {
                if let Some(content) = last["content"].as_array_mut() {
                    content.push(block);
                }
            }
            _ => messages.push(message(role, json!([block]))),
        }
    }
    let tools =
        tools(tool_count, |name| json!({"name": name, "description": TOOL, "input_schema": schema()}));
    format!(
        r#"{{"model":"claude-sonnet-4-5","max_tokens":4096,"system":[{system}],"messages":{messages},"tools":{tools},"stream":true}}"#,
        system = json!({"type": "text", "text": SYSTEM}),
        messages = Value::from(messages),
    )
}

fn openai(turns: &[Turn], tool_count: usize) -> String {
    let mut messages = vec![json!({"role": "system", "content": SYSTEM})];
    for turn in turns {
        messages.push(match turn {
            Turn::User(text) => json!({"role": "user", "content": text}),
            Turn::Say(text) => json!({"role": "assistant", "content": text}),
            Turn::Call { id, path } => {
                let arguments = json!({"path": path, "first": 1}).to_string();
                let function = json!({"name": tool_name(0), "arguments": arguments});
                json!({"role": "assistant", "content": null, "tool_calls": [{"id": id, "type": "function", "function": function}]})
            }
            Turn::Result { id, output } => json!({"role": "tool", "tool_call_id": id, "content": output}),
        });
    }
    let tools = tools(
        tool_count,
        |name| json!({"type": "function", "function": {"name": name, "description": TOOL, "parameters": schema()}}),
    );
    format!(
        r#"{{"model":"gpt-5-mini","messages":{messages},"tools":{tools},"tool_choice":"auto","max_completion_tokens":4096,"stream":true,"stream_options":{{"include_usage":true}}}}"#,
        messages = Value::from(messages),
    )
}

fn responses(turns: &[Turn], tool_count: usize) -> String {
    let input: Vec<Value> = turns
        .iter()
        .map(|turn| match turn {
            Turn::User(text) => {
                json!({"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]})
            }
            Turn::Say(text) => {
                json!({"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": text}]})
            }
            Turn::Call { id, path } => {
                let arguments = json!({"path": path, "first": 1}).to_string();
                json!({"type": "function_call", "call_id": id, "name": tool_name(0), "arguments": arguments})
            }
            Turn::Result { id, output } => {
                json!({"type": "function_call_output", "call_id": id, "output": output})
            }
        })
        .collect();
    let tools = tools(
        tool_count,
        |name| json!({"type": "function", "name": name, "description": TOOL, "parameters": schema(), "strict": false}),
    );
    format!(
        r#"{{"model":"gpt-5-mini","instructions":{instructions},"input":{input},"tools":{tools},"tool_choice":"auto","max_output_tokens":4096,"store":false,"stream":true}}"#,
        instructions = json!(SYSTEM),
        input = Value::from(input),
    )
}

fn gemini(turns: &[Turn], tool_count: usize) -> String {
    let mut contents: Vec<Value> = Vec::new();
    for turn in turns {
        let (role, part) = match turn {
            Turn::User(text) => ("user", json!({"text": text})),
            Turn::Say(text) => ("model", json!({"text": text})),
            Turn::Call { path, .. } => {
                ("model", json!({"functionCall": {"name": tool_name(0), "args": {"path": path, "first": 1}}}))
            }
            Turn::Result { output, .. } => {
                ("user", json!({"functionResponse": {"name": tool_name(0), "response": {"output": output}}}))
            }
        };
        match contents.last_mut() {
            Some(last) if last["role"] == role => {
                if let Some(parts) = last["parts"].as_array_mut() {
                    parts.push(part);
                }
            }
            _ => contents.push(json!({"role": role, "parts": [part]})),
        }
    }
    let declarations =
        tools(tool_count, |name| json!({"name": name, "description": TOOL, "parameters": schema()}));
    format!(
        r#"{{"systemInstruction":{system},"contents":{contents},"tools":[{tools}],"generationConfig":{{"maxOutputTokens":4096}}}}"#,
        system = json!({"parts": [{"text": SYSTEM}]}),
        contents = Value::from(contents),
        tools = json!({"functionDeclarations": declarations}),
    )
}
