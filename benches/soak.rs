//! Whether the gateway lasts: clients of every protocol, upstreams that fail in every way, and what the process takes
//! meanwhile; then a stop with streams under way. Linux only.
//!
//! ```text
//! cargo bench --bench soak -- [--minutes 10] [--clients 50] [--streams 500]
//! ```
//!
//! Five processes: two sound simulated providers, one whose models fail each in its own way, a slow one for the stop, and
//! the gateway in front of all. No request may be lost: whatever its upstream does, a client gets its own words whole, or
//! an error of its protocol. One client in twenty leaves in the middle.

#![expect(clippy::disallowed_types, reason = "measures real time")]

#[path = "overhead/fail.rs"]
mod fail;
#[expect(dead_code, reason = "shared with the overhead bench")]
#[path = "overhead/proc.rs"]
mod proc;
mod soak {
    pub mod ask;
}

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use fail::{Context, Fail, Outcome};
use proc::{Process, Scratch, free_address};
use soak::ask::{ALL, Ask, End, Http};

/// Models by what becomes of them at the upstream that fails.
const MODELS: [(&str, &str); 10] = [
    ("m-status", "sim-status-500"),
    ("m-limit", "sim-status-429-sim-retry-after-1"),
    ("m-disguise", "sim-error-in-200"),
    ("m-event", "sim-error-event-at-0"),
    ("m-empty", "sim-empty"),
    ("m-blank", "sim-blank"),
    ("m-html", "sim-status-502-sim-html"),
    ("m-cut", "sim-cut-at-0"),
    ("m-broken", "sim-cut-at-5"),
    ("m-sound", "sim-chop-1"),
];
/// Lines of the table.
const LINES: u32 = 10;
/// Growth of memory that is no leak: buffers, and the store of state.
const GROWTH_KB: u64 = 24 * 1024;

