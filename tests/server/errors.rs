//! What cannot be served is refused: right status, the client's own shape, no upstream asked or blamed.

use aiproxy::Gateway;
use http::Method;

use crate::support::answer::error_kind;
use crate::support::client::{Client, Reply, get, post, request, with};
use crate::support::compress::{CODINGS, compress};
use crate::support::gateway::{Served, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native};

const LIMIT: usize = 4096;

/// One upstream of each protocol behind a gateway with a small limit.
struct Setting {
    providers: Vec<Upstream>,
    gateway: Gateway,
    client: Client,
    _served: Served,
}

impl Setting {
    async fn start() -> Setting {
        let mut providers = Vec::new();
        let mut builder = Gateway::builder().max_body_size(LIMIT);
        for protocol in Protocol::ALL {
            let provider = Upstream::always(Answer::json(native::document(protocol))).await;
            builder = builder.upstream(upstream(protocol.as_str(), protocol, &provider.url()));
            providers.push(provider);
        }
        let gateway = builder.build().unwrap();
        let served = Served::start(gateway.clone()).await;
        Setting { providers, gateway, client: Client::new(served.addr), _served: served }
    }

    /// Checks the refusal of a client of `protocol`, and that nobody else noticed.
    fn check(&self, protocol: Protocol, reply: &Reply, status: u16, what: &str) {
        assert_eq!(reply.status, status, "{protocol}, {what}: {}", reply.text());
        assert_eq!(reply.header("content-type"), Some("application/json"), "{protocol}, {what}");
        error_kind(protocol, &reply.json());
        assert_eq!(reply.header("x-should-retry"), Some("false"), "{protocol}, {what}");
        let asked: usize = self.providers.iter().map(Upstream::count).sum();
        assert_eq!(asked, 0, "{protocol}, {what}: an upstream was asked");
        let blamed = self.gateway.snapshot().upstreams.iter().any(|upstream| !upstream.breaker.is_empty());
        assert!(!blamed, "{protocol}, {what}: an upstream was blamed");
    }
}

fn path(protocol: Protocol) -> String {
    Talk::new("m", "Hi").path(protocol)
}

