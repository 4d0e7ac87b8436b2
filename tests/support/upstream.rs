//! An upstream that does what a script says, byte by byte: it answers, stalls, cuts, resets, and
//! tells what arrived and whether the gateway went away.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::soon;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// Method, path and query, as on the request line.
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Bytes,
}

impl Received {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// Everything, as text to search in.
    pub fn everything(&self) -> String {
        format!("{}\n{:?}\n{}", self.target, self.headers, String::from_utf8_lossy(&self.body))
    }
}

/// One act of a script.
#[derive(Clone, Debug)]
enum Act {
    Send(Bytes),
    /// Waits for a permit; meanwhile it notices when the gateway leaves.
    Wait(Arc<Notify>),
    /// Ends the connection in the middle.
    Cut,
    /// Resets it.
    Reset,
}

/// What to answer.
#[derive(Clone, Debug, Default)]
pub struct Answer {
    acts: Vec<Act>,
}

impl Answer {
    /// A whole answer.
    pub fn whole(status: u16, content_type: &str, body: impl Into<Bytes>) -> Answer {
        Answer::with_headers(status, &[("content-type", content_type)], body)
    }

    /// A whole answer with these headers.
    pub fn with_headers(status: u16, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Answer {
        let body = body.into();
        let mut head = format!("HTTP/1.1 {status} Scripted\r\ncontent-length: {}\r\n", body.len());
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        Answer { acts: vec![Act::Send(head.into()), Act::Send(body)] }
    }

    pub fn json(body: impl ToString) -> Answer {
        Answer::whole(200, "application/json", body.to_string())
    }

    /// The head of a stream; `frame`, `wait`, then `end` or `cut` follow.
    pub fn stream() -> Answer {
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
        Answer::raw(head)
    }

    /// These bytes, and whatever follows.
    pub fn raw(head: impl Into<Bytes>) -> Answer {
        Answer { acts: vec![Act::Send(head.into())] }
    }

    /// These bytes, in a packet of their own.
    #[must_use]
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Answer {
        self.acts.push(Act::Send(bytes.into()));
        self
    }

    /// The same bytes, each in a packet of its own.
    #[must_use]
    pub fn byte_by_byte(self) -> Answer {
        let each = |act| match act {
            Act::Send(bytes) => (0..bytes.len()).map(|at| Act::Send(bytes.slice(at..=at))).collect(),
            act => vec![act],
        };
        Answer { acts: self.acts.into_iter().flat_map(each).collect() }
    }

    /// A piece of a stream, in a packet of its own.
    #[must_use]
    pub fn frame(mut self, bytes: impl AsRef<[u8]>) -> Answer {
        let bytes = bytes.as_ref();
        let mut chunk = format!("{:x}\r\n", bytes.len()).into_bytes();
        chunk.extend_from_slice(bytes);
        chunk.extend_from_slice(b"\r\n");
        self.acts.push(Act::Send(chunk.into()));
        self
    }

    #[must_use]
    pub fn frames(self, frames: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Answer {
        frames.into_iter().fold(self, Answer::frame)
    }

    /// Says nothing until `go` is notified.
    #[must_use]
    pub fn wait(mut self, go: &Arc<Notify>) -> Answer {
        self.acts.push(Act::Wait(go.clone()));
        self
    }

    /// Says nothing more, for ever.
    #[must_use]
    pub fn stall(self) -> Answer {
        self.wait(&Arc::default())
    }

    /// The proper end of a stream.
    #[must_use]
    pub fn end(mut self) -> Answer {
        self.acts.push(Act::Send("0\r\n\r\n".into()));
        self
    }

    /// The connection ends here.
    #[must_use]
    pub fn cut(mut self) -> Answer {
        self.acts.push(Act::Cut);
        self
    }

    /// The connection is reset here.
    #[must_use]
    pub fn reset(mut self) -> Answer {
        self.acts.push(Act::Reset);
        self
    }

    /// Nothing until `go` is notified, then `answer`.
    pub fn after(go: &Arc<Notify>, answer: Answer) -> Answer {
        let mut waiting = Answer::default().wait(go);
        waiting.acts.extend(answer.acts);
        waiting
    }

    /// No answer: the connection ends after the request.
    pub fn none() -> Answer {
        Answer::default().cut()
    }

    /// The last piece without its last bytes.
    #[must_use]
    pub fn shorten(mut self, bytes: usize) -> Answer {
        if let Some(Act::Send(last)) = self.acts.last_mut() {
            last.truncate(last.len() - bytes);
        }
        self
    }

    /// A stream of these frames, properly ended.
    pub fn events(frames: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Answer {
        Answer::stream().frames(frames).end()
    }
}

/// An address at which nobody listens, held so that nobody else will.
pub struct Refusing {
    socket: TcpSocket,
}

impl Refusing {
    pub fn new() -> Refusing {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        Refusing { socket }
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.socket.local_addr().unwrap())
    }
}

type Script = dyn Fn(usize, &Received) -> Answer + Send + Sync;

struct Shared {
    script: Box<Script>,
    requests: Mutex<Vec<Received>>,
    arrived: watch::Sender<usize>,
    departed: watch::Sender<usize>,
}

impl Shared {
    fn new(script: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static) -> Shared {
        Shared {
            script: Box::new(script),
            requests: Mutex::default(),
            arrived: watch::Sender::new(0),
            departed: watch::Sender::new(0),
        }
    }
}

/// A scripted upstream that listens.
pub struct Upstream {
    pub addr: SocketAddr,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Upstream {
    /// Answers the n-th request (from 0) as `script` says.
    pub async fn start(script: impl Fn(usize, &Received) -> Answer + Send + Sync + 'static) -> Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new(script));
        let task = tokio::spawn(accept(listener, shared.clone()));
        Upstream { addr, shared, task }
    }

    /// Ends every connection as soon as it is there, or resets it. Each counts as a request.
    pub async fn hanging_up(resets: bool) -> Upstream {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let shared = Arc::new(Shared::new(|_, _| Answer::none()));
        let counting = shared.clone();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let nothing = Received { target: String::new(), headers: Vec::new(), body: Bytes::new() };
                counting.requests.lock().unwrap().push(nothing);
                if resets {
                    stream.set_zero_linger().unwrap();
                }
            }
        });
        Upstream { addr, shared, task }
    }

