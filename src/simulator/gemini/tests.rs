use serde_json::{Value, json};

use crate::simulator::testing::{city, post};

fn request(more: Value) -> Value {
    let mut body = json!({
        "contents": [{"role": "user", "parts": [{"text": "parallel city=Oslo city=Rome"}]}],
        "systemInstruction": {"parts": [{"text": "be brief"}]},
    });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    body
}

fn weather() -> Value {
    json!([{"functionDeclarations": [{"name": "weather", "parametersJsonSchema": city()}]}])
}

const WHOLE: &str = "/v1beta/models/m:generateContent";
const EVENTS: &str = "/v1beta/models/m:streamGenerateContent?alt=sse";
const ARRAY: &str = "/v1/models/m:streamGenerateContent";

#[tokio::test]
async fn a_response() {
    let got = post(WHOLE, &request(json!({}))).await;
    assert_eq!(got.header("content-type"), "application/json; charset=UTF-8");
    let response = got.json();
    let candidate = &response["candidates"][0];
    assert_eq!(
        (&candidate["finishReason"], &candidate["content"]["role"]),
        (&json!("STOP"), &json!("model"))
    );
    let text = candidate["content"]["parts"][0]["text"].as_str().unwrap();
    assert!(text.contains("[system: be brief]") && text.ends_with('🦀'), "{text}");
    assert_eq!(response["usageMetadata"]["totalTokenCount"], 5 + 13);
    assert_eq!(response["modelVersion"], "m");
}

#[tokio::test]
async fn a_stream_is_framed_like_google_does() {
    let got = post(EVENTS, &request(json!({}))).await;
    assert_eq!(got.header("content-type"), "text/event-stream");
    assert!(got.text.ends_with("\r\n\r\n") && !got.text.contains("[DONE]") && !got.text.contains("event:"));
    assert!(got.text.starts_with("data: {\"candidates\": [{\"content\": {\"parts\": [{\"text\": \"You\"}],"));
    let events = got.events();
    let last = &events.last().unwrap().1;
    assert_eq!(last["candidates"][0]["finishReason"], "STOP");
    assert_eq!(last["candidates"][0]["content"]["parts"], json!([{"text": ""}]));
    assert!(events.iter().all(|(_, data)| data["usageMetadata"]["promptTokenCount"] == 5));
}

#[tokio::test]
async fn without_sse_a_stream_is_an_array() {
    let got = post(ARRAY, &request(json!({}))).await;
    assert_eq!(got.header("content-type"), "application/json; charset=UTF-8");
    assert!(got.text.contains("\n,\r\n{") && got.text.ends_with("}\n]\n"), "{}", got.text);
    assert_eq!(got.json().as_array().unwrap().len(), 14);
    let broken = post("/v1/models/sim-error-event-at-2:streamGenerateContent", &request(json!({}))).await;
    assert_eq!(broken.json()[2]["error"]["status"], "INTERNAL");
    let refused = post(ARRAY, &json!({})).await;
    assert_eq!((refused.status, refused.json()[0]["error"]["code"].as_u64()), (400, Some(400)));
}

#[tokio::test]
async fn calls_are_signed_once() {
    for uri in [WHOLE, EVENTS] {
        let got = post(uri, &request(json!({"tools": weather()}))).await;
        let response = if uri == WHOLE { got.json() } else { got.events()[0].1.clone() };
        let parts = &response["candidates"][0]["content"]["parts"];
        assert_eq!(parts[0]["functionCall"]["args"], json!({"city": "Oslo"}));
        assert_eq!(parts[1]["functionCall"]["args"], json!({"city": "Rome"}));
        assert!(parts[0]["thoughtSignature"].as_str().unwrap().starts_with(super::SIGNATURE));
        assert!(parts[1].get("thoughtSignature").is_none());
        assert_ne!(parts[0]["functionCall"]["id"], parts[1]["functionCall"]["id"]);
    }
    let old =
        post("/v1beta/models/gemini-2.5-pro:generateContent", &request(json!({"tools": weather()}))).await;
    assert!(old.json()["candidates"][0]["content"]["parts"][0]["functionCall"].get("id").is_none());
}

