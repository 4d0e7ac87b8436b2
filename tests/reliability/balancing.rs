//! Shares of the requests: exact by weight, each model by itself, lower priorities only in need.

use crate::support::client::Client;
use crate::support::gateway::{Served, gateway, upstream};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Received, Upstream};
use crate::support::{Protocol, native};

const OPENAI: Protocol = Protocol::OpenAi;

/// Upstreams with weights and priorities behind a gateway; each answers with its own name as the model.
struct Pool {
    providers: Vec<Upstream>,
    client: Client,
    _served: Served,
}

impl Pool {
    async fn start(members: &[(&'static str, u32, i32)]) -> Pool {
        Pool::scripted(members, |_, _| false).await
    }

    /// `fails` says whether a member fails for a model.
    async fn scripted(members: &[(&'static str, u32, i32)], fails: fn(&str, &str) -> bool) -> Pool {
        let mut providers = Vec::new();
        let mut specs = Vec::new();
        for (name, weight, priority) in members.iter().copied() {
            let provider = Upstream::start(move |_, request: &Received| {
                if fails(name, request.json()["model"].as_str().unwrap()) {
                    return Answer::whole(
                        500,
                        "application/json",
                        native::error(OPENAI, 500, "no").to_string(),
                    );
                }
                let mut document = native::document(OPENAI);
                document["model"] = name.into();
                Answer::json(document)
            })
            .await;
            specs.push(
                upstream(name, OPENAI, &provider.url()).weight(weight).priority(priority).breaker(None),
            );
            providers.push(provider);
        }
        let served = Served::start(gateway(specs)).await;
        Pool { providers, client: Client::new(served.addr), _served: served }
    }

    /// Who serves so many requests for `model`, in order.
    async fn ask(&self, model: &str, times: usize) -> Vec<String> {
        let mut names = Vec::new();
        for _ in 0..times {
            let reply = self.client.send(Talk::new(model, "Hi").request(OPENAI)).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            names.push(reply.json()["model"].as_str().unwrap().to_owned());
        }
        names
    }

    fn counts(&self) -> Vec<usize> {
        self.providers.iter().map(Upstream::count).collect()
    }
}

#[tokio::test]
async fn shares_are_exact_over_every_window_and_spread_within_it() {
    let pool = Pool::start(&[("a", 5, 0), ("b", 1, 0), ("c", 1, 0)]).await;
    let order = pool.ask("m", 21).await;
    assert_eq!(pool.counts(), [15, 3, 3]);
    for window in order.windows(7) {
        let of = |name: &str| window.iter().filter(|one| *one == name).count();
        assert_eq!((of("a"), of("b"), of("c")), (5, 1, 1), "{order:?}");
        assert!(!window.windows(5).any(|run| run.iter().all(|one| one == "a")), "in bursts: {order:?}");
    }
}

#[tokio::test]
async fn equal_weights_take_turns() {
    let pool = Pool::start(&[("a", 1, 0), ("b", 1, 0), ("c", 1, 0)]).await;
    assert_eq!(pool.ask("m", 6).await, ["a", "b", "c", "a", "b", "c"]);
}

#[tokio::test]
async fn one_models_traffic_does_not_move_anothers_turns() {
    // `x` is served by two of three, so that its turns are its own.
    let serves = |name, models: [&'static str; 2]| (name, models);
    let members = [serves("a", ["x", "y"]), serves("b", ["x", "y"]), serves("c", ["y", "y"])];
    let mut specs = Vec::new();
    let mut providers = Vec::new();
    for (name, models) in members {
        let mut document = native::document(OPENAI);
        document["model"] = name.into();
        let provider = Upstream::always(Answer::json(document)).await;
        specs.push(upstream(name, OPENAI, &provider.url()).models(models));
        providers.push(provider);
    }
    let served = Served::start(gateway(specs)).await;
    let client = Client::new(served.addr);
    let ask = async |model: &str| {
        let reply = client.send(Talk::new(model, "Hi").request(OPENAI)).await;
        reply.json()["model"].as_str().unwrap().to_owned()
    };
    let mut by_x = Vec::new();
    let mut by_y = Vec::new();
    for _ in 0..6 {
        by_x.push(ask("x").await);
        by_y.push(ask("y").await);
        by_y.push(ask("y").await);
    }
    assert_eq!(by_x, ["a", "b", "a", "b", "a", "b"]);
    assert_eq!(by_y, ["a", "b", "c", "a", "b", "c", "a", "b", "c", "a", "b", "c"]);
}

#[tokio::test]
async fn lower_priorities_serve_only_in_need() {
    let pool = Pool::scripted(&[("spare", 9, 1), ("main", 1, 0), ("last", 9, 2)], |name, model| {
        name == "main" && model == "hard" || name != "last" && model == "harder"
    })
    .await;
    assert_eq!(pool.ask("easy", 3).await, ["main", "main", "main"]);
    assert_eq!(pool.counts(), [0, 3, 0]);
    assert_eq!(pool.ask("hard", 1).await, ["spare"]);
    assert_eq!(pool.counts(), [1, 4, 0]);
    assert_eq!(pool.ask("harder", 1).await, ["last"]);
    assert_eq!(pool.counts(), [2, 5, 1]);
}

#[tokio::test]
async fn only_those_who_serve_a_model_are_asked() {
    let mut specs = Vec::new();
    let mut providers = Vec::new();
    for (name, patterns) in [("claude", "claude-*"), ("gpt", "gpt-*"), ("all", "*")] {
        let provider = Upstream::always(Answer::json(native::document(OPENAI))).await;
        specs.push(upstream(name, OPENAI, &provider.url()).models([patterns]));
        providers.push(provider);
    }
    let served = Served::start(gateway(specs)).await;
    let client = Client::new(served.addr);
    for _ in 0..4 {
        client.send(Talk::new("gpt-5", "Hi").request(OPENAI)).await;
    }
    assert_eq!(providers.iter().map(Upstream::count).collect::<Vec<_>>(), [0, 2, 2]);
}
