//! Requests in and out. Expected JSON is compared as values, except where the bytes are the point.

mod instructions;
mod native;
mod search;
mod state;
mod tools;

use proptest::prelude::*;
use serde_json::{Value, json};
use state::replayed;

use super::*;
use crate::protocol::canonical::envelope::seal;
use crate::protocol::canonical::{
    CacheMark, Effort, Exchange, FaultKind, Format, Losses, Media, MediaKind, MediaSource, Opaque,
    OpaqueKind, Part, PartKind, Provider, Reasoning, ReasoningMode, Request, Role, SystemBlock, Tool,
    ToolChoice, ToolKind, Turn, Visibility,
};
use crate::protocol::json::{Number, Raw, Reader};
use crate::protocol::{Dialect, Protocol, RequestError, Target};

/// What was written, and the losses in words.
fn write_for(request: &Request<'_>, client: Protocol, model: &str) -> Result<(Value, String), RequestError> {
    let (out, losses) = bytes_for(request, client, model)?;
    Ok((serde_json::from_slice(&out).unwrap(), losses))
}

fn bytes_for(
    request: &Request<'_>,
    client: Protocol,
    model: &str,
) -> Result<(Vec<u8>, String), RequestError> {
    bytes_at(request, client, &Target::new(model))
}

fn bytes_at(
    request: &Request<'_>,
    client: Protocol,
    target: &Target<'_>,
) -> Result<(Vec<u8>, String), RequestError> {
    let exchange = Exchange::new(request, client, Protocol::Responses);
    let (mut out, mut losses) = (Vec::new(), Losses::default());
    encode(request, &exchange, target, &mut losses, &mut out)?;
    Ok((out, losses.header()))
}

fn write(request: &Request<'_>) -> (Value, String) {
    write_for(request, Protocol::Anthropic, "gpt-5.2").unwrap()
}

fn refused(request: &Request<'_>) -> String {
    match write_for(request, Protocol::Anthropic, "gpt-5.2") {
        Err(RequestError::Unsupported(error)) => error.param.into_owned(),
        other => panic!("not refused: {other:?}"),
    }
}

fn round_trip(body: &Value) -> Value {
    let text = body.to_string();
    let request = decode(&text).unwrap();
    write_for(&request, Protocol::Responses, "gpt-5.2").unwrap().0
}

fn user(text: &str) -> Turn<'_> {
    Turn { role: Role::User, parts: vec![Part::text(text)] }
}

fn asking(text: &str) -> Request<'_> {
    Request { turns: vec![user(text)], ..Request::default() }
}

fn function(name: &'static str, schema: &'static str) -> Tool<'static> {
    Tool {
        name: name.into(),
        description: None,
        schema: Some(Raw::from_json(schema)),
        strict: None,
        kind: ToolKind::Function,
        cache: None,
    }
}

fn call(id: &'static str) -> Part<'static> {
    Part::new(PartKind::ToolCall {
        id: id.into(),
        name: "look".into(),
        arguments: r#"{"x":1.10}"#.into(),
        custom: false,
    })
}

fn result(id: &'static str, content: Vec<Part<'static>>, is_error: bool) -> Part<'static> {
    Part::new(PartKind::ToolResult { call_id: id.into(), name: None, content, is_error, custom: false })
}

fn image(source: MediaSource<'static>) -> Part<'static> {
    Part::new(PartKind::Media(Media {
        kind: MediaKind::Image,
        mime: "image/png".into(),
        source,
        name: None,
        context: None,
        detail: None,
        citations: false,
        offset: None,
    }))
}

fn reasoning(text: &'static str, opaque: Option<Opaque<'static>>) -> Part<'static> {
    Part { opaque, ..Part::new(PartKind::Reasoning { text: text.into(), redacted: false }) }
}

fn state(provider: Provider) -> Opaque<'static> {
    Opaque {
        item_id: Some("rs_7".into()),
        ..Opaque::new(provider, OpaqueKind::EncryptedContent, "gAAAAB+/=".into())
    }
}

