//! Web pages: rebound names, requests across sites, what may be read.

use http::{Method, Request};
use http_body_util::Full;

use super::{KEY, loopback};
use crate::support::answer::error_kind;
use crate::support::client::{Client, get, post, request, with};
use crate::support::gateway::upstream;
use crate::support::program::{file, start};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native};

/// Every page that the server has of its own.
const PAGES: [&str; 6] = ["/", "/api/hello", "/health", "/v1/models", "/v1beta/models", "/v1/models/m"];

/// What probes ask for, by address.
const PROBES: [&str; 2] = ["/healthz?verbose", "/readyz?verbose"];

/// A request with this header instead of its own.
fn replaced(
    mut request: Request<Full<bytes::Bytes>>,
    name: &'static str,
    value: &str,
) -> Request<Full<bytes::Bytes>> {
    request.headers_mut().insert(name, value.parse().unwrap());
    request
}

#[tokio::test]
async fn a_page_that_rebinds_its_name_reaches_nothing() {
    for protocol in Protocol::ALL {
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        for keys in [&[][..], &[KEY]] {
            let served = loopback([upstream("only", protocol, &provider.url())], keys).await;
            let client = Client::new(served.addr);
            let talk = Talk::new("m", "Hi");
            let before = provider.count();
            for host in
                ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil.example"]
            {
                let asked = with(with(talk.request(protocol), "host", host), "x-api-key", KEY);
                let reply = client.send(asked).await;
                assert_eq!(reply.status, 403, "{protocol}, {host}: {}", reply.text());
                assert!(
                    ["permission_error", "invalid_request_error", "PERMISSION_DENIED"]
                        .contains(&error_kind(protocol, &reply.json()).as_str()),
                    "{protocol}: {}",
                    reply.text()
                );
                assert!(reply.text().contains("allowed_hosts"), "it says what helps: {}", reply.text());
                for page in PROBES {
                    let reply = client.send(with(get(page), "host", host)).await;
                    assert_ne!(reply.status, 403, "{page}, {host}");
                    assert!(!reply.text().contains("only"), "{page} names an upstream: {}", reply.text());
                }
                for page in PAGES {
                    let reply = client.send(with(with(get(page), "host", host), "x-api-key", KEY)).await;
                    assert_eq!(reply.status, 403, "{page}, {host}: {}", reply.text());
                }
            }
            assert_eq!(provider.count(), before, "{protocol}");
            for host in ["localhost", "127.0.0.1:1", "[::1]", "gateway.internal:443"] {
                let asked = with(with(talk.request(protocol), "host", host), "x-api-key", KEY);
                assert_eq!(client.send(asked).await.status, 200, "{protocol}, {host}");
                let page = with(with(get("/v1/models"), "host", host), "x-api-key", KEY);
                assert_eq!(client.send(page).await.status, 200, "{host}");
            }
        }
    }
}

#[tokio::test]
async fn a_page_of_another_site_cannot_spend_keys_where_nobody_asks_for_one() {
    for protocol in Protocol::ALL {
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        let talk = Talk::new("m", "Hi");
        // What a page may send without asking first.
        let simple = |origin: &str, kind: &str| {
            let asked = replaced(talk.request(protocol), "content-type", kind);
            with(with(asked, "origin", origin), "sec-fetch-site", "cross-site")
        };
        let open = loopback([upstream("only", protocol, &provider.url())], &[]).await;
        let client = Client::new(open.addr);
        for origin in
            ["https://evil.example", "http://evil.example:8080", "null", "http://127.0.0.1.evil.example"]
        {
            for kind in ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"]
            {
                let reply = client.send(simple(origin, kind)).await;
                assert_eq!(reply.status, 403, "{protocol}, {origin}: {}", reply.text());
                error_kind(protocol, &reply.json());
            }
        }
        assert_eq!(provider.count(), 0, "{protocol}");
        // Pages of this machine, programs that show pages, and clients that are no browsers.
        for origin in
            ["http://localhost:3000", "http://127.0.0.1", "https://gateway.internal", "vscode-webview://1"]
        {
            assert_eq!(client.send(simple(origin, "text/plain")).await.status, 200, "{protocol}, {origin}");
        }
        assert_eq!(client.send(talk.request(protocol)).await.status, 200);
        // Where a key is asked for, a page that has it may use it.
        let keyed = loopback([upstream("only", protocol, &provider.url())], &[KEY]).await;
        let client = Client::new(keyed.addr);
        let asked = || simple("https://chat.example", "application/json");
        assert_eq!(client.send(asked()).await.status, 401);
        assert_eq!(client.send(with(asked(), "x-api-key", KEY)).await.status, 200);
    }
}

