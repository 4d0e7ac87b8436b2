//! A connection that remembers whether an answer has come through it.
//!
//! Upstreams close connections that were idle for a while, and a request may meet that on its way. A request that is lost
//! on a connection which has served before, and gets no head of an answer, is sent once more on a new one, if that shows at
//! once. Later it may have been worked on, and paid for; then, and on a new connection, it is a failure like any other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use http::{Extensions, Response};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::Error;
use hyper_util::client::legacy::connect::{Connected, Connection};
use pin_project_lite::pin_project;

pin_project! {
    /// A connection with its memory.
    pub(super) struct Remembering<T> {
        #[pin]
        inner: T,
        served: Served,
    }
}

/// Whether an answer has come.
#[derive(Clone, Default)]
struct Served(Arc<AtomicBool>);

impl<T> Remembering<T> {
    pub(super) fn new(inner: T) -> Self {
        Remembering { inner, served: Served::default() }
    }

    #[cfg(test)]
    pub(super) fn into_inner(self) -> T {
        self.inner
    }
}

/// Notes that the connection of this answer has served.
pub(super) fn note<B>(response: &mut Response<B>) {
    if let Some(Served(served)) = response.extensions_mut().remove() {
        served.store(true, Ordering::Relaxed);
    }
}

/// Whether a request met the end of a connection that had been idle: it had served, and broke before an answer began.
pub(super) fn was_stale(error: &Error) -> bool {
    let mut extras = Extensions::new();
    if let Some(connected) = error.connect_info() {
        connected.get_extras(&mut extras);
    }
    let has_served = extras.get::<Served>().is_some_and(|Served(served)| served.load(Ordering::Relaxed));
    has_served && is_lost(error)
}

/// Whether the connection ended before the head of an answer was whole.
fn is_lost(error: &Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if let Some(error) = error.downcast_ref::<hyper::Error>()
            && (error.is_incomplete_message() || error.is_canceled() || error.is_closed())
        {
            return true;
        }
        if let Some(error) = error.downcast_ref::<io::Error>() {
            use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
            return matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset);
        }
        source = error.source();
    }
    false
}

impl<T: Connection> Connection for Remembering<T> {
    fn connected(&self) -> Connected {
        self.inner.connected().extra(self.served.clone())
    }
}

impl<T: Read> Read for Remembering<T> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_read(cx, buf)
    }
}

impl<T: Write> Write for Remembering<T> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().inner.poll_write_vectored(cx, bufs)
    }
}
