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
use hyper_util::client::legacy::connect::proxy::{SocksV4, SocksV5, Tunnel};
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

/// How long each question waits for its answer: who says nothing to all of them is gone, a minute after his last word. No
/// such bound (TCP_USER_TIMEOUT) for what is on its way: it would end requests to servers that read them late.
const ANSWER: Duration = Duration::from_secs(10);

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
        Connector::through(Matcher::from_env(), most, http2)
    }

    /// Whether the way to this address is one that can be gone.
    pub(super) fn check(&self, uri: &Uri) -> Result<(), BoxError> {
        let is_tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        match self.0.proxies.intercept(uri).filter(|_| is_tls) {
            Some(proxy) => Way::of(proxy.uri()).map(drop),
            None => Ok(()),
        }
    }

    fn through(proxies: Matcher, most: Duration, http2: bool) -> Result<Self, BoxError> {
        let tls = tls(if http2 { &[b"h2", b"http/1.1"] } else { &[b"http/1.1"] })?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        // Small pieces must not wait for each other.
        tcp.set_nodelay(true);
        tcp.set_connect_timeout(Some(most));
        tcp.set_keepalive(Some(SILENCE));
        tcp.set_keepalive_interval(Some(ANSWER));
        tcp.set_keepalive_retries(Some(QUESTIONS));
        let direct = HttpsConnector::from((tcp.clone(), tls.clone()));
        Ok(Connector(Arc::new(Parts { tcp, direct, tls, proxies, most })))
    }
}

/// How a proxy is spoken to.
enum Way {
    /// `CONNECT`, in HTTP.
    Tunnel,
    Socks4 {
        local_dns: bool,
    },
    Socks5 {
        local_dns: bool,
    },
}

impl Way {
    fn of(proxy: &Uri) -> Result<Way, BoxError> {
        match proxy.scheme_str() {
            None | Some("http") => Ok(Way::Tunnel),
            Some("socks4") => Ok(Way::Socks4 { local_dns: true }),
            Some("socks4a") => Ok(Way::Socks4 { local_dns: false }),
            Some("socks5") => Ok(Way::Socks5 { local_dns: true }),
            Some("socks5h") => Ok(Way::Socks5 { local_dns: false }),
            Some(other) => Err(format!("a proxy of this kind cannot be used: {other}").into()),
        }
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
            Some(proxy) => match Way::of(proxy.uri()) {
                Ok(Way::Tunnel) => {
                    let mut tunnel = Tunnel::new(proxy.uri().clone(), tcp.clone());
                    if let Some(auth) = proxy.basic_auth() {
                        tunnel = tunnel.with_auth(auth.clone());
                    }
                    HttpsConnector::from((tunnel, tls.clone())).call(uri)
                }
                Ok(Way::Socks4 { local_dns }) => {
                    let socks = SocksV4::new(proxy.uri().clone(), tcp.clone()).local_dns(local_dns);
                    HttpsConnector::from((socks, tls.clone())).call(uri)
                }
                Ok(Way::Socks5 { local_dns }) => {
                    let mut socks = SocksV5::new(proxy.uri().clone(), tcp.clone()).local_dns(local_dns);
                    if let Some((user, password)) = proxy.raw_auth() {
                        socks = socks.with_auth(user.to_owned(), password.to_owned());
                    }
                    HttpsConnector::from((socks, tls.clone())).call(uri)
                }
                Err(error) => return Box::pin(std::future::ready(Err(error))),
            },
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
    async fn a_silent_path_is_kept_open_and_a_dead_one_found_out() {
        let (_listener, address) = listener().await;
        let mut connector = Connector::new(ANSWER, false).unwrap();
        let connected = connector.call(format!("http://{address}").parse().unwrap()).await.unwrap();
        let MaybeHttpsStream::Http(stream) = connected.into_inner() else { panic!("no TLS was asked for") };
        let socket = SockRef::from(stream.inner());
        assert!(socket.keepalive().unwrap() && socket.tcp_nodelay().unwrap());
        #[cfg(target_os = "linux")]
        {
            let times = (socket.tcp_keepalive_time().unwrap(), socket.tcp_keepalive_interval().unwrap());
            assert_eq!(times, (Duration::from_secs(30), Duration::from_secs(10)));
            assert_eq!(socket.tcp_keepalive_retries().unwrap(), 3);
            assert_eq!(socket.tcp_user_timeout().unwrap(), None, "who reads late is not dead");
        }
    }

    /// What a proxy at this kind of address is told first.
    async fn first_words(scheme: &str) -> Vec<u8> {
        let (listener, address) = listener().await;
        let proxies = Matcher::builder().all(format!("{scheme}://{address}")).build();
        let mut connector = Connector::through(proxies, ANSWER, false).unwrap();
        let connecting = tokio::spawn(connector.call("https://provider.example".parse().unwrap()));
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut words = vec![0; 64];
        let count = stream.read(&mut words).await.unwrap();
        connecting.abort();
        words.truncate(count);
        words
    }

    #[tokio::test]
    async fn a_proxy_is_spoken_to_in_its_own_language() {
        assert!(first_words("http").await.starts_with(b"CONNECT provider.example:443 HTTP/1.1\r\n"));
        assert!(first_words("socks5h").await.starts_with(&[5]));
        assert!(first_words("socks4a").await.starts_with(&[4, 1]));
        let proxies = Matcher::builder().all("https://proxy.example").build();
        let connector = Connector::through(proxies, ANSWER, false).unwrap();
        // Its credentials would go out in clear.
        let refused = connector.check(&"https://provider.example".parse().unwrap()).unwrap_err();
        assert!(refused.to_string().contains("https"), "{refused}");
        connector.check(&"http://provider.example".parse().unwrap()).unwrap();
    }

    /// The versions of HTTP that an upstream is offered.
    async fn offered(http2: bool) -> Vec<String> {
        let (listener, address) = listener().await;
        let mut connector = Connector::new(ANSWER, http2).unwrap();
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
