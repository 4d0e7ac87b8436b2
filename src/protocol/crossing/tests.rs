//! A conversation that goes on with another provider, or with another model of the same one.

use serde_json::{Value, json};

use crate::protocol::canonical::{Exchange, Losses};
use crate::protocol::{
    Dialect, Endpoint, Protocol, StreamEncoder, Target, decode_request, decode_response, encode_request,
    encode_response,
};

const OTHERS: [(Protocol, &str); 3] =
    [(Protocol::OpenAi, "gpt-4.1"), (Protocol::Responses, "gpt-4.1"), (Protocol::Gemini, "gemini-2.5-pro")];

fn path(client: Protocol) -> &'static str {
    match client {
        Protocol::Anthropic => "/v1/messages",
        Protocol::OpenAi => "/v1/chat/completions",
        Protocol::Responses => "/v1/responses",
        Protocol::Gemini => "/v1beta/models/m:generateContent",
    }
}

/// What the upstream is sent, and what is named to the client.
fn send(client: Protocol, upstream: Protocol, target: &Target<'_>, body: &Value) -> (Value, String) {
    let endpoint = Endpoint::parse(path(client), None).unwrap();
    let text = body.to_string();
    let request = decode_request(&endpoint, &text).unwrap();
    let mut exchange = Exchange::new(&request, client, upstream);
    exchange.family = target.family();
    let (mut losses, mut out) = (Losses::default(), Vec::new());
    encode_request(upstream, &request, &exchange, target, &mut losses, &mut out).unwrap();
    (serde_json::from_slice(&out).unwrap(), losses.header())
}

/// A request of an Anthropic client with these blocks in its history.
fn history(blocks: Value) -> Value {
    json!({"model": "m", "max_tokens": 99, "messages": [
        {"role": "user", "content": "q"}, {"role": "assistant", "content": blocks},
        {"role": "user", "content": "and?"}]})
}

/// A search of the web with two pages, as Anthropic tells it.
fn search(secret: &str) -> Value {
    let page = |url: &str, title: &str| json!({"type": "web_search_result", "url": url, "title": title, "encrypted_content": secret, "page_age": null});
    json!([
        {"type": "text", "text": "Let me see."},
        {"type": "server_tool_use", "id": "srvtoolu_1", "name": "web_search", "input": {"query": "q"}},
        {"type": "web_search_tool_result", "tool_use_id": "srvtoolu_1",
            "content": [page("https://a.test/", "Größe \"A\""), page("https://b.test/", "B")]},
        {"type": "text", "text": "Found."}])
}

#[test]
fn t132_pages_that_were_found_are_known_to_the_model_that_goes_on() {
    let pages = r#"\n[Größe \"A\"](https://a.test/)\n[B](https://b.test/)\n\n"#;
    for (upstream, model) in OTHERS {
        // What Anthropic encrypted is lost; what the gateway wrote for another's search holds nothing else.
        for (secret, named) in [("EqgfCio", "approx:web_search_tool_result"), ("", "")] {
            let (sent, losses) =
                send(Protocol::Anthropic, upstream, &Target::new(model), &history(search(secret)));
            let sent = sent.to_string();
            assert!(sent.contains(pages) && !sent.contains("srvtoolu"), "{upstream}: {sent}");
            assert_eq!(losses, named, "{upstream}");
        }
        // A search that found nothing leaves nothing.
        let mut failed = search("");
        failed[2]["content"] = json!({"type": "web_search_tool_result_error", "error_code": "unavailable"});
        let (with, losses) =
            send(Protocol::Anthropic, upstream, &Target::new(model), &history(failed.clone()));
        let said = json!([failed[0], failed[3]]);
        assert_eq!((with, losses), send(Protocol::Anthropic, upstream, &Target::new(model), &history(said)));
        // Other tools of Anthropic's are still named as lost.
        let code = json!([{"type": "server_tool_use", "id": "s", "name": "code_execution", "input": {}},
            {"type": "text", "text": "Done."}]);
        let (_, losses) = send(Protocol::Anthropic, upstream, &Target::new(model), &history(code));
        assert!(losses.contains("drop:server_tool_use"), "{upstream}: {losses}");
    }
    let blocks = search("EqgfCio");
    let target = Target::new("claude-sonnet-4-5");
    let (sent, losses) = send(Protocol::Anthropic, Protocol::Anthropic, &target, &history(blocks.clone()));
    assert_eq!((&sent["messages"][1]["content"], losses.as_str()), (&blocks, ""));
}

#[test]
fn a_search_result_that_becomes_text_is_named_wherever_it_stands() {
    let found = json!({"type": "search_result", "source": "s", "title": "T",
        "content": [{"type": "text", "text": "w"}]});
    let call = json!({"type": "tool_use", "id": "c", "name": "f", "input": {}});
    let of_user = json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": [found]}]});
    let of_tool = json!({"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "q"},
        {"role": "assistant", "content": [call]}, {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "c", "content": [found]}]}]});
    for (upstream, model) in OTHERS {
        for body in [&of_user, &of_tool] {
            let (sent, losses) = send(Protocol::Anthropic, upstream, &Target::new(model), body);
            assert!(sent.to_string().contains(r"[T](s)\nw"), "{upstream}: {sent}");
            assert_eq!(losses, "approx:search_result", "{upstream}");
        }
    }
}

