//! What a translation cannot carry is named to the caller, or refused if the caller wants it exact.

use serde_json::json;

use crate::support::client::{Client, Reply, post, with};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native};

/// Anthropic's `top_k` has no place in Chat Completions.
const REQUEST: &str =
    r#"{"model":"m","max_tokens":9,"top_k":5,"messages":[{"role":"user","content":"Hello"}]}"#;

fn exact() -> String {
    REQUEST.replace(r#""top_k":5,"#, "")
}

fn assert_refused(reply: &Reply) {
    assert_eq!(reply.status, 400, "{}", reply.text());
    let error = &reply.json()["error"];
    assert_eq!(error["type"], json!("invalid_request_error"));
    assert!(error["message"].as_str().unwrap().contains("drop:top_k"), "{error}");
}

#[tokio::test]
async fn a_loss_is_named_to_the_caller_and_refused_if_the_caller_asks() {
    let provider = Upstream::always(Answer::json(native::document(Protocol::OpenAi))).await;
    let served = Served::start(gateway([upstream("a", Protocol::OpenAi, &provider.url())])).await;
    let client = Client::new(served.addr);

    let reply = client.send(post("/v1/messages", REQUEST)).await;
    assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, Some("drop:top_k")));
    let reply = client.send(with(post("/v1/messages", REQUEST), "x-aiproxy-strict", "0")).await;
    assert_eq!(reply.status, 200);
    assert_eq!(provider.count(), 2);

    for word in ["1", "true"] {
        assert_refused(&client.send(with(post("/v1/messages", REQUEST), "x-aiproxy-strict", word)).await);
    }
    assert_eq!(provider.count(), 2, "the upstream was asked what could not be said");
    let reply = client.send(with(post("/v1/messages", exact()), "x-aiproxy-strict", "1")).await;
    assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, None));
}

#[tokio::test]
async fn a_strict_upstream_is_passed_over_for_one_that_takes_everything() {
    let lossy = Upstream::always(Answer::json(native::document(Protocol::OpenAi))).await;
    let native = Upstream::always(Answer::json(native::document(Protocol::Anthropic))).await;
    let served = Served::start(gateway([
        upstream("lossy", Protocol::OpenAi, &lossy.url()).priority(0).strict(true),
        upstream("native", Protocol::Anthropic, &native.url()).priority(1),
    ]))
    .await;
    let client = Client::new(served.addr);
    assert_eq!(client.send(post("/v1/messages", REQUEST)).await.status, 200);
    assert_eq!((lossy.count(), native.count()), (0, 1));
    assert_eq!(client.send(post("/v1/messages", exact())).await.status, 200);
    assert_eq!((lossy.count(), native.count()), (1, 1));
}

#[tokio::test]
async fn strictness_can_be_configured_for_all() {
    let provider = Upstream::always(Answer::json(native::document(Protocol::OpenAi))).await;
    let served = Served::yaml(&format!(
        "strict: true\nupstreams:\n  - {{ name: a, api_type: openai, base_url: {}, token: k }}\n",
        provider.url()
    ))
    .await;
    let client = Client::new(served.addr);
    assert_refused(&client.send(post("/v1/messages", REQUEST)).await);
    assert_eq!(provider.count(), 0);
}

#[tokio::test]
async fn what_is_told_of_a_model_overrides_the_table() {
    let provider = Upstream::always(Answer::json(native::document(Protocol::OpenAi))).await;
    let served = Served::yaml(&format!(
        "upstreams:
  - name: a
    api_type: openai
    base_url: {}
    token: k
    capabilities: [{{ models: [mine*], sampling: false }}, {{ models: mine-2, sampling: true }}]
",
        provider.url()
    ))
    .await;
    let client = Client::new(served.addr);
    for (model, warnings) in [("mine", Some("drop:temperature")), ("mine-2", None), ("other", None)] {
        let request = exact().replace(r#""m""#, &format!(r#""{model}","temperature":0.5"#));
        let reply = client.send(post("/v1/messages", request)).await;
        assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, warnings), "{model}");
    }
}

#[tokio::test]
async fn a_client_that_switches_on_what_only_anthropic_does_is_told_that_it_is_off() {
    let provider = Upstream::always(Answer::json(native::document(Protocol::OpenAi))).await;
    let served = Served::start(gateway([upstream("a", Protocol::OpenAi, &provider.url())])).await;
    let client = Client::new(served.addr);
    let named = Some("drop:anthropic-beta.context-management");
    for (betas, warnings) in [
        ("claude-code-20250219,interleaved-thinking-2025-05-14", None),
        ("claude-code-20250219,context-management-2025-06-27", named),
    ] {
        let request = with(post("/v1/messages", exact()), "anthropic-beta", betas);
        let reply = client.send(request).await;
        assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, warnings), "{betas}");
    }
    // To Anthropic itself the header goes as it is.
    let own = Upstream::always(Answer::json(native::document(Protocol::Anthropic))).await;
    let served = Served::start(gateway([upstream("a", Protocol::Anthropic, &own.url())])).await;
    let betas = "context-management-2025-06-27";
    let request = with(post("/v1/messages", exact()), "anthropic-beta", betas);
    let reply = Client::new(served.addr).send(request).await;
    assert_eq!((reply.status, reply.header("x-aiproxy-warnings")), (200, None));
    assert_eq!(own.only().header("anthropic-beta"), Some(betas));
}
