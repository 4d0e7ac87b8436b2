//! What rests, why, and until when: the narrowest thing that a failure proves broken, for everybody to see, and ended by
//! hand where no client gets.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use aiproxy::Gateway;
use aiproxy::gateway::UpstreamSpec;
use aiproxy::server::{Drain, Pages, admin_router, serve};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::support::client::{Client, Reply, get, post, request, with};
use crate::support::gateway::{Served, api, from_yaml, gateway, upstream};
use crate::support::series::{recorder, series};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Received, Refusing, Upstream};
use crate::support::{Protocol, native, soon};

/// An upstream that answers each key with its own status and headers; keys that are not named are fine.
async fn provider(answers: &[(&str, u16, &[(&str, &str)])]) -> Upstream {
    let answers: HashMap<String, Answer> = answers
        .iter()
        .map(|(key, status, headers)| {
            let mut all = vec![("content-type", "application/json")];
            all.extend_from_slice(headers);
            let error = native::error(Protocol::OpenAi, *status, "no").to_string();
            (format!("Bearer {key}"), Answer::with_headers(*status, &all, error))
        })
        .collect();
    Upstream::start(move |_, request| {
        let answer = answers.get(request.header("authorization").unwrap_or_default());
        answer.cloned().unwrap_or_else(|| Answer::json(native::document(Protocol::OpenAi)))
    })
    .await
}

fn keyed(name: &str, url: &str, keys: &[&str]) -> UpstreamSpec {
    let spec = UpstreamSpec::new(name, api(Protocol::OpenAi), url.parse().unwrap());
    keys.iter().fold(spec, |spec, key| spec.key(*key))
}

fn keys(requests: &[Received]) -> Vec<String> {
    requests.iter().map(|one| one.header("authorization").unwrap().replace("Bearer ", "")).collect()
}

async fn ask(client: &Client, model: &str) -> Reply {
    client.send(Talk::new(model, "Hi").request(Protocol::OpenAi)).await
}

fn retry_after(reply: &Reply) -> u64 {
    reply.header("retry-after").expect("retry-after").parse().unwrap()
}

/// What `/health?verbose` tells of the only upstream.
async fn told(client: &Client) -> Value {
    let health = client.send(get("/health?verbose")).await.json();
    let [only] = &health["details"].as_array().unwrap()[..] else { panic!("{health}") };
    only.clone()
}

