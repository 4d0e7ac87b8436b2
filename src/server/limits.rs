//! What connections may take: how many, how long, how much.
//!
//! What requests may take is the gateway's: see [`Builder`](crate::gateway::Builder).

use std::time::Duration;

use hyper_util::rt::{TokioExecutor, TokioTimer};
use hyper_util::server::conn::auto;

/// Streams of one HTTP/2 connection at a time.
const MAX_STREAMS: u32 = 250;

/// What one HTTP/2 stream may have on its way to a client, beyond what the client has room for.
const MAX_SEND_SIZE: usize = 64 << 10;

/// How often an HTTP/2 client is asked whether it is still there, and how long it may take to say so.
const PING: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(30));

/// The limits of a listener and its connections. A time of `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time; further ones wait to be accepted. Default 20,000.
    pub max_connections: usize,
    /// Most bytes of a request's first line and headers together, from 8192; more are answered with 431. Default 128 KiB.
    /// Of headers there may be 100.
    pub max_header_size: usize,
    /// Most time to the end of a request's head, from the beginning of the connection or the end of the last answer;
    /// then the connection is closed. Default 75 s, for proxies that keep idle ones for 60.
    pub header_timeout: Option<Duration>,
    /// How long a client may take nothing of an answer; then the connection is closed. Default 5 minutes.
    pub write_timeout: Option<Duration>,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_connections: 20_000,
            max_header_size: 128 << 10,
            header_timeout: Some(Duration::from_secs(75)),
            write_timeout: Some(Duration::from_secs(300)),
        }
    }
}

impl Limits {
    /// What serves connections within these limits. hyper's own bounds on HTTP/2 streams that are reset at once (20
    /// that nobody has looked at) stay as they are.
    pub(super) fn builder(&self) -> auto::Builder<TokioExecutor> {
        // Less than this makes hyper panic.
        let header_size = self.max_header_size.max(8192);
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(header_size);
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(u32::try_from(header_size).unwrap_or(u32::MAX))
            .max_send_buf_size(MAX_SEND_SIZE)
            .keep_alive_interval(PING.0)
            .keep_alive_timeout(PING.1);
        builder
    }
}
