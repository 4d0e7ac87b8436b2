//! A model that cannot be had is answered by the next of its chain, and the client is told which.

use std::time::Duration;

use aiproxy::Gateway;
use aiproxy::gateway::Builder;
use aiproxy::layer::BreakerPolicy;
use aiproxy::layer::failover::FailoverPolicy;

use crate::support::answer::{self, Finish};
use crate::support::client::{Client, Reply, read_rest, read_until};
use crate::support::gateway::{Served, from_yaml, upstream};
use crate::support::series::{recorder, series};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Received, Upstream};
use crate::support::{Protocol, native, pairs, soon};

fn sound(protocol: Protocol, stream: bool) -> Answer {
    if stream { Answer::events(native::stream(protocol)) } else { Answer::json(native::document(protocol)) }
}

fn failing(protocol: Protocol, status: u16) -> Answer {
    Answer::whole(status, "application/json", native::error(protocol, status, "no").to_string())
}

/// The model that an upstream was asked for.
fn model(protocol: Protocol, received: &Received) -> String {
    if protocol != Protocol::Gemini {
        return received.json()["model"].as_str().unwrap().to_owned();
    }
    let (_, rest) = received.target.split_once("/models/").unwrap();
    rest.split(':').next().unwrap().to_owned()
}

async fn serve(builder: Builder) -> (Gateway, Client, Served) {
    let gateway = builder.build().unwrap();
    let served = Served::start(gateway.clone()).await;
    (gateway, Client::new(served.addr), served)
}

