//! Compressed bodies, as a client sends them.

use compression_codecs::core::Level;
use compression_codecs::core::util::{PartialBuffer, WriteBuffer};
use compression_codecs::zstd::params::CParameter;
use compression_codecs::{BrotliEncoder, EncodeV2, GzipEncoder, ZlibEncoder, ZstdEncoder};

/// Every coding that is read, and what it is called in a header.
pub const CODINGS: [&str; 4] = ["gzip", "deflate", "br", "zstd"];

/// `plain` in the coding of this name.
pub fn compress(coding: &str, plain: &[u8]) -> Vec<u8> {
    match coding {
        "gzip" => run(GzipEncoder::new(Level::Default.into()), plain),
        "deflate" => run(ZlibEncoder::new(Level::Default.into()), plain),
        "br" => run(BrotliEncoder::new(Default::default()), plain),
        "zstd" => run(ZstdEncoder::new(3), plain),
        other => panic!("{other}"),
    }
}

/// A zstd frame that asks its reader for a window of `2^log` bytes.
pub fn zstd_with_window(log: u32, plain: &[u8]) -> Vec<u8> {
    run(ZstdEncoder::new_with_params(3, &[CParameter::window_log(log)]), plain)
}

fn run(mut encoder: impl EncodeV2, plain: &[u8]) -> Vec<u8> {
    let (mut out, mut room) = (Vec::new(), [0; 4096]);
    let mut input = PartialBuffer::new(plain);
    while !input.unwritten().is_empty() {
        let mut output = WriteBuffer::new_initialized(&mut room);
        encoder.encode(&mut input, &mut output).unwrap();
        out.extend_from_slice(output.written());
    }
    loop {
        let mut output = WriteBuffer::new_initialized(&mut room);
        let is_done = encoder.finish(&mut output).unwrap();
        out.extend_from_slice(output.written());
        if is_done {
            return out;
        }
    }
}