#[tokio::test]
async fn no_answer_is_for_pages_of_other_sites_to_read() {
    for protocol in Protocol::ALL {
        for status in [200, 400] {
            let body = match status {
                200 => native::document(protocol),
                _ => native::error(protocol, status, "no"),
            };
            let headers = [
                ("content-type", "application/json"),
                ("access-control-allow-origin", "*"),
                ("access-control-allow-credentials", "true"),
                ("Access-Control-Expose-Headers", "x-request-id"),
            ];
            let provider = Upstream::always(Answer::with_headers(status, &headers, body.to_string())).await;
            let served = loopback([upstream("only", protocol, &provider.url())], &[KEY]).await;
            let client = Client::new(served.addr);
            for speaks in Protocol::ALL {
                let talk = Talk::new("m", "Hi");
                let preflight = request(Method::OPTIONS, &talk.path(speaks), "");
                let preflight = with(preflight, "access-control-request-method", "POST");
                let preflight = with(preflight, "access-control-request-headers", "x-api-key, content-type");
                for asked in
                    [preflight, talk.request(speaks), get("/health"), get("/v1/models"), get("/nothing")]
                {
                    let asked = with(with(asked, "origin", "https://evil.example"), "x-api-key", KEY);
                    let what = format!("{} {} → {protocol}", asked.method(), asked.uri());
                    let is_preflight = asked.method() == Method::OPTIONS;
                    let reply = client.send(asked).await;
                    assert!(!is_preflight || reply.status == 405, "{what}: {}", reply.status);
                    let told = reply.headers.keys().find(|name| name.as_str().starts_with("access-control-"));
                    assert_eq!(told, None, "{what}");
                }
            }
        }
    }
}

#[tokio::test]
async fn the_program_checks_the_host_on_loopback_addresses_and_where_it_is_told_to() {
    let provider = Upstream::always(Answer::json(native::document(Protocol::OpenAi))).await;
    let upstreams = format!(
        "upstreams: [{{name: a, api_type: openai, base_url: '{}', token: key-of-a}}]",
        provider.url()
    );
    for (number, (lines, evil, own)) in [
        ("listen: 127.0.0.1:0", 403, 403),
        ("listen: 127.0.0.1:0\nallowed_hosts: gateway.internal", 403, 200),
        ("listen: 127.0.0.1:0\nallowed_hosts: ['*']", 200, 200),
        ("listen: 0.0.0.0:0\napi-key: public-key", 200, 200),
        ("listen: 0.0.0.0:0\napi-key: public-key\nallowed_hosts: [gateway.internal]", 403, 200),
    ]
    .into_iter()
    .enumerate()
    {
        let path = file(&format!("hosts-{number}.yaml"), &format!("{lines}\n{upstreams}\n"));
        let (_running, address, _log) = start(&["--config", path.to_str().unwrap()]);
        let client = Client::new((std::net::Ipv4Addr::LOCALHOST, address.port()).into());
        for (host, want) in [("evil.example", evil), ("gateway.internal", own), ("localhost", 200)] {
            let asked = with(post("/v1/chat/completions", r#"{"model":"m","messages":[]}"#), "host", host);
            let reply = client.send(with(asked, "x-api-key", "public-key")).await;
            assert_eq!(reply.status, want, "{lines}, {host}: {}", reply.text());
            assert_eq!(
                client.send(with(get("/metrics"), "host", host)).await.status,
                want,
                "{lines}, {host}"
            );
        }
        // A page of another site, by this machine's own name.
        let asked = with(
            post("/v1/chat/completions", r#"{"model":"m","messages":[]}"#),
            "origin",
            "https://evil.example",
        );
        let want = if lines.contains("api-key") { 200 } else { 403 };
        assert_eq!(client.send(with(asked, "x-api-key", "public-key")).await.status, want, "{lines}");
    }
}
