//! Pictures and PDFs by address, for upstreams that do not fetch them: they arrive inline where the operator wants it,
//! and no client gets further into the operator's network than it may.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use aiproxy::Gateway;
use aiproxy::layer::fetch_media::FetchPolicy;
use aiproxy::protocol::Reach;
use serde_json::{Value, json};

use crate::support::answer::error_kind;
use crate::support::client::{Client, Reply, post};
use crate::support::gateway::{Served, from_yaml, upstream};
use crate::support::talk::{PNG, Talk};
use crate::support::upstream::{Answer, Received, Upstream};
use crate::support::{Protocol, native, pairs};

const PDF: &[u8] = b"%PDF-1.7 and so on";
/// The same in base64.
const PDF64: &str = "JVBERi0xLjcgYW5kIHNvIG9u";

/// A server of files; what it does is in the path.
async fn files() -> Upstream {
    Upstream::start(|_, request| file(&request.target)).await
}

fn file(target: &str) -> Answer {
    let path = target.trim_start_matches("GET ");
    match path {
        // A wrong type, as servers like to say it.
        "/picture" => Answer::whole(200, "text/html", png()),
        "/document.pdf" | "/document" => Answer::whole(200, "application/pdf", PDF),
        "/gif" => Answer::whole(200, "image/gif", &b"GIF89a and so on"[..]),
        "/page" => Answer::whole(200, "image/png", "<!doctype html><title>Sorry</title>"),
        "/short" => Answer::whole(200, "image/png", "?"),
        "/film" => Answer::stream().frame("\0\0\0\u{18}ftypmp42").stall(),
        "/zipped" => {
            Answer::with_headers(200, &[("content-encoding", "gzip")], &b"\x1f\x8b\x08 and so on"[..])
        }
        "/announced" => Answer::raw("HTTP/1.1 200 OK\r\ncontent-length: 999999999\r\n\r\n").stall(),
        "/endless" => Answer::stream().frame(PDF).frames(vec!["x".repeat(1024); 8]).stall(),
        "/slow" => Answer::stream().frame(PDF).stall(),
        "/broken" => Answer::stream().frame(PDF).cut(),
        "/silent" => Answer::none(),
        _ => match path.strip_prefix("/to/") {
            Some(location) => Answer::with_headers(302, &[("location", location)], ""),
            None => Answer::whole(404, "text/plain", "nothing here"),
        },
    }
}

fn png() -> Vec<u8> {
    aiproxy::protocol::canonical::media::decode_base64(PNG).unwrap()
}

/// A policy that lets tests reach this machine, at one address.
fn policy() -> FetchPolicy {
    FetchPolicy {
        allow: vec![IpAddr::V4(Ipv4Addr::LOCALHOST).into()],
        max_file_size: 4096,
        ..FetchPolicy::default()
    }
}

/// One upstream behind a gateway that fetches for it.
struct Setting {
    provider: Upstream,
    gateway: Gateway,
    client: Client,
    _served: Served,
}

impl Setting {
    async fn start(protocol: Protocol, policy: impl Into<Option<FetchPolicy>>) -> Setting {
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        let spec = upstream("only", protocol, &provider.url()).fetch_media(policy);
        let gateway = Gateway::builder().upstream(spec).build().unwrap();
        let served = Served::start(gateway.clone()).await;
        Setting { provider, gateway, client: Client::new(served.addr), _served: served }
    }

    async fn ask(&self, client: Protocol, parts: &[Value]) -> Reply {
        let path = Talk::new(native::model(client), "").path(client);
        self.client.send(post(&path, body(client, parts))).await
    }

    /// The refusal of one address, which must be the client's fault alone, in its own shape.
    async fn refusal(&self, client: Protocol, part: Value) -> String {
        let before = self.provider.count();
        let reply = self.ask(client, &[part]).await;
        assert_eq!(reply.status, 400, "{client}: {}", reply.text());
        error_kind(client, &reply.json());
        assert_eq!(self.provider.count(), before, "{client}: the upstream was asked");
        let blamed = self.gateway.snapshot().upstreams.iter().any(|upstream| !upstream.breaker.is_empty());
        assert!(!blamed, "{client}: the upstream was blamed");
        reply.json()["error"]["message"].as_str().unwrap().to_owned()
    }

    /// The reason for which an address is refused.
    async fn why(&self, url: &str) -> String {
        let message = self.refusal(Protocol::Anthropic, document(Protocol::Anthropic, url)).await;
        let why = message.strip_prefix("messages[0].content[1]: the file could not be fetched: ");
        why.unwrap_or_else(|| panic!("{url}: {message}")).to_owned()
    }
}

