//! One fault, one pair of protocols, one mode: played through a gateway as users configure it.

use std::sync::Arc;

use aiproxy::Gateway;
use http_body_util::BodyExt;
use tokio::sync::Notify;

use crate::judge::{Reply, judge};
use crate::provider::{Others, Scene, mark, sound};
use crate::rows::{Play, Row};
use crate::rule::{ANY_5XX, Mode, Outcome, Who, expected, status_for};
use crate::support::client::Client;
use crate::support::gateway::{Served, api, from_yaml};
use crate::support::talk::Talk;
use crate::support::upstream::{Refusing, Upstream};
use crate::support::{Protocol, native, soon};

#[derive(Clone, Copy, Debug)]
pub struct Cell {
    pub client: Protocol,
    pub upstream: Protocol,
    pub mode: Mode,
}

/// Plays a fault, without another upstream and beside one; what does not hold.
pub async fn play(row: &Row, cell: Cell, others: &Others) -> Result<(), String> {
    let expected = expected(row.effect, row.stage, cell.mode);
    // Where no other upstream is asked, it makes no difference that there is one.
    if let Outcome::Error(_) = expected.alone {
        Setting::new(row, cell, others, false)
            .await
            .run(expected.alone, expected.rests)
            .await
            .map_err(|wrong| format!("alone: {wrong}"))?;
    }
    Setting::new(row, cell, others, true)
        .await
        .run(expected.beside, expected.rests)
        .await
        .map_err(|wrong| format!("beside another: {wrong}"))
}

/// Who takes the first upstream's part.
enum First {
    Listens(Upstream),
    Refuses(Refusing),
    IsAt(String),
}

struct Setting {
    cell: Cell,
    first: First,
    second: Option<Upstream>,
    served: Served,
    client: Client,
    read: Arc<Notify>,
    /// What a relayed error answer may have for a status besides.
    own_status: Option<u16>,
}

impl Drop for Setting {
    fn drop(&mut self) {
        // There are thousands of them.
        self.served.task.abort();
    }
}

impl Setting {
    async fn new(row: &Row, cell: Cell, others: &Others, has_second: bool) -> Setting {
        let Cell { upstream: protocol, mode, .. } = cell;
        let read = Arc::new(Notify::new());
        let scene = Scene { protocol, mode, read: read.clone(), others: others.clone() };
        let first = match (row.play)(&scene) {
            Play::Answers(answer) => First::Listens(
                Upstream::start(move |number, request| match number {
                    0 => answer.clone(),
                    _ => sound(protocol, Who::First, request),
                })
                .await,
            ),
            Play::Refuses => First::Refuses(Refusing::new()),
            Play::At(url) => First::IsAt(url),
            Play::HangsUp { resets } => First::Listens(Upstream::hanging_up(resets).await),
        };
        let second = match has_second {
            true => Some(Upstream::start(move |_, request| sound(protocol, Who::Second, request)).await),
            false => None,
        };
        let url = match &first {
            First::Listens(upstream) => upstream.url(),
            First::Refuses(refusing) => refusing.url(),
            First::IsAt(url) => url.clone(),
        };
        let second_url = second.as_ref().map(Upstream::url);
        let served = Served::start(gateway(protocol, mode, &url, row.timeouts, second_url.as_deref())).await;
        let client = Client::new(served.addr);
        let own_status = row.own_status.filter(|_| cell.client == protocol);
        Setting { cell, first, second, served, client, read, own_status }
    }

    async fn run(&self, wanted: Outcome, rests: bool) -> Result<(), String> {
        if self.cell.mode != Mode::Streaming {
            // It reads nothing before the end.
            self.read.notify_one();
        }
        self.asks(wanted, "the request").await?;
        let second = self.second.as_ref().map_or(0, Upstream::count);
        let attempts = (self.first_count().unwrap_or(1), second);
        if attempts != (1, usize::from(wanted == Outcome::Whole(Who::Second))) {
            return Err(format!("attempts: {attempts:?}"));
        }
        // Whether it rests: whom does the next request go to?
        let next = match (rests, &self.second) {
            (false, _) => Outcome::Whole(Who::First),
            (true, Some(_)) => Outcome::Whole(Who::Second),
            (true, None) => Outcome::Error(503),
        };
        let reply = self.asks(next, "the next request").await?;
        if next == Outcome::Error(503) && !reply.headers.contains_key("retry-after") {
            return Err("nobody told when to come back".to_owned());
        }
        let first = self.first_count();
        if first.is_some_and(|count| count != 1 + usize::from(!rests)) {
            return Err(format!("the first upstream was asked {first:?} times, and rests: {rests}"));
        }
        Ok(())
    }

    fn first_count(&self) -> Option<usize> {
        match &self.first {
            First::Listens(upstream) => Some(upstream.count()),
            First::Refuses(_) | First::IsAt(_) => None,
        }
    }

    async fn asks(&self, wanted: Outcome, what: &str) -> Result<Reply, String> {
        let Cell { client, upstream, mode } = self.cell;
        let reply = self.reply().await;
        let got = judge(client, upstream, mode, &reply, self.own_status);
        let is_as_wanted = match (&got, wanted) {
            (Ok(Outcome::Error(got)), Outcome::Error(ANY_5XX)) => *got >= 500,
            (Ok(Outcome::Error(got)), Outcome::Error(wanted)) => match self.own_status {
                Some(own) if *got == own => true,
                _ => *got == status_for(client, wanted),
            },
            (got, wanted) => got.as_ref() == Ok(&wanted),
        };
        if !is_as_wanted {
            let body = String::from_utf8_lossy(&reply.body);
            let body: String = body.chars().take(3000).collect();
            return Err(format!("{what}: {got:?} instead of {wanted:?}: {} {body}", reply.status));
        }
        Ok(reply)
    }

    async fn reply(&self) -> Reply {
        let Cell { client, upstream, mode } = self.cell;
        let talk = Talk::new(native::model(upstream), "Hi").tools().stream(mode == Mode::Streaming);
        let (head, mut body) = self.client.open(talk.request(client)).await.into_parts();
        let mut reply =
            Reply { status: head.status.as_u16(), headers: head.headers, body: Vec::new(), is_cut: false };
        let mut has_read = mode != Mode::Streaming;
        while let Some(frame) = soon("more of an answer", body.frame()).await {
            let Ok(frame) = frame else {
                reply.is_cut = true;
                break;
            };
            reply.body.extend_from_slice(frame.data_ref().map_or(&[], |data| data));
            if !has_read && String::from_utf8_lossy(&reply.body).contains(mark(Who::First)) {
                has_read = true;
                self.read.notify_one();
            }
        }
        reply
    }
}

/// One failure makes an upstream rest, so that whether it counted can be seen.
fn gateway(protocol: Protocol, mode: Mode, first: &str, timeouts: &str, second: Option<&str>) -> Gateway {
    let api = api(protocol);
    let must_stream = mode == Mode::MustStream;
    let upstream = |name: &str, url: &str, priority: u32, timeouts: &str| {
        format!(
            "  - {{name: {name}, api_type: {api}, base_url: '{url}', token: key-of-{name}, priority: {priority}, \
             must_stream: {must_stream}, timeouts: {{{timeouts}}}}}\n"
        )
    };
    let second = second.map(|url| upstream("second", url, 1, "")).unwrap_or_default();
    let first = upstream("first", first, 0, timeouts);
    // No sign of life goes out before an answer, however slow the machine is.
    let settings = "circuit_breaker: {failures: 1}\nkeep_alive: {grace: 1h}";
    from_yaml(&format!("{settings}\nupstreams:\n{first}{second}"))
}
