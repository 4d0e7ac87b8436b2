//! A client is told whether coming back makes sense, and when; and all requests together do not hammer upstreams that
//! are down.

use std::time::Duration;

use aiproxy::Gateway;
use aiproxy::gateway::Builder;
use aiproxy::layer::BreakerPolicy;
use aiproxy::layer::failover::{FailoverPolicy, RetryBudget};

use crate::support::client::{Client, Reply, post};
use crate::support::gateway::{Served, from_yaml, upstream};
use crate::support::series::{recorder, series};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Refusing, Upstream};
use crate::support::{Protocol, native};

fn failing(protocol: Protocol, status: u16) -> Answer {
    Answer::whole(status, "application/json", native::error(protocol, status, "no").to_string())
}

async fn serve(builder: Builder) -> (Client, Served) {
    let served = Served::start(builder.build().unwrap()).await;
    (Client::new(served.addr), served)
}

/// What an answer says about coming back: never, or after so many seconds, or nothing.
fn hints(reply: &Reply) -> (Option<&str>, Option<u64>) {
    (reply.header("x-should-retry"), reply.header("retry-after").map(|wait| wait.parse().unwrap()))
}

const NEVER: (Option<&str>, Option<u64>) = (Some("false"), None);

fn after(seconds: u64) -> (Option<&'static str>, Option<u64>) {
    (None, Some(seconds))
}

#[tokio::test]
async fn a_hopeless_request_is_called_so_and_any_other_is_told_when_to_come_back() {
    for client in Protocol::ALL {
        for protocol in Protocol::ALL {
            let what = format!("{client} → {protocol}");
            let talk = Talk::new("m", "Hi");
            let ask = async |answer: Answer, build: fn(Builder) -> Builder| {
                let provider = Upstream::always(answer).await;
                let spec = upstream("only", protocol, &provider.url()).models(["m"]);
                let (http, _served) = serve(build(Gateway::builder().upstream(spec))).await;
                http.send(talk.request(client)).await
            };
            // What is wrong with the request, or with the gateway's own key, stays wrong.
            let reply = ask(failing(protocol, 400), |builder| builder).await;
            assert_eq!(hints(&reply), NEVER, "{what}: {}", reply.text());
            let reply = ask(failing(protocol, 401), |builder| builder).await;
            assert_eq!(hints(&reply), NEVER, "{what}: {}", reply.text());
            let reply = ask(Answer::none(), |builder| builder.api_key("secret")).await;
            assert_eq!((reply.status, hints(&reply)), (401, NEVER), "{what}");
            let reply = ask(Answer::none(), |builder| builder.max_body_size(1)).await;
            assert_eq!((reply.status, hints(&reply)), (413, NEVER), "{what}");

            // What the gateway itself has seen fail may work later.
            for answer in [Answer::none(), Answer::json("nonsense"), Answer::json("{}").shorten(1).cut()] {
                let reply = ask(answer, |builder| builder).await;
                assert!(reply.status >= 500, "{what}: {}", reply.text());
                assert_eq!(hints(&reply), after(5), "{what}: {}", reply.text());
            }
            let deadline = |builder: Builder| {
                let deadline = Some(Duration::from_millis(20));
                builder.failover(FailoverPolicy { deadline, ..FailoverPolicy::default() })
            };
            let reply = ask(Answer::default().stall(), deadline).await;
            assert_eq!((reply.status, hints(&reply)), (504, after(5)), "{what}: {}", reply.text());

            // An upstream's own words stay as they are: clients have their own patience with those.
            let reply = ask(failing(protocol, 500), |builder| builder).await;
            assert_eq!(hints(&reply), (None, None), "{what}: {}", reply.text());
        }

        let refusing = Refusing::new();
        let rests =
            BreakerPolicy { failures: 1, open_for: Duration::from_secs(90), ..BreakerPolicy::default() };
        let spec = upstream("only", Protocol::OpenAi, &refusing.url()).models(["m"]).breaker(rests);
        let (http, _served) = serve(Gateway::builder().upstream(spec)).await;
        let reply = http.send(Talk::new("m", "Hi").request(client)).await;
        assert_eq!((reply.status, hints(&reply)), (502, after(5)), "{client}: refused");
        let (_, wait) = hints(&http.send(Talk::new("m", "Hi").request(client)).await);
        assert!(wait.is_some_and(|wait| (80..=90).contains(&wait)), "{client}: resting: {wait:?}");
        let reply = http.send(Talk::new("unknown", "Hi").request(client)).await;
        assert_eq!((reply.status, hints(&reply)), (404, NEVER), "{client}");
        let reply = http.send(post(&Talk::new("m", "Hi").path(client), "{")).await;
        assert_eq!((reply.status, hints(&reply)), (400, NEVER), "{client}");
    }
}

