//! Client and upstream speak the same protocol: every byte passes but the model's name.

use crate::support::client::{Client, post};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::recorded::{self, Recorded, Recording};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native};

/// Members that a JSON library would rewrite: order, spaces, number formats, escapes, unknown fields.
const ODD: &str = "\"zeta\" : 1.10,\t\"alpha\":123456789012345678901234567890 , \"e\":1E+2,\r\n \
                   \"esc\":\"\\u00e9\\/\\ud83d \u{e9}\u{1f980}\", \"nested\":{\"model\":\"fast\",\"b\":[ ],\"a\":-0.0},\"nil\":null";

fn path(protocol: Protocol, model: &str, stream: bool) -> String {
    match protocol {
        Protocol::Anthropic => "/v1/messages".to_owned(),
        Protocol::OpenAi => "/v1/chat/completions".to_owned(),
        Protocol::Responses => "/v1/responses".to_owned(),
        Protocol::Gemini if stream => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
        Protocol::Gemini => format!("/v1beta/models/{model}:generateContent"),
    }
}

/// A request body with odd members before and after its model; Gemini's has none.
fn body(protocol: Protocol, model: &str, stream: bool) -> String {
    match protocol {
        Protocol::Gemini => format!(" {{ {ODD},\n\"contents\": [ ] }}\n"),
        _ => format!(" {{ {ODD}, \"model\" : \"{model}\",\"stream\":{stream} , \"messages\": [ ] }}\n"),
    }
}

async fn served(protocol: Protocol, provider: &Upstream) -> (Served, Client) {
    let spec = upstream("only", protocol, &provider.url()).map_model("fast", "large/model:2 \"é\"");
    let served = Served::start(gateway([spec])).await;
    let client = Client::new(served.addr);
    (served, client)
}

#[tokio::test]
async fn request_bytes_arrive_as_they_were_sent() {
    for protocol in Protocol::ALL {
        for stream in [false, true] {
            let provider = Upstream::start(move |_, _| answer(protocol, stream)).await;
            let (_served, client) = served(protocol, &provider).await;
            let sent = body(protocol, "plain", stream);
            client.send(post(&path(protocol, "plain", stream), &sent)).await;
            let arrived = provider.only();
            assert_eq!(std::str::from_utf8(&arrived.body).unwrap(), sent, "{protocol}");
            assert_eq!(arrived.target, format!("POST {}", path(protocol, "plain", stream)), "{protocol}");
        }
    }
}

