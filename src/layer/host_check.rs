//! Keeps web pages from spending the keys of a gateway that their visitor runs.
//!
//! A browser lets any page send requests to this machine, in two ways. With DNS rebinding the page's own name comes to
//! mean `127.0.0.1`: to the browser the answers are the page's to read, but `Host` still is the page's name. And a plain
//! POST of `text/plain` goes to any site, without a preflight: the page cannot read the answer, but the upstream has been
//! paid for it; such a request carries the page's `Origin`. (No answer has CORS headers, so that all others fail in their
//! preflight.)
//!
//! Stands outside of keys and limits: whom a request believes to ask is the first thing to know of it.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::uri::Authority;
use http::{HeaderValue, Request, Response, Version, header};
use tower::{Layer, Service};

use crate::error::Error;
use crate::protocol::canonical::FaultKind;

pub use super::refusal::ResponseFuture;

/// Refuses requests whose `Host` is none of the gateway's names with 403, and such as have no `Host` or several with 400.
///
/// # Example
///
/// ```
/// use aiproxy::Error;
/// use aiproxy::layer::HostCheckLayer;
/// use http::{Request, Response};
/// use tower::{ServiceBuilder, ServiceExt, service_fn};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let service = ServiceBuilder::new()
///     .layer(HostCheckLayer::new().allow(["gateway.internal"]).same_site(true))
///     .service(service_fn(|_: Request<()>| async { Ok::<_, Error>(Response::new(())) }));
/// let ask = |host, origin| Request::post("/v1/messages").header("host", host).header("origin", origin).body(()).unwrap();
/// assert!(service.clone().oneshot(ask("localhost:8080", "http://127.0.0.1:3000")).await.is_ok());
/// assert!(service.clone().oneshot(ask("gateway.internal", "http://gateway.internal")).await.is_ok());
/// assert!(service.clone().oneshot(ask("evil.example", "http://evil.example")).await.is_err(), "rebinding");
/// assert!(service.oneshot(ask("localhost:8080", "https://evil.example")).await.is_err(), "another site");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct HostCheckLayer {
    /// Lower case, without the dot at the end. `None`: whatever is named.
    names: Option<Arc<[String]>>,
    same_site: bool,
    is_on: bool,
}

impl HostCheckLayer {
    /// Takes requests to this machine by its own names: `localhost` and names that end so, 127.0.0.0/8, `[::1]`.
    #[must_use]
    pub fn new() -> Self {
        HostCheckLayer { names: Some(Arc::default()), same_site: false, is_on: true }
    }

    /// Lets everything through.
    #[must_use]
    pub fn none() -> Self {
        HostCheckLayer { is_on: false, ..HostCheckLayer::new() }
    }

    /// Takes requests to these names, too; `*` is any name. Ports do not matter.
    #[must_use]
    pub fn allow<N: AsRef<str>>(mut self, names: impl IntoIterator<Item = N>) -> Self {
        let new: Vec<String> = names.into_iter().map(|name| plain(name.as_ref())).collect();
        self.names = match self.names {
            Some(known) if new.iter().all(|name| name != "*") => Some([&known[..], &new].concat().into()),
            _ => None,
        };
        self
    }

    /// Whether pages of other sites are refused, for gateways that ask their clients for no key. A page is of this site
    /// if its host is one that may be asked; where any may, if it is the one that is asked. Default false.
    #[must_use]
    pub fn same_site(mut self, same_site: bool) -> Self {
        self.same_site = same_site;
        self
    }