#[tokio::test]
async fn when_everything_is_down_further_attempts_stay_within_their_budget() {
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let protocol = Protocol::OpenAi;
    let (first, second) =
        (Upstream::always(failing(protocol, 500)).await, Upstream::always(failing(protocol, 503)).await);
    let budget = Some(RetryBudget { percent: 20, per_second: 0 });
    let (http, _served) = serve(
        Gateway::builder()
            .upstream(upstream("first", protocol, &first.url()).breaker(None))
            .upstream(upstream("second", protocol, &second.url()).breaker(None).priority(1))
            .failover(FailoverPolicy { budget, ..FailoverPolicy::default() }),
    )
    .await;
    let mut cut_short = 0;
    for _ in 0..50 {
        let reply = http.send(Talk::new("m", "Hi").request(protocol)).await;
        if hints(&reply) == after(10) {
            assert_eq!(reply.status, 500, "the failure that there was: {}", reply.text());
            cut_short += 1;
        } else {
            assert_eq!(reply.status, 503);
        }
    }
    assert_eq!((first.count(), second.count(), cut_short), (50, 10, 40));
    assert_eq!(series(&handle.render())["aiproxy_retry_budget_exhausted_total"], 40.0);
}

#[tokio::test]
async fn a_dead_upstream_costs_nobody_his_answer() {
    let protocol = Protocol::OpenAi;
    let dead = Refusing::new();
    let alive = Upstream::always(Answer::json(native::document(protocol))).await;
    // Also before the breaker has opened, and if there is none.
    for breaker in [Some(BreakerPolicy::default()), None] {
        let (http, _served) = serve(
            Gateway::builder()
                .upstream(upstream("dead", protocol, &dead.url()).breaker(breaker))
                .upstream(upstream("alive", protocol, &alive.url())),
        )
        .await;
        for _ in 0..100 {
            assert_eq!(http.send(Talk::new("m", "Hi").request(protocol)).await.status, 200);
        }
    }
}

#[tokio::test]
async fn the_same_upstream_is_asked_again_if_that_is_configured() {
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let protocol = Protocol::OpenAi;
    let provider = Upstream::start(move |number, _| match number {
        0 => Answer::none(),
        1 => failing(protocol, 503),
        _ => Answer::json(native::document(protocol)),
    })
    .await;
    let served = Served::start(from_yaml(&format!(
        "failover: {{ attempts_per_upstream: 3, backoff: {{ base: 1ms, max: 2ms }} }}
upstreams: [{{ name: only, api_type: openai, base_url: '{}' }}]",
        provider.url()
    )))
    .await;
    let http = Client::new(served.addr);
    assert_eq!(http.send(Talk::new("m", "Hi").request(protocol)).await.status, 200);
    assert_eq!(provider.count(), 3);
    let series = series(&handle.render());
    assert_eq!(series[r#"aiproxy_retries_total{upstream="only"}"#], 2.0);
    assert!(!series.keys().any(|name| name.starts_with("aiproxy_failovers_total")), "{series:?}");
}