#[tokio::test]
async fn a_mapped_model_changes_its_own_bytes_and_no_others() {
    for protocol in Protocol::ALL {
        for stream in [false, true] {
            let provider = Upstream::start(move |_, _| answer(protocol, stream)).await;
            let (_served, client) = served(protocol, &provider).await;
            client.send(post(&path(protocol, "fast", stream), body(protocol, "fast", stream))).await;
            let arrived = provider.only();
            let want = body(protocol, r#"large/model:2 \"é\""#, stream);
            assert_eq!(std::str::from_utf8(&arrived.body).unwrap(), want, "{protocol}");
            let name = if protocol == Protocol::Gemini { "large%2Fmodel:2%20%22%C3%A9%22" } else { "" };
            assert_eq!(arrived.target, format!("POST {}", path(protocol, name, stream)), "{protocol}");
        }
    }
}

fn answer(protocol: Protocol, stream: bool) -> Answer {
    if stream { Answer::events(native::stream(protocol)) } else { Answer::json(native::document(protocol)) }
}

/// A whole answer with spaces, number formats and fields that nobody knows.
fn odd_document(protocol: Protocol) -> String {
    let document = native::document(protocol).to_string();
    format!("{{ {ODD} ,\r\n{}\n\n", &document[1..])
}

/// A stream with comments, `\r\n`, `\r`, fields and events that nobody knows, and a `data` field in two lines.
fn odd_stream(protocol: Protocol) -> String {
    let mut frames = native::stream(protocol);
    let last = frames.pop().unwrap();
    let unknown = match protocol {
        Protocol::Anthropic => "event: novelty\r\ndata: {\"type\":\"novelty\",\r\ndata:  \"n\":1.0}\r\n\r\n",
        Protocol::OpenAi => "data:{\"novelty\":1.0,\"choices\":[]}\n\n",
        Protocol::Responses => "event: response.novelty\rdata: {\"type\":\"response.novelty\"}\r\r",
        Protocol::Gemini => "id: 7\nretry: 10\ndata: {\"novelty\": 1.0}\n\n",
    };
    format!(": hello\n\n{}{unknown}: ping\n\n{last}", frames.concat())
}

#[tokio::test]
async fn t148_nothing_is_put_beside_cached_content() {
    let sent = r#"{"cachedContent":"cachedContents/1","contents":[{"parts":[{"text":"Go on."}]}]}"#;
    for must_stream in [false, true] {
        let provider = Upstream::always(answer(Protocol::Gemini, must_stream)).await;
        let spec = upstream("only", Protocol::Gemini, &provider.url()).must_stream(must_stream);
        let served = Served::start(gateway([spec])).await;
        let reply = Client::new(served.addr).send(post("/v1beta/models/m:generateContent", sent)).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(std::str::from_utf8(&provider.only().body).unwrap(), sent, "must stream: {must_stream}");
    }
}

#[tokio::test]
async fn t132_citations_that_the_gateway_made_up_do_not_reach_anthropic() {
    let citation = r#"{"type":"web_search_result_location","url":"https://a.test","title":"A","cited_text":"","encrypted_index":""}"#;
    let body = |model: &str, citations: &str| {
        format!(
            r#"{{"model":"{model}","max_tokens":9, "n":1.10,"messages":[{{"role":"assistant","content":[{{"type":"text","text":"Rain.","citations":{citations}}}]}},{{"role":"user","content":"Sure?"}}]}}"#
        )
    };
    let provider = Upstream::always(answer(Protocol::Anthropic, false)).await;
    let spec = upstream("only", Protocol::Anthropic, &provider.url()).map_model("fast", "large");
    let served = Served::start(gateway([spec])).await;
    let reply =
        Client::new(served.addr).send(post("/v1/messages", body("fast", &format!("[{citation}]")))).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(std::str::from_utf8(&provider.only().body).unwrap(), body("large", "null"));
}

#[tokio::test]
async fn t152_a_gateway_that_counts_tokens_does_not_show() {
    // Whether the client wants the counts is the client's to say; the gateway meters what comes by itself.
    for options in
        ["", r#","stream_options":{"include_usage":false}"#, r#","stream_options":{"include_usage":true}"#]
    {
        for must_stream in [false, true] {
            let mut frames = native::stream(Protocol::OpenAi);
            frames.retain(|frame| options.contains("true") || !frame.contains("usage"));
            let provider = Upstream::always(Answer::events(&frames)).await;
            let spec = upstream("only", Protocol::OpenAi, &provider.url()).must_stream(must_stream);
            let served = Served::start(gateway([spec])).await;
            let sent = format!(
                r#"{{"model":"m","messages":[{{"role":"user","content":"Hi"}}],"stream":true{options}}}"#
            );
            let reply = Client::new(served.addr).send(post("/v1/chat/completions", &sent)).await;
            assert_eq!(
                std::str::from_utf8(&provider.only().body).unwrap(),
                sent,
                "must stream: {must_stream}"
            );
            assert_eq!(
                (reply.status, reply.text()),
                (200, frames.concat().as_str()),
                "must stream: {must_stream}"
            );
        }
    }
}

#[tokio::test]
async fn t176_the_upstreams_own_count_is_not_called_an_estimate() {
    let provider = Upstream::always(Answer::json(r#"{"input_tokens":7}"#)).await;
    let (_served, client) = served(Protocol::Anthropic, &provider).await;
    let reply = client.send(post("/v1/messages/count_tokens", r#"{"model":"m"}"#)).await;
    assert_eq!((reply.text(), reply.header("x-aiproxy-usage")), (r#"{"input_tokens":7}"#, None));
}

#[tokio::test]
async fn documents_come_back_untouched() {
    for protocol in Protocol::ALL {
        let document = odd_document(protocol);
        let provider = Upstream::always(Answer::json(&document)).await;
        let (_served, client) = served(protocol, &provider).await;
        let reply = client.send(post(&path(protocol, "m", false), body(protocol, "m", false))).await;
        assert_eq!((reply.status, reply.text()), (200, document.as_str()), "{protocol}");
    }
}

#[tokio::test]
async fn streams_come_back_untouched_wherever_packets_end() {
    for protocol in Protocol::ALL {
        let stream = odd_stream(protocol);
        for size in [1, 7, 64, stream.len()] {
            let provider = Upstream::always(Answer::events(stream.as_bytes().chunks(size))).await;
            let (_served, client) = served(protocol, &provider).await;
            let reply = client.send(post(&path(protocol, "m", true), body(protocol, "m", true))).await;
            assert_eq!((reply.status, reply.text()), (200, stream.as_str()), "{protocol} by {size}");
            assert_eq!(reply.header("content-type"), Some("text/event-stream; charset=utf-8"), "{protocol}");
        }
    }
}

#[tokio::test]
async fn errors_of_a_provider_come_back_untouched() {
    for protocol in Protocol::ALL {
        let error = format!("{{ {ODD} ,{}\n", &native::error(protocol, 400, "too hot").to_string()[1..]);
        let headers = [("content-type", "application/json"), ("x-request-id", "req_7")];
        let provider = Upstream::always(Answer::with_headers(400, &headers, error.clone())).await;
        let (_served, client) = served(protocol, &provider).await;
        let reply = client.send(post(&path(protocol, "m", false), body(protocol, "m", false))).await;
        assert_eq!((reply.status, reply.text()), (400, error.as_str()), "{protocol}");
        assert_eq!(reply.header("x-request-id"), Some("req_7"), "{protocol}");
    }
}

/// What the gateway's own key is worth is no business of its clients.
fn is_relayed(recorded: &Recorded) -> bool {
    let is_about_the_key = match &recorded.answer {
        Recording::Document(text) => {
            [401, 403].contains(&recorded.status) || text.contains("API_KEY_INVALID")
        }
        Recording::Stream(_) => false,
    };
    // Nor are upstreams ever asked for a list.
    let is_list = matches!(&recorded.answer, Recording::Document(text) if text.starts_with('['));
    !recorded.is_broken && !is_about_the_key && !is_list
}

#[tokio::test]
async fn recorded_exchanges_pass_untouched() {
    for protocol in Protocol::ALL {
        let all: Vec<Recorded> = recorded::all()
            .filter(|recorded| recorded.protocol == protocol && is_relayed(recorded))
            .collect();
        let answers: Vec<Answer> = all.iter().map(recorded_answer).collect();
        let provider = Upstream::start(move |number, _| answers[number].clone()).await;
        let spec = upstream("only", protocol, &provider.url()).breaker(None);
        let served = Served::start(gateway([spec])).await;
        let client = Client::new(served.addr);
        for (number, recorded) in all.iter().enumerate() {
            let id = &recorded.id;
            let (Recording::Stream(answer) | Recording::Document(answer)) = &recorded.answer;
            let is_stream = matches!(recorded.answer, Recording::Stream(_));
            let (target, sent) = match &recorded.request {
                Some((endpoint, body)) => {
                    let model = endpoint.model.as_deref().unwrap_or_default();
                    (path(protocol, model, endpoint.stream.unwrap_or(is_stream)), body.clone())
                }
                None => (path(protocol, "m", is_stream), body(protocol, "m", is_stream)),
            };
            let reply = client.send(post(&target, &sent)).await;
            let arrived = &provider.requests()[number].body;
            assert_eq!(std::str::from_utf8(arrived).unwrap(), sent, "{id}");
            assert_eq!((reply.status, reply.text()), (recorded.status, answer.as_str()), "{id}");
        }
    }
}

fn recorded_answer(recorded: &Recorded) -> Answer {
    match &recorded.answer {
        Recording::Stream(stream) => Answer::events(stream.as_bytes().chunks(100)),
        Recording::Document(text) => Answer::whole(recorded.status, "application/json", text.clone()),
    }
}

#[tokio::test]
async fn headers_pass_that_belong_to_the_protocol() {
    let headers = [
        ("content-type", "application/json"),
        ("request-id", "req_7"),
        ("anthropic-ratelimit-requests-remaining", "9"),
        ("set-cookie", "session=1"),
        ("connection", "x-hop"),
        ("x-hop", "1"),
    ];
    let body = native::document(Protocol::Anthropic).to_string();
    let provider = Upstream::always(Answer::with_headers(200, &headers, body)).await;
    let (_served, client) = served(Protocol::Anthropic, &provider).await;
    let mut request = post("/v1/messages", r#"{"model":"m"}"#);
    for (name, value) in [
        ("anthropic-beta", "context-1m-2025-08-07"),
        ("anthropic-version", "2023-06-01"),
        ("user-agent", "sdk/1"),
        ("x-private", "1"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let reply = client.send(request).await;
    assert_eq!(reply.header("request-id"), Some("req_7"));
    assert_eq!(reply.header("anthropic-ratelimit-requests-remaining"), Some("9"));
    assert_eq!((reply.header("set-cookie"), reply.header("x-hop")), (None, None));
    let arrived = provider.only();
    assert_eq!(arrived.header("anthropic-beta"), Some("context-1m-2025-08-07"));
    assert_eq!(arrived.header("anthropic-version"), Some("2023-06-01"));
    assert_eq!(arrived.header("user-agent"), Some("sdk/1"));
    assert_eq!(arrived.header("x-private"), None);
    assert_eq!(arrived.header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn gemini_streams_are_asked_for_as_events_whatever_the_client_wants() {
    let provider = Upstream::always(answer(Protocol::Gemini, true)).await;
    let (_served, client) = served(Protocol::Gemini, &provider).await;
    let target = "/v1beta/models/fast:streamGenerateContent";
    let reply = client.send(post(target, body(Protocol::Gemini, "", true))).await;
    assert!(provider.only().target.ends_with(":streamGenerateContent?alt=sse"), "{}", provider.only().target);
    assert_eq!(reply.json().as_array().map(Vec::len), Some(native::stream(Protocol::Gemini).len()));
}

#[tokio::test]
async fn tokens_are_counted_by_the_upstream() {
    for (protocol, path, answer, body) in [
        (Protocol::Anthropic, "/v1/messages/count_tokens", r#"{ "input_tokens" : 7 }"#, r#"{"model":"m"}"#),
        (Protocol::Responses, "/v1/responses/input_tokens", r#"{"input_tokens":7.0}"#, r#"{"model":"m"}"#),
        (Protocol::Gemini, "/v1beta/models/m:countTokens", r#"{"totalTokens":7}"#, "{}"),
    ] {
        let provider = Upstream::always(Answer::json(answer)).await;
        let (_served, client) = served(protocol, &provider).await;
        let reply = client.send(post(path, body)).await;
        assert_eq!((reply.status, reply.text()), (200, answer), "{protocol}");
        assert_eq!(provider.only().target, format!("POST {path}"), "{protocol}");
    }
}

#[tokio::test]
async fn events_are_a_stream_whatever_their_server_calls_them_and_however_old_it_is() {
    const OLD: &str = "HTTP/1.0 200 OK\r\ncontent-type: text/event-stream\r\n\r\ndata: {\"id\":\"c\",\"object\":\"chat.completion.chunk\",\"created\":1,\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hi\"},\"finish_reason\":\"stop\"}]}\n\ndata: [DONE]\n\n";
    let named = |head: &'static str| Answer::raw(head).frames(native::stream(Protocol::OpenAi)).end();
    for (what, answer) in [
        ("text", named("HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ntransfer-encoding: chunked\r\n\r\n")),
        (
            "JSON",
            named("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n"),
        ),
        ("nothing", named("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")),
        ("old", Answer::raw(OLD).cut()),
    ] {
        let provider = Upstream::always(answer).await;
        let served = Served::start(gateway([upstream("only", Protocol::OpenAi, &provider.url())])).await;
        for client in [Protocol::OpenAi, Protocol::Anthropic] {
            let request = Talk::new("m", "Hi").stream(true).request(client);
            let response = Client::new(served.addr).open(request).await;
            assert_eq!(
                (response.status().as_u16(), response.version()),
                (200, http::Version::HTTP_11),
                "{what}"
            );
            assert_eq!(response.headers()["content-type"], "text/event-stream; charset=utf-8", "{what}");
            let mut text = String::new();
            crate::support::client::read_rest(response.into_body(), &mut text).await;
            assert!(text.contains("[DONE]") || text.contains("message_stop"), "{what}: {text}");
        }
    }
}

#[tokio::test]
async fn what_belongs_to_the_gateways_account_stays_with_the_gateway() {
    let words = "Rate limit reached for org-AbC123dEf456GhI7 on requests";
    let error = native::error(Protocol::OpenAi, 429, words).to_string();
    let headers = [
        ("content-type", "application/json"),
        ("openai-organization", "org-name"),
        ("anthropic-organization-id", "0b1c"),
        ("openai-project", "proj_x"),
    ];
    for (status, body) in [(200, native::document(Protocol::OpenAi).to_string()), (429, error.clone())] {
        let provider = Upstream::always(Answer::with_headers(status, &headers, body)).await;
        let served = Served::start(gateway([upstream("only", Protocol::OpenAi, &provider.url())])).await;
        for client in [Protocol::OpenAi, Protocol::Gemini] {
            let reply = Client::new(served.addr).send(Talk::new("m", "Hi").request(client)).await;
            for (name, _) in &headers[1..] {
                assert_eq!(reply.header(name), None, "{client} {status}");
            }
            if status == 429 {
                assert!(reply.text().contains("reached for org-*** on requests"), "{}", reply.text());
            }
            if (client, reply.status) == (Protocol::OpenAi, 429) {
                assert_eq!(
                    reply.text(),
                    error.replace("org-AbC123dEf456GhI7", "org-***"),
                    "and nothing else"
                );
                break;
            }
        }
    }
}
