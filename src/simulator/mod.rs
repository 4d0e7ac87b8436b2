//! A server that plays an LLM provider, for tests, benchmarks and trying out a configuration.
//!
//! It speaks all four protocols on one port: Anthropic Messages, OpenAI Chat Completions, OpenAI
//! Responses and Gemini, whole and streamed, with model lists and token counts. It shares no code
//! with [`crate::protocol`]: what it accepts and sends is evidence about the gateway, not an echo
//! of it.
//!
//! # What it says
//!
//! The same request always gets the same answer.
//!
//! * Text: `You said: …`, then `[system: …]`, `[images: n]` and `[documents: n]` for what else
//!   arrived, `[inline: type n bytes sha256]` for media within the request (the beginning of the sum),
//!   `[reasoning: n]` for reasoning state of its own that came back whole, then the model's name and
//!   an emoji. Streams carry it word by word. A word is a token.
//! * Tools on offer, and a text in the user's last turn: a call of the first tool or the chosen
//!   one. Arguments are made from the schema, with values from `name=value` in the text. The word
//!   `parallel` in the text gets two calls. Tool results in the last turn: `The tool said: …`.
//! * Reasoning, when asked for: a short text first, signed or encrypted the provider's way.
//! * Probabilities of tokens, when asked for: every word has the same.
//! * A JSON schema for the answer: a document that fits it.
//! * Stop sequences and token limits cut, and are reported as the provider reports them.
//! * Requests that the provider would refuse are refused in its words and shape.
//!
//! # A coding agent's model
//!
//! With `sim-agent` in the name of the model, text in backticks is a command: each one becomes a call
//! of the first tool with a parameter `command` or `cmd`, one per turn, and the last answer says what
//! all of them said. A tool `exec` gets a script that runs the command, as Codex has it. That is enough
//! for a real agent to complete a task.
//!
//! # Faults by model name
//!
//! These stand anywhere in the name of the model and may be combined:
//!
//! | in the name | effect |
//! |---|---|
//! | `sim-status-503` | this status, in the provider's shape (any from 200 to 599) |
//! | `sim-retry-after-7` | seconds told with `sim-status-…` and the other errors here |
//! | `sim-flaky-2` | the first 2 requests with this exact name fail with 503 (or `sim-status-…`) |
//! | `sim-events-4000` | so many text deltas instead of an echo |
//! | `sim-html` | 502, or `sim-status-…`, with a web page as body |
//! | `sim-error-in-200` | status 200 with an error object as JSON body |
//! | `sim-error-event-at-3` | an error event after 3 events, then a clean end |
//! | `sim-cut-at-3` | the connection drops after 3 events |
//! | `sim-end-at-3` | a clean end after 3 events, without the terminal one |
//! | `sim-stall-at-3` | nothing more after 3 events |
//! | `sim-empty` | status 200 and no body at all |
//! | `sim-blank` | a complete answer that says nothing |
//! | `sim-filter` | the answer ends as a content filter would end it |
//! | `sim-slow-100` | 100 ms more to the head |
//! | `sim-must-stream` | requests that do not stream are refused |
//! | `sim-chop-7` | streams leave in pieces of 7 bytes, not event by event |
//! | `sim-search` | if the request lets the provider search the web, it does, and cites a page |
//! | `sim-interleave` | Chat streams mix the argument deltas of parallel calls |
//! | `sim-strict` | reasoning state from elsewhere is refused (signatures, encrypted content) |
//!
//! Where there is no stream, the four `…-at-…` faults answer an error status, half a body and a
//! dropped connection, half a body and a clean end, half a body and silence.
//!
//! # Cancellation
//!
//! `GET /simulator/departures?model=…` tells how many streams of a model were left by their client
//! before the end, as `{"departures":n}`. It answers when there is one to tell of, or after 10 s.

mod agent;
mod anthropic;
mod ask;
mod departures;
mod faults;
mod gemini;
mod ids;
mod listing;
mod openai;
mod record;
mod refusal;
mod responses;
mod route;
mod schema;
mod script;
mod search;
mod serve;
mod settings;
mod stage;
#[cfg(test)]
mod testing;
mod wire;

use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use record::Received;
pub use settings::{Settings, SimulateArgs};

use stage::Stage;

/// A protocol that the simulator speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions.
    OpenAi,
    /// OpenAI Responses.
    Responses,
    /// Gemini generateContent.
    Gemini,
}

/// A simulated provider. Clones share what they recorded.
#[derive(Clone, Debug)]
pub struct Simulator {
    stage: Arc<Stage>,
}

impl Simulator {
    /// A simulator with these settings; nothing listens yet.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Simulator { stage: Arc::new(Stage::new(settings)) }
    }

    /// The service, to be mounted in any axum server or called directly.
    pub fn router(&self) -> Router {
        let stage = Arc::clone(&self.stage);
        Router::new().fallback(move |request| {
            let stage = Arc::clone(&stage);
            async move { stage.handle(request).await }
        })
    }

    /// Serves until `shutdown` is ready, then gives running requests a second to end. Dropping the
    /// future closes every connection.
    ///
    /// # Errors
    ///
    /// When the listener fails for another reason than a broken connection.
    pub async fn serve<F>(&self, listener: TcpListener, shutdown: F) -> io::Result<()>
    where
        F: Future<Output = ()> + Send,
    {
        serve::serve(listener, self.router(), shutdown).await
    }

    /// Serves on a free port of 127.0.0.1 until the returned value is dropped.
    ///
    /// # Errors
    ///
    /// When no port can be had.
    pub async fn spawn(settings: Settings) -> io::Result<Running> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let simulator = Simulator::new(settings);
        let server = simulator.clone();
        let task = tokio::spawn(async move {
            // It ends with the task; there is nobody to tell.
            let _ = server.serve(listener, std::future::pending()).await;
        });
        Ok(Running { addr, handle: simulator, task })
    }

    /// The newest requests, at most 1,000 (fewer if they are very large), oldest first. Empty if
    /// [`Settings::record`] is off.
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.stage.record.all()
    }

    /// Forgets the recorded requests.
    pub fn forget(&self) {
        self.stage.record.clear();
    }
}

/// A simulator that listens. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct Running {
    /// Where it listens.
    pub addr: SocketAddr,
    /// The simulator itself.
    pub handle: Simulator,
    task: JoinHandle<()>,
}

impl Running {
    /// The base URL, without a slash at its end.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// As [`Simulator::requests`].
    #[must_use]
    pub fn requests(&self) -> Vec<Received> {
        self.handle.requests()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}
