//! Requests that nobody in his right mind sends: each is answered, with an error that names what is wrong or with a
//! specified pass, in bounded space, and never with a panic.

use aiproxy::protocol::canonical::{Exchange, Losses};
use aiproxy::protocol::{
    Endpoint, Operation, Protocol, RequestError, Target, decode_request, encode_request,
};
use serde_json::{Value, json};

use crate::MODELS;

/// What came of a request at one upstream.
type Outcome = Result<Vec<u8>, RequestError>;

/// Translates `body` to every other protocol. What comes out is JSON and in proportion to what went in.
fn everywhere(client: Protocol, body: &str) -> Vec<(Protocol, Outcome)> {
    let mut endpoint = Endpoint::new(client, Operation::Generate);
    if client == Protocol::Gemini {
        endpoint.model = Some("m".into());
        endpoint.stream = Some(false);
    }
    let others = MODELS.iter().filter(|(upstream, _)| *upstream != client);
    let translate = |upstream: Protocol, model: &str| -> Outcome {
        let request = decode_request(&endpoint, body)?;
        let exchange = Exchange::new(&request, client, upstream);
        let (mut losses, mut out) = (Losses::default(), Vec::new());
        encode_request(upstream, &request, &exchange, &Target::new(model), &mut losses, &mut out)?;
        assert!(losses.header().len() <= 2048, "{client} to {upstream}: {}", losses.header().len());
        Ok(out)
    };
    others
        .map(|(upstream, model)| {
            let outcome = translate(*upstream, model);
            if let Ok(out) = &outcome {
                assert!(
                    out.len() <= 4 * body.len() + (64 << 10),
                    "{client} to {upstream}: {} of {}",
                    out.len(),
                    body.len()
                );
                let depth = serde_json::from_slice::<Value>(out);
                assert!(
                    depth.is_ok() || depth.is_err_and(|error| error.to_string().contains("recursion limit")),
                    "{client} to {upstream}: no JSON"
                );
            }
            (*upstream, outcome)
        })
        .collect()
}

/// A request with one tool of this name and schema.
fn with_tool(client: Protocol, name: &str, schema: &str) -> String {
    let name = json!(name);
    match client {
        Protocol::Anthropic => format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":"x"}}],"tools":[{{"name":{name},"input_schema":{schema}}}]}}"#
        ),
        Protocol::OpenAi => format!(
            r#"{{"model":"m","messages":[{{"role":"user","content":"x"}}],"tools":[{{"type":"function","function":{{"name":{name},"parameters":{schema}}}}}]}}"#
        ),
        Protocol::Responses => format!(
            r#"{{"model":"m","input":"x","tools":[{{"type":"function","name":{name},"strict":true,"parameters":{schema}}}]}}"#
        ),
        Protocol::Gemini => format!(
            r#"{{"contents":[{{"role":"user","parts":[{{"text":"x"}}]}}],"tools":[{{"functionDeclarations":[{{"name":{name},"parametersJsonSchema":{schema}}}]}}]}}"#
        ),
    }
}

/// A conversation of these turns.
fn with_turns(client: Protocol, turns: Value) -> Value {
    match client {
        Protocol::Anthropic => json!({"model": "m", "max_tokens": 9, "messages": turns}),
        Protocol::OpenAi => json!({"model": "m", "messages": turns}),
        Protocol::Responses => json!({"model": "m", "input": turns}),
        Protocol::Gemini => json!({"contents": turns}),
    }
}

fn assert_named(outcomes: Vec<(Protocol, Outcome)>, what: &str) {
    for (upstream, outcome) in outcomes {
        let Err(error) = outcome else { panic!("{what} passed to {upstream}") };
        assert!(!error.to_string().is_empty());
        let view = error.view("{}");
        assert_eq!(view.kind.status(), 400, "{what} to {upstream}: {error}");
    }
}

#[test]
fn a_schema_that_holds_itself_ends() {
    let tree = r##"{"type":"object","properties":{"left":{"$ref":"#"},"right":{"$ref":"#/$defs/node"}},"$defs":{"node":{"type":"object","properties":{"a":{"$ref":"#/$defs/node"},"b":{"$ref":"#/$defs/node"},"c":{"$ref":"#"}}}}}"##;
    let ring = r##"{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##;
    for client in Protocol::ALL {
        for schema in [tree, ring] {
            for (upstream, outcome) in everywhere(client, &with_tool(client, "f", schema)) {
                assert!(outcome.is_ok(), "{client} to {upstream}: {outcome:?}");
            }
        }
    }
}

