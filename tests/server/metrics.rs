//! What operators see: the expected series with labels from closed sets, and no secret anywhere.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::io::{self, Write};
use std::sync::Once;

use aiproxy::Gateway;
use aiproxy::server::Pages;
use metrics_exporter_prometheus::PrometheusHandle;

use crate::support::client::{Client, get, post, read_until, with};
use crate::support::gateway::{Served, upstream};
use crate::support::series::{recorder, series};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Received, Upstream};
use crate::support::{Protocol, native};

/// Does what the model's name says.
fn script(protocol: Protocol, request: &Received) -> Answer {
    let (_, second_text) = native::text_at(protocol);
    let begun = || Answer::stream().frames(native::stream(protocol).into_iter().take(second_text));
    let text = request.everything();
    if text.contains("broken-stream") {
        begun().cut()
    } else if text.contains("stalled-stream") {
        begun().stall()
    } else if text.contains("refused") {
        let error = native::error(protocol, 401, "Incorrect API key provided: upstream-key").to_string();
        Answer::whole(401, "application/json", error)
    } else if text.contains("failing") {
        Answer::whole(
            500,
            "application/json",
            native::error(protocol, 500, "the model-said-this").to_string(),
        )
    } else if request.target.contains("stream") || request.json()["stream"] == true {
        Answer::events(native::stream(protocol))
    } else {
        Answer::json(native::document(protocol))
    }
}

const MODELS: [&str; 5] = ["known", "failing", "refused", "broken-stream", "stalled-stream"];

/// `main` (Chat) serves the known models, `spare` (Anthropic) any; clients need a key.
async fn setting(handle: &PrometheusHandle) -> (Upstream, Upstream, Served, Client) {
    let main = Upstream::start(|_, request| script(Protocol::OpenAi, request)).await;
    let spare = Upstream::always(Answer::json(native::document(Protocol::Anthropic))).await;
    let gateway = Gateway::builder()
        .api_key("client-secret")
        .upstream(upstream("main", Protocol::OpenAi, &main.url()).models(MODELS))
        .upstream(upstream("spare", Protocol::Anthropic, &spare.url()).priority(1))
        .build()
        .unwrap();
    let pages = Pages { metrics: Some(("/metrics".to_owned(), handle.clone())), ..Pages::default() };
    let served = Served::with_pages(gateway, pages).await;
    let client = Client::new(served.addr);
    (main, spare, served, client)
}

fn keyed(talk: &Talk, protocol: Protocol) -> http::Request<http_body_util::Full<bytes::Bytes>> {
    with(talk.request(protocol), "x-api-key", "client-secret")
}

/// Some of everything that can happen.
async fn some_of_everything(main: &Upstream, client: &Client) {
    for _ in 0..2 {
        client.send(keyed(&Talk::new("known", "my prompt"), Protocol::Anthropic)).await;
    }
    client.send(keyed(&Talk::new("known", "my prompt").stream(true), Protocol::OpenAi)).await;
    client.send(keyed(&Talk::new("failing", "my prompt"), Protocol::Anthropic)).await;
    client.send(keyed(&Talk::new("refused", "my prompt"), Protocol::Responses)).await;
    client.send(keyed(&Talk::new("whatever-a-client-likes", "my prompt"), Protocol::Gemini)).await;
    client.send(Talk::new("known", "my prompt").request(Protocol::Gemini)).await;
    client.send(with(post("/v1/messages", "{my prompt"), "x-api-key", "client-secret")).await;
    client.send(keyed(&Talk::new("broken-stream", "my prompt").stream(true), Protocol::Anthropic)).await;
    let stalled = Talk::new("stalled-stream", "my prompt").stream(true);
    let mut body = client.open(keyed(&stalled, Protocol::OpenAi)).await.into_body();
    read_until(&mut body, &mut String::new(), "Hello,").await;
    drop(body);
    main.departed(1).await;
}

