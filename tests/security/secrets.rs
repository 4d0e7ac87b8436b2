//! Keys and prompts stay in: in no error, log, metric or page, whatever goes wrong and however much is logged.

use std::io::BufRead;

use aiproxy::gateway::UpstreamSpec;
use aiproxy::layer::{CredentialsLayer, RequireApiKeyLayer};
use aiproxy::server::Pages;
use aiproxy::upstream::HttpClient;
use aiproxy::{Gateway, config};
use http::Method;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client as Http;
use hyper_util::rt::TokioExecutor;

use super::{KEY, loopback};
use crate::support::client::{Client, get, post, request, with};
use crate::support::gateway::{api, upstream};
use crate::support::program::{file, start};
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Refusing, Upstream};
use crate::support::{Protocol, native, pairs, soon};

/// No vendor's keys look like this.
const ODD_KEY: &str = "zai.0123456789/odd+key";

/// Ways in which an upstream may quote what it was sent.
fn quoting(protocol: Protocol, words: &str) -> Vec<(&'static str, bool, Answer)> {
    let error = |status| native::error(protocol, status, words).to_string();
    let whole = |status| Answer::whole(status, "application/json", error(status));
    let opening = native::opening(protocol);
    let (_, second_text) = native::text_at(protocol);
    let begun = &native::stream(protocol)[..second_text];
    let event = |after| native::error_event(protocol, after, words);
    let halves = event(begun.len());
    let (first, second) = halves.split_at(halves.find(words).unwrap() + words.len() / 2);
    vec![
        ("400", false, whole(400)),
        ("401", false, whole(401)),
        ("404", false, whole(404)),
        ("429", false, whole(429)),
        ("500", true, whole(500)),
        ("no JSON", false, Answer::whole(502, "text/html", format!("<html>{words}</html>"))),
        ("an error in a 200", false, Answer::json(error(503))),
        ("the first event", true, Answer::events([event(0)])),
        ("after the opening", true, Answer::events(opening.iter().cloned().chain([event(opening.len())]))),
        ("after content", true, Answer::events(begun.iter().cloned().chain([event(begun.len())]))),
        ("in two packets", true, Answer::stream().frames(begun).frame(first).frame(second).end()),
        (
            "not closed",
            true,
            Answer::events(begun.iter().cloned().chain([event(begun.len()).trim_end().to_owned()])),
        ),
    ]
}

#[tokio::test]
async fn an_upstream_that_quotes_its_key_tells_no_client() {
    for (client, protocol) in pairs() {
        let words = format!("no such key: {ODD_KEY}, of team-header-value");
        for (what, stream, answer) in quoting(protocol, &words) {
            let provider = Upstream::always(answer).await;
            let mut headers = http::HeaderMap::new();
            let mut team = http::HeaderValue::from_static("team-header-value");
            team.set_sensitive(true);
            headers.insert("x-team", team);
            let spec = UpstreamSpec::new("only", api(protocol), provider.url().parse().unwrap());
            let served = loopback([spec.key(ODD_KEY).headers(headers)], &[]).await;
            let talk = Talk::new(native::model(protocol), "Hi").max_tokens(9).stream(stream);
            let reply = Client::new(served.addr).send(talk.request(client)).await;
            let what = format!("{client} → {protocol}, {what}: {} {}", reply.status, reply.text());
            let shown = format!("{:?} {}", reply.headers, reply.text());
            assert!(!shown.contains(ODD_KEY) && !shown.contains("team-header-value"), "{what}");
            assert!(reply.status >= 400 || reply.text().contains("error"), "{what}");
            let arrived = provider.only().everything();
            assert!(arrived.contains(ODD_KEY) && arrived.contains("team-header-value"), "it was sent");
        }
    }
}

#[tokio::test]
async fn an_error_tells_no_address_of_the_inside() {
    for (client, protocol) in pairs() {
        let refusing = Refusing::new();
        let cut = Upstream::always(Answer::none()).await;
        let (_, second_text) = native::text_at(protocol);
        let broken =
            Upstream::always(Answer::stream().frames(&native::stream(protocol)[..second_text]).cut()).await;
        let unknown = "http://no-such-host.invalid:9";
        for (url, stream) in
            [(refusing.url(), false), (cut.url(), false), (broken.url(), true), (unknown.to_owned(), false)]
        {
            let served = loopback([upstream("only", protocol, &url)], &[]).await;
            let talk = Talk::new(native::model(protocol), "Hi").max_tokens(9).stream(stream);
            let reply = Client::new(served.addr).send(talk.request(client)).await;
            let what = format!("{client} → {protocol}, {url}: {}", reply.text());
            assert!(reply.status >= 500 || stream && reply.text().contains("error"), "{what}");
            for inside in ["127.0.0.1", "localhost", "no-such-host", "upstream-key"] {
                assert!(!reply.text().contains(inside), "{what}");
                assert!(!format!("{:?}", reply.headers).contains(inside), "{what}: {:?}", reply.headers);
            }
        }
    }
}

