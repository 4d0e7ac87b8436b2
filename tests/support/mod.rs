//! What the integration tests share: a served gateway, a client, a scripted upstream, and the four
//! protocols as a client or a provider writes them. None of it uses the gateway's own codecs.

pub mod answer;
pub mod client;
pub mod compress;
pub mod gateway;
pub mod meaning;
pub mod native;
pub mod odd;
pub mod program;
pub mod recorded;
pub mod series;
pub mod streams;
pub mod talk;
pub mod tls;
pub mod translations;
pub mod upstream;

use std::future::Future;
use std::time::Duration;

pub use aiproxy::protocol::Protocol;

/// Waits for something that must happen; a test that would hang fails and says what it waited for.
pub async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(30), future).await {
        Ok(output) => output,
        Err(_) => panic!("this never happened: {what}"),
    }
}

/// Every client protocol with every upstream protocol.
pub fn pairs() -> impl Iterator<Item = (Protocol, Protocol)> {
    Protocol::ALL.into_iter().flat_map(|client| Protocol::ALL.map(|upstream| (client, upstream)))
}
