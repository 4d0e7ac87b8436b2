//! Sees an answer pass: what layers have in common that count, log or judge answers and change nothing.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;

/// Somebody who is told how an answer goes on its way to the client.
///
/// Dropped without having been told an [`end`](Inspect::end), it knows that nobody waits for the rest. `E` is what
/// answers fail with.
pub trait Inspect<E> {
    /// The answer begins.
    fn head(&mut self, status: StatusCode) {
        let _ = status;
    }

    /// The next bytes, as they pass.
    fn data(&mut self, data: &Bytes) {
        let _ = data;
    }

    /// Nothing follows: the answer is whole, or it failed.
    fn end(self, outcome: Result<(), &E>);
}

pin_project! {
    /// A response future whose answer is inspected from its head to its end.
    pub struct InspectFuture<F, I> {
        // Dropped before `inspect`, which then knows all that has come.
        #[pin]
        inner: F,
        inspect: Option<I>,
    }
}

impl<F, I> InspectFuture<F, I> {
    /// Without `inspect` the answer just passes.
    pub fn new(inner: F, inspect: impl Into<Option<I>>) -> Self {
        InspectFuture { inner, inspect: inspect.into() }
    }
}

impl<F, I> fmt::Debug for InspectFuture<F, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InspectFuture").finish_non_exhaustive()
    }
}

impl<F, I, B, E> Future for InspectFuture<F, I>
where
    F: Future<Output = Result<Response<B>, E>>,
    I: Inspect<E> + Inspect<B::Error>,
    B: Body<Data = Bytes>,
{
    type Output = Result<Response<InspectBody<B, I>>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.inner.poll(cx));
        let inspect = this.inspect.take();
        Poll::Ready(match result {
            Ok(response) => {
                let mut inspect = inspect;
                if let Some(inspect) = &mut inspect {
                    <I as Inspect<E>>::head(inspect, response.status());
                }
                Ok(response.map(|inner| InspectBody::new(inner, inspect)))
            }
            Err(error) => {
                if let Some(inspect) = inspect {
                    inspect.end(Err(&error));
                }
                Err(error)
            }
        })
    }
}

pin_project! {
    /// A body that is inspected; every frame passes as it is.
    pub struct InspectBody<B, I> {
        #[pin]
        inner: B,
        inspect: Option<I>,
    }
}

impl<B, I> InspectBody<B, I>
where
    B: Body<Data = Bytes>,
    I: Inspect<B::Error>,
{
    /// Without `inspect` the body just passes.
    pub fn new(inner: B, inspect: impl Into<Option<I>>) -> Self {
        let mut body = InspectBody { inner, inspect: inspect.into() };
        // Nobody asks a body for frames that says it has none.
        if body.inner.is_end_stream()
            && let Some(inspect) = body.inspect.take()
        {
            inspect.end(Ok(()));
        }
        body
    }
}

impl<B, I> fmt::Debug for InspectBody<B, I> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InspectBody").finish_non_exhaustive()
    }
}

impl<B, I> Body for InspectBody<B, I>
where
    B: Body<Data = Bytes>,
    I: Inspect<B::Error>,
{
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let mut this = self.project();
        let frame = ready!(this.inner.as_mut().poll_frame(cx));
        let outcome = match &frame {
            Some(Ok(frame)) => {
                if let (Some(inspect), Some(data)) = (this.inspect.as_mut(), frame.data_ref()) {
                    inspect.data(data);
                }
                // The consumer may not ask again after the last frame.
                this.inner.is_end_stream().then_some(Ok(()))
            }
            Some(Err(error)) => Some(Err(error)),
            None => Some(Ok(())),
        };
        if let Some(outcome) = outcome
            && let Some(inspect) = this.inspect.take()
        {
            inspect.end(outcome);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;
    use std::sync::{Arc, Mutex};

    use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
    use tokio_test::task;

    use super::*;

    /// Writes down what it is told.
    #[derive(Clone, Default)]
    struct Notes(Arc<Mutex<Vec<String>>>);

    impl Notes {
        fn note(&self, what: String) {
            self.0.lock().unwrap().push(what);
        }

        fn taken(&self) -> Vec<String> {
            std::mem::take(&mut self.0.lock().unwrap())
        }
    }

    impl<E: fmt::Debug> Inspect<E> for Notes {
        fn head(&mut self, status: StatusCode) {
            self.note(status.to_string());
        }

        fn data(&mut self, data: &Bytes) {
            self.note(format!("{data:?}"));
        }

        fn end(self, outcome: Result<(), &E>) {
            self.note(format!("{outcome:?}"));
        }
    }

    fn frames(
        frames: Vec<Result<Frame<Bytes>, &'static str>>,
    ) -> impl Body<Data = Bytes, Error = &'static str> {
        StreamBody::new(futures_util::stream::iter(frames))
    }

    #[tokio::test]
    async fn an_answer_is_seen_from_its_head_to_its_end() {
        let notes = Notes::default();
        let answer = Response::new(Full::new(Bytes::from_static(b"all")));
        let future = InspectFuture::new(std::future::ready(Ok::<_, Infallible>(answer)), notes.clone());
        let mut body = future.await.unwrap().into_body();
        assert_eq!(notes.taken(), ["200 OK"]);
        // Whoever reads a body that says it is at its end asks no more.
        body.frame().await.unwrap().unwrap();
        assert_eq!(notes.taken(), ["b\"all\"", "Ok(())"]);
    }

    #[tokio::test]
    async fn an_answer_without_a_body_is_whole_although_nobody_reads_it() {
        let notes = Notes::default();
        let answer = Response::new(Empty::<Bytes>::new());
        let future = InspectFuture::new(std::future::ready(Ok::<_, Infallible>(answer)), notes.clone());
        drop(future.await.unwrap());
        assert_eq!(notes.taken(), ["200 OK", "Ok(())"]);
    }

    #[tokio::test]
    async fn what_breaks_is_told_and_what_is_left_is_not_called_whole() {
        let notes = Notes::default();
        let broken = vec![Ok(Frame::data(Bytes::from_static(b"half"))), Err("reset")];
        let mut body = InspectBody::new(frames(broken), notes.clone());
        body.frame().await.unwrap().unwrap();
        body.frame().await.unwrap().unwrap_err();
        assert_eq!(notes.taken(), ["b\"half\"", "Err(\"reset\")"]);

        let left = vec![Ok(Frame::data(Bytes::from_static(b"half"))), Ok(Frame::data(Bytes::new()))];
        let mut body = InspectBody::new(frames(left), notes.clone());
        body.frame().await.unwrap().unwrap();
        drop(body);
        assert_eq!(notes.taken(), ["b\"half\""]);
    }

    #[test]
    fn no_answer_is_no_whole_answer() {
        let notes = Notes::default();
        let failed = std::future::ready(Err::<Response<Full<Bytes>>, _>("refused"));
        // The body cannot fail, the future can.
        let mut future = task::spawn(InspectFuture::new(failed, notes.clone()));
        assert!(matches!(future.poll(), Poll::Ready(Err("refused"))));
        assert_eq!(notes.taken(), ["Err(\"refused\")"]);
    }
}
