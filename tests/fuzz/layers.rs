//! What is read on the way: headers, compressed bodies.

use std::rc::Rc;
use std::sync::Arc;

use aiproxy::layer::{
    ClassifyLayer, CollectLayer, HostCheckLayer, RequireApiKeyLayer, RespondLayer, TranslateLayer,
};
use aiproxy::protocol::Protocol;
use aiproxy::{Body, Error, Payload};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Runtime;
use tower::{ServiceBuilder, ServiceExt, service_fn};

use crate::dice::Dice;
use crate::seeds::{Seeds, Sort};
use crate::support::compress::CODINGS;
use crate::support::talk::Talk;
use crate::{Target, codecs};

/// Most bytes of a request.
const LIMIT: usize = 1 << 20;

pub fn targets(seeds: &Seeds) -> Vec<Target> {
    let runtime = Rc::new(tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap());
    let mut all = Vec::new();
    for upstream in Protocol::ALL {
        let runtime = runtime.clone();
        all.push(Target {
            name: format!("retry-hints {upstream}"),
            sort: Sort::Headers,
            seeds: seeds.headers[upstream as usize].clone(),
            check: Box::new(move |text, dice| refused(&runtime, upstream, text, dice)),
        });
    }
    let heads = runtime.clone();
    all.push(Target {
        name: "head".into(),
        sort: Sort::Headers,
        seeds: seeds.heads.clone(),
        check: Box::new(move |text, _| known(&heads, text)),
    });
    all.push(Target {
        name: "encoding".into(),
        sort: Sort::Packed,
        seeds: seeds.packed.clone(),
        check: Box::new(move |text, _| unpacked(&runtime, text)),
    });
    all
}

/// The lines of a head, as far as they are headers.
fn header_lines(lines: &[u8]) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    lines.split(|byte| *byte == b'\n').filter_map(|line| {
        let mut parts = line.splitn(2, |byte| *byte == b':');
        let name = HeaderName::from_bytes(parts.next()?.trim_ascii()).ok()?;
        Some((name, HeaderValue::from_bytes(parts.next()?.trim_ascii()).ok()?))
    })
}

/// The head of a request: a line with the target, and headers.
fn known(runtime: &Runtime, text: &[u8]) -> Result<usize, String> {
    let end = text.iter().position(|byte| *byte == b'\n').unwrap_or(text.len());
    let Ok(uri) = http::Uri::try_from(&text[..end]) else { return Ok(0) };
    let mut request = Request::post(uri).body(Full::from(r#"{"model":"m"}"#)).unwrap();
    request.headers_mut().extend(header_lines(&text[end..]));
    let service = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(HostCheckLayer::new().allow(["gateway.internal"]).same_site(true))
        .layer(RequireApiKeyLayer::new(["client-key"]))
        .layer(CollectLayer::new(LIMIT))
        .service(service_fn(|request: Request<Payload>| async move {
            // Who came so far has shown a key, and shows it no more.
            let is_shown = ["x-api-key", "authorization", "x-goog-api-key", "api-key"]
                .iter()
                .any(|name| request.headers().contains_key(*name))
                || request
                    .uri()
                    .query()
                    .is_some_and(|query| query.split('&').any(|pair| pair.starts_with("key=")));
            Ok::<_, Error>(
                Response::builder().status(if is_shown { 201 } else { 200 }).body(Body::empty()).unwrap(),
            )
        }));
    runtime.block_on(async {
        let answer = service.oneshot(request).await.unwrap_or_else(|never| match never {});
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.map_err(|error| error.to_string())?.to_bytes();
        match status {
            200 => Ok(0),
            201 => Err("a key went on".to_owned()),
            _ => codecs::must_be_json("a refusal", &body).map(|()| body.len()),
        }
    })
}

/// An upstream's refusal, through to a client.
fn refused(runtime: &Runtime, upstream: Protocol, text: &[u8], dice: &mut Dice) -> Result<usize, String> {
    let client = *dice.pick(&Protocol::ALL);
    let status = *dice.pick(&[401_u16, 403, 429, 500, 503, 529]);
    let end = text.windows(2).position(|two| two == b"\n\n").map_or(text.len(), |at| at + 1);
    let mut answer = Response::builder().status(status);
    for (name, value) in header_lines(&text[..end]) {
        if !["content-length", "content-encoding"].contains(&name.as_str()) {
            answer = answer.header(name, value);
        }
    }
    let answer = Arc::new((answer.body(()).unwrap(), Bytes::copy_from_slice(text[end..].trim_ascii_start())));
    let service = ServiceBuilder::new()
        .layer(RespondLayer::new())
        .layer(CollectLayer::new(LIMIT))
        .layer(TranslateLayer::new(upstream))
        .layer(ClassifyLayer::new())
        .service(service_fn(move |_: Request<Payload>| {
            let (head, body) = &*answer;
            let answer = head.clone().map(|()| Body::from(body.to_vec()));
            async { Ok::<_, Error>(answer) }
        }));
    let talk = Talk::new("m", "Hi").max_tokens(9);
    let request = Request::post(talk.path(client)).body(Full::from(talk.body(client).to_string())).unwrap();
    runtime.block_on(async {
        let (head, body) = service.oneshot(request).await.unwrap_or_else(|never| match never {}).into_parts();
        if head.status.as_u16() < 400 {
            return Err(format!("an error became {}", head.status));
        }
        if let Some(wait) = head.headers.get("retry-after") {
            // A day is the most that is believed.
            let seconds = wait.to_str().ok().and_then(|wait| wait.parse::<f64>().ok());
            if seconds.is_some_and(|seconds| seconds > 604_800.0) && client != upstream {
                return Err(format!("a client is to wait {wait:?}"));
            }
        }
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        if client != upstream {
            codecs::must_be_json("an error", &body)?;
        }
        Ok(body.len())
    })
}

/// A compressed request.
fn unpacked(runtime: &Runtime, text: &[u8]) -> Result<usize, String> {
    let Some((coding, packed)) = text.split_first() else { return Ok(0) };
    let coding = CODINGS[usize::from(*coding) % CODINGS.len()];
    let service = ServiceBuilder::new().layer(CollectLayer::new(LIMIT)).service(service_fn(
        |request: Request<Payload>| async move {
            Ok::<_, Error>(Response::new(request.body().original_bytes().len()))
        },
    ));
    let body = Full::from(packed.to_vec());
    let request = Request::post("/v1/messages").header("content-encoding", coding).body(body).unwrap();
    match runtime.block_on(service.oneshot(request)) {
        Ok(length) if length.body() <= &LIMIT => Ok(0),
        Ok(length) => Err(format!("{} bytes came out", length.body())),
        Err(Error::Request(_)) => Ok(0),
        Err(error) => Err(format!("{error:?}")),
    }
}
