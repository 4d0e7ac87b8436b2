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

/// After so much silence the other side is asked whether it is there, which also keeps the path open through routers
/// that forget silent connections: models think for minutes.
const SILENCE: Duration = Duration::from_secs(30);

/// How often it is asked until it is given up.
const QUESTIONS: u32 = 3;

/// A path on which nothing was acknowledged for so long is dead; the system itself would wait a quarter of an hour. Where
/// laptops wake up, connections are idle that exist on one side alone.
const DEAD: Duration = Duration::from_secs(60);

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
    pub(super) fn new(most: Duration, http2: bool) -> Result<Self, BoxError> {
        let tls = tls(if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] })?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Small pieces must not wait for each other.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(most));
        tcp.set_keepalive(Some(SILENCE));
        tcp.set_keepalive_interval(Some((DEAD - SILENCE) / QUESTIONS));
        tcp.set_keepalive_retries(Some(QUESTIONS));
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        tcp.set_tcp_user_timeout(Some(DEAD));
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

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use rustls::server::Acceptor;
    use socket2::SockRef;
    use tokio::io::AsyncReadExt as _;
    use tokio::net::TcpListener;

    use super::*;

    async fn listener() -> (TcpListener, String) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        (listener, address)
    }

    #[tokio::test]
    async fn a_path_that_is_dead_is_given_up_and_a_silent_one_kept_open() {
        let (_listener, address) = listener().await;
        let mut connector = Connector::new(DEAD, false).unwrap();
        let connected = connector.call(format!("http://{address}").parse().unwrap()).await.unwrap();
        let MaybeHttpsStream::Http(stream) = connected.into_inner() else { panic!("no TLS was asked for") };
        let socket = SockRef::from(stream.inner());
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
            assert_eq!(
                socket.tcp_keepalive_interval().unwrap() * socket.tcp_keepalive_retries().unwrap(),
                SILENCE
            );
            assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(60)));
        }
    }

    /// The versions of HTTP that an upstream is offered.
    async fn offered(http2: bool) -> Vec<String> {
        let (listener, address) = listener().await;
        let mut connector = Connector::new(DEAD, http2).unwrap();
        let connecting = tokio::spawn(connector.call(format!("https://{address}").parse().unwrap()));
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut acceptor = Acceptor::default();
        let accepted = loop {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            acceptor.read_tls(&mut &bytes[..count]).unwrap();
            if let Some(accepted) = acceptor.accept().unwrap_or_else(|_| panic!("no greeting")) {
                break accepted;
            }
        };
        connecting.abort();
        let versions = accepted.client_hello().alpn().into_iter().flatten();
        versions.map(|version| String::from_utf8(version.to_vec()).unwrap()).collect()
    }

    #[tokio::test]
    async fn streams_share_no_connection_unless_somebody_wants_them_to() {
        assert_eq!(offered(false).await, ["http/1.1"]);
        assert_eq!(offered(true).await, ["h2", "http/1.1"]);
    }
}
