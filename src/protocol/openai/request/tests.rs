use proptest::prelude::*;
use serde_json::{Value, json};

use super::{decode, encode};
use crate::protocol::canonical::{
    Exchange, Losses, Media, MediaKind, MediaSource, Opaque, OpaqueKind, Part, PartKind, Provider, Reasoning,
    ReasoningMode, Request, Role, SystemBlock, Tool, ToolChoice, ToolKind, Turn, envelope,
};
use crate::protocol::json::{Raw, Str};
use crate::protocol::{Dialect, Protocol, RequestError, Target};

mod dialects;
mod files;

fn send(
    request: &Request<'_>,
    client: Protocol,
    target: &Target<'_>,
) -> Result<(Value, String), RequestError> {
    let exchange = Exchange::new(request, client, Protocol::OpenAi);
    let (mut losses, mut out) = (Losses::default(), Vec::new());
    encode(request, &exchange, target, &mut losses, &mut out)?;
    Ok((serde_json::from_slice(&out).unwrap(), losses.header()))
}

fn from_anthropic(request: &Request<'_>) -> (Value, String) {
    send(request, Protocol::Anthropic, &Target::new("gpt-4o")).unwrap()
}

fn again(text: &str) -> Value {
    let request = decode(text).unwrap();
    send(&request, Protocol::OpenAi, &Target::new("m")).unwrap().0
}

fn user(text: &'static str) -> Turn<'static> {
    Turn { role: Role::User, parts: vec![Part::text(text)] }
}

fn turn(role: Role, parts: Vec<Part<'static>>) -> Turn<'static> {
    Turn { role, parts }
}

fn call(id: &'static str, name: &'static str) -> Part<'static> {
    Part::new(PartKind::ToolCall {
        id: id.into(),
        name: name.into(),
        arguments: r#"{"x":1.10}"#.into(),
        custom: false,
    })
}

fn result(id: &'static str, content: Vec<Part<'static>>, is_error: bool) -> Part<'static> {
    Part::new(PartKind::ToolResult { call_id: id.into(), name: None, content, is_error, custom: false })
}

fn png() -> Part<'static> {
    Part::new(PartKind::Media(Media {
        kind: MediaKind::Image,
        mime: "image/png".into(),
        source: MediaSource::Inline("AAAA".into()),
        name: None,
        context: None,
        detail: None,
        citations: false,
        offset: None,
    }))
}