#[tokio::test]
async fn of_two_keys_one_is_dead_and_the_other_serves() {
    let provider = provider(&[("sk-dead", 401, &[])]).await;
    let served = Served::start(gateway([keyed("only", &provider.url(), &["sk-dead", "sk-alive"])])).await;
    let client = Client::new(served.addr);
    for _ in 0..3 {
        assert_eq!(ask(&client, "m").await.status, 200);
    }
    assert_eq!(keys(&provider.requests()), ["sk-dead", "sk-alive", "sk-alive", "sk-alive"]);
    let told = told(&client).await;
    assert_eq!(told["state"], "degraded", "it still serves");
    let [circuit] = &told["circuits"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!(
        (&circuit["key"], &circuit["model"], &circuit["state"], &circuit["reason"]),
        (&json!(1), &Value::Null, &json!("open"), &json!("upstream_auth"))
    );
}

#[tokio::test]
async fn when_every_key_rests_the_upstream_does_and_the_soonest_return_is_told() {
    let first =
        provider(&[("sk-1", 429, &[("retry-after", "300")]), ("sk-2", 429, &[("retry-after", "40")])]).await;
    let second = provider(&[("sk-3", 429, &[("retry-after", "90")])]).await;
    let specs = [keyed("first", &first.url(), &["sk-1", "sk-2"]), keyed("second", &second.url(), &["sk-3"])];
    let served = Served::start(gateway(specs)).await;
    let client = Client::new(served.addr);
    let reply = ask(&client, "m").await;
    assert_eq!(reply.status, 429);
    assert!((38..=40).contains(&retry_after(&reply)), "{}", retry_after(&reply));
    for protocol in Protocol::ALL {
        let reply = client.send(Talk::new("m", "Hi").request(protocol)).await;
        assert_eq!(reply.status, if protocol == Protocol::Anthropic { 529 } else { 503 });
        assert!((38..=40).contains(&retry_after(&reply)), "{}", retry_after(&reply));
    }
    assert_eq!((first.count(), second.count()), (2, 1), "nobody is asked while all rest");
    assert_eq!(ask(&client, "another").await.status, 429, "each model has a limit of its own");
}

#[tokio::test]
async fn an_absurd_retry_hint_does_not_bench_a_key_for_days() {
    for (policy, most) in [("", 1800), ("circuit_breaker: { max_rest: 45s }", 45)] {
        let provider = provider(&[("sk-1", 429, &[("retry-after", "99999999")])]).await;
        let text = format!(
            "upstreams:\n  - {{ name: a, api_type: openai, base_url: {}, token: sk-1 }}\n{policy}",
            provider.url()
        );
        let served = Served::start(from_yaml(&text)).await;
        let client = Client::new(served.addr);
        let reply = ask(&client, "m").await;
        assert_eq!(
            (reply.status, retry_after(&reply)),
            (429, 7 * 24 * 3600),
            "the client is told, within reason"
        );
        let rest = told(&client).await["circuits"][0]["remaining_seconds"].as_u64().unwrap();
        assert!((most - 2..=most).contains(&rest), "{rest}");
        assert!((most - 2..=most).contains(&retry_after(&ask(&client, "m").await)));
    }
}

#[tokio::test]
async fn the_window_of_an_account_rests_every_model_and_a_limit_only_one() {
    let window = [
        ("x-codex-primary-used-percent", "100"),
        ("x-codex-primary-reset-after-seconds", "600"),
        ("x-codex-secondary-used-percent", "3"),
        ("x-codex-secondary-reset-after-seconds", "500000"),
    ];
    let limit = [("x-ratelimit-remaining-tokens", "0"), ("x-ratelimit-reset-tokens", "10m0s")];
    for (headers, others) in [(&window[..], 503), (&limit, 429)] {
        let provider = provider(&[("sk-1", 429, headers)]).await;
        let served = Served::start(gateway([keyed("only", &provider.url(), &["sk-1"])])).await;
        let client = Client::new(served.addr);
        let reply = ask(&client, "m").await;
        assert_eq!((reply.status, retry_after(&reply)), (429, 600));
        assert_eq!(ask(&client, "m").await.status, 503);
        assert_eq!(ask(&client, "other").await.status, others);
    }
}

#[tokio::test]
async fn who_cannot_be_reached_rests_for_every_model() {
    let refusing = Refusing::new();
    let served = Served::start(gateway([upstream("only", Protocol::OpenAi, &refusing.url())])).await;
    let client = Client::new(served.addr);
    for model in ["a", "b", "c"] {
        assert_eq!(ask(&client, model).await.status, 502);
    }
    assert_eq!(ask(&client, "d").await.status, 503);
    let told = told(&client).await;
    assert_eq!(told["state"], "resting");
    let [circuit] = &told["circuits"].as_array().unwrap()[..] else { panic!("{told}") };
    assert_eq!((&circuit["key"], &circuit["model"]), (&Value::Null, &Value::Null));
    assert_eq!(circuit["reason"], "upstream_connect");
    assert!(circuit["since"].as_str().unwrap() < circuit["until"].as_str().unwrap(), "{circuit}");
}

#[tokio::test]
async fn aliases_of_one_model_share_its_health() {
    let provider = provider(&[("sk-1", 500, &[])]).await;
    let spec = keyed("only", &provider.url(), &["sk-1"]).map_model("one", "real").map_model("two", "real");
    let served = Served::start(gateway([spec])).await;
    let client = Client::new(served.addr);
    for alias in ["one", "two", "one"] {
        assert_eq!(ask(&client, alias).await.status, 500);
    }
    assert_eq!(ask(&client, "two").await.status, 503);
    assert_eq!(told(&client).await["circuits"][0]["model"], "real");
}

#[tokio::test]
async fn public_pages_tell_no_secret_and_no_name_that_a_client_invented() {
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let provider = provider(&[("sk-secret", 500, &[])]).await;
    let spec = keyed("only", &provider.url(), &["sk-secret"]).models(["known", "inv*"]);
    let pages = Pages { metrics: Some(("/metrics".to_owned(), handle)), ..Pages::default() };
    let served = Served::with_pages(gateway([spec]), pages).await;
    let client = Client::new(served.addr);
    for model in ["known", "invented-1", "invented-2"] {
        for _ in 0..3 {
            ask(&client, model).await;
        }
    }
    let plain = client.send(get("/health")).await;
    assert!(plain.json().get("details").is_none(), "{}", plain.text());
    let verbose = client.send(get("/health?verbose")).await;
    let circuits = &verbose.json()["details"][0]["circuits"];
    let models: Vec<&str> =
        circuits.as_array().unwrap().iter().map(|c| c["model"].as_str().unwrap()).collect();
    assert_eq!(models, ["known", "other"]);
    let page = client.send(get("/metrics")).await;
    let series = series(page.text());
    for model in ["known", "other"] {
        let state = format!(r#"aiproxy_breaker_state{{account="all",model="{model}",upstream="only"}}"#);
        assert_eq!(series.get(&state), Some(&2.0), "{}", page.text());
    }
    let rest = r#"aiproxy_cooldown_remaining_seconds{account="all",reason="upstream_5xx",upstream="only"}"#;
    assert!((1790.0..=1800.0).contains(&series[rest]), "{}", page.text());
    for page in [plain, verbose, page] {
        assert!(!page.text().contains("invented") && !page.text().contains("secret"), "{}", page.text());
    }
}

/// A listener for operators.
struct Operators {
    client: Client,
    stop: mpsc::Sender<()>,
    task: tokio::task::JoinHandle<()>,
}

impl Operators {
    async fn of(gateway: Gateway) -> Operators {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr: SocketAddr = listener.local_addr().unwrap();
        let (stop, stopped) = mpsc::channel(2);
        let drain = Drain::new(Duration::from_secs(60));
        let task = tokio::spawn(serve(listener, admin_router(gateway, "operators-key"), stopped, drain));
        Operators { client: Client::new(addr), stop, task }
    }

    async fn send(&self, request: http::Request<http_body_util::Full<bytes::Bytes>>) -> Reply {
        self.client.send(with(request, "authorization", "Bearer operators-key")).await
    }
}

#[tokio::test]
async fn an_operator_ends_rests_by_hand() {
    let provider = provider(&[("sk-1", 401, &[]), ("sk-2", 429, &[("retry-after", "600")])]).await;
    let gateway = gateway([
        keyed("Main", &provider.url(), &["sk-1", "sk-2"]),
        keyed("spare", "http://127.0.0.1:9", &["x"]).models(["none"]),
    ]);
    let served = Served::start(gateway.clone()).await;
    let client = Client::new(served.addr);
    let operators = Operators::of(gateway).await;
    for model in ["m", "invented"] {
        assert_eq!(ask(&client, model).await.status, 429);
        assert_eq!(ask(&client, model).await.status, 503);
    }
    let list = operators.send(get("/admin/upstreams")).await;
    let main = &list.json()["upstreams"][0];
    assert_eq!(
        (&main["name"], &main["keys"], &main["state"]),
        (&json!("Main"), &json!(2), &json!("degraded"))
    );
    let seen: Vec<(u64, &str)> = main["circuits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|circuit| (circuit["key"].as_u64().unwrap(), circuit["model"].as_str().unwrap_or("*")))
        .collect();
    assert_eq!(seen, [(1, "*"), (2, "invented"), (2, "m")]);
    assert!(!list.text().contains("sk-"), "{}", list.text());

    let asked = provider.count();
    let reset = operators.send(post("/admin/upstreams/main/reset?model=m", "")).await;
    assert_eq!((reset.status, reset.json()["circuits"].as_array().unwrap().len()), (200, 2));
    assert_eq!(ask(&client, "invented").await.status, 503, "the other model rests on");
    assert_eq!(ask(&client, "m").await.status, 429);
    assert_eq!(provider.count(), asked + 1, "the dead key rests on");

    let reset = operators.send(post("/admin/upstreams/Main/reset", "")).await;
    assert_eq!(reset.json()["state"], "ok", "{}", reset.text());
    let asked = provider.count();
    assert_eq!(ask(&client, "m").await.status, 429);
    assert_eq!(provider.count(), asked + 2);
    assert_eq!(operators.send(post("/admin/upstreams/nobody/reset", "")).await.status, 404);

    operators.stop.send(()).await.unwrap();
    soon("the end of the listener for operators", operators.task).await.unwrap();
}

#[tokio::test]
async fn operators_show_their_own_key_and_clients_have_no_such_pages() {
    let gateway = Gateway::builder().api_key("clients-key").build().unwrap();
    let operators = Operators::of(gateway.clone()).await;
    let pages = Pages { keys: vec!["clients-key".to_owned()], ..Pages::default() };
    let served = Served::with_pages(gateway, pages).await;
    let clients = Client::new(served.addr);
    let paths = ["/admin/upstreams", "/admin/upstreams/main/reset", "/admin"];
    for path in paths {
        for method in [http::Method::GET, http::Method::POST] {
            for key in ["", "wrong", "clients-key", "operators-key"] {
                let request = with(request(method.clone(), path, ""), "x-api-key", key);
                if key != "operators-key" {
                    let reply = operators.client.send(request.clone()).await;
                    assert_eq!(reply.status, 401, "{method} {path} {key}");
                }
                let status = clients.send(request).await.status;
                assert!([401, 404, 405].contains(&status), "{method} {path} {key}: {status}");
            }
        }
    }
    let unknown = with(get("/admin"), "x-api-key", "operators-key");
    assert_eq!(operators.client.send(unknown).await.status, 404);
    let keyed = with(get("/admin/upstreams"), "x-api-key", "operators-key");
    assert_eq!(operators.client.send(keyed).await.status, 200);
}

#[tokio::test]
async fn many_at_once_against_a_dead_upstream_are_all_served_by_the_other() {
    let dead = provider(&[("sk-1", 500, &[])]).await;
    let sound = provider(&[]).await;
    let specs = [keyed("dead", &dead.url(), &["sk-1"]), keyed("sound", &sound.url(), &["sk-2"])];
    let served = Served::start(gateway(specs)).await;
    let client = Client::new(served.addr);
    let asks: Vec<_> = (0..50)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { ask(&client, "m").await.status })
        })
        .collect();
    for ask in asks {
        assert_eq!(ask.await.unwrap(), 200);
    }
    let asked = dead.count();
    for _ in 0..12 {
        assert_eq!(ask(&client, "m").await.status, 200);
    }
    assert_eq!(dead.count(), asked, "it rests");
}
