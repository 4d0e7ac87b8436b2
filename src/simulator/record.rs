//! What arrived, for tests to look at.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use axum::http::{HeaderMap, Method};
use bytes::Bytes;

use super::Protocol;

const MAX_REQUESTS: usize = 1000;
const MAX_BYTES: usize = 256 * 1024 * 1024;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    /// The protocol it was understood as.
    pub protocol: Protocol,
    /// Its method.
    pub method: Method,
    /// Its path, as sent.
    pub path: String,
    /// What followed the question mark.
    pub query: Option<String>,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Received {
    /// The value of a header, if it is there and is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body as JSON; null if it is not.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// The newest requests.
#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<(VecDeque<Received>, usize)>);

impl Record {
    /// Adds one, and forgets the oldest ones if there are too many or they are too large.
    pub(crate) fn push(&self, request: Received) {
        let mut guard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (kept, bytes) = &mut *guard;
        *bytes += request.body.len();
        kept.push_back(request);
        while kept.len() > MAX_REQUESTS || (*bytes > MAX_BYTES && kept.len() > 1) {
            *bytes -= kept.pop_front().map_or(0, |old| old.body.len());
        }
    }

    /// All of them, oldest first.
    pub(crate) fn all(&self) -> Vec<Received> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.iter().cloned().collect()
    }

    /// Forgets them.
    pub(crate) fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Default::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_are_kept() {
        let record = Record::default();
        for n in 0..MAX_REQUESTS + 5 {
            record.push(Received {
                protocol: Protocol::OpenAi,
                method: Method::POST,
                path: n.to_string(),
                query: None,
                headers: HeaderMap::new(),
                body: Bytes::new(),
            });
        }
        let all = record.all();
        assert_eq!((all.len(), all[0].path.as_str()), (MAX_REQUESTS, "5"));
        record.clear();
        assert!(record.all().is_empty());
    }
}
