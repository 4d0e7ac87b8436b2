//! A search of the web that ran at the provider: its query and its links reach a client of another protocol.

use serde_json::{Value, json};

use crate::support::client::{Client, Reply, post};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native};

/// The protocols whose answers tell of searches.
const TELL: [Protocol; 3] = [Protocol::Anthropic, Protocol::Responses, Protocol::Gemini];
const QUERY: &str = "größte \"crates\" of rust";
const LINKS: [(&str, &str); 2] = [("https://crates.io/a", "Crates"), ("https://lib.rs/b", "Libs")];
const TEXT: &str = "Sérde is one.";

/// Blocks of an Anthropic answer.
fn blocks() -> Vec<Value> {
    let results = LINKS.map(|(url, title)| {
        json!({"type": "web_search_result", "url": url, "title": title, "encrypted_content": "EqgfCio", "page_age": "1 day"})
    });
    let citation = json!({"type": "web_search_result_location", "url": LINKS[0].0, "title": LINKS[0].1,
        "cited_text": "serde", "encrypted_index": "Eo8B"});
    vec![
        json!({"type": "server_tool_use", "id": "srvtoolu_01", "name": "web_search", "input": {"query": QUERY},
            "caller": {"type": "direct"}}),
        json!({"type": "web_search_tool_result", "tool_use_id": "srvtoolu_01", "content": results,
            "caller": {"type": "direct"}}),
        json!({"type": "text", "text": TEXT, "citations": [citation]}),
    ]
}

/// Items of a Responses answer.
fn items() -> Vec<Value> {
    let sources = LINKS.map(|(url, _)| json!({"type": "url", "url": url}));
    let citation = json!({"type": "url_citation", "url": LINKS[0].0, "title": LINKS[0].1, "start_index": 0, "end_index": 5});
    vec![
        json!({"id": "ws_01", "type": "web_search_call", "status": "completed",
            "action": {"type": "search", "query": QUERY, "queries": [QUERY], "sources": sources}}),
        json!({"id": "msg_01", "type": "message", "status": "completed", "role": "assistant",
            "content": [{"type": "output_text", "text": TEXT, "annotations": [citation], "logprobs": []}]}),
    ]
}

/// The one candidate of a Gemini answer, or the last one of its stream.
fn candidate(text: &str) -> Value {
    let chunks = LINKS.map(|(url, title)| json!({"web": {"uri": url, "title": title}}));
    json!({"content": {"role": "model", "parts": [{"text": text}]}, "finishReason": "STOP", "index": 0,
        "groundingMetadata": {"webSearchQueries": [QUERY], "groundingChunks": chunks, "groundingSupports": [
            {"segment": {"endIndex": 6, "text": "Sérde"}, "groundingChunkIndices": [0]}]}})
}

fn document(protocol: Protocol) -> Value {
    match protocol {
        Protocol::Anthropic => json!({"id": "msg_01", "type": "message", "role": "assistant", "model": "m",
            "content": blocks(), "stop_reason": "end_turn", "stop_sequence": null,
            "usage": {"input_tokens": 9, "output_tokens": 5, "server_tool_use": {"web_search_requests": 1}}}),
        Protocol::Responses => {
            json!({"id": "resp_01", "object": "response", "created_at": 1, "status": "completed",
            "model": "m", "output": items()})
        }
        _ => json!({"candidates": [candidate(TEXT)], "modelVersion": "m", "responseId": "r"}),
    }
}