#[tokio::test]
async fn bodies_that_could_not_be_understood_are_refused() {
    let setting = Setting::start().await;
    let long = format!(r#"{{"model":"m","contents":[],"x":"{}"}}"#, "y".repeat(LIMIT));
    for protocol in Protocol::ALL {
        let mut bodies: Vec<(&str, &[u8], u16)> = vec![
            ("nothing", b"", 400),
            ("no JSON", b"hello", 400),
            ("cut short", br#"{"model":"m","messages":["#, 400),
            ("more than one document", br#"{"model":"m"}{"#, 400),
            ("an array", b"[]", 400),
            ("a string", br#""model""#, 400),
            ("null", b"null", 400),
            ("a trailing comma", br#"{"model":"m",}"#, 400),
            ("too large", long.as_bytes(), 413),
        ];
        if protocol != Protocol::Gemini {
            bodies.extend([
                ("no model", &br#"{"messages":[]}"#[..], 400),
                ("two models", br#"{"model":"a","model":"b"}"#, 400),
                ("two models, one escaped", br#"{"model":"a","mod\u0065l":"b"}"#, 400),
                ("two stream flags", br#"{"model":"m","stream":true,"stream":false}"#, 400),
                ("a model that is a number", br#"{"model":1}"#, 400),
                ("a model that is null", br#"{"model":null}"#, 400),
                ("an empty model", br#"{"model":"  "}"#, 400),
                ("a model with a line end", br#"{"model":"a\nb"}"#, 400),
                ("a stream flag that is text", br#"{"model":"m","stream":"true"}"#, 400),
                ("a stream flag that is a number", br#"{"model":"m","stream":1}"#, 400),
                ("broken UTF-8 in the model", b"{\"model\":\"\xff\"}", 400),
            ]);
        }
        for (what, body, status) in bodies {
            let reply = setting.client.send(request(Method::POST, &path(protocol), body.to_vec())).await;
            setting.check(protocol, &reply, status, what);
        }
    }
}

#[tokio::test]
async fn compressed_bodies_that_cannot_be_read_are_refused() {
    let setting = Setting::start().await;
    let long = format!(r#"{{"model":"m","contents":[],"x":"{}"}}"#, "y".repeat(LIMIT));
    for protocol in Protocol::ALL {
        let ask = async |coding: &str, body: &[u8]| {
            let asked = request(Method::POST, &path(protocol), body.to_vec());
            setting.client.send(with(asked, "content-encoding", coding)).await
        };
        for coding in ["compress", "snappy", "gzip, zstd", "zstd,zstd", "*"] {
            let reply = ask(coding, &compress("zstd", b"{}")).await;
            setting.check(protocol, &reply, 415, coding);
            assert_eq!(reply.header("accept-encoding"), Some("gzip, deflate, br, zstd"), "{protocol}");
        }
        for coding in CODINGS {
            let whole = compress(coding, format!(r#"{{"model":"m","x":"{}"}}"#, path(protocol)).as_bytes());
            for (what, body) in [
                ("plain", &br#"{"model":"m"}"#[..]),
                ("nothing", b""),
                ("cut short", &whole[..whole.len() - 1]),
                ("something after it", &[&whole, &b"{}{}{}{}{}{}"[..]].concat()),
            ] {
                let reply = ask(coding, body).await;
                setting.check(protocol, &reply, 400, &format!("{coding}, {what}"));
                assert!(reply.text().contains("content-encoding"), "{coding}, {what}: {}", reply.text());
            }
            let bomb = compress(coding, long.as_bytes());
            assert!(bomb.len() < LIMIT / 10);
            setting.check(protocol, &ask(coding, &bomb).await, 413, coding);
        }
    }
}

#[tokio::test]
async fn what_cannot_be_translated_faithfully_is_refused() {
    let setting = Setting::start().await;
    // Only the one upstream that speaks another protocol is left for each.
    for (client, other) in [
        (Protocol::Anthropic, Protocol::OpenAi),
        (Protocol::OpenAi, Protocol::Anthropic),
        (Protocol::Responses, Protocol::Gemini),
        (Protocol::Gemini, Protocol::Responses),
    ] {
        let provider = &setting.providers[Protocol::ALL.iter().position(|one| *one == other).unwrap()];
        let gateway = crate::support::gateway::gateway([upstream("other", other, &provider.url())]);
        let served = Served::start(gateway).await;
        let http = Client::new(served.addr);
        let wrong = match client {
            Protocol::Gemini => r#"{"contents":7}"#.to_owned(),
            Protocol::Responses => r#"{"model":"m","input":7}"#.to_owned(),
            _ => r#"{"model":"m","max_tokens":9,"messages":"Hi"}"#.to_owned(),
        };
        let mut broken = wrong.replace("\"Hi\"", "7").into_bytes();
        broken.splice(1..1, b"\"x\":\"\xff\",".iter().copied());
        for (what, body) in [("wrong types", wrong.into_bytes()), ("broken UTF-8", broken)] {
            let reply = http.send(request(Method::POST, &path(client), body)).await;
            setting.check(client, &reply, 400, what);
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_wrong_methods_are_told_apart() {
    let setting = Setting::start().await;
    let body = r#"{"model":"m"}"#;
    for (protocol, unknown) in [
        (Protocol::Anthropic, "/v1/messages/batches"),
        (Protocol::OpenAi, "/v1/embeddings"),
        (Protocol::OpenAi, "/nothing"),
        (Protocol::OpenAi, "/v1/v1/chat/completions"),
        (Protocol::Responses, "/v1/responses/resp_1/cancel"),
        (Protocol::Gemini, "/v1beta/models/m:embedContent"),
        (Protocol::Gemini, "/v1beta/cachedContents"),
    ] {
        let reply = setting.client.send(post(unknown, body)).await;
        setting.check(protocol, &reply, 404, unknown);
    }
    for protocol in [Protocol::Anthropic, Protocol::OpenAi, Protocol::Responses] {
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let reply = setting.client.send(request(method.clone(), &path(protocol), "")).await;
            setting.check(protocol, &reply, 405, method.as_str());
            assert_eq!(reply.header("allow"), Some("POST"), "{protocol} {method}");
        }
    }
}

#[tokio::test]
async fn t182_what_is_not_served_of_responses_is_refused_at_once_in_its_own_shape() {
    let setting = Setting::start().await;
    let upgrade = |path: &str| {
        let request = with(with(get(path), "connection", "Upgrade"), "upgrade", "websocket");
        let request = with(request, "sec-websocket-version", "13");
        with(request, "sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    for (what, request) in [
        ("retrieve", get("/v1/responses/resp_1")),
        ("retrieve a stream", get("/v1/responses/resp_1?stream=true")),
        ("retrieve, no version", get("/responses/resp_1")),
        ("input items", get("/v1/responses/resp_1/input_items")),
        ("delete", request(Method::DELETE, "/v1/responses/resp_1", "")),
        ("cancel", request(Method::POST, "/v1/responses/resp_1/cancel", "")),
        ("compact", post("/v1/responses/compact", r#"{"model":"m","input":"Hi"}"#)),
        ("upgrade, below", upgrade("/v1/responses/resp_1")),
    ] {
        let reply = setting.client.send(request).await;
        setting.check(Protocol::Responses, &reply, 404, what);
    }
    // A client that gets no socket asks again by POST.
    for path in ["/v1/responses", "/responses"] {
        let reply = setting.client.send(upgrade(path)).await;
        setting.check(Protocol::Responses, &reply, 426, path);
        assert_eq!(reply.header("upgrade"), Some("HTTP/1.1"), "{path}");
    }
}

#[tokio::test]
async fn t177_large_files_fit_into_a_request() {
    // 48 MiB of PDF in base64, with the limit that nobody has changed.
    let pdf = "JVBERi0x".repeat(8 << 20);
    assert_eq!(pdf.len(), 64 << 20);
    let fits = &pdf[..(64 << 20) - 4096];
    let body = |pdf: &str| {
        format!(
            r#"{{"model":"m","max_tokens":9,"messages":[{{"role":"user","content":[{{"type":"document","source":{{"type":"base64","media_type":"application/pdf","data":"{pdf}"}}}}]}}]}}"#
        )
    };
    for protocol in [Protocol::Anthropic, Protocol::Gemini] {
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        let gateway = crate::support::gateway::gateway([upstream("only", protocol, &provider.url())]);
        let served = Served::start(gateway).await;
        let client = Client::new(served.addr);
        let reply = client.send(post("/v1/messages", body(fits))).await;
        assert_eq!(reply.status, 200, "{protocol}: {}", reply.text());
        assert!(provider.only().body.len() > fits.len(), "{protocol}");
        let reply = client.send(post("/v1/messages", body(&pdf))).await;
        assert_eq!((reply.status, provider.count()), (413, 1), "{protocol}: {}", reply.text());
    }
}

#[tokio::test]
async fn messages_name_the_field_and_not_the_contents() {
    let setting = Setting::start().await;
    let body = r#"{"model":1,"messages":[{"role":"user","content":"my secret"}]}"#;
    for protocol in [Protocol::Anthropic, Protocol::OpenAi, Protocol::Responses] {
        let reply = setting.client.send(post(&path(protocol), body)).await;
        setting.check(protocol, &reply, 400, "a model that is a number");
        assert!(reply.text().contains("model") && !reply.text().contains("secret"), "{}", reply.text());
    }
}

#[tokio::test]
async fn more_requests_than_allowed_are_refused_until_one_has_ended() {
    for protocol in Protocol::ALL {
        let (_, second_text) = native::text_at(protocol);
        let begun = native::stream(protocol).into_iter().take(second_text);
        let provider = Upstream::always(Answer::stream().frames(begun).stall()).await;
        let spec = upstream("only", protocol, &provider.url());
        let gateway = Gateway::builder().upstream(spec).max_in_flight(1).build().unwrap();
        let served = Served::start(gateway).await;
        let http = Client::new(served.addr);
        let talk = Talk::new(native::model(protocol), "Hi").stream(true);
        let first = http.open(talk.request(protocol)).await;
        assert_eq!(first.status(), 200);
        let second = http.send(talk.request(protocol)).await;
        let want = if protocol == Protocol::Anthropic { 529 } else { 503 };
        assert_eq!(second.status, want, "{protocol}");
        assert!(second.header("retry-after").is_some(), "{protocol}");
        error_kind(protocol, &second.json());
        assert_eq!(provider.count(), 1, "{protocol}");
        drop(first);
        provider.departed(1).await;
        let third = http.open(talk.request(protocol)).await;
        assert_eq!(third.status(), 200, "{protocol}");
    }
}

#[tokio::test]
async fn proxies_that_know_no_529_are_told_of_an_overload_with_503() {
    for (flags, want) in [("[no_529]", 503), ("[]", 529)] {
        for protocol in Protocol::ALL {
            // Relayed, translated, and the gateway's own.
            let status = if protocol == Protocol::Anthropic { 529 } else { 503 };
            let error = native::error(protocol, status, "busy").to_string();
            let provider = Upstream::always(Answer::whole(status, "application/json", error)).await;
            let served = Served::yaml(&format!(
                "client_dialect: {flags}
upstreams:
  - {{ name: a, api_type: {protocol}, base_url: {}, token: k, circuit_breaker: {{ failures: 1 }} }}
",
                provider.url()
            ))
            .await;
            let http = Client::new(served.addr);
            for what in ["the upstream's", "the gateway's"] {
                let reply = http.send(Talk::new("m", "Hi").request(Protocol::Anthropic)).await;
                assert_eq!(reply.status, want, "{what}, {protocol}: {}", reply.text());
                assert_eq!(
                    error_kind(Protocol::Anthropic, &reply.json()),
                    "overloaded_error",
                    "{what}, {protocol}"
                );
            }
            assert_eq!(provider.count(), 1, "{protocol}");
        }
    }
}

#[tokio::test]
async fn a_failure_can_be_traced_through_the_gateway_to_the_provider() {
    let id = |protocol| if protocol == Protocol::Anthropic { "request-id" } else { "x-request-id" };
    for upstreams in Protocol::ALL {
        for status in [200, 400] {
            let body = match status {
                200 => native::document(upstreams),
                _ => native::error(upstreams, status, "no"),
            };
            let headers = [("content-type", "application/json"), (id(upstreams), "req_up")];
            let provider = Upstream::always(Answer::with_headers(status, &headers, body.to_string())).await;
            let gateway = crate::support::gateway::gateway([upstream("only", upstreams, &provider.url())]);
            let served = Served::start(gateway).await;
            let client = Client::new(served.addr);
            for speaks in Protocol::ALL {
                let what = format!("{speaks} → {upstreams}, {status}");
                let request = Talk::new("m", "Hi").request(speaks);
                let reply = client.send(with(request, "x-request-id", "req_mine")).await;
                assert_eq!(reply.status, status, "{what}");
                // Through a relay the client hears from the provider itself.
                let relay = speaks == upstreams;
                let own = if relay { "req_up" } else { "req_mine" };
                assert_eq!(reply.header(id(speaks)), Some(own), "{what}");
                let upstreams_own = if relay { None } else { Some("req_up") };
                assert_eq!(reply.header("x-aiproxy-upstream-request-id"), upstreams_own, "{what}");
                if status == 400 && speaks == Protocol::Anthropic && !relay {
                    assert_eq!(reply.json()["request_id"], "req_mine", "{what}");
                }
            }
        }
    }
}