#[tokio::test]
async fn thoughts_are_shown_when_asked_for() {
    let shown = json!({"generation_config": {"thinking_config": {"include_thoughts": true}}});
    let response = post(WHOLE, &request(shown)).await.json();
    let parts = &response["candidates"][0]["content"]["parts"];
    assert_eq!(parts[0]["thought"], true);
    assert!(parts[1]["thoughtSignature"].is_string());
    assert_eq!(response["usageMetadata"]["thoughtsTokenCount"], 11);
    let hidden = json!({"generationConfig": {"thinkingConfig": {"thinkingBudget": 512}}});
    let response = post(WHOLE, &request(hidden)).await.json();
    assert_eq!(response["candidates"][0]["content"]["parts"].as_array().unwrap().len(), 1);
    assert_eq!(response["usageMetadata"]["thoughtsTokenCount"], 11);
}

#[tokio::test]
async fn results_are_quoted() {
    let contents = json!([
        {"role": "user", "parts": [{"text": "weather"}]},
        {"role": "model", "parts": [{"functionCall": {"name": "weather", "args": {}, "id": "x"}}]},
        {"role": "user", "parts": [{"functionResponse": {"name": "weather", "id": "x", "response": {"output": "sunny"}}}]},
    ]);
    let response = post(WHOLE, &request(json!({"contents": contents, "tools": weather()}))).await.json();
    let text = response["candidates"][0]["content"]["parts"][0]["text"].as_str().unwrap();
    assert!(text.starts_with("The tool said: sunny"), "{text}");
    let counted =
        post("/v1beta/models/m:countTokens", &json!({"contents": [{"parts": [{"text": "a b"}]}]})).await;
    assert_eq!(counted.json()["totalTokens"], 2);
}

#[tokio::test]
async fn bad_requests_are_refused_in_the_words_of_the_api() {
    let call = json!({"functionCall": {"name": "f", "args": {}}});
    let result = json!({"functionResponse": {"name": "f", "response": {"output": "x"}}});
    let user = json!({"role": "user", "parts": [{"text": "x"}]});
    let cases = [
        (json!({"contents": []}), "contents is not specified"),
        (json!({"messages": []}), "Unknown name \"messages\": Cannot find field."),
        (
            json!({"contents": [{"role": "robot", "parts": [{"text": "x"}]}]}),
            "Please use a valid role: user, model.",
        ),
        (json!({"contents": [{"role": "user", "parts": [{}]}]}), "must have one initialized field"),
        (
            json!({"contents": [{"role": "user", "parts": [result]}]}),
            "comes immediately after a function call turn",
        ),
        (
            json!({"contents": [user, {"role": "model", "parts": [call]}, user]}),
            "number of function response parts",
        ),
        (
            json!({"contents": [{"role": "model", "parts": [{"functionCall": {"name": "f", "args": "x"}}]}]}),
            "type.googleapis.com/google.protobuf.Struct",
        ),
        (json!({"toolConfig": {"functionCallingConfig": {"mode": "ANY"}}}), "without function_declarations"),
        (
            json!({"tools": [{"functionDeclarations": [{"name": "f", "parameters": {"type": "OBJECT", "properties": {"const": {"const": 1}}}}]}]}),
            "Unknown name \"const\" at 'tools[0].function_declarations[0].parameters.properties[const].value'",
        ),
    ];
    for (more, message) in cases {
        let got = post(WHOLE, &request(more)).await;
        let error = &got.json()["error"];
        assert_eq!((got.status, &error["status"]), (400, &json!("INVALID_ARGUMENT")), "{message}");
        assert!(error["message"].as_str().unwrap().contains(message), "{error}");
    }
}

#[tokio::test]
async fn a_search_and_probabilities() {
    let asked = json!({"tools": [{"googleSearch": {}}], "generationConfig": {"responseLogprobs": true, "logprobs": 2}});
    let whole = post("/v1beta/models/sim-search:generateContent", &request(asked.clone())).await.json();
    let candidate = &whole["candidates"][0];
    assert_eq!(candidate["groundingMetadata"]["groundingChunks"][1]["web"]["title"], "Two");
    assert_eq!(candidate["groundingMetadata"]["webSearchQueries"], json!(["parallel city=Oslo city=Rome"]));
    let chosen = candidate["logprobsResult"]["chosenCandidates"].as_array().unwrap();
    assert_eq!((chosen[0]["token"].as_str(), chosen.len()), (Some("You"), 13));
    let got = post("/v1beta/models/sim-search:streamGenerateContent?alt=sse", &request(asked)).await;
    let events = got.events();
    assert_eq!(
        events.last().unwrap().1["candidates"][0]["groundingMetadata"],
        candidate["groundingMetadata"]
    );
    let first = &events[0].1["candidates"][0]["logprobsResult"];
    assert_eq!(first["topCandidates"][0]["candidates"][1]["token"], " other1");
}