    /// Answers every request the same.
    pub async fn always(answer: Answer) -> Upstream {
        Upstream::start(move |_, _| answer.clone()).await
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub fn requests(&self) -> Vec<Received> {
        self.shared.requests.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.shared.requests.lock().unwrap().len()
    }

    /// The only request so far.
    pub fn only(&self) -> Received {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "requests at the upstream");
        requests.into_iter().next().unwrap()
    }

    /// Waits until so many requests have arrived.
    pub async fn arrived(&self, count: usize) {
        let mut seen = self.shared.arrived.subscribe();
        soon("a request at the upstream", seen.wait_for(|seen| *seen >= count)).await.unwrap();
    }

    /// Waits until the gateway has gone away from so many stalled answers.
    pub async fn departed(&self, count: usize) {
        let mut seen = self.shared.departed.subscribe();
        soon("the gateway closing its connection", seen.wait_for(|seen| *seen >= count)).await.unwrap();
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        tokio::spawn(connection(stream, shared.clone()));
    }
}

/// Serves requests until one side ends the connection.
async fn connection(mut stream: TcpStream, shared: Arc<Shared>) {
    while let Some(request) = read_request(&mut stream).await {
        let number = {
            let mut requests = shared.requests.lock().unwrap();
            requests.push(request.clone());
            requests.len()
        };
        shared.arrived.send_replace(number);
        let answer = (shared.script)(number - 1, &request);
        if !perform(&mut stream, answer, &shared).await {
            return;
        }
    }
}

/// Whether the connection goes on.
async fn perform(stream: &mut TcpStream, answer: Answer, shared: &Shared) -> bool {
    for act in answer.acts {
        match act {
            Act::Send(bytes) => {
                if stream.write_all(&bytes).await.is_err() {
                    shared.departed.send_modify(|count| *count += 1);
                    return false;
                }
            }
            Act::Wait(go) => tokio::select! {
                () = go.notified() => {}
                () = left(stream) => {
                    shared.departed.send_modify(|count| *count += 1);
                    return false;
                }
            },
            Act::Cut => return false,
            Act::Reset => {
                stream.set_zero_linger().unwrap();
                return false;
            }
        }
    }
    true
}

/// Ends when the other side has closed or reset the connection.
async fn left(stream: &mut TcpStream) {
    let mut rest = [0; 64];
    while matches!(stream.read(&mut rest).await, Ok(1..)) {}
}

async fn read_request(stream: &mut TcpStream) -> Option<Received> {
    let mut read = Vec::new();
    let head_end = loop {
        if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
            break at;
        }
        if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
            return None;
        }
    };
    let head = String::from_utf8(read[..head_end].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let target = lines.next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    let length: usize = length.map_or(0, |(_, length)| length.parse().unwrap());
    let mut body = read.split_off(head_end + 4);
    while body.len() < length {
        if !matches!(stream.read_buf(&mut body).await, Ok(1..)) {
            return None;
        }
    }
    Some(Received { target, headers, body: body.into() })
}
