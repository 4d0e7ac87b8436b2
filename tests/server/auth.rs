//! Known clients only; and what a client shows the gateway, no upstream ever sees.

use aiproxy::Gateway;
use aiproxy::server::Pages;

use crate::support::answer;
use crate::support::client::{Client, get, post, with};
use crate::support::gateway::{Served, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native, pairs};

const KEY: &str = "client-secret";

/// A gateway that wants a key, before an upstream of this protocol.
async fn guarded(protocol: Protocol) -> (Upstream, Served, Client) {
    let provider = Upstream::always(Answer::json(native::document(protocol))).await;
    let spec = upstream("only", protocol, &provider.url()).map_model("alias", native::model(protocol));
    let gateway = Gateway::builder().upstream(spec).api_key("another").api_key(KEY).build().unwrap();
    let pages = Pages { keys: vec!["another".to_owned(), KEY.to_owned()], ..Pages::default() };
    let served = Served::with_pages(gateway, pages).await;
    let client = Client::new(served.addr);
    (provider, served, client)
}

#[tokio::test]
async fn a_key_is_found_wherever_clients_put_it() {
    for protocol in Protocol::ALL {
        let (provider, _served, client) = guarded(protocol).await;
        let talk = Talk::new("alias", "Hi");
        let (path, body) = (talk.path(protocol), talk.body(protocol));
        let requests = [
            with(post(&path, &body), "x-api-key", KEY),
            with(post(&path, &body), "authorization", &format!("Bearer {KEY}")),
            with(post(&path, &body), "authorization", &format!("bearer  {KEY}")),
            with(post(&path, &body), "x-goog-api-key", KEY),
            with(post(&path, &body), "api-key", KEY),
            post(&format!("{path}?key={KEY}"), &body),
            post(&format!("{path}?beta=true&key={KEY}"), &body),
            // A key of the client's own beside ours.
            with(with(post(&path, &body), "authorization", "Bearer theirs"), "x-api-key", KEY),
        ];
        let count = requests.len();
        for (number, request) in requests.into_iter().enumerate() {
            let reply = client.send(request).await;
            assert_eq!(reply.status, 200, "{protocol}, number {number}: {}", reply.text());
        }
        assert_eq!(provider.count(), count);
    }
}

#[tokio::test]
async fn a_stranger_is_refused_in_its_own_protocol_and_no_upstream_hears_of_it() {
    for protocol in Protocol::ALL {
        let (provider, _served, client) = guarded(protocol).await;
        let talk = Talk::new("alias", "Hi");
        let (path, body) = (talk.path(protocol), talk.body(protocol));
        for request in [
            post(&path, &body),
            with(post(&path, &body), "x-api-key", "guess"),
            with(post(&path, &body), "x-api-key", ""),
            with(post(&path, &body), "x-api-key", &KEY[..KEY.len() - 1]),
            with(post(&path, &body), "authorization", &format!("Basic {KEY}")),
            with(post(&path, &body), "authorization", "Bearer upstream-key"),
            post(&format!("{path}?key=guess"), &body),
            post(&format!("{path}?monkey={KEY}"), &body),
            // Before a byte of the body is looked at.
            post(&path, "{broken"),
        ] {
            let reply = client.send(request).await;
            assert_eq!(reply.status, 401, "{protocol}: {}", reply.text());
            let kind = answer::error_kind(protocol, &reply.json());
            let kinds = ["authentication_error", "invalid_request_error", "UNAUTHENTICATED"];
            assert!(kinds.contains(&kind.as_str()), "{protocol}: {kind}");
            assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{protocol}");
        }
        assert_eq!(provider.count(), 0, "{protocol}");
    }
}