    fn check<B>(&self, request: &Request<B>) -> Result<(), Error> {
        if !self.is_on || is_commonest(request) {
            return Ok(());
        }
        let hosts = request.headers().get_all(header::HOST);
        let mut named = hosts.iter().map(authority).collect::<Option<Vec<_>>>().ok_or_else(malformed)?;
        if named.len() > 1 {
            return Err(malformed());
        }
        // HTTP/2 says it there alone; a request in absolute form in both places.
        named.extend(request.uri().authority().cloned());
        if named.is_empty() && request.version() > Version::HTTP_10 {
            return Err(malformed());
        }
        if !named.iter().all(|host| self.is_name(host.host())) {
            return Err(Error::request(
                FaultKind::Permission,
                "the gateway is asked under a name that is none of its own; `allowed_hosts` in its configuration adds some",
            ));
        }
        let is_foreign =
            |origin| is_of_another_site(origin, |host| self.names.is_some() && self.is_name(host), &named);
        if self.same_site && request.headers().get_all(header::ORIGIN).iter().any(is_foreign) {
            return Err(Error::request(
                FaultKind::Permission,
                "pages of other sites may not use this gateway, which asks for no key; `allowed_hosts` in its \
                 configuration names the hosts whose pages may",
            ));
        }
        Ok(())
    }

    fn is_name(&self, host: &str) -> bool {
        let host = plain(host);
        let Some(names) = &self.names else { return true };
        is_this_machine(&host) || names.contains(&host)
    }
}

impl Default for HostCheckLayer {
    fn default() -> Self {
        HostCheckLayer::new()
    }
}

/// Whether a program on this machine asks under one of the usual names, and no page does: most requests are like this,
/// and need no more looking at.
fn is_commonest<B>(request: &Request<B>) -> bool {
    let mut hosts = request.headers().get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.as_bytes();
    let port = [&b"127.0.0.1"[..], b"localhost"].into_iter().find_map(|name| host.strip_prefix(name));
    let is_usual = port.is_some_and(|port| match port {
        [] => true,
        [b':', digits @ ..] => (1..=5).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    });
    is_usual && request.uri().authority().is_none() && !request.headers().contains_key(header::ORIGIN)
}

/// Without what makes no difference.
fn plain(host: &str) -> String {
    let host = host.strip_prefix('[').and_then(|inner| inner.strip_suffix(']')).unwrap_or(host);
    host.trim_end_matches('.').to_ascii_lowercase()
}

/// Names that no other machine can have: nobody can register one below `localhost`, nor rebind an address.
fn is_this_machine(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

/// A host and perhaps a port, and no user before it.
fn authority(value: &HeaderValue) -> Option<Authority> {
    let text = value.to_str().ok()?;
    text.parse().ok().filter(|host: &Authority| !text.contains('@') && !host.host().is_empty())
}

/// Whether an `Origin` is that of a web site, or hides which; programs that show pages of their own (`app://`,
/// `vscode-webview://`, extensions) are no sites.
fn is_of_another_site(origin: &HeaderValue, is_own: impl Fn(&str) -> bool, asked: &[Authority]) -> bool {
    let Ok(origin) = origin.to_str() else { return true };
    let Some((scheme, rest)) = origin.split_once("://") else { return true };
    if !["http", "https"].iter().any(|web| scheme.eq_ignore_ascii_case(web)) {
        return false;
    }
    let Ok(site) = rest.parse::<Authority>() else { return true };
    !is_own(site.host()) && !asked.iter().any(|asked| plain(asked.host()) == plain(site.host()))
}

fn malformed() -> Error {
    Error::request(FaultKind::InvalidRequest, "host: must be there, once, and name a host")
}

impl<S> Layer<S> for HostCheckLayer {
    type Service = HostCheck<S>;

    fn layer(&self, inner: S) -> HostCheck<S> {
        HostCheck { inner, settings: self.clone() }
    }
}

/// See [`HostCheckLayer`].
#[derive(Clone)]
pub struct HostCheck<S> {
    inner: S,
    settings: HostCheckLayer,
}

impl<S: fmt::Debug> fmt::Debug for HostCheck<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HostCheck").field("inner", &self.inner).finish_non_exhaustive()
    }
}

