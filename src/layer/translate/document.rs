//! Whole answers.

use super::plan::Plan;
use crate::protocol::canonical::{Collector, ErrorView, Exchange, FaultKind, Response, Usage};
use crate::protocol::{
    Lengths, Meter, StreamDecoder, StreamEncoder, decode_response_with, encode_response, sse,
};

/// Translates a whole answer: to a document, or replayed as a stream for a client that wants one. And whether
/// its token counts are estimates.
pub(super) fn document(read: &[u8], is_stream: bool, plan: &mut Plan) -> Result<(Vec<u8>, bool), ErrorView> {
    let bad = |message: &str| ErrorView::new(FaultKind::BadUpstream, message);
    let exchange = &plan.exchange;
    let mut response = if is_stream {
        collect(read, plan)?
    } else {
        let text = std::str::from_utf8(read).map_err(|_| bad("the upstream's answer is not UTF-8"))?;
        decode_response_with(exchange.upstream, &plan.dialect, text, exchange.seed)?
    };
    let usage = plan.estimator.complete(&response.usage, || Lengths::of(&response), false);
    let is_shown = Meter::shows(exchange.client, &usage, plan.shows_estimates);
    response.usage = if is_shown { usage } else { Usage::default() };
    if !plan.stops.is_empty()
        && let Some(cut) = response.cut_at(&plan.stops)
    {
        response = cut;
    }
    if let Some(recording) = plan.recording.take() {
        recording.whole(&response);
    }
    let mut out = Vec::with_capacity(read.len() + read.len() / 4 + 256);
    if exchange.stream && !is_stream {
        let mut encoder = StreamEncoder::new(exchange);
        response.replay(|event| encoder.event(&event, &mut out));
    } else {
        encode_response(&response, exchange, &mut out)?;
    }
    Ok((out, is_shown && usage.is_estimated()))
}

/// Folds a stream that nobody asked for.
fn collect(read: &[u8], plan: &Plan) -> Result<Response<'static>, ErrorView> {
    let mut collector = Collector::default();
    let Exchange { upstream, seed, .. } = plan.exchange;
    let mut decoder = StreamDecoder::with_dialect(upstream, &plan.dialect, seed);
    let mut events = sse::Decoder::default();
    let mut sink = |event: sse::Event<'_>| decoder.event(&event, &mut |event| collector.event(event));
    events.push(read, &mut sink).map_err(|long| ErrorView::new(FaultKind::BadUpstream, long.to_string()))?;
    events.finish(&mut sink);
    decoder.finish(&mut |event| collector.event(event));
    collector.finish()
}
