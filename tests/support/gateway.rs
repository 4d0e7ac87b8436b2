//! A gateway on a port of its own.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use aiproxy::Gateway;
use aiproxy::config::{Config, Source};
use aiproxy::gateway::UpstreamSpec;
use aiproxy::server::{Drain, Limits, Pages, router, serve_within};
use aiproxy::upstream::ApiType;
use tokio::net::TcpListener;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::Protocol;

/// A gateway that listens until it is told to stop.
pub struct Served {
    pub addr: SocketAddr,
    /// What `/readyz` tells.
    pub ready: Arc<AtomicBool>,
    /// Notified when it has stopped listening.
    pub draining: Arc<Notify>,
    stop: mpsc::Sender<()>,
    pub task: JoinHandle<()>,
}

impl Served {
    /// Serves `gateway` with pages of its own and without keys for the model lists.
    pub async fn start(gateway: Gateway) -> Served {
        Served::with_pages(gateway, Pages::default()).await
    }

    pub async fn with_pages(gateway: Gateway, pages: Pages) -> Served {
        Served::within(Limits::default(), gateway, pages).await
    }

    pub async fn within(limits: Limits, gateway: Gateway, pages: Pages) -> Served {
        Served::for_so_long(Duration::from_secs(60), limits, gateway, pages).await
    }

    /// One that waits no longer than `most` for what is under way when it is told to stop.
    pub async fn patient_for(most: Duration, gateway: Gateway) -> Served {
        Served::for_so_long(most, Limits::default(), gateway, Pages::default()).await
    }

    async fn for_so_long(most: Duration, limits: Limits, gateway: Gateway, pages: Pages) -> Served {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (stop, stopped) = mpsc::channel(2);
        let ready = pages.ready.clone();
        ready.store(true, Ordering::Relaxed);
        let draining = Arc::new(Notify::new());
        let begun = {
            let (ready, draining) = (ready.clone(), draining.clone());
            move || {
                ready.store(false, Ordering::Relaxed);
                draining.notify_one();
            }
        };
        let closed = gateway.clone();
        let drain = Drain::new(most).begun(begun).over(move || closed.close());
        let task = tokio::spawn(serve_within(limits, listener, router(gateway, pages), stopped, drain));
        Served { addr, ready, draining, stop, task }
    }

    /// Serves what a YAML text describes.
    pub async fn yaml(text: &str) -> Served {
        Served::start(from_yaml(text)).await
    }

    /// As SIGTERM would.
    pub async fn stop(&self) {
        self.stop.send(()).await.unwrap();
    }
}

/// The gateway that a YAML text describes.
pub fn from_yaml(text: &str) -> Gateway {
    let source = Source::new("test.yaml", &|_| None);
    let config = Config::parse(text, &source).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    Gateway::from_config(&config).unwrap()
}

/// The API type that speaks a protocol.
pub fn api(protocol: Protocol) -> ApiType {
    ApiType::ALL.into_iter().find(|api| api.protocol() == protocol).unwrap()
}

/// An upstream of this protocol at `url`.
pub fn upstream(name: &str, protocol: Protocol, url: &str) -> UpstreamSpec {
    UpstreamSpec::new(name, api(protocol), url.parse().unwrap()).key("upstream-key")
}

/// A gateway with these upstreams and nothing else.
pub fn gateway(upstreams: impl IntoIterator<Item = UpstreamSpec>) -> Gateway {
    let builder = Gateway::builder();
    upstreams.into_iter().fold(builder, |builder, spec| builder.upstream(spec)).build().unwrap()
}