impl<S, B, R> Service<Request<B>> for HostCheck<S>
where
    S: Service<Request<B>, Response = Response<R>>,
    S::Error: Into<Error>,
{
    type Response = Response<R>;
    type Error = Error;
    type Future = ResponseFuture<S::Future>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        match self.settings.check(&request) {
            Ok(()) => ResponseFuture::pass(self.inner.call(request)),
            Err(refusal) => ResponseFuture::refuse(refusal),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The status of the refusal; 200 where there is none.
    fn status(layer: &HostCheckLayer, headers: &[(&str, &str)]) -> u16 {
        let mut request = Request::post("/v1/messages");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let outcome = layer.check(&request.body(()).unwrap());
        outcome.map_or_else(|error| error.view().kind.status(), |()| 200)
    }

    #[test]
    fn only_this_machines_own_names_lead_to_it() {
        let layer = HostCheckLayer::new().allow(["Gateway.Internal", "10.0.0.7"]);
        for host in [
            "localhost",
            "LOCALHOST:8080",
            "localhost.",
            "app.localhost:1",
            "127.0.0.1:8080",
            "127.9.9.9",
            "[::1]:8080",
            "[::ffff:127.0.0.1]",
            "gateway.internal:443",
            "GATEWAY.internal.",
            "10.0.0.7:1",
        ] {
            assert_eq!(status(&layer, &[("host", host)]), 200, "{host}");
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "evillocalhost",
            "0.0.0.0:8080",
            "10.0.0.8",
            "[::]",
            "gateway.internal.evil.example",
            "2130706433",
            "0x7f.1",
        ] {
            assert_eq!(status(&layer, &[("host", host)]), 403, "{host}");
        }
        for host in ["", "a b", "localhost@evil.example", "evil.example@localhost", "local/host"] {
            assert_eq!(status(&layer, &[("host", host)]), 400, "{host}");
        }
        assert_eq!(status(&layer, &[]), 400);
        assert_eq!(status(&layer, &[("host", "localhost"), ("host", "localhost")]), 400);
        for any in [layer.allow(["*"]), HostCheckLayer::new().allow(["*"]).allow(["a"])] {
            assert_eq!(status(&any, &[("host", "evil.example")]), 200);
            assert_eq!(status(&any, &[]), 400);
        }
        assert_eq!(status(&HostCheckLayer::none(), &[]), 200);
    }

    #[test]
    fn both_places_that_name_a_host_are_looked_at() {
        let layer = HostCheckLayer::new();
        for (uri, host, want) in [
            ("http://localhost/v1/messages", "localhost", true),
            ("http://evil.example/v1/messages", "localhost", false),
            ("http://localhost/v1/messages", "evil.example", false),
        ] {
            let request = Request::post(uri).header("host", host).body(()).unwrap();
            assert_eq!(layer.check(&request).is_ok(), want, "{uri}, {host}");
        }
        let second = Request::post("http://evil.example/").version(Version::HTTP_2).body(()).unwrap();
        assert!(layer.check(&second).is_err());
        let first = Request::post("/").version(Version::HTTP_10).body(()).unwrap();
        assert!(layer.check(&first).is_ok(), "older than the header");
    }

    #[test]
    fn pages_of_other_sites_may_not_spend_keys_where_nobody_asks_for_one() {
        let named = HostCheckLayer::new().allow(["chat.internal"]).same_site(true);
        let any = HostCheckLayer::new().allow(["*"]).same_site(true);
        for (origin, by_name, by_any) in [
            ("http://127.0.0.1:8080", 200, 200),
            ("http://localhost:3000", 200, 403),
            ("https://chat.internal", 200, 403),
            ("tauri://localhost", 200, 200),
            ("vscode-webview://0123", 200, 200),
            ("https://evil.example", 403, 403),
            ("HTTPS://evil.example:8080", 403, 403),
            ("http://127.0.0.1.evil.example", 403, 403),
            ("null", 403, 403),
            ("", 403, 403),
            ("http://", 403, 403),
        ] {
            let headers = [("host", "127.0.0.1:8080"), ("origin", origin)];
            assert_eq!(status(&named, &headers), by_name, "{origin}");
            assert_eq!(status(&any, &headers), by_any, "{origin}");
            assert_eq!(status(&HostCheckLayer::new(), &headers), 200, "{origin}: a key is asked for");
        }
        let two = [("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.example")];
        assert_eq!(status(&named, &two), 403);
    }
}