#[test]
fn json_ten_thousand_deep_is_refused_or_carried_but_survived() {
    let nested = format!("{}{}", r#"{"items":"#.repeat(10_000), "true}".to_owned() + &"}".repeat(9_999));
    let list = format!("{}{}", "[".repeat(10_000), "]".repeat(10_000));
    for client in Protocol::ALL {
        everywhere(client, &with_tool(client, "f", &nested));
        everywhere(client, &with_tool(client, "f", &format!(r#"{{"type":"object","enum":{list}}}"#)));
        let body = with_turns(client, json!("PLACE")).to_string().replace("\"PLACE\"", &list);
        assert_named(everywhere(client, &body), "a conversation of lists in lists");
    }
}

#[test]
fn ten_thousand_tools_all_arrive() {
    for client in Protocol::ALL {
        let one = with_tool(client, "NAME", r#"{"type":"object","properties":{}}"#);
        let start = match client {
            Protocol::Gemini => one.find(r#"{"name""#).unwrap(),
            _ => one.find(r#""tools":["#).unwrap() + 9,
        };
        let end = one.rfind('}').unwrap() - if client == Protocol::Gemini { 3 } else { 1 };
        let tool = &one[start..end];
        let tools: Vec<String> = (0..10_000).map(|n| tool.replace("NAME", &format!("tool_{n}"))).collect();
        let body = format!("{}{}{}", &one[..start], tools.join(","), &one[end..]);
        for (upstream, outcome) in everywhere(client, &body) {
            let out = outcome.unwrap_or_else(|error| panic!("{client} to {upstream}: {error}"));
            let out = String::from_utf8(out).unwrap();
            assert!(out.contains(r#""tool_0""#) && out.contains(r#""tool_9999""#), "{client} to {upstream}");
        }
    }
}

#[test]
fn a_tools_name_of_a_megabyte_becomes_one_that_fits() {
    let long = "n".repeat(1 << 20);
    for client in Protocol::ALL {
        for (upstream, outcome) in everywhere(client, &with_tool(client, &long, r#"{"type":"object"}"#)) {
            let out = outcome.unwrap_or_else(|error| panic!("{client} to {upstream}: {error}"));
            assert!(out.len() < 4096, "{client} to {upstream}: {}", out.len());
        }
    }
}

#[test]
fn results_without_calls_and_calls_without_results_are_told_to_somebody() {
    let call = |client| match client {
        Protocol::Anthropic => {
            json!([{"role": "user", "content": "x"}, {"role": "assistant", "content": [{"type": "tool_use", "id": "c1", "name": "f", "input": {}}]}, {"role": "user", "content": "y"}])
        }
        Protocol::OpenAi => {
            json!([{"role": "user", "content": "x"}, {"role": "assistant", "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}, {"role": "user", "content": "y"}])
        }
        Protocol::Responses => {
            json!([{"role": "user", "content": "x"}, {"type": "function_call", "call_id": "c1", "name": "f", "arguments": "{}"}, {"role": "user", "content": "y"}])
        }
        Protocol::Gemini => {
            json!([{"role": "user", "parts": [{"text": "x"}]}, {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {}}}]}, {"role": "user", "parts": [{"text": "y"}]}])
        }
    };
    let result = |client| match client {
        Protocol::Anthropic => {
            json!([{"role": "user", "content": [{"type": "tool_result", "tool_use_id": "never", "content": "z"}]}])
        }
        Protocol::OpenAi => {
            json!([{"role": "user", "content": "x"}, {"role": "tool", "tool_call_id": "never", "content": "z"}])
        }
        Protocol::Responses => {
            json!([{"role": "user", "content": "x"}, {"type": "function_call_output", "call_id": "never", "output": "z"}])
        }
        Protocol::Gemini => {
            json!([{"role": "user", "parts": [{"functionResponse": {"name": "never", "response": {"output": "z"}}}]}])
        }
    };
    for client in Protocol::ALL {
        // The upstream says it best; nothing may vanish on the way.
        for (upstream, outcome) in everywhere(client, &with_turns(client, call(client)).to_string()) {
            if let Ok(out) = outcome {
                let out = String::from_utf8(out).unwrap();
                assert!(out.contains(r#""f""#), "{client} to {upstream} lost the call: {out}");
            }
        }
        for (upstream, outcome) in everywhere(client, &with_turns(client, result(client)).to_string()) {
            if let Ok(out) = outcome {
                let out = String::from_utf8(out).unwrap();
                assert!(out.contains("\"z\""), "{client} to {upstream} lost the result: {out}");
            }
        }
    }
}

#[test]
fn empty_conversations_unknown_roles_and_parts_are_refused_by_name() {
    for client in Protocol::ALL {
        assert_named(everywhere(client, &with_turns(client, json!([])).to_string()), "an empty conversation");
        let (role, part) = match client {
            Protocol::Gemini => (
                json!([{"role": "narrator", "parts": [{"text": "x"}]}]),
                json!([{"role": "user", "parts": [{"hologram": {}}]}]),
            ),
            _ => (
                json!([{"role": "narrator", "content": "x"}]),
                json!([{"role": "user", "content": [{"type": "hologram"}]}]),
            ),
        };
        assert_named(everywhere(client, &with_turns(client, role).to_string()), "an unknown role");
        assert_named(everywhere(client, &with_turns(client, part).to_string()), "an unknown part");
    }
}
