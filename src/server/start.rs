//! From arguments to a running server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};
use tokio::sync::mpsc;

use super::cli::{ServeArgs, print};
use super::front::Front;
use super::limits::Limits;
use super::listen::{self, Drain, Source};
use super::router::{Pages, router};
use super::{admin, demo, log};
use crate::config::{self, Config};
use crate::error::BoxError;
use crate::gateway::Builder;
use crate::layer::HostCheckLayer;
use crate::layer::metrics::names;
use crate::simulator::{SimulateArgs, Simulator};

/// Where the configuration came from.
enum Origin {
    File,
    Environment,
    Demo,
}

pub(super) fn serve(arguments: &ServeArgs) -> Result<(), BoxError> {
    let (mut config, origin) = configuration(arguments)?;
    let _log = log::start(&config.log)?;
    raise_descriptor_limit();
    runtime()?.block_on(async {
        let _simulator = match origin {
            Origin::Demo => Some(demo::start(&mut config).await?),
            Origin::File | Origin::Environment => None,
        };
        run(&config, &origin).await
    })
}

fn configuration(arguments: &ServeArgs) -> Result<(Config, Origin), BoxError> {
    let default = Path::new("config.yaml");
    if let Some(path) = arguments.config.as_deref().or_else(|| default.exists().then_some(default)) {
        return Ok((Config::load(path)?, Origin::File));
    }
    let variables = |name: &str| std::env::var(name).ok();
    match Config::from_environment(&variables)? {
        Some(config) => Ok((config, Origin::Environment)),
        None => Ok((Config::default(), Origin::Demo)),
    }
}

/// As many open connections as this process may have: each stream takes two, and the usual limit of 1024 is meant for
/// programs that are older than streams.
fn raise_descriptor_limit() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(limit) => tracing::debug!(limit, "open files and connections"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

/// One runtime a thread: a request stays where its connection is, from the client's socket to the
/// upstream's, and nobody wakes another thread (`benches/overhead.rs` shows the price of the other way).
fn runtime() -> Result<Runtime, BoxError> {
    Ok(RuntimeBuilder::new_current_thread().enable_all().build()?)
}

async fn run(config: &Config, origin: &Origin) -> Result<(), BoxError> {
    let recorder = if config.metrics.enabled { Some(recorder()?) } else { None };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let gateway = Builder::from_config(config)?.host_check(host_check(config)).build()?;
    let address = &config.address;
    let listener = TcpListener::bind((address.host.as_str(), address.port))
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let local = listener.local_addr()?;
    announce(config, origin, &local.to_string());
    let admin = match &config.admin {
        Some(admin) => Some(admin::listen(admin, gateway.clone(), config.shutdown.drain).await?),
        None => None,
    };

    let ready = Arc::new(AtomicBool::new(true));
    let pages = Pages {
        ready: ready.clone(),
        metrics: recorder.map(|handle| (config.metrics.path.clone(), handle)),
        keys: config.api_keys.iter().map(|key| key.expose().to_owned()).collect(),
        host_check: host_check(config),
    };
    let service = Front { gateway: gateway.clone(), pages: router(gateway.clone(), pages) };
    let limits = limits(&config.server);
    let cores = thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = config.server.worker_threads.map_or(cores, |threads| threads.get() as usize);
    let mut workers = Vec::new();
    let (mut stops, mut others) = (Vec::new(), Vec::new());
    for number in 1..threads {
        let (stop, stopped) = mpsc::channel(2);
        let (sender, handed) = mpsc::unbounded_channel();
        let (service, most, closed) = (service.clone(), config.shutdown.drain, gateway.clone());
        let work = move || {
            let drain = Drain::new(most).over(move || closed.close());
            let end = runtime()?.block_on(listen::serve_from(
                Source::Worker(handed),
                &limits,
                service,
                stopped,
                drain,
            ));
            Ok::<_, BoxError>(end)
        };
        others.push(sender);
        workers.push(thread::Builder::new().name(format!("worker-{number}")).spawn(work)?);
        stops.push(stop);
    }
    // This thread is the first worker, and tells the others when to stop.
    let (stop, stopped) = mpsc::channel(2);
    stops.push(stop);
    stops.extend(admin.as_ref().map(|admin| admin.stop.clone()));
    tokio::spawn(async move {
        let mut signals = listen::signals();
        while signals.recv().await.is_some() {
            ready.store(false, Ordering::Relaxed);
            for stop in &stops {
                let _ = stop.try_send(());
            }
        }
    });
    let most = config.shutdown.drain;
    let drain = Drain::new(most).begun(move || listen::stopping(most)).over(move || gateway.close());
    let source = Source::listener(listener, &limits, others);
    let mut end = listen::serve_from(source, &limits, service, stopped, drain).await;
    if let Some(admin) = admin {
        end = end.max(admin.end.await?);
    }
    for worker in workers {
        // Not on this thread, which has still to hear a second signal.
        let ended = tokio::task::spawn_blocking(|| worker.join()).await?;
        end = end.max(ended.map_err(|_| "a worker thread has died")??);
    }
    listen::stopped(end);
    Ok(())
}

fn limits(server: &config::Server) -> Limits {
    Limits {
        max_connections: server.max_connections,
        max_header_size: server.max_header_size,
        header_timeout: server.header_timeout,
        write_timeout: server.write_timeout,
    }
}

/// An address that only this machine can reach has this machine's names, and those that proxies before it go by. Nobody
/// knows how a public one is called, unless its configuration says so.
fn host_check(config: &Config) -> HostCheckLayer {
    let check = HostCheckLayer::new().allow(&config.allowed_hosts).same_site(config.api_keys.is_empty());
    let is_known = config.address.is_loopback() || !config.allowed_hosts.is_empty();
    if is_known { check } else { check.allow(["*"]) }
}

fn announce(config: &Config, origin: &Origin, address: &str) {
    let upstreams: Vec<&str> = config.upstreams.iter().map(|upstream| upstream.name.as_str()).collect();
    tracing::info!(address, upstreams = upstreams.join(","), "listening");
    match origin {
        Origin::File => {}
        Origin::Environment => print(&format!(
            "aiproxy listens on http://{address}, with upstreams from the keys in the environment: {}",
            upstreams.join(", ")
        )),
        Origin::Demo => demo::explain(address),
    }
    if config.api_keys.is_empty() && !config.address.is_loopback() {
        tracing::warn!(
            "anybody who reaches {address} can spend the upstreams' keys: no api-key is configured"
        );
    }
}

/// Installs the Prometheus recorder and keeps its histograms small.
fn recorder() -> Result<PrometheusHandle, BoxError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &names::DURATION_BUCKETS)?
        .install_recorder()?;
    metrics::gauge!(names::BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    let upkeep = handle.clone();
    tokio::spawn(async move {
        let mut tick = tokio::time::interval(Duration::from_secs(5));
        loop {
            tick.tick().await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}

pub(super) fn simulate(arguments: SimulateArgs) -> Result<(), BoxError> {
    let runtime = RuntimeBuilder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind(arguments.listen)
            .await
            .map_err(|error| format!("cannot listen on {}: {error}", arguments.listen))?;
        print(&format!("a simulated provider listens on http://{}", listener.local_addr()?));
        let mut signals = listen::signals();
        let stop = async move {
            signals.recv().await;
        };
        Simulator::new((&arguments).into()).serve(listener, stop).await?;
        Ok(())
    })
}
