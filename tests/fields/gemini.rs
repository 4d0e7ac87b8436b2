//! The fields of a Gemini generateContent request.

use serde_json::{Value, json};

use super::{Field, beside};

const PNG: &str = "iVBORw0KGgo=";

fn user(part: Value) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": "Look."}, part]}]})
}

fn config(config: Value) -> Value {
    json!({"generationConfig": config})
}

fn function() -> Value {
    json!({"name": "f", "description": "d", "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}})
}

fn mode(config: Value) -> Value {
    let tools = json!([{"functionDeclarations": [function()]}]);
    beside(json!({"tools": tools}), json!({"tools": tools, "toolConfig": {"functionCallingConfig": config}}))
}

fn step(response: Value) -> Value {
    json!({
        "tools": [{"functionDeclarations": [function()]}],
        "contents": [
            {"role": "user", "parts": [{"text": "Hello"}]},
            {"role": "model", "parts": [{"functionCall": {"name": "f", "args": {"a": "b"}}}]},
            {"role": "user", "parts": [{"functionResponse": {"name": "f", "response": response}}]},
        ],
    })
}

fn history(part: Value) -> Value {
    json!({"contents": [
        {"role": "user", "parts": [{"text": "Hello"}]},
        {"role": "model", "parts": [part, {"text": "Yes."}]},
        {"role": "user", "parts": [{"text": "And now?"}]},
    ]})
}

fn schema() -> Value {
    json!({"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]})
}

pub fn all() -> Vec<Field> {
    let inline = |kind: &str| json!({"inlineData": {"mimeType": kind, "data": PNG}});
    let file = |kind: &str, uri: &str| json!({"fileData": {"mimeType": kind, "fileUri": uri}});
    vec![
        ("`systemInstruction`", json!({"systemInstruction": {"parts": [{"text": "Be brief."}]}})),
        ("`maxOutputTokens`", config(json!({"maxOutputTokens": 300}))),
        ("`temperature`", config(json!({"temperature": 0.5}))),
        ("`temperature: 1.5`", config(json!({"temperature": 1.5}))),
        ("`topP`", config(json!({"topP": 0.5}))),
        ("`topK`", config(json!({"topK": 5}))),
        ("`seed`", config(json!({"seed": 7}))),
        ("`presencePenalty`", config(json!({"presencePenalty": 0.5}))),
        ("`frequencyPenalty`", config(json!({"frequencyPenalty": 0.5}))),
        ("`stopSequences`", config(json!({"stopSequences": ["END"]}))),
        ("`candidateCount: 2`", config(json!({"candidateCount": 2}))),
        ("`responseLogprobs`, `logprobs`", config(json!({"responseLogprobs": true, "logprobs": 2}))),
        ("`responseMimeType: application/json`", config(json!({"responseMimeType": "application/json"}))),
        (
            "`responseSchema`",
            config(
                json!({"responseMimeType": "application/json", "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}}}),
            ),
        ),
        (
            "`responseJsonSchema`",
            config(json!({"responseMimeType": "application/json", "responseJsonSchema": schema()})),
        ),
        (
            "`responseMimeType: text/x.enum`",
            config(
                json!({"responseMimeType": "text/x.enum", "responseSchema": {"type": "STRING", "enum": ["a", "b"]}}),
            ),
        ),
        ("`responseModalities`: image", config(json!({"responseModalities": ["TEXT", "IMAGE"]}))),
        (
            "`speechConfig`",
            config(json!({"responseModalities": ["AUDIO"], "speechConfig": {"languageCode": "en-US"}})),
        ),
        ("`mediaResolution`", config(json!({"mediaResolution": "MEDIA_RESOLUTION_LOW"}))),
        ("`thinkingConfig.thinkingBudget`", config(json!({"thinkingConfig": {"thinkingBudget": 2048}}))),
        ("`thinkingConfig.thinkingBudget: 0`", config(json!({"thinkingConfig": {"thinkingBudget": 0}}))),
        ("`thinkingConfig.thinkingLevel`", config(json!({"thinkingConfig": {"thinkingLevel": "HIGH"}}))),
        (
            "`thinkingConfig.includeThoughts`",
            beside(
                config(json!({"thinkingConfig": {"thinkingBudget": 2048}})),
                config(json!({"thinkingConfig": {"thinkingBudget": 2048, "includeThoughts": true}})),
            ),
        ),
        ("`inlineData`, image", user(inline("image/png"))),
        ("`inlineData`, PDF", user(inline("application/pdf"))),
        ("`inlineData`, audio", user(inline("audio/wav"))),
        ("`inlineData`, video", user(inline("video/mp4"))),
        ("`fileData`, image by https", user(file("image/png", "https://example.com/a.png"))),
        (
            "`fileData`, Files API",
            user(file("image/png", "https://generativelanguage.googleapis.com/v1beta/files/abc")),
        ),
        (
            "`videoMetadata`",
            user(json!({"inlineData": {"mimeType": "video/mp4", "data": PNG}, "videoMetadata": {"fps": 1}})),
        ),
        ("a part of an unknown type", user(json!({"hologram": "x"}))),
        (
            "`thought` in the history",
            history(json!({"text": "Hm.", "thought": true, "thoughtSignature": "CiQB"})),
        ),
        (
            "`executableCode` in the history",
            history(json!({"executableCode": {"language": "PYTHON", "code": "1"}})),
        ),
        ("`functionCall` and `functionResponse`", step(json!({"output": "sunny"}))),
        ("`functionResponse.response.error`", step(json!({"error": "cold"}))),
        ("`functionDeclarations`", json!({"tools": [{"functionDeclarations": [function()]}]})),
        (
            "`functionDeclarations` without parameters",
            json!({"tools": [{"functionDeclarations": [{"name": "f"}]}]}),
        ),
        (
            "`parametersJsonSchema`",
            json!({"tools": [{"functionDeclarations": [{"name": "f", "parametersJsonSchema": schema()}]}]}),
        ),
        ("`functionCallingConfig.mode: AUTO`", mode(json!({"mode": "AUTO"}))),
        ("`functionCallingConfig.mode: ANY`", mode(json!({"mode": "ANY"}))),
        ("`functionCallingConfig.mode: NONE`", mode(json!({"mode": "NONE"}))),
        ("`functionCallingConfig.mode: VALIDATED`", mode(json!({"mode": "VALIDATED"}))),
        ("`allowedFunctionNames`", mode(json!({"mode": "ANY", "allowedFunctionNames": ["f"]}))),
        ("`tools`: googleSearch", json!({"tools": [{"googleSearch": {}}]})),
        ("`tools`: urlContext", json!({"tools": [{"urlContext": {}}]})),
        ("`tools`: codeExecution", json!({"tools": [{"codeExecution": {}}]})),
        (
            "`safetySettings`",
            json!({"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT", "threshold": "BLOCK_NONE"}]}),
        ),
        ("`cachedContent`", json!({"cachedContent": "cachedContents/1"})),
        ("`labels`", json!({"labels": {"a": "b"}})),
        ("`serviceTier`", json!({"serviceTier": "flex"})),
        ("an unknown field", json!({"hologram": true})),
    ]
}
