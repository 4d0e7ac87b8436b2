//! One measurement: start the processes, put the load on, look at the two ends of a window.
//!
//! Each measurement has processes of its own, so that none inherits the heap, the connections or the luck of the one
//! before, and so that memory can be read from the start.

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use bytes::Bytes;
use serde::de::IgnoredAny;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::answers::{self, Protocol};
use super::bodies;
use super::check::Expected;
use super::fail::{Context, Fail, Outcome};
use super::load::{self, Call, Tally};
use super::proc::{Cpu, Process, Scratch, free_address};
use super::workload::{Load, Workload, name};

/// From the first answer on all connections to the window.
const WARM_UP: Duration = Duration::from_millis(400);
/// All connections must have seen an answer after this, and all must have ended this long after the window.
const PATIENCE: Duration = Duration::from_secs(20);
/// What opening paced streams may take; they are this much longer than the window.
const OPENING: Duration = Duration::from_secs(3);
/// Before the memory of an idle process is read.
const SETTLE: Duration = Duration::from_millis(200);

/// Whom the load generator talks to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Direct,
    Limit,
    Aiproxy,
}

impl Target {
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Limit => "limit",
            Self::Aiproxy => "aiproxy",
        }
    }
}

/// What one measurement found. Of `direct` there is no process to look at.
#[derive(Clone, serde::Serialize)]
pub struct Sample {
    pub per_second: f64,
    pub cpu_us: Option<f64>,
    pub delay_p50_us: Option<f64>,
    pub delay_p99_us: Option<f64>,
    pub idle_kb: Option<u64>,
    pub loaded_kb: Option<u64>,
}

/// What a process costs before anybody asks it anything.
#[derive(Clone, serde::Serialize)]
pub struct Start {
    pub start_up_ms: f64,
    pub idle_kb: u64,
}

/// Where processes come from.
pub struct Lab {
    /// This very program, for `limit` and the upstream.
    pub own_binary: PathBuf,
    /// `None`: `limit` stands in for the gateway.
    pub proxy_binary: Option<PathBuf>,
    pub window: Duration,
    pub scratch: Scratch,
}

impl Lab {
    pub async fn measure(&self, workload: &Workload, target: Target) -> Outcome<Sample> {
        let body = bodies::body(workload.client, workload.size, workload.load.streamed());
        serde_json::from_str::<IgnoredAny>(&body).context("the bench's own request is not JSON")?;
        let upstream = self.start_upstream(workload, body.len() / 2).await?;
        let mut proxy = self.start_proxy(workload, target, &upstream).await?;
        let address = proxy.as_ref().unwrap_or(&upstream).address;
        let call = Call::new(address, workload.client, Bytes::from(body), self.expected(workload));
        let sample = self.put_load(workload.load, call, proxy.as_ref()).await;
        let words = |proxy: &Process| proxy.last_words();
        let sample = sample.map_err(|cause| {
            Fail::new(format!("{cause}{}", proxy.as_ref().map_or_else(String::new, words)))
        })?;
        if let Some(proxy) = &mut proxy {
            proxy.assert_running()?;
        }
        Ok(sample)
    }

    /// Starts the gateway, or `limit`, with nobody to talk to.
    pub async fn measure_start(&self, workload: &Workload, target: Target) -> Outcome<Start> {
        let upstream = self.start_upstream(workload, 0).await?;
        let proxy = self.start_proxy(workload, target, &upstream).await?;
        let proxy = proxy.ok_or_else(|| Fail::new("direct has no start"))?;
        sleep(SETTLE).await;
        Ok(Start { start_up_ms: proxy.start_up.as_secs_f64() * 1e3, idle_kb: proxy.rss_kb()? })
    }

    async fn start_upstream(&self, workload: &Workload, min_request: usize) -> Outcome<Process> {
        let address = free_address()?;
        let every_ms = match workload.load {
            Load::Paced { every, .. } => every.as_millis(),
            _ => 0,
        };
        let mut command = Command::new(&self.own_binary);
        command
            .args(["__upstream", "--listen", &address.to_string()])
            .args(["--events", &self.events(workload.load).to_string()])
            .args(["--every-ms", &every_ms.to_string()])
            .args(["--min-request", &min_request.to_string()]);
        Process::start("the upstream", command, address, self.scratch.file("upstream.log")).await
    }

    async fn start_proxy(
        &self,
        workload: &Workload,
        target: Target,
        upstream: &Process,
    ) -> Outcome<Option<Process>> {
        let address = free_address()?;
        let command = match (target, &self.proxy_binary) {
            (Target::Direct, _) => return Ok(None),
            (Target::Aiproxy, Some(binary)) => {
                let file = self.scratch.file("config.yaml");
                fs::write(&file, config(workload, address.port(), upstream.address.port()))
                    .context(format!("cannot write {}", file.display()))?;
                let mut command = Command::new(binary);
                command.arg("--config").arg(file);
                command
            }
            (Target::Limit, _) | (Target::Aiproxy, None) => {
                let mut command = Command::new(&self.own_binary);
                command
                    .args(["__limit", "--listen", &address.to_string()])
                    .args(["--upstream", &upstream.address.to_string()]);
                command
            }
        };
        Process::start(target.name(), command, address, self.scratch.file("proxy.log")).await.map(Some)
    }

