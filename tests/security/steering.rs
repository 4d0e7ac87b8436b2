//! Nothing in a request chooses where it goes, or what goes with it, beyond its model.

use percent_encoding::percent_decode_str;
use serde_json::json;

use super::{KEY, loopback};
use crate::support::client::{Client, post, with};
use crate::support::gateway::upstream;
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs};

/// Names that would leave their place in a path, end it, or begin a header.
const NAMES: [&str; 22] = [
    "../../admin",
    "..",
    ".",
    "./m",
    "a/../../b",
    "m?key=1",
    "m#x",
    "m%2f..%2fadmin",
    "%2e%2e",
    "%2e%2e%2fadmin",
    "a:b",
    "m:streamGenerateContent?x=",
    "m\\..\\admin",
    "//evil.example/v1",
    "http://evil.example/",
    "@evil.example",
    "m;a=b",
    "m&alt=json",
    "m\r\nx-evil: 1",
    "m\n",
    "m\u{0}",
    " m",
];

#[tokio::test]
async fn a_models_name_stays_one_segment_of_the_path_or_is_refused() {
    let gemini = Upstream::always(Answer::json(native::document(Protocol::Gemini))).await;
    let elsewhere = Upstream::always(Answer::json(native::document(Protocol::Gemini))).await;
    let served = loopback([upstream("only", Protocol::Gemini, &gemini.url())], &[]).await;
    let client = Client::new(served.addr);
    let evil = format!("{}/v1", elsewhere.url());
    let mut arrived = 0;
    for name in NAMES.into_iter().chain([evil.as_str()]) {
        for protocol in Protocol::ALL {
            let talk = Talk::new(name, "Hi").max_tokens(9);
            let request = match protocol {
                Protocol::Gemini => {
                    let encoded: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
                    post(&format!("/v1beta/models/{encoded}:generateContent"), talk.body(protocol))
                }
                _ => talk.request(protocol),
            };
            let reply = client.send(request).await;
            let what = format!("{name:?} by {protocol}");
            if reply.status != 200 {
                assert!([400, 404].contains(&reply.status), "{what}: {} {}", reply.status, reply.text());
                assert_eq!(gemini.count(), arrived, "{what}");
                continue;
            }
            arrived += 1;
            let target = gemini.requests().pop().unwrap().target;
            let segment = target
                .strip_prefix("POST /v1beta/models/")
                .and_then(|rest| rest.strip_suffix(":generateContent"))
                .unwrap_or_else(|| panic!("{what}: {target}"));
            assert!(!segment.contains(['/', '?', '#', '\\', ' ']), "{what}: {target}");
            assert!(![".", ".."].contains(&segment), "{what}: {target}");
            let decoded = percent_decode_str(segment).decode_utf8().unwrap();
            assert!(decoded == name || decoded == name.trim(), "{what} became {decoded}");
        }
    }
    assert_eq!(elsewhere.count(), 0);
    assert!(arrived > 30, "{arrived}");
}

#[tokio::test]
async fn the_path_to_an_upstream_without_models_in_it_is_the_same_whatever_the_model() {
    for (protocol, path) in [
        (Protocol::Anthropic, "POST /v1/messages"),
        (Protocol::OpenAi, "POST /v1/chat/completions"),
        (Protocol::Responses, "POST /v1/responses"),
    ] {
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        let served = loopback([upstream("only", protocol, &provider.url())], &[]).await;
        let client = Client::new(served.addr);
        for name in NAMES {
            client.send(Talk::new(name, "Hi").request(protocol)).await;
        }
        assert!(provider.count() > 10);
        assert!(
            provider.requests().iter().all(|arrived| arrived.target == path),
            "{:?}",
            provider.requests()
        );
    }
}

