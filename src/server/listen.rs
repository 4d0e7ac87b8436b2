//! The accept loop: limits, graceful end.
//!
//! `axum::serve` sets no timer, so hyper's header timeout would never run and a slow sender could pin a
//! connection for ever; hence a loop of our own on hyper-util.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{sleep, timeout};
use tower::Service;

use super::limits::Limits;
use super::timed_stream::TimedStream;
use crate::error::BoxError;

/// How long the listener rests when it cannot accept: out of descriptors, mostly. Doubled each time that it still cannot.
const REST: Duration = Duration::from_millis(50);
const LONGEST_REST: Duration = Duration::from_secs(1);

/// How long clients may take to be told that time is over; a tenth of it when it ends at once.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// How the server ends.
pub struct Drain {
    most: Duration,
    begun: Box<dyn FnOnce() + Send>,
    over: Box<dyn FnOnce() + Send>,
}

impl Drain {
    /// Requests under way get so much time.
    #[must_use]
    pub fn new(most: Duration) -> Self {
        Drain { most, begun: Box::new(|| {}), over: Box::new(|| {}) }
    }

    /// Called when the end begins: readiness turns false.
    #[must_use]
    pub fn begun(mut self, begun: impl FnOnce() + Send + 'static) -> Self {
        self.begun = Box::new(begun);
        self
    }

    /// Called when the time is over, two seconds before connections are cut: [`Gateway::close`](crate::Gateway::close)
    /// has clients told.
    #[must_use]
    pub fn over(mut self, over: impl FnOnce() + Send + 'static) -> Self {
        self.over = Box::new(over);
        self
    }
}

impl fmt::Debug for Drain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drain").field("most", &self.most).finish_non_exhaustive()
    }
}

/// Serves within the default [`Limits`] until `stop` yields, then lets requests under way finish; a second `stop` ends it at once.
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
    serve_within(Limits::default(), listener, service, stop, drain).await;
}

/// As [`serve`], within limits of the caller's own.
///
/// # Cancel safety
///
/// As [`serve`].
pub async fn serve_within<S, B>(
    limits: Limits,
    listener: TcpListener,
    service: S,
    stop: mpsc::Receiver<()>,
    drain: Drain,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let Drain { most, begun, over } = drain;
    let drain = Drain::new(most).over(over).begun(move || {
        begun();
        stopping(most);
    });
    let source = Source::listener(listener, &limits, Vec::new());
    stopped(serve_from(source, &limits, service, stop, drain).await);
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
        slots: Arc<Semaphore>,
        others: Vec<mpsc::UnboundedSender<Handed>>,
        accepted: usize,
    },
    /// The worker that has the listener.
    Worker(mpsc::UnboundedReceiver<Handed>),
}

/// A connection on its way to another worker, with its slot.
pub(super) type Handed = (std::net::TcpStream, OwnedSemaphorePermit);

impl Source {
    /// Accepts connections and hands them to the workers in turn.
    pub(super) fn listener(
        listener: TcpListener,
        limits: &Limits,
        others: Vec<mpsc::UnboundedSender<Handed>>,
    ) -> Self {
        let slots = Arc::new(Semaphore::new(limits.max_connections.min(Semaphore::MAX_PERMITS)));
        Source::Listener { listener, slots, others, accepted: 0 }
    }

    /// The next connection for this worker; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// No connection is lost when the future is dropped.
    async fn next(&mut self) -> Option<io::Result<(TcpStream, OwnedSemaphorePermit)>> {
        match self {
            Source::Worker(handed) => {
                let (stream, slot) = handed.recv().await?;
                Some(TcpStream::from_std(stream).map(|stream| (stream, slot)))
            }
            Source::Listener { listener, slots, others, accepted } => loop {
                let slot = match slots.clone().try_acquire_owned() {
                    Ok(slot) => slot,
                    Err(_) => {
                        tracing::warn!("at the limit of connections: further ones wait");
                        // Nobody closes it.
                        slots.clone().acquire_owned().await.ok()?
                    }
                };
                let stream = match listener.accept().await {
                    Ok((stream, _)) => stream,
                    Err(error) => return Some(Err(error)),
                };
                let turn = *accepted % (others.len() + 1);
                *accepted = accepted.wrapping_add(1);
                let Some(other) = turn.checked_sub(1).and_then(|other| others.get(other)) else {
                    return Some(Ok((stream, slot)));
                };
                match stream.into_std() {
                    // A worker that is gone has taken its connections with it; so be it.
                    Ok(stream) => drop(other.send((stream, slot))),
                    Err(error) => return Some(Err(error)),
                }
            },
        }
    }
}

/// As [`serve`], for one of several workers.
pub(super) async fn serve_from<S, B>(
    mut source: Source,
    limits: &Limits,
    service: S,
    mut stop: mpsc::Receiver<()>,
    drain: Drain,
) -> End
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let builder = limits.builder();
    let graceful = GracefulShutdown::new();
    let mut is_told = false;
    let mut rest = Duration::ZERO;
    loop {
        let next = async {
            if !rest.is_zero() {
                sleep(rest).await;
            }
            source.next().await
        };
        tokio::select! {
            stream = next => match stream {
                Some(Ok((stream, slot))) => {
                    rest = Duration::ZERO;
                    // Small pieces of a stream must not wait for each other.
                    let _ = stream.set_nodelay(true);
                    let stream = TimedStream::new(stream, limits.header_timeout, limits.write_timeout);
                    connection(&builder, &graceful, Box::pin(stream), slot, service.clone());
                }
                None => break,
                // A client that was gone already: no reason to keep the others waiting.
                Some(Err(error)) if is_clients(&error) => {}
                Some(Err(error)) => {
                    // Out of descriptors: the listener is fine.
                    if rest.is_zero() {
                        tracing::warn!(%error, "cannot accept connections");
                    }
                    rest = (rest * 2).clamp(REST, LONGEST_REST);
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
    let mut ended = pin!(graceful.shutdown());
    let told_again = async {
        // The worker that hands out connections may have stopped before the first message was read here.
        if !is_told {
            stop.recv().await?;
        }
        stop.recv().await
    };
    let end = tokio::select! {
        () = &mut ended => return End::Whole,
        () = sleep(drain.most) => End::Late,
        Some(()) = told_again => End::AtOnce,
    };
    (drain.over)();
    let _ = timeout(if end == End::Late { LAST_WORDS } else { LAST_WORDS / 10 }, ended).await;
    end
}

/// Whether it is the one connection that has failed, not the listener.
fn is_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn connection<S, B>(
    builder: &auto::Builder<TokioExecutor>,
    graceful: &GracefulShutdown,
    stream: Pin<Box<TimedStream<TcpStream>>>,
    slot: OwnedSemaphorePermit,
    service: S,
) where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
    B: Body<Data = Bytes, Error: Into<BoxError>> + Send + 'static,
{
    let service = TowerToHyperService::new(service);
    let connection = builder.serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(error, "connection ended");
        }
        drop(slot);
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
        let drain = Drain::new(Duration::from_secs(600));
        serve_from(Source::Worker(handed), &Limits::default(), service_fn(answer), stopped, drain).await
    }

    #[tokio::test(start_paused = true)]
    async fn one_signal_never_ends_a_workers_streams_at_once() {
        // Which of the two a worker hears of first is chance.
        for _ in 0..200 {
            assert_eq!(told(1).await, End::Whole);
        }
    }
}