fn stream(protocol: Protocol) -> Vec<String> {
    let events = match protocol {
        Protocol::Anthropic => {
            let mut opening = document(protocol);
            opening["content"] = json!([]);
            opening["usage"] = json!({"input_tokens": 9, "output_tokens": 1});
            let mut events = vec![json!({"type": "message_start", "message": opening})];
            for (index, mut block) in blocks().into_iter().enumerate() {
                let mut deltas = Vec::new();
                if block["type"] == "server_tool_use" {
                    let input = block["input"].to_string();
                    let (start, end) = input.split_at(12);
                    deltas.extend(
                        ["", start, end]
                            .map(|json| json!({"type": "input_json_delta", "partial_json": json})),
                    );
                    block["input"] = json!({});
                } else if block["type"] == "text" {
                    let citation = block["citations"][0].clone();
                    deltas.push(json!({"type": "citations_delta", "citation": citation}));
                    deltas.push(json!({"type": "text_delta", "text": TEXT}));
                    block = json!({"type": "text", "text": ""});
                }
                events.push(json!({"type": "content_block_start", "index": index, "content_block": block}));
                let delta = |delta| json!({"type": "content_block_delta", "index": index, "delta": delta});
                events.extend(deltas.into_iter().map(delta));
                events.push(json!({"type": "content_block_stop", "index": index}));
            }
            let delta = json!({"stop_reason": "end_turn", "stop_sequence": null});
            events.push(json!({"type": "message_delta", "delta": delta, "usage": {"output_tokens": 5}}));
            events.push(json!({"type": "message_stop"}));
            events
        }
        Protocol::Responses => {
            let mut events = Vec::new();
            for (index, item) in items().into_iter().enumerate() {
                let begun = match item["type"] == "message" {
                    true => json!({"id": "msg_01", "type": "message", "role": "assistant", "content": []}),
                    false => json!({"id": "ws_01", "type": "web_search_call", "status": "in_progress"}),
                };
                events.push(
                    json!({"type": "response.output_item.added", "output_index": index, "item": begun}),
                );
                for name in ["in_progress", "searching", "completed"].into_iter().filter(|_| index == 0) {
                    let name = format!("response.web_search_call.{name}");
                    events.push(json!({"type": name, "output_index": 0, "item_id": "ws_01"}));
                }
                events
                    .push(json!({"type": "response.output_item.done", "output_index": index, "item": item}));
            }
            events.push(json!({"type": "response.completed", "response": document(protocol)}));
            events
        }
        _ => {
            let (start, end) = TEXT.split_at(3);
            let first = json!({"content": {"role": "model", "parts": [{"text": start}]}, "index": 0});
            let chunk =
                |candidate| json!({"candidates": [candidate], "modelVersion": "m", "responseId": "r"});
            vec![chunk(first), chunk(candidate(end))]
        }
    };
    events.into_iter().map(|event| format!("data: {event}\n\n")).collect()
}

/// The client's request, which lets the provider search.
fn body(client: Protocol, talk: &Talk) -> Value {
    let mut body = talk.body(client);
    body["tools"] = match client {
        Protocol::Anthropic => json!([{"type": "web_search_20250305", "name": "web_search"}]),
        Protocol::Responses => json!([{"type": "web_search"}]),
        _ => json!([{"googleSearch": {}}]),
    };
    body
}

/// What a client reads of an answer.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    /// The kinds of what it is made of, in order.
    order: Vec<String>,
    query: String,
    /// The address and title of each link.
    links: Vec<(String, String)>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}")).to_owned()
}

fn read_anthropic(message: &Value) -> Seen {
    let mut seen = Seen::default();
    let mut id = None;
    for block in message["content"].as_array().unwrap() {
        seen.order.push(text(&block["type"]));
        match block["type"].as_str().unwrap() {
            "server_tool_use" => {
                assert_eq!(block["name"], "web_search", "{block}");
                seen.query = text(&block["input"]["query"]);
                id = block["id"].as_str();
                assert!(id.is_some_and(|id| id.starts_with("srvtoolu_")), "{block}");
            }
            "web_search_tool_result" => {
                assert_eq!(block["tool_use_id"].as_str(), id, "{block}");
                for result in block["content"].as_array().unwrap() {
                    assert_eq!(result["type"], "web_search_result", "{block}");
                    assert_eq!(
                        (&result["encrypted_content"], &result["page_age"]),
                        (&json!(""), &Value::Null)
                    );
                    seen.links.push((text(&result["url"]), text(&result["title"])));
                }
            }
            _ => assert_eq!(block["text"], TEXT),
        }
    }
    let counted = &message["usage"]["server_tool_use"];
    assert_eq!(*counted, json!({"web_search_requests": 1, "web_fetch_requests": 0}), "{message}");
    seen
}

