//! The clocks on content.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use tokio::time::Instant;
use tower::{Layer as _, ServiceExt, service_fn};

use super::ClassifyLayer;
use crate::error::{Clock, Error};
use crate::payload::Payload;
use crate::protocol::{Endpoint, Operation, Protocol};

const PING: &str = "event: ping\ndata: {\"type\":\"ping\"}\n\n";
const START: &str = r#"data: {"type":"message_start","message":{"id":"m","model":"m","usage":{"input_tokens":1,"output_tokens":1}}}

data: {"type":"content_block_start","index":0,"content_block":{"type":"thinking","thinking":"","signature":""}}

data: {"type":"content_block_delta","index":0,"delta":{"type":"thinking_delta","thinking":"Well,"}}

"#;

fn thought(text: &str) -> String {
    format!(
        r#"data: {{"type":"content_block_delta","index":0,"delta":{{"type":"thinking_delta","thinking":"{text}"}}}}"#
    ) + "\n\n"
}

/// When and by which clock a stream ends of which a piece comes every five seconds, and nothing but pings at last.
async fn ends(pieces: Vec<String>) -> (u64, Clock) {
    let start = Instant::now();
    let layer =
        ClassifyLayer::new().first_content(Duration::from_secs(30)).content_gap(Duration::from_secs(12));
    let pieces = pieces.into_iter().chain(std::iter::repeat(PING.to_owned()));
    let stream = futures_util::stream::unfold(pieces, |mut pieces| async move {
        tokio::time::sleep(Duration::from_secs(5)).await;
        let piece = pieces.next()?;
        Some((Ok::<_, Error>(Frame::data(Bytes::from(piece))), pieces))
    });
    let mut body = Some(StreamBody::new(Box::pin(stream)));
    let service = layer.layer(service_fn(move |_: Request<Payload>| {
        let response = Response::builder().header("content-type", "text/event-stream");
        std::future::ready(Ok::<_, Error>(response.body(body.take().unwrap()).unwrap()))
    }));
    let endpoint = Endpoint::new(Protocol::Anthropic, Operation::Generate);
    let payload = Payload::new(endpoint, r#"{"model":"m","stream":true}"#).unwrap();
    let error = match service.oneshot(Request::new(payload)).await {
        Ok(response) => match response.into_body().collect().await {
            Err(Error::Stream { error, .. }) => *error,
            other => panic!("{other:?}"),
        },
        Err(error) => error,
    };
    match error {
        Error::Timeout(clock) => (start.elapsed().as_secs(), clock),
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn pings_make_no_dead_model_look_alive() {
    assert_eq!(ends(vec![]).await, (30, Clock::FirstContent));
    assert_eq!(ends(vec![START.to_owned()]).await, (17, Clock::Content), "content began at 5");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_thinks_aloud_is_alive_and_one_that_says_nothing_is_not() {
    let thinks = |text: &str| [vec![START.to_owned()], vec![thought(text); 10]].concat();
    assert_eq!(ends(thinks("Hm.")).await, (67, Clock::Content), "its last thought came at 55");
    assert_eq!(ends(thinks("")).await, (17, Clock::Content));
}