#[tokio::test]
async fn when_every_upstream_of_a_model_fails_the_next_model_answers() {
    for (client, protocol) in pairs() {
        for stream in [false, true] {
            let what = format!("{client} → {protocol}, stream: {stream}");
            let first = Upstream::always(failing(protocol, 500)).await;
            let second = Upstream::always(failing(protocol, 429)).await;
            let third = Upstream::always(sound(protocol, stream)).await;
            let (_, http, _served) = serve(
                Gateway::builder()
                    .upstream(upstream("first", protocol, &first.url()).models(["large"]))
                    .upstream(upstream("second", protocol, &second.url()).models(["large"]).priority(1))
                    .upstream(
                        upstream("third", protocol, &third.url())
                            .models(["small"])
                            .map_model("small", native::model(protocol)),
                    )
                    .model_fallback("large", ["nobody's", "small"]),
            )
            .await;
            let talk = Talk::new("large", "Hi").tools().stream(stream);
            let reply: Reply = http.send(talk.request(client)).await;
            assert_eq!(reply.status, 200, "{what}: {}", reply.text());
            assert_eq!(reply.header("x-aiproxy-model-fallback"), Some("small"), "{what}");
            let read = if stream {
                answer::stream(client, &reply.events())
            } else {
                answer::document(client, &reply.json())
            };
            assert_eq!((read.text.as_str(), read.finish), (native::TEXT, Finish::Calls), "{what}");
            assert_eq!((first.count(), second.count(), third.count()), (1, 1, 1), "{what}");
            assert_eq!(model(protocol, &third.only()), native::model(protocol), "{what}");
            if client != protocol {
                assert!(
                    !reply.text().contains(native::model(protocol)),
                    "{what}: the client's own name for it"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_callers_fault_is_not_carried_to_another_model() {
    for protocol in Protocol::ALL {
        let first = Upstream::always(failing(protocol, 400)).await;
        let second = Upstream::always(sound(protocol, false)).await;
        let (gateway, http, _served) = serve(
            Gateway::builder()
                .upstream(upstream("first", protocol, &first.url()).models(["large"]))
                .upstream(upstream("second", protocol, &second.url()).models(["small"]))
                .model_fallback("large", ["small"]),
        )
        .await;
        let reply = http.send(Talk::new("large", "Hi").request(protocol)).await;
        assert_eq!((reply.status, second.count()), (400, 0), "{protocol}");
        assert!(gateway.snapshot().upstreams.iter().all(|upstream| upstream.breaker.is_empty()));
    }
}

#[tokio::test]
async fn a_model_that_rests_or_that_nobody_serves_is_answered_by_the_next() {
    let protocol = Protocol::OpenAi;
    let first = Upstream::always(failing(protocol, 500)).await;
    let second = Upstream::always(sound(protocol, false)).await;
    let rests = BreakerPolicy { failures: 1, open_for: Duration::from_secs(90), ..BreakerPolicy::default() };
    let (_, http, _served) = serve(
        Gateway::builder()
            .upstream(upstream("first", protocol, &first.url()).models(["large"]).breaker(rests))
            .upstream(upstream("second", protocol, &second.url()).models(["small"]))
            .model_fallback("large", ["small"])
            .model_fallback("unserved", ["small"]),
    )
    .await;
    for name in ["large", "large", "unserved"] {
        let reply = http.send(Talk::new(name, "Hi").request(protocol)).await;
        assert_eq!(reply.header("x-aiproxy-model-fallback"), Some("small"), "{name}: {}", reply.text());
    }
    assert_eq!((first.count(), second.count()), (1, 3), "a model that rests is not asked for");
    assert_eq!(http.send(Talk::new("unknown", "Hi").request(protocol)).await.status, 404);
}

#[tokio::test]
async fn all_models_share_one_ceiling_of_attempts_with_all_upstreams_and_keys() {
    let protocol = Protocol::OpenAi;
    for (most, counts) in [(1, [1, 0, 0]), (3, [3, 0, 0]), (4, [3, 1, 0]), (5, [3, 1, 1]), (9, [3, 1, 1])] {
        let first = Upstream::always(failing(protocol, 429)).await;
        let second = Upstream::always(failing(protocol, 500)).await;
        let third = Upstream::always(failing(protocol, 500)).await;
        let (_, http, _served) = serve(
            Gateway::builder()
                // With the key that it has already: three.
                .upstream(upstream("first", protocol, &first.url()).models(["large"]).key("b").key("c"))
                .upstream(upstream("second", protocol, &second.url()).models(["large"]).priority(1))
                .upstream(upstream("third", protocol, &third.url()).models(["small"]))
                .model_fallback("large", ["small"])
                .failover(FailoverPolicy { max_attempts: most, ..FailoverPolicy::default() }),
        )
        .await;
        let reply = http.send(Talk::new("large", "Hi").request(protocol)).await;
        assert_eq!(reply.status, 429, "the most useful of the failures: {}", reply.text());
        assert_eq!([first.count(), second.count(), third.count()], counts, "{most} attempts");
    }
}

#[tokio::test]
async fn all_models_share_one_deadline() {
    let protocol = Protocol::OpenAi;
    let first = Upstream::always(Answer::default().stall()).await;
    let second = Upstream::always(sound(protocol, false)).await;
    let (_, http, _served) = serve(
        Gateway::builder()
            .upstream(upstream("first", protocol, &first.url()).models(["large"]))
            .upstream(upstream("second", protocol, &second.url()).models(["small"]))
            .model_fallback("large", ["small"])
            .failover(FailoverPolicy {
                deadline: Some(Duration::from_millis(100)),
                ..FailoverPolicy::default()
            }),
    )
    .await;
    let reply = http.send(Talk::new("large", "Hi").request(protocol)).await;
    assert_eq!((reply.status, second.count()), (504, 0));
    first.departed(1).await;
}

#[tokio::test]
async fn a_client_that_was_kept_alive_reads_who_answers_in_a_comment() {
    let protocol = Protocol::OpenAi;
    let go = std::sync::Arc::new(tokio::sync::Notify::new());
    let first = Upstream::always(Answer::after(&go, failing(protocol, 500))).await;
    let second = Upstream::always(sound(protocol, true)).await;
    let gateway = from_yaml(&format!(
        "keep_alive: {{ grace: 1ms }}
model_fallback: {{ large: small }}
upstreams:
  - {{ name: first, api_type: openai, base_url: '{}', available_models: [large] }}
  - {{ name: second, api_type: openai, base_url: '{}', available_models: [small] }}
",
        first.url(),
        second.url()
    ));
    let served = Served::start(gateway).await;
    let talk = Talk::new("large", "Hi").stream(true);
    let mut body = Client::new(served.addr).open(talk.request(protocol)).await.into_body();
    let mut text = String::new();
    read_until(&mut body, &mut text, ":").await;
    go.notify_one();
    read_rest(body, &mut text).await;
    assert!(text.contains("\n: x-aiproxy-model-fallback: small\n\n"), "{text}");
    assert!(text.ends_with("data: [DONE]\n\n"), "{text}");
}

#[tokio::test]
async fn a_fallback_is_counted_and_its_tokens_are_those_of_the_model_that_answered() {
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let protocol = Protocol::OpenAi;
    let provider = Upstream::start(move |_, request| match request.json()["model"].as_str() {
        Some("large") => failing(protocol, 500),
        _ => sound(protocol, false),
    })
    .await;
    let (_, http, _served) = serve(
        Gateway::builder()
            .upstream(upstream("only", protocol, &provider.url()))
            .model_fallback("large", ["small"]),
    )
    .await;
    http.send(Talk::new("large", "Hi").request(protocol)).await;
    soon("the end of the request", async {
        while !handle.render().contains("aiproxy_requests_total{") {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let series = series(&handle.render());
    assert_eq!(series[r#"aiproxy_model_fallbacks_total{from="large",to="small"}"#], 1.0);
    let is_small =
        |name: &&String| name.starts_with("aiproxy_tokens_total") && name.contains(r#"model="small""#);
    assert!(series.keys().any(|name| is_small(&name)), "{series:?}");
    assert!(!series.keys().any(|name| name.starts_with("aiproxy_failovers_total")), "{series:?}");
}