/// A request that uses every member this dialect knows, spelled as it writes them itself.
fn rich() -> Value {
    json!({
        "model": "gpt-5.2",
        "instructions": "Be brief.\nAlways.",
        "input": [
            {"type": "message", "role": "user", "content": [
                {"type": "input_text", "text": "See \"these\": ü😀"},
                {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"},
                {"type": "input_image", "image_url": "https://x.test/a.png", "detail": "auto"},
                {"type": "input_file", "filename": "a.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
                {"type": "input_file", "file_url": "https://x.test/a.pdf"},
                {"type": "input_file", "file_id": "file-1"},
                {"type": "computer_screenshot", "image_url": "https://x.test/b.png"}]},
            {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}],
                "encrypted_content": "gAAAAA=="},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "First", "annotations": []}]},
            {"type": "message", "role": "assistant", "content": [
                {"type": "output_text", "text": "a", "annotations": []}, {"type": "refusal", "refusal": "no"}]},
            {"type": "function_call", "call_id": "call_1", "name": "look", "arguments": "{\"x\": 1.10}"},
            {"type": "custom_tool_call", "call_id": "call_2", "name": "patch", "input": "*** Begin\n\"x\""},
            {"type": "web_search_call", "id": "ws_1", "status": "completed"},
            {"type": "function_call_output", "call_id": "call_1", "output": [
                {"type": "input_text", "text": "see"},
                {"type": "input_image", "image_url": "https://x.test/c.png", "detail": "auto"}]},
            {"type": "custom_tool_call_output", "call_id": "call_2", "output": "done"},
            {"type": "item_reference", "id": "msg_9"},
            {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Now hurry."}]},
            {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Go on."}]}],
        "tools": [
            {"type": "function", "name": "look", "description": "Looks.", "strict": true, "parameters":
                {"type": "object", "properties": {"x": {"type": "number"}}, "required": ["x"], "additionalProperties": false}},
            {"type": "custom", "name": "patch", "format": {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}},
            {"type": "web_search", "search_context_size": "low"}],
        "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [
            {"type": "function", "name": "look"}, {"type": "custom", "name": "patch"}]},
        "parallel_tool_calls": false,
        "text": {"format": {"type": "json_schema", "name": "out", "description": "An answer.", "strict": true,
            "schema": {"type": "object", "properties": {}, "additionalProperties": false}}, "verbosity": "low"},
        "reasoning": {"effort": "high", "summary": "detailed", "context": "all_turns"},
        "include": ["reasoning.encrypted_content", "file_search_call.results"],
        "max_output_tokens": 4096,
        "prompt_cache_key": "k",
        "prompt_cache_retention": "24h",
        "safety_identifier": "u1",
        "metadata": {"b": "1", "a": "2"},
        "service_tier": "flex",
        "previous_response_id": "resp_1",
        "conversation": {"id": "conv_1"},
        "prompt": {"id": "pmpt_1", "variables": {"x": "y"}},
        "background": true,
        "store": true,
        "stream": true,
        "truncation": "auto",
        "max_tool_calls": 3,
        "from_the_future": {"a": [1.10]},
    })
}

#[test]
fn a_request_survives_the_trip_through_the_hub() {
    assert_eq!(round_trip(&rich()), rich());
}

#[test]
fn sampling_survives_on_models_that_take_it() {
    let body = json!({
        "model": "gpt-4o",
        "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}],
        "temperature": 0.7, "top_p": 0.9, "top_logprobs": 3,
        "include": ["message.output_text.logprobs"],
    });
    let text = body.to_string();
    let (written, losses) = write_for(&decode(&text).unwrap(), Protocol::Responses, "gpt-4o").unwrap();
    assert_eq!((written, losses.as_str()), (body, ""));
}