/// A text, then these parts.
fn body(client: Protocol, parts: &[Value]) -> Value {
    let text = match client {
        Protocol::Anthropic | Protocol::OpenAi => json!({"type": "text", "text": "Hi"}),
        Protocol::Responses => json!({"type": "input_text", "text": "Hi"}),
        Protocol::Gemini => json!({"text": "Hi"}),
    };
    let parts: Vec<&Value> = std::iter::once(&text).chain(parts).collect();
    let model = native::model(client);
    match client {
        Protocol::Anthropic => {
            json!({"model": model, "max_tokens": 100, "messages": [{"role": "user", "content": parts}]})
        }
        Protocol::OpenAi => json!({"model": model, "messages": [{"role": "user", "content": parts}]}),
        Protocol::Responses => json!({"model": model, "input": [{"role": "user", "content": parts}]}),
        Protocol::Gemini => json!({"contents": [{"role": "user", "parts": parts}]}),
    }
}

/// Where the second part stands, in the client's own words.
fn second(client: Protocol) -> &'static str {
    match client {
        Protocol::Anthropic | Protocol::OpenAi => "messages[0].content[1]",
        Protocol::Responses => "input[0].content[1]",
        Protocol::Gemini => "contents[0].parts[1]",
    }
}

fn image(client: Protocol, url: &str) -> Value {
    match client {
        Protocol::Anthropic => json!({"type": "image", "source": {"type": "url", "url": url}}),
        Protocol::OpenAi => json!({"type": "image_url", "image_url": {"url": url}}),
        Protocol::Responses => json!({"type": "input_image", "image_url": url}),
        Protocol::Gemini => json!({"fileData": {"fileUri": url, "mimeType": "image/png"}}),
    }
}

fn document(client: Protocol, url: &str) -> Value {
    match client {
        Protocol::Anthropic => json!({"type": "document", "source": {"type": "url", "url": url}}),
        Protocol::OpenAi => json!({"type": "file", "file": {"file_data": url}}),
        Protocol::Responses => json!({"type": "input_file", "file_url": url}),
        Protocol::Gemini => json!({"fileData": {"fileUri": url, "mimeType": "application/pdf"}}),
    }
}

/// What the upstream got in the place of the address: the base64, somewhere.
fn holds(received: &Received, base64: &str) -> bool {
    String::from_utf8_lossy(&received.body).contains(base64)
}

#[tokio::test]
async fn t118_files_arrive_inline_where_addresses_are_not_taken() {
    for (client, protocol) in pairs() {
        let server = files().await;
        let setting = Setting::start(protocol, policy()).await;
        let (picture, pdf) = (format!("{}/picture", server.url()), format!("{}/document.pdf", server.url()));
        let reply = setting.ask(client, &[image(client, &picture), document(client, &pdf)]).await;
        assert_eq!(reply.status, 200, "{client} to {protocol}: {}", reply.text());
        assert_eq!(reply.header("x-aiproxy-warnings"), None, "{client} to {protocol}");
        let sent = setting.provider.only();
        let (picture_is_fetched, pdf_is_fetched) = match protocol {
            Protocol::Gemini => (true, true),
            Protocol::OpenAi => (false, true),
            Protocol::Anthropic | Protocol::Responses => (false, false),
        };
        for (is_fetched, base64, url) in [(picture_is_fetched, PNG, &picture), (pdf_is_fetched, PDF64, &pdf)]
        {
            assert_eq!(holds(&sent, base64), is_fetched, "{client} to {protocol}: {}", sent.everything());
            assert_eq!(holds(&sent, url), !is_fetched, "{client} to {protocol}: {}", sent.everything());
        }
        assert_eq!(server.count(), usize::from(picture_is_fetched) + usize::from(pdf_is_fetched));
    }
}

#[tokio::test]
async fn servers_that_fetch_nothing_get_everything_inline() {
    for (client, protocol) in pairs() {
        let server = files().await;
        let setting = Setting::start(protocol, FetchPolicy { reach: Reach::Nothing, ..policy() }).await;
        let picture = image(client, &format!("{}/picture", server.url()));
        let reply = setting.ask(client, &[picture.clone(), picture]).await;
        assert_eq!(reply.status, 200, "{client} to {protocol}: {}", reply.text());
        let sent = String::from_utf8(setting.provider.only().body.to_vec()).unwrap();
        assert_eq!(sent.matches(PNG).count(), 2, "{client} to {protocol}: {sent}");
        assert_eq!(server.count(), 1, "{client} to {protocol}: one address is fetched once");
    }
}