#[test]
fn nothing_that_holds_a_key_prints_it() {
    let text = format!(
        "api-key: [{KEY}]\nupstreams:\n  - {{ name: a, token: {ODD_KEY}, http_headers: {{ X-Team: team-header-value }} }}\n"
    );
    let config = config::Config::parse(&text, &config::Source::new("test.yaml", &|_| None)).unwrap();
    let url: url::Url = "http://127.0.0.1:9".parse().unwrap();
    let mut headers = http::HeaderMap::new();
    headers.insert("x-team", "team-header-value".parse().unwrap());
    let spec =
        UpstreamSpec::new("a", api(Protocol::OpenAi), url.clone()).key(ODD_KEY).headers(headers.clone());
    let builder = Gateway::builder().api_key(KEY).upstream(spec.clone());
    let client = HttpClient::builder(api(Protocol::OpenAi), url).headers(headers);
    let credentials = CredentialsLayer::new(api(Protocol::OpenAi), [ODD_KEY]).unwrap();
    let shown = [
        format!("{config:?} {config:#?} {:?}", config.upstreams),
        format!("{spec:?} {builder:?}"),
        format!("{:?}", builder.build().unwrap()),
        format!("{client:?} {:?}", client.clone().build().unwrap()),
        format!("{credentials:?} {:?}", RequireApiKeyLayer::new([KEY])),
        format!("{:?}", Pages { keys: vec![KEY.to_owned()], ..Pages::default() }),
    ];
    for shown in shown {
        for secret in [KEY, ODD_KEY, "team-header-value"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}

/// What the run below must not show anywhere but where it belongs.
const SECRETS: [&str; 9] = [
    KEY,
    "second-key-of-this-test",
    "guess-at-a-key",
    "sk-upstream-0123456789abcdef",
    ODD_KEY,
    "team-header-value",
    "prompt-of-this-test",
    "system-prompt-of-this-test",
    "cookie-of-this-test",
];

/// Every kind of fault, by a word in the model's name.
fn fault(protocol: Protocol, asked: &str) -> Answer {
    // Of its own keys it knows the one that it was shown.
    let is_known = |secret: &&str| ![SECRETS[3], ODD_KEY].contains(secret) || asked.contains(*secret);
    let quoted = SECRETS.into_iter().filter(is_known).collect::<Vec<_>>().join(" ");
    let (_, second_text) = native::text_at(protocol);
    let stream = native::stream(protocol);
    let error = |status| {
        Answer::whole(status, "application/json", native::error(protocol, status, &quoted).to_string())
    };
    let known =
        ["quoting", "m-401", "m-400", "m-500", "reset", "nonsense", "html", "cut", "late", "stream", "empty"];
    match known.into_iter().find(|word| asked.contains(&format!("at-{protocol}-{word}"))).unwrap_or_default()
    {
        "m-401" => error(401),
        "m-400" => error(400),
        "m-500" => error(500),
        "quoting" => Answer::json(native::error(protocol, 503, &quoted)),
        "reset" => Answer::none(),
        "nonsense" => Answer::json(format!("{{\"a\": {quoted}")),
        "html" => Answer::whole(200, "text/html", format!("<html>{quoted}</html>")),
        "cut" => Answer::stream().frames(&stream[..second_text]).cut(),
        "late" => Answer::events(
            stream[..second_text].iter().cloned().chain([native::error_event(protocol, 9, &quoted)]),
        ),
        "empty" => Answer::events([""; 0]),
        "stream" => Answer::events(stream),
        _ => Answer::json(native::document(protocol)),
    }
}

/// Asks everything of a program that runs, and gives all that it answered with errors.
async fn ask_everything(address: std::net::SocketAddr) -> String {
    let client = Client::new(address);
    let mut shown = String::new();
    for protocol in Protocol::ALL {
        for upstream in Protocol::ALL {
            for fault in [
                "fine", "stream", "m-401", "m-400", "m-500", "quoting", "reset", "nonsense", "html", "cut",
                "late", "empty",
            ] {
                let stream = ["stream", "cut", "late", "empty"].contains(&fault);
                let talk = Talk::new(&format!("at-{upstream}-{fault}"), "prompt-of-this-test")
                    .system("system-prompt-of-this-test")
                    .max_tokens(9)
                    .stream(stream);
                let asked =
                    with(with(talk.request(protocol), "x-api-key", KEY), "cookie", "a=cookie-of-this-test");
                let reply = client.send(asked).await;
                // A client that speaks the upstream's protocol is told what it says of this very request.
                let own: &[&str] =
                    &["prompt-of-this-test", "cookie-of-this-test", "guess-at-a-key", KEY, SECRETS[1]];
                let text = own.iter().fold(reply.text().to_owned(), |text, own| text.replace(own, ""));
                shown += &format!("{:?} {text}\n", reply.headers);
            }
        }
        let talk = Talk::new("at-openai-fine", "prompt-of-this-test").max_tokens(9);
        let (path, body) = (talk.path(protocol), talk.body(protocol));
        for asked in [
            post(&path, &body),
            with(post(&path, &body), "x-api-key", "guess-at-a-key"),
            with(post(&path, &body), "authorization", "Bearer guess-at-a-key"),
            post(&format!("{path}?key=guess-at-a-key"), &body),
            post(&format!("{path}?key={KEY}"), "{\"prompt-of-this-test"),
            with(post(&path, r#"{"model":1,"a":"prompt-of-this-test"}"#), "x-api-key", KEY),
            with(post(&path, r#"{"model":"prompt-of-this-test\n"}"#), "x-api-key", KEY),
            with(post(&path, "x".repeat(9000)), "x-api-key", KEY),
            with(with(post(&path, &body), "x-api-key", KEY), "host", "evil.example"),
            with(with(post(&path, &body), "x-api-key", KEY), "content-encoding", "gzip"),
            with(with(post(&path, &body), "x-api-key", KEY), "x-request-id", "a"),
            with(request(Method::DELETE, &path, ""), "x-api-key", KEY),
            with(post("/v1/nothing?key=guess-at-a-key", &body), "x-api-key", KEY),
            get(&format!("/v1/models?key={KEY}")),
            with(get("/v1/models/none"), "x-goog-api-key", SECRETS[1]),
            get("/health"),
            get("/metrics"),
        ] {
            let reply = client.send(asked).await;
            shown += &format!("{:?} {}\n", reply.headers, reply.text());
        }
        // Headers in HTTP/2 are somebody else's code.
        let second: Http<_, Full<bytes::Bytes>> =
            Http::builder(TokioExecutor::new()).http2_only(true).build_http();
        let mut asked = with(talk.request(protocol), "authorization", &format!("Bearer {KEY}"));
        *asked.uri_mut() = format!("http://{address}{path}").parse().unwrap();
        let reply = soon("an answer", second.request(asked)).await.unwrap();
        assert_eq!(reply.status(), 200);
        soon("its end", reply.into_body().collect()).await.unwrap();
    }
    shown
}

#[tokio::test]
async fn no_secret_is_in_any_log_metric_page_or_error_at_the_most_verbose() {
    for format in ["text", "json"] {
        let mut text = format!(
            "listen: 127.0.0.1:0\napi-key: [{KEY}, second-key-of-this-test]\nmax_body_size: 8KiB\nlog: {{ level: trace, format: {format} }}\nupstreams:\n"
        );
        let mut providers = Vec::new();
        for protocol in Protocol::ALL {
            let provider = Upstream::start(move |_, received| fault(protocol, &received.everything())).await;
            text += &format!(
                "  - {{ name: {protocol}, api_type: {protocol}, base_url: '{}', token: [sk-upstream-0123456789abcdef, '{ODD_KEY}'], http_headers: {{ X-Team: team-header-value }}, available_models: ['at-{protocol}-*'], circuit_breaker: {{ enabled: false }} }}\n",
                provider.url()
            );
            providers.push(provider);
        }
        let path = file(&format!("secrets-{format}.yaml"), &text);
        let (mut running, address, log) = start(&["--config", path.to_str().unwrap()]);
        let reading = std::thread::spawn(move || log.lines().map_while(Result::ok).collect::<Vec<_>>());
        let shown = ask_everything(address).await;
        running.0.kill().unwrap();
        let lines = reading.join().unwrap();
        assert!(lines.len() > 1000, "{format}: {} lines", lines.len());
        assert!(lines.iter().any(|line| line.contains("TRACE")), "{format}");
        for secret in SECRETS {
            let line = lines.iter().find(|line| line.contains(secret));
            assert_eq!(line, None, "{format}: {secret} is in the log");
            let line = shown.lines().find(|line| line.contains(secret));
            assert_eq!(line, None, "{format}: {secret} is shown");
        }
        assert!(!lines.iter().any(|line| line.contains("panicked")), "{format}");
        let arrived: String =
            providers.iter().flat_map(Upstream::requests).map(|arrived| arrived.everything()).collect();
        for secret in ["sk-upstream-0123456789abcdef", ODD_KEY, "team-header-value", "prompt-of-this-test"] {
            assert!(arrived.contains(secret), "{secret} was sent");
        }
        for secret in [KEY, "second-key-of-this-test", "guess-at-a-key", "cookie-of-this-test"] {
            assert!(!arrived.contains(secret), "{secret} went to an upstream");
        }
    }
}
