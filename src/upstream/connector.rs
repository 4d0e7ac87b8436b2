//! Opens connections to upstreams: TCP, TLS, and the proxy that the environment names.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Duration;

use http::Uri;
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::client::Resumption;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio::net::TcpStream;
use tower::Service;

use super::connection::Remembering;
use crate::error::BoxError;

/// Opens connections; bounded in time, with name resolution, TLS and tunnel included.
///
/// The pooled client copies it with every request, so copying it copies one reference count.
#[derive(Clone)]
pub(super) struct Connector(Arc<Parts>);

struct Parts {
    tcp: HttpConnector,
    direct: HttpsConnector<HttpConnector>,
    tls: Arc<ClientConfig>,
    proxies: Matcher,
    most: Duration,
}

impl Connector {
    /// Takes `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` from the environment. They hold for `https`
    /// upstreams: a key never goes through a proxy in clear.
    pub(super) fn new(most: Duration) -> Result<Self, BoxError> {
        let tls = tls(&[b"h2", b"http/1.1"])?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Small pieces must not wait for each other.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(most));
        let direct = HttpsConnector::from((tcp.clone(), tls.clone()));
        Ok(Connector(Arc::new(Parts { tcp, direct, tls, proxies: Matcher::from_env(), most })))
    }
}

/// TLS with the machine's own authorities, for these versions of HTTP.
///
/// They are read once: every upstream trusts the same, and there are hundreds of them to parse.
pub(crate) fn tls(versions: &[&[u8]]) -> Result<Arc<ClientConfig>, BoxError> {
    static SHARED: OnceLock<ClientConfig> = OnceLock::new();
    let shared = match SHARED.get() {
        Some(shared) => shared,
        None => {
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let tls = ClientConfig::builder_with_provider(provider)
                .with_safe_default_protocol_versions()?
                .with_platform_verifier()?
                .with_no_client_auth();
            SHARED.get_or_init(|| tls)
        }
    };
    let mut tls = shared.clone();
    // Sessions are resumed at the host that they began with, per upstream.
    tls.resumption = Resumption::default();
    tls.alpn_protocols = versions.iter().map(|version| version.to_vec()).collect();
    Ok(Arc::new(tls))
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connector").finish_non_exhaustive()
    }
}

impl Service<Uri> for Connector {
    type Response = Remembering<MaybeHttpsStream<TokioIo<TcpStream>>>;
    type Error = BoxError;
    // Once a connection, not once a request.
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let Parts { tcp, direct, tls, proxies, most } = &*self.0;
        let is_tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let proxy = if is_tls { proxies.intercept(&uri) } else { None };
        let connecting = match proxy {
            None => direct.clone().call(uri),
            Some(proxy) => {
                let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp.clone());
                if let Some(auth) = proxy.basic_auth() {
                    tunnel = tunnel.with_auth(auth.clone());
                }
                HttpsConnector::from((tunnel, tls.clone())).call(uri)
            }
        };
        let most = *most;
        Box::pin(async move {
            match tokio::time::timeout(most, connecting).await {
                Ok(connected) => connected.map(Remembering::new),
                Err(elapsed) => Err(elapsed.into()),
            }
        })
    }
}
