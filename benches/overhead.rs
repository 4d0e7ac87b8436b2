//! What the gateway costs: the whole `aiproxy` binary against a bare hyper reverse proxy. Linux only.
//!
//! ```text
//! cargo bench --bench overhead -- [--only W1,W3] [--rounds 3] [--seconds 3] [--json FILE]
//! cargo bench --bench overhead -- --self-check
//! ```
//!
//! Three processes take part: an upstream with canned answers, a proxy, and this one, which makes the load and watches.
//! The proxy is by turns `limit` (`overhead/limit.rs`) and the gateway, under the same load; the figure is the ratio of
//! their CPU time for each request, or each event of a stream, and is formed within each round, because a shared machine
//! changes from one minute to the next. `docs/performance.md` defines the workloads and the targets.
//!
//! `limit` translates nothing: where the gateway translates, `limit` gets the same request and passes it to an upstream
//! that speaks the client's protocol.
//!
//! `--self-check` puts `limit` in the gateway's place: all ratios should be near 1, and how far they are from it is the
//! noise to read the others with. The paced and fixed-rate workloads need a quiet machine: where others compete for the
//! CPUs, events pile up while the proxy waits and are then handled together, which halves or doubles what each costs.

#![expect(clippy::disallowed_types, reason = "measures real time, and compares it between processes")]

mod overhead {
    pub mod answers;
    pub mod bodies;
    pub mod check;
    pub mod fail;
    pub mod limit;
    pub mod load;
    pub mod measure;
    pub mod proc;
    pub mod report;
    pub mod serve;
    pub mod upstream;
    pub mod workload;
}

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

use overhead::fail::{Context, Fail, Outcome};
use overhead::measure::{Lab, Sample, Target};
use overhead::proc::{self, Scratch};
use overhead::report::{Report, Round, Row, Starts};
use overhead::workload::{self, Workload};
use overhead::{limit, upstream};

/// The name under which `--only` knows start-up time and idle memory.
const START: &str = "start";
/// Open files and connections of each process.
const DESCRIPTORS: u64 = 1 << 16;
/// How far a self-check's median may be from 1.
const NOISE: f64 = 0.25;

/// Measures the whole server against a bare hyper reverse proxy.
#[derive(Parser)]
#[command(name = "overhead", args_conflicts_with_subcommands = true)]
struct Cli {
    /// Workloads by name, e.g. `W1,W3L,start`; all if not given.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// The length of each measurement.
    #[arg(long, default_value_t = 3.0)]
    seconds: f64,
    /// Also writes every round's figures to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Another binary than the one built with this bench; started with `--config FILE`.
    #[arg(long)]
    proxy_binary: Option<PathBuf>,
    /// Measures `limit` against `limit`.
    #[arg(long, conflicts_with = "proxy_binary")]
    self_check: bool,
    /// Set by `cargo bench`, and not by `cargo test`.
    #[arg(long, hide = true)]
    bench: bool,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What this program is when it starts itself.
#[derive(Subcommand)]
enum Role {
    #[command(name = "__limit", hide = true)]
    Limit {
        #[arg(long)]
        listen: SocketAddr,
        #[arg(long)]
        upstream: SocketAddr,
    },
    #[command(name = "__upstream", hide = true)]
    Upstream(upstream::Plan),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    match runtime.context("cannot start tokio").and_then(|runtime| runtime.block_on(act(cli))) {
        Ok(code) => code,
        Err(cause) => {
            eprintln!("overhead: {cause}");
            ExitCode::FAILURE
        }
    }
}

async fn act(cli: Cli) -> Outcome<ExitCode> {
    match cli.role {
        Some(Role::Limit { listen, upstream }) => {
            limit::run(listen, upstream).await.map(|()| ExitCode::SUCCESS)
        }
        Some(Role::Upstream(plan)) => upstream::run(plan).await.map(|()| ExitCode::SUCCESS),
        None if !cli.bench => {
            eprintln!("overhead: run by `cargo bench` only");
            Ok(ExitCode::SUCCESS)
        }
        // Children die with what is dropped, so a signal must end the bench in order.
        None => tokio::select! {
            outcome = bench(&cli) => outcome,
            interrupted = interruption() => Err(interrupted),
        },
    }
}

async fn interruption() -> Fail {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return Fail::new("cannot watch for signals");
    };
    tokio::select! {
        _ = terminate.recv() => Fail::new("terminated"),
        _ = interrupt.recv() => Fail::new("interrupted"),
    }
}