#[test]
fn t080_a_tool_of_the_history_that_gets_another_name_is_named_as_a_declared_one_is() {
    let name = "mcp.files:read/all";
    let messages = json!([{"role": "user", "content": "q"},
        {"role": "assistant", "tool_calls": [{"id": "c", "type": "function",
            "function": {"name": name, "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": "1"}]);
    let called = json!({"model": "m", "messages": messages});
    let declared = json!({"model": "m", "messages": [{"role": "user", "content": "q"}],
        "tools": [{"type": "function", "function": {"name": name}}]});
    for (upstream, model) in [
        (Protocol::Anthropic, "claude-sonnet-4-5"),
        (Protocol::Responses, "gpt-4.1"),
        (Protocol::Gemini, "gemini-2.5-pro"),
    ] {
        for body in [&called, &declared] {
            let (sent, losses) = send(Protocol::OpenAi, upstream, &Target::new(model), body);
            assert!(!sent.to_string().contains(name), "{upstream}: {sent}");
            assert_eq!(losses, "rename:tools.name", "{upstream}");
        }
    }
}

/// The state that an Anthropic client keeps of an answer, whole and streamed: what is to be sent back.
fn kept(upstream: Protocol, target: &Target<'_>, answer: &Value) -> [Value; 2] {
    let endpoint = Endpoint::parse("/v1/messages", None).unwrap();
    let mut asked = history(json!([{"type": "text", "text": "a"}]));
    asked["thinking"] = json!({"type": "adaptive"});
    let asked = asked.to_string();
    let request = decode_request(&endpoint, &asked).unwrap();
    let mut exchange = Exchange::new(&request, Protocol::Anthropic, upstream);
    exchange.family = target.family();
    let answer = answer.to_string();
    let read = decode_response(upstream, &answer, 1).unwrap();
    let mut out = Vec::new();
    encode_response(&read, &exchange, &mut out).unwrap();
    let whole: Value = serde_json::from_slice(&out).unwrap();
    out.clear();
    let mut encoder = StreamEncoder::new(&exchange);
    read.replay(|event| encoder.event(&event, &mut out));
    let stream = String::from_utf8(out).unwrap();
    let signature =
        stream.split(r#""signature_delta","signature":""#).nth(1).unwrap().split('"').next().unwrap();
    let mut streamed = whole["content"].clone();
    streamed[0]["signature"] = json!(signature);
    [whole["content"].clone(), streamed]
}

#[test]
fn t104_t105_encrypted_reasoning_goes_to_the_family_of_models_that_made_it_alone() {
    let answer = json!({"id": "resp_1", "object": "response", "status": "completed", "model": "m", "output": [
        {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Hm."}],
            "encrypted_content": "gAAAAB"},
        {"type": "message", "id": "msg_1", "role": "assistant", "status": "completed",
            "content": [{"type": "output_text", "text": "Yes.", "annotations": []}]}]});
    for (made_by, read_by, goes) in [
        ("gpt-5.2", "gpt-5.2", true),
        ("gpt-5.2", "o3", true),
        ("gpt-5.2", "grok-5", false),
        ("grok-5", "gpt-5.2", false),
        // Whose these are nobody knows.
        ("my-model", "gpt-5.2", true),
        ("gpt-5.2", "my-model", true),
    ] {
        for blocks in kept(Protocol::Responses, &Target::new(made_by), &answer) {
            let (sent, losses) =
                send(Protocol::Anthropic, Protocol::Responses, &Target::new(read_by), &history(blocks));
            let sent = sent["input"].to_string();
            assert_eq!(sent.contains("gAAAAB"), goes, "{made_by} → {read_by}: {sent}");
            assert_eq!(losses, if goes { "" } else { "drop:reasoning" }, "{made_by} → {read_by}");
            assert!(sent.contains("Yes."), "{sent}");
        }
    }
}

#[test]
fn t104_a_signature_of_vertex_is_none_at_the_developer_api_nor_one_of_an_older_generation() {
    let answer = json!({"responseId": "r", "modelVersion": "m", "candidates": [{"index": 0, "finishReason": "STOP",
        "content": {"role": "model", "parts": [
            {"functionCall": {"id": "c", "name": "f", "args": {}}, "thoughtSignature": "RXFRQg=="}]}}]});
    let target =
        |model, vertex| Target { dialect: Dialect { vertex, ..Dialect::default() }, ..Target::new(model) };
    for (made_by, read_by, goes) in [
        (target("gemini-3-pro", false), target("gemini-3-flash", false), true),
        (target("gemini-3-pro", true), target("gemini-3-pro", true), true),
        (target("gemini-3-pro", true), target("gemini-3-pro", false), false),
        (target("gemini-2.5-pro", false), target("gemini-3-pro", false), false),
    ] {
        for blocks in kept(Protocol::Gemini, &made_by, &answer) {
            let id = blocks[1]["id"].clone();
            let mut body = history(blocks);
            body["messages"][2]["content"] =
                json!([{"type": "tool_result", "tool_use_id": id, "content": "1"}]);
            let (sent, losses) = send(Protocol::Anthropic, Protocol::Gemini, &read_by, &body);
            // What is lost has Google's own word in its place (T100).
            let want = if goes { "RXFRQg==" } else { "skip_thought_signature_validator" };
            assert_eq!(sent["contents"][1]["parts"][0]["thoughtSignature"], want, "{sent}");
            assert_eq!(losses, if goes { "" } else { "drop:signature" });
        }
    }
}