#[tokio::test]
async fn nobody_fetches_who_was_not_told_to() {
    let server = files().await;
    for client in Protocol::ALL {
        let setting = Setting::start(Protocol::Gemini, None).await;
        setting.ask(client, &[image(client, &format!("{}/picture", server.url()))]).await;
        assert!(!holds(&setting.provider.only(), PNG), "{client}");
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn the_configuration_switches_it_on_for_all_upstreams_or_one() {
    let server = files().await;
    let picture = image(Protocol::OpenAi, &format!("{}/picture", server.url()));
    let asked = json!({"model": "m", "messages": [{"role": "user", "content": [picture]}]});
    for (all, one, status) in [
        ("enabled: true, allow: [127.0.0.0/8]", "{}", 200),
        ("enabled: true, allow: 127.0.0.1", "{ enabled: false }", 200),
        ("allow: 127.0.0.1", "{ enabled: true }", 200),
        ("enabled: true", "{}", 400),
        ("enabled: true, allow: 127.0.0.1", "{ max_file_size: 8 }", 400),
        ("enabled: true, allow: 127.0.0.1", "{ allow: [10.0.0.0/8, '::1'] }", 400),
    ] {
        let provider = Upstream::always(Answer::json(native::document(Protocol::Gemini))).await;
        let gateway = from_yaml(&format!(
            "fetch_media: {{ {all} }}\nupstreams:\n  - {{ name: a, api_type: gemini, base_url: '{}', fetch_media: {one} }}\n",
            provider.url()
        ));
        let served = Served::start(gateway).await;
        let reply = Client::new(served.addr).send(post("/v1/chat/completions", asked.to_string())).await;
        assert_eq!(reply.status, status, "{all}, {one}: {}", reply.text());
        if status == 200 {
            assert_eq!(holds(&provider.only(), PNG), !one.contains("false"), "{all}, {one}");
        }
    }
}

#[tokio::test]
async fn addresses_inside_are_not_reached() {
    let server = files().await;
    let port = server.addr.port();
    let closed = Setting::start(Protocol::Gemini, FetchPolicy::default()).await;
    for host in [
        "127.0.0.1",
        "localhost",
        "LOCALHOST",
        "0.0.0.0",
        "0",
        "2130706433",
        "0x7f.1",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::]",
    ] {
        let url = format!("http://{host}:{port}/document");
        assert_eq!(closed.why(&url).await, "its host has no public address", "{url}");
    }
    for url in ["http://169.254.169.254/latest/meta-data", "https://10.0.0.1/", "http://[fd00:ec2::254]/"] {
        assert_eq!(closed.why(url).await, "its host has no public address", "{url}");
    }
    assert_eq!(server.count(), 0);
    // The name leads to the address that is allowed, and to one that is not.
    let open = Setting::start(Protocol::Gemini, policy()).await;
    let reply = open
        .ask(Protocol::Gemini, &[image(Protocol::Gemini, &format!("http://localhost:{port}/picture"))])
        .await;
    assert_eq!((reply.status, server.count()), (200, 1), "{}", reply.text());
}

#[tokio::test]
async fn only_http_is_spoken_and_nobodys_credentials_are_sent() {
    let server = files().await;
    let setting = Setting::start(Protocol::OpenAi, policy()).await;
    let inside = server.addr;
    for url in [
        "file:///etc/passwd".to_owned(),
        format!("ftp://{inside}/document"),
        format!("gopher://{inside}/document"),
        "data:,".to_owned() + "x",
        format!("http://user@{inside}/document"),
        format!("http://user:password@{inside}/document"),
        "http://".to_owned(),
        "/document".to_owned(),
        String::new(),
    ] {
        let reason = setting.why(&url).await;
        assert_eq!(reason, "it must be an http or https URL without user and password", "{url}");
    }
    assert_eq!(server.count(), 0);

    let part = document(Protocol::Anthropic, &format!("{}/document?a=b#c", server.url()));
    setting.refusal(Protocol::Anthropic, part).await;
    let asked = server.only();
    assert_eq!(asked.target, "GET /document?a=b");
    let names: Vec<&str> = asked.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["user-agent", "accept", "accept-encoding", "host"], "{asked:?}");
    assert!(asked.header("user-agent").unwrap().starts_with("aiproxy/"));
    assert!(asked.body.is_empty());
}

#[tokio::test]
async fn every_hop_of_a_redirect_is_checked() {
    let server = files().await;
    let inner = Upstream::always(Answer::whole(200, "application/pdf", PDF)).await;
    let hidden = tokio::net::TcpListener::bind((Ipv4Addr::new(127, 0, 0, 2), 0)).await.unwrap();
    let setting = Setting::start(Protocol::OpenAi, policy()).await;
    let to = |location: &str| format!("{}/to/{location}", server.url());
    let hidden_at = hidden.local_addr().unwrap();
    for location in [
        format!("http://{hidden_at}/"),
        format!("//{hidden_at}/"),
        format!("http://[{}]:{}/", Ipv6Addr::LOCALHOST, hidden_at.port()),
    ] {
        let url = to(&location);
        assert_eq!(setting.why(&url).await, "its host has no public address", "{url}");
    }
    let nobody = tokio::time::timeout(Duration::from_millis(1), hidden.accept()).await;
    assert!(nobody.is_err(), "somebody came");
    for location in ["file:///etc/passwd", "http://user:password@127.0.0.1/"] {
        assert!(setting.why(&to(location)).await.starts_with("it must be an http"), "{location}");
    }
    // Three hops are as many as there may be.
    let third = to(&to(&to(&inner.url())));
    let reply = setting.ask(Protocol::Anthropic, &[document(Protocol::Anthropic, &third)]).await;
    assert_eq!((reply.status, inner.count()), (200, 1), "{}", reply.text());
    assert!(holds(&setting.provider.only(), PDF64));
    let fourth = to(&third);
    assert_eq!(setting.why(&fourth).await, "its server redirected more than 3 times");
    assert_eq!(inner.count(), 1);
}