#[tokio::test]
async fn a_known_sequence_gives_the_expected_series() {
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (main, _spare, _served, client) = setting(&handle).await;
    some_of_everything(&main, &client).await;
    let page = client.send(get("/metrics")).await;
    assert!(page.header("content-type").unwrap().starts_with("text/plain"));
    let series = series(page.text());
    for (name, want) in [
        (r#"aiproxy_requests_total{client="anthropic",model="known",outcome="ok",stream="false"}"#, 2.0),
        (r#"aiproxy_requests_total{client="openai",model="known",outcome="ok",stream="true"}"#, 1.0),
        (r#"aiproxy_requests_total{client="anthropic",model="failing",outcome="ok",stream="false"}"#, 1.0),
        (r#"aiproxy_requests_total{client="responses",model="refused",outcome="ok",stream="false"}"#, 1.0),
        (r#"aiproxy_requests_total{client="gemini",model="other",outcome="ok",stream="false"}"#, 1.0),
        (
            r#"aiproxy_requests_total{client="gemini",model="other",outcome="client_error",stream="false"}"#,
            1.0,
        ),
        (
            r#"aiproxy_requests_total{client="anthropic",model="other",outcome="client_error",stream="false"}"#,
            1.0,
        ),
        (
            r#"aiproxy_requests_total{client="anthropic",model="broken-stream",outcome="upstream_error",stream="true"}"#,
            1.0,
        ),
        (
            r#"aiproxy_requests_total{client="openai",model="stalled-stream",outcome="cancelled",stream="true"}"#,
            1.0,
        ),
        (r#"aiproxy_upstream_attempts_total{result="ok",upstream="main"}"#, 5.0),
        (r#"aiproxy_upstream_attempts_total{result="ok",upstream="spare"}"#, 3.0),
        (r#"aiproxy_upstream_attempts_total{result="upstream_5xx",upstream="main"}"#, 1.0),
        (r#"aiproxy_upstream_attempts_total{result="upstream_auth",upstream="main"}"#, 1.0),
        (r#"aiproxy_failovers_total{error_type="upstream_5xx",from="main",to="spare"}"#, 1.0),
        (r#"aiproxy_failovers_total{error_type="upstream_auth",from="main",to="spare"}"#, 1.0),
        (r#"aiproxy_tokens_total{kind="input",model="known",source="reported",upstream="main"}"#, 36.0),
        (r#"aiproxy_tokens_total{kind="output",model="known",source="reported",upstream="main"}"#, 27.0),
        (r#"aiproxy_tokens_total{kind="output",model="other",source="reported",upstream="spare"}"#, 9.0),
        (r#"aiproxy_stream_aborts_total{side="upstream"}"#, 1.0),
        (r#"aiproxy_stream_aborts_total{side="client"}"#, 1.0),
        (r#"aiproxy_inflight_requests{client="anthropic"}"#, 0.0),
        (r#"aiproxy_inflight_requests{client="openai"}"#, 0.0),
        (r#"aiproxy_request_duration_seconds_count{client="anthropic",model="known",stream="false"}"#, 2.0),
        (r#"aiproxy_time_to_first_event_seconds_count{client="openai",model="known",stream="true"}"#, 1.0),
        (r#"aiproxy_upstream_ttft_seconds_count{upstream="spare"}"#, 3.0),
    ] {
        assert_eq!(series.get(name), Some(&want), "{name}\n{}", page.text());
    }
}

#[tokio::test]
async fn every_label_comes_from_a_closed_set() {
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    let (main, _spare, _served, client) = setting(&handle).await;
    some_of_everything(&main, &client).await;
    // Three failures open the circuit, so that its series are there, too.
    for _ in 0..2 {
        client.send(keyed(&Talk::new("failing", "my prompt"), Protocol::Anthropic)).await;
    }
    let page = client.send(get("/metrics")).await;
    let known = |label: &str, value: &str| match label {
        "client" | "from" if Protocol::ALL.iter().any(|protocol| protocol.as_str() == value) => true,
        "to" if Protocol::ALL.iter().any(|protocol| protocol.as_str() == value) => true,
        "model" => ["other", "all"].contains(&value) || MODELS.contains(&value),
        "upstream" | "from" | "to" => ["main", "spare"].contains(&value),
        "account" => ["all", "1"].contains(&value),
        "outcome" => ["ok", "client_error", "upstream_error", "rejected", "cancelled"].contains(&value),
        "stream" => ["true", "false"].contains(&value),
        "side" => ["client", "upstream"].contains(&value),
        "kind" => ["input", "output", "reasoning", "cache_read", "cache_write_5m", "cache_write_1h"]
            .contains(&value),
        "source" => ["reported", "estimated"].contains(&value),
        "reason" if ["failed", "abandoned"].contains(&value) => true,
        "result" | "error_type" | "reason" => {
            value == "ok" || ["caller_", "gateway_", "upstream_"].iter().any(|start| value.starts_with(start))
        }
        // Which fields translations drop is a matter of the specification, not of clients.
        "field" => value.chars().all(|c| c.is_ascii_alphanumeric() || "._[]-".contains(c)),
        "action" => value.len() < 16,
        "quantile" | "le" => true,
        _ => false,
    };
    let mut names = BTreeSet::new();
    for name in series(page.text()).keys() {
        let Some((name, labels)) = name.split_once('{') else { continue };
        names.insert(name.to_owned());
        for label in labels.trim_end_matches('}').split(',') {
            let (label, value) = label.split_once('=').unwrap();
            assert!(known(label, value.trim_matches('"')), "{name}: {label}={value}");
        }
    }
    for name in [
        "aiproxy_requests_total",
        "aiproxy_breaker_state",
        "aiproxy_breaker_transitions_total",
        "aiproxy_cooldown_remaining_seconds",
    ] {
        assert!(names.contains(name), "{names:?}");
    }
    assert!(!page.text().contains("whatever-a-client-likes"));
}

thread_local! {
    /// The log of the test that runs on this thread, its gateway included.
    static LOG: RefCell<String> = const { RefCell::new(String::new()) };
}

/// Writes to the log of the thread that it is on.
struct ThisThread;

impl Write for ThisThread {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        LOG.with_borrow_mut(|log| log.push_str(&String::from_utf8_lossy(line)));
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Logs everything from here on. One subscriber serves the process: what one thread's own subscriber is not
/// interested in, tracing may keep from another's.
fn log_everything() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let format = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_ansi(false);
        format.with_writer(|| ThisThread).init();
    });
}

fn log() -> String {
    LOG.with_borrow(String::clone)
}

#[tokio::test]
async fn no_secret_is_in_metrics_or_logs() {
    let (recorder, handle) = recorder();
    let _guard = metrics::set_default_local_recorder(&recorder);
    log_everything();
    let (main, _spare, _served, client) = setting(&handle).await;
    some_of_everything(&main, &client).await;
    let by_query = Talk::new("known", "my prompt");
    let path = format!("{}?key=client-secret", by_query.path(Protocol::Gemini));
    client.send(post(&path, by_query.body(Protocol::Gemini))).await;
    client.send(with(by_query.request(Protocol::OpenAi), "x-api-key", "wrong-secret")).await;

    let logs = log();
    assert!(
        logs.contains("aiproxy::access") && logs.contains("attempt failed"),
        "nothing to search:\n{logs}"
    );
    assert!(logs.contains("whatever-a-client-likes"), "the model is in the line of its request:\n{logs}");
    let page = client.send(get("/metrics")).await;
    for secret in ["client-secret", "upstream-key", "wrong-secret", "my prompt", "model-said-this", "Zürich"]
    {
        assert!(!page.text().contains(secret), "metrics tell `{secret}`:\n{}", page.text());
        let line = logs.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "logs tell `{secret}`");
    }
}

#[tokio::test]
async fn the_log_has_one_line_per_request() {
    log_everything();
    let (_recorder, handle) = recorder();
    let (_main, _spare, _served, client) = setting(&handle).await;
    let request = keyed(&Talk::new("failing", "my prompt"), Protocol::Anthropic);
    client.send(with(request, "x-request-id", "req-7")).await;
    let logs = log();
    let lines: Vec<&str> = logs.lines().filter(|line| line.contains("aiproxy::access")).collect();
    let [line] = lines[..] else { panic!("{logs}") };
    for part in [
        "req-7",
        "method=POST",
        "path=/v1/messages",
        "status=200",
        "model=failing",
        r#"upstream="spare""#,
        "attempts=main:upstream_5xx spare:ok",
        "tokens_in=12",
        "tokens_out=9",
    ] {
        assert!(line.contains(part), "`{part}` is not in {line}");
    }
}
