//! `limit`: the bare reverse proxy that every figure is divided by.
//!
//! A hyper server and hyper-util's pooled client on one thread. It looks at nothing: the request's head is passed on
//! with another authority, both bodies are streamed frame by frame. What a gateway costs above this is its own work;
//! what it costs below this is what it does better than hyper's plain frame-by-frame copy.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::http::uri::{Authority, Scheme};
use hyper::service::service_fn;
use hyper::{Request, Response, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;

use super::fail::{Context, Outcome};
use super::serve::serve;

type Pool = Client<HttpConnector, Incoming>;

pub async fn run(listen: SocketAddr, upstream: SocketAddr) -> Outcome<()> {
    let authority: Authority = upstream.to_string().parse().context("the upstream's address")?;
    let pool = pool();
    let service = service_fn(move |request| forward(pool.clone(), authority.clone(), request));
    serve(listen, service).await
}

fn pool() -> Pool {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

async fn forward(
    pool: Pool,
    upstream: Authority,
    mut request: Request<Incoming>,
) -> Result<Response<Incoming>, Error> {
    let mut parts = std::mem::take(request.uri_mut()).into_parts();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(upstream);
    *request.uri_mut() = Uri::from_parts(parts).expect("scheme, authority and path make a URI");
    pool.request(request).await
}
