//! Fetches one file from the open web: no credentials, no cookies, nothing of the client's.

use std::error::Error as StdError;
use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, Response, Uri, header};
use http_body::Body as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::{self, Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use url::{Host, Url};

use super::FetchPolicy;
use super::address::{Allowed, NoAddress, Resolver};
use crate::error::BoxError;
use crate::protocol::InlineMedia;
use crate::upstream;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Fetcher {
    client: Client<HttpsConnector<HttpConnector<Resolver>>, Empty<Bytes>>,
    allowed: Allowed,
    max_redirects: u32,
    max_file_size: usize,
}

/// Why a file is not there. Says nothing of addresses: names of inner networks are not for clients to find out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Url,
    Address,
    Unreachable,
    Status(u16),
    Redirects(u32),
    TooLarge(usize),
    Type(Option<&'static str>),
    Timeout(Duration),
}

impl Failure {
    /// The word for it in metrics.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Failure::Url | Failure::Address => "refused",
            Failure::Unreachable => "unreachable",
            Failure::Status(_) => "status",
            Failure::Redirects(_) => "redirects",
            Failure::TooLarge(_) => "too_large",
            Failure::Type(_) => "type",
            Failure::Timeout(_) => "timeout",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Url => f.write_str("it must be an http or https URL without user and password"),
            Failure::Address => f.write_str("its host has no public address"),
            Failure::Unreachable => f.write_str("its server could not be reached"),
            Failure::Status(status) => write!(f, "its server answered {status}"),
            Failure::Redirects(most) => write!(f, "its server redirected more than {most} times"),
            Failure::TooLarge(most) => write!(f, "it is larger than {most} bytes"),
            Failure::Type(None) => f.write_str("it is no picture or PDF"),
            Failure::Type(Some(mime)) => write!(f, "it is of type {mime}, which cannot stand here"),
            Failure::Timeout(most) => write!(f, "it took longer than {most:?}"),
        }
    }
}

impl Fetcher {
    pub(super) fn new(policy: &FetchPolicy) -> Result<Self, BoxError> {
        let allowed = Allowed::new(&policy.allow);
        // No proxy: the address that is connected to must be the one that was checked.
        let mut tcp = HttpConnector::new_with_resolver(Resolver::new(allowed.clone()));
        tcp.enforce_http(false);
        let https = HttpsConnector::from((tcp, upstream::tls(&[b"http/1.1"])?));
        // Files of one server seldom come in a row; a connection that is kept would outlive its runtime.
        let client = Client::builder(TokioExecutor::new()).pool_max_idle_per_host(0).build(https);
        let FetchPolicy { max_redirects, max_file_size, .. } = *policy;
        Ok(Fetcher { client, allowed, max_redirects, max_file_size })
    }

    /// Fetches a picture or PDF.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future closes the connection.
    pub(super) async fn fetch(&self, url: &str) -> Result<InlineMedia, Failure> {
        let mut url = Url::parse(url).map_err(|_| Failure::Url)?;
        for _ in 0..=self.max_redirects {
            let response = self.client.request(self.request(&url)?).await.map_err(unreachable)?;
            let status = response.status();
            match response.headers().get(header::LOCATION) {
                Some(location) if matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) => {
                    let location = location.to_str().map_err(|_| Failure::Url)?;
                    url = url.join(location).map_err(|_| Failure::Url)?;
                }
                _ if status == 200 => return self.read(response).await,
                _ => return Err(Failure::Status(status.as_u16())),
            }
        }
        Err(Failure::Redirects(self.max_redirects))
    }

    /// Checks the URL, as it must be on every hop. Names are checked where they are resolved.
    fn request(&self, url: &Url) -> Result<Request<Empty<Bytes>>, Failure> {
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some()
        {
            return Err(Failure::Url);
        }
        let address = match url.host() {
            Some(Host::Domain(_)) => None,
            Some(Host::Ipv4(address)) => Some(IpAddr::V4(address)),
            Some(Host::Ipv6(address)) => Some(IpAddr::V6(address)),
            None => return Err(Failure::Url),
        };
        if address.is_some_and(|address| !self.allowed.holds(address)) {
            return Err(Failure::Address);
        }
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = Uri::try_from(url.as_str()).map_err(|_| Failure::Url)?;
        let headers = request.headers_mut();
        headers.insert(header::USER_AGENT, upstream::USER_AGENT);
        headers.insert(header::ACCEPT, HeaderValue::from_static("image/*, application/pdf"));
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        Ok(request)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<InlineMedia, Failure> {
        let too_large = Failure::TooLarge(self.max_file_size);
        let mut body = response.into_body();
        if body.size_hint().lower() > self.max_file_size as u64 {
            return Err(too_large);
        }
        let mut read = BytesMut::new();
        let mut mime = None;
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|_| Failure::Unreachable)?.into_data() else { continue };
            if read.len() + data.len() > self.max_file_size {
                return Err(too_large);
            }
            read.extend_from_slice(&data);
            // What a server calls its files is often wrong; and the rest of a film is not worth reading.
            if mime.is_none() && read.len() >= InlineMedia::TELLING {
                mime = Some(InlineMedia::mime_of(&read).ok_or(Failure::Type(None))?);
            }
        }
        let mime = mime.or_else(|| InlineMedia::mime_of(&read)).ok_or(Failure::Type(None))?;
        Ok(InlineMedia { mime, bytes: read.freeze() })
    }
}

fn unreachable(error: legacy::Error) -> Failure {
    let mut cause: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(one) = cause {
        if one.is::<NoAddress>() {
            return Failure::Address;
        }
        cause = one.source();
    }
    Failure::Unreachable
}