    /// Pieces of text in one stream. Paced streams must outlast the window.
    fn events(&self, load: Load) -> usize {
        match load {
            Load::Closed { events } => events,
            Load::Rate { .. } => 0,
            Load::Paced { every, .. } => {
                let length = every + OPENING + WARM_UP + self.window * load.stretch();
                // The first piece comes at once.
                (length.as_secs_f64() / every.as_secs_f64()).ceil() as usize + 1
            }
        }
    }

    fn expected(&self, workload: &Workload) -> Expected {
        let streamed = workload.load.streamed();
        Expected {
            marks: self.events(workload.load).max(1),
            ending: workload.client.ending(streamed),
            min_length: if streamed { 0 } else { answers::answer(workload.client).len() / 2 },
            stamped: matches!(workload.load, Load::Paced { .. }),
        }
    }

    /// Runs the load and measures, ending both when either fails.
    async fn put_load(&self, load: Load, call: Call, proxy: Option<&Process>) -> Outcome<Sample> {
        let idle_kb = proxy.map(Process::rss_kb).transpose()?;
        let tally = Arc::new(Tally::new());
        let mut tasks = load::start(load, call, &tally);
        let mut sample = tokio::select! {
            sample = self.window(load, &tally, proxy) => sample?,
            failed = first_end(&mut tasks) => return Err(failed),
        };
        tally.stop.store(true, Relaxed);
        let patience = PATIENCE + OPENING;
        timeout(patience, all_end(tasks)).await.context("the load does not end after the measurement")??;
        sample.idle_kb = idle_kb;
        Ok(sample)
    }

    async fn window(&self, load: Load, tally: &Tally, proxy: Option<&Process>) -> Outcome<Sample> {
        let begun = timeout(PATIENCE, tally.begun.acquire_many(load::when_begun(load))).await;
        begun.context("not every connection was answered after 20 s")?.context("the load")?.forget();
        sleep(WARM_UP).await;
        let before = Moment::now(load, tally, proxy)?;
        tally.record.store(true, Relaxed);
        sleep(self.window * load.stretch()).await;
        let after = Moment::now(load, tally, proxy)?;
        tally.record.store(false, Relaxed);
        let loaded_kb = proxy.map(Process::rss_kb).transpose()?;
        after.since(&before, &tally.sorted_delays_ns(), loaded_kb)
    }
}

/// Waits for the first task that ends, which no task should do yet.
async fn first_end(tasks: &mut JoinSet<Outcome<()>>) -> Fail {
    match tasks.join_next().await {
        Some(Ok(Err(cause))) => cause,
        Some(Err(cause)) => Fail::new(format!("the load's task failed: {cause}")),
        Some(Ok(Ok(()))) | None => Fail::new("the load ended before the measurement did"),
    }
}

async fn all_end(mut tasks: JoinSet<Outcome<()>>) -> Outcome<()> {
    while let Some(ended) = tasks.join_next().await {
        ended.context("the load's task failed")??;
    }
    Ok(())
}

/// One end of the window.
struct Moment {
    at: Instant,
    units: u64,
    cpu: Option<Cpu>,
}

impl Moment {
    fn now(load: Load, tally: &Tally, proxy: Option<&Process>) -> Outcome<Self> {
        let units = if load.streamed() { &tally.events } else { &tally.answers };
        Ok(Self { cpu: proxy.map(Process::cpu).transpose()?, units: units.load(Relaxed), at: Instant::now() })
    }

    fn since(&self, earlier: &Self, delays_ns: &[u64], loaded_kb: Option<u64>) -> Outcome<Sample> {
        let units = (self.units - earlier.units) as f64;
        if units == 0.0 {
            return Err(Fail::new("nothing arrived during the measurement"));
        }
        let cpu = self.cpu.as_ref().zip(earlier.cpu.as_ref()).map(|(after, before)| after.since(before));
        Ok(Sample {
            per_second: units / (self.at - earlier.at).as_secs_f64(),
            cpu_us: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / units),
            delay_p50_us: quantile_us(delays_ns, 0.50),
            delay_p99_us: quantile_us(delays_ns, 0.99),
            idle_kb: None,
            loaded_kb,
        })
    }
}

/// Nearest rank.
fn quantile_us(sorted_ns: &[u64], quantile: f64) -> Option<f64> {
    let rank = (quantile * sorted_ns.len() as f64).ceil() as usize;
    sorted_ns.get(rank.saturating_sub(1)).map(|&ns| ns as f64 / 1e3)
}

/// The gateway's configuration: nothing but what it cannot do without.
fn config(workload: &Workload, port: u16, upstream_port: u16) -> String {
    let log = if workload.default_log { "" } else { "log: { level: warn }\n" };
    let api_type: Protocol = workload.upstream;
    format!(
        "bind: 127.0.0.1\n\
         listen: \":{port}\"\n\
         server: {{ worker_threads: 1 }}\n\
         {log}\
         upstreams:\n\
         \x20 - name: bench\n\
         \x20   base_url: http://127.0.0.1:{upstream_port}\n\
         \x20   token: sk-bench\n\
         \x20   api_type: {}\n",
        name(api_type)
    )
}