async fn bench(cli: &Cli) -> Outcome<ExitCode> {
    // A proxy has two for each of 10,000 streams; children inherit it. Who may not raise it learns from the workload.
    let _ = rlimit::setrlimit(rlimit::Resource::NOFILE, DESCRIPTORS, DESCRIPTORS);
    let chosen = chosen(cli)?;
    let lab = lab(cli)?;
    let mut report = Report {
        proxy: lab.proxy_binary.as_ref().map_or("limit in aiproxy's place", |_| "aiproxy").into(),
        profile: if cfg!(debug_assertions) { "UNOPTIMISED" } else { "optimised" },
        cpus: std::thread::available_parallelism().map_or(0, usize::from),
        load_average: proc::load_average()?,
        rounds: cli.rounds,
        seconds: cli.seconds,
        rows: Vec::new(),
        starts: None,
    };
    if wants(cli, START) {
        report.starts = Some(starts(cli, &lab).await?);
    }
    for workload in chosen {
        report.rows.push(row(cli, &lab, workload).await?);
    }
    println!("{}", report.markdown());
    if let Some(file) = &cli.json {
        let text = serde_json::to_string_pretty(&report).context("cannot write JSON")?;
        std::fs::write(file, text).context(format!("cannot write {}", file.display()))?;
    }
    Ok(if cli.self_check { self_check(&report) } else { ExitCode::SUCCESS })
}

fn wants(cli: &Cli, id: &str) -> bool {
    cli.only.is_empty() || cli.only.iter().any(|only| only == id)
}

fn chosen(cli: &Cli) -> Outcome<Vec<&'static Workload>> {
    let ids: Vec<&str> = workload::ALL.iter().map(|workload| workload.id).chain([START]).collect();
    if let Some(unknown) = cli.only.iter().find(|only| !ids.contains(&only.as_str())) {
        return Err(Fail::new(format!("no workload is called {unknown}; there are {}", ids.join(", "))));
    }
    if cli.rounds == 0 || !(0.1..=600.0).contains(&cli.seconds) {
        return Err(Fail::new("at least one round, and 0.1 to 600 seconds each"));
    }
    Ok(workload::ALL.iter().filter(|workload| wants(cli, workload.id)).collect())
}

fn lab(cli: &Cli) -> Outcome<Lab> {
    let built = || PathBuf::from(env!("CARGO_BIN_EXE_aiproxy"));
    Ok(Lab {
        own_binary: std::env::current_exe().context("cannot find this program")?,
        proxy_binary: (!cli.self_check).then(|| cli.proxy_binary.clone().unwrap_or_else(built)),
        window: Duration::from_secs_f64(cli.seconds),
        scratch: Scratch::new()?,
    })
}

async fn starts(cli: &Cli, lab: &Lab) -> Outcome<Starts> {
    let mut starts = Starts { limit: Vec::new(), aiproxy: Vec::new() };
    let workload = &workload::ALL[0];
    for round in 1..=cli.rounds {
        for (target, list) in [(Target::Limit, &mut starts.limit), (Target::Aiproxy, &mut starts.aiproxy)] {
            let step = step(START, round, cli.rounds, target);
            let start = lab.measure_start(workload, target).await.context(&step)?;
            eprintln!("{step}: {:.1} ms, {} KB", start.start_up_ms, start.idle_kb);
            list.push(start);
        }
    }
    Ok(starts)
}

async fn row(cli: &Cli, lab: &Lab, workload: &Workload) -> Outcome<Row> {
    let mut rounds = Vec::new();
    for number in 1..=cli.rounds {
        let measure = async |target| {
            let step = step(workload.id, number, cli.rounds, target);
            let sample = lab.measure(workload, target).await.context(&step)?;
            eprintln!("{step}: {}", summary(workload, &sample));
            Ok::<Sample, Fail>(sample)
        };
        let direct = if workload.direct { Some(measure(Target::Direct).await?) } else { None };
        let round =
            Round { direct, limit: measure(Target::Limit).await?, aiproxy: measure(Target::Aiproxy).await? };
        eprintln!("{}, round {number}: ratio {:.2}", workload.id, round.ratio());
        rounds.push(round);
    }
    Ok(Row::new(workload, rounds))
}

fn step(id: &str, round: usize, rounds: usize, target: Target) -> String {
    format!("{id}, round {round} of {rounds}, {}", target.name())
}

fn summary(workload: &Workload, sample: &Sample) -> String {
    let unit = workload.load.unit();
    let mut text = format!("{:.0} {unit}s/s", sample.per_second);
    if let Some(cpu) = sample.cpu_us {
        text += &format!(", {cpu:.1} us CPU each");
    }
    if let (Some(p50), Some(p99)) = (sample.delay_p50_us, sample.delay_p99_us) {
        text += &format!(", p50 {p50:.0} us, p99 {p99:.0} us");
    }
    if let (Some(idle), Some(loaded)) = (sample.idle_kb, sample.loaded_kb) {
        text += &format!(", {idle} to {loaded} KB");
    }
    text
}

/// `limit` against itself: anything but about 1 is the harness's fault, or the machine's.
fn self_check(report: &Report) -> ExitCode {
    let near = 1.0 - NOISE..=1.0 + NOISE;
    let off = |row: &&Row| !near.contains(&row.ratios().median);
    let off: Vec<&str> = report.rows.iter().filter(off).map(|row| row.id).collect();
    if off.is_empty() {
        println!("self-check: every median is within {:.0} % of 1", NOISE * 100.0);
        return ExitCode::SUCCESS;
    }
    println!("self-check: further than {:.0} % from 1: {}", NOISE * 100.0, off.join(", "));
    ExitCode::FAILURE
}
