//! What becomes of each field of a request at each upstream: `src/protocol/LOSSES.md`, written by the code itself.
//!
//! `AIPROXY_BLESS=1 cargo test --test protocol loss_table` writes the page; without it a page that differs fails.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use aiproxy::protocol::canonical::{Exchange, Losses};
use aiproxy::protocol::{
    Endpoint, Operation, Protocol, RequestError, Target, decode_request, encode_request,
};
use serde_json::Value;

use crate::MODELS;
use crate::support::translations::{keep_recorded, keep_translated};

const HEAD: &str = "\
# What becomes of each field

Written by `AIPROXY_BLESS=1 cargo test --test protocol loss_table`, which asks the translation itself; the test fails when this
page and the code differ.

Where client and upstream speak the same protocol every field passes as it is: nothing is read but the model. Between
two protocols a field is

- **carried**: the upstream gets it, in its own spelling;
- **ignored**: it has no effect on the answer, or the upstream does it anyway;
- named in the header `x-aiproxy-warnings`, in its words (`drop:top_k`: it was left out; `approx:…`, `clamp:…`,
  `emulate:…`, `insert:…`, `rename:…`, `reorder:…`: it was carried differently);
- **refused** with status 400 before any upstream is asked, because leaving it out would change the answer unseen.

Models differ. The page was written for `claude-sonnet-4-5`, `gpt-4.1` (both OpenAI protocols) and `gemini-2.5-pro`.
";

#[test]
fn the_published_table_of_losses_is_what_the_code_does() {
    let page = page();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/protocol/LOSSES.md");
    if std::env::var_os("AIPROXY_BLESS").is_some() {
        fs::write(&path, &page).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    for (line, (is, should)) in published.lines().zip(page.lines()).enumerate() {
        assert_eq!(is, should, "line {}; see the head of this file", line + 1);
    }
    assert_eq!(published.lines().count(), page.lines().count());
}

fn page() -> String {
    let mut page = HEAD.to_owned();
    for client in Protocol::ALL {
        let upstreams: Vec<_> = MODELS.iter().filter(|(upstream, _)| *upstream != client).collect();
        let _ = write!(page, "\n## From {}\n\n| field |", title(client));
        for (upstream, _) in &upstreams {
            let _ = write!(page, " to {} |", title(*upstream));
        }
        page += "\n| --- | --- | --- | --- |\n";
        for (label, members) in crate::fields::of(client) {
            let _ = write!(page, "| {} |", label.replace('|', "\\|"));
            for (upstream, model) in &upstreams {
                let _ = write!(page, " {} |", fate(client, *upstream, model, label, &members));
            }
            page.push('\n');
        }
    }
    page
}

fn title(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Anthropic => "Anthropic Messages",
        Protocol::OpenAi => "Chat Completions",
        Protocol::Responses => "Responses",
        Protocol::Gemini => "Gemini",
    }
}

/// In words, what the translation does to a request that has the field.
fn fate(client: Protocol, upstream: Protocol, model: &str, label: &str, members: &Value) -> String {
    let (without, with) = crate::fields::requests(client, members);
    let (plain, usual) = translate(client, upstream, model, &without).unwrap();
    match translate(client, upstream, model, &with) {
        Err(RequestError::Unsupported(_)) => "**refused**".to_owned(),
        Err(error) => panic!("{label} to {upstream}: not a valid example: {error}"),
        Ok((out, losses)) => {
            let name = format!("field-{}.request.json", label.replace(|c: char| !c.is_alphanumeric(), "-"));
            keep_recorded(client, &name, with.to_string());
            keep_translated(client, upstream, &name, &out);
            let news: Vec<String> = losses
                .into_iter()
                .filter(|loss| !usual.contains(loss))
                .map(|loss| format!("`{loss}`"))
                .collect();
            match (news.is_empty(), out == plain) {
                (false, _) => news.join(", "),
                (true, true) => "ignored".to_owned(),
                (true, false) => "carried".to_owned(),
            }
        }
    }
}

fn translate(
    client: Protocol,
    upstream: Protocol,
    model: &str,
    body: &Value,
) -> Result<(Vec<u8>, Vec<String>), RequestError> {
    let mut endpoint = Endpoint::new(client, Operation::Generate);
    if client == Protocol::Gemini {
        endpoint.model = Some("m".into());
        endpoint.stream = Some(false);
    }
    let body = body.to_string();
    let request = decode_request(&endpoint, &body)?;
    let exchange = Exchange::new(&request, client, upstream);
    let (mut losses, mut out) = (Losses::default(), Vec::new());
    encode_request(upstream, &request, &exchange, &Target::new(model), &mut losses, &mut out)?;
    let losses = losses.iter().map(|loss| format!("{}:{}", loss.action.as_str(), loss.field)).collect();
    Ok((out, losses))
}
