//! Model lists in the shape that each client expects, and the pages that load balancers ask for.

use std::sync::atomic::Ordering;
use std::time::Duration;

use aiproxy::layer::BreakerPolicy;
use aiproxy::protocol::Overrides;
use http::Method;
use serde_json::{Value, json};

use crate::support::client::{Client, get, request, with};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, answer};

/// Knows `fast`, `gpt-5` and `vendor/large:1`; serves `claude-*` besides.
async fn served() -> (Served, Client) {
    let spec = |name, protocol| upstream(name, protocol, "http://127.0.0.1:9");
    let served = Served::start(gateway([
        spec("a", Protocol::OpenAi).models(["gpt-5", "vendor/large:1"]).map_model("hidden", "gpt-5"),
        spec("b", Protocol::Anthropic)
            .models(["claude-*", "fast", "gpt-5"])
            .map_model("fast", "claude-haiku-4-5"),
    ]))
    .await;
    let client = Client::new(served.addr);
    (served, client)
}

const KNOWN: [&str; 3] = ["fast", "gpt-5", "vendor/large:1"];

#[tokio::test]
async fn t173_each_client_reads_a_list_in_its_own_shape() {
    let (_served, client) = served().await;
    for path in ["/v1/models", "/models"] {
        let list = client.send(get(path)).await.json();
        assert_eq!(list["object"], "list");
        assert_eq!(ids(&list["data"], "id"), KNOWN);
        for entry in list["data"].as_array().unwrap() {
            assert_eq!(entry["object"], "model");
            assert!(entry["created"].is_u64() && entry["owned_by"].is_string(), "{entry}");
        }
    }
    for request in [
        with(get("/v1/models"), "anthropic-version", "2023-06-01"),
        with(get("/v1/models?limit=1000"), "x-api-key", "k"),
    ] {
        let list = client.send(request).await.json();
        assert_eq!(ids(&list["data"], "id"), KNOWN);
        assert_eq!(list["has_more"], false);
        assert_eq!((&list["first_id"], &list["last_id"]), (&json!(KNOWN[0]), &json!(KNOWN[2])));
        for entry in list["data"].as_array().unwrap() {
            assert_eq!(entry["type"], "model");
            assert!(entry["display_name"].is_string() && entry["created_at"].is_string(), "{entry}");
        }
    }
    for request in [
        get("/v1beta/models"),
        get("/v1beta/models?pageSize=50"),
        get("/v1/models?key=k"),
        with(get("/v1/models"), "x-goog-api-key", "k"),
    ] {
        let list = client.send(request).await.json();
        assert_eq!(ids(&list["models"], "name"), KNOWN.map(|id| format!("models/{id}")));
        for entry in list["models"].as_array().unwrap() {
            let methods = entry["supportedGenerationMethods"].as_array().unwrap();
            assert!(methods.contains(&json!("generateContent")), "{entry}");
        }
    }
}

#[tokio::test]
async fn t173_lists_tell_how_much_a_model_takes_where_that_is_known() {
    let small = Overrides { context: Some(100_000), ..Overrides::default() };
    let spec = |name, protocol| upstream(name, protocol, "http://127.0.0.1:9");
    let served = Served::start(gateway([
        spec("a", Protocol::Anthropic)
            .models(["best", "fast", "other"])
            .map_model("best", "claude-opus-5")
            .map_model("fast", "claude-haiku-4-5"),
        spec("b", Protocol::OpenAi).models(["best", "gpt-5", "mine"]).map_model("best", "gpt-5"),
        spec("c", Protocol::OpenAi).models(["gpt-4.1", "fast"]).capabilities("gpt-4*", small),
    ]))
    .await;
    let client = Client::new(served.addr);
    let known = [
        // Any of its upstreams may be asked.
        ("best", Some(272_000), Some(128_000)),
        ("fast", Some(200_000), Some(64_000)),
        ("gpt-4.1", Some(100_000), Some(32_768)),
        ("gpt-5", Some(272_000), Some(128_000)),
        ("mine", None, None),
        ("other", None, None),
    ];
    let limits = |entry: &Value, keys: [&str; 2]| {
        keys.map(|key| entry.get(key).map(|limit| limit.as_u64().unwrap_or_else(|| panic!("{key}: {entry}"))))
    };
    let check = |list: &Value, name: &str, keys: [&str; 2]| {
        let entries = list.as_array().unwrap();
        assert_eq!(entries.len(), known.len());
        for (entry, (id, input, output)) in entries.iter().zip(known) {
            assert!(entry[name].as_str().unwrap().ends_with(id), "{entry}");
            assert_eq!(limits(entry, keys), [input, output], "{id}: {entry}");
        }
    };
    let request = with(get("/v1/models"), "anthropic-version", "2023-06-01");
    check(&client.send(request).await.json()["data"], "id", ["max_input_tokens", "max_tokens"]);
    let list = client.send(get("/v1beta/models")).await.json();
    check(&list["models"], "name", ["inputTokenLimit", "outputTokenLimit"]);
    let model = client.send(get("/v1beta/models/fast")).await.json();
    assert_eq!(limits(&model, ["inputTokenLimit", "outputTokenLimit"]), [Some(200_000), Some(64_000)]);
}

