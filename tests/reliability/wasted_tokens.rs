//! What was paid for and not used is counted: attempts that failed, and answers that nobody waited for.

use std::collections::BTreeMap;

use metrics_exporter_prometheus::PrometheusHandle;

use crate::support::client::{Client, read_until};
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::series::{recorder, series};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Refusing, Upstream};
use crate::support::{Protocol, native, pairs, soon};
use aiproxy::gateway::UpstreamSpec;

/// A text of about a hundred tokens.
fn question() -> String {
    "How much wood would a woodchuck chuck? ".repeat(10)
}

/// The tokens that `first` has wasted, by kind, reason and source.
fn wasted(handle: &PrometheusHandle) -> BTreeMap<String, f64> {
    let all = series(&handle.render()).into_iter();
    let wasted = all.filter_map(|(name, value)| {
        let labels = name.strip_prefix("aiproxy_wasted_tokens_total{")?.trim_end_matches('}');
        let value_of = |wanted: &str| {
            let labels = labels.split(',').filter_map(|label| label.split_once('='));
            labels
                .filter(|(name, _)| *name == wanted)
                .map(|(_, value)| value.trim_matches('"'))
                .next()
                .unwrap()
        };
        assert_eq!(value_of("upstream"), "first", "{name}");
        Some((format!("{} {} {}", value_of("kind"), value_of("reason"), value_of("source")), value))
    });
    wasted.collect()
}

fn sound(protocol: Protocol, stream: bool) -> Answer {
    if stream { Answer::events(native::stream(protocol)) } else { Answer::json(native::document(protocol)) }
}

/// What is wasted when the first of two upstreams answers so.
async fn after(
    answer: Answer,
    protocol: Protocol,
    stream: bool,
    spec: fn(UpstreamSpec) -> UpstreamSpec,
) -> BTreeMap<String, f64> {
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let first = Upstream::always(answer).await;
    let second = Upstream::always(sound(protocol, stream)).await;
    let served = Served::start(gateway([
        spec(upstream("first", protocol, &first.url())),
        upstream("second", protocol, &second.url()).priority(1),
    ]))
    .await;
    let talk = Talk::new(native::model(protocol), &question()).stream(stream);
    let reply = Client::new(served.addr).send(talk.request(protocol)).await;
    assert_eq!((reply.status, second.count()), (200, 1), "{protocol}: {}", reply.text());
    wasted(&handle)
}

#[tokio::test]
async fn an_attempt_that_failed_after_the_upstream_had_begun_is_counted() {
    let answer = Answer::stream().frames(native::opening(Protocol::Anthropic)).cut();
    let told = after(answer, Protocol::Anthropic, true, |spec| spec).await;
    assert_eq!(told["input failed reported"], 12.0, "{told:?}");

    // As a document it is folded: half of it has been said already.
    for protocol in Protocol::ALL {
        let (_, second_text) = native::text_at(protocol);
        let half = native::stream(protocol).into_iter().take(second_text + 1);
        let answer = Answer::stream().frames(half).cut();
        let told = after(answer, protocol, false, |spec| spec.must_stream(true)).await;
        let output = told["output failed estimated"];
        assert!((4.0..=12.0).contains(&output), "{protocol}: {told:?}");
        let input = told.get("input failed reported").or(told.get("input failed estimated"));
        assert!(input.is_some(), "{protocol}: {told:?}");
    }

    let slow = |spec: UpstreamSpec| spec.head_timeout(std::time::Duration::from_millis(50));
    let told = after(Answer::default().stall(), Protocol::OpenAi, false, slow).await;
    assert!((80.0..=180.0).contains(&told["input failed estimated"]), "{told:?}");
}

#[tokio::test]
async fn an_attempt_that_nobody_has_worked_on_is_not_counted() {
    let protocol = Protocol::OpenAi;
    for status in [400, 401, 429, 500] {
        let error = native::error(protocol, status, "no").to_string();
        let told =
            after(Answer::whole(status, "application/json", error), protocol, false, |spec| spec).await;
        assert!(told.is_empty(), "{status}: {told:?}");
    }
    assert!(after(Answer::none(), protocol, true, |spec| spec).await.is_empty());
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let refusing = Refusing::new();
    let served = Served::start(gateway([upstream("first", protocol, &refusing.url())])).await;
    Client::new(served.addr).send(Talk::new("m", "Hi").request(protocol)).await;
    assert!(wasted(&handle).is_empty());
}

#[tokio::test]
async fn what_a_client_does_not_wait_for_is_counted() {
    for (client, protocol) in pairs() {
        for (stream, has_begun) in [(false, false), (true, false), (true, true)] {
            let what = format!("{client} → {protocol}, stream: {stream}, begun: {has_begun}");
            let (recorder, handle) = recorder();
            let _guard = metrics::set_default_local_recorder(&recorder);
            let (_, second_text) = native::text_at(protocol);
            let begun = native::stream(protocol).into_iter().take(second_text + 1);
            let answer = if has_begun { Answer::stream().frames(begun) } else { Answer::default() };
            let provider = Upstream::always(answer.stall()).await;
            let served = Served::start(gateway([upstream("first", protocol, &provider.url())])).await;
            let http = Client::new(served.addr);
            let request = Talk::new(native::model(protocol), &question()).stream(stream).request(client);
            if has_begun {
                let mut body = http.open(request).await.into_body();
                read_until(&mut body, &mut String::new(), "rld").await;
            } else {
                let waiting = tokio::spawn(async move { drop(http.open(request).await) });
                provider.arrived(1).await;
                waiting.abort();
            }
            provider.departed(1).await;
            soon("what was wasted", async {
                while wasted(&handle).is_empty() {
                    tokio::task::yield_now().await;
                }
            })
            .await;
            let told = wasted(&handle);
            let input = told.get("input abandoned reported").or(told.get("input abandoned estimated"));
            assert!(input.is_some_and(|input| *input >= 12.0), "{what}: {told:?}");
            let output = told.get("output abandoned estimated").copied().unwrap_or_default();
            assert_eq!(output > 0.0, has_begun, "{what}: {told:?}");
        }
    }
}

#[tokio::test]
async fn a_whole_answer_is_no_waste_and_a_broken_one_is() {
    for protocol in Protocol::ALL {
        for is_whole in [true, false] {
            let (recorder, handle) = recorder();
            let _guard = metrics::set_default_local_recorder(&recorder);
            let (_, second_text) = native::text_at(protocol);
            let begun = native::stream(protocol).into_iter().take(second_text + 1);
            let answer = if is_whole { sound(protocol, true) } else { Answer::stream().frames(begun).cut() };
            let provider = Upstream::always(answer).await;
            let served = Served::start(gateway([upstream("first", protocol, &provider.url())])).await;
            let talk = Talk::new(native::model(protocol), &question()).stream(true);
            Client::new(served.addr).send(talk.request(protocol)).await;
            let told = wasted(&handle);
            assert_eq!(told.is_empty(), is_whole, "{protocol}: {told:?}");
            assert!(is_whole || told["output failed estimated"] > 0.0, "{protocol}: {told:?}");
        }
    }
}
