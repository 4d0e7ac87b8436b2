//! Streams through the gateway's codecs, in whatever pieces they come.

use aiproxy::protocol::canonical::{Collector, ErrorView, Exchange};
use aiproxy::protocol::{StreamDecoder, StreamEncoder, encode_response, sse};

/// The client's stream for the upstream's, which comes in these pieces.
pub fn translated<'p>(exchange: &Exchange, pieces: impl IntoIterator<Item = &'p [u8]>) -> Vec<u8> {
    let mut events = sse::Decoder::default();
    let mut decoder = StreamDecoder::new(exchange.upstream, exchange.seed);
    let mut encoder = StreamEncoder::new(exchange);
    let mut out = Vec::new();
    let mut sink =
        |event: sse::Event<'_>| decoder.event(&event, &mut |event| encoder.event(&event, &mut out));
    for piece in pieces {
        events.push(piece, &mut sink).unwrap();
    }
    events.finish(&mut sink);
    decoder.finish(&mut |event| encoder.event(&event, &mut out));
    out
}

/// The client's document for the upstream's stream.
pub fn folded(exchange: &Exchange, stream: &[u8]) -> Result<Vec<u8>, ErrorView> {
    let mut events = sse::Decoder::default();
    let mut decoder = StreamDecoder::new(exchange.upstream, exchange.seed);
    let mut collector = Collector::default();
    let mut sink = |event: sse::Event<'_>| decoder.event(&event, &mut |event| collector.event(event));
    events.push(stream, &mut sink).unwrap();
    events.finish(&mut sink);
    decoder.finish(&mut |event| collector.event(event));
    let mut out = Vec::new();
    encode_response(&collector.finish()?, exchange, &mut out)?;
    Ok(out)
}