/// The message that an Anthropic stream amounts to.
fn fold_anthropic(reply: &Reply) -> Value {
    let mut content: Vec<Value> = Vec::new();
    let mut usage = Value::Null;
    for event in reply.events().iter().map(|event| event.json()) {
        let delta = &event["delta"];
        match event["type"].as_str().unwrap() {
            "content_block_start" => {
                assert_eq!(event["index"], content.len());
                content.push(event["content_block"].clone());
            }
            "content_block_delta" => {
                let block = content.last_mut().unwrap();
                match delta["type"].as_str().unwrap() {
                    "text_delta" => block["text"] = json!(text(&block["text"]) + &text(&delta["text"])),
                    // It comes in one.
                    "input_json_delta" => {
                        assert_eq!(block["input"], json!({}));
                        block["input"] =
                            serde_json::from_str(delta["partial_json"].as_str().unwrap()).unwrap();
                    }
                    _ => {}
                }
            }
            "message_delta" => usage = event["usage"].clone(),
            _ => {}
        }
    }
    json!({"content": content, "usage": usage})
}

fn read_responses(response: &Value) -> Seen {
    let mut seen = Seen::default();
    for item in response["output"].as_array().unwrap() {
        seen.order.push(text(&item["type"]));
        if item["type"] == "web_search_call" {
            assert!(text(&item["id"]).starts_with("ws_"), "{item}");
            let action = &item["action"];
            assert_eq!((&item["status"], &action["type"]), (&json!("completed"), &json!("search")), "{item}");
            assert_eq!(action["queries"], json!([action["query"]]), "{item}");
            seen.query = text(&action["query"]);
            for source in action["sources"].as_array().unwrap() {
                assert_eq!(source["type"], "url");
                seen.links.push((text(&source["url"]), String::new()));
            }
        }
    }
    seen
}

/// The final object of a stream, whose events told the same.
fn fold_responses(reply: &Reply) -> Value {
    let events: Vec<Value> = reply.events().iter().map(|event| event.json()).collect();
    let done = events.iter().filter(|event| event["type"] == "response.output_item.done");
    let last = &events.last().unwrap()["response"];
    assert_eq!(json!(done.map(|event| &event["item"]).collect::<Vec<_>>()), last["output"]);
    let at = last["output"].as_array().unwrap().iter().position(|item| item["type"] == "web_search_call");
    let at = at.unwrap();
    let of_search = events.iter().filter(|event| event["output_index"] == at);
    let course: Vec<_> = of_search.clone().map(|event| text(&event["type"])).collect();
    let call = "response.web_search_call";
    assert_eq!(
        course,
        [
            "response.output_item.added".to_owned(),
            format!("{call}.in_progress"),
            format!("{call}.searching"),
            format!("{call}.completed"),
            "response.output_item.done".to_owned()
        ]
    );
    for event in of_search {
        let id = event.get("item_id").unwrap_or(&event["item"]["id"]);
        assert_eq!(*id, last["output"][at]["id"], "{event}");
    }
    last.clone()
}

fn read_gemini(answer: &Value) -> Seen {
    let grounding = &answer["candidates"][0]["groundingMetadata"];
    let queries: Vec<_> = grounding["webSearchQueries"].as_array().unwrap().iter().map(text).collect();
    let links = grounding["groundingChunks"].as_array().unwrap().iter().map(|chunk| {
        (text(&chunk["web"]["uri"]), chunk["web"]["title"].as_str().unwrap_or_default().to_owned())
    });
    let support = &grounding["groundingSupports"][0];
    assert_eq!(support["groundingChunkIndices"], json!([0]), "{grounding}");
    Seen { order: Vec::new(), query: queries.concat(), links: links.collect() }
}

