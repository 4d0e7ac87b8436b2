//! The codec as a library: a request and a stream from one protocol to another, without any network.
//!
//! Needs no feature of the crate: `cargo run --no-default-features --example translate_offline`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;

use aiproxy::protocol::canonical::{Exchange, Losses};
use aiproxy::protocol::{
    Endpoint, Operation, Protocol, StreamDecoder, StreamEncoder, Target, decode_request, encode_request, sse,
};

/// What an Anthropic client asks.
const REQUEST: &str = r#"{"model":"claude-sonnet-4-5","max_tokens":300,"stream":true,"top_k":40,
  "system":"Be brief.","messages":[{"role":"user","content":"Weather in Oslo?"}],
  "tools":[{"name":"weather","input_schema":{"type":"object","properties":{"city":{"type":"string"}}}}]}"#;

/// What an OpenAI-compatible upstream answers: a call, its arguments in two pieces.
const STREAM: &str = r#"data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-5","choices":[{"index":0,"delta":{"role":"assistant","tool_calls":[{"index":0,"id":"call_1","type":"function","function":{"name":"weather","arguments":"{\"city\":"}}]},"finish_reason":null}]}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-5","choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"arguments":"\"Oslo\"}"}}]},"finish_reason":null}]}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-5","choices":[{"index":0,"delta":{},"finish_reason":"tool_calls"}]}

data: {"id":"c1","object":"chat.completion.chunk","created":1,"model":"gpt-5","choices":[],"usage":{"prompt_tokens":21,"completion_tokens":9,"total_tokens":30}}

data: [DONE]

"#;

fn main() -> Result<(), Box<dyn Error>> {
    let exchange = request()?;
    stream(&exchange)
}

/// Translates the request; what comes back is all that the answer has to know of it.
fn request() -> Result<Exchange, Box<dyn Error>> {
    let endpoint = Endpoint::new(Protocol::Anthropic, Operation::Generate);
    let request = decode_request(&endpoint, REQUEST)?;
    let exchange = Exchange::new(&request, Protocol::Anthropic, Protocol::OpenAi);
    let (mut losses, mut out) = (Losses::default(), Vec::new());
    encode_request(Protocol::OpenAi, &request, &exchange, &Target::new("gpt-5"), &mut losses, &mut out)?;
    println!("--- the request, as the upstream takes it\n{}\n", String::from_utf8(out)?);
    println!("--- what could not be carried\n{}\n", losses.header());
    Ok(exchange)
}

/// Translates the stream back, in pieces that end where a network might end them.
fn stream(exchange: &Exchange) -> Result<(), Box<dyn Error>> {
    let mut events = sse::Decoder::default();
    let mut decoder = StreamDecoder::new(exchange.upstream, exchange.seed);
    let mut encoder = StreamEncoder::new(exchange);
    let mut out = Vec::new();
    let mut sink = |event: aiproxy::protocol::canonical::Event<'_>| encoder.event(&event, &mut out);
    for piece in STREAM.as_bytes().chunks(100) {
        events.push(piece, |event| decoder.event(&event, &mut sink))?;
    }
    events.finish(|event| decoder.event(&event, &mut sink));
    decoder.finish(&mut sink);
    println!("--- the stream, as the client takes it\n{}", String::from_utf8(out)?);
    Ok(())
}
