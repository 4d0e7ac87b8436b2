//! From arguments to a running server.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::net::TcpListener;
use tokio::runtime::{Builder as RuntimeBuilder, Runtime};

use super::cli::{ServeArgs, print};
use super::listen::{self, Drain};
use super::router::{Pages, router};
use super::{demo, log};
use crate::config::Config;
use crate::error::BoxError;
use crate::gateway::Gateway;
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
    let runtime = runtime(&config)?;
    runtime.block_on(async {
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

fn runtime(config: &Config) -> Result<Runtime, BoxError> {
    let mut builder = RuntimeBuilder::new_multi_thread();
    if let Some(threads) = config.server.worker_threads {
        builder.worker_threads(threads.get() as usize);
    }
    Ok(builder.enable_all().build()?)
}

async fn run(config: &Config, origin: &Origin) -> Result<(), BoxError> {
    let recorder = if config.metrics.enabled { Some(recorder()?) } else { None };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let gateway = Gateway::from_config(config)?;
    let address = &config.address;
    let listener = TcpListener::bind((address.host.as_str(), address.port))
        .await
        .map_err(|error| format!("cannot listen on {address}: {error}"))?;
    let local = listener.local_addr()?;
    announce(config, origin, &local.to_string());

    let ready = Arc::new(AtomicBool::new(true));
    let pages = Pages {
        ready: ready.clone(),
        metrics: recorder.map(|handle| (config.metrics.path.clone(), handle)),
        keys: config.api_keys.iter().map(|key| key.expose().to_owned()).collect(),
    };
    let service = router(gateway, pages);
    let drain =
        Drain { most: config.shutdown.drain, begun: Box::new(move || ready.store(false, Ordering::Relaxed)) };
    listen::serve(listener, service, listen::signals(), drain).await;
    Ok(())
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
        let mut tick = tokio::time::interval(std::time::Duration::from_secs(5));
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