fn read(client: Protocol, streamed: bool, reply: &Reply) -> Seen {
    match (client, streamed) {
        (Protocol::Anthropic, false) => read_anthropic(&reply.json()),
        (Protocol::Anthropic, true) => read_anthropic(&fold_anthropic(reply)),
        (Protocol::Responses, false) => read_responses(&reply.json()),
        (Protocol::Responses, true) => read_responses(&fold_responses(reply)),
        (_, false) => read_gemini(&reply.json()),
        (_, true) => read_gemini(&reply.events().last().unwrap().json()),
    }
}

/// What the client is to read. A protocol that names no titles leaves addresses, or what a citation says.
fn expected(client: Protocol, protocol: Protocol, late: bool) -> Seen {
    let mut order: Vec<String> = match client {
        Protocol::Anthropic => vec!["server_tool_use", "web_search_tool_result", "text"],
        Protocol::Responses => vec!["web_search_call", "message"],
        _ => Vec::new(),
    }
    .into_iter()
    .map(str::to_owned)
    .collect();
    // Google tells of its searches when all has been said.
    if late && client != Protocol::Gemini {
        let text = order.pop().unwrap();
        order.insert(0, text);
    }
    let links = LINKS.iter().enumerate().map(|(at, (url, title))| {
        let title = match (client, protocol) {
            (Protocol::Responses, _) => "",
            (Protocol::Anthropic, Protocol::Responses) => url,
            (Protocol::Gemini, Protocol::Responses) if at > 0 => "",
            _ => title,
        };
        ((*url).to_owned(), title.to_owned())
    });
    Seen { order, query: QUERY.to_owned(), links: links.collect() }
}

async fn say(client: Protocol, protocol: Protocol, streamed: bool, must_stream: bool) {
    let what = format!("{client} → {protocol}, stream: {streamed}, must stream: {must_stream}");
    let answer = match streamed || must_stream {
        true => Answer::events(stream(protocol)),
        false => Answer::json(document(protocol)),
    };
    let provider = Upstream::always(answer).await;
    let spec = upstream("only", protocol, &provider.url()).must_stream(must_stream);
    let served = Served::start(gateway([spec])).await;
    let talk = Talk::new(native::model(protocol), "Hi").stream(streamed);
    let reply = Client::new(served.addr).send(post(&talk.path(client), body(client, &talk))).await;
    assert_eq!(reply.status, 200, "{what}: {}", reply.text());
    assert_eq!(reply.header("x-aiproxy-warnings"), None, "{what}");
    let late = protocol == Protocol::Gemini && streamed;
    assert_eq!(read(client, streamed, &reply), expected(client, protocol, late), "{what}: {}", reply.text());
    if protocol == Protocol::Responses {
        // Without them there are no links.
        let asked = provider.only().json();
        assert_eq!(asked["include"], json!(["web_search_call.action.sources"]), "{what}: {asked}");
    }
}

fn pairs() -> impl Iterator<Item = (Protocol, Protocol)> {
    TELL.into_iter()
        .flat_map(|client| TELL.into_iter().map(move |protocol| (client, protocol)))
        .filter(|(client, protocol)| client != protocol)
}

#[tokio::test]
async fn a_stream_tells_of_the_search_and_its_links() {
    for (client, protocol) in pairs() {
        say(client, protocol, true, false).await;
    }
}

#[tokio::test]
async fn a_whole_answer_tells_of_the_search_and_its_links() {
    for (client, protocol) in pairs() {
        for must_stream in [false, true] {
            say(client, protocol, false, must_stream).await;
        }
    }
}

#[tokio::test]
async fn a_chat_client_gets_the_text_and_its_sources_and_nothing_it_does_not_know() {
    for protocol in TELL {
        for streamed in [false, true] {
            let answer = match streamed {
                true => Answer::events(stream(protocol)),
                false => Answer::json(document(protocol)),
            };
            let provider = Upstream::always(answer).await;
            let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
            let talk = Talk::new(native::model(protocol), "Hi").stream(streamed);
            let reply = Client::new(served.addr).send(talk.request(Protocol::OpenAi)).await;
            let text = reply.text();
            assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, None), "{text}");
            assert!(text.contains("url_citation") && text.contains(LINKS[0].0), "{protocol}: {text}");
            for foreign in ["server_tool_use", "web_search", "crates\\\" of rust", LINKS[1].0] {
                assert!(!text.contains(foreign), "{protocol}: {foreign} in {text}");
            }
        }
    }
}

