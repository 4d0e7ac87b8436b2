//! Reads an answer as far as it takes to tell success from failure. Pure: frames in, verdict out.

use bytes::{Bytes, BytesMut};
use http::StatusCode;
use http::response::Parts;

use super::ClassifyLayer;
use super::future::Asked;
use super::pieces::Pieces;
use super::watch::{Begun, Watch};
use crate::error::{Error, Stage, UpstreamError};
use crate::headers;
use crate::joined::Joined;
use crate::layer::tally::Tally;
use crate::protocol::canonical::{ErrorView, FaultKind, Usage};
use crate::protocol::{Operation, Protocol, is_utf8, json, parse_error, read_usage, usage_keys};
use crate::upstream::secrets::{self, Secrets};

/// An error answer is read so far, and no further (T179).
const ERROR_LIMIT: usize = 64 << 10;

/// What to do next.
#[derive(Debug)]
pub(super) enum Step {
    /// Feed more.
    More,
    /// It failed.
    Failed(Failure),
    /// A whole JSON document, and its token counts.
    Document(Bytes, Usage),
    /// A stream whose content has begun, and what came of it so far.
    Stream(Box<Watch>, Pieces),
}

/// A failure that may still need the answer's head.
#[derive(Debug)]
pub(super) enum Failure {
    Error(Error),
    /// The upstream reported an error: in an error answer, or inside a 200.
    Reported {
        protocol: Protocol,
        status: StatusCode,
        body: Bytes,
        view: Option<Box<ErrorView>>,
    },
}

impl Failure {
    pub(super) fn with_head(self, head: &Parts) -> Error {
        match self {
            Failure::Error(error) => error,
            Failure::Reported { protocol, status, body, view } => {
                let headers = headers::error_headers(&head.headers);
                let secrets = head.extensions.get::<Secrets>();
                let body = secrets::cross_out(secrets, &body).map_or(body, Bytes::from);
                Error::Upstream(Box::new(match view {
                    Some(mut view) => {
                        secrets::cross_out_of(secrets, &mut view);
                        UpstreamError::with_view(protocol, status, headers, body, *view)
                    }
                    None => UpstreamError::new(protocol, status, headers, body),
                }))
            }
        }
    }
}

#[derive(Debug)]
pub(super) struct Gather {
    protocol: Protocol,
    limit: usize,
    hold: usize,
    tally: Tally,
    reading: Reading,
}

#[derive(Debug)]
enum Reading {
    /// The body of an error answer.
    Failure(StatusCode, BytesMut),
    /// A JSON document.
    Document(Operation, Joined),
    /// A stream, until its content begins.
    Stream(Box<Watch>, Pieces),
}

impl Gather {
    pub(super) fn new(head: &Parts, asked: &Asked, settings: &ClassifyLayer) -> Self {
        let (protocol, tally) = (asked.protocol, asked.tally.clone());
        let reading = if !head.status.is_success() {
            Reading::Failure(head.status, BytesMut::new())
        } else if headers::is_event_stream(&head.headers) {
            Reading::Stream(Box::new(Watch::new(protocol, tally.clone())), Pieces::default())
        } else {
            Reading::Document(asked.operation, Joined::default())
        };
        Gather { protocol, limit: settings.limit, hold: settings.hold, tally, reading }
    }

    /// Whether it is the body of an error answer that comes.
    pub(super) fn is_failure(&self) -> bool {
        matches!(self.reading, Reading::Failure(..))
    }

