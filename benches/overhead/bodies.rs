//! What the clients send: requests of 1 KB and 100 KB, the same bytes in every run.
//!
//! The long one is a coding agent's conversation, which is where a gateway meets long requests: tools, then turns of
//! question, tool calls, tool results full of code, answer. About one byte in twenty is a backslash and some text is not
//! ASCII, since both decide how fast JSON can be read. Keys are in the order in which the vendors' SDKs write them;
//! this is why the objects are put together here and not by a map, which would sort them.

use super::answers::Protocol;

const LONG: usize = 100 * 1024;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Size {
    Short,
    Long,
}

/// The body of one request. Gemini says in its path whether it streams, the others in the body.
pub fn body(protocol: Protocol, size: Size, stream: bool) -> String {
    match (protocol, size) {
        (Protocol::Gemini, _) => gemini(),
        (Protocol::Chat, Size::Short) => chat(&chat_question(), "", stream),
        (Protocol::Anthropic, Size::Short) => anthropic(&anthropic_question(), "", stream),
        (Protocol::Chat, Size::Long) => long(|turns| {
            let tools = tools(chat_tool);
            chat(&join(turns, chat_turn), &format!(r#","tools":[{tools}],"tool_choice":"auto""#), stream)
        }),
        (Protocol::Anthropic, Size::Long) => long(|turns| {
            let tools = tools(anthropic_tool);
            let choice = r#""tool_choice":{"type":"auto"}"#;
            anthropic(&join(turns, anthropic_turn), &format!(r#","tools":[{tools}],{choice}"#), stream)
        }),
    }
}

pub fn path(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Chat => "/v1/chat/completions",
        Protocol::Anthropic => "/v1/messages",
        Protocol::Gemini => "/v1beta/models/gemini-2.0-flash:generateContent",
    }
}

/// The headers beside `host` and the length: those of the vendors' SDKs that a gateway has to look at.
pub fn headers(protocol: Protocol) -> &'static [(&'static str, &'static str)] {
    match protocol {
        Protocol::Chat => &[
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("user-agent", "OpenAI/Python 2.8.0"),
            ("authorization", "Bearer sk-client"),
        ],
        Protocol::Anthropic => &[
            ("accept", "application/json"),
            ("content-type", "application/json"),
            ("user-agent", "Anthropic/Python 0.72.0"),
            ("anthropic-version", "2023-06-01"),
            ("x-api-key", "sk-client"),
        ],
        Protocol::Gemini => &[
            ("accept", "*/*"),
            ("content-type", "application/json"),
            ("user-agent", "google-genai-sdk/1.50.0 gl-python/3.12"),
            ("x-goog-api-key", "sk-client"),
        ],
    }
}

// --- short ------------------------------------------------------------------------------------------------------

const SYSTEM: &str = "You are a careful assistant for software engineers. Answer briefly, name the file and the \
                      line, and say \"I do not know\" when you do not.\nUse the metric system.";

const QUESTION: &str = "Our reverse proxy closes idle connections after 90 s, but the load balancer in front of it \
    keeps them for 120 s. About once an hour a client sees \"502 Bad Gateway\".\n\n1. Which side should have the \
    longer timeout, and why?\n2. Is there a way to make this safe whatever the two values are?\n3. Müssen wir dafür \
    beide Seiten neu starten?\n\nHere is the relevant part of the configuration:\n\n```\nkeepalive_timeout 90s;\n\
    keepalive_requests 1000;\nproxy_http_version 1.1;\nproxy_set_header Connection \"\";\n```\n\nThe balancer's own log says \"connection reset by peer\" at the same \
    seconds, always on a connection that had been idle for 89 to 91 s, and never for the first request on a new one. \
    We have tried 60 s on both sides, with no change.";

fn chat_question() -> String {
    format!(r#"{},{}"#, message("system", &quote(SYSTEM)), message("user", &quote(QUESTION)))
}

fn anthropic_question() -> String {
    message("user", &quote(QUESTION))
}

fn gemini() -> String {
    let (system, question) = (quote(SYSTEM), quote(QUESTION));
    format!(
        concat!(
            r#"{{"contents":[{{"parts":[{{"text":{question}}}],"role":"user"}}],"#,
            r#""systemInstruction":{{"parts":[{{"text":{system}}}],"role":"user"}},"#,
            r#""generationConfig":{{"temperature":0.5,"maxOutputTokens":1024}}}}"#
        ),
        question = question,
        system = system
    )
}

// --- the frame of a request -------------------------------------------------------------------------------------

fn chat(messages: &str, more: &str, stream: bool) -> String {
    let stream = if stream { r#","stream":true,"stream_options":{"include_usage":true}"# } else { "" };
    format!(
        r#"{{"model":"gpt-4o-mini","messages":[{messages}],"temperature":0.5,"max_completion_tokens":1024{more}{stream}}}"#
    )
}

fn anthropic(messages: &str, more: &str, stream: bool) -> String {
    let stream = if stream { r#","stream":true"# } else { "" };
    let system = quote(SYSTEM);
    format!(
        r#"{{"model":"claude-sonnet-4-5","max_tokens":1024,"system":{system},"messages":[{messages}]{more}{stream}}}"#
    )
}

fn message(role: &str, content: &str) -> String {
    format!(r#"{{"role":"{role}","content":{content}}}"#)
}

fn quote(text: &str) -> String {
    serde_json::to_string(text).expect("a string is JSON")
}

// --- long -------------------------------------------------------------------------------------------------------

/// The request of as many turns as reach the size.
fn long(request: impl Fn(&[Turn]) -> String) -> String {
    let mut turns = Vec::new();
    let mut numbers = Numbers(0x5eed);
    loop {
        let wire = request(&turns);
        if wire.len() >= LONG {
            return wire;
        }
        turns.push(Turn::new(turns.len(), &mut numbers));
    }
}

fn join(turns: &[Turn], wire: impl Fn(&Turn) -> String) -> String {
    turns.iter().map(wire).collect::<Vec<_>>().join(",")
}

/// One question, the two tools called for it, what they returned, the answer.
struct Turn {
    question: String,
    calls: [Call; 2],
    answer: String,
}

struct Call {
    id: String,
    tool: &'static str,
    /// A JSON object.
    input: String,
    output: String,
}

impl Turn {
    fn new(index: usize, numbers: &mut Numbers) -> Self {
        let file = format!("src/net/{}_{index}.rs", numbers.pick(&["pool", "route", "stream", "retry"]));
        let read = format!(r#"{{"path":{},"offset":{},"limit":200}}"#, quote(&file), index * 40);
        let edit = format!(
            r#"{{"path":{},"old":{},"new":{}}}"#,
            quote(&file),
            quote(&code(numbers, 3)),
            quote(&code(numbers, 5))
        );
        Self {
            question: format!("Now look at `{file}`: {}", prose(numbers, 3)),
            calls: [
                Call { id: id(index, 0), tool: "read_file", input: read, output: code(numbers, 45) },
                Call { id: id(index, 1), tool: "edit_file", input: edit, output: code(numbers, 8) },
            ],
            answer: prose(numbers, 6),
        }
    }
}

fn id(turn: usize, call: usize) -> String {
    format!("toolu_01A09q90qw90lq9178{turn:03}{call}")
}

fn chat_turn(turn: &Turn) -> String {
    let calls = turn.calls.each_ref().map(|call| {
        format!(
            r#"{{"id":"{}","type":"function","function":{{"name":"{}","arguments":{}}}}}"#,
            call.id,
            call.tool,
            quote(&call.input)
        )
    });
    let results = turn.calls.each_ref().map(|call| {
        format!(r#"{{"role":"tool","tool_call_id":"{}","content":{}}}"#, call.id, quote(&call.output))
    });
    [
        message("user", &quote(&turn.question)),
        format!(r#"{{"role":"assistant","content":null,"tool_calls":[{}]}}"#, calls.join(",")),
        results.join(","),
        message("assistant", &quote(&turn.answer)),
    ]
    .join(",")
}

fn anthropic_turn(turn: &Turn) -> String {
    let calls = turn.calls.each_ref().map(|call| {
        format!(r#"{{"type":"tool_use","id":"{}","name":"{}","input":{}}}"#, call.id, call.tool, call.input)
    });
    let results = turn.calls.each_ref().map(|call| {
        format!(r#"{{"type":"tool_result","tool_use_id":"{}","content":{}}}"#, call.id, quote(&call.output))
    });
    [
        message("user", &quote(&turn.question)),
        message("assistant", &format!("[{}]", calls.join(","))),
        message("user", &format!("[{}]", results.join(","))),
        message("assistant", &format!(r#"[{{"type":"text","text":{}}}]"#, quote(&turn.answer))),
    ]
    .join(",")
}

// --- tools ------------------------------------------------------------------------------------------------------

const TOOLS: [(&str, &str); 6] = [
    ("read_file", "Read a part of a file. Lines are numbered from 1; a line longer than 2,000 bytes is cut."),
    ("edit_file", "Replace one text in a file by another. The old text must occur exactly once."),
    ("run", "Run a command in a shell and return what it printed.\nNever use it to edit files."),
    ("search", "Find a regular expression in the tree. Returns \"path:line: text\" for each match."),
    ("list_files", "List the files below a folder, the newest first."),
    ("ask", "Ask the person a question when two readings of the task are equally likely."),
];

fn tools(wire: impl Fn(&(&str, &str)) -> String) -> String {
    TOOLS.iter().map(wire).collect::<Vec<_>>().join(",")
}

fn chat_tool((name, description): &(&str, &str)) -> String {
    let (description, schema) = (quote(description), schema(name));
    format!(
        r#"{{"type":"function","function":{{"name":"{name}","description":{description},"parameters":{schema}}}}}"#
    )
}

fn anthropic_tool((name, description): &(&str, &str)) -> String {
    let (description, schema) = (quote(description), schema(name));
    format!(r#"{{"name":"{name}","description":{description},"input_schema":{schema}}}"#)
}

fn schema(tool: &str) -> String {
    let text = |about: &str| format!(r#"{{"type":"string","description":{}}}"#, quote(about));
    let number = r#"{"type":"integer","minimum":0}"#;
    let (properties, required) = match tool {
        "read_file" => (
            format!(r#""path":{},"offset":{number},"limit":{number}"#, text("relative to the tree's root")),
            "path",
        ),
        "edit_file" => (
            format!(
                r#""path":{},"old":{},"new":{}"#,
                text("an existing file"),
                text("what is there"),
                text("what shall be there; may be \"\"")
            ),
            "path",
        ),
        "run" => (format!(r#""command":{},"seconds":{number}"#, text("one line")), "command"),
        "search" => (format!(r#""pattern":{},"below":{}"#, text("RE2 syntax"), text("a folder")), "pattern"),
        "list_files" => (format!(r#""below":{},"deep":{{"type":"boolean"}}"#, text("a folder")), "below"),
        _ => (format!(r#""question":{}"#, text("one sentence")), "question"),
    };
    format!(r#"{{"type":"object","properties":{{{properties}}},"required":["{required}"]}}"#)
}

// --- text -------------------------------------------------------------------------------------------------------

const CODE: [&str; 12] = [
    "    let mut connection = self.pool.take(&upstream).await?;",
    "    if body.len() > limit {\n\t\treturn Err(Refused::TooLong { limit });\n    }",
    "    tracing::warn!(name = %upstream.name, \"upstream answered {status}, trying the next\");",
    "    // naïve: größer als das Fenster → neu verbinden",
    "    let pattern = Regex::new(r\"^\\s*data:\\s?(.*)\\r?$\")?;",
    "    match event {\n        Event::Data(text) => out.push_str(&text),\n        Event::End => break,\n    }",
    "    assert_eq!(decode(\"\\u{1f600} ok\"), Ok(\"😀 ok\".to_owned()));",
    "",
    "    /* 接続が切れた場合は再試行する */",
    "    let path = format!(\"{}/v1/{}\", base.trim_end_matches('/'), rest);",
    "fn next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Frame>> {",
    "}",
];

const PROSE: [&str; 8] = [
    "The pool hands out a connection that the peer may already have closed, so the first write fails.",
    "A request that has sent no byte of its body can be tried again on another connection.",
    "I changed the comparison from `>` to `>=`, since the window is inclusive at both ends.",
    "Bitte prüfe auch den Fall, dass der Körper leer ist.",
    "The test \"retries_once\" covers this; it failed before and passes now.",
    "Two things remain:\n\n- the counter is read before it is written;\n- the error names the wrong upstream.",
    "これは仕様どおりです。",
    "Nothing else in the tree calls it, so I removed the flag.",
];

fn code(numbers: &mut Numbers, lines: usize) -> String {
    (1..=lines).map(|line| format!("{line:>4}\t{}\n", numbers.pick(&CODE))).collect()
}

fn prose(numbers: &mut Numbers, sentences: usize) -> String {
    (0..sentences).map(|_| numbers.pick(&PROSE)).collect::<Vec<_>>().join(" ")
}

/// A linear congruential generator: variety without chance.
struct Numbers(u64);

impl Numbers {
    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        from[(self.0 >> 33) as usize % from.len()]
    }
}
