//! The accept loop: header timeout, graceful end.
//!
//! `axum::serve` sets no timer, so hyper's header timeout would never run and a slow sender could pin a
//! connection for ever; hence a loop of our own on hyper-util.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tower::Service;

use crate::error::BoxError;

/// Most time for the head of a request; also how long an idle connection is kept.
const HEADER_TIMEOUT: Duration = Duration::from_secs(60);

/// How the server ends.
pub struct Drain {
    /// Most time for requests under way.
    pub most: Duration,
    /// Called when the end begins: readiness turns false.
    pub begun: Box<dyn FnOnce() + Send>,
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("most", &self.most).finish_non_exhaustive()
    }
}

/// Serves until `stop` yields, then lets requests under way finish; a second `stop` ends it at once.
///
/// # Cancel safety
///
/// Dropping the future closes the listener; connections under way go on until the runtime ends.
pub async fn serve<S, B>(listener: TcpListener, service: S, stop: mpsc::Receiver<()>, drain: Drain)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let Drain { most, begun } = drain;
    let begun = move || {
        begun();
        stopping(most);
    };
    let drain = Drain { most, begun: Box::new(begun) };
    let source = Source::Listener { listener, others: Vec::new(), accepted: 0 };
    stopped(serve_from(source, service, stop, drain).await);
}

pub(super) fn stopping(most: Duration) {
    tracing::info!(most_seconds = most.as_secs(), "stopping");
}

pub(super) fn stopped(end: End) {
    match end {
        End::Whole => tracing::info!("stopped"),
        End::Late => tracing::warn!("stopped with requests under way"),
        End::AtOnce => tracing::warn!("stopped at once"),
    }
}

/// How a worker ended; the worst is the greatest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    /// No request was under way any more.
    Whole,
    /// The time for requests under way was over.
    Late,
    /// It was told to, a second time.
    AtOnce,
}

/// Where a worker's connections come from.
pub(super) enum Source {
    /// The listener; connections go to the workers in turn, this one first.
    Listener {
        listener: TcpListener,
        others: Vec<mpsc::UnboundedSender<std::net::TcpStream>>,
        accepted: usize,
    },
    /// The worker that has the listener.
    Worker(mpsc::UnboundedReceiver<std::net::TcpStream>),
}

impl Source {
    /// The next connection for this worker; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost when the future is dropped.
    async fn next(&mut self) -> Option<io::Result<TcpStream>> {
        match self {
            Source::Worker(handed) => handed.recv().await.map(TcpStream::from_std),
            Source::Listener { listener, others, accepted } => loop {
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => return Some(Err(error)),
                };
                let turn = *accepted % (others.len() + 1);
                *accepted = accepted.wrapping_add(1);
                let Some(other) = turn.checked_sub(1).and_then(|other| others.get(other)) else {
                    return Some(Ok(stream));
                };
                match stream.into_std() {
                    // A worker that is gone has taken its connections with it; so be it.
                    Ok(stream) => drop(other.send(stream)),
                    Err(error) => return Some(Err(error)),
                }
            },
        }
    }
}

/// As [`serve`], for one of several workers.
pub(super) async fn serve_from<S, B>(
    mut source: Source,
    service: S,
    mut stop: mpsc::Receiver<()>,
    drain: Drain,
) -> End
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(250);
    let graceful = GracefulShutdown::new();
    let mut is_told = false;
    loop {
        tokio::select! {
            stream = source.next() => match stream {
                Some(Ok(stream)) => connection(&builder, &graceful, stream, service.clone()),
                None => break,
                Some(Err(error)) => {
                    // Out of descriptors, or a connection that was gone already: the listener is fine.
                    tracing::warn!(%error, "cannot accept a connection");
                    sleep(Duration::from_millis(50)).await;
                }
            },
            _ = stop.recv() => {
                is_told = true;
                break;
            }
        }
    }
    drop(source);
    (drain.begun)();
    tracing::debug!(connections = graceful.count(), "a worker stops");
    let mut ended = pin!(timeout(drain.most, graceful.shutdown()));
    let told_again = async {
        // The worker that hands out connections may have stopped before the first message was read here.
        if !is_told {
            stop.recv().await?;
        }
        stop.recv().await
    };
    tokio::select! {
        ended = &mut ended => if ended.is_ok() { End::Whole } else { End::Late },
        Some(()) = told_again => End::AtOnce,
    }
}

fn connection<S, B>(
    builder: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: TcpStream,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    // Small pieces of a stream must not wait for each other.
    let _ = stream.set_nodelay(true);
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error, "connection ended");
        }
    });
}

/// SIGINT and SIGTERM, each as one message.
pub(super) fn signals() -> mpsc::Receiver<()> {
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        let mut terminate = Terminate::new();
        loop {
            tokio::select! {
                interrupt = tokio::signal::ctrl_c() => if interrupt.is_err() { return },
                () = terminate.recv() => {}
            }
            if sender.send(()).await.is_err() {
                return;
            }
        }
    });
    receiver
}

/// SIGTERM, where there is such a thing.
struct Terminate {
    #[cfg(unix)]
    signal: Option<tokio::signal::unix::Signal>,
}

impl Terminate {
    fn new() -> Self {
        Terminate {
            #[cfg(unix)]
            signal: tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).ok(),
        }
    }

    async fn recv(&mut self) {
        #[cfg(unix)]
        if let Some(signal) = &mut self.signal {
            signal.recv().await;
            return;
        }
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::Full;
    use tower::service_fn;

    /// How a worker ends that was told to stop so many times, while the one that hands it connections is gone.
    async fn told(times: usize) -> End {
        let (stop, stopped) = mpsc::channel(2);
        let (connections, handed) = mpsc::unbounded_channel();
        drop(connections);
        for _ in 0..times {
            stop.try_send(()).unwrap();
        }
        let answer = |_| async { Ok::<_, Infallible>(Response::new(Full::new(Bytes::new()))) };
        let drain = Drain { most: Duration::from_secs(600), begun: Box::new(|| {}) };
        serve_from(Source::Worker(handed), service_fn(answer), stopped, drain).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_signal_never_ends_a_workers_streams_at_once() {
        // Which of the two a worker hears of first is chance.
        for _ in 0..200 {
            assert_eq!(told(1).await, End::Whole);
        }
    }
}
