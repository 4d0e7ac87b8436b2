//! A client: requests over a socket, answers whole or piece by piece, server-sent events.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client as Http, Error as HttpError};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use super::soon;

/// A whole answer.
#[derive(Debug)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Reply {
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&self.body)))
    }

    pub fn events(&self) -> Vec<Event> {
        events(self.text())
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// One server-sent event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    pub name: Option<String>,
    pub data: String,
}

impl Event {
    /// The data as JSON; null if it is not (`[DONE]`).
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap_or_default()
    }
}

/// Reads a stream of events; one that no blank line closes is not one.
pub fn events(text: &str) -> Vec<Event> {
    let text = text.replace("\r\n", "\n");
    let closed = text.rfind("\n\n").map_or("", |end| &text[..end]);
    closed.split("\n\n").filter_map(event).collect()
}

fn event(block: &str) -> Option<Event> {
    let field = |name: &str| {
        let values = block.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let values: Vec<&str> = values.map(|value| value.strip_prefix(' ').unwrap_or(value)).collect();
        (!values.is_empty()).then(|| values.join("\n"))
    };
    Some(Event { name: field("event"), data: field("data")? })
}

/// A JSON POST.
pub fn post(path: &str, body: impl ToString) -> Request<Full<Bytes>> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(Full::from(body.to_string())).unwrap()
}

pub fn get(path: &str) -> Request<Full<Bytes>> {
    Request::get(path).body(Full::default()).unwrap()
}

/// A request of any method.
pub fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder().method(method).uri(path).body(Full::new(body.into())).unwrap()
}

/// The same request with one more header.
pub fn with(mut request: Request<Full<Bytes>>, name: &'static str, value: &str) -> Request<Full<Bytes>> {
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

/// A client of one server, with a pool of connections.
#[derive(Clone)]
pub struct Client {
    addr: SocketAddr,
    http: Http<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
}

impl Client {
    pub fn new(addr: SocketAddr) -> Client {
        Client { addr, http: Http::builder(TokioExecutor::new()).build_http() }
    }

    /// Sends, and waits for the head of the answer.
    pub async fn open(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.try_open(request).await.unwrap()
    }

    async fn try_open(&self, mut request: Request<Full<Bytes>>) -> Result<Response<Incoming>, HttpError> {
        let uri = format!("http://{}{}", self.addr, request.uri());
        *request.uri_mut() = uri.parse().unwrap();
        soon("the head of an answer", self.http.request(request)).await
    }

    /// Sends, and waits for the whole answer.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Reply {
        whole(self.open(request).await).await
    }

    /// The same; `None` if the connection is closed while the request is being sent.
    pub async fn try_send(&self, request: Request<Full<Bytes>>) -> Option<Reply> {
        Some(whole(self.try_open(request).await.ok()?).await)
    }
}

async fn whole(response: Response<Incoming>) -> Reply {
    let (head, body) = response.into_parts();
    let body = soon("the end of an answer", body.collect()).await.unwrap().to_bytes();
    Reply { status: head.status.as_u16(), headers: head.headers, body }
}

/// Reads pieces of a body until what came so far holds `text`; all of it so far.
pub async fn read_until(body: &mut Incoming, so_far: &mut String, text: &str) {
    while !so_far.contains(text) {
        let frame = soon(&format!("`{text}` after `{so_far}`"), body.frame()).await;
        let frame = frame.unwrap_or_else(|| panic!("the body ended before `{text}`: `{so_far}`")).unwrap();
        so_far.push_str(std::str::from_utf8(frame.data_ref().unwrap()).unwrap());
    }
}

/// Reads the rest of a body, which must end as HTTP wants it.
pub async fn read_rest(body: Incoming, so_far: &mut String) {
    let rest = soon("the end of a stream", body.collect()).await.expect("a clean end").to_bytes();
    so_far.push_str(std::str::from_utf8(&rest).unwrap());
}
