//! The accept loop that `limit` and the upstream share: hyper, HTTP/1.1, one thread, nothing else.

use std::error::Error;
use std::net::SocketAddr;

use hyper::body::{Body, Incoming};
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use super::fail::{Context, Outcome};

/// Serves until the process is killed.
///
/// An error on one connection ends that connection only: whoever is at its other end sees it, and it is there that
/// a broken exchange must be noticed.
pub async fn serve<S, B>(listen: SocketAddr, service: S) -> Outcome<()>
where
    S: Service<Request<Incoming>, Response = Response<B>> + Clone + Send + 'static,
    S::Future: Send,
    S::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let listener = TcpListener::bind(listen).await.context(format!("cannot listen on {listen}"))?;
    loop {
        let (stream, _) = listener.accept().await.context("cannot accept")?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        let service = service.clone();
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}