/// Chat names only what is cited, and when all has been said.
#[tokio::test]
async fn an_anthropic_client_finds_the_pages_that_a_chat_model_cites() {
    let annotation = |(url, title): (&str, &str)| json!({"type": "url_citation", "url_citation": {"start_index": 0, "end_index": 5, "url": url, "title": title}});
    let cited = LINKS.into_iter().chain([LINKS[0]]).map(annotation).collect::<Vec<_>>();
    let chunk = |delta: Value, finish: Value| {
        let choice = json!({"index": 0, "delta": delta, "finish_reason": finish});
        format!("data: {}\n\n", json!({"id": "c", "created": 1, "model": "m", "choices": [choice]}))
    };
    let events = [
        chunk(json!({"role": "assistant", "content": TEXT}), Value::Null),
        chunk(json!({"annotations": cited}), json!("stop")),
        "data: [DONE]\n\n".to_owned(),
    ];
    let message = json!({"role": "assistant", "content": TEXT, "annotations": cited});
    let whole = json!({"id": "c", "object": "chat.completion", "created": 1, "model": "m",
        "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]});
    for (streamed, asks) in [(false, true), (true, true), (false, false), (true, false)] {
        let answer = if streamed { Answer::events(&events) } else { Answer::json(&whole) };
        let provider = Upstream::always(answer).await;
        let spec = upstream("only", Protocol::OpenAi, &provider.url());
        let served = Served::start(gateway([spec])).await;
        let talk = Talk::new("gpt-4o-search-preview", "Hi").stream(streamed);
        let request = match asks {
            true => post("/v1/messages", body(Protocol::Anthropic, &talk)),
            false => talk.request(Protocol::Anthropic),
        };
        let reply = Client::new(served.addr).send(request).await;
        assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, None), "{}", reply.text());
        assert_eq!(provider.only().json()["web_search_options"].is_object(), asks);
        assert_eq!(reply.text().matches("web_search_result_location").count(), 3, "{}", reply.text());
        if asks {
            let mut expected = expected(Protocol::Anthropic, Protocol::OpenAi, streamed);
            // What was searched for Chat does not say.
            expected.query = String::new();
            assert_eq!(read(Protocol::Anthropic, streamed, &reply), expected, "{}", reply.text());
        } else {
            // A client that has not asked for a search may not know its blocks.
            assert!(!reply.text().contains("web_search_tool_result"), "{}", reply.text());
        }
    }
}

/// The answer goes back to another protocol's provider, and then to Anthropic itself, which never ran the search.
#[tokio::test]
async fn t132_a_search_of_another_provider_can_be_sent_back() {
    let provider = Upstream::always(Answer::json(document(Protocol::Gemini))).await;
    let served = Served::start(gateway([upstream("only", Protocol::Gemini, &provider.url())])).await;
    let talk = Talk::new("gemini-2.5-flash", "Hi");
    let reply = Client::new(served.addr).send(post("/v1/messages", body(Protocol::Anthropic, &talk))).await;
    let content = reply.json()["content"].clone();
    assert_eq!(content[0]["type"], "server_tool_use", "{content}");
    for protocol in TELL {
        let mut next = Talk::new(native::model(protocol), "Hi").body(Protocol::Anthropic);
        let turns = next["messages"].as_array_mut().unwrap();
        turns.push(json!({"role": "assistant", "content": content}));
        turns.push(json!({"role": "user", "content": "And?"}));
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
        let reply = Client::new(served.addr).send(post("/v1/messages", next)).await;
        assert_eq!(reply.status, 200, "{protocol}: {}", reply.text());
        let sent = provider.only().everything();
        assert!(sent.contains(TEXT), "{protocol}: {sent}");
        for foreign in ["server_tool_use", "web_search", "encrypted_content"] {
            assert!(!sent.contains(foreign), "{protocol}: {foreign} in {sent}");
        }
    }
}
