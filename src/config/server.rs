//! `server`: threads, and what connections may take.

use std::num::NonZeroU32;
use std::time::Duration;

use super::read::{count, limit, size};
use super::reader::Map;

/// The process and its connections (`server`). A time of `None` is "no limit", spelled `none` or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server {
    /// Threads that run requests; `None`, the default, is one per core (`auto`).
    pub worker_threads: Option<NonZeroU32>,
    /// Most connections at a time; further ones wait to be accepted. Default 20,000.
    pub max_connections: usize,
    /// Most bytes of a request's head: its first line and its headers. Default 128 KiB.
    pub max_header_size: usize,
    /// Most time to the end of a request's head, from the beginning of the connection or the end of the last answer:
    /// also how long an idle connection is kept. Default 75 s.
    pub header_timeout: Option<Duration>,
    /// In each such time some of the request's body must come: 16 KiB at least, or the rest of it. Default 30 s.
    pub body_timeout: Option<Duration>,
    /// How long a client may take nothing of its answer. Default 5 minutes.
    pub write_timeout: Option<Duration>,
}

impl Default for Server {
    fn default() -> Self {
        Server {
            worker_threads: None,
            max_connections: 20_000,
            max_header_size: 128 << 10,
            header_timeout: Some(Duration::from_secs(75)),
            body_timeout: Some(Duration::from_secs(30)),
            write_timeout: Some(Duration::from_secs(300)),
        }
    }
}

pub(super) fn read(map: &Map<'_>) -> Server {
    let default = Server::default();
    let threads = map.get("worker_threads").and_then(|field| {
        field.parsed("`auto` or a number of threads", |text| match (text, text.parse()) {
            ("auto", _) => Ok(None),
            (_, Ok(count @ 1..=1024_u32)) => Ok(NonZeroU32::new(count)),
            _ => Err("must be `auto` or between 1 and 1024".to_owned()),
        })
    });
    let header_size = map.get("max_header_size").and_then(|field| match size(&field)? {
        // The HTTP library reads no less at a time.
        size @ 8192.. => Some(size),
        _ => field.refuse("must be at least 8KiB"),
    });
    let time = |key, base| map.get(key).and_then(|field| limit(&field)).unwrap_or(base);
    Server {
        worker_threads: threads.flatten(),
        max_connections: count(map, "max_connections")
            .map_or(default.max_connections, |count| count.get() as usize),
        max_header_size: header_size.unwrap_or(default.max_header_size),
        header_timeout: time("header_timeout", default.header_timeout),
        body_timeout: time("body_timeout", default.body_timeout),
        write_timeout: time("write_timeout", default.write_timeout),
    }
}
