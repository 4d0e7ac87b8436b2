//! Every fault of an upstream, at every stage, for every client of every upstream: what the client gets, who is asked, and
//! whose health it touches. tests/FAILURES.md is the table as a page; its head says how to read it.
//!
//! `AIPROXY_BLESS=1` writes the page. `AIPROXY_DEEP=1` tries every byte of a stream at which it can break.
//! `AIPROXY_FAULT=text` plays only the faults whose name has the text.

mod cell;
mod judge;
mod page;
mod provider;
mod rows;
mod rule;
mod stranger;
#[expect(dead_code, reason = "each test program uses a part of it")]
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};
use tokio::task::JoinSet;

use aiproxy::Payload;
use aiproxy::layer::BreakerPolicy;
use aiproxy::protocol::Endpoint;
use aiproxy::upstream::{ApiType, HttpClient};
use http::Request;
use tower::ServiceExt;

use cell::Cell;
use provider::Others;
use rows::Row;
use stranger::Stranger;
use support::client::Client;
use support::gateway::{Served, gateway, upstream};
use support::talk::Talk;
use support::upstream::{Answer, Received, Upstream};
use support::{Protocol, native, soon};

/// Cells that are played at a time.
const AT_A_TIME: usize = 48;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_fault_comes_to_what_the_table_says() {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let (is_deep, only) = (is_set("AIPROXY_DEEP"), std::env::var("AIPROXY_FAULT").unwrap_or_default());
    let tables = rows::tables(is_deep);
    let rows = tables.iter().flat_map(|(_, rows)| rows).filter(|row| row.fault.contains(&only));
    let rows: Vec<Row> = rows.cloned().collect();
    assert!(!rows.is_empty(), "no fault is called `{only}`");
    let cells: usize = rows.iter().map(|row| row.pairs(is_deep).count() * row.modes.len()).sum();
    let wrong = play(rows, is_deep).await;
    println!("{cells} cells");
    let total: usize = wrong.values().map(Vec::len).sum();
    for (row, cells) in &wrong {
        println!("{row}: {} cells do not hold; the first: {}", cells.len(), cells[0]);
        for cell in &cells[1..] {
            println!("    {}", cell.lines().next().unwrap_or_default().chars().take(200).collect::<String>());
        }
    }
    assert_eq!(total, 0, "cells that do not hold");
    // The page tells of the usual run, whole.
    if !is_deep && only.is_empty() {
        compare(&page::page(&tables, is_deep));
    }
}

/// Upstreams close connections that were idle for a while, and a request may meet that on its way.
#[tokio::test]
async fn an_idle_connection_that_closes_as_it_is_used_is_no_failure() {
    for (protocol, resets) in
        Protocol::ALL.into_iter().flat_map(|protocol| [(protocol, false), (protocol, true)])
    {
        let lost = move || if resets { Answer::default().reset() } else { Answer::none() };
        let sound = move |number: usize| match number {
            1 => lost(),
            _ => Answer::json(native::document(protocol)),
        };
        let provider = Upstream::start(move |number, _| sound(number)).await;
        let policy =
            BreakerPolicy { failures: 1, open_for: Duration::from_secs(60), ..BreakerPolicy::default() };
        let served =
            Served::start(gateway([upstream("only", protocol, &provider.url()).breaker(policy)])).await;
        let http = Client::new(served.addr);
        for asked in [1, 3, 4] {
            let reply = http.send(Talk::new("m", "Hi").request(protocol)).await;
            assert_eq!((reply.status, provider.count()), (200, asked), "{protocol}, reset: {resets}");
        }
    }
}

/// It may have been worked on, and will be paid for: whoever asks again does so with the client's knowledge.
#[tokio::test]
async fn a_request_whose_connection_breaks_later_is_not_sent_again_unseen() {
    let protocol = Protocol::OpenAi;
    let go = Arc::new(Notify::new());
    let script = {
        let go = go.clone();
        move |number: usize, _: &Received| match number {
            1 => Answer::after(&go, Answer::none()),
            _ => Answer::json(native::document(protocol)),
        }
    };
    let provider = Upstream::start(script).await;
    let served = Served::start(gateway([upstream("only", protocol, &provider.url())])).await;
    let http = Client::new(served.addr);
    assert_eq!(http.send(Talk::new("m", "Hi").request(protocol)).await.status, 200);
    let asking = tokio::spawn(async move { http.send(Talk::new("m", "Hi").request(protocol)).await });
    provider.arrived(2).await;
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(3)).await;
    tokio::time::resume();
    go.notify_one();
    let reply = soon("an answer", asking).await.unwrap();
    assert_eq!((reply.status, provider.count()), (502, 2), "{}", reply.text());
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_called_by_its_name() {
    let stranger = Stranger::start().await;
    let client = HttpClient::builder(ApiType::OpenAi, stranger.url().parse().unwrap()).build().unwrap();
    let endpoint = Endpoint::parse("/v1/chat/completions", None).unwrap();
    let payload = Payload::new(endpoint, r#"{"model":"m"}"#).unwrap();
    let error = client.oneshot(Request::new(payload)).await.unwrap_err();
    assert_eq!((error.error_type(), stranger.told()), ("upstream_tls", 0), "{error}");
}

/// Plays every cell of these rows; what does not hold, by row.
async fn play(rows: Vec<Row>, is_deep: bool) -> BTreeMap<String, Vec<String>> {
    let elsewhere = Upstream::always(Answer::json("{}")).await;
    let stranger = Stranger::start().await;
    let others = Others { elsewhere: elsewhere.url(), stranger: stranger.url() };
    let permits = Arc::new(Semaphore::new(AT_A_TIME));
    let mut playing = JoinSet::new();
    for row in rows.into_iter().map(Arc::new) {
        for (client, upstream) in row.pairs(is_deep) {
            for mode in row.modes.iter().copied() {
                let (row, permits, others) = (row.clone(), permits.clone(), others.clone());
                playing.spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    let cell = Cell { client, upstream, mode };
                    let name = format!("{}, {}", row.fault, row.stage.title());
                    // What panics is wrong, and no reason to stop.
                    let played = tokio::spawn(async move { cell::play(&row, cell, &others).await }).await;
                    let outcome = played.unwrap_or_else(|panic| Err(words(panic.into_panic())));
                    outcome.map_err(|wrong| (name, format!("{client} → {upstream}, {mode:?}: {wrong}")))
                });
            }
        }
    }
    let mut wrong: BTreeMap<String, Vec<String>> = BTreeMap::new();
    while let Some(outcome) = playing.join_next().await {
        if let Err((row, what)) = outcome.expect("a cell that ends") {
            wrong.entry(row).or_default().push(what);
        }
    }
    assert_eq!(elsewhere.count(), 0, "a redirect was followed");
    assert_eq!(stranger.told(), 0, "nobody vouches for it, and it was told something");
    wrong
}

/// What a panic said.
fn words(panic: Box<dyn std::any::Any + Send>) -> String {
    match panic.downcast::<String>() {
        Ok(words) => *words,
        Err(panic) => {
            panic.downcast::<&str>().map_or_else(|_| "a panic".to_owned(), |words| (*words).to_owned())
        }
    }
}

fn compare(page: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/FAILURES.md");
    if std::env::var_os("AIPROXY_BLESS").is_some() {
        fs::write(&path, page).unwrap();
    }
    let published = fs::read_to_string(&path).unwrap_or_default();
    for (line, (is, should)) in published.lines().zip(page.lines()).enumerate() {
        assert_eq!(is, should, "line {}; see the head of this file", line + 1);
    }
    assert_eq!(published.lines().count(), page.lines().count());
}