    pub(super) fn push(&mut self, data: Bytes) -> Step {
        match &mut self.reading {
            Reading::Failure(status, read) => {
                let room = ERROR_LIMIT.saturating_sub(read.len()).min(data.len());
                read.extend_from_slice(data.get(..room).unwrap_or_default());
                if read.len() < ERROR_LIMIT { Step::More } else { reported(self.protocol, *status, read) }
            }
            Reading::Document(_, joined) if joined.is_empty() && is_events(&data) => {
                let watch = Watch::new(self.protocol, self.tally.clone());
                self.reading = Reading::Stream(Box::new(watch), Pieces::default());
                self.push(data)
            }
            Reading::Document(_, joined) => {
                if joined.len() + data.len() > self.limit {
                    return failed(Error::codec("the upstream's answer is too large"));
                }
                joined.push(data);
                Step::More
            }
            Reading::Stream(watch, held) => {
                let begun = watch.push(&data);
                held.push(data);
                match begun {
                    Begun::Error(view) | Begun::Spoilt(view) => self.error_in_stream(view),
                    Begun::Yes => self.commit(),
                    Begun::No | Begun::Over if held.len() > self.hold => {
                        failed(Error::codec("too much came before the answer began"))
                    }
                    Begun::No | Begun::Over => Step::More,
                }
            }
        }
    }

    /// The body has ended.
    pub(super) fn finish(&mut self) -> Step {
        match &mut self.reading {
            Reading::Failure(status, read) => reported(self.protocol, *status, read),
            Reading::Document(operation, joined) => {
                let bytes = joined.take();
                match judge(self.protocol, *operation, &bytes) {
                    Ok(usage) => Step::Document(bytes, usage),
                    Err(failure) => Step::Failed(failure),
                }
            }
            Reading::Stream(watch, ..) => match watch.finish() {
                Begun::Error(view) | Begun::Spoilt(view) => self.error_in_stream(view),
                // Only the end told that it had begun: an answer whose last event no blank line closed.
                Begun::Yes => self.commit(),
                Begun::No | Begun::Over => {
                    failed(Error::codec("the upstream's stream ended before it began"))
                }
            },
        }
    }

    /// The connection broke.
    pub(super) fn broken(&mut self, error: Error) -> Step {
        match (&mut self.reading, error) {
            // What came of an error answer says more than that it was cut.
            (Reading::Failure(status, read), _) => reported(self.protocol, *status, read),
            (_, Error::Internal(source)) => failed(Error::Transport { stage: Stage::Body, source }),
            (_, error) => failed(error),
        }
    }

    fn error_in_stream(&self, view: Box<ErrorView>) -> Step {
        let status = StatusCode::from_u16(view.kind.status()).unwrap_or(StatusCode::BAD_GATEWAY);
        // The event is no error body of this protocol: clients get it rendered anew.
        let (_, body) = crate::protocol::render_error(self.protocol, &view);
        Step::Failed(Failure::Reported {
            protocol: self.protocol,
            status,
            body: Bytes::from(body),
            view: Some(view),
        })
    }

    fn commit(&mut self) -> Step {
        let nothing = Reading::Failure(StatusCode::OK, BytesMut::new());
        match std::mem::replace(&mut self.reading, nothing) {
            Reading::Stream(watch, held) => Step::Stream(watch, held),
            _ => Step::More,
        }
    }
}

fn failed(error: Error) -> Step {
    Step::Failed(Failure::Error(error))
}

fn reported(protocol: Protocol, status: StatusCode, read: &mut BytesMut) -> Step {
    if status.as_u16() < 400 {
        // Neither an answer nor an error: a redirect is not followed (T178).
        return failed(Error::codec("the upstream answered with a redirect"));
    }
    let body = std::mem::take(read).freeze();
    Step::Failed(Failure::Reported { protocol, status, body, view: None })
}

/// Whether a body of another content type begins as events do, and no JSON does: some servers and proxies name
/// them wrongly (3.1).
fn is_events(data: &[u8]) -> bool {
    let begin: &[&[u8]] = &[b"data:", b"event:", b"id:", b"retry:", b":"];
    begin.iter().any(|field| data.starts_with(field))
}