#[tokio::test]
async fn what_a_client_shows_never_reaches_an_upstream() {
    for (client, protocol) in pairs() {
        let (provider, _served, http) = guarded(protocol).await;
        let talk = Talk::new("alias", "Hi");
        let mut request = post(&format!("{}?key={KEY}", talk.path(client)), talk.body(client));
        for (name, value) in [
            ("authorization", "Bearer client-secret"),
            ("x-api-key", KEY),
            ("x-goog-api-key", KEY),
            ("api-key", KEY),
            ("cookie", "session=client-secret"),
            ("proxy-authorization", "Basic client-secret"),
            ("openai-organization", "org-client-secret"),
            ("x-goog-user-project", "client-secret"),
            ("x-forwarded-for", "client-secret"),
            ("referer", "https://client-secret"),
        ] {
            request = with(request, name, value);
        }
        assert_eq!(http.send(request).await.status, 200, "{client} → {protocol}");
        let arrived = provider.only();
        let everything = arrived.everything();
        assert!(!everything.contains(KEY), "{client} → {protocol}: {everything}");
        let shown = match protocol {
            Protocol::Anthropic => arrived.header("x-api-key"),
            Protocol::OpenAi | Protocol::Responses => {
                arrived.header("authorization").and_then(|value| value.strip_prefix("Bearer "))
            }
            Protocol::Gemini => arrived.header("x-goog-api-key"),
        };
        assert_eq!(shown, Some("upstream-key"), "{client} → {protocol}");
        assert_eq!(everything.matches("upstream-key").count(), 1, "{client} → {protocol}: {everything}");
    }
}

#[tokio::test]
async fn without_keys_everybody_may_come_and_credentials_stay_behind_all_the_same() {
    let provider = Upstream::always(Answer::json(native::document(Protocol::OpenAi))).await;
    let gateway = crate::support::gateway::gateway([upstream("only", Protocol::OpenAi, &provider.url())]);
    let served = Served::start(gateway).await;
    let request = with(Talk::new("m", "Hi").request(Protocol::Anthropic), "x-api-key", KEY);
    assert_eq!(Client::new(served.addr).send(request).await.status, 200);
    assert!(!provider.only().everything().contains(KEY));
}

#[tokio::test]
async fn model_lists_ask_for_the_key_and_health_does_not() {
    let (_provider, _served, client) = guarded(Protocol::OpenAi).await;
    for path in ["/v1/models", "/v1beta/models", "/models", "/v1/models/alias", "/v1beta/models/alias"] {
        assert_eq!(client.send(get(path)).await.status, 401, "{path}");
        assert_eq!(client.send(with(get(path), "x-api-key", "guess")).await.status, 401, "{path}");
        let keyed = with(get(path), "authorization", &format!("Bearer {KEY}"));
        assert_eq!(client.send(keyed).await.status, 200, "{path}");
        assert_eq!(client.send(get(&format!("{path}?key={KEY}"))).await.status, 200, "{path}");
    }
    for path in ["/", "/health", "/healthz", "/readyz"] {
        assert_eq!(client.send(get(path)).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn t178_a_key_does_not_follow_a_redirect() {
    for (client, protocol) in pairs() {
        let elsewhere = Upstream::always(Answer::json(native::document(protocol))).await;
        for status in [301, 302, 303, 307, 308] {
            let location = format!("{}/v1/elsewhere", elsewhere.url());
            let headers = [("location", location.as_str()), ("content-type", "text/html")];
            let provider = Upstream::always(Answer::with_headers(status, &headers, "moved")).await;
            let served = Served::start(crate::support::gateway::gateway([upstream(
                "only",
                protocol,
                &provider.url(),
            )]))
            .await;
            let reply = Client::new(served.addr).send(Talk::new("m", "Hi").request(client)).await;
            let what = format!("{client} → {protocol}, {status}");
            assert_eq!(reply.status, 502, "{what}: a client would follow a redirect itself");
            assert_eq!(reply.header("location"), None, "{what}");
            answer::error_kind(client, &reply.json());
            assert_eq!((provider.count(), elsewhere.count()), (1, 0), "{what}");
        }
    }
}