#[tokio::test]
async fn what_is_no_file_of_use_is_refused_with_the_reason() {
    let server = files().await;
    let setting = Setting::start(Protocol::OpenAi, policy()).await;
    for (path, reason) in [
        ("missing", "its server answered 404"),
        ("page", "it is no picture or PDF"),
        ("short", "it is no picture or PDF"),
        // Not read to its end.
        ("film", "it is no picture or PDF"),
        ("zipped", "it is no picture or PDF"),
        ("picture", "it is of type image/png, which cannot stand here"),
        ("announced", "it is larger than 4096 bytes"),
        ("endless", "it is larger than 4096 bytes"),
        ("broken", "its server could not be reached"),
        ("silent", "its server could not be reached"),
    ] {
        assert_eq!(setting.why(&format!("{}/{path}", server.url())).await, reason, "{path}");
    }
    let refusing = crate::support::upstream::Refusing::new();
    assert_eq!(setting.why(&refusing.url()).await, "its server could not be reached");
    // What one upstream takes is not what all take.
    let gemini = Setting::start(Protocol::Gemini, policy()).await;
    let gif = image(Protocol::OpenAi, &format!("{}/gif", server.url()));
    let message = gemini.refusal(Protocol::OpenAi, gif).await;
    assert!(message.ends_with("it is of type image/gif, which cannot stand here"), "{message}");
}

#[tokio::test]
async fn refusals_are_in_the_clients_own_words() {
    let server = files().await;
    for client in Protocol::ALL {
        let setting = Setting::start(Protocol::Gemini, policy()).await;
        let message = setting.refusal(client, image(client, &format!("{}/missing", server.url()))).await;
        assert_eq!(
            message,
            format!("{}: the file could not be fetched: its server answered 404", second(client))
        );
    }
}

#[tokio::test]
async fn more_files_than_allowed_are_not_fetched() {
    let server = files().await;
    let setting = Setting::start(Protocol::Gemini, FetchPolicy { max_files: 2, ..policy() }).await;
    let picture = image(Protocol::OpenAi, &format!("{}/picture", server.url()));
    let reply = setting.ask(Protocol::OpenAi, &vec![picture; 3]).await;
    assert_eq!(reply.status, 400, "{}", reply.text());
    let error = &reply.json()["error"];
    assert_eq!(error["message"], "messages[0].content[3]: more than 2 files are not fetched");
    assert_eq!(error["param"], "messages[0].content[3]");
    assert_eq!(server.count(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_slow_server_holds_nobody_for_long() {
    let server = files().await;
    let mute = Upstream::always(Answer::raw("").stall()).await;
    let setting = Setting::start(Protocol::OpenAi, policy()).await;
    for slow in [format!("{}/slow", server.url()), mute.url()] {
        let begun = tokio::time::Instant::now();
        assert_eq!(setting.why(&slow).await, "it took longer than 15s", "{slow}");
        assert_eq!(begun.elapsed().as_secs(), 15, "{slow}");
    }
}

#[tokio::test]
async fn another_upstream_may_fetch_for_itself() {
    let server = files().await;
    let gemini = Upstream::always(Answer::json(native::document(Protocol::Gemini))).await;
    let anthropic = Upstream::always(Answer::json(native::document(Protocol::Anthropic))).await;
    let gateway = Gateway::builder()
        .upstream(upstream("first", Protocol::Gemini, &gemini.url()).fetch_media(policy()))
        .upstream(upstream("second", Protocol::Anthropic, &anthropic.url()).priority(1))
        .build()
        .unwrap();
    let served = Served::start(gateway).await;
    let url = format!("{}/missing", server.url());
    let asked = body(Protocol::OpenAi, &[image(Protocol::OpenAi, &url)]);
    let reply = Client::new(served.addr).send(post("/v1/chat/completions", asked)).await;
    assert_eq!((reply.status, gemini.count()), (200, 0), "{}", reply.text());
    assert!(holds(&anthropic.only(), &url));
}