/// The top-level members to look at: an error (T017), up to three that make it an answer, and the token
/// counts. A name stands twice where there are fewer.
const fn keys(protocol: Protocol, operation: Operation) -> [&'static str; 6] {
    let answer = match (operation, protocol) {
        (Operation::CountTokens, _) => ["input_tokens", "totalTokens", "totalTokens"],
        (_, Protocol::Anthropic) => ["content"; 3],
        (_, Protocol::OpenAi) => ["choices"; 3],
        (_, Protocol::Responses) => ["output"; 3],
        (_, Protocol::Gemini) => ["candidates", "promptFeedback", "usageMetadata"],
    };
    let usage = usage_keys(protocol);
    ["error", answer[0], answer[1], answer[2], usage[0], usage[1]]
}

/// Tells an answer from an error and from nonsense, and reads its token counts.
fn judge(protocol: Protocol, operation: Operation, bytes: &Bytes) -> Result<Usage, Failure> {
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        // Google wraps errors in lists now and then; an answer is never one where events were asked for.
        return Err(error_in_document(protocol, bytes));
    }
    let members = json::members(bytes, keys(protocol, operation)).ok();
    let Some(members) = members.filter(|_| is_utf8(bytes)) else {
        return Err(Failure::Error(Error::codec("the upstream's answer is not JSON")));
    };
    let value = |span: &Option<json::Span>| bytes.get(span.clone()?).filter(|value| *value != b"null");
    let [error, answer @ .., _, _] = &members.spans;
    // Responses has an `error` member beside its output: a failed response is one.
    if value(error).is_some() {
        return Err(error_in_document(protocol, bytes));
    }
    // Where the words are is a list; the counts and the feedback of Gemini are none.
    let is_answer = |(span, key): (&Option<json::Span>, &str)| match key {
        "content" | "choices" | "output" | "candidates" => {
            value(span).is_some_and(|value| value.starts_with(b"["))
        }
        _ => value(span).is_some(),
    };
    if !answer.iter().zip(keys(protocol, operation).into_iter().skip(1)).any(is_answer) {
        return Err(Failure::Error(Error::codec("the upstream's answer is none of its protocol")));
    }
    let usage = members.spans.iter().zip(keys(protocol, operation));
    let usage = usage.filter(|(_, key)| usage_keys(protocol).contains(key)).find_map(|(span, _)| value(span));
    Ok(usage.map_or_else(Usage::default, |usage| read_usage(protocol, usage)))
}

/// An error that came with a status of success.
fn error_in_document(protocol: Protocol, bytes: &Bytes) -> Failure {
    let view = parse_error(protocol, 200, bytes);
    let kind = if view.kind.status() < 400 { FaultKind::BadUpstream } else { view.kind };
    let status = StatusCode::from_u16(kind.status()).unwrap_or(StatusCode::BAD_GATEWAY);
    let view = Some(Box::new(ErrorView { kind, ..view }));
    Failure::Reported { protocol, status, body: bytes.clone(), view }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(protocol: Protocol, body: &'static str) -> Result<Usage, Failure> {
        judge(protocol, Operation::Generate, &Bytes::from(body))
    }

    #[test]
    fn t017_an_error_in_a_200_is_an_error_in_whatever_wrapping() {
        for body in [
            r#"{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}"#,
            r#" [{"error":{"code":503,"message":"busy","status":"UNAVAILABLE"}}]"#,
        ] {
            let Err(Failure::Reported { view: Some(view), .. }) = verdict(Protocol::Gemini, body) else {
                panic!("{body}");
            };
            assert_eq!((view.kind, view.message.as_str()), (FaultKind::Overloaded, "busy"), "{body}");
        }
        for body in ["{}", "[]", r#"{"greeting":"hello"}"#, "<html>"] {
            for protocol in Protocol::ALL {
                assert!(verdict(protocol, body).is_err(), "{body}");
            }
        }
        assert!(verdict(Protocol::Responses, r#"{"error":null,"output":[]}"#).is_ok());
        assert!(verdict(Protocol::Gemini, r#"{"candidates":[]}"#).is_ok());
    }
}