fn function(name: &'static str) -> Tool<'static> {
    Tool {
        name: name.into(),
        description: None,
        schema: Some(Raw::from_json(r#"{"type":"object","properties":{}}"#)),
        strict: None,
        kind: ToolKind::Function,
        cache: None,
    }
}

const RICH: &str = r#"{"model":"m","messages":[
 {"role":"system","content":"Be brief."},
 {"role":"user","content":[{"type":"text","text":"Look \u00fc"},{"type":"image_url","image_url":{"url":"https://x.test/a.png","detail":"high"}},{"type":"file","file":{"filename":"a.pdf","file_data":"data:application/pdf;base64,JVBERi0="}},{"type":"input_audio","input_audio":{"data":"AAAA","format":"mp3"}},{"type":"future","x":[1.10]}]},
 {"role":"assistant","content":"Two calls.","tool_calls":[{"id":"call_a","type":"function","function":{"name":"f","arguments":"{\"n\":1.10,\"big\":123456789012345678901234567890}"}},{"id":"call_b","type":"custom","custom":{"name":"shell","input":"ls -l"}}]},
 {"role":"tool","tool_call_id":"call_a","content":"one"},
 {"role":"tool","tool_call_id":"call_b","content":[{"type":"text","text":"two"},{"type":"text","text":"three"}]},
 {"role":"system","content":"Now in French."},
 {"role":"assistant","content":null,"refusal":"No."},
 {"role":"user","content":"Go on"}],
 "tools":[{"type":"function","function":{"name":"f","description":"d","parameters":{"z":1,"a":2.50,"type":"object"},"strict":true}},{"type":"custom","custom":{"name":"shell","format":{"type":"grammar","grammar":{"syntax":"lark","definition":"x"}}}}],
 "tool_choice":{"type":"allowed_tools","allowed_tools":{"mode":"auto","tools":[{"type":"function","function":{"name":"f"}},{"type":"custom","custom":{"name":"shell"}}]}},
 "parallel_tool_calls":false,"stream":true,"stream_options":{"include_usage":true},
 "max_completion_tokens":100,"n":2,"stop":["a","b"],"temperature":0.70,"top_p":1,"seed":7,"presence_penalty":-0.5,"frequency_penalty":0.5,
 "logit_bias":{"1":-100},"logprobs":true,"top_logprobs":3,
 "response_format":{"type":"json_schema","json_schema":{"name":"s","description":"d","schema":{"b":1,"a":2},"strict":true}},
 "reasoning_effort":"low","verbosity":"low","metadata":{"k":"v"},"safety_identifier":"u","store":true,"service_tier":"flex",
 "prompt_cache_key":"k","prompt_cache_retention":"24h","modalities":["text","audio"],"audio":{"voice":"alloy"},"prediction":{"type":"content","content":"x"},"web_search_options":{"search_context_size":"low"},"unheard_of":{"x":1.10}}"#;

#[test]
fn a_rich_request_survives_its_own_protocol() {
    let sent: Value = serde_json::from_str(RICH).unwrap();
    let back = again(RICH);
    for (key, value) in sent.as_object().unwrap() {
        assert_eq!(&back[key], value, "{key}");
    }
    assert_eq!(back.as_object().unwrap().len(), sent.as_object().unwrap().len());
}

#[test]
fn t061_arguments_schemas_and_numbers_keep_every_byte() {
    let request = decode(RICH).unwrap();
    let exchange = Exchange::new(&request, Protocol::OpenAi, Protocol::OpenAi);
    let mut out = Vec::new();
    encode(&request, &exchange, &Target::new("m"), &mut Losses::default(), &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    for exact in [
        r#"{\"n\":1.10,\"big\":123456789012345678901234567890}"#,
        r#""parameters":{"z":1,"a":2.50,"type":"object"}"#,
        r#""temperature":0.70"#,
        r#""unheard_of":{"x":1.10}"#,
        r#"{"type":"future","x":[1.10]}"#,
    ] {
        assert!(text.contains(exact), "{exact}");
    }
}

#[test]
fn t187_the_same_request_gives_the_same_bytes() {
    let text = r#"{"model":"m","messages":[{"role":"assistant","function_call":{"name":"f","arguments":""}},{"role":"function","name":"f","content":"r"}],"functions":[{"name":"f"}]}"#;
    assert_eq!(again(text).to_string(), again(text).to_string());
    let sent = again(text);
    let id = sent["messages"][0]["tool_calls"][0]["id"].as_str().unwrap();
    assert!(id.starts_with("call_"));
    assert_eq!(sent["messages"][1], json!({"role": "tool", "tool_call_id": id, "content": "r"}));
    assert_eq!(sent["messages"][0]["tool_calls"][0]["function"]["arguments"], "{}", "T059");
}

#[test]
fn t135_content_of_every_legal_shape_is_read() {
    let request = decode(
        r#"{"messages":[{"role":"user","content":null},{"content":["a",{"text":"b"},{"image_url":"https://x.test/y"}],"role":"user"},{"role":"assistant"},{"role":"user","content":{"type":"text","text":"c"}}],"model":"m"}"#,
    )
    .unwrap();
    let counts: Vec<_> = request.turns.iter().map(|turn| turn.parts.len()).collect();
    assert_eq!(counts, [0, 3, 0, 1]);
}

#[test]
fn t122_only_leading_system_messages_are_the_system_prompt() {
    let request = decode(
        r#"{"model":"m","messages":[{"role":"system","content":"a"},{"role":"developer","content":[{"type":"text","text":"b"}]},{"role":"user","content":"u"},{"role":"developer","content":"late"}]}"#,
    )
    .unwrap();
    let system: Vec<_> = request.system.iter().map(|b| (b.text.decode().into_owned(), b.developer)).collect();
    assert_eq!(system, [("a".to_owned(), false), ("b".to_owned(), true)]);
    assert_eq!(request.turns[1].role, Role::Developer);
}

#[test]
fn errors_name_the_field() {
    for (text, param) in [
        (r#"{"messages":[]}"#, "model"),
        (r#"{"model":"m"}"#, "messages"),
        (r#"{"model":"m","messages":[{"role":"king","content":""}]}"#, "messages[0].role"),
        (r#"{"model":"m","messages":[],"max_tokens":0}"#, "max_tokens"),
        (r#"{"model":"m","messages":[],"max_tokens":1.5}"#, "max_tokens"),
        (r#"{"model":"m","messages":[],"temperature":2.5}"#, "temperature"),
        (r#"{"model":"m","messages":[{"role":"user","content":7}]}"#, "messages[0].content"),
    ] {
        let view = decode(text).unwrap_err().view(text);
        assert_eq!(view.param.as_deref(), Some(param), "{text}");
    }
}

#[test]
fn both_limits_given_the_newer_wins_and_the_loss_has_a_name() {
    let request = decode(r#"{"model":"m","messages":[],"max_tokens":5,"max_completion_tokens":9}"#).unwrap();
    assert_eq!(request.output.max_tokens, Some(9));
    assert_eq!(request.extras[0].0, "max_tokens");
}

#[test]
fn t140_reasoning_models_get_their_own_parameters() {
    let mut request = decode(r#"{"model":"m","messages":[{"role":"user","content":"x"}],"max_tokens":5,"temperature":1,"top_p":0.5}"#).unwrap();
    request.reasoning = Reasoning { mode: ReasoningMode::On, budget: Some(4000), ..Reasoning::default() };
    let (sent, lost) = send(&request, Protocol::Anthropic, &Target::new("gpt-5.2")).unwrap();
    assert_eq!(sent["max_completion_tokens"], 5);
    assert_eq!(sent["reasoning_effort"], "medium");
    assert!(sent.get("temperature").is_none() && sent.get("max_tokens").is_none());
    assert_eq!(lost, "approx:reasoning.budget, drop:temperature, drop:top_p");
    let old = Target {
        dialect: Dialect { legacy_max_tokens: true, ..Dialect::default() },
        ..Target::new("llama-3")
    };
    let (sent, lost) = send(&request, Protocol::Anthropic, &old).unwrap();
    assert_eq!((&sent["max_tokens"], &sent["temperature"]), (&json!(5), &json!(1)));
    assert_eq!(lost, "drop:reasoning.budget");
}

#[test]
fn t072_pictures_of_tools_follow_the_results_of_the_step() {
    let request = Request {
        turns: vec![
            user("go"),
            turn(Role::Assistant, vec![call("a", "f"), call("b", "g")]),
            turn(
                Role::User,
                vec![
                    Part::text("and?"),
                    result("b", vec![], false),
                    result("a", vec![Part::text("see"), png()], false),
                ],
            ),
        ],
        ..Request::default()
    };
    let (sent, lost) = from_anthropic(&request);
    assert_eq!(
        sent["messages"].as_array().unwrap()[2..],
        [
            json!({"role":"tool","tool_call_id":"a","content":[{"type":"text","text":"see"},{"type":"text","text":"[image 1 attached below]"}]}),
            json!({"role":"tool","tool_call_id":"b","content":""}),
            json!({"role":"user","content":[{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}]}),
            json!({"role":"user","content":"and?"}),
        ]
    );
    assert_eq!(lost, "reorder:tool_result, approx:tool_result.media");
}

#[test]
fn t071_a_failed_tool_is_seen_to_have_failed() {
    let request = Request {
        turns: vec![
            turn(Role::Assistant, vec![call("a", "f"), call("b", "f")]),
            turn(
                Role::User,
                vec![
                    result("a", vec![Part::text("no\nfile")], true),
                    result("b", vec![Part::text("ERROR: x")], true),
                ],
            ),
        ],
        ..Request::default()
    };
    let (sent, _) = from_anthropic(&request);
    assert_eq!(sent["messages"][1]["content"], "Error: no\nfile");
    assert_eq!(sent["messages"][2]["content"], "ERROR: x");
}

#[test]
fn t116_reasoning_alone_is_no_message_and_goes_back_only_where_it_is_wanted() {
    let thought = |provider: Option<Provider>| Part {
        kind: PartKind::Reasoning { text: "hm".into(), redacted: false },
        cache: None,
        opaque: provider.map(|provider| Opaque::new(provider, OpaqueKind::Signature, Str::EMPTY)),
    };
    let request = Request {
        turns: vec![
            user("a"),
            turn(Role::Assistant, vec![thought(None)]),
            user("b"),
            turn(Role::Assistant, vec![thought(Some(Provider::None)), call("a", "f")]),
            turn(Role::User, vec![result("a", vec![], false)]),
            turn(Role::Assistant, vec![thought(Some(Provider::Anthropic)), Part::text("t")]),
            user("c"),
        ],
        ..Request::default()
    };
    let (sent, lost) = from_anthropic(&request);
    assert_eq!(sent["messages"].as_array().unwrap().len(), 6);
    assert!(!sent.to_string().contains("hm"));
    assert_eq!(lost, "drop:reasoning");
    let replay = Dialect { reasoning_replay: true, ..Dialect::default() };
    let target = Target { dialect: replay, ..Target::new("deepseek-chat") };
    let (sent, lost) = send(&request, Protocol::Anthropic, &target).unwrap();
    assert_eq!(sent["messages"][2]["reasoning_content"], "hm");
    assert!(sent["messages"][4].get("reasoning_content").is_none(), "foreign thinking stays home");
    assert_eq!(lost, "drop:reasoning, drop:reasoning.foreign");
}

/// DeepSeek and Kimi answer 400 to every later turn if calls stand there without the reasoning that led to them.
#[test]
fn t116_calls_of_others_are_taken_where_reasoning_is_wanted_back() {
    let foreign = Part {
        kind: PartKind::Reasoning { text: "hm".into(), redacted: false },
        cache: None,
        opaque: Some(Opaque::new(Provider::Anthropic, OpaqueKind::Signature, "sig".into())),
    };
    let request = Request {
        turns: vec![
            user("a"),
            turn(Role::Assistant, vec![foreign, call("a", "f")]),
            turn(Role::User, vec![result("a", vec![], false)]),
            turn(Role::Assistant, vec![call("b", "f")]),
            turn(Role::User, vec![result("b", vec![], false)]),
            turn(Role::Assistant, vec![Part::text("t")]),
            user("b"),
        ],
        ..Request::default()
    };
    for (model, stands_in) in
        [("deepseek-chat", ""), ("moonshotai/Kimi-K2-Thinking", " "), ("moonshot-v1-8k", " "), ("glm-5", "")]
    {
        let replay = Dialect { reasoning_replay: true, ..Dialect::default() };
        let target = Target { dialect: replay, ..Target::new(model) };
        let (sent, _) = send(&request, Protocol::Anthropic, &target).unwrap();
        assert_eq!(sent["messages"][1]["reasoning_content"], stands_in, "{model}");
        assert_eq!(sent["messages"][3]["reasoning_content"], stands_in, "{model}");
        assert!(sent["messages"][5].get("reasoning_content").is_none(), "{model}: nothing was called");
    }
    let (sent, _) = from_anthropic(&request);
    assert!(!sent.to_string().contains("reasoning_content"), "OpenAI does not know the member");
}

#[test]
fn t080_names_are_fitted_everywhere() {
    let request = Request {
        turns: vec![
            turn(Role::Assistant, vec![call("a", "mcp.read/file")]),
            turn(Role::User, vec![result("a", vec![], false)]),
        ],
        tools: vec![function("mcp.read/file")],
        tool_choice: Some(ToolChoice::Tool("mcp.read/file".into())),
        ..Request::default()
    };
    let (sent, _) = from_anthropic(&request);
    let name = &sent["tools"][0]["function"]["name"];
    assert_eq!(name, "mcp_read_file");
    assert_eq!(&sent["tool_choice"]["function"]["name"], name);
    assert_eq!(&sent["messages"][0]["tool_calls"][0]["function"]["name"], name);
}

#[test]
fn t076_t075_a_choice_needs_tools() {
    let mut request =
        Request { turns: vec![user("x")], tool_choice: Some(ToolChoice::Required), ..Request::default() };
    request.parallel_tool_calls = Some(false);
    let (sent, lost) = from_anthropic(&request);
    assert!(sent.get("tool_choice").is_none() && sent.get("parallel_tool_calls").is_none());
    assert_eq!(lost, "drop:tool_choice");
    request.tools = vec![function("f")];
    request.tool_choice = Some(ToolChoice::None);
    let (sent, _) = from_anthropic(&request);
    assert_eq!((&sent["tool_choice"], &sent["parallel_tool_calls"]), (&json!("none"), &json!(false)));
}

#[test]
fn custom_tools_become_functions_on_servers_that_know_no_others() {
    let request = Request {
        turns: vec![turn(
            Role::Assistant,
            vec![Part::new(PartKind::ToolCall {
                id: "a".into(),
                name: "sh".into(),
                arguments: "ls \"x\"".into(),
                custom: true,
            })],
        )],
        tools: vec![Tool { kind: ToolKind::Custom { format: None }, schema: None, ..function("sh") }],
        ..Request::default()
    };
    let target = Target {
        dialect: Dialect { no_stream_options: true, ..Dialect::default() },
        ..Target::new("llama-3")
    };
    let (sent, lost) = send(&request, Protocol::Responses, &target).unwrap();
    assert_eq!(sent["tools"][0]["function"]["parameters"]["required"], json!(["input"]));
    let arguments = sent["messages"][0]["tool_calls"][0]["function"]["arguments"].as_str().unwrap();
    assert_eq!(serde_json::from_str::<Value>(arguments).unwrap(), json!({"input": "ls \"x\""}));
    assert_eq!(lost, "approx:prefill, emulate:custom_tool");
}

#[test]
fn t118_what_would_be_missed_is_refused() {
    let media = |kind, source| {
        Part::new(PartKind::Media(Media {
            kind,
            mime: "application/pdf".into(),
            source,
            name: None,
            context: None,
            detail: None,
            citations: false,
            offset: None,
        }))
    };
    for part in [
        media(MediaKind::Document, MediaSource::Url("https://x.test/a.pdf".into())),
        media(MediaKind::Document, MediaSource::FileId(Protocol::Anthropic, "file_1".into())),
        media(MediaKind::Video, MediaSource::Inline("AAAA".into())),
        media(MediaKind::Image, MediaSource::Inline("AAAA".into())),
        Part::new(PartKind::Opaque {
            protocol: Protocol::Anthropic,
            tag: "x".into(),
            raw: Raw::from_json("{}"),
        }),
    ] {
        let request = Request { turns: vec![turn(Role::User, vec![part])], ..Request::default() };
        let sent = send(&request, Protocol::Anthropic, &Target::new("gpt-4o"));
        assert!(matches!(sent, Err(RequestError::Unsupported(_))), "{:?}", request.turns);
    }
}

#[test]
fn t147_stored_state_is_refused_by_name() {
    let mut request = Request { turns: vec![user("x")], ..Request::default() };
    request.state.previous_id = Some("resp_1".into());
    let Err(RequestError::Unsupported(refused)) = send(&request, Protocol::Responses, &Target::new("m"))
    else {
        panic!("sent");
    };
    assert_eq!(refused.param, "previous_response_id");
}

#[test]
fn t149_foreign_extras_stay_home_and_are_named() {
    let mut request = Request { turns: vec![user("x")], ..Request::default() };
    request.extras.push(("context_management".into(), Raw::from_json("{}")));
    request.sampling.top_k = Some(crate::protocol::json::Number::from(5));
    let (sent, lost) = from_anthropic(&request);
    assert!(sent.get("context_management").is_none() && sent.get("top_k").is_none());
    assert_eq!(lost, "drop:top_k, drop:context_management");
}

#[test]
fn t184_the_billing_header_is_no_instruction_and_t124_blocks_stay_apart() {
    let block = |text: &'static str| SystemBlock { text: text.into(), cache: None, developer: false };
    let mut request = Request { turns: vec![user("x")], ..Request::default() };
    request.system = vec![block("x-anthropic-billing-header: cc=1"), block(" a "), block(""), block("b")];
    let (sent, _) = from_anthropic(&request);
    assert_eq!(
        sent["messages"][0],
        json!({"role":"system","content":[{"type":"text","text":" a "},{"type":"text","text":"b"}]})
    );
    let plain = Dialect { no_content_arrays: true, ..Dialect::default() };
    let (sent, _) =
        send(&request, Protocol::Anthropic, &Target { dialect: plain, ..Target::new("m") }).unwrap();
    assert_eq!(sent["messages"][0]["content"], " a \n\nb");
}

#[test]
fn t144_json_mode_gets_its_word() {
    let mut request = Request { turns: vec![user("x")], ..Request::default() };
    request.output.format = crate::protocol::canonical::Format::JsonObject;
    let (sent, lost) = from_anthropic(&request);
    assert_eq!(sent["messages"][1]["content"], "Respond with JSON.");
    assert_eq!(lost, "insert:json_hint");
    request.turns = vec![user("as Json please")];
    assert_eq!(from_anthropic(&request).0["messages"].as_array().unwrap().len(), 1);
}

#[test]
fn t143_long_user_names_become_their_hash() {
    let mut request = Request { turns: vec![user("x")], ..Request::default() };
    request.identity.end_user = Some(Str::from("u".repeat(65)));
    let (sent, _) = from_anthropic(&request);
    assert_eq!(sent["safety_identifier"].as_str().unwrap().len(), 64);
    assert_ne!(sent["safety_identifier"].as_str().unwrap(), "u".repeat(64));
}

#[test]
fn t099_state_in_reasoning_details_comes_back_whole_or_not_at_all() {
    let opaque = Opaque::new(Provider::Anthropic, OpaqueKind::Signature, "EqQB+/=".into());
    let sealed = envelope::seal(&opaque, &"think".into());
    let body = |text: &str| {
        json!({"model":"m","messages":[{"role":"assistant","content":"x","reasoning_content":"think",
            "reasoning_details":[{"index":0,"type":"reasoning.text","text":text,"signature":sealed.as_escaped()}]}]})
        .to_string()
    };
    let text = body("think");
    let request = decode(&text).unwrap();
    let part = &request.turns[0].parts[0];
    assert_eq!(part.opaque.as_ref().unwrap().provider, Provider::Anthropic);
    assert_eq!(part.opaque.as_ref().unwrap().value, "EqQB+/=");
    assert_eq!(request.turns[0].parts.len(), 2, "the text is not told twice");
    let text = body("thunk");
    let request = decode(&text).unwrap();
    assert_eq!(request.turns[0].parts.len(), 1);
    assert_eq!(request.extras[0].0, "reasoning.mutated");
}

#[test]
fn googles_signature_is_read_from_a_call() {
    let request = decode(r#"{"model":"m","messages":[{"role":"assistant","tool_calls":[{"id":"a","type":"function","function":{"name":"f","arguments":"{}"},"extra_content":{"google":{"thought_signature":"c2ln"}}}]}]}"#).unwrap();
    let opaque = request.turns[0].parts[0].opaque.clone().unwrap();
    assert_eq!((opaque.provider, opaque.value), (Provider::Gemini, "c2ln".into()));
}

#[test]
fn t123_developer_messages_reach_servers_that_know_only_system() {
    let text = r#"{"model":"m","messages":[{"role":"developer","content":"a"},{"role":"user","content":"u"},
        {"role":"assistant","content":"x"},{"role":"developer","content":"b"},{"role":"user","content":"v"}],
        "response_format":{"type":"json_object"}}"#;
    let request = decode(text).unwrap();
    for (developer_role, want) in [(false, "system"), (true, "developer")] {
        let dialect = Dialect { developer_role, ..Dialect::default() };
        // Also where a reasoning model's name suggests the newer role: the server decides.
        for model in ["m", "gpt-5.2"] {
            for client in Protocol::ALL {
                let target = Target { dialect, ..Target::new(model) };
                let (sent, _) = send(&request, client, &target).unwrap();
                let messages = sent["messages"].as_array().unwrap();
                let roles: Vec<_> =
                    messages.iter().map(|message| message["role"].as_str().unwrap()).collect();
                assert_eq!(roles, [want, "user", "assistant", want, "user", want], "{client}, {model}");
            }
        }
    }
}

proptest! {
    #[test]
    fn hostile_requests_never_panic(at in any::<prop::sample::Index>(), with in "[\\[\\]{}\",:0-9a-z\\\\é]{0,3}", long in 0usize..4) {
        let at = at.index(RICH.len());
        let text = match (RICH.get(..at), RICH.get(at + long..)) {
            (Some(head), Some(tail)) => format!("{head}{with}{tail}"),
            _ => return Ok(()),
        };
        if let Ok(request) = decode(&text) {
            for client in Protocol::ALL {
                let _ = send(&request, client, &Target::new("m"));
            }
        }
    }
}