#[test]
fn t061_t187_the_same_request_gives_the_same_bytes_with_every_digit() {
    let body = r#"{"model":"m","input":"x","tools":[{"type":"function","name":"f","parameters":{"z":1.10,"a":123456789012345678901234567890}}]}"#;
    let encode_once = || {
        let request = decode(body).unwrap();
        let exchange = Exchange::new(&request, Protocol::OpenAi, Protocol::Responses);
        let mut out = Vec::new();
        encode(&request, &exchange, &Target::new("gpt-5.2"), &mut Losses::default(), &mut out).unwrap();
        String::from_utf8(out).unwrap()
    };
    assert_eq!(encode_once(), encode_once());
    assert!(encode_once().contains(r#""parameters":{"z":1.10,"a":123456789012345678901234567890}"#));
}

#[test]
fn t135_loose_spellings_are_understood() {
    let body = r#"{"model":"m","stream":null,"tools":null,"input":[
        {"role":"user","content":"plain"},
        {"role":"user","content":[{"text":"no type"},"bare",{"type":"text","text":"chat"}]},
        {"role":"user","content":null},
        {"role":"user","content":[{"type":"image_url","image_url":{"url":"https://x.test/i.png","detail":"high"}}]},
        {"role":"assistant","content":"said"},
        {"type":"function_call","id":"fc_1","name":"f","arguments":{"a":1}},
        {"type":"function_call_output","call_id":"fc_1","output":{"b":2}}]}"#;
    let request = decode(body).unwrap();
    let texts = |turn: &Turn<'_>| {
        turn.parts
            .iter()
            .map(|part| match &part.kind {
                PartKind::Text { text } => text.decode().into_owned(),
                PartKind::ToolCall { id, arguments, .. } => format!("{}{arguments}", id.decode()),
                PartKind::ToolResult { content, .. } => format!("{:?}", content[0].kind),
                PartKind::Media(media) => format!("{:?}", media.detail),
                other => format!("{other:?}"),
            })
            .collect::<Vec<_>>()
    };
    let seen: Vec<_> = request.turns.iter().map(texts).collect();
    assert_eq!(seen[0], ["plain"]);
    assert_eq!(seen[1], ["no type", "bare", "chat"]);
    assert_eq!(seen[2], ["Some(\"high\")"]);
    assert_eq!(seen[3], ["said", r#"fc_1{"a":1}"#]);
    assert_eq!(seen[4], [r#"Text { text: "{\"b\":2}" }"#]);
}

#[test]
fn a_wrong_value_is_named_by_its_path() {
    let body = r#"{"model":"m","input":[{"role":"user","content":[{"type":"input_text","text":5}]}]}"#;
    let view = decode(body).unwrap_err().view(body);
    assert_eq!(view.kind, FaultKind::InvalidRequest);
    assert_eq!(view.param.as_deref(), Some("input[0].content[0].text"));
    let body = r#"{"model":"m","input":[{"content":"x"}]}"#;
    assert_eq!(decode(body).unwrap_err().view(body).param.as_deref(), Some("input[0].role"));
    for body in ["", "[]", "{", r#"{"model":"m"} x"#, r#"{"max_output_tokens":1.5}"#, r#"{"input":5}"#] {
        assert!(decode(body).is_err(), "{body}");
    }
}

#[test]
fn unknown_members_are_kept_and_null_is_absent() {
    let request = decode(r#"{"model":"m","input":"x","new":{"a":1.0},"temperature":null}"#).unwrap();
    assert_eq!(request.extras.len(), 1);
    assert_eq!(request.extras[0].1.as_str(), r#"{"a":1.0}"#);
    assert!(request.sampling.temperature.is_none());
}

#[test]
fn t122_only_the_leading_system_messages_are_the_prompt() {
    let body = r#"{"model":"m","instructions":"one","input":[
        {"role":"system","content":"two"},{"role":"developer","content":[{"type":"input_text","text":"three"}]},
        {"role":"user","content":"hi"},{"role":"system","content":"later"},{"role":"user","content":"go"}]}"#;
    let request = decode(body).unwrap();
    let system: Vec<_> = request.system.iter().map(|b| (b.text.decode().into_owned(), b.developer)).collect();
    assert_eq!(system, [("one".into(), false), ("two".into(), false), ("three".into(), true)]);
    let roles: Vec<_> = request.turns.iter().map(|turn| turn.role).collect();
    assert_eq!(roles, [Role::User, Role::System, Role::User]);
    let (written, _) = write(&request);
    assert_eq!(written["instructions"], "one\n\ntwo\n\nthree");
    assert_eq!(written["input"][1]["role"], "system");
}

#[test]
fn t124_t184_system_texts_stay_as_they_are_but_telemetry_goes() {
    let block = |text: &'static str| SystemBlock { text: text.into(), cache: None, developer: false };
    let mut request = asking("hi");
    request.system = vec![block("x-anthropic-billing-header: cc=1"), block(" a \n"), block(""), block("b")];
    assert_eq!(write(&request).0["instructions"], " a \n\n\nb");
    let (own, _) = write_for(&request, Protocol::OpenAi, "gpt-5.2").unwrap();
    assert!(own["instructions"].as_str().unwrap().starts_with("x-anthropic"));
}

#[test]
fn instructions_alone_become_a_message() {
    let system = vec![SystemBlock { text: "do".into(), cache: None, developer: false }];
    let request = Request { system, ..Request::default() };
    let (written, _) = write(&request);
    assert_eq!(written["input"][0]["role"], "developer");
    assert!(written.get("instructions").is_none());
    assert!(write_for(&Request::default(), Protocol::OpenAi, "m").is_err());
}

#[test]
fn t134_texts_are_spelled_by_role() {
    let mut request = asking("q");
    request.turns.push(Turn { role: Role::Assistant, parts: vec![Part::text("a"), Part::text("")] });
    let (written, losses) = write(&request);
    assert_eq!(written["input"][0]["content"][0]["type"], "input_text");
    let said = json!([{"type": "output_text", "text": "a", "annotations": []}]);
    assert_eq!(written["input"][1]["content"], said);
    assert_eq!(losses, "approx:prefill");
}

#[test]
fn t108_models_that_do_not_reason_are_not_asked_to() {
    let mut request = asking("q");
    request.reasoning = Reasoning {
        mode: ReasoningMode::On,
        effort: Some(Effort::High),
        budget: None,
        visibility: Visibility::Shown,
    };
    let (plain, losses) = write_for(&request, Protocol::Anthropic, "gpt-4o").unwrap();
    assert!(plain.get("reasoning").is_none() && plain.get("include").is_none());
    assert_eq!(losses, "drop:reasoning");
    let (reasoning, losses) = write(&request);
    assert_eq!(reasoning["reasoning"], json!({"effort": "high", "summary": "auto"}));
    assert_eq!(reasoning["include"], json!(["reasoning.encrypted_content"]));
    assert_eq!(reasoning["store"], false);
    assert_eq!(losses, "");
}

#[test]
fn unverified_organisations_get_their_answer_without_a_summary() {
    let mut request = asking("q");
    request.reasoning.visibility = Visibility::Shown;
    let dialect = Dialect { no_reasoning_summary: true, ..Dialect::default() };
    let target = Target { dialect, ..Target::new("gpt-5.2") };
    let (out, losses) = bytes_at(&request, Protocol::Anthropic, &target).unwrap();
    let sent: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!((sent.get("reasoning"), losses.as_str()), (None, "drop:reasoning.summary"));
}

#[test]
fn models_that_are_not_held_to_a_schema_are_told_of_it() {
    let mut request = asking("q");
    let schema = Raw::from_json(r#"{"type":"object","z":1}"#);
    request.output.format = Format::JsonSchema { name: None, description: None, schema, strict: Some(true) };
    let mut target = Target::new("gpt-4.1");
    target.capabilities.structured_output = false;
    let (out, losses) = bytes_at(&request, Protocol::Anthropic, &target).unwrap();
    let sent: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(sent["text"], json!({"format": {"type": "json_object"}}));
    let told = sent["input"][1]["content"][0]["text"].as_str().unwrap();
    assert!(told.contains("JSON") && told.ends_with(r#"{"type":"object","z":1}"#), "{sent}");
    assert_eq!(losses, "approx:response_format");
}

#[test]
fn a_thinking_budget_becomes_an_effort() {
    let mut request = asking("q");
    request.reasoning = Reasoning { mode: ReasoningMode::On, budget: Some(10_000), ..Reasoning::default() };
    let (written, losses) = write(&request);
    assert_eq!(written["reasoning"]["effort"], "high");
    assert_eq!(losses, "approx:reasoning.budget");
    request.reasoning = Reasoning { mode: ReasoningMode::Off, ..Reasoning::default() };
    assert_eq!(write(&request).0["reasoning"], json!({"effort": "none"}));
}

#[test]
fn t118_documents_and_images_arrive_or_are_refused() {
    let document = |source, name| {
        Part::new(PartKind::Media(Media {
            kind: MediaKind::Document,
            mime: "application/pdf".into(),
            source,
            name,
            context: Some("About:".into()),
            detail: None,
            citations: true,
            offset: None,
        }))
    };
    let mut request = Request::default();
    let parts = vec![
        document(MediaSource::Inline("JVBERi0=".into()), None),
        image(MediaSource::FileId(Protocol::OpenAi, "file-1".into())),
    ];
    request.turns = vec![Turn { role: Role::User, parts }];
    let (written, losses) = write(&request);
    assert_eq!(
        written["input"][0]["content"],
        json!([{"type": "input_text", "text": "About:"},
               {"type": "input_file", "filename": "document.pdf", "file_data": "data:application/pdf;base64,JVBERi0="},
               {"type": "input_image", "file_id": "file-1", "detail": "auto"}])
    );
    assert_eq!(losses, "drop:citations");
    let mut refuse = |part| {
        request.turns = vec![Turn { role: Role::User, parts: vec![part] }];
        refused(&request)
    };
    assert_eq!(refuse(image(MediaSource::FileId(Protocol::Gemini, "x".into()))), "input.file_id");
    let sound = Media {
        kind: MediaKind::Audio,
        mime: "audio/wav".into(),
        source: MediaSource::Inline("AAAA".into()),
        name: None,
        context: None,
        detail: None,
        citations: false,
        offset: None,
    };
    assert_eq!(refuse(Part::new(PartKind::Media(sound))), "input.audio");
    let raw = Raw::from_json("{}");
    let foreign = PartKind::Opaque { protocol: Protocol::Anthropic, tag: "container_upload".into(), raw };
    assert_eq!(refuse(Part::new(foreign)), "input");
}

#[test]
fn sound_from_a_client_of_ours_is_passed_on() {
    let body = json!({"model": "gpt-5.2", "include": ["reasoning.encrypted_content"], "input": [
        {"type": "message", "role": "user", "content": [
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}}]}]});
    assert_eq!(round_trip(&body), body);
}

#[test]
fn t137_reasoning_models_get_no_sampling() {
    let mut request = asking("q");
    request.sampling.temperature = Some(Number::from_json("0.5"));
    request.sampling.top_k = Some(Number::from_json("5"));
    request.sampling.seed = Some(Number::from_json("1"));
    let (written, losses) = write(&request);
    assert!(written.get("temperature").is_none());
    assert_eq!(losses, "drop:temperature, drop:top_k, drop:seed");
    let (written, losses) = write_for(&request, Protocol::OpenAi, "gpt-4o").unwrap();
    assert_eq!(written["temperature"], 0.5);
    assert_eq!(losses, "drop:top_k, drop:seed");
    request.sampling.temperature = Some(Number::from_json("2.5"));
    assert_eq!(refused(&request), "temperature");
}

#[test]
fn t139_a_probe_of_one_token_is_raised_to_the_minimum() {
    let mut request = asking("q");
    request.output.max_tokens = Some(1);
    let (written, losses) = write(&request);
    assert_eq!((written["max_output_tokens"].clone(), losses.as_str()), (json!(16), "clamp:max_tokens"));
    request.output.max_tokens = Some(0);
    assert_eq!(refused(&request), "max_tokens");
}

#[test]
fn t141_stop_sequences_are_missed_aloud() {
    let mut request = asking("q");
    request.output.stop = vec!["".into(), "END".into()];
    assert_eq!(write(&request).1, "drop:stop");
    request.output.stop = vec!["".into()];
    assert_eq!(write(&request).1, "");
}

#[test]
fn t142_more_than_one_answer_is_refused() {
    let mut request = asking("q");
    request.output.n = Some(2);
    assert_eq!(refused(&request), "n");
    request.output.n = Some(1);
    request.output.modalities = Some(Raw::from_json(r#"["text","audio"]"#));
    assert_eq!(refused(&request), "modalities");
}

#[test]
fn t143_a_long_user_id_is_hashed() {
    let long: &'static str = Box::leak("user_".repeat(20).into_boxed_str());
    let mut request = asking("q");
    request.identity.end_user = Some(long.into());
    let id = write(&request).0["safety_identifier"].as_str().unwrap().to_owned();
    assert_eq!(id.len(), 64);
    assert!(id.bytes().all(|b| b.is_ascii_hexdigit()));
}

#[test]
fn t185_the_cache_key_is_the_session_or_none() {
    for (user, key) in [
        ("user_ab_account_cd_session_12-ef", json!("12-ef")),
        (r#"{"device_id":"d","session_id":"12-ef"}"#, json!("12-ef")),
        ("user_ab", Value::Null),
        ("session_", Value::Null),
    ] {
        let mut request = asking("q");
        request.identity.end_user = Some(user.into());
        assert_eq!(write(&request).0["prompt_cache_key"], key, "{user}");
        let (other, _) = write_for(&request, Protocol::OpenAi, "gpt-5.2").unwrap();
        assert_eq!(other["prompt_cache_key"], Value::Null);
    }
}

#[test]
fn t144_json_mode_speaks_of_json() {
    let mut request = asking("q");
    request.output.format = Format::JsonObject;
    request.system = vec![SystemBlock { text: "JSON".into(), cache: None, developer: false }];
    let (written, losses) = write(&request);
    assert_eq!(written["text"]["format"], json!({"type": "json_object"}));
    assert_eq!(written["input"][1]["content"][0]["text"], "Respond with JSON.");
    assert_eq!(losses, "insert:json_hint");
    request.turns = vec![user("as Json please")];
    assert_eq!(write(&request).1, "");
}

#[test]
fn t145_a_schema_is_flat_and_has_a_name() {
    let mut request = asking("q");
    request.output.format = Format::JsonSchema {
        name: None,
        description: None,
        schema: Raw::from_json(r#"{"type":"object"}"#),
        strict: Some(true),
    };
    let (written, losses) = write(&request);
    let want =
        json!({"type": "json_schema", "name": "output", "schema": {"type": "object"}, "strict": false});
    assert_eq!(written["text"]["format"], want);
    assert_eq!(losses, "drop:response_format.strict");
}

#[test]
fn t147_stored_state_is_neither_lost_nor_made_up() {
    let body = r#"{"model":"m","previous_response_id":"resp_1","input":[]}"#;
    let request = decode(body).unwrap();
    assert_eq!(request.state.previous_id, Some("resp_1".into()));
    let (written, _) = write_for(&request, Protocol::Responses, "m").unwrap();
    assert_eq!(written, json!({"model": "m", "input": [], "previous_response_id": "resp_1"}));
}

#[test]
fn t149_unknown_members_of_others_are_dropped_by_name() {
    let mut request = asking("q");
    request.extras = vec![("betas".into(), Raw::from_json("[1]"))];
    let (written, losses) = write(&request);
    assert!(written.get("betas").is_none());
    assert_eq!(losses, "drop:betas");
    request.extras = vec![("container".into(), Raw::from_json("\"c\""))];
    assert_eq!(refused(&request), "container");
}

#[test]
fn tiers_are_translated() {
    for (client, tier, sent, losses) in [
        (Protocol::Anthropic, "standard_only", json!("default"), ""),
        (Protocol::Anthropic, "batch", Value::Null, "drop:service_tier"),
        (Protocol::Gemini, "FLEX", json!("flex"), ""),
        (Protocol::OpenAi, "scale", json!("scale"), ""),
    ] {
        let mut request = asking("q");
        request.service.tier = Some(tier.into());
        let (written, lost) = write_for(&request, client, "gpt-5.2").unwrap();
        assert_eq!((written["service_tier"].clone(), lost.as_str()), (sent, losses), "{tier}");
    }
}

#[test]
fn cache_breakpoints_are_marks() {
    let (_, request) = replayed(json!([{"role": "user", "content": [
        {"type": "input_text", "text": "a", "prompt_cache_breakpoint": {"type": "explicit", "ttl": "12h"}},
        {"type": "input_text", "text": "b", "prompt_cache_breakpoint": {"type": "explicit"}}]}]));
    let marks: Vec<_> = request.turns[0].parts.iter().map(|part| part.cache).collect();
    assert_eq!(marks, [Some(CacheMark::OneHour), Some(CacheMark::FiveMinutes)]);
}

#[test]
fn an_answer_can_repeat_its_request() {
    let body = r#"{"model":"m","input":"x","instructions":"i","tools":[{"type":"function","name":"f"}],"temperature":1.0,"user":"u"}"#;
    let request = decode(body).unwrap();
    let echo: Vec<_> = request.echo.iter().map(|(key, raw)| (*key, raw.as_str())).collect();
    assert!(echo.contains(&("instructions", "\"i\"")) && echo.contains(&("temperature", "1.0")));
    assert!(echo.contains(&("tools", r#"[{"type":"function","name":"f"}]"#)));
    assert_eq!(request.identity.end_user, Some("u".into()));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    /// A document with a piece cut out, doubled or replaced is an error or a request, never a panic.
    #[test]
    fn hostile_requests_are_survived(
        from in any::<prop::sample::Index>(),
        length in 0usize..40,
        junk in prop::sample::select(vec!["", "{", "}", "[", "]", "\"", "null", "1e9", "\\u", "\\ud83d", ",", ":", "ü", "[[[[", "true"]),
    ) {
        let body = rich().to_string();
        let at = from.index(body.len());
        let Some((head, rest)) = body.split_at_checked(at) else { return Ok(()) };
        let Some((_, tail)) = rest.split_at_checked(length.min(rest.len())) else { return Ok(()) };
        let text = format!("{head}{junk}{tail}");
        if let Ok(request) = decode(&text)
            && let Ok((written, _)) = bytes_for(&request, Protocol::Responses, "gpt-5.2")
        {
            // Not serde_json: it refuses half a surrogate pair, which we pass on (T005).
            let mut reader = Reader::from_bytes(&written).unwrap();
            prop_assert!(reader.skip().and_then(|()| reader.end()).is_ok());
        }
    }

    /// Any value in the place of any member.
    #[test]
    fn wrong_types_are_survived(
        key in prop::sample::select(vec!["input", "tools", "tool_choice", "text", "reasoning", "include", "instructions", "metadata", "stream"]),
        value in prop::sample::select(vec!["5", "\"x\"", "[]", "{}", "[{}]", "[[]]", "[5]", "[\"x\"]", "{\"type\":\"x\"}", "[{\"type\":5}]", "{\"format\":{\"type\":\"json_schema\"}}", "[{\"type\":\"reasoning\"}]", "[{\"type\":\"namespace\",\"tools\":[{}]}]", "[{\"type\":\"message\",\"role\":\"user\",\"content\":[[]]}]"]),
    ) {
        let text = format!("{{\"model\":\"m\",\"{key}\":{value}}}");
        if let Ok(request) = decode(&text) {
            let _ = write_for(&request, Protocol::OpenAi, "gpt-5.2");
        }
    }
}