#[tokio::test]
async fn no_member_and_no_header_of_a_request_names_its_upstream() {
    for (client, protocol) in pairs() {
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        let elsewhere = Upstream::always(Answer::json(native::document(protocol))).await;
        let served = loopback([upstream("only", protocol, &provider.url())], &[KEY]).await;
        let http = Client::new(served.addr);
        let talk = Talk::new("m", "Hi").max_tokens(9);
        let (url, host) = (elsewhere.url(), elsewhere.addr.to_string());
        let mut sent = 0;
        for member in [
            "api_base",
            "base_url",
            "baseURL",
            "api_host",
            "custom_llm_provider",
            "endpoint",
            "proxy",
            "litellm_params",
        ] {
            let mut body = talk.body(client);
            body[member] = json!(url);
            http.send(with(post(&talk.path(client), body), "x-api-key", KEY)).await;
            sent += 1;
        }
        for (name, value) in [
            ("x-portkey-custom-host", &url),
            ("x-forwarded-host", &host),
            ("x-original-url", &url),
            ("x-rewrite-url", &url),
            ("x-base-url", &url),
            ("forwarded", &format!("host={host}")),
            ("host", &"localhost".to_owned()),
        ] {
            http.send(with(with(talk.request(client), name, value), "x-api-key", KEY)).await;
            sent += 1;
        }
        assert_eq!(elsewhere.count(), 0, "{client} → {protocol}");
        let own = provider.addr.to_string();
        assert_eq!(provider.count(), sent, "{client} → {protocol}");
        for arrived in provider.requests() {
            assert_eq!(arrived.header("host"), Some(own.as_str()), "{client} → {protocol}");
        }
    }
}

/// Of a client's headers, what belongs to its connection, its account or whoever stands between.
const THEIRS: [(&str, &str); 26] = [
    ("cookie", "session=mark"),
    ("authorization", "Bearer mark"),
    ("x-goog-api-key", "mark"),
    ("api-key", "mark"),
    ("proxy-authorization", "Basic mark"),
    ("proxy-connection", "mark"),
    ("proxy-authenticate", "mark"),
    ("keep-alive", "timeout=mark"),
    ("te", "trailers, mark"),
    ("trailer", "mark"),
    ("upgrade", "mark/1"),
    ("http2-settings", "mark"),
    ("x-forwarded-for", "mark"),
    ("x-forwarded-host", "mark"),
    ("x-forwarded-proto", "mark"),
    ("x-real-ip", "mark"),
    ("forwarded", "for=mark"),
    ("via", "1.1 mark"),
    ("origin", "http://localhost:1/"),
    ("referer", "http://mark"),
    ("openai-organization", "mark"),
    ("openai-project", "mark"),
    ("x-goog-user-project", "mark"),
    ("accept-encoding", "mark"),
    ("expect", "mark"),
    ("x-stainless-of-this-connection", "mark"),
];

#[tokio::test]
async fn what_belongs_to_a_client_and_its_connection_stays_behind() {
    for (client, protocol) in pairs() {
        let provider = Upstream::always(Answer::json(native::document(protocol))).await;
        let served = loopback([upstream("only", protocol, &provider.url())], &[KEY]).await;
        let talk = Talk::new("m", "Hi").max_tokens(9);
        let mut request = post(&format!("{}?key=mark&x=mark", talk.path(client)), talk.body(client));
        for (name, value) in THEIRS {
            request = with(request, name, value);
        }
        let request = with(request, "connection", "X-Stainless-Of-This-Connection, keep-alive");
        let reply = Client::new(served.addr).send(with(request, "x-api-key", KEY)).await;
        assert_eq!(reply.status, 200, "{client} → {protocol}: {}", reply.text());
        let everything = provider.only().everything();
        assert!(
            !everything.contains("mark") && !everything.contains(KEY),
            "{client} → {protocol}: {everything}"
        );
        for name in ["origin", "te", "upgrade", "connection", "transfer-encoding"] {
            assert_eq!(provider.only().header(name), None, "{client} → {protocol}: {name}");
        }
    }
}