fn ids<'v>(list: &'v Value, key: &str) -> Vec<&'v str> {
    list.as_array()
        .unwrap_or_else(|| panic!("no list: {list}"))
        .iter()
        .map(|e| e[key].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn t174_lists_come_from_memory_and_not_from_upstreams() {
    // They would never answer; a client waits for three seconds.
    let silent = [
        Upstream::always(Answer::default().stall()).await,
        Upstream::always(Answer::default().stall()).await,
    ];
    let specs = silent.iter().zip(["a", "b"]).zip([Protocol::OpenAi, Protocol::Anthropic]);
    let specs =
        specs.map(|((provider, name), protocol)| upstream(name, protocol, &provider.url()).models([name]));
    let served = Served::start(gateway(specs)).await;
    let client = Client::new(served.addr);
    for request in [
        with(get("/v1/models?limit=1000"), "anthropic-version", "2023-06-01"),
        get("/v1/models"),
        get("/v1/models/a"),
        get("/v1beta/models"),
        get("/v1beta/models/b"),
    ] {
        let path = request.uri().clone();
        let reply = client.send(request).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.text());
    }
    assert_eq!(silent.iter().map(Upstream::count).sum::<usize>(), 0, "an upstream was asked");
}

#[tokio::test]
async fn one_model_is_found_by_its_name() {
    let (_served, client) = served().await;
    for id in ["fast", "vendor/large:1", "vendor%2Flarge:1"] {
        let plain = id.replace("%2F", "/");
        let model = client.send(get(&format!("/v1/models/{id}"))).await.json();
        assert_eq!((&model["id"], &model["object"]), (&json!(plain), &json!("model")));
        let request = with(get(&format!("/v1/models/{id}")), "anthropic-version", "2023-06-01");
        let model = client.send(request).await.json();
        assert_eq!((&model["id"], &model["type"]), (&json!(plain), &json!("model")));
        let model = client.send(get(&format!("/v1beta/models/{id}"))).await.json();
        assert_eq!(model["name"], format!("models/{plain}"));
    }
    for (protocol, request) in [
        (Protocol::OpenAi, get("/v1/models/hidden")),
        (Protocol::OpenAi, get("/v1/models/claude-opus-5")),
        (Protocol::Anthropic, with(get("/v1/models/none"), "anthropic-version", "2023-06-01")),
        (Protocol::Gemini, get("/v1beta/models/none")),
    ] {
        let reply = client.send(request).await;
        assert_eq!(reply.status, 404, "{protocol}");
        answer::error_kind(protocol, &reply.json());
    }
}

#[tokio::test]
async fn clients_find_somebody_there() {
    let (_served, client) = served().await;
    for method in [Method::HEAD, Method::GET] {
        let reply = client.send(request(method.clone(), "/", "")).await;
        assert_eq!((reply.status, reply.body.is_empty()), (200, method == Method::HEAD));
    }
    for path in ["/health", "/healthz"] {
        let health = client.send(get(path)).await.json();
        assert_eq!(health["status"], "ok", "{path}");
        assert_eq!(health["upstreams"], json!({"total": 2, "with_resting_models": 0}), "{path}");
        assert!(health["version"].is_string());
    }
}

#[tokio::test]
async fn health_tells_of_resting_upstreams_without_naming_them() {
    let provider = Upstream::always(Answer::none()).await;
    let policy = BreakerPolicy { failures: 1, open_for: Duration::from_secs(60), ..BreakerPolicy::default() };
    let spec = upstream("private-name", Protocol::OpenAi, &provider.url()).breaker(policy);
    let served = Served::start(gateway([spec])).await;
    let client = Client::new(served.addr);
    client.send(Talk::new("m", "Hi").request(Protocol::OpenAi)).await;
    let reply = client.send(get("/health")).await;
    assert_eq!(reply.status, 200, "the process lives: a restart would not help");
    assert_eq!(reply.json()["status"], "degraded");
    assert_eq!(reply.json()["upstreams"]["with_resting_models"], 1);
    assert!(!reply.text().contains("private-name"));
}

#[tokio::test]
async fn readiness_ends_when_the_drain_begins() {
    let (served, client) = served().await;
    assert_eq!(client.send(get("/readyz")).await.status, 200);
    served.ready.store(false, Ordering::Relaxed);
    assert_eq!(client.send(get("/readyz")).await.status, 503);
    assert_eq!(client.send(get("/healthz")).await.status, 200);
}
