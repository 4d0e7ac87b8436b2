//! The upstream: a hyper server that answers at once, from memory, in the protocol of the path it is asked at.
//!
//! It reads the whole request and refuses one that is cut short or that does not end as JSON does, so that a proxy
//! gains nothing by losing a part of it. A stream leaves in one write per event: between two frames the body is
//! pending once, which makes hyper flush what it has.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Either, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use tokio::time::{Instant, Interval, interval_at};

use super::answers::{Protocol, Script, answer};
use super::fail::Outcome;
use super::serve::serve;

type Answer = Response<Either<Full<Bytes>, Events>>;

/// What one run of the upstream is asked for.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct Plan {
    #[arg(long)]
    pub listen: SocketAddr,
    /// Pieces of text in a stream; 0: complete answers.
    #[arg(long)]
    pub events: usize,
    /// Time between two pieces; 0: as fast as they can be written.
    #[arg(long)]
    pub every_ms: u64,
    /// The shortest request that is believed.
    #[arg(long)]
    pub min_request: usize,
}

pub async fn run(plan: Plan) -> Outcome<()> {
    let canned = Arc::new(Canned::new(plan));
    serve(plan.listen, service_fn(move |request| respond(canned.clone(), request))).await
}

struct Canned {
    plan: Plan,
    chat: Kind,
    anthropic: Kind,
    gemini: Kind,
}

enum Kind {
    Answer(Bytes),
    Stream(Arc<Script>),
}

impl Canned {
    fn new(plan: Plan) -> Self {
        let kind = |protocol| match Script::new(protocol, plan.events) {
            Some(script) if plan.events > 0 => Kind::Stream(Arc::new(script)),
            _ => Kind::Answer(answer(protocol)),
        };
        Self {
            plan,
            chat: kind(Protocol::Chat),
            anthropic: kind(Protocol::Anthropic),
            gemini: kind(Protocol::Gemini),
        }
    }

    fn of(&self, protocol: Protocol) -> &Kind {
        match protocol {
            Protocol::Chat => &self.chat,
            Protocol::Anthropic => &self.anthropic,
            Protocol::Gemini => &self.gemini,
        }
    }
}

async fn respond(canned: Arc<Canned>, request: Request<Incoming>) -> Result<Answer, Infallible> {
    let Some(protocol) = Protocol::of_path(request.uri().path()) else {
        return Ok(refusal(StatusCode::NOT_FOUND, format!("no such path: {}", request.uri().path())));
    };
    if let Err(why) = read(request.into_body(), canned.plan.min_request).await {
        return Ok(refusal(StatusCode::BAD_REQUEST, why));
    }
    Ok(match canned.of(protocol) {
        Kind::Answer(wire) => head("application/json").body(Either::Left(Full::new(wire.clone()))),
        Kind::Stream(script) => head("text/event-stream; charset=utf-8")
            .header(CACHE_CONTROL, "no-cache")
            .body(Either::Right(Events::new(script.clone(), canned.plan.every_ms))),
    }
    .expect("a head of constants is valid"))
}

/// Reads the request to its end; says what is wrong with it, if anything.
async fn read(mut body: Incoming, least: usize) -> Result<(), String> {
    let (mut length, mut last) = (0, 0);
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|cause| format!("the request broke off: {cause}"))?;
        if let Some(data) = frame.data_ref().filter(|data| !data.is_empty()) {
            length += data.len();
            last = data[data.len() - 1];
        }
    }
    if length < least || last != b'}' {
        return Err(format!("a request of {length} bytes ending in {last:#04x}; at least {least} are due"));
    }
    Ok(())
}

fn head(content_type: &'static str) -> hyper::http::response::Builder {
    Response::builder()
        .header(CONTENT_TYPE, content_type)
        .header("x-request-id", "req_011CSHoEeqs5C35K2UUqR7Fy")
        .header("openai-processing-ms", "312")
}

fn refusal(status: StatusCode, why: String) -> Answer {
    let wire = format!(r#"{{"error":{{"type":"bench_upstream","message":{why:?}}}}}"#);
    let mut answer = Response::new(Either::Left(Full::from(wire)));
    *answer.status_mut() = status;
    answer
}

/// A body of one frame per event.
struct Events {
    script: Arc<Script>,
    next: usize,
    pace: Pace,
}

enum Pace {
    /// Pending once between two frames; the flag says that the pause was made.
    Flushing(bool),
    Timed(Interval),
}

impl Events {
    fn new(script: Arc<Script>, every_ms: u64) -> Self {
        let period = Duration::from_millis(every_ms);
        let pace = match every_ms {
            0 => Pace::Flushing(true),
            _ => Pace::Timed(interval_at(Instant::now() + period, period)),
        };
        Self { script, next: 0, pace }
    }

    /// The frame that is next, if its time has come. Only pieces of text are paced.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        let (opening, pieces) = (self.script.opening.len(), self.script.pieces.len());
        let piece = self.next.checked_sub(opening).filter(|&piece| piece < pieces);
        let frame = match (piece, &mut self.pace) {
            (_, Pace::Flushing(paused)) if !*paused => {
                *paused = true;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            (Some(piece), Pace::Timed(interval)) => {
                ready!(interval.poll_tick(cx));
                Some(self.script.stamped(piece))
            }
            (Some(piece), Pace::Flushing(_)) => Some(self.script.pieces[piece].clone()),
            (None, _) if self.next < opening => Some(self.script.opening[self.next].clone()),
            (None, _) => self.script.closing.get(self.next - opening - pieces).cloned(),
        };
        self.next += 1;
        if let Pace::Flushing(paused) = &mut self.pace {
            *paused = false;
        }
        Poll::Ready(frame)
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.get_mut().poll_next(cx).map(|frame| frame.map(|data| Ok(Frame::data(data))))
    }
}
