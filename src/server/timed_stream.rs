//! A connection whose other side must do its part: say something soon, and take what it is sent.
//!
//! hyper's own clock for the head of a request starts when it knows which HTTP the client speaks; until then, and
//! while an answer goes out, nobody else looks at the time.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::silence::Silence;

/// As many bytes tell which HTTP it is: the length of HTTP/2's opening.
const OPENING: usize = 24;

pin_project! {
    /// See the module. Who does not do its part gets [`ErrorKind::TimedOut`].
    #[derive(Debug)]
    pub(super) struct TimedStream<S> {
        #[pin]
        inner: S,
        // Of the opening, what has not come yet.
        awaited: usize,
        opening: Silence,
        // Since the other side has taken something.
        stall: Silence,
    }
}

impl<S> TimedStream<S> {
    /// `opening`: most time to the first bytes. `stall`: how long the other side may take nothing.
    pub(super) fn new(inner: S, opening: Option<Duration>, stall: Option<Duration>) -> Self {
        let (opening, stall) = (Silence::started(opening), Silence::new(stall));
        TimedStream { inner, awaited: OPENING, opening, stall }
    }
}

impl<S: AsyncRead> AsyncRead for TimedStream<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.project();
        let before = buf.filled().len();
        if let Poll::Ready(read) = this.inner.poll_read(cx, buf) {
            *this.awaited = this.awaited.saturating_sub(buf.filled().len().saturating_sub(before));
            return Poll::Ready(read);
        }
        if *this.awaited == 0 {
            return Poll::Pending;
        }
        ready!(this.opening.poll(cx));
        Poll::Ready(Err(ErrorKind::TimedOut.into()))
    }
}

/// What came of a write, or that it took too long.
fn timed<T>(written: Poll<io::Result<T>>, stall: &mut Silence, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
    if written.is_ready() {
        stall.end();
        return written;
    }
    ready!(stall.poll(cx));
    Poll::Ready(Err(ErrorKind::TimedOut.into()))
}

impl<S: AsyncWrite> AsyncWrite for TimedStream<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.inner.poll_write(cx, buf);
        timed(written, this.stall, cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.project();
        let written = this.inner.poll_write_vectored(cx, bufs);
        timed(written, this.stall, cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().inner.poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
    use tokio::time::{Instant, sleep};

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn who_says_nothing_or_half_an_opening_is_not_waited_for() {
        for said in ["", "P", "PRI * HTTP/2.0"] {
            let start = Instant::now();
            let (mut client, server) = duplex(64);
            client.write_all(said.as_bytes()).await.unwrap();
            let mut server = Box::pin(TimedStream::new(server, Some(5 * SECOND), None));
            let mut read = Vec::new();
            let error = server.read_to_end(&mut read).await.unwrap_err();
            assert_eq!((error.kind(), read.as_slice()), (ErrorKind::TimedOut, said.as_bytes()));
            assert_eq!(start.elapsed(), 5 * SECOND);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_said_something_may_wait_for_its_answer() {
        let (mut client, server) = duplex(64);
        client.write_all(&[b'x'; OPENING]).await.unwrap();
        let mut server = Box::pin(TimedStream::new(server, Some(5 * SECOND), Some(5 * SECOND)));
        assert_eq!(server.read(&mut [0; 64]).await.unwrap(), OPENING);
        tokio::select! {
            biased;
            _ = server.read_u8() => panic!("there is nothing to read"),
            () = sleep(1000 * SECOND) => {}
        }
        server.write_all(b"answer").await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_off_and_who_takes_little_is_not() {
        let start = Instant::now();
        let (mut client, server) = duplex(8);
        let mut server = Box::pin(TimedStream::new(server, None, Some(5 * SECOND)));
        let reader = tokio::spawn(async move {
            for _ in 0..20 {
                sleep(4 * SECOND).await;
                client.read_u8().await.unwrap();
            }
            client
        });
        let error = server.write_all(&[0; 100]).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        assert_eq!(start.elapsed(), 85 * SECOND, "five seconds after the last byte was taken");
        drop(reader.await.unwrap());
    }
}
