//! A conversation that has grown too long: agents compact it by the figures that the error tells.

use serde_json::{Value, json};

use crate::support::client::Client;
use crate::support::gateway::Served;
use crate::support::talk::Talk;
use crate::support::upstream::{Answer, Upstream};
use crate::support::{Protocol, native};

/// How each provider says it without any figure; Anthropic's words are those of other hosts of its models.
fn bare_words(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Anthropic => "Input is too long for requested model.",
        Protocol::OpenAi => "The request exceeds the context length of the model.",
        Protocol::Responses => {
            "Your input exceeds the context window of this model. Please adjust your input."
        }
        Protocol::Gemini => "The input token count exceeds the maximum number of tokens.",
    }
}

/// A gateway before `provider`, whose model `small` is known to have a context of 1000 tokens.
async fn served(protocol: Protocol, provider: &Upstream) -> (Served, Client) {
    let served = Served::yaml(&format!(
        "upstreams:
  - name: only
    api_type: {protocol}
    base_url: {}
    token: k
    circuit_breaker: {{ enabled: false }}
    capabilities: [{{ models: small, context: 1000 }}]
",
        provider.url()
    ))
    .await;
    let client = Client::new(served.addr);
    (served, client)
}

/// Some 3000 tokens.
fn long() -> String {
    "several words of a conversation that has grown ".repeat(375)
}

fn message(body: &Value) -> &str {
    body["error"]["message"].as_str().unwrap_or_else(|| panic!("no message: {body}"))
}

/// All numbers of a text.
fn figures(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

#[tokio::test]
async fn t169_an_overflow_without_figures_is_told_with_the_models_limit_and_the_requests_size() {
    for protocol in [Protocol::OpenAi, Protocol::Responses, Protocol::Gemini] {
        let error = native::error(protocol, 400, bare_words(protocol)).to_string();
        let provider = Upstream::always(Answer::whole(400, "application/json", error)).await;
        let (_served, http) = served(protocol, &provider).await;
        for stream in [false, true] {
            let talk = Talk::new("small", &long()).max_tokens(10).stream(stream);
            let reply = http.send(talk.request(Protocol::Anthropic)).await;
            assert_eq!(reply.status, 400, "{protocol}");
            let body = reply.json();
            let told = message(&body);
            let size = told
                .strip_prefix("prompt is too long: ")
                .and_then(|rest| rest.strip_suffix(" tokens > 1000 maximum"));
            let size: u64 = size.unwrap_or_else(|| panic!("{protocol}: {told}")).parse().unwrap();
            assert!((2700..=3900).contains(&size), "{protocol}: {size}");
        }
    }
}

#[tokio::test]
async fn t169_every_client_reads_the_figures_in_its_own_words() {
    let error = native::error(Protocol::Anthropic, 400, bare_words(Protocol::Anthropic)).to_string();
    let provider = Upstream::always(Answer::whole(400, "application/json", error)).await;
    let (_served, http) = served(Protocol::Anthropic, &provider).await;
    for (client, words) in [
        (
            Protocol::OpenAi,
            "This model's maximum context length is 1000 tokens. However, your messages resulted in ",
        ),
        (
            Protocol::Responses,
            "This model's maximum context length is 1000 tokens. However, your messages resulted in ",
        ),
        (Protocol::Gemini, "exceeds the maximum number of tokens allowed (1000)."),
    ] {
        let reply = http.send(Talk::new("small", &long()).request(client)).await;
        let body = reply.json();
        let told = message(&body);
        assert!(told.contains(words), "{client}: {told}");
        assert!(figures(told).iter().any(|figure| (2700..=3900).contains(figure)), "{client}: {told}");
    }
    // A relay tells what the provider tells.
    let reply = http.send(Talk::new("small", &long()).request(Protocol::Anthropic)).await;
    assert_eq!(message(&reply.json()), bare_words(Protocol::Anthropic));
}

#[tokio::test]
async fn t169_an_overflow_within_a_stream_is_told_with_figures_too() {
    let failed = json!({"type": "response.failed", "sequence_number": 0, "response": {
        "id": "resp_1", "object": "response", "created_at": 1, "status": "failed", "model": "small", "output": [],
        "error": {"code": "context_length_exceeded", "message": bare_words(Protocol::Responses)},
    }});
    let event = format!("event: response.failed\ndata: {failed}\n\n");
    let provider = Upstream::always(Answer::events([event])).await;
    let (_served, http) = served(Protocol::Responses, &provider).await;
    let reply = http.send(Talk::new("small", &long()).stream(true).request(Protocol::Anthropic)).await;
    assert_eq!(reply.status, 400);
    let body = reply.json();
    assert!(message(&body).ends_with(" tokens > 1000 maximum"), "{body}");
}

#[tokio::test]
async fn t169_what_the_provider_tells_is_believed() {
    let words = "This model's maximum context length is 2000 tokens. Please shorten the messages.";
    let both =
        "This model's maximum context length is 2000 tokens. However, your messages resulted in 9000 tokens.";
    for (words, told) in [(words, [None, Some(2000)]), (both, [Some(9000), Some(2000)])] {
        let error = native::error(Protocol::OpenAi, 400, words).to_string();
        let provider = Upstream::always(Answer::whole(400, "application/json", error)).await;
        let (_served, http) = served(Protocol::OpenAi, &provider).await;
        let reply = http.send(Talk::new("small", &long()).request(Protocol::Anthropic)).await;
        let body = reply.json();
        let figures = figures(message(&body));
        let [asked, limit] = figures[..] else { panic!("{body}") };
        assert_eq!((told[0].unwrap_or(asked), told[1]), (asked, Some(limit)), "{body}");
        assert!((2700..=9000).contains(&asked), "{body}");
    }
}

#[tokio::test]
async fn t169_no_figure_is_invented() {
    let bare = bare_words(Protocol::Responses);
    let error = native::error(Protocol::Responses, 400, bare).to_string();
    let provider = Upstream::always(Answer::whole(400, "application/json", error)).await;
    let (_served, http) = served(Protocol::Responses, &provider).await;
    for (what, model, text, known) in [
        ("nobody knows the model's limit", "unknown", long(), vec![]),
        ("the estimate would fit", "small", "Hi".to_owned(), vec![1000]),
    ] {
        let reply = http.send(Talk::new(model, &text).request(Protocol::Anthropic)).await;
        let body = reply.json();
        let told = message(&body);
        assert!(told.starts_with("prompt is too long: ") && told.ends_with(bare), "{what}: {told}");
        assert_eq!(figures(told), known, "{what}: {told}");
    }
}
