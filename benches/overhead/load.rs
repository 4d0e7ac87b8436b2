//! The load generator: hyper client connections without a pool, on the thread of the bench.
//!
//! Every load runs for the whole of a measurement and is looked at from outside: [`Tally`] counts what has arrived,
//! and the measurement reads it at the two ends of its window. Nothing may end before the window does; the first
//! answer that is wrong ends the bench.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Uri, body::Incoming};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval};

use super::answers::Protocol;
use super::bodies;
use super::check::{Check, Expected};
use super::fail::{Context, Fail, Outcome};
use super::workload::{CONNECTIONS, Load};

/// One request, made anew for each exchange from parts that are only counted up.
pub struct Call {
    address: SocketAddr,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
    expected: Expected,
}

impl Call {
    pub fn new(address: SocketAddr, protocol: Protocol, body: Bytes, expected: Expected) -> Self {
        let mut headers = HeaderMap::new();
        let host = HeaderValue::from_str(&address.to_string()).expect("an address is a header value");
        headers.insert(HOST, host);
        for (name, value) in bodies::headers(protocol) {
            headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        Self { address, uri: Uri::from_static(bodies::path(protocol)), headers, body, expected }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.body.clone()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// What has arrived so far.
pub struct Tally {
    pub answers: AtomicU64,
    pub events: AtomicU64,
    /// Set at the end of the window: no new requests.
    pub stop: AtomicBool,
    /// Set within the window: delays are kept.
    pub record: AtomicBool,
    delays_ns: Mutex<Vec<u64>>,
    /// One permit for each connection, or stream, that has received its first event or answer.
    pub begun: Semaphore,
}

impl Tally {
    pub fn new() -> Self {
        Self {
            answers: AtomicU64::new(0),
            events: AtomicU64::new(0),
            stop: AtomicBool::new(false),
            record: AtomicBool::new(false),
            delays_ns: Mutex::new(Vec::new()),
            begun: Semaphore::new(0),
        }
    }

    fn delay(&self, ns: u64) {
        if self.record.load(Relaxed) {
            self.delays_ns.lock().expect("no holder of the delays panics").push(ns);
        }
    }

    /// All delays of the window, the shortest first.
    pub fn sorted_delays_ns(&self) -> Vec<u64> {
        let mut delays = std::mem::take(&mut *self.delays_ns.lock().expect("no holder of the delays panics"));
        delays.sort_unstable();
        delays
    }
}

/// Starts the load. Its tasks end after [`Tally::stop`], or with what went wrong.
pub fn start(load: Load, call: Call, tally: &Arc<Tally>) -> JoinSet<Outcome<()>> {
    let call = Arc::new(call);
    let mut tasks = JoinSet::new();
    match load {
        Load::Closed { .. } => {
            for _ in 0..CONNECTIONS {
                tasks.spawn(ask_again_and_again(call.clone(), tally.clone()));
            }
        }
        Load::Rate { per_second } => {
            tasks.spawn(ask_at_rate(per_second, call, tally.clone()));
        }
        Load::Paced { streams, every } => {
            let streams = u32::try_from(streams).expect("streams are few");
            for index in 0..streams {
                tasks.spawn(ask_once(every * index / streams, call.clone(), tally.clone()));
            }
        }
    }
    tasks
}

/// Permits of [`Tally::begun`] that say: the load runs in full.
pub fn when_begun(load: Load) -> u32 {
    match load {
        Load::Closed { .. } => CONNECTIONS as u32,
        Load::Rate { .. } => 1,
        Load::Paced { streams, .. } => streams as u32,
    }
}

async fn ask_again_and_again(call: Arc<Call>, tally: Arc<Tally>) -> Outcome<()> {
    let mut connection = Connection::open(call.address).await?;
    while !tally.stop.load(Relaxed) {
        connection.exchange(&call, &tally).await?;
    }
    Ok(())
}

/// One stream, opened after a pause that spreads the streams over the time between two events.
async fn ask_once(pause: Duration, call: Arc<Call>, tally: Arc<Tally>) -> Outcome<()> {
    tokio::time::sleep(pause).await;
    Connection::open(call.address).await?.exchange(&call, &tally).await?;
    if tally.stop.load(Relaxed) {
        Ok(())
    } else {
        Err(Fail::new("a stream ended before the measurement did"))
    }
}

/// A request at each tick, on an idle connection or else on a new one. Its delay counts from the moment the tick was
/// noticed, and so holds the wait for a connection, but not the timer's own lateness.
async fn ask_at_rate(per_second: u32, call: Arc<Call>, tally: Arc<Tally>) -> Outcome<()> {
    let idle = Arc::new(Mutex::new(Vec::new()));
    let mut ticks = interval(Duration::from_secs(1) / per_second);
    let mut running = JoinSet::new();
    while !tally.stop.load(Relaxed) {
        ticks.tick().await;
        running.spawn(ask_from_pool(idle.clone(), call.clone(), tally.clone()));
        while let Some(ended) = running.try_join_next() {
            ended.context("a request's task failed")??;
        }
    }
    while let Some(ended) = running.join_next().await {
        ended.context("a request's task failed")??;
    }
    Ok(())
}

async fn ask_from_pool(idle: Arc<Mutex<Vec<Connection>>>, call: Arc<Call>, tally: Arc<Tally>) -> Outcome<()> {
    let began = Instant::now();
    let pooled = idle.lock().expect("no holder of the pool panics").pop();
    let mut connection = match pooled {
        Some(connection) => connection,
        None => Connection::open(call.address).await?,
    };
    connection.exchange(&call, &tally).await?;
    tally.delay(began.elapsed().as_nanos() as u64);
    idle.lock().expect("no holder of the pool panics").push(connection);
    Ok(())
}

struct Connection {
    sender: SendRequest<Full<Bytes>>,
    begun: bool,
}

impl Connection {
    async fn open(address: SocketAddr) -> Outcome<Self> {
        let stream = TcpStream::connect(address).await.context(format!("cannot connect to {address}"))?;
        stream.set_nodelay(true).context("cannot set TCP_NODELAY")?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.context("HTTP handshake")?;
        tokio::spawn(connection);
        Ok(Self { sender, begun: false })
    }

    async fn exchange(&mut self, call: &Call, tally: &Tally) -> Outcome<()> {
        self.sender.ready().await.context("the connection was closed between two requests")?;
        let answer = self.sender.send_request(call.request()).await.context("no answer")?;
        if answer.status() != StatusCode::OK {
            return Err(refused(answer).await);
        }
        let mut check = Check::new(call.expected);
        let mut body = answer.into_body();
        while let Some(frame) = body.frame().await {
            let frame = frame.context("the answer broke off")?;
            let data = frame.data_ref().map_or(&[][..], |data| data);
            let events = check.read(data, |ns| tally.delay(ns));
            tally.events.fetch_add(events as u64, Relaxed);
            self.note_begun(events, tally);
        }
        check.finish()?;
        tally.answers.fetch_add(1, Relaxed);
        Ok(())
    }

    fn note_begun(&mut self, events: usize, tally: &Tally) {
        if events > 0 && !std::mem::replace(&mut self.begun, true) {
            tally.begun.add_permits(1);
        }
    }
}

async fn refused(answer: Response<Incoming>) -> Fail {
    let status = answer.status();
    let text = match answer.into_body().collect().await {
        Ok(body) => String::from_utf8_lossy(&body.to_bytes()).into_owned(),
        Err(cause) => format!("(the body broke off: {cause})"),
    };
    Fail::new(format!("the answer is {status}: {}", text.chars().take(1000).collect::<String>()))
}