#[derive(Parser)]
struct Cli {
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    #[arg(long, default_value_t = 50)]
    clients: u64,
    /// Open when the gateway is told to stop
    #[arg(long, default_value_t = 500)]
    streams: u64,
    // What `cargo bench` adds.
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(&Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(fail) => {
            eprintln!("soak: {fail}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Outcome<()> {
    let scratch = Scratch::new()?;
    let sound = simulator(&scratch, "sound.log", &[]).await?;
    let failing = simulator(&scratch, "failing.log", &[]).await?;
    let slow = simulator(&scratch, "slow.log", &["--tokens-per-second", "20", "--events", "160"]).await?;
    let mut gateway = gateway(&scratch, sound.address, failing.address, slow.address).await?;
    lasts(cli, &gateway).await?;
    stops(cli, &mut gateway).await
}

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_aiproxy"))
}

async fn simulator(scratch: &Scratch, log: &str, options: &[&str]) -> Outcome<Process> {
    let address = free_address()?;
    let mut command = Command::new(binary());
    command.args(["simulate", "--listen", &address.to_string()]).args(options);
    Process::start("a simulator", command, address, scratch.file(log)).await
}

async fn gateway(
    scratch: &Scratch,
    sound: SocketAddr,
    failing: SocketAddr,
    slow: SocketAddr,
) -> Outcome<Process> {
    let address = free_address()?;
    let mappings: String = MODELS.iter().map(|(name, fault)| format!("      {name}: {fault}\n")).collect();
    let config = format!(
        "listen: {address}\nlog: {{ level: warn }}\ncircuit_breaker: {{ open_for: 2s }}\nupstreams:\n\
        \x20 - {{ name: chat, api_type: openai, base_url: 'http://{sound}/v1', available_models: m-* }}\n\
        \x20 - {{ name: anthropic, api_type: anthropic, base_url: 'http://{sound}', available_models: m-* }}\n\
        \x20 - {{ name: slow, api_type: responses, base_url: 'http://{slow}/v1', available_models: slow }}\n\
        \x20 - name: failing\n    api_type: responses\n    base_url: http://{failing}/v1\n    \
        available_models: m-*\n    model_mappings:\n{mappings}"
    );
    let file = scratch.file("config.yaml");
    fs::write(&file, config).context(file.display())?;
    let mut command = Command::new(binary());
    command.arg("--config").arg(file);
    Process::start("aiproxy", command, address, scratch.file("gateway.log")).await
}

#[derive(Default)]
struct Counts {
    whole: AtomicU64,
    told: AtomicU64,
    left: AtomicU64,
    lost: AtomicU64,
    /// The first loss, in full.
    loss: Mutex<Option<String>>,
}

impl Counts {
    fn add(&self, ask: &Ask, end: End, text: String) {
        let count = match end {
            End::Whole => &self.whole,
            End::Told => &self.told,
            End::Left => &self.left,
            End::Lost => {
                self.loss.lock().expect("no holder panics").get_or_insert(format!("{ask:?}: {text}"));
                &self.lost
            }
        };
        count.fetch_add(1, Relaxed);
    }
}

fn http() -> Http {
    Client::builder(TokioExecutor::new()).build(HttpConnector::new())
}

async fn lasts(cli: &Cli, gateway: &Process) -> Outcome<()> {
    let before = (gateway.rss_kb()?, descriptors(gateway)?);
    let counts = Arc::new(Counts::default());
    let over = Arc::new(AtomicBool::new(false));
    let mut clients = JoinSet::new();
    let http = http();
    let origin = format!("http://{}", gateway.address);
    for client in 0..cli.clients {
        let (http, origin, counts, over) = (http.clone(), origin.clone(), counts.clone(), over.clone());
        clients.spawn(async move {
            let mut number = client;
            while !over.load(Relaxed) {
                let ask = ask(number);
                let (end, text) = ask.send(&http, &origin).await;
                counts.add(&ask, end, text);
                number += 1_000;
            }
        });
    }
    println!("| minutes | whole | told | left | lost | RSS, MB | descriptors |");
    println!("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
    println!("| 0.0 | 0 | 0 | 0 | 0 | {:.1} | {} |", before.0 as f64 / 1024.0, before.1);
    let start = Instant::now();
    let mut settled = 0;
    for line in 1..=LINES {
        sleep(Duration::from_secs_f64(cli.minutes * 60.0 / f64::from(LINES))).await;
        let (rss, open) = (gateway.rss_kb()?, descriptors(gateway)?);
        if line == LINES / 5 {
            settled = rss;
        }
        let [whole, told, left, lost] =
            [&counts.whole, &counts.told, &counts.left, &counts.lost].map(|count| count.load(Relaxed));
        let minutes = start.elapsed().as_secs_f64() / 60.0;
        println!(
            "| {minutes:.1} | {whole} | {told} | {left} | {lost} | {:.1} | {open} |",
            rss as f64 / 1024.0
        );
    }
    over.store(true, Relaxed);
    timeout(Duration::from_secs(60), clients.join_all()).await.context("a client never got its answer")?;
    if let Some(loss) = counts.loss.lock().expect("no holder panics").take() {
        return Err(Fail::new(format!("{} lost; the first: {loss}", counts.lost.load(Relaxed))));
    }
    let grown = gateway.rss_kb()?.saturating_sub(settled);
    if grown > GROWTH_KB {
        return Err(Fail::new(format!("memory has grown by {grown} KB since a fifth of the time")));
    }
    Ok(())
}

/// Protocols, models and ways of asking by turns.
fn ask(number: u64) -> Ask {
    let turn = (number / 1_000 + number % 1_000) as usize;
    let (model, _) = MODELS[turn / ALL.len() % MODELS.len()];
    Ask {
        protocol: ALL[turn % ALL.len()],
        model: model.to_owned(),
        number,
        stream: (turn / (ALL.len() * MODELS.len())).is_multiple_of(2),
        leaves: turn % 20 == 19,
        may_be_blank: model == "m-blank",
    }
}

async fn stops(cli: &Cli, gateway: &mut Process) -> Outcome<()> {
    let origin = format!("http://{}", gateway.address);
    let http = http();
    let mut streams = JoinSet::new();
    for number in 0..cli.streams {
        let (http, origin) = (http.clone(), origin.clone());
        let protocol = ALL[number as usize % ALL.len()];
        streams.spawn(async move {
            let model = "slow".to_owned();
            let ask = Ask { protocol, model, number, stream: true, leaves: false, may_be_blank: false };
            ask.send(&http, &origin).await
        });
    }
    // Each lasts for eight seconds.
    sleep(Duration::from_secs(3)).await;
    let told = Instant::now();
    let pid = gateway.child.id().to_string();
    Command::new("kill").args(["-TERM", &pid]).status().context("kill")?;
    while TcpStream::connect(gateway.address).await.is_ok() {
        sleep(Duration::from_millis(1)).await;
    }
    let refused = told.elapsed();
    let mut whole = 0;
    let mut first = None;
    for (_, text) in streams.join_all().await {
        // The words are the simulator's own here: what counts is the end.
        match ["event: message_stop", "[DONE]", "response.completed", "\"finishReason\""]
            .iter()
            .any(|end| text.contains(end))
        {
            true => whole += 1,
            false => first = first.or(Some(text)),
        }
    }
    let ended = loop {
        match gateway.child.try_wait().context("wait")? {
            Some(status) => break status,
            None if told.elapsed() > Duration::from_secs(60) => return Err(Fail::new("it does not end")),
            None => sleep(Duration::from_millis(5)).await,
        }
    };
    println!();
    println!(
        "| streams at SIGTERM | finished whole | new connections refused after, ms | ended after, s | exit |"
    );
    println!("| ---: | ---: | ---: | ---: | --- |");
    let took = told.elapsed().as_secs_f64();
    println!("| {} | {whole} | {:.1} | {took:.1} | {ended} |", cli.streams, refused.as_secs_f64() * 1e3);
    match first {
        None if ended.success() => Ok(()),
        None => Err(Fail::new("it did not end well")),
        Some(text) => Err(Fail::new(format!("a stream was not finished: {text}"))),
    }
}

/// Open files and connections.
fn descriptors(process: &Process) -> Outcome<usize> {
    let path = format!("/proc/{}/fd", process.child.id());
    Ok(fs::read_dir(&path).context(&path)?.count())
}
